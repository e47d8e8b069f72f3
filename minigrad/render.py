"""From DOT text to a picture: the Graphviz programs that may be at hand, and a Digraph that uses them."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import graphviz

SECONDS = 60  # given to a Graphviz program


class RendererNotFound(graphviz.ExecutableNotFound):
    """No Graphviz program was found."""

    def __init__(self, message):
        RuntimeError.__init__(self, message)


def renderers():
    """The Graphviz programs at hand, best first: the pip package graphviz-pure, then the system's dot."""
    scripts = [sysconfig.get_path("scripts"), sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")), str(Path(sys.executable).parent)]
    search = os.pathsep.join([*scripts, os.environ.get("PATH", "")])  # a virtual environment's scripts need not be on PATH
    return [found for found in (shutil.which("graphviz-pure", path=search), shutil.which("dot")) if found]


def render(source, format):
    """The picture of a DOT text, as bytes, by the first program that can draw it."""
    programs, failures = renderers(), []
    for program in programs:
        try:
            done = subprocess.run([program, f"-T{format}"], input=source.encode(), capture_output=True, timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            failures.append(f"{program}: {error}")
            continue
        if done.returncode == 0:
            return _with_font_fallback(done.stdout) if format == "svg" else done.stdout
        failures.append(f"{program}: {done.stderr.decode(errors='replace').strip()[:300]}")
    if programs:
        raise RuntimeError(f"no Graphviz program could write {format}. " + " ".join(failures))
    raise RendererNotFound(
        "no Graphviz program was found.\n"
        "Without administrator rights:  pip install graphviz-pure\n"
        "With them, also for PDF:       your system's package graphviz"
    )


def _with_font_fallback(svg):
    return svg.replace(b'font-family="Arial"', b"font-family=\"Arial, Helvetica, 'Liberation Sans', sans-serif\"")


class Drawing(graphviz.Digraph):
    """A graphviz.Digraph that also finds the renderer which pip installs, and never fails in a notebook."""

    def pipe(self, format=None, *_, engine=None, encoding=None, **__):
        """The picture as bytes, or as text in `encoding`."""
        picture = render(self.source, format or self.format)
        return picture.decode(encoding) if encoding else picture

    def render(self, filename=None, directory=None, view=False, cleanup=False, format=None, *_, outfile=None, **__):
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
            raise type(error)(f"Cannot draw {path} (its DOT text is in {source}): {error}") from None
        if cleanup:
            source.unlink(missing_ok=True)
        if view:
            graphviz.view(str(path))
        return str(path)

    def _repr_mimebundle_(self, include=None, exclude=None, **_):
        try:
            return {"image/svg+xml": self.pipe("svg", encoding="utf-8")}
        except Exception as error:
            return {"text/plain": f"{error}\n\n{self.source}"}
