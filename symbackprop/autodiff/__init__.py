"""Differentiation: symbols to symbols (`grad`), symbols to numbers (`backprop`), and what is made of them."""

from symbackprop.autodiff.check import check_grad
from symbackprop.autodiff.derived import hessian, hvp, jacobian, jvp
from symbackprop.autodiff.forward import evaluate
from symbackprop.autodiff.numbers import backprop
from symbackprop.autodiff.reverse import grad, vjp

__all__ = ["backprop", "check_grad", "evaluate", "grad", "hessian", "hvp", "jacobian", "jvp", "vjp"]
