"""What the machine allows: the products of a row alone, or the memory that it must touch, by the same NumPy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Array = np.ndarray[Any, Any]
Call: TypeAlias = Callable[[], Any]
Make: TypeAlias = Callable[[Mapping[str, Any]], Call]


def _products(pairs: Sequence[tuple[Array, Array]], repeats: int = 1) -> Call:
    """Multiply pairs of matrices into kept arrays."""
    jobs = [(a, b, np.empty((a.shape[0], b.shape[1]), a.dtype)) for a, b in pairs]

    def call() -> None:
        for _ in range(repeats):
            for a, b, out in jobs:
                np.dot(a, b, out)

    return call


def _layer(x: Array, W: Array) -> tuple[Array, list[tuple[Array, Array]]]:
    """Give an array of the size of a layer's result, and its three products: forward, by the weights, by the input."""
    y = np.ones((len(x), W.shape[1]), x.dtype)
    return y, [(x, W), (x.T, y), (y, W.T)]


def _mlp(values: Mapping[str, Any]) -> Call:
    h, pairs = values["X"], []
    for name in ("W1", "W2", "W3"):
        h, products = _layer(h, values[name])
        pairs += products
    return _products([pair for at, pair in enumerate(pairs) if at != 2])  # nobody asks for the slope by X


def _deep(values: Mapping[str, Any]) -> Call:
    h, pairs = values["X"], []
    for name in (name for name in values if name.startswith("W")):
        h, products = _layer(h, values[name])
        pairs += products
    return _products([pair for at, pair in enumerate(pairs) if at != 2])


def _lstm(values: Mapping[str, Any]) -> Call:
    X, h, W, U = (values[name] for name in "XhWU")
    steps = len(X)
    x = X.reshape(-1, X.shape[2])
    gates = np.ones((len(x), W.shape[1]), X.dtype)
    all_h = np.ones((len(x), U.shape[0]), X.dtype)
    once = _products([(x, W), (x.T, gates), (all_h.T, gates)])
    each = _products([(h, U), (gates[: len(h)], U.T)], steps)
    return lambda: (once(), each())


def _mixture(values: Mapping[str, Any]) -> Call:
    (n, d), k = values["X"].shape, len(values["a"])
    y = np.ones((k * d, n))
    return _products([(np.ones((k * d, d)), values["X"].T), (y, values["X"])])


def _logistic(values: Mapping[str, Any]) -> Call:
    X, w, y = (values[name] for name in "Xwy")
    return lambda: (np.dot(X, w), np.dot(y, X))


def _written(sizes: Callable[[Mapping[str, Any]], Sequence[Any]]) -> Make:
    """Read arrays and write as many fresh ones."""

    def make(values: Mapping[str, Any]) -> Call:
        arrays = sizes(values)
        return lambda: [array.copy() for array in arrays]

    return make


LIMITS: Mapping[str, tuple[str, Make]] = {
    "mlp": ("GEMMs alone", _mlp),
    "mlp-large": ("GEMMs alone", _mlp),
    "logistic": ("GEMVs alone", _logistic),
    "logistic-hessian": ("SYRK alone", lambda values: lambda: np.dot(values["X"].T, values["X"])),
    "factorisation-hessian": ("zeros alone", lambda values: lambda: np.empty(values["U"].shape * 2).fill(0)),
    "chain": ("memory alone", _written(lambda values: [values["x"]])),
    "chain-f32": ("memory alone", _written(lambda values: [values["x"]])),
    "black-scholes": ("memory alone", _written(lambda values: [*values.values(), values["S"]])),
    "mixture": ("GEMMs alone", _mixture),
    "bundle": ("memory alone", _written(lambda values: [values["C"], values["P"], values["w"]] * 2 + [values["f"]])),
    "deep": ("GEMMs alone", _deep),
    "lstm": ("GEMMs alone", _lstm),
}


def machine(repeats: int = 5) -> dict[str, float]:
    """Measure the machine: bytes a second that are copied and read, floating-point operations a second of products."""
    source, target = np.ones((2, 8_000_000))

    def best(call: Call) -> float:
        found = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
        return min(found)

    found = {
        "copy, GB/s": 2e-9 * source.nbytes / best(lambda: np.copyto(target, source)),
        "read, GB/s": 1e-9 * source.nbytes / best(lambda: np.dot(source, source)),
    }
    for kind in ("float64", "float32"):
        a = np.ones((1024, 1024), kind)
        out = np.empty_like(a)
        found[f"GEMM {kind}, GFLOP/s"] = 2e-9 * 1024**3 / best(lambda a=a, out=out: np.dot(a, a, out))
    return found
