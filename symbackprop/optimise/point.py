"""`Point`: a point with the value and the gradient there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from symbackprop.op import Array


class Point:
    """A point with the value and the gradient there; its arrays are not written to.

    Attributes:
        x: the vector.
        value: f there.
        gradient: its gradient.
        is_finite: whether both are.
    """

    __slots__ = ("gradient", "is_finite", "value", "x")

    def __init__(self, x: Array, value: float, gradient: Array) -> None:
        """Take all three."""
        self.x = x
        self.value = value
        self.gradient = gradient
        self.is_finite = math.isfinite(value) and bool(np.isfinite(gradient).all())

    def is_at(self, x: Array) -> bool:
        """Tell whether this is the point x; a point that holds NaN is none."""
        return bool((self.x == x).all())
