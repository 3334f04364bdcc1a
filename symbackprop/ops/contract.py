"""Sums of products: the matrix product in all its ranks, `einsum`, traces, diagonals, Kronecker products."""

from __future__ import annotations

import builtins
import operator
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size, SizeLike
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.graph import Graph, current_graph
from symbackprop.op import (
    ADD,
    ATOM,
    LOWEST,
    MINUS,
    MULTIPLY,
    Case,
    Dtype,
    Form,
    Notation,
    Op,
    Params,
    apply,
    check_dtype,
    new_expr,
)
from symbackprop.ops.elementwise import astype, equal, multiply, promoted
from symbackprop.ops.index import PORTABLE_PUT, SLICE, UNSLICE, Run, runs_text
from symbackprop.ops.layout import (
    axes_of,
    broadcast_to,
    expand_dims,
    kept_dtype,
    matrix_transpose,
    reshape,
    shape_text,
    squeeze,
    to_end,
)
from symbackprop.ops.leaf import arange, as_expr, exprs_of
from symbackprop.ops.reduce import accumulated

__all__ = [
    "diag",
    "diagonal",
    "dot",
    "einsum",
    "eye",
    "inner",
    "kron",
    "matmul",
    "outer",
    "tensordot",
    "trace",
    "vdot",
]


# --- the matrix product ---------------------------------------------------------------------------------------


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    if not a or not b:
        msg = "a scalar has no matrix product; multiply with *"
        raise ShapeError(msg)
    inner = b[-1] if len(b) == 1 else b[-2]
    if a[-1] != inner:
        msg = f"inner sizes {a[-1]} and {inner} differ"
        raise ShapeError(msg)
    return dims.broadcast(a[:-2], b[:-2]) + a[-2:-1] + (b[-1:] if len(b) > 1 else ())


def _matmul_cost(xs: tuple[Shape, ...], y: Shape, _params: Params) -> Size:
    return dims.product(y) * xs[0][-1] * 2


def _left_vjp(g: Expr, _y: Expr, a: Expr, b: Expr) -> Expr:
    if b.ndim == 1:
        column = expand_dims(g, -1) if g.ndim else g
        return column * (expand_dims(b, 0) if a.ndim > 1 else b)
    if a.ndim > 1 or b.ndim == 2:
        return matmul(g, matrix_transpose(b))
    return squeeze(matmul(expand_dims(g, -2), matrix_transpose(b)), -2)


def _right_vjp(g: Expr, _y: Expr, a: Expr, b: Expr) -> Expr:
    if a.ndim == 1:
        if b.ndim == 1:
            return (expand_dims(g, -1) if g.ndim else g) * a
        return expand_dims(a, -1) * expand_dims(g, -2)
    if b.ndim > 1:
        return matmul(matrix_transpose(a), g)
    if a.ndim == 2:
        return matmul(g, a)
    return squeeze(matmul(expand_dims(g, -2), a), -2)


matmul = Op(
    name="matmul",
    doc="""Give the matrix product ``a @ b``; leading axes broadcast, a vector is a row left, a column right.

The derivative by a is ``g @ bᵀ``, by b ``aᵀ @ g`` (Deep Learning, section 6.5.4).

>>> import symbackprop as sb
>>> X, W = sb.symbols("X[N,D] W[D,K]")
>>> sb.matmul(X, W).shape
(N, K)
""",
    shape=_matmul_shape,
    dtype=promoted,
    vjps=(_left_vjp, _right_vjp),
    numpy=Form("$0 @ $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("$0$1", MULTIPLY, (MULTIPLY, MULTIPLY)),
    latex=Form("$0 $1", MULTIPLY, (MULTIPLY, MULTIPLY)),
    cost=_matmul_cost,
    cases=tuple(
        Case(shapes)
        for shapes in [
            ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
            ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)),
            ((2, 1, 2, 3), (3, 3, 2)),
        ]
    ),
)  # fmt: skip


def dot(a: Operand, b: Operand) -> Expr:
    """Give the dot product as NumPy does: over the last axis of `a` and the last but one of `b`.

    A scalar multiplies; vectors and matrices have their matrix product. Of more axes, all those of `a` come before all
    those of `b`, where `matmul` makes pairs.

    Raises:
        ShapeError: inner sizes differ.

    >>> import symbackprop as sb
    >>> A, x, T = sb.symbols("A[M,N] x[N] T[K,N,L]")
    >>> print(sb.dot(A, x), sb.dot(x, x), sb.dot(2.0, x))
    Ax xᵀx 2x
    >>> sb.dot(A, T).shape
    (M, K, L)
    """
    left, right = exprs_of("dot", (a, b))
    if not left.ndim or not right.ndim:
        return multiply(left, right)
    if left.ndim > 1 and right.ndim > 2:
        return tensordot(left, right, (-1, -2))
    return matmul(left, right)


def inner(a: Operand, b: Operand) -> Expr:
    """Give the sum of products over the last axes of both operands; a scalar multiplies.

    Raises:
        ShapeError: the last sizes differ.

    >>> import symbackprop as sb
    >>> A, B, T = sb.symbols("A[M,N] B[K,N] T[K,L,N]")
    >>> print(sb.inner(A, B))
    ABᵀ
    >>> sb.inner(A, T).shape
    (M, K, L)
    """
    left, right = exprs_of("inner", (a, b))
    if not left.ndim or not right.ndim:
        return multiply(left, right)
    return matmul(left, right.T) if right.ndim <= 2 else tensordot(left, right, (-1, -1))


def vdot(a: Operand, b: Operand) -> Expr:
    """Give the sum of the products of all elements.

    Raises:
        ShapeError: the numbers of elements differ.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x[N] y[N]")
    >>> print(sb.vdot(x, y))
    xᵀy
    """
    left, right = exprs_of("vdot", (a, b))
    return matmul(reshape(left, -1), reshape(right, -1))


def outer(a: Operand, b: Operand) -> Expr:
    """Give the products of each element of one vector with each of another; other operands are read as vectors.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x[M] y[N]")
    >>> print(sb.outer(x, y))
    xyᵀ
    """
    left, right = (reshape(operand, -1) for operand in exprs_of("outer", (a, b)))
    return expand_dims(left, 1) * expand_dims(right, 0)


# --- the identity matrix --------------------------------------------------------------------------------------


def _eye_numpy(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    rows, columns, dtype = params["rows"], params["columns"], params["dtype"]
    sizes = f"{rows}" if rows == columns else f"{rows}, {columns}"
    return Form(f"np.eye({sizes})" if dtype == np.float64 else f"np.eye({sizes}, dtype=np.{dtype.name})")


def _eye_form(opening: str, closing: str) -> Notation:
    def notation(params: Params, _shapes: tuple[Shape, ...]) -> Form:
        rows, columns = params["rows"], params["columns"]
        return Form(f"{opening}{rows}{closing}" if rows == columns else f"{opening}{rows}, {columns}{closing}")

    return notation


EYE = Op(
    name="eye",
    doc="The identity matrix.",
    shape=lambda *, rows, columns, dtype: (rows, columns),
    dtype=lambda *, rows, columns, dtype: dtype,
    vjps=(),
    numpy=_eye_numpy,
    text=_eye_form("eye(", ")"),
    latex=_eye_form(r"\operatorname{eye}\left(", r"\right)"),
    cost=lambda _xs, _y, _params: 0,
)


def eye(
    N: SizeLike, M: SizeLike | None = None, k: int = 0, dtype: Any = "float64", *, graph: Graph | None = None
) -> Expr:
    """Give the identity matrix: ones where the row is the column, zeros elsewhere.

    Args:
        N: how many rows.
        M: how many columns; as many unless told.
        k: where the ones are: 0 is the main diagonal, 1 the one above it, -1 the one below.
        dtype: the dtype.
        graph: where it is to live; the current graph unless told.

    >>> import symbackprop as sb
    >>> print(sb.simplify(sb.symbol("A", ("M", "N")) @ sb.eye("N")))
    A
    """
    rows, columns = dims.as_shape((N, N if M is None else M))
    kind = check_dtype(dtype, "eye")
    if k:
        row, column = (arange(size, graph=graph) for size in (rows, columns))
        return astype(equal(expand_dims(row, -1) + k, column), kind)
    params = {"rows": rows, "columns": columns, "dtype": kind}
    return new_expr(current_graph() if graph is None else graph, EYE, (), params, (rows, columns), kind)


# --- trace and diagonal ---------------------------------------------------------------------------------------


def _needs_matrix(x: Shape) -> None:
    if len(x) < 2:
        msg = f"needs a matrix, not {len(x)} axes"
        raise ShapeError(msg)


def _trace_shape(x: Shape) -> Shape:
    _needs_matrix(x)
    return x[:-2]


def _trace_vjp(g: Expr, _y: Expr, x: Expr) -> Expr:
    return (expand_dims(g, (-2, -1)) if g.ndim else g) * eye(x.shape[-2], x.shape[-1], dtype=g.dtype, graph=x.graph)


TRACE = Op(
    name="trace",
    doc="Give the sum of the diagonal of the last two axes.",
    shape=_trace_shape,
    dtype=accumulated,
    vjps=(_trace_vjp,),
    numpy=lambda _params, shapes: Form(f"np.trace($0{', axis1=-2, axis2=-1' * (len(shapes[0]) > 2)})"),
    text=Form("tr($0)"),
    latex=Form(r"\operatorname{tr}\left($0\right)"),
    cost=lambda xs, _y, _params: dims.product(xs[0][:-1]),
    cases=tuple(Case((shape,)) for shape in [(3, 3), (2, 3), (3, 2), (4, 2, 2)]),
)


def _matrices(name: str, x: Operand, offset: int, axis1: int, axis2: int) -> Expr:
    """Bring the two axes of the matrices to the end, and the diagonal to their main one."""
    expr = as_expr(x)
    if expr.ndim < 2:
        msg = f"{name}: needs a matrix: {expr.describe()}"
        raise ShapeError(msg)
    pair = tuple(axes_of(name, expr, axis)[0] for axis in (axis1, axis2))
    if pair[0] == pair[1]:
        msg = f"{name}: one axis was named twice: {expr.describe()}"
        raise ShapeError(msg)
    turned = to_end(expr, pair)
    if offset == 0:
        return turned
    try:
        return apply(SLICE, turned, runs=_from_offset(turned.shape[-2], turned.shape[-1], operator.index(offset)))
    except ShapeError as error:
        msg = f"{name}: {error}: {expr.describe()}"
        raise ShapeError(msg) from None


def _from_offset(rows: Size, columns: Size, offset: int) -> tuple[Run, Run]:
    """Give the largest square block whose main diagonal is the one with this offset.

    Raises:
        ShapeError: its size depends on which of two named sizes is smaller.
    """
    rest = (rows, columns - offset) if offset > 0 else (rows + offset, columns)
    shorter = (least for least, other in (rest, rest[::-1]) if least == other or dims.is_less(least, other))
    length = rows - builtins.abs(offset) if rows == columns else next(shorter, None)
    if length is None:
        msg = f"which of {rest[0]} and {rest[1]} is smaller is not known; slice the matrix to a square first"
        raise ShapeError(msg)
    if isinstance(length, int) and length <= 0:
        return Run(0, 0, 1), Run(0, 0, 1)
    return Run(max(0, -offset), length, 1), Run(max(0, offset), length, 1)


def trace(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    """Give the sum of the diagonal. Derivative of tr(AX): Aᵀ (Matrix Cookbook, 2012, eq. 100).

    Args:
        x: a matrix, or a stack of them.
        offset: which diagonal: 0 is the main one, 1 the one above it, -1 the one below.
        axis1: the axis of the rows.
        axis2: the axis of the columns.

    Raises:
        ShapeError: the operand has fewer than two axes, an axis is out of range, or which of two named sizes is
            smaller is not known.

    >>> import symbackprop as sb
    >>> A, X = sb.symbols("A[M,N] X[N,M]")
    >>> print(sb.grad(sb.trace(A @ X), X))
    Aᵀ
    """
    return apply(TRACE, _matrices("trace", x, offset, axis1, axis2))


def _diagonal_shape(x: Shape) -> Shape:
    _needs_matrix(x)
    rows, columns = x[-2:]
    if rows == columns:
        return x[:-1]
    if isinstance(rows, int) and isinstance(columns, int):
        return (*x[:-2], min(rows, columns))
    msg = f"which of {rows} and {columns} is smaller is not known"
    raise ShapeError(msg)


def _diagonal_vjp(g: Expr, y: Expr, x: Expr) -> Expr:
    square = apply(DIAG, g)
    rows, columns = x.shape[-2:]
    if rows == columns:
        return square
    runs = (Run(0, y.shape[-1], 1),) * 2
    return apply(UNSLICE, square, runs=runs, into=(rows, columns))


DIAGONAL: Op = Op(
    name="diagonal",
    doc="Give the diagonal of the last two axes.",
    shape=_diagonal_shape,
    dtype=kept_dtype,
    vjps=(_diagonal_vjp,),
    numpy=lambda _params, shapes: Form(f"np.diagonal($0{', axis1=-2, axis2=-1' * (len(shapes[0]) > 2)}).copy()"),
    text=lambda _params, shapes: Form("diag($0)" if len(shapes[0]) == 2 else "diagonal($0, axis1=-2, axis2=-1)"),
    latex=Form(r"\operatorname{diag}\left($0\right)"),
    cost=lambda _xs, _y, _params: 0,
    cases=tuple(Case((shape,)) for shape in [(3, 3), (1, 1), (4, 2, 2)]),
)

_DIAG = '''
def diagonal_matrix(x):
    """Matrices with the last axis on their diagonals."""
    out = np.zeros((*x.shape, x.shape[-1]), x.dtype)
    np.einsum("...ii->...i", out)[...] = x
    return out
'''
_PORTABLE_DIAG = '''
def diagonal_matrix(x):
    """Matrices with the last axis on their diagonals."""
    at = np.arange(x.shape[-1], device=x.device)
    return np.where(at[:, None] == at, x[..., None], np.zeros_like(x)[..., None])
'''


def _diag_shape(x: Shape) -> Shape:
    if not x:
        msg = "a scalar has no diagonal matrix"
        raise ShapeError(msg)
    return (*x, x[-1])


DIAG: Op = Op(
    name="diag",
    doc="Give the matrix with a vector on its diagonal.",
    shape=_diag_shape,
    dtype=kept_dtype,
    vjps=(lambda g, _y, _x: apply(DIAGONAL, g),),
    numpy=Form("diagonal_matrix($0)"),
    text=lambda _params, shapes: Form("diag($0)" if len(shapes[0]) == 1 else "diagonal_matrix($0)"),
    latex=Form(r"\operatorname{diag}\left($0\right)"),
    helper=_DIAG,
    portable_helper=_PORTABLE_DIAG,
    cost=lambda _xs, _y, _params: 0,
    cases=tuple(Case((shape,)) for shape in [(3,), (1,), (2, 3)]),
)


def diagonal(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Expr:
    """Give the diagonal of a matrix, or of each of a stack.

    Args:
        x: a matrix, or a stack of them.
        offset: which diagonal: 0 is the main one, 1 the one above it, -1 the one below.
        axis1: the axis of the rows.
        axis2: the axis of the columns.

    Raises:
        ShapeError: the operand has fewer than two axes, an axis is out of range, or which of two named sizes is
            smaller is not known.

    >>> import symbackprop as sb
    >>> A = sb.symbol("A", ("N", "N"))
    >>> sb.diagonal(A).shape, sb.diagonal(A, offset=1).shape
    ((N,), (N - 1,))
    """
    return apply(DIAGONAL, _matrices("diagonal", x, offset, axis1, axis2))


def diag(v: Operand, k: int = 0) -> Expr:
    """Give the matrix with a vector on its diagonal, or the diagonal of a matrix.

    Args:
        v: a vector or a matrix.
        k: which diagonal: 0 is the main one, 1 the one above it, -1 the one below.

    Raises:
        ShapeError: the operand is no vector and no matrix.

    >>> import symbackprop as sb
    >>> x, A = sb.symbols("x[N] A[N,N]")
    >>> sb.diag(x).shape, sb.diag(A).shape
    ((N, N), (N,))
    >>> print(sb.grad(sb.sum(sb.diag(A) * x), A))
    diag(x)
    """
    expr = as_expr(v)
    if expr.ndim == 2:
        return apply(DIAGONAL, _matrices("diag", expr, k, 0, 1))
    if expr.ndim != 1:
        msg = f"diag: takes a vector or a matrix: {expr.describe()}"
        raise ShapeError(msg)
    square = apply(DIAG, expr)
    if k == 0:
        return square
    length = expr.shape[0]
    runs = (Run(max(0, -k), length, 1), Run(max(0, k), length, 1))
    return apply(UNSLICE, square, runs=runs, into=(length + builtins.abs(k),) * 2)


# --- einsum ---------------------------------------------------------------------------------------------------


def _split(subscripts: str) -> tuple[list[str], str]:
    left, _, out = subscripts.partition("->")
    return left.split(","), out


def label_sizes(terms: Sequence[str], xs: Sequence[Shape]) -> dict[str, Size]:
    """Give the size of each label.

    Raises:
        ShapeError: a label has two sizes, or an operand not as many axes as labels.
    """
    if len(terms) != len(xs):
        msg = f"{len(terms)} operands are subscripted and {len(xs)} given"
        raise ShapeError(msg)
    sizes: dict[str, Size] = {}
    for position, (term, x) in enumerate(zip(terms, xs, strict=True)):
        if len(term) != len(x):
            msg = f"operand {position} has {len(x)} axes and the labels {term!r}"
            raise ShapeError(msg)
        for label, size in zip(term, x, strict=True):
            if sizes.setdefault(label, size) != size:
                msg = f"label {label} has size {sizes[label]}, and {size} in operand {position}"
                raise ShapeError(msg)
    return sizes


def _einsum_shape(*xs: Shape, subscripts: str) -> Shape:
    terms, out = _split(subscripts)
    sizes = label_sizes(terms, xs)
    return tuple(sizes[label] for label in out)


def _einsum_cost(xs: tuple[Shape, ...], _y: Shape, params: Params) -> Size:
    terms, _ = _split(params["subscripts"])
    return dims.product(label_sizes(terms, xs).values()) * len(xs)


def _unused(labels: Iterable[str], count: int) -> list[str]:
    """Give labels that are not in use.

    Raises:
        ShapeError: the alphabet does not have so many.
    """
    taken = set(labels)
    free = [label for label in string.ascii_letters if label not in taken]
    if len(free) < count:
        msg = f"einsum has {len(string.ascii_letters)} labels, and {len(taken) + count} are needed"
        raise ShapeError(msg)
    return free[:count]


def _einsum_vjp(g: Expr, y: Expr, *xs: Expr, subscripts: str, position: int) -> Expr:
    """Give the sum over all labels that the operand lacks; a label that it repeats brings an identity matrix."""
    terms, out = _split(subscripts)
    term, x = terms[position], xs[position]
    repeats = len(term) - len(set(term))
    fresh = _unused(subscripts, repeats + g.ndim - y.ndim)
    extra = "".join(fresh[repeats:])
    factors = [g, *(other for at, other in enumerate(xs) if at != position)]
    lefts = [extra + out, *(other for at, other in enumerate(terms) if at != position)]
    wanted = ""
    for label, size in zip(term, x.shape, strict=True):
        again = fresh.pop(0) if label in wanted else label
        wanted += again
        if again != label:
            factors.append(eye(size, dtype=g.dtype, graph=x.graph))
            lefts.append(label + again)
    known = {label for left in lefts for label in left}
    kept = "".join(label for label in wanted if label in known)
    found = g if lefts == [extra + kept] else apply(EINSUM, *factors, subscripts=f"{','.join(lefts)}->{extra}{kept}")
    missing = tuple(at - len(wanted) for at, label in enumerate(wanted) if label not in known)
    whole = g.shape[: len(extra)] + x.shape
    return broadcast_to(expand_dims(found, missing), whole) if missing else found


def _einsum_numpy(params: Params, shapes: tuple[Shape, ...]) -> Form:
    subscripts = params["subscripts"]
    (first, *rest), out = _split(subscripts)
    if rest == [first] and first and len({*first}) == len(first) and out == first[:-1]:
        return Form("np.vecdot($*)")
    if rest:
        alike = all({*term} == {*first} for term in rest)  # no order to choose, and nothing that BLAS could do
        return Form(f'np.einsum("{subscripts}", $*{"" if alike else ", optimize=True"})')
    view = set(first) == set(out) and len(shapes) == 1  # NumPy gives one where nothing is summed
    return Form(f'np.einsum("{subscripts}", $*){".copy()" * view}')


def _einsum_latex(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    below = params["subscripts"].replace("->", r" \to ")
    return Form(rf"\operatorname{{einsum}}_{{{below}}}\left($*\right)")


EINSUM: Op = Op(
    name="einsum",
    doc="Sum products of elements with labelled axes over the labels that the result lacks.",
    shape=_einsum_shape,
    dtype=promoted,
    vjps=(_einsum_vjp,),
    numpy=_einsum_numpy,
    text=lambda params, _shapes: Form(f'einsum("{params["subscripts"]}", $*)'),
    latex=_einsum_latex,
    variadic=True,
    cost=_einsum_cost,
    cases=tuple(
        Case(shapes, {"subscripts": subscripts})
        for subscripts, shapes in [
            ("i->", ((3,),)), ("ij->ji", ((2, 3),)), ("ii->i", ((3, 3),)), ("ii->", ((3, 3),)),
            ("iij->j", ((2, 2, 3),)), ("iii->i", ((2, 2, 2),)), ("ij,jk->ik", ((2, 3), (3, 4))),
            ("ij,k->i", ((2, 3), (4,))),
            ("bij,bjk->bik", ((2, 2, 3), (2, 3, 2))), ("i,ij,j->", ((2,), (2, 3), (3,))),
            (",i->i", ((), (3,))),
            ("ii,ij->j", ((2, 2), (2, 3))), ("ijk,ilm->jklm", ((2, 2, 3), (2, 1, 2))),
        ]
    ),
    options={"subscripts": "->"},
)  # fmt: skip


def einsum(subscripts: Any, *operands: Any, optimize: Any = True) -> Expr:  # noqa: ARG001  (NumPy's)
    """Sum products of elements over the labels that are not in the result, as NumPy does.

    Each operand has one letter for each axis. Without ``->`` the result has, in alphabetical order, the labels that
    occur once. ``...`` stands for axes that broadcast, and an axis of size 1 is repeated as long as others with its
    label are. The derivative by an operand is an einsum again: the cotangent takes the operand's place, and the
    operand's labels are the result's.

    Args:
        subscripts: such as ``"ij,jk->ik"``; or NumPy's other form, ``einsum(A, [0, 1], B, [1, 2], [0, 2])``.
        operands: as many as there are terms.
        optimize: NumPy's choice of an order; the order is chosen here for whole formulas, so it changes nothing.

    Raises:
        ShapeError: the subscripts are not well formed, or do not fit the operands.

    >>> import symbackprop as sb
    >>> A, B = sb.symbols("A[M,N] B[N,K]")
    >>> sb.einsum("ij,jk", A, B).shape
    (M, K)
    >>> sb.einsum("...ij,...kj->...ik", sb.symbol("X", ("H", "N", "D")), sb.symbol("Y", ("M", "D"))).shape
    (H, N, M)
    """
    text, given = (subscripts, operands) if isinstance(subscripts, str) else _spelled((subscripts, *operands))
    exprs = exprs_of("einsum", given)
    try:
        terms, out = _read(text, len(exprs))
        terms, out, exprs = _without_dots(terms, out, exprs)
        terms, exprs = _without_ones(terms, exprs)
    except ShapeError as error:
        msg = f"einsum: {error}: {text!r} of {', '.join(expr.describe() for expr in exprs)}"
        raise ShapeError(msg) from None
    return apply(EINSUM, *exprs, subscripts=f"{','.join(terms)}->{out}")


def _spelled(given: tuple[Any, ...]) -> tuple[str, list[Operand]]:
    """Write operands that are each followed by a list of numbers with letters, in the order of the numbers.

    Raises:
        ArgumentError: what stands there is no such list.
    """
    pairs = len(given) // 2
    lists = [*given[1 : 2 * pairs : 2], *given[2 * pairs :]]
    numbers = sorted({label for each in lists if isinstance(each, list | tuple) for label in each if label != ...})
    known = len(numbers) <= len(string.ascii_letters) and all(isinstance(number, Integral) for number in numbers)
    if not (pairs and known and all(isinstance(each, list | tuple) for each in lists)):
        what = "the subscripts come first, as a text such as 'ij,jk->ik', or behind each operand, as a list such as"
        msg = f"einsum: {what} [0, 1]"
        raise ArgumentError(msg)
    letters = string.ascii_lowercase if len(numbers) <= len(string.ascii_lowercase) else sorted(string.ascii_letters)
    names = dict(zip(numbers, letters, strict=False))
    terms = ["".join("..." if label is ... else names[label] for label in each) for each in lists]
    text = ",".join(terms[:pairs])
    return f"{text}->{terms[pairs]}" if len(terms) > pairs else text, list(given[: 2 * pairs : 2])


_DOTS = "."  # what stands for the dots while subscripts are read: each label is one character then


def _read(subscripts: str, count: int) -> tuple[list[str], str]:
    """Take the subscripts apart and complete the implicit form.

    Raises:
        ShapeError: they are not well formed, or the number of operands is another.
    """
    left, arrow, out = "".join(subscripts.split()).replace("...", _DOTS).partition("->")
    terms = left.split(",")
    if len(terms) != count or not count:
        msg = f"{len(terms)} operands are subscripted and {count} given"
        raise ShapeError(msg)
    seen = Counter("".join(terms))
    if not arrow:
        out = _DOTS * (_DOTS in seen) + "".join(sorted(label for label in seen if seen[label] == 1 and label != _DOTS))
    for label in [*seen, *out]:
        if label not in string.ascii_letters + _DOTS:
            msg = f"{label!r} is no label; labels are letters"
            raise ShapeError(msg)
    if len(set(out)) < len(out) or any(term.count(_DOTS) > 1 for term in terms):
        msg = "a label stands twice in the result, or the dots twice in a term"
        raise ShapeError(msg)
    if _DOTS not in seen:
        out = out.replace(_DOTS, "")  # they stand for no axes
    strangers = [label for label in out if label not in seen]
    if strangers:
        msg = f"{strangers[0]} is in the result and in no operand"
        raise ShapeError(msg)
    return terms, out


def _without_dots(terms: list[str], out: str, exprs: list[Expr]) -> tuple[list[str], str, list[Expr]]:
    """Give labels to the axes that the dots stand for; an axis of size 1 that is to be repeated is dropped.

    Raises:
        ShapeError: the axes do not broadcast, or the result has no place for them.
    """
    counts = [expr.ndim - len(term) + 1 if _DOTS in term else 0 for term, expr in zip(terms, exprs, strict=True)]
    most = max(counts)
    if min(counts) < 0:
        msg = "an operand has fewer axes than labels"
        raise ShapeError(msg)
    if most and _DOTS not in out:
        msg = "the result has no ... for the axes that the dots stand for"
        raise ShapeError(msg)
    labels = "".join(_unused("".join(terms), most))
    at = [term.find(_DOTS) for term in terms]
    leads = [expr.shape[start : start + count] for start, count, expr in zip(at, counts, exprs, strict=True)]
    whole = dims.broadcast(*leads)
    filled, kept = [], []
    for term, expr, start, lead in zip(terms, exprs, at, leads, strict=True):
        skipped = most - len(lead)
        single = [axis for axis, size in enumerate(lead) if size == 1 and whole[skipped + axis] != 1]
        own = "".join(label for axis, label in enumerate(labels[skipped:]) if axis not in single)
        filled.append(term.replace(_DOTS, own))
        kept.append(squeeze(expr, tuple(start + axis for axis in single)) if single else expr)
    return filled, out.replace(_DOTS, labels), kept


def _without_ones(terms: list[str], exprs: list[Expr]) -> tuple[list[str], list[Expr]]:
    """Drop axes of size 1 whose label has another size elsewhere: they are repeated.

    Raises:
        ShapeError: an operand has axes of both sizes with that label.
    """
    sizes: dict[str, set[Size]] = {}
    for term, expr in zip(terms, exprs, strict=True):
        for label, size in zip(term, expr.shape, strict=False):
            sizes.setdefault(label, set()).add(size)
    repeated = {label for label, found in sizes.items() if 1 in found and len(found) > 1}
    if not repeated:
        return terms, exprs
    filled, kept = [], []
    for term, expr in zip(terms, exprs, strict=True):
        ones = [axis for axis, label in enumerate(term) if label in repeated and expr.shape[axis] == 1]
        dropped = {term[axis] for axis in ones}
        if any(term[axis] in dropped for axis in range(len(term)) if axis not in ones):
            msg = f"one operand has axes of size 1 and of another with the same label in {term!r}"
            raise ShapeError(msg)
        filled.append("".join(label for label in term if label not in dropped))
        kept.append(squeeze(expr, ones) if ones else expr)
    return filled, kept


def tensordot(a: Operand, b: Operand, axes: int | Sequence[int | Sequence[int]] = 2) -> Expr:
    """Sum products over axes of two operands, as NumPy does.

    Args:
        a: the left operand, whose other axes come first in the result.
        b: the right operand.
        axes: how many, the last of `a` with the first of `b`; or those of `a` and those of `b`.

    Raises:
        ShapeError: an axis is out of range, or sizes differ.

    >>> import symbackprop as sb
    >>> A, B = sb.symbols("A[M,N,K] B[N,K,L]")
    >>> sb.tensordot(A, B).shape, sb.tensordot(A, B, axes=([1, 2], [0, 1])).shape
    ((M, L), (M, L))
    """
    left, right = exprs_of("tensordot", (a, b))
    pairs: Sequence[int | Sequence[int]]
    pairs = axes if isinstance(axes, Sequence) else (range(left.ndim - axes, left.ndim), range(axes))
    ours, theirs = (
        [axes_of("tensordot", expr, axis)[0] + expr.ndim for axis in (part if isinstance(part, Sequence) else [part])]
        for expr, part in zip((left, right), pairs, strict=True)
    )
    if len(ours) != len(theirs):
        msg = f"tensordot: {len(ours)} axes of {left.describe()} and {len(theirs)} of {right.describe()}"
        raise ShapeError(msg)
    letters = _unused((), left.ndim + right.ndim)
    mine, yours = letters[: left.ndim], letters[left.ndim :]
    for one, other in zip(ours, theirs, strict=True):
        yours[other] = mine[one]
    out = [label for axis, label in enumerate(mine) if axis not in ours]
    out += [label for axis, label in enumerate(yours) if axis not in theirs]
    return apply(EINSUM, left, right, subscripts=f"{''.join(mine)},{''.join(yours)}->{''.join(out)}")


# --- blocks where indices are equal ---------------------------------------------------------------------------

_SPREAD = '''
def spread(block, subscripts, shape, index=...):
    """Zeros of a shape, with a block where the indices with the same letter are equal, of a slice of it."""
    out = np.zeros(shape, block.dtype)
    np.einsum(subscripts, out[index])[...] = block
    return out
'''

_ADD_WHERE_EQUAL = '''
def add_where_equal(y, subscripts, block, index=...):
    """Add a block to a slice of y, or to those of its elements whose indices with the same letter are equal."""
    part = np.einsum(subscripts, y[index]) if subscripts else y[index]
    part += block
    return y
'''
_PORTABLE_SPREAD = f'''{PORTABLE_PUT}
def spread(block, subscripts, shape, index=()):
    """Zeros of a shape, with a block where the indices with the same letter are equal, of a slice of it."""
    pattern, letters = subscripts.split("->")
    sizes = [len(range(size)[part]) for size, part in zip(shape, index)] + list(shape[len(index) :])
    own = dict(zip(letters, (1,) * (len(letters) - len(block.shape)) + tuple(block.shape)))
    out = np.reshape(block, tuple(1 if label in pattern[:at] else own[label] for at, label in enumerate(pattern)))
    zero = np.zeros_like(out)
    for at, label in enumerate(pattern):
        if label in pattern[:at]:
            places = np.arange(sizes[at], device=block.device)
            first = pattern.index(label)
            row = np.reshape(places, tuple(-1 if axis == first else 1 for axis in range(len(pattern))))
            column = np.reshape(places, tuple(-1 if axis == at else 1 for axis in range(len(pattern))))
            out = np.where(row == column, out, zero)
    out = np.broadcast_to(out, tuple(sizes))
    return put(out, shape, index) if index else out
'''

_PORTABLE_ADD_WHERE_EQUAL = f'''{_PORTABLE_SPREAD}
def add_where_equal(y, subscripts, block, index=()):
    """Add a block to the elements of y, or of a slice of it, whose indices with the same letter are equal."""
    return y + spread(block, subscripts, y.shape, index)
'''


def _shape_where_equal(shape: Shape, pattern: str) -> Shape:
    """Give the shape of the elements whose indices with the same letter are equal.

    Raises:
        ShapeError: axes with the same letter have different sizes, or there are fewer axes than letters.
    """
    if len(shape) != len(pattern):
        msg = f"{len(shape)} axes do not fit the pattern {pattern!r}"
        raise ShapeError(msg)
    return tuple(label_sizes([pattern], [shape])[label] for label in dict.fromkeys(pattern))


def _taken(shape: Shape, runs: tuple[Run, ...]) -> Shape:
    """Give the shape of the slice that a block is put in, which is the whole unless there are runs."""
    return tuple(run.length for run in runs) or shape


def _spread_shape(block: Shape, *, pattern: str, shape: Shape, runs: tuple[Run, ...]) -> Shape:
    whole = _shape_where_equal(_taken(shape, runs), pattern)
    if dims.broadcast(block, whole) != whole:
        msg = f"the block does not broadcast to {shape_text(whole)}"
        raise ShapeError(msg)
    return shape


def _view(pattern: str) -> str:
    return f'"{pattern}->{"".join(dict.fromkeys(pattern))}"'


def _elements(g: Expr, pattern: str, runs: tuple[Run, ...]) -> Expr:
    """Give the elements of a cotangent, or of a slice of it, whose indices with the same letter are equal."""
    g = apply(SLICE, g, runs=runs) if runs else g
    extra = "".join(_unused(pattern, g.ndim - len(pattern)))
    return apply(EINSUM, g, subscripts=f"{extra}{pattern}->{extra}{''.join(dict.fromkeys(pattern))}")


def _index(runs: tuple[Run, ...], shape: Shape) -> str:
    return f", np.s_[{runs_text(runs, shape)}]" if runs else ""


def _spread_numpy(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    shape = params["shape"]
    return Form(f"spread($0, {_view(params['pattern'])}, {shape_text(shape)}{_index(params['runs'], shape)})")


def _add_numpy(params: Params, shapes: tuple[Shape, ...]) -> Form:
    owned = params["owned"]
    index = _index(params["runs"], shapes[0])
    pattern = params["pattern"]
    view = _view(pattern) if len({*pattern}) < len(pattern) else "None"
    template = f"add_where_equal($0{'' if owned else '.copy()'}, {view}, $1{index})"
    return Form(template, ATOM, (LOWEST if owned else ATOM,))


def _with_identities(block: Shape, shape: Shape, params: Params, place: str) -> str:
    """Write a block among zeros as a product with identities, put in a slice, in the words of formulas."""
    pattern, runs = params["pattern"], params["runs"]
    inside = _taken(shape, runs)
    fresh = iter(_unused(pattern, len(pattern)))
    known: set[str] = set()
    axes, identities, names = "", [], []
    for label, size in zip(pattern, inside, strict=True):
        other = next(fresh) if label in known else label
        known.add(label)
        axes += other
        if other != label:
            identities.append(f"eye({size})")
            names.append(label + other)
    whole = _shape_where_equal(inside, pattern)
    if block != whole and (runs or names):
        place = f"broadcast_to({place}, {shape_text(whole)})"
    if names:
        letters = ",".join([*names, "".join(dict.fromkeys(pattern))])
        place = f'einsum("{letters}->{axes}", {", ".join([*identities, place])})'
    return f"put({place}, {shape_text(shape)}, [{runs_text(runs, shape)}])" if runs else place


SPREAD = Op(
    name="spread",
    doc="Put a block where the indices of axes with the same letter are equal, among zeros.",
    shape=_spread_shape,
    dtype=kept_dtype,
    vjps=(lambda g, _y, _block, *, pattern, runs, **_: _elements(g, pattern, runs),),
    numpy=_spread_numpy,
    text=lambda params, shapes: Form(_with_identities(shapes[0], params["shape"], params, "$0")),
    latex=lambda params, _shapes: Form(rf"\operatorname{{spread}}_{{{params['pattern']}}}\left($0\right)"),
    helper=_SPREAD,
    portable_helper=_PORTABLE_SPREAD,
    cost=lambda xs, _y, _params: dims.product(xs[0]),
    cases=(
        Case(((2, 3, 3),), {"pattern": "ijik", "shape": (2, 3, 2, 3), "runs": ()}),
        Case(((1,),), {"pattern": "ii", "shape": (3, 3), "runs": ()}),
        Case(((),), {"pattern": "ii", "shape": (2, 2), "runs": ()}),
        Case(((2,),), {"pattern": "ii", "shape": (3, 4), "runs": (Run(1, 2, 1), Run(3, 2, -2))}),
    ),
    options={"pattern": "", "shape": (), "runs": ()},
)
"""Zeros with a block; where there are `runs`, one for each axis, the block is put in the slice that they take."""


def _sum_shape(y: Shape, block: Shape, *, pattern: str, runs: tuple[Run, ...], **_: Any) -> Shape:
    return _spread_shape(block, pattern=pattern, shape=y, runs=runs)


def _sum_dtype(y: Any, block: Any, **_: Any) -> Dtype:
    dtype = kept_dtype(y)
    if promoted(y, block) != dtype:
        msg = f"what is added to {dtype} must fit into it"
        raise DtypeError(msg)
    return dtype


ADD_WHERE_EQUAL = Op(
    name="add_where_equal",
    doc="Add a block to the elements whose indices on axes with the same letter are equal.",
    shape=_sum_shape,
    dtype=_sum_dtype,
    vjps=(
        lambda g, *_, **__: g,
        lambda g, _y, _dense, _block, *, pattern, runs, **_: _elements(g, pattern, runs),
    ),
    numpy=_add_numpy,
    portable=lambda params, shapes: Form(
        f"add_where_equal($0, {_view(params['pattern'])}, $1{_index(params['runs'], shapes[0])})"
    ),
    text=lambda params, shapes: Form(
        f"$0 + {_with_identities(shapes[1], shapes[0], params, '$1')}", ADD, (ADD, LOWEST)
    ),
    latex=lambda params, _shapes: Form(rf"\operatorname{{add}}_{{{params['pattern']}}}\left($0, $1\right)"),
    helper=_ADD_WHERE_EQUAL,
    portable_helper=_PORTABLE_ADD_WHERE_EQUAL,
    cost=lambda xs, _y, _params: dims.product(xs[1]),
    cases=(
        Case(((2, 3, 2, 3), (2, 3, 3)), {"pattern": "ijik", "owned": False, "runs": ()}),
        Case(((3, 3), (1,)), {"pattern": "ii", "owned": False, "runs": ()}),
        Case(((3, 4), (1,)), {"pattern": "ij", "owned": False, "runs": (Run(0, 3, 1), Run(1, 2, 2))}),
    ),
    options={"pattern": "", "owned": False, "runs": ()},
)
"""The sum of a tensor and a block on one of its diagonals; where it is `owned`, the tensor's memory is the sum's."""


# --- Kronecker product ----------------------------------------------------------------------------------------


def _kron_shape(a: Shape, b: Shape) -> Shape:
    if len(a) != len(b) or len(a) not in {1, 2}:
        msg = "takes two vectors or two matrices; the function kron takes any arrays"
        raise ShapeError(msg)
    return tuple(dims.product(pair) for pair in zip(a, b, strict=True))


def _blocks(g: Expr, y: Expr, a: Expr, b: Expr) -> Expr:
    """Give the cotangent with an axis for each axis of both operands: a's first axis, b's first, and so on."""
    pairs = [size for pair in zip(a.shape, b.shape, strict=True) for size in pair]
    return reshape(g, (*g.shape[: g.ndim - y.ndim], *pairs))


def _kron_left_vjp(g: Expr, y: Expr, a: Expr, b: Expr) -> Expr:
    blocks = _blocks(g, y, a, b)
    return matmul(blocks, b) if a.ndim == 1 else einsum("...ikjl,kl->...ij", blocks, b)


def _kron_right_vjp(g: Expr, y: Expr, a: Expr, b: Expr) -> Expr:
    blocks = _blocks(g, y, a, b)
    return matmul(a, blocks) if a.ndim == 1 else einsum("...ikjl,ij->...kl", blocks, a)


KRON = Op(
    name="kron",
    doc="Give the Kronecker product of two vectors or two matrices.",
    shape=_kron_shape,
    dtype=promoted,
    vjps=(_kron_left_vjp, _kron_right_vjp),
    numpy=Form("np.kron($0, $1)"),
    text=Form("$0 ⊗ $1", MINUS, (MULTIPLY, MULTIPLY)),
    latex=Form(r"$0 \otimes $1", MINUS, (MULTIPLY, MULTIPLY)),
    cases=tuple(Case(shapes) for shapes in [((2,), (3,)), ((2, 3), (3, 2)), ((1, 2), (2, 2))]),
)


def kron(a: Operand, b: Operand) -> Expr:
    """Give the Kronecker product: each element of `a` times the whole of `b`, as blocks.

    (A ⊗ B)ᵢₖ,ⱼₗ = Aᵢⱼ Bₖₗ, so the derivative by A sums the blocks of the cotangent against B, and the other way round.
    Of vectors and matrices it is an operation of its own; of more axes, and of scalars, it is multiplied and reshaped.

    Args:
        a: an array.
        b: likewise; the one with fewer axes has leading axes of size 1.

    >>> import symbackprop as sb
    >>> A, B = sb.symbols("A[M,N] B[P,Q]")
    >>> print(sb.kron(A, B), sb.kron(A, B).shape)
    A ⊗ B (M*P, N*Q)
    """
    left, right = exprs_of("kron", (a, b))
    rank = max(left.ndim, right.ndim)
    if not left.ndim or not right.ndim:
        return multiply(left, right)
    left, right = (expand_dims(each, range(rank - each.ndim)) for each in (left, right))
    if rank <= 2:
        return apply(KRON, left, right)
    pairs = expand_dims(left, range(1, 2 * rank, 2)) * expand_dims(right, range(0, 2 * rank, 2))
    return reshape(pairs, [dims.product(pair) for pair in zip(left.shape, right.shape, strict=True)])
