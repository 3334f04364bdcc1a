"""Matrix algebra: identities, inverses, determinants, traces, norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.op import Op, apply, scalar_value
from symbackprop.ops import abs as abs_
from symbackprop.ops import diag as diag_
from symbackprop.ops import eye, log, matmul, multiply, symbol, trace
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import DIAG, DIAGONAL, EYE, TRACE
from symbackprop.ops.layout import TRANSPOSE, matrix_transpose
from symbackprop.ops.linalg import LOGABSDET, NORM, UNIT, det, inv, norm, slogdet, solve
from symbackprop.rewrite.engine import Rule, Strength

EXACT, REAL = Strength.EXACT, Strength.REAL


def _turned(expr: Expr) -> Expr | None:
    """Give the matrices of which these are the transposes."""
    return expr.inputs[0] if expr.op is TRANSPOSE and expr.params["axes"] == (-1, -2) else None


def _rule(
    name: str,
    equation: str,
    rewrite: Callable[[Expr], Expr | None],
    examples: Callable[[], Sequence[Expr]],
    *,
    roots: tuple[Op, ...],
    below: tuple[Op, ...],
    strength: Strength = REAL,
) -> Rule:
    """State a rule; `below` are the ops of which one must make an operand."""
    return Rule(
        name=name,
        equation=equation,
        strength=strength,
        roots=roots,
        rewrite=rewrite,
        examples=examples,
        fits=lambda ops: any(op in below for op in ops),
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


def _length_of(scale: Expr) -> tuple[Expr | None, Expr]:
    """Take a number before a factor."""
    if scale.op is multiply and scalar_value(scale.inputs[0]) is not None:
        return scale.inputs[0], scale.inputs[1]
    return None, scale


def _length_times_unit(expr: Expr) -> Expr | None:
    for one, other in (expr.inputs, expr.inputs[::-1]):
        number, length = _length_of(one)
        if other.op is not UNIT or length.op is not NORM or length.inputs != other.inputs:
            continue
        (x,) = other.inputs
        axes = other.params["axes"]
        if length.params["axes"] == axes and (length.params["keepdims"] or len(axes) == x.ndim):
            return x if number is None else number * x
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
            lambda: [norm(symbol("x", "N")) * apply(UNIT, symbol("x", "N"), axes=(-1,))],
            roots=(multiply,),
            below=(UNIT,),
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
    )


with Graph(scratch=True):
    MATRIX: tuple[Rule, ...] = _matrix()
    CHEAPER: tuple[Rule, ...] = _cheaper()
