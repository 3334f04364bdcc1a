"""What is symbolic among the arguments of a function."""

from __future__ import annotations

from symbackprop.dims import Dim
from symbackprop.expr import Expr


def is_symbolic(value: object) -> bool:
    """Tell whether a value is an expression or a named size, or a list with one in it."""
    return isinstance(value, Expr | Dim) or (isinstance(value, list | tuple) and any(map(is_symbolic, value)))
