"""Scans: sums, products and extremes of the elements up to each one; differences of neighbours.

The derivative of a scan is a scan from the other end. That of a product is a linear recurrence, and so is that of a
recurrence: both are computed step by step without a division, so zeros do no harm and each order takes O(N).
"""

# ruff: noqa: PLR0917  (NumPy's signatures)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, Case, Form, Notation, Op, Params, Vjp, apply, literal
from symbackprop.ops.elementwise import astype, equal, not_equal, real
from symbackprop.ops.elementwise import where as choose
from symbackprop.ops.index import concatenate
from symbackprop.ops.layout import axes_of, axis_or_flat, broadcast_to, kept_dtype, on_axis, reshape
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import accumulated, converted, no_out, only_floats, sum

__all__ = [
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "ediff1d",
    "gradient",
    "recurrence",
    "trapezoid",
]


def _reversed(x: Expr, axis: int) -> Expr:
    """Turn an axis round, if there is one that is not repeated."""
    return x if x.ndim < -axis or x.shape[axis] == 1 else x[on_axis(axis, slice(None, None, -1))]


def _one_axis(name: str, x: Expr, axis: int) -> int:
    return axes_of(name, x, axis)[0]


# --- the linear recurrence --------------------------------------------------------------------------------------

_RECURRENCE = '''
def recurrence(a, b, axis, start):
    """r with r[0] = start and r[i + 1] = a[i] * r[i] + b[i] along an axis, step by step."""
    a, b = (np.moveaxis(x, axis, 0) for x in np.broadcast_arrays(a, b))
    r = np.empty(a.shape, np.result_type(a, b))
    if r.ndim == 1:  # Python's floats take a fraction of the time of NumPy's
        states = []
        for p, q in zip(a.tolist(), b.tolist()):
            states.append(start)
            start = p * start + q
        r[:] = states
        return r
    state = np.full(a.shape[1:], start, r.dtype)
    for i, (p, q) in enumerate(zip(a, b)):
        r[i] = state
        state = p * state + q
    return np.moveaxis(r, 0, axis)
'''
_PORTABLE_RECURRENCE = '''
def recurrence(a, b, axis, start):
    """r with r[0] = start and r[i + 1] = a[i] * r[i] + b[i] along an axis: steps made of 1, 2, 4 … steps."""
    a, b = np.broadcast_arrays(a, b)
    if 0 in a.shape:
        return a * b
    a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    made = 1
    while made < a.shape[-1]:
        b = np.concatenate([b[..., :made], a[..., made:] * b[..., :-made] + b[..., made:]], axis=-1)
        a = np.concatenate([a[..., :made], a[..., made:] * a[..., :-made]], axis=-1)
        made = 2 * made
    first = start * np.ones_like(a[..., :1])
    return np.moveaxis(np.concatenate([first, a[..., :-1] * start + b[..., :-1]], axis=-1), -1, axis)
'''


def _back(a: Expr, g: Expr, axis: int) -> Expr:
    """Give what reaches each element from those behind it: q with q[i - 1] = a[i] q[i] + g[i], 0 at the end."""
    return _reversed(apply(RECURRENCE, _reversed(a, axis), _reversed(g, axis), axes=(axis,), start=0.0), axis)


def _factor_vjp(g: Expr, y: Expr, a: Expr, _b: Expr, *, axes: tuple[int, ...], start: float) -> Expr:  # noqa: ARG001  (the derivative by what is added to)
    return _back(a, g, axes[0]) * y


def _term_vjp(g: Expr, _y: Expr, a: Expr, _b: Expr, *, axes: tuple[int, ...], start: float) -> Expr:  # noqa: ARG001  (the derivative by what is added to)
    return _back(a, g, axes[0])


def _started(params: Params) -> str:
    return f", start={params['start']!r}" if params["start"] else ""


def _recurrence_form(params: Params, shapes: tuple[Shape, ...]) -> Form:
    axis = params["axes"][0] + max(map(len, shapes))
    along = f", axis={axis}" if axis < max(map(len, shapes)) - 1 else ""
    return Form(f"recurrence($0, $1{along}{_started(params)})")


def _recurrence_latex(params: Params, shapes: tuple[Shape, ...]) -> Form:
    axis = params["axes"][0] + max(map(len, shapes))
    return Form(rf"\operatorname{{recurrence}}_{{{axis}}}\left($0, $1{_started(params)}\right)")


def _recurrence_code(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    return Form(f"recurrence($0, $1, {params['axes'][0]}, {params['start']!r})")


RECURRENCE: Op = Op(
    name="recurrence",
    doc="Give r with r[0] = start and r[i+1] = a[i] r[i] + b[i].",
    shape=lambda a, b, **_: dims.broadcast(a, b),
    dtype=only_floats,
    vjps=(_factor_vjp, _term_vjp),
    numpy=_recurrence_code,
    text=_recurrence_form,
    latex=_recurrence_latex,
    helper=_RECURRENCE,
    portable_helper=_PORTABLE_RECURRENCE,
    cost=lambda _xs, y, _params: dims.product(y) * 2,
    cases=(
        Case(((4,), (4,)), {"axes": (-1,), "start": 0.0}),
        Case(((3, 2), (3, 2)), {"axes": (-2,), "start": 1.0}),
        Case(((4,), ()), {"axes": (-1,), "start": 1.0}),
        Case(((3,), (2, 3)), {"axes": (-1,), "start": 0.5}),
        Case(((1, 2), (3, 2)), {"axes": (-2,), "start": 2.0}),
    ),
    options={"axes": (-1,), "start": 0.0},
)


def recurrence(a: Operand, b: Operand, axis: int = -1, start: float = 0.0) -> Expr:
    """Solve a linear recurrence: give r with ``r[0] = start`` and ``r[i + 1] = a[i]*r[i] + b[i]``.

    That is the state before each step of a linear filter, of discounted sums, of a moving average; the state behind
    each step is ``a*r + b``. The derivative by b is a recurrence from the other end: ``q[i - 1] = a[i]*q[i] + g[i]``,
    and that by a is ``q*r``. It is computed step by step; in other libraries than NumPy by steps made of 1, 2, 4 …
    steps, whose products may overflow before the result does.

    Args:
        a: the factors.
        b: what is added; it broadcasts with the factors.
        axis: the axis along which the steps go.
        start: the first state, a number.

    Raises:
        ShapeError: the axis is out of range, or the shapes do not broadcast.

    >>> import symbackprop as sb
    >>> discount, rewards = sb.constant(0.5), sb.constant([8.0, 4.0, 2.0])
    >>> sb.evaluate(sb.recurrence(discount, rewards), {})
    array([0., 8., 8.])
    """
    first = as_expr(a, graph=b.graph if isinstance(b, Expr) else None)
    second = as_expr(b, graph=first.graph)
    kind = real(first.dtype, second.dtype)
    whole = dims.broadcast(first.shape, second.shape)
    place = _one_axis("recurrence", first if first.ndim == len(whole) else second, axis)
    return apply(RECURRENCE, astype(first, kind), astype(second, kind), axes=(place,), start=float(start))


# --- scans ------------------------------------------------------------------------------------------------------


def _scan_text(name: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axis = params["axes"][0] + len(shapes[0])
        return Form(f"{name}($0)" if len(shapes[0]) == 1 else f"{name}($0, axis={axis})")

    return notation


def _scan_latex(name: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        below = f"_{{{params['axes'][0] + len(shapes[0])}}}" if len(shapes[0]) > 1 else ""
        return Form(rf"\operatorname{{{name}}}{below}\left($0\right)")

    return notation


def _scan_method(name: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        axis = params["axes"][0] + len(shapes[0])
        return Form(f"$0.{name}()" if len(shapes[0]) == 1 else f"$0.{name}(axis={axis})", ATOM, (ATOM,))

    return notation


def _scan_function(name: str) -> Notation:
    return lambda params, shapes: Form(f"{name}($0, axis={params['axes'][0] + len(shapes[0])})")


def _scan(name: str, meaning: str, vjp: Vjp, **rest: Any) -> Op:
    return Op(
        name=name,
        doc=meaning,
        shape=lambda x, **_: x,
        vjps=(vjp,),
        text=_scan_text(name),
        latex=_scan_latex(name),
        cost=lambda xs, _y, _params: dims.product(xs[0]),
        cases=(
            Case(((4,),), {"axes": (-1,)}),
            Case(((2, 3),), {"axes": (-1,)}),
            Case(((3, 2),), {"axes": (-2,)}),
            Case(((2, 3, 2),), {"axes": (-2,)}),
        ),
        options={"axes": (-1,)},
        **rest,
    )


def _cumsum_vjp(g: Expr, _y: Expr, _x: Expr, *, axes: tuple[int, ...]) -> Expr:
    (axis,) = axes
    return _reversed(apply(CUMSUM, _reversed(g, axis), axes=axes), axis)


def _cumprod_vjp(g: Expr, _y: Expr, x: Expr, *, axes: tuple[int, ...]) -> Expr:
    """Multiply what is before an element, P, with what the others behind it make of the cotangents, g + q.

    y[k] = P[i] x[i] x[i+1]…x[k], so the derivative is P[i] (g[i] + x[i+1] g[i+1] + x[i+1] x[i+2] g[i+2] + …).
    """
    before = apply(RECURRENCE, x, literal(0, x.dtype, graph=x.graph), axes=axes, start=1.0)
    return before * (g + _back(x, x * g, axes[0]))


def _extreme_vjp(g: Expr, y: Expr, x: Expr, *, axes: tuple[int, ...]) -> Expr:
    """Sum the cotangents from each record up to the next."""
    waits = astype(not_equal(x, y), x.dtype)
    return choose(equal(x, y), g + _back(waits, waits * g, axes[0]), 0)


_PORTABLE_SCAN = '''
def {name}(x, axis):
    """The {adjective} of the elements up to each one: of 1, 2, 4 … elements."""
    x = np.moveaxis(x, axis, -1)
    made = 1
    while made < x.shape[-1]:
        x = np.concatenate([x[..., :made], np.{pair}(x[..., made:], x[..., :-made])], axis=-1)
        made = 2 * made
    return np.moveaxis(x, -1, axis)
'''


def _extreme_scan(name: str, adjective: str, pair: str, sign: str) -> Op:
    return _scan(
        name,
        f"Give the {adjective} of the elements up to each one.",
        _extreme_vjp,
        dtype=kept_dtype,
        numpy=_scan_function(f"np.{pair}.accumulate"),
        portable=_scan_function(name),
        portable_helper=_PORTABLE_SCAN.format(name=name, adjective=adjective, pair=pair),
        kink=f"the latest of elements that tie has all of it where x{sign}",
    )


CUMSUM: Op = _scan(
    "cumsum",
    "Sum the elements up to each one.",
    _cumsum_vjp,
    dtype=accumulated,
    numpy=_scan_method("cumsum"),
    portable=_scan_function("np.cumsum"),
)
CUMPROD: Op = _scan(
    "cumprod",
    "Multiply the elements up to each one.",
    _cumprod_vjp,
    dtype=accumulated,
    numpy=_scan_method("cumprod"),
    portable=_scan_function("np.cumprod"),
)
CUMMAX: Op = _extreme_scan("cummax", "largest", "maximum", "")
CUMMIN: Op = _extreme_scan("cummin", "smallest", "minimum", "")


def _scanned(op: Op, a: Operand, axis: int | None, dtype: Any = None, out: None = None) -> Expr:
    no_out(op.name, out)
    expr = converted(op.name, a, dtype)
    expr, right = axis_or_flat(op.name, expr, axis)
    found = apply(op, expr, axes=(right,))
    return found if dtype is None else astype(found, dtype)


def cumsum(a: Operand, axis: int | None = None, dtype: Any = None, out: None = None) -> Expr:
    """Sum the elements up to each one: ``y[k] = a[0] + … + a[k]``; the derivative is the sum from each one on.

    Args:
        a: the operand; integers are summed as int64.
        axis: the axis to sum along; unless told, the elements are taken in row-major order.
        dtype: what is summed is converted to it.
        out: none.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> x, w = sb.symbols("x[N] w[N]")
    >>> print(sb.grad(sb.sum(w * sb.cumsum(x)), x))
    cumsum(w[::-1])[::-1]
    """
    return _scanned(CUMSUM, a, axis, dtype, out)


def cumprod(a: Operand, axis: int | None = None, dtype: Any = None, out: None = None) -> Expr:
    """Multiply the elements up to each one: ``y[k] = a[0] * … * a[k]``; the derivative is right at zeros too.

    It is of each order computed by linear recurrences of N steps, without a division: `recurrence`. A derivative that
    is a sum of terms of one sign is right to about 3N units in the last place.

    Args:
        a: the operand; integers are multiplied as int64.
        axis: the axis to multiply along; unless told, the elements are taken in row-major order.
        dtype: what is multiplied is converted to it.
        out: none.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> x = sb.constant([2.0, 0.0, 5.0])
    >>> sb.evaluate(sb.grad(sb.sum(sb.cumprod(x)), x), {})
    array([ 1., 12.,  0.])
    """
    return _scanned(CUMPROD, a, axis, dtype, out)


def cummax(a: Operand, axis: int | None = None) -> Expr:
    """Give the largest of the elements up to each one, as ``np.maximum.accumulate``; NaN stays once it is met.

    The derivative goes to the element that is the largest so far; of elements that tie, to the latest.

    Args:
        a: the operand.
        axis: the axis to go along; unless told, the elements are taken in row-major order.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> x = sb.constant([1.0, 3.0, 2.0, 4.0])
    >>> sb.evaluate(sb.cummax(x), {}), sb.evaluate(sb.grad(sb.sum(sb.cummax(x)), x), {})
    (array([1., 3., 3., 4.]), array([1., 2., 0., 1.]))
    """
    return _scanned(CUMMAX, a, axis)


def cummin(a: Operand, axis: int | None = None) -> Expr:
    """Give the smallest of the elements up to each one, as ``np.minimum.accumulate``; NaN stays once it is met.

    The derivative goes to the element that is the smallest so far; of elements that tie, to the latest.

    Args:
        a: the operand.
        axis: the axis to go along; unless told, the elements are taken in row-major order.

    Raises:
        ShapeError: the axis is out of range.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.cummin(sb.constant([3.0, 1.0, 2.0])), {})
    array([3., 1., 1.])
    """
    return _scanned(CUMMIN, a, axis)


def _cumulative(op: Op, x: Operand, axis: int | None, dtype: Any, out: None, first: float | None) -> Expr:
    expr = as_expr(x)
    if axis is None and expr.ndim > 1:
        msg = f"{op.name}: of more than one axis it needs to be told which: {expr.describe()}"
        raise ShapeError(msg)
    found = _scanned(op, expr, axis, dtype, out)
    if first is None:
        return found
    place = -1 if axis is None else _one_axis(op.name, expr, axis)
    shape = tuple(1 if at - found.ndim == place else size for at, size in enumerate(found.shape))
    return concatenate([broadcast_to(literal(first, found.dtype, graph=found.graph), shape), found], axis=place)


def cumulative_sum(
    x: Operand, /, *, axis: int | None = None, dtype: Any = None, out: None = None, include_initial: bool = False
) -> Expr:
    """Sum the elements up to each one, as `cumsum`, which is older.

    Args:
        x: the operand.
        axis: the axis to sum along; it must be told if there is more than one.
        dtype: what is summed is converted to it.
        out: none.
        include_initial: begin with the sum of nothing, 0.

    Raises:
        ShapeError: the axis is missing or out of range.

    >>> import symbackprop as sb
    >>> sb.cumulative_sum(sb.symbol("x", "N"), include_initial=True).shape
    (N + 1,)
    """
    return _cumulative(CUMSUM, x, axis, dtype, out, 0 if include_initial else None)


def cumulative_prod(
    x: Operand, /, *, axis: int | None = None, dtype: Any = None, out: None = None, include_initial: bool = False
) -> Expr:
    """Multiply the elements up to each one, as `cumprod`, which is older.

    Args:
        x: the operand.
        axis: the axis to multiply along; it must be told if there is more than one.
        dtype: what is multiplied is converted to it.
        out: none.
        include_initial: begin with the product of nothing, 1.

    Raises:
        ShapeError: the axis is missing or out of range.

    >>> import symbackprop as sb
    >>> sb.cumulative_prod(sb.symbol("x", "N"), include_initial=True).shape
    (N + 1,)
    """
    return _cumulative(CUMPROD, x, axis, dtype, out, 1 if include_initial else None)


# --- differences --------------------------------------------------------------------------------------------------


def _given(value: Any, like: Expr) -> Expr:
    """Read an operand as NumPy does: a number is an array."""
    return value if isinstance(value, Expr) else as_expr(np.asarray(value), graph=like.graph)


def _beside(value: Any, like: Expr, axis: int) -> Expr:
    """Read what is joined to an operand: a number is repeated along all other axes."""
    found = _given(value, like)
    if found.ndim:
        return found
    return broadcast_to(found, tuple(1 if at - like.ndim == axis else size for at, size in enumerate(like.shape)))


def diff(a: Operand, n: int = 1, axis: int = -1, prepend: Operand | None = None, append: Operand | None = None) -> Expr:
    """Give the differences of neighbours along an axis, ``a[1:] - a[:-1]``, n times; of bools whether they differ.

    Args:
        a: the operand.
        n: how often.
        axis: the axis.
        prepend: what is put before the operand.
        append: what is put behind it.

    Raises:
        ShapeError: the axis is out of range, or what is joined does not fit.
        ArgumentError: n is negative.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.diff(x), "and", sb.diff(x, n=2).shape)
    x[1:] − x[:N - 1] and (N - 2,)
    """
    expr = as_expr(a)
    if n < 0:
        msg = f"diff: the order must not be negative: {n}"
        raise ArgumentError(msg)
    if n == 0:
        return expr
    place = _one_axis("diff", expr, axis)
    parts = [_beside(each, expr, place) for each in (prepend, append) if each is not None]
    if parts:
        before = parts[:1] if prepend is not None else []
        expr = concatenate([*before, expr, *parts[len(before) :]], axis=place)
    for _ in range(n):
        later, earlier = expr[on_axis(place, slice(1, None))], expr[on_axis(place, slice(None, -1))]
        expr = not_equal(later, earlier) if expr.dtype == bool else later - earlier
    return expr


def ediff1d(ary: Operand, to_end: Operand | None = None, to_begin: Operand | None = None) -> Expr:
    """Give the differences of neighbours among all elements in row-major order, with more before and behind them.

    Args:
        ary: the operand.
        to_end: what is put behind the differences.
        to_begin: what is put before them.

    Raises:
        DtypeError: what is put beside cannot be converted to the operand's dtype.

    >>> import symbackprop as sb
    >>> sb.ediff1d(sb.symbol("x", ("N", 2)), to_end=[0.0]).shape
    (2*N,)
    """
    expr = as_expr(ary)
    flat = reshape(expr, (expr.size,))
    parts = [flat[on_axis(-1, slice(1, None))] - flat[on_axis(-1, slice(None, -1))]]
    for name, value, at in (("to_end", to_end, 1), ("to_begin", to_begin, 0)):
        if value is not None:
            joined = _given(value, expr)
            if not np.can_cast(joined.dtype, expr.dtype, "same_kind"):
                msg = f"ediff1d: {name}= is {joined.dtype}, and the differences are {expr.dtype}: {expr.describe()}"
                raise DtypeError(msg)
            parts.insert(at, astype(reshape(joined, (joined.size,)), expr.dtype))
    return parts[0] if len(parts) == 1 else concatenate(parts)


def _slope(f: Expr, spacing: Any, axis: int, edge_order: int) -> Expr:
    """Differentiate along an axis by centred differences, and by one-sided ones at the ends.

    Args:
        f: the values.
        spacing: a scalar, or the distances of the samples.
        axis: the axis, counted from the right.
        edge_order: 1, or 2 for one-sided differences that are right for parabolas.
    """
    steps = reshape(spacing, (spacing.size, *(1,) * (-1 - axis))) if np.ndim(spacing) else None

    def at(*bounds: int | None) -> Expr:
        return f[on_axis(axis, slice(*bounds))]

    def step(*bounds: int | None) -> Any:
        return spacing if steps is None else steps[on_axis(axis, slice(*bounds))]

    def slope(later: tuple[int | None, ...], earlier: tuple[int | None, ...], distance: Any) -> Expr:
        rise = at(*later) - at(*earlier)
        return rise if type(distance) in {int, float} and distance == 1 else rise / distance

    left, right = step(None, -1), step(1, None)
    if steps is None:
        inner = slope((2, None), (None, -2), 2 * spacing)
    else:  # the average of both slopes, the nearer one weighing more
        inner = slope((2, None), (1, -1), right) * (left / (left + right))
        inner = inner + slope((1, -1), (None, -2), left) * (right / (left + right))
    ends = []
    for outer, middle, inward in (((0, 1), (1, 2), (2, 3)), ((-1, None), (-2, -1), (-3, -2))):
        pairs = [(middle, outer), (inward, middle)]
        (later, earlier), (later2, earlier2) = pairs if outer[0] == 0 else [pair[::-1] for pair in pairs]
        first, second = step(*outer), step(*middle)
        end = slope(later, earlier, first)
        if edge_order > 1:
            weight = 0.5 if steps is None else first / (first + second)
            end = end + (end - slope(later2, earlier2, second)) * weight
        ends.append(end)
    return concatenate([ends[0], inner, ends[1]], axis=axis)


def _spacings(f: Expr, given: Sequence[Any], axes: Sequence[int]) -> list[Any]:
    """Give for each axis a scalar, or the distances of its coordinates."""
    shared = not given or (len(given) == 1 and not np.ndim(given[0]))
    if not shared and len(given) != len(axes):
        msg = f"gradient: needs a scalar spacing, or one for each of the {len(axes)} axes: {f.describe()}"
        raise ArgumentError(msg)
    found: list[Any] = []
    spacings = list(given or [1]) * len(axes) if shared else given
    for axis, value in zip(axes, spacings, strict=True):
        if type(value) in {int, float}:
            found.append(value)
            continue
        spacing = _given(value, f)
        if spacing.ndim > 1 or (spacing.ndim and spacing.shape != (f.shape[axis],)):
            msg = f"gradient: the coordinates do not fit axis {axis + f.ndim}: {spacing.describe()}, {f.describe()}"
            raise ShapeError(msg)
        spacing = astype(spacing, f.dtype)
        found.append(diff(spacing) if spacing.ndim else spacing)
    return found


def gradient(f: Operand, *varargs: Operand, axis: int | Sequence[int] | None = None, edge_order: int = 1) -> Any:
    """Give the derivative of sampled values along axes, by centred differences: ``(f[2:] - f[:-2])/(2*h)`` inside.

    Args:
        f: the values.
        varargs: the spacing h of the samples or their coordinates: one for all axes, or one for each; 1 unless told.
        axis: one axis or several; all unless told.
        edge_order: 1 or 2, the order of the differences at both ends.

    Returns:
        An array like f, or a tuple of them, one for each axis.

    Raises:
        ShapeError: an axis is out of range or has too few samples, or coordinates do not fit.
        ArgumentError: another number of spacings than of axes.
        ArgumentError: `edge_order` is neither 1 nor 2.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.gradient(sb.constant([1.0, 2.0, 4.0, 7.0])), {})
    array([1. , 1.5, 2.5, 3. ])
    """
    expr = as_expr(f)
    expr = astype(expr, real(expr.dtype))
    if edge_order not in {1, 2}:
        msg = f"gradient: edge_order is 1 or 2, not {edge_order}"
        raise ArgumentError(msg)
    order = range(-expr.ndim, 0) if axis is None else axis if isinstance(axis, Sequence) else (axis,)
    axes = [_one_axis("gradient", expr, each) for each in order]
    for each in axes:
        size = expr.shape[each]
        if isinstance(size, int) and size <= edge_order:
            msg = f"gradient: needs more than {edge_order} samples on axis {each + expr.ndim}: {expr.describe()}"
            raise ShapeError(msg)
    spacings = _spacings(expr, varargs, axes)
    slopes = [_slope(expr, spacing, each, edge_order) for each, spacing in zip(axes, spacings, strict=True)]
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def trapezoid(y: Operand, x: Operand | None = None, dx: Operand = 1.0, axis: int = -1) -> Expr:
    """Integrate sampled values by the trapezoidal rule: ``sum((y[1:] + y[:-1])/2 * dx)``.

    Args:
        y: the values.
        x: where they were taken: along the axis, or of the shape of y; unless told they are `dx` apart.
        dx: the distance of the samples.
        axis: the axis to integrate along.

    Raises:
        ShapeError: the axis is out of range, or `x` does not fit.

    >>> import symbackprop as sb
    >>> sb.evaluate(sb.trapezoid(sb.constant([1.0, 2.0, 4.0]), dx=0.5), {})
    np.float64(2.25)
    """
    expr = as_expr(y)
    place = _one_axis("trapezoid", expr, axis)
    distance: Any = dx
    if x is not None:
        at = _given(x, expr)
        steps = diff(at, axis=-1 if at.ndim == 1 else axis)
        distance = reshape(steps, (steps.size, *(1,) * (-1 - place))) if at.ndim == 1 else steps
    pairs = expr[on_axis(place, slice(1, None))] + expr[on_axis(place, slice(None, -1))]
    if x is None and isinstance(dx, int | float) and dx == 1:
        return sum(pairs / 2.0, place)
    return sum(distance * pairs / 2.0, place)
