"""The queue without a server, when its store fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from llmx.errors import OutputFailed
from llmx.jobs import embedded, hands
from llmx.jobs.embedded import EmbeddedQueue
from llmx.jobs.queue import Run
from llmx.jobs.sqlite import SqliteStore
from llmx.jobs.types import ShardRef
from llmx.jobs.worker import Worker
from tests.jobs.contract import created
from tests.jobs.scene import desk_in

FULL = OutputFailed("database or disk is full")


class Failing(SqliteStore):
    """A store that cannot be read once."""

    failures = 1

    async def waiting(self, limit: int = 100) -> Sequence[ShardRef]:
        if self.failures:
            self.failures -= 1
            raise FULL
        return await super().waiting(limit)


async def test_a_store_that_fails_for_a_while_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when it is asked what waits, nor when a shard is claimed: that one is tried again, after a pause."""
    monkeypatch.setattr(embedded, "LOOK", 0.01)
    monkeypatch.setattr(hands, "PAUSE", 0.05)
    store = Failing(tmp_path / "jobs.db")
    loop, begun = asyncio.get_running_loop(), list[float]()
    first = ShardRef((await created(store)).id, 0)
    done = asyncio.Event()

    async def run(ref: ShardRef) -> None:
        if ref != first:
            return
        begun.append(loop.time())
        if len(begun) == 1:
            raise FULL
        done.set()

    consuming = asyncio.create_task(EmbeddedQueue(store).consume(run, 1))
    waiting = asyncio.create_task(done.wait())
    await asyncio.wait([consuming, waiting], timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert done.is_set()
    assert not consuming.done()
    assert begun[1] - begun[0] >= 0.04
    consuming.cancel()
    await asyncio.wait([consuming])
    await store.aclose()


class Broken(EmbeddedQueue):
    """A queue that gives out shards until it is found to have a bug."""

    calls = 0

    async def consume(self, run: Run, at_once: int) -> None:
        self.calls += 1
        if self.calls == 1:
            raise ZeroDivisionError
        await asyncio.Event().wait()


async def test_a_worker_whose_queue_broke_can_be_begun_again(tmp_path: Path) -> None:
    """It takes shards as before, and is not told to end by what went wrong."""
    async with desk_in(tmp_path) as desk:
        queue = Broken(desk.store)
        worker = Worker(replace(desk, queue=queue))
        with pytest.raises(ZeroDivisionError):
            await worker.run(1)
        again = asyncio.create_task(worker.run(1))
        done, _ = await asyncio.wait([again], timeout=0.1)
        worker.drain()
        await asyncio.wait_for(again, 10)
    assert not done
    assert queue.calls == 2
