"""The proofs of samples: of a call by its derivatives, of a function that draws noise by its law.

They are methods of the samples in samples/. Each gives a Finding.
"""

import numpy as np

from ..engine import Tensor
from ..graph import nodes
from .expectations import expectation
from .functions import examine, examine_second
from .noise import check_noise
from .proximal import check_prox
from .verdict import FAILING, Finding, worst


def tensors(inputs, dtype=np.float64):
    """Leaves that require gradients."""
    return [Tensor(x, True, dtype=dtype) for x in inputs]


def graph(sample):
    """The nodes that the call of a sample records."""
    return nodes(sample.call(*tensors(sample.inputs())))


def first_derivatives(sample):
    """The Finding on first derivatives, and on the proximal operators of penalties."""
    inputs = tensors(sample.inputs())
    found = [examine(sample.call, inputs)]
    for node in graph(sample):
        if node.args and node.op.kind == "penalty":
            found += check_prox(node)
    is_empty = not any(x.size for x in inputs)  # then a right result proves nothing
    return worst(finding for finding in found if finding.verdict in FAILING or not is_empty)


def second_derivatives(sample):
    """The Finding on second derivatives of sin(call): sin gives them to linear ops too."""
    return examine_second(lambda *xs: np.sin(sample.call(*xs)), tensors(sample.inputs()))


def law_and_moments(noisy):
    """The Finding on the law of the noise, and on the exact mean and variance of the results.

    The expectations of the results and of their squares are compared with the formulas.
    """
    report = check_noise(noisy.call, noisy.large, shared=noisy.shared, mean=noisy.mean)
    if not report:
        return Finding("FAIL", np.inf, report.verdict(), "law of the noise")
    x = Tensor(np.random.default_rng(0).standard_normal(noisy.small), True)
    y, mean = noisy.call(x), noisy.mean(x)
    found = expectation(np.stack([y, y * y]), order=4).value.data
    right = np.stack([mean, mean * mean + noisy.variance(x)]).data
    apart = abs(found - right) / np.max(abs(right))
    wrong = ~(apart <= 1e-12)  # beyond rounding, of a sum over all outcomes; nan is wrong
    i = np.argmax(wrong)  # the first wrong entry
    which = ["mean", "mean square"][i // y.size]
    note = f"the {which} of an entry is {found.flat[i]:.10g}, not {right.flat[i]:.10g}"
    return Finding("FAIL" if np.any(wrong) else "OK", np.max(apart), note, "expectation")
