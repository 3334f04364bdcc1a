"""Operations that people define: from SymPy, from NumPy functions; and what is found wrong when they are defined."""

from __future__ import annotations

import importlib.util
import math
import re

import numpy as np
import pytest
import sympy
from scipy import special

import symbackprop as sb
from symbackprop.errors import ArgumentError
from symbackprop.op import DEFINED

SLOPE = 0.25
numpy = np


@pytest.fixture(autouse=True)
def _nothing_stays_defined():
    before = dict(DEFINED)
    yield
    DEFINED.clear()
    DEFINED.update(before)


def cube(x):
    """The third power."""
    # kept as it was written
    return x**3


def scaled_tanh(x, s):
    def inner(z):
        return numpy.tanh(SLOPE * z) * math.pi

    return inner(x) * s


def row_norms(A): return np.sqrt(np.sum(A * A, axis=-1))  # fmt: skip


def define_row_norms():
    rule = lambda g, y, A: (g / y)[..., None] * A  # noqa: E731  (as people write them)
    return sb.define_op("row_norms", row_norms, bprop=rule, shape=lambda a: a[:-1], samples=[(np.eye(3) + 0.5,)])


def test_an_operation_from_sympy():
    x = sympy.Symbol("x", real=True)
    mish = sb.define_op("mish_", x, x * sympy.tanh(sympy.log(1 + sympy.exp(x))))
    X = sb.symbol("x", "N")
    a = np.array([-3.0, 0.5, 2.0, 800.0])
    f = sb.compile([X], mish(X))
    np.testing.assert_allclose(f(a), a * np.tanh(np.logaddexp(0, a)), rtol=1e-14)
    b = a[:3]
    order, y = x * sympy.tanh(sympy.log(1 + sympy.exp(x))), sb.sum(mish(X))
    for _ in range(3):
        order, y = sympy.diff(order, x), sb.sum(sb.grad(y, X))
        expected = sum(float(order.subs(x, each).evalf(30)) for each in b)
        np.testing.assert_allclose(sb.compile([X], y)(b), expected, rtol=1e-10)
    assert f(a.astype("float64")).dtype == "float64"
    Y = sb.symbol("y", "N", "float32")
    assert sb.grad(sb.sum(mish(Y)), Y).dtype == "float32"


def test_the_derivative_that_sympy_writes_is_right_far_out():
    x = sympy.Symbol("x", real=True)
    swish = sb.define_op("swish_", x, x / (1 + sympy.exp(-x)))
    X = sb.symbol("x", "N")
    slope = sb.compile([X], sb.grad(sb.sum(swish(X)), X))
    np.testing.assert_allclose(slope(np.array([-1000.0, -30.0, 0.0, 1000.0])), [0, -29 * np.exp(-30), 0.5, 1], 1e-11)


def test_an_operation_of_several_operands_from_sympy():
    gauss = sb.define_op("gauss_density", ("x", "m", "s"), sympy.sympify("exp(-((x - m)/s)**2/2)/(s*sqrt(2*pi))"))
    x, m, s = sb.symbol("x", ("N", 1)), sb.symbol("m", "K"), sb.symbol("s")
    z = gauss(x, m, s)
    assert z.shape == ("N", "K")
    values = {x: np.array([[0.3], [1.0]]), m: np.array([0.5, 0.1, 2.0]), s: 0.7}
    expected = np.exp(-(((values[x] - values[m]) / 0.7) ** 2) / 2) / (0.7 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(sb.evaluate(z, values), expected, rtol=1e-14)
    sb.check_grad(sb.sum(z * z), values)
    assert str(z) == "gauss_density(x, m, s)"
    clipped = sb.define_op("clipped_", "t", sympy.Piecewise((sympy.Symbol("t"), sympy.Symbol("t") > 1), (1, True)))
    np.testing.assert_array_equal(sb.evaluate(clipped(sb.constant([0.5, 2.0])), {}), [1, 2])


def test_an_operation_from_a_numpy_function():
    op = sb.define_op("cube", cube, bprop=lambda g, y, x: 3 * g * x**2)
    x = sb.symbol("x", "N")
    y = op(x)
    assert str(y) == "cube(x)"
    assert y.latex() == r"\operatorname{cube}\left(x\right)"
    assert str(sb.grad(sb.sum(y), x)) == "3x²"
    assert str(sb.grad(sb.sum(sb.grad(sb.sum(y), x)), x)) == "6x"
    assert sb.parse("cube(2*x)", {"x": x}).op is op
    f = sb.compile([x], {"y": y})
    assert '"""The third power."""\n    # kept as it was written\n    return x**3' in f.source
    np.testing.assert_array_equal(f([1.0, 2.0])["y"], [1, 8])


def test_constants_and_inner_functions_go_into_the_source(tmp_path):
    op = sb.define_op(
        "scaled_tanh", scaled_tanh,
        bprop=lambda g, y, x, s: (g * s * SLOPE * np.pi / sb.cosh(SLOPE * x) ** 2, g * np.pi * sb.tanh(SLOPE * x)),
    )  # fmt: skip
    x, s = sb.symbol("x", "N"), sb.symbol("scaled_tanh")
    f = sb.compile([x, s], sb.sum(op(x, s)) * s)
    a = np.array([1.0, 3.0])
    expected = np.sum(np.tanh(0.25 * a) * np.pi * 0.5) * 0.5
    np.testing.assert_allclose(f(a, 0.5), expected, rtol=1e-14)
    f.save(tmp_path / "saved.py")
    assert "symbackprop" not in re.sub(r'""".*?"""', "", f.source, flags=re.DOTALL)
    spec = importlib.util.spec_from_file_location("saved", tmp_path / "saved.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    np.testing.assert_allclose(module.f(a, 0.5), expected, rtol=1e-14)


def test_an_operation_with_a_shape_rule():
    op = define_row_norms()
    A = sb.symbol("A", ("N", "D"))
    y = op(A)
    assert y.shape == ("N",)
    values = {A: np.arange(1.0, 7.0).reshape(2, 3)}
    sb.check_grad(sb.sum(sb.sin(y)), values)
    np.testing.assert_allclose(sb.compile([A], y)(values[A]), np.linalg.norm(values[A], axis=1), rtol=1e-15)
    J = sb.evaluate(sb.jacobian(y, A), values)
    np.testing.assert_allclose(J[0, 0], values[A][0] / np.linalg.norm(values[A][0]), rtol=1e-14)


def test_an_operand_without_derivative():
    def keep(x, mask):
        return x * (mask > 1)

    op = sb.define_op("keep_where", keep, bprop=lambda g, y, x, mask: (sb.where(mask > 1, g, 0.0), None))
    x, m = sb.symbols("x[N] m[N]")
    assert str(sb.grad(sb.sum(op(x, m)), [x, m], unused="zeros")[1]) == "broadcast_to(0, (N,))"


def imported(x):
    import scipy  # noqa: PLC0415  (what is tested)

    return scipy.special.erf(x)


def outside(x):
    return special.erf(x)


def helped(x):
    return cube(x) + 1


def missing(x):
    return x * nowhere  # noqa: F821  (what is tested)


def of_keywords(x, *, k=1):
    return x * k


def summed(x):
    return np.sum(x)


def doubled(x):
    return np.float64(2) * x


def root(x):
    return np.sqrt(x - 1)


def right(g, _y, x):
    return 3 * g * x**2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sb.define_op("exp", cube, bprop=right), "there is an operation, or a function of generated code, cal"),
        (lambda: sb.define_op("not a name", cube, bprop=right), "a name is an identifier such as 'mish', not"),
        (lambda: [sb.define_op("c3", cube, bprop=right) for _ in "ab"], "'c3' is defined already: take another name"),
        (lambda: sb.define_op("c3", cube), "define_op c3: a function needs its derivative: give bprop="),
        (lambda: sb.define_op("c3", "x"), "define_op c3: give symbols and an expression of SymPy"),
        (lambda: sb.define_op("c3", lambda x: x, bprop=right), "define_op c3: give a function made by def"),
        (lambda: sb.define_op("c3", np.exp, bprop=right), "define_op c3: give a function made by def"),
        (lambda: sb.define_op("c3", imported, bprop=right), "define_op c3: the function imports scipy"),
        (lambda: sb.define_op("c3", outside, bprop=right), "the function uses special, which is a module: generated"),
        (lambda: sb.define_op("c3", helped, bprop=right), "the function uses cube, which is a function: generated"),
        (lambda: sb.define_op("c3", missing, bprop=right), "the function uses nowhere, which is not there"),
        (lambda: sb.define_op("c3", of_keywords, bprop=right), "the function takes its operands by position"),
        (lambda: sb.define_op("c3", summed, bprop=right), "the value has shape () and dtype float64, and the rules"),
        (lambda: sb.define_op("c3", doubled, bprop=lambda g, y, x: 2 * g), "dtype float64, and the rules say (2, 3)"),
        (lambda: sb.define_op("c3", root, bprop=lambda g, y, x: g / (2 * y)), "is not finite: give operands it is"),
        (
            lambda: sb.define_op("c3", cube, bprop=lambda g, y, x: 2 * g * x**2),
            "define_op c3: the derivative by operand 0 is not what differences say: along a random direction the rule",
        ),
        (lambda: sb.define_op("c3", cube, bprop=lambda g, y, x: None), "along a random direction no rule gives"),
        (lambda: sb.define_op("c3", cube, bprop=lambda g, y, x: (g, g)), "bprop gives 2 gradients, and there are 1 op"),
        (lambda: sb.define_op("c3", cube, bprop=lambda g, y, x: g @ y), "define_op c3: "),
        (lambda: sb.define_op("c3", cube, bprop=lambda g, y: g), "define_op c3: TypeError"),
        (lambda: sb.define_op("c3", cube, bprop=right, shape=lambda a: a), "needs samples=[(array, …), …] to be tried"),
        (lambda: sb.define_op("c3", "x", sympy.Symbol("x") * sympy.Symbol("k")), "the expression has k beside x"),
        (lambda: sb.define_op("c3", "x", sympy.Symbol("x"), bprop=right), "of an expression of SymPy bprop, shape and"),
        (lambda: sb.define_op("c3", "x", sympy.Function("f")(sympy.Symbol("x"))), "define_op c3: "),
        (lambda: sb.define_op("c3", "x", sympy.sqrt(sympy.Symbol("x") - 1)), "is not finite: give operands"),
        (lambda: sb.define_op("cube", cube, bprop=right)(1, 2), "cube takes 1 operand, not 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_when_it_is_defined(call, message):
    with pytest.raises(ArgumentError, match=re.escape(message)), np.errstate(invalid="ignore"):
        call()


def test_samples_may_be_told():
    op = sb.define_op("root", root, bprop=lambda g, y, x: g / (2 * y), samples=[(2.0,), ([1.5, 3.0],)])
    assert sb.evaluate(op(sb.constant(5.0)), {}) == 2
