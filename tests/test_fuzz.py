"""200 random programs, and bugs that the fuzzer finds. See tests/fuzz."""

import numpy as np
import pytest
from fuzz.checks import finding
from fuzz.grammar import Program, random_program
from fuzz.shrinking import script, shrunk
from planted_bugs import rule, text

from minigrad import engine, errors, graph


@pytest.mark.parametrize("start", range(1000, 1200, 20))
def test_random_programs_compute_what_numpy_computes(start):
    for seed in range(start, start + 20):
        program = random_program(seed, most=20)
        if wrong := finding(program):
            pytest.fail(f"program {seed}\n{script(*shrunk(program, wrong))}", pytrace=False)


def test_a_program_is_the_same_each_time_and_its_script_runs():
    program = random_program(1)
    assert program.text() == random_program(1).text()
    assert 5 <= len(program.steps) <= 40 and "np." in program.text()
    names = {}
    exec(script(program, ("nothing", "is wrong")), names)
    assert np.isfinite(names["loss"].item())


BUGS = {  # name: (bug, the check that finds it)
    "a rule is wrong by 1e-6": (
        rule("tanh", lambda right: lambda g, out, x: right(g, out, x) * (1 + 1e-6)),
        "derivative_is_the_complex_step",
    ),
    "a second use is lost": (
        text(engine.backward_pass, "entry[1:] = entry[1] + cotangent", "entry[1:] = cotangent"),
        "derivative_is_the_complex_step",
    ),
    "replay keeps a mask": (
        text(graph.evaluate, "elif node.args and", "elif any(node.op.rules) and node.args and"),
        "replay_is_a_new_run",
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_it_finds_a_bug_and_shows_it_in_a_few_steps(name):
    bug, check = BUGS[name]
    with bug():
        programs = map(random_program, range(200))
        program, wrong = next((p, f) for p in programs if (f := finding(p)))
        assert wrong[0] == check
        short, wrong = shrunk(program, wrong)
        assert wrong[0] == check and len(short.steps) <= 3
    assert finding(short) is None


def test_what_numpy_refuses_must_be_an_error_that_names_the_function():
    program = Program({"x0": np.zeros((2, 3)), "x1": np.zeros(4)}, [], wrong="x0 + x1")
    assert finding(program) is None
    with text(errors.in_forward, "{op.name}: {error}", "{error}")():
        assert finding(program)[0] == "errors_name_the_function"
