"""The operations that move elements without computing: reshape, transpose, broadcast, new and dropped axes.

Axes are counted from the right wherever an op keeps them, so that a cotangent may have extra leading axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, ShapeLike, Size, SizeLike
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, POWER, Case, Dtype, Form, Op, Params, apply, check_dtype, literal
from symbackprop.ops.elementwise import astype
from symbackprop.ops.leaf import as_expr, exprs_of

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_to",
    "copy",
    "expand_dims",
    "flatten",
    "full_like",
    "matrix_transpose",
    "moveaxis",
    "ndim",
    "ones_like",
    "permute_dims",
    "ravel",
    "reshape",
    "rollaxis",
    "shape",
    "size",
    "squeeze",
    "swapaxes",
    "transpose",
    "zeros_like",
]


def kept_dtype(kind: Any, *_: Any, **__: Any) -> Dtype:
    """Give the operand's own dtype."""
    return np.result_type(kind)


def free(*_: Any) -> int:
    """Give the cost of an op that computes nothing."""
    return 0


def axes_in_order(name: str, x: Expr, axes: int | Sequence[int]) -> tuple[int, ...]:
    """Read axes as `axes_of` does, in the order that they are given in."""
    axes_of(name, x, axes)
    return tuple(axes_of(name, x, axis)[0] for axis in ((axes,) if hasattr(axes, "__index__") else axes))


def of_rank(name: str, x: Operand, least: int) -> Expr:
    """Read an operand that needs so many axes.

    Raises:
        ShapeError: it has fewer.
    """
    expr = as_expr(x)
    if expr.ndim < least:
        msg = f"{name}: needs {least} {'axis' if least == 1 else 'axes'} at least: {expr.describe()}"
        raise ShapeError(msg)
    return expr


def axis_or_flat(name: str, x: Operand, axis: int | None) -> tuple[Expr, int]:
    """Read an operand, all elements along one axis where none is told, and the axis, counted from the right.

    Raises:
        ShapeError: the axis is out of range.
    """
    expr = as_expr(x)
    if axis is None:
        return reshape(expr, (expr.size,)), -1
    (right,) = axes_of(name, expr, axis)
    return expr, right


def on_axis(axis: int, index: Any) -> tuple[Any, ...]:
    """Give the index of all that an index takes along one axis, counted from the right."""
    return (..., index, *[slice(None)] * (-1 - axis))


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


def reshape(a: Operand, shape: ShapeLike, order: str = "C") -> Expr:
    """Give the same elements, in row-major order, in another shape; one size may be -1.

    Args:
        a: the array.
        shape: the sizes.
        order: C where elements follow one another along the last axis, F along the first, in `a` and in the result.

    Raises:
        ShapeError: the number of elements differs, or another order.

    >>> import symbackprop as sb
    >>> sb.reshape(sb.symbol("x", ("N", 2, 3)), ("N", -1)).shape
    (N, 6)
    """
    expr = as_expr(a)
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
    if _is_column_major("reshape", expr, order):
        return transpose(reshape(transpose(expr), target[::-1]))
    return expr if expr.shape == target else apply(RESHAPE, expr, shape=target)


def _is_column_major(name: str, x: Expr, order: str) -> bool:
    """Read NumPy's order; an expression lies nowhere in memory, so its order is C."""
    if order not in {"C", "F"}:
        msg = f"{name}: the order is C or F, not {order!r}: {x.describe()}"
        raise ShapeError(msg)
    return order == "F"


def ravel(a: Operand, order: str = "C") -> Expr:
    """Give all elements along one axis.

    Args:
        a: the array.
        order: C where elements follow one another along the last axis, F along the first.

    Raises:
        ShapeError: another order.

    >>> import symbackprop as sb
    >>> sb.ravel(sb.symbol("X", ("N", "D"))).shape
    (D*N,)
    """
    expr = as_expr(a)
    return reshape(expr, (expr.size,), order) if expr.ndim else expand_dims(expr, 0)


def flatten(a: Operand, order: str = "C") -> Expr:
    """Give all elements along one axis, as `ravel` does.

    >>> import symbackprop as sb
    >>> sb.symbol("X", (2, "D")).flatten().shape
    (2*D,)
    """
    return ravel(a, order)


def copy(a: Operand) -> Expr:
    """Give the expression itself: nothing can write to it.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> sb.copy(x) is x
    True
    """
    return as_expr(a)


def shape(a: Operand) -> Shape:
    """Give the sizes.

    >>> import symbackprop as sb
    >>> sb.shape(sb.symbol("X", ("N", 3)))
    (N, 3)
    """
    return as_expr(a).shape


def ndim(a: Operand) -> int:
    """Give the number of axes.

    >>> import symbackprop as sb
    >>> sb.ndim(sb.symbol("X", ("N", 3)))
    2
    """
    return as_expr(a).ndim


def size(a: Operand, axis: int | Iterable[int] | None = None) -> Size:
    """Give the number of elements, of the whole or along axes.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", 3))
    >>> sb.size(X), sb.size(X, 0), sb.size(X, axis=-1)
    (3*N, N, 3)
    """
    expr = as_expr(a)
    return dims.product(expr.shape[right] for right in axes_of("size", expr, axis))


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
    """Permute the last axes, named from the right; leading axes stay, and are not named."""
    stay = next((at for at, axis in enumerate(axes) if axis != at - len(axes)), len(axes))
    return apply(TRANSPOSE, x, axes=axes[stay:]) if stay < len(axes) else x


def to_end(x: Expr, axes: tuple[int, ...]) -> Expr:
    """Bring axes, named from the right, to the end in this order; the others keep theirs."""
    return permute(x, (*(axis for axis in range(min(axes, default=0), 0) if axis not in axes), *axes))


def transpose(a: Operand, axes: Iterable[int] | None = None) -> Expr:
    """Permute the axes; without `axes` reverse them.

    Raises:
        ShapeError: `axes` is no permutation.

    >>> import symbackprop as sb
    >>> sb.transpose(sb.symbol("x", ("A", "B", "C")), (0, 2, 1)).shape
    (A, C, B)
    """
    expr = as_expr(a)
    rank = expr.ndim
    wanted = tuple(range(rank))[::-1] if axes is None else tuple(axes)
    from_right = tuple(axis - rank if axis >= 0 else axis for axis in wanted)
    if sorted(from_right) != list(range(-rank, 0)):
        msg = f"transpose: {wanted} is no permutation of the {rank} axes of {expr.describe()}"
        raise ShapeError(msg)
    return permute(expr, from_right)


def permute_dims(a: Operand, axes: Iterable[int] | None = None) -> Expr:
    """Permute the axes, as `transpose` does: the name of the array API standard.

    >>> import symbackprop as sb
    >>> sb.permute_dims(sb.symbol("x", ("A", "B", "C")), (2, 0, 1)).shape
    (C, A, B)
    """
    return transpose(a, axes)


def matrix_transpose(x: Operand) -> Expr:
    """Swap the last two axes.

    Raises:
        ShapeError: the operand has fewer.

    >>> import symbackprop as sb
    >>> sb.matrix_transpose(sb.symbol("A", ("B", "M", "N"))).shape
    (B, N, M)
    """
    return permute(of_rank("matrix_transpose", x, 2), (-1, -2))


def _moved(name: str, x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Expr:
    """Move axes to where they are wanted; the others keep their order."""
    expr = as_expr(x)
    sources, targets = (axes_in_order(name, expr, axes) for axes in (source, destination))
    if len(sources) != len(targets):
        msg = f"{name}: {len(sources)} axes cannot move to {len(targets)} places: {expr.describe()}"
        raise ShapeError(msg)
    order = [axis for axis in range(-expr.ndim, 0) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target + expr.ndim, axis)
    return permute(expr, tuple(order))


def swapaxes(a: Operand, axis1: int, axis2: int) -> Expr:
    """Swap two axes.

    Raises:
        ShapeError: an axis is out of range.

    >>> import symbackprop as sb
    >>> sb.swapaxes(sb.symbol("x", ("A", "B", "C")), 0, -1).shape
    (C, B, A)
    """
    expr = as_expr(a)
    (one,), (other,) = (axes_of("swapaxes", expr, axis) for axis in (axis1, axis2))
    swapped = {one: other, other: one}
    return permute(expr, tuple(swapped.get(axis, axis) for axis in range(-expr.ndim, 0)))


def moveaxis(a: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Expr:
    """Move axes to other places; the others keep their order.

    Raises:
        ShapeError: an axis is out of range or named twice, or there are more axes than places.

    >>> import symbackprop as sb
    >>> sb.moveaxis(sb.symbol("x", ("A", "B", "C")), 0, -1).shape
    (B, C, A)
    """
    return _moved("moveaxis", a, source, destination)


def rollaxis(a: Operand, axis: int, start: int = 0) -> Expr:
    """Move an axis to before another one; NumPy advises `moveaxis`.

    Raises:
        ShapeError: an axis is out of range.

    >>> import symbackprop as sb
    >>> sb.rollaxis(sb.symbol("x", ("A", "B", "C")), 2).shape
    (C, A, B)
    """
    expr = as_expr(a)
    (right,) = axes_of("rollaxis", expr, axis)
    if not -expr.ndim <= start <= expr.ndim:
        msg = f"rollaxis: start {start} is out of range for rank {expr.ndim}: {expr.describe()}"
        raise ShapeError(msg)
    at = start + expr.ndim * (start < 0)
    return _moved("rollaxis", expr, right, at - (right + expr.ndim < at))


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


def broadcast_arrays(*args: Operand) -> tuple[Expr, ...]:
    """Broadcast arrays against one another.

    Raises:
        ShapeError: two sizes differ and neither is 1.

    >>> import symbackprop as sb
    >>> [x.shape for x in sb.broadcast_arrays(*sb.symbols("x[N] y[M,1]"))]
    [(M, N), (M, N)]
    """
    exprs = exprs_of("broadcast_arrays", args)
    try:
        common = dims.broadcast(*(expr.shape for expr in exprs))
    except ShapeError as error:
        msg = f"broadcast_arrays: {error}: {', '.join(expr.describe() for expr in exprs)}"
        raise ShapeError(msg) from None
    return tuple(broadcast_to(expr, common) for expr in exprs)


def full_like(a: Operand, fill_value: Operand, dtype: Any = None, *, shape: ShapeLike | None = None) -> Expr:
    """Give an array of one value, or of values that are broadcast, like another array.

    Args:
        a: the other array.
        fill_value: the value; as in NumPy it gets the dtype of `a` unless told.
        dtype: another dtype.
        shape: another shape.

    Raises:
        ShapeError: the values do not broadcast to the shape.

    >>> import symbackprop as sb
    >>> print(sb.full_like(sb.symbol("x", "N"), 3))
    broadcast_to(3, (N,))
    """
    expr = as_expr(a)
    kind = expr.dtype if dtype is None else check_dtype(dtype, "full_like")
    sizes = expr.shape if shape is None else dims.as_shape(shape)
    if isinstance(fill_value, Expr | dims.Dim):
        return broadcast_to(astype(as_expr(fill_value, graph=expr.graph), kind), sizes)
    return broadcast_to(literal(fill_value, kind, graph=expr.graph), sizes)


def zeros_like(a: Operand, dtype: Any = None, *, shape: ShapeLike | None = None) -> Expr:
    """Give zeros like another array, with its shape and dtype unless told.

    >>> import symbackprop as sb
    >>> sb.zeros_like(sb.symbol("x", "N")).shape
    (N,)
    """
    return full_like(a, 0, dtype, shape=shape)


def ones_like(a: Operand, dtype: Any = None, *, shape: ShapeLike | None = None) -> Expr:
    """Give ones like another array, with its shape and dtype unless told.

    >>> import symbackprop as sb
    >>> sb.ones_like(sb.symbol("x", "N")).shape
    (N,)
    """
    return full_like(a, 1, dtype, shape=shape)


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


def _at_least(rank: int, function: Callable[[Expr], Expr], arys: tuple[Operand, ...]) -> Any:
    found = tuple(map(function, exprs_of(f"atleast_{rank}d", arys)))
    return found[0] if len(found) == 1 else found


def atleast_1d(*arys: Operand) -> Any:
    """Give a scalar an axis; several operands give a tuple.

    >>> import symbackprop as sb
    >>> sb.atleast_1d(sb.symbol("s")).shape
    (1,)
    """
    return _at_least(1, lambda x: expand_dims(x, range(1 - min(x.ndim, 1))), arys)


def atleast_2d(*arys: Operand) -> Any:
    """Give new leading axes to what has fewer than two; several operands give a tuple.

    >>> import symbackprop as sb
    >>> sb.atleast_2d(sb.symbol("x", "N")).shape
    (1, N)
    """
    return _at_least(2, lambda x: expand_dims(x, range(2 - min(x.ndim, 2))), arys)


def atleast_3d(*arys: Operand) -> Any:
    """Give new axes to what has fewer than three: a vector stands in the middle; several operands give a tuple.

    >>> import symbackprop as sb
    >>> sb.atleast_3d(sb.symbol("x", "N")).shape, sb.atleast_3d(sb.symbol("A", ("N", "D"))).shape
    ((1, N, 1), (N, D, 1))
    """
    new = {0: (0, 1, 2), 1: (0, 2), 2: (2,)}
    return _at_least(3, lambda x: expand_dims(x, new.get(x.ndim, ())), arys)
