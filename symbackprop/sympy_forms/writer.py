"""`Writer`, what is known while an expression is written in SymPy.

Each array can be written by its elements: a formula of indices, in which a reduction is an explicit sum. Scalars,
vectors and matrices can also be written as SymPy's matrices, a vector as one column, and what has more axes as its
arrays. Rules ask for whichever they need.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.errors import ArgumentError
from symbackprop.expr import Expr
from symbackprop.graph import Graph, Node
from symbackprop.precise import meaning
from symbackprop.sympy_forms.walk import Steps, each, worked_out
from symbackprop.sympy_names import Written, written

Basic: TypeAlias = Any  # a SymPy expression
Index: TypeAlias = tuple[Basic, ...]
Form: TypeAlias = Literal["element", "matrix", "array"]


class Part(NamedTuple):
    """A node in one of its forms: its element at an index, its matrix, or its array."""

    number: int
    form: Form
    at: Index = ()


Rule: TypeAlias = "Callable[[Writer, Node, Part], Steps[Part]]"

_LETTERS = "ijklmnpqrst"
_MOST_ELEMENTS = 1000  # of an array that is written out


class Writer:
    """What is known while an expression is written.

    Attributes:
        sympy: the module.
        graph: where the expression lives.
        nodes: its nodes.
        taken: the names of its symbols and sizes, which no index may have.
        rules: how the ops are written, by their names, for each form; by "" all others.
        known: the parts that have been written.
        linear: the nodes whose products are written as products of matrices, not as sums over elements.
    """

    def __init__(
        self, sympy: Any, expr: Expr, rules: Mapping[str, Mapping[str, Rule]], linear: Collection[str]
    ) -> None:
        self.sympy = sympy
        self.graph: Graph = expr.graph
        self.nodes = self.graph.nodes
        self.rules = rules
        self.known: dict[Part, Basic] = {}
        reached = [self.nodes[number] for number in self.graph.reachable([expr.number])]
        self.taken = {node.params["name"] for node in reached if node.op.name == "symbol"}
        for node in reached:
            self.taken |= dims.names_of(node.shape)
        self.linear: set[int] = set()
        for number in self.graph.reachable([expr.number]):
            node = self.nodes[number]
            below = [operand for operand in node.inputs if self.nodes[operand].shape]
            applied = (
                node.op.elementwise
                and node.dtype.kind != "b"
                and [self.nodes[at].shape for at in below] == [node.shape]
            )
            if (node.op.name in linear or applied) and len(node.shape) <= 2 and self.linear.issuperset(below):
                self.linear.add(number)

    def write(self, number: int, form: Form) -> Basic:
        """Write a node in one of its forms."""
        try:
            return worked_out(Part(number, form), self.rule, self.known)
        except RecursionError:
            self.refuse(self.nodes[number], "the expression is too deep for SymPy itself; write its parts")

    def rule(self, part: Part) -> Steps[Part]:
        """Give the steps that write a part."""
        node = self.nodes[part.number]
        rules = self.rules[part.form]
        if part.form == "matrix" and self.has_stacks(node):
            return by_elements(self, node, part)
        return rules.get(node.op.name, rules[""])(self, node, part)

    def has_stacks(self, node: Node) -> bool:
        """Tell whether an operand has more axes than a matrix."""
        return any(len(self.nodes[number].shape) > 2 for number in node.inputs)

    def refuse(self, node: Node, why: str) -> NoReturn:
        """Say that SymPy has no words for a node.

        Raises:
            ArgumentError: always.
        """
        number = next(number for number, found in self.nodes.items() if found is node)
        msg = f"to_sympy: {node.op.name}: {why}: {Expr(self.graph, number).describe()}"
        raise ArgumentError(msg)

    # --- sizes and numbers ----------------------------------------------------------------------------------------

    def size(self, size: Size) -> Basic:
        """Write a size; a name becomes an integer symbol that is not negative."""
        s = self.sympy
        if not isinstance(size, Dim):
            return s.Integer(size)
        total = s.S.Zero
        for factors, coefficient in size.terms:
            product = s.Integer(coefficient)
            for factor in factors:
                if isinstance(factor, str):
                    product *= s.Symbol(factor, integer=True, nonnegative=True)
                else:
                    product *= s.floor(self.size(factor[0]) / factor[1])
            total += product
        return total

    def sizes(self, shape: Shape) -> tuple[Basic, ...]:
        """Write a shape."""
        return tuple(map(self.size, shape))

    def number(self, number: Any) -> Basic:
        """Write a number exactly: a float as what it stands for, ½ or π/3, or as the float that it is."""
        s = self.sympy
        if isinstance(number, bool | np.bool_):
            return s.true if number else s.false
        if isinstance(number, int | np.integer):
            return s.Integer(int(number))
        if not np.isfinite(number):
            return s.nan if np.isnan(number) else s.oo if number > 0 else -s.oo
        found = meaning(number)
        if found is None:
            return s.Float(float(number), precision=53)
        value = s.Rational(found.factor.numerator, found.factor.denominator)
        base = {"1": 1, "π": s.pi, "1/π": 1 / s.pi, "e": s.E, "1/e": 1 / s.E}.get(found.base)
        if base is None:
            logarithm = s.log(int(found.base.split()[-1]))
            base = 1 / logarithm if found.base.startswith("1/") else logarithm
        return s.sign(value) * s.sqrt(abs(value) * base) if found.root else value * base

    def multiplied(self, *factors: Basic) -> Basic:
        """Write a product of matrices and numbers as it stands; SymPy's * would work out the sums in it."""
        s = self.sympy
        number = s.S.One
        matrices: list[Basic] = []
        for factor in factors:
            if isinstance(factor, s.MatMul):
                own, inside = factor.as_coeff_matrices()
                number, matrices = number * own, [*matrices, *inside]
            elif getattr(factor, "is_Matrix", False):
                matrices.append(factor)
            else:
                number *= factor
        kept = [matrix for matrix in matrices if not isinstance(matrix, s.Identity)] or matrices[:1]
        return kept[0] if number == 1 and len(kept) == 1 else s.MatMul(*[number] * (number != 1), *kept)

    def added(self, *terms: Basic) -> Basic:
        """Write a sum of matrices as it stands; SymPy's + would work out the sums in it."""
        s = self.sympy
        parts = [part for term in terms for part in (term.args if isinstance(term, s.MatAdd) else (term,))]
        kept = [part for part in parts if not isinstance(part, s.ZeroMatrix)] or parts[:1]
        return kept[0] if len(kept) == 1 else s.MatAdd(*kept)

    def transposed(self, matrix: Basic) -> Basic:
        """Write a transpose; SymPy's .T would work out the sums inside."""
        return self.sympy.Transpose(matrix).doit(deep=False)

    @property
    def arrays(self) -> Any:
        """SymPy's module of arrays in symbols."""
        from sympy.tensor.array import expressions  # noqa: PLC0415  (SymPy is loaded where it is used)

        return expressions

    # --- indices --------------------------------------------------------------------------------------------------

    def fresh(self, index: Sequence[Basic], count: int) -> list[Basic]:
        """Give indices that do not occur in an index, nor are they symbols of the expression."""
        taken = self.taken | {symbol.name for at in index for symbol in at.free_symbols}
        names = (name for name in _names() if name not in taken)
        return [self.sympy.Symbol(next(names), integer=True) for _ in range(count)]

    def variable(self) -> Basic:
        """Give the variable of a function that is applied to each element."""
        name = next(
            name
            for name in ("x", "u", *(f"x{count}" for count in range(1, len(self.taken) + 2)))
            if name not in self.taken
        )
        return self.sympy.Symbol(name, real=True)

    def aligned(self, operand: int, index: Index) -> Index:
        """Give the index of an operand that is broadcast: 0 where it has size 1, and none for axes it lacks."""
        shape = self.nodes[operand].shape
        return tuple(
            self.sympy.S.Zero if size == 1 else at
            for size, at in zip(shape, index[len(index) - len(shape) :], strict=True)
        )


def _names() -> Iterator[str]:
    yield from _LETTERS
    count = 1
    while True:
        for letter in _LETTERS:
            yield f"{letter}{count}"
        count += 1


# --- what has no rule of its own ----------------------------------------------------------------------------------


def as_number(writer: Writer, value: Basic) -> Basic:
    """Give a condition as the number that NumPy makes of it."""
    return writer.sympy.Piecewise((1, value), (0, True))


_OF_CONDITIONS = {"where": 1, "logical_and": 2, "logical_or": 2, "logical_xor": 2, "logical_not": 1}


def operands_at(writer: Writer, node: Node, index: Index) -> Steps[Part]:
    """Give the operands of an elementwise op at an index: conditions where it takes them, numbers elsewhere."""
    conditions = _OF_CONDITIONS.get(node.op.name, 0)
    found = []
    for position, number in enumerate(node.inputs):
        value = yield Part(number, "element", writer.aligned(number, index))
        is_condition = writer.nodes[number].dtype.kind == "b"
        if position < conditions:
            value = value if is_condition else writer.sympy.Ne(value, 0)
        elif is_condition:
            value = as_number(writer, value)
        found.append(value)
    return found


def element(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Write an element of what acts on each element; of others the element of the matrix."""
    function = written(node.op.name) if node.op.elementwise else None
    if function is not None:
        operands = yield from operands_at(writer, node, part.at)
        if node.op.name == "where" and node.dtype.kind == "b":
            return writer.sympy.ITE(*operands)
        return function(writer.sympy, *operands, **node.params)
    if node.op.name in writer.rules["matrix"] and len(node.shape) in {1, 2} and not writer.has_stacks(node):
        matrix = yield Part(part.number, "matrix")
        row, column = (*part.at, writer.sympy.S.Zero)[:2]
        return writer.sympy.matrices.expressions.matexpr.MatrixElement(matrix, row, column)
    writer.refuse(node, "SymPy has nothing like it")


def by_elements(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Write a matrix by its elements: explicitly where its sizes are small numbers."""
    s = writer.sympy
    if node.dtype.kind == "b":
        writer.refuse(node, "SymPy has no arrays of conditions")
    rows, columns = writer.sizes((*node.shape, 1)[:2] if node.shape else (1, 1))
    rank = len(node.shape)
    if rank and rows.is_Integer and columns.is_Integer and rows * columns <= _MOST_ELEMENTS:
        places = [(s.Integer(i), s.Integer(j)) for i in range(int(rows)) for j in range(int(columns))]
        values = yield from each(Part(part.number, "element", place[:rank]) for place in places)
        return s.ImmutableMatrix(int(rows), int(columns), values)
    row, column = writer.fresh((), 2)
    value = yield Part(part.number, "element", (row, column)[:rank])
    return s.FunctionMatrix(rows, columns, s.Lambda((row, column), value))


class OfOneArray(NamedTuple):
    """A function of each element of one array and of scalars.

    Attributes:
        place: which operand is the array.
        function: how SymPy writes it.
    """

    place: int
    function: Written

    def of_variable(self, writer: Writer, node: Node, operands: Sequence[Basic]) -> Basic:
        """Give SymPy's function of a variable that stands for an element of the array."""
        variable = writer.variable()
        given = [variable if place == self.place else operand for place, operand in enumerate(operands)]
        return writer.sympy.Lambda(variable, self.function(writer.sympy, *given, **node.params))


def of_one_array(writer: Writer, node: Node) -> OfOneArray | None:
    """See a node as a function of each element of one array of its shape, if SymPy has such a function."""
    places = [place for place, number in enumerate(node.inputs) if writer.nodes[number].shape]
    function = written(node.op.name) if node.op.elementwise else None
    has_bools = "b" in {node.dtype.kind, *(writer.nodes[number].dtype.kind for number in node.inputs)}
    if function is None or has_bools or [writer.nodes[node.inputs[at]].shape for at in places] != [node.shape]:
        return None
    return OfOneArray(places[0], function)


def written_out(writer: Writer, node: Node, part: Part) -> Steps[Part]:
    """Write an array out, element by element."""
    if node.dtype.kind == "b":
        writer.refuse(node, "SymPy has no arrays of conditions")
    s = writer.sympy
    count = dims.product(node.shape)
    if isinstance(count, Dim) or count > _MOST_ELEMENTS:
        writer.refuse(
            node, "SymPy tells an array of so many axes by its elements only where its sizes are small numbers"
        )
    shape = dims.bind(node.shape, {})
    places = [tuple(map(s.Integer, place)) for place in np.ndindex(*shape)]
    values = yield from each(Part(part.number, "element", place) for place in places)
    return s.ImmutableDenseNDimArray(values, shape)
