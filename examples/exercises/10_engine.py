"""Exercise 10: a bug hunt in an engine.

One line of the small engine below is wrong. The grader differentiates two programs with it, `cube`
and `shared`. Grade the file first. Which program is wrong, and the slope by which input? Read the
diagnosis too. The line that the grader names only calls the engine.

    python -m minigrad.check examples/exercises/10_engine.py

Then print the graph of the wrong program, as minigrad records it. n0 is the oldest node:

    python examples/exercises/10_engine.py

Now read `slopes_of`, find the line, and mend it.

Hint: go back through the graph with paper and pencil, from the newest node to the oldest. Which
arrays does the engine make, and which ones does it only pass on?
"""

from heapq import heappop, heappush
from itertools import count

import numpy as np

import minigrad as mg
from minigrad.check.samples.case import case
from minigrad.registry import op

clock = count()


class Node:
    def __init__(self, data, args=(), rules=()):
        self.data, self.args, self.rules, self.order = data, args, rules, next(clock)

    def __add__(self, other):
        return Node(self.data + other.data, (self, other), (lambda g: g, lambda g: g))

    def __mul__(self, other):
        rules = lambda g: g * other.data, lambda g: g * self.data
        return Node(self.data * other.data, (self, other), rules)


def slopes_of(loss, g):
    """{order of a node: the slope of the loss by it}. g is the slope by the last node."""
    slopes, nodes, heap = {loss.order: g}, {loss.order: loss}, [-loss.order]
    while heap:
        node = nodes[-heappop(heap)]  # the newest: all its slopes have arrived
        for x, rule in zip(node.args, node.rules):
            slope = rule(slopes[node.order])
            if x.order in slopes:
                slopes[x.order] += slope
            else:
                slopes[x.order], nodes[x.order] = slope, x
                heappush(heap, -x.order)
    return slopes


# ---- The programs, and what the grader tries. Leave it as it is.


def cube(x, y):
    product = x * y
    return product * product * product


def shared(x, y):
    square = x * x
    return square * (x + y)


def by_engine(program):
    """The program as one op of minigrad. Its rules ask the engine above."""

    def forward(x, y):
        return program(Node(x), Node(y)).data

    def slopes(g, out, *arrays):
        leaves = [Node(a) for a in arrays]
        found = slopes_of(program(*leaves), g)
        return [found[leaf.order] for leaf in leaves]

    forward.__name__ = program.__name__
    return op(forward, x=lambda *given: slopes(*given)[0], y=lambda *given: slopes(*given)[1])


samples = {p.__name__: [case(by_engine(p), (5,), (5,))] for p in (cube, shared)}

if __name__ == "__main__":
    x, y = (mg.Tensor(np.ones(5), requires_grad=True, name=name) for name in "xy")
    print(mg.to_text(shared(x, y)))
