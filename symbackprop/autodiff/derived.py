"""Derivatives made of the vector-Jacobian product; there is one table of derivative rules."""

from __future__ import annotations

from symbackprop.autodiff.reverse import grad, vjp
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.ops.layout import zeros_like
from symbackprop.ops.leaf import as_expr


def jvp(y: Expr, x: Expr, tangent: Operand) -> Expr:
    """Give the Jacobian-vector product: the derivative of y in a direction, ``ẏ = (∂y/∂x) ẋ``.

    The pullback is linear in its cotangent; pulling back through it once more gives the pushforward
    (the "double vjp" of J. Townsend, 2017).

    Args:
        y: an expression of any shape.
        x: the expression to move.
        tangent: ẋ, of x's shape.

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
    pulled = vjp(y, x, cotangent)
    return vjp(pulled, cotangent, direction, unused="zeros")


def hvp(f: Expr, x: Expr, vector: Operand) -> Expr:
    """Give the Hessian-vector product of a scalar, without the Hessian: the gradient of ``∇f · v`` for a fixed v.

    B. Pearlmutter, *Fast exact multiplication by the Hessian* (1994). The vector may depend on x: it is not
    differentiated.

    Args:
        f: a scalar expression.
        x: the expression to differentiate by, twice.
        vector: v, of x's shape.

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
    return vjp(grad(f, x), x, direction, unused="zeros")
