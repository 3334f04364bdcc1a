"""The elementwise operations: one statement each.

A derivative rule gets ``(g, y, *xs)``: the cotangent of the output, the output, the operands. Rules are written with
the operations themselves, so derivatives of every order come for free; broadcasting is undone by the walker.
At a kink the rule gives the one-sided derivative that its docstring names.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import ArgumentError, DtypeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import (
    ADD,
    ATOM,
    COMPARE,
    CONSTANT,
    LOGIC,
    LOWEST,
    MINUS,
    MULTIPLY,
    NEGATE,
    POWER,
    Case,
    Dtype,
    Form,
    Notation,
    Op,
    Params,
    Vjp,
    apply,
    check_dtype,
    described,
    kind_of,
    literal,
    scalar_value,
)
from symbackprop.ops.leaf import as_expr, constant

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "clip",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "isnan",
    "leaky_relu",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "not_equal",
    "piecewise",
    "positive",
    "pow",
    "power",
    "prelu",
    "relu",
    "remainder",
    "rint",
    "select",
    "sigmoid",
    "sign",
    "sin",
    "sinc",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "step",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "where",
]

SMOOTH = (-2.0, 2.0)
POSITIVE = (0.3, 3.0)


# --- dtype rules ----------------------------------------------------------------------------------------------


def promoted(*kinds: Any, **_: Any) -> Dtype:
    """Give NumPy's common dtype; Python scalars are weak."""
    return np.result_type(*kinds)


def floating(*kinds: Any, **_: Any) -> Dtype:
    """Give the dtype of NumPy's float functions: integers become floats."""
    return _float_dtype(np.result_type(*kinds))


@lru_cache(maxsize=64)
def _float_dtype(dtype: Dtype) -> Dtype:
    return np.exp.resolve_dtypes((dtype, None))[1]


def real(*kinds: Any, **_: Any) -> Dtype:
    """Give the dtype of functions that NumPy has not: integers and bools become float64."""
    dtype: Dtype = np.result_type(*kinds)
    return dtype if dtype.kind == "f" else np.dtype("float64")


def boolean(*_kinds: Any, **_: Any) -> Dtype:
    """Give bool."""
    return np.dtype(bool)


def like_ufunc(name: str) -> Callable[..., Dtype]:
    """Give the dtype rule of a ufunc, which keeps or refuses integers and bools as NumPy does."""
    ufunc: np.ufunc = getattr(np, name)

    @lru_cache(maxsize=64)
    def resolve(common: Dtype) -> Dtype:
        try:
            return ufunc.resolve_dtypes((common,) * ufunc.nin + (None,))[-1]
        except TypeError:
            msg = f"NumPy does not define it for {common}; convert with astype"
            raise DtypeError(msg) from None

    return lambda *kinds, **_: resolve(np.result_type(*kinds))


def _broadcast(*shapes: Shape, **_: Any) -> Shape:
    return dims.broadcast(*shapes)


# --- builders -------------------------------------------------------------------------------------------------


def _doc(name: str, meaning: str, arity: int, notes: str, parameters: str, *, whole: bool) -> str:
    arguments = ["x", "y", "z"][:arity]
    call = f"sb.{name}({', '.join(arguments)}{parameters and ', '}{parameters})"
    shaped = " ".join(f"{argument}[N]" for argument in arguments)
    target, kind = ", ".join(arguments) + ("," if arity == 1 else ""), ', "int64"' * whole
    return (
        f"{meaning}\n\n{notes}{chr(10) * 2 if notes else ''}"
        f"Acts on each element; operands broadcast, and the result has their common shape.\n\n"
        f">>> import symbackprop as sb\n>>> {target} = sb.symbols({shaped!r}{kind})\n>>> {call}.shape\n(N,)\n"
    )


def elementwise_op(
    name: str,
    meaning: str,
    *vjps: Vjp | None,
    text: Notation,
    latex: Notation,
    numpy: Notation | None = None,
    dtype: Callable[..., Dtype] = floating,
    domain: Sequence[tuple[float, float]] = (),
    notes: str = "",
    parameters: str = "",
    public: bool = True,
    whole: bool = False,
    **rest: Any,
) -> Op:
    """State an op; one that is not public has no example in its documentation, one that is whole takes integers."""
    arity = len(vjps)
    arguments = ", ".join(f"${position}" for position in range(arity))
    notes += f" Defined for {rest['defined']}." if rest.get("defined") else ""
    notes += f" Derivative: {rest['kink']}." if rest.get("kink") else ""
    return Op(
        name=name,
        doc=_doc(name, meaning, arity, notes.strip(), parameters, whole=whole) if public else meaning,
        shape=_broadcast,
        dtype=dtype,
        vjps=vjps,
        numpy=numpy or Form(f"np.{name}({arguments})"),
        text=text,
        latex=latex,
        elementwise=True,
        domain=tuple(domain) or (SMOOTH,) * arity,
        **rest,
    )


def called(name: str, arity: int = 1) -> Form:
    return Form(f"{name}({', '.join(f'${position}' for position in range(arity))})")


def function_op(
    name: str, meaning: str, *vjps: Vjp | None, text: str | None = None, latex: str | None = None, **rest: Any
) -> Op:
    """State an op that is written like a function call."""
    arguments = ", ".join(f"${position}" for position in range(len(vjps)))
    latex = latex or r"\operatorname{%s}" % name.replace("_", r"\_")  # noqa: UP031  (braces would be doubled)
    return elementwise_op(
        name,
        meaning,
        *vjps,
        text=called(text or name, len(vjps)),
        latex=Form(rf"{latex}\left({arguments}\right)"),
        **rest,
    )


def by_python(function: str, body: str, names: str = "x") -> dict[str, Any]:
    """State how Python computes it for floats: by a function of its own."""
    places = ", ".join(f"${position}" for position in range(names.count(",") + 1))
    source = f"\ndef {function}({names}):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    return {"python": Form(f"{function}({places})"), "python_helper": source}


def by_math(name: str, function: str | None = None, names: str = "x") -> dict[str, Any]:
    """State that `math` has it for floats, but raises where NumPy gives infinities and NaN."""
    function = function or name
    body = f'''
        """math.{function}, and where that raises what NumPy gives."""
        try:
            return math.{function}({names})
        except (OverflowError, ValueError):
            return float(np.{name}({names}))
    '''
    return by_python(f"scalar_{name}", body, names)


def _infix(
    name: str, meaning: str, *vjps: Vjp | None, sign: str, latex: str, level: int, text: str | None = None, **rest: Any
) -> Op:
    """State a binary op that is written between its operands."""
    return elementwise_op(
        name,
        meaning,
        *vjps,
        numpy=Form(f"$0 {sign} $1", level, (level, level + 1)),
        text=Form(f"$0 {text or sign} $1", level, (level, level + 1)),
        latex=Form(f"$0 {latex} $1", level, (level, level + 1)),
        **rest,
    )


# --- arithmetic -----------------------------------------------------------------------------------------------

add = _infix(
    "add", "Add: ``x + y``.", lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g,
    sign="+", latex="+", level=ADD, dtype=like_ufunc("add"), python=Form("$0 + $1", ADD, (ADD, ADD + 1)),
)  # fmt: skip

subtract = _infix(
    "subtract", "Subtract: ``x - y``.", lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g,
    sign="-", text="−", latex="-", level=ADD, dtype=like_ufunc("subtract"),
    python=Form("$0 - $1", ADD, (ADD, ADD + 1)),
)  # fmt: skip


def product_text(dot: str, circle: str) -> Notation:
    """Write a product: a dot if one factor is a number, a circle for the elementwise product of arrays."""

    def notation(_params: Params, shapes: tuple[Shape, ...]) -> Form:
        mark = circle if shapes[0] and shapes[1] else dot
        return Form(f"$0{mark}$1", MULTIPLY, (MULTIPLY, MULTIPLY))

    return notation


multiply = elementwise_op(
    "multiply", "Multiply elementwise: ``x * y``.", lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a,
    numpy=Form("$0 * $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=product_text("·", " ⊙ "), latex=product_text(r" \, ", r" \odot "), dtype=like_ufunc("multiply"),
    python=Form("$0 * $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
)  # fmt: skip

divide = elementwise_op(
    "divide", "Divide elementwise: ``x / y``.", lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -(g * (y / b)),
    numpy=Form("$0 / $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("$0/$1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)), latex=Form(r"\frac{$0}{$1}", MULTIPLY),
    dtype=like_ufunc("divide"), domain=(SMOOTH, POSITIVE), defined="y ≠ 0",
    **by_python(
        "quotient",
        '''
        """x / y of floats; where y is 0 what NumPy gives."""
        try:
            return x / y
        except ZeroDivisionError:
            return float(np.float64(x) / y)
        ''',
        "x, y",
    ),
)  # fmt: skip

floor_divide = elementwise_op(
    "floor_divide", "Divide and round down: ``x // y``; its derivative is zero almost everywhere.", None, None,
    numpy=Form("$0 // $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("⌊$0/$1⌋", ATOM, (MULTIPLY, MULTIPLY + 1)), latex=Form(r"\left\lfloor\frac{$0}{$1}\right\rfloor"),
    dtype=like_ufunc("floor_divide"), domain=(SMOOTH, POSITIVE), defined="y ≠ 0", kink="0 where x/y is whole too",
)  # fmt: skip

remainder = elementwise_op(
    "remainder", "Give the remainder of the floor division: ``x - y*(x//y)``, with the sign of y.",
    lambda g, _y, _a, _b: g, lambda g, _y, a, b: -(g * floor_divide(a, b)),
    numpy=Form("$0 % $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("$0 mod $1", MINUS, (MULTIPLY, MULTIPLY)),
    latex=Form(r"$0 \bmod $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    dtype=like_ufunc("remainder"), domain=((0.2, 0.9), (1.1, 1.9)), defined="y ≠ 0",
    kink="where x/y is whole that of one side",
)  # fmt: skip

_PORTABLE_FMOD = '''
def fmod(x, y):
    """Remainder of the division that is rounded towards zero, with the sign of x."""
    r = np.abs(x) % np.abs(y)
    return np.where(x < 0, -r, r)
'''
fmod = function_op(
    "fmod", "Give the remainder of the division that is rounded towards zero, with the sign of x.",
    lambda g, _y, _a, _b: g, lambda g, _y, a, b: -(g * trunc(a / b)), dtype=like_ufunc("fmod"),
    domain=((0.2, 0.9), (1.1, 1.9)), defined="y ≠ 0", kink="where x/y is whole that of one side",
    portable=called("fmod", 2), portable_helper=_PORTABLE_FMOD, **by_math("fmod", names="x, y"),
)  # fmt: skip

negative = elementwise_op(
    "negative", "Negate: ``-x``.", lambda g, _y, _x: -g,
    numpy=Form("-$0", NEGATE, (NEGATE,)), text=Form("−$0", MINUS, (MULTIPLY,)), latex=Form("-$0", MINUS, (MULTIPLY,)),
    dtype=like_ufunc("negative"), python=Form("-$0", NEGATE, (NEGATE,)),
)  # fmt: skip


def positive(x: Operand) -> Expr:
    """Give ``+x``: x itself.

    Raises:
        DtypeError: x is of bools.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> sb.positive(x) is x
    True
    """
    expr = as_expr(x)
    like_ufunc("positive")(expr.dtype)
    return expr


square = elementwise_op(
    "square", "Square: ``x²``.", lambda g, _y, x: g * (2 * x),
    text=Form("$0²", POWER, (ATOM,)), latex=Form("{$0}^{2}", POWER, (ATOM,)), dtype=like_ufunc("square"),
    python=Form("$0 * $0", MULTIPLY, (ATOM,)),
)  # fmt: skip


_MOST_LOOKED_AT = 64  # nodes, lest a long sum be looked through for each root of its parts
_POSITIVE = {"exp", "exp2", "sigmoid", "softplus", "softmax", "cosh", "erfc", "ndtr", "size"}
_OF_GRAM = {"diagonal", "trace", "det", "eigvalsh"}
_NEVER_NEGATIVE = {"square", "abs", "norm", "hypot", "relu", "svdvals"}
_OF_PARTS = {
    *(
        "add",
        "sum",
        "mean",
        "multiply",
        "divide",
        "matmul",
        "einsum",
        "kron",
        "sliding_dot",
        "prod",
        "cumsum",
        "cumprod",
    ),
    *("max", "min", "maximum", "minimum", "sort", "where", "trace", "diagonal", "diag", "tril", "triu", "windows"),
    *("broadcast_to", "expand_dims", "squeeze", "reshape", "transpose", "slice", "unslice", "roll", "gather"),
    *("concatenate", "stack"),
}
"""Ops that give nothing negative of operands that are not negative."""


def _is_length(x: Expr) -> bool:
    """Tell whether a value is made so that it is 0 at its least: of squares, absolute values and what is cut off at 0.

    Where it is 0, 0 is a subgradient of its roots.
    """
    stack, looked_at, may_vanish = [x], 0, False
    while stack:
        part = stack.pop()
        name, inputs, number = part.op.name, part.inputs, part.params["value"].array if part.op is CONSTANT else None
        looked_at += 1
        if looked_at > _MOST_LOOKED_AT or (number is not None and np.any(number < 0)):
            return False
        if name in _NEVER_NEGATIVE or _is_cut(part, (0,)) or _is_square(part):
            may_vanish = True
        elif name == "power" or name in _OF_PARTS:
            stack += inputs[:1] if name in {"power", "gather"} else inputs[name == "where" :]
        elif number is None and name not in _POSITIVE and part.dtype.kind not in "bu":
            return False
    return may_vanish


def _is_square(x: Expr) -> bool:
    """Tell whether a value is an even power, a sum of squares, or what is left of 1 beside what is at most 1."""
    name, inputs = x.op.name, x.inputs
    if name == "power":
        exponent = scalar_value(inputs[1])
        return exponent is not None and exponent % 2 == 0
    if name == "subtract":
        return _is_at_most(inputs[1], scalar_value(inputs[0]))
    if name in _OF_GRAM and inputs[0].op.name == "matmul":
        return any(_is_transpose(*pair) for pair in (inputs[0].inputs, inputs[0].inputs[::-1]))
    if name == "einsum":
        labels = x.params["subscripts"].partition("->")[0].split(",")
        return len(labels) == 2 and labels[0] == labels[1] and _are_one(*inputs)
    if name == "matmul" and not x.shape:
        return _are_one(*inputs) or any(_is_weighted(*pair) for pair in (inputs, inputs[::-1]))
    return name == "multiply" and _are_one(*inputs)


def _is_at_most(x: Expr, bound: float | None) -> bool:
    """Tell whether a value, perhaps scaled by a number or squared, is at most a bound for what its operation gives."""
    scale = scalar_value(x.inputs[0]) if x.op.name == "multiply" else None
    if scale is not None:
        x = x.inputs[1]
    if x.op.name == "square":
        (x,) = x.inputs
    return bound is not None and bound >= np.abs(1 if scale is None else scale) and _is_within_one(x)


def _is_within_one(x: Expr) -> bool:
    return x.op.name in {"cos", "sin"} or _is_cut(x, (-1, 1))


def _is_weighted(x: Expr, y: Expr) -> bool:
    """Tell whether one of two vectors is the other times a constant matrix that has no negative eigenvalue."""
    weights = [part for part in x.inputs if part.op is CONSTANT and part.ndim == 2] if x.op.name == "matmul" else []
    if (
        len(weights) != 1
        or dims.product(weights[0].shape) > _MOST_LOOKED_AT**2
        or not any(part is y for part in x.inputs)
    ):
        return False
    matrix = weights[0].params["value"].array
    return bool(np.all(np.linalg.eigvalsh(matrix + matrix.T) >= 0))


def _is_transpose(x: Expr, y: Expr) -> bool:
    return x.op.name == "transpose" and x.ndim == 2 and _are_one(x.inputs[0], y)


def _is_cut(x: Expr, ends: Collection[float]) -> bool:
    """Tell whether a value is cut off at one of some numbers, as at 0 in maximum(x, 0); at 0 from below alone."""
    name = x.op.name
    fits = name == "maximum" or (name == "minimum" and 0 not in ends)
    return fits and any(scalar_value(part) in ends for part in x.inputs)


def _are_one(x: Expr, y: Expr) -> bool:
    """Tell whether two values are the same, as two times x[0] are."""
    while x.node.key != y.node.key:
        if x.op is not y.op or len(x.inputs) != 1 or x.params != y.params:
            return False
        (x,), (y,) = x.inputs, y.inputs
    return True


def off_zero(x: Expr, y: Expr) -> Expr:
    """Give x, and 1 where y is 0 too, lest a factor y that is to win against 1/x meet an infinity.

    The derivatives of products with y are right then where y alone is 0.
    """
    return x + logical_and(equal(x, 0), equal(y, 0))


def _power_of_base(g: Expr, _y: Expr, a: Expr, b: Expr) -> Expr:
    exponent = scalar_value(b)
    if exponent is None:  # at a = b = 0 the factor b is to win against 0**-1
        if b.op is CONSTANT:
            return g * (b * power(a, where(equal(b, 0), 0, b - 1)))
        return g * (b * power(off_zero(a, b), b - 1))
    if exponent in {0, 1}:
        return g if exponent else g * 0
    if 0 < exponent < 1 and _is_length(a):
        return g * RATIO(b, power(a, 1 - exponent))
    return g * (b * (a if exponent == 2 else power(a, exponent - 1)))


def _root_vjp(g: Expr, y: Expr, x: Expr) -> Expr:
    return RATIO(g, y) / 2 if _is_length(x) else g / (2 * y)


def _cbrt_vjp(g: Expr, y: Expr, x: Expr) -> Expr:
    return RATIO(g, 3 * square(y)) if _is_length(x) else g / (3 * square(y))


def _over_root(g: Expr, x: Expr) -> Expr:
    """Give ``g/√(1 - x²)``; at the ends of an x that does not go beyond them it is 0."""
    root = sqrt(1 - square(x))
    return RATIO(g, root) if _is_within_one(x) else g / root


def _power_of_exponent(g: Expr, y: Expr, a: Expr, _b: Expr) -> Expr:
    return g * (y * log(where(equal(a, 0), 1, a)))


power = elementwise_op(
    "power", "Raise to a power: ``x**y``.", _power_of_base, _power_of_exponent,
    numpy=Form("$0**$1", POWER, (ATOM, NEGATE)), text=Form("$0^$1", POWER, (ATOM, ATOM)),
    latex=Form("{$0}^{$1}", POWER, (ATOM, LOWEST)), dtype=like_ufunc("power"), domain=(POSITIVE, (-2.0, 3.0)),
    defined="x > 0, and x ≤ 0 where y is whole", kink="by y it is 0 at x = 0", **by_math("power", "pow", "x, y"),
)  # fmt: skip

sqrt = elementwise_op(
    "sqrt", "Give the square root.", _root_vjp,
    text=Form("√$0", POWER, (ATOM,)), latex=Form(r"\sqrt{$0}"), domain=[POSITIVE],
    defined="x ≥ 0",
    kink="infinite at x = 0, but 0 of each order where x is made not to be negative, of squares and absolute values as "
    "a norm is, or by maximum(…, 0); of powers of roots the derivative is that of one power", **by_math("sqrt"),
)  # fmt: skip

_CBRT = '''
def cbrt(x):
    """Real cube root."""
    return np.copysign(np.abs(x) ** (1.0 / 3.0), x)
'''
cbrt = elementwise_op(
    "cbrt", "Give the real cube root; d/dx = 1/(3 cbrt(x)²).", _cbrt_vjp,
    text=called("cbrt"), latex=Form(r"\sqrt[3]{$0}"), domain=[POSITIVE],
    kink="infinite at x = 0, but 0 where x is made not to be negative, as for sqrt",
    portable=called("cbrt"), portable_helper=_CBRT, **by_math("cbrt"),
)  # fmt: skip

_RATIO = '''
def ratio(x, y):
    """x / y, and 0 where y is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.divide(x, y)
    return np.where((y == 0) & (x == x), np.zeros((), q.dtype), q)[()]
'''
_PORTABLE_RATIO = '''
def ratio(x, y):
    """x / y, and 0 where y is 0."""
    q = x / y
    return np.where((y == 0) & (x == x), np.zeros_like(q), q)
'''
RATIO: Op = elementwise_op(
    "ratio", "Give x/y, and 0 where y is 0, as its derivatives are: what a length has for a slope at 0.",
    lambda g, _y, _a, b: RATIO(g, b), lambda g, y, _a, b: -RATIO(g * y, b), numpy=called("ratio", 2), helper=_RATIO,
    portable_helper=_PORTABLE_RATIO, text=Form("$0/$1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    latex=Form(r"\frac{$0}{$1}", MULTIPLY), dtype=like_ufunc("divide"), domain=(SMOOTH, POSITIVE),
    kink="0 at y = 0", public=False,
    **by_python("scalar_ratio", "return x / y if y else 0.0 if x == x else x", "x, y"),
)  # fmt: skip

hypot = function_op(
    "hypot", "Give the length √(x² + y²); d/dx = x/hypot(x, y).",
    lambda g, y, a, _b: g * RATIO(a, y), lambda g, y, _a, b: g * RATIO(b, y), dtype=like_ufunc("hypot"),
    notes="Nothing overflows on the way.", kink="0 of each order at x = y = 0", **by_math("hypot", names="x, y"),
)  # fmt: skip

# --- exponentials, logarithms, trigonometry -------------------------------------------------------------------

exp = function_op(
    "exp", "Give e to the power x; d/dx = exp(x).", lambda g, y, _x: g * y, latex=r"\exp", **by_math("exp")
)
expm1 = function_op(
    "expm1", "Give exp(x) - 1, accurate near 0; d/dx = exp(x).", lambda g, _y, x: g * exp(x), **by_math("expm1")
)
log = function_op(
    "log",
    "Give the natural logarithm; d/dx = 1/x.",
    lambda g, _y, x: g / x,
    latex=r"\log",
    domain=[POSITIVE],
    defined="x > 0",
    **by_math("log"),
)
log1p = function_op(
    "log1p",
    "Give log(1 + x), accurate near 0; d/dx = 1/(1 + x).",
    lambda g, _y, x: g / (1 + x),
    domain=[(-0.6, 2.0)],
    defined="x > −1",
    **by_math("log1p"),
)
_GAP = '''
def gap(x, y):
    """x - y, and 0 where both are infinite and equal."""
    with np.errstate(invalid="ignore"):
        d = np.subtract(x, y)
    return np.where(np.equal(x, y), np.zeros((), d.dtype), d)[()]
'''
_PORTABLE_GAP = '''
def gap(x, y):
    """x - y, and 0 where both are infinite and equal."""
    d = x - y
    return np.where(x == y, np.zeros_like(d), d)
'''
GAP = elementwise_op(
    "gap", "Give x - y, and 0 where both are infinite and equal: of two that tie each has half.",
    lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g, numpy=called("gap", 2), helper=_GAP,
    portable_helper=_PORTABLE_GAP, text=Form("$0 − $1", ADD, (ADD, ADD + 1)),
    latex=Form("$0 - $1", ADD, (ADD, ADD + 1)),
    dtype=like_ufunc("subtract"), public=False, **by_python("scalar_gap", "return x - y if x != y else 0.0", "x, y"),
)  # fmt: skip
_INFINITE_TIE = "½ where both are infinite and equal"
logaddexp = function_op(
    "logaddexp", "Give log(exp(x) + exp(y)); d/dx = σ(x - y).",
    lambda g, _y, a, b: g * sigmoid(GAP(a, b)), lambda g, _y, a, b: g * sigmoid(GAP(b, a)),
    dtype=like_ufunc("logaddexp"), notes="Nothing overflows, whatever x and y are.", kink=_INFINITE_TIE,
)  # fmt: skip
exp2 = elementwise_op(
    "exp2", "Give 2 to the power x; d/dx = log(2)·2^x.", lambda g, y, _x: g * (math.log(2) * y),
    portable=Form("2.0**$0", POWER, (ATOM, NEGATE)), text=Form("2^$0", POWER, (ATOM,)),
    latex=Form("2^{$0}", POWER), **by_math("exp2"),
)  # fmt: skip
log2 = function_op(
    "log2", "Give the logarithm to base 2; d/dx = 1/(x log(2)).", lambda g, _y, x: g / (math.log(2) * x),
    latex=r"\log_{2}", domain=[POSITIVE], defined="x > 0", **by_math("log2"),
)  # fmt: skip
log10 = function_op(
    "log10", "Give the logarithm to base 10; d/dx = 1/(x log(10)).", lambda g, _y, x: g / (math.log(10) * x),
    latex=r"\log_{10}", domain=[POSITIVE], defined="x > 0", **by_math("log10"),
)  # fmt: skip
logaddexp2 = function_op(
    "logaddexp2", "Give log2(2^x + 2^y); d/dx = 2^x/(2^x + 2^y).",
    lambda g, _y, a, b: g * sigmoid(math.log(2) * GAP(a, b)), lambda g, _y, a, b: g * sigmoid(math.log(2) * GAP(b, a)),
    dtype=like_ufunc("logaddexp2"), notes="Nothing overflows, whatever x and y are.", kink=_INFINITE_TIE,
    portable=Form(f"np.logaddexp({math.log(2)} * $0, {math.log(2)} * $1) / {math.log(2)}", MULTIPLY, (NEGATE, NEGATE)),
)  # fmt: skip
sin = function_op("sin", "Give the sine; d/dx = cos(x).", lambda g, _y, x: g * cos(x), latex=r"\sin", **by_math("sin"))
cos: Op = function_op(
    "cos", "Give the cosine; d/dx = -sin(x).", lambda g, _y, x: -(g * sin(x)), latex=r"\cos", **by_math("cos")
)
tan = function_op(
    "tan", "Give the tangent; d/dx = 1 + tan(x)².", lambda g, y, _x: g * (1 + square(y)), latex=r"\tan",
    domain=[(-1.2, 1.2)], defined="cos(x) ≠ 0", **by_math("tan"),
)  # fmt: skip
arcsin = function_op(
    "arcsin", "Give the angle in [-π/2, π/2] whose sine is x; d/dx = 1/√(1 - x²).",
    lambda g, _y, x: _over_root(g, x), latex=r"\arcsin", domain=[(-0.9, 0.9)], defined="|x| ≤ 1",
    kink="infinite at x = ±1, but 0 where x is clipped to them", **by_math("arcsin", "asin"),
)  # fmt: skip
arccos = function_op(
    "arccos", "Give the angle in [0, π] whose cosine is x; d/dx = -1/√(1 - x²).",
    lambda g, _y, x: -_over_root(g, x), latex=r"\arccos", domain=[(-0.9, 0.9)], defined="|x| ≤ 1",
    kink="infinite at x = ±1, but 0 where x is clipped to them", **by_math("arccos", "acos"),
)  # fmt: skip
arctan = function_op(
    "arctan", "Give the angle in (-π/2, π/2) whose tangent is x; d/dx = 1/(1 + x²).",
    lambda g, _y, x: g / (1 + square(x)), latex=r"\arctan", python=Form("math.atan($0)"),
)  # fmt: skip
arctan2 = function_op(
    "arctan2", "Give the angle in [-π, π] at which the point (y, x) stands: arctan2(y, x), the ordinate first.",
    lambda g, _y, a, b: g * RATIO(b, square(b) + square(a)), lambda g, _y, a, b: -(g * RATIO(a, square(b) + square(a))),
    dtype=like_ufunc("arctan2"), domain=(SMOOTH, POSITIVE), notes="d/dy = x/(x² + y²), d/dx = -y/(x² + y²).",
    kink="0 of each order at x = y = 0", python=Form("math.atan2($0, $1)"),
)  # fmt: skip
tanh = function_op(
    "tanh",
    "Give the hyperbolic tangent; d/dx = 1 - tanh(x)².",
    lambda g, y, _x: g * (1 - square(y)),
    latex=r"\tanh",
    python=Form("math.tanh($0)"),
)
sinh: Op = function_op(
    "sinh", "Give the hyperbolic sine; d/dx = cosh(x).", lambda g, _y, x: g * cosh(x), latex=r"\sinh", **by_math("sinh")
)
cosh: Op = function_op(
    "cosh",
    "Give the hyperbolic cosine; d/dx = sinh(x).",
    lambda g, _y, x: g * sinh(x),
    latex=r"\cosh",
    **by_math("cosh"),
)
arcsinh = function_op(
    "arcsinh",
    "Give the inverse hyperbolic sine; d/dx = 1/√(1 + x²).",
    lambda g, _y, x: g / sqrt(1 + square(x)),
    python=Form("math.asinh($0)"),
)
arccosh = function_op(
    "arccosh", "Give the inverse hyperbolic cosine; d/dx = 1/√(x² - 1).",
    lambda g, _y, x: g / sqrt(square(x) - 1), domain=[(1.2, 3.0)], defined="x ≥ 1", kink="infinite at x = 1",
    **by_math("arccosh", "acosh"),
)  # fmt: skip
arctanh = function_op(
    "arctanh", "Give the inverse hyperbolic tangent; d/dx = 1/(1 - x²).",
    lambda g, _y, x: g / (1 - square(x)), domain=[(-0.7, 0.7)], defined="|x| < 1", **by_math("arctanh", "atanh"),
)  # fmt: skip

_SINC_SLOPE = '''
def sinc_slope(x, order):
    """Derivative of sin(pi*x)/(pi*x): by its recurrence in the order, near 0 by its power series."""
    u = np.pi * x
    near = np.abs(u) < order + 1.0
    t, v = np.where(near, u, 0.0), np.where(near, 1.0, u)
    turns = np.sin(v), np.cos(v), 0.0 - np.sin(v), 0.0 - np.cos(v)
    far = turns[0] / v
    for n in range(1, order + 1):
        far = (turns[n % 4] - n * far) / v
    odd, series = order % 2, 0.0
    for k in range(11 + 2 * order, -1, -1):
        series = 1.0 / (order + odd + 2 * k + 1) - t * t * series / ((odd + 2 * k + 1) * (odd + 2 * k + 2))
    series = (series * t if odd else series) * (-1.0) ** ((order + odd) // 2)
    return np.pi**order * np.where(near, series, far)
'''
SINC_SLOPE: Op = elementwise_op(
    "sinc_slope", "Give the derivative of sin(πx)/(πx) of some order, πⁿ∫₀¹ tⁿ cos(πtx + nπ/2) dt.",
    lambda g, _y, x, *, order: g * sinc(x, order + 1), dtype=real, helper=_SINC_SLOPE,
    numpy=lambda params, _shapes: Form(f"sinc_slope($0, {params['order']})"),
    text=lambda params, _shapes: Form(f"sinc($0, {params['order']})"),
    latex=lambda params, _shapes: Form(
        rf"\operatorname{{sinc}}{primes(params['order'])}\left($0\right)"
    ),
    options={"order": 1}, public=False,
    cases=(Case(((5,),), {"order": 2}), Case(((5,),), {"order": 3}), Case(((5,),), {"order": 4})),
)  # fmt: skip
SINC = function_op("sinc", "Give sin(πx)/(πx).", lambda g, _y, x: g * sinc(x, 1), dtype=real, public=False)


def whole_order(what: str, order: Any) -> int:
    """Check that an order is a whole number.

    Raises:
        ArgumentError: it is none, or negative.
    """
    if not hasattr(order, "__index__") or order < 0:
        msg = f"{what}: an order is a whole number from 0, not {order!r}"
        raise ArgumentError(msg)
    return int(order)


def primes(order: int) -> str:
    """Write the order of a derivative in LaTeX, behind the function."""
    return "'" * order if order < 4 else f"^{{({order})}}"


def sinc(x: Operand, order: int = 0) -> Expr:
    """Give ``sin(πx)/(πx)``, which is 1 at 0, or its derivative of some order, to a few units of rounding everywhere.

    The derivative of order n is ``πⁿ ∫₀¹ tⁿ cos(πtx + nπ/2) dt``: no digits cancel, near 0 either.

    Args:
        x: the operand.
        order: how often it is differentiated.

    Raises:
        ArgumentError: the order is no whole number from 0.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.grad(sb.sinc(x), x))
    sinc(x, 1)
    """
    times = whole_order("sinc", order)
    return SINC_SLOPE(x, order=times) if times else SINC(x)


# --- kinks, masks, choices ------------------------------------------------------------------------------------

abs = elementwise_op(
    "abs", "Give the absolute value; d/dx = sign(x).", lambda g, _y, x: g * sign(x), kink="0 at x = 0",
    text=Form("|$0|"), latex=Form(r"\left|$0\right|"), dtype=promoted, kinks=(0.0,), python=Form("abs($0)"),
)  # fmt: skip
sign: Op = function_op(
    "sign",
    "Give -1, 0 or 1; its derivative is zero almost everywhere.",
    None,
    dtype=like_ufunc("sign"),
    kinks=(0.0,),
    kink="0 at x = 0 too",
    **by_python("scalar_sign", """return float(x > 0) - float(x < 0) if x == x else x"""),
)
maximum = function_op(
    "maximum", "Give the larger of two.",
    lambda g, _y, a, b: g * (a >= b), lambda g, _y, a, b: g * (a < b), kink="where x = y all of it goes to x",
    latex=r"\max", dtype=like_ufunc("maximum"),
    **by_python("scalar_maximum", "return x if x >= y or x != x else y", "x, y"),
)  # fmt: skip
minimum = function_op(
    "minimum", "Give the smaller of two.",
    lambda g, _y, a, b: g * (a <= b), lambda g, _y, a, b: g * (a > b), kink="where x = y all of it goes to x",
    latex=r"\min", dtype=like_ufunc("minimum"),
    **by_python("scalar_minimum", "return x if x <= y or x != x else y", "x, y"),
)  # fmt: skip


def _rounded(name: str, meaning: str, latex: str) -> Op:
    return elementwise_op(
        name, f"{meaning}; its derivative is zero almost everywhere.", None, text=called(name), latex=Form(latex),
        dtype=like_ufunc(name), kink="0 at whole x too",
    )  # fmt: skip


floor: Op = _rounded("floor", "Round down to a whole number", r"\left\lfloor $0\right\rfloor")
ceil: Op = _rounded("ceil", "Round up to a whole number", r"\left\lceil $0\right\rceil")
trunc: Op = _rounded("trunc", "Round towards zero to a whole number", r"\operatorname{trunc}\left($0\right)")
rint: Op = _rounded(
    "rint", "Round to the nearest whole number, to the even one of two", r"\operatorname{rint}\left($0\right)"
)
isnan = function_op("isnan", "Tell where it is NaN, no number.", None, dtype=boolean)

_PORTABLE_FMAX = """
def {name}(x, y):
    \"\"\"The {meaning} of two, and where one is NaN the other.\"\"\"
    return np.where(np.isnan(x), y, np.where(np.isnan(y), x, np.{function}(x, y)))
"""
fmax = function_op(
    "fmax", "Give the larger of two, and where one is NaN the other.",
    lambda g, _y, a, b: g * logical_or(a >= b, isnan(b)), lambda g, _y, a, b: g * logical_or(a < b, isnan(a)),
    dtype=like_ufunc("fmax"), kink="where x = y all of it goes to x", portable=called("fmax", 2),
    portable_helper=_PORTABLE_FMAX.format(name="fmax", meaning="larger", function="maximum"),
)  # fmt: skip
fmin = function_op(
    "fmin", "Give the smaller of two, and where one is NaN the other.",
    lambda g, _y, a, b: g * logical_or(a <= b, isnan(b)), lambda g, _y, a, b: g * logical_or(a > b, isnan(a)),
    dtype=like_ufunc("fmin"), kink="where x = y all of it goes to x", portable=called("fmin", 2),
    portable_helper=_PORTABLE_FMAX.format(name="fmin", meaning="smaller", function="minimum"),
)  # fmt: skip
copysign: Op = function_op(
    "copysign", "Give |x| with the sign of y.", lambda g, _y, a, b: g * (sign(a) * copysign(1, b)), None,
    dtype=like_ufunc("copysign"), kinks=(0.0,), kink="0 at x = 0", python=Form("math.copysign($0, $1)"),
)  # fmt: skip
heaviside = function_op(
    "heaviside", "Give 1 where x is positive, 0 where it is negative, and y where it is 0.",
    None, lambda g, _y, a, _b: g * equal(a, 0), dtype=like_ufunc("heaviside"), kinks=(0.0,), kink="0 by x at x = 0",
)  # fmt: skip


def _comparison(name: str, sign: str, words: str, *, text: str | None = None, latex: str | None = None) -> Op:
    return elementwise_op(
        name, f"Tell where x {words} y, as bools.", None, None,
        numpy=Form(f"$0 {sign} $1", COMPARE, (ADD, ADD)), text=Form(f"$0 {text or sign} $1", COMPARE, (ADD, ADD)),
        latex=Form(f"$0 {latex or sign} $1", COMPARE, (ADD, ADD)), dtype=boolean,
        python=Form(f"$0 {sign} $1", COMPARE, (ADD, ADD)),
    )  # fmt: skip


greater = _comparison("greater", ">", "is greater than")
greater_equal = _comparison("greater_equal", ">=", "is at least", text="≥", latex=r"\ge")
less = _comparison("less", "<", "is less than")
less_equal = _comparison("less_equal", "<=", "is at most", text="≤", latex=r"\le")
equal: Op = _comparison("equal", "==", "equals", text="=", latex="=")
not_equal = _comparison("not_equal", "!=", "differs from", text="≠", latex=r"\ne")

logical_and: Op = elementwise_op(
    "logical_and", "Tell where both hold.", None, None, dtype=boolean,
    text=Form("$0 ∧ $1", LOGIC, (LOGIC, LOGIC)), latex=Form(r"$0 \land $1", LOGIC, (LOGIC, LOGIC)),
    python=Form("bool($0 and $1)", ATOM, (LOGIC, LOGIC)),
)  # fmt: skip
logical_or: Op = elementwise_op(
    "logical_or", "Tell where one holds at least.", None, None, dtype=boolean,
    text=Form("$0 ∨ $1", LOGIC, (LOGIC + 1, LOGIC + 1)), latex=Form(r"$0 \lor $1", LOGIC, (LOGIC + 1, LOGIC + 1)),
    python=Form("bool($0 or $1)", ATOM, (LOGIC, LOGIC)),
)  # fmt: skip
logical_xor = function_op(
    "logical_xor", "Tell where one holds and the other does not.", None, None, dtype=boolean,
    latex=r"\operatorname{xor}", python=Form("(bool($0) != bool($1))", ATOM),
)  # fmt: skip
logical_not = elementwise_op(
    "logical_not", "Tell where it does not hold.", None, dtype=boolean,
    text=Form("¬$0", POWER, (ATOM,)), latex=Form(r"\lnot $0", POWER, (ATOM,)),
    python=Form("(not $0)"),
)  # fmt: skip


where: Op = function_op(
    "where", "Choose elementwise: the second operand where the first holds, else the third.",
    None, lambda g, _y, c, _a, _b: where(c, g, 0), lambda g, _y, c, _a, _b: where(c, 0, g),
    dtype=lambda _condition, *kinds, **_: promoted(*kinds),
    python=Form("$1 if $0 else $2", LOWEST, (COMPARE, COMPARE, COMPARE)),
    notes="The branch that is not chosen contributes exactly nothing to the derivative.",
)  # fmt: skip

_STEP_FORMS = {0.0: "$0 > 0", 1.0: "$0 >= 0"}


def _step_form(mark: str, function: str) -> Notation:
    def notation(params: Params, _shapes: tuple[Shape, ...]) -> Form:
        form = _STEP_FORMS.get(params["at_zero"])
        if form is None:
            return Form(f"{function}, {params['at_zero']})")
        return Form(form.replace(">=", mark), COMPARE, (ADD,))

    return notation


STEP = elementwise_op(
    "step", "Give 1 where x is positive and 0 where it is negative.", None,
    numpy=lambda params, _shapes: Form(f"np.heaviside($0, {params['at_zero']!r})"),
    text=_step_form("≥", "step($0"), latex=_step_form(r"\ge", r"\operatorname{step}\left($0"),
    dtype=real, kinks=(0.0,), kink="0 at x = 0 too", options={"at_zero": 0.0},
)  # fmt: skip


def step(x: Operand, at_zero: float = 0.0) -> Expr:
    """Give the binary step: 1 where x is positive, 0 where it is negative, `at_zero` at 0.

    Its derivative is zero almost everywhere: nothing can be learnt through it, and `grad` warns.

    >>> import symbackprop as sb
    >>> sb.step(sb.symbol("x", "N")).shape
    (N,)
    """
    return STEP(x, at_zero=float(at_zero))


def _relu_vjp(g: Expr, _y: Expr, x: Expr, *, slope_at_zero: float) -> Expr:
    if slope_at_zero in {0.0, 1.0}:
        return g * (x >= 0 if slope_at_zero else x > 0)
    return g * step(x, slope_at_zero)


RELU = elementwise_op(
    "relu", "Give max(0, x).", _relu_vjp,
    numpy=Form("np.maximum($0, 0.0)"), python=Form("max($0, 0.0)"),
    text=called("relu"), latex=Form(r"\operatorname{relu}\left($0\right)"),
    dtype=real, kinks=(0.0,), kink="slope_at_zero at x = 0, which is 0 unless told", options={"slope_at_zero": 0.0},
)  # fmt: skip


def relu(x: Operand, slope_at_zero: float = 0.0) -> Expr:
    """Give the rectified linear unit ``max(0, x)``; d/dx is 1 where x > 0 and 0 where x < 0.

    Args:
        x: the operand.
        slope_at_zero: the subgradient at the kink; 0 is the derivative from the left, 1 from the right.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.grad(sb.relu(x), x))
    [x > 0]
    """
    return RELU(x, slope_at_zero=float(slope_at_zero))


def leaky_relu(x: Operand, slope: float = 0.01) -> Expr:
    """Give ``x`` where it is positive, else ``slope*x``: max(0, x) + slope*min(x, 0); at 0 the derivative is the slope.

    >>> import symbackprop as sb
    >>> sb.leaky_relu(sb.symbol("x", "N")).shape
    (N,)
    """
    return prelu(x, slope)


def prelu(x: Operand, slope: Operand) -> Expr:
    """Give ``max(0, x) + slope*min(x, 0)`` with a slope that can be learnt; its derivative is min(x, 0).

    At 0 the derivative by x is the slope, the derivative from the left.

    >>> import symbackprop as sb
    >>> x, a = sb.symbols("x a")
    >>> print(sb.grad(sb.prelu(x, a), a))
    minimum(x, 0)
    """
    return maximum(0, x) + slope * minimum(x, 0)


def clip(
    x: Operand,
    a_min: Operand | None = None,
    a_max: Operand | None = None,
    *,
    min: Operand | None = None,
    max: Operand | None = None,
) -> Expr:
    """Limit to an interval: ``min(max(x, a_min), a_max)``; the derivative is 0 outside, 1 inside and at both ends.

    Args:
        x: the operand.
        a_min: the lower end; None for no such end.
        a_max: the upper end; None for no such end.
        min: another name for a_min, which must not be given then.
        max: another name for a_max.

    Raises:
        ArgumentError: an end is given by both of its names.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.clip(x, 0, 1), sb.clip(x, max=1))
    minimum(maximum(x, 0), 1) minimum(x, 1)
    """
    if (min is not None or max is not None) and (a_min is not None or a_max is not None):
        msg = "clip: the ends are given as a_min and a_max or as min and max, not as both"
        raise ArgumentError(msg)
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    above = positive(x) if low is None else maximum(x, low)
    return above if high is None else minimum(above, high)


def are_bools(*operands: Operand) -> bool:
    """Tell whether all operands are of bools."""
    return bool(np.result_type(*map(kind_of, operands)).kind == "b")


def select(condlist: Sequence[Operand], choicelist: Sequence[Operand], default: Operand = 0) -> Expr:
    """Choose elementwise: of the first choice whose condition holds, else the default.

    Args:
        condlist: conditions, bools.
        choicelist: one for each condition.
        default: taken where no condition holds.

    Raises:
        ArgumentError: not as many choices as conditions, or none.
        DtypeError: a condition is not of bools.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.select([x < 0, x > 1], [-x, x**2]))
    where(x < 0, −x, where(x > 1, x², 0))
    """
    if not condlist or len(condlist) != len(choicelist):
        msg = f"select takes as many choices as conditions, not {len(choicelist)} and {len(condlist)}"
        raise ArgumentError(msg)
    kind = promoted(*map(kind_of, (*choicelist, default)))
    chosen = default if isinstance(default, Expr) else constant(default, kind)
    for condition, choice in reversed([*zip(condlist, choicelist, strict=True)]):
        if not are_bools(condition):
            msg = f"select: the condition {described(condition)} is not of bools: compare first"
            raise DtypeError(msg)
        chosen = where(condition, choice, chosen)
    return chosen


def piecewise(x: Operand, condlist: Sequence[Operand], funclist: Sequence[Any], *args: Any, **kwargs: Any) -> Expr:
    """Define a function by pieces: of the last piece whose condition holds; 0, or the one piece more, where none does.

    Every function is called with all of x, and what it gives where its condition does not hold is not chosen.

    Args:
        x: the operand, whose dtype the result has.
        condlist: conditions, bools, or one of them.
        funclist: functions or values, one for each condition, and perhaps one for where none holds.
        args: handed on to the functions.
        kwargs: handed on to the functions.

    Raises:
        ArgumentError: another number of functions.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.piecewise(x, [x < 0, x >= 0], [lambda x: -x, lambda x: x**2]))
    where(x ≥ 0, x², where(x < 0, −x, 0))
    """
    point = as_expr(x)
    conditions: list[Operand] = [*condlist] if isinstance(condlist, list | tuple) else [condlist]  # type: ignore[list-item]  # a Sequence is one of these
    if len(funclist) - len(conditions) not in {0, 1}:
        msg = f"piecewise takes {len(conditions)} or {len(conditions) + 1} functions, not {len(funclist)}"
        raise ArgumentError(msg)
    pieces = [piece(point, *args, **kwargs) if callable(piece) else piece for piece in funclist]
    found, *rest = [
        astype(piece, point.dtype) if isinstance(piece, Expr) else literal(piece, point.dtype, graph=point.graph)
        for piece in ([0] * (len(pieces) == len(conditions)) + pieces[len(conditions) :] + pieces[: len(conditions)])
    ]
    for condition, piece in zip(conditions, rest, strict=True):
        found = where(condition, piece, found)
    return found


_SIGMOID = '''
def sigmoid(z):
    """1 / (1 + exp(-z)) as e / (1 + e), e = exp(z); beyond 40 that is 1, and e need not overflow."""
    z = np.minimum(z, 40.0)
    e = np.exp(z if z.itemsize > 2 else np.minimum(z, 11.0))  # in half precision it is 1 beyond 8
    return e / (1.0 + e)
'''
_PORTABLE_SIGMOID = '''
def sigmoid(z):
    """1 / (1 + exp(-z)), written so that nothing overflows."""
    return np.exp(np.minimum(z, 0.0)) / (1.0 + np.exp(0.0 - np.abs(z)))
'''

sigmoid: Op = function_op(
    "sigmoid", "Give the logistic function 1/(1 + exp(-x)); d/dx = σ(x)(1 - σ(x)).",
    lambda g, y, _x: g * (y * (1 - y)), text="σ", latex=r"\sigma", numpy=called("sigmoid"), helper=_SIGMOID,
    portable_helper=_PORTABLE_SIGMOID,
    dtype=real, notes="Nothing overflows, whatever x is.",
    **by_python("scalar_sigmoid", "e = math.exp(-abs(x))\nreturn (1.0 if x >= 0.0 else e) / (1.0 + e)"),
)  # fmt: skip
_SOFTPLUS = '''
def softplus(z):
    """log(1 + exp(z)), written so that nothing overflows."""
    return np.maximum(z, 0.0) + np.log1p(np.exp(0.0 - np.abs(z)))
'''
softplus = function_op(
    "softplus", "Give log(1 + exp(x)); d/dx = σ(x).", lambda g, _y, x: g * sigmoid(x),
    numpy=called("softplus"), helper=_SOFTPLUS, dtype=real, notes="Nothing overflows, whatever x is.",
    python=Form("(max($0, 0.0) + math.log1p(math.exp(-abs($0))))", ATOM, (ATOM,)),
)  # fmt: skip

# --- conversion -----------------------------------------------------------------------------------------------

ASTYPE = elementwise_op(
    "astype", "Convert to another dtype.", lambda g, _y, x, *, dtype: astype(g, x.dtype),
    numpy=lambda params, _shapes: Form(f"np.asarray($0).astype(np.{params['dtype'].name})"),
    text=lambda params, _shapes: Form(f"{params['dtype'].name}($0)"),
    latex=lambda params, _shapes: Form(rf"\mathrm{{{params['dtype'].name}}}\left($0\right)"),
    dtype=lambda _kind, *, dtype: dtype, parameters='"float32"', options={"dtype": np.dtype("float64")},
)  # fmt: skip


def astype(x: Operand, dtype: Any) -> Expr:
    """Convert to another dtype; the cotangent is converted back.

    >>> import symbackprop as sb
    >>> sb.symbol("x", dtype="int64").astype("float32").dtype
    dtype('float32')
    """
    if isinstance(x, Expr) and x.dtype is dtype:  # as a rule, where a walker asks
        return x
    kind = check_dtype(dtype, "astype")
    return x if isinstance(x, Expr) and x.dtype == kind else apply(ASTYPE, x, dtype=kind)


def as_real(x: Operand) -> Expr:
    """Convert to floats what is none: integers and bools become float64."""
    expr = as_expr(x)
    return astype(expr, real(expr.dtype))


# --- second names: NumPy's, for the same functions --------------------------------------------------------------

absolute, mod, pow, true_divide = abs, remainder, power, divide
acos, acosh, asin, asinh, atan, atan2, atanh = arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh
