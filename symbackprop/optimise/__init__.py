"""Optimisation: expressions minimised by the methods of SciPy, from compiled gradients, Hessians and their products.

>>> import symbackprop as sb
>>> x = sb.symbol("x", 3)
>>> rosenbrock = sb.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
>>> sb.minimize(rosenbrock, x, method="trust-exact")
f = ... by trust-exact: 16 iterations in ... s
  the largest slope is ..., at most tol = 1e-06
  17 evaluations, 17 Hessians
  x[3] = [1., 1., 1.]
"""

from symbackprop.optimise.minimise import least_squares, minimize
from symbackprop.optimise.newton import newton, newton_step
from symbackprop.optimise.optimum import Optimum
from symbackprop.optimise.problem import ScipyProblem, scipy_problem

__all__ = ["Optimum", "ScipyProblem", "least_squares", "minimize", "newton", "newton_step", "scipy_problem"]
