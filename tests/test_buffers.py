"""Values computed into arrays that are kept between calls: the same values, on all threads and for all sizes."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import symbackprop as sb
from tests.random_graphs import random_expression, random_loss
from tests.test_compile import assert_same

pytestmark = pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")  # random graphs have steps

X, W, U, b, y = sb.symbols("X[N,D] W[D,H] U[H,H] b[H] y[N,H]")


def layers(count):
    h = sb.tanh(X @ W + b)
    for _ in range(count):
        h = sb.tanh(h @ U + b)
    return h


def recurrent(steps):
    """Give a loss of a recurrent network, with all steps of the input in one array."""
    inputs = sb.symbol("Z", (steps, "N", "D"))
    h, c = sb.symbols("h[N,H] c[N,H]")
    V, R = sb.symbol("V", ("D", "2*H")), sb.symbol("R", ("H", "2*H"))
    for step in range(steps):
        gates = inputs[step] @ V + h @ R
        half = gates.shape[1] // 2
        c = sb.sigmoid(gates[:, :half]) * c + sb.tanh(gates[:, half:])
        h = sb.tanh(c)
    loss = sb.mean((h - y) ** 2)
    return [inputs, *sb.symbols("h[N,H] c[N,H]"), V, R, y], [loss, *sb.grad(loss, [V, R])]


def both(inputs, outputs):
    """Compile twice: with arrays that are kept, and without."""
    return sb.compile(inputs, outputs), sb.compile(inputs, outputs, skip=["buffers"])


def arrays_for(inputs, sizes, seed=0):
    rng = np.random.default_rng(seed)
    values = []
    for each in inputs:
        shape = [size if isinstance(size, int) else size.value(sizes) for size in each.shape]
        values.append(rng.normal(size=shape).astype(each.dtype))
    return values


LOSS = sb.mean((layers(3) - y) ** 2)
NETWORK = [X, W, U, b, y], [LOSS, *sb.grad(LOSS, [W, U, b])]


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed):
    outputs, values = random_expression(np.random.default_rng([seed, 11]), 25)
    loss, others = random_loss(np.random.default_rng([seed, 12]), 15)
    for exprs, given in ((outputs, values), ([loss, *sb.grad(loss, list(others), unused="zeros")], others)):
        kept, plain = both(list(given), exprs)
        arrays = [np.asarray(value, symbol.dtype) for symbol, value in given.items()]
        assert_same(kept(*arrays), plain(*arrays), rtol=1e-12)
        first = [np.copy(each) for each in kept(*arrays)]
        with np.errstate(all="ignore"):
            kept(*[array + 1 if array.dtype.kind == "f" else array for array in arrays])
        assert_same(kept(*arrays), first, rtol=0)


@pytest.mark.parametrize(
    ("inputs", "outputs"), [NETWORK, recurrent(6), recurrent(13)], ids=["network", "6", "13 steps"]
)
def test_any_sizes_one_after_another(inputs, outputs):
    kept, plain = both(inputs, outputs)
    for n, d, h in [(4, 3, 5), (4, 3, 5), (1, 1, 1), (7, 2, 3), (5, 5, 5), (2, 6, 1), (0, 3, 2), (4, 3, 5)]:
        arrays = arrays_for(inputs, {"N": n, "D": d, "H": h}, n)
        with np.errstate(invalid="ignore", divide="ignore"):  # the mean of nothing
            assert_same(kept(*arrays), plain(*arrays), rtol=1e-12)
    assert "own = kept.pop(" in kept.source
    assert "kept" not in plain.source


def test_results_are_fresh():
    inputs, outputs = NETWORK
    kept, plain = both(inputs, [layers(3), *outputs, layers(2).T, layers(2)])
    arrays = arrays_for(inputs, {"N": 4, "D": 3, "H": 5})
    first = kept(*arrays)
    copies = [np.copy(each) for each in first]
    second = kept(*[array + 1 for array in arrays])
    for one, copy, other in zip(first, copies, second, strict=True):
        np.testing.assert_array_equal(one, copy)
        assert not np.shares_memory(one, other)
    assert_same(first, plain(*arrays), rtol=1e-12)


def test_threads_do_not_share_what_is_kept():
    inputs, outputs = NETWORK
    kept, plain = both(inputs, outputs)
    given = [arrays_for(inputs, {"N": 40, "D": 30, "H": 50}, seed) for seed in range(8)]
    expected = [plain(*arrays) for arrays in given]
    kept(*given[0])
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            for found, right in zip(pool.map(lambda arrays: kept(*arrays), given), expected, strict=True):
                assert_same(found, right, rtol=1e-12)


def test_little_is_kept_and_it_can_be_let_go():
    inputs, outputs = NETWORK
    f = sb.compile(inputs, outputs)
    kept = None
    for n in range(1, 20):
        f(*arrays_for(inputs, {"N": n, "D": 3, "H": 5}))
        kept = f._kernel.__globals__["kept"]
        assert len(kept) <= 4
    assert kept
    f.release()
    assert not kept
    f(*arrays_for(inputs, {"N": 3, "D": 3, "H": 5}))
    assert len(kept) == 1


def test_what_is_kept_is_told():
    inputs, outputs = NETWORK
    f = sb.compile(inputs, outputs)
    assert f.report().kept == 0
    f(*arrays_for(inputs, {"N": 4, "D": 3, "H": 5}))
    (own,) = f._kernel.__globals__["kept"].values()
    bases = {id(each if each.base is None else each.base): each if each.base is None else each.base for each in own}
    told = f.report().kept
    assert told.value({"N": 4, "D": 3, "H": 5}) == sum(base.nbytes for base in bases.values() if base.ndim)
    assert f"{told} bytes of arrays to compute in are kept between calls" in str(f.report())


def test_an_error_on_the_way_does_no_harm():
    inputs, outputs = NETWORK
    f, plain = both(inputs, outputs)
    arrays = arrays_for(inputs, {"N": 4, "D": 3, "H": 5})
    f(*arrays)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        f(arrays[0] * 1e300, *arrays[1:-1], arrays[-1] * 1e300)
    assert_same(f(*arrays), plain(*arrays), rtol=1e-12)
    assert "own = kept.pop(" in f.source


def test_a_value_is_computed_where_it_is_joined():
    inputs, outputs = recurrent(8)
    f = sb.compile(inputs, outputs)
    f(*arrays_for(inputs, {"N": 4, "D": 3, "H": 5}))
    assert "np.concatenate" not in f.source


def test_few_arrays_do_for_a_long_chain():
    h = layers(20)
    f = sb.compile([X, W, U, b], sb.sum(h * h))
    f(*arrays_for([X, W, U, b], {"N": 4, "D": 3, "H": 5}))
    assert 1 <= len(re.findall(r"\bs\d+\b(?=.*np\.empty)", f.source)) <= 2


def test_names_of_the_user_are_left_to_them():
    add, dot, s1, kept, own, one = (sb.symbol(name, ("N", "N")) for name in ("add", "dot", "s1", "kept", "own", "one"))
    total = sb.tanh(add @ dot + s1) @ (1 - sb.exp(kept @ own) + one) + sb.tanh(add + dot)
    inputs = [add, dot, s1, kept, own, one]
    f, plain = both(inputs, [sb.sum(total * total), sb.exp(total)])
    arrays = arrays_for(inputs, {"N": 3})
    assert_same(f(*arrays), plain(*arrays), rtol=1e-12)
    assert "np.add(" in f.source
