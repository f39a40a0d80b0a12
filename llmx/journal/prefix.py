"""The input's first rows, as far as the output has them: how a later session knows them again without asking.

A session notes now and then how far its output has come (`Checkpoint`). The next one reads those rows, and looks
neither them nor their answers up.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from functools import lru_cache
from heapq import merge
from itertools import pairwise
from typing import Any

from msgspec import Struct, field

from llmx.journal.entries import count, identity
from llmx.records import to_json
from llmx.types import Record, Unreadable

__all__ = ["Chain", "Checkpoint", "Prefix", "checkpoint_entry", "checkpoint_of", "number", "numbered"]

SORTED = 2**16
"""Identities that are sorted together: some 10 ms."""


def number(digest: str) -> int:
    """The first 63 bits of a hex digest. Two digests that share them are told apart by the line itself."""
    return int(digest[:16], 16) >> 1


@lru_cache(maxsize=16)
def numbered(text: str) -> int:
    """The number of a text's digest, to stand for one that comes again and again."""
    return number(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


class Checkpoint(Struct, frozen=True):
    """The input's first rows ended well, and what came of them is the first bytes of the output's file.

    Args:
        rows: how many.
        chain: the digest of their `Chain`.
        size, crc: of the file up to there, in bytes, and its CRC-32.
        made_by: the digest of all that decides, beside the rows, what is written of them.
        encoder: see `records.Mark`.
    """

    rows: int
    chain: str
    size: int
    crc: int
    made_by: str
    encoder: Mapping[str, Any] = field(default_factory=dict)


def checkpoint_entry(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint as a line."""
    return {
        "t": "written",
        "rows": checkpoint.rows,
        "chain": checkpoint.chain,
        "bytes": checkpoint.size,
        "crc32": checkpoint.crc,
        "made_by": checkpoint.made_by,
        **({"encoder": checkpoint.encoder} if checkpoint.encoder else {}),
    }


def checkpoint_of(entry: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint that a line holds. Raises KeyError, TypeError or ValueError: it is none of ours."""
    chain, made_by, encoder = entry["chain"], entry["made_by"], entry.get("encoder", {})
    if not (isinstance(chain, str) and isinstance(made_by, str) and isinstance(encoder, dict)):
        raise TypeError("no checkpoint")
    rows, size, crc = (count(entry[name]) for name in ("rows", "bytes", "crc32"))
    return Checkpoint(rows, chain, size, crc, made_by, encoder)


class Chain:
    """A digest of rows in their order, each to the last byte of what is read of it, whatever its identity is.

    Attributes:
        rows: how many.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()

    def add(self, rows: Iterable[Record | Unreadable]) -> None:
        """The next rows."""
        lines = [_content(row) for row in rows]
        self._hash.update(b"\n".join([*lines, b""]))
        self.rows += len(lines)

    @property
    def digest(self) -> str:
        """Of all rows so far, in hex."""
        return self._hash.hexdigest()


def _content(row: Record | Unreadable) -> bytes:
    """What a row says, its columns in their order, without a newline."""
    if isinstance(row, Unreadable):
        return to_json(row.raw)
    try:
        return to_json(row.data)
    except (TypeError, ValueError, RecursionError):  # what no JSON can hold
        return to_json(repr(row.data))


class Prefix:
    """The rows of a checkpoint as they are found: their chain, and how many of them are alike, at 8 bytes a row."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.chain = Chain()
        self._loose = array("Q")
        self._sorted: list[array[int]] = []
        self._keyed = False

    @property
    def left(self) -> int:
        """How many have not been found yet."""
        return self.checkpoint.rows - self.chain.rows

    @property
    def is_found(self) -> bool:
        """Whether these are the checkpoint's rows, all of them."""
        return not self.left and self.chain.digest == self.checkpoint.chain

    def add(self, rows: Iterable[Record | Unreadable]) -> None:
        """The next rows, a few of them."""
        some = list(rows)
        self.chain.add(some)
        self._keyed = self._keyed or any(isinstance(row, Record) and row.key is not None for row in some[:1])
        self._loose.extend([number(identity(row)) for row in some])
        if len(self._loose) >= SORTED:
            self._sort()

    @property
    def doubles(self) -> int:
        """How many of them have a key that an earlier one has, too."""
        if not self._keyed:
            return 0
        if self._loose:
            self._sort()
        return sum(one == other for one, other in pairwise(merge(*self._sorted)))

    def _sort(self) -> None:
        self._sorted.append(array("Q", sorted(self._loose)))
        self._loose = array("Q")

    def count(self, name: str) -> int:
        """How many of them have an identity."""
        if self._loose:
            self._sort()
        wanted = number(name)
        return sum(_count(some, wanted) for some in self._sorted)


def _count(some: array[int], wanted: int) -> int:
    start = bisect_left(some, wanted)
    found = start < len(some) and some[start] == wanted
    return bisect_right(some, wanted, start) - start if found else 0
