"""Turning round, shifting, repeating, triangles, joining and taking apart: mostly compositions of slices and joins."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size, SizeLike
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import Case, Form, Op, Params, apply, literal
from symbackprop.ops.elementwise import astype
from symbackprop.ops.index import Run, concatenate, operands_of, sliced
from symbackprop.ops.layout import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    axes_of,
    broadcast_to,
    expand_dims,
    free,
    kept_dtype,
    moveaxis,
    of_rank,
    ravel,
    reshape,
    squeeze,
    swapaxes,
)
from symbackprop.ops.leaf import as_expr, exprs_of

__all__ = [
    "append",
    "array_split",
    "block",
    "column_stack",
    "concat",
    "delete",
    "dsplit",
    "dstack",
    "flip",
    "fliplr",
    "flipud",
    "hsplit",
    "hstack",
    "insert",
    "repeat",
    "resize",
    "roll",
    "rot90",
    "split",
    "tile",
    "tril",
    "triu",
    "unstack",
    "vsplit",
    "vstack",
]


def _cut(x: Expr, runs: Mapping[int, Run]) -> Expr:
    """Take a run from each of some axes, which are counted from the right."""
    return sliced(x, [runs.get(axis, Run(0, x.shape[axis], 1)) for axis in range(min(runs, default=0), 0)])


def part(x: Expr, axis: int, start: Size, length: Size, step: int = 1) -> Expr:
    """Take a run of elements from one axis, which is counted from the right."""
    return _cut(x, {axis: Run(start, length, step)})


# --- turning round --------------------------------------------------------------------------------------------


def flip(m: Operand, axis: int | Iterable[int] | None = None) -> Expr:
    """Turn the order of the elements round, along all axes unless told.

    Raises:
        ShapeError: an axis is out of range.

    >>> import symbackprop as sb
    >>> print(sb.flip(sb.symbol("x", "N")))
    x[::-1]
    """
    expr = as_expr(m)
    axes = [right for right in axes_of("flip", expr, axis) if expr.shape[right] not in (0, 1)]
    return _cut(expr, {right: Run(expr.shape[right] - 1, expr.shape[right], -1) for right in axes})


def fliplr(m: Operand) -> Expr:
    """Turn the order of the columns round, along axis 1.

    Raises:
        ShapeError: there is no axis 1.

    >>> import symbackprop as sb
    >>> print(sb.fliplr(sb.symbol("A", ("N", "D"))))
    A[:, ::-1]
    """
    return flip(of_rank("fliplr", m, 2), 1)


def flipud(m: Operand) -> Expr:
    """Turn the order of the rows round, along axis 0.

    Raises:
        ShapeError: the operand is a scalar.

    >>> import symbackprop as sb
    >>> print(sb.flipud(sb.symbol("A", ("N", "D"))))
    A[::-1]
    """
    return flip(of_rank("flipud", m, 1), 0)


def rot90(m: Operand, k: int = 1, axes: Sequence[int] = (0, 1)) -> Expr:
    """Turn by 90 degrees, `k` times, from the first of two axes towards the second.

    Raises:
        ShapeError: the axes are not two, or out of range.

    >>> import symbackprop as sb
    >>> print(sb.rot90(sb.symbol("A", ("N", "D"))))
    (Aᵀ)[::-1]
    """
    expr = as_expr(m)
    if len(axes_of("rot90", expr, axes)) != 2:
        msg = f"rot90: needs two axes, not {tuple(axes)}: {expr.describe()}"
        raise ShapeError(msg)
    first, second = (axes_of("rot90", expr, axis)[0] for axis in axes)
    turns = operator.index(k) % 4
    if turns == 2:
        return flip(expr, (first, second))
    return flip(swapaxes(expr, first, second), first if turns == 1 else second) if turns else expr


# --- shifting -------------------------------------------------------------------------------------------------


def _roll_notation(function: str, closing: str = ")") -> Any:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        shifts, axes = params["shifts"], tuple(axis + len(shapes[0]) for axis in params["axes"])
        if len(shapes[0]) == 1:
            return Form(f"{function}$0, {shifts[0]}{closing}")
        one = len(axes) == 1
        shift, axis = (shifts[0], axes[0]) if one else (f"({', '.join(map(str, shifts))})", axes)
        return Form(f"{function}$0, {shift}, axis={axis}{closing}")

    return notation


ROLL: Op = Op(
    name="roll",
    doc="Shift along axes; what leaves at one end comes back at the other.",
    shape=lambda x, **_: x,
    dtype=kept_dtype,
    vjps=(lambda g, _y, _x, *, shifts, axes: apply(ROLL, g, shifts=tuple(shift * -1 for shift in shifts), axes=axes),),
    numpy=_roll_notation("np.roll("),
    text=_roll_notation("roll("),
    latex=_roll_notation(r"\operatorname{roll}\left(", r"\right)"),
    cost=free,
    cases=(
        Case(((5,),), {"shifts": (2,), "axes": (-1,)}),
        Case(((3, 4),), {"shifts": (-1,), "axes": (-2,)}),
        Case(((2, 3, 4),), {"shifts": (1, 2), "axes": (-3, -1)}),
    ),
    options={"shifts": (), "axes": ()},
)


def roll(a: Operand, shift: SizeLike | Sequence[SizeLike], axis: int | Sequence[int] | None = None) -> Expr:
    """Shift elements along axes; what leaves at one end comes back at the other: y[i] = a[i − shift].

    The derivative is the shift back.

    Args:
        a: the array.
        shift: by how many places, for each axis; a named size too.
        axis: along which axes; without them along all elements, in row-major order.

    Raises:
        ShapeError: an axis is out of range, or there are several shifts and as many axes are not.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x[N] y[N]")
    >>> print(sb.grad(sb.sum(sb.roll(x, 1) * y), x))
    roll(y, -1)
    """
    expr = as_expr(a)
    if axis is None:
        return reshape(roll(ravel(expr), shift, 0), expr.shape)
    axes = [axes_of("roll", expr, each)[0] for each in _several(axis)]
    shifts = [_shift(each, expr) for each in _several(shift)]
    if len(shifts) != len(axes) and 1 not in {len(shifts), len(axes)}:
        msg = f"roll: {len(shifts)} shifts for {len(axes)} axes: {expr.describe()}"
        raise ShapeError(msg)
    total: dict[int, Size] = {}
    count = builtins.max(len(axes), len(shifts))
    for right, by in zip(_times(axes, count), _times(shifts, count), strict=True):
        total[right] = by + total.get(right, 0)
    return rolled(expr, total)


def rolled(x: Expr, shifts: Mapping[int, Size]) -> Expr:
    """Shift along axes that are counted from the right, by less than their sizes where these are known."""
    found = {axis: _within(by, x.shape[axis]) for axis, by in sorted(shifts.items())}
    moved = {axis: by for axis, by in found.items() if by != 0}
    return apply(ROLL, x, shifts=tuple(moved.values()), axes=tuple(moved)) if moved else x


def _within(shift: Size, size: Size) -> Size:
    """Give the shift of the least length that does the same."""
    if size in {0, shift}:
        return 0
    if isinstance(shift, int) and isinstance(size, int):
        return (shift + (size - 1) // 2) % size - (size - 1) // 2
    return shift


def count_of(name: str, value: Any, x: Expr) -> Size:
    """Read how often or how many: an int or a size.

    Raises:
        ShapeError: it is neither, or negative.
    """
    try:
        return dims.as_size(value)
    except ShapeError as error:
        why = f"{value.describe()} is no size, and shapes cannot depend on values" if isinstance(value, Expr) else error
        msg = f"{name}: {why}: {x.describe()}"
        raise ShapeError(msg) from None


def _times(parts: list[Any], count: int) -> list[Any]:
    return parts * count if len(parts) == 1 else parts


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | Expr) else [value]


def _shift(value: Any, x: Expr) -> Size:
    if isinstance(value, str):
        return dims.as_size(value)
    if isinstance(value, Dim):
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        what = value.describe() if isinstance(value, Expr) else repr(value)
        msg = f"roll: a shift is an int or a size, not {what}: {x.describe()}"
        raise ShapeError(msg)
    return operator.index(value)


# --- repeating ------------------------------------------------------------------------------------------------


def tile(A: Operand, reps: SizeLike | Sequence[SizeLike]) -> Expr:
    """Repeat the whole array along each axis.

    Args:
        A: the array.
        reps: how often, for the last axes; where there are more of them than axes, new axes come first.

    Raises:
        ShapeError: a number is negative.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> sb.tile(x, 3).shape, sb.tile(x, (2, 1)).shape
    ((3*N,), (2, N))
    >>> print(sb.grad(sb.sum(sb.tile(x, 3) * sb.symbol("y", "3*N")), x))
    sum(reshape(y, (3, N)), axis=0)
    """
    expr = as_expr(A)
    times = tuple(count_of("tile", by, expr) for by in _several(reps))
    rank = max(expr.ndim, len(times))
    shape = (1,) * (rank - expr.ndim) + expr.shape
    times = (1,) * (rank - len(times)) + times
    pairs = [(by, size) for by, size in zip(times, shape, strict=True)]
    spread = [axis for axis, (by, size) in enumerate(pairs) if by != 1 and size != 1]
    apart = expr if len(spread) == 0 and rank == expr.ndim else reshape(expr, shape)
    apart = expand_dims(apart, [axis + at for at, axis in enumerate(spread)])
    wide: list[Size] = []
    for axis, (by, size) in enumerate(pairs):
        wide += (by, size) if axis in spread else (by * size if size == 1 else size,)
    return reshape(broadcast_to(apart, tuple(wide)), tuple(by * size for by, size in pairs))


def repeat(a: Operand, repeats: SizeLike | Sequence[int], axis: int | None = None) -> Expr:
    """Repeat each element, or each part along an axis, so many times one after the other.

    Args:
        a: the array.
        repeats: how often; or for each part how often, as constants.
        axis: along which axis; without it all elements, in row-major order.

    Raises:
        ShapeError: a number is negative, or there are not as many as parts.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> sb.repeat(x, 3).shape, sb.repeat(sb.symbol("y", 3), [1, 0, 2]).shape
    ((3*N,), (3,))
    """
    expr = as_expr(a)
    if axis is None:
        return repeat(ravel(expr), repeats, 0)
    (right,) = axes_of("repeat", expr, axis)
    counts = [count_of("repeat", count, expr) for count in _several(repeats)]
    if len(counts) == 1:
        return _repeated(expr, counts[0], right)
    if len(counts) != expr.shape[right]:
        msg = f"repeat: {len(counts)} numbers for size {expr.shape[right]}: {expr.describe()}"
        raise ShapeError(msg)
    if not counts:
        return expr
    parts = [_repeated(part(expr, right, at, 1), count, right) for at, count in enumerate(counts)]
    kept = [part for part in parts if part.shape[right] != 0]
    return concatenate(kept or parts[:1], right)


def _repeated(x: Expr, count: Size, axis: int) -> Expr:
    if count == 1:
        return x
    at = x.ndim + axis
    if x.shape[axis] == 1:
        return broadcast_to(x, (*x.shape[:at], count, *x.shape[at + 1 :]))
    wide = broadcast_to(expand_dims(x, at + 1), (*x.shape[: at + 1], count, *x.shape[at + 1 :]))
    return reshape(wide, (*x.shape[:at], x.shape[axis] * count, *x.shape[at + 1 :]))


def resize(a: Operand, new_shape: SizeLike | Sequence[SizeLike]) -> Expr:
    """Give the elements in another shape, from the first again where there are too few of them.

    Raises:
        ShapeError: a size is negative, or named: how often the elements go round is not known then.

    >>> import symbackprop as sb
    >>> sb.resize(sb.symbol("x", 3), (2, 4)).shape
    (2, 4)
    """
    expr, shape = as_expr(a), dims.as_shape(new_shape)
    have, want = expr.size, dims.product(shape)
    if not isinstance(have, int) or not isinstance(want, int):
        msg = f"resize: needs known sizes, for the shape {dims.show(shape)}: {expr.describe()}"
        raise ShapeError(msg)
    if not have:
        return broadcast_to(literal(0, expr.dtype, graph=expr.graph), shape)
    return reshape(part(tile(ravel(expr), -(-want // have) or 1), -1, 0, want), shape)


# --- triangles ------------------------------------------------------------------------------------------------


def _triangle_shape(x: Shape, **_: int) -> Shape:
    if len(x) < 2:
        msg = "a triangle is that of a matrix"
        raise ShapeError(msg)
    return x


def _triangle_notation(opening: str, closing: str = ")") -> Any:
    def notation(params: Params, _shapes: tuple[Shape, ...]) -> Form:
        return Form(f"{opening}$0, {params['k']}{closing}" if params["k"] else f"{opening}$0{closing}")

    return notation


def _triangle(name: str, meaning: str) -> Op:
    op: Op = Op(
        name=name,
        doc=meaning,
        shape=_triangle_shape,
        dtype=kept_dtype,
        vjps=(lambda g, _y, _x, *, k: apply(op, g, k=k),),
        numpy=_triangle_notation(f"np.{name}("),
        text=_triangle_notation(f"{name}("),
        latex=_triangle_notation(rf"\operatorname{{{name}}}\left(", r"\right)"),
        cost=free,
        cases=(Case(((3, 3),), {"k": 0}), Case(((3, 4),), {"k": 1}), Case(((2, 4, 3),), {"k": -1})),
        options={"k": 0},
    )
    return op


TRIL = _triangle("tril", "Keep what is on and below a diagonal; the rest is zero.")
TRIU = _triangle("triu", "Keep what is on and above a diagonal; the rest is zero.")


def _triangle_of(op: Op, x: Operand, k: int) -> Expr:
    expr = of_rank(op.name, x, 1)
    square = broadcast_to(expr, expr.shape * 2) if expr.ndim == 1 else expr  # NumPy's reading of a vector
    return apply(op, square, k=operator.index(k))


def tril(m: Operand, k: int = 0) -> Expr:
    """Keep the lower triangle of a matrix, or of each of a stack: what is on and below a diagonal; the rest is zero.

    Args:
        m: the matrices; a vector stands for a matrix all rows of which it is.
        k: which diagonal: 0 is the main one, 1 the one above it, -1 the one below.

    Raises:
        ShapeError: the operand is a scalar.

    >>> import symbackprop as sb
    >>> A, B = sb.symbols("A[N,N] B[N,N]")
    >>> print(sb.grad(sb.sum(sb.tril(A) * B), A))
    tril(B)
    """
    return _triangle_of(TRIL, m, k)


def triu(m: Operand, k: int = 0) -> Expr:
    """Keep the upper triangle of a matrix, or of each of a stack: what is on and above a diagonal; the rest is zero.

    Args:
        m: the matrices; a vector stands for a matrix all rows of which it is.
        k: which diagonal: 0 is the main one, 1 the one above it, -1 the one below.

    Raises:
        ShapeError: the operand is a scalar.

    >>> import symbackprop as sb
    >>> print(sb.triu(sb.symbol("A", ("N", "N")), 1))
    triu(A, 1)
    """
    return _triangle_of(TRIU, m, k)


# --- joining --------------------------------------------------------------------------------------------------


def _exprs(name: str, arrays: Sequence[Operand]) -> list[Expr]:
    """Give what is to be joined as expressions of one graph."""
    return exprs_of(name, operands_of(name, arrays))


def concat(arrays: Sequence[Operand], axis: int | None = 0) -> Expr:
    """Join arrays along an axis, as `concatenate` does: the name of the array API standard.

    >>> import symbackprop as sb
    >>> sb.concat([sb.symbol("a", "N"), sb.symbol("b", "M")]).shape
    (M + N,)
    """
    return concatenate(arrays, axis)


def append(arr: Operand, values: Operand, axis: int | None = None) -> Expr:
    """Join an array and another one at its end; without an axis the elements of both, in row-major order.

    Raises:
        ShapeError: sizes differ off the axis.

    >>> import symbackprop as sb
    >>> sb.append(sb.symbol("x", "N"), 1.0).shape
    (N + 1,)
    """
    return concatenate(_exprs("append", [arr, values]), axis)


def vstack(tup: Sequence[Operand]) -> Expr:
    """Join arrays one below the other; a vector is a row.

    Raises:
        ShapeError: no arrays, or sizes differ off the first axis.

    >>> import symbackprop as sb
    >>> sb.vstack(sb.symbols("a[N] b[N]")).shape
    (2, N)
    """
    return concatenate([atleast_2d(part) for part in _exprs("vstack", tup)], 0)


def hstack(tup: Sequence[Operand]) -> Expr:
    """Join arrays side by side: along axis 1, vectors along their only one.

    Raises:
        ShapeError: no arrays, or sizes differ off the axis.

    >>> import symbackprop as sb
    >>> sb.hstack(sb.symbols("A[N,D] B[N,K]")).shape
    (N, D + K)
    """
    parts = [atleast_1d(part) for part in _exprs("hstack", tup)]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1)


def dstack(tup: Sequence[Operand]) -> Expr:
    """Join arrays along a third axis.

    Raises:
        ShapeError: no arrays, or sizes differ off the axis.

    >>> import symbackprop as sb
    >>> sb.dstack(sb.symbols("A[N,D] B[N,D]")).shape
    (N, D, 2)
    """
    return concatenate([atleast_3d(part) for part in _exprs("dstack", tup)], 2)


def column_stack(tup: Sequence[Operand]) -> Expr:
    """Join arrays side by side; a vector is a column.

    Raises:
        ShapeError: no arrays, or the numbers of rows differ.

    >>> import symbackprop as sb
    >>> sb.column_stack(sb.symbols("a[N] B[N,D]")).shape
    (N, D + 1)
    """
    parts = _exprs("column_stack", tup)
    return concatenate([part if part.ndim > 1 else atleast_2d(part).T for part in parts], 1)


def block(arrays: Any) -> Expr:
    """Join blocks, given as nested lists: the innermost along the last axis, those around along the one before.

    Raises:
        ShapeError: lists are empty or not equally deep, or blocks do not fit.

    >>> import symbackprop as sb
    >>> A, B, C, D = sb.symbols("A[N,N] B[N,M] C[M,N] D[M,M]")
    >>> sb.block([[A, B], [C, D]]).shape
    (M + N, M + N)
    """
    level, depth = [arrays], 0
    while any(isinstance(part, list) for part in level):
        if not all(isinstance(part, list) and part for part in level):
            msg = "block: all lists are equally deep, and none is empty"
            raise ShapeError(msg)
        level, depth = [inner for part in level for inner in part], depth + 1
    if any(isinstance(part, tuple) for part in level):
        msg = "block: blocks are nested in lists, not in tuples"
        raise ShapeError(msg)
    leaves = _exprs("block", level)
    rank = builtins.max(depth, *(leaf.ndim for leaf in leaves))
    parts = iter([expand_dims(leaf, range(rank - leaf.ndim)) for leaf in leaves])

    def joined(nested: Any, axis: int) -> Expr:
        if isinstance(nested, list):
            return concatenate([joined(inner, axis + 1) for inner in nested], axis)
        return next(parts)

    return joined(arrays, -depth)


# --- taking apart ---------------------------------------------------------------------------------------------


def array_split(ary: Operand, indices_or_sections: SizeLike | Sequence[SizeLike], axis: int = 0) -> list[Expr]:
    """Take an array apart along an axis.

    Args:
        ary: the array.
        indices_or_sections: how many parts, those in front longer by one where it does not come out even; or the
            places to cut at.
        axis: along which axis.

    Raises:
        ShapeError: no axis like this, or no part.

    >>> import symbackprop as sb
    >>> [part.shape for part in sb.array_split(sb.symbol("x", "N"), [2, 5])]
    [(2,), (3,), (N - 5,)]
    """
    return _parts("array_split", ary, indices_or_sections, axis, even=False)


def split(ary: Operand, indices_or_sections: SizeLike | Sequence[SizeLike], axis: int = 0) -> list[Expr]:
    """Take an array apart along an axis, into equal parts where their number is given.

    Args:
        ary: the array.
        indices_or_sections: how many parts, or the places to cut at.
        axis: along which axis.

    Raises:
        ShapeError: no axis like this, or it is not known that the parts are equal.

    >>> import symbackprop as sb
    >>> [part.shape for part in sb.split(sb.symbol("x", "3*N"), 3)]
    [(N,), (N,), (N,)]
    """
    return _parts("split", ary, indices_or_sections, axis, even=True)


def _parts(name: str, ary: Operand, cuts: Any, axis: int, *, even: bool) -> list[Expr]:
    expr = as_expr(ary)
    if not expr.ndim:
        msg = f"{name}: a scalar has no parts: {expr.describe()}"
        raise ShapeError(msg)
    (right,) = axes_of(name, expr, axis)
    size = expr.shape[right]
    if isinstance(cuts, Iterable) and not isinstance(cuts, str | Expr):
        before = (slice(None),) * (expr.ndim + right)
        return [expr[(*before, slice(*ends))] for ends in pairwise([0, *cuts, None])]
    if isinstance(cuts, bool) or not hasattr(cuts, "__index__") or operator.index(cuts) < 1:
        what = cuts.describe() if isinstance(cuts, Expr) else repr(cuts)
        msg = f"{name}: takes the number of parts, from 1 on, or the places to cut at, not {what}: {expr.describe()}"
        raise ShapeError(msg)
    count = operator.index(cuts)
    whole = size // count
    lengths = [whole if whole * count == size else (size + count - 1 - at) // count for at in range(count)]
    if even and whole * count != size:
        known = isinstance(size, int)
        hint = "" if known else f": write the size as a multiple of {count}, or use array_split"
        verb = "is not" if known else "is not known to be"
        msg = f"{name}: {size} {verb} divisible by {count}{hint}: {expr.describe()}"
        raise ShapeError(msg)
    starts: list[Size] = [0, *accumulate(lengths, lambda start, length: length + start)]
    return [part(expr, right, start, length) for start, length in zip(starts, lengths, strict=False)]


def hsplit(ary: Operand, indices_or_sections: SizeLike | Sequence[SizeLike]) -> list[Expr]:
    """Take an array apart along axis 1, a vector along its only one, as `split` does.

    Raises:
        ShapeError: the operand is a scalar, or the parts are not equal.

    >>> import symbackprop as sb
    >>> [part.shape for part in sb.hsplit(sb.symbol("A", ("N", 4)), 2)]
    [(N, 2), (N, 2)]
    """
    expr = of_rank("hsplit", ary, 1)
    return _parts("hsplit", expr, indices_or_sections, min(expr.ndim - 1, 1), even=True)


def vsplit(ary: Operand, indices_or_sections: SizeLike | Sequence[SizeLike]) -> list[Expr]:
    """Take an array of two axes or more apart along the first, as `split` does.

    Raises:
        ShapeError: the operand has fewer axes, or the parts are not equal.

    >>> import symbackprop as sb
    >>> [part.shape for part in sb.vsplit(sb.symbol("A", (4, "N")), [1])]
    [(1, N), (3, N)]
    """
    return _parts("vsplit", of_rank("vsplit", ary, 2), indices_or_sections, 0, even=True)


def dsplit(ary: Operand, indices_or_sections: SizeLike | Sequence[SizeLike]) -> list[Expr]:
    """Take an array of three axes or more apart along the third, as `split` does.

    Raises:
        ShapeError: the operand has fewer axes, or the parts are not equal.

    >>> import symbackprop as sb
    >>> [part.shape for part in sb.dsplit(sb.symbol("A", ("N", "M", 4)), 2)]
    [(N, M, 2), (N, M, 2)]
    """
    return _parts("dsplit", of_rank("dsplit", ary, 3), indices_or_sections, 2, even=True)


def unstack(x: Operand, *, axis: int = 0) -> tuple[Expr, ...]:
    """Take an array apart along an axis, which goes; what `stack` undoes.

    Raises:
        ShapeError: no axis like this, or its size is named: how many parts there are is not known then.

    >>> import symbackprop as sb
    >>> a, b = sb.unstack(sb.symbol("A", (2, "N")))
    >>> print(a, b)
    A[0] A[1]
    """
    expr = of_rank("unstack", x, 1)
    (right,) = axes_of("unstack", expr, axis)
    count = expr.shape[right]
    if not isinstance(count, int):
        msg = f"unstack: how many parts {count} stands for is not known: {expr.describe()}"
        raise ShapeError(msg)
    return tuple(squeeze(part(expr, right, at, 1), right) for at in range(count))


# --- leaving out and putting between ---------------------------------------------------------------------------


def delete(arr: Operand, obj: Any, axis: int | None = None) -> Expr:
    """Leave out parts along an axis.

    Args:
        arr: the array.
        obj: the place of what is left out; where the size is known also a slice, several places, or a mask.
        axis: along which axis; without it of all elements, in row-major order.

    Raises:
        ShapeError: no axis or no place like this.

    >>> import symbackprop as sb
    >>> print(sb.delete(sb.symbol("x", "N"), 1))
    concatenate((x[:1], x[2:]))
    """
    expr = as_expr(arr)
    if axis is None:
        return delete(ravel(expr), obj, 0)
    (right,) = axes_of("delete", expr, axis)
    size = expr.shape[right]
    if _is_one_place(obj):
        at = _place("delete", expr, right, operator.index(obj), size - 1)
        return concatenate([part(expr, right, 0, at), part(expr, right, at + 1, size - at - 1)], right)
    if not isinstance(size, int) or isinstance(obj, Expr):
        msg = f"delete: needs one place, or a known size: {expr.describe()}"
        raise ShapeError(msg)
    try:
        kept = np.delete(np.arange(size), obj)
    except (IndexError, ValueError) as error:
        msg = f"delete: {error}: {expr.describe()}"
        raise ShapeError(msg) from None
    return taken(expr, right, kept.tolist())


def insert(arr: Operand, obj: Any, values: Operand, axis: int | None = None) -> Expr:
    """Put values before a place along an axis; they are broadcast to the other axes.

    Args:
        arr: the array.
        obj: the place; where the size is known also a slice, several places, or a mask.
        values: what is put there, in the dtype of the array.
        axis: along which axis; without it between all elements, in row-major order.

    Raises:
        ShapeError: no axis or no place like this, or the values do not fit.

    >>> import symbackprop as sb
    >>> print(sb.insert(sb.symbol("x", "N"), 1, sb.symbol("s")))
    concatenate((x[:1], s[None], x[1:]))
    """
    expr = as_expr(arr)
    if axis is None:
        return insert(ravel(expr), obj, values, 0)
    (right,) = axes_of("insert", expr, axis)
    size = expr.shape[right]
    new = astype(as_expr(values, graph=expr.graph), expr.dtype)
    if not _is_one_place(obj):
        return _inserted(expr, right, obj, new)
    at = _place("insert", expr, right, operator.index(obj), size)
    new = moveaxis(expand_dims(new, range(expr.ndim - new.ndim)), 0, right)
    place = expr.ndim + right
    new = broadcast_to(new, (*expr.shape[:place], new.shape[right], *expr.shape[place + 1 :]))
    return concatenate([part(expr, right, 0, at), new, part(expr, right, at, size - at)], right)


def _inserted(expr: Expr, axis: int, obj: Any, new: Expr) -> Expr:
    """Put values before several places."""
    size = expr.shape[axis]
    if not isinstance(size, int) or isinstance(obj, Expr):
        msg = f"insert: needs one place, or a known size: {expr.describe()}"
        raise ShapeError(msg)
    mask = not isinstance(obj, slice) and np.asarray(obj).dtype.kind == "b"
    count = len(np.arange(size)[obj]) if mask or isinstance(obj, slice) else int(np.size(obj))
    several = new.shape[axis] if new.ndim >= -axis else 1
    if count == 1 and isinstance(several, int):  # all the values go before the one place
        count = several
    try:
        order: Sequence[Size] = np.insert(np.arange(size), obj, np.arange(size, size + count)).tolist()
    except (IndexError, ValueError) as error:
        msg = f"insert: {error}: {expr.describe()}"
        raise ShapeError(msg) from None
    place = expr.ndim + axis
    new = broadcast_to(new, (*expr.shape[:place], count, *expr.shape[place + 1 :]))
    return taken(concatenate([expr, new], axis), axis, order)


def _is_one_place(obj: Any) -> bool:
    return hasattr(obj, "__index__") and not isinstance(obj, bool) and not np.ndim(obj)


def _place(name: str, x: Expr, axis: int, at: int, last: Size) -> Size:
    """Read a place on an axis; what is negative counts from the end."""
    size = x.shape[axis]
    if isinstance(size, int) and isinstance(last, int) and not -size <= at <= last:
        msg = f"{name}: {at} is out of range for size {size}: {x.describe()}"
        raise ShapeError(msg)
    return size + at if at < 0 else at


def taken(x: Expr, axis: int, places: Sequence[Size]) -> Expr:
    """Take parts along an axis, in this order: as few slices as there are runs of them."""
    found = [
        part(x, axis, *run) if run.step else _repeated(part(x, axis, run.start, 1), run.length, axis)
        for run in runs_of(places)
    ]
    return concatenate(found, axis) if len(found) > 1 else found[0] if found else part(x, axis, 0, 0)


def runs_of(places: Sequence[Size]) -> list[Run]:
    """Write places as runs of neighbours, up or down, or of one place again and again, with the step 0.

    >>> [tuple(run) for run in runs_of([2, 1, 0, 1, 2, 2])]
    [(2, 3, -1), (1, 2, 1), (2, 1, 1)]
    """
    found: list[Run] = []
    for place in places:
        last = found[-1] if found else None
        step = place - (last.start + (last.length - 1) * last.step) if last else None
        if last and isinstance(step, int) and abs(step) <= 1 and (last.length == 1 or step == last.step):
            found[-1] = Run(last.start, last.length + 1, step)
        else:
            found.append(Run(place, 1, 1))
    return found
