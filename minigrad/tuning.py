"""Two settings of the whole process that make graphs faster. They change no result.

Set the environment variable MINIGRAD_TUNING=0 before minigrad is imported to leave the process as
it is.
"""

import gc
import os

import numpy as np

# A graph is many small objects and no reference cycle. With Python's own threshold (700 or 2,000
# new objects) the cyclic collector walks through the whole graph again and again while it grows.
OBJECTS = 10_000

# The C library of Linux gives the memory of a large array back to the system when the array is
# freed, and the next array costs one page fault for every 4 KB. It learns to keep such memory up
# to the largest array that it sees freed, at most 32 MB (mallopt(3), M_MMAP_THRESHOLD). So one
# array of nearly 32 MB is made and freed here. Nothing writes to it, so it takes no memory.
LARGEST = 2**25 - 2**13


def tune():
    """Applies both settings, unless MINIGRAD_TUNING is 0."""
    if os.environ.get("MINIGRAD_TUNING") == "0":
        return
    first, *others = gc.get_threshold()
    gc.set_threshold(max(first, OBJECTS), *others)
    np.empty(LARGEST, np.uint8)
