"""Powers, functions and eigenvalues of matrices.

`SPECTRAL` makes nothing dearer to compute, `SPECTRAL_BEFORE` is what of it is done before an expression is
differentiated, since the derivative is simpler then, and `SPECTRAL_SHORTER` is for reading alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from symbackprop.expr import Expr
from symbackprop.op import apply, scalar_value
from symbackprop.ops import (
    assume,
    broadcast_to,
    cos,
    divide,
    exp,
    eye,
    getitem,
    matmul,
    multiply,
    power,
    sin,
    squeeze,
    symbol,
    trace,
)
from symbackprop.ops import diag as diag_
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import DIAG, EYE
from symbackprop.ops.determinants import LOGABSDET, det, slogdet
from symbackprop.ops.factor import EIGENVALUES, EIGENVECTORS, eigh, eigvalsh
from symbackprop.ops.index import SLICE, UNSLICE, Run
from symbackprop.ops.layout import BROADCAST_TO, SQUEEZE, TRANSPOSE, matrix_transpose
from symbackprop.ops.leaf import SYMBOL
from symbackprop.ops.matrix_function import MATRIX_FUNCTIONS, MATRIX_POWER, SLOPES, cosm, expm, matrix_power, sinm
from symbackprop.ops.reduce import OTHERS, SUM
from symbackprop.ops.systems import inv
from symbackprop.rewrite.engine import Rule, Strength
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.matrix import matrix_rule, transposed
from symbackprop.rewrite.product import product_of

EXACT, REAL, FINITE = Strength
_MOST_FACTORS = 3  # AAA is shorter to read than a call


def _square(name: str = "A") -> Expr:
    return symbol(name, ("N", "N"))


# --- powers ---------------------------------------------------------------------------------------------------


def _raised(a: Expr, n: int) -> Expr | None:
    """Give a power in its simplest form; the identity is written for a single matrix alone."""
    if n == 0:
        return eye(a.shape[-1], dtype=a.dtype, graph=a.graph) if a.ndim == 2 else None
    return a if n == 1 else inv(a) if n == -1 else matrix_power(a, n)


def _base(expr: Expr) -> tuple[Expr, int, bool]:
    """Read a factor as a matrix with its exponent, perhaps transposed."""
    inner = transposed(expr)
    if inner is not None:
        return *_base(inner)[:2], True
    if expr.op is MATRIX_POWER:
        return expr.inputs[0], expr.params["n"], False
    return (expr.inputs[0], -1, False) if expr.op is inv else (expr, 1, False)


def _power_of_power(expr: Expr) -> Expr | None:
    below, n, _ = _base(expr)
    base, m, _ = _base(below) if below.op in {MATRIX_POWER, inv} else (below, 1, False)
    if (expr.op is inv or abs(n) > 1) and m == 1:
        return None
    return None if expr.dtype != base.dtype else _raised(base, n * m)


def _joined(one: Expr, other: Expr) -> Expr | None:
    """Give the product of two powers of one matrix."""
    if MATRIX_POWER not in {one.op, other.op, *(x.inputs[0].op for x in (one, other) if x.op is TRANSPOSE)}:
        return None
    (base, n, turned), (same, m, also) = _base(one), _base(other)
    if base is not same or turned is not also or one.dtype != other.dtype or base.dtype != one.dtype:
        return None
    found = _raised(base, n + m)
    return matrix_transpose(found) if turned and found is not None else found


def _powers_beside(expr: Expr) -> Expr | None:
    left, right = expr.inputs
    if min(left.ndim, right.ndim) >= 2:
        whole = _joined(left, right)
        if whole is not None:
            return whole
    if right.op is matmul and min(left.ndim, right.inputs[0].ndim) >= 2:
        first = _joined(left, right.inputs[0])
        if first is not None:
            return matmul(first, right.inputs[1])
    if left.op is matmul and min(left.inputs[1].ndim, right.ndim) >= 2:
        last = _joined(left.inputs[1], right)
        if last is not None:
            return matmul(left.inputs[0], last)
    return None


def _det_of_power(expr: Expr) -> Expr | None:
    inner = expr.inputs[0]
    if inner.op is not MATRIX_POWER or inner.dtype != expr.dtype:
        return None
    n, below = inner.params["n"], apply(expr.op, inner.inputs[0])
    return below * n if expr.op is LOGABSDET else power(below, n)


def _written_out(expr: Expr) -> Expr | None:
    """Write a small power of a name as a product."""
    (a,) = expr.inputs
    n = expr.params["n"]
    return reduce(matmul, [a] * n) if a.op is SYMBOL and 1 < n <= _MOST_FACTORS else None


# --- functions ------------------------------------------------------------------------------------------------


def _of_turned(expr: Expr) -> Expr | None:
    inner = transposed(expr.inputs[0])
    return None if inner is None else matrix_transpose(apply(expr.op, inner, **expr.params))


def _along_identity(expr: Expr) -> Expr | None:
    a, e = expr.inputs
    product = product_of(e, known) if a.ndim == e.ndim == 2 and a.dtype == expr.dtype == e.dtype else None
    return product.scaled(SLOPES[expr.op](a)) if product is not None and not product.factors else None


# --- eigenvalues ----------------------------------------------------------------------------------------------


def _sum_of_eigenvalues(expr: Expr) -> Expr | None:
    values = expr.inputs[0]
    whole = values.op is EIGENVALUES and expr.params["axes"] == (-1,) and not expr.params["keepdims"]
    return trace(values.inputs[0]) if whole and values.inputs[0].dtype == expr.dtype else None


def _diagonal_of_ones(expr: Expr) -> Expr | None:
    (x,) = expr.inputs
    one = x.op is BROADCAST_TO and scalar_value(x.inputs[0]) == 1 and x.ndim == 1
    return eye(x.shape[0], dtype=x.dtype, graph=x.graph) if one else None


def _around_diagonal(expr: Expr) -> tuple[Expr, Expr, Expr] | None:
    """Give A, d and B where the expression is ``A diag(d) B``."""
    left, right = expr.inputs
    if left.op is matmul and left.inputs[1].op is DIAG:
        found = left.inputs[0], left.inputs[1].inputs[0], right
    elif right.op is matmul and right.inputs[0].op is DIAG:
        found = left, right.inputs[0].inputs[0], right.inputs[1]
    else:
        return None
    fits = found[0].ndim == found[2].ndim == 2 and found[1].ndim == 1
    return found if fits and all(each.dtype == expr.dtype for each in found) else None


def _rows(matrix: Expr, run: Run) -> Expr:
    """Take rows; of a transpose the columns of what is turned."""
    turned = transposed(matrix)
    if turned is not None:
        return matrix_transpose(apply(SLICE, turned, runs=(run,)))
    return apply(SLICE, matrix, runs=(run, Run(0, matrix.shape[1], 1)))


def _few_elements(expr: Expr) -> Expr | None:
    """Multiply the columns and the rows alone that meet the elements of a diagonal which are not zero."""
    parts = _around_diagonal(expr)
    if parts is None or parts[1].op is not UNSLICE:
        return None
    a, d, b = parts
    (run,) = d.params["runs"]
    columns, rows, (d,) = apply(SLICE, a, runs=(run,)), _rows(b, run), d.inputs
    return squeeze(d, 0) * (columns @ rows) if run.length == 1 else columns @ (diag_(d) @ rows)


def _columns(expr: Expr) -> Run | None:
    """Give the columns that are set where the others are zero."""
    if expr.op is not UNSLICE:
        return None
    *rows, run = expr.params["runs"]
    return run if rows in ([], [Run(0, expr.shape[0], 1)]) else None


def _put(columns: Expr, like: Expr, run: Run) -> Expr:
    return apply(UNSLICE, columns, runs=(run,), into=like.shape[1:])


def _few_columns(expr: Expr) -> Expr | None:
    """Multiply the columns alone that are not zero."""
    if any(operand.ndim != 2 or operand.dtype != expr.dtype for operand in expr.inputs):
        return None
    return _few_columns_elementwise(expr) if expr.op is multiply else _few_columns_of_product(*expr.inputs)


def _few_columns_elementwise(expr: Expr) -> Expr | None:
    for one, other in (expr.inputs, expr.inputs[::-1]):
        run = _columns(one)
        if run is not None and other.shape == expr.shape:
            return _put(apply(SLICE, other, runs=(run,)) * one.inputs[0], one, run)
    return None


def _few_columns_of_product(left: Expr, right: Expr) -> Expr | None:
    run = _columns(right)
    if run is not None:
        return _put(left @ right.inputs[0], right, run)
    run = _columns(left)
    if run is not None:
        return left.inputs[0] @ _rows(right, run)
    turned = transposed(right)
    run = None if turned is None else _columns(turned)
    if turned is None or run is None:
        return None
    return apply(SLICE, left, runs=(run,)) @ matrix_transpose(turned.inputs[0])


def _function_of(d: Expr, values: Expr, a: Expr) -> Expr | None:
    """Give f(A) where d is f of A's eigenvalues."""
    if d is values:
        return a
    if d.op is OTHERS and d.inputs[0] is values:
        return det(a) * inv(a)
    number = _constant(d.inputs[0]) if d.op is divide and d.inputs[1] is values else None
    if number is not None:
        return number * inv(a)
    named = {exp: expm, sin: sinm, cos: cosm}.get(d.op)
    return named(a) if named is not None and d.inputs[0] is values else None


def _constant(x: Expr) -> float | None:
    """Give the number that an array is filled with."""
    return scalar_value(x.inputs[0] if x.op is BROADCAST_TO else x)


def _spectral(expr: Expr) -> Expr | None:
    parts = _around_diagonal(expr)
    if parts is None or parts[0].op is not EIGENVECTORS or transposed(parts[2]) is not parts[0]:
        return None
    a = parts[0].inputs[0]
    if "symmetric" not in known(a):
        return None
    scalars, d = [], parts[1]
    while d.op is multiply and not d.inputs[0].shape:
        scalars.append(d.inputs[0])
        d = d.inputs[1]
    found = _function_of(d, eigvalsh(a), a)
    return None if found is None else reduce(lambda x, s: s * x, reversed(scalars), found)


# --- transposes, in part ------------------------------------------------------------------------------------------


def _row_of_transpose(expr: Expr) -> Expr | None:
    """Take a column for the row of a transpose."""
    cut = expr.inputs[0]
    inner = transposed(cut.inputs[0]) if cut.op is SLICE and cut.ndim == 2 else None
    if inner is None or len(expr.params["axes"]) != 1:
        return None
    runs = cut.params["runs"]
    rows, columns = runs if len(runs) == 2 else (Run(0, cut.shape[0], 1), *runs)
    (axis,) = expr.params["axes"]
    return apply(SQUEEZE, apply(SLICE, inner, runs=(columns, rows)), axes=(-3 - axis,))


def _diagonal_turned(expr: Expr) -> Expr | None:
    for one, identity in (expr.inputs, expr.inputs[::-1]):
        inner = transposed(one)
        if inner is not None and identity.op is EYE and inner.shape == identity.shape == expr.shape:
            return inner * identity
    return None


def _symmetric() -> Expr:
    return assume(_square(), symmetric=True)


def _spectral_rules() -> tuple[Rule, ...]:
    return (
        matrix_rule(
            "power_of_power",
            "(Aⁿ)ᵐ = Aⁿᵐ, (Aⁿ)⁻¹ = A⁻ⁿ, A⁰ = I, A¹ = A, for powers of matrices",
            _power_of_power,
            lambda: [
                matrix_power(matrix_power(_square(), 2), 3),
                inv(matrix_power(_square(), 2)),
                matrix_power(inv(_square()), 3),
                *(matrix_power(_square(), n) for n in (-1, 0, 1)),
            ],
            roots=(MATRIX_POWER, inv),
        ),
        matrix_rule(
            "powers_beside",
            "AⁿAᵐ = Aⁿ⁺ᵐ, for powers of matrices",
            _powers_beside,
            lambda: [
                matrix_power(_square(), 2) @ _square(),
                matrix_power(_square(), 2).T @ (inv(_square()).T @ symbol("x", "N")),
                (_square("B") @ _square()) @ matrix_power(_square(), -4),
                matrix_power(_square(), -2) @ matrix_power(_square(), 2),
            ],
            roots=(matmul,),
            below=(MATRIX_POWER, TRANSPOSE, matmul),
        ),
        matrix_rule(
            "det_of_power",
            "det(Aⁿ) = det(A)ⁿ, log|det(Aⁿ)| = n log|det(A)|",
            _det_of_power,
            lambda: [det(matrix_power(_square(), 3)), slogdet(matrix_power(_square(), -2)).logabsdet],
            roots=(det, LOGABSDET),
            below=(MATRIX_POWER,),
        ),
        matrix_rule(
            "function_of_transpose",
            "f(Aᵀ) = f(A)ᵀ for powers, exp, sin and cos of matrices",
            _of_turned,
            lambda: [matrix_power(_square().T, 3), *(f(_square().T) for f in MATRIX_FUNCTIONS)],
            roots=(MATRIX_POWER, *MATRIX_FUNCTIONS),
            below=(TRANSPOSE,),
        ),
        matrix_rule(
            "derivative_along_identity",
            "L(A, sI) = s f′(A), where L is the derivative of f",
            _along_identity,
            lambda: [along(_square(), symbol("s") * eye("N")) for along in SLOPES],
            roots=tuple(SLOPES),
        ),
        matrix_rule(
            "sum_of_eigenvalues",
            "sum(λ) = tr(A) where λ are A's eigenvalues",
            _sum_of_eigenvalues,
            lambda: [sum_(eigvalsh(_square()))],
            roots=(SUM,),
            below=(EIGENVALUES,),
        ),
        matrix_rule(
            "diagonal_of_ones",
            "diag(1) = I",
            _diagonal_of_ones,
            lambda: [diag_(broadcast_to(1.0, ("N",)))],
            roots=(DIAG,),
            below=(BROADCAST_TO,),
            strength=EXACT,
        ),
    )


def _shorter() -> tuple[Rule, ...]:
    def put(x: Expr, index: slice) -> Expr:
        into = symbol("x", "N")
        return apply(UNSLICE, x, runs=into[index].params["runs"], into=into.shape)

    def examples() -> Sequence[Expr]:
        values, vectors = eigh(_symmetric())
        s = symbol("s")
        diagonals = [values, 1 / values, s * exp(values), sin(values), cos(values)]
        return [vectors @ diag_(d) @ vectors.T for d in diagonals] + [
            vectors @ (diag_(s * apply(OTHERS, values, axis=-1)) @ vectors.T)
        ]

    return (
        matrix_rule(
            "power_written_out",
            "A² = AA, A³ = AAA, for powers of matrices",
            _written_out,
            lambda: [matrix_power(_square(), 2), matrix_power(_square(), 3)],
            roots=(MATRIX_POWER,),
        ),
        matrix_rule(
            "few_elements",
            "A diag(put(d, n, i)) B = A[:, i] diag(d) B[i], where i is a slice",
            _few_elements,
            lambda: [
                _square() @ diag_(put(symbol("s", 1), slice(1))) @ _square("B"),
                _square() @ (diag_(put(symbol("s", 2), slice(-2, None))) @ _square("B").T),
            ],
            roots=(matmul,),
            below=(matmul,),
            strength=FINITE,
        ),
        matrix_rule(
            "few_columns",
            "A put(X) = put(AX), A put(X)ᵀ = A[:, i] Xᵀ, put(X) A = XA[i], A ⊙ put(X) = put(A[:, i] ⊙ X), "
            "where put sets the columns i",
            _few_columns,
            lambda: [
                _square() @ put(symbol("X", ("N", 1)), slice(1)),
                put(symbol("X", ("N", 1)), slice(-1, None)) @ _square(),
                put(symbol("X", ("N", 2)), slice(2)) @ _square().T,
                _square() @ put(symbol("X", ("N", 1)), slice(-1, None)).T,
                _square() * put(symbol("X", ("N", 2)), slice(2)),
            ],
            roots=(matmul, multiply),
            below=(UNSLICE, TRANSPOSE),
            strength=FINITE,
        ),
        matrix_rule(
            "spectral",
            "V diag(f(λ)) Vᵀ = f(A) where λ and V are the eigenvalues and eigenvectors of a symmetric A",
            _spectral,
            examples,
            roots=(matmul,),
            below=(matmul, EIGENVECTORS),
            strength=FINITE,
        ),
        matrix_rule(
            "row_of_transpose",
            "(Aᵀ)[i] = A[:, i]",
            _row_of_transpose,
            lambda: [getitem(_square().T, 1), getitem(_square().T, (slice(1, None), 1))],
            roots=(SQUEEZE,),
            below=(SLICE,),
            strength=EXACT,
        ),
        matrix_rule(
            "diagonal_turned",
            "Aᵀ ⊙ I = A ⊙ I",
            _diagonal_turned,
            lambda: [_square().T * eye("N")],
            roots=(multiply,),
            below=(EYE,),
            strength=EXACT,
        ),
    )


_BEFORE = {"derivative_along_identity", "sum_of_eigenvalues"}

SPECTRAL: tuple[Rule, ...] = _spectral_rules()
SPECTRAL_BEFORE: tuple[Rule, ...] = tuple(rule for rule in SPECTRAL if rule.name in _BEFORE)
SPECTRAL_SHORTER: tuple[Rule, ...] = _shorter()
