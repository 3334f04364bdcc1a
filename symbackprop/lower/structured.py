"""Arrays that are kept as their parts: diagonals, blocks on diagonals, products of a vector with a vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, reduce
from string import ascii_lowercase
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape
from symbackprop.errors import ShapeError
from symbackprop.expr import Expr
from symbackprop.op import literal, scalar_value
from symbackprop.ops import add, multiply, negative, squeeze, subtract
from symbackprop.ops.contract import ADD_WHERE_EQUAL, DIAG, EYE, SPREAD
from symbackprop.ops.index import UNSLICE, Run
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, TRANSPOSE, broadcast_to

Array: TypeAlias = np.ndarray[Any, Any]


class Part(NamedTuple):
    """A product of arrays that stands where indices are equal.

    Attributes:
        subscripts: as of `numpy.einsum`, but what is to the right of the arrow may have a letter several times: only
            elements whose indices are equal there are not zero. A letter that is only there repeats the product.
        arrays: the factors; one that several parts have is one array.
        slices: one for each axis of the result, where the part stands in a slice of it alone.
        scale: a number that is a factor too.
    """

    subscripts: str
    arrays: tuple[Any, ...]
    slices: tuple[slice, ...] = ()
    scale: float = 1.0

    @property
    def given(self) -> str:
        """The letters of the arrays' axes."""
        return self.subscripts.partition("->")[0]

    @property
    def result(self) -> str:
        """The letters of the result's axes."""
        return self.subscripts.partition("->")[2]

    def __str__(self) -> str:
        """Write the subscripts, the slices if there are any, and the number before them."""
        sign = "-" if self.scale == -1 else "" if self.scale == 1 else f"{self.scale:g}*"
        return f"{sign}{self.subscripts}" + (f"[{', '.join(map(_slice_text, self.slices))}]" if self.slices else "")

    def indices(self, shape: Sequence[int]) -> list[Array]:
        """Give for each axis of the result where the part stands."""
        slices = self.slices or (slice(None),) * len(shape)
        return [np.arange(size)[taken] for taken, size in zip(slices, shape, strict=True)]


class Structured:
    """An array as the sum of parts, none of which is filled in.

    ``A @ v`` is a product over the last axes, `diagonal`, `trace` and `solve` read the square array of the first half
    of the axes by the second, `dense` fills it in, `sparse` gives SciPy's matrix of the elements that are not zero by
    structure. What `numpy.asarray` gives is `dense`.

    Attributes:
        shape: the shape of the whole.
        parts: what it is the sum of.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> hessian = sb.compile([x], sb.hessian(sb.sum(x**3), x), structured=True)([1.0, 2.0, 3.0])
    >>> hessian
    <Structured (3, 3): a->aa, 3 numbers for 9>
    >>> hessian @ np.ones(3)
    array([ 6., 12., 18.])
    """

    def __init__(self, layout: Layout, arrays: Sequence[Any], *shapes: Sequence[int]) -> None:
        """Take the arrays, how they are put together, and shapes that tell the named sizes."""
        self._layout = layout
        self._arrays = arrays
        self._shapes = shapes

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return self._layout.sizes(self._shapes)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole."""
        return dims.bind(self._layout.shape, self._sizes)

    @cached_property
    def _inner(self) -> tuple[int, ...]:
        return dims.bind(self._layout.inner, self._sizes)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What it is the sum of."""
        return tuple(
            Part(
                piece.subscripts,
                tuple(self._arrays[place] for place in piece.places),
                as_slices(dims.bound(piece.runs, self._sizes)),
                piece.scale,
            )
            for piece in self._layout.pieces
        )

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the whole."""
        return np.result_type(*self._arrays)

    @property
    def nbytes(self) -> int:
        """The memory of the parts, in bytes."""
        return sum(np.asarray(array).nbytes for array in self._arrays)

    def __repr__(self) -> str:
        """Say what the parts are, and how many numbers stand for how many."""
        held = sum(map(np.size, self._arrays))
        parts = " + ".join(map(str, self.parts)).replace(" + -", " - ")
        return f"<Structured {self.shape}: {parts}, {held} numbers for {math.prod(self.shape)}>"

    def dense(self) -> Array:
        """Fill the array in."""
        out = np.zeros(self._inner, self.dtype)
        for part in self.parts:
            _add(out, part)
        return out.reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: FBT001  (NumPy says how)
        """Fill the array in, for NumPy."""
        if copy is False:
            msg = "an array that is kept as its parts cannot be had without filling it in"
            raise ValueError(msg)
        return self.dense().astype(dtype or self.dtype, copy=False)

    def __matmul__(self, other: Any) -> Array:
        """Multiply with an array over its axes: the last ones here.

        Raises:
            ShapeError: the last axes have other sizes than the array.
        """
        vector = np.asarray(other)
        kept = self.ndim - vector.ndim
        if kept < 0 or self.shape[kept:] != vector.shape:
            msg = f"the last axes of {self.shape} are not {vector.shape}"
            raise ShapeError(msg)
        cut = self._cut(kept)
        out = np.zeros(self._inner[:cut], np.result_type(self.dtype, vector))
        for part in self.parts:
            rows, columns = part.result[:cut], part.result[cut:]
            factors = (*part.arrays, vector.reshape(self._inner[cut:])[part.slices[cut:]])
            _add(out, Part(f"{part.given},{columns}->{rows}", factors, part.slices[:cut], part.scale))
        return out.reshape(self.shape[:kept])

    def diagonal(self) -> Array:
        """Give the elements whose first half of indices is the second half.

        Raises:
            ShapeError: the first half of the axes has other sizes than the second.
        """
        half = self._square()
        cut = self._cut(half)
        out = np.zeros(self._inner[:cut], self.dtype)
        for part in self.parts:
            indices = part.indices(self._inner)
            names, kept = _on_diagonal(part.result, indices, cut)
            arrays = [
                array[np.ix_(*(kept[letter] for letter in own))]
                for own, array in zip(part.given.split(","), part.arrays, strict=True)
            ]
            rows = "".join(names[letter] for letter in part.result[:cut])
            named = "".join(names.get(letter, letter) for letter in part.given)
            distinct = "".join(dict.fromkeys(rows))
            places = [index[kept[letter]] for letter, index in zip(part.result, indices[:cut], strict=False)]
            out[tuple(_along(place, distinct, name) for place, name in zip(places, rows, strict=True))] += _value(
                Part(f"{named}->{distinct}", tuple(arrays), scale=part.scale), distinct
            )
        return out.reshape(self.shape[:half])

    def trace(self) -> Any:
        """Give the sum of the diagonal.

        Raises:
            ShapeError: the first half of the axes has other sizes than the second.
        """
        return self.diagonal().sum()

    def solve(self, b: Any) -> Array:
        """Solve with a symmetric positive definite array: give x with ``self @ x = b``, as its parts allow.

        Where all parts are on the diagonal of some axes, there is a system for each index there, or one for all of
        them (a Kronecker product with an identity). A diagonal and a few products of vectors are solved with by the
        formula of Sherman, Morrison and Woodbury. What is neither is filled in.

        Raises:
            ShapeError: the first half of the axes has other sizes than the second, or than b.
            LinAlgError: the array is not positive definite, as far as rounding tells.

        >>> import symbackprop as sb
        >>> x = sb.symbol("x", "N")
        >>> f = sb.sum(sb.exp(x)) + sb.sum(x) ** 2
        >>> hessian = sb.compile([x], sb.hessian(f, x), structured=True)(np.zeros(4))
        >>> hessian.solve(np.full(4, 9.0))
        array([1., 1., 1., 1.])
        """
        half = self._square()
        vector = np.asarray(b)
        if vector.shape != self.shape[:half]:
            msg = f"the first axes of {self.shape} are not {vector.shape}"
            raise ShapeError(msg)
        cut = self._cut(half)
        right = vector.reshape(self._inner[:cut])
        if self._inner[:cut] == self._inner[cut:] and not any(part.slices for part in self.parts):
            shared = [at for at in range(cut) if all(part.result[at] == part.result[cut + at] for part in self.parts)]
            found = self._solved_in_blocks(right, shared) if shared else self._solved_by_rank(right.ravel())
            if found is not None:
                return found.reshape(vector.shape)
        return _solved(self.dense().reshape(vector.size, vector.size), vector.ravel()).reshape(vector.shape)

    def _solved_in_blocks(self, right: Array, shared: Sequence[int]) -> Array:
        """Solve a system for each index of the axes on whose diagonals all parts are."""
        cut = right.ndim
        rest = [at for at in range(cut) if at not in shared]
        sizes = [right.shape[at] if self._varies_along(at, cut) else 1 for at in shared]
        blocks = np.zeros((*sizes, *(right.shape[at] for at in rest * 2)), self.dtype)
        for part in self.parts:
            letters = "".join([part.result[at] for at in (*shared, *rest, *(cut + at for at in rest))])
            _add(blocks, part._replace(subscripts=f"{part.given}->{letters}"))
        side = math.prod(right.shape[at] for at in rest)
        blocks = blocks.reshape(*sizes, side, side)
        turned = np.transpose(right, (*shared, *rest))
        columns = turned.reshape(*turned.shape[: len(shared)], side)
        if max(sizes) == 1:
            found = _solved(blocks.reshape(side, side), columns.reshape(-1, side).T).T
        else:
            found = _solved(blocks, columns[..., None])
        return np.transpose(found.reshape(turned.shape), np.argsort([*shared, *rest]))

    def _varies_along(self, at: int, cut: int) -> bool:
        """Tell whether what is on the diagonal of an axis is not the same for all its indices."""
        return any(part.result[at] in part.given or part.result[:cut].count(part.result[at]) > 1 for part in self.parts)

    def _solved_by_rank(self, right: Array) -> Array | None:
        """Solve with ``D + U Vᵀ``, D diagonal and positive; None where the parts are not of that kind."""
        cut = len(self._inner) // 2
        rows = self._inner[:cut]
        D = np.zeros(rows, self.dtype)
        pairs: list[tuple[Array, Array]] = []
        for part in self.parts:
            if part.result[:cut] == part.result[cut:]:
                _add(D, part._replace(subscripts=f"{part.given}->{part.result[:cut]}"))
                continue
            pair = _separated(part, cut, rows)
            if pair is None:
                return None
            pairs.append(pair)
        d = D.ravel()
        U, V = (np.hstack(side) for side in zip(*pairs, strict=True))
        if not (d > 0).all() or 2 * U.shape[1] > len(d):
            return None
        scaled = U / d[:, None]
        small = np.eye(U.shape[1]) + V.T @ scaled
        if np.linalg.eigvals(small).real.min() <= len(d) * np.finfo(self.dtype).eps:
            msg = "the matrix is not positive definite"
            raise np.linalg.LinAlgError(msg)
        return right / d - scaled @ np.linalg.solve(small, V.T @ (right / d))

    def sparse(self, rows: int | None = None) -> Any:
        """Give a sparse matrix: SciPy's `coo_array` of the elements that the parts do not leave zero.

        Args:
            rows: how many of the first axes are its rows; half of them unless told.

        Raises:
            ShapeError: the parts have another number of axes.
            ImportError: there is no SciPy.
        """
        from scipy.sparse import coo_array  # noqa: PLC0415  (an extra)

        cut = self._cut(self.ndim // 2 if rows is None else rows)
        strides = [math.prod(self._inner[at + 1 :]) for at in range(len(self._inner))]
        places, values = [], []
        for part in self.parts:
            letters = "".join(dict.fromkeys(part.result))
            axes = zip(part.result, part.indices(self._inner), strides, strict=True)
            index = sum((_along(place * stride, letters, letter) for letter, place, stride in axes), np.intp(0))
            places.append(np.ravel(index))
            values.append(np.broadcast_to(_value(part, letters), np.shape(index)).ravel())
        flat, width = np.concatenate(places), math.prod(self._inner[cut:])
        found = coo_array((np.concatenate(values), np.divmod(flat, width)), (math.prod(self._inner[:cut]), width))
        found.sum_duplicates()
        return found

    def _square(self) -> int:
        half = self.ndim // 2
        if self.shape[:half] != self.shape[half:]:
            msg = f"an array of shape {self.shape} is not square"
            raise ShapeError(msg)
        return half

    def _cut(self, axes: int) -> int:
        """Give how many axes of the parts the first axes of the whole are."""
        wanted = math.prod(self.shape[:axes])
        for at in range(len(self._inner) + 1):
            if math.prod(self._inner[:at]) == wanted:
                return at
        msg = f"the parts of shape {self._inner} have no axis that ends where axis {axes} of {self.shape} begins"
        raise ShapeError(msg)


def _on_diagonal(result: str, indices: Sequence[Array], cut: int) -> tuple[dict[str, str], dict[str, Array]]:
    """Let the indices of the first axes be those of the others.

    Args:
        result: the letters of the axes.
        indices: for each axis where it stands.
        cut: how many axes are the first.

    Returns:
        For each letter the one that it becomes, and the places along it that are left.
    """
    names = {letter: letter for letter in result}
    kept = {letter: np.arange(len(index)) for letter, index in zip(result, indices, strict=True)}
    for at, (one, other) in enumerate(zip(result[:cut], result[cut:], strict=True)):
        rows, columns = indices[at][kept[one]], indices[at + cut][kept[other]]
        if names[one] == names[other]:
            ours = theirs = np.flatnonzero(rows == columns)
        else:
            _, ours, theirs = np.intersect1d(rows, columns, assume_unique=True, return_indices=True)
        mine, yours = names[one], names[other]
        for letter, name in names.items():
            if name in {mine, yours}:
                kept[letter] = kept[letter][ours if name == mine else theirs]
                names[letter] = mine
    return names, kept


def _along(values: Array, letters: str, letter: str) -> Array:
    """Give a vector the axis of a letter, among axes of size 1."""
    return values.reshape([-1 if other == letter else 1 for other in letters])


def _slice_text(taken: slice) -> str:
    ends = f"{taken.start}:{'' if taken.stop is None else taken.stop}"
    return ends if taken.step == 1 else f"{ends}:{taken.step}"


def _value(part: Part, letters: str) -> Any:
    """Compute a part with one axis for each of these letters, of size 1 where no factor has it."""
    held = "".join(letter for letter in letters if letter in part.given)
    value = np.einsum(f"{part.given}->{held}", *part.arrays, optimize=len(part.arrays) > 2)
    value = value if part.scale == 1 else value * part.scale
    return value[tuple(slice(None) if letter in held else None for letter in letters)]


def _add(out: Array, part: Part) -> None:
    """Add a part where the indices of the axes with the same letter are equal."""
    distinct = "".join(dict.fromkeys(part.result))
    view = out[part.slices or ...]
    view = np.einsum(f"{part.result}->{distinct}", view) if len(distinct) < view.ndim else view
    view += _value(part, distinct)


def _solved(matrices: Array, right: Array) -> Array:
    """Solve with symmetric matrices that are checked to be positive definite."""
    np.linalg.cholesky(matrices)
    return np.linalg.solve(matrices, right)


def _separated(part: Part, cut: int, rows: Sequence[int]) -> tuple[Array, Array] | None:
    """Give U and V with ``U Vᵀ`` the part as a matrix; None where an array has axes of rows and of columns."""
    result = part.result
    left, right = result[:cut], result[cut:]
    if len(set(result)) < len(result):
        return None
    sides: tuple[list[tuple[str, Any]], ...] = ([("", part.scale)], [("", 1.0)])
    for labels, array in zip(part.given.split(","), part.arrays, strict=True):
        sides[bool(set(labels) & set(right))].append((labels, array))
    if any(set(labels) & set(left) for labels, _ in sides[1]):
        return None
    summed = [set("".join(labels for labels, _ in side)) - set(result) for side in sides]
    common = "".join(sorted(summed[0] & summed[1]))
    found = []
    for side, axes in zip(sides, (left, right), strict=True):
        labels = ",".join(labels for labels, _ in side)
        letters = axes + common
        value = _value(Part(f"{labels}->{letters}", tuple(array for _, array in side)), letters)
        found.append(np.broadcast_to(value, (*rows, *value.shape[len(rows) :])).reshape(math.prod(rows), -1))
    return found[0], found[1]


# --- from expressions -----------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """What is known of a part before it is computed.

    Attributes:
        subscripts: those of the part.
        places: which of the arrays are its factors.
        runs: the slices that it stands in, one for each axis, or none.
        scale: a number that is a factor too.
    """

    subscripts: str
    places: tuple[int, ...]
    runs: tuple[Run, ...] = ()
    scale: float = 1.0


class Layout(NamedTuple):
    """What is known of a structured output before it is computed.

    Attributes:
        shape: the shape of the whole.
        inner: the shape of the sum of the parts; its elements in order are those of the whole.
        pieces: what is known of each part.
        telling: shapes that all the named sizes are in.
    """

    shape: Shape
    inner: Shape
    pieces: tuple[Piece, ...]
    telling: tuple[Shape, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether there is one part of one array, which has all the elements."""
        given, _, result = self.pieces[0].subscripts.partition("->")
        return len(self.pieces) == 1 and sorted(given) == sorted(result) and not self.pieces[0].runs

    def sources(self, shapes: Sequence[Shape]) -> list[int]:
        """Give which of these shapes tell the named sizes, as few as come first."""
        unknown = dims.names_of((*self.shape, *self.inner)).union(
            *(dims.names_of(run) for piece in self.pieces for run in piece.runs)
        )
        found = []
        for position, shape in enumerate(shapes):
            told = {size.name for size in shape if isinstance(size, Dim)}
            if told & unknown:
                found.append(position)
                unknown -= told
        return found

    def told_by(self, shapes: Sequence[Shape]) -> Layout:
        """Let the named sizes be told by arrays of these shapes."""
        return self._replace(telling=tuple(shapes))

    def sizes(self, shapes: Sequence[Sequence[int]]) -> dict[str, int]:
        """Give the named sizes that arrays of the telling shapes have."""
        return {
            size.name: number
            for shape, numbers in zip(self.telling, shapes, strict=True)
            for size, number in zip(shape, numbers, strict=True)
            if isinstance(size, Dim) and size.name
        }

    def filled(self, arrays: Sequence[Any], *shapes: Sequence[int]) -> Array:
        """Give the array where it is whole."""
        subscripts = self.pieces[0].subscripts
        given, _, result = subscripts.partition("->")
        array: Array = arrays[0] if given == result else np.einsum(subscripts, arrays[0])
        return array if self.shape == self.inner else array.reshape(dims.bind(self.shape, self.sizes(shapes)))


class _Factors(NamedTuple):
    """A part as expressions."""

    subscripts: str
    factors: Sequence[Expr]
    runs: tuple[Run, ...] = ()
    scale: float = 1.0


def taken_apart(expr: Expr) -> tuple[Layout, list[Expr]]:
    """Give the parts of an expression: how they are put together, and their arrays, each once."""
    whole = expr
    while expr.op is RESHAPE:
        (expr,) = expr.inputs
    inner = expr.shape
    found: list[_Factors] = []
    while expr.op is ADD_WHERE_EQUAL and len(inner) > 1:
        found.append(_on(expr.params["pattern"], expr.inputs[1], inner, expr.params["runs"]))
        expr = expr.inputs[0]
    if expr.op is SPREAD:
        found.append(_on(expr.params["pattern"], expr.inputs[0], inner, expr.params["runs"]))
    elif expr.op is DIAG and expr.ndim == 2:
        found.append(_on("aa", expr.inputs[0], inner))
    elif expr.op is EYE and inner[0] == inner[1]:
        found.append(_on("aa", literal(1.0, expr.dtype, graph=expr.graph), inner))
    elif expr.op is UNSLICE and 1 < expr.ndim <= len(ascii_lowercase):
        runs = expr.params["runs"]
        lead = tuple(Run(0, size, 1) for size in inner[: len(inner) - len(runs)])
        found += [part._replace(runs=lead + runs) for part in _sum_of_dense(expr.inputs[0])]
    elif expr.ndim <= len(ascii_lowercase):
        found += _sum_of_dense(expr)
    places: dict[Expr, int] = {}
    pieces = [
        Piece(part.subscripts, tuple(places.setdefault(each, len(places)) for each in part.factors), *part[2:])
        for part in found
    ]
    return Layout(whole.shape, inner, tuple(pieces)), list(places)


def as_slices(runs: Sequence[Any]) -> tuple[slice, ...]:
    """Give runs of known sizes as Python's slices.

    >>> as_slices([Run(1, 2, 1), Run(2, 3, -1)])
    (slice(1, 3, 1), slice(2, None, -1))
    """
    taken = [range(run.start, run.start + run.length * run.step, run.step) for run in runs]
    return tuple(
        slice(each.start, each.stop if each.stop >= 0 else None, each.step) if each else slice(0, 0) for each in taken
    )


def _on(pattern: str, block: Expr, shape: Shape, runs: tuple[Run, ...] = ()) -> _Factors:
    """Give the part with a block on a diagonal; axes along which it repeats have no letter."""
    sizes = tuple(run.length for run in runs) or shape
    letters = list(dict.fromkeys(pattern))
    own = letters[len(letters) - block.ndim :]
    single = [at for at, letter in enumerate(own) if block.shape[at] == 1 and sizes[pattern.index(letter)] != 1]
    kept = "".join(letter for at, letter in enumerate(own) if at not in single)
    return _Factors(f"{kept}->{pattern}", [squeeze(block, single) if single else block], runs)


def _sum_of_dense(expr: Expr) -> list[_Factors]:
    """Give the parts without equal indices: the terms that are products of smaller arrays, and the sum of the rest."""
    terms, waiting = [], [expr]
    while waiting:
        each = waiting.pop()
        if each.op in {add, subtract}:
            left, right = (broadcast_to(operand, expr.shape) for operand in each.inputs)
            waiting += [negative(right) if each.op is subtract else right, left]
        else:
            terms.append(each)
    parts = [_dense(term) for term in terms]
    whole = [term for term, part in zip(terms, parts, strict=True) if part.factors == [term]]
    if len(whole) == len(terms):
        return [_dense(expr)]
    found = [part for term, part in zip(terms, parts, strict=True) if term not in whole]
    return [*found, _dense(reduce(add, whole))] if whole else found


def _dense(expr: Expr) -> _Factors:
    """Give the part without equal indices: the factors, if the axes of the result are shared out among them."""
    letters = ascii_lowercase[: expr.ndim]
    factors: list[tuple[str, Expr]] = []
    scale = 1.0
    waiting = [(letters, expr)]
    while waiting:
        own, each = waiting.pop()
        if each.op is TRANSPOSE:
            turned = each.params["axes"]
            first = len(own) - len(turned)
            below = dict(zip(turned, own[first:], strict=True))
            waiting.append((own[:first] + "".join(below[axis] for axis in range(-len(turned), 0)), each.inputs[0]))
        elif each.op is EXPAND_DIMS:
            new = {axis + each.ndim for axis in each.params["axes"]}
            waiting.append(("".join(x for at, x in enumerate(own) if at not in new), each.inputs[0]))
        elif each.op is BROADCAST_TO:
            waiting.append((own[len(own) - each.inputs[0].ndim :], each.inputs[0]))
        elif each.op is multiply and not _is_elementwise(each):
            for operand in reversed(each.inputs):
                mine = own[len(own) - operand.ndim :]
                waiting.append((mine, operand))
        elif each.op is negative:
            waiting.append((own, each.inputs[0]))
            scale = -scale
        elif (number := scalar_value(each)) is not None and (factors or waiting):
            scale *= number
        else:
            single = [at for at, size in enumerate(each.shape) if size == 1]
            factors.append(("".join(x for at, x in enumerate(own) if at not in single), squeeze(each, single)))
    if any(len(labels) == expr.ndim for labels, _ in factors):
        return _Factors(f"{letters}->{letters}", [expr])
    return _Factors(
        f"{','.join(labels for labels, _ in factors)}->{letters}", [array for _, array in factors], scale=scale
    )


def _is_elementwise(product: Expr) -> bool:
    """Tell whether an operand of a product has all its axes, and the other more than none."""
    return any(operand.shape == product.shape for operand in product.inputs) and all(
        operand.ndim for operand in product.inputs
    )
