"""`minimize` and `least_squares`: SciPy's searches, driven by compiled derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from symbackprop.errors import DtypeError, did_you_mean
from symbackprop.expr import Expr
from symbackprop.optimise.methods import GAUSS_NEWTON, METHODS, Method, method_named, spelt
from symbackprop.optimise.optimum import Optimum
from symbackprop.optimise.parameters import Params, Sizes, Structure
from symbackprop.optimise.problem import ScipyProblem, caller_for, scipy_optimize
from symbackprop.optimise.residuals import LOSSES, Residuals
from symbackprop.optimise.search import Callback, Guarded, Search, finite
from symbackprop.optimise.squares import residuals_of


def minimize(
    f: Expr,
    x: Params,
    data: Mapping[Expr, Any] | None = None,
    *,
    method: str = "l-bfgs",
    start: object = None,
    bounds: object = None,
    sizes: Sizes | None = None,
    hessian: Literal["full", "product", "structured"] | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Optimum:
    """Minimise a scalar expression over some of its symbols, by a method of `scipy.optimize`.

    Value and gradient, and what the method wants of the second derivative, are compiled once. The search ends where
    the largest slope ``‖∇f‖∞`` is at most `tol`, whatever the method.

    ==================================  ====================================================================
    method                              what it computes
    ==================================  ====================================================================
    "l-bfgs"                            gradients, and keeps to bounds: for many parameters
    "bfgs", "cg"                        gradients
    "newton-cg", "trust-ncg",           gradients and Hessian-vector products, or the Hessian with
    "trust-krylov"                      ``hessian="full"``
    "trust-constr"                      the same, and keeps to bounds
    "trust-exact"                       the Hessian: few parameters, fewest iterations
    "newton"                            the Hessian, made positive definite, and a search along the line; that
                                        by one parameter of any size, if it has structure (diagonal, blocks,
                                        a Kronecker or a low-rank part), is never filled in
    "gauss-newton"                      residuals and their Jacobian, of an f that is a sum of squares, as
                                        `least_squares` does; keeps to bounds
    ==================================  ====================================================================

    Args:
        f: a scalar expression.
        x: the symbols to be found, of any shapes: one, a list, a dict by name, or a dict of arrays by symbol to start
            from.
        data: an array for each other symbol of f.
        method: one of the names above.
        start: where to begin, in the structure of x or by symbol; zeros where nothing is said, or ones if the symbol is
            assumed positive, and a number stands for an array of it.
        bounds: pairs ``(low, high)`` in the same structure, of numbers or arrays; None where there is no bound. What is
            assumed positive or nonnegative stays so without.
        sizes: numbers for named sizes that no array tells.
        hessian: ``"full"`` or ``"product"``, for methods that can use either; ``"structured"`` or ``"full"`` for
            "newton".
        tol: the largest slope at which to stop; 1e-6 unless told, 1e-3 with parameters of float32.
        max_iter: the most iterations; SciPy's own limit unless told.
        callback: called as ``callback(iteration, x, f)`` after each iteration; it ends the search by returning True or
            raising StopIteration.
        progress: show a progress bar, by tqdm (the extra ``train``).
        options: SciPy's own options of the method, such as ``{"maxcor": 30}``.

    Returns:
        The minimum: `Optimum.x` has the structure of x, `Optimum.reason` tells why the search ended.

    Raises:
        ArgumentError: a symbol has no array, an array no use, or a size no number; or "gauss-newton" finds no sum of
            squares.
        ShapeError: f is no scalar, or an array does not have its symbol's shape.
        DtypeError: an array cannot become its symbol's dtype.
        NotDifferentiableError: as for `grad`.
        ValueError: there is no such method, it cannot do what is asked, or the start is outside the bounds.
        DivergedError: f is NaN or infinite at the start.
        ImportError: SciPy is not installed (the extra ``optimise``).

    >>> import symbackprop as sb
    >>> X, y, w, b = sb.symbols("X[N,D] y[N] w[D] b")
    >>> loss = sb.sum(sb.softplus(X @ w + b) - y * (X @ w + b)) + 0.5 * w @ w
    >>> data = {X: [[-2.0], [0.0], [1.0], [3.0]], y: [0.0, 1.0, 0.0, 1.0]}
    >>> found = sb.minimize(loss, [w, b], data, method="newton-cg")
    >>> found.success, round(found.value, 6), found.x[0].round(6)
    (True, 2.280334, array([0.515728]))
    """
    caller = caller_for("minimize")
    how: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "callback": callback, "progress": progress}
    where: dict[str, Any] = {"start": start, "bounds": bounds, "sizes": sizes}
    if spelt(method) == GAUSS_NEWTON:
        caller.check_scalar("f", f)
        if hessian is not None:
            raise ValueError(f"minimize: {method} makes its own Hessian of residuals; leave out hessian={hessian!r}")
        residuals, constants = residuals_of(f, Structure.of(x, caller).symbols, "minimize")
        squares = Residuals(residuals, x, data, caller, constants=constants, **where)
        return _squares(squares, GAUSS_NEWTON, "trf", options, how)
    chosen = method_named(method)
    curvature = _curvature(method, chosen, hessian)
    if bounds is not None and not chosen.bounds:
        able = [name for name, each in METHODS.items() if each.bounds]
        raise ValueError(f"minimize: {method} does not keep to bounds; {', '.join(able)} and {GAUSS_NEWTON} do")
    problem = ScipyProblem(f, x, data, caller, **where)
    search = Search(problem, method=method, **how)
    if not search.is_done:
        problem.prepare(curvature)
    guarded = Guarded(problem, search)
    derivatives: dict[str, Any] = {
        "full": {"hess": guarded.hess},
        "structured": {"hess": guarded.structured_hess},
        "product": {"hessp": guarded.hessp},
        "none": {},
    }
    settings = chosen.options(search.tol, max_iter) | dict(options or {})
    optimize = scipy_optimize()
    return search.run(
        lambda: optimize.minimize(
            guarded.fun,
            problem.parameters.inside() if chosen.interior else problem.x0,
            method=chosen.scipy,
            jac=guarded.jac,
            bounds=problem.bounds if chosen.bounds else None,
            callback=lambda intermediate_result: search.iterated(intermediate_result.x),
            options=settings,
            **derivatives[curvature],
        ),
        settles=chosen.settles,
    )


def _curvature(name: str, method: Method, wanted: str | None) -> str:
    if wanted is None:
        return method.curvature[0]
    if wanted not in method.curvature:
        able = ", ".join(key for key, each in METHODS.items() if wanted in each.curvature)
        hint = f"; {able} do" if able else ': hessian is "full" or "product"'
        raise ValueError(f"minimize: {name} cannot use hessian={wanted!r}{hint}")
    return wanted


def least_squares(
    r: Expr,
    x: Params,
    data: Mapping[Expr, Any] | None = None,
    *,
    method: Literal["trf", "dogbox"] = "trf",
    loss: Literal["linear", "soft_l1", "huber", "cauchy", "arctan"] = "linear",
    f_scale: float = 1.0,
    start: object = None,
    bounds: object = None,
    sizes: Sizes | None = None,
    tol: float | None = None,
    max_iter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Optimum:
    """Minimise half a sum of squares, ``½ Σ r²``, over some of the symbols: the Gauss-Newton method.

    The Hessian is taken to be ``Jᵀ J``, where J is the Jacobian of the residuals, and every step keeps within a region
    in which that is trusted, as Levenberg and Marquardt have it; `scipy.optimize.least_squares` does the steps.

    Args:
        r: the residuals, an expression of any shape.
        x: the symbols to be found, as for `minimize`.
        data: an array for each other symbol of r.
        method: "trf", or "dogbox" for small problems with bounds.
        loss: what is summed instead of the squares, so that single large residuals count less: ρ of ``(r/f_scale)²``.
        f_scale: the residual from which on that makes a difference.
        start: as for `minimize`, like the rest.
        bounds: pairs ``(low, high)``.
        sizes: numbers for named sizes that no array tells.
        tol: the largest slope of the sum at which to stop.
        max_iter: the most iterations.
        callback: called as ``callback(iteration, x, value)``.
        progress: show a progress bar.
        options: SciPy's other arguments, such as ``{"x_scale": "jac"}``.

    Returns:
        The minimum; its value is half the sum of squares, or of the losses.

    Raises:
        ArgumentError: a symbol has no array, an array no use, or a size no number.
        ShapeError: an array does not have its symbol's shape.
        DtypeError: r is no expression of floats, or an array cannot become its symbol's dtype.
        NotDifferentiableError: as for `jacobian`.
        ValueError: there is no such method or loss, or the start is outside the bounds.
        DivergedError: a residual is NaN or infinite at the start.
        ImportError: SciPy is not installed (the extra ``optimise``).

    >>> import symbackprop as sb
    >>> t, y, a, k = sb.symbols("t[N] y[N] a k")
    >>> data = {t: [0.0, 1.0, 2.0], y: [4.0, 2.0, 1.0]}
    >>> found = sb.least_squares(a * sb.exp(-k * t) - y, [a, k], data, start=[1.0, 1.0])
    >>> [float(each.round(6)) for each in found.x]
    [4.0, 0.693147]
    """
    caller = caller_for("least_squares", "r")
    if not isinstance(r, Expr):
        raise DtypeError(f"least_squares: r is {type(r).__name__}, not an expression")
    for what, value, known in [("method", method, ["trf", "dogbox"]), ("loss", loss, [*LOSSES])]:
        if value not in known:
            hint = did_you_mean(str(value), known)
            raise ValueError(f"least_squares: there is no {what} {value!r}{hint}; there are {', '.join(known)}")
    if not f_scale > 0:
        raise ValueError(f"least_squares: f_scale is a positive number, not {f_scale!r}")
    how: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "callback": callback, "progress": progress}
    problem = Residuals([r], x, data, caller, loss=loss, scale=f_scale, start=start, bounds=bounds, sizes=sizes)
    return _squares(problem, method, method, {"loss": loss, "f_scale": f_scale, **(options or {})}, how)


def _squares(
    problem: Residuals, name: str, method: str, options: Mapping[str, Any] | None, how: Mapping[str, Any]
) -> Optimum:
    search = Search(problem, method=name, **how)
    bounds = {} if problem.bounds is None else {"bounds": problem.bounds}
    # The tolerance decides, as far as rounding lets it; the iterations are counted by the search.
    settings: dict[str, Any] = {
        "gtol": max(search.tol, 1e-15),
        "ftol": 1e-15,
        "xtol": 1e-15,
        "max_nfev": 10**9,
        **(options or {}),
    }
    optimize = scipy_optimize()
    return search.run(
        lambda: optimize.least_squares(
            problem.fun,
            problem.x0,
            jac=lambda x: finite(problem.jac(x)),
            method=method,
            callback=lambda intermediate_result: search.iterated(intermediate_result.x),
            **bounds,
            **settings,
        )
    )
