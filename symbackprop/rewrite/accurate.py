"""Differences that cancel, rewritten so that no digits are lost.

Three lists. `closed`, used before differentiation and in compiling, brings in functions whose derivatives of every
order neither cancel nor overflow. `computed`, in compiling alone, is for differences whose derivatives are right as
they are. `textbook` writes for people what `closed` brought in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from symbackprop.dims import Shape
from symbackprop.expr import Expr
from symbackprop.graph import Node
from symbackprop.op import CONSTANT, Op, apply, literal, scalar_of, scalar_value
from symbackprop.ops import (
    abs,
    add,
    arcsinh,
    cos,
    cosh,
    divide,
    erf,
    erfc,
    exp,
    expm1,
    log,
    log1p,
    log_softmax,
    logaddexp,
    mean,
    multiply,
    ndtr,
    negative,
    power,
    sigmoid,
    sin,
    sinh,
    softmax,
    softplus,
    sqrt,
    square,
    subtract,
    symbol,
    tanh,
)
from symbackprop.ops import sum as sum_
from symbackprop.ops.accurate import (
    BOSE,
    HYPOT1,
    ISRU,
    LOG1MEXP,
    LOGCOSH,
    SIGMOID_ENTROPY,
    SIGMOID_SLOPE,
    TANH_SLOPE,
    XLOGX,
)
from symbackprop.ops.determinants import (
    COFACTORS,
    COFACTORS_ALONG,
    cofactors_along_by_inverse,
    cofactors_by_inverse,
)
from symbackprop.ops.elementwise import GAP, RATIO
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, broadcast_to, full_like
from symbackprop.ops.norms import UNIT
from symbackprop.ops.reduce import CENTRED, LOG_SOFTMAX, MEAN, SOFTMAX, SOFTMAX_CENTRED, SUM, reduced, spread
from symbackprop.ops.special import GAUSS, NORMAL_HAZARD, NORMAL_TAIL, xlog1py, xlogy
from symbackprop.rewrite.engine import Rule, Strength, equation, stated
from symbackprop.rewrite.stable import is_sum_of_exponentials

EXACT, REAL, FINITE = Strength
_DENSITY = 1 / math.sqrt(2 * math.pi)  # of the standard normal distribution at 0
_DEEPEST = 6  # how far down a sum is looked into for what its elements have in common
_MOST_FACTORS = 16  # that a product is taken apart into


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


# --- averages with the weights of a softmax -----------------------------------------------------------------------


def _factors(expr: Expr) -> tuple[float, Counter[tuple[int, bool]]]:
    """Give the number in a product and its other factors, each with whether it divides."""
    number, found, waiting = 1.0, Counter[tuple[int, bool]](), [expr]
    for _ in range(_MOST_FACTORS):
        if not waiting:
            break
        part = waiting.pop()
        value = scalar_value(part)
        if value is not None:
            number *= value
        elif part.op is negative:
            number = -number
            waiting.append(part.inputs[0])
        elif part.op is multiply:
            waiting += part.inputs
        elif part.op is divide:
            waiting.append(part.inputs[0])
            found[part.inputs[1].number, True] += 1
        elif part.op is BROADCAST_TO:
            waiting.append(part.inputs[0])
        else:
            found[part.number, False] += 1
    found.update((part.number, False) for part in waiting)
    return number, found


def _total(expr: Expr) -> Expr | None:
    """Give the sum that an expression spreads along what was summed."""
    total = expr.inputs[0] if expr.op is EXPAND_DIMS else expr
    if total.op is not SUM:
        return None
    kept = reduced(total.inputs[0].shape, axes=total.params["axes"], keepdims=True)
    return total if expr.shape in {kept, ()} else None


def _is_softmax_along(p: Expr, total: Expr) -> bool:
    """Tell whether an expression is a softmax along the axes that a sum goes over."""
    axes, summed = total.params["axes"], total.inputs[0].shape
    fits = p.op is SOFTMAX and p.dtype == total.dtype and set(p.params["axes"]) == set(axes)
    return fits and all(p.shape[axis] == summed[axis] for axis in axes)


def _is_even(x: Expr, axes: Sequence[int]) -> bool:
    """Tell whether all elements along the axes are surely equal."""
    if x.op is BROADCAST_TO and _is_even(x.inputs[0], axes):
        return True
    if x.op is CONSTANT and x.shape:
        array = x.params["value"].array
        within = tuple(axis for axis in axes if -axis <= array.ndim)
        return bool((array.min(axis=within) == array.max(axis=within)).all()) if array.size else True
    return all(-axis > x.ndim or x.shape[axis] == 1 for axis in axes)


def _added(x: Expr, axes: tuple[int, ...]) -> Sequence[int]:
    """Give the positions of the operands whose parts that are even make even parts of x."""
    if x.op in {add, subtract}:
        return 0, 1
    if x.op in {multiply, divide}:
        positions = (0, 1) if x.op is multiply else (0,)
        return [position for position in positions if _is_even(x.inputs[1 - position], axes)][:1]
    return (0,) if x.op in {negative, BROADCAST_TO} else ()


def _uneven(x: Expr, axes: tuple[int, ...], depth: int = _DEEPEST) -> Expr | None:
    """Leave out of a sum what is the same for all elements along the axes; None if that is all of it."""
    if _is_even(x, axes):
        return None
    if not depth:
        return x
    if x.op is LOG_SOFTMAX and x.params["axes"] == axes:
        return _uneven(x.inputs[0], axes, depth - 1)
    added = _added(x, axes)
    parts = [_uneven(part, axes, depth - 1) if at in added else part for at, part in enumerate(x.inputs)]
    if added and all(parts[at] is None for at in added):
        return None
    return x if parts == list(x.inputs) else apply(x.op, *(0 if part is None else part for part in parts), **x.params)


def _less_average(x: Expr, p: Expr, shape: Shape) -> Expr | None:
    """Give x less its average with the weights of a softmax; None where x is the same along the axes."""
    uneven = _uneven(x, p.params["axes"])
    if uneven is None:
        return None
    return broadcast_to(apply(SOFTMAX_CENTRED, uneven, *p.inputs, **p.params), shape)


def _softmax_slope(expr: Expr) -> Expr | None:
    for x, other in (expr.inputs, expr.inputs[::-1]):
        total = _total(other)
        if total is None or total.inputs[0].shape != expr.shape or x.dtype != expr.dtype:
            continue
        number, factors = _factors(total.inputs[0])
        for p in [Expr(expr.graph, factor) for factor, divides in factors if not divides]:
            if _is_softmax_along(p, total) and _factors(x) == (number, factors - Counter({(p.number, False): 1})):
                centred = _less_average(x, p, expr.shape)
                if centred is None:
                    return full_like(expr, 0)
                return centred if x is expr.inputs[0] else -centred
    return None


def _has_factor(expr: Expr, position: int, op: Op) -> bool:
    """Tell whether an op makes one of the operands of an operand; most products have none, and cost nothing."""
    nodes = expr.graph.nodes
    return any(nodes[factor].op is op for factor in nodes[expr.node.inputs[position]].inputs)


def _share(expr: Expr) -> tuple[Expr, Expr | None] | None:
    """Give p, and x less its average, where an expression is p ⊙ x − p ⊙ sum(p ⊙ x)."""
    if not _has_factor(expr, 1, SOFTMAX):
        return None
    product, share = expr.inputs
    for p, other in (share.inputs, share.inputs[::-1]):
        total = _total(other) if p.op is SOFTMAX else None
        if total is None or total.inputs[0] is not product or product.shape != expr.shape:
            continue
        number, factors = _factors(product)
        if _is_softmax_along(p, total) and factors[p.number, False]:
            factors[p.number, False] -= 1
            x: Expr = literal(number, p.dtype, graph=p.graph)
            for factor, divides in factors.elements():
                part = Expr(expr.graph, factor)
                x = x / part if divides else x * part
            return p, _less_average(x, p, expr.shape)
    return None


def _of_softplus(rule: Rule) -> Rule:
    """Try a rule only at sums of multiples of softplus."""

    def rewrite(expr: Expr) -> Expr | None:
        return rule.rewrite(expr) if all(_has_factor(expr, at, softplus) for at in (0, 1)) else None

    return replace(rule, rewrite=rewrite)


def _share_of_even(expr: Expr) -> Expr | None:
    found = _share(expr)
    return full_like(expr, 0) if found is not None and found[1] is None else None


def _share_of_uneven(expr: Expr) -> Expr | None:
    found = _share(expr)
    return found[0] * found[1] if found is not None and found[1] is not None else None


def _shift_of_centred(expr: Expr) -> Expr | None:
    x, z = expr.inputs
    uneven = _uneven(x, expr.params["axes"])
    if uneven is None:
        return full_like(expr, 0)
    return None if uneven is x else apply(SOFTMAX_CENTRED, uneven, z, **expr.params)


def _plain_average(expr: Expr) -> Expr | None:
    x, z = expr.inputs
    axes = expr.params["axes"]
    return x - apply(SUM, x * apply(SOFTMAX, z, axes=axes), axes=axes, keepdims=True)


def _total_of_differences(expr: Expr) -> Expr | None:
    (difference,) = expr.inputs
    if difference.op is UNIT and difference.params["axes"] == expr.params["axes"]:
        (difference,) = difference.inputs
    if difference.op is not subtract:
        return None
    x, average = difference.inputs
    spread = average.shape
    if average.op is EXPAND_DIMS:
        (average,) = average.inputs
    if average.op is not MEAN or average.inputs[0] is not x or average.params["axes"] != expr.params["axes"]:
        return None
    return full_like(expr, 0) if spread in {reduced(x.shape, axes=expr.params["axes"], keepdims=True), ()} else None


def _difference_from_mean(expr: Expr) -> Expr | None:
    (x,) = expr.inputs
    axes = expr.params["axes"]
    return x - spread(apply(MEAN, x, axes=axes, keepdims=False), x, axes=axes, keepdims=False)


def _negative(found: Mapping[str, Node]) -> bool:
    return (scalar_of(found["c"]) or 0) < 0


def _free(found: Mapping[str, Node]) -> bool:
    return scalar_of(found["x"]) is None


def _one_shape(found: Mapping[str, Node]) -> bool:
    return found["x"].shape == found["y"].shape


def _rows() -> Expr:
    return symbol("X", ("N", "K"))


def _logits() -> Expr:
    return symbol("Z", ("N", "K"))


def _shared(x: Expr | float) -> Expr:
    p = softmax(_logits())
    return p * x - p * sum_(p * x, axis=1, keepdims=True)


def _of_centred(x: Expr) -> Expr:
    return apply(SOFTMAX_CENTRED, x, _logits(), axes=(-1,))


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
        _of_softplus(equation("sigmoid_entropy", s * softplus(-x) + (1 - s) * softplus(x), SIGMOID_ENTROPY(x), REAL)),
        equation("sigmoid_entropy_negative", -(s * softplus(-x)) - (1 - s) * softplus(x), -SIGMOID_ENTROPY(x), REAL),
        equation("xlogx", x * log(x), XLOGX(x), REAL, when=_free, where="x is no number"),
        equation("xlogx_factor", (y * x) * log(x), y * XLOGX(x), REAL, when=_free, where="x is no number"),
        equation("xlogx_ratio", x * log(x / y), xlogy(x, x / y), REAL, when=_free, where="x is no number"),
        equation("xlog1py", (1 - x) * log(1 - x), xlog1py(1 - x, -x), REAL),
        equation("xlog1py_log1p", (1 - x) * log1p(negative(x)), xlog1py(1 - x, -x), REAL),
        # averages with the weights of a softmax
        Rule(
            name="softmax_slope",
            equation="x − sum(x ⊙ softmax(z)) = softmax_centred(x, z)",
            strength=REAL,
            roots=(subtract,),
            rewrite=_softmax_slope,
            examples=lambda: [
                _rows() - sum_(_rows() * softmax(_logits()), axis=1, keepdims=True),
                -_rows() - sum_(softmax(_logits()) * -_rows(), axis=1)[:, None],
                sum_(2 * _rows() * softmax(_logits()), axis=1, keepdims=True) - 2 * _rows(),
                symbol("x", "N") - sum_(symbol("x", "N") * softmax(symbol("z", "N"))),
            ],
            fits=lambda ops: SUM in ops or EXPAND_DIMS in ops,
            where_summed=False,
        ),
        Rule(
            name="softmax_share_of_even",
            equation="p ⊙ s − p ⊙ sum(p ⊙ s) = 0 where p is a softmax and s is constant along it",
            strength=REAL,
            roots=(subtract,),
            rewrite=_share_of_even,
            examples=lambda: [_shared(-1.0), _shared(symbol("s", ("N", 1)))],
            fits=lambda ops: ops[1] is multiply,
        ),
        Rule(
            name="softmax_share",
            equation="p ⊙ x − p ⊙ sum(p ⊙ x) = p ⊙ softmax_centred(x, z) where p is softmax(z)",
            strength=REAL,
            roots=(subtract,),
            rewrite=_share_of_uneven,
            examples=lambda: [_shared(_rows()), _shared(-(_rows() / symbol("s", ("N", 1))))],
            fits=lambda ops: ops[1] is multiply,
            where_summed=False,
        ),
        Rule(
            name="softmax_centred_shift",
            equation="softmax_centred(x + s, z) = softmax_centred(x, z) where s is constant along z; "
            "log_softmax(x) is x and such an s",
            strength=REAL,
            roots=(SOFTMAX_CENTRED,),
            rewrite=_shift_of_centred,
            examples=lambda: [
                _of_centred(log_softmax(_rows())),
                _of_centred(symbol("s", ("N", 1)) - 2 * log_softmax(_logits())),
                _of_centred(log_softmax(_rows()) - log_softmax(_logits()) + 1),
                _of_centred(broadcast_to(symbol("s", ("N", 1)), ("N", "K"))),
            ],
            fits=lambda ops: ops[0] in {LOG_SOFTMAX, negative, add, subtract, multiply, divide, BROADCAST_TO, CONSTANT},
        ),
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
    x, y = symbol("x"), symbol("y")
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
        equation("isru_minus_one", ISRU(x) - 1, -2 * sigmoid(-2 * arcsinh(x)), REAL),
        equation("isru_plus_one", ISRU(x) + 1, 2 * sigmoid(2 * arcsinh(x)), REAL),
        equation("one_minus_square", 1 - square(x), (1 - x) * (1 + x), REAL, where_summed=False),
        equation("exp_of_opposites", exp(x + (y - x)), exp(y), REAL),
    )


@stated
def textbook() -> tuple[Rule, ...]:
    """Give the rules that write in the common functions what was brought in for the sake of accuracy."""
    x, y = symbol("x"), symbol("y")
    return (
        equation("textbook_sigmoid_slope", SIGMOID_SLOPE(x), sigmoid(x) * (1 - sigmoid(x)), REAL),
        equation("textbook_sigmoid_entropy", SIGMOID_ENTROPY(x), softplus(x) - x * sigmoid(x), REAL),
        equation("textbook_tanh_slope", TANH_SLOPE(x), 1 - square(tanh(x)), REAL),
        equation("textbook_log1mexp", LOG1MEXP(x), log(1 - exp(x)), REAL),
        equation("textbook_bose", BOSE(x), 1 / (exp(x) - 1), REAL),
        equation("textbook_logcosh", LOGCOSH(x), log(cosh(x)), REAL),
        Rule(
            name="textbook_softmax_centred",
            equation="softmax_centred(x, z) = x − sum(x ⊙ softmax(z))",
            strength=REAL,
            roots=(SOFTMAX_CENTRED,),
            rewrite=_plain_average,
            examples=lambda: [_of_centred(_rows())],
        ),
        equation("textbook_xlogx", XLOGX(x), x * log(x), FINITE),
        equation("textbook_xlogy", xlogy(x, y), x * log(y), FINITE),
        equation("textbook_xlog1py", xlog1py(x, y), x * log(1 + y), FINITE),
        Rule(
            name="textbook_centred",
            equation="centred(x) = x − mean(x)",
            strength=REAL,
            roots=(CENTRED,),
            rewrite=_difference_from_mean,
            examples=lambda: [
                apply(CENTRED, symbol("x", "N"), axes=(-1,)),
                apply(CENTRED, symbol("X", ("N", "D")), axes=(-2,)),
            ],
        ),
        Rule(
            name="mean_of_differences",
            equation="mean(x − mean(x)) = 0, sum(x − mean(x)) = 0, and so where x − mean(x) is divided by its norm",
            strength=FINITE,
            roots=(MEAN, SUM),
            rewrite=_total_of_differences,
            examples=lambda: [
                mean(symbol("x", "N") - mean(symbol("x", "N"))),
                sum_(symbol("X", ("N", "D")) - mean(symbol("X", ("N", "D")), axis=1, keepdims=True), axis=1),
                sum_(apply(UNIT, symbol("x", "N") - mean(symbol("x", "N")), axes=(-1,))),
            ],
            fits=lambda ops: ops[0] in {subtract, UNIT},
        ),
        equation("textbook_isru", ISRU(x), x / sqrt(1 + square(x)), REAL),
        equation("textbook_length_ratio", RATIO(x, y), x / y, FINITE),
        equation("textbook_gap", GAP(x, y), x - y, FINITE),
        equation("textbook_hypot1", HYPOT1(x), sqrt(1 + square(x)), REAL),
        equation("textbook_gauss", GAUSS(x), exp(-0.5 * square(x)), REAL),
        equation("textbook_normal_tail", NORMAL_TAIL(x), ndtr(-x) / exp(-0.5 * square(x)), FINITE),
        equation("textbook_normal_hazard", NORMAL_HAZARD(x), _DENSITY * exp(-0.5 * square(x)) / ndtr(x), REAL),
        Rule(
            name="textbook_cofactors",
            equation="cofactors(A) = det(A)·A⁻ᵀ",
            strength=FINITE,
            roots=(COFACTORS,),
            rewrite=lambda expr: cofactors_by_inverse(*expr.inputs),
            examples=lambda: [COFACTORS(symbol("A", ("N", "N"))), COFACTORS(symbol("A", ("K", "N", "N")))],
        ),
        Rule(
            name="textbook_cofactors_along",
            equation="cofactors_along(A, E) = det(A)·(⟨A⁻ᵀ, E⟩A⁻ᵀ − A⁻ᵀEᵀA⁻ᵀ)",
            strength=FINITE,
            roots=(COFACTORS_ALONG,),
            rewrite=lambda expr: cofactors_along_by_inverse(*expr.inputs),
            examples=lambda: [
                COFACTORS_ALONG(symbol("A", ("N", "N")), symbol("E", ("N", "N"))),
                COFACTORS_ALONG(symbol("A", ("N", "N")), symbol("E", ("K", "N", "N"))),
            ],
        ),
    )
