"""Formulas as people write them, rewritten so that extreme values give finite, right results.

Functions that were written out are recognised, and so are exponentials that overflow before they meet a logarithm or
their sum. The result is shorter too: formulas for people are made by these rules as well.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence

import numpy as np

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.op import CONSTANT, SIZE, Dtype, apply, scalar_value
from symbackprop.ops import (
    abs,
    add,
    arcsinh,
    arctanh,
    assume,
    cosh,
    divide,
    erf,
    erfc,
    exp,
    expm1,
    log,
    log1p,
    log_ndtr,
    log_softmax,
    logaddexp,
    logit,
    logsumexp,
    matmul,
    max,
    maximum,
    mean,
    multiply,
    ndtr,
    negative,
    power,
    prod,
    reshape,
    sigmoid,
    sign,
    sinh,
    size_of,
    softmax,
    softplus,
    sqrt,
    square,
    squeeze,
    stack,
    subtract,
    symbol,
    tanh,
)
from symbackprop.ops import sum as sum_
from symbackprop.ops.elementwise import RATIO, RELU
from symbackprop.ops.index import CONCATENATE, SLICE, STACK
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE, broadcast_to
from symbackprop.ops.norms import NORM
from symbackprop.ops.reduce import CENTRED, LOG_SOFTMAX, LOGSUMEXP, MAX, MEAN, PROD, SOFTMAX, SUM, reduced
from symbackprop.rewrite.engine import Rule, Strength, equation, stated
from symbackprop.rewrite.facts import known

EXACT, REAL = Strength.EXACT, Strength.REAL

LAYOUTS = {TRANSPOSE, RESHAPE, EXPAND_DIMS, SQUEEZE, BROADCAST_TO, SLICE}
_ARITHMETIC = {add, subtract, multiply, divide, negative, square}
_AWAITED = {exp, sigmoid, SOFTMAX, tanh, cosh, sinh, erf, expm1}
_DEEPEST = 6  # how far down the factors of a likelihood are looked for


# --- layout steps ---------------------------------------------------------------------------------------------


def laid_out(x: Expr, layers: Sequence[Expr]) -> Expr:
    """Apply layout steps, the first of them last."""
    for layer in reversed(layers):
        x = apply(layer.op, x, **layer.params)
    return x


def layers_of(expr: Expr) -> tuple[list[Expr], Expr]:
    """Take the layout steps off an expression, the outermost first."""
    layers = []
    while expr.op in LAYOUTS:
        layers.append(expr)
        expr = expr.inputs[0]
    return layers, expr


def _is_awaited(expr: Expr) -> bool:
    """Tell whether an expression is one of those that rules look for, perhaps with a number added or the like."""
    if expr.op in _ARITHMETIC:
        return any(part.op in _AWAITED or part.op is square for part in expr.inputs)
    return expr.op in _AWAITED


def _layout_outside(expr: Expr) -> Expr | None:
    """Do elementwise arithmetic before a layout step, where other rules are to see what it is done on."""
    moving = [part for part in expr.inputs if scalar_value(part) is None]
    if not moving or any(part.op not in LAYOUTS for part in moving):
        return None
    layer, *others = moving
    if any((other.op, other.params) != (layer.op, layer.params) for other in others):
        return None
    cores = [part.inputs[0] for part in moving]
    if not any(_is_awaited(layers_of(core)[1]) for core in cores) or len({core.shape for core in cores}) > 1:
        return None
    inner = iter(cores)
    return laid_out(apply(expr.op, *[next(inner) if part in moving else part for part in expr.inputs]), [layer])


# --- sums of exponentials -------------------------------------------------------------------------------------


def _exponent(expr: Expr) -> Expr | None:
    """Give z where an expression is exp(z), through layout steps."""
    layers, core = layers_of(expr)
    return laid_out(core.inputs[0], layers) if core.op is exp else None


def _axes_of_total(expr: Expr, numerator: Expr) -> tuple[int, ...] | None:
    """Give the axes if an expression is the numerator's sum, spread so that it divides the numerator."""
    total = expr
    if expr.op in {EXPAND_DIMS, RESHAPE}:
        total = expr.inputs[0]
    if total.op is not SUM or total.inputs[0] is not numerator:
        return None
    axes: tuple[int, ...] = total.params["axes"]
    kept = reduced(numerator.shape, axes=axes, keepdims=True)
    return axes if axes and expr.shape in {kept, ()} else None


def _quotient_of_exp(expr: Expr) -> Expr | None:
    above, below = expr.inputs
    layers, total = layers_of(below)
    if total.op is not SUM or not total.params["axes"]:
        return None
    (summed,) = total.inputs
    z = _exponent(summed)
    if z is None:
        return None
    axes = _axes_of_total(below, summed)
    factors = above.inputs if above.op is multiply else (above,)
    for position, factor in enumerate(factors):
        quotient = None
        if factor is summed and axes:
            quotient = apply(SOFTMAX, z, axes=axes)
        elif factor.op is TRANSPOSE and factor.inputs[0] is summed and _divides_turned(below, factor, total):
            quotient = apply(TRANSPOSE, apply(SOFTMAX, z, axes=total.params["axes"]), **factor.params)
        elif factor.op in LAYOUTS or factor.op is exp:
            u = _exponent(factor)
            if u is not None:
                quotient = exp(u - laid_out(apply(LOGSUMEXP, z, **total.params), layers))
        if quotient is not None:
            return quotient * factors[1 - position] if len(factors) > 1 else quotient
    return None


def _divides_turned(below: Expr, factor: Expr, total: Expr) -> bool:
    """Tell whether the transpose of a matrix is divided by the matrix's sums along its rows."""
    return (
        factor.ndim == 2
        and total.params["axes"] == (-1,)
        and factor.params["axes"] == (-1, -2)
        and below.shape in {total.shape, (1, *total.shape)}
        and (below is total) != bool(total.params["keepdims"])
    )


def _weighted_by_exp(expr: Expr) -> Expr | None:
    """Normalise the weights of an average, not their total."""
    above, below = expr.inputs
    if above.op is SUM and below.op is SUM and above.params == below.params and above.inputs[0].op is multiply:
        for weights, rest in (above.inputs[0].inputs, above.inputs[0].inputs[::-1]):
            z = _exponent(weights)
            if z is not None and weights is below.inputs[0] and below.params["axes"]:
                return apply(SUM, rest * apply(SOFTMAX, z, axes=below.params["axes"]), **above.params)
    if above.op is matmul:
        weights, values = above.inputs
        z = _exponent(weights)
        plain = below.op is SUM and below.inputs[0] is weights and below.params["axes"] == (-1,)
        fits = plain and not below.params["keepdims"] if values.ndim == 1 else _axes_of_total(below, weights) == (-1,)
        if z is not None and fits and weights.ndim > 1:
            return matmul(apply(SOFTMAX, z, axes=(-1,)), values)
    return None


def _factor_of_quotient(expr: Expr) -> Expr | None:
    """Join exp(z) with the quotient that divides by its sum."""
    for quotient, factor in (expr.inputs, expr.inputs[::-1]):
        z = _exponent(factor) if quotient.op is divide else None
        axes = None if z is None else _axes_of_total(quotient.inputs[1], factor)
        if axes and z is not None:
            return quotient.inputs[0] * apply(SOFTMAX, z, axes=axes)
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


def _is_constant_along(s: Expr, axes: Sequence[int]) -> bool:
    return all(-axis > s.ndim or s.shape[axis] == 1 for axis in axes)


def _shifted(expr: Expr) -> Expr | None:
    """Leave out of a softmax what is added to all its operands alike: it shifts them itself."""
    (x,) = expr.inputs
    if x.op not in {add, subtract}:
        return None
    kept, shift = x.inputs
    if x.op is add and _is_constant_along(kept, expr.params["axes"]):
        kept, shift = shift, kept
    if kept.shape != x.shape or not _is_constant_along(shift, expr.params["axes"]):
        return None
    return apply(expr.op, kept, **expr.params)


def _same_as_reduced(t: Expr, s: Expr, axes: tuple[int, ...]) -> bool:
    """Tell whether t is s without the axes, of size 1, that were summed over."""
    if t is s or (t.op is SQUEEZE and t.inputs[0] is s) or (s.op is EXPAND_DIMS and s.inputs[0] is t):
        return True
    return s.op is MAX and t.op is MAX and t.inputs == s.inputs and s.params["axes"] == t.params["axes"] == axes


def _shift_undone(expr: Expr) -> Expr | None:
    """Leave a shift to logsumexp, which does it itself."""
    for total, back in (expr.inputs, expr.inputs[::-1]):
        if total.op is LOGSUMEXP and total.inputs[0].op is subtract and expr.shape == total.shape:
            z, shift = total.inputs[0].inputs
            axes = total.params["axes"]
            alike = z.shape == total.inputs[0].shape and _is_constant_along(shift, axes)
            if alike and _same_as_reduced(back, shift, axes):
                return apply(LOGSUMEXP, z, **total.params)
    return None


def _minus_logsumexp(expr: Expr) -> Expr | None:
    x, total = expr.inputs
    if total.op is EXPAND_DIMS:
        (total,) = total.inputs
    if total.op is not LOGSUMEXP or total.inputs[0] is not x:
        return None
    axes = total.params["axes"]
    if expr.inputs[1].shape not in {reduced(x.shape, axes=axes, keepdims=True), ()}:
        return None
    return apply(LOG_SOFTMAX, x, axes=axes)


# --- logarithms of likelihoods --------------------------------------------------------------------------------


def _is_likelihood(expr: Expr, depth: int = _DEEPEST) -> bool:
    """Tell whether an expression is never negative, and its logarithm has a form of its own."""
    _, core = layers_of(expr)
    if core.op in {exp, sigmoid, ndtr, SOFTMAX}:
        return True
    if core.op is subtract:
        return scalar_value(core.inputs[0]) == 1 and core.inputs[1].op is sigmoid
    if core.op in {SUM, MEAN}:
        return bool(core.params["axes"]) and layers_of(core.inputs[0])[1].op is exp
    if core.op is add:
        return is_sum_of_exponentials(core, depth)
    if depth and core.op in {multiply, divide, PROD, sqrt, square, power}:
        parts = core.inputs[:1] if core.op is power else core.inputs
        parts = tuple(part for part in parts if not _is_positive_number(part))
        return bool(parts) and all(_is_likelihood(part, depth - 1) for part in parts)
    return False


def _is_positive_number(expr: Expr) -> bool:
    return (scalar_value(expr) or 0) > 0


def is_sum_of_exponentials(expr: Expr, depth: int = _DEEPEST) -> bool:
    """Tell whether an expression is a sum of exponentials, with positive factors, and positive numbers."""
    if not depth or expr.op is not add:
        return False
    return all(
        _is_positive_number(part) or _is_exponential(part) or is_sum_of_exponentials(part, depth - 1)
        for part in expr.inputs
    )


def _is_exponential(expr: Expr) -> bool:
    if expr.op is multiply and any(map(_is_positive_number, expr.inputs)):
        return any(part.op is exp for part in expr.inputs)
    return expr.op is exp


def _log_of(expr: Expr) -> Expr | None:
    layers, x = layers_of(expr.inputs[0])
    if expr.dtype.kind != "f" or x.dtype != expr.dtype:
        return None
    found = _log_of_core(x)
    return None if found is None else laid_out(found, layers)


def _log_of_core(x: Expr) -> Expr | None:
    if x.op is SOFTMAX:
        return apply(LOG_SOFTMAX, x.inputs[0], axes=x.params["axes"])
    if x.op in {SUM, MEAN}:
        return _log_of_total(x)
    return _log_of_likelihood(x)


def _log_of_likelihood(x: Expr) -> Expr | None:
    """Take the logarithms of factors, of a base, of what is joined."""
    likely = [_is_likelihood(part) for part in x.inputs]
    if x.op in {CONCATENATE, STACK} and any(likely):
        return apply(x.op, *map(log, x.inputs), **x.params)
    if x.op in {multiply, divide} and any(likely):
        left, right = map(log, x.inputs)
        return left + right if x.op is multiply else left - right
    if x.op in {PROD, power, square, sqrt} and likely[0]:
        each = log(x.inputs[0])
        if x.op is PROD:
            return apply(SUM, each, axes=x.params["axes"], keepdims=x.params["keepdims"])
        return (x.inputs[1] if x.op is power else 2 if x.op is square else 0.5) * each
    return None


def _log_of_total(x: Expr) -> Expr | None:
    axes = x.params["axes"]
    z = _exponent(x.inputs[0])
    if z is None:
        z = _weighted_exponent(x.inputs[0])
    if z is None or not axes:
        return None
    total = apply(LOGSUMEXP, z, axes=axes, keepdims=x.params["keepdims"])
    count = dims.product(z.shape[axis] for axis in axes)
    return total if x.op is SUM else total - log(size_of(count, x.dtype, graph=x.graph))


def _weighted_exponent(expr: Expr) -> Expr | None:
    """Give z + log(w) where an expression is w ⊙ exp(z) and no weight is negative."""
    if expr.op is multiply:
        for factor, weight in (expr.inputs, expr.inputs[::-1]):
            z = _exponent(factor)
            if z is not None and _is_never_negative(weight):
                return broadcast_to(z + log(weight), expr.shape)
    return None


def _is_never_negative(weight: Expr) -> bool:
    if weight.op is CONSTANT:
        return bool((weight.params["value"].array >= 0).all())
    return "nonnegative" in known(weight)


def _exp_minus_logsumexp(expr: Expr) -> Expr | None:
    (x,) = expr.inputs
    return apply(SOFTMAX, x.inputs[0], axes=x.params["axes"]) if x.op is LOG_SOFTMAX else None


# --- the normal distribution --------------------------------------------------------------------------------------


def _is_root_of_half(number: float | None, dtype: Dtype) -> bool:
    return number is not None and math.isclose(builtins.abs(number), math.sqrt(0.5), rel_tol=4 * np.finfo(dtype).eps)


def _normal_argument(expr: Expr) -> Expr | None:
    """Give x where an expression is x/√2, or x where it is (y/s)/√2 and x is y/s."""
    if expr.dtype.kind != "f":
        return None
    if expr.op is multiply:
        for factor, x in (expr.inputs, expr.inputs[::-1]):
            number = scalar_value(factor)
            if number is not None and _is_root_of_half(number, expr.dtype):
                return x if number > 0 else -x
    if expr.op is negative:
        opposite = _normal_argument(expr.inputs[0])
        return None if opposite is None else -opposite
    if expr.op is divide:
        above, below = expr.inputs
        parts = below.inputs if below.op is multiply else (below,)
        for position, part in enumerate(parts):
            number = scalar_value(part)
            if number and _is_root_of_half(1 / number, expr.dtype):
                x = above / parts[1 - position] if len(parts) > 1 else above
                return x if number > 0 else -x
    return None


def _ndtr(expr: Expr) -> Expr | None:
    """Write sums of a number and the error function, or its complement, as the normal distribution function."""
    if expr.op is erfc:
        x = _normal_argument(expr.inputs[0])
        return None if x is None else 2 * ndtr(-x)
    for summand, other in (expr.inputs, expr.inputs[::-1]):
        number = scalar_value(summand)
        if number is None:
            continue
        factor, function = other.inputs if other.op is multiply else (None, other)
        scale = 1.0 if factor is None else scalar_value(factor)
        if function.op is not erf or scale is None or builtins.abs(scale) != builtins.abs(number):
            continue
        x = _normal_argument(function.inputs[0])
        subtracted = expr.op is subtract and other is expr.inputs[1]
        lead = -number if expr.op is subtract and not subtracted else number
        if x is not None and lead != 0:
            return 2 * lead * ndtr(x if ((-scale if subtracted else scale) > 0) == (lead > 0) else -x)
    return None


# --- squares --------------------------------------------------------------------------------------------------


def _average(expr: Expr) -> tuple[Expr, tuple[int, ...], bool] | None:
    """Give what an expression is the average of, along which axes, and whether these are kept."""
    if expr.op is MEAN:
        return expr.inputs[0], expr.params["axes"], expr.params["keepdims"]
    if expr.op is not divide or expr.inputs[0].op is not SUM:
        return None
    total, count = expr.inputs
    axes = total.params["axes"]
    n = dims.product(total.inputs[0].shape[axis] for axis in axes)
    told = count.params["size"] if count.op is SIZE else scalar_value(count)
    return (total.inputs[0], axes, total.params["keepdims"]) if told == n else None


def _variance(expr: Expr) -> Expr | None:
    """Average the squares of the differences from the mean: E[x²] − E[x]² cancels."""
    squares, squared = expr.inputs
    if squared.op is not square:
        return None
    second, first = _average(squares), _average(squared.inputs[0])
    if second is None or first is None or second[0].op is not square:
        return None
    x, axes, keepdims = first
    if second[0].inputs[0] is not x or second[1:] != (axes, keepdims) or x.dtype.kind != "f":
        return None
    return apply(MEAN, square(apply(CENTRED, x, axes=axes)), axes=axes, keepdims=keepdims)


def _centred_again(expr: Expr) -> Expr | None:
    """Take out of a difference from the mean what scales all its operands alike; they differ from theirs already."""
    (x,) = expr.inputs
    axes = expr.params["axes"]
    if x.op is CENTRED and x.params["axes"] == axes:
        return x
    if x.op not in {multiply, divide} or x.dtype != expr.dtype:
        return None
    for inner, scale in (x.inputs, x.inputs[::-1])[: 1 + (x.op is multiply)]:
        if inner.op is CENTRED and inner.params["axes"] == axes and inner.shape == x.shape:
            return x if _is_constant_along(scale, axes) else None
    return None


def _root_of_squares(expr: Expr) -> Expr | None:
    (total,) = expr.inputs
    if total.op is SUM and total.inputs[0].op is square:
        (x,) = total.inputs[0].inputs
        axes, keepdims = total.params["axes"], total.params["keepdims"]
    elif total.op is matmul and total.inputs[0] is total.inputs[1] and total.inputs[0].ndim == 1:
        x, axes, keepdims = total.inputs[0], (-1,), False
    else:
        return None
    if len(axes) not in {1, 2} or x.dtype.kind != "f":
        return None
    return apply(NORM, x, axes=axes, keepdims=keepdims)


def _plain_ratio(expr: Expr) -> Expr | None:
    above, below = expr.inputs
    return above / below if "positive" in known(below) else None


# --- the rules ------------------------------------------------------------------------------------------------


def _matrix() -> Expr:
    return symbol("Z", ("N", "K"))


def _softmaxes() -> Sequence[Expr]:
    e = exp(_matrix())
    total = sum_(e, axis=1)
    return [
        e / sum_(e, axis=1, keepdims=True),
        e / total[:, None],
        e / reshape(total, ("N", 1)),
        (e * symbol("g", ("N", "K"))) / total[:, None],
        e.T / total,
        e.T / sum_(e.T, axis=0),
        e[:, 0] / total,
    ]


def _averages() -> Sequence[Expr]:
    e = exp(_matrix())
    return [
        sum_(symbol("V", ("N", "K")) * e, axis=1) / sum_(e, axis=1),
        (e @ symbol("W", ("K", "M"))) / sum_(e, axis=1, keepdims=True),
        (e @ symbol("v", "K")) / sum_(e, axis=1),
    ]


def _logarithms() -> Sequence[Expr]:
    z, s = _matrix(), symbol("s")
    e = exp(z)
    return [
        log(softmax(z)),
        log(softmax(z).T),
        log(sum_(e, axis=1)),
        log(mean(e.T, axis=0)),
        log(mean(exp(symbol("z", "N")))),
        log(exp(s) / symbol("t")),
        log(sigmoid(s) * (1 - sigmoid(s))),
        log(power(sigmoid(s), symbol("t"))),
        log(0.5 * ndtr(s)),
        log(sqrt(exp(s))),
        log(prod(sigmoid(z), axis=1)),
        log(stack([1 - sigmoid(s), sigmoid(s)])),
        log((1 + exp(s)) / 2),
        log(sum_(softmax(symbol("a", ("N", "K"))) * e, axis=1)),
        log(sum_(assume(symbol("w", ("N", "K")), positive=True) * e, axis=1)),
    ]


def _shifts() -> Sequence[Expr]:
    z = _matrix()
    m, top = max(z, axis=1, keepdims=True), max(z, axis=1)
    return [
        m + logsumexp(z - m, axis=1, keepdims=True),
        logsumexp(z - m, axis=1) + squeeze(m, 1),
        logsumexp(z - top[:, None], axis=1) + top,
        logsumexp(z - m, axis=1) + top,
    ]


def _variances() -> Sequence[Expr]:
    x, n = symbol("x", "N"), size_of(symbol("x", "N").size)
    z = _matrix()
    return [
        mean(square(x)) - square(mean(x)),
        mean(square(z), axis=1) - square(mean(z, axis=1)),
        sum_(square(x)) / n - square(sum_(x) / n),
    ]


def _procedures() -> tuple[Rule, ...]:
    return (
        Rule(
            name="layout_outside",
            equation="f(layout(x)) = layout(f(x)) where rules have a better form of f(x)",
            strength=EXACT,
            roots=(log, log1p, sqrt, add, subtract, multiply, divide, power, square, negative),
            rewrite=_layout_outside,
            examples=lambda: [
                1 + exp(_matrix()).T,
                log(1 - sigmoid(symbol("z", 4)[1:])),
                1 / (1 + exp(_matrix()).T),
                exp(_matrix()).T / (1 + exp(_matrix()).T),
            ],
            fits=lambda ops: any(op in LAYOUTS for op in ops) and all(op in LAYOUTS or op is CONSTANT for op in ops),
        ),
        Rule(
            name="softmax",
            equation="exp(z)/sum(exp(z)) = softmax(z)",
            strength=REAL,
            roots=(divide,),
            rewrite=_quotient_of_exp,
            examples=_softmaxes,
            fits=lambda ops: ops[1] is SUM or ops[1] in LAYOUTS,
        ),
        Rule(
            name="softmax_average",
            equation="sum(x ⊙ exp(z))/sum(exp(z)) = sum(x ⊙ softmax(z))",
            strength=REAL,
            roots=(divide,),
            rewrite=_weighted_by_exp,
            examples=_averages,
            fits=lambda ops: ops[0] in {SUM, matmul} and ops[1] in {SUM, EXPAND_DIMS, RESHAPE},
        ),
        Rule(
            name="softmax_factor",
            equation="(x/sum(exp(z))) ⊙ exp(z) = x ⊙ softmax(z)",
            strength=REAL,
            roots=(multiply,),
            rewrite=_factor_of_quotient,
            examples=lambda: [(symbol("g", ("N", "K")) / sum_(exp(_matrix()), axis=1)[:, None]) * exp(_matrix())],
            fits=lambda ops: divide in ops and any(op is exp or op in LAYOUTS for op in ops),
        ),
        Rule(
            name="softmax_shift",
            equation="softmax(z − s) = softmax(z), log_softmax(z − s) = log_softmax(z) where s is constant along z",
            strength=REAL,
            roots=(SOFTMAX, LOG_SOFTMAX),
            rewrite=_shifted,
            examples=lambda: [
                softmax(_matrix() - max(_matrix(), axis=1, keepdims=True)),
                log_softmax(symbol("s") + _matrix()),
            ],
            fits=lambda ops: ops[0] in {add, subtract},
        ),
        Rule(
            name="logsumexp_shift",
            equation="s + logsumexp(z − s) = logsumexp(z) where s is constant along z",
            strength=REAL,
            roots=(add,),
            rewrite=_shift_undone,
            examples=_shifts,
            fits=lambda ops: LOGSUMEXP in ops,
        ),
        Rule(
            name="minus_logsumexp",
            equation="z − logsumexp(z) = log_softmax(z)",
            strength=REAL,
            roots=(subtract,),
            rewrite=_minus_logsumexp,
            examples=lambda: [
                _matrix() - logsumexp(_matrix(), axis=1, keepdims=True),
                _matrix() - logsumexp(_matrix(), axis=1)[:, None],
                symbol("z", "N") - logsumexp(symbol("z", "N")),
            ],
            fits=lambda ops: ops[1] in {LOGSUMEXP, EXPAND_DIMS},
        ),
        Rule(
            name="divisor_out_of_sum",
            equation="sum(x/s, keepdims) = sum(x, keepdims)/s where s is constant along the sum",
            strength=REAL,
            roots=(SUM,),
            rewrite=_divisor_out_of_sum,
            examples=lambda: [sum_(_matrix() / symbol("s", ("N", 1)), axis=1, keepdims=True)],
            fits=lambda ops: ops == (divide,),
        ),
        Rule(
            name="log_softmax",
            equation="log(softmax(z)) = log_softmax(z), log(sum(exp(z))) = logsumexp(z), "
            "log(p·x) = log(p) + log(x) where p is a likelihood: a product of exp, sigmoid, ndtr, softmax; "
            "log(sum(w ⊙ exp(z))) = logsumexp(z + log(w)) where no weight is negative",
            strength=REAL,
            roots=(log,),
            rewrite=_log_of,
            examples=_logarithms,
            fits=lambda ops: (
                ops[0] in {SOFTMAX, SUM, MEAN, PROD, multiply, divide, power, square, sqrt}
                or ops[0] in {CONCATENATE, STACK}
                or ops[0] in LAYOUTS
            ),
        ),
        Rule(
            name="exp_log_softmax",
            equation="exp(log_softmax(z)) = softmax(z)",
            strength=REAL,
            roots=(exp,),
            rewrite=_exp_minus_logsumexp,
            examples=lambda: [exp(log_softmax(_matrix()))],
            fits=lambda ops: ops == (LOG_SOFTMAX,),
        ),
        Rule(
            name="ndtr",
            equation="1 + erf(x/√2) = 2 ndtr(x), 1 − erf(x/√2) = erfc(x/√2) = 2 ndtr(−x), and multiples of them",
            strength=REAL,
            roots=(add, subtract, erfc),
            rewrite=_ndtr,
            examples=lambda: [
                1 + erf(symbol("x") / math.sqrt(2)),
                erf(symbol("x") * -math.sqrt(0.5)) + 1,
                0.5 - 0.5 * erf(symbol("x", "N") / math.sqrt(2)),
                -0.5 * erf(symbol("x") / (symbol("s") * math.sqrt(2))) - 0.5,
                erfc(-symbol("x", "N") / math.sqrt(2)),
                erfc(-(symbol("x", "N") / math.sqrt(2))),
            ],
            fits=lambda ops: (
                CONSTANT in ops and not {erf, multiply}.isdisjoint(ops)
                if len(ops) > 1
                else ops[0] in {multiply, divide, negative}
            ),
        ),
        Rule(
            name="variance",
            equation="mean(x²) − mean(x)² = mean((x − mean(x))²)",
            strength=REAL,
            roots=(subtract,),
            rewrite=_variance,
            examples=_variances,
            fits=lambda ops: ops[0] in {MEAN, divide} and ops[1] is square,
        ),
        Rule(
            name="centred_again",
            equation="centred(s·centred(x)) = s·centred(x) where centred(x) = x − mean(x) and s is constant along x",
            strength=REAL,
            roots=(CENTRED,),
            rewrite=_centred_again,
            examples=lambda: [
                apply(CENTRED, apply(CENTRED, _matrix(), axes=(-1,)), axes=(-1,)),
                apply(CENTRED, 2 * apply(CENTRED, _matrix(), axes=(-1,)), axes=(-1,)),
                apply(CENTRED, apply(CENTRED, _matrix(), axes=(-1,)) / symbol("s", ("N", 1)), axes=(-1,)),
            ],
            fits=lambda ops: ops[0] in {CENTRED, multiply, divide},
        ),
        Rule(
            name="ratio",
            equation="ratio(x, y) = x/y where y is positive",
            strength=REAL,
            roots=(RATIO,),
            rewrite=_plain_ratio,
            examples=lambda: [apply(RATIO, symbol("x", "N"), 1 + square(symbol("y", "N")))],
        ),
        Rule(
            name="norm",
            equation="√sum(x²) = ‖x‖",
            strength=REAL,
            roots=(sqrt,),
            rewrite=_root_of_squares,
            examples=lambda: [
                sqrt(sum_(square(symbol("x", "N")))),
                sqrt(symbol("x", "N") @ symbol("x", "N")),
                sqrt(sum_(square(_matrix()), axis=1)),
            ],
            fits=lambda ops: ops[0] in {SUM, matmul},
        ),
    )


def _equations() -> tuple[Rule, ...]:
    x, y, c, d = (symbol(name) for name in "xycd")
    root = sqrt(1 + square(x))
    return (
        # functions of exponentials, written out
        equation("tanh_of_double", (exp(2 * x) - 1) / (1 + exp(2 * x)), tanh(x), REAL),
        equation("tanh_of_double_expm1", expm1(2 * x) / (1 + exp(2 * x)), tanh(x), REAL),
        equation("tanh_of_half", (exp(x) - 1) / (1 + exp(x)), tanh(0.5 * x), REAL),
        equation("tanh_of_half_expm1", expm1(x) / (1 + exp(x)), tanh(0.5 * x), REAL),
        equation("tanh_of_minus_half", (1 - exp(x)) / (1 + exp(x)), tanh(-0.5 * x), REAL),
        equation("tanh_of_minus_half_expm1", negative(expm1(x)) / (1 + exp(x)), tanh(-0.5 * x), REAL),
        equation("sinh_over_cosh", sinh(x) / cosh(x), tanh(x), REAL),
        equation("scaled_sinh_over_cosh", (c * sinh(x)) / (c * cosh(x)), tanh(x), REAL),
        equation("sinh", exp(x) - exp(-x), 2 * sinh(x), REAL),
        equation("sinh_mirrored", exp(-x) - exp(x), -2 * sinh(x), REAL),
        equation("cosh", exp(x) + exp(-x), 2 * cosh(x), REAL),
        equation("softplus", log(1 + exp(x)), softplus(x), REAL),
        equation("softplus_log1p", log1p(exp(x)), softplus(x), REAL),
        equation("softplus_by_halves", maximum(x, 0) + softplus(-abs(x)), softplus(x), REAL),
        equation("softplus_by_relu", RELU(x, slope_at_zero=0.0) + softplus(-abs(x)), softplus(x), REAL),
        equation("sigmoid_slope", exp(-x) / square(1 + exp(-x)), sigmoid(x) * (1 - sigmoid(x)), REAL),
        equation("sigmoid_slope_mirrored", exp(x) / square(1 + exp(x)), sigmoid(x) * (1 - sigmoid(x)), REAL),
        equation(
            "sigmoid_slope_numerator",
            (y * exp(-x)) / square(1 + exp(-x)),
            y * (sigmoid(x) * (1 - sigmoid(x))),
            REAL,
        ),
        equation(
            "sigmoid_slope_numerator_mirrored",
            (y * exp(x)) / square(1 + exp(x)),
            y * (sigmoid(x) * (1 - sigmoid(x))),
            REAL,
        ),
        equation("sigmoid", 1 / (1 + exp(-x)), sigmoid(x), REAL),
        equation("sigmoid_of_negative", 1 / (1 + exp(x)), sigmoid(-x), REAL),
        equation("sigmoid_mirrored", exp(x) / (1 + exp(x)), sigmoid(x), REAL),
        equation("sigmoid_numerator", y / (1 + exp(-x)), y * sigmoid(x), REAL),
        equation("sigmoid_factor", (y * exp(x)) / (1 + exp(x)), y * sigmoid(x), REAL),
        equation("sigmoid_quotient_factor", (y / (1 + exp(x))) * exp(x), y * sigmoid(x), REAL),
        equation("sigmoid_numerator_of_negative", y / (1 + exp(x)), y * sigmoid(-x), REAL),
        equation("sigmoid_square_tail", square(sigmoid(x)) * exp(-x), sigmoid(x) * (1 - sigmoid(x)), REAL),
        equation("sigmoid_tail", sigmoid(x) * exp(-x), 1 - sigmoid(x), REAL),
        equation("sigmoid_head", sigmoid(-x) * exp(x), sigmoid(x), REAL),
        equation("sigmoid_tail_factor", (y * sigmoid(x)) * exp(-x), y * (1 - sigmoid(x)), REAL),
        # the normal distribution
        equation("ndtr_alone", 1 * ndtr(x), ndtr(x), EXACT),
        equation("ndtr_scaled", c * (d * ndtr(x)), (c * d) * ndtr(x), REAL),
        equation("ndtr_over_number", (c * ndtr(x)) / d, (c / d) * ndtr(x), REAL),
        equation("one_minus_ndtr", 1 - ndtr(x), ndtr(-x), REAL),
        equation("log_ndtr", log(ndtr(x)), log_ndtr(x), REAL),
        # logarithms
        equation("log_sigmoid", log(sigmoid(x)), -softplus(-x), REAL),
        equation("logit_sigmoid", logit(sigmoid(x)), x, REAL),
        equation("log_one_minus_sigmoid", log(1 - sigmoid(x)), -softplus(x), REAL),
        equation("softplus_difference", softplus(x) - softplus(-x), x, REAL),
        equation("softplus_difference_mirrored", softplus(-x) - softplus(x), -x, REAL),
        equation("logaddexp", log(exp(x) + exp(y)), logaddexp(x, y), REAL),
        equation("softmax_of_two", exp(x) / (exp(x) + exp(y)), sigmoid(x - y), REAL),
        equation("arcsinh", log(x + root), arcsinh(x), REAL),
        equation("arctanh", log((1 + x) / (1 - x)), 2 * arctanh(x), REAL),
        equation("arctanh_difference", log(1 + x) - log(1 - x), 2 * arctanh(x), REAL),
        equation("arctanh_difference_log1p", log1p(x) - log1p(-x), 2 * arctanh(x), REAL),
        equation("sign_over_size", (y / abs(x)) * sign(x), y / x, REAL),
    )


@stated
def stable() -> tuple[Rule, ...]:
    """Give the rules that replace what overflows."""
    return _procedures() + _equations()
