"""The declaration of ops and compositions.

`op` makes an op of a function on arrays and its rules. `composition` marks a function of several
ops. `ops` holds every op that has rules, by name: the proofs, the tests and the pictures read it.
"""

import inspect
import os
from collections.abc import Callable
from functools import cache, partial, update_wrapper, wraps
from typing import Any, overload

import numpy as np

from . import later
from .array import as_array, data_of, is_array, is_foreign, numpy_functions
from .engine import Op, Tensor, constant, record, wants_gradient
from .errors import WRONG_CALL, named
from .modes import Composition, scoped
from .types import Declares, Operand, P

__all__ = ["op", "composition", "on_data"]

try:  # fast.py saves time and changes nothing else. MINIGRAD_FAST=0 in the environment stops it.
    from .fast import identifiers, speed_up
except ImportError:
    speed_up = None
if os.environ.get("MINIGRAD_FAST") == "0":
    speed_up = None

FILE = "<op>"  # the file name of the functions that call ops
ops = {}  # name -> the Op, or the Family, of every op that has a rule

# For editors and type checkers an op takes the arguments of its forward and returns a Tensor. So
# the types in the forward are the types that callers pass.


@overload
def op(forward: np.ufunc, /, *, x: Any, y: Any) -> Callable[[Operand, Operand], Tensor]: ...
@overload
def op(forward: np.ufunc, /, *, x: Any) -> Callable[[Operand], Tensor]: ...
@overload
def op(forward: Callable[P, Any], /, **rules: Any) -> Callable[P, Tensor]: ...
@overload
def op(forward: None = None, /, **rules: Any) -> Declares: ...
def op(forward=None, /, *, numpy=None, kind="operation", prox=None, **rules):
    """Makes an op of a function on arrays. Each keyword is the rule of one argument:

        exp = op(np.exp, x=lambda g, out, x: g * out)

        @op(x=lambda g, out, x: g * (out > 0))
        def relu(x): ...

    The result is a function. On Tensors it records, on arrays it just computes.

    numpy   The NumPy function that calls this op on Tensors. NumPy's own functions need none.
    kind    "operation", "loss", "penalty" or "random": how pictures and ledgers treat a result.
    prox    Of a penalty: see `minigrad.ops.penalties`.
    rules   A rule is called as rule(g, out, *arguments): see `minigrad.engine`. `name=None` says
            that no gradient flows to the argument. The rule of a last argument `*rest` returns a
            sequence of cotangents, one for each of `rest`; only the needed ones are read.

    Keyword-only arguments of `forward` keep their defaults. Raises TypeError for a rule of an
    argument that does not exist, for a `forward` without arguments, and for arguments whose names
    begin or end with "_"; AttributeError for a `forward` that is neither a Python function nor a
    ufunc; ValueError if another module has an op of this name.
    """
    if forward is None:
        return partial(op, numpy=numpy, kind=kind, prox=prox, **rules)
    later.vocabulary()  # no other op may have its names
    if isinstance(forward, (np.ufunc, type(np.sum))):
        numpy = forward
    if isinstance(forward, np.ufunc):
        names, defaults, is_family = list(rules), {}, False
    else:
        names, defaults, is_family = _arguments(inspect.unwrap(forward))
    name = forward.__name__
    if not names or rules.keys() - {*names} or any(n != n.strip("_") for n in names):
        given = f"its arguments are {', '.join(names)}, its rules are for {', '.join(rules)}"
        needed = "Each rule is for an argument, and no name of an argument begins or ends with '_'"
        raise TypeError(f"op {name}: {given}. {needed}.")
    if name in ops and ops[name].forward.__module__ != forward.__module__:
        where = ops[name].forward.__module__
        raise ValueError(f"op {name} is already defined in {where}. Choose another name.")
    this = (Family if is_family else Op)(name, forward, names, rules, kind, prox)
    this.defaults = defaults
    if any(this.rules):
        ops[name] = this
    call = update_wrapper(_called(this), forward, updated=())
    call.__qualname__ = name  # Python's errors about arguments then say the name alone
    if isinstance(forward, np.ufunc):  # a ufunc takes out= and where=, its op does not
        del call.__wrapped__
        call.__doc__ = f"np.{name}({', '.join(names)}), entry by entry."
    call.op = this
    if numpy is not None:
        numpy_functions[numpy] = call
    return call


def _arguments(function):
    """(names of the arguments of a function, {name: default}, whether the last one is `*rest`)."""
    code = function.__code__
    is_family = bool(code.co_flags & inspect.CO_VARARGS)
    names = code.co_varnames[: code.co_argcount + is_family]
    values = function.__defaults__ or ()
    return list(names), dict(zip(names[code.co_argcount - len(values) :], values)), is_family


def _called(op):
    """The Python function that calls an op, with the arguments and defaults of its forward.

    It is compiled from a text, as dataclasses do for __init__, so that Python itself binds the
    arguments. The first call writes the text: an import would take long if it wrote all texts.
    """
    objects = {"_op": op, "_record": record, "_by_keywords": later.by_keywords}

    def first(*args, **kwargs):
        exec(compiled(_text(op, objects)), objects)
        written = objects["call"]
        call.__defaults__ = written.__defaults__  # before its code: another thread may call it now
        call.__code__ = written.__code__.replace()
        return call(*args, **kwargs)

    args = ", ".join(op.names) if isinstance(op.forward, np.ufunc) else "*args, **kwargs"
    exec(compiled(f"def call({args}): return _first({args})"), objects)
    objects["_first"], call = first, objects["call"]
    return call


# {setting: its name in PyTorch or newer NumPy}. An op with such a default takes both keywords.
OTHER_NAMES = {"axis": "dim", "keepdims": "keepdim", "ddof": "correction"}
OTHER_NAMES |= {"a_min": "min", "a_max": "max"}
OTHERWISE = """
    if _others:
        return _by_keywords(_op, ({args},), _others)"""


def _text(op, objects):
    """The text of the function that calls an op. It adds the objects of the text to `objects`."""
    given = op.names
    if isinstance(op, Family):
        given = [*op.names[:-1], f"*{op.names[-1]}"]
    elif isinstance(op, Member):
        given = identifiers(op)
    objects |= {f"_default_{name}": value for name, value in op.defaults.items()}
    signature = [f"{n}=_default_{n}" if n in op.defaults else n for n in given]
    args, otherwise = ", ".join(given), ""
    if type(op) is Op and op.defaults.keys() & OTHER_NAMES:
        signature.append("**_others")
        otherwise = OTHERWISE.format(args=args)
    head = f"def call({', '.join(signature)}):{otherwise}"
    if isinstance(op, Family):
        member = f"_op.members[len({op.names[-1]})]"
        run = f"{member}.call({args})" if op.has_fast_members else f"_record({member}, ({args},))"
        return f"{head}\n    return {run}"
    if speed_up:
        return head + speed_up(op, objects)
    return f"{head}\n    return _record(_op, ({args},))"


@cache
def compiled(text):
    """The code of a text. Many ops have the same text, but other objects for its names.

    Each op copies the code of its functions, since Python adapts code to the objects that it meets.
    """
    return compile(text, FILE, "exec")


def on_data(*functions):
    """Makes NumPy functions compute on the data of Tensors. Their results are not recorded.

    They refuse arrays of a library that does not have them.
    """
    for function in functions:
        numpy_functions[function] = partial(_on_data, function)


def _on_data(function, *args, **kwargs):
    args, kwargs = [*map(data_of, args)], {name: data_of(x) for name, x in kwargs.items()}
    call = partial(later.foreign().run, function) if any(map(is_foreign, args)) else function
    result = call(*args, **kwargs)
    return constant(result) if isinstance(result, np.generic) or is_array(result) else result


class Family(Op):
    """An op of any number of operands. For each number of operands it has an Op, a Member."""

    def __init__(self, *definition):
        super().__init__(*definition)
        self.members = Members(self)
        # If operands have a rule, vjp calls it once for all of them: fast.py has no text for that.
        self.has_fast_members = bool(speed_up) and not self.rules[-1]


class Members(dict):
    """{number of operands: the Member} of a family. A Member is made when it is needed."""

    def __init__(self, family):
        self.family = family

    def __missing__(self, count):
        self[count] = Member(self.family, count)
        return self[count]


class Member(Op):
    """The Op of a Family for one number of operands."""

    def __init__(self, family, count):
        *fixed, rest = family.names
        self.family, self.first = family, len(fixed)
        rests = [rest] if count == 1 else [f"{rest}[{i}]" for i in range(count)]
        names = [*fixed, *rests]
        super().__init__(family.name, family.forward, names, {}, family.kind, family.prox)
        self.undeclared = [i for i in range(len(names)) if min(i, self.first) in family.undeclared]
        self.defaults = family.defaults
        for i in range(len(names)):
            rule = family.rules[min(i, self.first)]
            if rule:
                self.rules[i] = partial(self._cotangent, i)
                self.rules[i].__wrapped__ = rule  # inspect.unwrap finds it
        if family.has_fast_members:
            self.call = _called(self)

    def _cotangent(self, i, g, out, *arguments):
        """The rule of argument i alone."""
        if i < self.first:
            return self.family.rules[i](g, out, *arguments)
        return self.family.rules[-1](g, out, *arguments)[i - self.first]

    def vjp(self, g, node, on_tensors=False):
        """As Op.vjp. The rule of the operands is called once, for all of them."""
        given = (node, *node.args) if on_tensors else (node.data, *map(data_of, node.args))
        shared = self.family.rules[-1] and self.family.rules[-1](g, *given)
        pairs, ids = [], set()
        for i, x in enumerate(node.args):
            if self.rules[i] and wants_gradient(x):
                is_fixed = i < self.first
                cotangent = self.rules[i](g, *given) if is_fixed else shared[i - self.first]
                if id(cotangent) in ids and not on_tensors:
                    cotangent = cotangent.copy()  # one array for two operands
                ids.add(id(cotangent))
                pairs.append((x, cotangent))
        return pairs


class Each:
    """The cotangents rule(x) of the operands x of a family, each computed when it is read.

    So a rule runs for the operands that need a cotangent, and for no others.
    """

    def __init__(self, rule, operands):
        self.rule, self.operands = rule, operands

    def __getitem__(self, i):
        return self.rule(self.operands[i])


@overload
def composition(function: Callable[P, Any]) -> Callable[P, Tensor]: ...
@overload
def composition(
    function: None = None, *, kind: str = "operation", is_one_op: bool = False
) -> Declares: ...
def composition(function=None, *, kind="operation", is_one_op=False):
    """Decorates a function of several ops: pictures and reports show its nodes as one.

    kind       "operation", "loss", "penalty" or "random", as for ops.
    is_one_op  Pictures and reports show the one op that it calls.

    If the first argument is a number or a list, it becomes an array, as for ops. The errors of the
    function get its name.
    """
    if function is None:
        return partial(composition, kind=kind, is_one_op=is_one_op)
    name = function.__name__
    run = function if is_one_op else partial(scoped, Composition(name, kind), function)

    @wraps(function)
    def call(*args, **kwargs):
        try:
            if args and not is_array(args[0]):
                args = (as_array(args[0]), *args[1:])
            return run(*args, **kwargs)
        except WRONG_CALL as error:
            raise named(error, name)  # noqa: B904 (it has its cause)

    return call
