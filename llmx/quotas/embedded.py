"""A ledger in an SQLite file, for processes of one machine.

Every transaction is made in a thread beside the event loop. Budgets go by the wall clock, which outlives the machine's
restart; rates by the monotonic one, which all processes of a machine share, and which no correction of the time moves.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from llmx.budget_file import opened, telling
from llmx.detached import in_thread
from llmx.layers.budget import Amount
from llmx.quotas.keys import KeyLimits
from llmx.quotas.ledger import (
    ALIVE,
    CELL,
    DAY,
    KEPT,
    NONE,
    WANTED,
    Ask,
    Balance,
    Lent,
    Measure,
    Met,
    Refusal,
    Report,
    Slots,
    balance,
    does_not_fit,
)
from llmx.quotas.slots import ACTIVE, Pace, given

__all__ = ["EmbeddedLedger", "admitted"]

T = TypeVar("T")

_WHOLE = "INTEGER NOT NULL CHECK (typeof({0}) = 'integer')"
_COST, _TOKENS = "cost " + _WHOLE.format("cost"), "tokens " + _WHOLE.format("tokens")
_TABLES = (
    f"spent (budget TEXT NOT NULL, cell INTEGER NOT NULL, {_COST}, {_TOKENS}, PRIMARY KEY (budget, cell)) WITHOUT ROWID",
    "lent (budget TEXT NOT NULL, owner TEXT NOT NULL, changed REAL NOT NULL, used_cost INTEGER NOT NULL,"
    f" used_tokens INTEGER NOT NULL, {_COST}, {_TOKENS}, PRIMARY KEY (budget, owner)) WITHOUT ROWID",
    "wanted (budget TEXT PRIMARY KEY, owner TEXT NOT NULL, moment REAL NOT NULL) WITHOUT ROWID",
    "rates (name TEXT PRIMARY KEY, next REAL NOT NULL, largest REAL NOT NULL, largest_at REAL NOT NULL,"
    " at REAL NOT NULL) WITHOUT ROWID",
    "askers (name TEXT NOT NULL, worker TEXT NOT NULL, moment REAL NOT NULL, PRIMARY KEY (name, worker)) WITHOUT ROWID",
    "pauses (account TEXT PRIMARY KEY, said REAL NOT NULL, ends REAL NOT NULL) WITHOUT ROWID",
)

_SPENT = (
    "SELECT COALESCE(SUM(cost), 0), COALESCE(SUM(tokens), 0),"
    " MIN(CASE WHEN cost > 0 THEN cell END), MIN(CASE WHEN tokens > 0 THEN cell END)"
    " FROM spent WHERE budget = ? AND cell >= ?"
)
_LENT = (
    "SELECT COALESCE(SUM(cost), 0), COALESCE(SUM(tokens), 0) FROM lent"
    " WHERE budget = ? AND owner != ? AND changed >= ?"
)
_ADD = (
    "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (budget, cell)"
    " DO UPDATE SET cost = cost + excluded.cost, tokens = tokens + excluded.tokens"
)


class _State(Struct, frozen=True):
    """One budget, as its rows have it.

    Args:
        spent: in the window.
        held: lent to others, by whoever has said something within the window.
        alive: the part of it that may come back.
        oldest: cells of the oldest spending, of dollars and of tokens.
    """

    spent: Measure
    held: Measure
    alive: Measure
    oldest: tuple[int | None, int | None]


class EmbeddedLedger:
    """See the module; a `Ledger` and `Rates`.

    Args:
        path: of the file, made if it is not there, readable for its owner alone.
        now: seconds since the epoch.
        monotonic: seconds that never go back, the same for all processes.

    Raises:
        OutputFailed: the file cannot be used, is damaged or not ours. All methods raise it.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._now, self._monotonic = path, now, monotonic
        self._lock = threading.Lock()
        with telling(path):
            self._db = opened(path, _TABLES)
            self._db.execute("DELETE FROM spent WHERE cell < ?", (_cell(now() - KEPT),))
            self._db.execute("DELETE FROM lent WHERE changed < ?", (now() - KEPT,))

    async def lend(self, key: str, limits: KeyLimits, report: Report) -> Lent:
        """See `Ledger.lend`."""
        return await self._done(lambda db: self._lend(db, key, limits, report))

    async def standing(self, key: str, limits: KeyLimits) -> Balance:
        """See `Ledger.standing`."""
        return await self._done(lambda db: _balance(limits, _state(db, key, "", self._now())))

    async def fits(self, key: str, limits: KeyLimits, estimate: Amount) -> Refusal | None:
        """See `Ledger.fits`."""
        return does_not_fit(limits, estimate, await self.standing(key, limits))

    async def slots(self, name: str, ask: Ask) -> Slots:
        """See `Rates.slots`."""
        return await self._done(lambda db: self._slots(db, name, ask))

    async def meet(self, worker: str) -> Met:
        """See `Rates.meet`; nobody needs to know of others where the file cannot go away."""
        return await self._done(lambda db: self._met(db))

    async def pause(self, account: str, seconds: float) -> None:
        """See `Rates.pause`."""
        await self._done(lambda db: self._pause(db, account, seconds))

    async def aclose(self) -> None:
        """Let go of the file."""
        with self._lock, telling(self._path):
            self._db.close()

    async def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            with self._transaction() as db:
                return work(db)

        return await asyncio.wrap_future(in_thread(transaction))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and nobody else's in between."""
        with self._lock, telling(self._path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _lend(self, db: sqlite3.Connection, key: str, limits: KeyLimits, report: Report) -> Lent:
        now = self._now()  # not before: the file may have been waited for
        _count(db, key, report, now)
        state = _state(db, key, report.owner, now)
        taken = state.spent + state.held + report.holds
        lent = admitted(limits, taken, report)
        holds = report.holds + lent
        row = (key, report.owner, now, report.used.nanos, report.used.tokens, holds.nanos, holds.tokens)
        db.execute("INSERT OR REPLACE INTO lent VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        if report.least and not lent:
            db.execute("INSERT OR REPLACE INTO wanted VALUES (?, ?, ?)", (key, report.owner, now))
        own = state.held + holds
        after = _State(state.spent, own, state.alive + holds, state.oldest)
        return Lent(lent, bool(state.alive), _is_wanted(db, key, report.owner, now), _balance(limits, after))

    def _slots(self, db: sqlite3.Connection, name: str, ask: Ask) -> Slots:
        now = self._monotonic()
        row = db.execute("SELECT next, largest, largest_at, at FROM rates WHERE name = ?", (name,)).fetchone()
        slots, pace = given(Pace(*row) if row else Pace(), ask, _askers(db, name, ask.worker, now), now)
        moments = (pace.next, pace.largest, pace.largest_at, pace.at)
        db.execute("INSERT OR REPLACE INTO rates VALUES (?, ?, ?, ?, ?)", (name, *moments))
        db.execute("INSERT OR REPLACE INTO askers VALUES (?, ?, ?)", (name, ask.worker, pace.next))
        return replace(slots, held=_pauses(db, now).get(ask.account, 0.0))

    def _pause(self, db: sqlite3.Connection, account: str, seconds: float) -> None:
        now = self._monotonic()
        if seconds > _pauses(db, now).get(account, 0.0):
            db.execute("INSERT OR REPLACE INTO pauses VALUES (?, ?, ?)", (account, now, now + seconds))

    def _met(self, db: sqlite3.Connection) -> Met:
        now = self._monotonic()
        return Met((), now, _pauses(db, now))


def _count(db: sqlite3.Connection, key: str, report: Report, now: float) -> None:
    """Enter what a process has used since it said so last."""
    row = db.execute(
        "SELECT used_cost, used_tokens FROM lent WHERE budget = ? AND owner = ?", (key, report.owner)
    ).fetchone()
    more = report.used - (Measure(*row) if row else NONE)
    if more.nanos > 0 or more.tokens > 0:
        db.execute(_ADD, (key, _cell(now), max(0, more.nanos), max(0, more.tokens)))


def _state(db: sqlite3.Connection, key: str, owner: str, now: float) -> _State:
    """How a budget stands without what `owner` holds."""
    nanos, tokens, *oldest = db.execute(_SPENT, (key, _cell(now - DAY))).fetchone()
    held = Measure(*db.execute(_LENT, (key, owner, now - DAY - CELL)).fetchone())
    alive = Measure(*db.execute(_LENT, (key, owner, now - ALIVE)).fetchone())
    return _State(Measure(nanos, tokens), held, alive, (oldest[0], oldest[1]))


def _is_wanted(db: sqlite3.Connection, key: str, owner: str, now: float) -> bool:
    """Whether somebody else could not be lent enough a moment ago."""
    ask = "SELECT 1 FROM wanted WHERE budget = ? AND owner != ? AND moment BETWEEN ? AND ?"
    return db.execute(ask, (key, owner, now - WANTED, now)).fetchone() is not None


def _pauses(db: sqlite3.Connection, now: float) -> dict[str, float]:
    # What was said later than now was said before the machine started.
    rows = db.execute("SELECT account, ends FROM pauses WHERE said <= ? AND ends > ?", (now, now))
    return {account: ends - now for account, ends in rows}


def _askers(db: sqlite3.Connection, name: str, worker: str, now: float) -> int:
    """Processes that share a rate: until some time after the last of their slots."""
    db.execute("DELETE FROM askers WHERE name = ? AND moment < ?", (name, now - ACTIVE))
    others = "SELECT COUNT(*) FROM askers WHERE name = ? AND worker != ?"
    return 1 + int(db.execute(others, (name, worker)).fetchone()[0])


def admitted(limits: KeyLimits, taken: Measure, report: Report) -> Measure:
    """What a process is lent: what it wants, or the least of it, or nothing."""
    for amount in (report.wants, report.least):
        if amount and _is_within(limits, taken + amount):
            return amount
    return NONE


def _is_within(limits: KeyLimits, taken: Measure) -> bool:
    daily = limits.daily
    return daily is None or daily.admit(taken.nanos, taken.tokens)


def _balance(limits: KeyLimits, state: _State) -> Balance:
    return balance(limits, state.spent + state.held, state.alive, state.oldest)


def _cell(moment: float) -> int:
    return math.floor(moment / CELL)
