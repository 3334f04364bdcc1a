"""Derivatives of fields: along a direction, to any order, and the sums and diagonals of square Jacobians."""

from __future__ import annotations

import string
from collections.abc import Collection, Sequence

from symbackprop.autodiff.derived import Mode, directions, hessian, jacobian, pushed_forward
from symbackprop.autodiff.reverse import check_differentiable
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.graph import attributed
from symbackprop.op import new_expr, substituted
from symbackprop.ops.contract import diag, einsum, trace
from symbackprop.ops.leaf import SYMBOL


def directional(
    f: Expr,
    x: Expr | Sequence[Expr],
    v: Operand | Sequence[Operand],
    *,
    order: int = 1,
    skip: Collection[str] = (),
) -> Expr:
    """Give the directional derivative of any order, ``dᵏ/dtᵏ f(x + t v)`` at t = 0, for a fixed v.

    It is a Jacobian-vector product, repeated; divided by k! it is the k-th coefficient of the Taylor series along v.
    Each order has about two and a half times the operations of the one before, until they are simplified.

    Args:
        f: an expression of any shape and a float dtype.
        x: the expression to move, or several.
        v: the direction, of x's shape, one for each x; it may depend on x: it is not differentiated.
        order: k, from 0 on.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of f's shape; zeros where the derivatives have come to an end.

    Raises:
        ShapeError: the direction does not have x's shape.
        ArgumentError: the order is no integer or is negative; there are more directions than expressions, or fewer.
        NotDifferentiableError: f or x is no float, or f does not depend on x.

    >>> import symbackprop as sb
    >>> x, v, A = sb.symbols("x[N] v[N] A[N,N]")
    >>> print(sb.directional(x @ A @ x, x, v, order=2))
    2vᵀAv
    >>> t = sb.symbol("t")
    >>> print(sb.directional(sb.sin(t), t, 1.0, order=4))
    sin(t)
    """
    if isinstance(order, bool) or not hasattr(order, "__index__") or order < 0:
        msg = f"directional: the order is an integer from 0 on, not {order!r}"
        raise ArgumentError(msg)
    check_differentiable(f, "directional")
    moves = directions(x, v, "directional", "direction")
    for each, direction in moves:
        if direction.shape != each.shape:
            msg = f"directional: the direction {direction.describe()} does not have the shape of {each.describe()}"
            raise ShapeError(msg)
    xs, vs = zip(*moves, strict=True)
    fixed = _stand_ins(vs, xs)
    held = [(each, fixed.get(v, v)) for each, v in moves]
    found = f
    for k in range(order):
        (found,) = pushed_forward([found], held, "zeros" if k else "error", "directional", skip)
    return substituted([found], {place: each for each, place in fixed.items()})[0]


def _stand_ins(vs: Sequence[Expr], xs: Sequence[Expr]) -> dict[Expr, Expr]:
    """Give symbols for those directions that depend on what is differentiated by, so that they are held fixed."""
    graph, ends = vs[0].graph, {x.number for x in xs}
    return {
        v: new_expr(
            graph, SYMBOL, (), {"name": f"direction {v.number}", "shape": v.shape, "dtype": v.dtype}, v.shape, v.dtype
        )
        for v in vs
        if not ends.isdisjoint(graph.reachable([v.number]))
    }


def divergence(y: Expr, x: Expr, *, mode: Mode = "reverse", skip: Collection[str] = ()) -> Expr:
    """Give the divergence of a field, the trace of its Jacobian: ``Σ ∂y[i…]/∂x[i…]``.

    Args:
        y: an expression of x's shape and a float dtype.
        x: the expression to differentiate by.
        mode: as for `jacobian`.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        A scalar expression.

    Raises:
        ShapeError: y does not have x's shape.
        NotDifferentiableError: as for `jacobian`.

    >>> import symbackprop as sb
    >>> x, A = sb.symbols("x[N] A[N,N]")
    >>> print(sb.divergence(A @ x, x))
    tr(A)
    """
    if y.shape != x.shape:
        msg = f"divergence: the field {y.describe()} does not have the shape of {x.describe()}"
        raise ShapeError(msg)
    return _trace(jacobian(y, x, mode=mode, skip=skip), x.ndim)


def laplacian(f: Expr, x: Expr, *, mode: Mode = "reverse", skip: Collection[str] = ()) -> Expr:
    """Give the Laplacian of a scalar, the trace of its Hessian: ``Δf = Σ ∂²f/∂x[i…]²``.

    Args:
        f: a scalar expression of a float dtype.
        x: the expression to differentiate by.
        mode: as for `hessian`.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        A scalar expression.

    Raises:
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> x, A = sb.symbols("x[N] A[N,N]")
    >>> print(sb.laplacian(x @ A @ x, x))
    tr(Aᵀ + A)
    """
    return _trace(hessian(f, x, mode=mode, skip=skip), x.ndim)


def hessian_diag(f: Expr, x: Expr, *, mode: Mode = "reverse", skip: Collection[str] = ()) -> Expr:
    """Give the diagonal of the Hessian of a scalar, the second derivative by each element: ``∂²f/∂x[i…]²``.

    Args:
        f: a scalar expression of a float dtype.
        x: the expression to differentiate by.
        mode: as for `hessian`.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of x's shape.

    Raises:
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> x, A = sb.symbols("x[N] A[N,N]")
    >>> print(sb.hessian_diag(x @ A @ x, x))
    diag(Aᵀ + A)
    """
    H = hessian(f, x, mode=mode, skip=skip)
    with attributed(H.node.origin.pulled_back()):
        if x.ndim < 2:
            return diag(H) if x.ndim else H
        labels = string.ascii_letters[: x.ndim]
        return einsum(f"{labels}{labels}->{labels}", H)


def _trace(J: Expr, rank: int) -> Expr:
    """Sum the elements of a Jacobian whose two indices, of so many axes each, are equal."""
    with attributed(J.node.origin.pulled_back()):
        if rank < 2:
            return trace(J) if rank else J
        labels = string.ascii_letters[:rank]
        return einsum(f"{labels}{labels}->", J)
