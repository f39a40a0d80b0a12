"""Rows packed for the page: JSON Lines in gzip, a few hundred at a time, and a byte of flags and of confidence for each.

The page unpacks a chunk when a row of it is shown or searched, and filters by flags without unpacking any.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from llmx.records import to_json

__all__ = [
    "CHANGED",
    "CITED",
    "DISAGREES",
    "FAILED",
    "NO_CONFIDENCE",
    "UNCITED",
    "Chunk",
    "Packer",
    "shortened",
]

FAILED, DISAGREES, CHANGED, UNCITED, CITED = 1, 2, 4, 8, 16
"""Flags of a row: it failed; a field differs from gold; one differs from the other run's; a quote was not found; some were."""

NO_CONFIDENCE = 255

ROWS, BYTES = 256, 2**19
"""A chunk is full with so many rows, or bytes before they are packed."""

LONGEST = 20_000
"""Code points of a text that are put into the page: the file of it has the rest."""

LEVEL = 6
"""Of gzip: one more costs twice the time for a hundredth of the size."""


class Chunk(Struct, frozen=True):
    """Some rows.

    Args:
        first: the number of the first of them, from 0 on.
        rows: how many.
        data: gzip of their lines.
    """

    first: int
    rows: int
    data: bytes


class Packer:
    """Takes rows one by one.

    Attributes:
        flags, confidence: a byte for each row; the confidence is the least of its fields' in steps of 1/200.
    """

    def __init__(self) -> None:
        self.flags, self.confidence = bytearray(), bytearray()
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def rows(self) -> int:
        """How many were taken."""
        return len(self.flags)

    def add(self, row: Mapping[str, Any], flags: int, confidence: float | None) -> Chunk | None:
        """Take one row; the chunk that is full with it."""
        line = to_json(row)
        self._lines.append(line)
        self._size += len(line)
        self.flags.append(flags)
        self.confidence.append(NO_CONFIDENCE if confidence is None else int(confidence * 200))
        return self.cut() if len(self._lines) >= ROWS or self._size >= BYTES else None

    def cut(self) -> Chunk | None:
        """The rows since the last chunk as one, which is the last or a full one; None when there are none."""
        chunk = self.rest()
        self._lines, self._size = [], 0
        return chunk

    def rest(self) -> Chunk | None:
        """The same, and they stay: more rows may come into it."""
        if not self._lines:
            return None
        data = gzip.compress(b"\n".join(self._lines), LEVEL, mtime=0)
        return Chunk(self.rows - len(self._lines), len(self._lines), data)


def shortened(value: Any, depth: int = 0) -> Any:
    """A value without what no page can show: the ends of texts of more than 20,000 code points, and of endless lists."""
    if isinstance(value, str):
        left = len(value) - LONGEST
        return value if left <= 0 else f"{value[:LONGEST]}… ({left:,} more characters)"
    if isinstance(value, dict):
        if depth >= 20:
            return "…"
        return {_text(name): shortened(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        if depth >= 20:
            return "…"
        left = len(value) - 1_000
        shown = [shortened(inner, depth + 1) for inner in value[:1_000]]
        return shown if left <= 0 else [*shown, f"… ({left:,} more)"]
    return value


def _text(name: str) -> str:
    return name if len(name) <= 200 else name[:199] + "…"
