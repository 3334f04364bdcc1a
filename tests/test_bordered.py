"""Shifts of matrix products and sums beside them as columns of the products: the same values, where it is worth it."""

import numpy as np
import pytest

import symbackprop as sb
from tests.random_graphs import random_loss
from tests.test_compile import assert_same, compiled_and_evaluated

SIZES = {"N": 2000, "D": 3, "H": 40}
SHAPES = {
    "X": ("N", "D"), "W": ("D", "H"), "b": ("H",), "V": ("H", "D"), "c": ("H", 1), "Z": ("N", "H"), "S": ("H", "N"),
    "A": ("D", "4*H"), "e": (4, "H"), "r": ("N", 1), "T": ("N", 2, "H"),
}  # fmt: skip
X, W, b, V, c, Z, S, A, e, r, T = INPUTS = [sb.symbol(name, shape) for name, shape in SHAPES.items()]

SHIFTED = {
    "rows": X @ W + b,
    "less": X @ W - b,
    "the shift first": b + X @ W,
    "columns": V @ X.T + c,
    "columns less": V @ X.T - c,
    "a column": X @ W + r,
    "in another shape": sb.reshape(X @ A, ("N", 4, "H")) - e,
}
SUMMED = {
    "rows": [X.T @ Z, sb.sum(Z, axis=0)],
    "on the left": [Z.T @ X, sb.sum(Z, axis=0)],
    "columns": [S @ X, sb.sum(S, axis=1)],
    "a layer": sb.grad(sb.sum(sb.tanh(X @ W + b)), [W, b]),
    "in another shape": [X.T @ sb.reshape(T, ("N", "2*H")), sb.sum(T, axis=0)],
}
OTHERS = {
    "a sum that the product depends on": [sb.sum(Z, axis=0), sb.tanh(X * sb.sum(Z, axis=0)[0]).T @ Z],
    "a shift of everything": X @ W + 1,
    "a product that others use": [X @ W, X @ W + b],
    "the product subtracted": b - X @ W,
    "a stack times a vector": [T @ b - r, sb.sum(T @ b, axis=0)],
    "another sum": [X.T @ Z, sb.sum(Z, axis=1)],
    "a wide matrix": sb.tanh(Z) @ V + sb.sum(V, axis=0),
}


def values(rng, sizes=SIZES):
    size = {**sizes, "4*H": 4 * sizes["H"], 4: 4, 2: 2, 1: 1}
    return [rng.normal(size=[size[each] for each in shape]) for shape in SHAPES.values()]


def outputs_of(table, name):
    return table[name] if isinstance(table[name], list) else [table[name]]


def source(outputs, **options):
    return sb.compile(INPUTS, outputs, **options).source


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in (SHIFTED, SUMMED, OTHERS) for name in table])
@pytest.mark.parametrize("seed", range(3))
def test_values_stay(table, name, seed, monkeypatch):
    monkeypatch.setattr("symbackprop.rewrite.bordered._WORTH", 0)
    monkeypatch.setattr("symbackprop.rewrite.bordered._SHARE", 0)
    rng = np.random.default_rng(seed)
    sizes = dict(zip("NDH", map(int, rng.integers(1, 5, 3)), strict=True)) if seed else SIZES
    arrays = values(rng, sizes)
    outputs = outputs_of(table, name)
    expected = [sb.evaluate(output, dict(zip(INPUTS, arrays, strict=True))) for output in outputs]
    for told in ({}, sizes):
        for found, known in zip(sb.compile(INPUTS, outputs, sizes=told)(*arrays), expected, strict=True):
            np.testing.assert_allclose(found, known, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in (SHIFTED, SUMMED) for name in table])
def test_one_product_does_it_where_the_matrix_is_narrow(table, name):
    outputs = outputs_of(table, name)
    assert "np.concatenate((X, " in source(outputs, sizes=SIZES)
    assert "np.concatenate((X" not in source(outputs, sizes=SIZES, skip=["border"])
    for other in ({**SIZES, "D": 30}, {**SIZES, "N": 100}, {}):  # a wide one, a small one, any
        assert "np.concatenate((X" not in source(outputs, sizes=other)


def test_it_is_learnt_from_the_first_arrays():
    f = sb.compile([X, W, b], X @ W + b)
    x, w, shift, *_ = values(np.random.default_rng(0))
    assert "concatenate" not in f.source
    np.testing.assert_allclose(f(x, w, shift), x @ w + shift, rtol=1e-12, atol=1e-12)
    assert "concatenate" in f.source
    np.testing.assert_allclose(f(x[:5], w, shift), x[:5] @ w + shift, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OTHERS)
def test_others_stay(name):
    outputs = outputs_of(OTHERS, name)
    assert source(outputs, sizes=SIZES) == source(outputs, sizes=SIZES, skip=["border"])


def test_dtypes_stay():
    x, w, shift = sb.symbols("x[N,D] w[D,H] shift[H]", dtype="float32")
    f = sb.compile([x, w, shift], x @ w + shift, sizes=SIZES)
    assert "concatenate" in f.source
    assert f(*(np.ones(each, "float32") for each in ((5, 3), (3, 4), 4))).dtype == np.float32


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
def test_random_gradients(seed, monkeypatch):
    monkeypatch.setattr("symbackprop.rewrite.bordered._WORTH", 0)
    monkeypatch.setattr("symbackprop.rewrite.bordered._SHARE", 0)
    loss, given = random_loss(np.random.default_rng([seed, 9]), 25)
    assert_same(*compiled_and_evaluated([loss, *sb.grad(loss, list(given), unused="zeros")], given), rtol=1e-8)
