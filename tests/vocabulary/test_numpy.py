"""NumPy's functions on Tensors: values, shapes and dtypes are those of NumPy itself."""

import re

import numpy as np
import pytest

from minigrad.array import data_of, numpy_functions
from minigrad.check import gradcheck, gradgradcheck
from minigrad.check.samples import tensors
from minigrad.check.samples.case import cases, flat
from minigrad.engine import Tensor, grad

pytestmark = pytest.mark.filterwarnings("ignore:gradcheck. VACUOUS for ")

AXES = [None, 0, -1, (0, 1)]
CALLS = {
    "elementwise": [
        "np.exp2(x); np.deg2rad(x); np.radians(x); np.rad2deg(x); np.degrees(x) | (2, 3); (); (0,)",
        "np.fabs(x); np.around(x, 1) | (2, 3); ()",
        "np.conj(x); np.real(x); np.isreal(x) | (2, 3)",
        "np.imag(x) | (2, 3)",
        "np.angle(x); np.angle(x, deg=True) | [[2.0, -3.0], [-0.5, 1.0]]",
        "np.sinc(x) | [0.0, 1e-9, 0.1, 0.159, 0.16, 0.5, 1.0, -2.5, -0.05]; (2, 3); ()",
        "np.logaddexp2(x, y); np.fmax(x, y); np.fmin(x, y) | (2, 3), (3,); (), (2,)",
        "np.nan_to_num(x) | (2, 3)",
    ],
    "running": [
        cases("np.cumprod(x, a) | (2, 3)", a=[None, 0, -1]),
        "np.cumprod(x) | [2.0, 0.0, 3.0, 0.0]; (); (1,); (0,)",
        "np.cumprod(x, axis=1) | (2, 7); (2, 0, 2)",
        "np.multiply.accumulate(x); np.add.accumulate(x, axis=1) | (3, 2)",
        "np.maximum.accumulate(x); np.minimum.accumulate(x); np.logaddexp.accumulate(x) | (5, 2)",
    ],
    "ufunc methods": [
        "np.add.reduce(x); np.add.reduce(x, axis=1, keepdims=True); np.add.reduce(x, axis=None) | (2, 3)",
        "np.multiply.reduce(x); np.maximum.reduce(x, axis=-1); np.minimum.reduce(x) | (2, 3)",
        "np.logaddexp.reduce(x); np.add.reduce(x) | (4, 2)",
        "np.multiply.outer(x, y); np.subtract.outer(x, y) | (2, 3), (4,); (), (2,)",
        "np.power.outer(x, y) | positive(2), (2, 1)",
    ],
    "keywords of reductions": [
        "np.sum(x, dtype=np.float64); np.mean(x, axis=0, dtype=np.float64) | (2, 3)",
        "np.clip(x, min=-0.5); np.clip(x, max=0.5); np.clip(x, min=-1, max=0.8) | (2, 3)",
        "np.clip(x, y, y + 1); np.clip(x, None, y); np.clip(x, y, None) | (2, 3), (3,)",
        "np.clip(0.1, x, y) | [-1.0, 0.2, -2.0], [1.0, 3.0, 0.0]",
    ],
    "moments": [
        cases("np.average(x, a); np.average(x, a, y) | (2, 3), (2, 3)", a=AXES),
        "np.average(x, 1, y); np.average(x, -2, y[:2]) | (2, 3), positive(3)",
        "np.average(x, 0, y, keepdims=True) | (2, 3), positive(2)",
        cases("np.ptp(x, axis=a); np.ptp(x, axis=a, keepdims=True) | apart(2, 3)", a=AXES),
        "np.cov(x); np.cov(x, rowvar=False); np.cov(x, bias=True); np.cov(x, ddof=0) | (3, 4)",
        "np.cov(x, y) | (2, 4), (4,)",
        "np.cov(x) | (5,)",
        "np.corrcoef(x) | (5,)",
        "np.corrcoef(x); np.corrcoef(x, rowvar=False) | (3, 4)",
        "np.corrcoef(x, y) | (2, 5), (5,)",
    ],
    "without nan": [
        cases("np.nansum(x, axis=a); np.nanprod(x, axis=a) | (2, 3)", a=AXES),
        cases("np.nanmean(x, axis=a); np.nanvar(x, axis=a); np.nanstd(x, a) | (2, 3)", a=AXES),
        cases("np.nanmax(x, axis=a); np.nanmin(x, axis=a, keepdims=True) | apart(2, 3)", a=AXES),
        "np.nanvar(x, ddof=1, axis=0); np.nanstd(x, keepdims=True) | (3, 2)",
        "np.nancumsum(x, axis=1); np.nancumprod(x, axis=0); np.nancumsum(x) | (2, 3)",
        "np.nanargmax(x); np.nanargmin(x, axis=0) | (2, 3)",
    ],
    "order": [
        cases("np.sort(x, axis=a); np.argsort(x, axis=a) | (3, 4)", a=[0, -1]),
        "np.sort(x); np.sort(x, axis=None); np.sort(x, kind='stable') | (3, 2, 2); (4,); (0,)",
        cases(
            "np.partition(x, 2, axis=a); np.argpartition(x, 1, axis=a) | (3, 4)", a=[0, -1, None]
        ),
        "np.searchsorted(np.sort(x), y); np.searchsorted(np.sort(x), y, side='right') | (5,), (2, 2)",
        cases("np.median(x, axis=a); np.median(x, axis=a, keepdims=True) | (3, 4)", a=AXES),
        "np.median(x); np.median(x, axis=-1) | (5,); (2, 2, 4); (1,)",
        cases("np.quantile(x, 0.3, axis=a, method=m) | (3, 4)", a=AXES, m=["linear", "higher"]),
        cases(
            "np.quantile(x, q, axis=0, method=m) | (5, 2)",
            q=[0.35],
            m=[
                "lower",
                "nearest",
                "midpoint",
                "hazen",
                "weibull",
                "median_unbiased",
                "inverted_cdf",
            ],
        ),
        "np.quantile(x, [0.0, 0.25, 1.0]); np.quantile(x, [[0.5, 0.1]], axis=1, keepdims=True) | (3, 4)",
        "np.percentile(x, 30); np.percentile(x, [10, 50], axis=0) | (3, 4)",
        "np.flatnonzero(x > 0); np.argwhere(x > 0); np.where(x > 0); np.nonzero(x) | (2, 3)",
    ],
    "differences": [
        "np.diff(x, prepend=0.0); np.diff(x, append=1.0, axis=0); np.diff(x, 2, 0, prepend=2.0) | (2, 3)",
        "np.diff(x, prepend=y, append=y) | (2, 3), (2, 1)",
        "np.gradient(x); np.gradient(x, 0.5) | (4,); (3, 4)",
        "np.gradient(x, axis=0); np.gradient(x, 0.5, 2.0) | (3, 4)",
        "np.gradient(x, 2.0, axis=(-1, 0)) | (2, 3)",
        "np.trapezoid(x); np.trapezoid(x, dx=0.5, axis=0); np.trapezoid(x, axis=1) | (3, 4)",
        "np.trapezoid(x, y); np.trapezoid(x.T, y, axis=0) | (3, 4), (4,)",
        "np.trapezoid(x, y, axis=0) | (3, 4), (3, 4)",
    ],
    "entries": [
        "np.atleast_1d(x); np.atleast_2d(x); np.atleast_3d(x) | (); (2,); (2, 3)",
        "np.atleast_2d(x, y); np.broadcast_arrays(x, y); np.meshgrid(x, y, indexing='ij') | (2,), ()",
        "np.meshgrid(x, y); np.meshgrid(x, y, sparse=True) | (2,), (3,)",
        "np.diag(x); np.diag(x, -1); np.diag(x, k=1); np.diagflat(x) | (3,); (2, 3)",
        "np.rot90(x); np.rot90(x, 3, (1, 0)); np.flipud(x); np.fliplr(x); np.copy(x) | (2, 3); (2, 3, 2)",
        "np.rollaxis(x, 2); np.rollaxis(x, 0, 2); np.matrix_transpose(x); np.unstack(x) | (2, 3, 2)",
        "np.resize(x, (3, 3)); np.delete(x, 1); np.delete(x, [0, 1], axis=1) | (2, 3)",
        "np.append(x, y); np.append(x, y[:1], axis=0); np.append(1.0, x) | (2, 3), (2, 3)",
        "np.insert(x, 1, y); np.insert(x, [0, 2], y); np.insert(x, 1, 5.0, axis=0) | (2, 3), ()",
        "np.insert(x, 1, y, axis=1) | (2, 3), (2,)",
        "np.choose([[0, 1], [1, 0]], [x, y]) | (2, 2), (2,)",
        "np.select([x > 0, x < -1], [x, y]); np.select([x > 0], [x], 7.0) | (2, 3), (2, 3)",
        "np.block([[x, y], [y, x]]); np.block([x, 2.0 * y]) | (2, 2), (2, 2)",
        "np.column_stack([x, y]); np.dstack([x, y]); np.dstack((x, [1.0, 2.0])) | (2,), (2,)",
        "np.array_split(x, 3); np.array_split(x, 2, axis=1); np.hsplit(x, [1]); np.vsplit(x, 2) | (4, 3)",
        "np.dsplit(x, 2); np.hsplit(x, 3) | (2, 3, 2)",
        "np.hsplit(x, 2) | (4,)",
    ],
    "padding": [
        cases(
            "np.pad(x, w, m) | (3, 4)",
            w=[1, ((0, 2), (1, 0))],
            m=["edge", "reflect", "symmetric", "wrap"],
        ),
    ],
    "products": [
        "np.dot(x, y); np.inner(x, y); np.kron(x, y); np.vdot(x, x) | (2, 3), (3,); (3,), (3,); (), ()",
        "np.dot(x, y) | (2, 3, 2), (2,); (2, 3, 2), (2, 2, 3); (3,), (2, 3, 2)",
        "np.inner(x, y) | (2, 3), (4, 3); (2, 2, 3), (2, 3); (2,), ()",
        "np.kron(x, y) | (2, 3), (2, 1); (2,), (2, 2); (2, 1, 2), (3,)",
        "np.tensordot(x, y); np.tensordot(x, y, 1); np.tensordot(x, y, ([0], [1])) | (3, 3), (3, 3)",
        "np.tensordot(x, y, 0); np.tensordot(x, y, ((-1, 0), (0, -1))) | (2, 3), (3, 2)",
        "np.cross(x, y); np.cross(x.T, y.T, axis=0); np.cross(x, y[0]) | (2, 3), (2, 3)",
        "np.linalg.cross(x, y); np.cross(x, y, axisc=0) | (2, 3), (2, 3)",
        "np.einsum(x, [0, 1], y, [1, 2], [0, 2]); np.einsum(x, [..., 0], y, [0, 1]) | (2, 3), (3, 2)",
        "np.einsum(x, [0, 0]) | (3, 3)",
    ],
    "norms": [
        cases("np.linalg.norm(x, o) | (4,)", o=[None, 1, 2, 3, np.inf, -np.inf]),
        cases("np.linalg.norm(x, o) | apart(4)", o=[0.5, -1]),  # at 0 their slopes are infinite
        cases(
            "np.linalg.norm(x, o); np.linalg.norm(x, ord=o, axis=(0, 1), keepdims=True) | (3, 2)",
            o=[None, "fro", 1, 2, np.inf],
        ),
        cases("np.linalg.norm(x, o, axis=(-1, 0)) | (3, 2, 2)", o=["fro", 1, 2, np.inf]),
        cases("np.linalg.norm(x, 1.5, axis=a, keepdims=True) | (3, 2)", a=[0, -1]),
        "np.linalg.norm(x, 0) | [1.0, 0.0, 2.0]",
    ],
    "matrices": [
        cases("np.linalg.matrix_power(x, n) | (3, 3); (2, 2, 2)", n=[1, 2, 3, 5, -1, -2]),
        "np.linalg.matrix_power(x, 0) | (3, 3); (2, 2, 2)",
        "np.linalg.slogdet(x); np.linalg.matrix_rank(x) | (3, 3); (2, 2, 2)",
        "np.linalg.eigvalsh(x @ x.T); np.linalg.cholesky(x @ x.T + np.eye(3)) | (3, 3)",
        "np.linalg.qr(x); np.linalg.qr(x, 'r') | (3, 3); (4, 2); (2, 4); (2, 3, 2); (2, 2, 3)",
        "np.linalg.svdvals(x); np.linalg.svd(x, compute_uv=False) | (3, 2)",
        "np.abs(np.linalg.eigh(x @ x.T)[1]); np.abs(np.linalg.svd(x)[0]) | (3, 3)",
        "np.linalg.solve(x + 3 * np.eye(2), y) | (2, 2), (2,); (3, 2, 2), (2, 1)",
    ],
}
SAMPLES = [sample for rows in CALLS.values() for sample in flat(rows)]
for sample in SAMPLES:
    sample.settings["c"] = np.array([1, 2, 1, 3])


def parts(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_values_shapes_and_dtypes_are_numpys(sample):
    for dtype, rounding in ((np.float64, 1e-12), (np.float32, 1e-4)):
        arrays = [x.astype(dtype) for x in sample.inputs()]
        found, expected = sample.call(*tensors(arrays, dtype)), sample.call(*arrays)
        assert type(found) is type(expected) or not isinstance(expected, (tuple, list))
        for a, b in zip(parts(found), parts(expected), strict=True):
            assert isinstance(a, Tensor) or a.dtype.kind == "i"
            assert (a.dtype, a.shape) == (np.asarray(b).dtype, np.shape(b))
            np.testing.assert_allclose(data_of(a), b, rtol=rounding, atol=rounding)


WHOLE = [
    "np.median(x); np.median(x, axis=1); np.quantile(x, 0.3, axis=0); np.quantile(x, [0.3, 0.5])",
    "np.percentile(x, 30); np.percentile(x, [10, 50], axis=0, keepdims=True)",
    "np.linalg.norm(x); np.linalg.norm(x, axis=1); np.linalg.norm(x, np.inf, axis=0)",
    "np.linalg.norm(x, 1); np.linalg.norm(x, 0, axis=1); np.linalg.norm(x, 3, axis=0)",
    "np.average(x, weights=x); np.average(x, axis=0, weights=x[:, 0]); np.average(x)",
    "np.cumprod(x[:, 0]); np.cumprod(x, axis=1); np.nancumprod(x[0]); np.cumprod(x > 1)",
    "np.add.accumulate(x); np.multiply.accumulate(x, axis=1); np.maximum.accumulate(x)",
    "np.gradient(x.astype(np.int16), axis=1)",
]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64])
@pytest.mark.parametrize("call", [call for row in WHOLE for call in row.split("; ")])
def test_whole_numbers_give_the_results_of_numpy(call, dtype):
    x = np.array([[100, 120, 1], [0, 127, 126]], dtype)
    found, right = (eval(call, {"np": np, "x": a}) for a in (Tensor(x, name="x"), x))
    assert found.dtype == right.dtype
    np.testing.assert_allclose(data_of(found), right, rtol=1e-15)


def test_results_of_numbers_far_apart_do_not_overflow():
    x = Tensor(np.array([-128, 127], np.int8), name="x")
    assert (np.fabs(x).tolist(), np.gradient(x).tolist()) == ([128, 127], [255, 255])
    assert np.linalg.norm(x, np.inf).item() == 128
    assert [np.median(x).item(), np.quantile(x, 0.8).item()] == [-0.5, 76.0]
    assert np.median(Tensor([True, False], name="x")).item() == 0.5


@pytest.mark.parametrize("function", [np.nanargmax, np.nanmax, np.nansum])
def test_large_whole_numbers_without_nan_keep_their_digits(function):
    x = np.array([2**53, 2**53 + 1])
    assert function(Tensor(x, name="x")).item() == function(x)


INFINITE = """np.median([1, inf, inf]); np.median([-inf, 1])
    np.median([-inf, inf]); np.gradient([1, nan, 3, 5]); np.gradient([-inf, inf, 1])
    np.angle([nan, -1.0]); np.imag([inf]); np.linalg.norm([inf, inf], -1)
    np.linalg.matrix_power([[1, inf], [0, 1]], 1); np.linalg.matrix_power([[1, inf], [0, 1]], 0)"""


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("call", [c.strip() for c in INFINITE.replace("\n", ";").split(";")])
def test_infinite_and_missing_entries(call):
    names = {"np": np, "inf": np.inf, "nan": np.nan}
    data = re.search(r"\[.*\]", call)[0]
    found = eval(call.replace(data, f"Tensor({data}, name='x')"), names | {"Tensor": Tensor})
    np.testing.assert_allclose(data_of(found), eval(call, names), rtol=1e-7)


def test_the_slope_of_arctan2_at_0_and_for_tiny_numbers():
    x, y = (Tensor(np.float32([0, 3e-30, 4]), requires_grad=True) for _ in range(2))
    for g, sign in zip(grad(np.arctan2(x, y).sum(), [x, y]), (1, -1)):
        np.testing.assert_allclose(g.data, sign * np.array([0, 0.5 / 3e-30, 0.125]), rtol=1e-6)


WITHOUT_NAN = """np.nansum(x); np.nanmean(x); np.nanprod(x); np.nanmax(x); np.nanmin(x); np.nanvar(x)
    np.nanvar(x, ddof=1); np.nanstd(x); np.nancumsum(x)[-1]; np.nancumprod(x)[-1]; np.nan_to_num(x)
    np.fmax(x, 2.0); np.where(np.isnan(x), 0, x); np.nanstd(x[None], axis=1, keepdims=True)"""


@pytest.mark.parametrize("call", WITHOUT_NAN.replace("\n", ";").split(";"))
def test_beside_an_entry_of_nan_gradients_are_right(call):
    f = eval(f"lambda x: {call}", {"np": np})
    x, kept = (Tensor(np.array(a), requires_grad=True) for a in ([1, np.nan, 4.0], [1, 4.0]))
    assert gradcheck(f, x)
    assert gradgradcheck(f, x)
    found, right = (grad(np.sum(f(a)), a)[0].tolist() for a in (x, kept))
    assert found == pytest.approx([right[0], 0, right[1]], rel=1e-15)


CONSTANT = "np.around", "np.angle", "np.isreal", "np.linalg.matrix_rank"
CONSTANT += "np.nanargm", "np.argsort", "np.argpartition", "np.searchsorted", "np.linalg.norm(x, 0)"
CONSTANT += "np.flatnonzero", "np.argwhere", "np.where", "np.nonzero"
CONSTANT += "np.imag", "np.corrcoef(x) | (5,)", "np.linalg.matrix_power(x, 0)"


# Other axes than the last move the same rules.
CURVED = [s for s in SAMPLES if s.settings.get("a", -1) == -1]


@pytest.mark.parametrize("sample", [s for s in CURVED if not s.name.startswith(CONSTANT)], ids=str)
def test_gradients_are_right(sample):
    def recorded(*xs):
        return [a for a in parts(sample.call(*xs)) if a.requires_grad]

    assert gradcheck(recorded, tensors(sample.inputs()))


# ------------------------------------------------------------------------ every function, any dtype

NAN, INF = np.nan, np.inf
ENTRIES = {
    "bool": [1, 0, 0, 1, 1, 0, 1, 1, 0],
    "int8": [100, 120, 1, 0, 127, 126, -3, 2, 2],
    "uint8": [200, 120, 1, 0, 255, 126, 3, 2, 2],
    "int64": [2**62, 2**62 + 2**20, 3, 0, 2**62, 5, 7, 1, 1],  # a sum of three wraps around
    "float16": [1, -2, 0.5, NAN, 3, -0.0, 2, 2, 1],
    "float32": [1, INF, 0.5, 0, 3, -0.0, 2, 2, -1],
    "float64": [1, 7, 0.5, NAN, INF, -0.5, 2, 2, 1e100],
}
ARGUMENTS = """x; x, axis=0; x, axis=-1, keepdims=True; x, y; y, x; [x, y]; [x, y], axis=-1
    x, [1, -1]; x, axis=0, ddof=1; x, ddof=3; x, rowvar=False; x, (3, 1, 3); x, np.argsort(y)
    x > 1, x, y; [x > 1], [y]; "ii", x; "i,i", x, y; x, dtype="int16"; x, ord=-1"""
NUMBERS = """x, 1; x, 0.5; x, -1, 0; x, 1, axis=0; x, 0.25, 0; 1, x; x, 2, 0, 1.5
    [1, 0, 2], [x, 0.5, 2]; x, -1; x, prepend=1, n=0"""
CALLS = {  # code: whether the dtype of the result is NumPy's; beside a Tensor a number widens none
    compile(f"f({given.strip()})", given.strip(), "eval"): rows is ARGUMENTS
    for rows in (ARGUMENTS, NUMBERS)
    for given in rows.replace("\n", ";").split(";")
}
LARGE = "tile", "resize", "repeat", "pad", "broadcast_to"  # y would be a size
OPEN = "partition", "argpartition", "empty_like", "cholesky", "eigh", "eigvalsh"  # results differ
FUNCTIONS = {f for f in numpy_functions if not f.__name__.startswith(OPEN)}


def outcome(function, call, arrays):
    """The result as a list; None if it is refused or is no array of numbers."""
    try:
        found = eval(call, {"f": function, "np": np, **arrays})
    except (TypeError, ValueError, IndexError, OverflowError, AttributeError, MemoryError):
        return None
    listed = [a for part in parts(found) for a in parts(part)]
    numbers = [np.asarray(data_of(a)) for a in listed]
    return numbers if all(a.dtype.kind in "biuf" and a.size < 1000 for a in numbers) else None


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("function", sorted(FUNCTIONS, key=str), ids=lambda f: f.__name__)
def test_what_it_accepts_of_any_dtype_has_the_result_of_numpy(function):
    accepted = function.__name__ in ("array_repr", "array_str", "array2string", "result_type")
    for dtype, entries in ENTRIES.items():
        shapes = [(3, 3), (4,)] if dtype != "float32" else [(3, 3), (4,), (), (2, 2, 2)]
        for shape in shapes:
            size = np.prod(shape, dtype=int)
            x, y = (np.array(e[:size]).reshape(shape) for e in (entries, entries[::-1]))
            arrays = {"x": x.astype(dtype), "y": y.astype(dtype)}
            for call, is_typed in CALLS.items():
                if "y" in call.co_names and function.__name__ in LARGE:
                    continue
                right = outcome(function, call, {n: a.copy() for n, a in arrays.items()})
                found = outcome(function, call, {n: Tensor(a, name=n) for n, a in arrays.items()})
                if right is None or found is None:
                    continue
                accepted = True
                what = f"{call.co_filename} of {dtype} {shape}"
                assert [a.shape for a in found] == [b.shape for b in right], what
                if is_typed:
                    assert [a.dtype for a in found] == [b.dtype for b in right], what
                for a, b in zip(found, right):
                    if not np.array_equal(a, b, equal_nan=True):
                        rounding = {"e": 4e-3, "f": 1e-5, "d": 1e-12}.get(b.dtype.char, 0)
                        np.testing.assert_allclose(a, b, rounding, rounding, err_msg=what)
    assert accepted
