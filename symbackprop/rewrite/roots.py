"""Powers of one value become one power before they are differentiated: ``√x·x`` is ``x^1.5``, ``(√x)²`` is ``x``.

The derivative of a root is infinite at 0. Where the root is only part of a power whose derivative is finite there, the
rules of products and of compositions multiply that infinity by zero, which is NaN; of the one power nothing is
infinite. What has a root is taken not to be negative, so that the derivative is a number where the value is NaN, as
that of ``log`` is.
"""

from __future__ import annotations

from typing import NamedTuple

from symbackprop.expr import Expr
from symbackprop.op import Op, apply, scalar_of
from symbackprop.ops import abs as absolute
from symbackprop.ops import (
    arccos,
    arccosh,
    arcsin,
    arctanh,
    cbrt,
    cos,
    cosh,
    divide,
    erf,
    erfc,
    erfcinv,
    erfinv,
    exp,
    expm1,
    log,
    log1p,
    logit,
    multiply,
    ndtr,
    ndtri,
    power,
    sigmoid,
    sin,
    sqrt,
    square,
    symbol,
    tanh,
)
from symbackprop.ops.norms import NORM, norm
from symbackprop.rewrite.engine import Rule, Strength

_EXPONENTS: dict[Op, float] = {sqrt: 0.5, square: 2.0, cbrt: 1 / 3}
_INVERSES: dict[Op, Op] = {
    cos: arccos,
    sin: arcsin,
    cosh: arccosh,
    tanh: arctanh,
    expm1: log1p,
    sigmoid: logit,
    erf: erfinv,
    erfc: erfcinv,
    ndtr: ndtri,
}
"""Functions of inverses whose derivatives are infinite somewhere."""

_MADE_OF = {*_EXPONENTS, power, multiply}
_DEEPEST = 4  # powers of powers that are looked into
_ROUNDING = 1e-12


class _Power(NamedTuple):
    """A power of a value.

    Attributes:
        base: what it is of.
        exponent: a number.
        odd: whether it has the sign of the base; None where the base is not negative.
    """

    base: Expr
    exponent: float
    odd: bool | None = True

    def raised(self, exponent: float) -> _Power:
        """Give a power of this."""
        broken = None if self.odd else self.odd
        odd = self.odd and exponent % 2 == 1 if exponent.is_integer() else broken
        return self._replace(exponent=self.exponent * exponent, odd=odd)

    def times(self, other: _Power) -> _Power:
        """Give the product with a power of the same base."""
        odd = None if self.odd is None or other.odd is None else self.odd != other.odd
        return self._replace(exponent=self.exponent + other.exponent, odd=odd)

    def build(self) -> Expr | None:
        """Write it with one power that is not whole; None where that cannot be."""
        whole = round(self.exponent)
        exponent = whole if abs(self.exponent - whole) < _ROUNDING else self.exponent
        if self.odd is None or (isinstance(exponent, int) and exponent % 2 == self.odd):
            return _raised(self.base, exponent)
        if not self.odd:
            return _raised(absolute(self.base), exponent)
        return self.base * _raised(absolute(self.base), exponent - 1) if exponent > 1 else None


def _raised(base: Expr, exponent: float) -> Expr:
    if exponent == 1:
        return base
    short = {0.5: sqrt, 2: square}.get(exponent)
    return power(base, exponent) if short is None else short(base)


def _own_exponent(expr: Expr) -> float | None:
    if expr.op in _EXPONENTS:
        return _EXPONENTS[expr.op]
    exponent = scalar_of(expr.inputs[1].node) if expr.op is power else None
    return None if exponent is None or exponent <= 0 else float(exponent)


def _power(expr: Expr, depth: int = _DEEPEST) -> tuple[_Power, bool]:
    """Give what a value is a power of, and whether one that is not whole is among those that it is made of."""
    exponent = _own_exponent(expr)
    if depth and exponent is not None:
        inner, broken = _power(expr.inputs[0], depth - 1)
        if expr.op is cbrt:
            return inner._replace(exponent=inner.exponent / 3), True
        return inner.raised(exponent), broken or not exponent.is_integer()
    if depth and expr.op is absolute:
        inner, broken = _power(expr.inputs[0], depth - 1)
        return inner._replace(odd=inner.odd and False), broken
    if depth and expr.op is multiply:
        (left, one), (right, other) = (_power(operand, depth - 1) for operand in expr.inputs)
        if left.base.number == right.base.number:
            return left.times(right), one or other
    return _Power(expr, 1.0), False


def _one_power(expr: Expr) -> Expr | None:
    """Give the one power that a product or a power of powers is, where one of them is not whole."""
    if expr.dtype.kind != "f":
        return None
    found, broken = _power(expr)
    inner = expr.inputs[0]
    again = inner.number == found.base.number and found.odd if expr.op is multiply else inner.op not in _MADE_OF
    signless = inner.op is absolute and found.exponent % 2 == 0 and found.odd is False
    if found.base.dtype != expr.dtype or not (signless or (broken and not again)):
        return None
    return found.build()


def _without_inverse(expr: Expr) -> Expr | None:
    """Give x for ``cos(arccos(x))``."""
    (inner,) = expr.inputs
    fits = inner.op is _INVERSES[expr.op] and inner.inputs[0].dtype == expr.dtype
    return inner.inputs[0] if fits else None


def _power_of_log(expr: Expr) -> Expr | None:
    """Give ``xᵃ`` for ``exp(a log(x))``."""
    (product,) = expr.inputs
    number, logarithm = product.inputs if product.op is multiply else product.inputs[::-1]
    exponent = scalar_of(number.node)
    if exponent is None:
        number, logarithm = logarithm, number
        exponent = None if product.op is divide else scalar_of(number.node)
    if not exponent or logarithm.op is not log or logarithm.inputs[0].dtype != expr.dtype:
        return None
    return _raised(logarithm.inputs[0], float(exponent if product.op is multiply else 1 / exponent))


def _length_of_sizes(expr: Expr) -> Expr | None:
    """Give ``‖x‖`` for ``‖|x|‖``."""
    (inner,) = expr.inputs
    return apply(NORM, inner.inputs[0], **expr.params) if inner.op is absolute else None


ROOTS: tuple[Rule, ...] = (
    Rule(
        name="one_power",
        equation="(√x)² = x, |x|² = x², (xᵃ)ᵇ = xᵃᵇ or |x|ᵃᵇ and xᵃxᵇ = xᵃ⁺ᵇ where a or b is not whole",
        strength=Strength.FINITE,
        roots=(square, sqrt, cbrt, power, multiply),
        rewrite=_one_power,
        examples=lambda: [
            square(sqrt(symbol("x"))),
            power(sqrt(symbol("x", "N")), 3),
            square(absolute(symbol("x", "N"))),
            power(power(symbol("x"), 0.25), 4),
            power(cbrt(symbol("x")), 3),
            sqrt(power(symbol("x"), 3)),
            symbol("x") * sqrt(symbol("x")),
            sqrt(symbol("x")) * square(symbol("x")),
            sqrt(symbol("x") * symbol("x") * symbol("x")),
            sqrt(power(symbol("x"), 6)),
            cbrt(square(symbol("x"))) * symbol("x"),
            cbrt(symbol("x")) * symbol("x") * symbol("x"),
        ],
        fits=lambda ops: absolute in ops or not _MADE_OF.isdisjoint(ops),
    ),
    Rule(
        name="function_of_inverse",
        equation="cos(arccos(x)) = x, tanh(arctanh(x)) = x, σ(logit(x)) = x …",
        strength=Strength.FINITE,
        roots=tuple(_INVERSES),
        rewrite=_without_inverse,
        examples=lambda: [function(inverse(symbol("x", "N"))) for function, inverse in _INVERSES.items()],
        fits=lambda ops: not {*_INVERSES.values()}.isdisjoint(ops),
    ),
    Rule(
        name="exp_of_logs",
        equation="exp(a log(x)) = xᵃ for a number a",
        strength=Strength.FINITE,
        roots=(exp,),
        rewrite=_power_of_log,
        examples=lambda: [exp(3 * log(symbol("x"))), exp(log(symbol("x", "N")) / 2)],
        fits=lambda ops: not {multiply, divide}.isdisjoint(ops),
    ),
    Rule(
        name="length_of_sizes",
        equation="‖|x|‖ = ‖x‖",
        strength=Strength.EXACT,
        roots=(NORM,),
        rewrite=_length_of_sizes,
        examples=lambda: [norm(absolute(symbol("x", "N")))],
        fits=lambda ops: absolute in ops,
    ),
)
