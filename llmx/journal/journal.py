"""The journal: every paid answer before anybody looks at it, and how every row ended.

Appended to, never rewritten. A line is the kernel's when `keep` or `settle` returns, and the disk's soon after
(`GroupSync`). An answer is found again by its request's fingerprint; the line is checked when it is read.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from llmx._version import __version__
from llmx.environment import private
from llmx.errors import LlmxError, OutputFailed, UsageError
from llmx.journal.answers import AnswerLine, Found, answer_line
from llmx.journal.entries import RowEnd, identity, now, row_entries
from llmx.journal.index import Index, Known, Place, RowState, Totals
from llmx.journal.lines import cut_torn_tail, decode, encode, holds_answers, scan
from llmx.journal.prefix import Checkpoint, Prefix, checkpoint_entry
from llmx.journal.sync import GroupSync
from llmx.system import OURS, system
from llmx.types import Completion, Outcome, Record, Request, Unreadable, Usage

__all__ = ["Journal", "identity"]

VERSION = 3
"""Of the file's format."""

READ_AHEAD = 2**20
"""Bytes of the journal that are read at a time."""


class Journal:
    """The journal of one output, open for reading and writing. For one thread.

    Args:
        path: of the file, made with mode 0600; its index is beside it. Its owner holds the run's lock.
        on_failure: told, once, when the disk takes no more: no further call should be made.
        fresh: what is there is set aside when the run begins.
        catch_up: read what the index does not know yet, at once; else `catching_up` is to be exhausted first.

    Attributes:
        lost: answers that arrived and could not be written.
        unkept: what they have used.
        doubles: rows with a key that an earlier row of this run has, too.
        damaged: lines that were found, when it was opened, to be not as they were written.
        distrusted: answers that were looked up and found so.

    Raises:
        UsageError: it is by a later version of llmx.
        OutputFailed: the system refuses to open it.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_failure: Callable[[LlmxError], None],
        fresh: bool = False,
        catch_up: bool = True,
    ) -> None:
        self.path = path
        self.lost = self.doubles = self.damaged = self.distrusted = 0
        self.unkept = Usage()
        self._on_failure = on_failure
        self._failed = False
        self._fresh = fresh
        self._doubted = False
        self._opened = self._closed = False
        self._begun_at: int | None = None
        self._used: set[str] = set()
        self._names: dict[int, str] = {}
        self._skipped: Prefix | None = None
        if not fresh:
            self._open(catch_up=catch_up)

    def _open(self, *, catch_up: bool = True) -> None:
        with private():  # the index's files, which SQLite makes
            self._open_private()
        try:
            if catch_up:
                self._catch_up()
        except BaseException:
            self.close()
            raise

    def _open_private(self) -> None:
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | OURS, 0o600)
            try:
                self._end = cut_torn_tail(self._file)
                self._index = Index(self.path.with_name("index.sqlite"), self._identify())
            except BaseException:
                os.close(self._file)
                raise
        except (OSError, sqlite3.Error) as error:
            raise _failure(self.path, error) from error
        self._sync = GroupSync(self._file)
        self._opened = True

    def _set_aside(self) -> None:
        """What an earlier run has paid for stays one file away, until the next one that starts over."""
        try:
            for stale in self.path.parent.glob("index.sqlite*"):
                stale.unlink()
            with suppress(FileNotFoundError):
                if holds_answers(self.path):
                    system().replace(self.path, self.path.with_suffix(".old.jsonl"))
                else:  # a start that bought nothing takes nothing away
                    self.path.unlink()
        except OSError as error:
            raise _failure(self.path, error) from error

    def _identify(self) -> str:
        """The journal's own name, from its first line; an empty one gets it here."""
        if not self._end:
            self._write(encode({"t": "journal", "id": uuid4().hex, "version": VERSION, "llmx": __version__}))
        with self.path.open("rb") as file:
            first = next(scan(file), None)
        named = (first.entry if first else None) or {}
        if isinstance(version := named.get("version"), int) and version > VERSION:
            hint = "a newer llmx, or --fresh to start over"
            raise UsageError(f"the run in {str(self.path.parent)!r} is by a newer llmx", hint=hint)
        return str(named.get("id", ""))

    def _catch_up(self, *, anew: bool = False) -> None:
        for _ in self.catching_up(anew=anew):
            pass

    def catching_up(self, *, anew: bool = False) -> Iterator[None]:
        """Fold the lines that the index does not know yet, a batch at each step: those of a run that was killed, or all.

        A million lines take some 20 s. Whoever stops in between goes on there the next time.

        Args:
            anew: fold all lines again.

        Raises:
            OutputFailed: the system refuses.
        """
        if not self._opened:
            return
        try:
            if anew or not self._index.journal or self._index.covered > self._end:
                self._index.begin_anew()
            known = self._index.totals.damaged
            with self.path.open("rb", buffering=READ_AHEAD) as file:
                yield from self._index.fold_all(scan(file, self._index.covered))
            self.damaged = self._index.totals.damaged - known
        except (OSError, sqlite3.Error) as error:
            raise _failure(self.path, error) from error

    @property
    def totals(self) -> Totals:
        """What it all holds, earlier runs included; nothing of a run that is to start over."""
        return self._index.totals if self._opened else Totals()

    def done(self, config: str) -> int:
        """How many rows were settled, and well, when the question was `config`."""
        with self._reading():
            return self._index.done(config)

    def holds(self, fingerprint: str) -> bool:
        """Whether a request has been answered."""
        with self._reading():
            return self._index.place(fingerprint) is not None

    def known(self, row: Record | Unreadable) -> Known | None:
        """What is known of a row that has been settled, whatever was asked then; None of another."""
        with self._reading():
            return self._index.known(identity(row))

    def last_rows(self) -> int:
        """How many different rows the last session has settled."""
        with self._reading():
            return self._index.last_rows()

    def rows(self) -> int:
        """How many different rows have been settled, whatever was asked then."""
        with self._reading():
            return self._index.rows()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raises OutputFailed where the disk does not let the index be read."""
        try:
            yield
        except sqlite3.Error as error:
            raise _failure(self.path, error) from error

    def begin(self, config: str, skipped: Prefix | None = None) -> None:
        """A run begins, or goes on; one that starts over does so here and not before.

        Args:
            config: digest of what all its requests share; rows done under another are not done under this.
            skipped: the first rows of the input, which ended well in an earlier session and do not come in this one.

        Raises:
            OutputFailed: the system refuses.
        """
        if self._fresh:
            self._set_aside()
            self._open()
        self._begun_at = self._end
        self._skipped = skipped
        self.doubles = 0 if skipped is None else skipped.doubles
        rows = {} if skipped is None else {"skipped": skipped.checkpoint.rows}
        about = {"config": config, **rows, "time": now(), "llmx": __version__, "pid": os.getpid()}
        self._append(_lined({"t": "start", **about}))

    def seek(self, request: Request) -> None:
        """Nothing need be awaited before `answer`: what was not expected is read at once."""

    def answer(self, request: Request) -> Completion | None:
        """The answer that was paid for earlier; None when there is none that can be used. See `Found.answer`."""
        found = self.find(request.fingerprint)
        return None if found is None else found.answer(request, self.is_first_use)

    def find(self, fingerprint: str) -> Found | None:
        """The last answer to a request, None when there is none."""
        try:
            place = self._index.place(fingerprint)
            if place is None:
                return None
            entry = self._entry(place, fingerprint)
            if entry is None:
                return self._from_the_journal(fingerprint)
            fresh = self._begun_at is not None and place.at > self._begun_at
            return Found(entry, place.generation < self.totals.generation, fresh)
        except sqlite3.Error as error:
            self._fail(error)
            return None

    def is_first_use(self, fingerprint: str) -> bool:
        """Whether no other row of this session has used an answer; of a journal that is only read, by what we remember."""
        if self._begun_at is not None:
            return self._index.claim(fingerprint)
        first = fingerprint not in self._used
        self._used.add(fingerprint)
        return first

    def _from_the_journal(self, fingerprint: str) -> Found | None:
        """The answer, when what the index says of it is not so: the line is damaged, or, once at most, the index."""
        if self._doubted:
            self.distrusted += 1
            return None
        self._doubted = True
        known = self._index.totals.damaged
        try:
            self._catch_up(anew=True)
        except OutputFailed as failure:
            self._tell(failure)
            return None
        self.distrusted += self._index.totals.damaged - known  # the others will not be looked up any more
        return self.find(fingerprint)

    def keep(self, request: Request, completion: Completion) -> None:
        """Write a paid answer down. Never raises: the answer is there, and must be used."""
        self.keep_lines([answer_line(request, completion)])

    def keep_lines(self, answers: Sequence[AnswerLine]) -> None:
        """Write paid answers down that are lines already: where there is no room for all, those that there is room for."""
        if self._append(*((answer.entry, answer.line) for answer in answers)):
            return
        for answer in answers:
            alone = len(answers) > 1 and self._sync.error is None
            if not (alone and self._append((answer.entry, answer.line))):
                self.lost += 1
                self.unkept += answer.usage

    def expect(self, fingerprints: Sequence[str], rows: Sequence[Record | Unreadable]) -> Future[None] | None:
        """These answers and rows will be asked for soon: done when what is known of them has been read."""
        names = [identity(row) for row in rows]
        self._names.update(zip((row.index for row in rows), names, strict=True))
        return self._index.expect(fingerprints, names)

    def settle(self, *outcomes: Outcome) -> None:
        """Write down how rows ended, unless that is known."""
        names = [self._names.pop(each.record.index, "") or identity(each.record) for each in outcomes]
        try:
            states = self._met(names)
        except sqlite3.Error as error:
            self._fail(error)
            return
        ends: list[RowEnd] = []
        for outcome, name, state in zip(outcomes, names, states, strict=True):
            if state.seen > 1:
                self.doubles += getattr(outcome.record, "key", None) is not None
            if not _is_known(outcome, state):
                ends.append((outcome, name, state.seen))
        self._append(*map(_lined, row_entries(ends)))

    def _met(self, names: Sequence[str]) -> Sequence[RowState]:
        """Note that rows have come; what is known of each, those like it among the skipped ones counted as seen."""
        states = self._index.meet(names)
        if (skipped := self._skipped) is None:
            return states
        pairs = zip(names, states, strict=True)
        return [state.behind(skipped.count(name)) if state.done else state for name, state in pairs]

    def written(self, checkpoint: Checkpoint) -> None:
        """Note how far the output has come, unless answers to its rows may be missing: those would be asked about again."""
        if not self._failed:
            self._append(_lined(checkpoint_entry(checkpoint)))

    def end(self, *, complete: bool) -> None:
        """The run has ended; when it is complete, the rows that failed in it are worth asking again."""
        self._append(_lined({"t": "end", "complete": complete, "time": now()}))

    def close(self) -> None:
        """Bring everything to the disk and release the files."""
        if not self._opened or self._closed:
            return
        self._closed = True
        self._sync.close()
        if self._sync.error is not None:
            self._fail(self._sync.error)
        self._index.close()
        os.close(self._file)

    def _entry(self, place: Place, fingerprint: str) -> dict[str, Any] | None:
        """The answer's line at a place; None when it is damaged, or another's."""
        try:
            entry = decode(os.pread(self._file, place.size, place.at))
        except (OSError, ValueError, OverflowError, MemoryError):  # of a place that a damaged index has named
            return None
        return entry if entry is not None and entry.get("fp") == fingerprint else None

    def _append(self, *entries: tuple[Mapping[str, Any], bytes]) -> bool:
        """Write lines, together; whether that could be done."""
        if not entries:
            return True  # nothing to bring to the disk, either
        at = self._end
        try:
            self._write(b"".join(line for _, line in entries))
            self._sync.written(len(entries))
            for entry, line in entries:
                self._index.fold(entry, at, len(line))
                at += len(line)
            if self._sync.error is not None:
                raise self._sync.error
        except (OSError, sqlite3.Error) as error:
            self._fail(error)
            return False
        return True

    def _write(self, lines: bytes) -> None:
        """All of it, or nothing."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[system().write(self._file, rest) :]
        except OSError:
            self._take_back()
            raise
        self._end += len(lines)

    def _take_back(self) -> None:
        """What was written of lines that failed half-way; where that fails too, the next line comes behind it."""
        with suppress(OSError):
            system().truncate(self._file, self._end)
        self._end = os.fstat(self._file).st_size

    def _fail(self, error: OSError | sqlite3.Error) -> None:
        self._tell(_failure(self.path, error))

    def _tell(self, failure: OutputFailed) -> None:
        if not self._failed:
            self._failed = True
            self._on_failure(failure)


def _lined(entry: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
    return entry, encode(entry)


def _is_known(outcome: Outcome, state: RowState) -> bool:
    """Whether the journal has this end of this row already, so that a replay adds nothing to it."""
    if outcome.attempts:
        return False
    return state.seen <= state.done if outcome.ok else state.failed


def _failure(path: Path, error: OSError | sqlite3.Error) -> OutputFailed:
    reason = error.strerror if isinstance(error, OSError) else error
    hint = (
        "make room, then run the same command again" if _is_full(error) else "--state-dir DIR, or --no-store"
    )
    return OutputFailed(f"cannot keep the run in {str(path.parent)!r}: {reason}", hint=hint)


def _is_full(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"  # only errors of SQLite itself have it
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
