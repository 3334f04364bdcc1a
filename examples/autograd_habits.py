"""Functions written with NumPy alone, and their derivatives: what users of autograd are used to, with formulas.

The functions are those of autograd's README, tutorial and examples, and a few that people bring along; none of them
knows of symbackprop. Run: python examples/autograd_habits.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import symbackprop as sb


def tanh(x: Any) -> Any:
    """The hyperbolic tangent, as in autograd's README."""
    y = np.exp(-2.0 * x)
    return (1.0 - y) / (1.0 + y)


def taylor_sine(x: Any) -> Any:
    """The sine by a loop, as in autograd's examples."""
    total = term = x
    for n in range(1, 10):
        term = -term * x * x / ((2 * n + 1) * (2 * n))
        total = total + term
    return total


def sigmoid(x: Any) -> Any:
    """The logistic function."""
    return 0.5 * (np.tanh(x / 2.0) + 1)


def training_loss(weights: Any, inputs: Any, targets: Any) -> Any:
    """Logistic regression, as in autograd's README."""
    preds = sigmoid(np.dot(inputs, weights))
    return -np.sum(np.log(preds * targets + (1 - preds) * (1 - targets)))


def network_loss(params: Any, inputs: Any, targets: Any) -> Any:
    """A network whose parameters are a list of pairs (W, b), as in autograd's tutorial."""
    for W, b in params:
        outputs = np.dot(inputs, W) + b
        inputs = np.tanh(outputs)
    return np.mean((outputs - targets) ** 2)


def rosenbrock(x: Any) -> Any:
    """The function of scipy.optimize.rosen."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1 - x[:-1]) ** 2.0)


def elementary() -> bool:
    """Derivatives of derivatives of functions of one number."""
    slope, curvature = sb.grad(tanh), sb.grad(sb.grad(tanh))
    print(f"tanh at 1: slope {slope(1.0):.6f}, its slope {curvature(1.0):.6f}")
    third = sb.grad(sb.grad(sb.grad(taylor_sine)))
    print(f"the third derivative of a sine made by a loop, at 1: {third(1.0):.6f}; −cos(1) = {-np.cos(1.0):.6f}\n")
    return bool(np.isclose(slope(1.0), 1 - np.tanh(1.0) ** 2) and np.isclose(third(1.0), -np.cos(1.0)))


def regression() -> bool:
    """Gradient descent on logistic regression; what was compiled can be read."""
    inputs = np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
    targets = np.array([1.0, 1.0, 0.0, 1.0])
    weights, gradient = np.zeros(3), sb.grad(training_loss)
    first = training_loss(weights, inputs, targets)
    for _ in range(100):
        weights = weights - 0.1 * gradient(weights, inputs, targets)
    last = training_loss(weights, inputs, targets)
    print(f"Logistic regression: loss {first:.4f}, after 100 steps {last:.4f}")
    print(gradient.formula, "\n")
    return bool(last < first)


def network() -> bool:
    """Train a network: the gradient has the structure of its parameters."""
    rng = np.random.default_rng(0)
    inputs = np.linspace(-2, 2, 40)[:, None]
    targets = np.sin(2 * inputs)
    params = [(rng.standard_normal((1, 16)), np.zeros(16)), (0.3 * rng.standard_normal((16, 1)), np.zeros(1))]
    objective = sb.value_and_grad(network_loss)
    first, _ = objective(params, inputs, targets)
    for _ in range(1500):
        loss, gradient = objective(params, inputs, targets)
        params = [(W - 0.05 * dW, b - 0.05 * db) for (W, b), (dW, db) in zip(params, gradient, strict=True)]
    print(f"A network: loss {first:.4f}, after 1500 steps {loss:.4f}\n")
    return bool(loss < 0.5 * first)


def second_order() -> bool:
    """Newton's method by the Hessian of a Python function; one compilation serves all sizes."""
    value_and_gradient, hessian = sb.value_and_grad(rosenbrock), sb.hessian(rosenbrock)
    for n in (2, 5):
        x = np.full(n, 0.9)
        for _ in range(12):
            _, gradient = value_and_gradient(x)
            x = x - np.linalg.solve(hessian(x), gradient)
        print(f"Newton's method on Rosenbrock's function of {n} variables: {x}")
    print(f"compiled {len(hessian.specialisations)} time, for", hessian.specialisations[0])
    return bool(np.allclose(x, 1.0) and len(hessian.specialisations) == 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all parts; give 0 if each came out as it says."""
    argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0]).parse_args(argv)
    right = [elementary(), regression(), network(), second_order()]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
