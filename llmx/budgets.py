"""Named budgets: what all runs that name one may spend together in any 24 hours.

They are kept in an SQLite file that several processes use at once: one row for each budget and minute. What
a call may cost at most is reserved before it is sent and settled when it is over, so that a process that
dies in between leaves the reservation counted: the call may have been billed. What each process has reserved and
not settled stands in a row of its own, too: as long as it is alive, that will turn out to be less. Amounts are
integers: tokens, and nano-dollars rounded up.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from decimal import Decimal
from pathlib import Path

from msgspec import Struct

from llmx.budget_file import checked, connected, opened, telling

__all__ = ["ALIVE", "BudgetState", "Daily", "NamedBudget", "Reservation", "spent"]

WINDOW = 24 * 60
"""Minutes. The one that has partly left the last 24 hours counts too, and so do those ahead of the clock: one that is
put back must free nothing."""

KEPT = 7 * WINDOW
"""Minutes after which a row is deleted. Not at once, lest a clock that is ahead for a moment lose what counts."""

ALIVE = 15 * 60
"""Seconds after which a process that has neither reserved nor settled anything is expected to do so no more."""

NANO = 10**9

_SPENT = (
    "SELECT COALESCE(SUM(cost), 0), COALESCE(SUM(tokens), 0),"
    " MIN(CASE WHEN cost > 0 THEN minute END), MIN(CASE WHEN tokens > 0 THEN minute END)"
    " FROM spent WHERE budget = ? AND minute >= ?"
)
_ADD = (
    "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (budget, minute)"
    " DO UPDATE SET cost = cost + excluded.cost, tokens = tokens + excluded.tokens"
)
_CORRECT = "UPDATE spent SET cost = cost + ?, tokens = tokens + ? WHERE budget = ? AND minute = ?"
_HOLD = (
    "INSERT INTO held VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (budget, pid, owner)"
    " DO UPDATE SET cost = cost + excluded.cost, tokens = tokens + excluded.tokens, changed = excluded.changed"
)
_LET_GO = "UPDATE held SET cost = cost - ?, tokens = tokens - ?, changed = ? WHERE budget = ? AND pid = ? AND owner = ?"
_FORGET = "DELETE FROM held WHERE budget = ? AND pid = ? AND owner = ?"
_HELD = "SELECT pid, owner, cost, tokens FROM held WHERE budget = ? AND changed >= ? AND tokens + cost > 0"


class Daily(Struct, frozen=True):
    """The limits of a budget in any 24 hours.

    Args:
        cost: US dollars, from 0; None for no limit.
        tokens: input and output together, from 0; None for no limit.

    Raises:
        ValueError: there is no limit at all, or one is negative or no number.
    """

    cost: Decimal | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if self.cost is None and self.tokens is None:
            raise ValueError("a budget needs a limit of cost or tokens")
        _amounts(self.cost or Decimal(0), self.tokens or 0)

    def admit(self, nanos: int, tokens: int) -> bool:
        """Whether so much in 24 hours, in nano-dollars and tokens, is within the limits."""
        fits = self.cost is None or _dollars(nanos) <= self.cost
        return fits and (self.tokens is None or tokens <= self.tokens)

    def left(self, cost: Decimal, tokens: int) -> tuple[Decimal | None, int | None]:
        """What is left, from 0, of US dollars and tokens when so much was spent; None where there is no limit."""
        return (
            None if self.cost is None else max(Decimal(0), self.cost - cost),
            None if self.tokens is None else max(0, self.tokens - tokens),
        )


class Reservation(Struct, eq=False):
    """What `NamedBudget.reserve` has set aside.

    Args:
        minute: since the epoch, in which it counts.
        nanos: nano-dollars.
        tokens: input and output together.
        owner: the process, and which of its `NamedBudget`s.
        settled: whether it has been replaced by what was used.
    """

    minute: int
    nanos: int
    tokens: int
    owner: tuple[int, str]
    settled: bool = False


class BudgetState(Struct, frozen=True):
    """How a budget stands.

    Args:
        name: as in the config file.
        limits: those of the budget.
        cost, tokens: spent or reserved in the last 24 hours; they may exceed the limits, where a call used
            more than was reserved for it.
        held_cost, held_tokens: the part of it that running processes have reserved for calls in flight.
        frees_at: seconds since the epoch, when the oldest spending of a limited kind no longer counts; None when there is none.
    """

    name: str
    limits: Daily
    cost: Decimal = Decimal(0)
    tokens: int = 0
    held_cost: Decimal = Decimal(0)
    held_tokens: int = 0
    frees_at: float | None = None

    @property
    def left(self) -> tuple[Decimal | None, int | None]:
        """See `Daily.left`."""
        return self.limits.left(self.cost, self.tokens)


class NamedBudget:
    """One budget, open. Threads may share it; calls wait for each other, and for other processes.

    Args:
        path: of the file, made if it is not there: see `budget_file`.
        name: of the budget.
        limits: those that hold for this process; the file has none.
        now: seconds since the epoch.

    Raises:
        OutputFailed: the file cannot be used, is damaged or not ours. All methods raise it.
    """

    def __init__(self, path: Path, name: str, limits: Daily, *, now: Callable[[], float] = time.time) -> None:
        self._path, self._name, self._limits, self._now = path, name, limits, now
        self._lock = threading.Lock()
        self._owner = (os.getpid(), secrets.token_hex(4))  # a pid may come again
        self._aside = (0, 0)
        self._closed = False
        with telling(path):
            self._db = opened(path)
            try:
                self._forget_old(now())
                self._used = self._spent(now())
            except BaseException:
                self._db.close()
                raise

    @property
    def left(self) -> tuple[Decimal | None, int | None]:
        """US dollars and tokens that were left when this process reserved or settled last; None without a limit.

        Its own calls in flight are not counted.
        """
        nanos, tokens = (used - aside for used, aside in zip(self._used, self._aside, strict=True))
        return self._limits.left(_dollars(nanos), tokens)

    def reserve(self, cost: Decimal, tokens: int) -> Reservation | None:
        """Count so much as spent, now; None when it would exceed a limit.

        Args:
            cost: US dollars, the most that the call may cost, from 0.
            tokens: the most that it may use, from 0.

        Raises:
            ValueError: an amount is negative or no number.
        """
        nanos, tokens = _amounts(cost, tokens)
        with self._transaction() as db:
            moment = self._now()  # not before: the file may have been waited for
            minute = _minute(moment)
            self._used = used, used_tokens = self._spent(moment)
            if not self._limits.admit(used + nanos, used_tokens + tokens):
                return None
            db.execute(_ADD, (self._name, minute, nanos, tokens))
            db.execute(_HOLD, (self._name, *self._owner, int(moment), nanos, tokens))
        self._used = (used + nanos, used_tokens + tokens)
        self._aside = (self._aside[0] + nanos, self._aside[1] + tokens)
        return Reservation(minute, nanos, tokens, self._owner)

    def may_yet(self, cost: Decimal, tokens: int) -> bool:
        """Whether so much would fit if the calls in flight of other processes cost nothing.

        Args:
            cost, tokens: as for `reserve`.
        """
        nanos, tokens = _amounts(cost, tokens)
        with self._lock, telling(self._path):
            moment = self._now()
            used, used_tokens = self._spent(moment)
            held, held_tokens = _held(self._db, self._name, moment, besides=self._owner)
        others = held + held_tokens > 0
        return others and self._limits.admit(used - held + nanos, used_tokens - held_tokens + tokens)

    def settle(self, reservation: Reservation, cost: Decimal, tokens: int) -> None:
        """Count what was used instead of what was reserved, in the reservation's minute; the first time only.

        Args:
            reservation: one of this budget, from whatever `NamedBudget`.
            cost: US dollars, from 0; more than was reserved counts too, as it was spent.
            tokens: likewise.

        Raises:
            ValueError: an amount is negative or no number.
        """
        nanos, tokens = _amounts(cost, tokens)
        with self._transaction() as db:
            if reservation.settled:
                return
            change = nanos - reservation.nanos, tokens - reservation.tokens
            db.execute(_CORRECT, (*change, self._name, reservation.minute))
            aside = (reservation.nanos, reservation.tokens, int(self._now()))
            db.execute(_LET_GO, (*aside, self._name, *reservation.owner))
        self._used = (self._used[0] + change[0], self._used[1] + change[1])
        if reservation.owner == self._owner:
            self._aside = (self._aside[0] - reservation.nanos, self._aside[1] - reservation.tokens)
        reservation.settled = True

    def state(self) -> BudgetState:
        """How it stands now, reservations included."""
        with self._lock, telling(self._path):
            return _state(self._db, self._name, self._limits, self._now())

    def close(self) -> None:
        """Let go of the file. What is reserved and not settled stays counted."""
        with self._lock, telling(self._path), closing(self._db) as db:
            if not self._closed:
                self._closed = True
                with suppress(sqlite3.Error):  # as good: nobody waits for a process that has ended
                    db.execute(_FORGET, (self._name, *self._owner))

    def _forget_old(self, moment: float) -> None:
        self._db.execute("DELETE FROM spent WHERE minute < ?", (_minute(moment) - KEPT,))
        self._db.execute("DELETE FROM held WHERE changed < ?", (int(moment) - KEPT * 60,))

    def _spent(self, moment: float) -> tuple[int, int]:
        """Nano-dollars and tokens."""
        nanos, tokens, *_ = self._db.execute(_SPENT, (self._name, _minute(moment) - WINDOW)).fetchone()
        return nanos, tokens

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


def spent(path: Path, budgets: Mapping[str, Daily], now: float) -> list[BudgetState]:
    """How budgets stand, in their order; makes no file.

    Args:
        path: of a file that need not be there: then nothing has been spent.
        budgets: limits by name.
        now: seconds since the epoch.

    Raises:
        OutputFailed: as `NamedBudget`.
    """
    with telling(path):
        if os.path.lexists(path):
            with closing(connected(path)) as db:
                if checked(db):
                    return [_state(db, name, limits, now) for name, limits in budgets.items()]
    return [BudgetState(name, limits) for name, limits in budgets.items()]


def _state(db: sqlite3.Connection, name: str, limits: Daily, now: float) -> BudgetState:
    nanos, tokens, *oldest = db.execute(_SPENT, (name, _minute(now) - WINDOW)).fetchone()
    held, held_tokens = _held(db, name, now)
    kinds = zip((limits.cost, limits.tokens), oldest, strict=True)
    leaving = [minute for limit, minute in kinds if limit is not None and minute is not None]
    frees_at = (min(leaving) + WINDOW + 1) * 60.0 if leaving else None
    return BudgetState(name, limits, _dollars(nanos), tokens, _dollars(held), held_tokens, frees_at)


def _held(
    db: sqlite3.Connection, name: str, now: float, *, besides: tuple[int, str] | None = None
) -> tuple[int, int]:
    """Nano-dollars and tokens that processes have reserved, and will settle for they are alive."""
    rows = db.execute(_HELD, (name, int(now) - ALIVE)).fetchall()
    alive = [amounts for pid, owner, *amounts in rows if (pid, owner) != besides and _is_alive(pid)]
    return sum(cost for cost, _ in alive), sum(tokens for _, tokens in alive)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        return True
    return pid > 0


def _minute(now: float) -> int:
    return int(now // 60)


def _amounts(cost: Decimal, tokens: int) -> tuple[int, int]:
    """Nano-dollars, rounded up, and tokens. Raises ValueError."""
    if not cost.is_finite() or cost < 0 or tokens < 0:
        raise ValueError(f"cost and tokens are 0 or more, got {cost} and {tokens}")
    part, whole = cost.as_integer_ratio()  # Decimal's own arithmetic rounds at 28 digits
    return -(-part * NANO // whole), tokens


def _dollars(nanos: int) -> Decimal:
    return Decimal(nanos).scaleb(-9)
