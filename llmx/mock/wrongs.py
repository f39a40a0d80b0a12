"""Which values of an answer are wrong, and what they are instead.

Whether a value is wrong depends on the seed, the model, the row, the sample and the value's place, and on nothing
else: each is wrong with the configured probability, apart from all others. A wrong value is valid: another choice,
or what another row of the gold file has at that place, or else what the generator draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from llmx.mock.checking import is_valid
from llmx.mock.gold_file import plain_text
from llmx.mock.leaves import Leaf, Steps
from llmx.mock.schemagen import SchemaError, compiled
from llmx.records import to_json

__all__ = ["Pools", "share", "wrong_values"]

_DRAWS = 20
_POOL = 1000
"""Values of one place that are remembered; more make no better wrong answers."""

Place = tuple[str, ...]


class Pools:
    """The values that the gold file has at every place; the positions in a list are one place."""

    def __init__(self, leaves: Iterator[Leaf]) -> None:
        self._values: dict[Place, dict[bytes, Any]] = {}
        for leaf in leaves:
            known = self._values.setdefault(_place(leaf.steps), {})
            if len(known) < _POOL:
                known.setdefault(_identity(leaf.value), leaf.value)

    def at(self, steps: Steps) -> Sequence[Any]:
        """All different values, in the file's order."""
        return list(self._values.get(_place(steps), {}).values())


def share(*parts: object) -> float:
    """A number in [0, 1), evenly distributed over different parts and always the same for the same."""
    digest = hashlib.blake2b(orjson.dumps([str(part) for part in parts]), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def wrong_values(leaf: Leaf, pools: Pools, point: float) -> Iterator[Any]:
    """Valid values that are not the leaf's own, the one that `point` chooses first.

    Args:
        point: in [0, 1).
    """
    for candidates in (_choices(leaf), pools.at(leaf.steps)):
        fitting = [value for value in candidates if _differs(value, leaf.value)]
        begin = int(point * len(fitting))
        for value in fitting[begin:] + fitting[:begin]:
            if is_valid(leaf.schema, value):
                yield value
    yield from _drawn(leaf, point)


def _choices(leaf: Leaf) -> Sequence[Any]:
    if leaf.schema.get("type") == "boolean":
        return (True, False)
    choices = leaf.schema.get("enum", ())
    return [choice for choice in choices if choice is not None]


def _drawn(leaf: Leaf, point: float) -> Iterator[Any]:
    try:
        draw: Callable[[int, str], Any] = compiled(leaf.schema).draw
        for number in range(_DRAWS):
            value = draw(int(point * (1 << 32)) + number, "")
            if _differs(value, leaf.value):
                yield value
    except SchemaError:
        return


def _differs(value: Any, right: Any) -> bool:
    """In more than case or white space, which evaluations may overlook; null is for a value to be right only."""
    if value is None:
        return False
    return _loose(value) != _loose(right) or isinstance(value, bool) != isinstance(right, bool)


def _loose(value: Any) -> Any:
    return value if isinstance(value, int | float) else " ".join(plain_text(value).casefold().split())


def _identity(value: Any) -> bytes:
    return to_json(value)


def _place(steps: Steps) -> Place:
    return tuple("*" if isinstance(step, int) else step for step in steps)
