"""The store of jobs in Redis, which many machines share.

A step reads what it is about, applies the rules that all stores have in common (`llmx.jobs.rules`), and commits what they
say by a script that refuses if the job has been written to in the meantime; then the step begins anew. So there is one
set of rules, and every change is one atomic step of the server, whose clock is the only one that counts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from hashlib import sha256

import msgspec

from llmx.clock import first_of
from llmx.cluster.connection import Connection, token
from llmx.cluster.news import News
from llmx.cluster.records import (
    Found,
    event_document,
    event_of,
    found_of,
    job_document,
    job_of,
    ref_of,
    shard_documents,
    with_figures,
)
from llmx.errors import QueueAway
from llmx.jobs import rules
from llmx.jobs.rules import Change
from llmx.jobs.store import LEASE, Conflict
from llmx.jobs.types import Event, Finished, Job, JobState, Lease, Progress, Shard, ShardRef, Standing

__all__ = ["RedisStore"]

LOOK = 10.0
"""Seconds after which somebody who waits for a change looks anyway: news may be lost with a machine in between."""

Rule = Callable[[Found], Change | None]


class RedisStore:
    """A `Store` in Redis. Every method raises QueueAway where Redis is not there or takes nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._news = News(connection)

    async def _step(self, job: str, number: int | str | None, rule: Rule) -> tuple[Job, Change | None] | None:
        """Read, apply a rule, commit; again while others are faster.

        Args:
            number: of the shard that it is about, "all", or None for none.

        Returns:
            The job as it is now and what the rule has said; None when there is no such job.
        """
        tries = 0
        while (found := await self._read(job, number)) is not None:
            change = rule(found)
            if change is None or (change.job is found.job and not change.shards):
                return found.job, change
            now, unknown, spent = with_figures(found, change)
            written = await self._connection.run(
                "commit",
                token(),
                found.revision,
                job_document(now, unknown, spent),
                shard_documents(change.shards),
                event_document(change.event),
            )
            if written:
                return now, change
            tries += 1
            await asyncio.sleep(random.random() * min(0.05, 0.001 * tries))  # noqa: S311  so that many do not meet again
        return None

    async def _read(self, job: str, number: int | str | None) -> Found | None:
        reply = await self._connection.run("read", job, *(() if number is None else (number,)))
        return None if reply is None else found_of(reply)

    async def create(
        self, job: Job, shards: Sequence[Shard], idempotency: tuple[str, str] | None = None
    ) -> Job:
        """See `Jobs.create`."""
        key, digest = (_key(job.owner, idempotency[0]), idempotency[1]) if idempotency else ("", "")
        args = (token(), job_document(job), shard_documents(shards), key, digest)
        outcome, *known = await self._connection.run("create", *args)
        if outcome == b"conflict":
            raise Conflict(idempotency[0] if idempotency else "")
        return job_of(known[0]) if known else job

    async def earlier(self, owner: str, key: str) -> tuple[str, str] | None:
        """See `Jobs.earlier`."""
        found = await self._connection.run("earlier", _key(owner, key))
        return None if found is None else msgspec.json.decode(found, type=_Made).pair

    async def get(self, id: str) -> Job | None:
        """See `Jobs.get`."""
        document = await self._connection.run("get", id)
        return None if document is None else job_of(document)

    async def list(
        self,
        *,
        owner: str | None = None,
        state: JobState | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """See `Jobs.list`."""
        documents = await self._connection.run("list", _index(owner, state), before or "", limit)
        return [job_of(document) for document in documents]

    async def cancel(self, id: str) -> Job | None:
        """See `Jobs.cancel`."""
        step = await self._step(id, None, lambda found: rules.cancelled(found.job, found.now))
        return None if step is None else step[0]

    async def resume(self, id: str) -> Job | None:
        """See `Jobs.resume`."""
        step = await self._step(id, "all", _resumed)
        return None if step is None else step[0]

    async def forget(self, id: str) -> bool:
        """See `Jobs.forget`."""
        return bool(await self._connection.run("forget", token(), id))

    async def changed(self, id: str, version: int, seconds: float) -> Job | None:
        """See `Jobs.changed`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        with self._news.of(id) as signal:
            while True:
                news = signal.next()
                job = await self.get(id)
                left = until - loop.time()
                if job is None or job.version > version or left <= 0:
                    return job
                await first_of(news, asyncio.sleep(min(LOOK, left)))

    async def shards(self, job: str) -> Sequence[Shard]:
        """See `Shards.shards`."""
        found = await self._read(job, "all")
        return [] if found is None else list(found.shards.values())

    async def waiting(self, limit: int = 100) -> Sequence[ShardRef]:
        """See `Shards.waiting`."""
        return [ref_of(name) for name in await self._connection.run("waiting", limit)]

    async def claim(self, ref: ShardRef, worker: str, seconds: float = LEASE) -> Lease | None:
        """See `Shards.claim`."""

        def rule(found: Found) -> Change | None:
            shard = found.shards.get(ref.number)
            return None if shard is None else rules.claimed(found.job, shard, worker, seconds, found.now)

        step = await self._step(ref.job, ref.number, rule)
        if step is None or step[1] is None:
            return None
        job, (taken, *_) = step[0], step[1].shards
        return Lease(ref, job, taken, taken.epoch, worker, seconds) if taken.state == "running" else None

    async def renew(self, lease: Lease, progress: Progress) -> Standing:
        """See `Shards.renew`."""

        def rule(found: Found) -> Change | None:
            shard = found.shards.get(lease.ref.number)
            if shard is None:
                return None
            return rules.renewed(found.job, shard, lease.epoch, lease.seconds, progress, found.now)

        step = await self._step(lease.ref.job, lease.ref.number, rule)
        return "lost" if step is None or step[1] is None else step[1].standing

    async def finish(self, lease: Lease, finished: Finished) -> bool:
        """See `Shards.finish`."""

        def rule(found: Found) -> Change | None:
            shards = list(found.shards.values())
            return rules.finished(found.job, shards, lease.ref.number, lease.epoch, finished, found.now)

        step = await self._step(lease.ref.job, "all", rule)
        return step is not None and step[1] is not None

    async def due(self, seconds: float, limit: int = 100) -> Sequence[Event]:
        """See `Outbox.due`."""
        now, found = await self._connection.run("due", seconds, limit)
        return [event_of(document, attempts, float(now)) for document, attempts in found]

    async def told(self, event: Event) -> None:
        """See `Outbox.told`."""
        await self._connection.run("told", event.id)

    async def postpone(self, event: Event, seconds: float) -> None:
        """See `Outbox.postpone`."""
        await self._connection.run("postpone", event.id, event.attempts + 1, seconds)

    async def ready(self) -> bool:
        """See `Store.ready`."""
        try:
            await self._connection.run("ready", patience=0.0)
        except QueueAway:
            return False
        return True

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        await self._news.aclose()
        await self._connection.aclose()


class _Made(msgspec.Struct, frozen=True):
    """What an idempotency key has made."""

    job: str
    digest: str

    @property
    def pair(self) -> tuple[str, str]:
        return self.job, self.digest


def _key(owner: str, key: str) -> str:
    """An owner's idempotency key as a part of a name: neither text can pass for the other."""
    return sha256(msgspec.json.encode([owner, key])).hexdigest()


def _index(owner: str | None, state: JobState | None) -> str:
    """The index, after the prefix, in which jobs of an owner, of a state, of both or of neither are."""
    if owner is None:
        return ":jobs" if state is None else f":jobs:state:{state}"
    return f":jobs:owner:{owner}" if state is None else f":jobs:both:{state}:{owner}"


def _resumed(found: Found) -> Change | None:
    """A stopped job goes on. Those of its shards that were not begun wait anew, and running ones run on."""
    change = rules.resumed(found.job, list(found.shards.values()))
    if change is None:
        return None
    named = {shard.ref for shard in change.shards}
    rest = [one for one in found.shards.values() if one.ref not in named and one.state != "done"]
    return Change(change.job, [*change.shards, *rest], change.event)
