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
from llmx.errors import LlmxError, QueueAway
from llmx.jobs.queue import Run
from llmx.jobs.types import ShardRef

__all__ = ["RedisQueue"]

LOOK = 3.0
"""Seconds after which a worker that sleeps looks for leases that have run out, of which nobody is told."""

PAUSE = 1.0
"""Seconds until a shard is tried again that was not to be had, and until Redis is, which was away."""

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
        hands = _Hands(run, at_once)
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


class _Hands:
    """The shards that this process runs."""

    def __init__(self, run: Run, at_once: int) -> None:
        self._run = run
        self._at_once = at_once
        self._running: dict[ShardRef, asyncio.Task[None]] = {}
        self._begun: dict[ShardRef, float] = {}

    @property
    def full(self) -> bool:
        """Whether no more can be run."""
        return len(self._running) >= self._at_once

    @property
    def wanted(self) -> int:
        """How many to look at: among them may be those that are under way, or were not to be had."""
        return self._at_once + len(self._begun)

    @property
    def runs(self) -> list[asyncio.Task[None]]:
        """What is under way."""
        return list(self._running.values())

    def take(self, refs: Sequence[ShardRef]) -> None:
        """Begin to run these, as far as there is room; not those that were tried just now."""
        now = asyncio.get_running_loop().time()
        self._begun = {
            ref: then for ref, then in self._begun.items() if ref in self._running or now < then + PAUSE
        }
        for ref in refs:
            if not self.full and ref not in self._begun:
                self._begun[ref] = now
                self._running[ref] = cast("asyncio.Task[None]", asyncio.ensure_future(self._run(ref)))

    def let_go(self) -> None:
        """Forget those that have ended; what one of them raised, if it is our bug, is raised here."""
        for ref, task in list(self._running.items()):
            if task.done():
                del self._running[ref]
                try:
                    task.result()
                except LlmxError as error:  # its lease runs out, and another worker goes on with it
                    _log.warning("shard %d of %s: %s", ref.number, ref.job, error)
