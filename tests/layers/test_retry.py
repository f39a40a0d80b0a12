"""Retries: what is tried again, how often, after how long."""

from __future__ import annotations

import asyncio

import pytest
from fakes import Log, LoopClock, Script, a_request, an_answer, settle_down

from llmx.errors import (
    AuthenticationFailed,
    CallTimeout,
    ConnectionFailed,
    Interrupted,
    InvalidAnswer,
    LlmxError,
    ProviderDown,
    QuotaSpent,
    RateLimited,
    RequestRejected,
    RetriesExhausted,
    RowRefused,
    ServerError,
    Stopped,
    UnknownModel,
)
from llmx.events import RetryScheduled, RetryStarted
from llmx.layers.health import ALONE, Health
from llmx.layers.retry import RetryPolicy, retried
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Request, Tally

pytestmark = pytest.mark.simulated_time


class Over:
    """The layer over a script, with what it is given at hand."""

    def __init__(self, script: Handler, **policy: float) -> None:
        self.log, self.stop, self.health = Log(), Stop(), Health()
        self.allowances = 0
        self.handler = retried(
            RetryPolicy(**policy),  # type: ignore[arg-type]  # retries are whole in every test
            health=self.health,
            clock=LoopClock(),
            stop=self.stop,
            observer=self.log,
            allowed=self._allowed,
        )(script)

    async def _allowed(self) -> None:
        self.allowances += 1

    @property
    def delays(self) -> list[float]:
        return [event.delay for event in self.log.of(RetryScheduled)]


async def test_an_answer_passes():
    """A call that succeeds is made once, and nothing is told."""
    script = Script(an_answer())
    over = Over(script)
    assert await over.handler(a_request()) == an_answer()
    assert (script.calls, over.log.events) == (1, [])


@pytest.mark.parametrize("error", [ServerError("500"), ConnectionFailed("reset"), CallTimeout("slow")])
async def test_a_transient_error_is_tried_again(error: LlmxError):
    """The same request is sent again and its answer is the row's."""
    script = Script(error, an_answer())
    assert await Over(script).handler(a_request()) == an_answer()
    assert script.requests == [a_request(), a_request()]


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationFailed("401"),
        UnknownModel("404"),
        QuotaSpent("no credit"),
        RequestRejected("schema"),
        RowRefused("400"),
        InvalidAnswer("no"),
        Stopped("signal"),
    ],
)
async def test_any_other_error_is_final(error: LlmxError):
    """What another attempt cannot mend is raised as it is, after one call."""
    script = Script(error)
    with pytest.raises(type(error)) as caught:
        await Over(script).handler(a_request())
    assert caught.value is error
    assert script.calls == 1


async def test_a_final_error_ends_a_series():
    """A dead key found at the second attempt is not tried a third time."""
    script = Script(ServerError("500"), AuthenticationFailed("401"))
    with pytest.raises(AuthenticationFailed):
        await Over(script).handler(a_request())
    assert script.calls == 2


@pytest.mark.parametrize("retries", [0, 1, 5])
async def test_retries_are_counted(retries: int):
    """`--retries 5` is six attempts, and the message says how many there were."""
    script = Script(ServerError("500 from the server", hint="status page"))
    attempts = f"{retries + 1} attempt{'s' if retries else ''}"
    with pytest.raises(RetriesExhausted, match=rf"^500 from the server \({attempts}\)$") as caught:
        await Over(script, retries=retries).handler(a_request())
    assert script.calls == retries + 1
    assert caught.value.hint == "status page"


async def test_a_timeout_is_tried_again_once():
    """It may have been billed, so the second one is the last."""
    script = Script(CallTimeout("no answer"))
    over = Over(script)
    over.health.good(0.0)
    with pytest.raises(RetriesExhausted, match=r"^no answer \(2 attempts\)$"):
        await over.handler(a_request())
    assert script.calls == 2


async def test_timeouts_are_counted_apart_from_other_errors():
    """A timeout between other errors uses up one retry like them."""
    script = Script(ServerError("500"), CallTimeout("slow"), ServerError("500"), an_answer())
    assert await Over(script, retries=3).handler(a_request()) == an_answer()


async def test_a_429_uses_no_attempt():
    """Pacing is no failure: with no retries at all, thirty 429s are waited out."""
    script = Script(*[RateLimited("429", retry_after=1.0)] * 30, an_answer())
    assert await Over(script, retries=0).handler(a_request()) == an_answer()
    assert script.calls == 31


async def test_429s_and_failures_are_counted_apart():
    """The retries are all there after any number of 429s."""
    script = Script(
        RateLimited("429"), RateLimited("429"), ServerError("500"), RateLimited("429"), an_answer()
    )
    assert await Over(script, retries=1).handler(a_request()) == an_answer()


async def test_patience_bounds_429s():
    """Nothing but 429 for longer than `--patience` stops the run."""
    over = Over(Script(RateLimited("429", retry_after=10.0)), patience=60.0)
    with pytest.raises(QuotaSpent, match=r"^refused with 429 for \d\d s, more than --patience$") as caught:
        await over.handler(a_request())
    assert 60 < LoopClock().now() < 60 + 2 * 11
    assert "--rpm" in caught.value.hint


async def test_good_answers_of_other_rows_renew_patience():
    """An endpoint that answers somebody is only busy."""
    script = Script(*[RateLimited("429", retry_after=10.0)] * 20, an_answer())
    over = Over(script, patience=60.0)

    async def others() -> None:
        for _ in range(25):
            over.health.good(LoopClock().now())
            await asyncio.sleep(10)

    busy = asyncio.ensure_future(others())
    assert await over.handler(a_request()) == an_answer()
    await busy


async def test_a_request_that_alone_is_refused_fails_alone():
    """Others were answered while it was not: that is no reason to stop the run."""
    over = Over(Script(RateLimited("429", retry_after=10.0)), patience=60.0)

    async def others() -> None:
        for _ in range(25):
            over.health.good(LoopClock().now())
            await asyncio.sleep(10)

    busy = asyncio.ensure_future(others())
    with pytest.raises(RetriesExhausted, match=r"^429 \(refused for (6|7)\d s\)$"):
        await over.handler(a_request(tally=Tally(alone=ALONE)))
    await busy


async def test_an_answer_that_was_on_its_way_fails_no_row():
    """The first refusal came before it, and nobody is answered any more: that ends the run, and no row alone."""
    over = Over(Script(RateLimited("429", retry_after=10.0)), patience=60.0)
    call = asyncio.ensure_future(over.handler(a_request()))
    await asyncio.sleep(1)
    over.health.good(LoopClock().now())
    with pytest.raises(QuotaSpent):
        await call
    assert LoopClock().now() < 61 + 2 * 11


async def test_the_last_row_of_a_run_that_alone_is_refused_fails_alone():
    """Nobody is left to be answered in between; but others had been, and no other row was refused."""
    tally = Tally()

    async def server(request: Request) -> Completion:
        over.health.refused(LoopClock().now(), tally, 10.0)
        raise RateLimited("429", retry_after=10.0)

    over = Over(server, patience=60.0)
    over.health.good(0.0)
    with pytest.raises(RetriesExhausted):
        await over.handler(a_request(tally=tally))


async def test_a_refusal_of_long_ago_is_no_spell():
    """An endpoint that was idle for an hour since has not refused for an hour."""
    tally = Tally()

    async def server(request: Request) -> Completion:
        if LoopClock().now() < 3601:
            over.health.refused(LoopClock().now(), tally, 2.0)
            raise RateLimited("429", retry_after=2.0)
        return an_answer()

    over = Over(server, patience=60.0)
    over.health.refused(0.0, Tally())
    await asyncio.sleep(3600)
    assert await over.handler(a_request(tally=tally)) == an_answer()


async def test_patience_is_the_endpoints_not_a_rows():
    """Rows take turns at being refused: the time since anybody was answered counts."""
    over = Over(Script(RateLimited("429", retry_after=10.0)), patience=60.0)
    over.health.refused(0.0, Tally())
    await asyncio.sleep(55)
    over.health.refused(55.0, Tally())
    with pytest.raises(QuotaSpent):
        await over.handler(a_request())
    assert LoopClock().now() < 60 + 2 * 11


@pytest.mark.parametrize("error", [UnknownModel("404"), RequestRejected("schema")])
async def test_what_the_provider_refuses_of_one_row_after_good_answers_is_about_that_row(error: LlmxError):
    """Model and schema are the same for all, and others got their answers."""
    over = Over(Script(ServerError("500"), error))
    over.health.good(0.0)
    with pytest.raises(RowRefused, match=f"^{error}$"):
        await over.handler(a_request())


@pytest.mark.parametrize("error", [RateLimited, ServerError])
async def test_a_wait_beyond_max_wait_is_not_slept(error: type[RateLimited]):
    """A Retry-After longer than `--max-wait` ends the run at once, naming both."""
    script = Script(error("busy", retry_after=7200.0))
    with pytest.raises(
        QuotaSpent, match=r"^the provider asks to wait 7,200 s, more than --max-wait$"
    ) as caught:
        await Over(script, max_wait=600.0).handler(a_request())
    assert caught.value.hint == "--max-wait 7200s, or run the same command again later"
    assert (script.calls, LoopClock().now()) == (1, pytest.approx(0, abs=0.01))


async def test_nobody_comes_back_before_retry_after():
    """The wait is what the server asked for, plus at most a second of jitter."""
    over = Over(Script(*[RateLimited("429", retry_after=30.0)] * 20, an_answer()), patience=1e6)
    await over.handler(a_request())
    assert len(over.delays) == 20
    assert all(30 <= delay <= 31 for delay in over.delays)
    assert len(set(over.delays)) > 1


async def test_waits_are_full_jitter():
    """The n-th wait is drawn from [0, min(cap, base * 2**n)] seconds, all of that range."""
    waits: list[list[float]] = []
    for _ in range(200):
        over = Over(Script(ServerError("500")), retries=6, base=0.5, cap=4.0)
        with pytest.raises(RetriesExhausted):
            await over.handler(a_request())
        waits.append(over.delays)
    for nth, bound in enumerate([0.5, 1, 2, 4, 4, 4]):
        drawn = [delays[nth] for delays in waits]
        assert 0 <= min(drawn) < 0.1 * bound
        assert 0.9 * bound < max(drawn) <= bound


async def test_a_wait_is_really_waited():
    """The attempts are as far apart as was told."""
    over = Over(Script(ServerError("500")), retries=3)
    with pytest.raises(RetriesExhausted):
        await over.handler(a_request())
    assert LoopClock().now() == pytest.approx(sum(over.delays), abs=0.01)


async def test_every_retry_is_told():
    """Observers hear of each wait with its error."""
    error = ServerError("500")
    over = Over(Script(error, error, an_answer()))
    await over.handler(a_request())
    assert [event.error for event in over.log.of(RetryScheduled)] == [error, error]
    assert len(over.log.of(RetryStarted)) == 2


async def test_no_connection_before_any_answer_means_the_provider_is_down():
    """An address that never answered ends the run, not row after row."""
    script = Script(ConnectionFailed("connection refused"))
    with pytest.raises(ProviderDown, match=r"^connection refused$") as caught:
        await Over(script, retries=2).handler(a_request())
    assert script.calls == 3
    assert caught.value.hint == "check the address (--base-url) and the network"


async def test_no_connection_after_a_good_answer_fails_the_row_alone():
    """An endpoint that has answered is not called down."""
    over = Over(Script(ConnectionFailed("reset")), retries=1)
    over.health.good(0.0)
    with pytest.raises(RetriesExhausted):
        await over.handler(a_request())


async def test_a_stop_ends_a_backoff_at_once():
    """A row that waits for its next attempt gives up when the run stops, without that attempt."""
    script = Script(ServerError("500", retry_after=300.0))
    over = Over(script)
    task = asyncio.ensure_future(over.handler(a_request()))
    await settle_down()
    over.stop.set(Interrupted(2))
    with pytest.raises(Stopped):
        await task
    assert script.calls == 1
    assert LoopClock().now() < 1


async def test_no_backoff_begins_after_a_stop():
    """An attempt that fails while the run is stopping is not followed by another."""
    over = Over(Script(ServerError("500")))
    over.stop.set(Interrupted(2))
    with pytest.raises(Stopped):
        await over.handler(a_request())


# Attempts over several endpoints


def tried(failures: int = 0, *others: str) -> Request:
    """A request that has failed so often, and may yet go to others."""
    return a_request(tally=Tally(failures=failures, others=frozenset(others)))


@pytest.mark.parametrize(
    ("failures", "others", "attempts"),
    [(0, (), 6), (2, (), 4), (5, (), 1), (0, ("b",), 5), (2, ("b", "c"), 2), (9, ("b", "c"), 1)],
)
async def test_attempts_are_bounded_over_all_endpoints(failures: int, others: tuple[str, ...], attempts: int):
    """Those made elsewhere count, and every endpoint that is left keeps one; each has one at least."""
    script, request = Script(ServerError("500")), tried(failures, *others)
    with pytest.raises(RetriesExhausted):
        await Over(script, retries=5).handler(request)
    assert script.calls == attempts
    assert request.tally.failures == failures + attempts


async def test_an_answer_clears_the_count():
    """A re-ask has all attempts again."""
    request = tried(3)
    await Over(Script(ServerError("500"), an_answer())).handler(request)
    assert request.tally.failures == 0


async def test_a_429_is_no_failure_on_the_tally():
    """It uses no attempt here, and none elsewhere."""
    request = tried()
    script = Script(*[RateLimited("429")] * 3, ServerError("500"))
    with pytest.raises(RetriesExhausted, match=r"\(1 attempt\)"):
        await Over(script, retries=0).handler(request)
    assert (script.calls, request.tally.failures) == (4, 1)


async def test_every_retry_is_allowed_first():
    """After its backoff, and only retries: who may make a first attempt is the gate's business."""
    over = Over(Script(*[ServerError("500")] * 3, an_answer()))
    await over.handler(a_request())
    assert over.allowances == 3


# The last attempt


class Timed:
    """A handler that fails always, and notes when it did."""

    def __init__(self, error: LlmxError, seconds: float = 0.0) -> None:
        self.times: list[float] = []
        self._error = error
        self._seconds = seconds

    async def __call__(self, request: Request) -> Completion:
        await asyncio.sleep(self._seconds)
        self.times.append(LoopClock().now())
        raise self._error


async def last_of(over: Over, timed: Timed, request: Request | None = None) -> float:
    """Seconds from the first failure to the last attempt."""
    with pytest.raises((RetriesExhausted, ProviderDown)):
        await over.handler(request or a_request())
    return timed.times[-1] - timed.times[0]


@pytest.mark.parametrize("retries", [1, 3, 5])
async def test_the_last_attempt_waits_out_an_outage_of_a_minute(retries: int):
    """Nobody has been answered since the first failure: it is made a minute after that, not before."""
    timed = Timed(ServerError("503"))
    over = Over(timed, retries=retries)
    over.health.reached = True
    assert await last_of(over, timed) == pytest.approx(60, abs=0.01)
    assert len(timed.times) == retries + 1


async def test_an_outage_of_a_minute_fails_no_row():
    """Rows that met its beginning are answered after its end."""

    async def server(request: Request) -> Completion:
        if 10 <= LoopClock().now() < 69.9:
            raise ServerError("503")
        return an_answer()

    over = Over(server, retries=2)
    over.health.good(0.0)
    await asyncio.sleep(10.5)
    assert await over.handler(a_request()) == an_answer()


async def test_the_last_attempt_is_not_put_off_where_others_are_answered():
    """That is no outage; the row alone fails."""
    timed = Timed(ServerError("500"), seconds=0.1)
    over = Over(timed, retries=3)
    call = asyncio.ensure_future(last_of(over, timed))
    await asyncio.sleep(0.15)
    over.health.good(LoopClock().now())
    assert await call < 8


@pytest.mark.parametrize("others", [(), ("b",)], ids=["never reached", "others left"])
async def test_the_last_attempt_is_not_put_off_in_vain(others: tuple[str, ...]):
    """Neither for an address that never said a word, nor where another endpoint can be asked instead."""
    timed = Timed(ConnectionFailed("refused"))
    over = Over(timed, retries=3)
    over.health.reached = bool(others)
    assert await last_of(over, timed, tried(0, *others)) < 8


async def test_a_time_the_server_names_may_put_it_off_for_longer():
    """A minute is the least."""
    timed = Timed(ServerError("503", retry_after=90.0))
    over = Over(timed, retries=1)
    over.health.reached = True
    assert 90 <= await last_of(over, timed) <= 91


async def test_an_outage_that_hangs_fails_no_row():
    """The attempt after a timeout is the last one there is: it, too, is put off until an outage of a minute is over."""

    async def server(request: Request) -> Completion:
        if 10 <= LoopClock().now() < 65:
            await asyncio.sleep(5)
            raise CallTimeout("no answer within 5 s")
        return an_answer()

    over = Over(server, retries=5)
    over.health.good(0.0)
    await asyncio.sleep(10.5)
    assert await over.handler(a_request()) == an_answer()
