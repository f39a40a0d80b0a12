"""Files that a later run can go on with: how far one has come, and whether it is still what it was then."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

__all__ = ["Growing", "Mark", "begins_as"]

READ_AT_ONCE = 2**20
"""Bytes of a file that are read at a time."""


class Mark(Struct, frozen=True):
    """How far a file has come, and by what it is known again.

    Args:
        size: in bytes, from its beginning on.
        crc: CRC-32 (ISO 3309) of them.
        encoder: what whoever encodes the next row has to know of those before it, as JSON.
    """

    size: int = 0
    crc: int = 0
    encoder: Mapping[str, Any] = field(default_factory=dict)


class Growing(Protocol):
    """An output whose file is its rows as they are, one behind the other: a later run can go on with it."""

    @property
    def mark(self) -> Mark:
        """How far it has come; all of that is the kernel's."""
        ...

    def holds(self, mark: Mark) -> bool:
        """Whether what an earlier run has left begins as it did at a mark. Reads that much; for any thread."""
        ...

    def go_on(self, mark: Mark) -> None:
        """Keep what an earlier run has left up to a mark, and write behind it. Raises OutputFailed."""
        ...


def begins_as(path: Path, mark: Mark) -> bool:
    """Whether a file begins as it did at a mark. Reads that much."""
    crc, left = 0, mark.size
    try:
        with path.open("rb", buffering=0) as file:
            while left and (data := file.read(min(left, READ_AT_ONCE))):
                crc, left = zlib.crc32(data, crc), left - len(data)
    except OSError:  # as good as another file
        return False
    return not left and crc == mark.crc
