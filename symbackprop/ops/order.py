"""Sorting, what is found by it, and order statistics.

What sorting does to elements is a permutation, and its derivative is the same permutation of the cotangent. Where
elements are equal, their order is that of a stable sort: the first of them stays the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import Case, Dtype, Form, Notation, Op, Params, apply, literal
from symbackprop.ops.elementwise import astype, equal, isnan, less_equal, real, where
from symbackprop.ops.gather import SCATTER, along, gather
from symbackprop.ops.layout import (
    BROADCAST_TO,
    axes_of,
    axis_or_flat,
    expand_dims,
    kept_dtype,
    permute,
    ravel,
    reshape,
    to_end,
)
from symbackprop.ops.leaf import as_expr, graph_of, size_of
from symbackprop.ops.reduce import sum as sum_

__all__ = [
    "argpartition",
    "argsort",
    "digitize",
    "lexsort",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "partition",
    "percentile",
    "quantile",
    "searchsorted",
    "sort",
]

# --- sort -----------------------------------------------------------------------------------------------------


def _same(x: Shape, **_: Any) -> Shape:
    return x


def _places(*_: Any, **__: Any) -> Dtype:
    return np.dtype(np.intp)


def _along_axis(function: str, opening: str, closing: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        (axis,) = params["axes"]
        told = "" if axis == -1 else f", axis={axis + len(shapes[0])}"
        return Form(f"{function}{opening}$0{told}{closing}")

    return notation


def _sort_cost(xs: tuple[Shape, ...], _y: Shape, params: Params) -> Size:
    size = xs[0][params["axes"][0]]
    return dims.product(xs[0]) * (size.bit_length() if isinstance(size, int) else 10)


def _sort_vjp(g: Expr, _y: Expr, x: Expr, *, axes: tuple[int]) -> Expr:
    indices = along(apply(ARGSORT, x, axes=axes), axes[0], x.shape)
    return apply(SCATTER, g, *indices, tail=0, into=x.shape)


_SORTED = (Case(((4,),)), Case(((2, 3),)), Case(((3, 2),), {"axes": (-2,)}))

SORT = Op(
    name="sort",
    doc="Sort along an axis.",
    shape=_same,
    dtype=kept_dtype,
    vjps=(_sort_vjp,),
    numpy=_along_axis("np.sort", "(", ")"),
    text=_along_axis("sort", "(", ")"),
    latex=_along_axis(r"\operatorname{sort}", r"\left(", r"\right)"),
    cost=_sort_cost,
    kink="equal elements keep their order",
    cases=_SORTED,
    options={"axes": (-1,)},
)

ARGSORT = Op(
    name="argsort",
    doc="Give the order in which elements are sorted along an axis.",
    shape=_same,
    dtype=_places,
    vjps=(None,),
    numpy=_along_axis("np.argsort", "(", ', kind="stable")'),
    text=_along_axis("argsort", "(", ")"),
    latex=_along_axis(r"\operatorname{argsort}", r"\left(", r"\right)"),
    cost=_sort_cost,
    cases=_SORTED,
    options={"axes": (-1,)},
)


def _check_kind(name: str, kind: str | None) -> None:
    if kind not in {None, "quicksort", "mergesort", "heapsort", "stable"}:
        msg = f'{name}: kind is "quicksort", "mergesort", "heapsort" or "stable", not {kind!r}'
        raise ArgumentError(msg)


def sort(x: Operand, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Expr:
    """Sort along an axis; the derivative is permuted back, and equal elements keep their order in it.

    Args:
        x: the operand.
        axis: the axis; all elements are sorted as one row where it is None.
        kind: as in NumPy: the values are the same for each.
        stable: as in NumPy; derivatives always take the stable order.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 3)
    >>> sb.evaluate(sb.grad(sb.sort(x)[0], x), {x: [2.0, 1.0, 1.0]})
    array([0., 1., 0.])
    """
    del stable
    _check_kind("sort", kind)
    expr, right = axis_or_flat("sort", x, axis)
    return apply(SORT, expr, axes=(right,))


def argsort(x: Operand, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Expr:
    """Give the indices that sort along an axis, equal elements in their order; integers, which have no derivative.

    Args:
        x: the operand.
        axis: the axis; all elements are one row where it is None.
        kind: as in NumPy; the order is always the stable one.
        stable: as in NumPy.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(x[sb.argsort(x)])
    x[argsort(x)]
    """
    del stable
    _check_kind("argsort", kind)
    expr, right = axis_or_flat("argsort", x, axis)
    return apply(ARGSORT, expr, axes=(right,))


def _check_kth(name: str, kth: int | Sequence[int], size: Size) -> None:
    for place in np.ravel(kth).tolist():
        if not isinstance(place, int) or (isinstance(size, int) and size and not -size <= place < size):
            msg = f"{name}: kth={place} is out of range for size {size}"
            raise ShapeError(msg)


def partition(x: Operand, kth: int | Sequence[int], axis: int | None = -1) -> Expr:
    """Put the kth element in its sorted place, none larger before and none smaller behind it.

    NumPy leaves open in which order the elements before and behind are: here they are sorted, and so are derivatives.

    Args:
        x: the operand.
        kth: the place, or several.
        axis: the axis; all elements are one row where it is None.

    Raises:
        ShapeError: the axis or the place is out of range.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 3)
    >>> sb.evaluate(sb.partition(x, 1)[1], {x: [5.0, 1.0, 3.0]})
    np.float64(3.0)
    """
    expr, right = axis_or_flat("partition", x, axis)
    _check_kth("partition", kth, expr.shape[right])
    return apply(SORT, expr, axes=(right,))


def argpartition(x: Operand, kth: int | Sequence[int], axis: int | None = -1) -> Expr:
    """Give the indices of `partition`: those of a stable sort; integers, which have no derivative.

    Args:
        x: the operand.
        kth: the place, or several.
        axis: the axis; all elements are one row where it is None.

    Raises:
        ShapeError: the axis or the place is out of range.

    >>> import symbackprop as sb
    >>> sb.argpartition(sb.symbol("x", "N"), 1).dtype
    dtype('int64')
    """
    expr, right = axis_or_flat("argpartition", x, axis)
    _check_kth("argpartition", kth, expr.shape[right])
    return apply(ARGSORT, expr, axes=(right,))


def lexsort(keys: Operand | Sequence[Operand], axis: int = -1) -> Expr:
    """Give the indices that sort by several keys, the last one first; integers, which have no derivative.

    Args:
        keys: arrays of one shape, or an array whose rows are the keys.
        axis: the axis to sort along.

    Raises:
        ShapeError: there is no key, or the axis is out of range.

    >>> import symbackprop as sb
    >>> a, b = sb.symbols("a[3] b[3]")
    >>> sb.evaluate(sb.lexsort((a, b)), {a: [1.0, 0.0, 2.0], b: [1.0, 1.0, 0.0]})
    array([2, 1, 0])
    """
    rows = list(keys if not isinstance(keys, Expr) else [keys[k] for k in range(len(keys))])  # type: ignore[arg-type]
    if not rows:
        raise ShapeError("lexsort: give one key at least")
    exprs = [as_expr(row) for row in rows]
    axes = axes_of("lexsort", exprs[0], axis)
    order = apply(ARGSORT, exprs[0], axes=axes)
    for key in exprs[1:]:
        again = apply(ARGSORT, gather(key, along(order, axes[0], key.shape), tail=0), axes=axes)
        order = gather(order, along(again, axes[0], order.shape), tail=0)
    return order


# --- search in what is sorted ---------------------------------------------------------------------------------


def _found_shape(a: Shape, values: Shape, **_: Any) -> Shape:
    if len(a) != 1:
        msg = f"what is searched has one axis, not {len(a)}"
        raise ShapeError(msg)
    return values


def _search_form(function: str, side: str) -> Notation:
    def notation(params: Params, _shapes: tuple[Shape, ...]) -> Form:
        return Form(f"{function}($0, $1{f', {side}' if params['right'] else ''})")

    return notation


def _portable_search(params: Params, shapes: tuple[Shape, ...]) -> Form:
    found = _search_form("np.searchsorted", 'side="right"')
    form = found if isinstance(found, Form) else found(params, shapes)
    return Form(f"np.astype({form.template}, np.int64)")


SEARCHSORTED = Op(
    name="searchsorted",
    doc="Find where values would have to stand in a sorted array.",
    shape=_found_shape,
    dtype=_places,
    vjps=(None, None),
    numpy=_search_form("np.searchsorted", 'side="right"'),
    portable=_portable_search,
    text=_search_form("searchsorted", '"right"'),
    latex=_search_form(r"\operatorname{searchsorted}", r"\mathrm{right}"),
    cost=lambda xs, _y, _params: dims.product(xs[1]) * 10,
    cases=(Case(((1,), (3,))), Case(((1,), (2, 3)), {"right": True}), Case(((1,), ()))),
    options={"right": False},
)


def searchsorted(a: Operand, v: Operand, side: str = "left", sorter: Operand | None = None) -> Expr:
    """Give where values would have to be inserted in a sorted array; integers, which have no derivative.

    Args:
        a: one axis, ascending.
        v: the values, of any shape.
        side: of equal elements, before the first ("left") or behind the last ("right").
        sorter: the indices that sort `a` where it is not sorted.

    Raises:
        ShapeError: `a` has not one axis.
        ArgumentError: another side.

    >>> import symbackprop as sb
    >>> a = sb.symbol("a", "N")
    >>> sb.evaluate(sb.searchsorted(a, [0.5, 2.0]), {a: [0.0, 1.0, 2.0]})
    array([1, 2])
    """
    if side not in {"left", "right"}:
        msg = f'searchsorted: side is "left" or "right", not {side!r}'
        raise ArgumentError(msg)
    graph = graph_of(a, v, sorter)
    sorted_, values = as_expr(a, graph=graph), as_expr(v, graph=graph)
    if sorter is not None:
        sorted_ = sorted_[sorter]
    kind = np.result_type(sorted_.dtype, values.dtype)
    return apply(SEARCHSORTED, astype(sorted_, kind), astype(values, kind), right=side == "right")


def digitize(x: Operand, bins: Operand, right: bool = False) -> Expr:  # noqa: FBT001, FBT002  (NumPy's signature)
    """Give the number of the bin that each value falls in; integers, which have no derivative.

    Args:
        x: the values.
        bins: the ends of the bins, ascending or descending.
        right: whether a bin has its right end, and not its left one.

    Raises:
        ShapeError: the bins have not one axis.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> sb.evaluate(sb.digitize(x, [0.0, 1.0]), {x: [-1.0, 0.0, 0.5, 1.0]})
    array([0, 1, 1, 2])
    """
    ends = as_expr(bins, graph=x.graph if isinstance(x, Expr) else None)
    side = "left" if right else "right"
    up = searchsorted(ends, x, side)
    if ends.shape in {(0,), (1,)} or ends.ndim != 1:
        return up
    down = size_of(ends.shape[0], np.intp, graph=ends.graph) - searchsorted(ends[::-1], x, side)
    if "value" in ends.params:
        array = ends.params["value"].array
        if not (np.all(np.diff(array) >= 0) or np.all(np.diff(array) <= 0)):
            raise ArgumentError("digitize: the bins neither ascend nor descend")
        return up if array[0] <= array[-1] else down
    return where(less_equal(ends[0], ends[-1]), up, down)


# --- order statistics -----------------------------------------------------------------------------------------


class _Rows(NamedTuple):
    """What order statistics are of.

    Attributes:
        values: sorted along the last axis.
        axes: those that the last one stands for, counted from the right.
        size: how many elements a row has.
    """

    values: Expr
    axes: tuple[int, ...]
    size: Size


def _sorted_rows(name: str, x: Operand, axis: int | Iterable[int] | None, kind: Dtype | None = None) -> _Rows:
    expr = as_expr(x)
    axes = axes_of(name, expr, axis)
    turned = to_end(expr, axes)
    size = dims.product(expr.shape[at] for at in axes)
    rows = turned if len(axes) == 1 else reshape(turned, (*turned.shape[: turned.ndim - len(axes)], size))
    return _Rows(apply(SORT, rows if kind is None else astype(rows, kind), axes=(-1,)), axes, size)


def _or_nan(result: Expr, rows: _Rows) -> Expr:
    """Give NaN for rows that have one: sorted, it is the last."""
    if rows.values.dtype.kind != "f" or result.dtype.kind != "f":
        return result
    last = isnan(rows.values[..., -1])
    return where(last, np.nan, result)


def _kept(result: Expr, axes: tuple[int, ...], *, keepdims: bool) -> Expr:
    return expand_dims(result, axes) if keepdims and axes else result


def median(x: Operand, axis: int | Iterable[int] | None = None, *, keepdims: bool = False) -> Expr:
    """Give the middle element over axes, or the mean of the two in the middle; NaN where there is one.

    The derivative goes to these elements; of equal ones, to those that a stable sort puts in the middle.

    Args:
        x: the operand.
        axis: one axis, several, or all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: an axis is out of range or named twice.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 4)
    >>> sb.evaluate(sb.grad(sb.median(x), x), {x: [3.0, 9.0, 1.0, 5.0]})
    array([0.5, 0. , 0. , 0.5])
    """
    expr = as_expr(x)
    rows = _sorted_rows("median", expr, axis, real(expr.dtype))
    if rows.size == 0:
        shape = rows.values.shape[:-1]
        return _kept(_full(np.nan, rows.values, shape), rows.axes, keepdims=keepdims)
    half: Size = (rows.size - 1) // 2
    result = rows.values[..., half]
    if not isinstance(rows.size, int) or rows.size % 2 == 0:
        result = (result + rows.values[..., rows.size // 2]) / 2
    return _kept(_or_nan(result, rows), rows.axes, keepdims=keepdims)


def _full(value: float, like: Expr, shape: Shape) -> Expr:
    scalar = literal(value, like.dtype, graph=like.graph)
    return scalar if not shape else apply(BROADCAST_TO, scalar, shape=shape)


class _Method(NamedTuple):
    """How quantiles lie between elements.

    Attributes:
        place: where among n sorted elements the quantile q lies, counted from 0.
        share: how much of the next element is taken, from the place and its fraction; None for the fraction itself.
        whole: whether a place is that of an element, so that nothing is taken between.
        inside: whether the places of quantiles between 0 and 1 are never before the first nor behind the last element.
    """

    place: Callable[[Any, Any], Any]
    share: Callable[[Any, Any], Any] | None = None
    whole: bool = False
    inside: bool = False


def _between(alpha: float, beta: float) -> _Method:
    return _Method(lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1)


def _closest(place: Any) -> Any:
    """Give the next element; right at one that is even, counted from 1, that."""
    floor = np.floor(place)
    stays = np.logical_and(np.equal(place, floor), np.equal(np.mod(floor, 2), 1))
    return np.where(stays, floor, floor + 1)


_METHODS: Mapping[str, _Method] = {
    "linear": _Method(lambda n, q: (n - 1) * q, inside=True),
    "lower": _Method(lambda n, q: np.floor((n - 1) * q), whole=True, inside=True),
    "higher": _Method(lambda n, q: np.ceil((n - 1) * q), whole=True, inside=True),
    "nearest": _Method(lambda n, q: np.rint((n - 1) * q), whole=True, inside=True),
    "midpoint": _Method(
        lambda n, q: 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
        lambda _place, fraction: np.where(np.equal(fraction, 0), 0.0, 0.5),
    ),
    "inverted_cdf": _Method(lambda n, q: np.ceil(n * q - 1), whole=True),
    "closest_observation": _Method(lambda n, q: _closest(n * q - 1.5), whole=True),
    "averaged_inverted_cdf": _Method(
        lambda n, q: n * q - 1, lambda _place, fraction: np.where(np.equal(fraction, 0), 0.5, 1.0)
    ),
    "interpolated_inverted_cdf": _between(0, 1),
    "hazen": _between(0.5, 0.5),
    "weibull": _between(0, 0),
    "median_unbiased": _between(1 / 3, 1 / 3),
    "normal_unbiased": _between(3 / 8, 3 / 8),
}
"""Those of Hyndman and Fan (Sample quantiles in statistical packages, 1996), by NumPy's names."""


def _method(name: str, method: str) -> _Method:
    found = _METHODS.get(method)
    if found is None:
        msg = f"{name}: no method {method!r}; there are {', '.join(_METHODS)}"
        raise ArgumentError(msg)
    return found


def _check_quantile(name: str, q: Any, most: float) -> None:
    if not isinstance(q, Expr) and not np.all((np.asarray(q) >= 0) & (np.asarray(q) <= most)):
        msg = f"{name}: q lies between 0 and {most:g}, and this is {q}"
        raise ArgumentError(msg)


def quantile(
    x: Operand,
    q: Operand | Sequence[float],
    axis: int | Iterable[int] | None = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Expr:
    """Give the q-th quantile over axes, between the two sorted elements next to it; NaN where there is one.

    The derivative goes to these two elements, and by q it is their difference times n − 1; where q is that of an
    element, the one to the right of it.

    Args:
        x: the operand.
        q: a number between 0 and 1, or an array of them, whose axes come first in the result.
        axis: one axis, several, or all.
        method: how it lies between elements, by NumPy's names.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: an axis is out of range or named twice, or there are no elements.
        ArgumentError: there is no such method, or q is outside.

    >>> import symbackprop as sb
    >>> x, q = sb.symbol("x", "N"), sb.symbol("q")
    >>> sb.evaluate(sb.quantile(x, 0.25), {x: [1.0, 2.0, 4.0]})
    np.float64(1.5)
    """
    return _quantile("quantile", x, q, axis, method, keepdims=keepdims)


def percentile(
    x: Operand,
    q: Operand | Sequence[float],
    axis: int | Iterable[int] | None = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Expr:
    """Give the q-th percentile over axes: `quantile` of q/100, with its derivatives.

    Args:
        x: the operand.
        q: a number between 0 and 100, or an array of them, whose axes come first in the result.
        axis: one axis, several, or all.
        method: how it lies between elements, by NumPy's names.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: an axis is out of range or named twice, or there are no elements.
        ArgumentError: there is no such method, or q is outside.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", ("N", 3))
    >>> sb.percentile(x, [25, 75], axis=0).shape
    (2, 3)
    """
    _check_quantile("percentile", q, 100)
    return _quantile("percentile", x, _hundredth(q), axis, method, keepdims=keepdims)


def _hundredth(q: Any) -> Any:
    return q / 100 if isinstance(q, Expr | int | float) else np.true_divide(q, 100)


def _weak(q: Any, rows: _Rows) -> Any:
    """Give q in the dtype that NumPy computes places in: that of the elements, where q is a number of Python."""
    if isinstance(q, Expr):
        return q
    return np.asarray(q, rows.values.dtype if type(q) in {int, float} and rows.values.dtype.kind == "f" else None)


def _quantile(name: str, x: Operand, q: Any, axis: int | Iterable[int] | None, method: str, *, keepdims: bool) -> Expr:
    how = _method(name, method)
    _check_quantile(name, q, 1)
    rows = _sorted_rows(name, x, axis)
    if rows.size == 0:
        msg = f"{name}: no elements: {as_expr(x).describe()}"
        raise ShapeError(msg)
    given = _weak(q, rows)
    known = not isinstance(given, Expr) and isinstance(rows.size, int)
    n: Any = rows.size if known else size_of(rows.size, real(given.dtype), graph=rows.values.graph)
    place = how.place(n, given if known else as_expr(given, graph=rows.values.graph))
    first, share = _split(place, n, how, inside=how.inside and not isinstance(given, Expr))
    leading = rows.values.ndim - 1
    result: Expr = _at(rows, first)
    if share is not None:
        result = _lerp(result, _at(rows, np.minimum(first + 1, n - 1)), share)
    result = _or_nan(_moved_first(result, leading), rows)
    return _kept(result, rows.axes, keepdims=keepdims)


def _split(place: Any, n: Any, how: _Method, *, inside: bool = False) -> tuple[Any, Any]:
    """Give the place of the element before, and how much is taken of the next one."""
    if inside and how.whole:
        return place, None
    floor = np.floor(place)
    if inside:
        return floor, place - floor
    first = np.minimum(np.maximum(floor, 0), n - 1)
    if how.whole:
        return first, None
    fraction = place - floor
    share = fraction if how.share is None else how.share(place, fraction).astype(place.dtype)
    within = np.logical_and(np.greater_equal(place, 0), np.less(place, n - 1))
    return first, np.where(within, share, np.zeros((), place.dtype))


def _at(rows: _Rows, places: Any) -> Expr:
    """Take elements of sorted rows; places are whole numbers."""
    if isinstance(places, Expr):
        return rows.values[..., astype(places, np.int64)]
    whole = np.asarray(places).astype(np.int64)
    return rows.values[..., int(whole) if not whole.ndim else whole]


def _lerp(a: Expr, b: Expr, share: Any) -> Any:
    """Give what lies between, computed from the nearer end, as NumPy does."""
    if not isinstance(share, Expr):
        share = np.asarray(share)
        if not np.any(share):
            return astype(a, np.result_type(a.dtype, share.dtype))
        if not share.ndim:
            near_a = share < 0.5
            return a + (b - a) * share if near_a else b - (b - a) * (1 - share)
    return where(np.greater_equal(share, 0.5), b - (b - a) * (1 - share), a + (b - a) * share)


def _moved_first(result: Expr, leading: int) -> Expr:
    """Put the axes of q before those of the rows."""
    rank = result.ndim
    return permute(result, tuple(at - rank for at in (*range(leading, rank), *range(leading))))


def _counted(rows: _Rows) -> Expr:
    """Count the elements of each row that are not NaN."""
    return sum_(astype(equal(rows.values, rows.values), np.int64), axis=-1, keepdims=True)


def _taken(rows: _Rows, places: Expr) -> Expr:
    return gather(rows.values, along(astype(places, np.int64), -1, rows.values.shape), tail=0)


def nanmedian(x: Operand, axis: int | Iterable[int] | None = None, *, keepdims: bool = False) -> Expr:
    """Give the median over axes of what is not NaN; NaN where all is. Derivatives are as of `median`, and 0 by NaN.

    Args:
        x: the operand.
        axis: one axis, several, or all.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: an axis is out of range or named twice.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 4)
    >>> sb.evaluate(sb.nanmedian(x), {x: [3.0, np.nan, 1.0, 5.0]})
    np.float64(3.0)
    """
    expr = as_expr(x)
    rows = _sorted_rows("nanmedian", expr, axis, real(expr.dtype))
    if rows.size == 0:
        return _kept(_full(np.nan, rows.values, rows.values.shape[:-1]), rows.axes, keepdims=keepdims)
    count = _counted(rows)
    middle = _taken(rows, (count - 1) // 2) + _taken(rows, count // 2)
    return _kept((middle / 2)[..., 0], rows.axes, keepdims=keepdims)


def nanquantile(
    x: Operand,
    q: Operand | Sequence[float],
    axis: int | Iterable[int] | None = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Expr:
    """Give the q-th quantile over axes of what is not NaN; NaN where all is. Derivatives are as of `quantile`.

    Args:
        x: the operand.
        q: a number between 0 and 1, or an array of them, whose axes come first in the result.
        axis: one axis, several, or all.
        method: how it lies between elements, by NumPy's names.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: an axis is out of range or named twice.
        ArgumentError: there is no such method, or q is outside.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", 4)
    >>> sb.evaluate(sb.nanquantile(x, 0.25), {x: [3.0, np.nan, 1.0, 5.0]})
    np.float64(2.0)
    """
    how = _method("nanquantile", method)
    _check_quantile("nanquantile", q, 1)
    rows = _sorted_rows("nanquantile", x, axis)
    given = as_expr(_weak(q, rows), graph=rows.values.graph)
    several, given = given.shape, ravel(given) if given.ndim else given
    rest = rows.values.shape[:-1]
    if rows.size == 0:
        nothing = _full(np.nan, astype(rows.values, real(rows.values.dtype)), several + rest)
        return _kept(nothing, rows.axes, keepdims=keepdims)
    n = astype(_counted(rows), real(given.dtype))
    first, share = _split(how.place(n, given), n, how)
    result = _taken(rows, first)
    if share is not None:
        result = _lerp(result, _taken(rows, np.minimum(first + 1, n - 1)), share)
    result = reshape(_moved_first(result, len(rest)), several + rest) if several else result[..., 0]
    return _kept(result, rows.axes, keepdims=keepdims)


def nanpercentile(
    x: Operand,
    q: Operand | Sequence[float],
    axis: int | Iterable[int] | None = None,
    *,
    method: str = "linear",
    keepdims: bool = False,
) -> Expr:
    """Give the q-th percentile over axes of what is not NaN: `nanquantile` of q/100, with its derivatives.

    Args:
        x: the operand.
        q: a number between 0 and 100, or an array of them, whose axes come first in the result.
        axis: one axis, several, or all.
        method: how it lies between elements, by NumPy's names.
        keepdims: keep the reduced axes with size 1.

    Raises:
        ShapeError: an axis is out of range or named twice.
        ArgumentError: there is no such method, or q is outside.

    >>> import symbackprop as sb
    >>> sb.nanpercentile(sb.symbol("x", ("N", 3)), [25, 75], axis=0).shape
    (2, 3)
    """
    _check_quantile("nanpercentile", q, 100)
    return nanquantile(x, _hundredth(q), axis, method=method, keepdims=keepdims)
