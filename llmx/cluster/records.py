"""What the store keeps of jobs and shards in Redis: documents, and what its scripts need to know of them.

A job's document holds the figures of all its shards, so that a list of jobs reads no shards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llmx.errors import QueueAway
from llmx.jobs.rules import Change
from llmx.jobs.types import Event, Job, Progress, Shard, ShardRef

__all__ = [
    "Found",
    "event_document",
    "event_of",
    "found_of",
    "job_document",
    "job_of",
    "ref_of",
    "shard_documents",
    "with_figures",
]

T = TypeVar("T")

_encode = msgspec.json.encode


def _decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A reader of documents, which are data alone: whoever can write to Redis can make it fail, and nothing more."""
    decode = msgspec.json.Decoder(kind).decode

    def read(document: bytes) -> T:
        try:
            return decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = f"redis holds something that is no {kind.__name__.lower()}: {document[:60]!r}: {error}"
            raise QueueAway(problem, hint="redis-cli --scan --pattern '{llmx}:*'") from error

    return read


_job = _decoder(Job)
_shard = _decoder(Shard)
_event = _decoder(Event)


class Found(Struct, frozen=True):
    """What a step begins with.

    Args:
        now: seconds since 1970 by the server's clock.
        revision: counts the writes to the job.
        unknown: how many of its shards have an unknown cost.
        spent: what the others cost.
        shards: those that were asked for, by number.
    """

    now: float
    revision: bytes
    unknown: int
    spent: str
    job: Job
    shards: dict[int, Shard]


def found_of(reply: Sequence[Any]) -> Found:
    """The answer of `read.lua`."""
    now, document, revision, unknown, shards = reply
    several, _, spent = unknown.decode().partition(" ")
    known = sorted((_shard(one) for one in shards if one is not None), key=lambda one: one.ref)
    numbered = {one.ref.number: one for one in known}
    return Found(float(now), revision, int(several), spent, _job(document), numbered)


def job_of(document: bytes) -> Job:
    """A job as it is kept."""
    return _job(document)


def job_document(job: Job, unknown: int = 0, spent: str = "0") -> bytes:
    """What the scripts' `write_job` takes."""
    return _encode(
        {
            "id": job.id,
            "owner": job.owner,
            "state": job.state,
            "version": job.version,
            "unknown": f"{unknown} {spent}",
            "document": _encode(job).decode(),
        }
    )


def shard_documents(shards: Sequence[Shard]) -> bytes:
    """What the scripts' `write_shards` takes."""
    return _encode(
        [
            {
                "number": shard.ref.number,
                "state": shard.state,
                "expires": shard.expires,
                "document": _encode(shard).decode(),
            }
            for shard in shards
        ]
    )


def event_document(event: Event | None) -> bytes:
    """What the scripts' `announce` takes; nothing for none."""
    if event is None:
        return b""
    return _encode({"id": event.id, "due": event.due, "document": _encode(event).decode()})


def event_of(document: bytes, attempts: bytes, due: float) -> Event:
    """An event with what has changed since it was written."""
    return replace(_event(document), attempts=int(attempts), due=due)


def ref_of(name: bytes) -> ShardRef:
    """A shard by its name in the indexes; where that is none of ours, one that nobody has."""
    job, _, number = name.decode(errors="replace").rpartition(":")
    return ShardRef(job, int(number) if number.isdecimal() else -1)


def with_figures(found: Found, change: Change) -> tuple[Job, int, str]:
    """The job that a step comes to, with the figures of its shards; how many costs are unknown, and the sum of the others."""
    job, unknown, spent = change.job, found.unknown, Decimal(found.spent)
    progress, running, done = job.progress, job.running, job.done
    for new in change.shards:
        old = found.shards[new.ref.number]
        running += (new.state == "running") - (old.state == "running")
        done += (new.state == "done") - (old.state == "done")
        progress = _exchanged(progress, old.progress, new.progress)
        unknown += (new.progress.cost is None) - (old.progress.cost is None)
        spent += Decimal(new.progress.cost or 0) - Decimal(old.progress.cost or 0)
    cost = None if unknown else f"{spent:f}"
    progress = replace(progress, cost=cost)
    return replace(job, progress=progress, running=running, done=done), unknown, f"{spent:f}"


def _exchanged(total: Progress, old: Progress, new: Progress) -> Progress:
    """A total in which one part has become another; its cost is not looked at."""
    kinds = dict.fromkeys((*total.errors, *new.errors))
    errors = {
        kind: total.errors.get(kind, 0) - old.errors.get(kind, 0) + new.errors.get(kind, 0) for kind in kinds
    }
    return Progress(
        total.settled - old.settled + new.settled,
        total.failed - old.failed + new.failed,
        total.cached - old.cached + new.cached,
        total.calls - old.calls + new.calls,
        total.input_tokens - old.input_tokens + new.input_tokens,
        total.output_tokens - old.output_tokens + new.output_tokens,
        total.cost,
        {kind: count for kind, count in errors.items() if count},
    )
