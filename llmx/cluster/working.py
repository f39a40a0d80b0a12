"""A worker as a process of its own: it takes shards of jobs from Redis and says that it is alive.

What it does with a shard is `llmx.jobs.worker`'s business, and signals are the command line's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from llmx.cluster.address import Address
from llmx.cluster.desk import open_redis_desk
from llmx.commons import Commons
from llmx.environment import Environment
from llmx.errors import OutputFailed
from llmx.events import Observer
from llmx.jobs.store import Store
from llmx.jobs.types import ShardRef
from llmx.jobs.worker import Worker

__all__ = ["ALIVE", "Working"]

ALIVE = 5.0
"""Seconds after which a worker says again that it is alive."""

_log = logging.getLogger("llmx.worker")


class Working:
    """A worker.

    Args:
        data: the folder that is shared.
        shards: how many are run at once.
        base, offered, env: see `Desk`.
        shared: what the runs of an owner have in common with others.
        observing: see `Desk`; None for nobody who observes.
        health: a file that is touched while the worker is alive, and removed at its end; None for none.
    """

    def __init__(
        self,
        address: Address,
        data: Path,
        shards: int,
        base: Mapping[str, Any],
        offered: Mapping[str, str],
        env: Environment,
        shared: Callable[[str], Commons | None] = lambda owner: None,
        observing: Callable[[ShardRef], AbstractContextManager[Observer | None]] | None = None,
        health: Path | None = None,
    ) -> None:
        self._address = address
        self._data = data
        self._shards = shards
        self._fields: dict[str, Any] = {"base": base, "offered": offered, "env": env}
        if observing is not None:
            self._fields["observing"] = observing
        self._shared = shared
        self._health = health
        self._worker: Worker | None = None
        self._draining = False

    async def run(self) -> None:
        """Run shards until `drain` is called; then return once those under way were given back.

        Raises:
            LlmxError: Redis or the folder is not what it should be.
        """
        async with open_redis_desk(self._address, self._data, **self._fields) as desk:
            worker = self._worker = Worker(desk, shared=self._shared)
            if self._draining:
                return
            telling = asyncio.create_task(self._tell(desk.store))
            _log.info(
                "%s takes %d shards at once from %s; files in %s",
                worker.name,
                self._shards,
                self._address,
                self._data,
            )
            try:
                await self._until_one_ends(worker, telling)
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
                self._gone()
            _log.info("%s has ended", worker.name)

    async def _until_one_ends(self, worker: Worker, telling: asyncio.Task[None]) -> None:
        """Work; where the health file cannot be written, end and raise."""
        working = asyncio.create_task(worker.run(self._shards))
        try:
            await asyncio.wait([working, telling], return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                worker.drain()
            await working
        except asyncio.CancelledError:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            raise
        if telling.done():
            telling.result()

    def drain(self) -> None:
        """Take no more shards, and give back those that are under way."""
        self._draining = True
        if self._worker is not None:
            _log.info(
                "%s ends; its shards, %d now, are given back when their calls in flight have ended",
                self._worker.name,
                self._worker.running,
            )
            self._worker.drain()

    async def _tell(self, store: Store) -> None:
        """Touch the health file now and then. Raises OutputFailed."""
        while self._health is not None:
            word = "ready" if await store.ready() else "redis is away"
            try:
                self._health.write_text(word + "\n", encoding="utf-8")
            except OSError as error:
                problem = f"cannot write {str(self._health)!r}: {error.strerror}"
                raise OutputFailed(problem, hint="--health-file PATH") from error
            await asyncio.sleep(ALIVE)
        await asyncio.Event().wait()

    def _gone(self) -> None:
        if self._health is not None:
            with suppress(OSError):
                self._health.unlink()
