"""Gradient checks: derivatives from the rules against derivatives from the forwards alone.

`gradcheck` checks a function, `check_graph` the recorded graph of a loss, and
`python -m minigrad.check` every op. All hold noise fixed, so dropout is checked like any other op.
They work in float64, whatever the dtype of the model. A difference counts only if it is larger than
rounding explains.

Each recorded node is checked alone: its rules against the derivative of its forward. The complex
step (see numeric.py) gives this derivative, exact up to rounding. At a kink it gives the slopes on
both sides, and a valid subgradient lies between them. If a forward takes no complex numbers, a
plain difference takes the place of the complex step, and the report says so.

By the chain rule a gradient is right if each rule on the way is right, and if backward adds up the
cotangents correctly. So backward is compared with a plain walk back through the same rules.

Read verdict.py first: it compares the rules of one node with its forward. numeric.py computes the
derivative of a forward. rules.py has all checks of a node, graphs.py of a graph, functions.py of a
function. diagnosis.py names the likely cause of an error. proofs.py has the proofs of a sample,
which the command runs.

OK          the two sides agree
FAIL        they do not; the likely cause follows
KINK        one-sided slopes differ and the analytic value lies between them: a valid subgradient
VACUOUS     a node: both sides are zero at every entry, or too small to tell from rounding
            a leaf: its gradient is zero, or a node on the way is too small to tell from rounding
STOCHASTIC  the function changed between two calls, by randomness that minigrad cannot hold fixed
NONFINITE   the function or its derivative is not finite, so there is nothing to compare
AFFECTED    a leaf: a node between this leaf and the loss failed
"""

from .expectations import Expectation, expectation
from .functions import GradcheckError, gradcheck, gradgradcheck
from .graphs import check_graph
from .noise import check_noise
from .reports import Report, Row

__all__ = ["gradcheck", "gradgradcheck", "check_graph", "check_noise", "expectation"]
__all__ += ["Expectation", "GradcheckError", "Report", "Row"]
