"""symbackprop: write array mathematics once; get its derivative as a formula, as a graph, and as NumPy code.

>>> import symbackprop as sb
>>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
>>> loss = sb.mean((X @ w - y) ** 2)
>>> print(sb.grad(loss, w))
2Xᵀ(Xw − y)/N
"""

from importlib import import_module
from typing import TYPE_CHECKING

from symbackprop import ops
from symbackprop.autodiff import (
    backprop,
    check_grad,
    directional,
    divergence,
    empirical_fisher,
    evaluate,
    fisher,
    gauss_newton,
    gnvp,
    hessian_diag,
    jvp,
    laplacian,
    vjp,
)
from symbackprop.custom import define_op
from symbackprop.expr import Expr
from symbackprop.graph import Graph, current_graph, module
from symbackprop.lower import Function, Sparsity, Structured, compile, sparsity
from symbackprop.ops import linalg
from symbackprop.ops.arrange import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.contract import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.create import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.elementwise import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.gather import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.index import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.layout import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.leaf import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.nan_reductions import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.numbers import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.order import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.padding import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.products import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.reduce import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.scan import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.selection import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.special import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.statistics import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.ops.window import *  # noqa: F403  (its __all__: NumPy's names)
from symbackprop.printing import latex, numpy_code, text
from symbackprop.rewrite import simplify
from symbackprop.tracing import Derivative, grad, hessian, hvp, jacobian, trace_function, value_and_grad

if TYPE_CHECKING:
    from symbackprop.equality import Comparison, same
    from symbackprop.language.reader import parse
    from symbackprop.optimise import Optimum, ScipyProblem, least_squares, minimize, scipy_problem
    from symbackprop.printing.modules import Module, modules
    from symbackprop.printing.svg import Drawing, draw
    from symbackprop.printing.table import BackpropTable, backprop_table
    from symbackprop.sympy_forms import from_sympy

__all__ = [
    "BackpropTable",
    "Comparison",
    "Derivative",
    "Drawing",
    "Expr",
    "Function",
    "Graph",
    "Module",
    "Optimum",
    "ScipyProblem",
    "Sparsity",
    "Structured",
    "backprop",
    "backprop_table",
    "check_grad",
    "compile",
    "current_graph",
    "define_op",
    "directional",
    "divergence",
    "draw",
    "empirical_fisher",
    "evaluate",
    "fisher",
    "from_sympy",
    "gauss_newton",
    "gnvp",
    "grad",
    "hessian",
    "hessian_diag",
    "hvp",
    "jacobian",
    "jvp",
    "laplacian",
    "latex",
    "least_squares",
    "linalg",
    "minimize",
    "module",
    "modules",
    "numpy_code",
    "parse",
    "same",
    "scipy_problem",
    "simplify",
    "sparsity",
    "text",
    "trace_function",
    "value_and_grad",
    "vjp",
]
__all__ += ops.__all__

__version__ = "0.1.0"

# A quarter of what an import would cost: what has these names is loaded when they are first used.
_LATER = {
    "BackpropTable": "printing.table",
    "Comparison": "equality",
    "Drawing": "printing.svg",
    "Module": "printing.modules",
    "Optimum": "optimise",
    "ScipyProblem": "optimise",
    "backprop_table": "printing.table",
    "draw": "printing.svg",
    "from_sympy": "sympy_forms",
    "least_squares": "optimise",
    "minimize": "optimise",
    "modules": "printing.modules",
    "parse": "language.reader",
    "same": "equality",
    "scipy_problem": "optimise",
}


def __getattr__(name: str) -> object:
    """Load what is loaded late."""
    if name not in _LATER:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = globals()[name] = getattr(import_module(f"symbackprop.{_LATER[name]}"), name)
    return found


def __dir__() -> list[str]:
    """Name what is loaded late, too."""
    return sorted({*globals(), *_LATER})
