"""Padding: arrays that go on beyond their ends, joined of slices and repeated parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from symbackprop.dims import Dim, Size
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import apply, literal
from symbackprop.ops.arrange import count_of, flip, part, taken
from symbackprop.ops.elementwise import astype, rint
from symbackprop.ops.index import UNSLICE, Run, concatenate
from symbackprop.ops.layout import axes_of, broadcast_to, reshape
from symbackprop.ops.leaf import arange, as_expr, size_of
from symbackprop.ops.order import median
from symbackprop.ops.reduce import max as max_
from symbackprop.ops.reduce import mean as mean_
from symbackprop.ops.reduce import min as min_

__all__ = ["pad"]

_STATISTICS: Mapping[str, Callable[..., Expr]] = {"maximum": max_, "mean": mean_, "median": median, "minimum": min_}
_TAKES: Mapping[str, Mapping[str, Any]] = {
    "constant": {"constant_values": 0},
    "edge": {},
    "linear_ramp": {"end_values": 0},
    "maximum": {"stat_length": None},
    "mean": {"stat_length": None},
    "median": {"stat_length": None},
    "minimum": {"stat_length": None},
    "reflect": {"reflect_type": "even"},
    "symmetric": {"reflect_type": "even"},
    "wrap": {},
}
"""The modes, with what each may be told and what it takes unless told."""


def pad(
    array: Operand,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = None,
    end_values: Any = None,
    stat_length: Any = None,
    reflect_type: str | None = None,
) -> Expr:
    """Make an array longer at both ends of its axes, one axis after the other.

    Args:
        array: the array.
        pad_width: by how much: one number for all ends, ``(before, after)`` for all axes, a pair for each axis, or a
            dictionary of axes. Where elements come in their order, or against it, the numbers must be known.
        mode: what is there: ``constant``; ``edge``, the outermost element; ``reflect`` and ``symmetric``, the elements
            against their order, without the outermost one and with it; ``wrap``, those of the other end;
            ``linear_ramp``, equal steps to the outermost element; ``maximum``, ``mean``, ``median`` and ``minimum``, of
            the axis, rounded for integers.
        constant_values: for the mode constant, what is there unless 0: one number or scalar expression for all ends,
            or several, given like `pad_width`.
        end_values: for linear_ramp, where it starts unless at 0, given likewise.
        stat_length: for these, of how many elements at the end, of all unless told, given likewise.
        reflect_type: for reflect and symmetric, ``odd`` for twice the outermost element less those, else ``even``.

    Raises:
        ShapeError: a width is negative or does not fit the axes, or an axis without elements is to go on.
        ArgumentError: no such mode, or it is told what it does not take.

    >>> import symbackprop as sb
    >>> x, y = sb.symbol("x", "N"), sb.symbol("y", "N+3")
    >>> print(sb.grad(sb.sum(sb.pad(x, (1, 2)) * y), x))
    y[1:N + 1]
    """
    expr = as_expr(array)
    if mode not in _TAKES:
        msg = f"pad: the mode is one of {', '.join(_TAKES)}, not {mode!r}: {expr.describe()}"
        raise ArgumentError(msg)
    given = {
        "constant_values": constant_values,
        "end_values": end_values,
        "stat_length": stat_length,
        "reflect_type": reflect_type,
    }
    said = {key: value for key, value in given.items() if value is not None}
    if said.keys() - _TAKES[mode].keys():
        msg = f"pad: the mode {mode} takes {' '.join(_TAKES[mode]) or 'nothing more'}, not {', '.join(said)}"
        raise ArgumentError(f"{msg}: {expr.describe()}")
    (name, value), *_ = [*{**_TAKES[mode], **said}.items(), ("", None)]
    widths = [
        (count_of("pad", before, expr), count_of("pad", after, expr))
        for before, after in _pairs("pad_width", pad_width, expr)
    ]
    values = [(value, value)] * expr.ndim if isinstance(value, str) else _pairs(name, value, expr)
    if mode == "constant" and all(_is_zero(each) for pair in values for each in pair):
        return _among_zeros(expr, widths)
    whole = expr
    for axis, width, told in zip(range(-expr.ndim, 0), widths, values, strict=True):
        if whole.shape[axis] == 0 and width != (0, 0) and mode != "constant":
            msg = f"pad: axis {axis + expr.ndim} has no elements to go on with: {expr.describe()}"
            raise ShapeError(msg)
        ends = [_End(mode, axis, width[at], at == 1, told[at]) for at in (0, 1)]
        first, last = ([_ENDS[mode](whole, end)] if end.width != 0 else [] for end in ends)
        whole = concatenate([*first, whole, *last], axis) if first or last else whole
    return whole


def _pairs(name: str, given: Any, x: Expr) -> list[tuple[Any, Any]]:
    """Read what is told for the ends of axes in one of NumPy's spellings, as a pair for each axis."""
    if isinstance(given, Mapping):
        axes = {axes_of("pad", x, axis)[0]: value for axis, value in given.items()}
        return [_pairs(name, axes.get(axis, 0), x)[0] for axis in range(-x.ndim, 0)]
    rows = _listed(given)
    if not isinstance(rows, list):
        return [(given, given)] * x.ndim
    if not any(isinstance(row, list) for row in rows):
        rows = [rows]
    fits = all(isinstance(row, list) and len(row) in {1, 2} for row in rows)
    if not fits or len(rows) not in {1, x.ndim}:
        msg = f"pad: {name} is one value, a pair, or a pair for each of {x.ndim} axes, not {given!r}: {x.describe()}"
        raise ShapeError(msg)
    return [(row[0], row[-1]) for row in (rows * x.ndim if len(rows) == 1 else rows)]


def _listed(given: Any) -> Any:
    """Give tuples and arrays in one another as lists."""
    several = isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.ndim)
    return [_listed(each) for each in given] if several else given


def _is_zero(value: Any) -> bool:
    return not isinstance(value, Expr | Dim) and value == 0 and not np.signbit(value)


def _among_zeros(x: Expr, widths: Sequence[tuple[Size, Size]]) -> Expr:
    runs = tuple(Run(before, size, 1) for size, (before, _) in zip(x.shape, widths, strict=True))
    into = tuple(after + (before + size) for size, (before, after) in zip(x.shape, widths, strict=True))
    return x if into == x.shape else apply(UNSLICE, x, runs=runs, into=into)


# --- what comes to an end of an axis --------------------------------------------------------------------------


class _End(NamedTuple):
    """One end of an axis: which mode, how much comes there, whether behind, and what is told of it."""

    mode: str
    axis: int
    width: Size
    after: bool
    told: Any

    def outermost(self, x: Expr) -> Expr:
        """Give the last element before the end."""
        return part(x, self.axis, x.shape[self.axis] - 1 if self.after else 0, 1)

    def filled(self, x: Expr, value: Expr) -> Expr:
        """Give copies of a value."""
        at = x.ndim + self.axis
        return broadcast_to(value, (*x.shape[:at], self.width, *x.shape[at + 1 :]))


def _constant(x: Expr, end: _End) -> Expr:
    if isinstance(end.told, Expr | Dim):
        return end.filled(x, astype(as_expr(end.told, graph=x.graph), x.dtype))
    return end.filled(x, literal(end.told, x.dtype, graph=x.graph))


def _edge(x: Expr, end: _End) -> Expr:
    return end.filled(x, end.outermost(x))


def _ramp(x: Expr, end: _End) -> Expr:
    """Give ``start + k·(edge − start)/width`` for k from 0 on, rounded down for integers as NumPy's linspace does."""
    kind = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    start = as_expr(end.told, graph=x.graph) if isinstance(end.told, Expr) else literal(end.told, kind, graph=x.graph)
    steps = reshape(astype(arange(end.width, graph=x.graph), kind), (end.width, *(1,) * (-1 - end.axis)))
    values = steps * ((end.outermost(x) - start) / size_of(end.width, kind, graph=x.graph)) + start
    values = astype(values if x.dtype.kind == "f" else values // 1, x.dtype)
    return flip(values, end.axis) if end.after else values


def _statistic(x: Expr, end: _End) -> Expr:
    size = x.shape[end.axis]
    count = size if end.told is None else count_of("pad", end.told, x)
    if count == 0:
        msg = f"pad: {end.mode} of no elements, stat_length 0: {x.describe()}"
        raise ShapeError(msg)
    if isinstance(count, int) and isinstance(size, int):
        count = min(count, size)
    among = part(x, end.axis, size - count if end.after else 0, count)
    found = _STATISTICS[end.mode](among, end.axis, keepdims=True)
    return end.filled(x, found if found.dtype == x.dtype else astype(rint(found), x.dtype))


def _mirrored(x: Expr, end: _End) -> Expr:
    """Take elements where NumPy's own `pad` puts their places."""
    size, width = x.shape[end.axis], end.width
    if not isinstance(width, int):
        msg = f"pad: the mode {end.mode} needs a known width, not {width}: {x.describe()}"
        raise ShapeError(msg)
    room = size if isinstance(size, int) else 2 * width + 3
    ends = (0, width) if end.after else (width, 0)
    places = np.pad(np.arange(room), ends, end.mode)  # type: ignore[call-overload]  # one of NumPy's modes
    wanted = (places[room:] if end.after else places[:width]).tolist()
    # a place near the end of a named size is counted from there, and the size must reach so far when it is known
    found = taken(x, end.axis, [size - (room - place) if 2 * place > room else place for place in wanted])
    if end.told in {None, "even"}:
        return found
    if end.told != "odd" or (isinstance(size, int) and width > size - (end.mode == "reflect") and size > 1):
        msg = f"pad: reflect_type is even, or odd where the width is less than the size, not {end.told!r}"
        raise ShapeError(f"{msg}: {x.describe()}")
    return 2 * end.outermost(x) - found


_ENDS: Mapping[str, Callable[[Expr, _End], Expr]] = {
    "constant": _constant,
    "edge": _edge,
    "linear_ramp": _ramp,
    "maximum": _statistic,
    "mean": _statistic,
    "median": _statistic,
    "minimum": _statistic,
    "reflect": _mirrored,
    "symmetric": _mirrored,
    "wrap": _mirrored,
}
