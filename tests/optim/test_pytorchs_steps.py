"""Optimizers and schedulers take PyTorch's steps: its numbers are here, so no PyTorch is needed.

python tests/optim/test_pytorchs_steps.py     prints the numbers anew, with PyTorch installed
"""

import copy

import numpy as np
import pytest
from helpers import close, leaf, normal

import minigrad as mg
from minigrad import nn, optim

STEPS = 12
KNOWN = {
    "optim.RMSprop([w, v], lr=0.05)":
        [0.30791186336, -0.666832410109, -0.130941966078, -1.64411681798e-05, 8.9373718453e-05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05],
    "optim.RMSprop([w, v], lr=0.02, alpha=0.8, eps=1e-3, weight_decay=0.1, momentum=0.9)":
        [0.058098703793, -0.756196578454, -0.377011328542, -0.0861881442789, -0.044016242027, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02],
    "optim.Adagrad([w, v], lr=0.3)":
        [0.387156903114, -0.953803378542, -0.0617099909069, 2.31481369056e-40, 0.000157923790191, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3],
    "optim.Adagrad([w, v], lr=0.3, lr_decay=0.1, weight_decay=0.05, eps=1e-3)":
        [0.429971541847, -1.11174749279, -0.0196768889682, 5.8369959535e-05, 9.15373920857e-06, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3],
    "optim.SGD([w, v], lr=0.01, momentum=0.9, dampening=0.3, weight_decay=0.1)":
        [0.310921895209, 1.60413440806, -0.0209122219792, 0.108457589012, -0.0361525296706, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01],
    "optim.SGD([w, v], 0.01, 0.9, 0.0, 0.1, True)":
        [0.223545296255, 1.21086992892, -0.100885323246, 0.035950514761, -0.0119835049203, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01],
    "optim.Adam([w, v], lr=0.1, amsgrad=True)":
        [0.150851562307, -0.929318585025, -0.314162912102, -0.115631520526, -0.0721195477577, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    "optim.Adam([w, v], 0.1, (0.8, 0.9), 1e-4, 0.1, True)":
        [0.253520558819, -0.981319842826, -0.190340037645, 0.0341839485435, 0.00891077984597, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    "optim.AdamW([w, v], lr=0.1, weight_decay=0.2, amsgrad=True)":
        [0.0826756462461, -0.67068028916, -0.303198671906, -0.0922512997284, -0.0631115968765, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    "optim.RMSprop([{'params': [w], 'lr': 0.1}, {'params': [v], 'momentum': 0.5}], lr=0.05)":
        [0.0128605760139, -0.377770627019, -0.417341113967, -0.0433239733283, -0.00492762348006, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    "optim.SGD([w, v], lr=0.01); optim.lr_scheduler.StepLR(optimizer, 5, gamma=0.3)":
        [0.847806135644, -0.900386140926, 0.388035758522, 0.266929268993, -0.0889764229976, 0.01, 0.01, 0.01, 0.01, 0.003, 0.003, 0.003, 0.003, 0.003, 0.0009, 0.0009, 0.0009],
    "optim.SGD([w, v], lr=0.01); optim.lr_scheduler.MultiStepLR(optimizer, milestones=[3, 7, 8], gamma=0.5)":
        [0.8648301521, -0.963421906802, 0.401091952364, 0.269067956464, -0.0896893188214, 0.01, 0.01, 0.005, 0.005, 0.005, 0.005, 0.0025, 0.00125, 0.00125, 0.00125, 0.00125, 0.00125],
    "optim.SGD([w, v], lr=0.01); optim.lr_scheduler.ExponentialLR(optimizer, 0.9)":
        [0.840149627077, -0.881411417979, 0.381977109568, 0.26216121187, -0.0873870706234, 0.009, 0.0081, 0.00729, 0.006561, 0.0059049, 0.00531441, 0.004782969, 0.0043046721, 0.00387420489, 0.003486784401, 0.0031381059609, 0.00282429536481],
    "optim.SGD([w, v], lr=0.01); optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12, eta_min=0.001)":
        [0.841822540751, -0.883188494146, 0.383343236823, 0.263303933174, -0.0877679777248, 0.0098466662183, 0.00939711431703, 0.00868198051534, 0.00775, 0.00666468570296, 0.0055, 0.00433531429704, 0.00325, 0.00231801948466, 0.00160288568297, 0.0011533337817, 0.001],
    "optim.SGD([w, v], lr=0.01); optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))":
        [0.919532254991, -1.22273558519, 0.442154849591, 0.286430490417, -0.0954768301389, 0.005, 0.00333333333333, 0.0025, 0.002, 0.00166666666667, 0.00142857142857, 0.00125, 0.00111111111111, 0.001, 0.000909090909091, 0.000833333333333, 0.000769230769231],
    "optim.SGD([w, v], lr=0.01); optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)":
        [0.803137896404, -0.766002103571, 0.352963898723, 0.251203854461, -0.0837346181537, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025, 0.00125],
    "optim.SGD([w, v], lr=0.01); optim.lr_scheduler.ReduceLROnPlateau(optimizer, 'max', 0.3, 2, cooldown=2, min_lr=1e-3)":
        [0.863655663105, -0.956855016584, 0.400228942056, 0.270579631593, -0.0901932105312, 0.01, 0.01, 0.01, 0.003, 0.003, 0.003, 0.003, 0.003, 0.001, 0.001, 0.001, 0.001],
    "optim.NAdam([w, v], lr=0.05)":
        [0.631817559969, -1.56261239262, 0.144747082385, 0.0184614237381, 0.000456157601329, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05],
    "optim.NAdam([w, v], 0.03, (0.8, 0.95), 1e-4, 0.1, 0.1)":
        [0.721904763389, -1.68983681401, 0.229603807694, 0.0518139506085, -2.49291665715e-05, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03],
    "optim.SGD([w, v], lr=0.001, momentum=0.5, weight_decay=0.1, maximize=True)":
        [1.06751250959, -3.87233785005, 0.547007263607, 0.312206501706, -0.104068833902, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001],
    "optim.Adam([w, v], lr=0.05, weight_decay=0.1, maximize=True)":
        [1.61268754268, -2.61181844171, 1.11169934483, 0.667831316824, -0.455019647425, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05],
    "optim.AdamW([w, v], lr=0.05, maximize=True)":
        [1.60526801203, -2.5980411606, 1.10723571195, 0.726807196425, -0.523628211286, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05],
    "optim.NAdam([w, v], lr=0.01, maximize=True)":
        [1.10330473057, -2.10024240189, 0.603946037945, 0.380903666165, -0.185114634387, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01],
    "optim.RMSprop([w, v], lr=0.001, momentum=0.5, maximize=True)":
        [1.11398822826, -2.10997957996, 0.614827669235, 0.38621496388, -0.191286769404, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001],
    "optim.Adagrad([w, v], lr=0.1, weight_decay=0.05, maximize=True)":
        [1.73944098015, -2.64198662921, 1.25538058539, 0.720849961622, -2.91559436656e-18, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
    "optim.LBFGS([w, v], lr=0.1, max_iter=4)":
        [0.311703149119, -0.24486428161, -0.103966582466, -0.00326594051796, 0.00108864683932, 24.4913, 14.3414168087, 8.53991602493, 4.89512625593, 2.9305327786, 1.71900299459, 0.994639265656, 0.592750599685, 0.349636386862, 0.207373071426, 0.122725876344, 0.0726986449426],
    "optim.LBFGS([w, v], 0.5, 4, history_size=2, tolerance_change=1e-4)":
        [0.102833280716, 0.224140216417, -0.295876287307, -0.00595309109927, 0.00198436369976, 24.4913, 1.99765059716, 0.16977097587, 0.0125956056749, 0.00532633530461, 0.000285338688524, 0.000123524827603, 0.000134926801805, 0.000146328776006, 3.3995122986e-07, 3.9716944159e-05, 7.90939370881e-05],
}  # fmt: skip


def steps(text, optim, tensor):
    """The weights and learning rates after a few epochs of `text`: optimizer; scheduler; values."""
    optimizer_text, _, scheduler_text = text.partition("; ")
    w, v = tensor([1.0, -2.0, 0.5], True), tensor([[0.3, -0.1]], True)
    optimizer = eval(optimizer_text, {"optim": optim, "w": w, "v": v})
    scheduler = eval(scheduler_text or "None", {"optim": optim, "optimizer": optimizer})
    rates = []
    for n in range(STEPS):

        def closure(n=n):
            optimizer.zero_grad()
            loss = ((w - tensor([0.1, 0.2, -0.3], False)) ** 4).sum() + (v * v * (n % 3)).sum()
            loss.backward()
            return loss

        if "LBFGS" in text:
            rates.append(optimizer.step(closure).item())
            continue
        closure()
        optimizer.step()
        if scheduler is not None:
            scheduler.step(*[abs(5 - n)] * ("Plateau" in scheduler_text))
        rates.append(optimizer.param_groups[0]["lr"])
    return [*w.detach().numpy().ravel().tolist(), *v.detach().numpy().ravel().tolist(), *rates]


@pytest.mark.parametrize("text", KNOWN)
def test_steps_and_rates_are_pytorchs(text):
    close(steps(text, optim, lambda a, grad: mg.Tensor(np.array(a), grad)), KNOWN[text], rtol=1e-9)


@pytest.mark.parametrize("text", KNOWN)
def test_the_numbers_are_pytorchs(text):
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)  # of NAdam's product of momenta

    def tensor(a, grad):
        return torch.tensor(a, dtype=torch.float64, requires_grad=grad)

    found = steps(text, torch.optim, tensor)
    torch.set_default_dtype(torch.float32)
    close(found, KNOWN[text], rtol=1e-9)


@pytest.mark.parametrize("text", [text for text in KNOWN if ";" not in text])
def test_a_state_goes_on_where_it_was(text):
    def steps_of(w, optimizer, n):
        def closure():
            optimizer.zero_grad()
            loss = (w**4).sum()
            loss.backward()
            return loss

        for _ in range(n):
            closure()
            optimizer.step(*[closure] * ("LBFGS" in text))

    def made(w):
        return eval(text.replace("[w, v]", "[w]"), {"optim": optim, "w": w, "v": leaf(1.0)})

    w = leaf([1.0, -2.0, 0.5])
    first = made(w)
    steps_of(w, first, 3)
    u = leaf(w.data)
    second = made(u)
    second.load_state_dict(first.state_dict())
    steps_of(w, first, 3)
    steps_of(u, second, 3)
    assert w.tolist() == u.tolist()


RATES = {  # schedulers: the learning rates after each epoch of `rates`
    "ExponentialLR(optimizer, 0.9); StepLR(optimizer, 2, 0.5)":
        [0.09, 0.0405, 0.03645, 0.0225, 0.02025, 0.0091125, 0.09, 0.00820125, 0.081, 0.0036905625, 0.03645, 0.00332150625, 0.032805, 0.0014946778125, 0.01476225],
    "MultiStepLR(optimizer, [6, 2, 2], gamma=0.5); StepLR(optimizer, 3)":
        [0.1, 0.025, 0.0025, 0.05, 0.05, 0.0025, 0.01, 0.0025, 0.01, 0.0025, 0.01, 0.00025, 0.001, 0.00025, 0.001],
    "CosineAnnealingLR(optimizer, T_max=3, eta_min=0.01); ExponentialLR(optimizer, 0.9)":
        [0.06975, 0.026925, 0.009, 0.06525, 0.158175, 0.18681, 0.12834675, 0.044504025, 0.009, 0.02835],
    "CosineAnnealingLR(optimizer, 1)":
        [0, 0.1, 0, 0.15, 0, 0.1, 0, 0.1, 0, 0.1],
    "LambdaLR(optimizer, lambda epoch: min(1, epoch / 4)); ExponentialLR(optimizer, 0.5)":
        [0.0125, 0.025, 0.0375, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05],
    "ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=0.06)":
        [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.1, 0.05, 0.06, 0.05, 0.06, 0.05, 0.06, 0.05, 0.06],
    "ReduceLROnPlateau(optimizer, 'max', patience=1, min_lr=0.5)":
        [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.2, 0.05, 0.2, 0.05, 0.2, 0.05, 0.2, 0.05, 0.2],
}  # fmt: skip


def rates(text, optim, tensor):
    """The learning rates of an optimizer under several schedulers, after each epoch.

    Before epoch 3 the lr is set by hand; before epoch 5 a group is added.
    """
    optimizer = optim.SGD([tensor([1.0], True)], lr=0.1)
    schedulers, found = [], []
    for call in text.split("; "):
        schedulers.append(eval(f"optim.lr_scheduler.{call}"))
    for n in range(10):
        if n == 3:
            optimizer.param_groups[0]["lr"] = 0.05
        if n == 5 and not text.startswith(("Lambda", "Cosine")):  # PyTorch's end with an error
            optimizer.add_param_group({"params": [tensor([1.0], True)], "lr": 0.2})
        for scheduler in schedulers:
            scheduler.step(*[abs(2 - n)] * ("Plateau" in text))
        found += [group["lr"] for group in optimizer.param_groups]
    return found


@pytest.mark.parametrize("text", RATES)
def test_schedulers_act_together_from_the_present_rates(text):
    found = rates(text, optim, lambda a, grad: mg.Tensor(np.array(a), grad))
    close(found, RATES[text], rtol=1e-9)


@pytest.mark.parametrize("text", RATES)
def test_the_rates_are_pytorchs(text):
    torch = pytest.importorskip("torch")
    found = rates(text, torch.optim, lambda a, grad: torch.tensor(a, requires_grad=grad))
    close(found, RATES[text], rtol=1e-9)


INF, NAN = float("inf"), float("nan")
PLATEAUS = [  # mode, values, PyTorch's lr after them
    ("min", [NAN, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.2], 0.1),
    ("max", [NAN, 1.0, 2.0, NAN, 3.0, 4.0, 5.0, 6.0], 0.1),
    ("min", [INF] * 8, 1e-5),
    ("max", [INF] * 8, 1e-4),
    ("min", [-INF] * 8, 1e-4),
    ("min", [NAN] * 8, 1e-5),
    ("min", [-1.0, -1.0, -1.00005, -1.2, -1.2, -1.1], 0.1),  # -1 is better than -1
]


@pytest.mark.parametrize("mode, values, expected", PLATEAUS)
def test_a_value_is_better_as_in_pytorch(mode, values, expected):
    ours = optim.SGD([leaf(1.0)], lr=0.1)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(ours, mode, patience=1)
    for value in values:
        scheduler.step(value)
    close(scheduler.get_last_lr(), [expected])
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, mode, patience=1)
    for value in values:
        scheduler.step(value)
    close(theirs.param_groups[0]["lr"], expected)


def test_a_group_that_came_later_follows_a_function():
    optimizer = optim.SGD([leaf(1.0)], lr=0.1)
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    optimizer.add_param_group({"params": [leaf(2.0)], "lr": 0.3})
    scheduler.step()
    close(scheduler.get_last_lr(), [0.05, 0.15])
    optimizer.add_param_group({"params": [leaf(3.0)], "lr": lambda step: 0.1})
    with pytest.raises(TypeError, match="the lr of the optimizer is a function"):
        scheduler.step()
    close(scheduler.get_last_lr()[:2], [0.05, 0.15])


def test_lbfgs_refuses_what_it_cannot_do():
    w, u = leaf([1.0, 2.0]), leaf([3.0])
    with pytest.raises(TypeError, match="unexpected keyword argument 'line_search_fn'"):
        optim.LBFGS([w], line_search_fn="strong_wolfe")
    with pytest.raises(ValueError, match="LBFGS: tolerance_grad=-1 is out of range"):
        optim.LBFGS([w], tolerance_grad=-1)
    for name in "max_iter", "history_size":
        for value in 0, 1.5:
            with pytest.raises(ValueError, match=f"LBFGS: {name} must be a whole number >= 1"):
                optim.LBFGS([w], **{name: value})
    with pytest.raises(ValueError, match="LBFGS takes one group"):
        optim.LBFGS([{"params": [w]}, {"params": [u]}])
    optimizer = optim.LBFGS([w, u])
    with pytest.raises(TypeError, match="LBFGS.step takes a function that calls backward"):
        optimizer.step()
    with pytest.raises(RuntimeError, match="LBFGS.step: no parameter has a gradient"):
        optimizer.step(lambda: 0.0)
    assert w.tolist() == [1.0, 2.0] and optimizer.steps == 0


def test_lbfgs_solves_a_quadratic_in_a_step():
    """In one call of step; the parameter that the loss ignores stays where it is."""
    half = normal(3, 3)
    matrix, w, idle = half @ half.T + np.eye(3), leaf(np.ones(3)), leaf(5.0)
    optimizer = optim.LBFGS([w, idle], max_iter=200, tolerance_change=0, tolerance_grad=1e-12)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * w @ matrix @ w - w.sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    close(w, np.linalg.solve(matrix, np.ones(3)), rtol=1e-10)
    assert idle.item() == 5


def test_a_scheduler_goes_on_where_it_was():
    def made():
        optimizer = optim.SGD([leaf(1.0)], lr=0.5)
        scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, cooldown=1)
        return scheduler, optimizer

    losses = [3.0, 2.0, 4.0, 5.0, 6.0, 1.0, 1.0]
    (whole, _), (first, trained) = made(), made()
    for loss in losses[:4]:
        whole.step(loss)
        first.step(loss)
    second, resumed = made()
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(trained.state_dict())
    for loss in losses[4:]:
        whole.step(loss)
        second.step(loss)
        assert whole.get_last_lr() == second.get_last_lr()
    with pytest.raises(
        ValueError, match="load_state_dict into Scheduler: .*best: only in the state"
    ):
        optim.lr_scheduler.StepLR(optim.SGD([leaf(1.0)]), 1).load_state_dict(first.state_dict())


@pytest.mark.parametrize("text", RATES)
@pytest.mark.parametrize("pause", [0, 1, 4, 7])
def test_schedulers_go_on_from_a_checkpoint(tmp_path, text, pause):
    def made():
        optimizer = optim.SGD([leaf(1.0)], lr=0.1)
        calls = [f"optim.lr_scheduler.{call}" for call in text.split("; ")]
        return optimizer, [eval(call, {"optim": optim, "optimizer": optimizer}) for call in calls]

    def went_on(optimizer, schedulers, epochs):
        for n in epochs:
            for scheduler in schedulers:
                scheduler.step(*[abs(2 - n)] * ("Plateau" in text))
            yield optimizer.param_groups[0]["lr"]

    whole, first, second = made(), made(), made()
    list(went_on(*first, range(pause)))
    mg.save({"optimizer": first[0], "schedulers": first[1]}, tmp_path / "c")
    state = mg.load(tmp_path / "c")
    second[0].load_state_dict(state["optimizer"])
    for scheduler, kept in zip(second[1], state["schedulers"]):
        scheduler.load_state_dict(kept)
    expected = list(went_on(*whole, range(10)))[pause:]
    assert list(went_on(*second, range(pause, 10))) == expected


@pytest.mark.parametrize("text", RATES)
def test_a_copy_of_an_optimizer_with_its_schedulers_goes_on_alone(text):
    optimizer = optim.SGD([leaf(1.0)], lr=1.0)
    calls = [f"optim.lr_scheduler.{call}" for call in text.split("; ")]
    whole = optimizer, [eval(call, {"optim": optim, "optimizer": optimizer}) for call in calls]
    copies = copy.deepcopy(whole)
    rates = [[], []]
    for (trained, schedulers), found in zip((whole, copies), rates):
        for n in range(10):
            for scheduler in schedulers:
                scheduler.step(*[abs(2 - n)] * ("Plateau" in text))
            found.append(trained.param_groups[0]["lr"])
    assert rates[0] == rates[1] and len({*rates[0]}) > 1


def test_a_function_that_fails_leaves_the_rates_and_the_epoch():
    optimizer = optim.SGD([leaf(1.0)], lr=0.1)
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: [1.0, 0.5][epoch])
    scheduler.step()
    optimizer.add_param_group({"params": [leaf(2.0)]})
    for _ in range(2):
        with pytest.raises(IndexError):
            scheduler.step()
        assert scheduler.state_dict() == {"epoch": 1, "base_lrs": [0.1]}
    assert scheduler.get_last_lr() == [0.05, 0.1]


@pytest.mark.parametrize("name", ["epoch", "bad", "resting"])
@pytest.mark.parametrize("value", [None, -1, 1.5, NAN, True, [], "x"])
def test_a_wrong_count_in_a_state_changes_nothing(name, value):
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optim.SGD([leaf(1.0)], lr=0.5), patience=3)
    scheduler.step(2.0)
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match=f"load_state_dict into ReduceLROnPlateau: .*{name}"):
        scheduler.load_state_dict({**before, "best": 1.0, name: value})
    assert scheduler.state_dict() == before
    assert before == {"epoch": 1, "base_lrs": [0.5], "best": 2.0, "bad": 0, "resting": 0}


def test_schedulers_refuse_what_they_cannot_do():
    scheduled = optim.SGD([leaf(1.0)], lr=lambda step: 0.1 * 0.9**step)
    with pytest.raises(TypeError, match="the lr of the optimizer is a function"):
        optim.lr_scheduler.StepLR(scheduled, 3)
    with pytest.raises(ValueError, match='mode is "min" or "max", not \'least\''):
        optim.lr_scheduler.ReduceLROnPlateau(optim.SGD([leaf(1.0)]), "least")
    for factor in 1, 2.0, -0.1, NAN:
        with pytest.raises(ValueError, match=r"factor must be in \[0, 1\), got"):
            optim.lr_scheduler.ReduceLROnPlateau(optim.SGD([leaf(1.0)]), factor=factor)
    for name, scheduler, least in (
        ("step_size", "StepLR", 1),
        ("T_max", "CosineAnnealingLR", 1),
        ("patience", "ReduceLROnPlateau", 0),
        ("cooldown", "ReduceLROnPlateau", 0),
    ):
        for value in least - 1, 2.5, NAN, None:
            optimizer = optim.SGD([leaf(1.0)], lr=0.1)
            told = f"{scheduler}: {name} must be a whole number >= {least}, got {value}"
            with pytest.raises(ValueError, match=told):
                getattr(optim.lr_scheduler, scheduler)(optimizer, **{name: value})
            assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    "make",
    [
        lambda w: optim.SGD([w], nesterov=True, momentum=0.9, dampening=0.1),
        lambda w: optim.Adam([w], amsgrad=1),
        lambda w: optim.RMSprop([w], alpha=-1),
        lambda w: optim.Adagrad([w], lr_decay=float("nan")),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="out of range|no dampening"):
        make(leaf(1.0))


def test_clip_grad_value():
    w, u, idle = leaf([1.0, 2.0]), leaf([[3.0]]), leaf(0.0)
    (w * [5.0, -0.25]).sum().backward()
    (u * -9.0).sum().backward()
    optim.clip_grad_value_([w, u, idle], 0.5)
    assert (w.grad.tolist(), u.grad.tolist(), idle.grad) == ([0.5, -0.25], [[-0.5]], None)
    with pytest.raises(ValueError, match="clip_grad_value_: the limit must be > 0, got 0"):
        optim.clip_grad_value_(w, 0)
    with pytest.raises(TypeError, match="takes Tensors"):
        optim.clip_grad_value_([1.0], 1)


def test_ema_is_the_running_mean_and_copies_buffers():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    ema, history = optim.EMA(model, decay=0.75), []
    x = normal(5, 2).astype(np.float32)
    for n in range(4):
        model[0].weight.data[...] = n * n + 1
        model(x)
        ema.update()
        history.append(n * n + 1)
    expected = history[0]
    for value in history[1:]:
        expected = 0.75 * expected + 0.25 * value
    close(ema.module[0].weight, np.full((3, 2), expected), rtol=1e-6)
    close(ema.module[1].running_var, model[1].running_var)
    assert ema.module[1].num_batches_tracked == 4 and not any(
        p.requires_grad for p in ema.module.parameters()
    )
    assert ema(x).shape == (5, 3) and model[0].weight.requires_grad


def test_ema_of_a_weight_that_two_layers_share():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    ema = optim.EMA(model, decay=0.5)
    for value in (1.0, 2.0, 4.0):
        model[0].weight.data[...] = value
        ema.update()
    assert ema.module[0].weight is ema.module[1].weight
    close(ema.module[0].weight, np.full((2, 2), 2.75))


def test_ema_refuses_what_is_no_mean():
    model = nn.Linear(2, 2)
    for decay in NAN, "a", -1, 1.5, None:
        with pytest.raises(ValueError, match=r"EMA: decay must be a number in \[0, 1\], got"):
            optim.EMA(model, decay)
    for wrong in 3, None, model.weight, [model]:
        with pytest.raises(TypeError, match="EMA takes a Module, not a "):
            optim.EMA(wrong)
    assert optim.EMA(model, 0).decay == 0 and optim.EMA(model, 1).decay == 1


if __name__ == "__main__":
    import torch

    torch.set_default_dtype(torch.float64)
    for text in [*KNOWN, *RATES]:
        numbers = steps if text in KNOWN else rates
        found = numbers(text, torch.optim, lambda a, grad: torch.tensor(a, requires_grad=grad))
        print(f'    "{text}":\n        {[float(f"{x:.12g}") for x in found]},')
