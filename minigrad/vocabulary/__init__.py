"""The rest of the vocabulary: NumPy's functions by theme, and PyTorch's names. Read it last.

It is imported when a program first asks for a name that the other files do not have (see
minigrad/later.py). Nearly all functions here are compositions: their derivatives of every order
come from their ops.

    elementwise   functions of one entry at a time, real and imaginary parts, positions
    entries       moving, repeating, dropping and joining entries
    reductions    sums and means of other kinds, quantiles, sorting, differences
    linalg        products, and np.linalg
    calls         methods of ufuncs, and all of NumPy on data that are not recorded
    pytorch       PyTorch's names and keywords
"""

from . import calls, elementwise, entries, linalg, pytorch, reductions
