"""Functional writes: ``x.at[index].set(v)`` is x with v at an index, and x stays what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import DtypeError, NotDifferentiableError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import Case, Dtype, Form, Notation, Op, Params, apply, literal
from symbackprop.ops.elementwise import astype, divide, equal, maximum, minimum, multiply, where
from symbackprop.ops.gather import (
    CASES,
    COLLECT,
    GATHER,
    SCATTER_ADD,
    gather,
    gathered_shape,
    getitem,
    indexed_sizes,
    indices_text,
)
from symbackprop.ops.index import PORTABLE_PUT, SLICE, Run, runs_text
from symbackprop.ops.layout import broadcast_to, expand_dims, free, reshape
from symbackprop.ops.leaf import arange

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

# --- set ------------------------------------------------------------------------------------------------------


def _check_values(values: Shape, part: Shape) -> None:
    if dims.broadcast(values, part) != part:
        msg = f"values{dims.show(values)} do not fit what the index takes{dims.show(part)}"
        raise ShapeError(msg)


def _written_dtype(x: Any, values: Any, *indices: Any, **_: Any) -> Dtype:
    kind = np.result_type(x)
    if not np.can_cast(np.result_type(values), kind, "same_kind"):
        msg = (
            f"{np.result_type(values)} values are written into {kind}: convert x with astype({np.result_type(values)})"
        )
        raise DtypeError(msg)
    for index in indices:
        if np.result_type(index).kind not in "iu":
            msg = f"an index has integers, not {np.result_type(index)}"
            raise DtypeError(msg)
    return kind


SET = '''
def set_at(x, values, index):
    """x with values at an index; of those for one place the last one stays."""
    out = x.copy()
    out[index] = values
    return out
'''
_PORTABLE_SET_SLICE = f'''{PORTABLE_PUT}
def set_slice(x, values, index):
    """x with values in a slice."""
    sizes = [len(range(size)[part]) for size, part in zip(x.shape, index)]
    values = np.broadcast_to(np.astype(values, x.dtype), (*sizes, *x.shape[len(sizes) :]))
    inside = put(np.ones_like(values), x.shape, index) != 0
    return np.where(inside, put(values, x.shape, index), x)
'''


def _set_slice_shape(x: Shape, values: Shape, *, runs: tuple[Run, ...]) -> Shape:
    _check_values(values, x[: len(x) - len(runs)] + tuple(run.length for run in runs))
    return x


def _set_slice_form(opening: str, closing: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        return Form(f"{opening}{runs_text(params['runs'], shapes[0])}{closing}")

    return notation


def _zero(g: Expr) -> Expr:
    return literal(0, g.dtype, graph=g.graph)


SET_SLICE: Op = Op(
    name="set_slice",
    doc="Give x with values in a regular run of elements.",
    shape=_set_slice_shape,
    dtype=_written_dtype,
    vjps=(
        lambda g, _y, _x, _values, *, runs: apply(SET_SLICE, g, _zero(g), runs=runs),
        lambda g, _y, _x, _values, *, runs: apply(SLICE, g, runs=runs),
    ),
    numpy=_set_slice_form("set_at($0, $1, np.s_[", "])"),
    text=_set_slice_form("set_at($0, $1, [", "])"),
    latex=_set_slice_form(r"\operatorname{set\_at}\left($0, $1, [", r"]\right)"),
    helper=SET,
    portable=_set_slice_form("set_slice($0, $1, np.s_[", "])"),
    portable_helper=_PORTABLE_SET_SLICE,
    cost=free,
    cases=(
        Case(((5,), (2,)), {"runs": (Run(1, 2, 2),)}),
        Case(((2, 4), (3,)), {"runs": (Run(3, 3, -1),)}),
        Case(((3, 4), ()), {"runs": (Run(0, 2, 1), Run(1, 3, 1))}),
    ),
    options={"runs": ()},
)


def _written_at(function: str, opening: str, closing: str, params: Params, shapes: tuple[Shape, ...]) -> Form:
    count = len(shapes) - 2
    before = len(shapes[0]) - params["tail"] - count
    return Form(f"{function}($0, $1, {opening}{indices_text(before, 2, count)}{closing})")


def _at_form(function: str) -> Notation:
    return lambda params, shapes: _written_at(function, "[", "]", params, shapes)


def _numpy_at(function: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        several = len(shapes[0]) - params["tail"] > 1
        return _written_at(function, *(("np.s_[", "]") if several else ("", "")), params, shapes)

    return notation


def _portable_at(function: str) -> Notation:
    def notation(params: Params, shapes: tuple[Shape, ...]) -> Form:
        count = len(shapes) - 2
        before = len(shapes[0]) - params["tail"] - count
        names = indices_text(0, 2, count)
        return Form(f"{function}($0, $1, ({names}{',' * (count == 1)}), {before})")

    return notation


def _set_shape(x: Shape, values: Shape, *indices: Shape, tail: int, **_: Any) -> Shape:
    _check_values(values, gathered_shape(x, *indices, tail=tail))
    return x


def _portable_written(name: str, meaning: str, how: str, result: str) -> str:
    return f'''{COLLECT}
def {name}(x, values, index, axis):
    """{meaning}"""
    if 0 in x.shape:
        return x
    places = places_of(index, x.shape[axis : axis + len(index)])
    shape = x.shape[:axis] + places.shape + x.shape[axis + len(index) :]
    if 0 in shape:
        return x
    values = np.broadcast_to(np.astype(values, x.dtype), shape)
    there, found = collected(values, index, x.shape, axis, "{how}")
    return np.where(there, {result}, x)
'''


def _set_vjp(g: Expr, _y: Expr, _x: Expr, _values: Expr, *indices: Expr, tail: int, distinct: bool) -> Expr:
    return apply(SET_AT, g, _zero(g), *indices, tail=tail, distinct=distinct)


def _set_values_vjp(g: Expr, _y: Expr, x: Expr, _values: Expr, *indices: Expr, tail: int, distinct: bool) -> Expr:
    taken = gather(g, indices, tail=tail, distinct=distinct)
    if distinct:
        return taken
    # Only the value that stayed has a derivative: number the values, write the numbers, and see which are left.
    into = indexed_sizes(x.shape, len(indices), tail)
    shape = dims.broadcast(*(index.shape for index in indices))
    numbers = reshape(arange(dims.product(shape), graph=x.graph), shape)
    none = broadcast_to(literal(0, np.int_, graph=x.graph), into)
    kept = equal(gather(apply(SET_AT, none, numbers, *indices, tail=0, distinct=False), indices, tail=0), numbers)
    return where(expand_dims(kept, range(-tail, 0)), taken, 0)


def _cases(options: dict[str, Any]) -> tuple[Case, ...]:
    found = []
    for (x, *indices), tail in CASES:
        values = dims.bind(gathered_shape(x, *indices, tail=tail), {})
        found.append(Case((x, values, *indices), {"tail": tail, **options}))
    return tuple(found)


SET_AT: Op = Op(
    name="set_at",
    doc="Give x with values at the places that arrays of integers name; of several for one place the last stays.",
    shape=_set_shape,
    dtype=_written_dtype,
    vjps=(_set_vjp, _set_values_vjp),
    variadic=True,
    indices=2,
    numpy=_numpy_at("set_at"),
    text=_at_form("set_at"),
    latex=_at_form(r"\operatorname{set\_at}"),
    helper=SET,
    portable=_portable_at("set_at"),
    portable_helper=_portable_written(
        "set_at", "x with values where arrays index the axes from one on; of those for one place the last stays.",
        "last", "found",
    ),
    cost=free,
    cases=(*_cases({}), Case(((3,), (), ()), {"distinct": True}), Case(((4, 2), (2,), (3,)), {"tail": 1})),
    options={"tail": 0, "distinct": False},
)  # fmt: skip
"""`tail` is how many axes follow the indexed ones; `distinct` tells that no place is named twice."""


# --- the largest and the smallest at a place ------------------------------------------------------------------


def _shared(  # noqa: PLR0917  (what a rule gets)
    g: Expr, y: Expr, x: Expr, values: Expr, indices: Sequence[Expr], tail: int
) -> Expr:
    """Give the cotangent in equal shares for all that are the extreme of their place."""
    there = equal(values, gather(y, indices, tail=tail))
    into = indexed_sizes(x.shape, len(indices), tail)
    count = apply(SCATTER_ADD, astype(there, g.dtype), *indices, tail=tail, into=into)
    return divide(g, astype(equal(x, y), g.dtype) + count)


def _extreme_vjp(g: Expr, y: Expr, x: Expr, values: Expr, *indices: Expr, tail: int) -> Expr:
    return where(equal(x, y), _shared(g, y, x, values, indices, tail), 0)


def _extreme_values_vjp(g: Expr, y: Expr, x: Expr, values: Expr, *indices: Expr, tail: int) -> Expr:
    share = gather(_shared(g, y, x, values, indices, tail), indices, tail=tail)
    return where(equal(values, gather(y, indices, tail=tail)), share, 0)


def _extreme_shape(x: Shape, values: Shape, *indices: Shape, tail: int) -> Shape:
    part = gathered_shape(x, *indices, tail=tail)
    if values != part:
        msg = f"values{dims.show(values)} do not fit what the index takes{dims.show(part)}"
        raise ShapeError(msg)
    return x


def _extreme(name: str, which: str) -> Op:
    meaning = f"The {which} of x and of the values where arrays index the axes from one on."
    return Op(
        name=f"{name}_at",
        doc=f"Give the {which} of x and of the values at the places that arrays of integers name.",
        shape=_extreme_shape,
        dtype=_written_dtype,
        vjps=(_extreme_vjp, _extreme_values_vjp),
        variadic=True,
        indices=2,
        numpy=_numpy_at(f"{name}_at"),
        text=_at_form(f"{name}_at"),
        latex=_at_form(rf"\operatorname{{{name}\_at}}"),
        helper=f'''
def {name}_at(x, values, index):
    """The {which} of x and of the values at an index."""
    out = x.copy()
    np.{name}.at(out, index, values)
    return out
''',
        portable=_portable_at(f"{name}_at"),
        portable_helper=_portable_written(f"{name}_at", meaning, name, f"np.{name}(found, x)"),
        cost=lambda xs, _y, _params: dims.product(xs[1]),
        cases=_cases({}),
        kink="shared equally by all that are the extreme of their place",
        options={"tail": 0},
    )


MAXIMUM_AT = _extreme("maximum", "largest")
MINIMUM_AT = _extreme("minimum", "smallest")


# --- what the user writes -------------------------------------------------------------------------------------


def _moved_back(values: Expr, stage: Expr) -> Expr:
    """Put values where one of the operations that an index is made of took them, by its derivative rule."""
    rule = stage.op.rule(0)
    return values if rule is None else rule(values, stage, *stage.inputs, **stage.params)


class At:
    """What ``x.at`` is: with an index it tells a place in x."""

    def __init__(self, x: Expr) -> None:
        """Take the array."""
        self.x = x

    def __getitem__(self, index: Any) -> Place:
        """Give the place."""
        return Place(self.x, index)


class Place:
    """A place in an array, told by an index of any kind: each method gives the array with something done there.

    Values broadcast to the shape of ``x[index]`` and are converted to the dtype of x. The array x itself never changes.

    >>> import symbackprop as sb
    >>> x, v, i = sb.symbol("x", "N"), sb.symbol("v", "K"), sb.symbol("i", "K", dtype="int64")
    >>> print(x.at[1:3].set(0), x.at[i].add(v), sep="; ")
    set_at(x, 0, [1:3]); x + scatter_add(v, (N,), [i])
    """

    def __init__(self, x: Expr, index: Any) -> None:
        """Take the array and the index."""
        self.x = x
        self._part = getitem(x, index)
        self._stages: list[Expr] = []
        at = self._part
        while at is not x:
            self._stages.append(at)
            at = at.inputs[0]

    def get(self) -> Expr:
        """Give what is there, ``x[index]``; the derivative adds up what comes from one place."""
        return self._part

    def set(self, values: Operand, *, unique_indices: bool = False) -> Expr:
        """Give the array with other values there; the derivative by x is zero there.

        Args:
            values: what is there from now on. Of several for one place the last one stays, as in NumPy, and it alone
                has the derivative.
            unique_indices: whether no place is named twice, which makes the derivative cheaper; seen of known indices.

        Raises:
            ShapeError: the values do not fit.
            DtypeError: floats are written into integers.

        >>> import symbackprop as sb
        >>> x, v = sb.symbols("x[4] v")
        >>> print(sb.grad(sb.sum(x.at[1].set(v) ** 2), v))
        2v
        """
        return self._replaced(self._values(values), distinct=unique_indices)

    def add(self, values: Operand) -> Expr:
        """Give the array with values added there; those for one place add up.

        Raises:
            ShapeError: the values do not fit.

        >>> import symbackprop as sb
        >>> x, v = sb.symbols("x[4] v[2]")
        >>> sb.evaluate(x.at[[1, 1]].add(v), {x: [1.0, 2.0, 3.0, 4.0], v: [10.0, 20.0]})
        array([ 1., 32.,  3.,  4.])
        """
        part = broadcast_to(self._values(values), self._part.shape)
        for stage in self._stages:
            part = _moved_back(part, stage)
        return self.x + part

    def subtract(self, values: Operand) -> Expr:
        """Give the array with values subtracted there; those for one place add up.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x", 3)
        >>> sb.evaluate(x.at[0].subtract(1), {x: [1.0, 2.0, 3.0]})
        array([0., 2., 3.])
        """
        return self.add(-self._values(values))

    def multiply(self, values: Operand, *, unique_indices: bool = False) -> Expr:
        """Give the array with what is there multiplied by values.

        Args:
            values: the factors.
            unique_indices: say that no place is named twice, where the indices are not known.

        Raises:
            NotDifferentiableError: a place may be named twice.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x", 3)
        >>> sb.evaluate(x.at[::2].multiply(10), {x: [1.0, 2.0, 3.0]})
        array([10.,  2., 30.])
        """
        self._check_distinct("multiply", unique_indices)
        return self._replaced(self._values(multiply(self._part, values)), distinct=True)

    def divide(self, values: Operand, *, unique_indices: bool = False) -> Expr:
        """Give the array with what is there divided by values; `unique_indices` as in `multiply`.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x", 3)
        >>> sb.evaluate(x.at[-1].divide(2), {x: [1.0, 2.0, 3.0]})
        array([1. , 2. , 1.5])
        """
        self._check_distinct("divide", unique_indices)
        return self._replaced(self._values(divide(self._part, values)), distinct=True)

    def max(self, values: Operand) -> Expr:
        """Give the array with the largest of what is there and of the values for the place.

        The derivative is shared equally by all that are the largest; where no place is named twice it is that of
        `maximum`.

        >>> import symbackprop as sb
        >>> x, v = sb.symbols("x[3] v[2]")
        >>> sb.evaluate(x.at[[1, 1]].max(v), {x: [1.0, 2.0, 3.0], v: [5.0, 4.0]})
        array([1., 5., 3.])
        """
        return self._extreme(values, MAXIMUM_AT, maximum)

    def min(self, values: Operand) -> Expr:
        """Give the array with the smallest of what is there and of the values for the place; derivatives as in `max`.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x", 3)
        >>> sb.evaluate(x.at[1:].min(2), {x: [1.0, 2.0, 3.0]})
        array([1., 2., 2.])
        """
        return self._extreme(values, MINIMUM_AT, minimum)

    # --- how --------------------------------------------------------------------------------------------------

    def _values(self, values: Operand) -> Expr:
        """Give values as an expression of the array's dtype."""
        kind = self.x.dtype
        found = values if isinstance(values, Expr) else literal(values, graph=self.x.graph)
        if not np.can_cast(found.dtype, kind, "same_kind"):
            msg = (
                f"x.at[…]: {found.dtype} values do not go into {self.x.describe()} of {kind}: "
                f"convert it with astype({found.dtype})"
            )
            raise DtypeError(msg)
        try:
            _check_values(found.shape, self._part.shape)
        except ShapeError as error:
            msg = f"x.at[…]: {error}: {found.describe()} into {self._part.describe()}"
            raise ShapeError(msg) from None
        return (
            astype(found, kind) if isinstance(values, Expr) else literal(np.asarray(values, kind), graph=self.x.graph)
        )

    def _gathers(self) -> list[Expr]:
        return [stage for stage in self._stages if stage.op is GATHER]

    def _check_distinct(self, name: str, told: bool) -> None:  # noqa: FBT001  (what the caller was told)
        if not told and not all(stage.params["distinct"] for stage in self._gathers()):
            msg = (
                f"x.at[…].{name}: {self.x.describe()} may have a place that the index names twice: "
                "pass unique_indices=True if it has not"
            )
            raise NotDifferentiableError(msg)

    def _replaced(self, values: Expr, *, distinct: bool) -> Expr:
        if not self._stages:
            return broadcast_to(values, self.x.shape)

        def write(stage: Expr, values: Expr) -> Expr:
            x, *indices = stage.inputs
            known = distinct or stage.params["distinct"]
            return apply(SET_AT, x, values, *indices, tail=stage.params["tail"], distinct=known)

        return self._through(values, write)

    def _extreme(self, values: Operand, repeated: Op, single: Op) -> Expr:
        if all(stage.params["distinct"] for stage in self._gathers()):
            return self._replaced(single(self._part, self._values(values)), distinct=True)

        def write(stage: Expr, values: Expr) -> Expr:
            x, *indices = stage.inputs
            return apply(repeated, x, broadcast_to(values, stage.shape), *indices, tail=stage.params["tail"])

        return self._through(self._values(values), write)

    def _through(self, values: Expr, write: Callable[[Expr, Expr], Expr]) -> Expr:
        """Put values back through the stages that an index is made of, from the last one to the first."""
        if values.shape and self._stages[0].op not in {GATHER, SLICE}:
            values = broadcast_to(values, self._part.shape)
        for stage in self._stages:
            if stage.op is GATHER:
                values = write(stage, values)
            elif stage.op is SLICE:
                values = apply(SET_SLICE, stage.inputs[0], values, **stage.params)
            elif values.shape:
                values = _moved_back(values, stage)
        return broadcast_to(values, self.x.shape)
