"""One attempt's time limit."""

from __future__ import annotations

import asyncio

import pytest
from fakes import LoopClock, Script, a_request, an_answer
from hearing import Heard
from msgspec.structs import replace

from llmx.errors import CallTimeout
from llmx.layers.timeout import timed
from llmx.types import Completion, Request

pytestmark = pytest.mark.simulated_time


def answering_after(seconds: float):
    async def handler(request: Request) -> Completion:
        await asyncio.sleep(seconds)
        return an_answer()

    return handler


async def test_an_answer_in_time_passes():
    """A call that takes less than the limit is left alone."""
    assert await timed(120)(answering_after(119))(a_request()) == an_answer()


async def test_a_late_answer_is_a_call_timeout():
    """The limit ends the call when it is reached, and says that it may have been billed."""
    with pytest.raises(CallTimeout, match=r"^no answer within 120 s; it may have been billed$") as caught:
        await timed(120)(answering_after(121))(a_request())
    assert LoopClock().now() == pytest.approx(120, abs=0.01)
    assert caught.value.hint == "a longer --timeout"


async def test_a_timeout_error_of_the_provider_is_not_taken_for_ours():
    """Only our own limit becomes a CallTimeout: an adapter that leaks TimeoutError has a bug to show."""
    with pytest.raises(TimeoutError):
        await timed(120)(Script(TimeoutError("theirs")))(a_request())


async def test_a_cancelled_call_stays_cancelled():
    """Cancelling the row is no timeout."""
    task = asyncio.ensure_future(timed(120)(answering_after(100))(a_request()))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def speaking(*pauses: float, text: str = "x"):
    async def handler(request: Request) -> Completion:
        assert request.ear is not None
        request.ear.begin()
        for seconds in pauses:
            await asyncio.sleep(seconds)
            request.ear.hear(text)
        await asyncio.sleep(pauses[-1])
        return an_answer()

    return handler


async def test_an_answer_that_goes_on_takes_its_time():
    """Of what is heard while it is written, the limit is on silence."""
    heard = Heard()
    assert await timed(120)(speaking(100, 100, 100))(replace(a_request(), ear=heard)) == an_answer()
    assert (heard.text, heard.begun) == ("xxx", 1)


async def test_many_pieces_put_the_limit_off_as_well():
    """Though not each of them sets the timer."""
    heard = Heard()
    assert await timed(10)(speaking(*[0.1] * 200, 9.9))(replace(a_request(), ear=heard)) == an_answer()


async def test_silence_in_mid_answer_is_a_call_timeout():
    """Counted from the last piece, give or take a twentieth."""
    with pytest.raises(CallTimeout):
        await timed(100)(speaking(90, 200))(replace(a_request(), ear=Heard()))
    assert LoopClock().now() == pytest.approx(90 + 105, abs=0.1)


async def test_restarts_are_passed_on():
    """What is told below the limit reaches the ear."""
    heard = Heard()

    async def handler(request: Request) -> Completion:
        assert request.ear is not None
        request.ear.restart("retry", "once more")
        return an_answer()

    await timed(100)(handler)(replace(a_request(), ear=heard))
    assert heard.restarts == [("retry", "once more")]
