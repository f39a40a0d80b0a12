"""How jobs and shards change: pure functions that every store applies within one step of its own.

A change is what is to be written; what is not in it stays as it is. Nothing here waits, reads or writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from llmx.jobs.ids import ulid
from llmx.jobs.store import DEATHS
from llmx.jobs.types import (
    ENDED,
    Event,
    Finished,
    Job,
    JobState,
    Progress,
    Shard,
    ShardState,
    Standing,
    totals,
)
from llmx.text import plural

__all__ = ["Change", "cancelled", "claimed", "finished", "free", "renewed", "resumed", "summed"]


class Change(Struct, frozen=True):
    """What a step writes.

    Args:
        shards: those that have changed.
        event: for the outbox, None for none.
        standing: of the lease that asked, "held" where none did.
    """

    job: Job
    shards: Sequence[Shard] = ()
    event: Event | None = None
    standing: Standing = "held"


def summed(job: Job, shards: Sequence[Shard]) -> Job:
    """The job with the figures of its shards."""
    return replace(
        job,
        progress=totals(shard.progress for shard in shards),
        running=sum(shard.state == "running" for shard in shards),
        done=sum(shard.state == "done" for shard in shards),
    )


def free(job: Job, shard: Shard, now: float) -> bool:
    """Whether a worker may have the shard."""
    if job.state in ENDED:
        return False
    return shard.state == "waiting" or (shard.state == "running" and shard.expires <= now)


def claimed(job: Job, shard: Shard, worker: str, seconds: float, now: float) -> Change | None:
    """The shard for a worker; None when it is not free.

    The change's job is not running where the shard has killed too many workers: it is stopped instead.
    """
    if not free(job, shard, now):
        return None
    deaths = shard.lives + (shard.state == "running")
    if deaths >= DEATHS:
        reason = f"shard {shard.ref.number}: {plural(deaths, 'worker')} died over it without progress"
        return _stopped(job, replace(shard, state="stopped", worker="", lives=deaths, reason=reason), now)
    taken = replace(
        shard,
        state="running",
        epoch=shard.epoch + 1,
        worker=worker,
        expires=now + seconds,
        lives=deaths,
        reason="",
    )
    begun = job.started if job.started is not None else now
    return Change(_next(job, state="running", started=begun), [taken])


def _stopped(job: Job, shard: Shard, now: float) -> Change:
    return _ended(job, "stopped", shard.reason, [shard], now)


def _ended(job: Job, state: JobState, reason: str, shards: Sequence[Shard], now: float) -> Change:
    event = None if job.webhook is None else Event(ulid("evt_"), job.id, job.webhook, state, now, due=now)
    return Change(_next(job, state=state, reason=reason, ended=now), shards, event)


def _next(job: Job, **changes: object) -> Job:
    return replace(job, version=job.version + 1, **changes)


def _is_theirs(shard: Shard, epoch: int) -> bool:
    """Whether the lease is the last that was given, and its run has not ended."""
    return shard.state == "running" and shard.epoch == epoch


def renewed(job: Job, shard: Shard, epoch: int, seconds: float, progress: Progress, now: float) -> Change:
    """The lease for a while more, and how far the shard has come."""
    if not _is_theirs(shard, epoch):
        return Change(job, standing="lost")
    farther = progress.settled > shard.progress.settled
    held = replace(shard, expires=now + seconds, progress=progress, lives=0 if farther else shard.lives)
    standing: Standing = "cancelled" if job.state in ENDED else "held"
    return Change(job if progress == shard.progress else _next(job), [held], standing=standing)


def finished(
    job: Job, shards: Sequence[Shard], number: int, epoch: int, how: Finished, now: float
) -> Change | None:
    """The end of a shard's run, and of the job with the last one; None when the lease is an old one.

    Args:
        shards: all of the job.
    """
    shard = shards[number]
    if not _is_theirs(shard, epoch):
        return None
    ended = _end_of(shard, how)
    if job.state in ENDED:  # a run that was under way when the job ended
        waits = ended if ended.state == "done" else replace(ended, state="waiting")
        return Change(_next(job), [waits])
    if ended.state == "stopped":
        return _stopped(job, ended, now)
    rest = [ended if one.ref == shard.ref else one for one in shards]
    if any(one.state != "done" for one in rest):
        return Change(_next(job), [ended])
    state, reason = _verdict(job, totals(one.progress for one in rest))
    return _ended(job, state, reason, [ended], now)


def _end_of(shard: Shard, how: Finished) -> Shard:
    """The shard once its run has ended; one that is tried in vain too often has stopped."""
    vain = how.again and bool(how.reason)
    lives = (0 if how.progress.settled > shard.progress.settled else shard.lives) + 1 if vain else 0
    state: ShardState = "done" if how.complete else "waiting" if how.again and lives < DEATHS else "stopped"
    return replace(
        shard, state=state, worker="", expires=0.0, progress=how.progress, lives=lives, reason=how.reason
    )


def _verdict(job: Job, progress: Progress) -> tuple[JobState, str]:
    """What a job has come to whose rows have all ended."""
    failed = progress.failed + job.unreadable
    if failed <= job.allowed:
        return "succeeded", ""
    return "failed", f"{failed:,} of {job.rows:,} rows failed, {job.allowed:,} may"


def cancelled(job: Job, now: float) -> Change | None:
    """The end that its owner wants; None when it has ended already."""
    return None if job.state in ENDED else _ended(job, "cancelled", "", [], now)


def resumed(job: Job, shards: Sequence[Shard]) -> Change | None:
    """A stopped job goes on; None for any other."""
    if job.state != "stopped":
        return None
    again = [replace(one, state="waiting", lives=0, reason="") for one in shards if one.state == "stopped"]
    return Change(_next(job, state="queued", reason="", ended=None), again)
