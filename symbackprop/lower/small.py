"""What is written otherwise where arrays are small, and the call of a NumPy function takes longer than its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from symbackprop import dims
from symbackprop.dims import Dim, Shape, Size
from symbackprop.lower.program import (
    Accumulate,
    Assign,
    Blocked,
    Call,
    Program,
    Ref,
    Statement,
    Store,
    Term,
    names_in,
    refs_in,
    terms_of,
)
from symbackprop.op import ATOM, CONSTANT, SIZE, Dtype, Form, Op, Value
from symbackprop.ops import abs as abs_
from symbackprop.ops import (
    add,
    divide,
    exp,
    log1p,
    matmul,
    maximum,
    minimum,
    multiply,
    sigmoid,
    softplus,
    square,
    subtract,
)
from symbackprop.ops.accurate import SIGMOID_SLOPE
from symbackprop.ops.elementwise import RELU
from symbackprop.ops.layout import shape_text
from symbackprop.ops.reduce import MEAN, SHIFTED, SOFTMAX, SUM, reduced
from symbackprop.spelling import Names

VDOT = "vdot"
DOT = replace(matmul, numpy=Form("$0.dot($1)", ATOM, (ATOM,)))  # the same product, with less to do before it
_VDOT = replace(matmul, name=VDOT, numpy=Form("np.vdot($0, $1)"))  # of all elements
_MULTIPLIED_BY_BLAS = {np.dtype("float32"), np.dtype("float64")}

_Made: TypeAlias = tuple[str, Shape, Dtype]
_Naming: TypeAlias = "Callable[[Term], Ref]"


def for_small_arrays(program: Program) -> Program:
    r"""Give the program with products of vectors and matrices as methods, which NumPy calls twice as fast.

    Sums over an axis of a matrix, or over a vector, are products with a vector of ones, too, and sums of products over
    all elements are one product: three times as fast, and as accurate as BLAS, which adds some lanes up side by side.
    In single precision the greater of an array and zero is that of two arrays, for which NumPy has a faster loop.

    >>> import symbackprop as sb
    >>> X, w = sb.symbols("X[N,D] w[D]")
    >>> f = sb.compile([X, w], [X @ w, sb.sum(X * X)])
    >>> result = f([[1.0, 2.0]], [3.0, 4.0])
    >>> print(f.source.splitlines()[-3], f.source.splitlines()[-2], sep="\n")
        result = X.dot(w)
        result_1 = np.vdot(X, X)
    """
    return _Small(program).program()


def _on_elements(op: Op, *args: Term) -> Call:
    """Give an operation on an array, and maybe a number, of one dtype."""
    like = next(arg for arg in args if arg.shape)
    return Call(op, {}, args, like.shape, like.dtype)


def _sigmoid(named: _Naming, x: Term) -> Term:
    e = named(_on_elements(exp, _on_elements(minimum, x, _number(40.0, x.dtype))))
    return _on_elements(divide, e, _on_elements(add, _number(1.0, x.dtype), e))


def _sigmoid_slope(named: _Naming, x: Term) -> Term:
    e = named(_on_elements(exp, _on_elements(subtract, _number(0.0, x.dtype), _on_elements(abs_, x))))
    return _on_elements(divide, e, _on_elements(square, _on_elements(add, _number(1.0, x.dtype), e)))


def _softplus(named: _Naming, x: Term) -> Term:
    x, zero = named(x), _number(0.0, x.dtype)
    e = _on_elements(exp, _on_elements(subtract, zero, _on_elements(abs_, x)))
    return _on_elements(add, _on_elements(maximum, x, zero), _on_elements(log1p, e))


# What their helpers do, in operations that each can write into an array that is there.
_STEPS: Mapping[Op, Callable[[_Naming, Term], Term]] = {
    sigmoid: _sigmoid, SIGMOID_SLOPE: _sigmoid_slope, softplus: _softplus,
}  # fmt: skip


class _Small:
    def __init__(self, given: Program) -> None:
        self.given = given
        self.names = Names(names_in(given))
        self.made: dict[_Made, Ref] = {}
        self.statements: list[Statement] = []
        self.totals = _summed_alone(given)

    def program(self) -> Program:
        """Write the program down anew."""
        for statement in self.given.statements:
            if isinstance(statement, Blocked):
                self.statements.append(statement)
                continue
            value = statement.value
            if isinstance(value, Call) and statement.target in self.totals:
                value = _sum_of_all(value.args[0])
            value = self._term(value)  # which may need a statement before
            self.statements.append(statement._replace(value=value))
        outputs = tuple(output._replace(value=self._term(output.value)) for output in self.given.outputs)
        made = [Assign(ref.name, _full(key)) for key, ref in self.made.items()]
        return self.given._replace(statements=(*made, *self.statements), outputs=outputs)

    def _term(self, term: Term) -> Term:
        if not isinstance(term, Call):
            return term
        if term.op in {SUM, MEAN} and not term.shape and (product := self._total(term)) is not None:
            return product
        args = tuple([self._term(arg) for arg in term.args])
        return self._instead(term, args) or term._replace(args=args)

    def _instead(self, term: Call, args: tuple[Term, ...]) -> Term | None:
        """Give what takes fewer or cheaper calls than an operation on these operands."""
        found: Term | None = None
        if term.op is SUM:
            found = self._sum(term._replace(args=args))
        elif term.op is SOFTMAX and term.shape and term.dtype in _MULTIPLIED_BY_BLAS:
            e = self._named(_on_elements(exp, term._replace(op=SHIFTED, args=args)))
            params = {"axes": term.params["axes"], "keepdims": True}
            total = Call(SUM, params, (e,), reduced(term.shape, **params), term.dtype)
            found = Call(divide, {}, (e, self._sum(total)), term.shape, term.dtype)
        elif _is_positive_part(term):
            zeros = self._filled(("zeros", term.shape, term.dtype))
            found = Call(maximum, {}, (args[0], zeros), term.shape, term.dtype)
        elif term.op in _STEPS and term.shape and term.dtype in _MULTIPLIED_BY_BLAS:
            found = _STEPS[term.op](self._named, args[0])
        elif term.op is matmul and all(len(arg.shape) <= 2 and arg.dtype in _MULTIPLIED_BY_BLAS for arg in term.args):
            found = term._replace(op=DOT, args=args)
        return found

    def _sum(self, term: Call) -> Call:
        """Give the sum over an axis of a matrix, or over a vector, as a product with ones."""
        (x,), axes, keepdims = term.args, term.params["axes"], term.params["keepdims"]
        if len(axes) != 1 or len(x.shape) > 2 or len(x.shape) == keepdims or term.dtype not in _MULTIPLIED_BY_BLAS:
            return term
        (axis,), count = axes, (x.shape[axes[0]],)
        one = (1,) if keepdims else ()
        ones = self._filled(("ones", (*count, *one) if axis == -1 else (*one, *count), term.dtype))
        return Call(DOT, {}, (x, ones) if axis == -1 else (ones, x), term.shape, term.dtype)

    def _filled(self, key: _Made) -> Ref:
        """Give an array of one number, which is made once."""
        if key not in self.made:
            self.made[key] = Ref(self.names.take(key[0]), *key[1:])
        return self.made[key]

    def _total(self, term: Call) -> Term | None:
        """Give the sum over all elements, or the mean, in one step: that of a product is a product of two arrays."""
        inner: Term = term
        count: Size = 1
        while isinstance(inner, Call) and inner.op in {SUM, MEAN} and inner.dtype == inner.args[0].dtype:
            (whole,) = inner.args
            count *= dims.product(whole.shape[axis] for axis in inner.params["axes"]) if inner.op is MEAN else 1
            inner = whole
        if term.dtype not in _MULTIPLIED_BY_BLAS or not inner.shape:
            return None
        if isinstance(inner, Ref) and inner.name in self.totals:
            total: Term = inner._replace(shape=())
        else:
            total = self._product(inner) or self._sum(_sum_of_all(self._term(inner)))
        return total if count == 1 else Call(divide, {}, (total, _number(count, term.dtype)), (), term.dtype)

    def _product(self, inner: Term) -> Call | None:
        """Give the sum of all elements of a product."""
        if isinstance(inner, Ref):
            return None
        if inner.op is square:
            factor = self._named(self._term(inner.args[0]))
            factors: tuple[Term, Term] = (factor, factor)
        elif inner.op is multiply and all((arg.shape, arg.dtype) == (inner.shape, inner.dtype) for arg in inner.args):
            factors = (self._term(inner.args[0]), self._term(inner.args[1]))
        else:
            return None
        return Call(DOT if len(inner.shape) == 1 else _VDOT, {}, factors, (), inner.dtype)

    def _named(self, value: Term) -> Ref:
        if isinstance(value, Ref):
            return value
        name = self.names.take(None)
        self.statements.append(Assign(name, value))
        return Ref(name, value.shape, value.dtype)


def _sum_of_all(x: Term) -> Call:
    return Call(SUM, {"axes": tuple(range(-len(x.shape), 0)), "keepdims": False}, (x,), (), x.dtype)


def _summed_alone(program: Program) -> set[str]:
    """Give the names of sums over axes that are only summed over all others: all of it can be done at once."""
    terms = [term for each in program.statements for term in terms_of(each)]
    terms += [output.value for output in program.outputs]
    uses = Counter(ref.name for term in terms for ref in refs_in(term))
    changed = {each.target for each in program.statements if isinstance(each, Accumulate | Store)}
    sums = {
        each.target
        for each in program.statements
        if isinstance(each, Assign) and isinstance(each.value, Call) and each.value.op is SUM and each.value.shape
    }
    summed = (call.args[0] for call in program.calls() if call.op in {SUM, MEAN} and not call.shape)
    whole = {ref.name for ref in summed if isinstance(ref, Ref) and ref.dtype in _MULTIPLIED_BY_BLAS}
    return {name for name in whole & sums if uses[name] == 1} - changed


def _is_positive_part(call: Call) -> bool:
    """Tell whether this is the greater of an array in single precision and zero."""
    if call.op not in {maximum, RELU} or call.dtype != np.float32 or not call.shape == call.args[0].shape != ():
        return False
    zero = call.args[-1]
    return call.op is RELU or (
        isinstance(zero, Call) and zero.op is CONSTANT and not zero.shape and not zero.params["value"].array
    )


def _full(key: _Made) -> Call:
    name, shape, dtype = key
    kind = "" if dtype == np.float64 else f", dtype=np.{dtype.name}"
    extent = shape[0] if len(shape) == 1 else shape_text(shape)
    op = replace(SUM, name=name, numpy=Form(f"np.{name}({extent}{kind})"), helper=None)
    return Call(op, {}, (), shape, dtype)


def _number(value: Size | float, dtype: Dtype) -> Call:
    if isinstance(value, Dim):
        return Call(SIZE, {"size": value, "dtype": dtype}, (), (), dtype)
    return Call(CONSTANT, {"value": Value(np.asarray(value, dtype))}, (), (), dtype)
