"""The clock."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakeClock, LoopClock, settle_down

from llmx.clock import Signal, SystemClock, first_of


def test_time_does_not_go_back():
    """Monotonic seconds."""
    clock = SystemClock()
    times = [clock.now() for _ in range(1000)]
    assert times == sorted(times)


@pytest.mark.simulated_time
async def test_sleeping_takes_the_time_it_says():
    """`sleep` returns after that many seconds."""
    await SystemClock().sleep(3600)
    assert LoopClock().now() == pytest.approx(3600, abs=0.01)


@pytest.mark.parametrize("seconds", [0, -5])
async def test_a_wait_that_is_over_returns_at_once(seconds: float):
    """Zero and negative waits are none."""
    async with asyncio.timeout(1):
        await SystemClock().sleep(seconds)


async def test_the_fake_wakes_sleepers_in_their_order():
    """A clock moved by hand wakes each at the time that it asked for."""
    clock, woken = FakeClock(now=0), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.now()))

    tasks = [asyncio.ensure_future(sleeper(seconds)) for seconds in (3, 1, 2)]
    await settle_down()
    await clock.advance(2.5)
    assert woken == [(1, 1), (2, 2)]
    await clock.advance(1)
    await asyncio.gather(*tasks)
    assert (woken[-1], clock.now()) == ((3, 3), 3.5)


async def test_the_first_of_several_ends_the_others():
    """But a future is somebody else's: it may be waited for again."""
    ended: list[str] = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("never")

    kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await first_of(asyncio.sleep(0), never(), kept)
    await settle_down()
    assert (ended, kept.cancelled()) == (["never"], False)
    kept.set_result(None)
    await first_of(kept, asyncio.Event().wait())


async def test_a_signal_wakes_all_that_wait_and_nobody_later():
    """What has happened before is not waited for again."""
    signal = Signal()
    signal.happen()
    first, second = signal.next(), signal.next()
    assert not first.done()
    signal.happen()
    assert first.done()
    assert second.done()
    assert not signal.next().done()
