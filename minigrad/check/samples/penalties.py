"""Samples of ops/penalties.py."""

from .case import cases


def penalty(name, settings, none):
    """Rows of a penalty: its coefficients in text, and the coefficients that make it 0."""
    f = f"{name}(*xs, {settings})"
    return [
        f"{name}: {f} | (2, 3), apart(3), apart(), (2, 1, 1, 2); np.array(-0.5); (3, 1), (0, 2)",
        f"{f} | [1.5, -2.0, 0.0], [-0.5, 0.7, 1.0]",  # of other signs
        f"{name}(x.T[::-1], x, {settings}) | (3, 2)",
        f"{name}(x, {none}) | (3, 2)",
    ]


samples = [
    penalty("elastic_net", "l1=0.3, l2=0.2", "l1=0, l2=0"),
    [penalty(name, "c=0.3", "c=0") for name in ("l1_penalty", "l2_penalty", "group_l2")],
    cases("group_l2(x, c=0.3, axis=k) | (2, 3)", k=[0, 1, -1, (0, 1), (-1, 0)]),
    cases("group_l2(x, c=0.3, axis=k) | (2, 3, 2)", k=[None, 1, (0, 2), (2, 0, 1)]),
    "group_l2(x, c=0.3) | apart(3); apart(); apart(1, 1, 2); (3, 0); near; near.reshape(2, 2)",
]
