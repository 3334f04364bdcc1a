"""The operations that move elements without computing: reshape, transpose, broadcast, new and dropped axes.

Axes are counted from the right wherever an op keeps them, so that a cotangent may have extra leading axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, ShapeLike, SizeLike
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, POWER, Case, Dtype, Form, Op, Params, apply, literal
from symbackprop.ops.leaf import as_expr

__all__ = [
    "broadcast_to",
    "expand_dims",
    "ones_like",
    "reshape",
    "squeeze",
    "transpose",
    "zeros_like",
]


def kept_dtype(kind: Any, *_: Any, **__: Any) -> Dtype:
    """Give the operand's own dtype."""
    return np.result_type(kind)


def free(*_: Any) -> int:
    """Give the cost of an op that computes nothing."""
    return 0


def shape_text(shape: Shape) -> str:
    """Write a shape as Python does.

    >>> shape_text((3,)), shape_text(dims.as_shape(("N", 2)))
    ('(3,)', '(N, 2)')
    """
    return f"({shape[0]},)" if len(shape) == 1 else f"({', '.join(map(str, shape))})"


def axes_of(name: str, x: Expr, axis: int | Iterable[int] | None, *, new: bool = False) -> tuple[int, ...]:
    """Read NumPy's axis argument, with the name of the op and the operand in what is raised.

    Args:
        name: the op.
        x: the operand.
        axis: one axis, several, or all.
        new: whether the axes are those to come.

    Raises:
        ShapeError: an axis out of range or named twice, or what is no axis.
    """
    given: object = axis  # who has no type checker may pass anything
    several = isinstance(given, Iterable) and not isinstance(given, str | Expr)
    if not (axis is None or several or hasattr(axis, "__index__")):
        what = given.describe() if isinstance(given, Expr) else repr(given)
        hint = f"; of two operands it is sb.{name}imum" if name in {"max", "min"} and isinstance(given, Expr) else ""
        msg = f"{name}: an axis is an int such as 0 or -1, not {what}{hint}: {x.describe()}"
        raise ShapeError(msg)
    try:
        single = axis is None or hasattr(axis, "__index__")
        wanted = axis if single else tuple(axis)  # type: ignore[arg-type]  # one axis was told apart
        added = 0 if not new else len(wanted) if isinstance(wanted, tuple) else 1
        return dims.axes_from_right(wanted, x.ndim + added)
    except ShapeError as error:
        msg = f"{name}: {error}: {x.describe()}"
        raise ShapeError(msg) from None


# --- reshape --------------------------------------------------------------------------------------------------


def _reshape_shape(x: Shape, *, shape: Shape) -> Shape:
    if dims.product(x) != dims.product(shape):
        msg = f"{dims.product(x)} elements do not fill the shape {shape_text(shape)}"
        raise ShapeError(msg)
    return shape


def _written(function: str) -> Any:
    def notation(params: Params, _shapes: tuple[Shape, ...]) -> Form:
        return Form(f"{function}($0, {shape_text(params['shape'])})")

    return notation


def _written_latex(function: str) -> Any:
    def notation(params: Params, _shapes: tuple[Shape, ...]) -> Form:
        shape = r" \times ".join(map(str, params["shape"]))
        return Form(rf"\operatorname{{{function}}}_{{{shape}}}\left($0\right)")

    return notation


RESHAPE: Op = Op(
    name="reshape",
    doc="Give the same elements in another shape.",
    shape=_reshape_shape,
    dtype=kept_dtype,
    vjps=(lambda g, y, x, **_: apply(RESHAPE, g, shape=g.shape[: g.ndim - y.ndim] + x.shape),),
    numpy=lambda params, _shapes: Form(f"$0.reshape({shape_text(params['shape'])})", ATOM, (ATOM,)),
    text=_written("reshape"),
    latex=_written_latex("reshape"),
    cost=free,
    cases=(Case(((2, 3),), {"shape": (3, 2)}), Case(((6,),), {"shape": (1, 6)}), Case(((),), {"shape": (1,)})),
    options={"shape": ()},
)


def reshape(x: Operand, shape: ShapeLike) -> Expr:
    """Give the same elements, in row-major order, in another shape; one size may be -1.

    Raises:
        ShapeError: the number of elements differs.

    >>> import symbackprop as sb
    >>> sb.reshape(sb.symbol("x", ("N", 2, 3)), ("N", -1)).shape
    (N, 6)
    """
    expr = as_expr(x)
    single = isinstance(shape, str | dims.Dim) or hasattr(shape, "__index__")
    sizes: Sequence[SizeLike] = [shape] if single else shape  # type: ignore[assignment,list-item]  # told apart above
    unknown = [axis for axis, size in enumerate(sizes) if size == -1]
    if len(unknown) > 1:
        msg = f"reshape: only one size may be -1, not {len(unknown)}: {expr.describe()}"
        raise ShapeError(msg)
    known = [1 if size == -1 else size for size in sizes]
    target = dims.as_shape(known)
    if unknown:
        try:
            fitted = dims.product(expr.shape) // dims.product(target)
        except (ShapeError, ZeroDivisionError) as error:
            msg = f"reshape: -1 cannot be found: {error}: {expr.describe()}"
            raise ShapeError(msg) from None
        target = (*target[: unknown[0]], fitted, *target[unknown[0] + 1 :])
    return expr if expr.shape == target else apply(RESHAPE, expr, shape=target)


# --- transpose ------------------------------------------------------------------------------------------------


def _transpose_shape(x: Shape, *, axes: tuple[int, ...]) -> Shape:
    return x[: len(x) - len(axes)] + tuple(x[axis] for axis in axes)


def _from_left(axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return tuple(range(rank - len(axes))) + tuple(axis + rank for axis in axes)


def _is_matrix_transpose(params: Params, shape: Shape) -> bool:
    return len(shape) == 2 and params["axes"] == (-1, -2)


def _transpose_form(short: Form, prefix: str, suffix: str) -> Any:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        if _is_matrix_transpose(params, shapes[0]):
            return short
        return Form(f"{prefix}($0, {_from_left(params['axes'], len(shapes[0]))}{suffix}")

    return notation


TRANSPOSE = Op(
    name="transpose",
    doc="Permute the axes.",
    shape=_transpose_shape,
    dtype=kept_dtype,
    vjps=(lambda g, _y, _x, *, axes: permute(g, tuple(axes.index(axis) - len(axes) for axis in range(-len(axes), 0))),),
    numpy=_transpose_form(Form("$0.T", ATOM, (ATOM,)), "np.transpose", ")"),
    text=_transpose_form(Form("$0ᵀ", POWER, (ATOM,)), "transpose", ")"),
    latex=_transpose_form(Form(r"{$0}^{\top}", POWER, (ATOM,)), r"\operatorname{transpose}\left", r"\right)"),
    cost=free,
    cases=(Case(((2, 3),), {"axes": (-1, -2)}), Case(((2, 3, 4),), {"axes": (-1, -3, -2)})),
    options={"axes": ()},
)


def permute(x: Expr, axes: tuple[int, ...]) -> Expr:
    """Permute the last axes, named from the right; leading axes stay."""
    if axes == tuple(range(-len(axes), 0)):
        return x
    return apply(TRANSPOSE, x, axes=axes)


def transpose(x: Operand, axes: Iterable[int] | None = None) -> Expr:
    """Permute the axes; without `axes` reverse them.

    Raises:
        ShapeError: `axes` is no permutation.

    >>> import symbackprop as sb
    >>> sb.transpose(sb.symbol("x", ("A", "B", "C")), (0, 2, 1)).shape
    (A, C, B)
    """
    expr = as_expr(x)
    rank = expr.ndim
    wanted = tuple(range(rank))[::-1] if axes is None else tuple(axes)
    from_right = tuple(axis - rank if axis >= 0 else axis for axis in wanted)
    if sorted(from_right) != list(range(-rank, 0)):
        msg = f"transpose: {wanted} is no permutation of the {rank} axes of {expr.describe()}"
        raise ShapeError(msg)
    return permute(expr, from_right)


def matrix_transpose(x: Expr) -> Expr:
    """Swap the last two axes."""
    return permute(x, (-1, -2))


# --- broadcasting ---------------------------------------------------------------------------------------------


def _broadcast_shape(x: Shape, *, shape: Shape) -> Shape:
    if dims.broadcast(x, shape) != shape:
        msg = f"the shape does not broadcast to {shape_text(shape)}"
        raise ShapeError(msg)
    return shape


BROADCAST_TO = Op(
    name="broadcast_to",
    doc="Repeat along new axes and axes of size 1.",
    shape=_broadcast_shape,
    dtype=kept_dtype,
    vjps=(lambda g, _y, _x, **_: g,),
    numpy=_written("np.broadcast_to"),
    text=_written("broadcast_to"),
    latex=_written_latex("broadcast"),
    cost=free,
    cases=(Case(((3,),), {"shape": (2, 3)}), Case(((2, 1),), {"shape": (2, 3)}), Case(((),), {"shape": (2,)})),
    options={"shape": ()},
)


def broadcast_to(x: Operand, shape: ShapeLike) -> Expr:
    """Repeat along new leading axes and axes of size 1.

    Raises:
        ShapeError: the shape does not broadcast to the wanted one.

    >>> import symbackprop as sb
    >>> sb.broadcast_to(sb.symbol("x", "D"), ("N", "D")).shape
    (N, D)
    """
    expr = as_expr(x)
    target = dims.as_shape(shape)
    return expr if expr.shape == target else apply(BROADCAST_TO, expr, shape=target)


def full_like(expr: Expr, value: float, *, leading: Shape = ()) -> Expr:
    """Give an array of one value with the shape and dtype of an expression, in its graph."""
    shape = leading + expr.shape
    scalar = literal(value, expr.dtype, graph=expr.graph)
    return broadcast_to(scalar, shape) if shape else scalar


def zeros_like(expr: Expr) -> Expr:
    """Give zeros with the shape and dtype of an expression.

    >>> import symbackprop as sb
    >>> sb.zeros_like(sb.symbol("x", "N")).shape
    (N,)
    """
    return full_like(expr, 0)


def ones_like(expr: Expr) -> Expr:
    """Give ones with the shape and dtype of an expression.

    >>> import symbackprop as sb
    >>> sb.ones_like(sb.symbol("x", "N")).shape
    (N,)
    """
    return full_like(expr, 1)


# --- new and dropped axes -------------------------------------------------------------------------------------


def _expanded_shape(x: Shape, *, axes: tuple[int, ...]) -> Shape:
    sizes = iter(x)
    return tuple(1 if axis in axes else next(sizes) for axis in range(-len(x) - len(axes), 0))


def _expand_form(params: Params, shapes: tuple[Shape, ...]) -> Form:
    axes = params["axes"]
    marks = ["None" if axis in axes else ":" for axis in range(-len(shapes[0]) - len(axes), 0)]
    while marks[-1] == ":" and len(marks) > 1:
        marks.pop()
    return Form(f"$0[{', '.join(marks)}]", ATOM, (ATOM,))


EXPAND_DIMS = Op(
    name="expand_dims",
    doc="Insert axes of size 1.",
    shape=_expanded_shape,
    dtype=kept_dtype,
    vjps=(lambda g, _y, _x, *, axes: squeeze(g, axes),),
    numpy=_expand_form,
    text=_expand_form,
    latex=_expand_form,
    cost=free,
    cases=(Case(((3,),), {"axes": (-1,)}), Case(((2, 3),), {"axes": (-4, -2)}), Case(((),), {"axes": (-1,)})),
    options={"axes": ()},
)


def expand_dims(x: Operand, axis: int | Iterable[int]) -> Expr:
    """Insert axes of size 1 where the result is to have them.

    Raises:
        ShapeError: an axis out of range or named twice.

    >>> import symbackprop as sb
    >>> sb.expand_dims(sb.symbol("x", "N"), -1).shape
    (N, 1)
    """
    expr = as_expr(x)
    axes = axes_of("expand_dims", expr, axis, new=True)
    return apply(EXPAND_DIMS, expr, axes=axes) if axes else expr


def _squeezed_shape(x: Shape, *, axes: tuple[int, ...]) -> Shape:
    for axis in axes:
        if x[axis] != 1:
            msg = f"axis {axis + len(x)} has size {x[axis]}, not 1"
            raise ShapeError(msg)
    return tuple(size for axis, size in zip(range(-len(x), 0), x, strict=True) if axis not in axes)


def _squeeze_form(opening: str, closing: str, own: Form | None = None) -> Any:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axes = tuple(axis + len(shapes[0]) for axis in params["axes"])
        form = own or Form("", ATOM, ())
        return Form(f"{opening}axis={axes[0] if len(axes) == 1 else axes}{closing}", ATOM, form.operands)

    return notation


SQUEEZE = Op(
    name="squeeze",
    doc="Remove axes of size 1.",
    shape=_squeezed_shape,
    dtype=kept_dtype,
    vjps=(lambda g, _y, _x, *, axes: expand_dims(g, axes),),
    numpy=_squeeze_form("$0.squeeze(", ")", Form("", ATOM, (ATOM,))),
    text=_squeeze_form("squeeze($0, ", ")"),
    latex=_squeeze_form(r"\operatorname{squeeze}\left($0, ", r"\right)"),
    cost=free,
    cases=(Case(((2, 1),), {"axes": (-1,)}), Case(((1, 2, 1),), {"axes": (-3, -1)})),
    options={"axes": ()},
)


def squeeze(x: Operand, axis: int | Iterable[int] | None = None) -> Expr:
    """Remove axes of size 1: those named, or all.

    Raises:
        ShapeError: a named axis has another size.

    >>> import symbackprop as sb
    >>> sb.squeeze(sb.symbol("x", ("N", 1))).shape
    (N,)
    """
    expr = as_expr(x)
    if axis is None:
        axes = tuple(axis - expr.ndim for axis, size in enumerate(expr.shape) if size == 1)
    else:
        axes = axes_of("squeeze", expr, axis)
    return apply(SQUEEZE, expr, axes=axes) if axes else expr
