"""How much the gradient checks find, and how often they are wrong: the table of examples/README.md.

    python tests/power.py                    1,000 right graphs, 40 graphs for each fault
    python tests/power.py --graphs 10000
    python tests/power.py --torch            beside PyTorch's gradcheck, where it is installed

A fault is one wrong rule in a small program. Beside each kind of fault stands the share of graphs in
which a check found it. Right graphs are random programs that are hard on a checker. A check that
says FAIL, NONFINITE or AFFECTED of a right graph is a false alarm.
"""

import argparse
import collections
import sys
import time
import warnings

import numpy as np
from helpers import leaf

import minigrad as mg
from minigrad import functional as F
from minigrad import nn, registry
from minigrad.array import data_of
from minigrad.graph import nodes
from minigrad.registry import op

# ------------------------------------------------------------------------------------- right graphs

SMOOTH = [np.sin, np.cos, np.tanh, np.arctan, F.sigmoid, F.softplus, F.gelu, F.erf]
SMOOTH += [lambda x: x * x, lambda x: np.exp(-x * x), lambda x: np.sqrt(1 + x * x), np.negative]
KINKED = [F.relu, np.abs, F.leaky_relu, F.elu, lambda x: np.clip(x, -0.5, 0.5)]
KINKED += [lambda x: np.maximum(x, 0.25), lambda x: np.minimum(x, 0)]


def grown(rng, x, y, ops, steps):
    """A random program of x and y, both of shape (n, m)."""
    known = [x, y, x.T[::-1].T]
    for _ in range(steps):
        a, b = (known[i] for i in rng.integers(len(known), size=2))
        kind = rng.integers(8)
        if kind < 4:
            new = ops[rng.integers(len(ops))](a)
        elif kind == 4:
            new = a * b
        elif kind == 5:
            new = a + b * rng.standard_normal()
        elif kind == 6:
            new = a - np.mean(b, axis=int(rng.integers(2)), keepdims=True)
        else:
            new = np.concatenate([a[:, [-1]], b[:, :-1]], axis=1)
        known.append(new)
    return np.mean(np.sum(known[-1] * known[rng.integers(len(known))], axis=0))


def sizes(rng):
    return int(rng.integers(1, 7)), int(rng.integers(1, 7))


def smooth(rng):
    shape = sizes(rng)
    return grown(
        rng, *(leaf(rng.standard_normal(shape)) for _ in "xy"), SMOOTH, rng.integers(2, 12)
    )


def kinks(rng, distance=0.0):
    """Entries exactly at kinks, or within `distance` of them; and ties."""
    shape = sizes(rng)
    x, y = rng.standard_normal((2, *shape))
    for values in (x, y):
        at = rng.random(shape) < 0.4
        values[at] = rng.choice([0, 0.25, -0.5, 0.5], at.sum())
        values[at] += distance * rng.uniform(-1, 1, at.sum())
    y = np.where(rng.random(shape) < 0.3, x, y)
    return grown(rng, leaf(x), leaf(y), KINKED + SMOOTH[:4], rng.integers(2, 10))


def near_kinks(rng):
    return kinks(rng, 10 ** rng.uniform(-12, -1))


def scales(rng):
    """Numbers of the size 1e-8 to 1e8, of weights, inputs and loss."""
    shape, (a, b, c) = sizes(rng), 10.0 ** rng.uniform(-8, 8, 3)
    x, w = leaf(a * rng.standard_normal(shape)), leaf(b * rng.standard_normal((shape[1], 3)))
    hidden = x @ w
    hidden = F.relu(hidden) if rng.random() < 0.5 else np.tanh(hidden / (a * b)) * (a * b)
    return c * np.sum(hidden * hidden) + (F.l1_penalty(w, c=c) if rng.random() < 0.5 else 0)


def saturated(rng):
    shape = sizes(rng)
    x, w = (
        leaf(rng.standard_normal(shape)),
        leaf(10 ** rng.uniform(0, 3) * rng.standard_normal(shape)),
    )
    gate = [F.sigmoid, np.tanh, F.softmax, F.erf, F.softplus][rng.integers(5)]
    return np.sum(gate(x * w) * x)


def sure(rng):
    """Cross-entropies of models that are sure and mostly right."""
    n, k = int(rng.integers(1, 6)), int(rng.integers(2, 6))
    labels = rng.integers(0, k, n)
    scores = rng.standard_normal((n, k)) + 10 ** rng.uniform(0, 3) * np.eye(k)[labels]
    x, w = leaf(scores), leaf(np.eye(k) + 0.01 * rng.standard_normal((k, k)))
    if rng.random() < 0.3:
        return F.binary_cross_entropy_with_logits(x @ w, np.eye(k)[labels])
    return F.cross_entropy(x @ w, labels)


def chains(rng):
    x = y = leaf(rng.standard_normal(3))
    for _ in range(rng.integers(50, 300)):
        y = [np.sin, np.tanh, F.softplus][rng.integers(3)](y) + (x if rng.random() < 0.2 else 0.1)
    return np.sum(y)


def offset(rng):
    """Batch norm and layer norm of data far from 0."""
    n, m = int(rng.integers(3, 8)), int(rng.integers(2, 6))
    data = rng.standard_normal((n, m)) + 10 ** rng.uniform(0, 6)
    norm = [nn.BatchNorm1d(4), nn.LayerNorm(4)][rng.integers(2)]
    model = nn.Sequential(nn.Linear(m, 4), norm, nn.Tanh(), nn.Linear(4, 2))
    return F.mse_loss(model(mg.Tensor(data)), rng.standard_normal((n, 2)))


def float32_models(rng):
    n, m = int(rng.integers(2, 8)), int(rng.integers(1, 8))
    parts = [nn.Linear(m, 6), [nn.ReLU, nn.Tanh, nn.GELU][rng.integers(3)](), nn.Dropout(0.3)]
    parts += [nn.BatchNorm1d(6)] if rng.random() < 0.5 else []
    model = nn.Sequential(*parts, nn.Linear(6, 3, penalty=nn.L1(1e-3)))
    x = mg.Tensor(rng.standard_normal((n, m)).astype(np.float32))
    return F.cross_entropy(model(x), rng.integers(0, 3, n)) + model.penalty()


def extreme(rng):
    """Numbers from 1e-150 to 1e150, and gaps that make probabilities and gates as small."""
    n, m = sizes(rng)
    x = leaf(rng.choice([-1, 1], (n, m)) * 10.0 ** rng.uniform(-150, 150, (n, 1)))
    far = leaf(rng.standard_normal((n, m)) * 10 ** rng.uniform(1, 2.5))
    functions = [
        lambda: np.log(F.softmax(far)),
        lambda: np.log(F.sigmoid(far)),
        lambda: np.sqrt(np.exp(-np.minimum(abs(far), 700))),
        lambda: np.sqrt(x * x),
        lambda: np.sqrt(abs(x)) * far,
        lambda: np.std(x, axis=1) + np.sum(x, axis=1),
        lambda: F.group_l2(x, c=1.0, axis=1),
        lambda: np.log(abs(x)) * F.sigmoid(far),
        lambda: x / abs(x[:, ::-1]) + np.tanh(far),
        lambda: F.softmax(far) * (x / np.max(abs(x.data))),
        lambda: F.layer_norm(far, (m,)) * 1e-200,
    ]
    return np.sum(functions[rng.integers(len(functions))]())


RIGHT = [
    smooth,
    kinks,
    near_kinks,
    scales,
    saturated,
    sure,
    chains,
    offset,
    float32_models,
    extreme,
]


def false_alarms(count, seed=0):
    """{kind: [graphs, false alarms, reports that said nothing]}."""
    table = collections.defaultdict(lambda: [0, 0, 0])
    for i in range(count):
        kind = RIGHT[i % len(RIGHT)]
        mg.manual_seed(i)
        with np.errstate(all="ignore"):
            loss = kind(np.random.default_rng([seed, i]))
            leaves = [x for x in nodes(loss) if x.is_leaf and x.requires_grad]
            gradients = mg.grad(loss, leaves, retain_graph=True)
            if not all(np.all(np.isfinite(x.data)) for x in (loss, *gradients)):
                continue
            report = mg.check_graph(loss, seed=i)
        row = table[kind.__name__]
        row[0] += 1
        wrong = [r for r in report.rows if r.wrong or r.verdict == "AFFECTED"]
        row[1] += bool(wrong)
        row[2] += not report and not wrong
        if wrong:
            print(f"false alarm: {kind.__name__}, graph {i}\n{report}", file=sys.stderr)
    return table


# ------------------------------------------------------------------------------------------- faults
# Each makes (forward, rules, inputs) of an op that is wrong by a relative `error`, and the program
# around it. The same text serves NumPy and PyTorch: `plain` reads the numbers of a tensor.


class Fault:
    """A wrong op x -> f(x) or (x, y) -> f(x, y), and a program around it."""

    def __init__(self, name, forward, rules, draw, around=lambda x: x, size=(4, 5)):
        self.name, self.forward, self.rules, self.draw = name, forward, rules, draw
        self.around, self.size = around, size


def plain(x):
    """The numbers of a NumPy array, a minigrad or a PyTorch tensor."""
    return x.detach() if hasattr(x, "detach") else x


def contiguous(x):
    x = plain(x)
    return x.is_contiguous() if hasattr(x, "is_contiguous") else data_of(x).flags.c_contiguous


def last(x, error):
    """Ones, except one entry in the middle."""
    factor = np.ones(x.shape)
    factor.flat[x.shape[0] // 2] += error
    return factor


def like(x, array):
    """A NumPy array in a form that can be multiplied with x."""
    if type(x).__module__.startswith("torch"):
        return sys.modules["torch"].tensor(array)
    return array


def faults(error):
    def cube(x):
        return x * x * x

    def slope(g, x):
        return 3 * g * x * x

    def shifted(x):
        return x * x * x + 2 * x

    def normal(rng, shape):
        return [rng.standard_normal(shape)]

    def two(rng, shape):
        return [rng.standard_normal(shape), rng.standard_normal(shape)]

    def row(rng, shape):
        return [rng.standard_normal(shape), rng.standard_normal(shape[1:])]

    def with_zeros(rng, shape):
        x = rng.standard_normal(shape)
        x[rng.random(shape) < 0.3] = 0
        x.flat[0] = 0
        return [x]

    def times(x, y):
        return x * x * y

    def right(g, x, y):
        return 2 * g * x * y

    def wrong_if_broadcast(g, x, y):
        return g * x * x * (1 + error * (plain(y).shape != plain(x).shape))

    def zero_wrong(g, x):
        at_zero = like(x, np.asarray(plain(x) == 0) * error)
        return g * (3 * x * x + 2) * (1 + at_zero)

    return [
        Fault("everywhere", cube, [lambda g, x: slope(g, x) * (1 + error)], normal),
        Fault(
            "at one entry of 3,000",
            cube,
            [lambda g, x: slope(g, x) * like(x, last(plain(x), error))],
            normal,
            size=(3000,),
        ),
        Fault("for one input", times, [right, lambda g, x, y: g * x * x * (1 + error)], two),
        Fault("where it is broadcast", times, [right, wrong_if_broadcast], row),
        Fault(
            "where it is not contiguous",
            cube,
            [lambda g, x: slope(g, x) * (1 + error * (not contiguous(x)))],
            normal,
            around=lambda x: x.T,
        ),
        Fault("where it is 0", shifted, [zero_wrong], with_zeros),
        Fault(
            "in the second derivative",
            cube,
            [lambda g, x: 3 * g * x * ((1 - error) * x + error * plain(x))],
            normal,
        ),
    ]


def planted(fault):
    """The fault's op in minigrad."""
    before = dict(registry.ops)
    if len(fault.rules) == 1:
        call = op(fault.forward, x=lambda g, out, x: fault.rules[0](g, x))
    else:
        x_rule, y_rule = fault.rules
        call = op(
            fault.forward,
            x=lambda g, out, x, y: x_rule(g, x, y),
            y=lambda g, out, x, y: y_rule(g, x, y),
        )
    registry.ops.clear()
    registry.ops.update(before)
    return call


def found(fault, rng):
    """Which checks find the fault on random inputs: {check: whether}."""
    arrays, call = fault.draw(rng, fault.size), planted(fault)
    inputs = [leaf(a) for a in arrays]

    def program(x, *others):
        return np.sin(call(fault.around(x), *others))

    failed = {
        "check_graph": not mg.check_graph(np.sum(program(*inputs)), seed=int(rng.integers(99)))
    }
    for name, check in (("gradcheck", mg.gradcheck), ("gradgradcheck", mg.gradgradcheck)):
        failed[name] = not check(program, inputs, raise_exception=False)
    return failed


def found_by_torch(fault, rng, second):
    """Whether PyTorch's gradcheck finds it, with its default settings."""
    import torch

    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *xs):
            ctx.save_for_backward(*xs)
            return fault.forward(*xs)

        @staticmethod
        def backward(ctx, g):
            xs = ctx.saved_tensors
            gradients = [rule(g, *xs) for rule in fault.rules]
            return tuple(d if d.shape == x.shape else d.sum(0) for d, x in zip(gradients, xs))

    inputs = [torch.tensor(a, requires_grad=True) for a in fault.draw(rng, fault.size)]
    check = torch.autograd.gradgradcheck if second else torch.autograd.gradcheck

    def program(x, *others):
        return torch.sin(Planted.apply(fault.around(x), *others))

    return not check(program, inputs, raise_exception=False, fast_mode=fault.size == (3000,))


ERRORS = (1e-2, 1e-4, 1e-6, 1e-9)


def power(trials, with_torch):
    """Prints the table of faults found."""
    checks = ["check_graph", "gradcheck", "gradgradcheck", "PyTorch"]
    print(f"{'a rule is wrong':27} {'by':6}" + "".join(f"{c:>14}" for c in checks))
    for number in range(len(faults(0))):
        for error in ERRORS:
            fault, counts = faults(error)[number], collections.Counter()
            second = fault.name == "in the second derivative"
            for trial in range(trials):
                counts.update(
                    {k: int(v) for k, v in found(fault, np.random.default_rng(trial)).items()}
                )
                if with_torch:
                    counts["PyTorch"] += found_by_torch(fault, np.random.default_rng(trial), second)
            shares = [f"{counts[c] / trials:13.0%} " for c in checks]
            if not with_torch:
                shares[-1] = f"{'-':>13} "
            print(f"{fault.name:27} {error:<6.0e}" + "".join(shares), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--graphs", type=int, default=1000, help="right graphs")
    parser.add_argument("--trials", type=int, default=40, help="graphs for each fault")
    parser.add_argument("--torch", action="store_true", help="also PyTorch's gradcheck")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        power(arguments.trials, arguments.torch)
        table = false_alarms(arguments.graphs)
    print(f"\n{'right graphs':27} graphs  false alarms  nothing to tell")
    for name, (graphs, alarms, silent) in table.items():
        print(f"{name.replace('_', ' '):27} {graphs:6} {alarms:13} {silent:16}")
    alarms = sum(row[1] for row in table.values())
    print(f"{'all':27} {sum(row[0] for row in table.values()):6} {alarms:13}")
    print(f"{time.perf_counter() - begin:.0f} s")
    return bool(alarms)


if __name__ == "__main__":
    sys.exit(main())
