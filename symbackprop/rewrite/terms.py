"""Sums of products over labelled axes, in which an identity is two axes with one label.

What a Jacobian or a Hessian is made of, kept without being filled in: factors with labelled axes, and for each axis of
the whole the labels that it runs over. Identities cancel by being renamed; what is left at the end are products of the
factors, put where labels are equal. A slice of an identity is one too: a label may run over a slice of another.

S. Laue, M. Mitterreiter, J. Giesen, *Computing higher order derivatives of matrix and tensor expressions* (2018).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain, count, product
from math import prod
from operator import itemgetter
from string import ascii_letters
from typing import NamedTuple, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.op import CONSTANT, apply, literal, scalar_value
from symbackprop.ops import (
    add,
    astype,
    divide,
    expand_dims,
    eye,
    multiply,
    negative,
    reshape,
    squeeze,
    subtract,
    where,
)
from symbackprop.ops.contract import ADD_WHERE_EQUAL, DIAG, SPREAD
from symbackprop.ops.index import SLICE, STACK, UNSLICE, Run, are_whole
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, TRANSPOSE, broadcast_to, permute
from symbackprop.ops.leaf import SYMBOL, size_of
from symbackprop.rewrite.order import contracted, number

Label: TypeAlias = int
Axis: TypeAlias = tuple[Label, ...]
"""The labels that an axis runs over, the last one fastest; none if it has size 1."""


class Unfit(Exception):  # noqa: N818  (no error: what cannot be said by labels is computed as written)
    """Labels cannot say what an operation does."""


class Factor(NamedTuple):
    """An array with a label for each axis; a mask tells where the product is zero whatever the other factors are."""

    labels: tuple[Label, ...]
    array: Expr
    is_mask: bool = False


class Selection(NamedTuple):
    """Two labels, of which the first runs over more than the second.

    Elements are not zero only where the index of `placed` is ``run.start + run.step * index of leaf``.
    """

    placed: Label
    leaf: Label
    run: Run

    def renamed(self, names: Mapping[Label, Label]) -> Selection:
        """Give the selection with other labels for some."""
        return Selection(names.get(self.placed, self.placed), names.get(self.leaf, self.leaf), self.run)


class Term(NamedTuple):
    """A product of factors, summed over the labels that the axes lack.

    Where two axes have one label only elements with equal indices are not zero; along a label that no factor has the
    product repeats. A label that is placed by a selection has no other one, is no leaf, and only axes have it.
    """

    axes: tuple[Axis, ...]
    factors: tuple[Factor, ...] = ()
    scale: float = 1.0
    selections: tuple[Selection, ...] = ()

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels of the axes, one after another."""
        return tuple(chain.from_iterable(self.axes))

    def renamed(self, names: Mapping[Label, Label]) -> Term:
        """Give the term with other labels for some."""
        axes = tuple(tuple(names.get(label, label) for label in axis) for axis in self.axes)
        factors = tuple(
            factor._replace(labels=tuple(names.get(label, label) for label in factor.labels)) for factor in self.factors
        )
        return Term(axes, factors, self.scale, tuple(each.renamed(names) for each in self.selections))

    @property
    def leaves(self) -> tuple[Label, ...]:
        """The labels that the axes run over in the end, one after another."""
        if not self.selections:
            return self.labels
        leaf = {each.placed: each.leaf for each in self.selections}
        return tuple(leaf.get(label, label) for label in self.labels)

    @property
    def runs(self) -> tuple[Run | None, ...]:
        """For each label of the axes the slice that is not zero, or None where that is the whole."""
        runs = {each.placed: each.run for each in self.selections}
        return tuple(runs.get(label) for label in self.labels)


Terms: TypeAlias = "list[Term]"
Pattern: TypeAlias = tuple[tuple[int, Run], ...]
"""For each label of the axes the first place where its leaf stands, and the slice that is not zero."""


class Tensors:
    """Labels, their sizes, and what operations make of sums of products.

    Attributes:
        graph: where factors are made.
        sizes: numbers for the named sizes, as far as they are known.
        dtype: the dtype of what is made.
    """

    most_terms = 16  # of a sum, before those of one pattern are put together
    most_factors = 64

    def __init__(self, graph: Graph, sizes: Mapping[str, int]) -> None:
        """Start without labels."""
        self.graph = graph
        self.sizes = sizes
        self.dtype = np.dtype(np.float64)
        self._extent: dict[Label, Size] = {}
        self._shares: set[Size] = set()  # of what slices have in common: named ones may be negative where that is 0
        self._unused = count()

    def elements(self, shape: Shape) -> int:
        """Give how many elements an array has, with a guess for sizes that are not told."""
        return prod(number(size, self.sizes) for size in shape)

    # --- labels -----------------------------------------------------------------------------------------------

    def axis(self, size: Size) -> Axis:
        """Give a new axis."""
        return () if size == 1 else (self._label(size),)

    def _label(self, size: Size) -> Label:
        label = next(self._unused)
        self._extent[label] = size
        return label

    def extents(self, axis: Iterable[Label]) -> list[Size]:
        """Give the sizes of labels."""
        return [self._extent[label] for label in axis]

    def _fresh(self, term: Term) -> Term:
        """Give a term with labels of its own."""
        own = dict.fromkeys(chain(term.labels, term.leaves, *(factor.labels for factor in term.factors)))
        return term.renamed({label: self._label(self._extent[label]) for label in own})

    def split(self, term: Term, label: Label, extents: Sequence[Size]) -> Term:
        """Let several labels stand for one.

        Raises:
            Unfit: it runs over a slice, or a slice of it is chosen.
        """
        if any(label in each[:2] for each in term.selections):
            raise Unfit
        new = tuple(chain.from_iterable(map(self.axis, extents)))
        axes = tuple(tuple(chain.from_iterable(new if x == label else (x,) for x in axis)) for axis in term.axes)
        factors = []
        for factor in term.factors:
            if label in factor.labels:
                labels = tuple(chain.from_iterable(new if x == label else (x,) for x in factor.labels))
                factors.append(Factor(labels, reshape(factor.array, self.extents(labels)), factor.is_mask))
            else:
                factors.append(factor)
        return Term(axes, tuple(factors), term.scale, term.selections)

    def _equated(self, term: Term, one: int, other: int) -> Term:
        """Give two axes the same labels, unless one of them has size 1.

        Raises:
            Unfit: both have several labels, of different sizes.
        """
        ours, theirs = term.axes[one], term.axes[other]
        if not ours or not theirs:
            return term
        if self.extents(ours) != self.extents(theirs):
            if len(ours) == 1:
                term = self.split(term, ours[0], self.extents(theirs))
            elif len(theirs) == 1:
                term = self.split(term, theirs[0], self.extents(ours))
            else:
                raise Unfit
        for at in range(len(term.axes[one])):
            term = term.renamed({term.axes[other][at]: term.axes[one][at]})
        return self._settled(term) if term.selections else term

    def _closed(self, term: Term, axes: Sequence[Axis]) -> Term:
        """Keep some axes: what the others ran over is summed, as often as a label counts that no factor has."""
        left = term._replace(axes=tuple(axes))
        left = left._replace(selections=tuple(each for each in term.selections if each.placed in left.labels))
        held = set(left.leaves).union(*(factor.labels for factor in term.factors))
        for label in dict.fromkeys(term.leaves):
            if label not in held:
                left = self._times(left, self._extent[label])
        return left

    def _times(self, term: Term, size: Size, *, inverse: bool = False) -> Term:
        if size in self._shares and not inverse:
            raise Unfit
        if not isinstance(size, Dim):
            return term._replace(scale=term.scale / size if inverse else term.scale * size)
        number = size_of(size, self.dtype, graph=self.graph)
        return term._replace(factors=(*term.factors, Factor((), divide(1.0, number) if inverse else number)))

    # --- arrays -----------------------------------------------------------------------------------------------

    def atom(self, array: Expr) -> Term:
        """Give an array as a product of factors: what is transposed, repeated or multiplied is taken apart."""
        axes = tuple(map(self.axis, array.shape))
        return self.of(axes, axes, array)

    def of(self, axes: tuple[Axis, ...], own: Sequence[Axis], array: Expr) -> Term:
        """Give the term with these axes that is an array with its own axes."""
        factors: list[Factor] = []
        scale = 1.0
        waiting = [(tuple(own), array)]
        while waiting:
            labels, expr = waiting.pop()
            number = scalar_value(expr) if expr.dtype.kind == "f" else None
            if number is not None:
                scale *= number
            elif expr.op is TRANSPOSE:
                turned = expr.params["axes"]
                first = labels[: len(labels) - len(turned)]
                below = dict(zip(turned, labels[len(first) :], strict=True))
                waiting.append((first + tuple(below[axis] for axis in range(-len(turned), 0)), expr.inputs[0]))
            elif expr.op is EXPAND_DIMS:
                new = {axis + expr.ndim for axis in expr.params["axes"]}
                waiting.append((tuple(axis for at, axis in enumerate(labels) if at not in new), expr.inputs[0]))
            elif expr.op is negative:
                scale = -scale
                waiting.append((labels, expr.inputs[0]))
            elif expr.op is BROADCAST_TO or (expr.op is multiply and _is_spread(expr)):
                waiting += [(_aligned(labels, operand.shape), operand) for operand in reversed(expr.inputs)]
            elif expr.op is divide and not expr.inputs[1].shape and scalar_value(expr.inputs[0]) != 1:
                waiting += [((), divide(1.0, expr.inputs[1])), (labels, expr.inputs[0])]
            else:
                factors.append(_factor(labels, expr))
        return Term(axes, tuple(factors), scale)

    # --- operations -------------------------------------------------------------------------------------------

    def _combined(
        self, left: Terms, right: Terms, equal: Sequence[tuple[int, int]], kept: Sequence[tuple[int, ...]]
    ) -> Terms:
        """Multiply sums of products.

        Args:
            left: a sum of products.
            right: another.
            equal: pairs of axes that are one; the right side's axes are counted behind the left side's.
            kept: for each axis of the result where it comes from: from the first that has not size 1.
        """
        found = []
        for one in left:
            for other in map(self._fresh, right):
                selections = one.selections + other.selections
                both = Term(one.axes + other.axes, one.factors + other.factors, one.scale * other.scale, selections)
                for pair in equal:
                    both = self._equated(both, *pair)
                axes = [next((both.axes[at] for at in places if both.axes[at]), ()) for places in kept]
                found.append(self._closed(both, axes))
        return self._condensed_if_many(found)

    def multiply(self, left: Terms, right: Terms) -> Terms:
        """Multiply elementwise."""
        ours, theirs = len(left[0].axes), len(right[0].axes)
        rank = max(ours, theirs)
        pairs = [(at - rank + ours, at - rank + ours + theirs) for at in range(rank)]
        kept = [tuple(place for place, least in zip(pair, (0, ours), strict=True) if place >= least) for pair in pairs]
        return self._combined(left, right, [pair for pair in kept if len(pair) == 2], kept)

    def matmul(self, left: Terms, right: Terms) -> Terms:
        """Multiply matrices as NumPy does: a vector is a row left, a column right."""
        ours, theirs = len(left[0].axes), len(right[0].axes)
        ends = [(ours - 2,)] * (ours > 1) + [(ours + theirs - 1,)] * (theirs > 1)
        inner = (ours - 1, ours + max(theirs - 2, 0))
        rank = max(ours, theirs) - 2
        pairs = [(at - rank + ours - 2, at - rank + ours + theirs - 2) for at in range(rank)]
        batch = [tuple(place for place, least in zip(pair, (0, ours), strict=True) if place >= least) for pair in pairs]
        return self._combined(left, right, [inner, *(pair for pair in batch if len(pair) == 2)], [*batch, *ends])

    def einsum(self, subscripts: str, *operands: Terms) -> Terms:
        """Sum products over the labels that the result lacks."""
        inputs, _, out = subscripts.partition("->")
        found: Terms = [Term(())]
        known = ""
        for letters, terms in zip(inputs.split(","), operands, strict=True):
            whole = known + letters
            equal = [(whole.index(letter), at) for at, letter in enumerate(whole) if whole.index(letter) < at]
            kept = [(at,) for at in range(len(whole))]
            found = self._combined(found, terms, [pair for pair in equal if pair[1] >= len(known)], kept)
            known = whole
        places = [known.index(letter) for letter in out]
        return [self._closed(term, [term.axes[at] for at in places]) for term in found]

    def diagonal(self, terms: Terms, *, summed: bool = False) -> Terms:
        """Give the diagonal of the last two axes, or its sum."""
        rank = len(terms[0].axes)
        kept = [(at,) for at in range(rank - 2)] + [(rank - 2, rank - 1)] * (not summed)
        return self._combined(terms, [Term(())], [(rank - 2, rank - 1)], kept)

    def add(self, terms: Terms, shape: Shape) -> Terms:
        """Add terms whose axes broadcast to a shape."""
        return self._condensed_if_many(self._collected([self.widened(term, shape) for term in terms]))

    def widened(self, term: Term, shape: Shape) -> Term:
        """Repeat along new axes and axes of size 1."""
        axes = ((),) * (len(shape) - len(term.axes)) + term.axes
        return term._replace(axes=tuple(axis or self.axis(size) for axis, size in zip(axes, shape, strict=True)))

    def sum(self, terms: Terms, axes: Iterable[int], *, keepdims: bool, mean: bool) -> Terms:
        """Sum or average over axes, counted from the right."""
        found = []
        for term in terms:
            gone = {axis + len(term.axes) for axis in axes}
            kept = [() if at in gone else axis for at, axis in enumerate(term.axes) if keepdims or at not in gone]
            left = self._closed(term, kept)
            if mean:
                for label in chain.from_iterable(term.axes[at] for at in sorted(gone)):
                    left = self._times(left, self._extent[label], inverse=True)
            found.append(left)
        return found

    def reshape(self, terms: Terms, before: Shape, shape: Shape) -> Terms:
        """Give the same elements in another shape.

        Raises:
            Unfit: an axis would have to be cut inside of a label.
        """
        return [self._reshaped(term, before, shape) for term in terms]

    def _reshaped(self, term: Term, before: Shape, shape: Shape) -> Term:
        place = 0
        for taken, sizes in _groups(before, shape):
            whole = tuple(chain.from_iterable(term.axes[place : place + taken]))
            new = (whole,) if sizes else ()
            term = term._replace(axes=(*term.axes[:place], *new, *term.axes[place + taken :]))
            for size in sizes[:-1]:
                term = self._parted(term, place, size)
                place += 1
            place += len(new)
        return term

    def _parted(self, term: Term, place: int, size: Size) -> Term:
        """Make two axes of one, the first of them of a size; a label that is too large for it is split."""
        left, taken = size, 0
        while left != 1:
            axis = term.axes[place]
            if taken == len(axis):
                raise Unfit
            extent = self._extent[axis[taken]]
            rest, more = _quotient(left, extent), _quotient(extent, left)
            if rest is not None:
                left, taken = rest, taken + 1
            elif more is not None:
                term = self.split(term, axis[taken], [left, more])
            else:
                raise Unfit
        axis = term.axes[place]
        return term._replace(axes=(*term.axes[:place], axis[:taken], axis[taken:], *term.axes[place + 1 :]))

    def cut(self, terms: Terms, runs: Sequence[Run], shape: Shape) -> Terms:
        """Slice the last axes.

        Raises:
            Unfit: an axis has several labels, or labels cannot say what two slices share.
        """
        return [self._related(term, runs, shape, Selection) for term in terms]

    def put(self, terms: Terms, runs: Sequence[Run], shape: Shape) -> Terms:
        """Put the last axes into slices of longer ones, among zeros: none of them is made.

        Raises:
            Unfit: an axis has several labels.
        """
        return [self._related(term, runs, shape, lambda old, new, run: Selection(new, old, run)) for term in terms]

    def _related(
        self, term: Term, runs: Sequence[Run], shape: Shape, relate: Callable[[Label, Label, Run], Selection]
    ) -> Term:
        """Give the last axes other labels, that are selected by the old ones or select them."""
        axes, selections = list(term.axes), list(term.selections)
        for at, run in enumerate(runs, len(shape) - len(runs)):
            before = dims.product(self.extents(axes[at]))
            if (run.start, run.step) == (0, 1) and before == shape[at]:
                continue
            if len(axes[at]) > 1 or 0 in {before, shape[at]}:
                raise Unfit
            old = axes[at][0] if axes[at] else self._label(1)
            new = self._label(shape[at])
            selections.append(relate(old, new, run))
            axes[at] = () if shape[at] == 1 else (new,)
        return self._settled(term._replace(axes=tuple(axes), selections=tuple(selections)))

    def _settled(self, term: Term) -> Term:
        """Say the same with placed labels on axes alone, each by one selection and with a leaf that is not placed.

        Raises:
            Unfit: labels cannot say what two slices share.
        """
        below: dict[Label, tuple[Label, Run]] = {}
        waiting = list(term.selections)
        while waiting:
            placed, leaf, run = waiting.pop()
            if leaf in below:
                leaf, inner = below[leaf]
                run = composed(run, inner)
                if not is_safe(run, self._extent[placed]):
                    raise Unfit
            if placed == leaf:
                if run.step != 1 or isinstance(run.start, Dim):
                    raise Unfit
                if run.start:
                    return self._nothing(term)
            elif (run.start, run.step) == (0, 1) and run.length == self._extent[placed]:
                term = term.renamed({placed: leaf})
                waiting = [each.renamed({placed: leaf}) for each in waiting]
                waiting += [Selection(leaf, *below.pop(placed))] if placed in below else []
                below = {each: (leaf if x == placed else x, inner) for each, (x, inner) in below.items()}
            elif placed in below:
                shared = self._shared((leaf, run), below[placed])
                if shared is None:
                    return self._nothing(term)
                waiting += shared
            else:
                waiting += [Selection(each, *below[each]) for each, (x, _) in below.items() if x == placed]
                below = {each: pair for each, pair in below.items() if pair[0] != placed}
                below[placed] = leaf, run
        factors = tuple([self._sliced(factor, below) for factor in term.factors])
        selections = tuple(Selection(x, *pair) for x, pair in below.items() if x in term.labels)
        return term._replace(factors=factors, selections=selections)

    def _shared(self, one: tuple[Label, Run], other: tuple[Label, Run]) -> list[Selection] | None:
        """Give what holds of two leaves of one placed label: None if they have no element of it in common.

        Raises:
            Unfit: the steps differ, or named sizes leave open what is common.
        """
        (x, first), (y, second) = one, other
        if first == second:
            return [Selection(x, y, Run(0, first.length, 1))]
        if _are_apart(first, second):
            return None
        step = second.step if first.length == 1 else first.step
        offset = second.start - first.start
        if isinstance(offset, Dim) or (second.length != 1 and second.step != step):
            raise Unfit
        ahead, rest = divmod(offset, step)
        if rest or x == y:
            return None
        if ahead < 0:
            (x, first), (y, second), ahead = other, one, -ahead
        more = first.length - ahead - second.length
        if isinstance(more, Dim):
            raise Unfit
        length = second.length + min(more, 0)
        if isinstance(length, Dim) and length.may_be_negative:
            self._shares.add(length)
        common = self._label(length)
        return [Selection(x, common, Run(ahead, length, 1)), Selection(y, common, Run(0, length, 1))]

    def _nothing(self, term: Term) -> Term:
        """Give zeros with the same axes."""
        return Term(tuple(tuple(map(self._label, self.extents(axis))) for axis in term.axes), scale=0.0)

    @staticmethod
    def _sliced(factor: Factor, below: Mapping[Label, tuple[Label, Run]]) -> Factor:
        """Take from a factor what selections take of its labels."""
        if not below.keys() & set(factor.labels):
            return factor
        found = [
            below.get(label, (label, Run(0, size, 1)))
            for label, size in zip(factor.labels, factor.array.shape, strict=True)
        ]
        axes = [() if run.length == 1 else (label,) for label, run in found]
        array = apply(SLICE, factor.array, runs=tuple(run for _, run in found))
        return _factor(axes, array, is_mask=factor.is_mask)

    def masked(self, terms: Terms, condition: Expr, shape: Shape) -> Terms:
        """Let terms be zero where a condition does not hold."""
        axes = tuple(map(self.axis, condition.shape))
        mask = Term(axes, (_factor(axes, condition, is_mask=True),))
        return self.multiply([self.widened(term, shape) for term in terms], [mask])

    # --- sums of terms ----------------------------------------------------------------------------------------

    def alike(self, terms: Terms) -> Terms:
        """Split labels so that each axis has labels of the same sizes in all terms.

        Raises:
            Unfit: two terms have several labels on an axis, of different sizes.
        """
        found = [*terms]
        for at in range(len(found[0].axes)) if found else ():
            finest = max((self.extents(term.axes[at]) for term in found), key=len)
            for place, term in enumerate(found):
                if self.extents(term.axes[at]) != finest:
                    if len(term.axes[at]) != 1:
                        raise Unfit
                    found[place] = self.split(term, term.axes[at][0], finest)
        return found

    def _collected(self, terms: Terms) -> Terms:
        """Put terms together that differ by a number or by one factor."""
        kept: Terms = []
        for term in self.alike(terms):
            for at, other in enumerate(kept):
                together = self._together(other, term)
                if together is not None:
                    kept[at] = together
                    break
            else:
                kept.append(term)
        return [term for term in kept if term.scale]

    def _together(self, one: Term, other: Term) -> Term | None:
        """Write two products as one: Σ C R + Σ C S = Σ C (R + S)."""
        if _pattern(one) != _pattern(other):
            return None
        other = self._fresh(other)  # or a label that one sums over could be an axis of the other
        names = dict(zip(_in_order(other), _in_order(one), strict=False))
        if any(self._extent[theirs] != self._extent[ours] for theirs, ours in names.items()):
            return None
        one, other = _oriented(one), _oriented(other.renamed(names))
        rest = list(other.factors)
        common: list[Factor] = []
        left: list[Factor] = []
        for factor in one.factors:
            if factor in rest:
                rest.remove(factor)
                common.append(factor)
            else:
                left.append(factor)
        if not left and not rest:
            return one._replace(scale=one.scale + other.scale)
        outside = set(chain.from_iterable(factor.labels for factor in common))
        if not outside:
            return None
        outside.update(one.leaves)
        ours, theirs = (outside.intersection(*[chain.from_iterable(x.labels for x in xs)]) for xs in (left, rest))
        grows = any(_is_outer(ours | theirs, factors) for factors in (left, rest)) and not ours | theirs <= {
            *one.leaves
        }
        if grows or (left and rest and ours != theirs):
            return None
        axes = tuple((label,) for label in sorted(ours | theirs))
        total = add(self.block(Term(axes, tuple(left), one.scale)), self.block(Term(axes, tuple(rest), other.scale)))
        return one._replace(factors=(*common, _factor(_aligned(axes, total.shape), total)), scale=1.0)

    def _condensed_if_many(self, terms: Terms) -> Terms:
        many = len(terms) > self.most_terms or any(len(term.factors) > self.most_factors for term in terms)
        return self._condensed(terms) if many else terms

    def _condensed(self, terms: Terms) -> Terms:
        """Compute the terms of each pattern, and give their sum as one factor."""
        found = []
        for group in _grouped(self.alike(terms)).values():
            total = reduce(add, map(self.block, group))
            axes = [(label,) for label in dict.fromkeys(group[0].leaves)]
            whole = self.of(group[0].axes, _aligned(axes, total.shape), total)
            found.append(whole._replace(selections=group[0].selections))
        return found

    # --- values -----------------------------------------------------------------------------------------------

    def block(self, term: Term) -> Expr:
        """Compute a product with one axis for each leaf of its axes, as far as broadcasting needs it."""
        labels = tuple(dict.fromkeys(term.leaves))
        places = {label: at for at, label in enumerate(labels)}
        factors = self._multiplied(term.factors, {*labels})
        held = set(chain.from_iterable(factor.labels for factor in factors))
        if held.isdisjoint(labels):  # the same product is computed in the same way whatever it is multiplied with
            times = Counter(factor.array.number for factor in factors)
            factors.sort(key=lambda factor: (times[factor.array.number], factor.array.number))
        else:  # where orders cost the same, neighbours in the result are multiplied first
            factors.sort(key=lambda factor: min((places.get(label, len(places)) for label in factor.labels), default=0))
        letters = dict(zip(dict.fromkeys([*labels, *sorted(held)]), ascii_letters, strict=False))
        spelled = [("".join(letters[label] for label in factor.labels), factor.array) for factor in factors]
        if term.scale != 1 or not spelled:
            spelled.append(("", literal(term.scale, self.dtype, graph=self.graph)))
        present = [at for at, label in enumerate(labels) if label in held]
        out = "".join(letters[labels[at]] for at in present)
        missing = [at - len(labels) for at in range(min(present, default=0), len(labels)) if at not in present]
        return expand_dims(contracted(spelled, out, self.sizes), missing if present else ())

    def _multiplied(self, factors: Iterable[Factor], kept: Container[Label]) -> list[Factor]:
        """Multiply the factors that have the same labels, and put zeros where masks say so.

        The last of those whose labels are summed over is left, for a dot product.
        """
        alike: dict[frozenset[Label], list[Factor]] = {}
        masks: dict[Factor, None] = {}
        for factor in map(self._diagonal_of, factors):
            if factor.is_mask:
                masks[factor] = None
            else:
                alike.setdefault(frozenset(factor.labels), []).append(factor)
        uses = Counter(chain.from_iterable(alike))
        left = []
        for labels, group in alike.items():
            summed = labels and not masks and all(uses[label] == 1 and label not in kept for label in labels)
            first, last = _in_turns(group) if summed and len(group) > 1 else (group, [])
            left += [reduce(_times, first), *last]
        found = [factor._replace(array=astype(factor.array, self.dtype)) for factor in left]
        return reduce(self._under, masks, found)

    def _diagonal_of(self, factor: Factor) -> Factor:
        """Take the diagonal of an array that has a label twice."""
        labels = tuple(dict.fromkeys(factor.labels))
        if len(labels) == len(factor.labels):
            return factor
        letters = dict(zip(labels, ascii_letters, strict=False))
        spelled = "".join(letters[label] for label in factor.labels)
        array = contracted([(spelled, factor.array)], "".join(letters.values()), self.sizes)
        return factor._replace(labels=labels, array=array)

    def _under(self, factors: list[Factor], mask: Factor) -> list[Factor]:
        """Put zeros into all that could be infinite or NaN where the mask does not hold."""
        found, hidden = [], False
        for factor in factors:
            inside = set(mask.labels) <= set(factor.labels)
            if inside and (len(mask.labels) == len(factor.labels) or factor.array.op is not SYMBOL):
                hidden = True
                found.append(factor._replace(array=where(turned(mask, factor.labels), factor.array, 0.0)))
            else:
                found.append(factor)
        return found if hidden else [*found, Factor(mask.labels, astype(mask.array, self.dtype))]

    def written(self, terms: Terms, shape: Shape) -> Expr:
        """Compute a sum of terms: what has no equal indices first, the rest is added on its diagonals."""
        try:
            terms = self._collected(terms)
        except Unfit:  # axes have labels that cannot be those of one array
            return reduce(add, [self.written([term], shape) for term in terms])
        if not terms:
            return broadcast_to(literal(0.0, self.dtype, graph=self.graph), shape)
        flat = tuple(self.extents(terms[0].labels))
        parts = [
            (_with_runs(pattern, flat), reduce(add, map(self.block, group)))
            for pattern, group in _grouped(terms).items()
        ]
        total = self._element_by_element(parts, flat)
        for pattern, block in _blocks_of(parts, flat) if total is None else ():
            letters = dict(zip(dict.fromkeys(place for place, _ in pattern), ascii_letters, strict=False))
            spelled = "".join(letters[place] for place, _ in pattern)
            runs = _runs([run for _, run in pattern], flat)
            if total is not None:
                total = apply(ADD_WHERE_EQUAL, total, block, pattern=spelled, owned=False, runs=runs)
            elif len(letters) == len(pattern):
                total = broadcast_to(block, tuple(run.length for run in runs) or flat)
                total = apply(UNSLICE, total, runs=runs, into=flat) if runs else total
            else:
                total = self._spread(block, spelled, flat, runs)
        assert total is not None  # noqa: S101  (there is a term)
        if flat == shape:
            return total
        single = [at - len(shape) for at, size in enumerate(shape) if size == 1]
        return expand_dims(total, single) if len(flat) + len(single) == len(shape) else reshape(total, shape)

    def _element_by_element(self, parts: Sequence[tuple[Pattern, Expr]], shape: Shape) -> Expr | None:
        """Give a small array of which each element was computed by itself, or None if this is none."""
        places = product(*(range(size) if isinstance(size, int) else () for size in shape))
        known = {tuple(run.start for _, run in pattern): block for pattern, block in parts}
        single = all(run.length == 1 for pattern, _ in parts for _, run in pattern)
        if not single or len(known) < len(parts) or len(known) != dims.product(shape) or len(shape) < 2:
            return None
        return reshape(apply(STACK, *(reshape(known[place], ()) for place in places), axis=-1), shape)

    def _spread(self, block: Expr, pattern: str, shape: Shape, runs: tuple[Run, ...]) -> Expr:
        if pattern == "aa" and block.shape == shape[:1] and not runs:
            return apply(DIAG, block)
        if pattern == "aa" and block.op is CONSTANT and scalar_value(block) == 1 and not runs:
            return eye(shape[0], dtype=self.dtype, graph=self.graph)
        return apply(SPREAD, block, pattern=pattern, shape=shape, runs=runs)


def _blocks_of(parts: Iterable[tuple[Pattern, Expr]], shape: Shape) -> list[tuple[Pattern, Expr]]:
    """Give the block of each pattern, those with the fewest equal indices first.

    What has more equal indices than a pattern that is not the whole array is added to its block, which is smaller.
    """
    found: list[tuple[Pattern, Expr]] = []
    for pattern, block in sorted(_along_diagonals(parts, shape), key=lambda part: _sparseness(part[0], shape)):
        for at, (coarser, whole) in enumerate(found):
            inside = _inside(pattern, coarser, shape)
            if inside is not None:
                found[at] = coarser, _sum_inside(whole, _lengths(coarser), block, inside)
                break
        else:
            found.append((pattern, block))
    return found


def _factor(axes: Sequence[Axis], array: Expr, *, is_mask: bool = False) -> Factor:
    """Give an array as a factor, without its axes of size 1."""
    single = [at for at, axis in enumerate(axes) if not axis]
    return Factor(tuple(chain.from_iterable(axes)), squeeze(array, single) if single else array, is_mask)


def _times(one: Factor, other: Factor) -> Factor:
    """Multiply factors with the same labels."""
    return Factor(one.labels, multiply(one.array, turned(other, one.labels)))


def _in_turns(group: Sequence[Factor]) -> tuple[list[Factor], list[Factor]]:
    """Give all factors but the last, and the last: each array once, older ones first, before any comes again.

    So products of the same arrays have as much in common as can be.
    """
    times: Counter[int] = Counter()
    ranked = []
    for factor in group:
        number = factor.array.number
        ranked.append((times[number], number, factor))
        times[number] += 1
    order = [factor for *_, factor in sorted(ranked, key=itemgetter(0, 1))]
    return order[:-1], order[-1:]


def turned(factor: Factor, labels: Sequence[Label]) -> Expr:
    """Give an array with its axes in the order of these labels, of size 1 where it lacks one."""
    own = [label for label in labels if label in factor.labels]
    turned = permute(factor.array, tuple(factor.labels.index(label) - len(own) for label in own))
    return expand_dims(turned, [at - len(labels) for at, label in enumerate(labels) if label not in own])


def _is_spread(expr: Expr) -> bool:
    """Tell whether a product has an operand that is smaller than it."""
    return any(operand.shape != expr.shape for operand in expr.inputs)


def _aligned(axes: Sequence[Axis], shape: Shape) -> tuple[Axis, ...]:
    """Give the axes of an operand that broadcasts to these."""
    own = axes[len(axes) - len(shape) :]
    return tuple(() if size == 1 else axis for axis, size in zip(own, shape, strict=True))


def _quotient(size: Size, divisor: Size) -> Size | None:
    """Divide, or give None where that leaves a rest."""
    try:
        found = size // divisor
    except (ShapeError, ZeroDivisionError):
        return None
    return found if found * divisor == size else None


def _groups(before: Shape, after: Shape) -> Iterator[tuple[int, list[Size]]]:
    """Give how many axes of a shape become which sizes of another, as few at a time as can be."""
    left, right = ([dims.product(shape[:at]) for at in range(len(shape) + 1)] for shape in (before, after))
    ends = [(i, j) for i in range(len(left)) for j in range(len(right)) if left[i] == right[j]]
    i = j = 0
    while (i, j) != (len(before), len(after)):
        later = [end for end in ends if end != (i, j) and end[0] >= i and end[1] >= j]
        first, second = i, j
        i, j = min(later, key=sum)
        yield i - first, list(after[second:j])


def _in_order(term: Term) -> list[Label]:
    """Give the labels in an order that is the same for the same product."""
    order = list(dict.fromkeys(term.leaves))
    waiting = list(term.factors)
    while waiting:
        places = {label: at for at, label in enumerate(order)}
        nearest = min(
            waiting, key=lambda factor: (factor.array.number, [places.get(x, len(places)) for x in factor.labels])
        )
        waiting.remove(nearest)
        order += [label for label in dict.fromkeys(nearest.labels) if label not in places]
    return order


def _oriented(term: Term) -> Term:
    """Give the two axes of an antisymmetric array the order of their labels: xᵢ − xⱼ = −(xⱼ − xᵢ)."""
    factors, scale = [], term.scale
    for factor in term.factors:
        pair = _differing(factor.array)
        if pair is not None and factor.labels[pair[0]] > factor.labels[pair[1]]:
            labels = list(factor.labels)
            labels[pair[0]], labels[pair[1]] = labels[pair[1]], labels[pair[0]]
            factors.append(factor._replace(labels=tuple(labels)))
            scale = -scale
        else:
            factors.append(factor)
    return term._replace(factors=tuple(factors), scale=scale)


def _differing(array: Expr) -> tuple[int, int] | None:
    """Give the axes along which an array holds the differences of all pairs: those of ``x[:, None] - x``."""
    if array.op is not subtract:
        return None
    bases, places = [], []
    for operand in array.inputs:
        new = operand.params["axes"] if operand.op is EXPAND_DIMS else ()
        bases.append(operand.inputs[0] if new else operand)
        places.append({axis + array.ndim for axis in (*new, *range(-array.ndim, -operand.ndim))})
    if bases[0] is not bases[1] or any(len(axes) != 1 for axes in places):
        return None
    one, other = (axes.pop() for axes in places)
    return (one, other) if abs(one - other) == 1 else None


def _is_outer(labels: set[Label], factors: Sequence[Factor]) -> bool:
    """Tell whether a product has so many labels and none of its factors has them all."""
    return len(factors) > 1 and not any(labels <= {*factor.labels} for factor in factors)


def _pattern(term: Term) -> tuple[tuple[int, Run | None], ...]:
    """Give for each label of the axes the first place where its leaf stands, and the slice that is not zero."""
    leaves = term.leaves
    return tuple(zip(map(leaves.index, leaves), term.runs, strict=True))


def _grouped(terms: Iterable[Term]) -> dict[tuple[tuple[int, Run | None], ...], Terms]:
    """Put terms together whose axes have equal indices at the same places."""
    found: dict[tuple[tuple[int, Run | None], ...], Terms] = {}
    for term in terms:
        found.setdefault(_pattern(term), []).append(term)
    return found


def _with_runs(pattern: Iterable[tuple[int, Run | None]], shape: Shape) -> Pattern:
    return tuple((place, run or Run(0, size, 1)) for (place, run), size in zip(pattern, shape, strict=True))


def _runs(runs: Sequence[Run], shape: Shape) -> tuple[Run, ...]:
    """Give the slices of axes, or none if they take the whole."""
    return () if are_whole(runs, shape) else tuple(runs)


def _sparseness(pattern: Pattern, shape: Shape) -> tuple[int, bool]:
    return -len({place for place, _ in pattern}), bool(_runs([run for _, run in pattern], shape))


def _whole_diagonals(pattern: Pattern, shape: Shape) -> Pattern:
    """Let the slices of axes with equal indices go on to where the axes begin and end."""
    found = [run for _, run in pattern]
    for place in dict.fromkeys(place for place, _ in pattern):
        axes = [at for at, (other, _) in enumerate(pattern) if other == place]
        offsets = [found[at].start - found[axes[0]].start for at in axes]
        least = _least(offsets)
        if len(axes) == 1 or any(found[at].step != 1 for at in axes) or least is None:
            continue
        starts = [offset - least for offset in offsets]
        length = _least([shape[at] - start for at, start in zip(axes, starts, strict=True)])
        if length is not None:
            for at, start in zip(axes, starts, strict=True):
                found[at] = Run(start, length, 1)
    return tuple(zip((place for place, _ in pattern), found, strict=True))


def _least(sizes: Sequence[Size]) -> Size | None:
    """Give the smallest of sizes, or None where names leave it open."""
    more = [size - sizes[0] for size in sizes]
    known = [each for each in more if not isinstance(each, Dim)]
    return sizes[0] + min(known) if len(known) == len(more) else None


def _along_diagonals(parts: Iterable[tuple[Pattern, Expr]], shape: Shape) -> list[tuple[Pattern, Expr]]:
    """Put blocks together that lie on the same diagonals, in different slices of them."""
    found: dict[Pattern, list[tuple[Pattern, Expr]]] = {}
    for pattern, block in parts:
        found.setdefault(_whole_diagonals(pattern, shape), []).append((pattern, block))
    return [group[0] if len(group) == 1 else (whole, _joined(group, whole)) for whole, group in found.items()]


def _joined(group: Sequence[tuple[Pattern, Expr]], whole: Pattern) -> Expr:
    """Add blocks in one that is as long as their diagonals."""
    sizes, firsts = _lengths(whole), dict(reversed(whole))
    total: Expr | None = None
    for pattern, block in sorted(group, key=lambda part: (part[0] != whole, 1 in part[1].shape, not part[1].shape)):
        own = dict(reversed(pattern))
        inside = [(x, Run(own[x].start - firsts[x].start, own[x].length, 1)) for x in dict(whole)]
        if total is not None:
            total = _sum_inside(total, sizes, block, inside)
        else:
            runs = _runs([run for _, run in inside], sizes)
            total = broadcast_to(block, _lengths(pattern))
            total = apply(UNSLICE, total, runs=runs, into=sizes) if runs else total
    assert total is not None  # noqa: S101  (a group has a block)
    return total


def _sum_inside(whole: Expr, sizes: Shape, block: Expr, inside: Sequence[tuple[int, Run]]) -> Expr:
    """Add a block in a slice of another one, where the axes with the same place are equal."""
    letters = dict(zip(dict.fromkeys(place for place, _ in inside), ascii_letters, strict=False))
    spelled = "".join(letters[place] for place, _ in inside)
    runs = _runs([run for _, run in inside], sizes)
    return apply(ADD_WHERE_EQUAL, broadcast_to(whole, sizes), block, pattern=spelled, owned=False, runs=runs)


def _inside(pattern: Pattern, coarser: Pattern, shape: Shape) -> list[tuple[int, Run]] | None:
    """Give where a pattern stands among the elements of one with fewer equal indices; None if not all stand there."""
    found = []
    for place in dict(coarser):
        axes = [at for at, (other, _) in enumerate(coarser) if other == place]
        parts = {pattern[at] for at in axes}
        runs = [run for _, run in parts]
        if all(pattern[at][1] == coarser[at][1] for at in axes):
            runs = [Run(0, runs[0].length, 1)]
        elif any(coarser[at][1] != (0, shape[at], 1) for at in axes):
            return None
        if len(runs) > 1 or len({other for other, _ in parts}) > 1:
            return None
        found.append((pattern[axes[0]][0], runs[0]))
    return found if len(found) < len(coarser) else None


def _lengths(pattern: Pattern) -> Shape:
    """Give the shape of the block that stands in a pattern."""
    return tuple({place: run.length for place, run in pattern}.values())


def composed(outer: Run, inner: Run) -> Run:
    """Give the slice that a slice takes of a slice."""
    step = outer.step * inner.step
    return Run(outer.start + outer.step * inner.start, inner.length, 1 if inner.length == 1 else step)


def is_safe(run: Run, size: Size) -> bool:
    """Tell whether Python's slice takes nothing where a named length is 0: no bound is negative then."""
    if run.step == 1 or not isinstance(run.length, Dim):
        return True
    if run.step > 0:
        is_open = run.length == (size - run.start + run.step - 1) // run.step
        bound = run.start + 1 - run.step
    else:
        is_open = run.start == size - 1
        bound = run.start + run.length * run.step
    return is_open or (not isinstance(bound, Dim) and bound >= 0)


def _are_apart(one: Run, other: Run) -> bool:
    """Tell whether two slices of an axis are known to lie one behind the other."""
    ends = [(run.start, run.start + (run.length - 1) * run.step)[:: 1 if run.step > 0 else -1] for run in (one, other)]
    gaps = [ends[0][0] - ends[1][1], ends[1][0] - ends[0][1]]
    return any(not isinstance(gap, Dim) and gap > 0 for gap in gaps)
