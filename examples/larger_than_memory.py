"""Can NumPy's small engine train on data that do not fit in memory? Yes, in two ways, and both give the same solution.

A logistic model with dropout on its inputs and an L1 penalty (proximal steps) learns from chunks of rows that are made when they
are needed and never all at once. *Lazy*: one Dask array holds all rows, minigrad records the graph of the whole loss, and the
scheduler of Dask runs it chunk by chunk. *Chunks*: parallel.backward maps the gradient over the chunks and adds the results.

    python examples/larger_than_memory.py [--rows 4000000] [--columns 64] [--chunk 100000] [--steps 5] [--memory 512] [--kill] [--quick]
    python examples/larger_than_memory.py --plan

--kill kills a worker in the first step of the last run: Dask runs its chunk again, and the loss has the same bits.
No process may take more than --memory MB: the peak is measured, and Dask ends a worker that takes more. --plan prints, without
training, what a step moves and how that grows: on paper, counted and simulated. It needs dask[array,distributed].
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import heapq
import os
import pickle
import resource
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

import minigrad as mg
import minigrad.functional as F
from minigrad import foreign, nn, parallel
from minigrad.ops.penalties import soft_threshold

L1, LR, DROP = 2e-3, 1.0, 0.2
SIZES = 200, 1_000, 5_000, 25_000, 100_000


class Rows:
    """Rows of data with labels from a sparse model. The rows of a chunk come from its seed, as from a file."""

    def __init__(self, rows, columns, chunk):
        self.rows, self.columns, self.chunk = rows, columns, chunk
        self.starts = range(0, rows, chunk)

    def read(self, start):
        """(x, y) of the chunk that begins at this row."""
        rng, n = np.random.default_rng([1, start]), min(self.chunk, self.rows - start)
        x = rng.standard_normal((n, self.columns), np.float32)
        scores = 2 * x[:, 0] - 3 * x[:, 1] + x[:, 2]
        return x, (rng.random(n) < 1 / (1 + np.exp(-scores))).astype(np.float32)

    def lazy(self):
        """All rows as two Dask arrays."""
        import dask
        import dask.array as da

        xs, ys = [], []
        for start in self.starts:
            x, y = dask.delayed(self.read, nout=2)(start)
            n = min(self.chunk, self.rows - start)
            xs.append(da.from_delayed(x, (n, self.columns), np.float32))
            ys.append(da.from_delayed(y, (n,), np.float32))
        return da.concatenate(xs), da.concatenate(ys)


def loss_of(model, x, y, rows):
    """The loss of some of the rows, as their part of the mean over all."""
    scores = model(F.dropout(mg.Tensor(x), DROP, model.training)).reshape(-1)
    return F.binary_cross_entropy_with_logits(scores, y, reduction="sum") / rows


def loss_of_chunk(model, start, data):
    """The loss of the chunk that begins at row `start`."""
    return loss_of(model, *data.read(start), data.rows)


def dying(model, start, data, path):
    """The same. The first process that comes here kills itself."""
    if path.exists():
        path.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return loss_of_chunk(model, start, data)


def lazily(model, step, data, arrays):
    """The loss of all rows and its gradients, computed by Dask in one go."""
    mg.manual_seed((0, step))
    loss = loss_of(model, *arrays, data.rows)
    loss.backward()
    foreign.compute(loss, *(w.grad for w in model.parameters()))
    return loss.item()


def by_chunks(model, step, data, map, loss=loss_of_chunk):
    """The same by parallel.backward."""
    return parallel.backward(partial(loss, data=data), model, data.starts, (0, step), map)


def train(way, data, steps):
    """(the losses, the weights, seconds a step) of proximal gradient steps from zero."""
    model = nn.Linear(data.columns, 1)
    with mg.no_grad():
        for w in model.parameters():
            w *= 0
    losses, begun = [], time.perf_counter()
    for step in tqdm(range(steps), leave=False):
        losses.append(way(model, step, data))
        with mg.no_grad():
            for w in model.parameters():
                w -= LR * w.grad
                w.grad = None
            model.weight.data[...] = soft_threshold(model.weight.data, LR * L1)
    return losses, model.weight.data.ravel().copy(), (time.perf_counter() - begun) / steps


def peak():
    """The most memory that this program ever had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage counts the process that started this one too
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def by_size(options, ways, rows, sizes):
    """{way: seconds of a step} over so many rows, for each of `sizes` as the rows of a chunk."""
    found = {name: [] for name in ways}
    for size in sizes:
        data = Rows(rows, options.columns, size)
        for name, way in ways.items():
            given = {"arrays": data.lazy()} if way is lazily else {}
            found[name].append(train(partial(way, **given), data, 1)[2])
    return found


def plot(found, rows, sizes, file):
    """Seconds a step against the rows of a chunk."""
    figure, axis = study.figure(6.4, 4.2, 1)
    for (name, seconds), (colour, line, marker) in zip(found.items(), study.LOOKS[1:]):
        axis.plot(sizes, seconds, line, color=colour, marker=marker, label=name)
    axis.set(xscale="log", yscale="log", xlabel="rows in a chunk", ylabel="seconds a step")
    axis.set_title(f"{rows:,} rows: small chunks cost more than they compute", fontsize=11)
    axis.legend(frameon=False)
    study.save(figure, file)


# ----------------------------------------------------------------------------------- how it grows

WRAPPING = 830  # bytes: the pickles of a task and its result, without parameters and gradient
LAZY = 20  # tasks a chunk of the lazy way, after Dask has joined what it can
TASK, NETWORK = 1e-3, 1e9  # seconds that a task costs the leading process; bytes a second


def moved(parameters, chunks):
    """Bytes of a step, on paper: the parameters to each chunk, and its gradient back, in float32."""
    return chunks * (8 * parameters + WRAPPING)


def counted(columns, chunks):
    """(bytes that a pool would move in a step, tasks of the lazy way or nothing without Dask), counted."""
    data, model, sizes = Rows(8 * chunks, columns, 8), nn.Linear(columns, 1), []

    def pool(function, *lists):
        for args in zip(*lists):
            result = pickle.dumps(function(*args))
            sizes.extend([len(pickle.dumps((function, args))), len(result)])
            yield pickle.loads(result)

    by_chunks(model, 0, data, pool)
    try:
        import dask
    except ImportError:
        return sum(sizes), ""
    for w in model.parameters():
        w.grad = None
    loss = loss_of(model, *data.lazy(), data.rows)
    loss.backward()
    arrays = dask.optimize(loss.data, *(w.grad.data for w in model.parameters()))
    return sum(sizes), len({key for array in arrays for key in array.__dask_graph__()})


def on_paper(chunks, workers, work, hand):
    """Seconds of a step: the workers take `work` for a chunk, the leading process `hand` for its result."""
    return max(-(-chunks // workers) * work + hand, work + chunks * hand)


def simulated(chunks, workers, work, hand):
    """The same, event by event. A chunk takes from half to one and a half times as long, and its result waits for its turn."""
    # when each worker is free; when all results so far are added
    free, summed = [0.0] * workers, 0.0
    for share in np.random.default_rng(0).uniform(0.5, 1.5, chunks):
        end = heapq.heappop(free) + share * work
        heapq.heappush(free, end)
        summed = max(summed, end) + hand
    return summed


def seconds_of(function, *args):
    """The least seconds of three calls."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - begun)
    return min(times)


def plan(data, workers):
    """Prints what a step moves and how long it takes, on paper and counted or simulated."""
    print(
        f"{len(data.starts)} chunks of {data.chunk * data.columns * 4 / 1e6:.1f} MB on {study.count(workers, 'worker')}"
    )
    print(
        f"a step moves {moved(data.columns + 1, len(data.starts)) / 1e3:.0f} kB, for any number of workers\n"
    )
    print(f"{'':24}{'bytes of a step':^24}{'tasks, lazy':^18}")
    print(
        f"{'parameters':>12}{'chunks':>8}"
        + f"{'on paper':>14}{'counted':>12}"
        + f"{'on paper':>11}{'counted':>8}"
    )
    for columns, chunks in (64, 10), (64, 80), (10_000, 10), (10_000, 80):
        size, tasks = counted(columns, chunks)
        told = f"{moved(columns + 1, chunks):14,}{size:12,}{LAZY * chunks:11,}{tasks:>8}"
        print(f"{columns + 1:12,}{chunks:8,}{told}")
    small = Rows(data.chunk, data.columns, data.chunk)
    each = seconds_of(by_chunks, nn.Linear(data.columns, 1), 0, small, map) / (
        data.chunk * data.columns
    )
    total = np.zeros(10**6, np.float32)
    added = seconds_of(lambda: total + pickle.loads(pickle.dumps(total))) / total.size
    print(
        f"\nA chunk takes {each * 1e9:.0f} ns a number, its result {added * 1e9:.1f} ns a parameter, 1 ms a task and 1 GB/s."
    )
    print(
        "Seconds of a step over 1,000 chunks, on paper | simulated, and from how many workers on the sum is the limit:"
    )
    crowds = 1, 4, 16, 64, 256
    print(
        f"{'parameters':>12}{'rows':>8}"
        + "".join(f"{study.count(n, 'worker'):>22}" for n in crowds)
        + f"{'limit':>9}"
    )
    for parameters, rows in (10**3, 100), (10**3, 1000), (10**6, 100), (10**6, 1000):
        work, hand = each * parameters * rows, TASK + parameters * (8 / NETWORK + added)
        settings = [(1000, n, work, hand) for n in crowds]
        times = "".join(f"{on_paper(*s):10,.1f} | {simulated(*s):9,.1f}" for s in settings)
        print(f"{parameters:12,}{rows:8,}{times}{work / hand:9,.0f}")
    print(
        "Beyond the limit more workers do not help: make chunks larger, so that there are fewer sums."
    )


def main():
    options = study.parser(
        __doc__,
        rows=(4_000_000, 40_000, "rows of data"),
        columns=(64, 16, "numbers in a row"),
        chunk=(100_000, 5_000, "rows in a chunk"),
        steps=(5, 2, "steps"),
        workers=(2, 2, "processes"),
        memory=(512, 512, "MB that each process may take"),
    )
    options.add_argument("--kill", action="store_true", help="kill a worker in the last run")
    options.add_argument("--plan", action="store_true", help="say what a step moves, and stop")
    options = options.parse_args()
    data = Rows(options.rows, options.columns, options.chunk)
    if options.plan:
        return plan(data, options.workers)
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise SystemExit('This example needs Dask: pip install -e ".[distributed]"') from None
    size = data.rows * data.columns * 4 / 1e6
    print(f"{size:,.0f} MB of data in {len(data.starts)} chunks of {options.chunk:,} rows")
    results = {}
    results["chunks, 1 process"] = train(partial(by_chunks, map=map), data, options.steps)
    alone = peak()
    for workers in range(1, options.workers + 1):
        crew = study.count(workers, "worker")
        limit = {"threads_per_worker": 1, "memory_limit": f"{options.memory}MB"}
        with LocalCluster(n_workers=workers, **limit) as cluster, Client(cluster) as client:
            print(f"workers: {workers}, dashboard: {client.dashboard_link}")
            pool, path = client.get_executor(), Path(tempfile.mkdtemp()) / "die"
            lazy = partial(lazily, arrays=data.lazy())
            results[f"lazy, {crew}"] = train(lazy, data, options.steps)
            chunks = partial(by_chunks, map=pool.map)
            if options.kill and workers == options.workers:
                path.touch()
                chunks = partial(by_chunks, map=pool.map, loss=partial(dying, path=path))
            results[f"chunks, {crew}"] = train(chunks, data, options.steps)
            most = max(client.run(peak).values())
            if workers == options.workers:
                rows = min(options.rows, 100_000)
                ways = {f"lazy, {crew}": lazily}
                ways[f"chunks, {crew}"] = partial(by_chunks, map=pool.map)
                ways["chunks, one process"] = partial(by_chunks, map=map)
                sizes = SIZES[2:] if options.quick else SIZES
                times = by_size(options, ways, rows, sizes)
    print(f"{'':20} {'seconds a step':>14} {'last loss':>20} {'zeros':>6}")
    for name, (losses, weights, seconds) in results.items():
        print(f"{name:20} {seconds:14.2f} {losses[-1]:20.16f} {np.mean(weights == 0):6.0%}")
    allowed = f"of {options.memory} MB that it may take, for {size:,.0f} MB of data"
    print(f"memory: one process took {alone:.0f} MB, a worker at most {most:.0f} MB, {allowed}")
    assert max(alone, most) < options.memory, "more memory than allowed"
    losses = {name: result[0] for name, result in results.items() if "chunks" in name}
    assert len({tuple(found) for found in losses.values()}) == 1, "the bits differ"
    plot(times, rows, sizes, options.out / "larger_than_memory.png")


if __name__ == "__main__":
    main()
