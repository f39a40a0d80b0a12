"""The clock: every wait and every deadline goes through it, so that tests need not sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol

__all__ = ["Clock", "Signal", "SystemClock", "first_of"]


class Clock(Protocol):
    """Monotonic seconds, and a way to wait."""

    def now(self) -> float:
        """Seconds since an arbitrary start; never goes back, whatever the wall clock does."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after at least `seconds`; at once when it is 0 or less."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))


class Signal:
    """Something that happens now and then, for which whoever waits takes a future: cheaper than an event's task."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    def next(self) -> asyncio.Future[None]:
        """A future that is done as soon as it happens again."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    def happen(self) -> None:
        """It happens now."""
        if self._next is not None and not self._next.done():
            self._next.set_result(None)


async def first_of(*awaitables: Awaitable[object]) -> None:
    """Return when one of them has; the others are cancelled, but for futures, which are somebody else's."""
    futures = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future, given in zip(futures, awaitables, strict=True):
            if future is not given:
                future.cancel()
