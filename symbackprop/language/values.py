"""Values that formulas have and expressions have not: rows, identities without a size, indexed elements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from symbackprop import ops
from symbackprop.dims import Shape, Size
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr
from symbackprop.op import Dtype


class Row(NamedTuple):
    """The transpose of a vector: uᵀ.

    Attributes:
        expr: the vector.
    """

    expr: Expr

    def times(self, scalar: Expr | float) -> Row:
        """Give a multiple."""
        return Row(self.expr * scalar)


class Identity(NamedTuple):
    """A multiple of the identity matrix I, whose size its surroundings tell.

    Attributes:
        dtype: the dtype of its elements.
        factor: a scalar.
    """

    dtype: Dtype
    factor: Expr | float = 1.0

    def times(self, scalar: Expr | float) -> Identity:
        """Give a multiple."""
        return self._replace(factor=scalar if self.is_plain else self.factor * scalar)

    @property
    def is_plain(self) -> bool:
        """Whether it is I itself."""
        return not isinstance(self.factor, Expr) and self.factor == 1

    def beside(self, shape: Shape) -> Expr:
        """Give the matrix, as large as an array of this shape needs it beside it.

        Raises:
            ShapeError: the shape does not tell.
        """
        size = next((size for size in reversed(shape[-2:]) if size != 1), None)
        if size is None:
            msg = "nothing tells the size of I; write eye(N)"
            raise ShapeError(msg)
        matrix = ops.eye(size, dtype=self.dtype)
        return matrix if self.is_plain else self.factor * matrix


class Indexed(NamedTuple):
    """An element with index letters: a product of factors, each an array whose axes have letters.

    Attributes:
        factors: the arrays, None for a Kronecker delta δᵢⱼ whose size is not known yet, and their letters.
    """

    factors: tuple[tuple[Expr | None, str], ...]

    @property
    def labels(self) -> str:
        """The letters, each once, in their order."""
        return "".join(dict.fromkeys(label for _, labels in self.factors for label in labels))

    @property
    def open(self) -> bool:
        """Whether it holds deltas whose size is not known yet."""
        return any(expr is None for expr, _ in self.factors)

    def sizes(self) -> dict[str, Size]:
        """Give the sizes of the letters, as far as they are known.

        Raises:
            ShapeError: a letter has two sizes.
        """
        found: dict[str, Size] = {}
        for expr, labels in self.factors:
            for label, size in zip(labels, () if expr is None else expr.shape, strict=expr is not None):
                if found.setdefault(label, size) != size:
                    msg = f"index {label} has the sizes {found[label]} and {size}"
                    raise ShapeError(msg)
        return found

    def settled(self, sizes: Mapping[str, Size] = {}) -> Indexed:
        """Give the deltas sizes, where those that are known tell them."""
        known = {**sizes, **self.sizes()}
        dtype = next((expr.dtype for expr, _ in self.factors if expr is not None), "float64")
        factors: list[tuple[Expr | None, str]] = []
        for expr, labels in self.factors:
            size = next((known[label] for label in labels if label in known), None)
            unknown = expr is None and size is not None
            factors.append((ops.eye(size, dtype=dtype) if unknown and size is not None else expr, labels))
        return Indexed(tuple(factors))

    def times(self, other: Indexed) -> Indexed:
        """Give the product."""
        found = Indexed(self.factors + other.factors)
        for _ in range(2 * found.open):  # a delta tells the next one its size
            found = found.settled()
        return found

    def array(self, labels: str, sizes: Mapping[str, Size] = {}) -> Expr:
        """Give the array whose axes have these letters.

        Args:
            labels: the letters, in the order of the axes; an axis whose letter it lacks has size 1, unless told.
            sizes: sizes that are known from elsewhere.

        Raises:
            ShapeError: a letter of its own is missing, has two sizes, or has none.
        """
        settled = self
        for _ in range(1 + self.open):
            settled = settled.settled(sizes)
        known = {**dict.fromkeys(labels, 1), **sizes, **settled.sizes()}
        if settled.open:
            unknown = [label for label in self.labels if label not in settled.sizes()]
            msg = f"nothing tells the size of index {', '.join(unknown)}"
            raise ShapeError(msg)
        strangers = [label for label in self.labels if label not in labels]
        if strangers:
            msg = f"index {', '.join(strangers)} is free: sum over it, or name it behind the bracket"
            raise ShapeError(msg)
        own = "".join(label for label in labels if label in self.labels)
        found = settled.summed(own)
        missing = tuple(at for at, label in enumerate(labels) if label not in own)
        return ops.broadcast_to(ops.expand_dims(found, missing), [known[label] for label in labels])

    def summed(self, kept: str) -> Expr:
        """Sum the products over all letters but these.

        Raises:
            ShapeError: a letter has two sizes.
        """
        exprs = [expr for expr, _ in self.factors if expr is not None]
        terms = [labels for _, labels in self.factors]
        if terms == [kept]:
            return exprs[0]
        if len(exprs) == 1 and sorted(terms[0]) == sorted(kept):
            return ops.transpose(exprs[0], [terms[0].index(label) for label in kept])
        return ops.einsum(f"{','.join(terms)}->{kept}", *exprs)


def elementwise(build: Callable[..., Expr], operands: Sequence[Any]) -> Indexed:
    """Apply an elementwise function to indexed elements, letter by letter; other operands are scalars.

    Raises:
        ShapeError: a letter has two sizes or none, or an operand is an array without letters.
    """
    several = [operand for operand in operands if isinstance(operand, Indexed)]
    labels = "".join(dict.fromkeys(label for each in several for label in each.labels))
    sizes = Indexed(tuple(factor for each in several for factor in each.factors)).sizes()
    aligned = []
    for operand in operands:
        if isinstance(operand, Indexed):
            own = "".join(label for label in labels if label in operand.labels)
            missing = tuple(at for at, label in enumerate(labels) if label not in own)
            aligned.append(ops.expand_dims(operand.array(own, sizes), missing))
        elif isinstance(operand, Expr) and operand.shape:
            msg = f"{operand.describe()} has no index letters beside elements that have"
            raise ShapeError(msg)
        else:
            aligned.append(operand)
    return Indexed(((build(*aligned), labels),))


def labelled(expr: Expr, labels: str) -> Indexed:
    """Give the element of an array at indices.

    Raises:
        ShapeError: it has not as many axes as letters.
    """
    if expr.ndim != len(labels):
        msg = f"{expr.describe()} has {expr.ndim} axes and {len(labels)} indices"
        raise ShapeError(msg)
    return Indexed(((expr, labels),))


def matrix_product(left: Any, right: Any) -> Any:
    """Give the product that operands side by side have: vectors are columns, their transposes rows.

    Args:
        left: a row, or an expression that is no scalar.
        right: likewise.

    Raises:
        ShapeError: there is no such product.
    """
    if isinstance(right, Row):
        if isinstance(left, Row):
            msg = f"{left.expr.describe()} and {right.expr.describe()} are both rows; write uvᵀ, uᵀv or u ⊙ v"
            raise ShapeError(msg)
        if left.ndim == 1:
            return ops.outer(left, right.expr)
        msg = f"the row {right.expr.describe()} is no matrix; write uvᵀ, uᵀv or A ⊙ u"
        raise ShapeError(msg)
    if isinstance(left, Row):
        found = ops.matmul(left.expr, right)
        return Row(found) if right.ndim == 2 else found
    if left.ndim == 1:
        other = "uvᵀ, uᵀv or u ⊙ v" if right.ndim == 1 else "Aᵀu or uᵀA"
        msg = f"{left.describe()} is a column, which has no product with {right.describe()}; write {other}"
        raise ShapeError(msg)
    return ops.matmul(left, right)


def sum_over(value: Indexed, labels: Iterable[str]) -> Indexed | Expr:
    """Sum over letters.

    Raises:
        ShapeError: the element does not have them, or nothing tells their sizes.
    """
    strangers = [label for label in labels if label not in value.labels]
    if strangers:
        msg = f"nothing has the index {', '.join(strangers)} that is summed over"
        raise ShapeError(msg)
    kept = "".join(label for label in value.labels if label not in labels)
    if value.open:
        value.array(value.labels)  # says what is not known
    # Of truth values a sum counts those that hold.
    factors = tuple((_number(expr), own) for expr, own in value.factors)
    found = Indexed(factors).summed(kept)
    return Indexed(((found, kept),)) if kept else found


def _number(expr: Expr | None) -> Expr | None:
    return expr.astype("int64") if expr is not None and expr.dtype.kind == "b" else expr
