"""Indexing: what integer arrays take, and what is put, added or compared there.

A gather takes, along consecutive axes, the elements at the places that arrays of integers name, one array for each of
these axes. Its derivative adds cotangents at these places, where one place may be named often: the two are each
other's transpose. How many axes come before the indexed ones is left open, so that a cotangent may have more.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.errors import DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, CONSTANT, Array, Case, Dtype, Form, Notation, Op, Params, apply, literal
from symbackprop.ops.index import PUT, Run, single_run, slice_run, sliced, stack
from symbackprop.ops.layout import (
    expand_dims,
    free,
    permute,
    shape_text,
    squeeze,
)
from symbackprop.ops.leaf import arange, as_expr, size_of

__all__ = [
    "getitem",
]

# --- what the operations share --------------------------------------------------------------------------------


def _check_indices(kinds: Sequence[Any]) -> None:
    for kind in kinds:
        if np.result_type(kind).kind not in "iu":
            msg = f"an index has integers, not {np.result_type(kind)}: convert it with astype(int)"
            raise DtypeError(msg)


def _names(first: int, count: int) -> list[str]:
    return [f"${first + position}" for position in range(count)]


def indices_text(before: int, first: int, count: int) -> str:
    """Write an index: axes before, then the operands from the first one on."""
    return ", ".join([":"] * before + _names(first, count))


def _tuple(first: int, count: int) -> str:
    return f"({', '.join(_names(first, count))}{',' * (count == 1)})"


def _axis(before: int) -> str:
    return f", axis={before}" if before else ""


CASES: tuple[tuple[tuple[tuple[int, ...], ...], int], ...] = (
    (((4,), (3,)), 0),
    (((2, 3), (2, 2)), 1),
    (((3, 2), (4,)), 0),
    (((2, 3), (2,), (2, 1)), 0),
    (((2, 3, 2), (3,), ()), 1),
    (((3, 2), ()), 1),
)
"""Shapes of an array and of indices, with the axes after the indexed ones."""

# --- gather and its transpose ---------------------------------------------------------------------------------


def gathered_shape(x: Shape, *indices: Shape, tail: int, **_: Any) -> Shape:
    """Give the shape of what indices take from the axes before the last `tail` ones."""
    end = len(x) - tail
    return x[: end - len(indices)] + dims.broadcast(*indices) + x[end:]


def indexed_sizes(x: Shape, count: int, tail: int) -> Shape:
    """Give the sizes of the axes that so many indices are for."""
    end = len(x) - tail
    return x[end - count : end]


def _gathered_dtype(kind: Any, *indices: Any, **_: Any) -> Dtype:
    _check_indices(indices)
    return np.result_type(kind)


def _gather_form(params: Params, shapes: tuple[Shape, ...]) -> Form:
    count = len(shapes) - 1
    return Form(f"$0[{indices_text(len(shapes[0]) - params['tail'] - count, 1, count)}]", ATOM, (ATOM,))


def _gather_numpy(params: Params, shapes: tuple[Shape, ...]) -> Form:
    form = _gather_form(params, shapes)
    if any(shapes[1:]) or len(shapes[0]) < len(shapes):
        return form
    return form._replace(template=f"{form.template}.copy()")  # by single ints NumPy gives a view


def _portable_gather(params: Params, shapes: tuple[Shape, ...]) -> Form:
    count = len(shapes) - 1
    return Form(f"gather($0, {_tuple(1, count)}{_axis(len(shapes[0]) - params['tail'] - count)})")


_PLACES = '''
def places_of(index, sizes):
    """Where the elements lie along the indexed axes, numbered through."""
    places = None
    for at, size in zip(index, sizes):
        at = np.astype(at, np.int64)
        at = np.where(at < 0, at + size, at)
        places = at if places is None else places * size + at
    return places
'''
_PORTABLE_GATHER = f'''{_PLACES}
def gather(x, index, axis=0):
    """The elements of x where arrays index the axes from one on."""
    places = places_of(index, x.shape[axis : axis + len(index)])
    shape = x.shape[:axis] + places.shape + x.shape[axis + len(index) :]
    x = np.reshape(x, (*x.shape[:axis], -1, *x.shape[axis + len(index) :]))
    return np.reshape(np.take(x, np.reshape(places, (-1,)), axis=axis), shape)
'''


def _gather_vjp(g: Expr, _y: Expr, x: Expr, *indices: Expr, tail: int, distinct: bool) -> Expr:
    into = indexed_sizes(x.shape, len(indices), tail)
    return apply(SCATTER if distinct else SCATTER_ADD, g, *indices, tail=tail, into=into)


GATHER: Op = Op(
    name="gather",
    doc="Take the elements at the places that arrays of integers name.",
    shape=gathered_shape,
    dtype=_gathered_dtype,
    vjps=(_gather_vjp,),
    variadic=True,
    indices=1,
    numpy=_gather_numpy,
    text=_gather_form,
    latex=_gather_form,
    portable=_portable_gather,
    portable_helper=_PORTABLE_GATHER,
    cost=free,
    cases=tuple(Case(shapes, {"tail": tail}) for shapes, tail in CASES),
    options={"tail": 0, "distinct": False},
)
"""`tail` is how many axes follow the indexed ones; `distinct` tells that no place is named twice."""


def _scattered_shape(g: Shape, *indices: Shape, tail: int, into: Shape) -> Shape:
    end = len(g) - tail
    return g[: end - len(dims.broadcast(*indices))] + into + g[end:]


def _scatter_form(function: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        whole = _scattered_shape(*shapes, **params)
        count = len(shapes) - 1
        before = len(whole) - params["tail"] - count
        return Form(f"{function}($0, {_tuple(1, count)}, {shape_text(whole)}{_axis(before)})")

    return notation


def _scatter_text(opening: str, closing: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        whole = _scattered_shape(*shapes, **params)
        index = indices_text(len(whole) - params["tail"] - len(shapes) + 1, 1, len(shapes) - 1)
        return Form(f"{opening}$0, {shape_text(whole)}, [{index}]{closing}")

    return notation


_SCATTER_ADD = '''
def places_in(index, shape):
    """The places that arrays name along axes of a shape, numbered in row-major order."""
    try:
        return np.ravel_multi_index(index, shape)
    except (TypeError, ValueError):  # some are negative, outside, or unsigned
        return np.arange(int(np.prod(shape))).reshape(shape)[index]


def scatter_add(values, index, shape, axis=0):
    """Zeros of a shape, to which values are added where arrays index the axes from one on; repeated ones add up."""
    out, end = np.zeros(shape, values.dtype), axis + len(index)
    if len(shape) == 1:
        np.add.at(out, np.ravel(index[0]).astype(np.intp, copy=False), np.ravel(values))
        return out
    places = np.ravel(places_in(index, shape[axis:end]))
    if end < len(shape):
        inner = int(np.prod(shape[end:]))
        places = places[:, None] * inner + np.arange(inner)
    if axis:
        places = np.arange(0, out.size, int(np.prod(shape[axis:])) or 1)[:, None] + places.ravel()
    if values.dtype == np.float64:
        return np.bincount(places.ravel(), values.ravel(), out.size).reshape(shape)
    np.add.at(out.reshape(-1), places.ravel(), values.ravel())
    return out
'''
COLLECT = f'''{_PLACES}
def count_of(shape):
    """The number of elements of an array of a shape."""
    count = 1
    for size in shape:
        count = count * size
    return count


def collected(values, index, shape, axis, how):
    """The values for each place of the axes from one on: their sum, their extreme or the last, and if there are any."""
    end = axis + len(index)
    sizes = [count_of(part) for part in (shape[:axis], shape[axis:end], shape[end:])]
    places = np.reshape(places_of(index, shape[axis:end]), (-1,))
    order = np.argsort(places, stable=True)
    keys = np.take(places, order, axis=0)
    values = np.reshape(values, (sizes[0], keys.shape[0], sizes[2]))
    values = np.take(values, order, axis=1)
    step = 1
    while how != "last" and step < keys.shape[0]:
        same = np.reshape(keys[step:] == keys[:-step], (1, -1, 1))
        before, here = values[:, :-step, :], values[:, step:, :]
        if how == "add":
            here = here + np.where(same, before, np.zeros_like(before))
        else:
            here = np.where(same, np.maximum(here, before) if how == "maximum" else np.minimum(here, before), here)
        values = np.concatenate([values[:, :step, :], here], axis=1)
        step = 2 * step
    every = np.arange(sizes[1], device=keys.device)
    last = np.searchsorted(keys, every, side="right") - 1
    last = np.where(last < 0, np.zeros_like(last), last)
    there = np.take(keys, last, axis=0) == every
    shapes = [(1,) * axis + shape[axis:end] + (1,) * len(shape[end:]), shape]
    return np.reshape(there, shapes[0]), np.reshape(np.take(values, last, axis=1), shapes[1])
'''
_PORTABLE_SCATTER = f'''{COLLECT}
def scatter_add(values, index, shape, axis=0):
    """Zeros of a shape, to which values are added where arrays index the axes from one on; repeated ones add up."""
    if 0 in values.shape or 0 in shape:
        return np.zeros(shape, dtype=values.dtype, device=values.device)
    there, found = collected(values, index, shape, axis, "add")
    return np.where(there, found, np.zeros_like(found))
'''


def _scatter_vjp(g: Expr, _y: Expr, _x: Expr, *indices: Expr, tail: int, into: Shape) -> Expr:
    del into
    return gather(g, indices, tail=tail)


def _put_vjp(g: Expr, _y: Expr, _x: Expr, *indices: Expr, tail: int, into: Shape) -> Expr:
    del into
    return gather(g, indices, tail=tail, distinct=True)


def _scatter_cases() -> tuple[Case, ...]:
    found = []
    for (x, *indices), tail in CASES:
        g = dims.bind(gathered_shape(x, *indices, tail=tail), {})
        into = indexed_sizes(x, len(indices), tail)
        found.append(Case((g, *indices), {"tail": tail, "into": into}))
    return tuple(found)


SCATTER_ADD: Op = Op(
    name="scatter_add",
    doc="Add values up at the places that arrays of integers name, among zeros.",
    shape=_scattered_shape,
    dtype=_gathered_dtype,
    vjps=(_scatter_vjp,),
    variadic=True,
    indices=1,
    numpy=_scatter_form("scatter_add"),
    text=_scatter_text("scatter_add(", ")"),
    latex=_scatter_text(r"\operatorname{scatter\_add}\left(", r"\right)"),
    helper=_SCATTER_ADD,
    portable_helper=_PORTABLE_SCATTER,
    cost=lambda xs, _y, _params: dims.product(xs[0]),
    cases=_scatter_cases(),
    options={"tail": 0, "into": ()},
)


def _put_form(params: Params, shapes: tuple[Shape, ...]) -> Form:
    whole = _scattered_shape(*shapes, **params)
    count = len(shapes) - 1
    before = len(whole) - params["tail"] - count
    index = f"np.s_[{indices_text(before, 1, count)}]" if before else _tuple(1, count)
    return Form(f"put($0, {shape_text(whole)}, {index})")


SCATTER: Op = Op(
    name="scatter",
    doc="Put values at the places that arrays of integers name, all different, among zeros.",
    shape=_scattered_shape,
    dtype=_gathered_dtype,
    vjps=(_put_vjp,),
    variadic=True,
    indices=1,
    numpy=_put_form,
    text=_scatter_text("scatter(", ")"),
    latex=_scatter_text(r"\operatorname{scatter}\left(", r"\right)"),
    helper=PUT,
    portable=_scatter_form("scatter_add"),
    portable_helper=_PORTABLE_SCATTER,
    cost=free,
    cases=(Case(((), ()), {"into": (3,)}), Case(((2, 1, 3), (1,)), {"into": (4,), "tail": 1})),
    options={"tail": 0, "into": ()},
)


# --- what an index takes --------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """One part of an index: what it does with one axis, or a new axis.

    Attributes:
        kind: ``slice``, ``int``, ``array`` or ``new``.
        value: the slice, the int or size, the array or integer expression.
    """

    kind: str
    value: Any = None


def _mask_parts(mask: Array, shape: Shape, axis: int) -> list[_Part]:
    """Give the places where a known mask is true, one array for each of its axes."""
    for size, (at, other) in zip(mask.shape, enumerate(shape[axis:]), strict=False):
        if size != other:
            msg = f"the mask has size {size} where axis {axis + at} has {other}"
            raise ShapeError(msg)
    return [_Part("array", places) for places in mask.nonzero()]


def _parts_of(index: Any, expr: Expr) -> list[_Part]:
    """Take an index apart: one part for each axis, and one for each new axis; ... stands for slices."""
    given = list(index) if isinstance(index, tuple) else [index]
    read = [
        part if part is None or part is Ellipsis or isinstance(part, slice | Dim) else _read(part) for part in given
    ]
    taken = sum(_axes_taken(part) for part in read)
    dots = sum(part is Ellipsis for part in read)
    if dots > 1 or taken > expr.ndim:
        what = "more than one ..." if dots > 1 else f"{taken} indices for {expr.ndim} axes"
        raise ShapeError(what)
    if not dots:
        read.append(Ellipsis)
    found: list[_Part] = []
    axis = 0
    for position, part in enumerate(read):
        if part is None:
            found.append(_Part("new"))
        elif part is Ellipsis:
            left = expr.ndim - taken
            found += [_Part("slice", slice(None))] * left
            if not left and position < len(read) - 1:
                found.append(_Part("none"))  # it keeps arrays apart, as NumPy has it
            axis += left
        elif isinstance(part, slice):
            found.append(_Part("slice", part))
            axis += 1
        elif isinstance(part, np.ndarray) and part.dtype.kind == "b":
            found += _mask_parts(part, expr.shape, axis)
            axis += part.ndim
        else:
            found.append(_Part("array" if isinstance(part, Expr | np.ndarray) else "int", part))
            axis += 1
    return found


def _axes_taken(part: Any) -> int:
    if isinstance(part, np.ndarray) and part.dtype.kind == "b":
        return part.ndim
    return part is not None and part is not Ellipsis


def _read(part: Any) -> Any:
    """Read one part of an index: arrays for lists, ints for those of NumPy."""
    if part is None or part is Ellipsis or isinstance(part, slice | Dim):
        return part
    if not isinstance(part, bool) and isinstance(part, Integral):
        return int(part)
    if isinstance(part, list | tuple) and any(isinstance(each, Expr) for each in part):
        part = stack(part)
    if isinstance(part, Expr):
        if part.dtype.kind == "b":
            msg = (
                f"how many elements the mask {part.describe()} takes depends on its values: write sb.where(mask, x, 0),"
                " a reduction with where=mask, or sb.compress(mask, x, size=K) for the first K of them"
            )
            raise ShapeError(msg)
        if part.dtype.kind not in "iu":
            msg = f"an index has integers, and {part.describe()} is {part.dtype}: convert it with astype(int)"
            raise DtypeError(msg)
        return part
    if not isinstance(part, np.ndarray | list | tuple | range):
        msg = f"an index is an int, a slice, None, ..., an array of integers or a mask, not {part!r}"
        raise ShapeError(msg)
    array = _read_array(part)
    return array if array.ndim else _read(array[()])


def _read_array(part: Any) -> Array:
    array = np.asarray(part)
    if not array.size and not isinstance(part, np.ndarray):
        array = array.astype(np.intp)
    if array.dtype.kind not in "biu":
        msg = f"an index has integers, not {array.dtype}"
        raise DtypeError(msg)
    return array


def _checked(part: Any, size: Size, expr: Expr) -> Expr:
    """Give an index of an axis as an expression; what is known of it must lie inside."""
    if isinstance(part, Dim):
        return size_of(part, np.int64, graph=expr.graph)
    value = part.params["value"].array if isinstance(part, Expr) and part.op is CONSTANT else part
    if not isinstance(value, Expr) and isinstance(size, int):
        outside = np.extract((np.asarray(value) < -size) | (np.asarray(value) >= size), value)
        if outside.size:
            msg = f"{outside[0]} is out of range for size {size}"
            raise ShapeError(msg)
    return part if isinstance(part, Expr) else literal(part, np.int64, graph=expr.graph)


def _are_distinct(indices: Sequence[Expr], sizes: Shape) -> bool:
    """Tell whether indices are known to name no place twice."""
    if not dims.broadcast(*(index.shape for index in indices)):
        return True
    if any(index.op is not CONSTANT for index in indices):
        return False
    arrays = []
    for index, size in zip(indices, sizes, strict=True):
        array = index.params["value"].array.astype(np.int64)
        if isinstance(size, int):
            array = array % size if size else array
        elif array.size and array.min() < 0 <= array.max():
            return False
        arrays.append(array)
    rows = np.stack([array.ravel() for array in np.broadcast_arrays(*arrays)])
    return bool(np.unique(rows, axis=1).shape[1] == rows.shape[1])


def getitem(x: Operand, index: Any) -> Expr:
    """Index as NumPy does: with ints, slices, ``None``, ``...``, arrays of integers and known masks.

    On an axis with a named size, ints and bounds are assumed to lie inside it; the compiled function checks that. The
    derivative by x adds up what comes from one place; an index has none.

    Raises:
        ShapeError: too many indices, one out of range, or one of another kind; a mask whose values are not known.
        DtypeError: an index of floats.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", ("N", 4))
    >>> x[1:, 0].shape, x[..., ::-1].shape, x[:, None].shape
    ((N - 1,), (N, 4), (N, 1, 4))
    >>> E, tokens = sb.symbol("E", ("V", "D")), sb.symbol("tokens", ("N", "T"), dtype="int64")
    >>> print(E[tokens], E[tokens].shape, x[:, [0, 2, 0]].shape)
    E[tokens] (N, T, D) (N, 3)
    """
    expr = as_expr(x)
    try:
        return _indexed(expr, _parts_of(index, expr))
    except (ShapeError, DtypeError) as error:
        msg = f"index: {error}: {expr.describe()}"
        raise type(error)(msg) from None


def _indexed(expr: Expr, parts: list[_Part]) -> Expr:
    if any(part.kind == "array" and np.ndim(part.value) for part in parts):  # an int beside arrays is one of them
        parts = [_Part("array", part.value) if part.kind == "int" else part for part in parts]
    cut, gathered = _cut(expr, parts)
    kinds = [part.kind for part in parts if part.kind != "int"]
    if not gathered:
        shown = [kind for kind in kinds if kind != "none"]
        return expand_dims(cut, [at for at, kind in enumerate(shown) if kind == "new"])
    axes, indices = [axis for axis, _ in gathered], [index for _, index in gathered]
    first, last = kinds.index("array"), len(kinds) - 1 - kinds[::-1].index("array")
    together = all(kind == "array" for kind in kinds[first : last + 1])  # or NumPy puts their axes first
    if not together and axes != list(range(len(axes))):
        rest = [axis for axis in range(cut.ndim) if axis not in axes]
        cut = permute(cut, tuple(axis - cut.ndim for axis in (*axes, *rest)))
        axes = list(range(len(axes)))
    sizes = cut.shape[axes[0] : axes[-1] + 1]
    taken = gather(cut, indices, tail=cut.ndim - axes[-1] - 1, distinct=_are_distinct(indices, sizes))
    rank = taken.ndim - cut.ndim + len(axes)
    new: list[int] = []
    at = 0 if together else rank
    for position, kind in enumerate(kinds):
        if kind == "new":
            new.append(at)
        at += rank if together and position == first else kind in {"new", "slice"}
    return expand_dims(taken, new)


def _cut(expr: Expr, parts: Sequence[_Part]) -> tuple[Expr, list[tuple[int, Expr]]]:
    """Do what slices and ints do; give what is left, and its axes that are indexed by arrays, with these."""
    runs: list[Run] = []
    dropped: list[int] = []
    gathered: list[tuple[int, Expr]] = []
    for part in parts:
        if part.kind in {"new", "none"}:
            continue
        size = expr.shape[len(runs)]
        if part.kind == "array":
            gathered.append((len(runs) - len(dropped), _checked(part.value, size, expr)))
            runs.append(Run(0, size, 1))
        elif part.kind == "int":
            dropped.append(len(runs))
            runs.append(single_run(part.value, size))
        else:
            runs.append(slice_run(part.value, size))
    return squeeze(sliced(expr, runs), dropped), gathered


def gather(x: Expr, indices: Sequence[Expr], *, tail: int, distinct: bool = False) -> Expr:
    """Take the elements at the places that indices name for the axes before the last `tail` ones."""
    return apply(GATHER, x, *indices, tail=tail, distinct=distinct)


def along(index: Expr, axis: int, shape: Shape) -> list[Expr]:
    """Give indices for all axes of a shape with which `gather` takes along one of them what an index names.

    Args:
        index: with as many axes as the shape has.
        axis: counted from the right.
        shape: of what is gathered from.
    """
    found = []
    for at in range(-len(shape), 0):
        if at == axis:
            found.append(index)
        elif shape[at] == 1:
            found.append(literal(0, np.int64, graph=index.graph))
        else:
            found.append(expand_dims(arange(shape[at], graph=index.graph), range(at + 1, 0)))
    return found
