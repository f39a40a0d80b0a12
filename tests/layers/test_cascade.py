"""The cheap model first, a dearer one where its answer will not do."""

from __future__ import annotations

from decimal import Decimal

import pytest
from fakes import a_request
from msgspec.structs import replace

from llmx.errors import AuthenticationFailed, InvalidAnswer, NotStored, RowError
from llmx.events import Escalated, Event, Sufficed
from llmx.layers.cascade import Rung, cascaded
from llmx.types import Completion, Request, Usage


def rung(name: str, end: str | Exception, *, price: int, votes: int = 1) -> Rung:
    """A rung whose calls take 10 tokens, of which each costs `price`."""

    async def call(request: Request) -> Completion:
        assert request.model == name
        if request.stored:
            raise NotStored("nothing is stored")
        request.tally.attempts += 1
        request.tally.usage += Usage(10, 0, cost=Decimal(10 * price))
        request.tally.endpoint = name
        if isinstance(end, Exception):
            raise end
        return Completion(end, Usage(), name)

    return Rung(
        name,
        call,
        lambda request: replace(request, model=name),
        lambda usage: Decimal(usage.input_tokens * price),
        votes,
    )


def verdict(completion: Completion) -> str:
    return "" if completion.text == "good" else "votes"


async def climbed(*rungs: Rung) -> tuple[Completion | RowError, Request, list[Event]]:
    events: list[Event] = []
    request = a_request()
    try:
        return await cascaded(rungs, verdict=verdict, observer=events.append)(request), request, events
    except RowError as error:
        return error, request, events


async def test_a_good_answer_is_the_last():
    """Nobody else is asked, and what that saves is told."""
    completion, request, events = await climbed(
        rung("cheap", "good", price=1), rung("strong", "good", price=5)
    )
    assert completion.model == "cheap"  # type: ignore[union-attr]
    assert (request.tally.attempts, request.tally.usage.cost, request.tally.endpoint) == (1, 10, "cheap")
    assert events == [Sufficed("cheap", Decimal(10), Decimal(40))]


async def test_votes_are_saved_against_one_answer_of_the_dearest():
    """It would not have been put to the vote."""
    *_, events = await climbed(rung("cheap", "good", price=1, votes=2), rung("strong", "good", price=5))
    assert events == [Sufficed("cheap", Decimal(10), Decimal(15))]


@pytest.mark.parametrize(("end", "reason"), [("bad", "votes"), (InvalidAnswer("no"), "invalid_answer")])
async def test_an_answer_that_will_not_do_is_passed_on(end: str | Exception, reason: str):
    """Both are paid for, and why is told."""
    completion, request, events = await climbed(rung("cheap", end, price=1), rung("strong", "any", price=5))
    assert completion.text == "any"  # type: ignore[union-attr]
    assert (request.tally.attempts, request.tally.usage.cost, request.tally.endpoint) == (2, 60, "strong")
    assert events == [Escalated("cheap", "strong", reason, Decimal(10))]


async def test_an_answer_is_kept_where_nobody_has_a_better_one():
    """It fits the schema, and how sure it is stands beside it."""
    completion, *_ = await climbed(
        rung("cheap", "bad", price=1), rung("strong", InvalidAnswer("no"), price=5)
    )
    assert completion.text == "bad"  # type: ignore[union-attr]


async def test_the_last_rungs_answer_is_taken_where_it_is_stored():
    """It is the best there is, and nobody need be asked."""

    async def at_hand(request: Request) -> Completion:
        return Completion("stored" if request.stored else "asked", Usage(), "strong")

    strong = replace(rung("strong", "any", price=5), handler=at_hand)
    completion, request, events = await climbed(rung("cheap", "good", price=1), strong)
    assert completion.text == "stored"  # type: ignore[union-attr]
    assert (request.tally.attempts, request.tally.endpoint, events) == (0, "strong", [])


async def test_a_row_fails_when_no_rung_has_an_answer():
    """By what the last one lacked."""
    last = InvalidAnswer("the last")
    error, request, _ = await climbed(
        rung("cheap", InvalidAnswer("no"), price=1), rung("strong", last, price=5)
    )
    assert error is last
    assert request.tally.attempts == 2


async def test_three_rungs_are_climbed_in_their_order():
    """As far as it takes."""
    completion, _, events = await climbed(
        rung("a", "bad", price=1), rung("b", "good", price=2), rung("c", "good", price=5)
    )
    assert completion.model == "b"  # type: ignore[union-attr]
    assert events == [Escalated("a", "b", "votes", Decimal(10)), Sufficed("b", Decimal(20), Decimal(30))]


async def test_what_stops_a_rung_stops_the_run():
    """A key that is wrong is no reason to ask the dearest model about every row."""
    with pytest.raises(AuthenticationFailed):
        await climbed(rung("cheap", AuthenticationFailed("no"), price=1), rung("strong", "good", price=5))
