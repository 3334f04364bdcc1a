"""Rules for sums of the elements up to each one."""

from __future__ import annotations

from symbackprop.dims import Shape
from symbackprop.expr import Expr
from symbackprop.op import apply
from symbackprop.ops import cumsum, expand_dims, size_of, sum, symbol
from symbackprop.ops.elementwise import astype
from symbackprop.ops.index import SLICE, Run
from symbackprop.ops.layout import BROADCAST_TO, broadcast_to
from symbackprop.ops.leaf import arange
from symbackprop.ops.reduce import SUM
from symbackprop.ops.scan import CUMSUM
from symbackprop.rewrite.engine import Rule, Strength


def _is_even(x: Expr, axis: int) -> bool:
    """Tell whether an expression repeats one value along an axis, counted from the right."""
    if x.op is not BROADCAST_TO:
        return False
    (inner,) = x.inputs
    return inner.ndim < -axis or (inner.shape[axis] == 1 != x.shape[axis])


def _left(shape: Shape, axis: int, like: Expr) -> Expr:
    """Give how many elements there are from each one on, along an axis."""
    size = shape[axis]
    counts = size_of(size, int, graph=like.graph) - arange(size, graph=like.graph)
    return astype(expand_dims(counts, range(1, -axis)) if axis < -1 else counts, like.dtype)


def _sums_of_equals(expr: Expr) -> Expr | None:
    """Multiply in place of summing equals from the other end."""
    (scan,) = expr.inputs
    runs = expr.params["runs"]
    (axis,) = scan.params["axes"]
    (x,) = scan.inputs
    size = x.shape[axis]
    turned = [Run(0, length, 1) for length in scan.shape[scan.ndim - len(runs) :]]
    if -axis <= len(runs):
        turned[axis] = Run(size - 1, size, -1)
    if tuple(turned) != runs or -axis > len(runs) or not _is_even(x, axis) or x.dtype.kind != "f":
        return None
    return x * _left(x.shape, axis, x)


def _total_of_sums(expr: Expr) -> Expr | None:
    """Count how often each element is summed."""
    (scan,) = expr.inputs
    (x,) = scan.inputs
    (axis,) = scan.params["axes"]
    if axis not in expr.params["axes"] or x.dtype.kind != "f":
        return None
    return apply(SUM, x * _left(x.shape, axis, x), **expr.params)


SCANS = (
    Rule(
        name="sums_of_equals",
        equation="cumsum(broadcast(x))[::-1] = x·(n − arange(n))",
        strength=Strength.REAL,
        roots=(SLICE,),
        rewrite=_sums_of_equals,
        examples=lambda: [
            cumsum(broadcast_to(symbol("s"), ("N",)))[::-1],
            cumsum(broadcast_to(symbol("x", ("D",)), ("N", "D")), axis=0)[::-1],
        ],
        fits=lambda ops: ops == (CUMSUM,),
    ),
    Rule(
        name="total_of_sums",
        equation="sum(cumsum(x)) = sum((n − arange(n)) ⊙ x)",
        strength=Strength.REAL,
        roots=(SUM,),
        rewrite=_total_of_sums,
        examples=lambda: [
            sum(cumsum(symbol("x", "N"))),
            sum(cumsum(symbol("X", ("N", "D")), axis=0), axis=0, keepdims=True),
            sum(cumsum(symbol("X", ("N", "D")), axis=1)),
        ],
        fits=lambda ops: ops == (CUMSUM,),
    ),
)
