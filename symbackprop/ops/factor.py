"""Factors of matrices: Cholesky, QR, eigenvalues, singular values, and the pseudo-inverse.

Matrices are the last two axes, so that stacks of them have leading axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import ATOM, POWER, Case, Form, Notation, Op, Params, Vjp, apply
from symbackprop.ops.arrange import tril, triu
from symbackprop.ops.contract import DIAG, matmul
from symbackprop.ops.elementwise import as_real, astype, equal, greater, maximum, not_equal, real, sign, square, where
from symbackprop.ops.index import concatenate
from symbackprop.ops.layout import axes_of, expand_dims, matrix_transpose
from symbackprop.ops.leaf import as_expr, constant, size_of
from symbackprop.ops.reduce import Axis
from symbackprop.ops.reduce import max as max_
from symbackprop.ops.reduce import sum as sum_
from symbackprop.ops.systems import STACKS, factored, solve, square_of, triangular

__all__ = [
    "cholesky",
    "eigh",
    "eigvalsh",
    "lstsq",
    "matrix_rank",
    "pinv",
    "qr",
    "svd",
    "svdvals",
]

# --- Cholesky -------------------------------------------------------------------------------------------------

HALVED: Op = Op(
    name="halved_tril",
    doc="Give the lower triangle with its diagonal halved: Φ of Murray (2016).",
    shape=square_of,
    dtype=real,
    vjps=(lambda g, _y, _x: apply(HALVED, g),),
    numpy=Form("halved_tril($0)"),
    helper='''
def halved_tril(x):
    """The lower triangle with half of the diagonal."""
    return 0.5 * (np.tril(x) + np.tril(x, -1))
''',
    text=Form("halved_tril($0)"),
    latex=Form(r"\operatorname{tril}_{1/2}\left($0\right)"),
    cases=STACKS,
)


def _cholesky_vjp(g: Expr, y: Expr, _a: Expr) -> Expr:
    part = apply(HALVED, matmul(matrix_transpose(y), g))
    turned = matrix_transpose(y)
    half = solve(turned, part + matrix_transpose(part))  # (L⁻ᵀ S L⁻¹)ᵀ = L⁻ᵀ (L⁻ᵀ S)ᵀ, S symmetric
    return apply(HALVED, solve(turned, matrix_transpose(half)))


cholesky = Op(
    name="cholesky",
    doc="""Give the lower triangular L with ``A = L Lᵀ``, of a positive definite matrix, or of each of a stack.

Like NumPy it reads the lower triangle of A alone, so the derivative is lower triangular too: ``Φ(L⁻ᵀ(P + Pᵀ)L⁻¹)``
with ``P = Φ(Lᵀ g)``, where Φ takes the lower triangle and halves the diagonal (Murray 2016, *Differentiation of the
Cholesky decomposition*, eq. 10). Where A is made of other variables as a symmetric matrix, their derivatives are right.

>>> import symbackprop as sb
>>> sb.linalg.cholesky(sb.symbol("A", ("N", "N"))).shape
(N, N)
""",
    shape=square_of,
    dtype=factored,
    vjps=(_cholesky_vjp,),
    numpy=Form("np.linalg.cholesky($0)"),
    defined="A positive definite",
    text=Form("cholesky($0)"),
    latex=Form(r"\operatorname{cholesky}\left($0\right)"),
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] // 3,
    cases=STACKS,
)


# --- sizes of oblong matrices ---------------------------------------------------------------------------------

_TALL = '''
def tall(a):
    """a itself, of which no more columns than rows are expected, since its named sizes did not tell."""
    if a.shape[-2] < a.shape[-1]:
        raise ValueError(f"a matrix with named sizes is taken to have no more columns than rows, not shape {a.shape}")
    return a
'''
_OBLONG = tuple(Case((shape,)) for shape in [(3, 2), (2, 2), (1, 1), (4, 3, 2)])
_WIDE = Case(((1, 3),))


def _smaller(a: Shape) -> Size:
    """Give the number of factors of a matrix: the smaller size, the number of columns where that cannot be told."""
    if len(a) < 2:
        msg = "needs a matrix"
        raise ShapeError(msg)
    return a[-2] if dims.is_less(*a[-2:]) else a[-1]


def _of_oblong(call: str) -> Notation:
    """Write a call with ``$0``, of which it is checked that it has the shape that was taken for granted."""

    def notation(_params: Params, shapes: tuple[Shape, ...]) -> Form:
        m, n = shapes[0][-2:]
        known = m == n or dims.is_less(m, n) or dims.is_less(n, m)
        return Form(call if known else call.replace("$0", "tall($0)"))

    return notation


# --- QR -------------------------------------------------------------------------------------------------------


def _through_q(x: Expr, m: Expr, q: Expr, r: Expr) -> Expr:
    """Give ``(x + Q copyltu(M)) R⁻ᵀ``."""
    lower = apply(HALVED, m)
    found = matmul(q, lower + matrix_transpose(lower))
    turned = matrix_transpose(found if x is q else x + found)
    return matrix_transpose(triangular(r, turned, lower=False, zeros=True))


def _q_vjp(g: Expr, y: Expr, a: Expr) -> Expr:
    return _through_q(g, -matmul(matrix_transpose(g), y), y, apply(QR_R, a))


def _r_vjp(g: Expr, y: Expr, a: Expr) -> Expr:
    q = apply(QR_Q, a)
    return _through_q(q, matmul(y, tril(matrix_transpose(g))), q, y)


def _no_wider(a: Shape) -> Shape:
    if len(a) < 2 or dims.is_less(*a[-2:]):
        msg = "needs a matrix with no more columns than rows"
        raise ShapeError(msg)
    return a


def _qr_part(name: str, doc: str, shape: Callable[[Shape], Shape], vjp: Vjp, part: int) -> Op:
    return Op(
        name=name,
        doc=doc,
        shape=shape,
        dtype=factored,
        vjps=(vjp,),
        numpy=_of_oblong(f"np.linalg.qr($0)[{part}]"),
        portable=Form(f"np.linalg.qr($0)[{part}]"),
        text=Form(f"{name}($0)"),
        latex=Form(rf"\operatorname{{qr}}\left($0\right)_{{{'QR'[part]}}}"),
        helper=_TALL,
        kink="none where the first columns depend on one another",
        cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 4,
        cases=_OBLONG,
    )


QR_Q: Op = _qr_part(
    "qr_q", "Give the factor with orthonormal columns of a matrix, of ``A = Q R``.", _no_wider, _q_vjp, 0
)
QR_R: Op = _qr_part(
    "qr_r",
    "Give the factor R of a matrix, ``A = Q R``: it is upper triangular.",
    lambda a: (*_no_wider(a)[:-2], a[-1], a[-1]),
    _r_vjp,
    1,
)


class QRResult(NamedTuple):
    """The factors of a matrix: ``A = Q R``.

    Attributes:
        Q: orthonormal columns; QᵀQ = I.
        R: upper triangular.
    """

    Q: Expr
    R: Expr


@overload
def qr(a: Operand, mode: Literal["reduced", "complete"] = "reduced") -> QRResult: ...
@overload
def qr(a: Operand, mode: Literal["r"]) -> Expr: ...
def qr(a: Operand, mode: Literal["reduced", "complete", "r"] = "reduced") -> QRResult | Expr:
    """Give the factors ``A = Q R`` of a matrix, or of each of a stack: Q has orthonormal columns, R is triangular.

    With cotangents Q̄ and R̄ that of A is ``(Q̄ + Q copyltu(M)) R⁻ᵀ`` with ``M = R R̄ᵀ - Q̄ᵀ Q``, where copyltu makes
    the lower triangle symmetric (Walter & Lehmann 2010, *Algorithmic differentiation of linear algebra functions*,
    section 3.3). A wide matrix is ``[X Y]`` with ``X = Q U`` square, so that ``R = [U QᵀY]`` (Roberts & Roberts 2020).
    The first columns, as many as there are rows, must be independent: else there is no derivative, and a division by 0.
    Where named sizes do not tell which is smaller, there are taken to be no more columns than rows; it is checked.

    Args:
        a: the matrices.
        mode: "reduced" gives as many columns of Q as A has rows or columns, whichever are fewer; "complete" the same,
            of square matrices; "r" gives R alone.

    Raises:
        ShapeError: the operand is no matrix, or, for "complete", not square: the columns to come have no derivative.
        DtypeError: its dtype is float16.
        ArgumentError: another mode.

    >>> import symbackprop as sb
    >>> Q, R = sb.linalg.qr(sb.symbol("A", (5, 3)))
    >>> Q.shape, R.shape
    ((5, 3), (3, 3))
    """
    expr = as_expr(a)
    if mode not in {"reduced", "complete", "r"}:
        msg = f"qr: mode is 'reduced', 'complete' or 'r', not {mode!r}: {expr.describe()}"
        raise ArgumentError(msg)
    if mode == "complete" and expr.ndim > 1 and expr.shape[-1] != expr.shape[-2]:
        msg = f"qr: columns beyond those of the matrix have no derivative: take mode='reduced': {expr.describe()}"
        raise ShapeError(msg)
    found = _factors(expr)
    return found.R if mode == "r" else found


def _factors(a: Expr) -> QRResult:
    if a.ndim < 2 or not dims.is_less(*a.shape[-2:]):
        return QRResult(apply(QR_Q, a), apply(QR_R, a))
    rows = a.shape[-2]
    first = a[..., :rows]
    q = apply(QR_Q, first)
    return QRResult(q, concatenate([apply(QR_R, first), matmul(matrix_transpose(q), a[..., rows:])], axis=-1))


# --- eigenvalues ----------------------------------------------------------------------------------------------

_SYMMETRIC_PART = '''
def symmetric_part(a):
    """(a + aᵀ)/2"""
    return 0.5 * a + 0.5 * np.swapaxes(a, -1, -2)
'''
_INVERSE_GAPS = '''
def inverse_gaps(w):
    """1/(w[j] - w[i]) for each i and j, and 0 where the two are equal."""
    w = 1.0 * w
    gaps = w[..., None, :] - w[..., None]
    return 1 / np.where(gaps == 0, np.inf, gaps)
'''


def _inverse_gaps_vjp(g: Expr, y: Expr, _w: Expr) -> Expr:
    part = g * y * y
    return sum_(part, axis=-1) - sum_(part, axis=-2)


INVERSE_GAPS = Op(
    name="inverse_gaps",
    doc="Give ``1/(λⱼ - λᵢ)`` for each i and j, and 0 where λᵢ and λⱼ are equal: F of Giles (2008), section 3.1.",
    shape=lambda w: (*w, w[-1]),
    dtype=real,
    vjps=(_inverse_gaps_vjp,),
    numpy=Form("inverse_gaps($0)"),
    text=Form("inverse_gaps($0)"),
    latex=Form(r"F\left($0\right)"),
    helper=_INVERSE_GAPS,
    cost=lambda _xs, y, _params: dims.product(y) * 2,
    cases=tuple(Case((shape,)) for shape in [(3,), (1,), (4, 2)]),
)


def _eigenvectors_vjp(g: Expr, y: Expr, a: Expr) -> Expr:
    turned = matrix_transpose(y)
    found = matmul(matmul(y, apply(INVERSE_GAPS, apply(EIGENVALUES, a)) * matmul(turned, g)), turned)
    return 0.5 * (found + matrix_transpose(found))


EIGENVECTORS = Op(
    name="eigenvectors",
    doc="Give the eigenvectors of the symmetric part of a matrix as columns, in ascending order of the eigenvalues.",
    shape=square_of,
    dtype=factored,
    vjps=(_eigenvectors_vjp,),
    numpy=Form("np.linalg.eigh(symmetric_part($0))[1]"),
    kink="0 for what turns vectors of equal λ into one another",
    text=Form("eigenvectors($0)"),
    latex=Form(r"\operatorname{eigenvectors}\left($0\right)"),
    helper=_SYMMETRIC_PART,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 9,
    cases=STACKS,
)


def _eigenvalues_vjp(g: Expr, _y: Expr, a: Expr) -> Expr:
    vectors = apply(EIGENVECTORS, a)
    return matmul(matmul(vectors, apply(DIAG, g)), matrix_transpose(vectors))


EIGENVALUES: Op = Op(
    name="eigvalsh",
    doc="Give the eigenvalues of the symmetric part of a matrix, in ascending order.",
    shape=lambda a: square_of(a)[:-1],
    dtype=factored,
    vjps=(_eigenvalues_vjp,),
    numpy=Form("np.linalg.eigvalsh(symmetric_part($0))"),
    text=Form("eigvalsh($0)"),
    latex=Form(r"\operatorname{eigvalsh}\left($0\right)"),
    helper=_SYMMETRIC_PART,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 4 // 3,
    cases=STACKS,
)


def eigvalsh(a: Operand, UPLO: Literal["L", "U"] | None = None) -> Expr:
    """Give the eigenvalues of a symmetric matrix, or of each of a stack, in ascending order.

    They are those of the symmetric part ``(A + Aᵀ)/2``, unless told which triangle is read: where NumPy reads one, all
    elements count here, so that the derivative of λᵢ is ``vᵢvᵢᵀ`` (Giles 2008, section 3.1; Matrix Cookbook, 2012, eq.
    67). Of an eigenvalue that occurs several times, that is the derivative along the eigenvectors that are found, one
    of many; that of a symmetric function of all of them, such as their sum, is right.

    Args:
        a: the matrices.
        UPLO: "L" or "U" for the triangle that is read, as by NumPy; the derivative is triangular then.

    Raises:
        ShapeError: the operand is no square matrix.
        DtypeError: its dtype is float16.
        ArgumentError: `UPLO` is another letter.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> print(sb.grad(sb.sum(sb.linalg.eigvalsh(X)), X))
    I
    """
    return apply(EIGENVALUES, _mirrored("eigvalsh", as_expr(a), UPLO))


class EighResult(NamedTuple):
    """The parts of a symmetric matrix: ``A = V diag(λ) Vᵀ``.

    Attributes:
        eigenvalues: λ, in ascending order.
        eigenvectors: V, whose columns they belong to; Vᵀ V = I.
    """

    eigenvalues: Expr
    eigenvectors: Expr


def eigh(a: Operand, UPLO: Literal["L", "U"] | None = None) -> EighResult:
    """Give eigenvalues and eigenvectors of a symmetric matrix, or of each of a stack.

    They are those of the symmetric part, as for `eigvalsh`, unless told which triangle is read. With ḡ the cotangent of
    V, that of A is the symmetric part of ``V (F ⊙ Vᵀḡ) Vᵀ``, where ``Fᵢⱼ = 1/(λⱼ - λᵢ)``, and 0 for i = j (Giles 2008,
    section 3.1). Where eigenvalues are equal their eigenvectors have no derivative: F is 0 there, and large where they
    are near to one another.

    Args:
        a: the matrices.
        UPLO: "L" or "U" for the triangle that is read, as by NumPy; the derivative is triangular then.

    Raises:
        ShapeError: the operand is no square matrix.
        DtypeError: its dtype is float16.
        ArgumentError: `UPLO` is another letter.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> eigenvalues, eigenvectors = sb.linalg.eigh(X)
    >>> print(sb.grad(eigenvalues[0], X))
    eigenvectors(X)[:, :1]·eigenvectors(X)[:, :1]ᵀ
    """
    expr = _mirrored("eigh", as_expr(a), UPLO)
    return EighResult(apply(EIGENVALUES, expr), apply(EIGENVECTORS, expr))


def _mirrored(name: str, a: Expr, triangle: str | None) -> Expr:
    """Give a symmetric matrix with this triangle; the matrix itself unless told."""
    if triangle is None or (triangle in {"L", "U"} and a.ndim < 2):
        return a
    if triangle not in {"L", "U"}:
        msg = f"{name}: UPLO is 'L' or 'U', not {triangle!r}: {a.describe()}"
        raise ArgumentError(msg)
    keep, beyond = (tril, -1) if triangle == "L" else (triu, 1)
    return keep(a) + matrix_transpose(keep(a, beyond))


# --- singular values ------------------------------------------------------------------------------------------


def _or_nothing(x: Expr, size: Expr) -> Expr:
    """Divide, by infinity where the size is zero."""
    return x / where(equal(size, 0), np.inf, size)


def _antisymmetric(g: Expr, u: Expr) -> Expr:
    part = matmul(matrix_transpose(u), g)
    return part - matrix_transpose(part)


def _beyond(g: Expr, u: Expr) -> Expr:
    """Give ``(I - U Uᵀ) g``, where that is not zero."""
    return g - matmul(u, matmul(matrix_transpose(u), g))


def _svd_of(a: Expr) -> tuple[Expr, Expr, Expr, Expr]:
    s = apply(SVDVALS, a)
    return apply(SVD_U, a), s, apply(SVD_VH, a), apply(INVERSE_GAPS, square(s))


def _u_vjp(g: Expr, _y: Expr, a: Expr) -> Expr:
    u, s, vh, gaps = _svd_of(a)
    row = expand_dims(s, -2)
    found = matmul(u, gaps * _antisymmetric(g, u) * row)
    if not dims.is_less(*a.shape[-2:]) and a.shape[-2] != a.shape[-1]:
        found = found + _or_nothing(_beyond(g, u), row)
    return matmul(found, vh)


def _vh_vjp(g: Expr, _y: Expr, a: Expr) -> Expr:
    u, s, vh, gaps = _svd_of(a)
    v, turned, column = matrix_transpose(vh), matrix_transpose(g), expand_dims(s, -1)
    found = matmul(column * (gaps * _antisymmetric(turned, v)), vh)
    if dims.is_less(*a.shape[-2:]):
        found = found + _or_nothing(matrix_transpose(_beyond(turned, v)), column)
    return matmul(u, found)


def _svdvals_vjp(g: Expr, y: Expr, a: Expr) -> Expr:
    return matmul(apply(SVD_U, a) * expand_dims(g * sign(y), -2), apply(SVD_VH, a))


def _svd_part(
    name: str, doc: str, shape: Callable[[Shape], Shape], vjp: Vjp, *, call: str, latex: str, kink: str
) -> Op:
    return Op(
        name=name,
        doc=doc,
        shape=shape,
        dtype=factored,
        vjps=(vjp,),
        numpy=_of_oblong(call),
        portable=Form(call),
        text=Form(f"{name}($0)"),
        latex=Form(latex),
        helper=_TALL,
        cost=lambda xs, y, _params: dims.product(xs[0]) * _smaller(xs[0]) * (14 if len(y) == len(xs[0]) else 4),
        cases=(*_OBLONG, _WIDE),
        kink=kink,
    )


_TURNED = "0 for what turns vectors of equal σ into one another, and where σ = 0"
SVD_U: Op = _svd_part(
    "svd_u",
    "Give the left singular vectors of a matrix as columns, as many as it has singular values.",
    lambda a: (*a[:-1], _smaller(a)),
    _u_vjp,
    call="np.linalg.svd($0, full_matrices=False)[0]",
    latex=r"\operatorname{svd}\left($0\right)_{U}",
    kink=_TURNED,
)
SVDVALS: Op = _svd_part(
    "svdvals",
    "Give the singular values of a matrix, in descending order.",
    lambda a: (*a[:-2], _smaller(a)),
    _svdvals_vjp,
    call="np.linalg.svdvals($0)",
    latex=r"\sigma\left($0\right)",
    kink="0 where σ = 0",
)
SVD_VH: Op = _svd_part(
    "svd_vh",
    "Give the right singular vectors of a matrix as rows, as many as it has singular values.",
    lambda a: (*a[:-2], _smaller(a), a[-1]),
    _vh_vjp,
    call="np.linalg.svd($0, full_matrices=False)[2]",
    latex=r"\operatorname{svd}\left($0\right)_{V^{\top}}",
    kink=_TURNED,
)


class SVDResult(NamedTuple):
    """The parts of a matrix: ``A = U diag(S) Vh``.

    Attributes:
        U: the left singular vectors, as columns.
        S: the singular values, in descending order.
        Vh: the right singular vectors, as rows.
    """

    U: Expr
    S: Expr
    Vh: Expr


@overload
def svd(
    a: Operand,
    full_matrices: bool = ...,  # noqa: FBT001  (NumPy's signature)
    compute_uv: Literal[True] = ...,
    hermitian: bool = ...,  # noqa: FBT001  (NumPy's signature)
) -> SVDResult: ...
@overload
def svd(a: Operand, full_matrices: bool = ..., *, compute_uv: Literal[False], hermitian: bool = ...) -> Expr: ...  # noqa: FBT001  (NumPy's signature)
def svd(
    a: Operand,
    full_matrices: bool = True,  # noqa: FBT001, FBT002  (NumPy's signature)
    compute_uv: bool = True,  # noqa: FBT001, FBT002  (NumPy's signature)
    hermitian: bool = False,  # noqa: FBT001, FBT002  (NumPy's signature)
) -> SVDResult | Expr:
    """Give the singular value decomposition ``A = U diag(S) Vh`` of a matrix, or of each of a stack.

    With F as for `eigh`, of the squares of the singular values, and cotangents Ū, S̄ and V̄ that of A is the sum of
    ``U diag(S̄) Vᵀ``, ``(U (F ⊙ (UᵀŪ - ŪᵀU)) S + (I - UUᵀ) Ū S⁻¹) Vᵀ`` and
    ``U (S (F ⊙ (VᵀV̄ - V̄ᵀV)) Vᵀ + S⁻¹ V̄ᵀ (I - VVᵀ))`` (Giles 2008, section 3.2; Wan & Zhang 2019, *Automatic
    differentiation for complex valued SVD*). Where singular values are equal, or zero, their vectors have no
    derivative: F and S⁻¹ are 0 there, and large where it is nearly so. A zero singular value has the derivative 0, as
    `abs` has.
    Where named sizes do not tell which is smaller, there are taken to be no more columns than rows; it is checked.

    Args:
        a: the matrices.
        full_matrices: must be False unless the matrix is square: the vectors beyond have no derivative.
        compute_uv: whether the vectors are wanted, or the values alone.
        hermitian: whether it is symmetric; that of the symmetric part is taken then.

    Raises:
        ShapeError: the operand is no matrix, or full matrices are asked for of one that is not square.
        DtypeError: its dtype is float16.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "D"))
    >>> U, S, Vh = sb.linalg.svd(X, full_matrices=False)
    >>> print(sb.grad(sb.sum(S), X))
    (svd_u(X) ⊙ sign(svdvals(X))) svd_vh(X)
    """
    expr = _symmetric_part(as_expr(a)) if hermitian else as_expr(a)
    if not compute_uv:
        return apply(SVDVALS, expr)
    if full_matrices and expr.ndim > 1 and expr.shape[-1] != expr.shape[-2]:
        msg = f"svd: vectors beyond the singular values have no derivative: take full_matrices=False: {expr.describe()}"
        raise ShapeError(msg)
    return SVDResult(apply(SVD_U, expr), apply(SVDVALS, expr), apply(SVD_VH, expr))


def svdvals(x: Operand) -> Expr:
    """Give the singular values of a matrix, or of each of a stack, in descending order.

    The derivative of σᵢ is ``uᵢvᵢᵀ`` (Giles 2008, section 3.2), and where σᵢ = 0 the subgradient 0. Of a value that
    occurs several times, that is the derivative along the vectors that are found, one of many; that of a symmetric
    function of all of them, such as their sum, is right.
    Where named sizes do not tell which is smaller, there are taken to be no more columns than rows; it is checked.

    Raises:
        ShapeError: the operand is no matrix.
        DtypeError: its dtype is float16.

    >>> import symbackprop as sb
    >>> sb.linalg.svdvals(sb.symbol("A", (4, 3, 2))).shape
    (4, 2)
    """
    return apply(SVDVALS, as_expr(x))


def matrix_rank(
    A: Operand,
    tol: Operand | None = None,
    hermitian: bool = False,  # noqa: FBT001, FBT002  (NumPy's signature)
    *,
    rtol: float | None = None,
) -> Expr:
    """Give how many singular values of a matrix, or of each of a stack, are not zero but for rounding.

    That is an integer, so there is no derivative. Of a vector or a number it is 1, unless all elements are zero.

    Args:
        A: the matrices.
        tol: singular values that are not above it count as zero; for a stack one for each.
        hermitian: whether it is symmetric; that of the symmetric part is taken then.
        rtol: the same over the largest singular value; the larger size times the dtype's eps unless told.

    Raises:
        DtypeError: its dtype is float16.
        ArgumentError: both `tol` and `rtol` are given.

    >>> import symbackprop as sb
    >>> print(sb.evaluate(sb.linalg.matrix_rank(sb.constant([[1.0, 2.0], [2.0, 4.0]])), {}))
    1
    """
    expr = as_expr(A)
    if tol is not None and rtol is not None:
        msg = f"matrix_rank: give tol or rtol, not both: {expr.describe()}"
        raise ArgumentError(msg)
    if expr.ndim < 2:
        return astype(greater(sum_(astype(not_equal(expr, 0), np.int64)), 0), np.int64)
    values = apply(SVDVALS, _symmetric_part(expr) if hermitian else expr)
    bound = _largest_of_zeros(values, expr, rtol) if tol is None else expand_dims(as_expr(tol), -1)
    return sum_(astype(greater(values, bound), np.int64), axis=-1)


def largest_of(sizes: Expr, axis: Axis = None, *, keepdims: bool = False) -> Expr:
    """Give the largest of numbers that are not negative: 0 of none, as NumPy's norms do."""
    axes = axes_of("max", sizes, axis)
    return (sum_ if any(sizes.shape[each] == 0 for each in axes) else max_)(sizes, axis=axis, keepdims=keepdims)


def _symmetric_part(a: Expr) -> Expr:
    return 0.5 * (a + matrix_transpose(a))


def _largest_of_zeros(values: Expr, a: Expr, rtol: float | None) -> Expr:
    """Give what singular values must be above not to count as zero."""
    largest = largest_of(values, axis=-1, keepdims=True)
    if rtol is not None:
        return largest * rtol
    rows, columns = (size_of(size, values.dtype, graph=a.graph) for size in a.shape[-2:])
    return largest * (maximum(rows, columns) * float(np.finfo(values.dtype).eps))


# --- pseudo-inverse and least squares -------------------------------------------------------------------------


def _pinv_shape(a: Shape, **_: Any) -> Shape:
    if len(a) < 2:
        msg = "needs a matrix"
        raise ShapeError(msg)
    return (*a[:-2], a[-1], a[-2])


def _pinv_vjp(g: Expr, y: Expr, a: Expr, **_: Any) -> Expr:
    turned, across = matrix_transpose(y), matrix_transpose(g)
    rows, columns = matmul(matmul(across, y), turned), matmul(turned, matmul(y, across))
    found = rows - matmul(a, matmul(y, rows)) + columns - matmul(matmul(columns, y), a)
    return found - matmul(matmul(turned, g), turned)


def _pinv_text(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    return Form("pinv($0)" if params["rtol"] == _RTOL else f"pinv($0, rtol={params['rtol']!r})")


_RTOL = 1e-15
PINV: Op = Op(
    name="pinv",
    doc="Give the pseudo-inverse of a matrix.",
    shape=_pinv_shape,
    dtype=factored,
    vjps=(_pinv_vjp,),
    numpy=lambda params, _shapes: Form(f"np.linalg.pinv($0, rtol={params['rtol']!r})"),
    text=_pinv_text,
    latex=Form("{$0}^{+}", POWER, (ATOM,)),
    kink="that of constant rank",
    cost=lambda xs, _y, _params: dims.product(xs[0]) * _smaller(xs[0]) * 16,
    cases=tuple(
        case._replace(params={"rtol": rtol}) for case in (*_OBLONG, _WIDE, Case(((2, 3),))) for rtol in (_RTOL, None)
    ),
    options={"rtol": _RTOL},
)


def pinv(a: Operand, rcond: float | None = None, hermitian: bool = False, *, rtol: float | None = _RTOL) -> Expr:  # noqa: FBT001, FBT002  (NumPy's signature)
    """Give the pseudo-inverse A⁺ of a matrix, or of each of a stack: ``A A⁺`` and ``A⁺A`` are orthogonal projections.

    With ḡ its cotangent that of A is ``-A⁺ᵀ ḡ A⁺ᵀ + (I - A A⁺) ḡᵀ A⁺A⁺ᵀ + A⁺ᵀA⁺ ḡᵀ (I - A⁺A)`` (Golub & Pereyra 1973,
    *The differentiation of pseudo-inverses and nonlinear least squares problems whose variables separate*, eq. 4.12).
    It holds where the rank does not change; where it does, the pseudo-inverse jumps.

    Args:
        a: the matrices.
        rcond: singular values that are not above that times the largest one count as zero; 1e-15 unless told.
        hermitian: whether it is symmetric; that of the symmetric part is taken then.
        rtol: the same as `rcond`; None is the larger size times the dtype's eps.

    Raises:
        ShapeError: the operand is no matrix.
        DtypeError: its dtype is float16, or one of integers and `rtol` is None.

    >>> import symbackprop as sb
    >>> sb.linalg.pinv(sb.symbol("X", ("N", "D"))).shape
    (D, N)
    """
    expr = as_real(a)
    if hermitian:
        expr = _symmetric_part(expr)
    bound = rtol if rcond is None else rcond
    if bound is None and as_expr(a).dtype.kind != "f":
        msg = f"pinv: rtol=None asks for the eps of a dtype of floats: convert with astype: {expr.describe()}"
        raise DtypeError(msg)
    return apply(PINV, expr, rtol=None if bound is None else float(bound))


class LstsqResult(NamedTuple):
    """What NumPy's `lstsq` gives.

    Attributes:
        x: the solution of least norm.
        residuals: sums of the squares of ``b - A x``, and no elements unless there are more equations than unknowns.
        rank: how many singular values of A do not count as zero.
        singular_values: those of A, in descending order.
    """

    x: Expr
    residuals: Expr
    rank: Expr
    singular_values: Expr


def lstsq(a: Operand, b: Operand, rcond: float | None = None) -> LstsqResult:
    """Solve ``A x = b`` by least squares: x = A⁺b has the least norm of all that make ‖b - A x‖ least.

    The derivative is that of `pinv` (Golub & Pereyra 1973), where the rank does not change: of full column rank
    x̄ gives b̄ = A⁺ᵀx̄ and Ā = (b - A x)(A⁺A⁺ᵀ x̄)ᵀ - b̄ xᵀ. Value and derivatives share one decomposition.
    Where the rank is less than there are unknowns NumPy gives no residuals: what they are is not known before the call,
    so here they are.

    Args:
        a: the matrices.
        b: one axis is one right side; of more axes the last two are a matrix of right sides.
        rcond: singular values that are not above that times the largest one count as zero; the larger size times the
            dtype's eps unless told.

    Raises:
        ShapeError: the shapes do not fit.
        DtypeError: a dtype is float16.

    >>> import symbackprop as sb
    >>> X, y = sb.symbols("X[N,D] y[N]")
    >>> w, residuals, rank, singular_values = sb.linalg.lstsq(X, y)
    >>> w.shape, residuals.shape, rank.dtype
    ((D,), (1,), dtype('int32'))
    """
    matrix, side = as_real(a), as_expr(b)
    if matrix.ndim < 2 or not side.ndim or side.shape[max(side.ndim - 2, 0)] != matrix.shape[-2]:
        msg = f"lstsq: the right side needs as many rows as the matrix: {matrix.describe()}, {side.describe()}"
        raise ShapeError(msg)
    x = matmul(apply(PINV, matrix, rtol=None if rcond is None else float(rcond)), side)
    values = apply(SVDVALS, matrix)
    if dims.is_less(*matrix.shape[-2:]) or matrix.shape[-1] == matrix.shape[-2]:
        residuals = constant(np.zeros(0, x.dtype))
    else:
        rest = side - matmul(matrix, x)
        residuals = sum_(square(rest), axis=-1 if side.ndim == 1 else -2, keepdims=side.ndim == 1)
    return LstsqResult(x, residuals, astype(matrix_rank(matrix, rtol=rcond), np.int32), values)
