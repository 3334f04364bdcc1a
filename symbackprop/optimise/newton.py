"""Newton's method with a line search, written as a method of `scipy.optimize.minimize`, which has none like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from symbackprop.op import Array

Function: TypeAlias = Callable[["Array"], float]
Derivative: TypeAlias = Callable[["Array"], Any]

_SUFFICIENT = 1e-4  # the share of the decrease foretold by the slope that a step must bring
_SHORTEST = 2.0**-50
_ROUNDING = 4 * float(np.finfo(float).eps)

_FOUND, _LIMIT, _NO_LOWER, _STOPPED = 0, 1, 2, 99  # as SciPy has them, as far as it has
_MESSAGES = {
    _FOUND: "The largest slope is at most gtol.",
    _LIMIT: "Maximum number of iterations has been exceeded.",
    _NO_LOWER: "No lower point was found along the step.",
    _STOPPED: "`callback` raised `StopIteration`.",
}


def newton_step(hessian: Any, gradient: Array) -> Array:
    """Give the step ``−B⁻¹ ∇f``, where B is the Hessian, made positive definite.

    A positive definite Hessian is taken as it is. Of another, eigenvalues are replaced by their absolute values
    (Paternain, Mokhtari and Ribeiro, *A Newton-based method for nonconvex optimization with fast evasion of saddle
    points*, 2019), so that every step leads downhill and away from saddle points.

    Args:
        hessian: a symmetric matrix; or an object that knows a better way to solve with itself: its ``solve`` gives
            ``H⁻¹ b`` and raises `numpy.linalg.LinAlgError` where H is not positive definite, and `numpy.asarray`
            fills it in.
        gradient: ∇f.

    >>> newton_step(np.array([[2.0, 0.0], [0.0, -4.0]]), np.array([2.0, 4.0]))
    array([-1., -1.])
    """
    from scipy.linalg import cho_factor, cho_solve, eigh  # noqa: PLC0415  (an extra)

    try:
        if hasattr(hessian, "solve"):
            return -hessian.solve(gradient)  # type: ignore[no-any-return]
        return -cho_solve(cho_factor(hessian), gradient)
    except np.linalg.LinAlgError:
        values, vectors = eigh(np.asarray(hessian))
        values = np.abs(values)
        least = max(values.max(), 1.0) * 1e-8
        return -vectors @ ((vectors.T @ gradient) / np.maximum(values, least))  # type: ignore[no-any-return]


def newton(
    fun: Function,
    x0: Array,
    *,
    jac: Derivative,
    hess: Derivative,
    callback: Callable[[Any], object] | None = None,
    gtol: float = 1e-6,
    maxiter: int | None = None,
    **_: object,
) -> Any:
    """Minimise by Newton's method with backtracking: ``x ← x − α H⁻¹ ∇f``, α = 1, ½, ¼ … until f falls enough.

    Nocedal and Wright, *Numerical Optimization* (2006), Algorithm 3.2 (line search with modification). To be given to
    `scipy.optimize.minimize` as ``method``.

    Args:
        fun: the function.
        x0: the vector to begin with.
        jac: its gradient.
        hess: its Hessian.
        callback: called with what is known after each iteration; it stops the search by raising StopIteration.
        gtol: the largest slope at which to stop.
        maxiter: the most iterations, 200 for each variable unless told.

    Returns:
        SciPy's `OptimizeResult`, whose status is 0 if the gradient is small, 1 after the last iteration, 2 if no lower
        point was found, 99 if the callback stopped the search.

    >>> import scipy
    >>> rosen, slope, curvature = (getattr(scipy.optimize, name) for name in ["rosen", "rosen_der", "rosen_hess"])
    >>> scipy.optimize.minimize(rosen, [2.0, 2.0], jac=slope, hess=curvature, method=newton).x.round(6)
    array([1., 1.])
    """
    from scipy.optimize import OptimizeResult  # noqa: PLC0415  (an extra)

    result: Any = OptimizeResult
    at = _Point.of(fun, jac, np.array(x0, float))
    most = 200 * at.x.size if maxiter is None else maxiter
    iterations, status = 0, _FOUND
    while np.abs(at.slope).max(initial=0.0) > gtol:
        if iterations >= most:
            status = _LIMIT
            break
        lower = _searched(fun, jac, at, newton_step(hess(at.x), at.slope))
        if lower is None:
            status = _NO_LOWER
            break
        at = lower
        iterations += 1
        try:
            if callback is not None:
                callback(result(x=at.x, fun=at.value))
        except StopIteration:
            status = _STOPPED
            break
    return result(
        x=at.x,
        fun=at.value,
        jac=at.slope,
        nit=iterations,
        status=status,
        success=status == _FOUND,
        message=_MESSAGES[status],
    )


class _Point(NamedTuple):
    x: Array
    value: float
    slope: Array

    @classmethod
    def of(cls, fun: Function, jac: Derivative, x: Array) -> _Point:
        return cls(x, fun(x), np.asarray(jac(x)))


def _searched(fun: Function, jac: Derivative, at: _Point, step: Array) -> _Point | None:
    """Give the first point on the way back from x + step where f has fallen enough, or None."""
    foretold = float(at.slope @ step)
    share = 1.0
    while share > _SHORTEST:
        x = at.x + share * step
        value = fun(x)
        if value <= at.value + _SUFFICIENT * share * foretold:
            return _Point.of(fun, jac, x)
        # Near the minimum f does not tell the points apart any more, and the gradient does.
        if value <= at.value + _ROUNDING * abs(at.value):
            there = _Point.of(fun, jac, x)
            if np.abs(there.slope).max() <= 0.5 * np.abs(at.slope).max():
                return there
        share /= 2
    return None
