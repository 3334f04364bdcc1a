"""Matrix algebra: identities, inverses, determinants, traces, norms, Kronecker products, and what facts allow.

`MATRIX` makes nothing dearer to compute, `BEFORE` is for what is done to an expression before it is differentiated,
and `SAME` lets factors that differ by a transpose or a scalar be seen as one, before products are multiplied out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symbackprop.expr import Expr
from symbackprop.op import Op, apply, scalar_value
from symbackprop.ops import abs as abs_
from symbackprop.ops import (
    assume,
    divide,
    exp,
    eye,
    kron,
    log,
    matmul,
    maximum,
    multiply,
    negative,
    ones_like,
    power,
    square,
    symbol,
    trace,
    zeros_like,
)
from symbackprop.ops import diag as diag_
from symbackprop.ops.contract import ADD_WHERE_EQUAL, DIAG, DIAGONAL, EYE, KRON, TRACE
from symbackprop.ops.determinants import COFACTORS, LOGABSDET, LOGDET, SIGNDET, cofactors_by_inverse, det, slogdet
from symbackprop.ops.elementwise import RELU
from symbackprop.ops.layout import TRANSPOSE, matrix_transpose
from symbackprop.ops.leaf import size_of
from symbackprop.ops.norms import NORM, UNIT, norm
from symbackprop.ops.reduce import SUM
from symbackprop.ops.systems import SOLVE_TRIANGULAR, inv, solve, solve_triangular
from symbackprop.rewrite.engine import Rule, Strength
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.product import is_square, is_transpose

EXACT, REAL, FINITE = Strength
_MOST_SCALARS = 8  # factors before a vector among which its norm is looked for


def transposed(expr: Expr) -> Expr | None:
    """Give the matrices of which these are the transposes."""
    return expr.inputs[0] if is_transpose(expr) else None


def matrix_rule(
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
    inner = transposed(expr.inputs[0])
    return None if inner is None else apply(expr.op, inner)


def _inverse_of_turned(expr: Expr) -> Expr | None:
    inner = transposed(expr.inputs[0])
    return None if inner is None else matrix_transpose(apply(expr.op, inner))


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
    return eye(x.shape[1], x.shape[0], dtype=x.dtype, graph=expr.graph)


def _diagonal_of_diag(expr: Expr) -> Expr | None:
    return expr.inputs[0].inputs[0] if expr.inputs[0].op is DIAG else None


def _diagonal_of_scaled(expr: Expr) -> Expr | None:
    """Scale the diagonal instead of the matrix."""
    for scalar, matrix in (expr.inputs[0].inputs, expr.inputs[0].inputs[::-1]):
        if not scalar.shape and matrix.shape and matrix.dtype == expr.dtype:
            return scalar * apply(expr.op, matrix, **expr.params)
    return None


def _log_of_size(expr: Expr) -> Expr | None:
    size = expr.inputs[0]
    if size.op is not abs_ or size.inputs[0].op is not det:
        return None
    return apply(LOGABSDET, *size.inputs[0].inputs)


def power_of_length(expr: Expr) -> tuple[Expr, float] | None:
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
        if unit.op is UNIT and is_length_of(one, unit):
            return unit.inputs[0]
    return None


def _scalar_factors(scalar: Expr) -> list[Expr]:
    factors = [scalar]
    while factors[-1].op is multiply and len(factors) < _MOST_SCALARS:
        factors[-1:] = factors[-1].inputs
    return factors


def is_length_of(length: Expr, unit: Expr) -> bool:
    """Tell whether this is the norm that a vector was divided by, in a shape that multiplies it."""
    axes = unit.params["axes"]
    if length.op is not NORM or length.inputs != unit.inputs or length.params["axes"] != axes:
        return False
    return bool(length.params["keepdims"]) or len(axes) == unit.ndim


def _lengthened(scalars: list[Expr], unit: Expr) -> Expr | None:
    """Put x, and one norm less, for x/‖x‖ where a power of the norm is among its factors."""
    for at, scalar in enumerate(scalars):
        length, exponent = power_of_length(scalar) or (scalar, 0.0)
        if exponent < 1 or not is_length_of(length, unit):
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
    one, other = transposed(left), transposed(right)
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
        inner = transposed(left)
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
    inner = transposed(expr)
    return inner if inner is not None and is_square(inner) and "symmetric" in known(inner) else None


def _scalar_out_of_system(expr: Expr) -> Expr | None:
    """Take a scalar out of the right side: systems with sides that differ by it are solved once."""
    matrix, side = expr.inputs
    if side.op is negative:
        return -apply(expr.op, matrix, side.inputs[0], **expr.params)
    if side.op is divide and not side.inputs[1].shape and side.inputs[0].shape:
        return apply(expr.op, matrix, side.inputs[0], **expr.params) / side.inputs[1]
    if side.op is multiply:
        for scalar, x in (side.inputs, side.inputs[::-1]):
            if not scalar.shape and x.shape:
                return scalar * apply(expr.op, matrix, x, **expr.params)
    return None


def _symmetric_first(expr: Expr) -> Expr | None:
    """Let products with a symmetric matrix from either side be one."""
    if expr.ndim != 1:
        return None
    v, matrix = expr.inputs
    if v.ndim == 1 and matrix.ndim == 2 and "symmetric" in known(matrix):
        return matmul(matrix, v)
    return None


def _vector_from_other_side(expr: Expr) -> Expr | None:
    """Let products of a vector with a matrix and with its transpose, from one side or the other, be one."""
    left, right = expr.inputs
    if right.ndim == 1:
        inner = transposed(left)
        return None if inner is None else matmul(right, inner)
    inner = transposed(right) if left.ndim == 1 else None
    return None if inner is None else matmul(inner, left)


def _turned_sum_with_identity(expr: Expr) -> Expr | None:
    """Let a matrix to which a diagonal is added and its transpose be one."""
    dense, block = expr.inputs
    inner = transposed(dense)
    if inner is None or inner.ndim != 2 or expr.params["pattern"] != "aa" or expr.params["runs"] or block.ndim > 1:
        return None
    return matrix_transpose(apply(expr.op, inner, block, **expr.params))


def _transpose_inside(expr: Expr) -> Expr | None:
    """Take the transposes away from the operands of what is transposed, where half of them or more have one."""
    inner = transposed(expr)
    if inner is None or not inner.op.elementwise or inner.ndim < 2:
        return None
    turned = [transposed(operand) for operand in inner.inputs]
    straight = [one is None and bool(operand.shape) for one, operand in zip(turned, inner.inputs, strict=True)]
    if len(turned) - turned.count(None) < max(sum(straight), 1) or any(operand.ndim == 1 for operand in inner.inputs):
        return None
    operands = [
        matrix_transpose(operand) if at_length else operand if one is None else one
        for one, operand, at_length in zip(turned, inner.inputs, straight, strict=True)
    ]
    return apply(inner.op, *operands, **inner.params)


def _length_of_turned(expr: Expr) -> Expr | None:
    """Leave out an orthogonal factor, which keeps lengths."""
    (product,) = expr.inputs
    if product.op is not matmul or len(expr.params["axes"]) != product.ndim:
        return None
    left, right = product.inputs
    if left.ndim == 2 and right.ndim <= 2 and "orthogonal" in known(left):
        return norm(right)
    if right.ndim == 2 and left.ndim <= 2 and "orthogonal" in known(right):
        return norm(left)
    return None


def _length_of_negative(expr: Expr) -> Expr | None:
    return apply(NORM, expr.inputs[0].inputs[0], **expr.params) if expr.inputs[0].op is negative else None


def _det_of_orthogonal(expr: Expr) -> Expr | None:
    return zeros_like(expr) if "orthogonal" in known(expr.inputs[0]) else None


def _cofactors_by_inverse(expr: Expr) -> Expr | None:
    (matrix,) = expr.inputs
    return None if known(matrix).isdisjoint({"positive_definite", "orthogonal"}) else cofactors_by_inverse(matrix)


def _sign_of_definite(expr: Expr) -> Expr | None:
    return ones_like(expr) if "positive_definite" in known(expr.inputs[0]) else None


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
    left, right = transposed(a), transposed(b)
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
        matrix_rule(
            "inverse_of_inverse",
            "(A⁻¹)⁻¹ = A",
            _inverse_of_inverse,
            lambda: [inv(inv(_square()))],
            roots=(inv,),
            below=(inv,),
        ),
        matrix_rule(
            "inverse_of_transpose",
            "(Aᵀ)⁻¹ = (A⁻¹)ᵀ, and so for cofactors",
            _inverse_of_turned,
            lambda: [inv(_square().T), apply(COFACTORS, _square().T)],
            roots=(inv, COFACTORS),
            below=(TRANSPOSE,),
        ),
        matrix_rule(
            "det_of_inverse",
            "det(A⁻¹) = 1/det(A), log|det(A⁻¹)| = −log|det(A)|",
            _det_of_inverse,
            lambda: [det(inv(_square())), slogdet(inv(_square())).logabsdet],
            roots=(det, LOGABSDET),
            below=(inv,),
        ),
        matrix_rule(
            "det_of_transpose",
            "det(Aᵀ) = det(A), log|det(Aᵀ)| = log|det(A)|",
            _below_turned,
            lambda: [det(_square().T), slogdet(_square().T).logabsdet],
            roots=(det, LOGABSDET),
            below=(TRANSPOSE,),
        ),
        matrix_rule(
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
        matrix_rule(
            "trace_of_transpose",
            "tr(Aᵀ) = tr(A), diag(Aᵀ) = diag(A)",
            _below_turned,
            lambda: [trace(symbol("A", ("N", "D")).T), diag_(_square().T)],
            roots=(TRACE, DIAGONAL),
            below=(TRANSPOSE,),
            strength=EXACT,
        ),
        matrix_rule(
            "diagonal_of_scaled",
            "tr(sA) = s tr(A), diag(sA) = s diag(A) where s is a scalar",
            _diagonal_of_scaled,
            lambda: [trace(symbol("s") * _square()), diag_(2 * _square())],
            roots=(TRACE, DIAGONAL),
            below=(multiply,),
        ),
        matrix_rule(
            "log_of_size_of_det",
            "log(|det(A)|) = log|det(A)|, which does not overflow",
            _log_of_size,
            lambda: [log(abs_(det(_square())))],
            roots=(log,),
            below=(abs_,),
        ),
        matrix_rule(
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
        matrix_rule(
            "identity_transpose",
            "Iᵀ = I",
            _turned_identity,
            lambda: [eye("N").T, eye("N", "D").T],
            roots=(TRANSPOSE,),
            below=(EYE,),
            strength=EXACT,
        ),
        matrix_rule(
            "diagonal_of_diag",
            "diag(diag(x)) = x",
            _diagonal_of_diag,
            lambda: [diag_(diag_(symbol("x", "N")))],
            roots=(DIAGONAL,),
            below=(DIAG,),
            strength=EXACT,
        ),
        matrix_rule(
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
        matrix_rule(
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
        matrix_rule(
            "inverse_of_orthogonal",
            "Q⁻¹ = Qᵀ where Q is orthogonal",
            _inverse_of_orthogonal,
            lambda: [inv(_orthogonal())],
            roots=(inv,),
        ),
        matrix_rule(
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
        matrix_rule(
            "scalar_out_of_system",
            "A⁻¹(sb) = s A⁻¹b, A⁻¹(b/s) = (A⁻¹b)/s, A⁻¹(−b) = −A⁻¹b where s is a scalar",
            _scalar_out_of_system,
            lambda: [
                solve(_square(), symbol("s") * symbol("x", "N")),
                solve(_square(), symbol("B", ("N", "D")) / symbol("s")),
                solve(_square(), -symbol("x", "N")),
                solve_triangular(_square(), symbol("s") * symbol("x", "N"), lower=True),
            ],
            roots=(solve, SOLVE_TRIANGULAR),
            below=(multiply, divide, negative),
        ),
        matrix_rule(
            "symmetric_first",
            "vᵀA = Av where A is symmetric",
            _symmetric_first,
            lambda: [symbol("v", "N") @ assume(_square("S"), symmetric=True)],
            roots=(matmul,),
        ),
        matrix_rule(
            "vector_from_other_side",
            "Aᵀv = vᵀA, vᵀAᵀ = Av",
            _vector_from_other_side,
            lambda: [symbol("A", ("N", "D")).T @ symbol("v", "N"), symbol("v", "D") @ symbol("A", ("N", "D")).T],
            roots=(matmul,),
            below=(TRANSPOSE,),
        ),
        matrix_rule(
            "turned_sum_with_identity",
            "Aᵀ + diag(v) = (A + diag(v))ᵀ",
            _turned_sum_with_identity,
            lambda: [
                apply(ADD_WHERE_EQUAL, _square().T, symbol("s"), pattern="aa", owned=False, runs=()),
                apply(ADD_WHERE_EQUAL, _square().T, symbol("v", "N"), pattern="aa", owned=False, runs=()),
            ],
            roots=(ADD_WHERE_EQUAL,),
            below=(TRANSPOSE,),
            strength=EXACT,
        ),
        matrix_rule(
            "transpose_inside",
            "f(Aᵀ, Bᵀ)ᵀ = f(A, B), f(Aᵀ, B)ᵀ = f(A, Bᵀ) where f acts on each element",
            _transpose_inside,
            lambda: [
                exp(symbol("X", ("N", "D")).T).T,
                (symbol("X", ("N", "D")).T * symbol("Y", ("N", "D")).T).T,
                (symbol("X", ("N", "D")).T - symbol("Y", ("D", "N"))).T,
            ],
            roots=(TRANSPOSE,),
            strength=EXACT,
        ),
        matrix_rule(
            "norm_of_rotated",
            "‖Qx‖ = ‖x‖ where Q is orthogonal",
            _length_of_turned,
            lambda: [norm(_orthogonal() @ symbol("x", "N")), norm(symbol("X", ("D", "N")) @ _orthogonal())],
            roots=(NORM,),
            below=(matmul,),
        ),
        matrix_rule(
            "norm_of_negative",
            "‖−x‖ = ‖x‖",
            _length_of_negative,
            lambda: [norm(-symbol("x", "N")), norm(-symbol("X", ("N", "D")), axis=0)],
            roots=(NORM,),
            below=(negative,),
            strength=EXACT,
        ),
        matrix_rule(
            "det_of_orthogonal",
            "log|det(Q)| = 0 where Q is orthogonal",
            _det_of_orthogonal,
            lambda: [slogdet(_orthogonal()).logabsdet],
            roots=(LOGABSDET,),
        ),
        matrix_rule(
            "cofactors_by_inverse",
            "cofactors(A) = det(A)·A⁻ᵀ where A is positive definite or orthogonal",
            _cofactors_by_inverse,
            lambda: [COFACTORS(assume(_square("P"), positive_definite=True))],
            roots=(COFACTORS,),
        ),
        matrix_rule(
            "sign_of_definite",
            "sign(det(A)) = 1 where A is positive definite",
            _sign_of_definite,
            lambda: [slogdet(assume(_square("P"), positive_definite=True)).sign],
            roots=(SIGNDET,),
        ),
        matrix_rule(
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
        matrix_rule(
            "log_of_det",
            "log(det(A)) = log|det(A)| where det(A) > 0, else NaN, by slogdet, which does not overflow",
            _log_of_det,
            lambda: [log(det(_square() @ _square().T))],
            roots=(log,),
            below=(det,),
        ),
        matrix_rule(
            "diagonal_times_vector",
            "diag(a)x = a ⊙ x",
            _diagonal_times_vector,
            lambda: [diag_(symbol("a", "N")) @ symbol("x", "N"), symbol("x", "N") @ diag_(symbol("a", "N"))],
            roots=(matmul,),
            below=(DIAG,),
        ),
        matrix_rule(
            "kron_product",
            "(A ⊗ B)(C ⊗ D) = AC ⊗ BD",
            _kron_product,
            lambda: [
                kron(symbol("A", ("N", "D")), _square("B")) @ kron(symbol("C", ("D", "K")), symbol("E", ("N", "M")))
            ],
            roots=(matmul,),
            below=(KRON,),
        ),
        matrix_rule(
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
        matrix_rule(
            "kron_trace",
            "tr(A ⊗ B) = tr(A)·tr(B), det(A ⊗ B) = det(A)ⁿdet(B)ᵐ where A has m rows and B has n",
            _kron_outside,
            lambda: [trace(kron(_square(), symbol("B", ("M", "M")))), det(kron(_square(), symbol("B", ("M", "M"))))],
            roots=(TRACE, det),
            below=(KRON,),
        ),
    )


# --- what is done before differentiation ----------------------------------------------------------------------


def _square_of_length(expr: Expr) -> Expr | None:
    """Give the sum of squares, whose derivative has no norm in it."""
    (scaled,) = expr.inputs
    length, scale = scaled.inputs if scaled.op is divide else (scaled, None)
    if length.op is not NORM or length.dtype != expr.dtype:
        return None
    squares = apply(SUM, square(length.inputs[0]), **length.params)
    return squares if scale is None else squares / square(scale)


_SAME = {"symmetric", "symmetric_first", "inverse_of_transpose", "scalar_out_of_system"}
_BEFORE = {"log_of_det", "log_of_size_of_det", "kron_trace"}


def _before() -> tuple[Rule, ...]:
    return (
        matrix_rule(
            "square_of_length",
            "‖x‖² = sum(x²), (‖x‖/s)² = sum(x²)/s²",
            _square_of_length,
            lambda: [square(norm(symbol("x", "N"))), square(norm(symbol("x", "N")) / symbol("s"))],
            roots=(square,),
            below=(NORM, divide),
        ),
    )


_ALL = _matrix()
SAME: tuple[Rule, ...] = tuple(rule for rule in _ALL if rule.name in _SAME)
MATRIX: tuple[Rule, ...] = tuple(rule for rule in _ALL if rule.name not in _SAME)
BEFORE: tuple[Rule, ...] = (*_before(), *(rule for rule in MATRIX if rule.name in _BEFORE))
