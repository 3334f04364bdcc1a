"""Curvature through inner expressions, ``JᵀHJ``, never indefinite: Gauss-Newton matrices and Fisher information."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import TypeAlias, overload

from symbackprop import dims
from symbackprop.autodiff.derived import (
    Mode,
    check_mode,
    directions,
    identity_of,
    jacobian,
    last_axes_first,
    pushed_forward,
)
from symbackprop.autodiff.reverse import check_target, grad, listed, pulled_back, unwrapped
from symbackprop.dims import Size
from symbackprop.errors import NotDifferentiableError, ShapeError
from symbackprop.expr import Expr, Operand, common_graph
from symbackprop.graph import attributed
from symbackprop.op import substituted
from symbackprop.ops.contract import tensordot
from symbackprop.ops.elementwise import add, astype, negative
from symbackprop.ops.layout import broadcast_to, zeros_like
from symbackprop.ops.leaf import as_expr

Blocks: TypeAlias = "Expr | list[list[Expr]]"
Change: TypeAlias = Callable[[list[Expr]], list[Expr]]


@overload
def gauss_newton(
    f: Expr, r: Expr | Sequence[Expr], x: Expr, *, mode: Mode = "auto", skip: Collection[str] = ()
) -> Expr: ...
@overload
def gauss_newton(
    f: Expr, r: Expr | Sequence[Expr], x: Sequence[Expr], *, mode: Mode = "auto", skip: Collection[str] = ()
) -> list[list[Expr]]: ...
def gauss_newton(
    f: Expr,
    r: Expr | Sequence[Expr],
    x: Expr | Sequence[Expr],
    *,
    mode: Mode = "auto",
    skip: Collection[str] = (),
) -> Blocks:
    """Give the Gauss-Newton matrix of ``f = ℓ(r(x))``: ``G = Jᵀ ∇²ℓ(r) J`` with ``J = ∂r/∂x``.

    It is the Hessian without what the curvature of r adds, and never indefinite where ℓ is convex (Schraudolph, *Fast
    curvature matrix-vector products*, 2002). For least squares, ``f = ½ Σ r²``, it is ``JᵀJ``. What f has of x beside
    r, such as a penalty, is not in it.

    Args:
        f: a scalar expression of a float dtype.
        r: an expression inside f, through which x acts: residuals or outputs of a network; or several.
        x: the expression to differentiate by, or several.
        mode: "forward" pushes the identity from x to r and pulls it back; "reverse" pulls the identity back from r and
            multiplies the matrices; "auto" goes forward unless r is known to have fewer elements than x.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of shape ``x.shape + x.shape``; of several x blocks as `hessian` gives them.

    Raises:
        NotDifferentiableError: as for `grad`; f does not depend on r, or r does not depend on x.
        ValueError: another mode.

    >>> import symbackprop as sb
    >>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    >>> z = X @ w
    >>> print(sb.gauss_newton(sb.sum(sb.softplus(z) - y * z), z, w))
    Xᵀ diag(σ(Xw) ⊙ (1 − σ(Xw)))·X
    """
    return _sandwich(grad(f, listed(r), skip=skip), listed(r), x, mode=mode, what="gauss_newton", skip=skip)


@overload
def gnvp(f: Expr, r: Expr | Sequence[Expr], x: Expr, vector: Operand, *, skip: Collection[str] = ()) -> Expr: ...
@overload
def gnvp(
    f: Expr, r: Expr | Sequence[Expr], x: Sequence[Expr], vector: Sequence[Operand], *, skip: Collection[str] = ()
) -> list[Expr]: ...
def gnvp(
    f: Expr,
    r: Expr | Sequence[Expr],
    x: Expr | Sequence[Expr],
    vector: Operand | Sequence[Operand],
    *,
    skip: Collection[str] = (),
) -> Expr | list[Expr]:
    """Give the product of the Gauss-Newton matrix and a vector, ``Jᵀ (∇²ℓ(r) (J v))``, without a matrix.

    Args:
        f: a scalar expression ``ℓ(r(x))``.
        r: an expression inside f, through which x acts, or several.
        x: the expression to differentiate by, or several.
        vector: v, of x's shape, or with extra leading axes, which the result then has too; one for each x.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of x's shape, for each x if they are several.

    Raises:
        ShapeError: the vector's last axes are not x's.
        ArgumentError: there are more vectors than expressions, or fewer.
        NotDifferentiableError: as for `gauss_newton`.

    >>> import symbackprop as sb
    >>> X, w, y, v = sb.symbols("X[N,D] w[D] y[N] v[D]")
    >>> r = X @ w - y
    >>> print(sb.gnvp(0.5 * sb.sum(r**2), r, w, v))
    XᵀXv
    """
    rs, moves = listed(r), directions(x, vector, "gnvp", "vector")
    tangents = pushed_forward(rs, moves, "error", "gnvp", skip)
    bent = pulled_back(list(zip(grad(f, rs, skip=skip), tangents, strict=True)), rs, "zeros", "gnvp", skip=skip)
    xs = [each for each, _ in moves]
    return unwrapped(pulled_back(list(zip(rs, bent, strict=True)), xs, "zeros", "gnvp", skip=skip), x)


def _sandwich(
    gradients: Sequence[Expr],
    rs: Sequence[Expr],
    x: Expr | Sequence[Expr],
    *,
    mode: str,
    what: str,
    skip: Collection[str],
    changed: Change = list,
) -> Blocks:
    """Give Jᵀ H J: J the derivative of r by x, H that of the gradients by r, whose products may be changed."""
    check_mode(mode, what)
    xs = [check_target(each, position, what) for position, each in enumerate(listed(x))]
    common_graph([*rs, *xs], what)
    forward = mode == "forward" or (mode == "auto" and not dims.is_less(_elements(rs), _elements(xs)))
    jacobians = [] if forward else [jacobian(r, xs, unused="zeros", skip=skip) for r in rs]
    if jacobians:  # that some r depends on each x is what has to hold
        pulled_back([(r, zeros_like(r)) for r in rs], xs, "error", what, skip=skip)
    below = [{*r.graph.reachable([r.number])} for r in rs]
    rows: list[list[Expr]] = []
    for i, each in enumerate(xs):
        moved = [k for k, numbers in enumerate(below) if each.number in numbers] or [*range(len(rs))]
        if forward:
            tangents = pushed_forward([rs[k] for k in moved], [(each, identity_of(each))], "error", what, skip)
        else:
            tangents = [last_axes_first(jacobians[k][i], each.ndim) for k in moved]
        slopes = [gradients[k] for k in moved]
        reached = {*rs[0].graph.reachable([slope.number for slope in slopes])}
        felt = [k for k, r in enumerate(rs) if r.number in reached] or [0]
        bent = pulled_back(list(zip(slopes, tangents, strict=True)), [rs[k] for k in felt], "zeros", what, skip=skip)
        cotangents = dict(zip(felt, changed(bent), strict=True))
        if forward:
            seeds = [(rs[k], cotangent) for k, cotangent in cotangents.items()]
            found = pulled_back(seeds, xs[i:], "zeros", what, skip=skip)
        else:
            found = [
                _summed([(cotangent, jacobians[k][j], rs[k].ndim) for k, cotangent in cotangents.items()])
                for j in range(i, len(xs))
            ]
        above = [last_axes_first(rows[j][i], each.ndim) for j in range(i)]
        rows.append([astype(block, x_j.dtype) for block, x_j in zip(above + found, xs, strict=True)])
    return rows[0][0] if isinstance(x, Expr) else rows


def _elements(exprs: Sequence[Expr]) -> Size:
    total: Size = 0
    for expr in exprs:
        total = expr.size + total
    return total


def _summed(pairs: Sequence[tuple[Expr, Expr, int]]) -> Expr:
    """Multiply over so many axes, and add."""
    with attributed(pairs[0][0].node.origin.pulled_back()):
        return reduce(add, (tensordot(left, right, axes=count) for left, right, count in pairs))


# --- Fisher information ---------------------------------------------------------------------------------------


@overload
def fisher(
    log_likelihood: Expr,
    z: Expr | Sequence[Expr],
    x: Expr,
    *,
    mean: Mapping[Expr, Operand] | None = None,
    mode: Mode = "auto",
    skip: Collection[str] = (),
) -> Expr: ...
@overload
def fisher(
    log_likelihood: Expr,
    z: Expr | Sequence[Expr],
    x: Sequence[Expr],
    *,
    mean: Mapping[Expr, Operand] | None = None,
    mode: Mode = "auto",
    skip: Collection[str] = (),
) -> list[list[Expr]]: ...
def fisher(
    log_likelihood: Expr,
    z: Expr | Sequence[Expr],
    x: Expr | Sequence[Expr],
    *,
    mean: Mapping[Expr, Operand] | None = None,
    mode: Mode = "auto",
    skip: Collection[str] = (),
) -> Blocks:
    """Give the Fisher information of a model: ``E[∇log p ∇log pᵀ] = Jᵀ F J``, ``F = −E[∇² log p(y|z)]``, ``J = ∂z/∂x``.

    The expectation is that over the model's own y at the given x, not over data. The parameters z of the distribution
    are an expression inside the log-likelihood, and x acts through them. Where they are the natural parameters of an
    exponential family (logits, log-rates, a mean under known variance), ``∇² log p`` is the same for every y, and
    nothing more is needed. Else, where the derivative of log p by z is affine in y, the expectation is the value at
    y's mean. Of a sum over independent observations it is the sum of theirs. The natural gradient is ``F⁻¹ ∇``
    (Amari, 1998).

    Args:
        log_likelihood: log p(y|z), a scalar expression; terms without z may be missing.
        z: the parameters of the distribution, an expression inside it, or several.
        x: what to differentiate by, or several: symbols that z is computed from, or z itself.
        mean: for the symbols of observations their expectations, such as ``{y: sb.exp(z)}`` for counts.
        mode: as for `gauss_newton`.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of shape ``x.shape + x.shape``; of several x blocks as `hessian` gives them.

    Raises:
        NotDifferentiableError: as for `gauss_newton`; or the derivative of log p by z is not affine in y, so that y's
            mean does not tell the expectation.
        ShapeError: a mean does not have the shape of its observations.

    >>> import symbackprop as sb
    >>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    >>> rate = sb.exp(X @ w)
    >>> print(sb.fisher(sb.sum(y * sb.log(rate) - rate), rate, w, mean={y: rate}))
    Xᵀ diag(exp(Xw))·X
    """
    zs = listed(z)
    scores = grad(log_likelihood, zs, skip=skip)
    means = _means(mean or {}, scores, skip)

    def expected(bent: list[Expr]) -> list[Expr]:
        with attributed(log_likelihood.node.origin.pulled_back()):
            return [negative(each) for each in substituted(bent, means)]

    return _sandwich(scores, zs, x, mode=mode, what="fisher", skip=skip, changed=expected)


def _means(given: Mapping[Expr, Operand], scores: Sequence[Expr], skip: Collection[str]) -> dict[Expr, Expr]:
    """Read the means of observations, and check that they tell the expectation."""
    means = {}
    for y, value in given.items():
        check_target(y, 0, "fisher")
        expr = as_expr(value, graph=y.graph)
        if expr.shape not in {y.shape, ()}:
            msg = f"fisher: the mean {expr.describe()} does not have the shape of {y.describe()}"
            raise ShapeError(msg)
        means[y] = broadcast_to(astype(expr, y.dtype), y.shape)
        (slope,) = pulled_back([(score, zeros_like(score)) for score in scores], [y], "zeros", "fisher", skip=skip)
        if y.number in y.graph.reachable([slope.number]):
            msg = (
                f"fisher: the derivative of log p is not affine in {y.describe()}, so the mean does not tell the "
                "expectation; give log p by its natural parameters"
            )
            raise NotDifferentiableError(msg)
    return means


def empirical_fisher(log_likelihoods: Expr, x: Expr, *, mode: Mode = "auto", skip: Collection[str] = ()) -> Expr:
    """Give the empirical Fisher matrix, the sum over observations of ``∇log pₙ ∇log pₙᵀ`` at the data's own y.

    It is an outer product of gradients, not the Fisher information: `fisher` takes the expectation over the model's y,
    and the two agree only near a true model (Kunstner, Balles and Hennig, 2019).

    Args:
        log_likelihoods: log p of each observation, an expression of any shape and a float dtype.
        x: the expression to differentiate by.
        mode: as for `jacobian`.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        An expression of shape ``x.shape + x.shape``.

    Raises:
        NotDifferentiableError: as for `jacobian`.

    >>> import symbackprop as sb
    >>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    >>> z = X @ w
    >>> sb.empirical_fisher(y * z - sb.softplus(z), w).shape
    (D, D)
    """
    J = jacobian(log_likelihoods, x, mode=mode, skip=skip)
    with attributed(J.node.origin.pulled_back()):
        return tensordot(last_axes_first(J, x.ndim), J, axes=log_likelihoods.ndim)
