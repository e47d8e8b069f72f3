"""Which nodes fold into cards, so that a picture stays small.

A small picture shows each node. In a larger picture, and if you choose a depth, steps that repeat
fold and modules close, the innermost first. A closed module is one card. Cards in a row that do
the same, such as equal blocks or the time steps of a cell, become one card `Block x12`. Steps of
several nodes become one card `Linear, relu x30`. At last the oldest nodes become one card.
"""

import re
from os.path import commonprefix

from .labels import short
from .node import Node, links

MOST_NODES = 400  # in any picture
REPEATS = 3  # the fewest equal steps or leaves that become one card
LONGEST_STEP = 30  # the most nodes in a step of a loop


def collapse(nodes, depth, most):
    """(the Nodes to draw, how many levels of modules are open, or None for all).

    depth   how many levels of modules to open. "auto": as many as give at most `most` nodes.
            None: nothing is folded, except the oldest of more than MOST_NODES
    """
    deepest = max((len(node.calls) for node in nodes), default=0)
    largest = most if depth == "auto" else MOST_NODES
    if depth is None or (depth == "auto" and len(nodes) <= most):
        return _oldest_in_one(nodes, largest), None
    for level in range(deepest, -1, -1) if depth == "auto" else [depth]:
        drawn = _leaves_in_one(_repeats_in_one(_calls_in_one(nodes, level)))
        if len(drawn) <= most:
            break
    return _oldest_in_one(drawn, largest), level if level < deepest else None


def _calls_in_one(nodes, depth):
    """Folds each call of a module at this depth into one card.

    A leaf that is used before the call stays outside, or arrows would form a circle.
    """
    users, calls, cards = _users(nodes), {}, []
    for node in nodes:
        user = users[node][0] if node.is_leaf and users[node] else node
        if len(node.calls) > depth and node.calls[: depth + 1] == user.calls[: depth + 1]:
            calls.setdefault(node.calls[depth], []).append(node)
    for call, inner in calls.items():
        card = _card(inner, call.group.type)
        card.calls, card.prefix, card.owner = card.calls[:depth], call.group.name, call.group
        cards.append(card)
    return _merged(nodes, cards)


def _repeats_in_one(nodes):
    """Folds the steps of a loop: nodes that repeat in the order in which they were computed.

    A card of neighbours in this order makes no circle.
    """
    results = [node for node in nodes if not node.is_leaf]
    does, cards, i = [_signature(node) for node in results], [], 0
    while i < len(results):
        for period in range(1, LONGEST_STEP + 1):
            first, steps = does[i : i + period], 1
            while first == does[i + steps * period : i + (steps + 1) * period]:
                steps += 1
            if steps >= REPEATS:
                cards.append(_card_of_steps(results[i : i + steps * period], steps))
                i += steps * period
                break
        else:
            i += 1
    return _merged(nodes, cards)


def _signature(node):
    """What a node does and where. A root, a named node and a wrong node equal no other node."""
    if node.name or node.is_root or any(check.wrong for check in node.checks):
        return node
    ops = tuple((p.maker.name, p.last.shape) for p in node.parts if not p.is_leaf)
    return node.scope, _pattern(node.prefix), node.owner and node.owner.full, ops


def _pattern(name):
    """Equal for names that only differ in numbers."""
    return re.sub(r"\d+", "#", name)


def _card_of_steps(nodes, steps):
    """A card of the steps of a loop, or of nodes side by side. Its title is the first step."""
    card = _card(nodes, "")
    step = [node.label if card.prefix else node.title for node in nodes[: len(nodes) // steps]]
    beside = "" if any(links(nodes).values()) else " side by side"
    card.words = f"{short(', '.join(step))} x{steps:,}{beside}"
    return card


def _leaves_in_one(nodes):
    """Folds leaves that are alike and that the same nodes use, such as the inputs of time steps."""
    users, alike = _users(nodes), {}
    for node, used_by in users.items():
        if node.is_leaf and used_by:
            shape, label = node.last.shape, _pattern(node.label)
            alike.setdefault((node.kind, shape, label, node.calls, *used_by), []).append(node)
    cards = []
    for leaves in alike.values():
        if len(leaves) >= REPEATS:
            names = span([leaf.label for leaf in leaves])
            cards.append(_card(leaves, f"{names} x{len(leaves):,}"))
    return _merged(nodes, cards)


def _oldest_in_one(nodes, most):
    """Folds the oldest nodes into one card if there are more than `most`."""
    if len(nodes) <= most:
        return nodes
    oldest = sorted(nodes[: len(nodes) - most + 1], key=lambda node: not node.is_leaf)
    words = f"{sum(len(node.parts) for node in oldest):,} older nodes"
    return _merged(nodes, [_card(oldest, words)])


# ---------------------------------------------------------------------------------------- cards


def span(texts):
    """`first to last`."""
    return " to ".join(dict.fromkeys((texts[0], texts[-1])))


def _card(nodes, words):
    """A Node for all of these, in the modules that they have in common."""
    common = commonprefix([[id(call.group) for call in node.calls] for node in nodes])
    tensors = [t for node in nodes for t in node.tensors]
    inside = [part for node in nodes for part in node.parts]
    card = Node(nodes[0].graph, tensors, nodes[0].calls[: len(common)], words=words, inside=inside)
    if len({_pattern(node.prefix) for node in nodes}) == 1:
        card.prefix = span([node.prefix for node in nodes])
    return card


def _merged(nodes, cards):
    """The nodes with the cards in place of their parts. Each node comes after the nodes it uses."""
    into = {part: card for card in cards for part in card.inside}
    return list(dict.fromkeys(into.get(n.parts[0], n) for n in reversed(nodes)))[::-1]


def _users(nodes):
    """{node: the nodes that use it}."""
    users = {node: [] for node in nodes}
    for node, sources in links(nodes).items():
        for source in sources:
            users[source].append(node)
    return users
