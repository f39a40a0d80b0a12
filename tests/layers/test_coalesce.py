"""Identical requests in flight are one call."""

from __future__ import annotations

import asyncio

import pytest
from fakes import Gate, Script, a_request, all_of, an_answer, settle_down

from llmx.errors import InvalidAnswer, Stopped
from llmx.layers.coalesce import coalesced
from llmx.types import Completion, Request


async def started(gate: Gate, count: int) -> list[asyncio.Task[Completion]]:
    """`count` identical requests under way over `gate`."""
    handler = coalesced()(gate)
    tasks = [asyncio.ensure_future(handler(a_request())) for _ in range(count)]
    await settle_down()
    return tasks


async def test_identical_requests_in_flight_are_one_call():
    """Fifty identical concurrent requests reach the handler once."""
    gate = Gate()
    tasks = await started(gate, 50)
    gate.waiting[0].set_result(an_answer("{}"))
    answers = await asyncio.gather(*tasks)
    assert gate.calls == 1
    assert {answer.text for answer in answers} == {"{}"}


async def test_only_the_followers_are_marked_coalesced():
    """The leader's answer says who gave it, a follower's that it was shared."""
    gate = Gate()
    tasks = await started(gate, 3)
    gate.waiting[0].set_result(an_answer())
    assert [answer.source for answer in await asyncio.gather(*tasks)] == ["model", "coalesced", "coalesced"]


async def test_followers_know_who_answered():
    """It is the leader's endpoint; what it has cost is the leader's alone."""

    async def asked(request: Request) -> Completion:
        await asyncio.sleep(0)
        request.tally.endpoint, request.tally.attempts = "one", 1
        return an_answer()

    requests = [a_request(), a_request()]
    await asyncio.gather(*map(coalesced()(asked), requests))
    assert [(one.tally.endpoint, one.tally.attempts) for one in requests] == [("one", 1), ("one", 0)]


async def test_followers_get_a_value_of_their_own():
    """It is the leader's, not validated again; and who changes it changes nobody else's."""
    gate = Gate()
    tasks = await started(gate, 2)
    gate.waiting[0].set_result(an_answer(value={"tags": ["a"]}))
    first, second = (answer.value for answer in await asyncio.gather(*tasks))
    first["tags"].append("b")
    assert second == {"tags": ["a"]}


async def test_a_follower_for_which_the_answer_was_not_looked_at_asks_itself():
    """Once the leader has its answer, which is stored by then; those like the follower wait for the follower."""
    gate = Gate()
    handler = coalesced(lambda leader, follower: leader.data == follower.data)(gate)
    rows = [{"a": 1}, {"a": 2}, {"a": 2}]
    tasks = [asyncio.ensure_future(handler(a_request(data=row))) for row in rows]
    await settle_down()
    assert gate.calls == 1
    gate.waiting[0].set_result(an_answer("first"))
    await settle_down()
    assert gate.calls == 2
    gate.waiting[1].set_result(an_answer("second"))
    answers = await asyncio.gather(*tasks)
    assert [(answer.text, answer.source) for answer in answers] == [
        ("first", "model"),
        ("second", "model"),
        ("second", "coalesced"),
    ]


async def test_different_requests_are_not_coalesced():
    """Every fingerprint has its own call."""
    script = Script(an_answer())
    handler = coalesced()(script)
    await asyncio.gather(*(handler(a_request(str(n))) for n in range(5)))
    assert script.calls == 5


async def test_sequential_requests_are_not_coalesced():
    """Coalescing is no cache: a request that comes later is a call."""
    script = Script(an_answer())
    handler = coalesced()(script)
    first, second = await handler(a_request()), await handler(a_request())
    assert script.calls == 2
    assert (first.source, second.source) == ("model", "model")


async def test_the_leaders_error_is_shared():
    """All get the error of the one call."""
    gate = Gate()
    tasks = await started(gate, 3)
    error = InvalidAnswer("no")
    gate.waiting[0].set_exception(error)
    assert await all_of(tasks) == [error] * 3
    assert gate.calls == 1


async def test_a_failed_request_is_asked_again_later():
    """An error is not remembered."""
    script = Script(InvalidAnswer("no"), an_answer())
    handler = coalesced()(script)
    with pytest.raises(InvalidAnswer):
        await handler(a_request())
    assert (await handler(a_request())).source == "model"


async def test_a_cancelled_leader_hands_over_to_one_follower():
    """One follower makes the call instead, the others wait for it."""
    gate = Gate()
    tasks = await started(gate, 4)
    tasks[0].cancel()
    await settle_down()
    assert gate.calls == 2
    gate.waiting[1].set_result(an_answer())
    answers = await asyncio.gather(*tasks[1:])
    assert sorted(answer.source for answer in answers) == ["coalesced", "coalesced", "model"]
    assert tasks[0].cancelled()


async def test_a_stopped_leader_hands_over():
    """A leader that is told to stop does not end its followers: each finds out for itself."""
    gate = Gate()
    tasks = await started(gate, 2)
    gate.waiting[0].set_exception(Stopped("signal"))
    await settle_down()
    gate.waiting[1].set_exception(Stopped("signal"))
    assert [type(end) for end in await all_of(tasks)] == [Stopped, Stopped]


async def test_a_cancelled_follower_leaves_the_leader_alone():
    """The leader's call goes on, for itself and for the other followers."""
    gate = Gate()
    tasks = await started(gate, 3)
    tasks[1].cancel()
    await settle_down()
    gate.waiting[0].set_result(an_answer())
    assert [answer.source for answer in await asyncio.gather(tasks[0], tasks[2])] == ["model", "coalesced"]
    assert gate.calls == 1


async def test_an_error_without_followers_is_not_logged(caplog: pytest.LogCaptureFixture):
    """A lone leader's error is its own: asyncio must not call it never retrieved."""
    with pytest.raises(InvalidAnswer):
        await coalesced()(Script(InvalidAnswer("no")))(a_request())
    await settle_down()
    assert caplog.records == []
