"""Between the feed and the workers: rows that are made ready together, shortly before they are taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

__all__ = ["Ahead", "Done", "Given"]

Row = TypeVar("Row")
Ready = TypeVar("Ready")
Result = TypeVar("Result")

AHEAD = 256
"""Rows that are made ready together, at most: one look into a table on the disk for all of them."""


class Done(Struct, Generic[Result], frozen=True):
    """Rows that are done already, and follow each other."""

    results: list[Result]


class Given(Protocol[Row]):
    """Where rows come from."""

    async def take(self, most: int) -> list[Row]:
        """The next rows: one at least, `most` at most; none after the last."""
        ...

    def close(self) -> None:
        """No more are wanted."""
        ...


class Ahead(Generic[Row, Ready]):
    """Rows of a feed that are made ready together, shortly before they are taken, and while others are taken.

    Args:
        ready: takes rows in their order and gives what is made of each.
        most: rows at a time.
    """

    def __init__(
        self,
        feed: Given[Row],
        ready: Callable[[list[Row]], Awaitable[Sequence[Ready]]],
        *,
        most: int = AHEAD,
    ) -> None:
        self._feed = feed
        self._make_ready = ready
        self._most = most
        self._at_a_time = 1  # the first call should not wait for what later ones need
        self._ready: deque[Ready] = deque()
        self._filling: asyncio.Task[Sequence[Ready]] | None = None
        self._ended = False

    def at_once(self) -> Ready | None:
        """The next row, None when there is none without waiting."""
        return self._ready.popleft() if self._ready else None

    async def next(self) -> Ready | None:
        """The next row, None after the last. Raises what the reader raised, once."""
        while not self._ready:
            if self._ended:
                return None
            filling = self._filling = self._filling or asyncio.create_task(self._fill())
            await asyncio.wait([filling])
            if filling is self._filling:  # nobody else has been quicker
                self._take_over(filling)
        return self._ready.popleft()

    def _take_over(self, filling: asyncio.Task[Sequence[Ready]]) -> None:
        """What was made ready is there to be taken; the next rows are made ready meanwhile."""
        self._filling = None
        self._ended = True  # unless it turns out otherwise
        rows = filling.result()
        if rows:
            self._ended = False
            self._ready.extend(rows)
            self._filling = asyncio.create_task(self._fill())

    async def _fill(self) -> Sequence[Ready]:
        rows = await self._feed.take(self._at_a_time)
        self._at_a_time = min(2 * self._at_a_time, self._most)
        return await self._make_ready(rows) if rows else ()

    async def aclose(self) -> None:
        """Read no further."""
        self._feed.close()
        self._ended = True
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
