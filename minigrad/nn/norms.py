"""Normalisation layers."""

import math

import numpy as np

from .. import array
from .. import functional as F
from ..engine import Tensor
from ..functional.checks import check_axes, check_divides, require_whole
from ..functional.norms import as_shape
from ..noise import effect
from ..types import Operand
from .initialisers import ones, zeros
from .module import Layer

__all__ = ["BatchNorm1d", "BatchNorm2d", "LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm1d"]
__all__ += ["InstanceNorm2d"]


class Norm(Layer):
    """The base of the norms: a `weight` that begins as 1 and a `bias` that begins as 0, or None.

    eps       is added to the variance, a number >= 0
    settings  penalty, bias_penalty, init, bias_init, rng, dtype: see Layer

    Raises ValueError for sizes that are not whole numbers >= 1.
    """

    def __init__(self, shape, eps, affine, settings, biased=True):
        for size in shape:
            require_whole(f"{type(self).__name__}: each size", size, 1)
        self.eps = eps
        weights = {"weight": shape if affine else None}
        biases = {"bias": shape if affine and biased else None}
        settings = {"init": ones, "bias_init": zeros} | settings
        self.add_parameters((math.prod(shape),) * 2, weights, biases, settings)

    def is_weight(self, name, parameter):
        """False: a norm multiplies by its `weight`, but it is not a weight of inputs."""
        return False


class BatchNorm1d(Norm):
    """Batch normalisation of x (N, C) or (N, C, L): see `functional.batch_norm`.

    num_features  C, the number of channels: the length of weight, bias and running statistics
    momentum      the step of the running statistics towards the statistics of a batch in training,
                  usually from 0 to 1. None: they are the mean over all batches
    affine        False: no weight and no bias

    Training normalises by the statistics of the batch, evaluation by `running_mean` and
    `running_var`. `sampling()` does not change the mode. For eps and the other settings see Norm.
    Raises ValueError for x of another layout or number of channels, and in training for channels of
    one entry.
    """

    layouts = "(N, C)", "(N, C, L)"

    def __init__(
        self, num_features: int, eps=1e-5, momentum: float | None = 0.1, affine=True, **others
    ):
        super().__init__((num_features,), eps, affine, others)
        self.num_features, self.momentum, self.affine = num_features, momentum, affine
        dtype = others.get("dtype") or array.default_dtype
        self.running_mean = np.zeros(num_features, dtype)
        self.running_var = np.ones(num_features, dtype)
        self.num_batches_tracked = np.array(0)

    def forward(self, x: Operand) -> Tensor:
        """x normalised, of the same shape; in training the statistics move."""
        self.checked(check_axes, x, *self.layouts, channels=self.num_features)
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / (self.num_batches_tracked.item() + 1)
        running = self.running_mean, self.running_var
        settings = {"training": self.training, "momentum": momentum, "eps": self.eps}
        out = F.batch_norm(x, *running, self.weight, self.bias, **settings)
        if self.training:
            effect(np.add, self.num_batches_tracked, 1, self.num_batches_tracked)
        return out


class BatchNorm2d(BatchNorm1d):
    """Batch normalisation of x (N, C, H, W). Arguments and errors: see BatchNorm1d."""

    layouts = ("(N, C, H, W)",)


class LayerNorm(Norm):
    """Normalises each sample over its last axes: see `functional.layer_norm`.

    normalized_shape    a number or a tuple: the sizes of the last axes, and the shape of weight and
                        bias
    elementwise_affine  False: no weight and no bias; bias=False: no bias

    For eps and the settings see Norm. Raises ValueError for x of another shape.
    """

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, **settings):
        self.normalized_shape = as_shape(normalized_shape)
        self.elementwise_affine = elementwise_affine
        super().__init__(self.normalized_shape, eps, elementwise_affine, settings, bias)

    def forward(self, x: Operand) -> Tensor:
        """x (..., *normalized_shape) normalised, of the same shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(Norm):
    """Divides each sample by its root of the mean square: see `functional.rms_norm`.

    eps is added to the mean square; None: see `functional.rms_norm`. Other arguments and errors as
    for LayerNorm. There is no bias.
    """

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, **settings):
        self.normalized_shape = as_shape(normalized_shape)
        self.elementwise_affine = elementwise_affine
        super().__init__(self.normalized_shape, eps, elementwise_affine, settings, biased=False)

    def forward(self, x: Operand) -> Tensor:
        """x (..., *normalized_shape) over its root of the mean square, of the same shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(Norm):
    """Normalises each group of channels of each sample of x (N, num_channels, ...).

    See `functional.group_norm`. affine=False: no weight and no bias. For eps and the settings see
    Norm. Raises ValueError if the groups do not divide the channels.
    """

    def __init__(self, num_groups: int, num_channels: int, eps=1e-5, affine=True, **settings):
        self.hold_sizes(num_groups=num_groups, num_channels=num_channels)
        self.checked(check_divides, "num_groups", num_groups, num_channels=num_channels)
        self.affine = affine
        super().__init__((num_channels,), eps, affine, settings)

    def forward(self, x: Operand) -> Tensor:
        """x (N, num_channels, ...) normalised, of the same shape."""
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class InstanceNorm1d(Norm):
    """Normalises each channel of each sample of x (N, num_features, L).

    See `functional.instance_norm`. affine=True: with weight and bias. For eps and the settings see
    Norm. Raises ValueError for x of another layout or number of channels.
    """

    layouts = ("(N, C, L)",)

    def __init__(self, num_features: int, eps=1e-5, *, affine=False, **settings):
        self.num_features, self.affine = num_features, affine
        super().__init__((num_features,), eps, affine, settings)

    def forward(self, x: Operand) -> Tensor:
        """x (N, num_features, ...) normalised, of the same shape."""
        self.checked(check_axes, x, *self.layouts, channels=self.num_features)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class InstanceNorm2d(InstanceNorm1d):
    """Normalises each channel of each sample of x (N, C, H, W). Arguments: see InstanceNorm1d."""

    layouts = ("(N, C, H, W)",)
