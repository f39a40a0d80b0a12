"""The queue without a server: what waits is in the store, and who asks for work looks there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llmx.clock import Signal, first_of
from llmx.jobs.queue import Run
from llmx.jobs.store import Store
from llmx.jobs.types import ShardRef

__all__ = ["EmbeddedQueue"]

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
        """See `Queue.consume`."""
        running: dict[ShardRef, asyncio.Task[None]] = {}
        try:
            while True:
                news = self._news.next()
                if len(running) < at_once:
                    for ref in await self._store.waiting(at_once + len(running)):
                        if ref not in running and len(running) < at_once:
                            running[ref] = asyncio.create_task(run(ref))
                await first_of(news, asyncio.sleep(LOOK), *_waits(running))
                running = {ref: task for ref, task in running.items() if not _ended(task)}
        finally:
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def aclose(self) -> None:
        """See `Queue.aclose`."""


def _waits(running: dict[ShardRef, asyncio.Task[None]]) -> list[asyncio.Task[None]]:
    """Tasks are futures: `first_of` leaves them to go on."""
    return list(running.values())


def _ended(task: asyncio.Task[None]) -> bool:
    """Whether it has; what it raised, which is our bug, is raised here."""
    if task.done():
        task.result()
    return task.done()
