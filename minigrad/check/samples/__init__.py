"""One table of sample calls for every op of the registry, with a file for each file of ops/.

Besides its definition, an op needs rows here. Then `python -m minigrad.check` proves it, and the
tests of all ops and the mutation gate include it. An op without rows fails a test. A function that
draws noise needs rows in `noisy`, in dropout.py.

A row is a call and its inputs x, y, z, w. It may begin with the name of its op. If not, it is for
the op of the row before it. An input is a shape, values, or a way to draw it:

    "roll: np.roll(x, 1) | (2, 3)"                  x has normal entries and this shape
    "clip: np.clip(x, -1, 1) | [-2.0, 0.5]"         x has these values
    "log: np.log(x) | positive(2, 3)"               entries from 0.3 to 2: see case.ways
    "x @ y | (3,), (3,); (2, 3), (3,)"              two samples of two inputs each
    cases("np.roll(x, k) | (3,)", k=[1, -2])        a sample for each k
    unary("np.log", "positive")                     shapes that go wrong, for the op log

A file of your own ops has a table {name: rows}, with functions in place of text:

    from minigrad.check.samples.case import case, unary

    samples = {"cube": [unary(cube), case(lambda x: cube(x * x), (3,))]}

Rows are part of the package, so the command proves the ops wherever they are installed. Inputs lie
inside the domains. Drawn inputs have some entries 0 or 1 and some that are equal, since rules may
branch there. At a kink a valid subgradient passes, as KINK.
"""

from importlib import import_module

from ..proofs import tensors as tensors
from .case import flat
from .dropout import noisy

FILES = "elementwise reductions shaping indexing linalg windows losses penalties dropout vocabulary"
rows = [import_module(f".{file}", __name__).samples for file in FILES.split()]
samples, op = {}, None
for sample in flat(rows):
    op = sample.op or op
    samples.setdefault(op, []).append(sample)


def table():
    """(id, op name, sample, inputs) of every sample. An id: `matmul: x @ y | (2, 3), (3,)`."""
    for name, rows in samples.items():
        for sample in rows:
            yield f"{name}: {sample.name}", name, sample, sample.inputs()
