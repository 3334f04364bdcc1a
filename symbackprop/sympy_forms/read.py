"""`from_sympy`: SymPy's scalars, sums over indices, matrices and arrays become expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from symbackprop.dims import ShapeLike
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.graph import current_graph
from symbackprop.sympy_forms import read_arrays, read_matrices, read_scalars, read_sums
from symbackprop.sympy_forms.reader import Basic, Reader


def from_sympy(expr: Basic, symbols: Mapping[Any, Expr | ShapeLike] | Iterable[Expr] = ()) -> Expr:
    """Give SymPy's expression as one of ours; each of its parts is translated once.

    Its symbols become ours by their names. They are scalars of float64 unless told otherwise; integers are of int64,
    sizes of matrices and ends of sums are named sizes, and what SymPy knows to be positive or nonnegative is declared
    with `assume`. Of what is complex there, such as the root of a negative number, the value is NaN here.

    Args:
        expr: a scalar, a condition, a matrix or an array of SymPy, explicit or in symbols. A matrix with one column or
            one row becomes a vector, and one with one element a scalar.
        symbols: shapes for symbols, by name: ``{"x": "N"}``; or expressions that are to stand for them.

    Raises:
        ArgumentError: what has no counterpart here, with its name.
        ShapeError: sizes that are no arithmetic on names and integers.

    >>> import sympy
    >>> import symbackprop as sb
    >>> x, y = sympy.symbols("x y")
    >>> print(from_sympy(sympy.exp(x) * y**2 + sympy.Rational(1, 2)))
    y² exp(x) + 0.5
    >>> N = sympy.Symbol("N", integer=True)
    >>> A, b = sympy.MatrixSymbol("A", N, N), sympy.MatrixSymbol("b", N, 1)
    >>> from_sympy(A.inv() * b), from_sympy(sympy.Trace(A * A.T))
    (<float64[N]: A⁻¹b>, <float64: tr(AAᵀ)>)
    """
    import sympy  # noqa: PLC0415  (imported by who has an expression of it)

    given = _named(symbols)
    graph = next((each_.graph for each_ in given.values() if isinstance(each_, Expr)), current_graph())
    if hasattr(expr, "as_immutable"):
        expr = expr.as_immutable()
    try:
        expr = sympy.sympify(expr, strict=True)
    except sympy.SympifyError:
        msg = f"from_sympy takes an expression of SymPy, not {type(expr).__name__}"
        raise ArgumentError(msg) from None
    if isinstance(expr, sympy.MutableDenseNDimArray | sympy.MutableSparseNDimArray):
        expr = expr.as_immutable()
    rules = {**read_scalars.rules(sympy), **read_sums.RULES, **read_matrices.RULES, **read_arrays.RULES}
    with graph:
        return Reader(sympy, given, graph, rules).read(expr)


def _named(symbols: Mapping[Any, Expr | ShapeLike] | Iterable[Expr]) -> dict[str, Expr | ShapeLike]:
    if isinstance(symbols, Mapping):
        return {key if isinstance(key, str) else str(key.name): value for key, value in symbols.items()}
    named: dict[str, Expr | ShapeLike] = {}
    for symbol in symbols:
        if not isinstance(symbol, Expr) or symbol.name is None:
            msg = f"from_sympy: symbols are a mapping from names, or symbols of symbackprop, not {symbol!r}"
            raise ArgumentError(msg)
        named[symbol.name] = symbol
    return named
