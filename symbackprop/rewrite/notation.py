"""Sums of products as people write them: Σₙ Xₙᵢ Xₙₖ pₙⱼ (δⱼₗ − pₙₗ), 2 I ⊗ VᵀV, diag(p) − ppᵀ.

The terms are those of `rewrite.terms`; here they are not computed by the fewest operations, but written with an
identity where two indices are equal, with products of matrices where these say it, and common factors outside of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import chain, combinations
from string import ascii_letters
from typing import NamedTuple

from symbackprop.dims import Shape
from symbackprop.expr import Expr
from symbackprop.op import apply, literal, scalar_value
from symbackprop.ops import (
    add,
    astype,
    broadcast_to,
    diag,
    divide,
    expand_dims,
    eye,
    kron,
    multiply,
    reshape,
    squeeze,
    subtract,
)
from symbackprop.ops.contract import EINSUM, EYE
from symbackprop.ops.index import UNSLICE, Run
from symbackprop.ops.layout import EXPAND_DIMS
from symbackprop.rewrite.contract import as_matrices
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.terms import Axis, Factor, Label, Tensors, Term, Terms, Unfit, turned


class _Common(NamedTuple):
    """What two products have in common.

    Attributes:
        weight: how much that is.
        factors: the common factors.
        one: the first product without them.
        other: the second one, in the labels of the first.
        scale: the common number.
    """

    weight: int
    factors: tuple[Factor, ...]
    one: Term
    other: Term
    scale: float


class Formulas(Tensors):
    """Sums of products that are written for people."""

    most_factors = 32

    def atom(self, array: Expr) -> Term:
        """Give an array as a product of factors, truth values as numbers, 1/x without axes of size 1."""
        array = astype(array, self.dtype)
        single = [at for at, size in enumerate(array.shape) if size == 1]
        if not single or array.op is not divide or scalar_value(array.inputs[0]) != 1:
            return super().atom(array)
        axes = tuple(map(self.axis, array.shape))
        return self.of(axes, list(filter(None, axes)), divide(1.0, squeeze(array.inputs[1], single)))

    def masked(self, terms: Terms, condition: Expr, shape: Shape) -> Terms:
        """Multiply terms with 1 where a condition holds, and 0 elsewhere: in formulas everything is finite."""
        return self.multiply([self.widened(term, shape) for term in terms], [self.atom(condition)])

    def _collected(self, terms: Terms) -> Terms:
        return super()._collected([_oriented(self._shortened(term)) for term in terms])

    def _condensed_if_many(self, terms: Terms) -> Terms:
        few = self.most_factors // 2
        return super()._condensed_if_many([self._shortened(x) if len(x.factors) > few else x for x in terms])

    def block(self, term: Term) -> Expr:
        """Write a product with one axis for each label of its axes, as far as broadcasting needs it."""
        labels = tuple(dict.fromkeys(term.leaves))
        return self._product(self._shortened(term._replace(axes=(labels,), selections=())), labels)

    def written(self, terms: Terms, shape: Shape) -> Expr:
        """Write a sum of terms, those that fill slices alone as their elements put there."""
        try:
            terms = self._collected(terms)
        except Unfit:  # axes have labels that cannot be those of one array
            return reduce(add, [self.written([term], shape) for term in terms])
        if not terms:
            return broadcast_to(literal(0.0, self.dtype, graph=self.graph), shape)
        slices: dict[tuple[Run | None, ...], Terms] = {}
        for term in terms:
            slices.setdefault(term.runs, []).append(term)
        return reduce(add, [self._put(group, shape) for group in slices.values()])

    def _put(self, terms: Terms, shape: Shape) -> Expr:
        """Write a sum of terms that fill the same slices."""
        if not terms[0].selections:
            return self._whole(terms, shape)
        flat = tuple(self.extents(terms[0].labels))
        runs = tuple(run or Run(0, size, 1) for run, size in zip(terms[0].runs, flat, strict=True))
        inside = tuple(run.length for run in runs)
        axes = [tuple(() if size == 1 else (x,) for x, size in zip(term.leaves, inside, strict=True)) for term in terms]
        block = self.written(
            [term._replace(axes=own, selections=()) for term, own in zip(terms, axes, strict=True)], inside
        )
        return reshape(apply(UNSLICE, block, runs=runs, into=flat), shape)

    def _whole(self, terms: Terms, shape: Shape) -> Expr:
        out = tuple(map(self._new, self.extents(terms[0].labels)))
        axes = _in_turn(terms[0].axes, out)
        products = [_oriented(self._with_identities(term, out)) for term in terms]
        blocks = self._as_blocks(products, axes)
        if blocks is not None:
            return blocks
        flat = tuple(self.extents(out))
        if len(out) > 2:
            products = self._factored(products)
        total = broadcast_to(self._sum([(each, self._unsigned(each, out)) for each in products]), flat)
        single = [at - len(shape) for at, size in enumerate(shape) if size == 1]
        return expand_dims(total, single) if len(flat) + len(single) == len(shape) else reshape(total, shape)

    def _new(self, size: object) -> Label:
        (label,) = self.axis(size)  # type: ignore[arg-type]
        return label

    def _with_identities(self, term: Term, out: tuple[Label, ...]) -> Term:
        """Give each axis a label of its own, and an identity where two had one."""
        first: dict[Label, Label] = {}
        identities = []
        for label, new in zip(term.labels, out, strict=True):
            if first.setdefault(label, new) != new:
                (size,) = self.extents((new,))
                one = eye(size, dtype=self.dtype, graph=self.graph)
                identities.append(Factor((first[label], new), one))
        renamed = term.renamed(first)
        return Term((out,), (*identities, *renamed.factors), term.scale)

    # --- products ---------------------------------------------------------------------------------------------

    def _shortened(self, term: Term) -> Term:
        """Carry out the sums over one label each whose result is a matrix, a vector or a number."""
        kept = term.leaves
        factors = list(term.factors)
        waiting = [
            label for label in dict.fromkeys(chain.from_iterable(x.labels for x in factors)) if label not in kept
        ]
        while waiting:
            found = next(filter(None, (self._summed(factors, label, kept) for label in waiting)), None)
            if found is None:
                break
            factors, label = found
            waiting.remove(label)
        return term._replace(factors=tuple(factors))

    def _summed(
        self, factors: Sequence[Factor], label: Label, kept: Sequence[Label]
    ) -> tuple[list[Factor], Label] | None:
        joined = [factor for factor in factors if label in factor.labels]
        left = list(dict.fromkeys(x for factor in joined for x in factor.labels if x != label))
        if len(left) > 2:
            return None
        left.sort(key=lambda x: kept.index(x) if x in kept else -1)
        written = self._einsum(joined, left)
        product = as_matrices(written) if written.op is EINSUM else written
        if product is None:
            return None
        rest = [factor for factor in factors if label not in factor.labels]
        return [*rest, Factor(tuple(left), product)], label

    def _einsum(self, factors: Sequence[Factor], out: Sequence[Label]) -> Expr:
        if len(factors) == 1 and factors[0].labels == tuple(out):
            return factors[0].array
        factors = _in_order(self._multiplied_alike(factors), out)
        if len(factors) == 1 and factors[0].labels == tuple(out):
            return factors[0].array
        held = set(chain.from_iterable(factor.labels for factor in factors))
        whole = next((factor for factor in factors if factor.labels == tuple(out)), None)
        plain = held == set(out) and all(len(set(factor.labels)) == len(factor.labels) for factor in factors)
        if len(out) == 2 and plain and whole is not None and whole.array.op is not EYE:
            return reduce(multiply, [turned(factor, out) for factor in factors if factor.labels])
        labels = dict.fromkeys([*out, *chain.from_iterable(x.labels for x in factors)])
        letters = dict(zip(labels, ascii_letters, strict=False))
        terms = ["".join(letters[label] for label in factor.labels) for factor in factors]
        subscripts = f"{','.join(terms)}->{''.join(letters[label] for label in out)}"
        return apply(EINSUM, *(factor.array for factor in factors), subscripts=subscripts)

    @staticmethod
    def _multiplied_alike(factors: Sequence[Factor]) -> list[Factor]:
        """Multiply what has the same axes."""
        found: dict[tuple[object, ...], Factor] = {}
        for factor in factors:
            key = (factor.labels, factor.array.op is EYE)
            other = found.get(key)
            found[key] = factor if other is None else factor._replace(array=multiply(other.array, factor.array))
        return list(found.values())

    def _product(self, term: Term, out: Sequence[Label]) -> Expr:
        """Write a product with an axis for each of these labels, as far as broadcasting needs it."""
        factors = [factor for factor in term.factors if factor.labels]
        held = set(chain.from_iterable(factor.labels for factor in factors))
        present = [at for at, label in enumerate(out) if label in held]
        missing = [at - len(out) for at in range(min(present, default=0), len(out)) if at not in present]
        array = self._diagonal(factors, [out[at] for at in present]) if factors else None
        return _scaled(array, term, literal(1.0, self.dtype, graph=self.graph), missing if present else ())

    def _diagonal(self, factors: list[Factor], out: list[Label]) -> Expr:
        """Write a product; a matrix that has elements on its diagonal alone as such."""
        if len(out) == 2:
            for factor in factors:
                if factor.array.op is EYE and set(factor.labels) == set(out):
                    rest = [other for other in factors if other is not factor]
                    if not rest:
                        return factor.array
                    if not any(out[1] in other.labels for other in rest):
                        return diag(self._einsum(rest, out[:1]))
        return self._einsum(factors, out)

    def _unsigned(self, term: Term, out: Sequence[Label]) -> Expr:
        return self._product(term._replace(scale=abs(term.scale)), out)

    def _sum(self, parts: Sequence[tuple[Term, Expr]]) -> Expr:
        """Add what is written of products without their signs."""
        ordered = sorted(parts, key=lambda part: (part[0].scale < 0, *_identities(part[0])))
        total = ordered[0][1] if ordered[0][0].scale > 0 else -ordered[0][1]
        for term, part in ordered[1:]:
            total = add(total, part) if term.scale > 0 else subtract(total, part)
        return total

    # --- common factors ---------------------------------------------------------------------------------------

    def _factored(self, terms: Sequence[Term]) -> list[Term]:
        """Let products with common factors be one product with a sum."""
        left = list(terms)
        while True:
            pairs = [
                (common, one, other)
                for one, other in combinations(range(len(left)), 2)
                if (common := self._common(left[one], left[other])) is not None
            ]
            if not pairs:
                return left
            common, one, other = max(pairs, key=lambda pair: pair[0].weight)
            left[one] = self._together_with(common)
            del left[other]

    def _common(self, one: Term, other: Term) -> _Common | None:
        """Match factors: the same arrays, with labels that are the same or that an identity lets be so."""
        ends = set(one.labels)
        classes = [_equal(term) for term in (one, other)]
        names: dict[Label, Label] = {}  # of the labels that the other one sums over
        found: list[Factor] = []
        rest, left = [*other.factors], []
        for factor in sorted(one.factors, key=lambda factor: -len(ends.intersection(factor.labels))):
            for mate in sorted(rest, key=lambda mate: mate.labels != factor.labels):
                matched = _matched(factor, mate, ends, classes, names)
                if matched is not None:
                    labels, more = matched
                    names.update(more)
                    found.append(Factor(labels, factor.array))
                    rest.remove(mate)
                    break
            else:
                left.append(factor)
        weight = sum(len(factor.labels) for factor in found)
        if not weight:
            return None
        fresh = {
            x: self._new(self.extents((x,))[0])
            for factor in rest
            for x in factor.labels
            if x not in ends and x not in names
        }
        scale = _common_scale(one.scale, other.scale)
        mine = Term(one.axes, tuple(left), one.scale / scale)
        yours = Term(one.axes, tuple(rest), other.scale / scale).renamed({**fresh, **names})
        return _Common(weight, tuple(found), mine, yours, scale)

    def _together_with(self, common: _Common) -> Term:
        outside = set(chain.from_iterable(factor.labels for factor in common.factors)).union(common.one.labels)
        rests = (common.one, common.other)
        held = [outside.intersection(*[chain.from_iterable(x.labels for x in rest.factors)]) for rest in rests]
        labels = tuple(sorted(held[0] | held[1]))
        parts = [rest._replace(axes=(labels,)) for rest in rests]
        total = self._sum([(part, self._unsigned(part, labels)) for part in parts])
        return Term(common.one.axes, (*common.factors, Factor(labels, total)), common.scale)

    # --- Kronecker products -----------------------------------------------------------------------------------

    def _as_blocks(self, terms: Sequence[Term], axes: Sequence[Axis]) -> Expr | None:
        """Write a matrix in blocks as a sum of Kronecker products."""
        if len(axes) != 2 or len(axes[0]) < 2 or self.extents(axes[0]) != self.extents(axes[1]):
            return None
        pairs = list(zip(*axes, strict=True))
        parts = []
        for term in terms:
            split = _by_pairs(term, pairs)
            if split is None:
                return None
            blocks = [self._diagonal(group, list(pair)) for group, pair in zip(split, pairs, strict=True)]
            one = literal(1.0, self.dtype, graph=self.graph)
            parts.append((term, _scaled(reduce(kron, blocks), term._replace(scale=abs(term.scale)), one, ())))
        return self._sum(parts)


def _oriented(term: Term) -> Term:
    """Let the labels of symmetric matrices, and of differences of all pairs of rows, stand in the order of the axes."""
    place = {label: at for at, label in enumerate(term.labels)}
    factors, scale = [], term.scale
    for factor in term.factors:
        labels = list(factor.labels)
        symmetric = len(labels) == 2 and "symmetric" in known(factor.array)
        swapped = (0, 1) if symmetric else _of_pairs(factor.array)
        if swapped:
            one, other = swapped
            if place.get(labels[other], len(place)) < place.get(labels[one], len(place)):
                labels[one], labels[other] = labels[other], labels[one]
                scale = scale if symmetric else -scale
        factors.append(factor._replace(labels=tuple(labels)))
    return term._replace(factors=tuple(factors), scale=scale)


def _of_pairs(expr: Expr) -> tuple[int, int] | None:
    """Give the two axes by whose exchange a difference of rows with rows changes its sign."""
    if expr.op is not subtract:
        return None
    ours, theirs = (_rows(side, expr.ndim) for side in expr.inputs)
    if ours is None or theirs is None or ours[0] != theirs[0] or abs(ours[1] - theirs[1]) != 1:
        return None
    return ours[1], theirs[1]


def _rows(side: Expr, rank: int) -> tuple[Expr, int] | None:
    """Give what is repeated along one axis, and that axis."""
    if side.ndim == rank - 1:
        return side, 0
    if side.op is EXPAND_DIMS and side.ndim == rank and len(side.params["axes"]) == 1:
        return side.inputs[0], side.params["axes"][0] + rank
    return None


def _in_order(factors: Sequence[Factor], out: Sequence[Label]) -> list[Factor]:
    """Give factors in the order of the axes of the result, equal arrays side by side, identities first."""
    place = {label: at for at, label in enumerate(out)}
    placed = sorted(factors, key=lambda factor: sorted(place[label] for label in factor.labels if label in place))
    first: dict[Expr, int] = {}
    for at, factor in enumerate(placed):
        first.setdefault(factor.array, at)
    return sorted(placed, key=lambda factor: (factor.array.op is not EYE, first[factor.array]))


def _identities(term: Term) -> tuple[bool, list[Label]]:
    """Give the labels of a tensor's identities, by which terms are ordered: those without one come last."""
    if len(term.labels) < 3:
        return False, []
    labels = [label for factor in term.factors if factor.array.op is EYE for label in factor.labels]
    return not labels, labels


def _in_turn(axes: Sequence[Axis], labels: Sequence[Label]) -> list[Axis]:
    """Give axes with other labels for theirs."""
    given = iter(labels)
    return [tuple(next(given) for _ in axis) for axis in axes]


def _scaled(array: Expr | None, term: Term, one: Expr, missing: Sequence[int]) -> Expr:
    """Multiply with the number and the scalars of a product; those that are 1/s divide."""
    scalars = [factor.array for factor in term.factors if not factor.labels]
    above = [each for each in scalars if not _is_reciprocal(each)]
    below = [each.inputs[1] for each in scalars if _is_reciprocal(each)]
    numbers = above if term.scale == 1 else [multiply(one, term.scale), *above]
    whole = [] if array is None else [expand_dims(array, missing) if missing else array]
    product = reduce(multiply, [*([reduce(multiply, numbers)] if numbers else []), *whole] or [one])
    return divide(product, reduce(multiply, below)) if below else product


def _is_reciprocal(expr: Expr) -> bool:
    return expr.op is divide and scalar_value(expr.inputs[0]) == 1


def _equal(term: Term) -> dict[Label, Label]:
    """Give for the labels of the identities in a product one of those that are equal to it."""
    same: dict[Label, Label] = {}
    for factor in term.factors:
        if factor.array.op is EYE:
            one, other = (same.get(label, label) for label in factor.labels)
            same |= dict.fromkeys([*factor.labels, *(x for x, to in same.items() if to == other)], one)
    return same


def _matched(
    factor: Factor, mate: Factor, ends: set[Label], classes: Sequence[dict[Label, Label]], names: dict[Label, Label]
) -> tuple[tuple[Label, ...], dict[Label, Label]] | None:
    """Give the labels with which two factors are the same, and what the other's labels are called for that."""
    if factor.array != mate.array:
        return None
    ours, theirs = (each if factor.array.op is not EYE else {} for each in classes)
    labels: list[Label] = []
    more: dict[Label, Label] = {}
    for a, b in zip(factor.labels, mate.labels, strict=True):
        if b not in ends:
            called = {**names, **more}
            if a in ends or called.get(b, a) != a or (b not in called and a in called.values()):
                return None
            more[b] = a
            labels.append(a)
        elif a == b or ours.get(a, a) == ours.get(b, b):
            labels.append(b)
        elif theirs.get(a, a) == theirs.get(b, b):
            labels.append(a)
        else:
            return None
    return tuple(labels), more


def _common_scale(one: float, other: float) -> float:
    """Give the number that comes out of the sum of two multiples."""
    for scale, ratio in ((one, other / one), (other, one / other)):
        if ratio.is_integer():
            return abs(scale) if one > 0 or other > 0 else -abs(scale)
    return 1.0


def _by_pairs(term: Term, pairs: Sequence[tuple[Label, Label]]) -> list[list[Factor]] | None:
    """Share the factors of a product out: to each pair of a row and a column what is joined with them alone."""
    groups: list[list[Factor]] = [[] for _ in pairs]
    for factor in term.factors:
        places = [at for at, pair in enumerate(pairs) if set(factor.labels) & set(pair)]
        if not factor.labels:
            continue
        if len(places) != 1 or not set(factor.labels) <= set(pairs[places[0]]):
            return None
        groups[places[0]].append(factor)
    complete = all(
        set(pair) == set(chain.from_iterable(x.labels for x in group))
        for pair, group in zip(pairs, groups, strict=True)
    )
    return groups if complete else None
