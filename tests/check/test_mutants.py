"""The mutation gate: every rule of every op is broken in many ways, and a check of its samples fails.

A check that cannot fail proves nothing. The right rules pass on the same samples: see test_ops.py.
"""

from functools import cache, partial

import numpy as np
import pytest

from minigrad.array import data_of, numpy_functions
from minigrad.check.functions import examine, examine_second
from minigrad.check.samples import samples, tensors
from minigrad.engine import Tensor
from minigrad.graph import nodes
from minigrad.registry import Family, ops

pytestmark = pytest.mark.filterwarnings(
    "ignore:gradcheck. VACUOUS for "
)  # in a maximum of two numbers one is silent
RULES = [
    (name, i) for name, op in ops.items() for i, rule in enumerate(op.rules) if rule is not None
]


@pytest.fixture(autouse=True)
def few_tries(monkeypatch):
    """Rounding is measured in fewer tries: more of them only save right rules from false alarms."""
    monkeypatch.setattr("minigrad.check.verdict.TRIES", 3)


def argument(name, position):
    """The name of the op's argument at a position; all operands of a family share a name."""
    return ops[name].names[min(position, len(ops[name].names) - 1)]


# ---------------------------------------------------------------------------------------- mutations
# A mutation makes a wrong rule of the right one, `rule(g, out, arguments)`. `own` is the position of
# the argument that the rule is for.


def scaled(rule, g, out, arguments, own):
    return 1.01 * rule(g, out, arguments)


def zeroed(rule, g, out, arguments, own):
    return 0 * rule(g, out, arguments)


def sign_flipped(rule, g, out, arguments, own):
    return -rule(g, out, arguments)


def cotangent_ignored(rule, g, out, arguments, own):
    return rule(np.ones_like(g), out, arguments)


def one_entry_wrong(rule, g, out, arguments, own):
    wrong = np.array(rule(g, out, arguments))
    if wrong.size:
        wrong.flat[wrong.size // 2] += 0.5
    return wrong


def entries_reversed(rule, g, out, arguments, own):
    return np.flip(rule(g, out, arguments))


def broadcast_not_summed(rule, g, out, arguments, own):
    """Takes one slice along each axis that the engine would have summed."""
    right, shape = rule(g, out, arguments), arguments[own].shape
    return right[tuple(slice(n) for n in (1,) * (right.ndim - len(shape)) + shape)]


def operands_swapped(rule, g, out, arguments, own):
    """Exchanges the first two float operands if their shapes agree, as in g * x for g * y.

    The rule of the other operand would be the same mutation for a product, and a family has none.
    """
    arguments = list(arguments)
    i, j, *_ = [
        k for k, a in enumerate(arguments) if isinstance(a, np.ndarray) and a.dtype.kind == "f"
    ] + [own, own]
    if arguments[i].shape == arguments[j].shape:
        arguments[i], arguments[j] = arguments[j], arguments[i]
    return rule(g, out, arguments)


def out_for_input(rule, g, out, arguments, own):
    """Exchanges the result and the input if their shapes agree."""
    if out.shape == arguments[own].shape:
        out, arguments = arguments[own], [*arguments[:own], out, *arguments[own + 1 :]]
    return rule(g, out, arguments)


def detached(name, what):
    """Gives the rule its argument `what` ("g", "out" or a name) without its graph. First
    derivatives stay right, second derivatives become wrong.
    """

    def mutation(rule, g, out, arguments, own):
        def plain(label, a):
            return a.detach() if isinstance(a, Tensor) and label == what else a

        return rule(
            plain("g", g),
            plain("out", out),
            [plain(argument(name, k), a) for k, a in enumerate(arguments)],
        )

    mutation.__name__ = f"{what}_detached"
    return mutation


def wrong_at(special):
    """Errs where an entry of the argument is special: where a rule may have a branch of its own."""

    def mutation(rule, g, out, arguments, own):
        others = arguments[:own] + arguments[own + 1 :]
        hit = special(
            arguments[own], [a for a in others if isinstance(a, (np.ndarray, int, float))]
        )
        return rule(g, out, arguments) + 5 * np.sum(g) * hit

    mutation.__name__ = special.__name__
    return mutation


@wrong_at
def wrong_at_0(x, others):
    return x == 0


@wrong_at
def wrong_at_1(x, others):
    return x == 1


@wrong_at
def wrong_where_another_operand_is_0(x, others):
    return any(np.any(y == 0) for y in others if isinstance(y, np.ndarray) and y.dtype.kind == "f")


@wrong_at
def wrong_at_ties(x, others):
    """Of entries of the argument, and with other operands: bounds, for one."""
    _, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    hit = counts[where].reshape(x.shape) > 1
    for y in others:
        if np.shape(y) in ((), x.shape):
            hit = hit | (x == y)
    return hit


MUTATIONS = [
    wrong_at_0,
    wrong_at_1,
    wrong_where_another_operand_is_0,
    wrong_at_ties,
    scaled,
    zeroed,
    sign_flipped,
    cotangent_ignored,
    one_entry_wrong,
    entries_reversed,
    broadcast_not_summed,
    operands_swapped,
    out_for_input,
]


def rule_of(name, i):
    """The i-th rule of any op as rule(own, g, out, arguments)."""
    op, rule = ops[name], ops[name].rules[i]
    if isinstance(op, Family) and i == len(op.names) - 1:
        return lambda own, g, out, arguments: rule(g, out, *arguments)[own - i]
    return lambda own, g, out, arguments: rule(g, out, *arguments)


def broken(name, i, mutation):
    """The function that replaces the i-th rule of the op."""
    op, right = ops[name], rule_of(name, i)
    if isinstance(op, Family) and i == len(op.names) - 1:
        return lambda g, out, *arguments: [
            mutation(partial(right, k), g, out, arguments, k) for k in range(i, len(arguments))
        ]
    return lambda g, out, *arguments: mutation(partial(right, i), g, out, arguments, i)


# -------------------------------------------------------------------- which of them change anything


@cache
def recorded(name):
    """The nodes of the op in the graphs of its samples."""
    graphs = [
        nodes(sample.call(*tensors(sample.inputs()))) for i, sample in enumerate(samples[name])
    ]
    return [
        node
        for graph in graphs
        for node in graph
        if getattr(node.op, "family", node.op) is ops[name]
    ]


def calls(name, i):
    """(own, g, out, arguments) of every call of the i-th rule in its samples. Float arguments are
    leaves.
    """
    rng = np.random.default_rng(0)
    for node in recorded(name):
        for own, x in enumerate(node.args):
            if (
                isinstance(x, Tensor)
                and x.requires_grad
                and argument(name, own) == ops[name].names[i]
            ):
                arguments = [
                    Tensor(a.data, a.requires_grad) if isinstance(a, Tensor) else a
                    for a in node.args
                ]
                yield (
                    own,
                    Tensor(rng.standard_normal(node.shape), True),
                    Tensor(node.data, True),
                    arguments,
                )


def with_gradient(root):
    """The orders of the tensors that backward from `root` passes through."""
    orders, stack = set(), [root]
    while stack:
        t = stack.pop()
        if isinstance(t, Tensor) and t.requires_grad:
            orders.add(t.order)
            stack.extend(a for a, rule in zip(t.args, t.op.rules if t.op else ()) if rule)
    return orders


def used(name, i):
    """The inputs that the recorded i-th rule depends on: "g", "out", names of arguments."""
    found = set()
    for own, g, out, arguments in calls(name, i):
        reached = with_gradient(rule_of(name, i)(own, g, out, arguments))
        labelled = [
            ("g", g),
            ("out", out),
            *((argument(name, k), a) for k, a in enumerate(arguments)),
        ]
        found |= {
            label
            for label, a in labelled
            if isinstance(a, Tensor) and a.requires_grad and a.order in reached
        }
    return found


def same(x, y):
    if isinstance(x, (np.ndarray, np.generic)):
        return np.shape(x) == np.shape(y) and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    return x is y


@np.errstate(all="ignore")  # confused inputs may be outside a domain
def effect(name, i, mutation):
    """The effect of the mutation on the samples: it "changes" the cotangent, it "applies" (the rule
    gets another input and returns the same), or "none".
    """
    applies = changes = False
    for own, g, out, arguments in calls(name, i):
        g, out, arguments = g.data, out.data, [data_of(a) for a in arguments]

        def spied(*given, own=own, before=(g, out, arguments)):
            nonlocal applies
            applies = applies or not all(
                map(same, (*given[:2], *given[2]), (*before[:2], *before[2]))
            )
            return rule_of(name, i)(own, *given)

        changes = changes or not same(
            rule_of(name, i)(own, g, out, arguments), mutation(spied, g, out, arguments, own)
        )
    return "changes" if changes else "applies" if applies else "none"


EFFECTS = {
    (name, i, mutation): effect(name, i, mutation) for name, i in RULES for mutation in MUTATIONS
}
FIRST = [mutant for mutant, found in EFFECTS.items() if found == "changes"]
SECOND = [(name, i, detached(name, what)) for name, i in RULES for what in sorted(used(name, i))]

EQUIVALENT = {  # those that apply and change nothing, and why
    operands_swapped: {
        "the rule uses no operand": "add.x add.y subtract.x subtract.y remainder.x where.x where.y linear.bias convolve.bias",
        "the rule uses their shapes only": "concatenate.arrays stack.arrays",
    },
    out_for_input: {
        "linear, so the rule uses neither": "add.x add.y subtract.x subtract.y remainder.x negative.x where.x where.y dropout.x",
        "linear in one of several": "solve_matrices.b multiply.x multiply.y divide.x matmul.x matmul.y einsum.operands linear.x linear.weight linear.bias "
        "convolve.x convolve.w convolve_input.y convolve_input.w convolve_weight.x convolve_weight.y",
        "moves entries or adds them up, so the rule uses shapes only": "transpose.a flip.m roll.a getitem.x cumsum.x",
        "out == x and x == out, and a bound that is out is not x": "clip.x clip.a_min clip.a_max",
        "of the shape of the result only if x has one entry, and then the slope is 0": "var.x",
        "of the shape of the result only if x has one entry, and then x / out is out / x": "length.x",
    },
}


def rules_where(mutation, *effects):
    return {
        f"{name}.{ops[name].names[i]}" for name, i in RULES if EFFECTS[name, i, mutation] in effects
    }


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
def test_only_the_listed_mutants_are_equivalent(mutation):
    listed = " ".join(EQUIVALENT.get(mutation, {}).values()).split()
    equivalent = rules_where(mutation, "applies")
    assert equivalent <= set(listed), (
        f"no sample shows that these rules are broken: {equivalent - set(listed)}. Add samples that "
        "do, or the rules to EQUIVALENT, with the reason"
    )
    assert equivalent == set(listed) and len(listed) == len(set(listed))


SEVERAL = {  # the rules of ops of several float operands
    f"{name}.{n}"
    for name, op in ops.items()
    for n, rule in zip(op.names, op.rules)
    if rule and (isinstance(op, Family) and op.rules[-1] or sum(map(bool, op.rules)) > 1)
}
NEVER_THERE = {  # the rules whose samples have no such entry, and why
    wrong_at_0: {
        "infinite": "divide.y reciprocal.x log.x log2.x log10.x sqrt.x cbrt.x",
        "outside the domain": "arccosh.x",
        "the function jumps": "remainder.x remainder.y eigh_in_one.a",
    },
    wrong_at_1: {
        "infinite": "arcsin.x arccos.x arctanh.x arccosh.x",
        "eigenvectors of simple matrices change sign": "eigh_in_one.a",
    },
    wrong_where_another_operand_is_0: {
        "infinite": "divide.x",
        "the function jumps": "remainder.x remainder.y",
    },
    wrong_at_ties: {},
}


@pytest.mark.fixed_seeds  # the samples as they are: with other seeds a small one may have no tie
@pytest.mark.parametrize("mutation", NEVER_THERE, ids=lambda m: m.__name__)
def test_samples_have_entries_at_which_rules_may_branch(mutation):
    never = rules_where(mutation, "none")
    if mutation is wrong_where_another_operand_is_0:
        never &= SEVERAL
    assert never == {*" ".join(NEVER_THERE[mutation].values()).split()}


def test_every_binary_ufunc_is_broadcast_in_its_samples():
    binary = {
        f"{call.op.name}.{n}"
        for ufunc, call in numpy_functions.items()
        if isinstance(ufunc, np.ufunc)
        and ufunc.nin == 2
        and hasattr(call, "op")
        and call.op.name in ops
        for n in call.op.names
    }
    others = {"where.x", "where.y", "broadcast_to.x"}
    assert len(binary) >= 20 and rules_where(broadcast_not_summed, "changes") >= binary | others


def test_every_op_of_two_float_operands_has_a_sample_with_two_of_one_shape():
    assert rules_where(operands_swapped, "changes", "applies") == SEVERAL


def test_every_rule_uses_its_cotangent_and_those_of_curved_ops_their_inputs_or_out():
    uses = {f"{name}.{ops[name].names[i]}": used(name, i) for name, i in RULES}
    straight = {rule for rule, what in uses.items() if what == {"g"}}
    assert all("g" in what for what in uses.values())
    linear = (
        "add.x add.y subtract.x subtract.y negative.x positive.x where.x where.y linear.bias dropout.x nll_loss.x put_back.g sum.x mean.x astype.x "
        "getitem.x scatter.x reshape.x transpose.a swapaxes.x moveaxis.a expand_dims.a squeeze.x broadcast_to.x flip.m roll.a pad.x "
        "concatenate.arrays stack.arrays unfold.x fold.y convolve.bias cumsum.x"
    )
    piecewise = "remainder.x remainder.y relu.x absolute.x maximum.x maximum.y minimum.x minimum.y clip.x clip.a_min clip.a_max max.x min.x l1_penalty.weights"
    listed = {*linear.split(), *piecewise.split()}
    assert straight <= listed, (
        f"these rules use neither inputs nor out, so they are right for (piecewise) linear ops only: "
        f"{straight - listed}. Add them to a list above if their ops are"
    )
    assert straight == listed


# ----------------------------------------------------------------------------------------- the gate


def killed(name, i, mutation, order):
    """Whether a sample of the op FAILs with the i-th rule broken. VACUOUS is expected of samples
    with zero gradients.
    """
    rules = list(ops[name].rules)
    try:
        ops[name].rules[i] = broken(name, i, mutation)
        return any(
            order(sample.call, tensors(sample.inputs())).verdict == "FAIL"
            for k, sample in enumerate(samples[name])
        )
    finally:
        ops[name].rules[:] = rules


def second_order(call, inputs):
    return examine_second(lambda *xs: np.sin(call(*xs)), inputs)  # the sine bends what is linear


def each(mutants):
    return pytest.mark.parametrize(
        "name, i, mutation",
        mutants,
        ids=[f"{n}-{ops[n].names[i]}-{m.__name__}" for n, i, m in mutants],
    )


@each(FIRST)
def test_a_broken_rule_is_caught(name, i, mutation):
    assert killed(name, i, mutation, examine)


@each(SECOND)
def test_a_rule_that_breaks_second_derivatives_is_caught(name, i, mutation):
    assert killed(name, i, mutation, second_order)


@each([mutant for mutant, found in EFFECTS.items() if found == "applies"])
def test_an_equivalent_mutant_survives(name, i, mutation):
    assert not killed(name, i, mutation, examine)
