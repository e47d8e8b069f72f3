"""A recorded loss written out as straight-line NumPy: to read, and to run faster.

symbols.py    arrays that write down, as lines, what is done with them
naming.py     the names of tensors in a program
writing.py    the lines of a graph: its forwards and rules run on such arrays
sources.py    the source of functions that a program calls
reading.py    `write_out`: the lines as a file of Python
compiling.py  `compile`: the lines as a training step. It is right if no values leave the graph
              (watching.py), and while all else that the function reads stays (surroundings.py)
"""

from .compiling import compile
from .reading import write_out

__all__ = ["compile", "write_out"]
