"""Pictures of graphs, and a page that steps through one.

boxes.py     what becomes one node, and what it is called
fold.py      what folds into one: modules, loops, leaves that are alike
picture.py   looks into the tensors and writes plain records of nodes and edges
words.py     how arrays, arguments, rules and verdicts are told in short
dot.py       the records, how each kind looks, and DOT and plain text made of them
render.py    from DOT text to a picture, by a Graphviz program
trace.py     the backward pass as it happens
stepper.py   to_html: a page that steps forward and backward (its template is stepper.html)
calls.py     draw and its relatives
"""

from .calls import draw, draw_dot, make_dot, to_dot, to_text
from .picture import describe
from .stepper import to_html
from .trace import trace
