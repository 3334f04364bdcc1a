"""Values are computed into arrays that are there already, and what depends on sizes alone is computed once.

For small arrays a call of NumPy takes as long whatever it does; a new array for its result, a conversion of a Python
number, a transposed view and a vector of ones take part of that again. So a result is written into an operand that
nothing needs any more, or into an array of its shape that is free, and what is joined later is computed where it will
lie. The arrays, with their views and all else that depends on sizes alone, are kept between calls. A call takes them
out of the place where they are kept, so that no other can have them at the same time, on whatever thread.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Shape, Size
from symbackprop.lower.program import (
    LEAVES,
    VIEWS,
    Accumulate,
    Assign,
    Blocked,
    Call,
    Out,
    Output,
    Prepared,
    Program,
    Ref,
    Statement,
    Store,
    Term,
    calls_in,
    names_in,
    refs_in,
    terms_of,
)
from symbackprop.lower.small import DOT, VDOT
from symbackprop.op import CONSTANT, SIZE, Dtype, Form, Params
from symbackprop.ops import matmul, power
from symbackprop.ops.index import CONCATENATE, SLICE, Run
from symbackprop.ops.layout import EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE, shape_text
from symbackprop.ops.reduce import SUM
from symbackprop.rewrite.order import UNTOLD
from symbackprop.spelling import Names

_MOST = 2**25  # bytes that are worth being kept
_SAVED, _NUMBER, _CALLED = 75, 230, 1000  # ns that a new array takes, a Python number, a call that is not done again
_WORTH = 600  # ns: what saves less is not worth what a reader sees
_FLOATS = {np.dtype("float32"), np.dtype("float64")}
RESERVED = ("kept", "prepare", "own", "arrays_of_blocks")
"""Names in the module that what is kept needs."""
_LONGEST = 3  # values that are written into arrays in the operands of one: what a reader takes in
_NAMES = {"0.0": "zero", "0.5": "half", "1.0": "one", "2.0": "two"}

_Kind: TypeAlias = tuple[Shape, Dtype]
_Key: TypeAlias = "tuple[object, ...]"


class _Part(NamedTuple):
    """Where a value lies in the array that it is joined to others in."""

    whole: str
    start: Size
    axis: int
    single: bool  # whether it is one element of the axis


def _kind(dtype: Dtype) -> str:
    return "" if dtype == np.float64 else f", dtype=np.{dtype.name}"


def _empty(params: Params, _: tuple[Shape, ...]) -> Form:
    return Form(f"np.empty({shape_text(params['shape'])}{_kind(params['dtype'])})")


def _number(params: Params, _: tuple[Shape, ...]) -> Form:
    return Form(f"np.array({params['text']}, dtype=np.{params['dtype'].name})")


_EMPTY = replace(SUM, name="empty", numpy=_empty, helper=None)
_NUMBER_ARRAY = replace(SUM, name="number", numpy=_number, helper=None)
_AS_ARRAY = replace(SUM, name="asarray", numpy=Form("np.asarray($0)"), helper=None)


def in_buffers(program: Program, sizes: Mapping[str, int]) -> Program:
    r"""Give the program with values computed into arrays that are kept, where that saves enough.

    Args:
        program: for small arrays.
        sizes: numbers for its named sizes.

    >>> import numpy as np, symbackprop as sb
    >>> X, W, b = sb.symbols("X[N,D] W[D,H] b[H]")
    >>> h = sb.tanh(X @ W + b)
    >>> f = sb.compile([X, W, b], [sb.sum((1 - h) * h * sb.exp(-2 * h), axis=0), X.T @ h])
    >>> results = f(np.ones((3, 2)), np.ones((2, 4)), np.ones(4))
    >>> print(f.source.partition(" = own\n")[2])
        t1 = add(dot(X, W, s1), b, s1)
        t2 = tanh(t1, s2)
        t3 = exp(minimum(multiply(number, t1, s1), number_1, out=s1), s1)
        t4 = multiply(divide(t3, add(one, t3, s3), s1), t2, s1)
        t5 = exp(multiply(number, t2, s3), s3)
        result = two * np.einsum("ij,ij->j", t4, t5)
        result_1 = X.T.dot(t2)
        kept[D, H, N] = own
        return [result, result_1]
    <BLANKLINE>
    """
    buffers = _Buffers(program)
    found = buffers.program()
    return found if buffers.saved >= _WORTH and buffers.bytes(sizes) <= _MOST else program


def blocks_in_buffers(program: Program) -> Program:
    """Give the program with the values of a block computed into each other's arrays, which fewer of fit the cache."""
    if not any(isinstance(each, Blocked) for each in program.statements):
        return program
    names, functions = Names(names_in(program)), {name: name for name in program.imports}
    statements = [
        _with_scratch(each, names, functions) if isinstance(each, Blocked) else each for each in program.statements
    ]
    return program._replace(statements=tuple(statements), imports=_imported(functions))


def _with_scratch(block: Blocked, names: Names, functions: dict[str, str]) -> Blocked:
    values = {each.target: each.value for each in block.body}
    sums = tuple(Output(Ref(name, values[name].shape, values[name].dtype), copy=False) for name in block.sums)
    body = Program(block.block, (), (), (), block.body, sums, None)
    buffers = _Buffers(body, names, block.extent)
    buffers.functions = functions
    buffers.by_rows = {each.name for each in (*block.arrays, *block.results)} | buffers.values.keys()
    buffers.program()
    kinds: dict[_Kind, list[Ref]] = defaultdict(list)
    for name in buffers.kept:
        kinds[buffers.place[name][1:]].append(buffers.place[name])
    scratch = tuple(ref for refs in kinds.values() for ref in refs)
    body_of = tuple(each for each in buffers.statements if not isinstance(each, Blocked))
    return block._replace(body=body_of, scratch=scratch)


def _imported(functions: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(name for name, text in functions.items() if name == text))


class _Buffers:
    """The values of a program, or of a block of rows, and where they lie.

    Attributes:
        saved: ns that a call saves.
    """

    def __init__(self, program: Program, names: Names | None = None, rows: Size | None = None) -> None:
        self.names = names or Names([*RESERVED, *names_in(program)])
        self.in_block, self.rows = names is not None, rows
        self.given = _Flattening(self.names, joins=not self.in_block).program(program)
        self.saved = 0
        self.values = {
            each.target: each.value
            for each in self.given.statements
            if isinstance(each, Assign) and isinstance(each.value, Call) and not each.copy
        }
        self.changed = {_seen(call) for call in self.given.calls() if call.params.get("owned")}
        self.root: dict[str, str] = {}  # of what is a view of another value, or computed where that will lie
        self.parts: dict[str, _Part] = {}
        self._find_parts()
        self.escaping = {self._root(name) for name in self._returned()}
        self.left = Counter(self._root(name) for name in self._uses())
        self.place: dict[str, Ref] = {}  # of values that lie in kept arrays
        self.whole: set[str] = set()  # kept arrays that values may take from each other
        self.contiguous: set[str] = set()
        self.kept: dict[str, Call] = {}
        self.known: dict[_Key, Ref] = {}
        self.free: dict[_Kind, list[Ref]] = defaultdict(list)
        self.unnamed = count()
        self.by_rows: set[str] = set()  # values that have the rows of the block
        self.functions: dict[str, str] = {}
        self.statements: list[Statement] = []

    def bytes(self, sizes: Mapping[str, int]) -> int:
        """Give the bytes that are kept."""
        arrays = [value for value in self.kept.values() if value.op not in VIEWS]
        told = {name: sizes.get(name, UNTOLD) for value in arrays for name in dims.names_of(value.shape)}
        return sum(prod(dims.bind(value.shape, told)) * value.dtype.itemsize for value in arrays)

    # --- what is a part of what -------------------------------------------------------------------------------

    def _find_parts(self) -> None:
        """Find what looks at other values, and what is joined to others."""
        for statement in self.given.statements:
            if isinstance(statement, Assign) and not statement.copy and (seen := _seen(statement.value)):
                self.root[statement.target] = seen
        shared = {self._root(name) for name in self._returned()}
        for target, value in self.values.items() if not self.in_block else ():
            if value.op is CONCATENATE and target not in shared and value.dtype in _FLOATS:
                start: Size = 0
                for part in value.args:
                    self._find_part(part, _Part(target, start, value.params["axis"], isinstance(part, Call)), shared)
                    start = part.shape[value.params["axis"]] + start

    def _find_part(self, part: Term, where: _Part, shared: Collection[str]) -> None:
        name = _whole(part, where.axis)
        if name not in self.values or name in shared or name in self.parts or name in self.root:
            return
        value = self.values[name]
        if value.dtype == part.dtype and (value.op is CONCATENATE or _function(value)):
            self.parts[name] = where
            self.root[name] = where.whole

    def _root(self, name: str) -> str:
        root = name
        while root in self.root:
            root = self.root[root]
        while name != root:
            self.root[name], name = root, self.root[name]
        return root

    def _returned(self) -> Iterator[str]:
        return (ref.name for output in self.given.outputs if not output.copy for ref in refs_in(output.value))

    def _uses(self) -> Iterator[str]:
        for statement in self.given.statements:
            for term in terms_of(statement):
                yield from (ref.name for ref in refs_in(term))
            if isinstance(statement, Blocked):
                yield from (ref.name for ref in statement.arrays)
        for output in self.given.outputs:
            yield from (ref.name for ref in refs_in(output.value))

    # --- statements -------------------------------------------------------------------------------------------

    def program(self) -> Program:
        """Write the program down anew."""
        for statement in self.given.statements:
            if isinstance(statement, Assign) and not statement.copy:
                self._assign(statement)
            elif isinstance(statement, Blocked):
                self.statements.append(statement)
                self._used(self._root(ref.name) for each in statement.body for ref in refs_in(each.value))
                self._used(self._root(ref.name) for ref in statement.arrays)
            else:
                result = Ref(statement.target, statement.value.shape, statement.value.dtype)  # of a block is new
                want = result if self.in_block and isinstance(statement, Store) else None
                fresh = want is None and not isinstance(statement, Accumulate)
                value, held = self._term(statement.value, want, fresh=fresh)
                self._used(held)
                self.statements.append(statement._replace(value=value))
        prepared, statements = self._prepared(), tuple(self.statements)
        return self.given._replace(prepared=prepared, statements=statements, imports=_imported(self.functions))

    def _prepared(self) -> tuple[Prepared, ...]:
        arrays: dict[_Kind, list[str]] = defaultdict(list)
        for name, value in self.kept.items():
            if value.op is _EMPTY:
                arrays[value.shape, value.dtype].append(name)
        found = []
        for (shape, dtype), names in arrays.items():
            whole = shape if len(names) == 1 else (len(names), *shape)
            found.append(Prepared(tuple(names), Call(_EMPTY, {"shape": whole, "dtype": dtype}, (), whole, dtype)))
        found += [Prepared((name,), value) for name, value in self.kept.items() if value.op is not _EMPTY]
        return tuple(found)

    def _assign(self, statement: Assign) -> None:
        target, value = statement.target, statement.value
        fresh = self._root(target) in self.escaping
        own = self.in_block or fresh or target in self.parts or target in self.changed
        if isinstance(value, Call) and value.shape and not own and not any(refs_in(value)):
            self._keep(target, value)
            self.saved += _CALLED
        elif (
            isinstance(value, Call) and value.op is CONCATENATE and (target in self.parts or self._joins(target, value))
        ):
            self._join(target, value)
        elif target in self.parts:
            here = self._home(target)
            new, held = self._term(value, here)
            self._used(held)
            self.statements.append(Store(target, new))
        else:
            new, held = self._term(value, target=target, fresh=fresh)
            if isinstance(new, Call) and new.out:
                self.place[target] = new.out.array
                del self.left[held[0]]
            else:
                self._used(held)
            if new != Ref(target, value.shape, value.dtype):
                self.statements.append(statement._replace(value=new))

    def _joins(self, target: str, value: Call) -> bool:
        """Tell whether a part of a joined array is computed where it will lie."""
        names = [_whole(part, value.params["axis"]) for part in value.args]
        return any(name in self.parts and self.parts[name].whole == target for name in names)

    def _join(self, target: str, value: Call) -> None:
        """Write those parts of a joined array that do not lie there yet."""
        here, axis = self._home(target), value.params["axis"]
        start: Size = 0
        for part in value.args:
            name = _whole(part, axis)
            if name in self.parts and self.parts[name].whole == target and self.parts[name].start == start:
                self._used([self._root(name)])
            else:
                place = self._cut(here, _Part(target, start, axis, single=False), part.shape, None)
                new, held = self._term(part, place)
                self._used(held)
                self.statements.append(Store(place.name, new))
            start = part.shape[axis] + start

    def _home(self, name: str) -> Ref:
        """Give the kept array of a value that is joined with others, or of those."""
        missing = [name]
        while missing[-1] in self.parts and self.parts[missing[-1]].whole not in self.place:
            missing.append(self.parts[missing[-1]].whole)
        for each in reversed(missing):
            if each not in self.place:
                value = self.values[each]
                if each in self.parts:
                    self._cut(self.place[self.parts[each].whole], self.parts[each], value.shape, each)
                else:
                    self._keep(each, Call(_EMPTY, {}, (), value.shape, value.dtype))
        return self.place[name]

    def _cut(self, whole: Ref, part: _Part, shape: Shape, name: str | None) -> Ref:
        """Give a part of a kept array."""
        axis = part.axis
        length = 1 if part.single else shape[axis]
        runs = (Run(part.start, length, 1), *(Run(0, whole.shape[after], 1) for after in range(axis + 1, 0)))
        at = len(whole.shape) + axis
        cut = (*whole.shape[:at], length, *whole.shape[at + 1 :])
        value = Call(SLICE, {"runs": runs}, (whole,), cut, whole.dtype)
        if part.single:
            value = Call(SQUEEZE, {"axes": (axis,)}, (value,), shape, whole.dtype)
        found = self._keep(name or self.names.take(f"{whole.name}_1"), value)
        if not at and whole.name in self.contiguous:
            self.contiguous.add(found.name)
        return found

    def _keep(self, name: str, value: Call) -> Ref:
        self.kept[name] = value
        self.place[name] = ref = Ref(name, value.shape, value.dtype)
        if value.op not in VIEWS:
            self.contiguous.add(name)
        return ref

    # --- terms ------------------------------------------------------------------------------------------------

    def _term(
        self, term: Term, want: Ref | None = None, *, target: str | None = None, fresh: bool = False
    ) -> tuple[Term, list[str]]:
        """Give a term as it is computed, and what is needed as long as its value is.

        Args:
            term: the term.
            want: the array for its value.
            target: the name that its value will have.
            fresh: whether its value must be a new array.
        """
        if isinstance(term, Ref):
            return term, [self._root(term.name)]
        if term.op in LEAVES:
            return term, []
        if term.op in VIEWS:
            return self._view(term, target, fresh=fresh)
        function = _function(term) if not fresh and self._has_place(term) else None
        hand_on = want if function and term.op.elementwise else None
        args: list[Term] = []
        held: list[str] = []
        owned = bool(term.params.get("owned"))
        for position, arg in enumerate(term.args):
            fits = isinstance(arg, Call) and _function(arg) and _same_kind(arg, hand_on)
            inner = hand_on if fits else None
            hand_on = None if inner else hand_on
            new, needed = self._term(arg, inner, fresh=owned and not position)
            if owned and not position:
                through = needed
            else:
                held += needed
            args.append(new)
        if not self.in_block and term.op.elementwise and _function(term):
            args = self._with_arrays_for_numbers(term, args)
        elif not self.in_block and term.op.name == VDOT:
            term, args = self._flat(term, args)
        new_term = term._replace(args=tuple(args), op=DOT if _function(term) == "dot" else term.op)
        dying = dict.fromkeys(name for name in held if self._is_last(name))
        if function is None:
            self._release(dying)
            return new_term, through if owned else []
        out, viewed = self._through_view(new_term, dying) or (self._out(new_term, want, dying), "")
        self._release(name for name in dying if self.place.get(name) != out and name != viewed)
        name = f"#{next(self.unnamed)}"
        self.place[name], self.left[name] = out, 1
        self.saved += _SAVED
        return new_term._replace(out=Out(out, self._text_of(function))), [name]

    def _has_place(self, call: Call) -> bool:
        """Tell whether there are arrays for a value: in a block, for one that has its rows."""
        if not self.in_block:
            return True
        return call.shape.count(self.rows) == 1 and any(ref.name in self.by_rows for ref in refs_in(call))

    def _through_view(self, call: Call, dying: Collection[str]) -> tuple[Ref, str] | None:
        """Give an operand that is an array of the block in another shape and not needed any more, and that array."""
        for arg in call.args if self.in_block and call.op.elementwise else ():
            if not isinstance(arg, Ref) or arg.name not in self.values or not _same_kind(call, arg):
                continue
            value = self.values[arg.name]
            if value.op is RESHAPE:
                root = self._root(arg.name)
                place = self.place.get(root)
                if root in dying and place is not None and place.name in self.whole:
                    return arg, root
        return None

    def _out(self, call: Call, want: Ref | None, dying: Collection[str]) -> Ref:
        """Choose the array that a value is computed into."""
        if want is not None and (call.op.elementwise or want.name in self.contiguous):
            return want
        for arg in call.args if call.op.elementwise else ():
            if isinstance(arg, Call):
                near = arg.out.array if arg.out else None
            else:
                near = self.place.get(arg.name) if arg.name in dying else None
            if near and near.name in self.whole and _same_kind(call, near):
                return near
        free = self.free[call.shape, call.dtype]
        if free:
            return free.pop()
        found = self._keep(self.names.take(f"s{len(self.whole) + 1}"), Call(_EMPTY, {}, (), call.shape, call.dtype))
        self.whole.add(found.name)
        return found

    def _view(self, term: Call, target: str | None, *, fresh: bool) -> tuple[Term, list[str]]:
        """Give a view, which is made once if it is one of a kept array."""
        arg, held = self._term(term.args[0], fresh=fresh)
        base = self.place.get(arg.name) if isinstance(arg, Ref) else None
        if base is None or self.in_block or (term.op is RESHAPE and base.name not in self.contiguous):
            return term._replace(args=(arg,)), held
        key = (base.name, term.op.name, *term.params.items())
        if key not in self.known:
            name = target or self.names.take(f"{base.name}_T" if term.op is TRANSPOSE else f"{base.name}_1")
            self.known[key] = self._keep(name, term._replace(args=(base,)))
            if base.name in self.contiguous and term.op in {RESHAPE, EXPAND_DIMS, SQUEEZE}:
                self.contiguous.add(name)
            self.saved += _SAVED
        return self.known[key], held

    def _with_arrays_for_numbers(self, call: Call, args: Sequence[Term]) -> list[Term]:
        """Give the operands with arrays of no axes for numbers, which NumPy takes faster than Python's."""
        kinds = {arg.dtype for arg in args if arg.shape}
        kind = next(iter(kinds), call.dtype)
        if len(kinds) != 1 or kind not in _FLOATS or call.dtype not in {kind, np.dtype("bool")}:
            return list(args)
        return [self._array(arg, kind) if _is_of_sizes(arg) else arg for arg in args]

    def _array(self, number: Term, kind: Dtype) -> Term:
        if not isinstance(number, Call):
            return number
        key = (kind, *_key(number))
        if number.op is CONSTANT or number.op is SIZE:
            text = number.op.form(number.op.numpy, number.params, ()).template
            value = Call(_NUMBER_ARRAY, {"text": text, "dtype": kind}, (), (), kind)
            name = _NAMES.get(text, "number")
        elif number.dtype == kind:
            value, name = Call(_AS_ARRAY, {}, (number,), (), kind), "number"
        else:
            return number
        if key not in self.known:
            self.known[key] = self._keep(self.names.take(name), value)
            self.saved += _NUMBER
        return self.known[key]

    def _flat(self, call: Call, args: Sequence[Term]) -> tuple[Call, list[Term]]:
        """Give the sum of a product over all elements as that of vectors, which NumPy calls twice as fast."""
        places = [self.place.get(arg.name) if isinstance(arg, Ref) else None for arg in args]
        if not all(place and place.name in self.contiguous for place in places):
            return call, list(args)
        shape = (dims.product(args[0].shape),)
        flat = [Call(RESHAPE, {"shape": shape}, (arg,), shape, arg.dtype) for arg in args]
        return call._replace(op=DOT), [self._view(each, None, fresh=False)[0] for each in flat]

    def _text_of(self, function: str) -> str:
        """Give the name of NumPy's function in the module: by itself, where nothing else has it."""
        if function not in self.functions:
            free = self.names.take(function) == function
            self.functions[function] = function if free else f"np.{function}"
        return self.functions[function]

    # --- what is still needed -----------------------------------------------------------------------------------

    def _is_last(self, name: str) -> bool:
        self.left[name] -= 1
        return not self.left[name]

    def _used(self, names: Iterable[str]) -> None:
        self._release([name for name in names if self._is_last(name)])

    def _release(self, names: Iterable[str]) -> None:
        for name in names:
            place = self.place.get(name)
            if place is not None and place.name in self.whole:
                self.free[place.shape, place.dtype].append(place)


def _function(call: Call) -> str | None:
    """Give the function of NumPy that computes a value into an array, if there is one."""
    if not call.shape:
        return None
    if call.op.elementwise and not call.params and call.op is not power:
        ufunc = getattr(np, call.op.name, None)
        return ufunc.__name__ if isinstance(ufunc, np.ufunc) else None
    if call.op.name == matmul.name and call.dtype in _FLOATS and all(arg.dtype == call.dtype for arg in call.args):
        return "dot" if all(len(arg.shape) <= 2 for arg in call.args) else "matmul"
    return None


def _written_into(term: Term) -> int:
    """Give how many values of a term are written into arrays."""
    return sum(1 for call in calls_in(term) if _function(call))


def _same_kind(call: Call, array: Ref | None) -> bool:
    return array is not None and call.shape == array.shape and call.dtype == array.dtype


def _seen(term: Term) -> str | None:
    """Give the named value that a term is a view of, or is once it has been changed."""
    while isinstance(term, Call) and term.args and (term.op in VIEWS or term.params.get("owned")):
        term = term.args[0]
    return term.name if isinstance(term, Ref) else None


def _whole(part: Term, axis: int) -> str | None:
    """Give the named value that is a part of a joined array as it is, or as one element of the axis."""
    if isinstance(part, Ref):
        return part.name
    at = len(part.shape) + axis
    inner = part.args[0] if part.op is EXPAND_DIMS else None
    is_element = isinstance(inner, Ref) and inner.shape == (*part.shape[:at], *part.shape[at + 1 :])
    return inner.name if isinstance(inner, Ref) and is_element and part.shape[at] == 1 else None


def _is_of_sizes(term: Term) -> bool:
    """Tell whether a term is a number that is known, or told by sizes."""
    return isinstance(term, Call) and not term.shape and all(map(_is_of_sizes, term.args))


def _key(term: Term) -> _Key:
    if isinstance(term, Ref):
        return (term.name,)
    return (term.op.name, term.dtype, *term.params.items(), *map(_key, term.args))


class _Flattening:
    """Statements of their own for what is joined, viewed and returned."""

    def __init__(self, names: Names, *, joins: bool) -> None:
        self.names, self.joins = names, joins
        self.statements: list[Statement] = []

    def program(self, given: Program) -> Program:
        for statement in given.statements:
            if isinstance(statement, Blocked):
                self.statements.append(statement)
            else:
                top = isinstance(statement, Assign) and not statement.copy
                self.statements.append(statement._replace(value=self._inside(statement.value, top=top)))
        outputs = tuple([self._returned(output) for output in given.outputs])
        return given._replace(statements=tuple(self.statements), outputs=outputs)

    def _named(self, term: Term) -> Term:
        """Give a value a name; a view is written on."""
        if isinstance(term, Ref) or term.op in LEAVES:
            return term
        if term.op in VIEWS:
            return term._replace(args=tuple([self._named(arg) for arg in term.args]))
        name = self.names.take(None)
        self.statements.append(Assign(name, term))
        return Ref(name, term.shape, term.dtype)

    def _inside(self, term: Term, *, top: bool = False) -> Term:
        if isinstance(term, Ref) or term.op in LEAVES:
            return term
        args = [self._inside(arg, top=top and term.op in VIEWS) for arg in term.args]
        if sum(map(_written_into, args)) >= _LONGEST:
            args = [self._named(arg) if _written_into(arg) else arg for arg in args]
        if term.op is CONCATENATE and self.joins:
            args = [self._part(arg) for arg in args]
        elif top and term.op in VIEWS:
            args = [self._named(arg) for arg in args]
        new = term._replace(args=tuple(args))
        return self._named(new) if self.joins and term.op is CONCATENATE and not top else new

    def _part(self, term: Term) -> Term:
        if isinstance(term, Call) and term.op is EXPAND_DIMS:
            return term._replace(args=tuple([self._part(arg) for arg in term.args]))
        return self._named(term) if isinstance(term, Call) and _function(term) else term

    def _returned(self, output: Output) -> Output:
        """Let nothing but names be returned, as what is kept is put back before."""
        value = output.value
        if not self.joins:
            return output
        if not output.copy and (isinstance(value, Ref) or _seen(value) or not any(refs_in(value))):
            return output
        name = self.names.take(output.key or "result")
        self.statements.append(Assign(name, self._inside(value, top=not output.copy), output.copy))
        return Output(Ref(name, value.shape, value.dtype), copy=False, key=output.key)
