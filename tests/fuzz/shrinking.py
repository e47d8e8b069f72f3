"""A finding as a script: the program with the fewest steps that still fails in the same way."""

import re

from . import checks
from .grammar import NAME

SCRIPT = '''import numpy as np

import minigrad as mg
import minigrad.functional as F


def weigh(v):
    """The sum of the entries of v, each with a weight of its own; 0 for whole numbers."""
    if v.dtype.kind != "f":
        return 0.0
    return np.sum(v * np.cos(np.arange(v.size)).reshape(v.shape).astype(v.dtype))


mg.manual_seed(0)
low = {low!r}
{leaves}
{text}
print(loss)
{last}
{finding}
'''
LEAVES = {
    "x": "mg.Tensor({array}, requires_grad=True)",
    "d": "mg.Tensor({array}, name={name!r})",
    "c": "{array}",
    "i": "mg.Tensor({array})",
    "b": "mg.Tensor({array})",
}


def kind(finding):
    """What a shorter program must show too: the check, the error, the words before any number."""
    return finding and (finding[0], re.split(r"\W*\b[vxdcib]?\d", finding[1])[0][:40])


def shrunk(program, finding):
    """(program, finding) without the steps that it does not need."""
    failing = [check for check in checks.CHECKS if check.__name__ == finding[0]]
    i = len(program.steps)
    while i:
        i -= 1
        for shorter in without(program, i):
            again = checks.finding(shorter, failing)
            if kind(again) == kind(finding):
                program, finding, i = shorter, again, len(shorter.steps)
                break
    return program, finding


def without(program, i):
    """The programs without step i, with an older result or a leaf in its place."""
    name, rest = program.steps[i][0], program.steps[i + 1 :]
    for other in [*(n for n, _ in program.steps[:i][::-1]), *program.leaves]:
        texts = [re.sub(rf"\b{name}\b", other, text) for _, text in rest]
        wrong = program.wrong and re.sub(rf"\b{name}\b", other, program.wrong)
        steps = [*program.steps[:i], *((n, text) for (n, _), text in zip(rest, texts))]
        used = NAME.findall(" ".join(["x0", wrong or "", *(text for _, text in steps)]))
        leaves = {n: x for n, x in program.leaves.items() if n in used}
        yield program._replace(leaves=leaves, steps=steps, wrong=wrong)
        if not any(name in text for _, text in rest) and name not in (program.wrong or ""):
            return  # nothing uses the step: all places are the same


def script(program, finding):
    """The text of a program that runs alone."""
    lines = []
    for name, x in program.leaves.items():
        array = f"np.array({x.tolist()}, {str(x.dtype)!r}).reshape({x.shape})"
        lines.append(f"{name} = {LEAVES[name[0]].format(array=array, name=name)}")
    told = "\n".join(f"# {line}" for line in ": ".join(finding)[:1500].splitlines())
    sought = ", ".join(n for n in program.leaves if n[0] == "x")
    last = 'if getattr(loss, "requires_grad", False):\n'
    last += f"    print(mg.grad(loss, [{sought}], allow_unused=True))"
    if finding[0].startswith("errors"):
        last = f"wrong = {program.wrong}"
    leaves, text = "\n".join(lines), program.text()
    return SCRIPT.format(low=program.low, leaves=leaves, text=text, last=last, finding=told)
