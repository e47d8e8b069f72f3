"""Pictures of graphs, and a page that steps through one.

node.py      from tensors to nodes and edges: what becomes one node, and what it is called
labels.py    what a node says, in short: rows, tooltips, numbers, arguments, rules, verdicts
collapse.py  which nodes fold into one card, so that a picture stays small
dot.py       how each kind of node looks; the DOT text and the plain text
render.py    from DOT text to a picture, by a Graphviz program
trace.py     the backward pass as it happens
page.py      to_html: a page that steps forward and backward (its template is page.html)
api.py       draw and its relatives
"""

from .api import describe, draw, to_dot, to_text
from .page import to_html
from .trace import trace
