"""Scalar algebra by equations, and the one canonical form.

The canonical form: numbers stand left and are collected (``2*x``, not ``x*2``); signs are drawn out of products and
quotients and merged into sums (``a - b``, not ``a + -b``); division by a scalar stands outside of products;
``x*x`` is ``square(x)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from string import ascii_lowercase

import numpy as np

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.graph import Node
from symbackprop.op import CONSTANT, apply, scalar_of
from symbackprop.ops import abs as abs_
from symbackprop.ops import (
    constant,
    divide,
    exp,
    log,
    matmul,
    maximum,
    mean,
    minimum,
    multiply,
    negative,
    outer,
    power,
    sqrt,
    square,
    symbol,
    where,
)
from symbackprop.ops.contract import EINSUM
from symbackprop.ops.layout import EXPAND_DIMS, SQUEEZE, TRANSPOSE, expand_dims
from symbackprop.ops.reduce import MEAN, SUM
from symbackprop.rewrite.engine import Rule, Strength, equation, one_arithmetic, stated

EXACT, REAL, FINITE = Strength
_VIEWS = frozenset({EXPAND_DIMS, SQUEEZE, TRANSPOSE})


def _is_number(found: Mapping[str, Node], name: str) -> bool:
    return found[name].op is CONSTANT and not found[name].shape


def _signed(found: Mapping[str, Node]) -> bool:
    return found["x"].dtype.kind != "u"


def _x_free(found: Mapping[str, Node]) -> bool:
    return not _is_number(found, "x")


def _xy_free(found: Mapping[str, Node]) -> bool:
    return not _is_number(found, "x") and not _is_number(found, "y")


def _alike(found: Mapping[str, Node]) -> bool:
    """Tell whether both are arrays or both scalars, so that a number costs the same wherever it stands."""
    return _xy_free(found) and bool(found["x"].shape) == bool(found["y"].shape)


def _negative(found: Mapping[str, Node]) -> bool:
    return (scalar_of(found["c"]) or 0) < 0


def _no_fraction(found: Mapping[str, Node]) -> bool:
    above, below = scalar_of(found["c"]) or 0.0, scalar_of(found["d"]) or 1.0
    return not float(below).is_integer() or float(above / below).is_integer()


def _scalar(found: Mapping[str, Node]) -> bool:
    return not found["s"].shape


def _scalars(found: Mapping[str, Node]) -> bool:
    return not found["s"].shape and not found["y"].shape and not _is_number(found, "x")


def _scalar_times_array(found: Mapping[str, Node]) -> bool:
    return not found["s"].shape and not _is_number(found, "s") and bool(found["x"].shape)


def _scalar_times_arrays(found: Mapping[str, Node]) -> bool:
    return not found["s"].shape and bool(found["x"].shape) and bool(found["y"].shape)


_ALIKE = "s is a scalar, x and y are arrays of one shape"


def _alike_arrays(found: Mapping[str, Node]) -> bool:
    return not found["s"].shape and bool(found["x"].shape) and found["x"].shape == found["y"].shape


def _algebra() -> tuple[Rule, ...]:
    x, y, s, c, d = (symbol(name) for name in "xyscd")
    X, Y = symbol("X", ("N", "K")), symbol("Y", ("K", "D"))
    mask = symbol("b", dtype=bool)
    return (
        # neutral elements
        equation("add_zero", x + 0, x, REAL),
        equation("subtract_zero", x - 0, x, EXACT),
        equation("zero_minus", 0 - x, -x, REAL),
        equation("times_one", x * 1, x, EXACT),
        equation("divide_by_one", x / 1, x, EXACT),
        equation("times_minus_one", x * -1, -x, EXACT),
        equation("power_one", power(x, 1), x, EXACT),
        equation("power_zero", power(x, 0), constant(1.0), EXACT),
        equation("power_two", power(x, 2), square(x), REAL),
        equation("power_half", power(x, 0.5), sqrt(x), REAL),
        equation("power_minus_one", power(x, -1), 1 / x, REAL),
        equation("times_zero", x * 0, constant(0.0), FINITE),
        equation("zero_over", 0 / x, constant(0.0), FINITE),
        equation("minus_itself", x - x, constant(0.0), FINITE),
        equation("over_itself", x / x, constant(1.0), FINITE),
        # signs
        equation("double_negative", negative(-x), x, EXACT),
        equation("negative_difference", -(x - y), y - x, REAL, when=_x_free, where="x is no number"),
        equation("negative_left", (-x) * y, -(x * y), EXACT, when=_xy_free, where="y is no number", commute=False),
        equation("negative_right", x * (-y), -(x * y), EXACT, when=_xy_free, where="x is no number", commute=False),
        equation("negative_factor_of_number", c * (-x), (-c) * x, EXACT),
        equation("negative_of_scaled", -(c * x), (-c) * x, EXACT),
        equation("negative_left_matrix", matmul(-X, Y), -matmul(X, Y), EXACT),
        equation("negative_right_matrix", matmul(X, -Y), -matmul(X, Y), EXACT),
        equation("negative_numerator", (-x) / y, -(x / y), EXACT),
        equation("negative_divisor", x / (-y), -(x / y), EXACT),
        equation("negative_number_over", c / x, -((-c) / x), EXACT, when=_negative, where="c < 0"),
        equation("add_negative", x + (-y), x - y, EXACT),
        equation("subtract_negative", x - (-y), x + y, EXACT),
        equation("negative_minus", (-x) - y, -(x + y), REAL),
        equation("add_negative_multiple", x + c * y, x - (-c) * y, EXACT, when=_negative, where="c < 0"),
        equation("subtract_negative_multiple", x - c * y, x + (-c) * y, EXACT, when=_negative, where="c < 0"),
        equation("square_of_negative", square(-x), square(x), EXACT),
        equation("abs_of_negative", abs_(-x), abs_(x), EXACT, when=_signed, where="x has a sign"),
        # numbers to the left, and together
        equation("number_left", x * c, c * x, EXACT, when=_x_free, where="x is no number", commute=False),
        equation("collect_numbers", c * (d * x), (c * d) * x, REAL),
        equation(
            "number_out_of_left",
            (c * x) * y,
            c * (x * y),
            REAL,
            when=_alike,
            where="x, y are no numbers, both arrays or both scalars",
            commute=False,
        ),
        equation(
            "number_out_of_right",
            x * (c * y),
            c * (x * y),
            REAL,
            when=_alike,
            where="x, y are no numbers, both arrays or both scalars",
            commute=False,
        ),
        equation(
            "number_out_of_quotient",
            (c * x) / y,
            c * (x / y),
            REAL,
            when=_alike,
            where="x, y are no numbers, both arrays or both scalars",
        ),
        equation(
            "number_out_of_divisor",
            x / (c * y),
            (1 / c) * (x / y),
            REAL,
            when=_alike,
            where="x, y are no numbers, both arrays or both scalars",
        ),
        equation("collect_divisors", (x / c) / d, x / (c * d), REAL),
        equation(
            "number_over_scaled",
            c / (d * x),
            (c / d) / x,
            REAL,
            when=_no_fraction,
            where="d is not whole or c/d is: 1/(2x) stays",
        ),
        equation("number_over_number", c * (x / d), (c / d) * x, REAL),
        equation("scaled_over_number", (c * x) / d, (c / d) * x, REAL),
        equation("number_times_quotient", c * (d / x), (c * d) / x, REAL),
        equation("scaled_over_scaled", (c * x) / (d * y), ((c / d) * x) / y, REAL),
        equation("square_of_scaled", square(c * x), (c * c) * square(x), REAL),
        # scalars outside
        equation(
            "scalar_left",
            x * (s * y),
            s * (x * y),
            REAL,
            when=_scalar_times_arrays,
            where="s is a scalar, x and y are not",
            arrays="xy",
        ),
        equation(
            "number_to_scalar",
            s * (c * x),
            (c * s) * x,
            REAL,
            when=_scalar_times_array,
            where="s is a scalar but no number, x is an array",
            arrays="x",
        ),
        equation(
            "numbers_before_scalar", c * ((d * s) * x), ((c * d) * s) * x, REAL, when=_scalar, where="s is a scalar"
        ),
        equation("times_reciprocal", (1 / s) * x, x / s, REAL, when=_scalar, where="s is a scalar"),
        equation("collect_scalar_divisors", (x / s) / y, x / (s * y), REAL, when=_scalars, where="s, y are scalars"),
        equation(
            "divisor_out_of_arrays", (x / s) * y, (x * y) / s, REAL, when=_alike_arrays, where=_ALIKE, arrays="xy"
        ),
        equation("common_factor_sum", s * x + s * y, s * (x + y), REAL, when=_scalar, where="s is a scalar"),
        equation("common_factor_difference", s * x - s * y, s * (x - y), REAL, when=_scalar, where="s is a scalar"),
        equation("common_divisor_sum", x / s + y / s, (x + y) / s, REAL, when=_scalar, where="s is a scalar"),
        equation("common_divisor_difference", x / s - y / s, (x - y) / s, REAL, when=_scalar, where="s is a scalar"),
        # like terms
        equation("twice", x + x, 2 * x, EXACT),
        equation("times_itself", x * x, square(x), EXACT),
        equation("like_terms", c * x + d * x, (c + d) * x, REAL, when=_x_free, where="x is no number"),
        equation("twice_subtracted", (x - y) - y, x - 2 * y, REAL, when=_xy_free, where="x, y are no numbers"),
        equation("twice_less", (x - y) + x, 2 * x - y, REAL, when=_xy_free, where="x, y are no numbers"),
        equation("twice_added", (x + y) + y, x + 2 * y, REAL, when=_xy_free, where="x, y are no numbers"),
        equation("like_term", x + c * x, (c + 1) * x, REAL, when=_x_free, where="x is no number"),
        equation("like_term_less_itself", c * x - x, (c - 1) * x, REAL, when=_x_free, where="x is no number"),
        equation("itself_less_like_term", x - c * x, (1 - c) * x, REAL, when=_x_free, where="x is no number"),
        # inverse functions and choices
        equation("exp_of_log", exp(log(x)), x, FINITE),
        equation("log_of_exp", log(exp(x)), x, REAL),
        equation("root_of_square", sqrt(square(x)), abs_(x), REAL),
        equation("square_of_root", square(sqrt(x)), x, FINITE),
        equation("same_branches", where(mask, x, x), x, EXACT),
        equation("abs_by_halves", maximum(0, x) - minimum(0, x), abs_(x), EXACT),
    )


def _scalars_and_array(found: Mapping[str, Node]) -> bool:
    return not found["s"].shape and not found["t"].shape and bool(found["x"].shape)


def _spread_by_factor(found: Mapping[str, Node]) -> bool:
    inner = dims.broadcast(found["x"].shape, found["y"].shape)
    return dims.broadcast(inner, found["s"].shape) != inner


def _by_rows(expr: Expr) -> Expr | None:
    """Multiply last with what is the same along the last two axes: rows of NumPy's inner loop become longer."""
    for laid, other in (expr.inputs, expr.inputs[::-1]):
        if laid.op is not EXPAND_DIMS or laid.inputs[0].op is not multiply or expr.ndim < 3:
            continue
        one, two = (_laid(operand, laid) for operand in laid.inputs[0].inputs)
        for u, v in ((one, two), (two, one)):
            if u.shape[-2:] == (1, 1) and other.shape[-2:] == (expr.shape[-2], 1) and other.shape[-2] != 1:
                return u * (v * other)
    return None


def _laid(operand: Expr, like: Expr) -> Expr:
    """Give an operand of a product the axes that the product got."""
    product = like.inputs[0]
    return expand_dims(expand_dims(operand, range(-product.ndim, -operand.ndim)), like.params["axes"])


def _dot_of_rows(expr: Expr) -> Expr | None:
    """Sum squares without an array of them, in one call."""
    (rows,) = expr.inputs[0].inputs
    if expr.params["axes"] != (-1,) or not 2 <= rows.ndim <= len(ascii_lowercase) or rows.dtype != expr.dtype:
        return None
    labels = ascii_lowercase[: rows.ndim]
    found = apply(EINSUM, rows, rows, subscripts=f"{labels},{labels}->{labels[:-1]}")
    return expand_dims(found, -1) if expr.params["keepdims"] else found


def _gather() -> tuple[Rule, ...]:
    x, y, s, t = (symbol(name) for name in "xyst")

    def rule(name: str, left: Expr, right: Expr) -> Rule:
        where = "s, t are scalars, x is an array"
        return equation(name, left, right, REAL, when=_scalars_and_array, where=where, arrays="x")

    def common(name: str, left: Expr, right: Expr) -> Rule:
        where = "x and y have fewer elements than their products with s"
        return equation(name, left, right, REAL, when=_spread_by_factor, where=where, arrays="s")

    return (
        rule("gather_factors", s * (t * x), (s * t) * x),
        rule("gather_divisor", (s * x) / t, (s / t) * x),
        rule("gather_factor", s * (x / t), (s / t) * x),
        Rule(
            name="gather_before_product",
            equation="s * (x * y) = (s * x) * y, (x * y) / s = (x / s) * y where s is a scalar and x smaller than y",
            strength=REAL,
            roots=(multiply, divide),
            rewrite=_scaled_before_product,
            examples=lambda: [
                symbol("s") * (symbol("x", "N") * symbol("Y", ("D", "N"))),
                (symbol("Y", ("D", "N")) * symbol("x", "N")) / symbol("s"),
            ],
            fits=lambda ops: multiply in ops,
        ),
        Rule(
            name="number_below_view",
            equation="c * x[:, None] = (c * x)[:, None] where x is scaled or negated already, and so for other views",
            strength=EXACT,
            roots=(multiply,),
            rewrite=_scaled_below_view,
            examples=lambda: [
                2 * expand_dims(-symbol("x", "N"), -1),
                3 * (symbol("X", ("N", "D")) / symbol("c")).T,
            ],
            fits=lambda ops: CONSTANT in ops and not _VIEWS.isdisjoint(ops),
        ),
        common("common_array_sum", s * x + s * y, s * (x + y)),
        common("common_array_difference", s * x - s * y, s * (x - y)),
        Rule(
            name="outer_product_by_rows",
            equation="(uᵢ vₖ) Sⱼ = uᵢ (vₖ Sⱼ), which is multiplied in longer rows",
            strength=REAL,
            roots=(multiply,),
            rewrite=_by_rows,
            examples=lambda: [
                outer(symbol("u", "N"), symbol("v", "D"))[:, None] * symbol("S", ("M", "N", "K"))[:, :, :, None],
                symbol("S", ("N", "K", 1)) * outer(symbol("u", "N"), symbol("v", "D"))[:, None],
            ],
            fits=lambda ops: EXPAND_DIMS in ops,
        ),
        Rule(
            name="dot_of_rows",
            equation="sum(x², axis=-1) = Σⱼ xᵢⱼ xᵢⱼ",
            strength=REAL,
            roots=(SUM,),
            rewrite=_dot_of_rows,
            examples=lambda: [
                apply(SUM, square(symbol("x", ("N", "D"))), axes=(-1,), keepdims=False),
                apply(SUM, square(symbol("x", ("N", "M", "D"))), axes=(-1,), keepdims=True),
            ],
            fits=lambda ops: ops == (square,),
        ),
    )


def _scaled_before_product(expr: Expr) -> Expr | None:
    """Scale what is smaller than a product in place of the product."""
    scalar, product = expr.inputs if expr.op is multiply else expr.inputs[::-1]
    if scalar.shape or product.op is not multiply or not product.shape:
        return None
    for small, other in (product.inputs, product.inputs[::-1]):
        if not small.shape or len(small.shape) - small.shape.count(1) >= len(product.shape) - product.shape.count(1):
            continue
        if one_arithmetic(each.dtype for each in (expr, small, other)):
            return multiply(multiply(scalar, small) if expr.op is multiply else divide(small, scalar), other)
    return None


def _scaled_below_view(expr: Expr) -> Expr | None:
    """Multiply with a number where it meets another one."""
    for scale, view in (expr.inputs, expr.inputs[::-1]):
        if scalar_of(scale.node) is None or view.op not in _VIEWS:
            continue
        (x,) = view.inputs
        is_scaled = x.op is negative or (x.op in {multiply, divide} and any(not each.shape for each in x.inputs))
        if is_scaled and x.dtype == expr.dtype:
            return apply(view.op, multiply(scale, x), **view.params)
    return None


def _tidy() -> tuple[Rule, ...]:
    x, y, s = (symbol(name) for name in "xys")
    where = "s is a scalar"
    return (
        equation("divisor_out_left", (x / s) * y, (x * y) / s, REAL, when=_scalar, where=where, commute=False),
        equation("divisor_out_right", x * (y / s), (x * y) / s, REAL, when=_scalar, where=where, commute=False),
        equation("square_of_square", square(square(x)), power(x, 4), REAL),
    )


@stated
def _choices() -> tuple[Rule, ...]:
    x, y = symbol("x"), symbol("y")
    mask = symbol("b", dtype=bool)
    return (
        equation("one_choice", where(mask, x, 0) + where(mask, 0, y), where(mask, x, y), REAL),
        equation("one_choice_less", where(mask, x, 0) - where(mask, 0, y), where(mask, x, -y), REAL),
    )


def _negative_summand(expr: Expr) -> Expr | None:
    (summand,) = expr.inputs
    if summand.dtype != expr.dtype:  # small integers are summed as large ones, whose negatives are others
        return None
    return -apply(expr.op, summand.inputs[0], **expr.params)


SIGN_OUT_OF_SUM = Rule(
    name="sign_out_of_sum",
    equation="sum(−x) = −sum(x), mean(−x) = −mean(x)",
    strength=EXACT,
    roots=(SUM, MEAN),
    rewrite=_negative_summand,
    examples=lambda: [apply(SUM, -symbol("x", ("N", "D")), axes=(-1,), keepdims=False), mean(-symbol("x", "N"))],
    fits=lambda ops: ops == (negative,),
)


SIGN_OUT_OF_VIEW = Rule(
    name="sign_out_of_view",
    equation="(−X)ᵀ = −Xᵀ, and so with axes that come or go",
    strength=EXACT,
    roots=(EXPAND_DIMS, SQUEEZE, TRANSPOSE),
    rewrite=lambda expr: -apply(expr.op, expr.inputs[0].inputs[0], **expr.params),
    examples=lambda: [(-symbol("X", ("N", "D"))).T, outer(-symbol("x", "N"), symbol("y", "D"))],
    fits=lambda ops: ops == (negative,),
)


@stated
def algebra() -> tuple[Rule, ...]:
    """Give the rules of the canonical form."""
    return (*_algebra(), SIGN_OUT_OF_SUM, SIGN_OUT_OF_VIEW)


@stated
def gather() -> tuple[Rule, ...]:
    """Give the rules that multiply scalars before they meet an array: what costs least."""
    return _gather()


_MOST_FACTORS = 8  # of a power: the product is right to 4 units in the last place


def _product_of_equals(x: Expr, count: int) -> Expr:
    if count == 1:
        return x
    return x * _product_of_equals(x, count - 1) if count % 2 else square(_product_of_equals(x, count // 2))


def _power_by_products(expr: Expr) -> Expr | None:
    x, exponent = expr.inputs
    c = scalar_of(exponent.node)
    if c is None or not 0 < abs(c) <= _MOST_FACTORS or 2 * c != int(2 * c) or {expr.dtype.kind, x.dtype.kind} != {"f"}:
        return None
    whole, half = divmod(abs(c), 1)
    found = sqrt(x) if half else _product_of_equals(x, int(whole))
    if half and whole:
        found = _product_of_equals(x, int(whole)) * found
    return found if c > 0 else 1 / found


def _times_power_of_two(expr: Expr) -> Expr | None:
    x, divisor = expr.inputs
    c = scalar_of(divisor.node)
    if not c or {expr.dtype, divisor.dtype} != {x.dtype} or x.dtype.kind != "f" or x.op is CONSTANT:
        return None
    least = float(np.finfo(x.dtype).smallest_normal)
    return (1 / c) * x if math.frexp(c)[0] in {0.5, -0.5} and least < abs(c) < 1 / least else None


def _cheap() -> tuple[Rule, ...]:
    _x, _y = symbol("x"), symbol("y")
    symbol("b", dtype=bool)
    return (
        Rule(
            name="power_by_products",
            equation="x^c = x ⋯ x, x^(c + ½) = x ⋯ x √x, x^(−c) = 1/x^c for whole c up to 8",
            strength=REAL,
            roots=(power,),
            rewrite=_power_by_products,
            examples=lambda: [power(symbol("x", "N"), c) for c in (3, 4, 7, -2, -5, 0.5, 1.5, -0.5, -2.5)],
            fits=lambda ops: ops[1] is CONSTANT,
        ),
        Rule(
            name="times_power_of_two",
            equation="x/c = (1/c)·x where c is a power of 2",
            strength=EXACT,
            roots=(divide,),
            rewrite=_times_power_of_two,
            examples=lambda: [symbol("x", "N") / 4, symbol("x") / -0.125],
            fits=lambda ops: ops[1] is CONSTANT,
        ),
        *_choices(),
    )


@stated
def cheap() -> tuple[Rule, ...]:
    """Give the rules of the last pass: the same values by cheaper operations, which no other rule is to look for.

    A power takes as long as twenty products, a choice as a few.
    """
    return _cheap()


@stated
def outward() -> tuple[Rule, ...]:
    """Give the rules that put scalar divisors outside: what reads best."""
    return (*_tidy(), *_choices())
