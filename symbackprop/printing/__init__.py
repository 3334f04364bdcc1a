"""How expressions are shown: as text, in LaTeX, as NumPy code; tables and drawings are imported when they are used."""

from typing import Any

from symbackprop.expr import Expr
from symbackprop.printing.code import numpy_code
from symbackprop.printing.latex import latex
from symbackprop.printing.notebook import register_where_running
from symbackprop.printing.text import text

register_where_running()


def _to_dot(expr: Expr, **options: Any) -> str:
    from symbackprop.printing.dot import dot  # noqa: PLC0415  (an import need not wait for drawings)

    return dot(expr, **options)


def _to_sympy(expr: Expr) -> Any:
    from symbackprop.sympy_forms import to_sympy  # noqa: PLC0415  (SymPy is loaded by who asks for it)

    return to_sympy(expr)


Expr.views["dot"] = _to_dot
Expr.views["sympy"] = _to_sympy

__all__ = ["latex", "numpy_code", "text"]
