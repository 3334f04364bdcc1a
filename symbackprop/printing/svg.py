"""Expressions as figures: `draw`, with Graphviz where it is installed, else with a layout of our own."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Literal

from symbackprop.errors import ArgumentError, GraphError, SymbackpropError
from symbackprop.printing.dot import write
from symbackprop.printing.figure import own_svg
from symbackprop.printing.picture import Modules, Outputs, Picture, picture

if TYPE_CHECKING:
    from pathlib import Path

Engine = Literal["auto", "own", "graphviz"]

_PATIENCE, _MOST_PATIENCE = 5, 300  # seconds that Graphviz may take, when it can be replaced and when it was asked for


class Drawing:
    """A figure of expressions; notebooks show it.

    Attributes:
        svg: the figure as the text of an SVG file.
        engine: what laid it out, ``"own"`` or ``"graphviz"``.
    """

    def __init__(self, svg: str, engine: Literal["own", "graphviz"], size: int) -> None:
        """Take the text of the figure, what laid it out, and how many boxes it has."""
        self.svg = svg
        self.engine = engine
        self._size = size

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        """Say how large the figure is, and how to see it."""
        return f"<Drawing of {self._size} nodes: show it in a notebook, or .save('figure.svg')>"

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the figure to a file and give its path.

        Raises:
            ArgumentError: the file's name does not end in ``.svg``.
            OSError: it cannot be written.
        """
        from pathlib import Path  # noqa: PLC0415  (an import of the package need not wait for it)

        file = Path(path)
        if file.suffix.lower() != ".svg":
            msg = f"a drawing is saved as SVG: name the file {file.stem or 'figure'}.svg, not {file.name!r}"
            raise ArgumentError(msg)
        file.write_text(self.svg, encoding="utf-8")
        return file


def draw(
    exprs: Outputs,
    *,
    modules: Modules = "boxes",
    path: str | PathLike[str] | None = None,
    engine: Engine = "auto",
    limit: int | None = 1000,
) -> Drawing:
    """Draw the graph that expressions are computed by, operands above results.

    What differentiation made is dashed and in a second colour. A symbol shows its name and shape, a named value its
    name, an arrow the shape of what it carries; the arrow of an operation's first operand arrives leftmost. What was
    made under `symbackprop.module` stands in a frame with the module's name.

    Args:
        exprs: an expression, several, or a dictionary whose keys become titles.
        modules: ``"boxes"`` draws frames around modules, ``"collapsed"`` each module as one box: the circuit and the
            layers of a network; ``"none"`` shows no modules.
        path: where to save the figure too, as ``.svg``.
        engine: ``"graphviz"`` runs Graphviz's program ``dot``, ``"own"`` needs nothing; ``"auto"`` takes Graphviz
            where it is installed.
        limit: the most nodes to draw; None for any number, which may take long.

    Raises:
        GraphError: more nodes than the limit, or the expressions live in different graphs.
        ArgumentError: something among them is no expression, or the engine or the file's ending is unknown.
        ValueError: `modules` is something else.
        SymbackpropError: Graphviz was asked for and is missing or fails.

    >>> import symbackprop as sb
    >>> X, w = sb.symbols("X[N,D] w[D]")
    >>> draw(X @ w, engine="own")
    <Drawing of 3 nodes: show it in a notebook, or .save('figure.svg')>
    """
    if engine not in ("auto", "own", "graphviz"):
        msg = f"draw: the engine is 'auto', 'own' or 'graphviz', not {engine!r}"
        raise ArgumentError(msg)
    shown = picture(exprs, modules=modules)
    size = len(shown.boxes)
    if limit is not None and size > limit:
        msg = (
            f"draw: {size} nodes make too large a picture (the limit is {limit}): draw a part of the expression, "
            "or ask for more with limit=; to_dot() has no limit"
        )
        raise GraphError(msg)
    svg = None if engine == "own" else _graphviz(shown, required=engine == "graphviz")
    drawing = Drawing(svg or own_svg(shown), "graphviz" if svg else "own", size)
    if path is not None:
        drawing.save(path)
    return drawing


def _graphviz(shown: Picture, *, required: bool) -> str | None:
    """Let Graphviz draw; None where it is not installed or fails and was not required."""
    import shutil  # noqa: PLC0415  (only a drawing needs to look for programs)
    import subprocess  # noqa: PLC0415

    program = shutil.which("dot")
    trouble = "is not installed: install it, or leave engine= away"
    if program:
        try:
            done = subprocess.run(  # noqa: S603  (the program that the user has installed; the text goes through a pipe)
                [program, "-Tsvg"],
                input=write(shown).encode(),
                capture_output=True,
                check=True,
                timeout=_MOST_PATIENCE if required else _PATIENCE,
            )
            text = done.stdout.decode()
            return text[text.index("<svg") :]  # a notebook wants no XML declaration
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            trouble = f"failed: {error}"
    if required:
        msg = f"draw: Graphviz's program dot {trouble}"
        raise SymbackpropError(msg)
    return None
