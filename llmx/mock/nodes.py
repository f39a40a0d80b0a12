"""What a compiled schema is made of: nodes that draw values, and know how deep they must go.

A node's height is the fewest containers on the way to its shallowest value: 0 for a string, infinite
for what can never end. Once an answer nests the same container too often, everything below it takes
the lowest way, so recursive schemas come to an end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import orjson

__all__ = ["Array", "Choice", "Draft", "Leaf", "Link", "Map", "Node", "Object", "measure"]

_NESTED = 2  # how often a container may be inside itself
_BUDGET = 400  # containers in one answer, beyond which it is brought to an end
_USUAL_LENGTH = 3


class Draft:
    """One answer in the making.

    Args:
        rng: decides every choice.
        text: the user's text, which strings are copied from.
    """

    __slots__ = ("budget", "open", "rng", "shallow", "text")

    def __init__(self, rng: Random, text: str) -> None:
        self.rng = rng
        self.text = text
        self.shallow = False
        self.budget = _BUDGET
        self.open: dict[Node, int] = {}

    def enter(self, container: Node) -> bool:
        """Go into a container; the result is what `leave` wants back."""
        before = self.shallow
        nested = self.open[container] = self.open.get(container, 0) + 1
        self.budget -= 1
        self.shallow = before or nested > _NESTED or self.budget < 0
        return before

    def leave(self, container: Node, before: bool) -> None:
        """Come out of it again."""
        self.open[container] -= 1
        self.shallow = before


class Node(Protocol):
    """A part of a compiled schema."""

    height: float

    def measure(self) -> float:
        """The height, computed from the present heights of its parts."""
        ...

    def draw(self, draft: Draft) -> Any:
        """A value that satisfies this part."""
        ...


class Leaf:
    """A value without parts; one that cannot be has no `make`."""

    def __init__(self, make: Callable[[Random, str], Any] | None) -> None:
        self._make = make
        self.height = math.inf

    def measure(self) -> float:
        """See `Node.measure`."""
        return math.inf if self._make is None else 0.0

    def draw(self, draft: Draft) -> Any:
        """See `Node.draw`."""
        assert self._make is not None, "an impossible value was asked for"
        return self._make(draft.rng, draft.text)


class Link:
    """Stands for a node that is still being compiled: where a schema refers to itself."""

    def __init__(self) -> None:
        self.target: Node | None = None
        self.height = math.inf

    def measure(self) -> float:
        """See `Node.measure`."""
        return math.inf if self.target is None else self.target.height

    def draw(self, draft: Draft) -> Any:
        """See `Node.draw`."""
        assert self.target is not None, "a link was left open"
        return self.target.draw(draft)


class Choice:
    """One of several; the last in `options` is null where `rare_null` says so, and drawn seldom."""

    def __init__(self, options: Sequence[Node], *, rare_null: bool = False) -> None:
        self._options = list(options)
        self._rare_null = rare_null
        self.height = math.inf

    def measure(self) -> float:
        """See `Node.measure`."""
        return min((option.height for option in self._options), default=math.inf)

    def draw(self, draft: Draft) -> Any:
        """See `Node.draw`."""
        if draft.shallow:
            return min(self._options, key=lambda option: option.height).draw(draft)
        options = [option for option in self._options if option.height < math.inf]
        if self._rare_null and len(options) > 1 and draft.rng.random() < 0.8:
            options.pop()
        return options[int(draft.rng.random() * len(options))].draw(draft)


@dataclass(frozen=True, slots=True)
class Map:
    """Properties without fixed names.

    Args:
        keys: draws names.
        values: draws what they hold.
        least, most: properties of the whole object, fixed ones included; None is no upper limit.
        fits: whether a name that was numbered, because the drawn one is taken, will do.
    """

    keys: Node
    values: Node
    least: int
    most: int | None
    fits: Callable[[str], bool]


class Object:
    """Named properties, and perhaps some without fixed names.

    Args:
        fields: name, node, and whether it is required, in the schema's order.
        least: properties it must have.
    """

    def __init__(self, fields: Sequence[tuple[str, Node, bool]], extra: Map | None, least: int) -> None:
        self._fields = list(fields)
        self._extra = extra
        self._least = least
        self.height = math.inf

    def measure(self) -> float:
        """See `Node.measure`."""
        needed = [node.height for _, node, required in self._fields if required]
        optional = sorted(node.height for _, node, required in self._fields if not required)
        if (missing := self._least - len(needed)) > 0:
            needed += optional[:missing]
            if missing > len(optional):
                needed.append(
                    max(self._extra.keys.height, self._extra.values.height) if self._extra else math.inf
                )
        return 1 + max(needed, default=-1.0)

    def draw(self, draft: Draft) -> dict[str, Any]:
        """See `Node.draw`."""
        before = draft.enter(self)
        rng, shallow = draft.rng, draft.shallow
        value: dict[str, Any] = {}
        for name, node, required in self._fields:
            if required or (not shallow and node.height < math.inf and rng.random() < 0.8):
                value[name] = node.draw(draft)
        if len(value) < self._least:
            self._complete(value, draft)
        if self._extra is not None:
            self._add_extra(self._extra, value, draft)
        draft.leave(self, before)
        return value

    def _complete(self, value: dict[str, Any], draft: Draft) -> None:
        for name, node, _ in sorted(self._fields, key=lambda field: field[1].height):
            if len(value) < self._least and name not in value and node.height < math.inf:
                value[name] = node.draw(draft)

    def _add_extra(self, extra: Map, value: dict[str, Any], draft: Draft) -> None:
        if max(extra.keys.height, extra.values.height) == math.inf:
            return
        wanted = extra.least if draft.shallow or self._fields else draft.rng.randint(1, _USUAL_LENGTH)
        wanted = max(extra.least, wanted if extra.most is None else min(wanted, extra.most))
        fixed = {name for name, _, _ in self._fields}
        for trial in range(20 + 20 * wanted):
            if len(value) >= wanted:
                break
            name = extra.keys.draw(draft)
            if name in value and extra.fits(numbered := f"{name} {trial}"):
                name = numbered
            if name not in value and name not in fixed:
                value[name] = extra.values.draw(draft)


class Array:
    """A list: some positions of their own kind, then others that are alike.

    Args:
        heads: the nodes of the first positions, all of which are filled.
        rest: the node of all others, None where there may be none.
        least, most: its length; None is no upper limit.
        unique: whether all must differ.
    """

    def __init__(
        self, heads: Sequence[Node], rest: Node | None, least: int, most: int | None, *, unique: bool
    ) -> None:
        self._heads = list(heads)[:most]
        self._rest = rest
        self._least = least
        self._most = most
        self._unique = unique
        self.height = math.inf

    def measure(self) -> float:
        """See `Node.measure`."""
        needed = [head.height for head in self._heads[: self._least]]
        if self._least > len(self._heads):
            needed.append(math.inf if self._rest is None else self._rest.height)
        return 1 + max(needed, default=-1.0)

    def draw(self, draft: Draft) -> list[Any]:
        """See `Node.draw`."""
        before = draft.enter(self)
        length = self._length(draft)
        value: list[Any] = []
        for head in self._heads[:length]:
            value.append(head.draw(draft))
        if self._rest is not None and len(value) < length:
            self._fill(self._rest, value, length, draft)
        draft.leave(self, before)
        return value

    def _length(self, draft: Draft) -> int:
        if draft.shallow:
            return self._least
        heads = next((i for i, head in enumerate(self._heads) if head.height == math.inf), len(self._heads))
        most = max(self._least, heads)
        if self._rest is not None and self._rest.height < math.inf and heads == len(self._heads):
            most = max(most, _USUAL_LENGTH)
        most = most if self._most is None else min(most, self._most)
        least = max(self._least, min(max(heads, 1), most))
        return draft.rng.randint(least, max(least, most))

    def _fill(self, rest: Node, value: list[Any], length: int, draft: Draft) -> None:
        if not self._unique:
            value.extend([rest.draw(draft) for _ in range(length - len(value))])
            return
        seen = {_identity(element) for element in value}
        for _ in range(100 + 20 * length):  # as for a coupon collector: enough to find all of a small set
            if len(value) == length:
                return
            element = rest.draw(draft)
            if _identity(element) not in seen:
                seen.add(_identity(element))
                value.append(element)


def _identity(element: Any) -> bytes:
    """Equal for what JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(element, float) and element.is_integer():
        element = int(element)
    return orjson.dumps(element, option=orjson.OPT_SORT_KEYS)


def measure(nodes: Sequence[Node]) -> None:
    """Set all heights: from infinite down, until none changes."""
    changed = True
    while changed:
        changed = False
        for node in nodes:
            height = node.measure()
            if height != node.height:
                node.height = height
                changed = True
