"""Where the program is: whether results are recorded, and inside which modules and functions."""

from contextvars import ContextVar

from .blocks import Mode, ModeBlock

recording = Mode("recording", default=True)


class no_grad(ModeBlock):
    """Inside this block nothing is recorded, so results need no memory. Also a decorator.

    The block holds in its own thread, as in PyTorch. For a pool of threads decorate the function:

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> predict = no_grad()(lambda x: (x * 2).requires_grad)
    >>> import minigrad as mg
    >>> with ThreadPoolExecutor() as pool:
    ...     list(pool.map(predict, [mg.Tensor(1.0, requires_grad=True)]))
    [False]

    A decorated generator function records nothing while it runs, and its caller records.
    """

    mode, value = recording, False


# ----------------------------------------------------------------------------------------- scopes

# (outer scope, the module or Composition that runs, names: see `name_in`)
scope = ContextVar("scope", default=None)


class Composition:
    """A named function of several ops, as a scope. Pictures show its nodes as one node.

    kind  as for ops: "operation", "loss", "penalty" or "random"
    """

    __slots__ = ("kind", "name")

    def __init__(self, name, kind="operation"):
        self.name, self.kind = name, kind

    def __repr__(self):
        return f"Composition({self.name!r}, {self.kind!r})"


def scoped(owner, function, *args, **kwargs):
    """Calls function(*args, **kwargs) in the scope of `owner`: a module, a Composition or a name.

    Each result remembers the scope in which it was recorded.
    """
    owner = Composition(owner) if isinstance(owner, str) else owner
    outer = scope.get()
    try:
        scope.set((outer, owner, {}))
        return function(*args, **kwargs)
    finally:
        scope.set(outer)


def around(scope):
    """A scope and the scopes around it, innermost first."""
    while scope is not None:
        yield scope
        scope = scope[0]


def is_running(owner):
    """Whether the program is inside a call of this module."""
    return any(call[1] is owner for call in around(scope.get()))


def path(scope, by_kind=False):
    """The dotted name of a scope, such as `encoder.drop1`.

    A module has the name that the module around it gives it. With `by_kind`, a module that has only
    a number there is called by its kind and its count among that kind, such as `Dropout_0`. So
    layers of other kinds do not change the name.
    """
    names, outer = [], None
    for call in reversed([*around(scope)]):
        if isinstance(call[1], Composition):
            names.append(call[1].name)
        else:
            names.append("" if outer is None else name_in(outer, call[1], by_kind))
            outer = call
    return ".".join(filter(None, names))


def name_in(call, inner, by_kind=False):
    """The name that the module of a scope gives to a module inside it, or "".

    The names are looked up once for each call of the module: the children first, since most modules
    are called by the module that holds them, then all inside.
    """
    _, module, names = call
    known = names.setdefault(by_kind, {})
    for look_up in (module.named_children, module.named_modules):
        if id(inner) not in known:
            for name, other in look_up(by_kind=by_kind):
                known.setdefault(id(other), name)
    return known.setdefault(id(inner), "")
