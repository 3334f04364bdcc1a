"""Differences that cancel, rewritten so that no digits are lost.

Three lists. `closed`, used before differentiation and in compiling, brings in functions whose derivatives of every
order neither cancel nor overflow. `computed`, in compiling alone, is for differences whose derivatives are right as
they are. `textbook` writes for people what `closed` brought in.
"""

from __future__ import annotations

import math

from symbackprop.expr import Expr
from symbackprop.op import CONSTANT, scalar_value
from symbackprop.ops import (
    abs,
    add,
    arcsinh,
    cos,
    cosh,
    divide,
    equal,
    erf,
    erfc,
    exp,
    expm1,
    log,
    log1p,
    logaddexp,
    mean,
    negative,
    power,
    sigmoid,
    sin,
    sinh,
    softplus,
    sqrt,
    square,
    subtract,
    symbol,
    tanh,
    where,
)
from symbackprop.ops import sum as sum_
from symbackprop.ops.elementwise import (
    BOSE,
    HYPOT1,
    ISRU,
    LOG1MEXP,
    LOGCOSH,
    SIGMOID_SLOPE,
    TANH_SLOPE,
    XLOG1PY,
    XLOGY,
)
from symbackprop.ops.layout import EXPAND_DIMS, full_like
from symbackprop.ops.reduce import MEAN, SUM, reduced
from symbackprop.rewrite.engine import Bindings, Rule, Strength, equation, stated
from symbackprop.rewrite.stable import is_sum_of_exponentials

EXACT, REAL, FINITE = Strength


def _log_of_power(expr: Expr) -> Expr | None:
    base, exponent = expr.inputs[0].inputs
    c = scalar_value(exponent)
    if c is None or expr.inputs[0].dtype != expr.dtype:
        return None
    return c * log(abs(base) if c % 2 == 0 else base)


def _is_sigmoids(expr: Expr) -> bool:
    """Tell whether this is 1 + exp(x), which other rules are for."""
    return any(scalar_value(part) == 1 for part in expr.inputs) and any(part.op is exp for part in expr.inputs)


def _log_of_exponentials(expr: Expr) -> Expr | None:
    (total,) = expr.inputs
    if total.dtype != expr.dtype or not is_sum_of_exponentials(total) or _is_sigmoids(total):
        return None
    return logaddexp(*map(log, total.inputs))


def _quotient_of_exponentials(expr: Expr) -> Expr | None:
    above, below = expr.inputs
    if expr.dtype != below.dtype or not is_sum_of_exponentials(below) or _is_sigmoids(below):
        return None
    return exp(above.inputs[0] - log(below)) if above.op is exp else above * exp(-log(below))


def _total_of_differences(expr: Expr) -> Expr | None:
    x, average = expr.inputs[0].inputs
    if average.op is EXPAND_DIMS:
        (average,) = average.inputs
    if average.op is not MEAN or average.inputs[0] is not x or average.params["axes"] != expr.params["axes"]:
        return None
    spread = expr.inputs[0].inputs[1].shape
    return full_like(expr, 0) if spread in {reduced(x.shape, axes=expr.params["axes"], keepdims=True), ()} else None


def _plain_ratio(expr: Expr) -> Expr | None:
    is_zero, zero, ratio = expr.inputs
    number, against = is_zero.inputs
    if scalar_value(zero) != 0 or scalar_value(against) != 0 or number is not ratio.inputs[0]:
        return None
    return ratio


def _negative(found: Bindings) -> bool:
    return (scalar_value(found["c"]) or 0) < 0


def _free(found: Bindings) -> bool:
    return scalar_value(found["x"]) is None


def _one_shape(found: Bindings) -> bool:
    return found["x"].shape == found["y"].shape


@stated
def closed() -> tuple[Rule, ...]:
    """Give the rules for functions that stay accurate however often they are differentiated."""
    x, y, c = symbol("x"), symbol("y"), symbol("c")
    s = sigmoid(x)
    alike = "x and y have one shape"
    return (
        equation("add_negative_number", x + c, x - (-c), EXACT, when=_negative, where="c < 0"),
        equation("sigmoid_slope_form", s * (1 - s), SIGMOID_SLOPE(x), REAL, where_summed=False),
        equation("sigmoid_slope_pair", s * sigmoid(-x), SIGMOID_SLOPE(x), REAL, where_summed=False),
        equation("sigmoid_slope_factor", (y * s) * (1 - s), y * SIGMOID_SLOPE(x), REAL, where_summed=False),
        equation("sigmoid_slope_other_factor", (y * (1 - s)) * s, y * SIGMOID_SLOPE(x), REAL, where_summed=False),
        equation("sigmoid_slope_even", SIGMOID_SLOPE(-x), SIGMOID_SLOPE(x), EXACT),
        # logarithms of differences
        equation("log1mexp", log(1 - exp(x)), LOG1MEXP(x), REAL),
        equation("log1mexp_expm1", log(negative(expm1(x))), LOG1MEXP(x), REAL),
        equation("log1mexp_log1p", log1p(negative(exp(x))), LOG1MEXP(x), REAL),
        equation("softplus_inverse", log(exp(x) - 1), x + LOG1MEXP(-x), REAL),
        equation("softplus_inverse_expm1", log(expm1(x)), x + LOG1MEXP(-x), REAL),
        equation("logsubexp", log(exp(x) - exp(y)), x + LOG1MEXP(y - x), REAL),
        equation("logsubexp_sinh", log(2 * sinh(x)), x + LOG1MEXP(-2 * x), REAL),
        # reciprocals of differences
        equation("bose_own_numerator", exp(x) / (exp(x) - 1), -BOSE(-x), REAL),
        equation("bose_own_numerator_expm1", exp(x) / expm1(x), -BOSE(-x), REAL),
        equation("bose_reciprocal", 1 / (exp(x) - 1), BOSE(x), REAL),
        equation("bose_reciprocal_expm1", 1 / expm1(x), BOSE(x), REAL),
        equation("bose", y / (exp(x) - 1), y * BOSE(x), REAL),
        equation("bose_expm1", y / expm1(x), y * BOSE(x), REAL),
        equation("bose_negative", y / (1 - exp(x)), -(y * BOSE(x)), REAL),
        equation("bose_negative_expm1", y / negative(expm1(x)), -(y * BOSE(x)), REAL),
        Rule(
            name="log_of_exponentials",
            equation="log(exp(x) + exp(y) + c) = logaddexp(log(exp(x) + exp(y)), log(c)), c > 0",
            strength=REAL,
            roots=(log,),
            rewrite=_log_of_exponentials,
            examples=lambda: [log(2 + exp(symbol("x"))), log(1 + exp(symbol("x")) + 3 * exp(symbol("y")))],
            fits=lambda ops: ops == (add,),
        ),
        Rule(
            name="quotient_of_exponentials",
            equation="exp(x)/(exp(x) + exp(y) + c) = exp(x − log(exp(x) + exp(y) + c)), c > 0",
            strength=REAL,
            roots=(divide,),
            rewrite=_quotient_of_exponentials,
            examples=lambda: [
                exp(symbol("x")) / (exp(symbol("x")) + exp(symbol("y")) + 2),
                symbol("t") / (3 + exp(symbol("x"))),
            ],
            fits=lambda ops: ops[1] is add,
        ),
        # log cosh
        equation("logcosh", log(cosh(x)), LOGCOSH(x), REAL),
        equation("logcosh_double", log(2 * cosh(x)), LOGCOSH(x) + math.log(2), REAL),
        equation("logcosh_half", log(0.5 * (2 * cosh(x))), LOGCOSH(x), REAL),
        equation("logcosh_halved", log((2 * cosh(x)) / 2), LOGCOSH(x), REAL),
        equation("logcosh_logaddexp", logaddexp(x, -x), LOGCOSH(x) + math.log(2), REAL),
        equation("logcosh_slope", log(1 - square(tanh(x))), -2 * LOGCOSH(x), REAL),
        equation("logcosh_slope_form", log(TANH_SLOPE(x)), -2 * LOGCOSH(x), REAL),
        # entropies
        equation("xlogx", x * log(x), XLOGY(x, x), REAL, when=_free, where="x is no number"),
        equation("xlogx_factor", (y * x) * log(x), y * XLOGY(x, x), REAL, when=_free, where="x is no number"),
        equation("xlogx_ratio", x * log(x / y), XLOGY(x, x / y), REAL, when=_free, where="x is no number"),
        equation("xlog1py", (1 - x) * log(1 - x), XLOG1PY(1 - x, -x), REAL),
        equation("xlog1py_log1p", (1 - x) * log1p(negative(x)), XLOG1PY(1 - x, -x), REAL),
        # logarithms of powers
        equation("log_of_square", log(square(x)), 2 * log(abs(x)), REAL),
        Rule(
            name="log_of_power",
            equation="log(x^c) = c·log(x), and c·log|x| where c is even",
            strength=REAL,
            roots=(log,),
            rewrite=_log_of_power,
            examples=lambda: [log(power(symbol("x", "N"), 3)), log(power(-symbol("x", "N"), 4))],
            fits=lambda ops: ops == (power,),
        ),
        equation("log_of_root", log(sqrt(x)), 0.5 * log(x), REAL),
        # products of exponentials, which overflow apart
        equation("exp_product", exp(x) * exp(y), exp(x + y), REAL, when=_one_shape, where=alike),
        equation("exp_quotient", exp(x) / exp(y), exp(x - y), REAL, when=_one_shape, where=alike),
        equation("exp_reciprocal", 1 / exp(x), exp(-x), REAL),
        equation("exp_divisor", y / exp(x), y * exp(-x), REAL),
        equation("exp_square", square(exp(x)), exp(2 * x), REAL),
        equation("exp_power", power(exp(x), c), exp(c * x), REAL),
        equation("exp_root", sqrt(exp(x)), exp(0.5 * x), REAL),
        # roots of squares
        equation("hypot1", sqrt(1 + square(x)), HYPOT1(x), REAL),
        equation("isru", x / HYPOT1(x), ISRU(x), REAL),
        equation("arcsinh_hypot1", log(x + HYPOT1(x)), arcsinh(x), REAL),
    )


@stated
def computed() -> tuple[Rule, ...]:
    """Give the rules for differences that cancel, but whose derivatives do not.

    Those for the slopes of sigmoid and tanh cost an exponential more, a third of a training step; the inner derivatives
    of networks, which matrix products add up, do without.
    """
    x = symbol("x")
    s = sigmoid(x)
    return (
        equation("one_minus_sigmoid", 1 - s, sigmoid(-x), REAL, where_summed=False),
        equation("sigmoid_minus_one", s - 1, -sigmoid(-x), REAL, where_summed=False),
        equation("double_sigmoid_minus_one", 2 * s - 1, tanh(0.5 * x), REAL),
        equation("one_minus_double_sigmoid", 1 - 2 * s, tanh(-0.5 * x), REAL),
        equation("sigmoid_difference", s - sigmoid(-x), tanh(0.5 * x), REAL),
        equation("one_minus_tanh", 1 - tanh(x), 2 * sigmoid(-2 * x), REAL, where_summed=False),
        equation("tanh_plus_one", 1 + tanh(x), 2 * sigmoid(2 * x), REAL, where_summed=False),
        equation("tanh_minus_one", tanh(x) - 1, -2 * sigmoid(-2 * x), REAL, where_summed=False),
        equation("tanh_slope", 1 - square(tanh(x)), TANH_SLOPE(x), REAL, where_summed=False),
        equation("tanh_slope_negative", square(tanh(x)) - 1, -TANH_SLOPE(x), REAL, where_summed=False),
        equation("expm1", exp(x) - 1, expm1(x), REAL),
        equation("expm1_negative", 1 - exp(x), -expm1(x), REAL),
        equation("log1p", log(1 + x), log1p(x), REAL),
        equation("log1p_negative", log(1 - x), log1p(-x), REAL),
        equation("softplus_of_opposite", softplus(x) - x, softplus(-x), REAL),
        equation("softplus_of_opposite_negative", x - softplus(x), -softplus(-x), REAL),
        equation("one_minus_erf", 1 - erf(x), erfc(x), REAL),
        equation("one_plus_erf", 1 + erf(x), erfc(-x), REAL),
        equation("one_minus_cos", 1 - cos(x), 2 * square(sin(0.5 * x)), REAL),
        equation("cos_minus_one", cos(x) - 1, -2 * square(sin(0.5 * x)), REAL),
        equation("cosh_minus_one", cosh(x) - 1, 2 * square(sinh(0.5 * x)), REAL),
        equation("root_minus_one", sqrt(1 + x) - 1, expm1(0.5 * log1p(x)), REAL),
        equation("hypot1_minus_one", HYPOT1(x) - 1, expm1(0.5 * log1p(square(x))), REAL),
        equation("hypot1_minus", HYPOT1(x) - x, exp(-arcsinh(x)), REAL),
        equation("hypot1_plus", HYPOT1(x) + x, exp(arcsinh(x)), REAL),
        equation("isru_minus_one", ISRU(x) - 1, -(exp(-arcsinh(x)) / HYPOT1(x)), REAL),
        equation("isru_plus_one", ISRU(x) + 1, exp(arcsinh(x)) / HYPOT1(x), REAL),
        equation("one_minus_square", 1 - square(x), (1 - x) * (1 + x), REAL, where_summed=False),
    )


@stated
def textbook() -> tuple[Rule, ...]:
    """Give the rules that write in the common functions what was brought in for the sake of accuracy."""
    x, y = symbol("x"), symbol("y")
    return (
        equation("textbook_sigmoid_slope", SIGMOID_SLOPE(x), sigmoid(x) * (1 - sigmoid(x)), REAL),
        equation("textbook_tanh_slope", TANH_SLOPE(x), 1 - square(tanh(x)), REAL),
        equation("textbook_log1mexp", LOG1MEXP(x), log(1 - exp(x)), REAL),
        equation("textbook_bose", BOSE(x), 1 / (exp(x) - 1), REAL),
        equation("textbook_logcosh", LOGCOSH(x), log(cosh(x)), REAL),
        equation("textbook_xlogy", XLOGY(x, y), x * log(y), FINITE),
        equation("textbook_xlog1py", XLOG1PY(x, y), x * log(1 + y), FINITE),
        Rule(
            name="mean_of_differences",
            equation="mean(x − mean(x)) = 0, sum(x − mean(x)) = 0",
            strength=FINITE,
            roots=(MEAN, SUM),
            rewrite=_total_of_differences,
            examples=lambda: [
                mean(symbol("x", "N") - mean(symbol("x", "N"))),
                sum_(symbol("X", ("N", "D")) - mean(symbol("X", ("N", "D")), axis=1, keepdims=True), axis=1),
            ],
            fits=lambda ops: ops == (subtract,),
        ),
        equation("textbook_isru", ISRU(x), x / sqrt(1 + square(x)), REAL),
        Rule(
            name="textbook_ratio",
            equation="where(x = 0, 0, x/y) = x/y",
            strength=FINITE,
            roots=(where,),
            rewrite=_plain_ratio,
            examples=lambda: [where(equal(symbol("x"), 0), 0, symbol("x") / symbol("y"))],
            fits=lambda ops: ops == (equal, CONSTANT, divide),
        ),
        equation("textbook_hypot1", HYPOT1(x), sqrt(1 + square(x)), REAL),
    )
