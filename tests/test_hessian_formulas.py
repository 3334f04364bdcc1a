"""Jacobians, Hessians and third derivatives as people write them: golden text that reads back to the same values."""

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.dims import bind
from tests.round_trip import check_round_trip
from tests.test_hessians import composed

SIZES = {"N": 4, "D": 3, "K": 2, "M": 5, "H": 3, "P": 2, "J": 3}

LOGISTIC = "-mean(y * log(sigmoid(X @ w)) + (1 - y) * log(1 - sigmoid(X @ w)))"
ENTROPY = "-mean(sum(Y * log(softmax(X @ W)), axis=1))"
DISTANCES = "sum((P[:, None] - P[None])**2, axis=2)"
FITTED = """\
[4(δᵢₖ(δⱼₗ(Σₙ Uᵢₙ + Σₙ Uₙᵢ) + 4Σₙ (Pₙⱼ − Pᵢⱼ)(Pₙₗ − Pᵢₗ)) − δⱼₗ(Uₖᵢ + Uᵢₖ))
 − 16(Pₖⱼ − Pᵢⱼ)(Pₖₗ − Pᵢₗ)]ᵢⱼₖₗ
  where U = [Σₖ (Pᵢₖ − Pⱼₖ)² − Cᵢⱼ]ᵢⱼ"""
TWO_LAYERS = """\
[2Σₙ XₙᵢXₙₖPₙⱼ(Pₙₗ(VVᵀ)ⱼₗ − 2δⱼₗUₙⱼ((UV − Y)Vᵀ)ₙⱼ)/(K·N)]ᵢⱼₖₗ
  where U = tanh(XW)
        P = 1 − U²"""

MATRICES = [
    ("quadratic form", "A[N,N] x[N]", "hessian(x @ A @ x, x)", "Aᵀ + A"),
    ("least squares", "X[N,D] w[D] y[N]", "hessian(sum((X @ w - y)**2), w)", "2XᵀX"),
    ("ridge", "X[N,D] w[D] y[N] t", "hessian(sum((X @ w - y)**2) + t * sum(w**2), w)", "2(XᵀX + tI)"),
    ("logistic", "X[N,D] w[D] y[N]", f"hessian({LOGISTIC}, w)", "Xᵀ diag(σ(Xw) ⊙ (1 − σ(Xw)))·X/N"),
    ("Poisson", "X[N,D] w[D] y[N]", "hessian(sum(exp(X @ w) - y * (X @ w)), w)", "Xᵀ diag(exp(Xw))·X"),
    ("softmax", "x[N]", "jacobian(softmax(x), x)", "diag(softmax(x)) − softmax(x)·softmax(x)ᵀ"),
    ("log-sum-exp", "x[N]", "hessian(logsumexp(x), x)", "diag(softmax(x)) − softmax(x)·softmax(x)ᵀ"),
    ("elementwise", "x[N]", "hessian(sum(x**3), x)", "6 diag(x)"),
    ("quartic", "x[N]", "hessian(sum(x * x)**2, x)", "8xxᵀ + 4·‖x‖²·I"),
    ("norm", "x[N]", "hessian(norm(x), x)", "(I − (x/‖x‖)(x/‖x‖)ᵀ)/‖x‖"),
    ("bilinear block", "x[N] y[N] A[N,N]", "hessian(x @ A @ exp(y), [x, y])[0][1]", "A ⊙ exp(y)"),
    (
        "Gauss-Newton",
        "X[N,D] w[D] y[N]",
        "(lambda r: gauss_newton(sum(r**2), r, w))(tanh(X @ w) - y)",
        "2Xᵀ diag((1 − tanh(Xw)²)²)·X",
    ),
    ("Hessian times vector", "X[N,D] w[D] y[N] v[D]", f"hvp({LOGISTIC}, w, v)", "Xᵀ(Xv ⊙ σ(Xw) ⊙ (1 − σ(Xw)))/N"),
    (
        "matrix factorisation, as a matrix",
        "T[N,M] U[N,K] V[M,K]",
        "reshape(hessian(sum((T - U @ V.T)**2), U), ('N*K', 'N*K'))",
        "2(eye(N) ⊗ VᵀV)",
    ),
]

TENSORS = [
    ("layer by weights", "X[N,D] W[D,K]", "jacobian(X @ W, W)", "[δⱼₗXᵢₖ]ᵢⱼₖₗ"),
    ("layer by inputs", "X[N,D] W[D,K]", "jacobian(X @ W, X)", "[δᵢₖWₗⱼ]ᵢⱼₖₗ"),
    ("tanh layer", "X[N,D] W[D,K]", "jacobian(tanh(X @ W), W)", "[δⱼₗ(1 − tanh(XW)²)ᵢⱼXᵢₖ]ᵢⱼₖₗ"),
    (
        "layer by bias",
        "X[N,D] W[D,K] b[K]",
        "jacobian(sigmoid(X @ W + b), b)",
        "[δⱼₖ σ(XW + b)ᵢⱼ·(1 − σ(XW + b))ᵢⱼ]ᵢⱼₖ",
    ),
    ("outer product", "x[N] y[M]", "jacobian(outer(x, y), x)", "[δᵢₖyⱼ]ᵢⱼₖ"),
    ("transpose", "X[N,D]", "jacobian(X.T, X)", "[δᵢₗδⱼₖ]ᵢⱼₖₗ"),
    ("Gram matrix", "X[N,D]", "jacobian(X.T @ X, X)", "[δᵢₗXₖⱼ + δⱼₗXₖᵢ]ᵢⱼₖₗ"),
    ("inverse", "A[N,N]", "jacobian(inv(A), A)", "[−(A⁻¹)ᵢₖ(A⁻¹)ₗⱼ]ᵢⱼₖₗ"),
    ("log det", "A[N,N]", "hessian(slogdet(A).logabsdet, A)", "[−(A⁻¹)ₗᵢ(A⁻¹)ⱼₖ]ᵢⱼₖₗ"),
    ("det", "A[N,N]", "hessian(det(A), A)", "[det(A)·((A⁻¹)ⱼᵢ(A⁻¹)ₗₖ − (A⁻¹)ₗᵢ(A⁻¹)ⱼₖ)]ᵢⱼₖₗ"),
    ("trace of a power", "A[N,N]", "hessian(trace(A @ A @ A), A)", "[3(δᵢₗAⱼₖ + δⱼₖAₗᵢ)]ᵢⱼₖₗ"),
    ("fourth moment", "X[N,D]", "hessian(sum((X @ X.T)**2), X)", "[4(δᵢₖ(XᵀX)ⱼₗ + δⱼₗ(XXᵀ)ᵢₖ + XᵢₗXₖⱼ)]ᵢⱼₖₗ"),
    (
        "softmax regression",
        "X[N,D] W[D,K] Y[N,K]",
        f"hessian({ENTROPY}, W)",
        "[Σₙₘ YₙₘXₙᵢXₙₖ softmax(XW)ₙⱼ·(δⱼₗ − softmax(XW)ₙₗ)/N]ᵢⱼₖₗ",
    ),
    (
        "softmax regression, classes",
        "X[N,D] W[D,K] Y[N,K]",
        f"hessian((assume(Y, rows_sum_to=1), {ENTROPY})[1], W)",
        "[Σₙ XₙᵢXₙₖ softmax(XW)ₙⱼ·(δⱼₗ − softmax(XW)ₙₗ)/N]ᵢⱼₖₗ",
    ),
    ("matrix factorisation", "T[N,M] U[N,K] V[M,K]", "hessian(sum((T - U @ V.T)**2), U)", "[2δᵢₖ(VᵀV)ⱼₗ]ᵢⱼₖₗ"),
    (
        "matrix factorisation, mixed",
        "T[N,M] U[N,K] V[M,K]",
        "hessian(sum((T - U @ V.T)**2), [U, V])[0][1]",
        "[2(UᵢₗVₖⱼ − δⱼₗ(T − UVᵀ)ᵢₖ)]ᵢⱼₖₗ",
    ),
    ("squared distances", "P[N,D]", f"hessian(sum({DISTANCES}), P)", "[4δⱼₗ(δᵢₖN − 1)]ᵢⱼₖₗ"),
    (
        "fitted distances",
        "P[N,D] C[N,N]",
        f"hessian(sum(({DISTANCES} - C)**2), P)",
        FITTED,
    ),
    (
        "attention",
        "Q[N,D] K[M,D] V[M,P]",
        "jacobian(softmax(Q @ K.T) @ V, Q)",
        "[δᵢₖ(Σₘ softmax(QKᵀ)ᵢₘ·VₘⱼKₘₗ − (softmax(QKᵀ)·V)ᵢⱼ(softmax(QKᵀ)·K)ᵢₗ)]ᵢⱼₖₗ",
    ),
    (
        "Gaussian process, kernel",
        "K[N,N] y[N]",
        "hessian(y @ solve(K, y), K)",
        "[(K⁻ᵀy)ᵢ(K⁻¹)ⱼₖ(K⁻¹y)ₗ + (K⁻¹)ₗᵢ(K⁻¹y)ⱼ(K⁻ᵀy)ₖ]ᵢⱼₖₗ",
    ),
    (
        "two layers, outer weights",
        "X[N,D] W[D,H] V[H,K] Y[N,K]",
        "hessian(mean((tanh(X @ W) @ V - Y)**2), V)",
        "[2δⱼₗ(tanh(XW)ᵀ tanh(XW))ᵢₖ/(K·N)]ᵢⱼₖₗ",
    ),
    (
        "two layers, inner weights",
        "X[N,D] W[D,H] V[H,K] Y[N,K]",
        "hessian(mean((tanh(X @ W) @ V - Y)**2), W)",
        TWO_LAYERS,
    ),
    (
        "two layers, mixed",
        "X[N,D] W[D,H] V[H,K] Y[N,K]",
        "hessian(mean((tanh(X @ W) @ V - Y)**2), [W, V])[0][1]",
        "[2Σₙ Xₙᵢ(1 − tanh(XW)²)ₙⱼ(δⱼₖ(tanh(XW)·V − Y)ₙₗ + tanh(XW)ₙₖ·Vⱼₗ)/(K·N)]ᵢⱼₖₗ",
    ),
    (
        "ReLU network",
        "X[N,D] W[D,H] V[H,K] v[K] y[N]",
        "hessian(mean((relu(relu(X @ W) @ V) @ v - y)**2), W)",
        "[2Σₙ XₙᵢXₙₖUₙⱼUₙₗ/N]ᵢⱼₖₗ\n  where U = [XW > 0] ⊙ [relu(XW)·V > 0]·diag(v)·Vᵀ",
    ),
    (
        "shared weights",
        "T[N,J,D] U[K,D] Z[N,J,K]",
        "hessian(mean((einsum('njd,kd->njk', T, U) - Z)**2), U)",
        "[2δᵢₖΣₙₘ TₙₘⱼTₙₘₗ/(J·K·N)]ᵢⱼₖₗ",
    ),
    (
        "third derivative of Poisson regression",
        "X[N,D] w[D]",
        "jacobian(hessian(sum(exp(X @ w)), w), w)",
        "[Σₙ exp(Xw)ₙ·XₙᵢXₙⱼXₙₖ]ᵢⱼₖ",
    ),
    ("third derivative, elementwise", "x[N]", "jacobian(hessian(sum(x**4), x), x)", "[24δᵢⱼδᵢₖxᵢ]ᵢⱼₖ"),
    (
        "third derivative of log-sum-exp",
        "x[N]",
        "jacobian(hessian(logsumexp(x), x), x)",
        "[softmax(x)ᵢ·(δᵢⱼ(δᵢₖ − softmax(x)ₖ) + (2 softmax(x)ⱼ − δⱼₖ) softmax(x)ₖ − δᵢₖ softmax(x)ⱼ)]ᵢⱼₖ",
    ),
]

_DERIVATIVES = ["gauss_newton", "hessian", "hvp", "jacobian"]
_FUNCTIONS = ["einsum", "exp", "log", "logsumexp", "mean", "outer", "relu", "reshape", "sigmoid", "softmax", "sum"]
_FUNCTIONS += ["assume", "tanh", "trace"]
_MATRICES = ["det", "inv", "norm", "slogdet", "solve"]


@pytest.fixture(autouse=True)
def own_graph():
    with sb.Graph():
        yield


def built(spec, source):
    """Build a row, with values of its symbols."""
    symbols = [sb.symbol(each.name, each.shape) for each in sb.symbols(f"{spec} unused")[:-1]]
    functions = {name: getattr(sb, name) for name in (*_DERIVATIVES, *_FUNCTIONS)}
    functions |= {name: getattr(sb.linalg, name) for name in _MATRICES}
    names = functions | {symbol.name: symbol for symbol in symbols}
    expr = eval(source, names)  # noqa: S307  (the texts stand above)
    rng = np.random.default_rng(11)
    values = {symbol: rng.uniform(0.3, 1.3, bind(symbol.shape, SIZES)) for symbol in symbols}
    if "rows_sum_to" in source:
        values |= {symbol: each / each.sum(1, keepdims=True) for symbol, each in values.items() if symbol.name == "Y"}
    return expr, values


ROWS = [pytest.param(*row[1:], id=row[0]) for row in (*MATRICES, *TENSORS)]


@pytest.mark.parametrize(("spec", "source", "expected"), ROWS)
def test_derivatives_are_written_as_people_write_them(spec, source, expected):
    expr, values = built(spec, source)
    assert sb.text(expr) == expected
    every = tuple({"notation": notation, "where": where} for notation in ("auto", "index") for where in ("auto", True))
    check_round_trip(expr, values, options=every)


@pytest.mark.parametrize(("spec", "source", "_"), ROWS)
def test_what_is_written_so_stays_as_it_is(spec, source, _):
    once = sb.simplify(built(spec, source)[0])
    assert sb.text(sb.simplify(once), simplify=False) == sb.text(once, simplify=False)


VALUES = [  # what was once written wrongly
    ("X[N,D] w[D]", "hessian(sum(tanh(outer(w, w)) * exp(X.T @ X)), w)"),
    ("X[N,D] T[N,D]", "hessian(sum((T - X)**2) * exp(X[0, 0]), X)"),
    ("X[N,D]", "hessian(sum((X[1:] - X[:-1])**4), X)"),
    ("X[N,D]", "hessian(sum(tanh(X @ X.T)**2), X)"),
    ("x[N]", "hessian(sum((x[1:] - x[:-1]**2)**2), x)"),
    ("X[N,D] W[D,H] V[H,K]", "hessian(logsumexp(relu(relu(X @ W) @ V)), X)"),
]


@pytest.mark.parametrize(("spec", "source"), VALUES, ids=[source for _, source in VALUES])
def test_formulas_have_the_values_of_what_they_simplify(spec, source):
    expr, values = built(spec, source)
    found = sb.compile(list(values), [expr, sb.simplify(expr, effort="low"), sb.simplify(expr)])(*values.values())
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], rtol=1e-9, atol=1e-12)
    check_round_trip(expr, values)


@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_formulas_of_random_hessians_have_their_values(seed):
    f, values = composed(seed, named=seed % 4 == 0)
    used = set(f.graph.reachable([f.number]))
    values = {symbol: value for symbol, value in values.items() if symbol.number in used}
    hessians = [sb.hessian(f, x) for x in values if x.ndim]
    simpler = [sb.simplify(each, effort="low") for each in hessians]
    found = sb.compile(list(values), [hessians, simpler])(*values.values())
    for left, right in zip(*found, strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-7, atol=1e-9)


def test_an_element_of_what_is_negated_keeps_the_sign():
    X = sb.symbol("X", ("K", "N"))
    shares = sb.log_softmax(X, axis=0)
    f = sb.sum(sb.tanh(sb.where(shares > -1, shares, sb.abs(shares) * shares)))
    values = {X: np.random.default_rng(0).normal(size=(2, 3))}
    check_round_trip(sb.hessian(f, X), values)


def test_truth_values_twice_in_brackets_are_read():
    v = sb.symbol("v", "N")
    read = sb.parse("[[uᵢ]]ᵢ\n  where u = [v < 1]", [v], sizes=["N"])
    np.testing.assert_array_equal(sb.evaluate(read, {v: np.array([0.0, 2.0])}), [1, 0])


SOURCES = [
    ("T[N,M] U[N,K] V[M,K]", "hessian(sum((T - U @ V.T)**2), U)", "[2δᵢₖ(VᵀV)ⱼₗ]ᵢⱼₖₗ"),
    ("x[N]", "jacobian(softmax(x), x)", "diag(softmax(x)) − softmax(x)·softmax(x)ᵀ"),
    ("x[N]", "hessian(sum(x**3), x)", "diag(6x)"),
    ("X[N,D] w[D] t", "hessian(sum((X @ w)**2) + t * sum(w**2), w)", "2XᵀX + 2tI"),
    ("X[N,D] W[D,K]", "jacobian(X @ W, W)", "[δⱼₗXᵢₖ]ᵢⱼₖₗ"),
]


@pytest.mark.parametrize(("spec", "source", "expected"), SOURCES)
def test_generated_code_shows_structure_in_the_words_of_formulas(spec, source, expected):
    expr, values = built(spec, source)
    assert f"\n    H = {expected}\n" in sb.compile(list(values), {"H": expr}).source


LATEX = [
    (
        "V[M,K] U[N,K]",
        "hessian(sum((U @ V.T)**2), U)",
        r"\left[2 \delta_{ik} \left(V^{\top} V\right)_{jl}\right]_{ijkl}",
    ),
    ("x[N]", "jacobian(hessian(sum(x**4), x), x)", r"\left[24 \delta_{ij} \delta_{ik} x_{i}\right]_{ijk}"),
    (
        "X[N,D] W[D,K]",
        "hessian(mean(sum(exp(X @ W), axis=1)), W)",
        r"\left[\delta_{jl} \sum_{n} \frac{X_{ni} X_{nk} \, \exp\left(X W\right)_{nj}}{N}\right]_{ijkl}",
    ),
]


@pytest.mark.parametrize(("spec", "source", "expected"), LATEX)
def test_they_are_written_so_in_latex(spec, source, expected):
    assert sb.latex(built(spec, source)[0]) == expected
