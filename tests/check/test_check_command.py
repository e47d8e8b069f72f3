"""`python -m minigrad.check`: what it proves, what it says, and its exit status."""

import dataclasses
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import python

from minigrad import registry
from minigrad.array import data_of
from minigrad.check import __main__ as command
from minigrad.check.__main__ import main
from minigrad.check.samples import noisy, samples
from minigrad.check.samples.dropout import Noisy
from minigrad.noise import Bernoulli, Noise


@pytest.fixture(autouse=True)
def as_it_was(own_registry, monkeypatch):
    """After a test, the ops, the rules and the folders on the path are as before it."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def prove(capsys):
    """A function: prove("tanh") returns (exit status, the printed text)."""

    def run(*arguments):
        status = main([str(a) for a in arguments])
        return int(status), capsys.readouterr().out

    return run


@pytest.fixture
def file(tmp_path):
    """A function: file(source) writes a Python file of ops and returns its path."""

    def write(source):
        path = tmp_path / "my_ops.py"
        path.write_text(
            "import numpy as np\nfrom minigrad.array import data_of\nfrom minigrad.registry import op\n\n"
            + source
        )
        return path

    return write


def row(printed, name):
    """The columns of an op's line after its name."""
    (line,) = re.findall(rf"^ *\d+/\d+ +{name} (.*)$", printed, re.MULTILINE)
    return line.replace("< 1e-15", "1e-15").split()


# ------------------------------------------------------------------------------------------ the ops


def test_the_ops_that_are_named_are_proved(prove):
    status, printed = prove("add", "tanh")
    assert status == 0
    assert printed.splitlines()[0].split() == [
        "op",
        "cases",
        "first",
        "order",
        "second",
        "order",
        "verdict",
        "seconds",
    ]
    assert [line.split()[1] for line in printed.splitlines()[1:-1]] == ["add", "tanh"]
    for name in ("add", "tanh"):
        cases, first, second, verdict, _ = row(printed, name)
        assert (
            int(cases) == len(samples[name])
            and float(first) < 1e-9
            and float(second) < 1e-9
            and verdict == "OK"
        )
    assert re.match(r"2 of 2 proved, \d+ s", printed.splitlines()[-1])


def test_without_arguments_every_op_is_proved(prove, monkeypatch):
    table = {
        name: samples[name] for name in ("exp", "relu", "stack")
    }  # for the time of the test: all take a while
    monkeypatch.setattr("minigrad.check.__main__.samples", table)
    monkeypatch.setattr(
        "minigrad.check.__main__.noisy", {"gaussian_noise": noisy["gaussian_noise"][:1]}
    )
    status, printed = prove()
    assert status == 0 and "4 of 4 proved" in printed
    assert [row(printed, name)[3] for name in table] == ["OK", "KINK", "OK"]
    cases, pathwise, error, verdict, _ = row(printed, "gaussian_noise")
    assert (cases, verdict) == ("1", "OK") and float(pathwise) <= 1e-15 and float(error) <= 1e-12


def test_a_stochastic_op_whose_noise_breaks_its_law_is_named(prove, monkeypatch):
    right = noisy["gaussian_noise"][0]
    wrong = dataclasses.replace(right, variance=lambda x: 1.2 * right.variance(x))
    monkeypatch.setattr("minigrad.check.__main__.noisy", {"gaussian_noise": [wrong]})
    status, printed = prove("gaussian_noise", "exp")
    assert status == 1
    assert row(printed, "exp")[3] == "OK"
    assert row(printed, "gaussian_noise")[3] == "FAIL"
    assert re.search(r"^      std=0.2: FAIL, expectation\n", printed, re.MULTILINE)
    assert "\n1 of 2 proved" in printed
    assert printed.splitlines()[-1] == "FAILED: gaussian_noise"


def test_as_a_command_it_ends_with_status_0_and_warns_of_nothing():
    done = python("-W", "always", "-m", "minigrad.check", "add", "maximum")  # a zero gradient
    assert done.stderr == b""
    assert b"2 of 2 proved" in done.stdout


@pytest.mark.parametrize(
    "what, message",
    [
        ("tanhh", "tanhh is no op. The ops: absolute, add,"),
        ("no.py", "No such file or directory: 'no.py'"),
    ],
)
def test_ops_and_files_that_do_not_exist_are_named(what, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(["add", what])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "rule, shown",
    [
        (
            lambda g, out, x: 2 * (g - g * out * out),
            r"FAIL, tanh for x \(tests/check/test_check_command.py:\d+\)\n +By x, entry \(., .\): "
            ".* Diagnosis: 2 times the numeric gradient",
        ),
        (lambda g, out, x: -g, r"FAIL, .*\n.*relative difference \S+\n"),
        (lambda g, out, x: 0 * g, r"FAIL, .*\n.* Diagnosis: zero everywhere"),
        (lambda g, out, x: g - g * out * data_of(out), "second derivatives: FAIL, "),
        (
            lambda g, out, x: g[0],
            r"FAIL, tanh for x .*\n.*rule for x: ValueError: the rule of tanh for x returned shape",
        ),
    ],
)
def test_an_op_that_is_broken_is_named_with_its_diagnosis(prove, rule, shown):
    registry.ops["tanh"].rules[0] = rule
    status, printed = prove("tanh", "add")
    assert status == 1
    assert row(printed, "tanh")[3] == "FAIL" and row(printed, "add")[3] == "OK"
    assert re.search(rf"^      np.tanh\(x\) \| \(2, 3\): {shown}", printed, re.MULTILINE)
    assert "1 of 2 proved" in printed and printed.splitlines()[-1] == "FAILED: tanh"


def test_no_second_derivatives_are_run_where_no_first_ones_are_right(prove):
    registry.ops["tanh"].rules[0] = lambda g, out, x: g[0]
    _, printed = prove("tanh")
    assert row(printed, "tanh")[1:4] == ["inf", "-", "FAIL"]


def test_all_failures_are_printed_those_of_first_derivatives_first(prove):
    right = registry.ops["power"].rules[0]

    def wrong(g, out, x, n):  # for odd whole numbers at once, for 2 in the second derivative alone
        if np.ndim(n) == 0 and n in (3, 5):
            return 1.5 * right(g, out, x, n)
        return 2 * g * data_of(x) if np.ndim(n) == 0 and n == 2 else right(g, out, x, n)

    registry.ops["power"].rules[0] = wrong
    status, printed = prove("power")
    shown = re.findall(r"^      (.*?): (second derivatives: )?FAIL, (.*)$", printed, re.MULTILINE)
    assert status == 1
    assert [order for _, order, _ in shown] == [""] * 3 + ["second derivatives: "] * 2
    assert {name for name, _, _ in shown} == {
        *(f"x**{n} | [-1.5, 0.7, 2.0]" for n in (2, 3, 5, 2.0)),
        "x ** np.int8(3) | positive(2, 2)",
    }
    line = f"power for x (tests/check/test_check_command.py:{wrong.__code__.co_firstlineno})"
    assert all(where.startswith(line) for *_, where in shown)  # of second derivatives all rules


def test_the_rule_is_named_by_the_input_whose_gradient_fails(prove):
    right = registry.ops["matmul"].rules[1]
    registry.ops["matmul"].rules[1] = wrong = lambda g, out, x, y: 1.01 * right(g, out, x, y)
    _, printed = prove("matmul")
    line = f"matmul for y (tests/check/test_check_command.py:{wrong.__code__.co_firstlineno})"
    assert f"x @ y | (2, 3), (3,): FAIL, {line}\n" in printed


@pytest.mark.parametrize(
    "broken, victim", [("matmul", "linear"), ("getitem", "exp"), ("sin", "cos"), ("cos", "add")]
)
def test_an_op_that_uses_a_broken_op_is_not_called_broken(prove, broken, victim):
    right = registry.ops[broken].rules[0]
    registry.ops[broken].rules[0] = lambda g, out, *args: 1.01 * right(g, out, *args)
    status, printed = prove(victim)
    assert status == 1
    assert row(printed, victim)[3] == "AFFECTED"
    assert re.search(rf"^      \d+ samples fail with {broken}, whose rule is wrong$", printed, re.M)
    assert printed.splitlines()[-1] == f"FAILED: {broken}"


def test_an_op_is_proved_all_the_same_where_another_one_is_broken(prove):
    right = registry.ops["matmul"].rules[0]
    registry.ops["matmul"].rules[0] = lambda g, out, *args: 1.01 * right(g, out, *args)
    status, printed = prove("matmul", "tanh")
    assert row(printed, "matmul")[3] == "FAIL" and row(printed, "tanh")[3] == "OK"
    assert printed.splitlines()[-1] == "FAILED: matmul"


def test_a_wrong_helper_of_a_forward_is_shown_with_file_and_line(prove, monkeypatch):
    def broken(size, stride, dilation, *rest):
        raise ValueError("shapes of no use")

    monkeypatch.setattr("minigrad.ops.windows.places", broken)
    status, printed = prove("convolve", "tanh")
    line = f"tests/check/test_check_command.py:{broken.__code__.co_firstlineno + 1}, in broken"
    assert status == 1 and row(printed, "tanh")[3] == "OK"
    assert f"FAIL, {line}\n          ValueError: convolve of " in printed
    assert "Traceback" not in printed and "numpy" not in printed


@pytest.mark.parametrize(
    "value, line",
    [
        ("np.reshape(x, 7)", "my_ops.py:7, in cubed"),  # in Python code of NumPy
        ("x * __import__('json').loads('{')", "my_ops.py:7, in cubed"),  # of the standard library
        ("x", "minigrad/ops/windows.py:\\d+, in "),  # none of your lines, but the sample is wrong
    ],
)
def test_an_error_is_shown_at_your_last_line_or_else_in_an_op(prove, file, value, line):
    source = define("cubed", "x", value, x="g")
    if value == "x":
        source = source.replace("unary(cubed)", "'unfold(x, (5,), (1,), (1,)) | (2, 4)'")
    _, printed = prove(file(source))
    assert re.search(rf"FAIL, \S*{line}", printed), printed


def test_a_folder_whose_name_begins_as_that_of_the_package_is_yours():
    file = f"{Path(command.__file__).parents[1]}_more/my_ops.py"
    with pytest.raises(ZeroDivisionError) as raised:
        exec(compile("1 / 0", file, "exec"))
    assert command._line_of(raised.value) == f"{os.path.relpath(file)}:1, in <module>"


def test_an_interrupted_proof_has_said_what_was_proved(monkeypatch, capsys):
    right = command.prove

    def interrupting(name, rows):
        if name == "cosh":
            raise KeyboardInterrupt
        return right(name, rows)

    monkeypatch.setattr(command, "prove", interrupting)
    with pytest.raises(KeyboardInterrupt):
        main(["tanh", "cosh", "sinh"])
    assert row(capsys.readouterr().out, "tanh")[3] == "OK"


# -------------------------------------------------------------------------------- a file of new ops


def define(name, arguments, value, **rules):
    """The source of an op."""
    written = ", ".join(
        f"{argument}=lambda g, out, {arguments}: {rule}" for argument, rule in rules.items()
    )
    table = f"{'binary' if ',' in arguments else 'unary'}({name})"
    return (
        f"@op({written})\ndef {name}({arguments}):\n    return {value}\n\n"
        "from minigrad.check.samples.case import binary, unary\n"
        f"samples = globals().get('samples', {{}}) | {{{name!r}: {table}}}\n\n"
    )


def test_a_right_op_is_proved_on_shapes_that_go_wrong(prove, file):
    one = define("cubed", "x", "x**3", x="3 * g * x * x")
    two = define("weighted", "x, y", "x * x * y", x="2 * g * x * y", y="g * x * x")
    status, printed = prove(file(one + two))
    assert status == 0
    assert row(printed, "cubed")[3] == row(printed, "weighted")[3] == "OK"
    assert int(row(printed, "cubed")[0]) >= 7 and int(row(printed, "weighted")[0]) >= 15
    assert "2 of 2 proved" in printed


@pytest.mark.parametrize(
    "source, shown",
    [
        (
            define("cubed", "x", "x**3", x="3.3 * g * x * x"),
            r"FAIL, .*my_ops.py:5\)\n.* Diagnosis: 1.1 times the numeric",
        ),
        (define("cubed", "x", "x**3", x="3 * g * x * data_of(x)"), "second derivatives: FAIL, "),
        (
            define(
                "cubed", "x, y", "x**3 * y", x="3 * g * x * x * y", y="np.sum(g * x**3, axis=0)"
            ),
            "FAIL",
        ),
        (
            define("cubed", "x", "x**3 + np.random.random()", x="3 * g * x * x"),
            r"STOCHASTIC\n.* cubed: Its forward draws by itself",
        ),
        (
            define("cubed", "x", "x.fly()", x="g"),
            r"FAIL, .*my_ops.py:7, in cubed\n +TypeError: cubed of .* 'fly'",
        ),
        (
            define("cubed", "x", "x**3", x="g.fly()"),
            r"FAIL, cubed for x \(.*my_ops.py:5\)\n.*The rule for x: "
            "AttributeError: .*has no attribute 'fly'",
        ),
        (
            define("cubed", "x", "np.log(x)", x="g / x"),
            r"NONFINITE\n +output 0 is not finite",
        ),
        (
            define("cubed", "x", "np.sign(x)", x="0 * g"),
            r"VACUOUS\n +the gradients are 0 at every entry",
        ),
    ],
)
def test_a_wrong_op_is_shown_with_what_is_wrong_and_the_table_goes_on(prove, file, source, shown):
    saved = np.random.get_state()
    status, printed = prove(file(source), "tanh")
    np.random.set_state(saved)
    assert status == 1
    assert row(printed, "tanh")[3] == "OK"
    assert re.search(rf"^      cubed\(.*: {shown}", printed, re.MULTILINE), printed
    assert printed.splitlines()[-1] == "FAILED: cubed"


PARAMETER = """
@op(x=lambda g, out, x, n, c: c * n * g * x ** (n - 1))
def scaled_power(x, n, c):
    return c * x**n
"""
TABLE = """
from minigrad.check.samples.case import case, unary

samples = {
    "scaled_power": [
        *unary(lambda x: scaled_power(x, 3, 0.5)),
        case(lambda x: scaled_power(x, 2.5, 2.0), "within(0.5, 1.5)(2, 3)"),
        case(scaled_power, (4,), n=1, c=-1.0),
    ]
}
"""


def test_an_op_needs_samples_and_the_command_shows_how(prove, file):
    status, printed = prove(file(PARAMETER))
    assert status == 1
    assert "NO SAMPLES: give the file a table" in printed
    assert 'samples = {"scaled_power": unary(scaled_power)}' in printed
    assert row(printed, "scaled_power")[0] == "0" and row(printed, "scaled_power")[3] == "VACUOUS"
    assert printed.splitlines()[-1] == "FAILED: scaled_power"


def test_the_samples_of_the_file_are_used(prove, file):
    status, printed = prove(file(PARAMETER + TABLE))
    assert status == 0
    assert row(printed, "scaled_power")[0] == "9" and row(printed, "scaled_power")[3] == "OK"
    status, printed = prove(
        file(
            PARAMETER.replace("c * n * g", "n * g").replace("scaled_power", "other_power")
            + TABLE.replace("scaled_power", "other_power")
        )
    )
    assert status == 1
    assert (
        "Diagnosis: 2 times the numeric gradient" in printed
        and printed.splitlines()[-1] == "FAILED: other_power"
    )


def test_a_file_may_import_its_neighbours(prove, file, tmp_path):
    (tmp_path / "shared_rules_of_the_test.py").write_text(
        "def rule(g, out, x):\n    return 3 * g * x * x\n"
    )
    status, printed = prove(
        file(
            "from minigrad.check.samples.case import unary\n"
            "from shared_rules_of_the_test import rule\n\n\n@op(x=rule)\ndef cubed(x):\n    return x**3\n"
            "samples = {'cubed': [unary(cubed)]}\n"
        )
    )
    assert status == 0 and row(printed, "cubed")[3] == "OK"


LAW = """
from minigrad.check.samples.dropout import Noisy
from minigrad.noise import Law, Noise


class Uniform(Law):
    def draw(self, rng, shape, dtype):
        return rng.uniform(0.5, 1.5, shape)

    def cdf(self, x):
        return np.clip(x - 0.5, 0, 1)

    def outcomes(self, order):
        nodes, weights = np.polynomial.legendre.leggauss(order)
        return 1 + nodes / 2, weights / 2


def uniform_noise(x, training):
    return x * Noise(Uniform(), x.shape, x.dtype) if training else x


noisy = {"uniform_noise": [Noisy("0.5 to 1.5", uniform_noise, lambda x: x * x / 12, small=(4,))]}
"""


@pytest.mark.parametrize(
    "right, wrong, told",
    [
        ("", "", ""),
        ("uniform(0.5, 1.5", "uniform(0.5, 1.0", r"law of .*FAILED: .*0\.7[45]\d?, of its law 1;"),
        ("x * x / 12", "x * x / 6", "expectation\n"),
        ("training else x", "training else 2 * x", "law of .*FAILED: the mean is 0.5 times"),
    ],
)
def test_a_law_of_ones_own_is_proved_with_its_function(prove, file, right, wrong, told):
    status, printed = prove(file(LAW.replace(right, wrong) if right else LAW))
    assert row(printed, "uniform_noise")[3] == ("FAIL" if right else "OK")
    assert re.search(f"^      0.5 to 1.5: FAIL, {told}", printed, re.M | re.S) or not told, printed
    assert status == bool(right)


def test_a_result_that_is_nan_in_a_rare_outcome_is_wrong():
    @registry.op(kind="random", mask=None, x=lambda g, out, x, mask: g * mask / 0.7)
    def dropped(x, mask):
        return x * mask / 0.7 if np.any(mask) else np.nan * x

    def noisy(x, training):
        return dropped(x, Noise(Bernoulli(0.7), x.shape, bool)) if training else x

    rare = Noisy("nan if all are dropped", noisy, lambda x: 0.3 / 0.7 * x * x, small=(4,))
    found = command.prove("dropped", [rare])
    assert found.verdict == "FAIL" and "the mean of an entry is nan" in found.wrong["dropped"][0]


def test_a_file_without_ops_is_an_error(file, capsys):
    with pytest.raises(SystemExit) as error:
        main([str(file("x = 1\n"))])
    assert error.value.code == 2
    assert "has no op and no table `samples` or `noisy`" in capsys.readouterr().err


UNTRIED = """
import numpy as np
from minigrad.check.samples.case import case, unary
from minigrad.registry import op

@op(x=lambda g, out, x, y: 7 * g, y=lambda g, out, x, y: g)
def joined(x, y):
    return x + y

samples = {"joined": [CALL]}
"""


@pytest.mark.parametrize(
    "call, idle",
    [
        ("unary(np.sin)", "x, y"),  # another op
        ("case(lambda y: joined(np.ones(3), y) + y, (3,))", "x"),  # a constant
        ("case(lambda y: joined((y > 0).astype(float), y), (3,))", "x"),  # no gradient flows there
    ],
)
def test_an_op_with_a_rule_that_no_sample_needs_is_vacuous(prove, file, call, idle):
    status, printed = prove(file(UNTRIED.replace("CALL", call)))
    assert status == 1 and row(printed, "joined")[3] == "VACUOUS"
    assert f"joined: no sample needs the rule for {idle}\n" in printed
