"""Which nodes fold into cards, so that a picture stays small.

A module that is not opened is one card for each of its calls. Cards of one scope that do the same,
such as equal blocks or the time steps of a cell, are one card `Block x12`. If the picture is still
too large, single ops of one scope that do the same are one card, too. If cards used each other, the
picture would run in a circle: these become one card, `Linear, relu x30`.
"""

import re
from collections import Counter
from os.path import commonprefix

import numpy as np

from .labels import LONGEST, span
from .node import Node

MOST_NODES = 400  # that are drawn, whatever is asked for
TALL, ABREAST = 30, 8  # nodes on a path, and side by side, before modules are folded instead
REPEATS = 3  # nodes that do the same, at least, to be one card
LONGEST_STEP = 12  # kinds of nodes in a step of a loop
CROWD = 16  # leaves that are alike are one card if there are more than that


def collapse(nodes, depth, most):
    """(the Nodes to draw, how deep modules are opened, or None for all of them).

    depth   levels of modules to open; "auto": the deepest with at most `most` nodes; None: nothing
            is folded, except the oldest of more than MOST_NODES
    """
    deepest = max((len(node.calls) for node in nodes), default=0)
    if depth is None:
        return _oldest_in_one(nodes, MOST_NODES), None
    for level in range(deepest, -1, -1) if depth == "auto" else [depth]:
        drawn = _repeats_in_one(_calls_in_one(nodes, level), cards_only=True)
        if len(drawn) > most or not _is_compact(drawn):
            drawn = _repeats_in_one(drawn, cards_only=False)
        drawn = _leaves_in_one(drawn)
        if len(drawn) <= most and _is_compact(drawn):
            break
    drawn = _oldest_in_one(drawn, most if depth == "auto" else MOST_NODES)
    return drawn, level if level < deepest else None


def _sources(nodes):
    """{node: the nodes it uses}."""
    where = {part.key: node for node in nodes for part in node.parts}
    uses = {node: dict.fromkeys(where[use.source] for use in node.uses) for node in nodes}
    return {node: [x for x in used if x is not node] for node, used in uses.items()}


def _is_compact(nodes):
    """Whether no path is too long, and not too many nodes stand side by side."""
    rank = {}
    for node, sources in _sources(nodes).items():
        if not node.is_leaf:
            rank[node] = 1 + max((rank.get(source, 0) for source in sources), default=0)
    abreast = Counter(rank.values())
    return len(abreast) <= TALL and max(abreast.values(), default=0) <= ABREAST


def _calls_in_one(nodes, depth):
    """The nodes, with each call of a module at this depth in one card."""
    calls, cards = {}, []
    for node in nodes:
        if len(node.calls) > depth:
            calls.setdefault(node.calls[depth], []).append(node)
    for call, inner in calls.items():
        card = _card(inner, call.group.type)
        card.calls, card.prefix, card.owner = card.calls[:depth], call.group.name, call.group
        cards.append(card)
    return _merged(nodes, cards)


def _repeats_in_one(nodes, cards_only):
    """The nodes, with those in one card that do the same, and those that would run in a circle.

    `cards_only`: only what cards repeat, and what would run in a circle with them.
    """
    does, sources = _signatures(nodes), _sources(nodes)
    repeated = {what for what, n in Counter(does.values()).items() if n >= REPEATS}
    joined = repeated & {does[node] for node in does if node.inside or not cards_only}
    while True:
        whole = {node: does[node] if does.get(node) in joined else node for node in nodes}
        uses, members = {}, {}
        for node in nodes:
            uses.setdefault(whole[node], {}).update((whole[x], None) for x in sources[node])
            members.setdefault(whole[node], []).append(node)
        circles = [[node for x in circle for node in members[x]] for circle in _circles(uses)]
        circles = [circle for circle in circles if len(circle) > 1]
        entangled = repeated & {does.get(node) for circle in circles for node in circle}
        if entangled <= joined:
            break
        joined |= entangled
    place, cards = {node: i for i, node in enumerate(nodes)}, []
    for circle in circles:
        counts = Counter(does.get(node) for node in circle)
        steps = min(counts.values())
        even = all(n % steps <= 1 for n in counts.values())  # a loop may be entered midway
        if None not in counts and steps >= REPEATS and even and len(counts) <= LONGEST_STEP:
            cards.append(_card_of_steps(sorted(circle, key=place.get), steps))
    return _merged(nodes, cards)


def _signatures(nodes):
    """{node: what it does and where}. Without leaves, roots, and what has a name or is wrong.

    Such a node also parts those before it from those after it.
    """
    found, parted = {}, 0
    for node in nodes:
        if node.is_leaf:
            continue
        checks = (check for part in node.parts for check in node.graph.checks.get(part.key, ()))
        if node.name or node.is_root or any(check.wrong for check in checks):
            parted += 1
            continue
        parts = tuple((p.maker.name, p.last.shape) for p in node.parts if not p.is_leaf)
        where, module = (node.scope, _pattern(node.prefix)), node.owner and node.owner.full
        found[node] = parted, where, module, parts
    return found


def _pattern(name):
    """Equal for names that only differ in numbers."""
    return re.sub(r"\d+", "#", name)


def _card_of_steps(nodes, steps):
    """A card of the steps of a loop, or of nodes side by side. Its title is that of one step."""
    words = [node.words or node.label for node in nodes[: len(nodes) // steps]]
    if len(", ".join(words)) > LONGEST:
        words = [*words[:3], "..."]
    result = {part.key: node for node in nodes for part in node.parts if not part.is_leaf}
    linked = any(result.get(use.source, node) is not node for node in nodes for use in node.uses)
    title = f"{', '.join(words)} x{steps:,}"
    return _card(nodes, title, "" if linked else "side by side")


def _leaves_in_one(nodes):
    """The nodes, with leaves in one card that are alike and that the same nodes use.

    Three of them if a card uses them, such as the weights of folded layers or the inputs of time
    steps; whatever uses them if they are a crowd.
    """
    users, alike = {}, {}
    for node, sources in _sources(nodes).items():
        for source in sources:
            users.setdefault(source, []).append(node)
    for node in nodes:
        if node.is_leaf and not node.inside and node in users:
            shape, users_of = node.last.shape, tuple(users[node])
            what = node.kind, shape, _pattern(node.label), node.calls, users_of
            alike.setdefault(what, []).append(node)
    cards = []
    for (*_, used_by), leaves in alike.items():
        folded = any(user.inside for user in used_by)
        if len(leaves) > CROWD or (len(leaves) >= REPEATS and folded):
            names = span([leaf.label for leaf in leaves])
            cards.append(_card(leaves, f"{names} x{len(leaves):,}"))
    return _merged(nodes, cards)


def _oldest_in_one(nodes, most):
    """The nodes, with the oldest in one card if there are more than `most`."""
    if len(nodes) <= most:
        return nodes
    age = {}  # a leaf goes with the node that uses it last
    for i, (node, sources) in enumerate(_sources(nodes).items()):
        age[node] = np.inf if node.is_leaf else i
        age |= {source: i + 0.5 for source in sources if source.is_leaf}
    oldest = set(sorted(nodes, key=age.get)[: len(nodes) - most + 1])
    card = _card([node for node in nodes if node in oldest], "")
    card.words = f"{len(card.inside):,} older nodes"
    return _merged(nodes, [card])


# ---------------------------------------------------------------------------------------- cards


def _card(nodes, words, note=""):
    """A Node that stands for these, in the modules they have in common."""
    common = commonprefix([[id(call.group) for call in node.calls] for node in nodes])
    card = Node(nodes[0].graph, nodes[-1].key, calls=nodes[0].calls[: len(common)])
    card.inside = [part for node in nodes for part in node.parts]
    card.words, card.note = words, note
    if all(node.prefix for node in nodes):
        card.prefix = span([node.prefix for node in nodes])
    return card


def _merged(nodes, cards):
    """The nodes, with each card in place of its parts, in an order in which sources come first."""
    into = {part.key: card for card in cards for part in card.inside}
    merged = dict.fromkeys(into.get(node.parts[0].key, node) for node in nodes)
    return [node for circle in _circles(_sources(list(merged))) for node in circle]


def _circles(sources):
    """The strongly connected components of {node: nodes it uses}, sources first.

    Tarjan 1972, "Depth-first search and linear graph algorithms", as a loop.
    """
    number, low, path, found = {}, {}, {}, []
    for start in sources:
        walk = [] if start in number else [(start, iter(sources[start]))]
        while walk:
            node, rest = walk[-1]
            if node not in number:
                number[node] = low[node] = len(number)
                path[node] = None
            for source in rest:
                if source not in number:
                    walk.append((source, iter(sources[source])))
                    break
                if source in path:
                    low[node] = min(low[node], number[source])
            else:
                walk.pop()
                if walk:
                    above = walk[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == number[node]:
                    circle = []
                    while not circle or circle[-1] is not node:
                        circle.append(path.popitem()[0])
                    found.append(circle)
    return found
