"""Samples of ops/windows.py."""

from ...ops.windows import places
from .case import case

ALL = [  # (shape of the input, of the filters, (stride, dilation, groups))
    ((2, 1, 4), (2, 1, 3), ((1,), (1,), 1)),
    ((1, 2, 7), (1, 2, 2), ((2,), (3,), 1)),
    ((2, 2, 3), (4, 1, 1), ((2,), (1,), 2)),
    ((2, 1, 2, 3), (3, 1, 2, 2), ((1, 1), (1, 1), 1)),
    ((1, 2, 5, 3), (2, 1, 2, 2), ((2, 1), (1, 2), 2)),
    ((1, 1, 2, 2), (1, 1, 2, 2), ((1, 1), (1, 1), 1)),  # input and filters of one shape,
    ((2, 2, 3), (2, 2, 2), ((1,), (1,), 1)),  # filters and output,
    ((2, 2, 2), (2, 2, 1), ((1,), (1,), 1)),  # input and output
]


def out(x, w, settings):
    """The shape of the output of a convolution."""
    return x[0], w[0], *places(x[2:], w[2:], *settings[:2])


samples = [
    "unfold: unfold(x, (2,), (1,), (1,)) | (2, 4)",
    "unfold(x, (2,), (2,), (3,)) | (1, 2, 8)",
    "unfold(x, (3,), (1,), (1,)) | (3,)",
    "unfold(x, (2, 1), (1, 2), (1, 3)) | (2, 3, 4)",
    "unfold(x.T, (2, 3), (3, 1), (1, 2)) | (6, 5, 2)",
    "fold: fold(x, (4,), (1,), (1,)) | (2, 3, 2)",
    "fold(x, (8,), (2,), (3,)) | (1, 2, 3, 2)",
    "fold(x, (5, 4), (2, 1), (1, 3)) | (2, 2, 1, 2, 2)",
    "convolve: convolve(x, y, None, (1,), (1,), 1) | (0, 1, 3), (2, 1, 2)",
    [case("convolve(x, y, None, *a)", x, w, a=a) for x, w, a in ALL],
    [case("convolve(x, y, z, *a)", x, w, [0.0, 1.0, 1.0][: w[0]], a=a) for x, w, a in ALL[3:6]],
    "convolve(whole.reshape(1, 1, 4), x, None, (1,), (1,), 1) | (2, 1, 2)",
    "convolve(x.T, y[::-1], None, (1,), (1,), 1) | (4, 1, 2), (3, 1, 2)",
    "convolve_input: convolve_input(x, y, (3,), (1,), (1,), 1) | (0, 2, 2), (2, 1, 2)",
    [case("convolve_input(x, y, n, *a)", out(x, w, a), w, n=x[2:], a=a) for x, w, a in ALL],
    "convolve_input(x, y, (4, 5), (1, 2), (2, 3), 1) | (1, 1, 1, 1), (1, 2, 2, 2)",  # room
    "convolve_weight: convolve_weight(x, y, (2,), (1,), (1,), 1) | (0, 1, 3), (0, 2, 2)",
    [case("convolve_weight(x, y, n, *a)", x, out(x, w, a), n=w[2:], a=a) for x, w, a in ALL],
]
