"""Traffic control over real sockets: storms, outages, several endpoints and budgets, by the provider's own count."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes import LoopClock
from rehearsal import (
    Talk,
    in_simulated_time,
    partial,
    read_rows,
    rehearse,
    run_to_files,
    some_rows,
    write_rows,
)

from llmx.job import Report
from llmx.mock import BrownOut, Latency, LimitsChange, MockSettings, Outage
from llmx.mock.server import serve

USUAL = Latency(0.2, 0.6)
COOL_DOWN = 33.0
"""Seconds, the jitter included."""


@dataclass(frozen=True)
class Ended:
    """How a run over several endpoints ended."""

    report: Report
    talk: Talk
    stats: list[dict[str, Any]]
    seconds: float
    folder: Path

    @property
    def ids(self) -> list[int]:
        return [row["id"] for row in read_rows(self.folder / "out.jsonl")]

    @property
    def who(self) -> list[str]:
        """Who answered each row, by its journal entry."""
        lines = (self.folder / ".llmx/out.jsonl/journal.jsonl").read_bytes().splitlines()
        entries = [orjson.loads(line[line.index(b"{") :].rsplit(b"}", 1)[0] + b"}") for line in lines]
        return [entry["endpoint"] for entry in entries if entry.get("t") == "row"]


def over(folder: Path, mocks: Sequence[MockSettings], rows: int = 100, **options: Any) -> Ended:
    """A run whose endpoints `a`, `b`, … are simulated providers, each a server of its own."""

    async def main() -> Ended:
        async with AsyncExitStack() as held:
            servers = [await held.enter_async_context(await serve(mock, clock=LoopClock())) for mock in mocks]
            names = "abcdefgh"[: len(mocks)]
            tables = {
                name: {"model": f"openai/gpt-5-{name}", "base-url": f"{server.url}/v1"}
                for name, server in zip(names, servers, strict=True)
            }
            inputs = [str(write_rows(folder / "in.jsonl", some_rows(rows)))]
            given = {"model": list(names), "endpoints": tables, "inputs": inputs, **options}
            report, talk = await run_to_files(folder, given)
            stats = [server.stats() for server in servers]
            return Ended(report, talk, stats, LoopClock().now(), folder)

    return in_simulated_time(main)


# One endpoint


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_storm_loses_no_row_and_makes_no_attempt_too_many(wire: str, tmp_path: Path) -> None:
    """Errors, hangs, malformed answers, drops, an outage, a limit that halves: every row ends exactly once."""
    mock = MockSettings(
        latency=USUAL,
        error_rate=0.2,
        hang_rate=0.05,
        malformed_rate=0.05,
        drop_rate=0.02,
        outages=(Outage(5, 20),),
        rpm=3000,
        limits_at=(LimitsChange(30, rpm=1500),),
    )
    run = rehearse(tmp_path, 400, mock, wire=wire, timeout="30s", retries=3, reasks=1)
    assert sorted(run.ids + run.failed_ids) == list(range(400))
    assert run.kinds <= {"retries_exhausted", "invalid_answer"}
    attempts = [row["_error"]["attempts"] for row in run.errors]
    assert max(attempts, default=0) <= 4 * 2
    assert run.figures.calls == run.stats["calls"] <= 400 * 4 * 2
    assert len(run.errors) <= 12  # about 7 by chance


def test_an_outage_costs_itself_and_one_probe(tmp_path: Path) -> None:
    """Twenty seconds without an answer: no row fails, and the run is at most that and a cool-down longer."""
    healthy = rehearse(tmp_path, 600, MockSettings(latency=USUAL), concurrency=8)
    mock = MockSettings(latency=USUAL, outages=(Outage(5, 20),))
    run = rehearse(tmp_path, 600, mock, concurrency=8, fresh=True, cache="off")
    assert run.ids == list(range(600))
    assert run.seconds <= healthy.seconds + 20 + COOL_DOWN
    assert run.stats["statuses"]["503"] <= 5 + 8 + 1  # what opened the circuit, what was in flight, a probe
    assert run.figures.traffic.openings == 1


def test_a_server_that_names_a_time_is_asked_then(tmp_path: Path) -> None:
    """An outage of five seconds that says so costs no cool-down of thirty."""
    mock = MockSettings(latency=USUAL, outages=(Outage(2, 5),), outage_retry_after=True)
    run = rehearse(tmp_path, 200, mock, concurrency=8)
    assert run.ids == list(range(200))
    assert run.seconds < 200 / 8 * 0.35 + 5 + 6


def test_a_lone_row_survives_a_minute_without_its_provider(tmp_path: Path) -> None:
    """Its attempts are stretched over the outage, and are no more than configured."""
    mock = MockSettings(outages=(Outage(0, 58),))
    run = rehearse(tmp_path, 1, mock)
    assert run.ids == [0]
    assert run.stats["calls"] <= 6


def test_patience_ends_a_run_whose_provider_stays_away(tmp_path: Path) -> None:
    """Exit code 7, no row failed, few calls; the same command goes on where it was."""
    mock = MockSettings(latency=USUAL, outages=(Outage(3, 10_000),))
    run = rehearse(tmp_path, 300, mock, patience="90s", concurrency=8)
    assert run.report.exit_code == 7
    assert "--patience" in str(run.report.reasons[0])
    assert not run.errors
    assert 90 < run.seconds < 90 + 60
    assert run.stats["statuses"]["503"] <= 5 + 8 + 4
    done = len(partial(tmp_path))
    again = rehearse(tmp_path, 300, MockSettings(latency=USUAL), port=run.port)
    assert again.ids == list(range(300))
    assert again.stats["calls"] <= 300 - done + 8


def test_a_short_patience_asks_again_before_it_ends(tmp_path: Path) -> None:
    """A server that is back after four seconds is not given up after eight."""
    mock = MockSettings(latency=USUAL, outages=(Outage(2, 4),))
    run = rehearse(tmp_path, 200, mock, concurrency=8, patience="8s")
    assert (run.report.exit_code, run.ids) == (0, list(range(200)))


def test_a_spell_of_refusals_longer_than_patience_fails_no_row(tmp_path: Path) -> None:
    """A quota of sixty a minute, used up in two seconds, of which nothing is told: the run ends, resumable."""
    mock = MockSettings(latency=Latency(0.3, 1), rpm=60, limit_headers=False, retry_after="none")
    run = rehearse(tmp_path, 200, mock, concurrency=8, patience="4s")
    assert (run.report.exit_code, run.errors) == (7, [])
    assert "--patience" in str(run.report.reasons[0])


def test_a_brown_out_does_not_amplify_itself(tmp_path: Path) -> None:
    """While most attempts fail, retries stay few: the provider sees little more than it would have anyway."""
    mock = MockSettings(latency=USUAL, brown_outs=(BrownOut(2, 40, 0.8),))
    run = rehearse(tmp_path, 300, mock, concurrency=32)
    assert run.ids == list(range(300))
    assert run.stats["calls"] <= 300 * 1.25


def test_limits_are_found_in_headers(tmp_path: Path) -> None:
    """Told nothing, a run keeps to what the responses say, and uses it."""
    run = rehearse(tmp_path, 900, MockSettings(latency=USUAL, rpm=300))
    assert run.stats["refused_by_limit"] <= 900 * 0.005
    assert run.seconds < 1.06 * 180


def test_a_limit_without_headers_is_found_from_refusals(tmp_path: Path) -> None:
    """Told nothing by nobody, a run uses most of the limit and is seldom refused."""
    mock = MockSettings(latency=USUAL, rpm=1200, limit_headers=False, limit_window=1.0)
    run = rehearse(tmp_path, 2400, mock)
    assert run.stats["refused_by_limit"] <= 2400 * 0.03
    assert run.seconds < 120 / 0.85


def test_anthropics_separate_limits_are_kept(tmp_path: Path) -> None:
    """Input and output tokens have limits of their own, told by headers."""
    mock = MockSettings(latency=USUAL, rpm=6000, tpm=10_000_000, itpm=60_000, otpm=3_000)
    run = rehearse(tmp_path, 600, mock, wire="anthropic")
    assert run.ids == list(range(600))
    assert run.stats["refused_by_limit"] <= 600 * 0.005


def test_a_row_beyond_the_models_context_is_never_sent(tmp_path: Path) -> None:
    """It is an error row without any call; the others go on."""
    rows = [*some_rows(2), {"id": 2, "text": "word " * 400_000}]
    run = rehearse(tmp_path, rows, model="openai/gpt-4o-mini")
    assert (run.ids, run.failed_ids, run.kinds) == ([0, 1], [2], {"row_too_long"})
    assert run.stats["calls"] == 2


# Several endpoints


def test_a_chain_falls_back_while_its_first_endpoint_is_down(tmp_path: Path) -> None:
    """Rows move on when the circuit opens, nobody waits for it, and it is tried again."""
    mocks = [MockSettings(latency=USUAL, outages=(Outage(2, 60),)), MockSettings(latency=USUAL)]
    run = over(tmp_path, mocks, 600, concurrency=16)
    assert run.ids == list(range(600))
    assert run.stats[0]["statuses"]["503"] <= 5 + 16 + 1
    assert run.seconds < 30
    assert set(run.who) == {"a", "b"}
    assert run.report.figures.traffic.fallbacks >= run.who.count("b")


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (MockSettings(keys=("another",)), "key"),
        (MockSettings(models=("another",)), "no model"),
        (MockSettings(quota_after=0), "quota"),
    ],
    ids=["key", "model", "quota"],
)
def test_an_endpoint_that_is_of_no_use_costs_three_calls(
    first: MockSettings, reason: str, tmp_path: Path
) -> None:
    """A dead key, an unknown model or spent quota ends that endpoint with a warning; the run goes on."""
    run = over(tmp_path, [first, MockSettings()])
    assert (run.report.exit_code, run.ids) == (0, list(range(100)))
    assert run.stats[0]["calls"] <= 3
    warnings = [line for line in run.talk.lines if line.startswith("warning: a is asked no more")]
    assert len(warnings) == 1
    assert reason in warnings[0]


def test_a_run_ends_when_its_last_endpoint_does(tmp_path: Path) -> None:
    """Both keys are dead: exit code 4 after at most three calls to each."""
    run = over(tmp_path, [MockSettings(keys=("x",)), MockSettings(keys=("y",))])
    assert run.report.exit_code == 4
    assert all(stats["calls"] <= 3 for stats in run.stats)


def test_quota_that_runs_out_moves_the_rest_on(tmp_path: Path) -> None:
    """The first endpoint's credit ends in mid-run: the second one does the rest."""
    run = over(tmp_path, [MockSettings(latency=USUAL, quota_after=40), MockSettings(latency=USUAL)])
    assert run.ids == list(range(100))
    assert (run.who.count("a"), run.who.count("b")) == (40, 60)


def test_a_wait_beyond_max_wait_moves_on(tmp_path: Path) -> None:
    """A limit that would hold for most of a minute is not waited for where another endpoint is."""
    first = MockSettings(latency=USUAL, rpm=10, limit_headers=False)
    run = over(tmp_path, [first, MockSettings(latency=USUAL)], max_wait="5s")
    assert run.ids == list(range(100))
    assert run.who.count("a") <= 10
    assert run.seconds < 20


def test_attempts_are_bounded_over_all_endpoints(tmp_path: Path) -> None:
    """Retries are counted together: with two retries and two endpoints no row is sent more than three times."""
    failing = MockSettings(error_rate=0.5, seed=3)
    run = over(tmp_path, [failing, failing], 60, retries=2, patience="1h")
    rows = read_rows(tmp_path / "out.jsonl") + read_rows(tmp_path / "out.errors.jsonl")
    assert sorted(row["id"] for row in rows) == list(range(60))
    assert sum(stats["calls"] for stats in run.stats) <= 60 * 3
    errors = read_rows(tmp_path / "out.errors.jsonl")
    assert all(row["_error"]["attempts"] <= 3 for row in errors)


def test_an_answer_of_a_fallback_is_not_asked_for_again(tmp_path: Path) -> None:
    """A second run finds the rows under the endpoint that answered them, though the first one is back."""

    async def main() -> tuple[int, int]:
        async with (
            await serve(MockSettings(outages=(Outage(0, 1000),)), clock=LoopClock()) as first,
            await serve(MockSettings(), clock=LoopClock()) as second,
        ):
            tables = {
                "a": {"model": "openai/gpt-5-a", "base-url": f"{first.url}/v1"},
                "b": {"model": "anthropic/claude-haiku-4-5", "base-url": second.url},
            }
            inputs = [str(write_rows(tmp_path / "in.jsonl", some_rows(50)))]
            given = {"model": ["a", "b"], "endpoints": tables, "inputs": inputs}
            await run_to_files(tmp_path, given)
            calls = second.stats()["calls"]
            await run_to_files(tmp_path, {**given, "output": "again.jsonl"})
            return calls, second.stats()["calls"] + first.stats()["statuses"].get("200", 0)

    calls, after = in_simulated_time(main)
    assert calls == after == 50


def test_rows_are_spread_over_what_is_free(tmp_path: Path) -> None:
    """Two endpoints with limits: both are used up, neither is overrun, in the time of both together."""
    mocks = [MockSettings(latency=USUAL, rpm=240), MockSettings(latency=USUAL, rpm=120)]
    run = over(tmp_path, mocks, 720, spread=True)
    assert run.ids == list(range(720))
    assert [stats["refused_by_limit"] for stats in run.stats] == [0, 0]
    assert run.seconds < 1.15 * 120


def test_several_keys_of_one_provider_are_several_endpoints(tmp_path: Path) -> None:
    """Each key has its own limit; answers are the same whoever's key was used."""

    async def main() -> dict[str, Any]:
        mock = MockSettings(latency=USUAL, rpm=120, keys=("k-one", "k-two"))
        async with await serve(mock, clock=LoopClock()) as server:
            tables = {
                name: {"model": "openai/gpt-5-mini", "base-url": f"{server.url}/v1", "key-name": name.upper()}
                for name in ("one", "two")
            }
            keys = tmp_path / "keys"
            keys.write_text("ONE=k-one\nTWO=k-two\n")
            keys.chmod(0o600)
            inputs = [str(write_rows(tmp_path / "in.jsonl", some_rows(240)))]
            given = {"model": ["one", "two"], "endpoints": tables, "inputs": inputs, "spread": True}
            await run_to_files(tmp_path, {**given, "key_file": str(keys)})
            return {**server.stats(), "seconds": LoopClock().now()}

    stats = in_simulated_time(main)
    assert stats["refused_by_limit"] == 0
    assert [key["answered"] for key in stats["keys"].values()] == [pytest.approx(120, abs=25)] * 2
    assert stats["seconds"] < 80


# Budgets

PRICES = {"input-price": "2.5", "output-price": "10"}


def spent(stats: dict[str, Any]) -> Decimal:
    """US dollars by the provider's own count."""
    return (stats["input_tokens"] * Decimal("2.5") + stats["output_tokens"] * 10) / 1_000_000


def budgeted(folder: Path, mock: MockSettings, rows: int = 300, times: int = 1, **options: Any) -> Ended:
    """A run (or the same one several times) at known prices."""

    async def main() -> Ended:
        async with await serve(mock, clock=LoopClock()) as server:
            tables = {"priced": {"model": "openai/some-model", "base-url": f"{server.url}/v1", **PRICES}}
            inputs = [str(write_rows(folder / "in.jsonl", some_rows(rows)))]
            given = {"model": ["priced"], "endpoints": tables, "inputs": inputs, **options}
            for _ in range(times):
                report, talk = await run_to_files(folder, given)
            return Ended(report, talk, [server.stats()], LoopClock().now(), folder)

    return in_simulated_time(main)


@pytest.mark.parametrize(
    "faults",
    [{}, {"hang_rate": 0.1}, {"error_rate": 0.2, "drop_rate": 0.1, "malformed_rate": 0.2}],
    ids=["calm", "hangs", "storm"],
)
def test_a_cap_of_dollars_is_never_exceeded(faults: dict[str, float], tmp_path: Path) -> None:
    """By the provider's own count; the run ends with exit code 5, resumable, and the cap holds for all sessions."""
    mock = MockSettings(latency=USUAL, **faults)  # type: ignore[arg-type]  # all of these are rates
    run = budgeted(tmp_path, mock, times=3, max_cost="0.08", timeout="3s", max_output_tokens=500)
    assert run.report.exit_code == 5
    assert spent(run.stats[0]) <= Decimal("0.08")
    if not faults:  # what is not used is less than a call's worst case
        assert spent(run.stats[0]) > Decimal("0.08") - Decimal("0.012")


def test_a_cap_of_tokens_is_never_exceeded(tmp_path: Path) -> None:
    """Input and output together."""
    run = budgeted(tmp_path, MockSettings(latency=USUAL), max_tokens=20_000, max_output_tokens=200)
    assert run.report.exit_code == 5
    total = run.stats[0]["input_tokens"] + run.stats[0]["output_tokens"]
    assert 17_000 < total <= 20_000


def test_an_earlier_run_counts_though_it_had_no_cap(tmp_path: Path) -> None:
    """What the same output has cost so far is known from its journal."""
    budgeted(tmp_path, MockSettings(quota_after=100))
    run = budgeted(tmp_path, MockSettings(), max_tokens=18_000, max_output_tokens=200)
    total = run.stats[0]["input_tokens"] + run.stats[0]["output_tokens"]
    assert run.report.exit_code == 5
    assert total < 8_000


def test_a_cap_needs_a_price(tmp_path: Path) -> None:
    """A model without one refuses `--max-cost` before any call."""
    from llmx.errors import UsageError

    with pytest.raises(UsageError, match=r"price of openai/mock at .* is not known") as caught:
        rehearse(tmp_path, 3, max_cost="1")
    assert "--max-tokens" in caught.value.hint


def test_named_budgets_outlive_a_run(tmp_path: Path) -> None:
    """Two outputs share one budget; the second run has what the first has left."""
    budgets = {"labelling": {"daily-tokens": 15_000}}
    options = {"budgets": budgets, "budget": "labelling", "max_output_tokens": 200}
    first = budgeted(tmp_path, MockSettings(), rows=50, **options)
    assert first.report.exit_code == 0
    second = budgeted(tmp_path, MockSettings(), output="other.jsonl", cache="off", **options)
    assert second.report.exit_code == 5
    used = [stats["input_tokens"] + stats["output_tokens"] for run in (first, second) for stats in run.stats]
    assert 12_000 < sum(used) <= 15_000
    assert "llmx budget labelling" in second.report.reasons[0].hint


def test_runs_at_once_wait_for_each_others_calls(tmp_path: Path) -> None:
    """What one has set aside at its worst is no reason for the other to end: both come to their end."""

    async def main() -> tuple[list[int], int]:
        async with await serve(MockSettings(latency=Latency(2, 2)), clock=LoopClock()) as server:
            tables = {"priced": {"model": "openai/some-model", "base-url": f"{server.url}/v1", **PRICES}}
            inputs = [str(write_rows(tmp_path / "in.jsonl", some_rows(40)))]
            budgets = {"labelling": {"daily-tokens": 40_000}}
            given = {"model": ["priced"], "endpoints": tables, "inputs": inputs, "cache": "off"}
            given |= {"budgets": budgets, "budget": "labelling", "max_output_tokens": 700, "concurrency": 40}
            runs = [run_to_files(tmp_path, {**given, "output": f"{name}.jsonl"}) for name in "ab"]
            ended = await asyncio.gather(*runs)
            return [report.exit_code for report, _ in ended], server.stats()["calls"]

    assert in_simulated_time(main) == ([0, 0], 80)


# Stragglers


def test_a_straggler_at_the_end_is_sent_once_more(tmp_path: Path) -> None:
    """One call in a hundred hangs: the run does not wait for its timeout."""
    mock = MockSettings(latency=Latency(0.2, 0.3), hang_rate=0.02, seed=4)
    slow = rehearse(tmp_path, 100, mock, timeout="60s")
    hedged = rehearse(tmp_path, 100, mock, timeout="60s", hedge=True, fresh=True, cache="off")
    assert hedged.ids == list(range(100))
    assert hedged.seconds < slow.seconds - 50
    assert hedged.figures.traffic.hedges >= hedged.figures.traffic.hedges_won >= 1
    assert hedged.stats["calls"] == hedged.figures.calls
