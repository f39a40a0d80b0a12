"""A run's figures: folded from its events, and told in words and as JSON."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import pytest
from fakes import FakeClock

from llmx.errors import CallTimeout, ConnectionFailed, InvalidAnswer, RateLimited, UnreadableRow
from llmx.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    LimitLearned,
    Paused,
    Reasked,
    RetryScheduled,
    RetrySent,
    RowSettled,
    RowsSettled,
    RunEnded,
    RunStarted,
)
from llmx.journal import Manifest
from llmx.layers.latencies import Latencies
from llmx.report.summary import (
    Figures,
    duration,
    figures_as_json,
    figures_as_lines,
    money,
    spent,
    spent_as_json,
    spent_as_line,
)
from llmx.types import Outcome, Record, Unreadable, Usage

AN_ERROR = ConnectionFailed("no connection")


def settled(**fields: Any) -> RowSettled:
    """A row that ended; a good one unless it has an error."""
    return RowSettled(Outcome(Record(0, {}, line=fields.pop("line", None)), **fields))


def after(*events: Event, clock: FakeClock | None = None) -> Figures:
    """The figures of a run of which this is told."""
    figures = Figures(clock or FakeClock())
    for event in (RunStarted(10, "openai/mock", 3), *events):
        figures(event)
    return figures


async def lasting(seconds: float, *events: Event) -> Figures:
    """The same, so long after its start."""
    clock = FakeClock()
    figures = after(*events, clock=clock)
    await clock.advance(seconds)
    return figures


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.95, 0.99, 1.0])
def test_quantiles_are_within_two_per_cent(share: float) -> None:
    """Over latencies from a millisecond to minutes."""
    rng = random.Random(1)
    given = sorted(rng.lognormvariate(0, 2) for _ in range(5000))
    latencies = Latencies()
    for seconds in given:
        latencies.add(seconds)
    exact = given[math.floor(share * (len(given) - 1))]
    assert latencies.quantile(share) == pytest.approx(exact, rel=0.02)


def test_no_calls_have_no_quantiles() -> None:
    """Unknown is None, not 0."""
    assert Latencies().quantile(0.5) is None


def test_quantiles_cost_the_same_for_any_number_of_calls() -> None:
    """A hundred thousand latencies between 10 ms and 100 s fill some hundred bins."""
    latencies = Latencies()
    for n in range(100_000):
        latencies.add(0.01 * 10 ** (4 * n / 100_000))
    assert len(latencies._bins) < 500


def test_a_latency_of_nothing_is_a_microsecond() -> None:
    """A clock that did not move breaks no logarithm."""
    latencies = Latencies()
    latencies.add(0.0)
    assert latencies.quantile(0.5) == pytest.approx(1e-6, rel=0.02)


def test_rows_are_ok_or_failed() -> None:
    """Cached and coalesced ones are among those that are ok."""
    figures = after(
        settled(value=1),
        settled(value=1, source="cache"),
        settled(value=1, source="coalesced"),
        settled(error=InvalidAnswer("no")),
    )
    assert (figures.ok, figures.failed, figures.cached, figures.coalesced) == (3, 1, 1, 1)
    assert figures.settled == 4


def test_rows_that_ended_together_count_as_each_would() -> None:
    """Good ones, failed ones and those of the cache."""
    ends = [
        settled(value=1, source="cache"),
        settled(error=AN_ERROR, line=7),
        settled(value=2, source="cache"),
    ]
    one_by_one, together = after(*ends), after(RowsSettled([event.outcome for event in ends]))
    assert figures_as_json(one_by_one) == figures_as_json(together)
    assert (one_by_one.ahead, one_by_one.fresh) == (together.ahead, together.fresh)


def test_calls_go_out_and_come_back() -> None:
    """In flight are those that started and neither answered nor failed."""
    figures = after(
        AttemptStarted("e"),
        AttemptStarted("e"),
        AttemptStarted("e"),
        AttemptSucceeded("e", Usage(), 1.0),
        AttemptFailed("e", AN_ERROR, 1.0),
    )
    assert (figures.calls, figures.in_flight) == (3, 1)


def test_usage_is_that_of_every_answer() -> None:
    """What a re-asked or failed row cost is in the sum."""
    usage = Usage(input_tokens=10, output_tokens=2, cost=Decimal("0.01"))
    figures = after(AttemptSucceeded("e", usage, 1.0), AttemptSucceeded("e", usage, 1.0))
    assert figures.usage == usage + usage


def test_one_unknown_cost_makes_the_sum_unknown() -> None:
    """None is not 0."""
    known, unknown = Usage(cost=Decimal(1)), Usage(cost=None)
    assert after(AttemptSucceeded("e", known, 1), AttemptSucceeded("e", unknown, 1)).usage.cost is None


def test_troubles_are_counted() -> None:
    """Retries, refusals by 429, re-asks and pauses, each by itself."""
    figures = after(
        AttemptFailed("e", RateLimited("slow down"), 0.1),
        AttemptFailed("e", AN_ERROR, 0.1),
        RetryScheduled(AN_ERROR, 1.0),
        RetrySent("e"),
        Reasked("no"),
        Paused("e", 5.0),
    )
    assert (figures.throttled, figures.retries, figures.reasks, figures.traffic.pauses) == (1, 1, 1, 1)


def test_errors_are_grouped_by_kind() -> None:
    """Each with its number, and the first of them with its line."""
    figures = after(
        settled(error=InvalidAnswer("first"), line=3),
        settled(error=InvalidAnswer("second"), line=4),
        RowSettled(
            Outcome(Unreadable(1, 7, "f", UnreadableRow("f:7: bad"), "x"), error=UnreadableRow("f:7: bad"))
        ),
    )
    groups = {kind: (group.count, group.example, group.line) for kind, group in figures.errors.items()}
    assert groups == {"invalid_answer": (2, "first", 3), "unreadable_row": (1, "f:7: bad", 7)}


async def test_the_lines_of_a_run() -> None:
    """Rows, time and rate; calls, tokens, cost and latencies."""
    usage = Usage(input_tokens=1200, output_tokens=34, cached_tokens=200, cost=Decimal("0.0123"))
    events = [AttemptStarted("e"), AttemptSucceeded("e", usage, 0.5), settled(value=1)]
    figures = await lasting(
        2.0, *events, settled(value=1, source="cache"), settled(error=InvalidAnswer("no"))
    )
    assert figures_as_lines(figures)[:2] == [
        "3 of 10 rows: 2 ok (1 cached), 1 failed · 2.0 s · 1.5 rows/s",
        "1 call · 1,200 (200 cached) + 34 tokens · $0.0123 · p50 0.5 s, p95 0.5 s",
    ]


async def test_the_lines_of_troubles() -> None:
    """What went wrong on the way is told where it happened at all."""
    events = [
        RetryScheduled(AN_ERROR, 1),
        RetrySent("e"),
        Reasked("no"),
        Reasked("no"),
        AttemptFailed("e", RateLimited("x"), 1),
    ]
    line = figures_as_lines(await lasting(1.0, *events))[1]
    assert "1 retry · 1 refusal by 429 · 2 re-asks" in line


async def test_calls_that_may_have_been_billed_are_told() -> None:
    """A time limit ends our waiting, not the provider's work; what it may charge is in no sum."""
    figures = await lasting(
        1.0, AttemptFailed("e", CallTimeout("no answer"), 1), AttemptFailed("e", AN_ERROR, 1)
    )
    assert "1 call without an answer, perhaps billed" in figures_as_lines(figures)[1]
    assert figures_as_json(figures)["maybe_billed"] == 1
    assert figures_as_json(figures)["cost"] is None  # and never 0


async def test_a_run_that_ended_stands_still() -> None:
    """Its time is not that of whoever tells it, its total what there was; one that stopped has rows left."""
    clock = FakeClock()
    done = after(settled(value=1), RunEnded(complete=True), clock=clock)
    stopped = after(settled(value=1), RunEnded(complete=False), clock=clock)
    await clock.advance(60)
    assert (done.total, done.seconds) == (1, 0)
    assert stopped.total == 10


async def test_an_even_pace_uses_its_limit_up() -> None:
    """Five requests in a minute of five, one each twelve seconds: no more than all of it."""
    clock = FakeClock()
    figures = after(LimitLearned("e", "rpm", 5, "told"), clock=clock)
    for _ in range(6):
        figures(AttemptStarted("e"))
        await clock.advance(12)
    assert figures.traffic.endpoints["e"].as_json()["limits"]["rpm"]["used"] == 1.0


async def test_a_pause_is_over_with_the_run() -> None:
    """Ctrl-C in the midst of ten minutes: they were not waited for."""
    clock = FakeClock()
    figures = after(Paused("e", 600.0), clock=clock)
    await clock.advance(2)
    figures(RunEnded(complete=False))
    assert (figures.traffic.pauses, figures.traffic.paused) == (1, 2.0)
    assert figures_as_json(figures)["endpoints"]["e"]["paused_seconds"] == 2.0


async def test_the_lines_of_errors() -> None:
    """The most frequent kind comes first."""
    events = [settled(error=UnreadableRow("bad")), *[settled(error=InvalidAnswer("no"), line=2)] * 2]
    lines = figures_as_lines(await lasting(1.0, *events))[2:]
    assert lines[0].startswith("  2 × invalid_answer: no")
    assert lines[1].startswith("  1 × unreadable_row: bad")


async def test_json_has_numbers() -> None:
    """Costs are numbers, what is unknown is null, and nothing is rounded but the time."""
    usage = Usage(input_tokens=5, output_tokens=1, reasoning_tokens=1, cost=Decimal("0.00000123"))
    document = figures_as_json(await lasting(2.00049, AttemptSucceeded("e", usage, 0.5)))
    assert document["cost"] == 0.00000123
    assert document["seconds"] == 2.0
    assert document["tokens"] == {"input": 5, "output": 1, "cached": 0, "reasoning": 1}
    assert document["latency"]["p50"] == pytest.approx(0.5, rel=0.02)


def test_json_of_an_unknown_cost() -> None:
    """It is null."""
    assert figures_as_json(after(AttemptSucceeded("e", Usage(cost=None), 1)))["cost"] is None


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, "cost unknown"),
        ("0", "$0"),
        ("0.00004", "<$0.0001"),
        ("0.0123", "$0.0123"),
        ("0.99999", "$1.0000"),
        ("1", "$1.00"),
        ("1234.567", "$1,234.57"),
    ],
)
def test_money(cost: str | None, text: str) -> None:
    """Cents from a dollar up, four digits below."""
    assert money(None if cost is None else Decimal(cost)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (60, "1m 00s"),
        (187.4, "3m 07s"),
        (3599.6, "1h 00m"),
        (7500, "2h 05m"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    """Two units at most."""
    assert duration(seconds) == text


def test_sixty_seconds_are_a_minute() -> None:
    """Rounding up does not write `60.0 s`."""
    assert duration(59.97) == "1m 00s"


def test_what_all_sessions_have_spent() -> None:
    """With what is in no sum; a cost of nothing is unknown when something may have been billed."""
    paid = Manifest(sessions=2, answers=1, usage={"input": 1200, "output": 7}, cost="0.5")
    assert spent_as_line(paid) == "1 answer · 1,200 + 7 tokens · $0.5000"
    beside = paid.model_copy(update={"lost": 2, "maybe_billed": 1})
    assert spent_as_line(beside).endswith(
        "$0.5000 · and 2 answers lost · and 1 call without an answer, perhaps billed"
    )
    nothing = Manifest(maybe_billed=3)
    assert (spent(nothing), spent(Manifest())) == (None, 0)
    assert spent_as_json(nothing)["cost"] is None
