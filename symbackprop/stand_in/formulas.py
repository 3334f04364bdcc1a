"""Formulas of SciPy's functions that are written in Python, with the arguments that they have in SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from symbackprop import ops
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr

# --- scipy.linalg ---------------------------------------------------------------------------------------------


def cholesky(a: Any, lower: bool = False) -> Expr:  # noqa: FBT001, FBT002  (SciPy's)
    """Factor a positive definite matrix: into an upper triangle, unless told otherwise."""
    found = ops.linalg.cholesky(a)
    return found if lower else ops.matrix_transpose(found)


def cho_factor(a: Any, lower: bool = False) -> tuple[Expr, bool]:  # noqa: FBT001, FBT002  (SciPy's)
    """Factor a positive definite matrix for `cho_solve`."""
    return cholesky(a, lower), lower


def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Expr:
    """Solve a system whose matrix `cho_factor` has factored."""
    factor, lower = c_and_lower
    half = ops.linalg.solve_triangular(factor, b, trans=0 if lower else 1, lower=lower)
    return ops.linalg.solve_triangular(factor, half, trans=1 if lower else 0, lower=lower)


def eigh(a: Any, *, lower: bool = True, eigvals_only: bool = False) -> Any:
    """Give the eigenvalues of a symmetric matrix, and its eigenvectors."""
    found = ops.linalg.eigh(a, "L" if lower else "U")
    return found.eigenvalues if eigvals_only else tuple(found)


def eigvalsh(a: Any, *, lower: bool = True) -> Any:
    """Give the eigenvalues of a symmetric matrix."""
    return ops.linalg.eigh(a, "L" if lower else "U").eigenvalues


def qr(a: Any, mode: str = "full") -> Any:
    """Factor a matrix into one of orthonormal columns and an upper triangle."""
    modes: dict[str, Any] = {"full": "complete", "economic": "reduced", "r": "r"}
    found = ops.linalg.qr(a, modes[mode])
    return (found,) if mode == "r" else tuple(found)


def solve(a: Any, b: Any, lower: bool = False, *, assume_a: str | None = None) -> Expr:  # noqa: FBT001, FBT002  (SciPy's)
    """Solve a system of linear equations."""
    if assume_a in {"lower triangular", "upper triangular"}:
        return ops.linalg.solve_triangular(a, b, lower=assume_a.startswith("lower"))
    if assume_a in {"pos", "positive definite"}:
        a = ops.asarray(a)
        half = ops.tril(a, -1) if lower else ops.triu(a, 1)
        a = half + ops.matrix_transpose(half) + ops.diag(ops.diagonal(a))  # the half that SciPy reads
    return ops.linalg.solve(a, b)


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:  # noqa: FBT001, FBT002  (SciPy's)
    """Give the singular value decomposition."""
    return tuple(ops.linalg.svd(a, full_matrices)) if compute_uv else ops.linalg.svdvals(a)


def block_diag(*arrs: Any) -> Expr:
    """Put matrices along a diagonal."""
    blocks = [ops.atleast_2d(ops.asarray(each)) for each in arrs]
    widths = [each.shape[1] for each in blocks]
    rows = [
        [block if i == j else ops.zeros((block.shape[0], width)) for j, width in enumerate(widths)]
        for i, block in enumerate(blocks)
    ]
    return ops.block(rows)


# --- scipy.special --------------------------------------------------------------------------------------------


def softmax(x: Any, axis: Any = None) -> Expr:
    """Give ``exp(x)/sum(exp(x))``, over all axes unless told."""
    return ops.softmax(x, axis=range(-np.ndim(x), 0) if axis is None else axis)


def log_softmax(x: Any, axis: Any = None) -> Expr:
    """Give the logarithm of `softmax`."""
    return ops.log_softmax(x, axis=range(-np.ndim(x), 0) if axis is None else axis)


def multigammaln(a: Any, d: int) -> Expr:
    """Give the logarithm of the multivariate gamma function."""
    a = ops.asarray(a)
    return ops.sum(ops.gammaln(a[..., None] - np.arange(d) / 2), axis=-1) + d * (d - 1) / 4 * math.log(math.pi)


# --- scipy.integrate ------------------------------------------------------------------------------------------


def _steps(x: Any, dx: Any, y: Expr, axis: int) -> Expr:
    """Give the distances of samples along the last axis, to which the axis is moved."""
    if x is None:
        return ops.broadcast_to(ops.asarray(dx), (y.shape[-1] - 1,))
    places = ops.asarray(x)
    return ops.diff(places if places.ndim == 1 else ops.moveaxis(places, axis, -1), axis=-1)


def cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Expr:
    """Integrate sampled values by the trapezoidal rule, up to each of them."""
    y = ops.moveaxis(ops.asarray(y), axis, -1)
    parts = ops.cumsum(_steps(x, dx, y, axis) * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)
    if initial is not None:
        parts = ops.concatenate([ops.broadcast_to(ops.asarray(initial), (*parts.shape[:-1], 1)), parts], axis=-1)
    return ops.moveaxis(parts, -1, axis)


def simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Expr:
    """Parabolas through three points; of an even number the last interval is that of the last parabola.

    K. V. Cartwright, *Simpson's rule cumulative integration with MS Excel and irregularly-spaced data*, 2017.
    """
    y = ops.moveaxis(ops.asarray(y), axis, -1)
    count = y.shape[-1]
    if not isinstance(count, int):
        msg = f"scipy.integrate.simpson needs to know whether {count} is even: declare {y.describe()} with a number"
        raise ShapeError(msg)
    h = _steps(x, dx, y, axis)
    if count < 3:
        return ops.sum(h * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)
    odd = count - (count + 1) % 2
    h0, h1 = h[..., : odd - 1 : 2], h[..., 1 : odd - 1 : 2]
    parts = (2 - h1 / h0) * y[..., : odd - 2 : 2] + (h0 + h1) ** 2 / (h0 * h1) * y[..., 1 : odd - 1 : 2]
    total = ops.sum((h0 + h1) / 6 * (parts + (2 - h0 / h1) * y[..., 2:odd:2]), axis=-1)
    if odd == count:
        return total
    h0, h1 = h[..., -2], h[..., -1]
    total = total + y[..., -1] * (2 * h1**2 + 3 * h0 * h1) / (6 * (h0 + h1))
    total = total + y[..., -2] * (h1**2 + 3 * h1 * h0) / (6 * h0)
    found: Expr = total - y[..., -3] * h1**3 / (6 * h0 * (h0 + h1))
    return found


# --- scipy.signal ---------------------------------------------------------------------------------------------


def convolve(in1: Any, in2: Any, mode: Any = "full") -> Expr:
    """Convolve two vectors; ``same`` keeps the size of the first."""
    a, v = ops.asarray(in1), ops.asarray(in2)
    if mode != "same":
        return ops.convolve(a, v, mode)
    before = (v.shape[0] - 1) // 2  # of the first, where NumPy takes the longer one
    return ops.convolve(a, v)[before : before + a.shape[0]]


def correlate(in1: Any, in2: Any, mode: Any = "full") -> Expr:
    """Correlate two vectors; ``same`` keeps the size of the first."""
    return convolve(in1, ops.asarray(in2)[::-1], mode)


def lfilter(b: Any, a: Any, x: Any) -> Expr:
    """Filter a vector: ``a[0] y[n] = Σ b[i] x[n − i] − Σ a[i] y[n − i]``."""
    b, a, x = ops.atleast_1d(ops.asarray(b)), ops.atleast_1d(ops.asarray(a)), ops.asarray(x)
    driven = ops.convolve(x, b / a[0])[: x.shape[0]]
    order = a.shape[0]
    if order == 1:
        return driven
    back = -a[1:] / a[0]
    if order == 2:
        found: Expr = back[0] * ops.recurrence(ops.broadcast_to(back[0], x.shape), driven) + driven
        return found
    values: list[Any] = []
    for each in driven:
        values.append(each + sum(back[i] * values[-1 - i] for i in range(min(len(back), len(values)))))
    return ops.stack(values)


# --- scipy.spatial.distance -----------------------------------------------------------------------------------


def _cosine(u: Any, v: Any) -> Expr:
    lengths = ops.linalg.norm(u, axis=-1) * ops.linalg.norm(v, axis=-1)
    return 1 - ops.sum(u * v, axis=-1) / lengths


_METRICS: dict[str, Callable[[Any, Any], Expr]] = {
    "chebyshev": lambda u, v: ops.max(ops.abs(u - v), axis=-1),
    "cityblock": lambda u, v: ops.sum(ops.abs(u - v), axis=-1),
    "cosine": _cosine,
    "euclidean": lambda u, v: ops.linalg.norm(u - v, axis=-1),
    "sqeuclidean": lambda u, v: ops.sum((u - v) ** 2, axis=-1),
}


def _metric(name: Any) -> Callable[[Any, Any], Expr]:
    if name not in _METRICS:
        msg = f"scipy.spatial.distance of expressions knows the metrics {', '.join(_METRICS)}, not {name!r}"
        raise ArgumentError(msg)
    return _METRICS[name]


def cdist(XA: Any, XB: Any, metric: Any = "euclidean") -> Expr:
    """Give the distances of each point of one set and each of another."""
    return _metric(metric)(ops.asarray(XA)[:, None, :], ops.asarray(XB)[None])


def pdist(X: Any, metric: Any = "euclidean") -> Expr:
    """Give the distances of the pairs of points."""
    points = ops.asarray(X)
    first, second = np.triu_indices(len(points), 1)
    return _metric(metric)(points[first], points[second])


def distance(name: str) -> Callable[[Any, Any], Expr]:
    """Give the distance of two vectors."""

    def between(u: Any, v: Any) -> Expr:
        return _METRICS[name](ops.asarray(u), ops.asarray(v))

    return between


DISTANCES = {name: distance(name) for name in _METRICS}

# --- scipy.stats and scipy.optimize ---------------------------------------------------------------------------


def zscore(a: Any, axis: Any = 0, ddof: int = 0) -> Expr:
    """Give deviations from the mean in standard deviations."""
    a = ops.asarray(a)
    found: Expr = (a - ops.mean(a, axis=axis, keepdims=True)) / ops.std(a, axis=axis, ddof=ddof, keepdims=True)
    return found


def gmean(a: Any, axis: Any = 0) -> Expr:
    """Give the geometric mean."""
    return ops.exp(ops.mean(ops.log(ops.asarray(a)), axis=axis))


def hmean(a: Any, axis: Any = 0) -> Expr:
    """Give the harmonic mean."""
    return 1 / ops.mean(1 / ops.asarray(a), axis=axis)


def _moment(a: Any, axis: Any, order: int) -> Expr:
    a = ops.asarray(a)
    return ops.mean((a - ops.mean(a, axis=axis, keepdims=True)) ** order, axis=axis)


def skew(a: Any, axis: Any = 0) -> Expr:
    """Give the third moment of standardised values."""
    return _moment(a, axis, 3) / _moment(a, axis, 2) ** 1.5


def kurtosis(a: Any, axis: Any = 0, fisher: bool = True) -> Expr:  # noqa: FBT001, FBT002  (SciPy's)
    """Give the fourth moment of standardised values, less 3 unless told."""
    return _moment(a, axis, 4) / _moment(a, axis, 2) ** 2 - (3 if fisher else 0)


def entropy(pk: Any, qk: Any = None, base: Any = None, axis: Any = 0) -> Expr:
    """Give the entropy of what is proportional to probabilities, or its divergence from another."""
    pk = ops.asarray(pk)
    p = pk / ops.sum(pk, axis=axis, keepdims=True)
    if qk is None:
        found = ops.sum(ops.entr(p), axis=axis)
    else:
        qk = ops.asarray(qk)
        found = ops.sum(ops.rel_entr(p, qk / ops.sum(qk, axis=axis, keepdims=True)), axis=axis)
    return found if base is None else found / ops.log(base)


def rosen(x: Any) -> Expr:
    """Give Rosenbrock's function."""
    x = ops.asarray(x)
    return ops.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1 - x[:-1]) ** 2.0, axis=0)
