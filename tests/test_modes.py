"""Modes: which results no_grad records; blocks in coroutines and threads."""

import asyncio
import contextlib
import copy
import functools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import leaf
from processes import in_thread

import minigrad as mg
from minigrad import functional as F
from minigrad import noise as randomness
from minigrad.engine import grad
from minigrad.graph import noise_leaves
from minigrad.modes import no_grad

pytestmark = pytest.mark.usefixtures("as_before")


def test_no_grad_records_nothing():
    x = leaf([1.0])
    with no_grad():
        y = np.exp(x) * x
        z = F.softmax(x) @ x
        made = leaf([1.0])
    assert not y.requires_grad
    assert y.args == ()
    assert not z.requires_grad
    assert made.requires_grad
    assert (x * made).requires_grad


def test_no_grad_nests_and_ends_on_an_error():
    x = leaf([1.0])
    with no_grad():
        with no_grad():
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_no_grad_is_a_decorator():
    @no_grad()
    def double(x):
        """Twice x."""
        return x * 2

    x = leaf([1.0])
    for _ in range(2):
        assert not double(x).requires_grad
    assert (x * 2).requires_grad
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice x."


def test_no_grad_holds_in_its_own_thread_only():
    x, inside, done = leaf([1.0]), threading.Event(), threading.Event()

    def other():
        with no_grad():
            inside.set()
            done.wait(10)
            seen.append((x * 2).requires_grad)

    seen = []
    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    here = (x * 2).requires_grad
    done.set()
    thread.join()
    assert here
    assert seen == [False]
    with no_grad():
        assert in_thread(lambda: (x * 2).requires_grad)


def test_backward_under_no_grad_works():
    x = leaf([2.0])
    y = (x * x).sum()
    with no_grad():
        y.backward()
    assert x.grad.tolist() == [4]


@pytest.mark.parametrize(
    "call", [lambda y, x: y.backward(create_graph=True), lambda y, x: grad(y, x, create_graph=True)]
)
def test_create_graph_inside_no_grad_is_refused(call):
    x = leaf(2.0)
    y = x * x
    with (
        mg.no_grad(),
        pytest.raises(
            RuntimeError, match=r"create_graph=True inside no_grad\(\) would record nothing"
        ),
    ):
        call(y, x)
    assert x.grad is None


# -------------------------------------------------------------------------- coroutines and threads


BLOCKS = {  # block: whether a mode of it is on here
    mg.no_grad: lambda: not (leaf([1.0]) * 2).requires_grad,
    mg.sampling: lambda: bool(noise_leaves(F.dropout(leaf([1.0]), 0.5, training=False))),
    mg.frozen_noise: randomness.frozen.get,
}
every_block = pytest.mark.parametrize("block, is_on", BLOCKS.items(), ids=lambda x: x.__name__)


@every_block
def test_a_context_manager_of_contextlib_opens_a_block_for_its_caller(block, is_on):
    @contextlib.contextmanager
    def by_generator():
        with block():
            yield

    @contextlib.contextmanager
    def by_stack():
        with contextlib.ExitStack() as stack:
            stack.enter_context(block())
            yield

    for manager in by_generator, by_stack:
        with manager():
            assert is_on()
        assert not is_on()


@every_block
def test_a_block_in_a_coroutine_does_not_reach_other_tasks(block, is_on):
    seen = []

    async def inside():
        with block():
            seen.append(is_on())
            await asyncio.sleep(0)
            seen.append(is_on())

    async def outside():
        seen.append(not is_on())
        await asyncio.sleep(0)
        seen.append(not is_on())

    async def both():
        await asyncio.gather(inside(), outside(), inside())

    asyncio.run(both())
    assert seen == [True] * 6 and not is_on()


@every_block
def test_generators_of_a_block_may_end_in_any_order(block, is_on):
    """A generator that is suspended inside leaves the block open for its caller, as in PyTorch."""

    def numbers():
        with block():
            yield

    a, b = numbers(), numbers()
    next(a), next(b)
    assert is_on()
    assert list(a) == [] and is_on()
    b.close()
    assert not is_on()


@every_block
def test_a_thread_begins_outside_and_a_decorated_function_is_inside(block, is_on):
    with block():
        assert not in_thread(is_on)
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(block()(lambda _: is_on()), range(4))) == [True] * 4
    assert not is_on()


@every_block
def test_blocks_end_in_any_order(block, is_on):
    first, second, third = block(), block(), block()
    for one in first, second, third:
        one.__enter__()
    for one in second, first:
        one.__exit__(None, None, None)
        assert is_on()
    third.__exit__(None, None, None)
    assert not is_on()
    with contextlib.ExitStack() as stack:
        stack.enter_context(block())
        assert is_on()
    assert not is_on()


@every_block
def test_a_block_is_open_once_at_a_time(block, is_on):
    one = block()
    for _ in range(2):
        with one:
            assert is_on()
            with (
                pytest.raises(RuntimeError, match=rf"this {block.__name__}\(\) block is open"),
                one,
            ):
                pass
            assert is_on()
        assert not is_on()
    assert (
        repr(pickle.loads(pickle.dumps(one))) == repr(copy.deepcopy(one)) == f"{block.__name__}()"
    )


@every_block
def test_what_a_block_decorates(block, is_on):
    assert block(is_on)() and block()(is_on)() and not is_on()  # with and without brackets
    assert block()(functools.partial(is_on))()
    for wrong in 3, int, None:
        with pytest.raises(TypeError, match="decorates a function, not"):
            block()(wrong)
    with pytest.raises(TypeError, match="decorates a function, not 3"):
        block(3)


async def _coroutine():
    pass


async def _asynchronous_generator():
    yield


def _generator():
    yield


_partial = functools.partial(_generator)


@every_block
@pytest.mark.parametrize("function", [_coroutine, _asynchronous_generator, _generator, _partial])
def test_what_runs_later_is_not_decorated(block, is_on, function):
    with pytest.raises(TypeError, match="open the block inside .*_(coroutine|generator)"):
        block()(function)
