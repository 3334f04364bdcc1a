"""Hessians that keep their structure: a matrix factorisation by Newton's method, without the Hessian's zeros.

The Hessian of ‖T − UVᵀ‖² by U has (n·k)² elements, and all it says is VᵀV: ``2 I ⊗ VᵀV``. Newton's method on U, then
on V, again and again is alternating least squares. Three things are found, each beside what is known to be true:

1. the parts of the Hessian, beside the elements that they stand for;
2. a Newton step by the parts, beside the same step by the dense Hessian, and the time of both;
3. where the steps end, beside the best factorisation there is (C. Eckart and G. Young, 1936).

Run: python examples/hessian_structure.py
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import symbackprop as sb

N, M, K = 120, 90, 4


def main() -> int:
    """Do all three; the exit status is 1 if one of them is not what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="how many times both factors are improved")
    steps = parser.parse_args().steps
    T, U, V = sb.symbols("T[N,M] U[N,K] V[M,K]")
    f = sb.sum((T - U @ V.T) ** 2)
    by_u, by_v = (
        sb.compile([T, U, V], [sb.grad(f, factor), sb.hessian(f, factor)], structured=True) for factor in (U, V)
    )
    dense = sb.compile([T, U, V], sb.hessian(f, U))
    rng = np.random.default_rng(0)
    t = rng.standard_normal((N, K)) @ rng.standard_normal((K, M)) + 0.1 * rng.standard_normal((N, M))
    u, v = rng.standard_normal((N, K)), rng.standard_normal((M, K))

    slope, hessian = by_u(t, u, v)
    full = dense(t, u, v)
    print(f"1. {hessian!r}: {hessian.nbytes:,} bytes for {full.nbytes:,}")
    same = np.array_equal(hessian.dense(), full)

    start = time.perf_counter()
    step = hessian.solve(slope)
    middle = time.perf_counter()
    filled = np.linalg.solve(full.reshape(N * K, N * K), slope.ravel()).reshape(N, K)
    end = time.perf_counter()
    off = float(np.abs(step - filled).max())
    print(
        f"2. a Newton step: {1e3 * (middle - start):.2f} ms by the parts, {1e3 * (end - middle):.2f} ms by all elements"
    )
    print(f"   they differ by {off:.0e}")

    for _ in range(steps):
        slope, hessian = by_u(t, u, v)
        u = u - hessian.solve(slope)
        slope, hessian = by_v(t, u, v)
        v = v - hessian.solve(slope)
    error = float(np.sum((t - u @ v.T) ** 2))
    best = float(np.sum(np.linalg.svd(t, compute_uv=False)[K:] ** 2))
    print(
        f"3. after {steps} steps for each factor: ‖T − UVᵀ‖² = {error:.9f}; at rank {K} there is none below {best:.9f}"
    )
    return 0 if same and off < 1e-9 and abs(error / best - 1) < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
