"""Norms of vectors and matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, POWER, Case, Form, Notation, Op, Params, apply
from symbackprop.ops.elementwise import abs as abs_
from symbackprop.ops.elementwise import equal, real, where
from symbackprop.ops.layout import axes_of, squeeze
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import SUM, Axis, reduced, spread
from symbackprop.ops.reduce import max as max_
from symbackprop.ops.reduce import min as min_
from symbackprop.ops.reduce import sum as sum_

__all__ = ["norm"]


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
    options={"axes": (-1,), "keepdims": False},
)


def norm(x: Operand, ord: float | Literal["fro"] | None = None, axis: Axis = None, keepdims: bool = False) -> Expr:  # noqa: FBT001, FBT002  (NumPy's signature)
    """Give a norm: of a vector, of a matrix, or, unless told which, the root of the sum of all squares.

    The derivative of ‖x‖ is x/‖x‖ (Matrix Cookbook, 2012, eq. 129), and at x = 0 the subgradient 0.

    Args:
        x: the operand.
        ord: for vectors 2, 1, inf or -inf; for matrices "fro", 1, inf or -inf.
        axis: the axis of the vectors, or the two axes of the matrices.
        keepdims: keep the axes with size 1.

    Raises:
        ShapeError: an axis is out of range, or `ord` is given and the operand is no vector and no matrix.
        ValueError: another `ord`.

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
    if ord is None or ord == ("fro" if matrix else 2):
        return apply(NORM, expr, axes=axes, keepdims=bool(keepdims))
    if ord not in (1, np.inf, -np.inf) and not (matrix and ord == -1):
        known = "'fro', 1, -1, inf and -inf" if matrix else "2, 1, inf and -inf"
        msg = f"norm: ord={ord!r} is not among {known}: {expr.describe()}"
        raise ValueError(msg)
    sizes = abs_(expr)
    if not matrix:
        return _NAMED[ord](sizes, axis=axes, keepdims=bool(keepdims))
    order = axes if axis is None else tuple(axes_of("norm", expr, each)[0] for each in axis)  # type: ignore[union-attr]
    rows, columns = order if ord in {1, -1} else order[::-1]
    totals = sum_(sizes, axis=rows, keepdims=True)
    found = _NAMED[np.inf if ord > 0 else -np.inf](totals, axis=columns, keepdims=True)
    return found if keepdims else squeeze(found, axes)


_NAMED: dict[float, Callable[..., Expr]] = {1: sum_, np.inf: max_, -np.inf: min_}
