"""detect_anomaly: what it finds, what it names, and what it leaves alone."""

import inspect
import sys
import threading

import numpy as np
import pytest
from helpers import leaf
from processes import in_thread

import minigrad as mg
from minigrad import functional as F
from minigrad import modes, nn, ops
from minigrad.anomaly import detecting

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def log(x):
    return np.log(x)


def found(function, *args):
    """The error of a function in a block."""
    with pytest.raises(RuntimeError) as caught, mg.detect_anomaly():
        function(*args)
    assert sys.getprofile() is None and not detecting.get() and modes.recording.get()
    return str(caught.value)


def place(function):
    """file:line: text of the last line of a function."""
    lines, first = inspect.getsourcelines(function)
    return f"{__file__}:{first + len(lines) - 1}: {lines[-1].strip()}"


def test_the_forward_where_an_infinity_arises():
    said = f"detect_anomaly: log made -inf at entry (1,). The forward is at {place(log)}"
    assert found(log, leaf([1.0, 0.0])) == said


def test_the_module_is_named():
    class Logs(nn.Module):
        def forward(self, x):
            return log(x)

    model = nn.Sequential(first=nn.Sequential(inner=Logs()))
    said = f"log made nan at entry (0,), in first.inner. The forward is at {place(log)}"
    assert said in found(model, leaf([-1.0]))


def test_a_nan_that_comes_with_the_data():
    said = found(log, leaf([1.0, np.nan]))
    assert "log was given a nan in its argument x. The forward is at" in said
    said = found(lambda: np.sum(leaf([1.0]) * np.array([np.nan])))
    assert "multiply was given a nan in its argument y" in said


def test_an_overflow():
    assert "exp made inf at entry (0,)" in found(np.exp, leaf([1000.0]))
    assert "subtract made nan" in found(lambda x: x - x, leaf([np.inf]))


def test_a_nan_that_only_arises_in_backward_names_the_line_of_the_forward():
    def forward(x):
        return np.sqrt(x) * 0

    for create_graph in False, True:
        said = found(lambda on: forward(leaf([0.0])).sum().backward(create_graph=on), create_graph)
        assert said.startswith("backward, in a rule of sqrt")
        assert (
            f"the cotangent of x is nan at entry (0,). The forward is at {place(forward)}" in said
        )


def test_an_overflow_in_a_rule():
    def forward(x):
        return x / np.array([1e-200])

    said = found(lambda: (forward(leaf([1e-250])) * 1e200).sum().backward())
    assert "the cotangent of x is inf at entry (0,)" in said and place(forward) in said


def test_a_rule_of_many_operands():
    def forward(x):
        return np.concatenate([np.sqrt(x), x])

    said = found(lambda: forward(leaf([0.0])).sum().backward())
    assert "in a rule of sqrt" in said and place(forward) in said


def test_a_cotangent_that_is_given():
    said = found(lambda: (leaf([1.0]) * 2).backward(np.array([np.nan])))
    assert (
        "in a rule of multiply" in said
        and "the cotangent that arrives is nan at entry (0,)" in said
    )


def test_a_forward_outside_the_block():
    y = np.sqrt(leaf([0.0])).sum()
    assert "The forward was outside the block" in found(y.backward)


def test_what_is_no_anomaly():
    x = leaf([-1000.0, 0.0, 1000.0])
    with mg.detect_anomaly():
        for function in ops.sigmoid, ops.softplus, ops.softmax, ops.log_softmax, F.gelu, np.tanh:
            function(x).sum().backward()
        masked = np.where(np.array([True, False, True]), x, -np.inf)
        F.softmax(masked).sum().backward()
        mg.grad(mg.grad(np.tanh(x).sum(), x, create_graph=True)[0].sum(), x)
        np.max(np.where(x.data > 0, x, -np.inf)).backward()
        with mg.no_grad():
            np.log(leaf([0.0]))  # nothing is recorded
        assert np.isnan(np.array([np.nan])).all()


def test_the_results_are_the_same_inside():
    def run():
        mg.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
        (model(np.ones((5, 3), np.float32)) ** 2).mean().backward()
        return [p.grad.tolist() for p in model.parameters()]

    expected = run()
    with mg.detect_anomaly():
        assert run() == expected
    assert mg.detect_anomaly()(run)() == expected


def test_blocks_nest_and_hold_in_their_thread():
    with mg.detect_anomaly():
        with mg.detect_anomaly():
            pass
        assert sys.getprofile() is not None
        assert in_thread(lambda: np.log(leaf([0.0])).item()) == -np.inf
        with pytest.raises(RuntimeError, match="log made -inf"):
            log(leaf([0.0]))
    assert sys.getprofile() is None
    first, second = mg.detect_anomaly(), mg.detect_anomaly()
    first.__enter__(), second.__enter__()
    first.__exit__(), second.__exit__()
    assert sys.getprofile() is None


def test_another_profiler_is_refused_and_goes_on():
    def run():
        profiler = lambda *event: None
        sys.setprofile(profiler)
        try:
            with mg.detect_anomaly():
                return "opened"
        except RuntimeError as error:
            return str(error), sys.getprofile() is profiler
        finally:
            sys.setprofile(None)

    found = []
    thread = threading.Thread(target=lambda: found.append(run()))
    thread.start()
    thread.join()
    assert found == [("detect_anomaly: a profiler runs in this thread. End it first.", True)]


def test_the_lines_of_old_nodes_are_forgotten(monkeypatch):
    monkeypatch.setattr("minigrad.anomaly.MOST", 10)
    with mg.detect_anomaly() as block:
        for _ in range(30):
            log(leaf([1.0]))
        assert len(block.lines) == 10
