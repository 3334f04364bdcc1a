"""How expressions are shown: as text, in LaTeX, as forward and backward lines, as DOT and as drawings."""

from symbackprop.printing.code import numpy_code
from symbackprop.printing.dot import dot
from symbackprop.printing.latex import latex
from symbackprop.printing.modules import Module, modules
from symbackprop.printing.notebook import register_where_running
from symbackprop.printing.svg import Drawing, draw
from symbackprop.printing.table import BackpropTable, backprop_table
from symbackprop.printing.text import text

register_where_running()

__all__ = [
    "BackpropTable",
    "Drawing",
    "Module",
    "backprop_table",
    "dot",
    "draw",
    "latex",
    "modules",
    "numpy_code",
    "text",
]
