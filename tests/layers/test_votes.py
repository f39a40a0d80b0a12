"""A row's question is asked several times."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from fakes import Gate, a_request, settle_down
from msgspec.structs import replace

from llmx.errors import AuthenticationFailed, BudgetReached, InvalidAnswer, Stopped
from llmx.layers.careful import CAREFUL_START, careful
from llmx.layers.stop import Stop
from llmx.layers.votes import ballots, voted
from llmx.types import Completion, Handler, Request, Usage


def rekey(request: Request) -> Request:
    return replace(request, fingerprint=f"{request.fingerprint}/{request.sample}")


def agree(votes: Sequence[Completion]) -> Completion:
    return Completion("+".join(vote.text for vote in votes), Usage(), "m")


def answering(*ends: str | Exception) -> Handler:
    """A handler whose answer is that of the sample's number; each costs a dollar and an attempt."""

    async def call(request: Request) -> Completion:
        request.tally.attempts += 1
        request.tally.usage += Usage(10, 1, cost=Decimal(1))
        request.tally.endpoint = "one"
        end = ends[request.sample]
        if isinstance(end, Exception):
            raise end
        return Completion(end, Usage(), "m")

    return call


async def outcome(handler: Handler, votes: int = 3) -> tuple[Any, Request]:
    request = a_request()
    return await voted(votes, rekey=rekey, agree=agree, stop=Stop())(handler)(request), request


async def test_all_votes_are_asked_and_counted():
    """What they cost is the row's."""
    completion, request = await outcome(answering("a", "b", "c"))
    assert completion.text == "a+b+c"
    assert (request.tally.attempts, request.tally.usage.cost, request.tally.endpoint) == (3, 3, "one")


async def test_a_vote_without_a_valid_answer_is_left_out():
    """The others agree, or not, without it."""
    completion, request = await outcome(answering("a", InvalidAnswer("no"), "c"))
    assert completion.text == "a+c"
    assert request.tally.attempts == 3


async def test_a_row_fails_when_no_vote_is_valid():
    """By what the first one lacked; its attempts are counted all the same."""
    first = InvalidAnswer("the first")
    request = a_request()
    with pytest.raises(InvalidAnswer) as caught:
        await voted(2, rekey=rekey, agree=agree, stop=Stop())(answering(first, InvalidAnswer("no")))(request)
    assert caught.value is first
    assert request.tally.attempts == 2


@pytest.mark.parametrize("error", [Stopped("stop"), BudgetReached("no more")])
async def test_what_stops_the_run_stops_the_row(error: Exception):
    """Once all other votes have ended: their answers are kept."""
    request, stop = a_request(), Stop()
    with pytest.raises(Stopped):
        await voted(3, rekey=rekey, agree=agree, stop=stop)(answering("a", error, "c"))(request)
    assert request.tally.attempts == 3
    assert stop.reasons == ([error] if isinstance(error, BudgetReached) else [])


async def test_what_stops_the_run_keeps_other_votes_from_being_sent():
    """A wrong key is tried by as many calls as are let through at the start, however many votes there are."""
    stop, gate = Stop(), Gate()
    handler = voted(9, rekey=rekey, agree=agree, stop=stop)(careful(concurrency=9, stop=stop)(gate))
    row = asyncio.ensure_future(handler(a_request()))
    await settle_down()
    for call in gate.waiting:
        call.set_exception(AuthenticationFailed("wrong key"))
    with pytest.raises(Stopped):
        await row
    assert gate.calls == CAREFUL_START


def test_the_first_vote_is_the_request_itself():
    """So that a run without votes has paid for it already; the others differ in their sample's number alone."""
    request = a_request("f")
    asked = ballots(request, 3, rekey)
    assert [ballot.fingerprint for ballot in asked] == ["f", "f/1", "f/2"]
    assert [ballot.sample for ballot in asked] == [0, 1, 2]
    assert len({id(ballot.tally) for ballot in [request, *asked]}) == 4
