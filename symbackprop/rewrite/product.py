"""Matrix products as rows of factors: read from expressions, shortened, written back.

A product such as ``−s (AᵀB)ᵀ C⁻¹ x`` is read as a sign, scalar factors and divisors, and the row ``Bᵀ, A, C⁻¹, x``:
transposes and inverses go down to the factors, the outer product ``a[:, None] * b[None, :]`` is the row ``a, bᵀ``,
and a vector is a column unless it is turned. Neighbours that cancel are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from symbackprop.expr import Expr
from symbackprop.op import scalar_value
from symbackprop.ops import add, divide, expand_dims, eye, matmul, multiply, negative, subtract
from symbackprop.ops.contract import EYE
from symbackprop.ops.layout import EXPAND_DIMS, TRANSPOSE, matrix_transpose
from symbackprop.ops.systems import inv, solve

_SUMS = frozenset({add, subtract, negative})
_LONGEST = 16  # factors; formulas are written to be read, and rules stay linear in the nodes

Known = Callable[[Expr], Collection[str]]
Scale: TypeAlias = Expr | int
"""What an array is multiplied with: a scalar, or a number such as a sign."""


class Factor(NamedTuple):
    """One factor: a matrix or a vector, perhaps inverted, perhaps turned."""

    base: Expr
    inverse: bool = False
    turned: bool = False

    @property
    def length(self) -> int:
        """How many symbols and signs it is written with: A⁻ᵀ has one sign."""
        return 1 + (self.inverse or self.turned)

    @property
    def is_row(self) -> bool:
        """Whether it is a vector that stands as a row."""
        return self.base.ndim == 1 and self.turned

    @property
    def is_column(self) -> bool:
        """Whether it is a vector that stands as a column."""
        return self.base.ndim == 1 and not self.turned

    def turn(self) -> Factor:
        """Give the transpose."""
        return self._replace(turned=not self.turned)

    def build(self) -> Expr:
        """Give the factor as an expression; a vector is the same either way."""
        found = inv(self.base) if self.inverse else self.base
        return matrix_transpose(found) if self.turned and found.ndim == 2 else found


@dataclass(frozen=True, slots=True)
class Product:
    """A number, scalars, and matrices in a row.

    Attributes:
        number: the number before it, with its sign.
        scalars: the scalar factors.
        divisors: the scalar divisors.
        factors: the matrices and vectors.
        written: how many symbols and signs the row was written with, before anything cancelled.
        enclosed: how many transposes of products, with their brackets, it was written with.
        like: an expression of its shape and dtype.
    """

    number: float
    scalars: tuple[Expr, ...]
    divisors: tuple[Expr, ...]
    factors: tuple[Factor, ...]
    written: int
    enclosed: int
    like: Expr

    @property
    def length(self) -> int:
        """How many symbols and signs the row is written with."""
        turned = self.turned()
        return _length(self.factors) if turned is None else 1 + _length(turned)

    def turned(self) -> list[Factor] | None:
        """Give the row that this is the transpose of, if that is shorter."""
        if len(self.factors) < 2 or not all(factor.turned and factor.base.ndim == 2 for factor in self.factors):
            return None
        turned = [factor.turn() for factor in reversed(self.factors)]
        return turned if 1 + _length(turned) < _length(self.factors) else None

    @property
    def is_shorter(self) -> bool:
        """Whether the row has become shorter, or has lost brackets and will not get them again."""
        if self.length < self.written:
            return True
        again = len(self.factors) > 1 and all(factor.turned and factor.base.ndim == 2 for factor in self.factors[:2])
        return self.length == self.written and self.enclosed > 0 and not again

    def build(self) -> Expr:
        """Give the product as an expression."""
        return self.scaled(self.row())

    def scaled(self, row: Expr) -> Expr:
        """Put number and scalars before an expression, and the divisors below it."""
        for scalar in reversed(self.scalars):
            row = scalar * row
        for divisor in self.divisors:
            row = row / divisor
        return row if self.number == 1 else -row if self.number == -1 else self.number * row

    def row(self) -> Expr:
        """Give the product of the matrices and vectors."""
        if not self.factors:
            return eye(self.like.shape[-1], dtype=self.like.dtype, graph=self.like.graph)
        turned = self.turned()
        return row_of(self.factors) if turned is None else matrix_transpose(row_of(turned))


def _length(factors: Sequence[Factor]) -> int:
    return sum(factor.length for factor in factors)


def row_of(factors: Sequence[Factor]) -> Expr:
    """Multiply factors: with a vector at an end from there, otherwise from the left.

    >>> import symbackprop as sb
    >>> A, B, x = sb.symbols("A[N,N] B[N,N] x[N]")
    >>> row_of([Factor(x, turned=True), Factor(A), Factor(B, inverse=True)]).describe()
    'matmul(matmul(x, A), inv(B))[N]'
    """
    first, last = factors[0], factors[-1]
    if first.is_row and not last.is_column:
        return row_of([factor.turn() for factor in reversed(factors)])
    at = next((at for at, factor in enumerate(factors) if factor.is_column), None)
    if at is not None and at < len(factors) - 1:
        found = expand_dims(row_of(factors[: at + 1]), -1) * expand_dims(factors[at + 1].base, 0)
        rest = factors[at + 2 :]
    elif at is not None:
        found = last.build()
        for factor in reversed(factors[:-1]):
            as_row = factor.turned and factor.base.ndim == 2 and last.base.ndim == 1  # x @ A needs no transpose
            found = matmul(found, factor.turn().build()) if as_row else matmul(factor.build(), found)
        return found
    else:
        found, rest = first.build(), factors[1:]
    for factor in rest:
        found = matmul(found, factor.build())
    return found


def outer_operands(expr: Expr) -> tuple[Expr, Expr] | None:
    """Give a and b where the expression is ``a[:, None] * b[None, :]``."""
    if expr.op is not multiply or expr.ndim != 2:
        return None
    column = row = None
    for operand in expr.inputs:
        if operand.op is EXPAND_DIMS and operand.inputs[0].ndim == 1 and operand.params["axes"] == (-1,):
            column = operand.inputs[0]
        elif operand.op is EXPAND_DIMS and operand.inputs[0].ndim == 1:
            row = operand.inputs[0]
        elif operand.ndim == 1:
            row = operand
    return None if column is None or row is None else (column, row)


def is_transpose(expr: Expr) -> bool:
    """Tell whether this is the transpose of a matrix, or of each of a stack."""
    return expr.op is TRANSPOSE and expr.params["axes"] == (-1, -2)


def is_linear(expr: Expr) -> bool:
    """Tell whether this is linear in matrices of its size: a sum, a transpose, or one of them times or over a number.

    The number has the dtype of the matrix: products of two integers would wrap around.

    >>> import symbackprop as sb
    >>> A, B, s = sb.symbols("A[N,N] B[N,N] s")
    >>> is_linear(A - B), is_linear(s * A), is_linear(A.T), is_linear(A + s)
    (True, True, True, False)
    """
    shapes = [operand.shape for operand in expr.inputs]
    if expr.op in _SUMS:
        return all(shape == expr.shape for shape in shapes)
    if any(operand.dtype != expr.dtype for operand in expr.inputs):
        return False
    return is_transpose(expr) or (expr.op is multiply and () in shapes) or (expr.op is divide and not shapes[1])


def scaled(scale: Scale, value: Expr) -> Expr:
    """Multiply with a scale, unless that is 1.

    >>> import symbackprop as sb
    >>> A = sb.symbol("A", ("N", "N"))
    >>> scaled(1, A) is A, str(scaled(2, A))
    (True, '2A')
    """
    return value if isinstance(scale, int) and scale == 1 else scale * value


def is_square(expr: Expr) -> bool:
    """Tell whether these are square matrices."""
    return expr.ndim >= 2 and expr.shape[-1] == expr.shape[-2]


class _Reader:
    """Reads a product from an expression."""

    def __init__(self, root: Expr, known: Known, *, deep: bool = True) -> None:
        self.root = root
        self.known = known
        self.deep = deep  # whether to look into products that are inverted
        self.number = 1.0
        self.scalars: list[Expr] = []
        self.divisors: list[Expr] = []
        self.factors: list[Factor] = []
        self.written = 0
        self.enclosed = 0

    def read(self) -> Product | None:
        stack = [Factor(self.root)]
        for _ in range(4 * _LONGEST):
            if not stack or len(self.factors) > _LONGEST:
                break
            part = stack.pop()
            opened = self._opened(part)
            if opened is None:
                self._append(part)
            else:
                stack += reversed(opened)
        if stack:
            return None
        self._take_out_scalars()
        self._orient()
        scalars, divisors = tuple(self.scalars), tuple(self.divisors)
        return Product(self.number, scalars, divisors, tuple(self.factors), self.written, self.enclosed, self.root)

    def _opened(self, part: Factor) -> list[Factor] | None:
        """Give what a factor is made of, or None if it is one for good."""
        expr, inverse, turned = part
        if expr.dtype != self.root.dtype or expr.ndim > 2:
            return None
        inner = self._unscaled(expr, inverse=inverse)
        if inner is not None:
            return [part._replace(base=inner)]
        if is_transpose(expr) or expr.op is inv:
            self.written += not (is_transpose(expr) and expr.inputs[0].op is inv)  # A⁻ᵀ has one sign
            self.enclosed += is_transpose(expr) and expr.inputs[0].op is matmul and expr is not self.root
            return [Factor(expr.inputs[0], inverse is not (expr.op is inv), turned is not is_transpose(expr))]
        row = self._row(expr, inverse=inverse)
        if row is not None and inverse:
            row = [each._replace(inverse=not each.inverse) for each in reversed(row)]
        return [each.turn() for each in reversed(row)] if row and turned else row

    def _unscaled(self, expr: Expr, *, inverse: bool) -> Expr | None:
        """Take a sign, a scalar factor or a divisor out."""
        if expr.op is negative:
            self.number = -self.number
            return expr.inputs[0]
        if expr.op not in {multiply, divide} or not expr.shape:
            return None
        orders = (expr.inputs,) if expr.op is divide else (expr.inputs[::-1], expr.inputs)
        for rest, scalar in orders:
            if not scalar.shape and scalar.dtype == rest.dtype and rest.shape == expr.shape:
                self._scale(scalar, below=inverse is not (expr.op is divide))
                return rest
        return None

    def _scale(self, scalar: Expr, *, below: bool) -> None:
        """Put a scalar among the factors or the divisors; its numbers into the number where that loses nothing."""
        parts = [scalar]
        while parts:
            part = parts.pop()
            value = scalar_value(part)
            if part.op is multiply and len(self.scalars) + len(self.divisors) < _LONGEST:
                parts += reversed(part.inputs)
            elif part.op is negative:
                self.number = -self.number
                parts += part.inputs
            elif value is not None and not below and math.isfinite(value):
                self.number *= float(value)
            elif value and below and abs(math.frexp(float(value))[0]) == 0.5:  # a power of two
                self.number /= float(value)
            else:
                (self.divisors if below else self.scalars).append(part)

    def _row(self, expr: Expr, *, inverse: bool) -> list[Factor] | None:
        """Give the two factors of a product, and none of the identity."""
        if expr.op is EYE and is_square(expr):
            self.written += 1
            return []
        if inverse and not (expr.op is matmul and all(map(is_square, expr.inputs))):
            return None
        if expr.op is matmul and max(operand.ndim for operand in expr.inputs) <= 2:
            left, right = expr.inputs
            self.written += left.ndim == 1
            self.enclosed += left.ndim == right.ndim == 1 and left.op is matmul and left.inputs[0].ndim == 2
            row = [Factor(left, turned=left.ndim == 1), Factor(right)]
            return [each.turn() for each in reversed(row)] if left.ndim == 1 < right.ndim else row
        if expr.op is solve and expr.inputs[0].ndim == 2 and expr.inputs[1].ndim <= 2:
            self.written += 1
            return [Factor(expr.inputs[0], inverse=True), Factor(expr.inputs[1])]
        pair = outer_operands(expr)
        self.written += pair is not None
        return None if pair is None else [Factor(pair[0]), Factor(pair[1], turned=True)]

    def _append(self, part: Factor) -> None:
        self.written += 1
        facts = self.known(part.base)
        if part.inverse and "orthogonal" in facts:
            part = Factor(part.base, inverse=False, turned=not part.turned)
        if part.turned and part.base.ndim == 2 and "symmetric" in facts:
            part = part._replace(turned=False)
        twin = self._twin(part.base)
        if twin is not None:
            self.number = -self.number
            part = part._replace(base=twin)
        if self.factors and _cancel(self.factors[-1], part, facts):
            self.factors.pop()
        else:
            self.factors.append(part)
            if self.deep:
                self._cancel_row()

    def _cancel_row(self) -> None:
        """Leave out the inverse of a product beside the factors of that product."""
        *before, last = self.factors
        if last.inverse and last.base.op is matmul:
            row = self._row_below(last)
            if row and before[-len(row) :] == row:
                del self.factors[-len(row) - 1 :]
            return
        for at, factor in enumerate(before):
            if factor.inverse and factor.base.op is matmul and self._row_below(factor) == self.factors[at + 1 :]:
                del self.factors[at:]
                return

    def _row_below(self, factor: Factor) -> list[Factor]:
        """Give the factors of a product that is inverted, but none of inverses in it."""
        product = _Reader(factor.base, self.known, deep=False).read()
        plain = product is not None and product.number == 1 and not product.scalars and not product.divisors
        return list(product.factors) if product is not None and plain and not factor.turned else []

    def _orient(self) -> None:
        """Write a scalar with as few transposes as possible: yᵀAᵀx is xᵀAy."""
        if not self.factors or not (self.factors[0].is_row and self.factors[-1].is_column):
            return
        turned = [each if self._is_symmetric(each) else each.turn() for each in reversed(self.factors)]
        if _length(turned) < _length(self.factors):
            self.factors = turned

    def _is_symmetric(self, factor: Factor) -> bool:
        return factor.base.ndim == 2 and "symmetric" in self.known(factor.base)

    def _twin(self, base: Expr) -> Expr | None:
        """Give y - x where the factor is x - y and there is one y - x already."""
        if base.op is not subtract:
            return None
        return next((each.base for each in self.factors if _opposite(each.base, base)), None)

    def _take_out_scalars(self) -> None:
        """Take products of a row and a column out of the middle."""
        while True:
            row = next((at for at, factor in enumerate(self.factors) if factor.is_row), None)
            if row is None:
                return
            column = next((at for at in range(row, len(self.factors)) if self.factors[at].is_column), None)
            if column is None or (row, column) == (0, len(self.factors) - 1):
                return
            self.scalars.append(row_of(self.factors[row : column + 1]))
            del self.factors[row : column + 1]


def _opposite(one: Expr, other: Expr) -> bool:
    return one.op is other.op is subtract and one.inputs == other.inputs[::-1]


def _cancel(left: Factor, right: Factor, facts: Collection[str]) -> bool:
    if left.base is not right.base or left.base.ndim != 2:
        return False
    if left.turned == right.turned and left.inverse != right.inverse:
        return True
    return "orthogonal" in facts and left.turned != right.turned and left.inverse == right.inverse


def product_of(expr: Expr, known: Known) -> Product | None:
    """Read an expression as a product; give None where it is too long.

    Args:
        expr: a matrix, a vector, or the product of a row and a column.
        known: tells what is known of a factor: whether it is symmetric, whether orthogonal.

    >>> import symbackprop as sb
    >>> A, B, x = sb.symbols("A[N,N] B[N,N] x[N]")
    >>> product = product_of(-2.0 * (A.T @ B).T @ (sb.linalg.inv(A) @ x), lambda _: ())
    >>> print(product.build())
    −2Bᵀx
    """
    return _Reader(expr, known).read()
