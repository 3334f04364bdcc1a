"""Rules that make formulas shorter to read, though not always cheaper to compute."""

from __future__ import annotations

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.op import CONSTANT, SIZE, apply, scalar_value
from symbackprop.ops import (
    add,
    broadcast_to,
    diag,
    divide,
    greater,
    greater_equal,
    less,
    less_equal,
    matmul,
    multiply,
    negative,
    squeeze,
    subtract,
    symbol,
    trace,
)
from symbackprop.ops import mean as mean_
from symbackprop.ops import sum as sum_
from symbackprop.ops.arrange import ROLL, TRIL, TRIU
from symbackprop.ops.contract import DIAG, DIAGONAL, TRACE
from symbackprop.ops.index import SLICE, UNSLICE
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.leaf import size_of
from symbackprop.ops.reduce import MEAN, SUM
from symbackprop.rewrite.engine import Rule, Strength, one_arithmetic

REAL = Strength.REAL
_LINEAR = {matmul, multiply, divide, SUM, MEAN, TRANSPOSE, EXPAND_DIMS, SQUEEZE}
_MOVED = (RESHAPE, ROLL, SLICE, UNSLICE, TRIL, TRIU)
_LINEAR_ALONE = (SUM, MEAN, TRANSPOSE, EXPAND_DIMS, SQUEEZE, DIAG, DIAGONAL, TRACE, *_MOVED)
_DEEPEST = 8  # how far down a sign is carried: formulas are written to be read


def _factored(expr: Expr, position: int) -> Expr | None:
    """Draw a scalar factor, divisor or sign of one operand out of an op that is linear in it."""
    operand = expr.inputs[position]
    if not one_arithmetic([expr.dtype, operand.dtype]):
        return None

    def rest(part: Expr) -> Expr:
        operands = list(expr.inputs)
        operands[position] = broadcast_to(part, operand.shape)
        return apply(expr.op, *operands, **expr.params)

    if operand.op is negative:
        return -rest(operand.inputs[0])
    if operand.op is divide and not operand.inputs[1].shape:
        return rest(operand.inputs[0]) / operand.inputs[1]
    if operand.op is multiply and not operand.inputs[0].shape and operand.inputs[1].shape:
        return operand.inputs[0] * rest(operand.inputs[1])
    return None


def _linear(expr: Expr) -> Expr | None:
    for position in range(len(expr.inputs)):
        found = _factored(expr, position)
        if found is not None:
            return found
    return None


def _turned(expr: Expr, depth: int = _DEEPEST) -> Expr | None:
    """Give the negative of an expression by turning a difference in it round, or None where it has none."""
    if expr.dtype.kind != "f":  # the difference of small integers wraps around, and its opposite elsewhere
        return None
    if expr.op is subtract:
        return None if scalar_value(expr.inputs[0]) is not None else expr.inputs[1] - expr.inputs[0]
    if depth > 0 and expr.op is add:
        terms = [_turned(term, depth - 1) for term in expr.inputs]
        return None if terms[0] is None or terms[1] is None else terms[0] + terms[1]
    return None if depth == 0 or expr.op not in _LINEAR else _turned_factor(expr, depth)


def _turned_factor(expr: Expr, depth: int) -> Expr | None:
    operands = list(expr.inputs)
    if expr.op in {matmul, multiply} and _differences(operands[0]) & _differences(operands[1]):
        return None  # dᵀd and ddᵀ are kept: one of the two would be turned
    for position in range(1 if expr.op is divide else len(operands)):
        turned = _turned(operands[position], depth - 1)
        if turned is not None:
            operands[position] = turned
            return apply(expr.op, *operands, **expr.params)
    return None


def _differences(expr: Expr) -> set[int]:
    """Give the differences that are factors of an expression."""
    found: set[int] = set()
    stack = [expr]
    for _ in range(4 * _DEEPEST):
        if not stack:
            break
        part = stack.pop()
        if part.op is subtract:
            found.add(part.number)
        elif part.op in _LINEAR:
            stack += part.inputs
    return found


def _absorb_sign(expr: Expr) -> Expr | None:
    if expr.op is negative:
        return _turned(expr.inputs[0])
    factor, x = expr.inputs
    number = scalar_value(factor)
    turned = _turned(x) if number is not None and number < 0 else None
    return None if turned is None or number is None else -number * turned


def _sum_of_copies(expr: Expr) -> Expr | None:
    """Sum copies by counting them."""
    (x,), axes = expr.inputs, expr.params["axes"]
    if x.op is not BROADCAST_TO or expr.dtype.kind != "f":
        return None
    (one,) = x.inputs
    copied = {axis for axis in range(-x.ndim, 0) if axis < -one.ndim or one.shape[axis] != x.shape[axis]}
    if not copied.issuperset(axes):
        return None
    count = dims.product(x.shape[axis] for axis in axes)
    kept = one if expr.params["keepdims"] else squeeze(one, [axis for axis in axes if axis >= -one.ndim])
    return broadcast_to(size_of(count, expr.dtype, graph=expr.graph) * kept, expr.shape)


def _sum_over_size(expr: Expr) -> Expr | None:
    """Write a sum divided by its count as a mean."""
    above, below = expr.inputs
    scale = None
    if above.op is multiply and above.inputs[0].op is CONSTANT and not above.inputs[0].shape:
        scale, above = above.inputs
    if above.op is not SUM or below.shape:
        return None
    x = above.inputs[0]
    count = dims.product(x.shape[axis] for axis in above.params["axes"])
    if below.op is not SIZE or below.params["size"] != count:
        return None
    average = apply(MEAN, x, **above.params)
    return average if scale is None else scale * average


_FLIPPED = {less: greater, less_equal: greater_equal}


def _zero_right(expr: Expr) -> Expr | None:
    """Compare with the number that people compare with: 0 < 1 - x is x < 1, and 0 < x is x > 0."""
    zero, x = expr.inputs
    if scalar_value(zero) != 0 or x.dtype.kind != "f":
        return None
    return expr.op(x.inputs[1], x.inputs[0]) if x.op is subtract else _FLIPPED[expr.op](x, zero)


def _scaled() -> Expr:
    return symbol("s") * symbol("A", ("N", "D"))


def _error() -> Expr:
    return symbol("t", "N") - symbol("y", "N")


TIDY: tuple[Rule, ...] = (
    Rule(
        name="sign_into_difference",
        equation="−f(t − y) = f(y − t), −2·f(t − y) = 2·f(y − t) for f linear",
        strength=REAL,
        roots=(negative, multiply),
        rewrite=_absorb_sign,
        examples=lambda: [
            -(symbol("X", ("D", "N")) @ _error()),
            -2.0 * (symbol("m", "N") * _error()),
            -(sum_(_error()) / symbol("s")),
        ],
    ),
    Rule(
        name="scalar_out",
        equation="f(s·x) = s·f(x), f(x/s) = f(x)/s, f(−x) = −f(x) for f linear",
        strength=REAL,
        roots=(matmul, *_LINEAR_ALONE),
        rewrite=_linear,
        examples=lambda: [
            sum_(_scaled()),
            mean_(-symbol("x", "N")),
            _scaled() @ symbol("x", "D"),
            symbol("x", "N") @ (symbol("A", ("N", "D")) / symbol("s")),
            _scaled().T,
            diag(-symbol("x", "N")),
            trace(symbol("s") * symbol("A", ("N", "N"))),
        ],
    ),
    Rule(
        name="zero_right",
        equation="[0 < x − y] = [y < x], [0 < x] = [x > 0], and with ≤",
        strength=REAL,
        roots=(less, less_equal),
        rewrite=_zero_right,
        examples=lambda: [less(0, 1 - symbol("x", "N")), less_equal(0, symbol("x"))],
        fits=lambda ops: ops[0] is CONSTANT,
    ),
    Rule(
        name="count_copies",
        equation="sum(broadcast(x)) = n·x over the axes of copies",
        strength=REAL,
        roots=(SUM,),
        rewrite=_sum_of_copies,
        examples=lambda: [
            sum_(broadcast_to(symbol("s"), "N")),
            sum_(broadcast_to(symbol("x", ("N", 1)), ("D", "N", 3)), axis=(0, 2)),
        ],
        fits=lambda ops: ops[0] is BROADCAST_TO,
    ),
    Rule(
        name="mean",
        equation="sum(x)/n = mean(x)",
        strength=REAL,
        roots=(divide,),
        rewrite=_sum_over_size,
        examples=lambda: [sum_(symbol("x", "N")) / size_of(symbol("x", "N").size)],
    ),
)
