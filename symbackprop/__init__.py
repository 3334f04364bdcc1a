"""symbackprop: write array mathematics once; get its derivative as a formula, as a graph, and as NumPy code.

>>> import symbackprop as sb
>>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
>>> loss = sb.mean((X @ w - y) ** 2)
>>> print(sb.grad(loss, w))
2Xᵀ(Xw − y)/N
"""

from symbackprop import ops
from symbackprop.autodiff import backprop, check_grad, evaluate, grad, hessian, hvp, jacobian, jvp, vjp
from symbackprop.equality import Comparison, same
from symbackprop.expr import Expr
from symbackprop.graph import Graph, current_graph, module
from symbackprop.language import parse
from symbackprop.lower import Function, compile
from symbackprop.ops import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops import linalg
from symbackprop.printing import BackpropTable, Drawing, Module, backprop_table, draw, latex, modules, numpy_code, text
from symbackprop.rewrite import simplify

__all__ = [
    "BackpropTable",
    "Comparison",
    "Drawing",
    "Expr",
    "Function",
    "Graph",
    "Module",
    "backprop",
    "backprop_table",
    "check_grad",
    "compile",
    "current_graph",
    "draw",
    "evaluate",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "latex",
    "linalg",
    "module",
    "modules",
    "numpy_code",
    "parse",
    "same",
    "simplify",
    "text",
    "vjp",
]
__all__ += ops.__all__

__version__ = "0.1.0"
