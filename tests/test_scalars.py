"""Scalars as Python's floats: NumPy's values, NumPy's dtypes, single precision left alone."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ShapeError
from symbackprop.lower import scalars
from symbackprop.op import substituted
from symbackprop.ops import TABLE
from tests.random_graphs import random_expression, random_loss

ORDINARY = [0.0, -0.0, 0.5, -0.75, 1.0, -1.0, 2.0, 3.5, -20.0, 710.5, -746.0]
SPECIAL = [*ORDINARY, 1e200, -1e308, 5e-324, np.inf, -np.inf, np.nan]
OF_BOOLS = {"logical_and", "logical_or", "logical_not"}
pytestmark = [
    pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning"),  # random graphs have steps
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # of infinities and NaN, which are wanted
]


@pytest.fixture
def always(monkeypatch):
    """Let Python compute whatever scalar it can, however little that saves."""
    monkeypatch.setattr(scalars, "_WORTH", -(10**9))


@pytest.mark.parametrize("op", [op for op in TABLE if op.python], ids=lambda op: op.name)
@pytest.mark.usefixtures("always")
def test_python_computes_what_numpy_does(op):
    x, y = sb.symbols("x y")
    arity = len(op.vjps)
    if op is sb.where:
        made = op(x < y, x, y)
    elif op.name in OF_BOOLS:
        made = sb.where(op(*[operand > 0 for operand in (x, y)[:arity]]), x, y)
    else:
        made = op(*(x, y)[:arity])
    f = sb.compile([x, y], made, skip=["stable", "accurate", "algebra"])
    assert op.python_helper is None or op.python_helper.strip() in f.source
    for values in itertools.product(SPECIAL, repeat=2):
        found, right = f(*values), sb.evaluate(made, dict(zip((x, y), map(np.float64, values), strict=True)))
        assert found.dtype == right.dtype, values
        assert type(found) is right.dtype.type, values
        np.testing.assert_allclose(found, right, rtol=2e-14, atol=1e-323, err_msg=str(values))


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_with_scalars_in_python(seed, monkeypatch):
    outputs, values = random_expression(np.random.default_rng([seed, 5]), 25)
    loss, others = random_loss(np.random.default_rng([seed, 6]), 15)
    for exprs, given in ((outputs, values), ([loss, *sb.grad(loss, list(others), unused="zeros")], others)):
        arrays = [np.asarray(value, symbol.dtype) for symbol, value in given.items()]
        rights = sb.compile(list(given), exprs)(*arrays)
        with monkeypatch.context() as patched:
            patched.setattr(scalars, "_WORTH", -(10**9))
            found = sb.compile(list(given), exprs)(*arrays)
        for value, right in zip(found, rights, strict=True):
            assert isinstance(value, np.ndarray | np.generic)
            assert (value.dtype, value.shape) == (right.dtype, right.shape)
            np.testing.assert_allclose(value, right, rtol=1e-12, atol=1e-12 * np.max(np.abs(right), initial=1.0))


@pytest.mark.usefixtures("always")
def test_single_precision_is_numpy_s():
    x = sb.symbol("x", dtype="float32")
    f = sb.compile([x], sb.exp(x) * sb.sin(x) + sb.sqrt(x) / x)
    assert "float(" not in f.source
    assert f(np.float32(2.0)).dtype == np.float32


@pytest.mark.usefixtures("always")
def test_a_python_float_does_not_make_a_result_narrower():
    s, v, w = sb.symbol("s"), sb.symbol("v", "N", dtype="float32"), sb.symbol("w", "N")
    scale = sb.exp(s) * sb.cos(s) + s
    given = {s: np.float64(1e-9), v: np.ones(3, np.float32), w: np.arange(3.0)}
    made = [scale * v, sb.equal(scale, v), scale * w, sb.stack([scale, s]), sb.broadcast_to(scale, (2,)), scale]
    for found, expr in zip(sb.compile(list(given), made)(*given.values()), made, strict=True):
        right = sb.evaluate(expr, given)
        assert found.dtype == right.dtype
        np.testing.assert_array_equal(found, right)


@pytest.mark.usefixtures("always")
def test_scalars_that_are_updated_stay_arrays():
    a, t = sb.symbols("a t")
    new = a - 0.1 * sb.exp(a) * sb.sin(t) / (1 + sb.square(a + t))
    f = sb.compile([a, t], sb.exp(a) * t, updates={a: new})
    given, right = np.array(0.5), sb.evaluate(new, {a: 0.5, t: 2.0})
    np.testing.assert_allclose(f(given, 2.0), np.exp(0.5) * 2.0, rtol=1e-15)
    np.testing.assert_allclose(given, right, rtol=1e-15)


def test_few_operations_stay_as_numpy_writes_them():
    x = sb.symbol("x", "N")
    assert "float(" not in sb.compile([x], 0.5 * sb.sum(x * x) + 1.0).source


KINDS = {
    "floats": (3.0, 0.4), "NumPy's": (np.float64(3.0), np.float64(0.4)), "one of each": (3.0, np.float64(0.4)),
    "an integer": (3, 0.4), "arrays without axes": (np.array(3.0), np.array(0.4)), "single": (np.float32(3.0), 0.4),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_kind_are_taken(kind):
    r, x0 = sb.symbols("r x0")
    x = x0
    for _ in range(5):
        x = r * x * (1 - x)
    f = sb.compile([r, x0], [x, *sb.grad(x, [r, x0])])
    right = f(3.0, 0.4)
    for found in (f(*KINDS[kind]), f(x0=KINDS[kind][1], r=KINDS[kind][0])):
        assert found == right
        assert [type(value) for value in found] == [np.float64] * 3
    with pytest.raises(ShapeError, match=r"x0: the array has 1 axes, not 0: shape \(2,\)"):
        f(3.0, [0.4, 0.5])


def test_many_operations_are_python_s():
    r, x0 = sb.symbols("r x0")
    x = x0
    for _ in range(5):
        x = r * x * (1 - x)
    f = sb.compile([r, x0], [x, *sb.grad(x, [r, x0])])
    assert "    r, x0 = float(r), float(x0)\n" in f.source
    values, step = f(3.0, 0.4), 1e-6
    assert [type(value) for value in values] == [np.float64] * 3
    by_r = (f(3.0 + step, 0.4)[0] - f(3.0 - step, 0.4)[0]) / (2 * step)
    by_x = (f(3.0, 0.4 + step)[0] - f(3.0, 0.4 - step)[0]) / (2 * step)
    np.testing.assert_allclose(values[1:], [by_r, by_x], rtol=1e-6)


def test_names_of_many_floats_are_used_again():
    r, x0 = sb.symbols("r x0")
    x, right = x0, 0.4
    for step in range(200):
        x, right = r * x * (1 - x) + step * x0, 1.5 * right * (1 - right) + step * 0.4
        x, right = sb.tanh(x), np.tanh(right)
    f = sb.compile([r, x0], [x, *sb.grad(x, [r, x0])])
    assigned = re.findall(r"^    (\w+) = ", f.source, re.MULTILINE)
    assert len(assigned) > 300
    assert len({*assigned}) < 0.8 * len(assigned)
    np.testing.assert_allclose(f(1.5, 0.4)[0], right, rtol=1e-12)
    v, w = (sb.symbol(name, (1,)) for name in "vw")  # the same computed by NumPy
    y, *slopes = substituted([x, *sb.grad(x, [r, x0])], {r: sb.sum(v), x0: sb.sum(w)})
    arrays = sb.compile([v, w], [y, *slopes])
    np.testing.assert_allclose(f(1.5, 0.4), arrays(np.array([1.5]), np.array([0.4])), rtol=1e-10)
