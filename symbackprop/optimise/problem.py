"""`scipy_problem`: an objective with its derivatives, compiled, as functions of one vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from symbackprop.autodiff import grad, hessian, hvp
from symbackprop.expr import Expr
from symbackprop.lower import Function, compile
from symbackprop.lower.structured import Structured
from symbackprop.ops import symbol as make_symbol
from symbackprop.optimise.parameters import Parameters, Params, Sizes, Structure
from symbackprop.optimise.point import Point
from symbackprop.train.arguments import Caller
from symbackprop.train.optimisers import free_symbols

if TYPE_CHECKING:
    from symbackprop.op import Array


class AsMatrix:
    """A Hessian that is kept as its parts, with the axes of the parameter laid out in one.

    Attributes:
        parts: the Hessian.
        size: the number of rows.
    """

    def __init__(self, parts: Structured, size: int) -> None:
        """Take the parts."""
        self.parts = parts
        self.size = size

    def solve(self, b: Array) -> Array:
        """Solve by the structure.

        Raises:
            LinAlgError: it is not positive definite.
        """
        half = self.parts.ndim // 2
        return self.parts.solve(b.reshape(self.parts.shape[:half])).ravel()

    @property
    def is_finite(self) -> bool:
        """Whether no part holds NaN or infinity."""
        return all(np.isfinite(array).all() for part in self.parts.parts for array in part.arrays)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: FBT001  (NumPy says how)
        """Fill the matrix in, for NumPy."""
        return self.parts.__array__(dtype, copy).reshape(self.size, self.size)


_KEPT = 2  # a line search goes back to the point before the last one


class Objective(ABC):
    """Parameters, data, and what is compiled of both: what a scalar objective and residuals have in common.

    Attributes:
        parameters: how the parameters lie in the vector.
        data: the arrays of all other symbols.
        caller: the function for which it was made.
    """

    evaluations: int
    hessians: int
    products: int

    def __init__(
        self,
        exprs: Sequence[Expr],
        params: Params,
        data: Mapping[Expr, Any] | None,
        caller: Caller,
        **where: Any,
    ) -> None:
        """Check that every symbol has its array, and every array its use."""
        self.caller = caller
        given = {} if data is None else data
        caller.check_keys("data", given)
        structure = Structure.of(params, caller)
        caller.check_symbols(exprs, (), structure.symbols, given)
        self.data = {symbol: caller.as_array("data", symbol, value) for symbol, value in given.items()}
        self.parameters = Parameters(structure, self.data, caller, **where)
        # A compiled function takes a scalar as it is, and an array without axes after a conversion.
        self._constants = [array if array.ndim else array[()] for array in self.data.values()]

    @abstractmethod
    def at(self, x: Array) -> Point:
        """Give a point with value and gradient, from memory if they were asked for just now."""

    @abstractmethod
    def hess(self, x: Array) -> Array:
        """Give the second derivative at a point, ``[size, size]``."""

    @property
    def x0(self) -> Array:
        """The vector to begin with: `start`; where none was given zeros, or what is nearest within the bounds."""
        return self.parameters.start.copy()

    @property
    def size(self) -> int:
        """The length of the vector."""
        return self.parameters.size

    @cached_property
    def bounds(self) -> Any:
        """The bounds as `scipy.optimize.Bounds`, or None."""
        if self.parameters.bounds is None:
            return None
        low, high = self.parameters.bounds
        return scipy_optimize().Bounds(low, high, keep_feasible=low < high)

    def pack(self, params: Any) -> Array:
        """Give the vector of arrays, given in the structure of the parameters or by symbol.

        Raises:
            ArgumentError: one is missing, or they have another structure.
            ShapeError: one does not have its parameter's shape.
            DtypeError: one cannot become its parameter's dtype.
        """
        return self.parameters.pack(params)

    def unpack(self, vector: Any) -> Any:
        """Give the arrays that a vector stands for, in the structure in which the parameters were given.

        Raises:
            ShapeError: the vector has another length.
        """
        return self.parameters.unpack(vector)

    def _compiled(self, outputs: Any, name: str, *more: Expr, structured: bool = False) -> Function:
        inputs = [*self.parameters.symbols, *more, *self.data]
        return compile(inputs, outputs, name=name, structured=structured)

    def _called(self, function: Function, x: Array, *more: Any) -> Any:
        # Overflow is no news beside the value that it makes infinite, which is looked at where it matters.
        with np.errstate(all="ignore"):
            return function(*self.parameters.arrays(x), *more, *self._constants)


class ScipyProblem(Objective):
    """A scalar objective of one vector, for `scipy.optimize`: made by `scipy_problem`.

    Attributes:
        evaluations: how often value and gradient were computed, which are one function.
        hessians: how often the Hessian was computed.
        products: how often a Hessian-vector product was computed.
    """

    def __init__(self, f: Expr, params: Params, data: Mapping[Expr, Any] | None, caller: Caller, **where: Any) -> None:
        """Check what was given; see `scipy_problem`."""
        caller.check_scalar("f", f)
        super().__init__([f], params, data, caller, **where)
        self.f = f
        self.evaluations = self.hessians = self.products = 0
        self._gradients = grad(f, self.parameters.symbols)
        self._recent: list[Point] = []
        self._constant: Any = None  # the Hessian, where it is the same everywhere

    # --- functions of the vector ------------------------------------------------------------------------------

    def fun(self, x: Array) -> float:
        """Give the value at a point."""
        return self.at(x).value

    def jac(self, x: Array) -> Array:
        """Give the gradient at a point, which was computed with the value."""
        return self.at(x).gradient.copy()

    def hess(self, x: Array) -> Array:
        """Give the Hessian at a point, ``[size, size]``; one that is the same everywhere is computed once."""
        H: Array = self._curvature(x, self.hessian_function)
        return H

    def structured_hess(self, x: Array) -> Any:
        """Give the Hessian as a matrix; that by one parameter, where it has a structure, as one that solves by it."""
        alone = len(self.parameters.symbols) == 1
        return self._curvature(x, self.structured_function if alone else self.hessian_function)

    def _curvature(self, x: Array, function: Function) -> Any:
        if self._constant is not None:
            return self._constant
        self.hessians += 1
        blocks = self._called(function, np.asarray(x, float))
        H = AsMatrix(blocks[0], self.size) if isinstance(blocks[0], Structured) else self._assembled(blocks)
        if self._is_quadratic:
            self._constant = H
            if isinstance(H, np.ndarray):
                H.flags.writeable = False
        return H

    def _assembled(self, blocks: Sequence[Array]) -> Array:
        """Put the blocks on and above the diagonal together; one alone is the matrix, and is not copied."""
        if len(blocks) == 1:
            return np.reshape(blocks[0], (self.size, self.size)).astype(float, copy=False)
        H = np.empty((self.size, self.size))
        rest = iter(blocks)
        slices = self.parameters.slices
        for i, rows in enumerate(slices):
            for columns in slices[i:]:
                block = H[rows, columns]
                block[...] = np.reshape(next(rest), block.shape)
                H[columns, rows] = block.T
        return H

    def hessp(self, x: Array, p: Array) -> Array:
        """Give the product of the Hessian at a point with a vector, without the Hessian."""
        self.products += 1
        x, p = np.asarray(x, float), np.asarray(p, float)
        return self._joined(self._called(self.product_function, x, *self.parameters.arrays(p)))

    def at(self, x: Array) -> Point:
        """Give a point with value and gradient, from memory if they were asked for just now."""
        x = np.asarray(x, float)
        for known in self._recent:
            if known.is_at(x):
                return known
        self.evaluations += 1
        value, *gradients = self._called(self.function, x)
        found = Point(x.copy(), float(value), self._joined(gradients))
        self._recent = [found, *self._recent[: _KEPT - 1]]
        return found

    def _joined(self, arrays: Sequence[Any]) -> Array:
        vector = np.empty(self.size)
        for part, array in zip(self.parameters.slices, arrays, strict=True):
            vector[part] = np.ravel(array)
        return vector

    def prepare(self, curvature: str) -> None:
        """Compile the second derivative that a method wants: "full", "structured", "product", or "none"."""
        alone = len(self.parameters.symbols) == 1
        names = {
            "full": "hessian_function",
            "structured": "structured_function" if alone else "hessian_function",
            "product": "product_function",
        }
        if curvature in names:
            getattr(self, names[curvature])

    # --- what is compiled -------------------------------------------------------------------------------------

    @cached_property
    def function(self) -> Function:
        """The compiled function of value and gradient."""
        return self._compiled([self.f, *self._gradients], "value_and_gradient")

    @cached_property
    def _blocks(self) -> list[Expr]:
        """The blocks of the Hessian on and above its diagonal, by rows."""
        rows = hessian(self.f, self.parameters.symbols, mode="auto")
        return [block for i, row in enumerate(rows) for block in row[i:]]

    @cached_property
    def _is_quadratic(self) -> bool:
        """Whether the Hessian is the same everywhere."""
        return not set(self.parameters.symbols) & set(free_symbols(self._blocks))

    @cached_property
    def hessian_function(self) -> Function:
        """The compiled function of the blocks of the Hessian on and above its diagonal, by rows."""
        return self._compiled(self._blocks, "hessian")

    @cached_property
    def structured_function(self) -> Function:
        """The compiled function of the blocks of the Hessian, as the sums of their parts."""
        return self._compiled(self._blocks, "hessian", structured=True)

    @cached_property
    def product_function(self) -> Function:
        """The compiled function of the Hessian-vector product."""
        taken = {symbol.name for symbol in free_symbols([self.f])}
        with self.f.graph:
            vectors = [self._direction(symbol, taken) for symbol in self.parameters.symbols]
        return self._compiled(hvp(self.f, self.parameters.symbols, vectors), "hessian_product", *vectors)

    @staticmethod
    def _direction(symbol: Expr, taken: set[str | None]) -> Expr:
        name = f"v_{symbol.name}"
        while name in taken:
            name += "_"
        taken.add(name)
        return make_symbol(name, symbol.shape, symbol.dtype)


def scipy_problem(
    f: Expr,
    params: Params,
    data: Mapping[Expr, Any] | None = None,
    *,
    start: object = None,
    bounds: object = None,
    sizes: Sizes | None = None,
) -> ScipyProblem:
    """Give a scalar expression as what `scipy.optimize` wants: functions of one vector, and where to begin.

    Value and gradient are one compiled function, called once for each point; the Hessian and the Hessian-vector
    product are compiled when they are first asked for.

    Args:
        f: a scalar expression.
        params: the symbols to be found, of any shapes: one, a list, a dict by name, or a dict of arrays by symbol to
            start from.
        data: an array for each other symbol of f.
        start: where to begin, in the structure of the parameters or by symbol; zeros where nothing is said, or ones if
            the symbol is assumed positive, and a number stands for an array of it.
        bounds: pairs ``(low, high)`` in the same structure, of numbers or arrays; None where there is no bound. What is
            assumed positive or nonnegative is bounded by 0.
        sizes: numbers for named sizes that no array tells.

    Returns:
        An object with ``fun``, ``jac``, ``hess``, ``hessp``, ``x0``, ``bounds``, ``pack`` and ``unpack``.

    Raises:
        ArgumentError: a symbol has no array, an array no use, or a size no number.
        ShapeError: f is no scalar, or an array does not have its symbol's shape.
        DtypeError: an array cannot become its symbol's dtype.
        NotDifferentiableError: as for `grad`.
        ValueError: the start is outside the bounds, or these contradict each other.

    >>> import scipy
    >>> import symbackprop as sb
    >>> A, b, x = sb.symbols("A[N,N] b[N] x[N]")
    >>> problem = sb.scipy_problem(0.5 * x @ A @ x - b @ x, x, {A: [[2.0, 0.0], [0.0, 4.0]], b: [2.0, 4.0]})
    >>> found = scipy.optimize.minimize(problem.fun, problem.x0, jac=problem.jac, hess=problem.hess, method="newton-cg")
    >>> problem.unpack(found.x)
    array([1., 1.])
    """
    return ScipyProblem(f, params, data, caller_for("scipy_problem"), start=start, bounds=bounds, sizes=sizes)


def caller_for(name: str, objective: str = "f") -> Caller:
    """Say how a function of this package names what it was given."""
    return Caller(name, objective, objective, unused=f"{objective} does not use", params="the parameters")


def scipy_optimize() -> Any:
    """Give `scipy.optimize`.

    Raises:
        ImportError: SciPy is not installed.
    """
    try:
        import scipy.optimize as found  # noqa: PLC0415  (an extra, imported where it is used)
    except ImportError:
        message = "minimising needs SciPy: python -m pip install 'symbackprop[optimise]'"
        raise ImportError(message) from None
    return found
