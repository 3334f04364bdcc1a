"""Every operation in the table, tested because it is there: value, shape, dtype, first and second derivative.

An op that NumPy has under the same name needs nothing here; any other needs one line in `REFERENCE`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.special

import symbackprop as sb
from symbackprop.dims import Dim, as_shape, bind
from symbackprop.errors import DtypeError, NotDifferentiableError
from symbackprop.expr import Expr
from symbackprop.op import Case, Op
from symbackprop.ops import TABLE
from symbackprop.ops.reduce import only_floats
from symbackprop.ops.special import GAUSS, NORMAL_HAZARD
from tests.values import indices, is_index

LEAVES = {"constant", "symbol", "size", "arange", "eye"}
FACTORED = {
    *("cholesky", "cofactors_along", "det", "inv", "logabsdet", "logdet", "matrix_power", "signdet", "solve"),
    "solve_triangular",
}
"""Ops whose first operand must be regular, or their derivatives'."""
INTEGERS = {"bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "invert", "lcm", "left_shift", "right_shift"}
"""Ops that NumPy does not define for floats."""
STEP = 1e-5

# --- references -----------------------------------------------------------------------------------------------


def _in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that NumPy has not follow its dtype rule: floats stay, integers become float64."""

    def reference(*arrays: Any, **params: Any) -> Any:
        kind = np.result_type(*arrays)
        return np.asarray(function(*(np.asarray(a, np.float64) for a in arrays), **params)).astype(
            kind if kind.kind == "f" else np.float64
        )

    return reference


def _in_floats(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that NumPy has not compute in the dtype of its result."""

    def reference(*arrays: Any) -> Any:
        kind = np.result_type(*arrays, 0.0)
        return np.asarray(function(*(np.asarray(a, kind) for a in arrays)), kind)

    return reference


def _runs_index(runs: Any) -> tuple[Any, ...]:
    return (..., *np.ix_(*([run.start + run.step * k for k in range(run.length)] for run in runs)))


def _unslice(g: Any, runs: Any, into: Any) -> Any:
    out = np.zeros((*g.shape[: g.ndim - len(runs)], *into), g.dtype)
    out[_runs_index(runs)] = g
    return out


def _product_of_others(x: Any, axis: int) -> Any:
    return (
        x
        if 0 in x.shape
        else np.stack([np.prod(np.delete(x, k, axis), axis=axis, dtype=x.dtype) for k in range(x.shape[axis])], axis)
    )


def _symmetric_part(x: Any) -> Any:
    return 0.5 * x + 0.5 * np.swapaxes(x, -1, -2)


def _of_matrices(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of one matrix, or of several, act on stacks."""

    def reference(*arrays: Any) -> Any:
        leads = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
        whole = [np.broadcast_to(a, leads + a.shape[-2:]) for a in arrays]
        found = [function(*(a[at] for a in whole)) for at in np.ndindex(*leads)]
        return np.reshape(found, leads + np.shape(found[0]))

    return _in_double(reference)


def _solve_triangular(a: Any, b: Any, lower: bool, unit_diagonal: bool, **_: bool) -> Any:
    triangle = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        triangle = np.where(np.eye(a.shape[-1], dtype=bool), np.ones((), a.dtype), triangle)
    return np.linalg.solve(triangle, b)


def _tanh_slope_beside(t: Any, x: Any) -> Any:
    slope = 1.0 - np.asarray(t) * t
    e = np.exp(-2.0 * np.abs(np.asarray(x, getattr(x, "dtype", slope.dtype))))
    return np.where(slope < (0.03 if slope.itemsize > 2 else 0.2), 4.0 * e / ((1.0 + e) * (1.0 + e)), slope).astype(
        slope.dtype
    )


BY_SCIPY = ("beta", "betaln", "digamma", "erfcinv", "erfcx", "erfinv", "gamma", "gammaln", "ndtri")


def _exprel(x: Any, order: int) -> Any:
    at, weights = np.polynomial.legendre.leggauss(40)
    t = 0.5 + at / 2
    return np.sum(t**order * np.exp(x[..., None] * t) * weights / 2, -1)


def _sinc_slope(x: Any, order: int) -> Any:
    """Integrate the derivative of cos(πtx) over t, with digits to spare."""

    def of_one(x: float) -> float:
        with mpmath.workdps(40):
            turn = mpmath.pi * order / 2
            return float(
                mpmath.pi**order * mpmath.quad(lambda t: t**order * mpmath.cos(mpmath.pi * x * t + turn), [0, 1])
            )

    return np.vectorize(of_one, otypes=[float])(x)


def _toeplitz(c: Any, r: Any) -> Any:
    at = np.arange(c.shape[-1])[:, None] - np.arange(r.shape[-1])
    return np.where(at >= 0, c[..., np.maximum(at, 0)], r[..., np.maximum(-at, 0)])


def _minor(a: Any, i: int, j: int) -> Any:
    return np.delete(np.delete(a, i, axis=0), j, axis=1)


def _cofactors(a: Any) -> Any:
    found = [(-1.0) ** (i + j) * np.linalg.det(_minor(a, i, j)) for i, j in np.ndindex(a.shape)]
    return np.array(found).reshape(a.shape)


def _cofactors_along(a: Any, e: Any) -> Any:
    found = [(-1.0) ** (i + j) * (_cofactors(_minor(a, i, j)) * _minor(e, i, j)).sum() for i, j in np.ndindex(a.shape)]
    return np.array(found).reshape(a.shape)


def _along(part: Callable[..., Any]) -> Callable[..., Any]:
    """Give the derivative of cos or sin of a matrix along another one, as a part of that of exp(ia)."""
    return _of_matrices(lambda a, e: part(scipy.linalg.expm_frechet(1j * a, 1j * e, compute_expm=False)))


def _inverse_gaps(w: Any) -> Any:
    gaps = w[..., None, :] - w[..., None]
    return np.divide(1, gaps, out=np.zeros_like(gaps), where=gaps != 0)


def _spread(block: Any, pattern: str, shape: tuple[int, ...], runs: Any = ()) -> Any:
    out = np.zeros(shape, block.dtype)
    part = np.zeros([run.length for run in runs] if runs else shape, block.dtype)
    for index in np.ndindex(part.shape):
        at = dict(zip(pattern, index, strict=True))
        if all(at[letter] == place for letter, place in zip(pattern, index, strict=True)):
            whole = np.broadcast_to(block, [part.shape[pattern.index(letter)] for letter in at])
            part[index] = whole[tuple(at.values())]
    out[_runs_index(runs) if runs else ...] = part
    return out


def _add_where_equal(y: Any, block: Any, pattern: str, runs: Any = (), **_: bool) -> Any:
    if np.result_type(y, block) != y.dtype:
        raise TypeError
    return y + _spread(block, pattern, y.shape, runs)


def _as_index(indices: Sequence[Any], tail: int) -> tuple[Any, ...]:
    if any(np.asarray(index).dtype.kind not in "iu" for index in indices):
        raise TypeError
    return (..., *indices, *[slice(None)] * tail)


def _scatter(g: Any, *indices: Any, tail: int, into: Any) -> Any:
    shape = np.broadcast_shapes(*(np.shape(index) for index in indices))
    out = np.zeros((*g.shape[: g.ndim - tail - len(shape)], *into, *g.shape[g.ndim - tail :]), g.dtype)
    np.add.at(out, _as_index(indices, tail), g)
    return out


def _at(change: Callable[..., Any]) -> Callable[..., Any]:
    """Give what is left of x when it is changed in place where indices name."""

    def reference(x: Any, values: Any, *indices: Any, tail: int, distinct: bool = False) -> Any:
        del distinct
        if not np.can_cast(values.dtype, x.dtype, "same_kind"):
            raise TypeError
        out = x.copy()
        change(out, _as_index(indices, tail), values)
        return out

    return reference


def _set_slice(x: Any, values: Any, runs: Any) -> Any:
    if not np.can_cast(values.dtype, x.dtype, "same_kind"):
        raise TypeError
    out = x.copy()
    out[_runs_index(runs)] = values
    return out


def _windows(x: Any, window: Any, steps: Any, dilations: Any) -> Any:
    axes = range(-len(window), 0)
    extents = [(size - 1) * far + 1 for size, far in zip(window, dilations, strict=True)]
    starts = [range(0, x.shape[at] - long + 1, step) for at, long, step in zip(axes, extents, steps, strict=True)]
    spread = [
        [slice(i, i + long, far) for i in each] for each, long, far in zip(starts, extents, dilations, strict=True)
    ]
    taken = [x[(..., *place)] for place in itertools.product(*spread)]
    lead = x.shape[: x.ndim - len(window)]
    whole = np.stack(taken, len(lead)).reshape(*lead, *map(len, starts), *window)
    return whole.astype(x.dtype)


def _overlap_add(x: Any, into: Any, steps: Any, dilations: Any) -> Any:
    rank = len(into)
    out = np.zeros((*x.shape[: x.ndim - 2 * rank], *into), x.dtype)
    for places in itertools.product(*map(range, x.shape[x.ndim - 2 * rank :])):
        spots = zip(places[:rank], places[rank:], steps, dilations, strict=True)
        out[(..., *(o * step + k * far for o, k, step, far in spots))] += x[(..., *places)]
    return out


def _reduction(name: str) -> Callable[..., Any]:
    function = getattr(np, name)
    return lambda x, axes, keepdims: function(x, axis=axes, keepdims=keepdims)


def _position(name: str) -> Callable[..., Any]:
    function = getattr(np, name)
    return lambda x, axes, keepdims: function(x, axis=None if len(axes) == x.ndim else axes[0], keepdims=keepdims)


def _scan(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes: function(x, axis=axes[0])


def _recurrence(a: Any, b: Any, axes: tuple[int, ...], start: float) -> Any:
    a, b = (np.moveaxis(x, axes[0], 0) for x in np.broadcast_arrays(a, b))
    states = [np.full(a.shape[1:], start, np.result_type(a, b))]
    for p, q in zip(a[:-1], b[:-1], strict=True):
        states.append(p * states[-1] + q)
    return np.moveaxis(np.stack(states[: len(a)]), 0, axes[0])


REFERENCE: dict[str, Callable[..., Any]] = {
    **{name: _reduction(name) for name in ("sum", "mean", "max", "min", "prod", "any", "all")},
    **{name: _position(name) for name in ("argmax", "argmin", "nanargmax", "nanargmin")},
    "add_where_equal": _add_where_equal,
    "astype": lambda x, dtype: x.astype(dtype),
    "broadcast_to": np.broadcast_to,
    "concatenate": lambda *xs, axis: np.concatenate(xs, axis),
    "cosm": _of_matrices(scipy.linalg.cosm),
    "cosm_frechet": _along(np.real),
    "cholesky": np.linalg.cholesky,
    "cofactors": _of_matrices(_cofactors),
    "cofactors_along": lambda a, e: _of_matrices(_cofactors_along)(a if a.dtype.kind == "f" else a.astype(float), e),
    "det": np.linalg.det,
    "diag": lambda x: np.where(np.eye(x.shape[-1], dtype=bool), x[..., None], np.zeros((), x.dtype)),
    "diagonal_sums": lambda x: np.stack(
        [np.trace(x, -k, axis1=-2, axis2=-1) for k in range(1 - x.shape[-1], x.shape[-2])], -1
    ),
    "diagonal": lambda x: np.diagonal(x, axis1=-2, axis2=-1),
    "eigenvectors": lambda x: np.linalg.eigh(_symmetric_part(x))[1],
    "eigvalsh": lambda x: np.linalg.eigvalsh(_symmetric_part(x)),
    "einsum": lambda *xs, subscripts: np.einsum(subscripts, *xs),
    "bose": _in_double(lambda x: 1 / np.expm1(x)),
    "erf": _in_double(scipy.special.erf),
    "erfc": _in_double(scipy.special.erfc),
    "gauss": _in_double(lambda x: np.exp(-x * x / 2)),
    "log_ndtr": _in_double(scipy.special.log_ndtr),
    "ndtr": _in_double(scipy.special.ndtr),
    "overlap_add": _overlap_add,
    "sliding_dot": lambda a, v: np.vecdot(_windows(a, v.shape[-1:], (1,), (1,)), v[..., None, :]),
    "windows": _windows,
    "normal_tail": _in_double(lambda x: scipy.special.erfcx(x / np.sqrt(2)) / 2),
    "normal_hazard": _in_double(lambda x: np.exp(-x * x / 2 - scipy.special.log_ndtr(x)) / np.sqrt(2 * np.pi)),
    **{name: _in_double(getattr(scipy.special, name)) for name in BY_SCIPY},
    "bessel_i": _in_double(lambda x, order, scaled: (scipy.special.ive if scaled else scipy.special.iv)(order, x)),
    "boxcox": _in_double(scipy.special.boxcox),
    "exprel": _in_double(_exprel),
    "logit": _in_double(scipy.special.logit),
    "polygamma": _in_double(lambda x, order: scipy.special.polygamma(order, x)),
    "rel_entr": _in_floats(lambda x, y: x * np.log(x / y)),
    "fraction": lambda x: np.modf(x)[0],
    "ratio": np.divide,
    "gap": np.subtract,
    "round": np.round,
    "sinc_slope": _in_double(_sinc_slope),
    "expand_dims": lambda x, axes: np.expand_dims(x, axis=axes),
    "expm": _of_matrices(scipy.linalg.expm),
    "expm_frechet": _of_matrices(lambda a, e: scipy.linalg.expm_frechet(a, e, compute_expm=False)),
    "gather": lambda x, *indices, tail, **_: x[_as_index(indices, tail)],
    "scatter": _scatter,
    "scatter_add": _scatter,
    "set_at": _at(np.ndarray.__setitem__),
    "set_slice": _set_slice,
    "sort": lambda x, axes: np.sort(x, axes[0]),
    "argsort": lambda x, axes: np.argsort(x, axes[0], kind="stable"),
    "searchsorted": lambda a, v, right: np.searchsorted(a, v, "right" if right else "left"),
    "maximum_at": _at(np.maximum.at),
    "minimum_at": _at(np.minimum.at),
    "halved_tril": _in_double(lambda x: np.tril(x) - np.where(np.eye(x.shape[-1]), x / 2, 0)),
    "hypot1": _in_double(lambda x: np.sqrt(1 + x * x)),
    "inv": np.linalg.inv,
    "inverse_gaps": _in_double(_inverse_gaps),
    "isru": _in_double(lambda x: x / np.sqrt(1 + x * x)),
    "log1mexp": _in_double(lambda x: np.log1p(-np.exp(x))),
    "log_softmax": lambda x, axes: x - np.log(np.exp(x).sum(axes, keepdims=True)),
    "logsumexp": lambda x, axes, keepdims: np.log(np.exp(x).sum(axes, keepdims=keepdims)),
    "logcosh": _in_double(lambda x: np.log(np.cosh(x))),
    "logabsdet": lambda x: np.linalg.slogdet(x)[1],
    "logdet": lambda x: np.log(np.linalg.det(x)),
    "matrix_power": np.linalg.matrix_power,
    "centred": _in_double(lambda x, axes: x - x.mean(axes, keepdims=True)),
    "cummax": _scan(np.maximum.accumulate),
    "cummin": _scan(np.minimum.accumulate),
    "cumprod": _scan(np.cumprod),
    "cumsum": _scan(np.cumsum),
    "damped": np.multiply,
    "norm": _in_double(lambda x, axes, keepdims: np.sqrt((x * x).sum(axes, keepdims=keepdims))),
    "product_of_others": _product_of_others,
    "recurrence": _recurrence,
    "relu": _in_double(lambda x, slope_at_zero: np.where(x > 0, x, 0.0)),
    "pinv": lambda x, rtol: np.linalg.pinv(x, rtol=rtol),
    "qr_q": lambda x: np.linalg.qr(x)[0],
    "qr_r": lambda x: np.linalg.qr(x)[1],
    "reshape": lambda x, shape: x.reshape(shape),
    "roll": lambda x, shifts, axes: np.roll(x, shifts, axis=axes),
    "sinm": _of_matrices(scipy.linalg.sinm),
    "sinm_frechet": _along(np.imag),
    "sigmoid": _in_double(scipy.special.expit),
    "sigmoid_entropy": _in_double(lambda x: np.logaddexp(0.0, x) - x * scipy.special.expit(x)),
    "sigmoid_slope": _in_double(lambda x: scipy.special.expit(x) * scipy.special.expit(-x)),
    "slice": lambda x, runs: x[_runs_index(runs)],
    "solve": np.linalg.solve,
    "solve_triangular": _solve_triangular,
    "softmax": lambda x, axes: np.exp(x) / np.exp(x).sum(axes, keepdims=True),
    "softmax_centred": lambda x, z, axes: (
        x - (x * (np.exp(z) / np.exp(z).sum(axes, keepdims=True))).sum(axes, keepdims=True)
    ),
    "largest": lambda x, axes: x.max(axes, keepdims=True),
    "shifted": lambda x, axes: x - x.max(axes, keepdims=True) if x.size else x,
    "signdet": lambda x: np.linalg.slogdet(x)[0],
    "softplus": _in_double(lambda x: -scipy.special.log_expit(-x)),
    "spread": _spread,
    "squeeze": lambda x, axes: np.squeeze(x, axis=axes),
    "stack": lambda *xs, axis: np.stack(xs, axis),
    "step": _in_double(lambda x, at_zero: np.select([x > 0, x < 0], [1.0, 0.0], at_zero)),
    "svd_u": lambda x: np.linalg.svd(x, full_matrices=False)[0],
    "svd_vh": lambda x: np.linalg.svd(x, full_matrices=False)[2],
    "svdvals": np.linalg.svdvals,
    "tanh_slope": _in_double(lambda x: 1 / np.cosh(x) ** 2),
    "tanh_slope_beside": _tanh_slope_beside,
    "toeplitz": _toeplitz,
    "trace": lambda x: np.trace(x, axis1=-2, axis2=-1),
    "transpose": lambda x, axes: np.transpose(x, axes=axes),
    "unit": _in_double(lambda x, axes: x / np.sqrt((x * x).sum(axes, keepdims=True))),
    "unslice": _unslice,
    "weighted_logsumexp": lambda x, b, axes, keepdims: np.log((b * np.exp(x)).sum(axes, keepdims=keepdims)),
    "xlog1py": _in_floats(lambda x, y: x * np.log1p(y)),
    "xlogx": _in_floats(lambda x: x * np.log(x)),
    "xlogy": _in_floats(lambda x, y: x * np.log(y)),
}


def reference(op: Op) -> Callable[..., Any]:
    return REFERENCE.get(op.name) or getattr(np, op.name)


# --- cases and samples ----------------------------------------------------------------------------------------

UNARY = [(), (3,), (2, 3), (2, 1, 3), (0,), (2, 0)]
BINARY = [
    ((), ()),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((), (2, 3)),
    ((1, 3), (2, 1)),
    ((2, 1, 3), (2, 1)),
    ((1,), (3,)),
    ((0,), (1,)),
    ((2, 0), (2, 1)),
]
TERNARY = [((), (), ()), ((3,), (3,), (3,)), ((2, 1), (3,), ()), ((3,), (2, 1), (2, 3)), ((1,), (0,), (2, 1))]
EMPTY = {
    "sum": [Case(((0, 3),), {"axes": (-2,)}), Case(((2, 0),), {"axes": (-2,)})],
    "prod": [Case(((0, 3),), {"axes": (-2,)})],
    "mean": [Case(((2, 0),), {"axes": (-2,)})],
    "max": [Case(((2, 0),), {"axes": (-2,)})],
    "softmax": [Case(((0, 3),), {"axes": (-1,)}), Case(((2, 0),), {"axes": (-1,)})],
    "log_softmax": [Case(((2, 0),), {"axes": (-1,)})],
    "largest": [Case(((0, 3),), {"axes": (-1,)})],
    "shifted": [Case(((2, 0),), {"axes": (-1,)}), Case(((0, 3),), {"axes": (-1,)})],
    "softmax_centred": [Case(((0, 3), (0, 3)), {"axes": (-1,)}), Case(((2, 0), (2, 0)), {"axes": (-1,)})],
    "logsumexp": [Case(((0, 3),), {"axes": (-1,)})],
    "product_of_others": [Case(((0, 2),), {"axis": -2}), Case(((1,),), {"axis": -1}), Case(((2, 0),), {"axis": -2})],
    "matmul": [Case(((0, 3), (3, 2))), Case(((2, 0), (0, 3))), Case(((0,), (0,))), Case(((2, 3), (3, 0)))],
    "reshape": [Case(((0, 3),), {"shape": (3, 0)})],
    "transpose": [Case(((0, 3),), {"axes": (-1, -2)})],
    "broadcast_to": [Case(((1, 3),), {"shape": (0, 3)})],
    "concatenate": [Case(((0,), (2,)), {"axis": -1})],
    "stack": [Case(((0,), (0,)), {"axis": -2})],
    "sort": [Case(((0,),)), Case(((2, 0),))],
    "argsort": [Case(((0,),)), Case(((2, 0),))],
    "searchsorted": [Case(((0,), (2,)))],
}


class Application(NamedTuple):
    """An op with the shapes of its operands and all its parameters."""

    op: Op
    shapes: tuple[tuple[int, ...], ...]
    params: dict[str, Any]

    def __str__(self) -> str:
        params = ",".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.op.name}-{'x'.join(map(str, self.shapes))}-{params}".replace(" ", "")


def applications_of(op: Op) -> list[Application]:
    if op.elementwise:
        shapes = {1: [(shape,) for shape in UNARY], 2: BINARY, 3: TERNARY}[len(op.vjps)]
        cases = [Case(each) for each in shapes] + list(op.cases)
    else:
        cases = [*op.cases, *EMPTY.get(op.name, [])]
    return [Application(op, case.shapes, {**op.options, **case.params}) for case in cases]


OPS = [op for op in TABLE if op.name not in LEAVES]
APPLICATIONS = [application for op in OPS for application in applications_of(op)]
each_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
each_application = pytest.mark.parametrize("app", APPLICATIONS, ids=str)


def wants_bool(op: Op, position: int) -> bool:
    return op.name.startswith("logical_") or (op.name == "where" and position == 0)


def regular(op: Op, position: int, array: Any) -> Any:
    """Give matrices that have inverses, and whose lower triangle is that of a positive definite one."""
    if position or op.name not in FACTORED:
        return array
    return array + 4 * np.eye(array.shape[-1], dtype=array.dtype)


def sample(app: Application, seed: int = 0, dtype: Any = "float64") -> list[Any]:
    """Arrays inside the op's domain, off its kinks, no two numbers close to one another."""
    rng = np.random.default_rng([seed, *app.op.name.encode(), *itertools.chain(*app.shapes)])
    domain = app.op.domain or ((-2.0, 2.0),) * len(app.shapes)
    sizes = [int(np.prod(shape)) for shape in app.shapes]
    places = rng.permutation(sum(sizes)) + rng.uniform(0.2, 0.8, sum(sizes))
    unit = np.split(places / max(sum(sizes), 1), np.cumsum(sizes)[:-1])
    arrays = []
    for position, (shape, place) in enumerate(zip(app.shapes, unit, strict=True)):
        low, high = domain[position]
        values = low + (high - low) * place
        for kink in app.op.kinks:
            near = np.abs(values - kink) < 0.05
            values[near] = kink + 0.1 * (1 + place[near])
        values = values > np.median(values) if wants_bool(app.op, position) and values.size else values
        if is_index(app.op, position):
            arrays.append(indices(rng, shape))
            continue
        kind = "bool" if wants_bool(app.op, position) else "int64" if app.op.name in INTEGERS else dtype
        arrays.append(regular(app.op, position, values.reshape(shape)).astype(kind))
    return arrays


def build(app: Application, arrays: Sequence[Any], *, shapes: Any = None) -> tuple[Expr, list[Expr]]:
    xs = [
        sb.symbol(f"x{position}", np.shape(array) if shapes is None else shapes[position], np.asarray(array).dtype)
        for position, array in enumerate(arrays)
    ]
    return app.op(*xs, **app.params), xs


def differentiable(app: Application, xs: Sequence[Expr]) -> list[int]:
    return [k for k, x in enumerate(xs) if app.op.rule(k) is not None and x.dtype.kind == "f"]


# --- values, shapes, dtypes -----------------------------------------------------------------------------------


@each_application
def test_numpy_code_names_each_operand_once(app):
    template = app.op.form(
        app.op.numpy, app.params, app.shapes
    ).template  # an operand is an expression, maybe a long one
    assert all(template.count(f"${position}") <= 1 for position in range(len(app.shapes)))


@each_op
def test_the_table_says_where_an_op_can_be_tested(op):
    assert op.elementwise or op.cases, "an op that does not act on each element needs `cases`"
    assert len(op.vjps) >= 1
    assert op.indices in {None, len(op.vjps)}
    assert not op.domain or len(op.domain) == len(op.vjps)
    for app in applications_of(op):
        assert app.params.keys() == op.options.keys()


def test_names_are_unique():
    names = [op.name for op in TABLE]
    assert len(set(names)) == len(names)
    assert {op.name for op in TABLE if not op.vjps} == LEAVES


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@each_application
def test_value_shape_and_dtype(app, dtype):
    arrays = sample(app, dtype=dtype)
    y, xs = build(app, arrays)
    value = sb.evaluate(y, dict(zip(xs, arrays, strict=True)))
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_args, **_kwargs: None)  # NumPy's for a mean of nothing
        expected = np.asarray(reference(app.op)(*arrays, **app.params))
    assert y.shape == expected.shape == np.shape(value)
    assert y.dtype == expected.dtype == value.dtype
    tolerance = {"rtol": 1e-13, "atol": 1e-15} if dtype == "float64" else {"rtol": 3e-6, "atol": 1e-7}
    np.testing.assert_allclose(value, expected, **tolerance)


@each_application
def test_named_sizes_give_the_same(app):
    """Shape rules, derivatives and code hold for sizes that are known only at the call."""

    def named(sizes: Sequence[int]) -> tuple[Any, ...]:
        return as_shape([f"D{size}" if size > 1 else size for size in sizes])

    arrays = sample(app)
    counted = app.op.name == "overlap_add"  # windows are not as many as another axis is long; see those of `windows`
    told = {"shape", "into"} if not counted else {}
    params = {name: named(value) if name in told else value for name, value in app.params.items()}
    fixed = counted or (params.get("runs") and app.op.name != "slice")  # or the runs had other lengths
    shapes = app.shapes if fixed else [named(shape) for shape in app.shapes]
    y, xs = build(app._replace(params=params), arrays, shapes=shapes)
    all_sizes = {*itertools.chain(*app.shapes, app.params.get("shape", ()), app.params.get("into", ()))}
    sizes = {f"D{size}": size for size in all_sizes}
    plain, plain_xs = build(app, arrays)
    assert bind(y.shape, sizes) == plain.shape
    values = dict(zip(xs, arrays, strict=True))
    values |= {sb.symbol(f"tells_{name}", name): np.zeros(size) for name, size in sizes.items()}
    plain_values = dict(zip(plain_xs, arrays, strict=True))
    np.testing.assert_array_equal(sb.evaluate(y, values), sb.evaluate(plain, plain_values))
    targets = differentiable(app, xs)
    if y.dtype.kind == "f" and targets and 0 not in sizes.values():
        found = sb.grad(sb.sum(y * y), [xs[k] for k in targets])
        expected = sb.grad(sb.sum(plain * plain), [plain_xs[k] for k in targets])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(sb.evaluate(one, values), sb.evaluate(other, plain_values), rtol=1e-13)


ANY = ("bool", "int32", "int64", "float32", "float64")


def _integers(app: Application, dtypes: Sequence[str]) -> list[Any]:
    arrays = []
    for position, (shape, dtype, drawn) in enumerate(zip(app.shapes, dtypes, sample(app), strict=True)):
        if is_index(app.op, position):
            arrays.append(np.asarray(drawn).astype(dtype))
            continue
        whole = 1 + np.arange(int(np.prod(shape))).reshape(shape) % 3
        if app.op.name in FACTORED and not arrays:  # as bools no other matrix has an inverse
            whole = np.eye(shape[-1])
        arrays.append(np.asarray(drawn) if dtype.startswith("float") else whole)
        arrays[-1] = arrays[-1].astype(dtype)
    return arrays


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@each_op
def test_dtype_rule_is_numpys(op):
    """For all pairs of dtypes: what NumPy gives, or an error where NumPy has one; and what the code computes."""
    app = max(applications_of(op), key=lambda app: min(np.prod(shape) for shape in app.shapes))
    tried = 0
    for pair in itertools.product(ANY, repeat=min(2, len(app.shapes))):
        dtypes = (pair * 3)[: len(app.shapes)]
        arrays = _integers(app, dtypes)
        try:
            expected = np.asarray(reference(op)(*arrays, **app.params)).dtype
        except TypeError:
            with pytest.raises(DtypeError):
                build(app, arrays)
            continue
        try:
            y, _ = build(app, arrays)
        except DtypeError:
            assert op.dtype is only_floats, dtypes  # their functions convert first
            continue
        assert y.dtype == expected, dtypes
        raw = op.evaluate(*arrays, sizes={}, **app.params)
        assert np.asarray(raw).dtype == expected, f"the code for {dtypes} computes another dtype"
        tried += 1
    assert tried >= 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("scalar", [True, 2, 2.5], ids=["bool", "int", "float"])
@pytest.mark.parametrize("op", [op for op in OPS if op.elementwise and len(op.vjps) == 2], ids=lambda op: op.name)
def test_python_scalars_are_weak(op, scalar):
    for dtype, on_the_left in itertools.product(ANY, [False, True]):
        array = np.ones(3, dtype)
        arguments = (scalar, array) if on_the_left else (array, scalar)
        try:
            expected = reference(op)(*arguments)
        except TypeError:
            with pytest.raises(DtypeError):
                op(*arguments)
            continue
        y = op(*(sb.symbol("x", 3, dtype) if part is array else part for part in arguments))
        assert y.dtype == expected.dtype, (dtype, on_the_left)
        y.graph.verify([y.number])
        np.testing.assert_array_equal(sb.evaluate(y, {sb.symbol("x", 3, dtype): array}), expected)


def test_where_takes_weak_scalars_and_any_condition():
    x, mask = sb.symbol("x", 3, "float32"), sb.symbol("mask", 3)
    for condition, a, b in [(x > 0, x, 0), (x > 0, 0.0, x), (mask, 1, 0), (np.True_, x, 2.5), (mask, x, 1)]:
        y = sb.where(condition, a, b)
        stand_in = [np.ones(3, part.dtype) if isinstance(part, Expr) else part for part in (condition, a, b)]
        assert y.dtype == np.where(*stand_in).dtype
        y.graph.verify([y.number])


# --- derivatives ----------------------------------------------------------------------------------------------


def slope(f: Expr, xs: Sequence[Expr], arrays: Sequence[Any], moved: int, direction: Any) -> float:
    """The centred difference of a scalar along a direction of one operand."""
    ends = []
    for sign in (1, -1):
        shifted = [array + sign * STEP * direction if k == moved else array for k, array in enumerate(arrays)]
        ends.append(float(sb.evaluate(f, dict(zip(xs, shifted, strict=True)))))
    return (ends[0] - ends[1]) / (2 * STEP)


def assert_slopes(f: Expr, xs: Sequence[Expr], arrays: Sequence[Any], targets: Sequence[int], rng: Any) -> None:
    """Compare the gradient's projections with centred differences, one direction per operand."""
    gradients = sb.grad(f, [xs[k] for k in targets], unused="zeros")
    values = dict(zip(xs, arrays, strict=True))
    for k, gradient in zip(targets, gradients, strict=True):
        assert gradient.shape == xs[k].shape
        assert gradient.dtype == xs[k].dtype
        direction = rng.uniform(-1, 1, np.shape(arrays[k]))
        expected = slope(f, xs, arrays, k, direction)
        found = float(np.sum(sb.evaluate(gradient, values) * direction))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7, err_msg=f"operand {k}")


@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
@each_application
def test_first_and_second_derivative(app):
    arrays = sample(app)
    y, xs = build(app, arrays)
    rng = np.random.default_rng(7)
    floats = [k for k, x in enumerate(xs) if x.dtype.kind == "f"]
    targets = differentiable(app, xs)
    if y.dtype.kind != "f":
        with pytest.raises(NotDifferentiableError):
            sb.vjp(y, xs, np.ones(y.shape))
        return
    weights = rng.uniform(0.5, 1.5, y.shape)
    f = sb.sum(y * weights)
    for k in set(floats) - set(targets):
        assert slope(f, xs, arrays, k, np.ones(np.shape(arrays[k]))) == 0, "no rule, so constant"
    if not targets:
        with pytest.raises(NotDifferentiableError):
            sb.grad(f, xs[0])
        return
    assert_slopes(f, xs, arrays, targets, rng)
    projection = sb.constant(0.0)
    for gradient in sb.grad(f, [xs[k] for k in targets]):
        projection = projection + sb.sum(gradient * rng.uniform(0.5, 1.5, gradient.shape))
    assert_slopes(projection, xs, arrays, targets, rng)


@each_application
def test_float32_derivatives_are_near_those_of_float64(app):
    single = sample(app, dtype="float32")
    double = [array.astype("float64") if array.dtype.kind == "f" else array for array in single]
    found = []
    for arrays in (single, double):
        y, xs = build(app, arrays)
        targets = differentiable(app, xs)
        if y.dtype.kind != "f" or not targets:
            return
        if app.op.name == "astype":
            assert y.dtype == "float64"
        values = dict(zip(xs, arrays, strict=True))
        first = sb.grad(sb.sum(y * y), [xs[k] for k in targets])
        second = sb.grad(sum(sb.sum(g * g) for g in first), [xs[k] for k in targets], unused="zeros")
        assert all(g.dtype == xs[k].dtype for g, k in zip(first + second, targets * 2, strict=True))
        for node in [y.graph.nodes[number] for number in y.graph.reachable([g.number for g in first + second])]:
            allowed = {arrays[targets[0]].dtype, np.dtype(bool), np.dtype(np.int_)}
            assert node.dtype in allowed or app.op.name == "astype", f"{node.op.name} upcasts"
        found.append([sb.evaluate(g, values) for g in first + second])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5 * np.max(np.abs(other), initial=1.0))


@pytest.mark.parametrize("extra", [(4,), (2, 3)], ids=str)
@each_application
def test_cotangents_may_have_leading_axes(app, extra):
    """One pull-back of many cotangents is those pull-backs stacked, for the derivative and for the second one."""
    arrays = sample(app)
    y, xs = build(app, arrays)
    targets = differentiable(app, xs)
    if y.dtype.kind != "f" or not targets:
        return
    rng = np.random.default_rng(3)
    values = dict(zip(xs, arrays, strict=True))
    wanted = [xs[k] for k in targets]

    def compare(z: Expr) -> None:
        cotangents = rng.uniform(-1, 1, (*extra, *z.shape))
        many = [sb.evaluate(g, values) for g in sb.vjp(z, wanted, cotangents, unused="zeros")]
        one = sb.symbol("one", z.shape)
        single = sb.vjp(z, wanted, one, unused="zeros")
        for target, g, stacked in zip(wanted, single, many, strict=True):
            assert stacked.shape == (*extra, *target.shape)
            for at in np.ndindex(*extra):
                expected = sb.evaluate(g, {**values, one: cotangents[at]})
                np.testing.assert_allclose(stacked[at], expected, rtol=1e-11, atol=1e-13)

    compare(y)
    for g in sb.vjp(y, wanted, rng.uniform(-1, 1, y.shape)):
        compare(g)


# --- accuracy and extreme values ------------------------------------------------------------------------------

EXTREME = [
    -1000.0,
    -745.0,
    -100.0,
    -40.0,
    -6.0,
    -1.0,
    -0.46875,
    -1e-3,
    -1e-20,
    0.0,
    1e-9,
    0.3,
    0.47,
    2.0,
    5.9,
    37.0,
    1000.0,
]
PRECISE = {
    "erf": (sb.erf, mpmath.erf),
    "erfc": (sb.erfc, mpmath.erfc),
    "ndtr": (sb.ndtr, mpmath.ncdf),
    "sigmoid": (sb.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x))),
    "softplus": (sb.softplus, lambda x: mpmath.log1p(mpmath.exp(x))),
    "expm1": (sb.expm1, mpmath.expm1),
    "tanh": (sb.tanh, mpmath.tanh),
}


@pytest.mark.parametrize(("dtype", "ulps"), [("float64", 8), ("float32", 24)])
@pytest.mark.parametrize("name", PRECISE)
def test_accurate_to_the_last_digits(name, dtype, ulps):
    op, precise = PRECISE[name]
    points = np.array([at for at in EXTREME if name != "expm1" or at < 80], dtype)
    x = sb.symbol("x", points.shape, dtype)
    found = sb.evaluate(op(x), {x: points})
    with mpmath.workdps(60):
        expected = [precise(mpmath.mpf(float(at))) for at in points]
        for at, value, true in zip(points, found, expected, strict=True):
            unit = float(np.finfo(dtype).eps) * max(abs(true), float(np.finfo(dtype).tiny))
            assert abs(mpmath.mpf(float(value)) - true) <= ulps * unit, f"{name}({at}) = {value}, not {float(true)}"


def _log_ndtr(x):
    return mpmath.log(mpmath.ncdf(x)) if x < 0 else mpmath.log1p(-mpmath.ncdf(-x))


MANY = {
    "erf": (sb.erf, mpmath.erf, 4),
    "erfc": (sb.erfc, mpmath.erfc, 4),
    "ndtr": (sb.ndtr, mpmath.ncdf, 4),
    "log_ndtr": (sb.log_ndtr, _log_ndtr, 8),
    "sigmoid": (sb.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), 4),
    "gauss": (GAUSS, lambda x: mpmath.exp(-x * x / 2), 4),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", MANY)
def test_accurate_to_a_few_units_in_the_last_place_everywhere(name, dtype):
    """At many points: small and large, in tails where results are subnormal, at the joints of the approximations."""
    op, precise, ulps = MANY[name]
    rng, limits = np.random.default_rng(7), np.finfo(dtype)
    tail = 38.6 if dtype == "float64" else 14.5
    sizes = np.concatenate([
        10.0 ** rng.uniform(np.log10(limits.smallest_subnormal), 4, 200), rng.uniform(0, 1.5, 400),
        rng.uniform(0, 6, 400), rng.uniform(0, tail, 400), [0, 0.75, limits.tiny, limits.smallest_subnormal, 5.92],
    ])  # fmt: skip
    points = np.unique(np.concatenate([sizes, -sizes]).astype(dtype))
    x = sb.symbol("x", points.shape, dtype)
    with np.errstate(under="ignore"):
        found = sb.evaluate(op(x), {x: points})
    with mpmath.workdps(40):
        for at, value in zip(points.tolist(), found.tolist(), strict=True):
            true = precise(mpmath.mpf(at))
            unit = float(np.spacing(np.asarray(abs(float(true)), dtype)))
            assert abs(mpmath.mpf(value) - true) <= ulps * unit, f"{name}({at}) = {value}, not {float(true)}"


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 2e-13), ("float32", 2e-6)])
def test_the_slope_of_log_ndtr_is_right_in_the_tail(dtype, rtol):
    points = np.concatenate([-np.geomspace(1, 1e30, 100), np.linspace(-40, 10, 101)]).astype(dtype)
    x = sb.symbol("x", points.shape, dtype)
    found = sb.evaluate(sb.grad(sb.sum(sb.log_ndtr(x)), x), {x: points})
    with mpmath.workdps(80):
        true = [float(mpmath.npdf(at) / mpmath.ncdf(at)) for at in points.tolist()]
    np.testing.assert_allclose(found, true, rtol)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_normal_distribution_at_infinity(dtype):
    x = sb.symbol("x", 3, dtype)
    for op, expected in [
        (sb.erf, [-1, 1, np.nan]), (sb.erfc, [2, 0, np.nan]), (sb.ndtr, [0, 1, np.nan]), (GAUSS, [0, 0, np.nan]),
        (sb.log_ndtr, [-np.inf, 0, np.nan]), (NORMAL_HAZARD, [np.inf, 0, np.nan]),
    ]:  # fmt: skip
        found = sb.evaluate(op(x), {x: [-np.inf, np.inf, np.nan]})
        np.testing.assert_array_equal(found, np.array(expected, dtype), op.name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nothing_overflows(dtype):
    """Values and gradients at ±1000 and at the infinities, with every warning an error."""
    points = np.array([-np.inf, -1000, 0, 1000, np.inf], dtype)
    x = sb.symbol("x", 5, dtype)
    for op, expected, slopes in [
        (sb.sigmoid, [0, 0, 0.5, 1, 1], [0, 0, 0.25, 0, 0]),
        (sb.softplus, [0, 0, np.log(2), 1000, np.inf], [0, 0, 0.5, 1, 1]),
        (sb.tanh, [-1, -1, 0, 1, 1], [0, 0, 1, 0, 0]),
        (sb.erf, [-1, -1, 0, 1, 1], [0, 0, 2 / np.sqrt(np.pi), 0, 0]),
        (sb.relu, [0, 0, 0, 1000, np.inf], [0, 0, 0, 1, 1]),
    ]:
        y = op(x)
        np.testing.assert_allclose(sb.evaluate(y, {x: points}), expected, rtol=1e-6)
        np.testing.assert_allclose(sb.evaluate(sb.grad(sb.sum(y), x), {x: points}), slopes, rtol=1e-6)


def test_softmax_and_its_kin_are_shifted():
    rows = np.array([[1000.0, 1001.0, -1000.0], [-1e300, 0.0, 1e300]])
    z = sb.symbol("z", (2, 3))
    values = {z: rows}
    np.testing.assert_allclose(sb.evaluate(sb.softmax(z), values), scipy.special.softmax(rows, -1))
    np.testing.assert_allclose(sb.evaluate(sb.log_softmax(z), values), scipy.special.log_softmax(rows, -1))
    np.testing.assert_allclose(sb.evaluate(sb.logsumexp(z, -1), values), scipy.special.logsumexp(rows, -1))
    for op in (sb.softmax, sb.log_softmax):
        assert np.isfinite(sb.evaluate(sb.grad(sb.sum(op(z)[:, 0]), z), values)).all()
    np.testing.assert_allclose(
        sb.evaluate(sb.grad(sb.sum(sb.logsumexp(z, -1)), z), values), scipy.special.softmax(rows, -1)
    )


def test_logsumexp_of_nothing_and_of_infinities():
    z = sb.symbol("z", (2, "K"))
    total = sb.logsumexp(z, axis=1)
    np.testing.assert_array_equal(sb.evaluate(total, {z: np.zeros((2, 0))}), [-np.inf, -np.inf])
    np.testing.assert_array_equal(sb.evaluate(total, {z: [[-np.inf] * 2, [np.inf, 0.0]]}), [-np.inf, np.inf])


def test_nan_passes_through():
    apart = INTEGERS | {"where"}
    for op in [op for op in OPS if op.elementwise and op.dtype is not sb.less.dtype and op.name not in apart]:
        app = Application(op, ((2,),) * len(op.vjps), dict(op.options))
        y, xs = build(app, [np.full(2, np.nan)] * len(op.vjps))
        if y.dtype.kind == "f":
            with np.errstate(all="ignore"):
                value = sb.evaluate(y, {x: np.full(2, np.nan) for x in xs})
            assert np.isnan(value).all(), op


# --- kinks, ties, zeros ---------------------------------------------------------------------------------------


def gradient_at(function: Callable[[Expr], Expr], at: Any) -> Any:
    array = np.asarray(at, "float64")
    x = sb.symbol("x", array.shape)
    return sb.evaluate(sb.grad(sb.sum(function(x)), x), {x: array})


def test_derivatives_at_kinks_are_those_documented():
    assert gradient_at(sb.abs, 0.0) == 0
    assert gradient_at(sb.relu, 0.0) == 0
    assert gradient_at(lambda x: sb.relu(x, slope_at_zero=1), 0.0) == 1
    assert gradient_at(lambda x: sb.relu(x, slope_at_zero=0.5), 0.0) == 0.5
    assert gradient_at(lambda x: sb.leaky_relu(x, 0.1), 0.0) == 0.1
    assert gradient_at(lambda x: sb.prelu(x, 0.0), 0.0) == 0
    np.testing.assert_array_equal(gradient_at(lambda x: sb.clip(x, -1, 1), [-2, -1, 0, 1, 2]), [0, 1, 1, 1, 0])
    for op in (sb.maximum, sb.minimum):
        assert gradient_at(lambda x, op=op: op(x, 1.0), 1.0) == 1
        assert gradient_at(lambda x, op=op: op(1.0, x), 1.0) == 0
        assert gradient_at(lambda x, op=op: op(x, x), 1.0) == 1


@pytest.mark.parametrize("extreme", [sb.max, sb.min], ids=["max", "min"])
def test_ties_share_the_derivative(extreme):
    np.testing.assert_allclose(gradient_at(extreme, [2.0, 2.0, 2.0]), [1 / 3] * 3)
    x = [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    np.testing.assert_allclose(gradient_at(lambda x: extreme(x, axis=0), x), np.full((2, 3), 0.5))
    np.testing.assert_allclose(gradient_at(lambda x: 2 * extreme(x), x), np.full((2, 3), 1 / 3))


def test_prod_at_zeros():
    """First and second derivatives of x0 x1 x2 x3 where one, two or three factors are zero."""
    for at in ([2.0, 3.0, 5.0, 7.0], [0.0, 3.0, 5.0, 7.0], [0.0, 3.0, 0.0, 7.0], [0.0, 0.0, 0.0, 7.0]):
        array = np.array(at)
        x = sb.symbol("x", 4)
        first = sb.grad(sb.prod(x), x)
        expected = [np.prod(np.delete(array, k)) for k in range(4)]
        np.testing.assert_array_equal(sb.evaluate(first, {x: array}), expected)
        second = sb.vjp(first, x, np.eye(4))
        expected = [[0 if j == k else np.prod(np.delete(array, [j, k])) for j in range(4)] for k in range(4)]
        np.testing.assert_array_equal(sb.evaluate(second, {x: array}), expected)
        third = sb.grad(sb.sum(second), x)
        triples = [
            sum(2 * np.prod(np.delete(array, [i, j, k])) for j in range(4) for k in range(j) if i not in {j, k})
            for i in range(4)
        ]
        np.testing.assert_array_equal(sb.evaluate(third, {x: array}), triples)


FACTORS = {
    "near one": lambda rng: rng.uniform(0.9, 1.1, 300),
    "of both signs": lambda rng: rng.uniform(0.9, 1.1, 300) * rng.choice([-1, 1], 300),
    "columns": lambda rng: rng.uniform(0.9, 1.1, (300, 3)),
    "with a zero": lambda rng: rng.uniform(0.9, 1.1, 300) * (np.arange(300) != 7),
    "with two zeros": lambda rng: rng.uniform(0.9, 1.1, 300) * (np.arange(300) > 1),
    "far apart": lambda rng: np.exp(rng.uniform(-3, 3, 300)),
    "tiny in all": lambda rng: np.repeat([1e-200, 10 ** (-150 / 299)], [1, 299]),
    "infinite": lambda rng: np.where(np.arange(300) == 5, np.inf, rng.uniform(0.9, 1.1, 300)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FACTORS)
def test_products_of_many_others(name, dtype):
    with np.errstate(all="ignore"):
        x = FACTORS[name](np.random.default_rng(1)).astype(dtype)
        wide = x.astype(np.longdouble)
        expected = np.stack([np.prod(np.delete(wide, k, 0), axis=0) for k in range(len(x))]).astype(dtype)
    expr = sb.symbol("x", x.shape, dtype)
    found = sb.evaluate(sb.grad(sb.sum(sb.prod(expr, axis=0)), expr), {expr: x})
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=300 * np.finfo(dtype).eps)


def test_prod_over_several_axes_at_zeros():
    array = np.array([[0.0, 2.0, 3.0], [4.0, 5.0, 0.0]])
    np.testing.assert_array_equal(gradient_at(sb.prod, array), np.zeros((2, 3)))
    array[0, 0] = 1
    np.testing.assert_array_equal(gradient_at(sb.prod, array), [[0, 0, 0], [0, 0, 120]])


def test_power_at_zero():
    """Derivatives of x**k at 0, of each order, for exponents written as a number, an array and a symbol."""
    for exponent in range(4):
        x, k = sb.symbols("x k")
        written, given = sb.power(x, exponent), sb.power(x, k)
        values = {x: 0.0, k: exponent}
        for order in (1, 2, 3):
            expected = float(np.prod(range(1, exponent + 1))) if order == exponent else 0.0
            written, given = (sb.grad(f, x, unused="zeros") for f in (written, given))
            assert sb.evaluate(written, values) == expected
            assert sb.evaluate(given, values) == expected
    features = gradient_at(lambda x: sb.power(x[:, None], np.arange(4.0)), [0.0, 2.0])
    np.testing.assert_array_equal(features, [1, 1 + 4 + 12])
    x, k = sb.symbols("x k")
    assert sb.evaluate(sb.grad(x**k, k), {x: 0.0, k: 2.0}) == 0
    assert sb.evaluate(sb.grad(x**k, k), {x: 0.0, k: 0.0}) == 0


def test_where_takes_nothing_from_the_other_branch():
    c, a, b = sb.symbol("c", 2, "bool"), sb.symbol("a", 2), sb.symbol("b", 2)
    da, db = sb.vjp(sb.where(c, a, b), [a, b], [np.inf, np.nan])
    values = {c: [True, False], a: [0.0, 0.0], b: [0.0, 0.0]}
    np.testing.assert_array_equal(sb.evaluate(da, values), [np.inf, 0])
    np.testing.assert_array_equal(sb.evaluate(db, values), [0, np.nan])


def test_sqrt_and_its_infinite_derivative_at_zero():
    with np.errstate(divide="ignore"):
        assert gradient_at(sb.sqrt, 0.0) == np.inf


def test_remainder_and_floor_divide_with_signs():
    a, b = np.array([7.3, -7.3, 7.3, -7.3]), np.array([2.0, 2.0, -2.0, -2.0])
    x, y = sb.symbol("x", 4), sb.symbol("y", 4)
    values = {x: a, y: b}
    np.testing.assert_array_equal(sb.evaluate(x // y, values), a // b)
    np.testing.assert_array_equal(sb.evaluate(x % y, values), a % b)
    dx, dy = sb.grad(sb.sum(x % y), [x, y])
    np.testing.assert_array_equal(sb.evaluate(dx, values), np.ones(4))
    np.testing.assert_array_equal(sb.evaluate(dy, values), -(a // b))


def test_astype_converts_the_cotangent_back():
    x = sb.symbol("x", 3, "float32")
    z = sb.sum(sb.sin(x.astype("float64")))
    (g,) = sb.grad(z, [x])
    assert z.dtype == "float64"
    assert g.dtype == "float32"
    np.testing.assert_allclose(sb.evaluate(g, {x: [0.0, 1.0, 2.0]}), np.cos([0.0, 1.0, 2.0]), rtol=1e-6)
    assert x.astype("float32") is x
    with pytest.raises(NotDifferentiableError, match="only through astype"):
        sb.grad(sb.sum(x.astype(int).astype("float64")), x)


# --- public functions, in NumPy's forms of call ---------------------------------------------------------------

X23 = np.array([[0.3, -1.2, 2.0], [1.5, 0.7, -0.4]])
CALLS: list[tuple[str, Callable[..., Any]]] = [
    ("sum", lambda m, x: m.sum(x)),
    ("sum axis", lambda m, x: m.sum(x, 0)),
    ("sum axes keepdims", lambda m, x: m.sum(x, axis=(0, -1), keepdims=True)),
    ("sum no axes", lambda m, x: m.sum(x, axis=())),
    ("mean", lambda m, x: m.mean(x, axis=1, keepdims=True)),
    ("max", lambda m, x: m.max(x, axis=-1)),
    ("min", lambda m, x: m.min(x, axis=np.int64(0))),
    ("prod", lambda m, x: m.prod(x, axis=(0, 1))),
    ("prod keepdims", lambda m, x: m.prod(x, axis=(0, 1), keepdims=True)),
    ("clip", lambda m, x: m.clip(x, -0.5, 1.0)),
    ("where", lambda m, x: m.where(x > 0, x, 0.0)),
    ("reshape", lambda m, x: m.reshape(x, (3, -1))),
    ("reshape flat", lambda m, x: m.reshape(x, -1)),
    ("transpose", lambda m, x: m.transpose(x)),
    ("transpose axes", lambda m, x: m.transpose(x, (-1, 0))),
    ("expand_dims", lambda m, x: m.expand_dims(x, 1)),
    ("expand_dims two", lambda m, x: m.expand_dims(x, (0, -1))),
    ("squeeze", lambda m, x: m.squeeze(m.expand_dims(x, (0, -1)))),
    ("squeeze axis", lambda m, x: m.squeeze(m.expand_dims(x, (0, -1)), axis=0)),
    ("broadcast_to", lambda m, x: m.broadcast_to(x, (4, 2, 3))),
    ("concatenate", lambda m, x: m.concatenate([x, X23, x], axis=1)),
    ("concatenate default", lambda m, x: m.concatenate((x, x))),
    ("stack", lambda m, x: m.stack([x, X23], axis=-1)),
    ("stack default", lambda m, x: m.stack((X23, x))),
    ("matmul", lambda m, x: m.matmul(x, X23.T)),
    ("zeros_like", lambda m, x: m.zeros_like(x)),
    ("ones_like", lambda m, x: m.ones_like(x)),
    ("abs", lambda m, x: m.abs(x)),
    ("power", lambda m, x: m.power(m.exp(x), 1.5)),
    ("maximum", lambda m, x: m.maximum(0, x)),
    ("astype", lambda _m, x: x.astype("float32")),
    ("methods", lambda _m, x: x.sum(0) + x.mean(axis=0) + x.max(0) - x.min(0) * x.prod(axis=0)),
    ("method keepdims", lambda _m, x: x.sum(axis=1, keepdims=True)),
    ("method reshape", lambda _m, x: x.reshape(3, 2) @ x.reshape((2, -1))),
    (
        "method transpose",
        lambda _m, x: x.transpose(1, 0) + x.transpose((1, 0)) + x.transpose() + x.T + x.transpose(None),
    ),
    ("method squeeze", lambda _m, x: x[None].squeeze(0) + x[:, :, None].squeeze()),
]


@pytest.mark.parametrize("call", [call for _, call in CALLS], ids=[name for name, _ in CALLS])
def test_calls_as_in_numpy(call):
    """The same text with NumPy on arrays, with symbackprop on expressions, and with NumPy on expressions."""
    x = sb.symbol("x", (2, 3))
    expected = call(np, X23)
    for module in (sb, np):
        y = call(module, x)
        assert isinstance(y, Expr)
        assert y.shape == expected.shape
        assert y.dtype == expected.dtype
        np.testing.assert_allclose(sb.evaluate(y, {x: X23}), expected, rtol=1e-14)


def test_composites_without_a_numpy_name():
    x, a = sb.symbol("x", (2, 3)), sb.symbol("a", 3)
    slopes = np.array([0.1, 0.2, 0.3])
    values = {x: X23, a: slopes}
    for y, expected in [
        (sb.relu(x), np.maximum(X23, 0)),
        (sb.step(x), np.where(X23 > 0, 1.0, 0.0)),
        (sb.step(x * 0, at_zero=0.25), np.full((2, 3), 0.25)),
        (sb.leaky_relu(x), np.where(X23 > 0, X23, 0.01 * X23)),
        (sb.leaky_relu(x, 0.3), np.where(X23 > 0, X23, 0.3 * X23)),
        (sb.prelu(x, a), np.where(X23 > 0, X23, slopes * X23)),
        (sb.softmax(x), scipy.special.softmax(X23, -1)),
        (sb.softmax(x, axis=(0, 1)), scipy.special.softmax(X23)),
        (sb.log_softmax(x, axis=0), scipy.special.log_softmax(X23, 0)),
        (sb.logsumexp(x), scipy.special.logsumexp(X23)),
        (sb.logsumexp(x, axis=0, keepdims=True), scipy.special.logsumexp(X23, 0, keepdims=True)),
    ]:
        np.testing.assert_allclose(sb.evaluate(y, values), expected, rtol=1e-13)
    slope = sb.grad(sb.sum(sb.prelu(x, a)), a)
    np.testing.assert_allclose(sb.evaluate(slope, values), np.minimum(X23, 0).sum(0))


def test_integers_become_floats_where_they_must():
    k = sb.symbol("k", 3, "int64")
    values = {k: [1, 2, 3]}
    for y, expected in [
        (sb.softmax(k), scipy.special.softmax([1, 2, 3])),
        (sb.log_softmax(k), scipy.special.log_softmax([1, 2, 3])),
        (sb.logsumexp(k), scipy.special.logsumexp([1, 2, 3])),
        (sb.mean(k), 2.0),
        (sb.mean(k > 1), 2 / 3),
        (k / 2, [0.5, 1.0, 1.5]),
        (sb.sum(k > 1), 2),
    ]:
        np.testing.assert_allclose(sb.evaluate(y, values), expected)
    assert sb.mean(k > 1).dtype == "float64"
    assert sb.sum(k > 1).dtype == "int64"
    assert sb.prod(sb.symbol("flag", (), "bool")).dtype == "int64"


def test_joining_keeps_python_scalars_weak_and_arrays_in_the_graph_of_the_expressions():
    a = sb.symbol("a", (), "float32")
    assert sb.stack([a, 1.0, 2]).dtype == "float32"
    with sb.Graph():
        x = sb.symbol("x", 2)
    joined = sb.concatenate([np.ones(1), x])
    assert joined.graph is x.graph
    np.testing.assert_array_equal(sb.evaluate(joined, {x: [2.0, 3.0]}), [1, 2, 3])


# --- indexing -------------------------------------------------------------------------------------------------

INDICES = [
    0, -1, slice(None), slice(1, None), slice(None, -1), slice(None, None, 2), slice(1, None, 2), slice(None, None, -1),
    slice(None, None, -2), slice(-1, -4, -1), slice(3, 0, -1), slice(3, None, -2), slice(-2, None), slice(1, 3),
    slice(-3, -1), slice(2, 2), slice(3, 1), slice(1, 3, -1), slice(-1, None, -3), ..., None,
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("size", [4, 5, 7])
def test_indexing_an_axis_of_known_or_named_size(index, size):
    for shape, sizes in [((size,), (size,)), (("N",), (size,)), (("N", 3), (size, 3)), ((2, "N"), (2, size))]:
        full = (slice(None), index) if shape[0] == 2 else index
        array = np.arange(float(np.prod(sizes))).reshape(sizes)
        x = sb.symbol("x", shape)
        y = x[full]
        expected = array[full]
        assert bind(y.shape, {"N": size}) == expected.shape
        np.testing.assert_array_equal(sb.evaluate(y, {x: array}), expected)
        put = np.zeros(sizes)
        put[full] = 2 * expected
        np.testing.assert_array_equal(sb.evaluate(sb.grad(sb.sum(y * y), x), {x: array}), put)


def test_the_written_slice_holds_for_every_size_it_is_made_for():
    """Code is printed once and runs at every N: at each the text must take what NumPy takes from the user's index."""
    N = Dim.named("N")
    for index in [part for part in INDICES if isinstance(part, slice)]:
        x = sb.symbol("x", "N")
        y = x[index]
        if y.op.name == "symbol":
            continue
        text = y.op.form(y.op.numpy, y.params, ((N,),)).fill(["x"])
        for size in range(4, 9):
            array = np.arange(size)
            found = eval(text, {"x": array, "N": size})  # noqa: S307  (printed two lines above)
            np.testing.assert_array_equal(found, array[index], err_msg=f"{index} -> {text} at N={size}")


def test_several_indices_at_once():
    array = np.arange(24.0).reshape(2, 3, 4)
    x = sb.symbol("x", (2, 3, 4))
    for index in [
        np.s_[1, ..., 2], np.s_[:, None, 1], np.s_[None, 0, None, ..., ::-1], np.s_[..., 1:, ::3], np.s_[()],
        np.s_[1, 2, 3], np.s_[-1, -1], np.s_[:, ::-1, 1:3], np.s_[..., None], np.s_[np.int64(1), ..., np.int8(-1)],
    ]:  # fmt: skip
        y = x[index]
        assert y.shape == array[index].shape
        np.testing.assert_array_equal(sb.evaluate(y, {x: array}), array[index])


def test_symbolic_bounds():
    N = Dim.named("N")
    x = sb.symbol("x", ("N + 2",))
    assert x[:N].shape == ("N",)
    assert x[1 : N + 1].shape == ("N",)
    assert x[N:].shape == (2,)
    assert x[2:].shape == ("N",)
    n = sb.symbol("n", "N")
    values = {x: np.arange(6.0), n: np.zeros(4)}
    np.testing.assert_array_equal(sb.evaluate(x[1 : N + 1], values), [1, 2, 3, 4])
    np.testing.assert_array_equal(sb.evaluate(x[N:], values), [4, 5])
    second = x[2:] - 2 * x[1:-1] + x[:-2]
    assert second.shape == ("N",)
    np.testing.assert_array_equal(sb.evaluate(second, values), np.zeros(4))
