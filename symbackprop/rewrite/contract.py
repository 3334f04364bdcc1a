"""Sums of products with labelled axes: identities cancel, and what matrices can say becomes products of matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from string import ascii_letters
from typing import TypeAlias

from symbackprop.dims import Shape
from symbackprop.expr import Expr
from symbackprop.op import apply, scalar_value
from symbackprop.ops import diag as diag_
from symbackprop.ops import einsum, eye, matmul, multiply, outer, subtract, symbol, trace
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import ADD_WHERE_EQUAL, DIAG, EINSUM, EYE, SPREAD
from symbackprop.ops.index import UNSLICE, Run
from symbackprop.ops.layout import EXPAND_DIMS, broadcast_to, expand_dims, permute, squeeze
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.engine import Rule, Strength

Term: TypeAlias = tuple[str, Expr]
"""An operand with its labels."""

_MOST_OPERANDS = 16  # of a sum of products that is searched for a row of matrices


def _taken_apart(expr: Expr) -> tuple[list[Term], str]:
    left, _, out = expr.params["subscripts"].partition("->")
    return list(zip(left.split(","), expr.inputs, strict=True)), out


def _is_identity(expr: Expr) -> bool:
    return expr.op is EYE and expr.shape[0] == expr.shape[1]


# --- diagonal matrices ----------------------------------------------------------------------------------------


def _along(expr: Expr) -> Expr | None:
    """Give the vector that scales the rows or the columns of a square matrix."""
    if expr.op is EXPAND_DIMS and expr.params["axes"] == (-1,):
        return expr.inputs[0] if expr.ndim == 2 else None
    return expr if expr.ndim == 1 else None


def _diagonal(expr: Expr) -> Expr | None:
    """Keep of what is multiplied with a diagonal matrix what meets the diagonal."""
    for matrix, other in (expr.inputs, expr.inputs[::-1]):
        vector = _along(other)
        if vector is None or matrix.ndim != 2 or matrix.shape != expr.shape or vector.shape != expr.shape[:1]:
            continue
        if _is_identity(matrix):
            return diag_(vector)
        if matrix.op is DIAG:
            return diag_(matrix.inputs[0] * vector)
    return None


def _identity_less_rows(expr: Expr) -> Expr | None:
    """Take a vector into the difference of the identity and rows of one number each."""
    for vector, difference in (expr.inputs, expr.inputs[::-1]):
        if vector.shape != expr.shape[:1] or difference.op is not subtract or not _is_identity(difference.inputs[0]):
            continue
        rows = difference.inputs[1]
        if rows.op is EXPAND_DIMS and rows.ndim == 2 and rows.shape == (*vector.shape, 1):
            return diag_(vector) - outer(rows.inputs[0], vector)
    return None


def _sum_of_diagonal(expr: Expr) -> Expr | None:
    axes, matrix = expr.params["axes"], expr.inputs[0]
    if matrix.op is not DIAG or axes not in {(-1,), (-2,)} or expr.dtype != matrix.dtype:
        return None
    vector = matrix.inputs[0]
    return expand_dims(vector, axes) if expr.params["keepdims"] else vector


def _weighted_sum(expr: Expr) -> Expr | None:
    axes, product = expr.params["axes"], expr.inputs[0]
    if product.op is not multiply or product.ndim != 2 or expr.params["keepdims"] or expr.dtype.kind != "f":
        return None
    for matrix, weights in (product.inputs, product.inputs[::-1]):
        if matrix.shape != product.shape or matrix.dtype != weights.dtype:
            continue
        if axes == (-1,) and weights.shape == matrix.shape[1:]:
            return matmul(matrix, weights)
        if axes == (-2,) and weights.op is EXPAND_DIMS and weights.inputs[0].shape == matrix.shape[:1]:
            return matmul(weights.inputs[0], matrix)
    return None


def _between(expr: Expr) -> Expr | None:
    """Write columns that are scaled before a product as a diagonal matrix in it."""
    left, right = expr.inputs
    if left.op is not multiply or left.ndim != 2 or right.ndim != 2:
        return None
    for matrix, vector in (left.inputs, left.inputs[::-1]):
        if vector.shape == left.shape[1:] and matrix.shape == left.shape:
            return matmul(matrix, matmul(diag_(vector), right))
    return None


def _product_of_diagonals(expr: Expr) -> Expr | None:
    left, right = expr.inputs
    if left.op is not DIAG or left.ndim != 2:
        return None
    if right.op is DIAG and right.ndim == 2:
        return diag_(left.inputs[0] * right.inputs[0])
    if right.op is matmul and right.inputs[0].op is DIAG and right.inputs[0].ndim == 2:
        return matmul(diag_(left.inputs[0] * right.inputs[0].inputs[0]), right.inputs[1])
    return None


# --- matrices -------------------------------------------------------------------------------------------------


def as_matrices(expr: Expr) -> Expr | None:
    """Write a sum of products by sums, elementwise products and a row of matrices, if these can say it."""
    terms, out = _taken_apart(expr)
    if {operand.dtype for operand in expr.inputs} != {expr.dtype} or expr.dtype.kind != "f":
        return None
    if len(terms) == 1 and len(set(terms[0][0])) == len(terms[0][0]):
        return _summed(*terms[0], out)
    if len(out) > 2 or len(terms) > _MOST_OPERANDS:
        return None
    factors = _merged_alike(terms, out)
    return None if factors is None else _row(factors, tuple(out))


def _summed(labels: str, operand: Expr, out: str) -> Expr:
    """Sum one operand over what the result lacks, and order its axes."""
    axes = tuple(axis for axis, label in enumerate(labels) if label not in out)
    kept = [label for label in labels if label in out]
    left = sum_(operand, axis=axes) if axes else operand
    return permute(left, tuple(kept.index(label) - len(out) for label in out))


def _merged_alike(terms: Sequence[Term], out: str) -> list[Term] | None:
    """Sum each operand over what only it has, take diagonals, multiply operands of the same axes elementwise.

    Gives None where an operand of more than two axes is left.
    """
    left = list(terms)
    while True:
        count = Counter("".join("".join(dict.fromkeys(labels)) for labels, _ in left) + out)
        found: dict[frozenset[str], Term] = {}
        for labels, given in left:
            diagonal = len(labels) == 2 and labels[0] == labels[1]
            if diagonal and count[labels[0]] == 1:
                labels, given, diagonal = "", trace(given), False  # noqa: PLW2901  (a scalar from here on)
            own, operand = (labels[0], diag_(given)) if diagonal else (labels, given)
            kept = "".join(label for label in own if count[label] > 1)
            if len(set(own)) < len(own) or len(kept) > 2:
                return None
            axes = frozenset(kept)
            order, known = found.get(axes) or (kept, None)
            operand = _summed(own, operand, order)
            found[axes] = (order, operand if known is None else known * operand)
        if [labels for labels, _ in left] == [labels for labels, _ in found.values()]:
            return left
        left = list(found.values())


def _row(terms: Sequence[Term], out: tuple[str, ...]) -> Expr | None:
    """Multiply matrices and vectors where each label joins two of them, or one and the result."""
    factors = [(tuple(labels), operand) for labels, operand in terms if labels]
    _widen(factors, out)
    count = Counter(label for labels in (*(labels for labels, _ in factors), out) for label in labels)
    if any(times != 2 for times in count.values()):
        return None
    results = [operand for labels, operand in terms if not labels]
    ends = [_walked(factors, label) for label in out[:1]]
    if ends and ends[0][1] is None and len(out) == 2:
        ends.append(_walked(factors, out[1]))
    if len(ends) == 2:
        (left, _), (right, _) = ends
        results.append(outer(_multiplied(left), _multiplied(right)))
    elif ends:
        results.append(_multiplied(ends[0][0]))
    while factors:
        vector = next((labels for labels, _ in factors if len(labels) == 1), None)
        if vector is None:
            labels, first = factors.pop(0)
            results.insert(0, trace(_multiplied([first, *_walked(factors, labels[1])[0]])))
        else:
            first = factors.pop([labels for labels, _ in factors].index(vector))[1]
            results.insert(0, _multiplied([first, *_walked(factors, vector[0])[0]]))
    return reduce(multiply, results)


def _widen(factors: list[tuple[tuple[str, ...], Expr]], out: tuple[str, ...]) -> None:
    """Make a vector whose label two others have too the diagonal matrix between them."""
    count = Counter(label for labels in (*(labels for labels, _ in factors), out) for label in labels)
    for at, (labels, vector) in enumerate(factors):
        if len(labels) == 1 and count[labels[0]] == 3:
            label, other = labels[0], f"{labels[0]}'"
            place = next(place for place, (own, _) in enumerate(factors) if place != at and label in own)
            own, operand = factors[place]
            factors[place] = (tuple(other if each == label else each for each in own), operand)
            factors[at] = ((label, other), diag_(vector))


def _walked(factors: list[tuple[tuple[str, ...], Expr]], label: str) -> tuple[list[Expr], str | None]:
    """Take the factors that follow one another from a label on; give them and the label where they end.

    A row that ends on a vector has no label at its end.
    """
    row: list[Expr] = []
    while True:
        at = next((at for at, (labels, _) in enumerate(factors) if label in labels), None)
        if at is None:
            return row, label
        labels, operand = factors.pop(at)
        if len(labels) == 1:
            return [*row, operand], None
        row.append(operand if labels[0] == label or operand.op is DIAG else operand.T)
        label = labels[1] if labels[0] == label else labels[0]


def _multiplied(row: Sequence[Expr]) -> Expr:
    """Multiply a row, from the end where a vector is."""
    if row[-1].ndim == 1:
        return reduce(lambda right, left: matmul(left, right), reversed(row))
    return reduce(matmul, row)


# --- blocks where indices are equal -----------------------------------------------------------------------------


def _in_words(expr: Expr) -> Expr:
    """Write a block among zeros with identities, put where its slice is."""
    pattern, runs = expr.params["pattern"], expr.params["runs"]
    inside = tuple(run.length for run in runs) or expr.shape
    dense, block = expr.inputs if expr.op is ADD_WHERE_EQUAL else (None, expr.inputs[0])
    letters = list(dict.fromkeys(pattern))
    own = letters[len(letters) - block.ndim :]
    shape = [inside[pattern.index(letter)] for letter in own]
    single = [at for at, size in enumerate(shape) if block.shape[at] == 1 and size != 1]
    labels = "".join(letter for at, letter in enumerate(own) if at not in single)
    spread = _with_identities(pattern, inside, labels, squeeze(block, single) if single else block)
    spread = apply(UNSLICE, spread, runs=runs, into=expr.shape) if runs else spread
    return spread if dense is None else dense + spread


def _with_identities(pattern: str, shape: Shape, labels: str, block: Expr) -> Expr:
    if pattern == labels * 2 and block.ndim == 1:
        return diag_(block)
    free = iter(letter for letter in ascii_letters if letter not in pattern)
    terms, axes = [], ""
    for at, letter in enumerate(pattern):
        new = next(free) if letter in pattern[:at] else letter
        if new != letter:
            terms.append((letter + new, eye(shape[at], dtype=block.dtype, graph=block.graph)))
        axes += new
    if block.ndim:
        terms.append((labels, block))
    if not terms:
        return broadcast_to(block, shape)
    held = "".join(letter for letter in axes if any(letter in own for own, _ in terms))
    missing = [at - len(axes) for at, letter in enumerate(axes) if letter not in held]
    whole = (
        terms[0][1] if len(terms) == 1 else einsum(f"{','.join(x for x, _ in terms)}->{held}", *(x for _, x in terms))
    )
    found = broadcast_to(expand_dims(whole, missing), shape)
    return found if block.ndim or scalar_value(block) == 1 else block * found


# --- the rules ------------------------------------------------------------------------------------------------


def _matrix(name: str) -> Expr:
    return symbol(name, ("N", "N"))


def _vector(name: str) -> Expr:
    return symbol(name, "N")


MATRICES = Rule(
    name="einsum_of_matrices",
    equation="Σⱼ Aᵢⱼ Bⱼₖ = (AB)ᵢₖ",
    strength=Strength.REAL,
    roots=(EINSUM,),
    rewrite=as_matrices,
    examples=lambda: [
        einsum(subscripts, *operands)
        for subscripts, operands in [
            ("ij,jk->ki", (_matrix("A"), _matrix("B"))),
            ("ij,i->j", (_matrix("A"), _vector("x"))),
            ("i,ij,j->", (_vector("x"), _matrix("A"), _vector("y"))),
            ("ij,jk,ik->", (_matrix("A"), _matrix("B"), _matrix("C"))),
            ("ij,ji->ij", (_matrix("A"), _matrix("B"))),
            ("i,j->ji", (_vector("x"), _vector("y"))),
            ("ni,n,nj->ij", (_matrix("A"), _vector("x"), _matrix("B"))),
            ("ii,ij,k->j", (_matrix("A"), _matrix("B"), _vector("x"))),
            (",ijk->ki", (symbol("s"), symbol("T", ("N", "D", "K")))),
        ]
    ],
)
"""The rule for what matrix notation can say."""

BLOCKS = Rule(
    name="blocks_where_equal",
    equation="y + spread(A) = y + [δᵢₖAⱼₗ]ᵢⱼₖₗ",
    strength=Strength.REAL,
    roots=(SPREAD, ADD_WHERE_EQUAL),
    rewrite=_in_words,
    examples=lambda: [
        apply(SPREAD, symbol("A", (3, 3)), pattern="aba", shape=(3, 3, 3), runs=()),
        apply(SPREAD, symbol("x", 3), pattern="aa", shape=(3, 3), runs=()),
        apply(SPREAD, symbol("T", (3, 1)), pattern="aba", shape=(3, 2, 3), runs=()),
        apply(SPREAD, symbol("s"), pattern="abab", shape=(3, 2, 3, 2), runs=()),
        apply(SPREAD, symbol("s"), pattern="a", shape=(3,), runs=()),
        apply(ADD_WHERE_EQUAL, symbol("A", (3, 3)), symbol("x", 3), pattern="aa", owned=False, runs=()),
        apply(ADD_WHERE_EQUAL, symbol("A", (3, 3)), symbol("s"), pattern="aa", owned=False, runs=()),
        apply(SPREAD, symbol("x", 2), pattern="aa", shape=(3, 4), runs=(Run(1, 2, 1), Run(0, 2, 2))),
        apply(ADD_WHERE_EQUAL, symbol("A", (3, 3)), symbol("s"), pattern="ab", owned=False, runs=(Run(1, 2, 1),) * 2),
    ],
)
"""The rule for what formulas say of blocks among zeros, which only generated code knows."""

CONTRACT: tuple[Rule, ...] = (
    MATRICES,
    BLOCKS,
    Rule(
        name="diagonal_times_vector_elementwise",
        equation="I ⊙ v = diag(v), diag(u) ⊙ v = diag(u ⊙ v)",
        strength=Strength.REAL,
        roots=(multiply,),
        rewrite=_diagonal,
        examples=lambda: [
            eye("N") * _vector("x"),
            eye("N") * expand_dims(_vector("x"), -1),
            diag_(_vector("x")) * _vector("y"),
        ],
        fits=lambda ops: EYE in ops or DIAG in ops,
    ),
    Rule(
        name="identity_less_rows",
        equation="v ⊙ (I − u[:, None]) = diag(v) − uvᵀ",
        strength=Strength.REAL,
        roots=(multiply,),
        rewrite=_identity_less_rows,
        examples=lambda: [_vector("x") * (eye("N") - expand_dims(_vector("y"), -1))],
        fits=lambda ops: subtract in ops,
    ),
    Rule(
        name="sum_of_diag",
        equation="sum(diag(v), axis=1) = v",
        strength=Strength.REAL,
        roots=(SUM,),
        rewrite=_sum_of_diagonal,
        examples=lambda: [
            sum_(diag_(_vector("x")), axis=0),
            sum_(diag_(_vector("x")), axis=1, keepdims=True),
        ],
        fits=lambda ops: DIAG in ops,
    ),
    Rule(
        name="sum_of_scaled_columns",
        equation="sum(A ⊙ v, axis=1) = Av",
        strength=Strength.REAL,
        roots=(SUM,),
        rewrite=_weighted_sum,
        examples=lambda: [
            sum_(symbol("A", ("N", "D")) * symbol("v", "D"), axis=1),
            sum_(symbol("A", ("N", "D")) * expand_dims(_vector("x"), -1), axis=0),
        ],
        fits=lambda ops: ops[0] is multiply,
    ),
    Rule(
        name="scaled_columns",
        equation="(A ⊙ v)B = A diag(v) B",
        strength=Strength.REAL,
        roots=(matmul,),
        rewrite=_between,
        examples=lambda: [(symbol("A", ("D", "N")) * _vector("x")) @ _matrix("B")],
        fits=lambda ops: ops[0] is multiply,
    ),
    Rule(
        name="product_of_diagonals",
        equation="diag(u) diag(v) = diag(u ⊙ v)",
        strength=Strength.REAL,
        roots=(matmul,),
        rewrite=_product_of_diagonals,
        examples=lambda: [
            diag_(_vector("x")) @ diag_(_vector("y")),
            diag_(_vector("x")) @ (diag_(_vector("y")) @ _matrix("B")),
        ],
        fits=lambda ops: ops[0] is DIAG,
    ),
)
