"""Where jobs are handed in and asked after: what the service's endpoints do, without HTTP."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct, field

from llmx.clock import SystemClock
from llmx.connecting import Quiet
from llmx.detached import in_thread
from llmx.environment import Environment
from llmx.errors import OutputFailed
from llmx.estimates import estimate
from llmx.jobs.asking import settings_of
from llmx.jobs.folder import JobFolder, job_folder, settle_in, staging
from llmx.jobs.ids import ulid
from llmx.jobs.queue import Queue
from llmx.jobs.splitting import Split, split
from llmx.jobs.store import Conflict, Store
from llmx.jobs.types import Job
from llmx.layers.budget import Amount
from llmx.layers.stop import Stop
from llmx.planning import plan
from llmx.settings import MaxFailures

__all__ = ["Desk", "Order", "forget", "resume", "submit"]


T = TypeVar("T")


class Desk(Struct, frozen=True):
    """All that jobs need to be kept, given out and run.

    Args:
        root: of the storage that all workers share.
        shard_rows: rows of a shard.
        max_rows: rows of a job.
        base: the operator's own options, by the names of `llmx extract` with underscores; an order's win over them.
        offered: specs of schemas that the operator has given a name.
    """

    store: Store
    queue: Queue
    root: Path
    shard_rows: int = 10_000
    max_rows: int = 1_000_000
    base: Mapping[str, Any] = {}
    offered: Mapping[str, str] = {}
    env: Environment = field(default_factory=Environment)


class Order(Struct, frozen=True):
    """A job as it is handed in.

    Args:
        owner: see `Job.owner`.
        options: see `Job.options`.
        max_failures: rows that may fail.
        idempotency: the client's key, and the digest of all that it asks for.
        fits: given what the job is estimated to use, raises where its owner may not use as much; None where nobody asks.
    """

    owner: str
    options: Mapping[str, Any]
    name: str = ""
    webhook: str | None = None
    max_failures: MaxFailures = MaxFailures()
    idempotency: tuple[str, str] | None = None
    fits: Callable[[Amount], Awaitable[None]] | None = None


async def submit(desk: Desk, order: Order, upload: Path, format: str) -> Job:
    """A job of the rows of a file, which stays the caller's; when it returns, the job outlives whatever happens.

    Args:
        format: one of `records.FORMATS`.

    Raises:
        UsageError: what `llmx extract` would find before its first call.
        Conflict: the idempotency key was used for something else.
        OutputFailed: the disk refuses.
    """
    id = ulid("job_")
    if order.fits is not None:
        await order.fits(await _estimated(desk, order, upload, format))
    made = await _off_the_loop(lambda: _put_together(desk, order, id, upload, format))
    try:
        kept = await desk.store.create(_job(order, id, made), made.shards, order.idempotency)
    except Conflict:
        await _off_the_loop(job_folder(desk.root, id).remove)
        raise
    if kept.id != id:
        await _off_the_loop(job_folder(desk.root, id).remove)
        return kept
    await desk.queue.put([shard.ref for shard in made.shards])
    return kept


async def _estimated(desk: Desk, order: Order, upload: Path, format: str) -> Amount:
    """What a job will use, re-asks included and stored answers not; nobody is asked."""
    places = {"inputs": [str(upload)], "input_format": format}
    planned = await _off_the_loop(
        lambda: plan(settings_of(order.options, desk.base, desk.offered, **places), desk.env)
    )
    quiet = Quiet(lambda text: None)
    (found, *_) = (await estimate(planned, talk=quiet, clock=SystemClock(), stop=Stop())).models
    return Amount(found.cost.expected, found.input_tokens + found.output_tokens)


def _put_together(desk: Desk, order: Order, id: str, upload: Path, format: str) -> Split:
    """The job's files, in their place."""
    try:
        folder = staging(desk.root, id)
        try:
            found = _split(desk, order, id, folder, upload, format)
            settle_in(desk.root, id, folder)
        except BaseException:
            folder.remove()
            raise
        return found
    except OSError as error:
        problem = f"cannot keep a job in {str(desk.root)!r}: {error.strerror or error}"
        raise OutputFailed(problem, hint="make room, or another folder by --data DIR") from error


def _split(desk: Desk, order: Order, id: str, folder: JobFolder, upload: Path, format: str) -> Split:
    """The upload's rows as shards, once everything is checked that needs no provider."""
    places = {"inputs": [str(upload)], "input_format": format, "output": str(folder.path / "out.jsonl")}
    planned = plan(settings_of(order.options, desk.base, desk.offered, **places), desk.env)
    try:
        return split(planned.source, id, folder, rows=desk.shard_rows, most=desk.max_rows)
    finally:
        planned.source.close()


def _job(order: Order, id: str, found: Split) -> Job:
    return Job(
        id,
        order.owner,
        dict(order.options),
        found.rows,
        len(found.shards),
        time.time(),
        order.name,
        found.unreadable,
        _allowed(order.max_failures, found.rows),
        order.webhook,
    )


def _allowed(limit: MaxFailures, rows: int) -> int:
    """How many of so many rows may fail."""
    return math.floor(limit.limit / 100 * rows) if limit.percent else int(limit.limit)


async def resume(desk: Desk, id: str) -> Job | None:
    """See `Jobs.resume`; what waits again is given out."""
    job = await desk.store.resume(id)
    if job is not None and job.state == "queued":
        shards = await desk.store.shards(id)
        await desk.queue.put([shard.ref for shard in shards if shard.state == "waiting"])
    return job


async def forget(desk: Desk, id: str) -> bool:
    """Remove a job that has ended, and its files; whether it was there and has."""
    if not await desk.store.forget(id):
        return False
    await _off_the_loop(job_folder(desk.root, id).remove)
    return True


async def _off_the_loop(work: Callable[[], T]) -> T:
    return await asyncio.wrap_future(in_thread(work))
