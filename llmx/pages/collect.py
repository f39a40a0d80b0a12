"""One pass over an output: every row is counted, packed for the page, and laid beside gold and another run.

Fed row by row, so that it serves a finished file and one that grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from llmx.pages.chunks import CHANGED, CITED, DISAGREES, FAILED, UNCITED, Chunk, Packer, shortened
from llmx.pages.fields import Fields
from llmx.pages.lookup import Lookup, key_text
from llmx.pages.rows import Row

__all__ = ["Beside", "Collector", "ErrorKinds"]

EXAMPLES = 5
"""Failed rows that are shown of each kind."""

MESSAGE = 2_000
"""Code points of an error's message, or of what it is about, that are shown."""


class Beside(Struct, frozen=True):
    """What rows are laid beside.

    Args:
        key: the column by which rows are found; None when there is nothing to find.
        wrong: of each key what gold has where the row has something else.
        other: the rows of another run; failed ones have `_error`.
    """

    key: str | None = None
    wrong: Lookup | None = None
    other: Lookup | None = None


class ErrorKinds:
    """Failed rows by their error's type: how many, and the first few."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, Any]] = {}

    def add(self, error: Mapping[str, Any], number: int | None, key: str | None) -> None:
        """Count one; `number` is that of its row in the page, None of one that is not in it."""
        kind = str(error.get("type") or "unknown")[:60]
        group = self._kinds.setdefault(kind, {"type": kind, "count": 0, "examples": []})
        group["count"] += 1
        if len(group["examples"]) < EXAMPLES:
            said = {name: _cut(error.get(name)) for name in ("message", "line", "raw", "attempts", "cost")}
            group["examples"].append({**said, "row": number, "key": key})

    def as_json(self) -> list[dict[str, Any]]:
        """The commonest first."""
        return sorted(self._kinds.values(), key=lambda group: -group["count"])


def _cut(value: Any) -> Any:
    return value[:MESSAGE] + "…" if isinstance(value, str) and len(value) > MESSAGE else value


class Collector:
    """See the module.

    Args:
        beside: what rows are laid beside.
        most: rows that are packed, and failed rows; the others are only counted.

    Attributes:
        rows, failed: how many have come; `unreadable` lines were none.
        packer: the flags of the packed rows.
        compared: of rows with a partner in the other run: how many are the same, changed, without one.
    """

    def __init__(self, beside: Beside | None = None, most: int = 200_000) -> None:
        self._beside = beside or Beside()
        self._most = most
        self.rows = self.failed = self.unreadable = self.keyless = 0
        self.fields, self.errors, self.packer = Fields(), ErrorKinds(), Packer()
        self.compared = {"same": 0, "changed": 0, "alone": 0}
        self.changed: dict[str, int] = {}

    def add(self, row: Row | None) -> Chunk | None:
        """Take a row of the results, None for a line that is none; the chunk that is full with it."""
        if row is None:
            self.unreadable += 1
            return None
        self.rows += 1
        own = {name: value for name, value in row.items() if not _is_about(name)}
        self.fields.add(own)
        packed: Row = {"r": shortened(own)}
        key = self._key_of(row, packed)
        flags = self._cite(row, packed) | self._judge(key, packed) | self._compare(key, own, packed)
        confidence = self._trust(row, packed)
        if isinstance(meta := row.get("_llmx"), dict):
            packed["m"] = meta
        return self.packer.add(packed, flags, confidence) if self.rows <= self._most else None

    def add_failed(self, row: Row | None) -> Chunk | None:
        """Take a failed row; likewise."""
        if row is None:
            self.unreadable += 1
            return None
        self.failed += 1
        error = row.get("_error")
        error = error if isinstance(error, dict) else {}
        own = {name: value for name, value in row.items() if not _is_about(name)}
        packed: Row = {"r": shortened(own), "e": shortened(error)}
        key = self._key_of(row, packed)
        is_shown = self.failed <= self._most
        self.errors.add(error, self.packer.rows if is_shown else None, key)
        flags = FAILED | self._compare(key, own, packed, failed=True)
        return self.packer.add(packed, flags, None) if is_shown else None

    def _key_of(self, row: Row, packed: Row) -> str | None:
        if self._beside.key is None:
            return None
        key = key_text(row.get(self._beside.key))
        if key is not None:
            packed["k"] = key[:200]
        elif self._beside.wrong is not None or self._beside.other is not None:
            self.keyless += 1
        return key

    def _cite(self, row: Row, packed: Row) -> int:
        """Evidence: where in the row each value is said to stand."""
        evidence = row.get("_evidence")
        if not isinstance(evidence, dict) or not evidence:
            return 0
        packed["v"] = shortened(evidence)
        flags = 0
        for path, quote in evidence.items():
            found = isinstance(quote, dict)
            flags |= CITED if found else UNCITED
            if figures := self.fields.about(path):
                figures.cite(str(quote.get("match") or "exact") if found else "none")
        return flags

    def _trust(self, row: Row, packed: Row) -> float | None:
        """The least confidence of the row's fields."""
        said = row.get("_confidence")
        if not isinstance(said, dict):
            return None
        known = dict(_confidences(said))
        for path, confidence in known.items():
            if figures := self.fields.about(path):
                figures.trust(confidence)
        if known:
            packed["c"] = known
        return min(known.values(), default=None)

    def _judge(self, key: str | None, packed: Row) -> int:
        """What gold has where the row has something else."""
        wrong = None if self._beside.wrong is None or key is None else self._beside.wrong.get(key)
        if not wrong:
            return 0
        packed["g"] = shortened(wrong)
        for path in wrong:
            if figures := self.fields.about(path):
                figures.wrong += 1
        return DISAGREES

    def _compare(self, key: str | None, own: Row, packed: Row, *, failed: bool = False) -> int:
        """What the other run has where it has something else: `o`, or `oe`, the error that it ended with there."""
        if self._beside.other is None:
            return 0
        other = None if key is None else self._beside.other.get(key)
        if other is None:
            self.compared["alone"] += 1
            packed["o"] = None
            return 0
        error = other.get("_error")
        differing = {} if error or failed else _differing(own, other)
        packed["o"] = shortened(differing if not failed or error else _own(other))
        if isinstance(error, dict):
            packed["oe"] = shortened(error)
        for column in differing:
            self.changed[column] = self.changed.get(column, 0) + 1
        changed = bool(differing) or (error is not None) != failed
        self.compared["changed" if changed else "same"] += 1
        return CHANGED if changed else 0


def _is_about(column: str) -> bool:
    """Whether a column says something about the row's fields, and is none of them."""
    return column in ("_evidence", "_confidence", "_llmx", "_error")


def _own(row: Row) -> Row:
    return {name: value for name, value in row.items() if not _is_about(name)}


def _differing(own: Row, other: Row) -> Row:
    """Of columns that both have, what the other has where they differ; one that a row lacks is null there."""
    names = dict.fromkeys([*own, *_own(other)])
    return {name: other.get(name) for name in names if not _same(own.get(name), other.get(name))}


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and True is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _confidences(said: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Those that are numbers between 0 and 1, as text too: out of CSV."""
    for path, value in said.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            number = float(value)
        except ValueError:
            continue
        if 0 <= number <= 1:
            yield path, number
