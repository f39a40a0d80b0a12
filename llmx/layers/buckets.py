"""Requests and tokens per minute as small leaky buckets (aiolimiter's), so that every window holds the limit.

A bucket a minute wide lets almost twice the limit through in its first minute, and a whole minute's worth
at once; these hold what a few hundredths of a second are worth.
"""

from __future__ import annotations

import asyncio
import math

from aiolimiter import AsyncLimiter

__all__ = ["MARGIN", "RequestBucket", "TokenBucket"]

WINDOW = 61.0
"""Seconds in which a limit per minute is held. The second beyond the minute is for the network's jitter, and for
servers that hold a limit per minute in each second ("60,000 requests/minute may be enforced as 1,000
requests/second", OpenAI, rate limits guide): an even pace at 98.4 % of the limit stays within those, too."""

CATCH_UP = 0.01
"""Seconds by which a request may be late without its place being lost: what timers are late by."""

TOKEN_BURST = 0.1
"""Seconds' worth of a token limit that may be used at once."""

MARGIN = 1.25
"""Times the size of the largest row, that room is left for: not every larger one makes a new pace."""

LIKE = 0.9
"""Of the room that is left for rows: a pace that is hardly another one stays."""


class RequestBucket:
    """Requests per minute.

    In any half-open window of T seconds a bucket of capacity C and rate R admits less than C + R*T plus
    the one that opens the window. Requests are whole, so with R = (limit - C + 1) / WINDOW that is less
    than limit + 1, which is limit.

    Args:
        rpm: at least 1; a fraction of a request is of no use.
        full: it follows on another, what that one has let through still counts.
        before: requests that were let through when nobody knew of it, less what it would have let through by now.
    """

    def __init__(self, rpm: float, *, full: bool = False, before: float = 0.0) -> None:
        self.limit = math.floor(rpm)
        self.capacity = 1.0 + self.limit / 60 * CATCH_UP
        self._limiter = AsyncLimiter(self.capacity, self.capacity * WINDOW / (self.limit - self.capacity + 1))
        self._owed = max(self.capacity if full else 0.0, before)

    def ready(self) -> bool:
        """Whether a place is free now."""
        return not self._owed and self._limiter.has_capacity(1)

    async def pay(self) -> bool:
        """Wait for a part of what is owed; whether there was any."""
        if not self._owed:
            return False
        portion = min(self._owed, self.capacity)
        await self._limiter.acquire(portion)
        self._owed -= portion
        return True

    async def acquire(self) -> None:
        """Wait for a place in the minute."""
        while await self.pay():
            pass
        await self._limiter.acquire(1)


class TokenBucket:
    """Tokens per minute; larger rows are taken in bucketfuls.

    A row's tokens are taken before it is sent, so what is sent within a window may have been taken before
    it: at most the first row. With R = (limit - C - largest row) / WINDOW no window holds more than the
    limit, as long as no row is more than half of it; with one that is, the pace is half the limit. A row that left
    a window ago counts no more.

    Args:
        tpm: above 2.
        full: see `RequestBucket`.
        largest: tokens of the largest row that is known: one that was let through by the bucket before may leave now.
    """

    def __init__(self, tpm: float, *, full: bool = False, largest: float = 0.0) -> None:
        self.limit = tpm
        self.capacity = max(1.0, tpm / 60 * TOKEN_BURST)
        self.largest = max(largest, self.capacity)
        self._limiter = self._paced()
        self._full = full
        self._since: float | None = None
        self._since_then = 0.0

    def _paced(self) -> AsyncLimiter:
        room = max(self.limit - self.capacity - self.largest, self.limit / 2)
        return AsyncLimiter(self.capacity, self.capacity * WINDOW / room)

    def _let_through(self, size: float) -> None:
        """Note a row that leaves now; one that left a window ago needs no room any more."""
        now = asyncio.get_running_loop().time()  # aiolimiter's clock
        if self._since is None or size * MARGIN >= self.largest:
            self._since, self._since_then = now, 0.0
            return
        self._since_then = max(self._since_then, size)
        if now - self._since > WINDOW:
            self._resize(max(self.capacity, self._since_then * MARGIN))
            self._since, self._since_then = now, 0.0

    def _resize(self, largest: float) -> None:
        """Leave room for rows of another size, or not even nearly the same."""
        if not LIKE * self.largest < largest <= self.largest:
            self.largest = largest
            self._limiter = self._paced()
            self._full = True

    def ready(self, amount: float) -> bool:
        """Whether `amount` tokens would be let through now."""
        return not self._full and self._limiter.has_capacity(amount)

    async def acquire(self, amount: float, *, row: float | None = None) -> None:
        """Wait until `amount` tokens have been let through.

        Args:
            row: those of them that are yet to be sent, None for all; what earlier rows owe has been.
        """
        size = amount if row is None else min(row, amount)
        if size > self.largest:
            self._resize(size * MARGIN)
        if self._full:
            await self._limiter.acquire(self.capacity)
            self._full = False
        while amount > 0:
            portion = min(amount, self.capacity)
            await self._limiter.acquire(portion)
            amount -= portion
        self._let_through(size)
