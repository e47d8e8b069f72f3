"""Interrupts at every moment: what they leave behind, and a command that interrupts at random.

    python tests/interrupts.py 5000

interrupts the calls in CALLS at every moment, and then 5,000 times by real signals (SIGALRM) at
random moments. It looks each time whether everything is as before the call, or as after it.

`every_moment` raises KeyboardInterrupt at one moment after the other. CPython looks for signals
when a function begins, after a call, and when a loop goes back. The start of a function and the end
of a call into C are events of sys.setprofile; the rest are opcodes, which sys.settrace shows.
"""

import dis
import os
import random
import signal
import sys
import tempfile
import time
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import modes, nn, optim
from minigrad import noise as randomness
from minigrad.data import Batches

PACKAGE = Path(mg.__file__).parent
CRITICAL = {  # file: the functions in it where moments are counted; None: all
    "data.py": None,
    "modes.py": None,
    "noise.py": None,
    "state.py": ("save",),
    "nn/module.py": ("__call__", "forward"),
    "optim/base.py": ("load_state_dict", "add_param_group"),
}
CRITICAL = {str(PACKAGE / name): functions for name, functions in CRITICAL.items()}
CRITICAL[zipfile.__file__] = None

# ------------------------------------------------------------------------------- what is looked at


def model():
    """A model with noise, running statistics and parameters, in training."""
    return nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Sequential(nn.Linear(4, 1))
    )


class World:
    """What a call could leave behind: modules, generators, modes, a file, places in a training."""

    def __init__(self, folder):
        mg.manual_seed(0)
        self.file = Path(folder) / "checkpoint"
        self.model = model()
        self.x = np.ones((6, 3), np.float32) * np.arange(3, dtype=np.float32)
        self.model(self.x)  # the streams exist now
        self.batches = Batches(np.arange(6), batch_size=2)
        self.position = self.batches.state_dict()
        self.saved_rng = mg.get_rng_state()
        weights = [mg.Tensor(np.ones(2), True) for _ in range(2)]
        self.optimizer = optim.SGD([{"params": [w]} for w in weights], lr=0.1, momentum=0.9)
        self.trained = {**self.optimizer.state_dict(), "steps": 7}
        self.trained["param_groups"] = [
            {**group, "lr": 0.5, "params": [{"shape": [2], "updates": 3, "buffers": {}}]}
            for group in self.trained["param_groups"]
        ]
        mg.save({"k": 1, "w": np.ones(50)}, self.file)

    def scope(self):
        """The module that runs: none, always."""
        return modes.scope.get()

    def attributes(self):
        """Which values the modules hold: the same objects."""
        return [
            (name, sorted((key, id(value)) for key, value in vars(module).items()))
            for name, module in self.model.named_modules()
        ]

    def generators(self):
        """The states of all generators."""
        streams = {n: str(r.bit_generator.state) for n, r in randomness.main.streams.items()}
        return randomness.main.entropy, streams

    def files(self):
        """The names of the files and what the checkpoint holds."""
        tree = mg.load(self.file)
        return os.listdir(self.file.parent), tree["k"], tree["w"].tolist()

    def data(self):
        """The position of the data."""
        return self.batches.state_dict()

    def training(self):
        """The state of the optimizer."""
        return self.optimizer.state_dict()

    def look(self, *names):
        return {name: getattr(self, name)() for name in ("scope", *names)}


# ------------------------------------------------------------------------- what is interrupted


def forward(world):
    """A forward and a backward pass."""
    (world.model(world.x) ** 2).mean().backward()


def save(world):
    """A checkpoint in place of another."""
    mg.save({"k": 2, "w": np.full(50, 2.0)}, world.file)


def seed(world):
    """Another seed."""
    mg.manual_seed(3)


def set_state(world):
    """The state of the generators at another time."""
    mg.set_rng_state(world.saved_rng)


def position(world):
    """Another position in the data."""
    world.batches.load_state_dict({**world.position, "epoch": 4, "batch": 2, "seed": 9})


def optimizer(world):
    """Another time of the training."""
    world.optimizer.load_state_dict(world.trained)


CALLS = {  # call: what is as before it, or as after it, when it is interrupted
    forward: ("attributes",),
    save: ("files",),
    seed: ("generators",),
    set_state: ("generators",),
    position: ("data",),
    optimizer: ("training",),
}

INTERRUPTED = {call.__name__ for call in CALLS}

# --------------------------------------------------------------------------------- at every moment


@cache
def region(code):
    """A function that gives the place where an exception at an offset of the code is caught."""
    entries = getattr(dis.Bytecode(code), "exception_entries", ())
    return lambda offset: [e.target for e in entries if e.start <= offset < e.end][:1]


@cache
def opcodes(code):
    """{offset: name} of the opcodes of a code."""
    return {i.offset: i.opname for i in dis.get_instructions(code)}


class Moments:
    """While it runs, raises KeyboardInterrupt at the moment with this number; -1 counts alone."""

    def __init__(self, fatal=-1):
        self.fatal, self.count, self.where = fatal, 0, None
        self.last = {}  # frame: offset of its last opcode

    def run(self, call, world):
        sys.settrace(self.trace)
        sys.setprofile(self.profile)
        try:
            call(world)
        finally:
            sys.settrace(None)
            sys.setprofile(None)

    def moment(self, frame, event):
        if self.count == self.fatal:
            self.where = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}, {event}"
            sys.settrace(None)
            sys.setprofile(None)
            self.count += 1
            raise KeyboardInterrupt
        self.count += 1

    def is_critical(self, frame):
        code = frame.f_code
        if "__del__" in (code.co_name, frame.f_back.f_code.co_name):
            return False  # Python prints what a finalizer raises, and goes on
        if code.co_name == "<genexpr>":
            return False  # Python looks for no signals when it closes one
        if code.co_filename == __file__:
            return code.co_name in INTERRUPTED
        functions = CRITICAL.get(code.co_filename, ())
        return functions is None or code.co_name in functions

    def profile(self, frame, event, _):
        if event in ("call", "c_return") and self.is_critical(frame):
            self.moment(frame, event)

    def trace(self, frame, event, _):
        if not self.is_critical(frame):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "return":
            self.last.pop(frame, None)  # a frame keeps what was in its variables
        if event == "opcode":
            names, last = opcodes(frame.f_code), self.last.get(frame)
            self.last[frame] = offset = frame.f_lasti
            where = region(frame.f_code)
            goes_back = names[offset].startswith("JUMP_BACKWARD")
            after_call = last in names and names[last].startswith("CALL")
            if goes_back or (after_call and where(last) == where(offset)):
                self.moment(frame, names[offset])
        return self.trace


def every_moment(call, folder, step=1):
    """What is wrong after an interrupt at each moment of a call, and the number of moments.

    step  2: at every second moment
    """
    names, wrong = CALLS[call], []
    call(World(folder))  # what is computed once is computed
    counted, world = Moments(), World(folder)
    counted.run(call, world)
    before = found = None
    for fatal in range(0, counted.count, step):
        if before is None or found != before:
            world = World(folder)
            before = world.look(*names)
        moments, kept = Moments(fatal), None
        try:
            moments.run(call, world)
        except KeyboardInterrupt as error:
            kept = error  # with the traceback, as in an interactive session
        except Exception as error:
            kept = error
            wrong.append((moments.where, repr(error)))
        found = world.look(*names)
        if moments.where and kept is None:
            wrong.append((moments.where, "the interrupt is lost"))
        elif found != before:
            wrong += differences(call, world, before, found, moments.where)
    return wrong, counted.count


def differences(call, world, before, found, where):
    """What is neither as before the call nor as after it."""
    modes.scope.set(None)
    call(world)
    after = world.look(*found)
    changed = [name for name in found if found[name] != before[name]]
    return [(where, name) for name in changed if found[name] != after[name]]


# -------------------------------------------------------------------------------- at random moments


def at_random(interrupts, seed=0):
    """What is wrong after this many real signals at random moments, and {call: interrupts}."""
    rng, inside, wrong, hits = random.Random(seed), [False], [], dict.fromkeys(CALLS, 0)

    ignored = []  # in finalizers, Python prints an interrupt and goes on
    sys.unraisablehook = ignored.append

    def strike(*_):
        if inside[0]:
            inside[0] = False
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, strike)
    with tempfile.TemporaryDirectory() as folder:
        durations = {}
        for call in CALLS:
            world = World(folder)
            call(world)
            start = time.perf_counter()
            call(world)
            durations[call] = time.perf_counter() - start
        while sum(hits.values()) < interrupts:
            call = min(hits, key=hits.get)
            world, kept = World(folder), None
            before = world.look(*CALLS[call])
            try:
                delay = max(rng.uniform(0, 1.2 * durations[call]), 1e-6)
                inside[0] = True
                signal.setitimer(signal.ITIMER_REAL, delay)
                call(world)
                signal.setitimer(signal.ITIMER_REAL, 0)
                is_hit, inside[0] = not inside[0], False
                if is_hit and not ignored:
                    wrong.append((call.__name__, "the interrupt is lost"))
                ignored.clear()
            except KeyboardInterrupt as error:
                kept, is_hit = error, True
            except Exception as error:
                is_hit = True
                wrong.append((call.__name__, repr(error)))
            if is_hit:
                hits[call] += 1
                found = world.look(*CALLS[call])
                if found != before:
                    wrong += differences(call, world, before, found, call.__name__)
                if sum(hits.values()) % 500 == 0:
                    print(sum(hits.values()), "interrupts,", len(wrong), "wrong", flush=True)
            del kept
    return wrong, {call.__name__: count for call, count in hits.items()}


if __name__ == "__main__":
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for call in CALLS:
            found, count = every_moment(call, folder)
            wrong += found
            print(f"{call.__name__}: {count} moments, {len(found)} wrong", flush=True)
    found, hits = at_random(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
    wrong += found
    for line in wrong:
        print("WRONG", *line)
    print(f"{sum(hits.values())} signals, {len(wrong)} wrong")
    sys.exit(bool(wrong))
