"""`define_op`: operations of one's own, from an expression of SymPy or from a NumPy function and its derivative."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from keyword import iskeyword
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from symbackprop import autodiff, dims, ops
from symbackprop.dims import Shape
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.op import DEFINED, Dtype, Form, Op, Vjp
from symbackprop.ops.elementwise import real
from symbackprop.ops.leaf import symbol
from symbackprop.printing import numpy_code

if TYPE_CHECKING:
    from sympy import Basic

_STEP = 1e-6  # of central differences: their error is some 1e-10 of the values, far below the tolerance
_TOLERANCE = 1e-6
_PLAIN = (bool, int, float, str, type(None))


def define_op(
    name: str,
    *definition: Any,
    bprop: Callable[..., Any] | None = None,
    shape: Callable[..., Shape] | None = None,
    dtype: Callable[..., Any] | None = None,
    samples: Sequence[Sequence[Any]] | None = None,
    doc: str = "",
) -> Op:
    """Define an operation, which is applied, differentiated, printed, parsed and compiled as the others are.

    ``define_op("mish", "x", expression)`` takes an expression of SymPy in these symbols (names or symbols, one or a
    tuple of them) and acts on each element; its derivatives of all orders come from SymPy's.

    ``define_op("mish", function, bprop=rule)`` takes a function that computes arrays with NumPy, and the rule that
    pulls a gradient back: ``rule(g, y, *operands)`` gives ``g`` times the derivative by the operand, written with
    symbackprop's operations, so that it can be differentiated again; for several operands a tuple, with None where the
    derivative is zero almost everywhere. The function stands in the source of what is compiled, so it may use nothing
    but its arguments, ``np``, ``math`` and constants.

    Value, shape and dtype are tried on sample data, with broadcasting and without elements, and the derivative is
    compared with central differences.

    Args:
        name: an identifier that no other operation has.
        definition: symbols and an expression of SymPy, or a function made by ``def``.
        bprop: the derivative rule of the function; g may have further axes in front.
        shape: the shape of the result from the shapes of the operands, where the function does not act on each element.
        dtype: the dtype of the result from the dtypes of the operands: the common float dtype unless told.
        samples: operands to try it on, for each trial a tuple of arrays: numbers between 0.3 and 1.7 unless told.
        doc: the meaning, for ``help``.

    Raises:
        ArgumentError: the name is taken or no identifier, the function uses what generated code has not, or a trial
            shows that value, shape, dtype or derivative are not what is said.

    >>> import numpy as np
    >>> import symbackprop as sb
    >>> import sympy
    >>> t = sympy.Symbol("t")
    >>> mish = sb.define_op("mish", t, t * sympy.tanh(sympy.log(1 + sympy.exp(t))))
    >>> x = sb.symbol("x", "N")
    >>> print(mish(2 * x))
    mish(2x)
    >>> sb.evaluate(sb.grad(sb.sum(mish(x)), x), {x: [0.0, 1.0]}).round(4)
    array([0.6  , 1.049])
    """
    _check_name(name)
    if len(definition) == 1 and callable(definition[0]):
        arity, helper = _of_function(name, definition[0])
        if bprop is None:
            raise ArgumentError(f"define_op {name}: a function needs its derivative: give bprop=")
        vjps = _rules(name, bprop, arity, samples, shape)
    elif len(definition) == 2 and not callable(definition[1]):
        if bprop is not None or shape is not None or dtype is not None:
            raise ArgumentError(f"define_op {name}: of an expression of SymPy bprop, shape and dtype are known")
        arguments, expression = _of_sympy(name, *definition)
        arity, helper = len(arguments), _helper_of_sympy(name, arguments, expression)
        vjps = tuple(_rule_of_sympy(arguments, expression, position) for position in range(arity))
    else:
        raise ArgumentError(
            f'define_op {name}: give symbols and an expression of SymPy, as in define_op("{name}", "x", …), '
            "or a function and bprop="
        )
    operands = ", ".join(f"${position}" for position in range(arity))
    made = Op(
        name=name,
        doc=doc or f"{name}, defined by `define_op`.",
        shape=_shape_rule(shape or dims.broadcast),
        dtype=_dtype_rule(dtype) if dtype else real,
        vjps=vjps,
        numpy=Form(f"{name}({operands})"),
        text=Form(f"{name}({operands})"),
        latex=Form(rf"\operatorname{{{name.replace('_', chr(92) + '_')}}}\left({operands}\right)"),
        helper=helper,
        elementwise=shape is None,
    )
    with _explained(name):
        for trial in _trials(arity, samples, shape):
            _check_value(made, trial)
            _check_derivative(made, trial)
        if shape is None and samples is None:
            _check_shapes(made)
        if len(definition) == 2:
            _check_sympy(made, arguments, expression, next(_trials(arity, samples, shape)))
    DEFINED[name] = made
    return made


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say with what is raised inside which operation it is about."""
    try:
        yield
    except Exception as error:
        if str(error).startswith("define_op"):
            raise
        raise ArgumentError(f"define_op {name}: {type(error).__name__}: {error}") from error


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name) or name.startswith("_"):
        raise ArgumentError(f"define_op: a name is an identifier such as 'mish', not {name!r}")
    taken = {op.name for op in ops.TABLE} | {*ops.__all__, *ops.linalg.__all__, *dir(builtins), "np", "math", "os"}
    helpers = re.findall(r"^def (\w+)", "\n".join(op.helper or "" for op in ops.TABLE), re.MULTILINE)
    if name in taken or name in helpers:
        raise ArgumentError(f"define_op: there is an operation, or a function of generated code, called {name!r}")
    if name in DEFINED:
        raise ArgumentError(f"define_op: {name!r} is defined already: take another name, or use the one there is")


def _shape_rule(shape: Callable[..., Any]) -> Callable[..., Shape]:
    return lambda *shapes, **_: tuple(shape(*shapes))


def _dtype_rule(dtype: Callable[..., Any]) -> Callable[..., Dtype]:
    return lambda *kinds, **_: np.dtype(dtype(*kinds))


# --- functions of NumPy ---------------------------------------------------------------------------------------


def _of_function(name: str, function: Any) -> tuple[int, str]:
    """Give how many operands a function takes, and its source under a name."""
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        raise ArgumentError(f"define_op {name}: give a function made by def: its source goes into generated code")
    parameters = inspect.signature(function).parameters.values()
    if not parameters or any(each.kind is not each.POSITIONAL_OR_KEYWORD for each in parameters):
        raise ArgumentError(f"define_op {name}: the function takes its operands by position, at least one")
    try:
        text = textwrap.dedent(inspect.getsource(function))
        (tree,) = ast.parse(text).body
    except (OSError, SyntaxError, ValueError):
        raise ArgumentError(
            f"define_op {name}: the source of {function.__name__} cannot be read: define it in a file"
        ) from None
    if not isinstance(tree, ast.FunctionDef):
        raise ArgumentError(f"define_op {name}: give a function made by def: its source goes into generated code")
    known = inspect.getclosurevars(function).nonlocals
    lines = [
        line
        for used in sorted(_globals_of(function.__code__, name) | known.keys())
        for line in _binding(name, used, known.get(used, function.__globals__.get(used, _MISSING)))
    ]
    rows = text.splitlines()
    has_doc = ast.get_docstring(tree) is not None
    start = tree.body[0].end_lineno if has_doc else tree.body[0].lineno - 1
    if tree.lineno == tree.body[0].lineno:  # all on one line
        rows[tree.lineno - 1 :] = [
            rows[tree.lineno - 1][: tree.body[0].col_offset].rstrip(),
            *textwrap.indent("\n".join(map(ast.unparse, tree.body)), "    ").splitlines(),
        ]
        start = tree.lineno
    rows[start:start] = [f"{' ' * (4 if start == tree.lineno else tree.body[0].col_offset)}{line}" for line in lines]
    source = "\n".join(rows[tree.lineno - 1 :])  # behind the decorators
    source = re.sub(rf"\Adef\s+{function.__name__}\b", f"def {name}", source)
    return len(parameters), f"\n{source}\n"


_MISSING = object()


def _globals_of(code: CodeType, name: str) -> set[str]:
    """Give the names that code takes from outside, in the functions inside it too."""
    found: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            found.add(str(instruction.argval))
        if instruction.opname == "IMPORT_NAME":
            raise ArgumentError(
                f"define_op {name}: the function imports {instruction.argval}, and generated code imports NumPy alone"
            )
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _globals_of(constant, name)
    return found


def _binding(name: str, used: str, value: Any) -> list[str]:
    """Write what gives a name its value inside of the function."""
    if value is _MISSING and hasattr(builtins, used):
        return []
    if value is np:
        return [] if used == "np" else [f"{used} = np"]
    if isinstance(value, ModuleType) and value.__name__ == "math" and used == "math":
        return []
    if isinstance(value, _PLAIN):
        return [f"{used} = {value!r}"]
    what = "is not there" if value is _MISSING else f"is a {type(value).__name__}"
    raise ArgumentError(
        f"define_op {name}: the function uses {used}, which {what}: generated code has np, math and constants alone; "
        "put what it needs inside of the function"
    )


def _rules(
    name: str, bprop: Callable[..., Any], arity: int, samples: Any, shape: Callable[..., Shape] | None
) -> tuple[Vjp | None, ...]:
    """Give a rule for each operand; which have none is seen by calling the one that is given."""

    def shares(g: Expr, y: Expr, xs: Sequence[Expr]) -> Sequence[Any]:
        found = bprop(g, y, *xs)
        several: Sequence[Any] = found if isinstance(found, list | tuple) else [found]
        if len(several) != arity:
            raise ArgumentError(
                f"define_op {name}: bprop gives {len(several)} gradients, and there are {arity} operands"
            )
        return several

    def rule(position: int) -> Vjp:
        return lambda g, y, *xs: shares(g, y, xs)[position]

    with _explained(name), Graph():
        arrays = next(_trials(arity, samples, shape))
        xs = [symbol(f"x{position}", np.shape(array)) for position, array in enumerate(arrays)]
        result = (shape or dims.broadcast)(*[x.shape for x in xs])
        there = shares(symbol("g", result), symbol("y", result), xs)
    return tuple(None if each is None else rule(position) for position, each in enumerate(there))


# --- expressions of SymPy -------------------------------------------------------------------------------------


def _of_sympy(name: str, symbols: Any, expression: Any) -> tuple[list[Basic], Basic]:
    """Read symbols and expression."""
    import sympy  # noqa: PLC0415  (most never need it)

    given = [symbols] if isinstance(symbols, str | sympy.Symbol) else [*symbols]
    read = sympy.sympify(expression)
    free = {each.name: each for each in read.free_symbols}
    arguments = [free.get(each, sympy.Symbol(each)) if isinstance(each, str) else each for each in given]
    strange = read.free_symbols - {*arguments}
    if strange or not arguments or len({each.name for each in arguments}) < len(arguments):
        shown = ", ".join(sorted(map(str, strange))) or "no symbol, or one twice"
        raise ArgumentError(f"define_op {name}: the expression has {shown} beside {', '.join(map(str, given))}")
    return arguments, read


def _read(arguments: Sequence[Basic], expression: Basic, xs: Sequence[Expr]) -> Expr:
    from symbackprop.sympy_forms import from_sympy  # noqa: PLC0415  (it needs SymPy)

    return from_sympy(expression, dict(zip(arguments, xs, strict=True)))


def _helper_of_sympy(name: str, arguments: Sequence[Basic], expression: Basic) -> str:
    """Write the expression as a function of arrays."""
    letters = [f"x{position}" for position in range(len(arguments))] if len(arguments) > 1 else ["x"]
    with _explained(name), Graph():
        code = numpy_code(_read(arguments, expression, [symbol(letter) for letter in letters]), line_width=10**6)
    parts = ast.parse(code).body
    texts = [ast.get_source_segment(code, part) or "" for part in parts]
    helpers = [text for part, text in zip(parts, texts, strict=True) if isinstance(part, ast.FunctionDef)]
    lines = texts[len(helpers) : -1]
    body = textwrap.indent("\n".join([*lines, f"return {texts[-1]}"]), "    ")
    own = f'def {name}({", ".join(letters)}):\n    """{expression}"""\n{body}'
    return "\n" + "\n\n\n".join([*helpers, own]) + "\n"


def _rule_of_sympy(arguments: Sequence[Basic], expression: Basic, position: int) -> Vjp | None:
    import sympy  # noqa: PLC0415  (most never need it)

    derivative = sympy.diff(expression, arguments[position])
    if derivative == 0:
        return None
    return lambda g, y, *xs: g * _read(arguments, derivative, xs)


# --- trials ---------------------------------------------------------------------------------------------------


def _trials(
    arity: int, samples: Sequence[Sequence[Any]] | None, shape: Callable[..., Shape] | None
) -> Iterator[list[np.ndarray[Any, Any]]]:
    if samples is None:
        if shape is not None:
            raise ArgumentError("define_op: what has a shape rule needs samples=[(array, …), …] to be tried on")
        rng = np.random.default_rng(0)
        yield [rng.uniform(0.3, 1.7, (2, 3)) for _ in range(arity)]
        return
    for trial in samples:
        arrays = [np.asarray(each, float) for each in trial]
        if len(arrays) != arity:
            raise ArgumentError(f"define_op: a sample has {len(arrays)} arrays, and there are {arity} operands")
        yield arrays


def _check_value(op: Op, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
    for kind in ("float64", "float32"):
        given = [array.astype(kind) for array in arrays]
        wanted = op.infer([array.shape for array in given], [array.dtype for array in given], {})
        value = np.asarray(op.evaluate(*given, sizes={}))
        if value.shape != wanted[0] or value.dtype != wanted[1]:
            raise ArgumentError(
                f"define_op {op.name}: of operands of shapes {[each.shape for each in given]} and {kind} the value "
                f"has shape {value.shape} and dtype {value.dtype}, and the rules say {wanted[0]} and {wanted[1]}"
            )
        if not np.all(np.isfinite(value)):
            raise ArgumentError(
                f"define_op {op.name}: the value at {given} is not finite: give operands it is defined for, samples="
            )


def _check_shapes(op: Op) -> None:
    arity = len(op.vjps)
    for first, rest in (((), ()), ((0,), (0,)), ((3, 1), (2,))):
        _check_value(op, [np.full(first if not position else rest, 0.5) for position in range(arity)])


def _check_derivative(op: Op, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
    """Compare Jacobians, which try the rule with further axes in front, along a random direction."""
    rng = np.random.default_rng(1)
    with Graph():
        xs = [symbol(f"x{position}", array.shape) for position, array in enumerate(arrays)]
        y = op(*xs)
        for position, x in enumerate(xs):
            direction = rng.standard_normal(x.shape)

            def moved(step: float, at: int = position, by: Any = direction) -> Any:
                there = [array + step * by if place == at else array for place, array in enumerate(arrays)]
                return np.asarray(op.evaluate(*there, sizes={}))

            expected = (moved(_STEP) - moved(-_STEP)) / (2 * _STEP)
            found = np.zeros(y.shape)
            if op.vjps[position] is not None:
                values = dict(zip(xs, arrays, strict=True))
                jacobian = autodiff.evaluate(autodiff.jacobian(y, x, unused="zeros"), values)
                found = np.tensordot(jacobian, direction, x.ndim)
            scale = 1 + np.max(np.abs(expected), initial=0.0)
            if not np.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE * scale):
                rule = "no rule" if op.vjps[position] is None else "the rule"
                raise ArgumentError(
                    f"define_op {op.name}: the derivative by operand {position} is not what differences say: along a "
                    f"random direction {rule} gives {np.ravel(found)[:3]}, differences {np.ravel(expected)[:3]}"
                )


def _check_sympy(op: Op, arguments: Sequence[Basic], expression: Any, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
    point = [float(np.ravel(array)[0]) for array in arrays]
    expected = float(expression.subs(dict(zip(arguments, point, strict=True))).evalf())
    found = float(op.evaluate(*point, sizes={}))
    if not np.isclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ArgumentError(f"define_op {op.name}: at {point} the value is {found}, and SymPy says {expected}")
