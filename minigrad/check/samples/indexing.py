"""Samples of ops/indexing.py."""

from .case import apart, case, cases

INDICES = [
    *["1", "-1", "np.int64(2)", "1, 2", "-1, -2", "()"],
    *["1:", "::-1", "2:0:-1", ":, 1", "::2, 1::2", "0:2, ::-2"],
    *["None", "None, 1", ":, None, ::2", "...", "..., 1", "..., None", "1, ..."],
    # lists and arrays, with repeats
    *["[0, 2]", "[0, 0, 2, 0]", "[0, 0, 1], [1, 1, 3]", "[0, 0], 1:3", "((0, 0, 1),)"],
    *["1:3, [2, 2, -1]", "[0, 0, -3], 1", "[[0, 1], [0, 1]],", "..., [-1, 3]"],
    *["np.array([[0], [0]]), [1, 1]", "None, [0, 0], ..., None"],
    *["np.array([1, 1, 0], np.uint8)", "np.int64([[1, 1], [0, 1]])", "np.array(1), :"],
    # bools
    *["np.array(1)", "np.arange(12).reshape(3, 4) % 3 == 0", "[True, False, True]", "True"],
    *["[True, False, True], [1, 1]", ":, np.arange(4) > 1"],
]
SEPARATED = ["x[[0, 0], :, [1, 1]]", "x[:, [0, 0], None, [1, 1]]", "x[0, ..., [1, 1]]"]
EMPTY = ["x[np.zeros(0, int)]", "x[1:1]", "x[x > 100]"]

samples = {
    "getitem": [
        cases([f"x[{index}]" for index in INDICES], (3, 4)),
        cases(SEPARATED, (2, 2, 3)),
        case("x[[[True, False], [True, True]]]", (2, 2, 2)),
        cases(["x[()]", "x[None, ...]"], ()),
        case("x[x > 0]", apart(2, 3)),
        case("x.T[[1, 1], ::-1]", (2, 3)),
        case("x[np.argmax(x, axis=1)]", apart(2, 2)),
        cases(EMPTY, (3, 2), zero=True),
    ],
    "scatter": [
        case("scatter(x, [0, 0, 2], (4,))", (3,)),
        case("scatter(x, 1, (3,))", ()),
        case("scatter(x, ([0, 0], [1, 1]), (2, 3))", (2,)),
        case("scatter(x, (slice(None, None, 2), -1), (3, 2))", (2,)),
        case("scatter(x, (..., None, [1, 1, 0]), (2, 2))", (2, 1, 3)),
        case("scatter(x.T, [1, 1], (3, 2))", (2, 2)),
        case("scatter(x, mask, (2, 3))", (4,)),
        case("scatter(x, np.zeros(0, int), (3,))", (0,)),
    ],
}
