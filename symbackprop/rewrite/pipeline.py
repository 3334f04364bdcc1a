"""The passes, in their order, and what runs them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Literal, TypeAlias, overload

from symbackprop.errors import ArgumentError, did_you_mean
from symbackprop.expr import Expr
from symbackprop.ops import add, divide, matmul, multiply, negative, subtract
from symbackprop.ops.index import CONCATENATE, SLICE, UNSLICE
from symbackprop.ops.layout import BROADCAST_TO, EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE
from symbackprop.ops.reduce import MEAN, SUM
from symbackprop.rewrite.accurate import closed, computed, textbook
from symbackprop.rewrite.algebra import algebra, cheap, gather, outward
from symbackprop.rewrite.arranged import ARRANGED, THROUGH
from symbackprop.rewrite.batched import rebuild_batched
from symbackprop.rewrite.bordered import rebuild_bordered
from symbackprop.rewrite.common import rebuild_factored
from symbackprop.rewrite.contract import CONTRACT
from symbackprop.rewrite.diagonal import DIAGONALS
from symbackprop.rewrite.distribute import rebuild_distributed
from symbackprop.rewrite.engine import Rewritten, Rule, Strength, rebuild
from symbackprop.rewrite.exponents import rebuild_exponents
from symbackprop.rewrite.factored import rebuild_with_shared_factors
from symbackprop.rewrite.factors import rebuild_shared
from symbackprop.rewrite.fold import FOLD
from symbackprop.rewrite.growth import LIMITS
from symbackprop.rewrite.joined import rebuild_joined
from symbackprop.rewrite.long_axis import rebuild_with_long_axis_last
from symbackprop.rewrite.matrix import MATRIX, SAME
from symbackprop.rewrite.parts import rebuild_with_parts_together
from symbackprop.rewrite.rank import rebuild_by_vectors
from symbackprop.rewrite.reorder import Ordering
from symbackprop.rewrite.reroll import rebuild_rolled
from symbackprop.rewrite.rows import rebuild_rows
from symbackprop.rewrite.scalar import HIGH, NORMAL, Effort, rebuild_shorter
from symbackprop.rewrite.scans import SCANS
from symbackprop.rewrite.shorter import SHORTER
from symbackprop.rewrite.spectral import SPECTRAL, SPECTRAL_SHORTER
from symbackprop.rewrite.stable import stable
from symbackprop.rewrite.stacked import rebuild_stacked
from symbackprop.rewrite.systems import rebuild_opened, rebuild_solved
from symbackprop.rewrite.tensor import rebuild_closed, rebuild_spelled
from symbackprop.rewrite.tidy import TIDY
from symbackprop.rewrite.together import rebuild_together

Rebuild: TypeAlias = Callable[[Sequence[Expr], Rewritten], list[Expr]]


@dataclass(frozen=True)
class Pass:
    """One pass: valid expressions in, valid expressions of the same values out.

    Attributes:
        name: for reports, and to leave it out.
        meaning: what it does, in one line.
        state: gives its rules; common sub-expressions are shared all along.
        rebuild: how it copies expressions into its graph.
        ends: names of rules that are not at hand from this pass on.
        alone: whether no rule of the passes before is at hand from this pass on.
    """

    name: str
    meaning: str
    state: Callable[[], tuple[Rule, ...]] = tuple
    rebuild: Rebuild = rebuild
    ends: frozenset[str] = frozenset()
    alone: bool = False


TOGETHER = "together"
REROLL = Pass("reroll", "long runs of like scalar terms become arrays", rebuild=rebuild_rolled)
SHARE = Pass("share", "common sub-expressions become one node")
_FIRST: tuple[Pass, ...] = (
    SHARE,
    Pass("fold", "operations on constants and idle layout steps go", lambda: (*FOLD, *ARRANGED, *SAME, *SCANS)),
    Pass("stable", "formulas that overflow get a form that does not", stable),
)
_EXPONENTS = "equal products of exponentials become one, and sums of them that are zero go"
_ALGEBRA = Pass("algebra", "algebra in canonical form", lambda: (*algebra(), *MATRIX, *DIAGONALS, *SPECTRAL))


def _ordered(outputs: Sequence[Expr], target: Rewritten, ordering: Ordering) -> list[Expr]:
    return ordering.rebuild(outputs, target)


def _with_sizes(rebuild: Callable[[Sequence[Expr], Rewritten, Ordering], list[Expr]], told: Ordering | None) -> Rebuild:
    """Give what a pass that asks for sizes does, for any sizes unless told."""
    return lambda outputs, target: rebuild(outputs, target, Ordering({}) if told is None else told)


def pipeline(ordering: Ordering | None = None) -> tuple[Pass, ...]:
    """Give the passes that make an expression cheap, with products in an order for any sizes unless told.

    >>> pipeline()[-1].name
    'together'
    """
    return (
        SHARE,
        REROLL,
        *_FIRST[1:],
        Pass("accurate", "differences that cancel get a form that does not", lambda: (*closed(), *computed())),
        Pass("exponents", _EXPONENTS, rebuild=rebuild_exponents),
        Pass(
            "tensor",
            "identities cancel: Jacobians and Hessians get their closed form",
            rebuild=rebuild_closed if ordering is None else partial(rebuild_closed, sizes=ordering.sizes),
        ),
        _ALGEBRA,
        Pass(
            "distribute",
            "products with a broadcast sum are multiplied out where that makes products of matrices of them",
            rebuild=_with_sizes(rebuild_distributed, ordering),
        ),
        Pass(
            "rank",
            "products with a sum of few outer products are multiplied out, so that they are products with vectors",
            rebuild=rebuild_by_vectors,
        ),
        Pass(
            "open",
            "products with a sum of inverses are multiplied out, so that systems are solved",
            rebuild=rebuild_opened,
        ),
        Pass(
            "order",
            "products are computed in the order that takes fewest operations",
            rebuild=_with_sizes(_ordered, ordering),
            ends=frozenset({"number_out_of_left", "number_out_of_right", "scalar_left"}),  # scalars stay in place
        ),
        Pass("join", "pieces of one product or one array are computed at once", rebuild=rebuild_joined),
        Pass("solve", "systems are solved, not inverted", rebuild=rebuild_solved),
        Pass(
            "factor",
            "definite matrices are factored once, and triangular systems are solved by substitution",
            rebuild=rebuild_with_shared_factors,
        ),
        Pass("common", "common factors come out of sums of arrays", rebuild=rebuild_factored),
        Pass(
            "gather",
            "scalars are multiplied before they meet an array, and a product 0·∞ of which the limit is 0 gets it",
            lambda: (*gather(), *LIMITS),
        ),
        Pass("factors", "products of scalars share factors of two", rebuild=rebuild_shared),
        Pass(
            "rows",
            "products that are summed over a short last axis are laid out in long rows",
            rebuild=_with_sizes(rebuild_rows, ordering),
        ),
        Pass(
            "long_axis",
            "what is summed or repeated along a short last axis is laid out with the longest one last",
            rebuild=_with_sizes(rebuild_with_long_axis_last, ordering),
        ),
        Pass(
            "border",
            "shifts of products of matrices, and sums beside them, are columns more of the products",
            rebuild=_with_sizes(rebuild_bordered, ordering),
        ),
        Pass(
            "batch",
            "functions of pieces of one array are pieces of one function, where arrays are small",
            rebuild=_with_sizes(rebuild_batched, ordering),
            alone=True,  # what is joined is no longer known to be summed
        ),
        Pass(
            "stack",
            "many small values that do not wait for each other are computed at once",
            rebuild=_with_sizes(rebuild_stacked, ordering),
            alone=True,
        ),
        Pass(
            "parts",
            "what one decomposition gives, such as eigenvalues and eigenvectors, is computed once",
            rebuild=rebuild_with_parts_together,
            alone=True,  # what gives several values is no array, of which rules could say anything
        ),
        Pass(
            TOGETHER,
            "functions of one value are made of one exponential, as σ(x) and softplus(x), and powers of products",
            cheap,
            rebuild=rebuild_together,
            alone=True,  # the rules before would make them of what they are written in
        ),
    )


PIPELINE = pipeline()
"""What `compile` runs; every rule is exact or real."""

_CONTRACT = Pass("contract", "sums of products lose identities and become products of matrices", lambda: CONTRACT)
_MATRIX = Pass(
    "matrix",
    "matrix products are shortened, and their common factors come out of sums",
    lambda: (*SPECTRAL_SHORTER, *SHORTER),
)
_COMMON: tuple[Pass, ...] = (
    *_FIRST,
    Pass("textbook", "functions that were brought in for accuracy are written in the common ones", textbook),
    Pass("exponents", _EXPONENTS, rebuild=partial(rebuild_exponents, positive=True)),
    _ALGEBRA,
)
_TENSOR = Pass("tensor", "identities cancel: Jacobians and Hessians are written with δ", rebuild=rebuild_spelled)
_TIDY = Pass("tidy", "scalars and signs come out of sums and products", lambda: (*outward(), *THROUGH, *TIDY))


def formula(effort: Effort) -> tuple[Pass, ...]:
    """Give the passes that make a formula short, with so much effort.

    >>> formula(NORMAL)[0].name
    'share'
    """
    meaning = "clusters of arithmetic are cancelled and factored by SymPy"
    scalar = Pass("scalar", meaning, rebuild=partial(rebuild_shorter, effort=effort))
    return (*_COMMON, _TENSOR, _CONTRACT, _MATRIX, scalar, _TIDY, _TENSOR, scalar)  # what came out of sums may cancel


FORMULA = formula(NORMAL)
"""What `simplify` runs, for people to read; a formula may assume finite values."""

EFFORTS: Mapping[str, tuple[Pass, ...]] = {
    "low": (*_COMMON, _TENSOR, _CONTRACT, _MATRIX, _TIDY),
    "normal": FORMULA,
    "high": formula(HIGH),
}
PASSES: tuple[Pass, ...] = tuple({stage.name: stage for stage in (*PIPELINE, *FORMULA)}.values())


def every_rule() -> tuple[Rule, ...]:
    """Give every rewrite rule there is.

    >>> "twice" in [rule.name for rule in every_rule()]
    True
    """
    return tuple(dict.fromkeys(rule for stage in PASSES for rule in stage.state()))  # two passes may have one


@dataclass(frozen=True)
class Stage:
    """What a pass left.

    Attributes:
        name: the pass.
        outputs: the expressions after it.
        fired: how often each rule was applied.
    """

    name: str
    outputs: list[Expr]
    fired: Mapping[str, int]


def check_names(skip: Collection[str]) -> None:
    """Check that each name is a pass or a rule.

    Raises:
        ValueError: one is neither.
    """
    if isinstance(skip, str):
        msg = f"skip is a list of names: write [{skip!r}]"
        raise ValueError(msg)  # noqa: TRY004  (one error for all that is wrong with the names)
    if not skip:
        return
    known = [stage.name for stage in PASSES] + [rule.name for rule in every_rule()]
    for name in skip:
        if name not in known:
            msg = f"no pass or rule is called {name!r}{did_you_mean(name, known)}"
            raise ValueError(msg)


def run(
    outputs: Sequence[Expr],
    pipeline: Sequence[Pass] = PIPELINE,
    *,
    skip: Collection[str] = (),
    finite: bool = False,
    observe: Callable[[Stage], None] = lambda _: None,
) -> list[Expr]:
    """Rewrite expressions by one pass after another, each into a new graph.

    The rules of the passes before a pass are at hand in it too, so that what a rule makes is in normal form, unless a
    pass ends them.

    Args:
        outputs: expressions of one graph, which is not changed.
        pipeline: the passes.
        skip: names of passes and rules to leave out.
        finite: use rules that need finite operands too.
        observe: told of the outputs after each pass.

    Raises:
        ValueError: `skip` has a name that is no pass and no rule.
    """
    check_names(skip)
    current = list(outputs)
    looked_at: Sequence[Expr] | None = None
    summed: Container[int] = ()
    rules: list[Rule] = []
    for stage in pipeline:
        if stage.name in skip and stage is not SHARE:
            continue
        fresh = [
            rule for rule in stage.state() if rule.name not in skip and (finite or rule.strength is not Strength.FINITE)
        ]
        if stage.alone or stage.ends:
            rules = [rule for rule in rules if not stage.alone and rule.name not in stage.ends]
        rules = [*rules, *fresh]
        sparing = not all(map(_WHERE_SUMMED, rules))
        if sparing and current != looked_at:
            looked_at, summed = current, _summed(current)
        graph = Rewritten(rules, fresh=fresh, share=SHARE.name not in skip, summed=summed if sparing else ())
        current = stage.rebuild(current, graph)
        observe(Stage(stage.name, current, dict(graph.fired)))
    return current


_WHERE_SUMMED = attrgetter("where_summed")
_SUMS = {SUM, MEAN, matmul}
_CARRIERS = {
    *(add, subtract, multiply, divide, negative),
    *(BROADCAST_TO, CONCATENATE, EXPAND_DIMS, RESHAPE, SLICE, SQUEEZE, TRANSPOSE, UNSLICE),
}


def _summed(outputs: Sequence[Expr]) -> set[int]:
    """Give the derivatives that are used in sums alone, some of them in matrix products: the inner ones of networks."""
    if not outputs:
        return set()
    nodes = outputs[0].graph.nodes
    bare = {output.number for output in outputs}  # what is also used element by element
    multiplied: set[int] = set()
    for number in reversed(outputs[0].graph.reachable(bare)):
        op, inputs = nodes[number].op, nodes[number].inputs
        if op is divide:
            bare.add(inputs[1])
            inputs = inputs[:1]
        if op is matmul or (op in _CARRIERS and number in multiplied):
            multiplied.update(inputs)
        if op not in _SUMS and (op not in _CARRIERS or number in bare):
            bare.update(inputs)
        elif op is multiply:  # the diagonal in a Hessian is short beside the rest, and should be seen to be positive
            bare.update(each for each in inputs if 0 < len(nodes[each].shape) < len(nodes[number].shape))
    return {number for number in multiplied - bare if nodes[number].backward}


EffortName: TypeAlias = Literal["low", "normal", "high"]


@overload
def simplify(expr: Expr, *, effort: EffortName = "normal", skip: Collection[str] = ()) -> Expr: ...
@overload
def simplify(expr: Sequence[Expr], *, effort: EffortName = "normal", skip: Collection[str] = ()) -> list[Expr]: ...
def simplify(
    expr: Expr | Sequence[Expr], *, effort: EffortName = "normal", skip: Collection[str] = ()
) -> Expr | list[Expr]:
    """Give a formula in a shorter form of the same value, in the same graph.

    Values are taken to be finite, and not zero where something is divided by them; what a logarithm or a root is
    taken of is taken to be positive.

    Args:
        expr: an expression, or several, which then share what they have in common.
        effort: "low" applies rules alone, which takes milliseconds; "normal" has clusters of arithmetic cancelled and
            factored by SymPy too; "high" lets SymPy try its identities of exponentials, logarithms and trigonometry
            on larger clusters, which can take seconds.
        skip: names of passes and rules to leave out.

    Raises:
        ArgumentError: what is to be simplified is no expression.
        ValueError: `effort` is none of these, or `skip` has a name that is no pass and no rule.

    >>> import symbackprop as sb
    >>> x, y = sb.symbols("x y")
    >>> print(sb.simplify((x*x - y*y) / (x - y)))
    x + y
    >>> print(sb.simplify(2 * sb.sin(x) * sb.cos(x), effort="high"))
    sin(2x)
    """
    if effort not in EFFORTS:
        msg = f'effort is "low", "normal" or "high", not {effort!r}'
        raise ValueError(msg)
    given = [expr] if isinstance(expr, Expr) else list(expr)
    for output in given:
        if not isinstance(output, Expr):
            msg = f"simplify takes expressions, not {output!r}; a text is read by sb.parse"  # type: ignore[unreachable]
            raise ArgumentError(msg)
    if not given:
        return []
    simpler = rebuild(run(given, EFFORTS[effort], skip=skip, finite=True), given[0].graph)
    return simpler[0] if isinstance(expr, Expr) else simpler
