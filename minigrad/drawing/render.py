"""From DOT text to a picture: the Graphviz programs of this machine, and a Digraph for them."""

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


class RendererNotFound(graphviz.ExecutableNotFound):
    """No Graphviz program was found."""

    def __init__(self, message):
        RuntimeError.__init__(self, message)


def renderers():
    """The Graphviz programs of this machine, best first.

    They are the program in the environment variable MINIGRAD_DOT, graphviz-pure, and dot.
    """
    # the scripts of a virtual environment may not be on PATH
    schemes = sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")
    folders = [Path(sys.executable).parent, *(sysconfig.get_path("scripts", s) for s in schemes)]
    search = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    own = os.environ.get("MINIGRAD_DOT")
    pure, system = shutil.which("graphviz-pure", path=search), shutil.which("dot")
    return list(filter(None, [own and (shutil.which(own) or own), pure, system]))


def render(source, format):
    """The picture of a DOT text as bytes, by the first program that can draw it.

    Raises RendererNotFound if there is no program, RuntimeError if none can write the format.
    """
    programs, failures = renderers(), []
    for program in programs:
        try:
            command, data = [program, f"-T{format}"], source.encode()
            done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS)
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


def _finished(svg):
    """An SVG that looks the same in every viewer.

    It names fonts for viewers without Arial, gives each text its width, and has no tooltip `%3`.
    """
    svg = re.sub(r"<title>%\d+</title>\n?", "", svg, count=1)
    svg = re.sub(r'<g id="\w+" class="node">.*?\n</g>\n', _with_widths, svg, flags=re.S)
    return svg.replace('"Arial"', "\"Arial, Helvetica, 'Liberation Sans', sans-serif\"")


def _with_widths(node):
    """A node of an SVG in which each text has its width.

    Texts are centred, so the start of a text tells its width. Graphviz cannot measure letters that
    Arial lacks, so these texts get no width.
    """
    outlines = " ".join(re.findall(r' (?:points|d)="([^"]*)"', node[0]))
    xs = [float(x) for x in re.findall(r"(-?[\d.]+),", outlines)]
    xs += [float(x) for x in re.findall(r' cx="([^"]*)"', node[0])]
    if not xs:
        return node[0]
    middle = (min(xs) + max(xs)) / 2

    def with_width(text):
        width = 2 * (middle - float(text[1]))
        length = f'textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
        return f"<text {length}{text[0][5:]}"

    return re.sub(r'<text [^>]*\bx="([^"]*)"[^>]*>[ -~±∂]*<', with_width, node[0])


class Drawing(graphviz.Digraph):
    """A graphviz.Digraph that finds the renderer from pip, and never fails in a notebook.

    `names` is {id of a node: its name}, for edges of your own; `text` is the same picture as plain
    text. A Drawing keeps no tensor.
    """

    def __init__(self, picture):
        super().__init__(format="svg", body=dot(picture).splitlines(keepends=True)[1:-1])
        self.names = {node.id: node.path() for node in picture.nodes}
        self.text = text(picture)

    def __repr__(self):
        return self.text

    def pipe(self, format=None, *_, engine=None, encoding=None, **__):
        """The picture as bytes, or as text in `encoding`. Errors as for `render` in render.py."""
        picture = render(self.source, format or self.format)
        return picture.decode(encoding) if encoding else picture

    def render(self, filename=None, directory=None, view=False, *, outfile=None, **more):
        """Writes the picture, and returns where: `outfile`, or `filename` and the format.

        Also takes `format` and `cleanup` (whether to delete the DOT text), as graphviz does. If the
        picture cannot be drawn, its DOT text is written, and the error says where.
        """
        if outfile is None:
            source = Path(self.save(filename=filename, directory=directory))
            path = Path(f"{source}.{more.get('format') or self.format}")
        else:
            path = Path(directory or "", outfile)
            source = path.with_suffix(".gv")
        try:
            path.write_bytes(render(self.source, more.get("format") or path.suffix[1:]))
        except RuntimeError as error:
            source.write_text(self.source, encoding="utf-8")
            message = f"Cannot draw {path} (its DOT text is in {source}): {error}"
            raise type(error)(message) from None
        if more.get("cleanup"):
            source.unlink(missing_ok=True)
        if view:
            graphviz.view(str(path))
        return str(path)

    def _repr_mimebundle_(self, include=None, exclude=None, **_):
        """For a notebook: the picture and the text, or, without a renderer, the reason."""
        try:
            return {"image/svg+xml": self.pipe("svg", encoding="utf-8"), "text/plain": self.text}
        except Exception as error:
            return {"text/plain": f"{error}\n\n{self.text}"}
