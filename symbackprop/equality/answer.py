"""What `same` answers, in words.

Formulas are real functions here. They count as the same where they agree at every point at which both are defined, but
for single points next to which they agree: a derivative may be chosen freely at a kink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from symbackprop.errors import SymbackpropError


class UndecidedError(SymbackpropError, ValueError):
    """Neither a proof nor enough points at which both expressions are defined were found."""


_LONGEST = 120  # of a formula within a sentence


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """What `same` found; true exactly where the expressions are the same, and ``print`` says it in a sentence.

    Attributes:
        how: by "rewriting" (a proof: both simplify to one formula, or their difference to 0), by "points" (they agree
            wherever both are defined), by a "counterexample", or because they differ in "shape" or "dtype".
        points: at how many points both are defined and agree.
        digits: to how many digits they agree there.
        at: the counterexample: the sizes and, as arrays of exact fractions, the values of the symbols, by name.
        values: the two values there.
        index: of the first elements that differ.
        formula: what both simplify to, if they do.
        notes: what else is worth knowing.
    """

    how: Literal["rewriting", "points", "counterexample", "shape", "dtype"]
    points: int = 0
    digits: int = 0
    at: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[Any, Any] = (None, None)
    index: tuple[int, ...] = ()
    formula: str = ""
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """The answer."""
        return self.how in {"rewriting", "points"}

    def __bool__(self) -> bool:
        """Tell whether the expressions are the same."""
        return self.same

    def __str__(self) -> str:
        """Give the answer in a few sentences."""
        return " ".join([self._answer(), *self.notes])

    __repr__ = __str__

    def _answer(self) -> str:
        agree = f"they agree at {self.points} points to {self.digits} digits"
        if self.how == "rewriting":
            long = "\n" in self.formula or len(self.formula) > _LONGEST
            both = f"both simplify to {'one formula' if long else self.formula}"
            proof = both if self.formula else "their difference simplifies to 0"
            return f"The same: {proof}" + (f", and {agree}." if self.points else ".")
        if self.how == "points":
            return f"The same, as far as tried: {agree}. That is evidence and no proof."
        if self.how != "counterexample":
            return "Not the same."
        first, second = told_apart(*(value[self.index] for value in self.values))
        of = f"element {list(self.index)} of " if self.index else ""
        return f"Not the same: {placed_at(self.at)}{of}the first is {first} and {of and 'of '}the second {second}."


# --- words ----------------------------------------------------------------------------------------------------

LARGEST = 1000  # denominator of a fraction that is shown as one
_LINE = 72  # a longer list of values gets a line for each


def shown(number: Any) -> str:
    """Write a number with six digits, a fraction that has more as a fraction."""
    if isinstance(number, bool | np.bool_):
        return str(bool(number))
    text = f"{float(number):.6g}"
    if hasattr(number, "denominator") and number.denominator <= LARGEST and type(number)(text) != number:
        return str(number)
    return text


def _listed(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim:
        return f"[{', '.join(map(_listed, array))}]"
    return shown(array.item())


def told_apart(first: Any, second: Any) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to see a difference."""
    if isinstance(first, np.generic):
        return shown(first), shown(second)
    pairs = ((first.context.nstr(first, n), second.context.nstr(second, n)) for n in (6, 12, 25, 50))
    return next(((_plain(one), _plain(other)) for one, other in pairs if one != other), (str(first), str(second)))


def _plain(text: str) -> str:
    return text.removesuffix(".0")


def placed_at(at: Mapping[str, Any]) -> str:
    """Write the values of sizes and symbols: "at x = 1, y = 2 ", or with a line for each array."""
    parts = {name: f"{name} = {_listed(value)}" for name, value in at.items()}
    if not parts:
        return ""
    line = ", ".join(parts.values())
    if len(line) <= _LINE:
        return f"at {line} "
    sizes = ", ".join(part for name, part in parts.items() if not np.ndim(at[name]))
    arrays = [part for name, part in parts.items() if np.ndim(at[name])]
    return "at\n" + "".join(f"    {part}\n" for part in [sizes, *arrays] if part)
