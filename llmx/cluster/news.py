"""Who waits for a job to change hears of it from Redis at once: one subscription for all who wait in this process.

News are hints to look again. None is lost with a connection: whenever a subscription begins, everybody looks.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from redis.exceptions import ConnectionError, RedisError

from llmx.cancelling import cancellable
from llmx.clock import Signal
from llmx.cluster.connection import PREFIX, Connection

__all__ = ["News"]

SILENCE = 10.0
"""Seconds without a word after which the connection is asked whether it lives."""

PAUSE = 0.5
"""Seconds until a subscription that broke is made again."""


class News:
    """The names of jobs that have changed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waits: defaultdict[str, list[Signal]] = defaultdict(list)
        self._listener: asyncio.Task[None] | None = None

    @contextmanager
    def of(self, job: str) -> Iterator[Signal]:
        """A signal that happens with every change of a job."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())
        signal = Signal()
        self._waits[job].append(signal)
        try:
            yield signal
        finally:
            self._waits[job].remove(signal)
            if not self._waits[job]:
                del self._waits[job]

    async def _listen(self) -> None:
        while True:
            with suppress(RedisError, OSError):
                await self._subscription()
            await asyncio.sleep(PAUSE)

    async def _subscription(self) -> None:
        """Pass on what is said until the connection breaks. Raises RedisError, OSError."""
        async with self._connection.redis.pubsub() as channel:
            await cancellable(channel.subscribe(f"{PREFIX}:news"))
            asked = False
            while True:
                message = await cancellable(channel.get_message(timeout=SILENCE))
                if message is None and asked:
                    raise ConnectionError("silent")
                asked = message is None
                if message is None:
                    await cancellable(channel.ping())
                elif message["type"] == "subscribe":
                    self._happen(*self._waits)
                elif message["type"] == "message":
                    self._happen(message["data"].decode())

    def _happen(self, *jobs: str) -> None:
        for job in jobs:
            for signal in self._waits.get(job, ()):
                signal.happen()

    async def aclose(self) -> None:
        """End the subscription."""
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
