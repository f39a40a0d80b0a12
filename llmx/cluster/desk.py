"""A desk whose jobs are in Redis: what `llmx serve` and `llmx worker` have in common where the queue is one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from llmx.cluster.address import Address, parse_address
from llmx.cluster.checks import check_server, check_storage
from llmx.cluster.connection import PATIENCE, connect
from llmx.cluster.queue import RedisQueue
from llmx.cluster.store import RedisStore
from llmx.jobs.desk import Desk

__all__ = ["open_redis_desk"]


@asynccontextmanager
async def open_redis_desk(
    url: str | Address, data: Path, *, patience: float = PATIENCE, **options: Any
) -> AsyncIterator[Desk]:
    """A desk over a Redis and a folder that all its workers share, once both are what they should be; released at the end.

    Args:
        data: the folder.
        patience: seconds for which Redis may be away.
        options: further fields of `Desk`.

    Raises:
        UsageError: the address is none, Redis loses jobs, or the folder is not that of its jobs.
        QueueAway: Redis is not there.
        AuthenticationFailed: it wants another password.
        OutputFailed: the folder cannot be written to.
    """
    connection = connect(url if isinstance(url, Address) else parse_address(url), patience)
    store = RedisStore(connection)
    try:
        await check_server(connection)
        await check_storage(connection, data)
        yield Desk(store, RedisQueue(store, connection), data, **options)
    finally:
        await store.aclose()
