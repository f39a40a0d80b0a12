"""The store of jobs in a SQLite file: no server to install, and jobs survive whatever ends the process.

Several processes of one machine may share it. All work on the file is done by one thread of its own, so that no disk
holds up the event loop.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from llmx.clock import Signal, first_of
from llmx.environment import private
from llmx.errors import OutputFailed, UsageError
from llmx.jobs import rules
from llmx.jobs.rules import Change
from llmx.jobs.store import LEASE, Conflict
from llmx.jobs.tables import TABLES, Tables
from llmx.jobs.types import ENDED, Event, Finished, Job, JobState, Lease, Progress, Shard, ShardRef, Standing
from llmx.system import OURS

__all__ = ["SqliteStore"]

T = TypeVar("T")

APPLICATION, VERSION = 0x6C6C6D78, 1
"""By which the file is known as ours ("llmx"), and the version of its tables and documents."""

LOCK_SECONDS = 30.0
"""How long another process may hold the file; a transaction takes about a millisecond."""

LOOK = 1.0
"""Seconds after which somebody who waits for a change looks whether another process has made one."""

REMEMBERED = 86_400.0
"""Seconds for which an idempotency key is known."""


class SqliteStore:
    """A `Store` in a file, which is made where there is none, 0600 in a folder of 0700.

    Args:
        now: seconds since 1970.

    Raises:
        OutputFailed: the system refuses, or the file is no database.
        UsageError: it is another program's, or another version's.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._thread = ThreadPoolExecutor(1, "llmx-jobs")
        self._news = Signal()
        try:
            self._db = self._thread.submit(_opened, path).result()
        except (sqlite3.Error, OSError) as error:
            self._thread.shutdown()
            raise _failed(path, error) from error
        except UsageError:
            self._thread.shutdown()
            raise
        self._tables = Tables(self._db)

    async def _step(self, work: Callable[[], T]) -> T:
        """One transaction, on the disk when it returns. Raises OutputFailed."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)
        except (sqlite3.Error, OSError) as error:
            raise _failed(self._path, error) from error

    def _transaction(self, work: Callable[[], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk may have ended it already
                self._db.execute("ROLLBACK")
            raise
        return result

    async def _read(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise _failed(self._path, error) from error

    async def _changing(self, work: Callable[[], T]) -> T:
        """A step that readers of jobs may be waiting for."""
        result = await self._step(work)
        self._news.happen()
        return result

    def _write(self, change: Change) -> None:
        self._tables.put(change.job)
        self._tables.put_shards(change.job.owner, change.shards)
        if change.event is not None:
            self._tables.announce(change.event)

    async def create(
        self, job: Job, shards: Sequence[Shard], idempotency: tuple[str, str] | None = None
    ) -> Job:
        """See `Jobs.create`."""

        def work() -> Job:
            if idempotency is not None and (known := self._known(job.owner, *idempotency)) is not None:
                return known
            self._tables.put(job)
            self._tables.put_shards(job.owner, shards)
            if idempotency is not None:
                self._tables.remember(job.owner, *idempotency, job.id, self._now())
            return job

        return await self._changing(work)

    def _known(self, owner: str, key: str, digest: str) -> Job | None:
        found = self._tables.remembered(owner, key, self._now() - REMEMBERED)
        if found is None:
            return None
        if found[1] != digest:
            raise Conflict(key)
        return self._tables.whole(found[0])

    async def earlier(self, owner: str, key: str) -> tuple[str, str] | None:
        """See `Jobs.earlier`."""
        return await self._read(lambda: self._tables.remembered(owner, key, self._now() - REMEMBERED))

    async def get(self, id: str) -> Job | None:
        """See `Jobs.get`."""
        return await self._read(lambda: self._tables.whole(id))

    async def list(
        self,
        *,
        owner: str | None = None,
        state: JobState | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """See `Jobs.list`."""
        return await self._read(lambda: self._tables.page(owner, state, before, limit))

    async def cancel(self, id: str) -> Job | None:
        """See `Jobs.cancel`."""
        return await self._changed_by(id, lambda job, shards: rules.cancelled(job, self._now()))

    async def resume(self, id: str) -> Job | None:
        """See `Jobs.resume`."""
        return await self._changed_by(id, rules.resumed)

    async def _changed_by(self, id: str, rule: Callable[[Job, Sequence[Shard]], Change | None]) -> Job | None:
        def work() -> Job | None:
            job = self._tables.job(id)
            if job is None:
                return None
            change = rule(job, self._tables.shards(id))
            if change is not None:
                self._write(change)
            return self._tables.whole(id)

        return await self._changing(work)

    async def forget(self, id: str) -> bool:
        """See `Jobs.forget`."""

        def work() -> bool:
            job = self._tables.job(id)
            if job is None or job.state not in ENDED:
                return False
            now = self._now()
            if any(shard.state == "running" and shard.expires > now for shard in self._tables.shards(id)):
                return False
            self._tables.forget(id)
            return True

        return await self._changing(work)

    async def changed(self, id: str, version: int, seconds: float) -> Job | None:
        """See `Jobs.changed`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            news = self._news.next()
            now = await self._read(lambda: self._tables.version(id))
            left = until - loop.time()
            if now is None or now > version or left <= 0:
                return await self.get(id)
            await first_of(news, asyncio.sleep(min(LOOK, left)))

    async def shards(self, job: str) -> Sequence[Shard]:
        """See `Shards.shards`."""
        return await self._read(lambda: self._tables.shards(job))

    async def waiting(self, limit: int = 100) -> Sequence[ShardRef]:
        """See `Shards.waiting`."""
        return await self._read(lambda: self._tables.waiting(self._now(), limit))

    async def claim(self, ref: ShardRef, worker: str, seconds: float = LEASE) -> Lease | None:
        """See `Shards.claim`."""

        def work() -> Lease | None:
            job, shard = self._tables.job(ref.job), self._tables.shard(ref)
            if job is None or shard is None:
                return None
            change = rules.claimed(job, shard, worker, seconds, self._now())
            if change is None:
                return None
            self._write(change)
            taken = change.shards[0]
            return (
                None
                if taken.state != "running"
                else Lease(ref, change.job, taken, taken.epoch, worker, seconds)
            )

        return await self._changing(work)

    async def renew(self, lease: Lease, progress: Progress) -> Standing:
        """See `Shards.renew`."""

        def work() -> Standing:
            job, shard = self._tables.job(lease.ref.job), self._tables.shard(lease.ref)
            if job is None or shard is None:
                return "lost"
            change = rules.renewed(job, shard, lease.epoch, lease.seconds, progress, self._now())
            self._write(change)
            return change.standing

        return await self._changing(work)

    async def finish(self, lease: Lease, finished: Finished) -> bool:
        """See `Shards.finish`."""

        def work() -> bool:
            job = self._tables.job(lease.ref.job)
            if job is None:
                return False
            shards = self._tables.shards(job.id)
            change = rules.finished(job, shards, lease.ref.number, lease.epoch, finished, self._now())
            if change is None:
                return False
            self._write(change)
            return True

        return await self._changing(work)

    async def due(self, seconds: float, limit: int = 100) -> Sequence[Event]:
        """See `Outbox.due`."""

        def work() -> Sequence[Event]:
            now = self._now()
            events = self._tables.due(now, limit)
            for event in events:
                self._tables.announce(replace(event, due=now + seconds))
            return events

        return await self._step(work)

    async def told(self, event: Event) -> None:
        """See `Outbox.told`."""
        await self._step(lambda: self._tables.drop_event(event.id))

    async def postpone(self, event: Event, seconds: float) -> None:
        """See `Outbox.postpone`."""

        def work() -> None:
            if self._tables.event(event.id) is not None:
                later = replace(event, attempts=event.attempts + 1, due=self._now() + seconds)
                self._tables.announce(later)

        await self._step(work)

    async def ready(self) -> bool:
        """See `Store.ready`."""
        try:
            await self._step(lambda: None)
        except OutputFailed:
            return False
        return True

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()


def _opened(path: Path) -> sqlite3.Connection:
    with private():
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | OURS, 0o600))
    db = sqlite3.connect(path, LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        _check(path, db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # a job that was acknowledged outlives a power cut
        _make(db)
    except BaseException:
        db.close()
        raise
    return db


def _check(path: Path, db: sqlite3.Connection) -> None:
    """Raises UsageError: the file is another program's, or of another version of this one."""
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (whose,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if tables and whose != APPLICATION:
        raise UsageError(
            f"{str(path)!r} is a database, but not one of jobs", hint="another folder by --data DIR"
        )
    if tables and version != VERSION:
        raise UsageError(
            f"the jobs in {str(path)!r} are of another version of llmx (format {version}, this one has {VERSION})",
            hint="the version that made them, or another folder by --data DIR",
        )


def _make(db: sqlite3.Connection) -> None:
    """What is not there yet, in one step: a process that starts at the same time sees all of it, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    for table in TABLES:
        db.execute(table)
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _failed(path: Path, error: sqlite3.Error | OSError) -> OutputFailed:
    reason = getattr(error, "strerror", None) or error
    return OutputFailed(
        f"cannot use the jobs in {str(path)!r}: {reason}", hint="another folder by --data DIR"
    )
