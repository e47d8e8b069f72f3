"""Samples of ops/penalties.py."""

import numpy as np

from .case import apart, case, each, near, normal, zero


def penalty(name, settings, none, draw=apart):
    """Samples of a penalty op: its coefficients in text, and those that make it 0."""
    signs = [-0.5, 0.7, -0.9], near[:3], np.array(-0.5), np.array(-0.1)
    return [
        case(f"{name}({settings}, *xs)", *signs),  # two of one shape, opposite signs, numbers
        case(f"{name}({settings}, x)", draw(2, 3)),
        case(f"{name}({settings}, *xs)", draw(2, 3), apart(3), apart(), draw(1, 1, 2)),
        case(f"{name}({settings}, x.T[::-1], x)", draw(3, 2)),
        case(f"{name}({settings}, x, y)", draw(3, 1), draw(0, 2)),
        zero(f"{name}({none}, x)", draw(3, 2)),
    ]


samples = {
    "l1_penalty": [*penalty("l1_penalty", "0.3", "0.0"), case("l1_penalty(2, x)", near)],
    "l2_penalty": penalty("l2_penalty", "0.3", "0.0", normal),
    "elastic_net": [
        *penalty("elastic_net", "0.3, 0.2", "0.0, 0.0"),
        *each("elastic_net(*c, x)", apart(2, 3), c=[(0.3, 0.0), (0.0, 0.2), (2, 5)]),
        case("elastic_net(0.3, 0.2, x)", near),
    ],
    "group_l2": [
        *penalty("group_l2", "0.3, slice(1, None)", "0.0, slice(1, None)", normal),
        *each("group_l2(0.3, axis, x)", (2, 3), axis=[0, 1, -1, (0, 1), (-1, 0)]),
        *each("group_l2(0.3, axis, x)", (2, 3, 2), axis=[slice(1, None), 1, (0, 2), (2, 0, 1)]),
        *each("group_l2(c, slice(1, None), x)", (2, 2), c=[1, 2.5]),
        *[case("group_l2(0.3, slice(1, None), x)", x) for x in (apart(3), apart(), near)],
        case("group_l2(0.3, slice(1, None), x)", near.reshape(2, 2)),
        case("group_l2(0.3, slice(1, None), x)", apart(1, 1, 2)),
        case("group_l2(2, 0, x.T[::-1], x)", (3, 2)),
        zero("group_l2(0.3, slice(1, None), x)", (3, 0)),
    ],
}
