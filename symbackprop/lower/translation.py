"""From NumPy source to the source of another library: an op's one story, in the library's names.

What is translated is what ops say: a template over operands, or the definition of a helper. It is parsed, methods
become functions, NumPy's names those of the array API standard, and what the library has otherwise comes from its
record. What is written to, or branches on values, cannot be translated: such an op has a `portable` form beside.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from symbackprop.dims import Shape
from symbackprop.errors import BackendError
from symbackprop.lower.backends import Backend, Called, Rule
from symbackprop.op import ATOM, CONSTANT, LOWEST, SIZE, Dtype, Form, Op, Params
from symbackprop.ops import (
    TABLE,
    add,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    where,
)
from symbackprop.ops.elementwise import ASTYPE
from symbackprop.spelling import Spelled, spelled, weak_ops

_FUNCTIONS = """
    abs acos acosh all any arange argmax argmin argsort asarray asin asinh astype atan atan2 atanh bitwise_and
    bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor broadcast_arrays broadcast_to ceil
    clip concat copy copysign cos cosh cumulative_prod cumulative_sum exp expand_dims expm1 eye flip floor full
    full_like hypot isfinite isinf isnan log log10 log1p log2 logaddexp logical_and logical_not logical_or
    logical_xor matmul max maximum mean min minimum moveaxis ones ones_like permute_dims prod remainder reshape roll
    round searchsorted sign signbit sin sinh sort sqrt square squeeze stack sum take tan tanh tril triu trunc vecdot
    where zeros zeros_like
    linalg.cholesky linalg.det linalg.diagonal linalg.eigh linalg.eigvalsh linalg.inv linalg.matrix_power
    linalg.pinv linalg.qr linalg.slogdet linalg.solve linalg.svd linalg.svdvals linalg.trace linalg.vecdot
"""
_STANDARD = frozenset(_FUNCTIONS.split())
"""Functions of the array API standard (2024.12); `copy` stands for its ``asarray(x, copy=True)``."""

_METHODS = frozenset(
    "all any argmax argmin astype copy max mean min prod reshape squeeze sum".split()  # noqa: SIM905  (as above)
)
_ATTRIBUTES = frozenset({"T", "at", "device", "dtype", "mT", "ndim", "shape", "start", "step"})
_PYTHON_METHODS = frozenset(
    {"add", "append", "count", "fromkeys", "index", "index_put", "join", "set", "split", "update"}
)
"""Of texts, lists and dicts, and of what a backend's own definitions call."""
_VALUES = frozenset({"inf", "nan", "pi"})
_BRANCHES = frozenset({"all", "any", "count_nonzero"})
_DTYPES = frozenset(
    {"bool", "float16", "float32", "float64"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
)
_LOGIC = {add: logical_or, maximum: logical_or, multiply: logical_and, minimum: logical_and}
_PLACE = re.compile(r"\$(\d|\*)")
_MARK = re.compile(r"\b_(\d+)_\b")
_FUNCTION = re.compile(r"(np\.)?(\w+(?:\.\w+)*)\(")
_DEFINITION = re.compile(r"^def (\w+)", re.MULTILINE)

HELPERS = frozenset(
    name for op in TABLE for text in (op.helper, op.portable_helper) if text for name in _DEFINITION.findall(text)
)
"""The functions that generated modules define."""


def reserved(backend: Backend) -> frozenset[str]:
    """Give the names that symbols and functions must not have in the source for a library."""
    roots = {name.partition(".")[0] for name in backend.native.values()}
    return HELPERS | frozenset({backend.module, "device", *backend.functions, *roots})


def device_text(array: str) -> str:
    """Write where an array of any library lives; JAX's tracers do not know it."""
    return f'getattr({array}, "device", None)'


class UntranslatableError(Exception):
    """The library has nothing for a part of the source."""


# --- from NumPy's names to the standard's ---------------------------------------------------------------------


def _into_keyword(name: str, keyword: str, position: int) -> Rule:
    """Give an argument that may stand at a position by its keyword."""

    def rule(call: Called) -> Called:
        extra = {keyword: call.args[position]} if len(call.args) > position else {}
        return call._replace(name=name, args=call.args[:position], keywords={**extra, **call.keywords})

    return rule


def _renamed(name: str, *dropped: str) -> Rule:
    return lambda call: call.named(name, *dropped)


def _reshape(call: Called) -> Called:
    x, *shape = call.args
    return call._replace(name="reshape", args=[x, shape[0] if len(shape) == 1 else f"({', '.join(shape)})"])


def _argsort(call: Called) -> Called:
    call = call.named("argsort", "kind")
    return call._replace(keywords={**call.keywords, "stable": "True"})


_TO_STANDARD: dict[str, Rule] = {
    **{f"arc{name}": _renamed(f"a{name}") for name in ("cos", "cosh", "sin", "sinh", "tan", "tan2", "tanh")},
    "argsort": _argsort,
    "array": _renamed("asarray"),
    "concatenate": _renamed("concat"),
    "cumprod": _renamed("cumulative_prod"),
    "cumsum": _renamed("cumulative_sum"),
    "diagonal": _renamed("linalg.diagonal", "axis1", "axis2"),
    "invert": _renamed("bitwise_invert"),
    "left_shift": _renamed("bitwise_left_shift"),
    "reshape": _reshape,
    "right_shift": _renamed("bitwise_right_shift"),
    "rint": _renamed("round"),
    "swapaxes": lambda call: f"({call.args[0]}).mT",
    "trace": _renamed("linalg.trace", "axis1", "axis2"),
    "transpose": _renamed("permute_dims"),
    "tril": _into_keyword("tril", "k", 1),
    "triu": _into_keyword("triu", "k", 1),
    "zeros": _into_keyword("zeros", "dtype", 1),
    **{name: _into_keyword(name, "axis", 1) for name in ("sum", "mean", "max", "min", "prod")},
}
_CREATES = frozenset({"arange", "array", "eye", "ones", "zeros"})
_DEFAULT_DTYPES = {"arange": "int64", "eye": "float64"}
"""What NumPy makes unless told otherwise, and other libraries do not."""


class _Translator(ast.NodeTransformer):
    """Rewrites one template, or one definition.

    Args:
        backend: the library.
        dtype: the dtype of the template's value; None for a definition.
        ranks: how many axes the operands of the template have.
    """

    def __init__(self, backend: Backend, dtype: str | None, ranks: tuple[int, ...] = ()) -> None:
        self.backend = backend
        self.ranks = ranks
        self.dtype = dtype

    # --- calls ------------------------------------------------------------------------------------------------

    def function(self, name: str, *args: str) -> ast.expr:
        """Write the call of a function of NumPy with arguments that are written already."""
        return self._function(Called(name, list(args), {}, self.dtype))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name, args = _numpy_name(node.func), node.args
        if name is None and isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
            name, args = node.func.attr, [node.func.value, *args]
        if name is None and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "special":
            return self._special(node, node.func.attr)
        if name == "asarray":  # operands are arrays of the right dtype already
            return self.visited(args[0])
        if name is None:
            return self._helper_called(node)
        texts = [ast.unparse(self.visited(arg)) for arg in args]
        keywords = {str(each.arg): ast.unparse(self.visited(each.value)) for each in node.keywords}
        for keyword in ("initial", "out"):
            if keyword in keywords:
                raise UntranslatableError(f"np.{name} with {keyword}=")
        return self._function(Called(name, texts, keywords, self.dtype))

    def _special(self, node: ast.Call, name: str) -> ast.expr:
        """Write a call of a function of `scipy.special`."""
        if f"special.{name}" not in self.backend.native:
            raise UntranslatableError(f"scipy.special.{name}")
        node.func = _parsed(self.backend.native[f"special.{name}"])
        node.args = [self.visited(arg) for arg in node.args]
        return node

    def visited(self, node: ast.expr) -> ast.expr:
        found: ast.expr = self.visit(node)
        return found

    def _function(self, call: Called) -> ast.expr:
        """Write a call of a function of NumPy."""
        backend, asked = self.backend, call.name
        if asked in backend.functions:
            first = [backend.module] * backend.passed
            return _parsed(_call_text(asked, call._replace(args=first + call.args)))
        keywords = call.keywords
        if not backend.device:
            keywords = {key: text for key, text in keywords.items() if key != "device"}
        elif asked in _CREATES and "device" not in keywords:
            if self.dtype is None:
                raise UntranslatableError(f"np.{asked} without a device")
            keywords = {**keywords, "device": "device"}
        found: Called | str = call._replace(keywords=keywords)
        if asked in _TO_STANDARD:
            found = _TO_STANDARD[asked](call._replace(keywords=keywords))
        if isinstance(found, Called) and asked in _DEFAULT_DTYPES and "dtype" not in found.keywords:
            dtype = _dtype_text(backend, _DEFAULT_DTYPES[asked])
            found = found._replace(keywords={"dtype": dtype, **found.keywords})
        if isinstance(found, Called) and found.name in backend.calls:
            found = backend.calls[found.name](found)
        if isinstance(found, str):
            return _parsed(found)
        if found.name not in _STANDARD and found.name not in backend.names:
            raise UntranslatableError(f"np.{asked}")
        return _parsed(_call_text(f"{backend.module}.{found.name}", found))

    def _helper_called(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if isinstance(node.func, ast.Attribute):
            if node.func.attr not in _PYTHON_METHODS:
                raise UntranslatableError(f"method {node.func.attr}")
            node.func.value = self.visited(node.func.value)
        elif isinstance(node.func, ast.Name):
            node.func = self.visited(node.func)
        node.args = [self.visited(arg) for arg in node.args]
        node.keywords = [ast.keyword(each.arg, self.visited(each.value)) for each in node.keywords]
        if self.backend.passed and (name in HELPERS or name in self.backend.functions or name == "function"):
            node.args.insert(0, ast.Name(self.backend.module))
        return node

    # --- names ------------------------------------------------------------------------------------------------

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        name = _numpy_name(node)
        if name is None:
            if node.attr not in _ATTRIBUTES:
                raise UntranslatableError(f"attribute {node.attr}")
            self.generic_visit(node)
            return (
                _parsed(device_text(ast.unparse(node.value))) if node.attr == "device" and self.backend.passed else node
            )
        if name in _DTYPES:
            return _parsed(_dtype_text(self.backend, name))
        if name not in _VALUES:
            raise UntranslatableError(f"np.{name}")
        return _parsed(f"{self.backend.module}.{name}")

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _parsed(self.backend.native[node.id]) if node.id in self.backend.native else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if isinstance(node.slice, ast.Tuple) and not node.slice.elts:
            return self.visited(node.value)
        if _numpy_name(node.value) == "s_":
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return ast.Tuple([_slice_call(part) for part in parts], ast.Load())
        self.generic_visit(node)
        if self.backend.strict and self.dtype is not None and isinstance(node.value, ast.Name):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            mark = _MARK.fullmatch(node.value.id)
            if mark and sum(not _is_none(part) for part in parts) < self.ranks[int(mark[1])]:
                node.slice = ast.Tuple([*parts, ast.Constant(...)], ast.Load())
        return node

    # --- statements -------------------------------------------------------------------------------------------

    def visit_With(self, node: ast.With) -> list[ast.stmt]:
        if any(not isinstance(item.context_expr, ast.Call) or _numpy_name(item.context_expr.func) != "errstate"
               for item in node.items):  # fmt: skip
            raise UntranslatableError("with")
        found: list[ast.stmt] = []
        for statement in node.body:
            made = self.visit(statement)
            found += made if isinstance(made, list) else [made] if made is not None else []
        return found

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        if any(isinstance(target, ast.Subscript) for target in node.targets):
            raise UntranslatableError("writing to arrays")
        self.generic_visit(node)
        return None if [ast.unparse(target) for target in node.targets] == [ast.unparse(node.value)] else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        if isinstance(node.target, ast.Subscript):
            raise UntranslatableError("writing to arrays")
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> ast.stmt:
        self._check_branch(node.test)
        self.generic_visit(node)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self._check_branch(node.test)
        self.generic_visit(node)
        return node

    def _check_branch(self, test: ast.expr) -> None:
        if any(_numpy_name(each) in _BRANCHES for each in ast.walk(test) if isinstance(each, ast.expr)):
            raise UntranslatableError("branching on the values of arrays")


def _numpy_name(node: ast.expr) -> str | None:
    """Give the name of something that stands below ``np``."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed(parts)) if parts and isinstance(node, ast.Name) and node.id == "np" else None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _slice_call(part: ast.expr) -> ast.expr:
    if not isinstance(part, ast.Slice):
        return part
    ends = [ast.unparse(end) if end else "None" for end in (part.lower, part.upper, part.step)]
    return _parsed(f"slice({', '.join(ends[:2] if ends[2] == 'None' else ends)})")


def _dtype_text(backend: Backend, name: str) -> str:
    if name not in backend.dtypes:
        raise UntranslatableError(f"dtype {name}")
    return backend.dtypes[name]


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _call_text(function: str, call: Called) -> str:
    keywords = [f"{key}={text}" for key, text in call.keywords.items()]
    return f"{function}({', '.join([*call.args, *keywords])})"


def _unparsed(node: ast.AST) -> str:
    return re.sub(r"(?<![\"'])'([^'\"\\]*)'(?!['\"])", r'"\1"', ast.unparse(node))


# --- definitions ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def translated_helper(source: str, backend: Backend) -> str:
    """Give the definition of a helper in a library's names.

    Raises:
        UntranslatableError: it does what the library cannot.
    """
    tree = ast.parse(source)
    done = _Translator(backend, None).visit(tree)
    for function in done.body if backend.passed else ():
        function.args.args.insert(0, ast.arg(backend.module))
    return _unparsed(ast.fix_missing_locations(done))


# --- templates ------------------------------------------------------------------------------------------------


def _marked(form: Form, count: int) -> str:
    """Give a template with names in the places of the operands."""
    every = ", ".join(f"_{place}_" for place in range(count))
    return _PLACE.sub(lambda place: every if place[1] == "*" else f"_{place[1]}_", form.template)


@lru_cache(maxsize=4096)
def _translated(form: Form, backend: Backend, dtype: str, ranks: tuple[int, ...] = ()) -> Form:
    """Give a marked template in a library's names, with what its operands need now."""
    before = _parsed(form.template)
    kept = ast.dump(before)
    after = _Translator(backend, dtype, ranks).visited(before)
    if ast.dump(after) == kept:
        return form
    needs: dict[int, int] = {}
    for parent in ast.walk(after):
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.Name) and (mark := _MARK.fullmatch(child.id)):
                place = int(mark[1])
                needs[place] = max(needs.get(place, LOWEST), _need(parent, child, form.need(place)))
    operands = tuple(needs.get(place, ATOM) for place in range(max(needs, default=-1) + 1))
    atom = isinstance(after, ast.Call | ast.Attribute | ast.Subscript | ast.Name | ast.Constant | ast.Tuple)
    return Form(_unparsed(after), ATOM if atom else form.precedence if form.precedence < ATOM else LOWEST, operands)


def _need(parent: ast.AST, child: ast.AST, declared: int) -> int:
    if isinstance(parent, ast.Call | ast.Tuple | ast.List | ast.keyword) and child is not getattr(parent, "func", None):
        return LOWEST
    return declared or ATOM


# --- programs -------------------------------------------------------------------------------------------------

_CONDITIONS = {logical_and, logical_not, logical_or, logical_xor}


class Writer:
    """Writes the operations of a program in the names of a library.

    Args:
        backend: the library.
    """

    def __init__(self, backend: Backend) -> None:
        """Take the library."""
        self.backend = backend

    def spelled(self, op: Op, params: Params, shape: Shape, dtype: Dtype, operands: Sequence[Spelled]) -> Spelled:
        """Write one operation on expressions that are written already.

        Raises:
            BackendError: the library does not have it, or not its dtype.
        """
        try:
            return self._spelled(op, params, shape, dtype, operands)
        except UntranslatableError as error:
            written = spelled(op, params, shape, dtype, operands).text
            raise self._lacking(op, error, written) from None

    def weak(self, written: Spelled) -> str:
        """Give the text where a number may be Python's."""
        return self._number(written)[0] if written.number is not None else written.text

    def copied(self, text: str) -> str:
        """Write the copy of an array."""
        return _unparsed(_Translator(self.backend, "").function("copy", text))

    def helpers(self, ops: Iterable[Op], body: str) -> list[str]:
        """Give the definitions of the functions that the body of a module calls.

        Raises:
            BackendError: the library does not have what one of them needs.
        """
        found: dict[str, str] = {}
        for op in dict.fromkeys(ops):
            for helper in op.helpers(portable=True):
                (name,) = _DEFINITION.findall(helper)
                if name not in self.backend.native and name not in self.backend.functions and name not in found:
                    try:
                        found[name] = translated_helper(helper, self.backend)
                    except UntranslatableError as error:
                        raise self._lacking(op, error, f"def {name}") from None
        called = "\n".join([body, *found.values()])
        for name, source in self.backend.functions.items():
            if re.search(rf"(?<![\w.]){name}\(", called):
                found = {name: translated_helper(source.strip(), self.backend), **found}
        return list(found.values())

    def imports(self, code: str) -> list[str]:
        """Give the lines that import what the body of a module and its helpers use."""
        used = [
            name.rpartition(".")[0]
            for name in self.backend.native.values()
            if f"{name}(" in code or f"({name}," in code
        ]
        own = [f"import {each}" for each in dict.fromkeys(used) if each.partition(".")[0] != self.backend.module]
        return sorted([*self.backend.imports, *own])

    def _lacking(self, op: Op, error: UntranslatableError, written: str) -> BackendError:
        return BackendError(f"compile: backend {self.backend.name!r} lacks {error}, which {op.name} needs: {written}")

    # --- operations -------------------------------------------------------------------------------------------

    def _spelled(self, op: Op, params: Params, shape: Shape, dtype: Dtype, operands: Sequence[Spelled]) -> Spelled:
        if op is CONSTANT or op is SIZE:
            return self._leaf(op, params, shape, dtype)
        if op.elementwise and dtype.kind == "b":
            op = _LOGIC.get(op, op)
        form = op.form(op.portable or op.numpy, params, tuple(operand.shape for operand in operands))
        weak = self._weak(op, params, dtype, operands, form)
        numbers, arrays = {}, {}
        for place, operand in enumerate(operands):
            if place in weak:
                text, precedence = operand.weak
                numbers[place] = f"({text})" if precedence < form.need(place) else text
            else:
                arrays[place] = self._cast(operand, _target(op, dtype, operands, weak, place))
        template = _MARK.sub(lambda mark: numbers.get(int(mark[1]), mark[0]), _marked(form, len(operands)))
        ranks = tuple(len(operand.shape) for operand in operands)
        form = _translated(form._replace(template=template), self.backend, _dtype_text(self.backend, dtype.name), ranks)
        filled = {
            place: f"({text})" if precedence < form.need(place) else text
            for place, (text, precedence) in arrays.items()
        }
        text = _MARK.sub(lambda mark: filled.get(int(mark[1]), mark[0]), form.template)
        return Spelled(text, form.precedence, shape, dtype)

    def _leaf(self, op: Op, params: Params, shape: Shape, dtype: Dtype) -> Spelled:
        written = Spelled("", ATOM, shape, dtype, (op, params))
        if shape:
            form = op.form(op.numpy, params, ())
            text = _translated(form, self.backend, _dtype_text(self.backend, dtype.name)).template
            return written._replace(text=text, number=None)
        return written._replace(text=self._cast(written, dtype)[0])

    def _number(self, written: Spelled) -> tuple[str, int]:
        """Write a number as Python's."""
        text, precedence = written.weak
        return text.replace("np.", f"{self.backend.module}."), precedence

    def _cast(self, operand: Spelled, dtype: Dtype) -> tuple[str, int]:
        """Write an array of a dtype."""
        if operand.number is None and operand.dtype == dtype:
            return operand.text, operand.precedence
        wanted = _dtype_text(self.backend, dtype.name)
        if operand.number is not None:
            device = ", device=device" if self.backend.device else ""
            return f"{self.backend.module}.asarray({self._number(operand)[0]}, dtype={wanted}{device})", ATOM
        return _unparsed(_Translator(self.backend, "").function("astype", operand.text, wanted)), ATOM

    def _weak(self, op: Op, params: Params, dtype: Dtype, operands: Sequence[Spelled], form: Form) -> set[int]:
        """Give the places of the operands that may be Python's numbers: one other at least is an array."""
        kinds = weak_ops(op, params, dtype, operands)
        weak = {place for place, each in enumerate(operands) if each.number is not None and each.number[0] in kinds}
        called = _FUNCTION.match(form.template)
        if called and not called[1]:  # a helper may ask for the shape
            return set()
        if called and self.backend.tensors and op is not where:
            weak = {place for place in weak if _FINITE.fullmatch(operands[place].weak[0])}
        values = set(range(op is where, len(operands)))
        return weak - {0} if op is where and not values <= weak else set() if values <= weak else weak


_FINITE = re.compile(r"-?\d+(\.\d*)?(e[-+]?\d+)?")


def _target(op: Op, dtype: Dtype, operands: Sequence[Spelled], weak: set[int], place: int) -> Dtype:
    """Give the dtype that an operand is to have: that of the result, but for comparisons, conditions and positions."""
    own = operands[place].dtype
    if op is ASTYPE or (not op.elementwise and dtype.kind != "f" and (own.kind == "f" or dtype.kind == "b")):
        return own
    if op.indices is not None and place >= op.indices:
        return own
    if op in _CONDITIONS or (op is where and place == 0):
        return np.dtype(bool)
    if op.elementwise and dtype.kind == "b":
        kinds: list[Any] = [each.kind if at in weak else each.dtype for at, each in enumerate(operands)]
        return np.result_type(*kinds)
    return dtype
