"""How expressions are shown: as text, in LaTeX, as DOT and as drawings."""

from symbackprop.printing.dot import dot
from symbackprop.printing.latex import latex
from symbackprop.printing.svg import Drawing, draw
from symbackprop.printing.text import text

__all__ = ["Drawing", "dot", "draw", "latex", "text"]
