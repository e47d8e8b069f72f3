"""An interrupt leaves nothing behind. `python tests/interrupts.py` does it by real signals."""

import contextlib
import gc
import inspect
import os
import signal
import sys

import interrupts
import numpy as np
import pytest

import minigrad as mg
from minigrad import changes, nn, optim
from minigrad import noise as randomness

pytestmark = pytest.mark.usefixtures("as_before")

STEPS = {  # calls with many moments: every so manieth is tried here, all by the command
    interrupts.save: 5,
}


@pytest.mark.parametrize("call", interrupts.CALLS, ids=lambda call: call.__name__)
def test_nothing_is_left_behind_at_any_moment(call, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    # The finalizer of a ZipFile that was interrupted in its constructor raises an error. To print
    # it, Python 3.11 parses source, and it cannot do so while it parses the header of an array.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    wrong, moments = interrupts.every_moment(call, tmp_path, STEPS.get(call, 1))
    gc.collect()
    assert moments > 5 and wrong == []


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
def test_real_signals_at_random_moments(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = signal.getsignal(signal.SIGALRM)
    try:
        wrong, hits = interrupts.at_random(36)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert wrong == [] and sum(hits.values()) == 36


OPTIMIZERS = {
    "SGD": lambda w: optim.SGD(w, lr=0.1, momentum=0.9),
    "Adam": lambda w: optim.Adam(w, lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_is_interrupted_never_mixes_old_and_new_values(name, monkeypatch):
    critical = dict.fromkeys([inspect.getfile(optim.SGD), inspect.getfile(optim.Optimizer)])
    monkeypatch.setattr(interrupts, "CRITICAL", critical | {inspect.getfile(changes): None})
    refused = 0
    for fatal in range(200):
        w = [mg.Tensor(np.ones(3), True), mg.Tensor(np.full(3, 2.0), True)]
        optimizer = OPTIMIZERS[name](w)
        (w[0] * w[1]).sum().backward()
        before, loss = [x.tolist() for x in w], (w[0] * w[1]).sum()
        moments = interrupts.Moments(fatal)
        with contextlib.suppress(KeyboardInterrupt):
            moments.run(lambda optimizer: optimizer.step(), optimizer)
        if [x.tolist() for x in w] != before:
            refused += 1
            with pytest.raises(RuntimeError, match="was changed in place"):
                loss.backward()
        if not moments.where:
            break
    assert fatal > 50 and refused > 10 and not moments.where


def test_an_interrupt_keeps_no_noise_frozen():
    """Batch norm's statistics move again after a gradient check that was interrupted."""
    norm = nn.BatchNorm1d(3)

    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mg.gradcheck(interrupted, mg.Tensor(np.ones(3), True))
    norm(np.arange(6.0).reshape(2, 3))
    assert norm.num_batches_tracked == 1 and not randomness.frozen.get()
