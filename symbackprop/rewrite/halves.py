"""Products of labelled arrays that are something times itself: ``Jᵀ D J`` written out has the factors of J twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from symbackprop.expr import Expr

Term: TypeAlias = tuple[str, Expr]


def components(terms: Sequence[Term]) -> list[list[Term]]:
    """Give the factors that hang together by labels, each group by itself; factors without labels hang on nothing.

    >>> import symbackprop as sb
    >>> A, x = sb.symbols("A[N,N] x[N]")
    >>> [[labels for labels, _ in group] for group in components([("ab", A), ("b", x), ("cd", A), ("d", x)])]
    [['ab', 'b'], ['cd', 'd']]
    """
    groups: list[tuple[set[str], list[Term]]] = []
    for labels, expr in terms:
        touched = [group for group in groups if group[0] & set(labels)]
        groups = [group for group in groups if group not in touched]
        together = [term for _, group in touched for term in group]
        groups.append((set(labels).union(*(known for known, _ in touched)), [*together, (labels, expr)]))
    return [group for _, group in groups]


class Halves(NamedTuple):
    """A product as one half, the same half with other labels, and the rest.

    Attributes:
        half: the factors of the first half.
        names: what each of its labels is called in the second half; the same where both halves share it.
        rest: the factors that stand between the halves or beside them.
    """

    half: list[Term]
    names: Mapping[str, str]
    rest: list[Term]


def halves(terms: Sequence[Term], out: str) -> Halves | None:
    """Find two halves with the same arrays that differ by their labels alone, or give None.

    >>> import symbackprop as sb
    >>> X, s = sb.symbols("X[N,D] s[N,K]")
    >>> found = halves([("na", X), ("nb", s), ("nc", X), ("nd", s)], "abcd")
    >>> [labels for labels, _ in found.half], found.names
    (['na', 'nb'], {'n': 'n', 'a': 'c', 'c': 'a', 'b': 'd', 'd': 'b'})
    """
    numbers = [expr.number for labels, expr in terms if labels]
    if len(numbers) < 4 or len(numbers) == len(set(numbers)):
        return None
    return _Matching(terms, out).halves()


class _Matching:
    """Factors that are paired off."""

    def __init__(self, terms: Sequence[Term], out: str) -> None:
        self.terms, self.out = terms, out
        self.names: dict[str, str] = {}
        self.partner: dict[int, int] = {}
        self.half: list[int] = []
        self.at: dict[str, list[int]] = {}
        self.alike: dict[int, list[int]] = {}
        for place, (labels, expr) in enumerate(terms):
            self.alike.setdefault(expr.number, []).append(place)
            for label in dict.fromkeys(labels):
                self.at.setdefault(label, []).append(place)

    def halves(self) -> Halves | None:
        """Pair each factor that has a label of the result with another, and what hangs on them."""
        for place, (labels, _) in enumerate(self.terms):
            if place not in self.partner and any(label in self.out and label not in self.names for label in labels):
                others = [other for other in self._matches(place) if self.terms[other][0] != labels]
                if others:
                    self._try(place, others[0])
        moved = {label for label, name in self.names.items() if label != name}
        if len(self.half) < 2 or any((label in self.out) != (self.names[label] in self.out) for label in moved):
            return None
        rest = [
            term
            for place, term in enumerate(self.terms)
            if place not in self.half and self.partner.get(place) not in self.half
        ]
        return Halves([self.terms[place] for place in sorted(self.half)], self.names, rest)

    def _try(self, first: int, second: int) -> None:
        """Pair two factors with all that hangs on them, if that hangs together with its other half."""
        before = dict(self.names), dict(self.partner), list(self.half)
        if not self._close(first, second) or not self._meets(self.half[len(before[2]) :]):
            self.names, self.partner, self.half = before

    def _meets(self, places: Sequence[int]) -> bool:
        """Tell whether the two sides of some pairs meet: in a label that is summed over, or in what has no partner."""
        labels = {label for place in places for label in self.terms[place][0]}
        single = {label for place, (own, _) in enumerate(self.terms) if place not in self.partner for label in own}
        return any(label not in self.out and (self.names[label] == label or label in single) for label in labels)

    def _close(self, first: int, second: int) -> bool:
        """Pair two factors, and those that share labels with them that have other names in the other half."""
        waiting = [(first, second)]
        while waiting:
            one, other = waiting.pop()
            if one in self.partner or other in self.partner:
                if self.partner.get(one) != other:
                    return False
                continue
            new = self._pair(one, other)
            if new is None:
                return False
            for label in new:
                for place in self.at[label]:
                    if place in self.partner or len(self.alike[self.terms[place][1].number]) < 2:
                        continue
                    match = next(self._matches(place), None)
                    if match is None:
                        return False
                    waiting.append((place, match))
        return True

    def _pair(self, one: int, other: int) -> list[str] | None:
        """Pair two factors; give the labels of the first that have another name by that."""
        new = []
        for label, name in zip(self.terms[one][0], self.terms[other][0], strict=True):
            if self.names.setdefault(label, name) != name or self.names.setdefault(name, label) != label:
                return None
            if label != name:
                new.append(label)
        self.partner[one], self.partner[other] = other, one
        self.half.append(one)
        return new

    def _matches(self, place: int) -> Iterator[int]:
        """Give the factors that one could be paired with, as far as labels have names."""
        labels, expr = self.terms[place]
        for other in self.alike[expr.number]:
            if other != place and other not in self.partner:
                pairs = [*zip(labels, self.terms[other][0], strict=True)]
                if all(self.names.get(x, y) == y and self.names.get(y, x) == x for x, y in pairs):
                    yield other
