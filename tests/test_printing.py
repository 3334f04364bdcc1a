"""Formulas as text and LaTeX: golden forms, and texts that are read back and computed."""

from __future__ import annotations

import operator
import random
import re
from fractions import Fraction

import nbformat
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient

import symbackprop as sb
from symbackprop.printing import formula as walk
from symbackprop.printing import latex, text
from symbackprop.printing.breaking import broken
from symbackprop.printing.notebook import register
from tests.random_graphs import random_expression


def texts(cases, spec):
    """Give ids and parameters of golden cases, written as Python expressions over symbols."""
    return [pytest.param(spec, source, expected, id=source) for source, expected in cases]


def build(spec, source):
    with sb.Graph():
        names = {expr.name: expr for expr in sb.symbols(spec)}
        return eval(source, {"sb": sb, "np": np, **names})  # noqa: S307  (the sources stand below)


SCALARS = "a b c x y z n lr W1 e p"
ARRAYS = "A[N,N] B[N,N] C[K,N] u[N] v[N] s t W1[N,N] b1[N] M[K,N,N]"

PARENTHESES = texts(
    [
        ("a - (b - c)", "a − (b − c)"),
        ("(a - b) - c", "a − b − c"),
        ("a + (b - c)", "a + b − c"),
        ("a - (-b)", "a − (−b)"),
        ("a + (-b)", "a − b"),
        ("-a + b", "b − a"),
        ("-a - b", "−a − b"),
        ("-a - b + c", "c − a − b"),
        ("-(a + b)", "−(a + b)"),
        ("-(-a)", "−(−a)"),
        ("a * (-b)", "−ab"),
        ("(-a) * (-b)", "ab"),
        ("a - b * c", "a − bc"),
        ("a / b / c", "a/b/c"),
        ("a / (b / c)", "a/(b/c)"),
        ("a / (b * c)", "a/(bc)"),
        ("a * b / c", "ab/c"),
        ("a * (b / c)", "ab/c"),
        ("(a / b) * c", "(a/b)c"),
        ("(a + b) / c", "(a + b)/c"),
        ("-(a / b)", "−a/b"),
        ("(-x)**2", "(−x)²"),
        ("(x**2)**2", "(x²)²"),
        ("(2 * x)**2", "(2x)²"),
        ("-(x**2)", "−x²"),
        ("x**3", "x³"),
        ("x**-1", "x⁻¹"),
        ("x**n", "x^n"),
        ("x**(n + 1)", "x^(n + 1)"),
        ("x**0.5", "x^0.5"),
        ("2**x", "2^x"),
        ("sb.sqrt(x + y)", "√(x + y)"),
        ("sb.sqrt(x)**2", "(√x)²"),
        ("sb.sqrt(x**2)", "√(x²)"),
        ("(x + y) // z", "⌊(x + y)/z⌋"),
        ("(x % y) * z", "(x mod y)z"),
        ("abs(abs(x) - 1)", "||x| − 1|"),
        ("x - 2", "x − 2"),
        ("x + (-2)", "x − 2"),
    ],
    SCALARS,
)
PRODUCTS = texts(
    [
        ("x * 2", "2x"),
        ("2 * x * 3", "2·3x"),
        ("0.5 * (x - y)**2", "½(x − y)²"),
        ("x * y", "xy"),
        ("x * (y + z)", "x(y + z)"),
        ("(a + b) * (c + x)", "(a + b)(c + x)"),
        ("x * sb.exp(z)", "x exp(z)"),
        ("2 * sb.exp(z)", "2 exp(z)"),
        ("sb.exp(z) * x", "exp(z)·x"),
        ("sb.exp(x) * sb.exp(z)", "exp(x)·exp(z)"),
        ("sb.exp(z) * (x + y)", "exp(z)·(x + y)"),
        ("lr * x", "lr·x"),
        ("2 * lr", "2·lr"),
        ("lr * (x + y)", "lr·(x + y)"),
        ("e * x * p * (a + b)", "exp·(a + b)"),
        ("2 * (e * x * p * (a + b))", "2exp·(a + b)"),
        ("a * e * x * p * (a + b)", "aexp·(a + b)"),
        ("sb.sqrt(x) * y", "√x·y"),
        ("y * sb.sqrt(x)", "y√x"),
        ("x**2 * y", "x²y"),
        ("W1**2 * y", "W1²y"),
        ("x**n * y", "x^n·y"),
        ("y * abs(x)", "y·|x|"),
        ("1e-5 * x", "1e-05·x"),
        ("x * np.inf", "x·∞"),
    ],
    SCALARS,
)
MATRICES = texts(
    [
        ("A @ v", "Av"),
        ("v @ A", "Aᵀv"),
        ("v @ A.T", "Av"),
        ("A.T.T", "A"),
        ("u @ v", "uᵀv"),
        ("u @ A @ v", "uᵀAv"),
        ("(A @ v) @ u", "(Av)ᵀu"),
        ("(A @ B).T", "(AB)ᵀ"),
        ("(A + B).T @ v", "(A + B)ᵀv"),
        ("A @ (u + v)", "A(u + v)"),
        ("(2 * A) @ v", "2Av"),
        ("A @ (2 * v)", "A(2v)"),
        ("(0.5 * v) @ A @ u", "½vᵀAu"),
        ("(0.5 * v) @ u", "½vᵀu"),
        ("(2 * A).T @ u", "2Aᵀu"),
        ("2 * (A @ v)", "2Av"),
        ("A @ (-v)", "−Av"),
        ("A @ (u * v)", "A(u ⊙ v)"),
        ("(A @ u) * v", "Au ⊙ v"),
        ("s * (u * v)", "su ⊙ v"),
        ("(u * v) / s", "(u ⊙ v)/s"),
        ("(A @ v) / s", "Av/s"),
        ("(A / s) @ v", "(A/s)v"),
        ("(u @ v) * v", "(uᵀv)v"),
        ("s * (u @ v)", "suᵀv"),
        ("(u @ v) * s", "suᵀv"),
        ("u[:, None] * v[None, :]", "uvᵀ"),
        ("v[None, :] * u[:, None]", "uvᵀ"),
        ("u[:, None] * v", "uvᵀ"),
        ("v * u[None, :]", "v ⊙ u[None]"),
        ("A * u[None, :]", "A ⊙ u"),
        ("M - A[None]", "M − A"),
        ("(A @ u)[:, None] * (v @ B)[None, :]", "AuvᵀB"),
        ("W1 @ v", "W1 v"),
        ("A @ W1 + b1", "A W1 + b1"),
        ("W1.T @ v", "W1ᵀv"),
        ("W1 @ (u + v)", "W1 (u + v)"),
        ("sb.tanh(A) @ v", "tanh(A)·v"),
        ("A @ sb.tanh(v)", "A tanh(v)"),
        ("M @ v", "Mv"),
        ("v @ M", "[Σₙ vₙMᵢₙⱼ]ᵢⱼ"),
        ("(M @ v) @ A", "(Mv)A"),
        ("sb.broadcast_to(s, 'N') * v", "sv"),
        ("sb.broadcast_to(v, ('N', 'N')) + A", "v + A"),
        ("sb.broadcast_to(s, 'N') * sb.broadcast_to(t, 'N')", "broadcast_to(s, (N,)) ⊙ broadcast_to(t, (N,))"),
    ],
    ARRAYS,
)
FUNCTIONS = texts(
    [
        ("u > 0", "u > 0"),
        ("(u > 0) * v", "[u > 0] ⊙ v"),
        ("(s > 0) * t", "[s > 0]·t"),
        ("s > -1", "s > −1"),
        ("sb.step(s)", "[s > 0]"),
        ("(s > 0).astype('float64')", "[s > 0]"),
        ("s.astype('float32')", "float32(s)"),
        ("(s > 0) & (t < 1)", "[s > 0] ∧ [t < 1]"),
        ("~(s > 0)", "¬[s > 0]"),
        ("sb.where(s > 0, s, t)", "where(s > 0, s, t)"),
        ("(s > t) + 1.0", "[s > t] + 1"),
        ("sb.sum(A)", "sum(A)"),
        ("sb.sum(A, axis=0)", "sum(A, axis=0)"),
        ("sb.mean(A, axis=1, keepdims=True) * A", "mean(A, axis=1, keepdims=True) ⊙ A"),
        ("v - sb.mean(v, keepdims=True)", "v − mean(v)"),
        ("sb.mean(v, keepdims=True)", "mean(v, keepdims=True)"),
        ("sb.softmax(A)", "softmax(A)"),
        ("v[0]", "v[0]"),
        ("v[-1] * s", "v[-1]·s"),
        ("2 * A[:, 0]", "2A[:, 0]"),
        ("A[1:]", "A[1:]"),
        ("A[:, None]", "A[:, None]"),
        ("sb.concatenate([u, v])", "concatenate((u, v))"),
        ("v * np.array([1.0, 2.0]).sum()", "3v"),
        ("s + np.array([1.0, -2.5])", "s + array([1., −2.5])"),
    ],
    ARRAYS,
)


@pytest.mark.parametrize(("spec", "source", "expected"), PARENTHESES + PRODUCTS + MATRICES + FUNCTIONS)
def test_text_is_written_like_this(spec, source, expected):
    assert text(build(spec, source), simplify=False) == expected


LATEX = texts(
    [
        ("A @ v", "A v"),
        ("v @ W1", r"W_{1}^{\top} v"),
        ("(A @ B).T", r"\left(A B\right)^{\top}"),
        ("u * v", r"u \odot v"),
        ("(u - v) / s", r"\frac{u - v}{s}"),
        ("(s / t) * v", r"\frac{s}{t} \, v"),
        ("0.5 * s", r"\frac{1}{2} s"),
        ("2 * s * 3", r"2 \cdot 3 s"),
        ("0.5 * s / t", r"\frac{s}{2 t}"),
        ("0.5 / t * v", r"\frac{1}{2 t} \, v"),
        ("0.5 * (u - v) / (s * t)", r"\frac{u - v}{2 s t}"),
        ("0.5 * s / (s + t)", r"\frac{s}{2 \left(s + t\right)}"),
        ("s**2", "s^{2}"),
        ("s**t", "s^{t}"),
        ("(s + t)**3", r"\left(s + t\right)^{3}"),
        ("sb.sqrt(s)", r"\sqrt{s}"),
        ("s * sb.exp(t)", r"s \, \exp\left(t\right)"),
        ("sb.sigmoid(s)", r"\sigma\left(s\right)"),
        ("(s > 0) * t", r"\left[s > 0\right] \, t"),
        ("sb.sum(A, axis=0)", r"\operatorname{sum}_{0}\left(A\right)"),
        ("s * np.inf", r"s \, \infty"),
        ("1e-5 * s", r"1 \cdot 10^{-5} \, s"),
        ("s + np.array([1.0, 2.5])", r"s + \begin{bmatrix}1 \\ 2.5\end{bmatrix}"),
    ],
    ARRAYS,
)


@pytest.mark.parametrize(("spec", "source", "expected"), LATEX)
def test_latex_is_written_like_this(spec, source, expected):
    assert latex(build(spec, source), simplify=False) == expected


_LATEX_TOKEN = re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\begin\{\w+\}|\\end\{\w+\}|\\[a-zA-Z]+|\\.|.")


def check_latex(source):
    """Check what LaTeX itself would complain of: pairs of braces and brackets, two subscripts, control characters."""
    open_pairs, scripts = [], [set()]
    for sign in (match[0] for match in _LATEX_TOKEN.finditer(source)):
        assert sign.isprintable(), source
        if sign in {"{", r"\left"} or sign.startswith(r"\begin"):
            if sign == "{" and scripts[-1] and "now" in scripts[-1]:
                scripts[-1].discard("now")
            elif sign == "{":
                scripts[-1].clear()
            open_pairs.append(sign)
            scripts.append(set())
        elif sign in {"}", r"\right"} or sign.startswith(r"\end"):
            opened = open_pairs.pop()
            assert {"}": "{", r"\right": r"\left"}.get(sign, sign.replace("end", "begin", 1)) == opened, source
            scripts.pop()
            if sign == r"\right":
                scripts[-1].clear()
        elif sign in "_^":
            assert sign not in scripts[-1], f"two of {sign}: {source}"
            scripts[-1] |= {sign, "now"}
        elif "now" in scripts[-1]:
            scripts[-1].discard("now")
        else:
            scripts[-1].clear()
    assert not open_pairs, source


@pytest.mark.parametrize(("spec", "source", "_expected"), PARENTHESES + PRODUCTS + MATRICES + FUNCTIONS + LATEX)
def test_golden_formulas_are_valid_latex(spec, source, _expected):
    expr = build(spec, source)
    for notation in ("auto", "index"):
        check_latex(latex(expr, simplify=False, notation=notation))
        check_latex(latex(expr * expr, where=True, line_width=10, notation=notation))


@pytest.mark.parametrize("seed", range(20))
def test_random_formulas_are_valid_latex(seed):
    for output in random_expression(np.random.default_rng(seed), 15).outputs:
        for notation in ("auto", "index"):
            check_latex(latex(output, notation=notation, where=True, line_width=40))


@pytest.mark.parametrize(
    "wrong", ["{", "a}", r"\left(a", r"\left(\begin{array}\right)", "a_{1}_{2}", "a^{2}^{3}", "\x01"]
)
def test_latex_that_is_not_valid_is_told(wrong):
    with pytest.raises((AssertionError, IndexError)):
        check_latex(wrong)


@pytest.mark.parametrize(
    ("name", "as_text", "as_latex"),
    [
        ("x", "2x", "2 x"),
        ("x1", "2·x1", "2 x_{1}"),
        ("x_i", "2·x_i", "2 x_{i}"),
        ("x_i_j", "2·x_i_j", "2 x_{i,j}"),
        ("W_xh", "2·W_xh", r"2 W_{\mathrm{xh}}"),
        ("lr", "2·lr", r"2 \, \mathrm{lr}"),
        ("alpha", "2·alpha", r"2 \alpha"),
        ("theta_1", "2·theta_1", r"2 \theta_{1}"),
        ("Sigma2", "2·Sigma2", r"2 \Sigma_{2}"),
        ("λ", "2λ", r"2 \lambda"),
        ("x₁", "2x₁", "2 x_{1}"),
        ("z̄", "2z̄", r"2 \overline{z}"),
        ("W̄2", "2·W̄2", r"2 \overline{W}_{2}"),
        ("y′", "2y′", r"2 y^{\prime}"),
        ("y*", "2·y*", "2 y^{*}"),
        ("e3", "2·e3", "2 e_{3}"),
        ("σ", "2σ", r"2 \sigma"),
        ("é", "2é", r"2 \acute{e}"),
        ("変", "2変", r"2 \text{変}"),
        ("変_数", "2·変_数", r"2 \text{変}_{\text{数}}"),
        ("x;import", '2·"x;import"', r"2 \, \mathrm{x;import}"),
        ("my$var{", '2·"my$var{"', r"2 \, \mathrm{my\$var\{}"),
        ("\\end{a}", '2·"\\\\end{a}"', r"2 \, \mathrm{\backslash end\{a\}}"),
        ("xᵀ", '2·"xᵀ"', r"2 \, \mathrm{xᵀ}"),
        ("a−b", '2·"a−b"', r"2 \, \mathrm{a−b}"),
        ("<b>", '2·"<b>"', r"2 \, \mathrm{<b>}"),
        ("_", "2·_", r"2 \, \mathrm{\_}"),
    ],
)
def test_names_stay_and_are_escaped(name, as_text, as_latex):
    with sb.Graph():
        twice = 2 * sb.symbol(name)
    assert text(twice) == as_text
    assert latex(twice) == as_latex


def test_letters_keep_apart_where_they_would_spell_a_name():
    w, x, wx = sb.symbols("w x wx")
    assert text(w * x + wx) == "w·x + wx"


def test_a_symbol_called_like_a_function_is_not_called():
    s, x = sb.symbols("σ x")
    assert text(s * (x + 1) + sb.sigmoid(x), simplify=False) == "σ·(x + 1) + σ(x)"


def test_a_size_called_like_a_symbol_is_marked():
    v, N = sb.symbols("v[N] N")
    assert text(N * sb.mean(sb.sum(v) / sb.size_of(v.shape[0])), simplify=False) == "N mean(sum(v)/size(N))"


def test_two_symbols_of_one_name_are_told_apart():
    x, y = sb.symbol("x"), sb.symbol("x", "N")
    assert text(x * y) == '"x:float64"·"x:float64[N]"'


# --- index notation --------------------------------------------------------------------------------------------

TENSORS = "A[N,D] B[N,D] S[N,N] W1[D,K] x[N] y[N] w[D] s T[N,D,K] Q[H,N,D] K[H,N,D] Σ[N,N] δ[N,N] c[N,1]"

IN_INDICES = [
    ("sb.einsum('ij,kj->ik', A, B)", "ABᵀ", "[Σₖ AᵢₖBⱼₖ]ᵢⱼ"),
    ("sb.einsum('nd,n,ne->de', A, x, B)", "Aᵀ diag(x)·B", "[Σₙ AₙᵢxₙBₙⱼ]ᵢⱼ"),
    ("sb.einsum('i,ij,j', x, S, y)", "xᵀSy", "Σₙᵢ xₙSₙᵢyᵢ"),
    ("sb.einsum('ij,ij->', A, B)", "sum(A ⊙ B)", "Σₙᵢ AₙᵢBₙᵢ"),
    ("sb.einsum('i,j->ij', x, w)", "xwᵀ", "[xᵢwⱼ]ᵢⱼ"),
    ("sb.einsum('ii,ij->j', S, A)", "Aᵀ diag(S)", "[Σₙ SₙₙAₙᵢ]ᵢ"),
    ("sb.einsum('ij,jk,ki', S, S, S)", "tr(SSS)", "Σₙᵢⱼ SₙᵢSᵢⱼSⱼₙ"),
    ("sb.einsum('hij,kj->hik', Q, A)", "[Σₗ QᵢⱼₗAₖₗ]ᵢⱼₖ", "[Σₗ QᵢⱼₗAₖₗ]ᵢⱼₖ"),
    ("sb.einsum('ijk,jk->i', T, W1)", "[Σⱼₖ Tᵢⱼₖ·W1ⱼₖ]ᵢ", "[Σⱼₖ Tᵢⱼₖ·W1ⱼₖ]ᵢ"),
    ("2 * sb.sum(sb.einsum('ijk,jk->i', T, W1) * x)", "2Σₙᵢₖ Tₙᵢₖ·W1ᵢₖ·xₙ", "2Σₙᵢₖ Tₙᵢₖ·W1ᵢₖ·xₙ"),
    (
        "sb.einsum('ij,kj->i', A > 0, B > 0)",
        "[Σⱼₙ [Aᵢⱼ > 0]·[Bₙⱼ > 0] > 0]ᵢ",
        "[Σⱼₙ [Aᵢⱼ > 0]·[Bₙⱼ > 0] > 0]ᵢ",
    ),
    ("s * sb.einsum('ij,ij->', A > 0, B > 0)", "s·[Σₙᵢ [Aₙᵢ > 0]·[Bₙᵢ > 0] > 0]", "s·[Σₙᵢ [Aₙᵢ > 0]·[Bₙᵢ > 0] > 0]"),
    ("Q @ sb.transpose(K, (0, 2, 1))", "[Σₗ QᵢⱼₗKᵢₖₗ]ᵢⱼₖ", "[Σₗ QᵢⱼₗKᵢₖₗ]ᵢⱼₖ"),
    ("sb.softmax(Q @ sb.transpose(K, (0, 2, 1)))", "softmax([Σₗ QᵢⱼₗKᵢₖₗ]ᵢⱼₖ)", "softmax([Σₗ QᵢⱼₗKᵢₖₗ]ᵢⱼₖ)"),
    ("sb.transpose(T, (1, 0, 2))", "[Tⱼᵢₖ]ᵢⱼₖ", "[Tⱼᵢₖ]ᵢⱼₖ"),
    ("sb.eye('N')[:, None, :, None] * sb.eye('D')[None, :, None]", "[δᵢₖδⱼₗ]ᵢⱼₖₗ", "[δᵢₖδⱼₗ]ᵢⱼₖₗ"),
    ("A[:, None] - B", "[Aᵢₖ − Bⱼₖ]ᵢⱼₖ", "[Aᵢₖ − Bⱼₖ]ᵢⱼₖ"),
    ("sb.sum((A[:, None] - B)**2, axis=-1)", "[Σₖ (Aᵢₖ − Bⱼₖ)²]ᵢⱼ", "[Σₖ (Aᵢₖ − Bⱼₖ)²]ᵢⱼ"),
    ("sb.exp(-sb.sum((A[:, None] - B)**2, axis=-1))", "[exp(−Σₖ (Aᵢₖ − Bⱼₖ)²)]ᵢⱼ", "[exp(−Σₖ (Aᵢₖ − Bⱼₖ)²)]ᵢⱼ"),
    ("x[:, None, None] * T + A[:, :, None]", "[xᵢTᵢⱼₖ + Aᵢⱼ]ᵢⱼₖ", "[xᵢTᵢⱼₖ + Aᵢⱼ]ᵢⱼₖ"),
    ("x[:, None, None] * T * (A @ w)[:, None, None]", "[xᵢTᵢⱼₖ(Aw)ᵢ]ᵢⱼₖ", "[xᵢTᵢⱼₖΣₗ Aᵢₗwₗ]ᵢⱼₖ"),
    ("(A @ w + x)[:, None, None] * T", "[(Aw + x)ᵢTᵢⱼₖ]ᵢⱼₖ", "[(Σₗ Aᵢₗwₗ + xᵢ)Tᵢⱼₖ]ᵢⱼₖ"),
    ("sb.mean(T[:, :, None], axis=0)", "mean(T[:, :, None], axis=0)", "[Σₙ Tₙᵢⱼ/N]ᵢⱼ[:, None]"),
    ("sb.trace(S @ S)", "tr(SS)", "Σₙᵢ SₙᵢSᵢₙ"),
    ("sb.trace(sb.eye('N')) * s", "tr(eye(N))·s", "Ns"),
    ("sb.diag(x) @ S", "diag(x)·S", "[xᵢSᵢⱼ]ᵢⱼ"),
    ("sb.diag(S) - x", "diag(S) − x", "[Sᵢᵢ − xᵢ]ᵢ"),
    ("sb.linalg.inv(S) @ x", "S⁻¹x", "[Σₙ (S⁻¹)ᵢₙxₙ]ᵢ"),
    ("(Σ + δ) @ x", "(Σ + δ)x", "[Σₙ ((Σ)ᵢₙ + (δ)ᵢₙ)xₙ]ᵢ"),
    ("c * S", "c ⊙ S", "[c[:, 0]ᵢ·Sᵢⱼ]ᵢⱼ"),
    ("sb.broadcast_to(x, ('K', 'N'))", "broadcast_to(x, (K, N))", "broadcast_to([xᵢ]ᵢ, (K, N))"),
    ("sb.sum(sb.broadcast_to(x, ('K', 'N')))", "sum(broadcast_to(x, (K, N)))", "KΣₙ xₙ"),
    ("S / (x @ x) + 2", "S/(xᵀx) + 2", "[Sᵢⱼ/(Σₙ xₙ²) + 2]ᵢⱼ"),
    ("(S > s) * x", "[S > s] ⊙ x", "[[Sᵢⱼ > s]·xⱼ]ᵢⱼ"),
    ("S[1:] @ x", "S[1:]·x", "[Σₙ S[1:]ᵢₙ·xₙ]ᵢ"),
    ("sb.sum(S, axis=1, keepdims=True)", "sum(S, axis=1, keepdims=True)", "[Σₙ Sᵢₙ]ᵢ[:, None]"),
    ("sb.broadcast_to(s, ('N', 2))", "broadcast_to(s, (N, 2))", "broadcast_to(s, (N, 2))"),
    ("sb.transpose(T, (1, 0, 2))[0].T @ x", "[Tⱼᵢₖ]ᵢⱼₖ[0]ᵀ·x", "[Σₙ ([Tₖⱼₗ]ⱼₖₗ[0])ₙᵢxₙ]ᵢ"),
    ("x", "x", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "auto", "index"), IN_INDICES, ids=[case[0] for case in IN_INDICES])
def test_what_matrices_cannot_say_is_written_with_indices(source, auto, index):
    expr = build(TENSORS, source)
    assert text(expr, simplify=False) == auto
    assert text(expr, simplify=False, notation="index") == index


INDEX_LATEX = texts(
    [
        ("sb.einsum('hij,kj->hik', Q, A)", r"\left[\sum_{l} Q_{ijl} A_{kl}\right]_{ijk}"),
        ("sb.einsum('ijk,jk->i', T, W1)", r"\left[\sum_{j,k} T_{ijk} W_{1,jk}\right]_{i}"),
        ("sb.transpose(T, (1, 0, 2))", r"\left[T_{jik}\right]_{ijk}"),
        ("sb.eye('N')[:, None, :, None] * S[None, :, None]", r"\left[\delta_{ik} S_{jl}\right]_{ijkl}"),
        ("(A @ w + x)[:, None, None] * T", r"\left[\left(A w + x\right)_{i} T_{ijk}\right]_{ijk}"),
        ("sb.sum((A[:, None] - B)**2)", r"\sum_{n,i,j} \left(A_{ni} - B_{ji}\right)^{2}"),
        ("x[:, None, None] * sb.square(T)", r"\left[x_{i} {T_{ijk}}^{2}\right]_{ijk}"),
    ],
    TENSORS,
)


@pytest.mark.parametrize(("spec", "source", "expected"), INDEX_LATEX)
def test_indices_in_latex_are_written_like_this(spec, source, expected):
    assert latex(build(spec, source), simplify=False) == expected


def test_jacobians_and_hessians_contract_the_identity():
    X, W, Y, A = sb.symbols("X[N,D] W[D,K] Y[N,K] A[N,N]")
    assert text(sb.jacobian(X @ W, W)) == "[δⱼₗXᵢₖ]ᵢⱼₖₗ"
    assert text(sb.hessian(sb.sum((X @ W - Y) ** 2), W)) == "[2δⱼₗ(XᵀX)ᵢₖ]ᵢⱼₖₗ"
    assert text(sb.hessian(sb.trace(A @ A @ A), A)) == "[3(δᵢₗAⱼₖ + δⱼₖAₗᵢ)]ᵢⱼₖₗ"
    assert text(sb.jacobian(sb.linalg.inv(A), A)) == "[−(A⁻¹)ᵢₖ(A⁻¹)ₗⱼ]ᵢⱼₖₗ"


def test_hessians_and_jacobians_hold_diagonal_matrices():
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    z = X @ w
    loss = sb.mean(sb.log1p(sb.exp(z)) - y * z)
    assert text(sb.hessian(loss, w)) == "Xᵀ diag(σ(Xw) ⊙ (1 − σ(Xw)))·X/N"
    assert text(sb.jacobian(sb.tanh(z), w)) == "diag(1 − tanh(Xw)²)·X"
    assert text(sb.hessian(sb.sum(sb.exp(w)), w)) == "diag(exp(w))"
    assert text(sb.jacobian(sb.softmax(w), w)) == "diag(softmax(w)) − softmax(w)·softmax(w)ᵀ"
    assert text(sb.jacobian(sb.linalg.norm(w) * w, w)) == "w(w/‖w‖)ᵀ + ‖w‖·I"


def test_the_gradient_of_a_convolution_is_one_sum():
    patches, kernel, target = sb.symbols("I[N,C,P,Q,R,S] F[O,C,R,S] T[N,O,P,Q]")
    loss = sb.mean((sb.einsum("ncpqrs,ocrs->nopq", patches, kernel) - target) ** 2)
    assert text(loss) == "Σₙₚᵢⱼ (Σₖᵣₛ IₙₖₚᵢᵣₛFⱼₖᵣₛ − Tₙⱼₚᵢ)²/(NOPQ)"
    assert text(sb.grad(loss, kernel)) == "[2Σₙₚₘ (Σᵣₛₜ IₙᵣₚₘₛₜFᵢᵣₛₜ − Tₙᵢₚₘ)Iₙⱼₚₘₖₗ/(N·O·P·Q)]ᵢⱼₖₗ"


def test_gradients_of_tensors_are_one_sum():
    T, U, Z = sb.symbols("T[N,I,D] U[K,D] Z[N,I,K]")
    loss = sb.sum((sb.einsum("nid,kd->nik", T, U) - Z) ** 2)
    assert text(loss) == "Σₙᵢₖ (Σⱼ TₙᵢⱼUₖⱼ − Zₙᵢₖ)²"
    assert text(sb.grad(loss, U)) == "[2Σₙₖ (Σₗ TₙₖₗUᵢₗ − Zₙₖᵢ)Tₙₖⱼ]ᵢⱼ"


def test_shared_tensors_are_listed_and_subscripted():
    Q, K, V = sb.symbols("Q[H,N,D] K[H,N,D] V[H,N,D]")
    a = sb.softmax(Q @ sb.transpose(K, (0, 2, 1)) / 8)
    assert text(sb.grad(sb.sum((a @ V) ** 2), V), where=True) == (
        "[2Σₙₗ UᵢₙⱼUᵢₙₗVᵢₗₖ]ᵢⱼₖ\n  where U = softmax([Σₗ QᵢⱼₗKᵢₖₗ/8]ᵢⱼₖ)"
    )
    T = sb.einsum("hij,hkj->hik", Q, K)
    shown = text(sb.einsum("hij,hjk->hik", T, T), where=True)
    assert shown == "[Σₙ UᵢⱼₙUᵢₙₖ]ᵢⱼₖ\n  where U = [Σₗ QᵢⱼₗKᵢₖₗ]ᵢⱼₖ"


def test_more_indices_than_letters_are_not_written():
    x = sb.symbol("x", (2,) * 13)
    assert text(sb.transpose(x)).startswith("transpose(x, ")


def test_tensors_that_use_one_another_cost_what_they_are():
    x = sb.symbol("x", ("N", "N", "N"))
    for _ in range(200):
        x = sb.einsum("hij,hjk->hik", x, x)
    shown = text(x, where=True)
    assert len(shown.split("\n")) == 200
    assert max(map(len, shown.split("\n"))) < 60


def test_the_notation_is_one_of_three():
    with pytest.raises(ValueError, match='notation is "auto", "index" or "matrix", not 1'):
        text(sb.symbol("x"), notation=1)


# --- long lines -------------------------------------------------------------------------------------------------


def _network(width):
    X, y, b = sb.symbols("X[N,D] y[N] b[N]")
    h = X
    for layer in range(3):
        h = sb.tanh(h @ sb.symbol(f"W{layer}", ("D", "D")) + sb.symbol(f"c{layer}", "D"))
    return text(h @ sb.symbol("v", "D") - y + b * sb.exp(b) - sb.sin(y) * sb.cos(b), line_width=width)


def test_long_lines_are_broken_before_operators_outside_first():
    assert _network(60) == ("tanh(tanh(tanh(X W0 + c0)·W1 + c1)·W2 + c2)·v − y\n  + b ⊙ exp(b) − sin(y) ⊙ cos(b)")
    assert _network(40) == ("tanh(tanh(tanh(X W0 + c0)·W1 + c1)·W2\n     + c2)·v − y + b ⊙ exp(b)\n  − sin(y) ⊙ cos(b)")


def test_long_lines_of_parts_are_aligned_behind_the_equals_sign():
    x, y = sb.symbols("x[N] y[N]")
    z = (sb.exp(x) * sb.sin(y) + sb.log(x) * sb.cos(y) - sb.sqrt(x)).named("z")
    assert text(z * z, where=True, line_width=30) == (
        "z ⊙ z\n  where z = exp(x) ⊙ sin(y)\n            + log(x) ⊙ cos(y)\n            − √x"
    )


@pytest.mark.parametrize("width", [1, 20, 60, 100])
@pytest.mark.parametrize("seed", range(20))
def test_broken_lines_say_what_the_long_one_says(seed, width):
    with sb.Graph():
        expr = Grower(f"broken{seed}").grow(seed % 3, 5)
        whole = text(expr, simplify=False, where=False, width=10_000, line_width=10_000)
        lines = text(expr, simplify=False, where=False, width=10_000, line_width=width).split("\n")
    assert all(line.lstrip()[0] in "+−⊙·" for line in lines[1:])
    assert "".join("".join(lines).split()) == "".join(whole.split())
    for line in lines:
        inside = line.lstrip()[1:]
        assert len(line) <= width or not re.search(r" [+−⊙] |·", inside)


def test_breaking_a_long_line_costs_what_it_is_long():
    line = " + ".join(["f(" * 20 + "x" + ")" * 20] * 20_000)
    assert broken(line, 100).count("\n") >= 9_999


def test_long_formulas_in_latex_are_rows():
    a, b, c = sb.symbols("a b c")
    z = (sb.exp(a + b) - sb.sin(c)).named("z")
    assert latex(z - a, line_width=8) == (
        r"\begin{array}{l}\exp\left(a + b\right) \\ \quad {} - \sin\left(c\right) - a\end{array}"
    )
    assert latex(z * z, line_width=8, where=True) == (
        r"\begin{array}{l}z z \\ \quad \text{where } z = \exp\left(a + b\right) \\ "
        r"\qquad \qquad {} - \sin\left(c\right)\end{array}"
    )


# --- notebooks --------------------------------------------------------------------------------------------------


def test_containers_of_expressions_are_shown_as_formulas():
    shell = InteractiveShell()
    register(shell)
    x, W1 = sb.symbols("x[N] W1[N,N]")

    def shown(value):
        return shell.display_formatter.format(value)[0].get("text/latex")

    assert shown([W1 @ x, x]) == r"$\left[\begin{array}{l}\displaystyle W_{1} x \\ \displaystyle x\end{array}\right]$"
    assert shown((x,)) == r"$\left(\begin{array}{l}\displaystyle x\end{array}\right)$"
    assert shown({"dW1": W1, x: 2 * x}) == (
        r"$\left\{\begin{array}{rl}\mathrm{dW}_{1} : & \displaystyle W_{1} \\ "
        r"x : & \displaystyle 2 x\end{array}\right\}$"
    )
    for value in ([W1 @ x, x], (x,), {"dW1": W1, x: 2 * x}):
        check_latex(shown(value).strip("$"))
    assert shown([1, 2]) is shown([]) is shown({"a": 1}) is shown([x, 1]) is None


def test_a_notebook_shows_the_formulas_of_a_list():
    cell = nbformat.v4.new_code_cell("import symbackprop as sb\nx = sb.symbol('x')\n[x, sb.exp(x)]")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert r"\exp\left(x\right)" in output["data"]["text/latex"]


# --- shared parts ----------------------------------------------------------------------------------------------


def test_named_and_shared_parts_are_listed_on_request():
    X, w, b = sb.symbols("X[N,D] w[D] b")
    z = (X @ w + b).named("z")
    s = sb.sigmoid(z)
    assert text(s * (1 - s)) == "σ(Xw + b) ⊙ (1 − σ(Xw + b))"
    assert text(s * (1 - s), where=True) == "u ⊙ (1 − u)\n  where z = Xw + b\n        u = σ(z)"
    assert latex(s * (1 - s), where=True) == (
        r"\begin{array}{l}u \odot \left(1 - u\right) \\ \quad \text{where } z = X w + b \\ "
        r"\quad u = \sigma\left(z\right)\end{array}"
    )


def test_generated_names_avoid_the_users():
    u, v, A = sb.symbols("u v[N] U[N,N]")
    s = sb.exp(u * v)
    assert "where w = exp(uv)" in text(s * (1 - s), where=True)
    S = sb.exp(A)
    assert "where V = exp(U)" in text(S * (1 - S), where=True)


def test_a_label_that_is_taken_is_not_used_twice():
    x = sb.symbol("x")
    y = sb.exp(x).named("x")
    assert text(y + y * x, where=True, simplify=False) == "u + ux\n  where u = exp(x)"


def test_an_equation_in_a_line_has_brackets():
    x, y = sb.symbols("x y")
    same = sb.equal(x, y).named("q")
    assert text(sb.where(same, x, 0), where=True) == "where(q, x, 0)\n  where q = [x = y]"


def test_a_listed_mean_is_a_scalar():
    v = sb.symbol("v", "N")
    m = sb.mean(v, keepdims=True).named("m")
    assert text((v - m) * m, where=True, simplify=False) == "m(v − m)\n  where m = mean(v)"


def test_where_is_one_of_three():
    with pytest.raises(ValueError, match="where is \"auto\", True or False, not 'no'"):
        text(sb.symbol("x"), where="no")


def test_the_formula_of_a_named_value_is_not_its_name():
    x = sb.symbol("x")
    assert text(sb.exp(x).named("y")) == "exp(x)"


def test_derivatives_of_activations_are_primed_on_request():
    x, z = sb.symbols("x z")
    s = sb.sigmoid(z)
    assert text(x * (s * (1 - s)), primes=True) == "x σ′(z)"
    assert text(s * (x * (1 - s)), primes=True, simplify=False) == "x σ′(z)"
    assert text(1 - sb.tanh(z) ** 2, primes=True) == "tanh′(z)"
    assert latex(1 - sb.tanh(z) ** 2, primes=True) == r"\tanh'\left(z\right)"
    assert text(s * (1 - s)) == "σ(z)·(1 − σ(z))"


# --- the cost --------------------------------------------------------------------------------------------------


def _chain(length):
    x, b = sb.symbols("x b")
    for _ in range(length):
        x = x * b + 1
    return x


def _tower(length):
    x = sb.symbol("x")
    for _ in range(length):
        x = -sb.sin(x)
    return x


def _doubling(length):
    x = sb.symbol("x")
    for _ in range(length):
        x = x * x + x
    return x


def _product(length):
    x, y = sb.symbols("x y")
    for _ in range(length):
        x = x * sb.sigmoid(y)
    return x


@pytest.mark.parametrize("where", ["auto", True, False])
@pytest.mark.parametrize("make", [_chain, _tower, _doubling, _product])
def test_cost_is_linear_and_lines_are_bounded(make, where, monkeypatch):
    written = []
    built = walk._Writer._built
    monkeypatch.setattr(walk._Writer, "_built", lambda *args: written.append(built(*args)) or written[-1])

    def characters(length):
        written.clear()
        shown = text(make(length), simplify=False, where=where, primes=True)
        assert max(map(len, shown.split("\n"))) < 300
        return sum(len(piece.text) for piece in written)

    small, large = characters(400), characters(1600)
    assert large <= 4.4 * small + 4000


def test_long_products_are_searched_for_primes_once(monkeypatch):
    looked = []
    outer = walk._Views._outer
    monkeypatch.setattr(walk._Views, "_outer", lambda *args: looked.append(args) or outer(*args))
    text(_product(1000), simplify=False, primes=True)
    assert len(looked) <= 3000


def test_many_operands_are_named_in_few_rounds(monkeypatch):
    rounds = []
    built = walk._Writer._built
    monkeypatch.setattr(walk._Writer, "_built", lambda *args: rounds.append(args) or built(*args))
    x = sb.symbol("x", 1)
    joined = sb.concatenate([sb.sin(x * number) for number in range(1000)])
    text(joined, simplify=False, where=False)
    assert len(rounds) < 3100


def test_a_chain_of_50000_nodes_is_printed():
    shown = text(_tower(25_000), simplify=False, where=False)
    assert shown.count("sin(") == 25_000


# --- texts that are read back ----------------------------------------------------------------------------------

FUNCTIONS_READ = {
    "exp": lambda x: x * x + 2,
    "sin": lambda x: 3 * x + 1,
    "σ": lambda x: x * x - x,
    "tanh": lambda x: 5 - x,
    "√": lambda x: x * x + 7,
    "|": abs,
}
_SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_TOKEN = re.compile(r"½|\d+(?:\.\d+)?(?:e[-+]?\d+)?|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|[^\W_]\w*|\S")


def elementwise(function, x):
    return np.vectorize(function, otypes=[object])(x) if np.ndim(x) else function(x)


def plain(x):
    return x[0, 0] if np.shape(x) == (1, 1) else x


class Reader:
    """Reads a formula's text, given what the names stand for; vectors are columns."""

    def __init__(self, source, names):
        self.names = sorted(names, key=len, reverse=True)
        self.values = names
        self.tokens = self.split(source)
        self.at = 0

    def split(self, source):
        found = []
        for match in _TOKEN.finditer(source):
            token = match[0]
            called = token in FUNCTIONS_READ and source.startswith("(", match.end())
            found += self.segments(token) if token[0].isalpha() and not called else [token]
        return found

    def segments(self, run):
        found = []
        while run:
            name = next((name for name in self.names if run.startswith(name)), run[0])
            found.append(name)
            run = run[len(name) :]
            while run and run[0] in "²³ᵀ":
                found.append(run[0])
                run = run[1:]
        return found

    @property
    def next(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted):
        if self.next and self.next in wanted:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def need(self, token):
        assert self.take(token), f"{token!r} expected at {self.tokens[self.at :]}"

    def comparison(self):
        left = self.sum()
        sign = self.take(">", "<", "≥", "≤")
        if not sign:
            return left
        compare = {">": operator.gt, "<": operator.lt, "≥": operator.ge, "≤": operator.le}[sign]
        right = self.sum()
        return elementwise(int, np.vectorize(compare, otypes=[object])(left, right)[()])

    def sum(self):
        sign = self.take("−")
        total = -self.hadamard() if sign else self.hadamard()
        while sign := self.take("+", "−"):
            term = self.hadamard()
            total = total + term if sign == "+" else total - term
        return total

    def hadamard(self):
        total = self.quotient()
        while self.take("⊙"):
            total = total * self.quotient()
        return total

    def quotient(self):
        total = self.product()
        while self.take("/"):
            total = total / self.factor()
        return total

    def product(self):
        total = self.factor()
        while self.take("·") or self.starts_factor():
            factor = self.factor()
            both = np.ndim(total) and np.ndim(factor)
            total = plain(total @ factor) if both else total * factor
        return total

    def starts_factor(self):
        return self.next in {"(", "√"} or self.next[:1].isalnum()

    def factor(self):
        base = self.base()
        while True:
            if self.take("ᵀ"):
                base = np.transpose(base)
            elif self.next and set(self.next) <= set("⁻⁰¹²³⁴⁵⁶⁷⁸⁹"):
                exponent = int(self.take(self.next).translate(_SUPERSCRIPTS))
                base = elementwise(lambda x, exponent=exponent: Fraction(x) ** exponent, base)
            else:
                return base

    def base(self):
        part = self.tokens[self.at]
        self.at += 1
        if part == "√":
            return elementwise(FUNCTIONS_READ["√"], self.base())
        if part in FUNCTIONS_READ and part != "|" and self.next == "(":
            self.need("(")
            value = elementwise(FUNCTIONS_READ[part], self.comparison())
            self.need(")")
            return value
        if part in {"(", "[", "|"}:
            value = self.comparison()
            self.need({"(": ")", "[": "]", "|": "|"}[part])
            return elementwise(abs, value) if part == "|" else value
        if part == "½":
            return Fraction(1, 2)
        return self.values[part] if part in self.values else Fraction(part)

    def read(self):
        value = self.comparison()
        assert self.at == len(self.tokens), f"left over: {self.tokens[self.at :]}"
        return value


_MEANINGS = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "matmul": operator.matmul,
    "negative": operator.neg,
    "square": lambda x: x * x,
    "transpose": np.transpose,
    "power": lambda x, n: elementwise(lambda each: Fraction(each) ** int(n), x),
    "greater": lambda x, y: elementwise(int, np.vectorize(operator.gt, otypes=[object])(x, y)[()]),
    **{
        name: lambda x, name=mark: elementwise(FUNCTIONS_READ[name], x)
        for name, mark in [
            ("exp", "exp"),
            ("sin", "sin"),
            ("sigmoid", "σ"),
            ("tanh", "tanh"),
            ("sqrt", "√"),
            ("abs", "|"),
        ]
    },
}


def computed(expr, values):
    """Compute an expression in exact fractions."""
    graph, known = expr.graph, {}
    for number in graph.reachable([expr.number]):
        node = graph.nodes[number]
        operands = [known[operand] for operand in node.inputs]
        if node.op.name == "symbol":
            known[number] = values[node.params["name"]]
        elif node.op.name == "constant":
            known[number] = Fraction(node.params["value"].array.item())
        elif node.op.name == "expand_dims":
            known[number] = np.expand_dims(operands[0], node.params["axes"])
        else:
            known[number] = _MEANINGS[node.op.name](*operands)
    return known[expr.number]


class Grower:
    """Makes random expressions over scalars, vectors and square matrices."""

    def __init__(self, seed):
        self.pick = random.Random(seed)  # noqa: S311  (formulas, no secrets)
        names = "a b e x p lr W1 e3 σ exp"
        self.pools = {
            0: [sb.symbol(name) for name in names.split()] + [sb.constant(value) for value in (2.0, 3.0, 0.5, -2.0)],
            1: [sb.symbol(name, "N") for name in ("u", "v", "vec")],
            2: [sb.symbol(name, ("N", "N")) for name in ("A", "B", "M1")],
        }

    def grow(self, rank, depth):
        if depth == 0:
            return self.pick.choice(self.pools[rank])
        return self.pick.choice([self.unary, self.binary, self.binary, self.special])(rank, depth - 1)

    def unary(self, rank, depth):
        x = self.grow(rank, depth)
        makers = [operator.neg, sb.exp, sb.sin, sb.sigmoid, sb.tanh, sb.sqrt, abs, sb.square, lambda x: x**3]
        return self.pick.choice(makers)(x)

    def binary(self, rank, depth):
        other = self.pick.choice([rank, rank, 0])
        operands = [self.grow(rank, depth), self.grow(other, depth)]
        makers = [operator.add, operator.sub, operator.mul, operator.mul, lambda x, y: (x > y) * x]
        makers += [operator.truediv] if not other else []
        if self.pick.random() < 0.5 and rank == other:
            operands.reverse()
        if rank == other or self.pick.random() < 0.5:
            return self.pick.choice(makers)(*operands)
        return operands[1] * operands[0]

    def special(self, rank, depth):
        if rank == 0:
            return self.grow(1, depth) @ self.grow(1, depth)
        if rank == 1:
            matrix, vector = self.grow(2, depth), self.grow(1, depth)
            return self.pick.choice([lambda: matrix @ vector, lambda: vector @ matrix])()
        makers = [
            lambda: self.grow(2, depth) @ self.grow(2, depth),
            lambda: self.grow(2, depth).T,
            lambda: self.grow(1, depth)[:, None] * self.grow(1, depth)[None, :],
        ]
        return self.pick.choice(makers)()

    def values(self):
        shapes = {0: (), 1: (3,), 2: (3, 3)}
        found = {}
        for rank, pool in self.pools.items():
            for expr in pool:
                if expr.name:
                    count = 3**rank
                    numbers = [Fraction(self.pick.randint(-4, 5) or 1, self.pick.randint(1, 3)) for _ in range(count)]
                    found[expr.name] = np.array(numbers, object).reshape(shapes[rank]) if rank else numbers[0]
        return found


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_text_says_what_the_expression_says(rank, depth):
    read = 0
    for seed in range(150):
        with sb.Graph():
            grower = Grower(f"{rank}{depth}{seed}")
            expr = grower.grow(rank, depth)
            values = grower.values()
            shown = text(expr, simplify=False, where=False, width=100_000)
        try:
            expected = computed(expr, values)
        except ZeroDivisionError:
            continue
        columns = {name: value[:, None] if np.ndim(value) == 1 else value for name, value in values.items()}
        found = Reader(shown, columns).read()
        assert np.all(np.reshape(found, np.shape(expected)) == expected), shown
        read += 1
    assert read > 75


def test_reading_back_tells_wrong_texts():
    values = {"a": Fraction(1), "b": Fraction(2), "c": Fraction(5)}
    assert Reader("a − (b − c)", values).read() != Reader("a − b − c", values).read()


def test_parts_of_one_length_of_arrays_of_one_element_are_listed():
    A, S = sb.symbol("A", (1, 1)), sb.symbol("S", (1, 1, 1))
    X = sb.linalg.matrix_transpose(sb.linalg.solve(A, S))
    Y = sb.linalg.inv(X)
    gradient = sb.grad(sb.sum(sb.sin(sb.linalg.inv(Y - X))), S)
    assert "\n  where " in text(gradient, width=20)
