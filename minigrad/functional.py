"""Compositions of ops: no gradient rule is written here, so there is none to get wrong.

Each records its nodes under its own name, which is how pictures and reports know a loss from its parts.
"""

import math
import numbers
from functools import wraps

import numpy as np

from .engine import Noise, Tensor, data_of, drawing, implements, scoped, state
from .ops import erf, linear, log_softmax, logsumexp, losses, penalties, relu, sigmoid, softmax, softplus, standardize, stochastic, tanh, windows

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cross_entropy",
    "drop_connect",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elastic_net",
    "elu",
    "embedding",
    "erf",
    "fold",
    "gaussian_dropout",
    "gaussian_noise",
    "gelu",
    "group_l2",
    "group_norm",
    "huber_loss",
    "interpolate",
    "instance_norm",
    "l1_loss",
    "l1_penalty",
    "l2_penalty",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsumexp",
    "max_pool1d",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "relu",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "unfold",
]


def composition(function):
    """Marks what `function` records with its name."""

    @wraps(function)
    def call(*args, **kwargs):
        return scoped(function.__name__, function, *args, **kwargs)

    return call


# ------------------------------------------------------------------------------------ activations


@composition
def leaky_relu(x, negative_slope=0.01):
    """x where x > 0, else negative_slope * x."""
    return negative_slope * x + (1 - negative_slope) * relu(x)


@composition
def elu(x, alpha=1.0):
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016, arXiv:1511.07289)."""
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))


@composition
def selu(x):
    """The self-normalising elu (Klambauer et al. 2017, arXiv:1706.02515)."""
    return 1.0507009873554805 * (np.maximum(x, 0) + 1.6732632423543772 * np.expm1(np.minimum(x, 0)))


@composition
def silu(x):
    """x * sigmoid(x), also called swish."""
    return x * sigmoid(x)


@composition
def gelu(x, approximate="none"):
    """x * Phi(x), Phi the normal distribution function; "tanh" its usual fast approximation (Hendrycks & Gimpel, arXiv:1606.08415)."""
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    if approximate != "none":
        raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}.')
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


# ------------------------------------------------------------------------- convolution and pooling
# x is (N, C, L) for the 1d and (N, C, H, W) for the 2d functions. Sizes of windows, strides, paddings and dilations are a number
# or one number an axis. A window fits (n + 2 padding - dilation (size - 1) - 1) // stride + 1 times.


@composition
def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Filters weight (M, C / groups, K) slid over x (N, C, L), not flipped; bias (M,). `padding`: zeros at both ends, or "same"."""
    return _conv("conv1d", "(N, C, L)", x, weight, bias, stride, padding, dilation, groups)


@composition
def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Filters weight (M, C / groups, KH, KW) slid over x (N, C, H, W), not flipped; bias (M,). `padding`: zeros around, or "same"."""
    return _conv("conv2d", "(N, C, H, W)", x, weight, bias, stride, padding, dilation, groups)


@composition
def conv_transpose1d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transpose of conv1d, as a linear map: x (N, M, L), weight (M, C / groups, K), bias (C,)."""
    return _conv_transpose("conv_transpose1d", "(N, M, L)", x, weight, bias, stride, padding, output_padding, groups, dilation)


@composition
def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The transpose of conv2d, as a linear map: x (N, M, H, W), weight (M, C / groups, KH, KW), bias (C,)."""
    return _conv_transpose("conv_transpose2d", "(N, M, H, W)", x, weight, bias, stride, padding, output_padding, groups, dilation)


@composition
def max_pool1d(x, kernel_size, stride=None, padding=0, dilation=1):
    """The largest entry of each window; `stride` is kernel_size unless given. Padding never wins; ties share the gradient equally."""
    return _max_pool("max_pool1d", "(N, C, L)", x, kernel_size, stride, padding, dilation)


@composition
def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1):
    """The largest entry of each window; `stride` is kernel_size unless given. Padding never wins; ties share the gradient equally."""
    return _max_pool("max_pool2d", "(N, C, H, W)", x, kernel_size, stride, padding, dilation)


@composition
def avg_pool1d(x, kernel_size, stride=None, padding=0, count_include_pad=True):
    """The mean of each window; `stride` is kernel_size unless given. The zeros of the padding count, unless count_include_pad=False."""
    return _avg_pool("avg_pool1d", "(N, C, L)", x, kernel_size, stride, padding, count_include_pad)


@composition
def avg_pool2d(x, kernel_size, stride=None, padding=0, count_include_pad=True):
    """The mean of each window; `stride` is kernel_size unless given. The zeros of the padding count, unless count_include_pad=False."""
    return _avg_pool("avg_pool2d", "(N, C, H, W)", x, kernel_size, stride, padding, count_include_pad)


@composition
def adaptive_avg_pool1d(x, output_size):
    """x (N, C, L) as means over `output_size` stretches; stretch i is from floor(i L / output_size) to ceil((i + 1) L / output_size)."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", "(N, C, L)", x, output_size)


@composition
def adaptive_avg_pool2d(x, output_size):
    """x (N, C, H, W) as means over a grid of `output_size` rectangles, a number or (rows, columns); None leaves an axis as it is."""
    return _adaptive_avg_pool("adaptive_avg_pool2d", "(N, C, H, W)", x, output_size)


@composition
def interpolate(x, size=None, scale_factor=None, mode="nearest"):
    """x (N, C, *space) made larger or smaller, to `size` or by `scale_factor`: entry i of an axis is entry floor(i / scale) of x."""
    space = np.shape(x)[2:]
    if mode != "nearest":
        raise ValueError(f'interpolate: mode {mode!r} is not there, "nearest" is.')
    if not space or (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: x must be (N, C, ...), got shape {np.shape(x)}; give size or scale_factor, and not both.")
    if size is None:
        scales = each("interpolate", "scale_factor", scale_factor, len(space), 0, numbers.Real)
        size = [int(n * scale) for n, scale in zip(space, scales)]
    else:
        size = each("interpolate", "size", size, len(space), 1)
        scales = [m / n for m, n in zip(size, space)]
    if min(size) < 1:
        raise ValueError(f"interpolate: nothing would be left of x {np.shape(x)} at scale_factor={scale_factor}.")
    sources = [np.minimum(np.arange(m) / scale, n - 1).astype(int) for m, n, scale in zip(size, space, scales)]
    return _along_axes(x, [np.eye(n)[source] for n, source in zip(space, sources)])


@composition
def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """All windows of x (N, C, *space) as columns: (N, C * prod(kernel_size), places)."""
    rank = np.ndim(x) - 2
    if rank < 1:
        raise ValueError(f"unfold: x must be (N, C, ...), got shape {np.shape(x)}.")
    y = _unfolded("unfold", x, *_window("unfold", rank, kernel_size, stride, padding, dilation))
    y = np.moveaxis(y, range(-rank, 0), range(2, 2 + rank))
    return np.reshape(y, (len(y), math.prod(y.shape[1 : 2 + rank]), math.prod(y.shape[2 + rank :])))


@composition
def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns (N, C * prod(kernel_size), places) added up where unfold found them, in (N, C, *output_size): its transpose."""
    rank = len(output_size) if isinstance(output_size, (tuple, list)) else 2
    output_size = each("fold", "output_size", output_size, rank, 1)
    size, stride, padding, dilation = _window("fold", rank, kernel_size, stride, padding, dilation)
    space = [n + before + after for n, (before, after) in zip(output_size, padding)]
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(space, size, stride, dilation)]
    if np.ndim(x) != 3 or min(out) < 1 or x.shape[1] % math.prod(size) or x.shape[2] != math.prod(out):
        wanted = f"(N, C * {math.prod(size)}, {math.prod(out) if min(out) > 0 else 0})"
        raise ValueError(f"fold: windows {size} into {output_size} need x {wanted}, got shape {np.shape(x)}.")
    y = np.moveaxis(np.reshape(x, (x.shape[0], -1, *size, *out)), range(2, 2 + rank), range(-rank, 0))
    return _cropped(windows.fold(y, tuple(space), stride, dilation), padding)


def each(name, what, value, rank, least, kind=numbers.Integral):
    """A setting that is one number, or one for each of `rank` axes, as a tuple."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * rank
    if len(values) != rank or not all(isinstance(v, kind) and v >= least for v in values):
        noun = "a whole number" if kind is numbers.Integral else "a number"
        raise ValueError(f"{name}: {what} must be {noun} >= {least}, or {rank} of them, one an axis; got {value!r}.")
    return values


def _window(name, rank, size, stride, padding, dilation):
    """(size, stride, padding, dilation), for each axis a number, the padding as (before, after)."""
    size, dilation = each(name, "kernel_size", size, rank, 1), each(name, "dilation", dilation, rank, 1)
    stride = size if stride is None else each(name, "stride", stride, rank, 1)
    if padding == "same":
        if max(stride) > 1:
            raise ValueError(f'{name}: padding="same" is for stride 1, not {stride}.')
        total = [d * (k - 1) for k, d in zip(size, dilation)]
        return size, stride, [(t // 2, t - t // 2) for t in total], dilation
    padding = each(name, "padding", 0 if padding == "valid" else padding, rank, 0)
    return size, stride, [(p, p) for p in padding], dilation


def _padded(x, padding, value=0):
    return np.pad(x, [(0, 0), (0, 0), *padding], constant_values=value) if any(map(any, padding)) else x


def _cropped(x, padding):
    return x[(..., *(slice(before, n - after) for n, (before, after) in zip(x.shape[2:], padding)))] if any(map(any, padding)) else x


def _check_fit(name, x, size, padding, dilation):
    for n, k, (before, after), d in zip(x.shape[2:], size, padding, dilation):
        if (room := n + before + after) < (span := d * (k - 1) + 1):
            raise ValueError(f"{name}: a window of {span} does not fit into an axis of {room}, padding included; x {x.shape}.")


def _unfolded(name, x, size, stride, padding, dilation, value=0):
    _check_fit(name, x, size, padding, dilation)
    return windows.unfold(_padded(x, padding, value), size, stride, dilation)


def _check_filters(name, x, weight, bias, groups, rank):
    """Refuses filters that do not fit the channels of x; `bias` has one entry an output channel."""
    if np.ndim(weight) != rank + 2:
        raise ValueError(f"{name}: weight must have {rank + 2} axes, got shape {np.shape(weight)}.")
    taken, outputs = (weight.shape[1] * groups, len(weight)) if "transpose" not in name else (len(weight), weight.shape[1] * groups)
    if groups < 1 or len(weight) % groups:
        raise ValueError(f"{name}: groups={groups} does not divide the {len(weight)} filters of weight {weight.shape}.")
    if x.shape[1] != taken:
        raise ValueError(f"{name}: x {x.shape} has {x.shape[1]} channels, weight {weight.shape} with groups={groups} takes {taken}.")
    if bias is not None and np.shape(bias) != (outputs,):
        raise ValueError(f"{name}: bias must have shape ({outputs},), one entry a channel of the result; got {np.shape(bias)}.")


def _conv(name, axes, x, weight, bias, stride, padding, dilation, groups):
    _check_axes(name, x, axes)
    rank = x.ndim - 2
    _check_filters(name, x, weight, bias, groups, rank)
    size, stride, padding, dilation = _window(name, rank, weight.shape[2:], stride, padding, dilation)
    _check_fit(name, x, size, padding, dilation)
    return windows.convolve(_padded(x, padding), weight, bias, stride, dilation, groups)


def _conv_transpose(name, axes, x, weight, bias, stride, padding, output_padding, groups, dilation):
    _check_axes(name, x, axes)
    rank = x.ndim - 2
    _check_filters(name, x, weight, bias, groups, rank)
    size, stride, padding, dilation = _window(name, rank, weight.shape[2:], stride, padding, dilation)
    extra = each(name, "output_padding", output_padding, rank, 0)
    if any(e >= s for e, s in zip(extra, stride)):
        raise ValueError(f"{name}: output_padding {extra} must be smaller than the stride {stride}: it says which of the sizes that give x is meant.")
    space = [s * (n - 1) + d * (k - 1) + 1 + e for n, k, s, d, e in zip(x.shape[2:], size, stride, dilation, extra)]
    if any(n <= before + after for n, (before, after) in zip(space, padding)):
        raise ValueError(f"{name}: nothing is left of {tuple(space)} without the padding {[p for p, _ in padding]}; x {x.shape}.")
    out = _cropped(windows.convolve_input(x, weight, tuple(space), stride, dilation, groups), padding)
    return out if bias is None else out + np.reshape(bias, (-1, *[1] * rank))


def _max_pool(name, axes, x, kernel_size, stride, padding, dilation):
    _check_axes(name, x, axes)
    rank = x.ndim - 2
    size, stride, padding, dilation = _window(name, rank, kernel_size, stride, padding, dilation)
    if any(2 * before > k for (before, _), k in zip(padding, size)):
        raise ValueError(f"{name}: padding {[p for p, _ in padding]} must be at most half of kernel_size {size}, or a window has padding alone.")
    return np.max(_unfolded(name, x, size, stride, padding, dilation, -math.inf), axis=tuple(range(-rank, 0)))


def _avg_pool(name, axes, x, kernel_size, stride, padding, count_include_pad):
    _check_axes(name, x, axes)
    rank = x.ndim - 2
    window = _window(name, rank, kernel_size, stride, padding, 1)
    mean = np.mean(_unfolded(name, x, *window), axis=tuple(range(-rank, 0)))
    if count_include_pad or not any(map(any, window[2])):
        return mean
    return mean / np.mean(_unfolded(name, np.ones((1, 1, *x.shape[2:]), x.dtype), *window), axis=tuple(range(-rank, 0)))


def _adaptive_avg_pool(name, axes, x, output_size):
    _check_axes(name, x, axes)
    space = x.shape[2:]
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * len(space)
    sizes = each(name, "output_size", [n if m is None else m for m, n in zip(sizes, space)] if len(sizes) == len(space) else sizes, len(space), 1)
    stretches = []
    for m, n in zip(sizes, space):
        i, j = np.arange(m)[:, None], np.arange(n)
        inside = (j >= i * n // m) & (j < -(-(i + 1) * n // m))
        stretches.append(inside / inside.sum(axis=1, keepdims=True))
    return _along_axes(x, stretches)


def _along_axes(x, matrices):
    """x (N, C, *space) with a matrix (new size, size) applied along each axis of space."""
    for axis, matrix in enumerate(matrices, start=2):
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T.astype(x.dtype), -1, axis)
    return x


# ---------------------------------------------------------------------------------- normalisation
# (x - mean) / sqrt(variance + eps) over some axes of x, then times `weight` and plus `bias` where they are given.


@composition
def batch_norm(x, running_mean, running_var, weight=None, bias=None, *, training, momentum=0.1, eps=1e-5):
    """Normalises each channel of x (N, C, ...) over all samples (Ioffe & Szegedy 2015, arXiv:1502.03167). The other arrays are (C,).

    In training by the statistics of the batch. The arrays running_mean and running_var, unless None, then move in place by the
    share `momentum` of the way towards them, running_var towards the variance over n - 1. In evaluation by the running
    statistics. Inside `frozen_noise()`, and so in every check, these stay as they are.
    """
    _check_channels("batch_norm", x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if training:
        axes = (0, *range(2, x.ndim))
        out = _standardized("batch_norm", x, axes, eps)
        if statistics_move() and (running_mean is not None or running_var is not None):
            mean = np.mean(data_of(x), axis=axes, keepdims=True)
            var = np.var(data_of(x), axis=axes, ddof=1, mean=mean)
            _move(running_mean, mean.ravel(), momentum)
            _move(running_var, var, momentum)
        return _affine_by_channel(out, weight, bias)
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm: evaluation needs running_mean and running_var. Without them use training=True.")
    mean, var = np.array(running_mean), np.asarray(running_var)  # a copy of what stays in the graph: training changes it in place
    scale = (1 if weight is None else weight) / np.sqrt(var + eps)
    return _affine_by_channel(x, scale, (0 if bias is None else bias) - mean * scale)


def _move(running, batch, momentum):
    """Moves an array of running statistics, if there is one, towards those of a batch."""
    if running is None:
        return
    running = data_of(running)
    if not isinstance(running, np.ndarray) or running.dtype.kind != "f":
        raise TypeError("batch_norm: running_mean and running_var must be arrays of floats, since training changes them in place.")
    if momentum is None or not 0 <= momentum <= 1:
        raise ValueError(f"batch_norm: momentum is how far running statistics move to those of a batch, from 0 to 1, not {momentum}.")
    running += momentum * (batch - running)


def statistics_move():
    """Whether running statistics follow the batches: not inside `frozen_noise()`."""
    return state.drawn is None


@composition
def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalises x (..., *normalized_shape) over its last axes, each sample by itself (Ba, Kiros & Hinton 2016, arXiv:1607.06450).

    `normalized_shape`, a number or a tuple, is the shape of weight and bias too.
    """
    shape = tuple(np.atleast_1d(normalized_shape).tolist())
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm: x {x.shape} does not end in normalized_shape {shape}.")
    _check_sizes("layer_norm", x, shape, weight=weight, bias=bias)
    return _affine(standardize(x, tuple(range(-len(shape), 0)), eps), weight, bias)


@composition
def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalises each group of C / num_groups channels of each sample of x (N, C, ...); weight and bias (C,) (Wu & He 2018, arXiv:1803.08494)."""
    _check_channels("group_norm", x, weight=weight, bias=bias)
    n, channels, *places = x.shape
    check_groups("group_norm", num_groups, channels)
    grouped = np.reshape(x, (n, num_groups, channels // num_groups, *places))  # a view, in whatever order x lies in memory
    out = _standardized("group_norm", grouped, tuple(range(2, grouped.ndim)), eps)
    return _affine_by_channel(np.reshape(out, x.shape), weight, bias)


@composition
def instance_norm(x, weight=None, bias=None, eps=1e-5):
    """Normalises each channel of each sample of x (N, C, ...); weight and bias (C,) (Ulyanov et al. 2016, arXiv:1607.08022)."""
    _check_channels("instance_norm", x, weight=weight, bias=bias)
    return _affine_by_channel(_standardized("instance_norm", x, tuple(range(2, x.ndim)), eps), weight, bias)


def _standardized(name, x, axes, eps):
    """`standardize`, refusing means of a single entry, which leave nothing of it."""
    if math.prod(x.shape[a] for a in axes) < 2:
        remedy = " Train on two rows or more, or use evaluation mode." if 0 in axes else ""
        raise ValueError(f"{name}: there is not more than one entry to normalise over in x {x.shape}, along the axes {axes}.{remedy}")
    return standardize(x, axes, eps)


def _affine(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _affine_by_channel(x, weight, bias):
    """`_affine` with weight and bias (C,), for x (N, C, ...)."""
    shape = (-1,) + (1,) * (x.ndim - 2)
    return _affine(x, *(a if a is None or x.ndim == 2 else np.reshape(a, shape) for a in (weight, bias)))


def check_groups(name, num_groups, channels):
    """Refuses channels that do not split evenly."""
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"{name}: {channels} channels cannot be split into {num_groups} equal groups.")


def _check_channels(name, x, **arrays):
    if x.ndim < 2:
        raise ValueError(f"{name}: x must be (N, C, ...), got shape {x.shape}. For one sample write x[None].")
    _check_sizes(name, x, x.shape[1:2], **arrays)


def _check_sizes(name, x, shape, **arrays):
    for what, a in arrays.items():
        if a is not None and np.shape(a) != shape:
            raise ValueError(f"{name}: for x {x.shape} the shape of {what} must be {shape}, not {np.shape(a)}.")


# --------------------------------------------------------------------------------------- sequences


@composition
def embedding(input, weight, padding_idx=None):
    """Row i of weight (num_embeddings, embedding_dim) for each whole number i of the input (...): (..., embedding_dim).

    The row `padding_idx`, which stands for no token, gets no gradient.
    """
    if np.ndim(weight) != 2:
        raise ValueError(f"embedding: weight must be (num_embeddings, embedding_dim), got shape {np.shape(weight)}.")
    input = input if isinstance(input, Tensor) else np.asarray(input)
    numbers, rows = data_of(input), len(weight)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"embedding: the input holds numbers of rows, so an integer dtype, not {numbers.dtype}.")
    if numbers.size and (numbers.min() < 0 or numbers.max() >= rows):
        raise IndexError(
            f"embedding: the input has the numbers {numbers.min()}..{numbers.max()}, the weight {weight.shape} has the rows 0..{rows - 1}."
        )
    chosen = weight[input]
    if padding_idx is None:
        return chosen
    padding = padding_row(padding_idx, rows)
    return np.where(np.expand_dims(numbers == padding, -1), data_of(weight)[padding], chosen)


def padding_row(padding_idx, rows):
    """The number of the row that `padding_idx` means; a negative one counts from the end."""
    if not -rows <= padding_idx < rows:
        raise IndexError(f"embedding: padding_idx={padding_idx}, but there are the rows 0..{rows - 1}.")
    return padding_idx % rows


@composition
def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, *, training=None, rng=None, need_weights=False
):
    """softmax(query @ key.T * scale) @ value: (..., L, E), (..., S, E), (..., S, D) give (..., L, D) (Vaswani et al. 2017, arXiv:1706.03762).

    attn_mask     broadcasts to the scores (..., L, S): True where a query may attend to a key, or numbers that are added to the scores
    is_causal     query i attends to the keys 0..i only, whatever else the mask allows
    scale         1 / sqrt(E) if not given
    dropout_p     of the weights; unless it is 0, `training` must be given
    need_weights  returns (result, weights (..., L, S)), the weights as they were used: after dropout

    A query that may attend to no key has weights of 0, and so the result 0: not nan.
    """
    name = "scaled_dot_product_attention"
    check_settings(name, p=dropout_p, rng=rng)
    if dropout_p and training is None:
        raise TypeError(f"{name}: dropout_p={dropout_p} drops in training only. Say which: training=True or training=False.")
    shapes = q, k, v = np.shape(query), np.shape(key), np.shape(value)
    if min(map(len, shapes)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise ValueError(f"{name}: query {q}, key {k} and value {v} must be (..., L, E), (..., S, E) and (..., S, D).")
    scores = (query * (q[-1] ** -0.5 if scale is None else scale)) @ np.swapaxes(key, -1, -2)
    allowed, added = _attended(name, attn_mask, is_causal, scores)
    if added is not None:
        scores = scores + added
    if allowed is None:
        weights = softmax(scores)
    else:
        some = allowed.any(axis=-1, keepdims=True)  # a query without any: weights as without a mask, which then become 0
        weights = softmax(np.where(allowed | ~some, scores, -np.inf))
        weights = weights if some.all() else np.where(some, weights, 0)
    if dropout_p:
        weights = dropout(weights, dropout_p, training, rng)
    return (weights @ value, weights) if need_weights else weights @ value


def _attended(name, mask, is_causal, scores):
    """(which scores count, what is added to them) by the masks; None for all, or nothing."""
    allowed = added = None
    if mask is not None:
        values = np.asarray(data_of(mask))
        if values.dtype.kind not in "bf":
            raise TypeError(
                f"{name}: attn_mask is boolean, True where a query may attend, or of floats that are added to the scores; not {values.dtype}."
            )
        _check_fits(name, "an attn_mask", values.shape, "the scores", scores.shape)
        allowed = values
        if values.dtype != bool:
            allowed = values != -np.inf
            added = np.where(allowed, mask, 0).astype(scores.dtype)
    if is_causal:
        causal = np.tri(*scores.shape[-2:], dtype=bool)
        allowed = causal if allowed is None else allowed & causal
    return allowed, added


# -------------------------------------------------------------------------------------- randomness
# Noise is a leaf; what these functions do with it are ops like any others. All take
#
# p         the probability of dropping
# training  if False nothing is drawn, but inside `sampling()`
# rng       a np.random.Generator, or the name of one of minigrad's own streams, which manual_seed restarts. Without it the
#           stream is named after the module that runs
# scaling   "inverted": what is kept is divided by 1-p in training, and evaluation is the identity. "classic": it stays as it
#           is in training, and evaluation multiplies by 1-p
# mask      what is kept (True, 1) and dropped, in place of drawn noise: an array that broadcasts to x, or a Noise drawn before
# noise     the same for Gaussian noise


def dropout(x, p, training, rng=None, scaling="inverted", share=(), mask=None):
    """Sets each entry of x to 0 with probability p (Srivastava et al. 2014, JMLR 15).

    Along the axes `share` the mask is the same: axis 1 of (N, T, features) for the variational dropout of a recurrent
    net (Gal & Ghahramani 2016, arXiv:1512.05287).
    """
    check_settings("dropout", p=p, rng=rng, scaling=scaling, share=share)
    return _dropped("dropout", x, p, training, rng, scaling, share, mask)


@composition
def dropout1d(x, p, training, rng=None, scaling="inverted", mask=None):
    """Dropout of whole channels of x (N, C, L) (Tompson et al. 2015, arXiv:1411.4280)."""
    check_settings("dropout1d", p=p, rng=rng, scaling=scaling)
    _check_axes("dropout1d", x, "(N, C, L)")
    return _dropped("dropout1d", x, p, training, rng, scaling, 2, mask)


@composition
def dropout2d(x, p, training, rng=None, scaling="inverted", mask=None):
    """Dropout of whole channels of x (N, C, H, W) (Tompson et al. 2015, arXiv:1411.4280)."""
    check_settings("dropout2d", p=p, rng=rng, scaling=scaling)
    _check_axes("dropout2d", x, "(N, C, H, W)")
    return _dropped("dropout2d", x, p, training, rng, scaling, (2, 3), mask)


@composition
def drop_path(x, p, training, rng=None, scaling="inverted", mask=None):
    """Dropout of whole samples x[i]: stochastic depth is x + drop_path(branch(x), ...) (Huang et al. 2016, arXiv:1603.09382)."""
    check_settings("drop_path", p=p, rng=rng, scaling=scaling)
    if np.ndim(x) == 0:
        raise ValueError("drop_path: x must be (N, ...), one sample a row; got one number.")
    return _dropped("drop_path", x, p, training, rng, scaling, range(1, np.ndim(x)), mask)


@composition
def drop_connect(weight, p, training, rng=None, scaling="inverted", mask=None):
    """Dropout of the entries of a weight (Wan et al. 2013, ICML): one mask a call, so for a whole batch."""
    check_settings("drop_connect", p=p, rng=rng, scaling=scaling)
    return _dropped("drop_connect", weight, p, training, rng, scaling, (), mask)


@composition
def alpha_dropout(x, p, training, rng=None, mask=None):
    """For selu: what is dropped becomes selu(-inf), then all is scaled and shifted so that entries of mean 0 and variance 1 keep both.

    a (m x + (1-m) A) + b with A = selu(-inf), a = ((1-p) (1 + p A^2))^-1/2 and b = -a p A (Klambauer et al. 2017,
    arXiv:1706.02515). The mean over masks is a (1-p) x, not x.
    """
    check_settings("alpha_dropout", p=p, rng=rng)
    if not (training or drawing.get()):
        return x
    low = -1.7580993408473766
    a = ((1 - p) * (1 + p * low**2)) ** -0.5 if p < 1 else 0.0
    return a * np.where(_mask("alpha_dropout", x, p, rng, (), mask), x, low) - a * p * low


@composition
def gaussian_dropout(x, p, training, rng=None, noise=None):
    """x times N(1, p/(1-p)): mean and variance of dropout, nothing is 0 (Srivastava et al. 2014, section 10)."""
    check_settings("gaussian_dropout", p=p, rng=rng)
    if not (training or drawing.get()):
        return x
    return x * _gaussian("gaussian_dropout", x, 1.0, math.sqrt(p / (1 - p)), rng, noise)


@composition
def gaussian_noise(x, std, training, rng=None, noise=None):
    """x plus N(0, std^2)."""
    check_settings("gaussian_noise", std=std, rng=rng)
    if not (training or drawing.get()):
        return x
    return x + _gaussian("gaussian_noise", x, 0.0, std, rng, noise)


def check_settings(name, p=0.0, std=0.0, rng=None, scaling="inverted", share=()):
    """Refuses settings that no call of the function `name` could use."""
    if not 0 <= p <= 1:  # also refuses nan
        hint = f" Did you mean {p / 100:g}?" if 1 < p <= 100 else ""
        raise ValueError(f"{name}: p is the probability of DROPPING, in [0, 1]; got {p}.{hint}")
    if p == 1 and name == "gaussian_dropout":
        raise ValueError("gaussian_dropout: p must be below 1, where the variance p/(1-p) of the noise is infinite.")
    if not 0 <= std < math.inf:
        raise ValueError(f"{name}: std is the standard deviation of the noise, a number >= 0; got {std}.")
    if scaling not in ("inverted", "classic"):
        raise ValueError(f'{name}: scaling is "inverted" or "classic", not {scaling!r}.')
    if rng is not None and not isinstance(rng, (np.random.Generator, str)):
        raise TypeError(
            f"{name}: rng must be a np.random.Generator, such as np.random.default_rng(0), or the name of a stream, not {type(rng).__name__}."
        )
    if not all(isinstance(axis, int) for axis in _axes(share)):
        raise TypeError(f"{name}: share is an axis or a tuple of axes, not {share!r}.")


def _axes(share):
    return tuple(share) if isinstance(share, (tuple, list, range)) else (share,)


def _check_axes(name, x, axes):
    wanted, shape = axes.count(",") + 1, np.shape(x)
    if len(shape) != wanted:
        remedy = " For one sample write x[None]." if len(shape) == wanted - 1 else ""
        raise ValueError(f"{name}: x must be {axes}, got shape {shape}.{remedy}")


def _dropped(name, x, p, training, rng, scaling, share, mask):
    if not (training or drawing.get()):
        return x * (1 - p) if scaling == "classic" else x
    return stochastic.dropout(x, _mask(name, x, p, rng, share, mask), p, scaling)


def _mask(name, x, p, rng, share, mask):
    """What is kept of x: drawn, with one entry along the axes `share`, or the `mask` that was given."""
    shape = np.shape(x)
    if mask is None:
        for axis in (shared := _axes(share)):
            if not -len(shape) <= axis < len(shape):
                raise ValueError(f"{name}: there is no axis {axis} to share along in x of shape {shape}.")
        if shared:
            shape = tuple(1 if i in shared or i - len(shape) in shared else n for i, n in enumerate(shape))
        return Noise(stochastic.Bernoulli(1 - p), shape, bool, rng)
    values = np.asarray(data_of(mask))
    if values.dtype != bool and not (ones := np.isin(values, (0, 1))).all():
        raise ValueError(f"{name}: a mask has 1 or True where x is kept and 0 or False where it is dropped; got {values[~ones][0]}.")
    return _given(name, "mask", mask, bool, shape)


def _gaussian(name, x, mean, std, rng, noise):
    """Noise of the shape of x: drawn, or the `noise` that was given."""
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    if noise is None:
        return Noise(stochastic.Normal(mean, std), x.shape, dtype, rng)
    return _given(name, "noise", noise, dtype, x.shape)


def _check_fits(name, what, shape, of, needed):
    """Refuses a shape that does not broadcast to the one that is needed."""
    try:
        fits = np.broadcast_shapes(shape, needed) == needed
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: {what} of shape {shape} does not broadcast to {of} of shape {needed}.")


def _given(name, what, noise, dtype, shape):
    """Noise that was drawn before as it is, a leaf; an array in `dtype`."""
    _check_fits(name, f"a {what}", np.shape(noise), "x", shape)
    return noise if isinstance(noise, Noise) else np.asarray(data_of(noise), dtype)


# --------------------------------------------------------------------------------------- penalties


def l1_penalty(*weights, c):
    """c * sum |w| over all entries of the weights: one node of the loss. Subgradient steps give small weights, not zeros."""
    return penalties.l1_penalty(_coefficient("l1_penalty", c, weights), *weights)


def l2_penalty(*weights, c):
    """c * sum w^2 over all entries of the weights: one node of the loss. Under plain SGD it equals weight_decay = 2c."""
    return penalties.l2_penalty(_coefficient("l2_penalty", c, weights), *weights)


def elastic_net(*weights, l1, l2):
    """l1 * sum |w| + l2 * sum w^2 over all entries of the weights: one node of the loss (Zou & Hastie 2005; Keras's L1L2)."""
    c1, c2 = _coefficient("elastic_net", l1, weights, "l1"), _coefficient("elastic_net", l2, weights, "l2")
    return penalties.elastic_net(c1, c2, *weights)


def group_l2(*weights, c, axis=None):
    """c * sum over groups of |w_group|, the Euclidean norm and not its square: one node of the loss (the group lasso, Yuan & Lin 2006).

    `axis`, a number or a tuple, says which axes lie inside a group. Without it, all but the first: a group is what enters one
    unit, a row of a Linear's weight, or one filter. axis=0 makes a group of what leaves one input.
    """
    return penalties.group_l2(_coefficient("group_l2", c, weights), slice(1, None) if axis is None else axis, *weights)


def _coefficient(name, c, weights, called="c"):
    if not weights or not all(isinstance(w, Tensor) for w in weights):
        raise TypeError(f"{name}: pass the weights as Tensors, {name}(w1, w2, {called}=1e-3).")
    if callable(c):
        raise TypeError(f"{name}: the coefficient {called} must be a number. The penalties of nn take functions of the step.")
    if not 0 <= c < math.inf:
        raise ValueError(f"{name}: the coefficient {called} must be a number >= 0, got {c}.")
    return float(c)


# ------------------------------------------------------------------------------------------ losses


def _reduced(entries, reduction):
    if reduction == "mean":
        return entries.mean()
    if reduction == "sum":
        return entries.sum()
    return entries


def _check_reduction(name, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{name}: reduction is "mean", "sum" or "none", not {reduction!r}.')


def _check_shapes(name, input, target, reduction):
    """Refuses an input and a target that would broadcast."""
    _check_reduction(name, reduction)
    if np.shape(input) != np.shape(target):
        try:
            result = f"would broadcast to {np.broadcast_shapes(np.shape(input), np.shape(target))}"
        except ValueError:
            result = "do not match"
        raise ValueError(f"{name}: input {np.shape(input)} and target {np.shape(target)} {result}. Reshape one.")


def _check_classes(name, scores, target, reduction):
    """Refuses targets that are not one class number for each of the scores (N, C, ...) or (C,)."""
    _check_reduction(name, reduction)
    shape, labels = scores.shape, np.asarray(data_of(target))
    needed, classes = (shape[:1] + shape[2:], shape[1]) if len(shape) > 1 else ((), (*shape, 0)[0])
    if not shape or labels.shape != needed:
        raise ValueError(f"{name}: scores {shape} need one class number each, so a target of shape {needed}, got {labels.shape}.")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: the target holds class numbers, so an integer dtype, not {labels.dtype}.")
    unsigned = labels.astype(np.uint64)  # a negative number becomes a huge one: one comparison for both ends
    if labels.size and unsigned.item(unsigned.argmax()) >= classes:
        raise ValueError(f"{name}: the target has classes {labels.min()}..{labels.max()}, the scores {shape} know 0..{classes - 1}.")


@composition
def cross_entropy(input, target, reduction="mean"):
    """-log softmax(input)[target]: scores (N, C, ...) or (C,) before any softmax, target class numbers (N, ...) or ()."""
    _check_classes("cross_entropy", input, target, reduction)
    return losses.nll_loss(log_softmax(input, min(1, input.ndim - 1)), target, reduction)


def nll_loss(input, target, reduction="mean"):
    """-input[target]: log-probabilities (N, C, ...) or (C,), target class numbers (N, ...) or ()."""
    _check_classes("nll_loss", input, target, reduction)
    return losses.nll_loss(input, target, reduction)


@composition
def mse_loss(input, target, reduction="mean"):
    """(input - target)^2, shapes equal."""
    _check_shapes("mse_loss", input, target, reduction)
    return _reduced(np.square(input - target), reduction)


@composition
def l1_loss(input, target, reduction="mean"):
    """|input - target|, shapes equal."""
    _check_shapes("l1_loss", input, target, reduction)
    return _reduced(np.absolute(input - target), reduction)


@composition
def huber_loss(input, target, reduction="mean", delta=1.0):
    """d^2/2 where |d| = |input - target| <= delta, else delta (|d| - delta/2); shapes equal (Huber 1964)."""
    _check_shapes("huber_loss", input, target, reduction)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be > 0, got {delta}.")
    d = np.absolute(input - target)
    near = np.minimum(d, delta)
    return _reduced(near * (d - 0.5 * near), reduction)


@composition
def binary_cross_entropy_with_logits(input, target, reduction="mean"):
    """-t log sigmoid(x) - (1-t) log(1 - sigmoid(x)) of scores x and targets t in [0, 1], shapes equal."""
    _check_shapes("binary_cross_entropy_with_logits", input, target, reduction)
    return _reduced(softplus(input) - input * target, reduction)


# ------------------------------------------------------------- NumPy functions that are compositions


@implements(np.split)
def split(x, indices_or_sections, axis=0):
    """As np.split: a list of slices, each an indexing node of its own."""
    n = x.shape[axis]
    if isinstance(indices_or_sections, int):
        if n % indices_or_sections:
            raise ValueError(f"split: an axis of size {n} cannot be split into {indices_or_sections} equal parts.")
        indices_or_sections = range(n // indices_or_sections, n, n // indices_or_sections)
    bounds = [0, *indices_or_sections, n]
    before = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(a, b))] for a, b in zip(bounds, bounds[1:])]


@implements(np.take)
def take(x, indices, axis=None):
    if axis is None:
        return np.reshape(x, -1)[indices]
    return x[(slice(None),) * (axis % x.ndim) + (indices,)]


@implements(np.take_along_axis)
def take_along_axis(x, indices, axis=-1):
    if axis is None:
        return np.reshape(x, -1)[indices]
    index = list(np.ogrid[tuple(map(slice, np.shape(indices)))])
    index[axis] = indices
    return x[tuple(index)]


@implements(np.trace)
def trace(x, offset=0, axis1=0, axis2=1):
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    return np.sum(x * np.eye(*x.shape[-2:], offset, dtype=x.dtype), axis=(-2, -1))


@implements(np.tril)
def tril(x, k=0):
    return np.where(np.tri(*np.shape(x)[-2:], k=k, dtype=bool), x, 0)


@implements(np.triu)
def triu(x, k=0):
    return np.where(np.tri(*np.shape(x)[-2:], k=k - 1, dtype=bool), 0, x)


@implements(np.outer)
def outer(x, y):
    return np.reshape(x, (-1, 1)) * np.reshape(y, (1, -1))


@implements(np.dot)
def dot(x, y):
    """x @ y for vectors and matrices, x * y where one is a scalar."""
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return x * y
    if np.ndim(x) > 2 or np.ndim(y) > 2:
        raise ValueError(f"dot of {np.shape(x)} and {np.shape(y)}: use matmul (@) or einsum for more than two axes.")
    return x @ y


Tensor.dot = dot


@implements(np.ravel)
def ravel(x):
    return np.reshape(x, -1)
