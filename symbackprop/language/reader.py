"""`parse`: a text, the lines below it that say what its names stand for, and the symbols."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from symbackprop import dims, ops
from symbackprop.dims import Dim, ShapeLike, SizeLike
from symbackprop.errors import ParseError, ShapeError
from symbackprop.expr import Expr
from symbackprop.graph import current_graph
from symbackprop.language.evaluation import Evaluator
from symbackprop.language.grammar import Grammar
from symbackprop.language.tokens import Kind, Source, tokens_of

Symbols: TypeAlias = "str | Mapping[str, Expr] | Iterable[Expr]"

_LINES = re.compile(r"\n\s*where\s+(?=\"|\S+\s*=\s)")  # where( is the function
_DEFINITION = re.compile(r"\s*(\"(?:[^\"\\]|\\.)*\"|[^\W\d][^\s=]*)\s*=\s(.*)")


def parse(text: str, symbols: Symbols, *, sizes: Iterable[SizeLike] = (), shape: ShapeLike | None = None) -> Expr:
    """Read one expression, in Python's spelling or in the notation that formulas are printed in.

    It may hold numbers, ``pi`` and ``e``, the symbols and the named sizes of their shapes, ``+ - * / // % @ ** & | ~``,
    comparisons, the functions of `symbackprop` with ``axis=`` and ``keepdims=``, ``.T``, and indices with slices; and
    all that `symbackprop.text` writes: operands side by side, which are a scaling if one is a scalar, else a matrix
    product with vectors as columns; ``ᵀ ⁻¹ x² √ ⊙ ⊗ ½ |x| ‖x‖ ⌊a/b⌋ [x > 0] σ′(z)``, index notation such as
    ``Σⱼ Aᵢⱼxⱼ`` and ``[xᵢyⱼ]ᵢⱼ``, and the lines below that say ``where z = …``. A run of letters is split into known
    names, if there is one way to do so.

    Args:
        text: such as ``"mean((y - sigmoid(X@w + b))**2)"`` or ``"Xᵀ(Xw − y)/N"``.
        symbols: those of the formula: as a line such as ``"X[N,D] w[D]"``, as expressions that have names, or as a
            mapping that says what names stand for.
        sizes: named sizes that are in no symbol's shape.
        shape: the shape of the whole, which tells the size of an identity matrix I that stands alone.

    Raises:
        ParseError: the text holds anything else; the message shows where.
        ShapeError: operands do not fit, shown in the same way, or the whole has another shape.
        DtypeError: an operation does not take its operands' dtypes, shown in the same way.

    >>> print(parse("Xᵀ(Xw − y)/N", "X[N,D] w[D] y[N]"))
    Xᵀ(Xw − y)/N
    >>> parse("sum(X@w, axis=0)", ops.symbols("X[N,D] w[D]")).shape
    ()
    >>> parse("sum(X@v)", "X[N,D] w[D]")
    Traceback (most recent call last):
    symbackprop.errors.ParseError: unknown name 'v'; known are X, w, D, N, pi, e
      sum(X@v)
            ^
    """
    known = _named(symbols)
    graph = next((expr.graph for expr in known.values()), None) or current_graph()
    with graph:
        return _read(text, known, sizes, None if shape is None else dims.as_shape(shape))


def _named(symbols: Symbols) -> dict[str, Expr]:
    """Give the symbols by name; two of one name are told apart as formulas do it."""
    if isinstance(symbols, Mapping):
        return dict(symbols)
    given = list(dict.fromkeys(ops.symbols(symbols) if isinstance(symbols, str) else symbols))
    for expr in given:
        if expr.name is None:
            msg = f"{expr.describe()} has no name; give a mapping from names"
            raise ParseError(msg)
    count = Counter(expr.name for expr in given)
    return {
        expr.name if count[expr.name] == 1 else f"{expr.name}:{expr.dtype}{dims.show(expr.shape)}": expr
        for expr in given
        if expr.name is not None
    }


def _read(text: str, known: Mapping[str, Expr], sizes: Iterable[SizeLike], shape: dims.Shape | None) -> Expr:
    shapes = chain.from_iterable(expr.shape for expr in known.values())
    listed = dims.names_of([*shapes, *map(dims.as_size, sizes)])
    named_sizes = {name: Dim.named(name) for name in sorted(listed)}
    names: dict[str, Any] = {unicodedata.normalize("NFC", name): expr for name, expr in known.items()}
    names |= {name: size for name, size in named_sizes.items() if name not in names}
    # Numbers are weak beside symbols; two numbers alone get the dtype that the symbols have.
    kinds = [expr.dtype for expr in known.values() if expr.dtype.kind == "f"]
    dtype = np.result_type(*kinds) if kinds else np.dtype(np.float64)
    main, *lines = _LINES.split(text, maxsplit=1)
    for name, formula in _definitions(lines):
        source = Source(formula)
        tree = Grammar(source, names).read()
        names[name] = Evaluator(source, names, named_sizes, dtype, None).value(tree)
    source = Source(main)
    tree = Grammar(source, names).read()
    reader = Evaluator(source, names, named_sizes, dtype, shape)
    found = reader.result(tree, reader.value(tree))
    if shape is not None and found.shape != shape:
        msg = f"the formula has the shape {found.shape}, not {shape}"
        raise reader.source.error(msg, tree.span, ShapeError)
    return found


def _definitions(lines: list[str]) -> list[tuple[str, str]]:
    """Give the names that are defined below a formula, each with its formula; a line that defines none goes on."""
    found: list[tuple[str, str]] = []
    for line in "\n".join(lines).split("\n"):
        match = _DEFINITION.fullmatch(line)
        if match:
            (token, *_) = tokens_of(Source(match[1]), frozenset())
            found.append((token.text if token.kind is Kind.TEXT else match[1], match[2]))
        elif line.strip():
            found[-1] = (found[-1][0], f"{found[-1][1]} {line}")
    return found
