"""Checkpoints: the state of a whole training in one file, and the comparison of two states.

The file is an .npz, which np.load opens too. It has one member for each array, named after the keys
that lead to the array (`model/0.weight`), and one member of JSON, which holds everything else: the
tree, with null in place of each array, and the list of arrays. Nothing is pickled, so loading
a file runs no code.
"""

import contextlib
import io
import numbers
import os
from collections.abc import Mapping

import numpy as np

from .array import data_of, entries_of, is_foreign, unmasked

TREE = "tree.json"  # the member of JSON
MARK = b"minigrad checkpoint"  # the comment of the zip file


def save(tree, path: str | os.PathLike) -> None:
    """Writes `tree`: nested dicts and lists of arrays, Tensors, numbers, strings, bools and None.

    An object with a state_dict, such as a Module, an optimizer or Batches, is saved as its
    state_dict(). The new file is written next to the old one and then renamed. So after an
    interruption `path` is the whole old file or the whole new one. The new file has the permissions
    of the old one.

    Raises ValueError for a value of another type, TypeError for a key that is not a string,
    RecursionError for a tree that holds itself, and OSError if the file cannot be written.
    """
    import json  # imported when it is needed, as in np.load
    import zipfile

    arrays = {}

    def plain(keys, leaf):
        if hasattr(leaf, "state_dict"):
            return _mapped(plain, leaf.state_dict(), *keys)
        if leaf is None or isinstance(leaf, (bool, int, float, str)):
            return leaf
        leaf = data_of(leaf)
        is_plain = hasattr(leaf, "__array__") and not is_foreign(leaf)
        if not is_plain or (array := np.asarray(unmasked(leaf))).dtype.hasobject:
            what = f"{_name(keys) or 'the state'} is {leaf!r:.60}, of type {type(leaf).__name__}"
            raise ValueError(
                f"save: {what}. A checkpoint holds dicts and lists of arrays, numbers, strings, "
                "bools and None; nothing is pickled."
            )
        arrays[_name(keys)] = array

    text = json.dumps({"tree": _mapped(plain, tree), "arrays": list(arrays)})
    content = io.BytesIO()
    archive = zipfile.ZipFile(content, "w")  # np.savez would refuse some keys
    try:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        archive.writestr(zipfile.ZipInfo(TREE), text)
        archive.comment = MARK
        archive.close()
    finally:
        archive.fp = None  # closing half an archive raises an error, which would hide the first
    path = os.path.realpath(path)  # a link stays a link: the file that it points to is replaced
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, os.stat(path).st_mode)  # a private file stays private
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def load(path: str | os.PathLike):
    """Reads a file that `save` wrote: dicts, lists, arrays, numbers, strings, bools and None.

    Every load_state_dict accepts them. Any other .npz gives a dict of its arrays. Raises ValueError
    for a file that is damaged or not a checkpoint, and OSError if it cannot be read.
    """
    import json
    import zipfile

    def array(name):
        with archive.open(name) as member:
            values = np.lib.format.read_array(member, allow_pickle=False)
            if member.read(1):  # reading to the end also compares the checksum
                raise ValueError(f"{name} is longer than its header says")
        return values

    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if archive.comment != MARK:
                    return {name.removesuffix(".npy"): array(name) for name in archive.namelist()}
                content = json.loads(archive.read(TREE))
                arrays = {name: array(f"{name}.npy") for name in content["arrays"]}
                return _mapped(lambda keys, leaf: arrays.get(_name(keys), leaf), content["tree"])
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ValueError(f"load: {path} is damaged or no checkpoint: {what}.") from error


def _mapped(function, tree, *keys):
    """The same dicts and lists with function(keys, leaf) for each leaf; `keys` lead to it."""
    if isinstance(tree, dict):
        for key in tree:
            if not isinstance(key, str):
                where = f", in {_name(keys)}" if keys else ""
                raise TypeError(f"save: the keys of dicts must be strings, not {key!r}{where}.")
        return {key: _mapped(function, value, *keys, key) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_mapped(function, value, *keys, i) for i, value in enumerate(tree)]
    return function(keys, tree)


def _name(keys):
    """The name of an array in the file, quoted so that different keys give different names."""
    from urllib.parse import quote

    return "/".join(quote(str(key), safe=" ", errors="surrogatepass") for key in keys)


def require_same(owner, here, there, free=(), counters=(), strict=True):
    """Refuses a state that does not fit its owner, before anything is changed.

    owner     the kind of the owner, for the message
    here      the owner's own state: dicts and lists of arrays, numbers, strings, bools and None
    there     the state to load: it must have the same keys, lists of the same lengths, arrays of
              the same shapes whose dtypes can be cast, and all other values equal
    free      names of values that may differ, unless only one of the two is a string
    counters  names of values that may differ, but not in kind: an int stays a whole number >= 0, a
              float a number that is not nan, a list a list, and a dict a dict
    strict    True refuses a key that only one of the states has

    Raises TypeError if `there` is not a dict, and ValueError with the places that differ.
    """
    if not isinstance(there, Mapping):
        raise TypeError(
            f"load_state_dict into {owner}: a dict is needed, as state_dict() returns, "
            f"not a {type(there).__name__}. A file is read by minigrad.load."
        )
    differences = "; ".join(_differences(here, there, free, counters, strict))
    if differences:
        raise ValueError(f"load_state_dict into {owner}: nothing was changed. {differences}.")


def _differences(here, there, free, counters, strict, name=""):
    """In words, each difference between two states, or between two parts of them called `name`."""
    if _are_dicts(here) and _are_dicts(there):
        here, there = (dict(enumerate(dicts)) for dicts in (here, there))
    if isinstance(here, dict) and isinstance(there, Mapping):
        for key in dict.fromkeys([*here, *there]):
            inner = f"{name}.{key}" if name else str(key)
            mine, given = here.get(key), there.get(key)
            if key not in here or key not in there:
                if strict:
                    yield f"{inner}: {'missing in' if key in here else 'only in'} the state"
            elif key in counters:
                if not _is_fit(mine, given):
                    yield f"{inner}: {given!r:.60} in the state cannot replace {mine!r:.60}"
            elif key not in free or isinstance(mine, str) != isinstance(given, str):
                yield from _differences(mine, given, free, counters, strict, inner)
    elif isinstance(here, np.ndarray):
        there = entries_of(there, f"load_state_dict: {name}")
        if here.shape != there.shape:
            yield f"{name}: shape {here.shape} here, {there.shape} in the state"
        elif not np.can_cast(there.dtype, here.dtype, "same_kind"):
            yield f"{name}: dtype {here.dtype} here, {there.dtype} in the state"
    elif not np.array_equal(here, there):
        yield f"{name}: {here!r:.60} here, {there!r:.60} in the state"


def _are_dicts(values):
    return isinstance(values, (list, tuple)) and any(isinstance(v, dict) for v in values)


def _is_fit(mine, given):
    """Whether `given` may take the place of the counter `mine`, as `require_same` says."""
    if type(mine) is float:
        return isinstance(given, numbers.Real) and given == given  # not nan
    if type(mine) is int:
        return isinstance(given, numbers.Integral) and not isinstance(given, bool) and given >= 0
    return not isinstance(mine, (list, dict)) or isinstance(given, type(mine))
