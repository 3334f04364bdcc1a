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
    GraphError,
    NotDifferentiableError,
    NotTrainableWarning,
    ShapeError,
    Where,
)
from symbackprop.expr import Expr, Operand, common_graph, user_line
from symbackprop.graph import Graph, attributed
from symbackprop.op import Op, Params
from symbackprop.ops.elementwise import astype, where
from symbackprop.ops.layout import broadcast_to, ones_like, zeros_like
from symbackprop.ops.leaf import as_expr
from symbackprop.rewrite.before import stabilised


class GradTable(dict[int, Expr]):
    """The gradients by the number of their node.

    Attributes:
        masks: where they may be other than zero.
    """

    def __init__(self, G_prime: Pruned) -> None:
        """Make an empty table for the nodes of G′."""
        super().__init__()
        self.masks = Masks(self, G_prime.consumers)


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
        for position, operand in enumerate(inputs):
            rule = self.op.rule(position) if operand is V else None
            if rule is not None:
                contribution = under(conditions, rule(inside, self.output, *inputs, **self.params))
                found.append(astype(unbroadcast(contribution, V, extra), V.dtype))
        return found


def get_operation(C: Expr) -> Operation:
    """Give the operation that computes C."""
    return Operation(C.op, C.params, C)


class Pruned:
    """G′: the graph restricted to the ancestors of z that descend from the targets, by differentiable edges.

    Attributes:
        nodes: the numbers in G′, in topological order.
        blocked: ops without a derivative that cut a path from a target to z.
    """

    def __init__(self, G: Graph, z: int, targets: Iterable[int]) -> None:
        """Walk the ancestors of z twice: upwards from the targets, downwards from z."""
        wanted = set(targets)
        ancestors = G.reachable([z])
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
        needed = {z} if z in descends else set()
        self._consumers: dict[int, list[int]] = {}
        for number in reversed(ancestors):
            if number in needed:
                for operand in dict.fromkeys(edges.get(number, ())):
                    needed.add(operand)
                    self._consumers.setdefault(operand, []).append(number)
        self.nodes = [number for number in ancestors if number in needed]

    def _passes(self, G: Graph, number: int, position: int) -> bool:
        node = G.nodes[number]
        floats = node.dtype.kind == "f" and G.nodes[node.inputs[position]].dtype.kind == "f"
        if not floats or node.op.rule(position) is None:
            self.blocked.setdefault(node.op, Expr(G, number))
            return False
        return True

    def consumers(self, V: int) -> list[int]:
        """Give the nodes of G′ that V feeds, the first made first."""
        return self._consumers.get(V, [])[::-1]


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
    terms: list[Expr] = []
    for C in get_consumers(V, G_prime):
        op = get_operation(C)
        D = build_grad(C, G, G_prime, grad_table)
        with attributed(C.node.origin(backward=True)):
            if C in grad_table.masks and not is_bounded(op.op) and not conditions_of(D)[0]:
                D = where(grad_table.masks[C], D, 0)
            found = op.bprop(get_inputs(C), V, D)
            terms += map(chosen, found) if is_singular(C, get_consumers(C, G_prime)) else found
    with attributed(V.node.origin(backward=True)):
        gradient = terms[0]
        for term in terms[1:]:
            gradient = gradient + term
    extra = gradient.ndim - V.ndim
    if gradient.shape[extra:] != V.shape or gradient.dtype != V.dtype:
        names = ", ".join(sorted({C.op.name for C in get_consumers(V, G_prime)}))
        msg = f"the derivative rule of {names} gave {gradient.shape} for an operand of shape {V.shape}"
        raise GraphError(msg)
    if V.name and gradient.node.backward and not gradient.node.hint:
        gradient.node.hint = f"d{V.name}"
    grad_table[V.number] = gradient
    grad_table.masks.note(V)
    return gradient


def backpropagate(z: Expr, targets: Sequence[Expr], seed: Expr) -> GradTable:
    """Algorithm 6.5: give the table of gradients of z for every node of G′, from the gradient of z itself."""
    G = z.graph
    G_prime = Pruned(G, z.number, [target.number for target in targets])
    grad_table = GradTable(G_prime)
    grad_table[z.number] = seed
    grad_table.masks.note(z)
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


def _check_target(z: Expr, target: object, position: int, what: str) -> Expr:
    if not isinstance(target, Expr):
        msg = f"{what}: the target at position {position} is {type(target).__name__}, not an expression"
        raise NotDifferentiableError(msg)
    common_graph([z, target], what)
    if target.dtype.kind != "f":
        msg = (
            f"{what}: {target.describe()} has dtype {target.dtype}, and derivatives need floats: "
            f'declare it with dtype="float64"'
        )
        raise NotDifferentiableError(msg)
    return target


def pulled_back(
    z: Expr, wrt: Expr | Sequence[Expr], seed: Expr, unused: str, what: str, *, skip: Collection[str] = ()
) -> Expr | list[Expr]:
    """Give the gradients by the targets, one expression if there is one, from that of z itself.

    Raises:
        NotDifferentiableError: a target is no float, or z does not depend on it; `what` was asked for.
    """
    if unused not in {"error", "zeros"}:
        msg = f'{what}: unused is "error" or "zeros", not {unused!r}'
        raise ValueError(msg)
    single = isinstance(wrt, Expr)
    targets = [
        _check_target(z, target, position, what)
        for position, target in enumerate([wrt] if isinstance(wrt, Expr) else wrt)
    ]
    stable, applied = stabilised(z, targets, skip=skip)
    grad_table = backpropagate(stable, targets, seed)
    extra = seed.shape[: seed.ndim - z.ndim]
    gradients = []
    for target in targets:
        if target.number not in grad_table and unused == "error":
            raise NotDifferentiableError(_unreached(z, target, what))
        found = grad_table.get(target.number)
        if found is None:
            with attributed(target.node.origin(backward=True)):
                found = zeros_like(target)
                found = broadcast_to(found, extra + target.shape) if extra else found
        elif applied and found.node.backward:
            found.node.applied = applied
        gradients.append(found)
    return gradients[0] if single else gradients


def _unreached(z: Expr, target: Expr, what: str) -> str:
    cut = Pruned(z.graph, z.number, [target.number]).blocked
    if cut:
        ops = " and ".join(sorted(op.name for op in cut))
        return (
            f"{what}: {z.describe()} depends on {target.describe()} only through {ops}, whose derivative is zero "
            'or undefined; pass unused="zeros" for zeros'
        )
    return f'{what}: {z.describe()} does not depend on {target.describe()}; pass unused="zeros" for zeros'


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
    with attributed(z.node.origin(backward=True)):
        seed = ones_like(z)
    return pulled_back(z, wrt, seed, unused, "grad", skip=skip)


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
def vjp(
    y: Expr,
    wrt: Expr | Sequence[Expr],
    cotangent: Operand,
    *,
    unused: Literal["error", "zeros"] = "error",
    skip: Collection[str] = (),
) -> Expr | list[Expr]:
    """Give the vector-Jacobian product: the cotangent of y pulled back, ``x̄ = (∂y/∂x)ᵀ ȳ``.

    Args:
        y: an expression of any shape and a float dtype.
        wrt: one target or several.
        cotangent: ȳ, of y's shape, or with extra leading axes, which the result then has too.
        unused: what to do where y does not depend on a target: raise, or give zeros.
        skip: names of passes and rules to leave out, as for `grad`.

    Raises:
        ShapeError: the cotangent's last axes are not y's.
        NotDifferentiableError: as for `grad`.

    >>> import symbackprop as sb
    >>> W, x, z̄ = sb.symbols("W[M,N] x[N] z̄[M]")
    >>> print(sb.vjp(W @ x, x, z̄))
    Wᵀz̄
    """
    check_differentiable(y, "vjp")
    seed = as_expr(cotangent, graph=y.graph)
    if seed.shape[seed.ndim - y.ndim :] != y.shape or seed.ndim < y.ndim:
        msg = f"vjp: the cotangent {seed.describe()} does not have the shape of {y.describe()}"
        raise ShapeError(msg)
    common_graph([y, seed], "vjp")
    return pulled_back(y, wrt, astype(seed, y.dtype), unused, "vjp", skip=skip)


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
    table = backpropagate(z, wrt, ones_like(z))
    return {Expr(z.graph, number): gradient for number, gradient in table.items()}
