"""The queue of shards that many workers share, against a Redis that is killed and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis_server import RedisServer, needs_redis

from llmx.cluster import queue as module
from llmx.cluster.connection import Connection
from llmx.cluster.queue import RedisQueue
from llmx.cluster.store import RedisStore
from llmx.errors import QueueAway
from llmx.jobs.queue import Run
from llmx.jobs.types import ENDED, Finished, Progress, ShardRef
from tests.jobs.contract import all_done, created

pytestmark = needs_redis

PATIENCE = 20.0


@pytest.fixture
def queue(store: RedisStore, connection: Connection) -> RedisQueue:
    return RedisQueue(store, connection)


@asynccontextmanager
async def consuming(queue: RedisQueue, run: Run, at_once: int = 2) -> AsyncIterator[asyncio.Task[None]]:
    """A consumer for as long as the context lasts; what ended it is raised."""
    task = asyncio.create_task(queue.consume(run, at_once))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.done()
        if not task.cancelled():
            task.result()


class Worker:
    """Runs shards at once, and knows which."""

    def __init__(self, store: RedisStore, name: str = "w") -> None:
        self.store = store
        self.name = name
        self.ran: asyncio.Queue[ShardRef] = asyncio.Queue()

    async def __call__(self, ref: ShardRef) -> None:
        lease = await self.store.claim(ref, self.name)
        if lease is not None:
            await self.store.finish(lease, all_done())
            self.ran.put_nowait(ref)

    async def next(self) -> ShardRef:
        return await asyncio.wait_for(self.ran.get(), PATIENCE)


async def ended(store: RedisStore, id: str) -> None:
    """Return when a job has come to its end."""
    version = 0
    while (now := await store.changed(id, version, PATIENCE)) and now.state not in ENDED:
        assert now.version > version, now
        version = now.version


async def test_a_sleeping_worker_is_woken(
    queue: RedisQueue, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a new job, a shard that is given back and a job that is resumed, and not by looking now and then."""
    monkeypatch.setattr(module, "LOOK", 4.5)
    worker = Worker(store)
    async with consuming(queue, worker):
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        new = await created(store, shards=1)
        assert ShardRef(new.id, 0) == await worker.next()
        assert asyncio.get_running_loop().time() < began + 2


async def test_a_shard_that_is_given_back_wakes_another(
    queue: RedisQueue, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the step that gives it back, so that no process has to live on to tell of it."""
    monkeypatch.setattr(module, "LOOK", 4.5)
    new = await created(store, shards=1)
    ref = ShardRef(new.id, 0)
    lease = await store.claim(ref, "leaving")
    assert lease is not None
    worker = Worker(store)
    async with consuming(queue, worker):
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await store.finish(lease, Finished(False, Progress(4), again=True))
        assert ref == await worker.next()
        assert asyncio.get_running_loop().time() < began + 2


async def test_a_lease_that_ran_out_is_found(
    queue: RedisQueue, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells of a worker that has died: who sleeps looks after a while."""
    monkeypatch.setattr(module, "LOOK", 0.2)
    new = await created(store, shards=1)
    await store.claim(ShardRef(new.id, 0), "dead", 0.3)
    worker = Worker(store)
    async with consuming(queue, worker):
        assert ShardRef(new.id, 0) == await worker.next()


async def test_every_shard_is_run_once_by_many(queue: RedisQueue, store: RedisStore) -> None:
    """Workers that look at the same moment get in nobody's way."""
    new = await created(store, shards=40)
    workers = [Worker(store, f"w{number}") for number in range(4)]
    tasks = [asyncio.create_task(queue.consume(worker, 3)) for worker in workers]
    await ended(store, new.id)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ran = [worker.ran.get_nowait() for worker in workers for _ in range(worker.ran.qsize())]
    assert [ShardRef(new.id, number) for number in range(40)] == sorted(ran)


async def test_a_small_job_is_not_behind_a_large_one(queue: RedisQueue, store: RedisStore) -> None:
    """An owner whose shards run waits for one who has none, whatever was handed in first."""
    large = await created(store, shards=30, owner="large")
    small = await created(store, shards=1, owner="small")
    await store.claim(ShardRef(large.id, 0), "elsewhere")
    worker = Worker(store)
    async with consuming(queue, worker, 1):
        assert ShardRef(small.id, 0) == await worker.next()


async def test_no_more_run_at_once_than_may(queue: RedisQueue, store: RedisStore) -> None:
    """And as many as may, as soon as there are that many."""
    new = await created(store, shards=9)
    under_way, most = set(), 0

    async def run(ref: ShardRef) -> None:
        nonlocal most
        lease = await store.claim(ref, "w")
        assert lease is not None
        under_way.add(ref)
        most = max(most, len(under_way))
        await asyncio.sleep(0.02)
        under_way.discard(ref)
        await store.finish(lease, all_done())

    async with consuming(queue, run, 3):
        await ended(store, new.id)
    assert 3 == most


async def test_what_is_under_way_is_waited_for(queue: RedisQueue, store: RedisStore) -> None:
    """A consumer that is cancelled takes no more, and returns when the last of its shards has."""
    await created(store, shards=2)
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), []

    async def run(ref: ShardRef) -> None:
        begun.set()
        await may_end.wait()
        ended.append(ref.number)

    task = asyncio.create_task(queue.consume(run, 1))
    await asyncio.wait_for(begun.wait(), PATIENCE)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    may_end.set()
    await asyncio.wait([task], timeout=PATIENCE)
    assert task.cancelled()
    assert [0] == ended


async def test_a_restart_of_redis_stops_nobody(
    queue: RedisQueue, store: RedisStore, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that runs goes on, and a free hand takes the next one as soon as Redis is back."""
    monkeypatch.setattr(store._connection, "patience", 0.2)
    long_one = ShardRef((await created(store, shards=1)).id, 0)
    begun, may_end, worker = asyncio.Event(), asyncio.Event(), Worker(store)

    async def run(ref: ShardRef) -> None:
        if ref == long_one:
            begun.set()
            await may_end.wait()
        await worker(ref)

    async with consuming(queue, run):
        await asyncio.wait_for(begun.wait(), PATIENCE)
        server.kill()
        assert not await store.ready()
        with pytest.raises(QueueAway, match="is not there"):
            await store.get(long_one.job)
        await asyncio.sleep(0.5)  # for the consumer to notice, too
        server.start()
        assert await store.ready()
        other = ShardRef((await created(store, shards=1)).id, 0)
        assert other == await worker.next()
        may_end.set()
        assert long_one == await worker.next()
