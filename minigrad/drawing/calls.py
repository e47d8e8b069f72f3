"""What one calls for a picture, and what it is written to."""

import inspect
from functools import wraps
from pathlib import Path

from .dot import dot, text
from .picture import read
from .stepper import to_html

SUFFIXES = (".svg", ".png", ".pdf", ".gv", ".dot", ".txt", ".html")


def _with_options(function):
    """Shows the options of `read` in the signature of a function that passes them on, and refuses others."""
    own = list(inspect.signature(function).parameters.values())[:-1]
    options = list(inspect.signature(read).parameters.values())[1:-1]
    names = [p.name for p in own[1:] + options]

    @wraps(function)
    def call(root, **given):
        if unknown := given.keys() - names:
            raise TypeError(
                f"{function.__name__} has no option {', '.join(unknown)}. There are {', '.join(names)}."
            )
        return function(root, **given)

    call.__signature__ = inspect.Signature(own + options)
    return call


@_with_options
def draw(root, *, to_file=None, **options):
    """The graph of `root`, a Tensor or a list of them, as a picture that a notebook shows.

    direction  "TB" (downwards) or "LR", "BT", "RL"
    depth      levels of modules to open; "auto": the deepest that gives at most `max_nodes` nodes, 30 below and 8 beside each other;
               None: all, and nothing is folded but, of more than 400 nodes, the oldest
    detail     "full"; "compact": no numbers but in the tooltips; "auto": compact above `max_nodes` nodes
    values     each node's value, or mean ± standard deviation
    grads      gradients, where there are any; "run": of every node, and along every edge, from a backward pass that leaves no trace
    shapes, attributes   show them
    constants  numbers as nodes of their own, not as text
    noise      the noise of a random op as a node of its own
    names      {name: Tensor}, such as locals(); other values are ignored
    checks     what check_graph(root) returned: each node gets its verdict
    legend     says what shapes and lines mean; "auto": from six nodes on
    backward   also draws the graph of the backward pass
    title      stands above it
    to_file    also writes it there: .svg, .png, .pdf, .html (a page that steps through it), .txt, or the DOT text as .gv or .dot
    """
    suffix = Path(to_file).suffix if to_file is not None else None
    if suffix is not None and suffix not in SUFFIXES:
        raise ValueError(f"draw: to_file ends in {', '.join(SUFFIXES)}; got {str(to_file)!r}.")
    picture = read(root, **options)
    try:
        from .render import Drawing  # graphviz is needed only now
    except ImportError:
        raise ImportError(
            "draw needs the package graphviz: pip install graphviz graphviz-pure. to_dot and to_text do without."
        ) from None
    drawing = Drawing(picture)
    if suffix in (".gv", ".dot", ".txt"):
        Path(to_file).write_text(
            to_text(root, **options) + "\n" if suffix == ".txt" else drawing.source,
            encoding="utf-8",
        )
    elif suffix == ".html":
        to_html(root, to_file, **options)
    elif suffix is not None:
        drawing.render(outfile=to_file)
    return drawing


@_with_options
def to_dot(root, **options):
    """The DOT text of the picture, for any Graphviz; needs no package. Options as for `draw`."""
    return dot(read(root, **options))


@_with_options
def to_text(root, **options):
    """The picture as text, one line a node, for a terminal: `n5 relu (32, 16) <- n4 | 0.60 ± 0.90 | ∂ ...`. Options as for `draw`."""
    return text(read(root, chips=False, **options))


def draw_dot(root, format="svg", rankdir="LR"):
    """micrograd's name and arguments for `draw`."""
    drawing = draw(root, direction=rankdir)
    drawing.format = format
    return drawing


def make_dot(var, params=None):
    """torchviz's name and arguments for `draw`; `params`: {name: Tensor}."""
    return draw(var, names=params)
