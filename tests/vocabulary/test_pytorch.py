"""PyTorch's names: the same values as PyTorch's, and advice where a name does not exist."""

import math

import numpy as np
import page
import pytest
from helpers import close, leaf, normal
from processes import python

import minigrad as mg
import minigrad.functional as F
from minigrad import later, nn, optim
from minigrad.engine import Tensor
from minigrad.vocabulary import pytorch

pytestmark = pytest.mark.usefixtures("as_before")

index = np.array([[0, 2], [1, 1]])
SAME = {  # text that means the same for m = minigrad and m = torch; x (2, 3) and y (2, 3) are tensors
    *("x.view(3, 2)", "x.view(-1)", "x.permute(1, 0)", "x.unsqueeze(1)", "x.clone()", "x.t()"),
    *("x.contiguous()", "x.expand(4, 2, 3)", "x[:, :1].expand(-1, 5)", "x.mT", "x.flatten()"),
    *(
        "x[None].flatten(1)",
        "x[None].flatten(0, 1)",
        "x.norm()",
        "x.norm(dim=1)",
        "x.norm(1, dim=0)",
    ),
    *("x.norm(dim=1, keepdim=True)", "x.masked_fill(x > 0, -1.0)", "x.gather(1, i)", "x.mm(y.t())"),
    *("x.index_select(1, i[0])", "x.topk(2)", "x.topk(1, dim=0, largest=False)", "x.sort()"),
    *(
        "x.sort(dim=0, descending=True)",
        "x.argsort(dim=1)",
        "x.max(dim=1)",
        "x.min(dim=0)",
        "x.max()",
    ),
    *(
        "x.max(dim=1, keepdim=True)",
        "x.sum(dim=1)",
        "x.sum(dim=(0, 1))",
        "x.mean(dim=0, keepdim=True)",
    ),
    *(
        "x.std(dim=0, correction=1)",
        "x.var(dim=1, correction=1)",
        "x.prod(dim=1)",
        "x.argmax(dim=1)",
    ),
    *("x.cumsum(dim=1)", "x.cumprod(dim=0)", "x.any(dim=1)", "x.all(dim=0)", "x.squeeze(dim=0)"),
    *("x.clamp(min=0)", "x.clamp(-1, 1)", "x.clamp(max=0.5)", "x.pow(2)", "x.add(y)", "x.sub(y)"),
    *(
        "x.mul(y)",
        "x.div(y)",
        "x.neg()",
        "x.abs()",
        "x.sign()",
        "x.sin()",
        "x.acos()",
        "x.atan2(y)",
    ),
    *(
        "x.eq(y)",
        "x.ge(y)",
        "x.logical_and(y > 0)",
        "x.flip(0)",
        "x.roll(1, 0)",
        "x.tril()",
        "x.diag()",
    ),
    *(
        "x.split(2, dim=1)",
        "x.split([1, 2], 1)",
        "x.chunk(2, dim=1)",
        "x.unbind(1)",
        "x.swapaxes(0, 1)",
    ),
    *("x.softmax(dim=1)", "x.log_softmax(-1)", "x.logsumexp(dim=0)", "x.sigmoid()", "x.erfc()"),
    *(
        "x.numel()",
        "x.dim()",
        "x.equal(x)",
        "x.view_as(y.t())",
        "x.double()",
        "x.long()",
        "x.bool()",
    ),
    *("m.cat([x, y])", "m.cat((x, y), dim=1)", "m.stack([x, y], dim=1)", "m.exp(x)", "m.max(x, 1)"),
    *(
        "m.max(x, y)",
        "m.min(x)",
        "m.sum(x, dim=0)",
        "m.mean(x)",
        "m.where(x > 0, x, y)",
        "m.matmul(x, y.t())",
    ),
    *(
        "m.zeros(2, 3)",
        "m.zeros((2, 3))",
        "m.ones(2)",
        "m.full((2,), 1.5)",
        "m.arange(3)",
        "m.eye(2)",
    ),
    *(
        "m.arange(0, 1, 0.25)",
        "m.linspace(0, 1, 5)",
        "m.zeros_like(x)",
        "m.ones_like(x)",
        "m.full_like(x, 2)",
    ),
    *(
        "m.meshgrid(m.arange(2), m.arange(3))",
        "m.einsum('ij,kj->ik', x, y)",
        "m.tensordot(x, y.t(), 1)",
    ),
    *("m.linalg.norm(x)", "m.det(x[:, :2])", "m.inverse(x[:, :2])", "m.outer(x[0], y[0])"),
    *(
        "x.std(dim=1, correction=0)",
        "m.sort(x, dim=1)",
        "m.topk(x, 2, dim=1)",
        "m.clamp(x, 0, 1)",
    ),
    *("m.ones(2, dtype=m.float64)", "m.zeros(1, dtype=m.long)", "m.is_tensor(x)", "m.erf(x)"),
    *(
        "m.diff(x, dim=0)",
        "m.quantile(x, 0.3, dim=1)",
        "m.count_nonzero(x, dim=1)",
        "m.moveaxis(x, 0, 1)",
    ),
}


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("text", sorted(SAME))
def test_a_name_means_what_it_means_in_pytorch(text):
    torch = pytest.importorskip("torch")
    x, y = normal(2, 3).astype(np.float32) / 3, normal(2, 3, seed=1).astype(np.float32)
    here = {"m": mg, "x": Tensor(x, True), "y": Tensor(y), "i": Tensor(index)}
    there = {"m": torch, "x": torch.tensor(x, requires_grad=True), "y": torch.tensor(y)}
    if text == "x.squeeze(dim=0)":
        here["x"], there["x"] = here["x"][:1], there["x"][:1]
    found, expected = eval(text, here), eval(text, there | {"i": torch.tensor(index)})
    for a, b in (
        zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    ):
        if isinstance(b, torch.Tensor):
            assert isinstance(a, Tensor) and str(a.dtype) == str(b.dtype).removeprefix("torch.")
            assert a.shape == tuple(b.shape)
            close(a, b.detach().numpy(), rtol=1e-5, atol=1e-6)
            assert a.requires_grad == b.requires_grad or not a.requires_grad
        else:
            assert a == b


def test_gradients_flow_through_them():
    x = leaf(normal(2, 3))
    values, indices = x.topk(2)
    y = (values.view(-1) ** 2).sum() + x.max(dim=1).values.sum() + x.masked_fill(x > 0, 0).norm()
    assert mg.gradcheck(lambda x: x.topk(2)[0].view(-1), x) and indices.dtype == np.int64
    (y + x.gather(1, index).sum(dim=1, keepdim=True).squeeze(1).clone().mean()).backward()
    assert x.grad.shape == (2, 3)


# ---------------------------------------------------------------------------------------- in place


@pytest.mark.parametrize("values, dtype", [([0, 1, 255], np.uint8), ([-128, 5, 6], np.int8)])
def test_whole_numbers_are_sorted_downwards(values, dtype):
    x = mg.tensor(np.array(values, dtype))
    assert x.sort(descending=True)[0].tolist() == values[::-1]
    assert (x > 5).argsort(descending=True)[0].item() == x.topk(1)[1].item() == 2
    assert mg.norm(x).item() == pytest.approx(math.hypot(*values), rel=1e-6)


def test_nan_comes_first_downwards_and_ties_keep_their_order():
    values, indices = mg.tensor([1.0, math.nan, 3.0, 1.0]).sort(descending=True)
    assert (values[1:].tolist(), indices.tolist()) == ([3, 1, 1], [1, 2, 0, 3])


def test_keywords_of_reductions():
    x = mg.ones(2, 3)
    assert x.sum(dim=[0, 1]).item() == mg.amax(6 * x, dim=[-1, 0]).item() == 6
    assert [str(x.sum(dtype=d).dtype) for d in ("int8", "float64")] == ["int8", "float64"]
    for twice in (lambda: x.sum(0, dim=1), lambda: x.max(axis=0, dim=0), lambda: x.clip(0, min=1)):
        with pytest.raises(TypeError, match="(sum|max|clip).* got multiple values for argument"):
            twice()
    with pytest.raises(TypeError, match="mean: a float dtype is needed, not int8"):
        x.mean(dtype=np.int8)
    with pytest.raises(TypeError, match=r"^eye\(\) got an unexpected keyword argument 'size'"):
        mg.eye(size=2)


def test_in_place_on_leaves_outside_the_graph():
    t = mg.zeros(2, 2)
    assert t.add_(1).mul_(3) is t and t.tolist() == [[3, 3], [3, 3]]
    assert t.fill_(2.0).clamp_(max=1).tolist() == [[1, 1], [1, 1]]
    assert (
        t.copy_(mg.eye(2)).sub_(1).tolist() == [[0, -1], [-1, 0]] and t.exp_().tolist()[0][0] == 1
    )
    mg.manual_seed(0)
    assert t.normal_().std().item() > 0 and 0 <= t.uniform_().min().item() <= t.max().item() < 1
    w = leaf([1.0, 2.0])
    (w * w).sum().backward()
    assert w.grad.zero_().tolist() == [0, 0]
    with mg.no_grad():
        assert w.mul_(2.0) is w and w.tolist() == [2, 4] and w.requires_grad


def test_in_place_in_a_graph_is_refused_and_changes_nothing():
    w, t = leaf([1.0, 2.0]), Tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"mul_ .* on a leaf that requires a gradient"):
        w.mul_(2)
    with pytest.raises(RuntimeError, match=r"t\.mul_: t is the result of exp\. Write t = t\.mul\("):
        np.exp(w).mul_(2)
    with pytest.raises(RuntimeError, match=r"t\.add_: t would join a graph"):
        t.add_(w)
    with pytest.raises(ValueError, match=r"t\.add_: \(2,\) cannot hold \(3, 2\)"):
        t.add_(np.ones((3, 2)))
    with pytest.raises(TypeError, match="same_kind"):
        Tensor([1, 2]).mul_(0.5)
    assert w.tolist() == t.tolist() == [1, 2]
    y = (w * t).sum()
    t.zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


# ---------------------------------------------------------------------------------- what to write

ADVICE = [
    (Tensor, "to", "leave devices out"),
    (Tensor, "cuda", "leave devices out"),
    (Tensor, "repeat", r"np\.tile"),
    (Tensor, "nonzero", r"np\.argwhere"),
    (Tensor, "median", "lower"),
    (mg, "DataLoader", r"mg\.data\.Batches"),
    (mg, "utils", r"mg\.data\.Batches"),
    (mg, "device", "leave devices out"),
    (F, "pad", r"np\.pad"),
    (nn, "functional", r"minigrad\.functional"),
    (nn, "utils", r"optim\.clip_grad_norm_"),
]


@pytest.mark.parametrize("owner, name, text", ADVICE, ids=lambda v: getattr(v, "__name__", v))
def test_a_name_that_does_not_exist_says_what_does(owner, name, text):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': .*{text}"):
        getattr(mg.zeros(2) if owner is Tensor else owner, name)


@pytest.mark.parametrize("owner", [mg, F, nn, optim, mg.zeros(1)], ids=str)
def test_any_other_name_is_an_ordinary_attribute_error(owner):
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        owner.no_such_name  # noqa: B018
    assert not hasattr(owner, "__no_such_protocol__") and not hasattr(owner, "no_such_name_")


def test_methods_come_with_the_first_use_of_a_name():
    import_alone = "import sys, minigrad as m; t = m.Tensor([1.0, 2.0]); t + 1; "
    loaded = "print('minigrad.vocabulary' in sys.modules)"
    text = f"{import_alone}{loaded}; t.view(2, 1).add_(1); {loaded}"
    assert python("-c", text).stdout.decode().split() == ["False", "True"]
    advised = {"to", "cuda", "device", "repeat", "nonzero", "median", "unique"}
    for name in later.METHODS:
        is_known = name in pytorch.METHODS or name[:-1] in pytorch.NEW_VALUES
        assert is_known or name in advised or hasattr(Tensor, name.removesuffix("_")), name
    x = mg.Tensor([1.0, -1.0])
    assert x.where(x > 0, 0.0).tolist() == [1, 0]  # PyTorch's order of arguments


def test_copies_are_tensors_of_their_own():
    x, mask = leaf([1.0, 2.0]), mg.Tensor([True, False])
    for twin in x.copy(), x.clone():
        (3 * twin).sum().backward()
        assert twin.data is not x.data and not twin.is_leaf
    assert x.grad.tolist() == [6.0, 6.0]
    for twin in mask.copy(), mask.clone():
        twin.data[0] = False
    assert mask.tolist() == [True, False]


def test_deviations_must_say_their_divisor():
    x = leaf(normal(2, 3))
    for name in ("std", "var"):
        with pytest.raises(TypeError, match="say correction=1, PyTorch's default, or 0, NumPy's"):
            getattr(x, name)(dim=0)
        with pytest.raises(AttributeError, match=r"correction=1\) as PyTorch means it"):
            getattr(mg, name)


def printed(text):
    return [float(word) for word in python("-c", text).stdout.decode().split()]


def test_a_page_of_pytorch_runs_with_its_imports_changed():
    close(printed(page.HERE), page.PYTORCHS, rtol=1e-3, atol=1e-4)
    assert len(page.HERE.strip().splitlines()) >= 40


def test_the_page_prints_the_same_in_pytorch():
    pytest.importorskip("torch")
    close(printed(page.PAGE), page.PYTORCHS, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "owner, name, advice",
    [
        (nn.Linear(1, 1), "to", "on the CPU"),
        (nn.Linear(1, 1), "add_module", "setattr"),
        (nn, "init", "init= to the layer"),
        (mg.data, "DataLoader", "Batches"),
        (optim.lr_scheduler, "OneCycleLR", "optim.cosine"),
        (mg, "inference_mode", "no_grad"),
    ],
)
def test_names_that_do_not_exist_say_what_to_write(owner, name, advice):
    with pytest.raises(AttributeError, match=f"{name}'.*{advice}"):
        getattr(owner, name)
    assert not hasattr(owner, "no_such_name")
