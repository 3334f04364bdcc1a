"""Products that are something times itself: found whatever the labels are called, and computed once."""

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.ops import matmul
from symbackprop.rewrite.halves import halves
from symbackprop.rewrite.order import contracted

SIZES = {"N": 7, "D": 3, "K": 4}


def operands():
    return {
        "X": sb.symbol("X", ("N", "D")),
        "s": sb.symbol("s", ("N", "K")),
        "W": sb.symbol("W", ("K", "D")),
        "v": sb.symbol("v", "K"),
        "d": sb.symbol("d", "N"),
        "M": sb.symbol("M", ("N", "N")),
    }


FOUND = [
    ("X:na s:nb X:nc s:nd", "abcd", 2, 0),
    ("s:nd X:na X:nc s:nb", "abcd", 2, 0),
    ("s:nk W:ka s:nl W:lb d:n", "ab", 2, 1),
    ("s:nk W:ka v:k M:nm v:l W:lb s:ml", "ab", 3, 1),
]
NONE = [
    ("X:na X:nb", "ab"),
    ("X:na s:nb", "ab"),
    ("X:na s:nb X:nc W:kc", "abk"),
    ("X:na s:nb X:nc s:md", "abcdm"),
]


def terms_of(spelled):
    known = operands()
    return [(labels, known[name]) for name, _, labels in (each.partition(":") for each in spelled.split())]


@pytest.mark.parametrize(("spelled", "out", "size", "rest"), FOUND)
def test_halves_are_found_and_computed_once(spelled, out, size, rest):
    terms = terms_of(spelled)
    found = halves(terms, out)
    assert found is not None
    assert (len(found.half), len(found.rest)) == (size, rest)
    renamed = sorted(("".join(found.names[x] for x in labels), expr.number) for labels, expr in found.half)
    others = [(labels, expr.number) for labels, expr in terms]
    for labels, expr in [*found.half, *found.rest]:
        others.remove((labels, expr.number))
    assert renamed == sorted(others)
    inputs = list(operands().values())
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=[SIZES[size.name] for size in each.shape]) for each in inputs]
    values = dict(zip(inputs, arrays, strict=True))
    subscripts = f"{','.join(labels for labels, _ in terms)}->{out}"
    expected = np.einsum(subscripts, *(values[expr] for _, expr in terms), optimize=True)
    result = sb.compile(inputs, contracted(terms, out, SIZES))(*arrays)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("spelled", "out"), NONE)
def test_what_is_no_product_with_itself_is_left(spelled, out):
    assert halves(terms_of(spelled), out) is None


def test_a_half_that_is_there_is_used_again():
    """The logits' slope M of a network is needed in MᵀDM, and Mᵀp is a product with it, no second chain."""
    layers, x, y = 6, *sb.symbols("x[H] y[H]")
    weights = [sb.symbol(f"W{at}", ("H", "H")) for at in range(layers)]
    z = weights[0] @ x
    for W in weights[1:]:
        z = W @ sb.relu(z)
    f = sb.compile([x, y, *weights], sb.hessian(sb.logsumexp(z) - sb.sum(y * z), weights[0]))
    products = sum(call.op is matmul for call in f.program.calls())
    assert products == layers + (layers - 2) + 2  # forward, the chain of M, MᵀDM and Mᵀp
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(5,) * each.ndim) for each in f.inputs]
    plain = sb.compile(f.inputs, sb.hessian(sb.logsumexp(z) - sb.sum(y * z), weights[0]), skip=["tensor"])
    np.testing.assert_allclose(f(*values), plain(*values), rtol=1e-10, atol=1e-12)
