"""Logistic regression on 569 breast tumours: the same coefficients as scikit-learn's, from our loss and gradient.

Minimises Σ cross-entropy + ½ λ ‖w‖² over w and b; the gradient is compiled, L-BFGS (scipy) does the steps. The data
are the Wisconsin diagnostic data that come with scikit-learn, standardised. Run: python examples/breast_cancer.py
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import symbackprop as sb
from symbackprop import train

TOLERANCE = 1e-4


def fitted(Xv: Any, yv: Any, penalty: float, steps: int) -> Any:
    """Give the coefficients and the intercept that minimise the penalised loss, as one vector."""
    X, y, w, b, lam = sb.symbols("X[N,D] y[N] w[D] b lam")
    z = X @ w + b
    loss = train.binary_cross_entropy(z, y, reduction="sum") + lam * train.l2(w)
    gradients = sb.grad(loss, [w, b])
    print("J     =", loss)
    for symbol, gradient in zip([w, b], gradients, strict=True):
        print(f"dJ/d{symbol} =", sb.simplify(gradient))
    evaluate = sb.compile([X, y, lam, w, b], [loss, *gradients], name="loss_and_gradient")

    def objective(theta: Any) -> tuple[float, Any]:
        J, dw, db = evaluate(Xv, yv, penalty, theta[:-1], theta[-1])
        return float(J), np.append(dw, db)

    result = minimize(
        objective,
        np.zeros(Xv.shape[1] + 1),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "ftol": 0.0, "gtol": 1e-9, "maxcor": 30},
    )
    print(f"\nL-BFGS: {result.nit} steps, J = {result.fun:.6f}, largest slope {np.abs(result.jac).max():.1e}")
    return result.x


def main() -> int:
    """Fit both, print both; the exit status is 1 if they differ by more than 1e-4."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="steps of L-BFGS at most (default: %(default)s)")
    parser.add_argument("--penalty", type=float, default=1.0, help="λ, scikit-learn's 1/C (default: %(default)s)")
    args = parser.parse_args()
    data = load_breast_cancer()
    Xv = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    yv = data.target.astype(float)
    print(f"{len(yv)} tumours, {Xv.shape[1]} measurements each, {int(yv.sum())} benign\n")

    ours = fitted(Xv, yv, args.penalty, args.steps)
    reference = LogisticRegression(C=1 / args.penalty, tol=1e-10, max_iter=10_000).fit(Xv, yv)
    theirs = np.append(reference.coef_[0], reference.intercept_)

    print(f"\n{'coefficient':>24} {'symbackprop':>12} {'scikit-learn':>12}")
    for name, mine, other in zip([*data.feature_names, "intercept"], ours, theirs, strict=True):
        print(f"{name:>24} {mine:12.6f} {other:12.6f}")
    difference = float(np.abs(ours - theirs).max())
    right = float(np.mean((Xv @ ours[:-1] + ours[-1] > 0) == yv))
    print(f"\nlargest difference {difference:.1e}; {right:.1%} of these tumours are on the right side")
    return 0 if difference <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
