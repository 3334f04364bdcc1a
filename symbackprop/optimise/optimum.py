"""`Optimum`: what a search found, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from symbackprop.expr import Expr
    from symbackprop.op import Array
    from symbackprop.optimise.problem import Objective

_FEW = 6


@dataclass(eq=False, repr=False)
class Optimum:
    """What `minimize` and `least_squares` give: the parameters, and how they were found.

    Attributes:
        x: the arrays of the parameters, in the structure in which their symbols were given.
        params: the same by symbol.
        value: f there.
        gradient_norm: its largest slope ``‖∇f‖∞``; with bounds, of the gradient without what leads out of them.
        success: whether the gradient is small enough, or SciPy says that f cannot be lowered.
        reason: why the search ended.
        iterations: how many steps were tried.
        evaluations: how often value and gradient, or the residuals, were computed.
        hessians: how often the Hessian, or the Jacobian of the residuals, was computed.
        products: how often a Hessian-vector product was computed.
        values: f at the start and after each iteration.
        seconds: the time that all this took, without compilation.
        method: by which it was found.
        problem: the objective and its compiled derivatives as functions of one vector.
        scipy: SciPy's own result; None where the start was good enough.
    """

    x: Any
    params: dict[Expr, Array]
    value: float
    gradient_norm: float
    success: bool
    reason: str
    iterations: int
    evaluations: int
    hessians: int
    products: int
    values: list[float]
    seconds: float
    method: str
    problem: Objective
    scipy: Any

    @cached_property
    def hessian(self) -> Array:
        """The Hessian there by all elements of the parameters, one after the other; of least squares ``Jᵀ J``.

        Where f is a negative log-likelihood, its inverse has the variances of the parameters on its diagonal.
        """
        return self.problem.hess(self.problem.pack(self.params))

    def __repr__(self) -> str:
        """Tell the value, the reason, the work and the parameters, a line each."""
        counts = {"evaluation": self.evaluations, "Hessian": self.hessians, "Hessian-vector product": self.products}
        work = ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items() if count)
        plural = "s" * (self.iterations != 1)
        lines = [
            f"f = {self.value:.6g} by {self.method}: {self.iterations} iteration{plural} in {self.seconds:.2g} s",
            f"  {'' if self.success else 'no success: '}{self.reason}",
            f"  {work}",
        ]
        lines += [f"  {symbol.describe()} {_shown(array)}" for symbol, array in self.params.items()]
        return "\n".join(lines)


def _shown(array: Array) -> str:
    """Write a few numbers out, and tell the range of many."""
    if array.size > _FEW:
        return f"from {array.min():.6g} to {array.max():.6g}"
    return "= " + " ".join(np.array2string(array, precision=6, separator=", ").split())
