"""Common factors come out of sums of arrays: the same values, at infinities too, and a product less for each."""

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.rewrite.common import rebuild_factored
from symbackprop.rewrite.engine import Rewritten

with sb.Graph():
    a, b, c, p, q, x, y, s, M = sb.symbols("a[N] b[N] c[N] p[N] q[N] x[N] y[N] s M[K,N]")

SUMS = {
    "side by side": (x * p + x * q, "x ⊙ (p + q)"),
    "on either side": (p * x - x * q, "x ⊙ (p − q)"),
    "apart": (x * p + a - q * x, "x ⊙ (p − q) + a"),
    "multiples": (a - 2 * (p * x) + 2 * (x * q), "a + 2x ⊙ (q − p)"),
    "several numbers": (3 * (x * p) + x * q * 2.0 - x * y, "x ⊙ (3p + 2q − y)"),
    "signs": (-(x * p) - (a + x * q), "−x ⊙ (p + q) − a"),
    "longer products": (a * (x * p) + b * q * x + c, "x ⊙ (a ⊙ p + b ⊙ q) + c"),
    "the factor of most": (a * p + a * x + b * x + c * x, "a ⊙ p + x ⊙ (a + b + c)"),
    "a square": (x * (x * p) + q * x, "x ⊙ (x ⊙ p + q)"),
    "a scalar": (s * p + a + s * q, "s(p + q) + a"),
}
OTHERS = {
    "nothing in common": x * p + y * q,
    "another shape": M * x + p * x,
    "the factor itself": x + x * p,
    "masks": x * (p > 0) + x * (q > 0),
    "in a quotient": x * p + x / q,
    "scalars": s * s + s * sb.exp(s),
    "some vanish where it grows": x * sb.sigmoid(x) + x * p,
    "what vanishes is common": sb.sigmoid(x) * x - sb.sigmoid(x) * x**2,
}


def values(seed=0):
    rng = np.random.default_rng(seed)
    return {each: rng.normal(size={"M": (2, 3), "s": ()}.get(str(each), 3)) for each in (a, b, c, p, q, x, y, s, M)}


@pytest.mark.parametrize("name", SUMS)
def test_common_factors_come_out(name):
    expr, expected = SUMS[name]
    (found,) = rebuild_factored([expr], Rewritten())
    assert str(found) == expected
    at = values()
    np.testing.assert_allclose(sb.compile(list(at), expr)(*at.values()), sb.evaluate(expr, at), rtol=1e-13)


@pytest.mark.parametrize("name", OTHERS)
def test_others_stay(name):
    assert str(rebuild_factored([OTHERS[name]], Rewritten())[0]) == str(OTHERS[name])


def test_a_product_that_something_else_uses_stays():
    product = x * p
    outputs = [product + x * q, sb.exp(product)]
    assert [str(each) for each in rebuild_factored(outputs, Rewritten())] == [str(each) for each in outputs]


def test_where_the_rest_of_all_terms_vanishes_the_limit_is_kept():
    expr = y + x * sb.exp(-(x**2)) - 2 * (sb.sigmoid(-(x**2)) * x)
    assert str(rebuild_factored([expr], Rewritten())[0]) == "y + x ⊙ (exp(−x²) − 2 σ(−x²))"
    far = np.array([np.inf, -np.inf, 1e200, 0.5])
    with np.errstate(over="ignore"):
        found = sb.compile([x, y], expr)(far, np.arange(4.0))
    np.testing.assert_array_equal(found[:3], [0, 1, 2])
    assert found[3] == pytest.approx(3 + 0.5 * (np.exp(-0.25) - 2 / (1 + np.exp(0.25))))


def test_the_cost_is_that_of_the_nodes():
    total = a
    for k in range(2000):
        total = total + x * sb.sin(a + k)
    (found,) = rebuild_factored([total], Rewritten())
    order = found.graph.reachable([found.number])
    assert sum(found.graph.nodes[number].op is sb.multiply for number in order) < 150
