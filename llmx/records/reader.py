"""What every format's reader looks like to the source: columns, then rows.

A reader is made over one open stream and is read once. It numbers lines, not rows; records, keys,
limits and samples are the source's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from llmx.errors import UnreadableRow
from llmx.types import Unreadable

__all__ = ["Reader", "Row", "Unreadable"]

Row = tuple[int | None, dict[str, Any] | UnreadableRow]
"""Line number (None where lines mean nothing), and the row or why there is none."""


class Reader(Protocol):
    """One input's rows."""

    def columns(self) -> list[str]:
        """The names known from the header, the schema or the first rows, without losing a row."""
        ...

    def rows(self) -> Iterator[Row]:
        """The rows, once."""
        ...
