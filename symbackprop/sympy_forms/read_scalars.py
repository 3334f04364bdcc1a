"""How SymPy's scalars are read; what acts on each element does so on arrays, too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from symbackprop import ops
from symbackprop.dims import Dim, ShapeLike
from symbackprop.expr import Expr
from symbackprop.op import apply
from symbackprop.ops.leaf import arange
from symbackprop.ops.special import BESSEL
from symbackprop.sympy_forms.reader import Basic, Part, Reader, Rule, Scope, Value, refuse
from symbackprop.sympy_forms.walk import Steps, at_once
from symbackprop.sympy_names import FUNCTIONS


@at_once
def itself(_reader: Reader, expr: Basic, _scope: Scope) -> Value:
    """Leave a number to SymPy, which knows it exactly, until it meets an expression."""
    return expr


def refused(why: str) -> Rule:
    """Give the rule of what cannot be said."""

    @at_once
    def rule(_reader: Reader, expr: Basic, _scope: Scope) -> Value:
        return refuse(expr, why)

    return rule


# --- symbols ------------------------------------------------------------------------------------------------------


@at_once
def _symbol(reader: Reader, expr: Basic, scope: Scope) -> Value:
    if expr in reader.standing:
        return reader.standing[expr]
    for depth in range(len(scope) - 1, -1, -1):
        if scope[depth].symbol == expr:
            index = arange(scope[depth].length, graph=reader.graph)
            return along(index + scope[depth].start if scope[depth].start != 0 else index, depth)
    return named_symbol(reader, expr, ())


def along(values: Expr, depth: int) -> Expr:
    """Give a vector the axis of an index."""
    return ops.expand_dims(values, tuple(range(-depth, 0)))


def named_symbol(reader: Reader, expr: Basic, shape: ShapeLike) -> Value:
    """Give what stands for a symbol: what the user says, a size, or the symbol of its name."""
    name = str(expr.name)
    if reader.meant.setdefault(name, expr) != expr:
        refuse(expr, f"two symbols are called {name} and differ in what SymPy knows of them; rename one")
    given = reader.given.get(name, shape)
    if isinstance(given, Expr):
        return given
    if name in reader.sizes:
        return Dim.named(name)
    dtype = "bool" if name in reader.conditions else "int64" if expr.is_integer else "float64"
    symbol = ops.symbol(name, given, dtype)
    if expr.is_positive or expr.is_nonnegative:
        ops.assume(symbol, positive=bool(expr.is_positive), nonnegative=not expr.is_positive)
    return symbol


# --- arithmetic ---------------------------------------------------------------------------------------------------


def _is_negative(value: Value) -> bool:
    return isinstance(value, Expr) and value.op is ops.negative


def _plus(x: Value, y: Value) -> Value:
    return ops.add(x, y) if isinstance(x, Expr) or isinstance(y, Expr | float) else x + y


def _minus(x: Value, y: Value) -> Value:
    return ops.subtract(x, y) if isinstance(x, Expr) or isinstance(y, Expr | float) else x - y


def times(x: Value, y: Value) -> Value:
    """Multiply operands."""
    return ops.multiply(x, y) if isinstance(x, Expr) or isinstance(y, Expr | float) else x * y


def added(terms: Sequence[Value], constant: Value = 0) -> Value:
    """Add operands, those with a minus sign after the others, the number last."""
    positive = [term for term in terms if not _is_negative(term)]
    negative = [term.inputs[0] for term in terms if _is_negative(term)]
    if positive:
        total = positive.pop(0)
    elif constant > 0:
        total, constant = constant, 0
    else:
        total = next(term for term in terms if _is_negative(term))
        negative.pop(0)
    total = reduce(_minus, negative, reduce(_plus, positive, total))
    if constant == 0:
        return total
    return _minus(total, -constant) if constant < 0 else _plus(total, constant)


def _add(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    values = yield from reader.all_of(expr.args, scope)
    constants = [value for value in values if reader.constant(value)]
    if len(constants) == len(values):
        return expr
    terms = [value for value in values if not reader.constant(value)]
    return added(terms, reader.number(expr.func(*constants)) if constants else 0)


def multiplied(factors: Sequence[Value]) -> Value:
    """Multiply operands, scalars first."""
    return reduce(times, sorted(factors, key=lambda factor: isinstance(factor, Expr) and factor.ndim > 0))


def _mul(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    """Build a product as people write it: its sign outside, numbers first, one division."""
    above: list[Value] = []
    below: list[Value] = []
    constants: list[Basic] = []
    for arg in expr.args:
        inverted = arg.is_Pow and arg.exp.is_Number and arg.exp.is_negative
        value = yield (arg.base**-arg.exp if inverted else arg), scope
        if reader.constant(value):
            constants.append(arg)
        else:
            (below if inverted else above).append(value)
    if not above and not below:
        return expr
    factor = expr.func(*constants)
    sign, factor = factor.is_negative, abs(factor)
    if factor.is_Rational:
        above = [int(factor.p)] * (factor.p != 1) + above
        below = [int(factor.q)] * (factor.q != 1) + below
    else:
        above = [reader.number(factor), *above]
    found = multiplied(above) if above else 1
    if below:
        found = ops.divide(found, multiplied(below))
    if not sign:
        return found
    return -ops.as_expr(found, graph=reader.graph) if not isinstance(found, Dim) else found * -1


def powered(base: Value, exponent: Value) -> Value:
    """Raise to a power that is an operand or a number; of integers as a float where it may be negative."""
    if isinstance(exponent, Expr | Dim):
        if isinstance(base, Expr) and base.dtype.kind != "f":
            base = base.astype("float64")
        return ops.power(float(base) if isinstance(base, int) else base, exponent)
    if exponent < 0:
        return ops.divide(1, powered(base, -exponent))
    if exponent == 1:
        return base
    if exponent == 0.5:
        return ops.sqrt(base)
    return ops.square(base) if exponent == 2 else ops.power(base, exponent)


def _pow(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    base, exponent = yield from reader.all_of(expr.args, scope)
    if reader.constant(base) and reader.constant(exponent):
        return expr
    return powered(reader.operand(base), reader.operand(exponent))


# --- functions ----------------------------------------------------------------------------------------------------


def _applied(build: Callable[..., Value]) -> Rule:
    """Give the rule of a function of scalars: what SymPy can compute stays its own."""

    def rule(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
        values = yield from reader.all_of(expr.args, scope)
        if all(reader.constant(value) for value in values):
            return expr
        return build(*map(reader.operand, values))

    return rule


def _named(name: str, function: str) -> Rule:
    """Give the rule of a function that an op of ours is, too."""
    op = getattr(ops, name, None)
    return refused(f"symbackprop has no {function}") if op is None else _applied(op)


def _floor(x: Expr) -> Expr:
    if x.op is ops.divide:
        return ops.floor_divide(*x.inputs)
    return ops.floor(x) if x.dtype.kind == "f" else x


def _largest(*operands: Any) -> Value:
    if len(operands) == 2 and not all(isinstance(operand, Expr) for operand in operands):
        number, x = operands if not isinstance(operands[0], Expr) else operands[::-1]
        if not isinstance(number, Dim) and number == 0 and isinstance(x, Expr) and x.dtype.kind == "f":
            return ops.relu(x)
        operands = (x, number)
    return reduce(ops.maximum, operands)


def _smallest(*operands: Any) -> Value:
    expr_first = sorted(operands, key=lambda operand: not isinstance(operand, Expr))
    return reduce(ops.minimum, expr_first)


def _heaviside(x: Expr, at_zero: Any) -> Value:
    if isinstance(at_zero, Expr | Dim):
        return ops.where(ops.greater(x, 0), 1.0, ops.where(ops.equal(x, 0), at_zero, 0.0))
    return ops.step(x, float(at_zero))


def _of_float(operand: Value) -> Value:
    """Give a float for an int, so that what is chosen among numbers is no integer."""
    return float(operand) if type(operand) is int else operand


def chosen(condition: Value, x: Value, y: Value) -> Value:
    """Choose between two operands."""
    return ops.where(condition, _of_float(x), _of_float(y))


def _piecewise(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    cases = []
    for case in expr.args:
        cases.append((yield from reader.all_of(case.args, scope)))  # noqa: PERF401  (a comprehension cannot yield)
    found: Value = math.nan
    for value, condition in reversed(cases):
        holds = reader.operand(condition)
        if isinstance(holds, bool):
            found = reader.operand(value) if holds else found
        else:
            found = chosen(holds, reader.operand(value), found)
    return found


def _of_order(build: Callable[[int, Expr], Value]) -> Rule:
    """Give the rule of a function of an order, which is a known integer, and of a number."""

    def rule(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
        order, argument = expr.args
        value = yield argument, scope
        if reader.constant(value):
            return expr
        if not order.is_Integer or order < 0:
            refuse(expr, "its order is a known integer from 0")
        return build(int(order), ops.as_expr(value, graph=reader.graph))

    return rule


def _xor(*operands: Any) -> Value:
    return reduce(ops.not_equal, operands)


def _implies(x: Any, y: Any) -> Value:
    return ops.logical_or(ops.logical_not(x), y)


def _equivalent(first: Any, *others: Any) -> Value:
    return reduce(ops.logical_and, [ops.equal(first, other) for other in others])


def _delta(i: Any, j: Any, *_range: Any) -> Value:
    return ops.where(ops.equal(i, j), 1.0, 0.0)


def _done(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
    """Let SymPy do what is only written down, such as a derivative."""
    found = expr.doit()
    if found == expr:
        refuse(expr, "SymPy itself cannot work it out")
    reader.survey(found)
    return (yield found, scope)


def _rewritten(target: str) -> Rule:
    def rule(reader: Reader, expr: Basic, scope: Scope) -> Steps[Part]:
        found = expr.rewrite(getattr(reader.sympy, target), deep=False)
        if found == expr or found.func == expr.func:
            refuse(expr, f"SymPy cannot write it by {target}")
        return (yield found, scope)

    return rule


_REWRITTEN: Mapping[str, str] = {
    "acot": "atan",
    "acoth": "atanh",
    "acsc": "asin",
    "acsch": "asinh",
    "asec": "acos",
    "asech": "acosh",
    "binomial": "gamma",
    "cot": "tan",
    "coth": "tanh",
    "csc": "sin",
    "csch": "sinh",
    "erf2": "erf",
    "factorial": "gamma",
    "FallingFactorial": "gamma",
    "frac": "floor",
    "RisingFactorial": "gamma",
    "sec": "cos",
    "sech": "cosh",
}
"""Functions without an op, and by which others SymPy writes them."""

_SAME_NAME = ("erfcinv", "expm1", "log1p", "exp2", "log2", "log10", "hypot", "logaddexp", "logaddexp2")

_RULES: Mapping[str, Rule] = {
    "Symbol": _symbol,
    "Number": itself,
    "NumberSymbol": itself,
    "BooleanAtom": itself,
    "ImaginaryUnit": refused("expressions are of real numbers"),
    "ComplexInfinity": refused("expressions are of real numbers"),
    "Add": _add,
    "Mul": _mul,
    "Pow": _pow,
    "Max": _applied(_largest),
    "Min": _applied(_smallest),
    "floor": _applied(_floor),
    "Heaviside": _applied(_heaviside),
    "KroneckerDelta": _applied(_delta),
    "Piecewise": _piecewise,
    "besseli": _of_order(lambda order, x: apply(BESSEL, x, order=order, scaled=False)),
    "polygamma": _of_order(ops.polygamma),
    "And": _applied(lambda *operands: reduce(ops.logical_and, operands)),
    "Or": _applied(lambda *operands: reduce(ops.logical_or, operands)),
    "Not": _applied(ops.logical_not),
    "Xor": _applied(_xor),
    "Implies": _applied(_implies),
    "Equivalent": _applied(_equivalent),
    "ITE": _applied(ops.where),
    "re": _applied(lambda x: x),
    "im": _applied(lambda x: ops.multiply(x, 0.0)),
    "conjugate": _applied(lambda x: x),
    "adjoint": _applied(lambda x: x),
    "transpose": _applied(lambda x: x),
    "sinc": _applied(lambda x: ops.where(ops.equal(x, 0), 1.0, ops.sin(x) / ops.where(ops.equal(x, 0), 1.0, x))),
    "Cbrt": _applied(lambda x: powered(x, 1 / 3)),
    "Sqrt": _applied(ops.sqrt),
    "Derivative": _done,
    "Subs": _done,
    "DiracDelta": refused("it is no function of numbers: it has no value at 0"),
    "Integral": refused("there are no integrals; try .doit()"),
    "Limit": refused("there are no limits; try .doit()"),
    "AppliedUndef": refused("the function is not defined; put a known one in its place with .subs or .replace"),
}


def rules(sympy: Any) -> dict[str, Rule]:
    """Give the rules by the names of SymPy's classes."""
    named = {getattr(sympy, theirs).__name__: _named(ours, theirs) for ours, theirs in FUNCTIONS.items()}
    same = {name: _named(name, name) for name in _SAME_NAME}
    return {**{name: _rewritten(target) for name, target in _REWRITTEN.items()}, **same, **named, **_RULES}
