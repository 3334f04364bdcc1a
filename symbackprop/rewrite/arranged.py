"""Steps of layout that undo or follow one another become one: slices, what puts them back, joins, shifts, triangles."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.op import apply
from symbackprop.ops import (
    TABLE,
    broadcast_to,
    concatenate,
    exp,
    expand_dims,
    flip,
    multiply,
    reshape,
    roll,
    symbol,
    tril,
    triu,
)
from symbackprop.ops.arrange import ROLL, TRIL, TRIU, rolled
from symbackprop.ops.at import SET_SLICE
from symbackprop.ops.index import CONCATENATE, SLICE, STACK, UNSLICE, Run, are_whole, sliced, starts
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.engine import Rule, Strength
from symbackprop.rewrite.terms import composed, is_safe

_DEEPEST = 4  # how far down is looked for what a step of layout undoes
Runs: TypeAlias = tuple[Run, ...]


def _padded(runs: Runs, shape: Shape, count: int) -> Runs:
    """Give runs for so many last axes of a shape."""
    return (*(Run(0, size, 1) for size in shape[len(shape) - count : len(shape) - len(runs)]), *runs)


def _composed(outer: Runs, inner: Runs, middle: Shape, first: Shape) -> Runs | None:
    """Give what a slice takes of what another one has taken of an array; None where Python's slice would not say it."""
    count = max(len(outer), len(inner))
    # the axes before those that are cut are whole, so the shape between tells their sizes
    pairs = zip(_padded(inner, middle, count), _padded(outer, middle, count), strict=True)
    found = tuple(composed(below, above) for below, above in pairs)
    sizes = first[len(first) - count :]
    return found if all(is_safe(run, size) for run, size in zip(found, sizes, strict=True)) else None


def _merged_slices(expr: Expr) -> Expr | None:
    inner = expr.inputs[0]
    if inner.op is not SLICE:
        return None
    runs = _composed(expr.params["runs"], inner.params["runs"], inner.shape, inner.inputs[0].shape)
    return None if runs is None else sliced(inner.inputs[0], runs)


def _merged_puts(expr: Expr) -> Expr | None:
    """Put elements at once where they were to be put in two steps."""
    inner = expr.inputs[0]
    if inner.op is not UNSLICE:
        return None
    runs = _composed(inner.params["runs"], expr.params["runs"], inner.shape, expr.shape)
    if runs is None:
        return None
    return apply(UNSLICE, inner.inputs[0], runs=runs, into=expr.shape[expr.ndim - len(runs) :])


def _turned_back(expr: Expr) -> Expr | None:
    """Put all elements back in the order turned round: that is to turn them round."""
    (x,), runs, into = expr.inputs, expr.params["runs"], expr.params["into"]
    if any(run.length != size for run, size in zip(runs, into, strict=True)):
        return None
    return sliced(x, runs)


def _sum_of_put(expr: Expr) -> Expr | None:
    """Add up what was put, where the zeros beside it are added up too."""
    put = expr.inputs[0]
    runs, axes = put.params["runs"], expr.params["axes"]
    for axis in range(-len(runs), 0):
        if axis not in axes and runs[axis] != (0, put.shape[axis], 1):
            return None
    return apply(SUM, put.inputs[0], **expr.params)


def _cut_of_put(expr: Expr) -> Expr | None:
    inner = expr.inputs[0]
    if inner.op is not UNSLICE or inner.params["runs"] != expr.params["runs"]:
        return None
    return inner.inputs[0]


def _cut_of_set(expr: Expr) -> Expr | None:
    inner = expr.inputs[0]
    values = inner.inputs[1]
    if inner.params["runs"] != expr.params["runs"] or values.dtype != expr.dtype:
        return None
    return broadcast_to(values, expr.shape)


def _known(size: Size) -> bool:
    """Tell whether a size is known not to be negative."""
    return not size.may_be_negative if isinstance(size, Dim) else size >= 0


class _Place(NamedTuple):
    """Which of the joined arrays a slice lies in, and what it takes there."""

    operand: int
    runs: Runs


def _place(joined: Expr, runs: Runs) -> _Place | None:
    """Find the one of the joined arrays that a slice lies in."""
    axis = joined.params["axis"]
    if len(runs) < -axis:
        return None
    run, at = runs[axis], len(runs) + axis
    if joined.op is STACK:
        if run.length != 1 or not isinstance(run.start, int):
            return None
        return _Place(run.start, (*runs[:at], Run(0, 1, 1), *runs[at + 1 :]))
    span = (run.length - 1) * abs(run.step)
    low = run.start if run.step > 0 else run.start - span
    ends, numbers = _ends(joined)
    first = 0
    if numbers and isinstance(low, int):
        first = bisect_right(ends, low, hi=len(ends) - 1) - 1
        ends = ends[first : first + 2]
    for operand, (start, end) in enumerate(pairwise(ends), first):
        if _known(low - start) and _known(end - (low + span + 1)):
            return _Place(operand, (*runs[:at], run._replace(start=run.start - start), *runs[at + 1 :]))
    return None


_ENDS: WeakKeyDictionary[Graph, dict[int, tuple[tuple[Size, ...], bool]]] = WeakKeyDictionary()


def _ends(joined: Expr) -> tuple[tuple[Size, ...], bool]:
    """Give where the arrays that are joined begin, and the last one ends, and whether these are all numbers."""
    found = _ENDS.setdefault(joined.graph, {})  # or all parts of a long array would cost its square
    if joined.number not in found:
        nodes, axis = joined.graph.nodes, joined.params["axis"]
        ends = starts(tuple([nodes[number].shape[axis] for number in joined.node.inputs]))
        found[joined.number] = ends, all(isinstance(end, int) for end in ends)
    return found[joined.number]


def _cut_of_joined(expr: Expr) -> Expr | None:
    """Take a slice of the one of the joined arrays that it lies in."""
    joined = expr.inputs[0]
    place = _place(joined, expr.params["runs"])
    part = None if place is None else Expr(joined.graph, joined.node.inputs[place.operand])
    if place is None or part is None or part.dtype != expr.dtype:
        return None
    return sliced(expand_dims(part, joined.params["axis"]) if joined.op is STACK else part, place.runs)


def _cut_of_copies(expr: Expr) -> Expr | None:
    """Cut what is copied, along the axes that it has, and make as many copies as are wanted."""
    (one,), runs = expr.inputs[0].inputs, expr.params["runs"]
    own = runs[max(len(runs) - one.ndim, 0) :]
    kept = [Run(0, 1, 1) if size == 1 else run for run, size in zip(own, one.shape[one.ndim - len(own) :], strict=True)]
    return broadcast_to(sliced(one, kept), expr.shape)


def _dropped_copy(expr: Expr) -> Expr | None:
    """Drop axes that copying has brought."""
    (one,) = expr.inputs[0].inputs
    new = all(axis < -one.ndim for axis in expr.params["axes"])
    return broadcast_to(one, expr.shape) if new else None


def _turned_slice(expr: Expr) -> Expr | None:
    """Cut the array itself, where it was transposed, cut and transposed back."""
    axes = expr.params["axes"]
    cut = expr.inputs[0]
    turned = cut.inputs[0]
    if turned.op is not TRANSPOSE or len(turned.params["axes"]) != len(axes):
        return None
    if any(turned.params["axes"][axis] != at - len(axes) for at, axis in enumerate(axes)):
        return None
    count = max(len(axes), len(cut.params["runs"]))
    runs = _padded(cut.params["runs"], turned.shape, count)
    return sliced(turned.inputs[0], [runs[axis] for axis in (*range(-count, -len(axes)), *axes)])


def _merged_rolls(expr: Expr) -> Expr | None:
    inner = expr.inputs[0]
    if inner.op is not ROLL:
        return None
    total = dict(zip(inner.params["axes"], inner.params["shifts"], strict=True))
    for axis, shift in zip(expr.params["axes"], expr.params["shifts"], strict=True):
        total[axis] = shift + total.get(axis, 0)
    return rolled(inner.inputs[0], total)


def _merged_triangles(expr: Expr) -> Expr | None:
    inner = expr.inputs[0]
    if inner.op is not expr.op:
        return None
    k = (min if expr.op is TRIL else max)(expr.params["k"], inner.params["k"])
    return apply(expr.op, inner.inputs[0], k=k)


# --- through elements -----------------------------------------------------------------------------------------


def _undoes(expr: Expr, step: Expr) -> bool:
    """Tell whether a step of layout leaves nothing of another one, or of a join."""
    if step.op is RESHAPE:
        return expr.op is RESHAPE and expr.inputs[0].shape == step.shape
    if step.op in {EXPAND_DIMS, SQUEEZE}:
        return {expr.op, step.op} == {EXPAND_DIMS, SQUEEZE} and bool(expr.params["axes"] == step.params["axes"])
    if step.op is ROLL:
        back = tuple(shift * -1 for shift in step.params["shifts"])
        return expr.op is ROLL and expr.params["axes"] == step.params["axes"] and expr.params["shifts"] == back
    if expr.op in {UNSLICE, SET_SLICE}:
        return bool(expr.params["runs"] == step.params["runs"])
    if expr.op is SLICE:  # of turned ones both are
        return expr.inputs[0].shape == step.shape and _slice_is_undone(expr, step)
    return expr.op in {CONCATENATE, STACK} and _place(expr, step.params["runs"]) is not None


def _slice_is_undone(expr: Expr, step: Expr) -> bool:
    runs = _composed(step.params["runs"], expr.params["runs"], expr.shape, step.shape)
    return runs is not None and are_whole(runs, step.shape)


def _applied(step: Expr, x: Expr) -> Expr:
    """Apply a step of layout to another operand."""
    return apply(step.op, x, **step.params)


def _somewhere(expr: Expr, step: Expr, depth: int) -> bool:
    """Tell whether a step of layout undoes another one that elements were computed from."""
    if expr.shape != step.inputs[0].shape:
        return False
    if _undoes(expr, step):
        return True
    return depth > 0 and expr.op.elementwise and any(_somewhere(part, step, depth - 1) for part in expr.inputs)


def _through_elements(expr: Expr) -> Expr | None:
    (x,) = expr.inputs
    if not x.op.elementwise or not _somewhere(x, expr, _DEEPEST):
        return None
    operands = [_applied(expr, broadcast_to(part, x.shape)) if part.shape else part for part in x.inputs]
    return apply(x.op, *operands, **x.params)


def _late_broadcast(expr: Expr) -> Expr | None:
    """Compute once and repeat the result, where all operands are copies of smaller arrays or scalars."""
    bare = [part.inputs[0] if part.op is BROADCAST_TO else part for part in expr.inputs]
    if any(part is one and part.shape for part, one in zip(expr.inputs, bare, strict=True)):
        return None
    if dims.product(dims.broadcast(*(one.shape for one in bare))) == dims.product(expr.shape):
        return None
    return broadcast_to(apply(expr.op, *bare, **expr.params), expr.shape)


def _x(*shape: Any) -> Expr:
    return symbol("x", shape)


def _cuts_of_joined() -> Sequence[Expr]:
    x, y = symbol("x", ("N", 2)), symbol("y", ("D", 2))
    joined = concatenate([x, y])
    return [joined[: x.shape[0]], joined[x.shape[0] :, 1], concatenate([_x(3), symbol("y", 4)])[4:6]]


def _puts() -> Sequence[Expr]:
    inner = apply(UNSLICE, _x(2), runs=(Run(1, 2, 2),), into=(5,))
    return [apply(UNSLICE, inner, runs=(Run(5, 5, -1),), into=(7,))]


ARRANGED: tuple[Rule, ...] = (
    Rule(
        name="merge_slices",
        equation="x[a:][b:] = x[a + b:]",
        strength=Strength.EXACT,
        roots=(SLICE,),
        rewrite=_merged_slices,
        examples=lambda: [flip(flip(_x("N"))), _x("N", 4)[1:][:, 1:3], _x(7)[1::2][::-1], _x(2, 5)[:, 1:][1:]],
        fits=lambda ops: ops == (SLICE,),
    ),
    Rule(
        name="merge_puts",
        equation="put(put(x, …[b]), …[a]) = put(x, …[a][b])",
        strength=Strength.EXACT,
        roots=(UNSLICE,),
        rewrite=_merged_puts,
        examples=_puts,
        fits=lambda ops: ops == (UNSLICE,),
    ),
    Rule(
        name="put_turned",
        equation="put(x, …[::-1]) = x[::-1]",
        strength=Strength.EXACT,
        roots=(UNSLICE,),
        rewrite=_turned_back,
        examples=lambda: [apply(UNSLICE, _x(3), runs=(Run(2, 3, -1),), into=(3,))],
    ),
    Rule(
        name="sum_of_put",
        equation="sum(put(x, …[i])) = sum(x) over the axes of i",
        strength=Strength.REAL,
        roots=(SUM,),
        rewrite=_sum_of_put,
        examples=lambda: [
            apply(SUM, apply(UNSLICE, _x(2), runs=(Run(1, 2, 2),), into=(5,)), axes=(-1,), keepdims=False),
            apply(
                SUM,
                apply(UNSLICE, _x("N", 3), runs=(Run(1, 3, 1),), into=(5,)),
                axes=(-2, -1),
                keepdims=True,
            ),
        ],
        fits=lambda ops: ops == (UNSLICE,),
    ),
    Rule(
        name="cut_of_put",
        equation="put(x, …[i])[i] = x",
        strength=Strength.EXACT,
        roots=(SLICE,),
        rewrite=_cut_of_put,
        examples=lambda: [apply(UNSLICE, _x(2), runs=(Run(1, 2, 2),), into=(5,))[1::2]],
        fits=lambda ops: ops == (UNSLICE,),
    ),
    Rule(
        name="cut_of_set",
        equation="set_at(x, v, [i])[i] = v",
        strength=Strength.EXACT,
        roots=(SLICE,),
        rewrite=_cut_of_set,
        examples=lambda: [_x("N", 3).at[1:].set(symbol("v", 3))[1:], _x(5).at[1::2].set(2.0)[1::2]],
        fits=lambda ops: ops == (SET_SLICE,),
    ),
    Rule(
        name="cut_of_joined",
        equation="concatenate((x, y))[:n] = x for x of size n",
        strength=Strength.EXACT,
        roots=(SLICE,),
        rewrite=_cut_of_joined,
        examples=_cuts_of_joined,
        fits=lambda ops: ops[0] in {CONCATENATE, STACK},
    ),
    Rule(
        name="cut_of_copies",
        equation="broadcast(x)[i] = broadcast(x[i])",
        strength=Strength.EXACT,
        roots=(SLICE,),
        rewrite=_cut_of_copies,
        examples=lambda: [broadcast_to(_x("N", 1), (3, "N", "D"))[1:, 1:, ::-1], broadcast_to(_x("N"), (3, "N"))[2]],
        fits=lambda ops: ops == (BROADCAST_TO,),
    ),
    Rule(
        name="dropped_copy",
        equation="squeeze(broadcast(x)) = x over new axes",
        strength=Strength.EXACT,
        roots=(SQUEEZE,),
        rewrite=_dropped_copy,
        examples=lambda: [broadcast_to(_x("N"), (1, "N"))[0]],
        fits=lambda ops: ops == (BROADCAST_TO,),
    ),
    Rule(
        name="turned_slice",
        equation="(Aᵀ[i])ᵀ = A[:, i]",
        strength=Strength.EXACT,
        roots=(TRANSPOSE,),
        rewrite=_turned_slice,
        examples=lambda: [
            _x("N", 3).T[1:].T,
            _x("N", 3, 2).transpose(2, 0, 1)[::-1].transpose(1, 2, 0),
            _x(2, "N", 3).transpose(0, 2, 1)[1:, 1:].transpose(0, 2, 1),
        ],
        fits=lambda ops: ops == (SLICE,),
    ),
    Rule(
        name="merge_rolls",
        equation="roll(roll(x, a), b) = roll(x, a + b)",
        strength=Strength.EXACT,
        roots=(ROLL,),
        rewrite=_merged_rolls,
        examples=lambda: [roll(roll(_x("N"), 1), -1), roll(roll(_x(3, 4), 1, 0), (1, 1), (0, 1))],
        fits=lambda ops: ops == (ROLL,),
    ),
    Rule(
        name="merge_triangles",
        equation="tril(tril(x)) = tril(x)",
        strength=Strength.EXACT,
        roots=(TRIL, TRIU),
        rewrite=_merged_triangles,
        examples=lambda: [tril(tril(_x("N", "N"), 1)), triu(triu(_x("N", "D"), 1), -1)],
        fits=lambda ops: ops[0] in {TRIL, TRIU},
    ),
)
"""Cheaper to compute, too."""

THROUGH: tuple[Rule, ...] = (
    Rule(
        name="layout_through_elements",
        equation="reshape(f(reshape(x))) = f(x), f(put(x, …[i]))[i] = f(x), roll(f(roll(x, k)), −k) = f(x)",
        strength=Strength.EXACT,
        roots=(RESHAPE, EXPAND_DIMS, SQUEEZE, ROLL, SLICE),
        rewrite=_through_elements,
        examples=lambda: [
            reshape(exp(reshape(_x("N", "D"), -1)), ("N", "D")),
            roll(multiply(roll(_x("N"), 1), symbol("y", "N")), -1),
            exp(_x("N")[None])[0],
            exp(apply(UNSLICE, _x(2), runs=(Run(1, 2, 2),), into=(5,)))[1::2],
            (2 * concatenate([_x("N"), symbol("y", "D")]))[: _x("N").shape[0]],
        ],
    ),
    Rule(
        name="late_broadcast_of_arrays",
        equation="f(broadcast(x), broadcast(y)) = broadcast(f(x, y))",
        strength=Strength.EXACT,
        roots=tuple(op for op in TABLE if op.elementwise),
        rewrite=_late_broadcast,
        fits=lambda ops: BROADCAST_TO in ops,
        examples=lambda: [exp(broadcast_to(_x("N"), ("D", "N"))), broadcast_to(_x("N"), ("D", "N")) * symbol("s")],
    ),
)
"""For reading: what is computed once might be computed twice."""
