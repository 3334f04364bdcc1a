"""Other libraries than NumPy: every operation gives what NumPy's code gives, in all of them that are installed.

An operation is tested here because it stands in the table. CuPy, which needs a GPU, is tested as far as its names are
NumPy's: NumPy stands in for it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pytest

import symbackprop as sb
from symbackprop.expr import Expr
from symbackprop.rewrite import PIPELINE
from tests.test_ops import APPLICATIONS, build, differentiable, each_application, sample

PASSES = [stage.name for stage in PIPELINE]
EIGENVECTORS = {"eigenvectors"}
"""Of which the sign is the library's choice."""


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
    outputs = [y]
    targets = differentiable(app, xs)
    if y.dtype.kind == "f" and targets and app.op.name not in EIGENVECTORS:
        weights = np.random.default_rng(3).uniform(0.5, 1.5, y.shape)
        outputs += sb.grad(sb.sum(y * weights), [xs[k] for k in targets])
    wanted = sb.compile(xs, outputs, skip=PASSES)(*arrays)
    found = bench.values(xs, outputs, arrays, skip=PASSES)
    if app.op.name in EIGENVECTORS:
        found[0], wanted[0] = np.abs(found[0]), np.abs(wanted[0])
    assert_same(found, wanted, outputs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("app", {app.op: app for app in APPLICATIONS}.values(), ids=str)
def test_single_precision_stays_single(bench, app):
    arrays = sample(app, dtype="float32")
    y, xs = build(app, arrays)
    wanted = sb.compile(xs, [y], skip=PASSES)(*arrays)
    found = bench.values(xs, [y], arrays, skip=PASSES)
    if app.op.name in EIGENVECTORS:
        found[0], wanted[0] = np.abs(found[0]), np.abs(wanted[0])
    assert_same(found, wanted, [y], rtol=2e-5, atol=2e-6)
