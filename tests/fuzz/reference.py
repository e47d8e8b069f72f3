"""What the programs of the fuzzer should compute: plain NumPy, with derivatives by the complex step.

Nothing here uses the engine. The text of a program runs on `Plain` arrays as it runs on Tensors. On
real numbers a Plain array is an array of NumPy with a few more methods. On complex numbers x + i h v
it carries the derivative along v: every function is analytic, and what is decided by comparing
numbers (maximum, floor, x > 0) is decided by their real parts. At a kink it takes the value that the
engine promises: ties share equally, |x| and relu are flat at 0, clip is not flat at its bounds.
"""

import math
from functools import partial

import numpy as np

import minigrad as mg
from minigrad import functional as tensors

H = 1e-30  # the length of a complex step; its square is far below the rounding of 1


class Decisions:
    """How near the decisions of a run were.

    ties   how many were between equal numbers
    jumps  how many of these make the result jump: comparisons, floor, argmax
    gap    the smallest distance of other numbers
    """

    def __init__(self):
        self.start()

    def start(self):
        self.ties, self.jumps, self.gap = 0, 0, math.inf

    def note(self, distances, jump=False):
        sizes = np.abs(np.asarray(distances))
        self.ties += int((sizes == 0).sum())
        self.jumps += int((sizes == 0).sum()) if jump else 0
        self.gap = min(self.gap, sizes[sizes > 0].min(initial=math.inf))


seen = Decisions()  # of the run that goes on


def complex_run(*arrays):
    return any(isinstance(a, np.ndarray) and a.dtype.kind == "c" for a in arrays)


def plain(x):
    """Arrays of floats in x, which may be a list of arrays, as Plain arrays."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(plain, x))
    x = np.asarray(x)
    return x.view(Plain) if x.dtype.kind in "fc" else x


def bare(x):
    return x.view(np.ndarray) if isinstance(x, Plain) else x


def extreme(ufunc, x, axis=None, keepdims=False, jump=False, **_):
    """The largest or the smallest entries; ties share the derivative."""
    top = ufunc.reduce(x.real, axis=axis, keepdims=True)
    seen.note((x.real - top)[x.real != top])
    chosen = x.real == top
    seen.note(np.zeros(chosen.sum() - top.size), jump)
    return np.sum(x * chosen, axis=axis, keepdims=keepdims) / chosen.sum(axis=axis, keepdims=keepdims)


def chosen_of_two(better):
    def choose(x, y):
        first, second = better(np.real(x), np.real(y)), better(np.real(y), np.real(x))
        seen.note(np.real(x) - np.real(y))
        return x * first + y * second + (x + y) * (1 - first - second * 1) / 2

    return choose


def clip(x, a_min, a_max):
    seen.note(np.real(x) - a_min), seen.note(np.real(x) - a_max)
    return np.where(np.real(x) < a_min, a_min, np.where(np.real(x) > a_max, a_max, x))


def remainder(x, y):
    return x - np.floor(x / y) * y


OWN = {  # of complex numbers
    np.absolute: lambda x: x * np.sign(x),
    np.maximum: chosen_of_two(np.greater),
    np.minimum: chosen_of_two(np.less),
    np.remainder: remainder,
    np.logaddexp: lambda x, y: np.log(np.exp(x) + np.exp(y)),
}
TO_WHOLE = np.floor, np.ceil, np.trunc, np.floor_divide
ORDER = np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal
OTHER = np.sign, np.rint, np.isfinite, np.isnan, np.logical_not, np.logical_and, np.logical_or


def decide(ufunc, inputs):
    """Notes how near the decision is, and returns the real parts."""
    x, y = [np.real(bare(x)) for x in (*inputs, 0)[:2]]
    if ufunc in ORDER or ufunc is np.sign:
        seen.note(x - y, True)
    elif ufunc is np.rint:
        seen.note(x - np.floor(x) - 0.5, True)
    elif ufunc in TO_WHOLE:
        quotient = x / y if ufunc is np.floor_divide else x
        seen.note(quotient - np.rint(quotient), True)
    return [np.real(bare(x)) for x in inputs]


class Plain(np.ndarray):
    """An array of NumPy with the methods of a Tensor; complex, it carries a derivative."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **settings):
        arrays = [bare(x) for x in inputs]
        if complex_run(*arrays):
            if method == "reduce" and ufunc in (np.maximum, np.minimum):
                return plain(extreme(ufunc, *arrays, **settings))
            if ufunc in OWN:
                return plain(OWN[ufunc](*inputs))
            if ufunc in (*TO_WHOLE, *ORDER, *OTHER):
                arrays = decide(ufunc, inputs)
        result = plain(getattr(ufunc, method)(*arrays, **settings))
        if out is None:
            return result
        out[0][...] = result  # x += y
        return out[0]

    def __array_function__(self, function, types, args, keywords):
        ranks = [np.ndim(x) for x in args[:2]] if function is np.dot else [0]
        refuse(min(ranks) > 0 and max(ranks) > 2)
        # NumPy writes beyond the end of an empty result; the tests of minigrad's einsum have some.
        refuse(function is np.einsum and not all(map(np.size, args[1:])))
        return plain(super().__array_function__(function, types, args, keywords))

    def __getitem__(self, index):
        return plain(super().__getitem__(index))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def astype(self, dtype):
        if not complex_run(self):
            return plain(super().astype(dtype))
        if np.dtype(dtype).kind == "f":
            return self
        return np.asarray((np.trunc(self) if np.dtype(dtype).kind == "i" else self != 0).astype(dtype))

    def clip(self, low, high, **_):
        return plain(clip(bare(self), low, high)) if complex_run(self) else plain(super().clip(low, high))

    def var(self, axis=None, ddof=0, keepdims=False, **_):
        if not complex_run(self):
            return plain(super().var(axis=axis, ddof=ddof, keepdims=keepdims))
        squares = (self - self.mean(axis=axis, keepdims=True)) ** 2
        mean = squares.mean(axis=axis, keepdims=keepdims)
        return mean * (squares.size / (squares.size - ddof * max(1, mean.size)))

    def std(self, axis=None, ddof=0, keepdims=False, **_):
        var = self.var(axis, ddof, keepdims)
        seen.note(var.real)
        return np.sqrt(np.where(var.real == 0, 0, var))

    def argmax(self, axis=None, **_):
        extreme(np.maximum, bare(self), axis, jump=True)
        return bare(self).real.argmax(axis)

    def argmin(self, axis=None, **_):
        extreme(np.minimum, bare(self), axis, jump=True)
        return bare(self).real.argmin(axis)

    def argsort(self, axis=-1, **_):
        if self.ndim:
            seen.note(np.diff(np.sort(bare(self).real, axis), axis=axis), True)
        return bare(self).real.argsort(axis, kind="stable")

    def round(self, decimals=0, **_):
        return np.rint(self)

    def detach(self):
        return plain(bare(self).real + 0j) if complex_run(self) else self

    dot, matmul = (lambda x, y, f=f: f(x, y) for f in (np.dot, np.matmul))
    exp, log, sqrt, tanh = (lambda x, f=f: f(x) for f in (np.exp, np.log, np.sqrt, np.tanh))
    sigmoid, relu, abs = (lambda x: F.sigmoid(x)), (lambda x: F.relu(x)), (lambda x: np.abs(x))


def refuse(condition):
    """Raises ValueError for arguments that the functions do not take."""
    if condition:
        raise ValueError("minigrad does not take this")


# --------------------------------------------------------------------------------------- functional


class F:
    """The functions of minigrad.functional, as their papers write them."""

    relu = lambda x: x * (x > 0)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    softplus = lambda x: np.log1p(np.exp(x))
    silu = lambda x: x * F.sigmoid(x)
    leaky_relu = lambda x, slope=0.01: np.where(x > 0, x, slope * x).view(type(x))
    elu = lambda x: np.where(x > 0, x, np.expm1(x))
    selu = lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))
    gelu = lambda x: x * (1 + F.erf(x * math.sqrt(0.5))) / 2

    def erf(x):
        value = np.vectorize(math.erf, otypes=[float])(bare(x).real).astype(x.real.dtype)
        slope = 2 / math.sqrt(math.pi) * np.exp(-(bare(x).real ** 2))
        return plain(value + 1j * x.imag * slope if complex_run(x) else value)

    def logsumexp(x, axis=None, keepdims=False):
        refuse(not x.size)
        return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))

    softmax = lambda x, axis=-1: np.exp(x - F.logsumexp(x, axis, True))
    log_softmax = lambda x, axis=-1: x - F.logsumexp(x, axis, True)

    # ---- layers

    def linear(x, weight, bias=None):
        return x @ weight.T if bias is None else x @ weight.T + bias

    def _normal(x, axes, eps):
        refuse(math.prod(x.shape[a] for a in axes) < 2)
        return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, 0, True) + eps)

    def _affine(x, weight, bias, shape):
        return x * weight.reshape(shape) + bias.reshape(shape)

    def layer_norm(x, shape, weight, bias, eps=1e-5):
        out = F._normal(x, tuple(range(-len(shape), 0)), eps)
        return F._affine(out, weight, bias, shape)

    def batch_norm(x, mean, var, weight, bias, training, eps=1e-5):
        shape = (-1,) + (1,) * (x.ndim - 2)
        return F._affine(F._normal(x, (0, *range(2, x.ndim)), eps), weight, bias, shape)

    def group_norm(x, groups, weight, bias, eps=1e-5):
        out = x.reshape(len(x), groups, -1)
        return F._affine(F._normal(out, (2,), eps).reshape(x.shape), weight, bias, (-1,) + (1,) * (x.ndim - 2))

    def embedding(x, weight):
        return weight[x]

    def scaled_dot_product_attention(query, key, value, is_causal=False):
        refuse(min(query.ndim, key.ndim, value.ndim) < 2 or not query.shape[-1])
        scores = query @ np.swapaxes(key, -1, -2) / math.sqrt(query.shape[-1])
        if is_causal:
            scores = scores - 1e4 * (1 - np.tri(*scores.shape[-2:], dtype=scores.real.dtype))
        return F.softmax(scores) @ value

    def _taps(x, size, stride, padding, dilation, value=0):
        """For each position in the window, the entries of x at that position of all windows."""
        refuse(not x.size)
        x = np.pad(x, [(0, 0)] * 2 + [(padding, padding)] * len(size), constant_values=value)
        spans = [(n - dilation * (k - 1) - 1) // stride * stride + 1 for n, k in zip(x.shape[2:], size)]
        refuse(min(spans) < 1)
        for k in np.ndindex(*size):
            at = [slice(dilation * i, dilation * i + n, stride) for i, n in zip(k, spans)]
            yield k, x[(..., *at)]

    def _conv(rank, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        refuse(x.ndim != rank + 2)
        inputs, filters = np.split(x, groups, axis=1), np.split(weight, groups)
        out = np.concatenate([
            sum(np.einsum("nc...,mc->nm...", part, w[(..., *k)])
                for k, part in F._taps(a, w.shape[2:], stride, padding, dilation))
            for a, w in zip(inputs, filters)], axis=1)  # fmt: skip
        return out if bias is None else out + bias.reshape(-1, *[1] * (x.ndim - 2))

    def _max_pool(rank, x, size, stride=None, padding=0):
        refuse(x.ndim != rank + 2)
        taps = F._taps(x, (size,) * rank, stride or size, padding, 1, -1e4)
        return np.max(np.stack([part for _, part in taps]), axis=0)

    def _avg_pool(rank, x, size, stride=None, padding=0):
        refuse(x.ndim != rank + 2)
        taps = F._taps(x, (size,) * rank, stride or size, padding, 1)
        return np.mean(np.stack([part for _, part in taps]), axis=0)

    conv1d, conv2d = partial(_conv, 1), partial(_conv, 2)
    max_pool1d, max_pool2d = partial(_max_pool, 1), partial(_max_pool, 2)
    avg_pool1d, avg_pool2d = partial(_avg_pool, 1), partial(_avg_pool, 2)

    # ---- losses and penalties

    def _reduced(entries, reduction):
        return entries if reduction == "none" else getattr(np, reduction)(entries)

    mse_loss = lambda x, y, reduction="mean": F._reduced((x - y) ** 2, reduction)
    l1_loss = lambda x, y, reduction="mean": F._reduced(np.abs(x - y), reduction)

    def huber_loss(x, y, reduction="mean", delta=1.0):
        size = np.abs(x - y)
        entries = np.where(size <= delta, size**2 / 2, delta * (size - delta / 2))
        return F._reduced(entries, reduction)

    def binary_cross_entropy_with_logits(x, y, reduction="mean"):
        entries = y * np.log1p(np.exp(-x)) + (1 - y) * np.log1p(np.exp(x))
        return F._reduced(entries, reduction)

    def cross_entropy(x, target, reduction="mean", label_smoothing=0.0):
        axis = min(1, x.ndim - 1)
        log_p = np.moveaxis(F.log_softmax(x, axis), axis, -1)
        refuse(log_p.shape[:-1] != target.shape)
        picked = np.sum(log_p * np.eye(x.shape[axis], dtype=x.real.dtype)[target], axis=-1)
        mixed = (1 - label_smoothing) * picked + label_smoothing * log_p.mean(-1)
        return F._reduced(-mixed, reduction)

    l1_penalty = lambda *ws, c: c * sum(np.sum(np.abs(w)) for w in ws)
    l2_penalty = lambda *ws, c: c * sum(np.sum(w * w) for w in ws)
    elastic_net = lambda *ws, l1, l2: F.l1_penalty(*ws, c=l1) + F.l2_penalty(*ws, c=l2)

    def group_l2(*ws, c, axis=None):
        refuse(axis is not None and not all(w.ndim for w in ws))
        inside = [tuple(range(1, w.ndim)) if axis is None else axis for w in ws]
        return c * sum(np.sum(np.sqrt(np.sum(w * w, axis=a))) for w, a in zip(ws, inside))

    # ---- noise: minigrad's own stream of that name draws it; the rest is by hand

    def dropout(x, p, training, rng, scaling="inverted", share=()):
        ones = mg.Tensor(np.ones(x.shape))
        kept = tensors.dropout(ones, p, training, rng, share=share).data != 0
        return x * kept / (1 - p) if scaling == "inverted" else x * kept

    def gaussian_noise(x, std, training, rng):
        zeros = mg.Tensor(np.zeros(x.shape, x.real.dtype if x.real.dtype != np.longdouble else np.float64))
        return x + tensors.gaussian_noise(zeros, std, training, rng).data


def along(program_leaves, directions):
    """The leaves as complex numbers: each x + i h v for its direction v."""
    return {
        name: plain(x.astype(np.longdouble) + 1j * H * directions.get(name, np.zeros(x.shape)))
        if x.dtype.kind == "f"
        else x
        for name, x in program_leaves.items()
    }
