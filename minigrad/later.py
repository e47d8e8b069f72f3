"""What is imported when a program first asks for it: the rest of NumPy's functions, other names."""

from importlib import import_module

packages = []  # once minigrad itself is complete: the package with the rest of the vocabulary


def vocabulary():
    """Imports the rest of the vocabulary. It adds NumPy's functions and the methods of Tensor."""
    for name in packages:
        import_module(name)


def names_of(owner):
    """The `__getattr__` of a module: names of PyTorch, or an error that says what does the same."""

    def __getattr__(name):
        return attribute(owner, name)

    return __getattr__


def attribute(owner, name, tensor=None):
    """What `owner`, a module or "Tensor", has under a name of PyTorch. Raises AttributeError."""
    if name.startswith("_") or not packages:
        raise AttributeError(f"{owner} has no attribute {name!r}")
    return import_module("minigrad.vocabulary.pytorch").attribute(owner, name, tensor)
