"""Stragglers: sent once more near the end, the first answer wins, both are settled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from fakes import LoopClock, a_request, all_of, an_answer, settle_down
from gated import Calls, Endpoint

from llmx.errors import ServerError
from llmx.events import HedgeEnded, HedgeSent
from llmx.layers.budget import Amount, SetAside
from llmx.layers.hedge import ENOUGH, Hedges, hedged
from llmx.types import Completion, Handler, Request

pytestmark = pytest.mark.simulated_time


@dataclass
class Server:
    """Answers in a second; the named requests' first calls take longer, or fail."""

    slow: dict[str, float] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    async def __call__(self, request: Request) -> Completion:
        name = request.fingerprint
        again = name in self.calls
        self.calls.append(name)
        await asyncio.sleep(1.0 if again else self.slow.get(name, 1.0))
        if name in self.failing and not again:
            raise ServerError("500")
        return an_answer("second" if again else "first")


@dataclass
class Hedged:
    """An endpoint whose stragglers are hedged."""

    server: Server
    endpoint: Endpoint = field(default_factory=Endpoint)
    retries: int = 5
    kept: list[Completion] = field(default_factory=list)
    hedges: Hedges = field(default_factory=Hedges)

    def __post_init__(self) -> None:
        layer = hedged(
            self.hedges,
            self.endpoint.gate,
            retries=self.retries,
            keep=lambda request, completion: self.kept.append(completion),
            clock=LoopClock(),
            observer=self.endpoint.log,
        )
        self.handler: Handler = layer(self.server)

    async def warmed(self) -> Hedged:
        """It knows what is usual, and that the end is near."""
        await asyncio.gather(*[self.handler(a_request(f"warm {n}")) for n in range(ENOUGH)])
        self.hedges.all_taken()
        return self

    @property
    def sent(self) -> int:
        return len(self.endpoint.log.of(HedgeSent))


async def test_a_straggler_is_sent_once_more():
    """The second answer comes first, and is the row's; the slower one is kept and its gain told."""
    over = await Hedged(Server(slow={"x": 30.0})).warmed()
    began = LoopClock().now()
    answer = await over.handler(a_request("x"))
    assert (answer.text, over.server.calls.count("x")) == ("second", 2)
    assert LoopClock().now() - began < 3
    await asyncio.sleep(60)
    assert [completion.text for completion in over.kept] == ["first"]
    [ended] = over.endpoint.log.of(HedgeEnded)
    assert ended.won
    assert ended.saved == pytest.approx(27.7, abs=0.5)
    assert over.endpoint.condition.in_flight == 0


async def test_the_first_call_may_win_all_the_same():
    """It was only a little slow."""
    over = await Hedged(Server(slow={"x": 1.6})).warmed()
    assert (await over.handler(a_request("x"))).text == "first"
    await asyncio.sleep(10)
    assert (over.sent, [completion.text for completion in over.kept]) == (1, ["second"])
    assert not over.endpoint.log.of(HedgeEnded)[0].won


async def test_nothing_is_hedged_before_the_end():
    """Other rows have better use for the quota."""
    over = Hedged(Server(slow={"x": 30.0}))
    await asyncio.gather(*[over.handler(a_request(f"warm {n}")) for n in range(ENOUGH)])
    await over.handler(a_request("x"))
    assert over.sent == 0


async def test_a_row_without_an_attempt_left_is_not_hedged():
    """The second call is one of its attempts."""
    over = await Hedged(Server(slow={"x": 30.0}), retries=0).warmed()
    await over.handler(a_request("x"))
    assert (over.sent, over.server.calls.count("x")) == (0, 1)


async def test_a_first_call_that_fails_leaves_it_to_the_second():
    """Its answer is the row's."""
    over = await Hedged(Server(slow={"x": 2.0}, failing={"x"})).warmed()
    assert (await over.handler(a_request("x"))).text == "second"


async def test_at_the_end_of_the_run_nobody_is_waited_for():
    """The slower call is cancelled, and counts as its worst case."""
    over = await Hedged(Server(slow={"x": 1000.0})).warmed()
    await over.handler(a_request("x"))
    began = LoopClock().now()
    await over.hedges.aclose()
    assert LoopClock().now() - began < 1
    assert over.endpoint.condition.in_flight == 0


async def test_a_call_that_is_cancelled_has_ended_before_the_run_does():
    """Its clean-up takes a while, and its settlement is part of what the run notes at its end."""

    async def server(request: Request) -> Completion:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
        return an_answer()

    over = Hedged(server)  # type: ignore[arg-type]  # any handler will do
    call = asyncio.ensure_future(over.handler(a_request()))
    await asyncio.sleep(1)
    call.cancel()
    await all_of([call])
    assert over.endpoint.condition.in_flight == 1
    await over.hedges.aclose()
    assert over.endpoint.condition.in_flight == 0


# With budgets


async def test_both_calls_are_settled_each_with_what_it_used():
    """The second one's usage is not counted for the first."""
    budget = Calls(100)
    endpoint = Endpoint(allowances=[budget], worst=Amount(None, 1000))
    over = await Hedged(Server(slow={"x": 30.0}), endpoint).warmed()
    budget.settled.clear()
    await over.handler(a_request("x"))
    assert budget.settled == [an_answer().usage.total_tokens]
    await asyncio.sleep(60)
    assert budget.settled == [an_answer().usage.total_tokens] * 2


async def test_a_wait_for_the_budget_makes_no_straggler():
    """A call that has not been sent is not slow."""
    budget = Calls(100)
    over = await Hedged(Server(), Endpoint(allowances=[budget], worst=Amount(None, 1))).warmed()
    budget.left = 1
    await asyncio.gather(*[over.handler(a_request(f"row {n}")) for n in range(10)])
    assert over.sent == 0


async def test_a_second_call_that_waits_for_the_budget_is_not_sent_in_vain():
    """The first one is answered before there is room: it was none, and costs no attempt."""
    budget = Calls(100)
    over = await Hedged(
        Server(slow={"x": 5.0}), Endpoint(allowances=[budget], worst=Amount(None, 1))
    ).warmed()
    budget.left = 1
    request = a_request("x")
    assert (await over.handler(request)).text == "first"
    await asyncio.sleep(60)
    assert (over.sent, over.server.calls.count("x"), request.tally.failures) == (0, 1, 0)
    assert over.endpoint.condition.in_flight == 0
    await settle_down()
    assert await all_of([over.handler(a_request("y"))])
    assert isinstance(await over.endpoint.purse.reserve(a_request("z")), SetAside)
