"""Values to as many digits as wanted: the op table evaluated on numbers of mpmath.

Each op is computed by its own NumPy source, on arrays of `Number` objects and with `_Library` in the place of NumPy,
so that no op's meaning is told twice. What NumPy computes in double precision alone (functions, linear algebra) has
its definition here; what has none is an error, never a rounded value.

Floats are real numbers here: they do not overflow, 0 has no sign, and what is undefined is NaN (``0/0``, ``log(-1)``,
the inverse of a singular matrix) or infinite (``1/0``, ``log(0)``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.autodiff.forward import bind_sizes
from symbackprop.errors import ArgumentError, ShapeError, SymbackpropError
from symbackprop.expr import Expr, common_graph
from symbackprop.graph import Node
from symbackprop.op import Array
from symbackprop.ops.elementwise import ASTYPE

_DIGITS = 50
_HUGE = 10**9  # exp beyond this is not worth its digits: it counts as infinite, and sines beyond it as undefined
Real: TypeAlias = Any  # mpmath has no types: an mpf of the context in use
Reading: TypeAlias = Callable[[Any, Any], Real]  # (context, number of a formula) -> the real number that is meant


class NotExactError(SymbackpropError, NotImplementedError):
    """An operation is known in double precision alone."""


@cache
def context(digits: int) -> Any:
    """Give mpmath's arithmetic of so many digits, apart from the global one that users may have set.

    >>> print(context(30).sqrt(2))
    1.41421356237309504880168872421
    """
    from mpmath.ctx_mp import MPContext  # noqa: PLC0415  (0.1 s: paid for by the first use)

    made = MPContext()
    made.dps = digits
    return made


class Number:
    """A real number of many digits, an element of an array, with IEEE's answers in place of exceptions."""

    __slots__ = ("value",)

    def __init__(self, value: Real) -> None:
        """Take an mpf; a complex number, which no real function has, becomes NaN."""
        self.value = value if hasattr(value, "_mpf_") else value.context.nan

    def _joined(self, other: object, function: Callable[[Real, Real], Real]) -> Any:
        if isinstance(other, Number):
            return Number(function(self.value, other.value))
        if isinstance(other, np.generic):
            other = other.item()
        return Number(function(self.value, other)) if isinstance(other, int | float) else NotImplemented

    def __add__(self, other: object) -> Any:
        """Add."""
        return self._joined(other, lambda a, b: a + b)

    def __sub__(self, other: object) -> Any:
        """Subtract."""
        return self._joined(other, lambda a, b: a - b)

    def __rsub__(self, other: object) -> Any:
        """Subtract from."""
        return self._joined(other, lambda a, b: b - a)

    def __mul__(self, other: object) -> Any:
        """Multiply."""
        return self._joined(other, lambda a, b: a * b)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: object) -> Any:
        """Divide."""
        return self._joined(other, lambda a, b: _divided(self.value.context, a, b))

    def __rtruediv__(self, other: object) -> Any:
        """Divide by this."""
        return self._joined(other, lambda a, b: _divided(self.value.context, b, a))

    def __floordiv__(self, other: object) -> Any:
        """Divide and round down."""
        return self._joined(other, lambda a, b: _floored(self.value.context, a, b))

    def __rfloordiv__(self, other: object) -> Any:
        """Divide by this and round down."""
        return self._joined(other, lambda a, b: _floored(self.value.context, b, a))

    def __mod__(self, other: object) -> Any:
        """Give the remainder of the floor division."""
        return self._joined(other, lambda a, b: a - b * _floored(self.value.context, a, b))

    def __rmod__(self, other: object) -> Any:
        """Give the remainder of the floor division by this."""
        return self._joined(other, lambda a, b: b - a * _floored(self.value.context, b, a))

    def __pow__(self, other: object) -> Any:
        """Raise to a power."""
        return self._joined(other, lambda a, b: _raised(self.value.context, a, b))

    def __rpow__(self, other: object) -> Any:
        """Raise the other to this power."""
        return self._joined(other, lambda a, b: _raised(self.value.context, b, a))

    def __neg__(self) -> Number:
        """Negate."""
        return Number(-self.value)

    def __pos__(self) -> Number:
        """Give the number itself."""
        return self

    def __abs__(self) -> Number:
        """Give the absolute value."""
        return Number(abs(self.value))

    def __eq__(self, other: object) -> bool:
        """Compare."""
        return bool(self.value == _raw(other))

    def __lt__(self, other: object) -> bool:
        """Compare."""
        return bool(self.value < _raw(other))

    def __le__(self, other: object) -> bool:
        """Compare."""
        return bool(self.value <= _raw(other))

    def __gt__(self, other: object) -> bool:
        """Compare."""
        return bool(self.value > _raw(other))

    def __ge__(self, other: object) -> bool:
        """Compare."""
        return bool(self.value >= _raw(other))

    def __getattr__(self, name: str) -> Any:
        """Have the methods of an array without axes, as NumPy's scalars do."""
        if name.startswith("_"):
            raise AttributeError(name)
        whole = np.empty((), object)
        whole[()] = self
        return getattr(whole, name)

    def __hash__(self) -> int:
        """Hash the value."""
        return hash(self.value)

    def __bool__(self) -> bool:
        """Tell whether it is not zero."""
        return bool(self.value != 0)

    def __int__(self) -> int:
        """Round towards zero; there is no ``__float__``, so that nothing is rounded unseen."""
        return int(self.value)

    def __repr__(self) -> str:
        """Give a few digits."""
        return f"Number({self.value.context.nstr(self.value, 6)})"


def _raw(other: object) -> Any:
    if isinstance(other, Number):
        return other.value
    return other.item() if isinstance(other, np.generic) else other


def _divided(ctx: Any, a: Real, b: Real) -> Real:
    if b == 0:
        return ctx.nan if a == 0 or a != a else ctx.inf * ctx.sign(a)  # noqa: PLR0124  (NaN alone differs from itself)
    return ctx.mpf(a) / b


def _floored(ctx: Any, a: Real, b: Real) -> Real:
    quotient = _divided(ctx, a, b)
    return ctx.floor(quotient) if ctx.isfinite(quotient) else ctx.nan


def _raised(ctx: Any, a: Real, b: Real) -> Real:
    a, b = ctx.mpf(a), ctx.mpf(b)
    if a == 0 and b < 0:
        return ctx.inf
    if a > 0 and ctx.isfinite(a) and ctx.isfinite(b) and abs(b * ctx.log(a)) > _HUGE:
        return ctx.inf if b * ctx.log(a) > 0 else ctx.zero
    return a**b


# --- functions ------------------------------------------------------------------------------------------------

Function: TypeAlias = Callable[[Any, Real], Real]


def _exponential(function: Function, below: int) -> Function:
    def guarded(ctx: Any, x: Real) -> Real:
        if abs(x) > _HUGE:
            return ctx.inf if x > 0 else ctx.mpf(below)
        return function(ctx, x)

    return guarded


def _periodic(name: str) -> Function:
    return lambda ctx, x: getattr(ctx, name)(x) if abs(x) <= _HUGE else ctx.nan


def _named(name: str) -> Function:
    return lambda ctx, x: getattr(ctx, name)(x)


def _whole(name: str) -> Function:
    return lambda ctx, x: getattr(ctx, name)(x) if ctx.isfinite(x) else x


_FUNCTIONS: Mapping[str, Function] = {
    **{name: _named(name) for name in ("sqrt", "log", "log1p", "degrees", "radians")},
    **{name: _named(name.replace("arc", "a")) for name in ("arcsin", "arccos", "arctan", "arcsinh", "arccosh")},
    **{name: _periodic(name) for name in ("sin", "cos", "tan")},
    **{name: _whole(name) for name in ("floor", "ceil")},
    "arctanh": lambda ctx, x: ctx.atanh(x) if abs(x) != 1 else ctx.inf * x,
    "exp": _exponential(lambda ctx, x: ctx.exp(x), 0),
    "exp2": _exponential(lambda ctx, x: ctx.mpf(2) ** x, 0),
    "expm1": _exponential(lambda ctx, x: ctx.expm1(x), -1),
    "sinh": lambda ctx, x: ctx.sinh(x) if abs(x) <= _HUGE else ctx.inf * ctx.sign(x),
    "cosh": lambda ctx, x: ctx.cosh(x) if abs(x) <= _HUGE else ctx.inf,
    "tanh": lambda ctx, x: ctx.tanh(x) if abs(x) <= _HUGE else ctx.sign(x),
    "log2": lambda ctx, x: ctx.log(x) / ctx.ln2,
    "log10": lambda ctx, x: ctx.log(x) / ctx.ln10,
    "cbrt": lambda ctx, x: ctx.sign(x) * ctx.cbrt(abs(x)),
    "sign": lambda ctx, x: ctx.sign(x) if x == x else x,  # noqa: PLR0124  (NaN alone differs from itself)
    "rint": _whole("nint"),
    "trunc": lambda ctx, x: ctx.sign(x) * ctx.floor(abs(x)) if ctx.isfinite(x) else x,
}
_FUNCTIONS_OF_TWO: Mapping[str, Callable[[Any, Real, Real], Real]] = {
    "arctan2": lambda ctx, y, x: ctx.atan2(y, x),
    "copysign": lambda ctx, x, y: abs(x) if y >= 0 else -abs(x),
    "fmax": lambda ctx, x, y: y if ctx.isnan(x) else x if ctx.isnan(y) else max(x, y),
    "fmin": lambda ctx, x, y: y if ctx.isnan(x) else x if ctx.isnan(y) else min(x, y),
    "fmod": lambda ctx, x, y: x - y * _FUNCTIONS["trunc"](ctx, _divided(ctx, x, y)),
    "heaviside": lambda ctx, x, at_zero: at_zero if x == 0 else ctx.mpf(bool(x > 0)) if x < 0 or x > 0 else ctx.nan,
    "hypot": lambda ctx, x, y: ctx.sqrt(x * x + y * y),
    "logaddexp": lambda ctx, x, y: max(x, y) + (ctx.log1p(ctx.exp(-abs(x - y))) if ctx.isfinite(x - y) else 0),
    "maximum": lambda ctx, x, y: x + y if ctx.isnan(x + y) and x != -y else max(x, y),
    "minimum": lambda ctx, x, y: x + y if ctx.isnan(x + y) and x != -y else min(x, y),
}
_TESTS: Mapping[str, Function] = {
    **{name: _named(name) for name in ("isnan", "isinf", "isfinite")},
    "signbit": lambda _ctx, x: x < 0,
}


def _sigmoid(ctx: Any, x: Real) -> Real:
    return x if ctx.isnan(x) else ctx.mpf(x > 0) if abs(x) > _HUGE else 1 / (1 + ctx.exp(-x))


def _gauss(ctx: Any, x: Real) -> Real:
    return _FUNCTIONS["exp"](ctx, -(x * x) / 2)


def _ndtr(ctx: Any, x: Real) -> Real:
    return ctx.erfc(-x / ctx.sqrt(2)) / 2


def _logaddexp2(ctx: Any, x: Real, y: Real) -> Real:
    return _FUNCTIONS_OF_TWO["logaddexp"](ctx, x * ctx.ln2, y * ctx.ln2) / ctx.ln2


def _exprel(ctx: Any, x: Real, *, order: int) -> Real:
    """Give ∫₀¹ tⁿ exp(xt) dt, a confluent hypergeometric function."""
    return ctx.hyp1f1(order + 1, order + 2, x) / (order + 1)


def _bessel(ctx: Any, x: Real, *, order: int, scaled: bool) -> Real:
    return ctx.besseli(order, x) * (ctx.exp(-abs(x)) if scaled else 1)


def _log_beta(ctx: Any, x: Real, y: Real) -> Real:
    return (ctx.loggamma(x) + ctx.loggamma(y) - ctx.loggamma(x + y)).real


def _round(ctx: Any, x: Real, *, decimals: int) -> Real:
    unit = ctx.mpf(10) ** decimals
    return _FUNCTIONS["rint"](ctx, x * unit) / unit


def _sinc_slope(ctx: Any, x: Real, *, order: int) -> Real:
    """Give πⁿ∫₀¹ tⁿ cos(πtx + nπ/2) dt, the real part of a confluent hypergeometric function."""
    i = ctx.mpc(0, 1)
    return (ctx.pi * i) ** order * ctx.hyp1f1(order + 1, order + 2, i * ctx.pi * x) / (order + 1)


# Ops whose source approximates a function that NumPy has not, or is NumPy's for floats alone: in double precision.
_OPS: Mapping[str, Callable[..., Real]] = {
    "beta": lambda ctx, x, y: ctx.beta(x, y),
    "betaln": _log_beta,
    "bessel_i": _bessel,
    "digamma": lambda ctx, x: ctx.digamma(x),
    "erfcinv": lambda ctx, x: ctx.erfinv(1 - x),
    "erfcx": lambda ctx, x: ctx.exp(x * x) * ctx.erfc(x),
    "erfinv": lambda ctx, x: ctx.erfinv(x),
    "exprel": _exprel,
    "fraction": lambda ctx, x: x - _FUNCTIONS["trunc"](ctx, x) if ctx.isfinite(x) else 0 * ctx.sign(x),
    "gamma": lambda ctx, x: ctx.gamma(x),
    "gammaln": lambda ctx, x: ctx.loggamma(x).real,
    "logaddexp2": _logaddexp2,
    "ndtri": lambda ctx, x: ctx.sqrt(2) * ctx.erfinv(2 * x - 1),
    "polygamma": lambda ctx, x, *, order: ctx.psi(order, x),
    "round": _round,
    "sinc": lambda ctx, x: ctx.sincpi(x),
    "sinc_slope": lambda ctx, x, *, order: ctx.mpf(_sinc_slope(ctx, x, order=order).real),
    "erf": _named("erf"),
    "erfc": _named("erfc"),
    "gauss": _gauss,
    "ndtr": _ndtr,
    "sigmoid": _sigmoid,
    "log_ndtr": lambda ctx, x: ctx.log(_ndtr(ctx, x)) if x < 0 else ctx.log1p(-_ndtr(ctx, -x)),
    "normal_tail": lambda ctx, x: _ndtr(ctx, -x) / _gauss(ctx, x),
    "normal_hazard": lambda ctx, x: _gauss(ctx, x) / (ctx.sqrt(2 * ctx.pi) * _ndtr(ctx, x)),
}


# --- linear algebra -------------------------------------------------------------------------------------------


def _stacked(function: Callable[..., Any], *arrays: Array, ranks: Sequence[int]) -> Array:
    """Apply a function of matrices to each of a stack."""
    leads = np.broadcast_shapes(*(array.shape[: array.ndim - rank] for array, rank in zip(arrays, ranks, strict=True)))
    whole = [
        np.broadcast_to(array, (*leads, *array.shape[array.ndim - rank :]))
        for array, rank in zip(arrays, ranks, strict=True)
    ]
    found = [function(*(array[at] for array in whole)) for at in np.ndindex(*leads)]
    shape = np.shape(found[0]) if found else whole[0].shape[len(leads) :]
    out = np.empty((len(found), *shape), object)
    for position, each in enumerate(found):
        out[position] = each
    return out.reshape((*leads, *shape))


def _eliminated(a: Array, b: Array) -> tuple[Array, Any]:
    """Solve a system by elimination with the largest pivots; give the determinant beside the solution."""
    work, size, determinant = np.concatenate([a, b], axis=1), len(a), 1
    for k in range(size):
        pivot = max(range(k, size), key=lambda row: abs(work[row, k]))
        if not work[pivot, k]:
            return np.full(b.shape, np.nan, object), 0
        if pivot != k:
            work[[k, pivot]] = work[[pivot, k]]
            determinant = -determinant
        determinant = determinant * work[k, k]
        work[k] = work[k] / work[k, k]
        for row in range(size):
            if row != k:
                work[row] = work[row] - work[row, k] * work[k]
    return work[:, size:], determinant


def solved(a: Array, b: Array) -> Array:
    """Solve a system in whatever arithmetic the numbers have, such as that of fractions.

    >>> solved(np.array([[Fraction(2)]]), np.array([[Fraction(3)]])).item()
    Fraction(3, 2)
    """
    return _eliminated(a, b)[0]


def _factor(a: Array) -> Array:
    """Give the lower triangular L with a = L Lᵀ; NaN where a is not positive definite."""
    out = np.zeros(a.shape, object)
    for i in range(len(a)):
        for j in range(i + 1):
            rest = a[i, j] - sum(out[i, k] * out[j, k] for k in range(j))
            if i == j and not rest > 0:
                return np.full(a.shape, np.nan, object)
            out[i, j] = rest**0.5 if i == j else rest / out[j, j]
    return out


def _of_matrix(name: str) -> Callable[[Any, Array], Array]:
    """Give mpmath's function of a matrix."""

    def function(library: _Library, a: Array) -> Array:
        def of_one(a: Array) -> Array:
            if not all(library.context.isfinite(_raw(x)) for x in a.flat):
                return np.full(a.shape, np.nan, object)
            matrix = library.context.matrix([[_raw(x) for x in row] for row in library.lifted(a)])
            found = getattr(library.context, name)(matrix).tolist()
            return library.lifted(np.array(found, object).reshape(a.shape))

        return _stacked(of_one, a, ranks=(2,))

    return function


def _along(name: str) -> Callable[[Any, Array, Array], Array]:
    """Give the derivative of a function of a matrix along another one, as the op's source does."""

    def function(library: _Library, a: Array, e: Array) -> Array:
        n = a.shape[-1]
        blocks = _stacked(lambda a, e: np.block([[a, e], [np.zeros_like(a), a]]), a, e, ranks=(2, 2))
        return _MATRIX_FUNCTIONS[name](library, blocks)[..., :n, n:]

    return function


def _minor(a: Array, i: int, j: int) -> Array:
    return np.delete(np.delete(a, i, axis=0), j, axis=1)


def _cofactors(a: Array) -> Array:
    """Give the cofactors by their definition, which divides by nothing that is zero for all matrices."""
    found = np.zeros(a.shape, object)
    for i, j in np.ndindex(*a.shape):
        minor = _minor(a, i, j)
        found[i, j] = (-1) ** (i + j) * _eliminated(minor, minor[:, :0])[1]
    return found


def _cofactors_along(a: Array, e: Array) -> Array:
    """Give their derivative: that of a minor is the sum of its own cofactors times what its elements change by."""
    found = np.zeros(a.shape, object)
    for i, j in np.ndindex(*a.shape):
        found[i, j] = (-1) ** (i + j) * (_cofactors(_minor(a, i, j)) * _minor(e, i, j)).sum()
    return found


_MATRIX_FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    **{name: _of_matrix(name) for name in ("expm", "sinm", "cosm")},
    **{f"{name}_frechet": _along(name) for name in ("expm", "sinm", "cosm")},
    "cofactors": lambda _, a: _stacked(_cofactors, a, ranks=(2,)),
    "cofactors_along": lambda _, a, e: _stacked(_cofactors_along, a, e, ranks=(2, 2)),
}


def _near(numbers: Array) -> Array:
    """Round to double precision."""
    return np.array([[float(_raw(x)) for x in row] for row in numbers])


class _Linalg:
    """The functions of ``np.linalg`` that the table's source calls."""

    def __init__(self, library: _Library) -> None:
        self.library = library

    def solve(self, a: Array, b: Array) -> Array:
        column = b[..., None] if b.ndim == 1 else b
        found = _stacked(lambda a, b: _eliminated(a, b)[0], a, column, ranks=(2, 2))
        return found[..., 0] if b.ndim == 1 else found

    def inv(self, a: Array) -> Array:
        return self.solve(a, np.eye(a.shape[-1], dtype=int).astype(object))

    def det(self, a: Array) -> Array:
        return _stacked(lambda a: _eliminated(a, a[:, :0])[1], a, ranks=(2,))

    def slogdet(self, a: Array) -> tuple[Array, Array]:
        determinant = self.library.lifted(self.det(a))
        return self.library.sign(determinant), self.library.log(abs(determinant))

    def cholesky(self, a: Array) -> Array:
        return _stacked(_factor, a, ranks=(2,))

    def matrix_power(self, a: Array, n: int) -> Array:
        found = np.broadcast_to(np.eye(a.shape[-1], dtype=int).astype(object), a.shape)
        base = self.inv(a) if n < 0 else a
        for _ in range(abs(n)):
            found = found @ base
        return found

    def eigh(self, a: Array) -> tuple[Array, Array]:
        """Give eigenvalues and eigenvectors of symmetric matrices, the latter with the signs that NumPy gives them."""
        ctx = self.library.context

        def of_one(a: Array) -> Array:
            numbers = [[_raw(x) for x in row] for row in self.library.lifted(a)]
            near = np.linalg.eigh(_near(np.array(numbers, object)))[1]
            values, vectors = ctx.eigsy(ctx.matrix(numbers))
            rows = [[values[k], *vectors[:, k]] for k in sorted(range(len(a)), key=lambda k: values[k])]
            for row, shown in zip(rows, near.T, strict=True):
                if sum(float(x) * y for x, y in zip(row[1:], shown, strict=True)) < 0:
                    row[1:] = [-x for x in row[1:]]
            return self.library.lifted(np.array(rows, object).T)

        found = _stacked(of_one, a, ranks=(2,))
        return found[..., 0, :], found[..., 1:, :]

    def eigvalsh(self, a: Array) -> Array:
        return self.eigh(a)[0]

    def qr(self, a: Array) -> tuple[Array, Array]:
        """Give orthonormal columns and a triangle, by Gram and Schmidt, with the signs that NumPy gives them."""
        rows = a.shape[-2]

        def of_one(a: Array) -> Array:
            numbers = self.library.lifted(a)
            signs = np.sign(np.diagonal(np.linalg.qr(_near(numbers))[1]))
            q, r = numbers.copy(), np.full((a.shape[1],) * 2, self.library.number(0), object)
            for j, shown in enumerate(signs):
                for i in range(j):
                    r[i, j] = np.sum(q[:, i] * q[:, j])
                    q[:, j] = q[:, j] - r[i, j] * q[:, i]
                length = self.library.sqrt(np.sum(q[:, j] * q[:, j]))
                r[j, j] = -length if shown < 0 else length
                q[:, j] = q[:, j] / r[j, j]
            return np.concatenate([q, r])

        found = _stacked(of_one, a, ranks=(2,))
        return found[..., :rows, :], found[..., rows:, :]

    def svd(self, a: Array, *, full_matrices: bool) -> tuple[Array, Array, Array]:
        """Give thin factors, with the signs that NumPy gives them."""
        ctx, rows = self.library.context, a.shape[-2]

        def of_one(a: Array) -> Array:
            numbers = self.library.lifted(a)
            near = np.linalg.svd(_near(numbers), full_matrices=full_matrices)[0]
            u, s, vh = ctx.svd_r(ctx.matrix([[_raw(x) for x in row] for row in numbers]), full_matrices=full_matrices)
            found = [[s[k], *u[:, k], *vh[k, :]] for k in range(len(s))]
            for row, shown in zip(found, near.T, strict=True):
                if sum(float(x) * y for x, y in zip(row[1 : rows + 1], shown, strict=True)) < 0:
                    row[1:] = [-x for x in row[1:]]
            return self.library.lifted(np.array(found, object))

        found = _stacked(of_one, a, ranks=(2,))
        return np.swapaxes(found[..., 1 : rows + 1], -1, -2), found[..., 0], found[..., rows + 1 :]

    def svdvals(self, a: Array) -> Array:
        return self.svd(a, full_matrices=False)[1]

    def pinv(self, a: Array, *, rtol: float | None) -> Array:
        u, s, vh = self.svd(a, full_matrices=False)
        bound = self.library.context.eps * max(a.shape[-2:]) if rtol is None else rtol
        counts = s > self.library.number(bound) * s[..., :1]
        inverse = np.where(counts, 1 / np.where(counts, s, self.library.number(1)), self.library.number(0))
        return np.swapaxes(vh, -1, -2) @ (inverse[..., None] * np.swapaxes(u, -1, -2))  # type: ignore[no-any-return]

    def norm(self, x: Array, axis: Any = None, keepdims: bool = False) -> Array:  # noqa: FBT001, FBT002  (as in NumPy)
        return self.library.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        msg = f"np.linalg.{name} has no exact form"
        raise AttributeError(msg)


class _Library:
    """What an op's source finds under the name ``np``: NumPy, but for what NumPy computes on floats alone."""

    def __init__(self, digits: int) -> None:
        ctx = self.context = context(digits)
        self.linalg = _Linalg(self)
        self._lift = np.frompyfunc(self.number, 1, 1)
        for name, function in _FUNCTIONS.items():
            setattr(self, name, self._unary(function))
        for name, test in _TESTS.items():
            setattr(
                self, name, lambda x, test=test: np.frompyfunc(lambda e: test(ctx, self.number(e).value), 1, 1)(x) == 1
            )
        for name, pair in _FUNCTIONS_OF_TWO.items():
            setattr(self, name, self._binary(pair))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def vecdot(x: Array, y: Array) -> Array:
        """Sum products over the last axis: of real numbers, which have no conjugates."""
        return np.sum(x * y, axis=-1)  # type: ignore[no-any-return]

    @staticmethod
    def vdot(x: Array, y: Array) -> Any:
        """Sum products over all axes."""
        return np.sum(x * y)

    @staticmethod
    def array(numbers: Sequence[Array]) -> Array:
        """Put numbers into an array, each of which is one of Numbers itself."""
        return np.stack(numbers)

    def number(self, value: Any) -> Number:
        """Give a number of this precision: of an int, a float or a fraction, exactly."""
        if isinstance(value, Number):
            return value
        raw = _raw(value)
        if isinstance(raw, Fraction):
            return Number(self.context.mpf(raw.numerator) / raw.denominator)
        return Number(self.context.mpf(raw))

    def lifted(self, array: Any) -> Array:
        """Give an array of Numbers."""
        return np.asarray(self._lift(np.asarray(array)), dtype=object)

    def applied(self, function: Callable[..., Real], operands: Sequence[Array], params: Mapping[str, Any]) -> Any:
        """Apply a function of numbers to each of an array."""

        def of_numbers(*xs: Any) -> Number:
            return Number(function(self.context, *(self.number(x).value for x in xs), **params))

        return np.frompyfunc(of_numbers, len(operands), 1)(*operands)

    def _unary(self, function: Function) -> Any:
        return np.frompyfunc(lambda x: Number(function(self.context, self.number(x).value)), 1, 1)

    def _binary(self, function: Callable[[Any, Real, Real], Real]) -> Any:
        def of_two(x: Any, y: Any) -> Number:
            return Number(function(self.context, self.number(x).value, self.number(y).value))

        return np.frompyfunc(of_two, 2, 1, identity=None)


_library = lru_cache(maxsize=8)(_Library)


# --- evaluation -----------------------------------------------------------------------------------------------


def exactly(ctx: Any, number: Any) -> Real:
    """Read a number of a formula as the binary fraction that it is: 0.1 is 0.1000000000000000055…."""
    return ctx.mpf(number.item())


_BASES: Mapping[str, Callable[[Any], Real]] = {
    "1": lambda ctx: ctx.one,
    "π": lambda ctx: ctx.pi,
    "1/π": lambda ctx: 1 / ctx.pi,
    "e": lambda ctx: ctx.e,
    "1/e": lambda ctx: 1 / ctx.e,
    "log 2": lambda ctx: ctx.ln2,
    "1/log 2": lambda ctx: 1 / ctx.ln2,
    "log 10": lambda ctx: ctx.ln10,
    "1/log 10": lambda ctx: 1 / ctx.ln10,
}
_DENOMINATOR = 1000  # of the fractions that a rounded number may stand for


class Meaning(NamedTuple):
    """The number ``factor·base``, or its square root with the sign of the factor."""

    factor: Fraction
    base: str = "1"
    root: bool = False

    def value(self, ctx: Any) -> Real:
        """Give it in an arithmetic."""
        square = ctx.mpf(abs(self.factor.numerator)) / self.factor.denominator * _BASES[self.base](ctx)
        size = ctx.sqrt(square) if self.root else square
        return size if self.factor >= 0 else -size


@lru_cache(maxsize=1024)
def meaning(number: np.floating[Any]) -> Meaning | None:
    """Tell which number a float of a formula stands for, or None where it is just a float.

    That is the decimal fraction as it is written, if it does not use all of its dtype's digits; else a fraction, a
    square root or a multiple of π, e or a logarithm which is rounded to it, or to its neighbour.

    >>> meaning(np.float64(0.1)).factor, meaning(np.float64(1 / 3)).factor
    (Fraction(1, 10), Fraction(1, 3))
    >>> meaning(np.float64(2 / np.sqrt(np.pi)))
    Meaning(factor=Fraction(4, 1), base='1/π', root=True)
    >>> meaning(np.float64(0.8414709848078965)) is None
    True
    """
    if not np.isfinite(number):
        return None
    limits = np.finfo(number.dtype)
    text = str(number)
    if len(text.partition("e")[0].replace(".", "").strip("-0")) <= limits.precision:
        return Meaning(Fraction(text))
    ctx = context(_DIGITS)
    exact = ctx.mpf(number.item())
    for root, target, slack in [(False, abs(exact), 1), (True, exact * exact, 2)]:
        for base, of in _BASES.items():
            factor = Fraction(str(target / of(ctx))).limit_denominator(_DENOMINATOR)
            found = ctx.mpf(factor.numerator) / factor.denominator * of(ctx)
            if factor and abs(found - target) <= slack * limits.eps * target:
                return Meaning(factor if exact > 0 else -factor, base, root)
    return None


def as_meant(ctx: Any, number: Any) -> Real:
    """Read a number of a formula as what it stands for: 0.1 as 1/10, 0.3333333333333333 as 1/3."""
    found = meaning(number)
    return exactly(ctx, number) if found is None else found.value(ctx)


def evaluate(
    outputs: Sequence[Expr],
    values: Mapping[Expr, Any],
    digits: int = _DIGITS,
    *,
    sizes: Mapping[str, int] | None = None,
    reading: Reading = exactly,
) -> list[Array]:
    """Compute expressions to many digits.

    Args:
        outputs: the expressions, of one graph.
        values: for their symbols: arrays of ints, floats, fractions or numbers of mpmath.
        digits: of the arithmetic; cancellation costs some of them, as ever.
        sizes: for named sizes that no value tells.
        reading: what a float in a formula means; the very binary fraction unless told.

    Returns:
        For each output an array: of mpmath's numbers where its dtype is a float.

    Raises:
        ArgumentError: a symbol has no value.
        ShapeError: a value does not have its symbol's shape.
        NotExactError: an operation is known in double precision alone.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(evaluate([sb.exp(x)], {x: 1}, digits=30)[0].item())
    2.71828182845904523536028747135
    """
    library = _library(digits)
    graph = common_graph(list(outputs), "precise")
    bound = {**bind_sizes(values), **(sizes or {})}
    known: dict[int, Array] = {
        expr.number: library.lifted(value) if expr.dtype.kind == "f" else np.asarray(value, expr.dtype)
        for expr, value in values.items()
    }
    for number in graph.reachable([expr.number for expr in outputs], known=known):
        if number not in known:
            node = graph.nodes[number]
            if node.op.name == "symbol":
                msg = f"precise: no value for the symbol {Expr(graph, number).describe()}"
                raise ArgumentError(msg)
            try:
                with np.errstate(all="ignore"):
                    known[number] = _value(node, [known[operand] for operand in node.inputs], bound, library, reading)
            except ShapeError as error:
                msg = f"precise: {Expr(graph, number).describe()}: {error}"
                raise ShapeError(msg) from None
    return [_bare(known[expr.number], expr) for expr in outputs]


def _bare(array: Array, expr: Expr) -> Array:
    return np.asarray(np.frompyfunc(_raw, 1, 1)(array), dtype=object) if expr.dtype.kind == "f" else array


def _value(
    node: Node, operands: Sequence[Array], sizes: Mapping[str, int], library: _Library, reading: Reading
) -> Array:
    floats = node.dtype.kind == "f"
    if "value" in node.params:
        array = node.params["value"].array
        if array.shape or not floats:  # an array is data, and taken as it is
            return library.lifted(array) if floats else array
        return library.lifted(Number(reading(library.context, array[()])))
    if floats and not any(operand.dtype == object for operand in operands):
        operands = [library.lifted(operand) for operand in operands]  # or what becomes a float here were rounded
    if node.op is ASTYPE and floats:
        return library.lifted(operands[0])
    if node.op.name in _OPS:
        return library.lifted(library.applied(_OPS[node.op.name], operands, node.params))
    if node.op.name in _MATRIX_FUNCTIONS:
        return library.lifted(_MATRIX_FUNCTIONS[node.op.name](library, *operands))
    if node.op.indices is not None:  # NumPy writes an array of objects without axes as one object
        operands = [operand[()] for operand in operands]
    exact = floats or any(operand.dtype == object for operand in operands)
    try:
        found = node.op.evaluate(*operands, sizes=sizes, library=library if exact else np, **node.params)
        value = library.lifted(found) if floats else np.asarray(found).astype(node.dtype)
    except (TypeError, AttributeError) as error:  # what NumPy says where it has no loop for objects
        form = node.op.form(node.op.numpy, node.params, tuple(np.shape(operand) for operand in operands))
        msg = (
            f"precise: {node.op.name} is known in double precision alone: its source {form.template!r} does not run "
            f"on numbers of mpmath ({error}); state what it means in symbackprop/precise.py"
        )
        raise NotExactError(msg) from None
    if dims.names_of(node.shape) <= sizes.keys() and value.shape != dims.bind(node.shape, sizes):
        msg = f"it has shape {value.shape}, not {dims.bind(node.shape, sizes)}"
        raise ShapeError(msg)
    return value
