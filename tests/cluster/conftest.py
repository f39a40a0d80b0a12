"""A Redis of each test module's own, emptied before every test, and a store in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis_server import RedisServer, running_redis

from llmx.cluster.address import parse_address
from llmx.cluster.connection import Connection, connect
from llmx.cluster.store import RedisStore


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[Connection]:
    opened = connect(parse_address(server.url))
    await opened.redis.flushall()
    yield opened
    await opened.aclose()


@pytest.fixture
async def store(connection: Connection) -> AsyncIterator[RedisStore]:
    opened = RedisStore(connection)
    yield opened
    await opened.aclose()
