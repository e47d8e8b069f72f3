"""Every public name of minigrad.functional is tested, and its arguments follow the conventions."""

import inspect

import numpy as np
import pytest
import test_activations
import test_losses
import test_penalty_functions
import test_same
import test_windows

from minigrad import functional as F
from minigrad.check.samples import noisy


def test_every_public_name_is_tested():
    names = [*test_activations.activations, *test_activations.soft, *test_losses.losses]
    tested = {name.split()[0] for name in names} | {"linear", *test_penalty_functions.penalties}
    tested |= {*noisy, *test_windows.CASES}
    tested |= {"batch_norm", "layer_norm", "group_norm", "instance_norm"}  # in nn/test_norms.py
    tested |= {"embedding", "scaled_dot_product_attention"}  # in nn/test_sequences.py
    texts = test_same.FUNCTIONS + test_same.LOSSES
    tested |= {text.removeprefix("F.").partition("(")[0] for text in texts}
    public = {name for name, value in vars(F).items() if callable(value) and name[0] != "_"}
    missing, gone = public - tested, tested - public
    assert not missing, (
        f"not tested: {missing}. Add a penalty to `penalties` in test_penalty_functions.py, a loss "
        "to `losses` in test_losses.py, an activation to `activations` in test_activations.py, a "
        "function with noise to `noisy` in minigrad/check/samples/dropout.py, any other function "
        "to the names in this test, beside the file that tests it"
    )
    assert not gone, f"tested, but not public: {gone}"


def test_arguments_at_another_place_in_pytorch_are_given_by_name():
    x = np.ones((1, 2, 4, 4))
    for by_place in (lambda: F.instance_norm(x, np.ones(2), np.ones(2)),):
        with pytest.raises(TypeError, match="positional argument"):
            by_place()


def test_the_data_is_x_but_a_loss_compares_input_and_target():
    for name, function in vars(F).items():
        if (
            callable(function)
            and not name.startswith("_")
            and "penalty" not in name
            and name
            not in (
                "elastic_net",
                "group_l2",
                "drop_connect",
                "scaled_dot_product_attention",
                "cosine_similarity",
                "triplet_margin_loss",
            )
        ):
            names = list(inspect.signature(function).parameters)
            assert names[:2] == ["input", "target"] or names[0] == "x" and "input" not in names, (
                name
            )
