"""Parts that are imported when a program needs them: other NumPy functions, PyTorch's names."""

import sys
from functools import partial
from importlib import import_module

is_complete = False  # whether minigrad itself is imported

# PyTorch's names for methods of Tensor, and names that only have advice
NAMES = """
    view view_as permute unsqueeze clone contiguous expand expand_as t mT norm masked_fill gather
    index_select where topk sort argsort chunk split unbind dim numel equal cpu float double half
    long int bool amax amin det inverse swapdims movedim moveaxis flip fliplr flipud roll rot90 tile
    take diag diagonal trace tril triu diff cumprod count_nonzero nansum nanmean quantile isnan
    isinf isfinite isclose allclose add sub subtract mul multiply div divide true_divide neg
    negative pow remainder square reciprocal absolute sign floor ceil trunc sin cos tan arcsin
    asin arccos acos arctan atan arctan2 atan2 sinh cosh arcsinh asinh arccosh acosh arctanh atanh
    exp2 expm1 log1p log2 log10 logaddexp hypot sinc erf erfc maximum minimum fmax fmin clamp
    softmax log_softmax logsumexp softplus mm bmm mv outer ger inner kron cross eq ne lt le gt ge
    logical_and logical_or logical_not to cuda device repeat nonzero median unique zero_ fill_
    copy_ normal_ uniform_ add_ sub_ mul_ div_ pow_ neg_ abs_ exp_ log_ sqrt_ square_ clamp_ clip_
    relu_ sigmoid_ tanh_ masked_fill_ floor_ round_ copy"""
METHODS = NAMES.split()


def vocabulary():
    """Imports the rest of the vocabulary. It adds NumPy's functions and the methods of Tensor."""
    if is_complete:
        import_module("minigrad.vocabulary")


def calls():
    """The module for calls of NumPy's functions that no op or composition serves."""
    vocabulary()
    return import_module("minigrad.vocabulary.calls")


def foreign():
    """The module for arrays of other libraries."""
    return import_module("minigrad.foreign")


def by_keywords(op, args, others):
    """op(*args) with the keywords `others`, which the op does not have."""
    return import_module("minigrad.vocabulary.pytorch").by_keywords(op, args, others)


def attribute(owner, name, tensor=None):
    """The attribute of `owner`, a module or "Tensor", for a name of PyTorch, or AttributeError."""
    if name.startswith("_") or not is_complete:
        raise AttributeError(f"{owner} has no attribute {name!r}")
    return import_module("minigrad.vocabulary.pytorch").attribute(owner, name, tensor)


def offer_names(module):
    """Gives a module PyTorch's names. Type checkers do not see this, so they know its own names."""
    sys.modules[module].__getattr__ = partial(attribute, module)


class Method:
    """A method of Tensor whose function comes with the vocabulary."""

    def __init__(self, name):
        self.name = name

    def __get__(self, tensor, owner):
        return attribute("Tensor", self.name, tensor)


class Shown(type):
    """The metaclass of Tensor. It makes dir(Tensor) and help(Tensor) short.

    They leave out Python's operators and protocols, and PyTorch's names. For a tensor t, dir(t) has
    all names.
    """

    def __dir__(cls):
        return [n for n in super().__dir__() if n[0] != "_" and n not in METHODS]
