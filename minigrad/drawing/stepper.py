"""A page that steps through a recorded graph, forward and backward: `to_html(loss, "loss.html")`.

`story` writes down as plain records what trace.py tells of the backward pass, and `to_html` puts them into one file beside the
picture of the graph. The file's template, stepper.html, holds all its style and script, and needs nothing from any network.
"""

import html
import json
import re
from pathlib import Path

import numpy as np

from ..array import data_of
from ..engine import Tensor
from ..graph import program
from ..modes import path as dotted
from ..noise import Noise
from .dot import dot, short, text
from .picture import read
from .trace import trace
from .words import argument, is_operand, law, numbers, rule_source

LIMIT = 300  # steps and drawn nodes
CORNER = 3, 5  # rows and columns of an array that are shown
BINS = 24  # of a histogram
SIDE = 64  # rows and columns of noise that are shown


# ------------------------------------------------------------------------------------ what the page tells


def story(root, gradient=None, drawn=()):
    """All that the page tells of the graph of `root`, as plain records; `drawn`: the Nodes of the picture."""
    home = {
        key: {"node": node.id} | ({"within": node.path} if len(node.holds) > 1 else {})
        for node in drawn
        for key in node.holds
    }
    names = {node.holds[0]: node.path for node in drawn if len(node.holds) == 1}
    tensors, numbers_of, arrays, rules = (
        [],
        {},
        {},
        {},
    )  # what is told once, and then goes by its number

    def array(x):
        return arrays.setdefault(json.dumps(summary(x)), len(arrays))

    def tensor(x, otherwise=None):
        key = x.order if isinstance(x, Tensor) else ("array", id(x))
        if key not in numbers_of:
            numbers_of[key] = len(tensors)
            op = x.op.name if isinstance(x, Tensor) and not x.is_leaf else None
            name = (
                names.get(key)
                or getattr(x, "name", None)
                or op
                or (law(x) if isinstance(x, Noise) else otherwise)
            )
            tensors.append(
                home.get(key, {"node": None})
                | {"name": name, "leaf": op is None, "value": array(data_of(x))}
            )
            if isinstance(x, Noise):
                tensors[-1]["noise"] = noise(x)
        return numbers_of[key]

    def step(node):
        return {"tensor": tensor(node), "op": node.op.name, "place": dotted(node.scope)}

    forward, backward = [], []
    for node in program("to_html", root):
        if node.args:
            inputs = [
                {"argument": node.op.names[i], "tensor": tensor(x, node.op.names[i])}
                for i, x in _operands(node)
            ]
            settings = [
                f"{node.op.names[i]}={argument(a)}"
                for i, a in enumerate(node.args)
                if not is_operand(a)
            ]
            forward.append(step(node) | {"inputs": inputs, "settings": settings})
    for node, g, sent in trace(root, gradient):
        told = []
        for s in sent:
            record = {
                "tensor": tensor(s.input),
                "argument": node.op.names[s.argument],
                "returned": str(s.returned),
            }
            record |= {
                "array": array(s.cotangent),
                "count": s.count,
                "of": s.of,
                "total": array(s.total),
            }
            told.append(
                record | {"rule": rules.setdefault(rule_source(node.op, s.argument), len(rules))}
            )
        nothing = [
            node.op.names[i] for i, x in _operands(node) if not any(s.argument == i for s in sent)
        ]
        backward.append(step(node) | {"g": array(g), "sent": told, "nothing": nothing})
    return {
        "tensors": tensors,
        "arrays": [*map(json.loads, arrays)],
        "rules": [*rules],
        "forward": forward,
        "backward": backward,
    }


def _operands(node):
    """(place, value) of the arguments that are Tensors or arrays, also those within an index."""
    return [
        (i, x)
        for i, a in enumerate(node.args)
        for x in (a if isinstance(a, tuple) else (a,))
        if is_operand(x)
    ]


def summary(array):
    """Of an array its shape, statistics, a histogram of what is finite, and a corner with every digit."""
    array = np.asarray(array)
    found = numbers(array)
    told = {
        "shape": str(array.shape),
        "dtype": str(array.dtype),
        "size": array.size,
        "short": str(found),
        "corner": _corner(array),
        "odd": found.bad,
    }
    if found.bad < array.size and array.dtype.kind != "c":
        moments = {"mean": found.mean, "std": found.std, "min": found.low, "max": found.high}
        told |= {name: _json(np.float64(moment)) for name, moment in moments.items()} | {
            "bins": _histogram(array.astype(float), found)
        }
    return told


def _histogram(x, found):
    x, low, high = x[np.isfinite(x)], float(found.low), float(found.high)
    with np.errstate(all="ignore"):
        bins = np.clip((x - low) / (high - low) * BINS, 0, BINS - 1) if low < high else np.zeros(1)
    return np.bincount(np.nan_to_num(bins).astype(int), minlength=BINS).tolist()


def _corner(array):
    """The first rows and columns of the last two axes, as lists."""
    if 0 in array.shape:
        return []
    rows = np.atleast_2d(array[(0,) * (array.ndim - 2)])[: CORNER[0], : CORNER[1]]
    return [[_json(x) for x in row] for row in rows]


def _json(x):
    """A number as JSON has it: a float by the fewest digits that give it back in its own dtype, nan and inf as text."""
    if isinstance(x, np.floating):
        return float(str(x)) if np.isfinite(x) else str(x)
    return str(x) if isinstance(x, np.complexfloating) else x.item()


def noise(tensor):
    """Noise as rows of grey levels, 0 (lowest) to f, and what stands above them."""
    columns = tensor.shape[-1] if tensor.ndim else 1
    rows = tensor.data.reshape(tensor.size // max(columns, 1), columns)[:SIDE, :SIDE].astype(float)
    low, high = (rows.min(), rows.max()) if rows.size else (0, 0)
    levels = np.rint((rows - low) / (high - low or 1) * 15).astype(int)
    words = [law(tensor), f"white is {'kept' if tensor.dtype == bool else 'highest'}"]
    words += ["its first rows and columns"] * (rows.size < tensor.size)
    return {
        "label": ", ".join(words),
        "rows": ["".join(f"{level:x}" for level in row) for row in levels],
    }


# ------------------------------------------------------------------------------------------- the page


@np.errstate(all="ignore")  # what is not finite is on the page
def to_html(root, path=None, *, gradient=None, **options):
    """One self-contained page that steps through the graph of `root`, forward and backward; also written to `path`.

    A root that is no scalar needs its `gradient`, as in `backward`. Further options are those of `draw`, whose picture it
    shows, by default with all modules open. `.grad` stays as it is, and so does the noise; the page loads nothing. Step 6 of backward is `loss.html#b6`.
    """
    if not isinstance(root, Tensor):
        raise TypeError(f"to_html: the root is one Tensor, not {type(root).__name__}.")
    if not (steps := sum(bool(node.args) for node in program("to_html", root))):
        raise ValueError("to_html: the tensor is a leaf, so there is no step to show.")
    title = options.pop("title", None)
    picture = read(root, chips=False, **{"depth": None, "grads": False, "legend": False, **options})
    if (most := max(steps, len(picture.nodes))) > LIMIT:
        raise ValueError(
            f"to_html: the graph has {most:,} steps or nodes, more than {LIMIT}. Step through a smaller one: fewer layers, fewer steps in time, "
            "or a smaller batch if you loop over it."
        )
    title = title or f"{next(node.title for node in picture.nodes if node.is_root)}, step by step"
    told = json.dumps(story(root, gradient, picture.nodes), separators=(",", ":"), allow_nan=False)
    parts = {
        "title": html.escape(short(title, 80)),
        "picture": _drawn(picture),
        "story": told.replace("<", "\\u003c"),  # so that no text can end the script it stands in
    }
    template = (Path(__file__).parent / "stepper.html").read_text(encoding="utf-8")
    page = re.sub("<!--(title|picture|story)-->", lambda match: parts[match[1]], template)
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def _drawn(picture):
    """A Picture as SVG, less what a page does not need; if nothing can draw it, the reason and the picture as text."""
    try:
        from .render import render  # graphviz is needed only now

        svg = render(dot(picture), "svg").decode()
    except (ImportError, RuntimeError) as error:
        lines = re.sub(
            r"^((n\d+) .*)$",
            r'<span class="node" data-id="\2">\1</span>',
            html.escape(text(picture)),
            flags=re.M,
        )
        return f"<p>{html.escape(str(error))}</p>\n<pre>{lines}</pre>"
    unneeded = r'<!--.*?-->\n?| xmlns(:xlink)?="[^"]*"| xlink:title="[^"]*"| font-family="[^"]*"| xml:space="preserve"'
    return re.sub(unneeded, "", svg[svg.index("<svg") :], flags=re.S)
