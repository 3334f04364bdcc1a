"""Five slips in the lecture texts, each found by `same`: as the slide has it, and as it should be.

``notebooks/03_check_my_derivative.ipynb`` tells the same story for students.
"""

from __future__ import annotations

import pytest

import symbackprop as sb


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def network():
    """The network of text 001: J = y* log y + (1 − y*) log(1 − y), y = σ(b), b = β·z, z = σ(a), a = αx."""
    alpha, beta, x = sb.symbols("α[J,I] β[J] x[I]")
    target = sb.symbol("y*")
    a = (alpha @ x).named("a")
    y = sb.sigmoid(beta @ sb.sigmoid(a)).named("y")
    return target * sb.log(y) + (1 - target) * sb.log(1 - y), y, a, alpha, x, target


def test_slip_1_the_sum_belongs_to_the_derivative_of_the_loss():
    """Text 001 prints da_j/dx_i = Σ_j α_ji. It is α_ji; the sum over j belongs to dJ/dx_i."""
    J, _, a, alpha, x, _ = network()
    printed = sb.broadcast_to(sb.sum(alpha, axis=0), alpha.shape)
    answer = sb.same(sb.jacobian(a, x), printed)
    assert answer.how == "counterexample"
    assert {"α"} <= answer.at.keys()
    assert sb.same(sb.jacobian(a, x), alpha)
    assert sb.same(sb.jacobian(a, x), sb.sum(alpha, axis=0)).how == "shape"  # j is still free on the left

    by_a = sb.grad(J, a)
    as_printed = sb.sum(by_a[:, None] * sb.sum(alpha, axis=0), axis=0)
    assert sb.same(sb.grad(J, x), as_printed).how == "counterexample"
    assert sb.same(sb.grad(J, x), sb.sum(by_a[:, None] * alpha, axis=0))
    assert sb.same(sb.grad(J, x), alpha.T @ by_a)


def test_slip_2_a_sign_in_the_last_module_5():
    """Text 001 prints dJ/dy = y*/y + (1 − y*)/(1 − y) in its summary; before that it has (y − 1), which is right."""
    J, y, _, _, _, target = network()
    answer = sb.same(sb.grad(J, y), target / y + (1 - target) / (1 - y))
    assert answer.how == "counterexample"
    assert sb.same(sb.grad(J, y), target / y + (1 - target) / (y - 1))
    t, s = sb.symbol("y*"), sb.symbol("y")
    slide = t / s + (1 - t) / (1 - s)
    answer = sb.same(sb.grad(t * sb.log(s) + (1 - t) * sb.log(1 - s), s), slide)
    at = {name: float(value.item()) for name, value in answer.at.items()}
    first, second = (float(value.item()) for value in answer.values)
    assert first == pytest.approx(at["y*"] / at["y"] + (1 - at["y*"]) / (at["y"] - 1), rel=1e-12)
    assert second == pytest.approx(at["y*"] / at["y"] + (1 - at["y*"]) / (1 - at["y"]), rel=1e-12)


@pytest.mark.parametrize("classes", ["two", "many"])
def test_slip_3_the_cross_entropy_lacks_its_minus(classes):
    """Texts 001 and 003 call J = y* log y + … the cross-entropy, which is the *negative* log-likelihood."""
    if classes == "two":
        t, y = sb.symbol("y*"), sb.symbol("y")
        J = t * sb.log(y) + (1 - t) * sb.log(1 - y)
        likelihood = sb.power(y, t) * sb.power(1 - y, 1 - t)
    else:
        t, y = sb.symbol("y*", "K"), sb.symbol("y", "K")
        J = sb.sum(t * sb.log(y))
        likelihood = sb.prod(sb.power(y, t))
    answer = sb.same(-sb.log(likelihood), J)
    assert str(answer).endswith("The second is the negative of the first.")
    assert sb.same(-sb.log(likelihood), -J)


def test_slip_4_the_index_of_the_sum_is_the_class_itself():
    """Text 002 prints log softmax(z)_i = z_i − log Σ_i exp(z_i). The sum needs a letter of its own: Σ_j exp(z_j)."""
    z = sb.symbol("z", "n")
    n, i = sb.size_of(z.shape[0]), 1
    printed = z[i] - sb.log(n * sb.exp(z[i]))  # n times the same term, for i is the class that was asked for
    answer = sb.same(sb.log_softmax(z)[i], printed)
    assert answer.how == "counterexample"
    assert sb.same(printed, -sb.log(n))  # it would not depend on z at all
    assert sb.same(sb.log_softmax(z)[i], z[i] - sb.log(sb.sum(sb.exp(z))))


def test_slip_5_the_sum_over_the_two_answers():
    """Text 002: P(y) = exp(yz)/Σ_y′ exp(y′z) sums over y′ ∈ {0, 1}; without the prime both terms are exp(yz)."""
    y, z = sb.symbol("y", (), "bool"), sb.symbol("z")
    slide = sb.sigmoid((2 * y - 1) * z)
    primed = sb.exp(y * z) / (sb.exp(0 * z) + sb.exp(1 * z))
    without = sb.exp(y * z) / (sb.exp(y * z) + sb.exp(y * z))
    assert sb.same(slide, without).how == "counterexample"
    assert sb.same(without, sb.constant(0.5))
    assert sb.same(slide, primed)
    any_y = sb.symbol("y'")  # between 0 and 1 the two sides part: P is told for the answers 0 and 1 alone
    between = sb.same(sb.sigmoid((2 * any_y - 1) * z), sb.exp(any_y * z) / (1 + sb.exp(z)))
    assert between.how == "counterexample"
    assert float(between.at["y'"].item()) not in {0.0, 1.0}


def test_what_the_slides_have_right_is_found_right():
    J, y, a, alpha, x, target = network()
    b = y.inputs[0].named("b")
    beta, z = b.inputs
    dJ_db = sb.grad(J, y) * sb.exp(-b) / (sb.exp(-b) + 1) ** 2
    assert sb.same(sb.grad(J, b), dJ_db)
    assert sb.same(sb.grad(J, beta), dJ_db * z)
    assert sb.same(sb.grad(J, z), dJ_db * beta)
    dJ_da = sb.grad(J, z) * sb.exp(-a) / (sb.exp(-a) + 1) ** 2
    assert sb.same(sb.grad(J, a), dJ_da)
    assert sb.same(sb.grad(J, alpha), dJ_da[:, None] * x)
    assert sb.same(sb.grad(J, target), sb.log(y) - sb.log(1 - y))
