"""Powers of one value become one power before they are differentiated: ``√x·x`` is ``x^1.5``, ``(√x)²`` is ``x``.

The derivative of a root is infinite at 0. Where the root is only part of a power whose derivative is finite there, the
rules of products and of compositions multiply that infinity by zero, which is NaN; of the one power nothing is
infinite. What has a root is taken not to be negative, so that the derivative is a number where the value is NaN, as
that of ``log`` is.
"""

from __future__ import annotations

from symbackprop.expr import Expr
from symbackprop.op import scalar_of
from symbackprop.ops import cbrt, multiply, power, sqrt, square, symbol
from symbackprop.rewrite.engine import Rule, Strength


def _base(expr: Expr) -> tuple[Expr, float]:
    """Give what a power is of, and its exponent."""
    if expr.op is sqrt:
        return expr.inputs[0], 0.5
    if expr.op is square:
        return expr.inputs[0], 2.0
    exponent = scalar_of(expr.inputs[1].node) if expr.op is power else None
    return (expr, 1.0) if exponent is None else (expr.inputs[0], float(exponent))


def _raised(base: Expr, exponent: float) -> Expr:
    if exponent == 1:
        return base
    short = {0.5: sqrt, 2.0: square}.get(exponent)
    return power(base, int(exponent) if exponent.is_integer() else exponent) if short is None else short(base)


def _one_power(expr: Expr) -> Expr | None:
    """Give the power, if it is of something without a number of its own in the exponent that is not whole."""
    if expr.dtype.kind != "f":
        return None
    if expr.op is multiply:
        (base, first), (other, second) = map(_base, expr.inputs)
        fits = base is other or base.number == other.number
        exponent = first + second
    else:
        inner, second = _base(expr)
        base, first = _base(inner)
        exponent = first * second
        if inner.op is cbrt and second == 3:
            return inner.inputs[0] if inner.inputs[0].dtype == expr.dtype else None
        fits = first % 2 != 0 and first != 1  # of an even power the root is not that of the base
    if not fits or min(first, second) <= 0 or (first.is_integer() and second.is_integer()):
        return None
    return _raised(base, exponent) if base.dtype == expr.dtype else None


ROOTS: tuple[Rule, ...] = (
    Rule(
        name="one_power",
        equation="(√x)² = x, (xᵃ)ᵇ = xᵃᵇ and xᵃxᵇ = xᵃ⁺ᵇ where a or b is not whole, and x not negative",
        strength=Strength.FINITE,
        roots=(square, sqrt, power, multiply),
        rewrite=_one_power,
        examples=lambda: [
            square(sqrt(symbol("x"))),
            power(sqrt(symbol("x", "N")), 3),
            power(power(symbol("x"), 0.25), 4),
            power(cbrt(symbol("x")), 3),
            sqrt(power(symbol("x"), 3)),
            symbol("x") * sqrt(symbol("x")),
            sqrt(symbol("x")) * square(symbol("x")),
        ],
        fits=lambda ops: not {sqrt, square, power, cbrt}.isdisjoint(ops),
    ),
)
