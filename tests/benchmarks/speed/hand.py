"""The yardstick: what a careful NumPy user writes for each row.

Each function takes example arguments, whose shapes and dtype it plans its buffers for, and a number of threads, and
gives a function of such arguments to the outputs. Scratch is kept between calls; outputs are fresh arrays, as ours are.

What all of them know of NumPy: a call with `out` or a target needs no new memory; `np.dot` takes a transposed operand
as it is and has less to do before its work than ``@``; a sum over rows is a product with ones; an array of no axes is a
cheaper operand than a Python number; ``maximum`` against an array of zeros is several times faster than against a
number; work on elements is done in blocks whose buffers stay in the cache.
"""

# ruff: noqa: ARG001, PLR0917  (all take the threads, and all arguments of a problem in its order)

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
from numpy import add, divide, dot, exp, log, log1p, maximum, multiply, negative, sqrt, subtract, tanh

try:
    from scipy.special import erf
except ImportError:  # then by the standard library, one by one
    erf = np.vectorize(math.erf, otypes=[np.float64])

Array = np.ndarray[Any, Any]
Values: TypeAlias = Mapping[str, Any]
Step: TypeAlias = Callable[..., Sequence[Any]]

CACHE = 1 << 20  # bytes of buffers that a block of elements works on: more calls cost more than a larger cache does


def _block(live: int, dtype: Any, *, least: int = 1024) -> int:
    """Give the number of elements of a block with so many live buffers."""
    return max(least, 1 << int(math.log2(CACHE / (live * np.dtype(dtype).itemsize))))


def _number(value: float, dtype: Any) -> Array:
    return np.asarray(value, dtype)


def _ran(
    ranges: Sequence[tuple[int, int]], threads: int, work: Callable[..., Any], scratch: Sequence[Any]
) -> list[Any]:
    """Run `work(start, stop, scratch)` over ranges, shared out to threads that have each scratch of their own."""
    if threads == 1:
        return [work(*each, scratch[0]) for each in ranges]

    def share(at: int) -> list[Any]:
        return [work(*each, scratch[at]) for each in ranges[at::threads]]

    waiting = [_pool(threads).submit(share, at) for at in range(1, threads)]
    found = share(0)
    for each in waiting:
        found += each.result()
    return found


_pools: dict[int, ThreadPoolExecutor] = {}


def _pool(threads: int) -> ThreadPoolExecutor:
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(threads - 1)
    return _pools[threads]


def _ranges(size: int, block: int) -> list[tuple[int, int]]:
    return [(start, min(start + block, size)) for start in range(0, size, block)]


# --- networks -------------------------------------------------------------------------------------------------------


def xor(values: Values, threads: int) -> Step:
    """Calls are all that counts here; there are 23."""
    n, hidden = len(values["X"]), len(values["b1"])
    h, d = np.empty((2, n, hidden))
    p, s, r = np.empty((3, n, 1))
    flat, ones = r.reshape(-1), np.ones(n)
    hT, one, scale = h.T, _number(1.0, float), _number(2.0 / n, float)

    def step(X: Array, y: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> Sequence[Any]:
        dot(X, W1, h)
        add(h, b1, h)
        tanh(h, h)
        dot(h, W2, p)
        add(p, b2, p)
        negative(p, p)
        exp(p, p)
        add(p, one, p)
        divide(one, p, p)
        subtract(p, y, r)
        loss = dot(flat, flat) / n
        subtract(one, p, s)
        multiply(s, p, s)
        multiply(s, r, s)
        multiply(s, scale, s)
        multiply(s, W2.reshape(-1), d)  # an outer product
        dW2 = dot(hT, s)
        db2 = dot(ones, s)
        multiply(h, h, h)
        subtract(one, h, h)
        multiply(d, h, d)
        return loss, dot(X.T, d), dot(ones, d), dW2, db2

    return step


def mlp(values: Values, threads: int) -> Step:
    """Work on elements is done in blocks of rows, when a layer has been multiplied."""
    X, kind = values["X"], values["X"].dtype
    n, widths = len(X), [len(values[f"b{at}"]) for at in (1, 2, 3)]
    h1, h2, z = (np.empty((n, width), kind) for width in widths)
    d1, d2 = np.empty_like(h1), np.empty_like(h2)
    top, total, scaled = np.empty((3, n, 1), kind)
    t, flat = np.empty_like(z), z.reshape(-1)
    mask1, mask2 = np.empty(h1.shape, bool), np.empty(h2.shape, bool)
    ones, ones_of_classes, zero = np.ones(n, kind), np.ones((widths[2], 1), kind), _number(0, kind)
    share = _number(1 / n, kind)
    size = _number(n, kind)

    def plan(h: Array, d: Array, mask: Array) -> list[tuple[Array, Array, Array, Array]]:
        rows = max(8, CACHE // (2 * h[0].nbytes))
        zeros = np.zeros((min(rows, n), h.shape[1]), kind)
        return [(h[i:j], d[i:j], mask[i:j], zeros[: j - i]) for i, j in _ranges(n, rows)]

    plan1, plan2 = plan(h1, d1, mask1), plan(h2, d2, mask2)

    def step(X: Array, T: Array, W1: Array, b1: Array, W2: Array, b2: Array, W3: Array, b3: Array) -> Sequence[Any]:
        dot(X, W1, h1)
        for h, _, _, zeros in plan1:
            add(h, b1, h)
            maximum(h, zeros, out=h)
        dot(h1, W2, h2)
        for h, _, _, zeros in plan2:
            add(h, b2, h)
            maximum(h, zeros, out=h)
        dot(h2, W3, z)
        add(z, b3, z)
        maximum.reduce(z, 1, None, top, True)
        subtract(z, top, z)
        fit = dot(T.reshape(-1), flat)
        exp(z, z)
        dot(z, ones_of_classes, total)
        multiply(total, size, scaled)
        divide(z, scaled, z)
        log(total, total)
        loss = (dot(ones, total)[0] - fit) / n
        multiply(T, share, t)
        subtract(z, t, z)
        dW3, db3 = dot(h2.T, z), dot(ones, z)
        dot(z, W3.T, d2)
        for h, d, mask, _ in plan2:
            np.greater(h, zero, mask)
            multiply(d, mask, d)
        dW2, db2 = dot(h1.T, d2), dot(ones, d2)
        dot(d2, W2.T, d1)
        for h, d, mask, _ in plan1:
            np.greater(h, zero, mask)
            multiply(d, mask, d)
        return loss, dot(X.T, d1), dot(ones, d1), dW2, db2, dW3, db3

    return step


def mlp_hvp(values: Values, threads: int) -> Step:
    """Pearlmutter's R-operator: each value and its derivative along the direction are halves of one buffer."""
    kind, n = values["X"].dtype, len(values["X"])
    widths = [len(values[f"b{at}"]) for at in (1, 2, 3)]
    (h1, g1, k1), (h2, g2, k2), (h3, g3, k3) = (np.empty((3, 2 * n, width), kind) for width in widths)
    mask1, mask2 = (np.empty((n, width), bool) for width in widths[:2])
    zero, share = _number(0, kind), _number(1 / n, kind)
    column = np.empty((n, 1), kind)
    ones, of_classes = np.ones(n, kind), np.ones((widths[2], 1), kind)

    def step(
        X: Array, T: Array, W1: Array, b1: Array, W2: Array, b2: Array, W3: Array, b3: Array,
        vW1: Array, vb1: Array, vW2: Array, vb2: Array, vW3: Array, vb3: Array,
    ) -> Sequence[Any]:  # fmt: skip
        h, Rh = h1[:n], h1[n:]
        dot(X, W1, h)
        add(h, b1, h)
        dot(X, vW1, Rh)
        add(Rh, vb1, Rh)
        np.greater(h, zero, mask1)
        multiply(h, mask1, h)
        multiply(Rh, mask1, Rh)
        h, Rh = h2[:n], h2[n:]
        dot(h1, W2, h2)
        dot(h1[:n], vW2, k2[:n])
        add(h, b2, h)
        add(k2[:n], vb2, k2[:n])
        add(Rh, k2[:n], Rh)
        np.greater(h, zero, mask2)
        multiply(h, mask2, h)
        multiply(Rh, mask2, Rh)
        z, Rz = h3[:n], h3[n:]
        dot(h2, W3, h3)
        dot(h2[:n], vW3, k3[:n])
        add(z, b3, z)
        add(Rz, k3[:n], Rz)
        add(Rz, vb3, Rz)
        maximum.reduce(z, 1, None, column, True)
        subtract(z, column, z)
        exp(z, z)
        dot(z, of_classes, column)
        divide(z, column, z)
        d, Rd = g3[n:], g3[:n]  # the derivative of the one half belongs to the other's values
        multiply(z, Rz, Rd)
        dot(Rd, of_classes, column)
        subtract(Rz, column, Rz)
        multiply(z, share, d)
        multiply(d, Rz, Rd)
        multiply(T, share, k3[:n])
        subtract(d, k3[:n], d)
        dW3, db3 = dot(h2.T, g3), dot(ones, Rd)
        dot(g3, W3.T, g2)
        dot(d, vW3.T, k2[:n])
        d, Rd = g2[n:], g2[:n]
        add(Rd, k2[:n], Rd)
        multiply(d, mask2, d)
        multiply(Rd, mask2, Rd)
        dW2, db2 = dot(h1.T, g2), dot(ones, Rd)
        Rd = g1[:n]
        dot(g2[:n], W2.T, Rd)
        dot(d, vW2.T, k1[:n])
        add(Rd, k1[:n], Rd)
        multiply(Rd, mask1, Rd)
        return dot(X.T, Rd), dot(ones, Rd), dW2, db2, dW3, db3

    return step


def deep(values: Values, threads: int) -> Step:
    """Layer after layer, forth and back."""
    n, width = values["X"].shape
    layers = len(values) // 2
    h = list(np.empty((layers, n, width)))
    hT = [each.T for each in h]
    d, back, slope = np.empty((3, n, width))
    flat, ones, one, scale = d.reshape(-1), np.ones(n), _number(1, float), _number(2 / (n * width), float)

    def step(X: Array, *weights: Array) -> Sequence[Any]:
        last = X
        for W, b, h_next in zip(weights[::2], weights[1::2], h, strict=True):
            dot(last, W, h_next)
            add(h_next, b, h_next)
            tanh(h_next, h_next)
            last = h_next
        subtract(last, X, d)
        loss = dot(flat, flat) / d.size
        multiply(d, scale, d)
        found: list[Any] = []
        here, there = d, back
        for layer in reversed(range(layers)):
            multiply(h[layer], h[layer], slope)
            subtract(one, slope, slope)
            multiply(here, slope, here)
            found.append(dot(ones, here))
            found.append(dot(hT[layer - 1] if layer else X.T, here))
            if layer:
                dot(here, weights[2 * layer].T, there)
                here, there = there, here
        found.append(loss)
        return found[::-1]

    return step


def deep_in_batches(values: Values, threads: int) -> Step:
    """What does not wait for the layer before is done for all at once; gradients are views of one fresh array."""
    n, width = values["X"].shape
    layers = len(values) // 2
    H, D = np.empty((layers + 1, n, width)), np.empty((layers, n, width))
    slopes = np.empty((layers, n, width))
    h, d, s = list(H), list(D), list(slopes)
    flat, one, scale = d[-1].reshape(-1), _number(1, float), _number(2 / (n * width), float)

    def step(X: Array, *weights: Array) -> Sequence[Any]:
        h[0][...] = X
        last = X
        for W, b, h_next in zip(weights[::2], weights[1::2], h[1:], strict=True):
            dot(last, W, h_next)
            add(h_next, b, h_next)
            tanh(h_next, h_next)
            last = h_next
        subtract(last, X, d[-1])
        loss = dot(flat, flat) / flat.size
        multiply(d[-1], scale, d[-1])
        multiply(H[1:], H[1:], slopes)
        subtract(one, slopes, slopes)
        here = d[-1]
        multiply(here, s[-1], here)
        for layer in range(layers - 2, -1, -1):
            there = d[layer]
            dot(here, weights[2 * layer + 2].T, there)
            multiply(there, s[layer], there)
            here = there
        found: list[Any] = [loss] + [None] * (2 * layers)
        found[1::2] = np.matmul(H[:-1].transpose(0, 2, 1), D)
        found[2::2] = add.reduce(D, 1)
        return found

    return step


def lstm(values: Values, threads: int) -> Step:
    """All that does not wait for the step before is done for all steps at once.

    A sigmoid is half a tanh and a half, so that all gates are one tanh; the halves are put into the weights.
    """
    steps, n, inputs = values["X"].shape
    size, kind = values["h"].shape[1], values["X"].dtype
    wide = 4 * size
    A, K, D = np.empty((3, steps, n, wide), kind)
    H, C = np.empty((2, steps + 1, n, size), kind)
    slope, TC = np.empty((2, steps, n, size), kind)
    term, dh, dc = np.empty((n, wide), kind), *np.empty((2, n, size), kind)
    part = np.empty((n, size), kind)
    halves = np.repeat(np.asarray([0.5, 0.5, 0.5, 1], kind), size)
    shift = np.repeat(np.asarray([0.5, 0.5, 0.5, 0], kind), size)
    halves_of_all, shift_of_all = (np.broadcast_to(each, (n, wide)).copy() for each in (halves, shift))
    W2, U2, b2 = np.empty((inputs, wide), kind), np.empty((size, wide), kind), np.empty(wide, kind)
    one, ones, scale = _number(1, kind), np.ones(steps * n, kind), _number(2 / (n * size), kind)
    flat_A, flat_D, flat_h = A.reshape(-1, wide), D.reshape(-1, wide), dh.reshape(-1)
    i, f, o, g = (A[..., at * size : (at + 1) * size] for at in range(4))
    a, h, c, tc = list(A), list(H), list(C), list(TC)
    gates = [[gate[step] for gate in (i, f, o, g)] for step in range(steps)]
    forget = [A[step, :, size : 2 * size] for step in range(steps)]

    def backward(step: int) -> tuple[Array, ...]:
        split = K[step].reshape(n, 4, size)
        into = D[step].reshape(n, 4, size)
        return split[:, :2], split[:, 2], split[:, 3], into[:, :2], into[:, 2], into[:, 3]

    back = [backward(step) for step in range(steps)]
    dc_twice = dc[:, None, :]

    def run(X: Array, Y: Array, h0: Array, c0: Array, W: Array, U: Array, b: Array) -> Sequence[Any]:
        multiply(W, halves, W2)
        multiply(U, halves, U2)
        multiply(b, halves, b2)
        flat_X = X.reshape(-1, inputs)
        dot(flat_X, W2, flat_A)
        add(flat_A, b2, flat_A)
        h[0][...] = h0
        c[0][...] = c0
        for step in range(steps):
            now = a[step]
            dot(h[step], U2, term)
            add(now, term, now)
            tanh(now, now)
            multiply(now, halves_of_all, now)
            add(now, shift_of_all, now)
            gi, gf, go, gg = gates[step]
            c_next = c[step + 1]
            multiply(gf, c[step], c_next)
            multiply(gi, gg, part)
            add(c_next, part, c_next)
            tanh(c_next, tc[step])
            multiply(go, tc[step], h[step + 1])
        subtract(h[-1], Y, dh)
        loss = dot(flat_h, flat_h) / dh.size
        multiply(dh, scale, dh)
        # What the derivatives by c and h are multiplied with, to be those by the gates.
        multiply(TC, TC, slope)
        subtract(one, slope, slope)
        multiply(slope, o, slope)
        gated = K[..., : 3 * size]
        subtract(one, A[..., : 3 * size], gated)
        multiply(gated, A[..., : 3 * size], gated)
        ki, kf, ko, kg = (K[..., at * size : (at + 1) * size] for at in range(4))
        multiply(ki, g, ki)
        multiply(kf, C[:-1], kf)
        multiply(ko, TC, ko)
        multiply(g, g, kg)
        subtract(one, kg, kg)
        multiply(kg, i, kg)
        dc[...] = 0
        UT = U.T
        for step in range(steps - 1, -1, -1):
            k_if, k_o, k_g, d_if, d_o, d_g = back[step]
            multiply(dh, slope[step], part)
            add(dc, part, dc)
            multiply(k_if, dc_twice, d_if)
            multiply(k_g, dc, d_g)
            multiply(k_o, dh, d_o)
            if step:
                multiply(dc, forget[step], dc)
                dot(D[step], UT, dh)
        dU = dot(H[:-1].reshape(-1, size).T, flat_D)
        return loss, dot(flat_X.T, flat_D), dU, dot(ones, flat_D)

    return run


# --- regression -----------------------------------------------------------------------------------------------------


class _LogisticPart:
    """The loss and its slope by the logits of some rows, from one exponential."""

    def __init__(self, rows: int) -> None:
        self.z, self.e, self.q, self.p = np.empty((4, rows))
        self.positive = np.empty(rows, bool)
        self.zero, self.one = _number(0, float), _number(1, float)
        self.zeros = np.zeros(rows)

    def __call__(self, y: Array, b: float) -> tuple[float, Array]:
        """Give the summed loss and the slopes; the logits, less b, stand in `z`."""
        rows = len(y)
        z, e, q, p, positive = (each[:rows] for each in (self.z, self.e, self.q, self.p, self.positive))
        add(z, b, z)
        np.abs(z, e)
        negative(e, e)
        exp(e, e)  # exp(−|z|) ≤ 1
        np.greater_equal(z, self.zero, positive)
        maximum(e, positive, out=p)  # the numerator of the sigmoid
        add(e, self.one, q)
        divide(p, q, p)
        loss = -dot(y, z)
        maximum(z, self.zeros[:rows], out=z)
        log1p(e, e)
        add(z, e, z)
        loss += add.reduce(z)
        subtract(p, y, p)
        return loss, p


def logistic(values: Values, threads: int) -> Step:
    """Two passes over X, as BLAS makes them; it has its own threads."""
    rows = len(values["X"])
    part, ones = _LogisticPart(rows), np.ones(rows)

    def step(X: Array, y: Array, w: Array, b: float) -> Sequence[Any]:
        dot(X, w, part.z)
        loss, slopes = part(y, b)
        dw = dot(slopes, X)
        dw /= rows
        return loss / rows, dw, dot(ones, slopes) / rows

    return step


def logistic_in_blocks(values: Values, threads: int) -> Step:
    """One pass over X: a block of rows is still in the cache when it is needed again."""
    rows, columns = values["X"].shape
    ranges = _ranges(rows, max(64, CACHE // (8 * columns)))
    parts = [(_LogisticPart(ranges[0][1]), np.empty(columns)) for _ in range(threads)]

    def step(X: Array, y: Array, w: Array, b: float) -> Sequence[Any]:
        sums = np.zeros((threads, columns))

        def block(i: int, j: int, given: tuple[int, tuple[_LogisticPart, Array]]) -> tuple[float, float]:
            at, (part, product) = given
            rows_of_X = X[i:j]
            dot(rows_of_X, w, part.z[: j - i])
            loss, slopes = part(y[i:j], b)
            dot(slopes, rows_of_X, product)
            add(sums[at], product, sums[at])
            return loss, add.reduce(slopes)

        found = _ran(ranges, threads, block, list(enumerate(parts)))
        loss, db = np.add.reduce(found) / rows
        return loss, add.reduce(sums) / rows, db

    return step


def _scaled_rows(values: Values) -> tuple[Array, Callable[[Array, Array], None]]:
    Z, scale = np.empty_like(values["X"]), np.empty(len(values["X"]))
    other = np.empty_like(scale)
    ranges = _ranges(len(Z), max(8, CACHE // (2 * Z[0].nbytes)))

    def fill(X: Array, w: Array) -> None:
        """Multiply the rows by the roots of σ(1 − σ)/N = e/(1 + e)²/N, with e = exp(−|z|)."""
        dot(X, w, scale)
        np.abs(scale, scale)
        negative(scale, scale)
        exp(scale, scale)
        add(scale, 1, other)
        sqrt(scale, scale)
        divide(scale, other, scale)
        divide(scale, math.sqrt(len(X)), scale)
        for i, j in ranges:
            multiply(X[i:j], scale[i:j, None], Z[i:j])

    return Z, fill


def logistic_hessian(values: Values, threads: int) -> Step:
    """``ZᵀZ``, of which NumPy sees that it is symmetric: SYRK does half the work."""
    Z, fill = _scaled_rows(values)

    def step(X: Array, w: Array, y: Array) -> Sequence[Any]:
        fill(X, w)
        return (dot(Z.T, Z),)

    return step


def logistic_hessian_by_gemm(values: Values, threads: int) -> Step:
    """``Xᵀ(cX)``."""
    Z, fill = _scaled_rows(values)
    Y = np.empty_like(Z)

    def step(X: Array, w: Array, y: Array) -> Sequence[Any]:
        fill(X, w)
        Y[...] = Z
        return (dot(Z.T, Y),)

    return step


def factorisation_hessian(values: Values, threads: int) -> Step:
    """``2 I ⊗ VᵀV``, its blocks written on the diagonal of fresh zeros."""
    rows, k = values["U"].shape
    item, wide = 8, rows * k
    strides = (k * wide * item + k * item, wide * item, item)

    def step(T: Array, U: Array, V: Array) -> Sequence[Any]:
        G = dot(V.T, V)
        G *= 2
        H = np.zeros((rows, k, rows, k))
        np.ndarray((rows, k, k), H.dtype, H, 0, strides)[...] = G
        return (H,)

    return step


# --- functions of elements ------------------------------------------------------------------------------------------


def _chain(values: Values, threads: int, block: int) -> Step:
    x, kind = values["x"], values["x"].dtype
    ranges = _ranges(len(x), block)
    scratch = [np.empty((4, min(block, len(x))), kind) for _ in range(threads)]
    one, two = _number(1, kind), _number(2, kind)

    def step(x: Array, a: float, b: float) -> Sequence[Any]:
        slopes = np.empty_like(x)
        a, b = _number(a, kind), _number(b, kind)

        def work(i: int, j: int, buffers: Array) -> float:
            t, q, e, both = buffers[:, : j - i]
            xs, out = x[i:j], slopes[i:j]
            multiply(xs, a, t)
            add(t, b, t)
            tanh(t, t)
            multiply(xs, xs, q)
            negative(q, e)
            exp(e, e)
            log1p(q, both)
            total = add.reduce(both)
            multiply(t, e, both)
            total += add.reduce(both)
            multiply(t, t, t)
            subtract(one, t, t)
            multiply(t, e, t)
            multiply(t, a, t)
            add(q, one, q)
            divide(one, q, q)
            subtract(q, both, q)
            multiply(q, xs, q)
            multiply(q, two, q)
            add(q, t, out)
            return float(total)

        return x.dtype.type(math.fsum(_ran(ranges, threads, work, scratch))), slopes

    return step


def chain(values: Values, threads: int) -> Step:
    """Blocks that stay in the cache, on one thread."""
    return _chain(values, 1, _block(6, values["x"].dtype))


def chain_on_two_threads(values: Values, threads: int) -> Step:
    """Larger blocks: threads wait for one another at each call."""
    return _chain(values, 2, 65_536)


def chain_in_buffers(values: Values, threads: int) -> Step:
    """The whole array at once, in buffers that are kept."""
    return _chain(values, 1, len(values["x"]))


def chain_as_written(values: Values, threads: int) -> Step:
    """A new array for each operation."""

    def step(x: Array, a: float, b: float) -> Sequence[Any]:
        t, q = np.tanh(a * x + b), x**2
        e = np.exp(-q)
        return (t * e + np.log1p(q)).sum(), (1 - t**2) * a * e - 2 * x * t * e + 2 * x / (1 + q)

    return step


def _greeks(values: Values, threads: int, block: int) -> Step:
    size = len(values["S"])
    ranges = _ranges(size, block)
    scratch = [np.empty((6, min(block, size))) for _ in range(threads)]
    half, one, root = _number(0.5, float), _number(1, float), _number(math.sqrt(0.5), float)
    density = _number(1 / math.sqrt(2 * math.pi), float)

    def step(*arguments: Array) -> Sequence[Any]:
        found = [np.empty(size) for _ in range(6)]

        def work(i: int, j: int, buffers: Array) -> None:
            S, K, T, r, v = (each[i:j] for each in arguments)
            price, delta, by_time, rho, vega, gamma = (each[i:j] for each in found)
            root_of_time, spread, d1, d2, discounted, t = buffers[:, : j - i]
            sqrt(T, root_of_time)
            multiply(v, root_of_time, spread)
            divide(S, K, d1)
            log(d1, d1)
            multiply(r, T, t)
            add(d1, t, d1)
            divide(d1, spread, d1)
            multiply(spread, half, d2)
            add(d1, d2, d1)
            subtract(d1, spread, d2)
            negative(t, t)
            exp(t, discounted)
            multiply(discounted, K, discounted)
            multiply(d2, root, d2)
            erf(d2, d2)
            add(d2, one, d2)
            multiply(d2, half, d2)
            multiply(discounted, d2, discounted)  # K exp(−rT) Φ(d2)
            multiply(d1, root, d1)
            erf(d1, delta)
            add(delta, one, delta)
            multiply(delta, half, delta)
            multiply(S, delta, price)
            subtract(price, discounted, price)
            multiply(discounted, T, rho)
            multiply(d1, d1, t)
            negative(t, t)
            exp(t, t)
            multiply(t, density, t)  # φ(d1)
            multiply(S, t, vega)
            divide(vega, spread, gamma)
            multiply(gamma, v, by_time)
            multiply(by_time, v, by_time)
            multiply(by_time, half, by_time)
            multiply(vega, root_of_time, vega)
            multiply(discounted, r, discounted)
            add(by_time, discounted, by_time)
            divide(t, spread, gamma)
            divide(gamma, S, gamma)

        _ran(ranges, threads, work, scratch)
        return found

    return step


def greeks(values: Values, threads: int) -> Step:
    """Blocks that stay in the cache, on one thread."""
    return _greeks(values, 1, _block(12, float))


def greeks_on_two_threads(values: Values, threads: int) -> Step:
    """Larger blocks: threads wait for one another at each call."""
    return _greeks(values, 2, 65_536)


# --- ADBench --------------------------------------------------------------------------------------------------------


def mixture(values: Values, threads: int) -> Step:
    """All quadratic forms by one GEMM, y = Qx − Qμ; points lie along the last axis, where NumPy is fastest.

    A column of ones behind the points adds −Qμ, and sums over points.
    """
    (n, d), k = values["X"].shape, len(values["a"])
    block = max(32, CACHE // (16 * k * d))
    ranges = _ranges(n, block)
    points = np.ones((n, d + 1))
    Y, squares = np.empty((2, k * d * min(block, n)))
    W = np.empty((k, d, d + 1))
    Q, centre, diagonal = W[:, :, :d], W[:, :, d], np.einsum("kii->ki", W[:, :, :d])
    t, one_point = np.empty(k * min(block, n)), np.empty((3, min(block, n)))
    e, half = np.empty((k, d)), _number(0.5, float)
    S, product = np.empty((2, k * d, d + 1))
    resp, ones = np.empty(k), np.ones(min(block, n))
    weights = np.empty(k)

    def step(X: Array, below: Array, a: Array, mu: Array, q: Array, L: Array) -> Sequence[Any]:
        points[:, :d] = X
        exp(q, e)
        dL = multiply(L, below)
        Q[...] = dL
        diagonal[...] = e
        np.matmul(Q, mu[:, :, None], centre[:, :, None])
        negative(centre, centre)
        add(a, add.reduce(q, 1), weights)
        S[...] = 0
        resp[...] = 0
        fit = 0.0
        for i, j in ranges:
            m = j - i
            y, s, r = Y[: k * d * m].reshape(k * d, m), squares[: k * d * m].reshape(k, d, m), t[: k * m].reshape(k, m)
            top, total, _ = one_point[:, :m]
            dot(W.reshape(k * d, d + 1), points[i:j].T, y)
            multiply(y, y, s.reshape(k * d, m))
            add.reduce(s, 1, None, r)
            multiply(r, half, r)
            subtract(weights[:, None], r, r)
            maximum.reduce(r, 0, None, top)
            subtract(r, top, r)
            exp(r, r)
            add.reduce(r, 0, None, total)
            divide(r, total, r)
            log(total, total)
            fit += add.reduce(total) + add.reduce(top)
            add(resp, dot(r, ones[:m]), resp)
            by_component = y.reshape(k, d, m)
            multiply(by_component, r[:, None, :], by_component)
            dot(y, points[i:j], product)
            add(S, product, S)
        by_matrix, by_centre = S.reshape(k, d, d + 1)[:, :, :d], S.reshape(k, d, d + 1)[:, :, d]
        dmu = np.matmul(by_centre[:, None, :], Q)[:, 0]
        dQ = multiply(by_centre[:, :, None], mu[:, None, :])
        subtract(dQ, by_matrix, dQ)
        dq = np.einsum("kii->ki", dQ) * e
        dq += e * e
        dq += resp[:, None]
        multiply(dQ, below, dQ)
        add(dL, dQ, dQ)
        largest = a.max()
        p = np.exp(a - largest)
        total_p = p.sum()
        value = fit - n * (largest + math.log(total_p)) + (np.vdot(e, e) + np.vdot(dL, dL)) / 2
        p *= n / total_p
        return value, resp - p, dmu, dq, dQ

    return step


def mixture_as_written(values: Values, threads: int) -> Step:
    """Differences first, a product of each with each component's matrix, and an array for each operation."""

    def step(X: Array, below: Array, a: Array, mu: Array, q: Array, L: Array) -> Sequence[Any]:
        triangle, e = L * below, np.exp(q)
        Q = triangle + e[:, :, None] * np.eye(len(below))
        x = X - mu[:, None, :]  # for each component, each point
        y = x @ Q.transpose(0, 2, 1)
        t = (a + q.sum(axis=1))[:, None] - np.einsum("kni,kni->kn", y, y) / 2
        top = t.max(axis=0)
        r = np.exp(t - top)
        total = r.sum(axis=0)
        r /= total
        p = np.exp(a - a.max())
        value = (np.log(total) + top).sum() - len(X) * (a.max() + np.log(p.sum()))
        value += ((e * e).sum() + (triangle * triangle).sum()) / 2
        y *= r[:, :, None]
        dQ = -y.transpose(0, 2, 1) @ x
        dq = r.sum(axis=1)[:, None] + e * e + np.einsum("kii->ki", dQ) * e
        dmu = np.einsum("kni,kij->kj", y, Q, optimize=True)
        return value, r.sum(axis=1) - len(X) * p / p.sum(), dmu, dq, triangle + dQ * below

    return step


def bundle(values: Values, threads: int) -> Step:
    """The chain rule by hand: rows of the Jacobian are pulled back through the projection and the rotation."""
    size = len(values["w"])
    block = min(size, _block(32, float))
    ranges = _ranges(size, block)
    scratch = [(np.empty((8, block)), np.empty((8, 3, block))) for _ in range(threads)]
    one, two = _number(1, float), _number(2, float)

    def along(u: Array, v: Array, out: Array, product: Array) -> None:
        multiply(u, v, product)
        add.reduce(product, 0, None, out)

    def across(u: Array, v: Array, out: Array, t: Array) -> None:
        for at, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
            multiply(u[i], v[j], out[at])
            multiply(u[j], v[i], t)
            subtract(out[at], t, out[at])

    def step(*arguments: Array) -> Sequence[Any]:
        errors = [np.empty(size) for _ in range(2)]
        slopes = [(np.empty((11, size)), np.empty((3, size)), np.empty(size)) for _ in range(2)]

        def work(start: int, stop: int, given: tuple[Array, Array]) -> None:
            C, P, w, f = (each[..., start:stop] for each in arguments)
            angle, cos, sin, versed, scalar, square_, stretch, t = given[0][:, : stop - start]
            n, x, crossed, turned, by_angle, g, u, pulled = given[1][:, :, : stop - start]
            R = C[:3]
            subtract(P, C[3:6], x)
            along(R, R, angle, u)
            sqrt(angle, angle)
            np.cos(angle, cos)
            np.sin(angle, sin)
            divide(one, angle, angle)  # from here on, its reciprocal
            multiply(R, angle, n)
            subtract(one, cos, versed)
            along(n, x, scalar, u)
            across(n, x, crossed, t)
            # Its derivative by the angle: −x sin θ + (n × x) cos θ + n (n·x) sin θ.
            multiply(n, scalar, u)
            multiply(u, versed, turned)
            subtract(u, x, by_angle)
            multiply(by_angle, sin, by_angle)
            multiply(crossed, cos, u)
            add(by_angle, u, by_angle)
            multiply(crossed, sin, u)
            add(turned, u, turned)
            multiply(x, cos, u)
            add(turned, u, turned)
            multiply(scalar, versed, scalar)
            # The projection and its distortion: p = st·(1 + k₁ρ + k₂ρ²), ρ = |st|².
            depth, st = crossed[0], crossed[1:]  # the cross product has done its work
            divide(one, turned[2], depth)
            multiply(turned[:2], depth, st)
            multiply(st, st, u[:2])
            add(u[0], u[1], square_)
            multiply(C[10], square_, t)
            add(t, C[9], stretch)
            add(t, stretch, t)
            multiply(t, two, t)  # the derivative of the stretch by ρ, twice
            multiply(stretch, square_, stretch)
            add(stretch, one, stretch)
            weighted = turned[0]
            multiply(w, C[6], weighted)
            slope, cross_term = turned[1], turned[2]
            multiply(st[0], st[1], cross_term)
            multiply(cross_term, t, cross_term)
            slope[...] = t
            for at in range(2):
                by_camera, by_point, by_weight = (each[..., start:stop] for each in slopes[at])
                # By f, principal point, distortion and weight.
                position = st[at]
                multiply(position, stretch, u[0])
                multiply(u[0], w, by_camera[6])
                multiply(u[0], C[6], by_weight)
                add(by_weight, C[7 + at], by_weight)
                subtract(by_weight, f[at], by_weight)
                multiply(by_weight, w, errors[at][start:stop])
                by_camera[7 + at] = w
                by_camera[8 - at] = 0
                multiply(position, square_, by_camera[9])
                multiply(by_camera[9], weighted, by_camera[9])
                multiply(by_camera[9], square_, by_camera[10])
                # By the turned point.
                multiply(position, position, g[at])
                multiply(g[at], slope, g[at])
                add(g[at], stretch, g[at])
                g[1 - at] = cross_term
                multiply(g[:2], st, u[:2])
                add(u[0], u[1], g[2])
                negative(g[2], g[2])
                multiply(weighted, depth, t)
                multiply(g, t, g)
                # Through the rotation: by the point, with the angle turned round, and by the axis.
                along(n, g, t, u)
                across(g, n, u, by_camera[3])
                multiply(u, sin, by_point)
                multiply(t, versed, t)
                multiply(n, t, u)
                add(by_point, u, by_point)
                multiply(g, cos, u)
                add(by_point, u, by_point)
                negative(by_point, by_camera[3:6])
                across(x, g, pulled, u[0])
                multiply(pulled, sin, pulled)
                multiply(g, scalar, u)
                add(pulled, u, pulled)
                multiply(x, t, u)
                add(pulled, u, pulled)
                # The axis is R/θ, θ = |R|.
                along(n, pulled, t, u)
                multiply(n, t, u)
                subtract(pulled, u, pulled)
                multiply(pulled, angle, pulled)
                along(g, by_angle, t, u)
                multiply(n, t, u)
                add(pulled, u, by_camera[:3])

        _ran(ranges, threads, work, scratch)
        return [*errors, *slopes[0], *slopes[1]]

    return step


# --- scalars --------------------------------------------------------------------------------------------------------


def logistic_map(values: Values, threads: int) -> Step:
    """Python's floats, with both derivatives carried along."""

    def step(r: float, x: float) -> Sequence[Any]:
        by_r, by_x = 0.0, 1.0
        for _ in range(50):
            u = 1.0 - x
            slope = r * (u - x)
            u *= x
            by_r = u + slope * by_r
            by_x *= slope
            x = r * u
        return x, by_r, by_x

    return step


def logistic_map_backwards(values: Values, threads: int) -> Step:
    """Python's floats, the values kept, and back through them."""

    def step(r: float, x: float) -> Sequence[Any]:
        kept = []
        for _ in range(50):
            kept.append(x)
            x = r * x * (1.0 - x)
        by_r, by_x = 0.0, 1.0
        for v in reversed(kept):
            u = 1.0 - v
            by_r += by_x * (v * u)
            by_x *= r * (u - v)
        return x, by_r, by_x

    return step


def speelpenning(values: Values, threads: int) -> Step:
    """What is before each factor, by what is after it."""
    before, after = np.ones((2, len(values["x"])))
    forth, back = before[1:], after[-2::-1]

    def step(x: Array) -> Sequence[Any]:
        multiply.accumulate(x[:-1], 0, None, forth)
        multiply.accumulate(x[:0:-1], 0, None, back)
        return before[-1] * x[-1], before * after

    return step


def speelpenning_as_written(values: Values, threads: int) -> Step:
    """Python's floats, factor by factor."""

    def step(x: Array) -> Sequence[Any]:
        factors = x.tolist()
        before, product = [], 1.0
        for factor in factors:
            before.append(product)
            product *= factor
        slopes, after = [], 1.0
        for factor, first in zip(reversed(factors), reversed(before), strict=True):
            slopes.append(first * after)
            after *= factor
        return product, np.array(slopes[::-1])

    return step
