"""The source of functions that are called by their names, with all that they need."""

import ast
import builtins
import inspect
import sys
import textwrap
import types

import numpy as np

STANDARD = {"numpy", *sys.stdlib_module_names}  # a file imports from these


def sources(functions):
    """{name: text} of the list `functions` and of all that they use, which comes first.

    Raises TypeError if a name stands for two things, or for a thing that cannot be written.
    """
    values, texts = {}, {}
    for function in functions:
        _define(function.__name__, function, values, texts)
    return texts


def _define(name, value, values, texts):
    """Adds the definition of a name to `texts`, after the definitions of all that it uses.

    values  {name: what it stands for} of the names so far
    """
    value = inspect.unwrap(getattr(getattr(value, "op", None), "forward", value))
    if value is np or value is getattr(builtins, name, np) or value is values.get(name, np):
        return
    values[name] = value  # on the way: a function may use itself
    is_module, own_name = isinstance(value, types.ModuleType), getattr(value, "__name__", "")
    home = own_name if is_module else getattr(value, "__module__", None) or ""
    if isinstance(value, (int, float, str, tuple, list)):
        text = f"{name} = {value!r}"
    elif own_name and home.partition(".")[0] in STANDARD:
        origin = "" if is_module else f"from {home} "
        alias = "" if own_name == name else f" as {name}"
        text = f"{origin}import {own_name}{alias}"
    elif isinstance(value, types.FunctionType):
        text = _source(value)
        known = value.__globals__ | inspect.getclosurevars(value).nonlocals
        names = [x.id for x in ast.walk(ast.parse(text)) if isinstance(x, ast.Name)]
        for used in dict.fromkeys(names):
            if used in known and used not in value.__code__.co_varnames:
                _define(used, known[used], values, texts)
    else:
        raise TypeError(f"write_out: {name} is a {type(value).__name__}, which cannot be written.")
    if texts.setdefault(name, text) != text:
        raise TypeError(f"write_out: two things are called {name}. Rename one of them.")


def _source(function):
    """The text of a function, without annotations and the decorator `op`."""
    try:
        definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, SyntaxError):
        definition = None
    name = function.__name__
    if getattr(definition, "name", None) != name:  # a lambda is a part of some statement
        remedy = "Define it by `def` in a file."
        raise TypeError(f"write_out: the source of {name} is not at hand. {remedy}")
    decorators = [getattr(d, "id", "op") for d in definition.decorator_list]
    for node in ast.walk(definition):  # annotations need more than NumPy
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    definition.decorator_list = [ast.Name(n) for n in decorators if n not in ("op", "composition")]
    return ast.unparse(definition)
