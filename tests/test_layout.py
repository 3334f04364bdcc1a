"""Layout: what gradients of moved, repeated, padded and joined arrays read like; named sizes; what does not fit."""

import cProfile
import pstats

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ArgumentError, ShapeError

N = sb.symbol("x", "N").shape[0]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (lambda x, y, **_: sb.roll(x, 1) * y, "roll(y, -1)"),
        (lambda x, y, **_: sb.roll(sb.roll(x, 2), -2) * y, "y"),
        (lambda x, **_: (sb.roll(x, -1) - x) ** 2, "2(2x − roll(x, 1) − roll(x, -1))"),
        (lambda x, **_: sb.exp(sb.roll(x, 3)), "exp(x)"),
        (lambda x, y, **_: sb.flip(x) * y, "y[::-1]"),
        (lambda x, y, **_: sb.flip(sb.flip(x)) * y, "y"),
        (lambda x, **_: sb.sin(sb.flip(x)), "cos(x)"),
        (lambda x, **_: sb.tile(x, 3) ** 2, "6x"),
        (lambda x, **_: sb.exp(sb.tile(x, (2, 1))), "2 exp(x)"),
        (lambda x, z, **_: sb.tile(x, 3) * z, "sum(reshape(z, (3, N)), axis=0)"),
        (lambda x, z, **_: sb.repeat(x, 3) * z, "sum(reshape(z, (N, 3)), axis=1)"),
        (lambda x, w, **_: sb.pad(x, (1, 2)) * w, "w[1:N + 1]"),
        (lambda x, **_: sb.exp(sb.pad(x, 1)), "exp(x)"),
        (lambda x, **_: sb.pad(x, 1, constant_values=5) ** 2, "2x"),
        (lambda x, y, **_: sb.concatenate([x, y]) ** 3, "3x²"),
        (lambda x, y, **_: sb.exp(sb.vstack([x, y])), "exp(x)"),
        (lambda x, y, **_: sb.array([x, 2 * x]) * y, "3y"),
        (lambda x, **_: x[1:][1:] ** 2, "2 put(x[2:], (N,), [2:])"),
        (lambda A, B, **_: sb.tril(sb.tril(A)) * B, "tril(B)"),
        (lambda A, **_: sb.triu(A, 1) ** 2, "2 triu(A, 1)"),
        (lambda A, B, **_: sb.rot90(A) * B, "B[::-1]ᵀ"),
        (lambda A, **_: A.ravel() ** 2, "2A"),
        (lambda A, B, **_: sb.ravel(A, "F") * sb.ravel(B, "F"), "B"),
        (lambda A, **_: sb.block([[A, A], [A, A]]) ** 2, "8A"),
    ],
)
def test_gradients_are_what_a_person_writes(formula, expected):
    x, y, w, z, A, B = sb.symbols("x[N] y[N] w[N+3] z[3*N] A[N,N] B[N,N]")
    f = sb.sum(formula(x=x, y=y, w=w, z=z, A=A, B=B))
    target = x if x.number in f.graph.reachable([f.number]) else A
    assert str(sb.grad(f, target)) == expected


@pytest.mark.parametrize(
    ("build", "numpy"),
    [
        (lambda x: sb.roll(x, "K"), np.roll),
        (lambda x: sb.tile(x, "K"), np.tile),
        (lambda x: sb.tile(x, (1, "K", 2)), lambda x, k: np.tile(x, (1, k, 2))),
        (lambda x: sb.repeat(x, "K"), np.repeat),
        (lambda x: sb.pad(x, "K"), np.pad),
        (lambda x: sb.pad(x, ("K", 1), mode="edge"), lambda x, k: np.pad(x, (k, 1), mode="edge")),
        (lambda x: sb.pad(x, "K", mode="linear_ramp"), lambda x, k: np.pad(x, k, mode="linear_ramp")),
        (lambda x: sb.linspace(0, x, "K"), lambda x, k: np.linspace(0, x, k)),
        (lambda x: sb.geomspace(1, x, "K", axis=-1), lambda x, k: np.geomspace(1, x, k, axis=-1)),
        (lambda x: x[:, None] * sb.arange("K"), lambda x, k: x[:, None] * np.arange(k)),
        (lambda x: x[:, None] * sb.arange(1, "2*K", 2), lambda x, k: x[:, None] * np.arange(1, 2 * k, 2)),
        (lambda x: x[:, None] + sb.zeros("K"), lambda x, k: x[:, None] + np.zeros(k)),
        (lambda x: sb.full(("K", "N"), x), lambda x, k: np.full((k, len(x)), x)),
        (lambda x: sb.array_split(x, 3)[1], lambda x, k: np.array_split(x, 3)[1]),
        (lambda x: sb.pad(x, 2, mode="reflect"), lambda x, k: np.pad(x, 2, mode="reflect")),
        (lambda x: sb.pad(x, (3, 2), mode="wrap"), lambda x, k: np.pad(x, (3, 2), mode="wrap")),
        (lambda x: sb.delete(x, -2), lambda x, k: np.delete(x, -2)),
    ],
)
def test_named_sizes_may_stand_where_numbers_do(build, numpy):
    x, tells = sb.symbols("x[N] tells[K]")
    y = build(x)
    for size, k in [(4, 3), (5, 1), (7, 2)]:
        values = np.linspace(1.0, 2.0, size) ** 2
        found = sb.compile([x, tells], y)(values, np.zeros(k))
        np.testing.assert_allclose(found, numpy(values, k), rtol=1e-14)


def test_a_width_that_the_size_does_not_reach_is_told_at_the_call():
    x = sb.symbol("x", "N")
    f = sb.compile([x], sb.pad(x, 3, mode="reflect"))
    with pytest.raises(ValueError, match="N"):
        f(np.ones(3))


def test_parts_of_a_multiple_are_equal():
    x = sb.symbol("x", "3*N")
    assert [part.shape for part in sb.split(x, 3)] == [(N,)] * 3
    assert sb.concatenate(sb.split(x, 3)).shape == x.shape
    assert str(sb.concatenate(sb.split(x, 3))) == "concatenate((x[:N], x[N:2*N], x[2*N:]))"


def test_numbers_beside_expressions_are_weak():
    x = sb.symbol("x", dtype="float32")
    assert sb.array([x, 1, 2.5]).dtype == "float32"
    assert sb.array([[1, 2], [3, 4]]).dtype == np.array([1]).dtype
    assert sb.array([x.astype("int64"), 2.5]).dtype == "float64"
    assert sb.array(x, dtype="float64", ndmin=2).shape == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "np.arange(5)", "np.arange(1, 2, 0.25)", "np.zeros(3, int)", "np.ones((2, 1))", "np.full((2, 2), 7)",
        "np.eye(3, 4, 1)", "np.eye(3, k=-1)", "np.tri(3, k=-1)", "np.identity(2, 'float32')", "np.linspace(0, 1, 5)",
        "np.linspace(0, 7, 3, dtype=int)", "np.linspace(2, 3, 4, endpoint=False)", "np.logspace(0, 2, 3)",
        "np.geomspace(1, 16, 5)", "np.array([[1, 2], [3, 4]])", "np.asarray(2.5)",
    ],
)  # fmt: skip
def test_arrays_of_numbers_alone_are_numpys(text):
    expected = eval(text, {"np": np})  # noqa: S307  (our own table)
    found = sb.evaluate(eval(text, {"np": sb}), {})  # noqa: S307  (likewise)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, **_: np.fliplr(x), "fliplr: needs 2 axes at least: x[N]"),
        (lambda A, **_: np.rot90(A, 1, (0, 0)), "rot90: axis named twice in (0, 0): A[N, D]"),
        (lambda x, k, **_: np.roll(x, k, 0), "roll: a shift is an int or a size, not k: x[N]"),
        (lambda A, **_: np.roll(A, (1, 2, 3), (0, 1)), "roll: 3 shifts for 2 axes: A[N, D]"),
        (lambda x, k, **_: sb.tile(x, k), "tile: k is no size, and shapes cannot depend on values: x[N]"),
        (lambda x, **_: np.tile(x, -1), "tile: a size cannot be negative: -1: x[N]"),
        (lambda x, k, **_: np.repeat(x, k), "repeat: k is no size, and shapes cannot depend on values: x[N]"),
        (lambda u, **_: np.repeat(u, [1, 2]), "repeat: 2 numbers for size 5: u[5]"),
        (
            lambda x, **_: np.pad(x, ((1, 2), (3, 4))),
            "pad: pad_width is one value, a pair, or a pair for each of 1 axes",
        ),
        (lambda x, **_: sb.pad(x, "K", mode="wrap"), "pad: the mode wrap needs a known width, not K: x[N]"),
        (lambda A, x, **_: np.concatenate([A, x]), "concatenate: the numbers of axes differ: A[N, D], x[N]"),
        (lambda A, **_: np.concatenate([A, A.T]), "concatenate: sizes off axis 0 differ: A[N, D], transpose(A)[D, N]"),
        (lambda x, **_: sb.vstack(x), "vstack takes a list of arrays, not the expression x[N]: write sb.vstack([…])"),
        (lambda A, x, **_: np.block([[A, A], x]), "block: all lists are equally deep, and none is empty"),
        (lambda u, **_: np.split(u, 2), "split: 5 is not divisible by 2: u[5]"),
        (
            lambda x, **_: np.split(x, 2),
            "split: N is not known to be divisible by 2: write the size as",
        ),
        (lambda x, **_: np.unstack(x), "unstack: how many parts N stands for is not known: x[N]"),
        (lambda u, **_: np.delete(u, 5), "delete: 5 is out of range for size 5: u[5]"),
        (lambda x, **_: np.resize(x, 4), "resize: needs known sizes, for the shape [4]: x[N]"),
        (lambda k, **_: sb.arange(k), "arange: takes numbers and sizes, not k: the shape would depend on values"),
        (lambda A, **_: np.moveaxis(A, (0, 1), 0), "moveaxis: 2 axes cannot move to 1 places: A[N, D]"),
        (lambda A, **_: np.ravel(A, "K"), "reshape: the order is C or F, not 'K': A[N, D]"),
        (lambda x, u, **_: np.broadcast_arrays(x, u), "broadcast_arrays: sizes N and 5 on axis -1 differ"),
    ],
)
def test_what_does_not_fit_is_told_with_the_operands(call, message):
    x, A, u, k = sb.symbol("x", "N"), sb.symbol("A", ("N", "D")), sb.symbol("u", 5), sb.symbol("k", dtype="int64")
    with pytest.raises(ShapeError) as caught:
        call(x=x, A=A, u=u, k=k)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "mirror"}, "pad: the mode is one of constant, edge"),
        ({"mode": "edge", "constant_values": 2}, "pad: the mode edge takes nothing more, not constant_values: x[N]"),
    ],
)
def test_pad_takes_what_its_mode_takes(options, message):
    with pytest.raises(ArgumentError) as caught:
        np.pad(sb.symbol("x", "N"), 1, **options)
    assert message in str(caught.value)


def test_code_of_moved_arrays_is_what_a_person_writes():
    x, A = sb.symbols("x[N] A[N,N]")
    for expr, line in [
        (sb.roll(x, 1), "np.roll(x, 1)"),
        (sb.roll(A, (1, -1), (0, 1)), "np.roll(A, (1, -1), axis=(0, 1))"),
        (sb.flip(A, 1), "A[:, ::-1]"),
        (sb.tril(A, -1), "np.tril(A, -1)"),
        (sb.pad(x, (1, 2)), "put(x, (N + 3,), np.s_[1:N + 1])"),
        (sb.tile(x, 3), "np.broadcast_to(x[None], (3, N)).reshape((3*N,))"),
    ]:
        assert line in sb.compile([x, A], expr).source


def calls_to_compile_parts(count):
    """Count the calls that compiling functions of so many parts of a joined array takes."""
    with sb.Graph():
        x = sb.symbol("x", count)
        joined = sb.concatenate([sb.sin(x[at : at + 1]) for at in range(count)])
        parts = sb.concatenate([sb.exp(joined[at : at + 1]) for at in range(count)])
        with cProfile.Profile() as profile:
            sb.compile([x], parts)
    return pstats.Stats(profile).total_calls


def test_taking_a_joined_array_apart_takes_time_that_grows_with_the_number_of_parts():
    calls_to_compile_parts(20)  # what is done once
    assert calls_to_compile_parts(400) < 2.5 * calls_to_compile_parts(200)
