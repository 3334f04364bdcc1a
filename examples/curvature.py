"""The curvature of a network at its trained weights: its Hessian, and the largest eigenvalues without it.

A network 64-8-10 learns handwritten digits (scikit-learn's) with weight decay, until its gradient vanishes. Then the
whole Hessian is computed, of which no eigenvalue may be negative at a minimum; at the random weights before training
there are many. Lanczos' method (scipy.sparse.linalg.eigsh) finds the same largest eigenvalues from Hessian-vector
products, which never need the matrix. Run: python examples/curvature.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.datasets import load_digits

import symbackprop as sb
from symbackprop import train

TOLERANCE = 1e-9
DECAY = 1e-3


def timed(compute: Callable[[], Any]) -> tuple[Any, float]:
    """Give what is computed, and the milliseconds that it took."""
    began = time.perf_counter()
    found = compute()
    return found, 1e3 * (time.perf_counter() - began)


def main() -> int:
    """Train, and look at the curvature; the exit status is 1 if both ways differ or this is no minimum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=8, help="hidden units (default: %(default)s)")
    parser.add_argument("--images", type=int, default=600, help="images to learn from (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights (default: %(default)s)")
    args = parser.parse_args()
    digits = load_digits()
    X, T = sb.symbols("X[N,64] T[N,10]")
    data = {X: digits.data[: args.images] / 16, T: train.one_hot(digits.target[: args.images], 10)}
    net = train.mlp(X, [args.hidden, 10], sb.tanh)
    loss = train.softmax_cross_entropy(net.output, T) + DECAY * sum(map(train.l2, net.params))

    found = sb.minimize(loss, net.init(args.seed), data, method="l-bfgs", max_iter=10_000)
    print(found, "\n")
    problem = sb.scipy_problem(loss, net.init(args.seed), data)
    x = problem.pack(found.x)

    problem.prepare("full")
    H, milliseconds = timed(lambda: problem.hess(x))
    values = np.linalg.eigvalsh(H)
    before = np.linalg.eigvalsh(problem.hess(problem.x0))
    print(f"The Hessian by all {problem.size} weights took {milliseconds:.0f} ms. Its eigenvalues:")
    for when, each in [("before training", before), ("after training", values)]:
        print(
            f"  {when}: from {each[0]:.4g} to {each[-1]:.4g}, "
            f"{np.sum(each < 0)} negative, {np.sum(each > 0.1)} over 0.1"
        )

    problem.prepare("product")
    product = LinearOperator(H.shape, matvec=lambda v: problem.hessp(x, v))
    top, milliseconds = timed(lambda: eigsh(product, k=10, which="LA", return_eigenvectors=False, tol=1e-12))
    top = np.sort(top)
    print(f"\nThe largest ten by Lanczos' method, {problem.products} products in {milliseconds:.0f} ms:")
    print("  " + " ".join(f"{value:.4f}" for value in top[::-1]))
    difference = float(np.abs(top - values[-10:]).max())
    print(f"  largest difference from those of the matrix {difference:.1e}")
    return 0 if found.success and difference <= TOLERANCE and values[0] > 0 > before[0] else 1


if __name__ == "__main__":
    sys.exit(main())
