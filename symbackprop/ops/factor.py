"""Factors of matrices: Cholesky, eigenvalues.

Matrices are the last two axes, so that stacks of them have leading axes.
"""

from __future__ import annotations

from typing import NamedTuple

from symbackprop import dims
from symbackprop.expr import Expr, Operand
from symbackprop.op import Case, Form, Op, apply
from symbackprop.ops.contract import DIAG, matmul
from symbackprop.ops.elementwise import real
from symbackprop.ops.layout import matrix_transpose
from symbackprop.ops.leaf import as_expr
from symbackprop.ops.reduce import sum as sum_
from symbackprop.ops.systems import STACKS, factored, solve, square

__all__ = ["cholesky", "eigh", "eigvalsh"]

# --- Cholesky -------------------------------------------------------------------------------------------------

HALVED: Op = Op(
    name="halved_tril",
    doc="Give the lower triangle with its diagonal halved: Φ of Murray (2016).",
    shape=square,
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
    shape=square,
    dtype=factored,
    vjps=(_cholesky_vjp,),
    numpy=Form("np.linalg.cholesky($0)"),
    text=Form("cholesky($0)"),
    latex=Form(r"\operatorname{cholesky}\left($0\right)"),
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] // 3,
    cases=STACKS,
)


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
    found = matmul(matmul(y, apply(INVERSE_GAPS, eigvalsh(a)) * matmul(turned, g)), turned)
    return 0.5 * (found + matrix_transpose(found))


EIGENVECTORS = Op(
    name="eigenvectors",
    doc="Give the eigenvectors of the symmetric part of a matrix as columns, in ascending order of the eigenvalues.",
    shape=square,
    dtype=factored,
    vjps=(_eigenvectors_vjp,),
    numpy=Form("np.linalg.eigh(symmetric_part($0))[1]"),
    text=Form("eigenvectors($0)"),
    latex=Form(r"\operatorname{eigenvectors}\left($0\right)"),
    helper=_SYMMETRIC_PART,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 9,
    cases=STACKS,
)


def _eigenvalues_vjp(g: Expr, _y: Expr, a: Expr) -> Expr:
    vectors = apply(EIGENVECTORS, a)
    return matmul(matmul(vectors, apply(DIAG, g)), matrix_transpose(vectors))


eigvalsh: Op = Op(
    name="eigvalsh",
    doc="""Give the eigenvalues of a symmetric matrix, or of each of a stack, in ascending order.

They are those of the symmetric part ``(A + Aᵀ)/2``: where NumPy reads one triangle, all elements count here, so that
the derivative of λᵢ is ``vᵢvᵢᵀ`` (Giles 2008, section 3.1; Matrix Cookbook, 2012, eq. 67). Of an eigenvalue that
occurs several times, that is the derivative along the eigenvectors that are found, one of many.

>>> import symbackprop as sb
>>> X = sb.symbol("X", ("N", "N"))
>>> print(sb.grad(sb.sum(sb.linalg.eigvalsh(X)), X))
I
""",
    shape=lambda a: square(a)[:-1],
    dtype=factored,
    vjps=(_eigenvalues_vjp,),
    numpy=Form("np.linalg.eigvalsh(symmetric_part($0))"),
    text=Form("eigvalsh($0)"),
    latex=Form(r"\operatorname{eigvalsh}\left($0\right)"),
    helper=_SYMMETRIC_PART,
    cost=lambda xs, _y, _params: dims.product(xs[0]) * xs[0][-1] * 4 // 3,
    cases=STACKS,
)


class EighResult(NamedTuple):
    """The parts of a symmetric matrix: ``A = V diag(λ) Vᵀ``.

    Attributes:
        eigenvalues: λ, in ascending order.
        eigenvectors: V, whose columns they belong to; Vᵀ V = I.
    """

    eigenvalues: Expr
    eigenvectors: Expr


def eigh(a: Operand) -> EighResult:
    """Give eigenvalues and eigenvectors of a symmetric matrix, or of each of a stack.

    They are those of the symmetric part, as for `eigvalsh`. With ḡ the cotangent of V, that of A is the symmetric part
    of ``V (F ⊙ Vᵀḡ) Vᵀ``, where ``Fᵢⱼ = 1/(λⱼ - λᵢ)``, and 0 for i = j (Giles 2008, section 3.1). Where eigenvalues are
    equal their eigenvectors have no derivative: F is 0 there, and large where they are near to one another.

    Raises:
        ShapeError: the operand is no square matrix.
        DtypeError: its dtype is float16.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "N"))
    >>> eigenvalues, eigenvectors = sb.linalg.eigh(X)
    >>> print(sb.grad(eigenvalues[0], X))
    eigenvectors(X)[:, :1]·eigenvectors(X)[:, :1]ᵀ
    """
    expr = as_expr(a)
    return EighResult(eigvalsh(expr), apply(EIGENVECTORS, expr))
