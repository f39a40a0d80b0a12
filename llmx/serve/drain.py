"""Shutting down: no new work, what is in flight ends, streams are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from llmx.clock import Clock
from llmx.serve.problems import RETRY_LATER, Problem

__all__ = ["Drain"]


class Drain:
    """Whether the service takes work, and how much of it is under way.

    Attributes:
        begun: set once it takes none any more.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.begun = asyncio.Event()
        self._under_way = 0

    def begin(self) -> None:
        """Take no more work."""
        self.begun.set()

    @contextmanager
    def working(self) -> Iterator[None]:
        """A piece of work that is waited for. Raises Problem: none is taken any more."""
        if self.begun.is_set():
            raise Problem(503, "shutting_down", "the service is shutting down", retry_after=RETRY_LATER)
        with self.streaming():
            yield

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """A stream that ends soon after `begun` is set, and is waited for."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def ended(self, seconds: float) -> bool:
        """Wait until nothing is under way, for so many seconds at most; whether that came."""
        deadline = self._clock.now() + seconds
        while self._under_way and self._clock.now() < deadline:
            await self._clock.sleep(0.05)
        return not self._under_way
