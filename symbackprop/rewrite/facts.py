"""What is known of values: declared with `assume`, and inferred from how they are made.

Facts of elements: ``positive`` and ``nonnegative``. Facts of square matrices: ``symmetric``, ``orthogonal``,
``positive_definite`` and ``positive_semidefinite``, ``lower`` and ``upper`` where all else is zero. Inference looks at
one operation and at what is known of its operands, so that all of it costs what the graph has nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from weakref import WeakKeyDictionary

from symbackprop import ops
from symbackprop.expr import Expr
from symbackprop.graph import Graph
from symbackprop.op import CONSTANT, SIZE, Op, scalar_value
from symbackprop.ops.accurate import SIGMOID_SLOPE, TANH_SLOPE, TANH_SLOPE_BESIDE
from symbackprop.ops.arrange import TRIL, TRIU
from symbackprop.ops.contract import ADD_WHERE_EQUAL, DIAG, DIAGONAL, EYE, KRON, SPREAD, TRACE
from symbackprop.ops.determinants import COFACTORS, det
from symbackprop.ops.elementwise import RELU
from symbackprop.ops.factor import EIGENVECTORS, HALVED, QR_R, cholesky
from symbackprop.ops.index import SLICE
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.matrix_function import MATRIX_POWER, cosm, expm, sinm
from symbackprop.ops.norms import NORM
from symbackprop.ops.reduce import MAX, MEAN, MIN, PROD, SOFTMAX, SUM
from symbackprop.ops.special import EXPREL, GAUSS, NORMAL_HAZARD, NORMAL_TAIL
from symbackprop.ops.systems import inv
from symbackprop.rewrite.product import Factor, is_square, is_transpose, outer_operands, product_of

Facts = frozenset[str]

_IMPLIED = {
    "positive": {"nonnegative"},
    "positive_definite": {"positive_semidefinite", "symmetric"},
    "positive_semidefinite": {"symmetric"},
}
_NOTHING: Facts = frozenset()
_ELEMENTS = frozenset({"positive", "nonnegative"})
_MATRIX = frozenset({"symmetric", "orthogonal", "positive_definite", "positive_semidefinite"})
_TRIANGLES = frozenset({"lower", "upper"})
_TRIANGULAR = {
    cholesky: frozenset({"lower"}),
    HALVED: frozenset({"lower"}),
    QR_R: frozenset({"upper"}),
    DIAG: _TRIANGLES,
}
_DEFINITE = frozenset({"symmetric", "positive_definite", "positive_semidefinite"})
_SUMS = frozenset({SUM, MEAN})
_SHARES = frozenset({ops.sigmoid, SOFTMAX})
_EVEN = frozenset({ops.square, ops.abs, ops.cos, ops.cosh})
_COMMUTATIVE = frozenset({ops.add, ops.multiply, ops.maximum, ops.minimum})
_REMEMBERED: WeakKeyDictionary[Graph, dict[int, Facts]] = WeakKeyDictionary()


def _in_all(below: Sequence[Facts]) -> Facts:
    return _ELEMENTS.intersection(*below)


def _in_one(below: Sequence[Facts]) -> Facts:
    return _ELEMENTS.intersection(frozenset().union(*below))


_SIGNS: dict[Op, Callable[[Sequence[Facts]], Iterable[str]]] = {
    **dict.fromkeys((ops.exp, ops.sigmoid, ops.softplus, ops.ndtr, SOFTMAX), lambda _: ("positive",)),
    **dict.fromkeys((SIGMOID_SLOPE, TANH_SLOPE, TANH_SLOPE_BESIDE, ops.cosh), lambda _: ("positive",)),
    **dict.fromkeys((GAUSS, NORMAL_HAZARD, NORMAL_TAIL), lambda _: ("positive",)),
    **dict.fromkeys((ops.exp2, ops.erfc, ops.erfcx, EXPREL), lambda _: ("positive",)),
    **dict.fromkeys((ops.abs, ops.arccos, ops.arccosh, RELU, NORM), lambda _: ("nonnegative",)),
    **dict.fromkeys((ops.arctan, ops.arcsinh, ops.cbrt, ops.ceil), lambda below: below[0] & _ELEMENTS),
    **dict.fromkeys((ops.floor, ops.trunc, ops.rint), lambda below: below[0] & {"nonnegative"}),
    ops.where: lambda below: _in_all(below[1:]),
    **dict.fromkeys((ops.sqrt, ops.power), lambda below: below[0] & _ELEMENTS),
    **dict.fromkeys((ops.multiply, ops.divide, ops.minimum), _in_all),
    **dict.fromkeys((SUM, MEAN, MAX, MIN, PROD, DIAGONAL, TRACE), _in_all),
    **dict.fromkeys((BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE, SLICE), _in_all),
    ops.square: lambda below: {"nonnegative"} | (below[0] & _ELEMENTS),
    ops.maximum: _in_one,
    ops.hypot: lambda below: {"nonnegative"} | _in_one(below),
    ops.add: lambda below: _in_one(below) if all("nonnegative" in facts for facts in below) else (),
    det: lambda below: ("positive",) if "positive_definite" in below[0] else (),
}


def _kept(facts: Facts) -> Facts:
    return facts & _MATRIX


_OF_ONE: dict[Op, Callable[[Facts], Iterable[str]]] = {
    **dict.fromkeys((inv, COFACTORS, MATRIX_POWER), _kept),
    **dict.fromkeys((sinm, cosm), lambda facts: facts & {"symmetric"}),
    expm: lambda facts: ("positive_definite",) if "symmetric" in facts else (),
    EIGENVECTORS: lambda _: ("orthogonal",),
}


def known(expr: Expr) -> Facts:
    """Give what is known of an expression.

    >>> import symbackprop as sb
    >>> X = sb.symbol("X", ("N", "D"))
    >>> sorted(known(X.T @ X))
    ['positive_semidefinite', 'symmetric']
    >>> sorted(known(sb.exp(X)))
    ['nonnegative', 'positive']
    """
    graph, number = expr.graph, expr.number
    found = _REMEMBERED.setdefault(graph, {}) if graph.scratch else {}  # in a user's graph more may be declared
    if number not in found:
        for at in graph.reachable([number], known=found):
            if at not in found:
                found[at] = _complete(_inferred(Expr(graph, at), found))
    return found[number]


def _complete(facts: Iterable[str]) -> Facts:
    complete = set(facts)
    for fact in tuple(complete):
        complete |= _IMPLIED.get(fact, set())
    return frozenset(complete)


def _inferred(expr: Expr, found: dict[int, Facts]) -> set[str]:
    node = expr.node
    declared = set(node.facts) - {"rows_sum_to"}
    if not node.inputs:
        return declared | _of_leaf(expr)
    below = [found[number] for number in node.inputs]

    def look(operand: Expr) -> Facts:  # what a reader has only just made is not known
        return found.get(operand.number, frozenset())

    signs = _SIGNS.get(node.op) if node.dtype.kind == "f" else None  # integers wrap around
    facts = declared | (set(signs(below)) if signs else set())
    if node.op is ops.add and node.dtype.kind == "f" and _is_rest(expr, look):
        facts.add("nonnegative")
    if node.op is ops.subtract and node.dtype.kind == "f" and _is_complement(expr):
        facts.add("nonnegative")
    if is_square(expr):
        facts |= _of_matrix(expr, below, look) | _triangles(expr, below)
    return facts


def _triangles(expr: Expr, below: Sequence[Facts]) -> Facts:
    """Tell which triangle, the diagonal included, has all the elements that are not zero."""
    op, found = expr.op, _TRIANGLES.intersection(*below)
    if op in _TRIANGULAR:
        return _TRIANGULAR[op]
    if op in {TRIL, TRIU}:
        kept = "lower" if op is TRIL else "upper"
        beyond = expr.params["k"] if op is TRIL else -expr.params["k"]
        return found | {kept} if beyond <= 0 else found
    if is_transpose(expr):
        return _TRIANGLES - found if len(found) == 1 else found
    scaled = op in {ops.multiply, ops.divide} and not expr.inputs[1].shape
    if scaled or (op is ops.multiply and not expr.inputs[0].shape):
        return _TRIANGLES & frozenset().union(*below)
    return found if op in {inv, ops.add, ops.matmul, ops.negative, ops.subtract} else _NOTHING


def _of_leaf(expr: Expr) -> set[str]:
    if expr.op is EYE and is_square(expr):
        return {"nonnegative", "orthogonal", "positive_definite", *_TRIANGLES}
    if expr.op is SIZE:
        return {"nonnegative"}
    if expr.op is CONSTANT and not expr.shape and expr.dtype.kind in "iuf":
        value = expr.params["value"].array
        return {"positive"} if value > 0 else {"nonnegative"} if value == 0 else set()
    return set()


def _of_matrix(expr: Expr, below: Sequence[Facts], look: Callable[[Expr], Facts]) -> set[str]:
    """Infer the symmetry of square matrices."""
    op = expr.op
    of_one = _kept if is_transpose(expr) else _OF_ONE.get(op)
    if of_one is not None:
        return set(of_one(below[0]))
    if op is ops.matmul:
        return _of_product(expr, below, look)
    if op is DIAG:
        sign = {"positive_definite"} if "positive" in below[0] else set()
        return sign or ({"positive_semidefinite"} if "nonnegative" in below[0] else {"symmetric"})
    if op is KRON:
        return set(_MATRIX.intersection(*below)) if all(map(is_square, expr.inputs)) else set()
    pair = outer_operands(expr)
    if pair is not None:
        return {"positive_semidefinite"} if pair[0] is pair[1] else set()
    found = _of_elementwise(expr, below) if op.elementwise else set()
    return {"symmetric"} if not found and _is_symmetric(expr, below) else found


def _of_product(expr: Expr, below: Sequence[Facts], look: Callable[[Expr], Facts]) -> set[str]:
    """Tell of a product whether it is its own transpose, as AᵀA is."""
    facts = {"orthogonal"}.intersection(*below)
    if expr.ndim > 2:
        return facts
    product = product_of(expr, look)
    row = None if product is None else product.factors
    if not row or tuple(_turned(factor, look) for factor in reversed(row)) != row:
        return facts
    middle = look(row[len(row) // 2].base) if len(row) % 2 else {"positive_semidefinite"}
    plain = product is not None and product.number > 0 and not (product.scalars or product.divisors)
    return facts | ({"positive_semidefinite"} if plain and "positive_semidefinite" in middle else {"symmetric"})


def _is_symmetric(expr: Expr, below: Sequence[Facts]) -> bool:
    """Tell whether a matrix is one of pairs, as of distances, or has a block on its diagonal."""
    if expr.op in _SUMS:
        return expr.params["axes"] == (-1,) and expr.inputs[0].ndim == 3 and _is_of_pairs(expr.inputs[0], -2)
    if expr.op in {SPREAD, ADD_WHERE_EQUAL}:
        alike = expr.params["pattern"] == "aa" and len({*expr.shape}) == 1 and len({*expr.params["runs"]}) < 2
        return alike and (expr.op is SPREAD or "symmetric" in below[0])
    return _is_of_pairs(expr, -1)


def _is_of_pairs(expr: Expr, axis: int) -> bool:
    """Tell whether each element is made of two of one array, xᵢ and xⱼ, in a way that does not tell them apart."""
    if expr.op in _EVEN and expr.inputs[0].op is ops.subtract:
        pair = expr.inputs[0].inputs
    elif expr.op in _COMMUTATIVE:
        pair = expr.inputs
    else:
        return False
    return (
        all(x.op is EXPAND_DIMS for x in pair)
        and pair[0].inputs[0] is pair[1].inputs[0]
        and {x.params["axes"] for x in pair} == {(axis,), (axis - 1,)}
    )


def _turned(factor: Factor, look: Callable[[Expr], Facts]) -> Factor:
    return factor if factor.base.ndim == 2 and "symmetric" in look(factor.base) else factor.turn()


def _of_elementwise(expr: Expr, below: Sequence[Facts]) -> set[str]:
    op, whole = expr.op, [at for at, operand in enumerate(expr.inputs) if operand.shape == expr.shape]
    if any(at not in whole and operand.shape for at, operand in enumerate(expr.inputs)):
        return set()
    matrices = [below[at] for at in whole]
    if len(whole) == 2 and op is ops.add and _opposite(*expr.inputs):
        return {"symmetric"}
    shared = _DEFINITE.intersection(*matrices) if matrices else _NOTHING
    if op is ops.add and len(whole) == 2:
        definite = any("positive_definite" in facts for facts in matrices)
        return {"positive_definite"} if definite and "positive_semidefinite" in shared else set(shared)
    if op is ops.multiply or (op is ops.divide and 1 not in whole):
        scale = [facts for at, facts in enumerate(below) if at not in whole]
        if all("positive" in facts for facts in scale):
            return set(shared)
        if all("nonnegative" in facts for facts in scale):
            return set(shared - {"positive_definite"})
    return set(shared & {"symmetric"})


def _is_rest(expr: Expr, look: Callable[[Expr], Facts]) -> bool:
    """Tell whether this is ``x + (c − x)`` for a c that is not negative; it is not negative either when rounded."""
    return any(
        rest.op is ops.subtract and rest.inputs[1] is x and "nonnegative" in look(rest.inputs[0])
        for x, rest in (expr.inputs, expr.inputs[::-1])
    )


def _is_complement(expr: Expr) -> bool:
    """Tell whether this is 1 less a probability or the square of one, which are at most 1 when rounded too."""
    one, share = expr.inputs
    share = share.inputs[0] if share.op is ops.square else share
    return scalar_value(one) == 1 and share.op in _SHARES


def _opposite(left: Expr, right: Expr) -> bool:
    """Tell whether one is the transpose of the other."""
    return any(is_transpose(one) and one.inputs[0] is other for one, other in ((left, right), (right, left)))
