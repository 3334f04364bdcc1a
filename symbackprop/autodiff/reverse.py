"""Reverse-mode differentiation: Algorithms 6.5 and 6.6 of *Deep Learning* (Goodfellow, Bengio, Courville, 2016).

The names are the book's: ``G_prime``, ``grad_table``, ``get_consumers``, ``op.bprop(inputs, V, D)``. The book
recurses; numbers are a topological order, so walking them downwards fills the same table without recursion.
The gradient's nodes are appended to the same graph, so they can be differentiated again.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, overload

from symbackprop.autodiff.masks import Masks, chosen, conditions_of, is_bounded, is_singular, unbroadcast, under
from symbackprop.errors import (
    ArgumentError,
    GraphError,
    NotDifferentiableError,
    NotTrainableWarning,
    ShapeError,
    Where,
)
from symbackprop.expr import Expr, Operand, common_graph, user_line
from symbackprop.graph import Graph, attributed, growing
from symbackprop.op import Op, Params
from symbackprop.ops.elementwise import astype, where
from symbackprop.ops.layout import full_like, ones_like
from symbackprop.ops.leaf import as_expr
from symbackprop.rewrite.before import stabilised


class GradTable(dict[int, Expr]):
    """The gradients by the number of their node.

    Attributes:
        seeds: what is known of them from the start: the gradients of z by the outputs that it is made of.
        masks: where they may be other than zero.
    """

    def __init__(self, G_prime: Pruned, seeds: Mapping[int, Expr]) -> None:
        """Make an empty table for the nodes of G′."""
        super().__init__()
        self.seeds = seeds
        self.masks = Masks(G_prime.consumers)
        self._inputs: dict[int, Sequence[Expr]] = {}

    def inputs(self, C: Expr) -> Sequence[Expr]:
        """Give the operands of C, found once: C may be the consumer of many."""
        found = self._inputs.get(C.number)
        if found is None:
            found = self._inputs[C.number] = get_inputs(C)
        return found


class Operation(NamedTuple):
    """An op as applied at one node, the C of the book's ``op.bprop(inputs, V, D)``."""

    op: Op
    params: Params
    output: Expr

    def bprop(self, inputs: Sequence[Expr], V: Expr, D: Expr) -> list[Expr]:
        """Give the contributions to the gradient of V: one for each position that V has among the inputs.

        Args:
            inputs: the operands of the operation.
            V: the operand whose gradient is wanted.
            D: the gradient of the output; it may have extra leading axes.

        Returns:
            Expressions of V's shape and dtype, behind the extra axes of D.
        """
        extra = D.ndim - self.output.ndim
        conditions, inside = conditions_of(D) if self.op.elementwise else ([], D)
        found = []
        for position in [position for position, operand in enumerate(inputs) if operand is V]:
            rule = self.op.rule(position)
            if rule is not None:
                contribution = under(conditions, rule(inside, self.output, *inputs, **self.params))
                found.append(astype(unbroadcast(contribution, V, extra), V.dtype))
        return found


def get_operation(C: Expr) -> Operation:
    """Give the operation that computes C."""
    return Operation(C.op, C.params, C)


class Pruned:
    """G′: the graph restricted to the ancestors of the outputs that descend from the targets, by differentiable edges.

    Attributes:
        nodes: the numbers in G′, in topological order.
        blocked: ops without a derivative that cut a path from a target to an output.
    """

    def __init__(self, G: Graph, outputs: Iterable[int], targets: Iterable[int]) -> None:
        """Walk the ancestors of the outputs twice: upwards from the targets, downwards from the outputs."""
        wanted, ends = set(targets), set(outputs)
        ancestors = G.reachable(ends)
        descends = {number for number in ancestors if number in wanted}
        self.blocked: dict[Op, Expr] = {}
        edges: dict[int, list[int]] = {}
        for number in ancestors:
            node = G.nodes[number]
            through = [
                operand
                for position, operand in enumerate(node.inputs)
                if operand in descends and self._passes(G, number, position)
            ]
            if through:
                descends.add(number)
                edges[number] = through
        needed = ends & descends
        self._consumers: dict[int, list[int]] = {}
        for number in reversed(ancestors):
            if number in needed:
                for operand in dict.fromkeys(edges.get(number, ())):
                    needed.add(operand)
                    self._consumers.setdefault(operand, []).append(number)
        for consumers in self._consumers.values():
            consumers.reverse()
        self.nodes = [number for number in ancestors if number in needed]

    def _passes(self, G: Graph, number: int, position: int) -> bool:
        node = G.nodes[number]
        floats = node.dtype.kind == "f" and G.nodes[node.inputs[position]].dtype.kind == "f"
        if not floats or node.op.rule(position) is None:
            self.blocked.setdefault(node.op, Expr(G, number))
            return False
        return True

    def consumers(self, V: int) -> Sequence[int]:
        """Give the nodes of G′ that V feeds, the first made first."""
        return self._consumers.get(V, ())


def get_consumers(V: Expr, G_prime: Pruned) -> list[Expr]:
    """Give the operations of G′ that take V as an operand."""
    return [Expr(V.graph, number) for number in G_prime.consumers(V.number)]


def get_inputs(C: Expr) -> tuple[Expr, ...]:
    """Give the operands of C."""
    return C.inputs


def build_grad(V: Expr, G: Graph, G_prime: Pruned, grad_table: GradTable) -> Expr:
    """Algorithm 6.6: give the gradient of z by V, inserting it and the operations creating it into G.

    The gradients of V's consumers are in the table already.
    """
    if V.number in grad_table:
        return grad_table[V.number]
    consumers = get_consumers(V, G_prime)
    terms = [grad_table.seeds[V.number]] if V.number in grad_table.seeds else []
    for C in consumers:
        op = get_operation(C)
        D = build_grad(C, G, G_prime, grad_table)
        with attributed(C.node.origin.pulled_back()):
            if C in grad_table.masks and not is_bounded(op.op) and not conditions_of(D)[0]:
                D = where(grad_table.masks[C], D, 0)
            found = op.bprop(grad_table.inputs(C), V, D)
            terms += map(chosen, found) if is_singular(C, G_prime.consumers) else found
    with attributed(V.node.origin.pulled_back()):
        gradient = terms[0]
        for term in terms[1:]:
            gradient = gradient + term
    extra = gradient.ndim - V.ndim
    if gradient.shape[extra:] != V.shape or gradient.dtype != V.dtype:
        names = ", ".join(sorted({C.op.name for C in consumers}))
        msg = f"the derivative rule of {names} gave {gradient.shape} for an operand of shape {V.shape}"
        raise GraphError(msg)
    if consumers and V.name and gradient.node.backward and not gradient.node.hint:
        gradient.node.hint = f"d{V.name}"
    grad_table[V.number] = gradient
    grad_table.masks.note(V, gradient)
    return gradient


def backpropagate(seeds: Mapping[Expr, Expr], targets: Sequence[Expr]) -> GradTable:
    """Algorithm 6.5: give the table of gradients of z for every node of G′, from those by its outputs.

    Args:
        seeds: the gradient of z by z itself, or by the outputs that z is made of, all with the same extra axes.
        targets: what G′ is to hold.
    """
    G = next(iter(seeds)).graph
    G_prime = Pruned(G, [output.number for output in seeds], [target.number for target in targets])
    grad_table = GradTable(G_prime, {output.number: seed for output, seed in seeds.items()})
    for number in reversed(G_prime.nodes):
        build_grad(Expr(G, number), G, G_prime, grad_table)
    if not all(target.number in grad_table for target in targets):
        _warn_of_steps(G_prime)
    return grad_table


def _warn_of_steps(G_prime: Pruned) -> None:
    for op, at in G_prime.blocked.items():
        if op.name in {"step", "sign"} and not at.node.backward:  # in a gradient they are the derivative of a kink
            message = (
                f"the derivative of {op.name} is zero almost everywhere: nothing is learnt through {at.describe()}"
            )
            where = user_line() or Where("<unknown>", 0)
            warnings.warn_explicit(message, NotTrainableWarning, where.file, where.line)


def check_target(target: object, position: int, what: str) -> Expr:
    """Check that what is to be differentiated by is an expression of a float dtype.

    Raises:
        NotDifferentiableError: it is not.
    """
    if not isinstance(target, Expr):
        msg = f"{what}: the target at position {position} is {type(target).__name__}, not an expression"
        raise NotDifferentiableError(msg)
    if target.dtype.kind != "f":
        msg = (
            f"{what}: {target.describe()} has dtype {target.dtype}, and derivatives need floats: "
            f'declare it with dtype="float64"'
        )
        raise NotDifferentiableError(msg)
    return target


def pulled_back(
    seeds: Sequence[tuple[Expr, Expr]],
    wrt: Sequence[Expr],
    unused: str,
    what: str,
    *,
    skip: Collection[str] = (),
) -> list[Expr]:
    """Give the gradients by the targets from those by the outputs: Σ over the outputs y of (∂y/∂x)ᵀ ȳ.

    Args:
        seeds: the outputs, each with its gradient, which all have the same extra axes.
        wrt: the targets.
        unused: what to do where no output depends on a target: raise, or give zeros.
        what: what was asked for, for the messages.
        skip: names of passes and rules to leave out.

    Raises:
        NotDifferentiableError: a target is no float, or no output depends on it.
    """
    if unused not in {"error", "zeros"}:
        msg = f'{what}: unused is "error" or "zeros", not {unused!r}'
        raise ValueError(msg)
    outputs = [output for output, _ in seeds]
    targets = [check_target(target, position, what) for position, target in enumerate(wrt)]
    common_graph([*outputs, *targets], what)
    with growing():
        stable, applied = stabilised(outputs, targets, skip=skip)
    totals: dict[Expr, Expr] = {}
    for output, (_, seed) in zip(stable, seeds, strict=True):
        with attributed(output.node.origin.pulled_back()):
            totals[output] = totals[output] + seed if output in totals else seed
    with growing():
        grad_table = backpropagate(totals, targets)
    output, seed = seeds[0]
    extra = seed.shape[: seed.ndim - output.ndim]
    gradients = []
    for target in targets:
        if target.number not in grad_table and unused == "error":
            raise NotDifferentiableError(_unreached(outputs, target, what))
        found = grad_table.get(target.number)
        if found is None:
            with attributed(target.node.origin.pulled_back()):
                found = full_like(target, 0, shape=extra + target.shape)
        elif applied and found.node.backward:
            found.node.applied = applied
        gradients.append(found)
    return gradients


def _unreached(outputs: Sequence[Expr], target: Expr, what: str) -> str:
    cut = Pruned(target.graph, [output.number for output in outputs], [target.number]).blocked
    some = " and ".join(output.describe() for output in outputs)
    verb = "depends" if len(outputs) == 1 else "depend"
    if cut:
        ops = " and ".join(sorted(op.name for op in cut))
        return (
            f"{what}: {some} {verb} on {target.describe()} only through {ops}, whose derivative is zero "
            'or undefined; pass unused="zeros" for zeros'
        )
    negated = "does not depend" if len(outputs) == 1 else "do not depend"
    return f'{what}: {some} {negated} on {target.describe()}; pass unused="zeros" for zeros'


@overload
def grad(z: Expr, wrt: Expr, *, unused: Literal["error", "zeros"] = "error", skip: Collection[str] = ()) -> Expr: ...
@overload
def grad(
    z: Expr, wrt: Sequence[Expr], *, unused: Literal["error", "zeros"] = "error", skip: Collection[str] = ()
) -> list[Expr]: ...
def grad(
    z: Expr,
    wrt: Expr | Sequence[Expr],
    *,
    unused: Literal["error", "zeros"] = "error",
    skip: Collection[str] = (),
) -> Expr | list[Expr]:
    """Give the gradient of a scalar as expressions in the same graph (Algorithm 6.5 of *Deep Learning*).

    ∇_V z = Σ over consumers C of V of op_C.bprop(inputs of C, V, ∇_C z)

    Args:
        z: a scalar expression of a float dtype.
        wrt: symbols or any other expressions that z is computed from: one, or several.
        unused: what to do where z does not depend on a target: raise, or give zeros.
        skip: names of passes and rules to leave out: z is brought to a form whose derivatives are right at extreme
            values ("stable", "accurate") before it is differentiated, and `Function.report` tells by which rules.

    Returns:
        For each target an expression of its shape and dtype; one expression if `wrt` is one.

    Raises:
        NotDifferentiableError: z is no float scalar, a target is no float, or z does not depend on it.
        GraphError: z and a target live in different graphs.
        ValueError: `skip` has a name that is no pass and no rule.

    >>> import symbackprop as sb
    >>> X, w, y = sb.symbols("X[N,D] w[D] y[N]")
    >>> print(sb.grad(sb.sum((X @ w - y)**2), w))
    2Xᵀ(Xw − y)
    """
    given: object = z  # who has no type checker may pass several
    if isinstance(given, list | tuple):
        msg = f"grad takes one expression, not a {type(given).__name__}: take the gradient of each, or of their sum"
        raise NotDifferentiableError(msg)
    z = as_expr(z)
    if z.shape:
        msg = (
            f"grad: {z.describe()} is no scalar; take sb.sum or sb.mean of it, "
            "or sb.vjp(z, wrt, cotangent) for a weighted sum"
        )
        raise NotDifferentiableError(msg)
    check_differentiable(z, "grad")
    with attributed(z.node.origin.pulled_back()):
        seed = ones_like(z)
    return unwrapped(pulled_back([(z, seed)], listed(wrt), unused, "grad", skip=skip), wrt)


@overload
def vjp(
    y: Expr,
    wrt: Expr,
    cotangent: Operand,
    *,
    unused: Literal["error", "zeros"] = "error",
    skip: Collection[str] = (),
) -> Expr: ...
@overload
def vjp(
    y: Expr,
    wrt: Sequence[Expr],
    cotangent: Operand,
    *,
    unused: Literal["error", "zeros"] = "error",
    skip: Collection[str] = (),
) -> list[Expr]: ...
@overload
def vjp(
    y: Sequence[Expr],
    wrt: Expr,
    cotangent: Sequence[Operand],
    *,
    unused: Literal["error", "zeros"] = "error",
    skip: Collection[str] = (),
) -> Expr: ...
@overload
def vjp(
    y: Sequence[Expr],
    wrt: Sequence[Expr],
    cotangent: Sequence[Operand],
    *,
    unused: Literal["error", "zeros"] = "error",
    skip: Collection[str] = (),
) -> list[Expr]: ...
def vjp(
    y: Expr | Sequence[Expr],
    wrt: Expr | Sequence[Expr],
    cotangent: Operand | Sequence[Operand],
    *,
    unused: Literal["error", "zeros"] = "error",
    skip: Collection[str] = (),
) -> Expr | list[Expr]:
    """Give the vector-Jacobian product: cotangents of the outputs pulled back, ``x̄ = Σ (∂y/∂x)ᵀ ȳ`` over the outputs.

    Args:
        y: an expression of any shape and a float dtype, or several.
        wrt: one target or several.
        cotangent: ȳ, of y's shape, or with extra leading axes, which the result then has too; one for each output.
        unused: what to do where no output depends on a target: raise, or give zeros.
        skip: names of passes and rules to leave out, as for `grad`.

    Returns:
        For each target an expression of its shape and dtype; one expression if `wrt` is one.

    Raises:
        ShapeError: the cotangent's last axes are not y's, or the outputs' cotangents differ in their extra axes.
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> W, x, z̄ = sb.symbols("W[M,N] x[N] z̄[M]")
    >>> print(sb.vjp(W @ x, x, z̄))
    Wᵀz̄
    """
    for output in listed(y):
        check_differentiable(output, "vjp")
    seeds = paired(y, cotangent, "vjp", "output", "cotangent")
    return unwrapped(pulled_back(seeds, listed(wrt), unused, "vjp", skip=skip), wrt)


def listed(given: Expr | Sequence[Expr]) -> list[Expr]:
    """Give a list of expressions where one or several are given."""
    return [given] if isinstance(given, Expr) else [*given]


def unwrapped(found: list[Expr], given: Expr | Sequence[Expr]) -> Expr | list[Expr]:
    """Give what was found for expressions: the one thing where one expression was given, else the list."""
    return found[0] if isinstance(given, Expr) else found


def paired(
    exprs: Expr | Sequence[Expr], others: Operand | Sequence[Operand], what: str, name: str, other: str
) -> list[tuple[Expr, Expr]]:
    """Pair each expression with the array that is given beside it: of its shape and dtype, behind extra axes.

    Raises:
        ArgumentError: there are more of one than of the other, or none.
        ShapeError: an array's last axes are not those of its expression, or the extra axes differ.
        GraphError: they live in different graphs.
    """
    found: list[tuple[Expr, Expr]] = []
    for expr, given in zip(*_of_one_length(exprs, others, what, name, other), strict=True):
        array = as_expr(given, graph=expr.graph)
        extra = array.ndim - expr.ndim
        if extra < 0 or array.shape[extra:] != expr.shape:
            msg = f"{what}: the {other} {array.describe()} does not have the shape of {expr.describe()}"
            raise ShapeError(msg)
        first, its = found[0] if found else (expr, array)
        if array.shape[:extra] != its.shape[: its.ndim - first.ndim]:
            msg = f"{what}: the {other}s {its.describe()} and {array.describe()} have other extra axes"
            raise ShapeError(msg)
        common_graph([expr, array], what)
        found.append((expr, astype(array, expr.dtype)))
    return found


def _of_one_length(
    exprs: Expr | Sequence[Expr], others: Operand | Sequence[Operand], what: str, name: str, other: str
) -> tuple[list[Expr], list[Operand]]:
    if isinstance(exprs, Expr):
        return [exprs], [others]  # type: ignore[list-item]  # a list of numbers is an array
    if not exprs:
        msg = f"{what}: give one {name} at least"
        raise ArgumentError(msg)
    if not isinstance(others, list | tuple) or len(exprs) != len(others):
        count = f"{len(others)} of them" if isinstance(others, list | tuple) else "one alone"
        msg = f"{what}: for {len(exprs)} {name}s give a list of {len(exprs)} {other}s, not {count}"
        raise ArgumentError(msg)
    return [*exprs], [*others]


def check_differentiable(z: Expr, what: str) -> None:
    """Check that an expression has a float dtype.

    Raises:
        NotDifferentiableError: it has not.
    """
    if z.dtype.kind != "f":
        msg = f"{what}: {z.describe()} has dtype {z.dtype}, and derivatives need floats: convert with astype"
        raise NotDifferentiableError(msg)


def gradients_of_nodes(z: Expr, wrt: Sequence[Expr]) -> Mapping[Expr, Expr]:
    """Give the gradient of z by every node on the way from the targets, the seed's among them.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> len(gradients_of_nodes(sb.sin(x) ** 2, [x]))
    3
    """
    table = backpropagate({z: ones_like(z)}, wrt)
    return {Expr(z.graph, number): gradient for number, gradient in table.items()}
