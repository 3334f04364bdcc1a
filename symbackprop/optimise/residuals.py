"""Residuals and their Jacobian, compiled, as functions of one vector; and the losses that SciPy makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from symbackprop.autodiff import jacobian
from symbackprop.lower import Function
from symbackprop.optimise.parameters import Params
from symbackprop.optimise.point import Point
from symbackprop.optimise.problem import Objective
from symbackprop.train.arguments import Caller

if TYPE_CHECKING:
    from symbackprop.expr import Expr
    from symbackprop.op import Array

# ρ and ρ′ of z = (r/s)², as `scipy.optimize.least_squares` has them: half of s² Σ ρ(z) is what is minimised.
LOSSES: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "linear": (lambda z: z, np.ones_like),
    "soft_l1": (lambda z: 2 * (np.sqrt(1 + z) - 1), lambda z: 1 / np.sqrt(1 + z)),
    "huber": (
        lambda z: np.where(z <= 1, z, 2 * np.sqrt(z) - 1),
        lambda z: np.where(z <= 1, 1.0, 1 / np.sqrt(np.maximum(z, 1.0))),
    ),
    "cauchy": (np.log1p, lambda z: 1 / (1 + z)),
    "arctan": (np.arctan, lambda z: 1 / (1 + z * z)),
}


class Residuals(Objective):
    """Residuals as a function of one vector, for `scipy.optimize.least_squares`.

    Attributes:
        evaluations: how often the residuals were computed.
        hessians: how often their Jacobian was computed.
        products: always 0.
    """

    def __init__(
        self,
        residuals: Sequence[Expr],
        params: Params,
        data: Mapping[Expr, Any] | None,
        caller: Caller,
        *,
        constants: Sequence[Expr] = (),
        loss: str = "linear",
        scale: float = 1.0,
        **where: Any,
    ) -> None:
        """Check what was given; see `least_squares`. The constants are added to the sum of squares."""
        super().__init__([*residuals, *constants], params, data, caller, **where)
        self._constant = sum(map(float, self._called(self._compiled(list(constants), "constants"), self.x0)))
        self.residuals = list(residuals)
        self.evaluations = self.hessians = self.products = 0
        self._rho, self._slope = LOSSES[loss]
        self._scale = scale
        self._last: dict[str, tuple[Array, Array]] = {}

    def fun(self, x: Array) -> Array:
        """Give all residuals at a point, one after the other."""
        return self._kept("residuals", x, self._values)

    def jac(self, x: Array) -> Array:
        """Give the Jacobian of the residuals at a point, ``[residuals, size]``."""
        return self._kept("jacobian", x, self._matrix)

    def at(self, x: Array) -> Point:
        """Give what is minimised, half the sum of squares unless there is a loss, and its gradient ``Jᵀ r``."""
        r, J = self.fun(x), self.jac(x)
        with np.errstate(all="ignore"):  # what is not finite is reported by the search
            z = (r / self._scale) ** 2
            value = 0.5 * self._scale**2 * float(self._rho(z).sum()) + self._constant
            return Point(x.copy(), value, (self._slope(z) * r) @ J)

    def hess(self, x: Array) -> Array:
        """Give ``Jᵀ J``, the Hessian of what is minimised without the curvature of the residuals."""
        z = (self.fun(x) / self._scale) ** 2
        J = self.jac(x)
        return (J * self._slope(z)[:, None]).T @ J

    def _kept(self, what: str, x: Array, computed: Callable[[Array], Array]) -> Array:
        x = np.asarray(x, float)
        known = self._last.get(what)
        if known is None or not np.array_equal(known[0], x):
            known = self._last[what] = x.copy(), computed(x)
        return known[1]

    def _values(self, x: Array) -> Array:
        self.evaluations += 1
        return np.concatenate([np.ravel(r) for r in self._called(self.function, x)]).astype(float, copy=False)

    def _matrix(self, x: Array) -> Array:
        self.hessians += 1
        blocks = iter(self._called(self.jacobian_function, x))
        rows = [
            np.hstack([np.reshape(next(blocks), (-1, part.stop - part.start)) for part in self.parameters.slices])
            for _ in self.residuals
        ]
        return np.vstack(rows).astype(float, copy=False)

    @cached_property
    def function(self) -> Function:
        """The compiled function of the residuals."""
        return self._compiled(self.residuals, "residuals")

    @cached_property
    def jacobian_function(self) -> Function:
        """The compiled function of the blocks of the Jacobian, by rows."""
        symbols = self.parameters.symbols
        blocks = [block for r in self.residuals for block in jacobian(r, symbols, mode="auto", unused="zeros")]
        return self._compiled(blocks, "jacobian")
