"""Products of scalars that share factors: the same values, in fewer operations."""

from __future__ import annotations

import numpy as np
import pytest

import symbackprop as sb


def flops(function: sb.Function) -> int:
    count = function.report().rows[-1].flops
    assert isinstance(count, int)
    return count


def test_the_logistic_map_and_its_derivatives_take_eight_operations_a_step():
    r, x = sb.symbols("r x")
    counts = []
    for steps in (20, 40):
        y = x
        for _ in range(steps):
            y = r * y * (1 - y)
        f = sb.compile([r, x], [y, *sb.grad(y, [r, x])])
        counts.append(flops(f))
        slope = sb.compile([r, x], [y, *sb.grad(y, [r, x])], skip=["factors"])
        np.testing.assert_allclose(f(3.2, 0.3), slope(3.2, 0.3), rtol=1e-9)
    assert counts[1] - counts[0] == 8 * 20


@pytest.mark.parametrize("seed", range(40))
def test_random_sums_of_products(seed):
    rng = np.random.default_rng(seed)
    symbols = list(sb.symbols("a b c d"))
    values = [*symbols]
    for _ in range(30):
        left, right = (values[at] for at in rng.integers(len(values), size=2))
        values.append(
            [left * right, left * right, left * right, left + right, left - right, 0.5 * left][rng.integers(6)]
        )
    outputs = [values[at] for at in rng.integers(len(values), size=4)]
    outputs += sb.grad(values[-1], symbols, unused="zeros")
    given = rng.uniform(-1.2, 1.2, 4)
    shared, written = sb.compile(symbols, outputs), sb.compile(symbols, outputs, skip=["factors"])
    assert flops(shared) <= flops(written)
    for found, right in zip(shared(*given), written(*given), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-12)


def test_a_pair_of_factors_is_computed_once():
    x, y, z, w = sb.symbols("x y z w")
    outputs = [x * z * y, y * w * x, sb.sin(z) * x * w * y]
    f = sb.compile([x, y, z, w], outputs)
    assert flops(sb.compile([x, y, z, w], outputs, skip=["factors"])) == 8
    assert flops(f) == 5  # sin(z), xy, xy·z, xy·w, sin(z)·xyw
    np.testing.assert_allclose(f(2.0, 3.0, 5.0, 7.0), [30.0, 42.0, np.sin(5.0) * 42.0])


def test_what_has_nothing_in_common_stays():
    x, y, z = sb.symbols("x y z")
    assert "x * y * z" in sb.compile([x, y, z], [x * y * z, x + y]).source
