"""Samples of ops/shaping.py."""

from .case import cases

samples = {
    "reshape": [
        cases("np.reshape(x, s); x.T.reshape(s) | (2, 3)", s=[(3, 2), 6, -1, (1, -1, 2), (6,)]),
        "x.reshape(1, 1); np.reshape(x, ()) | (); (1,)",
        "np.reshape(x, (3, 0)) | (0, 2)",
    ],
    "transpose": [
        cases("np.transpose(x, k) | (2, 3, 1)", k=[(1, 2, 0), [2, 0, 1], (-1, 0, -2), None]),
        "np.transpose(x); x.T | (2, 3, 2); (3,); (); (0, 2)",
        "x.transpose(2, 0, 1) | (2, 3, 1)",
    ],
    "swapaxes": cases("np.swapaxes(x, *ab) | (2, 3, 1)", ab=[(0, 1), (-1, 0), (2, -2), (1, 1)]),
    "moveaxis": [
        cases("np.moveaxis(x, *ab) | (2, 3, 1)", ab=[(0, 2), (-1, 0), (1, -1), (1, 1)]),
        "np.moveaxis(x, (0, 1), (2, 0)); np.moveaxis(x, [0, 1, 2], [-1, 0, 1]) | (2, 3, 1)",
    ],
    "expand_dims": [
        cases("np.expand_dims(x, k) | (2, 3); ()", k=[0, -1, (0, 1), ()]),
        cases("np.expand_dims(x, k) | (2, 3)", k=[1, (0, 3), (-1, 0)]),
    ],
    "squeeze": [
        cases("np.squeeze(x, axis) | (1, 3, 1)", axis=[None, 0, -1, (0, 2), ()]),
        "np.squeeze(x) | (1, 1); (2, 2); (1, 0)",
    ],
    "broadcast_to": [
        "np.broadcast_to(x, (2, 2, 3)); np.broadcast_to(x, (1, 3)) | (1, 3); (3,); ()",
        "np.broadcast_to(x, 4); np.broadcast_to(x, (2, 4)) | (1,)",
        "np.broadcast_to(x, (0, 3)) | (3,) | zero",
    ],
    "flip": [cases("np.flip(x, axis) | (2, 3)", axis=[None, 0, -1, (0, 1)]), "np.flip(x) | ()"],
    "roll": [
        cases("np.roll(x, k) | (2, 3); (3,)", k=[0, 1, -2, 7]),
        cases("np.roll(x, *ka) | (2, 3)", ka=[(1, 0), (-1, 1), (2, -1), ((1, 2), (0, 1))]),
        "np.roll(x, (1, 1), 1); np.roll(x, 1, axis=1) | (2, 3); (0, 2)",
    ],
    "pad": [
        cases("np.pad(x, width) | (2, 3)", width=[1, 0, (1, 2), ((1, 2),), ((0, 1), (2, 0)), (1,)]),
        "np.pad(x, [[1, 0], [0, 0]]); np.pad(x, np.array([1, 2])); np.pad(x.T, (1, 0)) | (2, 3)",
        "np.pad(x, whole - 1, 'constant', constant_values=whole) | (1, 2)",
        "np.pad(x, 1, constant_values=5) | (3,)",
        "np.pad(x, 1) | (2, 1, 2); (); (0,)",
    ],
    "concatenate": [
        cases("np.concatenate([x, y], axis) | (2, 3), (2, 3)", axis=[0, 1, -1, -2]),
        "np.concatenate(xs, axis=1) | (2, 1), (2, 3), (2, 2)",
        "np.concatenate(xs) | (1,), (0,), (3,) | not zero",
        "np.concatenate([x]); np.concatenate([x, x.T, x[::-1]], axis=-1) | (2, 2)",
        "np.concatenate([whole[:1], x, whole[1:]]) | (1, 2)",
        "np.concatenate((x, y), axis=None) | (2, 2), (3,)",
    ],
    "stack": [
        cases("np.stack([x, y], axis) | (2, 3), (2, 3)", axis=[0, 1, 2, -1, -3]),
        "np.stack(xs) | (), (), ()",
        "np.stack([x]); np.stack([x, x.T], axis=-1); np.stack([whole[0], x[0]]) | (2, 2)",
        "np.stack([x]) | (0,)",
    ],
}
