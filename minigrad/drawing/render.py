"""From DOT text to a picture, by the Graphviz programs of this machine."""

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from .dot import dot, text

SECONDS = 60  # that a Graphviz program may take


def renderers():
    """The Graphviz programs of this machine, best first: graphviz-pure, and dot."""
    # the scripts of a virtual environment may not be on PATH
    user = sysconfig.get_preferred_scheme("user")
    own = sysconfig.get_path("scripts"), sysconfig.get_path("scripts", user)
    search = os.pathsep.join([*own, os.environ.get("PATH", "")])
    return list(filter(None, [shutil.which(p, path=search) for p in ("graphviz-pure", "dot")]))


def render(source, format):
    """The picture of a DOT text as bytes, by the first program that can draw it.

    Raises RuntimeError if there is no program, or none can write the format.
    """
    told = dict.fromkeys(renderers(), "it wrote nothing")
    settings = {"input": source.encode(), "capture_output": True, "timeout": SECONDS, "check": True}
    for program in told:
        command = [program, f"-T{format}", *["-Txdot"] * (format == "svg")]
        try:
            if drawn := subprocess.run(command, **settings).stdout:
                return _finished(drawn.decode()).encode() if format == "svg" else drawn
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
            told[program] = said[:300] or error
    if told:
        failures = " ".join(f"{program}: {why}" for program, why in told.items())
        raise RuntimeError(f"no Graphviz program could write {format}. {failures}")
    raise RuntimeError(
        "no Graphviz program was found.\n"
        "Without administrator rights:  pip install graphviz-pure\n"
        "With them, also for PDF:       your system's package graphviz"
    )


def _finished(output):
    """An SVG that looks the same in every viewer. `output` has the picture as SVG and as xdot.

    Each text gets its width from the xdot, so that it fits in any font. Graphviz cannot measure
    letters that Arial lacks, so texts with such letters get no width. The titles of boxes come
    last, with a halo: no arrow strikes through them.
    """
    svg, end, xdot = output.replace("\r\n", "\n").partition("</g>\n</svg>\n")
    numbers = r"(-?[\d.]+)"
    texts = re.findall(f"T {numbers} {numbers} -?[01] {numbers} ", xdot.replace("\\\n", ""))
    widths = {(float(x), -float(y)): width for x, y, width in texts}

    def with_width(text):
        width = widths.get((float(text[1]), float(text[2])))
        fixed = f' textLength="{width}" lengthAdjust="spacingAndGlyphs"' if width else ""
        return f"<text{fixed}{text[0][5:]}"

    svg = re.sub(rf'<text [^>]*x="{numbers}" y="{numbers}"[^>]*>[ -~±∂]*<', with_width, svg)
    svg = re.sub(r"<title>%\d+</title>\n?", "", svg, count=1)  # it would be shown as a tooltip
    boxes = re.compile(r'(class="cluster">.*?)((?:<text[^\n]*\n)*)(?=</a>)', re.S)
    titles = "".join(texts for _, texts in boxes.findall(svg))
    halo = '<g paint-order="stroke" stroke="#FFFFFF" stroke-width="3" stroke-opacity="0.8">'
    svg = boxes.sub(r"\1", svg) + f"{halo}\n{titles}</g>\n{end}"
    return svg.replace('"Arial"', "\"Arial, Helvetica, 'Liberation Sans', sans-serif\"")


class Drawing:
    """A picture, which a notebook shows. It keeps no tensor.

    source  its DOT text, to which nodes and edges can be added
    text    the same as plain text, with the ids of the nodes
    """

    def __init__(self, picture):
        self.source, self.text = dot(picture), text(picture)

    def __repr__(self):
        return self.text

    def pipe(self, format="svg"):
        """The picture as bytes: svg, png, or what else a Graphviz program writes.

        Raises RuntimeError if no program can draw it.
        """
        return render(self.source, format)

    def render(self, outfile):
        """Writes the picture to a file: .svg, .png, .pdf, or its DOT text as .gv or .dot.

        Returns the path. If no program can draw the picture, its DOT text is written, and the
        RuntimeError says where.
        """
        path = Path(outfile)
        format = path.suffix[1:].lower()
        try:
            path.write_bytes(self.source.encode() if format in ("gv", "dot") else self.pipe(format))
        except RuntimeError as error:
            source = path.with_suffix(".gv")
            source.write_text(self.source, encoding="utf-8")
            message = f"Cannot draw {path} (its DOT text is in {source}): {error}"
            raise RuntimeError(message) from None
        return str(path)

    def _repr_mimebundle_(self, **_):
        """For a notebook: the picture and the text, or, without a renderer, the reason."""
        try:
            return {"image/svg+xml": self.pipe().decode(), "text/plain": self.text}
        except Exception as error:
            return {"text/plain": f"{error}\n\n{self.text}"}
