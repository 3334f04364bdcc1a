"""NumPy's functions that take, choose, look up and count elements: formulas of indexing and functional writes."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Size
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import CONSTANT, Array, apply, literal
from symbackprop.ops.elementwise import (
    astype,
    equal,
    floor_divide,
    less,
    logical_not,
    maximum,
    minimum,
    multiply,
    not_equal,
    remainder,
    where,
)
from symbackprop.ops.gather import SCATTER_ADD, along, gather, getitem
from symbackprop.ops.index import concatenate, stack
from symbackprop.ops.layout import axis_or_flat, broadcast_to, expand_dims, on_axis, ravel, reshape, squeeze
from symbackprop.ops.leaf import arange, as_expr, graph_of, size_of
from symbackprop.ops.order import argsort, searchsorted
from symbackprop.ops.reduce import sum as sum_

__all__ = [
    "argwhere",
    "bincount",
    "choose",
    "compress",
    "diag_indices_from",
    "extract",
    "flatnonzero",
    "interp",
    "ix_",
    "nonzero",
    "one_hot",
    "put_along_axis",
    "ravel_multi_index",
    "take",
    "take_along_axis",
    "tril_indices_from",
    "triu_indices_from",
    "unique",
    "unravel_index",
]


def _integers(name: str, given: Any, graph: Any) -> Expr:
    """Read integers, of which an empty list has none."""
    array = None if isinstance(given, Expr) else np.asarray(given)
    value: Expr = given if array is None else literal(array if array.size else array.astype(np.int64), graph=graph)
    if value.dtype.kind not in "iu":
        msg = f"{name}: indices are integers, and {value.describe()} is {value.dtype}: convert it with astype(int)"
        raise DtypeError(msg)
    return value


def _inside(name: str, indices: Expr, size: Size, mode: str) -> Expr:
    """Bring indices inside an axis, as NumPy's mode says."""
    if mode == "raise":
        return indices
    n: Any = size if isinstance(size, int) else size_of(size, indices.dtype, graph=indices.graph)
    if mode == "wrap":
        return remainder(indices, n)
    if mode == "clip":
        return maximum(minimum(indices, n - 1), 0)
    msg = f'{name}: mode is "raise", "wrap" or "clip", not {mode!r}'
    raise ArgumentError(msg)


# --- take -----------------------------------------------------------------------------------------------------


def take(x: Operand, indices: Operand | Sequence[int], axis: int | None = None, mode: str = "raise") -> Expr:
    """Take elements along an axis: ``x[:, indices]`` and its kin; the derivative adds up what comes from one place.

    Args:
        x: the operand.
        indices: integers of any shape.
        axis: the axis; all elements are one row where it is None.
        mode: what indices outside do: an error ("raise"), start over ("wrap"), or stay at the end ("clip").

    Raises:
        ShapeError: the axis or a known index is out of range.
        DtypeError: the indices are no integers.

    >>> import symbackprop as sb
    >>> x, i = sb.symbol("x", ("N", 3)), sb.symbol("i", "K", dtype="int64")
    >>> print(sb.take(x, i, axis=1))
    x[:, i]
    """
    graph = graph_of(x, indices)
    expr, right = axis_or_flat("take", as_expr(x, graph=graph), axis)
    found = _inside("take", _integers("take", indices, graph), expr.shape[right], mode)
    return getitem(expr, on_axis(right, found))


def take_along_axis(x: Operand, indices: Operand, axis: int | None = -1) -> Expr:
    """Take along an axis, for each row by indices of its own, as `argsort` gives them.

    Args:
        x: the operand.
        indices: integers with as many axes as x; they broadcast against x off the axis.
        axis: the axis; all elements of x are one row where it is None.

    Raises:
        ShapeError: the numbers of axes differ, or the sizes do not fit.
        DtypeError: the indices are no integers.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", ("N", 3))
    >>> sb.take_along_axis(x, sb.argsort(x, axis=1)[:, :2], axis=1).shape
    (N, 2)
    """
    expr, found, right = _rows("take_along_axis", x, indices, axis)
    return gather(expr, along(found, right, expr.shape), tail=0)


def _rows(name: str, x: Operand, indices: Operand, axis: int | None) -> tuple[Expr, Expr, int]:
    graph = graph_of(x, indices)
    expr, right = axis_or_flat(name, as_expr(x, graph=graph), axis)
    found = _integers(name, indices, graph)
    if found.ndim != expr.ndim:
        msg = f"{name}: the indices have {found.ndim} axes, and {expr.describe()} has {expr.ndim}"
        raise ShapeError(msg)
    for at in range(-expr.ndim, 0):
        if at != right:
            try:
                dims.broadcast((expr.shape[at],), (found.shape[at],))
            except ShapeError:
                msg = f"{name}: the sizes differ off the axis: {expr.describe()}, {found.describe()}"
                raise ShapeError(msg) from None
    return expr, found, right


def put_along_axis(x: Operand, indices: Operand, values: Operand, axis: int | None = -1) -> Expr:
    """Give x with values along an axis where indices of each row say; x stays what it is.

    Args:
        x: the operand.
        indices: integers with as many axes as x.
        values: they broadcast to the shape of the indices.
        axis: the axis; all elements of x are one row where it is None.

    Raises:
        ShapeError: the numbers of axes differ, or the sizes do not fit.
        DtypeError: the indices are no integers.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", (2, 2))
    >>> sb.evaluate(sb.put_along_axis(x, [[0], [1]], 9, axis=1), {x: [[1.0, 2.0], [3.0, 4.0]]})
    array([[9., 2.],
           [3., 9.]])
    """
    expr, found, right = _rows("put_along_axis", x, indices, axis)
    written = expr.at[tuple(along(found, right, expr.shape))].set(values)
    return written if axis is not None else reshape(written, as_expr(x).shape)


def ix_(*indices: Operand | Sequence[int]) -> tuple[Expr | Array, ...]:
    """Give indices of one axis each so that together they take all combinations: ``x[sb.ix_(i, j)]``.

    Raises:
        ShapeError: one has not one axis.

    >>> import symbackprop as sb
    >>> A, i = sb.symbol("A", ("N", "N")), sb.symbol("i", "K", dtype="int64")
    >>> A[sb.ix_(i, i)].shape
    (K, K)
    """
    found: list[Expr | Array] = []
    for position, index in enumerate(indices):
        given = index if isinstance(index, Expr) else np.asarray(index)
        if given.ndim != 1:
            msg = f"ix_: each index has one axis, not {given.ndim}"
            raise ShapeError(msg)
        after = len(indices) - 1 - position
        found.append(given[(*[None] * position, slice(None), *[None] * after)])
    return tuple(found)


def _sizes(name: str, x: Expr, rank: int | None) -> list[int]:
    """Give the sizes of an array, which must be known."""
    sizes = [size for size in x.shape if isinstance(size, int)]
    if len(sizes) < x.ndim or (rank is not None and x.ndim != rank):
        msg = f"{name}: takes {'a matrix' if rank else 'an array'} of known sizes: {x.describe()}"
        raise ShapeError(msg)
    return sizes


def triu_indices_from(arr: Expr, k: int = 0) -> tuple[Array, Array]:
    """Give the indices of the upper triangle of a matrix of known sizes, from the k-th diagonal on.

    Raises:
        ShapeError: it is no matrix, or a size is not known.

    >>> import symbackprop as sb
    >>> A = sb.symbol("A", (3, 3))
    >>> A[sb.triu_indices_from(A, 1)].shape
    (3,)
    """
    rows, columns = _sizes("triu_indices_from", arr, 2)
    return np.triu_indices(rows, k, columns)


def tril_indices_from(arr: Expr, k: int = 0) -> tuple[Array, Array]:
    """Give the indices of the lower triangle of a matrix of known sizes, up to the k-th diagonal.

    Raises:
        ShapeError: it is no matrix, or a size is not known.

    >>> import symbackprop as sb
    >>> A = sb.symbol("A", (3, 3))
    >>> A[sb.tril_indices_from(A)].shape
    (6,)
    """
    rows, columns = _sizes("tril_indices_from", arr, 2)
    return np.tril_indices(rows, k, columns)


def diag_indices_from(arr: Expr) -> tuple[Array, ...]:
    """Give the indices of the diagonal of an array whose sizes are all the same, and known.

    Raises:
        ShapeError: the sizes differ or are not known, or there is one axis alone.

    >>> import symbackprop as sb
    >>> A = sb.symbol("A", (3, 3))
    >>> A.at[sb.diag_indices_from(A)].set(0).shape
    (3, 3)
    """
    sizes = _sizes("diag_indices_from", arr, None)
    if len(sizes) < 2 or len({*sizes}) > 1:
        msg = f"diag_indices_from: takes two axes or more of one size: {arr.describe()}"
        raise ShapeError(msg)
    return np.diag_indices(sizes[0], len(sizes))


# --- masks ----------------------------------------------------------------------------------------------------


def _known(name: str, mask: Any) -> Array:
    """Give the values of a mask, which must be known."""
    if isinstance(mask, Expr) and mask.op is CONSTANT:
        mask = mask.params["value"].array
    if isinstance(mask, Expr):
        msg = (
            f"{name}: how many elements {mask.describe()} takes depends on its values: pass size=K for the first K of "
            "them, or use sb.where or a reduction with where="
        )
        raise ShapeError(msg)
    return np.asarray(mask)


def flatnonzero(x: Operand, *, size: int | None = None, fill_value: int = 0) -> Expr:
    """Give the places of the elements that are not zero, counted in row-major order.

    Args:
        x: the operand; where its values are not known, `size` is needed.
        size: how many places are given: the first ones, then `fill_value`.
        fill_value: what stands behind the last of them.

    Raises:
        ShapeError: how many there are depends on values.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 4)
    >>> sb.evaluate(sb.flatnonzero(x > 0, size=3, fill_value=-1), {x: [0.0, 2.0, -1.0, 3.0]})
    array([ 1,  3, -1])
    """
    if size is None:
        return literal(np.flatnonzero(_known("flatnonzero", x)), np.int64, graph=graph_of(x))
    mask = ravel(_truth(as_expr(x)))
    first = argsort(logical_not(mask))
    if not isinstance(first.shape[0], int) or first.shape[0] < size:
        first = concatenate([first, literal(np.full(size, fill_value), np.int64, graph=mask.graph)])
    count = sum_(astype(mask, np.int64))
    return where(less(arange(size, graph=mask.graph), count), first[:size], fill_value)


def _truth(x: Expr) -> Expr:
    return x if x.dtype.kind == "b" else not_equal(x, 0)


def nonzero(x: Operand, *, size: int | None = None, fill_value: int = 0) -> tuple[Expr, ...]:
    """Give the places of the elements that are not zero, one array of indices for each axis.

    Args:
        x: the operand; where its values are not known, `size` is needed.
        size: how many places are given: the first ones, then `fill_value`.
        fill_value: what stands behind the last of them.

    Raises:
        ShapeError: how many there are depends on values.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 4)
    >>> (i,) = sb.nonzero(x, size=2)
    >>> sb.evaluate(x[i], {x: [0.0, 2.0, -1.0, 3.0]})
    array([ 2., -1.])
    """
    if size is None:
        return tuple(literal(places, np.int64, graph=graph_of(x)) for places in np.nonzero(_known("nonzero", x)))
    expr = as_expr(x)
    if not expr.ndim:
        msg = f"nonzero: {expr.describe()} has no axes"
        raise ShapeError(msg)
    flat = flatnonzero(expr, size=size, fill_value=-1)
    return tuple(where(less(flat, 0), fill_value, places) for places in unravel_index(flat, expr.shape))


def argwhere(x: Operand, *, size: int | None = None, fill_value: int = 0) -> Expr:
    """Give the places of the elements that are not zero, one row for each.

    Args:
        x: the operand; where its values are not known, `size` is needed.
        size: how many places are given: the first ones, then `fill_value`.
        fill_value: what stands behind the last of them.

    Raises:
        ShapeError: how many there are depends on values.

    >>> import symbackprop as sb
    >>> sb.argwhere(sb.symbol("x", ("N", 3)), size=5).shape
    (5, 2)
    """
    if size is None:
        return literal(np.argwhere(_known("argwhere", x)), np.int64, graph=graph_of(x))
    return stack(nonzero(x, size=size, fill_value=fill_value), axis=-1)


def compress(
    condition: Operand | Sequence[bool], x: Operand, axis: int | None = None, *, size: int | None = None
) -> Expr:
    """Take along an axis where a condition holds.

    Args:
        condition: one axis of truth values, no longer than the axis; where it is not known, `size` is needed.
        x: the operand.
        axis: the axis; all elements are one row where it is None.
        size: how many are taken: the first ones, then zeros.

    Raises:
        ShapeError: how many there are depends on values, or the condition does not fit.

    >>> import symbackprop as sb
    >>> x, mask = sb.symbol("x", "N"), sb.symbol("mask", "N", dtype=bool)
    >>> sb.evaluate(sb.compress(mask, x, size=3), {x: [1.0, 2.0, 3.0], mask: [True, False, True]})
    array([1., 3., 0.])
    """
    expr, right = axis_or_flat("compress", as_expr(x, graph=graph_of(x, condition)), axis)
    if size is not None and expr.shape[right] == 0:
        shape = (*expr.shape[:right], size, *expr.shape[expr.ndim + right + 1 :])
        return broadcast_to(literal(0, expr.dtype, graph=expr.graph), shape)
    if size is None:
        known = _known("compress", condition)
        if known.ndim != 1:
            msg = f"compress: the condition has one axis, not {known.ndim}"
            raise ShapeError(msg)
        return getitem(expr, on_axis(right, np.flatnonzero(known)))
    mask = _truth(as_expr(condition if isinstance(condition, Expr) else np.asarray(condition), graph=expr.graph))
    places = flatnonzero(mask, size=size, fill_value=-1)
    taken = getitem(expr, on_axis(right, maximum(places, 0)))
    return where(expand_dims(less(places, 0), range(right + 1, 0)), 0, taken)


def extract(condition: Operand | Sequence[bool], x: Operand, *, size: int | None = None) -> Expr:
    """Take the elements where a condition holds: `compress` of all of them as one row.

    Args:
        condition: truth values; where they are not known, `size` is needed.
        x: the operand.
        size: how many are taken: the first ones, then zeros.

    Raises:
        ShapeError: how many there are depends on values, or the condition does not fit.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", (2, 2))
    >>> print(sb.extract([[True, False], [True, True]], x).shape)
    (3,)
    """
    flat = ravel(condition) if isinstance(condition, Expr) else np.ravel(np.asarray(condition))
    return compress(flat, x, size=size)


def unique(x: Operand, *_: object, **__: object) -> NoReturn:
    """Refuse: how many different values there are depends on them.

    Raises:
        ShapeError: always.

    >>> import symbackprop as sb
    >>> sb.unique(sb.symbol("x", "N"))
    Traceback (most recent call last):
    symbackprop.errors.ShapeError: unique: how many different values x[N] has depends on them: use sb.sort(x)
    """
    msg = f"unique: how many different values {as_expr(x).describe()} has depends on them: use sb.sort(x)"
    raise ShapeError(msg)


def choose(a: Operand, choices: Operand | Sequence[Operand], mode: str = "raise") -> Expr:
    """Give for each element that of the choice that it numbers; the derivative goes to what is chosen.

    Args:
        a: integers, which broadcast against the choices.
        choices: arrays, or one whose first axis counts them.
        mode: what numbers outside do: an error ("raise"), start over ("wrap"), or stay at the end ("clip").

    Raises:
        ShapeError: the shapes do not fit.
        DtypeError: the numbers are no integers.

    >>> import symbackprop as sb
    >>> i, x, y = sb.symbol("i", 3, dtype="int64"), sb.symbol("x", 3), sb.symbol("y")
    >>> sb.evaluate(sb.choose(i, [x, y]), {i: [0, 1, 0], x: [1.0, 2.0, 3.0], y: 9.0})
    array([1., 9., 3.])
    """
    single = isinstance(choices, Expr | np.ndarray)
    if isinstance(choices, Expr) and choices.shape and isinstance(choices.shape[0], Dim):
        msg = f"choose: how many choices there are must be known, and it is the named size {choices.shape[0]}"
        raise ShapeError(msg)
    parts = [choices[k] for k in range(len(choices))] if single else list(choices)  # type: ignore[arg-type,index]
    graph = graph_of(a, *parts)
    numbers = _integers("choose", a, graph)
    exprs = [as_expr(part, graph=graph) for part in parts]
    kinds: list[Any] = [
        part if type(part) in {int, float} else expr.dtype for part, expr in zip(parts, exprs, strict=True)
    ]
    kind = np.result_type(*kinds)
    shape = dims.broadcast(numbers.shape, *(part.shape for part in exprs))
    found = _from_zero(_inside("choose", numbers, len(parts), mode), len(parts))
    table = stack([broadcast_to(astype(part, kind), shape) for part in exprs])
    places = expand_dims(broadcast_to(found, shape), -1 - len(shape))
    return squeeze(gather(table, along(places, -1 - len(shape), table.shape), tail=0), 0)


def _from_zero(places: Expr, size: Size) -> Expr:
    """Make what is negative too large, where NumPy takes no negative places."""
    n: Any = size if isinstance(size, int) else size_of(size, places.dtype, graph=places.graph)
    return where(less(places, 0), n, places) if places.dtype.kind == "i" else places


def one_hot(indices: Operand | Sequence[int], num_classes: int | str | Dim, dtype: Any = "float64") -> Expr:
    """Give rows with 1 where an index says and 0 elsewhere; a row of zeros where it is outside.

    Args:
        indices: integers of any shape.
        num_classes: how long the rows are.
        dtype: that of the result.

    Raises:
        DtypeError: the indices are no integers.

    >>> import symbackprop as sb
    >>> i = sb.symbol("i", "N", dtype="int64")
    >>> sb.one_hot(i, "K").shape
    (N, K)
    """
    found = _integers("one_hot", indices, graph_of(indices))
    classes = arange(dims.as_size(num_classes), graph=found.graph)
    return astype(equal(expand_dims(found, -1), classes), dtype)


# --- counted and looked up ------------------------------------------------------------------------------------


def bincount(x: Operand | Sequence[int], weights: Operand | None = None, minlength: int = 0) -> Expr:
    """Count how often each integer occurs, or add up the weights of its elements; the derivative is that by weights.

    Args:
        x: one axis of integers, none negative.
        weights: one for each.
        minlength: how long the result is, if x is not known: then a larger integer is NumPy's error at the call.

    Raises:
        ShapeError: how long the result is depends on values, or the weights do not fit.
        DtypeError: x has no integers.

    >>> import symbackprop as sb
    >>> i, w = sb.symbol("i", "N", dtype="int64"), sb.symbol("w", "N")
    >>> print(sb.grad(sb.bincount(i, w, minlength=3)[0], w))
    array([1., 0., 0.])[where(i < 0, 3, i)]
    """
    graph = graph_of(x, weights)
    given = _integers("bincount", x, graph)
    if given.ndim != 1:
        msg = f"bincount: x has one axis, not {given.ndim}: {given.describe()}"
        raise ShapeError(msg)
    length = minlength
    if given.op is CONSTANT:
        values = given.params["value"].array
        if values.size and values.min() < 0:
            msg = f"bincount: {values.min()} is negative"
            raise ShapeError(msg)
        length = builtins.max(minlength, int(values.max()) + 1 if values.size else 0)
    elif minlength <= 0:
        msg = (
            f"bincount: how long the result is depends on the values of {given.describe()}: "
            "pass minlength=K, which no value may reach"
        )
        raise ShapeError(msg)
    places = given if given.op is CONSTANT else _from_zero(given, length)
    if weights is None or given.shape == (0,):  # NumPy counts none as integers
        counted = literal(1, np.int64, graph=given.graph)
        values = broadcast_to(counted, given.shape)
    else:
        values = astype(as_expr(weights, graph=given.graph), np.float64)
        if values.shape != given.shape:
            msg = f"bincount: {values.describe()} are not one weight for each of {given.describe()}"
            raise ShapeError(msg)
    return apply(SCATTER_ADD, values, places, tail=0, into=(length,))


def interp(  # noqa: PLR0917  (NumPy's signature)
    x: Operand, xp: Operand, fp: Operand, left: Operand | None = None, right: Operand | None = None,
    period: float | None = None,
) -> Expr:  # fmt: skip
    """Give the piecewise linear function through the points (xp, fp) at x.

    The derivative by x is the slope of the piece; at a point that of the piece to the right of it, at the last point
    that to the left of it, outside 0.

    Args:
        x: where.
        xp: the places of the points, ascending.
        fp: the values there.
        left: the value before the first point; that of the point unless told.
        right: the value behind the last point; that of the point unless told.
        period: of what repeats; not supported.

    Raises:
        ShapeError: the points have not one axis of one size.
        ArgumentError: a period is given.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> sb.evaluate(sb.grad(sb.interp(x, [0.0, 1.0, 3.0], [0.0, 2.0, 3.0]), x), {x: 2.0})
    np.float64(0.5)
    """
    if period is not None:
        msg = "interp: period has no symbolic form: bring x and xp into one period with % and repeat the end points"
        raise ArgumentError(msg)
    graph = graph_of(x, xp, fp, left, right)
    at, places, values = (astype(as_expr(each, graph=graph), np.float64) for each in (x, xp, fp))
    if places.ndim != 1 or values.shape != places.shape or places.shape == (0,):
        msg = f"interp: the points need one axis of one size: {places.describe()}, {values.describe()}"
        raise ShapeError(msg)
    first, last = values[0] if left is None else left, values[-1] if right is None else right
    if places.shape == (1,):
        inside = broadcast_to(values[0], at.shape)
    else:
        size = places.shape[0]
        most: Any = size - 2 if isinstance(size, int) else size_of(size, np.int64, graph=graph) - 2
        piece = maximum(minimum(searchsorted(places, at, "right") - 1, most), 0)
        slope = (values[1:] - values[:-1]) / (places[1:] - places[:-1])
        inside = slope[piece] * (at - places[piece]) + values[piece]
    return where(at < places[0], first, where(at > places[-1], last, inside))


def unravel_index(indices: Operand | Sequence[int], shape: Any) -> tuple[Expr, ...]:
    """Give for places counted in row-major order the indices of each axis.

    Args:
        indices: integers of any shape.
        shape: of the array.

    Raises:
        DtypeError: the indices are no integers.

    >>> import symbackprop as sb
    >>> i = sb.symbol("i", "N", dtype="int64")
    >>> print(*sb.unravel_index(i, (3, 4)), sep="; ")
    ⌊i/4⌋; i mod 4
    """
    sizes = dims.as_shape(shape)
    flat = _integers("unravel_index", indices, graph_of(indices))
    found: list[Expr] = []
    for axis, size in reversed(list(enumerate(sizes))):
        n = as_expr(size, graph=flat.graph) if isinstance(size, int) else size_of(size, flat.dtype, graph=flat.graph)
        found.append(remainder(flat, n) if axis else flat)
        flat = floor_divide(flat, n) if axis else flat
    return tuple(reversed(found))


def ravel_multi_index(multi_index: Sequence[Operand], dims: Any, mode: str = "raise") -> Expr:
    """Give for indices of each axis the place counted in row-major order.

    Args:
        multi_index: integers, one array for each axis.
        dims: the shape of the array.
        mode: what indices outside do: start over ("wrap") or stay at the end ("clip"); with "raise" they must be
            inside.

    Raises:
        ShapeError: there is not one array for each axis.
        DtypeError: the indices are no integers.

    >>> import symbackprop as sb
    >>> i, j = sb.symbol("i", "N", dtype="int64"), sb.symbol("j", "N", dtype="int64")
    >>> print(sb.ravel_multi_index((i, j), (3, 4)))
    4i + j
    """
    sizes = _as_shape(dims)
    graph = graph_of(*multi_index)
    if len(multi_index) != len(sizes):
        msg = f"ravel_multi_index: {len(multi_index)} arrays for {len(sizes)} axes"
        raise ShapeError(msg)
    found = [
        _inside("ravel_multi_index", _integers("ravel_multi_index", index, graph), size, mode)
        for index, size in zip(multi_index, sizes, strict=True)
    ]
    total = found[0]
    for index, size in zip(found[1:], sizes[1:], strict=True):
        n: Any = size if isinstance(size, int) else size_of(size, total.dtype, graph=total.graph)
        total = multiply(total, n) + index
    return total


_as_shape = dims.as_shape
