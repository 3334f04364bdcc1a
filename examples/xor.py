"""XOR: what a linear model cannot learn, a network that computes it, and networks that learn it.

Goodfellow, Bengio and Courville, *Deep Learning* (2016), section 6.1. Run: python examples/xor.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import symbackprop as sb
from symbackprop import train

POINTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR = np.array([0.0, 1.0, 1.0, 0.0])


def linear_model() -> bool:
    """Solve least squares, and look at the loss and the gradient there."""
    X, w, b, y = sb.symbols("X[N,2] w[2] b y[N]")
    loss = train.squared_error(X @ w + b, y)
    dw, db = sb.grad(loss, [w, b])
    print("A linear model: J =", loss)
    print("  dJ/dw =", sb.simplify(dw))
    solution = np.linalg.lstsq(np.column_stack([POINTS, np.ones(4)]), XOR)[0]
    agrees = np.allclose(solution, [0.0, 0.0, 0.5], rtol=0, atol=1e-12)
    print(f"  least squares gives w = 0, b = ½, the same answer for every point: {agrees}")
    J, *slopes = sb.compile([X, y, w, b], [loss, dw, db])(POINTS, XOR, np.zeros(2), 0.5)
    print(f"  mean squared error there {J}, gradient {np.append(*slopes)}: nothing left to learn\n")
    return agrees and bool(J == 0.25) and is_zero(slopes)


def is_zero(arrays: Sequence[Any]) -> bool:
    """Tell whether all elements of all arrays are exactly zero."""
    return not any(np.any(array) for array in arrays)


def hand_made_network() -> bool:
    """Compute XOR by the network of the book, whose gradient is exactly zero."""
    X, W, c, w, b, y = sb.symbols("X[N,2] W[2,2] c[2] w[2] b y[N]")
    f = sb.relu(X @ W + c) @ w + b
    loss = train.squared_error(f, y)
    print("The book's network: f =", f)
    values: list[Any] = [POINTS, np.ones((2, 2)), np.array([0.0, -1.0]), np.array([1.0, -2.0]), 0.0]
    outputs, J, *slopes = sb.compile([X, W, c, w, b, y], [f, loss, *sb.grad(loss, [W, c, w, b])])(*values, XOR)
    zero = is_zero(slopes)
    print(f"  W = 1s, c = [0, -1], w = [1, -2], b = 0 gives {outputs}, J = {J}, gradient all zero: {zero}\n")
    return bool((outputs == XOR).all() and J == 0) and zero


def trained_networks(units: int, activation: train.Activation, *, seeds: int, epochs: int) -> None:
    """Train a small network from several random starting points."""
    X, y = sb.symbols("X[N,2] y[N,1]")
    net = train.mlp(X, [units, 1], activation)
    loss = train.squared_error(net.output, y)
    data = {X: POINTS, y: XOR[:, None]}
    losses = []
    for seed in range(seeds):
        history = train.fit(loss, net.init(seed), data, optimiser=train.Adam(0.05), epochs=epochs, progress=False)
        losses.append(min(history.losses, default=np.inf))
    learnt = sum(loss < 1e-6 for loss in losses)
    print(f"Trained networks: J = {loss}")
    print(f"  {units} hidden units, {seeds} random starting points, {epochs} steps of Adam each")
    print("  lowest losses:", " ".join(f"{loss:.0e}" for loss in losses))
    print(f"  mean squared error below 1e-6: {learnt} of {seeds}\n")


def main() -> int:
    """Run the three parts; the exit status is 1 if a figure is not the book's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1000, help="steps of each training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=20, help="starting points (default: %(default)s)")
    args = parser.parse_args()
    exact = [linear_model(), hand_made_network()]
    networks: list[tuple[int, train.Activation]] = [(2, sb.relu), (8, sb.tanh)]
    for units, activation in networks:
        trained_networks(units, activation, seeds=args.seeds, epochs=args.epochs)
    return 0 if all(exact) else 1


if __name__ == "__main__":
    sys.exit(main())
