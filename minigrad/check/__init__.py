"""Gradient checks: derivatives from the rules against derivatives from the forwards alone.

`gradcheck` checks a function, `check_graph` the recorded graph of a loss, and
`python -m minigrad.check` every op. All hold noise fixed, so dropout is checked like anything else,
and work in float64 whatever the dtype of the model. A disagreement counts only beyond what rounding
explains.

Each recorded node is checked alone, its rules against its forward, by the complex step. An argument
x gets the value x + i h v with a tiny h, and the forward runs on it. The imaginary part of the
result, divided by h, is the derivative along v. Nothing is subtracted, so there is no step size to
choose, and no digit is lost. At a kink NumPy's order of complex numbers picks the side that v goes
to: so D(v) and -D(-v) are the exact slopes on both sides, and a valid subgradient lies between
them. An op whose forward takes no complex numbers is passed by a plain difference, and the report
says so. By the chain rule a gradient is right if each rule on the way is, and if backward adds up
what the rules give: it is compared with a plain walk back through the same rules.

Read verdict.py first: how the rules of one node are compared with its forward. numeric.py has the
derivative of a forward, rules.py all that is asked of a node, graphs.py of a graph, functions.py of
a function, and diagnosis.py the likely cause of an error.

OK          the two sides agree
FAIL        they do not; the likely cause follows
KINK        one-sided slopes differ and the analytic value lies between them: a valid subgradient
VACUOUS     both sides are zero at every entry, or too small to tell from rounding; of a leaf: its
            gradient is exactly zero, or a node on the way says nothing
STOCHASTIC  the function changed between two calls, by randomness that minigrad cannot hold fixed
NONFINITE   the function or its derivative is not finite, so there is nothing to compare
AFFECTED    a leaf behind a node whose rule is wrong
"""

from .expectations import Expectation, expectation
from .functions import GradcheckError, gradcheck, gradgradcheck
from .graphs import check_graph
from .noise import check_noise
from .reports import Report, Row

__all__ = ["gradcheck", "gradgradcheck", "check_graph", "check_noise", "expectation"]
__all__ += ["Expectation", "GradcheckError", "Report", "Row"]
