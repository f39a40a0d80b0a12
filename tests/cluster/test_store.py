"""The store of jobs in Redis, against a Redis."""

from __future__ import annotations

import asyncio
import pickle
import signal
from collections.abc import Awaitable, Callable

import pytest
from redis_server import RedisServer, needs_redis

from llmx.cluster import connection as connecting
from llmx.cluster.address import parse_address
from llmx.cluster.connection import PREFIX, connect
from llmx.cluster.store import RedisStore
from llmx.errors import QueueAway
from llmx.jobs.types import ShardRef
from tests.jobs.contract import StoreContract, all_done, created, job, shards_of

pytestmark = needs_redis


@pytest.fixture
def later() -> Callable[[float], Awaitable[None]]:
    """The server's clock cannot be set: these tests wait for tenths of a second."""

    async def pass_by(seconds: float) -> None:
        await asyncio.sleep(seconds + 0.02)

    return pass_by


class TestRedis(StoreContract):
    """What every store must do."""


class TestSentTwice(StoreContract):
    """The same where every answer is lost on its way once, so that the step is sent again."""

    @pytest.fixture
    async def store(self, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> RedisStore:
        connection = store._connection
        once = connection.patiently

        async def twice(work: Callable[[], Awaitable[object]], patience: float | None = None) -> object:
            lost = await once(work, patience)
            return lost if _took_events(lost) else await once(work, patience)

        monkeypatch.setattr(connection, "patiently", twice)
        return store


def _took_events(answer: object) -> bool:
    """Events whose taking was not heard of come again after their time; that is all that is different."""
    return isinstance(answer, list) and len(answer) == 2 and isinstance(answer[1], list) and bool(answer[1])


async def test_ten_thousand_jobs_are_listed_in_pages(store: RedisStore) -> None:
    """In their order, each once, and a page reads no more than a page."""
    made = []
    for _ in range(100):
        batch = [job(1, owner=f"owner-{number % 7}") for number in range(100)]
        await asyncio.gather(*(store.create(new, shards_of(new)) for new in batch))
        made += [new.id for new in batch]
    listed: list[str] = []
    while page := await store.list(limit=1_000, before=listed[-1] if listed else None):
        assert len(page) <= 1_000
        listed += [one.id for one in page]
    assert sorted(made, reverse=True) == listed
    theirs = [await store.list(owner=f"owner-{number}", limit=10_000) for number in range(7)]
    assert 10_000 == sum(map(len, theirs))
    before = await _reads(store)
    await store.list(limit=10)
    assert await _reads(store) - before <= 30  # one index, ten documents, and what counts


async def _reads(store: RedisStore) -> int:
    """Calls of commands that read jobs and indexes."""
    stats = await store._connection.redis.info("commandstats")
    return sum(
        stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("hget", "hmget", "zrevrangebylex")
    )


async def test_two_processes_hear_each_other(store: RedisStore, server: RedisServer) -> None:
    """Who waits for a change hears of it at once, whoever has made it; a killed Redis only delays."""
    other = RedisStore(connect(parse_address(server.url)))
    new = await created(store, shards=3)
    waiting = asyncio.create_task(store.changed(new.id, new.version, 60))
    await asyncio.sleep(0.05)
    began = asyncio.get_running_loop().time()
    await other.claim(ShardRef(new.id, 0), "w", 60)
    now = await asyncio.wait_for(waiting, 20)
    assert now is not None
    assert asyncio.get_running_loop().time() < began + 2
    waiting = asyncio.create_task(store.changed(new.id, now.version, 60))
    await asyncio.sleep(0.05)
    server.kill()
    await asyncio.to_thread(server.start)
    await other.claim(ShardRef(new.id, 1), "w", 60)
    now = await asyncio.wait_for(waiting, 20)
    assert now is not None
    assert 2 == now.running
    await other.aclose()


async def test_a_full_redis_says_so(store: RedisStore) -> None:
    """A server that has no memory left takes nothing, is not ready, and loses nothing."""
    new = await created(store)
    redis = store._connection.redis
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", used // 2)
    try:
        assert not await store.ready()
        with pytest.raises(QueueAway, match="takes nothing"):
            await created(store)
    finally:
        await redis.config_set("maxmemory", 0)
    assert await store.ready()
    assert [new] == list(await store.list())


async def test_an_answer_that_never_comes_is_not_waited_for(
    store: RedisStore, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is stopped, and not dead, is told after the time limit of a connection."""
    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.2)
    hasty = RedisStore(connect(parse_address(server.url), 0.1))
    new = await created(hasty)
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(QueueAway, match="is not there"):
            await hasty.get(new.id)
        assert not await hasty.ready()
    finally:
        server.signal(signal.SIGCONT)
    assert new == await hasty.get(new.id)
    await hasty.aclose()


async def test_what_is_no_job_is_told_and_runs_no_code(store: RedisStore) -> None:
    """Somebody has written to our keys: documents are data, and the other jobs go on."""
    good, bad = await created(store, shards=1), await created(store, shards=1)
    redis = store._connection.redis
    boom = pickle.dumps(_Boom())
    await redis.hset(f"{PREFIX}:job:{bad.id}", "document", boom)  # type: ignore[misc]  # typed for both clients
    await redis.zadd(f"{PREFIX}:open:team", {"garbage": 0})
    for step in (store.get(bad.id), store.list(), store.claim(ShardRef(bad.id, 0), "w")):
        with pytest.raises(QueueAway, match="no job"):
            await step
    waiting = await store.waiting()
    assert {ShardRef(good.id, 0), ShardRef(bad.id, 0)} < set(waiting)
    (other,) = set(waiting) - {ShardRef(good.id, 0), ShardRef(bad.id, 0)}
    assert await store.claim(other, "w") is None
    lease = await store.claim(ShardRef(good.id, 0), "w")
    assert lease is not None
    assert await store.finish(lease, all_done())
    assert not _Boom.went_off


class _Boom:
    """Something that tells when a pickle of it is opened."""

    went_off = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return setattr, (_Boom, "went_off", True)
