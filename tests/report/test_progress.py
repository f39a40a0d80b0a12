"""The block and the lines in each state of a run, and where they go."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Literal

import pytest
from fakes import FakeClock
from rich.console import Console

from llmx.errors import AuthenticationFailed, Interrupted
from llmx.events import (
    AttemptStarted,
    AttemptSucceeded,
    CircuitClosed,
    CircuitOpened,
    CircuitProbing,
    EndpointEnded,
    LimitLearned,
    Paused,
    PauseReason,
    RetryScheduled,
    RetrySent,
    RetryStarted,
    RowSettled,
    RunStarted,
    Throttled,
)
from llmx.report import progress
from llmx.report.progress import Terminal, block, eta, line, waiting
from llmx.report.summary import Figures
from llmx.types import Outcome, Record, Usage


class Stream(io.StringIO):
    """Standard error, a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def started(total: int | None = 10) -> tuple[Figures, FakeClock]:
    clock = FakeClock()
    figures = Figures(clock)
    figures(RunStarted(total, "openai/[bold]mock", 3))
    return figures, clock


async def halfway(
    total: int | None = 10, cost: Decimal | None = Decimal("0.05")
) -> tuple[Figures, FakeClock]:
    """Five rows in ten seconds, one call in flight."""
    figures, clock = started(total)
    for _ in range(5):
        figures(AttemptStarted("e"))
        figures(AttemptSucceeded("e", Usage(100, 20, cost=None if cost is None else cost / 5), 1.0))
        figures(RowSettled(Outcome(Record(0, {}), value=1)))
    figures(AttemptStarted("e"))
    await clock.advance(10)
    return figures, clock


def drawn(figures: Figures) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(block(figures))
    return console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO


async def test_the_block_halfway() -> None:
    """A bar, rows and rate, what is in flight, what it has cost and will."""
    figures, _ = await halfway()
    lines = drawn(figures).splitlines()
    assert lines[0].rstrip().endswith(" 50%  5 of 10 rows")
    assert lines[1].split() == ["5", "ok", "0", "failed", "0", "cached", "0.5", "rows/s", "10.0", "s", "left"]
    assert lines[2] == "openai/[bold]mock · 1 in flight · 600 tokens · $0.0500 of about $0.1000"


def test_the_block_at_the_start() -> None:
    """Nothing is divided by nothing."""
    figures, _ = started()
    assert "0 of 10 rows" in drawn(figures)
    assert "left" not in drawn(figures)


async def test_the_block_of_a_stream() -> None:
    """Without a total there is no share and no time left."""
    figures, _ = await halfway(None)
    assert "5 rows" in drawn(figures)
    assert "left" not in drawn(figures)
    assert "of about" not in drawn(figures)


async def test_the_block_without_a_price() -> None:
    """An unknown cost is said to be unknown."""
    figures, _ = await halfway(cost=None)
    assert "cost unknown" in drawn(figures)


async def test_the_line_says_the_same() -> None:
    """One plain line of the block's facts."""
    figures, _ = await halfway()
    assert line(figures) == (
        "50%  5 of 10 rows · 5 ok · 0 failed · 0.5 rows/s · 10.0 s left · openai/[bold]mock · 1 in flight"
        " · 600 tokens · $0.0500 of about $0.1000"
    )


async def test_waiting_for_a_pause() -> None:
    """Who asked for it, and how long it still is."""
    figures, clock = started()
    figures(Paused("e", 30.0))
    await clock.advance(12)
    assert waiting(figures) == "paused 18 s, as the server asked (429)"


async def test_waiting_for_nothing_after_the_pause() -> None:
    """A pause that is over is not told."""
    figures, clock = started()
    figures(Paused("e", 30.0))
    await clock.advance(31)
    assert waiting(figures) == ""


def test_waiting_to_retry() -> None:
    """How many requests do, as long as they do; how many did is told beside it."""
    figures, _ = started()
    figures(RetryScheduled(Interrupted(2), 1.0))
    assert waiting(figures) == "1 waiting to retry"
    figures(RetryStarted())
    assert waiting(figures) == ""
    assert "1 retry" not in drawn(figures)
    figures(RetrySent("e"))
    assert "1 retry" in drawn(figures)


@pytest.mark.parametrize(
    ("source", "said"),
    [("told", "pacing at 90,000 tpm (yours)"), ("headers", "pacing at 90,000 tpm (the server's)")],
)
def test_waiting_for_a_limit(source: Literal["told", "headers"], said: str) -> None:
    """Which one holds the run back, and whose it is; as long as it does."""
    figures, _ = started()
    figures(LimitLearned("e", "tpm", 90_000, source))
    figures(Throttled("e", "tpm", 90_000))
    assert waiting(figures) == said
    figures(Throttled("e", None))
    assert waiting(figures) == ""


def test_waiting_for_a_rate_that_was_found() -> None:
    """Nobody has named it."""
    figures, _ = started()
    figures(Throttled("e", "found", 1_234.5))
    assert waiting(figures) == "pacing at 1,234 rpm (found)"


async def test_waiting_for_a_circuit() -> None:
    """For how long it has been open, and when somebody looks again."""
    figures, clock = started()
    figures(CircuitOpened("e", 30.0, "503"))
    await clock.advance(12)
    assert waiting(figures) == "circuit open for 12 s, next try in 18 s"
    await clock.advance(20)
    figures(CircuitProbing("e"))
    assert waiting(figures) == "circuit open for 32 s, probing"
    figures(CircuitOpened("e", 30.0, "503", down=33.0))
    assert waiting(figures) == "circuit open for 32 s, next try in 30 s"
    figures(CircuitClosed("e"))
    assert waiting(figures) == ""


def test_of_several_endpoints_each_is_named() -> None:
    """In the order in which they were first heard of; those that nothing holds are left out."""
    figures, _ = started()
    figures(AttemptStarted("first"))
    figures(Paused("second", 5.0))
    figures(EndpointEnded("third", AuthenticationFailed("no key")))
    figures(Throttled("first", "found", 600))
    held = "second: paused 5 s, as the server asked (429) · third: ended, rows go to first (no key)"
    assert waiting(figures) == f"{held} · first: pacing at 600 rpm (found)"
    assert drawn(figures).splitlines()[3:] == [*held.split(" · "), "first: pacing at 600 rpm (found)"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("refused", ", as the server asked (429)"),
        ("unnamed", " after a 429 that names no time"),
        ("drained", ": nothing is left of a limit"),
        ("failed", ", as the server asked (an error)"),
    ],
)
def test_a_pause_has_a_reason(reason: PauseReason, said: str) -> None:
    """A refusal, a header, or an error that says when to come again."""
    figures, _ = started()
    figures(Paused("e", 5.0, reason))
    assert waiting(figures) == f"paused 5 s{said}"


def test_of_several_that_are_free_none_is_named() -> None:
    """Rows go to any of them."""
    figures, _ = started()
    figures(AttemptStarted("first"))
    figures(AttemptStarted("second"))
    figures(CircuitOpened("third", 30.0, "503"))
    assert waiting(figures) == "third: circuit open for 0 s, next try in 30 s, rows go to the others"


def test_a_long_reason_is_cut() -> None:
    """A line of the block stays one line."""
    figures, _ = started()
    figures(EndpointEnded("e", AuthenticationFailed("no key " * 50)))
    assert len(drawn(figures).splitlines()) == 4


def test_nobody_waits_to_retry_while_all_is_held() -> None:
    """What holds everybody holds them, too."""
    figures, _ = started()
    figures(RetryScheduled(Interrupted(2), 1.0))
    figures(Paused("e", 5.0))
    assert waiting(figures) == "paused 5 s, as the server asked (429)"


async def test_answers_of_the_cache_before_all_others_say_nothing_of_the_rest() -> None:
    """A hundred that came at once: the nine hundred others take their time, and cost."""
    figures, clock = started(1000)
    hit = Outcome(Record(0, {}), value=1, source="cache")
    for _ in range(100):
        figures(RowSettled(hit))
    figures(AttemptStarted("e"))
    await clock.advance(1)
    figures(AttemptSucceeded("e", Usage(100, 20, cost=Decimal("0.01")), 1.0))
    figures(RowSettled(Outcome(Record(0, {}), value=1, attempts=1)))
    assert eta(figures) == "14m 59s left"
    assert "$0.0100 of about $9.00" in drawn(figures)
    figures(RowSettled(hit))  # one among them will not be the last
    assert eta(figures) == "7m 29s left"


def test_waiting_for_the_end() -> None:
    """After Ctrl-C, that is what the calls in flight are waited for."""
    figures, _ = started()
    figures.stopped(Interrupted(2))
    said = "stopping (interrupted): waiting for 0 calls in flight; Ctrl-C stops at once"
    assert waiting(figures) == said


def test_no_eta_without_rows() -> None:
    """There is nothing to tell it from."""
    figures, _ = started()
    assert eta(figures) == ""


def test_plain_talk_is_as_it_is() -> None:
    """Not a terminal: a line per saying."""
    stream = Stream(terminal=False)
    Terminal(stream).say("hello")
    assert stream.getvalue() == "hello\n"


def test_a_terminal_gets_no_control_characters() -> None:
    """What comes from data cannot drive it."""
    stream = Stream(terminal=True)
    Terminal(stream).say("a\x1b[31mb\u202ec\r\nd")
    assert stream.getvalue() == "a [31mb c d\n"


async def test_lines_above_the_block_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the block is drawn, markup in a message is text and ends nothing."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Stream(terminal=True)
    terminal = Terminal(stream)
    async with terminal.showing(started()[0]):
        terminal.say("[/oops] [red]x")
    assert "[/oops] [red]x" in stream.getvalue()


async def test_the_plain_line_comes_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start of a run there is none yet."""
    stream = Stream(terminal=False)
    async with Terminal(stream).showing(started()[0]):
        pass
    assert stream.getvalue() == ""


@pytest.mark.simulated_time
async def test_a_plain_line_every_half_minute() -> None:
    """In a log, a run of two minutes leaves a few lines."""
    import asyncio

    from fakes import LoopClock

    stream, figures = Stream(terminal=False), Figures(LoopClock())
    figures(RunStarted(10, "m", 1))
    async with Terminal(stream).showing(figures):
        await asyncio.sleep(125)
    assert len(stream.getvalue().splitlines()) == 125 // progress.PLAIN_EVERY


async def test_rows_on_the_terminal_leave_no_block() -> None:
    """They are progress enough."""
    stream = Stream(terminal=True)
    async with Terminal(stream, rows_on_terminal=True).showing(started()[0]):
        pass
    assert stream.getvalue() == ""


def test_a_download_is_told_once() -> None:
    """In a log, one line with the size."""
    stream = Stream(terminal=False)
    terminal = Terminal(stream)
    for done in (0, 50, 100):
        terminal.downloading(done * 1_000_000, 100_000_000)
    assert stream.getvalue() == "fetching the embedded model's weights, once (100 MB)\n"


def test_a_download_on_a_terminal_leaves_it_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar hides the cursor and gives it back."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Stream(terminal=True)
    terminal = Terminal(stream)
    terminal.downloading(0, 100)
    terminal.downloading(100, 100)
    shown = stream.getvalue()
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1


@pytest.mark.parametrize("width", [30, 40, 60, 100])
async def test_the_first_line_stays_one(width: int) -> None:
    """In a narrow terminal the bar gives way, then goes."""
    figures, _ = await halfway()
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(block(figures, width))
    first, second, *_ = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # a StringIO
    assert first.rstrip().endswith("5 of 10 rows")
    assert second.startswith("5 ok")


async def test_no_time_left_is_told_while_nothing_moves() -> None:
    """A pause, an open circuit and a stop say nothing of how fast it will go on."""
    figures, clock = await halfway()
    figures(Paused("e", 30.0))
    assert eta(figures) == ""
    await clock.advance(31)
    assert eta(figures) != ""
    figures(CircuitOpened("e", 30.0, "503"))
    assert eta(figures) == ""
    figures(CircuitClosed("e"))
    figures.stopped(Interrupted(2))
    assert eta(figures) == ""


async def test_time_left_is_told_from_the_last_minute() -> None:
    """An outage that is over says nothing of what is left."""
    figures, clock = started(1000)
    await clock.advance(300)
    for _ in range(60):
        figures(RowSettled(Outcome(Record(0, {}), value=1, attempts=1)))
        await clock.advance(1)
    assert eta(figures).startswith("15m ")


async def test_time_left_after_slow_answers_of_the_cache() -> None:
    """Half a minute of them is no part of the minute that tells it."""
    figures, clock = started(10_000)
    for _ in range(1000):
        figures(RowSettled(Outcome(Record(0, {}), value=1, source="cache")))
        await clock.advance(0.03)
    for _ in range(100):
        figures(AttemptStarted("e"))
        await clock.advance(0.1)
        figures(RowSettled(Outcome(Record(0, {}), value=1, attempts=1)))
    assert figures.pace == pytest.approx(10, rel=0.05)


async def test_time_left_while_the_first_calls_are_out() -> None:
    """Answers of the cache between them take none of their time away."""
    figures, clock = started(10_000)
    figures(AttemptStarted("e"))
    for _ in range(100):
        await clock.advance(0.05)
        figures(RowSettled(Outcome(Record(0, {}), value=1, source="cache")))
    figures(RowSettled(Outcome(Record(0, {}), value=1, attempts=1)))
    assert figures.pace == pytest.approx(0.2)


def test_endpoints_are_named_from_the_start() -> None:
    """One that has not been asked yet is where rows go."""
    figures, _ = started()
    figures(RunStarted(10, "a → b", 3, endpoints=("a", "b")))
    figures(CircuitOpened("a", 30.0, "503"))
    assert waiting(figures) == "a: circuit open for 0 s, next try in 30 s, rows go to b"


def test_the_steps_of_a_cascade_do_not_stand_in_for_each_other() -> None:
    """Rows wait for the one that is down."""
    figures, _ = started()
    figures(RunStarted(10, "a ⇒ b", 3, endpoints=("a", "b"), cascade=True))
    figures(CircuitOpened("a", 30.0, "503"))
    assert waiting(figures) == "a: circuit open for 0 s, next try in 30 s"


@pytest.mark.parametrize(("signal", "again"), [(1, "another signal"), (2, "Ctrl-C"), (15, "another signal")])
def test_how_to_stop_at_once(signal: int, again: str) -> None:
    """Who sent TERM has no Ctrl-C, nor is there one when the terminal has hung up."""
    figures, _ = started()
    figures.stopped(Interrupted(signal))
    assert waiting(figures).endswith(f"in flight; {again} stops at once")
