"""Products of exponentials that are one and the same: identities, and the greeks of Black and Scholes."""

import mpmath
import numpy as np
import pytest

import symbackprop as sb
from symbackprop.rewrite.engine import Rewritten
from symbackprop.rewrite.exponents import rebuild_exponents
from symbackprop.rewrite.pipeline import PIPELINE, run

with sb.Graph():
    x, y, z, s, t = sb.symbols("x y z s t")
for positive in (s, t):
    sb.assume(positive, positive=True)
GAUSS = sb.exp(-(x**2) / 2)

ZERO = {
    "sum of exponents": sb.exp(x) * sb.exp(y) - sb.exp(x + y),
    "difference of exponents": sb.exp(x) / sb.exp(y) - sb.exp(x - y),
    "square": sb.exp(x) ** 2 - sb.exp(2 * x),
    "root": sb.sqrt(sb.exp(x)) - sb.exp(x / 2),
    "binomial": sb.exp((x + y) ** 2) - sb.exp(x * (x + 2 * y)) * sb.exp(y * y),
    "shifted density": sb.exp(-((x - y) ** 2) / 2) - sb.exp(x * y) * sb.exp(-(y**2) / 2) * GAUSS,
    "logarithm in the exponent": s * sb.exp(-x) - sb.exp(sb.log(s) - x),
    "power in the exponent": s**3 / t * sb.exp(x) - sb.exp(3 * sb.log(s) + x - sb.log(t)),
    "root in the exponent": sb.sqrt(s) * sb.exp(x) - sb.exp(sb.log(s) / 2 + x),
    "logarithm of a quotient": t * sb.exp(sb.log(s / t) * x) * sb.exp(y)
    - t * sb.exp(x * sb.log(s) - x * sb.log(t) + y),
    "number in the exponent": 2 * sb.exp(x) - sb.exp(x + np.log(2)),
    "roots that are multiplied": sb.exp(sb.sqrt(s) * x * sb.sqrt(s)) - sb.exp(s * x),
    "with factors": z * x * (sb.exp(x) * sb.exp(y)) - x * (z * sb.exp(x + y)),
    "several terms": (x + y) * sb.exp(z) * sb.exp(x) - x * sb.exp(z + x) - y * sb.exp(x + z),
}
OTHERS = {
    "another exponent": sb.exp(x) * sb.exp(y) - sb.exp(x - y),
    "a logarithm of what may be negative": y * sb.exp(-x) - sb.exp(sb.log(y) - x),
    "a root of what may be negative": sb.exp(sb.sqrt(y) * x * sb.sqrt(y)) - sb.exp(y * x),
    "the root of a square": sb.exp(sb.sqrt(y**2)) - sb.exp(y),
    "sums without exponentials": (x + y) ** 2 - x**2 - 2 * x * y - y**2 + 0 * sb.exp(x) * sb.exp(y),
}


@pytest.mark.parametrize("name", ZERO)
def test_a_difference_that_is_zero_goes(name):
    (found,) = rebuild_exponents([z + x * ZERO[name] / y], Rewritten())
    assert str(found) == "z"
    (found,) = rebuild_exponents([ZERO[name]], Rewritten())
    assert str(found) == "0"
    values = {x: 0.3, y: 0.7, z: -0.4, s: 1.3, t: 0.8}
    assert abs(sb.evaluate(ZERO[name], values)) < 1e-14


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_zero_stays(name):
    expr = z + OTHERS[name]
    assert str(rebuild_exponents([expr], Rewritten())[0]) == str(expr)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (sb.exp(x) * sb.exp(y) + sb.exp(x + y), "exp(x + y) + exp(x + y)"),
        (sb.exp(x) * sb.exp(y) - sb.exp(x + y) * 2, "exp(x + y) − 2 exp(x + y)"),
        (sb.sin(y * sb.exp(x) * sb.exp(z)) * (sb.exp(x + z) * -y), "−sin(−(−exp(x + z)·y))·exp(x + z)·y"),
    ],
)
def test_equal_products_become_one_of_the_fewest_exponentials(expr, expected):
    assert str(rebuild_exponents([expr], Rewritten())[0]) == expected


def test_arrays_are_zero_in_their_shape():
    with sb.Graph():
        a, b = sb.symbols("a[N,D] b[D]")
    outputs = [sb.exp(a) * sb.exp(b) - sb.exp(b + a), sb.sum(a * (sb.exp(a - b) - sb.exp(-b) * sb.exp(a)), axis=0)]
    found = sb.compile([a, b], outputs)(np.ones((3, 2)), np.ones(2))
    assert [value.shape for value in found] == [(3, 2), (2,)]
    assert not any(value.any() for value in found)


def test_the_cost_is_that_of_the_nodes():
    """Sums with more and more terms, and exponents of exponents, are taken as values of their own."""
    with sb.Graph():
        u, v, w = sb.symbols("u[N] v w")
        expr = u
        for k in range(60):
            expr = sb.exp(-((expr + k * v) ** 3) * (w + expr)) * (expr + sb.exp(w * u + k))
        before = [sb.sum(expr), *sb.grad(sb.sum(expr), [u, v])]
    assert len(run(before, [stage for stage in PIPELINE if stage.name in {"share", "exponents"}])) == 3


# --- Black and Scholes ------------------------------------------------------------------------------------------


def price(m, S, K, T, r, v):  # noqa: PLR0917  (in the order of the books)
    d1 = (m.log(S / K) + (r + v**2 / 2) * T) / (v * m.sqrt(T))
    d2 = d1 - v * m.sqrt(T)
    return S * normal(m, d1) - K * m.exp(-r * T) * normal(m, d2)


def normal(m, at):
    return (1 + m.erf(at / m.sqrt(2))) / 2


def greeks(**facts):
    xs = sb.symbols("S K T r v")
    for each in xs:
        if facts and each is not xs[3]:
            sb.assume(each, **facts)
    value = price(_Module, *xs)
    delta, theta, rho, vega = sb.grad(value, [xs[0], *xs[2:]])
    return xs, {"delta": delta, "theta": theta, "rho": rho, "vega": vega, "gamma": sb.grad(delta, xs[0])}


class _Module:
    log, exp, erf = sb.log, sb.exp, sb.erf

    @staticmethod
    def sqrt(value):
        return np.sqrt(value) if isinstance(value, int) else sb.sqrt(value)


def test_the_greeks_are_those_of_the_books():
    """F. Black, M. Scholes (1973), with d₁ = (log(S/K) + (r + v²/2)T)/(v√T), φ(d) = exp(−d²/2)/√(2π)."""
    with sb.Graph():
        _, found = greeks()
    assert str(sb.simplify(found["delta"])) == "Φ((log(S/K) + (r + v²/2)T)/(v√T))"
    gauss = "exp(−½((log(S/K) + (r + v²/2)T)/(v√T))²)"
    assert str(sb.simplify(found["vega"])) == f"0.3989422804014327S {gauss}·√T"
    assert str(sb.simplify(found["gamma"])) == f"0.3989422804014327 {gauss}/(Sv√T)"


def test_the_greeks_are_right_and_take_one_density():
    with sb.Graph():
        xs, found = greeks(positive=True)
    step = sb.compile(xs, found)
    assert step.source.partition("def f(")[2].count("gauss(") == 1
    rng = np.random.default_rng(0)
    for _ in range(20):
        at = [rng.uniform(*ends) for ends in ((50, 150), (50, 150), (0.2, 2), (0, 0.08), (0.1, 0.5))]
        with mpmath.workdps(40):
            truth = {
                name: mpmath.diff(lambda *q: price(mpmath, *q), at, order)
                for name, order in {
                    "delta": (1, 0, 0, 0, 0), "theta": (0, 0, 1, 0, 0), "rho": (0, 0, 0, 1, 0),
                    "vega": (0, 0, 0, 0, 1), "gamma": (2, 0, 0, 0, 0),
                }.items()
            }  # fmt: skip
        for name, value in step(*at).items():
            assert abs(value / truth[name] - 1) < 1e-12, (name, at)


def test_without_facts_what_is_compiled_keeps_the_logarithm_of_a_quotient():
    with sb.Graph():
        xs, found = greeks()
        source = sb.compile(xs, found["vega"]).source
    assert source.partition("def f(")[2].count("gauss(") == 2
