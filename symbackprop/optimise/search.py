"""`Search`: watches SciPy at work, ends it where it should end, and says why it did."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from symbackprop.optimise.optimum import Optimum
from symbackprop.optimise.point import Point
from symbackprop.optimise.problem import AsMatrix
from symbackprop.train.arguments import Caller, spoilt
from symbackprop.train.fit import DivergedError
from symbackprop.train.progress import Show, bar

if TYPE_CHECKING:
    from symbackprop.op import Array
    from symbackprop.optimise.problem import Objective, ScipyProblem

Callback: TypeAlias = Callable[[int, Any, float], object]
End: TypeAlias = Literal["", "start", "tolerance", "callback", "max_iter", "stuck", "unbounded", "curvature"]

_PATIENCE = 30  # steps in a row that do not move: a trust region is 4³⁰ times smaller by then


class EndError(Exception):
    """Ends a search from within a function that SciPy calls; never seen outside."""

    def __init__(self, end: End) -> None:
        """Take why."""
        self.end: End = end


class Search:
    """One search for a minimum.

    Attributes:
        tol: the largest slope at which to stop.
        at: the point after the last iteration.
        slope: the largest slope there that does not lead out of the bounds.
        values: f at the start and after each iteration.
        undefined: whether f was not finite at a point that was tried since.
    """

    def __init__(
        self,
        problem: Objective,
        *,
        method: str,
        tol: float | None,
        max_iter: int | None,
        callback: Callback | None,
        progress: bool,
    ) -> None:
        """Look at the start.

        Args:
            problem: the objective.
            method: by which the minimum is sought.
            tol: the largest slope at which to stop, 1e-6 in float64 and 1e-3 in float32 unless told.
            max_iter: the most iterations.
            callback: called after each iteration.
            progress: whether to show a bar.

        Raises:
            DivergedError: f is not finite at the start.
            ValueError: the tolerance or the number of iterations is none.
        """
        self._problem = problem
        self._method = method
        self._callback = callback
        self._progress = progress
        self._max_iter = _iterations(max_iter, problem.caller)
        self._show: Show = lambda _steps, _text: None
        self._end: End = ""
        self._idle = 0
        self._numpy_errors = np.geterr()
        self.tol = _tolerance(tol, problem)
        self.at = problem.at(problem.x0)
        self.slope = self._largest(self.at)
        self.values = [self.at.value]
        self.undefined = False
        if not self.at.is_finite:
            raise DivergedError(self._bad_start())

    def _bad_start(self) -> str:
        problem, caller = self._problem, self._problem.caller
        bad = spoilt(problem.data)
        if bad:
            return f"{caller.name}: the data of {', '.join(bad)} hold NaN or infinity; remove or replace them"
        what = f"{caller.objective} is {self.at.value}"
        if math.isfinite(self.at.value):
            parts = zip(problem.parameters.symbols, problem.parameters.slices, strict=True)
            names = [symbol.describe() for symbol, part in parts if not np.isfinite(self.at.gradient[part]).all()]
            what = f"the derivative by {', '.join(names)} is not finite"
        return f"{caller.name}: {what} at the start; begin elsewhere, with start="

    def _largest(self, at: Point) -> float:
        """Give the largest slope that does not lead out of the bounds: ``‖x − P(x − ∇f)‖∞``."""
        limits, gradient = self._problem.parameters.bounds, at.gradient
        if limits is not None:
            low, high = limits
            gradient = np.clip(gradient, at.x - high, at.x - low)
        return float(np.abs(gradient).max(initial=0.0))

    def _move(self, to: Point) -> None:
        self.at, self.slope = to, self._largest(to)

    @property
    def is_done(self) -> bool:
        """Whether the slope is small enough."""
        return self.slope <= self.tol

    def iterated(self, x: Array) -> None:
        """Note the point after an iteration.

        Raises:
            StopIteration: the search is to end here.
        """
        if self.at.is_at(x):
            self._idle += 1
        else:
            self._move(self._problem.at(x))
            self._idle, self.undefined = 0, False
        self.values.append(self.at.value)
        self._show(1, f"f {self.at.value:.6g}, slope {self.slope:.2g}")
        if self._is_told_to_stop():
            self._end = "callback"
        elif self.is_done:
            self._end = "tolerance"
        elif self._idle >= _PATIENCE:
            self._end = "stuck"
        elif len(self.values) > (self._max_iter or math.inf):
            self._end = "max_iter"
        if self._end:
            raise StopIteration

    def _is_told_to_stop(self) -> bool:
        if self._callback is None:
            return False
        try:
            with np.errstate(**self._numpy_errors):
                return self._callback(len(self.values) - 1, self._problem.unpack(self.at.x), self.at.value) is True
        except StopIteration:
            return True

    def run(self, work: Callable[[], Any], *, settles: bool = True) -> Optimum:
        """Let SciPy work, unless the start is good enough, and give what was found.

        Args:
            work: gives SciPy's result.
            settles: whether SciPy's word that it has converged is to be believed.
        """
        began, found = time.perf_counter(), None
        if self.is_done:
            self._end = "start"
        else:
            with self._bar(), np.errstate(all="ignore"):
                try:
                    found = work()
                except EndError as error:
                    self._end = error.end
        if found is not None:
            last = self._problem.at(np.asarray(found.x, float))
            self.undefined = self.undefined or not last.is_finite
            if last.is_finite:
                self._move(last)
            if found.success and not settles:
                self._end = self._end or "stuck"
        return self._optimum(found, time.perf_counter() - began)

    @contextmanager
    def _bar(self) -> Iterator[None]:
        with bar(self._max_iter, "iteration", wanted=self._progress) as self._show:
            yield

    def _optimum(self, found: Any, seconds: float) -> Optimum:
        problem = self._problem
        success, reason = self._judged(found)
        return Optimum(
            x=problem.unpack(self.at.x),
            params=problem.parameters.by_symbol(self.at.x),
            value=self.at.value,
            gradient_norm=self.slope,
            success=success,
            reason=reason,
            iterations=len(self.values) - 1,
            evaluations=problem.evaluations,
            hessians=problem.hessians,
            products=problem.products,
            values=self.values,
            seconds=seconds,
            method=self._method,
            problem=problem,
            scipy=found,
        )

    def _judged(self, found: Any) -> tuple[bool, str]:
        """Tell whether the search succeeded, and why it ended."""
        slope = f"the largest slope is {self.slope:.2g}"
        if self.is_done and self._end not in {"callback", "unbounded"}:
            if self._end == "start":
                slope += " at the start"
            level = self._end == "start" and not self.at.gradient.any()
            hint = " (it may be a saddle point: try another start)" if level else ""
            return True, f"{slope}, at most tol = {self.tol:g}{hint}"
        f, steps = self._problem.caller.objective, len(self.values) - 1
        reasons = {
            "callback": "stopped by the callback",
            "unbounded": f"{f} fell to -inf: it has no minimum",
            "curvature": f"the second derivative of {f} is NaN or infinite",
            "max_iter": f"max_iter = {steps} iterations are done",
            "stuck": f"no step lowers {f} any more",
        }
        if self.undefined and self._end in {"", "stuck"}:
            why = f"{f} is NaN or infinite at the points tried last"
        elif self._end in reasons:
            why = reasons[self._end]
        elif found.status == 1 and not found.success:
            why = f"SciPy's limit of {steps} iterations is reached"
        else:
            why = f"SciPy says {str(found.message).strip()!r}"
        success = not self._end and not self.undefined and bool(found.success)
        return success, f"{why}; {slope}, and tol = {self.tol:g}"


class Guarded:
    """An objective with a wall where it is not finite: higher than the point before, and steeper the nearer it is.

    NaN compares with nothing, and from infinity no line search can tell how far to go back.
    """

    def __init__(self, problem: ScipyProblem, search: Search) -> None:
        """Take the objective, and the search that knows the last point."""
        self._problem = problem
        self._search = search

    def fun(self, x: Array) -> float:
        """Give the value."""
        return self._point(x).value

    def jac(self, x: Array) -> Array:
        """Give the gradient."""
        return self._point(x).gradient.copy()

    def hess(self, x: Array) -> Array:
        """Give the Hessian; behind the wall nobody uses it, and some methods want one."""
        H: Array = finite(self._problem.hess(x)) if self._is_defined(x) else np.eye(len(x))
        return H

    def structured_hess(self, x: Array) -> Any:
        """Give the Hessian as one that may know a better way to solve with itself."""
        return finite(self._problem.structured_hess(x))

    def hessp(self, x: Array, p: Array) -> Array:
        """Give the Hessian-vector product."""
        Hp: Array = finite(self._problem.hessp(x, p)) if self._is_defined(x) else p
        return Hp

    def _is_defined(self, x: Array) -> bool:
        return self._problem.parameters.keeps_assumptions(x) and self._problem.at(x).is_finite

    def _point(self, x: Array) -> Point:
        before = self._search.at
        if self._problem.parameters.keeps_assumptions(x):
            point = self._problem.at(x)
            if point.value == -math.inf:
                raise EndError("unbounded")
            if point.is_finite:
                return point
        self._search.undefined = True
        step = x - before.x
        distance = float(step @ step)
        if not 0 < distance < math.inf:
            return Point(x, math.inf, np.zeros_like(x))
        rise = abs(float(before.gradient @ step)) or 1.0
        return Point(x, before.value + rise, 2 * rise / distance * step)


def finite(matrix: Any) -> Any:
    """Give a second derivative, if it is finite.

    Raises:
        EndError: it is not.
    """
    if not (matrix.is_finite if isinstance(matrix, AsMatrix) else np.isfinite(matrix).all()):
        raise EndError("curvature")
    return matrix


def _tolerance(tol: object, problem: Objective) -> float:
    if tol is None:
        return 1e-6 if all(symbol.dtype.itemsize >= 8 for symbol in problem.parameters.symbols) else 1e-3
    if not isinstance(tol, int | float | np.number) or isinstance(tol, bool) or not tol > 0:
        raise ValueError(
            f"{problem.caller.name}: tol is a positive number, the largest slope at which to stop, not {tol!r}"
        )
    return float(tol)


def _iterations(max_iter: object, caller: Caller) -> int | None:
    if max_iter is None:
        return None
    if isinstance(max_iter, bool) or not isinstance(max_iter, int | np.integer) or max_iter < 1:
        raise ValueError(f"{caller.name}: max_iter is a whole number from 1 up, not {max_iter!r}")
    return int(max_iter)
