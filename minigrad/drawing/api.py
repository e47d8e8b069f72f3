"""The functions for users: `draw`, and the same picture as DOT text, plain text and records."""

from types import SimpleNamespace

from ..engine import Tensor
from ..functional.checks import require_whole
from ..tables import Listing
from .collapse import collapse
from .dot import Picture, dot, text
from .node import Graph
from .render import Drawing

LEGEND_FROM = 6  # nodes: a smaller picture explains itself


OPTIONS = {  # of all functions here: their choices, the default first; ... is any other value
    "direction": ("TB", "LR", "BT", "RL"),
    "depth": ("auto", None, *range(10)),
    "values": (True, False),
    "grads": (True, False, "run"),
    "noise": (False, True),
    "legend": ("auto", True, False),
    "max_nodes": (50, ...),
    "checks": (None, ...),
    "title": (None, ...),
}


def read(root, **given):
    """The Picture of the graph of `root`. Options and errors as for `draw`."""
    roots = list(root) if isinstance(root, (list, tuple)) else [root]
    if not roots or not all(isinstance(r, Tensor) for r in roots):
        needed = "the Tensor that a forward pass returned, or a list of them"
        raise TypeError(f"draw: the root is {needed}, not a {type(root).__name__}.")
    for name, value in given.items():
        if name not in OPTIONS:
            raise TypeError(f"draw has no option {name}. There are {', '.join(OPTIONS)}.")
        if ... not in OPTIONS[name] and value not in OPTIONS[name]:
            known = ", ".join(map(str, OPTIONS[name]))
            raise ValueError(f"draw: {name} is one of {known}, not {value!r}.")
    options = SimpleNamespace(**{name: first for name, (first, *_) in OPTIONS.items()} | given)
    require_whole("draw: max_nodes", options.max_nodes, 1)
    graph = Graph(roots, options)
    everything = list(graph.nodes().values())
    nodes, opened = collapse(everything, options.depth, options.max_nodes)
    for i, node in enumerate(nodes):
        node.id = f"n{i}"
    if options.legend == "auto":
        options.legend = len(nodes) >= LEGEND_FROM
    return Picture(nodes, graph.edges(nodes), graph.heading(everything, opened), options)


def draw(root, to_file=None, **options) -> Drawing:
    """The graph of `root`, a Tensor or a list of them, as a picture that a notebook shows.

    direction  "TB" (downwards), "LR", "BT" or "RL"
    depth      how many levels of modules to open; steps that repeat fold. "auto": as many levels
               as give at most `max_nodes` nodes. None: nothing folds, but of more than 400
               nodes the oldest become one card
    max_nodes  if there are more nodes than this (default: 50), modules and repeated steps fold
    values     whether to show each node's value, or its mean ± standard deviation
    grads      whether to show the gradients that tensors have. "run": the gradients of all nodes,
               from a backward pass that changes nothing
    noise      whether the noise of a random op is a node of its own
    checks     the report of check_graph(root): each node shows its verdict
    legend     whether to explain shapes and lines. "auto": from six nodes on
    title      a line above the picture
    to_file    also writes the picture to this path: .svg, .png, .pdf or what else a Graphviz
               program writes, or the DOT text as .gv or .dot

    Returns a Drawing, with the DOT text in `source`. Raises TypeError for a root that is not a
    Tensor and for an unknown option, ValueError for an unknown setting or the report of another
    graph; RuntimeError if grads="run" cannot run backward or if no Graphviz program can write the
    file.
    """
    drawing = Drawing(read(root, **options))
    if to_file is not None:
        drawing.render(to_file)
    return drawing


def to_dot(root, **options) -> str:
    """The DOT text of the picture, for any Graphviz. Options as for `draw`."""
    return Listing(dot(read(root, **options)))


def to_text(root, **options) -> str:
    """The graph as text, a line for each node, for a terminal.

    Options as for `draw`, except that noise is shown unless noise=False.

    >>> x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> print(to_text((x * x).sum()))
    3 nodes, 2 parameters, gradients not computed
    n0 x (2,) | 1.50 ± 0.50
    n1 multiply (2,) <- n0 (twice) | 2.5 ± 1.5
    n2 sum <- n1 | = 5
    """
    return Listing(text(read(root, **{"noise": True, **options})))


def describe(root, **options):
    """The graph as records: (nodes, edges), oldest first.

    Options as for `draw`, except that all modules are open unless `depth` is given.
    A Node has id, kind, title, rows (text, role), tooltip, path(), is_root, its tensors and its
    uses; an Edge has source, target, label and style. A picture of your own takes a few
    lines:

    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> nodes, edges = describe(x * x)
    >>> for node in nodes:
    ...     print(f'{node.id} [label="{node.title} {node.value}"]')
    n0 [label="x = 3"]
    n1 [label="multiply = 9"]
    >>> for edge in edges:
    ...     print(f'{edge.source} -> {edge.target} [label="{edge.label}"]')
    n0 -> n1 [label="twice"]
    """
    picture = read(root, **{"depth": None, **options})
    return picture.nodes, picture.edges
