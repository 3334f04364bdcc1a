"""One printer of a `Program`: NumPy source, as a careful person would write it."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape
from symbackprop.lower.buffers import blocks_in_buffers, in_buffers
from symbackprop.lower.lifetimes import released
from symbackprop.lower.program import (
    Accumulate,
    Assign,
    Blocked,
    Call,
    Nest,
    Output,
    Program,
    Ref,
    Simple,
    Store,
    Term,
    assigned_by,
    calls_in,
    refs_in,
    terms_of,
)
from symbackprop.lower.scalars import with_python_floats
from symbackprop.lower.small import for_small_arrays
from symbackprop.op import ATOM, MULTIPLY, Form, Params
from symbackprop.ops import add, divide, multiply, subtract
from symbackprop.ops.index import CONCATENATE, SLICE, runs_text
from symbackprop.ops.layout import SQUEEZE, shape_text
from symbackprop.ops.reduce import MEAN, SUM
from symbackprop.spelling import Spelled, spelled

SIGNS = {add: "+=", subtract: "-=", multiply: "*=", divide: "/="}
_INDENT = "    "
_WIDTH = 100
_KEPT = 4  # sets of sizes
_KEYWORD = {"maximum", "minimum"}  # of which NumPy 2.4 wants the array to write into by its name
_MANY = 6  # operands, which may stand on lines of their own
_FOR_THREADS = (
    "import os",
    "from concurrent.futures import ThreadPoolExecutor",
    "from contextvars import copy_context",
)

IN_BLOCKS = '''
arrays_of_blocks = {}  # in which they are computed, kept between calls


def in_blocks(block, rows, sizes, scratch, *arrays):
    """Call block for some rows of the arrays at a time, with arrays to compute in, and add up what it returns."""
    size = len(arrays[0])
    first, last = min(rows, size), size % rows
    if len(arrays_of_blocks) >= 8:
        arrays_of_blocks.clear()
    sums = []
    for many, starts in (first, range(0, size - first + 1, rows)), (last, range(max(first, size - last), size, rows)):
        free = arrays_of_blocks.setdefault((block.__name__, many, *sizes), [])
        try:
            own = free.pop()
        except IndexError:  # or another thread has them
            own = scratch(many)
        for start in starts:
            parts = block(*[array[start : start + many] for array in arrays], *own)
            for place, part in enumerate(parts if sums else ()):
                sums[place] += part
            sums = sums or list(parts)
        free.append(own)
    return sums
'''.strip()

ON_THREADS = '''
def in_blocks_on_threads(block, rows, sizes, scratch, *arrays):
    """Do that for each eighth of the arrays on several threads; the sums do not depend on how many there are."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    size = len(arrays[0])
    part = max(-(-size // 8), rows)
    parts = [[array[at : at + part] for array in arrays] for at in range(0, size, part)] or [arrays]
    if threads == 1 or len(parts) == 1:
        sums = [in_blocks(block, rows, sizes, scratch, *part) for part in parts]
    else:  # larger blocks, or the threads wait for each other between two operations
        contexts = [copy_context() for _ in parts]  # what np.errstate says holds on the threads too
        with ThreadPoolExecutor(threads) as pool:
            done = [
                pool.submit(own.run, in_blocks, block, 4 * rows, sizes, scratch, *part)
                for own, part in zip(contexts, parts)
            ]
            sums = [each.result() for each in done]
    return [sum(each) for each in zip(*sums)]
'''.strip()


def planned(program: Program, small: Mapping[str, int] | None = None, *, buffers: bool = True) -> Program:
    """Give the program as it is written: for any arrays, or for small ones of these sizes, with what is kept."""
    if small is not None:
        program = for_small_arrays(program)
        program = in_buffers(program, small) if buffers else program
    program = blocks_in_buffers(program) if buffers else program
    return with_python_floats(program)


def source(program: Program, described: Iterable[str]) -> str:
    """Write the program, as it was planned, as a Python module that imports NumPy alone.

    Args:
        program: what is to be done.
        described: the lines that say so.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x", "N")
    >>> print(sb.compile([x], {"norm": sb.sum(x * x)}, name="f").source.partition("N, = ")[2])
    x.shape
        norm = np.square(x).sum()
        return {"norm": norm}
    <BLANKLINE>
    """
    ops = dict.fromkeys(call.op for call in program.calls())
    helpers = dict.fromkeys(helper for op in ops for helper in op.helpers())
    blocks = [statement for statement in program.statements if isinstance(statement, Blocked)]
    on_threads = any(statement.threads for statement in blocks)
    helpers.update(dict.fromkeys([IN_BLOCKS] * bool(blocks) + [ON_THREADS] * on_threads))
    modules = ["import math"] * any(op.needs_math() for op in ops) + [*_FOR_THREADS] * on_threads
    imported = _listed("from numpy import ", program.imports, "", brackets=len(program.imports) > 1)
    others = sorted({line for op in ops for line in op.imports})
    lines = [*modules, *[""] * bool(modules), "import numpy as np", *(imported if program.imports else ()), *others]
    lines += ["", ""]
    for helper in helpers:
        lines += [*helper.splitlines(), "", ""]
    for constant in program.constants:
        lines[-1:] = [f"{constant.name} = {expression(constant.value)}", ""]
    lines += [""] if program.constants else []
    lines += _preparing(program)
    body = [*described, *checks(program, numbers=True), *_statements(program)]
    return "\n".join([*lines, *definition(program, [*body, *returned(program, expression, _copied)])]) + "\n"


def _preparing(program: Program) -> Iterator[str]:
    """Write the function that makes what is kept between calls."""
    if not program.prepared:
        return
    yield from ("kept = {}", "", "")
    yield from _listed("def prepare(", _sizes(program), "):")
    text = "Make what depends on sizes alone, for the calls to come: arrays to compute in, views of them, numbers."
    yield f'{_INDENT}"""{text}"""'
    yield f"{_INDENT}if len(kept) >= {_KEPT}:"
    yield f"{_INDENT * 2}kept.clear()"
    for names, value in program.prepared:
        lines = _listed("", names, f" = {expression(value)}", brackets=len(names) > 1)
        yield from (_INDENT + line for line in lines)
    yield from (_INDENT + line for line in _listed("return ", _used(program), "", brackets=True))
    yield from ("", "")


def _sizes(program: Program) -> list[str]:
    return sorted({name for each in program.inputs for name in dims.names_of(each.shape)})


def _used(program: Program) -> list[str]:
    """Give the names of what is kept that the statements use."""
    found: set[str] = set()
    for statement in program.statements:
        found.update(assigned_by(statement))
        for term in terms_of(statement):
            found.update(ref.name for ref in refs_in(term))
            found.update(call.out.array.name for call in calls_in(term) if call.out)
    return [name for each in program.prepared for name in each.names if name in found]


def definition(program: Program, body: Sequence[str]) -> Iterator[str]:
    """Write the function with this body."""
    yield from _listed(f"def {program.name}(", [parameter.name for parameter in program.inputs], "):")
    yield from (_INDENT + line if line else "" for line in body)


def _listed(opening: str, parts: Sequence[str], closing: str, *, brackets: bool = False) -> list[str]:
    """Write a list on one line, or, where it is too long for that, on lines of its own, which may need brackets."""
    line = f"{opening}{', '.join(parts)}{',' * (brackets and len(parts) == 1)}{closing}"
    if len(line) <= _WIDTH or (len(parts) == 1 and not brackets):
        return [line]
    opening, closing = (f"{opening}(", f"){closing}") if brackets else (opening, closing)
    lines = [opening]
    for part in parts:
        fits = len(lines) > 1 and len(lines[-1]) + len(part) + 2 <= _WIDTH
        lines[-1:] = [f"{lines[-1]} {part},"] if fits else [lines[-1], f"{_INDENT}{part},"]
    return [*lines, closing]


def _filled(text: str) -> list[str]:
    """Break a text into lines, but not between the sizes of a shape."""
    kept = re.sub(r"\[[^\]]*\]|\([^)]*\)", lambda sizes: sizes[0].replace(" ", "\0"), text)
    return [line.replace("\0", " ") for line in textwrap.wrap(kept, _WIDTH - len(_INDENT), break_long_words=False)]


def docstring(program: Program, expression: Callable[[Term], str]) -> Iterator[str]:
    """Write what the function computes, and the formulas of its results."""
    results = ", ".join(_name(output, expression) for output in program.outputs)
    updated = ", ".join(parameter.name for parameter in program.inputs if parameter.updated)
    taken = ", ".join(_described(parameter.name, parameter.shape) for parameter in program.inputs)
    sentences = [f"Compute {results}{taken and ' from '}{taken}."] if results else []
    sentences += [f"Update {updated} in place{'.' if results else f', from {taken}.'}"] if updated else []
    text = [line for sentence in sentences or ["Check the shapes."] for line in _filled(sentence)]
    if len(text) == 1 and not program.notes:
        yield f'"""{text[0]}"""'
        return
    yield f'"""{text[0]}'
    yield from text[1:]
    if program.notes:
        yield ""
        yield from program.notes
    yield '"""'


def _described(name: str, shape: Shape) -> str:
    return f"{name}[{', '.join(map(str, shape))}]" if shape else name


def _name(output: Output, expression: Callable[[Term], str]) -> str:
    """Give the user's name for a result, unless it could end a docstring or hide in it."""
    if output.key and output.key.isprintable() and not {'"', "\\"} & set(output.key):
        return output.key
    return output.value.name if isinstance(output.value, Ref) else expression(output.value)


def checks(program: Program, *, numbers: bool) -> Iterator[str]:
    """Learn the sizes from the first arrays that have them, and compare all other shapes.

    Args:
        program: whose arrays are checked.
        numbers: whether a scalar may be Python's own, which has no shape.
    """
    known: set[str] = set()
    compared: list[tuple[str, str]] = []
    for parameter in program.inputs:
        names = [size.name if isinstance(size, Dim) else None for size in parameter.shape]
        new = {name: axis for axis, name in reversed([*enumerate(names)]) if name and name not in known}
        if names and len(new) == len(names):
            yield f"{', '.join(str(name) for name in names)}{',' * (len(names) == 1)} = {parameter.name}.shape"
        else:
            for name, axis in sorted(new.items(), key=lambda item: item[1]):
                yield f"{name} = {parameter.name}.shape[{axis}]"
            is_number = numbers and not parameter.shape and not parameter.updated
            array = f"np.{parameter.dtype.name}({parameter.name})" if is_number else parameter.name
            compared.append((f"{array}.shape", shape_text(parameter.shape)))
        known.update(new)
    shapes = ", ".join(_described(parameter.name, parameter.shape) for parameter in program.inputs)
    wrong = [*_raised(f"the shapes must be {shapes}")]
    plain = [parameter.name for parameter in program.inputs if parameter.plain]
    others = f"if {' or '.join(f'type({name}) is not float' for name in plain)}:"
    if plain and len(plain) == len(program.inputs) and len(others) <= _WIDTH:
        yield others
        yield f"{_INDENT}if {' or '.join(f'np.shape({name})' for name in plain)}:"
        yield from (_INDENT + line for line in wrong)
        yield f"{_INDENT}{', '.join(plain)} = {', '.join(f'float({name})' for name in plain)}"
    elif compared:
        numbers = numbers and all(not each.shape and each.dtype == np.float64 for each in program.inputs)
        yield from _numbers([each.name for each in program.inputs]) if numbers else _compared(compared)
        yield from wrong
        yield from (f"{name} = float({name})" for name in plain)
    for requirement in program.requirements:
        yield f"if {requirement.size} < 0:"
        yield from _raised(f"{requirement.reason} needs {requirement.size} >= 0")


def _compared(shapes: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Write the condition that one of the shapes is another than it must be."""
    line = f"if {' or '.join(f'{found} != {wanted}' for found, wanted in shapes)}:"
    if len(line) <= _WIDTH:
        yield line
        return
    alike: dict[str, list[str]] = {}
    for name, want in shapes:
        alike.setdefault(want, []).append(name)
    yield "if ("
    for position, (want, names) in enumerate(alike.items()):
        differs = f"{names[0]} != {want}" if len(names) == 1 else f"not {' == '.join(names)} == {want}"
        yield f"{_INDENT}{'or ' if position else ''}{differs}"
    yield "):"


def _numbers(names: Sequence[str]) -> Iterator[str]:
    """Write the condition that one of some numbers is none; what is a float, NumPy's too, passes at little cost."""
    floats = " and ".join(f"isinstance({name}, float)" for name in names)
    shapes = " or ".join(f"np.shape({name})" for name in names)
    line = f"if not ({floats}) and ({shapes}):" if len(names) > 1 else f"if not {floats} and {shapes}:"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield from _listed("if any(not isinstance(each, float) and np.shape(each) for each in (", names, ")):")


def _raised(message: str) -> Iterator[str]:
    lines = _filled(message)
    if len(lines) == 1:
        yield f"{_INDENT}raise ValueError({_quoted(message)})"
        return
    yield f"{_INDENT}raise ValueError("
    yield from (f"{_INDENT * 2}{_quoted(line + ' ')}" for line in lines[:-1])
    yield f"{_INDENT * 2}{_quoted(lines[-1])}"
    yield f"{_INDENT})"


def _statements(program: Program) -> Iterator[str]:
    gone = released(program, program.sizes)
    sizes = _sizes(program)
    key = ", ".join(sizes) or "()"
    if program.prepared:
        yield f"own = kept.pop({key if len(sizes) <= 1 else f'({key})'}, None) or prepare({', '.join(sizes)})"
        yield from _listed("", _used(program), " = own", brackets=True)
    for at, statement in enumerate(program.statements):
        if isinstance(statement, Blocked):
            yield from _blocked(statement)
        else:
            yield from _simple([statement])
        if at in gone:
            yield f"del {', '.join(gone[at])}"
    if program.prepared:
        yield f"kept[{key}] = own"


def _blocked(statement: Blocked) -> Iterator[str]:
    names = [ref.name for ref in (*statement.arrays, *statement.results)]
    comma = "," * (len(statement.sums) == 1)
    length = [f"{statement.length} = len({names[0]})"] * bool(statement.length)
    refs = {ref.name: ref for ref in (*statement.arrays, *statement.results)}
    turned = [f"{name} = {_turned(refs[name], axis, back=True)}" for name, axis in statement.axes.items()]
    lines = [*length, *turned, *_simple(statement.body), *_listed("return (", statement.sums, f"{comma})")]
    yield ""
    yield f"# in blocks of {statement.rows:,} rows, which stay in the cache"
    yield from _listed(f"def {statement.block}(", [*names, *(ref.name for ref in statement.scratch)], "):")
    yield from (_INDENT + line for line in lines)
    yield ""
    for ref in statement.results:
        kind = "" if ref.dtype == np.float64 else f", dtype=np.{ref.dtype.name}"
        yield f"{ref.name} = np.empty({shape_text(ref.shape)}{kind})"
    given = [_turned(ref, statement.axes.get(ref.name, 0)) for ref in refs.values()]
    helper = "in_blocks_on_threads" if statement.threads else "in_blocks"
    call = _listed(f"{helper}(", [statement.block, f"{statement.rows}", *_scratch(statement), *given], ")")
    call[0] = f"{', '.join(statement.sums)}{comma} = {call[0]}" if statement.sums else call[0]
    yield from call


def _turned(array: Ref, axis: int, *, back: bool = False) -> str:
    """Write an array with an axis first, or with its first axis where that one was."""
    rank = len(array.shape)
    if not axis or rank <= 2:
        return f"{array.name}.T" if axis else array.name
    axes = [*range(1, axis + 1), 0, *range(axis + 1, rank)] if back else [axis, *range(axis), *range(axis + 1, rank)]
    return f"{array.name}.transpose({', '.join(map(str, axes))})"


def _scratch(statement: Blocked) -> tuple[str, str]:
    """Write the sizes of the arrays that a block computes in, but for the rows, and the function that makes them."""
    found = []
    whole = statement.extent
    kinds = Counter((ref.shape, ref.dtype) for ref in statement.scratch)
    for (shape, dtype), count in kinds.items():
        sizes = ["rows" if size == whole else str(size) for size in shape]
        kind = "" if dtype == np.float64 else f", dtype=np.{dtype.name}"
        one = f"({', '.join(sizes)})" if len(sizes) > 1 else "rows"
        found.append(f"*np.empty(({count}, {', '.join(sizes)}){kind})" if count > 1 else f"np.empty({one}{kind})")
    others = [size for shape, _ in kinds for size in shape if size != whole]
    names = sorted(dims.names_of(others))
    key = f"({', '.join(names)}{',' * (len(names) == 1)})"
    return key, f"lambda rows: ({', '.join(found)}{',' * (len(found) == 1)})"


def _simple(statements: Sequence[Simple]) -> Iterator[str]:
    for statement in statements:
        written = _spelled(statement.value)
        value = written.text if isinstance(statement, Assign) else written.weak[0]
        if isinstance(statement, Assign):
            line = f"{statement.target} = {_copied(statement.value, value) if statement.copy else value}"
            yield from [line] if len(line) <= _WIDTH else _broken(statement, line)
        elif isinstance(statement, Accumulate):
            yield f"{statement.target} {SIGNS[statement.op]} {value}"
        elif isinstance(statement, Store):
            yield _into(statement) or f"{statement.target}[...] = {value}"


def _broken(statement: Assign, line: str) -> list[str]:
    """Break the line of an operation on many arrays."""
    value = statement.value
    if not isinstance(value, Call) or len(value.args) < _MANY or statement.copy:
        return [line]
    parts = [expression(arg) for arg in value.args]
    opening, found, closing = line.partition(", ".join(parts))
    return _listed(opening, parts, closing) if found else [line]


def _into(statement: Store) -> str | None:
    """Let a ufunc write into the array, where the value is that of one."""
    value = statement.value
    if isinstance(value, Call) and value.out:
        return expression(value) if value.out.array.name == statement.target else None
    if isinstance(value, Call) and value.op is CONCATENATE:
        return f"{expression(value).removesuffix(')')}, out={statement.target})"
    if not isinstance(value, Call) or value.params or not isinstance(getattr(np, value.op.name, None), np.ufunc):
        return None
    places = "".join(f"${position}, " for position in range(len(value.args)))
    form = Form(f"np.{value.op.name}({places}out={statement.target})")
    operands = [_spelled(arg) for arg in value.args]
    return spelled(value.op, value.params, value.shape, value.dtype, operands, form).text


def _copied(term: Term, text: str) -> str:
    return f"{text}.copy()" if isinstance(term, Ref) else f"({text}).copy()"


def returned(program: Program, expression: Callable[[Term], str], copied: Callable[[Term, str], str]) -> Iterator[str]:
    """Write the results, as `expression` and `copied` write a term and the copy of one."""
    values = []
    for output in program.outputs:
        text = expression(output.value)
        values.append(copied(output.value, text) if output.copy else text)
    opening, parts, closing = _nested(program.form, iter(values))
    yield from _listed(f"return {opening}", parts, closing) if opening else [f"return {parts[0]}"]


def _nested(form: Nest, values: Iterator[str]) -> tuple[str, list[str], str]:
    """Write the results in their lists, tuples and dicts: give the brackets, and what stands between them."""
    if form is None:
        return "", [next(values)], ""
    if isinstance(form, dict):
        return "{", [f"{_quoted(key)}: {_joined(each, values)}" for key, each in form.items()], "}"
    parts = [_joined(each, values) for each in form]
    if isinstance(form, list):
        return "[", parts, "]"
    return "(", [f"{parts[0]},"] if len(parts) == 1 else parts, ")"


def _joined(form: Nest, values: Iterator[str]) -> str:
    opening, parts, closing = _nested(form, values)
    return f"{opening}{', '.join(parts)}{closing}"


def _quoted(text: str) -> str:
    return repr(text) if '"' in text or "\\" in text or not text.isprintable() else f'"{text}"'


def expression(term: Term) -> str:
    """Write a term as a Python expression."""
    return _spelled(term).text


def _spelled(term: Term) -> Spelled:
    if isinstance(term, Ref):
        return Spelled(term.name, ATOM, term.shape, term.dtype)
    op, params, args = term.op, term.params, term.args
    if term.out:
        into = f"{'out=' * (term.out.function[-7:] in _KEYWORD)}{term.out.array.name}"
        places = "".join(f"${position}, " for position in range(len(args)))
        form = Form(f"{term.out.function}({places}{into})")
        return spelled(op, params, term.shape, term.dtype, [_spelled(arg) for arg in args], form)
    if op is MEAN and args[0].dtype in _SUMMED_AS_THEY_ARE:
        op = _MEAN
    elif op is SQUEEZE and isinstance(args[0], Call) and args[0].op is SLICE:
        cut, dropped = args[0], params["axes"]
        if min(dropped) >= -len(cut.params["runs"]):
            op, params, args = _ELEMENTS, {**cut.params, "dropped": dropped}, cut.args
    return spelled(op, params, term.shape, term.dtype, [_spelled(arg) for arg in args])


def _elements(params: Params, shapes: tuple[Shape, ...]) -> Form:
    return Form(f"$0[{runs_text(params['runs'], shapes[0], params['dropped'])}]", ATOM, (ATOM,))


def _mean(params: Params, shapes: tuple[Shape, ...]) -> Form:
    count = dims.product(shapes[0][axis] for axis in params["axes"])
    text = f"({count})" if isinstance(count, Dim) and count.name is None else str(count)
    return Form(f"{SUM.form(SUM.numpy, params, shapes).template} / {text}", MULTIPLY, (ATOM,))


# What `mean` does, which takes three times as long to do it where there are few elements.
_MEAN = replace(MEAN, numpy=_mean)
_SUMMED_AS_THEY_ARE = {np.dtype("float32"), np.dtype("float64")}
_ELEMENTS = replace(SLICE, numpy=_elements)
