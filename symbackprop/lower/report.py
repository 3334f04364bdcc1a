"""What each pass made of the expressions: nodes, floating-point operations, bytes, and the rules that were applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from symbackprop import dims
from symbackprop.dims import Size
from symbackprop.expr import Expr
from symbackprop.lower.lifetimes import kept, peak
from symbackprop.lower.program import Program
from symbackprop.rewrite.before import before
from symbackprop.rewrite.pipeline import Stage, every_rule, pipeline, run
from symbackprop.rewrite.reorder import Ordering


@dataclass(frozen=True)
class Row:
    """The state after one pass.

    Attributes:
        name: the pass.
        nodes: how many nodes the outputs are computed from.
        flops: floating-point operations, as a formula in the sizes.
        bytes: memory of all intermediate values, as a formula in the sizes.
        fired: how often each rule was applied; before the first pass, to what gradients among the outputs are of.
    """

    name: str
    nodes: int
    flops: Size
    bytes: Size
    fired: Mapping[str, int]


@dataclass(frozen=True)
class Report:
    """The passes of one compilation, one row each, and what they came to; ``print`` it.

    Attributes:
        rows: the passes.
        statements: how many statements the generated code has.
        recomputed: floating-point operations that it does twice, to save memory.
        peak: the most bytes of arrays that it has at once, beside its arguments, as a formula in the sizes.
        kept: those of them that are kept between calls, as a formula in the sizes.
    """

    rows: tuple[Row, ...]
    statements: int
    recomputed: Size
    peak: Size
    kept: Size = 0

    @staticmethod
    def of(
        outputs: Sequence[Expr],
        program: Program,
        skip: Collection[str] = (),
        sizes: Mapping[str, int] = MappingProxyType({}),
    ) -> Report:
        """Run the passes again and measure after each, and what the program takes."""
        rows = [_row(Stage("as built", list(outputs), _before_grad(outputs)))]
        run(outputs, pipeline(Ordering(sizes)), skip=skip, observe=lambda stage: rows.append(_row(stage)))
        most = peak(program, {**sizes, **program.sizes})
        return Report(tuple(rows), len(program.statements), program.recomputed, most, kept(program))

    def __str__(self) -> str:
        """Give the table; below each pass its rules, each with its equation and what the equation keeps."""
        rules = {rule.name: rule for rule in (*before(), *every_rule())}
        width = max(5, *(len(str(row.flops)) for row in self.rows)) + 2
        lines = [f"{'pass':<10}{'nodes':>6}  {'FLOPs':<{width}}bytes"]
        for row in self.rows:
            lines.append(f"{row.name:<10}{row.nodes:>6}  {row.flops!s:<{width}}{row.bytes}")
            lines += [f"{'':<10}  {name} × {times}: {rules[name]}" for name, times in sorted(row.fired.items())]
        lines += [f"{self.recomputed} FLOPs are done twice, to save memory"] if self.recomputed else []
        lines.append(f"{self.statements} statements, which have at most {self.peak} bytes of arrays at once")
        lines += [f"{self.kept} bytes of arrays to compute in are kept between calls"] if self.kept else []
        return "\n".join(lines)


def _before_grad(outputs: Sequence[Expr]) -> Counter[str]:
    """Count the rules that were applied to what was differentiated, before it was."""
    found: Counter[str] = Counter()
    nodes = outputs[0].graph.nodes
    mappings = [nodes[number].applied for number in outputs[0].graph.reachable([expr.number for expr in outputs])]
    for applied in {id(mapping): mapping for mapping in mappings if mapping}.values():  # gradients of one loss share it
        found.update(applied)
    return found


def _row(stage: Stage) -> Row:
    graph = stage.outputs[0].graph
    numbers = graph.reachable([expr.number for expr in stage.outputs])
    flops: Size = 0
    memory: Size = 0
    for number in numbers:
        node = graph.nodes[number]
        shapes = tuple(graph.nodes[operand].shape for operand in node.inputs)
        flops = node.op.cost(shapes, node.shape, node.params) + flops
        if node.inputs:
            memory = dims.product(node.shape) * node.dtype.itemsize + memory
    return Row(stage.name, len(numbers), flops, memory, stage.fired)
