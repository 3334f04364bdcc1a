"""The parts that modules divide a computation into, in an order in which they can be computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from symbackprop.graph import Graph

OUTSIDE = "outside of modules"


class Part(NamedTuple):
    """Nodes that are shown together.

    Attributes:
        key: what they have in common, such as the path of their module.
        level: 0, and more for further parts of the same key, where one part would use what uses it.
    """

    key: Hashable
    level: int


def parted(graph: Graph, keys: Mapping[int, Hashable]) -> tuple[dict[int, Part], list[Part]]:
    """Put nodes of the same key into one part, and the parts into topological order.

    Where nodes of one key use others that use nodes of that key, the key has several parts.

    Args:
        graph: the graph.
        keys: the key of each node, operands first.

    >>> import symbackprop as sb
    >>> x = sb.symbol("x")
    >>> y = sb.sin(sb.cos(sb.exp(x)))
    >>> numbers = y.graph.reachable([y.number])[1:]
    >>> parts, order = parted(y.graph, dict(zip(numbers, "aba")))
    >>> order
    [Part(key='a', level=0), Part(key='b', level=1), Part(key='a', level=2)]
    """
    import networkx as nx  # noqa: PLC0415  (it takes 0.2 s, and an import of the package need not wait for it)

    uses = {number: [operand for operand in graph.nodes[number].inputs if operand in keys] for number in keys}
    coarse: nx.DiGraph[Hashable] = nx.DiGraph()
    coarse.add_nodes_from(keys.values())
    coarse.add_edges_from((keys[operand], keys[number]) for number in keys for operand in uses[number])
    knot: dict[Hashable, int] = {}
    for at, component in enumerate(nx.strongly_connected_components(coarse)):
        knot |= dict.fromkeys(component, at)
    parts: dict[int, Part] = {}
    fine: nx.DiGraph[Part] = nx.DiGraph()
    for number, key in keys.items():
        near = [operand for operand in uses[number] if knot[keys[operand]] == knot[key]]
        level = max((parts[operand].level + (keys[operand] != key) for operand in near), default=0)
        part = parts[number] = Part(key, level)
        fine.add_node(part)
        fine.add_edges_from((parts[operand], part) for operand in uses[number] if parts[operand] != part)
    first = {part: at for at, part in enumerate(dict.fromkeys(parts.values()))}
    return parts, list(nx.lexicographical_topological_sort(fine, key=first.__getitem__))


def module_parts(graph: Graph, numbers: Iterable[int], depth: int) -> tuple[dict[int, Part], list[Part]]:
    """Put the operations among some nodes into parts by their modules.

    Args:
        graph: the graph.
        numbers: the nodes, operands first.
        depth: how many names of a module's path count: with 1, a module includes those that stand in it.

    Raises:
        ValueError: `depth` is less than 1.
    """
    if depth < 1:
        msg = f"modules are looked into 1 deep or deeper, not {depth}"
        raise ValueError(msg)
    nodes = graph.nodes
    return parted(graph, {number: nodes[number].module[:depth] for number in numbers if nodes[number].inputs})


def crossing(graph: Graph, parts: Mapping[int, Part]) -> set[int]:
    """Give the nodes that another part uses."""
    return {
        operand
        for number, part in parts.items()
        for operand in graph.nodes[number].inputs
        if operand in parts and parts[operand] != part
    }


def titles(order: Sequence[Part]) -> dict[Part, str]:
    """Give each part the name of its module; one that has several parts is numbered from its second on."""
    seen: Counter[Hashable] = Counter()
    found = {}
    for part in order:
        seen[part.key] += 1
        name = " / ".join(part.key) if isinstance(part.key, tuple) and part.key else OUTSIDE
        found[part] = name if seen[part.key] == 1 else f"{name} ({seen[part.key]})"
    return found
