"""Normalisation layers."""

import numpy as np

from .. import array
from .. import functional as F
from ..functional.norms import check_groups, statistics_move
from .module import Layer, Parameter


class Norm(Layer):
    """What norms have in common: a `weight` of ones and a `bias` of zeros, each None where not wanted, with their penalties."""

    def __init__(self, shape, eps, weighted, biased, penalty, bias_penalty, dtype):
        self._penalise(penalty, bias_penalty, weighted, biased)
        self.eps = eps
        self.weight = Parameter(_filled(1, shape, dtype)) if weighted else None
        self.bias = Parameter(_filled(0, shape, dtype)) if biased else None

    def _check(self, x):
        """Refuses x that has none of the layouts, or other channels."""
        axes, shape = [layout.count(",") + 1 for layout in self.layouts], np.shape(x)
        if len(shape) not in axes or shape[1] != self.num_features:
            remedy = " For one sample write x[None]." if len(shape) == min(axes) - 1 else ""
            layouts = " or ".join(self.layouts)
            raise ValueError(
                f"{type(self).__name__}: x must be {layouts} with C = {self.num_features}, got shape {shape}.{remedy}"
            )


def _filled(value, shape, dtype):
    return np.full(shape, value, dtype or array.default_dtype)


class BatchNorm1d(Norm):
    """Batch normalisation of (N, C) or (N, C, L): see `functional.batch_norm`.

    Evaluation uses `running_mean` and `running_var`, which follow the batches of training: each moves them by the share `momentum`
    of the way, or with momentum=None they are the mean over all batches. With track_running_stats=False there are none, and
    evaluation uses its batch too. `sampling()` changes nothing here: what was put in evaluation mode stays in it.
    """

    layouts = "(N, C)", "(N, C, L)"

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        *,
        penalty=None,
        bias_penalty=None,
        dtype=None,
    ):
        super().__init__(num_features, eps, affine, affine, penalty, bias_penalty, dtype)
        self.num_features, self.momentum, self.affine, self.track_running_stats = (
            num_features,
            momentum,
            affine,
            track_running_stats,
        )
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean, self.running_var = (
                _filled(0, num_features, dtype),
                _filled(1, num_features, dtype),
            )
            self.num_batches_tracked = np.array(0)

    def forward(self, x):
        self._check(x)
        momentum = self.momentum
        if momentum is None and self.track_running_stats:
            momentum = 1 / (self.num_batches_tracked.item() + 1)
        training = self.training or not self.track_running_stats
        out = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=training,
            momentum=momentum,
            eps=self.eps,
        )
        if self.training and self.track_running_stats and statistics_move():
            self.num_batches_tracked += 1
        return out


class BatchNorm2d(BatchNorm1d):
    """Batch normalisation of (N, C, H, W): see BatchNorm1d."""

    layouts = ("(N, C, H, W)",)


class LayerNorm(Norm):
    """Normalises each sample over its last axes, of the sizes `normalized_shape`: see `functional.layer_norm`."""

    def __init__(
        self,
        normalized_shape,
        eps=1e-5,
        elementwise_affine=True,
        bias=True,
        *,
        penalty=None,
        bias_penalty=None,
        dtype=None,
    ):
        self.normalized_shape, self.elementwise_affine = (
            tuple(np.atleast_1d(normalized_shape).tolist()),
            elementwise_affine,
        )
        super().__init__(
            self.normalized_shape,
            eps,
            elementwise_affine,
            elementwise_affine and bias,
            penalty,
            bias_penalty,
            dtype,
        )

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(Norm):
    """Normalises each sample of (N, C, ...) over each group of channels: see `functional.group_norm`."""

    def __init__(
        self,
        num_groups,
        num_channels,
        eps=1e-5,
        affine=True,
        *,
        penalty=None,
        bias_penalty=None,
        dtype=None,
    ):
        check_groups("GroupNorm", num_groups, num_channels)
        self.num_groups, self.num_channels, self.affine = num_groups, num_channels, affine
        super().__init__(num_channels, eps, affine, affine, penalty, bias_penalty, dtype)

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class InstanceNorm1d(Norm):
    """Normalises each channel of each sample of (N, C, L): see `functional.instance_norm`."""

    layouts = ("(N, C, L)",)

    def __init__(
        self, num_features, eps=1e-5, *, affine=False, penalty=None, bias_penalty=None, dtype=None
    ):
        self.num_features, self.affine = num_features, affine
        super().__init__(num_features, eps, affine, affine, penalty, bias_penalty, dtype)

    def forward(self, x):
        self._check(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class InstanceNorm2d(InstanceNorm1d):
    """Normalises each channel of each sample of (N, C, H, W)."""

    layouts = ("(N, C, H, W)",)
