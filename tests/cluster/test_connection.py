"""One Redis as the store and the queue use it."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest
from redis_server import RedisServer, needs_redis

from llmx.cancelling import cancellable
from llmx.cluster.address import parse_address
from llmx.cluster.connection import connect
from llmx.errors import QueueAway

PATIENCE = 20.0


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_that_is_swallowed_is_raised(fails: bool) -> None:
    """Whatever comes of the work that has swallowed it."""

    async def swallows() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if fails:
            raise ConnectionError

    task = asyncio.create_task(cancellable(swallows()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE)
    assert task.cancelled()


@needs_redis
async def test_who_is_cancelled_ends_though_redis_is_killed(server: RedisServer) -> None:
    """At whatever moment: who waits for a task that was told to end must not wait for ever."""
    connection = connect(parse_address(server.url))

    async def asks() -> None:
        while True:
            with suppress(QueueAway):
                await connection.run("get", "job")

    for _ in range(6):
        tasks = [asyncio.create_task(asks()) for _ in range(30)]
        await asyncio.sleep(0.05)
        server.kill()
        restart = asyncio.create_task(asyncio.to_thread(server.start))
        await asyncio.sleep(random.uniform(0.0, 0.3))
        for task in tasks:
            task.cancel()
        _, hanging = await asyncio.wait(tasks, timeout=PATIENCE)
        await restart
        assert not hanging
    await connection.aclose()


@needs_redis
async def test_more_ask_than_connections_may_be(server: RedisServer) -> None:
    """Those that find none free wait for one."""
    connection = connect(parse_address(server.url))
    assert [1] * 500 == await asyncio.gather(*(connection.run("ready") for _ in range(500)))
    clients = await connection.redis.info("clients")
    assert clients["connected_clients"] <= 65
    await connection.aclose()
