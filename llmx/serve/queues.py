"""Where jobs wait, by what an operator has said: in a file of the service's folder, or with somebody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llmx.environment import Environment, private
from llmx.errors import OutputFailed, UsageError
from llmx.jobs.desk import Desk
from llmx.jobs.embedded import EmbeddedQueue
from llmx.jobs.sqlite import SqliteStore

__all__ = ["STORE", "open_desk"]

STORE = "jobs.db"


@asynccontextmanager
async def open_desk(
    queue: str,
    data: Path,
    *,
    env: Environment,
    base: Mapping[str, Any],
    offered: Mapping[str, str],
    shard_rows: int = 10_000,
    max_rows: int = 1_000_000,
) -> AsyncIterator[Desk]:
    """A desk, released at the end.

    Args:
        queue: "sqlite", or the address of a Redis.
        data: the folder of jobs, made where it is not there.
        base, offered, env, shard_rows, max_rows: see `Desk`.

    Raises:
        UsageError: the queue is none, loses jobs, or is that of another folder.
        QueueAway: its server is not there.
        OutputFailed: the folder cannot be used.
    """
    if queue != "sqlite":
        fields = {
            "base": base,
            "offered": offered,
            "env": env,
            "shard_rows": shard_rows,
            "max_rows": max_rows,
        }
        async with _shared(queue, data, fields) as desk:
            yield desk
        return
    try:
        with private():
            data.mkdir(  # noqa: ASYNC240  once, at the start
                parents=True, exist_ok=True
            )
    except OSError as error:
        raise OutputFailed(f"cannot use {str(data)!r}: {(error.strerror or str(error)).lower()}") from error
    store = SqliteStore(data / STORE)
    waiting = EmbeddedQueue(store)
    try:
        yield Desk(store, waiting, data, shard_rows, max_rows, base, offered, env)
    finally:
        await waiting.aclose()
        await store.aclose()


def _shared(queue: str, data: Path, fields: Mapping[str, Any]) -> AbstractAsyncContextManager[Desk]:
    """A desk whose jobs are in Redis. Raises UsageError: the extra is missing."""
    if find_spec("redis") is None:
        raise UsageError("this queue needs redis", hint="install the extra: llmx-extract[redis]")
    from llmx.cluster.desk import open_redis_desk

    return open_redis_desk(queue, data, **fields)
