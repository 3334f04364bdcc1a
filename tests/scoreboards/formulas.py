"""Printed derivatives against the best that are known by hand: published, or derived on paper.

The length of a formula is the number of its symbols, numbers and operators: each name, each number, each product
that is written, with a sign or without, each transpose, power and function counts one; brackets count nothing.

Rows from *The Matrix Cookbook* (Petersen and Pedersen, version of 2012-11-15) bear the numbers of its equations, or of
the section where an equation stands for many. Each derivative of a scalar by a vector or by a matrix in its chapter 2
has a row; `NO_ROWS` says of every other equation why it has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import symbackprop as sb

SHAPES = "A[N,N] B[N,N] C[N,N] D[N,N] W[N,N] X[N,N] a[N] b[N] c[N] d[N] s[N] x[N] t"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Row(NamedTuple):
    """One derivative of a scalar.

    Attributes:
        source: where it comes from.
        z: the scalar, in symbackprop's Python.
        by: the variable.
        hand: the best formula by hand, in our notation.
        printed: what is printed, where that is another.
        shapes: symbols of other shapes than in `SHAPES`.
        facts: what is declared of symbols: the name of a fact, or several with their values.
    """

    source: str
    z: str
    by: str
    hand: str
    printed: str = ""
    shapes: str = ""
    facts: Mapping[str, str | Mapping[str, float]] = _NOTHING


def _symmetric(names: str) -> dict[str, str]:
    return dict.fromkeys(names, "symmetric")


def _definite(names: str) -> dict[str, str]:
    return dict.fromkeys(names, "positive_definite")


COOKBOOK = (
    # 2, rules of differentials
    Row("Cookbook 43", "log(det(A + t * B))", "t", "tr((A + tB)⁻¹B)"),
    # 2.1, determinants
    Row("Cookbook 46", "det(A + t * B)", "t", "det(A + tB)·tr((A + tB)⁻¹B)"),
    Row("Cookbook 49", "det(X)", "X", "det(X)·X⁻ᵀ"),
    Row("Cookbook 51", "det(A @ X @ B)", "X", "det(AXB)·X⁻ᵀ"),
    Row("Cookbook 52", "det(X.T @ A @ X)", "X", "2 det(XᵀAX)·X⁻ᵀ"),
    Row("Cookbook 53", "det(X.T @ A @ X)", "X", "2 det(XᵀAX)·AX(XᵀAX)⁻¹", "", "X[N,M]", _symmetric("A")),
    Row("Cookbook 54", "det(X.T @ A @ X)", "X", "det(XᵀAX)·(AX(XᵀAX)⁻¹ + AᵀX(XᵀAX)⁻ᵀ)", "", "X[N,M]"),
    Row("Cookbook 55", "log(det(X.T @ X))", "X", "2X(XᵀX)⁻¹", "", "X[N,M]"),
    Row(
        "Cookbook 56",
        "log(det((P.T @ inv(P @ P.T)).T @ (P.T @ inv(P @ P.T))))",
        "P",
        "−2(PPᵀ)⁻¹P",
        "",
        "P[M,N]",
    ),
    Row("Cookbook 57", "log(abs(det(X)))", "X", "X⁻ᵀ"),
    Row("Cookbook 57", "log(det(X))", "X", "X⁻ᵀ"),
    Row("Cookbook 57", "slogdet(X).logabsdet", "X", "X⁻ᵀ"),
    Row("Cookbook 58", "det(X @ X @ X)", "X", "3 det(XXX)·X⁻ᵀ"),
    Row("Cookbook 58", "det(matrix_power(X, 3))", "X", "3 det(matrix_power(X, 3))·X⁻ᵀ", "3 det(X)³X⁻ᵀ"),
    Row("Cookbook 58", "det(matrix_power(X, 10))", "X", "10 det(matrix_power(X, 10))·X⁻ᵀ", "10 det(X)¹⁰X⁻ᵀ"),
    # 2.2, inverses
    Row("Cookbook 61", "a @ inv(X) @ b", "X", "−X⁻ᵀabᵀX⁻ᵀ"),
    Row("Cookbook 62", "det(inv(X))", "X", "−det(X⁻¹)·X⁻ᵀ", "−X⁻ᵀ/det(X)"),
    Row("Cookbook 63, 124", "trace(A @ inv(X) @ B)", "X", "−(X⁻¹BAX⁻¹)ᵀ"),
    Row("Cookbook 64", "trace(inv(X + A))", "X", "−((X + A)⁻¹(X + A)⁻¹)ᵀ", "−(X + A)⁻ᵀ(X + A)⁻ᵀ"),
    Row("Cookbook 2.2", "sum(exp(inv(A)))", "A", "−A⁻ᵀ exp(A⁻¹)·A⁻ᵀ"),
    # 2.3, eigenvalues, which are real where the matrix is symmetric
    Row("Cookbook 65", "sum(eigvalsh(X))", "X", "I"),
    Row("Cookbook 66", "prod(eigvalsh(X))", "X", "det(X)·X⁻¹", "", "", _symmetric("X")),
    Row("Cookbook 67", "eigvalsh(X)[0]", "X", "eigenvectors(X)[:, :1]·eigenvectors(X)[:, :1]ᵀ"),
    Row("Cookbook 67", "a @ eigvalsh(X)", "X", "eigenvectors(X)·diag(a)·eigenvectors(X)ᵀ"),
    Row(
        "Cookbook 68",
        "a @ eigh(X).eigenvectors[:, 0]",
        "X",
        "½(eigenvectors(X)·(inverse_gaps(eigvalsh(X))[:, :1] ⊙ eigenvectors(X)ᵀa[:, None])·eigenvectors(X)[:, :1]ᵀ + "
        "eigenvectors(X)[:, :1]·(eigenvectors(X)·(inverse_gaps(eigvalsh(X))[:, :1] ⊙ eigenvectors(X)ᵀa[:, None]))ᵀ)",
        "½(UVᵀ + VUᵀ)\n"
        "  where U = eigenvectors(X)·(inverse_gaps(eigvalsh(X))[:, :1] ⊙ eigenvectors(X)ᵀa[:, None])\n"
        "        V = eigenvectors(X)[:, :1]",
    ),
    # 2.4, forms of first, second and higher order
    Row("Cookbook 69", "x @ a", "x", "a"),
    Row("Cookbook 69", "a @ x", "x", "a"),
    Row("Cookbook 70", "a @ X @ b", "X", "abᵀ"),
    Row("Cookbook 71", "a @ X.T @ b", "X", "baᵀ"),
    Row("Cookbook 72", "a @ X @ a", "X", "aaᵀ"),
    Row("Cookbook 72", "a @ X.T @ a", "X", "aaᵀ"),
    Row("Cookbook 76", "sum(X)**2", "X", "broadcast_to(2 sum(X), (N, N))"),
    Row("Cookbook 2.4.2", "sum(X @ X.T)", "X", "2 broadcast_to(1, (N, N))·X"),
    Row("Cookbook 77", "b @ X.T @ X @ c", "X", "X(bcᵀ + cbᵀ)", "X(cbᵀ + bcᵀ)"),
    Row("Cookbook 78", "(B @ x + b) @ C @ (D @ x + d)", "x", "BᵀC(Dx + d) + DᵀCᵀ(Bx + b)"),
    Row("Cookbook 81", "x @ B @ x", "x", "(B + Bᵀ)x"),
    Row("Cookbook 81", "x @ B @ x", "x", "2Bx", "", "", _symmetric("B")),
    Row("Cookbook 82", "b @ X.T @ D @ X @ c", "X", "DᵀXbcᵀ + DXcbᵀ", "DXcbᵀ + DᵀXbcᵀ"),
    Row("Cookbook 83", "(X @ b + c) @ D @ (X @ b + c)", "X", "(D + Dᵀ)(Xb + c)bᵀ"),
    Row("Cookbook 84", "(x - A @ s) @ W @ (x - A @ s)", "s", "−2AᵀW(x − As)", "2AᵀW(As − x)", "", _symmetric("W")),
    Row("Cookbook 85", "(x - s) @ W @ (x - s)", "x", "2W(x − s)", "", "", _symmetric("W")),
    Row("Cookbook 86", "(x - s) @ W @ (x - s)", "s", "−2W(x − s)", "2W(s − x)", "", _symmetric("W")),
    Row("Cookbook 87", "(x - A @ s) @ W @ (x - A @ s)", "x", "2W(x − As)", "", "", _symmetric("W")),
    Row("Cookbook 88", "(x - A @ s) @ W @ (x - A @ s)", "A", "−2W(x − As)sᵀ", "2W(As − x)sᵀ", "", _symmetric("W")),
    Row("Cookbook 91", "a @ X @ X @ b", "X", "abᵀXᵀ + Xᵀabᵀ", "a(Xb)ᵀ + Xᵀabᵀ"),
    Row(
        "Cookbook 91",
        "a @ matrix_power(X, 3) @ b",
        "X",
        "abᵀ(XX)ᵀ + XᵀabᵀXᵀ + (XX)ᵀabᵀ",
        "(abᵀXᵀ + Xᵀabᵀ)Xᵀ + (XX)ᵀabᵀ",
    ),
    Row(
        "Cookbook 91",
        "a @ matrix_power(X, 4) @ b",
        "X",
        "abᵀ(XXX)ᵀ + Xᵀabᵀ(XX)ᵀ + (XX)ᵀabᵀXᵀ + (XXX)ᵀabᵀ",
        "((abᵀXᵀ + Xᵀabᵀ)Xᵀ + XᵀXᵀabᵀ)Xᵀ + (XXX)ᵀabᵀ",
    ),
    Row(
        "Cookbook 92",
        "a @ matrix_power(X, 3).T @ matrix_power(X, 3) @ b",
        "X",
        "XXX(baᵀ + abᵀ)(XX)ᵀ + XᵀXXX(baᵀ + abᵀ)Xᵀ + (XX)ᵀXXX(baᵀ + abᵀ)",
        "(XXX(baᵀ + abᵀ)Xᵀ + XᵀXXX(baᵀ + abᵀ))Xᵀ + (XX)ᵀXXX(baᵀ + abᵀ)",
    ),
    Row(
        "Cookbook 93",
        "sin(x) @ A @ exp(x)",
        "x",
        "cos(x) ⊙ A exp(x) + exp(x) ⊙ Aᵀ sin(x)",
        "A exp(x) ⊙ cos(x) + Aᵀ sin(x) ⊙ exp(x)",
    ),
    Row("Cookbook 92", "a @ X.T @ X @ b", "X", "X(abᵀ + baᵀ)", "X(baᵀ + abᵀ)"),
    Row("Cookbook 92", "a @ (X @ X).T @ X @ X @ b", "X", "XX(baᵀ + abᵀ)Xᵀ + XᵀXX(baᵀ + abᵀ)"),
    Row(
        "Cookbook 92",
        "a @ X.T @ X.T @ X @ X @ b",
        "X",
        "XX(abᵀ + baᵀ)Xᵀ + XᵀXX(abᵀ + baᵀ)",
        "XᵀXX(baᵀ + abᵀ) + XX(baᵀ + abᵀ)Xᵀ",
    ),
    Row(
        "Cookbook 94, 95",
        "(A @ x) @ (A @ x) / ((B @ x) @ (B @ x))",
        "x",
        "2AᵀAx/(xᵀBᵀBx) − 2xᵀAᵀAxBᵀBx/(xᵀBᵀBx)²",
        "2(AᵀAx/‖Bx‖² − ‖Ax‖²·BᵀBx/‖Bx‖⁴)",
    ),
    Row("Cookbook 97", "x @ A @ x + b @ x", "x", "(A + Aᵀ)x + b"),
    Row("Cookbook 98", "a @ grad(x @ A @ x + b @ x, x)", "x", "(A + Aᵀ)a"),
    # 2.5, traces
    Row("Cookbook 2.5", "trace(expm(X))", "X", "expm(X)ᵀ"),
    Row("Cookbook 2.5", "trace(cosm(X))", "X", "−sinm(X)ᵀ"),
    Row("Cookbook 2.5", "trace(matrix_power(X, -3))", "X", "−3 matrix_power(X, −4)ᵀ"),
    Row("Cookbook 99", "trace(X)", "X", "I"),
    Row("Cookbook 100", "trace(X @ A)", "X", "Aᵀ"),
    Row("Cookbook 100", "t * trace(A @ X)", "X", "tAᵀ"),
    Row("Cookbook 101", "trace(A @ X @ B)", "X", "AᵀBᵀ", "(BA)ᵀ"),
    Row("Cookbook 102", "trace(A @ X.T @ B)", "X", "BA"),
    Row("Cookbook 103", "trace(X.T @ A)", "X", "A"),
    Row("Cookbook 104", "trace(A @ X.T)", "X", "A"),
    Row("Cookbook 105", "trace(kron(A, X))", "X", "tr(A)·I"),
    Row("Cookbook 106", "trace(X @ X)", "X", "2Xᵀ"),
    Row("Cookbook 107", "trace(X @ X @ B)", "X", "(XB + BX)ᵀ"),
    Row("Cookbook 108", "trace(X.T @ B @ X)", "X", "BX + BᵀX", "(B + Bᵀ)X"),
    Row("Cookbook 109", "trace(B @ X @ X.T)", "X", "BX + BᵀX", "(B + Bᵀ)X"),
    Row("Cookbook 110", "trace(X @ X.T @ B)", "X", "BX + BᵀX", "(B + Bᵀ)X"),
    Row("Cookbook 111", "trace(X @ B @ X.T)", "X", "XBᵀ + XB", "X(B + Bᵀ)"),
    Row("Cookbook 112", "trace(B @ X.T @ X)", "X", "XBᵀ + XB", "X(B + Bᵀ)"),
    Row("Cookbook 113", "trace(X.T @ X @ B)", "X", "XBᵀ + XB", "X(B + Bᵀ)"),
    Row("Cookbook 114", "trace(A @ X @ B @ X)", "X", "AᵀXᵀBᵀ + BᵀXᵀAᵀ", "(BXA + AXB)ᵀ"),
    Row("Cookbook 115", "trace(X.T @ X)", "X", "2X"),
    Row("Cookbook 115", "trace(X @ X.T)", "X", "2X"),
    Row("Cookbook 116", "trace(B.T @ X.T @ C @ X @ B)", "X", "CᵀXBBᵀ + CXBBᵀ", "(C + Cᵀ)XBBᵀ"),
    Row("Cookbook 117", "trace(X.T @ B @ X @ C)", "X", "BXC + BᵀXCᵀ"),
    Row("Cookbook 118", "trace(A @ X @ B @ X.T @ C)", "X", "AᵀCᵀXBᵀ + CAXB"),
    Row("Cookbook 119", "trace((A @ X @ B + C) @ (A @ X @ B + C).T)", "X", "2Aᵀ(AXB + C)Bᵀ"),
    Row("Cookbook 120", "trace(kron(X, X))", "X", "2 tr(X)·I"),
    Row("Cookbook 121", "trace(X @ X @ X)", "X", "3(XX)ᵀ"),
    Row("Cookbook 121", "trace(X @ X @ X @ X)", "X", "4(XXX)ᵀ"),
    Row("Cookbook 121", "trace(matrix_power(X, 3))", "X", "3(XX)ᵀ"),
    Row("Cookbook 121", "trace(matrix_power(X, 5))", "X", "5 matrix_power(X, 4)ᵀ"),
    Row("Cookbook 121", "trace(matrix_power(X, 10))", "X", "10 matrix_power(X, 9)ᵀ"),
    Row("Cookbook 122", "trace(A @ X @ X)", "X", "(AX + XA)ᵀ", "(XA + AX)ᵀ"),
    Row("Cookbook 122", "trace(A @ X @ X @ X)", "X", "(AXX + XAX + XXA)ᵀ", "(X(AX + XA) + AXX)ᵀ"),
    Row(
        "Cookbook 122",
        "trace(A @ matrix_power(X, 4))",
        "X",
        "(AXXX + XAXX + XXAX + XXXA)ᵀ",
        "(X(AXX + X(AX + XA)) + AXXX)ᵀ",
    ),
    Row(
        "Cookbook 122",
        "trace(A @ matrix_power(X, 5))",
        "X",
        "(A matrix_power(X, 4) + XAXXX + XXAXX + XXXAX + matrix_power(X, 4)·A)ᵀ",
        "(matrix_power(X, 4)·A + X(X(XA + AX) + AXX)X + A matrix_power(X, 4))ᵀ",
    ),
    Row(
        "Cookbook 123",
        "trace(B.T @ X.T @ C @ X @ X.T @ C @ X @ B)",
        "X",
        "CXXᵀCXBBᵀ + CᵀXBBᵀXᵀCᵀX + CXBBᵀXᵀCX + CᵀXXᵀCᵀXBBᵀ",
        "CX(XᵀCXBBᵀ + BBᵀXᵀCX) + CᵀX(BBᵀXᵀCᵀX + (CX)ᵀXBBᵀ)",
    ),
    Row(
        "Cookbook 125",
        "trace(inv(X.T @ C @ X) @ A)",
        "X",
        "−CX(XᵀCX)⁻¹(A + Aᵀ)(XᵀCX)⁻¹",
        "",
        "X[N,M] A[M,M]",
        _symmetric("C"),
    ),
    Row(
        "Cookbook 126",
        "trace(inv(X.T @ C @ X) @ (X.T @ B @ X))",
        "X",
        "2BX(XᵀCX)⁻¹ − 2CX(XᵀCX)⁻¹XᵀBX(XᵀCX)⁻¹",
        "2(BX(XᵀCX)⁻¹ − CX(XᵀCX)⁻¹XᵀBX(XᵀCX)⁻¹)",
        "X[N,M]",
        _symmetric("BC"),
    ),
    Row(
        "Cookbook 127",
        "trace(inv(A + X.T @ C @ X) @ (X.T @ B @ X))",
        "X",
        "2BX(A + XᵀCX)⁻¹ − 2CX(A + XᵀCX)⁻¹XᵀBX(A + XᵀCX)⁻¹",
        "2(BX(A + XᵀCX)⁻¹ − CX(A + XᵀCX)⁻¹XᵀBX(A + XᵀCX)⁻¹)",
        "X[N,M] A[M,M]",
        _symmetric("ABC"),
    ),
    Row("Cookbook 128", "trace(sinm(X))", "X", "cosm(X)ᵀ"),
    # 2.6 and 2.7, norms
    Row("Cookbook 129", "norm(x - a)", "x", "(x − a)/‖x − a‖"),
    Row(
        "Cookbook 130",
        "b @ ((x - a) / norm(x - a))",
        "x",
        "b/‖x − a‖ − (x − a)(x − a)ᵀb/‖x − a‖³",
        "b/‖x − a‖ − ((x − a)ᵀb)(x − a)/‖x − a‖³",
    ),
    Row("Cookbook 131", "norm(x)**2", "x", "2x"),
    Row("Cookbook 131", "x @ x", "x", "2x"),
    Row("Cookbook 132", "norm(X)**2", "X", "2X"),
    Row("Cookbook 132", "norm(X)", "X", "X/‖X‖"),
    # 2.8, structured matrices, by what is free in them
    Row("Cookbook 138, 139", "trace(A @ (X + X.T - diag(diag(X))))", "X", "A + Aᵀ − diag(diag(A))"),
    Row(
        "Cookbook 140",
        "det(X + X.T - diag(diag(X)))",
        "X",
        "det(X + Xᵀ − diag(diag(X)))·(2(X + Xᵀ − diag(diag(X)))⁻¹ − diag(diag((X + Xᵀ − diag(diag(X)))⁻¹)))",
        "det(U)·(2V − diag(diag(V)))\n  where U = X + Xᵀ − diag(diag(X))\n        V = U⁻¹",
    ),
    Row(
        "Cookbook 141",
        "log(det(X + X.T - diag(diag(X))))",
        "X",
        "2(X + Xᵀ − diag(diag(X)))⁻¹ − diag(diag((X + Xᵀ − diag(diag(X)))⁻¹))",
        "",
    ),
    Row("Cookbook 142", "trace(A @ diag(x))", "x", "diag(A)"),
    Row("Cookbook 142", "sum(diag(X) * a)", "X", "diag(a)"),
    Row("Cookbook 142", "trace(A @ (X * eye('N')))", "X", "A ⊙ I"),
    Row("Cookbook 143", "trace(A @ toeplitz(x, b))", "x", "diagonal_sums(Aᵀ)[N - 1:]"),
    Row("Cookbook 143", "trace(A @ toeplitz(x, b))", "b", "put(diagonal_sums(A)[N:], (N,), [1:])"),
    Row(
        "Cookbook 144",
        "trace(A @ toeplitz(x, x))",
        "x",
        "diagonal_sums(Aᵀ)[N - 1:] + put(diagonal_sums(A)[N:], (N,), [1:])",
    ),
)

_MATRIX_BY_SCALAR = "of matrices and elements, by one element or a scalar: `sb.jacobian` gives all of them at once"
NO_ROWS: Mapping[range, str] = {
    range(33, 43): "rules for differentials",
    range(44, 46): "rules for differentials",
    range(47, 49): "a consequence of 49; a second derivative by a scalar",
    range(50, 51): "a consequence of 49, as 47",
    range(59, 61): _MATRIX_BY_SCALAR,
    range(73, 76): _MATRIX_BY_SCALAR,
    range(79, 81): _MATRIX_BY_SCALAR,
    range(89, 90): "of complex numbers, which there are none of",
    range(90, 91): _MATRIX_BY_SCALAR,
    range(96, 97): "the function whose derivatives are 97 and 98",
    range(133, 138): "definitions, and the chain rule",
}
"""The equations of the Cookbook's chapter 2 that are no derivatives of scalars by vectors or matrices."""

MATRIXCALCULUS = (
    Row("matrixcalculus.org", "0.5 * x @ A @ x", "x", "½(A + Aᵀ)x"),
    Row("matrixcalculus.org", "b @ (A @ exp(x))", "x", "Aᵀb ⊙ exp(x)"),
    Row("matrixcalculus.org", "(a * b) @ x", "a", "b ⊙ x", "x ⊙ b"),
    Row("matrixcalculus.org", "(a * b) @ x", "x", "a ⊙ b"),
    Row("matrixcalculus.org", "p**q", "p", "qp^(q − 1)", "", "p q"),
    Row("matrixcalculus.org", "p**q", "q", "p^q·log(p)", "", "p q"),
    Row("matrixcalculus.org", "norm(A @ x - b, 1)", "x", "Aᵀ sign(Ax − b)"),
    Row("matrixcalculus.org", "norm(A @ x - b)**2", "x", "2Aᵀ(Ax − b)"),
    Row(
        "matrixcalculus.org",
        "sum(log(exp(-y * (X @ w)) + 1))",
        "w",
        "−Xᵀ(y ⊙ σ(−y ⊙ Xw))",
        "−Xᵀ(σ(−y ⊙ Xw) ⊙ y)",
        "X[N,K] w[K] y[N]",
    ),
    Row("matrixcalculus.org", "trace(A @ X.T @ B @ X @ C)", "X", "BXCA + BᵀXAᵀCᵀ"),
    Row("matrixcalculus.org", "log(det(inv(X)))", "X", "−X⁻ᵀ"),
)

_REGRESSION = "X[N,K] w[K] y[N]"
_SOFTMAX = "X[N,K] W[K,M] b[M] Y[N,M]"
_ONE_HOT: Mapping[str, Mapping[str, float]] = {"Y": {"rows_sum_to": 1}}
_LOGISTIC = "-mean(y * log(sigmoid(X @ w + t)) + (1 - y) * log(1 - sigmoid(X @ w + t)))"
_CROSS_ENTROPY = "-mean(sum(Y * log(softmax(X @ W + b)), axis=1))"
_GAUSSIAN = "-0.5 * (x - m) @ inv(S) @ (x - m) - 0.5 * log(det(S))"
_NOISY = "(K + t * eye('N'))"

TEXTBOOKS = (
    Row("least squares", "sum((X @ w - y)**2)", "w", "2Xᵀ(Xw − y)", "", _REGRESSION),
    Row("least squares", "w @ X.T @ X @ w - 2 * y @ X @ w + y @ y", "w", "2Xᵀ(Xw − y)", "", _REGRESSION),
    Row("least squares", "mean((X @ w + t - y)**2)", "w", "2Xᵀ(Xw + t − y)/N", "", _REGRESSION),
    Row("least squares", "mean((X @ w + t - y)**2)", "t", "2 mean(Xw + t − y)", "", _REGRESSION),
    Row("weighted least squares", "sum(r * (X @ w - y)**2)", "w", "2Xᵀ(r ⊙ (Xw − y))", "", _REGRESSION + " r[N]"),
    Row(
        "weighted least squares",
        "(X @ w - y) @ diag(r) @ (X @ w - y)",
        "w",
        "2Xᵀ(r ⊙ (Xw − y))",
        "",
        _REGRESSION + " r[N]",
    ),
    Row("ridge", "sum((X @ w - y)**2) + t * sum(w**2)", "w", "2(Xᵀ(Xw − y) + tw)", "", _REGRESSION),
    Row("ridge", "norm(X @ w - y)**2 / 2 + t / 2 * norm(w)**2", "w", "Xᵀ(Xw − y) + tw", "", _REGRESSION),
    Row(
        "ridge, Hessian times v",
        "v @ grad(sum((X @ w - y)**2) + t * sum(w**2), w)",
        "w",
        "2(XᵀXv + tv)",
        "",
        _REGRESSION + " v[K]",
    ),
    Row("multivariate least squares", "norm(A @ X - B)**2", "X", "2Aᵀ(AX − B)"),
    Row("scale of a model", "norm(t * A @ x - b)**2", "t", "2(tAx − b)ᵀAx"),
    Row("logistic regression", _LOGISTIC, "w", "Xᵀ(σ(Xw + t) − y)/N", "", _REGRESSION),
    Row("logistic regression", _LOGISTIC, "t", "mean(σ(Xw + t) − y)", "", _REGRESSION),
    Row("softmax regression", _CROSS_ENTROPY, "W", "Xᵀ(softmax(XW + b) − Y)/N", "", _SOFTMAX, _ONE_HOT),
    Row("softmax regression", _CROSS_ENTROPY, "b", "mean(softmax(XW + b) − Y, axis=0)", "", _SOFTMAX, _ONE_HOT),
    Row("Poisson regression", "sum(exp(X @ w) - y * (X @ w))", "w", "Xᵀ(exp(Xw) − y)", "", _REGRESSION),
    Row(
        "hinge loss",
        "mean(maximum(0, 1 - y * (X @ w)))",
        "w",
        "−Xᵀ(y ⊙ [y ⊙ Xw < 1])/N",
        "−Xᵀ([y ⊙ Xw < 1] ⊙ y)/N",
        _REGRESSION,
    ),
    Row("log-sum-exp", "logsumexp(A @ x + b)", "x", "Aᵀ softmax(Ax + b)"),
    Row("log-sum-exp", "log(sum(exp(A @ x + b)))", "x", "Aᵀ softmax(Ax + b)"),
    Row("log barrier", "sum(log(A @ x))", "x", "Aᵀ(1/(Ax))"),
    Row("entropy", "-sum(x * log(x))", "x", "−1 − log(x)", "", "", {"x": "positive"}),
    Row("relative entropy", "sum(x * log(x / a))", "x", "1 + log(x/a)"),
    Row("Gaussian, mean", _GAUSSIAN, "m", "S⁻¹(x − m)", "", "S[N,N] m[N]", _definite("S")),
    Row("Gaussian, observation", _GAUSSIAN, "x", "−S⁻¹(x − m)", "S⁻¹(m − x)", "S[N,N] m[N]", _definite("S")),
    Row(
        "Gaussian, covariance",
        _GAUSSIAN,
        "S",
        "½(S⁻¹(x − m)(x − m)ᵀS⁻¹ − S⁻¹)",
        "",
        "S[N,N] m[N]",
        _definite("S"),
    ),
    Row(
        "Gaussian, precision",
        "0.5 * log(det(P)) - 0.5 * (x - m) @ P @ (x - m)",
        "P",
        "½(P⁻¹ − (x − m)(x − m)ᵀ)",
        "",
        "P[N,N] m[N]",
        _definite("P"),
    ),
    Row(
        "Gaussian, scatter matrix",
        "log(det(S)) + trace(inv(S) @ C)",
        "S",
        "S⁻¹ − S⁻¹CS⁻¹",
        "",
        "S[N,N]",
        {**_definite("S"), **_symmetric("C")},
    ),
    Row(
        "graphical lasso",
        "trace(C @ P) - log(det(P))",
        "P",
        "C − P⁻¹",
        "",
        "P[N,N]",
        {**_definite("P"), **_symmetric("C")},
    ),
    Row(
        "Wishart",
        "(t - 1) / 2 * log(det(X)) - trace(inv(W) @ X) / 2",
        "X",
        "½((t − 1)X⁻¹ − W⁻¹)",
        "",
        "",
        _definite("XW"),
    ),
    Row(
        "Mahalanobis distance",
        "sqrt((x - m) @ inv(S) @ (x - m))",
        "x",
        "S⁻¹(x − m)/√((x − m)ᵀS⁻¹(x − m))",
        "",
        "S[N,N] m[N]",
        _definite("S"),
    ),
    Row(
        "Gaussian process, data",
        "0.5 * y @ inv(K) @ y + 0.5 * log(det(K))",
        "y",
        "K⁻¹y",
        "",
        "K[N,N] y[N]",
        _definite("K"),
    ),
    Row(
        "Gaussian process, kernel",
        "0.5 * y @ inv(K) @ y + 0.5 * log(det(K))",
        "K",
        "½(K⁻¹ − K⁻¹yyᵀK⁻¹)",
        "",
        "K[N,N] y[N]",
        _definite("K"),
    ),
    Row(
        "Gaussian process, noise",
        f"0.5 * y @ solve({_NOISY}, y) + 0.5 * slogdet({_NOISY}).logabsdet",
        "t",
        "½(tr((K + tI)⁻¹) − yᵀ(K + tI)⁻¹(K + tI)⁻¹y)",
        "",
        "K[N,N] y[N]",
        {**_definite("K"), "t": "positive"},
    ),
    Row("log det of a sum", "log(det(eye('N') + X @ X.T))", "X", "2(I + XXᵀ)⁻¹X", "", "X[N,M]"),
    Row("log det of a line", "log(det(A @ X + B))", "X", "Aᵀ(AX + B)⁻ᵀ"),
    Row("log det by eigenvalues", "sum(log(eigvalsh(X)))", "X", "X⁻¹", "", "", _definite("X")),
    Row("sum of squared eigenvalues", "sum(eigvalsh(X)**2)", "X", "2X", "", "", _symmetric("X")),
    Row("Estrada index", "sum(exp(eigvalsh(X)))", "X", "expm(X)", "", "", _symmetric("X")),
    Row("linear system of differential equations", "trace(expm(t * A))", "t", "tr(expm(tA)·A)"),
    Row("exponential of a product", "trace(expm(A @ X + B))", "X", "(expm(AX + B)·A)ᵀ"),
    Row("A-optimal design", "trace(inv(X))", "X", "−X⁻¹X⁻¹", "", "", _symmetric("X")),
    Row("A-optimal design", "trace(inv(X.T @ X))", "X", "−2X(XᵀX)⁻¹(XᵀX)⁻¹", "", "X[N,M]"),
    Row("linear system", "a @ solve(A, b)", "b", "A⁻ᵀa"),
    Row("linear system", "b @ solve(A, b)", "A", "−A⁻ᵀbbᵀA⁻ᵀ"),
    Row("principal components", "norm(X - U @ V.T)**2", "U", "2(UVᵀ − X)V", "", "X[N,K] U[N,M] V[K,M]"),
    Row("principal components", "norm(X - U @ V.T)**2", "V", "2(UVᵀ − X)ᵀU", "", "X[N,K] U[N,M] V[K,M]"),
    Row(
        "linear autoencoder",
        "norm(X - X @ W @ W.T)**2",
        "W",
        "2Xᵀ(XWWᵀ − X)W + 2(XWWᵀ − X)ᵀXW",
        "2(Xᵀ(XWWᵀ − X) + (XWWᵀ − X)ᵀX)W",
        "X[N,K] W[K,M]",
    ),
    Row(
        "matrix factorisation, masked",
        "sum(C * (X - U @ V.T)**2)",
        "U",
        "2(C ⊙ (UVᵀ − X))V",
        "",
        "X[N,K] U[N,M] V[K,M] C[N,K]",
    ),
    Row(
        "matrix factorisation, ridge",
        "sum((X - U @ V.T)**2) + t * (sum(U**2) + sum(V**2))",
        "U",
        "2((UVᵀ − X)V + tU)",
        "2(tU − (X − UVᵀ)V)",
        "X[N,K] U[N,M] V[K,M]",
    ),
    Row("orthogonality penalty", "norm(X @ X.T - eye('N'))**2", "X", "4(XXᵀ − I)X"),
    Row("fourth moment", "sum((X @ X.T)**2)", "X", "4XXᵀX"),
    Row("inverse times transpose", "trace(inv(X) @ X.T)", "X", "X⁻¹ − X⁻ᵀXX⁻ᵀ"),
    Row(
        "regularised system",
        "a @ solve(X.T @ X + eye('N'), b)",
        "X",
        "−X(XᵀX + I)⁻¹(abᵀ + baᵀ)(XᵀX + I)⁻¹",
        "−X(XᵀX + I)⁻¹(baᵀ + abᵀ)(XᵀX + I)⁻¹",
    ),
    Row("projection", "norm(x - A @ inv(A.T @ A) @ A.T @ x)**2", "x", "2(x − A(AᵀA)⁻¹Aᵀx)", "", "A[N,M]"),
    Row("Procrustes", "norm(A @ X - B)**2", "X", "2(X − AᵀB)", "", "", {"A": "orthogonal"}),
    Row("proximal step", "trace(A.T @ X) + t / 2 * norm(X - B)**2", "X", "A + t(X − B)"),
    Row(
        "Sylvester equation",
        "norm(A @ X + X @ B - C)**2",
        "X",
        "2(Aᵀ(AX + XB − C) + (AX + XB − C)Bᵀ)",
    ),
    Row("commutator", "trace(A @ X - X @ A) + norm(X)**2 / 2", "X", "X"),
    Row(
        "Rayleigh quotient",
        "x @ A @ x / (x @ x)",
        "x",
        "2(Ax − xᵀAx/(xᵀx)·x)/(xᵀx)",
        "2(Ax/(xᵀx) − (xᵀAx)x/(xᵀx)²)",
        "",
        _symmetric("A"),
    ),
    Row(
        "cosine similarity",
        "a @ x / (norm(a) * norm(x))",
        "x",
        "a/(‖a‖·‖x‖) − (aᵀx)x/(‖a‖·‖x‖³)",
        "(‖x‖·a − (aᵀx)x/‖x‖)/(‖a‖·‖x‖²)",
    ),
    Row("squared distance", "sum((x - a)**2)", "x", "2(x − a)"),
    Row(
        "Gaussian kernel",
        "exp(-t * sum((x - a)**2))",
        "x",
        "−2t exp(−t·‖x − a‖²)·(x − a)",
        "2 exp(−t·‖x − a‖²)·t(a − x)",
    ),
    Row("powers of a norm", "norm(x)**4", "x", "4·‖x‖²·x"),
    Row("quartic form", "(x @ A @ x)**2", "x", "2(xᵀAx)(A + Aᵀ)x"),
    Row("row sums", "sum(X @ a)", "X", "broadcast_to(a[None], (N, N))"),
    Row(
        "attention, query",
        "softmax(K @ q) @ v",
        "q",
        "Kᵀ(softmax(Kq) ⊙ (v − vᵀ softmax(Kq)))",
        "",
        "K[N,M] q[M] v[N]",
    ),
    Row(
        "attention, values",
        "sum(G * (softmax(Q @ K.T) @ V))",
        "V",
        "softmax(QKᵀ)ᵀG",
        "",
        "Q[N,K] K[M,K] V[M,P] G[N,P]",
    ),
    Row(
        "Kalman gain",
        "trace((eye('N') - K @ H) @ P @ (eye('N') - K @ H).T + K @ R @ K.T)",
        "K",
        "2KR − 2(I − KH)PHᵀ",
        "2(KR − (I − KH)PHᵀ)",
        "P[N,N] K[N,M] H[M,N] R[M,M]",
        _symmetric("PR"),
    ),
)

_UNIT = "x w b t l"
_CLASSES = "W[K,N] x[N] b[K] y[K]"
_MLP = "V[M,N] x[N] c[M] W[K,M] b[K] y[K]"
_BINARY = "V[M,N] x[N] w[M] y"
_BATCH = "X[N,K] V[K,M] c[M] W[M,P] b[P] Y[N,P] l"
_SQUARED = "0.5 * sum((W @ sigmoid(V @ x + c) + b - y)**2)"
_ENTROPY = "-(y * log(sigmoid(w @ sigmoid(V @ x))) + (1 - y) * log(1 - sigmoid(w @ sigmoid(V @ x))))"
_TWO_LAYERS = "-sum(y * log(softmax(W @ tanh(V @ x + c) + b)))"
_XOR = "mean((relu(X @ V + c) @ w + t - y)**2)"
_XOR_SHAPES = "X[N,K] V[K,M] c[M] w[M] t y[N]"
_DECAY = "-mean(sum(Y * log(softmax(relu(X @ V) @ W)), axis=1)) + l * (sum(V**2) + sum(W**2))"
_TARGET: Mapping[str, Mapping[str, float]] = {"y": {"rows_sum_to": 1}}

# The numbers of the lectures' networks are those of tests/lectures/README.md.
NETWORKS = (
    Row(
        "D1, logistic least squares", "0.5 * (sigmoid(w*x + b) - t)**2", "w", "(σ(wx + b) − t) σ′(wx + b)·x", "", _UNIT
    ),
    Row("D1, logistic least squares", "0.5 * (sigmoid(w*x + b) - t)**2", "b", "(σ(wx + b) − t) σ′(wx + b)", "", _UNIT),
    Row(
        "D2, with weight decay",
        "0.5 * (sigmoid(w*x + b) - t)**2 + l * 0.5 * w**2",
        "w",
        "(σ(wx + b) − t) σ′(wx + b)·x + lw",
        "",
        _UNIT,
    ),
    Row("D3, classes", "-sum(y * log(softmax(W @ x + b)))", "W", "(softmax(Wx + b) − y)xᵀ", "", _CLASSES, _TARGET),
    Row("D3, classes", "-sum(y * log(softmax(W @ x + b)))", "b", "softmax(Wx + b) − y", "", _CLASSES, _TARGET),
    Row("D3, classes", "-sum(y * log(softmax(W @ x + b)))", "b", "sum(y)·softmax(Wx + b) − y", "", _CLASSES),
    Row("D4, two layers", _SQUARED, "W", "(W σ(Vx + c) + b − y) σ(Vx + c)ᵀ", "", _MLP),
    Row("D4, two layers", _SQUARED, "b", "W σ(Vx + c) + b − y", "", _MLP),
    Row("D4, two layers", _SQUARED, "V", "(Wᵀ(W σ(Vx + c) + b − y) ⊙ σ′(Vx + c))xᵀ", "", _MLP),
    Row("D4, two layers", _SQUARED, "c", "Wᵀ(W σ(Vx + c) + b − y) ⊙ σ′(Vx + c)", "", _MLP),
    Row("D4, two layers", _SQUARED, "x", "Vᵀ(Wᵀ(W σ(Vx + c) + b − y) ⊙ σ′(Vx + c))", "", _MLP),
    Row(
        "D5, logistic unit",
        "-(y * log(sigmoid(w @ x)) + (1 - y) * log(1 - sigmoid(w @ x)))",
        "w",
        "(σ(wᵀx) − y)x",
        "",
        "w[N] x[N] y",
    ),
    Row(
        "D5, logistic unit",
        "-(y * log(1/(1 + exp(-(w @ x)))) + (1 - y) * log(1 - 1/(1 + exp(-(w @ x)))))",
        "x",
        "(σ(wᵀx) − y)w",
        "",
        "w[N] x[N] y",
    ),
    Row("D6, hidden layer", _ENTROPY, "w", "(σ(wᵀ σ(Vx)) − y) σ(Vx)", "", _BINARY),
    Row(
        "D6, hidden layer", _ENTROPY, "V", "(σ(wᵀ σ(Vx)) − y)(w ⊙ σ′(Vx))xᵀ", "(σ(wᵀ σ(Vx)) − y)(σ′(Vx) ⊙ w)xᵀ", _BINARY
    ),
    Row(
        "D6, hidden layer", _ENTROPY, "x", "(σ(wᵀ σ(Vx)) − y)Vᵀ(w ⊙ σ′(Vx))", "(σ(wᵀ σ(Vx)) − y)Vᵀ(σ′(Vx) ⊙ w)", _BINARY
    ),
    Row(
        "D6, quadratic loss",
        "0.5 * (sigmoid(w @ sigmoid(V @ x)) - y)**2",
        "w",
        "(σ(wᵀ σ(Vx)) − y) σ′(wᵀ σ(Vx))·σ(Vx)",
        "",
        _BINARY,
    ),
    Row(
        "D6, quadratic loss",
        "0.5 * (sigmoid(w @ sigmoid(V @ x)) - y)**2",
        "V",
        "(σ(wᵀ σ(Vx)) − y) σ′(wᵀ σ(Vx))·(w ⊙ σ′(Vx))xᵀ",
        "(σ(wᵀ σ(Vx)) − y) σ′(wᵀ σ(Vx))·(σ′(Vx) ⊙ w)xᵀ",
        _BINARY,
    ),
    Row(
        "D7, D8, any activation", _TWO_LAYERS, "W", "(softmax(W tanh(Vx + c) + b) − y) tanh(Vx + c)ᵀ", "", _MLP, _TARGET
    ),
    Row(
        "D7, D8, any activation",
        _TWO_LAYERS,
        "V",
        "(Wᵀ(softmax(W tanh(Vx + c) + b) − y) ⊙ tanh′(Vx + c))xᵀ",
        "",
        _MLP,
        _TARGET,
    ),
    Row("D10, linear unit", "mean((X @ w + t - y)**2)", "w", "2Xᵀ(Xw + t − y)/N", "", "X[N,K] w[K] t y[N]"),
    Row("D11, XOR", _XOR, "t", "2 mean(relu(XV + c)·w + t − y)", "", _XOR_SHAPES),
    Row("D11, XOR", _XOR, "w", "2 relu(XV + c)ᵀ(relu(XV + c)·w + t − y)/N", "", _XOR_SHAPES),
    Row(
        "D11, XOR",
        _XOR,
        "V",
        "2Xᵀ((relu(XV + c)·w + t − y)wᵀ ⊙ [XV + c > 0])/N",
        "2Xᵀ([XV + c > 0] ⊙ (relu(XV + c)·w + t − y)wᵀ)/N",
        _XOR_SHAPES,
    ),
    Row("D12, linear outputs", "0.5 * sum((W.T @ h + b - y)**2)", "h", "W(Wᵀh + b − y)", "", "W[M,K] h[M] b[K] y[K]"),
    Row("D13, product", "x * y", "x", "y", "", "x y"),
    Row("D13, logistic unit", "sigmoid(x @ w + b)", "w", "σ′(xᵀw + b)·x", "", "x[N] w[N] b"),
    Row("D13, layer", "sum(G * relu(X @ W + b))", "W", "Xᵀ(G ⊙ [XW + b > 0])", "", "X[N,K] W[K,M] b[M] G[N,M]"),
    Row("D13, weight decay", "t * sum(w**2)", "w", "2tw", "", "t w[N]"),
    Row("A27, training", _DECAY, "W", "relu(XV)ᵀ(softmax(relu(XV)·W) − Y)/N + 2lW", "", _BATCH, _ONE_HOT),
    Row("A27, training", _DECAY, "V", "Xᵀ((softmax(relu(XV)·W) − Y)Wᵀ ⊙ [XV > 0])/N + 2lV", "", _BATCH, _ONE_HOT),
)

ROWS: tuple[Row, ...] = (*COOKBOOK, *MATRIXCALCULUS, *TEXTBOOKS, *NETWORKS)

_ELEMENTWISE = ["abs", "cos", "exp", "log", "maximum", "relu", "sigmoid", "sign", "sin", "sqrt", "tanh"]
_REDUCTIONS = ["logsumexp", "mean", "norm", "prod", "softmax", "sum", "trace"]
_MATRICES = ["det", "diag", "eye", "inv", "kron", "slogdet", "solve"]
_MATRICES += ["cosm", "eigh", "eigvalsh", "expm", "matrix_power", "sinm", "toeplitz"]
_PRINTED = ["diagonal_sums", "eigenvectors", "inverse_gaps", "put"]  # that derivatives alone are made of


class Built(NamedTuple):
    """A row's expressions.

    Attributes:
        z: the scalar.
        by: the variable.
        gradient: the derivative as it was derived.
        symbols: the symbols that stand in the scalar.
    """

    z: sb.Expr
    by: sb.Expr
    gradient: sb.Expr
    symbols: list[sb.Expr]


def build(row: Row) -> Built:
    """Build a row in the current graph."""
    names = [*_ELEMENTWISE, *_REDUCTIONS, *_MATRICES, "grad"]
    functions = {name: getattr(sb, name, None) or getattr(sb.linalg, name) for name in names}
    symbols = {symbol.name: symbol for symbol in sb.symbols(SHAPES)}
    symbols |= {symbol.name: symbol for symbol in sb.symbols(row.shapes)} if row.shapes else {}
    for name, facts in row.facts.items():
        sb.assume(symbols[name], **({facts: True} if isinstance(facts, str) else facts))
    z = eval(row.z, functions, symbols)  # noqa: S307  (the texts stand above)
    used = set(z.graph.reachable([z.number]))
    by = symbols[row.by]
    return Built(z, by, sb.grad(z, by), [symbol for symbol in symbols.values() if symbol.number in used])


_WORDS = "axis|broadcast_to|keepdims|tr|" + "|".join([*_ELEMENTWISE, *_REDUCTIONS, *_MATRICES, *_PRINTED])
_TOKEN = re.compile(
    rf"""\s+
    |(?P<number>\d+(?:\.\d+)?|½)
    |(?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀ]+)
    |(?P<function>(?:{_WORDS})(?![a-z_])′?|σ′?|√)
    |(?P<symbol>\w[̀-ͯ]*)
    |(?P<opening>[(\[])
    |(?P<closing>[)\]])
    |(?P<bar>[‖|])
    |(?P<operator>.)""",
    re.VERBOSE,
)


def _kinds(text: str) -> Iterator[tuple[str, str]]:
    """Give the tokens of a formula with their kinds; a bar opens or closes."""
    open_bars: list[str] = []
    ended = False  # whether an operand may end here
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind is None:
            continue
        if kind == "bar":
            closes = ended and open_bars[-1:] == [token]
            kind = "closing" if closes else "function"
            open_bars = open_bars[:-1] if closes else [*open_bars, token]
        ended = kind not in {"operator", "opening", "function"}
        yield kind, token


def length(text: str) -> int:
    """Count symbols, numbers and operators: what makes a formula long to read.

    >>> length("2Aᵀ(Ax − b)")  # 2, A, ᵀ, A, x, −, b and three products
    10
    >>> length("‖x‖²"), length("X⁻ᵀ"), length("log|det(X)|")
    (4, 2, 4)
    """
    count, ended = 0, False
    for kind, token in _kinds(text):
        begins = kind in {"number", "symbol", "function", "opening"}
        count += ended and begins  # a product without a sign
        count += kind not in {"opening", "closing"}
        count += kind == "raised" and any(digit in token for digit in "²³⁴⁵⁶⁷⁸⁹")  # the power, and its exponent
        ended = kind not in {"operator", "opening", "function"}
    return count


def printed(gradient: sb.Expr, *, where: bool | Literal["auto"] = "auto") -> str:
    """Print a derivative as the lectures do, with σ′ and tanh′."""
    return sb.text(gradient, primes=True, where=where)


class Scored(NamedTuple):
    """What a row came to: the text that is printed, and how long that is, written out, beside the best by hand."""

    row: Row
    printed: str
    ratio: float


def scored(rows: Sequence[Row] = ROWS) -> list[Scored]:
    """Print the derivative of each row, and measure it."""
    found = []
    for row in rows:
        with sb.Graph():
            gradient = build(row).gradient
            ratio = length(printed(gradient, where=False)) / length(row.hand)
            found.append(Scored(row, printed(gradient), ratio))
    return found


def _numbers(equations: range) -> str:
    return f"{equations[0]}" if len(equations) == 1 else f"{equations[0]} to {equations[-1]}"


def table() -> str:
    """Give the scoreboard as Markdown."""
    rows = scored()
    ratios = [each.ratio for each in rows]
    average = sum(ratios) / len(rows)
    shorter, longer = sum(ratio < 1 for ratio in ratios), sum(ratio > 1 for ratio in ratios)
    lines = [
        "# Formulas: printed derivatives against the best by hand",
        "",
        f"{len(rows)} derivatives. The printed one is on average {average:.2f} times as long as the best by",
        f"hand, at most {max(ratios):.2f} times; {shorter} are shorter, {longer} longer. The length is the number of",
        "symbols, numbers and operators.",
        "",
        "Of the Matrix Cookbook's chapter 2 every derivative of a scalar by a vector or by a matrix is here. The",
        "exponent of a matrix's power is a number and no symbol, so that Xᵏ has rows for some k; of tr(F(X)), for",
        "any F (2.5), there are exp, sin, cos and powers. Eigenvalues are those of symmetric matrices, as others need",
        "not be real.",
        "",
        "The other equations of that chapter, 33 to 144, have no row:",
        "",
        *(f"- {_numbers(equations)}: {reason}" for equations, reason in NO_ROWS.items()),
        "",
        "| source | scalar | by | declared | printed | best by hand | length |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, printed, ratio in rows:
        declared = ", ".join(
            f"{name} {facts}" if isinstance(facts, str) else f"{name} {', '.join(facts)}"
            for name, facts in row.facts.items()
        )
        cells = [row.source, f"`{row.z}`", row.by, declared.replace("_", " "), printed, row.hand, f"{ratio:.2f}"]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), '<br>') for cell in cells)} |")
    return "\n".join(lines) + "\n"
