"""no_grad: which results it records, and for which thread."""

import threading

import numpy as np
import pytest
from helpers import leaf
from processes import in_thread

import minigrad as mg
from minigrad import functional as F
from minigrad.engine import grad
from minigrad.modes import no_grad

pytestmark = pytest.mark.usefixtures("as_before")


def test_no_grad_records_nothing():
    x = leaf([1.0])
    with no_grad():
        y = np.exp(x) * x
        z = F.softmax(x) @ x
        made = leaf([1.0])
    assert not y.requires_grad
    assert y.args == ()
    assert not z.requires_grad
    assert made.requires_grad
    assert (x * made).requires_grad


def test_no_grad_nests_and_ends_on_an_error():
    x = leaf([1.0])
    with no_grad():
        with no_grad():
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_no_grad_is_a_decorator():
    @no_grad()
    def double(x):
        """Twice x."""
        return x * 2

    x = leaf([1.0])
    for _ in range(2):
        assert not double(x).requires_grad
    assert (x * 2).requires_grad
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice x."


def test_no_grad_holds_in_its_own_thread_only():
    x, inside, done = leaf([1.0]), threading.Event(), threading.Event()

    def other():
        with no_grad():
            inside.set()
            done.wait(10)
            seen.append((x * 2).requires_grad)

    seen = []
    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    here = (x * 2).requires_grad
    done.set()
    thread.join()
    assert here
    assert seen == [False]
    with no_grad():
        assert in_thread(lambda: (x * 2).requires_grad)


def test_backward_under_no_grad_works():
    x = leaf([2.0])
    y = (x * x).sum()
    with no_grad():
        y.backward()
    assert x.grad.tolist() == [4]


@pytest.mark.parametrize(
    "call", [lambda y, x: y.backward(create_graph=True), lambda y, x: grad(y, x, create_graph=True)]
)
def test_create_graph_inside_no_grad_is_refused(call):
    x = leaf(2.0)
    y = x * x
    with (
        mg.no_grad(),
        pytest.raises(
            RuntimeError, match=r"create_graph=True inside no_grad\(\) would record nothing"
        ),
    ):
        call(y, x)
    assert x.grad is None
