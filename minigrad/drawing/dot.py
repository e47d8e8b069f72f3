"""The records that describe a picture, and the texts written from them: DOT for Graphviz, and lines for a terminal.

Every kind of node has a shape and a fill of its own, so that a picture can be read in grey as well.
"""

import html
import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

WIDEST = 40  # letters of a name or an attribute shown at most
PARAMETERS = "parameter", "frozen"  # kinds


# ----------------------------------------------------------------------------------------- records


class Row(NamedTuple):
    """A line of text in a node, and its role: a key of ROWS."""

    text: str
    role: str


@dataclass(eq=False)
class Group:
    """A module, drawn as a box around its nodes."""

    name: str
    type: str = ""
    parameters: int = 0


PENALTIES = Group("penalties")  # the box around penalties that no module made
FORWARD, BACKWARD = Group("forward"), Group("backward")


@dataclass
class Node:
    """One drawn node. `scope`: the Groups it lies in, outermost first."""

    id: str
    kind: str
    title: str
    rows: list
    scope: tuple = ()
    is_root: bool = False
    tooltip: str = ""
    holds: tuple = ()  # what it stands for: the `order` of each tensor, ("array", its id) of an array

    @property
    def path(self):
        """Where it lies and what it is called, as in `encoder.fc1.weight`."""
        title = self.title if self.kind == "module" else self.title.replace(": ", ".", 1)
        return ".".join(
            [*(group.name for group in self.scope if group.name and group is not PENALTIES), title]
        )


@dataclass
class Edge:
    """An arrow between two node ids. `style`: a key of EDGES; `weight`: how straight it should run; `rms`: of its gradient, if known."""

    source: str
    target: str
    label: str = ""
    style: str = "gradient"
    weight: int = 1
    rms: float = None
    tooltip: str = ""


class Picture(NamedTuple):
    """All that is drawn. `heading`: a Row above the picture; `compact`: nodes without the numbers."""

    nodes: list
    edges: list
    heading: Row
    title: str = None
    direction: str = "TB"
    legend: bool = False
    compact: bool = False


# ------------------------------------------------------------------------------------------- looks


class Look(NamedTuple):
    """How a kind of node is drawn."""

    shape: str
    style: str
    fill: str
    line: str
    ink: str
    meaning: str = ""  # in the legend


LOOKS = {
    "data": Look("note", "filled", "#DCEBF7", "#2F6DA8", "#10243A", "data: input or target"),
    "constant": Look("ellipse", "filled,dashed", "#F0F0F0", "#8A8A8A", "#333333", "number"),
    "parameter": Look("cylinder", "filled", "#F6D48A", "#9A6A00", "#2B1E00", "parameter"),
    "frozen": Look(
        "cylinder", "filled,dashed", "#F3EBDB", "#9A8A6A", "#2B1E00", "frozen parameter"
    ),
    "noise": Look("circle", "filled", "#E6C3DA", "#8E3A72", "#3A0F2C", "noise"),
    "operation": Look("box", "filled,rounded", "#FFFFFF", "#5F6B76", "#111111", "operation"),
    "random": Look("hexagon", "filled", "#E6C3DA", "#8E3A72", "#3A0F2C", "random operation"),
    "loss": Look("box", "filled,diagonals", "#9CCFE6", "#0B6088", "#04222F", "loss on data"),
    "penalty": Look("octagon", "filled", "#F0A988", "#A8410A", "#3A1300", "penalty"),
    "root": Look("box", "filled", "#12364F", "#000000", "#FFFFFF", "root: backward starts here"),
    "derivative": Look("tab", "filled", "#0B5A8A", "#000000", "#FFFFFF", "gradient of a leaf"),
    "module": Look("plain", "", "#FFFFFF", "#4A5764", "#111111", "folded"),
    "chip": Look("box", "filled,rounded,dashed", "#FFF6F0", "#A8410A", "#3A1300"),
}
MODULE_TINTS, MODULE_LINE = ("#F4F7FA", "#E9EFF5", "#DEE7EF", "#D3DFE9"), "#93A3B1"
WHITE, DIM, RED, BLUE, GREEN, BROWN, GREY = (
    "#FFFFFF",
    "#3D4650",
    "#C1121F",
    "#0B5A8A",
    "#00664B",
    "#A8410A",
    "#6B7680",
)

# How a row of a node is set: size (Graphviz takes whole numbers), HTML-like tag, colour on white (None, and on all other fills: the ink of the kind).
ROWS = dict.fromkeys(["shape", "about", "attribute", "value", "term"], (9, None, None)) | {
    "title": (11, "B", None),
    "number": (10, "B", None),
    "gradient": (9, None, BLUE),
    "missing": (9, "I", None),
    "note": (9, "I", None),
    "caption": (9, None, DIM),
    "legend": (8, None, None),
    "ok": (9, "B", GREEN),
    "alarm": (9, "B", RED),
    "band": (9, "B", WHITE),  # on red, whatever the kind
    "reason": (9, None, RED),
}
COMPACT = {"shape", "number", "note", "alarm", "band", "reason"}  # the rows of a compact node
TROUBLE = {"band": 3.5, "alarm": 2.0}  # role of a row -> width of the red outline of its node

ROOM = {  # shape: its height in heights of the text, and the share of its width that it has at a part of its half height
    "hexagon": (1.15, lambda y: 1 - y / 2),
    "octagon": (1.25, lambda y: min(1, 1.414 - y)),
    "cylinder": (1.35, lambda y: 0.9),
    "circle": (1.5, lambda y: math.sqrt(1 - y * y)),
}

EDGES = {
    "gradient": "",
    "none": f'style=dotted color="{GREY}"',
    "penalty": f'style=dashed color="{BROWN}"',
    "used": f'color="{GREY}" penwidth=0.6 arrowhead=odot arrowsize=0.5 constraint=false',  # by the backward pass
}
AT_ONCE = 80  # nodes; to rank more at once may take minutes
PLAIN, THIN, THICK = (
    1.1,
    0.6,
    3.4,
)  # widths of edges: gradient not known; rms 1e-6 and below; 1 and above

NOTES = {  # in the legend, where there is such a row or edge
    "value": ("number ± number: mean and standard deviation", DIM),
    "gradient": ("∂: the gradient", BLUE),
    "rms": ("thick line: large gradient", DIM),
    "none edge": ("dotted line: no gradient", DIM),
    "penalty edge": ("dashed line: into a penalty", BROWN),
    "used edge": ("line with a ring: used on the way back", DIM),
}

# Widths of Arial's letters in thousandths of the size, plain and bold. Graphviz measures the same.
NARROW = {
    222: "ijl",
    191: "'",
    260: "|",
    278: " !,./:;I[\\]ft",
    333: "()-r`",
    334: "{}",
    355: '"',
    389: "*",
    469: "^",
    500: "Jcksvxyz",
    611: "FTZ",
}
NARROW |= {
    494: "∂",
    549: "±",
    584: "+<=>~",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1015: "@",
}
BOLD = {
    238: "'",
    278: " ,./I\\ijl",
    280: "|",
    333: "!()-:;[]`ft",
    389: "*r{}",
    474: '"',
    494: "∂",
    500: "z",
    549: "±",
    584: "+<=>^~",
}
BOLD |= {
    611: "?FLTZbdghnopqu",
    667: "EPSVXY",
    722: "&ABCDHKNRU",
    778: "GOQw",
    833: "M",
    889: "%m",
    944: "W",
    975: "@",
}
WIDTHS = [
    {letter: width for width, letters in table.items() for letter in letters}
    for table in (NARROW, BOLD)
]


def text_width(text, size, bold=False):
    """In points. What is not in the tables counts as a digit, and far eastern letters as square."""
    widths = WIDTHS[bold]
    return sum(widths.get(c, 1000 if c > "\u2e80" else 556) for c in text) * size / 1000


# --------------------------------------------------------------------------------------------- DOT


def dot(picture):
    """The picture as the text of a DOT digraph."""
    nodes, edges = picture.nodes, picture.edges
    lines = [
        "digraph {",
        f'graph [rankdir={picture.direction} fontname=Arial bgcolor="{WHITE}" nodesep=0.3 ranksep=0.35 pad=0.2 tooltip=" "]',
        # remincross would reorder the insides of modules once more, and part parameters from their ops. Without nslimit a leaf
        # with edges to hundreds of ranks takes over a minute; with less, long edges are crooked, and these take long.
        f"graph [remincross=false nslimit={min(20, 2000 // len(nodes))} nslimit1=5]",
        'node [fontname=Arial fontsize=9 margin="0.12,0.06" penwidth=1.1]',
        f'edge [fontname=Arial fontsize=8 arrowsize=0.7 penwidth={PLAIN} color="#39424B" fontcolor="{DIM}"]',
    ]
    lines += ["graph [newrank=true]"] * (len(nodes) <= AT_ONCE and _comes_back(nodes, edges))
    backward = {node.id for node in nodes if BACKWARD in node.scope}
    beside = (
        {} if backward else _beside(nodes, edges)
    )  # Graphviz cannot always rank both (its error: trouble in init_rank)
    opened, places = (), {FORWARD: -3, BACKWARD: -2, PENALTIES: -1}
    for group in (group for node in nodes for group in node.scope):
        places.setdefault(group, len(places) - 3)
    # each module is opened once; penalties come first, which keeps them to the right of the modules
    for node in sorted(
        nodes,
        key=lambda node: (PENALTIES not in node.scope, [places[group] for group in node.scope]),
    ):
        shared = sum(a == b for a, b in zip(opened, node.scope))
        lines += ["}"] * (len(opened) - shared)
        for depth, group in enumerate(node.scope[shared:], shared):
            lines += [
                f"subgraph cluster_{group.name if places[group] < 0 else places[group]} {{",
                _group_line(group, depth),
            ]
        opened = node.scope
        lines.append(_node_line(node, picture.compact))
        if node.id in beside:
            abreast = sorted([*beside[node.id].values(), node.id], key=lambda id: int(id[1:]))
            lines.append(f"{{ rank=same; {'; '.join(abreast)} }}")
    lines += ["}"] * len(opened)
    for edge in edges:  # the backward pass runs upwards, beside the forward pass
        on_right = beside.get(edge.target, {}).get("right") == edge.source
        lines.append(_edge_line(edge, on_right or {edge.source, edge.target} <= backward))
    if picture.legend:
        lines += _legend(picture)
    above = [Row(short(picture.title, 80), "title")] * bool(picture.title) + [
        picture.heading,
        Row("", "caption"),
    ]
    label = _table(_line(row, LOOKS["operation"], "LEFT") for row in above)
    return "\n".join(
        [*lines, f"graph [labelloc=t labeljust=l label={label}]", "}\n"]
    )  # last, or clusters would inherit it


def _comes_back(nodes, edges):
    """Whether a path leaves a module and comes back to it. Edges run upwards then, unless Graphviz ranks all nodes at once."""
    sources, left = {}, {}  # left: id of a node -> the groups that the paths to it have left
    for edge in edges:
        sources.setdefault(edge.target, []).append(edge.source)
    scopes = {node.id: {*node.scope} for node in nodes}
    for id, scope in scopes.items():  # sources come first
        left[id] = {
            group
            for source in sources.get(id, ())
            for group in left[source] | scopes[source] - scope
        }
        if left[id] & scope:
            return True
    return False


def _beside(nodes, edges):
    """{id of an op: {side: id of the parameter that stands there}}: layers then form a straight line.

    A parameter stands next to the first op that uses it, if that has other inputs and lies in the same box: on the right if
    other nodes use it too, as penalties do, where its edges are out of the way.
    """
    by_id, uses = {n.id: n for n in nodes}, Counter(e.source for e in edges)
    first = {e.source: e.target for e in reversed(edges)}
    trunk = {e.target for e in edges if by_id[e.source].kind not in PARAMETERS}
    beside = {}
    for edge in sorted(
        edges, key=lambda e: -uses[e.source]
    ):  # the right side is for the one that most nodes use
        source, op = by_id[edge.source], by_id[edge.target]
        fits = (
            source.kind in PARAMETERS
            and source.scope == op.scope
            and op.id in trunk
            and op.kind != "penalty"
        )
        if fits and first[source.id] == op.id:
            taken = beside.setdefault(op.id, {})
            sides = ("right", "left") if uses[source.id] > 1 else ("left", "right")
            if free := [side for side in sides if side not in taken]:
                taken[free[0]] = source.id
    return beside


def _group_line(group, depth):
    name, size = (
        f"<B>{html.escape(group.name)}</B>" * bool(group.name),
        f'<FONT COLOR="{DIM}">{group.parameters:,} parameters</FONT>',
    )
    words = filter(None, [name, html.escape(group.type), size * bool(group.parameters)])
    style, fill, line = "rounded,filled", MODULE_TINTS[depth % len(MODULE_TINTS)], MODULE_LINE
    if group is PENALTIES:
        style, fill, line = "rounded,filled,dashed", "#FFF6F0", BROWN
    elif group in (FORWARD, BACKWARD):
        fill = WHITE
    tooltip = quoted(" ".join(filter(None, [group.name, group.type])))
    return f'graph [style="{style}" fillcolor="{fill}" color="{line}" labeljust=l fontsize=9 tooltip={tooltip} label=<{"  ".join(words)}>]'


def _node_line(node, compact=False, extra=""):
    look = LOOKS[node.kind]
    rows = [Row(node.title, "title")] if node.title else []
    rows += [
        row
        for row in node.rows
        if not compact or row.role in COMPACT or node.is_root or not node.title
    ]
    trouble = max((TROUBLE.get(row.role, 0) for row in rows), default=0)
    line, tooltip = RED if trouble else look.line, f"tooltip={quoted(node.tooltip)}"
    if look.shape == "plain":
        return f"{node.id} [shape=plain {tooltip} label={_card(rows, look, line, trouble or (3 if node.is_root else 1))}]"
    paint = (
        f'style="{look.style}" fillcolor="{look.fill}" color="{line}"'
        + f" penwidth={trouble}" * bool(trouble)
    )
    extent = " peripheries=2" * node.is_root + (_size(rows, look.shape) or extra)
    rim = [_space(8 if len(rows) > 1 else 2)] * (look.shape == "cylinder")
    return f"{node.id} [shape={look.shape} {paint}{extent} {tooltip} label={_table(rim + [_line(row, look) for row in rows])}]"


def _card(rows, look, line, border):
    """A table with a dark head: what is folded."""
    cell = f' BGCOLOR="{line}" CELLPADDING="{4 if rows[1:] else 1}" WIDTH="{14 + max(map(_width, rows)):.0f}"'
    lines = [_cell(f"<B>+ {html.escape(rows[0].text)}</B>", ROWS[rows[0].role][0], WHITE, cell)]
    lines += [_line(row, look) for row in rows[1:]] + [_space(3)] * (len(rows) > 1)
    return _table(lines, f"{border:g}", more=f' COLOR="{line}" BGCOLOR="{look.fill}"')


def _table(lines, border=0, padding=1, more=""):
    frame = f'BORDER="{border}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}"{more}'
    return f"<<TABLE {frame}>{''.join(lines)}</TABLE>>"


def _cell(text, size, colour, cell=""):
    return f'<TR><TD{cell}><FONT POINT-SIZE="{size}" COLOR="{colour}">{text}</FONT></TD></TR>'


def _space(height):
    return f'<TR><TD HEIGHT="{height}"></TD></TR>'


def _line(row, look, align=None):
    size, tag, colour = ROWS[row.role]
    if not row.text:
        return _space(3)
    if colour is None or (
        look.fill != WHITE and row.role != "band"
    ):  # colours are legible on white alone
        colour = look.ink
    text = html.escape(row.text)
    cell = f' BGCOLOR="{RED}"' * (row.role == "band") + f' ALIGN="{align}"' * bool(align)
    cell += f' CELLPADDING="0" HEIGHT="{_height(row)}" VALIGN="{"BOTTOM" if tag else "TOP"}"'  # Graphviz sets text with a tag too high
    return _cell(f"<{tag}>{text}</{tag}>" if tag else text, size, colour, cell)


def _size(rows, shape):
    """Width and height for a shape around which Graphviz leaves too much room."""
    if shape not in ROOM:
        return ""
    high, share = ROOM[shape]
    y = -sum(map(_height, rows)) / 2
    width, height = 0, -2 * y * high + 8
    for row in rows:
        top, y = y, y + _height(row)
        width = max(width, (_width(row) + 8) / share(max(-top, y) / (height / 2)))
    return f" fixedsize=true width={width / 72:.2f} height={height / 72:.2f}"


def _height(row):
    return math.ceil(1.2 * ROWS[row.role][0] + 2)


def _width(row):
    return text_width(row.text, ROWS[row.role][0], ROWS[row.role][1] == "B")


def _edge_line(edge, reversed):
    """`reversed`: written from target to source, which turns the layout around: a source on the right of a target of the same rank.

    Spaces keep its text off the line and, where that is thick, off the arrowhead.
    """
    ends = (edge.target, edge.source) if reversed else (edge.source, edge.target)
    width = f"penwidth={edge_width(edge.rms):.2f}" if edge.rms is not None else ""
    words = [
        f"label=<{'&#160;' * (1 if edge.rms is None else 3)}{html.escape(edge.label)}>"
        * bool(edge.label),
        f"tooltip={quoted(edge.tooltip)}" * bool(edge.tooltip),
    ]
    attributes = [f"weight={edge.weight}", EDGES[edge.style], "dir=back" * reversed, width, *words]
    return f"{ends[0]} -> {ends[1]} [{' '.join(filter(None, attributes))}]"


def edge_width(rms):
    """By the logarithm of the size of the gradient."""
    if not 0 < rms < math.inf:
        return THIN if rms == 0 else THICK
    return THIN + (THICK - THIN) * min(max((math.log10(rms) + 6) / 6, 0), 1)


def _legend(picture):
    """The kinds that are there as small nodes, in rows under the root; above them what texts and lines mean."""
    nodes, edges = picture.nodes, picture.edges
    rows = [
        row
        for node in nodes
        for row in node.rows
        if (not picture.compact or row.role in COMPACT) and (row.role != "value" or "±" in row.text)
    ]
    seen = (
        {row.role for row in rows}
        | {f"{edge.style} edge" for edge in edges}
        | {"rms" for edge in edges if edge.rms is not None}
    )
    notes = [("legend", DIM), *(note for key, note in NOTES.items() if key in seen)]
    label = _table((_cell(text, 8, colour, ' ALIGN="LEFT"') for text, colour in notes), padding=0)
    kinds = [
        kind for kind in LOOKS if LOOKS[kind].meaning and any(node.kind == kind for node in nodes)
    ]
    samples = [
        Node(f"legend_{i}", kind, "", [Row(LOOKS[kind].meaning, "legend")], is_root=kind == "root")
        for i, kind in enumerate(kinds)
    ]
    box = f'graph [style="rounded" color="{MODULE_LINE}" labeljust=l tooltip=" " label={label}]'
    found = [_node_line(s, extra=' margin="0.07,0.04" width=0 height=0') for s in samples]
    above = next((node.id for node in reversed(nodes) if node.is_root), nodes[-1].id)
    abreast = -(-len(samples) // -(-len(samples) // 4))  # rows of four at most, and about equal
    over = [above] * abreast + [sample.id for sample in samples]
    links = [
        f"{a} -> {sample.id} [style=invis weight={9 * (a != above)}]"
        for a, sample in zip(over, samples)
    ]
    step = (
        -1 if picture.direction in ("LR", "RL") else 1
    )  # from left to right becomes from the bottom to the top there
    return ["subgraph cluster_legend {", box, *found[::step], "}", *links[::step]]


def quoted(text):
    """A DOT string, in which backslashes (Graphviz unescapes them twice) and entities mean nothing."""
    lines = (printable(line) for line in text.split("\n"))
    return (
        '"' + "\\n".join(html.escape(line).replace("\\", "\\" * 4) for line in lines) + '"'
        if text
        else '" "'
    )


def printable(text):
    return "".join(c if c.isprintable() else " " for c in text)


def short(text, widest=WIDEST):
    """One printable line of at most `widest` letters."""
    line = printable(str(text)).strip()
    return line if len(line) <= widest else line[: widest - 3] + "..."


# -------------------------------------------------------------------------------------------- text


def text(picture):
    """One line a node: `n5 relu (32, 16) <- n4 | 0.60 ± 0.90 | ∂ 0.002 ± 0.017`."""
    inputs = {}
    for edge in picture.edges:
        inputs.setdefault(edge.target, []).append(
            edge.source + f" ({edge.label})" * edge.label.endswith(("twice", "times"))
        )
    lines = [short(picture.title, 80)] * bool(picture.title) + [picture.heading.text]
    for node in picture.nodes:
        start = " ".join(
            [node.id, node.path, *(row.text for row in node.rows if row.role == "shape")]
        )
        if node.id in inputs:
            start += f" <- {', '.join(inputs[node.id])}"
        lines.append(" | ".join([start, *(row.text for row in node.rows if row.role != "shape")]))
    return "\n".join(lines)
