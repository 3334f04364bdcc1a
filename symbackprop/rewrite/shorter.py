"""Matrix algebra for reading alone: products with as few signs as possible, and their common factors out of sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from symbackprop.expr import Expr
from symbackprop.graph import Origin, attributed
from symbackprop.op import Op, apply, scalar_value
from symbackprop.ops import (
    add,
    assume,
    broadcast_to,
    divide,
    equal,
    eye,
    log,
    logical_and,
    matmul,
    multiply,
    negative,
    power,
    square,
    subtract,
    symbol,
    symbols,
    trace,
    where,
    zeros_like,
)
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import EYE, TRACE, outer
from symbackprop.ops.determinants import det
from symbackprop.ops.layout import EXPAND_DIMS, TRANSPOSE, matrix_transpose
from symbackprop.ops.leaf import size_of
from symbackprop.ops.norms import UNIT, norm
from symbackprop.ops.reduce import SUM
from symbackprop.ops.systems import inv, solve
from symbackprop.rewrite.engine import Rule, Strength
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.matrix import is_length_of, matrix_rule, power_of_length, transposed
from symbackprop.rewrite.product import Factor, Product, is_square, is_transpose, outer_operands, product_of, row_of

_, REAL, FINITE = Strength
_MOST_FACTORS = 16  # of a product that is searched for the slope of a sigmoid
_MOST_TERMS = 12  # of a sum in which common factors are looked for


def _shorter_product(expr: Expr) -> Expr | None:
    """Write a product with fewer symbols and signs, with what is scalar in it outside."""
    if expr.ndim > 2 or (expr.op is multiply and outer_operands(expr) is None):
        return None
    product = product_of(expr, known)
    if product is None:
        return None
    outside = product.number != 1 or product.scalars or product.divisors
    as_transpose = expr.op is matmul and product.turned() is not None
    return product.build() if outside or as_transpose or product.is_shorter else None


def _terms(expr: Expr) -> list[tuple[bool, Expr]] | None:
    """Give the terms of a sum, each with whether it is subtracted."""
    found: list[tuple[bool, Expr]] = []
    stack = [(False, expr)]
    while stack:
        minus, term = stack.pop()
        if term.shape != expr.shape or term.dtype != expr.dtype or len(found) + len(stack) > _MOST_TERMS:
            return None
        if term.op is negative:
            stack.append((not minus, term.inputs[0]))
        elif term.op in {add, subtract}:
            left, right = term.inputs
            stack += [(minus is not (term.op is subtract), right), (minus, left)]
        else:
            found.append((minus, term))
    return found


def _common_factor(expr: Expr) -> Expr | None:
    """Merge a term of one operand of a sum with a term of the other."""
    if expr.ndim not in {1, 2} or expr.dtype.kind != "f":
        return None
    sides = [_terms(operand) for operand in expr.inputs]
    if any(side is None for side in sides) or any(operand.shape != expr.shape for operand in expr.inputs):
        return None
    left, right = ([(minus, term, product_of(term, known)) for minus, term in side or ()] for side in sides)
    if expr.op is subtract:
        right = [(not minus, term, product) for minus, term, product in right]
    for at, (minus, _, one) in enumerate(left):
        for place, (opposite, _, other) in enumerate(right):
            merged = None
            if one is not None and other is not None:
                merged = _merged(one, other, opposite=minus is not opposite)
            if merged is not None:
                before, after = left[:at], [*left[at + 1 :], *right[:place], *right[place + 1 :]]
                terms = [*before, (minus, merged, one), *after]
                return _total([(sign, term) for sign, term, _ in terms])
    turned = [(minus, _turned_matrix(term)) for minus, term, _ in [*left, *right]]
    inner = [(minus, term) for minus, term in turned if term is not None]
    return matrix_transpose(_total(inner)) if len(inner) == len(turned) else None


def _turned_matrix(expr: Expr) -> Expr | None:
    """Give the matrix that this is the transpose of; A⁻ᵀ has one sign, and stays."""
    inner = transposed(expr)
    return None if inner is None or inner.op is inv or expr.ndim != 2 else inner


def _total(terms: Sequence[tuple[bool, Expr]]) -> Expr:
    """Add up terms, those that are subtracted after the others."""
    positive = [term for minus, term in terms if not minus]
    opposite = [term for minus, term in terms if minus]
    total = positive[0] if positive else -opposite.pop(0)
    for term in positive[1:]:
        total = total + term
    for term in opposite:
        total = total - term
    return total


def _merged(one: Product, other: Product, *, opposite: bool) -> Expr | None:
    """Give the sum, or the difference, of two products with a common factor as one product; None without one."""
    left, right = one.factors, other.factors
    shortest = min(len(left), len(right))
    outside, scales = _scales(one, other)
    if left == right and shortest > 1:
        return _like_terms(outside, scales, opposite=opposite)
    head, tail = _shared(left, right), _shared(left[::-1], right[::-1])
    head, tail = head * (head < shortest), tail * (tail < shortest)
    if left == right or any(scale.scalars or scale.divisors for scale in scales) or head == tail == 0:
        if shortest == 0 or (outside.number in {1, -1} and not outside.scalars and not outside.divisors):
            return None
        terms = [
            (scale.number < 0, replace(scale, number=abs(scale.number)).scaled(each.row()))
            for scale, each in zip(scales, (one, other), strict=True)
        ]
        return outside.scaled(_total([terms[0], (terms[1][0] is not opposite, terms[1][1])]))
    parts = (left[head:], right[head:]) if head >= tail else (left[: len(left) - tail], right[: len(right) - tail])
    first, second = (scale.scaled(row_of(part)) for scale, part in zip(scales, parts, strict=True))
    if not opposite and is_transpose(first):
        first, second = second, first
    inner = first - second if opposite else first + second
    if head >= tail:
        is_row = parts[0][0].is_row and not parts[0][-1].is_column
        row = (*left[:head], Factor(inner, turned=is_row))
    else:
        row = (Factor(inner), *left[len(left) - tail :])
    return outside.scaled(row_of(row))


def _like_terms(outside: Product, scales: tuple[Product, Product], *, opposite: bool) -> Expr:
    """Add up what stands before two terms with the same row."""
    first, second = (_scale_alone(scale) for scale in scales)
    total = first - second if opposite else first + second
    if isinstance(total, Expr):
        return outside.scaled(total * outside.row())
    return replace(outside, number=total * outside.number).build() if total else zeros_like(outside.like)


def _shared(left: Sequence[Factor], right: Sequence[Factor]) -> int:
    """Count the factors that both begin with."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _scales(one: Product, other: Product) -> tuple[Product, tuple[Product, Product]]:
    """Give what two products share before their rows, and what each has beside it."""
    shared: list[list[Expr]] = [[], []]
    own: list[list[list[Expr]]] = [[[], []], [[], []]]
    for at, (left, right) in enumerate([(one.scalars, other.scalars), (one.divisors, other.divisors)]):
        theirs = list(right)
        for scalar in left:
            if scalar in theirs:
                theirs.remove(scalar)
                shared[at].append(scalar)
            else:
                own[0][at].append(scalar)
        own[1][at] = theirs
    common = abs(one.number) == abs(other.number)
    number = one.number if common else 1.0

    def scale(number: float, parts: list[list[Expr]]) -> Product:
        return replace(one, number=number, scalars=tuple(parts[0]), divisors=tuple(parts[1]))

    return scale(number, shared), (scale(one.number / number, own[0]), scale(other.number / number, own[1]))


def _scale_alone(scale: Product) -> Any:
    """Give what stands before a row: an expression, or a number."""
    found: Any = scale.number
    for scalar in scale.scalars:
        found = found * scalar
    for divisor in scale.divisors:
        found = found / divisor
    return found


def _squared_length(expr: Expr) -> Expr | None:
    """Write a sum of squares as the square of a norm."""
    if expr.dtype.kind != "f":
        return None
    if expr.op is matmul:
        left, right = expr.inputs
        return square(norm(left)) if left is right and left.ndim == 1 and left.inputs else None
    (squared,) = expr.inputs
    if squared.op is not square or len(expr.params["axes"]) != squared.ndim or not 1 <= squared.ndim <= 2:
        return None
    x = squared.inputs[0]
    return square(norm(x)) if x.shape == squared.shape and x.dtype == expr.dtype else None


def _sum_of_products(expr: Expr) -> Expr | None:
    """Write a sum over all elements of a product as the product or the trace that it is."""
    (product,) = expr.inputs
    if product.op is not multiply or len(expr.params["axes"]) != product.ndim or expr.dtype != product.dtype:
        return None
    for left, right in (product.inputs, product.inputs[::-1]):
        if not left.shape == right.shape == product.shape or left.dtype != right.dtype:
            return None
        if left.op is EYE and is_square(left) and left.ndim == 2:
            return trace(right)
        pair = outer_operands(left)
        if pair is not None:
            return pair[0] @ (right @ pair[1])
        turned = transposed(left)
        if turned is not None and left.ndim == 2:
            return trace(turned @ right)
    left, right = product.inputs
    return left @ right if product.ndim == 1 and not _holds_slope(product) else None


def _sum_along(expr: Expr) -> Expr | None:
    """Write a sum along one axis of a matrix times a vector as their product."""
    (product,) = expr.inputs
    axes = expr.params["axes"]
    if product.op is not multiply or product.ndim != 2 or len(axes) != 1 or expr.params["keepdims"]:
        return None
    for matrix, weights in (product.inputs, product.inputs[::-1]):
        if matrix.shape != product.shape or not matrix.dtype == weights.dtype == expr.dtype:
            continue
        x = weights.inputs[0] if weights.op is EXPAND_DIMS else weights
        along_rows = x is weights or weights.shape[0] == 1
        if x.shape == product.shape[-1:] and along_rows and axes == (-1,):
            return matrix @ x
        if x.shape == product.shape[:1] and not along_rows and axes == (-2,):
            return matrix_transpose(matrix) @ x
    return None


def _holds_slope(product: Expr) -> bool:
    """Tell whether s and 1 - s are among the factors: they are read together, as the slope of a sigmoid."""
    factors = [product]
    for factor in factors:
        if factor.op is multiply and len(factors) < _MOST_FACTORS:
            factors += factor.inputs
    slopes = (factor for factor in factors if factor.op is subtract and scalar_value(factor.inputs[0]) == 1)
    return any(slope.inputs[1] in factors for slope in slopes)


def _trace_of_outer(expr: Expr) -> Expr | None:
    """Turn a product round from a row to a column, where it is the outer product of vectors."""
    product = product_of(expr.inputs[0], known) if expr.ndim == 0 else None
    factors = () if product is None else product.factors
    at = next((at for at, factor in enumerate(factors) if factor.is_column), None)
    if product is None or at is None or expr.dtype != product.like.dtype:
        return None
    return product.scaled(row_of((*factors[at + 1 :], *factors[: at + 1])))


def _distributed(expr: Expr) -> Expr | None:
    """Multiply a sum out where the factor cancels with a term: A⁻¹(AX + B)."""
    for at, total in enumerate(expr.inputs):
        terms = _terms(total) if total.op in {add, subtract} else None
        if terms is None or len(terms) != 2 or not expr.shape or total.ndim > 2:
            continue
        factor = expr.inputs[1 - at]
        sides = [(term, factor) if at == 0 else (factor, term) for _, term in terms]
        for (_, term), side in zip(terms, sides, strict=True):
            before, after = product_of(term, known), product_of(matmul(*side), known)
            if before is None or after is None or after.length >= before.length:
                continue
            return _total([(sign, matmul(*pair)) for (sign, _), pair in zip(terms, sides, strict=True)])
    return None


def _product_of_dets(expr: Expr) -> Expr | None:
    left, right = expr.inputs
    if left.op is not det or right.op is not det or left.inputs[0].shape != right.inputs[0].shape:
        return None
    return det(left.inputs[0] @ right.inputs[0])


def _det_of_scaled(expr: Expr) -> Expr | None:
    a = expr.inputs[0]
    if a.op is not multiply or a.inputs[0].shape or a.dtype != expr.dtype:
        return None
    scalar, rest = a.inputs
    return power(scalar, size_of(rest.shape[-1], expr.dtype, graph=expr.graph)) * det(rest)


def _unit_over_length(expr: Expr) -> Expr | None:
    """Write x/‖x‖/‖x‖ⁿ as one quotient."""
    above, below = expr.inputs
    length, exponent = power_of_length(below) or (below, 0.0)
    scalars, unit = [], above
    while unit.op is multiply and not unit.inputs[0].shape:
        scalars.append(unit.inputs[0])
        unit = unit.inputs[1]
    if exponent < 1 or unit.op is not UNIT or not is_length_of(length, unit):
        return None
    found = unit.inputs[0] / (square(length) if exponent == 1 else power(length, exponent + 1))
    for scalar in reversed(scalars):
        found = scalar * found
    return found


def _unguarded(expr: Expr) -> Expr | None:
    """Leave out what a derivative does for where operands are zero."""
    position = 0 if expr.op is power else -1
    guarded = expr.inputs[position]
    x = _unchosen(guarded) if guarded.node.backward else None
    if x is None:
        return None
    operands = [*expr.inputs]
    operands[position] = broadcast_to(x, guarded.shape)
    return apply(expr.op, *operands)


def _unchosen(guarded: Expr) -> Expr | None:
    """Give x of ``where(x = 0, c, x)`` and of ``x + [x = 0 ∧ y = 0]``."""
    if guarded.op is where:
        condition, _, x = guarded.inputs
    elif guarded.op is add and guarded.inputs[1].op is logical_and:
        x, both = guarded.inputs
        condition = both.inputs[0]
    else:
        return None
    return x if condition.op is equal and condition.inputs[0] is x and scalar_value(condition.inputs[1]) == 0 else None


def _backward(build: Callable[[], Expr]) -> Expr:
    """Build an expression as a derivative is built."""
    with attributed(Origin(None, backward=True)):
        return build()


def _shorter_rule(
    name: str,
    equation: str,
    rewrite: Callable[[Expr], Expr | None],
    examples: Callable[[Expr, Expr, Expr, Expr, Expr, Expr], Sequence[Expr]],
    *,
    roots: tuple[Op, ...],
    below: tuple[Op, ...] = (),
    strength: Strength = REAL,
) -> Rule:
    """State a rule with examples made of square matrices A and B, a matrix X, vectors x and b, a scalar s."""

    def made() -> Sequence[Expr]:
        return examples(*symbols("A[N,N] B[N,N] X[N,D] x[N] b[N] s"))

    return matrix_rule(name, equation, rewrite, made, roots=roots, below=below, strength=strength)


def _shorter() -> tuple[Rule, ...]:
    return (
        _shorter_rule(
            "shorter_product",
            "A(sBᵀA)ᵀ = sAAᵀB, (AB)⁻¹A = B⁻¹: factors are turned and inverted where fewer signs are left",
            _shorter_product,
            lambda A, B, X, x, b, s: [
                X.T @ (s * (B.T @ X)),
                (B.T @ (X @ X.T)).T @ A,
                inv(A @ B) @ A,
                inv(inv(A) @ B),
                outer(x, x) @ outer(x, x),
                solve(A @ B, A @ x),
                b @ (A.T @ x),
            ],
            roots=(matmul, TRANSPOSE, inv, solve, multiply),
        ),
        _shorter_rule(
            "common_factor",
            "AX + BX = (A + B)X, XA + XB = X(A + B), abᵀ + acᵀ = a(b + c)ᵀ, sAX + tAX = (s + t)AX",
            _common_factor,
            lambda A, B, X, x, b, s: [
                A @ X + B @ X,
                A.T @ (A @ x) - A.T @ x,
                outer(x, b @ X) - outer(x, x @ X),
                2 * (A @ x) - B @ x,
                (A @ B) @ X - A @ (B @ X),
                x @ A + s * (A.T @ x),
            ],
            roots=(add, subtract),
        ),
        _shorter_rule(
            "squared_length",
            "sum(x²) = ‖x‖², xᵀx = ‖x‖²",
            _squared_length,
            lambda A, B, X, x, b, s: [sum_(square(x)), sum_(square(X)), (A @ x) @ (A @ x)],
            roots=(SUM, matmul),
        ),
        _shorter_rule(
            "sum_of_products",
            "sum(a ⊙ b) = aᵀb, sum(A ⊙ I) = tr(A), sum(abᵀ ⊙ A) = aᵀAb, sum(Aᵀ ⊙ B) = tr(AB)",
            _sum_of_products,
            lambda A, B, X, x, b, s: [
                sum_(x * b),
                sum_(A * eye("N")),
                sum_(outer(x, b @ X) * X),
                sum_(A.T * B),
            ],
            roots=(SUM,),
            below=(multiply,),
        ),
        _shorter_rule(
            "sum_along",
            "sum(A ⊙ xᵀ, axis=1) = Ax, sum(A ⊙ x, axis=0) = Aᵀx",
            _sum_along,
            lambda A, B, X, x, b, s: [
                sum_(A * x, axis=1),
                sum_(x[None, :] * A, axis=1),
                sum_(A * x[:, None], axis=0),
            ],
            roots=(SUM,),
            below=(multiply,),
        ),
        _shorter_rule(
            "unit_over_length",
            "(x/‖x‖)/‖x‖ⁿ = x/‖x‖ⁿ⁺¹",
            _unit_over_length,
            lambda A, B, X, x, b, s: [
                (s * apply(UNIT, x, axes=(-1,))) / square(norm(x)),
                apply(UNIT, X, axes=(-2, -1)) / norm(X),
            ],
            roots=(divide,),
            below=(UNIT, multiply),
            strength=FINITE,
        ),
        _shorter_rule(
            "unguarded",
            "(x + [x = 0 ∧ y = 0])^z = x^z, log(where(x = 0, 1, x)) = log(x), z/where(x = 0, ∞, x) = z/x",
            _unguarded,
            lambda A, B, X, x, b, s: [
                _backward(lambda: power(x + logical_and(equal(x, 0), equal(b, 0)), b - 1)),
                _backward(lambda: log(where(equal(x, 0), 1, x))),
                _backward(lambda: b / where(equal(x, 0), math.inf, x)),
            ],
            roots=(power, log, divide),
            below=(where, add),
            strength=FINITE,
        ),
        _shorter_rule(
            "trace_of_outer",
            "tr(Aabᵀ) = bᵀAa",
            _trace_of_outer,
            lambda A, B, X, x, b, s: [trace(s * A @ outer(x, b) @ B)],
            roots=(TRACE,),
            below=(matmul, multiply),
        ),
        _shorter_rule(
            "distributed",
            "A⁻¹(AX + B) = X + A⁻¹B, Qᵀ(QX − B) = X − QᵀB where Q is orthogonal",
            _distributed,
            lambda A, B, X, x, b, s: [
                inv(A) @ (A @ X + X),
                (B @ A - B) @ inv(A),
                assume(symbol("Q", ("N", "N")), orthogonal=True).T @ (symbol("Q", ("N", "N")) @ x - b),
            ],
            roots=(matmul,),
            below=(add, subtract),
        ),
        _shorter_rule(
            "product_of_dets",
            "det(A)·det(B) = det(AB)",
            _product_of_dets,
            lambda A, B, X, x, b, s: [det(A) * det(B)],
            roots=(multiply,),
            below=(det,),
        ),
        _shorter_rule(
            "det_of_scaled",
            "det(sA) = sⁿdet(A)",
            _det_of_scaled,
            lambda A, B, X, x, b, s: [det(s * A)],
            roots=(det,),
            below=(multiply,),
        ),
    )


SHORTER: tuple[Rule, ...] = _shorter()
