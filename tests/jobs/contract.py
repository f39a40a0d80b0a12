"""What every store of jobs must do: tests that are inherited by one class for each implementation.

A class gives a fixture `store` and one `later`, which lets leases of so many seconds run out: with a clock of its own at
once, with a server's in real time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from llmx.jobs.ids import ulid
from llmx.jobs.store import DEATHS, Conflict, Store
from llmx.jobs.types import Event, Finished, Job, Progress, Shard, ShardRef

Later = Callable[[float], Awaitable[None]]

SHORT = 0.2
"""Seconds of a lease that is to run out."""


def job(
    shards: int = 2, *, owner: str = "team", webhook: str | None = None, allowed: int = 0, **more: object
) -> Job:
    """A job of shards of ten rows."""
    return Job(
        ulid("job_"),
        owner,
        {"schema": "name", "model": ["mock/m"]},
        10 * shards,
        shards,
        1_000.0,
        webhook=webhook,
        allowed=allowed,
        **more,  # type: ignore[arg-type]  # fields of a job
    )


def shards_of(job: Job) -> list[Shard]:
    """Its shards, none of which was begun."""
    return [Shard(ShardRef(job.id, number), 10 * number, 10) for number in range(job.shards)]


def all_done(failed: int = 0) -> Finished:
    """A shard's run that came to its end."""
    errors = {"invalid_answer": failed} if failed else {}
    return Finished(True, Progress(10, failed, 0, 10, 100, 50, "0.25", errors))


async def created(store: Store, **options: object) -> Job:
    """A job that the store knows."""
    new = job(**options)  # type: ignore[arg-type]  # of `job`
    return await store.create(new, shards_of(new))


class StoreContract:
    """The tests."""

    async def test_a_job_is_as_it_was_made(self, store: Store) -> None:
        """What was created is what is read, listed, and its shards wait in order."""
        new = await created(store)
        assert await store.get(new.id) == new
        assert [new] == list(await store.list())
        assert [ShardRef(new.id, 0), ShardRef(new.id, 1)] == list(await store.waiting())
        assert shards_of(new) == list(await store.shards(new.id))

    async def test_unknown_jobs_are_none(self, store: Store) -> None:
        """Nothing is made up of a name that nobody knows."""
        name = ulid("job_")
        assert await store.get(name) is None
        assert await store.cancel(name) is None
        assert await store.resume(name) is None
        assert await store.changed(name, 0, 0) is None
        assert await store.claim(ShardRef(name, 0), "w") is None
        assert not await store.forget(name)
        assert [] == list(await store.shards(name))

    async def test_a_key_makes_one_job(self, store: Store) -> None:
        """The same idempotency key gives the first job, also to many at once; another request under it is a conflict."""
        first, *others = [job() for _ in range(8)]
        made = await store.create(first, shards_of(first), ("key", "digest"))
        again = await asyncio.gather(
            *(store.create(other, shards_of(other), ("key", "digest")) for other in others)
        )
        assert {made.id} == {one.id for one in again} == {one.id for one in await store.list()}
        assert (first.id, "digest") == await store.earlier("team", "key")
        with pytest.raises(Conflict):
            await store.create(others[0], shards_of(others[0]), ("key", "another"))

    async def test_keys_are_their_owners(self, store: Store) -> None:
        """Two owners may use the same idempotency key."""
        for owner in ("a", "b"):
            new = job(owner=owner)
            assert new == await store.create(new, shards_of(new), ("key", "digest"))
        assert await store.earlier("c", "key") is None

    async def test_lists_are_the_newest_first_in_pages(self, store: Store) -> None:
        """`before` goes on where a page ended; owner and state restrict."""
        made = [await created(store, owner=owner) for owner in "ababa"]
        newest = sorted((one.id for one in made), reverse=True)
        page = [one.id for one in await store.list(limit=2)]
        assert newest[:2] == page
        assert newest[2:] == [one.id for one in await store.list(before=page[-1])]
        assert [one.id for one in await store.list(owner="b")] == sorted(
            (made[1].id, made[3].id), reverse=True
        )
        await store.cancel(made[0].id)
        assert [made[0].id] == [one.id for one in await store.list(state="cancelled")]
        assert [] == list(await store.list(owner="b", state="cancelled"))

    async def test_one_of_many_claims_wins(self, store: Store) -> None:
        """A shard is one worker's at a time."""
        new = await created(store)
        ref = ShardRef(new.id, 0)
        leases = await asyncio.gather(*(store.claim(ref, f"w{number}") for number in range(10)))
        (lease,) = [lease for lease in leases if lease is not None]
        assert (1, ref, lease.worker) == (lease.epoch, lease.shard.ref, lease.shard.worker)
        now = await store.get(new.id)
        assert now is not None
        assert ("running", 1, 0) == (now.state, now.running, now.done)
        assert now.started is not None
        assert now.version > new.version
        assert [ShardRef(new.id, 1)] == list(await store.waiting())

    async def test_a_lease_that_ran_out_is_another_workers(self, store: Store, later: Later) -> None:
        """The newer epoch fences the older one: its writes are refused and change nothing."""
        new = await created(store, shards=1)
        ref = ShardRef(new.id, 0)
        old = await store.claim(ref, "old", SHORT)
        assert old is not None
        assert await store.claim(ref, "new") is None
        await later(SHORT)
        assert [ref] == list(await store.waiting())
        lease = await store.claim(ref, "new")
        assert lease is not None
        assert old.epoch < lease.epoch
        assert "lost" == await store.renew(old, Progress(9))
        assert not await store.finish(old, all_done())
        (shard,) = await store.shards(new.id)
        assert ("new", 1, Progress()) == (shard.worker, shard.lives, shard.progress)
        assert await store.finish(lease, all_done())

    async def test_a_late_renewal_holds_what_nobody_took(self, store: Store, later: Later) -> None:
        """A lease that ran out unnoticed is good again once it is renewed."""
        new = await created(store, shards=1)
        lease = await store.claim(ShardRef(new.id, 0), "w", SHORT)
        assert lease is not None
        await later(SHORT)
        assert "held" == await store.renew(lease, Progress())
        assert await store.finish(lease, all_done())

    async def test_renewals_tell_how_far_it_is(self, store: Store) -> None:
        """A job's figures are those of its shards together."""
        new = await created(store)
        leases = [await store.claim(ShardRef(new.id, number), "w") for number in (0, 1)]
        for number, lease in enumerate(leases):
            assert lease is not None
            told = Progress(3 + number, 1, 0, 5, 10, 5, "0.10", {"refusal": 1})
            assert "held" == await store.renew(lease, told)
        now = await store.get(new.id)
        assert now is not None
        assert Progress(7, 2, 0, 10, 20, 10, "0.20", {"refusal": 2}) == now.progress

    async def test_an_unknown_cost_is_not_nothing(self, store: Store) -> None:
        """One shard of unknown cost makes that of the job unknown."""
        new = await created(store)
        lease = await store.claim(ShardRef(new.id, 0), "w")
        assert lease is not None
        await store.renew(lease, Progress(1, cost=None))
        now = await store.get(new.id)
        assert now is not None
        assert now.progress.cost is None

    async def test_the_last_shard_ends_the_job_once(self, store: Store) -> None:
        """Shards that end at the same time end the job once, with one event."""
        new = await created(store, shards=6, webhook="https://example.org/hook")
        leases = await asyncio.gather(*(store.claim(ref, "w") for ref in await store.waiting()))
        ended = await asyncio.gather(*(store.finish(lease, all_done()) for lease in leases if lease))
        assert [True] * 6 == ended
        now = await store.get(new.id)
        assert now is not None
        assert ("succeeded", 6, 60, "1.50") == (now.state, now.done, now.progress.settled, now.progress.cost)
        assert now.ended is not None
        (event,) = await store.due(60)
        assert (new.id, "https://example.org/hook", "succeeded") == (event.job, event.url, event.state)
        assert not await store.finish(leases[0], all_done())  # type: ignore[arg-type]  # one of them

    @pytest.mark.parametrize(("allowed", "state"), [(2, "succeeded"), (1, "failed")])
    async def test_failed_rows_are_held_against_what_is_allowed(
        self, store: Store, allowed: int, state: str
    ) -> None:
        """As many rows may fail as the job says, those that could not be read included."""
        new = await created(store, shards=1, allowed=allowed, unreadable=1)
        lease = await store.claim(ShardRef(new.id, 0), "w")
        assert lease is not None
        await store.finish(lease, all_done(failed=1))
        now = await store.get(new.id)
        assert now is not None
        assert state == now.state
        assert bool(now.reason) == (state == "failed")

    async def test_a_shard_that_is_given_back_goes_on_elsewhere(self, store: Store) -> None:
        """A worker that shuts down hands its shard over at once, with what was done; nobody has died."""
        new = await created(store, shards=1)
        ref = ShardRef(new.id, 0)
        lease = await store.claim(ref, "w")
        assert lease is not None
        assert await store.finish(lease, Finished(False, Progress(4), again=True))
        assert [ref] == list(await store.waiting())
        lease = await store.claim(ref, "other")
        assert lease is not None
        assert (2, 0, Progress(4)) == (lease.epoch, lease.shard.lives, lease.shard.progress)

    async def test_a_shard_that_is_tried_in_vain_stops_the_job(self, store: Store) -> None:
        """A full disk may be one worker's own; when it is everybody's, the job is stopped with the reason."""
        new = await created(store, shards=1)
        ref = ShardRef(new.id, 0)
        for number in range(DEATHS):
            lease = await store.claim(ref, f"w{number}")
            assert lease is not None
            assert await store.finish(lease, Finished(False, Progress(), "no space left", again=True))
        assert await store.claim(ref, "w") is None
        now = await store.get(new.id)
        assert now is not None
        assert ("stopped", "no space left") == (now.state, now.reason)

    async def test_a_shard_that_stops_stops_the_job(self, store: Store) -> None:
        """The others hear of it at their next renewal; a resumed job goes on with what is left."""
        new = await created(store, shards=3, webhook="https://example.org/hook")
        first, second = [await store.claim(ShardRef(new.id, number), "w") for number in (0, 1)]
        assert first is not None
        assert second is not None
        assert await store.finish(first, Finished(False, Progress(2), "--max-cost reached"))
        now = await store.get(new.id)
        assert now is not None
        assert ("stopped", "--max-cost reached") == (now.state, now.reason)
        assert [] == list(await store.waiting())
        assert "cancelled" == await store.renew(second, Progress(3))
        assert await store.finish(second, Finished(False, Progress(3), again=True))
        assert ["stopped"] == [event.state for event in await store.due(60)]
        again = await store.resume(new.id)
        assert again is not None
        assert ("queued", "", None, 5) == (again.state, again.reason, again.ended, again.progress.settled)
        assert 3 == len(await store.waiting())

    async def test_only_stopped_jobs_are_resumed(self, store: Store) -> None:
        """Of a job in any other state nothing changes."""
        new = await created(store)
        assert new == await store.resume(new.id)
        cancelled = await store.cancel(new.id)
        assert cancelled is not None
        assert cancelled == await store.resume(new.id)

    async def test_a_cancelled_job_is_at_its_end_at_once(self, store: Store) -> None:
        """Nothing of it is begun any more, what runs hears of it, and its end is told once."""
        new = await created(store, webhook="https://example.org/hook")
        lease = await store.claim(ShardRef(new.id, 0), "w")
        assert lease is not None
        now = await store.cancel(new.id)
        assert now is not None
        assert "cancelled" == now.state
        assert now == await store.cancel(new.id)
        assert await store.claim(ShardRef(new.id, 1), "w") is None
        assert "cancelled" == await store.renew(lease, Progress(1))
        assert await store.finish(lease, Finished(False, Progress(2), again=True))
        now = await store.get(new.id)
        assert now is not None
        assert ("cancelled", 2) == (now.state, now.progress.settled)
        assert ["cancelled"] == [event.state for event in await store.due(60)]
        assert [] == list(await store.waiting())

    async def test_a_shard_that_kills_its_workers_stops_the_job(self, store: Store, later: Later) -> None:
        """After so many deaths without progress nobody is given it any more."""
        new = await created(store, shards=1)
        ref = ShardRef(new.id, 0)
        for epoch in range(1, DEATHS + 1):
            lease = await store.claim(ref, "w", SHORT)
            assert lease is not None
            assert epoch == lease.epoch
            await later(SHORT)
        assert await store.claim(ref, "w") is None
        now = await store.get(new.id)
        assert now is not None
        assert "stopped" == now.state
        assert "died" in now.reason
        assert await store.resume(new.id)
        assert await store.claim(ref, "w") is not None

    async def test_progress_forgives_deaths(self, store: Store, later: Later) -> None:
        """A shard that comes farther each time is not what kills its workers."""
        new = await created(store, shards=1)
        ref = ShardRef(new.id, 0)
        for settled in range(1, DEATHS + 3):
            lease = await store.claim(ref, "w", SHORT)
            assert lease is not None
            assert "held" == await store.renew(lease, Progress(settled))
            await later(SHORT)

    async def test_owners_take_turns(self, store: Store) -> None:
        """Who has fewer shards running is served first, however late they came."""
        first = await created(store, shards=3, owner="many")
        second = await created(store, shards=1, owner="few")
        assert await store.claim(ShardRef(first.id, 0), "w") is not None
        assert [ShardRef(second.id, 0), ShardRef(first.id, 1)] == list(await store.waiting(limit=2))

    async def test_changes_are_waited_for(self, store: Store) -> None:
        """A reader sleeps until there is something new, and no longer than it wants to."""
        new = await created(store)
        assert new == await store.changed(new.id, new.version, 0)
        waiting = asyncio.create_task(store.changed(new.id, new.version, 30))
        await asyncio.sleep(0.01)
        await store.claim(ShardRef(new.id, 0), "w")
        now = await asyncio.wait_for(waiting, 10)
        assert now is not None
        assert (new.version + 1, "running") == (now.version, now.state)
        assert now == await store.changed(new.id, new.version, 30)

    async def test_events_are_given_to_one_at_a_time(self, store: Store, later: Later) -> None:
        """Until it was told or postponed, one that was taken comes again only after its time."""
        new = await created(store, webhook="https://example.org/hook")
        await store.cancel(new.id)
        (event,) = await store.due(SHORT)
        assert [] == list(await store.due(SHORT))
        await later(SHORT)
        (again,) = await store.due(60)
        assert (event.id, 0) == (again.id, again.attempts)
        await store.postpone(again, SHORT)
        assert [] == list(await store.due(60))
        await later(SHORT)
        (third,) = await store.due(60)
        assert (event.id, 1) == (third.id, third.attempts)
        await store.told(third)
        await store.postpone(third, 0)
        await later(SHORT)
        assert [] == list(await store.due(60))

    async def test_no_event_without_a_webhook(self, store: Store) -> None:
        """Nobody is told who did not ask."""
        new = await created(store)
        await store.cancel(new.id)
        empty: list[Event] = []
        assert empty == list(await store.due(60))

    async def test_only_jobs_that_have_ended_are_forgotten(self, store: Store) -> None:
        """And not while a worker is still writing to one."""
        new = await created(store)
        assert not await store.forget(new.id)
        lease = await store.claim(ShardRef(new.id, 0), "w")
        assert lease is not None
        await store.cancel(new.id)
        assert not await store.forget(new.id)
        await store.finish(lease, Finished(False, Progress(), again=True))
        assert await store.forget(new.id)
        assert await store.get(new.id) is None
        assert [] == list(await store.shards(new.id))
        assert not await store.forget(new.id)

    async def test_it_is_ready(self, store: Store) -> None:
        """A store that can be written to says so."""
        assert await store.ready()
