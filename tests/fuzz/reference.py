"""What a program of the fuzzer should compute: plain NumPy, with derivatives by the complex step.

Nothing here uses the engine. The text of a program runs on `Plain` arrays as it runs on Tensors. Of
real numbers, a Plain array is an array of NumPy with the methods of a Tensor. Of complex numbers
x + i H v, it carries the derivative along v: functions are analytic, and where numbers are compared
(maximum, floor, x > 0) their real parts are. At a kink it takes the derivative that the engine
promises: ties share equally, |x| and relu are flat at 0, clip is not flat at its bounds.
"""

import math
from functools import partial

import numpy as np

import minigrad as mg
import minigrad.functional as tensors

H = 1e-30  # its square is far below the rounding of 1


REFUSALS = ValueError, TypeError, IndexError, AttributeError, ZeroDivisionError


class Refused(ValueError):
    """minigrad does not take these arguments, though NumPy might."""


def refuse(condition):
    if condition:
        raise Refused


class Decisions:
    """The comparisons of a run.

    ties   how many were of equal numbers
    jumps  how many of these let a result jump, as floor does and maximum does not
    gap    the smallest distance of other numbers
    """

    def start(self):
        self.ties, self.jumps, self.gap = 0, 0, math.inf

    def note(self, distances, jump=False):
        sizes = np.abs(np.asarray(distances))
        ties = np.count_nonzero(sizes == 0)
        self.ties, self.jumps = self.ties + ties, self.jumps + ties * jump
        self.gap = min(self.gap, sizes[sizes > 0].min(initial=math.inf))


seen = Decisions()
seen.start()


def bare(x):
    return x.view(np.ndarray) if isinstance(x, Plain) else x


def plain(x):
    """x, or the arrays in a list x: floats become Plain arrays."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(plain, x))
    x = np.asarray(x)
    return x.view(Plain) if x.dtype.kind in "fc" else x


def is_complex(*arrays):
    return any(getattr(a, "dtype", np.dtype(int)).kind == "c" for a in arrays)


def along(leaves, directions):
    """The leaves, {name: array}: floats as complex numbers x + i H v."""
    steps = {n: directions.get(n, 0.0) for n, x in leaves.items() if x.dtype.kind == "f"}
    moved = {n: plain(leaves[n] + 1j * H * np.asarray(v, np.longdouble)) for n, v in steps.items()}
    return leaves | moved


def extreme(ufunc, x, axis=None, keepdims=False, jump=False, **_):
    """ufunc.reduce for maximum and minimum. Ties share the derivative."""
    top = ufunc.reduce(x.real, axis=axis, keepdims=True)
    chosen = x.real == top
    seen.note((x.real - top)[~chosen])
    seen.note(np.zeros(chosen.sum() - top.size), jump)
    return np.sum(x * chosen, axis, keepdims=keepdims) / np.sum(chosen, axis, keepdims=keepdims)


def choice(sign):
    """maximum (sign 1) or minimum (sign -1). Ties share the derivative."""

    def choose(x, y):
        distance = sign * (np.real(x) - np.real(y))
        seen.note(distance)
        share = (1 + np.sign(distance)) / 2
        return x * share + y * (1 - share)

    return choose


WHOLE = np.floor, np.ceil, np.trunc, np.floor_divide
COMPARED = np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.sign
TESTED = np.rint, np.isfinite, np.logical_not, np.logical_and, np.logical_or
TESTED += np.isnan, np.isinf, np.signbit
ANALYTIC = {
    np.absolute: lambda x: x * np.sign(x),
    np.maximum: choice(1),
    np.minimum: choice(-1),
    np.remainder: lambda x, y: x - np.floor_divide(x, y) * y,
    np.fmax: choice(1),
    np.fmin: choice(-1),
    np.logaddexp: lambda x, y: np.log(np.exp(x) + np.exp(y)),
    np.logaddexp2: lambda x, y: np.log(2**x + 2**y) / math.log(2),
    np.cbrt: lambda x: x ** (1 / 3),  # the numbers that it gets are positive, as y is here:
    np.hypot: lambda x, y: np.sqrt(x * x + y * y),
    np.arctan2: lambda x, y: np.arctan(x / y),
    **dict.fromkeys((np.deg2rad, np.radians), lambda x: x * (math.pi / 180)),
    **dict.fromkeys((np.rad2deg, np.degrees), lambda x: x * (180 / math.pi)),
    np.fabs: lambda x: x * np.sign(x),
}


def decided(ufunc, inputs):
    """The real parts. Notes how far they are from another decision."""
    x, y = parts = [np.real(bare(v)) for v in (*inputs, 0)[:2]]
    if ufunc in COMPARED:
        seen.note(x - y, jump=True)
    elif ufunc in WHOLE or ufunc is np.rint:
        z = x / y if ufunc is np.floor_divide else x + 0.5 * (ufunc is np.rint)
        seen.note(z - np.round(z), jump=True)
    return parts[: len(inputs)]


class Plain(np.ndarray):
    """An array of NumPy with the methods of a Tensor; of complex numbers, with a derivative."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **settings):
        arrays = [bare(x) for x in inputs]
        if is_complex(*arrays):
            if method == "reduce" and ufunc in (np.maximum, np.minimum):
                return plain(extreme(ufunc, *arrays, **settings))
            if ufunc in ANALYTIC:
                return plain(ANALYTIC[ufunc](*inputs))
            if ufunc in (*WHOLE, *COMPARED, *TESTED):
                arrays = decided(ufunc, inputs)
        result = plain(getattr(ufunc, method)(*arrays, **settings))
        if out is None:
            return result
        out[0][...] = result  # x += y
        return out[0]

    def __array_function__(self, function, types, args, keywords):
        if function is np.dot:
            ranks = [np.ndim(x) for x in args]
            refuse(min(ranks) > 0 and max(ranks) > 2)
        refuse(function is np.average and not np.size(args[0]))
        along = np.take, np.repeat, np.cumprod, np.nancumprod
        refuse(function in along and "axis" in keywords and not np.ndim(args[0]))
        if function is np.sort:
            x, axis = args[0], keywords["axis"]
            refuse(not x.ndim)
            return np.take_along_axis(x, x.argsort(axis), axis)
        # NumPy 2.4 writes beyond the end of an empty result.
        refuse(function is np.einsum and not all(map(np.size, args)))
        return plain(super().__array_function__(function, types, args, keywords))

    def __getitem__(self, index):
        return plain(super().__getitem__(index))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def astype(self, dtype):
        if not is_complex(self):
            return plain(super().astype(dtype))
        return self if np.dtype(dtype).kind == "f" else np.trunc(self).real.astype(dtype)

    def clip(self, low, high, **_):
        seen.note(self.real - low), seen.note(self.real - high)
        below, above = self.real < low, self.real > high
        return np.where(below, low, np.where(above, high, self))

    def mean(self, axis=None, keepdims=False, **_):
        total = self.sum(axis=axis, keepdims=keepdims)
        refuse(total.size > 0 == self.size)
        return plain(super().mean(axis=axis, keepdims=keepdims))

    def var(self, axis=None, ddof=0, keepdims=False, **_):
        squares = (self - self.mean(axis=axis, keepdims=True)) ** 2
        total = squares.sum(axis=axis, keepdims=keepdims)
        count = self.size // max(1, total.size)
        refuse(count <= ddof)
        return total / (count - ddof)

    def std(self, axis=None, ddof=0, keepdims=False, **_):
        var = self.var(axis, ddof, keepdims)
        refuse(is_complex(self) and np.any(var.real < 1e-6))  # near 0 rounding decides
        return np.sqrt(var)

    def argmax(self, axis=None, **_):
        extreme(np.maximum, bare(self), axis, jump=True)
        return bare(self).real.argmax(axis)

    def argmin(self, axis=None, **_):
        return (-self).argmax(axis)

    def argsort(self, axis=-1, **_):
        if self.ndim:
            seen.note(np.diff(np.sort(bare(self).real, axis), axis=axis), jump=True)
        return bare(self).real.argsort(axis, kind="stable")

    def detach(self):
        return plain(bare(self).real + 0j) if is_complex(self) else self

    dot, matmul = (lambda x, y, f=f: f(x, y) for f in (np.dot, np.matmul))
    exp, log, sqrt, tanh = (lambda x, f=f: f(x) for f in (np.exp, np.log, np.sqrt, np.tanh))
    sigmoid, relu, abs = lambda x: F.sigmoid(x), lambda x: F.relu(x), lambda x: np.abs(x)


# -------------------------------------------------------------------------------------- functional


def normal(x, axes):
    refuse(math.prod(x.shape[a] for a in axes) < 2)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, 0, True) + 1e-5)


def taps(x, size, stride, padding, dilation, value=0):
    """For each position in the window, the entries of x at that position of all windows."""
    refuse(x.ndim != len(size) + 2 or not x.size)
    x = np.pad(x, [(0, 0)] * 2 + [(padding, padding)] * len(size), constant_values=value)
    spans = [(n - dilation * (k - 1) - 1) // stride * stride + 1 for n, k in zip(x.shape[2:], size)]
    refuse(min(spans) < 1)
    for k in np.ndindex(*size):
        yield (
            k,
            x[(..., *(slice(dilation * i, dilation * i + n, stride) for i, n in zip(k, spans)))],
        )


def convolution(rank, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    refuse(x.ndim != rank + 2)
    outs = []
    for part, filters in zip(np.split(x, groups, axis=1), np.split(weight, groups)):
        windows = taps(part, weight.shape[2:], stride, padding, dilation)
        outs.append(sum(np.einsum("nc...,mc->nm...", a, filters[(..., *k)]) for k, a in windows))
    out = np.concatenate(outs, axis=1)
    return out if bias is None else out + bias.reshape(-1, *[1] * rank)


def pool(rank, reduce, value, x, size, stride=None, padding=0):
    windows = taps(x, (size,) * rank, stride or size, padding, 1, value)
    return reduce(np.stack([part for _, part in windows]), axis=0)


def reduced(loss):
    """A loss from its entries; the inputs must have one shape."""

    def call(x, y, reduction="mean", **settings):
        refuse(x.shape != y.shape or reduction == "mean" and not x.size)
        entries = loss(x, y, **settings)
        return entries if reduction == "none" else getattr(np, reduction)(entries)

    return call


def huber(x, y, delta=1.0):
    size = np.abs(x - y)
    return np.where(size <= delta, size * size / 2, delta * (size - delta / 2))


class F:
    """The functions of minigrad.functional, as their papers write them."""

    relu = lambda x: x * (x > 0)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))

    def softplus(x):
        large = bare(x).real > 0  # exp(x) may be too large
        return np.where(large, x + np.log1p(np.exp(-x)), np.log1p(np.exp(x)))

    silu = lambda x: x / (1 + np.exp(-x))
    leaky_relu = lambda x: 0.01 * x + 0.99 * F.relu(x)
    elu = lambda x: np.where(x > 0, x, np.expm1(x))
    selu = lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))
    gelu = lambda x: x * (1 + F.erf(x * math.sqrt(0.5))) / 2

    def erf(x):
        value = np.vectorize(math.erf, otypes=[float])(bare(x).real).astype(x.real.dtype)
        slope = 2 / math.sqrt(math.pi) * np.exp(-(bare(x).real ** 2))
        return plain(value + 1j * x.imag * slope if is_complex(x) else value)

    def logsumexp(x, axis=None, keepdims=False):
        refuse(not x.size)
        top = np.max(bare(x).real, axis=axis, keepdims=True)  # exp(x) may be too large
        total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
        return total if keepdims else np.squeeze(total, axis)

    softmax = lambda x, axis=-1: np.exp(x - F.logsumexp(x, axis, True))
    log_softmax = lambda x, axis=-1: x - F.logsumexp(x, axis, True)

    def linear(x, weight, bias=None):
        return x @ weight.T if bias is None else x @ weight.T + bias

    def embedding(x, weight):
        refuse(weight.ndim != 2)
        return weight[x]

    def layer_norm(x, shape, weight, bias):
        return normal(x, tuple(range(-len(shape), 0))) * weight + bias

    def group_norm(x, groups, weight, bias):
        out, shape = normal(x.reshape(len(x), groups, -1), (2,)), (-1,) + (1,) * (x.ndim - 2)
        return out.reshape(x.shape) * weight.reshape(shape) + bias.reshape(shape)

    def scaled_dot_product_attention(query, key, value, is_causal=False):
        refuse(min(query.ndim, key.ndim, value.ndim) < 2 or not query.shape[-1])
        scores = query @ np.swapaxes(key, -1, -2) / math.sqrt(query.shape[-1])
        later = 1 - np.tri(*scores.shape[-2:], dtype=scores.real.dtype)
        return F.softmax(scores - 1e4 * later if is_causal else scores) @ value

    conv1d, conv2d = partial(convolution, 1), partial(convolution, 2)
    max_pool1d, max_pool2d = partial(pool, 1, np.max, -1e4), partial(pool, 2, np.max, -1e4)
    avg_pool1d, avg_pool2d = partial(pool, 1, np.mean, 0), partial(pool, 2, np.mean, 0)

    mse_loss = reduced(lambda x, y: (x - y) ** 2)
    l1_loss = reduced(lambda x, y: np.abs(x - y))
    huber_loss = reduced(huber)
    binary_cross_entropy_with_logits = reduced(
        lambda x, y: y * F.softplus(-x) + (1 - y) * F.softplus(x)
    )

    def cross_entropy(x, target, reduction="mean", label_smoothing=0.0):
        log_p = np.moveaxis(F.log_softmax(x, 1), 1, -1)
        one_hot = np.eye(x.shape[1], dtype=x.real.dtype)[target]
        target = (1 - label_smoothing) * one_hot + label_smoothing / x.shape[1]
        refuse(target.shape != log_p.shape)
        entries = -np.sum(log_p * target, axis=-1)
        return entries if reduction == "none" else getattr(np, reduction)(entries)

    l1_penalty = lambda *ws, c: c * sum(np.sum(np.abs(w)) for w in ws)
    l2_penalty = lambda *ws, c: c * sum(np.sum(w * w) for w in ws)
    elastic_net = lambda *ws, l1, l2: F.l1_penalty(*ws, c=l1) + F.l2_penalty(*ws, c=l2)

    def group_l2(w, c, axis=None):
        refuse(axis is not None and not w.ndim)
        axis = tuple(range(1, w.ndim)) if axis is None else axis
        return c * np.sum(np.sqrt(np.sum(w * w, axis=axis)))

    # minigrad's stream of that name draws the noise; what is done with it is by hand
    def dropout(x, p, training, rng, scaling="inverted", share=()):
        kept = tensors.dropout(mg.Tensor(np.ones(x.shape)), p, training, rng, share=share).data > 0
        return x * kept / (1 - p) if scaling == "inverted" else x * kept

    def gaussian_noise(x, std, training, rng):
        zeros = np.zeros(x.shape, np.float64 if is_complex(x) else x.dtype)
        return x + tensors.gaussian_noise(mg.Tensor(zeros), std, training, rng).data
