"""Derivatives made of the vector-Jacobian product; there is one table of derivative rules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, TypeAlias, overload

from symbackprop import dims
from symbackprop.autodiff.reverse import (
    check_differentiable,
    check_target,
    grad,
    listed,
    paired,
    pulled_back,
    unwrapped,
)
from symbackprop.dims import Size
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr, Operand
from symbackprop.graph import attributed
from symbackprop.ops.contract import eye
from symbackprop.ops.elementwise import astype
from symbackprop.ops.layout import ones_like, permute, reshape, zeros_like

Mode: TypeAlias = Literal["reverse", "forward", "auto"]
Unused: TypeAlias = Literal["error", "zeros"]


# --- products with a vector -----------------------------------------------------------------------------------


def directions(
    xs: Expr | Sequence[Expr], vectors: Operand | Sequence[Operand], what: str, name: str
) -> list[tuple[Expr, Expr]]:
    """Pair each expression with the direction that it is moved in.

    Raises:
        ShapeError: a direction's last axes are not those of its expression, or the extra axes differ.
        ArgumentError: their numbers differ.
    """
    for position, x in enumerate(listed(xs)):
        check_target(x, position, what)
    return paired(xs, vectors, what, "input", name)


def pushed_forward(
    ys: Sequence[Expr], moves: Sequence[tuple[Expr, Expr]], unused: str, what: str, skip: Collection[str]
) -> list[Expr]:
    """Push tangents forward: the pull-back is linear in its cotangents, and pulling back through it turns it round."""
    cotangents = [zeros_like(y) for y in ys]
    xs = [x for x, _ in moves]
    pulled = pulled_back(list(zip(ys, cotangents, strict=True)), xs, unused, what, skip=skip)
    seeds = [(x_bar, v) for x_bar, (_, v) in zip(pulled, moves, strict=True)]
    return pulled_back(seeds, cotangents, "zeros", what, skip=skip)


@overload
def jvp(
    y: Expr,
    x: Expr | Sequence[Expr],
    tangent: Operand | Sequence[Operand],
    *,
    unused: Unused = "error",
    skip: Collection[str] = (),
) -> Expr: ...
@overload
def jvp(
    y: Sequence[Expr],
    x: Expr | Sequence[Expr],
    tangent: Operand | Sequence[Operand],
    *,
    unused: Unused = "error",
    skip: Collection[str] = (),
) -> list[Expr]: ...
def jvp(
    y: Expr | Sequence[Expr],
    x: Expr | Sequence[Expr],
    tangent: Operand | Sequence[Operand],
    *,
    unused: Unused = "error",
    skip: Collection[str] = (),
) -> Expr | list[Expr]:
    """Give the Jacobian-vector product: the derivative of y in a direction, ``ẏ = Σ (∂y/∂x) ẋ`` over the inputs.

    The pullback is linear in its cotangent; pulling back through it once more gives the pushforward
    (the "double vjp" of J. Townsend, 2017). What is computed is what dual numbers compute: each operation once, and
    its derivative beside it.

    Args:
        y: an expression of any shape and a float dtype, or several.
        x: the expression to move, or several.
        tangent: ẋ, of x's shape, or with extra leading axes, which the result then has too; one for each input.
        unused: what to do where y does not depend on an input: raise, or give zeros.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of y's shape, for each y if they are several.

    Raises:
        ShapeError: the tangent's last axes are not x's, or the inputs' tangents differ in their extra axes.
        ArgumentError: there are more inputs than tangents, or fewer.
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> x, v, W, V = sb.symbols("x[N] v[N] W[M,N] V[M,N]")
    >>> print(sb.jvp(sb.sin(x), x, v))
    v ⊙ cos(x)
    >>> print(sb.jvp(W @ x, [x], [v]), sb.jvp(W @ x, W, V))
    Wv Vx
    """
    ys = listed(y)
    for each in ys:
        check_differentiable(each, "jvp")
    return unwrapped(pushed_forward(ys, directions(x, tangent, "jvp", "tangent"), unused, "jvp", skip), y)


@overload
def hvp(f: Expr, x: Expr, vector: Operand, *, skip: Collection[str] = ()) -> Expr: ...
@overload
def hvp(f: Expr, x: Sequence[Expr], vector: Sequence[Operand], *, skip: Collection[str] = ()) -> list[Expr]: ...
def hvp(
    f: Expr, x: Expr | Sequence[Expr], vector: Operand | Sequence[Operand], *, skip: Collection[str] = ()
) -> Expr | list[Expr]:
    """Give the Hessian-vector product of a scalar, without the Hessian: the gradient of ``∇f · v`` for a fixed v.

    B. Pearlmutter, *Fast exact multiplication by the Hessian* (1994). The vector may depend on x: it is not
    differentiated.

    Args:
        f: a scalar expression.
        x: the expression to differentiate by, twice, or several: the Hessian is that by all of them.
        vector: v, of x's shape, or with extra leading axes, which the result then has too; one for each x.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of x's shape, for each x if they are several: ``Σⱼ H[i][j] v[j]``.

    Raises:
        ShapeError: the vector's last axes are not x's, or the vectors differ in their extra axes.
        ArgumentError: there are more vectors than expressions, or fewer; one expression is computed from another.
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> x, y, v, u = sb.symbols("x[N] y[N] v[N] u[N]")
    >>> print(sb.hvp(sb.sum(x**2), x, v))
    2v
    >>> print(*sb.hvp(sb.sum(x * y), [x, y], [v, u]))
    u v
    """
    moves = directions(x, vector, "hvp", "vector")
    xs = [each for each, _ in moves]
    gradients = grad(f, xs, skip=skip)
    _check_apart(xs, "hvp")
    seeds = [(gradient, v) for gradient, (_, v) in zip(gradients, moves, strict=True)]
    return unwrapped(pulled_back(seeds, xs, "zeros", "hvp", skip=skip), x)


def _check_apart(xs: Sequence[Expr], what: str) -> None:
    """Check that no expression is computed from another: the order of derivatives by them would matter.

    Raises:
        ArgumentError: one is.
    """
    numbers = {x.number for x in xs}
    for x in xs if len(numbers) > 1 else ():
        for other in numbers.intersection(x.graph.reachable([x.number])) - {x.number}:
            msg = (
                f"{what}: {x.describe()} is computed from {Expr(x.graph, other).describe()}; "
                "differentiate by expressions that do not depend on one another"
            )
            raise ArgumentError(msg)


# --- Jacobians and Hessians -----------------------------------------------------------------------------------


def check_mode(mode: str, what: str) -> None:
    """Check that a mode of differentiation has a name that is known.

    Raises:
        ValueError: it has not.
    """
    if mode not in {"reverse", "forward", "auto"}:
        msg = f'{what}: mode is "reverse", "forward" or "auto", not {mode!r}'
        raise ValueError(msg)


def identity_of(x: Expr) -> Expr:
    """Give the derivative of an expression by itself: the identity, with x's axes twice."""
    with attributed(x.node.origin.pulled_back()):
        return reshape(eye(x.size, dtype=x.dtype, graph=x.graph), x.shape * 2) if x.shape else ones_like(x)


def last_axes_first(found: Expr, last: int) -> Expr:
    """Bring the last axes to the front."""
    with attributed(found.node.origin.pulled_back()):
        return permute(found, (*range(-last, 0), *range(-found.ndim, -last)))


@overload
def jacobian(
    y: Expr, x: Expr, *, mode: Mode = "reverse", unused: Unused = "error", skip: Collection[str] = ()
) -> Expr: ...
@overload
def jacobian(
    y: Expr, x: Sequence[Expr], *, mode: Mode = "reverse", unused: Unused = "error", skip: Collection[str] = ()
) -> list[Expr]: ...
def jacobian(
    y: Expr,
    x: Expr | Sequence[Expr],
    *,
    mode: Mode = "reverse",
    unused: Unused = "error",
    skip: Collection[str] = (),
) -> Expr | list[Expr]:
    """Give the Jacobian: the derivative of each element of y by each element of x, ``J[i…, j…] = ∂y[i…]/∂x[j…]``.

    In reverse mode it is one vector-Jacobian product whose cotangent is the identity, with y's axes in front; in
    forward mode one Jacobian-vector product whose tangent is the identity, with x's axes in front, which are then
    moved behind y's. Both give the same values; the cost grows with the number of outputs, or of inputs. Higher orders
    are Jacobians of Jacobians.

    Args:
        y: an expression of any shape and a float dtype.
        x: the expression to differentiate by, or several.
        mode: "reverse", which suits few outputs, "forward", which suits few inputs, or "auto": forward where the
            inputs have fewer elements than the outputs whatever the named sizes are, else reverse.
        unused: what to do where y does not depend on x: raise, or give zeros.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of shape ``y.shape + x.shape`` and x's dtype, for each x if they are several.

    Raises:
        NotDifferentiableError: y or x is no float, or y does not depend on x.
        GraphError: they live in different graphs.
        ValueError: another mode.

    >>> import symbackprop as sb
    >>> A, x = sb.symbols("A[M,N] x[N]")
    >>> sb.jacobian(A @ x, x).shape
    (M, N)
    >>> sb.evaluate(sb.jacobian(x**2, x), {x: [1.0, 2.0]})
    array([[2., 0.],
           [0., 4.]])
    >>> t = sb.symbol("t")
    >>> print(sb.jacobian(sb.sin(t * x), t, mode="forward"))
    x ⊙ cos(tx)
    """
    check_differentiable(y, "jacobian")
    check_mode(mode, "jacobian")
    xs = [check_target(each, position, "jacobian") for position, each in enumerate(listed(x))]
    inputs: Size = 0
    for each in xs:
        inputs = each.size + inputs
    if mode == "reverse" or (mode == "auto" and not dims.is_less(inputs, y.size)):
        return unwrapped(pulled_back([(y, identity_of(y))], xs, unused, "jacobian", skip=skip), x)
    found = []
    for each in xs:
        (pushed,) = pushed_forward([y], [(each, identity_of(each))], unused, "jacobian", skip)
        found.append(astype(last_axes_first(pushed, y.ndim), each.dtype))
    return unwrapped(found, x)


@overload
def hessian(f: Expr, x: Expr, *, mode: Mode = "reverse", skip: Collection[str] = ()) -> Expr: ...
@overload
def hessian(f: Expr, x: Sequence[Expr], *, mode: Mode = "reverse", skip: Collection[str] = ()) -> list[list[Expr]]: ...
def hessian(
    f: Expr, x: Expr | Sequence[Expr], *, mode: Mode = "reverse", skip: Collection[str] = ()
) -> Expr | list[list[Expr]]:
    """Give the Hessian of a scalar, the Jacobian of its gradient: ``H[i…, j…] = ∂²f/∂x[i…]∂x[j…]``.

    Of several expressions it is a matrix of blocks, ``H[i][j] = ∂²f/∂xᵢ∂xⱼ``, each the Jacobian of one gradient; the
    block below the diagonal is the transpose of the one above. Higher orders are Jacobians of it, and a mixed block
    alone is ``sb.jacobian(sb.grad(f, x), y)``.

    Args:
        f: a scalar expression of a float dtype.
        x: the expression to differentiate by, twice, or several.
        mode: how the gradient is differentiated, as for `jacobian`; "auto" pulls back the gradient by the smaller of
            two expressions to the larger.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of shape ``x.shape + x.shape``; of several expressions a list of lists of such, of shapes
        ``x[i].shape + x[j].shape``.

    Raises:
        NotDifferentiableError: as for `grad`.
        ArgumentError: one expression is computed from another.
        ValueError: another mode.

    >>> import symbackprop as sb
    >>> x, y, A = sb.symbols("x[N] y[M] A[N,M]")
    >>> sb.evaluate(sb.hessian(sb.sum(x**3), x), {x: [1.0, 2.0]})
    array([[ 6.,  0.],
           [ 0., 12.]])
    >>> H = sb.hessian(x @ A @ y + sb.sum(sb.exp(x)), [x, y])
    >>> [[block.shape for block in row] for row in H]
    [[(N, N), (N, M)], [(M, N), (M, M)]]
    >>> print(H[0][0], H[0][1], H[1][0])
    diag(exp(x)) A Aᵀ
    """
    check_mode(mode, "hessian")
    if isinstance(x, Expr):
        return jacobian(grad(f, x, skip=skip), x, mode=mode, unused="zeros", skip=skip)
    xs = [*x]
    gradients = grad(f, xs, skip=skip)
    _check_apart(xs, "hessian")
    blocks: dict[tuple[int, int], Expr] = {}
    for i, gradient in enumerate(gradients):
        mine = [j for j in range(len(xs)) if j == i or _takes(i, j, xs, mode)]
        found = jacobian(
            gradient,
            [xs[j] for j in mine],
            mode="forward" if mode == "forward" else "reverse",
            unused="zeros",
            skip=skip,
        )
        for j, block in zip(mine, found, strict=True):
            blocks[i, j] = block
            if j != i:
                blocks[j, i] = astype(last_axes_first(block, xs[j].ndim), xs[i].dtype)
    return [[blocks[i, j] for j in range(len(xs))] for i in range(len(xs))]


def _takes(i: int, j: int, xs: Sequence[Expr], mode: str) -> bool:
    """Tell whether the mixed block of two expressions is the derivative of the first one's gradient."""
    if mode == "auto" and xs[i].size != xs[j].size:
        if dims.is_less(xs[j].size, xs[i].size):
            return False
        if dims.is_less(xs[i].size, xs[j].size):
            return True
    return i < j
