"""Sums of products with labelled axes: identities cancel, and what matrices can say becomes products of matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from string import ascii_letters, ascii_lowercase
from typing import TypeAlias

from symbackprop import dims
from symbackprop.expr import Expr
from symbackprop.op import apply
from symbackprop.ops import add, einsum, eye, matmul, multiply, outer, subtract, symbol, trace
from symbackprop.ops import diag as diag_
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import DIAG, EINSUM, EYE
from symbackprop.ops.layout import EXPAND_DIMS, RESHAPE, TRANSPOSE, expand_dims, permute, reshape
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.engine import Rule, Strength

Term: TypeAlias = tuple[str, Expr]
"""An operand with its labels."""

_MOST_AXES = 12  # of a tensor that is written as a sum over labels
_MOST_OPERANDS = 16  # of a sum of products that is searched for a row of matrices


def _taken_apart(expr: Expr) -> tuple[list[Term], str]:
    left, _, out = expr.params["subscripts"].partition("->")
    return list(zip(left.split(","), expr.inputs, strict=True)), out


def _einsum(terms: Sequence[Term], out: str) -> Expr:
    """Put a sum of products together; of one operand that keeps its axes it is the operand."""
    if len(terms) == 1 and terms[0][0] == out:
        return terms[0][1]
    subscripts = f"{','.join(labels for labels, _ in terms)}->{out}"
    return apply(EINSUM, *(operand for _, operand in terms), subscripts=subscripts)


def _is_identity(expr: Expr) -> bool:
    return expr.op is EYE and expr.shape[0] == expr.shape[1]


# --- identities -----------------------------------------------------------------------------------------------


def _without_identity(expr: Expr) -> Expr | None:
    """Put one label of an identity for the other, if that one is summed over."""
    terms, out = _taken_apart(expr)
    for at, (labels, operand) in enumerate(terms):
        if not _is_identity(operand) or labels[0] == labels[1]:
            continue
        rest = terms[:at] + terms[at + 1 :]
        known = {label for term, _ in rest for label in term}
        for gone, kept in ((labels[1], labels[0]), (labels[0], labels[1])):
            if gone not in out and (gone in known or kept in known):
                return _einsum([(term.replace(gone, kept), x) for term, x in rest], out)
    return None


def _merged(expr: Expr) -> Expr | None:
    """Take in a sum of products that has an identity among its factors, which may cancel outside."""
    terms, out = _taken_apart(expr)
    for at, (labels, operand) in enumerate(terms):
        if operand.op is not EINSUM or all(factor.op is not EYE for factor in operand.inputs):
            continue
        inner, inner_out = _taken_apart(operand)
        names = dict(zip(inner_out, labels, strict=True))
        free = iter(sorted({*ascii_lowercase} - {*out, *"".join(term for term, _ in terms)}))
        try:
            for letter in dict.fromkeys("".join(term for term, _ in inner)):
                if letter not in names:
                    names[letter] = next(free)
        except StopIteration:
            return None
        opened = [("".join(names[letter] for letter in term), x) for term, x in inner]
        return _einsum([*terms[:at], *opened, *terms[at + 1 :]], out)
    return None


# --- tensors with identities among their factors --------------------------------------------------------------


def _identity_of_arrays(expr: Expr) -> Expr | None:
    """Write the identity of arrays, which is a matrix in another shape, as a product of one identity for each axis."""
    half, matrix = expr.ndim // 2, expr.inputs[0]
    sizes = expr.shape[:half]
    if matrix.op is not EYE or half < 2 or expr.shape[half:] != sizes or matrix.shape != (dims.product(sizes),) * 2:
        return None
    rows, columns = ascii_lowercase[:half], ascii_lowercase[half : 2 * half]
    terms = [
        (row + column, eye(size, dtype=expr.dtype, graph=expr.graph))
        for row, column, size in zip(rows, columns, sizes, strict=True)
    ]
    return _einsum(terms, rows + columns)


def _has_identity(expr: Expr) -> bool:
    return expr.op is EINSUM and any(factor.op is EYE for factor in expr.inputs)


def _product_of_tensors(expr: Expr) -> Expr | None:
    """Write a matrix product with a tensor that has an identity among its factors as a sum over labels."""
    left, right = expr.inputs
    if not (_has_identity(left) or _has_identity(right)) or expr.ndim > _MOST_AXES:
        return None
    leading = expr.ndim - (left.ndim > 1) - (right.ndim > 1)
    free = iter(ascii_lowercase)
    batch = "".join(next(free) for _ in range(leading))
    row, column = (next(free) if operand.ndim > 1 else "" for operand in (left, right))
    inner = next(free)
    terms = []
    for operand, own in ((left, row + inner), (right, inner + column)):
        lead = batch[leading - (operand.ndim - len(own)) :]
        if any(operand.shape[at] != expr.shape[batch.index(label)] for at, label in enumerate(lead)):
            return None
        terms.append((lead + own, operand))
    return _einsum(terms, batch + row + column)


def _transposed(expr: Expr) -> Expr | None:
    """Let a transpose of a sum over labels be another order of its axes."""
    operand, axes = expr.inputs[0], expr.params["axes"]
    if operand.op is add and all(map(_has_identity, operand.inputs)):
        return add(*(permute(term, axes) for term in operand.inputs))
    if not _has_identity(operand):
        return None
    terms, out = _taken_apart(operand)
    kept = out[: len(out) - len(axes)]
    return _einsum(terms, kept + "".join(out[axis] for axis in axes))


def _unturned(labels: str, operand: Expr) -> Term:
    """Give what is below a transpose, with its labels."""
    if operand.op is not TRANSPOSE:
        return labels, operand
    axes = operand.params["axes"]
    first = len(labels) - len(axes)
    below = dict(zip(axes, labels[first:], strict=True))
    return labels[:first] + "".join(below[axis] for axis in range(-len(axes), 0)), operand.inputs[0]


def _in_order(expr: Expr) -> Expr | None:
    """Give the factors and the labels of a sum one order, so that equal ones are seen to be equal."""
    if not _has_identity(expr):
        return None
    terms, out = _taken_apart(expr)
    flat = [_unturned(*term) for term in terms]
    ordered = sorted(flat, key=lambda term: (term[1].op is not EYE, [out.find(label) for label in term[0]]))
    ordered = [
        ("".join(sorted(term, key=out.find)) if _is_identity(x) and set(term) <= {*out} else term, x)
        for term, x in ordered
    ]
    names = dict(zip(dict.fromkeys(out + "".join(labels for labels, _ in ordered)), ascii_letters, strict=False))
    found = ["".join(names[label] for label in labels) for labels in (*(labels for labels, _ in ordered), out)]
    if flat == terms and ",".join(found[:-1]) + "->" + found[-1] == expr.params["subscripts"]:
        return None
    return _einsum([(labels, x) for labels, (_, x) in zip(found[:-1], ordered, strict=True)], found[-1])


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
        if vector is None or matrix.ndim != 2 or matrix.shape != expr.shape:
            continue
        if _is_identity(matrix):
            return diag_(vector)
        if matrix.op is DIAG:
            return diag_(matrix.inputs[0] * vector)
    return None


def _identity_less_rows(expr: Expr) -> Expr | None:
    """Take a vector into the difference of the identity and rows of one number each."""
    for vector, difference in (expr.inputs, expr.inputs[::-1]):
        if vector.ndim != 1 or difference.op is not subtract or not _is_identity(difference.inputs[0]):
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


def _between(expr: Expr) -> Expr | None:
    """Write columns that are scaled before a product as a diagonal matrix in it."""
    left, right = expr.inputs
    if left.op is not multiply or left.ndim != 2 or right.ndim != 2:
        return None
    for matrix, vector in (left.inputs, left.inputs[::-1]):
        if vector.ndim == 1 and matrix.shape == left.shape:
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


def _as_matrices(expr: Expr) -> Expr | None:
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
    rewrite=_as_matrices,
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

CONTRACT: tuple[Rule, ...] = (
    Rule(
        name="einsum_of_identity",
        equation="Σⱼ δᵢⱼ xⱼ = xᵢ",
        strength=Strength.REAL,
        roots=(EINSUM,),
        rewrite=_without_identity,
        examples=lambda: [
            einsum("ij,jk->ik", _matrix("A"), eye("N")),
            einsum("ik,ijl->jkl", eye("N"), symbol("T", ("N", "D", "K"))),
            einsum("ij,ijk->k", eye("N"), symbol("T", ("N", "N", "K"))),
        ],
        fits=lambda ops: EYE in ops,
    ),
    Rule(
        name="einsum_of_einsum",
        equation="Σⱼ Aᵢⱼ (Σₖ Bⱼₖ δₖₗ) = Σⱼₖ Aᵢⱼ Bⱼₖ δₖₗ",
        strength=Strength.REAL,
        roots=(EINSUM,),
        rewrite=_merged,
        examples=lambda: [
            einsum("ijkl,kl->ij", einsum("ik,jl->ijkl", eye("N"), _matrix("A")), _matrix("B")),
        ],
        fits=lambda ops: EINSUM in ops,
    ),
    MATRICES,
    Rule(
        name="identity_of_arrays",
        equation="reshape(I, (M, N, M, N)) = [δᵢₖδⱼₗ]ᵢⱼₖₗ",
        strength=Strength.EXACT,
        roots=(RESHAPE,),
        rewrite=_identity_of_arrays,
        examples=lambda: [reshape(eye(dims.product(dims.as_shape(("N", "D")))), ("N", "D", "N", "D"))],
        fits=lambda ops: EYE in ops,
    ),
    Rule(
        name="product_of_tensors",
        equation="A[δᵢₖBⱼₗ]ᵢⱼₖₗ = [Σₘ AₖₘδᵢₘBⱼₗ]ᵢⱼₖₗ",
        strength=Strength.REAL,
        roots=(matmul,),
        rewrite=_product_of_tensors,
        examples=lambda: [
            _matrix("A") @ einsum("ik,jl->ijkl", eye("N"), _matrix("B")),
            einsum("ik,jl->ijkl", eye("N"), _matrix("B")) @ _vector("x"),
        ],
        fits=lambda ops: EINSUM in ops,
    ),
    Rule(
        name="transpose_of_einsum",
        equation="transpose([δᵢₖAⱼₗ]ᵢⱼₖₗ, (0, 1, 3, 2)) = [δᵢₗAⱼₖ]ᵢⱼₖₗ",
        strength=Strength.EXACT,
        roots=(TRANSPOSE,),
        rewrite=_transposed,
        examples=lambda: [
            permute(einsum("ik,jl->ijkl", eye("N"), _matrix("A")), (-1, -2)),
            permute(
                einsum("ik,jl->ijkl", eye("N"), _matrix("A")) + einsum("il,jk->ijkl", eye("N"), _matrix("A")), (-1, -2)
            ),
        ],
        fits=lambda ops: EINSUM in ops or add in ops,
    ),
    Rule(
        name="einsum_in_order",
        equation="[Aⱼₗδᵢₖ]ᵢⱼₖₗ = [δᵢₖAⱼₗ]ᵢⱼₖₗ",
        strength=Strength.REAL,
        roots=(EINSUM,),
        rewrite=_in_order,
        examples=lambda: [einsum("bd,ac->abcd", _matrix("A"), eye("N"))],
        fits=lambda ops: EYE in ops,
    ),
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
