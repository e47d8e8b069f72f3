"""Compositions of ops: no gradient rule is written here, so there is none to get wrong.

Each records its nodes under its own name, so that pictures and reports show it as one node.
The data is called `x`, in a loss `input` and `target`. Arguments that PyTorch has in another order
are keywords.
"""

from ..ops import erf, linear, log_softmax, logsumexp, relu, sigmoid, softmax, softplus, tanh
from ..ops.penalties import elastic_net, group_l2, l1_penalty, l2_penalty
from . import arrays
from .activations import elu, gelu, leaky_relu, selu, silu
from .dropout import (
    alpha_dropout,
    drop_connect,
    drop_path,
    dropout,
    dropout1d,
    dropout2d,
    gaussian_dropout,
    gaussian_noise,
)
from .losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
)
from .norms import batch_norm, group_norm, instance_norm, layer_norm
from .sequences import embedding, scaled_dot_product_attention
from .windows import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    fold,
    interpolate,
    max_pool1d,
    max_pool2d,
    unfold,
)
