"""Rules that ask for the values of parts, followed without recursion: each part is worked out once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, MutableMapping
from typing import Any, TypeAlias, TypeVar

Part = TypeVar("Part", bound=Hashable)
Steps: TypeAlias = Generator[Part, Any, Any]  # yields parts, is sent their values, returns the value of its own


def worked_out(start: Part, rule: Callable[[Part], Steps[Part]], known: MutableMapping[Part, Any]) -> Any:
    """Give the value of a part by a rule that yields the parts whose values it needs.

    Args:
        start: the part that is wanted.
        rule: its steps for a part; they return the value.
        known: values of parts, which grow.

    >>> def factorial(n):
    ...     return n * (yield n - 1)
    >>> worked_out(2000, factorial, {0: 1}) > 10**5000
    True
    """
    running = [(start, rule(start))]
    value = None
    while running:
        part, steps = running[-1]
        try:
            wanted = steps.send(value)
        except StopIteration as done:
            known[part] = value = done.value
            running.pop()
        else:
            value = known.get(wanted, _UNKNOWN)
            if value is _UNKNOWN:
                running.append((wanted, rule(wanted)))
                value = None
    return known[start]


_UNKNOWN = object()


def each(parts: Iterable[Part]) -> Steps[Part]:
    """Give the values of several parts, in a list; a rule writes ``values = yield from`` it."""
    values = []
    for part in parts:
        values.append((yield part))  # noqa: PERF401  (a comprehension cannot yield)
    return values


def at_once(build: Callable[..., Any]) -> Callable[..., Steps[Any]]:
    """Make a rule of a function that needs no parts."""

    def rule(*args: Any) -> Steps[Any]:
        yield from ()
        return build(*args)

    return rule
