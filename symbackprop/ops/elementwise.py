"""The elementwise operations: one statement each.

A derivative rule gets ``(g, y, *xs)``: the cotangent of the output, the output, the operands. Rules are written with
the operations themselves, so derivatives of every order come for free; broadcasting is undone by the walker.
At a kink the rule gives the one-sided derivative that its docstring names.
"""

from __future__ import annotations

import math
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
    "erf",
    "erfc",
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
    "log_ndtr",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "maximum",
    "minimum",
    "multiply",
    "ndtr",
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

_SMOOTH = (-2.0, 2.0)
_POSITIVE = (0.3, 3.0)


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


def _like_ufunc(name: str) -> Callable[..., Dtype]:
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


def _elementwise(
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
        domain=tuple(domain) or (_SMOOTH,) * arity,
        **rest,
    )


def _called(name: str, arity: int = 1) -> Form:
    return Form(f"{name}({', '.join(f'${position}' for position in range(arity))})")


def _function(
    name: str, meaning: str, *vjps: Vjp | None, text: str | None = None, latex: str | None = None, **rest: Any
) -> Op:
    """State an op that is written like a function call."""
    arguments = ", ".join(f"${position}" for position in range(len(vjps)))
    latex = latex or rf"\operatorname{{{name}}}"
    return _elementwise(
        name,
        meaning,
        *vjps,
        text=_called(text or name, len(vjps)),
        latex=Form(rf"{latex}\left({arguments}\right)"),
        **rest,
    )


def _scalar(function: str, body: str, names: str = "x") -> dict[str, Any]:
    """State how Python computes it for floats: by a function of its own."""
    places = ", ".join(f"${position}" for position in range(names.count(",") + 1))
    source = f"\ndef {function}({names}):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    return {"python": Form(f"{function}({places})"), "python_helper": source}


def _math(name: str, function: str | None = None, names: str = "x") -> dict[str, Any]:
    """State that `math` has it for floats, but raises where NumPy gives infinities and NaN."""
    function = function or name
    body = f'''
        """math.{function}, and where that raises what NumPy gives."""
        try:
            return math.{function}({names})
        except (OverflowError, ValueError):
            return float(np.{name}({names}))
    '''
    return _scalar(f"scalar_{name}", body, names)


def _infix(
    name: str, meaning: str, *vjps: Vjp | None, sign: str, latex: str, level: int, text: str | None = None, **rest: Any
) -> Op:
    """State a binary op that is written between its operands."""
    return _elementwise(
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
    sign="+", latex="+", level=ADD, dtype=_like_ufunc("add"), python=Form("$0 + $1", ADD, (ADD, ADD + 1)),
)  # fmt: skip

subtract = _infix(
    "subtract", "Subtract: ``x - y``.", lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g,
    sign="-", text="−", latex="-", level=ADD, dtype=_like_ufunc("subtract"),
    python=Form("$0 - $1", ADD, (ADD, ADD + 1)),
)  # fmt: skip


def _product_text(dot: str, circle: str) -> Notation:
    """Write a product: a dot if one factor is a number, a circle for the elementwise product of arrays."""

    def notation(_params: Params, shapes: tuple[Shape, ...]) -> Form:
        mark = circle if shapes[0] and shapes[1] else dot
        return Form(f"$0{mark}$1", MULTIPLY, (MULTIPLY, MULTIPLY))

    return notation


multiply = _elementwise(
    "multiply", "Multiply elementwise: ``x * y``.", lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a,
    numpy=Form("$0 * $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=_product_text("·", " ⊙ "), latex=_product_text(r" \, ", r" \odot "), dtype=_like_ufunc("multiply"),
    python=Form("$0 * $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
)  # fmt: skip

divide = _elementwise(
    "divide", "Divide elementwise: ``x / y``.", lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -(g * (y / b)),
    numpy=Form("$0 / $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("$0/$1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)), latex=Form(r"\frac{$0}{$1}", MULTIPLY),
    dtype=_like_ufunc("divide"), domain=(_SMOOTH, _POSITIVE),
    **_scalar(
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

floor_divide = _elementwise(
    "floor_divide", "Divide and round down: ``x // y``; its derivative is zero almost everywhere.", None, None,
    numpy=Form("$0 // $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("⌊$0/$1⌋", ATOM, (MULTIPLY, MULTIPLY + 1)), latex=Form(r"\left\lfloor\frac{$0}{$1}\right\rfloor"),
    dtype=_like_ufunc("floor_divide"), domain=(_SMOOTH, _POSITIVE),
)  # fmt: skip

remainder = _elementwise(
    "remainder", "Give the remainder of the floor division: ``x - y*(x//y)``, with the sign of y.",
    lambda g, _y, _a, _b: g, lambda g, _y, a, b: -(g * floor_divide(a, b)),
    numpy=Form("$0 % $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    text=Form("$0 mod $1", MINUS, (MULTIPLY, MULTIPLY)),
    latex=Form(r"$0 \bmod $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1)),
    dtype=_like_ufunc("remainder"), domain=((0.2, 0.9), (1.1, 1.9)),
)  # fmt: skip

negative = _elementwise(
    "negative", "Negate: ``-x``.", lambda g, _y, _x: -g,
    numpy=Form("-$0", NEGATE, (NEGATE,)), text=Form("−$0", MINUS, (MULTIPLY,)), latex=Form("-$0", MINUS, (MULTIPLY,)),
    dtype=_like_ufunc("negative"), python=Form("-$0", NEGATE, (NEGATE,)),
)  # fmt: skip

square = _elementwise(
    "square", "Square: ``x²``.", lambda g, _y, x: g * (2 * x),
    text=Form("$0²", POWER, (ATOM,)), latex=Form("{$0}^{2}", POWER, (ATOM,)), dtype=_like_ufunc("square"),
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


power = _elementwise(
    "power", "Raise to a power: ``x**y``.", _power_of_base, _power_of_exponent,
    numpy=Form("$0**$1", POWER, (ATOM, NEGATE)), text=Form("$0^$1", POWER, (ATOM, ATOM)),
    latex=Form("{$0}^{$1}", POWER, (ATOM, LOWEST)), dtype=_like_ufunc("power"), domain=(_POSITIVE, (-2.0, 3.0)),
    defined="x > 0, and x ≤ 0 where y is whole", kink="by y it is 0 at x = 0", **_math("power", "pow", "x, y"),
)  # fmt: skip

sqrt = _elementwise(
    "sqrt", "Give the square root.", lambda g, y, _x: g / (2 * y),
    text=Form("√$0", POWER, (ATOM,)), latex=Form(r"\sqrt{$0}"), domain=[_POSITIVE],
    defined="x ≥ 0", kink="infinite at x = 0", **_math("sqrt"),
)  # fmt: skip

# --- exponentials, logarithms, trigonometry -------------------------------------------------------------------

exp = _function("exp", "Give e to the power x; d/dx = exp(x).", lambda g, y, _x: g * y, latex=r"\exp", **_math("exp"))
expm1 = _function(
    "expm1", "Give exp(x) - 1, accurate near 0; d/dx = exp(x).", lambda g, _y, x: g * exp(x), **_math("expm1")
)
log = _function(
    "log",
    "Give the natural logarithm; d/dx = 1/x.",
    lambda g, _y, x: g / x,
    latex=r"\log",
    domain=[_POSITIVE],
    **_math("log"),
)
log1p = _function(
    "log1p",
    "Give log(1 + x), accurate near 0; d/dx = 1/(1 + x).",
    lambda g, _y, x: g / (1 + x),
    domain=[(-0.6, 2.0)],
    **_math("log1p"),
)
logaddexp = _function(
    "logaddexp", "Give log(exp(x) + exp(y)); d/dx = σ(x - y).",
    lambda g, _y, a, b: g * sigmoid(a - b), lambda g, _y, a, b: g * sigmoid(b - a),
    dtype=_like_ufunc("logaddexp"), notes="Nothing overflows, whatever x and y are.",
)  # fmt: skip
sin = _function("sin", "Give the sine; d/dx = cos(x).", lambda g, _y, x: g * cos(x), latex=r"\sin", **_math("sin"))
cos: Op = _function(
    "cos", "Give the cosine; d/dx = -sin(x).", lambda g, _y, x: -(g * sin(x)), latex=r"\cos", **_math("cos")
)
tanh = _function(
    "tanh",
    "Give the hyperbolic tangent; d/dx = 1 - tanh(x)².",
    lambda g, y, _x: g * (1 - square(y)),
    latex=r"\tanh",
    python=Form("math.tanh($0)"),
)
sinh: Op = _function(
    "sinh", "Give the hyperbolic sine; d/dx = cosh(x).", lambda g, _y, x: g * cosh(x), latex=r"\sinh", **_math("sinh")
)
cosh: Op = _function(
    "cosh",
    "Give the hyperbolic cosine; d/dx = sinh(x).",
    lambda g, _y, x: g * sinh(x),
    latex=r"\cosh",
    **_math("cosh"),
)
arcsinh = _function(
    "arcsinh",
    "Give the inverse hyperbolic sine; d/dx = 1/√(1 + x²).",
    lambda g, _y, x: g / sqrt(1 + square(x)),
    python=Form("math.asinh($0)"),
)
arctanh = _function(
    "arctanh", "Give the inverse hyperbolic tangent; d/dx = 1/(1 - x²).",
    lambda g, _y, x: g / (1 - square(x)), domain=[(-0.7, 0.7)], **_math("arctanh", "atanh"),
)  # fmt: skip

# --- the error function and the normal distribution ------------------------------------------------------------
# The coefficients were fitted to mpmath's values (Remez, errors weighted as they count); the errors of the fits are
# 5e-17 of the result at most for float64 and 1e-8 for float32, and all the rest is rounding.

_RATIO_OF_POLYNOMIALS = '''
def ratio_of_polynomials(x, p, q, coefficients):
    """Ratio of two polynomials by Horner's rule, in place; p and q are the first terms."""
    for c, d in coefficients:
        p *= x
        p += c
        q *= x
        q += d
    p /= q
    return p
'''

_EXP_OF_SQUARE = '''
def exp_of_square(x, c):
    """exp(c * x**2) to the last digits; c is a power of two. x * x is s + r, r what rounding loses (Dekker, 1971)."""
    s = x * x
    h = x * (4097.0 if x.dtype == np.float32 else 134217729.0)
    h -= h - x  # the upper half of the digits: h * h is exact
    r = h * h
    r -= s
    t = x - h
    h += x
    t *= h
    r += t
    s *= c
    s = np.exp(s)
    r *= c
    r *= s
    s += r
    return s
'''

_ERF = '''
def erf(x):
    """Error function 2/sqrt(pi) * integral of exp(-t**2) from 0 to x."""
    x = np.asarray(x, np.promote_types(np.result_type(x, 1.0), np.float32))
    a = np.minimum(np.abs(x), 6.0)
    s = a * a
    t = np.minimum(s, 0.5625)
    if x.dtype == np.float32:
        small = ratio_of_polynomials(t, 0.01646722141832589, 0.0559340216553261, (
            (0.1022961170607246, 0.42399022791582297), (1.1283791589804777, 1.0),
        ))
        large = ratio_of_polynomials(a, 0.22273552747771327, 0.39300584357973556 * a + 1.3090611885766017, (
            (0.726732424429624, 1.8581542174248076), (1.0004077563260123, 1.0),
        ))
    else:
        small = ratio_of_polynomials(t, 6.469455880246281e-05, 0.00037613326140061455, (
            (0.001279281726378423, 0.008662673239138174), (0.040571819044341546, 0.08797991983578733),
            (0.13849602995801372, 0.4560722441504243), (1.1283791670955126, 1.0),
        ))
        large = ratio_of_polynomials(a, 0.007741970272374564, 0.01372248709517038 * a + 0.13515939861190218, (
            (0.07625890193342162, 0.6234984658515448), (0.34785229938924134, 1.6724920771605316),
            (0.905909561312498, 2.7081168454791205), (1.355011323586679, 2.4833902352042094),
            (0.9999999791748312, 1.0),
        ))
    large *= np.exp(-s)
    small *= x
    return np.where(a < 0.75, small, np.copysign(1.0 - large, x))[()]
'''

erf = _function(
    "erf", "Give the error function 2/√π ∫₀ˣ exp(-t²) dt; d/dx = 2/√π exp(-x²).",
    lambda g, _y, x: g * (2 / math.sqrt(math.pi) * exp(-square(x))), numpy=_called("erf"), dtype=real,
    python=Form("math.erf($0)"), helper=_RATIO_OF_POLYNOMIALS + _ERF, notes="Right to 4 units in the last place.",
)  # fmt: skip

_ERFC = '''
def erfc(x):
    """1 - erf(x) without cancellation: exp(-x**2) times a function that changes little, and 2 less that for x < 0."""
    x = np.asarray(x, np.promote_types(np.result_type(x, 1.0), np.float32))
    a = np.minimum(np.abs(x), 28.0)
    if x.dtype == np.float32:
        y = ratio_of_polynomials(a, 0.04654455356843839, 0.08250287398586098 * a + 0.5075756005161475, (
            (0.24718792601209238, 1.5393659023961188), (0.6022440234555628, 2.6294307428953543),
            (0.67745311242202, 2.468831826984642), (0.04793007049745262, 1.0),
        ))
    else:
        y = ratio_of_polynomials(a, 8.135900301740003e-05, 0.00014420507819881158 * a + 0.0026122607764655593, (
            (0.0014051636604020432, 0.02348953020954664), (0.011968341331966486, 0.13507327693180649),
            (0.06439116222286026, 0.5431133671691453), (0.23741935971409348, 1.5816808131343418),
            (0.6133437391346256, 3.357011693673472), (1.089424158945189, 5.101933908802733),
            (1.2353410342895206, 5.292484233250062), (0.7207801666438288, 3.372816012070176),
            (0.04793007776316132, 1.0),
        ))
    y += 0.9520699222368387  # 1.6875/sqrt(pi), where y goes
    y /= 1.0 + 1.6875 * a
    y *= exp_of_square(a, -1.0)
    return np.where(x < 0, 2.0 - y, y)[()]
'''

erfc = _function(
    "erfc", "Give 1 - erf(x) without cancellation; d/dx = -2/√π exp(-x²).",
    lambda g, _y, x: -(g * (2 / math.sqrt(math.pi) * exp(-square(x)))), numpy=_called("erfc"), dtype=real,
    python=Form("math.erfc($0)"), helper=_RATIO_OF_POLYNOMIALS + _EXP_OF_SQUARE + _ERFC,
    notes="Right to 4 units in the last place.",
)  # fmt: skip

_GAUSS = '''
def gauss(x):
    """exp(-x**2/2), to the last digits."""
    x = np.asarray(x, np.promote_types(np.result_type(x, 1.0), np.float32))
    return exp_of_square(np.minimum(np.abs(x), 40.0), -0.5)
'''
GAUSS: Op = _elementwise(
    "gauss", "Give exp(-x²/2), the density of the normal distribution but for a factor; d/dx = -x exp(-x²/2).",
    lambda g, y, x: -(g * (x * y)), numpy=_called("gauss"), helper=_EXP_OF_SQUARE + _GAUSS,
    text=Form("exp(−$0²/2)", ATOM, (ATOM,)), latex=Form(r"\exp\left(-\frac{{$0}^{2}}{2}\right)", ATOM, (ATOM,)),
    dtype=real, public=False,
)  # fmt: skip

_NORMAL_TAIL = '''
def normal_tail(a):
    """exp(a**2/2) * (1 - Phi(a)) for a >= 0, where Phi is the standard normal distribution function."""
    a = np.asarray(a, np.promote_types(np.result_type(a, 1.0), np.float32))
    if a.dtype == np.float32:
        a = np.minimum(a, 1e6)
        y = ratio_of_polynomials(a, 0.005584046884193057, 0.013998488791562427 * a + 0.12396508994848314, (
            (0.040056837883800094, 0.5356891691150918), (0.12414567964273485, 1.3025408477563318),
            (0.1437950147777299, 1.737799461716597), (-0.17321510215572478, 1.0),
        ))
    else:
        a = np.minimum(a, 1e12)
        y = ratio_of_polynomials(a, 1.7465926672785153e-06, 4.3780585638059554e-06 * a + 0.00011284316810902083, (
            (4.2070535667853724e-05, 0.0014413244224652936), (0.000497290936377991, 0.011762792798725006),
            (0.0036861781515450586, 0.0670869254093112), (0.018503061854865697, 0.27701074839303796),
            (0.06365642981955782, 0.8333513814901978), (0.1435247564900692, 1.7947482397005918),
            (0.17909509455831826, 2.6377744737601425), (0.03233374714171809, 2.381281867440682),
            (-0.17321509817741762, 1.0),
        ))
    y += 0.6732150981774176  # 1.6875/sqrt(2*pi), where y goes
    y /= 1.0 + 1.6875 * a
    return y
'''
NORMAL_TAIL: Op = _function(
    "normal_tail", "Give exp(x²/2)(1 - Φ(x)) for x ≥ 0, which changes little; d/dx = x y - 1/√(2π).",
    lambda g, y, x: g * (x * y - 1 / math.sqrt(2 * math.pi)), latex=r"\operatorname{normal\,tail}",
    numpy=_called("normal_tail"), helper=_RATIO_OF_POLYNOMIALS + _NORMAL_TAIL, dtype=real, public=False,
    domain=[_POSITIVE],
)  # fmt: skip
_NORMAL = f"{NORMAL_TAIL.helper}{GAUSS.helper}"

_NDTR = '''
def ndtr(x):
    """Standard normal distribution function, right in the far tail too."""
    y = normal_tail(np.abs(x))
    y *= gauss(x)
    return np.where(x > 0, 1.0 - y, y)[()]
'''
ndtr: Op = _function(
    "ndtr", "Give the standard normal distribution function Φ(x) = ½(1 + erf(x/√2)); d/dx = exp(-x²/2)/√(2π).",
    lambda g, _y, x: g * (1 / math.sqrt(2 * math.pi) * GAUSS(x)), text="Φ", latex=r"\Phi", numpy=_called("ndtr"),
    helper=_NORMAL + _NDTR, dtype=real, notes="Right to 4 units in the last place, in the far left tail too.",
)  # fmt: skip

_LOG_NDTR = '''
def log_ndtr(x):
    """log(ndtr(x)), finite where ndtr(x) is too small for a float, and right where it is almost 1."""
    y = normal_tail(np.abs(x))
    below = np.minimum(x, 0.0)
    return (np.log1p(np.where(x < 0, y - 1.0, 0.0 - y * gauss(x))) - below * (0.5 * below))[()]
'''
log_ndtr: Op = _function(
    "log_ndtr", "Give the logarithm of the standard normal distribution function, log Φ(x); d/dx = φ(x)/Φ(x).",
    lambda g, _y, x: g * NORMAL_HAZARD(x), latex=r"\operatorname{log\,\Phi}",
    numpy=_called("log_ndtr"), helper=_NORMAL + _LOG_NDTR, dtype=real,
    notes="Right to 8 units in the last place, however small Φ(x) is.",
)  # fmt: skip

_NORMAL_HAZARD = '''
def normal_hazard(x):
    """Density over distribution function of the standard normal distribution."""
    y, e = normal_tail(np.abs(x)), gauss(x)
    return np.maximum(0.3989422804014327 * np.where(x < 0, 1.0, e) / np.where(x < 0, y, 1.0 - y * e), 0.0 - x)
'''
NORMAL_HAZARD: Op = _function(
    "normal_hazard", "Give φ(x)/Φ(x), the hazard of the normal distribution at -x; d/dx = -y (x + y).",
    lambda g, y, x: -(g * (y * (x + y))), latex=r"\operatorname{normal\,hazard}",
    numpy=_called("normal_hazard"), helper=_NORMAL + _NORMAL_HAZARD, dtype=real, public=False,
)  # fmt: skip

# --- kinks, masks, choices ------------------------------------------------------------------------------------

abs = _elementwise(
    "abs", "Give the absolute value; d/dx = sign(x).", lambda g, _y, x: g * sign(x), kink="0 at x = 0",
    text=Form("|$0|"), latex=Form(r"\left|$0\right|"), dtype=promoted, kinks=(0.0,), python=Form("abs($0)"),
)  # fmt: skip
sign: Op = _function(
    "sign",
    "Give -1, 0 or 1; its derivative is zero almost everywhere.",
    None,
    dtype=_like_ufunc("sign"),
    kinks=(0.0,),
    **_scalar("scalar_sign", """return float(x > 0) - float(x < 0) if x == x else x"""),
)
maximum = _function(
    "maximum", "Give the larger of two.",
    lambda g, _y, a, b: g * (a >= b), lambda g, _y, a, b: g * (a < b), kink="where x = y all of it goes to x",
    latex=r"\max", dtype=_like_ufunc("maximum"),
    **_scalar("scalar_maximum", "return x if x >= y or x != x else y", "x, y"),
)  # fmt: skip
minimum = _function(
    "minimum", "Give the smaller of two.",
    lambda g, _y, a, b: g * (a <= b), lambda g, _y, a, b: g * (a > b), kink="where x = y all of it goes to x",
    latex=r"\min", dtype=_like_ufunc("minimum"),
    **_scalar("scalar_minimum", "return x if x <= y or x != x else y", "x, y"),
)  # fmt: skip


def _comparison(name: str, sign: str, words: str, *, text: str | None = None, latex: str | None = None) -> Op:
    return _elementwise(
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

logical_and = _elementwise(
    "logical_and", "Tell where both hold.", None, None, dtype=boolean,
    text=Form("$0 ∧ $1", LOGIC, (LOGIC, LOGIC)), latex=Form(r"$0 \land $1", LOGIC, (LOGIC, LOGIC)),
    python=Form("bool($0 and $1)", ATOM, (LOGIC, LOGIC)),
)  # fmt: skip
logical_or = _elementwise(
    "logical_or", "Tell where one holds at least.", None, None, dtype=boolean,
    text=Form("$0 ∨ $1", LOGIC, (LOGIC + 1, LOGIC + 1)), latex=Form(r"$0 \lor $1", LOGIC, (LOGIC + 1, LOGIC + 1)),
    python=Form("bool($0 or $1)", ATOM, (LOGIC, LOGIC)),
)  # fmt: skip
logical_not = _elementwise(
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


where: Op = _function(
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


STEP = _elementwise(
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


RELU = _elementwise(
    "relu", "Give max(0, x).", _relu_vjp,
    numpy=Form("np.maximum($0, 0.0)"), python=Form("max($0, 0.0)"),
    text=_called("relu"), latex=Form(r"\operatorname{relu}\left($0\right)"),
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

sigmoid: Op = _function(
    "sigmoid", "Give the logistic function 1/(1 + exp(-x)); d/dx = σ(x)(1 - σ(x)).",
    lambda g, y, _x: g * (y * (1 - y)), text="σ", latex=r"\sigma", numpy=_called("sigmoid"), helper=_SIGMOID,
    portable_helper=_PORTABLE_SIGMOID,
    dtype=real, notes="Nothing overflows, whatever x is.",
    **_scalar("scalar_sigmoid", "e = math.exp(-abs(x))\nreturn (1.0 if x >= 0.0 else e) / (1.0 + e)"),
)  # fmt: skip
_SOFTPLUS = '''
def softplus(z):
    """log(1 + exp(z)), written so that nothing overflows."""
    return np.maximum(z, 0.0) + np.log1p(np.exp(0.0 - np.abs(z)))
'''
softplus = _function(
    "softplus", "Give log(1 + exp(x)); d/dx = σ(x).", lambda g, _y, x: g * sigmoid(x),
    numpy=_called("softplus"), helper=_SOFTPLUS, dtype=real, notes="Nothing overflows, whatever x is.",
    python=Form("(max($0, 0.0) + math.log1p(math.exp(-abs($0))))", ATOM, (ATOM,)),
)  # fmt: skip

# --- forms that rewriting computes with: no digits cancel in them or in their derivatives ------------------------

_SIGMOID_SLOPE = '''
def sigmoid_slope(z):
    """sigmoid(z) * (1 - sigmoid(z)) without cancellation: e / (1 + e)**2, e = exp(-|z|)."""
    e = np.exp(0.0 - np.abs(z))
    d = 1.0 + e
    d *= d
    e /= d
    return e
'''
_PORTABLE_SIGMOID_SLOPE = '''
def sigmoid_slope(z):
    """sigmoid(z) * (1 - sigmoid(z)) without cancellation."""
    e = np.exp(0.0 - np.abs(z))
    return e / np.square(1.0 + e)
'''
SIGMOID_SLOPE: Op = _function(
    "sigmoid_slope", "Give σ(x)(1 - σ(x)); d/dx = σ(x)(1 - σ(x))(1 - 2σ(x)).",
    lambda g, y, x: g * (y * (1 - 2 * sigmoid(x))), text="σ′", latex=r"\sigma'", helper=_SIGMOID_SLOPE,
    portable_helper=_PORTABLE_SIGMOID_SLOPE, numpy=_called("sigmoid_slope"), dtype=real, public=False,
    **_scalar("scalar_sigmoid_slope", "e = math.exp(-abs(x))\nreturn e / ((1.0 + e) * (1.0 + e))"),
)  # fmt: skip

_SIGMOID_ENTROPY = '''
def sigmoid_entropy(z):
    """-p*log(p) - (1 - p)*log(1 - p) of p = sigmoid(z): log1p(e) + |z|*e/(1 + e), e = exp(-|z|)."""
    a = np.abs(z)
    e = np.exp(0.0 - a)
    return np.log1p(e) + np.minimum(a, 800.0) * (e / (1.0 + e))
'''
SIGMOID_ENTROPY: Op = _function(
    "sigmoid_entropy", "Give the entropy of a coin that shows heads with probability σ(x); d/dx = -x σ(x)(1 - σ(x)).",
    lambda g, _y, x: -(g * (x * SIGMOID_SLOPE(x))), helper=_SIGMOID_ENTROPY, numpy=_called("sigmoid_entropy"),
    dtype=real, public=False,
)  # fmt: skip

_TANH_SLOPE = '''
def tanh_slope(x):
    """1 - tanh(x)**2 without cancellation: 4 * e / (1 + e)**2, e = exp(-2*|x|)."""
    e = np.exp(-2.0 * np.abs(x))
    d = 1.0 + e
    d *= d
    e *= 4.0
    e /= d
    return e
'''
_PORTABLE_TANH_SLOPE = '''
def tanh_slope(x):
    """1 - tanh(x)**2 without cancellation: 4 * exp(-2*|x|) / (1 + exp(-2*|x|))**2."""
    e = np.exp(-2.0 * np.abs(x))
    return 4.0 * e / np.square(1.0 + e)
'''
TANH_SLOPE: Op = _function(
    "tanh_slope", "Give 1 - tanh(x)²; d/dx = -2 tanh(x)(1 - tanh(x)²).",
    lambda g, y, x: g * (-2 * (tanh(x) * y)), text="tanh′", latex=r"\tanh'", helper=_TANH_SLOPE,
    portable_helper=_PORTABLE_TANH_SLOPE, numpy=_called("tanh_slope"), dtype=real, public=False,
    **_scalar("scalar_tanh_slope", "e = math.exp(-2.0 * abs(x))\nreturn 4.0 * e / ((1.0 + e) * (1.0 + e))"),
)  # fmt: skip

_TANH_SLOPE_BESIDE = '''
def tanh_slope_beside(t, x):
    """1 - t**2 for t = tanh(x), from x where too many digits cancel."""
    s = np.subtract(1.0, t * t)
    if s.shape != np.shape(x):
        s, x = [each.copy() for each in np.broadcast_arrays(s, x)]
    near = s < (0.03 if s.itemsize > 2 else 0.2)
    if np.count_nonzero(near):
        s, x, near = np.asarray(s), np.asarray(x), near.ravel().nonzero()[0]
        s.put(near, tanh_slope(x.take(near)))
    return s
'''
_PORTABLE_TANH_SLOPE_BESIDE = '''
def tanh_slope_beside(t, x):
    """1 - t**2 for t = tanh(x), from x where digits cancel."""
    s = 1.0 - t * t
    return np.where(s < 0.25, tanh_slope(x), s)
'''
TANH_SLOPE_BESIDE: Op = _function(
    "tanh_slope_beside",
    "Give 1 - t² for t = tanh(x), right to 40 units in the last place; d/dt = -2 t.",
    lambda g, _y, t, _x: -2 * (g * t), None, text="tanh_slope_beside", latex=r"\tanh'",
    helper=_TANH_SLOPE + _TANH_SLOPE_BESIDE,
    portable_helper=_PORTABLE_TANH_SLOPE + _PORTABLE_TANH_SLOPE_BESIDE, numpy=_called("tanh_slope_beside", 2),
    dtype=lambda t, _x, **_: real(t), public=False, domain=((-0.9, 0.9), _SMOOTH),
)  # fmt: skip

_LOG1MEXP = '''
def log1mexp(x):
    """log(1 - exp(x)) for x <= 0, by the better of two forms (Maechler, 2012)."""
    near = x > -0.7
    inner = np.where(near, np.expm1(np.where(near, x, -1.0)), 0.0 - np.exp(np.where(near, -1.0, x)))
    return np.where(near, np.log(np.where(near, 0.0 - inner, 1.0)), np.log1p(np.where(near, 0.0, inner)))[()]
'''
LOG1MEXP: Op = _function(
    "log1mexp", "Give log(1 - exp(x)) for negative x; d/dx = 1/(1 - exp(-x)).",
    lambda g, _y, x: -(g * BOSE(-x)), helper=_LOG1MEXP, numpy=_called("log1mexp"), dtype=real, public=False,
    domain=[(-3.0, -0.2)],
)  # fmt: skip

_BOSE = '''
def bose(x):
    """1 / (exp(x) - 1) without overflow or cancellation."""
    a = 0.0 - np.abs(x)
    return np.where(x > 0, np.exp(a), -1.0) / (0.0 - np.expm1(a))
'''
BOSE: Op = _function(
    "bose", "Give 1/(exp(x) - 1), as in the statistics of Bose and Einstein; d/dx = 1/((exp(x) - 1)(exp(-x) - 1)).",
    lambda g, y, x: g * (y * BOSE(-x)), helper=_BOSE, numpy=_called("bose"), dtype=real, public=False,
    domain=[(0.3, 3.0)],
)  # fmt: skip

_LOGCOSH = '''
def logcosh(x):
    """log(cosh(x)) without overflow or cancellation."""
    a = np.abs(x)
    small = np.log1p(2.0 * np.square(np.sinh(0.5 * np.minimum(a, 1.0))))
    return np.where(a < 1.0, small, a + np.log(0.5 + 0.5 * np.exp(-2.0 * a)))[()]
'''
LOGCOSH: Op = _function(
    "logcosh", "Give log(cosh(x)); d/dx = tanh(x).", lambda g, _y, x: g * tanh(x),
    helper=_LOGCOSH, numpy=_called("logcosh"), dtype=real, public=False,
)  # fmt: skip

_XLOGX = '''
def xlogx(x):
    """x * log(x), and 0 where x is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x == 0, 0.0 * x, x * np.log(x))[()]
'''
XLOGX: Op = _function(
    "xlogx", "Give x*log(x), and 0 where x is 0; d/dx = log(x) + 1.", lambda g, _y, x: g * log(x) + g,
    helper=_XLOGX, numpy=_called("xlogx"), dtype=real, public=False, domain=[_POSITIVE],
)  # fmt: skip

_XLOGY = '''
def xlogy(x, y):
    """x * log(y), and 0 where x is 0 and y is a number."""
    kind = np.result_type(x, y, 0.0)
    x, y = np.asarray(x, kind), np.asarray(y, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((x == 0) & (y == y), np.zeros((), kind), x * np.log(y))[()]
'''
_PORTABLE_XLOGY = '''
def xlogy(x, y):
    """x * log(y), and 0 where x is 0 and y is a number."""
    return np.where((x == 0) & (y == y), 0.0, x * np.log(y))
'''
XLOGY: Op = _function(
    "xlogy", "Give x*log(y), and 0 where x is 0; d/dx = log(y), d/dy = x/y.",
    lambda g, _y, _a, b: g * log(b), lambda g, _y, a, b: g * where(equal(a, 0), 0, a / b),
    helper=_XLOGY, portable_helper=_PORTABLE_XLOGY, numpy=_called("xlogy", 2), dtype=real, public=False,
    domain=(_SMOOTH, _POSITIVE),
)  # fmt: skip

_XLOG1PY = '''
def xlog1py(x, y):
    """x * log1p(y), and 0 where x is 0 and y is a number."""
    kind = np.result_type(x, y, 0.0)
    x, y = np.asarray(x, kind), np.asarray(y, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((x == 0) & (y == y), np.zeros((), kind), x * np.log1p(y))[()]
'''
_PORTABLE_XLOG1PY = '''
def xlog1py(x, y):
    """x * log1p(y), and 0 where x is 0 and y is a number."""
    return np.where((x == 0) & (y == y), 0.0, x * np.log1p(y))
'''
XLOG1PY: Op = _function(
    "xlog1py", "Give x*log(1 + y), and 0 where x is 0; d/dx = log(1 + y), d/dy = x/(1 + y).",
    lambda g, _y, _a, b: g * log1p(b), lambda g, _y, a, b: g * where(equal(a, 0), 0, a / (1 + b)),
    helper=_XLOG1PY, portable_helper=_PORTABLE_XLOG1PY, numpy=_called("xlog1py", 2), dtype=real, public=False,
    domain=(_SMOOTH, (-0.6, 2.0)),
)  # fmt: skip

HYPOT1: Op = _function(
    "hypot1", "Give √(1 + x²); d/dx = x/√(1 + x²).", lambda g, _y, x: g * ISRU(x), numpy=Form("np.hypot(1.0, $0)"),
    dtype=real, public=False,
)  # fmt: skip

_ISRU = '''
def isru(x):
    """x / sqrt(1 + x**2) without overflow."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(x), np.sign(1.0 * x), x / np.hypot(1.0, x))[()]
'''
ISRU: Op = _function(
    "isru", "Give x/√(1 + x²); d/dx = (1 + x²)^(-3/2).", lambda g, _y, x: g * power(1 + square(x), -1.5),
    helper=_ISRU, numpy=_called("isru"), dtype=real, public=False,
)  # fmt: skip

_DAMPED = '''
def damped(x, y):
    """x * y where 0 times infinity is 0: the factor that vanishes does so faster than the other grows."""
    if not (np.ndim(x) and np.ndim(y)) and (0 < abs(y if np.ndim(x) else x) < np.inf):
        return x * y
    with np.errstate(invalid="ignore"):
        p = x * y
    total = np.vdot(p, p)  # squares add up to NaN only if there is one among them
    if total == total:
        return p
    return np.where((p != p) & (x == x) & (y == y), 0.0, p)[()]
'''
_PORTABLE_DAMPED = '''
def damped(x, y):
    """x * y where 0 times infinity is 0: the factor that vanishes does so faster than the other grows."""
    p = x * y
    return np.where((p != p) & (x == x) & (y == y), np.zeros_like(p), p)
'''
DAMPED: Op = _elementwise(
    "damped", "Give x*y with 0·∞ = 0, the limit where the factor that vanishes does so faster than the other grows.",
    lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a, numpy=_called("damped", 2), helper=_DAMPED,
    portable_helper=_PORTABLE_DAMPED,
    text=_product_text("·", " ⊙ "), latex=_product_text(r" \, ", r" \odot "),
    dtype=_like_ufunc("multiply"), public=False,
    **_scalar("scalar_damped", "p = x * y\nreturn p if p == p or x != x or y != y else 0.0", "x, y"),
)  # fmt: skip

# --- conversion -----------------------------------------------------------------------------------------------

ASTYPE = _elementwise(
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
