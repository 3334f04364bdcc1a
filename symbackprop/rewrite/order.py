"""Sums of products over labelled axes: in the cheapest order, and each pair by the best call of BLAS.

A factor is an array with a label for each of its axes, and what has one label has one size. The order is searched on
labels alone (`plan`); then each step becomes a matrix product of views where BLAS has one, a product with
broadcasting where nothing is summed, a sum where there is one factor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import reduce
from math import prod
from types import MappingProxyType
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.op import apply
from symbackprop.ops import diagonal, divide, expand_dims, matmul, multiply, reshape, sqrt, squeeze
from symbackprop.ops import sum as sum_
from symbackprop.ops.contract import EINSUM, label_sizes
from symbackprop.ops.elementwise import astype
from symbackprop.ops.layout import TRANSPOSE, matrix_transpose, permute
from symbackprop.rewrite.facts import known
from symbackprop.rewrite.halves import components, halves

Labels: TypeAlias = frozenset[str]
Path: TypeAlias = Sequence[Sequence[int]]

UNTOLD = 256
"""What a named size counts as unless it is told: more than most sizes that are written as numbers, so that axes with
names are summed early; among each other they count alike, and a vector is smaller than a matrix."""

_OPTIMAL = 7  # factors of which every order is tried, in less than a millisecond
_BEST = 20  # factors of which the best order without outer products is found, in milliseconds
_LETTERS = "ijklmnopqrstuvwxyzabcdefgh"  # for the labels of what is left to einsum
_CALL = 1024  # elements: to copy fewer costs less than to call BLAS once more


def number(size: Size, sizes: Mapping[str, int]) -> int:
    """Give a size as a number, with a guess for the names that are not told.

    >>> number(dims.as_size("N*K"), {"N": 3}), number(5, {})
    (768, 5)
    """
    if not isinstance(size, Dim):
        return size
    if size.name is not None:
        return sizes.get(size.name, UNTOLD)
    return max(size.value({name: sizes.get(name, UNTOLD) for name in size.names}), 0)


# --- the order ------------------------------------------------------------------------------------------------


class Factor(NamedTuple):
    """What the order depends on of a factor.

    Attributes:
        labels: one for each axis.
        array: what the same arrays share, or None.
        nonnegative: whether its elements are known not to be negative.
    """

    labels: str
    array: Hashable = None
    nonnegative: bool = False


class Step(NamedTuple):
    """One or two factors become one.

    Attributes:
        factors: their positions among the given ones and the results of earlier steps.
        kept: the labels of the result; the others are summed over.
    """

    factors: tuple[int, ...]
    kept: Labels


def plan(factors: Sequence[Labels], out: Labels, size: Mapping[str, int]) -> list[Step]:
    """Give the steps by which factors become their product, summed over the labels that `out` lacks.

    What only one factor has is summed first, factors with the same labels are multiplied, and the order of the others
    is the cheapest. What has no label takes no part.

    >>> x, A = frozenset("c"), [frozenset("ab"), frozenset("bc")]
    >>> [step.factors for step in plan([*A, x], frozenset("a"), {"a": 9, "b": 9, "c": 9})]
    [(1, 2), (0, 3)]
    """
    state = _Planning(factors, out, size)
    state.settle()
    state.join()
    return state.steps


class _Planning:
    def __init__(self, factors: Sequence[Labels], out: Labels, size: Mapping[str, int]) -> None:
        self.out, self.size = out, size
        self.count = len(factors)
        self.alive = {at: labels for at, labels in enumerate(factors) if labels}
        self.uses = Counter(label for labels in (*factors, out) for label in labels)
        self.first = [*range(self.count)]  # of each part the place of its first factor
        self.steps: list[Step] = []

    def step(self, *factors: int) -> int:
        """Write a step down, and give the position of its result."""
        taken = [self.alive.pop(at) for at in factors]
        union = frozenset[str]().union(*taken)
        for labels in taken:
            self.uses.subtract(labels)
        kept = frozenset(label for label in union if self.uses[label])
        self.uses.update(kept)
        self.steps.append(Step(factors, kept))
        if kept:
            self.alive[self.count] = kept
        self.first.append(min(self.first[at] for at in factors))
        self.count += 1
        return self.count - 1

    def settle(self) -> None:
        """Sum what only one factor has, and multiply factors that have the same labels."""
        before = -1
        while before < self.count:
            before = self.count
            for at, labels in [*self.alive.items()]:
                if any(self.uses[label] == 1 for label in labels):
                    self.step(at)
            first: dict[Labels, int] = {}
            for at, labels in [*self.alive.items()]:
                twin = first.setdefault(labels, at)
                if twin != at:
                    first[labels] = self.step(twin, at)

    def join(self) -> None:
        """Multiply what is left, in the cheapest order."""
        places = sorted(self.alive, key=self.first.__getitem__)  # of orders that cost the same the written one is taken
        for chosen in _path([self.alive[place] for place in places], self.out, self.size):
            pair = [places.pop(at) for at in sorted(chosen, reverse=True)][::-1]
            left = [place for place in pair if place in self.alive]  # scalars take no part
            places.append(self.step(*left) if len(left) == 2 else (left or pair)[0])


def _flops(union: Labels, kept: Labels, size: Mapping[str, int], factors: int) -> int:
    is_summed = any(size[label] != 1 for label in union - kept)  # an axis of one element is dropped
    return prod(size[label] for label in union) * (factors - 1 + is_summed)


def work(factors: Sequence[Factor], steps: Sequence[Step], size: Mapping[str, int]) -> int:
    """Count the operations of steps; a matrix times its own transpose takes half of them, because BLAS has syrk.

    >>> square = [Step((0, 1), frozenset("ij"))]
    >>> work([Factor("ni", "X"), Factor("nj", "X")], square, dict.fromkeys("nij", 10))
    1000
    >>> work([Factor("ni", "X"), Factor("nj", "Y")], square, dict.fromkeys("nij", 10))
    2000
    """
    arrays = dict(enumerate(factors))
    weighted: dict[int, tuple[Factor, Factor]] = {}
    total = 0
    for at, step in enumerate(steps, start=len(factors)):
        taken = [arrays[place] for place in step.factors]
        union = frozenset[str]().union(*(part.labels for part in taken))
        needed = _flops(union, step.kept, size, len(taken))
        arrays[at] = Factor("".join(sorted(step.kept)), None, all(part.nonnegative for part in taken))
        if len(taken) == 2 and step.kept == union:
            small, large = sorted(taken, key=lambda part: len(part.labels))
            if len(large.labels) == len(union):
                weighted[at] = large, small
        elif len(taken) == 2:
            inner = union - step.kept
            pairs = [step.factors, step.factors[::-1]]
            square = _alike(taken[0], taken[1], inner) or any(
                one in weighted
                and weighted[one][1].nonnegative
                and {*weighted[one][1].labels} <= inner
                and _alike(weighted[one][0], arrays[other], inner)
                for one, other in pairs
            )
            needed = needed // 2 if square else needed
        total += needed
    return total


def to_scalars(factors: Sequence[Factor], steps: Sequence[Step]) -> set[int]:
    """Give the factors and results of steps that are scalars or used for scalars alone.

    >>> sorted(to_scalars([Factor("i"), Factor("i"), Factor("j")], [Step((0, 1), frozenset())]))
    [0, 1, 3]
    """
    found = {at for at, factor in enumerate(factors) if not factor.labels}
    for at in range(len(factors) + len(steps) - 1, len(factors) - 1, -1):
        step = steps[at - len(factors)]
        if at in found or not step.kept:
            found.update({at, *step.factors})
    return found


def place_of_scalar(
    factors: Sequence[Factor], steps: Sequence[Step], size: Mapping[str, int], *, nonnegative: bool
) -> int | None:
    """Choose what a scalar is multiplied with: what has the fewest elements, the last of those that have as few.

    Where an array is among the factors twice, it stays, so that its product with itself is seen; so do weights that
    would no longer be known not to be negative.

    >>> factors = [Factor("ij"), Factor("jk")]
    >>> place_of_scalar(factors, [Step((0, 1), frozenset("ik"))], {"i": 9, "j": 2, "k": 2}, nonnegative=True)
    1
    """
    apart = to_scalars(factors, steps)
    labels = [*(factor.labels for factor in factors), *(step.kept for step in steps)]
    rest = [at for at in range(len(labels)) if at not in apart]
    if not rest:
        return None
    times = Counter(factors[at].array for at in rest if at < len(factors) and factors[at].array is not None)
    if any(count > 1 for count in times.values()):
        weights = [at for at in rest if at < len(factors) and factors[at].nonnegative and times[factors[at].array] == 1]
        rest = [*(weights if nonnegative else []), rest[-1]]
    return min(reversed(rest), key=lambda at: prod(size[label] for label in labels[at]))


def _alike(one: Factor, other: Factor, inner: Labels) -> bool:
    """Tell whether two factors are one array, summed over the same axes of it."""
    if one.array is None or one.array != other.array:
        return False
    return all(here == there or not {here, there} & inner for here, there in zip(one.labels, other.labels, strict=True))


def _path(factors: list[Labels], out: Labels, size: Mapping[str, int]) -> Path:
    """Give the pairs to be multiplied, as positions in a list that loses each pair and gets its product at the end."""
    last = len(factors) - 1
    if last < 2:
        return [(0, 1)] * last
    if last == 2:
        return min(
            ([pair, (0, 1)] for pair in [(0, 1), (1, 2), (0, 2)]), key=lambda path: _cost(path, factors, out, size)
        )
    from opt_einsum import paths  # noqa: PLC0415  (costs an import 20 ms, and few products have so many factors)

    if len(factors) <= _OPTIMAL:
        best: Path = paths.optimal(factors, out, size)
    elif len(factors) <= _BEST:
        best = paths.DynamicProgramming()(factors, out, size)
    else:
        from_left = [(0, 1), *((0, left) for left in range(last - 1, 0, -1))]
        from_right = [(left - 1, left) for left in range(last, 0, -1)]
        found = [from_left, from_right, paths.greedy(factors, out, size)]
        best = min(found, key=lambda path: _cost(path, factors, out, size))
    return best


def _cost(path: Path, factors: Sequence[Labels], out: Labels, size: Mapping[str, int]) -> int:
    left = [*factors]
    uses = Counter(label for labels in (*factors, out) for label in labels)
    total = 0
    for pair in path:
        taken = [left.pop(at) for at in sorted(pair, reverse=True)]
        for labels in taken:
            uses.subtract(labels)
        union = frozenset[str]().union(*taken)
        kept = frozenset(label for label in union if uses[label])
        uses.update(kept)
        left.append(kept)
        total += _flops(union, kept, size, len(taken))
    return total


# --- the steps ------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """An array with labels in the order of its memory, as far as that is known.

    Attributes:
        labels: one for each axis.
        expr: the array.
        at: the place of its first factor, so that products are written in the order of their factors.
        scaled: the array and the smaller factor without axes of its own that it is the elementwise product of.
    """

    labels: str
    expr: Expr
    at: int
    scaled: tuple[_Part, _Part] | None = None

    def turned(self, order: Sequence[str]) -> Expr:
        """Give the array with its axes in another order."""
        rank = len(self.labels)
        return permute(self.expr, tuple(self.labels.index(label) - rank for label in order))

    @property
    def is_symmetric(self) -> bool:
        """Whether this is a matrix that is known to be symmetric."""
        return self.expr.ndim == 2 and "symmetric" in known(self.expr)

    def without(self, labels: Iterable[str]) -> str:
        """Give the labels but for some."""
        return "".join(label for label in self.labels if label not in labels)


def _prepared(labels: str, expr: Expr, at: int, dtype: np.dtype) -> _Part:
    """Look below transposes, and take the diagonal of axes that have one label."""
    expr = astype(expr, dtype)
    while expr.op is TRANSPOSE:
        axes = expr.params["axes"]
        first = len(labels) - len(axes)
        below = dict(zip(axes, labels[first:], strict=True))
        labels, expr = labels[:first] + "".join(below[axis] for axis in range(-len(axes), 0)), expr.inputs[0]
    while len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        one = labels.index(twice)
        other = labels.index(twice, one + 1)
        expr = diagonal(expr, axis1=one, axis2=other)
        labels = labels[:one] + labels[one + 1 : other] + labels[other + 1 :] + twice
    return _Part(labels, expr, at)


def contracted(
    terms: Sequence[tuple[str, Expr]],
    out: str,
    sizes: Mapping[str, int] = MappingProxyType({}),
    *,
    divisor: Expr | None = None,
) -> Expr:
    """Give a product of labelled arrays, summed over the labels that the result lacks, by the cheapest operations.

    result[out] = Σ term₁[labels₁] · term₂[labels₂] · …, as ``np.einsum`` has it, made of matrix products, products
    with broadcasting, sums, transposes and diagonals. Scalars are multiplied with what has the fewest elements; where
    an array is weighted with what is known not to be negative and multiplied with itself, the root of the weights
    scales it, because BLAS computes ``Z.T @ Z`` in half the time.

    Args:
        terms: each array with one character for each axis; one that an array has twice asks for a diagonal.
        out: the characters of the result, each once.
        sizes: numbers for named sizes, by which the order is chosen; any order is right for all sizes.
        divisor: a scalar that the product is divided by.

    Raises:
        ShapeError: a label has two sizes, an array not as many axes as labels, or the result a label of no array.

    >>> import symbackprop as sb
    >>> A, B, x = sb.symbols("A[M,N] B[N,K] x[K]")
    >>> contracted([("ij", A), ("jk", B), ("k", x)], "i").describe(9)
    'matmul(A, matmul(B, x))[M]'
    >>> contracted([("ij", A), ("kj", A)], "ik").describe(9)
    'matmul(A, transpose(A))[M, M]'
    """
    dtype = np.result_type(*(expr.dtype for _, expr in terms))
    extents = label_sizes([labels for labels, _ in terms], [expr.shape for _, expr in terms])
    strangers = [label for label in out if label not in extents]
    if strangers:
        raise ShapeError(f"contracted: {strangers[0]} is in the result {out!r} and in no factor")
    size = {label: number(extent, sizes) for label, extent in extents.items()}
    groups = components(terms)
    if max(map(len, groups)) > 1 and sum(any(labels for labels, _ in group) for group in groups) > 1:
        return contracted([_alone(group, out, sizes) for group in groups], out, sizes, divisor=divisor)
    better = _with_half(terms, out, size) or _squared(terms, out, size, sizes)
    if better is not None:
        return contracted(better, out, sizes, divisor=divisor)
    parts = [_prepared(labels, expr, at, dtype) for at, (labels, expr) in enumerate(terms)]
    return _Contraction(parts, out, extents, size).result(divisor)


def _alone(terms: Sequence[tuple[str, Expr]], out: str, sizes: Mapping[str, int]) -> tuple[str, Expr]:
    """Compute factors that share no label with others, in an order that does not depend on their labels.

    So what stands in a product twice is computed once.
    """
    if len(terms) == 1:
        return terms[0]
    held = {label for labels, _ in terms for label in labels}
    kept = "".join(label for label in out if label in held)
    return kept, contracted(sorted(terms, key=lambda term: term[1].number), kept, sizes)


def _squared(
    terms: Sequence[tuple[str, Expr]], out: str, size: Mapping[str, int], sizes: Mapping[str, int]
) -> list[tuple[str, Expr]] | None:
    """Compute the half of a product that is something times itself, unless another order takes fewer operations."""
    found = halves(terms, out)
    if found is None:
        return None
    held = dict.fromkeys("".join(labels for labels, _ in found.half))
    outside = {*out, *"".join(labels for labels, _ in found.rest)}
    shared = [label for label in held if found.names[label] == label]
    kept = shared + [label for label in (*out, *sorted(outside)) if label in held and label not in shared]
    kept = list(dict.fromkeys(kept))
    first, second = "".join(kept), "".join(found.names[label] for label in kept)
    whole = [first, second, *(labels for labels, _ in found.rest)]
    of_half = _least([labels for labels, _ in found.half], first, size)
    if of_half + _least(whole, out, size) > _least([labels for labels, _ in terms], out, size):
        return None
    half = contracted(found.half, first, sizes)
    if half.graph.scratch:
        made = _Half(tuple((labels, expr.number) for labels, expr in found.half), first, half.number)
        _HALVES.setdefault(half.graph, []).append(made)
    return [(first, half), (second, half), *found.rest]


def _least(labels: Sequence[str], out: str, size: Mapping[str, int]) -> int:
    """Count the operations of a product in the cheapest order."""
    return work([Factor(each) for each in labels], plan([*map(frozenset, labels)], frozenset(out), size), size)


class _Half(NamedTuple):
    """The half of a product that was computed: labels and numbers of its factors, its own labels, and its number."""

    factors: tuple[tuple[str, int], ...]
    labels: str
    number: int


_HALVES: WeakKeyDictionary[Graph, list[_Half]] = WeakKeyDictionary()  # of graphs in which no number is dropped
_LATEST = 4  # halves that are looked at again


def _with_half(terms: Sequence[tuple[str, Expr]], out: str, size: Mapping[str, int]) -> list[tuple[str, Expr]] | None:
    """Put a half that is there in place of its factors, where that takes fewer operations."""
    graph = terms[0][1].graph
    for half in _HALVES.get(graph, ())[: -_LATEST - 1 : -1]:
        places = {expr.number: at for at, (_, expr) in enumerate(terms)}
        if len(places) < len(terms) or not places.keys() > {number for _, number in half.factors}:
            continue
        names: dict[str, str] = {}
        taken = [(labels, terms[places[number]][0]) for labels, number in half.factors]
        same = all(names.setdefault(x, y) == y for pair in taken for x, y in zip(*pair, strict=True))
        gone = {places[number] for _, number in half.factors}
        rest = [term for at, term in enumerate(terms) if at not in gone]
        outside = {*out, *"".join(labels for labels, _ in rest)}
        inner = {name for label, name in names.items() if label not in half.labels}
        if not same or len({*names.values()}) < len(names) or inner & outside:
            continue
        found = [("".join(names[label] for label in half.labels), Expr(graph, half.number)), *rest]
        if _least([labels for labels, _ in found], out, size) < _least([labels for labels, _ in terms], out, size):
            return found
    return None


class _Contraction:
    """One product on its way to an expression.

    Attributes:
        parts: the factors, and the results of the steps.
        out: the labels of the result.
        extents: the size of each label.
        size: the same as numbers.
    """

    def __init__(self, parts: list[_Part], out: str, extents: Mapping[str, Size], size: Mapping[str, int]) -> None:
        self.parts = dict(enumerate(parts))
        self.out, self.extents, self.size = out, extents, size
        self.steps = plan([frozenset(part.labels) for part in parts], frozenset(out), size)
        self.first = len(parts)
        times = Counter(part.expr.number for part in parts)
        twice = max(times.values()) > 1
        self.factors = [
            Factor(part.labels, part.expr.number, twice and "nonnegative" in known(part.expr)) for part in parts
        ]

    def result(self, divisor: Expr | None) -> Expr:
        """Do the steps: first those to scalars, which are then multiplied with the smallest part."""
        apart = to_scalars(self.factors, self.steps)
        for at in sorted(apart):
            self._do(at)
        scalars = [part.expr for part in self.parts.values() if not part.labels]
        factor = reduce(multiply, scalars) if scalars else None
        rest = [at for at in range(self.first + len(self.steps)) if at not in apart]
        if not rest:
            return _scaled(None, factor, divisor)
        place = self._place(factor, divisor)
        for at in rest:
            self._do(at, self.out if at == rest[-1] else "")
            if at == place:
                part = self.parts[at]
                self.parts[at] = part._replace(expr=_scaled(part.expr, factor, divisor), scaled=None)
        return self.parts[rest[-1]].turned(self.out)

    def _place(self, *scalars: Expr | None) -> int | None:
        there = [scalar for scalar in scalars if scalar is not None]
        keeps = all("nonnegative" in known(scalar) for scalar in there)
        return place_of_scalar(self.factors, self.steps, self.size, nonnegative=keeps) if there else None

    def _do(self, at: int, wanted: str = "") -> None:
        if at < self.first:
            return
        step = self.steps[at - self.first]
        parts = [self.parts[factor] for factor in step.factors]
        if len(parts) == 1:
            self.parts[at] = _summed(parts[0], step.kept)
        else:
            self.parts[at] = _Pair(self, parts, step.kept, wanted).product()

    def elements(self, labels: Iterable[str]) -> int:
        """Count the elements of an array with these labels."""
        return prod(self.size[label] for label in labels)


def _scaled(array: Expr | None, factor: Expr | None, divisor: Expr | None) -> Expr:
    """Multiply and divide by scalars, of which there is one at least; both at once where both are there."""
    if factor is not None and divisor is not None and array is not None:
        return multiply(divide(factor, divisor), array)
    above = array if factor is None else factor if array is None else multiply(factor, array)
    if above is None:
        raise ShapeError("contracted: there is nothing to multiply")
    return above if divisor is None else divide(above, divisor)


def _summed(part: _Part, kept: Labels) -> _Part:
    gone = [axis for axis, label in enumerate(part.labels) if label not in kept]
    single = [axis for axis in gone if part.expr.shape[axis] == 1]
    axes = gone if len(single) < len(gone) else []
    found = astype(sum_(part.expr, axis=axes), part.expr.dtype) if axes else squeeze(part.expr, single)
    return _Part("".join(label for label in part.labels if label in kept), found, part.at)


class _Pair:
    """The product of two parts, summed over what is not kept.

    Attributes:
        a: the part whose factors stand first.
        b: the other one.
        batch: the labels of both that are kept.
        inner: the labels of both that are summed over.
        left: the labels of `a` alone.
        right: the labels of `b` alone.
        wanted: the order of the result's labels, if one is better than the others.
    """

    def __init__(self, of: _Contraction, parts: Sequence[_Part], kept: Labels, wanted: str) -> None:
        self.of, self.wanted = of, wanted
        self.a, self.b = sorted(parts, key=lambda part: part.at)
        self.left, self.right = self.a.without(self.b.labels), self.b.without(self.a.labels)
        shared = {*self.a.labels} & {*self.b.labels}
        self.batch = "".join(label for label in wanted or self.a.labels if label in shared & kept)
        orders = (part.without(self.batch + self.left + self.right) for part in (self.a, self.b))
        self.inner = min(orders, key=self._copied)

    def product(self) -> _Part:
        """Choose the operation."""
        if not self.inner:
            return self._multiplied()
        if not self.left and not self.right:
            return self._alike()
        self._take_root()
        return self._looped() or self._stacked() or self._matrices()

    def _copied(self, inner: str) -> int:
        """Count the elements that must be copied to have the summed axes in an order, side by side."""
        total = 0
        for part, own in ((self.a, self.left), (self.b, self.right)):
            views = {own + inner, inner + own}
            total += 0 if part.without(self.batch) in views else self.of.elements(part.labels)
        return total

    def _part(self, labels: str, expr: Expr, scaled: tuple[_Part, _Part] | None = None) -> _Part:
        return _Part(labels, expr, self.a.at, scaled)

    def _multiplied(self) -> _Part:
        """Multiply with broadcasting, in the order of a factor that has all axes, if there is one."""
        small, large = sorted((self.a, self.b), key=lambda part: len(part.labels))
        whole = {*small.labels} <= {*large.labels}
        labels = large.labels if whole else self.wanted or self.a.labels + self.right
        left, right = (small, large) if whole else (self.a, self.b)
        scaled = (large, small) if whole and len(small.labels) < len(labels) else None
        return self._part(labels, multiply(_spread(left, labels), _spread(right, labels)), scaled)

    def _alike(self) -> _Part:
        """Sum products of elements: by a dot product, or by einsum where axes are kept or stand in another order.

        For those BLAS has no call, and einsum, which keeps no array of the products, takes half the time of a product
        and a sum.
        """
        same = self.a.labels == self.b.labels or self.a.is_symmetric or self.b.is_symmetric
        if not self.batch and same:
            one, other = (part.expr if part.expr.ndim == 1 else reshape(part.expr, -1) for part in (self.a, self.b))
            return self._part("", matmul(one, other))
        a, b = (self.a, self.b) if self.batch else sorted((self.a, self.b), key=lambda part: part.expr.number)
        names = dict(zip(a.labels, _LETTERS, strict=False))
        left, right, kept = ("".join(map(names.__getitem__, each)) for each in (a.labels, b.labels, self.batch))
        return self._part(self.batch, apply(EINSUM, a.expr, b.expr, subscripts=f"{left},{right}->{kept}"))

    def _take_root(self) -> None:
        """Scale both factors by the root of the weights of one of them, where that makes them one array."""
        for one, other in ((self.a, self.b), (self.b, self.a)):
            if one.scaled is None or one.scaled[0].expr is not other.expr or other.expr.dtype.kind != "f":
                continue
            array, weights = one.scaled
            same = Factor(array.labels, 0), Factor(other.labels, 0)
            if (
                _alike(*same, frozenset(self.inner))
                and {*weights.labels} <= {*self.inner}
                and "nonnegative" in known(weights.expr)
            ):
                roots = weights._replace(expr=sqrt(weights.expr))
                root = multiply(_spread(roots, array.labels), array.expr)
                self.a, self.b = self.a._replace(expr=root), self.b._replace(expr=root)
                return

    def _looped(self) -> _Part | None:
        """Multiply matrix by matrix where the summed axes stand between others, and to copy would cost more."""
        for part, other, own in ((self.a, self.b, self.right), (self.b, self.a, self.left)):
            before, inner, after = part.labels.partition(self.inner)
            if self.batch or not (before and inner and after) or self.of.elements(inner + after) < _CALL:
                continue
            stack = reshape(part.expr, (*self._extents(before), *self._merged(inner, after)))
            labels = before + own + after
            return self._part(labels, self._shaped(matmul(self._matrix(other, own, inner), stack), labels))
        return None

    def _stacked(self) -> _Part | None:
        """Multiply matrix by matrix and add the products up, where to join the summed axes would copy more."""
        first = self.a.labels[0]
        rest = self.a.without(first + self.left)
        if self.batch or self.b.labels[0] != first or first not in self.inner:
            return None
        if not (self.left and self.right and rest):
            return None
        whole = ((self.a, self.left), (self.b, self.right))
        if any(part.without(first) not in {own + rest, rest + own} for part, own in whole):
            return None
        products, copied = self.of.elements(first + self.left + self.right), self._copied(self.inner)
        if products >= copied or self.of.elements(rest) * products < _CALL * self.of.elements(first):
            return None
        self.batch, self.inner = first, rest
        return _summed(self._matrices(), frozenset(self.left + self.right))

    def _matrices(self) -> _Part:
        """Multiply two matrices, or a matrix and a vector, or stacks of them."""
        a, b, left, right = self.a, self.b, self.left, self.right
        if self.wanted and left and right:
            swap = self.wanted.index(right[0]) < self.wanted.index(left[0])
        else:  # products of two symmetric matrices are each other's transposes
            swap = a.expr.number > b.expr.number and a.is_symmetric and b.is_symmetric
        if swap:
            a, b, left, right = b, a, right, left
        one, other = self._matrix(a, left, self.inner), self._matrix(b, self.inner, right)
        if self.batch and not left:
            found = squeeze(matmul(expand_dims(one, -2), other), -2)
        elif self.batch and not right:
            found = squeeze(matmul(one, expand_dims(other, -1)), -1)
        else:
            found = matmul(one, other)
        labels = self.batch + left + right
        return self._part(labels, self._shaped(found, labels))

    def _matrix(self, part: _Part, rows: str, columns: str) -> Expr:
        """Give a part as a matrix, as a vector where rows or columns have no labels; as a view where there is one."""
        if rows and columns and part.without(self.batch) == columns + rows:
            return matrix_transpose(self._matrix(part, columns, rows))
        found = part.turned(self.batch + rows + columns)
        if len(rows) <= 1 and len(columns) <= 1:
            return found
        return reshape(found, (*self._extents(self.batch), *self._merged(rows, columns)))

    def _extents(self, labels: str) -> Shape:
        return tuple(self.of.extents[label] for label in labels)

    def _merged(self, *groups: str) -> Shape:
        return tuple(dims.product(self._extents(group)) for group in groups if group)

    def _shaped(self, expr: Expr, labels: str) -> Expr:
        return expr if expr.ndim == len(labels) else reshape(expr, self._extents(labels))


def _spread(part: _Part, labels: str) -> Expr:
    """Give a part with an axis for each of these labels, of size 1 where it has none; leading ones may be missing."""
    found = part.turned([label for label in labels if label in part.labels])
    first = min((labels.index(label) for label in part.labels), default=len(labels))
    missing = [at - len(labels) for at in range(first, len(labels)) if labels[at] not in part.labels]
    return expand_dims(found, missing) if missing else found
