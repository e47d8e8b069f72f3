"""From DOT text to a picture: the Graphviz programs that may be at hand, and a Digraph that uses them."""

import html
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import graphviz

from .dot import WIDTHS, dot, text, text_width

SECONDS = 60  # given to a Graphviz program
PIXELS = 16_000  # on a side of a PNG at most; beyond that few viewers open it


class RendererNotFound(graphviz.ExecutableNotFound):
    """No Graphviz program was found."""

    def __init__(self, message):
        RuntimeError.__init__(self, message)


def renderers():
    """The Graphviz programs at hand, best first: the one that MINIGRAD_DOT names, the pip package graphviz-pure, the system's dot."""
    scripts = [
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")),
        str(Path(sys.executable).parent),
    ]
    search = os.pathsep.join(
        [*scripts, os.environ.get("PATH", "")]
    )  # a virtual environment's scripts need not be on PATH
    own = os.environ.get("MINIGRAD_DOT")
    return [
        found
        for found in (
            own and (shutil.which(own) or own),
            shutil.which("graphviz-pure", path=search),
            shutil.which("dot"),
        )
        if found
    ]


def render(source, format):
    """The picture of a DOT text, as bytes, by the first program that can draw it."""
    programs, failures = renderers(), []
    for program in programs:
        try:
            done = _run(
                program,
                source,
                f"-T{format}",
                *(_resolution(program, source) if format == "png" else ()),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            failures.append(f"{program}: {error}")
            continue
        if done.returncode == 0 and done.stdout:
            return _finished(done.stdout.decode()).encode() if format == "svg" else done.stdout
        failures.append(
            f"{program}: {done.stderr.decode(errors='replace').strip()[:300] or f'exit {done.returncode}'}"
        )
    if programs:
        raise RuntimeError(f"no Graphviz program could write {format}. " + " ".join(failures))
    raise RendererNotFound(
        "no Graphviz program was found.\n"
        "Without administrator rights:  pip install graphviz-pure\n"
        "With them, also for PDF:       your system's package graphviz"
    )


def _run(program, source, *options):
    return subprocess.run(
        [program, *options], input=source.encode(), capture_output=True, timeout=SECONDS
    )


def _resolution(program, source):
    """The option for a PNG that would be too large."""
    size = (
        re.match(rb"graph \S+ (\S+) (\S+)", _run(program, source, "-Tplain").stdout)
        if len(source) > 30_000
        else None
    )
    inches = max(map(float, size.groups())) if size else 0
    return [f"-Gdpi={PIXELS // inches:.0f}"] if inches * 96 > PIXELS else []


def _finished(svg):
    """An SVG for every viewer: other fonts where Arial is missing, each text as wide as it was laid out, no `%3` as tooltip."""
    svg = re.sub(r"<title>%\d+</title>\n?", "", svg, count=1)
    return re.sub(r"<text ([^>]*)>([^<]*)</text>", _with_width, svg).replace(
        '"Arial"', "\"Arial, Helvetica, 'Liberation Sans', sans-serif\""
    )


def _with_width(match):
    attributes, text = match.groups()
    letters, size = html.unescape(text), re.search(r'font-size="([\d.]+)"', attributes)
    if not size or not all(letter.isascii() or letter in WIDTHS[0] for letter in letters):
        return match[0]
    width = text_width(letters, float(size[1]), 'font-weight="bold"' in attributes)
    return (
        f'<text {attributes} textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs">{text}</text>'
    )


class Drawing(graphviz.Digraph):
    """A graphviz.Digraph that also finds the renderer which pip installs, and never fails in a notebook."""

    def __init__(self, picture):
        super().__init__(format="svg", body=dot(picture).splitlines(keepends=True)[1:-1])
        self.nodes, self.text = (
            picture.nodes,
            text(picture),
        )  # the records of its nodes, with the ids to draw more edges to; the same as plain text

    def pipe(self, format=None, *_, engine=None, encoding=None, **__):
        """The picture as bytes, or as text in `encoding`."""
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
        """Writes the picture, and returns where: `outfile`, else the DOT file `filename` plus the format."""
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
            raise type(error)(
                f"Cannot draw {path} (its DOT text is in {source}): {error}"
            ) from None
        if cleanup:
            source.unlink(missing_ok=True)
        if view:
            graphviz.view(str(path))
        return str(path)

    def _repr_mimebundle_(self, include=None, exclude=None, **_):
        """The picture and, for a notebook that shows no pictures, the text; without a renderer the text and why."""
        try:
            return {"image/svg+xml": self.pipe("svg", encoding="utf-8"), "text/plain": self.text}
        except Exception as error:
            return {"text/plain": f"{error}\n\n{self.text}"}
