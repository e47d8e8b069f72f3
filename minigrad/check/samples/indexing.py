"""Samples of ops/indexing.py."""

samples = [
    "getitem: x[1]; x[-1]; x[np.int64(2)]; x[1, 2]; x[-1, -2]; x[()]; x[1:]; x[::-1] | (3, 4)",
    "x[2:0:-1]; x[:, 1]; x[::2, 1::2]; x[0:2, ::-2]; x[None]; x[None, 1] | (3, 4)",
    # lists and arrays, with repeats
    "x[[0, 2]]; x[[0, 0, 2, 0]]; x[[0, 0, 1], [1, 1, 3]]; x[[0, 0], 1:3] | (3, 4)",
    "x[..., [-1, 3]]; x[np.array([[0], [0]]), [1, 1]]; x[None, [0, 0], ..., None] | (3, 4)",
    "x[np.array([1, 1, 0], np.uint8)]; x[np.int64([[1, 1], [0, 1]])] | (3, 4)",
    # bools
    "x[np.arange(12).reshape(3, 4) % 3 == 0]; x[[True, False, True]]; x[True] | (3, 4)",
    # lists with a slice, None or an ellipsis between them
    "x[[0, 0], :, [1, 1]]; x[:, [0, 0], None, [1, 1]]; x[0, ..., [1, 1]] | (2, 2, 3); (2, 2, 3, 2)",
    "x[()]; x[None, ...] | ()",
    "x.T[[1, 1], ::-1]; x[np.array(1), :]; x[np.array(1)] | (2, 3)",
    "x[np.argmax(x, axis=1)]; x[np.arange(2), np.argmax(x, axis=1)] | apart(2, 2)",
    "x[..., np.argsort(x[0])]; x[None, x[:, 0] > -9] | apart(2, 2)",
    "x[np.zeros(0, int)]; x[1:1]; x[x > 100] | (3, 2)",
    "scatter: scatter(x, (4,), [0, 0, 2]) | (3,)",
    "scatter(x, (3,), 1); scatter(x, (2, 3), 1, -1) | ()",
    "scatter(x, (2, 3), [0, 0], [1, 1]); scatter(x, (3, 2), slice(None, None, 2), -1) | (2,)",
    "scatter(x, (2, 2), ..., None, [1, 1, 0]) | (2, 1, 3)",
    "scatter(x.T, (3, 2), [1, 1]) | (2, 2)",
    "scatter(x, (2, 3), mask) | (4,)",
    "scatter(x, (2, 2), np.arange(2), np.argmax(x)) | apart(2,)",
    "scatter(x, (3,), np.zeros(0, int)) | (0,)",
]
