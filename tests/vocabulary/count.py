"""Counts NumPy's and PyTorch's names that work on Tensors, from the live tables of minigrad.

PYTHONPATH=. python tests/vocabulary/count.py      prints the counts and what is missing
"""

import inspect

import numpy as np

import minigrad as mg
from minigrad import functional, later, nn, optim
from minigrad.array import numpy_functions
from minigrad.engine import Tensor

later.vocabulary()

WANTED = {  # what was asked for, by theme
    "matrices": "linalg.norm linalg.solve linalg.inv linalg.det linalg.slogdet linalg.cholesky "
    "linalg.svd linalg.eigh linalg.pinv linalg.matrix_power linalg.qr",
    "products": "tensordot inner vdot kron cross dot einsum",
    "elementwise": "arctan2 exp2 arcsinh arccosh arctanh cbrt logaddexp2 hypot sinc fabs fmax fmin "
    "deg2rad rad2deg degrees radians nan_to_num real conj angle isreal",
    "reductions": "cumprod diff gradient trapezoid average median quantile percentile nansum nanprod "
    "nanmean nanvar nanstd nanmax nanmin nancumsum nancumprod nanargmax nanargmin ptp cov corrcoef",
    "order": "sort partition argpartition searchsorted argwhere flatnonzero nonzero where",
    "entries": "diag diagflat tril triu atleast_1d atleast_2d atleast_3d column_stack dstack append "
    "insert delete array_split hsplit vsplit dsplit roll rot90 flipud fliplr rollaxis "
    "broadcast_arrays meshgrid block select choose copy reshape pad clip sum",
}
METHODS = [
    "view",
    "permute",
    "unsqueeze",
    "clone",
    "contiguous",
    "expand",
    "t",
    "mT",
    "norm",
    "masked_fill",
    "gather",
    "index_select",
    "topk",
    "sort",
    "argsort",
    "zero_",
    "mul_",
]
MODULE = [
    "zeros",
    "ones",
    "full",
    "arange",
    "linspace",
    "eye",
    "randn",
    "rand",
    "cat",
    "stack",
    "exp",
    "jacobian",
    "hessian",
    "hvp",
    "vjp",
    "jvp",
]
# what: (owner, names); a name with a bracket is an argument: Conv2d(padding_mode
OWNED = {
    "layers": (
        nn,
        """Identity ModuleList ModuleDict ParameterList PReLU RMSNorm GLU LSTMCell GRUCell
        TransformerEncoderLayer AdaptiveMaxPool1d AdaptiveMaxPool2d Upsample(mode MaxPool2d(ceil_mode
        Conv2d(padding_mode MultiheadAttention(kdim MultiheadAttention(vdim""",
    ),
    "activations": (
        nn,
        """CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax
        Mish PReLU ReLU ReLU6 RReLU SELU SiLU Sigmoid Softmax Softmin Softplus Softshrink Softsign
        Tanh Tanhshrink Threshold""",
    ),
    "methods of Module": (
        nn.Module,
        """apply children buffers register_buffer(persistent requires_grad_ register_forward_hook""",
    ),
    "methods of Sequential": (nn.Sequential, "append insert __setitem__"),
    "loss modules": (
        nn,
        """CrossEntropyLoss(weight NLLLoss(weight BCELoss BCEWithLogitsLoss(pos_weight MSELoss L1Loss
        HuberLoss SmoothL1Loss KLDivLoss TripletMarginLoss CosineSimilarity""",
    ),
    "losses": (
        functional,
        """cross_entropy(weight nll_loss(weight binary_cross_entropy binary_cross_entropy_with_logits(pos_weight
        smooth_l1_loss kl_div cosine_similarity normalize triplet_margin_loss""",
    ),
    "optimizers": (
        optim,
        """RMSprop Adagrad LBFGS NAdam Adam(amsgrad SGD(dampening SGD(maximize clip_grad_norm_
        clip_grad_value_ EMA""",
    ),
    "schedulers": (
        optim.lr_scheduler,
        "LambdaLR StepLR MultiStepLR ExponentialLR CosineAnnealingLR ReduceLROnPlateau",
    ),
    "noise on weights": (
        nn,
        "LSTM(weight_dropout GRU(weight_dropout MultiheadAttention(weight_dropout",
    ),
}
ADVISED = [(Tensor, "to"), (Tensor, "cuda"), (functional, "pad"), (mg, "DataLoader")]
ADVISED += [(nn, "functional")]


def known(name):
    """Whether np.name records on Tensors, or reads their positions, shapes and dtypes."""
    module, _, own = name.rpartition(".")
    return getattr(np.linalg if module else np, own) in numpy_functions


def everything():
    """All names of np and np.linalg that NumPy lets other arrays take over."""

    def of(module, prefix):
        names = (n for n in dir(module) if not n.startswith("_"))
        values = {f"{prefix}{n}": getattr(module, n) for n in names}
        return [
            n for n, f in values.items() if hasattr(f, "_implementation") or isinstance(f, np.ufunc)
        ]

    return of(np, "") + of(np.linalg, "linalg.")


def counts():
    """{what: (names that work, all names)}."""
    table = {theme: words.split() for theme, words in WANTED.items()}
    found = {f"NumPy, {theme}": ([n for n in ns if known(n)], ns) for theme, ns in table.items()}
    found["NumPy, all"] = [n for n in everything() if known(n)], everything()
    x = mg.zeros(2, 2)
    found["PyTorch, methods"] = [n for n in METHODS if hasattr(x, n)], METHODS
    found["PyTorch, functions"] = [n for n in MODULE if hasattr(mg, n)], MODULE
    for what, (owner, names) in OWNED.items():
        names = names.split()
        found[f"PyTorch, {what}"] = [n for n in names if has(owner, n)], names
    found["PyTorch, advice"] = [n for o, n in ADVISED if advice(o, n)], [n for _, n in ADVISED]
    return found


def has(owner, name):
    """Whether the owner has a name, or for "name(argument" an argument of this name."""
    name, _, argument = name.partition("(")
    function = getattr(owner, name, None)
    if function is None or not argument:
        return function is not None
    above = function.__mro__ if isinstance(function, type) else [function]
    return any(argument in inspect.signature(f).parameters for f in above)


def advice(owner, name):
    """The text of the error that says what to write for a name that does not exist."""
    try:
        getattr(mg.zeros(2) if owner is Tensor else owner, name)
    except AttributeError as error:
        return str(error).partition(": ")[2]
    return ""


if __name__ == "__main__":
    for what, (names, every) in counts().items():
        missing = " ".join(n for n in every if n not in names)
        print(f"{what:30} {len(names):3} of {len(every):3}  {missing}")
