"""The functions and call forms that people write, each as one line of NumPy code: one table for each family.

A form is tried on arrays, where NumPy tells the truth, and on symbols: tests/test_forms.py does that for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = "np.ndarray[Any, Any]"


class Drawn(NamedTuple):
    """An operand that is drawn anew for each shape and dtype.

    Attributes:
        shape: its sizes.
        kind: what its elements are: ``f``, ``i`` or ``b``, as in NumPy's dtypes.
        draw: makes the elements from that many numbers in [0, 1), no two of them close to one another.
    """

    shape: Shape
    kind: str
    draw: Callable[[Array], Array]


def floats(shape: Shape, low: float = 0.3, high: float = 1.7) -> Drawn:
    """Draw floats from an interval, in no order, no two close to one another."""
    return Drawn(shape, "f", lambda unit: low + (high - low) * unit)


def ints(shape: Shape, low: int = 0, high: int = 3) -> Drawn:
    """Draw ints from ``low … high - 1``; they repeat."""
    return Drawn(shape, "i", lambda unit: np.floor(low + (high - low) * unit).astype(int))


def bools(shape: Shape) -> Drawn:
    """Draw bools, half of them true."""
    return Drawn(shape, "b", lambda unit: unit < 0.5)


def _definite(unit: Array) -> Array:
    return unit @ np.swapaxes(unit, -1, -2) + np.eye(unit.shape[-1]) if unit.ndim > 1 else unit + 1


def spd(n: int, *stack: int) -> Drawn:
    """Draw symmetric positive definite matrices."""
    return Drawn((*stack, n, n), "f", _definite)


class Form(NamedTuple):
    """One way to call one function.

    Attributes:
        text: the code, with `np`, `sp` (scipy.special), `sla` (scipy.linalg), `sb` and the operands.
        truth: the code that tells what it is to give, where the text itself cannot be evaluated on arrays.
        differentiable: whether some float of the result has a derivative by some float operand.
        named: whether it can be said for named sizes.
        operands: what the names stand for; an array is the same in all trials, and no symbol.
    """

    text: str
    truth: str | None
    differentiable: bool
    named: bool
    operands: dict[str, Drawn | Array]

    def __str__(self) -> str:
        """Give the code and what it is applied to."""
        return f"{self.text} {self.shapes}"

    @property
    def shapes(self) -> str:
        """The shapes of the operands."""
        return " ".join(f"{name}{list(operand.shape)}" for name, operand in self.operands.items())


def form(
    text: str,
    *,
    truth: str | None = None,
    differentiable: bool = True,
    named: bool = True,
    **operands: Shape | Drawn | Array,
) -> Form:
    """State a form; an operand given as a shape is drawn by `floats`."""
    drawn = {name: floats(operand) if type(operand) is tuple else operand for name, operand in operands.items()}
    return Form(text, truth, differentiable, named, drawn)  # type: ignore[arg-type]  # shapes are gone
