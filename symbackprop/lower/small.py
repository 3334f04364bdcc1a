"""What is written otherwise where arrays are small, and the call of a NumPy function takes longer than its work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from symbackprop.lower.program import Blocked, Call, Program, Statement, Term
from symbackprop.op import ATOM, Form
from symbackprop.ops import matmul

_DOT = replace(matmul, numpy=Form("$0.dot($1)", ATOM, (ATOM,)))  # the same product, with less to do before it
_MULTIPLIED_BY_BLAS = {np.dtype("float32"), np.dtype("float64")}


def for_small_arrays(program: Program) -> Program:
    """Give the program with products of vectors and matrices as methods, which NumPy calls twice as fast.

    >>> import symbackprop as sb
    >>> X, w = sb.symbols("X[N,D] w[D]")
    >>> f = sb.compile([X, w], X @ w)
    >>> result = f([[1.0, 2.0]], [3.0, 4.0])
    >>> print(f.source.splitlines()[-2])
        result = X.dot(w)
    """
    statements = tuple(map(_statement, program.statements))
    outputs = tuple(output._replace(value=_term(output.value)) for output in program.outputs)
    return program._replace(statements=statements, outputs=outputs)


def _statement(statement: Statement) -> Statement:
    return statement if isinstance(statement, Blocked) else statement._replace(value=_term(statement.value))


def _term(term: Term) -> Term:
    if not isinstance(term, Call):
        return term
    plain = all(len(arg.shape) <= 2 and arg.dtype in _MULTIPLIED_BY_BLAS for arg in term.args)
    return term._replace(op=_DOT if term.op is matmul and plain else term.op, args=tuple(map(_term, term.args)))
