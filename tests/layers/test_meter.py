"""Every attempt is counted, with what it cost."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from fakes import FakeClock, Gate, Log, Script, a_request, an_answer, settle_down

from llmx.errors import CallTimeout, ServerError
from llmx.events import AttemptFailed, AttemptStarted, AttemptSucceeded
from llmx.layers.meter import metered
from llmx.types import Completion, Handler, Question, Request, Usage

ASKED = Question(None, 0, 0)


def over(handler: Handler, log: Log, clock: FakeClock | None = None) -> Handler:
    return metered("mock", clock=clock or FakeClock(), observer=log)(handler)


async def test_the_tally_sums_usage_over_attempts():
    """Two calls for one row are two attempts and both their tokens and money."""
    request = a_request()
    handler = over(Script(an_answer(tokens=10)), Log())
    await handler(request)
    await handler(request)
    assert request.tally.attempts == 2
    assert request.tally.usage == Usage(20, 2, cost=Decimal("0.02"))


async def test_an_attempt_that_fails_counts():
    """A failed call is an attempt without known usage."""
    request = a_request()
    with pytest.raises(ServerError):
        await over(Script(ServerError("500")), Log())(request)
    assert (request.tally.attempts, request.tally.usage) == (1, Usage())


async def test_an_attempt_that_may_be_billed_makes_the_cost_unknown():
    """What a timeout has cost nobody knows, so nobody says it was nothing."""
    request = a_request()
    with pytest.raises(CallTimeout):
        await over(Script(CallTimeout("no answer")), Log())(request)
    assert request.tally.usage == Usage(cost=None)


async def test_a_cancelled_attempt_may_be_billed():
    """It was sent, and nobody waited for its end."""
    request, log, gate = a_request(), Log(), Gate()
    call = asyncio.ensure_future(over(gate, log)(request))
    await settle_down()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert request.tally.usage == Usage(cost=None)
    assert [event.error.maybe_billed for event in log.of(AttemptFailed)] == [True]


async def test_a_good_attempt_is_told_with_its_time_and_usage():
    """Observers hear of the start, and of the end with the seconds it took."""
    log, clock = Log(), FakeClock()

    async def slow(request: Request) -> Completion:
        await clock.advance(1.5)
        return an_answer()

    await over(slow, log, clock)(a_request())
    assert log.events == [
        AttemptStarted("mock"),
        AttemptSucceeded("mock", an_answer().usage, 1.5, ASKED, an_answer().model),
    ]


async def test_a_failed_attempt_is_told_with_its_error():
    """Observers hear which error ended an attempt."""
    log, error = Log(), ServerError("500")
    with pytest.raises(ServerError):
        await over(Script(error), log)(a_request())
    assert log.events == [AttemptStarted("mock"), AttemptFailed("mock", error, 0.0, ASKED)]
