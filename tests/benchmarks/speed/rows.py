"""The rows of the table: each problem written once, over a namespace of functions, for all contenders.

A framework's namespace has NumPy's functions and the derivatives `value_and_grad`, `grad`, `hessian` and `hvp`, all of
which take a function and its arguments; a symbolic framework makes expressions of them.
"""

# ruff: noqa: ARG001, PLR0917  (a problem takes all its arguments, and a namespace)

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tests.benchmarks import hessians
from tests.benchmarks.speed import hand

Array = np.ndarray[Any, Any]
Sizes: TypeAlias = Mapping[str, int]
Values: TypeAlias = dict[str, Any]


class Row(NamedTuple):
    """A problem of the table.

    Attributes:
        name: what it is called on the command line.
        title: what the table says.
        dims: the shape of each argument, in the words of `sb.symbols`; a function of the sizes where they tell it.
        value: what is differentiated, of a namespace and the arguments.
        wanted: what a call gives: all outputs in a flat list, of a namespace, `value`, and the arguments.
        hands: ways to write it by hand, the yardstick first: each makes a function of example arguments and threads.
        sizes: what the dims are in the table.
        small: what they are where only the values count.
        data: makes those arguments that are no normal random numbers, of a generator and the sizes.
        dtype: of all arguments.
        facts: what is declared of arguments.
        unit: in which the times are told: "s", "ms" or "µs".
        note: what else is to be known of it.
    """

    name: str
    title: str
    dims: str | Callable[[Sizes], str]
    value: Callable[..., Any]
    wanted: Callable[..., list[Any]]
    hands: Mapping[str, Callable[[Values, int], Callable[..., Sequence[Any]]]]
    sizes: Sizes
    small: Sizes
    data: Callable[[np.random.Generator, Sizes], Values] = lambda rng, sizes: {}
    dtype: str = "float64"
    facts: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    unit: str = "µs"
    note: str = ""

    def text(self, sizes: Sizes) -> str:
        """Give the shapes of the arguments as `sb.symbols` reads them."""
        return self.dims(sizes) if callable(self.dims) else self.dims

    def values(self, sizes: Sizes) -> Values:
        """Make the arguments."""
        rng = np.random.default_rng(0)
        made = self.data(rng, sizes)
        values = {}
        for part in self.text(sizes).split():
            name, _, dims = part.rstrip("]").partition("[")
            shape = tuple(_size(dim, sizes) for dim in dims.split(",") if dim)
            value = np.asarray(made.get(name, rng.standard_normal(shape)), self.dtype)
            assert value.shape == shape, (name, value.shape, shape)
            values[name] = value if shape else value.item() if self.dtype == "float64" else value[()]
        return values

    def ways(self, threads: int) -> dict[str, Callable[[Values, int], Callable[..., Sequence[Any]]]]:
        """Give the ways to write it by hand for so many threads, the yardstick first."""
        of_two = {name: make for name, make in self.hands.items() if name == "two threads"}
        others = {name: make for name, make in self.hands.items() if name not in of_two}
        return {**of_two, **others} if threads > 1 else others

    def outputs(self, m: Any, arguments: Values) -> list[Any]:
        """Give all outputs."""
        return self.wanted(m, self.value, arguments)


def _size(dim: str, sizes: Sizes) -> int:
    """Read ``N``, ``4`` or ``4*H``."""
    return math.prod(sizes.get(factor) or int(factor) for factor in dim.split("*"))


def gradient(*wrt: str) -> Callable[..., list[Any]]:
    """Give the function to the value and its gradients by some arguments; a name that ends in * stands for several."""

    def wanted(m: Any, value: Callable[..., Any], arguments: Values) -> list[Any]:
        names = _chosen(wrt, arguments)
        rest = {name: argument for name, argument in arguments.items() if name not in names}

        def f(*xs: Any) -> Any:
            return value(m, **rest, **dict(zip(names, xs, strict=True)))

        found, slopes = m.value_and_grad(f, [arguments[name] for name in names])
        return [found, *slopes]

    return wanted


def _chosen(wrt: Sequence[str], arguments: Values) -> list[str]:
    stems = tuple(name[:-1] for name in wrt if name.endswith("*"))
    return [name for name in arguments if name in wrt or (stems and name.startswith(stems))]


def hessian(wrt: str) -> Callable[..., list[Any]]:
    """Give the function to the Hessian by an argument."""

    def wanted(m: Any, value: Callable[..., Any], arguments: Values) -> list[Any]:
        rest = {name: argument for name, argument in arguments.items() if name != wrt}
        return [m.hessian(lambda x: value(m, **rest, **{wrt: x}), arguments[wrt])]

    return wanted


# --- networks -------------------------------------------------------------------------------------------------------


def xor(m: Any, X: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    """The squared error of a hidden layer of tanh and a sigmoid."""
    p = m.sigmoid(m.tanh(X @ W1 + b1) @ W2 + b2)
    return m.mean((p - y) ** 2)


def mlp(m: Any, X: Any, T: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any) -> Any:
    """The cross-entropy of two hidden layers of ReLU and a softmax."""
    h = m.relu(X @ W1 + b1)
    h = m.relu(h @ W2 + b2)
    return -m.mean(m.sum(T * m.log_softmax(h @ W3 + b3), axis=1))


def mlp_hvp(m: Any, value: Callable[..., Any], arguments: Values) -> list[Any]:
    """The product of the Hessian with a direction that has a part for each weight."""
    names = ["W1", "b1", "W2", "b2", "W3", "b3"]
    X, T = arguments["X"], arguments["T"]
    directions = [arguments["v" + name] for name in names]

    def f(*weights: Any) -> Any:
        return value(m, X, T, *weights)

    products: list[Any] = m.hvp(f, [arguments[name] for name in names], directions)
    return products


def deep(m: Any, X: Any, **weights: Any) -> Any:
    """The mean squared change that a deep network of tanh makes."""
    h = X
    for layer in range(len(weights) // 2):
        h = m.tanh(h @ weights[f"W{layer}"] + weights[f"b{layer}"])
    return m.mean((h - X) ** 2)


def lstm(m: Any, X: Any, Y: Any, h: Any, c: Any, W: Any, U: Any, b: Any) -> Any:
    """The mean squared error of the last state of an LSTM; the gates lie in the order in, forget, out, candidate."""
    (steps, *_), (_, size) = m.shape(X), m.shape(h)
    for step in range(steps):
        a = X[step] @ W + h @ U + b
        i, f, o = (m.sigmoid(a[:, at * size : (at + 1) * size]) for at in range(3))
        c = f * c + i * m.tanh(a[:, 3 * size :])
        h = o * m.tanh(c)
    return m.mean((h - Y) ** 2)


def _one_hot(rng: np.random.Generator, sizes: Sizes) -> Array:
    return np.eye(sizes["K"])[rng.integers(0, sizes["K"], sizes["N"])]


def _mlp_data(rng: np.random.Generator, sizes: Sizes) -> Values:
    names = "DHGK"
    weights = {
        f"W{at + 1}": rng.standard_normal((sizes[a], sizes[b])) * math.sqrt(2 / sizes[a])
        for at, (a, b) in enumerate(itertools.pairwise(names))
    }
    return {"T": _one_hot(rng, sizes), **weights}


def _deep_dims(sizes: Sizes) -> str:
    return "X[N,D] " + " ".join(f"W{layer}[D,D] b{layer}[D]" for layer in range(sizes["L"]))


def _deep_data(rng: np.random.Generator, sizes: Sizes) -> Values:
    D = sizes["D"]
    return {f"W{layer}": rng.standard_normal((D, D)) / math.sqrt(D) for layer in range(sizes["L"])}


def _lstm_data(rng: np.random.Generator, sizes: Sizes) -> Values:
    scale = math.sqrt(1 / (sizes["D"] + sizes["H"]))
    W, U = (rng.standard_normal((sizes[size], 4 * sizes["H"])) * scale for size in "DH")
    zeros = np.zeros((sizes["N"], sizes["H"]))
    return {"W": W, "U": U, "h": zeros, "c": zeros}


# --- regression -----------------------------------------------------------------------------------------------------


def logistic(m: Any, X: Any, y: Any, w: Any, b: Any) -> Any:
    """The cross-entropy of logistic regression, written so that nothing overflows in any framework."""
    z = X @ w + b
    return m.mean(m.softplus(z) - y * z)


def _labels(rng: np.random.Generator, sizes: Sizes) -> Values:
    w = rng.standard_normal(sizes["D"]) / math.sqrt(sizes["D"])
    return {"w": w, "y": rng.integers(0, 2, sizes["N"])}


# --- functions of elements ------------------------------------------------------------------------------------------


def chain(m: Any, x: Any, a: Any, b: Any) -> Any:
    """``Σ tanh(ax + b)·exp(−x²) + log1p(x²)``."""
    return m.sum(m.tanh(a * x + b) * m.exp(-(x**2)) + m.log1p(x**2))


def black_scholes(m: Any, S: Any, K: Any, T: Any, r: Any, v: Any) -> Any:
    """The prices of European calls, of spot, strike, time, rate and volatility."""
    d1 = (m.log(S / K) + (r + v**2 / 2) * T) / (v * m.sqrt(T))
    d2 = d1 - v * m.sqrt(T)
    return S * _normal(m, d1) - K * m.exp(-r * T) * _normal(m, d2)


def _normal(m: Any, x: Any) -> Any:
    return (1 + m.erf(x / math.sqrt(2))) / 2


def greeks(m: Any, value: Callable[..., Any], arguments: Values) -> list[Any]:
    """The prices, delta, −theta, rho, vega and gamma."""
    K = arguments["K"]

    def total(S: Any, T: Any, r: Any, v: Any) -> Any:
        return m.sum(value(m, S, K, T, r, v))

    xs = [arguments[name] for name in "STrv"]
    prices = value(m, xs[0], K, *xs[1:])
    delta, *others = m.grad(total, xs)
    (gamma,) = m.grad(lambda S: m.sum(m.grad(lambda S: total(S, *xs[1:]), [S])[0]), xs[:1])
    return [prices, delta, *others, gamma]


def _market(rng: np.random.Generator, sizes: Sizes) -> Values:
    n = sizes["N"]
    low_and_high = {"S": (50, 150), "K": (50, 150), "T": (0.2, 2.0), "r": (0.0, 0.08), "v": (0.1, 0.5)}
    return {name: rng.uniform(low, high, n) for name, (low, high) in low_and_high.items()}


# --- ADBench --------------------------------------------------------------------------------------------------------


def mixture(m: Any, X: Any, below: Any, a: Any, mu: Any, q: Any, L: Any) -> Any:
    """ADBench's Gaussian mixture: the log-likelihood with a Wishart prior (γ = 1, m = 0), without its constants.

    The inverse square roots of covariances are triangular: what of L lies below the diagonal, and exp(q) on it.
    """
    triangle = L * below
    Q = triangle + m.exp(q)[:, :, None] * m.eye(X.shape[1])
    y = m.einsum("kij,nkj->nki", Q, X[:, None, :] - mu)
    fit = m.sum(m.logsumexp(a + m.sum(q, axis=1) - m.sum(y**2, axis=2) / 2, axis=1) - m.logsumexp(a, axis=0))
    return fit + (m.sum(m.exp(q) ** 2) + m.sum(triangle**2)) / 2


def _mixture_data(rng: np.random.Generator, sizes: Sizes) -> Values:
    D = sizes["D"]
    return {"below": np.tri(D, k=-1), "mu": rng.uniform(size=(sizes["K"], D)), "X": rng.uniform(size=(sizes["N"], D))}


def reprojection(m: Any, C: Any, P: Any, w: Any, f: Any) -> list[Any]:
    """ADBench's bundle adjustment: two errors for each observation of a point by a camera, weighted.

    Cameras (rotation, centre, focal length, principal point, radial distortion), points, weights and features are given
    for each observation, one along the last axis.
    """
    R, x = [C[0], C[1], C[2]], [P[at] - C[3 + at] for at in range(3)]
    angle = m.sqrt(R[0] ** 2 + R[1] ** 2 + R[2] ** 2)
    cos, sin = m.cos(angle), m.sin(angle)
    n = [each / angle for each in R]
    along = (n[0] * x[0] + n[1] * x[1] + n[2] * x[2]) * (1 - cos)
    across = [n[1] * x[2] - n[2] * x[1], n[2] * x[0] - n[0] * x[2], n[0] * x[1] - n[1] * x[0]]
    turned = [x[at] * cos + across[at] * sin + n[at] * along for at in range(3)]
    s, t = turned[0] / turned[2], turned[1] / turned[2]
    square = s**2 + t**2
    stretch = (1 + C[9] * square + C[10] * square**2) * C[6]
    return [w * (s * stretch + C[7] - f[0]), w * (t * stretch + C[8] - f[1])]


def sparse_jacobian(m: Any, value: Callable[..., Any], arguments: Values) -> list[Any]:
    """The errors, and the derivatives of each by the camera, the point and the weight that it depends on."""
    f = arguments["f"]
    xs = [arguments[name] for name in "CPw"]
    slopes = [m.grad(lambda *xs, at=at: m.sum(value(m, *xs, f)[at]), xs) for at in range(2)]
    return [*value(m, *xs, f), *slopes[0], *slopes[1]]


def _observations(rng: np.random.Generator, sizes: Sizes) -> Values:
    """Give cameras that look at what is before them, with the numbers of photographs."""
    n = sizes["N"]
    C = rng.standard_normal((11, n)) * 0.1
    C[:3] += 0.2
    C[6] += 5
    C[9:] *= 0.1
    P = rng.standard_normal((3, n))
    P[2] += 8
    return {"C": C, "P": P, "w": rng.uniform(0.5, 1, n)}


# --- scalars --------------------------------------------------------------------------------------------------------

STEPS = 50


def logistic_map(m: Any, r: Any, x: Any) -> Any:
    """The logistic map ``x ← r x (1 − x)``, 50 times."""
    for _ in range(STEPS):
        x = r * x * (1 - x)
    return x


def speelpenning(m: Any, x: Any) -> Any:
    """Speelpenning's product ``x[0] x[1] … x[n−1]``, factor by factor."""
    product = x[0]
    for at in range(1, m.shape(x)[0]):
        product = product * x[at]
    return product


# --- all of them ----------------------------------------------------------------------------------------------------

_MLP_WEIGHTS = "W1[D,H] b1[H] W2[H,G] b2[G] W3[G,K] b3[K]"
_MLP: dict[str, Any] = {
    "dims": f"X[N,D] T[N,K] {_MLP_WEIGHTS}", "value": mlp,
    "small": {"N": 6, "D": 5, "H": 7, "G": 4, "K": 3}, "data": _mlp_data, "dtype": "float32",
    "facts": {"T": {"rows_sum_to": 1}},
}  # fmt: skip
_SMALL_MLP = {"N": 128, "D": 64, "H": 128, "G": 64, "K": 10}
_CHAIN: dict[str, Any] = {
    "dims": "x[N] a b", "value": chain, "wanted": gradient("x"), "sizes": {"N": 4_000_000}, "small": {"N": 1000},
    "hands": {
        "blocked": hand.chain, "two threads": hand.chain_on_two_threads, "out=": hand.chain_in_buffers,
        "as written": hand.chain_as_written,
    },
    "unit": "ms",
}  # fmt: skip
_LOGISTIC, _FACTORISATION = (
    next(problem for problem in hessians.PROBLEMS if problem.name == name)
    for name in ("logistic regression", "factorisation")
)

ROWS: tuple[Row, ...] = (
    Row(
        name="xor", title="XOR net 2-16-1, batch 4, f64", dims="X[N,2] y[N,1] W1[2,H] b1[H] W2[H,1] b2[1]", value=xor,
        wanted=gradient("W*", "b*"), hands={"hand": hand.xor}, sizes={"N": 4, "H": 16}, small={"N": 4, "H": 16},
        data=lambda rng, sizes: {"X": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [[0], [1], [1], [0]]},
    ),
    Row(
        name="mlp", title="MLP 64-128-64-10, batch 128, f32", wanted=gradient("W*", "b*"), hands={"hand": hand.mlp},
        sizes=_SMALL_MLP, **_MLP,
    ),
    Row(
        name="mlp-large", title="MLP 784-1024-1024-10, batch 256, f32", wanted=gradient("W*", "b*"),
        hands={"hand": hand.mlp}, sizes={"N": 256, "D": 784, "H": 1024, "G": 1024, "K": 10}, unit="ms", **_MLP,
    ),
    Row(
        name="logistic", title="logistic regression 10⁵×100, f64", dims="X[N,D] y[N] w[D] b", value=logistic,
        wanted=gradient("w", "b"), hands={"hand": hand.logistic, "blocked": hand.logistic_in_blocks},
        sizes={"N": 100_000, "D": 100}, small={"N": 2000, "D": 4}, data=_labels, unit="ms",
    ),
    Row(
        name="logistic-hessian", title="logistic regression 10⁴×300, Hessian",
        dims=_LOGISTIC.dims, value=_LOGISTIC.value, wanted=hessian("w"),
        hands={"SYRK": hand.logistic_hessian, "GEMM": hand.logistic_hessian_by_gemm},
        sizes={"N": 10_000, "D": 300}, small={"N": 12, "D": 4}, data=_labels, unit="ms",
    ),
    Row(
        name="factorisation-hessian", title="Hessian of ‖X−UVᵀ‖² by U, 60×80, k=5",
        dims=_FACTORISATION.dims, value=_FACTORISATION.value, wanted=hessian("U"),
        hands={"closed": hand.factorisation_hessian},
        sizes={"N": 60, "M": 80, "K": 5}, small={"N": 5, "M": 4, "K": 2},
    ),
    Row(name="chain", title="Σ tanh(ax+b)·exp(−x²)+log1p(x²), 4·10⁶ f64", **_CHAIN),
    Row(name="chain-f32", title="the same, f32", dtype="float32", **_CHAIN),
    Row(
        name="black-scholes", title="Black–Scholes and 5 greeks, 10⁶ f64", dims="S[N] K[N] T[N] r[N] v[N]",
        value=black_scholes, wanted=greeks, hands={"blocked": hand.greeks, "two threads": hand.greeks_on_two_threads},
        sizes={"N": 1_000_000}, small={"N": 1000}, data=_market, unit="ms",
        facts={name: {"positive": True} for name in "SKTv"},
    ),
    Row(
        name="mixture", title="Gaussian mixture (ADBench), d=10 K=25 n=1000",
        dims="X[N,D] below[D,D] a[K] mu[K,D] q[K,D] L[K,D,D]", value=mixture, wanted=gradient("a", "mu", "q", "L"),
        hands={"GEMM": hand.mixture, "as written": hand.mixture_as_written}, sizes={"N": 1000, "D": 10, "K": 25},
        small={"N": 20, "D": 4, "K": 3}, data=_mixture_data, unit="ms",
        note="The triangular factors are given as matrices, of which the part below the diagonal counts.",
    ),
    Row(
        name="bundle", title="bundle adjustment (ADBench), sparse Jacobian of 31,843 observations",
        dims="C[11,N] P[3,N] w[N] f[2,N]", value=reprojection, wanted=sparse_jacobian, hands={"blocked": hand.bundle},
        sizes={"N": 31_843}, small={"N": 50}, data=_observations, unit="ms",
        note="Cameras and points are given for each observation; rotations are not 0.",
    ),
    Row(
        name="mlp-hvp", title="Hessian-vector product of the small MLP", wanted=mlp_hvp, hands={"hand": hand.mlp_hvp},
        sizes=_SMALL_MLP, **{**_MLP, "dims": _MLP["dims"] + " " + _MLP_WEIGHTS.replace("W", "vW").replace("b", "vb")},
    ),
    Row(
        name="deep", title="200-layer tanh net, width 32, batch 16", dims=_deep_dims, value=deep,
        wanted=gradient("W*", "b*"), hands={"hand": hand.deep, "batched": hand.deep_in_batches},
        sizes={"L": 200, "N": 16, "D": 32}, small={"L": 5, "N": 3, "D": 4}, data=_deep_data, unit="ms",
    ),
    Row(
        name="lstm", title="LSTM of 50 steps, hidden 64, batch 32, f32", dims=lambda sizes: (
            f"X[{sizes['L']},N,D] Y[N,H] h[N,H] c[N,H] W[D,4*H] U[H,4*H] b[4*H]"
        ), value=lstm, wanted=gradient("W", "U", "b"), hands={"hand": hand.lstm},
        sizes={"L": 50, "N": 32, "D": 64, "H": 64}, small={"L": 3, "N": 3, "D": 4, "H": 5}, data=_lstm_data,
        dtype="float32", unit="ms",
    ),
    Row(
        name="logistic-map", title="logistic map, 50 steps, scalar", dims="r x", value=logistic_map,
        wanted=gradient("r", "x"), hands={"hand": hand.logistic_map, "backwards": hand.logistic_map_backwards},
        sizes={}, small={}, data=lambda rng, sizes: {"r": 3.6, "x": 0.3},
    ),
    Row(
        name="speelpenning", title="Speelpenning product of 1,000 scalars", dims=lambda sizes: f"x[{sizes['N']}]",
        value=speelpenning, wanted=gradient("x"),
        hands={"accumulated": hand.speelpenning, "as written": hand.speelpenning_as_written}, sizes={"N": 1000},
        small={"N": 6}, data=lambda rng, sizes: {"x": rng.uniform(0.9, 1.1, sizes["N"])},
    ),
)  # fmt: skip
