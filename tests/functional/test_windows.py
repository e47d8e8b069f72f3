"""Windows, convolutions, pooling and their layers, against their definitions, each other and
PyTorch.
"""

import itertools
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.functional as F
from minigrad import nn
from minigrad.ops import windows
from minigrad.ops.windows import convolve, convolve_input, convolve_weight, fold, unfold


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def places(n, k, stride, dilation):
    return (n - dilation * (k - 1) - 1) // stride + 1


def definition(x, w, y, stride, dilation, groups):
    """The form T(x, w, y), entry by entry, as its three derivatives (by y, x and w)."""
    by_y, by_x, by_w = np.zeros(y.shape), np.zeros(x.shape), np.zeros(w.shape)
    share = len(w) // groups
    for m, k, n, o in itertools.product(
        range(len(w)), np.ndindex(w.shape[2:]), range(len(x)), np.ndindex(y.shape[2:])
    ):
        at = tuple(s * a + d * b for s, a, d, b in zip(stride, o, dilation, k))
        for c in range(w.shape[1]):
            channel = m // share * w.shape[1] + c
            by_y[(n, m, *o)] += x[(n, channel, *at)] * w[(m, c, *k)]
            by_x[(n, channel, *at)] += y[(n, m, *o)] * w[(m, c, *k)]
            by_w[(m, c, *k)] += y[(n, m, *o)] * x[(n, channel, *at)]
    return by_y, by_x, by_w


@st.composite
def convolutions(draw):
    """(x, w, y, stride, dilation, groups) that fit each other."""
    rank, groups, small = draw(st.integers(1, 3)), draw(st.integers(1, 2)), st.integers(1, 3)
    size, stride, dilation = (draw(st.tuples(*[small] * rank)) for _ in range(3))
    out = draw(st.tuples(*[st.integers(1, 2)] * rank))
    rest = draw(st.tuples(*[st.integers(0, 2)] * rank))
    space = [
        s * (o - 1) + d * (k - 1) + 1 + min(r, s - 1)
        for k, s, d, o, r in zip(size, stride, dilation, out, rest)
    ]
    samples, channels, filters = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 2)),
    )
    shapes = (
        (samples, channels * groups, *space),
        (filters * groups, channels, *size),
        (samples, filters * groups, *out),
    )
    numbers = np.random.default_rng(draw(st.integers(0, 2**16)))
    return *(numbers.standard_normal(shape) for shape in shapes), stride, dilation, groups


@given(convolutions(), st.sampled_from([1, 2**19]))
@settings(deadline=None, max_examples=60)
def test_the_three_convolutions_are_the_derivatives_of_their_form(case, block):
    x, w, y, *how = case
    expected, before = definition(*case), windows.BLOCK
    windows.BLOCK = block  # 1: a sample at a time
    try:
        found = (
            convolve(x, w, None, *how),
            convolve_input(y, w, x.shape[2:], *how),
            convolve_weight(x, y, w.shape[2:], *how),
        )
    finally:
        windows.BLOCK = before
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@given(convolutions())
@settings(deadline=None, max_examples=60)
def test_unfold_takes_every_window_and_fold_is_its_transpose(case):
    x, w, y, stride, dilation, _ = case
    size, space = w.shape[2:], x.shape[2:]
    found = unfold(x, size, stride, dilation)
    assert found.shape == (*x.shape[:2], *y.shape[2:], *size)
    for o in np.ndindex(y.shape[2:]):
        ends = [
            slice(s * a, s * a + d * (k - 1) + 1, d)
            for s, a, d, k in zip(stride, o, dilation, size)
        ]
        assert np.array_equal(found[(slice(None), slice(None), *o)], x[(..., *ends)])
    u = np.random.default_rng(1).standard_normal(found.shape)
    assert np.sum(found * u) == pytest.approx(
        np.sum(x * fold(u, space, stride, dilation)), rel=1e-10, abs=1e-10
    )


def test_a_convolution_never_holds_all_its_windows(rng):
    x, w = (
        mg.Tensor(rng.standard_normal((64, 16, 26, 26)), True),
        mg.Tensor(rng.standard_normal((2, 16, 3, 3)), True),
    )
    everything = 9 * x.data.nbytes
    tracemalloc.start()
    F.conv2d(x, w).backward(np.ones((64, 2, 24, 24)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < everything / 2, f"{peak} bytes; all windows are {everything}"


# ----------------------------------------------------------------------------------- beside PyTorch


def cases():
    """(name, call of either library's functions on x and more, shapes of those) of every public
    function here.
    """
    for rank, space in ((1, (11,)), (2, (11, 9))):
        x = (2, 4, *space)
        for stride, padding, dilation, groups in itertools.product(
            (1, 2, 3), (0, 1, "same"), (1, 2), (1, 2)
        ):
            if padding != "same" or stride == 1:
                how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
                shapes = x, (6, 4 // groups, *(3, 2)[:rank]), (6,)
                yield (
                    f"conv{rank}d",
                    lambda f, x, w, b, n=f"conv{rank}d", h=how: getattr(f, n)(x, w, b, **h),
                    shapes,
                )
        for stride, padding, extra, dilation, groups in itertools.product(
            (1, 3), (0, 1), (0, 2), (1, 2), (1, 2)
        ):
            if extra < stride:
                name, how, shapes = (
                    f"conv_transpose{rank}d",
                    (stride, padding, extra, groups, dilation),
                    (x, (4, 6 // groups, *(3, 2)[:rank]), (6,)),
                )
                yield name, lambda f, x, w, b, n=name, h=how: getattr(f, n)(x, w, b, *h), shapes
        for size, stride, padding, dilation in itertools.product(
            (2, 3), (None, 1, 2), (0, 1), (1, 2)
        ):
            yield (
                f"max_pool{rank}d",
                lambda f, x, n=f"max_pool{rank}d", h=(size, stride, padding, dilation): getattr(
                    f, n
                )(x, *h),
                (x,),
            )
        for size, stride, padding, count in itertools.product(
            (2, 3), (None, 1, 2), (0, 1), (True, False)
        ):
            name, how = (
                f"avg_pool{rank}d",
                {
                    "kernel_size": size,
                    "stride": stride,
                    "padding": padding,
                    "count_include_pad": count,
                },
            )
            yield name, lambda f, x, n=name, h=how: getattr(f, n)(x, **h), (x,)
        for size in (1, 2, 3, 4, 5, 8, 9):
            yield (
                f"adaptive_avg_pool{rank}d",
                lambda f, x, n=f"adaptive_avg_pool{rank}d", m=size: getattr(f, n)(x, m),
                (x,),
            )
        for size in (1, 2, 3, 5, 9, 12, 17, 22):
            yield "interpolate", lambda f, x, m=(size,) * rank: f.interpolate(x, size=m), (x,)
        for scale in (0.3, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 1.7, 1 / 3):
            yield "interpolate", lambda f, x, m=scale: f.interpolate(x, scale_factor=m), (x,)
    yield "adaptive_avg_pool2d", lambda f, x: f.adaptive_avg_pool2d(x, (3, 9)), (x,)
    for size, dilation, padding, stride in itertools.product((2, (3, 2)), (1, 2), (0, 1), (1, 2)):
        how = size, dilation, padding, stride
        out = [
            places(n + 2 * padding, k, stride, dilation)
            for n, k in zip((11, 9), size if isinstance(size, tuple) else (size, size))
        ]
        columns = 2, 4 * np.prod(np.ones(2, int) * size), math.prod(out)
        yield "unfold", lambda f, x, h=how: f.unfold(x, *h), (x,)
        yield "fold", lambda f, x, h=how: f.fold(x, (11, 9), *h), (columns,)


CASES = {}  # name of a public function -> its cases
for name, call, shapes in cases():
    CASES.setdefault(name, []).append((call, shapes))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_pytorchs(name, rng):
    torch = pytest.importorskip("torch")
    for call, shapes in CASES[name]:
        arrays = [rng.standard_normal(shape) for shape in shapes]
        ours, theirs = (
            [mg.Tensor(a, True) for a in arrays],
            [torch.tensor(a, requires_grad=True) for a in arrays],
        )
        found, expected = call(F, *ours), call(torch.nn.functional, *theirs)
        np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=1e-11, atol=1e-12)
        u = rng.standard_normal(found.shape)
        found.backward(u), expected.backward(torch.tensor(u))
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_both_gradient_checks_pass(name, rng):
    call, (x, *others) = CASES[name][-1]
    shapes = [(1, *x[1:]) if len(x) > 3 else x, *others]
    inputs = [
        mg.Tensor(0.1 * rng.permutation(math.prod(shape)).reshape(shape), True) for shape in shapes
    ]  # no ties
    assert mg.gradcheck(lambda *xs: call(F, *xs), inputs, fast_mode=True)
    assert mg.gradgradcheck(lambda *xs: np.sin(1e-3 * call(F, *xs)), inputs, fast_mode=True)


# --------------------------------------------------------------------- definitions, without PyTorch


def test_pools_by_hand():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    assert F.max_pool2d(x, 2).tolist() == [[[[5, 7], [13, 15]]]]
    assert F.avg_pool2d(x, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert F.avg_pool1d(np.ones((1, 1, 3)), 2, padding=1).tolist() == [[[0.5, 1.0]]]
    assert F.avg_pool1d(np.ones((1, 1, 3)), 2, padding=1, count_include_pad=False).tolist() == [
        [[1.0, 1.0]]
    ]
    assert F.adaptive_avg_pool1d(np.arange(5.0).reshape(1, 1, 5), 2).tolist() == [
        [[1.0, 3.0]]
    ]  # stretches 0..2 and 2..4
    assert F.interpolate(np.arange(3.0).reshape(1, 1, 3), scale_factor=2).tolist() == [
        [[0, 0, 1, 1, 2, 2]]
    ]


def test_ties_of_a_max_pool_share_the_gradient_and_padding_takes_none():
    x = mg.Tensor(np.full((1, 1, 2, 2), -7.0), True)
    F.max_pool2d(
        x, 2, padding=1
    ).sum().backward()  # four windows, each with one entry and three of the padding
    assert x.grad.tolist() == [[[[1, 1], [1, 1]]]]
    x.grad = None
    F.max_pool2d(x, 2).backward(np.full((1, 1, 1, 1), 4.0))
    assert x.grad.tolist() == [[[[1, 1], [1, 1]]]]


def test_float32_stays_float32():
    x, w = np.ones((1, 2, 4, 4), np.float32), np.ones((2, 2, 3, 3), np.float32)
    found = [
        F.conv2d(x, w, padding=1),
        F.conv_transpose2d(x, w, stride=2),
        F.max_pool2d(x, 2, padding=1),
        F.avg_pool2d(x, 2),
    ]
    found += [
        F.avg_pool2d(x, 2, padding=1, count_include_pad=False),
        F.adaptive_avg_pool2d(x, 3),
        F.interpolate(x, scale_factor=2),
        F.unfold(x, 2),
    ]
    assert {y.dtype for y in found} == {np.dtype(np.float32)}


x3, x4, w4 = np.zeros((2, 3, 5)), np.zeros((2, 3, 5, 5)), np.zeros((4, 3, 3, 3))


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: F.conv2d(np.zeros((1, 28, 28)), w4),
            r"conv2d: x must be \(N, C, H, W\), got shape \(1, 28, 28\). For one sample write x\[None\]",
        ),
        (
            lambda: F.conv2d(x4, np.zeros((4, 3, 3))),
            r"conv2d: kernel_size must be .*; got \(3,\)",
        ),
        (
            lambda: F.conv2d(x4, np.zeros((4, 1, 3, 3))),
            r"conv2d: weight \(4, 1, 3, 3\) with groups=1 takes 1 channels, but axis 1 of x \(2, 3, 5, 5\) has 3",
        ),
        (lambda: F.conv2d(x4, w4, groups=3), "conv2d: groups=3 does not divide filters=4"),
        (
            lambda: F.conv2d(x4, w4, np.zeros(3)),
            r"conv2d: bias must have shape \(4,\), got \(3,\)",
        ),
        (
            lambda: F.conv2d(x4, w4, np.zeros((4, 1))),
            r"conv2d: bias must have shape \(4,\), got \(4, 1\)",
        ),
        (
            lambda: F.conv2d(x4, w4, dilation=3),
            "conv2d: .*: a window of 7 does not fit into an axis of 5, padding included",
        ),
        (
            lambda: F.conv2d(x4, w4, stride=0),
            "conv2d: stride must be a whole number >= 1, or 2 of them, one for each axis; got 0",
        ),
        (
            lambda: F.conv2d(x4, w4, padding=(1, 2, 3)),
            r"conv2d: padding must be a whole number >= 0, or 2 of them, one for each axis; got \(1, 2, 3\)",
        ),
        (
            lambda: F.conv2d(x4, w4, padding="same", stride=2),
            'conv2d: padding="same" is for stride 1',
        ),
        (
            lambda: F.conv_transpose2d(x4, w4),
            r"conv_transpose2d: weight \(4, 3, 3, 3\) with groups=1 takes 4 channels",
        ),
        (
            lambda: F.conv_transpose1d(x3, np.zeros((3, 1, 2)), output_padding=1),
            "conv_transpose1d: output_padding .* must be smaller than the stride",
        ),
        (
            lambda: F.conv_transpose1d(x3, np.zeros((3, 1, 1)), padding=3),
            r"conv_transpose1d: without the padding, nothing is left of \(5,\)",
        ),
        (
            lambda: F.max_pool2d(x4, 2, padding=2),
            r"max_pool2d: padding .* is too large for kernel_size \(2, 2\)",
        ),
        (
            lambda: F.max_pool2d(x4, 6),
            "max_pool2d: unfold of .*: a window of 6 does not fit into an axis of 5",
        ),
        (
            lambda: F.max_pool1d(x4, 2),
            r"max_pool1d: x must be \(N, C, L\), got shape \(2, 3, 5, 5\)",
        ),
        (lambda: F.avg_pool2d(x4, 2.5), "avg_pool2d: kernel_size must be a whole number >= 1"),
        (
            lambda: F.adaptive_avg_pool2d(x4, (3, None)),
            "adaptive_avg_pool2d: output_size must be a whole number >= 1",
        ),
        (
            lambda: F.adaptive_avg_pool2d(x4, 0),
            "adaptive_avg_pool2d: output_size must be a whole number >= 1",
        ),
        (lambda: F.interpolate(x4), "interpolate: give size or scale_factor, and not both"),
        (
            lambda: F.interpolate(x4, size=3, scale_factor=2),
            "interpolate: give size or scale_factor, and not both",
        ),
        (
            lambda: F.interpolate(x4, scale_factor=0.1),
            r"interpolate: the new size must be .*; got \[0, 0\]",
        ),
        (
            lambda: F.interpolate(x4, size=3, mode="cubic"),
            r"interpolate: mode of x \(2, 3, 5, 5\) must be \"nearest\" or \"bilinear\", got 'cubic'",
        ),
        (lambda: F.adaptive_avg_pool1d(np.ones((2, 3, 0)), 2), "each axis of x must be .* >= 1"),
        (lambda: F.adaptive_max_pool2d(x4[..., :0], 2), "each axis of x must be .* >= 1"),
        (
            lambda: F.conv_transpose1d(np.ones((0, 3, 0)), np.ones((3, 2, 2))),
            "conv_transpose1d: each axis of x must be .* >= 1",
        ),
        (lambda: F.unfold(x4, 6), "unfold of .*: a window of 6 does not fit into an axis of 5"),
        (
            lambda: F.fold(np.zeros((1, 8, 5)), 3, 2),
            r"fold: output_size \(3, 3\) needs x \(N, C \* 4, 4\), got \(1, 8, 5\)",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, groups=2),
            "Conv2d: groups=2 does not divide in_channels=3",
        ),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "Conv2d: kernel_size must be a whole number"),
        (
            lambda: nn.Conv1d(3, 4, 3, bias=False, bias_penalty=nn.L2(1)),
            "Conv1d: bias_penalty=.*, but there is no bias",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------------------------- layers

LAYERS = {
    "Conv1d": ((4, 6, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}, (2, 4, 11)),
    "Conv2d": ((4, 6, (3, 2)), {"padding": "same", "bias": False}, (2, 4, 6, 5)),
    "ConvTranspose1d": ((4, 6, 3), {"stride": 3, "output_padding": 1, "groups": 2}, (2, 4, 5)),
    "ConvTranspose2d": ((4, 6, 3, 2, 1, 1), {"dilation": 2}, (2, 4, 5, 4)),
    "MaxPool1d": ((3,), {"stride": 2}, (2, 4, 11)),
    "MaxPool2d": ((2,), {"padding": 1}, (2, 4, 6, 5)),
    "AvgPool1d": ((2,), {}, (2, 4, 11)),
    "AvgPool2d": ((3, 2), {"count_include_pad": False, "padding": 1}, (2, 4, 6, 5)),
    "AdaptiveAvgPool1d": ((3,), {}, (2, 4, 11)),
    "AdaptiveAvgPool2d": (((2, 5),), {}, (2, 4, 6, 5)),
    "Upsample": ((), {"scale_factor": 2}, (2, 4, 6, 5)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_pytorchs_arguments_and_state(name, rng):
    torch = pytest.importorskip("torch")
    arguments, settings, shape = LAYERS[name]
    theirs = getattr(torch.nn, name)(*arguments, **settings).double()
    ours = getattr(nn, name)(
        *arguments, **settings, **({"dtype": np.float64} if "Conv" in name else {})
    )
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = rng.standard_normal(shape)
    np.testing.assert_allclose(
        ours(mg.Tensor(x)).data, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-11, atol=1e-12
    )


def test_the_first_weights_are_within_pytorchs_bounds():
    for layer, inputs in (
        (nn.Conv2d(4, 64, 3, groups=2), 2 * 9),
        (nn.Conv1d(8, 64, 5), 8 * 5),
        (nn.ConvTranspose2d(64, 4, 3, groups=2), 2 * 9),
    ):
        for w in (layer.weight.data, layer.bias.data):
            assert np.abs(w).max() <= 1 / math.sqrt(inputs)
        assert np.abs(layer.weight.data).max() > 0.95 / math.sqrt(
            inputs
        )  # of 1,000 entries and more: fails once in 10^22


def test_a_network_in_training_with_dropout_and_penalties_passes_the_check(rng):
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, penalty=nn.L2(1e-2), dtype=np.float64),
        nn.Tanh(),
        nn.Dropout2d(0.3),
        nn.MaxPool2d(2),
        nn.Conv2d(
            4, 4, 2, groups=2, penalty=nn.GroupL2(1e-2), bias_penalty=nn.L1(1e-3), dtype=np.float64
        ),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(4, 3, dtype=np.float64),
    )
    x, labels = rng.standard_normal((5, 1, 8, 8)), np.array([0, 1, 2, 1, 0])
    loss = F.cross_entropy(model(x), labels) + model.penalty()
    report = mg.check_graph(loss)
    assert report, report
    assert {row.op for row in report.rows} >= {
        "convolve",
        "unfold",
        "max",
        "dropout",
        "group_l2",
        "l2_penalty",
    }
    ledger = mg.terms(loss)
    assert sum(t.value for t in ledger) == pytest.approx(loss.item(), rel=1e-12)
    summary = str(mg.summary(model, (1, 8, 8)))
    assert "Conv2d" in summary and "GroupL2" in summary


def test_group_l2_makes_whole_filters_zero():
    layer = nn.Conv2d(2, 4, 3, dtype=np.float64)
    node = F.group_l2(layer.weight, c=0.5)
    assert node.item() == pytest.approx(
        0.5 * np.sqrt(np.sum(layer.weight.data**2, axis=(1, 2, 3))).sum(), rel=1e-12
    )
    optimizer = mg.optim.ProximalSGD([layer.weight], lr=1.0)
    for _ in range(20):
        optimizer.step(
            lambda: F.group_l2(layer.weight, c=0.05) + 0.1 * np.sum(layer.weight[0] ** 2)
        )
    assert np.all(layer.weight.data == 0)


@pytest.mark.parametrize("n, m", [(14, 18), (3, 7), (7, 3), (5, 5), (1, 4)])
def test_interpolation_to_a_size_reads_entry_floor_of_i_n_over_m(n, m):
    x = np.arange(float(n))
    assert F.interpolate(x[None, None], size=m).tolist() == [
        [[float(i * n // m) for i in range(m)]]
    ]


def test_interpolation_does_not_spread_infinite_entries_and_means_of_whole_numbers_are_floats():
    assert F.interpolate(np.array([[[1.0, np.inf, np.nan]]]), size=6)[0, 0, :4].tolist() == [
        1,
        1,
        np.inf,
        np.inf,
    ]
    whole = np.array([[[1, 2, 4, 9]]])
    assert F.interpolate(whole, size=2).tolist() == [[[1, 4]]]
    assert F.adaptive_avg_pool1d(whole, 2).tolist() == [[[1.5, 6.5]]]
    assert F.adaptive_avg_pool1d(mg.Tensor(whole), 2).tolist() == [[[1.5, 6.5]]]


def test_no_images_fold_to_no_images():
    assert F.fold(np.zeros((0, 8, 9)), (4, 4), 2).shape == (0, 2, 4, 4)


@pytest.mark.parametrize("layer", [nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d])
def test_no_groups_are_refused(layer):
    with pytest.raises(ValueError, match="groups must be a whole number >= 1, got 0"):
        layer(2, 2, 1, groups=0)


def test_an_output_padding_is_below_the_stride_and_then_pytorchs():
    torch = pytest.importorskip("torch")
    x, w = (
        np.random.default_rng(0).standard_normal((2, 3, 5)),
        np.random.default_rng(1).standard_normal((3, 4, 3)),
    )
    found = F.conv_transpose1d(x, w, stride=3, output_padding=2, dilation=2)
    expected = torch.nn.functional.conv_transpose1d(
        torch.tensor(x), torch.tensor(w), stride=3, output_padding=2, dilation=2
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-12)
    with pytest.raises(
        ValueError, match=r"output_padding \(1,\) must be smaller than the stride \(1,\)"
    ):
        F.conv_transpose1d(x, w, stride=1, output_padding=1, dilation=2)


@pytest.mark.parametrize("include", [True, False])
def test_a_mean_of_padding_alone_is_refused(include):
    with pytest.raises(
        ValueError, match=r"avg_pool1d: padding \[\(1, 1\)\] is too large for kernel_size \(1,\)"
    ):
        F.avg_pool1d(np.ones((1, 1, 2)), 1, padding=1, count_include_pad=include)


@pytest.mark.parametrize(
    "how",
    [{}, {"padding": 1, "dilation": 2}, {"padding": (0, 2), "dilation": (1, 3), "stride": 1}],
    ids=str,
)
def test_max_pool_is_pytorchs(how, rng):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((2, 3, 7, 8))
    expected = torch.nn.functional.max_pool2d(torch.tensor(x), (2, 4), **how)
    assert np.array_equal(F.max_pool2d(x, (2, 4), **how), expected.numpy())


def test_a_maximum_of_padding_alone_is_refused():
    with pytest.raises(ValueError, match="a window .* has padding alone"):
        F.max_pool1d(
            np.ones((1, 1, 1)), 2, 1, padding=1, dilation=2
        )  # one entry left of x, one right of it


@pytest.mark.parametrize(
    "n, k, stride, padding, extra, dilation",
    [(1, 2, 2, 0, 1, 2), (3, 2, 3, 1, 2, 3), (2, 3, 2, 0, 1, 4), (1, 1, 3, 0, 2, 3)],
)
def test_the_gradients_of_conv_transpose_with_room_for_more_places_are_right(
    n, k, stride, padding, extra, dilation, rng
):
    """x[i] w[k] is added at i stride + k dilation - padding, so <u, y> has the gradients sum_k w[k]
    u[...] and sum_i x[i] u[...].
    """
    x, w = (
        mg.Tensor(rng.standard_normal((1, 1, n)), True),
        mg.Tensor(rng.standard_normal((1, 1, k)), True),
    )
    y = F.conv_transpose1d(
        x, w, stride=stride, padding=padding, output_padding=extra, dilation=dilation
    )
    u = rng.standard_normal(y.shape)
    around = np.pad(u[0, 0], (padding, padding))
    at = around[stride * np.arange(n)[:, None] + dilation * np.arange(k)]  # (n, k)
    gx, gw = mg.grad(y, [x, w], u)
    np.testing.assert_allclose(gx.data[0, 0], at @ w.data[0, 0], rtol=1e-12)
    np.testing.assert_allclose(gw.data[0, 0], x.data[0, 0] @ at, rtol=1e-12)


@pytest.mark.parametrize("scale", ["1.1", "2.3", "0.7", "0.3", "3.3", "1/3", "2/3", "4/3", "2.5"])
def test_nearest_takes_the_entry_that_the_scale_as_it_is_written_says(scale):
    ratio = Fraction(scale)
    for n in (4, 33, 69, 640):
        entries = F.interpolate(np.arange(float(n))[None, None], scale_factor=float(ratio))[0, 0]
        assert len(entries) == int(n * float(ratio))
        expected = [min(math.floor(i / ratio), n - 1) for i in range(len(entries))]
        assert entries.tolist() == expected
