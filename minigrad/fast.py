"""Faster code for `record` and `Op.vjp`: lines without loops, written and compiled for each op.

Without this file the results are the same, but an op takes about 1.5 times as long.
`print(text(op))` shows the lines that run. For an argument x, x_ is its array. All other names
begin with "_". Names of arguments neither begin nor end with "_".
"""

import numpy as np

from .array import FOREIGN, Array
from .changes import tick
from .engine import GRADIENT, RECORDED, Tensor, constant
from .errors import in_forward, no_rule
from .modes import recording, scope

# NumPy numbers its dtypes: bool, integers, floats, then complex numbers, float16 and all others.
LAST_REAL = np.dtype(np.longdouble).num

# The types of settings that a forward takes as they are. `record` handles all others.
SETTINGS = {bool, int, float, str, tuple, list, slice, np.ndarray, type(None), type(...), type}
SETTINGS |= {type(np.dtype(kind)) for kind in "efd"}

# ---- the body of the function that calls an op. It leaves unusual arguments to `record`.

START = """
    _flags = 0"""
TAKE = """
    if isinstance({x}, _Array):
        {x}_, _flags = {x}.data, _flags | {x}.flags
    else:
        {x}_ = {x}"""
TAKE_OPERAND = """
        if type({x}) is not _ndarray or {x}.dtype.num > {LAST_REAL}:
            if type({x}) not in _NUMBERS or not ({has_tensors}):
                return _record(_op, ({args},))"""
TAKE_OPTIONAL = TAKE_OPERAND.replace("_NUMBERS", "_NUMBERS_OR_NONE")
TAKE_SETTING = """
        if type({x}) not in _SETTINGS:
            return _record(_op, ({args},))"""
RUN = """
    if _flags & {FOREIGN}:
        return _record(_op, ({args},))
    try:
        _data = _forward({arrays})
    except Exception as _error:
        raise _in_forward(_op, ({args},), _error) from _error
    if not _flags or not _recording():
        return _constant(_data) if {has_tensors} else _data"""
REFUSE = """
    if isinstance({x}, _Array) and {x}.flags >= {GRADIENT}:
        raise _no_rule(_op, {i})"""
RESULT = """
    _out = _new(_Tensor)
    _out.data = _data if type(_data) is _ndarray else _asarray(_data)
    _out.op = _op
    _out.args = ({args},)
    _out.scope = _scope()
    _out.flags = {flags}
    _out.order = _tick()
    _out.name = _out.grad = None
    _out.retains_grad = False
    return _out"""

# ---- the function that replaces Op.vjp

OPEN = """
def vjp(_g, _node, on_tensors=False):
    {args}, = _node.args"""
ASK = """
    _is_{x} = isinstance({x}, _Array)"""
TAKE_TENSORS = """
    if on_tensors:
        _out, {arrays}, = _node, {args},
    else:
        _out = _node.data"""
TAKE_ARRAY = """
        {x}_ = {x}.data if _is_{x} else {x}"""
PAIRS = """
    _pairs = []"""
PULL = """
    if _is_{x} and {x}.flags >= {GRADIENT}:
        _pairs.append(({x}, _rules[{i}](_g, _out, {arrays})))"""
CLOSE = """
    return _pairs"""
PULL_ONLY = """
    return (({args}, _rules[0](_g, _out, {arrays})),)"""
PULL_BOTH = """
    if not (_is_{y} and {y}.flags >= {GRADIENT}):
        return (({x}, _rules[0](_g, _out, {arrays})),)
    if not (_is_{x} and {x}.flags >= {GRADIENT}):
        return (({y}, _rules[1](_g, _out, {arrays})),)
    return ({x}, _rules[0](_g, _out, {arrays})), ({y}, _rules[1](_g, _out, {arrays}))"""
REPLACE = """

vjp.__code__ = vjp.__code__.replace()
_op.vjp = vjp
"""

OBJECTS = {  # the objects in the text, except the op, its forward and rules, and `record`
    "_Tensor": Tensor,
    "_Array": Array,  # the base of Tensor alone: isinstance is faster with it
    "_NUMBERS": (float, int, bool),
    "_NUMBERS_OR_NONE": (float, int, type(None), bool),
    "_constant": constant,
    "_in_forward": in_forward,
    "_no_rule": no_rule,
    "_recording": recording.get,
    "_scope": scope.get,
    "_tick": tick,
    "_new": object.__new__,
    "_ndarray": np.ndarray,
    "_SETTINGS": SETTINGS,
    "_asarray": np.asarray,
}


def text(op):
    """The body of the function that calls an op, and the function that replaces its vjp."""
    operands = [TAKE + _care(op, *named) for named in zip(op.names, op.rules)]
    refusals = [REFUSE if i in op.undeclared else "" for i, _ in enumerate(op.names)]
    call = [START, operands, RUN, refusals, RESULT]
    pull = [PAIRS, [PULL if rule else "" for rule in op.rules], CLOSE]
    if len(op.names) == 1:  # backward calls it only if this argument needs a gradient
        pull = [PULL_ONLY]
    elif len(op.names) == 2 and all(op.rules):  # a list of pairs would take longer
        pull = [PULL_BOTH]
    each = op.names
    vjp = [OPEN, [ASK for _ in each], TAKE_TENSORS, [TAKE_ARRAY for _ in each], *pull, REPLACE]
    return "\n".join([_filled(op, call), "", _filled(op, vjp)])


def _care(op, name, rule):
    """The text that leaves an unusual argument to `record`."""
    is_optional = op.defaults.get(name, 0) is None
    return (TAKE_OPTIONAL if is_optional else TAKE_OPERAND) if rule else TAKE_SETTING


def identifiers(op):
    """The names of the arguments in the text: index[0] of a Member is index_0."""
    return [name.replace("[", "_").replace("]", "") for name in op.names]


def _filled(op, parts):
    """The parts as one text. A part that is a list has a text for each argument of the op."""
    names = identifiers(op)
    words = {
        "args": ", ".join(names),
        "arrays": ", ".join(f"{x}_" for x in names),
        "has_tensors": " or ".join(f"isinstance({x}, _Array)" for x in names),
        "flags": "_flags" if any(op.rules) else RECORDED,
        "FOREIGN": FOREIGN,
        "GRADIENT": GRADIENT,
        "LAST_REAL": LAST_REAL,
    }
    text = ""
    for part in parts:
        for i, piece in enumerate(part if isinstance(part, list) else [part]):
            text += piece.format(x=names[i], y=names[-1], i=i, **words)
    return text


def speed_up(op, objects):
    """The `text` of an op. It adds the objects of the text to `objects`."""
    rules = getattr(op, "family", op).rules  # a Member takes the rules of its family
    objects |= OBJECTS | {"_forward": op.forward, "_rules": rules}
    return text(op)
