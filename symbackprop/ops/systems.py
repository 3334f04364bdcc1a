"""Square matrices: inverses and systems.

Matrices are the last two axes, so that stacks of them have leading axes. The derivatives are those of Giles (2008),
*An extended collection of matrix derivative results for forward and reverse mode algorithmic differentiation*.

>>> import symbackprop as sb
>>> A, b = sb.symbols("A[N,N] b[N]")
>>> print(sb.linalg.solve(A, b))
A⁻¹b
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, LOWEST, MULTIPLY, POWER, Case, Dtype, Form, Op, Params, apply
from symbackprop.ops.arrange import tril, triu
from symbackprop.ops.contract import matmul
from symbackprop.ops.elementwise import real
from symbackprop.ops.layout import axes_in_order, expand_dims, matrix_transpose, reshape, shape_text, squeeze, to_end
from symbackprop.ops.leaf import as_expr

__all__ = [
    "inv",
    "solve",
    "solve_triangular",
    "tensorinv",
    "tensorsolve",
]


def factored(*kinds: Any, **_: Any) -> Dtype:
    """Give the dtype of NumPy's linear algebra: integers become float64, and half precision there is none."""
    dtype: Dtype = np.result_type(*map(real, kinds))
    if dtype == np.float16:
        msg = "float16 has no linear algebra: convert with astype"
        raise DtypeError(msg)
    return dtype


def square_of(a: Shape) -> Shape:
    """Give the shape of square matrices, which it must be."""
    if len(a) < 2 or a[-1] != a[-2]:
        msg = "needs a square matrix"
        raise ShapeError(msg)
    return a


def two_squares(a: Shape, e: Shape) -> Shape:
    """Give the shape of a function of two matrices of one size, whose stacks broadcast."""
    if square_of(a)[-2:] != square_of(e)[-2:]:
        msg = "needs square matrices of one size"
        raise ShapeError(msg)
    return dims.broadcast(a[:-2], e[:-2]) + a[-2:]


def cubic(xs: tuple[Shape, ...], _y: Shape, _params: Params) -> Size:
    """Give the cost of inverting."""
    return dims.product(xs[0]) * xs[0][-1] * 2


STACKS = tuple(Case((shape,)) for shape in [(2, 2), (3, 3), (1, 1), (4, 2, 2)])


# --- inverse and systems --------------------------------------------------------------------------------------


def inv_vjp(g: Expr, y: Expr, _a: Expr) -> Expr:
    """Give ``-A⁻ᵀ g A⁻ᵀ``."""
    turned = matrix_transpose(y)
    return -matmul(matmul(turned, g), turned)


inv = Op(
    name="inv",
    doc="""Give the inverse of a square matrix, or of each of a stack.

The derivative is ``-A⁻ᵀ g A⁻ᵀ`` (Giles 2008, section 2.2.3; Matrix Cookbook, 2012, eq. 61).

>>> import symbackprop as sb
>>> X, a, b = sb.symbols("X[N,N] a[N] b[N]")
>>> print(sb.grad(a @ sb.linalg.inv(X) @ b, X))
−X⁻ᵀabᵀX⁻ᵀ
""",
    shape=square_of,
    dtype=factored,
    vjps=(inv_vjp,),
    numpy=Form("np.linalg.inv($0)"),
    defined="det(A) ≠ 0",
    text=Form("$0⁻¹", POWER, (ATOM,)),
    latex=Form("{$0}^{-1}", POWER, (ATOM,)),
    cost=cubic,
    cases=STACKS,
)


def _solve_shape(a: Shape, b: Shape) -> Shape:
    square_of(a)
    if not b or b[max(len(b) - 2, 0)] != a[-1]:
        msg = f"the right side needs {a[-1]} rows"
        raise ShapeError(msg)
    return dims.broadcast(a[:-1], b) if len(b) == 1 else dims.broadcast(a[:-2], b[:-2]) + b[-2:]


def _right_side_vjp(g: Expr, _y: Expr, a: Expr, b: Expr) -> Expr:
    turned = matrix_transpose(a)
    if b.ndim == 1 and g.ndim > 1:  # NumPy reads one axis alone as a vector
        return squeeze(solve(turned, expand_dims(g, -1)), -1)
    return solve(turned, g)


def _matrix_vjp(g: Expr, y: Expr, a: Expr, b: Expr) -> Expr:
    return _against(_right_side_vjp(g, y, a, b), y, b)


def _against(side: Expr, y: Expr, b: Expr) -> Expr:
    """Give ``-b̄ xᵀ``."""
    if b.ndim == 1:
        return -(expand_dims(side, -1) * expand_dims(y, -2))
    return -matmul(side, matrix_transpose(y))


def _solve_portable(_params: Params, shapes: tuple[Shape, ...]) -> Form:
    """Write a matrix of right sides with a leading axis where a library could take it for a stack of vectors."""
    alike = len(shapes[1]) > 1 and len(shapes[1]) == len(shapes[0]) - 1
    return Form("np.linalg.solve($0, $1[None])" if alike else "np.linalg.solve($0, $1)", ATOM, (LOWEST, ATOM * alike))


solve: Op = Op(
    name="solve",
    doc="""Solve the system ``A x = b``: give ``A⁻¹ b`` without computing the inverse.

With x̄ the cotangent of x, b̄ = A⁻ᵀ x̄ and Ā = -b̄ xᵀ (Giles 2008, section 2.3.1). One axis is one right side; of more
axes the last two are a matrix of right sides.

>>> import symbackprop as sb
>>> A, b, c = sb.symbols("A[N,N] b[N] c[N]")
>>> print(sb.linalg.solve(A, b))
A⁻¹b
>>> print(sb.grad(c @ sb.linalg.solve(A, b), b))
A⁻ᵀc
""",
    shape=_solve_shape,
    dtype=factored,
    vjps=(_matrix_vjp, _right_side_vjp),
    numpy=Form("np.linalg.solve($0, $1)"),
    defined="det(A) ≠ 0",
    portable=_solve_portable,
    text=Form("$0⁻¹$1", MULTIPLY, (ATOM, MULTIPLY)),
    latex=Form("{$0}^{-1} $1", MULTIPLY, (ATOM, MULTIPLY)),
    cost=lambda xs, y, _params: dims.product(xs[0]) * xs[0][-1] * 2 // 3 + dims.product(y) * xs[0][-1] * 2,
    cases=tuple(
        Case(shapes)
        for shapes in [
            ((2, 2), (2,)), ((3, 3), (3, 2)), ((4, 2, 2), (2,)), ((4, 2, 2), (2, 3)), ((2, 2), (4, 2, 3)),
            ((4, 2, 2), (4, 2, 1)), ((2, 2, 2), (2, 2)),
        ]
    ),
)  # fmt: skip


# --- triangular systems ---------------------------------------------------------------------------------------

_SOLVE_TRIANGULAR = '''
def solve_triangular(a, b, lower=False, unit_diagonal=False, zeros=False):
    """Solve a system with one triangle of a; the other may have zeros. Blocks of rows wait for those before them."""
    n = a.shape[-1]
    triangle, k = (np.tril, -1) if lower else (np.triu, 1)

    def solved(a, b):
        if zeros:
            return np.linalg.solve(a, b)
        return np.linalg.solve(triangle(a, k) + np.eye(a.shape[-1], dtype=a.dtype) if unit_diagonal else triangle(a), b)

    if n <= 128:
        return solved(a, b)
    columns = b[..., None] if b.ndim == 1 else b
    lead = np.broadcast_shapes(a.shape[:-2], columns.shape[:-2])
    x = np.empty((*lead, n, columns.shape[-1]), np.result_type(a, b, np.float32))
    for start in range(0, n, 64) if lower else range((n - 1) // 64 * 64, -1, -64):
        rows = slice(start, min(start + 64, n))
        known = slice(0, start) if lower else slice(rows.stop, n)
        x[..., rows, :] = solved(a[..., rows, rows], columns[..., rows, :] - a[..., rows, known] @ x[..., known, :])
    return x[..., 0] if b.ndim == 1 else x
'''
_PORTABLE_SOLVE_TRIANGULAR = '''
def solve_triangular(a, b, lower=False, unit_diagonal=False, zeros=False):
    """Solve a system with one triangle of a; the other may have zeros."""
    if zeros:
        return np.linalg.solve(a, b)
    k = int(unit_diagonal)
    a = np.tril(a, k=-k) if lower else np.triu(a, k=k)
    if unit_diagonal:
        a = a + np.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    return np.linalg.solve(a, b)
'''


def _triangular_numpy(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    named = "".join(f", {name}=True" for name in ("lower", "unit_diagonal", "zeros") if params[name])
    return Form(f"solve_triangular($0, $1{named})")


def _triangular_portable(params: Params, shapes: tuple[Shape, ...]) -> Form:
    side = _solve_portable(params, shapes)
    second = side.template.removeprefix("np.linalg.solve($0, ").removesuffix(")")
    return Form(_triangular_numpy(params, shapes).template.replace("$1", second), ATOM, side.operands)


def _triangular_latex(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    name = rf"\operatorname{{tri{'l' if params['lower'] else 'u'}}}{'_{1}' * params['unit_diagonal']}"
    return Form(rf"{name}\left($0\right)^{{-1}} $1", MULTIPLY, (LOWEST, MULTIPLY))


def _triangular_side_vjp(g: Expr, _y: Expr, a: Expr, b: Expr, *, lower: bool, **others: bool) -> Expr:
    turned, params = matrix_transpose(a), {"lower": not lower, **others}
    if b.ndim == 1 and g.ndim > 1:
        return squeeze(triangular(turned, expand_dims(g, -1), **params), -1)
    return triangular(turned, g, **params)


def _triangular_matrix_vjp(g: Expr, y: Expr, a: Expr, b: Expr, *, lower: bool, **others: bool) -> Expr:
    side = _triangular_side_vjp(g, y, a, b, lower=lower, **others)
    found, beyond = _against(side, y, b), int(others["unit_diagonal"])
    return tril(found, -beyond) if lower else triu(found, beyond)


SOLVE_TRIANGULAR: Op = Op(
    name="solve_triangular",
    doc="Solve a system with one triangle of a matrix; the other one is not read.",
    shape=lambda a, b, **_: _solve_shape(a, b),
    dtype=factored,
    vjps=(_triangular_matrix_vjp, _triangular_side_vjp),
    numpy=_triangular_numpy,
    defined="aᵢᵢ ≠ 0",
    portable=_triangular_portable,
    text=lambda params, shapes: _triangular_numpy({**params, "zeros": False}, shapes),
    latex=_triangular_latex,
    helper=_SOLVE_TRIANGULAR,
    portable_helper=_PORTABLE_SOLVE_TRIANGULAR,
    cost=lambda xs, y, _params: dims.product(y) * xs[0][-1],
    cases=(
        *(
            Case(((3, 3), (3,)), {"lower": lower, "unit_diagonal": unit})
            for lower in (False, True)
            for unit in (False, True)
        ),
        Case(((2, 2), (2, 3)), {"lower": True}),
        Case(((4, 2, 2), (2,))),
        Case(((2, 2), (4, 2, 3)), {"lower": True}),
        Case(((2, 2, 2), (2, 2))),
    ),
    options={"lower": False, "unit_diagonal": False, "zeros": False},
)


def solve_triangular(
    a: Operand,
    b: Operand,
    trans: Literal[0, 1, "N", "T"] = 0,
    lower: bool = False,  # noqa: FBT001, FBT002  (SciPy's signature)
    unit_diagonal: bool = False,  # noqa: FBT001, FBT002  (SciPy's signature)
) -> Expr:
    """Solve a triangular system ``A x = b``, by SciPy's name: the other triangle of A is not read.

    With x̄ the cotangent of x, b̄ = A⁻ᵀ x̄, and Ā is the triangle of -b̄ xᵀ (Giles 2008, section 2.3.1). Compiled code
    substitutes in blocks of 64 rows, with NumPy alone, which takes n² operations for one right side where
    ``np.linalg.solve`` takes n³.

    Args:
        a: the matrices.
        b: one axis is one right side; of more axes the last two are a matrix of right sides.
        trans: 1 or "T" for ``Aᵀ x = b``.
        lower: whether the lower triangle is read, or the upper one.
        unit_diagonal: take the diagonal for ones; it is not read then.

    Raises:
        ShapeError: the shapes do not fit.
        DtypeError: a dtype is float16.
        ArgumentError: another `trans`.

    >>> import symbackprop as sb
    >>> L, b, c = sb.symbols("L[N,N] b[N] c[N]")
    >>> print(sb.grad(c @ sb.linalg.solve_triangular(L, b, lower=True), b))
    solve_triangular(Lᵀ, c)
    """
    if trans not in {0, 1, "N", "T"}:
        msg = f"solve_triangular: trans is 0, 1, 'N' or 'T', not {trans!r}"
        raise ArgumentError(msg)
    turned = trans in {1, "T"}
    matrix = as_expr(a)
    if matrix.ndim > 1 and turned:
        matrix = matrix_transpose(matrix)
    return triangular(matrix, as_expr(b), lower=bool(lower) is not turned, unit_diagonal=bool(unit_diagonal))


def triangular(a: Expr, b: Expr, *, lower: bool, unit_diagonal: bool = False, zeros: bool = False) -> Expr:
    """Solve with one triangle of a matrix; with `zeros` the other is known to be zero, so that it may be read."""
    return apply(SOLVE_TRIANGULAR, a, b, lower=lower, unit_diagonal=unit_diagonal, zeros=zeros)


# --- tensors ----------------------------------------------------------------------------------------------------


def _as_matrix(name: str, a: Expr, rows: Shape, columns: Shape) -> Expr:
    if dims.product(rows) != dims.product(columns):
        msg = f"{name}: {shape_text(rows)} and {shape_text(columns)} have not as many elements: {a.describe()}"
        raise ShapeError(msg)
    return reshape(a, (dims.product(rows), dims.product(columns)))


def tensorsolve(a: Operand, b: Operand, axes: Sequence[int] | None = None) -> Expr:
    """Solve ``tensordot(A, x, x.ndim) = b``: a system whose unknowns and right side have several axes.

    It is `solve` of reshaped arrays, and so is its derivative.

    Args:
        a: the first axes are those of b, or have as many elements, the others those of the solution.
        b: the right side.
        axes: axes of `a` that are moved to its right first.

    Raises:
        ShapeError: the two groups of axes have not as many elements.

    >>> import symbackprop as sb
    >>> sb.linalg.tensorsolve(sb.symbol("A", (2, 3, 6)), sb.symbol("b", (2, 3))).shape
    (6,)
    """
    matrix, side = as_expr(a), as_expr(b)
    if axes is not None:
        matrix = to_end(matrix, axes_in_order("tensorsolve", matrix, axes))
    unknowns = matrix.shape[side.ndim :]
    square_one = _as_matrix("tensorsolve", matrix, matrix.shape[: side.ndim], unknowns)
    return reshape(solve(square_one, reshape(side, (dims.product(side.shape),))), unknowns)


def tensorinv(a: Operand, ind: int = 2) -> Expr:
    """Give the inverse of an array taken for a matrix, of which the first axes are the rows.

    It is `inv` of a reshaped array, and so is its derivative.

    Args:
        a: the array.
        ind: how many axes are the rows.

    Raises:
        ShapeError: the two groups of axes have not as many elements.
        ArgumentError: `ind` is no positive number.

    >>> import symbackprop as sb
    >>> sb.linalg.tensorinv(sb.symbol("A", (4, 6, 8, 3))).shape
    (8, 3, 4, 6)
    """
    array = as_expr(a)
    if ind <= 0:
        msg = f"tensorinv: ind is how many axes are the rows, not {ind}: {array.describe()}"
        raise ArgumentError(msg)
    rows, columns = array.shape[:ind], array.shape[ind:]
    return reshape(inv(_as_matrix("tensorinv", array, rows, columns)), columns + rows)
