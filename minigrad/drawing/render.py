"""From DOT text to a picture: the Graphviz programs that may be there, and a Digraph that uses them."""

import html
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import graphviz

from .dot import dot, text

SECONDS = 60  # given to a Graphviz program
PIXELS = 16_000  # on a side of a PNG at most; few viewers open a larger one

# Widths of Arial's letters from " " to "~" in thousandths of the size, as Graphviz measures them.
PLAIN_WIDTHS = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
]  # fmt: skip
BOLD_WIDTHS = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667,
    611, 778, 722, 278, 556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556,
    278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
]  # fmt: skip
SIGNS = {"∂": 494, "±": 549}


class RendererNotFound(graphviz.ExecutableNotFound):
    """No Graphviz program was found."""

    def __init__(self, message):
        RuntimeError.__init__(self, message)


def renderers():
    """The Graphviz programs at hand, best first.

    The one that the environment variable MINIGRAD_DOT names, graphviz-pure, the system's dot.
    """
    scripts = [  # a virtual environment's scripts need not be on PATH
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")),
        str(Path(sys.executable).parent),
    ]
    search = os.pathsep.join([*scripts, os.environ.get("PATH", "")])
    own = os.environ.get("MINIGRAD_DOT")
    programs = [
        own and (shutil.which(own) or own),
        shutil.which("graphviz-pure", path=search),
        shutil.which("dot"),
    ]
    return [program for program in programs if program]


def render(source, format):
    """The picture of a DOT text as bytes, by the first program that can draw it.

    Raises RendererNotFound if there is no program, RuntimeError if none can write the format.
    """
    programs, failures = renderers(), []
    for program in programs:
        try:
            options = _resolution(program, source) if format == "png" else []
            done = _run(program, source, f"-T{format}", *options)
        except (OSError, subprocess.TimeoutExpired) as error:
            failures.append(f"{program}: {error}")
            continue
        if done.returncode == 0 and done.stdout:
            return _finished(done.stdout.decode()).encode() if format == "svg" else done.stdout
        said = done.stderr.decode(errors="replace").strip()[:300]
        failures.append(f"{program}: {said or f'exit {done.returncode}'}")
    if programs:
        raise RuntimeError(f"no Graphviz program could write {format}. " + " ".join(failures))
    raise RendererNotFound(
        "no Graphviz program was found.\n"
        "Without administrator rights:  pip install graphviz-pure\n"
        "With them, also for PDF:       your system's package graphviz"
    )


def _run(program, source, *options):
    command = [program, *options]
    return subprocess.run(command, input=source.encode(), capture_output=True, timeout=SECONDS)


def _resolution(program, source):
    """The option for a PNG that would be too large."""
    if len(source) < 30_000:
        return []
    size = re.match(rb"graph \S+ (\S+) (\S+)", _run(program, source, "-Tplain").stdout)
    inches = max(map(float, size.groups())) if size else 0
    return [f"-Gdpi={PIXELS // inches:.0f}"] if inches * 96 > PIXELS else []


def _finished(svg):
    """An SVG for every viewer.

    Other fonts where Arial is missing, each text as wide as it was laid out, no `%3` as tooltip.
    """
    svg = re.sub(r"<title>%\d+</title>\n?", "", svg, count=1)
    svg = re.sub(r"<text ([^>]*)>([^<]*)</text>", _with_width, svg)
    return svg.replace('"Arial"', "\"Arial, Helvetica, 'Liberation Sans', sans-serif\"")


def text_width(text, size, bold=False):
    """The width of a text in Arial, in points, or None if a letter has no known width."""
    widths = BOLD_WIDTHS if bold else PLAIN_WIDTHS
    letters = [widths[ord(c) - 32] if " " <= c <= "~" else SIGNS.get(c) for c in text]
    return None if None in letters else sum(letters) * size / 1000


def _with_width(match):
    attributes, text = match.groups()
    size = re.search(r'font-size="([\d.]+)"', attributes)
    bold = 'font-weight="bold"' in attributes
    width = size and text_width(html.unescape(text), float(size[1]), bold)
    if width is None:
        return match[0]
    length = f'textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f"<text {attributes} {length}>{text}</text>"


class Drawing(graphviz.Digraph):
    """A graphviz.Digraph that finds the renderer which pip installs, and never fails in a notebook.

    `names` has the id of each node, to draw more edges to, with what the node is called; `text` is
    the same picture as plain text. No tensor is kept.
    """

    def __init__(self, picture):
        super().__init__(format="svg", body=dot(picture).splitlines(keepends=True)[1:-1])
        self.names = {node.id: node.path() for node in picture.nodes}
        self.text = text(picture)

    def pipe(self, format=None, *_, engine=None, encoding=None, **__):
        """The picture as bytes, or as text in `encoding`. Errors as for `render` in render.py."""
        picture = render(self.source, format or self.format)
        return picture.decode(encoding) if encoding else picture

    def render(
        self,
        filename=None,
        directory=None,
        view=False,
        cleanup=False,
        format=None,
        *_,
        outfile=None,
        **__,
    ):
        """Writes the picture, and returns where: `outfile`, or `filename` and the format.

        If the picture cannot be drawn, its DOT text is written, and the error says where.
        """
        if outfile is None:
            source = Path(self.save(filename=filename, directory=directory))
            path = Path(f"{source}.{format or self.format}")
        else:
            path = Path(directory or "", outfile)
            source = path.with_suffix(".gv")
        try:
            path.write_bytes(render(self.source, format or path.suffix[1:]))
        except RuntimeError as error:
            source.write_text(self.source, encoding="utf-8")
            message = f"Cannot draw {path} (its DOT text is in {source}): {error}"
            raise type(error)(message) from None
        if cleanup:
            source.unlink(missing_ok=True)
        if view:
            graphviz.view(str(path))
        return str(path)

    def _repr_mimebundle_(self, include=None, exclude=None, **_):
        """For a notebook: the picture and the text; without a renderer, the reason and the text."""
        try:
            return {"image/svg+xml": self.pipe("svg", encoding="utf-8"), "text/plain": self.text}
        except Exception as error:
            return {"text/plain": f"{error}\n\n{self.text}"}
