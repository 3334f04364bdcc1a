"""Sizes: polynomials of named sizes obey the arithmetic of the integers that they stand for."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from symbackprop import dims
from symbackprop.dims import Dim, as_shape, as_size
from symbackprop.errors import ShapeError

N, D, K = (Dim.named(name) for name in "NDK")

leaves = st.one_of(st.sampled_from([N, D, K]), st.integers(-4, 4))
polynomials = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.builds(lambda a, b: a + b, parts, parts),
        st.builds(lambda a, b: a - b, parts, parts),
        st.builds(lambda a, b: a * b, parts, parts),
        st.builds(lambda a, k: a // k, parts, st.integers(1, 4)),
    ),
    max_leaves=8,
)
bindings = st.fixed_dictionaries({name: st.integers(0, 12) for name in "NDK"})


def value(size, sizes):
    return size.value(sizes) if isinstance(size, Dim) else size


@given(polynomials, polynomials, bindings)
def test_arithmetic_is_that_of_the_values(a, b, sizes):
    x, y = value(a, sizes), value(b, sizes)
    assert value(a + b, sizes) == x + y
    assert value(a - b, sizes) == x - y
    assert value(a * b, sizes) == x * y
    assert value(-a, sizes) == -x


@given(polynomials, st.integers(1, 7), bindings)
def test_floor_division_by_a_number(a, k, sizes):
    assert value(a // k, sizes) == value(a, sizes) // k


@given(polynomials, polynomials, bindings)
def test_exact_division(a, b, sizes):
    for divisor in (N, 2 * N, N * D, 3):
        assert value((a * divisor) // divisor, sizes) == value(a, sizes)
    assume(value(b, sizes) > 0)
    try:
        quotient = a // b
    except ShapeError:
        return  # not exact, and said so
    assert value(quotient, sizes) == value(a, sizes) // value(b, sizes)


@given(polynomials, polynomials, polynomials)
def test_equal_sizes_are_equal_in_form(a, b, c):
    assert a + b == b + a
    assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert (a * b) * c == a * (b * c)
    assert a * (b + c) == a * b + a * c
    assert a - a == 0
    assert hash(a + b) == hash(b + a)


@given(polynomials, bindings)
def test_the_text_is_a_python_expression_for_the_size(a, sizes):
    assert eval(str(a), dict(sizes)) == value(a, sizes)  # noqa: S307  (written by Dim itself)
    if isinstance(a, Dim):
        assert as_size(str(a)) == a


@given(polynomials)
def test_what_cancels_is_an_int(a):
    assert type(a - a) is int
    assert type(a - a + 3) is int
    assert isinstance(a, Dim) is bool(dims.names_of((a,)))


@given(polynomials, bindings)
def test_may_be_negative_never_misses(a, sizes):
    if isinstance(a, Dim) and not a.may_be_negative:
        assert value(a, sizes) >= 0


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=4))
def test_broadcast_is_numpys_for_ints(shapes):
    shapes = [tuple(shape) for shape in shapes]
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError):
            dims.broadcast(*shapes)
    else:
        assert dims.broadcast(*shapes) == expected


def fits(*shapes):
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


@given(st.lists(st.sampled_from([1, 2, "N", "D"]), max_size=3), st.lists(st.sampled_from([1, 2, "N", "D"]), max_size=3))
def test_broadcast_of_named_sizes_holds_for_all_their_values(left, right):
    """Where it is allowed, NumPy allows it at every size; what is refused fails at some size."""
    shapes = as_shape(left), as_shape(right)
    for_sizes = [{"N": n, "D": d} for n in (3, 1, 5) for d in (4, 5)]
    try:
        result = dims.broadcast(*shapes)
    except ShapeError:
        assert not all(fits(*(dims.bind(shape, sizes) for shape in shapes)) for sizes in for_sizes)
    else:
        for sizes in for_sizes:
            bound = [dims.bind(shape, sizes) for shape in shapes]
            assert np.broadcast_shapes(*bound) == dims.bind(result, sizes)


def test_canonical_form():
    for size, text in [
        ((N + 1) * D, "D*N + D"),
        (N * 2 - 1, "2*N - 1"),
        (1 - N, "-N + 1"),
        (-N, "-N"),
        ((N + 1) // 2, "((N + 1)//2)"),
        ((N + 1) // 2 * 2 - 1, "2*((N + 1)//2) - 1"),
        (D * N * D, "D*D*N"),
        (0 * N, "0"),
        (N - N + 3, "3"),
        ((4 * N + 2) // 2, "2*N + 1"),
    ]:
        assert str(size) == text


def test_a_plain_size_equals_its_name():
    assert N == "N"
    assert hash(N) == hash("N")
    assert {N: 1}["N"] == 1
    assert N + 1 != "N"
    assert N != 1
    assert (N, D) == ("N", "D")
    assert N.name == "N"
    assert (N + 1).name is None
    assert (N + D * 2).names == {"N", "D"}


def test_numbers_of_numpy_are_numbers():
    assert type(N + np.int64(3) - N) is int
    assert as_shape((np.int64(3), np.int8(2))) == (3, 2)
    assert dims.axes_from_right(np.int64(0), 2) == (-2,)
    assert dims.axes_from_right([np.int64(0)], 2) == (-2,)


@pytest.mark.parametrize("other", ["D", None, (1,)])
def test_only_sizes_take_part(other):
    for call in (lambda: N + other, lambda: other + N, lambda: N - other, lambda: other - N, lambda: N // other):
        with pytest.raises(TypeError):
            call()
    with pytest.raises((TypeError, ShapeError)):  # sequences are repeated, if they learn how often
        N * other


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: N // D, "D does not divide N"),
        (lambda: N // 0, "0 does not divide N"),
        (lambda: N // -2, "-2 does not divide N"),
        (lambda: 6 // N, "N does not divide 6"),
        (lambda: Dim.named("2x"), "'2x' cannot name a size: use an identifier such as 'N'"),
        (lambda: Dim.named("for"), "'for' cannot name a size: use an identifier such as 'N'"),
        (lambda: as_size(-1), "a size cannot be negative: -1"),
        (lambda: as_size("2-3"), "a size cannot be negative: -1"),
        (lambda: as_size(2.0), "a size is an integer or a name such as 'N', not 2.0"),
        (lambda: as_size(True), "a size is an integer or a name such as 'N', not True"),
        (lambda: as_size(None), "a size is an integer or a name such as 'N', not None"),
        (lambda: as_size(""), "'' is no size: write a name, an integer, or arithmetic on them such as 'N+1'"),
        (lambda: as_size("N N"), "'N N' is no size: write a name, an integer, or arithmetic on them such as 'N+1'"),
        (lambda: as_size("f(N)"), "'f(N)' is no size: write a name, an integer, or arithmetic on them such as 'N+1'"),
        (lambda: as_size("N**9"), "'N ** 9' is no size: write a name, an integer, or arithmetic on them such as 'N+1'"),
        (lambda: as_size("1//0"), "'1//0' is no size: write a name, an integer, or arithmetic on them such as 'N+1'"),
        (lambda: as_size("N//D"), "D does not divide N"),
        (lambda: dims.broadcast((2,), (3,)), "sizes 2 and 3 on axis -1 differ"),
        (
            lambda: dims.broadcast((N, 2), (D, 2)),
            "sizes N and D on axis -2 differ; a named size broadcasts only against 1",
        ),
        (lambda: dims.axes_from_right(2, 2), "axis 2 is out of range for rank 2"),
        (lambda: dims.axes_from_right((0, -2), 2), "axis named twice in (0, -2)"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ShapeError) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text", ["(" * 500 + "N" + ")" * 500, "1+" * 20000 + "N", "N\0", "9" * 5000 + "+N", "N+\ud800"]
)
def test_odd_texts_are_no_sizes(text):
    with pytest.raises(ShapeError, match="is no size"):
        as_size(text)


def test_reading_texts():
    assert as_shape(["N", " D "]) == (N, D)
    assert as_shape(" N ") == (N,)
    assert as_size("2*(N+1)//2") == N + 1
    assert as_size("N + 1") == N + 1
    assert as_shape(3) == (3,)
    assert as_shape(()) == ()


def test_product_and_bind():
    assert dims.product(()) == 1
    assert dims.product((N, 0)) == 0
    assert dims.product((N, 3, N)) == 3 * N * N
    assert dims.bind((N + D, 3), {"N": 2, "D": 5}) == (7, 3)
    assert dims.names_of(((N + 1) // 2, 3)) == {"N"}
    assert dims.show((N, 3)) == "[N, 3]"
    with pytest.raises(KeyError, match="N"):
        dims.bind((N,), {})


def test_sizes_can_be_copied_and_pickled():
    assert copy.deepcopy(N + 1) == N + 1
    assert pickle.loads(pickle.dumps((N + 1) // 2)) == (N + 1) // 2  # noqa: S301  (our own bytes)
