"""Derivatives made of the vector-Jacobian product; there is one table of derivative rules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, overload

from symbackprop.autodiff.reverse import check_differentiable, grad, pulled_back, vjp
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.graph import attributed
from symbackprop.ops.contract import eye
from symbackprop.ops.layout import ones_like, reshape, zeros_like
from symbackprop.ops.leaf import as_expr


def jvp(y: Expr, x: Expr, tangent: Operand, *, skip: Collection[str] = ()) -> Expr:
    """Give the Jacobian-vector product: the derivative of y in a direction, ``ẏ = (∂y/∂x) ẋ``.

    The pullback is linear in its cotangent; pulling back through it once more gives the pushforward
    (the "double vjp" of J. Townsend, 2017).

    Args:
        y: an expression of any shape.
        x: the expression to move.
        tangent: ẋ, of x's shape.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of y's shape.

    Raises:
        ShapeError: the tangent does not have x's shape.
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> x, v = sb.symbols("x[N] v[N]")
    >>> print(sb.jvp(sb.sin(x), x, v))
    v ⊙ cos(x)
    """
    direction = as_expr(tangent, graph=y.graph)
    if direction.shape != x.shape:
        msg = f"jvp: the tangent {direction.describe()} does not have the shape of {x.describe()}"
        raise ShapeError(msg)
    cotangent = zeros_like(y)
    pulled = vjp(y, x, cotangent, skip=skip)
    return vjp(pulled, cotangent, direction, unused="zeros", skip=skip)


def hvp(f: Expr, x: Expr, vector: Operand, *, skip: Collection[str] = ()) -> Expr:
    """Give the Hessian-vector product of a scalar, without the Hessian: the gradient of ``∇f · v`` for a fixed v.

    B. Pearlmutter, *Fast exact multiplication by the Hessian* (1994). The vector may depend on x: it is not
    differentiated.

    Args:
        f: a scalar expression.
        x: the expression to differentiate by, twice.
        vector: v, of x's shape.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of x's shape.

    Raises:
        ShapeError: the vector does not have x's shape.
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> x, v = sb.symbols("x[N] v[N]")
    >>> print(sb.hvp(sb.sum(x**2), x, v))
    2v
    """
    direction = as_expr(vector, graph=f.graph)
    if direction.shape != x.shape:
        msg = f"hvp: the vector {direction.describe()} does not have the shape of {x.describe()}"
        raise ShapeError(msg)
    return vjp(grad(f, x, skip=skip), x, direction, unused="zeros", skip=skip)


@overload
def jacobian(y: Expr, x: Expr, *, unused: Literal["error", "zeros"] = "error", skip: Collection[str] = ()) -> Expr: ...
@overload
def jacobian(
    y: Expr, x: Sequence[Expr], *, unused: Literal["error", "zeros"] = "error", skip: Collection[str] = ()
) -> list[Expr]: ...
def jacobian(
    y: Expr, x: Expr | Sequence[Expr], *, unused: Literal["error", "zeros"] = "error", skip: Collection[str] = ()
) -> Expr | list[Expr]:
    """Give the Jacobian: the derivative of each element of y by each element of x, ``J[i…, j…] = ∂y[i…]/∂x[j…]``.

    It is one vector-Jacobian product whose cotangent is the identity: y's axes stand in front of x's.

    Args:
        y: an expression of any shape and a float dtype.
        x: the expression to differentiate by, or several.
        unused: what to do where y does not depend on x: raise, or give zeros.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of shape ``y.shape + x.shape``, for each x if they are several.

    Raises:
        NotDifferentiableError: y or x is no float, or y does not depend on x.
        GraphError: they live in different graphs.

    >>> import symbackprop as sb
    >>> A, x = sb.symbols("A[M,N] x[N]")
    >>> sb.jacobian(A @ x, x).shape
    (M, N)
    >>> sb.evaluate(sb.jacobian(x**2, x), {x: [1.0, 2.0]})
    array([[2., 0.],
           [0., 4.]])
    """
    check_differentiable(y, "jacobian")
    with attributed(y.node.origin(backward=True)):
        identity = reshape(eye(y.size, dtype=y.dtype, graph=y.graph), y.shape * 2) if y.shape else ones_like(y)
    return pulled_back(y, x, identity, unused, "jacobian", skip=skip)


def hessian(f: Expr, x: Expr, *, skip: Collection[str] = ()) -> Expr:
    """Give the Hessian of a scalar, the Jacobian of its gradient: ``H[i…, j…] = ∂²f/∂x[i…]∂x[j…]``.

    Args:
        f: a scalar expression of a float dtype.
        x: the expression to differentiate by, twice.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of shape ``x.shape + x.shape``.

    Raises:
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> sb.evaluate(sb.hessian(sb.sum(x**3), x), {x: [1.0, 2.0]})
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(grad(f, x, skip=skip), x, unused="zeros", skip=skip)
