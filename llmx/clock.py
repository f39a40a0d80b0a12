"""The clock: every wait and every deadline goes through it, so that tests need not sleep."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


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
