"""Hessians of textbook problems: symbackprop, NumPy closed by hand, and the peers that are installed.

``python -m tests.benchmarks.hessians`` prints the table for one thread, ``… hessians 2`` for two.
A problem is written once, over a namespace of functions, and every framework differentiates the same text.
"""

# ruff: noqa: ARG001  (all functions of a problem take all its arguments)

from __future__ import annotations

import os
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import symbackprop as sb
from tests.benchmarks import namespaces, peers
from tests.benchmarks.timing import in_turns

Array = np.ndarray[Any, Any]
Values = dict[str, Array]


class Structure(NamedTuple):
    """What a Hessian is made of.

    Attributes:
        parts: computes the parts as a careful person does.
        filled: the dense Hessian that stands for them, of all arguments and the parts.
    """

    parts: Callable[..., tuple[Array, ...]]
    filled: Callable[..., Array]


class Problem(NamedTuple):
    """A scalar, and its Hessian by one of its arguments.

    Attributes:
        name: what it is called in the table.
        dims: the shape of each argument, in the words of `sb.symbols`.
        wrt: the argument to differentiate by.
        sizes: what the dims are in the table.
        small: what they are where only the values count.
        value: the scalar, of a namespace of functions and the arguments.
        casadi: the same for CasADi, which knows matrices alone and does not broadcast; None if it cannot do it.
        dense: its Hessian as a careful person writes it; None if that is to fill in the structure.
        structure: the parts of the Hessian, where it has a structure.
        facts: what is declared of arguments.
        data: makes those arguments that are no normal random numbers, of a generator and the sizes.
    """

    name: str
    dims: str
    wrt: str
    sizes: Mapping[str, int]
    small: Mapping[str, int]
    value: Callable[..., Any]
    casadi: Callable[..., Any] | None
    dense: Callable[..., Array] | None = None
    structure: Structure | None = None
    facts: Mapping[str, Mapping[str, float]] = MappingProxyType({})
    data: Callable[[np.random.Generator, Mapping[str, int]], Values] = lambda rng, sizes: {}

    def shapes(self) -> dict[str, tuple[str, ...]]:
        """Give the dims of each argument."""
        parts = [part.rstrip("]").split("[") for part in self.dims.split()]
        return {name: tuple(dims.split(",")) for name, dims in parts}

    def values(self, sizes: Mapping[str, int]) -> Values:
        """Make the arguments."""
        rng = np.random.default_rng(0)
        values = self.data(rng, sizes)
        for name, dims in self.shapes().items():
            shape = tuple(sizes.get(dim) or int(dim) for dim in dims)
            if name not in values:
                values[name] = rng.standard_normal(shape)
            assert values[name].shape == shape, name
        return {name: values[name] for name in self.shapes()}

    def expressions(self) -> tuple[list[sb.Expr], sb.Expr]:
        """Give the symbols and the Hessian."""
        symbols = dict(zip(self.shapes(), sb.symbols(self.dims), strict=True))
        for name, facts in self.facts.items():
            sb.assume(symbols[name], **facts)
        return list(symbols.values()), sb.hessian(self.value(FUNCTIONS, **symbols), symbols[self.wrt])

    def by_hand(self, values: Values) -> Array:
        """Give the dense Hessian."""
        if self.dense is not None:
            return self.dense(**values)
        assert self.structure is not None
        return self.structure.filled(values, *self.structure.parts(**values))


FUNCTIONS = SimpleNamespace(**namespaces.OURS)


# --- regression -----------------------------------------------------------------------------------------------


def quadratic(m: Any, A: Any, x: Any) -> Any:
    """The quadratic form ``xᵀAx``."""
    return m.sum(x * (A @ x))


def quadratic_by_hand(A: Array, x: Array) -> Array:
    return A + A.T


def quadratic_for_casadi(m: Any, A: Any, x: Any) -> Any:
    return x.T @ A @ x


def least_squares(m: Any, X: Any, w: Any, y: Any) -> Any:
    """``‖Xw − y‖²``."""
    return m.sum((X @ w - y) ** 2)


def least_squares_by_hand(X: Array, w: Array, y: Array) -> Array:
    H = X.T @ X  # NumPy sees that this is symmetric: SYRK does half the work
    H *= 2
    return H


def least_squares_for_casadi(m: Any, X: Any, w: Any, y: Any) -> Any:
    return m.sumsqr(X @ w - y)


def logistic(m: Any, X: Any, w: Any, y: Any) -> Any:
    """The cross-entropy of logistic regression, as textbooks write it."""
    p = 1 / (1 + m.exp(-(X @ w)))
    return -m.mean(y * m.log(p) + (1 - y) * m.log(1 - p))


def logistic_by_hand(X: Array, w: Array, y: Array) -> Array:
    p = 1 / (1 + np.exp(-(X @ w)))
    Z = X * np.sqrt(p * (1 - p) / len(X))[:, None]
    return Z.T @ Z


def logistic_for_casadi(m: Any, X: Any, w: Any, y: Any) -> Any:
    p = 1 / (1 + m.exp(-(X @ w)))
    return -m.sum1(y * m.log(p) + (1 - y) * m.log(1 - p)) / X.shape[0]


def poisson(m: Any, X: Any, w: Any, y: Any) -> Any:
    """The negative log-likelihood of Poisson regression, without its constant."""
    z = X @ w
    return m.mean(m.exp(z) - y * z)


def poisson_by_hand(X: Array, w: Array, y: Array) -> Array:
    Z = X * np.sqrt(np.exp(X @ w) / len(X))[:, None]
    return Z.T @ Z


def poisson_for_casadi(m: Any, X: Any, w: Any, y: Any) -> Any:
    z = X @ w
    return m.sum1(m.exp(z) - y * z) / X.shape[0]


def softmax(m: Any, X: Any, W: Any, Y: Any) -> Any:
    """The cross-entropy of softmax regression, as textbooks write it."""
    e = m.exp(X @ W)
    p = e / m.sum(e, axis=1, keepdims=True)
    return -m.mean(m.sum(Y * m.log(p), axis=1))


def softmax_by_hand(X: Array, W: Array, Y: Array) -> Array:
    (N, D), K = X.shape, W.shape[1]
    p = X @ W
    p -= p.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    Q = (X[:, :, None] * p[:, None, :]).reshape(N, D * K)
    H = Q.T @ Q
    H *= -1 / N
    H = H.reshape(D, K, D, K)
    G = Q.T @ X
    G /= N
    np.einsum("dkek->dke", H)[...] += G.reshape(D, K, D)
    return H


def softmax_for_casadi(m: Any, X: Any, W: Any, Y: Any) -> Any:
    e = m.exp(X @ W)
    p = e / m.repmat(m.sum2(e), 1, W.shape[1])
    return -m.sum1(m.sum2(Y * m.log(p))) / X.shape[0]


def _classes(rng: np.random.Generator, sizes: Mapping[str, int]) -> Values:
    return {"Y": np.eye(sizes["K"])[rng.integers(0, sizes["K"], sizes["N"])]}


def _binary(rng: np.random.Generator, sizes: Mapping[str, int]) -> Values:
    """Give weights for which no rate explodes, and labels."""
    y = rng.integers(0, 2, sizes["N"]).astype(np.float64)
    return {"w": rng.standard_normal(sizes["D"]) / np.sqrt(sizes["D"]), "y": y}


# --- matrix factorisation -------------------------------------------------------------------------------------


def factorisation(m: Any, T: Any, U: Any, V: Any) -> Any:
    """``‖T − UVᵀ‖²``."""
    return m.sum((T - U @ V.T) ** 2)


def by_left_factor_compressed(T: Array, U: Array, V: Array) -> tuple[Array]:
    G = V.T @ V
    G *= 2
    return (G,)


def by_left_factor_filled(values: Values, G: Array) -> Array:
    """Give ``I ⊗ G`` with the axes of U, twice."""
    H = np.zeros(values["U"].shape * 2)
    np.einsum("ijil->ijl", H)[...] = G
    return H


def by_right_factor_compressed(T: Array, U: Array, V: Array) -> tuple[Array]:
    return by_left_factor_compressed(T, V, U)


def by_right_factor_filled(values: Values, G: Array) -> Array:
    return by_left_factor_filled({"U": values["V"]}, G)


def factorisation_for_casadi(m: Any, T: Any, U: Any, V: Any) -> Any:
    return m.sumsqr(T - U @ V.T)


# --- functions of elements ------------------------------------------------------------------------------------


def total_softplus(m: Any, x: Any) -> Any:
    """``Σ log(1 + exp(xᵢ))``, whose Hessian is diagonal."""
    return m.sum(m.log(1 + m.exp(x)))


def total_softplus_compressed(x: Array) -> tuple[Array]:
    p = 1 / (1 + np.exp(-x))
    return (p * (1 - p),)


def total_softplus_filled(values: Values, slope: Array) -> Array:
    H = np.zeros((len(slope), len(slope)))
    np.einsum("ii->i", H)[...] = slope
    return H


def total_softplus_for_casadi(m: Any, x: Any) -> Any:
    return m.sum1(m.log(1 + m.exp(x)))


def log_sum_exp(m: Any, x: Any) -> Any:
    """``log Σ exp(xᵢ)``, whose Hessian is a diagonal matrix less one of rank 1."""
    return m.log(m.sum(m.exp(x)))


def log_sum_exp_compressed(x: Array) -> tuple[Array]:
    p = np.exp(x - x.max())
    p /= p.sum()
    return (p,)


def log_sum_exp_filled(values: Values, p: Array) -> Array:
    H = np.multiply.outer(-p, p)
    np.einsum("ii->i", H)[...] += p
    return H


def row_log_sum_exp(m: Any, X: Any) -> Any:
    """``Σᵢ log Σⱼ exp(xᵢⱼ)``, whose Hessian has one block for each row."""
    return m.sum(m.log(m.sum(m.exp(X), axis=1)))


def row_log_sum_exp_compressed(X: Array) -> tuple[Array]:
    p = np.exp(X - X.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    blocks = -p[:, :, None] * p[:, None, :]
    np.einsum("njj->nj", blocks)[...] += p
    return (blocks,)


def row_log_sum_exp_filled(values: Values, blocks: Array) -> Array:
    H = np.zeros(blocks.shape[:2] * 2)
    np.einsum("ijil->ijl", H)[...] = blocks
    return H


def row_log_sum_exp_for_casadi(m: Any, X: Any) -> Any:
    return m.sum1(m.log(m.sum2(m.exp(X))))


# --- Gaussian process -----------------------------------------------------------------------------------------


def gaussian_process(m: Any, X: Any, y: Any, t: Any) -> Any:
    """The negative log-likelihood of ``t = (log lengthscale, log signal, log noise)`` with an RBF kernel."""
    D = m.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=2)
    K = m.exp(2 * t[1]) * m.exp(-D * m.exp(-2 * t[0]) / 2) + m.exp(2 * t[2]) * m.eye(X.shape[0])
    return (m.sum(y * m.solve(K, y)) + m.logdet(K)) / 2


def gaussian_process_by_hand(X: Array, y: Array, t: Array) -> Array:
    length, signal, noise = np.exp(2 * t)
    squares = np.einsum("ij,ij->i", X, X)
    D = X @ X.T
    D *= -2
    D += squares
    D += squares[:, None]
    D /= length
    S = np.exp(D * -0.5)  # the signal's part of K, which is its derivative by log signal, halved
    S *= signal
    K = S.copy()
    np.einsum("ii->i", K)[...] += noise
    inverse = np.linalg.inv(K)  # symmetric
    a = inverse @ y
    S1 = S * D  # the derivative by log lengthscale
    P = inverse @ S1
    S1a, Sa = S1 @ a, S @ a
    D -= 2
    D *= S1  # its derivative by log lengthscale
    trace, trace_of_squares = np.trace(inverse), np.vdot(inverse, inverse)
    # K⁻¹S = I − noise K⁻¹, so that no other product of matrices is needed.
    p_trace = np.trace(P)
    mixed = p_trace - noise * np.vdot(P, inverse)  # tr(K⁻¹S₁ K⁻¹S)
    both = len(y) - 2 * noise * trace + noise**2 * trace_of_squares  # tr(K⁻¹S K⁻¹S)
    H = np.empty((3, 3))
    H[0, 0] = (np.vdot(inverse, D) - np.vdot(P, P.T) - a @ (D @ a)) / 2 + S1a @ (inverse @ S1a)
    H[0, 1] = H[1, 0] = p_trace - mixed - S1a @ a + 2 * S1a @ (inverse @ Sa)
    H[0, 2] = H[2, 0] = -noise * np.vdot(P, inverse) + 2 * noise * S1a @ (inverse @ a)
    H[1, 1] = 2 * (len(y) - noise * trace) - 2 * both - 2 * Sa @ a + 4 * Sa @ (inverse @ Sa)
    H[1, 2] = H[2, 1] = -2 * noise * (trace - noise * trace_of_squares) + 4 * noise * Sa @ (inverse @ a)
    H[2, 2] = 2 * noise * trace - 2 * noise**2 * trace_of_squares - 2 * noise * a @ a + 4 * noise**2 * a @ (inverse @ a)
    return H


def _hyperparameters(rng: np.random.Generator, sizes: Mapping[str, int]) -> Values:
    return {"t": np.log([1.5, 1.2, 0.3])}


# --- networks -------------------------------------------------------------------------------------------------

LAYERS = 10


def relu_network(m: Any, x: Any, y: Any, **weights: Any) -> Any:
    """The cross-entropy of ten square layers, nine ReLUs between them, and a softmax (Laue et al., AAAI 2020)."""
    h = x
    for at in range(1, LAYERS):
        h = m.relu(weights[f"W{at}"] @ h)
    z = weights[f"W{LAYERS}"] @ h
    return m.log(m.sum(m.exp(z))) - m.sum(y * z)


def relu_network_compressed(x: Array, y: Array, **weights: Array) -> tuple[Array, Array]:
    z = weights["W1"] @ x
    M = weights["W2"] * (z > 0)  # the slope of the logits by the first layer's sums
    h = np.maximum(z, 0)
    for at in range(2, LAYERS):
        z = weights[f"W{at}"] @ h
        h = np.maximum(z, 0)
        M = (weights[f"W{at + 1}"] * (z > 0)) @ M
    z = weights[f"W{LAYERS}"] @ h
    p = np.exp(z - z.max())
    p /= p.sum()
    centred = M - p @ M
    centred *= np.sqrt(p)[:, None]
    return centred.T @ centred, x


def relu_network_filled(values: Values, S: Array, x: Array) -> Array:
    """Give ``S ⊗ xxᵀ`` with the axes of the first layer, twice."""
    n = len(x)
    R = np.multiply.outer(S, x).reshape(n, 1, n * n)
    return (R * x[:, None]).reshape(n, n, n, n)


def relu_network_for_casadi(m: Any, x: Any, y: Any, **weights: Any) -> Any:
    h = x
    for at in range(1, LAYERS):
        h = m.fmax(weights[f"W{at}"] @ h, 0)
    z = weights[f"W{LAYERS}"] @ h
    return m.log(m.sum1(m.exp(z))) - m.sum1(y * z)


def _layers(rng: np.random.Generator, sizes: Mapping[str, int]) -> Values:
    n = sizes["H"]
    weights = {f"W{at}": rng.standard_normal((n, n)) * np.sqrt(2 / n) for at in range(1, LAYERS + 1)}
    return {**weights, "x": rng.standard_normal(n) + 1, "y": np.eye(n)[0]}


def tanh_network(m: Any, X: Any, W: Any, v: Any, y: Any) -> Any:
    """The mean squared error of a hidden layer of tanh and a linear output."""
    return m.mean((m.tanh(X @ W) @ v - y) ** 2)


def tanh_network_by_hand(X: Array, W: Array, v: Array, y: Array) -> Array:
    (N, D), K = X.shape, W.shape[1]
    h = np.tanh(X @ W)
    r = h @ v
    r -= y
    slope = 1 - h * h
    slope *= v
    J = (X[:, :, None] * slope[:, None, :]).reshape(N, D * K)
    H = J.T @ J
    H *= 2 / N
    H = H.reshape(D, K, D, K)
    h *= slope
    h *= r[:, None]
    h *= -4 / N
    G = (X.T[None, :, :] * h.T[:, None, :]).reshape(K * D, N) @ X
    np.einsum("dkek->kde", H)[...] += G.reshape(K, D, D)
    return H


def tanh_network_for_casadi(m: Any, X: Any, W: Any, v: Any, y: Any) -> Any:
    return m.sumsqr(m.tanh(X @ W) @ v - y) / X.shape[0]


# --- distances ------------------------------------------------------------------------------------------------


def stress(m: Any, X: Any, T: Any) -> Any:
    """``Σ(‖xᵢ − xⱼ‖² − Tᵢⱼ)²``, of multidimensional scaling."""
    return m.sum((m.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=2) - T) ** 2)


def stress_by_hand(X: Array, T: Array) -> Array:
    n, d = X.shape
    difference = X[:, None, :] - X[None, :, :]
    squares = np.einsum("ija,ija->ij", difference, difference)
    squares *= 2
    squares -= T
    squares -= T.T
    squares *= -4
    H = np.empty((n, d, n, d))
    blocks = H.transpose(0, 2, 1, 3)
    np.multiply((-16 * difference)[..., :, None], difference[..., None, :], out=blocks)
    np.einsum("iaja->ija", H)[...] += squares[:, :, None]
    np.einsum("iaic->iac", H)[...] -= H.sum(axis=2)
    return H


def stress_for_casadi(m: Any, X: Any, T: Any) -> Any:
    squares = m.repmat(m.sum2(X * X), 1, X.shape[0])
    return m.sumsqr(squares + squares.T - 2 * X @ X.T - T)


# --- all of them ----------------------------------------------------------------------------------------------

_REGRESSION: dict[str, Any] = {
    "dims": "X[N,D] w[D] y[N]", "wrt": "w", "sizes": {"N": 2000, "D": 200}, "small": {"N": 12, "D": 4},
    "data": _binary,
}  # fmt: skip
_FACTORS: dict[str, Any] = {
    "dims": "T[N,M] U[N,K] V[M,K]", "small": {"N": 5, "M": 4, "K": 2},
    "value": factorisation, "casadi": factorisation_for_casadi,
}  # fmt: skip
_BY_LEFT = Structure(by_left_factor_compressed, by_left_factor_filled)
_BY_RIGHT = Structure(by_right_factor_compressed, by_right_factor_filled)
_RELU_NETWORK: dict[str, Any] = {
    "dims": "x[H] y[H] " + " ".join(f"W{at}[H,H]" for at in range(1, LAYERS + 1)), "wrt": "W1", "small": {"H": 4},
    "value": relu_network, "structure": Structure(relu_network_compressed, relu_network_filled),
    "data": _layers,
}  # fmt: skip

PROBLEMS: tuple[Problem, ...] = (
    Problem(
        name="quadratic form", dims="A[N,N] x[N]", wrt="x", sizes={"N": 300}, small={"N": 5},
        value=quadratic, casadi=quadratic_for_casadi, dense=quadratic_by_hand,
    ),
    Problem(
        name="least squares", value=least_squares, casadi=least_squares_for_casadi, dense=least_squares_by_hand,
        **_REGRESSION,
    ),
    Problem(
        name="logistic regression", value=logistic, casadi=logistic_for_casadi, dense=logistic_by_hand, **_REGRESSION,
    ),
    Problem(
        name="Poisson regression", value=poisson, casadi=poisson_for_casadi, dense=poisson_by_hand, **_REGRESSION,
    ),
    Problem(
        name="softmax regression", dims="X[N,D] W[D,K] Y[N,K]", wrt="W", sizes={"N": 1000, "D": 30, "K": 10},
        small={"N": 12, "D": 4, "K": 3}, value=softmax, casadi=softmax_for_casadi, dense=softmax_by_hand, data=_classes,
        facts={"Y": {"rows_sum_to": 1}},
    ),
    *(
        Problem(name="factorisation", wrt=wrt, sizes={"N": n, "M": n, "K": 5}, structure=structure, **_FACTORS)
        for wrt, structure in (("U", _BY_LEFT), ("V", _BY_RIGHT))
        for n in (100, 200)
    ),
    Problem(
        name="Gaussian process", dims="X[N,D] y[N] t[3]", wrt="t", sizes={"N": 100, "D": 3}, small={"N": 6, "D": 2},
        value=gaussian_process, casadi=None, dense=gaussian_process_by_hand, data=_hyperparameters,
    ),
    Problem(name="ten layers of ReLU", sizes={"H": 10}, casadi=relu_network_for_casadi, **_RELU_NETWORK),
    Problem(name="ten layers of ReLU", sizes={"H": 30}, casadi=None, **_RELU_NETWORK),  # it takes minutes to build
    Problem(
        name="two layers, tanh", dims="X[N,D] W[D,K] v[K] y[N]", wrt="W", sizes={"N": 500, "D": 20, "K": 10},
        small={"N": 7, "D": 4, "K": 3}, value=tanh_network, casadi=tanh_network_for_casadi, dense=tanh_network_by_hand,
    ),
    Problem(
        name="distances", dims="X[N,D] T[N,N]", wrt="X", sizes={"N": 40, "D": 3}, small={"N": 5, "D": 2},
        value=stress, casadi=stress_for_casadi, dense=stress_by_hand,
    ),
    Problem(
        name="sum of softplus", dims="x[N]", wrt="x", sizes={"N": 1000}, small={"N": 5},
        value=total_softplus, casadi=total_softplus_for_casadi,
        structure=Structure(total_softplus_compressed, total_softplus_filled),
    ),
    Problem(
        name="log-sum-exp", dims="x[N]", wrt="x", sizes={"N": 1000}, small={"N": 5},
        value=log_sum_exp, casadi=None,  # it takes minutes to build
        structure=Structure(log_sum_exp_compressed, log_sum_exp_filled),
    ),
    Problem(
        name="log-sum-exp of rows", dims="X[N,K]", wrt="X", sizes={"N": 100, "K": 10}, small={"N": 4, "K": 3},
        value=row_log_sum_exp, casadi=row_log_sum_exp_for_casadi,
        structure=Structure(row_log_sum_exp_compressed, row_log_sum_exp_filled),
    ),
)  # fmt: skip


# --- the table ------------------------------------------------------------------------------------------------


def structured(inputs: list[sb.Expr], hessian: sb.Expr) -> Callable[..., Any]:
    """Compile the parts of a Hessian."""
    return sb.compile(inputs, hessian, structured=True)


def peak_ratio(function: Callable[[], Array], values: Values) -> float:
    """Give the most memory that a call takes at a time, its result with it, over that of arguments and result."""
    kept = sum(value.nbytes for value in values.values()) + function().nbytes
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / kept


class Figures(NamedTuple):
    """What was measured of a problem.

    Attributes:
        problem: the problem.
        seconds: the median of each contender.
        sparse: those that give only what is not zero, and are set against the parts.
        memory: the memory of ours and of the one by hand, as `peak_ratio`.
    """

    problem: Problem
    seconds: dict[str, float]
    sparse: Collection[str]
    memory: tuple[float, float]

    def fastest(self, *, sparse: bool) -> str:
        """Tell the fastest of the peers."""
        found = {name: t for name, t in self.seconds.items() if name not in OWN and (name in self.sparse) == sparse}
        name = min(found, key=found.__getitem__, default="")
        ratio = "" if sparse or not name else f" (**{found[name] / self.seconds[OURS]:.1f}**)"
        return f"{1e3 * found[name]:.2f} {name}{ratio}" if name else "—"

    def row(self) -> list[str]:
        """Give the cells of the table."""
        t, problem = self.seconds, self.problem
        sizes = ", ".join(f"{name}={size}" for name, size in problem.sizes.items())
        parts = "—"
        if problem.structure is not None:
            parts = f"{1e3 * t[PARTS]:.4f} / {1e3 * t[PARTS_BY_HAND]:.4f} = **{t[PARTS] / t[PARTS_BY_HAND]:.2f}**"
        return [
            f"{problem.name} by {problem.wrt} ({sizes})",
            f"{1e3 * t[OURS]:.3f}",
            f"{1e3 * t[BY_HAND]:.3f}",
            f"**{t[OURS] / t[BY_HAND]:.2f}**",
            self.fastest(sparse=False),
            parts,
            self.fastest(sparse=True),
            f"{self.memory[0]:.2f} ({self.memory[1]:.2f})",
        ]


_SLOW = 0.3  # seconds of a peer's call that is timed once and takes no part in the rounds
OURS, BY_HAND, PARTS, PARTS_BY_HAND = OWN = ("symbackprop", "by hand", "symbackprop, parts", "by hand, parts")
_HEAD = [
    "Hessian", "ours, ms", "by hand, ms", "ours / hand", "fastest peer, ms (peer / ours)",
    "parts, ours / by hand, ms", "fastest sparse peer, ms", "memory (by hand)",
]  # fmt: skip


def measure(problem: Problem, makers: Mapping[str, peers.Maker], clock: Callable[[], float]) -> Figures:
    """Time all contenders in turns, after checking that they agree; a clock tells the seconds."""
    values = problem.values(problem.sizes)
    truth = problem.by_hand(values)

    def check(found: Any) -> None:
        np.testing.assert_allclose(found.reshape(truth.shape), truth, rtol=1e-9, atol=1e-9 * np.abs(truth).max())

    with sb.Graph():
        inputs, hessian = problem.expressions()
        function, parts = sb.compile(inputs, hessian), structured(inputs, hessian)
    contenders: dict[str, Callable[[], Any]] = {
        OURS: lambda: function(*values.values()),
        BY_HAND: lambda: problem.by_hand(values),
    }
    if problem.structure is not None:
        hand = problem.structure.parts
        contenders[PARTS_BY_HAND] = lambda: hand(**values)
        contenders[PARTS] = lambda: parts(*values.values())
    check(contenders[OURS]())
    slow: dict[str, float] = {}
    sparse: set[str] = set()
    for framework, maker in makers.items():
        try:
            for name, peer in maker(problem, values):
                check(peer.numbers(peer.call()))
                if not peer.dense:
                    sparse.add(name)
                start = clock()
                peer.call()
                seconds = clock() - start
                if seconds > _SLOW:
                    slow[name] = seconds
                else:
                    contenders[name] = peer.call
        except Exception as error:  # noqa: BLE001  (whatever a peer raises: it has no answer)
            print(f"  {problem.name}: {framework} has no answer: {error!r:.200}", file=sys.stderr)
    times = {**in_turns(contenders, kept=OWN, clock=clock), **slow}
    return Figures(
        problem, times, sparse, (peak_ratio(contenders[OURS], values), peak_ratio(contenders[BY_HAND], values))
    )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Keep this process to so many cores, and each library to so many threads."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if cores is not None:
        os.sched_setaffinity(0, sorted(cores)[:count])
    with threadpool_limits(count):
        yield
    if cores is not None:
        os.sched_setaffinity(0, cores)


def table(count: int = 1, only: str = "") -> Iterator[str]:
    """Give the lines of the table, as Markdown, for so many threads and those problems whose name has this in it."""
    start = time.perf_counter()
    # What one thread does is told by its processor's time, to which it does not matter what else the machine does.
    clock, seconds = (time.process_time, "processor") if count == 1 else (time.perf_counter, "wall")
    with threads(count):
        makers = peers.installed(count)
        versions = ", ".join([f"Python {platform.python_version()}", f"NumPy {np.__version__}", *makers])
        yield f"{time.strftime('%Y-%m-%d')}, {count} of {os.cpu_count()} cores, {seconds} time, {versions}"
        yield ""
        yield "| " + " | ".join(_HEAD) + " |"
        yield "|---" * len(_HEAD) + "|"
        for problem in PROBLEMS:
            if only not in problem.name:
                continue
            figures = measure(problem, makers, clock)
            yield "| " + " | ".join(figures.row()) + " |"
            others = [f"{name} {1e3 * t:.2f}" for name, t in figures.seconds.items() if name not in OWN]
            print(f"  {problem.name}: {', '.join(others)}", file=sys.stderr)
    yield ""
    yield f"In {time.perf_counter() - start:.0f} s."


def main(count: int = 1, only: str = "") -> None:
    """Print the table."""
    for line in table(count, only):
        print(line, flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]), *sys.argv[2:3])
