"""Saving and loading."""

import os

import numpy as np

from .engine import Tensor
from .nn import Module


def save(state_dict, path):
    """Writes a state_dict, or the one of a Module, as .npz (no pickle). The file is replaced whole or not at all."""
    import zipfile  # as np.load does, only when a file is at hand

    if isinstance(state_dict, Module):
        state_dict = state_dict.state_dict()
    temporary = f"{os.fspath(path)}.{os.getpid()}.tmp"
    try:
        with zipfile.ZipFile(temporary, "w") as archive:  # not np.savez, which some keys would confuse
            for key, value in state_dict.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(value.data if isinstance(value, Tensor) else value), allow_pickle=False)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load(path):
    """The state_dict that `save` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}
