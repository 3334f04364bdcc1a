"""symbackprop: write array mathematics once; get its derivative as a formula, as a graph, and as NumPy code."""

from symbackprop.autodiff import backprop, check_grad, evaluate, grad, hvp, jvp, vjp
from symbackprop.expr import Expr
from symbackprop.graph import Graph, current_graph
from symbackprop.ops import *  # noqa: F403  (NumPy's names)
from symbackprop.lower import Function, compile
from symbackprop.rewrite import simplify
from symbackprop.printing import latex, text
