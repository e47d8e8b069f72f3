"""PyTorch's names."""


def attribute(owner, name, tensor=None):
    raise AttributeError(f"{owner} has no attribute {name!r}")
