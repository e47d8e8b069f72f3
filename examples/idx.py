"""Images and labels from the idx files of MNIST and Fashion-MNIST, plain or .gz, in a folder of your own."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

IMAGES, LABELS = 0x00000803, 0x00000801  # magic numbers: unsigned bytes along three axes, along one
CLASSES = 10


def read(path, magic):
    """The array (uint8) in one idx file that must begin with `magic`. ValueError says what is wrong with the file."""
    raw = Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}.") from None
    axes = magic & 0xFF
    start = 4 + 4 * axes
    if len(raw) < 4 or (found := struct.unpack_from(">I", raw)[0]) != magic:
        begins = f"it begins with 0x{found:08x}" if len(raw) >= 4 else f"it has {len(raw)} bytes"
        raise ValueError(
            f"{path}: not an idx file of {'images' if axes == 3 else 'labels'}: {begins}, not with 0x{magic:08x}."
        )
    if len(raw) < start:
        raise ValueError(f"{path}: truncated: {len(raw)} bytes, and the header alone has {start}.")
    shape = struct.unpack_from(f">{axes}I", raw, 4)
    if len(raw) != start + math.prod(shape):
        state = "truncated" if len(raw) < start + math.prod(shape) else "too long"
        raise ValueError(
            f"{path}: {state}: its header promises {math.prod(shape):,} bytes, shape {shape}; there are {len(raw) - start:,}."
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def find(folder, stem):
    """The file of that name in a folder, plain or .gz, with "-idx" or ".idx" in its name."""
    names = [
        name + ending for name in (stem, stem.replace("-idx", ".idx")) for ending in ("", ".gz")
    ]
    for name in names:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise FileNotFoundError(f"{folder}: there is no {names[0]} (nor {', '.join(names[1:])}).")


def load(folder):
    """[train, test], each (images uint8 (n, height, width), labels uint8 (n,)), checked."""
    parts = []
    for part in ("train", "t10k"):
        images_file, labels_file = (
            find(folder, f"{part}-images-idx3-ubyte"),
            find(folder, f"{part}-labels-idx1-ubyte"),
        )
        images, labels = read(images_file, IMAGES), read(labels_file, LABELS)
        if len(images) != len(labels):
            raise ValueError(
                f"{images_file} has {len(images):,} images, {labels_file} has {len(labels):,} labels."
            )
        if len(labels) and labels.max() >= CLASSES:
            raise ValueError(
                f"{labels_file}: label {labels.max()}; {CLASSES} classes are 0..{CLASSES - 1}."
            )
        parts.append((images, labels))
    if parts[0][0].shape[1:] != parts[1][0].shape[1:]:
        raise ValueError(
            f"{folder}: the training images are {parts[0][0].shape[1:]}, the test images {parts[1][0].shape[1:]} pixels."
        )
    return parts
