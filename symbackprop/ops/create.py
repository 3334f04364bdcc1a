"""Arrays made of sizes, numbers and lists: full, eye, arange, linspace, meshgrid, array."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, ShapeLike, SizeLike
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import check_dtype, literal
from symbackprop.ops.arrange import tril
from symbackprop.ops.contract import diag, eye
from symbackprop.ops.elementwise import astype, maximum, power
from symbackprop.ops.index import stack
from symbackprop.ops.layout import broadcast_arrays, broadcast_to, expand_dims, moveaxis, ravel, reshape
from symbackprop.ops.leaf import arange as counted
from symbackprop.ops.leaf import as_expr, exprs_of, size_of

__all__ = [
    "arange",
    "array",
    "asarray",
    "diagflat",
    "full",
    "geomspace",
    "identity",
    "linspace",
    "logspace",
    "meshgrid",
    "ones",
    "tri",
    "zeros",
]


# --- of one value ---------------------------------------------------------------------------------------------


def full(shape: ShapeLike, fill_value: Operand, dtype: Any = None) -> Expr:
    """Give an array of one value, or of values that are broadcast.

    Args:
        shape: the sizes.
        fill_value: the value.
        dtype: another dtype than that of the value.

    Raises:
        ShapeError: the values do not broadcast to the shape.

    >>> import symbackprop as sb
    >>> sb.full(("N", 2), sb.symbol("s")).shape
    (N, 2)
    """
    value = as_expr(fill_value)
    return broadcast_to(value if dtype is None else astype(value, dtype), dims.as_shape(shape))


def zeros(shape: ShapeLike, dtype: Any = "float64") -> Expr:
    """Give zeros.

    >>> import symbackprop as sb
    >>> sb.zeros(("N", 2)).shape
    (N, 2)
    """
    return full(shape, literal(0, check_dtype(dtype, "zeros")))


def ones(shape: ShapeLike, dtype: Any = "float64") -> Expr:
    """Give ones.

    >>> import symbackprop as sb
    >>> sb.ones("N").shape
    (N,)
    """
    return full(shape, literal(1, check_dtype(dtype, "ones")))


def identity(n: SizeLike, dtype: Any = "float64") -> Expr:
    """Give the identity matrix.

    >>> import symbackprop as sb
    >>> sb.identity("N").shape
    (N, N)
    """
    return eye(n, dtype=dtype)


def tri(N: SizeLike, M: SizeLike | None = None, k: int = 0, dtype: Any = "float64") -> Expr:
    """Give ones on and below a diagonal, zeros above.

    Args:
        N: how many rows.
        M: how many columns; as many unless told.
        k: which diagonal: 0 is the main one, 1 the one above it, -1 the one below.
        dtype: the dtype.

    >>> import symbackprop as sb
    >>> sb.tri("N", 3).shape
    (N, 3)
    """
    return tril(ones((N, N if M is None else M), dtype), k)


def diagflat(v: Operand, k: int = 0) -> Expr:
    """Give the matrix with all elements of an array, in row-major order, on a diagonal.

    >>> import symbackprop as sb
    >>> sb.diagflat(sb.symbol("X", (2, "N"))).shape
    (2*N, 2*N)
    """
    return diag(ravel(v), k)


# --- of numbers in a row --------------------------------------------------------------------------------------


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Expr:
    """Give numbers from `start` on, before `stop`, in steps; of one number those from 0 on before it.

    Args:
        start: a number, or a size.
        stop: a number, or a size.
        step: a number; an int where the others are named sizes.
        dtype: the dtype; NumPy's unless told.

    Raises:
        ShapeError: an expression, because the shape would depend on values.

    >>> import symbackprop as sb
    >>> sb.arange("N").shape, sb.arange(1, "N+1").shape, sb.arange(0, "N", 2).shape
    ((N,), (N,), (((N + 1)//2),))
    """
    first, last = (0, start) if stop is None else (start, stop)
    for bound in (first, last, step):
        if isinstance(bound, Expr):
            msg = f"arange: takes numbers and sizes, not {bound.describe()}: the shape would depend on values"
            raise ShapeError(msg)
    first, last = (dims.as_size(bound) if isinstance(bound, str) else bound for bound in (first, last))
    if not isinstance(first, Dim) and not isinstance(last, Dim):
        return literal(np.arange(first, last, step, dtype=dtype))
    if isinstance(step, bool | Dim) or not hasattr(step, "__index__") or step == 0:
        msg = f"arange: steps to a named size are by an int, not {step!r}"
        raise ShapeError(msg)
    span = last - first if step > 0 else first - last
    count = (span + abs(step) - 1) // abs(step)
    numbers: Any = counted(dims.as_size(count))
    numbers = numbers if step == 1 else numbers * step
    numbers = numbers if first == 0 else numbers + size_of(first, numbers.dtype)
    return numbers if dtype is None else astype(numbers, dtype)


def _fractions(num: SizeLike, kind: Any, like: Expr, *, endpoint: bool) -> tuple[Expr, Expr]:
    """Give numbers at equal distances from 0 on, up to 1 or before it, and their distance."""
    count = dims.as_size(num)
    if isinstance(count, int):
        numbers, step = np.linspace(0, 1, count, endpoint, retstep=True, dtype=kind)
        return literal(numbers, graph=like.graph), literal(step, kind, graph=like.graph)
    parts = size_of(count, kind, graph=like.graph)
    parts = maximum(parts - 1, 1) if endpoint else parts
    return astype(counted(count, graph=like.graph), kind) / parts, 1 / parts


def linspace(  # noqa: PLR0917  (NumPy's signature)
    start: Operand,
    stop: Operand,
    num: SizeLike = 50,
    endpoint: bool = True,  # noqa: FBT001, FBT002  (NumPy's)
    retstep: bool = False,  # noqa: FBT001, FBT002  (NumPy's)
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Give numbers at equal distances: start + k·(stop − start)/(num − 1).

    Args:
        start: the first of them, or several.
        stop: the last of them, or several.
        num: how many; a named size too.
        endpoint: whether `stop` is one of them; else the distance is (stop − start)/num.
        retstep: whether the distance is given too.
        dtype: another dtype; integers are rounded down.
        axis: where several ends stand, which axis of the result goes from one to the other.

    Raises:
        ShapeError: the ends do not broadcast, or an axis out of range.

    >>> import symbackprop as sb
    >>> a, b = sb.symbols("a b")
    >>> print(sb.grad(sb.sum(sb.linspace(a, b, 5)), a))
    2.5
    """
    kinds = [end.dtype if hasattr(end, "dtype") else end for end in (start, stop) if not isinstance(end, Dim)]
    kind = np.result_type(*kinds, 0.0)
    first, last = (astype(end, kind) for end in broadcast_arrays(start, stop))
    way, step = _fractions(num, kind, first, endpoint=endpoint)
    way = reshape(way, (*way.shape, *(1,) * first.ndim))
    values = moveaxis(first + way * (last - first), 0, axis)
    if dtype is not None:
        whole = check_dtype(dtype, "linspace").kind in "iu"
        values = astype(values // 1 if whole else values, dtype)
    return (values, step * (last - first)) if retstep else values


def logspace(  # noqa: PLR0917  (NumPy's signature)
    start: Operand,
    stop: Operand,
    num: SizeLike = 50,
    endpoint: bool = True,  # noqa: FBT001, FBT002  (NumPy's)
    base: Operand = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Expr:
    """Give the powers of a base with exponents at equal distances from `start` to `stop`.

    Args:
        start: the first exponent, or several.
        stop: the last exponent, or several.
        num: how many; a named size too.
        endpoint: whether `stop` is one of the exponents.
        base: the base, a scalar.
        dtype: another dtype.
        axis: where several ends stand, which axis of the result goes from one to the other.

    Raises:
        ShapeError: the ends do not broadcast, the base is no scalar, or an axis out of range.

    >>> import symbackprop as sb
    >>> sb.logspace(sb.symbol("a"), 2, 3).shape
    (3,)
    """
    if isinstance(base, Expr) and base.ndim:
        msg = f"logspace: the base is a scalar, not {base.describe()}"
        raise ShapeError(msg)
    powers = power(base, linspace(start, stop, num, endpoint, axis=axis))
    return powers if dtype is None else astype(powers, dtype)


def geomspace(  # noqa: PLR0917  (NumPy's signature)
    start: Operand,
    stop: Operand,
    num: SizeLike = 50,
    endpoint: bool = True,  # noqa: FBT001, FBT002  (NumPy's)
    dtype: Any = None,
    axis: int = 0,
) -> Expr:
    """Give numbers each of which is the same multiple of the one before: start·(stop/start)^(k/(num − 1)).

    Args:
        start: the first of them, or several; none is 0.
        stop: the last of them, of the same sign.
        num: how many; a named size too.
        endpoint: whether `stop` is one of them.
        dtype: the dtype; float64, as in NumPy, unless told.
        axis: where several ends stand, which axis of the result goes from one to the other.

    Raises:
        ShapeError: the ends do not broadcast, or an axis out of range.

    >>> import symbackprop as sb
    >>> sb.geomspace(sb.symbol("a"), sb.symbol("b"), "N").shape
    (N,)
    """
    kind = np.dtype(np.float64)
    first, last = (astype(end, kind) for end in broadcast_arrays(start, stop))
    way, _ = _fractions(num, kind, first, endpoint=endpoint)
    way = reshape(way, (*way.shape, *(1,) * first.ndim))
    values = moveaxis(first * power(last / first, way), 0, axis)
    return values if dtype is None else astype(values, dtype)


def meshgrid(*xi: Operand, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Expr, ...]:  # noqa: ARG001  (values never change, so there is nothing to copy)
    """Give the coordinates of a grid: one array of all its points for each axis.

    Args:
        xi: the coordinates along each axis.
        copy: makes no difference: values never change.
        sparse: whether axes of size 1 are left as they are, for broadcasting.
        indexing: ``xy`` where the first coordinates go along axis 1 and the second along axis 0, else ``ij``.

    Raises:
        ArgumentError: another indexing.

    >>> import symbackprop as sb
    >>> [X.shape for X in sb.meshgrid(*sb.symbols("x[N] y[M]"))]
    [(M, N), (M, N)]
    """
    if indexing not in {"xy", "ij"}:
        msg = f"meshgrid: the indexing is 'xy' or 'ij', not {indexing!r}"
        raise ArgumentError(msg)
    lines = [ravel(x) for x in exprs_of("meshgrid", xi)]
    rank = len(lines)
    places = [*range(rank)]
    if indexing == "xy" and rank > 1:
        places[:2] = 1, 0
    thin = [
        expand_dims(line, [axis for axis in range(rank) if axis != place])
        for line, place in zip(lines, places, strict=True)
    ]
    return tuple(thin) if sparse or not thin else broadcast_arrays(*thin)


# --- of lists -------------------------------------------------------------------------------------------------


def array(object: Any, dtype: Any = None, *, ndmin: int = 0) -> Expr:
    """Give an array of expressions and numbers in nested lists, which NumPy's own `array` cannot make.

    Args:
        object: an expression, an array, a number, or lists of them, in one another.
        dtype: another dtype; unless told NumPy's, of which Python's numbers beside expressions are weak.
        ndmin: how many axes there are at least; new ones come first.

    Raises:
        ShapeError: parts of one list have different shapes.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x y")
    >>> print(sb.array([[x, -y], [y, x]]) @ sb.array([x, 1]))
    stack((stack((x, −y)), stack((y, x))))·stack((x, 1))
    """
    found = _stacked(object)
    found = found if dtype is None else astype(found, dtype)
    return expand_dims(found, range(builtins.max(ndmin - found.ndim, 0)))


def _stacked(value: Any) -> Expr:
    if not _holds_expressions(value):
        return as_expr(value if isinstance(value, Expr | Dim) else np.asarray(value))
    return stack([_part(part) for part in value])


def _part(value: Any) -> Operand:
    return value if isinstance(value, Expr) or type(value) in {bool, int, float} else _stacked(value)


def _holds_expressions(value: Any) -> bool:
    """Tell whether lists hold expressions or named sizes, however deep."""
    waiting = [value] if isinstance(value, list | tuple) else []
    while waiting:
        for part in waiting.pop():
            if isinstance(part, Expr | Dim):
                return True
            if isinstance(part, list | tuple):
                waiting.append(part)
    return False


def asarray(a: Any, dtype: Any = None) -> Expr:
    """Give an array of expressions and numbers in nested lists, as `array` does.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> sb.asarray(x) is x
    True
    """
    return array(a, dtype)
