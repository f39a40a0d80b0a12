"""`--rpm` and `--tpm` as the provider sees them: no minute ever holds more, and the allowance is used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rehearsal import in_simulated_time, options_for, rehearse, run_to_files, some_rows, write_rows
from scripted import Reply, Scripted

from llmx.job import Report
from llmx.mock import Latency, MockSettings


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("rpm", [7, 60])
def test_no_minute_has_more_calls_than_rpm(wire: str, rpm: int, tmp_path: Path) -> None:
    """A provider with the same limit refuses nothing."""
    mock = MockSettings(rpm=rpm, latency=Latency(0.3, 2.0))
    run = rehearse(tmp_path, 3 * rpm, mock, wire=wire, rpm=rpm)
    assert run.ids == list(range(3 * rpm))
    assert run.stats["busiest_60s_calls"] <= rpm
    assert run.stats["statuses"] == {"200": 3 * rpm}


def test_rpm_is_used(tmp_path: Path) -> None:
    """Three minutes' worth of rows take about three minutes, no longer."""
    assert rehearse(tmp_path, 90, rpm=30).seconds < 1.05 * 180


def test_no_minute_has_more_tokens_than_tpm(tmp_path: Path) -> None:
    """Once answers have taught it what rows cost, the pacing keeps below the limit."""
    run = rehearse(tmp_path, 60, MockSettings(latency=Latency(0.2, 1.0)), tpm=4000, concurrency=4)
    assert run.ids == list(range(60))
    assert run.stats["busiest_60s_tokens"] <= 4000


def test_retries_are_paced_too(tmp_path: Path) -> None:
    """A retry is a request: it takes its place in the minute."""
    run = rehearse(tmp_path, 30, MockSettings(error_rate=0.4, seed=2), rpm=20)
    assert run.stats["busiest_60s_calls"] <= 20


def test_reasks_are_paced_too(tmp_path: Path) -> None:
    """So is a re-ask."""
    run = rehearse(tmp_path, 30, MockSettings(malformed_until=1), rpm=20)
    assert run.stats["calls"] == 60
    assert run.stats["busiest_60s_calls"] <= 20


def test_patience_ends_a_run_that_is_only_ever_refused(tmp_path: Path) -> None:
    """A provider that says nothing but 429 stops the run after `--patience`, with exit code 7."""

    async def main() -> tuple[Report, float]:
        async with Scripted.listening() as server:
            server.reply = Reply(
                {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, status=429
            )
            inputs = [str(write_rows(tmp_path / "in.jsonl", some_rows(10)))]
            options = {**options_for("openai", server.url), "inputs": inputs, "patience": "90s"}
            report, _ = await run_to_files(tmp_path, options)
            return report, asyncio.get_running_loop().time()

    report, seconds = in_simulated_time(main)
    assert report.exit_code == 7
    assert "--patience" in str(report.reasons[0])
    assert 90 < seconds < 90 + 61


def test_a_wait_longer_than_max_wait_is_told_and_not_slept(tmp_path: Path) -> None:
    """The provider asks for most of a minute; the user allows ten seconds: exit code 7 at once."""
    run = rehearse(tmp_path, 20, MockSettings(rpm=5, limit_headers=False), max_wait="10s")
    assert run.report.exit_code == 7
    assert run.seconds < 10
    assert "--max-wait" in str(run.report.reasons[0])
