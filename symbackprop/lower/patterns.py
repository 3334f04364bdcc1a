"""Which elements of an array may differ from zero, told by its expression alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from string import ascii_lowercase
from typing import Any, NamedTuple

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import ArgumentError, ShapeError, did_you_mean
from symbackprop.expr import Expr
from symbackprop.lower.structured import Layout, Piece, Structured, taken_apart
from symbackprop.op import scalar_value
from symbackprop.ops.index import Run, runs_text
from symbackprop.rewrite.pipeline import run


class Pattern(NamedTuple):
    """Where elements may differ from zero: where the indices of axes with the same letter are equal.

    Attributes:
        letters: one for each axis.
        runs: slices, one for each axis, if only elements in them are meant.
        shape: the shape of the array.
    """

    letters: str
    runs: tuple[Run, ...]
    shape: Shape

    def __str__(self) -> str:
        """Write the letters, and the slices behind them as an index."""
        return f"{self.letters}[{runs_text(self.runs, self.shape)}]" if self.runs else self.letters or "all"


class Sparsity:
    """Which elements of an array may differ from zero, for all sizes.

    The array is not computed. Its text tells the shape and the patterns: in ``aa`` are the elements whose two indices
    are equal, in ``aa[1:, :-1]`` those with equal indices in this slice, in ``ab`` are all.

    Attributes:
        shape: the shape of the array.
        patterns: what may differ from zero; elements can be in several of them.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> found = sb.sparsity(sb.jacobian(x[1:] * x[:-1], x))
    >>> print(found)
    [N - 1, N]: aa[:, 1:] + aa[:, :N - 1]
    >>> found.nnz({"N": 1000}), found.density({"N": 1000})
    (1998, 0.002)
    """

    def __init__(self, shape: Shape, patterns: tuple[Pattern, ...], inner: Shape, sizes: Mapping[str, int]) -> None:
        """Take the patterns of an array of shape `inner`, whose elements in order are those of the whole."""
        self.shape = shape
        self.patterns = patterns
        self._inner = inner
        self._sizes = dict(sizes)

    def __str__(self) -> str:
        """Write the shape, and the patterns as a sum."""
        return f"{dims.show(self.shape) or '()'}: {' + '.join(map(str, self.patterns)) or 'zero'}"

    def __repr__(self) -> str:
        """Say what it is."""
        return f"<Sparsity {self}>"

    def matrix(self, sizes: Mapping[str, int] | None = None, *, rows: int | None = None) -> Any:
        """Give a sparse matrix of truth values: SciPy's `csr_array`, true where an element may differ from zero.

        Such a matrix is what ``jac_sparsity`` of `scipy.optimize.least_squares` takes.

        Args:
            sizes: numbers for named sizes.
            rows: how many of the first axes are its rows; half of them unless told.

        Raises:
            ShapeError: a size is missing, unknown or too small, or the patterns have another number of axes.
            ImportError: there is no SciPy.
        """
        numbers = self._numbers(sizes)
        axes = len(self._inner)
        nothing = Piece(f"->{ascii_lowercase[:axes]}", (0,), (Run(0, 0, 1),) * axes)
        pieces = [Piece(f"->{each.letters}", (0,), dims.bound(each.runs, numbers)) for each in self.patterns]
        layout = Layout(dims.bind(self.shape, numbers), dims.bind(self._inner, numbers), tuple(pieces) or (nothing,))
        return Structured(layout, [np.True_]).sparse(rows).tocsr()

    def nnz(self, sizes: Mapping[str, int] | None = None) -> int:
        """Give the number of elements that may differ from zero.

        Raises:
            ShapeError: a size is missing, unknown or too small.
            ImportError: there is no SciPy.
        """
        return int(self.matrix(sizes, rows=0).nnz)

    def density(self, sizes: Mapping[str, int] | None = None) -> float:
        """Give the share of the elements that may differ from zero.

        Raises:
            ShapeError: a size is missing, unknown or too small.
            ImportError: there is no SciPy.
        """
        return self.nnz(sizes) / max(math.prod(dims.bind(self.shape, self._numbers(sizes))), 1)

    def _numbers(self, sizes: Mapping[str, int] | None) -> dict[str, int]:
        known = {**self._sizes, **(sizes or {})}
        names = sorted(dims.names_of(self.shape))
        for name in known:
            if name not in names:
                msg = f"sparsity: {dims.show(self.shape)} has no size {name!r}{did_you_mean(name, names)}"
                raise ShapeError(msg)
        missing = [name for name in names if name not in known]
        if missing:
            msg = f"sparsity: tell the size {' and '.join(missing)}, as in sizes={{{missing[0]!r}: 100}}"
            raise ShapeError(msg)
        for size in self.shape:
            if isinstance(size, dims.Dim) and size.value(known) < 0:
                msg = f"sparsity: {size} is negative for {known}"
                raise ShapeError(msg)
        return known


def sparsity(expr: Expr, sizes: Mapping[str, int] | None = None) -> Sparsity:
    """Tell which elements of an array, as a Jacobian or a Hessian, may differ from zero, from its expression alone.

    An element in no pattern is zero whatever the values of the symbols, so far as identity matrices, slices and
    sums tell. The elements themselves are in ``sb.compile(…, structured=True)(…).sparse()``.

    Args:
        expr: the array.
        sizes: numbers for named sizes, if they are known by now.

    Raises:
        ArgumentError: what is asked for is no expression.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> f = sb.sum(100*(x[1:] - x[:-1]**2)**2 + (1 - x[:-1])**2)
    >>> found = sb.sparsity(sb.hessian(f, x), {"N": 4})
    >>> print(found)
    [N, N]: aa + aa[:N - 1, 1:] + aa[1:, :N - 1]
    >>> print(found.matrix().toarray().astype(int))
    [[1 1 0 0]
     [1 1 1 0]
     [0 1 1 1]
     [0 0 1 1]]
    """
    given: object = expr  # who has no type checker may pass an array
    if not isinstance(given, Expr):
        msg = f"sparsity takes an expression, not {type(given).__name__}: the result of sb.jacobian or sb.hessian"
        raise ArgumentError(msg)
    layout, arrays = taken_apart(run([expr])[0])
    patterns: dict[Pattern, None] = {}
    for piece in layout.pieces:
        if piece.scale and not any(scalar_value(arrays[place]) == 0 for place in piece.places):
            patterns[Pattern(piece.subscripts.partition("->")[2], piece.runs, layout.inner)] = None
    return Sparsity(expr.shape, tuple(reversed(patterns)), layout.inner, sizes or {})
