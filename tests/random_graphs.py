"""Random expressions over the whole op table, with values at which they are finite and stay off kinks and ties.

What rewrites or compiles an expression may change the last digits of a value. So that this cannot flip a comparison,
no two compared numbers are equal up to rounding, and nothing is rounded down next to a whole number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import symbackprop as sb
from symbackprop.autodiff.forward import value_of
from symbackprop.errors import DtypeError
from symbackprop.expr import Expr
from symbackprop.op import Case, Op
from symbackprop.ops import TABLE
from tests.values import indices, is_index

LARGEST = 50.0  # results beyond this are thrown away, so that towers of exp do not overflow
MARGIN = 1e-4  # the least distance from a kink, a tie or a jump

_COMPARED = {
    "fmax", "fmin", "maximum", "minimum", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal",
}  # fmt: skip
# Not drawn: a random matrix may be next to one without an inverse, and unslice is told where by a slice.
LEFT_OUT = {
    "cholesky", "cofactors", "cofactors_along", "det", "inv", "logabsdet", "logdet", "pinv", "qr_q", "qr_r", "signdet",
    "solve", "solve_triangular", "svd_u", "svd_vh", "unslice",
}  # fmt: skip
_NEAR_BASE = ((3,), (2, 3), (), (2, 1), (4,), (2, 4))


class Random(NamedTuple):
    """What `random_expression` made."""

    outputs: list[Expr]
    values: dict[Expr, np.ndarray]


def random_expression(rng: np.random.Generator, size: int, ops: tuple[Op, ...] = TABLE) -> Random:
    """Give the loose ends of a random graph of about `size` operations, and values for its symbols.

    Args:
        rng: where the choices come from; the same state gives the same expressions.
        size: the number of operations to try; those with values out of bounds are left out.
        ops: what to choose from.

    >>> made = random_expression(np.random.default_rng(0), 20)
    >>> all(np.isfinite(sb.evaluate(output, made.values)).all() for output in made.outputs)
    True
    """
    return _Builder(rng, ops).build(size)


def random_loss(rng: np.random.Generator, size: int, ops: tuple[Op, ...] = TABLE) -> tuple[Expr, dict]:
    """Give a scalar that depends on all of a random graph, and values for its symbols."""
    outputs, values = random_expression(rng, size, ops)
    loss = sb.sum(outputs[0])
    for output in outputs[1:]:
        loss = loss + sb.mean(
            output * np.asarray(rng.uniform(0.5, 1.5), output.dtype if output.dtype.kind == "f" else float)
        )
    return loss, values


class _Builder:
    def __init__(self, rng: np.random.Generator, ops: tuple[Op, ...]) -> None:
        self.rng = rng
        self.ops = [op for op in ops if op.vjps and op.name not in LEFT_OUT and takes_floats(op)]
        self.known: dict[Expr, np.ndarray] = {}
        self.symbols: dict[Expr, np.ndarray] = {}

    def build(self, size: int) -> Random:
        for shape in [(3,), (2, 3), ()]:
            self.symbol(shape)
        for _ in range(size):
            op = self.ops[self.rng.integers(len(self.ops))]
            case = self.case(op)
            self.put(op, [self.operand(op, position, shape) for position, shape in enumerate(case.shapes)], case.params)
        used = {operand for expr in self.known for operand in expr.inputs}
        ends = [expr for expr in self.known if expr not in used and expr not in self.symbols]
        ends = ends or [expr for expr in self.known if expr.dtype.kind == "f"][:1]
        needed = set(ends[0].graph.reachable([end.number for end in ends]))
        return Random(ends, {expr: value for expr, value in self.symbols.items() if expr.number in needed})

    def case(self, op: Op) -> Case:
        if not op.elementwise:
            return op.cases[self.rng.integers(len(op.cases))]
        base = _NEAR_BASE[self.rng.integers(len(_NEAR_BASE))]
        near = [base, base, (), base[1:], tuple(1 for _ in base)]
        shapes = [base, *(near[self.rng.integers(len(near))] for _ in op.vjps[1:])]
        self.rng.shuffle(shapes)
        return Case(tuple(map(tuple, shapes)))

    def symbol(self, shape: tuple[int, ...]) -> Expr:
        expr = sb.symbol(f"s{len(self.symbols)}", shape)
        self.known[expr] = self.symbols[expr] = self.rng.uniform(-2, 2, shape)
        return expr

    def operand(self, op: Op, position: int, shape: tuple[int, ...]) -> Expr:
        """Choose among what there is, the newer the likelier; now and then make a symbol or a number."""
        if is_index(op, position):
            return self.put_anyway(sb.constant(indices(self.rng, shape)))
        kinds = "b" if op.name == "where" and position == 0 else "fb" if op.name in {"multiply", "sum"} else "f"
        fitting = [expr for expr in self.known if expr.shape == shape and expr.dtype.kind in kinds]
        if kinds == "b" and not fitting:
            return self.put_anyway(sb.greater(self.operand(op, 1, shape), self.rng.uniform(-1, 1)))
        if not fitting or self.rng.random() < 0.1:
            chosen = self.symbol(shape) if kinds != "b" else fitting[0]
        else:
            chosen = fitting[int(len(fitting) * self.rng.random() ** 0.5)]
        low, high = op.domain[position] if position < len(op.domain) else (-np.inf, np.inf)
        value = self.known[chosen]
        if chosen.dtype.kind == "f" and (np.min(value, initial=low) < low or np.max(value, initial=high) > high):
            half = (high - low) / 2
            return self.put_anyway(self.put_anyway(self.put_anyway(sb.tanh(chosen)) * half) + (low + half))
        return chosen

    def put_anyway(self, expr: Expr) -> Expr:
        self.known[expr] = sb.evaluate(expr, self.values_below(expr))
        return expr

    def values_below(self, expr: Expr) -> dict[Expr, np.ndarray]:
        return {operand: self.known[operand] for operand in expr.inputs if operand in self.known}

    def put(self, op: Op, operands: list[Expr], params: dict) -> None:
        arrays = [self.known[operand] for operand in operands]
        if not _is_clear(op, arrays, params):
            return
        params = {**op.options, **params}
        _, dtype = op.infer([x.shape for x in operands], [x.dtype for x in operands], params)
        with np.errstate(all="ignore"):
            value = value_of(op, arrays, params, dtype, {})
        if np.all(np.isfinite(value)) and np.max(np.abs(value), initial=0) < LARGEST:
            expr = op(*operands, **params)
            self.known[expr] = value


def takes_floats(op: Op) -> bool:
    """Tell whether an op can be drawn: others are for integers alone."""
    try:
        op.dtype(*[np.dtype(float)] * len(op.vjps), **op.options)
    except DtypeError:
        return False
    return True


def _is_clear(op: Op, arrays: list[np.ndarray], params: dict) -> bool:
    """Tell whether the operands stay off the places where the op or its derivative jumps."""
    gaps = [np.abs(array - kink) for array in arrays for kink in op.kinks]
    if op.name in _COMPARED:
        gaps.append(np.abs(arrays[0] * 1.0 - arrays[1] * 1.0))
    if op.name in {"floor_divide", "fmod", "remainder"}:
        quotient = arrays[0] / arrays[1]
        gaps.append(np.abs(quotient - np.round(quotient)))
    if op.name in {"ceil", "floor", "fraction", "rint", "round", "trunc"}:
        halves = 2 * arrays[0] * 10.0 ** params.get("decimals", 0)
        gaps.append(np.abs(halves - np.round(halves)))
    if op.name in {"max", "min"}:
        flat = np.moveaxis(arrays[0], params["axes"], range(-len(params["axes"]), 0)) if params["axes"] else arrays[0]
        rows = (
            np.reshape(flat, (*flat.shape[: flat.ndim - len(params["axes"])], -1))
            if params["axes"]
            else flat[..., None]
        )
        gaps.append(np.diff(np.sort(rows, axis=-1), axis=-1))
    if op.name in {"sort", "argsort"}:
        gaps.append(np.diff(np.sort(arrays[0], axis=params.get("axes", (-1,))[0]), axis=params.get("axes", (-1,))[0]))
    if op.name == "searchsorted":
        gaps.append(np.abs(arrays[1][..., None] * 1.0 - arrays[0] * 1.0))
    return all(np.min(gap, initial=np.inf) > MARGIN for gap in gaps)
