"""The source of functions that are called by their names, with all that they need."""

import ast
import builtins
import inspect
import sys
import textwrap
import types

import numpy as np


def sources(functions):
    """{name: text} of the list `functions` and of all that they use, which comes first.

    Raises TypeError if the source of a function is not at hand.
    """
    texts = {}
    for function in functions:
        _define(function.__name__, function, texts)
    return texts


def _define(name, value, texts):
    """Adds the definition of a name to `texts`, {name: text}, and before it what it uses."""
    value = inspect.unwrap(getattr(getattr(value, "op", None), "forward", value))
    if name in texts or value is getattr(builtins, name, None) or value is np:
        return
    if isinstance(value, types.ModuleType):
        texts[name] = f"import {value.__name__}"
    elif isinstance(value, np.ufunc):
        texts[name] = f"{name} = np.{value.__name__}"
    elif isinstance(value, (int, float, str, tuple, list)):
        texts[name] = f"{name} = {value!r}"
    elif not hasattr(value, "__module__"):
        raise TypeError(f"write_out: {name} is a {type(value).__name__}, which cannot be written.")
    elif not isinstance(value, (type, types.FunctionType)) or _is_standard(value):
        texts[name] = f"from {value.__module__} import {name}"
    else:
        texts[name] = None  # on the way: a function may use itself
        text = _source(value)
        known = getattr(value, "__globals__", None) or vars(inspect.getmodule(value))
        names = [x.id for x in ast.walk(ast.parse(text)) if isinstance(x, ast.Name)]
        local = () if isinstance(value, type) else value.__code__.co_varnames
        for used in dict.fromkeys(names):
            if used in known and used not in local:
                _define(used, known[used], texts)
        del texts[name]
        texts[name] = text


def _is_standard(value):
    """Whether a file can import a function or class: it is of Python or NumPy."""
    return str(value.__module__).partition(".")[0] in {"numpy", *sys.stdlib_module_names}


def _source(value):
    """The text of a function or class, without annotations and the decorator `op`."""
    try:
        definition = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    except (OSError, SyntaxError):
        raise TypeError(f"write_out: the source of {value.__name__} is not at hand.") from None
    for node in ast.walk(definition):  # annotations need more than NumPy
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    names = [getattr(d, "id", "op") for d in definition.decorator_list]
    definition.decorator_list = [ast.Name(n) for n in names if n not in ("op", "composition")]
    return ast.unparse(definition)
