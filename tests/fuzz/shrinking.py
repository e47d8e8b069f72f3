"""A finding as a script: the program with the fewest steps that still fails in the same way."""

import re

from . import checks
from .checks import finding
from .grammar import NAME

HEAD = '''import numpy as np

import minigrad as mg
import minigrad.functional as F


def weigh(v):
    """The sum of the entries of v, each with a weight of its own; 0 for whole numbers."""
    if v.dtype.kind != "f":
        return 0.0
    return np.sum(v * np.cos(np.arange(v.size)).reshape(v.shape).astype(v.dtype))

'''


def kind_of(wrong):
    """What a shorter program must also show: the check, the error, and its words without numbers."""
    return wrong and (wrong[0], re.sub(r"\W*\b[vxdcib]?\d+\b.*", "", wrong[1], flags=re.S)[:40])


def shrunk(program, wrong):
    """(program, finding): without each step that it does not need, an older result in its place."""
    failing = [check for check in checks.CHECKS if check.__name__ == wrong[0]]
    i = len(program.steps)
    if program.wrong and wrong[0] != "errors_name_the_function":
        program = program._replace(wrong=None)
    while i:
        i -= 1
        name = program.steps[i][0]
        rest = program.steps[i + 1 :]
        older = [*(n for n, _ in program.steps[:i][::-1]), *program.leaves]
        is_used = any(name in NAME.findall(text) for text in [*(t for _, t in rest), program.wrong or ""])
        for other in older if is_used else older[:1]:
            put = lambda text, other=other: re.sub(rf"\b{name}\b", other, text)
            shorter = program._replace(wrong=program.wrong and put(program.wrong))
            shorter = shorter.with_steps([*program.steps[:i], *((n, put(t)) for n, t in rest)])
            again = finding(shorter, failing)
            if kind_of(again) == kind_of(wrong):
                program, wrong, i = shorter, again, len(shorter.steps)
                break
    return program, wrong


def script(program, wrong):
    """The text of a program that runs alone."""
    lines = []
    for name, x in program.leaves.items():
        array = f"np.array({x.tolist()}, dtype={str(x.dtype)!r})"
        array += f".reshape({x.shape})" if not x.size else ""
        wrap = {"x": "mg.Tensor(%s, requires_grad=True)", "d": f"mg.Tensor(%s, name={name!r})", "c": "%s"}
        lines.append(f"{name} = {wrap.get(name[0], 'mg.Tensor(%s)') % array}")
    end = f"\nwrong = {program.wrong}" if program.wrong else ""
    told = "\n".join(f"# {line}" for line in f"{wrong[0]}: {wrong[1]}"[:1500].splitlines())
    return f"{HEAD}\nmg.manual_seed(0)\nlow = {program.low!r}\n" + "\n".join(lines) + f"\n{program.text()}{end}\n{told}\n"
