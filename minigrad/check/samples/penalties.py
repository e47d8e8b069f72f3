"""Samples of ops/penalties.py."""

from .case import cases


def penalty(name, settings, none, draw=""):
    """Rows of a penalty: its coefficients in text, those that make it 0, how inputs are drawn."""
    f, several = f"{name}(*xs, {settings})", f"{draw}(2, 3), apart(3), apart(), {draw}(1, 1, 2)"
    return [
        f"{name}: {f} | {several}; [-0.5, 0.7, -0.9], near[:3], np.array(-0.5), np.array(-0.1)",
        f"{f} | {draw}(2, 3)",
        f"{name}(x.T[::-1], x, {settings}) | {draw}(3, 2)",
        f"{f} | {draw}(3, 1), {draw}(0, 2) | not zero",
        f"{name}(x, {none}) | {draw}(3, 2) | zero",
    ]


samples = [
    penalty("l1_penalty", "c=0.3", "c=0"),
    "l1_penalty(x, c=2) | near",
    penalty("l2_penalty", "c=0.3", "c=0", ""),
    penalty("elastic_net", "l1=0.3, l2=0.2", "l1=0, l2=0"),
    "elastic_net(x, l1=0, l2=0.2); elastic_net(x, l1=2, l2=0.2) | (2, 3)",
    "elastic_net(x, l1=0.3, l2=0) | (2, 3)",
    "elastic_net(x, l1=0.3, l2=0.2) | near",
    penalty("group_l2", "c=0.3", "c=0", ""),
    cases("group_l2(x, c=0.3, axis=k) | (2, 3)", k=[0, 1, -1, (0, 1), (-1, 0)]),
    cases("group_l2(x, c=0.3, axis=k) | (2, 3, 2)", k=[None, 1, (0, 2), (2, 0, 1)]),
    "group_l2(x, c=1); group_l2(x, c=2.5) | (2, 2)",
    "group_l2(x, c=0.3) | apart(3); apart(); apart(1, 1, 2); (3, 0); near; near.reshape(2, 2)",
    "group_l2(x.T[::-1], x, c=2, axis=0) | (3, 2)",
]
