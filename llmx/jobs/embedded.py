"""The queue without a server: what waits is in the store, and who asks for work looks there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from llmx.clock import Signal, first_of
from llmx.errors import LlmxError
from llmx.jobs.hands import Hands
from llmx.jobs.queue import Run
from llmx.jobs.store import Store
from llmx.jobs.types import ShardRef

__all__ = ["EmbeddedQueue"]

log = logging.getLogger("llmx.worker")

LOOK = 2.0
"""Seconds after which the store is looked at again: for leases that have run out, and jobs of other processes."""


class EmbeddedQueue:
    """A `Queue` of the processes that share a store on this machine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = Signal()

    async def put(self, refs: Sequence[ShardRef]) -> None:
        """See `Queue.put`."""
        self._news.happen()

    async def consume(self, run: Run, at_once: int) -> None:
        """See `Queue.consume`; a store that fails is tried again."""
        hands = Hands(run, at_once)
        try:
            while True:
                news = self._news.next()
                if not hands.full:
                    hands.take(await self._waiting(hands.wanted))
                await first_of(news, asyncio.sleep(LOOK), *hands.runs)
                hands.let_go()
        finally:
            await asyncio.gather(*hands.runs, return_exceptions=True)

    async def _waiting(self, limit: int) -> Sequence[ShardRef]:
        try:
            return await self._store.waiting(limit)
        except LlmxError as error:
            log.warning("%s; shards under way go on", error)
            return ()

    async def aclose(self) -> None:
        """See `Queue.aclose`."""
