"""A journal that is only looked into: what it holds of a run, for whoever plans the next one.

Nothing is written, not even the index, so it may be read-only, and its owner may be writing it meanwhile. What the index
does not know yet is read from the journal's end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from llmx.errors import OutputFailed
from llmx.journal.entries import count, dollars
from llmx.journal.index import number, read_state
from llmx.journal.lines import decode, scan
from llmx.journal.tables import Tables
from llmx.journal.totals import Totals

__all__ = ["JournalView", "first_lines"]

READ_AHEAD = 2**20
"""Bytes of the journal that are read at a time."""


class JournalView:
    """See the module.

    Args:
        path: of the journal, which is there; its index, beside it, need not be.

    Attributes:
        totals: what it all holds.

    Raises:
        OutputFailed: the system does not let it be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.totals = Totals()
        self._later: dict[int, tuple[int, int]] = {}
        self._ended: dict[int, bool] = {}
        self._tables: Tables | None = None
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise _failure(path, error) from error
        try:
            self._read_rest(self._open_index())
        except OSError as error:
            self.close()
            raise _failure(path, error) from error

    def _open_index(self) -> int:
        """The index, where there is one of ours; how many bytes of the journal it knows."""
        index = self.path.with_name("index.sqlite")
        if not index.exists():
            return 0
        try:
            tables = Tables.looked_into(index)
        except (sqlite3.Error, ValueError):
            return 0
        try:
            state = read_state(tables.state() or "")
        except (sqlite3.Error, KeyError, TypeError, ValueError):
            state = None
        named = next(first_lines(self.path, 1), {}).get("id")
        if state is None or state.journal != named or state.covered > os.fstat(self._file).st_size:
            tables.close()
            return 0
        self._tables, self.totals = tables, state.totals
        return state.covered

    def _read_rest(self, start: int) -> None:
        with self.path.open("rb", buffering=READ_AHEAD) as file:
            for line in scan(file, start):
                entry = line.entry or {}
                try:
                    self._take(entry, line.at, line.size)
                except (KeyError, TypeError, ValueError, ArithmeticError):
                    continue  # no line of ours, which a run will tell

    def _take(self, entry: dict[str, Any], at: int, size: int) -> None:
        match entry.get("t"):
            case "answer":
                self._later[number(entry["fp"])] = (at, size)
                self._add(entry)
            case "row":
                self._ended[number(entry["id"])] = entry["ok"] is True
            case "rows":
                self._ended |= dict.fromkeys(map(number, entry["id"]), True)
            case "start":
                self.totals.complete = False
            case "end":
                self.totals.complete = entry["complete"] is True

    def _add(self, entry: dict[str, Any]) -> None:
        usage, totals = entry["usage"], self.totals
        totals.answers += 1
        totals.input_tokens += count(usage["input"])
        totals.output_tokens += count(usage["output"])
        cost = dollars(usage["cost"])
        totals.cost = None if totals.cost is None or cost is None else totals.cost + cost

    def places(self, fingerprints: Sequence[str]) -> list[tuple[int, int] | None]:
        """Where the answers to requests stand, in bytes and their number; None for those without one."""
        keys = [number(fingerprint) for fingerprint in fingerprints]
        found: dict[int, tuple[int, int]] = {}
        if self._tables is not None:
            rows = self._tables.answers(key for key in keys if key not in self._later)
            found = {key: (row.at, row.size) for key, row in rows.items() if row is not None}
        return [self._later.get(key) or found.get(key) for key in keys]

    def failed(self, identities: Sequence[str]) -> list[bool]:
        """Of rows, whether they failed when they were settled last."""
        keys = [number(identity) for identity in identities]
        rows = self._tables.rows(keys) if self._tables is not None else {}
        ended = {key: not row.failed for key, row in rows.items() if row is not None} | self._ended
        return [not ended.get(key, True) for key in keys]

    def entry(self, place: tuple[int, int]) -> dict[str, Any] | None:
        """The line at a place, an answer without its body; None when it is damaged."""
        at, size = place
        try:
            return decode(os.pread(self._file, size, at), body=False)
        except (OSError, ValueError, OverflowError, MemoryError):  # of a place that a damaged index has named
            return None

    def close(self) -> None:
        """Release the files."""
        os.close(self._file)
        if self._tables is not None:
            self._tables.close()


def first_lines(path: Path, most: int) -> Iterator[dict[str, Any]]:
    """What the first lines of a journal say, so many, but for those that are damaged. Raises OSError."""
    with path.open("rb", buffering=READ_AHEAD) as file:
        for line in islice(scan(file), most):
            if line.entry is not None:
                yield line.entry


def _failure(path: Path, error: OSError) -> OutputFailed:
    reason = error.strerror or str(error)
    return OutputFailed(
        f"cannot read the journal {str(path)!r}: {reason}", hint="--fresh, or another -o FILE"
    )
