"""What holds whatever is done: both stores say the same, and nothing that Redis has acknowledged is lost with it."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis_server import RedisServer, needs_redis

from llmx.cluster.address import parse_address
from llmx.cluster.connection import connect
from llmx.cluster.store import RedisStore
from llmx.errors import QueueAway
from llmx.jobs.rules import summed
from llmx.jobs.sqlite import SqliteStore
from llmx.jobs.store import Store
from llmx.jobs.types import ENDED, Finished, Job, Lease, Progress, ShardRef
from tests.jobs.contract import all_done, job, shards_of

pytestmark = needs_redis

costs = st.none() | st.decimals(0, 10, places=7).map(lambda cost: f"{cost:f}")
progresses = st.builds(
    Progress,
    settled=st.integers(0, 10),
    failed=st.integers(0, 3),
    calls=st.integers(0, 20),
    cost=costs,
    errors=st.dictionaries(st.sampled_from(["refusal", "invalid_answer"]), st.integers(1, 3)),
)
places = st.tuples(st.integers(0, 3), st.integers(0, 2))
"""A job of those made so far, and a shard of it."""

steps = st.one_of(
    st.tuples(st.just("create"), st.integers(1, 3), st.sampled_from("ab"), st.booleans(), st.integers(0, 2)),
    st.tuples(st.just("claim"), places, st.sampled_from([0.0, 1_000.0])),
    st.tuples(st.just("renew"), st.integers(0, 5), progresses),
    st.tuples(st.just("finish"), st.integers(0, 5), progresses, st.booleans(), st.booleans()),
    st.tuples(st.sampled_from(["cancel", "resume", "forget"]), places),
    st.tuples(st.just("due")),
)


class Scene:
    """A store to which steps are done; jobs are told apart by when they were made, leases by when they were given."""

    def __init__(self, store: Store, jobs: list[Job]) -> None:
        self.store = store
        self._new = iter(jobs)
        self._jobs: list[Job] = []
        self._leases: list[Lease] = []

    async def do(self, step: Sequence[Any]) -> object:
        return await getattr(self, f"_{step[0]}")(*step[1:])

    async def _create(self, shards: int, owner: str, told: bool, allowed: int) -> object:
        webhook = "https://example.org/" if told else None
        new = replace(
            next(self._new), shards=shards, rows=10 * shards, owner=owner, webhook=webhook, allowed=allowed
        )
        self._jobs.append(new)
        return _timeless(await self.store.create(new, shards_of(new)))

    def _named(self, place: tuple[int, int]) -> ShardRef:
        job = self._jobs[place[0] % len(self._jobs)].id if self._jobs else "job_none"
        return ShardRef(job, place[1])

    async def _claim(self, place: tuple[int, int], seconds: float) -> object:
        lease = await self.store.claim(self._named(place), "w", seconds)
        if lease is None:
            return None
        self._leases.append(lease)
        return lease.epoch, lease.shard.lives, lease.shard.progress

    async def _renew(self, number: int, progress: Progress) -> object:
        if not self._leases:
            return None
        return await self.store.renew(self._leases[number % len(self._leases)], progress)

    async def _finish(self, number: int, progress: Progress, complete: bool, again: bool) -> object:
        if not self._leases:
            return None
        how = Finished(complete, progress, "why", again)
        return await self.store.finish(self._leases[number % len(self._leases)], how)

    async def _cancel(self, place: tuple[int, int]) -> object:
        return _timeless(await self.store.cancel(self._named(place).job))

    async def _resume(self, place: tuple[int, int]) -> object:
        return _timeless(await self.store.resume(self._named(place).job))

    async def _forget(self, place: tuple[int, int]) -> object:
        return await self.store.forget(self._named(place).job)

    async def _due(self) -> object:
        return sorted((event.job, event.state, event.attempts) for event in await self.store.due(0))

    async def state(self) -> object:
        jobs = await self.store.list()
        shards = [[replace(one, expires=0.0) for one in await self.store.shards(job.id)] for job in jobs]
        return [_timeless(job) for job in jobs], shards, list(await self.store.waiting()), await self._pages()

    async def _pages(self) -> object:
        states = ("queued", "running", "succeeded", "failed", "stopped", "cancelled")
        return [
            [job.id for job in await self.store.list(owner=owner, state=state)]  # type: ignore[arg-type]  # states
            for owner in ("a", None)
            for state in states
        ]


def _timeless(job: Job | None) -> Job | None:
    """Without what clocks say, and with the cost as a number: a sum's trailing zeros depend on its order."""
    if job is None:
        return None
    cost = job.progress.cost
    plain = None if cost is None else f"{float(cost):.7f}"
    kinds = {kind: count for kind, count in job.progress.errors.items() if count}
    return replace(
        job,
        started=job.started and 1.0,
        ended=job.ended and 1.0,
        progress=replace(job.progress, cost=plain, errors=kinds),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=st.lists(steps, min_size=5, max_size=30))
def test_both_stores_say_the_same(done: list[tuple[Any, ...]], server: RedisServer) -> None:
    """After every step, of its outcome and of all that can be read."""
    asyncio.run(_compared(done, server.url))


async def _compared(done: list[tuple[Any, ...]], url: str) -> None:
    connection = connect(parse_address(url))
    await connection.redis.flushall()
    jobs = [job() for _ in range(len(done))]
    jobs.sort(key=lambda one: one.id)
    with tempfile.TemporaryDirectory() as folder:
        scenes = [Scene(SqliteStore(Path(folder, "jobs.db")), jobs), Scene(RedisStore(connection), jobs)]
        try:
            for step in done:
                mine, theirs = [await scene.do(step) for scene in scenes]
                assert mine == theirs, step
                mine, theirs = [await scene.state() for scene in scenes]
                assert mine == theirs, step
        finally:
            for scene in scenes:
                await scene.store.aclose()


class Storm:
    """Many who make jobs and run shards at the same time, and what Redis has acknowledged of it."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.made: set[str] = set()
        self.finished: Counter[ShardRef] = Counter()
        self.away = 0

    async def make(self) -> None:
        while True:
            new = job(random.randint(1, 4), webhook="https://example.org/")
            try:
                await self.store.create(new, shards_of(new))
                self.made.add(new.id)
            except QueueAway:
                self.away += 1
            await asyncio.sleep(0.005)

    async def work(self, name: str) -> None:
        while True:
            try:
                for ref in await self.store.waiting(8):
                    await self._run(ref, name)
            except QueueAway:
                self.away += 1
            await asyncio.sleep(0.005)

    async def _run(self, ref: ShardRef, name: str) -> None:
        lease = await self.store.claim(ref, name, 0.5)
        if lease is None:
            return
        for settled in range(1, 4):
            await self.store.renew(lease, Progress(settled, cost=f"0.{settled}"))
        if await self.store.finish(lease, all_done()):
            self.finished[ref] += 1


@pytest.mark.parametrize("patience", [0.0, 10.0], ids=["impatient", "patient"])
async def test_nothing_acknowledged_is_lost_with_redis(server: RedisServer, patience: float) -> None:
    """Redis is killed again and again while jobs are made and run: what it said is so, and every sum is right."""
    connection = connect(parse_address(server.url), patience)
    await connection.redis.flushall()
    storm = Storm(RedisStore(connection))
    tasks = [asyncio.create_task(storm.make()) for _ in range(2)]
    tasks += [asyncio.create_task(storm.work(f"w{number}")) for number in range(6)]
    for _ in range(4):
        await asyncio.sleep(random.uniform(0.1, 0.5))
        server.kill()
        await asyncio.to_thread(server.start)
    await asyncio.sleep(0.2)
    for task in tasks[:2]:
        task.cancel()
    await _settled(storm.store)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
    await _check(storm)
    assert (storm.away > 0) == (patience == 0.0)
    await storm.store.aclose()


async def _settled(store: RedisStore) -> None:
    """Return when nothing is left to run."""
    async with asyncio.timeout(60):
        while await store.list(state="queued", limit=1) or await store.list(state="running", limit=1):  # noqa: ASYNC110  of another process there is no event
            await asyncio.sleep(0.05)


async def _check(storm: Storm) -> None:
    jobs = await storm.store.list(limit=100_000)
    assert storm.made <= {one.id for one in jobs}
    assert len(storm.made) > 20
    for one in jobs:
        shards = await storm.store.shards(one.id)
        assert one.state in ENDED
        assert summed(one, shards) == one
    done = {one.ref for found in jobs for one in await storm.store.shards(found.id) if one.state == "done"}
    assert set(storm.finished) <= done
    assert {1} == set(storm.finished.values())
    events = Counter(event.job for event in await storm.store.due(60, 100_000))
    assert Counter(one.id for one in jobs) == events
