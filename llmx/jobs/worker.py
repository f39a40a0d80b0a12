"""A worker: takes shards from the queue, runs them, and tells the store how far they are.

It may be killed at any instant; its shards are then another's when their leases have run out. One that is told to end gives
them back at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress

from llmx.clock import Clock, SystemClock
from llmx.commons import Commons
from llmx.errors import LlmxError
from llmx.jobs.desk import Desk
from llmx.jobs.fence import Cancelled, Fenced, HandedOver, LeaseLost
from llmx.jobs.shard import progress_of, run_shard
from llmx.jobs.store import LEASE
from llmx.jobs.types import Finished, Lease, ShardRef
from llmx.report.summary import Figures

__all__ = ["Worker", "worker_name"]

log = logging.getLogger("llmx.worker")

RENEWED, BEAT = 3, 1.0
"""How often a lease is renewed while it lasts, at least; and the seconds after which it is in any case: readers want to see how
far a job is, and a job that is cancelled should end soon."""


def worker_name() -> str:
    """A name that no other worker has, and that tells a person where it is."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


class Worker:
    """Runs shards, several at a time, on one event loop.

    Args:
        lease: seconds after which its shards are another's, if it is not heard of.
        shared: what the runs of an owner have in common with others, None for nothing.
    """

    def __init__(
        self,
        desk: Desk,
        name: str | None = None,
        *,
        clock: Clock | None = None,
        lease: float = LEASE,
        shared: Callable[[str], Commons | None] = lambda owner: None,
    ) -> None:
        self.name = name or worker_name()
        self._desk = desk
        self._clock = clock or SystemClock()
        self._lease = lease
        self._shared = shared
        self._stops: set[Fenced] = set()
        self._draining = asyncio.Event()

    @property
    def running(self) -> int:
        """Shards that are under way."""
        return len(self._stops)

    async def run(self, at_once: int) -> None:
        """Take shards until `drain` is called; returns when those under way have been given back.

        What the queue raises, which is our bug, is raised here; then it may be called again.
        """
        consuming = asyncio.create_task(self._desk.queue.consume(self._take, at_once))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait([consuming, draining], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.drain()
            raise
        finally:
            self._hand_over()
            draining.cancel()
            if not consuming.done():
                consuming.cancel()
            with suppress(asyncio.CancelledError):
                await consuming

    def drain(self) -> None:
        """Take no more shards, and give those back that are under way; their calls in flight are waited for."""
        self._draining.set()
        self._hand_over()

    def _hand_over(self) -> None:
        for stop in list(self._stops):
            stop.set(HandedOver("the worker shuts down"))

    async def _take(self, ref: ShardRef) -> None:
        """Claim a shard and run it; returns at once where it is not to be had."""
        if self._draining.is_set():
            return
        asked = self._clock.now()
        lease = await self._desk.store.claim(ref, self.name, self._lease)
        if lease is None:
            return
        log.info("shard %d of %s begins, epoch %d", ref.number, ref.job, lease.epoch)
        figures = Figures(self._clock)
        stop = Fenced(self._clock, asked + self._lease, figures.stopped)
        self._stops.add(stop)
        if self._draining.is_set():
            stop.set(HandedOver("the worker shuts down"))
        keeping = asyncio.create_task(self._keep(lease, figures, stop))
        try:
            finished = await self._run(lease, figures, stop)
        finally:
            self._stops.discard(stop)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await self._end(lease, finished)

    async def _run(self, lease: Lease, figures: Figures, stop: Fenced) -> Finished | None:
        def say(text: str) -> None:
            log.info("shard %d of %s: %s", lease.ref.number, lease.ref.job, text)

        try:
            return await run_shard(
                self._desk, lease, figures, stop, self._clock, say, self._shared(lease.job.owner)
            )
        except (
            Exception
        ) as error:  # our bug: it must not take the worker with it, and its reader wants the traceback
            log.exception("shard %d of %s failed", lease.ref.number, lease.ref.job)
            why = f"internal error: {type(error).__name__}"
            return Finished(False, progress_of(lease.shard.progress, figures), why, again=True)

    async def _keep(self, lease: Lease, figures: Figures, stop: Fenced) -> None:
        """Renew the lease for as long as the run goes on, and throw its switch when it is another's or nobody's."""
        while True:
            await self._clock.sleep(min(BEAT, self._lease / RENEWED))
            asked = self._clock.now()
            try:
                standing = await self._desk.store.renew(lease, progress_of(lease.shard.progress, figures))
            except LlmxError as error:  # until the lease has run out there is time to try again
                log.warning("cannot renew the lease of shard %d of %s: %s", *_named(lease), error)
                continue
            if standing == "held":
                stop.hold(asked + self._lease)
            elif stop.reason is None:
                lost = standing == "lost"
                stop.set(
                    LeaseLost("the shard is another worker's") if lost else Cancelled("the job has ended")
                )

    async def _end(self, lease: Lease, finished: Finished | None) -> None:
        """Tell the store; what is to be run once more goes back to the queue."""
        if finished is None:
            log.warning("shard %d of %s was lost to another worker", *_named(lease))
            return
        if not await self._desk.store.finish(lease, finished):
            log.warning("shard %d of %s had been given to another worker", *_named(lease))
            return
        log.info("shard %d of %s ends: %s", *_named(lease), _said(finished))
        if finished.again:
            await self._desk.queue.put([lease.ref])


def _named(lease: Lease) -> tuple[int, str]:
    return lease.ref.number, lease.ref.job


def _said(finished: Finished) -> str:
    if finished.complete:
        return "complete"
    return finished.reason or "handed over"
