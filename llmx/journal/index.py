"""What is looked up in a journal, on disk: where each answer stands, which rows are done, what it all cost.

Nothing here is the truth. The index is folded from the journal's lines, by the same code while a run goes on
and when an earlier one's is caught up with, so it can be thrown away at any time; and every line that it points
to is checked again when it is read. While a run goes on the disk is behind: `tables` is written in batches by a thread
of its own, and what rows will need is read there beforehand.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from llmx.behind import Behind, Overlay, Unknown
from llmx.journal.entries import count, dollars
from llmx.journal.lines import Line, decode, encode
from llmx.journal.prefix import checkpoint_of, number, numbered
from llmx.journal.tables import AnswerRow, RowRow, Tables, settled_last
from llmx.journal.totals import Totals, totals_entry, totals_of

__all__ = [
    "Index",
    "IndexState",
    "Known",
    "Place",
    "RowState",
    "Totals",
    "number",
    "read_state",
    "settled_so_far",
]

COMMIT_EVERY, COMMIT_SECONDS = 10_000, 1.0
"""Answers and rows folded, and time, between two commits: as many are folded again after a crash. Their keys are digests,
so that a thousand of them touch as many pages of the tables as ten thousand do."""

MOST_BEHIND = 20_000
"""Answers and rows that may wait for the disk: then it is waited for."""

BATCH = 50_000
"""Answers and rows put into the tables together where many are caught up with: sorted, they touch each page once."""

VERSION = 4


class Place(Struct, frozen=True):
    """Where an answer's line stands, in bytes, and in which generation it was given."""

    at: int
    size: int
    generation: int


class RowState(Struct, frozen=True):
    """What is known of one row: how many like it have come in this session, and how many were done before."""

    seen: int
    done: int
    failed: bool

    def behind(self, rows: int) -> RowState:
        """The same of one that comes behind so many more like it."""
        return RowState(self.seen + rows, self.done, self.failed)


class Known(Struct, frozen=True):
    """What is known of a row that has been settled: whether it failed then, and whether the last session had it."""

    failed: bool
    last: bool


NEVER_MET = RowRow(None, 0, 0, 0, 0)


_PutAnswer = Callable[[int, int, int, int], None]
_Row = tuple[int, int, int, bool, int]
_PutRows = Callable[[Sequence[_Row]], None]
"""Where folded lines go: their fields in the order of the tables' columns."""


class Index:
    """See the module. For one thread.

    Args:
        path: of the database; one of another journal, or that is damaged, is begun anew.
        journal: the identity of the journal it belongs to.
    """

    def __init__(self, path: Path, journal: str) -> None:
        self.path = path
        self.journal = journal
        self._behind: Behind | None = None
        self._start()
        try:
            self._tables = Tables(path)
            self._load()
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError):
            self.begin_anew()

    def _start(self) -> None:
        self.totals = Totals()
        self.covered = self._uncommitted = 0
        self._committed_at = time.monotonic()
        self._answers: Overlay[int, AnswerRow] = Overlay()
        self._rows: Overlay[int, RowRow] = Overlay()
        self._writing: Future[None] | None = None

    def _load(self) -> None:
        text = self._tables.state()
        if text is None:
            return
        state = read_state(text)
        if state is None or state.journal != self.journal:
            raise ValueError("the index of another journal")
        self.totals, self.covered = state.totals, state.covered

    def begin_anew(self) -> None:
        """Forget everything."""
        if self._behind is not None:
            self._behind.close()
            self._behind = None
        if hasattr(self, "_tables"):
            self._tables.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._tables = Tables(self.path, check=False)
        self._start()

    # Lines

    def fold(self, entry: Mapping[str, Any] | None, at: int, size: int) -> None:
        """Take in the journal's next line; `entry` is None when it is damaged. Raises sqlite3.Error."""
        self._take_any(entry, at, size, self._put_answer, self._put_rows)
        if self._uncommitted >= COMMIT_EVERY or time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self._commit_behind()

    def fold_all(self, lines: Iterable[Line]) -> Iterator[None]:
        """Take in many lines, of a journal that somebody else has written, a batch at each step. Raises sqlite3.Error."""
        self.commit()
        answers: list[tuple[int, int, int, int]] = []
        rows: list[_Row] = []
        for line in lines:
            self._take_any(
                line.entry,
                line.at,
                line.size,
                lambda *one: answers.append(one),
                rows.extend,
            )
            if self._uncommitted >= BATCH:
                self._put_all(answers, rows)
                yield
        self._put_all(answers, rows)

    def _put_all(self, answers: list[tuple[int, int, int, int]], rows: list[_Row]) -> None:
        self._tables.fold(answers, rows, self._state())
        answers.clear()
        rows.clear()
        self._committed()

    def _take_any(
        self, entry: Mapping[str, Any] | None, at: int, size: int, answer: _PutAnswer, rows: _PutRows
    ) -> None:
        try:
            self._take(entry or {}, at, size, answer, rows)
        except (
            KeyError,
            TypeError,
            ValueError,
            ArithmeticError,
        ):  # a checksum that fits, but no line of ours
            self.totals.damaged += 1
        self.covered = at + size
        self._uncommitted += 1

    def _take(self, entry: Mapping[str, Any], at: int, size: int, answer: _PutAnswer, rows: _PutRows) -> None:
        match entry.get("t"):
            case "answer":
                self._fold_answer(entry, at, size, answer)
            case "row":
                self._fold_row(entry, rows)
            case "rows":
                self._fold_rows(entry, rows)
            case "start":
                self._fold_start(entry)
            case "end":
                self._fold_end(entry)
            case "written":
                self.totals.written = checkpoint_of(entry)
            case "journal":
                pass  # the first line: who it is
            case _:
                self.totals.damaged += 1

    def _fold_start(self, entry: Mapping[str, Any]) -> None:
        config = entry["config"]
        if not isinstance(config, str):
            raise TypeError("a config that is no text")
        self.totals.skipped = count(entry.get("skipped", 0))
        self.totals.session += 1
        if not self.totals.skipped:
            self.totals.since = self.totals.session
        self.totals.config = config
        self.totals.complete = False

    def _fold_end(self, entry: Mapping[str, Any]) -> None:
        complete = entry["complete"] is True
        self.totals.complete = complete
        self.totals.generation += complete
        if complete:
            self.totals.written = None

    def _fold_answer(self, entry: Mapping[str, Any], at: int, size: int, put: _PutAnswer) -> None:
        totals, usage = self.totals, entry["usage"]
        read, written, cost = count(usage["input"]), count(usage["output"]), dollars(usage["cost"])
        put(number(entry["fp"]), at, size, totals.generation)
        totals.answers += 1
        totals.questions += not entry.get("reask")
        totals.input_tokens += read
        totals.output_tokens += written
        totals.cost = None if totals.cost is None or cost is None else totals.cost + cost

    def _fold_row(self, entry: Mapping[str, Any], put: _PutRows) -> None:
        ok = entry["ok"] is True
        done = count(entry["n"]) if ok else 0
        put([(number(entry["id"]), numbered(self.totals.config), done, not ok, self.totals.session)])

    def _fold_rows(self, entry: Mapping[str, Any], put: _PutRows) -> None:
        """Rows that ended well."""
        names, counts = entry["id"], entry["n"]
        if not (isinstance(names, list) and isinstance(counts, list)):
            raise TypeError("rows that are no lists")
        config, session = numbered(self.totals.config), self.totals.session
        rows = [
            (number(name), config, count(n), False, session) for name, n in zip(names, counts, strict=True)
        ]
        put(rows)
        self._uncommitted += len(rows)

    def _put_answer(self, key: int, at: int, size: int, generation: int) -> None:
        self._answers.put(key, AnswerRow(at, size, generation))

    def _put_rows(self, rows: Sequence[_Row]) -> None:
        """As `Tables.fold` does it."""
        put: dict[int, RowRow] = {}
        for key, config, done, failed, session in rows:
            before = put.get(key) or self._row(key) or NEVER_MET
            kept = before.done if before.config == config else 0
            put[key] = RowRow(config, done or kept, int(failed), session, before.seen)
        self._rows.put_all(put)

    # Look-ups

    def expect(self, fingerprints: Iterable[str], identities: Iterable[str]) -> Future[None] | None:
        """Read what is known of answers and rows that will be asked for soon, if any of it is to be read."""
        answers = self._answers.missing(map(number, fingerprints))
        rows = self._rows.missing(map(number, identities))
        if not answers and not rows:
            return None
        return self._disk().do(partial(self._foresee, self._tables, answers, rows))

    def _foresee(self, tables: Tables, answers: list[int], rows: list[int]) -> None:
        self._answers.foresee(tables.answers(answers))
        self._rows.foresee(tables.rows(rows))

    def _answer(self, key: int) -> AnswerRow | None:
        found = self._answers.get(key)
        return self._tables.answers([key])[key] if isinstance(found, Unknown) else found

    def _row(self, key: int) -> RowRow | None:
        found = self._rows.get(key)
        return self._tables.rows([key])[key] if isinstance(found, Unknown) else found

    def place(self, fingerprint: str) -> Place | None:
        """Where the last answer to a request stands, None when there is none."""
        found = self._answer(number(fingerprint))
        return None if found is None else Place(found.at, found.size, found.generation)

    def claim(self, fingerprint: str) -> bool:
        """Whether a row is the first in this session to use an answer: what that cost is told of one row."""
        key = number(fingerprint)
        found = self._answer(key)
        if found is None or found.claimed == self.totals.session:
            return False
        self._answers.put(key, replace(found, claimed=self.totals.session))
        return True

    def meet(self, identities: Iterable[str]) -> list[RowState]:
        """Note that rows have come, in this session; what is known of each."""
        config, session = numbered(self.totals.config), self.totals.session
        met: dict[int, RowRow] = {}
        states = []
        for key in map(number, identities):
            before = met.get(key) or self._row(key) or NEVER_MET
            seen = before.seen + 1 if before.session == session else 1
            met[key] = RowRow(before.config, before.done, before.failed, session, seen)
            same = before.config == config
            states.append(RowState(seen, before.done if same else 0, bool(before.failed and same)))
        self._rows.put_all(met)
        return states

    def known(self, identity: str) -> Known | None:
        """What is known of a row before a session begins; None when it never was settled."""
        found = self._row(number(identity))
        if found is None or found.config is None:
            return None
        return Known(bool(found.failed), found.session >= self.totals.since)

    def done(self, config: str) -> int:
        """How many rows are done under a config."""
        self.commit()
        return self._tables.done(numbered(config))

    def last_rows(self) -> int:
        """How many different rows the last session has settled, those included that it skipped."""
        self.commit()
        return self._tables.settled(self.totals.since)

    def rows(self) -> int:
        """How many different rows have been settled, under whatever config."""
        self.commit()
        return self._tables.settled()

    # The disk

    def _disk(self) -> Behind:
        self._behind = self._behind or Behind("llmx-index")
        return self._behind

    def _state(self) -> str:
        state = {
            "journal": self.journal,
            "version": VERSION,
            "covered": self.covered,
            "totals": totals_entry(self.totals),
        }
        return encode(state).decode()  # with a checksum: from a total that a bit has changed, money is told

    def _commit_behind(self) -> None:
        """Hand what was folded to the disk, unless it is still busy with what it was given before."""
        if self._writing is not None and not self._writing.done() and self._uncommitted < MOST_BEHIND:
            return
        self._wait()
        rows = partial(self._tables.write, self._answers.take(), self._rows.take(), self._state())
        self._writing = self._disk().do(partial(self._write, rows))
        self._committed()

    def _write(self, write: partial[None]) -> None:
        write()
        self._answers.written()
        self._rows.written()

    def _committed(self) -> None:
        self._uncommitted = 0
        self._committed_at = time.monotonic()

    def _wait(self) -> None:
        """Raises sqlite3.Error: what was handed over could not be written."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            writing.result()
        except sqlite3.Error:
            self._answers.give_back()
            self._rows.give_back()
            raise

    def commit(self) -> None:
        """Keep what was folded. Raises sqlite3.Error."""
        if self._uncommitted or self._answers or self._rows:
            self._wait()
            self._commit_behind()
        self._wait()

    def close(self) -> None:
        """Keep what was folded, and release the file."""
        try:
            self.commit()
        except sqlite3.Error:  # it is caught up with the next time
            self._writing = None
        if self._behind is not None:
            self._behind.close()
        self._tables.close()


class IndexState(Struct, frozen=True):
    """What an index says of itself.

    Args:
        journal: the identity of the journal it belongs to.
        covered: bytes of that which it knows.
    """

    journal: str
    covered: int
    totals: Totals


def read_state(text: str) -> IndexState | None:
    """The state that an index has written, None when it is of another version or damaged.

    Raises:
        KeyError, TypeError or ValueError: it is none of ours.
    """
    state = decode(text.encode())
    if state is None or state["version"] != VERSION:
        return None
    return IndexState(state["journal"], int(state["covered"]), totals_of(state["totals"]))


def settled_so_far(path: Path) -> tuple[int, int] | None:
    """Rows of the last session that ended well and that failed, from an index that somebody may be writing.

    At least so many: what was folded since the last commit is not there yet. None when nobody knows.
    """
    found = settled_last(path)
    state = None if found is None else decode(found.state.encode())
    if found is None or state is None or state.get("version") != VERSION:
        return None
    totals, ok, failed = totals_of(state["totals"]), found.ok, found.failed
    if totals.skipped and found.session < totals.session:  # it has come to no further row yet
        ok = failed = 0
    ok += totals.skipped
    return (ok, failed) if ok or failed else None
