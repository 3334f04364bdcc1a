"""Reductions and scans that leave out NaN: compositions of those of the other files with ``isnan``.

What is left out is chosen away before anything is computed of it, so its derivative is exactly 0.
"""

# ruff: noqa: FBT001, FBT002, PLR0917  (NumPy's signatures)

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from symbackprop.expr import Expr, Operand
from symbackprop.op import Op, literal
from symbackprop.ops.elementwise import isnan, logical_and, logical_not
from symbackprop.ops.elementwise import where as choose
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import (
    ARGMAX,
    ARGMIN,
    Axis,
    all,
    called_with_axes,
    mask_of,
    max,
    mean,
    min,
    no_out,
    position,
    positioned,
    prod,
    sum,
)
from symbackprop.ops.scan import cumprod, cumsum
from symbackprop.ops.statistics import degrees_of, std, var

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]

Mask: TypeAlias = "Operand | bool | None"


def _filled(a: Operand, fill: float) -> Expr:
    """Put a number in the place of NaN."""
    expr = as_expr(a)
    return choose(isnan(expr), literal(fill, expr.dtype, graph=expr.graph), expr) if expr.dtype.kind == "f" else expr


def _counted(name: str, x: Expr, where: Mask) -> Expr | None:
    """Tell which elements count."""
    mask = mask_of(name, x, where)
    if x.dtype.kind != "f":
        return mask
    return logical_not(isnan(x)) if mask is None else logical_and(mask, logical_not(isnan(x)))


def nansum(
    a: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Operand | None = 0,
    where: Mask = None,
) -> Expr:
    """Sum over axes, leaving out NaN, whose derivative is 0; of nothing else it is 0.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        dtype: what is computed is converted to it.
        out: none.
        keepdims: keep the reduced axes with size 1.
        initial: a scalar that counts too.
        where: bools, of the elements that count.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` does not broadcast to the operand.

    >>> import symbackprop as sb
    >>> print(sb.nansum(sb.symbol("x", "N")))
    sum(where(isnan(x), 0, x))
    """
    return sum(_filled(a, 0), axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Operand | None = 1,
    where: Mask = None,
) -> Expr:
    """Multiply over axes, leaving out NaN, whose derivative is 0; of nothing else it is 1.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        dtype: what is computed is converted to it.
        out: none.
        keepdims: keep the reduced axes with size 1.
        initial: a scalar that counts too.
        where: bools, of the elements that count.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` does not broadcast to the operand.

    >>> import symbackprop as sb
    >>> print(sb.nanprod(sb.symbol("x", "N")))
    prod(where(isnan(x), 1, x))
    """
    return prod(_filled(a, 1), axis, dtype, out, keepdims, initial, where)


def nanmean(
    a: Operand, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, *, where: Mask = None
) -> Expr:
    """Average over axes, leaving out NaN, whose derivative is 0; of nothing else it is NaN.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        dtype: a float dtype that the operand is converted to.
        out: none.
        keepdims: keep the averaged axes with size 1.
        where: bools, of the elements that count.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` does not broadcast to the operand.

    >>> import symbackprop as sb
    >>> x = sb.constant([1.0, np.nan, 3.0])
    >>> sb.evaluate(sb.nanmean(x), {}), sb.evaluate(sb.grad(sb.nanmean(x), x), {})
    (np.float64(2.0), array([0.5, 0. , 0.5]))
    """
    expr = as_expr(a)
    return mean(expr, axis, dtype, out, keepdims, where=_counted("nanmean", expr, where))


def _spread_of(
    name: str, a: Operand, axis: Axis, ddof: float, keepdims: bool, where: Mask, correction: float | None, **rest: Any
) -> Expr:
    expr = as_expr(a)
    counted = _counted(name, expr, where)
    function = var if name == "nanvar" else std
    found = function(expr, axis, ddof=ddof, keepdims=keepdims, where=counted, correction=correction, **rest)
    lost = ddof if correction is None else correction
    if lost <= 1 or counted is None or expr.dtype.kind != "f":  # what is left is 0/0 already; of ints it is `var`
        return found
    degrees = degrees_of(expr, axis, counted, lost, keepdims=keepdims)
    return choose(degrees > 0, found, literal(np.nan, found.dtype, graph=found.graph))


def nanvar(
    a: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Mask = None,
    mean: Operand | None = None,
    correction: float | None = None,
) -> Expr:
    """Give the variance over axes of what is not NaN, whose derivative is 0; of too little else it is NaN.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        dtype: a float dtype that the operand is converted to.
        out: none.
        ddof: what is subtracted from the number of elements.
        keepdims: keep the reduced axes with size 1.
        where: bools, of the elements that count.
        mean: the mean, with the reduced axes, if it is known already.
        correction: another name for `ddof`.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` or `mean` do not fit the operand.
        ArgumentError: both `ddof` and `correction` are given.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.nanvar(sb.constant([1.0, np.nan, 5.0])), {})
    np.float64(4.0)
    """
    return _spread_of("nanvar", a, axis, ddof, keepdims, where, correction, dtype=dtype, out=out, mean=mean)


def nanstd(
    a: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Mask = None,
    mean: Operand | None = None,
    correction: float | None = None,
) -> Expr:
    """Give the standard deviation over axes of what is not NaN, whose derivative is 0; of too little else it is NaN.

    Where all that counts is equal the derivative is 0.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        dtype: a float dtype that the operand is converted to.
        out: none.
        ddof: what is subtracted from the number of elements.
        keepdims: keep the reduced axes with size 1.
        where: bools, of the elements that count.
        mean: the mean, with the reduced axes, if it is known already.
        correction: another name for `ddof`.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` or `mean` do not fit the operand.
        ArgumentError: both `ddof` and `correction` are given.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.nanstd(sb.constant([1.0, np.nan, 5.0])), {})
    np.float64(2.0)
    """
    return _spread_of("nanstd", a, axis, ddof, keepdims, where, correction, dtype=dtype, out=out, mean=mean)


def _extreme(
    name: str, a: Operand, axis: Axis, out: None, keepdims: bool, initial: Operand | None, where: Mask
) -> Expr:
    no_out(name, out)
    expr = as_expr(a)
    function, fill = (max, -np.inf) if name == "nanmax" else (min, np.inf)
    if expr.dtype.kind != "f":
        return function(expr, axis, None, keepdims, initial, where)
    found = function(_filled(expr, fill), axis, None, keepdims, initial, where)
    if initial is not None:
        return found
    return choose(all(isnan(expr), axis, None, keepdims), literal(np.nan, found.dtype, graph=found.graph), found)


def nanmax(
    a: Operand,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Mask = None,
) -> Expr:
    """Give the largest element over axes that is not NaN; if there is none it is NaN, without a derivative.

    Elements that tie share the derivative equally, and that of NaN is 0.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        out: none.
        keepdims: keep the reduced axes with size 1.
        initial: a scalar that counts too.
        where: bools, of the elements that count, with `initial` for where there are none.

    Raises:
        ShapeError: an axis out of range or named twice, or without elements, or `where` does not broadcast.
        ArgumentError: `where` without `initial`.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.nanmax(sb.constant([1.0, np.nan, 5.0])), {})
    np.float64(5.0)
    """
    return _extreme("nanmax", a, axis, out, keepdims, initial, where)


def nanmin(
    a: Operand,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Mask = None,
) -> Expr:
    """Give the smallest element over axes that is not NaN; if there is none it is NaN, without a derivative.

    Elements that tie share the derivative equally, and that of NaN is 0.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        out: none.
        keepdims: keep the reduced axes with size 1.
        initial: a scalar that counts too.
        where: bools, of the elements that count, with `initial` for where there are none.

    Raises:
        ShapeError: an axis out of range or named twice, or without elements, or `where` does not broadcast.
        ArgumentError: `where` without `initial`.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.nanmin(sb.constant([1.0, np.nan, 5.0])), {})
    np.float64(1.0)
    """
    return _extreme("nanmin", a, axis, out, keepdims, initial, where)


# --- positions --------------------------------------------------------------------------------------------------

_PORTABLE_POSITION = '''
def {name}(x, axis=None, keepdims=False):
    """The position of the {adjective} element that is not NaN."""
    return np.{position}(np.where(np.isnan(x), {fill} * np.ones_like(x), x), axis=axis, keepdims=keepdims)
'''


def _position(name: str, adjective: str, fill: str) -> Op:
    return position(
        name,
        f"Give the position of the first {adjective} element that is not NaN: along one axis, or over all of them.",
        numpy=called_with_axes(f"np.{name}"),
        defined="some x that is not NaN",
        portable=called_with_axes(name),
        portable_helper=_PORTABLE_POSITION.format(
            name=name, adjective=adjective, position=name.removeprefix("nan"), fill=fill
        ),
    )


NANARGMAX = _position("nanargmax", "largest", "-np.inf")
NANARGMIN = _position("nanargmin", "smallest", "np.inf")


def nanargmax(a: Operand, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Expr:
    """Give the position of the largest element that is not NaN, the first of equal ones; it has no derivative.

    Of nothing but NaN there is none: the call raises NumPy's error; in other libraries the position is 0.

    Args:
        a: the operand.
        axis: the axis to look along; unless told, the position is that among all elements in row-major order.
        out: none.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: the axis is out of range, or there are no elements.

    >>> import symbackprop as sb
    >>> int(sb.evaluate(sb.nanargmax(sb.constant([3.0, np.nan, 5.0])), {}))
    2
    """
    expr = as_expr(a)
    op = NANARGMAX if expr.dtype.kind == "f" else ARGMAX
    return positioned(op, expr, axis, out, keepdims=keepdims)


def nanargmin(a: Operand, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Expr:
    """Give the position of the smallest element that is not NaN, the first of equal ones; it has no derivative.

    Of nothing but NaN there is none: the call raises NumPy's error; in other libraries the position is 0.

    Args:
        a: the operand.
        axis: the axis to look along; unless told, the position is that among all elements in row-major order.
        out: none.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: the axis is out of range, or there are no elements.

    >>> import symbackprop as sb
    >>> int(sb.evaluate(sb.nanargmin(sb.constant([3.0, np.nan, 5.0])), {}))
    0
    """
    expr = as_expr(a)
    op = NANARGMIN if expr.dtype.kind == "f" else ARGMIN
    return positioned(op, expr, axis, out, keepdims=keepdims)


# --- scans ------------------------------------------------------------------------------------------------------


def nancumsum(a: Operand, axis: int | None = None, dtype: Any = None, out: None = None) -> Expr:
    """Sum the elements up to each one, leaving out NaN, whose derivative is 0.

    Args:
        a: the operand.
        axis: the axis to go along; unless told, the elements are taken in row-major order.
        dtype: what is computed is converted to it.
        out: none.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.nancumsum(sb.constant([2.0, np.nan, 3.0])), {})
    array([2., 2., 5.])
    """
    return cumsum(_filled(a, 0), axis, dtype, out)


def nancumprod(a: Operand, axis: int | None = None, dtype: Any = None, out: None = None) -> Expr:
    """Multiply the elements up to each one, leaving out NaN, whose derivative is 0.

    Args:
        a: the operand.
        axis: the axis to go along; unless told, the elements are taken in row-major order.
        dtype: what is computed is converted to it.
        out: none.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.nancumprod(sb.constant([2.0, np.nan, 3.0])), {})
    array([2., 2., 6.])
    """
    return cumprod(_filled(a, 1), axis, dtype, out)
