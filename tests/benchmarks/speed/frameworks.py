"""Other libraries, each by the best that it offers, compiled before it is timed.

The text of a row is the same for all; where a library has a better way for one row (a scan, a fused LSTM) or no
broadcasting, that stands here, with the library.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from tests.benchmarks import hessians, namespaces

if TYPE_CHECKING:
    from tests.benchmarks.speed.rows import Row, Values


class Peer(NamedTuple):
    """A row in another library.

    Attributes:
        call: computes it, and waits for it.
        numbers: makes of what it gives the outputs of the row.
    """

    call: Callable[[], Any]
    numbers: Callable[[Any], Sequence[Any]] = list


Build: TypeAlias = "Callable[[Row, Values], Peer]"


class Framework(NamedTuple):
    """A library.

    Attributes:
        package: what it is called where it is installed.
        contenders: its ways, by name; each takes the number of threads and gives that which builds a row.
        only: the rows that a way is for, where it is not for all.
    """

    package: str
    contenders: Mapping[str, Callable[[int], Build]]
    only: Mapping[str, Sequence[str]] = {}


# --- JAX ------------------------------------------------------------------------------------------------------------


def _jax_functions() -> Any:
    import jax  # noqa: PLC0415

    def of_all(xs: Sequence[Any]) -> tuple[int, ...]:
        return tuple(range(len(xs)))

    return SimpleNamespace(
        **namespaces.jax(),
        value_and_grad=lambda f, xs: jax.value_and_grad(f, of_all(xs))(*xs),
        grad=lambda f, xs: jax.grad(f, of_all(xs))(*xs),
        hessian=lambda f, x: jax.hessian(f)(x),
        hvp=lambda f, xs, vs: jax.jvp(jax.grad(f, of_all(xs)), xs, vs)[1],
    )


def _jax(_: int) -> Build:
    import jax  # noqa: PLC0415

    m = _jax_functions()

    def build(row: Row, values: Values) -> Peer:
        arrays = [jax.numpy.asarray(value) for value in values.values()]
        compiled = jax.jit(lambda *arrays: row.outputs(m, dict(zip(values, arrays, strict=True))))
        return Peer(lambda: jax.block_until_ready(compiled(*arrays)))

    return build


def _jax_scan(_: int) -> Build:
    """Give the loop over layers or steps to the compiler; weights of layers are stacked beforehand."""
    import jax  # noqa: PLC0415

    m = _jax_functions()

    def deep(X: Any, weights: Any) -> Any:
        h, _ = jax.lax.scan(lambda h, layer: (m.tanh(h @ layer[0] + layer[1]), None), X, weights)
        return m.mean((h - X) ** 2)

    def lstm(X: Any, Y: Any, h: Any, c: Any, weights: Any) -> Any:
        W, U, b = weights
        size = h.shape[1]

        def step(state: Any, x: Any) -> Any:
            h, c = state
            a = x @ W + h @ U + b
            i, f, o = (m.sigmoid(a[:, at * size : (at + 1) * size]) for at in range(3))
            c = f * c + i * m.tanh(a[:, 3 * size :])
            return (o * m.tanh(c), c), None

        (h, c), _ = jax.lax.scan(step, (h, c), X)
        return m.mean((h - Y) ** 2)

    def stacked(values: Values, initial: str) -> Any:
        return jax.numpy.stack([value for name, value in values.items() if name.startswith(initial)])

    def build(row: Row, values: Values) -> Peer:
        if row.name == "deep":
            f, arrays = deep, [jax.numpy.asarray(values["X"]), (stacked(values, "W"), stacked(values, "b"))]
        else:
            f = lstm
            arrays = [jax.numpy.asarray(values[name]) for name in ("X", "Y", "h", "c")]
            arrays.append(tuple(jax.numpy.asarray(values[name]) for name in "WUb"))
        compiled = jax.jit(jax.value_and_grad(f, len(arrays) - 1))

        def numbers(found: Any) -> list[Any]:
            value, slopes = found
            layers = [each for pair in zip(*slopes, strict=True) for each in pair] if row.name == "deep" else slopes
            return [value, *layers]

        return Peer(lambda: jax.block_until_ready(compiled(*arrays)), numbers)

    return build


# --- PyTorch --------------------------------------------------------------------------------------------------------


def _torch_eager(threads: int) -> Build:
    """Take gradients by `torch.autograd.grad`, and twice where a second derivative is wanted."""
    import torch  # noqa: PLC0415

    def value_and_grad(f: Callable[..., Any], xs: Sequence[Any]) -> tuple[Any, Any]:
        inner = any(x.requires_grad for x in xs)
        leaves = xs if inner else [x.detach().requires_grad_() for x in xs]
        value = f(*leaves)
        return value.detach(), torch.autograd.grad(value, leaves, create_graph=inner, materialize_grads=True)

    def hvp(f: Callable[..., Any], xs: Sequence[Any], vs: Sequence[Any]) -> Any:
        leaves = [x.detach().requires_grad_() for x in xs]
        slopes = torch.autograd.grad(f(*leaves), leaves, create_graph=True)
        return torch.autograd.grad(slopes, leaves, vs, materialize_grads=True)

    m = SimpleNamespace(
        **namespaces.torch(threads), value_and_grad=value_and_grad, grad=lambda f, xs: value_and_grad(f, xs)[1],
        hessian=lambda f, x: torch.func.hessian(f)(x), hvp=hvp,
    )  # fmt: skip

    def build(row: Row, values: Values) -> Peer:
        arrays = {name: torch.as_tensor(value) for name, value in values.items()}
        return Peer(lambda: row.outputs(m, arrays))

    return build


def _torch_compile(threads: int) -> Build:
    """Take gradients by `torch.func`, which Dynamo traces."""
    import torch  # noqa: PLC0415

    def of_all(xs: Sequence[Any]) -> tuple[int, ...]:
        return tuple(range(len(xs)))

    m = SimpleNamespace(
        **namespaces.torch(threads),
        value_and_grad=lambda f, xs: torch.func.grad_and_value(f, of_all(xs))(*xs)[::-1],
        grad=lambda f, xs: torch.func.grad(f, of_all(xs))(*xs), hessian=lambda f, x: torch.func.hessian(f)(x),
        hvp=lambda f, xs, vs: torch.func.jvp(torch.func.grad(f, of_all(xs)), tuple(xs), tuple(vs))[1],
    )  # fmt: skip

    def build(row: Row, values: Values) -> Peer:
        arrays = {name: torch.as_tensor(value) for name, value in values.items()}
        compiled = torch.compile(lambda arrays: row.outputs(m, arrays), fullgraph=True)
        compiled(arrays)
        return Peer(lambda: compiled(arrays))

    return build


def _torch_lstm(threads: int) -> Build:
    import torch  # noqa: PLC0415

    namespaces.torch(threads)

    def build(_: Row, values: Values) -> Peer:
        size = values["h"].shape[1]
        order = np.r_[0 : 2 * size, 3 * size : 4 * size, 2 * size : 3 * size]  # its gates: in, forget, candidate, out
        back = np.argsort(order)
        X, Y, h, c = (torch.tensor(values[name]) for name in ("X", "Y", "h", "c"))
        net = torch.nn.LSTM(X.shape[2], size).to(X.dtype)
        with torch.no_grad():
            net.weight_ih_l0[...] = torch.tensor(values["W"].T[order])
            net.weight_hh_l0[...] = torch.tensor(values["U"].T[order])
            net.bias_ih_l0[...] = torch.tensor(values["b"][order])
            net.bias_hh_l0[...] = 0
        weights = [net.weight_ih_l0, net.weight_hh_l0, net.bias_ih_l0]

        def call() -> Any:
            _, (last, _) = net(X, (h[None], c[None]))
            loss = torch.mean((last[0] - Y) ** 2)
            return loss.detach(), torch.autograd.grad(loss, weights)

        return Peer(call, lambda found: [found[0], *(slope.numpy()[back].T for slope in found[1])])

    return build


# --- autograd -------------------------------------------------------------------------------------------------------


def _autograd(_: int) -> Build:
    import autograd  # noqa: PLC0415

    def grad(f: Callable[..., Any], xs: Sequence[Any]) -> Any:
        return autograd.grad(lambda xs: f(*xs))(tuple(xs))

    def hvp(f: Callable[..., Any], xs: Sequence[Any], vs: Sequence[Any]) -> Any:
        return grad(lambda *xs: sum(functions["sum"](g * v) for g, v in zip(grad(f, xs), vs, strict=True)), xs)

    functions = namespaces.autograd()
    m = SimpleNamespace(
        **functions, grad=grad, hvp=hvp, hessian=lambda f, x: autograd.hessian(f)(x),
        value_and_grad=lambda f, xs: autograd.value_and_grad(lambda xs: f(*xs))(tuple(xs)),
    )  # fmt: skip
    return lambda row, values: Peer(lambda: row.outputs(m, values))


# --- PyTensor -------------------------------------------------------------------------------------------------------


def _pytensor(_: int) -> Build:
    import pytensor  # noqa: PLC0415
    import pytensor.tensor as pt  # noqa: PLC0415

    def value_and_grad(f: Callable[..., Any], xs: Sequence[Any]) -> Any:
        value = f(*xs)
        return value, pytensor.grad(value, list(xs))

    def hvp(f: Callable[..., Any], xs: Sequence[Any], vs: Sequence[Any]) -> Any:
        slopes = pytensor.grad(f(*xs), list(xs))
        along = sum(pt.sum(g * v) for g, v in zip(slopes, vs, strict=True))
        return pytensor.grad(along, list(xs))

    def hessian(f: Callable[..., Any], x: Any) -> Any:
        rows = pytensor.gradient.jacobian(pytensor.grad(f(x), x).reshape((-1,)), x, vectorize=True)
        return rows.reshape(x.type.shape * 2)

    m = SimpleNamespace(
        **namespaces.pytensor(), value_and_grad=value_and_grad, hvp=hvp, hessian=hessian,
        grad=lambda f, xs: pytensor.grad(f(*xs), list(xs)),
    )  # fmt: skip

    def build(row: Row, values: Values) -> Peer:
        pytensor.config.floatX = row.dtype
        symbols = {name: pt.tensor(name, shape=np.shape(value), dtype=row.dtype) for name, value in values.items()}
        outputs = row.outputs(m, symbols)
        function = pytensor.function(list(symbols.values()), outputs, on_unused_input="ignore", trust_input=True)
        arrays = [np.asarray(value) for value in values.values()]
        return Peer(lambda: function(*arrays))

    return build


# --- CasADi ---------------------------------------------------------------------------------------------------------


def _casadi(_: int) -> Build:
    """Let it read and write arrays that are kept, in Fortran's order, which is its own."""
    import casadi  # noqa: PLC0415

    def xor(*, X: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> list[Any]:
        n = X.shape[0]
        h = casadi.tanh(X @ W1 + casadi.repmat(b1.T, n, 1))
        p = 1 / (1 + casadi.exp(-(h @ W2 + b2)))
        loss = casadi.sumsqr(p - y) / n
        return [loss, *(casadi.gradient(loss, x) for x in (W1, b1, W2, b2))]

    def factorisation(*, T: Any, U: Any, V: Any) -> list[Any]:
        loss = hessians.factorisation_for_casadi(casadi, T=T, U=U, V=V)
        return [casadi.hessian(loss, casadi.vec(U))[0]]

    def value_and_grad(f: Callable[..., Any], xs: Sequence[Any]) -> Any:
        value = f(*xs)
        return value, [casadi.gradient(value, x) for x in xs]

    m = SimpleNamespace(shape=lambda x: x.shape, value_and_grad=value_and_grad)
    own = {"xor": xor, "factorisation-hessian": factorisation}

    def build(row: Row, values: Values) -> Peer:
        symbols = {name: casadi.SX.sym(name, *np.shape(value)) for name, value in values.items()}
        made = own[row.name](**symbols) if row.name in own else row.outputs(m, symbols)
        outputs = [casadi.densify(each) for each in made]
        buffer, call = casadi.Function("f", list(symbols.values()), outputs).buffer()
        arrays = [np.asfortranarray(value, float) for value in values.values()]
        results = [np.zeros(each.shape, order="F") for each in outputs]
        flat = [memoryview(array.reshape(-1, order="F")) for array in (*arrays, *results)]
        for at, view in enumerate(flat):
            if at < len(arrays):
                buffer.set_arg(at, view)
            else:
                buffer.set_res(at - len(arrays), view)

        def called(_: Any = (flat, buffer)) -> Any:  # CasADi does not keep them alive
            call()
            return results

        def numbers(found: Any) -> list[Any]:
            if row.name == "factorisation-hessian":
                size = values["U"].shape[::-1]
                return [found[0].reshape(size * 2).transpose(1, 0, 3, 2)]
            shapes = [np.shape(value) for value in values.values()][1 - len(found) :]
            return [each.reshape(shape) for each, shape in zip(found, [(), *shapes], strict=True)]

        return Peer(called, numbers)

    return build


FRAMEWORKS: Mapping[str, Framework] = {
    "jax": Framework("jax", {"JAX jit": _jax, "JAX scan": _jax_scan}, {"JAX scan": ("deep", "lstm")}),
    "torch": Framework(
        "torch",
        {"torch eager": _torch_eager, "torch nn.LSTM": _torch_lstm, "torch.compile": _torch_compile},
        {"torch nn.LSTM": ("lstm",)},
    ),
    "pytensor": Framework("pytensor", {"PyTensor": _pytensor}),
    "autograd": Framework("autograd", {"autograd": _autograd}),
    "casadi": Framework(
        "casadi", {"CasADi": _casadi}, {"CasADi": ("xor", "factorisation-hessian", "logistic-map", "speelpenning")}
    ),
}


def is_installed(name: str) -> bool:
    """Tell whether a library is here."""
    return importlib.util.find_spec(FRAMEWORKS[name].package) is not None


def version(name: str) -> str:
    """Give the version of a library."""
    return importlib.metadata.version(FRAMEWORKS[name].package)


def contenders(row: str, threads: int, kinds: Collection[str]) -> Iterator[tuple[str, Callable[[], Build]]]:
    """Give the libraries' ways to compute a row; kinds are libraries, and torch.compile is one by itself."""
    for name, framework in FRAMEWORKS.items():
        for way, make in framework.contenders.items():
            if row in framework.only.get(way, [row]) and (way if way == "torch.compile" else name) in kinds:
                yield way, lambda make=make: make(threads)


def library(way: str) -> str:
    """Tell whose way it is."""
    return next(name for name, framework in FRAMEWORKS.items() if way in framework.contenders)


def imported(way: str) -> None:
    """Import the library that a way is of, if it is one's, as far as it goes before there is a row."""
    for framework in FRAMEWORKS.values():
        if way in framework.contenders:
            framework.contenders[way](1)
