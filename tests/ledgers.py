"""Ledgers for tests in simulated time: the real SQLite file, without the thread, which time would not wait for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from llmx.errors import OutputFailed
from llmx.quotas.embedded import EmbeddedLedger
from llmx.quotas.ledger import Ask, Met, Slots

T = TypeVar("T")


class Books(EmbeddedLedger):
    """A ledger that answers at once, unless it is away.

    Attributes:
        away: as a Redis that nobody reaches.
        out_of_reach: workers that do not reach it, whoever else does.
        asked: questions so far.
        lost: answers that are to be lost on their way, the next first.
    """

    away = False
    asked = 0
    lost = 0

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._members: dict[str, float] = {}
        self.out_of_reach: set[str] = set()

    async def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.asked += 1
        if self.away:
            raise OutputFailed("the ledger is away", hint="wait")
        with self._transaction() as db:
            answer = work(db)
        if self.lost:
            self.lost -= 1
            raise OutputFailed("the answer was lost", hint="ask again")
        return answer

    def _reached(self, worker: str) -> None:
        if worker in self.out_of_reach:
            raise OutputFailed("the ledger is away for this worker", hint="wait")

    async def slots(self, name: str, ask: Ask) -> Slots:
        """As `Rates.slots`."""
        self._reached(ask.worker)
        return await super().slots(name, ask)

    async def meet(self, worker: str) -> Met:
        """As Redis does: with the names of all who have said within ten seconds that they are alive."""
        self._reached(worker)
        met = await super().meet(worker)
        self._members[worker] = met.now
        alive = sorted(name for name, at in self._members.items() if met.now - at <= 10)
        return Met(alive, met.now, met.held)
