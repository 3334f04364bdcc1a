"""Sums of products over a short last axis, laid out in long rows: the same values, and the layout chosen by sizes."""

import numpy as np
import pytest

import symbackprop as sb

X, Y, K, w, a = sb.symbols("X[N,D] Y[M,D] K[N,M,D] w[D] a[N]")
INPUTS = [X, Y, K, w, a]
DIFFERENCE = X[:, None] - Y

SUMS = {
    "distances": sb.sum(DIFFERENCE**2, axis=-1),
    "distances of all pairs": sb.sum((X[:, None] - X[None]) ** 2, axis=2),
    "scaled by column": sb.sum((DIFFERENCE / w) ** 2, axis=-1),
    "scaled by row": sb.sum((a[:, None, None] * DIFFERENCE) ** 2, axis=-1),
    "functions of differences": sb.sum(sb.tanh(2 * DIFFERENCE - 1) ** 2, axis=-1),
    "four axes": sb.sum((X[:, None, None] - Y[:, None] * Y) ** 2, axis=-1),
}
OTHERS = {
    "an array of all axes": sb.sum((DIFFERENCE - K) ** 2, axis=-1),
    "differences that others use": sb.sum(DIFFERENCE**2, axis=-1)[:, :, None] + DIFFERENCE,
    "a matrix": sb.sum((X - w) ** 2, axis=-1),
    "the first axis": sb.sum(DIFFERENCE**2, axis=0),
}


def values(n=20, m=18, d=3):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in ((n, d), (m, d), (n, m, d), (d,), (n,))]


@pytest.mark.parametrize("name", [*SUMS, *OTHERS])
def test_sums_keep_their_values(name):
    expr = (SUMS | OTHERS)[name]
    arrays = values()
    expected = sb.evaluate(expr, dict(zip(INPUTS, arrays, strict=True)))
    np.testing.assert_allclose(sb.compile(INPUTS, expr)(*arrays), expected, rtol=1e-13)


@pytest.mark.parametrize("name", SUMS)
def test_short_rows_become_columns(name):
    f = sb.compile(INPUTS, SUMS[name])
    f(*values())
    assert 'np.einsum("ab->ba", X).copy()' in f.source
    assert "vecdot" not in f.source


@pytest.mark.parametrize("name", OTHERS)
def test_what_would_have_to_be_copied_whole_stays(name):
    f = sb.compile(INPUTS, OTHERS[name])
    f(*values())
    assert "copy" not in f.source


def test_long_rows_stay():
    for arrays, sizes in [(values(d=100), {}), (values(n=2, m=2), {"N": 2, "M": 2})]:
        f = sb.compile([X, Y], SUMS["distances"], sizes=sizes)
        np.testing.assert_allclose(f(*arrays[:2]), np.sum((arrays[0][:, None] - arrays[1]) ** 2, axis=-1))
        assert "np.vecdot(" in f.source


def test_derivatives_and_dtypes():
    Z = sb.symbol("Z", ("N", "D"), dtype="float32")
    f = sb.compile([Z], sb.grad(sb.sum(sb.exp(-sb.sum((Z[:, None] - Z[None]) ** 2, axis=-1))), Z))
    z = values()[0].astype("float32")
    found = f(z)
    assert found.dtype == np.float32
    differences = z[:, None] - z.astype("float64")
    slopes = np.exp(-np.sum(differences**2, axis=-1))
    np.testing.assert_allclose(found, -4 * np.sum(slopes[:, :, None] * differences, axis=1), rtol=1e-4, atol=1e-5)
