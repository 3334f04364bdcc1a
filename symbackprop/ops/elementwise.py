"""The elementwise operations: one statement each.

A derivative rule gets ``(g, y, *xs)``: the cotangent of the output, the output, the operands. Rules are written with
the operations themselves, so derivatives of every order come for free; broadcasting is undone by the walker.
At a kink the rule gives the one-sided derivative that its docstring names.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape
from symbackprop.errors import DtypeError
from symbackprop.expr import Expr, Operand
from symbackprop.op import (
    ADD,
    ATOM,
    COMPARE,
    LOGIC,
    LOWEST,
    MINUS,
    MULTIPLY,
    NEGATE,
    POWER,
    Dtype,
    Form,
    Notation,
    Op,
    Params,
    Vjp,
    apply,
    check_dtype,
    scalar_value,
)

__all__ = [
    "abs",
    "add",
    "arcsinh",
    "arctanh",
    "astype",
    "clip",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor_divide",
    "greater",
    "greater_equal",
    "leaky_relu",
    "less",
    "less_equal",
    "log",
    "log1p",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "prelu",
    "relu",
    "remainder",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "step",
    "subtract",
    "tanh",
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


def _doc(name: str, meaning: str, arity: int, notes: str, parameters: str) -> str:
    arguments = ["x", "y", "z"][:arity]
    call = f"sb.{name}({', '.join(arguments)}{parameters and ', '}{parameters})"
    shaped = " ".join(f"{argument}[N]" for argument in arguments)
    target = ", ".join(arguments) + ("," if arity == 1 else "")
    return (
        f"{meaning}\n\n{notes}{chr(10) * 2 if notes else ''}"
        f"Acts on each element; operands broadcast, and the result has their common shape.\n\n"
        f">>> import symbackprop as sb\n>>> {target} = sb.symbols({shaped!r})\n>>> {call}.shape\n(N,)\n"
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
    **rest: Any,
) -> Op:
    """State an op; one that is not public is made by rewriting, and its documentation has no example."""
    arity = len(vjps)
    arguments = ", ".join(f"${position}" for position in range(arity))
    notes += f" Defined for {rest['defined']}." if rest.get("defined") else ""
    notes += f" Derivative: {rest['kink']}." if rest.get("kink") else ""
    return Op(
        name=name,
        doc=_doc(name, meaning, arity, notes.strip(), parameters) if public else meaning,
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
    latex = latex or rf"\operatorname{{{name}}}"
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
    dtype=like_ufunc("divide"), domain=(SMOOTH, POSITIVE),
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
    dtype=like_ufunc("floor_divide"), domain=(SMOOTH, POSITIVE),
)  # fmt: skip

remainder = elementwise_op(
    "remainder", "Give the remainder of the floor division: ``x - y*(x//y)``, with the sign of y.",
    lambda g, _y, _a, _b: g, lambda g, _y, a, b: -(g * floor_divide(a, b)),
    numpy=Form("$0 % $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("$0 mod $1", MINUS, (MULTIPLY, MULTIPLY)),
    latex=Form(r"$0 \bmod $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    dtype=like_ufunc("remainder"), domain=((0.2, 0.9), (1.1, 1.9)),
)  # fmt: skip

negative = elementwise_op(
    "negative", "Negate: ``-x``.", lambda g, _y, _x: -g,
    numpy=Form("-$0", NEGATE, (NEGATE,)), text=Form("−$0", MINUS, (MULTIPLY,)), latex=Form("-$0", MINUS, (MULTIPLY,)),
    dtype=like_ufunc("negative"), python=Form("-$0", NEGATE, (NEGATE,)),
)  # fmt: skip

square = elementwise_op(
    "square", "Square: ``x²``.", lambda g, _y, x: g * (2 * x),
    text=Form("$0²", POWER, (ATOM,)), latex=Form("{$0}^{2}", POWER, (ATOM,)), dtype=like_ufunc("square"),
    python=Form("$0 * $0", MULTIPLY, (ATOM,)),
)  # fmt: skip


def _power_of_base(g: Expr, _y: Expr, a: Expr, b: Expr) -> Expr:
    exponent = scalar_value(b)
    if exponent is None:  # at a = b = 0 the factor b is to win against 0**-1
        return g * (b * power(a, where(equal(b, 0), 1, b - 1)))
    if exponent in {0, 1}:
        return g if exponent else g * 0
    return g * (b * (a if exponent == 2 else power(a, exponent - 1)))


def _power_of_exponent(g: Expr, y: Expr, a: Expr, _b: Expr) -> Expr:
    return g * (y * log(where(equal(a, 0), 1, a)))


power = elementwise_op(
    "power", "Raise to a power: ``x**y``.", _power_of_base, _power_of_exponent,
    numpy=Form("$0**$1", POWER, (ATOM, NEGATE)), text=Form("$0^$1", POWER, (ATOM, ATOM)),
    latex=Form("{$0}^{$1}", POWER, (ATOM, LOWEST)), dtype=like_ufunc("power"), domain=(POSITIVE, (-2.0, 3.0)),
    defined="x > 0, and x ≤ 0 where y is whole", kink="by y it is 0 at x = 0", **by_math("power", "pow", "x, y"),
)  # fmt: skip

sqrt = elementwise_op(
    "sqrt", "Give the square root.", lambda g, y, _x: g / (2 * y),
    text=Form("√$0", POWER, (ATOM,)), latex=Form(r"\sqrt{$0}"), domain=[POSITIVE],
    defined="x ≥ 0", kink="infinite at x = 0", **by_math("sqrt"),
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
    **by_math("log"),
)
log1p = function_op(
    "log1p",
    "Give log(1 + x), accurate near 0; d/dx = 1/(1 + x).",
    lambda g, _y, x: g / (1 + x),
    domain=[(-0.6, 2.0)],
    **by_math("log1p"),
)
logaddexp = function_op(
    "logaddexp", "Give log(exp(x) + exp(y)); d/dx = σ(x - y).",
    lambda g, _y, a, b: g * sigmoid(a - b), lambda g, _y, a, b: g * sigmoid(b - a),
    dtype=like_ufunc("logaddexp"), notes="Nothing overflows, whatever x and y are.",
)  # fmt: skip
sin = function_op("sin", "Give the sine; d/dx = cos(x).", lambda g, _y, x: g * cos(x), latex=r"\sin", **by_math("sin"))
cos: Op = function_op(
    "cos", "Give the cosine; d/dx = -sin(x).", lambda g, _y, x: -(g * sin(x)), latex=r"\cos", **by_math("cos")
)
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
arctanh = function_op(
    "arctanh", "Give the inverse hyperbolic tangent; d/dx = 1/(1 - x²).",
    lambda g, _y, x: g / (1 - square(x)), domain=[(-0.7, 0.7)], **by_math("arctanh", "atanh"),
)  # fmt: skip

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
equal = _comparison("equal", "==", "equals", text="=", latex="=")
not_equal = _comparison("not_equal", "!=", "differs from", text="≠", latex=r"\ne")

logical_and = elementwise_op(
    "logical_and", "Tell where both hold.", None, None, dtype=boolean,
    text=Form("$0 ∧ $1", LOGIC, (LOGIC, LOGIC)), latex=Form(r"$0 \land $1", LOGIC, (LOGIC, LOGIC)),
    python=Form("bool($0 and $1)", ATOM, (LOGIC, LOGIC)),
)  # fmt: skip
logical_or = elementwise_op(
    "logical_or", "Tell where one holds at least.", None, None, dtype=boolean,
    text=Form("$0 ∨ $1", LOGIC, (LOGIC + 1, LOGIC + 1)), latex=Form(r"$0 \lor $1", LOGIC, (LOGIC + 1, LOGIC + 1)),
    python=Form("bool($0 or $1)", ATOM, (LOGIC, LOGIC)),
)  # fmt: skip
logical_not = elementwise_op(
    "logical_not", "Tell where it does not hold.", None, dtype=boolean,
    text=Form("¬$0", POWER, (ATOM,)), latex=Form(r"\lnot $0", POWER, (ATOM,)),
    python=Form("(not $0)"),
)  # fmt: skip


def _chosen(condition: Any, *kinds: Any, **_: Any) -> Dtype:
    if isinstance(condition, bool):
        msg = (
            f"the condition is Python's {condition}: == tells whether two expressions are the same one; "
            "to compare their values write sb.equal(x, y)"
        )
        raise DtypeError(msg)
    return promoted(*kinds)


where: Op = function_op(
    "where", "Choose elementwise: the second operand where the first holds, else the third.",
    None, lambda g, _y, c, _a, _b: where(c, g, 0), lambda g, _y, c, _a, _b: where(c, 0, g),
    dtype=_chosen, python=Form("$1 if $0 else $2", LOWEST, (COMPARE, COMPARE, COMPARE)),
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
    dtype=real, kinks=(0.0,), options={"at_zero": 0.0},
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
    dtype=real, kinks=(0.0,), options={"slope_at_zero": 0.0},
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
    """Give ``x`` where it is positive, else ``slope*x``: max(0, x) + slope*min(x, 0).

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


def clip(x: Operand, low: Operand, high: Operand) -> Expr:
    """Limit to an interval: ``min(max(x, low), high)``; the derivative is 0 outside, 1 inside and at both ends.

    >>> import symbackprop as sb
    >>> sb.clip(sb.symbol("x", "N"), 0, 1).shape
    (N,)
    """
    return minimum(maximum(x, low), high)


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
