"""Rows in, outcomes out: in order, bounded, each exactly once."""

from __future__ import annotations

import asyncio
import random
import threading
import tracemalloc
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest
from fakes import Counted, FakeClock, Gate, Log, LoopClock, Script, a_request, an_answer, settle_down, until
from msgspec.structs import replace

from llmx.ahead import Ahead, Done
from llmx.errors import (
    AllInvalid,
    AuthenticationFailed,
    Interrupted,
    InvalidAnswer,
    LlmxError,
    ProviderDown,
    RetriesExhausted,
    Stopped,
    UnreadableRow,
)
from llmx.events import Paused, RowSettled, RowsSettled
from llmx.feed import Feed
from llmx.layers.stop import Stop
from llmx.pipeline import amap, settled, written
from llmx.settling import FIRST_ROWS, FirstRows, Prepared, Settler
from llmx.shelf import HEAVY
from llmx.types import Completion, Outcome, Record, Request, Unreadable, Usage


async def run(rows: Iterable[Record | Unreadable], *, write: Any, drained: Any, **options: Any) -> None:
    """Settle rows and write how they ended, as a run does."""
    await written(settled(Feed(rows), **options), write=write, drained=drained)


# amap


async def at_once() -> None:
    """What was written has been taken."""


async def collected(results: AsyncGenerator[int], seen: list[int] | None = None) -> list[int]:
    """All results; `seen` keeps those that came before an error."""
    seen = [] if seen is None else seen
    async with aclosing(results):
        async for result in results:
            seen.append(result)
    return seen


async def same(row: int) -> int:
    return row


@pytest.mark.simulated_time
@pytest.mark.parametrize("seed", range(5))
async def test_the_order_of_the_rows_is_restored(seed: int):
    """Whatever the delays, results come in the order of the rows."""
    delays = random.Random(seed)

    async def slow(row: int) -> int:
        await asyncio.sleep(delays.expovariate(1))
        return row

    results = amap(slow, range(500), concurrency=17, ordered=True, stop=Stop())
    assert await collected(results) == list(range(500))


@pytest.mark.simulated_time
async def test_order_done_yields_results_as_they_come():
    """Unordered, the quickest row is first, and none is missing."""

    async def slow(row: int) -> int:
        await asyncio.sleep(10 - row)
        return row

    results = amap(slow, range(10), concurrency=10, ordered=False, stop=Stop())
    assert await collected(results) == list(reversed(range(10)))


@pytest.mark.simulated_time
async def test_no_more_than_concurrency_rows_are_under_way():
    """`concurrency` is kept, and used."""
    under_way, most = 0, 0

    async def slow(row: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(1 + row % 3)
        under_way -= 1
        return row

    await collected(amap(slow, range(200), concurrency=7, ordered=True, stop=Stop()))
    assert most == 7


async def test_no_rows_no_results():
    """An empty input is an empty output."""
    assert await collected(amap(same, [], concurrency=5, ordered=True, stop=Stop())) == []


async def test_one_worker_is_enough():
    """Concurrency 1 takes row after row."""
    assert await collected(amap(same, range(50), concurrency=1, ordered=True, stop=Stop())) == list(range(50))


async def test_a_row_that_never_ends_holds_a_bounded_number():
    """Behind a first row that hangs, at most a window of rows is settled and kept; then the workers wait."""
    rows, begun = Counted(), 0

    async def first_hangs(row: int) -> int:
        nonlocal begun
        begun += 1
        await (asyncio.Event().wait() if row == 0 else asyncio.sleep(0))
        return row

    results = amap(first_hangs, rows, concurrency=8, ordered=True, stop=Stop(), window=50)
    waiting = asyncio.ensure_future(anext(results))
    await until(lambda: begun >= 50)
    await settle_down(500)
    assert begun <= 50 + 8
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await results.aclose()


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_slow_consumer_holds_up_the_workers(ordered: bool):
    """Results that nobody takes do not pile up beyond the window, in whatever order; nor is everything read."""
    begun = 0

    async def count(row: int) -> int:
        nonlocal begun
        begun += 1
        return row

    results = amap(count, Counted(), concurrency=4, ordered=ordered, stop=Stop(), window=20)
    await anext(results)
    await until(lambda: begun >= 20)
    await settle_down(500)
    assert begun <= 1 + 20 + 4
    await results.aclose()


async def test_a_stop_takes_no_further_row_and_settles_those_in_flight():
    """Rows under way when the switch is thrown end and are yielded; the rest is left alone."""
    stop, gate, begun = Stop(), asyncio.Event(), []

    async def slow(row: int) -> int:
        begun.append(row)
        await gate.wait()
        return row

    task = asyncio.ensure_future(collected(amap(slow, Counted(), concurrency=3, ordered=True, stop=stop)))
    await until(lambda: len(begun) == 3)
    stop.set(Interrupted(2))
    await settle_down()
    assert not task.done()
    gate.set()
    assert await task == begun == [0, 1, 2]


async def test_a_stop_ends_the_wait_for_slow_input():
    """Nobody waits for the next line of a terminal in a run that is stopping."""
    stop, unblocked = Stop(), threading.Event()

    def typing() -> Iterator[int]:
        yield 1
        unblocked.wait(5)
        yield 2

    results = amap(same, typing(), concurrency=3, ordered=True, stop=stop)
    assert await anext(results) == 1
    stop.set(Interrupted(2))
    assert await collected(results) == []
    unblocked.set()


async def test_a_stopped_row_leaves_no_gap():
    """Rows that raise Stopped are left out; settled ones behind them are still yielded."""
    stop, begun = Stop(), 0

    async def settle(row: int) -> int:
        nonlocal begun
        begun += 1
        await until(lambda: begun == 4)
        if row == 1:
            stop.set(Interrupted(2))
            raise Stopped("interrupted")
        await until(lambda: stop.reason)
        return row

    results = amap(settle, range(100), concurrency=4, ordered=True, stop=stop)
    assert await collected(results) == [0, 2, 3]


async def test_a_stop_before_the_start_takes_nothing():
    """A switch thrown before the first row leaves all rows."""
    stop = Stop()
    stop.set(Interrupted(2))
    assert await collected(amap(same, range(10), concurrency=3, ordered=True, stop=stop)) == []


async def test_an_exception_ends_the_map_and_cancels_the_others():
    """What the function raises is raised to the consumer; no task is left behind."""
    cancelled = []

    async def failing(row: int) -> int:
        if row == 3:
            raise ZeroDivisionError("our bug")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(row)
            raise
        return row

    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError, match="our bug"):
        await collected(amap(failing, Counted(), concurrency=5, ordered=True, stop=Stop()))
    assert sorted(cancelled) == [0, 1, 2, 4]
    assert asyncio.all_tasks() == before


async def test_results_before_an_exception_are_yielded():
    """What was settled in order before the failure is not lost."""

    async def failing(row: int) -> int:
        if row == 3:
            raise ZeroDivisionError
        return row

    results, seen = amap(failing, range(10), concurrency=1, ordered=True, stop=Stop()), list[int]()
    with pytest.raises(ZeroDivisionError):
        await collected(results, seen)
    assert seen == [0, 1, 2]


async def test_an_exception_of_the_rows_ends_the_map():
    """A reader that fails is told to the consumer, after the rows before it."""

    def failing() -> Iterator[int]:
        yield from range(5)
        raise OSError("disk gone")

    results, seen = amap(same, failing(), concurrency=2, ordered=True, stop=Stop()), list[int]()
    with pytest.raises(OSError, match="disk gone"):
        await collected(results, seen)
    assert seen == list(range(5))


async def test_a_call_cancelled_by_somebody_else_is_no_end():
    """A row whose call is cancelled from within is not silently left out."""

    async def cancelled(row: int) -> int:
        if row == 3:
            raise asyncio.CancelledError
        return row

    with pytest.raises(RuntimeError, match=r"^a call was cancelled, but not by the run$"):
        await collected(amap(cancelled, range(10), concurrency=2, ordered=True, stop=Stop()))


async def test_leaving_early_leaves_no_task_and_no_thread():
    """A consumer that breaks off ends workers and reader."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with aclosing(amap(same, Counted(), concurrency=5, ordered=True, stop=Stop())) as results:
        async for result in results:
            if result == 10:
                break
    assert asyncio.all_tasks() == tasks
    for thread in set(threading.enumerate()) - threads:
        await asyncio.to_thread(thread.join, 5)
        assert thread.name != "llmx-reader" or not thread.is_alive()


async def test_a_hundred_thousand_rows_cost_little_and_flat_memory():
    """Memory does not grow with the input, and the machinery costs microseconds per row."""
    peaks: list[int] = []

    async def settle(row: int) -> bytes:
        return bytes(1000)

    tracemalloc.start()
    seen = 0
    async for _ in amap(settle, Counted(100_000), concurrency=100, ordered=True, stop=Stop()):
        seen += 1
        if seen % 20_000 == 0:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
    tracemalloc.stop()
    assert seen == 100_000
    assert max(peaks) < 5_000_000
    assert peaks[-1] < peaks[0] + 2_000_000


# run


@pytest.mark.parametrize("ordered", [True, False])
async def test_run_writes_every_outcome(ordered: bool):
    """Each row ends exactly once at the writer."""
    rows = [Record(n, {}) for n in range(100)]
    written: list[Outcome] = []

    async def settle(prepared: Prepared) -> Outcome:
        return Outcome(prepared.record)

    await run(
        rows,
        prepare=prepared,
        settle=settle,
        taken=unasked,
        write=written.extend,
        drained=at_once,
        concurrency=5,
        ordered=ordered,
        stop=Stop(),
    )
    assert sorted(outcome.record.index for outcome in written) == list(range(100))


async def test_a_writer_that_fails_ends_the_run():
    """A full disk stops the calls: nothing is begun any more, nothing is left running."""
    begun = 0

    async def settle(prepared: Prepared) -> Outcome:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        return Outcome(prepared.record)

    def full(outcomes: list[Outcome]) -> None:
        raise OSError("no space left on device")

    before = asyncio.all_tasks()
    rows = (Record(n, {}) for n in range(10**6))
    with pytest.raises(OSError, match="no space left"):
        await run(
            rows,
            prepare=prepared,
            settle=settle,
            taken=unasked,
            write=full,
            drained=at_once,
            concurrency=5,
            ordered=True,
            stop=Stop(),
        )
    assert begun < 5_000
    assert asyncio.all_tasks() == before


# Settler


def as_it_is(outcome: Outcome) -> Outcome:
    return outcome


def made(row: Record) -> Prepared:
    """A row with a request of its own."""
    return Prepared(row, a_request(str(row.index)))


async def prepared(rows: list[Record]) -> list[Prepared]:
    return [made(row) for row in rows]


def unasked(outcome: Outcome) -> None:
    raise AssertionError("no row was done beforehand")


def a_settler(handler, *, stop: Stop | None = None, log: Log | None = None, present=as_it_is, prepare=None):
    return Settler(
        prepare or (lambda record: a_request(str(record.index))),
        handler,
        present=present,
        clock=FakeClock(),
        stop=stop or Stop(),
        observer=log or Log(),
    )


def settling(handler, **options):
    return a_settler(handler, **options).settle


ROW = Record(0, {"text": "Ada"})


async def test_a_good_row_ends_in_a_value():
    """The outcome has the value, who gave it, and what it cost."""

    async def handler(request: Request) -> Completion:
        request.tally.attempts += 2
        request.tally.usage += Usage(10, 5, cost=Decimal("0.5"))
        return an_answer(value={"name": "Ada"}, model="m-2026", source="coalesced")

    outcome = await settling(handler)(made(ROW))
    assert outcome == Outcome(
        ROW,
        value={"name": "Ada"},
        usage=Usage(10, 5, cost=Decimal("0.5")),
        source="coalesced",
        model="m-2026",
        attempts=2,
    )
    assert outcome.ok


async def test_a_failed_row_ends_in_an_error_with_its_cost():
    """The outcome keeps the raw answer and everything that was spent on it."""
    error = InvalidAnswer("age: missing", raw='{"name": "Ada"}')

    async def handler(request: Request) -> Completion:
        request.tally.attempts += 3
        request.tally.usage += Usage(30, 9)
        raise error

    outcome = await settling(handler)(made(ROW))
    assert outcome == Outcome(
        ROW, error=error, usage=Usage(30, 9), model="m", raw='{"name": "Ada"}', attempts=3
    )
    assert not outcome.ok


async def test_a_row_takes_as_long_as_its_call():
    """`seconds` runs from when the row was taken until it was settled."""
    clock = FakeClock()

    async def handler(request: Request) -> Completion:
        await clock.advance(2.5)
        return an_answer()

    settle = Settler(
        lambda record: a_request(), handler, present=as_it_is, clock=clock, stop=Stop(), observer=Log()
    ).settle
    assert (await settle(made(ROW))).seconds == 2.5


async def test_a_good_outcome_is_counted_as_it_is_presented():
    """One whose rows cannot be made is a failed row to everybody, with what it cost."""
    log = Log()

    def refuse(outcome: Outcome) -> Outcome:
        return replace(outcome, value=None, error=InvalidAnswer("no rows"))

    outcome = await settling(Script(an_answer(tokens=10)), log=log, present=refuse)(made(ROW))
    assert (outcome.ok, outcome.attempts) == (False, 0)
    assert log.events == [RowSettled(outcome)]


def test_an_unreadable_line_ends_in_the_errors_without_a_call():
    """Its error and the line itself are the outcome."""
    script = Script(an_answer())
    line = Unreadable(3, line=4, origin="-", error=UnreadableRow("not JSON"), raw="{oops")
    assert a_settler(script).prepared(line) == Outcome(line, error=line.error, raw="{oops")
    assert script.calls == 0


def test_a_row_whose_prompt_fails_ends_in_the_errors_without_a_call():
    """A template that fails on one row's values fails that row."""
    script, error = Script(an_answer()), UnreadableRow("the prompt template failed on this row")

    def prepare(record: Record) -> Request:
        raise error

    assert a_settler(script, prepare=prepare).prepared(ROW) == Outcome(ROW, error=error)
    assert script.calls == 0


async def test_every_settled_row_is_told():
    """Observers hear of values and errors alike."""
    log = Log()
    settle = settling(Script(an_answer(), InvalidAnswer("no")), log=log)
    outcomes = [await settle(made(ROW)), await settle(made(ROW))]
    assert log.events == [RowSettled(outcome) for outcome in outcomes]


async def test_a_fatal_error_stops_the_run():
    """A dead key throws the switch at once; the row is not settled and nobody is told that it was."""
    stop, log = Stop(), Log()
    error = AuthenticationFailed("401")
    with pytest.raises(Stopped, match="401"):
        await settling(Script(error), stop=stop, log=log)(made(ROW))
    assert stop.reason is error
    assert log.events == []


async def test_no_call_follows_a_fatal_error():
    """With ten workers, the calls in flight when the key fails are the last."""
    stop, gate = Stop(), Gate()
    settle = settling(gate, stop=stop)
    rows = [Record(n, {}) for n in range(100)]
    task = asyncio.ensure_future(
        run(
            rows,
            prepare=prepared,
            settle=settle,
            taken=unasked,
            write=lambda outcomes: None,
            drained=at_once,
            concurrency=10,
            ordered=True,
            stop=stop,
        )
    )
    await until(lambda: gate.calls == 10)
    gate.waiting[4].set_exception(AuthenticationFailed("401"))
    await settle_down()
    for ticket in gate.waiting:
        if not ticket.done():
            ticket.set_result(an_answer())
    await task
    assert gate.calls == 10


# FirstRows


def ends(*errors: LlmxError | None) -> Stop:
    """The switch after rows that ended so."""
    stop = Stop()
    first = FirstRows(stop)
    for n, error in enumerate(errors):
        first(RowSettled(Outcome(Record(n, {}), error=error, attempts=not isinstance(error, UnreadableRow))))
    return stop


BAD = InvalidAnswer("age: missing")


def test_twenty_failures_at_the_start_stop_the_run():
    """The first twenty rows all failed: it is the schema or the prompt, and the message says so."""
    stop = ends(*[BAD] * FIRST_ROWS)
    assert isinstance(stop.reason, AllInvalid)
    assert str(stop.reason) == "the first 20 rows all failed, the last with: age: missing"
    assert "--dry-run" in stop.reason.hint


def test_nineteen_failures_do_not():
    """A short input runs to its end."""
    assert ends(*[BAD] * (FIRST_ROWS - 1)).reason is None


def test_one_good_row_lifts_the_guard():
    """After a success any number may fail."""
    assert ends(*[BAD] * 19, None, *[BAD] * 100).reason is None


def test_unreadable_lines_are_not_counted():
    """Lines that are no rows say nothing about the schema."""
    stop, error = Stop(), UnreadableRow("not JSON")
    first = FirstRows(stop)
    for n in range(100):
        first(RowSettled(Outcome(Unreadable(n, n + 1, "-", error, "x"), error=error)))
    assert stop.reason is None


def test_a_row_of_the_cache_lifts_the_guard():
    """It is good, whatever else was settled with it."""
    stop = Stop()
    first = FirstRows(stop)
    first(RowsSettled([Outcome(Record(0, {}), error=BAD), Outcome(Record(1, {}), source="cache")]))
    for n in range(100):
        first(RowSettled(Outcome(Record(n, {}), error=BAD, attempts=1)))
    assert stop.reason is None


def test_rows_of_which_nothing_can_be_sent_are_not_counted():
    """They cost nothing, and a later row may have what they lack."""
    assert ends(*[UnreadableRow("no column")] * 100).reason is None


def test_twenty_rows_without_an_answer_are_the_providers_fault():
    """Nobody is told to mend a schema that no model has seen."""
    stop = ends(*[RetriesExhausted("500 (6 attempts)")] * FIRST_ROWS)
    assert isinstance(stop.reason, ProviderDown)
    assert stop.reason.hint == "run the same command again later"


def test_an_error_holds_no_frames():
    """A list of outcomes does not keep requests and answers alive through their errors' tracebacks."""

    async def handler(request: Request) -> Completion:
        try:
            raise ValueError("inner")
        except ValueError as inner:
            outer = InvalidAnswer("outer")
            inner.__context__ = outer  # transports make such circles
            raise outer from inner

    error = asyncio.run(settling(handler)(made(ROW))).error
    assert error is not None
    assert error.__cause__ is not None
    assert (error.__traceback__, error.__cause__.__traceback__) == (None, None)


def test_it_stops_only_once():
    """Rows in flight that fail after the stop add no reasons."""
    assert len(ends(*[BAD] * 40).reasons) == 1


def test_other_events_are_not_counted():
    """Only settled rows count."""
    stop = Stop()
    first = FirstRows(stop, rows=1)
    first(Paused("mock http://x", 1.0))
    assert stop.reason is None


@pytest.mark.simulated_time
async def test_the_window_does_not_slow_a_steady_run():
    """With delays that vary fourfold the window is never what is waited for."""

    async def slow(row: int) -> int:
        await asyncio.sleep(1 + row % 4)
        return row

    feed = Feed(range(400), ahead=400)
    await feed.peek(400)  # simulated time must not run while the reader's thread waits for a processor

    async def as_they_are(rows: list[int]) -> list[int]:
        return rows

    began = LoopClock().now()
    await collected(amap(slow, Ahead(feed, as_they_are), concurrency=40, ordered=True, stop=Stop()))
    assert LoopClock().now() - began < 1.3 * 400 * 2.5 / 40


@pytest.mark.parametrize(("weight", "expected"), [(0, 400), (HEAVY // 10 + 1, 11)])
async def test_heavy_results_that_wait_hold_up_rows(weight: int, expected: int):
    """Behind a slow first row others go on, as long as what waits for it is no burden."""
    first, begun = asyncio.Event(), 0

    async def slow_at_first(row: int) -> int:
        nonlocal begun
        begun += 1
        if row == 0:
            await first.wait()
        return row

    results = amap(
        slow_at_first, range(400), concurrency=2, ordered=True, stop=Stop(), weigh=lambda result: weight
    )
    collecting = asyncio.create_task(collected(results))
    await until(lambda: begun == expected)
    await settle_down()
    assert begun == expected
    first.set()
    assert await collecting == list(range(400))


async def test_rows_that_are_done_wait_for_no_worker():
    """They pass those that are asked about, and stay in order."""
    asked: list[int] = []

    async def ask(row: int) -> int:
        asked.append(row)
        return row

    async def ready(rows: list[int]) -> list[int | Done[int]]:
        return [Done([row]) if row % 3 else row for row in rows]

    ahead, told = Ahead(Feed(range(100)), ready), list[int]()
    results = amap(ask, ahead, concurrency=2, ordered=True, stop=Stop(), taken=told.extend)
    assert await collected(results) == list(range(100))
    assert asked == [row for row in range(100) if row % 3 == 0]
    assert told == [row for row in range(100) if row % 3]


async def test_rows_that_are_done_together_keep_their_order():
    """They are taken and come out together, behind the row before them and before the one after them."""

    async def ready(rows: list[int]) -> list[int | Done[int]]:
        return [row for done in (Done(rows[:-1]), rows[-1]) for row in (done,) if row != Done([])]

    ahead, told = Ahead(Feed(range(100)), ready), list[list[int]]()
    results = amap(same, ahead, concurrency=2, ordered=True, stop=Stop(), taken=told.append, window=3)
    assert await collected(results) == list(range(100))
    assert max(map(len, told)) > 1


async def test_rows_that_are_done_and_not_taken_do_not_count():
    """A stop comes between: nobody is told of what does not come out."""
    stop, told = Stop(), list[int]()

    async def ready(rows: list[int]) -> list[Done[int]]:
        return [Done(rows[:2]), *(Done([row]) for row in rows[2:])]

    def take(rows: list[int]) -> None:
        told.extend(rows)
        if 9 in rows:
            stop.set(Interrupted(2))

    ahead = Ahead(Feed(range(10_000)), ready)
    results = amap(same, ahead, concurrency=2, ordered=True, stop=stop, taken=take)
    assert await collected(results) == told == list(range(10))


async def test_what_fails_while_rows_are_made_ready_ends_the_map():
    """And no task of it is left."""

    async def broken(rows: list[int]) -> list[int]:
        raise RuntimeError("no rows")

    before = asyncio.all_tasks()
    with pytest.raises(RuntimeError, match="no rows"):
        await collected(amap(same, Ahead(Feed(range(9)), broken), concurrency=3, ordered=True, stop=Stop()))
    assert asyncio.all_tasks() == before
