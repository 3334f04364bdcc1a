"""From a tree to an expression: what names, signs and functions mean, and whose fault it is if they do not fit."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from symbackprop import ops
from symbackprop.dims import Dim, Shape, Size
from symbackprop.errors import ShapeError, SymbackpropError, did_you_mean
from symbackprop.expr import Expr
from symbackprop.language.grammar import Form, Tree
from symbackprop.language.tokens import Source, Span
from symbackprop.language.values import Identity, Indexed, Row, elementwise, labelled, matrix_product, sum_over
from symbackprop.language.vocabulary import (
    BARS,
    CONSTANTS,
    ELEMENTWISE,
    FUNCTIONS,
    INFIX,
    PREFIX,
    SIZE_PARAMETERS,
    Function,
    signature,
)
from symbackprop.op import Dtype, Op, literal
from symbackprop.ops.determinants import LOGABSDET, det

Value: TypeAlias = Any  # an Expr, a number, a size, a row, …; in arguments and indices also None, ..., slices, tuples
Values: TypeAlias = Mapping[Tree, Value]

_VALUES = Expr | Row | Identity | Indexed

_WORDS: Mapping[str, Value] = {
    "π": CONSTANTS["pi"],
    "True": True,
    "False": False,
    "None": None,
    "...": ...,
    "inf": np.inf,
    "nan": np.nan,
}
_SIZE_SIGNS = {"+", "-", "−", "*", "·", "", "//"}  # what gives a size of sizes
_PRODUCTS = {"", "·", "*", "⊙", "@"}
_UNARY: Mapping[str, Callable[[Any], Any]] = {
    "-": operator.neg,
    "−": operator.neg,
    "+": operator.pos,
    "~": operator.invert,
    **PREFIX,
}
_LOGIC = {"∧", "∨", "&", "|", "¬", "~"}
_LONGEST_SIZE = 60


class Evaluator:
    """Builds the expression of one text.

    Args:
        source: the text, to point at.
        names: what names stand for.
        sizes: the named sizes.
        dtype: the dtype of numbers that stand alone; numbers are weak beside symbols.
        shape: the shape that the whole is known to have, or None.
    """

    def __init__(
        self, source: Source, names: Mapping[str, Value], sizes: Mapping[str, Value], dtype: Dtype, shape: Shape | None
    ) -> None:
        """Take the text and what is known."""
        self.source = source
        self.names = names
        self.sizes = sizes
        self.dtype = dtype
        self.shape = shape
        self.letters: Mapping[Tree, Mapping[str, Size]] = {}

    def value(self, root: Tree) -> Value:
        """Give the value of a tree.

        Raises:
            ParseError: a name or a function is unknown, or something stands where it has no meaning.
            ShapeError: operands do not fit.
            DtypeError: an operation does not take its operands' dtypes.
        """
        values: dict[Tree, Value] = {}
        self.letters = _sizes_of_letters(root, self.names, self.shape or ())
        for node in _post_order(root):
            values[node] = self._BY_FORM[node.form](self, node, values)
        return self._counted(values[root], root)

    def result(self, root: Tree, value: Value) -> Expr:
        """Give the expression that a text stands for."""
        shape = self.shape or ()
        match value:
            case Row(expr):
                return expr
            case Identity():
                return self._expr(self._guarded(lambda: value.beside(shape), root.span), root)
            case Indexed():
                message = f"the indices {', '.join(value.labels)} are free; write [ … ] with the indices behind it"
                raise self.source.error(message, root.span, ShapeError)
        return self._expr(value, root)

    # --- leaves and brackets ----------------------------------------------------------------------------------

    def _number(self, node: Tree, _values: Values) -> Value:
        return int(node.text) if node.text.isdecimal() else float(node.text)

    def _named(self, node: Tree, _values: Values) -> Value:
        name = node.text
        if node.sized and name in self.sizes:
            return self.sizes[name]
        for known in (self.names, _WORDS, CONSTANTS):
            if name in known:
                return known[name]
        if name == "I":
            return Identity(self.dtype)
        if name in FUNCTIONS:
            raise self.source.error(f"{name!r} is a function; write {name}(…)", node.span)
        if node.sized and name.isidentifier():
            return Dim.named(name)
        hint = did_you_mean(name, [*self.names, *FUNCTIONS]) or f"; known are {', '.join([*self.names, *CONSTANTS])}"
        raise self.source.error(f"unknown name {name!r}{hint}", node.span)

    def _text(self, node: Tree, _values: Values) -> Value:
        return self.names.get(node.text, node.text)

    def _grouped(self, node: Tree, values: Values) -> Value:
        (part,) = node.parts
        return self._counted(values[part], part)

    def _counted(self, value: Value, node: Tree) -> Value:
        """Give the number 1 or 0 where a number stands in Iverson's brackets, which was a truth value once."""
        number = node.form is Form.LIST and isinstance(value, tuple) and len(value) == 1
        return self._operand(value, node) if number else value

    def _several(self, node: Tree, values: Values) -> Value:
        return tuple(values[part] for part in node.parts)

    def _listed(self, node: Tree, values: Values) -> Value:
        """Give the elements of a list; a truth value in brackets is Iverson's number 1 or 0."""
        found = tuple(values[part] for part in node.parts)
        if len(found) == 1 and not node.sized and _is_truth(found[0]):
            return self._apply(lambda x: ops.astype(x, self.dtype), found, node.span)
        return found

    def _sliced(self, node: Tree, values: Values) -> Value:
        return slice(*(None if part.form is Form.ABSENT else values[part] for part in node.parts))

    def _absent(self, _node: Tree, _values: Values) -> Value:
        return None

    # --- signs ------------------------------------------------------------------------------------------------

    def _prefix(self, node: Tree, values: Values) -> Value:
        value, build = self._truth(node.parts[0], values, node.text), _UNARY[node.text]
        if node.text == "+":
            return value
        if node.text in "-−" and type(value) in (int, float, Dim):
            return -value
        if node.text in "-−" and isinstance(value, Row | Identity):
            return value.times(-1.0) if isinstance(value, Identity) else Row(-value.expr)
        if node.text in "-−" and isinstance(value, Indexed) and value.open:
            return value.times(self._indexed(-1.0))
        return self._apply(build, (self._operand(value, node.parts[0], weak=False),), node.at)

    def _infix(self, node: Tree, values: Values) -> Value:
        sign = node.text
        left, right = (self._truth(part, values, sign) for part in node.parts)
        if sign in _SIZE_SIGNS and _make_a_size(left, right):
            build = INFIX[sign or "*"].build
            return self._guarded(lambda: build(left, right), node.at)
        left, right = (self._operand(each, part) for each, part in zip((left, right), node.parts, strict=True))
        if not isinstance(left, _VALUES) and not isinstance(right, _VALUES):
            left = self._expr(left, node.parts[0])  # a node, so that Python computes nothing
        at = node.at if sign else node.parts[1].span
        return self._guarded(lambda: self._combined(sign, left, right), at)

    def _combined(self, sign: str, left: Value, right: Value) -> Value:
        """Build what a sign makes of two operands."""
        if isinstance(left, Indexed) or isinstance(right, Indexed):
            if sign == "/" and not isinstance(right, Indexed) and left.open:
                sign, right = "·", 1.0 / right
            indexed = self._indexed(left).times(self._indexed(right)) if sign in _PRODUCTS else None
            return indexed or elementwise(INFIX[sign].build, (left, right))
        if sign in _PRODUCTS and (sign != "@" or isinstance(left, Row | Identity) or isinstance(right, Row | Identity)):
            return self._product(sign, left, right)
        if isinstance(left, Row | Identity):
            if sign == "/" and not _rank(right):
                return (
                    left._replace(factor=left.factor / right) if isinstance(left, Identity) else Row(left.expr / right)
                )
            if sign in "+-−" and type(left) is type(right):
                total = INFIX[sign].build(left[-1], right[-1])
                return left._replace(factor=total) if isinstance(left, Identity) else Row(total)
        left, right = (_beside(one, other) for one, other in ((left, right), (right, left)))
        return INFIX[sign].build(left, right)

    def _product(self, sign: str, left: Value, right: Value) -> Value:
        """Give the product that a sign, or no sign, stands for: with a scalar it is the same for all."""
        for one, other, turned in ((left, right, False), (right, left, True)):
            whole = sign not in {"*", "⊙"} or isinstance(other, Identity)
            if isinstance(one, Identity) and whole:
                return other if one.is_plain else self._product("", one.factor, other)
            if not _rank(one) and isinstance(other, Row | Identity):
                return other.times(one)
            if not _rank(one):
                return other * one if turned else one * other
        if sign in {"*", "⊙"}:
            left, right = (_beside(one, other) for one, other in ((left, right), (right, left)))
            return left * right
        return matrix_product(left, right)

    def _bars(self, node: Tree, values: Values) -> Value:
        return self._apply(BARS[node.text], (self._plain(values[node.parts[0]], node.parts[0]),), node.at)

    def _floor(self, node: Tree, values: Values) -> Value:
        return self._infix(node, values)

    def _raised(self, node: Tree, values: Values) -> Value:
        """Give a power, an inverse or a transpose: of matrices A⁻¹ is the inverse and A² acts on each element."""
        (part,) = node.parts
        value = self._operand(values[part], part, weak=False)
        if node.text == "T":
            return self._turned(value, node)
        if isinstance(value, Identity):
            return value._replace(factor=value.factor ** (-1 if node.text == "-T" else int(node.text)))
        rank = _rank(value)
        if node.text == "-T" or (node.text == "-1" and rank > 1):
            if rank < 2:
                raise self.source.error("⁻ᵀ is for matrices", node.at)
            inverse = self._apply(ops.linalg.inv, (value,), node.at)
            return self._turned(inverse, node) if node.text == "-T" else inverse
        if rank > 1 and node.text.startswith("-"):
            raise self.source.error(
                "of a matrix only ⁻¹, the inverse, is negative; of its elements write 1/A²", node.at
            )
        exponent = int(node.text)
        return self._apply(lambda x: x**exponent, (value,), node.at)

    def _turned(self, value: Value, node: Tree) -> Value:
        match value:
            case Row():
                return value.expr
            case Identity():
                return value
            case Expr() if value.ndim == 1:
                return Row(value)
            case Expr() if value.ndim <= 2:
                return value.T
        raise self.source.error("ᵀ is for vectors and matrices; write transpose(x, axes)", node.at)

    def _dot_t(self, node: Tree, values: Values) -> Value:
        array = self._plain(values[node.parts[0]], node.parts[0])
        return self._guarded(lambda: array.T, node.at)

    # --- indices ----------------------------------------------------------------------------------------------

    def _index(self, node: Tree, values: Values) -> Value:
        array = self._plain(values[node.parts[0]], node.parts[0])
        index = values[node.parts[1]]
        return self._guarded(lambda: array[index], node.at)

    def _lowered(self, node: Tree, values: Values) -> Value:
        """Give the element at indices, or collect the elements in square brackets to an array."""
        (part,) = node.parts
        value, labels = values[part], node.text
        inside = values[part.parts[0]] if part.form is Form.LIST and len(part.parts) == 1 else ()
        if not _rank(inside) and isinstance(inside, _VALUES | Dim | int | float):
            element = self._indexed(value if isinstance(value, Indexed) else self._operand(inside, part))
            if len(set(labels)) < len(labels):
                raise self.source.error("an index stands twice behind the bracket", node.at)
            return self._guarded(lambda: element.array(labels), node.at)
        if isinstance(value, Identity) and len(labels) == 2:
            delta = Indexed(((None, labels),)).settled(self.letters.get(node, {}))
            return delta if value.is_plain else self._indexed(value.factor).times(delta)
        array: Expr | Indexed = self._plain(value, part)
        if isinstance(array, Indexed):  # a truth value as a number, in brackets: [[aᵢ]]ᵢ
            return self._guarded(lambda: array.array(labels), node.at)
        return self._guarded(lambda: labelled(array, labels), node.at)

    def _summed(self, node: Tree, values: Values) -> Value:
        (part,) = node.parts
        body = self._indexed(self._operand(values[part], part))
        return self._guarded(lambda: sum_over(body, node.text), node.at)

    def _indexed(self, value: Value) -> Indexed:
        if isinstance(value, Indexed):
            return value
        found = value if isinstance(value, Expr) else literal(value, self.dtype)
        return labelled(found, "")

    # --- calls ------------------------------------------------------------------------------------------------

    def _keyword(self, node: Tree, values: Values) -> Value:
        return values[node.parts[0]]

    def _call(self, node: Tree, values: Values) -> Value:
        name, at = node.text, node.at
        if name in {"array", "size"}:
            return self._array(node, values) if name == "array" else self._size(node, values)
        if name not in FUNCTIONS:
            return self._derivative(node, values)
        positional = [part for part in node.parts if part.form is not Form.KEYWORD]
        keywords = {part.text: part.parts[0] for part in node.parts if part.form is Form.KEYWORD}
        try:
            bound = signature(name).bind(*positional, **keywords)
        except TypeError as error:
            raise self.source.error(f"{name}: {error}", at) from None
        function = FUNCTIONS[name]
        if isinstance(function, Op):
            operands = [self._operand(values[part], part) for part in positional]
            if not any(isinstance(operand, _VALUES) for operand in operands):
                operands[0] = self._expr(operands[0], positional[0])
            sized = self._log_of_det(function, operands)
            return self._apply(function, operands, at) if sized is None else sized
        for parameter, given in bound.arguments.items():
            parts = given if isinstance(given, tuple) else (given,)
            found = tuple(self._argument(name, parameter, part, values) for part in parts)
            bound.arguments[parameter] = found if isinstance(given, tuple) else found[0]
        first = next(iter(bound.arguments), "")
        number = type(bound.arguments.get(first)) in (int, float)
        if number and first not in SIZE_PARAMETERS and bound.signature.parameters[first].annotation != "int":
            bound.arguments[first] = literal(bound.arguments[first], self.dtype)
        if any(isinstance(value, Indexed) for value in bound.args):
            if name not in ELEMENTWISE:
                raise self.source.error(f"{name} does not act on single elements", at)
            return self._apply(lambda *xs: function(*xs, **bound.kwargs), bound.args, at)
        return self._guarded(lambda: function(*bound.args, **bound.kwargs), at)

    def _argument(self, name: str, parameter: str, part: Tree, values: Values) -> Value:
        value = values[part]
        if parameter in {"axis", "axes"} and not _is_axis(value):
            msg = f"{name}: {parameter} is a whole number such as 0 or -1, or a tuple of them"
            raise self.source.error(msg, part.span)
        if isinstance(value, Dim) and parameter not in SIZE_PARAMETERS:
            return self._expr(value, part)
        if isinstance(value, tuple) and parameter == "arrays":
            return tuple(self._plain(each, part, weak=True) for each in value)
        listed = parameter in {*SIZE_PARAMETERS, "axis", "axes", "index"}
        single = isinstance(value, tuple) and part.form is Form.LIST and not listed
        return self._plain(value, part) if single or isinstance(value, Row | Identity) else value

    def _log_of_det(self, function: Op, operands: list[Value]) -> Expr | None:
        """Give log|det(A)|, which does not overflow."""
        inside = operands[0]
        if function is not ops.log or not isinstance(inside, Expr) or inside.op is not ops.abs:
            return None
        (found,) = inside.inputs
        return LOGABSDET(found.inputs[0]) if found.op is det else None

    def _derivative(self, node: Tree, values: Values) -> Value:
        """Give the derivative of an elementwise function: σ′(z)."""
        base = node.text.removesuffix("′")
        function = FUNCTIONS.get(base)
        if base == node.text or function is None:
            self._unknown_function(node)
        if not isinstance(function, Op) or len(function.vjps) != 1 or function.rule(0) is None or len(node.parts) != 1:
            raise self.source.error(f"{base} is no function of one number that has a derivative", node.at)
        rule, options = function.rule(0), function.options

        def build(x: Expr) -> Expr:
            one = literal(1.0, x.dtype, graph=x.graph)
            return rule(one, function(x), x, **options) if rule else one

        return self._apply(build, (self._operand(values[node.parts[0]], node.parts[0], weak=False),), node.at)

    def _unknown_function(self, node: Tree) -> None:
        near = did_you_mean(node.text, sorted(FUNCTIONS))
        message = f"unknown name {node.text!r}{near}" if near else f"unknown function {node.text!r}"
        raise self.source.error(message, node.at)

    def _array(self, node: Tree, values: Values) -> Value:
        """Give a known array; one that is shown by its shape alone is asked for by that name."""
        found = [values[part] for part in node.parts]
        if len(found) == 1 and isinstance(found[0], tuple):
            numbers = np.array(found[0])
            if numbers.dtype.kind in "biuf":
                return literal(numbers, self.dtype if numbers.dtype.kind == "f" else None)
            raise self.source.error("an array holds numbers", node.span)
        if not all(type(size) is int for size in found):
            raise self.source.error("an array is written array([1, 2])", node.span)
        name = f"array({', '.join(map(str, found))})"
        if name in self.names:
            return self.names[name]
        if 0 in found:
            return literal(np.zeros(found), self.dtype)
        message = f"the values of {name} are not in the text; give them: {{{name!r}: sb.constant(…)}} among the symbols"
        raise self.source.error(message, node.span)

    def _size(self, node: Tree, values: Values) -> Value:
        found = values[node.parts[0]] if len(node.parts) == 1 else None
        if not isinstance(found, Dim | int):
            raise self.source.error("a size is written size(N)", node.span)
        return found

    # --- operands ---------------------------------------------------------------------------------------------

    def _operand(self, value: Value, node: Tree, *, weak: bool = True) -> Value:
        """Give what an operation can take: an expression, or a number, which is weak beside expressions."""
        if isinstance(value, Dim):
            return ops.size_of(value, self.dtype)
        if isinstance(value, _VALUES):
            return value
        if isinstance(value, bool):
            return literal(value)
        if isinstance(value, int | float):
            return value if weak else literal(value, self.dtype)
        if node.form is Form.LIST and len(node.parts) == 1:  # a number that was a truth value before it had a name
            part = self._operand(value[0], node.parts[0], weak=False)
            return self._apply(lambda x: ops.not_equal(x, 0).astype(self.dtype), (part,), node.span)
        if isinstance(value, str):
            raise self.source.error("there are no texts here", node.span)
        what = {tuple: "a tuple", slice: "a slice"}.get(type(value), repr(value).replace("Ellipsis", "..."))
        raise self.source.error(f"an operand is an expression or a number, not {what}", node.span)

    def _truth(self, node: Tree, values: Values, sign: str) -> Value:
        """Give the value of an operand; between logical signs Iverson's brackets are round ones."""
        inside = values[node.parts[0]] if node.form is Form.LIST and len(node.parts) == 1 else None
        return inside if sign in _LOGIC and _is_truth(inside) else values[node]

    def _plain(self, value: Value, node: Tree, *, weak: bool = False) -> Value:
        """Give an expression, without what only formulas know of it."""
        found = self._operand(value, node, weak=weak)
        if isinstance(found, Identity):
            return self._guarded(lambda: found.beside(()), node.span)
        return found.expr if isinstance(found, Row) else found

    def _expr(self, value: Value, node: Tree) -> Expr:
        found = self._operand(value, node, weak=False)
        if not isinstance(found, Expr):
            raise self.source.error("this is no array", node.span)
        return found

    # --- building ---------------------------------------------------------------------------------------------

    def _apply(self, function: Function, operands: tuple[Value, ...] | list[Value], at: Span) -> Value:
        """Apply a function, to single elements if the operands have indices."""
        if any(isinstance(operand, Indexed) for operand in operands):
            return self._guarded(lambda: elementwise(function, operands), at)
        shapes = [operand.shape for operand in operands if isinstance(operand, Expr)]
        return self._guarded(lambda: function(*(_beside_shapes(operand, shapes) for operand in operands)), at)

    def _guarded(self, build: Callable[[], Any], at: Span) -> Any:
        """Build, and show where in the text an error belongs."""
        try:
            return build()
        except SymbackpropError as error:
            kind = type(error)
            raise self.source.error(str(error), at, kind) from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self.source.error(str(error), at) from None

    _BY_FORM: ClassVar[Mapping[Form, Callable[[Evaluator, Tree, Values], Value]]] = {
        Form.NUMBER: _number,
        Form.NAME: _named,
        Form.TEXT: _text,
        Form.GROUP: _grouped,
        Form.TUPLE: _several,
        Form.LIST: _listed,
        Form.INFIX: _infix,
        Form.JUXTAPOSED: _infix,
        Form.PREFIX: _prefix,
        Form.BARS: _bars,
        Form.FLOOR: _floor,
        Form.SUMMED: _summed,
        Form.CALL: _call,
        Form.KEYWORD: _keyword,
        Form.TURNED: _dot_t,
        Form.RAISED: _raised,
        Form.LOWERED: _lowered,
        Form.INDEX: _index,
        Form.SLICE: _sliced,
        Form.ABSENT: _absent,
    }


def _post_order(root: Tree) -> Iterator[Tree]:
    """Give the nodes of a tree, parts before the whole, without recursion."""
    stack = [(root, False)]
    while stack:
        node, finished = stack.pop()
        if finished:
            yield node
            continue
        stack.append((node, True))
        stack += [(part, False) for part in reversed(node.parts)]


def _sizes_of_letters(root: Tree, names: Mapping[str, Value], shape: Shape) -> dict[Tree, dict[str, Size]]:
    """Give for each δᵢⱼ the sizes of its letters, as far as elements of known arrays under the same Σ or [ ] tell.

    Where none does, those behind a bracket are the sizes of the shape of the whole, if there are as many.
    """
    deltas: list[tuple[Tree, dict[str, list[Size]]]] = []
    stack: list[tuple[Tree, dict[str, list[Size]]]] = [(root, {})]
    while stack:
        node, scope = stack.pop()
        if node.form is Form.SUMMED or (node.form is Form.LOWERED and node.parts[0].form is Form.LIST):
            bracket = node.form is Form.LOWERED and len(shape) == len(node.text)
            known = dict(zip(node.text, shape, strict=True)) if bracket else {}
            scope = {**scope, **{letter: [known[letter]] if letter in known else [] for letter in node.text}}
        elif node.form is Form.LOWERED:
            base = node.parts[0]
            array = names.get(base.text) if base.form is Form.NAME else None
            if base.form is Form.NAME and base.text == "I":
                deltas.append((node, scope))
            for letter, size in zip(node.text, array.shape if isinstance(array, Expr) else (), strict=False):
                scope.setdefault(letter, []).append(size)
        stack += [(part, scope) for part in node.parts]
    return {node: {letter: scope[letter][-1] for letter in node.text if scope.get(letter)} for node, scope in deltas}


def _rank(value: Value) -> int:
    """Give the number of axes; of an element with indices it is 0."""
    if isinstance(value, Row):
        return 1
    return 2 if isinstance(value, Identity) else value.ndim if isinstance(value, Expr) else 0


def _beside(value: Value, other: Value) -> Value:
    """Give an operand of NumPy's elementwise operations."""
    shape = other.expr.shape if isinstance(other, Row) else other.shape if isinstance(other, Expr) else ()
    return _beside_shapes(value, [shape])


def _beside_shapes(value: Value, shapes: list[Shape]) -> Value:
    if isinstance(value, Identity):
        return value.beside(max(shapes, key=len, default=()))
    return value.expr if isinstance(value, Row) else value


def _is_truth(value: Value) -> bool:
    if isinstance(value, Indexed):
        return len(value.factors) == 1 and _is_truth(value.factors[0][0])
    return isinstance(value, Expr) and value.dtype.kind == "b"


def _make_a_size(left: Value, right: Value) -> bool:
    """Say whether two operands make a named size again: sizes and whole numbers do, while they are short."""
    return (
        (isinstance(left, Dim) or isinstance(right, Dim))
        and all(isinstance(part, Dim) or type(part) is int for part in (left, right))
        and len(f"{left}{right}") <= _LONGEST_SIZE
    )


def _is_axis(value: Value) -> bool:
    return (
        value is None or type(value) is int or (isinstance(value, tuple) and all(type(axis) is int for axis in value))
    )
