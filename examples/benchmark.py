"""How fast is minigrad beside the same work written by hand in NumPy, and beside PyTorch?

Everything runs on one thread, and CPU time is measured. Each side runs by turns with the work written by hand, the two alone: a third
would empty the caches of both. Printed are medians of the ratios within a round, so a busy machine disturbs both sides alike. Lower is
better; 1.00 is the hand-written NumPy. PyTorch takes part when it is installed. The column "compiled" is minigrad with `mg.compile`;
its steps update the parameters as the eager steps do.

    python examples/benchmark.py [op] [mlp_small] [mlp_reg] [conv] [dropout] [nodes] [memory] [import] [growth] [--rounds N]
"""

import os

for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):  # before NumPy is imported
    os.environ[f"{library}_NUM_THREADS"] = "1"

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def classifying(model, optimizer, x, y):
    """A training step of a classifier, and the same step compiled."""

    def minigrad():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    step = mg.compile(lambda x, y: F.cross_entropy(model(x), y))

    def compiled():
        optimizer.zero_grad()
        loss = step(x, y)
        optimizer.step()
        return loss.item()

    return minigrad, compiled


# ---- op: a chain of 333 tanh(x * a + b) on 8 floats, forward and backward to x


def op(links=333):
    start, a, b = normal(8), 1 + 0.1 * normal(8), 0.1 * normal(8)

    def by_hand():
        x, kept = start, []
        for _ in range(links):
            x = np.tanh(x * a + b)
            kept.append(x)
        g = np.ones_like(x)
        for t in reversed(kept):
            g = g * (1 - t * t) * a
        return g

    def minigrad():
        first, scale, shift = mg.Tensor(start, requires_grad=True), mg.Tensor(a), mg.Tensor(b)
        x = first
        for _ in range(links):
            x = F.tanh(x * scale + shift)
        x.backward(np.ones(8, np.float32))
        return first.grad.data

    leaf, a_data, b_data = mg.Tensor(start, requires_grad=True), mg.Tensor(a), mg.Tensor(b)

    def chain():
        x = leaf
        for _ in range(links):
            x = F.tanh(x * a_data + b_data)
        return x.sum()

    step = mg.compile(chain)

    def compiled():
        leaf.grad = None
        step()
        return leaf.grad.data

    def pytorch():
        first, scale, shift = (
            torch.tensor(start, requires_grad=True),
            torch.tensor(a),
            torch.tensor(b),
        )
        x = first
        for _ in range(links):
            x = torch.tanh(x * scale + shift)
        x.backward(torch.ones(8))
        return first.grad.numpy()

    return by_hand, minigrad, compiled, pytorch


# ---- mlp_small: batch 64, 64-128-64-10, relu, cross-entropy, one SGD step


def mlp_small(batch=64, sizes=(64, 128, 64, 10), lr=0.01):
    images, labels = normal(batch, sizes[0]), rng.integers(0, sizes[-1], batch)
    start = [
        (normal(n, m) / np.float32(np.sqrt(m)), np.zeros(n, np.float32))
        for m, n in zip(sizes, sizes[1:])
    ]

    weights = [(w.copy(), b.copy()) for w, b in start]

    def by_hand():
        kept, x = [images], images
        for i, (w, b) in enumerate(weights):
            x = x @ w.T + b
            if i < len(weights) - 1:
                x = np.maximum(x, 0)
                kept.append(x)
        shifted = x - x.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(batch)
        loss = -log_p[rows, labels].mean()
        g = np.exp(log_p)
        g[rows, labels] -= 1
        g /= batch
        for i in range(len(weights) - 1, -1, -1):
            w, b = weights[i]
            gw, gb = g.T @ kept[i], g.sum(axis=0)
            if i:
                g = (g @ w) * (kept[i] > 0)
            w -= lr * gw
            b -= lr * gb
        return loss

    model = nn.Sequential(
        *sum(([nn.Linear(m, n), nn.ReLU()] for m, n in zip(sizes, sizes[1:])), [])[:-1]
    )
    for layer, (w, b) in zip([m for m in model if isinstance(m, nn.Linear)], start):
        layer.weight.data[...], layer.bias.data[...] = w, b
    optimizer = optim.SGD(model.parameters(), lr=lr)

    minigrad, compiled = classifying(model, optimizer, images, labels)

    if torch:
        twin = torch.nn.Sequential(
            *sum(([torch.nn.Linear(m, n), torch.nn.ReLU()] for m, n in zip(sizes, sizes[1:])), [])[
                :-1
            ]
        )
        twin.load_state_dict({k: torch.tensor(v) for k, v in model.state_dict().items()})
        twin_optimizer = torch.optim.SGD(twin.parameters(), lr=lr)
        x, y = torch.tensor(images), torch.tensor(labels)

    def pytorch():
        twin_optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(x), y)
        loss.backward()
        twin_optimizer.step()
        return loss.item()

    return by_hand, minigrad, compiled, pytorch


# ---- mlp_reg: batch 128, 784-1024-1024-10, dropout .2/.5/.5, L2 on all weights, L1 on the first, SGD with momentum


def mlp_reg(
    batch=128,
    sizes=(784, 1024, 1024, 10),
    rates=(0.2, 0.5, 0.5),
    l2=1e-4,
    l1=1e-6,
    lr=0.01,
    momentum=0.9,
):
    images, labels = normal(batch, sizes[0]), rng.integers(0, sizes[-1], batch)
    start = [
        (normal(n, m) / np.float32(np.sqrt(m)), np.zeros(n, np.float32))
        for m, n in zip(sizes, sizes[1:])
    ]
    weights = [[w.copy(), b.copy()] for w, b in start]
    velocities = [[np.zeros_like(w), np.zeros_like(b)] for w, b in start]
    own = np.random.default_rng(1)

    def by_hand():
        kept, x = [], images
        for i, ((w, b), p) in enumerate(zip(weights, rates)):
            mask = (own.random(x.shape, dtype=np.float32) >= p) / np.float32(1 - p)
            x = x * mask
            kept.append((x, mask))
            x = x @ w.T + b
            if i < len(weights) - 1:
                x = np.maximum(x, 0)
        shifted = x - x.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(batch)
        loss = -log_p[rows, labels].mean()
        loss = loss + l2 * sum((w * w).sum() for w, _ in weights) + l1 * np.abs(weights[0][0]).sum()
        g = np.exp(log_p)
        g[rows, labels] -= 1
        g /= batch
        for i in range(len(weights) - 1, -1, -1):
            (w, b), (vw, vb), (x, mask) = weights[i], velocities[i], kept[i]
            gw, gb = g.T @ x, g.sum(axis=0)
            if i:
                g = (g @ w) * mask * (x > 0)
            gw += 2 * l2 * w
            if i == 0:
                gw += l1 * np.sign(w)
            vw[...] = momentum * vw + gw
            vb[...] = momentum * vb + gb
            w -= lr * vw
            b -= lr * vb
        return loss

    layers = []
    for i, (p, m, n) in enumerate(zip(rates, sizes, sizes[1:])):
        layers += [nn.Dropout(p), nn.Linear(m, n, penalty=nn.L2(l2))] + (
            [nn.ReLU()] if i < len(rates) - 1 else []
        )
    model = nn.Sequential(*layers)
    for layer, (w, b) in zip([m for m in model if isinstance(m, nn.Linear)], start):
        layer.weight.data[...], layer.bias.data[...] = w, b
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=momentum)

    def minigrad():
        optimizer.zero_grad()
        loss = (
            F.cross_entropy(model(images), labels)
            + model.penalty()
            + F.l1_penalty(model[1].weight, c=l1)
        )
        loss.backward()
        optimizer.step()
        return loss.item()

    def penalised(x, y):
        penalty = model.penalty() + F.l1_penalty(model[1].weight, c=l1)
        return F.cross_entropy(model(x), y) + penalty

    step = mg.compile(penalised)

    def compiled():
        optimizer.zero_grad()
        loss = step(images, labels)
        optimizer.step()
        return loss.item()

    if torch:
        twins = {nn.Dropout: lambda m: torch.nn.Dropout(m.p), nn.ReLU: lambda m: torch.nn.ReLU()}
        twins[nn.Linear] = lambda m: torch.nn.Linear(m.in_features, m.out_features)
        twin = torch.nn.Sequential(*(twins[type(m)](m) for m in model))
        twin.load_state_dict({k: torch.tensor(v) for k, v in model.state_dict().items()})
        twin_optimizer = torch.optim.SGD(twin.parameters(), lr=lr, momentum=momentum)
        x, y = torch.tensor(images), torch.tensor(labels)

    def pytorch():
        twin_optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(x), y)
        loss = (
            loss
            + l2 * sum((m.weight * m.weight).sum() for m in twin if hasattr(m, "weight"))
            + l1 * twin[1].weight.abs().sum()
        )
        loss.backward()
        twin_optimizer.step()
        return loss.item()

    return by_hand, minigrad, compiled, pytorch


# ---- conv: batch 64 of 1x28x28, conv3x3x16, relu, conv3x3x32, relu, maxpool2, linear, one SGD step


def conv(batch=64, pixels=28, channels=(1, 16, 32), classes=10, lr=0.01):
    images, labels = normal(batch, channels[0], pixels, pixels), rng.integers(0, classes, batch)
    side = (pixels - 2 * (len(channels) - 1)) // 2
    features = channels[-1] * side**2
    start = [
        (normal(m, c, 3, 3) / np.float32(3 * np.sqrt(c)), np.zeros(m, np.float32))
        for c, m in zip(channels, channels[1:])
    ]
    start += [
        (normal(classes, features) / np.float32(np.sqrt(features)), np.zeros(classes, np.float32))
    ]
    weights = [(w.copy(), b.copy()) for w, b in start]

    def windows(x):
        n, c, height, width = x.shape
        view = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
        return view.transpose(0, 2, 3, 1, 4, 5).reshape(n * (height - 2) * (width - 2), c * 9)

    def added(rows, shape):
        n, c, height, width = shape
        view, x = (
            rows.reshape(n, height - 2, width - 2, c, 3, 3).transpose(0, 3, 4, 5, 1, 2),
            np.zeros(shape, rows.dtype),
        )
        for i in range(3):
            for j in range(3):
                x[:, :, i : i + height - 2, j : j + width - 2] += view[:, :, i, j]
        return x

    def by_hand():
        kept, x = [], images
        for w, b in weights[:-1]:
            rows = windows(x)
            z = (
                (rows @ w.reshape(len(w), -1).T + b)
                .reshape(batch, x.shape[2] - 2, x.shape[3] - 2, len(w))
                .transpose(0, 3, 1, 2)
            )
            kept.append((x, rows))
            x = np.maximum(z, 0)
        quarters = x.reshape(batch, -1, side, 2, side, 2)
        pooled = quarters.max(axis=(3, 5))
        flat, (w, b) = pooled.reshape(batch, -1), weights[-1]
        scores = flat @ w.T + b
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(batch)
        loss = -log_p[rows, labels].mean()
        g = np.exp(log_p)
        g[rows, labels] -= 1
        g /= batch
        gw, gb, g = g.T @ flat, g.sum(axis=0), (g @ w).reshape(pooled.shape)
        w -= lr * gw
        b -= lr * gb
        g = ((quarters == pooled[:, :, :, None, :, None]) * g[:, :, :, None, :, None]).reshape(
            x.shape
        )
        for i in range(len(kept) - 1, -1, -1):
            (x_in, rows), (w, b) = kept[i], weights[i]
            g = g * (x > 0)
            g_rows = g.transpose(0, 2, 3, 1).reshape(-1, len(w))
            gw, gb = (g_rows.T @ rows).reshape(w.shape), g_rows.sum(axis=0)
            if i:
                g = added(g_rows @ w.reshape(len(w), -1), x_in.shape)
            w -= lr * gw
            b -= lr * gb
            x = x_in
        return loss

    layers = sum(([nn.Conv2d(c, m, 3), nn.ReLU()] for c, m in zip(channels, channels[1:])), [])
    model = nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features, classes))
    for layer, (w, b) in zip([m for m in model if hasattr(m, "weight")], start):
        layer.weight.data[...], layer.bias.data[...] = w, b
    optimizer = optim.SGD(model.parameters(), lr=lr)

    minigrad, compiled = classifying(model, optimizer, images, labels)

    if torch:
        twins = sum(
            ([torch.nn.Conv2d(c, m, 3), torch.nn.ReLU()] for c, m in zip(channels, channels[1:])),
            [],
        )
        twin = torch.nn.Sequential(
            *twins, torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(features, classes)
        )
        twin.load_state_dict({k: torch.tensor(v) for k, v in model.state_dict().items()})
        twin_optimizer = torch.optim.SGD(twin.parameters(), lr=lr)
        x, y = torch.tensor(images), torch.tensor(labels)

    def pytorch():
        twin_optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(x), y)
        loss.backward()
        twin_optimizer.step()
        return loss.item()

    return by_hand, minigrad, compiled, pytorch


# ---- dropout: p = 0.5 on (4096, 1024), forward and backward; nothing made here outlives a call


def dropout(p=0.3, shape=(4096, 1024)):
    data, cotangent, own = normal(*shape), normal(*shape), np.random.default_rng(1)

    def by_hand():
        mask = (own.random(shape, dtype=np.float32) >= p) / np.float32(1 - p)
        y = data * mask  # noqa: F841
        return cotangent * mask

    x = mg.Tensor(data, requires_grad=True)

    def minigrad():
        F.dropout(x, p, training=True).backward(cotangent)
        g, x.grad = x.grad, None
        return g

    step = mg.compile(lambda c: (F.dropout(x, p, training=True) * c).sum())

    def compiled():
        step(cotangent)
        g, x.grad = x.grad, None
        return g

    if torch:
        twin, g_twin = torch.tensor(data, requires_grad=True), torch.tensor(cotangent)

    def pytorch():
        torch.nn.functional.dropout(twin, p, training=True).backward(g_twin)
        g, twin.grad = twin.grad, None
        return g

    return by_hand, minigrad, compiled, pytorch


# ---- measuring


def compare(name, contenders, rounds, inner):
    """Medians, over rounds, of the time of each contender divided by the time of the first beside it."""
    hand, *others = contenders if torch else contenders[:3]
    ratios, of_hand = [], []
    for other in others:
        for run in (hand, other) * 5:
            run()
        pairs = [(seconds(hand, inner), seconds(other, inner)) for _ in range(rounds)]
        ratios.append(statistics.median(b / a for a, b in pairs))
        of_hand += [a for a, _ in pairs]
    eager, compiled, *pytorch = ratios
    peer = "         -          -"
    if pytorch:
        peer = f"{pytorch[0]:10.2f}   {eager / pytorch[0]:8.2f}"
    own = f"{1.0:8.2f}  {eager:8.2f}  {compiled:8.2f}"
    print(f"{name:10}  {statistics.median(of_hand) * 1e3:10.3f} ms  {own}  {peer}", flush=True)


def seconds(run, times):
    """The mean CPU time of a call, of several in a row."""
    begin = time.process_time()
    for _ in range(times):
        run()
    return (time.process_time() - begin) / times


def nodes():
    """Cost and memory of a node in graphs of 10^3 and 10^5 nodes, each in a fresh process."""

    def fresh(count):
        code = (
            "import resource, statistics, sys, time, numpy as np, minigrad as mg, minigrad.functional as F\n"
            "def run(links):\n"
            "    x = mg.Tensor(np.ones(8, np.float32), requires_grad=True); a = mg.Tensor(x.data); b = mg.Tensor(x.data)\n"
            "    for _ in range(links): x = F.tanh(x * a + b)\n"
            "    x.backward(np.ones(8, np.float32))\n"
            "run(100)\n"
            "def peak():\n"
            "    if sys.platform == 'darwin': return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "    return 1024 * int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
            f"before, times = peak(), []\nfor _ in range({max(5, 200_000 // count)}):\n"
            f"    t = time.perf_counter(); run({count} // 3); times.append((time.perf_counter() - t) / {count})\n"
            f"print(statistics.median(times), (peak() - before) / {count})\n"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        return tuple(map(float, out.split()))

    rounds = [(fresh(1_000), fresh(100_000)) for _ in range(3)]
    ratio = statistics.median(big[0] / small[0] for small, big in rounds)
    small, big = rounds[0]
    print(
        f"\na node: {small[0] * 1e6:.2f} us in graphs of 10^3, {big[0] * 1e6:.2f} us in graphs of 10^5 (ratio {ratio:.2f}), {big[1]:.0f} bytes"
    )


def memory():
    """The peak of the memory that a training step of `conv` adds, each side in a fresh process that has made a step on one image before."""
    code = (
        "import sys, benchmark as b\n"
        "def status(field): return 1024 * int(open('/proc/self/status').read().split(field)[1].split()[0])\n"
        "side = int(sys.argv[1]); b.conv(batch=1)[side](); step = b.conv()[side]; before = status('VmRSS:')\n"
        "open('/proc/self/clear_refs', 'w').write('5')\n"
        "for _ in range(3): step()\n"
        "print(status('VmHWM:') - before)\n"
    )

    def peak(side):
        here = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([os.path.dirname(os.path.abspath(__file__)), *sys.path]),
        }
        return (
            int(
                subprocess.run(
                    [sys.executable, "-c", code, str(side)],
                    env=here,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            / 2**20
        )

    sides = {"by hand": 0, "minigrad": 1, **({"PyTorch": 3} if torch else {})}
    print(
        "memory: a step of conv adds",
        ", ".join(f"{peak(side):.0f} MiB {name}" for name, side in sides.items()),
    )


def import_time():
    """The import of minigrad on top of NumPy's own."""

    with tempfile.TemporaryDirectory() as cache:  # compiled files, as an installation has them
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
            "PYTHONPYCACHEPREFIX": cache
        }

        def seconds(module):
            code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
            return float(
                subprocess.run(
                    [sys.executable, "-c", code],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )

        pairs = [(seconds("numpy"), seconds("minigrad")) for _ in range(17)][2:]
    print(
        f"import: {statistics.median(b / a for a, b in pairs) - 1:.2f} of the time of NumPy's import, on top of it"
    )


# ---- growth: how CPU time grows when n doubles; 2 is linear


def leaves(n, *shape):
    return [mg.Tensor(normal(*shape), requires_grad=True) for _ in range(n)]


def joined(join):
    """Forward and backward of a function of n operands."""

    def build(n):
        operands = leaves(n, 8)
        return lambda: np.sum(join(operands)).backward()

    return build


def parted(part):
    """Forward and backward of a function that takes an array of n rows apart."""

    def build(n):
        (x,) = leaves(1, n, 4)
        return lambda: sum(np.sum(row) for row in part(x, n)).backward()

    return build


def chain(n):
    (x,) = leaves(1, 8)

    def run():
        y = x
        for _ in range(n):
            y = np.tanh(y)
        np.sum(y).backward()

    return run


def lookup(n):
    (table,) = leaves(1, n, 8)
    indices = rng.integers(0, n, 4 * n)
    return lambda: np.sum(F.embedding(indices, table)).backward()


def dropouts(n):
    model, x = nn.Sequential(*[nn.Dropout(0.1) for _ in range(n)]), mg.Tensor(normal(8))
    return lambda: model(x)


def on_layers(read):
    """A reader of the graph of n layers with penalties."""

    def build(n):
        model = nn.Sequential(*[nn.Linear(4, 4, penalty=nn.L2(0.1)) for _ in range(n)])
        x = mg.Tensor(normal(2, 4), name="x")
        loss = F.mse_loss(model(x), normal(2, 4)) + model.penalty()
        return lambda: read(loss, x)

    return build


GROWTH = {  # name: (what builds the work for n, n)
    "concatenate": (joined(np.concatenate), 1000),
    "stack": (joined(np.stack), 1000),
    "l2_penalty": (joined(lambda xs: F.l2_penalty(*xs, c=0.1)), 1000),
    "l1_penalty": (joined(lambda xs: F.l1_penalty(*xs, c=0.1)), 1000),
    "elastic_net": (joined(lambda xs: F.elastic_net(*xs, l1=0.1, l2=0.1)), 1000),
    "group_l2": (joined(lambda xs: F.group_l2(*xs, c=0.1, axis=0)), 1000),
    "einsum": (joined(lambda xs: np.einsum(",".join("i" * len(xs)) + "->i", *xs)), 15),
    "chain of tanh": (chain, 1000),
    "rows": (parted(lambda x, n: x), 500),
    "slices": (parted(lambda x, n: (x[i : i + 2] for i in range(n))), 500),
    "indices": (parted(lambda x, n: (x[i] for i in range(n))), 500),
    "split": (parted(np.split), 500),
    "split at": (parted(lambda x, n: np.split(x, list(range(1, n)))), 500),
    "embedding": (lookup, 2000),
    "dropouts": (dropouts, 200),
    "terms": (on_layers(lambda loss, x: mg.terms(loss)), 100),
    "to_dot": (on_layers(lambda loss, x: mg.to_dot(loss)), 50),
    "replay": (on_layers(lambda loss, x: mg.replay(loss, {x: normal(2, 4)})), 200),
    "check_graph": (on_layers(lambda loss, x: mg.check_graph(loss)), 16),
}


def growth():
    """CPU time at n, and by which factor it grows from n to 2n and from 2n to 4n."""

    def seconds(run, times=5):
        run()
        found = []
        for _ in range(times):
            begin = time.process_time()
            run()
            found.append(time.process_time() - begin)
        return min(found)

    print("\ngrowth: CPU time, and its factor when n doubles, and doubles again")
    for name, (build, n) in GROWTH.items():
        one, two, four = (seconds(build(k * n)) for k in (1, 2, 4))
        factors = f"{two / one:5.2f}  {four / two:5.2f}"
        print(f"{name:14} n = {n:5}  {one * 1e3:8.2f} ms  {factors}", flush=True)


WORK = {
    "op": (op, 5),
    "mlp_small": (mlp_small, 20),
    "mlp_reg": (mlp_reg, 4),
    "conv": (conv, 2),
    "dropout": (dropout, 4),
}  # name: (what runs, steps in a row)
EXTRA = {"nodes": nodes, "memory": memory, "import": import_time, "growth": growth}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names",
        nargs="*",
        default=[],
        metavar="name",
        help=f"any of {', '.join([*WORK, *EXTRA])} (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    chosen = options.names or [*WORK, *EXTRA]
    print(
        f"NumPy {np.__version__}, PyTorch {torch.__version__ if torch else 'not installed'}, one thread\n"
    )
    print(
        f"{'work':10}  {'a step by hand':>14} {'by hand':>8}  {'minigrad':>8}  {'compiled':>8}  {'PyTorch':>10}  minigrad/PyTorch"
    )
    for name in [n for n in WORK if n in chosen]:
        build, inner = WORK[name]
        compare(name, build(), options.rounds, inner)
    for name in [n for n in EXTRA if n in chosen]:
        EXTRA[name]()
