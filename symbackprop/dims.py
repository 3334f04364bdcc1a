"""Named and integer sizes, arithmetic on them, and broadcasting: pure functions of tuples.

A size is an ``int`` or a `Dim`: a polynomial with integer coefficients in named sizes, such as ``N + 1`` or
``N*D``, kept in one canonical form, so that equal sizes compare equal. A `Dim` that is just a name equals that
string: ``x.shape == ("N", "D")``.

>>> N, D = Dim.named("N"), Dim.named("D")
>>> (N + 1) * D
D*N + D
>>> (N + 1) - N
1
>>> product((N, D, 2)) // D
2*N
"""

from __future__ import annotations

import ast
import operator
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from keyword import iskeyword
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn, TypeAlias

from symbackprop.errors import ShapeError

Size: TypeAlias = "int | Dim"
Shape: TypeAlias = tuple[Size, ...]
SizeLike: TypeAlias = "int | str | Dim"
ShapeLike: TypeAlias = "SizeLike | Sequence[SizeLike]"

_Atom: TypeAlias = "str | tuple[Dim, int]"  # a name, or (numerator, denominator) of a floor division
_Monomial: TypeAlias = tuple[_Atom, ...]


_PACKAGE = os.path.dirname(__file__) + os.sep  # noqa: PTH120  (pathlib costs an import several ms)

tracing: ContextVar[str] = ContextVar("symbackprop_tracing", default="")
"""The dtype of the floats of a Python function that is run on symbols; empty where none is.

Such a function is to do the same for all sizes: where it asks whether N equals 3 it must learn that this is not known.
"""


class Dim:
    """A size that is not known until the compiled function is called.

    Made by `Dim.named` and by arithmetic (``+ - * //`` with ints and other sizes); never constant: arithmetic
    that cancels gives an ``int``.
    """

    __slots__ = ("_hash", "_terms", "_text")
    _terms: tuple[tuple[_Monomial, int], ...]

    as_number: ClassVar[Callable[[Dim], Any]]  # what the ops know: the size as a scalar expression
    apply_ufunc: ClassVar[Callable[..., Any]]  # and what a ufunc makes of it
    __array_priority__ = 1000

    def __init__(self, terms: Mapping[_Monomial, int]) -> None:
        """Take the canonical terms; use `Dim.named` and arithmetic instead."""
        self._terms = tuple(sorted(terms.items(), key=lambda term: (-len(term[0]), str(term[0]))))
        self._text = _text(self._terms)
        self._hash = hash(self._text)

    @staticmethod
    def named(name: str) -> Dim:
        """Give the size with this name.

        Raises:
            ShapeError: the name is no plain identifier, or is a word of Python.
        """
        if not name.isidentifier() or iskeyword(name):
            msg = f"{name!r} cannot name a size: use an identifier such as 'N'"
            raise ShapeError(msg)
        return Dim({(name,): 1})

    @property
    def name(self) -> str | None:
        """The name, where this is a plain named size; else None."""
        return self._text if self._text.isidentifier() else None

    @property
    def terms(self) -> tuple[tuple[_Monomial, int], ...]:
        """The polynomial: products of names, and of pairs of a size and what it is divided by, with coefficients."""
        return self._terms

    @property
    def names(self) -> frozenset[str]:
        """The named sizes that this one is made of."""
        found: set[str] = set()
        for monomial, _ in self._terms:
            for atom in monomial:
                found |= {atom} if isinstance(atom, str) else atom[0].names
        return frozenset(found)

    @property
    def may_be_negative(self) -> bool:
        """Whether some non-negative values of the named sizes could make this one negative."""
        return any(
            coefficient < 0 or any(not isinstance(atom, str) and atom[0].may_be_negative for atom in monomial)
            for monomial, coefficient in self._terms
        )

    def value(self, sizes: Mapping[str, int]) -> int:
        """Give the integer that this size is when the named sizes are those given.

        Raises:
            KeyError: a named size is missing.
        """
        if self.name is not None:
            return sizes[self.name]
        found = self.replaced(sizes)
        if isinstance(found, Dim):
            raise KeyError(min(found.names))
        return found

    def replaced(self, sizes: Mapping[str, Size]) -> Size:
        """Give the size with other sizes in place of some of its names."""
        total: Size = 0
        for monomial, coefficient in self._terms:
            factors = [
                sizes.get(atom, Dim.named(atom)) if isinstance(atom, str) else atom[0].replaced(sizes) // atom[1]
                for atom in monomial
            ]
            total = product(factors) * coefficient + total
        return total

    def __add__(self, other: Size) -> Size:
        """Add two sizes."""
        if not _is_size(other):
            return self._with(operator.add, other)  # type: ignore[no-any-return]  # with a float it is an expression
        terms = dict(self._terms)
        for monomial, coefficient in _terms_of(other):
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return _normal(terms)

    def __mul__(self, other: Size) -> Size:
        """Multiply two sizes."""
        if not _is_size(other):
            return self._with(operator.mul, other)  # type: ignore[no-any-return]  # with a float it is an expression
        terms: dict[_Monomial, int] = {}
        for left, a in self._terms:
            for right, b in _terms_of(other):
                monomial = tuple(sorted(left + right, key=str))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return _normal(terms)

    def __neg__(self) -> Size:
        """Negate a size, as a step on the way to a difference."""
        return self * -1

    def __sub__(self, other: Size) -> Size:
        """Subtract a size."""
        return self + (other * -1) if _is_size(other) else self._with(operator.sub, other)

    def __rsub__(self, other: int) -> Size:
        """Subtract from an int."""
        return (self * -1) + other if _is_size(other) else self._with(lambda size, given: given - size, other)

    def __floordiv__(self, other: Size) -> Size:
        """Divide, rounding down; exact where the polynomial divides, else kept as a quotient.

        Raises:
            ShapeError: the divisor is a named size that does not divide exactly, or is not positive.
        """
        if not _is_size(other):
            return NotImplemented
        divisor = _terms_of(other)
        if len(divisor) == 1:
            exact = _divide(self._terms, divisor[0])
            if exact is not None:
                return exact
        if not isinstance(other, Dim) and other > 0:
            rest = dict(self._terms).get((), 0)
            named = tuple(term for term in self._terms if term[0])
            exact = _divide(named, ((), int(other)))  # (2*N + 1)//2 is N
            if exact is not None:
                return exact + rest // other
            return Dim({((self, int(other)),): 1})
        msg = f"{other} does not divide {self}"
        raise ShapeError(msg)

    def __rfloordiv__(self, other: int) -> Size:
        """Divide an int; only 0 is a multiple of a named size.

        Raises:
            ShapeError: the int is not 0.
        """
        if not _is_size(other):
            return NotImplemented
        if other == 0:
            return 0
        msg = f"{self} does not divide {other}"
        raise ShapeError(msg)

    __radd__ = __add__
    __rmul__ = __mul__

    # --- a size as a number: with floats it is a scalar expression ---------------------------------------------

    def _number(self) -> Any:
        if tracing.get() not in {"", "float64"}:
            self._unknown()  # numbers of Python do not widen float32, expressions of float64 do
        return type(self).as_number(self)

    def _with(self, function: Callable[[Any, Any], Any], other: object) -> Any:
        return function(self._number(), other) if isinstance(other, Real) else NotImplemented

    def __truediv__(self, other: Any) -> Any:
        """Divide as a number."""
        return self._number() / other

    def __rtruediv__(self, other: Any) -> Any:
        """Divide by the size as a number."""
        return other / self._number()

    def __pow__(self, other: Any) -> Any:
        """Give a power: of a whole exponent a size, else a number."""
        if isinstance(other, Integral) and int(other) >= 0:
            return product([self] * int(other))
        return self._number() ** other

    def __rpow__(self, other: Any) -> Any:
        """Raise to the size as a number."""
        return other ** self._number()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        """Let ``np.log(N)`` and ``array * N`` build expressions."""
        return type(self).apply_ufunc(ufunc, method, inputs, keywords)

    def _unknown(self, *_: object) -> NoReturn:
        """Refuse what needs to know the number.

        Raises:
            ShapeError: always.
        """
        msg = (
            f"the size {self} is not known while the graph is built: write the formula for whole arrays in place of a "
            "loop over range(N), or declare the symbol with a number for the size; where the size stands in the "
            "formula sb.size_of gives it"
        )
        raise ShapeError(msg)

    __index__ = __int__ = __float__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown

    def __eq__(self, other: object) -> bool:
        """Compare canonical forms; a plain named size also equals its name."""
        if isinstance(other, Dim):
            return self._text == other._text
        if type(other) is int and _asked_by_function():
            self._unknown()
        return isinstance(other, str) and self._text == other

    def __bool__(self) -> bool:
        """Be true: what is named may be 0 only at the call."""
        if _asked_by_function():
            self._unknown()
        return True

    def __hash__(self) -> int:
        """Hash as the text, so that a named size and its name are one key."""
        return self._hash

    def __repr__(self) -> str:
        """Give the canonical form, which is also a Python expression."""
        return self._text


def _asked_by_function() -> bool:
    """Tell whether it is a traced function itself that asks, not the package."""
    return bool(tracing.get()) and not sys._getframe(2).f_code.co_filename.startswith(_PACKAGE)  # noqa: SLF001  (as expr.user_line)


def _text(terms: tuple[tuple[_Monomial, int], ...]) -> str:
    parts: list[str] = []
    for monomial, coefficient in terms:
        factors = [atom if isinstance(atom, str) else f"(({atom[0]})//{atom[1]})" for atom in monomial]
        if abs(coefficient) != 1 or not factors:
            factors.insert(0, str(abs(coefficient)))
        sign = ("-" if coefficient < 0 else "") if not parts else (" - " if coefficient < 0 else " + ")
        parts.append(sign + "*".join(factors))
    return "".join(parts)


def _is_size(other: object) -> bool:
    return isinstance(other, Dim | Integral)


def _terms_of(size: Size) -> tuple[tuple[_Monomial, int], ...]:
    if isinstance(size, Dim):
        return size._terms  # noqa: SLF001  (the same module)
    return (((), int(size)),) if size else ()


def _normal(terms: dict[_Monomial, int]) -> Size:
    kept = {monomial: coefficient for monomial, coefficient in terms.items() if coefficient}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return Dim(kept)


def _divide(terms: tuple[tuple[_Monomial, int], ...], divisor: tuple[_Monomial, int]) -> Size | None:
    """Divide term by term; None where a term does not divide."""
    quotient: dict[_Monomial, int] = {}
    for monomial, coefficient in terms:
        rest = list(monomial)
        for atom in divisor[0]:
            if atom not in rest:
                return None
            rest.remove(atom)
        if coefficient % divisor[1]:
            return None
        quotient[tuple(rest)] = coefficient // divisor[1]
    return _normal(quotient)


def names_of(shape: Iterable[Size]) -> frozenset[str]:
    """Give the named sizes that occur in a shape.

    >>> sorted(names_of((Dim.named("N") + 1, 3)))
    ['N']
    """
    return frozenset().union(*(size.names for size in shape if isinstance(size, Dim)))


def bind(shape: Iterable[Size], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Give the integer shape for these values of the named sizes.

    >>> bind((Dim.named("N") + 1, 3), {"N": 4})
    (5, 3)
    """
    return tuple(size.value(sizes) if isinstance(size, Dim) else size for size in shape)


def bound(param: Any, sizes: Mapping[str, Size]) -> Any:
    """Give an op's parameter with numbers, or other sizes, in place of named sizes, however deep they stand in tuples.

    >>> bound(((Dim.named("N"), 1), "axis"), {"N": 4})
    ((4, 1), 'axis')
    """
    if isinstance(param, Dim):
        return param.replaced(sizes)
    if isinstance(param, tuple):
        parts = [bound(part, sizes) for part in param]
        return type(param)(*parts) if hasattr(param, "_fields") else tuple(parts)
    return param


def product(shape: Iterable[Size]) -> Size:
    """Give the number of elements of an array of this shape.

    >>> product((Dim.named("N"), 3))
    3*N
    """
    total: Size = 1
    for size in shape:
        total = size * total
    return total


def is_less(size: Size, other: Size) -> bool:
    """Tell whether one size is known to be less than another, or equal only where some named size is 1.

    >>> N, D = Dim.named("N"), Dim.named("D")
    >>> is_less(2, 3), is_less(D, N * D), is_less(D, N), is_less(3, N)
    (True, True, False, False)
    """
    difference = other - size
    if not isinstance(difference, Dim):
        return difference > 0
    from_one = difference.replaced({name: Dim.named(name) + 1 for name in difference.names})
    return not (from_one.may_be_negative if isinstance(from_one, Dim) else from_one < 0)


def as_size(size: SizeLike) -> Size:
    """Read one size: an int, a `Dim`, or text such as ``"N"``, ``"3"`` or ``"N+1"``.

    Raises:
        ShapeError: negative, or no arithmetic on names and integers.
    """
    if isinstance(size, str):
        size = _parse(size.strip())
    if isinstance(size, Dim):
        return size
    if isinstance(size, bool) or not hasattr(size, "__index__"):
        msg = f"a size is an integer or a name such as 'N', not {size!r}"
        raise ShapeError(msg)
    if size.__index__() < 0:
        msg = f"a size cannot be negative: {size}"
        raise ShapeError(msg)
    return size.__index__()


def as_shape(shape: ShapeLike) -> Shape:
    """Read a shape: ``"N"``, ``3``, or a sequence of sizes.

    >>> as_shape(("N", 3, "N+1"))
    (N, 3, N + 1)
    """
    if isinstance(shape, str | Dim) or hasattr(shape, "__index__"):
        return (as_size(shape),)  # type: ignore[arg-type]  # __index__ is what as_size takes
    return tuple(as_size(size) for size in shape)


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Size]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


@lru_cache(maxsize=256)
def _parse(text: str) -> Size:
    if re.fullmatch(r"[^\W\d]\w*", text):
        return Dim.named(text)
    try:
        return _from_ast(ast.parse(text, mode="eval").body)
    except ShapeError:
        raise
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):  # what ast says of odd texts
        msg = f"{text[:40]!r} is no size: write a name, an integer, or arithmetic on them such as 'N+1'"
        raise ShapeError(msg) from None


def _from_ast(node: ast.expr) -> Size:
    if isinstance(node, ast.Name):
        return Dim.named(node.id)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _from_ast(node.operand) * -1
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _ARITHMETIC[type(node.op)](_from_ast(node.left), _from_ast(node.right))
    msg = f"{ast.unparse(node)!r} is no size: write a name, an integer, or arithmetic on them such as 'N+1'"
    raise ShapeError(msg)


def show(shape: Shape) -> str:
    """Write a shape as it stands behind a name: ``[N, 3]``, and nothing for a scalar.

    >>> show(("N", 3)), show(())
    ('[N, 3]', '')
    """
    return f"[{', '.join(map(str, shape))}]" if shape else ""


def broadcast(*shapes: Shape) -> Shape:
    """Give the shape that NumPy's broadcasting gives; a named size broadcasts only against 1.

    >>> broadcast(as_shape(("N", 1)), as_shape("D"))
    (N, D)

    Raises:
        ShapeError: two sizes on one axis differ and neither is 1.
    """
    if len(set(shapes)) == 1:
        return shapes[0]
    rank = max(map(len, shapes), default=0)
    result: list[Size] = [1] * rank
    for shape in shapes:
        for axis in range(-len(shape), 0):
            size, sofar = shape[axis], result[axis]
            if sofar == 1:
                result[axis] = size
            elif size not in (1, sofar):
                hint = "; a named size broadcasts only against 1" if names_of((size, sofar)) else ""
                msg = f"sizes {sofar} and {size} on axis {axis} differ{hint}"
                raise ShapeError(msg)
    return tuple(result)


def axes_from_right(axes: int | Iterable[int] | None, rank: int) -> tuple[int, ...]:
    """Turn NumPy's axis argument into sorted axes counted from the right: -1 is the last.

    >>> axes_from_right(0, 2), axes_from_right(None, 2), axes_from_right((1, -2), 2)
    ((-2,), (-2, -1), (-2, -1))

    Raises:
        ShapeError: an axis out of range or named twice.
    """
    if axes is None:
        return tuple(range(-rank, 0))
    wanted = tuple(axis.__index__() for axis in (axes if isinstance(axes, Iterable) else (axes,)))
    for axis in wanted:
        if not -rank <= axis < rank:
            msg = f"axis {axis} is out of range for rank {rank}"
            raise ShapeError(msg)
    found = sorted(axis - rank if axis >= 0 else axis for axis in wanted)
    if len(set(found)) < len(found):
        msg = f"axis named twice in {wanted}"
        raise ShapeError(msg)
    return tuple(found)
