"""Every function of minigrad.functional: nan, whole numbers and float16 pass through it as they should.

A new function belongs into CALLS.
"""

import numpy as np
import pytest
from helpers import normal

import minigrad as mg
from minigrad import functional as F

ACTIVATIONS = (
    "relu sigmoid tanh softplus silu selu gelu elu celu leaky_relu mish relu6 hardtanh erf"
)
ACTIVATIONS += " hardsigmoid hardswish softsign logsigmoid hardshrink softshrink tanhshrink glu"
ACTIVATIONS += " softmax log_softmax softmin logsumexp"
LOSSES = "mse_loss l1_loss huber_loss smooth_l1_loss"
POOLS = "max_pool avg_pool adaptive_avg_pool adaptive_max_pool"

other, weight, labels = normal(2, 4, 6, seed=1), normal(4, seed=2), np.arange(12).reshape(2, 6) % 4
shares, image = np.exp(-np.abs(other)), (slice(None), slice(None), slice(None), None)
filters, mask = normal(2, 4, 3, seed=3), np.arange(6) % 3 > 0


def tensor(x):
    return x if isinstance(x, mg.Tensor) else mg.Tensor(x)


def of_settings(name, *settings, **others):
    return lambda x: getattr(F, name)(x, *settings, **others)


# name, and some words to tell calls apart: a function of x (2, 4, 6)
CALLS = {name: of_settings(name) for name in ACTIVATIONS.split()}
CALLS |= {name: of_settings(name, other, "none") for name in LOSSES.split()}
CALLS |= {f"{name}1d": of_settings(f"{name}1d", 3) for name in POOLS.split()}
CALLS |= {
    "gelu tanh": of_settings("gelu", approximate="tanh"),
    "threshold": of_settings("threshold", 0.5, -0.5),
    "prelu": of_settings("prelu", weight),
    "linear": of_settings("linear", normal(3, 6), normal(3)),
    "conv1d": of_settings("conv1d", filters, normal(2), 2, 1, 2),
    "conv_transpose1d": of_settings("conv_transpose1d", normal(4, 2, 3), None, 2, 1, 1),
    "unfold": of_settings("unfold", 2, 1, 1),
    "fold": lambda x: F.fold(x, (2, 3), 1),
    "max_pool1d padded": of_settings("max_pool1d", 3, 2, 1, ceil_mode=True),
    "avg_pool1d padded": of_settings("avg_pool1d", 3, 2, 1, True, False),
    "interpolate": of_settings("interpolate", scale_factor=1.5),
    "interpolate linear": of_settings("interpolate", 5, mode="linear"),
    "batch_norm": lambda x: F.batch_norm(x, None, None, weight, weight, training=True),
    "batch_norm eval": lambda x: F.batch_norm(x, weight, weight**2, training=False),
    "layer_norm": of_settings("layer_norm", 6),
    "rms_norm": of_settings("rms_norm", 6),
    "group_norm": of_settings("group_norm", 2, weight, weight),
    "instance_norm": of_settings("instance_norm", weight=weight),
    "normalize": of_settings("normalize"),
    "normalize p": of_settings("normalize", p=3.0, dim=-1),
    "cosine_similarity": of_settings("cosine_similarity", other),
    "triplet_margin_loss": of_settings("triplet_margin_loss", other, other + 0.5, reduction="none"),
    "kl_div": of_settings("kl_div", shares, "none"),
    "cross_entropy": of_settings("cross_entropy", labels, "none", weight=weight**2),
    "cross_entropy shares": of_settings("cross_entropy", shares, "none"),
    "nll_loss": of_settings("nll_loss", labels, "none", ignore_index=1),
    "binary_cross_entropy_with_logits": of_settings(
        "binary_cross_entropy_with_logits", shares, "none", pos_weight=weight[0] ** 2
    ),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(
        F.sigmoid(np.divide(x, 4096)), shares, "none"
    ),
    "scaled_dot_product_attention": lambda x: F.scaled_dot_product_attention(x, other, other),
    "scaled_dot_product_attention keys": lambda x: F.scaled_dot_product_attention(other, x, x),
    "embedding": lambda x: F.embedding(labels, x[0]),
    "alpha_dropout": of_settings("alpha_dropout", 0.5, True, mask=mask),
    "gaussian_dropout": of_settings("gaussian_dropout", 0.5, True, noise=other),
    "gaussian_noise": of_settings("gaussian_noise", 0.5, True, noise=other),
    "dropout": of_settings("dropout", 0.5, True, mask=other > -9),
    "drop_path": of_settings("drop_path", 0.5, True, mask=np.ones((2, 1, 1))),
    "drop_connect": of_settings("drop_connect", 0.5, False, scaling="classic"),
    "dropout1d": of_settings("dropout1d", 0.5, True, mask=np.ones((2, 4, 1))),
    "l1_penalty": lambda x: F.l1_penalty(tensor(x), c=0.1),
    "l2_penalty": lambda x: F.l2_penalty(tensor(x), c=0.1),
    "elastic_net": lambda x: F.elastic_net(tensor(x), l1=0.1, l2=0.2),
    "group_l2": lambda x: F.group_l2(tensor(x), c=0.1),
}


def values(call, x):
    out = call(x)
    return np.asarray(out.data if isinstance(out, mg.Tensor) else out)


def test_every_function_is_in_the_table():
    names = {name.split()[0] for name in CALLS}
    names |= {name[:-2] + "2d" for name in names if name.endswith("1d")}
    assert {*F.__all__} <= names


SPREAD = {"adaptive_avg_pool1d", "interpolate linear"}  # matrix products: nan reaches the whole row
NARROW = {"l1_penalty", "group_l2"}  # sums in float16
NARROW |= {"scaled_dot_product_attention"}  # scores of 1e7 choose one key: another one, if rounded
REFUSED = {"binary_cross_entropy"}  # nan is no probability
x = normal(2, 4, 6)


def replaced(i, value):
    changed = x.copy()
    changed.flat[i] = value
    return changed


@pytest.mark.parametrize("name", CALLS)
def test_nan_reaches_the_results_that_depend_on_it_and_no_others(name):
    call = CALLS[name]
    if name in REFUSED:
        with pytest.raises(ValueError, match="probabilities must be from 0 to 1"):
            call(replaced(0, np.nan))
        return
    plain, reached = values(call, x), 0
    for i in range(0, x.size, 5):
        others = [values(call, replaced(i, v)) for v in (-9, 9, x.flat[i] + 0.3)]
        depends = np.any(others != plain, axis=0)
        found = np.isnan(values(call, replaced(i, np.nan)))
        assert np.all(found >= depends)
        assert name in SPREAD or np.all(found == depends)
        reached += depends.sum()
    assert reached


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, bool])
@pytest.mark.parametrize("name", CALLS)
def test_whole_numbers_give_the_results_of_floats(name, dtype):
    whole = (5 * np.arange(48).reshape(2, 4, 6) - 100).astype(dtype)
    right = values(CALLS[name], whole.astype(float))
    for given in whole, mg.Tensor(whole):
        np.testing.assert_allclose(values(CALLS[name], given), right, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("scale", [1, 3000])
@pytest.mark.parametrize("name", CALLS)
def test_float16_gives_the_results_and_gradients_of_float32(name, scale):
    half = (x if name in NARROW else scale * x).astype(np.float16)
    # Of large scores one is chosen. In float16 its probability, near 1, is rounded by 2^-11.
    least = 1e-4 if scale == 1 else 2.0**-10
    found, right = [], []
    for numbers, given in (found, half), (right, half.astype(np.float32)):
        leaf = mg.Tensor(given, requires_grad=True)
        out = CALLS[name](leaf)
        u = np.cos(np.arange(out.size)).reshape(out.shape) + 0.1
        numbers += [out.data, *(g.data for g in mg.grad(out, leaf, u))]
    assert found[1].dtype == np.float16
    for a, b in zip(found, right):
        with np.errstate(over="ignore"):
            b = b.astype(a.dtype)  # larger numbers are infinite
        top = np.max(np.abs(b[np.isfinite(b)]), initial=0)
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02 * top + least)
