"""The reductions, and the functions built on one: softmax, log-softmax, log-sum-exp.

Axes are kept counted from the right, so that a cotangent may have extra leading axes. Elements that ``where=`` leaves
out are chosen away before anything is computed of them, so their derivative is 0 whatever they are.
"""

# ruff: noqa: FBT001, FBT002, PLR0917  (NumPy's signatures)

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, MULTIPLY, Case, Dtype, Form, Notation, Op, Params, Vjp, apply, check_dtype, literal
from symbackprop.ops.accurate import DAMPED
from symbackprop.ops.elementwise import (
    as_real,
    astype,
    boolean,
    divide,
    equal,
    exp,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    not_equal,
    real,
)
from symbackprop.ops.elementwise import where as choose
from symbackprop.ops.layout import axes_of, broadcast_to, expand_dims, kept_dtype, permute, to_end
from symbackprop.ops.leaf import arange, as_expr, size_of

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "softmax",
    "sum",
]

Axis: TypeAlias = int | Iterable[int] | None


def reduced(shape: Shape, *, axes: tuple[int, ...], keepdims: bool) -> Shape:
    """Give the shape that is left of one."""
    left = [axis not in axes for axis in range(-len(shape), 0)]
    if keepdims:
        return tuple(size if kept else 1 for size, kept in zip(shape, left, strict=True))
    return tuple(size for size, kept in zip(shape, left, strict=True) if kept)


def _extreme_shape(shape: Shape, *, axes: tuple[int, ...], keepdims: bool) -> Shape:
    for axis in axes:
        if shape[axis] == 0:
            msg = f"no elements on axis {axis + len(shape)}"
            raise ShapeError(msg)
    return reduced(shape, axes=axes, keepdims=keepdims)


def _same(shape: Shape, **_: Any) -> Shape:
    return shape


def spread(value: Expr, x: Expr, *, axes: tuple[int, ...], keepdims: bool, full: bool = False) -> Expr:
    """Give a reduced value back its axes, so that it broadcasts against the operand.

    Args:
        value: a reduced value or a cotangent of one, which may have extra leading axes.
        x: the operand of the reduction.
        axes: the reduced axes, counted from the right.
        keepdims: whether the reduction kept them.
        full: repeat the values to the operand's whole shape.
    """
    if not keepdims and axes and value.ndim:
        value = expand_dims(value, axes)
    extra = value.shape[: value.ndim - x.ndim] if value.ndim > x.ndim else ()
    return broadcast_to(value, extra + x.shape) if full else value


def accumulated(kind: Any, **_: Any) -> Dtype:
    """Give the dtype of NumPy's sums: small integers and bools become large integers."""
    dtype: Dtype = np.result_type(kind)
    if dtype.kind in "bi":
        return np.promote_types(dtype, np.int_)
    return np.promote_types(dtype, np.uint) if dtype.kind == "u" else dtype


def _axis_arguments(params: Params, shape: Shape) -> str:
    """Write the parameters as NumPy's keywords, axes counted from the left as people do."""
    axes = tuple(axis + len(shape) for axis in params["axes"])
    parts = [] if len(axes) == len(shape) else [f"axis={axes[0] if len(axes) == 1 else axes}"]
    return ", ".join(parts + ["keepdims=True"] * bool(params.get("keepdims")))


def _method(name: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        return Form(f"$0.{name}({_axis_arguments(params, shapes[0])})", ATOM, (ATOM,))

    return notation


def _called(name: str) -> Callable[[Params, tuple[Shape, ...]], Form]:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axes = tuple(axis + len(shapes[0]) for axis in params["axes"])
        return Form(f"{name}($0, axis={axes[0] if len(axes) == 1 else axes})")

    return notation


def called_with_axes(name: str, *, last_is_default: bool = False) -> Notation:
    """Write a call with the axes as NumPy's keyword, where they are not all, or not the last if that is the default."""

    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        if last_is_default:
            return Form(f"{name}($0)") if params["axes"] == (-1,) else _called(name)(params, shapes)
        arguments = _axis_arguments(params, shapes[0])
        return Form(f"{name}($0{arguments and ', '}{arguments})")

    return notation


def _latex(name: str, *, last_is_default: bool = False) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axes = [str(axis + len(shapes[0])) for axis in params["axes"]]
        default = len(axes) == len(shapes[0]) or (last_is_default and params["axes"] == (-1,))
        below = "" if default else f"_{{{','.join(axes)}}}"
        return Form(rf"{name}{below}\left($0\right)")

    return notation


_ONE_AXIS = tuple(
    Case((shape,), {"axes": axes, "keepdims": keepdims})
    for shape, axes in [((3,), (-1,)), ((2, 3), (-1,)), ((2, 3), (-2,)), ((2, 3, 2), (-2,))]
    for keepdims in (False, True)
)
_ANY_AXES = _ONE_AXIS + tuple(
    Case((shape,), {"axes": axes, "keepdims": keepdims})
    for shape, axes in [((2, 3), (-2, -1)), ((2, 3, 2), (-3, -1)), ((), ())]
    for keepdims in (False, True)
)


def _reduction(
    name: str,
    meaning: str,
    vjp: Vjp | None,
    *,
    shape: Callable[..., Shape] = reduced,
    dtype: Callable[..., Dtype] = kept_dtype,
    latex: str | None = None,
    numpy: Notation | None = None,
    cases: tuple[Case, ...] = _ANY_AXES,
    **rest: Any,
) -> Op:
    return Op(
        name=name,
        doc=meaning,
        shape=shape,
        dtype=dtype,
        vjps=(vjp,),
        numpy=numpy or _method(name),
        text=called_with_axes(name),
        latex=_latex(latex or rf"\operatorname{{{name}}}"),
        cost=lambda xs, _y, _params: dims.product(xs[0]),
        cases=cases,
        options={"axes": (), "keepdims": False},
        **rest,
    )


# --- NumPy's arguments ----------------------------------------------------------------------------------------


def no_out(name: str, out: object) -> None:
    """Refuse the argument ``out=``.

    Raises:
        ArgumentError: it is given.
    """
    if out is not None:
        msg = f"{name}: out= writes into an array, and expressions never change: take what the call returns"
        raise ArgumentError(msg)


def mask_of(name: str, x: Expr, where: Operand | bool | None) -> Expr | None:
    """Read NumPy's argument ``where=``: what is counted in, with a shape that broadcasts to the operand's.

    Returns:
        The mask, or None where all elements are.

    Raises:
        DtypeError: it is not of bools.
        ShapeError: it does not broadcast to the operand's shape.
    """
    if where is None or where is True:
        return None
    mask = as_expr(np.asarray(where) if isinstance(where, list | tuple) else where, graph=x.graph)
    if mask.dtype != bool:
        msg = f"{name}: where= takes bools, not {mask.dtype}: {mask.describe()}"
        raise DtypeError(msg)
    try:
        fits = dims.broadcast(mask.shape, x.shape) == x.shape
    except ShapeError:
        fits = False
    if not fits:
        msg = f"{name}: where= does not broadcast to the operand: {mask.describe()}, {x.describe()}"
        raise ShapeError(msg)
    return mask


def chosen(x: Expr, mask: Expr | None, fill: float) -> Expr:
    """Put a number where a mask does not hold."""
    return x if mask is None else choose(mask, x, literal(fill, x.dtype, graph=x.graph))


def converted(name: str, x: Operand, dtype: Any, *, floats: bool = False) -> Expr:
    """Read an operand and convert it to NumPy's argument ``dtype=``.

    Raises:
        DtypeError: floats are needed and it is another.
    """
    expr = as_expr(x)
    if dtype is not None:
        expr = astype(expr, check_dtype(dtype, name))
        if floats and expr.dtype.kind != "f":
            msg = f"{name}: computes floats, not {expr.dtype}: convert the result with astype"
            raise DtypeError(msg)
    return astype(expr, real(expr.dtype)) if floats else expr


def _is_number(initial: object, number: int) -> bool:
    return type(initial) in {bool, int, float} and initial == number


def _scalar(name: str, initial: Operand, like: Expr) -> Expr:
    """Read NumPy's argument ``initial=``, in the dtype of the result."""
    known = not isinstance(initial, Expr | dims.Dim)
    found = literal(initial, like.dtype, graph=like.graph) if known else as_expr(initial, graph=like.graph)
    if found.shape:
        msg = f"{name}: initial= is a scalar, not {found.describe()}"
        raise ShapeError(msg)
    return astype(found, like.dtype)


def _public(op: Op, x: Operand, axis: Axis, *, keepdims: bool = False) -> Expr:
    expr = as_expr(x)
    return apply(op, expr, axes=axes_of(op.name, expr, axis), keepdims=bool(keepdims))


# --- sum, mean, extremes --------------------------------------------------------------------------------------


def _mean_vjp(g: Expr, _y: Expr, x: Expr, *, axes: tuple[int, ...], keepdims: bool) -> Expr:
    count = size_of(dims.product(x.shape[axis] for axis in axes), g.dtype, graph=x.graph)
    return spread(divide(g, count), x, axes=axes, keepdims=keepdims, full=True)


def _extreme_vjp(g: Expr, y: Expr, x: Expr, *, axes: tuple[int, ...], keepdims: bool) -> Expr:
    chosen = equal(x, spread(y, x, axes=axes, keepdims=keepdims))
    ties = apply(SUM, chosen, axes=axes, keepdims=True).astype(x.dtype)
    return spread(g, x, axes=axes, keepdims=keepdims) * (chosen / ties)


SUM = _reduction(
    "sum", "Sum over axes.", lambda g, _y, x, **params: spread(g, x, **params, full=True), dtype=accumulated
)
MEAN = _reduction("mean", "Average over axes.", _mean_vjp, dtype=real)
_TIES = "elements that tie share it equally"
MAX = _reduction(
    "max", "Give the largest element over axes.", _extreme_vjp, shape=_extreme_shape, latex=r"\max", kink=_TIES
)
MIN = _reduction(
    "min", "Give the smallest element over axes.", _extreme_vjp, shape=_extreme_shape, latex=r"\min", kink=_TIES
)


def sum(
    a: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Operand | None = 0,
    where: Operand | bool | None = None,
) -> Expr:
    """Sum over axes, all of them unless told; integers are summed as int64, and of no elements it is 0.

    Args:
        a: the operand.
        axis: one axis or several.
        dtype: what is summed is converted to it.
        out: none.
        keepdims: keep the summed axes with size 1.
        initial: a scalar that is added.
        where: bools, of the elements that are summed; the derivative by the others is 0.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` does not broadcast to the operand.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", ("N", "D"))
    >>> sb.sum(x, axis=0).shape
    (D,)
    >>> print(sb.sum(x, where=x > 0))
    sum(where(x > 0, x, 0))
    """
    no_out("sum", out)
    expr = converted("sum", a, dtype)
    found = _public(SUM, chosen(expr, mask_of("sum", expr, where), 0), axis, keepdims=keepdims)
    found = found if initial is None or _is_number(initial, 0) else found + _scalar("sum", initial, found)
    return found if dtype is None else astype(found, dtype)


def mean(
    a: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Operand | bool | None = None,
) -> Expr:
    """Average over axes, all of them unless told; of no elements it is NaN.

    Args:
        a: the operand.
        axis: one axis or several.
        dtype: a float dtype that what is averaged is converted to.
        out: none.
        keepdims: keep the averaged axes with size 1.
        where: bools, of the elements that are averaged; the derivative by the others is 0.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` does not broadcast to the operand.

    >>> import symbackprop as sb
    >>> sb.mean(sb.symbol("x", ("N", "D"))).shape
    ()
    """
    no_out("mean", out)
    expr = as_expr(a) if dtype is None else converted("mean", a, dtype, floats=True)
    mask = mask_of("mean", expr, where)
    if mask is None:
        return _public(MEAN, expr, axis, keepdims=keepdims)
    expr = astype(expr, real(expr.dtype))
    total = _public(SUM, chosen(expr, mask, 0), axis, keepdims=keepdims)
    return total / counted(mask, expr, axis, keepdims=keepdims)


def counted(mask: Expr, x: Expr, axis: Axis, *, keepdims: bool) -> Expr:
    """Count where a mask holds among the elements of an array, in the array's dtype."""
    return astype(_public(SUM, broadcast_to(mask, x.shape), axis, keepdims=keepdims), x.dtype)


def _extreme(
    op: Op,
    of_two: Op,
    a: Operand,
    axis: Axis,
    out: None,
    keepdims: bool,
    initial: Operand | None,
    where: Operand | bool | None,
) -> Expr:
    no_out(op.name, out)
    expr = as_expr(a)
    mask = mask_of(op.name, expr, where)
    if initial is None:
        if mask is not None:
            msg = f"{op.name}: with where= there may be no elements left: give the value for that, initial="
            raise ArgumentError(msg)
        return _public(op, expr, axis, keepdims=keepdims)
    least = _scalar(op.name, initial, expr)
    axes = axes_of(op.name, expr, axis)
    if builtins.any(expr.shape[each] == 0 for each in axes):
        return broadcast_to(least, reduced(expr.shape, axes=axes, keepdims=bool(keepdims)))
    kept = expr if mask is None else choose(mask, expr, least)
    return of_two(_public(op, kept, axis, keepdims=keepdims), least)


def max(
    a: Operand,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Operand | bool | None = None,
) -> Expr:
    """Give the largest element over axes; elements that tie share the derivative equally.

    Args:
        a: the operand.
        axis: one axis or several.
        out: none.
        keepdims: keep the reduced axes with size 1.
        initial: a scalar that the result is not less than; where it ties with an element, the element has the
            derivative.
        where: bools, of the elements that count, with `initial` for where there are none; the derivative by the others
            is 0.

    Raises:
        ShapeError: an axis out of range or named twice, `where` does not broadcast to the operand, or an axis without
            elements and no `initial`.
        ArgumentError: `where` without `initial`.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", ("N", "D"))
    >>> sb.max(x, axis=-1, keepdims=True).shape
    (N, 1)
    >>> print(sb.max(x, initial=0))
    maximum(max(x), 0)
    """
    return _extreme(MAX, maximum, a, axis, out, keepdims, initial, where)


def min(
    a: Operand,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Operand | None = None,
    where: Operand | bool | None = None,
) -> Expr:
    """Give the smallest element over axes; elements that tie share the derivative equally.

    Args:
        a: the operand.
        axis: one axis or several.
        out: none.
        keepdims: keep the reduced axes with size 1.
        initial: a scalar that the result is not greater than; where it ties with an element, the element has the
            derivative.
        where: bools, of the elements that count, with `initial` for where there are none; the derivative by the others
            is 0.

    Raises:
        ShapeError: an axis out of range or named twice, `where` does not broadcast to the operand, or an axis without
            elements and no `initial`.
        ArgumentError: `where` without `initial`.

    >>> import symbackprop as sb
    >>> sb.min(sb.symbol("x", ("N", "D")), axis=0).shape
    (D,)
    """
    return _extreme(MIN, minimum, a, axis, out, keepdims, initial, where)


amax, amin = max, min


# --- truth, counts, positions ---------------------------------------------------------------------------------

ANY = _reduction("any", "Tell whether an element over axes is not zero.", None, dtype=boolean)
ALL = _reduction("all", "Tell whether all elements over axes are not zero.", None, dtype=boolean)


def any(
    a: Operand, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Operand | bool | None = None
) -> Expr:
    """Tell whether an element over axes is true, that is not zero, as NaN is; of no elements it is False.

    Args:
        a: the operand.
        axis: one axis or several.
        out: none.
        keepdims: keep the reduced axes with size 1.
        where: bools, of the elements that count.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` does not broadcast to the operand.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", ("N", "D"))
    >>> print(sb.any(x > 1, axis=0))
    any(x > 1, axis=0)
    """
    no_out("any", out)
    expr = as_expr(a)
    mask = mask_of("any", expr, where)
    return _public(ANY, expr if mask is None else logical_and(mask, expr), axis, keepdims=keepdims)


def all(
    a: Operand, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Operand | bool | None = None
) -> Expr:
    """Tell whether all elements over axes are true, that is not zero, as NaN is not; of no elements it is True.

    Args:
        a: the operand.
        axis: one axis or several.
        out: none.
        keepdims: keep the reduced axes with size 1.
        where: bools, of the elements that count.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` does not broadcast to the operand.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", ("N", "D"))
    >>> print(sb.all(x > 1))
    all(x > 1)
    """
    no_out("all", out)
    expr = as_expr(a)
    mask = mask_of("all", expr, where)
    return _public(ALL, expr if mask is None else logical_or(logical_not(mask), expr), axis, keepdims=keepdims)


def count_nonzero(a: Operand, axis: Axis = None, *, keepdims: bool = False) -> Expr:
    """Count the elements over axes that are not zero, as NaN is not.

    Args:
        a: the operand.
        axis: one axis or several.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: an axis out of range or named twice.

    >>> import symbackprop as sb
    >>> print(sb.count_nonzero(sb.symbol("x", "N")))
    sum(x ≠ 0)
    """
    expr = as_expr(a)
    return _public(SUM, expr if expr.dtype == bool else not_equal(expr, 0), axis, keepdims=keepdims)


def position(name: str, meaning: str, **rest: Any) -> Op:
    """State an op that gives a position along one axis, or among all elements."""
    return _reduction(
        name,
        meaning,
        None,
        shape=_extreme_shape,
        dtype=lambda *_kinds, **_: np.dtype(np.intp),
        latex=rf"\operatorname{{{name}}}",
        cases=tuple(case for case in _ANY_AXES if len(case.params["axes"]) in {1, len(case.shapes[0])}),
        **rest,
    )


ARGMAX = position("argmax", "Give the position of the first largest element: along one axis, or over all of them.")
ARGMIN = position("argmin", "Give the position of the first smallest element: along one axis, or over all of them.")


def positioned(op: Op, a: Operand, axis: Axis, out: None, *, keepdims: bool) -> Expr:
    """Apply an op that gives a position, which has one axis or all of them.

    Raises:
        ShapeError: several axes are given, or one out of range, or there are no elements.
    """
    no_out(op.name, out)
    expr = as_expr(a)
    if isinstance(axis, Iterable):
        msg = f"{op.name}: takes one axis, or None for a position among all elements, not {axis!r}: {expr.describe()}"
        raise ShapeError(msg)
    return _public(op, expr, axis, keepdims=keepdims)


def argmax(a: Operand, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Expr:
    """Give the position of the largest element, the first of equal ones, as an integer, which has no derivative.

    Args:
        a: the operand.
        axis: the axis to look along; unless told, the position is that among all elements in row-major order.
        out: none.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: the axis is out of range, or there are no elements.

    >>> import symbackprop as sb
    >>> print(sb.argmax(sb.symbol("X", ("N", "K")), axis=1))
    argmax(X, axis=1)
    """
    return positioned(ARGMAX, a, axis, out, keepdims=keepdims)


def argmin(a: Operand, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Expr:
    """Give the position of the smallest element, the first of equal ones, as an integer, which has no derivative.

    Args:
        a: the operand.
        axis: the axis to look along; unless told, the position is that among all elements in row-major order.
        out: none.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: the axis is out of range, or there are no elements.

    >>> import symbackprop as sb
    >>> print(sb.argmin(sb.symbol("X", ("N", "K")), axis=1))
    argmin(X, axis=1)
    """
    return positioned(ARGMIN, a, axis, out, keepdims=keepdims)


_CENTRED = '''
def centred(x, axis=None):
    """x - mean(x); an infinite element stays what it is."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(x), x, x - x.mean(axis=axis, keepdims=True))
'''
CENTRED: Op = Op(
    name="centred",
    doc="Give x - mean(x) over axes; the derivative is centred too.",
    shape=_same,
    dtype=real,
    vjps=(lambda g, _y, _x, *, axes: apply(CENTRED, g, axes=axes),),
    numpy=called_with_axes("centred"),
    text=called_with_axes("centred"),
    latex=_latex(r"\operatorname{centred}"),
    helper=_CENTRED,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * 2,
    cases=tuple(Case(case.shapes, {"axes": case.params["axes"]}) for case in _ANY_AXES[:-2:2]),
    options={"axes": (-1,)},
)


# --- product --------------------------------------------------------------------------------------------------

_OTHERS = '''
def is_far_from_limits(x):
    """Whether no product of elements of many rows can be zero, infinite or so small that digits are lost."""
    size = np.abs(x)
    bound = {"d": 1e260, "f": 1e34}.get(x.dtype.char, 1.0) ** (1 / len(x))
    return 1 / bound < size.item(size.argmin()) and size.item(size.argmax()) < bound


def product_of_others(x):
    """For each element the product of all the others on the first axis; only where that is safe by a division."""
    if len(x) > 200 and x.size and is_far_from_limits(x):
        return np.multiply.reduce(x, 0) / x
    before, after = np.empty_like(x), np.empty_like(x)
    if len(x):
        before[0] = after[-1] = 1.0
    np.multiply.accumulate(x[:-1], 0, None, before[1:])
    np.multiply.accumulate(x[:0:-1], 0, None, after[-2::-1])
    return np.multiply(before, after, before)
'''
_PORTABLE_OTHERS = '''
def product_of_others(x, axis):
    """For each element the product of all the others on its axis, without dividing."""
    if 0 in x.shape:
        return x
    x = np.moveaxis(x, axis, -1)
    one = np.ones_like(x[..., :1])
    before = np.concatenate([one, np.cumprod(x[..., :-1], axis=-1)], axis=-1)
    after = np.concatenate([one, np.cumprod(np.flip(x[..., 1:], axis=-1), axis=-1)], axis=-1)
    return np.moveaxis(before * np.flip(after, axis=-1), -1, axis)
'''


def _others_form(params: Params, shapes: tuple[Shape, ...]) -> Form:
    axis = params["axis"] + len(shapes[0])
    called = "product_of_others($0)"
    return Form(f"np.moveaxis({called.replace('$0', f'np.moveaxis($0, {axis}, 0)')}, 0, {axis})" if axis else called)


def _others_vjp(g: Expr, _y: Expr, x: Expr, *, axis: int) -> Expr:
    # sum_k g_k prod_{j != k} x_j, by x_i: sum_{k != i} g_k prod_{j not in {i, k}} x_j, from the table without x_k.
    last = to_end(x, (axis,))
    positions = arange(last.shape[-1], graph=x.graph)
    diagonal = equal(expand_dims(positions, -1), expand_dims(positions, -2))
    without = choose(diagonal, 1, expand_dims(last, -2))
    terms = choose(diagonal, 0, expand_dims(to_end(g, (axis,)), -1) * apply(OTHERS, without, axis=-1))
    return permute(apply(SUM, terms, axes=(-2,), keepdims=False), (-1, *range(axis, -1)))


OTHERS = Op(
    name="product_of_others",
    doc="For each element the product of all the others on its axis.",
    shape=_same,
    dtype=kept_dtype,
    vjps=(_others_vjp,),
    numpy=_others_form,
    portable=lambda params, shapes: Form(f"product_of_others($0, axis={params['axis'] + len(shapes[0])})"),
    text=lambda params, shapes: Form(f"product_of_others($0, axis={params['axis'] + len(shapes[0])})"),
    latex=lambda params, shapes: Form(rf"\operatorname{{others}}_{{{params['axis'] + len(shapes[0])}}}\left($0\right)"),
    helper=_OTHERS,
    portable_helper=_PORTABLE_OTHERS,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * 3,
    cases=(Case(((3,),), {"axis": -1}), Case(((3, 2),), {"axis": -2})),
    options={"axis": -1},
)


def _prod_vjp(g: Expr, _y: Expr, x: Expr, *, axes: tuple[int, ...], keepdims: bool) -> Expr:
    (axis,) = axes
    return spread(g, x, axes=axes, keepdims=keepdims) * apply(OTHERS, x, axis=axis)


PROD = _reduction("prod", "Multiply over an axis.", _prod_vjp, dtype=accumulated, latex=r"\prod", cases=_ONE_AXIS)


def prod(
    a: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Operand | None = 1,
    where: Operand | bool | None = None,
) -> Expr:
    """Multiply over axes, all of them unless told; the derivative is the product of the others, also at zeros.

    Args:
        a: the operand.
        axis: one axis or several.
        dtype: what is multiplied is converted to it.
        out: none.
        keepdims: keep the reduced axes with size 1.
        initial: a scalar that is multiplied with.
        where: bools, of the elements that are multiplied; the derivative by the others is 0.

    Raises:
        ShapeError: an axis out of range or named twice, or `where` does not broadcast to the operand.

    >>> import symbackprop as sb
    >>> sb.prod(sb.symbol("x", ("N", "D")), axis=0).shape
    (D,)
    """
    no_out("prod", out)
    expr = converted("prod", a, dtype)
    kept = chosen(expr, mask_of("prod", expr, where), 1)
    for each in axes_of("prod", expr, axis):  # from the left, so that the others keep their distance from the right
        kept = apply(PROD, kept, axes=(each,), keepdims=bool(keepdims))
    found = astype(kept, accumulated(expr.dtype))
    found = found if initial is None or _is_number(initial, 1) else found * _scalar("prod", initial, found)
    return found if dtype is None else astype(found, dtype)


# --- softmax and its relatives --------------------------------------------------------------------------------

_LARGEST = '''
def largest(z, axis):
    """The largest elements along an axis, which is kept; of none -inf."""
    if axis == z.ndim - 1 and z.shape[-1] <= 32 <= z.shape[0]:
        z = z.copy("F")  # takes less than many loops along a short axis
    return np.maximum.reduce(z, axis, None, None, True, -np.inf)
'''
_SHIFTED = f'''{_LARGEST}
def shifted(z, axis):
    """z less its largest element; where that is infinite 0 for its equals, and -inf for others."""
    m = largest(z, axis)
    top = np.isinf(m)
    if np.count_nonzero(top):
        z = np.where(top, np.where(z < m, -m, np.zeros_like(z)), z)
        m = np.where(top, np.zeros_like(m), m)
    return z - m
'''
_SOFTMAX = '''
def softmax(z, axis):
    """exp(z) / sum(exp(z)), shifted by the largest element so that nothing overflows."""
    e = np.exp(shifted(z, axis))
    return e / e.sum(axis=axis, keepdims=True)
'''
_LOG_SOFTMAX = '''
def log_softmax(z, axis):
    """z - log(sum(exp(z))), shifted by the largest element so that nothing overflows, and right where that is all."""
    s = shifted(z, axis)
    e = np.exp(s)
    total = e.sum(axis=axis, keepdims=True)
    rest = np.where(e < 1, e, 0.0).sum(axis=axis, keepdims=True)
    return s - np.where(total < 1.5, np.log1p(rest), np.log(np.maximum(total, 1.0)))
'''
_LOGSUMEXP = f'''{_LARGEST}
def logsumexp(z, axis=None, keepdims=False):
    """log(sum(exp(z))), shifted by the largest element so that nothing overflows."""
    m = largest(z, axis)
    m = np.where(np.isfinite(m), m, 0.0)
    with np.errstate(divide="ignore"):  # log(0) of no elements, or of none but -inf
        s = m + np.log(np.exp(z - m).sum(axis=axis, keepdims=True))
    return s if keepdims else s.squeeze(axis=axis)[()]
'''
_PORTABLE_LARGEST = '''
def largest(z, axis):
    """The largest elements along an axis, which is kept; of none -inf."""
    if 0 in z.shape:
        return z.sum(axis=axis, keepdims=True) - np.inf
    return z.max(axis=axis, keepdims=True)
'''
_PORTABLE_SHIFTED = '''
def shifted(z, axis):
    """z less its largest element; where that is infinite 0 for its equals, and -inf for others."""
    if 0 in z.shape:
        return z
    m = z.max(axis=axis, keepdims=True)
    top = np.isinf(m)
    z = np.where(top, np.where(z < m, -np.inf, np.zeros_like(z)), z)
    return z - np.where(top, np.zeros_like(m), m)
'''
_PORTABLE_LOGSUMEXP = '''
def logsumexp(z, axis=None, keepdims=False):
    """log(sum(exp(z))), shifted by the largest element so that nothing overflows."""
    if 0 in z.shape:
        return np.log(np.exp(z).sum(axis=axis, keepdims=keepdims))
    m = z.max(axis=axis, keepdims=True)
    m = np.where(np.isfinite(m), m, 0.0)
    s = m + np.log(np.exp(z - m).sum(axis=axis, keepdims=True))
    return s if keepdims else s.sum(axis=axis)
'''


def only_floats(*kinds: Any, **_: Any) -> Dtype:
    """Give the dtype of functions that take no integers: what calls them converts first."""
    for kind in kinds:
        if np.result_type(kind).kind != "f":
            msg = f"needs floats, not {np.result_type(kind)}: convert with astype"
            raise DtypeError(msg)
    dtype: Dtype = np.result_type(*kinds)
    return dtype


def _normalised(name: str, meaning: str, vjp: Vjp, helper: str) -> Op:
    return Op(
        name=name,
        doc=meaning,
        shape=_same,
        dtype=only_floats,
        vjps=(vjp,),
        numpy=_called(name),
        text=called_with_axes(name, last_is_default=True),
        latex=_latex(rf"\operatorname{{{name}}}".replace("_", " "), last_is_default=True),
        helper=_SHIFTED + "\n" + helper,
        portable_helper=_PORTABLE_SHIFTED + "\n" + helper,
        cost=lambda xs, _y, _params: dims.product(xs[0]) * 5,
        cases=tuple(Case(case.shapes, {"axes": case.params["axes"]}) for case in _ANY_AXES[::2]),
        options={"axes": (-1,)},
    )


def _softmax_vjp(g: Expr, y: Expr, _x: Expr, *, axes: tuple[int, ...]) -> Expr:
    return y * (g - apply(SUM, g * y, axes=axes, keepdims=True))


def _log_softmax_vjp(g: Expr, _y: Expr, x: Expr, *, axes: tuple[int, ...]) -> Expr:
    return g - apply(SOFTMAX, x, axes=axes) * apply(SUM, g, axes=axes, keepdims=True)


def _shifted_vjp(g: Expr, y: Expr, x: Expr, *, axes: tuple[int, ...]) -> Expr:
    total = apply(SUM, g, axes=axes, keepdims=True)
    return g - _extreme_vjp(total, x - y, x, axes=axes, keepdims=True)


SOFTMAX = _normalised("softmax", "Give exp(x)/sum(exp(x)).", _softmax_vjp, _SOFTMAX)
LOG_SOFTMAX = _normalised("log_softmax", "Give x - logsumexp(x).", _log_softmax_vjp, _LOG_SOFTMAX)
SHIFTED = _normalised("shifted", "Give x - max(x), the operand of the exponentials in softmax(x).", _shifted_vjp, "")
LARGEST = Op(
    name="largest",
    doc="Give the largest element over axes, which are kept with size 1; of no elements it is -inf.",
    shape=lambda x, *, axes: reduced(x, axes=axes, keepdims=True),
    dtype=only_floats,
    vjps=(lambda g, y, x, *, axes: _extreme_vjp(g, y, x, axes=axes, keepdims=True),),
    numpy=_called("largest"),
    text=called_with_axes("largest", last_is_default=True),
    latex=_latex(r"\operatorname{largest}", last_is_default=True),
    helper=_LARGEST,
    portable_helper=_PORTABLE_LARGEST,
    cost=lambda xs, _y, _params: dims.product(xs[0]),
    cases=SHIFTED.cases,
    options={"axes": (-1,)},
)

_SOFTMAX_CENTRED = '''
def softmax_centred(x, z, axis):
    """x - sum(x * softmax(z)), of differences from the x at the largest z: what all x have in common does not count."""
    s = shifted(z, axis)
    top = np.where(s == 0, x, -np.inf).max(axis=axis, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        d = np.where(x == top, 0.0, x - top)
    e = np.exp(s)
    return d - damped(d, e / e.sum(axis=axis, keepdims=True)).sum(axis=axis, keepdims=True)
'''
_PORTABLE_SOFTMAX_CENTRED = '''
def softmax_centred(x, z, axis):
    """x - sum(x * softmax(z)), of differences from the x at the largest z: what all x have in common does not count."""
    if 0 in z.shape or 0 in x.shape:
        return x + z
    s = shifted(z, axis)
    top = np.where(s == 0, x, -np.inf).max(axis=axis, keepdims=True)
    d = np.where(x == top, 0.0, x - top)
    e = np.exp(s)
    return d - damped(d, e / e.sum(axis=axis, keepdims=True)).sum(axis=axis, keepdims=True)
'''


def _centred_vjp(g: Expr, _y: Expr, _x: Expr, z: Expr, *, axes: tuple[int, ...]) -> Expr:
    return g - apply(SOFTMAX, z, axes=axes) * apply(SUM, g, axes=axes, keepdims=True)


def _centre_vjp(g: Expr, y: Expr, _x: Expr, z: Expr, *, axes: tuple[int, ...]) -> Expr:
    return -(apply(SUM, g, axes=axes, keepdims=True) * (apply(SOFTMAX, z, axes=axes) * y))


def _of_two(name: str) -> Notation:
    def notation(params: Params, _shapes: tuple[Shape, ...]) -> Form:
        axes = params["axes"]  # from the right: the operands need not have the same number
        return Form(f"{name}($0, $1, axis={axes[0] if len(axes) == 1 else axes})")

    return notation


SOFTMAX_CENTRED = Op(
    name="softmax_centred",
    doc="Give x - sum(x * softmax(z)): what the derivative of softmax multiplies by its value.",
    shape=lambda x, z, **_: dims.broadcast(x, z),
    dtype=only_floats,
    vjps=(_centred_vjp, _centre_vjp),
    numpy=_of_two("softmax_centred"),
    text=_of_two("softmax_centred"),
    latex=_of_two(r"\operatorname{softmax\ centred}"),
    helper=f"{_SHIFTED}\n{DAMPED.helper}\n{_SOFTMAX_CENTRED}",
    portable_helper=f"{_PORTABLE_SHIFTED}\n{DAMPED.portable_helper}\n{_PORTABLE_SOFTMAX_CENTRED}",
    cost=lambda _xs, y, _params: dims.product(y) * 9,
    cases=(
        *(Case(case.shapes * 2, {"axes": case.params["axes"]}) for case in _ANY_AXES[::2]),
        *(Case(shapes, {"axes": (-1,)}) for shapes in [((3,), (2, 3)), ((2, 3), (3,)), ((2, 1, 3), (2, 3))]),
    ),
    options={"axes": (-1,)},
)
LOGSUMEXP = _reduction(
    "logsumexp",
    "Give log(sum(exp(x))) over axes.",
    lambda g, _y, x, *, axes, keepdims: spread(g, x, axes=axes, keepdims=keepdims) * apply(SOFTMAX, x, axes=axes),
    dtype=only_floats,
    numpy=called_with_axes("logsumexp"),
    helper=_LOGSUMEXP,
    portable_helper=_PORTABLE_LOGSUMEXP,
)


def softmax(x: Operand, axis: int | Iterable[int] = -1) -> Expr:
    """Give ``exp(x)/sum(exp(x))`` along an axis; nothing overflows. Derivative: y ⊙ (g - sum(g ⊙ y)).

    Infinite elements that tie for the largest share 1 equally, and of the others each is 0, with its derivative.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> sb.softmax(sb.symbol("z", ("N", "K"))).shape
    (N, K)
    """
    expr = as_real(x)
    return apply(SOFTMAX, expr, axes=axes_of("softmax", expr, axis))


def log_softmax(x: Operand, axis: int | Iterable[int] = -1) -> Expr:
    """Give ``x - logsumexp(x)`` along an axis; nothing overflows. Derivative: g - softmax(x) sum(g).

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> sb.log_softmax(sb.symbol("z", ("N", "K"))).shape
    (N, K)
    """
    expr = as_real(x)
    return apply(LOG_SOFTMAX, expr, axes=axes_of("log_softmax", expr, axis))


_WEIGHTED = '''
def weighted_logsumexp(z, b, axis=None, keepdims=False):
    """log(sum(b * exp(z))), shifted by the largest z that counts so that nothing overflows; NaN of a negative sum."""
    z = np.where(b == 0, np.full((), -np.inf, z.dtype), z)
    m = np.maximum.reduce(z, axis, None, None, True, -np.inf)
    m = np.where(np.isfinite(m), m, np.zeros((), z.dtype))
    with np.errstate(divide="ignore", invalid="ignore"):
        s = m + np.log((b * np.exp(z - m)).sum(axis=axis, keepdims=True))
    return s if keepdims else s.squeeze(axis=axis)[()]
'''
_PORTABLE_WEIGHTED = '''
def weighted_logsumexp(z, b, axis=None, keepdims=False):
    """log(sum(b * exp(z))), shifted by the largest z that counts so that nothing overflows; NaN of a negative sum."""
    z = np.where(b == 0, np.asarray(-np.inf), z)
    if 0 in z.shape:
        return np.log((b * np.exp(z)).sum(axis=axis, keepdims=keepdims))
    m = z.max(axis=axis, keepdims=True)
    m = np.where(np.isfinite(m), m, np.zeros_like(m))
    s = m + np.log((b * np.exp(z - m)).sum(axis=axis, keepdims=True))
    return s if keepdims else s.sum(axis=axis)
'''


def _spread_to(value: Expr, shape: Shape, axes: tuple[int, ...], *, keepdims: bool) -> Expr:
    kept = value if keepdims or not (axes and value.ndim) else expand_dims(value, axes)
    return broadcast_to(kept, kept.shape[: builtins.max(kept.ndim - len(shape), 0)] + shape)


def _weight_at(g: Expr, y: Expr, x: Expr, b: Expr, *, axes: tuple[int, ...], keepdims: bool) -> Expr:
    """Give the derivative by b."""
    total, cotangent = (_spread_to(each, _whole((x.shape, b.shape)), axes, keepdims=keepdims) for each in (y, g))
    return cotangent * exp(x - total)


def _term_at(g: Expr, y: Expr, x: Expr, b: Expr, *, axes: tuple[int, ...], keepdims: bool) -> Expr:
    """Give the derivative by x, which is 0 where b is, however large x is."""
    total, cotangent = (_spread_to(each, _whole((x.shape, b.shape)), axes, keepdims=keepdims) for each in (y, g))
    return cotangent * DAMPED(exp(x - total), b)


def _whole(shapes: tuple[Shape, ...]) -> Shape:
    return dims.broadcast(*shapes)


def _weighted(template: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        arguments = _axis_arguments(params, _whole(shapes))
        return Form(f"{template}{arguments and ', '}{arguments})")

    return notation


def _weighted_latex(params: Params, shapes: tuple[Shape, ...]) -> Form:
    below = ",".join(str(axis + len(_whole(shapes))) for axis in params["axes"])
    summed = rf"\log \sum_{{{below}}}\left($0\right)"
    return Form(summed.replace("$0", r"$1 \odot \exp\left($0\right)"), MULTIPLY)


WEIGHTED_LOGSUMEXP = Op(
    name="weighted_logsumexp",
    doc="Give log(sum(b * exp(x))) over axes.",
    shape=lambda x, b, **params: reduced(dims.broadcast(x, b), **params),
    dtype=only_floats,
    vjps=(_term_at, _weight_at),
    numpy=_weighted("weighted_logsumexp($0, $1"),
    text=_weighted("logsumexp($0, b=$1"),
    latex=_weighted_latex,
    helper=_WEIGHTED,
    portable_helper=_PORTABLE_WEIGHTED,
    cost=lambda xs, _y, _params: dims.product(dims.broadcast(*xs)) * 4,
    domain=((-2.0, 2.0), (0.3, 2.0)),
    defined="sum(b * exp(x)) > 0",
    cases=(
        *(Case(case.shapes * 2, case.params) for case in _ANY_AXES),
        *(Case(shapes, {"axes": (-1,)}) for shapes in [((3,), (2, 3)), ((2, 3), (3,)), ((2, 1), (2, 3))]),
    ),
    options={"axes": (), "keepdims": False},
)


def logsumexp(
    a: Operand, axis: Axis = None, b: Operand | None = None, keepdims: bool = False, return_sign: bool = False
) -> Expr:
    """Give ``log(sum(exp(a)))`` over axes; nothing overflows, of no elements it is -inf. Derivative: softmax(a).

    With weights it is ``y = log(sum(b*exp(a)))``, and the derivatives are ``b*exp(a - y)`` by `a` and ``exp(a - y)`` by
    `b`; where b is 0, a does not count, however large it is. A negative sum has no logarithm: it is NaN. Where all
    is -inf, or the largest elements are inf, those that tie share the derivative equally.

    Args:
        a: the operand.
        axis: one axis or several.
        b: weights, which broadcast with `a`.
        keepdims: keep the reduced axes with size 1.
        return_sign: no.

    Raises:
        ShapeError: an axis out of range or named twice.
        ArgumentError: the sign is asked for.

    >>> import symbackprop as sb
    >>> z, b = sb.symbols("z[N,K] b[K]")
    >>> sb.logsumexp(z, axis=-1).shape
    (N,)
    >>> print(sb.grad(sb.logsumexp(z[0], b=b), b))
    exp(z[0] − logsumexp(z[0], b=b))
    """
    if return_sign:
        msg = "logsumexp: gives one value: for the sign write sb.sign(sb.sum(b * sb.exp(a - sb.max(a))))"
        raise ArgumentError(msg)
    expr = as_real(a)
    if b is None:
        return _public(LOGSUMEXP, expr, axis, keepdims=keepdims)
    weights = as_real(as_expr(np.asarray(b) if isinstance(b, list | tuple) else b, graph=expr.graph))
    axes = axes_of("logsumexp", expr if expr.ndim >= weights.ndim else weights, axis)
    return apply(WEIGHTED_LOGSUMEXP, expr, weights, axes=axes, keepdims=bool(keepdims))
