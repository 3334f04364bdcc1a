"""The exceptions of symbackprop: each names the op, the operands, the sizes and the user's line.

Every exception derives from `SymbackpropError` and, where one fits, from the built-in exception that NumPy
would have raised, so that ``except ValueError`` keeps working.
"""

from __future__ import annotations

from typing import NamedTuple


class Where(NamedTuple):
    """The place in the user's code that made a node."""

    file: str
    line: int

    def __str__(self) -> str:
        """Give the place as Python's tracebacks do, so that editors can jump to it."""
        return f'File "{self.file}", line {self.line}'


class SymbackpropError(Exception):
    """The base of every error that symbackprop raises on purpose."""


class ShapeError(SymbackpropError, ValueError):
    """Two sizes that should agree do not, or a rank is not the one that is needed."""


class DtypeError(SymbackpropError, TypeError):
    """A dtype that the op or the argument cannot have."""


class GraphError(SymbackpropError, ValueError):
    """Expressions of different graphs were mixed, or one name stands for two different symbols."""


class NotDifferentiableError(SymbackpropError, ValueError):
    """A gradient was asked for that does not exist: no path, no derivative, or not a scalar."""


class MemoryLimitError(SymbackpropError, MemoryError):
    """A function cannot be computed with so little memory."""


class ArgumentError(SymbackpropError, TypeError, ValueError):
    """A function was called with an argument missing, unknown, given twice, or of a wrong kind or value."""


class BackendError(SymbackpropError, NotImplementedError):
    """A backend cannot say an operation or a dtype, or cannot do what was asked for with its arrays."""


class ParseError(SymbackpropError, ValueError):
    """A text is no expression of the little language; the message points at the character."""


class NotTrainableWarning(UserWarning):
    """The gradient passes an op whose derivative is zero almost everywhere, so nothing can be learnt through it."""


class TracingWarning(UserWarning):
    """A function that is run once on symbols does what is not the same in its later calls, or costs at each of them."""


def did_you_mean(word: str, choices: list[str]) -> str:
    """Give " (did you mean 'x'?)" for the nearest of the choices, or nothing.

    >>> did_you_mean("sigmod", ["sigmoid", "sin"])
    " (did you mean 'sigmoid'?)"
    """
    from difflib import get_close_matches  # noqa: PLC0415  (only when something already went wrong)

    near = get_close_matches(word, choices, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
