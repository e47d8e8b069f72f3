"""Speed alone: `record` and `Op.vjp` as straight lines, written and compiled for each op.

Without this file everything is the same, but an op takes about 1.5 times as long.
`print(call_text(op), vjp_text(op))` shows the lines that run. Their own names begin with "_",
since an op may have an argument of any other name.
"""

import numpy as np

from .changes import tick
from .engine import GRADIENT, RECORDED, Op, Tensor, constant, record
from .errors import in_forward, no_rule
from .modes import recording, scope

START = "_flags, _has_tensors, _has_numbers = 0, False, False"
TAKE = """
if isinstance({x}, _Tensor):
    _{x}, _flags, _has_tensors = {x}.data, _flags | {x}.flags, True
else:
    _{x} = {x}"""
TAKE_SETTING = """
    if isinstance({x}, _generic):
        return _record(_op, ({args},))"""
TAKE_OPERAND = """
    if type({x}) is not _ndarray and {x} is not None:
        if type({x}) is not float and type({x}) is not int:
            return _record(_op, ({args},))
        _has_numbers = True"""
RUN = """
if _has_numbers and not _has_tensors:
    return _record(_op, ({args},))
try:
    _data = _forward({arrays})
except Exception as _error:
    raise _in_forward(_op, ({args},), _error) from _error
if not _flags or not _recording():
    return _constant(_data) if _has_tensors else _data"""
REFUSE = """
if isinstance({x}, _Tensor) and {x}.flags >= {GRADIENT}:
    raise _no_rule(_op, {i})"""
RESULT = """
_out = _new(_Tensor)
_out.data = _data if type(_data) is _ndarray else _asarray(_data)
_out.op, _out.args, _out.scope, _out.flags, _out.name = _op, ({args},), _scope(), {flags}, None
_out.order, _out.grad, _out.retains_grad = _tick(), None, False
return _out"""

OPEN = """
def vjp(_g, _node, on_tensors=False):
    if on_tensors:
        return _vjp(_op, _g, _node, True)
    {args}, = _node.args
    _out, _pairs = _node.data, []"""
TAKE_DATA = """
    _{x} = {x}.data if isinstance({x}, _Tensor) else {x}"""
PULL = """
    if _{x} is not {x} and {x}.flags >= {GRADIENT}:
        _pairs.append(({x}, _rules[{i}](_g, _out, {arrays})))"""
CLOSE = """
    return _pairs"""


def call_text(op):
    """The body of the function that calls an op: `record`, written out."""
    take = [TAKE + (TAKE_OPERAND if rule else TAKE_SETTING) for rule in op.rules]
    refuse = [REFUSE if i in op.undeclared else "" for i, _ in enumerate(op.names)]
    return _filled(op, START, take, RUN, refuse, RESULT)


def vjp_text(op):
    """The function that takes the place of Op.vjp."""
    take = [TAKE_DATA for _ in op.names]
    return _filled(op, OPEN, take, [PULL if rule else "" for rule in op.rules], CLOSE)


def _filled(op, *parts):
    """The parts as one text. A part that is a list has a text for each argument of the op."""
    words = {
        "args": ", ".join(op.names),
        "arrays": ", ".join(f"_{x}" for x in op.names),
        "flags": "_flags" if any(op.rules) else RECORDED,
        "GRADIENT": GRADIENT,
    }
    text = ""
    for part in parts:
        for i, piece in enumerate(part if isinstance(part, list) else [part]):
            text += piece.format(x=op.names[i], i=i, **words)
    return text


def names_of(op):
    """The names that both texts use."""
    return {
        "_op": op,
        "_forward": op.forward,
        "_rules": op.rules,
        "_vjp": Op.vjp,
        "_Tensor": Tensor,
        "_record": record,
        "_constant": constant,
        "_in_forward": in_forward,
        "_no_rule": no_rule,
        "_recording": recording.get,
        "_scope": scope.get,
        "_tick": tick,
        "_new": object.__new__,
        "_ndarray": np.ndarray,
        "_generic": np.generic,
        "_asarray": np.asarray,
    }


def speed_up(op):
    """Gives an op its own vjp. Returns the body of its call, and the names that the body uses."""
    names = names_of(op)
    exec(vjp_text(op), names)
    op.vjp = names["vjp"]
    return call_text(op), names
