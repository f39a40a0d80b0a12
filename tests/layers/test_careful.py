"""The careful start: few rows until the first good answer."""

from __future__ import annotations

import asyncio

import pytest
from fakes import Gate, Log, LoopClock, a_request, all_of, an_answer, settle_down

from llmx.errors import AuthenticationFailed, ConnectionFailed, Interrupted, ProviderDown, RowRefused, Stopped
from llmx.layers.careful import CAREFUL_START, careful
from llmx.layers.health import Health
from llmx.layers.retry import RetryPolicy, retried
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Request

pytestmark = pytest.mark.simulated_time


def started(handler: Handler, count: int, stop: Stop | None = None) -> list[asyncio.Task[Completion]]:
    layer = careful(concurrency=count, stop=stop or Stop())(handler)
    return [asyncio.ensure_future(layer(a_request(str(n)))) for n in range(count)]


async def test_a_careful_start():
    """Three requests are let through, and no fourth."""
    gate = Gate()
    tasks = started(gate, 50)
    await asyncio.sleep(10)
    assert gate.calls == CAREFUL_START == 3
    for task in tasks:
        task.cancel()
    await all_of(tasks)


async def test_the_first_good_answer_frees_all_at_once():
    """One good answer and everybody is let through in the same instant, latecomers too."""
    gate = Gate()
    tasks = started(gate, 50)
    await settle_down()
    gate.waiting[0].set_result(an_answer())
    await settle_down(200)
    assert gate.calls == 50
    for ticket in gate.waiting[1:]:
        ticket.set_result(an_answer())
    await asyncio.gather(*tasks)


async def test_errors_keep_the_start_careful():
    """A failed row gives its place to the next, and never more than three are tried."""
    gate = Gate()
    tasks = started(gate, 9)
    for done in range(9):
        await settle_down()
        assert gate.calls == min(done + CAREFUL_START, 9)
        gate.waiting[done].set_exception(RowRefused("400"))
    assert all(isinstance(end, RowRefused) for end in await all_of(tasks))


async def test_places_are_given_back_whatever_happens():
    """After errors and cancelled calls, waiting ones included, three are let through again."""
    gate = Gate()
    layer = careful(concurrency=9, stop=Stop())(gate)
    tasks = [asyncio.ensure_future(layer(a_request(str(n)))) for n in range(5)]
    await settle_down()
    tasks[0].cancel()
    tasks[4].cancel()
    gate.waiting[1].set_exception(AuthenticationFailed("401"))
    await settle_down()
    for ticket in gate.waiting[2:]:
        ticket.set_exception(RowRefused("400"))
    await all_of(tasks)
    before = gate.calls
    again = [asyncio.ensure_future(layer(a_request(str(n)))) for n in range(9)]
    await settle_down()
    assert gate.calls - before == CAREFUL_START
    for task in again:
        task.cancel()
    await all_of(again)


async def test_a_server_that_is_down_is_tried_by_three():
    """A row keeps its place while it waits for its next attempt."""
    attempts: list[str] = []

    async def down(request: Request) -> Completion:
        attempts.append(request.fingerprint)
        raise ConnectionFailed("refused")

    stop, policy = Stop(), RetryPolicy(retries=5)
    retries = retried(
        policy,
        health=Health(),
        clock=LoopClock(),
        stop=stop,
        observer=Log(),
        allowed=lambda: asyncio.sleep(0),
    )
    handler = careful(concurrency=32, stop=stop)(retries(down))

    async def settle(name: str) -> None:
        try:
            await handler(a_request(name))
        except ProviderDown as error:  # as the pipeline does
            stop.set(error)

    ends = await all_of([asyncio.ensure_future(settle(str(n))) for n in range(32)])
    assert {type(end) for end in ends} <= {type(None), Stopped}
    assert isinstance(stop.reason, ProviderDown)
    assert set(attempts) == {"0", "1", "2"}
    assert len(attempts) <= 18


async def test_a_stop_ends_the_waiting():
    """Those that were never tried give up; the others end by themselves."""
    gate, stop = Gate(), Stop()
    tasks = started(gate, 5, stop)
    await settle_down()
    stop.set(Interrupted(2))
    await settle_down()
    for ticket in gate.waiting:
        ticket.set_result(an_answer())
    assert [type(end).__name__ for end in await all_of(tasks)] == ["Completion"] * 3 + ["Stopped"] * 2
