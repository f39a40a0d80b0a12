"""Where the fields of a row stand: in one column that holds an object, or in columns of their own.

A field is known by its path: the names of the objects it is in and its own, apart by dots, which is also how a flat
file names its columns. Nothing here compares anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import orjson
from msgspec import Struct

from llmx.records import flatten

__all__ = ["GOLD", "Layout", "selected", "top"]

GOLD = "gold"
"""The column of a gold file that holds the right answer as an object."""


def top(path: str) -> str:
    """The name of the field of the schema that a path leads into."""
    return path.partition(".")[0]


class Layout(Struct, frozen=True):
    """How one file's rows hold their fields.

    Args:
        inside: the column that holds all fields as an object, in a flat file also columns `inside.…`; None where
            the fields are columns.
        prefix: before the name of every column that is a field.
        leave: columns that are none: the key, and what is beside the fields.
        whole: paths that are one value even where they hold an object.
        texts: values may be JSON within a text.
    """

    inside: str | None = None
    prefix: str = ""
    leave: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    texts: bool = False

    @property
    def start(self) -> str:
        """What stands before a field's path in the paths of a whole row."""
        return self.prefix if self.inside is None else f"{self.inside}."

    def leaves(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a row by path."""
        found = dict(flatten(self._fields(row), self.whole))
        if self.texts:
            return dict(self._unpacked(found))
        return found

    def has_fields(self, row: Mapping[str, Any]) -> bool:
        """Whether the row says anything at all: a gold row whose `gold` is null is one that nobody has labelled."""
        if self.inside is None:
            return True
        below = f"{self.inside}."
        return row.get(self.inside) not in (None, "") or any(
            value not in (None, "") for name, value in row.items() if name.startswith(below)
        )

    def _fields(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.inside is not None:
            return self._below(row, self.inside)
        if self.prefix:
            cut = len(self.prefix)
            return {name[cut:]: value for name, value in row.items() if name.startswith(self.prefix)}
        return {name: value for name, value in row.items() if name[:1] != "_" and name not in self.leave}

    def _below(self, row: Mapping[str, Any], inside: str) -> Mapping[str, Any]:
        held = row.get(inside)
        if isinstance(held, str):
            held = _object(held)
        if isinstance(held, Mapping):
            return held
        start = f"{inside}."
        return {name.removeprefix(start): value for name, value in row.items() if name.startswith(start)}

    def _unpacked(self, leaves: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Objects that are JSON in a cell are spread as they would be in JSON Lines; an empty list is nothing, too."""
        for path, value in leaves.items():
            if value in ("[]", "{}"):
                yield path, None
                continue
            held = _object(value) if isinstance(value, str) and path not in self.whole else None
            if held:
                yield from flatten({path: held}, self.whole)
            else:
                yield path, value


def _object(text: str) -> Mapping[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def selected(
    leaves: Mapping[str, Any], names: Mapping[str, str] | None, tops: Collection[str] | None = None
) -> dict[str, Any]:
    """The leaves that are compared, under the paths by which they are.

    Args:
        names: path of a field -> path at which the file has it; None for all, each as it is.
        tops: only paths into these fields; None for all.
    """
    if names is not None:
        chosen: dict[str, Any] = {}
        for path, place in names.items():
            start = f"{place}."
            for leaf, value in leaves.items():
                if leaf == place or leaf.startswith(start):
                    chosen[path + leaf[len(place) :]] = value
        return chosen
    if tops is None:
        return dict(leaves)
    return {path: value for path, value in leaves.items() if top(path) in tops}
