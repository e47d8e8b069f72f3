"""How a picture looks: its DOT text and its plain text.

`dot` writes a line for each node and each edge, and a box around each module. Three tables say how
they look: LOOKS has a row for each kind of node, STYLES for each role of a row of text, EDGES for
each style of edge. Kinds differ in shape or border, so a picture can be read in grey. Graphviz
measures the text, and makes each shape large enough.
"""

import html
import math
from collections import Counter
from typing import NamedTuple

from .labels import Row, joined

WHITE, DIM, RED, BLUE, GREEN = "#FFFFFF", "#3D4650", "#C1121F", "#0B5A8A", "#00664B"
BROWN, GREY = "#A8410A", "#6B7680"
MODULE_TINTS, MODULE_LINE = ("#F4F7FA", "#E9EFF5", "#DEE7EF", "#D3DFE9"), "#93A3B1"
MODULE_BOX = f'style="rounded,filled" fillcolor="{{}}" color="{MODULE_LINE}" labeljust=l'


class Look(NamedTuple):
    """How a kind of node looks, in the terms of Graphviz. `ink` is the colour of its text."""

    shape: str
    style: str
    fill: str
    line: str
    ink: str
    meaning: str  # its text in the legend
    margin: str = ""  # in inches around the text, if it differs from the margin of other kinds
    rim: int = 0  # points of space above the text


PINK, PALE = ("#E6C3DA", "#8E3A72", "#3A0F2C"), ("#F0F0F0", "#8A8A8A", "#333333")
SNUG = "0.02,0.02"  # the margin in shapes around which Graphviz leaves more room
RIM = "0.12,0.01", 6  # the margin in a cylinder, and the space below its rim

LOOKS = {  # other kinds look like an operation
    "data": Look("note", "solid", "#DCEBF7", "#2F6DA8", "#10243A", "data: input or target"),
    "parameter": Look("cylinder", "solid", "#F6D48A", "#9A6A00", "#2B1E00", "parameter", *RIM),
    "frozen": Look("cylinder", "dashed", "#F3EBDB", "#9A8A6A", "#2B1E00", "frozen parameter", *RIM),
    "noise": Look("ellipse", "solid", *PINK, "noise", SNUG),
    "operation": Look("box", "rounded", WHITE, "#5F6B76", "#111111", "operation"),
    "quiet": Look("box", "rounded,dashed", *PALE, "without gradient"),
    "random": Look("hexagon", "solid", *PINK, "random operation", SNUG),
    "loss": Look("box", "diagonals", "#9CCFE6", "#0B6088", "#04222F", "loss on data"),
    "penalty": Look("octagon", "solid", "#F0A988", BROWN, "#3A1300", "penalty", SNUG),
    "root": Look("box", "solid", "#12364F", "#000000", WHITE, "root: backward starts here"),
    "module": Look("folder", "solid", WHITE, "#4A5764", "#111111", "folded"),
}


class Style(NamedTuple):
    """How a row of text looks."""

    size: int = 9  # in points; Graphviz takes whole numbers
    tag: str = ""  # B or I
    colour: str = None  # on white. On other fills, and if None, it is the ink of the kind
    outline: float = 0  # the width of the red outline that it gives its node
    meaning: str = ""  # its text in the legend


STYLES = {
    "title": Style(11, "B"),
    "shape": Style(),
    "attribute": Style(),
    "value": Style(meaning="number ± number: mean and standard deviation"),
    "number": Style(10, "B"),
    "term": Style(),
    "gradient": Style(colour=BLUE, meaning="∂: the gradient"),
    "note": Style(tag="I"),
    "caption": Style(colour=DIM),
    "ok": Style(tag="B", colour=GREEN),
    "alarm": Style(tag="B", colour=RED, outline=2.0),
    "band": Style(tag="B", colour=WHITE, outline=3.5),  # on red, on every fill
    "reason": Style(colour=RED),
}

EDGES = {  # style: (DOT attributes, meaning and its colour in the legend)
    "gradient": ("", "", DIM),
    "none": (f'style=dotted color="{GREY}"', "dotted line: no gradient", DIM),
    "penalty": (f'style=dashed color="{BROWN}"', "dashed line: into a penalty", BROWN),
}
AT_ONCE = 80  # nodes; Graphviz may need minutes to rank more of them at once


class Picture(NamedTuple):
    """All that is drawn. `heading`: the Rows above it; `options`: the options of draw."""

    nodes: list
    edges: list
    heading: list
    options: object


# ------------------------------------------------------------------------------------- the core


def dot(picture):
    """The picture as the text of a DOT digraph."""
    groups = dict.fromkeys(group for node in picture.nodes for group in node.scope)
    number, beside = {group: i for i, group in enumerate(groups)}, _beside(picture)

    def lines(nodes, depth):
        """Nodes inside `depth` boxes. Each box around some of them is opened once."""
        inside = {}
        for node in nodes:
            inside.setdefault(node.scope[depth : depth + 1], []).append(node)
        for node in inside.pop((), ()):
            yield node_line(node)
            if node.id in beside:
                yield f"{{ rank=same; {'; '.join(beside[node.id].values())}; {node.id} }}"
        for (group,), held in inside.items():
            yield f"subgraph cluster_{number[group]} {{"
            yield group_line(group, depth)
            yield from lines(held, depth + 1)
            yield "}"

    drawn = ["digraph {", *_layout(picture), *lines(picture.nodes, 0)]
    for edge in picture.edges:
        drawn.append(edge_line(edge, beside.get(edge.target, {}).get("right") == edge.source))
    drawn += _legend(picture) if picture.options.legend else []
    above = [_line(row, LOOKS["operation"], "LEFT") for row in picture.heading]
    heading = f"graph [labelloc=t labeljust=l label={_table([*above, _space(3)])}]"
    return "\n".join([*drawn, heading, "}\n"])  # modules would inherit a heading that comes first


def node_line(node):
    """A node in DOT."""
    look = LOOKS.get(node.kind, LOOKS["operation"])
    rows = [Row(node.title, "title")] * bool(node.title) + node.rows
    outline = max((STYLES[row.role].outline for row in rows), default=0)
    line = RED if outline else look.line
    label = _table([_space(look.rim) if look.rim else "", *(_line(row, look) for row in rows)])
    paint = [f'shape={look.shape} style="filled,{look.style}" fillcolor="{look.fill}"']
    paint += [f'color="{line}"', outline and f"penwidth={outline}"]
    paint += [node.is_root and "peripheries=2", look.margin and f'margin="{look.margin}"']
    # Graphviz unescapes the backslashes of a tooltip twice
    tooltip = escaped(node.tooltip).replace("\\", "\\\\").replace("\n", "\\n")
    return f'{node.id} [{joined(" ", *paint)} tooltip="{tooltip}" label={label}]'


def edge_line(edge, turned=False):
    """An edge in DOT. `turned`: from target to source, which puts the source on the right."""
    ends = (edge.target, edge.source) if turned else (edge.source, edge.target)
    label = edge.label and f"label=<&#160;{escaped(edge.label)}>"  # not too near the line
    attributes = f"weight={edge.weight}", EDGES[edge.style][0], turned and "dir=back", label
    return f"{' -> '.join(ends)} [{joined(' ', *attributes)}]"


def group_line(group, depth):
    """The box around a module."""
    name = group.name and f"<B>{escaped(group.name)}</B>"
    label, left = joined("  ", name, escaped(group.type)), '<BR ALIGN="LEFT"/>'
    look = MODULE_BOX.format(MODULE_TINTS[depth % len(MODULE_TINTS)])
    # spaces as wide as the text push it to the left of the edges in the middle
    spaces = " " * (round(1.6 * len(group.name + group.type)) + 6)
    label += f'<FONT POINT-SIZE="11">{spaces}</FONT>{left}'
    if group.parameters:
        label += f'<FONT COLOR="{DIM}">{group.parameters:,} parameters</FONT>{left}'
    return f"graph [{look} fontsize=9 label=<{label}>]"


# ---------------------------------------------------------------------------------- the layout


def _layout(picture):
    """The settings of the whole digraph."""
    n = len(picture.nodes)
    return [
        f'graph [rankdir={picture.options.direction} fontname=Arial bgcolor="{WHITE}" nodesep=0.3 '
        'ranksep=0.35 pad=0.2 size="160,160" tooltip=" "]',  # few viewers open a larger PNG
        # remincross would reorder the insides of modules, and part parameters from their ops.
        # Without nslimit a leaf with edges to hundreds of ranks takes over a minute; with a lower
        # limit, long edges are crooked and slow.
        f"graph [remincross=false nslimit={min(20, 2000 // n)} nslimit1=5]",
        'node [fontname=Arial fontsize=9 margin="0.12,0.06" penwidth=1.1]',
        f"edge [fontname=Arial fontsize=8 arrowsize=0.7 penwidth=1.1 "
        f'color="#39424B" fontcolor="{DIM}"]',
        # without newrank, edges of a module that is called again may run upwards
        *(["graph [newrank=true]"] if n <= AT_ONCE else []),
    ]


def _beside(picture):
    """{id of an op: {side: id of the parameter that stands there}}: layers form a straight line.

    A parameter stands next to the first op that uses it, if this op has other inputs and lies in
    the same module. If other nodes use it too, it stands on the right, out of the way.
    """
    nodes, edges = {node.id: node for node in picture.nodes}, picture.edges
    uses = Counter(edge.source for edge in edges)
    first = {edge.source: edge.target for edge in reversed(edges)}
    trunk = {edge.target for edge in edges if not nodes[edge.source].is_parameter}
    near = {}
    for source, _ in uses.most_common():
        op, is_parameter = first[source], nodes[source].is_parameter
        if is_parameter and op in trunk and nodes[source].scope == nodes[op].scope:
            near.setdefault(op, []).append(source)
    sides = {True: ("right", "left"), False: ("left", "right")}
    return {op: dict(zip(sides[uses[ids[0]] > 1], ids)) for op, ids in near.items()}


# ------------------------------------------------------------------------------- HTML-like text


def _table(lines):
    frame = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"'
    return f"<<TABLE {frame}>{''.join(lines)}</TABLE>>"


def _cell(text, colour, size, cell=""):
    return f'<TR><TD{cell}><FONT POINT-SIZE="{size}" COLOR="{colour}">{text}</FONT></TD></TR>'


def _space(height):
    return f'<TR><TD HEIGHT="{height}"></TD></TR>'


def _line(row, look, align=None):
    size, tag, colour, *_ = STYLES[row.role]
    if colour is None or (look.fill != WHITE and row.role != "band"):  # hard to read on other fills
        colour = look.ink
    text = escaped(row.text) or " "  # a name may be empty
    # Graphviz sets text with a tag too high, so that lines would stand unevenly
    place = "BOTTOM" if tag else "TOP"
    cell = f' CELLPADDING="0" HEIGHT="{math.ceil(1.2 * size + 2)}" VALIGN="{place}"'
    cell += f' BGCOLOR="{RED}"' if row.role == "band" else ""
    cell += f' ALIGN="{align}"' if align else ""
    return _cell(f"<{tag}>{text}</{tag}>" if tag else text, colour, size, cell)


def escaped(text):
    """Text in which entities and backslashes stay text. Graphviz would replace \\N by an id."""
    return html.escape(text).replace("\\", "\\\\")


# ----------------------------------------------------------------------------------- the legend


def _legend(picture):
    """The legend, a table after the root: the kinds of nodes, rows and edges in the picture."""
    kinds = {node.kind if node.kind in LOOKS else "operation" for node in picture.nodes}
    rows = [row for node in picture.nodes for row in node.rows]
    roles = {row.role for row in rows if row.role != "value" or "±" in row.text}
    styles = {edge.style for edge in picture.edges}
    looks = [look for kind, look in LOOKS.items() if kind in kinds]
    lines = [(f"{look.meaning} ({look.shape})", look.ink, look.fill) for look in looks]
    lines += [(s.meaning, s.colour or DIM, WHITE) for role, s in STYLES.items() if role in roles]
    lines += [(*EDGES[style][1:], WHITE) for style in EDGES if style in styles]
    cell = ' ALIGN="LEFT" CELLPADDING="2" BGCOLOR="{}"'
    label = _table(_cell(words, ink, 8, cell.format(fill)) for words, ink, fill in lines if words)
    box = f'legend [shape=box style=rounded color="{MODULE_LINE}" tooltip=" " label={label}]'
    return [box, f"{picture.nodes[-1].id} -> legend [style=invis]"]  # the newest node is a root


# --------------------------------------------------------------------------------------- plain text


def text(picture):
    """One line a node: `n5 relu (32, 16) <- n4 | 0.60 ± 0.90 | ∂ 0.002 ± 0.017`."""
    inputs = {node.id: [] for node in picture.nodes}
    for edge in picture.edges:
        often = f" ({edge.label})" if edge.label.endswith(("twice", "times")) else ""
        inputs[edge.target].append(edge.source + often)
    lines = [row.text for row in picture.heading]
    for node in picture.nodes:
        shape = "".join(row.text for row in node.rows if row.role == "shape")
        others = [row.text for row in node.rows if row.role != "shape"]
        arrow = inputs[node.id] and f"<- {', '.join(inputs[node.id])}"
        lines.append(" | ".join([joined(" ", node.id, node.path(), shape, arrow), *others]))
    return "\n".join(lines)
