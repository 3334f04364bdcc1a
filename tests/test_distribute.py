"""Products linear in a broadcast sum: multiplied out where that saves work, with the same values; squares never."""

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.ops import add, subtract
from symbackprop.rewrite import PIPELINE
from symbackprop.rewrite.pipeline import run
from tests.random_graphs import random_loss
from tests.test_compile import assert_same, compiled_and_evaluated
from tests.values import assert_values_stay

SIZES = {"N": 90, "M": 20, "D": 5, "E": 3}
SHAPES = {
    "X": ("N", "D"), "Y": ("M", "D"), "Q": ("M", "D", "D"), "W": ("N", "M"), "A": ("D", "E"), "T": ("N", "M", "D"),
    "r": ("N",), "c": ("M",), "w": ("M",),
}  # fmt: skip
X, Y, Q, W, A, T, r, c, w = INPUTS = [sb.symbol(name, shape) for name, shape in SHAPES.items()]
DIFFERENCE = X[:, None] - Y

LINEAR = {
    "a matrix for each centre": sb.einsum("kij,nkj->nki", Q, DIFFERENCE),
    "stacks of products": sb.transpose(DIFFERENCE, (1, 0, 2)) @ Q,
    "weighted differences": sb.einsum("nk,nkd->nd", W, DIFFERENCE),
    "weights of points alone": sb.einsum("n,nkd->kd", r, DIFFERENCE),
    "a sum": (X[:, None] + Y) @ A,
    "scaled": sb.einsum("nk,nkd->nd", -3 * W, DIFFERENCE) / 7,
    "an outer sum": (r[:, None] + c) @ w,
    "two products": [sb.einsum("kij,nkj->nki", Q, DIFFERENCE), sb.einsum("nk,nkj->kj", W, DIFFERENCE)],
    "all points of all centres": sb.einsum("nk,nkj->", W, DIFFERENCE),
    "quadratic forms": sb.grad(sb.sum(sb.exp(-sb.sum(sb.einsum("kij,nkj->nki", Q, DIFFERENCE) ** 2, -1))), [X, Y, Q]),
}
OTHERS = {
    "squared distances": sb.sum(DIFFERENCE**2, axis=-1),
    "a product with itself": sb.einsum("nki,nkj->kij", DIFFERENCE, DIFFERENCE),
    "differences that others use": [sb.einsum("nk,nkd->nd", W, DIFFERENCE), sb.sum(DIFFERENCE**2, axis=-1)],
    "no product over an axis": W[:, :, None] * DIFFERENCE,
    "centred points": (X - sb.mean(X, axis=0)) @ A,
    "an operand as large": sb.einsum("nk,nkd->nd", W, T - Y),
    "a difference that is an output": [DIFFERENCE, sb.einsum("nk,nkd->nd", W, DIFFERENCE)],
}


def values(rng, **sizes):
    return [rng.normal(size=[sizes[size] for size in shape]) for shape in SHAPES.values()]


def outputs_of(name):
    found = (LINEAR | OTHERS)[name]
    return found if isinstance(found, list) else [found]


def outer_sums(outputs, **options):
    """Count the sums and differences larger than both operands but for results, once products are multiplied out."""
    at = [stage.name for stage in PIPELINE].index("distribute")
    found = run(outputs, PIPELINE[: at + 1], **options)
    nodes = found[0].graph.nodes
    elements = {each: np.prod([size for size in map(SIZES.get, nodes[each].shape) if size]) for each in nodes}
    results = {each.number for each in found}
    inner = {*found[0].graph.reachable(results)} - results
    sums = [each for each in inner if nodes[each].op in {add, subtract}]
    return sum(len(nodes[at].shape) > 1 and elements[at] > max(elements[x] for x in nodes[at].inputs) for at in sums)


@pytest.mark.parametrize("name", [*LINEAR, *OTHERS])
@pytest.mark.parametrize("seed", range(3))
def test_values_stay(name, seed):
    rng = np.random.default_rng(seed)
    sizes = dict(zip("NMDE", map(int, rng.integers(1, 9, 4)), strict=True)) if seed else SIZES
    arrays = values(rng, **sizes)
    assert_values_stay(INPUTS, outputs_of(name), arrays, sizes, tolerance=1e-12)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_products_are_multiplied_out(name):
    assert outer_sums(outputs_of(name), skip=["distribute"]) > 0
    assert outer_sums(outputs_of(name)) == 0


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_linear_stays(name):
    assert outer_sums(outputs_of(name)) == outer_sums(outputs_of(name), skip=["distribute"])


def test_no_difference_of_all_pairs_is_formed():
    f = sb.compile([X, Y, Q], LINEAR["a matrix for each centre"])
    assert "X[:, None] - Y" not in f.source
    assert "X[:, None] - Y" in sb.compile([X, Y, Q], LINEAR["a matrix for each centre"], skip=["distribute"]).source


def test_small_arrays_are_not_worth_it():
    f = sb.compile([X, Y, Q], LINEAR["a matrix for each centre"], sizes={"N": 3, "M": 3, "D": 3})
    assert "X[:, None] - Y" in f.source


def test_digits_are_lost_no_faster_than_the_operands_are_larger_than_the_difference():
    """The price that is told: an error of eps times the operands, not times their difference."""
    rng = np.random.default_rng(0)
    x, y, q = 1e6 + rng.normal(size=(200, 4)), 1e6 + rng.normal(size=(30, 4)), rng.normal(size=(30, 4, 4))
    exact = np.einsum("kij,nkj->nki", q, x[:, None] - y)
    bound = 16 * np.finfo(float).eps * np.einsum("kij,nkj->nki", abs(q), abs(x[:, None]) + abs(y))
    assert np.all(abs(sb.compile([X, Y, Q], LINEAR["a matrix for each centre"])(x, y, q) - exact) <= bound)
    kept = sb.compile([X, Y, Q], LINEAR["a matrix for each centre"], skip=["distribute"])(x, y, q)
    np.testing.assert_allclose(kept, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
def test_random_gradients(seed, monkeypatch):
    monkeypatch.setattr("symbackprop.rewrite.distribute._WORTH", 0)
    loss, given = random_loss(np.random.default_rng([seed, 5]), 25)
    assert_same(*compiled_and_evaluated([loss, *sb.grad(loss, list(given), unused="zeros")], given), rtol=1e-8)
