"""One printer of a `Program`: NumPy source, as a careful person would write it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeGuard

from symbackprop.dims import Dim, Shape
from symbackprop.lower.program import Accumulate, Assign, Call, Output, Program, Ref, Store, Term
from symbackprop.op import ATOM, CONSTANT
from symbackprop.ops import add, divide, multiply, subtract
from symbackprop.ops.layout import shape_text
from symbackprop.ops.leaf import SIZE

_SIGNS = {add: "+=", subtract: "-=", multiply: "*=", divide: "/="}
_INDENT = "    "


def source(program: Program) -> str:
    """Write the program as a Python module that imports NumPy alone.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.compile([x], {"norm": sb.sum(x * x)}, name="f").source)
    import numpy as np
    <BLANKLINE>
    <BLANKLINE>
    def f(x):
        \"""Compute norm from x[N].
    <BLANKLINE>
        norm = sum(x²)
        \"""
        N, = x.shape
        norm = np.square(x).sum()
        return {"norm": norm}
    <BLANKLINE>
    """
    helpers = dict.fromkeys(call.op.helper.strip() for call in program.calls() if call.op.helper)
    parameters = ", ".join(parameter.name for parameter in program.inputs)
    lines = ["import numpy as np", "", ""]
    for helper in helpers:
        lines += [*helper.splitlines(), "", ""]
    lines.append(f"def {program.name}({parameters}):")
    body = [*_docstring(program), *_checks(program), *_statements(program), _returned(program)]
    return "\n".join(lines + [_INDENT + line if line else "" for line in body]) + "\n"


def _docstring(program: Program) -> Iterator[str]:
    results = ", ".join(output.key or _name(output) for output in program.outputs)
    updated = ", ".join(parameter.name for parameter in program.inputs if parameter.updated)
    taken = ", ".join(_described(parameter.name, parameter.shape) for parameter in program.inputs)
    does = " and ".join(
        part for part in (results and f"compute {results}", updated and f"update {updated} in place") if part
    )
    does = does or "do nothing"
    first = f"{does[0].upper()}{does[1:]}{taken and f' from {taken}'}."
    if not program.notes:
        yield f'"""{first}"""'
        return
    yield f'"""{first}'
    yield ""
    yield from program.notes
    yield '"""'


def _described(name: str, shape: Shape) -> str:
    return f"{name}[{', '.join(map(str, shape))}]" if shape else name


def _name(output: Output) -> str:
    return output.value.name if isinstance(output.value, Ref) else "the result"


def _checks(program: Program) -> Iterator[str]:
    """Learn the sizes from the first arrays that have them, and compare all other shapes."""
    known: set[str] = set()
    compared: list[tuple[str, str]] = []
    learnt: list[str] = []
    for parameter in program.inputs:
        names = [size.name if isinstance(size, Dim) else None for size in parameter.shape]
        new = [name for name in names if name and name not in known]
        if new and len(set(new)) == len(names):
            learnt.append(f"{', '.join(new)}{',' * (len(new) == 1)} = {parameter.name}.shape")
        else:
            for axis, name in enumerate(names):
                if name and name not in known and name in new[: new.index(name) + 1]:
                    learnt.append(f"{name} = {parameter.name}.shape[{axis}]")
                    known.add(name)
            shape = f"{parameter.name}.shape" if parameter.shape else f"np.shape({parameter.name})"
            compared.append((shape, shape_text(parameter.shape)))
        known.update(new)
    yield from learnt
    if compared:
        found, wanted = (", ".join(column) for column in zip(*compared, strict=True))
        if len(compared) > 1:
            found, wanted = f"({found})", f"({wanted})"
        shapes = ", ".join(_described(parameter.name, parameter.shape) for parameter in program.inputs)
        yield f"if {found} != {wanted}:"
        yield f'{_INDENT}raise ValueError("the shapes must be {shapes}")'
    for requirement in program.requirements:
        yield f"if {requirement.size} < 0:"
        yield f"{_INDENT}raise ValueError({f'{requirement.reason} needs {requirement.size} >= 0'!r})"


def _statements(program: Program) -> Iterator[str]:
    for statement in program.statements:
        in_place = not isinstance(statement, Assign)
        value = _weak(statement.value)[0] if in_place and _is_number(statement.value) else expression(statement.value)
        if isinstance(statement, Assign):
            yield f"{statement.target} = {_copied(statement.value, value) if statement.copy else value}"
        elif isinstance(statement, Accumulate):
            yield f"{statement.target} {_SIGNS[statement.op]} {value}"
        elif isinstance(statement, Store):
            yield f"{statement.target}[...] = {value}"


def _copied(term: Term, text: str) -> str:
    return f"{text}.copy()" if isinstance(term, Ref) else f"({text}).copy()"


def _returned(program: Program) -> str:
    values = []
    for output in program.outputs:
        text = expression(output.value)
        values.append(_copied(output.value, text) if output.copy else text)
    if program.form == "dict":
        pairs = [f"{_quoted(output.key or '')}: {value}" for output, value in zip(program.outputs, values, strict=True)]
        return f"return {{{', '.join(pairs)}}}"
    if program.form == "one":
        return f"return {values[0]}"
    if program.form == "list":
        return f"return [{', '.join(values)}]"
    return f"return ({values[0]},)" if len(values) == 1 else f"return {', '.join(values) or '()'}"


def _quoted(text: str) -> str:
    return repr(text) if '"' in text or "\\" in text or not text.isprintable() else f'"{text}"'


def expression(term: Term) -> str:
    """Write a term as a Python expression."""
    return _written(term)[0]


def _written(term: Term) -> tuple[str, int]:
    if isinstance(term, Ref):
        return term.name, ATOM
    if term.op is CONSTANT or term.op is SIZE:
        return _strong(term)
    form = term.op.form(term.op.numpy, term.params, tuple(arg.shape for arg in term.args))
    weak = _takes_weak(term)
    parts = []
    for position, arg in enumerate(term.args):
        text, precedence = _weak(arg) if weak and _is_number(arg) else _written(arg)
        parts.append(f"({text})" if precedence < form.need(position) else text)
    return form.fill(parts), form.precedence


def _is_number(term: Term) -> TypeGuard[Call]:
    return isinstance(term, Call) and not term.shape and (term.op is CONSTANT or term.op is SIZE)


def _takes_weak(call: Call) -> bool:
    """Tell whether Python numbers among the operands leave the dtype as it should be."""
    if not call.op.elementwise or all(_is_number(arg) for arg in call.args):
        return False
    kinds: Sequence[object] = [_number_of(arg) if _is_number(arg) else arg.dtype for arg in call.args]
    return call.op.dtype(*kinds, **call.params) == call.dtype


def _number_of(number: Call) -> object:
    return 1 if number.op is SIZE else number.params["value"].array.item()


def _weak(number: Call) -> tuple[str, int]:
    form = number.op.form(number.op.numpy, number.params, ())
    return form.template, form.precedence


def _strong(number: Call) -> tuple[str, int]:
    text, precedence = _weak(number)
    return (text, precedence) if number.shape else (f"np.{number.dtype.name}({text})", ATOM)
