"""Differentiation: symbols to symbols (`grad`), symbols to numbers (`backprop`), and what is made of them."""

from symbackprop.autodiff.check import check_grad
from symbackprop.autodiff.curvature import empirical_fisher, fisher, gauss_newton, gnvp
from symbackprop.autodiff.derived import hessian, hvp, jacobian, jvp
from symbackprop.autodiff.fields import directional, divergence, hessian_diag, laplacian
from symbackprop.autodiff.forward import evaluate
from symbackprop.autodiff.numbers import backprop
from symbackprop.autodiff.reverse import grad, vjp

__all__ = [
    "backprop", "check_grad", "directional", "divergence", "empirical_fisher", "evaluate", "fisher", "gauss_newton",
    "gnvp", "grad", "hessian", "hessian_diag", "hvp", "jacobian", "jvp", "laplacian", "vjp",
]  # fmt: skip
