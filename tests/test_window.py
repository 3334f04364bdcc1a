"""Windows, convolution and pooling beside SciPy's, at the call, and what they say of operands that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

import symbackprop as sb
from symbackprop.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(3)


def test_a_convolution_is_scipys_correlation():
    x, w = RNG.normal(size=(2, 3, 7, 8)), RNG.normal(size=(4, 3, 2, 5))
    X, W = sb.symbols("x[N,C,H,W] w[O,C,2,5]")
    for padding, mode in (("valid", "valid"), ((1, 4), "full")):
        found = sb.compile([X, W], sb.conv2d(X, W, padding=padding))(x, w)
        wanted = [
            [sum(signal.correlate2d(*pair, mode) for pair in zip(image, k, strict=True)) for k in w] for image in x
        ]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


def test_a_convolution_over_three_axes_is_scipys():
    x, w = RNG.normal(size=(1, 4, 5, 6)), RNG.normal(size=(1, 1, 2, 3, 2))
    found = sb.evaluate(sb.conv(sb.constant(x), sb.constant(w)), {})
    np.testing.assert_allclose(found[0], signal.correlate(x[0], w[0, 0], "valid"), rtol=1e-12, atol=1e-13)


def test_convolution_and_transposed_convolution_are_adjoint():
    """The inner product of a convolution with y is that of x with the transposed convolution of y."""
    x, w, y = sb.symbols("x[N,3,9,8] w[5,3,3,2] y[N,5,4,4]")
    there = sb.sum(sb.conv(x, w, stride=2) * y)
    back = sb.sum(x * sb.conv_transpose(y, w, stride=2))
    values = {each: RNG.normal(size=(2, *map(int, each.shape[1:])) if each is not w else w.shape) for each in (x, w, y)}
    np.testing.assert_allclose(sb.evaluate(there, values), sb.evaluate(back, values), rtol=1e-12)


def test_the_second_derivative_of_a_network():
    x, w, v = sb.symbols("x[N,1,6,6] w[2,1,3,3] v[2]")
    y = sb.avg_pool2d(sb.tanh(sb.max_pool2d(sb.conv2d(x, w, padding=1), 2)), 3)
    loss = sb.sum(sb.tanh(sb.einsum("nchw,c->n", y, v)))
    values = {x: RNG.normal(size=(2, 1, 6, 6)), w: RNG.normal(size=(2, 1, 3, 3)), v: RNG.normal(size=2)}
    sb.check_grad(loss, values)
    sb.check_grad(sb.sum(sb.grad(loss, w) ** 2), values)


def test_equal_largest_elements_share_the_derivative():
    x = sb.symbol("x", (2, 4))
    values = {x: np.array([[1.0, 1.0, 2.0, 3.0], [1.0, 0.0, 3.0, 3.0]])}
    found = sb.evaluate(sb.grad(sb.sum(sb.max_pool2d(x, 2)), x), values)
    np.testing.assert_array_equal(found, [[1 / 3, 1 / 3, 0, 1 / 3], [1 / 3, 0, 1 / 3, 1 / 3]])


def test_what_lies_beyond_the_ends_is_never_the_largest():
    for dtype in ("float32", "int8"):
        x = sb.symbol("x", (3, 3), dtype)
        values = -np.arange(1, 10).reshape(3, 3).astype(dtype)
        found = sb.evaluate(sb.max_pool2d(x, 3, 2, padding=1), {x: values})
        np.testing.assert_array_equal(found, np.array([[-1, -2], [-4, -5]], dtype))


def test_results_share_no_memory_with_operands_and_can_be_written_to():
    x = sb.symbol("x", "N")
    array = np.arange(5.0)
    plain, changed = sb.compile([x], [sb.windows(x, 2), sb.windows(2 * x, 2)])(array)
    for result in (plain, changed):
        result[0] = -1.0
    np.testing.assert_array_equal(array, np.arange(5.0))
    np.testing.assert_array_equal(plain, [[-1, -1], [1, 2], [2, 3], [3, 4]])
    np.testing.assert_array_equal(changed, [[-1, -1], [2, 4], [4, 6], [6, 8]])


def test_windows_follow_what_they_look_at():
    """Arrays are kept and computed in from call to call, and windows of them are not those of the last call."""
    x, w = sb.symbols("x[N,1,6,6] w[2,1,3,3]")
    y = sb.max_pool2d(sb.relu(sb.conv2d(sb.tanh(x), w)), 2)
    outputs = [y, *sb.grad(sb.sum(y**2), [x, w])]
    f = sb.compile([x, w], outputs)
    for size in (2, 3, 2, 2):
        values = {x: RNG.normal(size=(size, 1, 6, 6)), w: RNG.normal(size=(2, 1, 3, 3))}
        for found, output in zip(f(*values.values()), outputs, strict=True):
            np.testing.assert_allclose(found, sb.evaluate(output, values), rtol=1e-12, atol=1e-12)


def test_a_named_size_must_hold_a_window():
    a = sb.symbol("a", "N")
    g = sb.compile([a], sb.convolve(a, [1.0, 2.0, 3.0], "valid"))
    with pytest.raises(ShapeError, match=r"windows of a\[N\] needs N - 3 >= 0, and N = 2"):
        g(np.zeros(2))
    x = sb.symbol("x", ("N", "C", "H", 8))
    f = sb.compile([x], sb.max_pool2d(x, 3))
    with pytest.raises(ShapeError, match=r"windows of x\[N, C, H, 8\] needs H - 3 >= 0, and H = 2"):
        f(np.zeros((1, 1, 2, 8)))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("sb.windows(x, 7)", ShapeError, r"windows: a window over 7 elements does not fit into 6: x\[6\]"),
        ("sb.windows(x, (2, 2))", ShapeError, "windows: the window has 2 axes and slides over 1"),
        ("sb.windows(x, 2, step=0)", ArgumentError, "windows: step is a whole number from 1 on, or 1 of them, not 0"),
        ("sb.windows(i, 2, axis=7)", ShapeError, "windows: axis 7 is out of range"),
        ("sb.overlap_add(i, (12,))", ShapeError, r"overlap_add: there are not as many windows in \(12,\)"),
        ("sb.overlap_add(x, (5,))", ShapeError, "overlap_add: 1 axes of windows and as many in each of them"),
        ("sb.convolve(i, x)", ShapeError, r"convolve: takes vectors with an element at least: i\[N, 3, 8, 8\]"),
        ("sb.convolve(x, x, 'most')", ArgumentError, "convolve: the mode is 'full', 'same' or 'valid', not 'most'"),
        ("sb.correlate(m, n)", ShapeError, r"correlate: which of M and N is larger is not known.*m\[M\], n\[N\]"),
        ("sb.conv(x, w)", ShapeError, "conv: x needs channels and 2 axes, w two kinds of channels and as many"),
        ("sb.conv(i, k)", ShapeError, r"conv: x has 3 channels and w takes 2: i\[N, 3, 8, 8\], k\[4, 2, 9, 9\]"),
        ("sb.conv(i, w, groups=3)", ShapeError, "conv: x has 3 channels and w takes 3 in each of 3 groups"),
        ("sb.conv(i, w[:, :1], groups=3)", ShapeError, "conv: 4 output channels are not a multiple of 3 groups"),
        ("sb.conv(i, w, groups=0)", ArgumentError, "conv: groups is a whole number from 1 on, not 0"),
        ("sb.conv(i[:, :2], k)", ShapeError, "conv: a window over 9 elements does not fit into 8"),
        ("sb.conv(i, w, padding='most')", ArgumentError, "conv: the padding is 'valid', 'same', a number"),
        ("sb.conv(i, w, padding=(1, 2, 3))", ArgumentError, "conv: the padding is a number or a pair for each"),
        ("sb.conv(i, w, padding=-1)", ArgumentError, "conv: the padding is a whole number from 0 on"),
        ("sb.conv(h, w, 2, 'same')", ShapeError, "conv: how much 'same' adds depends on H where the stride is not 1"),
        ("sb.conv1d(i, w)", ShapeError, "conv1d: the kernel has 3 axes"),
        ("sb.conv_transpose(i, w)", ShapeError, "conv_transpose: x needs as many channels as w"),
        ("sb.max_pool2d(x, 2)", ShapeError, r"max_pool2d: needs two axes to slide over: x\[6\]"),
        ("sb.max_pool2d(i, 9)", ShapeError, r"max_pool2d: a window over 9 elements does not fit into 8: i\["),
        ("sb.avg_pool2d(i, 2.5)", ArgumentError, "avg_pool2d: the window is a whole number from 1 on, or 2 of them"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_an_error(text, error, message):
    x, i, h, w, k, m, n = sb.symbols("x[6] i[N,3,8,8] h[N,3,H,8] w[4,3,3,3] k[4,2,9,9] m[M] n[N]")
    with pytest.raises(error, match=message):
        eval(text, {"sb": sb}, {"x": x, "i": i, "h": h, "w": w, "k": k, "m": m, "n": n})  # noqa: S307  (our own table)
