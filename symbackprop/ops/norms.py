"""Norms of vectors and matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, POWER, Case, Form, Notation, Op, Params, apply
from symbackprop.ops.elementwise import abs as abs_
from symbackprop.ops.elementwise import astype, equal, not_equal, power, real, where
from symbackprop.ops.factor import largest_of, svdvals
from symbackprop.ops.layout import axes_of, expand_dims, squeeze, to_end
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import SUM, Axis, reduced, spread
from symbackprop.ops.reduce import max as max_
from symbackprop.ops.reduce import min as min_
from symbackprop.ops.reduce import sum as sum_
from symbackprop.ops.systems import inv

__all__ = ["cond", "matrix_norm", "norm", "vector_norm"]


def _over(function: str) -> Callable[[Params, tuple[Shape, ...]], Form]:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axes = tuple(axis + len(shapes[0]) for axis in params["axes"])
        parts = [] if len(axes) == len(shapes[0]) else [f"axis={axes[0] if len(axes) == 1 else axes}"]
        parts += ["keepdims=True"] * bool(params.get("keepdims"))
        return Form(f"{function}({', '.join(['$0', *parts])})")

    return notation


def _bars(opening: str, closing: str, otherwise: Notation) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        if len(params["axes"]) == len(shapes[0]) and not params.get("keepdims"):
            return Form(f"{opening}$0{closing}")
        return otherwise(params, shapes) if callable(otherwise) else otherwise

    return notation


def _latex_over(name: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axes = ",".join(str(axis + len(shapes[0])) for axis in params["axes"])
        return Form(rf"\operatorname{{{name}}}_{{{axes}}}\left($0\right)")

    return notation


def _norm_text(params: Params, shapes: tuple[Shape, ...]) -> Form:
    """Write a call of `norm`, which takes two axes at most; over more the root of the sum of squares."""
    if len(params["axes"]) < 3:
        return _over("norm")(params, shapes)
    summed = _over("sum")(params, shapes).template.replace("$0", "$0²")
    return Form(f"√({summed})", POWER, (ATOM,))


_NORMS = tuple(Case((shape,), {"axes": axes}) for shape, axes in [
    ((3,), (-1,)), ((2, 3), (-1,)), ((2, 3), (-2,)), ((2, 3), (-2, -1)), ((4, 2, 3), (-3, -1)),
    ((2, 2, 3, 2), (-4, -2, -1)),
])  # fmt: skip

_NORM_OF = '''
def norm_of(x, axis=None, keepdims=False):
    """The root of the sum of squares; where squares overflow or underflow, of x over its largest element."""
    size = np.linalg.norm if np.size(axis) < 3 else lambda x, axis, keepdims: (x * x).sum(axis, keepdims=keepdims)**0.5
    n = size(x, axis=axis, keepdims=keepdims)
    if np.all((n > 1e-15) & (n < 1e15)):
        return n
    m = np.abs(x).max(axis=axis, keepdims=True, initial=0.0)
    m = np.where((m > 0) & np.isfinite(m), m, np.ones((), n.dtype))
    n = size(x / m, axis=axis, keepdims=True) * m
    return n if keepdims else n.squeeze(axis=axis)[()]
'''
_UNIT = '''
def unit(x, axis=None):
    """x / norm(x), and 0 where the norm is 0; beside an infinite number all finite ones are as nothing."""
    n = norm_of(x, axis=axis, keepdims=True)
    if np.any(np.isinf(n)):
        x = np.where(np.isinf(n), np.where(np.isinf(x), np.sign(x), np.zeros_like(x)), x)
        n = norm_of(x, axis=axis, keepdims=True)
    return x / np.where(n == 0, np.inf, n)
'''
_PORTABLE_NORM_OF = '''
def norm_of(x, axis=None, keepdims=False):
    """The root of the sum of squares, of x over its largest element."""
    if 0 in x.shape:
        return np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims))
    m = np.abs(x).max(axis=axis, keepdims=True)
    m = np.where((m > 0) & np.isfinite(m), m, np.ones_like(m))
    n = np.sqrt(np.square(x / m).sum(axis=axis, keepdims=True)) * m
    return n if keepdims else n.sum(axis=axis)
'''
_PORTABLE_UNIT = '''
def unit(x, axis=None):
    """x / norm(x), and 0 where the norm is 0; beside an infinite number all finite ones are as nothing."""
    n = norm_of(x, axis=axis, keepdims=True)
    x = np.where(np.isinf(n), np.where(np.isinf(x), np.sign(x), np.zeros_like(x)), x)
    n = norm_of(x, axis=axis, keepdims=True)
    return x / np.where(n == 0, np.inf, n)
'''


def _unit_vjp(g: Expr, y: Expr, x: Expr, *, axes: tuple[int, ...]) -> Expr:
    length = apply(NORM, x, axes=axes, keepdims=True)
    across = g - y * apply(SUM, g * y, axes=axes, keepdims=True)
    return across / where(equal(length, 0), np.inf, length)


UNIT: Op = Op(
    name="unit",
    doc="Divide by the norm; where that is zero, give zeros.",
    shape=lambda x, *, axes: x,
    dtype=real,
    vjps=(_unit_vjp,),
    numpy=_over("unit"),
    text=_bars("unit(", ")", _over("unit")),
    latex=_bars(r"\operatorname{unit}\left(", r"\right)", _latex_over("unit")),
    helper=_NORM_OF + "\n" + _UNIT,
    portable_helper=_PORTABLE_NORM_OF + "\n" + _PORTABLE_UNIT,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * 3,
    cases=_NORMS,
    kink="0 at x = 0",
    options={"axes": (-1,)},
)


def _norm_vjp(g: Expr, _y: Expr, x: Expr, *, axes: tuple[int, ...], keepdims: bool) -> Expr:
    return spread(g, x, axes=axes, keepdims=keepdims) * apply(UNIT, x, axes=axes)


NORM: Op = Op(
    name="norm",
    doc="Give the square root of the sum of squares over axes.",
    shape=reduced,
    dtype=real,
    vjps=(_norm_vjp,),
    numpy=_over("norm_of"),
    text=_bars("‖", "‖", _norm_text),
    latex=_bars(r"\left\lVert ", r"\right\rVert", _latex_over("norm")),
    helper=_NORM_OF,
    portable_helper=_PORTABLE_NORM_OF,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * 2,
    cases=tuple(case._replace(params={**case.params, "keepdims": kept}) for case in _NORMS for kept in (False, True)),
    kink="0 at x = 0",
    options={"axes": (-1,), "keepdims": False},
)


def norm(
    x: Operand,
    ord: Order = None,
    axis: Axis = None,
    keepdims: bool = False,  # noqa: FBT001, FBT002  (NumPy's signature)
) -> Expr:
    """Give a norm: of a vector, of a matrix, or, unless told which, the root of the sum of all squares.

    The derivative of ‖x‖ is x/‖x‖ (Matrix Cookbook, 2012, eq. 129), and at x = 0 the subgradient 0, as is the second
    derivative there. All other norms are made of absolute values, their largest or smallest, powers, sums and singular
    values, whose derivatives they have; at x = 0 that is 0 again, and a tie for the largest row or element goes to all
    that have it, in equal parts.

    Args:
        x: the operand.
        ord: for vectors a number p, ``Σ|xᵢ|^p`` to the power 1/p: inf gives the largest, -inf the smallest, and 0
            counts what is not 0; for matrices "fro", 1, -1, inf, -inf, or of the singular values "nuc", 2, -2.
        axis: the axis of the vectors, or the two axes of the matrices.
        keepdims: keep the axes with size 1.

    Raises:
        ShapeError: an axis is out of range, or `ord` is given and the operand is no vector and no matrix.
        ArgumentError: another `ord`.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.linalg.norm(x))
    ‖x‖
    >>> print(sb.grad(sb.linalg.norm(x), x))
    x/‖x‖
    """
    expr = as_expr(x)
    expr = expr if expr.dtype.kind == "f" else expr.astype("float64")
    axes = axes_of("norm", expr, axis)
    matrix = not isinstance(axis, int) and len(axes) == 2
    if (ord is not None or axis is not None) and len(axes) not in {1, 2}:
        msg = f"norm: needs a vector or a matrix, not {len(axes)} axes: {expr.describe()}"
        raise ShapeError(msg)
    if not axes:
        return abs_(expr)
    if ord is None:
        return apply(NORM, expr, axes=axes, keepdims=bool(keepdims))
    if not matrix:
        return _of_vectors("norm", expr, ord, axes, keepdims=bool(keepdims))
    order = axes if axis is None else tuple(axes_of("norm", expr, each)[0] for each in axis)  # type: ignore[union-attr]
    return _of_matrices("norm", expr, ord, order, keepdims=bool(keepdims))


Order: TypeAlias = "float | Literal['fro', 'nuc'] | None"


def _of_vectors(name: str, x: Expr, ord: Order, axes: tuple[int, ...], *, keepdims: bool) -> Expr:
    """Give a norm over axes as if they were one."""
    if isinstance(ord, str) or ord is None:
        msg = f"{name}: ord={ord!r} is for matrices: {x.describe()}"
        raise ArgumentError(msg)
    if ord == 2:
        return apply(NORM, x, axes=axes, keepdims=keepdims)
    if ord == 0:
        return sum_(astype(not_equal(x, 0), x.dtype), axis=axes, keepdims=keepdims)
    sizes = abs_(x)
    if ord not in _NAMED and any(x.shape[axis] == 0 for axis in axes):
        return power(sum_(sizes, axis=axes, keepdims=keepdims), 1.0 / ord)
    if ord in _NAMED:
        return _NAMED[ord](sizes, axis=axes, keepdims=keepdims)
    # Of powers with 0 among them a root has no derivative: it stays out, and so do its powers.
    zero = equal(max_(sizes, axis=axes, keepdims=True) if ord > 0 else min_(sizes, axis=axes, keepdims=True), 0)
    powers = power(where(zero, 1, sizes), float(ord))
    found = where(zero, 0, power(sum_(powers, axis=axes, keepdims=True), 1.0 / ord))
    return found if keepdims else squeeze(found, axes)


def _of_matrices(name: str, x: Expr, ord: Order, axes: tuple[int, ...], *, keepdims: bool) -> Expr:
    """Give a norm over an axis of rows and one of columns."""
    if ord == "fro":
        return apply(NORM, x, axes=axes, keepdims=keepdims)
    if ord in _SPECTRAL:
        found = _SPECTRAL[ord](svdvals(to_end(x, axes)), axis=-1, keepdims=False)
        return expand_dims(found, tuple(axis + x.ndim for axis in axes)) if keepdims else found
    if ord not in {1, -1, np.inf, -np.inf}:
        known = "'fro', 'nuc', 1, -1, 2, -2, inf and -inf"
        msg = f"{name}: ord={ord!r} is not among {known}: {x.describe()}"
        raise ArgumentError(msg)
    rows, columns = axes if ord in {1, -1} else axes[::-1]
    totals = sum_(abs_(x), axis=rows, keepdims=True)
    found = _NAMED[np.inf if ord > 0 else -np.inf](totals, axis=columns, keepdims=True)
    return found if keepdims else squeeze(found, axes)


_NAMED: Mapping[Any, Callable[..., Expr]] = {1: sum_, np.inf: largest_of, -np.inf: min_}
_SPECTRAL: Mapping[Any, Callable[..., Expr]] = {"nuc": sum_, 2: largest_of, -2: min_}


def vector_norm(x: Operand, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Expr:
    """Give the norm of vectors, which several axes may make up: `norm` of them as one axis, with its derivatives at 0.

    Args:
        x: the operand.
        axis: the axes; all unless told.
        keepdims: keep the axes with size 1.
        ord: a number p, as for `norm`.

    Raises:
        ShapeError: an axis is out of range.
        ArgumentError: another `ord`.

    >>> import symbackprop as sb
    >>> sb.linalg.vector_norm(sb.symbol("X", (4, 3, 2)), axis=(0, 2), ord=1).shape
    (3,)
    """
    expr = as_expr(x)
    expr = expr if expr.dtype.kind == "f" else expr.astype("float64")
    axes = axes_of("vector_norm", expr, axis)
    if not axes:  # of numbers: NumPy has a norm of them here
        return astype(not_equal(expr, 0), expr.dtype) if ord == 0 else abs_(expr)
    return _of_vectors("vector_norm", expr, ord, axes, keepdims=bool(keepdims))


def matrix_norm(x: Operand, /, *, keepdims: bool = False, ord: Order = "fro") -> Expr:
    """Give the norm of a matrix, or of each of a stack: `norm` over the last two axes, with its derivatives at 0.

    Args:
        x: the matrices.
        keepdims: keep the axes with size 1.
        ord: as for `norm` of matrices.

    Raises:
        ShapeError: the operand is no matrix.
        ArgumentError: another `ord`.

    >>> import symbackprop as sb
    >>> sb.linalg.matrix_norm(sb.symbol("X", (4, 3, 2)), ord="nuc").shape
    (4,)
    """
    expr = as_expr(x)
    expr = expr if expr.dtype.kind == "f" else expr.astype("float64")
    axes_of("matrix_norm", expr, (-2, -1))
    return _of_matrices("matrix_norm", expr, "fro" if ord is None else ord, (-2, -1), keepdims=bool(keepdims))


def cond(x: Operand, p: Order = None) -> Expr:
    """Give the condition number of a matrix, or of each of a stack: ``‖A‖·‖A⁻¹‖``.

    The derivative is that of the norms or singular values it is made of: those that tie for the largest or the smallest
    share it equally, so that it is 0 where all are equal, as of a rotation.

    Args:
        x: the matrices; square ones, unless p is 2 or -2.
        p: the norm, as `ord` for `norm`. 2, which it is unless told, gives the largest singular value over the
            smallest, infinity where that is 0, and -2 the reciprocal of that.

    Raises:
        ShapeError: the operand is no matrix, or not square, or has no elements.
        ArgumentError: another `p`.

    >>> import symbackprop as sb
    >>> print(sb.evaluate(sb.linalg.cond(sb.constant([[2.0, 0.0], [0.0, 1.0]])), {}))
    2.0
    """
    expr = as_expr(x)
    if 0 in expr.shape[-2:]:
        msg = f"cond: no elements have no condition number: {expr.describe()}"
        raise ShapeError(msg)
    if p is None or p in {2, -2}:
        values = svdvals(expr)
        largest, smallest = max_(values, axis=-1), min_(values, axis=-1)
        return smallest / largest if p == -2 else largest / smallest
    expr = expr if expr.dtype.kind == "f" else expr.astype("float64")
    return matrix_norm(expr, ord=p) * matrix_norm(inv(expr), ord=p)
