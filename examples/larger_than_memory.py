"""Can NumPy's small engine train on data that do not fit in memory? Yes, in two ways, and both give the same solution.

A logistic model with dropout on its inputs and an L1 penalty (proximal steps) learns from chunks of rows that are made when they
are needed and never all at once. *Lazy*: one Dask array holds all rows, minigrad records the graph of the whole loss, and the
scheduler of Dask runs it chunk by chunk. *Chunks*: parallel.backward maps the gradient over the chunks and adds the results.

    python examples/larger_than_memory.py [--rows 4000000] [--columns 64] [--chunk 100000] [--steps 5] [--kill] [--quick] [--plan]

--kill kills a worker in the first step of the last run: Dask runs its chunk again, and the loss has the same bits.
--plan prints, without training, what a step moves and how that grows. It needs dask[array,distributed].
"""

import study  # before NumPy, which it keeps to one thread

# isort: split
import os
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
        self.starts = list(range(0, rows, chunk))

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
    """The most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def by_size(options, ways, rows, sizes):
    """{way: seconds of a step} over so many rows, for each of `sizes` as the rows of a chunk."""
    found = {name: [] for name in ways}
    for size in sizes:
        data = Rows(rows, options.columns, size)
        for name, way in ways.items():
            given = {"arrays": data.lazy()} if name == "lazy" else {}
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


def plan(data, workers):
    """What a step moves, and where the sum of the gradients becomes the limit."""
    chunks, parameters = len(data.starts), data.columns + 1
    each = 4 * parameters + 600  # bytes: the parameters and their wrapping
    print(f"{chunks} chunks of {data.chunk * data.columns * 4 / 1e6:.0f} MB on {workers} workers")
    print(
        f"a step: {chunks} tasks, {2 * chunks * each / 1e3:.0f} kB moved, twice the parameters a chunk"
    )
    print(f"{'parameters':>12} {'moved a step':>14} {'sum in one process':>20}")
    for n in 10**3, 10**5, 10**7, 10**8:
        moved, seconds = 8 * n * chunks, chunks * n * 4 / 5e9
        print(f"{n:12,} {moved / 1e9:11.3f} GB {seconds:18.3f} s")
    print("More workers divide the work on the chunks. The sum, in the last column, stays: use")
    print("larger chunks, so that there are fewer of them, once it takes longer than the chunks.")


def main():
    options = study.parser(
        __doc__,
        rows=(4_000_000, 40_000, "rows of data"),
        columns=(64, 16, "numbers in a row"),
        chunk=(100_000, 5_000, "rows in a chunk"),
        steps=(5, 2, "steps"),
        workers=(2, 2, "processes"),
    )
    options.add_argument("--kill", action="store_true", help="kill a worker in the last run")
    options.add_argument("--plan", action="store_true", help="say what a step moves, and stop")
    options = options.parse_args()
    data = Rows(options.rows, options.columns, options.chunk)
    if options.plan:
        return plan(data, options.workers)
    from dask.distributed import Client, LocalCluster

    size = data.rows * data.columns * 4 / 1e6
    print(f"{size:,.0f} MB of data in {len(data.starts)} chunks of {options.chunk:,} rows")
    before, results = peak(), {}
    results["chunks, 1 process"] = train(partial(by_chunks, map=map), data, options.steps)
    alone = peak() - before
    for workers in range(1, options.workers + 1):
        settings = {"n_workers": workers, "threads_per_worker": 1}
        with LocalCluster(**settings) as cluster, Client(cluster) as client:
            print(f"{workers} workers, dashboard: {client.dashboard_link}")
            pool, path = client.get_executor(), Path(tempfile.mkdtemp()) / "die"
            lazy = partial(lazily, arrays=data.lazy())
            results[f"lazy, {workers} workers"] = train(lazy, data, options.steps)
            chunks = partial(by_chunks, map=pool.map)
            if options.kill and workers == options.workers:
                path.touch()
                chunks = partial(by_chunks, map=pool.map, loss=partial(dying, path=path))
            results[f"chunks, {workers} workers"] = train(chunks, data, options.steps)
            most = max(client.run(peak).values())
            if workers == options.workers:
                rows = min(options.rows, 100_000)
                ways = {"lazy": lazily, "chunks": partial(by_chunks, map=pool.map)}
                ways["chunks, one process"] = partial(by_chunks, map=map)
                sizes = SIZES[2:] if options.quick else SIZES
                times = by_size(options, ways, rows, sizes)
    print(f"{'':20} {'seconds a step':>14} {'last loss':>20} {'zeros':>6}")
    for name, (losses, weights, seconds) in results.items():
        print(f"{name:20} {seconds:14.2f} {losses[-1]:20.16f} {np.mean(weights == 0):6.0%}")
    print(
        f"memory: {alone:.0f} MB more in one process, at most {most:.0f} MB in a worker, for {size:,.0f} MB of data"
    )
    losses = {name: result[0] for name, result in results.items() if "chunks" in name}
    assert len({tuple(found) for found in losses.values()}) == 1, "the bits differ"
    plot(times, rows, sizes, options.out / "larger_than_memory.png")


if __name__ == "__main__":
    main()
