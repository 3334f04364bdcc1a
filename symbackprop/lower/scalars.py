"""Scalars as Python's floats: the same arithmetic as NumPy's scalars have, at a third of the time or less.

What raises in Python where NumPy gives infinities or NaN is guarded by small functions (`Op.python_helper`), so that
the values are NumPy's. Only float64 is Python's arithmetic: single precision stays with NumPy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from symbackprop.lower.program import (
    Assign,
    Blocked,
    Call,
    Output,
    Program,
    Ref,
    Statement,
    Term,
    names_in,
    refs_in,
    terms_of,
)
from symbackprop.op import ATOM, CONSTANT, MULTIPLY, SIZE, Form, Op
from symbackprop.ops import divide
from symbackprop.ops.index import STACK
from symbackprop.spelling import Names

_DOUBLE, _TRUTH = np.dtype("float64"), np.dtype("bool")
_SIGN, _CALL = 50, 250  # ns that an operation between floats saves, and a function of one
_IN, _OUT = 50, 60  # ns that a conversion to Python's float takes, and one to NumPy's
_WORTH = 300  # ns: what saves less is not worth the conversions that a reader sees
_SPARE = 100  # floats that Python keeps to make new ones of; beyond them it asks for memory
_SEVERAL = 2  # results that are converted, from which on the name of that is worth being imported
_UNNAMED = re.compile(r"t\d+")  # what `Names` calls a value of which the user has said nothing
_PLAIN = Form("$0 / $1", MULTIPLY, (MULTIPLY, MULTIPLY + 1))


def _conversion(name: str, dtype: np.dtype[np.generic]) -> Op:
    form = Form(f"{name}($0)", ATOM)
    return Op(
        name=name, doc=f"Give a scalar as {name}.", shape=lambda x: x, dtype=lambda _: dtype, vjps=(None,),
        numpy=form, text=form, latex=form,
    )  # fmt: skip


_FLOAT = _conversion("float", _DOUBLE)
_NUMPY = {_DOUBLE: _conversion("np.float64", _DOUBLE), _TRUTH: _conversion("np.bool_", _TRUTH)}


@lru_cache(maxsize=256)
def _python(op: Op, *, plain: bool = False) -> Op:
    """Give the op as Python computes it; a plain quotient is one by a number that is not zero."""
    if plain or op.python is None:
        return replace(op, numpy=_PLAIN, helper=None)
    return replace(op, numpy=op.python, helper=op.python_helper)


def with_python_floats(program: Program) -> Program:
    """Give the program with Python's arithmetic for scalars of float64 where that saves time.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> f = sb.compile([x], sb.exp(x) * sb.sin(x) + x)
    >>> print(f.source[f.source.index("x = "):])
    x = float(x)
        result = scalar_exp(x) * scalar_sin(x) + x
        return np.float64(result)
    <BLANKLINE>
    """
    return _Scalars(program).program()


class _Scalars:
    def __init__(self, given: Program) -> None:
        self.given = given
        self.arrays = {each.name for each in given.inputs if each.updated}  # 0-d arrays, which are written to
        assigned = {at: each for at, each in enumerate(given.statements) if isinstance(each, Assign) and not each.copy}
        self.place = {each.target: at for at, each in assigned.items()}
        self.value = {each.target: each.value for each in assigned.values()}
        self.group = [*range(len(given.statements))]
        self.chosen: set[int] = set()
        self.floats: set[str] = set()  # names of Python's floats and bools
        self.wanted: set[str] = set()  # names that are to be such
        self.statements: list[Statement] = []
        self.names: Names | None = None

    def program(self) -> Program:
        """Write the program down anew, or give it as it is."""
        self._choose()
        if not self.chosen:
            return self.given
        wanted = {each.name for each in self.given.inputs if each.name in self.wanted and each.dtype == _DOUBLE}
        inputs = tuple([each._replace(plain=each.name in wanted) for each in self.given.inputs])
        self.floats |= wanted
        for at, statement in enumerate(self.given.statements):
            inside = self._root(at) in self.chosen
            if isinstance(statement, Blocked):
                body = [each._replace(value=self._array(each.value, inside=False)) for each in statement.body]
                self.statements.append(statement._replace(body=tuple(body)))
            elif isinstance(statement, Assign) and inside and self._fits(statement.value):
                self._define(statement.target, self._scalar(statement.value))
            elif isinstance(statement, Assign) and statement.target in self.wanted:
                self._define(statement.target, self._from_numpy(statement.value, inside=inside))
            else:
                value = self._array(statement.value, inside=inside)
                self.statements.append(statement._replace(value=value))
        outputs = [self._returned(output) for output in self.given.outputs]
        self._use_names_again({ref.name for output in outputs for ref in refs_in(output.value)})
        done = self.given._replace(inputs=inputs, statements=tuple(self.statements), outputs=tuple(outputs))
        return _with_short_conversions(done)

    def _define(self, name: str, value: Term) -> None:
        self.statements.append(Assign(name, value))
        self.floats.add(name)

    # --- what is worth it -------------------------------------------------------------------------------------

    def _choose(self) -> None:
        """Choose the statements, joined by the scalars that they hand on, of which the operations save enough."""
        gain = [0] * len(self.group)
        entering: list[set[str]] = [set() for _ in self.group]
        for at, statement in enumerate(self.given.statements):
            for call in () if isinstance(statement, Blocked) else self._operations(statement.value):
                gain[at] += _CALL if call.op.python_helper or "math." in str(call.op.python) else _SIGN
                for arg in call.args:
                    if isinstance(arg, Call):
                        gain[at] -= 0 if self._fits(arg) or arg.op in {CONSTANT, SIZE} else _IN
                    elif arg.name in self.value and self._fits(self.value[arg.name]):
                        self.group[self._root(at)] = self._root(self.place[arg.name])
                    else:
                        entering[at].add(arg.name)
        totals = [0] * len(self.group)
        names: list[set[str]] = [set() for _ in self.group]
        for at in range(len(self.group)):
            totals[self._root(at)] += gain[at]
            names[self._root(at)] |= entering[at]
        for ref in self._leaving():
            totals[self._root(self.place[ref.name])] -= _OUT
        self.chosen = {at for at, total in enumerate(totals) if total - _IN * len(names[at]) >= _WORTH}
        self.wanted = set().union(*(names[at] for at in self.chosen))

    def _root(self, at: int) -> int:
        while self.group[at] != at:
            self.group[at] = self.group[self.group[at]]
            at = self.group[at]
        return at

    def _fits(self, term: Term) -> bool:
        """Tell whether Python can compute this, from Python's floats and bools."""
        return isinstance(term, Call) and term.op.python is not None and self._is_scalar(term) and self._takes(term)

    def _takes(self, call: Call) -> bool:
        numbers = {CONSTANT, SIZE}
        return all(
            self._is_scalar(arg) or (isinstance(arg, Call) and arg.op in numbers and not arg.shape) for arg in call.args
        )

    def _is_scalar(self, term: Term) -> bool:
        array = isinstance(term, Ref) and term.name in self.arrays
        return not term.shape and term.dtype in {_DOUBLE, _TRUTH} and not array

    def _operations(self, term: Term) -> Iterator[Call]:
        """Give the operations of a term that Python can do."""
        if isinstance(term, Call):
            if self._fits(term):
                yield term
            for arg in term.args:
                yield from self._operations(arg)

    def _leaving(self) -> Iterator[Ref]:
        """Give the uses of scalars that need NumPy's."""
        for output in self.given.outputs:
            for ref in refs_in(output.value):
                if ref.name in self.value and self._fits(self.value[ref.name]):
                    yield ref

    # --- what is written --------------------------------------------------------------------------------------

    def _scalar(self, term: Term) -> Term:
        """Give a scalar as Python computes it."""
        if isinstance(term, Ref) or (term.op in {CONSTANT, SIZE} and not term.shape):
            return term
        if not self._fits(term):
            return self._from_numpy(term, inside=True)
        args = tuple(map(self._scalar, term.args))
        if term.op.python is not None and term.op.python.template.count("$0") > 1 and isinstance(args[0], Call):
            args = (self._named(args[0]), *args[1:])
        plain = term.op is divide and _is_other_than_zero(term.args[1])
        return term._replace(op=_python(term.op, plain=plain), args=args)

    def _named(self, value: Call) -> Ref:
        if self.names is None:
            self.names = Names(names_in(self.given))
        name = self.names.take(None)
        self._define(name, value)
        return Ref(name, (), value.dtype)

    def _from_numpy(self, term: Term, *, inside: bool) -> Term:
        value = self._array(term, inside=inside)
        return Call(_FLOAT, {}, (value,), (), _DOUBLE) if value.dtype == _DOUBLE else value

    def _array(self, term: Term, *, inside: bool) -> Term:
        """Give what NumPy computes; scalars that are Python's go into it."""
        if isinstance(term, Ref):
            return self._to_numpy(term) if term.name in self.floats else term
        if self._fits(term) and (inside or self._is_of_floats(term)):
            return self._to_numpy(self._scalar(term))
        args = tuple(self._array(arg, inside=inside) for arg in term.args)
        if (term.op is STACK or (term.op.elementwise and term.shape)) and self._keeps_kind(term, args):
            args = tuple(_unconverted(arg) for arg in args)
        return term._replace(args=args)

    def _is_of_floats(self, term: Term) -> bool:
        names = {ref.name for ref in refs_in(term)}
        return bool(names) and names <= self.floats

    def _use_names_again(self, kept: Collection[str]) -> None:
        """Give floats that are used no more back to Python, which makes new ones of them, by taking their names.

        What is the last to use several is computed as soon as it can be.
        """
        own = {each.target for each in self.statements if isinstance(each, Assign) and _UNNAMED.fullmatch(each.target)}
        blocks = [each for each in self.statements if isinstance(each, Blocked)]
        own &= self.floats - {*kept} - {ref.name for each in blocks for ref in _refs(each)}
        if len(own) <= _SPARE:
            return
        self._hasten(own)
        dying = _last_used(self.statements, own)
        names: dict[str, str] = {}
        free: list[str] = []
        for at, statement in enumerate(self.statements):
            if isinstance(statement, Blocked):
                continue
            value = _renamed(statement.value, names)
            free += [names[name] for name in dying.get(at, ())]
            if isinstance(statement, Assign) and statement.target in own:
                names[statement.target] = free.pop() if free else statement.target
                self.statements[at] = Assign(names[statement.target], value)
            else:
                self.statements[at] = statement._replace(value=value)

    def _hasten(self, own: Collection[str]) -> None:
        dying = _last_used(self.statements, own)
        place: dict[str, int] = {}
        keys: list[int] = []
        for at, statement in enumerate(self.statements):
            names = {ref.name for ref in _refs(statement)}
            hasty = isinstance(statement, Assign) and names <= self.floats and len(dying.get(at, ())) > 1
            keys.append(max(place.get(name, 0) for name in names) if hasty else at)
            if isinstance(statement, Assign):
                place[statement.target] = keys[-1]
        self.statements = [self.statements[at] for at in sorted(range(len(keys)), key=lambda at: (keys[at], at))]

    def _to_numpy(self, term: Term) -> Term:
        return Call(_NUMPY[term.dtype], {}, (term,), (), term.dtype)

    @staticmethod
    def _keeps_kind(call: Call, args: tuple[Term, ...]) -> bool:
        """Tell whether NumPy gives the same where Python's floats, which are weak, stand for its own."""
        kinds = {arg.dtype for arg in args if not (isinstance(arg, Call) and arg.op in {CONSTANT, SIZE})}
        return kinds <= ({_DOUBLE} if call.op is STACK else {_DOUBLE, _TRUTH}) and _DOUBLE in kinds

    def _returned(self, output: Output) -> Output:
        value = self._array(output.value, inside=False)
        return output._replace(value=value, copy=output.copy and _unconverted(value) is value)


def _with_short_conversions(program: Program) -> Program:
    """Give the program with the conversion of several results called by its name alone, which saves looking it up."""
    results = [isinstance(each.value, Call) and each.value.op is _NUMPY[_DOUBLE] for each in program.outputs]
    name = _DOUBLE.name
    if sum(results) < _SEVERAL or name in {*names_in(program)}:
        return program
    short = replace(_NUMPY[_DOUBLE], numpy=Form(f"{name}($0)", ATOM))
    outputs = tuple(
        [
            each._replace(value=each.value._replace(op=short)) if converted and isinstance(each.value, Call) else each
            for each, converted in zip(program.outputs, results, strict=True)
        ]
    )
    return program._replace(outputs=outputs, imports=tuple(sorted({*program.imports, name})))


def _refs(statement: Statement) -> Iterator[Ref]:
    return (ref for term in terms_of(statement) for ref in refs_in(term))


def _last_used(statements: Sequence[Statement], own: Collection[str]) -> dict[int, list[str]]:
    """Give for statements the names that they are the last to use."""
    last = {ref.name: at for at, statement in enumerate(statements) for ref in _refs(statement)}
    found: dict[int, list[str]] = {}
    for name, at in last.items():
        if name in own:
            found.setdefault(at, []).append(name)
    return found


def _renamed(term: Term, names: Mapping[str, str]) -> Term:
    if isinstance(term, Ref):
        return term._replace(name=names.get(term.name, term.name))
    return term._replace(args=tuple([_renamed(arg, names) for arg in term.args]))


def _unconverted(term: Term) -> Term:
    return term.args[0] if isinstance(term, Call) and term.op in _NUMPY.values() else term


def _is_other_than_zero(term: Term) -> bool:
    return isinstance(term, Call) and term.op is CONSTANT and bool(term.params["value"].array != 0)
