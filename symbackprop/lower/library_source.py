"""The other printer of a `Program`: the source for a library of `backends`, in the same form as NumPy's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from symbackprop.errors import BackendError
from symbackprop.lower.backends import Backend
from symbackprop.lower.numpy_source import SIGNS, checks, definition, docstring, returned
from symbackprop.lower.program import Accumulate, Assign, Blocked, Program, Ref, Store, Term
from symbackprop.lower.translation import Writer, device_text
from symbackprop.op import ATOM
from symbackprop.spelling import Spelled


def library_source(program: Program, backend: Backend) -> str:
    """Write the program as a Python module that imports one library alone, or none.

    Raises:
        BackendError: the library does not have what an operation needs.

    >>> import symbackprop as sb
    >>> from symbackprop.lower.backends import backend_of
    >>> x = sb.symbol("x", "N")
    >>> program = sb.compile([x], {"y": sb.sum(sb.exp(x))}).program
    >>> print(library_source(program, backend_of("array_api")).partition("xp = ")[2])
    x.__array_namespace__()
        N, = x.shape
        y = xp.sum(xp.exp(x))
        return {"y": y}
    <BLANKLINE>
    """
    return _Source(program, backend).text()


class _Source:
    def __init__(self, program: Program, backend: Backend) -> None:
        self.program = program
        self.backend = backend
        self.write = Writer(backend)

    def text(self) -> str:
        """Write the module: imports, helpers, known arrays, the function."""
        program = self.program
        constants = [f"{constant.name} = {self.expression(constant.value)}" for constant in program.constants]
        statements = [*self.statements(), *returned(program, self.expression, self.copied)]
        if self.backend.device:  # which is known at the call
            statements, constants = [*constants, *statements], []
        code = "\n".join([*constants, *statements])
        helpers = self.write.helpers([call.op for call in program.calls()], code)
        imports = self.write.imports("\n".join([code, *helpers]))
        lines = [*imports, "", ""] if imports else []
        for helper in helpers:
            lines += [*helper.splitlines(), "", ""]
        for constant in constants:
            lines[-1:] = [constant, ""]
        lines += [""] * bool(constants)
        opening = [*docstring(program, self.expression), *self.library(code), *checks(program, numbers=False)]
        return "\n".join([*lines, *definition(program, [*opening, *statements])]) + "\n"

    def library(self, code: str) -> Iterator[str]:
        """Learn from the first array which library it is of, and where it lives."""
        inputs = self.program.inputs
        if self.backend.passed:
            yield f"{self.backend.module} = {inputs[0].name}.__array_namespace__()"
        if self.backend.device and re.search(r"\bdevice=device\b", code):
            arrays = [each for each in inputs if each.shape] or inputs
            place = device_text if self.backend.passed else "{}.device".format
            yield f"device = {place(arrays[0].name)}" if arrays else "device = None"

    def statements(self) -> Iterator[str]:
        """Write what is done, in order."""
        for statement in self.program.statements:
            if isinstance(statement, Blocked):
                raise BackendError(f"compile: backend {self.backend.name!r} does not compute in blocks")
            written = self.spelled(statement.value)
            if isinstance(statement, Assign):
                value = self.copied(statement.value, written.text) if statement.copy else written.text
                yield f"{statement.target} = {value}"
            elif isinstance(statement, Accumulate):
                yield f"{statement.target} {SIGNS[statement.op]} {self.write.weak(written)}"
            elif isinstance(statement, Store):
                yield f"{statement.target}[...] = {self.write.weak(written)}"

    def copied(self, _term: Term, text: str) -> str:
        """Write the copy of an array."""
        return self.write.copied(text)

    def expression(self, term: Term) -> str:
        """Write a term."""
        return self.spelled(term).text

    def spelled(self, term: Term) -> Spelled:
        """Write a term, with what is known of its value."""
        if isinstance(term, Ref):
            return Spelled(term.name, ATOM, term.shape, term.dtype)
        args = [self.spelled(arg) for arg in term.args]
        return self.write.spelled(term.op, term.params, term.shape, term.dtype, args)
