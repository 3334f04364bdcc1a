"""How other libraries give a Hessian, each by the best that it offers, compiled before it is timed, in 64 bits."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from tests.benchmarks import namespaces

if TYPE_CHECKING:
    from tests.benchmarks.hessians import Problem, Values


class Peer(NamedTuple):
    """A way to get a Hessian.

    Attributes:
        call: computes it, and waits for it.
        numbers: makes of what it gives a NumPy array, its elements in the order of the argument's.
        dense: whether it gives all elements, zeros too.
    """

    call: Callable[[], Any]
    numbers: Callable[[Any], Any] = np.asarray
    dense: bool = True


Maker: TypeAlias = "Callable[[Problem, Values], Iterator[tuple[str, Peer]]]"


def _jax(_: int) -> Maker:
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    m = SimpleNamespace(**namespaces.jax())

    def make(problem: Problem, values: Values) -> Iterator[tuple[str, Peer]]:
        rest = {name: jnp.asarray(value) for name, value in values.items()}
        x = rest.pop(problem.wrt)

        def f(x: Any, rest: Any) -> Any:
            return problem.value(m, **{problem.wrt: x}, **rest)

        for name, hessian in (("hessian", jax.hessian(f)), ("jacrev(grad)", jax.jacrev(jax.grad(f)))):
            compiled = jax.jit(hessian).lower(x, rest).compile()
            yield f"JAX {name}", Peer(lambda compiled=compiled: compiled(x, rest).block_until_ready())

    return make


def _torch(threads: int) -> Maker:
    import torch  # noqa: PLC0415

    m = SimpleNamespace(**namespaces.torch(threads))

    def make(problem: Problem, values: Values) -> Iterator[tuple[str, Peer]]:
        rest = {name: torch.tensor(value) for name, value in values.items()}
        x = rest.pop(problem.wrt)

        def f(x: Any) -> Any:
            return problem.value(m, **{problem.wrt: x}, **rest)

        for name, hessian in (
            ("hessian", torch.func.hessian(f)),
            ("jacrev(jacrev)", torch.func.jacrev(torch.func.jacrev(f))),
        ):
            yield f"torch.func {name}", Peer(lambda hessian=hessian: hessian(x))

    return make


def _autograd(_: int) -> Maker:
    import autograd  # noqa: PLC0415

    m = SimpleNamespace(**namespaces.autograd())

    def make(problem: Problem, values: Values) -> Iterator[tuple[str, Peer]]:
        rest = dict(values)
        x = rest.pop(problem.wrt)
        hessian = autograd.hessian(lambda x: problem.value(m, **{problem.wrt: x}, **rest))
        yield "autograd", Peer(lambda: hessian(x))

    return make


def _pytensor(_: int) -> Maker:
    import pytensor  # noqa: PLC0415
    import pytensor.tensor as pt  # noqa: PLC0415

    m = SimpleNamespace(**namespaces.pytensor())

    def make(problem: Problem, values: Values) -> Iterator[tuple[str, Peer]]:
        symbols = {name: pt.tensor(name, shape=value.shape, dtype="float64") for name, value in values.items()}
        shape = values[problem.wrt].shape
        x = pt.tensor(problem.wrt, shape=(int(np.prod(shape)),), dtype="float64")
        f = problem.value(m, **{**symbols, problem.wrt: x.reshape(shape)})
        H = pytensor.gradient.jacobian(pytensor.grad(f, x), x, vectorize=True)
        inputs = {**symbols, problem.wrt: x}
        function = pytensor.function(list(inputs.values()), H, on_unused_input="ignore", trust_input=True)
        arrays = [values[name].reshape(-1) if name == problem.wrt else values[name] for name in inputs]
        yield "PyTensor", Peer(lambda: function(*arrays))

    return make


def _casadi(_: int) -> Maker:
    import casadi  # noqa: PLC0415

    def make(problem: Problem, values: Values) -> Iterator[tuple[str, Peer]]:
        if problem.casadi is None:
            return
        shape = values[problem.wrt].shape
        size = int(np.prod(shape))
        kinds = [("matrices", casadi.MX), ("scalars", casadi.SX)]
        few = sum(value.size for value in values.values()) < _MOST_SCALARS and size**2 < _MOST_RESULTS
        for kind_name, kind in kinds[: 2 if few else 1]:
            symbols = {name: kind.sym(name, *value.shape) for name, value in values.items()}
            x = kind.sym(problem.wrt, size)
            given = x if len(shape) == 1 else casadi.reshape(x, *shape[::-1]).T  # its order is Fortran's
            f = problem.casadi(casadi, **{**symbols, problem.wrt: given})
            H, _ = casadi.hessian(f, x)
            arrays = [casadi.DM(value.reshape(-1) if name == problem.wrt else value) for name, value in values.items()]
            for form in (H, casadi.densify(H)):
                function = casadi.Function("H", list({**symbols, problem.wrt: x}.values()), [form])
                dense = form.is_dense()
                yield (
                    f"CasADi, {kind_name}{'' if dense else ', sparse'}",
                    Peer(lambda function=function, arrays=arrays: function(*arrays), lambda found: found.full(), dense),
                )
                if H.is_dense():
                    break

    return make


_MOST_SCALARS = 2000  # of arguments, for which CasADi's graph of single numbers is still quickly made
_MOST_RESULTS = 100_000  # of elements of a Hessian, likewise

_ALL: dict[str, tuple[str, Callable[[int], Maker]]] = {
    "JAX": ("jax", _jax),
    "PyTorch": ("torch", _torch),
    "autograd": ("autograd", _autograd),
    "PyTensor": ("pytensor", _pytensor),
    "CasADi": ("casadi", _casadi),
}


def installed(threads: int) -> Mapping[str, Maker]:
    """Give the peers that are here, by name and version."""
    found = {}
    for name, (module, make) in _ALL.items():
        try:
            maker = make(threads)
        except ImportError:
            continue
        found[f"{name} {importlib.metadata.version(module)}"] = maker
    return found
