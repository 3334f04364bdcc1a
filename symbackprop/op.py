"""`Op`, the record that tells one operation's whole story, and its application to expressions.

Ops carry data; walkers (differentiation, rewriting, printing, lowering) carry the algorithms. Arrays are
positional, parameters are keywords, and a derivative rule is always called as ``(g, y, *xs, **params)``: the
cotangent of the output, the output, the operands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.errors import ArgumentError, DtypeError, ShapeError
from symbackprop.expr import Different, Expr, Operand, common_graph, user_line
from symbackprop.graph import Graph, Node, Origin, attributed, current_graph, current_module, current_origin

Dtype: TypeAlias = "np.dtype[Any]"
Array: TypeAlias = "np.ndarray[Any, Any]"
Params: TypeAlias = Mapping[str, Any]
Vjp: TypeAlias = Callable[..., Expr]

# Binding strengths, weakest first. NumPy source, text and LaTeX share the scale; a formula's minus sign binds like
# MINUS, Python's like NEGATE.
LOWEST, COMPARE, LOGIC, ADD, MINUS, MULTIPLY, NEGATE, POWER, ATOM = range(9)

_EXPONENT_FROM = 1e16  # from here on Python writes floats with an exponent
_PLACE = re.compile(r"\$(\d|\*)")


class Form(NamedTuple):
    """How one operation is written: a template over its operands, and how strongly it binds.

    Attributes:
        template: text with ``$0``, ``$1`` … for the operands, ``$*`` for all of them with commas.
        precedence: how strongly the whole binds.
        operands: how strongly each operand must bind to stand without parentheses; 0 where missing.
    """

    template: str
    precedence: int = ATOM
    operands: tuple[int, ...] = ()

    def need(self, position: int) -> int:
        """Give how strongly an operand must bind."""
        return self.operands[position] if position < len(self.operands) else LOWEST

    def fill(self, operands: Sequence[str]) -> str:
        """Put the operands, parenthesised already, into the template."""
        return _PLACE.sub(
            lambda place: ", ".join(operands) if place[1] == "*" else operands[int(place[1])], self.template
        )


Notation: TypeAlias = Form | Callable[[Params, tuple[Shape, ...]], Form]


class Case(NamedTuple):
    """One application that the generated tests try: operand shapes and parameters."""

    shapes: tuple[tuple[int, ...], ...]
    params: Params = MappingProxyType({})


class Value:
    """An immutable array that can be a parameter: equal exactly when dtype, shape and bytes are."""

    __slots__ = ("_key", "array")

    def __init__(self, array: Array) -> None:
        """Copy the array and close it for writing."""
        self.array: Array = np.array(array, order="C")
        self.array.flags.writeable = False
        self._key = (self.array.dtype.str, self.array.shape, self.array.tobytes())

    def __eq__(self, other: object) -> bool:
        """Compare dtype, shape and bytes, so that NaN equals NaN and 0.0 is not -0.0."""
        return isinstance(other, Value) and self._key == other._key

    def __hash__(self) -> int:
        """Hash dtype, shape and bytes."""
        return hash(self._key)

    def __str__(self) -> str:
        """Write scalars as numbers, whole floats without the point."""
        if self.array.ndim:
            return f"array{dims.show(self.array.shape)}"
        number = self.array[()]
        whole = self.array.dtype.kind == "f" and number == np.floor(number) and abs(number) < _EXPONENT_FROM
        return str(int(number)) if whole and not (number == 0 and np.signbit(number)) else str(number)

    __repr__ = __str__


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """One operation: meaning, shape rule, dtype rule, derivative, NumPy code, printed form, domain for tests.

    Attributes:
        name: NumPy's name for it, where NumPy has one.
        doc: the meaning, for ``help`` and the documentation.
        shape: the shape of the result from the operands' shapes and the parameters.
        dtype: the dtype of the result from the operands' dtypes and the parameters; Python scalars among the
            operands are passed as they are, because they are weak.
        vjps: for each operand its rule ``(g, y, *xs, **params)``; None where the derivative is zero almost
            everywhere or does not exist. A `variadic` op has one rule, given the operand as ``position=``; one
            with `indices` has one for each operand before them.
        numpy: how NumPy source writes it.
        text: how Unicode formulas write it.
        latex: how LaTeX writes it.
        helper: the source of the function that `numpy` calls, where NumPy itself has none.
        imports: the lines that import what `numpy` calls beside NumPy, from packages that may be missing.
        python: how Python writes it for its own floats and bools, so that the values are NumPy's; None where it cannot.
        python_helper: the source of the function that `python` calls.
        portable: how it is written, in NumPy's names too, for libraries whose arrays cannot be written to or whose
            values are not known while the code runs; as `numpy` unless told.
        portable_helper: the source of the functions that `portable` calls; `helper` unless told.
        elementwise: whether it acts on each element alone, after broadcasting.
        indices: how many operands come before those that are indices: integers, which have no derivative; None where
            no operand is one.
        cost: floating-point operations for the operands' shapes, the result's and the parameters.
        domain: for each operand the interval that the tests draw from.
        kinks: where an operand must not be drawn, because the derivative jumps.
        defined: where the function is defined, in signs, such as ``x > 0``; empty where it is everywhere.
        kink: what the derivative is where there is none or more than one, such as ``0 at x = 0``.
        cases: applications for the tests; elementwise ops have theirs from the number of operands.
    """

    name: str
    doc: str
    shape: Callable[..., Shape]
    dtype: Callable[..., Dtype]
    vjps: tuple[Vjp | None, ...]
    numpy: Notation
    text: Notation
    latex: Notation
    helper: str | None = None
    imports: tuple[str, ...] = ()
    python: Form | None = None
    python_helper: str | None = None
    portable: Notation | None = None
    portable_helper: str | None = None
    elementwise: bool = False
    variadic: bool = False
    indices: int | None = None
    cost: Callable[[tuple[Shape, ...], Shape, Params], Size] = lambda _xs, y, _params: dims.product(y)
    domain: tuple[tuple[float, float], ...] = ()
    kinks: tuple[float, ...] = ()
    defined: str = ""
    kink: str = ""
    cases: tuple[Case, ...] = ()
    options: Params = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Let ``help(op)`` show the meaning."""
        object.__setattr__(self, "__doc__", self.doc)

    def __repr__(self) -> str:
        """Give the name."""
        return f"<Op {self.name}>"

    def __call__(self, *operands: Operand, **params: Any) -> Expr:
        """Apply the operation: append a node to the operands' graph.

        Raises:
            ArgumentError: another number of operands than the operation has.
            ShapeError: the shapes do not fit, with the operands by name and the user's line.
            DtypeError: a dtype that the operation does not take.
            GraphError: operands of two graphs.
        """
        if not self.variadic and len(operands) != len(self.vjps):
            given = f"{len(operands)}: {', '.join(map(described, operands))}" if operands else "none"
            msg = f"{self.name} takes {len(self.vjps)} operand{'s' * (len(self.vjps) != 1)}, not {given}"
            raise ArgumentError(msg)
        if params.keys() - self.options.keys():
            msg = f"{self.name} takes {sorted(self.options) or 'no parameters'}, not {sorted(params)}"
            raise ArgumentError(msg)
        return apply(self, *operands, **{**self.options, **params})

    def rule(self, position: int) -> Vjp | None:
        """Give the derivative rule for one operand, or None."""
        if self.indices is not None:
            return self.vjps[position] if position < self.indices else None
        if not self.variadic:
            return self.vjps[position]
        general = self.vjps[0]
        if general is None:
            return None
        return lambda g, y, *xs, **params: general(g, y, *xs, position=position, **params)

    def infer(self, shapes: Sequence[Shape], dtypes: Sequence[Any], params: Params) -> tuple[Shape, Dtype]:
        """Give the shape and the dtype of the result."""
        return self.shape(*shapes, **params), self.dtype(*dtypes, **params)

    def helpers(self, *, portable: bool = False) -> list[str]:
        """Give the functions that the NumPy source, or the portable form of it, calls, one by one."""
        source = (portable and self.portable_helper) or self.helper or ""
        return [f"def {function.strip()}" for function in f"\n{source}".split("\ndef ")[1:]]

    def needs_math(self) -> bool:
        """Tell whether the source uses Python's `math`."""
        return "math." in f"{self.helper}{self.numpy}"

    def imported(self) -> dict[str, Any]:
        """Import what the source calls beside NumPy.

        Raises:
            ImportError: it is not installed, with what is to be done.
        """
        try:
            return _imported(self.imports) if self.imports else {}
        except ImportError:
            package = self.imports[0].split()[1].partition(".")[0]
            msg = (
                f"{self.name} is computed by {package}, which is not installed: pip install 'symbackprop[special]' "
                "(formulas and derivatives do without it)"
            )
            raise ImportError(msg) from None

    def form(self, notation: Notation, params: Params, shapes: tuple[Shape, ...]) -> Form:
        """Resolve one of `numpy`, `text`, `latex` for an application."""
        return notation if isinstance(notation, Form) else notation(params, shapes)

    def evaluate(self, *arrays: Any, sizes: Mapping[str, int], library: Any = np, **params: Any) -> Any:
        """Compute the value from arrays, by the same NumPy source that compiled functions contain.

        Args:
            arrays: the operands.
            sizes: numbers for the named sizes among the parameters.
            library: what the source is to find under the name ``np``.
            params: the op's parameters.
        """
        params = {name: dims.bound(param, sizes) for name, param in params.items()}
        shapes = tuple(np.shape(array) for array in arrays)
        form = self.form(self.numpy, params, shapes)
        names = [f"x{position}" for position in range(len(arrays))]
        namespace = {
            **_helper_namespace(self.helper, library),
            **self.imported(),
            **dict(zip(names, arrays, strict=True)),
        }
        return eval(_compiled(form.fill(names)), namespace)  # noqa: S307  (a template of the op table, never a user's text)


DEFINED: dict[str, Op] = {}
"""What people have defined beside the table, by name."""


@lru_cache(maxsize=1024)
def _helper_namespace(helper: str | None, library: Any) -> dict[str, Any]:
    """Give the names that an op's NumPy source may use."""
    namespace: dict[str, Any] = {"np": library, "math": math}
    if helper:
        exec(helper, namespace)  # noqa: S102  (the op's own source, never a user's)
    return namespace


@lru_cache(maxsize=64)
def _imported(lines: tuple[str, ...]) -> dict[str, Any]:
    """Execute lines that import, and give what they name."""
    namespace: dict[str, Any] = {}
    exec("\n".join(lines), namespace)  # noqa: S102  (an op's own lines, never a user's)
    return namespace


@lru_cache(maxsize=1024)
def _compiled(source: str) -> CodeType:
    return compile(source, "<op>", "eval")


def apply(op: Op, *operands: Operand, **params: Any) -> Expr:
    """Append one application of an op; Python scalars become constants of the dtype that NumPy would use."""
    exprs = [operand for operand in operands if isinstance(operand, Expr)]
    graph = common_graph(exprs, op.name) if exprs else current_graph()
    try:
        if len(exprs) == len(operands):
            nodes = [expr.node for expr in exprs]
            shape, dtype = op.infer([node.shape for node in nodes], [node.dtype for node in nodes], params)
        else:
            kinds = [kind_of(operand) for operand in operands]
            shape, dtype = op.infer([_shape(operand) for operand in operands], kinds, params)
            weak = dtype if dtype.kind != "b" else np.result_type(*kinds)
            exprs = [
                _as_operand(operand, kind if isinstance(kind, np.dtype) else weak, graph)
                for operand, kind in zip(operands, kinds, strict=True)
            ]
    except OverflowError as error:  # NumPy's own words: Python integer 1000 out of bounds for int8
        raise _explained(DtypeError(str(error)), op, operands) from None
    except (ShapeError, DtypeError) as error:
        raise _explained(error, op, operands) from None
    return new_expr(graph, op, tuple(expr.number for expr in exprs), params, shape, dtype)


def new_expr(  # noqa: PLR0917  (the fields of a node, in its order)
    graph: Graph, op: Op, inputs: tuple[int, ...], params: Params, shape: Shape, dtype: Dtype
) -> Expr:
    """Append a node whose shape and dtype are known, written down to the user's line or the walker's origin."""
    origin = current_origin() or Origin(user_line(), backward=False, module=current_module())
    node = Node(op, inputs, params, shape, dtype, origin)
    with graph.lock:
        return Expr(graph, graph.add(node))


def substituted(outputs: Sequence[Expr], places: Mapping[Expr, Expr]) -> list[Expr]:
    """Give expressions with others in the places of some that they are computed from, of the same shapes and dtypes.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x y")
    >>> print(*substituted([sb.sin(x), sb.exp(y)], {x: 2 * y}))
    sin(2y) exp(y)
    """
    if not outputs:
        return []
    graph = outputs[0].graph
    done = {old.number: new for old, new in places.items()}  # handles: what has none may be swept
    for number in graph.reachable([expr.number for expr in outputs], known=done):
        if number not in done:
            node = graph.nodes[number]
            inputs = tuple(done[operand].number for operand in node.inputs)
            done[number] = Expr(graph, number)
            if inputs != node.inputs:
                with attributed(node.origin):
                    done[number] = new_expr(graph, node.op, inputs, node.params, node.shape, node.dtype)
    return [done[expr.number] for expr in outputs]


def _explained(error: ShapeError | DtypeError, op: Op, operands: Sequence[Operand]) -> ShapeError | DtypeError:
    named = ", ".join(map(described, operands))
    explained = type(error)(f"{op.name}: {error}: {named}")
    where = user_line()
    if where:
        explained.add_note(f"  built at {where}")
    return explained


def described(operand: Any) -> str:
    """Give a short name of an operand for messages."""
    if isinstance(operand, Expr):
        return operand.describe()
    if isinstance(operand, np.ndarray | list | tuple):
        return f"array{dims.show(np.shape(operand))}"
    return repr(operand)


def check_dtype(dtype: Any, what: str = "") -> Dtype:
    """Read a dtype: bool, an integer or a float, in the byte order of this machine.

    Raises:
        DtypeError: any other.
    """
    try:
        read: Dtype = np.dtype(dtype)
    except TypeError:
        msg = f"{dtype!r} is no dtype; use float64, float32, int64, bool …"
        raise DtypeError(f"{what}: {msg}" if what else msg) from None
    if read.kind not in "biuf":
        msg = f"dtype {read} is not supported; use floats, integers or bool"
        raise DtypeError(f"{what}: {msg}" if what else msg)
    return read.newbyteorder("=")


def kind_of(operand: Any) -> Any:
    """Give what NumPy's promotion wants to see: a dtype, or a Python scalar, which is weak; so is a named size."""
    if isinstance(operand, Expr):
        return operand.dtype
    if type(operand) in {bool, int, float}:
        return operand
    if isinstance(operand, Dim):
        return 1
    if isinstance(operand, np.ndarray | np.generic | list | tuple):
        return check_dtype(np.asarray(operand).dtype)
    if isinstance(operand, Different):
        operand.refuse()
    msg = f"an operand is an expression, an array or a number, not {type(operand).__name__}"
    raise DtypeError(msg)


def _shape(operand: Any) -> Shape:
    if isinstance(operand, Expr):
        return operand.shape
    return () if isinstance(operand, Dim) else np.shape(operand)


def _as_operand(operand: Any, dtype: Dtype, graph: Graph) -> Expr:
    if isinstance(operand, Expr):
        return operand
    if isinstance(operand, Dim):
        return new_expr(graph, SIZE, (), {"size": operand, "dtype": dtype}, (), dtype)
    return literal(operand, dtype, graph=graph)


_NO_NUMBER = re.compile(r"\b(inf|nan)\b")


def _leaf_form(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    """Write a number as Python does; a negative one binds like a negation."""
    array = params["value"].array
    if array.ndim and not array.size:
        return Form(f"np.zeros({array.shape}, dtype=np.{array.dtype.name})")
    if array.ndim:
        numbers = _NO_NUMBER.sub(r"np.\1", repr(array.tolist()))
        return Form(f"np.array({numbers}, dtype=np.{array.dtype.name})")
    text = repr(array.item() if array.dtype != np.float32 else float(str(array)))
    text = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}.get(text, text)
    return Form(text, NEGATE if text.startswith("-") else ATOM)


def _number_form(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    text = str(params["value"])
    text = {"inf": "∞", "-inf": "−∞"}.get(text, text.replace("-", "−") if text.startswith("-") else text)
    return Form(text, NEGATE if text.startswith("−") else ATOM)


def _latex_number_form(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    text = str(params["value"])
    mantissa, e, exponent = text.partition("e")
    text = rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e and exponent.lstrip("+-").isdigit() else text
    text = text.replace("inf", r"\infty").replace("nan", r"\mathrm{NaN}")
    text = rf"\mathrm{{{text}}}" if text.startswith("array") else text
    return Form(text, NEGATE if text.startswith("-") else MULTIPLY if e else ATOM)


CONSTANT = Op(
    name="constant",
    doc="A known array.",
    shape=lambda *, value: tuple(value.array.shape),
    dtype=lambda *, value: value.array.dtype,
    vjps=(),
    numpy=_leaf_form,
    text=_number_form,
    latex=_latex_number_form,
    cost=lambda _xs, _y, _params: 0,
)


def _size_form(params: Params, _shapes: tuple[Shape, ...]) -> Form:
    text = str(params["size"])
    return Form(text, ATOM if text.isalnum() or text.isidentifier() else ADD)


SIZE = Op(
    name="size",
    doc="A named size as a number.",
    shape=lambda *, size, dtype: (),
    dtype=lambda *, size, dtype: dtype,
    vjps=(),
    numpy=_size_form,
    text=_size_form,
    latex=_size_form,
    cost=lambda _xs, _y, _params: 0,
)


def literal(value: object, dtype: Any = None, *, graph: Graph | None = None) -> Expr:
    """Append a constant to a graph, the current one unless told."""
    known = type(value) in {int, float} and value  # of zeros equality does not tell the sign
    closed = _number(value, dtype) if known else _closed(value, dtype)
    graph = current_graph() if graph is None else graph
    return new_expr(graph, CONSTANT, (), {"value": closed}, closed.array.shape, closed.array.dtype)


def _closed(value: object, dtype: Any) -> Value:
    array = np.asarray(value, dtype=dtype)
    return Value(array.astype(check_dtype(array.dtype, "constant"), copy=False))


_number = lru_cache(maxsize=1024, typed=True)(_closed)  # rules and derivatives make the same ones again and again


def scalar_value(expr: Expr) -> float | None:
    """Give the number where an expression is a constant scalar, else None."""
    return scalar_of(expr.node)


def scalar_of(node: Node) -> float | None:
    """Give the number where a node is a constant scalar, else None."""
    return node.params["value"].array.item() if node.op is CONSTANT and not node.shape else None
