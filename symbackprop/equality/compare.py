"""`same`: takes two expressions, reads what is given as text, and puts them to the trial."""

from __future__ import annotations

from symbackprop import dims
from symbackprop.equality.answer import Comparison
from symbackprop.equality.trial import Trial
from symbackprop.errors import ArgumentError, ShapeError
from symbackprop.expr import Expr, Operand, common_graph
from symbackprop.language.reader import parse
from symbackprop.ops.layout import broadcast_to
from symbackprop.ops.leaf import SYMBOL, as_expr, check_names

_LEAST_DIGITS = 30  # of the arithmetic, of which rounding may cost half


def same(a: Operand | str, b: Operand | str, *, points: int = 20, digits: int = 50) -> Comparison:
    """Tell whether two expressions are equal, such as a derivative and what somebody wrote down for it.

    They are evaluated at simple points and at random ones, in an arithmetic of many digits and with several sizes for
    each named size; then rewriting is to prove what the points suggest. Both must be defined for a point to count, and
    where they differ at a single point alone, such as a kink, the answer is yes with a note.

    A number in a formula means what it stands for: 0.1 is 1/10, 0.3333333333333333 is 1/3.

    Args:
        a: an expression.
        b: another; or a number or a text as formulas are printed, where a scalar may stand for an array of it.
        points: how many points are wanted at which both are defined.
        digits: of the arithmetic.

    Returns:
        What was found: true or false, with the proof, the number of points, or the counterexample.

    Raises:
        UndecidedError: there is no proof, and no points were found at which both are defined.
        GraphError: the expressions live in different graphs, or one name stands for two symbols in them.
        ParseError: a text is no expression in the symbols of the other.
        ArgumentError: neither is an expression.
        ValueError: fewer points or digits than say anything.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> print(sb.same(sb.grad(sb.sin(x) ** 2, x), sb.sin(2 * x)))
    The same: their difference simplifies to 0, and they agree at 20 points to 35 digits.
    >>> print(sb.same(sb.tanh(x), 2 * sb.sigmoid(2 * x) - 1))
    The same, as far as tried: they agree at 20 points to 35 digits. That is evidence and no proof.
    >>> print(sb.same(sb.grad(sb.sin(x) ** 2, x), 2 * sb.sin(x)))
    Not the same: at x = 1 the first is 0.909297 and the second 1.68294.
    >>> print(sb.same(1 / (1 + sb.exp(-x)), sb.sigmoid(x)))
    The same: both simplify to σ(x), and they agree at 20 points to 35 digits.
    """
    if points < 1 or digits < _LEAST_DIGITS:
        msg = f"same: one point and {_LEAST_DIGITS} digits at least, not {points} and {digits}"
        raise ValueError(msg)
    left, right = _pair(a, b)
    symbols = symbols_of(left, right)
    check_names(symbols, "same")
    if left.shape != right.shape:
        flipped = left.ndim > 1 and left.shape == right.shape[::-1]
        hint = " One looks like the transpose of the other." if flipped else ""
        note = f"The first has shape {_shape(left)}, the second {_shape(right)}.{hint}"
        return Comparison("shape", notes=(note,))
    if left.dtype != right.dtype:
        note = f"The first is of {left.dtype}, the second of {right.dtype}; one of them can be converted with astype."
        return Comparison("dtype", notes=(note,))
    return Trial(left, right, symbols, digits).decide(points)


def _pair(a: Operand | str, b: Operand | str) -> tuple[Expr, Expr]:
    """Give both as expressions; a number or a text takes graph, symbols, shape and dtype from the other."""
    given = next((each for each in (a, b) if isinstance(each, Expr)), None)
    if given is None:
        msg = "same: one of the two at least must be an expression, which tells what the names in a text stand for"
        raise ArgumentError(msg)
    left, right = (each if isinstance(each, Expr) else _fitted(each, given) for each in (a, b))
    common_graph([left, right], "same")
    return left, right


def _fitted(value: Operand | str, like: Expr) -> Expr:
    expr = _read(value, like) if isinstance(value, str) else as_expr(value, graph=like.graph)
    if not expr.shape:
        expr = broadcast_to(expr, like.shape)
    return expr.astype(like.dtype) if like.dtype.kind == "f" and expr.dtype.kind in "bui" else expr


def _read(text: str, like: Expr) -> Expr:
    """Read a formula in the symbols of a graph, those that an expression is made of before others."""
    graph = like.graph
    with graph.lock:
        others = [Expr(graph, number) for number, node in graph.nodes.items() if node.op is SYMBOL]
    names = {symbol.params["name"]: symbol for symbol in [*others, *symbols_of(like)]}
    sizes = dims.names_of(like.shape)
    try:
        return parse(text, names, sizes=sizes, shape=like.shape)  # the shape tells the size of an I
    except ShapeError:
        return parse(text, names, sizes=sizes)


def symbols_of(*exprs: Expr) -> list[Expr]:
    """Give the symbols that expressions are made of."""
    graph = exprs[0].graph
    numbers = graph.reachable([expr.number for expr in exprs])
    return [Expr(graph, number) for number in numbers if graph.nodes[number].op is SYMBOL]


def _shape(expr: Expr) -> str:
    return dims.show(expr.shape) or "() of a scalar"
