"""What is imported when a program first asks for it: the rest of NumPy's functions, other names."""

from importlib import import_module

is_complete = False  # whether minigrad itself is imported


def vocabulary():
    """Imports the rest of the vocabulary. It adds NumPy's functions and the methods of Tensor."""
    if is_complete:
        import_module("minigrad.vocabulary")


def calls():
    """The module that calls NumPy's functions in other ways than by an op or a composition."""
    vocabulary()
    return import_module("minigrad.vocabulary.calls")


def by_other_names(op, args, **others):
    """op(*args) with settings that are spelled as in PyTorch."""
    return import_module("minigrad.vocabulary.keywords").by_other_names(op, args, others)


def attribute(owner, name, tensor=None):
    """What `owner`, a module or "Tensor", has under a name of PyTorch. Raises AttributeError."""
    if name.startswith("_") or not is_complete:
        raise AttributeError(f"{owner} has no attribute {name!r}")
    return import_module("minigrad.vocabulary.pytorch").attribute(owner, name, tensor)


def names_of(owner):
    """The `__getattr__` of a module: names of PyTorch, or an error that says what does the same."""
    return lambda name: attribute(owner, name)


def method(tensor, name):
    """The `__getattr__` of Tensor: methods with names of PyTorch."""
    return attribute("Tensor", name, tensor)
