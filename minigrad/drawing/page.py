"""A page that steps through a recorded graph, forward and backward: `to_html(loss, "loss.html")`.

`story` writes the steps forward, and the steps of trace.py backward, as plain records. `to_html`
puts them and the picture of the graph into one file. Its template is page.html.
"""

import html
import json
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..graph import program
from ..modes import path as dotted
from ..names import settings
from ..noise import Noise
from ..program import write_out
from .api import read
from .dot import dot, text
from .labels import Numbers, argument, law, rule_source, short
from .render import render
from .trace import trace

CORNER = 3, 5  # rows and columns of an array that are shown
BINS = 24  # of a histogram
SIDE = 64  # rows and columns of noise that are shown


# --------------------------------------------------------------------------- what the page tells


def story(root, drawn):
    """All that the page shows of the graph of `root`, as records. `drawn`: the Nodes.

    Each tensor and each array is stored once. Other records hold its number in the list.
    """
    graph, arrays = drawn[0].graph, {}
    tensors = [*graph.tensors, *graph.constants.values()]
    number = {x.order: i for i, x in enumerate(tensors)}
    home = {t.order: (node, part) for node in drawn for part in node.parts for t in part.tensors}

    def array(x):
        return arrays.setdefault(json.dumps(describe_array(x)), len(arrays))

    def step(t, **facts):
        return {"tensor": number[t.order], "op": t.op.name, "place": dotted(t.scope), **facts}

    def given(t, i, x, **facts):
        return {"argument": t.op.names[i], "tensor": number[x.order], **facts}

    def sent(t, s):
        facts = {"returned": str(s.returned), "count": s.count, "of": s.of}
        facts |= {"array": array(s.cotangent), "total": array(s.total)}
        return given(t, s.argument, s.input, rule=rule_source(t.op, s.argument), **facts)

    forward, backward, lines = [], [], []
    for t in [t for t in graph.tensors if t.args]:
        chosen = [f"{name}={argument(a)}" for name, a in settings(t).items()]
        inputs = [given(t, i, x) for i, x in graph.inputs(t)]
        forward.append(step(t, inputs=inputs, settings=chosen))
    for t, g, contributions in trace(root):
        backward.append(step(t, g=array(g), sent=[sent(t, s) for s in contributions]))
    with suppress(RuntimeError, TypeError):  # not every graph can be written as a program
        lines = write_out(root).lines
    written = [[text, part, sorted(number[t.order] for t in made)] for text, part, made in lines]
    named = [describe_tensor(x, *home.get(x.order, ()), value=array(x.data)) for x in tensors]
    records = {"tensors": named, "arrays": list(map(json.loads, arrays)), "program": written}
    return {**records, "forward": forward, "backward": backward}


def describe_tensor(x, node=None, part=None, **facts):
    """The name of a tensor, and the `node` that shows it. In a card, `part` is its own node."""
    facts |= {"node": node and node.id, "leaf": x.is_leaf}
    if isinstance(x, Noise):
        facts["noise"] = grey_levels(x)
    if node is None:  # noise need not be drawn
        return facts | {"name": x.name or law(x)}
    if len(node.tensors) == 1:
        return facts | {"name": node.path()}
    name = part.label if len(part.tensors) == 1 else x.name or x.op.name
    return facts | {"name": name, "within": node.path()}


def describe_array(array):
    """The shape of an array, its statistics, a histogram of the finite entries, and a corner."""
    array = np.asarray(array)
    value = Numbers(array)
    facts = {"shape": str(array.shape), "dtype": str(array.dtype), "size": array.size}
    facts |= {"short": str(value), "corner": _corner(array), "odd": value.bad}
    if value.bad < array.size and array.dtype.kind != "c":
        numbers = {"mean": value.mean, "std": value.std, "min": value.min, "max": value.max}
        facts |= {name: _json(np.float64(x)) for name, x in numbers.items()}
        entries = _scaled(array[np.isfinite(array)])
        facts["bins"] = np.histogram(entries, BINS, (0, 1))[0].tolist()
    return facts


def _scaled(array):
    """The entries, shifted and scaled so that they lie between 0 and 1."""
    quarters = array.astype(float) / 4  # max - min may overflow
    low, high = (quarters.min(), quarters.max()) if array.size else (0, 0)
    return (quarters - low) / (high - low or 1)


def _corner(array):
    """The first rows and columns of the last two axes, as lists, with every digit."""
    if 0 in array.shape:
        return []
    rows = np.atleast_2d(array[(0,) * (array.ndim - 2)])[: CORNER[0], : CORNER[1]]
    return [[_json(x) for x in row] for row in rows]


def _json(x):
    """A number for JSON. Numbers that JSON lacks become text."""
    return x.item() if np.isfinite(x) and x.dtype.kind != "c" else str(x)


def grey_levels(tensor):
    """Noise as rows of grey levels, 0 (lowest) to f, and the label above them."""
    columns = tensor.shape[-1] if tensor.ndim else 1
    rows = tensor.data.reshape(tensor.size // max(columns, 1), columns)[:SIDE, :SIDE]
    levels = np.rint(_scaled(rows) * 15).astype(int)
    white = "kept" if tensor.dtype == bool else "highest"
    part = ", its first rows and columns" if rows.size < tensor.size else ""
    rows = ["".join(f"{level:x}" for level in row) for row in levels]
    return {"label": f"{law(tensor)}, white is {white}{part}", "rows": rows}


# -------------------------------------------------------------------------------------- the page


class Page(str):
    """The text of a page, which a notebook shows in its cell."""

    def _repr_html_(self):
        size = 'width="100%" height="720" frameborder="0"'
        return f'<iframe srcdoc="{html.escape(self)}" {size}></iframe>'

    def __repr__(self):
        return '<a page for a browser: to_html(loss, "loss.html") writes it to a file>'


@np.errstate(all="ignore")  # the page shows which numbers are not finite
def to_html(root, path=None, *, title=None, **options):
    """A page in one file that steps through the graph of `root`, forward and backward.

    path     also writes the page to this file
    title    the title of the page
    options  the options of `draw`, for the picture. A step inside a card lights up the card

    `.grad` and the noise stay as they are, and the page loads nothing. Step 6 of backward is
    `loss.html#b6`. Returns the page, a str that a notebook shows in its cell. Raises TypeError if
    `root` is no Tensor, ValueError if it is a leaf, RuntimeError if backward cannot run.
    """
    if program("to_html", root)[-1].is_leaf:
        raise ValueError("to_html: the tensor is a leaf, so there is no step to show.")
    picture = read(root, **{"grads": False, "legend": False, **options})
    name = next(node.title for node in picture.nodes if node.is_root)
    text = json.dumps(story(root, picture.nodes), separators=(",", ":"), allow_nan=False)
    parts = {"story": text.replace("<", "\\u003c"), "picture": _drawn(picture)}  # no </script>
    parts["title"] = html.escape(short(title or f"{name}, step by step", 80))
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    page = Page(re.sub("<!--(title|picture|story)-->", lambda match: parts[match[1]], template))
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


UNNEEDED = r'<!--.*?-->\n?| (xmlns(:xlink)?|xlink:title|font-family|xml:space)="[^"]*"'


def _drawn(picture):
    """A Picture as SVG. If no program can draw it: the reason, and the picture as text."""
    try:
        svg = render(dot(picture), "svg").decode()
    except RuntimeError as error:
        return f"<pre>{html.escape(str(error))}\n\n{html.escape(text(picture))}</pre>"
    return re.sub(UNNEEDED, "", svg[svg.index("<svg") :], flags=re.S)
