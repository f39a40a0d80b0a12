"""What is known of jobs, and the rules by which it changes: a protocol with two implementations.

`sqlite` keeps it in a file of this machine, `llmx.cluster.store` in Redis; `tests/jobs/contract.py` is what both
must pass. Every method is one atomic step that has reached the disk (of Redis: its log) when it returns, so that a process may be
killed between any two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llmx.jobs.types import Event, Finished, Job, JobState, Lease, Progress, Shard, ShardRef, Standing

__all__ = ["DEATHS", "LEASE", "Conflict", "Jobs", "Outbox", "Shards", "Store"]

LEASE = 15.0
"""Seconds for which a lease lasts; it is renewed every second."""

DEATHS = 5
"""Workers that may die over one shard without any progress before its job is stopped: the shard kills them."""


class Conflict(Exception):
    """An idempotency key was used before, for another request."""


class Jobs(Protocol):
    """Jobs as a client sees them."""

    async def create(
        self, job: Job, shards: Sequence[Shard], idempotency: tuple[str, str] | None = None
    ) -> Job:
        """Keep a new job; or find the one that the same key made within a day.

        Args:
            idempotency: the client's key and the digest of its request; keys are the owner's own.

        Raises:
            Conflict: the key came with another request.
        """
        ...

    async def earlier(self, owner: str, key: str) -> tuple[str, str] | None:
        """The job's id and the digest of the request of an idempotency key within its day, None for a new key."""
        ...

    async def get(self, id: str) -> Job | None:
        """One job, its figures those of the last renewals."""
        ...

    async def list(
        self,
        *,
        owner: str | None = None,
        state: JobState | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Jobs, the newest first.

        Args:
            owner: whose; None for everybody's.
            before: an id: only jobs that are older than it.
        """
        ...

    async def cancel(self, id: str) -> Job | None:
        """End a job: shards that wait are not begun, those that run hear of it at their next renewal.

        Of a job that has ended nothing changes. Its state is "cancelled" at once, with its event in the outbox.
        """
        ...

    async def resume(self, id: str) -> Job | None:
        """Shards of a stopped job that are not done wait again; of any other job nothing changes."""
        ...

    async def forget(self, id: str) -> bool:
        """Remove what is known of a job that has ended; whether it was there and has. Its files are the caller's."""
        ...

    async def changed(self, id: str, version: int, seconds: float) -> Job | None:
        """The job once its version is beyond `version`, or after so many seconds as it is; None when there is none."""
        ...


class Shards(Protocol):
    """Shards as a worker sees them."""

    async def shards(self, job: str) -> Sequence[Shard]:
        """All of a job, in order."""
        ...

    async def waiting(self, limit: int = 100) -> Sequence[ShardRef]:
        """Shards of jobs that have not ended which nobody runs: those that wait, and those whose lease has run out.

        In the order in which they should be given away: owners with fewer running shards first, then older jobs.
        """
        ...

    async def claim(self, ref: ShardRef, worker: str, seconds: float = LEASE) -> Lease | None:
        """The shard for this worker, with an epoch above all earlier ones; None when it is not to be had.

        A shard whose lease has run out counts a death; the one after `DEATHS` of them without progress stops the job.
        """
        ...

    async def renew(self, lease: Lease, progress: Progress) -> Standing:
        """Hold the shard for another `lease.seconds` and note how far it has come."""
        ...

    async def finish(self, lease: Lease, finished: Finished) -> bool:
        """Note how the shard's run ended; False when the lease is not the last one any more, and nothing is changed.

        The last shard of a job ends the job, with its event in the outbox, in the same step. A shard that stopped
        (`complete` and `again` are False) stops the job: those that run hear "cancelled" at their next renewal.
        """
        ...


class Outbox(Protocol):
    """Ends of jobs that somebody wants to be told of."""

    async def due(self, seconds: float, limit: int = 100) -> Sequence[Event]:
        """Events whose time has come, each given to nobody else for so many seconds."""
        ...

    async def told(self, event: Event) -> None:
        """It has arrived, or was given up: forget it."""
        ...

    async def postpone(self, event: Event, seconds: float) -> None:
        """It has not: it is due again after so many seconds, with one attempt more."""
        ...


class Store(Jobs, Shards, Outbox, Protocol):
    """All of it, as one thing that is opened and closed."""

    async def ready(self) -> bool:
        """Whether it can be written to now."""
        ...

    async def aclose(self) -> None:
        """Let go of it."""
        ...
