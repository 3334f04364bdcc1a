"""One expression as NumPy code to be pasted: the formula as Python writes it, with what is shared in lines above."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

from symbackprop import dims
from symbackprop.dims import Dim, Size
from symbackprop.expr import Expr
from symbackprop.graph import Node
from symbackprop.op import ATOM
from symbackprop.ops.layout import BROADCAST_TO
from symbackprop.ops.leaf import SYMBOL
from symbackprop.rewrite import simplify as simplified
from symbackprop.spelling import Names, Spelled, renamed, safe_sizes, spelled

_NAME = re.compile(r"[^\W\d]\w*")


def numpy_code(expr: Expr, *, simplify: bool = True, line_width: int = 88) -> str:
    """Give NumPy code for one expression, for people to read and paste: assignments, and the expression last.

    The symbols' names stand for their arrays, and NumPy is known as ``np``. Values that are used twice, those that
    were given a name, and sizes have lines of their own; so have the definitions of functions that NumPy lacks.
    `symbackprop.compile` makes a function that also checks shapes and is faster.

    Args:
        expr: the expression.
        simplify: rewrite it first, as `symbackprop.simplify` does.
        line_width: the length beyond which an operand gets a line of its own.

    >>> import symbackprop as sb
    >>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    >>> print(numpy_code(sb.grad(sb.mean((X @ w - y)**2), w)))
    N = X.shape[0]
    2.0 * ((X @ w - y) @ X) / N
    >>> z = X @ w
    >>> print(numpy_code(z * sb.exp(-z)))
    t1 = X @ w
    t1 * np.exp(-t1)
    """
    return _Code(simplified(expr) if simplify else expr, line_width).text()


class _Code:
    """Writes one expression.

    Args:
        expr: the expression.
        width: the length beyond which an operand gets a line of its own.
    """

    def __init__(self, expr: Expr, width: int) -> None:
        """Choose names for the symbols and the sizes."""
        self.root = expr.number
        self.width = width
        self.nodes = expr.graph.nodes
        self.reached = expr.graph.reachable([self.root])
        self.operands: dict[int, tuple[int, ...]] = {}
        plain: dict[int, int] = {}
        for number in self.reached:
            node = self.nodes[number]
            plain[number] = plain[node.inputs[0]] if node.op is BROADCAST_TO else number
            bare = tuple(plain[operand] for operand in node.inputs)
            alike = node.op.elementwise and dims.broadcast(*(self.nodes[each].shape for each in bare)) == node.shape
            self.operands[number] = bare if alike else node.inputs
        used = {self.root}
        for number in reversed(self.reached):
            if number in used:
                used.update(self.operands[number])
        self.order = [number for number in self.reached if number in used]
        self.uses = Counter(operand for number in self.order for operand in self.operands[number])
        helpers = "\n".join(self.helpers())
        names = Names({"np", "special", *_NAME.findall(helpers)})
        self.symbols = {
            number: names.take(self.nodes[number].params["name"])
            for number in self.order
            if self.nodes[number].op is SYMBOL
        }
        self.renamed = safe_sizes(self._size_names(), names)
        self.names = names
        self.lines: list[str] = []
        self.written: dict[int, Spelled] = {}
        self.assigned: set[int] = set()

    def helpers(self) -> Iterator[str]:
        """Give the definitions of functions that NumPy lacks."""
        ops = dict.fromkeys(self.nodes[number].op for number in self.order)
        yield from dict.fromkeys(helper for op in ops for helper in op.helpers())

    def _size_names(self) -> set[str]:
        return {name for number in self.order for size in self._sizes(self.nodes[number]) for name in size.names}

    def _sizes(self, node: Node) -> Iterator[Dim]:
        flat: list[Any] = [node.shape, *node.params.values()]
        while flat:
            each = flat.pop()
            if isinstance(each, Dim):
                yield each
            elif isinstance(each, tuple):
                flat += each

    def text(self) -> str:
        """Write every node from its operands, then the lines in their order."""
        for number in self.order:
            self.written[number] = self._piece(number)
            if (
                number != self.root
                and self.nodes[number].inputs
                and (self.uses[number] > 1 or self.nodes[number].label)
            ):
                self._assign(number)
        body = [*self.lines, self.written[self.root].text]
        imports = sorted({f"{line}\n" for number in self.order for line in self.nodes[number].op.imports})
        helpers = [f"{helper}\n\n" for helper in self.helpers()]
        return "\n".join([*imports, *helpers, *self._size_lines("\n".join(body)), *body])

    def _piece(self, number: int) -> Spelled:
        node = self.nodes[number]
        if node.op is SYMBOL:
            return Spelled(self.symbols[number], ATOM, node.shape, node.dtype)
        piece = self._spelled(number)
        if len(piece.text) > self.width:
            inner = {operand for operand in self.operands[number] if self.nodes[operand].inputs} - self.assigned
            longest = sorted(inner, key=lambda operand: (-len(self.written[operand].text), operand))
            count = 1
            while longest and len(piece.text) > self.width:
                for operand in longest[:count]:
                    self._assign(operand)
                piece = self._spelled(number)
                longest, count = longest[count:], 2 * count
        return piece

    def _spelled(self, number: int) -> Spelled:
        node = self.nodes[number]
        params: Mapping[str, Any] = {name: renamed(param, self.renamed) for name, param in node.params.items()}
        operands = [self.written[operand] for operand in self.operands[number]]
        return spelled(node.op, params, renamed(node.shape, self.renamed), node.dtype, operands)

    def _assign(self, number: int) -> None:
        if number in self.assigned:
            return
        self.assigned.add(number)
        piece = self.written[number]
        name = self.names.take(self.nodes[number].label)
        self.lines.append(f"{name} = {piece.text}")
        self.written[number] = piece._replace(text=name, precedence=ATOM, number=None)

    def _size_lines(self, body: str) -> Iterator[str]:
        """Give a line for each size that the body names, from an array that has it."""
        wanted = set(_NAME.findall(body))
        known: set[str] = set()
        for number, symbol in sorted(self.symbols.items(), key=itemgetter(1)):
            for axis, size in enumerate(self.nodes[number].shape):
                name = str(self._renamed_size(size))
                if isinstance(size, Dim) and size.name and name in wanted - known:
                    known.add(name)
                    yield f"{name} = {symbol}.shape[{axis}]"

    def _renamed_size(self, size: Size) -> Size:
        found: Size = renamed((size,), self.renamed)[0]
        return found


Expr.views["numpy_code"] = numpy_code
