"""Ctrl-C and TERM: the first drains, the second stops at once, and both leave a run that resumes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import PATIENCE, Llmx, Mock, Running, wait_for
from rehearsal import partial, read_rows

from llmx.mock import Latency, MockSettings

RUN = ("extract", "rows.jsonl", "-s", "name, age int", "-o", "out.jsonl", "-c", "2")
SLOW = MockSettings(latency=Latency(0.25, 0.25))
SIGNALS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "hung up"),
]


@contextmanager
def under_way(llmx: Llmx, mock: Mock, *argv: str, calls: int = 5) -> Iterator[tuple[Running, Path]]:
    """A run that has made some calls and is in the midst of one; its stderr."""
    running, _, err = llmx.piped(*(argv or RUN), *mock.openai)
    wait_for(lambda: mock.calls >= calls)
    yield running, err


@pytest.mark.parametrize(("number", "code", "word"), SIGNALS, ids=lambda value: str(value))
def test_a_signal_drains_the_run(
    number: int, code: int, word: str, llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """The calls in flight end and are written; the exit code says which signal; the last line resumes."""
    mock = provider(SLOW)
    with under_way(llmx, mock) as (running, err):
        running.signal(number)
        assert running.wait() == code
    assert mock.calls < 10
    assert [row["id"] for row in partial(llmx.cwd)] == list(range(mock.calls))
    talk = err.read_text().splitlines()
    again = "Ctrl-C" if word == "interrupted" else "another signal"
    assert f"stopping ({word}): waiting for 2 calls in flight; {again} stops at once" in talk
    assert word in talk[-3]
    assert talk[-2] == "rows so far: out.jsonl.partial"
    assert talk[-1] == (
        "resume: llmx extract rows.jsonl -s 'name, age int' -o out.jsonl -c 2 "
        f"-m openai/mock --base-url {mock.url}/v1"
    )


def test_the_same_command_pays_for_what_is_missing(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """After a signal, ⟨up⟩⟨enter⟩: the output is complete, and each row was one call in all."""
    mock = provider(SLOW)
    with under_way(llmx, mock) as (running, _):
        running.signal(signal.SIGINT)
        running.wait()
    assert not (llmx.cwd / "out.jsonl").exists()
    assert llmx(*RUN, *mock.openai).code == 0
    assert [row["id"] for row in read_rows(llmx.cwd / "out.jsonl")] == list(range(10))
    assert mock.calls == 10
    assert not (llmx.cwd / "out.jsonl.partial").exists()


def test_a_signal_that_is_ignored_stays_so(
    provider: Callable[[MockSettings], Mock], llmx: Llmx, rows: Path
) -> None:
    """Under nohup, a terminal that is closed ends nothing."""
    mock = provider(SLOW)
    command = [sys.executable, "-m", "llmx", *RUN, *mock.openai]
    with subprocess.Popen(
        ["nohup", *command], cwd=llmx.cwd, env=llmx.env, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: mock.calls >= 3)
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE) == 0


def test_a_second_signal_stops_at_once(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """It does not wait for a call that hangs; what was written stays readable."""
    mock = provider(MockSettings(hang_rate=1.0))
    with under_way(llmx, mock, calls=2) as (running, err):
        running.signal(signal.SIGINT)
        time.sleep(0.2)
        started = time.monotonic()
        running.signal(signal.SIGINT)
        assert running.wait() == 130
    assert time.monotonic() - started < 10
    talk = err.read_text()
    assert "Traceback" not in talk
    assert "2 calls" in talk
    assert talk.splitlines()[-1].startswith("resume: llmx extract ")
    assert not (llmx.cwd / "out.jsonl.partial").exists()


def test_the_earlier_output_stays_until_the_run_is_complete(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """A run that stops does not touch what a complete one had left."""
    (llmx.cwd / "out.jsonl").write_text('{"old": true}\n')
    mock = provider(SLOW)
    with under_way(llmx, mock) as (running, _):
        running.signal(signal.SIGTERM)
        running.wait()
    assert read_rows(llmx.cwd / "out.jsonl") == [{"old": True}]


def test_failed_rows_of_a_stopped_run_are_named_where_they_are(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """Errors of a run that stopped are in a partial file too, and the summary says that one."""
    mock = provider(MockSettings(latency=Latency(0.25, 0.25), malformed_rate=1.0))
    with under_way(llmx, mock, *RUN, "--reasks", "0") as (running, err):
        running.signal(signal.SIGINT)
        running.wait()
    assert "failed rows: out.errors.jsonl.partial\n" in err.read_text()
    assert read_rows(llmx.cwd / "out.errors.jsonl.partial")


def test_a_complete_run_removes_the_partial_errors_of_a_stopped_one(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], mock: Mock, rows: Path
) -> None:
    """Nothing of a run that stopped outlives a complete one."""
    broken = provider(MockSettings(latency=Latency(0.25, 0.25), malformed_rate=1.0))
    with under_way(llmx, broken, *RUN, "--reasks", "0") as (running, _):
        running.signal(signal.SIGINT)
        running.wait()
    llmx(*RUN, *mock.openai)
    assert sorted(path.name for path in llmx.cwd.iterdir()) == [".llmx", "out.jsonl", "rows.jsonl"]


def test_the_summary_of_a_stopped_run(
    llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """`--summary` is written then too, and says why it stopped."""
    import json

    mock = provider(SLOW)
    with under_way(llmx, mock, *RUN, "--summary", "s.json") as (running, _):
        running.signal(signal.SIGINT)
        running.wait()
    summary = json.loads((llmx.cwd / "s.json").read_text())
    assert (summary["exit_code"], summary["stopped"]) == (130, "interrupted")
    assert summary["rows"]["ok"] == summary["calls"] == mock.calls


@pytest.mark.parametrize(
    ("told", "calls"), [(False, 4), (True, 1)], ids=["after a refusal", "before there is one"]
)
def test_a_pause_ends_with_the_signal(
    told: bool, calls: int, llmx: Llmx, provider: Callable[[MockSettings], Mock], rows: Path
) -> None:
    """Nobody waits out a minute's Retry-After after Ctrl-C, nor what the server's headers ask for."""
    mock = provider(MockSettings(rpm=3, limit_headers=told))
    with under_way(llmx, mock, calls=calls) as (running, _):
        time.sleep(0.3)
        started = time.monotonic()
        running.signal(signal.SIGINT)
        assert running.wait() == 130
    assert time.monotonic() - started < 10
