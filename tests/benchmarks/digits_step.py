"""The training step of the digits MLP (64-128-64-10, Adam): generated against written by hand, and compile time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import symbackprop as sb
from symbackprop import train
from tests.benchmarks.timing import interleaved

SIZES = (64, 128, 64, 10)
RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


class HandWritten:
    """What a careful NumPy user writes: forward, backward, Adam in place."""

    def __init__(self, params: list[np.ndarray[Any, Any]]) -> None:
        """Take the initial parameters W1, b1, W2, b2, W3, b3."""
        self.params = [param.copy() for param in params]
        self.m = [np.zeros_like(param) for param in params]
        self.v = [np.zeros_like(param) for param in params]
        self.t = 0

    def step(self, X: np.ndarray[Any, Any], T: np.ndarray[Any, Any]) -> float:
        """Do one step and give the loss."""
        W1, b1, W2, b2, W3, b3 = self.params
        n = len(X)
        a1 = X @ W1 + b1
        h1 = np.maximum(a1, 0)
        a2 = h1 @ W2 + b2
        h2 = np.maximum(a2, 0)
        z = h2 @ W3 + b3
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - (T * z).sum(axis=1)).mean()
        dz = (e / total - T) / n
        da2 = (dz @ W3.T) * (a2 > 0)
        da1 = (da2 @ W2.T) * (a1 > 0)
        grads = [X.T @ da1, da1.sum(axis=0), h1.T @ da2, da2.sum(axis=0), h2.T @ dz, dz.sum(axis=0)]
        self.t += 1
        root = np.sqrt(1 - BETA2**self.t)
        rate, eps = RATE * root / (1 - BETA1**self.t), EPS * root
        for w, g, m, v in zip(self.params, grads, self.m, self.v, strict=True):
            m *= BETA1  # noqa: PLW2901  (in place: the arrays are what the loop is for)
            m += (1 - BETA1) * g  # noqa: PLW2901
            v *= BETA2  # noqa: PLW2901
            v += (1 - BETA2) * np.square(g)  # noqa: PLW2901
            w -= rate * (m / (np.sqrt(v) + eps))  # noqa: PLW2901
        return float(loss)


def expressions(dtype: str = "float64") -> tuple[list[sb.Expr], sb.Expr, dict[sb.Expr, sb.Expr]]:
    """Build the step: its inputs, the loss, and the new values of weights and moments."""
    inputs, loss, updates, *_ = _built(dtype)
    return inputs, loss, updates


def _built(dtype: str) -> tuple[list[sb.Expr], sb.Expr, dict[sb.Expr, sb.Expr], train.MLP, train.Adam]:
    X, T = sb.symbols("X[N,64] T[N,10]", dtype=dtype)
    net = train.mlp(X, SIZES[1:], activation=sb.relu)
    loss = train.softmax_cross_entropy(net.output, T)
    adam = train.Adam(RATE, beta1=BETA1, beta2=BETA2, eps=EPS)
    updates = adam.updates(net.params, sb.grad(loss, net.params))
    return [X, T, *updates], loss, updates, net, adam


def build(dtype: str = "float64") -> tuple[sb.Function, train.MLP, train.Adam, dict[sb.Expr, sb.Expr]]:
    """Build and compile the step."""
    inputs, loss, updates, net, adam = _built(dtype)
    return sb.compile(inputs, loss, updates=updates, name="step"), net, adam, updates


def compile_times(repeats: int = 15) -> list[float]:
    """Give the seconds that building and compiling takes, each time in a fresh graph."""
    found = []
    for _ in range(repeats):
        with sb.Graph():
            start = time.perf_counter()
            build()
            found.append(time.perf_counter() - start)
    return found


def step_times(dtype: str = "float64", batch: int = 128) -> dict[str, float]:
    """Give the median seconds of a step, generated and by hand, after checking that both learn the same."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch, 64)).astype(dtype)
    T = np.eye(10, dtype=dtype)[rng.integers(0, 10, batch)]
    with sb.Graph():
        function, net, adam, updates = build(dtype)
        values = net.init(0)
        hand = HandWritten(list(values.values()))
        state = {**{symbol: value.copy() for symbol, value in values.items()}, **adam.start(values)}
        arrays = [state[symbol] for symbol in updates]
        for _ in range(3):
            np.testing.assert_allclose(function(X, T, *arrays), hand.step(X, T), rtol=1e-4)
        for mine, theirs in zip(arrays, hand.params, strict=False):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
        return interleaved({"generated": lambda: function(X, T, *arrays), "by hand": lambda: hand.step(X, T)})


def main() -> None:
    """Print the figures."""
    times = sorted(compile_times())
    print(f"build + compile: median {1e3 * times[len(times) // 2]:.0f} ms, best {1e3 * times[0]:.0f} ms")
    with threadpool_limits(1):
        for dtype in ("float64", "float32"):
            found = step_times(dtype)
            ratio = found["generated"] / found["by hand"]
            shown = ", ".join(f"{name} {1e6 * seconds:.0f} µs" for name, seconds in found.items())
            print(f"digits step, {dtype}, batch 128, one thread: {shown}: ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
