"""Chunks of bytes into lines, whatever the chunk boundaries, without ever holding a line that is too long.

Lines end at b"\\n" and nowhere else: U+2028, form feeds and the like are text (RFC 8259 allows them
inside strings). Faults travel in the stream as values, so that one bad line does not end the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

__all__ = ["MAX_ROW_BYTES", "Damaged", "Fault", "as_text", "split_lines"]

MAX_ROW_BYTES = 64 * 2**20
"""Longest line, CSV row or text file that is read, in bytes; a longer one is an unreadable row."""

_KEPT_OF_FAULT = 4096  # bytes of a line that is too long, for the error row

_ENDLESS = 2**30
"""Bytes without a line end after which there will be none: a device, a disk's image."""


class Damaged(Exception):
    """The bytes cannot be read any further; raised by chunks, lines and rows, never seen outside this package."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Fault(Struct, frozen=True):
    """Stands where a line should be.

    Args:
        message: what is wrong with it.
        prefix: the line's beginning.
    """

    message: str
    prefix: bytes


def split_lines(chunks: Iterator[bytes], limit: int = MAX_ROW_BYTES) -> Iterator[bytes | Fault]:
    """Yield the lines without their b"\\n", each as soon as its chunk is there.

    Args:
        chunks: of any size.
        limit: longest line in bytes; of a longer one only the beginning is held.

    Raises:
        Damaged: `chunks` did; what was read of the last line is no line, it may be cut anywhere. Or there
            is a line that does not end.
    """
    carry = _Carry(limit)
    for chunk in chunks:
        pieces = chunk.split(b"\n")
        last = pieces.pop()
        if pieces:
            yield carry.take(pieces[0])
            if len(chunk) <= limit:
                yield from islice(pieces, 1, None)
            else:
                yield from (carry.take(piece) for piece in islice(pieces, 1, None))
        carry.add(last)
    if carry.size:
        yield carry.take(b"")


def as_text(raw: bytes) -> str:
    """`raw` for an error row: bytes that are not UTF-8 show as `\\xff`.

    U+FFFD would be prettier, but then the error row, read again, would pass for a good one.
    """
    return raw.decode("utf-8", "backslashreplace").removesuffix("\r")


class _Carry:
    """The line that has begun in earlier chunks; the bytes beyond `limit` are counted, not held."""

    __slots__ = ("_held", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= self._limit:
            self._held += piece
        elif self.size > (end := max(_ENDLESS, 2 * self._limit)):
            raise Damaged(f"{end} bytes without a line end: that is no file of rows")
        else:
            self._held = self._held[:_KEPT_OF_FAULT]
            self._held += piece[: _KEPT_OF_FAULT - len(self._held)]

    def take(self, end: bytes) -> bytes | Fault:
        if not self.size and len(end) <= self._limit:
            return end
        self.add(end)
        held, size = bytes(self._held), self.size
        self._held, self.size = bytearray(), 0
        if size <= self._limit:
            return held
        return Fault(f"longer than {self._limit} bytes ({size})", held)
