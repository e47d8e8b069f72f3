"""Samples of ops/penalties.py."""

import numpy as np

from .case import apart, case, each, near, normal, zero


def penalty(name, settings, none, draw=apart):
    """Samples of a penalty: its coefficients in text, and those that make it 0."""
    signs = [-0.5, 0.7, -0.9], near[:3], np.array(-0.5), np.array(-0.1)
    return [
        case(f"{name}(*xs, {settings})", *signs),  # two of one shape, opposite signs, numbers
        case(f"{name}(x, {settings})", draw(2, 3)),
        case(f"{name}(*xs, {settings})", draw(2, 3), apart(3), apart(), draw(1, 1, 2)),
        case(f"{name}(x.T[::-1], x, {settings})", draw(3, 2)),
        case(f"{name}(x, y, {settings})", draw(3, 1), draw(0, 2)),
        zero(f"{name}(x, {none})", draw(3, 2)),
    ]


samples = {
    "l1_penalty": [*penalty("l1_penalty", "c=0.3", "c=0"), case("l1_penalty(x, c=2)", near)],
    "l2_penalty": penalty("l2_penalty", "c=0.3", "c=0", normal),
    "elastic_net": [
        *penalty("elastic_net", "l1=0.3, l2=0.2", "l1=0, l2=0"),
        *each("elastic_net(x, l1=l1, l2=0.2)", apart(2, 3), l1=[0, 2]),
        case("elastic_net(x, l1=0.3, l2=0)", apart(2, 3)),
        case("elastic_net(x, l1=0.3, l2=0.2)", near),
    ],
    "group_l2": [
        *penalty("group_l2", "c=0.3", "c=0", normal),
        *each("group_l2(x, c=0.3, axis=k)", (2, 3), k=[0, 1, -1, (0, 1), (-1, 0)]),
        *each("group_l2(x, c=0.3, axis=k)", (2, 3, 2), k=[None, 1, (0, 2), (2, 0, 1)]),
        *each("group_l2(x, c=k)", (2, 2), k=[1, 2.5]),
        *[case("group_l2(x, c=0.3)", x) for x in (apart(3), apart(), near, apart(1, 1, 2))],
        case("group_l2(x, c=0.3)", near.reshape(2, 2)),
        case("group_l2(x.T[::-1], x, c=2, axis=0)", (3, 2)),
        zero("group_l2(x, c=0.3)", (3, 0)),
    ],
}
