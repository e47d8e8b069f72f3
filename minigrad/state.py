"""Checkpoints: the state of a whole training in one file, read back as plain data.

The file is an .npz that np.load opens too: a member for each array, named after its place (`model/0.weight`), and one of JSON
for the rest, in which null stands for an array, and that lists the arrays. Nothing is pickled, so no file can run code.
"""

import contextlib
import os
from collections.abc import Mapping

import numpy as np

from .array import data_of

TREE, MARK = (
    "tree.json",
    b"minigrad checkpoint",
)  # the member of JSON, and the comment of the zip file


def save(tree, path):
    """Writes `tree`: dicts and lists, also nested, of arrays, Tensors, numbers, strings, bools and None.

    What has a state_dict, such as a Module, an optimizer or Batches, is asked for it; a np.random.Generator gives its state.
    Whatever interrupts it, `path` is then the old file or the new one, whole: the new one is written beside it and renamed.
    """
    import json  # as np.load does, only when a file is at hand
    import zipfile

    arrays = {}

    def plain(place, leaf):
        if hasattr(leaf, "state_dict"):
            return _mapped(plain, leaf.state_dict(), *place)
        if isinstance(leaf, np.random.Generator):
            return _mapped(plain, leaf.bit_generator.state, *place)
        if leaf is None or isinstance(leaf, (bool, int, float, str)):
            return leaf
        leaf = data_of(leaf)
        if not hasattr(leaf, "__array__") or (array := np.asarray(leaf)).dtype.hasobject:
            what = f"{_name(place) or 'the state'} is {_short(leaf)}, of type {type(leaf).__name__}"
            raise ValueError(
                f"save: {what}. A checkpoint holds dicts and lists of arrays, numbers, strings, bools and None; nothing is pickled."
            )
        arrays[_name(place)] = array

    text = json.dumps({"tree": _mapped(plain, tree), "arrays": list(arrays)})
    path = os.path.realpath(path)  # a link stays, what it points to is replaced
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "wb") as file:
            with zipfile.ZipFile(
                file, "w"
            ) as archive:  # not np.savez, which some keys would confuse
                for name, array in arrays.items():
                    with archive.open(
                        zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True
                    ) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(TREE), text)
                archive.comment = MARK
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    with contextlib.suppress(
        OSError
    ):  # the new name on the disk too, where the system can; the file is whole in any case
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load(path):
    """What `save` wrote, as dicts, lists, arrays, numbers and strings that each load_state_dict takes; of any other .npz its arrays."""
    import json
    import zipfile

    def array(name):
        with archive.open(name) as member:
            found = np.lib.format.read_array(member, allow_pickle=False)
            if member.read(1):  # reading to the end also compares the checksum
                raise ValueError(f"{name} is longer than its header says")
        return found

    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if archive.comment != MARK:
                    return {name.removesuffix(".npy"): array(name) for name in archive.namelist()}
                content = json.loads(archive.read(TREE))
                arrays = {name: array(f"{name}.npy") for name in content["arrays"]}
                return _mapped(lambda place, leaf: arrays.get(_name(place), leaf), content["tree"])
        except Exception as error:
            raise ValueError(
                f"load: {path} is damaged or no checkpoint: {type(error).__name__}: {error}."
            ) from error


def _mapped(function, tree, *place):
    """The same dicts and lists with function(place, leaf) for each leaf, where `place` are the keys that lead to it."""
    if isinstance(tree, dict):
        for key in tree:
            if not isinstance(key, str):
                raise TypeError(
                    f"save: the keys of dicts must be strings, not {key!r}"
                    + f", in {_name(place)}." * bool(place)
                )
        return {key: _mapped(function, value, *place, key) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_mapped(function, value, *place, i) for i, value in enumerate(tree)]
    return function(place, tree)


def _name(place):
    """The name of an array in the file: no two places share one, whatever the keys are."""
    from urllib.parse import quote

    return "/".join(quote(str(key), safe=" ", errors="surrogatepass") for key in place)


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def agree(what, here, there):
    """Refuses a state that is none, or differs in the settings `here` ({name: value}) from what it shall be loaded into."""
    if not isinstance(there, Mapping):
        raise TypeError(
            f"load_state_dict into {what}: a dict is needed, as state_dict() returns, not a {type(there).__name__}. A file is read by minigrad.load."
        )
    differ = [name for name in here if not np.array_equal(here[name], there.get(name))]
    if differ:
        listed = "; ".join(
            f"{name}: {_short(here[name])} here, {_short(there.get(name))} in the state"
            for name in differ
        )
        raise ValueError(f"load_state_dict into {what}: nothing was changed. {listed}.")
