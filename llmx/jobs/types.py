"""What a job is, what is known of its shards, and what a worker holds while it runs one.

Times are seconds since 1970 by the clock of whoever keeps the store, so that machines need not agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

__all__ = [
    "ENDED",
    "Event",
    "Finished",
    "Job",
    "JobState",
    "Lease",
    "Progress",
    "Shard",
    "ShardRef",
    "ShardState",
    "Standing",
    "totals",
]

JobState = Literal["queued", "running", "succeeded", "failed", "stopped", "cancelled"]
"""What becomes of a job.

"queued": no shard has been begun. "running": at least one has. "succeeded": every row ended, as many of them well as the
job asks for. "failed": every row ended, and too many of them badly. "stopped": a budget, a key, a quota or a provider ended it
before its rows did; it can be resumed. "cancelled": its owner ended it.
"""

ENDED: frozenset[JobState] = frozenset({"succeeded", "failed", "stopped", "cancelled"})
"""States that last until somebody resumes the job."""

ShardState = Literal["waiting", "running", "done", "stopped"]
"""Of a shard: "stopped" is one whose run ended before its rows did."""


class Progress(Struct, frozen=True):
    """What a run has done and spent, in numbers that add up.

    Args:
        settled: rows that ended, well or not; `failed`, `cached` (answers that cost no call) are among them.
        calls: requests that were sent.
        cost: US dollars as text without exponent; None when a part of it is unknown.
        errors: failed rows by type of error.
    """

    settled: int = 0
    failed: int = 0
    cached: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: str | None = "0"
    errors: dict[str, int] = {}

    def __add__(self, other: Progress) -> Progress:
        unknown = self.cost is None or other.cost is None
        kinds = dict.fromkeys((*self.errors, *other.errors))
        return Progress(
            self.settled + other.settled,
            self.failed + other.failed,
            self.cached + other.cached,
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if unknown else f"{Decimal(self.cost or 0) + Decimal(other.cost or 0):f}",
            {kind: self.errors.get(kind, 0) + other.errors.get(kind, 0) for kind in kinds},
        )


def totals(parts: Iterable[Progress]) -> Progress:
    """All of them together."""
    return sum(parts, start=Progress())


class Job(Struct, frozen=True):
    """One job, as the store has it.

    Args:
        id: "job_" and 26 characters that sort by time (a ULID in Crockford's alphabet).
        owner: the name of the API key that made it; "" where the service has no keys.
        name: what its owner calls it, "" for nothing.
        options: how rows are asked and written: options of `llmx extract` by their names with underscores, `schema` and
            `model` among them; never a path, an address or a secret.
        rows: in all, those that could not be read included; `unreadable` says how many these are.
        shards: how many there are, numbered from 0.
        allowed: rows that may fail, unreadable ones included, and the job still succeeds.
        webhook: whom to tell of its end, None for nobody.
        created, started, ended: when; None for not yet.
        reason: why it was stopped or has failed, for people; "" otherwise.
        version: rises with every change that a reader of the job could see.
        progress: of all shards together; `unreadable` rows are not in it.
        running, done: how many shards are.
    """

    id: str
    owner: str
    options: dict[str, Any]
    rows: int
    shards: int
    created: float
    name: str = ""
    unreadable: int = 0
    allowed: int = 0
    webhook: str | None = None
    state: JobState = "queued"
    started: float | None = None
    ended: float | None = None
    reason: str = ""
    version: int = 1
    progress: Progress = Progress()
    running: int = 0
    done: int = 0


class ShardRef(Struct, frozen=True, order=True):
    """Which shard."""

    job: str
    number: int


class Shard(Struct, frozen=True):
    """One shard, as the store has it.

    Args:
        first: the number of its first row in the job, from 0.
        rows: how many it has.
        epoch: how often it was given to a worker; each has a folder of its own, named by it.
        worker: who has it, "" for nobody; `expires` says until when.
        lives: workers that have died over it since it last made progress.
    """

    ref: ShardRef
    first: int
    rows: int
    state: ShardState = "waiting"
    epoch: int = 0
    worker: str = ""
    expires: float = 0.0
    progress: Progress = Progress()
    lives: int = 0
    reason: str = ""


class Lease(Struct, frozen=True):
    """The right to run a shard, for as long as it is renewed.

    Args:
        job: what it is a part of.
        epoch: the fencing token: a write with an older one than the store's is refused.
        before: the epoch whose files are gone on with, None for none.
        seconds: how long it lasts from when it was asked for.
    """

    ref: ShardRef
    job: Job
    shard: Shard
    epoch: int
    worker: str
    seconds: float
    before: int | None = None


Standing = Literal["held", "cancelled", "lost"]
"""What a renewal comes to: go on, end for the job was cancelled, or end for the shard is another worker's now."""


class Event(Struct, frozen=True):
    """Somebody to be told that a job has ended: a row of the outbox, written in the same transaction as the end.

    Args:
        id: "evt_" and a ULID; the same for every attempt at telling.
        url: whom.
        state: the one that the job had come to.
        attempts: how often it was tried.
        due: when it is to be tried next.
    """

    id: str
    job: str
    url: str
    state: JobState
    created: float
    attempts: int = 0
    due: float = 0.0


class Finished(Struct, frozen=True):
    """How a shard's run ended.

    Args:
        complete: every row of it ended.
        reason: why not, for people.
        again: it is to be given to a worker once more, not to stop the job. Without a reason it was handed over; with one it was
            tried in vain (a full disk), which counts like a death.
    """

    complete: bool
    progress: Progress
    reason: str = ""
    again: bool = False
