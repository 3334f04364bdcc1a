"""Other libraries than NumPy: every operation gives what NumPy's code gives, in all of them that are installed.

An operation is tested here because it stands in the table. CuPy, which needs a GPU, is tested as far as its names are
NumPy's: NumPy stands in for it.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.errors import ArgumentError, BackendError, DtypeError, GraphError, ShapeError
from symbackprop.expr import Expr
from symbackprop.lower.backends import BACKENDS
from symbackprop.op import Form, Op
from symbackprop.ops import TABLE
from symbackprop.ops.elementwise import elementwise_op
from symbackprop.rewrite import PIPELINE
from tests.benchmarks import digits_step
from tests.random_graphs import random_loss
from tests.test_ops import APPLICATIONS, build, differentiable, each_application, sample

PASSES = [stage.name for stage in PIPELINE]
EIGENVECTORS = {"eigenvectors"}
"""Of which the sign is the library's choice."""
SCIPY = {
    "bessel_i", "beta", "betaln", "digamma", "erfcinv", "erfcx", "erfinv", "gamma", "gammaln", "ndtri", "polygamma",
}  # fmt: skip
SECOND_BESSEL = {"order": 1}
"""The parameters of a Bessel function whose derivative needs that of order 2, which is SciPy's alone."""
LACKING = {
    "array_api": {"gcd", "lcm"} | SCIPY,
    "cupy": SCIPY,
    "jax": {"erfcinv", "erfcx"},
    "torch": {"beta", "betaln", "erfcinv", "gamma"},
}
"""What a library has not."""


class Library(NamedTuple):
    """A library to run a backend's code with.

    Attributes:
        backend: the backend's name.
        module: the module's name.
        array: makes its array of NumPy's.
    """

    backend: str
    module: str
    array: Callable[[Any, Any], Any]


LIBRARIES = {
    "jax": Library("jax", "jax.numpy", lambda jnp, x: jnp.asarray(x)),
    "torch": Library("torch", "torch", lambda torch, x: torch.from_numpy(np.array(x))),
    "cupy": Library("cupy", "numpy", lambda _np, x: np.asarray(x)),
    "array_api_strict": Library("array_api", "array_api_strict", lambda xp, x: xp.asarray(x)),
    "array_api_numpy": Library("array_api", "numpy", lambda _np, x: np.asarray(x)),
    "array_api_jax": Library("array_api", "jax.numpy", lambda jnp, x: jnp.asarray(x)),
}

INSTALLED = [name for name, library in LIBRARIES.items() if find_spec(library.module.partition(".")[0])]
"""Tested are these; `test_the_library_is_installed` says which are not."""


class Bench:
    """Compiles for a library, and calls with its arrays.

    Args:
        library: which.
        module: the module itself.
    """

    def __init__(self, library: Library, module: Any) -> None:
        """Take the library."""
        self.library, self.module = library, module

    @property
    def writes(self) -> bool:
        """Tell whether updates in place are possible."""
        return BACKENDS[self.library.backend].writes

    def array(self, x: Any) -> Any:
        """Make an array of the library."""
        return self.library.array(self.module, x)

    def compile(self, inputs: Any, outputs: Any, **options: Any) -> sb.Function:
        """Compile for the library."""
        return sb.compile(inputs, outputs, backend=self.library.backend, **options)

    def values(self, inputs: Any, outputs: Any, arrays: Any, **options: Any) -> list[Any]:
        """Compile, call, and give the results as NumPy's arrays."""
        found = self.compile(inputs, outputs, **options)(*map(self.array, arrays))
        if self.module is not np:  # which gives scalars
            assert {type(each) for each in found} <= {type(self.array(np.zeros(2)))}
        return [np.asarray(each) for each in found]


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_library_is_installed(name):
    pytest.importorskip(LIBRARIES[name].module)


@pytest.fixture(params=INSTALLED)
def bench(request, monkeypatch) -> Iterator[Bench]:
    library = LIBRARIES[request.param]
    module = importlib.import_module(library.module)
    if library.module == "jax.numpy":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    if library.backend == "cupy":
        monkeypatch.setitem(sys.modules, "cupy", np)
    with sb.Graph(), np.errstate(all="ignore"):
        yield Bench(library, module)


def assert_same(found: list[Any], wanted: list[Any], outputs: list[Expr], *, rtol: float, atol: float) -> None:
    for each, want, output in zip(found, wanted, outputs, strict=True):
        assert each.dtype == output.dtype
        assert each.shape == np.shape(want)
        np.testing.assert_allclose(each, want, rtol=rtol, atol=atol)


# --- every operation ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@each_application
def test_values_and_gradients_are_those_of_numpy(bench, app):
    arrays = sample(app)
    y, xs = build(app, arrays)
    if app.op.name in LACKING.get(bench.library.backend, ()):
        with pytest.raises(BackendError, match=rf"lacks (np|scipy.special)\.\w+, which {app.op.name} needs"):
            bench.compile(xs, y)
        return
    outputs = [y]
    targets = differentiable(app, xs)
    alone = app.op.name == "bessel_i" and app.params.items() >= SECOND_BESSEL.items()
    if y.dtype.kind == "f" and targets and app.op.name not in EIGENVECTORS and not alone:
        weights = np.random.default_rng(3).uniform(0.5, 1.5, y.shape)
        outputs += sb.grad(sb.sum(y * weights), [xs[k] for k in targets])
    wanted = sb.compile(xs, outputs, skip=PASSES)(*arrays)
    found = bench.values(xs, outputs, arrays, skip=PASSES)
    if app.op.name in EIGENVECTORS:
        found[0], wanted[0] = np.abs(found[0]), np.abs(wanted[0])
    assert_same(found, wanted, outputs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("app", {app.op: app for app in APPLICATIONS}.values(), ids=str)
def test_single_precision_stays_single(bench, app):
    if app.op.name in LACKING.get(bench.library.backend, ()):
        return
    arrays = sample(app, dtype="float32")
    y, xs = build(app, arrays)
    wanted = sb.compile(xs, [y], skip=PASSES)(*arrays)
    found = bench.values(xs, [y], arrays, skip=PASSES)
    if app.op.name in EIGENVECTORS:
        found[0], wanted[0] = np.abs(found[0]), np.abs(wanted[0])
    assert_same(found, wanted, [y], rtol=2e-5, atol=2e-6)


# --- whole functions ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::symbackprop.errors.NotTrainableWarning")
@pytest.mark.parametrize("seed", range(12))
def test_random_losses_and_their_gradients(bench, seed):
    lacking = SCIPY | LACKING.get(bench.library.backend, set())
    ops = tuple(op for op in TABLE if op.name not in lacking)
    loss, values = random_loss(np.random.default_rng([seed, 11]), 12, ops)
    outputs = [loss, *sb.grad(loss, list(values), unused="zeros")]
    wanted = sb.compile(list(values), outputs)(*values.values())
    assert_same(bench.values(list(values), outputs, values.values()), wanted, outputs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_training_step_of_a_network_for_digits(bench, dtype):
    inputs, loss, updates = digits_step.expressions(dtype)
    rng = np.random.default_rng(0)
    targets = np.eye(10)[rng.integers(10, size=8)]
    drawn = [rng.normal(size=(8, 64)), targets]
    drawn += [0.1 * rng.uniform(size=list(symbol.shape)) for symbol in inputs[2:]]
    arrays = [x.astype(symbol.dtype) for x, symbol in zip(drawn, inputs, strict=True)]
    outputs = [loss, *updates.values()]
    wanted = sb.compile(inputs, outputs)(*arrays)
    tolerance = {"rtol": 1e-10, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-3, "atol": 1e-5}
    assert_same(bench.values(inputs, outputs, arrays), wanted, outputs, **tolerance)
    if bench.writes:
        step = bench.compile(inputs, loss, updates=updates)
        given = [bench.array(x.copy()) for x in arrays]
        found = [step(*given), *(given[inputs.index(symbol)] for symbol in updates)]
        assert_same([np.asarray(each) for each in found], wanted, outputs, **tolerance)


def test_known_arrays_sizes_and_parts_of_arrays(bench):
    X, k = sb.symbol("X", ("N", 4)), sb.symbol("k", dtype="int64")
    table = sb.constant([[1.0, -2.0], [0.5, np.inf]])
    outputs = [
        table + k,
        sb.constant(np.zeros((0, 2))) + X[0, 0],
        sb.size_of("N") * sb.eye("N", 2, dtype="float32"),
        X[1:, ::-2] * X[:-1, 1:3] / k,
        sb.where(X > 0, 1, 0),
        sb.where(X > 0.5, np.inf, X),
        sb.concatenate([X[:, i] * i for i in range(12 % 4, 4)] * 3),
        sb.diag(X[:, 0]) @ X,
        sb.einsum("nd,nd,nd->n", X, X, X),
        sb.sum(X > 0, axis=0) // k,
        sb.maximum(k, 0.5),
    ]
    arrays = [np.random.default_rng(5).normal(size=(5, 4)), np.int64(3)]
    for skip in ((), PASSES):
        wanted = sb.compile([X, k], outputs, skip=skip)(*arrays)
        assert_same(bench.values([X, k], outputs, arrays, skip=skip), wanted, outputs, rtol=1e-12, atol=1e-13)


def test_results_are_fresh_and_structured_as_the_outputs(bench):
    x, y = sb.symbols("x[N] y[N]")
    f = bench.compile([x, y], {"a": [x, (x.T, x + y)], "b": x})
    given = bench.array(np.array([1.0, 2.0]))
    found = f(y=bench.array(np.ones(2)), x=given)
    assert list(found) == ["a", "b"]
    assert isinstance(found["a"], list)
    assert isinstance(found["a"][1], tuple)
    if bench.writes:
        found["a"][0][0] = 7.0
        found["a"][1][0][1] = 8.0
    np.testing.assert_array_equal(np.asarray(given), [1.0, 2.0])
    np.testing.assert_array_equal(np.asarray(found["b"]), [1.0, 2.0])


def test_the_first_call_tells_the_sizes(bench):
    A, B, v = sb.symbols("A[M,K] B[K,N] v[N]")
    f = bench.compile([A, B, v], A @ B @ v, sizes={"M": 2, "K": 2})
    rng = np.random.default_rng(2)
    for sizes in [(2, 2, 500), (2, 2, 1)]:
        arrays = [rng.normal(size=sizes[:2]), rng.normal(size=sizes[1:]), rng.normal(size=sizes[2])]
        found = np.asarray(f(*map(bench.array, arrays)))
        np.testing.assert_allclose(found, arrays[0] @ arrays[1] @ arrays[2], rtol=1e-12)


# --- arguments ------------------------------------------------------------------------------------------------


def test_arguments_are_converted_where_nothing_is_lost(bench):
    x, s = sb.symbols("x[N] s")
    f = bench.compile([x, s], x * s)
    for dtype in (np.float32, np.float64, np.int32):
        found = np.asarray(f(bench.array(np.array([1, 2], dtype)), 3))
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, [3.0, 6.0])


def test_what_is_wrong_with_an_argument_names_its_symbol(bench):
    x, y = sb.symbol("x", "N", dtype="float32"), sb.symbol("y", "N", dtype="float32")
    f = bench.compile([x, y], x + y)
    one, two = bench.array(np.ones(2, np.float32)), bench.array(np.ones(3, np.float32))
    with pytest.raises(DtypeError, match=r"f: x\[N\] wants float32, and the array has float64"):
        f(bench.array(np.ones(2)), one)
    with pytest.raises(ShapeError, match=r"f: y\[N\]: N = 3 on axis 0, but N = 2 in x\[N\]"):
        f(one, two)
    with pytest.raises(ArgumentError, match=r"f: x\[N\] wants an array, not the expression x\[N\]"):
        f(x, one)
    with pytest.raises(ArgumentError, match=r"no array for y\[N\]"):
        f(one)
    with pytest.raises(DtypeError, match=r"y\[N\] wants float32"):
        f(one, "text")
    np.testing.assert_array_equal(np.asarray(f(one, [1.0, 2.0])), [2.0, 3.0])


def test_a_slice_must_lie_inside_the_array(bench):
    x = sb.symbol("x", "N")
    f = bench.compile([x], x[3:])
    with pytest.raises(ShapeError, match=r"slicing x\[N\] needs N - 3 >= 0, and N = 2"):
        f(bench.array(np.ones(2)))


def test_what_an_update_needs(bench):
    w, v = sb.symbols("w[N] v[N]")
    if not bench.writes:
        with pytest.raises(
            BackendError, match=r"cannot be written to, so w\[N\] .* give the new values among the outputs"
        ):
            bench.compile([w], [], updates={w: 2 * w})
        return
    f = bench.compile([w, v], sb.sum(w), updates={w: v - w, v: 0.5 * w})
    ours, theirs = bench.array(np.array([1.0, 2.0])), bench.array(np.array([5.0, 7.0]))
    assert float(f(ours, theirs)) == 3.0
    np.testing.assert_array_equal(np.asarray(ours), [4.0, 5.0])
    np.testing.assert_array_equal(np.asarray(theirs), [0.5, 1.0])
    with pytest.raises(ArgumentError, match=r"w\[N\] and v\[N\] are one array"):
        f(ours, ours)
    with pytest.raises(DtypeError, match=r"w\[N\] is updated in place, so it must be an array"):
        f([1.0, 2.0], theirs)
    with pytest.raises(DtypeError, match=r"w\[N\] is updated in place and wants float64, not float32"):
        f(bench.array(np.ones(2, np.float32)), theirs)


# --- JAX and PyTorch alone ------------------------------------------------------------------------------------


def regression() -> tuple[list[Expr], Expr, list[Any]]:
    X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    p = sb.sigmoid(X @ w)
    loss = -sb.mean(y * sb.log(p) + (1 - y) * sb.log(1 - p)) + sb.linalg.norm(w[::-1]) ** 2
    rng = np.random.default_rng(1)
    return [X, w, y], loss, [rng.normal(size=(6, 3)), rng.normal(size=3), rng.uniform(size=6).round()]


@pytest.fixture
def jax() -> Any:
    found = pytest.importorskip("jax")
    found.config.update("jax_enable_x64", True)
    return found


@pytest.mark.parametrize("backend", ["jax", "array_api"])
def test_jax_takes_the_function_through_its_transformations(jax, backend):
    inputs, loss, arrays = regression()
    X, w, y = map(jax.numpy.asarray, arrays)
    slope = sb.grad(loss, inputs[1])
    wanted, gradient, hessian = sb.compile(inputs, [loss, slope, sb.hessian(loss, inputs[1])])(*arrays)
    f = sb.compile(inputs, loss, backend=backend)
    np.testing.assert_allclose(jax.jit(f)(X, w, y), wanted, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(f, argnums=1)(X, w, y), gradient, rtol=1e-10)
    g = sb.compile(inputs, [loss, slope], backend=backend)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(lambda w: g(X, w, y)[1]))(w), hessian, rtol=1e-10, atol=1e-14)
    many = np.stack([arrays[1], 2 * arrays[1]])
    values, slopes = jax.vmap(g, in_axes=(None, 0, None))(X, jax.numpy.asarray(many), y)
    assert values.shape == (2,)
    for row, found in zip(many, slopes, strict=True):
        want = sb.compile(inputs, slope)(arrays[0], row, arrays[2])
        np.testing.assert_allclose(found, want, rtol=1e-12)


def test_jax_without_double_precision_computes_in_single(jax):
    inputs, loss, arrays = regression()
    gradient = sb.grad(loss, inputs[1]) + sb.diagonal(sb.eye("D"))
    wanted = sb.compile(inputs, gradient)(*arrays)
    jax.config.update("jax_enable_x64", False)
    try:
        found = jax.jit(sb.compile(inputs, gradient, backend="jax"))(*(x.astype("float32") for x in arrays))
    finally:
        jax.config.update("jax_enable_x64", True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_torch_keeps_gradients_and_devices():
    torch = pytest.importorskip("torch")
    inputs, loss, arrays = regression()
    wanted = sb.compile(inputs, sb.grad(loss, inputs[1]))(*arrays)
    X, w, y = map(torch.from_numpy, arrays)
    w.requires_grad_()
    sb.compile(inputs, loss, backend="torch")(X, w, y).backward()
    np.testing.assert_allclose(w.grad.numpy(), wanted, rtol=1e-10)
    outputs = [
        loss + sb.sum(sb.eye("D")) + sb.sum(sb.step(inputs[0], 0.5)),
        sb.outer(inputs[1], sb.constant([1.0, 2.0, 3.0])),
    ]
    for found in sb.compile(inputs, outputs, backend="torch")(*(x.detach().to("meta") for x in (X, w, y))):
        assert found.device.type == "meta"  # no real device is needed to see where arrays are made


# --- what is said where it cannot be done ---------------------------------------------------------------------


def made(numpy: str, **rest: Any) -> Op:
    form = Form("strange($0)")
    vjp = lambda g, _y, _x: g  # noqa: E731  (the rule of an op)
    return elementwise_op("strange", "Be strange.", vjp, text=form, latex=form, numpy=Form(numpy), **rest)


WRITES = """
def strange(x):
    y = np.zeros_like(x)
    y[...] = x
    return y
"""
BRANCHES = """
def strange(x):
    return x if np.any(x > 0) else -x
"""


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])
@pytest.mark.parametrize(
    ("op", "what"),
    [
        (made("np.i0($0)"), "np.i0"),
        (made("$0.cumsum()"), "method cumsum"),
        (made("$0.real"), "attribute real"),
        (made("strange($0)", helper=WRITES), "writing to arrays"),
        (made("strange($0)", helper=BRANCHES), "branching on the values of arrays"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_a_library_lacks_names_the_op_the_code_and_the_backend(backend, op, what):
    x = sb.symbol("x", "N")
    with pytest.raises(BackendError, match=rf"backend '{backend}'.*{what}.*strange"):
        sb.compile([x], op(x), backend=backend)


def test_dtypes_that_a_library_lacks():
    x = sb.symbol("x", "N")
    with pytest.raises(BackendError, match=r"'array_api' lacks dtype float16, which astype needs: np.asarray\(x\)"):
        sb.compile([x], x.astype("float16"), backend="array_api")
    with pytest.raises(BackendError, match=r"'torch' lacks dtype (float|longdouble)\d*, which symbol x\[N\] has"):
        sb.compile([sb.symbol("x", "N", dtype="longdouble")], [], backend="torch")


def test_what_compile_refuses():
    x = sb.symbol("x", "N")
    with pytest.raises(GraphError, match=r"no backend 'torhc' \(did you mean 'torch'\?\); there are 'numpy', 'jax'"):
        sb.compile([x], x, backend="torhc")
    with pytest.raises(BackendError, match=r"structured outputs are NumPy's alone, not of backend 'jax'"):
        sb.compile([x], sb.hessian(sb.sum(sb.exp(x)), x), structured=True, backend="jax")
    with pytest.raises(BackendError, match=r"'array_api' takes the library from an argument: give an input"):
        sb.compile([], sb.constant(1.0), backend="array_api")
    with pytest.raises(ArgumentError, match=r"none of the arguments has __array_namespace__"):
        sb.compile([x], x, backend="array_api")([1.0])
    with pytest.raises(GraphError, match=r"'shifted' cannot name a function"):
        sb.compile([x], x, name="shifted", backend="jax")


@pytest.mark.parametrize("backend", ["jax", "torch", "cupy"])
def test_code_is_generated_where_the_library_is_not_installed(backend, monkeypatch, tmp_path):
    package = BACKENDS[backend].package
    monkeypatch.setitem(sys.modules, package, None)
    x = sb.symbol("x", "N")
    f = sb.compile([x], {"y": sb.exp(x)}, backend=backend)
    f.save(tmp_path / "f.py")
    assert f"import {package}" in (tmp_path / "f.py").read_text(encoding="utf-8")
    assert f.report().rows
    with pytest.raises(ImportError, match=f"backend '{backend}', which needs {package.partition('.')[0]}: install it"):
        f(np.ones(2))


def test_a_saved_function_needs_no_symbackprop(tmp_path):
    inputs, loss, arrays = regression()
    sb.compile(inputs, loss, name="loss", backend="array_api").save(tmp_path / "module.py")
    code = (
        "import numpy as np, sys, module\n"
        "print(repr(float(module.loss(*np.load('arrays.npz').values()))), 'symbackprop' in sys.modules)"
    )
    np.savez(tmp_path / "arrays.npz", *arrays)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    value, imported = done.stdout.split()
    np.testing.assert_allclose(float(value), sb.compile(inputs, loss)(*arrays), rtol=1e-12)
    assert imported == "False"


# --- the source -----------------------------------------------------------------------------------------------


def written(backend: str) -> str:
    X, w = sb.symbol("X", ("N", "D"), dtype="float32"), sb.symbol("w", "D", dtype="float32")
    z = X @ w
    outputs = {"value": sb.sum(sb.tanh(z)), "part": sb.expand_dims(X[1:, 0], 0), "count": sb.sum(X > 0, axis=0)}
    return sb.compile([X, w], outputs, backend=backend).source


SOURCES = {
    "jax": """
        value = jnp.sum(jnp.tanh(X @ w))
        part = jnp.squeeze(X[1:, :1], axis=1)[None]
        count = jnp.sum(jnp.astype(X > 0.0, int), axis=0)
        return {"value": value, "part": part, "count": count}
    """,
    "torch": """
        value = torch.sum(torch.tanh(X @ w))
        part = torch.squeeze(X[1:, :1], axis=1)[None]
        count = torch.sum((X > 0.0).to(torch.int64), axis=0)
        return {"value": value, "part": part.clone(), "count": count}
    """,
    "cupy": """
        value = cp.sum(cp.tanh(X @ w))
        part = cp.squeeze(X[1:, :1], axis=1)[None]
        count = cp.sum((X > 0.0).astype(cp.int64), axis=0)
        return {"value": value, "part": part.copy(), "count": count}
    """,
    "array_api": """
        value = xp.sum(xp.tanh(X @ w))
        part = xp.squeeze(X[1:, :1], axis=1)[None, ...]
        count = xp.sum(xp.astype(X > 0.0, xp.int64), axis=0)
        return {"value": value, "part": xp.asarray(part, copy=True), "count": count}
    """,
}


@pytest.mark.parametrize("backend", SOURCES)
def test_the_source_is_what_a_person_would_write(backend):
    assert (
        written(backend).partition('D - 1 >= 0")\n')[2]
        == textwrap.dedent(SOURCES[backend]).replace("\n", "\n    ")[1:-4]
    )


def test_the_source_of_every_library_has_no_other():
    names = {"numpy": "np", "jax": "jnp", "torch": "torch", "cupy": "cp", "array_api": "xp"}
    for backend, own in names.items():
        source = written(backend)
        assert {name for name in names.values() if re.search(rf"\b{name}\.", source)} == {own}


def test_importing_symbackprop_imports_no_library():
    code = "import sys, symbackprop; print(*{'jax', 'torch', 'cupy', 'array_api_strict'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
