"""np.errstate(all="raise"): the error of NumPy names the op."""

import numpy as np
import pytest
from helpers import leaf

import minigrad as mg
from minigrad.engine import Tensor, record


def test_an_error_names_the_op():
    with np.errstate(all="raise"):
        with pytest.raises(FloatingPointError, match=r"^exp of \(1,\): overflow"):
            np.exp(leaf([1000.0]))
        with pytest.raises(FloatingPointError, match=r"^log of \(2,\): divide by zero"):
            np.log(Tensor([0.0, 1.0]))
        for create_graph in False, True:
            x = leaf([0.0])
            with pytest.raises(FloatingPointError, match="^backward, in a rule of sqrt, "):
                mg.grad(np.sqrt(x), x, np.ones(1), create_graph=create_graph)
        with pytest.raises(FloatingPointError, match=r"^log of \(1,\): divide by zero"):
            record(np.log(leaf([1.0])).op, (leaf([0.0]),))
