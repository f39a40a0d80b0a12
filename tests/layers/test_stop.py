"""The stop switch: waits end at once, what is in flight does not."""

from __future__ import annotations

import asyncio

import pytest
from fakes import settle_down

from llmx.errors import Interrupted, LlmxError, Stopped
from llmx.layers.stop import Stop


async def waiting(stop: Stop) -> asyncio.Task[None]:
    """A task in an interruptible wait that only a stop or a cancel ends."""

    async def wait() -> None:
        with stop.interruptible():
            await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await settle_down()
    return task


async def test_a_stop_ends_a_wait_at_once():
    """A task that waits gets Stopped, with the reason."""
    stop = Stop()
    task = await waiting(stop)
    stop.set(Interrupted(2))
    with pytest.raises(Stopped, match=r"^interrupted$"):
        await task


async def test_a_stop_that_came_before_ends_the_wait_before_it_begins():
    """Nothing waits any more once the switch is thrown."""
    stop = Stop()
    stop.set(Interrupted(2))
    with pytest.raises(Stopped), stop.interruptible():
        pytest.fail("the wait began")


async def test_a_stop_leaves_other_work_alone():
    """A task outside an interruptible wait runs to its end."""
    stop, gate = Stop(), asyncio.Event()
    task = asyncio.ensure_future(gate.wait())
    await settle_down()
    stop.set(Interrupted(2))
    await settle_down()
    gate.set()
    assert await task is True


async def test_a_wait_that_is_over_is_forgotten():
    """A task that has left its wait is not cancelled by a later stop."""
    stop, gate = Stop(), asyncio.Event()

    async def work() -> str:
        with stop.interruptible():
            await asyncio.sleep(0)
        await gate.wait()
        return "settled"

    task = asyncio.ensure_future(work())
    await settle_down()
    stop.set(Interrupted(2))
    gate.set()
    assert await task == "settled"


async def test_a_stopped_task_can_go_on_waiting_for_other_things():
    """The cancellation is taken back: what unwinds the task may still await."""
    stop = Stop()

    async def work() -> int:
        try:
            with stop.interruptible():
                await asyncio.Event().wait()
        except Stopped:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
        return asyncio.current_task().cancelling()  # type: ignore[union-attr]  # within a task

    task = asyncio.ensure_future(work())
    await settle_down()
    stop.set(Interrupted(2))
    assert await task == 0


async def test_a_cancel_without_a_stop_stays_a_cancel():
    """Cancelling a waiting task is not mistaken for a stop."""
    task = await waiting(Stop())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_first_reason_counts_and_later_ones_are_kept():
    """`reason` is the first; `reasons` has all, for the exit code."""
    told: list[LlmxError] = []
    stop = Stop(told.append)
    first, second = Interrupted(2), Interrupted(15)
    stop.set(first)
    stop.set(second)
    assert stop.reason is first
    assert stop.reasons == [first, second]
    assert told == [first]


def test_check_raises_once_stopped():
    """`check` passes until the switch is thrown."""
    stop = Stop()
    stop.check()
    stop.set(Interrupted(15))
    with pytest.raises(Stopped, match=r"^terminated$"):
        stop.check()


async def test_who_is_cancelled_meanwhile_stays_cancelled():
    """Two signals may be heard in one turn of the loop: the second ends the run at once."""
    stop = Stop()

    async def wait() -> None:
        with stop.interruptible():
            await asyncio.sleep(60)

    task = asyncio.ensure_future(wait())
    await settle_down()
    stop.set(Interrupted(2))
    task.cancel()
    await settle_down()
    assert task.cancelled()


async def test_who_stops_the_run_in_the_midst_of_a_wait_is_not_cancelled():
    """It raises by itself; a cancellation would come later, when it has to do with something else."""
    stop = Stop()

    async def layer() -> None:
        with stop.interruptible():
            stop.set(Interrupted(2))
            stop.check()

    async def row() -> str:
        with pytest.raises(Stopped):
            await layer()
        await asyncio.sleep(0)
        return "settled"

    assert await asyncio.ensure_future(row()) == "settled"
