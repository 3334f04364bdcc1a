"""Arrays of integers as indices, and functional writes: what the forms of tests/forms/indexing.py cannot say."""

from __future__ import annotations

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import DtypeError, NotDifferentiableError, ShapeError
from tests.round_trip import check_round_trip


@pytest.fixture(autouse=True)
def fresh_graph():
    with sb.Graph():
        yield


def lookup():
    E, tokens = sb.symbol("E", ("V", "D")), sb.symbol("tokens", ("N", "T"), "int64")
    return E, tokens, E[tokens]


# --- an embedding ---------------------------------------------------------------------------------------------


def test_an_embedding_reads_as_people_write_it():
    E, tokens, y = lookup()
    assert y.shape == ("N", "T", "D")
    assert str(y) == "E[tokens]"
    loss = sb.sum(y * y)
    g = sb.grad(loss, E)
    assert str(g) == "scatter_add(2E[tokens], (V, D), [tokens])"
    source = sb.compile([E, tokens], [loss, g]).source
    assert "E[tokens]" in source
    assert "scatter_add(2.0 * t1, (tokens,), (V, D))" in source


def test_the_derivative_of_a_lookup_adds_up_by_token():
    E, tokens, y = lookup()
    at = np.array([[0, 2], [2, 2], [1, -1]])
    rows = np.arange(8.0).reshape(4, 2)
    G = sb.symbol("G", y.shape)
    cotangent = np.arange(12.0).reshape(3, 2, 2)
    found = sb.evaluate(sb.vjp(y, E, G), {E: rows, tokens: at, G: cotangent})
    expected = np.zeros_like(rows)
    for n, t in np.ndindex(3, 2):
        expected[at[n, t]] += cotangent[n, t]
    np.testing.assert_array_equal(found, expected)


def test_the_hessian_of_a_lookup_counts_how_often_each_row_is_read():
    x, i = sb.symbol("x", 4), sb.symbol("i", 5, "int64")
    H = sb.hessian(sb.sum(x[i] ** 2), x)
    at = np.array([0, 3, 3, 1, 3])
    found = sb.compile([x, i], H)(np.ones(4), at)
    np.testing.assert_array_equal(found, 2 * np.diag(np.bincount(at, minlength=4)))


def test_indices_have_no_derivative():
    x, i = sb.symbols("x[5] i[3]")
    with pytest.raises(
        DtypeError, match=r"an index has integers, and i\[3\] is float64: convert it with astype\(int\)"
    ):
        x[i]
    y = sb.sum(x[i.astype(int)])
    with pytest.raises(NotDifferentiableError, match="astype"):
        sb.grad(y, i)


@pytest.mark.parametrize("sizes", [{}, {"V": 50, "N": 200_000}])
def test_what_is_gathered_from_is_whole_where_the_rest_is_computed_in_blocks(sizes):
    """Rows of the result are made block by block; each may need any row of E."""
    E, W, i = sb.symbol("E", ("V", 4)), sb.symbol("W", ("N", 4)), sb.symbol("i", "N", "int64")
    rows = sb.exp(E)[i] * W * sb.cos(W)
    outputs = [sb.sum(rows * rows), *sb.grad(sb.sum(rows * rows), [E, W])]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(50, 4)), rng.normal(size=(200_000, 4)), rng.integers(0, 50, 200_000)]
    found = sb.compile([E, W, i], outputs, sizes=sizes)(*arrays)
    for one, output in zip(found, outputs, strict=True):
        np.testing.assert_allclose(one, sb.evaluate(output, dict(zip([E, W, i], arrays, strict=True))), rtol=1e-9)


# --- what cannot be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([0, 3], r"index: 3 is out of range for size 3: x\[3, N\]"),
        ([-4], r"-4 is out of range for size 3"),
        ((0, 0, [1]), r"3 indices for 2 axes"),
        ([0.5], r"an index has integers, not float64"),
        (([0, 1], [0, 1, 2]), r"sizes 2 and 3 on axis -1 differ"),
        ([True, False], r"the mask has size 2 where axis 0 has 3"),
        ((slice(None), [True, False]), r"the mask has size 2 where axis 1 has N"),
        ("a", r"an index is an int, a slice, None, ..., an array of integers or a mask, not 'a'"),
    ],
)
def test_a_wrong_index_is_an_error_while_building(index, message):
    x = sb.symbol("x", (3, "N"))
    with pytest.raises((ShapeError, DtypeError), match=message):
        x[index]


def test_indices_outside_are_numpys_error_at_the_call():
    x, i = sb.symbol("x", "N"), sb.symbol("i", "K", "int64")
    f = sb.compile([x, i], x[i] * 2)
    with pytest.raises(IndexError, match="out of bounds"):
        f(np.ones(3), np.array([0, 3]))
    g = sb.compile([x], x[[0, 5]])
    np.testing.assert_array_equal(g(np.arange(6.0)), [0, 5])
    with pytest.raises(IndexError, match="out of bounds"):
        g(np.ones(3))


def test_a_mask_that_is_not_known_says_what_to_write():
    x, mask = sb.symbol("x", "N"), sb.symbol("mask", "N", bool)
    with pytest.raises(
        ShapeError, match=r"the mask mask\[N\] takes depends on its values: write sb.where\(mask, x, 0\)"
    ):
        x[mask]
    with pytest.raises(ShapeError, match=r"sb.compress\(mask, x, size=K\)"):
        x[x > 0]


# --- functional writes ----------------------------------------------------------------------------------------


def test_of_several_values_for_one_place_the_last_stays_and_has_the_derivative():
    x, v, i = sb.symbol("x", 3), sb.symbol("v", 4), sb.symbol("i", 4, "int64")
    weights = np.array([1.0, 10.0, 100.0])
    for index in (i, [1, 1, -2, 0]):
        f = sb.sum(x.at[index].set(v) * weights)
        by_x, by_v = sb.compile([x, v, i], sb.grad(f, [x, v]))(np.ones(3), np.ones(4), np.array([1, 1, -2, 0]))
        np.testing.assert_array_equal(by_x, [0, 0, 100])
        np.testing.assert_array_equal(by_v, [0, 0, 10, 1])


def test_known_places_that_differ_need_no_search_for_the_last_value():
    x, v = sb.symbols("x[3] v[2]")
    source = sb.compile([x, v], sb.grad(sb.sum(x.at[[2, 0]].set(v) ** 2), v)).source
    assert "arange" not in source
    i = sb.symbol("i", 2, "int64")
    told = sb.sum(x.at[i].set(v, unique_indices=True) ** 2)
    assert "arange" not in sb.compile([x, v, i], sb.grad(told, v)).source


def test_what_is_replaced_may_be_anything():
    x = sb.symbol("x", 3)
    y = x.at[1].set(0.0)
    f = sb.compile([x], [y, sb.grad(sb.sum(y), x)])
    value, gradient = f(np.array([1.0, np.nan, np.inf]))
    np.testing.assert_array_equal(value, [1, 0, np.inf])
    np.testing.assert_array_equal(gradient, [1, 0, 1])


def test_equal_extremes_of_a_place_share_the_derivative():
    x, v, i = sb.symbol("x", 2), sb.symbol("v", 3), sb.symbol("i", 3, "int64")
    for y, v_ in ((x.at[i].max(v), [5.0, 5.0, 1.0]), (x.at[i].min(v), [-5.0, -5.0, 9.0])):
        values = {x: [v_[0], 2.0], v: v_, i: [0, 0, 1]}
        by_x, by_v = (sb.evaluate(g, values) for g in sb.grad(sb.sum(y * [6.0, 7.0]), [x, v]))
        np.testing.assert_allclose(by_x, [2, 7])
        np.testing.assert_allclose(by_v, [2, 2, 0])


def test_a_product_at_places_that_may_repeat_must_be_asked_for():
    x, i = sb.symbol("x", 3), sb.symbol("i", 2, "int64")
    with pytest.raises(NotDifferentiableError, match=r"pass unique_indices=True if it has not"):
        x.at[i].multiply(2)
    y = x.at[i].multiply(2, unique_indices=True)
    np.testing.assert_array_equal(sb.evaluate(y, {x: [1.0, 2.0, 3.0], i: [2, 0]}), [2, 2, 6])


def test_values_must_fit():
    x, k = sb.symbol("x", (3, "N")), sb.symbol("k", 3, "int64")
    with pytest.raises(ShapeError, match=r"v\[2\] into slice\(x\)\[2, N\]"):
        x.at[1:].set(sb.symbol("v", 2))
    with pytest.raises(
        DtypeError, match=r"float64 values do not go into k\[3\] of int64: convert it with astype\(float64\)"
    ):
        k.at[0].set(0.5)
    assert k.at[0].add(1).dtype == "int64"
    assert sb.symbol("s", 3, "float32").at[0].set(0.5).dtype == "float32"


# --- the language of formulas ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("E[t]", "E[t]"),
        ("E[:, t]", "E[:, t]"),
        ("E[t, t]", "E[t, t]"),
        ("E[t, 1]", "E[t, 1]"),
        ("E[k]", "E[k]"),
        ("E[t][:, 0] * 2", "2E[t][:, 0]"),
        ("(E + 1)[t]", "(E + 1)[t]"),
        ("E.at[t].set(v)", "set_at(E, v, [t])"),
        ("E.at[:, t].add(2.0)", None),
        ("E.at[1:3].set(0)", "set_at(E, 0, [1:3])"),
        ("E.at[t].max(1.0)", None),
        ("sb.grad(sb.sum(E[t] ** 2), E)", "scatter_add(2E[t], (4, 3), [t])"),
        ("sb.grad(sb.sum(E[[2, 0], 1:] ** 2), E)", None),
    ],
)
def test_formulas_are_read_back(source, shown):
    E, v, t, k = sb.symbol("E", (4, 3)), sb.symbol("v", 3), sb.symbol("t", 2, "int64"), sb.symbol("k", (), "int64")
    expr = eval(source, {"sb": sb, "E": E, "v": v, "t": t, "k": k})  # noqa: S307  (the table's sources)
    rng = np.random.default_rng(0)
    if shown:
        assert str(expr) == shown
    check_round_trip(expr, {E: rng.normal(size=(4, 3)), v: rng.normal(size=3), t: np.array([2, 0]), k: np.array(1)})


def test_latex():
    E, _, y = lookup()
    assert y.latex() == r"E[\mathrm{tokens}]"
    assert r"\operatorname{scatter\_add}\left(" in sb.grad(sb.sum(y), E).latex()


@pytest.mark.parametrize("size", range(7))
@pytest.mark.parametrize("index", [np.s_[:-3:2], np.s_[:2:-2], np.s_[-4::-1], np.s_[-2:1:-3], np.s_[1:-1:3]], ids=str)
def test_a_slice_of_a_named_size_takes_what_it_says_or_refuses(index, size):
    """A bound is computed from how many elements there are; it must not turn round the end where there are none."""
    x = sb.symbol("x", "N")
    y, values = x[index], np.arange(1.0, size + 1)
    taken, put = values[index], np.zeros(size)
    put[index] = 1
    for output, expected in ((y, taken), (sb.grad(sb.sum(y), x), put)):
        for compute in (lambda f: sb.evaluate(f, {x: values}), lambda f: sb.compile([x], f)(values)):
            try:
                np.testing.assert_array_equal(compute(output), expected)
            except ShapeError:
                assert not taken.size


@pytest.mark.parametrize(
    "write", [lambda x: x[-4], lambda x: x[5:], lambda x: x.at[-4].set(0), lambda x: x.at[5].add(1)]
)
def test_a_place_outside_a_named_size_is_refused_in_values_and_in_derivatives(write):
    x = sb.symbol("x", "N")
    y = write(x)
    for f in (y, sb.grad(sb.sum(y**2), x)):
        with pytest.raises(ShapeError, match=r"axis of size 3|would have the shape"):
            sb.evaluate(f, {x: np.ones(3)})
        with pytest.raises(ShapeError, match="needs"):
            sb.compile([x], f)(np.ones(3))


def test_a_number_is_written_to_every_element_where_an_index_only_adds_axes():
    x = sb.symbol("x", 3)
    np.testing.assert_array_equal(sb.evaluate(x.at[:, None].set(2), {x: np.ones(3)}), [2.0, 2.0, 2.0])
    y = sb.symbol("y", 1)
    np.testing.assert_array_equal(sb.evaluate(y.at[-1].min(0.5), {y: np.ones(1)}), [0.5])


def test_open_meshes_have_all_axes():
    i, j = sb.symbol("i", 2, dtype="int64"), sb.symbol("j", 3, dtype="int64")
    assert [each.shape for each in sb.ix_(i, j)] == [(2, 1), (1, 3)]
