"""The queue of shards that workers on many machines share: what waits is in the store, and a list in Redis wakes who sleeps.

Whatever makes a shard wait (a new job, a worker that shuts down, a job that is resumed) puts a word into the list within the
same step, so that none is lost between the two; a word that is lost delays, for everybody looks anyway after some seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import cast

from llmx.clock import first_of
from llmx.cluster.connection import PREFIX, Connection
from llmx.cluster.store import RedisStore
from llmx.errors import QueueAway
from llmx.jobs.hands import Hands
from llmx.jobs.queue import Run
from llmx.jobs.types import ShardRef

__all__ = ["RedisQueue"]

LOOK = 3.0
"""Seconds after which a worker that sleeps looks for leases that have run out, of which nobody is told."""

PAUSE = 1.0
"""Seconds until Redis is tried again, which was away."""

_log = logging.getLogger(__name__)


class RedisQueue:
    """A `Queue` over the store's own record of what waits."""

    def __init__(self, store: RedisStore, connection: Connection) -> None:
        self._store = store
        self._connection = connection
        self._away = False

    async def put(self, refs: Sequence[ShardRef]) -> None:
        """See `Queue.put`."""
        await self._connection.run("wake", len(refs))

    async def consume(self, run: Run, at_once: int) -> None:
        """See `Queue.consume`; a Redis that is away is waited for."""
        hands = Hands(run, at_once)
        try:
            while True:
                if not hands.full:
                    hands.take(await self._waiting(hands.wanted))
                sleep = () if hands.full else (self._woken(),)
                await first_of(*sleep, *hands.runs)
                hands.let_go()
        finally:
            await asyncio.gather(*hands.runs, return_exceptions=True)

    async def _waiting(self, limit: int) -> Sequence[ShardRef]:
        try:
            found = await self._store.waiting(limit)
        except QueueAway as error:
            if not self._away:
                _log.warning("%s; shards under way go on", error)
            self._away = True
            return ()
        if self._away:
            _log.warning("redis is back")
        self._away = False
        return found

    async def _woken(self) -> None:
        """Return when something waits, or might."""
        if self._away:
            await asyncio.sleep(PAUSE)
            return
        with suppress(QueueAway):
            await self._connection.patiently(self._word, 0.0)
            return
        await asyncio.sleep(PAUSE)

    def _word(self) -> Awaitable[object]:
        """Sleep on the server until somebody is to be woken."""
        return cast(Awaitable[object], self._connection.redis.blpop([f"{PREFIX}:wake"], LOOK))

    async def aclose(self) -> None:
        """See `Queue.aclose`."""
