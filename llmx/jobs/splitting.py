"""From an upload to shards: files of JSON Lines that are read like any other input.

Rows are read as `llmx extract` reads them, once. Those that cannot be read are written down as failed rows here and now; a
shard has only good ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from llmx.environment import private
from llmx.errors import UsageError
from llmx.jobs.folder import JobFolder
from llmx.jobs.types import Shard, ShardRef
from llmx.records import Unreadable, error_row, to_json
from llmx.types import Record

__all__ = ["Split", "split"]

BUFFER = 1 << 20
"""Bytes that are written together."""


class Split(Struct, frozen=True):
    """What an upload came to.

    Args:
        rows: all of them; `unreadable` are among them, and in no shard.
        problem: what is wrong with the first that could not be read.
    """

    shards: list[Shard]
    rows: int
    unreadable: int
    problem: str


def split(
    source: Iterable[Record | Unreadable], job: str, folder: JobFolder, *, rows: int, most: int
) -> Split:
    """Write the rows of a source as shards of so many.

    Args:
        most: rows that an upload may have.

    Raises:
        UsageError: there are more, or none that could be read.
        OSError: the disk refuses.
    """
    with private(), ExitStack() as held:
        writer = _Writer(job, folder, rows, held)
        for row in source:
            if writer.rows == most:
                raise UsageError(f"more than {most:,} rows", hint="several jobs, or the operator's max-rows")
            writer.take(row)
    found = writer.split()
    if not found.shards:
        raise UsageError(found.problem or "no rows")
    return found


class _Writer:
    """Where rows go, one after another."""

    def __init__(self, job: str, folder: JobFolder, size: int, held: ExitStack) -> None:
        self._job = job
        self._folder = folder
        self._size = size
        self._held = held
        self._shards: list[Shard] = []
        self._file: BinaryIO | None = None
        self._bad: BinaryIO | None = None
        self._in_shard = 0
        self._first = 0
        self._unreadable = 0
        self._problem = ""
        self.rows = 0

    def take(self, row: Record | Unreadable) -> None:
        """The next row."""
        if isinstance(row, Unreadable):
            self._note(row)
        else:
            if self._file is None or self._in_shard == self._size:
                self._turn()
            assert self._file is not None
            self._file.write(to_json(row.data) + b"\n")
            self._in_shard += 1
        self.rows += 1

    def _note(self, row: Unreadable) -> None:
        if self._bad is None:
            self._bad = self._opened(self._folder.unreadable)
            self._problem = str(row.error)
        self._unreadable += 1
        self._bad.write(to_json(error_row(row, row.error)) + b"\n")

    def _turn(self) -> None:
        """Begin the next shard."""
        self._close()
        self._first, self._in_shard = self.rows, 0
        path = self._folder.shard(len(self._shards)).rows
        path.parent.mkdir(parents=True)
        self._file = self._opened(path)

    def _opened(self, path: Path) -> BinaryIO:
        return self._held.enter_context(path.open("xb", buffering=BUFFER))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            ref = ShardRef(self._job, len(self._shards))
            self._shards.append(Shard(ref, self._first, self._in_shard))

    def split(self) -> Split:
        """All that was written."""
        self._close()
        self._file = None
        return Split(self._shards, self.rows, self._unreadable, self._problem)
