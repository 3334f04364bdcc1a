"""Formulas as people write them, rewritten so that extreme values give finite, right results."""

from __future__ import annotations

from collections.abc import Sequence

from symbackprop.expr import Expr
from symbackprop.op import apply
from symbackprop.ops import (
    divide,
    exp,
    log,
    log1p,
    log_softmax,
    multiply,
    sigmoid,
    softmax,
    softplus,
    square,
    symbol,
)
from symbackprop.ops import sum as sum_
from symbackprop.ops.layout import EXPAND_DIMS
from symbackprop.ops.reduce import LOG_SOFTMAX, LOGSUMEXP, SOFTMAX, SUM
from symbackprop.rewrite.engine import Rule, Strength, equation, stated

REAL = Strength.REAL


def _total_of_exp(expr: Expr, numerator: Expr) -> tuple[int, ...] | None:
    """Give the axes if an expression is the sum of the numerator's exponentials, spread to divide them."""
    if expr.op is EXPAND_DIMS and expr.inputs[0].op is SUM:
        total, axes = expr.inputs[0], expr.params["axes"]
        kept = total.params["axes"] == axes and not total.params["keepdims"]
    else:
        total, kept = expr, expr.op is SUM and (expr.params["keepdims"] or expr.ndim == 0)
    if not kept or total.inputs[0] is not numerator:
        return None
    axes = total.params["axes"]
    return tuple(axes) if axes else None


def _quotient_of_exp(expr: Expr) -> Expr | None:
    above, below = expr.inputs
    factors = above.inputs if above.op is multiply else (above,)
    for position, factor in enumerate(factors):
        axes = _total_of_exp(below, factor) if factor.op is exp else None
        if axes is not None:
            quotient = apply(SOFTMAX, factor.inputs[0], axes=axes)
            return quotient * factors[1 - position] if len(factors) > 1 else quotient
    return None


def _factor_of_quotient(expr: Expr) -> Expr | None:
    """Join exp(z) with the quotient that divides by its sum."""
    for quotient, factor in (expr.inputs, expr.inputs[::-1]):
        if quotient.op is divide and factor.op is exp:
            axes = _total_of_exp(quotient.inputs[1], factor)
            if axes is not None:
                return quotient.inputs[0] * apply(SOFTMAX, factor.inputs[0], axes=axes)
    return None


def _divisor_out_of_sum(expr: Expr) -> Expr | None:
    """Divide after the sum by what is the same for all its terms."""
    (quotient,) = expr.inputs
    axes, keepdims = expr.params["axes"], expr.params["keepdims"]
    if quotient.op is not divide or not keepdims:
        return None
    above, below = quotient.inputs
    if above.shape != quotient.shape or below.ndim != above.ndim or any(below.shape[axis] != 1 for axis in axes):
        return None
    return apply(SUM, above, axes=axes, keepdims=True) / below


def _log_of(expr: Expr) -> Expr | None:
    (x,) = expr.inputs
    if x.op is SOFTMAX:
        return apply(LOG_SOFTMAX, x.inputs[0], axes=x.params["axes"])
    if x.op is SUM and x.inputs[0].op is exp and x.params["axes"]:
        return apply(LOGSUMEXP, x.inputs[0].inputs[0], axes=x.params["axes"], keepdims=x.params["keepdims"])
    return None


def _exp_minus_logsumexp(expr: Expr) -> Expr | None:
    (x,) = expr.inputs
    return apply(SOFTMAX, x.inputs[0], axes=x.params["axes"]) if x.op is LOG_SOFTMAX else None


def _matrix() -> Expr:
    return symbol("Z", ("N", "K"))


def _softmaxes() -> Sequence[Expr]:
    e = exp(_matrix())
    total = sum_(e, axis=1)
    return [e / sum_(e, axis=1, keepdims=True), e / total[:, None], (e * symbol("g", ("N", "K"))) / total[:, None]]


def _equations() -> tuple[Rule, ...]:
    x, y = symbol("x"), symbol("y")
    return (
        equation("softplus", log(1 + exp(x)), softplus(x), REAL),
        equation("softplus_log1p", log1p(exp(x)), softplus(x), REAL),
        equation("softplus_of_negative", log(1 + exp(-x)), softplus(-x), REAL),
        equation("sigmoid_slope", exp(-x) / square(1 + exp(-x)), sigmoid(x) * (1 - sigmoid(x)), REAL),
        equation("sigmoid_slope_mirrored", exp(x) / square(1 + exp(x)), sigmoid(x) * (1 - sigmoid(x)), REAL),
        equation("sigmoid", 1 / (1 + exp(-x)), sigmoid(x), REAL),
        equation("sigmoid_mirrored", exp(x) / (1 + exp(x)), sigmoid(x), REAL),
        equation("sigmoid_numerator", y / (1 + exp(-x)), y * sigmoid(x), REAL),
        equation("sigmoid_factor", (y * exp(x)) / (1 + exp(x)), y * sigmoid(x), REAL),
        equation("sigmoid_quotient_factor", (y / (1 + exp(x))) * exp(x), y * sigmoid(x), REAL),
        equation("sigmoid_square_tail", square(sigmoid(x)) * exp(-x), sigmoid(x) * (1 - sigmoid(x)), REAL),
        equation("sigmoid_tail", sigmoid(x) * exp(-x), 1 - sigmoid(x), REAL),
        equation("sigmoid_tail_factor", (y * sigmoid(x)) * exp(-x), y * (1 - sigmoid(x)), REAL),
        equation("log_sigmoid", log(sigmoid(x)), -softplus(-x), REAL),
        equation("log_one_minus_sigmoid", log(1 - sigmoid(x)), -softplus(x), REAL),
    )


def _procedures() -> tuple[Rule, ...]:
    return (
        Rule(
            name="softmax",
            equation="exp(z)/sum(exp(z)) = softmax(z)",
            strength=REAL,
            roots=(divide,),
            rewrite=_quotient_of_exp,
            examples=_softmaxes,
        ),
        Rule(
            name="softmax_factor",
            equation="(x/sum(exp(z))) ⊙ exp(z) = x ⊙ softmax(z)",
            strength=REAL,
            roots=(multiply,),
            rewrite=_factor_of_quotient,
            examples=lambda: [(symbol("g", ("N", "K")) / sum_(exp(_matrix()), axis=1)[:, None]) * exp(_matrix())],
        ),
        Rule(
            name="divisor_out_of_sum",
            equation="sum(x/s, keepdims) = sum(x, keepdims)/s where s is constant along the sum",
            strength=REAL,
            roots=(SUM,),
            rewrite=_divisor_out_of_sum,
            examples=lambda: [sum_(_matrix() / symbol("s", ("N", 1)), axis=1, keepdims=True)],
        ),
        Rule(
            name="log_softmax",
            equation="log(softmax(z)) = log_softmax(z), log(sum(exp(z))) = logsumexp(z)",
            strength=REAL,
            roots=(log,),
            rewrite=_log_of,
            examples=lambda: [log(softmax(_matrix())), log(sum_(exp(_matrix()), axis=1))],
        ),
        Rule(
            name="exp_log_softmax",
            equation="exp(log_softmax(z)) = softmax(z)",
            strength=REAL,
            roots=(exp,),
            rewrite=_exp_minus_logsumexp,
            examples=lambda: [exp(log_softmax(_matrix()))],
        ),
    )


@stated
def stable() -> tuple[Rule, ...]:
    """Give the rules that replace what overflows."""
    return _procedures() + _equations()
