"""Modules: parameters with a forward. Names, arguments, layouts and state_dict keys are PyTorch's."""

import os
from copy import copy
from fnmatch import fnmatchcase

import numpy as np

from . import engine
from . import functional as F
from .engine import Tensor, frozen_noise, no_grad, scope, scoped, stream
from .tables import ruled

# ------------------------------------------------------------------------------------ initialisers
# Each is called as init(rng, shape, fan_in, fan_out) -> array.


def zeros(rng, shape, fan_in, fan_out):
    return np.zeros(shape)


def fan_in_uniform(rng, shape, fan_in, fan_out):
    """U(-a, a), a = 1 / sqrt(fan_in): PyTorch's default for Linear."""
    bound = 1 / np.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape)


def glorot_uniform(rng, shape, fan_in, fan_out):
    """U(-a, a), a = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010): Keras's default."""
    bound = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, shape)


def glorot_normal(rng, shape, fan_in, fan_out):
    """N(0, 2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return rng.normal(0, np.sqrt(2 / (fan_in + fan_out)), shape)


def he_uniform(rng, shape, fan_in, fan_out):
    """U(-a, a), a = sqrt(6 / fan_in) (He et al. 2015, arXiv:1502.01852): made for relu."""
    bound = np.sqrt(6 / fan_in)
    return rng.uniform(-bound, bound, shape)


def he_normal(rng, shape, fan_in, fan_out):
    """N(0, 2 / fan_in) (He et al. 2015, arXiv:1502.01852): made for relu."""
    return rng.normal(0, np.sqrt(2 / fan_in), shape)


# --------------------------------------------------------------------------------------- penalties


class Penalty:
    """A penalty with its coefficients, numbers or functions of the step. Called on weights it gives their node of the loss.

    A layer takes one as `penalty=`, for its weight, and as `bias_penalty=` (Keras: kernel_regularizer, bias_regularizer); add
    `model.penalty()` to the loss. `nn.penalty` applies one to a selection of parameters.
    """

    function = None  # of functional.py

    def __init__(self, **settings):
        for name, value in settings.items():
            if name != "axis" and not callable(value) and not 0 <= value < np.inf:
                raise ValueError(f"{type(self).__name__}: the coefficient {name} must be a number >= 0 or a function of the step, got {value}.")
        vars(self).update(settings)

    def __call__(self, *weights, step=None):
        return type(self).function(*weights, **{name: self._at(step, name, value) for name, value in vars(self).items()})

    def _at(self, step, name, value):
        if not callable(value):
            return value
        if step is None:
            raise TypeError(f"{self}: the coefficient {name} is a function of the step. Say which: penalty(step=t).")
        return value(step)

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((type(self), *vars(self).items()))

    def __repr__(self):
        shown = {n: getattr(v, "__name__", v) if callable(v) else f"{v:g}" if n != "axis" else v for n, v in vars(self).items() if v is not None}
        return f"{type(self).__name__}({', '.join(str(v) if n == 'c' else f'{n}={v}' for n, v in shown.items())})"


class L1(Penalty):
    """c * sum |w| (Keras: regularizers.L1(c)). Only a proximal optimizer makes weights exactly 0: `optim.ProximalSGD`."""

    function = F.l1_penalty

    def __init__(self, c):
        super().__init__(c=c)


class L2(Penalty):
    """c * sum w^2 (Keras: regularizers.L2(c)). Under plain SGD and Adam it equals their weight_decay = 2c; not under AdamW."""

    function = F.l2_penalty

    def __init__(self, c):
        super().__init__(c=c)


class ElasticNet(Penalty):
    """l1 * sum |w| + l2 * sum w^2 (Keras: regularizers.L1L2(l1, l2))."""

    function = F.elastic_net

    def __init__(self, l1, l2):
        super().__init__(l1=l1, l2=l2)


class GroupL2(Penalty):
    """c * sum over groups of |w_group|: whole units become 0. `axis`: the axes inside a group, without it all but the first."""

    function = F.group_l2

    def __init__(self, c, axis=None):
        super().__init__(c=c, axis=tuple(axis) if isinstance(axis, (tuple, list)) else axis)


def penalty(model, penalty, where=None, step=None):
    """The node of `penalty`, such as L2(1e-4), over some parameters of a model, to be added to the loss; each parameter once.

    `where` selects: a pattern for the dotted names such as "encoder.*.weight", or a function (name, parameter) -> bool. Without it:
    the weights, that is, all parameters of two or more axes, so no biases. `step` goes to coefficients that are functions of it.
    """
    named = list(model.named_parameters())
    if where is None:
        chosen = [p for _, p in named if p.ndim >= 2]
    elif callable(where):
        chosen = [p for name, p in named if where(name, p)]
    else:
        chosen = [p for name, p in named if fnmatchcase(name, where)]
    if not chosen:
        wanted = "has two axes" if where is None else f"matches {where!r}"
        raise ValueError(f"penalty: no parameter {wanted}. There are: {', '.join(name for name, _ in named) or 'none'}.")
    return penalty(*chosen, step=step)


# ------------------------------------------------------------------------------------------ Module


class Parameter(Tensor):
    """A leaf that a Module trains. With requires_grad=False it is frozen."""

    __slots__ = ()

    def __init__(self, data, requires_grad=True, *, dtype=None, name=None):
        super().__init__(data, requires_grad, dtype=dtype, name=name)


def _members(module):
    """(name, value) of all attributes, those inside lists, tuples and dicts too, as `layers.0`."""

    def inside(name, value):
        if isinstance(value, (list, tuple, dict)):
            for key, member in value.items() if isinstance(value, dict) else enumerate(value):
                yield from inside(f"{name}.{key}", member)
        else:
            yield name, value

    for name, value in vars(module).items():
        yield from inside(name, value)


def _is_parameter(value):
    return isinstance(value, Parameter) or (isinstance(value, Tensor) and value.is_leaf and value.requires_grad)


class Module:
    """A function with parameters: subclass it, put Parameters and Modules in attributes, define `forward`.

    What hangs in lists and dicts counts too. Plain Tensors and arrays in attributes are buffers: saved, not trained.
    """

    training = True

    def __call__(self, *args, **kwargs):
        token = scope.set((scope.get(), self))  # `scoped`, written out: a call less is felt here
        try:
            return self.forward(*args, **kwargs)
        finally:
            scope.reset(token)

    def forward(self, *args):
        raise NotImplementedError(f"{type(self).__name__} has no forward method.")

    # ---- what is inside

    def named_children(self, by_kind=False):
        """(name, module) of each module right inside. `by_kind`: what has only a number is called `Dropout_0`, the first of its kind here."""
        counted = {}  # kind -> {id: number}
        for name, child in _members(self):
            if isinstance(child, Module):
                place, _, last = name.rpartition(".")
                if by_kind and last.isdigit():
                    kind = _join(place, type(child).__name__)
                    numbers = counted.setdefault(kind, {})
                    name = f"{kind}_{numbers.setdefault(id(child), len(numbers))}"
                yield name, child

    def named_modules(self, prefix="", by_kind=False):
        """(dotted name, module) of this module and all inside it, each once."""
        seen, stack = set(), [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                stack.extend([(_join(name, child), m) for child, m in module.named_children(by_kind)][::-1])

    def name_of(self, inner, by_kind=False):
        """The dotted name of a module inside this one."""
        return next((name for name, module in self.named_modules(by_kind=by_kind) if module is inner), "")

    def modules(self):
        return (module for _, module in self.named_modules())

    def named_parameters(self):
        """(dotted name, parameter), each parameter once, however often it is used."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in _members(module):
                if _is_parameter(value) and id(value) not in seen:
                    seen.add(id(value))
                    yield _join(prefix, name), value

    def parameters(self):
        return (parameter for _, parameter in self.named_parameters())

    def zero_grad(self):
        for parameter in self.parameters():
            parameter.grad = None

    def penalty(self, step=None):
        """The sum of the penalties given to layers: one node a penalty, a shared weight in it once. 0.0 without any.

        Every module with a `weight` can have a `weight_penalty`, likewise a `bias`. `step` is for coefficients that depend on it.
        """
        weights = {}  # penalty -> {id: weight}
        for module in self.modules():
            for name in ("weight", "bias"):
                if (penalty := getattr(module, f"{name}_penalty", None)) is not None:
                    weight = getattr(module, name)
                    weights.setdefault(penalty, {})[id(weight)] = weight
        nodes = [penalty(*found.values(), step=step) for penalty, found in weights.items()]
        return sum(nodes[1:], start=nodes[0]) if nodes else 0.0

    # ---- modes

    def train(self, mode=True):
        """Training mode for this module and all inside it: dropout drops."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self):
        """Evaluation mode for this module and all inside it."""
        return self.train(False)

    # ---- saving

    def _state(self):
        """{key: value} of parameters and buffers, under PyTorch's keys."""
        found, stack = {}, [("", self, ())]
        while stack:  # not named_modules: a shared module has a key for each place it stands in
            prefix, module, around = stack.pop()
            for name, value in _members(module):
                if isinstance(value, np.ndarray) or (isinstance(value, Tensor) and value.is_leaf):
                    found[_join(prefix, name)] = value
            around = (*around, id(module))  # a module that refers to one around it ends here
            stack.extend([(_join(prefix, name), m, around) for name, m in module.named_children() if id(m) not in around][::-1])
        return found

    def state_dict(self):
        """{key: array} of all parameters and buffers; the arrays are copies."""
        return {key: np.array(value.data if isinstance(value, Tensor) else value) for key, value in self._state().items()}

    def load_state_dict(self, state_dict, strict=True):
        """Takes over the values. Missing, unexpected (unless strict=False) or misshapen entries: an error, and nothing changes."""
        own = self._state()
        new = {k: np.asarray(v.data if isinstance(v, Tensor) else v) for k, v in state_dict.items()}
        both = [k for k in own if k in new]
        wrong = [f"{k}: shape {new[k].shape}, needed {own[k].shape}" for k in both if new[k].shape != own[k].shape]
        wrong += [f"{k}: dtype {new[k].dtype}, needed {own[k].dtype}" for k in both if not np.can_cast(new[k].dtype, own[k].dtype, "same_kind")]
        missing, unexpected = [k for k in own if k not in new], [k for k in new if k not in own]
        problems = [f"misshapen: {'; '.join(wrong)}"] if wrong else []
        if strict:
            problems += [f"missing: {', '.join(missing)}"] if missing else []
            problems += [f"unexpected: {', '.join(unexpected)}"] if unexpected else []
        if problems:
            raise ValueError(f"load_state_dict into {type(self).__name__}: nothing was changed. " + ". ".join(problems) + ".")
        for key in both:
            (own[key].data if isinstance(own[key], Tensor) else own[key])[...] = new[key]

    # ---- text

    def extra_repr(self):
        """What stands in the brackets of the repr."""
        return ""

    def __repr__(self):
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        extra = self.extra_repr()
        if not children:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}(\n  " + "\n  ".join([extra] * bool(extra) + children) + "\n)"


def _join(prefix, name):
    return f"{prefix}.{name}" if prefix else name


# ------------------------------------------------------------------------------------------ layers


class Sequential(Module):
    """Modules one after the other: Sequential(a, b) with PyTorch's keys 0, 1, or Sequential(first=a, second=b)."""

    def __init__(self, *modules, **named):
        for name, module in [*((str(i), m) for i, m in enumerate(modules)), *named.items()]:
            if not callable(module) or isinstance(module, type):
                what = f"the class {module.__name__}: make one" if isinstance(module, type) else type(module).__name__
                raise TypeError(f"Sequential: {name} must be a module or a function, not {what}.")
            setattr(self, name, module)
        self._order = (*map(str, range(len(modules))), *named)

    def forward(self, x):
        for name in self._order:
            x = vars(self)[name](x)
        return x

    def __len__(self):
        return len(self._order)

    def __getitem__(self, i):
        return Sequential(*list(self)[i]) if isinstance(i, slice) else vars(self)[self._order[i]]

    def __iter__(self):
        return (vars(self)[name] for name in self._order)


class Linear(Module):
    """x @ weight.T + bias: x (..., in_features), weight (out_features, in_features), bias (out_features,).

    `init` and `bias_init` are initialisers of this module; without `rng` they draw from minigrad's own generators.
    `penalty`, such as L2(1e-3), applies to the weight, `bias_penalty` to the bias: add `model.penalty()` to the loss.
    """

    weight_penalty = bias_penalty = None

    def __init__(
        self,
        in_features,
        out_features,
        bias=True,
        *,
        penalty=None,
        bias_penalty=None,
        init=fan_in_uniform,
        bias_init=fan_in_uniform,
        rng=None,
        dtype=None,
    ):
        rng = stream("init") if rng is None else rng
        fans = in_features, out_features
        self.in_features, self.out_features = in_features, out_features
        self.weight_penalty, self.bias_penalty = penalty, bias_penalty
        if bias_penalty is not None and not bias:
            raise ValueError(f"Linear: bias_penalty={bias_penalty}, but there is no bias.")
        self.weight = Parameter(init(rng, (out_features, in_features), *fans), dtype=dtype or engine.default_dtype)
        self.bias = Parameter(bias_init(rng, (out_features,), *fans), dtype=dtype or engine.default_dtype) if bias else None

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self):
        extra = "" if self.bias is not None else ", bias=False"
        extra += f", penalty={self.weight_penalty}" if self.weight_penalty else ""
        extra += f", bias_penalty={self.bias_penalty}" if self.bias_penalty else ""
        return f"in_features={self.in_features}, out_features={self.out_features}{extra}"


class Flatten(Module):
    """(N, ...) to (N, features)."""

    def forward(self, x):
        return x.reshape(x.shape[0], -1)


def _activation(name, function, *settings):
    """The Module of a function of functional.py; its settings become attributes."""

    def init(self, *values, **keywords):
        given = dict(zip((s for s, _ in settings), values)) | keywords
        if len(values) > len(settings) or given.keys() - dict(settings).keys():
            raise TypeError(f"{name} takes {', '.join(s for s, _ in settings) or 'no arguments'}.")
        vars(self).update(dict(settings) | given)

    def forward(self, x):
        return function(x, *[getattr(self, s) for s, _ in settings]) if settings else function(x)

    def extra_repr(self):
        return ", ".join(f"{s}={getattr(self, s)!r}" for s, _ in settings)

    doc = f"functional.{function.__name__} as a module."
    return type(name, (Module,), {"__init__": init, "forward": forward, "extra_repr": extra_repr, "__doc__": doc, "__module__": __name__})


ReLU = _activation("ReLU", F.relu)
Sigmoid = _activation("Sigmoid", F.sigmoid)
Tanh = _activation("Tanh", F.tanh)
Softplus = _activation("Softplus", F.softplus)
SiLU = _activation("SiLU", F.silu)
SELU = _activation("SELU", F.selu)
GELU = _activation("GELU", F.gelu, ("approximate", "none"))
ELU = _activation("ELU", F.elu, ("alpha", 1.0))
LeakyReLU = _activation("LeakyReLU", F.leaky_relu, ("negative_slope", 0.01))
Softmax = _activation("Softmax", F.softmax, ("axis", -1))
LogSoftmax = _activation("LogSoftmax", F.log_softmax, ("axis", -1))


# -------------------------------------------------------------------------------------------- noise


class Stochastic(Module):
    """A function of functional.py that draws noise, as a module: in training, and inside `sampling()`.

    Its noise comes from the stream of this module's name, so that the masks of a layer do not change when others come or go. A layer
    with only a number, as in Sequential(...) or a list, is known by its kind and its count among its kind there: layers of
    other kinds do not matter, but one of the same kind inserted before it takes its number and its noise. Give such layers
    names, Sequential(drop1=...), or name their streams: Dropout(0.5, rng="drop1").
    """

    def __init__(self, **settings):
        F.check_settings(self.function.__name__, **settings)
        vars(self).update(settings)
        self._settings = tuple(settings)

    def forward(self, x):
        return self.function(x, training=self.training, **{name: getattr(self, name) for name in self._settings})

    def extra_repr(self):
        given = {name: getattr(self, name) for name in self._settings}
        plain = {"rng": None, "scaling": "inverted", "share": ()}
        return ", ".join(f"{k}={v:g}" if k in ("p", "std") else f"{k}={v}" for k, v in given.items() if k not in plain or v != plain[k])


class Dropout(Stochastic):
    """In training sets entries to 0 with probability p; the mask is the same along the axes `share`. See `functional.dropout`."""

    function = staticmethod(F.dropout)

    def __init__(self, p=0.5, *, rng=None, scaling="inverted", share=()):
        super().__init__(p=p, rng=rng, scaling=scaling, share=share)


class Dropout1d(Stochastic):
    """Drops whole channels of (N, C, L)."""

    function = staticmethod(F.dropout1d)

    def __init__(self, p=0.5, *, rng=None, scaling="inverted"):
        super().__init__(p=p, rng=rng, scaling=scaling)


class Dropout2d(Stochastic):
    """Drops whole channels of (N, C, H, W)."""

    function = staticmethod(F.dropout2d)

    def __init__(self, p=0.5, *, rng=None, scaling="inverted"):
        super().__init__(p=p, rng=rng, scaling=scaling)


class DropPath(Stochastic):
    """Drops whole samples: the last layer of a residual branch, for stochastic depth."""

    function = staticmethod(F.drop_path)

    def __init__(self, p=0.5, *, rng=None, scaling="inverted"):
        super().__init__(p=p, rng=rng, scaling=scaling)


class AlphaDropout(Stochastic):
    """The dropout for SELU: keeps mean 0 and variance 1."""

    function = staticmethod(F.alpha_dropout)

    def __init__(self, p=0.5, *, rng=None):
        super().__init__(p=p, rng=rng)


class GaussianDropout(Stochastic):
    """Multiplies by N(1, p/(1-p))."""

    function = staticmethod(F.gaussian_dropout)

    def __init__(self, p=0.5, *, rng=None):
        super().__init__(p=p, rng=rng)


class GaussianNoise(Stochastic):
    """Adds N(0, std^2)."""

    function = staticmethod(F.gaussian_noise)

    def __init__(self, std, *, rng=None):
        super().__init__(std=std, rng=rng)


class DropConnect(Stochastic):
    """A module, such as Linear, whose `weight` loses entries in training. Its penalty stays on the whole weight."""

    function = staticmethod(F.drop_connect)

    def __init__(self, module, p=0.5, *, rng=None, scaling="inverted"):
        if not isinstance(getattr(module, "weight", None), Tensor):
            raise TypeError(f"DropConnect takes a module with a weight, such as Linear, not {type(module).__name__}.")
        super().__init__(p=p, rng=rng, scaling=scaling)
        self.module = module

    def forward(self, *args, **kwargs):
        return scoped(self.module, self._without, *args, **kwargs)

    def _without(self, *args, **kwargs):
        noisy = copy(self.module)  # the module itself stays as it is, for whoever calls it meanwhile
        noisy.weight = Stochastic.forward(self, self.module.weight)
        return noisy.forward(*args, **kwargs)


# ----------------------------------------------------------------------------------------- reports


def summary(model, input_shape):
    """A table of the layers: output shape (None stands for the batch), parameters, penalty; `input_shape` without the batch.

    The model runs once on zeros, in evaluation mode; its modes, gradients and noise stay as they are.
    """
    shapes, before = {}, {m: dict(vars(m)) for m in model.modules()}

    def noting(module, forward):
        def call(*args, **kwargs):
            out = forward(*args, **kwargs)
            shapes[module] = (None, *out.shape[1:]) if isinstance(out, Tensor) else type(out).__name__
            return out

        return call

    try:
        model.eval()
        for module in before:
            module.forward = noting(module, module.forward)
        with no_grad(), frozen_noise():
            model(Tensor(np.zeros((1, *np.atleast_1d(input_shape).tolist()), np.float32)))
    finally:
        for module, attributes in before.items():
            vars(module).clear()
            vars(module).update(attributes)
    rows = [("layer", "output shape", "parameters", "penalty")]
    for name, module in model.named_modules():
        inside = {id(p) for _, child in module.named_children() for p in child.parameters()}
        count = sum(p.size for p in module.parameters() if id(p) not in inside)
        if count or not any(True for _ in module.named_children()):
            penalties = [getattr(module, "weight_penalty", None), getattr(module, "bias_penalty", None)]
            penalty = ", ".join(f"{p}{of}" for p, of in zip(penalties, ("", " on the bias")) if p)
            label = f"{name} ({type(module).__name__})" if name else type(module).__name__
            rows.append((label, str(shapes.get(module, "not called")), f"{count:,}", penalty))
    return ruled(rows, right=(2,)) + "\n" + _totals(model)


class Sparsity:
    """How many entries of each parameter are exactly 0, and how many are merely small; printed, a table.

    zeros, small, entries  {name: count}; `small` counts the entries that are not 0 but within `near` of it
    """

    def __init__(self, named, near):
        arrays = {name: p.data for name, p in named}
        self.near = near
        self.entries = {name: a.size for name, a in arrays.items()}
        self.zeros = {name: int(np.sum(a == 0)) for name, a in arrays.items()}
        self.small = {name: int(np.sum((a != 0) & (np.abs(a) < near))) for name, a in arrays.items()}

    def __str__(self):
        zeros, small, entries = (sum(counts.values()) for counts in (self.zeros, self.small, self.entries))
        rows = [("parameter", "entries", "exact zeros", f"below {self.near:g}")]
        rows += [(name, f"{n:,}", _share(self.zeros[name], n), _share(self.small[name], n)) for name, n in self.entries.items()]
        rows.append(("all", f"{entries:,}", _share(zeros, entries), _share(small, entries)))
        hint = " Subgradient steps do not reach 0; use optim.ProximalSGD." if small and not zeros else ""
        return f"{ruled(rows, right=(1, 2, 3))}\n{zeros:,} exact zeros, {small:,} more below {self.near:g}.{hint}"

    __repr__ = __str__


def _share(count, of):
    return f"{count:,} ({count / of:.0%})" if of else "0"


def sparsity(model, near=1e-3):
    """Counts the exact zeros in a model's parameters, or in {name: Tensor}. L1 under SGD or Adam has none: what is small is not 0."""
    return Sparsity(model.items() if isinstance(model, dict) else model.named_parameters(), near)


def _totals(model):
    total = sum(p.size for p in model.parameters())
    trained = sum(p.size for p in model.parameters() if p.requires_grad)
    return f"{total:,} parameters, {trained:,} of them trained"


def save(state_dict, path):
    """Writes a state_dict, or the one of a Module, as .npz (no pickle). The file is replaced whole or not at all."""
    import zipfile  # as np.load does, only when a file is at hand

    if isinstance(state_dict, Module):
        state_dict = state_dict.state_dict()
    temporary = f"{os.fspath(path)}.{os.getpid()}.tmp"
    try:
        with zipfile.ZipFile(temporary, "w") as archive:  # not np.savez, which some keys would confuse
            for key, value in state_dict.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(value.data if isinstance(value, Tensor) else value), allow_pickle=False)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load(path):
    """The state_dict that `save` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}
