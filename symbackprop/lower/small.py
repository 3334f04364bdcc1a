"""What is written otherwise where arrays are small, and the call of a NumPy function takes longer than its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from symbackprop.dims import Size
from symbackprop.lower.program import Assign, Blocked, Call, Program, Ref, Statement, Term, assigned_by
from symbackprop.op import ATOM, Dtype, Form, Op
from symbackprop.ops import matmul
from symbackprop.ops.reduce import SUM
from symbackprop.spelling import Names

_DOT = replace(matmul, numpy=Form("$0.dot($1)", ATOM, (ATOM,)))  # the same product, with less to do before it
_MULTIPLIED_BY_BLAS = {np.dtype("float32"), np.dtype("float64")}
_OFTEN = 2  # sums over rows that are worth a vector of ones

_Rows: TypeAlias = tuple[Size, Dtype]


def for_small_arrays(program: Program) -> Program:
    """Give the program with products of vectors and matrices as methods, which NumPy calls twice as fast.

    Sums over the rows of matrices, where there are several, are products with a vector of ones, too: three times as
    fast.

    >>> import symbackprop as sb
    >>> X, w = sb.symbols("X[N,D] w[D]")
    >>> f = sb.compile([X, w], X @ w)
    >>> result = f([[1.0, 2.0]], [3.0, 4.0])
    >>> print(f.source.splitlines()[-2])
        result = X.dot(w)
    """
    counts = Counter(rows for call in _called(program) if (rows := _summed(call)))
    often = [rows for rows, count in counts.items() if count >= _OFTEN]
    names = Names(_taken(program))
    ones = {rows: Ref(names.take("ones"), rows[:1], rows[1]) for rows in often}
    made = tuple(Assign(ref.name, Call(_ones(ref), {}, (), ref.shape, ref.dtype)) for ref in ones.values())
    statements = tuple(_statement(statement, ones) for statement in program.statements)
    outputs = tuple(output._replace(value=_term(output.value, ones)) for output in program.outputs)
    return program._replace(statements=made + statements, outputs=outputs)


def _called(program: Program) -> Iterator[Call]:
    whole = tuple(each for each in program.statements if not isinstance(each, Blocked))
    return program._replace(statements=whole).calls()


def _summed(call: Call) -> _Rows | None:
    """Give how many rows of which dtype are summed, if that is what is done."""
    if call.op is not SUM or call.params["keepdims"] or call.params["axes"] != (-2,) or len(call.args[0].shape) != 2:
        return None
    return (call.args[0].shape[0], call.dtype) if call.dtype in _MULTIPLIED_BY_BLAS else None


def _ones(ref: Ref) -> Op:
    kind = "" if ref.dtype == np.float64 else f", dtype=np.{ref.dtype.name}"
    return replace(SUM, name="ones", numpy=Form(f"np.ones({ref.shape[0]}{kind})"), helper=None)


def _taken(program: Program) -> Iterator[str]:
    yield program.name
    for each in program.inputs:
        yield each.name
        yield from map(str, each.shape)
    yield from (each.name for each in program.constants)
    for statement in program.statements:
        yield from assigned_by(statement)


def _statement(statement: Statement, ones: Mapping[_Rows, Ref]) -> Statement:
    return statement if isinstance(statement, Blocked) else statement._replace(value=_term(statement.value, ones))


def _term(term: Term, ones: Mapping[_Rows, Ref]) -> Term:
    if not isinstance(term, Call):
        return term
    args = tuple(_term(arg, ones) for arg in term.args)
    rows = _summed(term)
    if rows is not None and rows in ones:
        return Call(_DOT, {}, (ones[rows], *args), term.shape, term.dtype)
    plain = all(len(arg.shape) <= 2 and arg.dtype in _MULTIPLIED_BY_BLAS for arg in term.args)
    return term._replace(op=_DOT if term.op is matmul and plain else term.op, args=args)
