"""Every optimizer with every pair of its settings takes the steps of a plain loop over numbers.

The loops are PyTorch's algorithms. Where PyTorch is installed, its steps are compared too.
"""

import inspect
import itertools
import math

import numpy as np
import pytest
from helpers import close, leaf

import minigrad as mg
from minigrad import optim

OTHER = {  # a value of each setting that is not its default
    "lr": 0.03,
    "momentum": 0.8,
    "dampening": 0.3,
    "weight_decay": 0.2,
    "nesterov": True,
    "maximize": True,
    "betas": (0.6, 0.7),
    "eps": 0.01,
    "amsgrad": True,
    "momentum_decay": 0.5,
    "alpha": 0.4,
    "lr_decay": 0.3,
}


def sgd(w, g, t, old, lr, momentum, dampening, weight_decay, nesterov):
    g += weight_decay * w
    if not momentum:
        return w - lr * g
    old["v"] = momentum * old["v"] + (1 - dampening) * g if t > 1 else g
    return w - lr * (g + momentum * old["v"] if nesterov else old["v"])


def adam(w, g, t, old, lr, betas, eps, weight_decay, amsgrad, decoupled=False):
    if decoupled:
        w -= lr * weight_decay * w
    else:
        g += weight_decay * w
    old["m"] = betas[0] * old.get("m", 0) + (1 - betas[0]) * g
    old["v"] = betas[1] * old.get("v", 0) + (1 - betas[1]) * g * g
    old["largest"] = max(old.get("largest", 0), old["v"])
    v = old["largest"] if amsgrad else old["v"]
    step = old["m"] / (1 - betas[0] ** t)
    return w - lr * step / (math.sqrt(v / (1 - betas[1] ** t)) + eps)


def nadam(w, g, t, old, lr, betas, eps, weight_decay, momentum_decay):
    g += weight_decay * w
    now, later = (betas[0] * (1 - 0.5 * 0.96 ** (n * momentum_decay)) for n in (t, t + 1))
    old["product"] = old.get("product", 1) * now
    old["m"] = betas[0] * old.get("m", 0) + (1 - betas[0]) * g
    old["v"] = betas[1] * old.get("v", 0) + (1 - betas[1]) * g * g
    root = math.sqrt(old["v"] / (1 - betas[1] ** t)) + eps
    w -= lr * (1 - now) / (1 - old["product"]) * g / root
    return w - lr * later / (1 - old["product"] * later) * old["m"] / root


def rmsprop(w, g, t, old, lr, alpha, eps, weight_decay, momentum):
    g += weight_decay * w
    old["v"] = alpha * old.get("v", 0) + (1 - alpha) * g * g
    old["u"] = momentum * old.get("u", 0) + g / (math.sqrt(old["v"]) + eps)
    return w - lr * old["u"]


def adagrad(w, g, t, old, lr, lr_decay, weight_decay, eps):
    g += weight_decay * w
    old["v"] = old.get("v", 0) + g * g
    return w - lr / (1 + (t - 1) * lr_decay) * g / (math.sqrt(old["v"]) + eps)


LOOPS = {
    optim.SGD: sgd,
    optim.Adam: adam,
    optim.AdamW: lambda *args, **settings: adam(*args, **settings, decoupled=True),
    optim.NAdam: nadam,
    optim.RMSprop: rmsprop,
    optim.Adagrad: adagrad,
}


def pairs(kind):
    """Every pair of settings that are not the defaults, as far as they go together."""
    names = [n for n in inspect.signature(kind).parameters if n != "parameters"]
    for pair in itertools.combinations(names, 2):
        settings = {name: OTHER[name] for name in pair}
        if "nesterov" in pair:  # it needs a momentum and no dampening
            settings = {"momentum": 0.8, **settings, "dampening": 0.0}
        yield kind, settings


def gradients():
    """The gradients of 12 steps for two numbers; some are 0, some are missing."""
    drawn = np.random.default_rng(0).standard_normal((12, 2)).tolist()
    drawn[4][0] = drawn[9][1] = 0.0
    drawn[2][1] = drawn[6][0] = None
    return drawn


def steps(optimizer, numbers, tensor):
    for now in gradients():
        for w, g in zip(numbers, now):
            w.grad = None if g is None else tensor([g])
        optimizer.step()
    return [w.item() for w in numbers]


def reached(kind, settings):
    """The two numbers after the steps of the loop."""
    settings = {**kind(leaf()).defaults, **settings}
    sign = -1 if settings.pop("maximize") else 1
    ends = []
    for i, w in enumerate([1.0, -2.0]):
        old, t = {}, 0
        for now in gradients():
            if now[i] is not None:
                t += 1
                w = LOOPS[kind](w, sign * now[i], t, old, **settings)
        ends.append(w)
    return ends


CASES = [case for kind in LOOPS for case in pairs(kind)]
NAMES = [f"{kind.__name__}({settings})" for kind, settings in CASES]


def test_there_is_a_loop_for_each_update_rule():
    public = [v for v in vars(optim).values() if isinstance(v, type)]
    assert {v for v in public if v.__module__ == optim.SGD.__module__} == LOOPS.keys()


@pytest.mark.parametrize("kind, settings", CASES, ids=NAMES)
def test_a_pair_of_settings_takes_the_steps_of_a_loop(kind, settings):
    numbers = [leaf([1.0]), leaf([-2.0])]
    found = steps(kind(numbers, **settings), numbers, lambda g: mg.Tensor(np.array(g)))
    close(found, reached(kind, settings))


@pytest.mark.parametrize("kind, settings", CASES, ids=NAMES)
def test_the_loops_are_pytorchs(kind, settings):
    torch = pytest.importorskip("torch")
    numbers = [torch.tensor([x], dtype=torch.float64, requires_grad=True) for x in (1.0, -2.0)]
    torch.set_default_dtype(torch.float64)  # of NAdam's product of momenta
    try:
        lr = {"lr": kind(leaf()).defaults["lr"]}
        theirs = getattr(torch.optim, kind.__name__)(numbers, **lr | settings)
        found = steps(theirs, numbers, torch.tensor)
    finally:
        torch.set_default_dtype(torch.float32)
    close(found, reached(kind, settings), rtol=1e-10)
