"""The digits data: real images, small enough to train on within seconds."""

import hashlib
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "data" / "digits.npz"
SHA256 = {
    "images": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
    "labels": "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
}


def load():
    """Images (1797, 64) float32 in [0, 1] and labels (1797,) int64, verified."""
    with np.load(FILE, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in SHA256}
    for name, array in arrays.items():
        if hashlib.sha256(array.tobytes()).hexdigest() != SHA256[name]:
            raise ValueError(f"{FILE}: {name} are not the digits data; restore the file.")
    return (arrays["images"].reshape(-1, 64) / 16).astype(np.float32), arrays["labels"].astype(
        np.int64
    )


def noisy_split(seed, train=500, validation=200, noise=0.2, data=None):
    """(train, validation, test), each (images, labels), of shuffled digits; `noise` of the *training* labels are wrong.

    Wrong labels are what a network can only learn by heart, so they make regularization plain to see. `data`: other (images,
    labels) of ten classes.
    """
    images, labels = load() if data is None else data
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    images, labels = images[order], labels[order]
    wrong = rng.permutation(train)[: round(noise * train)]
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
    ends = train, train + validation
    return [(images[a:b], labels[a:b]) for a, b in zip((0, *ends), (*ends, len(labels)))]
