"""Where results wait for those before them, so that what was done at the same time comes out in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["HEAVY", "WINDOW", "Shelf"]

Result = TypeVar("Result")

HEAVY = 64 * 2**20
"""Bytes of results that may wait, for an earlier one or to be written: then no further row is begun."""

WINDOW = 1_000
"""Rows that may be under way or waiting for an earlier one, unless concurrency asks for more."""


class Shelf(Generic[Result]):
    """Where results wait for the rows before them; iterating it yields all that are ready, one at least.

    Args:
        ordered: whether they wait at all.
        window: rows that may have a place and not be yielded yet.
        weigh: of a result that waits.
    """

    def __init__(self, *, ordered: bool, window: int, weigh: Callable[[Result], int]) -> None:
        self._ordered = ordered
        self._window = window
        self._weigh = weigh
        self._weight = self._weight_ready = 0
        self._places = self._passed = 0
        self._taken = 0
        self._gone = 0
        self._held: dict[int, tuple[list[Result], int]] = {}
        self._ready: list[Result] = []
        self._changed = asyncio.Event()
        self._space = asyncio.Event()
        self._running = 0
        self._error: BaseException | None = None

    def place(self, rows: int = 1) -> int:
        """The next place, in the order in which rows were taken; for so many that are done together."""
        self._taken += rows
        self._places += 1
        return self._places - 1

    @property
    def has_room(self) -> bool:
        """Whether a row may be taken."""
        return self._taken - self._gone < self._window and self._weight < HEAVY

    async def room(self) -> None:
        """Return when a row may be taken."""
        while not self.has_room:
            self._space.clear()
            await self._space.wait()

    def put(self, place: int, results: list[Result]) -> None:
        """Fill a place with the results of its rows, or with none for a row that was not settled."""
        weight = sum(map(self._weigh, results))
        self._weight += weight
        self._held[place if self._ordered else self._passed] = results, weight
        while (held := self._held.pop(self._passed, None)) is not None:
            self._pass(*held)
        self._changed.set()

    def _pass(self, results: list[Result], weight: int) -> None:
        self._ready.extend(results)
        self._weight_ready += weight
        self._passed += 1
        if not results:
            self._gone += 1
            self._space.set()

    def waits_for(self, worker: asyncio.Task[None]) -> None:
        """The shelf ends when all workers have ended, or with the first error of one."""
        self._running += 1
        worker.add_done_callback(self._left)

    def _left(self, worker: asyncio.Task[None]) -> None:
        self._running -= 1
        if self._error is None:
            self._error = _end_of(worker)
        self._changed.set()

    def __aiter__(self) -> Shelf[Result]:
        return self

    async def __anext__(self) -> list[Result]:
        while not self._ready:
            if self._error is not None:
                raise self._error
            if not self._running:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        results, self._ready = self._ready, []
        self._gone += len(results)
        self._weight -= self._weight_ready
        self._weight_ready = 0
        self._space.set()
        return results


def _end_of(worker: asyncio.Task[None]) -> BaseException | None:
    """Why a worker failed. Cancelled by somebody else, it leaves a row unsettled: that must not pass for an end."""
    if worker.cancelled():
        return RuntimeError("a call was cancelled, but not by the run")
    return worker.exception()
