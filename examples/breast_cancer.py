"""Logistic regression on 569 breast tumours by Newton's method: the same coefficients as scikit-learn's.

Minimises Σ cross-entropy + ½ λ ‖w‖² over w and b. Gradient and Hessian are formulas, which are printed; compiled they
drive the methods of SciPy. The data are the Wisconsin diagnostic data that come with scikit-learn, standardised. Run:
python examples/breast_cancer.py
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import symbackprop as sb
from symbackprop import train

TOLERANCE = 1e-5
METHODS = ["l-bfgs", "newton-cg", "trust-exact", "newton"]


def fitted(Xv: Any, yv: Any, penalty: float, steps: int) -> dict[str, sb.Optimum]:
    """Give the minimum of the penalised loss by each method."""
    X, y, w, b, lam = sb.symbols("X[N,D] y[N] w[D] b lam")
    loss = train.binary_cross_entropy(X @ w + b, y, reduction="sum") + lam * train.l2(w)
    print("J       =", loss)
    for symbol, gradient in zip([w, b], sb.grad(loss, [w, b]), strict=True):
        print(f"dJ/d{symbol}   =", sb.simplify(gradient))
    print("d²J/dw² =", sb.simplify(sb.hessian(loss, w)), "\n")
    data = {X: Xv, y: yv, lam: penalty}
    return {name: sb.minimize(loss, [w, b], data, method=name, max_iter=steps) for name in METHODS}


def main() -> int:
    """Fit, print; the exit status is 1 if a method's coefficients differ from scikit-learn's by more than 1e-5."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="steps of each method at most (default: %(default)s)")
    parser.add_argument("--penalty", type=float, default=1.0, help="λ, scikit-learn's 1/C (default: %(default)s)")
    args = parser.parse_args()
    data = load_breast_cancer()
    Xv = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    yv = data.target.astype(float)
    print(f"{len(yv)} tumours, {Xv.shape[1]} measurements each, {int(yv.sum())} benign\n")

    found = fitted(Xv, yv, args.penalty, args.steps)
    newton_cholesky = LogisticRegression(C=1 / args.penalty, solver="newton-cholesky", tol=1e-12, max_iter=100)
    reference = newton_cholesky.fit(Xv, yv)
    theirs = np.append(reference.coef_[0], reference.intercept_)

    print(f"{'method':>12} {'steps':>6} {'J':>12} {'largest slope':>14} {'ms':>6} {'from scikit-learn':>18}")
    differences = []
    for name, minimum in found.items():
        differences.append(float(np.abs(np.append(*minimum.x) - theirs).max()))
        print(
            f"{name:>12} {minimum.iterations:6} {minimum.value:12.6f} {minimum.gradient_norm:14.1e} "
            f"{minimum.seconds * 1e3:6.1f} {differences[-1]:18.1e}"
        )
    print(f"{'scikit-learn':>12} {reference.n_iter_[0]:6}")

    ours = np.append(*found["newton"].x)
    print(f"\n{'coefficient':>24} {'symbackprop':>12} {'scikit-learn':>12}")
    for label, mine, other in zip([*data.feature_names, "intercept"], ours, theirs, strict=True):
        print(f"{label:>24} {mine:12.6f} {other:12.6f}")
    right = float(np.mean((Xv @ ours[:-1] + ours[-1] > 0) == yv))
    print(f"\nlargest difference {max(differences):.1e}; {right:.1%} of these tumours are on the right side")
    return 0 if max(differences) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
