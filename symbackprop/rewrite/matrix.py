"""Matrix algebra: identities, inverses, determinants, traces, norms, Kronecker products, and what facts allow.

`MATRIX` makes nothing dearer to compute, `CHEAPER` is for computing alone, `FORMULA_ONLY` for reading alone, and
`BEFORE` for what is done to an expression before it is differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from symbackprop.expr import Expr
from symbackprop.graph import Graph, Origin, attributed
from symbackprop.op import Op, apply, scalar_value
from symbackprop.ops import abs as abs_
from symbackprop.ops import (
    add,
    assume,
    broadcast_to,
    divide,
    equal,
    eye,
    kron,
    log,
    matmul,
    maximum,
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
from symbackprop.ops import diag as diag_
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import DIAG, DIAGONAL, EYE, KRON, TRACE, outer
from symbackprop.ops.elementwise import RELU
from symbackprop.ops.layout import BROADCAST_TO, TRANSPOSE, matrix_transpose
from symbackprop.ops.leaf import size_of
from symbackprop.ops.linalg import LOGABSDET, LOGDET, NORM, UNIT, det, inv, norm, slogdet, solve
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.engine import Rule, Strength
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.product import Factor, Product, is_square, is_transpose, outer_operands, product_of, row_of

EXACT, REAL, FINITE = Strength
_MOST_SCALARS = 8  # factors before a vector among which its norm is looked for
_MOST_TERMS = 12  # of a sum in which common factors are looked for


def _turned(expr: Expr) -> Expr | None:
    """Give the matrices of which these are the transposes."""
    return expr.inputs[0] if is_transpose(expr) else None


def _rule(
    name: str,
    equation: str,
    rewrite: Callable[[Expr], Expr | None],
    examples: Callable[[], Sequence[Expr]],
    *,
    roots: tuple[Op, ...],
    below: tuple[Op, ...] = (),
    strength: Strength = REAL,
) -> Rule:
    """State a rule; `below` are the ops of which one must make an operand, any unless told."""
    return Rule(
        name=name,
        equation=equation,
        strength=strength,
        roots=roots,
        rewrite=rewrite,
        examples=examples,
        fits=lambda ops: not below or any(op in below for op in ops),
    )


def _square(name: str = "A") -> Expr:
    return symbol(name, ("N", "N"))


def _below_turned(expr: Expr) -> Expr | None:
    inner = _turned(expr.inputs[0])
    return None if inner is None else apply(expr.op, inner)


def _inverse_of_turned(expr: Expr) -> Expr | None:
    inner = _turned(expr.inputs[0])
    return None if inner is None else matrix_transpose(inv(inner))


def _inverse_of_inverse(expr: Expr) -> Expr | None:
    return expr.inputs[0].inputs[0] if expr.inputs[0].op is inv else None


def _det_of_inverse(expr: Expr) -> Expr | None:
    inner = expr.inputs[0]
    if inner.op is not inv:
        return None
    below = apply(expr.op, inner.inputs[0])
    return -below if expr.op is LOGABSDET else 1 / below


def _identity_factor(expr: Expr) -> Expr | None:
    """Leave out the identity; a scalar before it goes before the product."""
    for identity, other in (expr.inputs, expr.inputs[::-1]):
        scale, rest = None, identity
        if identity.op is multiply and not identity.inputs[0].shape:
            scale, rest = identity.inputs
        if rest.op is EYE and rest.shape[0] == rest.shape[1]:
            return other if scale is None else scale * other
    return None


def _turned_identity(expr: Expr) -> Expr | None:
    (x,) = expr.inputs
    if x.op is not EYE or expr.params["axes"] != (-1, -2):
        return None
    return eye(x.shape[1], x.shape[0], x.dtype, graph=expr.graph)


def _diagonal_of_diag(expr: Expr) -> Expr | None:
    return expr.inputs[0].inputs[0] if expr.inputs[0].op is DIAG else None


def _log_of_size(expr: Expr) -> Expr | None:
    size = expr.inputs[0]
    if size.op is not abs_ or size.inputs[0].op is not det:
        return None
    return apply(LOGABSDET, *size.inputs[0].inputs)


def _power_of_length(expr: Expr) -> tuple[Expr, float] | None:
    """Give x with its norm and n where the expression is ‖x‖ⁿ."""
    if expr.op is NORM:
        return expr, 1
    if expr.op is square and expr.inputs[0].op is NORM:
        return expr.inputs[0], 2
    exponent = scalar_value(expr.inputs[1]) if expr.op is power and expr.inputs[0].op is NORM else None
    return None if exponent is None else (expr.inputs[0], float(exponent))


def _length_times_unit(expr: Expr) -> Expr | None:
    for one, unit in (expr.inputs, expr.inputs[::-1]):
        if unit.op is UNIT and not one.shape:
            return _lengthened(_scalar_factors(one), unit)
        if unit.op is UNIT and _is_length_of(one, unit):
            return unit.inputs[0]
    return None


def _scalar_factors(scalar: Expr) -> list[Expr]:
    factors = [scalar]
    while factors[-1].op is multiply and len(factors) < _MOST_SCALARS:
        factors[-1:] = factors[-1].inputs
    return factors


def _is_length_of(length: Expr, unit: Expr) -> bool:
    """Tell whether this is the norm that a vector was divided by, in a shape that multiplies it."""
    axes = unit.params["axes"]
    if length.op is not NORM or length.inputs != unit.inputs or length.params["axes"] != axes:
        return False
    return bool(length.params["keepdims"]) or len(axes) == unit.ndim


def _lengthened(scalars: list[Expr], unit: Expr) -> Expr | None:
    """Put x, and one norm less, for x/‖x‖ where a power of the norm is among its factors."""
    for at, scalar in enumerate(scalars):
        length, exponent = _power_of_length(scalar) or (scalar, 0.0)
        if exponent < 1 or not _is_length_of(length, unit):
            continue
        less = [length] if exponent == 2 else [power(length, exponent - 1)] if exponent != 1 else []
        found = unit.inputs[0]
        for factor in reversed([*scalars[:at], *less, *scalars[at + 1 :]]):
            found = factor * found
        return found
    return None


def _turned_product(expr: Expr) -> Expr | None:
    """Turn the factors where one of them is turned already, so that fewer transposes are left."""
    (product,) = expr.inputs
    if product.op is not matmul or expr.params["axes"] != (-1, -2):
        return None
    left, right = product.inputs
    if min(left.ndim, right.ndim) < 2:
        return None
    one, other = _turned(left), _turned(right)
    if one is None and other is None:
        return None
    return matmul(
        matrix_transpose(right) if other is None else other,
        matrix_transpose(left) if one is None else one,
    )


def _orthogonal() -> Expr:
    return assume(_square("Q"), orthogonal=True)


def _undoes(one: Expr, other: Expr) -> bool:
    """Tell whether two matrices are inverse to one another."""
    for left, right in ((one, other), (other, one)):
        if left.op is inv and left.inputs[0] is right:
            return True
        inner = _turned(left)
        if inner is right and is_square(right) and "orthogonal" in known(right):
            return True
    return False


def _inverse_beside(expr: Expr) -> Expr | None:
    left, right = expr.inputs
    if left.ndim >= 2 and right.ndim >= 2 and _undoes(left, right):
        return eye(expr.shape[-1], dtype=expr.dtype, graph=expr.graph) if expr.ndim == 2 else None
    if right.op is matmul and left.ndim >= 2 and right.inputs[0].ndim >= 2 and _undoes(left, right.inputs[0]):
        return right.inputs[1]
    if left.op is matmul and right.ndim >= 2 and left.inputs[1].ndim >= 2 and _undoes(left.inputs[1], right):
        return left.inputs[0]
    return None


def _inverse_of_orthogonal(expr: Expr) -> Expr | None:
    (q,) = expr.inputs
    return matrix_transpose(q) if "orthogonal" in known(q) else None


def _symmetric(expr: Expr) -> Expr | None:
    inner = _turned(expr)
    return inner if inner is not None and is_square(inner) and "symmetric" in known(inner) else None


def _nonnegative(expr: Expr) -> Expr | None:
    if expr.op is maximum:
        for bound, x in (expr.inputs, expr.inputs[::-1]):
            if scalar_value(bound) == 0 and x.shape == expr.shape and "nonnegative" in known(x):
                return x
        return None
    return expr.inputs[0] if "nonnegative" in known(expr.inputs[0]) else None


def _log_of_det(expr: Expr) -> Expr | None:
    (value,) = expr.inputs
    return apply(LOGDET, value.inputs[0]) if value.op is det and value.dtype == expr.dtype else None


def _diagonal_times_vector(expr: Expr) -> Expr | None:
    for one, other in (expr.inputs, expr.inputs[::-1]):
        if one.op is DIAG and one.ndim == 2 and other.ndim == 1:
            return one.inputs[0] * other
    return None


def _kron_product(expr: Expr) -> Expr | None:
    left, right = expr.inputs
    if left.op is not KRON or right.op is not KRON or min(left.ndim, right.ndim) < 2:
        return None
    (a, b), (c, d) = left.inputs, right.inputs
    return kron(a @ c, b @ d) if a.shape[-1] == c.shape[0] and b.shape[-1] == d.shape[0] else None


def _kron_inside(expr: Expr) -> Expr | None:
    product = expr.inputs[0]
    if product.op is not KRON or product.ndim < 2:
        return None
    a, b = product.inputs
    if expr.op is inv:
        return kron(inv(a), inv(b)) if is_square(a) and is_square(b) else None
    left, right = _turned(a), _turned(b)
    if not is_transpose(expr) or (left is None and right is None):
        return None
    return kron(matrix_transpose(a) if left is None else left, matrix_transpose(b) if right is None else right)


def _kron_outside(expr: Expr) -> Expr | None:
    product = expr.inputs[0]
    if product.op is not KRON or not all(is_square(each) for each in product.inputs):
        return None
    a, b = product.inputs
    if expr.op is TRACE:
        return trace(a) * trace(b)
    rows = [size_of(each.shape[0], expr.dtype, graph=expr.graph) for each in (a, b)]
    return power(det(a), rows[1]) * power(det(b), rows[0])


def _matrix() -> tuple[Rule, ...]:
    return (
        _rule(
            "inverse_of_inverse",
            "(A⁻¹)⁻¹ = A",
            _inverse_of_inverse,
            lambda: [inv(inv(_square()))],
            roots=(inv,),
            below=(inv,),
        ),
        _rule(
            "inverse_of_transpose",
            "(Aᵀ)⁻¹ = (A⁻¹)ᵀ",
            _inverse_of_turned,
            lambda: [inv(_square().T)],
            roots=(inv,),
            below=(TRANSPOSE,),
        ),
        _rule(
            "det_of_inverse",
            "det(A⁻¹) = 1/det(A), log|det(A⁻¹)| = −log|det(A)|",
            _det_of_inverse,
            lambda: [det(inv(_square())), slogdet(inv(_square())).logabsdet],
            roots=(det, LOGABSDET),
            below=(inv,),
        ),
        _rule(
            "det_of_transpose",
            "det(Aᵀ) = det(A), log|det(Aᵀ)| = log|det(A)|",
            _below_turned,
            lambda: [det(_square().T), slogdet(_square().T).logabsdet],
            roots=(det, LOGABSDET),
            below=(TRANSPOSE,),
        ),
        _rule(
            "transpose_of_product",
            "(AᵀB)ᵀ = BᵀA, (ABᵀ)ᵀ = BAᵀ",
            _turned_product,
            lambda: [
                (symbol("A", ("N", "D")).T @ _square("B")).T,
                (_square() @ symbol("B", ("D", "N")).T).T,
            ],
            roots=(TRANSPOSE,),
            below=(matmul,),
        ),
        _rule(
            "trace_of_transpose",
            "tr(Aᵀ) = tr(A), diag(Aᵀ) = diag(A)",
            _below_turned,
            lambda: [trace(symbol("A", ("N", "D")).T), diag_(_square().T)],
            roots=(TRACE, DIAGONAL),
            below=(TRANSPOSE,),
            strength=EXACT,
        ),
        _rule(
            "log_of_size_of_det",
            "log(|det(A)|) = log|det(A)|, which does not overflow",
            _log_of_size,
            lambda: [log(abs_(det(_square())))],
            roots=(log,),
            below=(abs_,),
        ),
        _rule(
            "identity_factor",
            "AI = A, IA = A, A(sI) = sA",
            _identity_factor,
            lambda: [
                symbol("A", ("N", "D")) @ eye("D"),
                eye("N") @ symbol("x", "N"),
                symbol("A", ("N", "D")) @ (symbol("s") * eye("D")),
            ],
            roots=(matmul,),
            below=(EYE, multiply),
        ),
        _rule(
            "identity_transpose",
            "Iᵀ = I",
            _turned_identity,
            lambda: [eye("N").T, eye("N", "D").T],
            roots=(TRANSPOSE,),
            below=(EYE,),
            strength=EXACT,
        ),
        _rule(
            "diagonal_of_diag",
            "diag(diag(x)) = x",
            _diagonal_of_diag,
            lambda: [diag_(diag_(symbol("x", "N")))],
            roots=(DIAGONAL,),
            below=(DIAG,),
            strength=EXACT,
        ),
        _rule(
            "length_times_unit",
            "‖x‖·(x/‖x‖) = x",
            _length_times_unit,
            lambda: [
                norm(symbol("x", "N")) * apply(UNIT, symbol("x", "N"), axes=(-1,)),
                (symbol("s") * norm(symbol("x", "N")) ** 3) * apply(UNIT, symbol("x", "N"), axes=(-1,)),
            ],
            roots=(multiply,),
            below=(UNIT,),
        ),
        _rule(
            "inverse_beside",
            "A⁻¹A = AA⁻¹ = I, A⁻¹(AB) = (BA)A⁻¹ = B, QᵀQ = I, Qᵀ(QB) = B where Q is orthogonal",
            _inverse_beside,
            lambda: [
                inv(_square()) @ (_square() @ symbol("x", "N")),
                _square("B") @ _square() @ inv(_square()),
                inv(_square()) @ _square(),
                _orthogonal().T @ (_orthogonal() @ symbol("x", "N")),
            ],
            roots=(matmul,),
            below=(inv, TRANSPOSE),
        ),
        _rule(
            "inverse_of_orthogonal",
            "Q⁻¹ = Qᵀ where Q is orthogonal",
            _inverse_of_orthogonal,
            lambda: [inv(_orthogonal())],
            roots=(inv,),
        ),
        _rule(
            "symmetric",
            "Aᵀ = A where A is symmetric",
            _symmetric,
            lambda: [
                assume(_square("S"), symmetric=True).T,
                inv(assume(_square("S"), symmetric=True)).T,
                (symbol("X", ("N", "D")).T @ symbol("X", ("N", "D"))).T,
            ],
            roots=(TRANSPOSE,),
        ),
        _rule(
            "nonnegative",
            "|x| = max(0, x) = relu(x) = x where x ≥ 0",
            _nonnegative,
            lambda: [
                abs_(assume(symbol("p"), positive=True)),
                maximum(0, square(symbol("x", "N"))),
                apply(RELU, norm(symbol("x", "N"))),
            ],
            roots=(abs_, maximum, RELU),
        ),
        _rule(
            "log_of_det",
            "log(det(A)) = log|det(A)| where det(A) > 0, else NaN, by slogdet, which does not overflow",
            _log_of_det,
            lambda: [log(det(_square() @ _square().T))],
            roots=(log,),
            below=(det,),
        ),
        _rule(
            "diagonal_times_vector",
            "diag(a)x = a ⊙ x",
            _diagonal_times_vector,
            lambda: [diag_(symbol("a", "N")) @ symbol("x", "N"), symbol("x", "N") @ diag_(symbol("a", "N"))],
            roots=(matmul,),
            below=(DIAG,),
        ),
        _rule(
            "kron_product",
            "(A ⊗ B)(C ⊗ D) = AC ⊗ BD",
            _kron_product,
            lambda: [
                kron(symbol("A", ("N", "D")), _square("B")) @ kron(symbol("C", ("D", "K")), symbol("E", ("N", "M")))
            ],
            roots=(matmul,),
            below=(KRON,),
        ),
        _rule(
            "kron_transpose",
            "(Aᵀ ⊗ Bᵀ)ᵀ = A ⊗ B, (A ⊗ B)⁻¹ = A⁻¹ ⊗ B⁻¹",
            _kron_inside,
            lambda: [
                kron(symbol("A", ("N", "D")).T, symbol("B", ("M", "N")).T).T,
                inv(kron(_square(), symbol("B", ("M", "M")))),
            ],
            roots=(TRANSPOSE, inv),
            below=(KRON,),
        ),
        _rule(
            "kron_trace",
            "tr(A ⊗ B) = tr(A)·tr(B), det(A ⊗ B) = det(A)ⁿdet(B)ᵐ where A has m rows and B has n",
            _kron_outside,
            lambda: [trace(kron(_square(), symbol("B", ("M", "M")))), det(kron(_square(), symbol("B", ("M", "M"))))],
            roots=(TRACE, det),
            below=(KRON,),
        ),
    )


# --- what is done for computing alone -------------------------------------------------------------------------


def _solved(expr: Expr) -> Expr | None:
    """Solve a system where the product with an inverse is asked for."""
    left, right = expr.inputs
    if left.op is inv:
        return solve(left.inputs[0], right)
    turned = _turned(left)
    if turned is not None and turned.op is inv:
        return solve(matrix_transpose(turned.inputs[0]), right)
    if right.op is inv and left.ndim == right.ndim == 2:
        return matrix_transpose(solve(matrix_transpose(right.inputs[0]), matrix_transpose(left)))
    if right.op is inv and left.ndim == 1 and right.ndim == 2:
        return solve(matrix_transpose(right.inputs[0]), left)
    return None


def _trace_of_product(expr: Expr) -> Expr | None:
    """Compute only the diagonal of a product."""
    product = expr.inputs[0]
    if product.op is not matmul or min(operand.ndim for operand in product.inputs) < 2 or expr.dtype != product.dtype:
        return None
    left, right = product.inputs
    return sum_(left * matrix_transpose(right), axis=(-2, -1))


def _product_with_ones(expr: Expr) -> Expr | None:
    """Sum where every row, or every column, of a factor is the same number."""
    left, right = expr.inputs
    if min(left.ndim, right.ndim) < 2:
        return None
    for copies, x, axis in ((left, right, -2), (right, left, -1)):
        if copies.op is BROADCAST_TO and not copies.inputs[0].shape and x.dtype == expr.dtype:
            return broadcast_to(copies.inputs[0] * sum_(x, axis=axis, keepdims=True), expr.shape)
    return None


def _cheaper() -> tuple[Rule, ...]:
    return (
        _rule(
            "solve",
            "A⁻¹b = solve(A, b), A⁻ᵀb = solve(Aᵀ, b)",
            _solved,
            lambda: [
                inv(_square()) @ symbol("b", "N"),
                inv(_square()).T @ symbol("B", ("N", "D")),
                symbol("b", "N") @ inv(_square()),
                symbol("B", ("D", "N")) @ inv(_square()),
            ],
            roots=(matmul,),
            below=(inv, TRANSPOSE),
        ),
        _rule(
            "trace_of_product",
            "tr(AB) = sum(A ⊙ Bᵀ)",
            _trace_of_product,
            lambda: [trace(symbol("A", ("N", "D")) @ symbol("B", ("D", "N")))],
            roots=(TRACE,),
            below=(matmul,),
        ),
        _rule(
            "product_with_ones",
            "broadcast(s) A = s·sum of the rows of A, A broadcast(s) = s·sum of its columns",
            _product_with_ones,
            lambda: [
                broadcast_to(symbol("s"), ("N", "N")) @ symbol("A", ("N", "D")),
                symbol("A", ("N", "D")) @ broadcast_to(symbol("s"), ("D", "N")),
            ],
            roots=(matmul,),
            below=(BROADCAST_TO,),
        ),
    )


# --- what is done for reading alone ---------------------------------------------------------------------------


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
    inner = _turned(expr)
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
        turned = _turned(left)
        if turned is not None and left.ndim == 2:
            return trace(turned @ right)
    left, right = product.inputs
    return left @ right if product.ndim == 1 else None


def _trace_of_outer(expr: Expr) -> Expr | None:
    """Turn a product round from a row to a column, where it is the outer product of vectors."""
    product = product_of(expr.inputs[0], known) if expr.ndim == 0 else None
    factors = () if product is None else product.factors
    at = next((at for at, factor in enumerate(factors) if factor.is_column), None)
    if product is None or at is None or expr.dtype != product.like.dtype:
        return None
    return product.scaled(row_of((*factors[at + 1 :], *factors[: at + 1])))


def _det_of_scaled(expr: Expr) -> Expr | None:
    a = expr.inputs[0]
    if a.op is not multiply or a.inputs[0].shape or a.dtype != expr.dtype:
        return None
    scalar, rest = a.inputs
    return power(scalar, size_of(rest.shape[-1], expr.dtype, graph=expr.graph)) * det(rest)


def _unit_over_length(expr: Expr) -> Expr | None:
    """Write x/‖x‖/‖x‖ⁿ as one quotient."""
    above, below = expr.inputs
    length, exponent = _power_of_length(below) or (below, 0.0)
    scalars, unit = [], above
    while unit.op is multiply and not unit.inputs[0].shape:
        scalars.append(unit.inputs[0])
        unit = unit.inputs[1]
    if exponent < 1 or unit.op is not UNIT or not _is_length_of(length, unit):
        return None
    found = unit.inputs[0] / (square(length) if exponent == 1 else power(length, exponent + 1))
    for scalar in reversed(scalars):
        found = scalar * found
    return found


def _unguarded(expr: Expr) -> Expr | None:
    """Leave out the choice that a derivative makes for where an operand is zero."""
    choice = expr.inputs[-1]
    condition, at_zero, otherwise = choice.inputs if choice.op is where else (expr, expr, expr)
    if condition.op is not equal or not choice.node.backward or scalar_value(condition.inputs[1]) != 0:
        return None
    x = condition.inputs[0]
    if expr.op is power:
        fits = otherwise.op is subtract and otherwise.inputs[0] is x and scalar_value(at_zero) == 1
    else:
        fits = otherwise is x
    return apply(expr.op, *expr.inputs[:-1], broadcast_to(otherwise, choice.shape)) if fits else None


def _backward(build: Callable[[], Expr]) -> Expr:
    """Build an expression as a derivative is built."""
    with attributed(Origin(None, backward=True)):
        return build()


def _formula(
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

    return _rule(name, equation, rewrite, made, roots=roots, below=below, strength=strength)


def _formula_only() -> tuple[Rule, ...]:
    return (
        _formula(
            "shorter_product",
            "A(sBᵀA)ᵀ = sAAᵀB, (AB)⁻¹A = B⁻¹: factors are turned and inverted where fewer signs are left",
            _shorter_product,
            lambda A, B, X, x, b, s: [
                X.T @ (s * (B.T @ X)),
                (B.T @ (X @ X.T)).T @ A,
                inv(A @ B) @ A,
                inv(inv(A) @ B),
                outer(x, x) @ outer(x, x),
            ],
            roots=(matmul, TRANSPOSE, inv, multiply),
        ),
        _formula(
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
        _formula(
            "squared_length",
            "sum(x²) = ‖x‖², xᵀx = ‖x‖²",
            _squared_length,
            lambda A, B, X, x, b, s: [sum_(square(x)), sum_(square(X)), (A @ x) @ (A @ x)],
            roots=(SUM, matmul),
        ),
        _formula(
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
        _formula(
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
        _formula(
            "unguarded",
            "x^where(y = 0, 1, y − 1) = x^(y − 1), log(where(x = 0, 1, x)) = log(x), z/where(x = 0, ∞, x) = z/x",
            _unguarded,
            lambda A, B, X, x, b, s: [
                _backward(lambda: power(x, where(equal(b, 0), 1, b - 1))),
                _backward(lambda: log(where(equal(x, 0), 1, x))),
                _backward(lambda: b / where(equal(x, 0), math.inf, x)),
            ],
            roots=(power, log, divide),
            below=(where,),
            strength=FINITE,
        ),
        _formula(
            "trace_of_outer",
            "tr(Aabᵀ) = bᵀAa",
            _trace_of_outer,
            lambda A, B, X, x, b, s: [trace(s * A @ outer(x, b) @ B)],
            roots=(TRACE,),
            below=(matmul, multiply),
        ),
        _formula(
            "det_of_scaled",
            "det(sA) = sⁿdet(A)",
            _det_of_scaled,
            lambda A, B, X, x, b, s: [det(s * A)],
            roots=(det,),
            below=(multiply,),
        ),
    )


# --- what is done before differentiation ----------------------------------------------------------------------


def _square_of_length(expr: Expr) -> Expr | None:
    """Give the sum of squares, whose derivative has no norm in it."""
    (length,) = expr.inputs
    if length.op is not NORM or length.dtype != expr.dtype:
        return None
    return apply(SUM, square(length.inputs[0]), **length.params)


_BEFORE = {"log_of_det", "log_of_size_of_det", "kron_trace"}


def _before() -> tuple[Rule, ...]:
    return (
        _rule(
            "square_of_length",
            "‖x‖² = sum(x²)",
            _square_of_length,
            lambda: [square(norm(symbol("x", "N")))],
            roots=(square,),
            below=(NORM,),
        ),
    )


with Graph(scratch=True):
    MATRIX: tuple[Rule, ...] = _matrix()
    CHEAPER: tuple[Rule, ...] = _cheaper()
    FORMULA_ONLY: tuple[Rule, ...] = _formula_only()
    BEFORE: tuple[Rule, ...] = (*_before(), *(rule for rule in MATRIX if rule.name in _BEFORE))
