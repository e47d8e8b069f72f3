"""The diabetes data: 442 patients, ten numbers each, and how far the disease had progressed a year later."""

import hashlib
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "data" / "diabetes.npz"
SHA256 = {
    "features": "6b93b2556c8942c79d8374838768047adf9d1f4044510b9f948ddace62567d75",
    "target": "4911e8747aff95aa1cd523fea86dd91cfd1cd14c1a8ead274f1913b14fa853c4",
}
NAMES = [
    "age",
    "sex",
    "bmi",
    "bp",
    "s1",
    "s2",
    "s3",
    "s4",
    "s5",
    "s6",
]  # s1..s6: blood serum measurements


def load():
    """Features (442, 10) of mean 0 and variance 1, and the target (442,) of mean 0, both float64, verified.

    With both at mean 0 a linear model needs no intercept.
    """
    with np.load(FILE, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in SHA256}
    for name, array in arrays.items():
        if hashlib.sha256(array.tobytes()).hexdigest() != SHA256[name]:
            raise ValueError(f"{FILE}: {name} are not the diabetes data; restore the file.")
    features, target = arrays["features"], arrays["target"]
    return (features - features.mean(axis=0)) / features.std(axis=0), target - target.mean()


def folds(count=10, seed=0):
    """`count` pairs of row numbers (train, test), for cross-validation."""
    order = np.random.default_rng(seed).permutation(442)
    return [(np.setdiff1d(order, test), test) for test in np.array_split(order, count)]
