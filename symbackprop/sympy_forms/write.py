"""`to_sympy`: expressions in the words of SymPy."""

from __future__ import annotations

from typing import Any

from symbackprop.expr import Expr
from symbackprop.sympy_forms import write_arrays, write_elements, write_matrices
from symbackprop.sympy_forms.writer import Form, Writer

_RULES = {"element": write_elements.RULES, "matrix": write_matrices.RULES, "array": write_arrays.RULES}


def to_sympy(expr: Expr) -> Any:
    """Give an expression in SymPy: a scalar as its scalars, a vector or a matrix as its matrices, more as its arrays.

    Symbols are real, those of integers integer, and positive or nonnegative where `assume` says so. A vector is a
    matrix of one column, a named size an integer symbol, a reduction an explicit sum over the elements. Numbers are
    exact: a float becomes what it stands for, 0.5 a half and 3.141592653589793 π. SymPy has no dtypes.

    Args:
        expr: the expression.

    Raises:
        ArgumentError: an op that SymPy has no words for, with its name and why.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x y")
    >>> sb.log1p(sb.exp(x)).to_sympy(), sb.grad(sb.sin(x * y), x).to_sympy()
    (log(exp(x) + 1), y*cos(x*y))
    >>> A, b = sb.symbols("A[N,N] b[N]")
    >>> sb.linalg.solve(A, b).to_sympy(), sb.mean(b).to_sympy()
    (A**(-1)*b, Sum(b[i, 0], (i, 0, N - 1))/N)
    """
    import sympy  # noqa: PLC0415  (who needs it has time for it)

    form: Form = "element" if not expr.shape else "matrix" if expr.ndim <= 2 else "array"
    return Writer(sympy, expr, _RULES, write_matrices.LINEAR).write(expr.number, form)
