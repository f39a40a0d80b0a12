"""Requests and tokens per minute as buckets. The windows' law: tests/property."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from fakes import LoopClock

from llmx.layers.buckets import CATCH_UP, TOKEN_BURST, WINDOW, RequestBucket, TokenBucket

pytestmark = pytest.mark.simulated_time


async def times_of(bucket: RequestBucket | TokenBucket, *amounts: float | None) -> list[float]:
    """When each of them is let through, one after the other."""
    times = []
    for amount in amounts:
        if isinstance(bucket, TokenBucket):
            await bucket.acquire(amount or 0.0)
        else:
            await bucket.acquire()
        times.append(LoopClock().now())
    return times


async def test_a_limit_is_a_speed():
    """600 requests at 600 rpm take a minute and a second, evenly spaced."""
    times = await times_of(RequestBucket(600), *[None] * 600)
    assert times[-1] == pytest.approx(61, abs=0.2)
    gaps = [after - before for before, after in pairwise(times[5:])]
    assert min(gaps) == pytest.approx(0.1017, abs=0.001)
    assert max(gaps) == pytest.approx(0.1017, abs=0.001)


async def test_one_request_per_minute():
    """The smallest limit is kept: a minute and a second between any two."""
    times = await times_of(RequestBucket(1), None, None, None)
    assert times == [pytest.approx(n * WINDOW, abs=0.05) for n in range(3)]


async def test_a_fraction_of_a_request_is_of_no_use():
    """At 1.9 rpm no minute holds two requests."""
    assert RequestBucket(1.9).limit == 1
    assert (await times_of(RequestBucket(1.9), None, None))[1] >= 60


@pytest.mark.parametrize("rpm", [60, 3000, 60_000, 600_000])
async def test_at_once_go_only_those_that_timers_made_late(rpm: int):
    """One, and what a hundredth of a second is worth."""
    bucket = RequestBucket(rpm)
    times = await times_of(bucket, *[None] * min(rpm, 300))
    assert bucket.capacity == pytest.approx(1 + rpm / 60 * CATCH_UP)
    assert sum(time < 1e-3 for time in times) <= 1 + rpm / 60 * (CATCH_UP + 1e-3)


async def test_a_request_that_is_late_does_not_lose_its_place():
    """Five milliseconds late each time: the pace is that of the limit all the same."""
    bucket, clock = RequestBucket(600), LoopClock()
    for _ in range(100):
        await bucket.acquire()
        await clock.sleep(0.005)
    assert clock.now() == pytest.approx(99 * WINDOW / 600, rel=0.005)


async def test_ready():
    """Whether one more would wait."""
    bucket = RequestBucket(60)
    assert bucket.ready()
    await bucket.acquire()
    assert not bucket.ready()
    tokens = TokenBucket(60_000)
    assert tokens.ready(100)
    assert not tokens.ready(101)


async def test_a_bucket_that_follows_on_another_begins_full():
    """What that one has let through still counts: the first waits as long as all others."""
    assert not RequestBucket(60, full=True).ready()
    assert not TokenBucket(60_000, full=True).ready(1)
    assert (await times_of(RequestBucket(60, full=True), None))[0] == pytest.approx(61 / 60, rel=0.02)


async def test_tokens_are_a_speed():
    """A minute's worth of small rows takes a minute and a second, and a little for the rows' own size."""
    times = await times_of(TokenBucket(60_000), *[50.0] * 1200)
    assert 61 <= times[-1] + 0.1 <= 61.5


async def test_at_once_goes_a_tenth_of_a_second():
    """That much is allowed for, in every window."""
    bucket = TokenBucket(60_000)
    assert bucket.capacity == 60_000 / 60 * TOKEN_BURST
    times = await times_of(bucket, *[10.0] * 30)
    assert sum(time < 1e-3 for time in times) <= 11


@pytest.mark.parametrize(("amount", "share"), [(10_000, 0.79), (25_000, 0.5), (40_000, 0.5), (600_000, 0.5)])
async def test_a_large_row_waits_its_time(amount: float, share: float):
    """What it takes must fit beside one more of its size; beyond half of the limit the pace is half of it."""
    times = await times_of(TokenBucket(60_000), amount, amount, amount)
    assert times[2] - times[1] == pytest.approx(amount / (60_000 * share) * WINDOW, rel=0.01)


async def test_a_large_row_slows_those_before_it_too():
    """Two that are almost half of the limit never fall within a minute that is already well filled."""
    bucket = TokenBucket(6000)
    await times_of(bucket, *[10.0] * 500)
    times = await times_of(bucket, 2000.0, 2000.0)
    assert times[1] - times[0] >= 2000 / 6000 * WINDOW


async def test_nothing_costs_nothing():
    """A row of no tokens, or one that was paid for by those before, passes at once."""
    bucket = TokenBucket(60)
    await bucket.acquire(1.0)
    began = LoopClock().now()
    await times_of(bucket, 0.0, -500.0)
    assert LoopClock().now() - began < 1e-3


async def test_the_largest_row_is_known_to_the_next_bucket():
    """It may have been let through by the one before, and leave only now: the pace leaves room for it."""
    first = TokenBucket(3000)
    await first.acquire(300.0)
    times = await times_of(TokenBucket(600, full=True, largest=first.largest), *[1.0] * 300)
    assert times[-1] - times[0] == pytest.approx(61, rel=0.02)


async def test_a_large_row_slows_others_for_a_window_only():
    """Once it is gone for longer than that, the pace is what it was."""
    bucket = TokenBucket(6000)
    await times_of(bucket, 2500.0)
    slow = await times_of(bucket, *[10.0] * 100)
    assert 1000 / 6000 * WINDOW * 1.8 < slow[-1] - slow[0]
    await times_of(bucket, *[10.0] * 400)
    fast = await times_of(bucket, *[10.0] * 600)
    assert fast[-1] - fast[0] == pytest.approx(6000 / 6000 * WINDOW, rel=0.05)


async def test_a_wait_that_is_cancelled_leaves_a_new_bucket_full():
    """Else the next one would go at once, beside what the bucket before has let through."""
    bucket = RequestBucket(60, full=True)
    waiting = asyncio.ensure_future(bucket.acquire())
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (await times_of(bucket, None))[0] >= 61 / 60
