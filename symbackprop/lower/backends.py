"""The libraries that a program can be printed for: what each calls what NumPy has, and what it cannot do.

An op is told once, in NumPy's names (`Op.numpy`, or `Op.portable` where NumPy writes to arrays or branches on their
values). `translation` turns that into the names of the array API standard and then asks the library's own record here,
so a record has only what differs from the standard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from symbackprop.errors import GraphError, did_you_mean


class Called(NamedTuple):
    """A call of a library's function, in source text.

    Attributes:
        name: the function's name, without the library's.
        args: the positional arguments.
        keywords: the others.
        dtype: the dtype of the result, as the library writes it; None in the body of a helper.
    """

    name: str
    args: list[str]
    keywords: dict[str, str]
    dtype: str | None

    def named(self, name: str, *dropped: str) -> Called:
        """Give the call under another name, without some keywords."""
        return self._replace(
            name=name, keywords={key: text for key, text in self.keywords.items() if key not in dropped}
        )


Rule: TypeAlias = Callable[[Called], "Called | str"]
"""Gives a call as the library has it: another call, or the text of an expression."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Backend:
    """One library that generated code can call.

    Attributes:
        name: what `compile` calls it.
        package: what is imported; none where the arrays that are given tell.
        module: what generated code calls it.
        imports: the lines that import it.
        array: the class of its arrays, among its names.
        calls: functions of the array API standard that it has in another form, or under another name.
        names: names that it has beyond the standard.
        native: helpers of ops for which it has a function of its own.
        functions: functions of NumPy that it lacks, defined in NumPy's names.
        dtypes: how it writes the dtypes that it has.
        writes: whether its arrays can be written to.
        device: whether new arrays are told the device they live on.
        strict: whether an index has to name all axes.
        tensors: whether functions take arrays alone, no numbers of Python.
    """

    name: str
    package: str
    module: str
    imports: tuple[str, ...] = ()
    array: str = "ndarray"
    calls: Mapping[str, Rule] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    native: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    writes: bool = False
    device: bool = False
    strict: bool = False
    tensors: bool = False

    @property
    def passed(self) -> bool:
        """Whether the library is known only by the arrays that are given, so that helpers are handed it."""
        return not self.package


def _dtypes(module: str, *names: str) -> dict[str, str]:
    return {name: f"{module}.{name}" for name in names}


_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_STANDARD = ("bool", *_INTEGERS, "float32", "float64")
_LITERAL = frozenset("0123456789.e-+")


def _is_literal(text: str) -> bool:
    return set(text) <= _LITERAL


def _renamed(name: str, *dropped: str) -> Rule:
    return lambda call: call.named(name, *dropped)


def _method(name: str) -> Rule:
    return lambda call: f"({call.args[0]}).{name}({', '.join(call.args[1:])})"


NUMPY = Backend(name="numpy", package="numpy", module="np", imports=("import numpy as np",), writes=True)


# --- JAX ------------------------------------------------------------------------------------------------------

_JAX_PUT = '''
def put(values, shape, index):
    """Zeros of a shape, with values at an index."""
    return np.zeros(shape, dtype=values.dtype).at[index].set(values)
'''

_JAX_SPECIAL = ["beta", "betaln", "digamma", "erfinv", "gamma", "gammaln", "i0", "i0e", "i1", "i1e", "ndtri", "zeta"]

_JAX_GATHER = '''
def gather(x, index, axis=0):
    """The elements of x where arrays index the axes from one on."""
    return x[(slice(None),) * axis + index]
'''
_JAX_SCATTER_ADD = '''
def scatter_add(values, index, shape, axis=0):
    """Zeros of a shape, to which values are added where arrays index the axes from one on; repeated ones add up."""
    return np.zeros(shape, dtype=values.dtype).at[(slice(None),) * axis + index].add(values)
'''

JAX = Backend(
    name="jax",
    package="jax.numpy",
    module="jnp",
    imports=("import jax.numpy as jnp",),
    names=frozenset({"einsum", "gcd", "heaviside", "kron", "lcm", "sinc"}),
    calls={"copy": lambda call: call.args[0]},
    native={
        **{name: f"jax.scipy.special.{name}" for name in ("erf", "erfc")},
        **{f"special.{name}": f"jax.scipy.special.{name}" for name in _JAX_SPECIAL},
        "expm": "jax.scipy.linalg.expm",
    },
    functions={"gather": _JAX_GATHER, "put": _JAX_PUT, "scatter_add": _JAX_SCATTER_ADD},
    # Python's types stand for the widest that JAX is configured to have: without jax_enable_x64 float is float32.
    dtypes={
        **_dtypes("jnp", "float16", *_STANDARD),
        "bool": "bool",
        "int64": "int",
        "float64": "float",
    },
)


# --- PyTorch --------------------------------------------------------------------------------------------------


def _torch_extreme(side: str) -> Rule:
    """Write the larger or the smaller of two, one of which may be a number."""

    def rule(call: Called) -> Called | str:
        for number, other in (call.args, call.args[::-1]):
            if _is_literal(number):
                return Called("clip", [other], {side: number}, call.dtype)
        return call

    return rule


def _torch_numbers(call: Called) -> Called:
    """Make numbers among the operands tensors, which PyTorch's functions of two operands take alone."""
    first, second = call.args
    args = [_torch_number(first, second, call.dtype), _torch_number(second, first, call.dtype)]
    return call._replace(args=args)


def _torch_number(text: str, other: str, dtype: str | None) -> str:
    if not _is_literal(text):
        return text
    return f"torch.asarray({text}, dtype={dtype}, device=device)" if dtype else f"torch.full_like({other}, {text})"


def _torch_logaddexp(call: Called) -> Called | str:
    """Write log(exp(x) + exp(y)); that of 0 and x has a function of its own, where `softplus` cuts digits off."""
    first, second = call.args
    return f"-torch.nn.functional.logsigmoid(-({second}))" if first == "0.0" else _torch_numbers(call)


def _torch_over(name: str) -> Rule:
    """Write a reduction, which needs the axis where it keeps it."""

    def rule(call: Called) -> Called:
        missing = "keepdims" in call.keywords and "axis" not in call.keywords
        axis = {"axis": "-1" if name == "prod" else "None"} if missing else {}  # products are over one axis alone
        return call._replace(name=name, keywords={**axis, **call.keywords})

    return rule


def _torch_take(call: Called) -> Called:
    return Called("index_select", [call.args[0], call.keywords["axis"], call.args[1]], {}, call.dtype)


def _torch_flip(call: Called) -> Called:
    axis = call.keywords["axis"]
    return Called("flip", [call.args[0], axis if axis.startswith("(") else f"({axis},)"], {}, call.dtype)


def _torch_roll(call: Called) -> Called:
    return call._replace(args=[*call.args, call.keywords.get("axis", "0")], keywords={})


def _all_by_position(call: Called) -> Called:
    return call._replace(args=[*call.args, *call.keywords.values()], keywords={})


_TORCH_SPECIAL = ["digamma", "erfcx", "erfinv", "gammaln", "i0", "i0e", "i1", "i1e", "ndtri", "zeta"]


def _torch_sort(call: Called) -> str:
    """Write a sort, which gives the order beside."""
    return f"torch.sort({call.args[0]}, dim={call.keywords.get('axis', '-1')}).values"


_TORCH_GATHER = '''
def gather(x, index, axis=0):
    """The elements of x where arrays index the axes from one on."""
    return x[(slice(None),) * axis + tuple(np.astype(at, np.int64) for at in index)]
'''
_TORCH_SCATTER_ADD = '''
def scatter_add(values, index, shape, axis=0):
    """Zeros of a shape, to which values are added where arrays index the axes from one on; repeated ones add up."""
    end = axis + len(index)
    rank = values.ndim - len(shape) + len(index)
    first, place = tuple(range(axis)), tuple(range(rank, rank + axis))
    out = np.zeros(shape[axis:end] + shape[:axis] + shape[end:], dtype=values.dtype, device=values.device)
    places = tuple(np.astype(at, np.int64) for at in index)
    out = out.index_put(places, np.moveaxis(values, first, place), accumulate=True)
    return np.moveaxis(out, tuple(range(len(index), end)), first)
'''

TORCH = Backend(
    name="torch",
    package="torch",
    module="torch",
    imports=("import torch",),
    array="Tensor",
    names=frozenset({
        "amax", "amin", "bitwise_not", "broadcast_tensors", "cumprod", "cumsum", "einsum", "flip", "full_like", "gcd",
        "heaviside", "index_select", "kron", "lcm", "permute", "sinc",
    }),
    calls={
        "astype": _method("to"),
        "atan2": _torch_numbers,
        "bitwise_invert": _renamed("bitwise_not"),
        "broadcast_arrays": _renamed("broadcast_tensors"),
        "copy": _method("clone"),
        "copysign": _torch_numbers,
        "cumulative_prod": _renamed("cumprod"),
        "cumulative_sum": _renamed("cumsum"),
        "einsum": _renamed("einsum", "optimize"),
        "flip": _torch_flip,
        "gcd": _torch_numbers,
        "heaviside": _torch_numbers,
        "hypot": _torch_numbers,
        "lcm": _torch_numbers,
        "linalg.trace": lambda call: f"torch.sum(torch.linalg.diagonal({call.args[0]}), axis=-1)",
        "logaddexp": _torch_logaddexp,
        "max": _torch_over("amax"),
        "maximum": _torch_extreme("min"),
        "mean": _torch_over("mean"),
        "min": _torch_over("amin"),
        "minimum": _torch_extreme("max"),
        "permute_dims": _renamed("permute"),
        "prod": _torch_over("prod"),
        "sort": _torch_sort,
        "sum": _torch_over("sum"),
        "take": _torch_take,
        "roll": _torch_roll,
        "tril": _all_by_position,
        "triu": _all_by_position,
        "vecdot": _renamed("linalg.vecdot"),
    },
    native={
        **{name: f"torch.special.{name}" for name in ("erf", "erfc")},
        **{f"special.{name}": f"torch.special.{name}" for name in _TORCH_SPECIAL},
        "expm": "torch.linalg.matrix_exp",
    },
    functions={"gather": _TORCH_GATHER, "scatter_add": _TORCH_SCATTER_ADD},
    dtypes=_dtypes("torch", "float16", *_STANDARD),
    writes=True,
    device=True,
    tensors=True,
)  # fmt: skip


# --- CuPy -----------------------------------------------------------------------------------------------------


def _last_axes(name: str) -> Rule:
    return lambda call: Called(name, call.args, {"axis1": "-2", "axis2": "-1"}, call.dtype)


def _cupy_pinv(call: Called) -> Called:
    """Give the bound by the name that CuPy has for it, which has no word for the one of the dtype."""
    (x,), rtol = call.args, call.keywords["rtol"]
    bound = f"float(cp.finfo(({x}).dtype).eps) * max(({x}).shape[-2:])" if rtol == "None" else rtol
    return call._replace(keywords={"rcond": bound})


_ARC = {f"a{name}": f"arc{name}" for name in ("cos", "cosh", "sin", "sinh", "tan", "tan2", "tanh")}

CUPY = Backend(
    name="cupy",
    package="cupy",
    module="cp",
    imports=("import cupy as cp",),
    names=frozenset({
        *_ARC.values(), "concatenate", "cumprod", "cumsum", "diagonal", "einsum", "gcd", "heaviside", "invert", "kron",
        "lcm", "left_shift", "right_shift", "sinc", "trace", "transpose",
    }),
    calls={
        **{name: _renamed(known) for name, known in _ARC.items()},
        "astype": _method("astype"),
        "bitwise_invert": _renamed("invert"),
        "bitwise_left_shift": _renamed("left_shift"),
        "bitwise_right_shift": _renamed("right_shift"),
        "concat": _renamed("concatenate"),
        "copy": _method("copy"),
        "cumulative_prod": _renamed("cumprod"),
        "cumulative_sum": _renamed("cumsum"),
        "linalg.diagonal": _last_axes("diagonal"),
        "linalg.pinv": _cupy_pinv,
        "linalg.svdvals": lambda call: Called("linalg.svd", call.args, {"compute_uv": "False"}, call.dtype),
        "linalg.trace": _last_axes("trace"),
        "permute_dims": _renamed("transpose"),
        "vecdot": lambda call: f"cp.sum(({call.args[0]}) * ({call.args[1]}), axis=-1)",
    },
    dtypes=_dtypes("cp", "float16", *_STANDARD),
    writes=True,
)  # fmt: skip


# --- the array API standard -----------------------------------------------------------------------------------

_EINSUM = '''
def einsum(subscripts, *arrays, optimize=False):
    """Sums of products over labelled axes: one operand after the other, as stacks of matrix products."""
    left, out = subscripts.split("->")
    terms = left.split(",")
    sizes, labels, found = {}, "", None
    for position, (term, x) in enumerate(zip(terms, arrays)):
        sizes.update(zip(term, x.shape))
        for label in dict.fromkeys(term):
            while term.count(label) > 1:
                first = term.index(label)
                second = term.index(label, first + 1)
                x = np.diagonal(np.moveaxis(x, (first, second), (-2, -1)), axis1=-2, axis2=-1)
                term = term[:first] + term[first + 1 : second] + term[second + 1 :] + label
        later = out + "".join(terms[position + 1 :])
        alone = tuple(axis for axis, label in enumerate(term) if label not in later + labels)
        x = np.sum(x, axis=alone) if alone else x
        term = "".join(label for label in term if label in later + labels)
        if found is None:
            found, labels = x, term
            continue
        alone = tuple(axis for axis, label in enumerate(labels) if label not in later + term)
        found = np.sum(found, axis=alone) if alone else found
        labels = "".join(label for label in labels if label in later + term)
        batch = "".join(label for label in labels if label in term and label in later)
        inner = "".join(label for label in labels if label in term and label not in later)
        rows = "".join(label for label in labels if label not in term)
        columns = "".join(label for label in term if label not in labels)
        shapes = [tuple(sizes[label] for label in group) for group in (batch, rows, inner, columns)]
        counts = []
        for shape in shapes:
            count = 1
            for size in shape:
                count *= size
            counts.append(count)
        a = np.transpose(found, tuple(labels.index(label) for label in batch + rows + inner))
        b = np.transpose(x, tuple(term.index(label) for label in batch + inner + columns))
        a = np.reshape(a, (counts[0], counts[1], counts[2]))
        b = np.reshape(b, (counts[0], counts[2], counts[3]))
        found, labels = np.reshape(a @ b, shapes[0] + shapes[1] + shapes[3]), batch + rows + columns
    return np.transpose(found, tuple(labels.index(label) for label in out))
'''
_KRON = '''
def kron(a, b):
    """The Kronecker product of two vectors or two matrices."""
    shape = tuple(m * n for m, n in zip(a.shape, b.shape))
    if len(shape) == 1:
        return np.reshape(a[:, None] * b, shape)
    return np.reshape(a[:, None, :, None] * b[:, None, :], shape)
'''
_HEAVISIDE = '''
def heaviside(x, at_zero):
    """1 where x is positive, 0 where it is negative, `at_zero` at 0."""
    one = np.ones_like(x)
    return np.where(x > 0, one, np.where(x < 0, np.zeros_like(x), np.where(x == 0, at_zero * one, x)))
'''

_SINC = '''
def sinc(x):
    """sin(pi*x) / (pi*x), 1 at 0."""
    u = np.pi * np.where(x == 0, 1e-20 * np.ones_like(x), x)
    return np.sin(u) / u
'''

ARRAY_API = Backend(
    name="array_api",
    package="",
    module="xp",
    calls={"copy": lambda call: Called("asarray", call.args, {"copy": "True"}, call.dtype)},
    functions={"einsum": _EINSUM, "heaviside": _HEAVISIDE, "kron": _KRON, "sinc": _SINC},
    dtypes=_dtypes("xp", *_STANDARD),
    device=True,
    strict=True,
)

BACKENDS = {backend.name: backend for backend in (NUMPY, JAX, TORCH, CUPY, ARRAY_API)}


def backend_of(name: str) -> Backend:
    """Give a backend by its name.

    Raises:
        GraphError: there is none.

    >>> backend_of("torch").module
    'torch'
    """
    if name not in BACKENDS:
        known = ", ".join(map(repr, BACKENDS))
        raise GraphError(f"compile: no backend {name!r}{did_you_mean(str(name), list(BACKENDS))}; there are {known}")
    return BACKENDS[name]
