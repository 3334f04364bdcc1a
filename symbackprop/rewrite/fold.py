"""Constant folding, and the removal of layout steps that do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.op import CONSTANT, SIZE, Op, apply, literal, scalar_value
from symbackprop.ops import TABLE
from symbackprop.ops.arrange import ROLL
from symbackprop.ops.contract import EYE, eye
from symbackprop.ops.elementwise import ASTYPE, astype, divide, multiply
from symbackprop.ops.layout import (
    BROADCAST_TO,
    EXPAND_DIMS,
    RESHAPE,
    SQUEEZE,
    TRANSPOSE,
    broadcast_to,
    expand_dims,
    matrix_transpose,
    permute,
    reshape,
    squeeze,
)
from symbackprop.ops.leaf import ARANGE, SYMBOL, assume, constant, symbol
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.engine import Rule, Strength

_LARGEST = 4096  # elements of a folded constant: a larger one is dearer to carry than to compute
_LEAVES = {CONSTANT, SYMBOL, SIZE, ARANGE, EYE}
_MOST_SCALES = 4  # that are looked through for a sum that was declared


def _fold(expr: Expr) -> Expr | None:
    node = expr.node
    nodes = expr.graph.nodes
    if dims.names_of(node.shape) or not all(nodes[operand].op is CONSTANT for operand in node.inputs):
        return None
    elements = dims.product(node.shape)
    if not isinstance(elements, int) or elements > _LARGEST or node.op is BROADCAST_TO:
        return None
    operands = [nodes[operand].params["value"].array[()] for operand in node.inputs]
    with np.errstate(all="ignore"), suppress(ImportError):  # a formula needs no package that computes it
        return literal(node.op.evaluate(*operands, sizes={}, **node.params), node.dtype, graph=expr.graph)
    return None


def _operand_of_same(expr: Expr) -> Expr | None:
    """Merge an op on the result of the same op."""
    inner = expr.inputs[0]
    if inner.op is not expr.op:
        return None
    (x,) = inner.inputs
    if expr.op is RESHAPE:
        return reshape(x, expr.shape)
    if expr.op is BROADCAST_TO:
        return broadcast_to(x, expr.shape)
    rank = max(len(expr.params["axes"]), len(inner.params["axes"]))
    outer, below = ((*range(-rank, -len(axes)), *axes) for axes in (expr.params["axes"], inner.params["axes"]))
    return permute(x, tuple(below[axis] for axis in outer))


def _merged_reshape(expr: Expr) -> Expr | None:
    """Bring elements that stay in their order into the last shape at once."""
    inner = expr.inputs[0]
    return reshape(inner.inputs[0], expr.shape) if RESHAPE in {expr.op, inner.op} else None


def _merged_axes(expr: Expr) -> Expr | None:
    """Insert axes, or drop them, at once: those of the inner op move to where its result's axes end."""
    inner = expr.inputs[0]
    if inner.op is not expr.op:
        return None
    outer, below = expr.params["axes"], inner.params["axes"]
    (whole, removed) = (expr, outer) if expr.op is EXPAND_DIMS else (inner.inputs[0], below)
    places = [axis for axis in range(-whole.ndim, 0) if axis not in removed]
    other = below if expr.op is EXPAND_DIMS else outer
    axes = tuple(sorted({*removed, *(places[axis] for axis in other)}))
    return apply(expr.op, inner.inputs[0], axes=axes)


def _turned_new_axes(expr: Expr) -> Expr | None:
    """Insert axes where a transpose takes them, if the others stay in their order."""
    inner, rank = expr.inputs[0], expr.ndim
    axes = (*range(-rank, -len(expr.params["axes"])), *expr.params["axes"])
    kept = [axis for axis in axes if axis not in inner.params["axes"]]
    if kept != sorted(kept):
        return None
    places = tuple(at - rank for at, axis in enumerate(axes) if axis in inner.params["axes"])
    return apply(EXPAND_DIMS, inner.inputs[0], axes=places)


def _dropped_axes(expr: Expr) -> Expr | None:
    """Let a reduction drop the axes that are dropped behind it."""
    inner = expr.inputs[0]
    if inner.params.get("keepdims") is not True or inner.params["axes"] != expr.params["axes"]:
        return None
    return apply(inner.op, *inner.inputs, **{**inner.params, "keepdims": False})


def _inverse_axes(expr: Expr) -> Expr | None:
    inner = expr.inputs[0]
    if expr.op is SQUEEZE and inner.op is EXPAND_DIMS:
        return inner.inputs[0] if expr.params["axes"] == inner.params["axes"] else None
    if expr.op is EXPAND_DIMS and inner.op is SQUEEZE:
        return inner.inputs[0] if expr.params["axes"] == inner.params["axes"] else None
    return None


def _broadcast_operand(expr: Expr) -> Expr | None:
    """Leave to the op the broadcasting that its other operands bring about anyway."""
    node = expr.node
    operands = list(expr.inputs)
    for position, operand in enumerate(operands):
        if operand.op is BROADCAST_TO:
            rest = [other.shape for at, other in enumerate(operands) if at != position]
            bare = operand.inputs[0]
            if dims.broadcast(bare.shape, *rest) == node.shape:
                operands[position] = bare
    if operands == list(expr.inputs):
        return None
    return apply(node.op, *operands, **node.params)


def _times_ones(expr: Expr) -> Expr | None:
    for ones, x in (expr.inputs, expr.inputs[::-1]):
        if ones.op is BROADCAST_TO and scalar_value(ones.inputs[0]) == 1 and x.dtype == expr.dtype:
            return broadcast_to(x, expr.shape)
    return None


def _late_broadcast(expr: Expr) -> Expr | None:
    """Compute once and repeat the result, where all operands are copies of scalars or scalars."""
    bare = [operand.inputs[0] if operand.op is BROADCAST_TO else operand for operand in expr.inputs]
    if any(operand.shape for operand in bare):
        return None
    return broadcast_to(apply(expr.op, *bare, **expr.params), expr.shape)


def _layout_of_copies(expr: Expr) -> Expr | None:
    """Move copies of a scalar by copying it to where they end."""
    (x,) = expr.inputs
    return broadcast_to(x.inputs[0], expr.shape) if not x.inputs[0].shape else None


def _product_with_truth(expr: Expr) -> Expr | None:
    """Multiply with truth values as they are: NumPy reads them as 0 and 1."""
    for converted, other in (expr.inputs, expr.inputs[::-1]):
        truth = _unconverted(converted)
        if truth is not None and other.dtype == expr.dtype:
            return multiply(truth, other) if converted is expr.inputs[0] else multiply(other, truth)
    return None


def _unconverted(expr: Expr) -> Expr | None:
    """Give truth values, in another layout perhaps, that were made numbers."""
    if expr.op is ASTYPE:
        return expr.inputs[0] if expr.inputs[0].dtype == bool else None
    if expr.op not in {EXPAND_DIMS, TRANSPOSE}:
        return None
    converted = expr.inputs[0]
    if converted.op is not ASTYPE or converted.inputs[0].dtype != bool:
        return None
    return apply(expr.op, converted.inputs[0], **expr.params)


def _sum_of_none(expr: Expr) -> Expr | None:
    return astype(expr.inputs[0], expr.dtype) if not expr.params["axes"] else None


def _declared_sum(expr: Expr) -> Expr | None:
    """Give the sum that was declared, times and over the scalars by which the rows are scaled."""
    if expr.params["axes"] != (-1,):
        return None
    rows, scales = expr.inputs[0], list[tuple[Op, Expr]]()
    while rows.op in {multiply, divide} and len(scales) < _MOST_SCALES:
        left, right = rows.inputs
        if rows.op is multiply and not left.shape:
            left, right = right, left
        if right.shape:
            return None
        scales.append((rows.op, right))
        rows = left
    total = rows.node.facts.get("rows_sum_to")
    if total is None or rows.dtype != expr.dtype:
        return None
    scaled = literal(total, expr.dtype, graph=expr.graph)
    for op, scale in reversed(scales):
        scaled = apply(op, scaled, scale)
    return scaled


def _declared() -> Sequence[Expr]:
    Y = assume(_x("N", "K"), rows_sum_to=1)
    return [
        apply(SUM, Y, axes=(-1,), keepdims=True),
        apply(SUM, 2 * Y / symbol("s"), axes=(-1,), keepdims=False),
    ]


def _x(*shape: str | int) -> Expr:
    return symbol("x", shape)


def _example_fold() -> Sequence[Expr]:
    return [constant(2.0) * constant(3.0), constant([1.0, 2.0]) + 1]


_ELEMENTWISE = tuple(op for op in TABLE if op.elementwise)


def _told_array(expr: Expr) -> Expr | None:
    """Tell a known array by one number, or as an identity matrix."""
    array = expr.node.params["value"].array
    if array.dtype.kind != "f" or array.size < 2 or array.size > _LARGEST:
        return None
    first = array.flat[0]
    if array.flat[1] == first:
        is_uniform = bool((array == first).all()) and not (first == 0 and np.signbit(array).any())
        return broadcast_to(literal(first, array.dtype, graph=expr.graph), array.shape) if is_uniform else None
    if first != 1 or array.ndim != 2 or array.shape[0] != array.shape[1]:
        return None
    return eye(len(array), dtype=array.dtype, graph=expr.graph) if (array == np.eye(len(array))).all() else None


FOLD: tuple[Rule, ...] = (
    Rule(
        name="told_array",
        equation="an array of one number many times = broadcast(number), an identity matrix = I",
        strength=Strength.EXACT,
        roots=(CONSTANT,),
        rewrite=_told_array,
        examples=lambda: [_x(3) + np.full(3, 2.0), _x(3, 3) + np.eye(3)],
    ),
    Rule(
        name="product_with_truth",
        equation="x · float(b) = x · b",
        strength=Strength.EXACT,
        roots=(multiply,),
        rewrite=_product_with_truth,
        examples=lambda: [
            symbol("x", "N") * astype(symbol("b", "N", dtype=bool), "float64"),
            expand_dims(astype(symbol("b", "N", dtype=bool), "float64"), -1) * symbol("A", ("N", "D")),
        ],
        fits=lambda ops: bool({ASTYPE, EXPAND_DIMS, TRANSPOSE} & {*ops}),
    ),
    Rule(
        name="fold",
        equation="op(constants) = constant",
        strength=Strength.EXACT,
        roots=tuple(op for op in TABLE if op not in _LEAVES),
        rewrite=_fold,
        examples=_example_fold,
        fits=lambda ops: all(op is CONSTANT for op in ops),
    ),
    Rule(
        name="merge_layout",
        equation="reshape(reshape(x)) = reshape(x), (xᵀ)ᵀ = x, broadcast(broadcast(x)) = broadcast(x)",
        strength=Strength.EXACT,
        roots=(RESHAPE, TRANSPOSE, BROADCAST_TO),
        rewrite=_operand_of_same,
        examples=lambda: [
            reshape(reshape(_x(2, 3), 6), (3, 2)),
            _x("N", "D").T.T,
            matrix_transpose(_x("M", "N", "D").transpose(1, 0, 2)),
            broadcast_to(broadcast_to(_x("D"), ("N", "D")), ("M", "N", "D")),
        ],
        fits=lambda ops: ops[0] in {RESHAPE, TRANSPOSE, BROADCAST_TO},
    ),
    Rule(
        name="merge_reshape",
        equation="reshape(expand_dims(x)) = reshape(x), squeeze(reshape(x)) = reshape(x)",
        strength=Strength.EXACT,
        roots=(RESHAPE, SQUEEZE),
        rewrite=_merged_reshape,
        examples=lambda: [
            reshape(expand_dims(_x("N", 2), 0), -1),
            squeeze(reshape(_x(2, 3), (1, 6)), 0),
        ],
        fits=lambda ops: ops[0] in {RESHAPE, EXPAND_DIMS, SQUEEZE},
    ),
    Rule(
        name="merge_axes",
        equation="expand_dims(expand_dims(x)) = expand_dims(x), squeeze(squeeze(x)) = squeeze(x)",
        strength=Strength.EXACT,
        roots=(EXPAND_DIMS, SQUEEZE),
        rewrite=_merged_axes,
        examples=lambda: [
            expand_dims(expand_dims(_x("N", "D"), 1), (0, 3)),
            squeeze(squeeze(_x(1, "N", 1, 1), 2), (0, 2)),
        ],
        fits=lambda ops: ops[0] in {EXPAND_DIMS, SQUEEZE},
    ),
    Rule(
        name="turn_new_axes",
        equation="(x[:, None])ᵀ = x[None]",
        strength=Strength.EXACT,
        roots=(TRANSPOSE,),
        rewrite=_turned_new_axes,
        examples=lambda: [expand_dims(_x("N"), 1).T, matrix_transpose(expand_dims(_x("N", "D"), -1))],
        fits=lambda ops: ops == (EXPAND_DIMS,),
    ),
    Rule(
        name="drop_axes",
        equation="squeeze(sum(x, keepdims)) = sum(x)",
        strength=Strength.EXACT,
        roots=(SQUEEZE,),
        rewrite=_dropped_axes,
        examples=lambda: [squeeze(apply(SUM, _x("N", "D"), axes=(-2,), keepdims=True), 0)],
    ),
    Rule(
        name="inverse_axes",
        equation="squeeze(expand_dims(x)) = x",
        strength=Strength.EXACT,
        roots=(SQUEEZE, EXPAND_DIMS),
        rewrite=_inverse_axes,
        examples=lambda: [squeeze(expand_dims(_x("N"), 0), 0), expand_dims(squeeze(_x("N", 1), 1), 1)],
    ),
    Rule(
        name="broadcast_operand",
        equation="broadcast(x) ∘ y = x ∘ y where y has the whole shape",
        strength=Strength.EXACT,
        roots=_ELEMENTWISE,
        rewrite=_broadcast_operand,
        fits=lambda ops: len(ops) > 1 and BROADCAST_TO in ops,
        examples=lambda: [broadcast_to(symbol("a"), "N") * _x("N")],
    ),
    Rule(
        name="times_ones",
        equation="x ⊙ broadcast(1) = broadcast(x)",
        strength=Strength.EXACT,
        roots=(multiply,),
        rewrite=_times_ones,
        fits=lambda ops: BROADCAST_TO in ops,
        examples=lambda: [broadcast_to(constant(1.0), ("N", 1)) * _x("D")],
    ),
    Rule(
        name="late_broadcast",
        equation="f(broadcast(x)) = broadcast(f(x)), f(broadcast(s), t) = broadcast(f(s, t)) for scalars s, t",
        strength=Strength.EXACT,
        roots=_ELEMENTWISE,
        rewrite=_late_broadcast,
        fits=lambda ops: BROADCAST_TO in ops,
        examples=lambda: [-broadcast_to(symbol("a"), "N"), broadcast_to(symbol("a"), "N") * symbol("b")],
    ),
    Rule(
        name="layout_of_copies",
        equation="expand_dims(broadcast(s)) = broadcast(s) for a scalar s",
        strength=Strength.EXACT,
        roots=(EXPAND_DIMS, SQUEEZE, RESHAPE, TRANSPOSE, ROLL),
        rewrite=_layout_of_copies,
        examples=lambda: [expand_dims(broadcast_to(_x(), "N"), -1), broadcast_to(_x(), ("N", "D")).T],
        fits=lambda ops: ops == (BROADCAST_TO,),
    ),
    Rule(
        name="sum_of_none",
        equation="sum over no axes of x = x",
        strength=Strength.EXACT,
        roots=(SUM,),
        rewrite=_sum_of_none,
        examples=lambda: [apply(SUM, _x(), axes=(), keepdims=False)],
    ),
    Rule(
        name="declared_sum",
        equation="sum(Y, axis=-1) = what `assume` declared",
        strength=Strength.REAL,
        roots=(SUM,),
        rewrite=_declared_sum,
        examples=_declared,
        fits=lambda ops: ops[0] in {SYMBOL, multiply, divide},
    ),
)
