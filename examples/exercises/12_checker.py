"""Exercise 12: a bug hunt in a checker.

Below is a gradient check, like the check of step 6 of examples/from_scratch. One line of it is
wrong, so it passes some wrong rules of the list RULES. The grader names the first. Find out why the
check passes it, and mend the check.

    python -m minigrad.check examples/exercises/12_checker.py

minigrad's own check finds every wrong rule of the list. This prints what it says:

    python examples/exercises/12_checker.py

Hint: the check also passes the last rule of the list. The entries of a row of softmax have the sum
1, whatever x is. So how much does their sum move? What is `numeric` below?
"""

import numpy as np

import minigrad as mg
from minigrad.check.samples.case import case
from minigrad.engine import Op, record

rng, h = np.random.default_rng(0), 2.0**-100


def is_right(op, x):
    """Whether the rule of an op of one argument gives the slope that the complex step gives."""
    v = rng.normal(size=x.shape)
    out, moved = op.forward(x), op.forward(x + 1j * h * v).imag / h
    g = np.ones(out.shape)
    by_rule = np.sum(v * op.rules[0](g, out, x))
    numeric = np.sum(g * moved)
    return bool(abs(by_rule - numeric) < 1e-9 * (1 + abs(numeric)))


# ---- What the grader tries. Leave it as it is.


def rolled(x):
    return np.roll(x, 1, axis=-1)


def softmax(x):
    return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)


RULES = [  # function, rule, what is wrong with it
    (np.tanh, lambda g, out, x: g * (1 - out * out), ""),
    (np.tanh, lambda g, out, x: 1 - out * out, "g is left out"),
    (np.tanh, lambda g, out, x: out * (1 - out * out), "out stands in place of g"),
    (rolled, lambda g, out, x: rolled(g), "the slopes must roll back"),
    (softmax, lambda g, out, x: out * (g - np.sum(g * out, axis=-1, keepdims=True)), ""),
    (softmax, lambda g, out, x: out * (1 - out) * g, "entries of a row act on each other"),
    (softmax, lambda g, out, x: 0 * g, "the slope is not always 0"),
]
OPS = [(Op(f"RULES[{i}]", f, ["x"], {"x": rule}), bug) for i, (f, rule, bug) in enumerate(RULES)]


def my_checker(x):
    for op, bug in OPS:
        if is_right(op, x.data) == bool(bug):
            told = f"passes a wrong rule ({bug})" if bug else "refuses a right rule"
            raise ValueError(f"is_right {told}, {op.name}")
    return x * x


samples = {"my_checker": [case(my_checker, (2, 3))]}

if __name__ == "__main__":
    for op, _ in OPS:
        out = record(op, (mg.Tensor(rng.normal(size=(2, 3)), requires_grad=True),))
        print(f"{op.name}: {mg.check_graph(np.sum(out * rng.normal(size=(2, 3)))).verdict()}")
