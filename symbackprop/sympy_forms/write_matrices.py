"""How ops are written as SymPy's matrices; a vector is one column, and a scalar stays one."""

from __future__ import annotations

from collections.abc import Mapping

from symbackprop.graph import Node
from symbackprop.sympy_forms.walk import Steps, at_once, each
from symbackprop.sympy_forms.write_elements import array_symbol
from symbackprop.sympy_forms.writer import Basic, Part, Rule, Writer


def _of(number: int) -> Part:
    return Part(number, "matrix")


@at_once
def _symbol(writer: Writer, node: Node, _part: Part) -> Basic:
    return array_symbol(writer, node)


def _solve(_writer: Writer, node: Node, _part: Part) -> Steps[Part]:
    matrix, right = yield from each(map(_of, node.inputs))
    return matrix.inv() * right


RULES: Mapping[str, Rule] = {"symbol": _symbol, "solve": _solve}
