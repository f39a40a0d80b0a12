"""The clock."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakeClock, LoopClock, settle_down

from llmx.clock import SystemClock


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
