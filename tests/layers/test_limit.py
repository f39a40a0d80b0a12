"""Pacing: first come first served, one pause for all, The windows' law: tests/property."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from fakes import Gate, Log, LoopClock, Script, a_request, all_of, an_answer, settle_down

from llmx.errors import Interrupted, RateLimited, ServerError, Stopped
from llmx.events import Paused, Throttled
from llmx.layers.limit import (
    Health,
    Limiter,
    RequestBucket,
    TokenBucket,
    TokenEstimate,
    rate_limited,
)
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Request

pytestmark = pytest.mark.simulated_time


@dataclass
class Endpoint:
    """One endpoint's limiter and what belongs to it."""

    rpm: float | None = None
    tpm: float | None = None
    health: Health = field(default_factory=Health)
    stop: Stop = field(default_factory=Stop)
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        self.limiter = Limiter(
            rpm=self.rpm,
            tpm=self.tpm,
            health=self.health,
            clock=LoopClock(),
            stop=self.stop,
            observer=self.log,
            size=lambda request: int(request.body.get("size", 0)),
        )
        self.health.good(0.0)

    def over(self, handler: Handler) -> Handler:
        return rate_limited(self.limiter)(handler)


class Sent:
    """A handler that notes when which request was sent."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.names: list[str] = []

    async def __call__(self, request: Request) -> Completion:
        self.times.append(LoopClock().now())
        self.names.append(request.fingerprint)
        return an_answer()


def tasks_of(handler: Handler, count: int, **fields: object) -> list[asyncio.Task[Completion]]:
    return [asyncio.ensure_future(handler(a_request(str(n), **fields))) for n in range(count)]


# Rates


async def test_without_limits_nothing_waits():
    """No rpm and no tpm: everything is sent at once."""
    sent = Sent()
    await asyncio.gather(*tasks_of(Endpoint().over(sent), 500))
    assert max(sent.times) < 0.1


async def test_rpm_is_used_up():
    """A limit is a speed, too: 600 requests at 600 rpm take about a minute, not more."""
    sent = Sent()
    await asyncio.gather(*tasks_of(Endpoint(rpm=600).over(sent), 600))
    assert 59 < sent.times[-1] < 61


async def test_one_request_per_minute():
    """The smallest limit is kept: a minute between any two."""
    sent = Sent()
    await asyncio.gather(*tasks_of(Endpoint(rpm=1).over(sent), 3))
    assert sent.times == [
        pytest.approx(0, abs=0.01),
        pytest.approx(60.25, abs=0.01),
        pytest.approx(120.5, abs=0.01),
    ]


async def test_a_fraction_of_a_request_is_of_no_use():
    """At 1.9 rpm no minute holds two requests."""
    sent = Sent()
    await asyncio.gather(*tasks_of(Endpoint(rpm=1.9).over(sent), 2))
    assert sent.times[1] >= 60


async def test_a_slot_is_not_kept_through_a_wait_for_tokens():
    """A request that waited long for its tokens is not followed at once by one beyond the limit."""
    sent = Sent()
    handler = Endpoint(rpm=1, tpm=600).over(sent)
    await asyncio.gather(handler(a_request(body={"size": 4 * 1744})), handler(a_request(body={"size": 0})))
    assert sent.times[0] > 190
    assert sent.times[1] - sent.times[0] >= 60


async def test_a_slot_is_not_kept_through_a_pause():
    """A pause that falls on a request about to be sent does not let two go when it ends."""
    endpoint, sent = Endpoint(rpm=1), Sent()
    handler = endpoint.over(sent)
    await handler(a_request())
    waiting = tasks_of(handler, 2)
    await asyncio.sleep(30)
    endpoint.limiter.pause("mock http://x", 600)
    await asyncio.gather(*waiting)
    assert sent.times[1] >= 630
    assert sent.times[2] - sent.times[1] >= 60


async def test_first_come_first_served():
    """A long row does not starve behind short ones, as it would among aiolimiter's own waiters."""
    sent = Sent()
    handler = Endpoint(rpm=6000, tpm=6000).over(sent)
    sizes = [4000, 40, 20_000, 4, 8000, 0]
    await asyncio.gather(*(handler(a_request(str(n), body={"size": s})) for n, s in enumerate(sizes)))
    assert sent.names == list("012345")


@pytest.mark.parametrize(
    ("limits", "which"), [({"rpm": 60}, "rpm"), ({"tpm": 6000}, "tpm")], ids=["rpm", "tpm"]
)
async def test_a_wait_for_a_limit_is_told(limits: dict[str, float], which: str):
    """From its beginning to its end, and only where there is one."""
    endpoint = Endpoint(**limits)
    first, second = tasks_of(endpoint.over(Script(an_answer())), 2, body={"size": 0})
    await settle_down()
    held, free = Throttled("mock http://x", which), Throttled("mock http://x", None)  # type: ignore[arg-type]  # pytest's
    told_at_once = list(endpoint.log.events)
    await asyncio.gather(first, second)
    assert held in told_at_once
    assert endpoint.log.events[-1] == free
    assert endpoint.log.events.count(held) == endpoint.log.events.count(free)


async def test_without_a_wait_nothing_is_told():
    """A limit that is far away is no news."""
    endpoint = Endpoint(rpm=6000, tpm=10_000_000)
    await asyncio.gather(*tasks_of(endpoint.over(Script(an_answer())), 5))
    assert endpoint.log.events == []


async def test_a_row_larger_than_the_bucket_passes():
    """A row of a million tokens waits its time, at half the limit, and is sent; it is no error."""
    sent = Sent()
    await Endpoint(tpm=60_000).over(sent)(a_request(body={"size": 4_000_000}))
    assert sent.times[0] == pytest.approx(1_000_256 / 30_000 * 60, rel=0.02)


async def test_a_bucket_allows_a_quarter_seconds_burst():
    """At 2,400 requests or 6,000 tokens a minute 10 or 25 may go at once."""
    assert (RequestBucket(2400).capacity, TokenBucket(6000).capacity) == (10, 25)
    assert RequestBucket(100).capacity == 1


async def test_an_estimate_learns():
    """Guesses begin at a token for four bytes and 256 of answer, then follow what was used."""
    estimate = TokenEstimate()
    assert estimate.guess(400) == 356
    estimate.learn(400, 178)
    assert estimate.guess(400) == 178
    estimate.learn(400, 534)
    assert estimate.guess(400) == pytest.approx(356, rel=0.01)
    for _ in range(200):
        estimate.learn(400, 1000)
    assert estimate.guess(400) == pytest.approx(1000, rel=0.02)


async def test_what_an_answer_used_beyond_its_estimate_is_paid_by_the_next():
    """A thousand tokens that nobody expected are a minute's wait at a thousand a minute."""
    endpoint = Endpoint(tpm=1000)
    await endpoint.over(Script(an_answer(tokens=1255)))(a_request())  # 256 were expected
    learnt = endpoint.limiter._estimate.guess(0)
    before = LoopClock().now()
    await endpoint.over(Script(an_answer()))(a_request())
    waited = LoopClock().now() - before
    assert waited > (1000 + learnt) / 1000 * 60 * 0.9


async def test_a_server_that_does_not_count_teaches_nothing():
    """No usage is not a usage of nothing."""
    endpoint = Endpoint(tpm=6000)
    await endpoint.over(Script(an_answer(tokens=-1)))(a_request())  # and 1 token of answer: 0 in all
    assert endpoint.limiter._estimate.guess(400) == 356


async def test_used_tokens_teach_the_limiter():
    """Rows that turn out cheap are let through faster."""
    sent = Sent()
    handler = Endpoint(tpm=6000).over(sent)
    for _ in range(40):
        await handler(a_request())
    assert LoopClock().now() < 10  # 256 tokens for the first, 3 for each of the others


# Pauses


async def test_one_429_holds_everybody():
    """A Retry-After pauses all requests of the endpoint, those already queued too."""
    endpoint, sent = Endpoint(), Sent()
    with pytest.raises(RateLimited):
        await endpoint.over(Script(RateLimited("429", retry_after=30.0)))(a_request())
    await asyncio.gather(*tasks_of(endpoint.over(sent), 50))
    assert min(sent.times) >= 30
    assert max(sent.times) < 30.1


async def test_a_pause_is_told_once():
    """Many 429s of one burst are one pause; a longer one is told again."""
    endpoint = Endpoint()
    waits = [30.0, 30.0, 20.0, 45.0]
    handler = endpoint.over(Script(*(RateLimited("429", retry_after=wait) for wait in waits)))
    calls = [handler(a_request(str(n))) for n in range(3)]
    await all_of(calls[:1])
    endpoint.limiter._paused_until = LoopClock().now() + 30  # the three others were sent before the pause
    for wait in (20.0, 29.0, 45.0):
        endpoint.limiter.pause("mock http://x", wait)
    assert endpoint.log.events == [Paused("mock http://x", 30.0), Paused("mock http://x", 45.0)]
    for call in calls[1:]:
        call.close()


async def test_a_429_without_a_time_pauses_nobody():
    """Without a Retry-After the row backs off alone."""
    endpoint = Endpoint()
    with pytest.raises(RateLimited):
        await endpoint.over(Script(RateLimited("429")))(a_request())
    await endpoint.over(Script(an_answer()))(a_request())
    assert LoopClock().now() < 0.1
    assert endpoint.log.events == []


async def test_a_time_holds_everybody_whatever_the_status():
    """An overloaded server that names a time means all of us."""
    endpoint = Endpoint()
    with pytest.raises(ServerError):
        await endpoint.over(Script(ServerError("529", retry_after=30.0)))(a_request())
    await endpoint.over(Script(an_answer()))(a_request())
    assert LoopClock().now() >= 30


async def test_a_pause_that_grows_is_waited_out():
    """Whoever waits for a pause waits for its prolongation as well."""
    endpoint, sent = Endpoint(), Sent()
    endpoint.limiter.pause("mock http://x", 30)
    waiting = tasks_of(endpoint.over(sent), 5)
    await asyncio.sleep(29)
    endpoint.limiter.pause("mock http://x", 30)
    await asyncio.gather(*waiting)
    assert min(sent.times) >= 59


# Stopping


@pytest.mark.parametrize("limits", [{"rpm": 1}, {"tpm": 60}], ids=["rpm", "tpm"])
async def test_a_stop_ends_all_waiting_for_admission_at_once(limits: dict[str, float]):
    """Those that wait for a limit give up without sending; what is in flight goes on."""
    endpoint, gate = Endpoint(**limits), Gate()
    tasks = tasks_of(endpoint.over(gate), 10)
    await asyncio.sleep(0.5 if "rpm" in limits else 600)
    assert gate.calls == 1
    began = LoopClock().now()
    endpoint.stop.set(Interrupted(2))
    gate.waiting[0].set_result(an_answer())
    ends = await all_of(tasks)
    assert [type(end) for end in ends] == [Completion] + [Stopped] * 9
    assert LoopClock().now() - began < 0.1
    assert not endpoint.limiter._turn.locked()


async def test_a_stop_ends_the_wait_for_a_pause():
    """Nobody sits out a Retry-After in a run that is stopping."""
    endpoint = Endpoint()
    endpoint.limiter.pause("mock http://x", 600)
    tasks = tasks_of(endpoint.over(Script(an_answer())), 5)
    await asyncio.sleep(1)
    endpoint.stop.set(Interrupted(2))
    assert all(isinstance(end, Stopped) for end in await all_of(tasks))
    assert LoopClock().now() < 2
    assert not endpoint.limiter._turn.locked()


async def test_a_cancelled_waiter_leaves_the_queue_in_order():
    """A request that is cancelled while it waits holds up nobody."""
    sent = Sent()
    tasks = tasks_of(Endpoint(rpm=60).over(sent), 4)
    await asyncio.sleep(0.1)
    tasks[1].cancel()
    await all_of(tasks)
    assert sent.names == ["0", "2", "3"]
    assert sent.times[-1] < 2.2
