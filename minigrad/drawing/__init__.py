"""Pictures of graphs, and a page that steps through one.

node.py      from tensors to nodes and edges: which tensors become one node, and its name
labels.py    the texts of a node: rows, numbers, arguments, rules, verdicts
collapse.py  which nodes fold into one card, so that a picture stays small
dot.py       how each kind of node looks; DOT text and plain text
render.py    from DOT text to a picture, by a Graphviz program
trace.py     the backward pass as it happens
page.py      to_html: a page that steps forward and backward (its template is page.html)
api.py       the functions for users: draw, to_dot, to_text, describe
"""

from .api import describe, draw, to_dot, to_text
from .page import to_html
from .trace import trace

__all__ = ["draw", "to_dot", "to_html", "to_text", "describe", "trace"]
