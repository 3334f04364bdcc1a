"""Products in the order of `compile` against the order that they were written in: operations and time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import symbackprop as sb
from tests.benchmarks.timing import in_turns


class Row(NamedTuple):
    """One expression: its name, the symbols, the outputs made of them, sizes."""

    name: str
    symbols: str
    build: Callable[..., list[sb.Expr]]
    sizes: Mapping[str, int]


def with_gradients(build: Callable[..., sb.Expr]) -> Callable[..., list[sb.Expr]]:
    """Give a function to the value of an expression, squared and summed, and its gradients by all symbols."""

    def built(*symbols: sb.Expr) -> list[sb.Expr]:
        loss = sb.sum(sb.square(build(*symbols)))
        return [loss, *sb.grad(loss, symbols)]

    return built


_CHAIN = dict.fromkeys("MNKL", 400)
_ROWS = {"N": 2000, "D": 200}
ROWS = (
    Row("A @ B @ C @ x", "A[M,N] B[N,K] C[K,L] x[L]", lambda A, B, C, x: [A @ B @ C @ x], _CHAIN),
    Row("its gradients", "A[M,N] B[N,K] C[K,L] x[L]", with_gradients(lambda A, B, C, x: A @ B @ C @ x), _CHAIN),
    Row("sum(A @ B)", "A[M,N] B[N,K]", lambda A, B: [sb.sum(A @ B)], _CHAIN),
    Row("its gradients", "A[M,N] B[N,K]", with_gradients(lambda A, B: sb.sum(A @ B)), _CHAIN),
    Row("trace(A @ B)", "A[M,N] B[N,M]", lambda A, B: [sb.trace(A @ B)], _CHAIN),
    Row("its gradients", "A[M,N] B[N,M]", with_gradients(lambda A, B: sb.trace(A @ B)), _CHAIN),
    Row("diag(A @ B)", "A[M,N] B[N,M]", lambda A, B: [sb.diag(A @ B)], _CHAIN),
    Row("its gradients", "A[M,N] B[N,M]", with_gradients(lambda A, B: sb.diag(A @ B)), _CHAIN),
    Row("outer(u, v) @ w", "u[M] v[N] w[N]", lambda u, v, w: [sb.outer(u, v) @ w], _CHAIN),
    Row("its gradients", "u[M] v[N] w[N]", with_gradients(lambda u, v, w: sb.outer(u, v) @ w), _CHAIN),
    Row("2 X.T @ X", "X[N,D]", lambda X: [2.0 * X.T @ X], _ROWS),
    Row("X.T @ (exp(d) X)", "X[N,D] d[N]", lambda X, d: [X.T @ (sb.exp(d)[:, None] * X)], _ROWS),
    Row("X.T @ (exp(d) X), narrow", "X[N,D] d[N]", lambda X, d: [X.T @ (sb.exp(d)[:, None] * X)], {"N": 2000, "D": 20}),
)


def functions(row: Row) -> tuple[sb.Function, sb.Function, list[Any]]:
    """Give the function as compiled, the one in the written order, and arrays."""
    with sb.Graph():
        made = sb.symbols(row.symbols)
        symbols = [made] if isinstance(made, sb.Expr) else list(made)
        outputs = row.build(*symbols)
        ordered = sb.compile(symbols, outputs, sizes={name: row.sizes[name] for name in _names(symbols)})
        written = sb.compile(symbols, outputs, skip=["order"])
        random = np.random.default_rng(0)
        arrays = [random.standard_normal([row.sizes[size.name] for size in symbol.shape]) for symbol in symbols]
    return ordered, written, arrays


def _names(symbols: list[sb.Expr]) -> list[str]:
    return sorted({str(size) for symbol in symbols for size in symbol.shape})


def operations(function: sb.Function, sizes: Mapping[str, int]) -> int:
    """Give the floating-point operations of a call."""
    flops = function.report().rows[-1].flops
    return flops if isinstance(flops, int) else flops.value(dict(sizes))


def main() -> None:
    """Print the figures."""
    print("products, one thread           operations           written   fewer     time          written  faster")
    with threadpool_limits(1):
        for row in ROWS:
            ordered, written, arrays = functions(row)
            counts = [operations(function, row.sizes) for function in (ordered, written)]
            contenders = {"ordered": lambda: ordered(*arrays), "written": lambda: written(*arrays)}  # noqa: B023  (called in this round)
            times = in_turns(contenders, kept=["ordered"], rounds=15)
            seconds = times["ordered"], times["written"]
            print(
                f"{row.name:<26}{counts[0]:>15,}{counts[1]:>18,}{counts[1] / counts[0]:>8.1f}"
                f"{1e6 * seconds[0]:>12.0f} µs{1e6 * seconds[1]:>12.0f} µs{seconds[1] / seconds[0]:>8.1f}"
            )


if __name__ == "__main__":
    main()
