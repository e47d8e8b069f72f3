"""Samples of ops/windows.py."""

from .case import case

ALL = [  # (shapes of the input, the filters and the output, (stride, dilation, groups))
    ((2, 1, 4), (2, 1, 3), (2, 2, 2), ((1,), (1,), 1)),
    ((1, 2, 7), (1, 2, 2), (1, 1, 2), ((2,), (3,), 1)),
    ((2, 2, 3), (4, 1, 1), (2, 4, 2), ((2,), (1,), 2)),
    ((2, 2, 1), (2, 2, 1), (2, 2, 1), ((1,), (1,), 1)),
    ((2, 1, 2, 3), (3, 1, 2, 2), (2, 3, 1, 2), ((1, 1), (1, 1), 1)),
    ((2, 1, 4, 4), (3, 1, 2, 2), (2, 3, 2, 2), ((1, 2), (2, 1), 1)),
    ((1, 2, 5, 3), (2, 1, 2, 2), (1, 2, 2, 1), ((2, 1), (1, 2), 2)),
]

samples = [
    "unfold: unfold(x, (2,), (1,), (1,)) | (2, 4)",
    "unfold(x, (2,), (2,), (3,)) | (1, 2, 8)",
    "unfold(x, (3,), (1,), (1,)) | (3,)",
    "unfold(x.T, (2, 3), (3, 1), (1, 2)) | (6, 5, 2)",
    "fold: fold(x, (4,), (1,), (1,)) | (2, 3, 2)",
    "fold(x, (8,), (2,), (3,)) | (1, 2, 3, 2)",
    "fold(x, (5, 4), (2, 1), (1, 3)) | (2, 2, 1, 2, 2)",
    "convolve: convolve(x, y, None, (1,), (1,), 1) | (0, 1, 3), (2, 1, 2)",
    [case("convolve(x, y, None, *a)", x, w, a=a) for x, w, _, a in ALL],
    [case("convolve(x, y, z, *a)", x, w, w[:1], a=a) for x, w, _, a in ALL],
    "convolve(whole.reshape(1, 1, 4), x, None, (1,), (1,), 1) | (2, 1, 2)",
    "convolve(x.T, y[::-1], None, (1,), (1,), 1) | (4, 1, 2), (3, 1, 2)",
    "convolve_input: convolve_input(x, y, (3,), (1,), (1,), 1) | (0, 2, 2), (2, 1, 2)",
    [case("convolve_input(x, y, n, *a)", y, w, n=x[2:], a=a) for x, w, y, a in ALL],
    "convolve_weight: convolve_weight(x, y, (2,), (1,), (1,), 1) | (0, 1, 3), (0, 2, 2)",
    [case("convolve_weight(x, y, n, *a)", x, y, n=w[2:], a=a) for x, w, y, a in ALL],
]
