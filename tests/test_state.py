"""Checkpoints: trees come back as they were, files stay whole at any interruption, trainings go on
bit by bit.
"""

import copy
import gc
import io
import itertools
import json
import math
import os
import pickle
import random
import re
import signal
import threading
import time
import warnings
import zipfile
from contextlib import contextmanager
from functools import partial

import numpy as np
import processes
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import minigrad as mg
import minigrad.functional as F
from minigrad import nn, optim, state
from minigrad.data import Batches

posix = pytest.mark.skipif(
    os.name != "posix", reason="needs fork and SIGKILL, which POSIX systems have"
)


def same(a, b):
    """Whether both are equal in structure, type, dtype, shape and bits. A tuple equals a list."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (
            b.dtype,
            b.shape,
            b.tobytes(),
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        is_same = isinstance(b, (list, tuple)) and len(a) == len(b)
        return is_same and all(map(same, a, b))
    return (
        type(a) is type(b)
        and (a == b or (a != a and b != b))
        and (a != 0 or math.copysign(1, a) == math.copysign(1, b))
    )


def no_sync(descriptor):
    """Takes the place of os.fsync, which is slow."""


@contextmanager
def patched(target, name, value):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, value, raising=False)
        yield


# -------------------------------------------------------------------------------------------- trees

KEYS = st.text(max_size=4) | st.sampled_from(
    [
        "a/b",
        "a",
        "b",
        "",
        "/",
        "%2F",
        "..",
        "tree.json",
        "a.npy",
        "\0",
        "\\",
        "0",
        "µ",
        " ",
        "\ud800",
    ]
)
DTYPES = st.sampled_from(["?", "i1", "<u2", ">i4", "i8", "f2", "f4", ">f8", "c8", "<U2"])
ARRAYS = st.tuples(DTYPES, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)).flatmap(
    lambda kind: arrays(*kind)
)
LEAVES = ARRAYS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TREES = st.recursive(
    LEAVES,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(KEYS, inside, max_size=4),
    max_leaves=12,
)
ONE = np.ones(1)


@settings(max_examples=60, deadline=None)
@given(TREES)
@example({"": {"a": ONE}, "a": ONE * 2, "a/b": ONE * 3, "b": {"": ONE * 4}, "/b": ONE * 5})
@example([ONE, (ONE * 2, []), {}, {"0": ONE * 3}, -0.0, 2**200, float("nan")])
@example(np.asfortranarray(np.arange(6).reshape(2, 3)))
@example(np.arange(12).reshape(3, 4)[:, ::2])
def test_a_tree_comes_back_as_it_was(tmp_path_factory, tree):
    file = tmp_path_factory.getbasetemp() / "tree.npz"
    with patched(os, "fsync", no_sync):
        mg.save(tree, file)
    assert same(tree, mg.load(file))


def test_numpys_numbers_become_numbers_or_arrays_of_one_entry(tmp_path):
    mg.save(
        {"a": np.float64(0.1), "b": np.float32(0.1), "c": np.int64(3), "d": np.bool_(True)},
        tmp_path / "m",
    )
    assert same(
        mg.load(tmp_path / "m"),
        {"a": 0.1, "b": np.array(0.1, np.float32), "c": np.array(3), "d": np.array(True)},
    )


def test_numpy_opens_a_checkpoint_and_the_names_are_readable(tmp_path):
    model = nn.Sequential(nn.Linear(2, 1), nn.ReLU())
    mg.save({"model": model, "step": 3, "best": [model[0].bias, None]}, tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz") as archive:
        assert archive.files == ["model/0.weight", "model/0.bias", "best/0", "tree.json"]
        assert np.array_equal(archive["model/0.weight"], model[0].weight.data)
        content = json.loads(archive["tree.json"])
        assert content["tree"] == {
            "model": {"0.weight": None, "0.bias": None},
            "step": 3,
            "best": [None, None],
        }


def test_objects_with_a_state_dict_are_saved_by_it(tmp_path):
    class Counter:
        def state_dict(self):
            return {"seen": 3, "inner": [nn.Linear(1, 1, rng=np.random.default_rng(0))]}

    mg.save([{"mine": Counter()}], tmp_path / "c")
    assert same(
        mg.load(tmp_path / "c"),
        [
            {
                "mine": {
                    "seen": 3,
                    "inner": [nn.Linear(1, 1, rng=np.random.default_rng(0)).state_dict()],
                }
            }
        ],
    )


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_from_its_state(tmp_path, kind):
    rng = np.random.Generator(getattr(np.random, kind)(5))
    rng.integers(9, dtype=np.uint32)  # leaves half a word behind
    mg.save({"rng": rng.bit_generator.state}, tmp_path / "c")
    expected = rng.integers(2**32, size=5, dtype=np.uint32), rng.normal(size=3)
    other = np.random.Generator(getattr(np.random, kind)(6))
    other.bit_generator.state = mg.load(tmp_path / "c")["rng"]
    assert all(
        map(
            np.array_equal,
            expected,
            (other.integers(2**32, size=5, dtype=np.uint32), other.normal(size=3)),
        )
    )


def test_torchs_state_dicts_are_saved_too(tmp_path):
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(3, 2), nn.Linear(3, 2)
    mg.save({"model": theirs}, tmp_path / "c")
    ours.load_state_dict(mg.load(tmp_path / "c")["model"])
    assert np.array_equal(ours.weight.data, theirs.weight.detach().numpy())


@pytest.mark.parametrize(
    "tree, error, message",
    [
        (
            {"a": [1, {"lr": math.sin}]},
            ValueError,
            r"save: a/1/lr is <built-in function sin>, of type builtin.*nothing is pickled",
        ),
        ({"a": {1, 2}}, ValueError, r"a is \{1, 2\}, of type set"),
        ({"a": b"ab\0"}, ValueError, "of type bytes"),
        ({"a": np.array([None])}, ValueError, r"a is array\(\[None\], dtype=object\)"),
        ({"a": np.zeros(1, [("x", object)])}, ValueError, "a is array"),
        (1j, ValueError, "the state is 1j, of type complex"),
        ({3: ONE}, TypeError, "the keys of dicts must be strings, not 3"),
        ({"a": [{None: ONE}]}, TypeError, "must be strings, not None, in a/0"),
    ],
)
def test_an_object_that_cannot_be_saved_is_named_and_nothing_is_written(
    tmp_path, tree, error, message
):
    with pytest.raises(error, match=message):
        mg.save(tree, tmp_path / "c")
    assert os.listdir(tmp_path) == []


# -------------------------------------------------------------------------------------------- files


def test_the_same_state_gives_the_same_bytes(tmp_path, monkeypatch):
    for name, now in ("a", 1e9), ("b", 1.5e9):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        mg.save({"w": np.arange(3), "step": 1}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_of_numpy_and_of_earlier_versions_are_read_as_flat_dicts(tmp_path):
    arrays = {"0.weight": np.ones((2, 3)), "seen/b": np.arange(2)}
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    assert same(mg.load(tmp_path / "a.npz"), arrays) and same(mg.load(tmp_path / "b.npz"), arrays)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


def test_no_pickle_is_ever_loaded(tmp_path):
    ran = tmp_path / "ran"
    evil = np.array([Malicious(ran)], dtype=object)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, evil)
    np.savez(tmp_path / "numpy.npz", w=evil)
    with zipfile.ZipFile(tmp_path / "ours.npz", "w") as archive:
        archive.writestr("tree.json", '{"tree": {"model": {"w": null}}, "arrays": ["model/w"]}')
        archive.writestr("model/w.npy", buffer.getvalue())
        archive.comment = state.MARK
    np.save(tmp_path / "array.npz.npy", evil)
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps({"model": Malicious(ran)}))
    for name, message in [
        ("numpy.npz", "allow_pickle"),
        ("ours.npz", "allow_pickle"),
        ("array.npz.npy", "not a zip"),
        ("pickle.npz", "not a zip"),
    ]:
        with pytest.raises(
            ValueError, match=f"load: .*{name} is damaged or no checkpoint: .*{message}"
        ):
            mg.load(tmp_path / name)
    assert not ran.exists()
    np.load(tmp_path / "numpy.npz", allow_pickle=True)["w"]
    assert ran.exists()  # it would have done harm


def test_foreign_files_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "docx", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    (tmp_path / "text").write_text("PK\3\4 not quite")
    (tmp_path / "empty").write_bytes(b"")
    for name in "docx", "text", "empty":
        with pytest.raises(ValueError, match=f"{name} is damaged or no checkpoint"):
            mg.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        mg.load(tmp_path / "none")


def damaged(tmp_path, change):
    """Loads every change(bytes, i) of a small checkpoint; returns how many were refused."""
    tree = {"w": np.arange(3.0), "step": 12}
    mg.save(tree, tmp_path / "c")
    whole, refused = (tmp_path / "c").read_bytes(), 0
    for i in range(len(whole)):
        (tmp_path / "c").write_bytes(change(whole, i))
        try:
            assert same(mg.load(tmp_path / "c"), tree)
        except ValueError as error:
            assert "is damaged or no checkpoint" in str(error)
            refused += 1
    return refused / len(whole)


def test_a_checkpoint_cut_anywhere_is_refused(tmp_path):
    assert damaged(tmp_path, lambda whole, i: whole[:i]) == 1


@pytest.mark.parametrize("bits", [0x01, 0x80])
def test_a_changed_byte_is_noticed_or_does_not_matter(tmp_path, bits):
    assert (
        damaged(tmp_path, lambda whole, i: whole[:i] + bytes([whole[i] ^ bits]) + whole[i + 1 :])
        > 0.5
    )


@posix
def test_a_private_file_stays_private(tmp_path):
    path = tmp_path / "c"
    for mode in 0o600, 0o640:
        mg.save({"a": np.zeros(2)}, path)
        path.chmod(mode)
        mg.save({"a": np.ones(2)}, path)
        assert path.stat().st_mode & 0o777 == mode and mg.load(path)["a"].tolist() == [1, 1]


@pytest.mark.skipif(
    not hasattr(os, "symlink") or os.name == "nt",
    reason="needs symbolic links, which POSIX systems have",
)
def test_saving_through_a_link_replaces_its_target(tmp_path):
    (tmp_path / "large_disk").mkdir()
    os.symlink(tmp_path / "large_disk" / "c", tmp_path / "c")
    for k in 1, 2:
        mg.save({"k": k}, tmp_path / "c")
        assert (tmp_path / "c").is_symlink() and mg.load(tmp_path / "large_disk" / "c") == {"k": k}


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        mg.save({"k": 1}, tmp_path / "none" / "c")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        mg.save({"k": 1}, tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_state_that_holds_itself_is_refused(tmp_path):
    tree = {"k": []}
    tree["k"].append(tree)
    with pytest.raises(RecursionError):
        mg.save(tree, tmp_path / "c")
    assert os.listdir(tmp_path) == []


# -------------------------------------------------------------------- whole, whatever interrupts it

OLD, NEW = ({"w": np.full(20_000, k), "more": [np.full((30, 30), k)], "k": k} for k in (1, 2))


@contextmanager
def watched(happens, calls):
    """Appends each system call of `save` to `calls`, and calls happens(number of the call) before
    it. A write is then half done.
    """

    def call(name, function):
        def run(*args, **kwargs):
            calls.append(name)
            happens(len(calls) - 1)
            return function(*args, **kwargs)

        return run

    class File(io.FileIO):
        def write(self, data):
            calls.append("write")
            try:
                happens(len(calls) - 1)
            except BaseException:
                super().write(data[: len(data) // 2])
                raise
            return super().write(data)

        def close(self):
            if not self.closed:
                calls.append("close")
                try:
                    happens(len(calls) - 1)
                finally:
                    super().close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            state,
            "open",
            call("open", lambda path, mode: io.BufferedWriter(File(path, mode))),
            raising=False,
        )
        for name, function in (("fsync", no_sync), ("replace", os.replace)):
            patch.setattr(os, name, call(name, function))
        yield


def system_calls(folder):
    calls = []
    with watched(lambda i: None, calls):
        mg.save(NEW, folder / "c")
    return calls


def test_the_file_reaches_the_disk_before_its_name(tmp_path):
    names = [name for name, _ in itertools.groupby(system_calls(tmp_path))]
    assert names == ["open", "write", "fsync", "close", "replace"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()], ids=repr
)
def test_a_failure_at_any_system_call_leaves_the_old_file_or_the_new(tmp_path, monkeypatch, error):
    monkeypatch.setattr(os, "fsync", no_sync)
    calls = system_calls(tmp_path)
    for fatal in range(len(calls)):

        def happens(i, fatal=fatal):
            if i == fatal or (
                i > fatal and isinstance(error, OSError)
            ):  # a disk that is full stays full
                raise error

        mg.save(OLD, tmp_path / "c")
        raised, replaced = True, fatal > calls.index("replace")
        try:
            with watched(happens, []):
                mg.save(NEW, tmp_path / "c")
            raised = False
        except type(error):
            pass
        assert same(mg.load(tmp_path / "c"), NEW if replaced else OLD), calls[fatal]
        assert os.listdir(tmp_path) == ["c"]
        assert raised != (
            replaced and isinstance(error, OSError)
        )  # a folder that cannot be synced is no failure
    gc.collect()  # what was not closed complains now


def whole_after_kills(folder, kills):
    """Kills processes that save in `folder`. Returns (the files that were not whole, the number of
    kills during a save).
    """
    file, broken, left = folder / "c", [], 0

    def fork(child):
        if (process := os.fork()) == 0:
            try:
                child()
            finally:
                os._exit(1)
        return process

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def look(process, wanted):
        nonlocal left
        os.waitpid(process, 0)
        try:
            found = mg.load(file)
            if not wanted(found):
                broken.append(found["k"])
        except ValueError as error:
            broken.append(str(error))
        for name in {*os.listdir(folder)} - {"c"}:
            assert name.startswith(".c.") and name.endswith(".tmp")
            left += 1
            os.unlink(folder / name)

    for fatal, name in enumerate(system_calls(folder)):  # at each system call
        mg.save(OLD, file)

        def at_call(fatal=fatal):
            with watched(lambda i: i == fatal and die(), []):
                mg.save(NEW, file)

        look(
            fork(at_call),
            lambda found, name=name: (
                same(found, OLD) or (name.startswith(("folder", "fsync")) and same(found, NEW))
            ),
        )

    began = time.perf_counter()
    mg.save(NEW, file)
    duration, rng, last = time.perf_counter() - began, random.Random(0), 0
    for _ in range(kills):  # at any time
        reader, writer = os.pipe()

        def forever(writer=writer, first=last + 1):
            os.write(writer, b"x")
            for k in itertools.count(first):
                mg.save({"k": k, "w": np.full(30_000, k), "inner": [{"v": np.full(9, k)}]}, file)

        mg.save({"k": last, "w": np.full(30_000, last), "inner": [{"v": np.full(9, last)}]}, file)
        process = fork(forever)
        os.read(reader, 1)
        time.sleep(rng.uniform(0, 2 * duration))
        os.kill(process, signal.SIGKILL)
        os.close(reader), os.close(writer)
        look(
            process,
            lambda found, last=last: (
                found["k"] >= last
                and np.all(found["w"] == found["k"])
                and np.all(found["inner"][0]["v"] == found["k"])
            ),
        )
        last = mg.load(file)["k"]
    return broken, left


@posix
def test_a_process_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    program = f"import pathlib, test_state as t; print(t.whole_after_kills(pathlib.Path({str(tmp_path)!r}), 40))"
    broken, left = eval(processes.output(program, "0"))
    assert broken == [] and left >= 10  # those at the writes


def test_two_threads_that_save_to_one_file_leave_one_of_the_two(tmp_path):
    def work(tree):
        for _ in range(5):
            mg.save(tree, tmp_path / "c")

    threads = [threading.Thread(target=work, args=(tree,)) for tree in (OLD, NEW)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = mg.load(tmp_path / "c")
    assert (same(found, OLD) or same(found, NEW)) and os.listdir(tmp_path) == ["c"]


# ----------------------------------------------------------------------------------- random numbers


def drawn():
    """Masks of two layers, and noise outside any layer."""
    model = nn.Sequential(a=nn.Dropout(0.5), b=nn.GaussianDropout(0.5))
    return [model(np.ones(9)).data, F.dropout(mg.Tensor(np.ones(9)), 0.3, training=True).data]


def test_the_random_state_goes_on_where_it_was(tmp_path):
    mg.manual_seed(3)
    drawn()
    mg.save({"rng": mg.get_rng_state()}, tmp_path / "c")
    expected = (
        drawn(),
        nn.Linear(2, 2).weight.data,
        mg.get_rng_state(),
    )  # a stream that did not exist yet
    mg.manual_seed(4)
    drawn()
    mg.set_rng_state(mg.load(tmp_path / "c")["rng"])
    assert same(expected, [drawn(), nn.Linear(2, 2).weight.data, mg.get_rng_state()])


def test_the_random_state_of_a_thread_that_has_drawn_nothing_is_settled_by_asking_for_it():
    found = []

    def work():
        saved = mg.get_rng_state()
        found.extend([saved, drawn()])
        mg.set_rng_state(saved)
        found.append(drawn())

    before = mg.get_rng_state()
    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    saved, first, second, other, *_ = found
    assert same(first, second) and saved["streams"] == {} and saved["entropy"] != other["entropy"]
    before["children"] += 2  # a thread's state is its own, but it is derived
    assert mg.get_rng_state() == before


def test_the_random_state_is_a_copy():
    mg.manual_seed(0)
    drawn()
    saved = mg.get_rng_state()
    text = repr(saved)
    drawn()
    assert repr(saved) == text
    mg.set_rng_state(saved)
    drawn()
    assert repr(saved) == text


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {"entropy": 1, "streams": {"init": {"state": 3}}},
        {"entropy": "x", "streams": {}},
        {"entropy": -5, "streams": {}},
        {"entropy": 5, "streams": {}, "children": -1},
        3,
    ],
)
def test_a_wrong_random_state_changes_nothing(wrong):
    before = mg.get_rng_state()
    with pytest.raises(ValueError, match="set_rng_state: not what get_rng_state returns"):
        mg.set_rng_state(wrong)
    assert mg.get_rng_state() == before


# --------------------------------------------------------------------------------------- optimizers


class Momentum(optim.Optimizer):
    """An optimizer of a reader: it names the arrays of its state and inherits the rest."""

    counters = ("steps", "speed")

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr)
        self.speed = 1.0

    def update(self, trained, lr, settings):
        self.speed *= 0.9
        for w, g, v in trained.pieces("v"):
            v += g
            w -= lr * self.speed * v


def groups(parameters):
    first, *rest = parameters
    return [
        {"params": [first], "lr": lambda step: 0.1 * 0.9**step, "weight_decay": 0.1},
        {"params": rest},
    ]


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05),
    "SGD, momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "SGD, nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "SGD, groups": lambda p: optim.SGD(groups(p), lr=0.01, momentum=0.5),
    "Adam": lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.99), weight_decay=0.1),
    "Adam, schedule": lambda p: optim.Adam(p, lr=optim.cosine(0.1, 12, warmup=4)),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "AdamW, groups": lambda p: optim.AdamW(groups(p), lr=0.03),
    "ProximalSGD": lambda p: optim.ProximalSGD(p, lr=optim.cosine(0.05, 30, final=0.01)),
    "FISTA": lambda p: optim.ProximalSGD(p, lr=0.05, accelerated=True),
    "FISTA, restart": lambda p: optim.ProximalSGD(p, lr=0.05, accelerated=True, restart=True),
    "of one's own": lambda p: Momentum(p, lr=0.05),
}


class Training:
    """A small network with everything that has a state: buffers, noise, batches, an optimizer."""

    def __init__(self, make, seed):
        mg.manual_seed(seed)
        rng = np.random.default_rng(0)
        self.model = nn.Sequential(
            nn.Linear(4, 6, penalty=nn.L1(0.01)), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 2)
        )
        self.optimizer = make(list(self.model.parameters()))
        self.batches = Batches(
            rng.normal(size=(11, 4)).astype("f"), rng.integers(2, size=11), batch_size=4
        )

    def run(self, steps):
        while steps:
            for x, y in self.batches:

                def loss(x=x, y=y):
                    return F.cross_entropy(self.model(x), y) + self.model.penalty()

                if isinstance(self.optimizer, optim.ProximalSGD):
                    self.optimizer.step(loss)
                else:
                    self.optimizer.zero_grad()
                    loss().backward()
                    self.optimizer.step()
                steps -= 1
                if not steps:
                    break
        return self

    def state_dict(self):
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "batches": self.batches,
            "rng": mg.get_rng_state(),
        }

    def load_state_dict(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.load_state_dict(state["batches"])
        mg.set_rng_state(state["rng"])
        return self


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_goes_on_bit_by_bit(tmp_path, name):
    make = OPTIMIZERS[name]
    mg.save(Training(make, seed=1).run(10), tmp_path / "expected")
    mg.save(
        Training(make, seed=1).run(4), tmp_path / "c"
    )  # 4 steps: the second batch of the second epoch is next
    mg.save(
        Training(make, seed=2).run(1).load_state_dict(mg.load(tmp_path / "c")).run(6),
        tmp_path / "found",
    )
    assert (tmp_path / "found").read_bytes() == (tmp_path / "expected").read_bytes()
    mg.save(Training(make, seed=2).run(10), tmp_path / "other")
    assert (tmp_path / "other").read_bytes() != (tmp_path / "expected").read_bytes()


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=5),
    st.sampled_from(["SGD, groups", "Adam, schedule", "FISTA, restart"]),
)
def test_a_training_may_be_interrupted_often(tmp_path_factory, pauses, name):
    file = tmp_path_factory.getbasetemp() / "often.npz"
    expected = Training(OPTIMIZERS[name], seed=1).run(sum(pauses)).model.state_dict()
    training = Training(OPTIMIZERS[name], seed=1)
    for seed, steps in enumerate(pauses):
        with patched(os, "fsync", no_sync):
            mg.save(training.run(steps), file)
        training = Training(OPTIMIZERS[name], seed).load_state_dict(mg.load(file))
    assert same(training.model.state_dict(), expected)


def test_an_optimizers_state_is_readable_and_a_copy():
    w, b = mg.Tensor([1.0, 2.0], True), mg.Tensor([0.0], True)
    optimizer = optim.Adam([{"params": w, "lr": lambda step: 0.1 * 0.5**step}, {"params": [b]}])
    (w * w).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    kept = state["param_groups"][0]["params"][0]["buffers"]
    assert same(
        state,
        {
            "optimizer": "Adam",
            "steps": 1,
            "param_groups": [
                {
                    "lr": "function",
                    "betas": [0.9, 0.999],
                    "eps": 1e-8,
                    "weight_decay": 0.0,
                    "amsgrad": False,
                    "maximize": False,
                    "params": [{"shape": [2], "updates": 1, "buffers": kept}],
                },
                {
                    "lr": 0.001,
                    "betas": [0.9, 0.999],
                    "eps": 1e-8,
                    "weight_decay": 0.0,
                    "amsgrad": False,
                    "maximize": False,
                    "params": [{"shape": [1], "updates": 0, "buffers": {}}],
                },
            ],
        },
    )
    np.testing.assert_allclose(kept["mean"], [0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(kept["mean of squares"], [0.004, 0.016], rtol=1e-5)
    kept["mean"][...] = 7
    assert not np.any(
        optimizer.state_dict()["param_groups"][0]["params"][0]["buffers"]["mean"] == 7
    )
    optimizer.load_state_dict(state)
    kept["mean"][...] = 8
    assert np.all(optimizer.state_dict()["param_groups"][0]["params"][0]["buffers"]["mean"] == 7)


def pair(*shapes):
    return [mg.Tensor(np.ones(shape), True) for shape in shapes]


W, H = (3, 2), (2,)
FOREIGN = {  # name: (saved, loaded into, what the error says)
    "another optimizer": (
        lambda: optim.SGD(pair(W)),
        lambda: optim.Adam(pair(W)),
        [
            "load_state_dict into Adam: nothing was changed",
            "optimizer: 'Adam' here, 'SGD' in the state",
        ],
    ),
    "the same rule, decoupled": (
        lambda: optim.Adam(pair(W)),
        lambda: optim.AdamW(pair(W)),
        ["'AdamW' here, 'Adam' in the state"],
    ),
    "shapes": (
        lambda: optim.SGD(pair(W, H)),
        lambda: optim.SGD(pair(W, (3,))),
        ["param_groups.0.params.1.shape: [3] here, [2] in the state."],
    ),
    "transposed": (
        lambda: optim.SGD(pair(W)),
        lambda: optim.SGD(pair(W[::-1])),
        ["[2, 3] here, [3, 2] in the state"],
    ),
    "fewer parameters": (
        lambda: optim.SGD(pair(W, H)),
        lambda: optim.SGD(pair(W)),
        ["param_groups.0.params.1: only in the state."],
    ),
    "more parameters": (
        lambda: optim.SGD(pair(W)),
        lambda: optim.SGD(pair(W, H)),
        ["param_groups.0.params.1: missing in the state."],
    ),
    "groups": (
        lambda: optim.SGD([{"params": pair(W)}, {"params": pair(H)}]),
        lambda: optim.SGD(pair(W, H)),
        ["param_groups.1: only in the state", "groups.0.params.1: missing in the state"],
    ),
    "a schedule": (
        lambda: optim.SGD(pair(W), lr=optim.cosine(0.1, 9)),
        lambda: optim.SGD(pair(W), lr=0.1),
        ["param_groups.0.lr: 0.1 here, 'function' in the state."],
    ),
    "acceleration": (
        lambda: optim.ProximalSGD(pair(W), accelerated=True),
        lambda: optim.ProximalSGD(pair(W)),
        ["accelerated: False here, True in the state."],
    ),
    "a model": (
        lambda: nn.Linear(2, 2),
        lambda: optim.SGD(pair(W)),
        ["optimizer: missing in the state; steps: missing", "weight: only in the state"],
    ),
    "a part of one": (
        lambda: {"optimizer": "SGD", "steps": 3},
        lambda: optim.SGD(pair(W)),
        ["param_groups: missing in the state."],
    ),
    "a whole checkpoint": (
        lambda: Training(OPTIMIZERS["SGD"], 0),
        lambda: optim.SGD(pair(W)),
        [
            "optimizer: 'SGD' here, {'optimizer': 'SGD', 'steps': 0, 'param_groups': [{'lr': 0.",
            "in the state; steps: missing in the state",
        ],
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_state_of_another_optimizer_is_refused_and_changes_nothing(tmp_path, name):
    saved, loaded, messages = FOREIGN[name]
    optimizer = loaded()
    mg.save(saved(), tmp_path / "c")
    before = optimizer.state_dict()
    with pytest.raises(ValueError) as error:
        optimizer.load_state_dict(mg.load(tmp_path / "c"))
    assert all(message in str(error.value) for message in messages)
    assert same(optimizer.state_dict(), before)


def put(tree, value, *keys):
    for key in keys[:-1]:
        tree = tree[key]
    tree[keys[-1]] = value


GROUP = "param_groups", 1
PARAMETER = *GROUP, "params", 0
WRONG = [  # optimizer, a place in its state, values that do not belong there
    ("SGD", ("steps",), [None, -1, 1.5, math.nan, True, [], "x"]),
    ("SGD", (*PARAMETER, "updates"), [None, -1, 1.5, math.nan, True, [], "x"]),
    ("SGD", (*GROUP, "lr"), [None, -1, math.nan, math.inf, True + 0j, [], np.ones(2), "x"]),
    ("SGD", (*GROUP, "nesterov"), [None, 1, 0.0, "True"]),
    ("SGD", (*GROUP, "dampening"), [0.5]),  # with nesterov
    ("Adam", (*GROUP, "betas"), [[1.5, 0.9], [0.9], [0.9, None], 0.9, None]),
    ("LBFGS", ("param_groups", 0, "max_iter"), [0, 1.5, None]),
    ("SGD", (*PARAMETER, "buffers"), [None, 3, [1.0]]),
    ("SGD", (*PARAMETER, "buffers", "velocity"), [None, np.ones(3), np.ones((1, 2)), "x", 1j]),
    ("Adam", (*PARAMETER, "buffers", "mean"), [np.ones(1), np.array([None] * 2), [1j, 1j]]),
]


@pytest.mark.parametrize("name, place, values", WRONG)
def test_what_the_constructor_refuses_is_refused_in_a_state_and_changes_nothing(
    name, place, values
):
    def made():
        w, b = pair(W, H)
        if name == "LBFGS":
            optimizer = optim.LBFGS([w, b])
            optimizer.step(lambda: backward_of((w * w).sum() + (b * b).sum()))
            return optimizer
        settings = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {}
        optimizer = getattr(optim, name)([{"params": [w]}, {"params": [b], "lr": 0.5}], **settings)
        backward_of((w * w).sum() + (b * b).sum())
        optimizer.step()
        return optimizer

    for value in values:
        state, optimizer = made().state_dict(), made()
        before = optimizer.state_dict()
        put(state, 7, "steps")  # so that a state that was taken in part would be seen
        put(state, 0.25, "param_groups", 0, "lr")
        put(state, value, *place)
        with pytest.raises((ValueError, TypeError)):
            optimizer.load_state_dict(state)
        assert same(optimizer.state_dict(), before), value


def backward_of(loss):
    loss.backward()
    return loss


class Noises:
    """The random state as an owner of a state."""

    state_dict = staticmethod(mg.get_rng_state)
    load_state_dict = staticmethod(mg.set_rng_state)


def scheduled(make):
    optimizer = optim.SGD(pair(W), lr=0.1)
    scheduler = make(optimizer)
    return scheduler, lambda: scheduler.step(*[2.0] * hasattr(scheduler, "best"))


def optimized(kind, **settings):
    """An optimizer, and a function that makes a step of it."""
    w, b = parameters = pair(W, H)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum() + (b * b).sum()
        return loss if kind is optim.ProximalSGD else backward_of(loss)

    def step():
        if kind in (optim.LBFGS, optim.ProximalSGD):
            return optimizer.step(closure)
        closure()
        return optimizer.step()

    optimizer = kind(parameters, **settings)
    return optimizer, step


def batched():
    batches = Batches(np.arange(9), batch_size=2)
    return batches, lambda: next(iter(batches))


def modelled():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    return model, lambda: model(np.ones((4, 2)))


SETTINGS = {
    "SGD": {"lr": lambda step: 0.1, "momentum": 0.9},
    "Adam": {"amsgrad": True},
    "LBFGS": {"max_iter": 2},
    "ProximalSGD": {"accelerated": True},
}
KINDS = [v for v in vars(optim).values() if isinstance(v, type) and issubclass(v, optim.Optimizer)]
OWNERS = {
    kind.__name__: partial(optimized, kind, **SETTINGS.get(kind.__name__, {}))
    for kind in KINDS
    if kind is not optim.Optimizer
}
OWNERS |= {
    "Plateau": lambda: scheduled(optim.lr_scheduler.ReduceLROnPlateau),
    "Cosine": lambda: scheduled(lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 3)),
    "Batches": batched,
    "Module": modelled,
    "noise": lambda: (Noises, lambda: mg.noise.stream("a").random()),
}
TOLD = "load_state_dict|set_rng_state|.*(out of range|must be)"
JUNK = [None, True, -1, 1.5, math.nan, "x", [], {}, [None], {"a": 1}, np.ones(7), np.array([None])]


def spoiled(tree, junk):
    """(the keys that lead to a value, the tree with junk in its place) for each value of a tree."""
    yield (), junk
    if isinstance(tree, (dict, list)):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            for keys, wrong in spoiled(tree[key], junk):
                whole = copy.copy(tree)
                whole[key] = wrong
                yield (key, *keys), whole


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of junk as a setting
@pytest.mark.parametrize("name", OWNERS)
def test_junk_at_any_place_of_a_state_is_refused_or_harmless(name):
    """Junk that is refused changes nothing, and the error names the owner or the setting."""
    good, step = OWNERS[name]()
    step()
    saved = copy.deepcopy(good.state_dict())
    for junk in JUNK:
        for place, wrong in spoiled(saved, junk):
            owner, step = OWNERS[name]()
            step()
            step()
            before = copy.deepcopy(owner.state_dict())
            try:
                owner.load_state_dict(wrong)
            except (ValueError, TypeError) as error:
                assert re.match(TOLD, str(error))
                assert same(owner.state_dict(), before), (place, junk)
                continue
            is_number = "buffers" in place and np.ndim(junk) == 0  # as NAdam's product of momenta
            if not is_number and "pairs" not in place and "last" not in place:
                step()


def test_a_buffer_that_a_state_lacks_is_told_of():
    (w,) = pair(H)
    optimizer = optim.SGD([w], momentum=0.9)
    backward_of((w * w).sum())
    optimizer.step()
    state = optimizer.state_dict()
    buffers = state["param_groups"][0]["params"][0]["buffers"]
    buffers["velocityy"] = buffers.pop("velocity")
    optimizer.load_state_dict(state)
    told = "the buffer 'velocity' of a parameter begins with zeros at its update 2"
    with pytest.warns(RuntimeWarning, match=told) as warned:
        optimizer.step()
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()


def test_settings_come_with_the_state_as_in_pytorch():
    """Also settings that were changed by hand."""
    w, b = pair(W, H)
    optimizer = optim.Adam([{"params": [w], "betas": (0.5, 0.9)}, {"params": [b]}], lr=0.1)
    optimizer.param_groups[1]["lr"] = 0.003
    other = optim.Adam([{"params": [w]}, {"params": [b]}], weight_decay=0.1)
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups == optimizer.param_groups and other.param_groups[0]["betas"] == (
        0.5,
        0.9,
    )


@pytest.mark.parametrize("first", [None, True, 2, 2.5, np.int64(2), np.ones(2), [1], {"a": 1}])
def test_a_counter_of_a_reader_comes_back(first):
    class Counting(Momentum):
        """An optimizer with a counter that begins as None, and one that begins as `first`."""

        counters = ("steps", "speed", "seen", "last")

        def __init__(self, parameters):
            super().__init__(parameters, lr=0.1)
            self.seen, self.last = None, first

    (w,) = pair(H)
    old, new = Counting([w]), Counting([w])
    old.seen = [first]
    new.load_state_dict(old.state_dict())
    assert same(new.state_dict(), old.state_dict())


def test_a_key_that_a_user_added_to_a_group_stays():
    optimizer, step = optimized(optim.SGD, momentum=0.9)
    optimizer.param_groups[0]["part"] = "decoder"
    optimizer.load_state_dict(optimizer.state_dict())
    step()
    optimizer.load_state_dict(optimizer.state_dict())
    (group,) = optimizer.param_groups
    assert group["part"] == "decoder"
    assert all(trained.settings is group for trained in optimizer.state.values())


def test_a_schedule_of_the_constructor_stays():
    w = mg.Tensor([1.0], True)
    optimizer, other = (
        optim.SGD([w], lr=lambda step, factor=factor: factor * (step + 1)) for factor in (1, 2)
    )
    (1 * w).sum().backward()
    optimizer.step()
    other.load_state_dict(optimizer.state_dict())
    w.data[...] = 0
    other.step()
    assert w.tolist() == [-4]  # the second step of the second schedule


def test_an_optimizer_of_another_precision_keeps_its_own():
    optimizers = [
        optim.SGD([mg.Tensor(np.ones(2, dtype), True)], momentum=0.5)
        for dtype in (np.float64, np.float32)
    ]
    w = optimizers[0].param_groups[0]["params"][0]
    (w * w).sum().backward()
    optimizers[0].step()
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    assert (
        optimizers[1].state_dict()["param_groups"][0]["params"][0]["buffers"]["velocity"].dtype
        == np.float32
    )
