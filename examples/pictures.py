"""Draws the pictures in examples/pictures/ anew.

python examples/pictures.py

They are the loss of regularization.py, the example of the README, a failed gradient check, and a
step of the page. The last one is a photograph of the page, for which Chromium is needed; without
Chromium it stays as it is.
"""

import argparse
import contextlib
import io
import os
import runpy
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from regularization import complete_loss

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad.registry import ops

HERE = Path(__file__).resolve().parent


def main_job():
    """The loss of regularization.py after a backward pass, with the verdicts of its check."""
    loss = complete_loss()
    report = mg.check_graph(loss)
    loss.backward(retain_graph=True)
    return mg.draw(loss, checks=report, title="The complete training loss")


def readme():
    """The names that the README's example defines: `loss`, `report` and others."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        try:
            os.chdir(folder)
            return runpy.run_path(str(HERE / "readme.py"))
        finally:
            os.chdir(before)


def failed():
    """A dropout whose rule forgets to scale the gradient by 1/(1-p)."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    x = mg.Tensor(np.random.default_rng(0).normal(size=(5, 4)), name="x")
    loss = F.cross_entropy(model(x), np.array([0, 2, 1, 0, 2]))
    right = ops["dropout"].rules[0]
    ops["dropout"].rules[0] = lambda g, out, x, noise, p, scaling: g * noise
    try:
        report = mg.check_graph(loss)
    finally:
        ops["dropout"].rules[0] = right
    return mg.draw(loss, checks=report, title="A rule that forgets a scale")


def drawings():
    example = readme()
    drawn = mg.draw(example["loss"], checks=example["report"])
    return {"main": main_job(), "readme": drawn, "failed": failed()}


def photograph(loss, fragment, path):
    """A picture of the page of a loss, at a step such as `b10`; False without Chromium."""
    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        mg.to_html(loss, page, title="The README's example, step by step")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-prefers-reduced-motion",
            f"--user-data-dir={folder}/profile",
        ]
        shot = [
            f"--screenshot={path}",
            "--window-size=1280,860",
            "--virtual-time-budget=2000",
            f"{page.as_uri()}#{fragment}",
        ]
        subprocess.run([browser, *options, *shot], check=True, capture_output=True, timeout=60)
    return True


def main():
    for name, drawing in drawings().items():
        (HERE / "pictures" / f"{name}.gv").write_text(drawing.source, encoding="utf-8")
        print("wrote", drawing.render(HERE / "pictures" / f"{name}.svg"))
    page = HERE / "pictures" / "stepper.png"
    done = photograph(readme()["loss"], "b10", page)
    print(f"wrote {page}" if done else f"no Chromium: {page} stays as it is")


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    main()
