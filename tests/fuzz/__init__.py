"""A fuzzer: random programs, run by minigrad and by plain NumPy.

    python -m tests.fuzz --programs 20000 --seed 1

grammar.py    writes a program: 5 to 40 lines of text, from a table of the vocabulary
reference.py  what it computes: NumPy on the same text, with derivatives by the complex step
checks.py     what must hold for it: values, gradients, replay, noise, memory, errors
pytorch.py    a second opinion, where PyTorch is installed
shrinking.py  a finding as the shortest script that shows it
"""
