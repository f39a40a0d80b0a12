"""The tables of jobs in SQLite: rows of them to and from what they say. `sqlite` keeps the rules."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from llmx.jobs.rules import summed
from llmx.jobs.types import Event, Job, Progress, Shard, ShardRef

__all__ = ["TABLES", "Tables"]

TABLES = (
    "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, owner TEXT NOT NULL, state TEXT NOT NULL,"
    " version INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS jobs_of ON jobs (owner, id)",
    "CREATE INDEX IF NOT EXISTS jobs_in ON jobs (state, id)",
    "CREATE TABLE IF NOT EXISTS shards (job TEXT NOT NULL, number INTEGER NOT NULL, owner TEXT NOT NULL,"
    " first INTEGER NOT NULL, rows INTEGER NOT NULL, state TEXT NOT NULL, epoch INTEGER NOT NULL,"
    " worker TEXT NOT NULL, expires REAL NOT NULL, progress BLOB NOT NULL, lives INTEGER NOT NULL,"
    " reason TEXT NOT NULL, PRIMARY KEY (job, number)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS shards_open ON shards (state, job, number) WHERE state IN ('waiting', 'running')",
    "CREATE TABLE IF NOT EXISTS idempotency (owner TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,"
    " job TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (owner, key)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, due REAL NOT NULL, document BLOB NOT NULL) WITHOUT ROWID",
)

_SHARD = "job, number, first, rows, state, epoch, worker, expires, progress, lives, reason"

_WAITING = """
WITH busy AS (SELECT owner, count(*) AS shards FROM shards WHERE state = 'running' AND expires > :now GROUP BY owner)
SELECT s.job, s.number FROM shards s JOIN jobs j ON j.id = s.job LEFT JOIN busy b ON b.owner = s.owner
WHERE s.state IN ('waiting', 'running') AND (s.state = 'waiting' OR s.expires <= :now)
AND j.state IN ('queued', 'running')
ORDER BY ifnull(b.shards, 0), s.job, s.number LIMIT :limit
"""

_encode = msgspec.json.encode
_job = msgspec.json.Decoder(Job).decode
_progress = msgspec.json.Decoder(Progress).decode
_event = msgspec.json.Decoder(Event).decode


class Tables:
    """Reads and writes within whatever transaction is open on the connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def job(self, id: str) -> Job | None:
        """A job without the figures of its shards."""
        row = self._db.execute("SELECT document FROM jobs WHERE id = ?", (id,)).fetchone()
        return None if row is None else _job(row[0])

    def whole(self, id: str) -> Job | None:
        """A job with the figures of its shards."""
        job = self.job(id)
        return None if job is None else summed(job, self.shards(id))

    def version(self, id: str) -> int | None:
        """A job's version, None when there is none."""
        row = self._db.execute("SELECT version FROM jobs WHERE id = ?", (id,)).fetchone()
        return None if row is None else int(row[0])

    def page(self, owner: str | None, state: str | None, before: str | None, limit: int) -> list[Job]:
        """Jobs with their figures, the newest first."""
        wanted = {"owner = ?": owner, "state = ?": state, "id < ?": before}
        given = {clause: value for clause, value in wanted.items() if value is not None}
        where = f" WHERE {' AND '.join(given)}" if given else ""
        query = f"SELECT document FROM jobs{where} ORDER BY id DESC LIMIT ?"  # noqa: S608  clauses of ours alone
        jobs = [_job(row[0]) for row in self._db.execute(query, (*given.values(), limit))]
        return [summed(job, self.shards(job.id)) for job in jobs]

    def put(self, job: Job) -> None:
        """Write a job."""
        self._db.execute(
            "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?)",
            (job.id, job.owner, job.state, job.version, _encode(job)),
        )

    def shards(self, job: str) -> list[Shard]:
        """All shards of a job, in order."""
        rows = self._db.execute(f"SELECT {_SHARD} FROM shards WHERE job = ? ORDER BY number", (job,))  # noqa: S608  a constant
        return [_shard(row) for row in rows]

    def shard(self, ref: ShardRef) -> Shard | None:
        """One shard."""
        query = f"SELECT {_SHARD} FROM shards WHERE job = ? AND number = ?"  # noqa: S608  a constant
        row = self._db.execute(query, (ref.job, ref.number)).fetchone()
        return None if row is None else _shard(row)

    def put_shards(self, owner: str, shards: Iterable[Shard]) -> None:
        """Write shards of an owner's job."""
        self._db.executemany(
            "INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_row(shard, owner) for shard in shards],
        )

    def waiting(self, now: float, limit: int) -> list[ShardRef]:
        """See `Shards.waiting`."""
        rows = self._db.execute(_WAITING, {"now": now, "limit": limit})
        return [ShardRef(*row) for row in rows]

    def remember(self, owner: str, key: str, digest: str, job: str, now: float) -> None:
        """Keep what an idempotency key has made."""
        self._db.execute(
            "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?)", (owner, key, digest, job, now)
        )

    def remembered(self, owner: str, key: str, since: float) -> tuple[str, str] | None:
        """The job and the digest of an idempotency key that was used since then."""
        query = "SELECT job, digest FROM idempotency WHERE owner = ? AND key = ? AND created > ?"
        row = self._db.execute(query, (owner, key, since)).fetchone()
        return None if row is None else (row[0], row[1])

    def announce(self, event: Event) -> None:
        """Put an event into the outbox, or change it there."""
        self._db.execute(
            "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", (event.id, event.due, _encode(event))
        )

    def due(self, now: float, limit: int) -> Sequence[Event]:
        """Events whose time has come, the oldest first."""
        rows = self._db.execute(
            "SELECT document FROM outbox WHERE due <= ? ORDER BY due LIMIT ?", (now, limit)
        )
        return [_event(row[0]) for row in rows]

    def event(self, id: str) -> Event | None:
        """One event, None when it is not in the outbox."""
        row = self._db.execute("SELECT document FROM outbox WHERE id = ?", (id,)).fetchone()
        return None if row is None else _event(row[0])

    def drop_event(self, id: str) -> None:
        """Take an event out of the outbox."""
        self._db.execute("DELETE FROM outbox WHERE id = ?", (id,))

    def forget(self, job: str) -> None:
        """Remove all that is known of a job."""
        for table, column in (("jobs", "id"), ("shards", "job"), ("idempotency", "job")):
            self._db.execute(f"DELETE FROM {table} WHERE {column} = ?", (job,))  # noqa: S608  names of ours alone


def _shard(row: Sequence[object]) -> Shard:
    job, number, first, rows, state, epoch, worker, expires, progress, lives, reason = row
    ref = ShardRef(str(job), int(number))  # type: ignore[call-overload]  # a column of integers
    return Shard(ref, first, rows, state, epoch, worker, expires, _progress(progress), lives, reason)  # type: ignore[arg-type]  # columns of these types


def _row(shard: Shard, owner: str) -> tuple[object, ...]:
    return (
        shard.ref.job,
        shard.ref.number,
        owner,
        shard.first,
        shard.rows,
        shard.state,
        shard.epoch,
        shard.worker,
        shard.expires,
        _encode(shard.progress),
        shard.lives,
        shard.reason,
    )
