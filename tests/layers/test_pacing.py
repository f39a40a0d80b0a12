"""Pacing: limits that are told, that headers tell, and that are found; and what servers make of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from fakes import Gate as Tickets
from fakes import Log, LoopClock, Script, a_request, all_of, an_answer, settle_down
from gated import Bucket, Endpoint, Sent, Server, flood

from llmx.errors import RateLimited
from llmx.events import LimitLearned, Throttled
from llmx.layers.careful import careful
from llmx.mock.limits import RateLimits
from llmx.mock.schedules import LimitsChange
from llmx.types import Completion, Handler, LimitKind, LimitState, Request, Usage

pytestmark = pytest.mark.simulated_time


def tasks_of(handler: Handler, count: int, **fields: object) -> list[asyncio.Task[Completion]]:
    return [asyncio.ensure_future(handler(a_request(str(n), **fields))) for n in range(count)]


def state(kind: LimitKind, limit: float) -> LimitState:
    return LimitState(kind, limit, limit / 2, 30.0)


def learned(log: Log) -> list[tuple[str, float, str]]:
    return [(event.limit, event.per_minute, event.source) for event in log.of(LimitLearned)]


async def times(endpoint: Endpoint, count: int, **fields: object) -> list[float]:
    """When each of so many requests is sent, that all come at once."""
    sent = Sent()
    await asyncio.gather(*tasks_of(endpoint.over(sent), count, **fields))
    return sent.times


# Limits that are told


async def test_without_limits_nothing_waits():
    """No rpm and no tpm: everything is sent at once."""
    assert max(await times(Endpoint(), 500)) < 0.1


async def test_rpm_is_used_up():
    """A limit is a speed, too: 600 requests at 600 rpm take about a minute, not more."""
    assert 60 < (await times(Endpoint(rpm=600), 600))[-1] < 61.1


async def test_what_is_told_is_learnt_at_once():
    """Observers hear of it before anything is sent."""
    assert learned(Endpoint(rpm=600, tpm=9000).log) == [("rpm", 600, "told"), ("tpm", 9000, "told")]


async def test_a_slot_is_not_kept_through_a_wait_for_tokens():
    """A request that waited long for its tokens is not followed at once by one beyond the limit."""
    sent = Sent()
    handler = Endpoint(rpm=1, tpm=600).over(sent)
    await asyncio.gather(handler(a_request(body={"size": 4 * 1744})), handler(a_request(body={"size": 1})))
    assert sent.times[0] > 190
    assert sent.times[1] - sent.times[0] >= 60


async def test_a_slot_is_not_kept_through_a_pause():
    """A pause that falls on a request about to be sent does not let two go when it ends."""
    endpoint, sent = Endpoint(rpm=1), Sent()
    handler = endpoint.over(sent)
    await handler(a_request())
    waiting = tasks_of(handler, 2)
    await asyncio.sleep(30)
    endpoint.condition.pause(600)
    await asyncio.gather(*waiting)
    assert sent.times[1] >= 630
    assert sent.times[2] - sent.times[1] >= 60


@pytest.mark.parametrize(
    ("limits", "held"),
    [({"rpm": 60}, ("rpm", 60)), ({"tpm": 6000}, ("tpm", 6000))],
    ids=["rpm", "tpm"],
)
async def test_a_wait_for_a_limit_is_told(limits: dict[str, float], held: tuple[str, float]):
    """From its beginning to its end, and only where there is one."""
    endpoint = Endpoint(**limits)  # type: ignore[arg-type]  # pytest's
    first, second = tasks_of(endpoint.over(Script(an_answer())), 2)
    await settle_down()
    begins, ends = Throttled("mock", *held), Throttled("mock", None)  # type: ignore[arg-type]  # pytest's
    told_at_once = list(endpoint.log.events)
    await asyncio.gather(first, second)
    assert begins in told_at_once
    assert endpoint.log.events[-1] == ends
    assert endpoint.log.events.count(begins) == endpoint.log.events.count(ends)


async def test_without_a_wait_nothing_is_told():
    """A limit that is far away is no news."""
    endpoint = Endpoint(rpm=600, tpm=10_000_000)
    for _ in range(5):
        await endpoint.over(Script(an_answer()))(a_request())
        await asyncio.sleep(0.2)
    assert endpoint.log.of(Throttled) == []


class TickingClock(LoopClock):
    """A clock that moves on between two readings, as real ones do."""

    def __init__(self) -> None:
        self._readings = 0

    def now(self) -> float:
        self._readings += 1
        return super().now() + self._readings * 1e-6


async def test_a_wait_for_the_rate_that_was_found_is_told():
    """By a clock that never reads the same twice, too."""
    endpoint = Endpoint(clock=TickingClock())
    await endpoint.over(Sent())(a_request())
    with pytest.raises(RateLimited):
        await endpoint.over(Script(RateLimited("429", retry_after=0.1)))(a_request())
    await times(endpoint, 3)
    assert [event.limit for event in endpoint.log.of(Throttled)][:2] == ["found", None]


# Tokens


async def test_what_an_answer_used_beyond_its_estimate_is_paid_by_the_next():
    """A thousand tokens that nobody expected are a minute's wait at a thousand a minute."""
    endpoint = Endpoint(tpm=1000)
    await endpoint.over(Script(an_answer(tokens=1255)))(a_request(body={"size": 4}))  # 257 were expected
    before = LoopClock().now()
    await endpoint.over(Script(an_answer()))(a_request(body={"size": 4}))
    assert LoopClock().now() - before > (1000 + 1256) / 1000 * 60 * 0.9


async def test_what_an_answer_did_not_use_is_given_to_the_next():
    """Rows that turn out cheap are let through faster."""
    sent = Sent()
    handler = Endpoint(tpm=6000).over(sent)
    for _ in range(40):
        await handler(a_request(body={"size": 4}))
    assert LoopClock().now() < 10  # 256 tokens for the first, 3 for each of the others


async def test_a_server_that_does_not_count_settles_nothing():
    """No usage is not a usage of nothing: what was expected stays reserved."""
    endpoint = Endpoint(tpm=2560)
    handler = endpoint.over(Script(an_answer(tokens=-1)))  # and 1 token of answer: 0 in all
    for _ in range(10):
        await handler(a_request(body={"size": 4}))
    assert LoopClock().now() > 60


async def test_debts_do_not_slow_the_pace_for_good():
    """What many calls in flight used beyond the first guess is waited for once; it is no row of that size."""
    endpoint, sent = Endpoint(tpm=600_000), Sent()

    async def server(request: Request) -> Completion:
        await sent(request)
        await asyncio.sleep(2.0)
        return an_answer(tokens=999)

    await asyncio.gather(*tasks_of(endpoint.over(server), 1800, body={"size": 4}))
    late = [at for at in sent.times if 60 <= at < 120]
    assert len(late) * 1000 >= 0.97 * 600_000


async def test_cached_input_does_not_count_towards_input_limits():
    """As Anthropic has it: only what was not read from its cache."""
    endpoint = Endpoint()
    endpoint.condition.heard([state("input_tokens", 6000)])
    usage = Usage(input_tokens=1000, output_tokens=10, cached_tokens=1000)
    handler = endpoint.over(Script(Completion("{}", usage=usage, model="m")))
    for _ in range(30):
        await handler(a_request(body={"size": 4000}))
    assert endpoint.pacing._sent["input_tokens"].total(LoopClock().now()) == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    ("kind", "used", "limit"),
    [("input_tokens", (500, 1), 30_000), ("output_tokens", (1, 500), 30_000), ("tokens", (250, 250), 30_000)],
)
async def test_each_token_limit_is_held_for_itself(kind: LimitKind, used: tuple[int, int], limit: int):
    """60 rows of 500 tokens a minute fit, whatever the other kind of token would have allowed."""
    endpoint, sent = Endpoint(), Sent()

    async def server(request: Request) -> Completion:
        await sent(request)
        return Completion("{}", usage=Usage(*used), model="m")

    handler = endpoint.over(server)
    endpoint.condition.heard([state(kind, limit)])
    for _ in range(20):
        await handler(a_request(body={"size": 2000}))
    began, before = LoopClock().now(), len(sent.times)
    await asyncio.gather(*tasks_of(handler, 240, body={"size": 2000}))
    assert len(sent.times) - before == 240
    assert 240 <= LoopClock().now() - began <= 260


@pytest.mark.parametrize("source", ["told", "headers"])
async def test_noisy_sizes_use_the_limit_and_never_more(source: str):
    """Guesses are settled both ways: what a minute really uses is just below the limit."""
    chance, tpm = random.Random(3), 600_000
    limits = RateLimits(None, tpm)
    endpoint = Endpoint(tpm=tpm if source == "told" else None, places=(32, 256), reached=False)
    server = Server(
        limits,
        tokens=lambda request: (chance.randint(50, 250), chance.randint(0, 100)),
        listener=endpoint.condition.heard if source == "headers" else None,
    )
    await flood(endpoint.retrying(server), 240)
    assert server.refused == []
    for begin in range(30, 180, 5):
        used = server.used(begin, begin + 60, tokens=True)
        assert 0.97 * tpm <= used <= tpm


# Limits out of headers


async def test_limits_from_headers_are_kept():
    """From the first response on."""
    endpoint = Endpoint()
    endpoint.condition.heard([state("requests", 600), state("tokens", 90_000)])
    assert learned(endpoint.log) == [("rpm", 600, "headers"), ("tpm", 90_000, "headers")]
    assert (await times(endpoint, 100))[-1] == pytest.approx(10, abs=0.3)


async def test_every_kind_has_its_name():
    """Input and output tokens are told apart."""
    endpoint = Endpoint()
    kinds: tuple[LimitKind, ...] = ("requests", "tokens", "input_tokens", "output_tokens")
    endpoint.condition.heard([state(kind, 1000) for kind in kinds])
    assert [limit for limit, _, _ in learned(endpoint.log)] == ["rpm", "tpm", "input tpm", "output tpm"]


async def test_the_same_limit_again_is_no_news():
    """It comes with every response, and changes nothing."""
    endpoint = Endpoint()
    for _ in range(50):
        endpoint.condition.heard([state("requests", 600.5), state("tokens", 90_000.5)])
    assert len(endpoint.log.events) == 2


async def test_a_limit_that_was_told_is_never_raised():
    """Somebody has chosen it; a server that allows less is obeyed, and then more as far as was told."""
    endpoint = Endpoint(rpm=600, tpm=60_000)
    for factor in (10, 0.5, 10):
        endpoint.condition.heard([state("requests", 600 * factor), state("tokens", 60_000 * factor)])
    assert learned(endpoint.log)[2:] == [
        ("rpm", 300, "headers"),
        ("tpm", 30_000, "headers"),
        ("rpm", 600, "headers"),
        ("tpm", 60_000, "headers"),
    ]


@pytest.mark.parametrize("limit", [0.0, 0.5])
async def test_a_limit_below_one_is_none(limit: float):
    """It would let nothing through, ever."""
    endpoint = Endpoint()
    endpoint.condition.heard(
        [LimitState("requests", limit, 1.0, None), LimitState("tokens", limit, 1.0, None)]
    )
    assert endpoint.log.events == []


@pytest.mark.parametrize("told", [None, 1200])
async def test_a_limit_that_is_halved_is_held_from_then_on(told: float | None):
    """Not a minute later: from the change no window holds more than the new one."""
    endpoint, sent = Endpoint(rpm=told), Sent()
    endpoint.condition.heard([state("requests", 1200)])
    tasks = tasks_of(endpoint.over(sent), 1500)
    await asyncio.sleep(30)
    endpoint.condition.heard([state("requests", 600)])
    await asyncio.gather(*tasks)
    after = [at for at in sent.times if at >= 30]
    assert len(sent.times) - len(after) == pytest.approx(590, abs=3)
    for begin in after:
        assert sum(begin <= at < begin + 60 for at in after) <= 600
    assert len(after) / (after[-1] - 30) == pytest.approx(600 / 61, rel=0.01)


async def test_a_limit_that_is_raised_is_used_soon():
    """The new pace holds from the next request on."""
    endpoint, sent = Endpoint(), Sent()
    endpoint.condition.heard([state("requests", 60)])
    tasks = tasks_of(endpoint.over(sent), 300)
    await asyncio.sleep(10)
    endpoint.condition.heard([state("requests", 6000)])
    await asyncio.gather(*tasks)
    assert sent.times[-1] < 15


# Limits that are found


async def test_a_refusal_lowers_the_rate_once_per_round_trip():
    """Fifty refusals of one burst are one; the rate is told."""
    endpoint, tickets = Endpoint(), Tickets()
    await endpoint.over(Sent())(a_request())
    refused = tasks_of(endpoint.over(tickets), 50)
    await settle_down(200)
    for ticket in tickets.waiting:
        ticket.set_exception(RateLimited("429", retry_after=1.0))
    await all_of(refused)
    assert [source for _, _, source in learned(endpoint.log)] == ["refusals"]


async def test_a_rate_that_was_found_recovers():
    """A server that refused while it was busy, and takes all later, is used fully in the end."""
    endpoint = Endpoint(places=(32, 256))
    changes = [LimitsChange(at=30, rpm=600), LimitsChange(at=60, rpm=3000)]
    server = Server(RateLimits(3000, None, window=1, changes=changes))
    await flood(endpoint.retrying(server), 300)
    assert server.used(30, 60) >= 0.5 * 300
    assert server.used(270, 300) >= 0.85 * 1500
    assert server.refused_share <= 0.03


def second_by_second() -> RateLimits:
    return RateLimits(3000, None, window=1)


def minute_by_minute() -> RateLimits:
    return RateLimits(3000, None, window=60)


@pytest.mark.parametrize(
    "limits",
    [lambda: Bucket(50), second_by_second, minute_by_minute],
    ids=["bucket", "each second", "each minute"],
)
async def test_a_server_that_only_refuses_is_used_well(limits: Callable[[], RateLimits | Bucket]):
    """50 a second, without headers: five sixths at least, and few refusals."""
    endpoint = Endpoint(places=(32, 256), reached=False)
    server = Server(limits())
    await flood(endpoint.retrying(server), 180)
    assert len(server.admitted) >= 0.85 * 9000
    assert server.refused_share <= 0.03


@pytest.mark.parametrize("named", [1.0, None])
async def test_a_server_that_names_no_honest_time_is_used_well(named: float | None):
    """A limit held by the minute, whose refusals always say one second, or nothing."""
    endpoint = Endpoint(places=(32, 256), reached=False)
    server = Server(minute_by_minute(), named=named)
    await flood(endpoint.retrying(server), 180)
    assert server.refused_share <= 0.03
    assert len(server.admitted) >= 0.85 * 9000


@pytest.mark.parametrize("limits", [second_by_second, minute_by_minute], ids=["each second", "each minute"])
async def test_a_server_that_tells_its_limits_is_used_up(limits: Callable[[], RateLimits]):
    """By its headers: nearly all of it, and hardly a refusal."""
    endpoint = Endpoint(places=(32, 256), reached=False)
    server = Server(limits(), listener=endpoint.condition.heard)
    await flood(endpoint.retrying(server), 180)
    assert len(server.admitted) >= 0.95 * 9000
    assert server.refused_share <= 0.005


@pytest.mark.parametrize("rpm", [5, 10, 60])
async def test_what_was_sent_before_a_limit_was_known_counts(rpm: int):
    """The first rows go out together, as no header has come yet: the minute they begin has their places less."""
    endpoint = Endpoint(places=(32, 256), reached=False)
    server = Server(RateLimits(rpm, None), listener=endpoint.condition.heard)
    await flood(careful(concurrency=300, stop=endpoint.stop)(endpoint.retrying(server)), 300)
    assert server.refused == []
    assert len(server.admitted) >= 0.9 * 5 * rpm


async def sent_before(endpoint: Endpoint, count: int) -> Sent:
    """So many at once, before a header says that 60 a minute are allowed."""
    sent = Sent()
    await asyncio.gather(*tasks_of(endpoint.over(sent), count))
    endpoint.condition.heard([state("requests", 60)])
    return sent


@pytest.mark.parametrize("rpm", [None, 60_000], ids=["told nothing", "told more"])
@pytest.mark.parametrize(("before", "wait"), [(3, 3), (40, 40), (60, 60), (500, 60)])
async def test_a_debt_is_no_longer_than_a_minute(rpm: float | None, before: int, wait: float):
    """What was sent leaves the server's window after that; whatever limit the user has told beside."""
    endpoint = Endpoint(rpm=rpm)
    sent = await sent_before(endpoint, before)
    paid = LoopClock().now()
    await endpoint.over(sent)(a_request("next"))
    assert sent.times[-1] - paid == pytest.approx(wait, abs=2)


async def test_a_limit_that_is_raised_ends_a_debt():
    """Who was waiting goes on at the new rate, and all behind it."""
    endpoint = Endpoint()
    sent = await sent_before(endpoint, 100)
    tasks = tasks_of(endpoint.over(sent), 10)
    await asyncio.sleep(5)
    endpoint.condition.heard([state("requests", 60_000)])
    await all_of(tasks)
    assert LoopClock().now() < 7


async def test_refusals_are_no_debt():
    """A server that tells its limit with its 429s has let in no more than that."""
    endpoint = Endpoint(places=(500, 500))
    server = Server(RateLimits(60, None), named=None)
    handler = endpoint.retrying(server)
    tasks = tasks_of(handler, 100)
    await asyncio.sleep(0.05)
    assert len(server.refused) == 40
    endpoint.condition.heard([state("requests", 60)])
    await all_of(tasks)
    assert LoopClock().now() < 125


@pytest.mark.parametrize("limits", [second_by_second, minute_by_minute], ids=["each second", "each minute"])
async def test_a_limit_that_is_told_is_used_up_without_a_refusal(limits: Callable[[], RateLimits]):
    """Nothing has to be found out."""
    endpoint = Endpoint(rpm=3000, places=(32, 256), reached=False)
    server = Server(limits())
    await flood(endpoint.retrying(server), 180)
    assert len(server.admitted) >= 0.97 * 9000
    assert server.refused == []


async def test_a_cancelled_wait_keeps_the_debt():
    """What earlier answers used beyond their reservation is still owed when who would have paid it gives up."""
    endpoint = Endpoint(tpm=1000)
    await endpoint.over(Script(an_answer(tokens=10_000)))(a_request())
    owed = dict(endpoint.pacing._owed)
    waiting = asyncio.ensure_future(endpoint.over(Script(an_answer()))(a_request("2")))
    await settle_down()
    waiting.cancel()
    await all_of([waiting])
    assert endpoint.pacing._owed == owed
    assert owed["tokens"] > 9000
