"""The static graph that every expression lives in: a networkx DAG, numbered in order of creation.

An operand's number is smaller than its consumer's, so the order of the numbers is a topological order and no walk
recurses. Building appends and never merges; sharing is the work of a pass.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from symbackprop.errors import GraphError, Where

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np

    from symbackprop.dims import Shape
    from symbackprop.expr import Expr
    from symbackprop.op import Op

    Dag = nx.MultiDiGraph[int]

_SWEEP_FLOOR = 4096  # graphs below this size are not worth a sweep


class Origin(NamedTuple):
    """Whom a node is written down to.

    Attributes:
        where: the line of the user's code, if one is known.
        backward: whether differentiation made it.
        module: the path of names of the modules that it was made in, the outermost first.
    """

    where: Where | None
    backward: bool
    module: tuple[str, ...] = ()

    def pulled_back(self) -> Origin:
        """Give what the nodes are written down to that differentiation makes for one of this origin."""
        return self if self.backward else _pulled_back(self)


@lru_cache(maxsize=1024)
def _pulled_back(origin: Origin) -> Origin:
    return origin._replace(backward=True)


_NOWHERE = Origin(None, backward=False)
_NO_FACTS: Mapping[str, float] = MappingProxyType({})


@dataclass(slots=True)
class Node:
    """One operation applied: what the graph knows about one of its nodes.

    Nothing ever changes but `label`, the user's name for the value, `hint`, a name for it in generated code, and
    `facts`, what the user has declared about it. The nodes of one line or of one step of a walk share one `origin`.
    A gradient knows by `applied` how often each rewrite rule was applied to what was differentiated.
    """

    op: Op
    inputs: tuple[int, ...]
    params: Mapping[str, Any]
    shape: Shape
    dtype: np.dtype[Any]
    origin: Origin = _NOWHERE
    label: str | None = None
    hint: str | None = None
    facts: Mapping[str, float] = field(default_factory=lambda: _NO_FACTS)
    applied: Mapping[str, int] | None = None

    def copied(self, inputs: tuple[int, ...]) -> Node:
        """Give the same operation on other operands of the same shapes and dtypes."""
        return Node(
            self.op, inputs, self.params, self.shape, self.dtype, self.origin, self.label, self.hint, self.facts
        )

    def stand_for(self, other: Node) -> None:
        """Take the label and the hint of a node whose value this one has, unless it is a symbol or has its own."""
        if (other.label or other.hint) and self.op.name != "symbol":
            self.label, self.hint = self.label or other.label, self.hint or other.hint

    @property
    def where(self) -> Where | None:
        """The line of the user's code that made it, or what it is the gradient of."""
        return self.origin.where

    @property
    def backward(self) -> bool:
        """Whether differentiation made it."""
        return self.origin.backward

    @property
    def module(self) -> tuple[str, ...]:
        """The path of names of the modules that it was made in, the outermost first."""
        return self.origin.module

    @property
    def key(self) -> tuple[object, ...]:
        """What two nodes share exactly when they are common sub-expressions: it tells shape and dtype too."""
        return (self.op, self.inputs, *self.params.items())


class Count(NamedTuple):
    """How many operations an expression has.

    Attributes:
        tree: written out as one formula, where what is used twice stands twice.
        graph: each computed once.
    """

    tree: int
    graph: int

    def __str__(self) -> str:
        """Give both numbers."""
        return f"{self.tree} operations written out as a tree, {self.graph} in the graph"


_origin: ContextVar[Origin | None] = ContextVar("symbackprop_origin", default=None)


class attributed:  # noqa: N801  (used as a function; a generator would take three times as long)
    """Let the nodes built inside belong to this place in the user's code."""

    __slots__ = ("_origin", "_token")

    def __init__(self, origin: Origin) -> None:
        """Take the place."""
        self._origin = origin

    def __enter__(self) -> None:
        """Begin."""
        self._token = _origin.set(self._origin)

    def __exit__(self, *_: object) -> None:
        """Return to what was before."""
        _origin.reset(self._token)


def current_origin() -> Origin | None:
    """Give the origin that a walker has set, or None while the user builds."""
    return _origin.get()


_module: ContextVar[tuple[str, ...]] = ContextVar("symbackprop_module", default=())


@contextmanager
def module(name: str) -> Iterator[None]:
    """Group what is built inside: a part of a network, such as a layer, that tables and drawings show as one.

    Modules may stand in modules, and one may be entered again. Nodes that differentiation makes belong to the module
    of the node that they come from.

    Args:
        name: what the module is called.

    Raises:
        GraphError: the name is empty or no text.

    >>> import symbackprop as sb
    >>> x, w = sb.symbols("x w")
    >>> with sb.module("hidden"):
    ...     h = sb.tanh(w * x)
    >>> sb.modules(h**2, [w])[0].name
    'hidden'
    """
    text: object = name  # who has no type checker may pass anything
    if not isinstance(text, str) or not text.strip():
        msg = f"module: a name is a text such as 'hidden', not {name!r}"
        raise GraphError(msg)
    token = _module.set((*_module.get(), name))
    try:
        yield
    finally:
        _module.reset(token)


def current_module() -> tuple[str, ...]:
    """Give the path of the module that new nodes belong to, the outermost name first."""
    origin = _origin.get()
    return _module.get() if origin is None else origin.module


_collecting = threading.Lock()
_growing = 0  # how many calls in all threads want full collections to wait
_thresholds = gc.get_threshold()  # those from before
_LATER = 2**30


@contextmanager
def growing() -> Iterator[None]:
    """Let full garbage collections wait until a graph has been made; young objects are collected as ever.

    Python looks for cycles of garbage among all objects whenever they have become a quarter more. Nodes and what is
    made of them are no garbage and only become more: to look through them again and again was a quarter of the time
    that a large graph took to compile, and freed nothing.

    >>> import gc
    >>> with growing():
    ...     inside = gc.get_threshold()
    >>> inside[:2] == gc.get_threshold()[:2], inside[2] > gc.get_threshold()[2]
    (True, True)
    """
    global _growing, _thresholds  # noqa: PLW0603  (the collector is the whole process's too)
    with _collecting:
        if not _growing:
            _thresholds = gc.get_threshold()
            gc.set_threshold(*_thresholds[:2], _LATER)
        _growing += 1
    try:
        yield
    finally:
        with _collecting:
            _growing -= 1
            if not _growing and gc.get_threshold()[2] == _LATER:  # nobody else has set them
                gc.set_threshold(*_thresholds)


class Graph:
    """A directed acyclic graph of operations.

    There is always a current graph, so nobody has to mention one; ``with Graph():`` opens a fresh one. The graph
    keeps what can still be named: nodes that no living `Expr` can reach are dropped once it has doubled in size.
    Appending is safe from several threads.

    Attributes:
        nodes: the nodes by number, in order of creation, which is a topological order.
        handles: weak references to the expressions that stand for nodes; those to dead ones go with the next sweep.

    >>> import symbackprop as sb
    >>> with sb.Graph() as graph:
    ...     x = sb.symbol("x")
    ...     y = x * x
    >>> list(graph.dag.edges(keys=True))  # the key is the operand's position
    [(0, 1, 0), (0, 1, 1)]
    """

    def __init__(self, *, scratch: bool = False) -> None:
        """Make an empty graph; `scratch` graphs live for one pass: they are not swept."""
        self.nodes: dict[int, Node] = {}
        self.handles: dict[int, Callable[[], Expr | None]] = {}
        self.lock = threading.RLock()
        self.scratch = scratch
        self._next = 0
        self._reached: tuple[set[int], list[int]] = (set(), [])  # what was asked for last, and what it is computed from
        self._sweep_at = _SWEEP_FLOOR
        self._symbols: dict[tuple[object, ...], int] = {}
        self._dag: Dag | None = None

    @property
    def dag(self) -> Dag:
        """The networkx graph: an edge runs from operand to consumer, its key is the operand's position.

        Node attributes: ``op`` (the name), ``inputs``, ``shape``, ``dtype``, ``label``, ``where``, ``backward``,
        ``module``.
        """
        with self.lock:
            if self._dag is None:
                # 0.2 s: paid for by the first look at the graph, not by every import of symbackprop
                import networkx as nx  # noqa: PLC0415

                self._dag = nx.MultiDiGraph()
                for number, node in self.nodes.items():
                    _draw_in(self._dag, number, node)
            return self._dag

    def add(self, node: Node) -> int:
        """Append a node and give its number; a caller that wants a handle on it holds the lock until it has one."""
        with self.lock:
            if not self.scratch and len(self.nodes) >= self._sweep_at:
                self._sweep()
            return self._append(node)

    def _append(self, node: Node) -> int:
        number = self._next
        self._next = number + 1
        self.nodes[number] = node
        if self._dag is not None:
            _draw_in(self._dag, number, node)
        return number

    def symbol_number(self, node: Node) -> int:
        """Give the symbol with this name, shape and dtype, appending it the first time."""
        with self.lock:
            number = self._symbols.get(node.key)
            if number is None or number not in self.nodes:
                number = self._symbols[node.key] = self.add(node)
            return number

    def set_label(self, number: int, label: str) -> None:
        """Give a node the user's name for its value."""
        with self.lock:
            self.nodes[number].label = label
            if self._dag is not None:
                self._dag.nodes[number]["label"] = label

    def reachable(self, outputs: Iterable[int], *, known: Container[int] = ()) -> list[int]:
        """Give the numbers that the outputs are computed from, themselves included, in topological order.

        Costs what the outputs reach, never what the graph holds. One pass after another asks the same of a scratch
        graph, which remembers it.

        Args:
            outputs: the numbers to start from.
            known: numbers behind which not to look.
        """
        wanted = set(outputs)
        if not self.scratch or known:
            return self._walked(wanted, known)
        last, found = self._reached
        if wanted != last:
            found = self._walked(wanted, known)
            self._reached = wanted, found
        return [*found]

    def _walked(self, outputs: Collection[int], known: Container[int]) -> list[int]:
        nodes = self.nodes
        found = set(outputs)
        stack = [number for number in found if number not in known]
        while stack:
            for operand in nodes[stack.pop()].inputs:
                if operand not in found:
                    found.add(operand)
                    if operand not in known:
                        stack.append(operand)
        return sorted(found)

    def small(self, outputs: Collection[int], most: int) -> set[int]:
        """Give those outputs that are computed from at most so many nodes, themselves included."""
        depth: dict[int, int] = {}
        for number in self.reachable(outputs):
            depth[number] = 1 + max([depth[operand] for operand in self.nodes[number].inputs], default=0)
        return {output for output in outputs if depth[output] <= most and self._is_small(output, most)}

    def _is_small(self, output: int, most: int) -> bool:
        found = {output}
        stack = [output]
        while stack:
            for operand in self.nodes[stack.pop()].inputs:
                if operand not in found:
                    found.add(operand)
                    stack.append(operand)
                    if len(found) > most:
                        return False
        return len(found) <= most

    def count(self, outputs: Iterable[int]) -> Count:
        """Count the operations that the outputs are computed from, as a tree for each output and as one graph."""
        wanted = list(outputs)
        trees: dict[int, int] = {}
        operations = 0
        for number in self.reachable(wanted):
            inputs = self.nodes[number].inputs
            operations += bool(inputs)
            trees[number] = bool(inputs) + sum(trees[operand] for operand in inputs)
        return Count(sum(trees[number] for number in wanted), operations)

    def verify(self, outputs: Iterable[int] | None = None) -> None:
        """Check that nodes stand after their operands and that shape and dtype rules still hold.

        Raises:
            GraphError: a node is not what its op makes of its operands.
        """
        nodes = self.nodes
        for number in sorted(nodes) if outputs is None else self.reachable(outputs):
            node = nodes[number]
            if any(operand >= number or operand not in nodes for operand in node.inputs):
                msg = f"node {number} ({node.op.name}) stands before one of its operands {node.inputs}"
                raise GraphError(msg)
            operands = [nodes[operand] for operand in node.inputs]
            shape, dtype = node.op.infer(
                [operand.shape for operand in operands], [operand.dtype for operand in operands], node.params
            )
            if (shape, dtype) != (node.shape, node.dtype):
                msg = f"node {number} ({node.op.name}) says {node.dtype}{node.shape}, its op {dtype}{shape}"
                raise GraphError(msg)

    def __enter__(self) -> Self:
        """Make this the current graph."""
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        """Return to the graph that was current before."""
        _entered.set(_entered.get()[:-1])

    def __len__(self) -> int:
        """Count the nodes."""
        return len(self.nodes)

    def __repr__(self) -> str:
        """Say how large the graph is."""
        return f"<Graph with {len(self.nodes)} nodes>"

    def _sweep(self) -> None:
        with self.lock:
            self.handles = {number: handle for number, handle in self.handles.items() if handle() is not None}
            kept = set(self.reachable(self.handles))
            for number in [number for number in self.nodes if number not in kept]:
                del self.nodes[number]
                if self._dag is not None:
                    self._dag.remove_node(number)
            self._symbols = {key: number for key, number in self._symbols.items() if number in kept}
            self._sweep_at = max(2 * len(kept), _SWEEP_FLOOR)


def _draw_in(dag: Dag, number: int, node: Node) -> None:
    dag.add_node(
        number,
        op=node.op.name,
        inputs=node.inputs,
        shape=node.shape,
        dtype=node.dtype,
        label=node.label,
        where=node.where,
        backward=node.backward,
        module=node.module,
    )
    for position, operand in enumerate(node.inputs):
        dag.add_edge(operand, number, key=position)


_entered: ContextVar[tuple[Graph, ...]] = ContextVar("symbackprop_graphs", default=())
_default = Graph()


def current_graph() -> Graph:
    """Give the graph that new symbols and constants go into.

    >>> with Graph() as graph:
    ...     current_graph() is graph
    True
    """
    entered = _entered.get()
    return entered[-1] if entered else _default
