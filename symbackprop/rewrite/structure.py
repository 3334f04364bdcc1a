"""Inverses, systems and determinants of matrices with structure: diagonal, in blocks, Kronecker, diagonal and low rank.

A matrix is a sum of terms with two axes. Labels that both axes share make it block-diagonal; along a label that no
factor has a block repeats, as in ``I ⊗ A``. A positive diagonal and a product with few inner elements goes by
Woodbury's identity (W. Hager, *Updating the inverse of a matrix*, 1989). So n × n elements are never filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from symbackprop import dims
from symbackprop.dims import Size
from symbackprop.expr import Expr
from symbackprop.op import apply, literal
from symbackprop.ops import abs as abs_
from symbackprop.ops import divide, expand_dims, log, matmul, reshape
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import ADD_WHERE_EQUAL
from symbackprop.ops.determinants import LOGABSDET
from symbackprop.ops.layout import permute
from symbackprop.ops.leaf import size_of
from symbackprop.ops.systems import inv, solve
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.terms import Factor, Label, Tensors, Term, Terms, Unfit


class _Blocks(NamedTuple):
    """A block-diagonal matrix.

    Attributes:
        rows: the labels of the rows.
        columns: the labels of the columns, the rows' own where the matrix is diagonal.
        batch: the labels of which each value has a block.
        inner: the places in `rows` of the labels that run inside of a block.
        repeats: how often each block stands there.
        block: the blocks, matrices behind the axes of `batch`; numbers if nothing runs inside.
    """

    rows: tuple[Label, ...]
    columns: tuple[Label, ...]
    batch: tuple[Label, ...]
    inner: tuple[int, ...]
    repeats: Size
    block: Expr


class _LowRank(NamedTuple):
    """A positive diagonal ``d[n]`` and a product ``U[n, k] V[k, n]``; U and V are vectors if k is 1."""

    diagonal: Expr
    left: Expr
    right: Term


def inverse(tensors: Tensors, terms: Terms) -> Terms:
    """Give the inverse of a matrix in blocks.

    Raises:
        Unfit: the matrix has no blocks.
    """
    blocks = _blocks(tensors, _aligned(tensors, terms))
    if not blocks.inner:
        return [Term((blocks.rows, blocks.rows), (Factor(blocks.batch, divide(1.0, blocks.block)),))]
    ends = tuple(labels[place] for labels in (blocks.rows, blocks.columns) for place in blocks.inner)
    labels = blocks.batch + ends
    array = reshape(inv(blocks.block), tensors.extents(labels))
    return [Term((blocks.rows, blocks.columns), (Factor(labels, array),))]


def solution(tensors: Tensors, terms: Terms, side: Expr) -> Expr:
    """Solve a system whose matrix has structure.

    Raises:
        Unfit: the matrix has no structure, or the right side is a stack of matrices.
    """
    if side.ndim > 2:
        raise Unfit
    terms = _aligned(tensors, terms)
    low = _low_rank(tensors, terms)
    return _by_blocks(tensors, _blocks(tensors, terms), side) if low is None else _by_woodbury(tensors, low, side)


def log_determinant(tensors: Tensors, terms: Terms) -> Expr:
    """Give the logarithm of the size of the determinant of a matrix with structure.

    Raises:
        Unfit: the matrix has none.
    """
    terms = _aligned(tensors, terms)
    low = _low_rank(tensors, terms)
    if low is None:
        return _of_blocks(tensors, _blocks(tensors, terms))
    inside = _capacitance(tensors, low)
    diagonal = [term for term in terms if term.axes[0] == term.axes[1]]
    more = LOGABSDET(inside) if inside.ndim else log(abs_(inside))
    return _of_blocks(tensors, _blocks(tensors, diagonal)) + more


def _of_blocks(tensors: Tensors, blocks: _Blocks) -> Expr:
    each = sum_(LOGABSDET(blocks.block) if blocks.inner else log(abs_(blocks.block)))
    return each if blocks.repeats == 1 else size_of(blocks.repeats, tensors.dtype, graph=tensors.graph) * each


def _aligned(tensors: Tensors, terms: Terms) -> Terms:
    """Give the terms of a matrix the same labels for rows, and for columns those of the rows or others.

    Raises:
        Unfit: there are more than two axes, a row's label is that of a column at another place, or a term fills a
            slice alone.
    """
    terms = tensors.alike(terms)
    if not terms or len(terms[0].axes) != 2 or any(term.selections for term in terms):
        raise Unfit
    rows, columns = (tuple(chain.from_iterable(map(tensors.axis, tensors.extents(terms[0].axes[0])))) for _ in "rc")
    found = []
    for term in terms:
        if tensors.extents(term.axes[0]) != tensors.extents(term.axes[1]):
            raise Unfit
        names = dict(zip(term.axes[0], rows, strict=True))
        for place, label in enumerate(term.axes[1]):
            if names.setdefault(label, columns[place]) not in {rows[place], columns[place]}:
                raise Unfit
        found.append(term.renamed(names))
    return found


def _blocks(tensors: Tensors, terms: Terms) -> _Blocks:
    """Read a matrix as blocks on its diagonal.

    Raises:
        Unfit: its axes share no label.
    """
    rows = terms[0].axes[0]
    shared = [all(term.axes[1][place] == label for term in terms) for place, label in enumerate(rows)]
    if not any(shared):
        raise Unfit
    inner = tuple(place for place, same in enumerate(shared) if not same)
    held = set(chain.from_iterable(factor.labels for term in terms for factor in term.factors))
    outer = [label for label, same in zip(rows, shared, strict=True) if same]
    batch = tuple(label for label in outer if label in held)
    repeats = dims.product(tensors.extents(label for label in outer if label not in held))
    parts = [
        term._replace(axes=(*((label,) for label in batch), *((axis[place],) for axis in term.axes for place in inner)))
        for term in terms
    ]
    size = dims.product(tensors.extents(rows[place] for place in inner))
    whole = tuple(tensors.extents(batch))
    ends = tuple(tensors.extents(rows[place] for place in inner)) * 2
    block = reshape(tensors.written(parts, whole + ends), (*whole, size, size) if inner else whole)
    columns = _columns(tensors, rows, shared)
    return _Blocks(rows, columns, batch, inner, repeats, block)


def _columns(tensors: Tensors, rows: Sequence[Label], shared: Sequence[bool]) -> tuple[Label, ...]:
    new = [tensors.axis(size)[0] for size in tensors.extents(rows)]
    return tuple(label if same else other for label, same, other in zip(rows, shared, new, strict=True))


def _by_blocks(tensors: Tensors, blocks: _Blocks, side: Expr) -> Expr:
    """Solve with each block: what repeats it are more right sides."""
    sizes = tuple(tensors.extents(blocks.rows))
    rank, more = len(sizes), side.shape[1:]
    batch = [blocks.rows.index(label) for label in blocks.batch]
    whole = reshape(side, sizes + more)
    if not blocks.inner:
        places = [at - rank - len(more) for at in range(rank + len(more)) if at not in batch]
        return reshape(divide(whole, expand_dims(blocks.block, places)), side.shape)
    order = [*batch, *blocks.inner]
    order += [at for at in range(rank + len(more)) if at not in order]
    turned = permute(whole, tuple(at - len(order) for at in order))
    lead = turned.shape[: len(batch)]
    columns = dims.product(turned.shape[len(batch) + len(blocks.inner) :])
    solved = solve(blocks.block, reshape(turned, (*lead, blocks.block.shape[-1], columns)))
    back = permute(reshape(solved, turned.shape), tuple(order.index(at) - len(order) for at in range(len(order))))
    return reshape(back, side.shape)


# --- diagonal and low rank ------------------------------------------------------------------------------------


def _low_rank(tensors: Tensors, terms: Terms) -> _LowRank | None:
    """Read a matrix as a diagonal that is known to be positive, and one product with few inner elements."""
    diagonal = [term for term in terms if term.axes[0] == term.axes[1]]
    others = [term for term in terms if term.axes[0] != term.axes[1]]
    if not diagonal or len(others) != 1 or set(others[0].axes[0]) & set(others[0].axes[1]):
        return None
    term = _opened(tensors, others[0])
    rows, columns = term.axes
    left = tuple(factor for factor in term.factors if set(factor.labels) & set(rows))
    right = tuple(factor for factor in term.factors if factor not in left)
    inner = tuple(dict.fromkeys(x for factor in left for x in factor.labels if x not in rows))
    size, rank = (dims.product(tensors.extents(labels)) for labels in (rows, inner))
    small = rank == 1 or (isinstance(size, int) and isinstance(rank, int) and 2 * rank <= size)
    if not small or any(set(factor.labels) & set(columns) for factor in left):
        return None
    d = tensors.written([Term((each.axes[0],), each.factors, each.scale) for each in diagonal], (size,))
    if "positive" not in known(d):
        return None
    axes = (inner,) if inner else ()
    U = tensors.written([Term((rows, *axes), left, term.scale)], (size, *[rank] * len(axes)))
    return _LowRank(d, U, Term((*axes, columns), right))


def _opened(tensors: Tensors, term: Term) -> Term:
    """Take a matrix product apart that is a factor."""
    factors: list[Factor] = []
    for factor in term.factors:
        if factor.array.op is matmul and all(operand.ndim == 2 for operand in factor.array.inputs):
            left, right = factor.array.inputs
            inner = tensors.axis(left.shape[1])
            if inner:
                factors += [Factor((factor.labels[0], *inner), left), Factor((*inner, factor.labels[1]), right)]
                continue
        factors.append(factor)
    return term._replace(factors=tuple(factors))


def _over(x: Expr, d: Expr) -> Expr:
    return divide(x, expand_dims(d, -1) if x.ndim > 1 else d)


def _seen(tensors: Tensors, low: _LowRank, x: Expr) -> Expr:
    """Give ``V x``."""
    shape = tuple(dims.product(tensors.extents(axis)) for axis in low.right.axes[:-1]) + x.shape[1:]
    return tensors.written(tensors.matmul([low.right], [tensors.atom(x)]), shape)


def _capacitance(tensors: Tensors, low: _LowRank) -> Expr:
    """Give ``I + V D⁻¹ U``."""
    product = _seen(tensors, low, _over(low.left, low.diagonal))
    one = literal(1.0, tensors.dtype, graph=tensors.graph)
    if not product.ndim:
        return one + product
    return apply(ADD_WHERE_EQUAL, product, one, pattern="aa", owned=False, runs=())


def _by_woodbury(tensors: Tensors, low: _LowRank, side: Expr) -> Expr:
    """Give ``D⁻¹b − D⁻¹U (I + V D⁻¹ U)⁻¹ V D⁻¹b``."""
    first = _over(side, low.diagonal)
    spread = _over(low.left, low.diagonal)
    inside, seen = _capacitance(tensors, low), _seen(tensors, low, first)
    if inside.ndim:
        return first - matmul(spread, solve(inside, seen))
    share = seen / inside
    return first - (expand_dims(spread, -1) * share if share.ndim else spread * share)
