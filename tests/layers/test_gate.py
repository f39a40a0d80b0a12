"""The gate: first come first served, one pause for all, the circuit, patience, and other endpoints."""

from __future__ import annotations

import asyncio

import pytest
from fakes import Gate as Tickets
from fakes import LoopClock, Script, a_request, all_of, an_answer, settle_down
from gated import Calls, Endpoint, Sent, neighbours

from llmx.errors import (
    AuthenticationFailed,
    CallTimeout,
    ConnectionFailed,
    Interrupted,
    LlmxError,
    NotAdmitted,
    ProviderDown,
    RateLimited,
    RetriesExhausted,
    RowRefused,
    ServerError,
    Stopped,
)
from llmx.events import CircuitClosed, CircuitOpened, CircuitProbing, Paused
from llmx.layers.budget import Amount
from llmx.layers.condition import Call
from llmx.layers.gate import Passed
from llmx.layers.pacing import NOTHING
from llmx.types import Completion, Handler, LimitState, Request, Tally

pytestmark = pytest.mark.simulated_time

DOWN = ServerError("500")


def tasks_of(handler: Handler, count: int, **fields: object) -> list[asyncio.Task[Completion]]:
    return [asyncio.ensure_future(handler(a_request(str(n), **fields))) for n in range(count)]


async def broken(endpoint: Endpoint, error: LlmxError = DOWN, times: int = 5) -> Endpoint:
    """The same after so many failures, the circuit open."""
    for _ in range(times):
        with pytest.raises(type(error)):
            await endpoint.over(Script(error))(a_request())
    return endpoint


async def cancelled(tasks: list[asyncio.Task[Completion]]) -> None:
    for task in tasks:
        task.cancel()
    await all_of(tasks)


# Order


async def test_first_come_first_served():
    """A long row does not starve behind short ones, as it would among aiolimiter's own waiters."""
    sent = Sent()
    handler = Endpoint(rpm=6000, tpm=6000).over(sent)
    sizes = [4000, 40, 20_000, 4, 8000, 1]
    await asyncio.gather(*(handler(a_request(str(n), body={"size": s})) for n, s in enumerate(sizes)))
    assert sent.names == list("012345")


async def test_first_come_first_served_for_places_in_flight():
    """Who waits for a place gets it in the order of asking."""
    sent = Sent(seconds=1.0)
    await asyncio.gather(*tasks_of(Endpoint(places=(2, 2)).over(sent), 9))
    assert sent.names == list("012345678")
    assert sent.times == [pytest.approx(n // 2, abs=0.01) for n in range(9)]


async def test_a_cancelled_waiter_leaves_the_queue_in_order():
    """A request that is cancelled while it waits holds up nobody."""
    sent = Sent()
    tasks = tasks_of(Endpoint(rpm=60).over(sent), 4)
    await asyncio.sleep(0.1)
    tasks[1].cancel()
    await all_of(tasks)
    assert sent.names == ["0", "2", "3"]
    assert sent.times[-1] < 2.2


@pytest.mark.parametrize("places", [1, 3, 32])
async def test_never_more_are_in_flight_than_may_be(places: int):
    """Whatever they come to: answers, errors, refusals, and calls that are cancelled."""
    endpoint, most, now = Endpoint(places=(places, places)), 0, 0
    ends = [an_answer(), RowRefused("400"), an_answer(), RateLimited("429", retry_after=0.2), an_answer()]

    async def server(request: object) -> Completion:
        nonlocal most, now
        now += 1
        most = max(most, now)
        try:
            await asyncio.sleep(0.1 + most % 3 / 10)
            end = ends[most % 5]
            if isinstance(end, BaseException):
                raise end
            return end
        finally:
            now -= 1

    tasks = tasks_of(endpoint.over(server), 200)
    await asyncio.sleep(0.25)
    for task in tasks[::7]:
        task.cancel()
    await all_of(tasks)
    assert most == places
    assert (endpoint.condition.in_flight, endpoint.gate.waiting) == (0, 0)


# Pauses


async def test_one_429_holds_everybody():
    """A Retry-After pauses all requests of the endpoint, those already queued too."""
    endpoint, sent = Endpoint(), Sent()
    with pytest.raises(RateLimited):
        await endpoint.over(Script(RateLimited("429", retry_after=30.0)))(a_request())
    await asyncio.gather(*tasks_of(endpoint.over(sent), 50))
    assert min(sent.times) >= 30


async def test_a_pause_is_told_once():
    """A shorter pause within a longer one is no news; a longer one is told again."""
    endpoint = Endpoint()
    for seconds in (30.0, 20.0, 29.0, 45.0):
        endpoint.condition.pause(seconds)
    assert endpoint.log.events == [Paused("mock", 30.0), Paused("mock", 45.0)]


async def test_a_429_without_a_time_backs_off_twice_as_long_each_time():
    """Half a second at first, half a minute at most, until somebody is answered."""
    endpoint = Endpoint()
    refused, answered = endpoint.over(Script(RateLimited("429"))), endpoint.over(Script(an_answer()))
    for _ in range(9):
        with pytest.raises(RateLimited):
            await refused(a_request())
    await answered(a_request())
    with pytest.raises(RateLimited):
        await refused(a_request())
    waits = [event.seconds for event in endpoint.log.of(Paused)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 0.5]


async def test_refusals_of_one_round_trip_are_one():
    """Fifty calls that were in flight at once and are all refused back off once."""
    endpoint, tickets = Endpoint(), Tickets()
    tasks = tasks_of(endpoint.over(tickets), 50)
    await settle_down(200)
    for ticket in tickets.waiting:
        ticket.set_exception(RateLimited("429"))
    await all_of(tasks)
    assert endpoint.log.of(Paused) == [Paused("mock", 0.5, "unnamed")]


async def test_refusals_without_end_are_still_only_refusals():
    """However many there are, the longest pause is half a minute."""
    endpoint = Endpoint()
    refused = endpoint.over(Script(*[RateLimited("429", retry_after=1.0)] * 1100, RateLimited("429")))
    for _ in range(1101):
        with pytest.raises(RateLimited, match="429"):
            await refused(a_request())
    assert endpoint.log.of(Paused)[-1] == Paused("mock", 30.0, "unnamed")


async def test_a_time_holds_everybody_whatever_the_status():
    """An overloaded server that names a time means all of us."""
    endpoint = Endpoint()
    await broken(endpoint, ServerError("529", retry_after=30.0), times=1)
    await endpoint.over(Script(an_answer()))(a_request())
    assert LoopClock().now() >= 30


async def test_a_pause_that_grows_is_waited_out():
    """Whoever waits for a pause waits for its prolongation as well."""
    endpoint, sent = Endpoint(), Sent()
    endpoint.condition.pause(30)
    waiting = tasks_of(endpoint.over(sent), 5)
    await asyncio.sleep(29)
    endpoint.condition.pause(30)
    await asyncio.gather(*waiting)
    assert min(sent.times) >= 59


def drained(reset: float | None = 20.0, *, limit: float = 600.0) -> list[LimitState]:
    return [LimitState("requests", limit, 0.0, reset)]


async def test_a_limit_that_others_have_used_up_holds_everybody():
    """Nothing is left, and it was not us: nobody is sent before the reset."""
    endpoint, sent = Endpoint(), Sent()
    endpoint.condition.heard(drained())
    await asyncio.gather(*tasks_of(endpoint.over(sent), 3))
    assert min(sent.times) >= 20
    assert endpoint.log.of(Paused) == [Paused("mock", 20.0, "drained")]


async def test_a_limit_that_we_have_used_up_holds_nobody():
    """Our own pace is as fast as the limit allows: what is left is what it should be."""
    endpoint, sent = Endpoint(), Sent()
    await asyncio.gather(*tasks_of(endpoint.over(sent), 500))
    endpoint.condition.heard(drained())
    assert endpoint.log.of(Paused) == []


@pytest.mark.parametrize(("reset", "held"), [(None, 0), (0.0, 0), (5000.0, 60.0)])
async def test_a_drained_limit_holds_for_a_minute_at_most(reset: float | None, held: float):
    """Without a reset there is nothing to wait for, and one of a day is looked at again after a minute."""
    endpoint, sent = Endpoint(), Sent()
    endpoint.condition.heard(drained(reset))
    await endpoint.over(sent)(a_request())
    assert sent.times[0] == pytest.approx(held, abs=0.3)


# The circuit


async def test_five_failures_open_the_circuit():
    """It is told with the last problem, and nothing is sent for the cool-down."""
    endpoint, sent = await broken(Endpoint()), Sent()
    assert endpoint.log.of(CircuitOpened) == [CircuitOpened("mock", pytest.approx(30), "500")]
    assert not endpoint.gate.admits()
    await endpoint.over(sent)(a_request())
    assert sent.times[0] == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize("error", [ServerError("503"), CallTimeout("slow"), ConnectionFailed("reset")])
async def test_every_failure_of_a_server_that_is_there_counts(error: LlmxError):
    """Errors, timeouts and broken connections alike."""
    endpoint = await broken(Endpoint(), error)
    assert len(endpoint.log.of(CircuitOpened)) == 1


@pytest.mark.parametrize(
    "error", [RateLimited("429", retry_after=0.1), RowRefused("400"), AuthenticationFailed("401")]
)
async def test_what_is_no_failure_of_the_server_opens_nothing(error: LlmxError):
    """A refusal for a limit, of a row, or of a key comes from a server that is there."""
    endpoint = await broken(Endpoint(), error, times=30)
    assert endpoint.log.of(CircuitOpened) == []
    assert endpoint.gate.admits()


@pytest.mark.parametrize("error", [ConnectionFailed("refused"), CallTimeout("slow")])
async def test_a_server_that_was_never_reached_is_no_outage(error: LlmxError):
    """A wrong address ends the run by its retries; there is no circuit to wait for."""
    endpoint = await broken(Endpoint(reached=False), error, times=30)
    assert endpoint.log.of(CircuitOpened) == []
    assert LoopClock().now() < 0.1


async def test_a_server_that_has_only_failed_was_reached():
    """An error from it shows that the address is right."""
    endpoint = await broken(Endpoint(reached=False))
    assert endpoint.health.reached
    assert not endpoint.health.answered
    assert len(endpoint.log.of(CircuitOpened)) == 1


async def test_a_wait_for_the_circuit_uses_no_attempt():
    """Nor does one for a pause: neither attempts nor failures are counted while a request waits."""
    endpoint = await broken(Endpoint())
    endpoint.condition.pause(45)
    request, script = a_request(), Script(an_answer())
    await endpoint.over(script)(request)
    assert LoopClock().now() >= 45
    assert (script.calls, request.tally.failures) == (1, 0)


async def test_what_opens_while_a_request_waits_in_the_queue_holds_it():
    """Whoever is let through is so by what holds in that moment, not by what held when it came."""
    endpoint, sent = Endpoint(rpm=60), Sent()
    queue = tasks_of(endpoint.over(sent), 3)
    await asyncio.sleep(0.1)
    for _ in range(5):
        endpoint.breaker.failed(LoopClock().now(), 0.05)
    await asyncio.gather(*queue)
    assert sent.times[0] < 0.1
    assert min(sent.times[1:]) >= 30


async def test_exactly_one_of_fifty_is_the_probe():
    """The others wait for what becomes of it, and go when it is answered."""
    endpoint, tickets = await broken(Endpoint()), Tickets()
    tasks = tasks_of(endpoint.over(tickets), 50)
    await asyncio.sleep(60)
    assert tickets.calls == 1
    assert endpoint.log.of(CircuitProbing) == [CircuitProbing("mock")]
    tickets.waiting[0].set_result(an_answer())
    await settle_down(300)
    assert tickets.calls == 50
    assert endpoint.log.of(CircuitClosed) == [CircuitClosed("mock")]
    for ticket in tickets.waiting[1:]:
        ticket.set_result(an_answer())
    await asyncio.gather(*tasks)


async def test_a_probe_that_fails_opens_the_circuit_again():
    """The others wait for the next one; how long it has been down is told."""
    endpoint, tickets = await broken(Endpoint()), Tickets()
    tasks = tasks_of(endpoint.over(tickets), 50)
    await asyncio.sleep(31)
    tickets.waiting[0].set_exception(DOWN)
    await asyncio.sleep(29)
    assert tickets.calls == 1
    await asyncio.sleep(2)
    assert tickets.calls == 2
    assert [event.down for event in endpoint.log.of(CircuitOpened)] == [0.0, pytest.approx(31, abs=0.1)]
    await cancelled(tasks)


@pytest.mark.parametrize("end", [asyncio.CancelledError(), AuthenticationFailed("401"), Stopped("stop")])
async def test_a_probe_that_says_nothing_is_followed_by_another(end: BaseException):
    """At once: nobody waits for one that will never come back."""
    endpoint, tickets = await broken(Endpoint()), Tickets()
    tasks = tasks_of(endpoint.over(tickets), 5)
    await asyncio.sleep(31)
    tickets.waiting[0].set_exception(end)
    await settle_down(50)
    assert tickets.calls == 2
    await cancelled(tasks)


@pytest.mark.parametrize("end", [RateLimited("429", retry_after=1.0), RowRefused("400")])
async def test_a_probe_that_is_refused_has_found_the_server(end: LlmxError):
    """Whoever refuses is there."""
    endpoint = await broken(Endpoint())
    with pytest.raises(type(end)):
        await endpoint.over(Script(end))(a_request())
    assert endpoint.log.of(CircuitClosed) == [CircuitClosed("mock")]
    await asyncio.gather(*tasks_of(endpoint.over(Script(an_answer())), 5))


async def test_an_outage_costs_few_calls():
    """Half an hour of errors is met by the calls in flight, and a probe every half minute."""
    endpoint, calls = Endpoint(patience=7200.0, places=(8, 8)), 0

    async def server(request: object) -> Completion:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.5)
        if LoopClock().now() < 1800:
            raise DOWN
        return an_answer()

    handler = endpoint.retrying(server, retries=70)
    assert len(await asyncio.gather(*tasks_of(handler, 40))) == 40
    assert calls < 8 + 1800 / 27 + 40 + 30


async def test_patience_bounds_an_outage():
    """Where nobody else can answer, the run ends when the circuit has been open for as long as one waits."""
    endpoint = await broken(Endpoint(patience=100.0))
    began = LoopClock().now()

    async def ask() -> None:
        while True:
            try:
                await endpoint.over(Script(DOWN))(a_request())
            except ServerError:
                continue

    with pytest.raises(
        ProviderDown, match=r"^mock has not answered for 100 s, more than --patience$"
    ) as caught:
        await ask()
    assert LoopClock().now() - began == pytest.approx(100, abs=0.1)
    assert "-m" in caught.value.hint


async def test_patience_ends_for_all_that_wait():
    """Not one stays behind in the queue, while the probe is still out."""
    endpoint, tickets = await broken(Endpoint(patience=50.0)), Tickets()
    tasks = tasks_of(endpoint.over(tickets), 20)
    await asyncio.sleep(51)
    assert [type(task.exception()) for task in tasks if task.done()] == [ProviderDown] * 19
    await cancelled(tasks)


# Other endpoints


def moving(*names: str) -> dict[str, Tally]:
    return {"tally": Tally(others=frozenset(names))}


async def test_nothing_is_sent_to_an_endpoint_that_has_ended():
    """Who comes later, and who waits already, is sent away in that moment."""
    endpoint, tickets = Endpoint(places=(1, 1)), Tickets()
    tasks = tasks_of(endpoint.over(tickets), 5)
    await asyncio.sleep(1)
    endpoint.gate.end(AuthenticationFailed("401"))
    await settle_down(50)
    assert [type(task.exception()) for task in tasks[1:]] == [NotAdmitted] * 4
    with pytest.raises(NotAdmitted):
        await endpoint.over(tickets)(a_request())
    assert not endpoint.gate.admits()
    await cancelled(tasks)


async def test_a_row_moves_on_when_another_endpoint_takes_it():
    """An open circuit sends away who may go elsewhere; who may not waits."""
    first, second = await broken(Endpoint()), Endpoint(name="second")
    neighbours(first, second)
    with pytest.raises(NotAdmitted):
        await first.over(Script(an_answer()))(a_request(**moving("second")))
    stays = asyncio.ensure_future(first.over(Script(an_answer()))(a_request(**moving())))
    await asyncio.sleep(29)
    assert not stays.done()
    await stays


async def test_a_row_does_not_move_to_an_endpoint_that_takes_none():
    """Both are down: it waits for the first one."""
    first, second = await broken(Endpoint()), await broken(Endpoint(name="second"))
    neighbours(first, second)
    second.gate.end(AuthenticationFailed("401"))
    sent = Sent()
    await first.over(sent)(a_request(**moving("second")))
    assert sent.times[0] == pytest.approx(30, abs=0.1)


async def test_a_waiting_row_moves_as_soon_as_another_endpoint_takes_it():
    """The first is down for longer than the second: the row goes when that one comes back."""
    first, second = Endpoint(), Endpoint(name="second")
    neighbours(first, second)
    await broken(second)
    await asyncio.sleep(10)
    await broken(first)
    began = LoopClock().now()
    with pytest.raises(NotAdmitted):
        await first.over(Script(an_answer()))(a_request(**moving("second")))
    assert LoopClock().now() - began == pytest.approx(20, abs=0.1)


async def test_the_queue_moves_when_the_circuit_opens():
    """Rows that waited for a place move on when the calls before them fail."""
    first, second = Endpoint(places=(5, 5)), Endpoint(name="second")
    neighbours(first, second)
    tickets = Tickets()
    tasks = [asyncio.ensure_future(first.over(tickets)(a_request(**moving("second")))) for _ in range(20)]
    await asyncio.sleep(1)
    for ticket in tickets.waiting[:5]:
        ticket.set_exception(DOWN)
    await settle_down(100)
    assert [type(task.exception()) for task in tasks] == [ServerError] * 5 + [NotAdmitted] * 15


@pytest.mark.parametrize(
    ("leaves", "seconds", "goes"), [(True, 30, True), (True, 0.9, False), (False, 30, False)]
)
async def test_a_pause_sends_away_where_rows_are_spread(leaves: bool, seconds: float, goes: bool):
    """A chain waits out a pause, a spread does not; a second is waited for by both."""
    first, second = Endpoint(), Endpoint(name="second")
    neighbours(first, second)
    first.gate.leaves_pauses = leaves
    first.condition.pause(seconds)
    [end] = await all_of([first.over(Script(an_answer()))(a_request(**moving("second")))])
    assert isinstance(end, NotAdmitted) is goes


async def test_an_idle_endpoint():
    """It has room, nobody waits, and neither pause nor circuit holds."""
    endpoint, tickets = Endpoint(places=(2, 2)), Tickets()
    assert endpoint.gate.is_idle()
    tasks = tasks_of(endpoint.over(tickets), 1)
    await settle_down()
    assert endpoint.gate.is_idle()
    tasks += tasks_of(endpoint.over(tickets), 1)
    await settle_down()
    assert not endpoint.gate.is_idle()
    await cancelled(tasks)
    endpoint.condition.pause(1)
    assert not endpoint.gate.is_idle()
    await asyncio.sleep(2)
    assert endpoint.gate.is_idle()
    await broken(endpoint)
    await asyncio.sleep(31)
    assert not endpoint.gate.is_idle()  # a probe is no call more


async def test_load_orders_endpoints():
    """Rows, fewer places, a slower limit, a pause: each is more to wait for than the one before."""
    endpoint, fewer, slower = (
        Endpoint(places=(8, 8)),
        Endpoint(places=(2, 2)),
        Endpoint(rpm=60, places=(2, 2)),
    )
    loads = [endpoint.gate.load()]
    for each in (endpoint, fewer, slower):
        each.gate.rows = 4
        loads.append(each.gate.load())
    slower.condition.pause(30)
    loads.append(slower.gate.load())
    assert loads == sorted(set(loads))
    assert loads[0] == 0


# Retries


async def test_retries_are_held_back_while_most_fail():
    """The gate's budget is asked before each of them; a stop ends the wait."""
    endpoint = Endpoint()
    for _ in range(4):
        endpoint.breaker.failed(0, 0)
    for _ in range(10):
        await endpoint.gate.retry_allowed()
    assert LoopClock().now() < 0.1
    held = asyncio.ensure_future(endpoint.gate.retry_allowed())
    await asyncio.sleep(30)
    assert not held.done()
    endpoint.stop.set(Interrupted(2))
    with pytest.raises(Stopped):
        await held


# Stopping


@pytest.mark.parametrize(
    "limits", [{"rpm": 1}, {"tpm": 60}, {"places": (1, 1)}], ids=["rpm", "tpm", "places"]
)
async def test_a_stop_ends_all_waiting_for_admission_at_once(limits: dict[str, float]):
    """Those that wait for a limit give up without sending; what is in flight goes on."""
    endpoint, gate = Endpoint(**limits), Tickets()  # type: ignore[arg-type]  # pytest's
    tasks = tasks_of(endpoint.over(gate), 10)
    await asyncio.sleep(600 if "tpm" in limits else 0.5)
    assert gate.calls == 1
    began = LoopClock().now()
    endpoint.stop.set(Interrupted(2))
    gate.waiting[0].set_result(an_answer())
    ends = await all_of(tasks)
    assert [type(end) for end in ends] == [Completion] + [Stopped] * 9
    assert LoopClock().now() - began < 0.1
    assert endpoint.gate.waiting == 0


@pytest.mark.parametrize("holds", ["pause", "circuit"])
async def test_a_stop_ends_the_wait_for_a_pause(holds: str):
    """Nobody sits out a Retry-After, or an outage, in a run that is stopping."""
    endpoint = Endpoint()
    if holds == "pause":
        endpoint.condition.pause(600)
    else:
        await broken(endpoint)
    tasks = tasks_of(endpoint.over(Script(an_answer())), 5)
    await asyncio.sleep(1)
    endpoint.stop.set(Interrupted(2))
    assert all(isinstance(end, Stopped) for end in await all_of(tasks))
    assert LoopClock().now() < 2
    assert endpoint.gate.waiting == 0


# What ends a wait for the limits


async def waits_for(kind: str, first: Endpoint) -> tuple[asyncio.Task[Completion], Sent]:
    """A row that may move on to `second`, and waits for a limit of an endpoint."""
    sent = Sent()
    handler = first.over(sent)
    if kind != "tokens":
        await handler(a_request("before"))
    if kind == "found":
        first.pacing.refused(LoopClock().now(), 50.0)
        await handler(a_request("paced"))
    body = {"size": 4 * 5_000} if kind == "tokens" else {}
    waiting = asyncio.ensure_future(handler(a_request(body=body, **moving("second"))))
    await asyncio.sleep(1)
    assert not waiting.done()
    return waiting, sent


LIMITED = [("tokens", {"tpm": 600}), ("requests", {"rpm": 1}), ("found", {})]


@pytest.mark.parametrize(("kind", "limits"), LIMITED)
async def test_who_waits_for_a_limit_hears_that_the_endpoint_has_ended(kind: str, limits: dict[str, float]):
    """It goes elsewhere at once, and nothing is sent where the key is dead."""
    first, second = Endpoint(**limits), Endpoint(name="second")  # type: ignore[arg-type]  # of floats only
    neighbours(first, second)
    waiting, sent = await waits_for(kind, first)
    before = len(sent.times)
    first.gate.end(AuthenticationFailed("401"))
    [end] = await all_of([waiting])
    assert isinstance(end, NotAdmitted)
    assert LoopClock().now() < 2
    await asyncio.sleep(3000)
    assert len(sent.times) == before


@pytest.mark.parametrize(("kind", "limits"), LIMITED)
async def test_who_waits_for_a_limit_hears_that_the_circuit_opens(kind: str, limits: dict[str, float]):
    """It goes where rows are taken."""
    first, second = Endpoint(**limits), Endpoint(name="second")  # type: ignore[arg-type]  # of floats only
    neighbours(first, second)
    waiting, _ = await waits_for(kind, first)
    before = LoopClock().now()
    passed = Passed(Call(before, NOTHING, Tally(), probe=False), await first.purse.reserve(a_request()))
    for _ in range(5):
        first.condition.in_flight += 1
        first.gate.failed(DOWN, passed)
    [end] = await all_of([waiting])
    assert isinstance(end, NotAdmitted)
    assert LoopClock().now() - before < 1


async def test_patience_that_is_over_spins_nobody():
    """An error that names a time beyond patience: the server is asked then, as it wanted, before it is given up."""
    endpoint, sent = Endpoint(patience=60.0), Sent()
    await broken(endpoint, times=4)
    await broken(endpoint, ServerError("503", retry_after=300.0), times=1)
    await endpoint.over(sent)(a_request())
    assert sent.times == [pytest.approx(300, abs=0.5)]


async def test_nobody_is_given_up_who_was_not_asked_again():
    """A row that waits for a budget of others is the probe as soon as it may be, though patience is over."""
    budget = Calls(1)
    endpoint, sent = Endpoint(patience=60.0, allowances=[budget], worst=Amount(None, 1)), Sent()
    await broken(endpoint)
    budget.left = 0
    waiting = asyncio.ensure_future(endpoint.over(sent)(a_request()))
    await asyncio.sleep(90)
    budget.left = 1
    await waiting
    assert sent.times == [pytest.approx(90, abs=1)]


async def test_bad_luck_ends_a_cool_down_for_those_who_wait():
    """Late answers show that the server is there: the next one goes at once, not after half a minute."""
    endpoint, tickets, sent = Endpoint(), Tickets(), Sent()
    late = tasks_of(endpoint.over(tickets), 10)
    await settle_down(50)
    for ticket in tickets.waiting[:5]:
        ticket.set_exception(DOWN)
    await asyncio.sleep(1)
    waiting = asyncio.ensure_future(endpoint.over(sent)(a_request()))
    await asyncio.sleep(1)
    for ticket in tickets.waiting[5:]:
        ticket.set_result(an_answer())
    await waiting
    await all_of(late)
    assert sent.times == [pytest.approx(2, abs=0.1)]


async def test_a_pause_elsewhere_that_ends_is_heard_of():
    """Where rows are spread, one that waits for a long pause goes to the endpoint whose short one is over."""
    first, second = Endpoint(), Endpoint(name="second")
    neighbours(first, second)
    first.gate.leaves_pauses = second.gate.leaves_pauses = True
    first.condition.pause(500)
    second.condition.pause(5)
    [end] = await all_of([first.over(Script(an_answer()))(a_request(**moving("second")))])
    assert isinstance(end, NotAdmitted)
    assert LoopClock().now() == pytest.approx(4, abs=0.1)


async def test_a_pause_that_begins_sends_away_who_waits_for_a_place():
    """It need not wait for a call to come back to hear of it."""
    first, second = Endpoint(places=(1, 1)), Endpoint(name="second")
    neighbours(first, second)
    first.gate.leaves_pauses = True
    tickets = Tickets()
    tasks = [asyncio.ensure_future(first.over(tickets)(a_request(**moving("second")))) for _ in range(3)]
    await asyncio.sleep(1)
    first.condition.pause(55)
    await settle_down(100)
    assert [task.done() for task in tasks] == [False, True, True]
    await cancelled(tasks)


# One row that alone is refused


async def test_a_row_that_alone_is_refused_holds_nobody_for_long():
    """One that is larger than the limit is refused for ever, while all others are answered."""
    endpoint = Endpoint(places=(32, 256))

    async def server(request: Request) -> Completion:
        await asyncio.sleep(0.1)
        if request.fingerprint == "huge":
            raise RateLimited("429", retry_after=60.0)
        await asyncio.sleep(0.4)
        return an_answer()

    handler = endpoint.retrying(server)
    huge = asyncio.ensure_future(handler(a_request("huge")))
    await asyncio.sleep(1)
    for batch in range(12):
        await asyncio.gather(*[handler(a_request(f"{batch}-{n}")) for n in range(50)])
    assert LoopClock().now() < 6 * 62
    [end] = await all_of([huge])
    assert isinstance(end, RetriesExhausted)
    assert LoopClock().now() < 700
    assert len(endpoint.log.of(Paused)) <= 6


async def test_nobody_waits_for_a_time_beyond_max_wait():
    """Whoever was refused so ends the endpoint; the second call of a hedged one does not hold everybody for a day."""
    endpoint = Endpoint(max_wait=600.0)
    with pytest.raises(RateLimited):
        await endpoint.over(Script(RateLimited("429", retry_after=86_400.0)))(a_request())
    await endpoint.over(Script(an_answer()))(a_request())
    assert LoopClock().now() < 1


# Budgets


async def test_who_waited_for_the_budget_is_paced_all_the_same():
    """A place in the minute that was taken before a long wait would be used together with the next ones."""
    budget = Calls(8)
    endpoint = Endpoint(rpm=60, allowances=[budget], worst=Amount(None, 1))

    async def server(request: Request) -> Completion:
        times.append(LoopClock().now())
        await asyncio.sleep(20)
        return an_answer()

    times: list[float] = []
    tasks = tasks_of(endpoint.over(server), 60)
    await asyncio.gather(*tasks)
    for begin in times:
        assert sum(begin <= at < begin + 0.9 for at in times) == 1


async def test_who_does_not_get_through_gives_back_what_was_set_aside():
    """A row that moves on while it waits for its slot costs nothing here."""
    budget = Calls(5)
    first, second = Endpoint(rpm=1, allowances=[budget], worst=Amount(None, 1)), Endpoint(name="second")
    neighbours(first, second)
    waiting, _ = await waits_for("requests", first)
    assert budget.left == 4
    first.gate.end(AuthenticationFailed("401"))
    await all_of([waiting])
    assert budget.left == 5


async def test_a_row_that_is_cancelled_while_it_waits_for_the_budget():
    """Nothing stays set aside, and who waits behind it goes on."""
    budget = Calls(1)
    endpoint = Endpoint(allowances=[budget], worst=Amount(None, 1))
    tickets = Tickets()
    tasks = tasks_of(endpoint.over(tickets), 3)
    await settle_down(50)
    tasks[1].cancel()
    await settle_down(50)
    tickets.waiting[0].set_result(an_answer())
    await settle_down(50)
    assert (tasks[0].done(), tickets.calls) == (True, 2)
    await cancelled(tasks)
    assert (endpoint.condition.in_flight, endpoint.gate.waiting) == (0, 0)
