"""Gradient checks: derivatives from the rules against derivatives from the forwards alone.

`gradcheck` checks a function, `check_graph` the recorded graph of a loss, and
`python -m minigrad.check` every op. All hold noise fixed, so dropout is checked like anything else,
and work in float64 whatever the dtype of the model. A disagreement counts only beyond what rounding
explains.

The forwards alone give the numeric side, by the complex step. A leaf x gets the value x + i h v
with a tiny h, and the recorded graph runs on it. The imaginary part of each result, divided by h,
is its derivative along v. Nothing is subtracted, so there is no step size to choose, and no digit
is lost. At a kink NumPy's order of complex numbers picks the side that v goes to: so D(v) and
-D(-v) are the exact slopes on both sides, and a valid subgradient lies between them. An op whose
forward takes no complex numbers is passed by a plain difference of that op alone, and the report
says so.

What is asked of a function is in functions.py, of a graph in graphs.py, of a node in rules.py. What
is compared is in part.py, the numeric side in numeric.py, what rounding may do in rounding.py, what
follows in verdict.py, and the likely cause in diagnosis.py.

OK          the two sides agree
FAIL        they do not; the likely cause follows
KINK        one-sided slopes differ and the analytic value lies between them: a valid subgradient
VACUOUS     both sides are zero at every entry, or too small to tell from rounding
STOCHASTIC  the function changed between two calls, by randomness that minigrad cannot hold fixed
NONFINITE   the function or its derivative is not finite, so there is nothing to compare
AFFECTED    a leaf whose gradient is wrong because a rule on the way is
"""

from .expectations import Expectation, expectation
from .functions import GradcheckError, gradcheck, gradgradcheck
from .graphs import check_graph
from .noise import check_noise
from .reports import Report, Row

__all__ = ["gradcheck", "gradgradcheck", "check_graph", "check_noise", "expectation"]
__all__ += ["Expectation", "GradcheckError", "Report", "Row"]
