"""Variance and what is made of it, averages with weights: formulas of the reductions.

Variances are those of differences from the mean, which do not cancel as E[x²] − E[x]² does.
"""

# ruff: noqa: FBT001, FBT002, PLR0917  (NumPy's signatures)

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Size
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import apply, literal
from symbackprop.ops.contract import diagonal, matmul
from symbackprop.ops.elementwise import abs, astype, clip, maximum, real, sqrt, square
from symbackprop.ops.index import concatenate
from symbackprop.ops.layout import axes_of, broadcast_to, expand_dims, reshape, squeeze, transpose
from symbackprop.ops.leaf import as_expr, size_of
from symbackprop.ops.norms import NORM
from symbackprop.ops.reduce import (
    MEAN,
    SUM,
    Axis,
    chosen,
    converted,
    counted,
    mask_of,
    max,
    mean,
    min,
    no_out,
    reduced,
    sum,
)

__all__ = [
    "average",
    "corrcoef",
    "cov",
    "ptp",
    "std",
    "var",
]

Mask: TypeAlias = "Operand | bool | None"


# --- variance -------------------------------------------------------------------------------------------------


def _ddof(name: str, ddof: float, correction: float | None) -> float:
    if correction is None:
        return ddof
    if ddof:
        msg = f"{name}: ddof= and correction= are two names of one argument: give one"
        raise ArgumentError(msg)
    return correction


def _degrees(x: Expr, axes: tuple[int, ...], mask: Expr | None, ddof: float, *, keepdims: bool) -> Expr:
    """Give the number of elements less `ddof`, not less than 0 as far as it is known, in the dtype of x."""
    if mask is not None:
        return maximum(counted(mask, x, axes, keepdims=keepdims) - ddof, 0)
    count = dims.product(x.shape[axis] for axis in axes)
    if isinstance(count, Dim):
        whole = int(ddof) == ddof
        return size_of(count - int(ddof), x.dtype, graph=x.graph) if whole else size_of(count, x.dtype) - ddof
    return literal(builtins.max(count - ddof, 0), x.dtype, graph=x.graph)


def degrees_of(x: Expr, axis: Axis, mask: Expr, ddof: float, *, keepdims: bool) -> Expr:
    """Give the number of elements that count less `ddof`, not less than 0."""
    return _degrees(astype(x, real(x.dtype)), axes_of("var", x, axis), mask, ddof, keepdims=keepdims)


def _deviations(name: str, x: Expr, axes: tuple[int, ...], mask: Expr | None, mean_: Operand | None) -> Expr:
    """Give the differences from the mean, and 0 where the mask leaves out."""
    if mean_ is None:
        centre = mean(x, axes, keepdims=True, where=mask)
    else:
        centre = astype(as_expr(mean_, graph=x.graph), x.dtype)
        wanted = reduced(x.shape, axes=axes, keepdims=True)
        if dims.broadcast(centre.shape, wanted) != wanted:
            msg = f"{name}: mean= has the reduced axes with size 1, shape {wanted}, not {centre.describe()}"
            raise ShapeError(msg)
    return chosen(x - centre, mask, 0)


def var(
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
    """Give the variance over axes: ``sum((a - mean(a))**2)/(n - ddof)``, of n elements.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        dtype: a float dtype that the operand is converted to.
        out: none.
        ddof: what is subtracted from the number of elements: 1 makes the estimate unbiased.
        keepdims: keep the reduced axes with size 1.
        where: bools, of the elements that count; the derivative by the others is 0.
        mean: the mean, with the reduced axes, if it is known already.
        correction: another name for `ddof`.

    A known number of elements that is not above `ddof` gives NaN or infinity, as in NumPy; of a named size it is
    taken for granted that it is not smaller.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` or `mean` do not fit the operand.
        ArgumentError: both `ddof` and `correction` are given.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.var(x), "and", sb.grad(sb.var(x, ddof=1), x))
    mean((x − mean(x))²) and 2(x − mean(x))/(N − 1)
    """
    no_out("var", out)
    ddof = _ddof("var", ddof, correction)
    expr = converted("var", a, dtype, floats=True)
    axes, mask = axes_of("var", expr, axis), mask_of("var", expr, where)
    squares = square(_deviations("var", expr, axes, mask, mean))
    if mask is None and ddof == 0:
        return apply(MEAN, squares, axes=axes, keepdims=bool(keepdims))
    total = apply(SUM, squares, axes=axes, keepdims=bool(keepdims))
    return total / _degrees(expr, axes, mask, ddof, keepdims=keepdims)


def std(
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
    """Give the standard deviation over axes: ``norm(a - mean(a))/sqrt(n - ddof)``, of n elements.

    Where all elements are equal it is 0 and has a kink; the derivative is the subgradient 0 there.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        dtype: a float dtype that the operand is converted to.
        out: none.
        ddof: what is subtracted from the number of elements.
        keepdims: keep the reduced axes with size 1.
        where: bools, of the elements that count; the derivative by the others is 0.
        mean: the mean, with the reduced axes, if it is known already.
        correction: another name for `ddof`.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` or `mean` do not fit the operand.
        ArgumentError: both `ddof` and `correction` are given.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.std(x))
    ‖x − mean(x)‖/√N
    """
    no_out("std", out)
    ddof = _ddof("std", ddof, correction)
    expr = converted("std", a, dtype, floats=True)
    axes, mask = axes_of("std", expr, axis), mask_of("std", expr, where)
    deviations = _deviations("std", expr, axes, mask, mean)
    length = apply(NORM, deviations, axes=axes, keepdims=bool(keepdims)) if axes else abs(deviations)
    return length / sqrt(_degrees(expr, axes, mask, ddof, keepdims=keepdims))


def ptp(a: Operand, axis: Axis = None, out: None = None, keepdims: bool = False) -> Expr:
    """Give the range of the values over axes: ``max(a) - min(a)``; elements that tie share the derivative equally.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        out: none.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: an axis out of range, named twice, or without elements.

    >>> import symbackprop as sb
    >>> print(sb.ptp(sb.symbol("x", "N")))
    max(x) − min(x)
    """
    no_out("ptp", out)
    expr = as_expr(a)
    return max(expr, axis, None, keepdims) - min(expr, axis, None, keepdims)


# --- averages with weights ------------------------------------------------------------------------------------


def _product_size(x: Expr, axes: Iterable[int]) -> Size:
    return dims.product(x.shape[axis] for axis in axes)


def _weights_of(a: Expr, weights: Operand, axis: Axis) -> Expr:
    """Read weights: of the operand's shape, or of the shape of the axes that are averaged over."""
    given = as_expr(np.asarray(weights) if isinstance(weights, list | tuple) else weights, graph=a.graph)
    if given.shape == a.shape:
        return given
    if axis is None:
        msg = f"average: weights of another shape need an axis: {given.describe()}, {a.describe()}"
        raise ShapeError(msg)
    order = [axes_of("average", a, each)[0] for each in (axis if isinstance(axis, Iterable) else (axis,))]
    if given.shape != tuple(a.shape[each] for each in order):
        msg = f"average: the weights do not have the shape of the axes {axis}: {given.describe()}, {a.describe()}"
        raise ShapeError(msg)
    sorted_ = transpose(given, tuple(order.index(each) for each in sorted(order)))
    return expand_dims(sorted_, tuple(each for each in range(-a.ndim, 0) if each not in order))


def average(
    a: Operand, axis: Axis = None, weights: Operand | None = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """Average over axes with weights: ``sum(a*w)/sum(w)``; weights that add up to 0 give NaN or infinity.

    Args:
        a: the operand.
        axis: one axis or several; all unless told.
        weights: of the operand's shape, or one for each element along the axes.
        returned: give the sums of the weights too.
        keepdims: keep the averaged axes with size 1.

    Returns:
        The average, or a pair with the sum of the weights.

    Raises:
        ShapeError: an axis out of range or named twice, weights of another shape, or weights of no elements.

    >>> import symbackprop as sb
    >>> x, w = sb.symbols("x[N] w[N]")
    >>> print(sb.average(x, weights=w))
    sum(x ⊙ w)/sum(w)
    """
    expr = as_expr(a)
    axes = axes_of("average", expr, axis)
    if weights is None:
        found = mean(expr, axis, None, None, keepdims)
        total = size_of(_product_size(expr, axes), found.dtype, graph=expr.graph)
    else:
        given = _weights_of(expr, weights, axis)
        if _product_size(expr, axes) == 0 and 0 not in reduced(expr.shape, axes=axes, keepdims=False):
            msg = f"average: the weights of no elements add up to 0: {expr.describe()}"
            raise ShapeError(msg)
        kind = np.result_type(expr.dtype, given.dtype, *(["float64"] if expr.dtype.kind in "biu" else []))
        expr, given = astype(expr, kind), astype(given, kind)
        total = sum(given, tuple(each for each in axes if -each <= given.ndim), None, None, keepdims)
        found = sum(expr * given, axis, None, None, keepdims) / total
    return (found, broadcast_to(total, found.shape)) if returned else found


def _observations(name: str, m: Operand, y: Operand | None, *, rowvar: bool) -> Expr:
    """Give a matrix with one row for each variable; of one variable that is given as a vector the vector."""
    rows = []
    for given in (m,) if y is None else (m, y):
        expr = as_expr(np.asarray(given) if isinstance(given, list | tuple) else given)
        if expr.ndim > 2:
            msg = f"{name}: has two axes at most, variables and observations: {expr.describe()}"
            raise ShapeError(msg)
        if y is None and expr.ndim < 2:
            return reshape(expr, (expr.size,))
        matrix = expr if expr.ndim == 2 else reshape(expr, (1, expr.size))
        rows.append(matrix if rowvar or expr.ndim < 2 else transpose(matrix))
    return rows[0] if y is None else concatenate(rows, axis=0)


def cov(
    m: Operand,
    y: Operand | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: float | None = None,
    fweights: Operand | None = None,
    aweights: Operand | None = None,
    *,
    dtype: Any = None,
) -> Expr:
    """Give the covariance matrix of variables: ``Z @ Z.T/(n - ddof)``, where Z are the differences from the means.

    Args:
        m: the observations: one row for each variable, or one variable.
        y: more variables, with as many observations.
        rowvar: whether the rows are the variables; else the columns are.
        bias: divide by n in place of n - 1.
        ddof: what is subtracted from n; it goes before `bias`.
        fweights: how often each observation was made.
        aweights: how much each observation counts.
        dtype: a float dtype that the observations are converted to.

    Returns:
        A matrix, of one variable a scalar.

    Raises:
        ShapeError: more than two axes, or variables with different numbers of observations.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "D"))
    >>> sb.cov(X, rowvar=False).shape
    (D, D)
    """
    rows = converted("cov", _observations("cov", m, y, rowvar=rowvar), dtype)
    rows = astype(rows, np.result_type(rows.dtype, dtype or "float64"))
    freedom = ddof if ddof is not None else 0 if bias else 1
    frequency, weight = (
        None if each is None else astype(as_expr(each, graph=rows.graph), rows.dtype) for each in (fweights, aweights)
    )
    weights = frequency if weight is None else weight if frequency is None else frequency * weight
    if weights is None:
        centred = other = rows - mean(rows, -1, keepdims=True)
        degrees = _degrees(rows, (-1,), None, freedom, keepdims=False)
    else:
        total = sum(weights)
        centred = rows - average(rows, -1, weights, keepdims=True)
        other = centred * weights
        lost = freedom * sum(weights * weight) / total if weight is not None and freedom else freedom
        degrees = total - lost if freedom else total
    if rows.ndim < 2:
        return sum(square(centred) if other is centred else other * centred) / degrees
    product = matmul(other, transpose(centred)) / degrees
    single = tuple(axis for axis, size in zip((-2, -1), product.shape, strict=True) if size == 1)
    return squeeze(product, single) if single else product


def corrcoef(x: Operand, y: Operand | None = None, rowvar: bool = True, *, dtype: Any = None) -> Expr:
    """Give the correlation coefficients of variables: their covariances over their standard deviations, in [-1, 1].

    A variable that does not vary has none: NaN, as in NumPy, and so is its derivative. What rounding errors bring
    beyond -1 and 1 is cut off, and its derivatives are 0.

    Args:
        x: the observations: one row for each variable, or one variable.
        y: more variables, with as many observations.
        rowvar: whether the rows are the variables; else the columns are.
        dtype: a float dtype that the observations are converted to.

    Raises:
        ShapeError: more than two axes, or variables with different numbers of observations.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("D", "N"))
    >>> sb.corrcoef(X).shape
    (D, D)
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    s = sqrt(diagonal(c))
    return clip(c / expand_dims(s, -1) / s, -1, 1)
