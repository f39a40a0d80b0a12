"""A run that several processes share is the run that one process makes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import pytest
from commands import Finished, Llmx, Mock, wait_for
from faults.evidence import answers, asked, entries, journal_of
from faults.kills import KEPT, survive
from faults.scene import Scene
from rehearsal import read_rows, some_rows, write_rows

from llmx.mock import Latency, MockSettings

Provider = Callable[[MockSettings], Mock]

ROWS = 200
RUN = ("extract", "rows.jsonl", "-s", "name, age int")
TWO = ("--workers", "2", "-c", "8")
LOGGED = MockSettings(log=True, log_size=100_000)


def extract(llmx: Llmx, mock: Mock, *options: str, output: str = "out.jsonl", **how: Any) -> Finished:
    """One run; the rows are written first where there are none."""
    if not (llmx.cwd / "rows.jsonl").exists():
        write_rows(llmx.cwd / "rows.jsonl", some_rows(ROWS))
    return llmx(*RUN, *mock.openai, "-o", output, *options, **how)


def children(pid: int) -> list[int]:
    """The processes that a process has forked."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def without_time(summary: Path) -> dict[str, Any]:
    """What a run's summary says that does not depend on how fast it was."""
    said = json.loads(summary.read_text())
    return {name: said[name] for name in ("model", "rows", "calls", "retries", "tokens", "cost", "errors")}


# The same run


@pytest.mark.parametrize("workers", ["2", "3"])
@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("jsonl", ()),
        ("csv", ()),
        ("parquet", ()),
        ("jsonl", ("--order", "done")),
        ("jsonl", ("--into", "found", "--key", "id")),
        ("jsonl", ("-s", "name, tags list[str]", "--explode", "tags")),
    ],
)
def test_what_is_written_is_the_same(
    llmx: Llmx, mock: Mock, workers: str, output: str, options: tuple[str, ...]
):
    """Whatever the format, and however many share it; every row is asked about once."""
    for count in ("1", workers):
        done = extract(
            llmx, mock, "--workers", count, "--cache", "off", *options, output=f"out{count}.{output}"
        )
        assert (done.code, done.err.count("error")) == (0, 0)
    one, many = (llmx.cwd / f"out{count}.{output}" for count in ("1", workers))
    if "--order" in options:
        assert sorted(one.read_bytes().splitlines()) == sorted(many.read_bytes().splitlines())
    else:
        assert one.read_bytes() == many.read_bytes()
    assert mock.calls == 2 * ROWS


def test_what_is_told_is_the_same(llmx: Llmx, provider: Provider):
    """Rows, calls, tokens, failed rows and re-asks, in the summary and in the journal."""
    told, noted = [], []
    for count in ("1", "2"):
        mock = provider(MockSettings(malformed_until=1, log=True, log_size=10_000))
        options = ("--workers", count, "--summary", f"{count}.json", "--meta")
        assert extract(llmx, mock, *options, "--cache", "off", output=f"{count}.jsonl").code == 0
        told.append(without_time(llmx.cwd / f"{count}.json"))
        journal = journal_of(llmx.cwd, f"{count}.jsonl")
        assert len(answers(journal)) == mock.calls == 2 * ROWS
        noted.append(sorted(entry["index"] for entry in entries(journal) if entry["t"] == "row"))
    assert told[0] == told[1]
    assert noted[0] == noted[1] == list(range(ROWS))


def test_failed_rows_are_where_they_belong(llmx: Llmx, provider: Provider):
    """Exit code 3, and each in the errors; `retry` asks about them alone, of several processes again."""
    write_rows(
        llmx.cwd / "rows.jsonl", [{"id": n, "text": f"text {n}"} if n % 10 else {} for n in range(ROWS)]
    )
    mock = provider(LOGGED)
    done = extract(llmx, mock, *TWO)
    assert (done.code, mock.calls) == (3, ROWS - ROWS // 10)
    assert [row["_error"]["type"] for row in read_rows(llmx.cwd / "out.errors.jsonl")] == [
        "unreadable_row"
    ] * 20
    again = llmx("retry", "out.jsonl")
    assert (again.code, mock.calls) == (3, ROWS - ROWS // 10)


def test_rows_that_are_alike_are_asked_about_once(llmx: Llmx, mock: Mock):
    """With the cache, without it, and where nothing is kept."""
    write_rows(llmx.cwd / "rows.jsonl", [{"id": n, "text": f"text {n % 20}"} for n in range(ROWS)])
    for calls, options in enumerate([("--cache", "off"), ("--cache", "off", "--no-store"), ()], start=1):
        done = extract(llmx, mock, *TWO, "--input", "text", *options, output=f"{calls}.jsonl")
        assert (done.code, mock.calls) == (0, 20 * calls)
    assert (llmx.cwd / "1.jsonl").read_bytes() == (llmx.cwd / "3.jsonl").read_bytes()


def test_the_cache_is_theirs_together(llmx: Llmx, mock: Mock):
    """What any of them has asked, any number of them finds."""
    assert extract(llmx, mock, *TWO, output="one.jsonl").code == 0
    assert "(200 cached)" in extract(llmx, mock, "--workers", "3", output="two.jsonl").err
    assert "(200 cached)" in extract(llmx, mock, output="three.jsonl").err
    assert mock.calls == ROWS


def test_no_process_is_left(llmx: Llmx, provider: Provider):
    """Two fork; all have ended when the command has."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(50))
    mock = provider(MockSettings(latency=Latency(0.05, 0.05)))
    running, _, _ = llmx.piped(*RUN, *mock.openai, "-o", "out.jsonl", *TWO)
    wait_for(lambda: mock.calls > 5)
    found = children(running.pid)
    assert len(found) == 2
    assert running.wait() == 0
    assert all(map(has_ended, found))


# What it costs


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (MockSettings(keys=("right",), latency=Latency(0.1, 0.1)), 4),
        (MockSettings(models=("other",), latency=Latency(0.1, 0.1)), 2),
        (MockSettings(quota_after=0, latency=Latency(0.1, 0.1)), 7),
    ],
    ids=["key", "model", "quota"],
)
def test_what_cannot_work_costs_three_calls(
    llmx: Llmx, provider: Provider, settings: MockSettings, code: int
):
    """One of them finds out for all."""
    mock = provider(settings)
    done = extract(llmx, mock, *TWO)
    assert done.code == code
    assert mock.calls <= 3
    assert done.err.count("error:") == 1


def test_twenty_invalid_rows_stop_the_run(llmx: Llmx, provider: Provider):
    """Counted over all of them, and by one at first."""
    mock = provider(MockSettings(malformed_rate=1.0))
    done = extract(llmx, mock, *TWO, "--reasks", "0")
    assert done.code == 7
    assert "the first 20 rows all failed" in done.err
    assert mock.calls <= 20 + 8


def test_a_cap_is_kept(llmx: Llmx, provider: Provider):
    """By all together, to within one call; what is left then is done with a higher one."""
    mock = provider(LOGGED)
    done = extract(llmx, mock, *TWO, "--max-tokens", "20000", "--max-output-tokens", "100")
    assert done.code == 5, done.err
    spent = sum(entry["usage"]["input"] + entry["usage"]["output"] for entry in answers(journal_of(llmx.cwd)))
    assert 20_000 - 2_000 < spent <= 20_000
    assert extract(llmx, mock, *TWO, "--max-tokens", "1000000", "--max-output-tokens", "100").code == 0
    assert mock.calls == len(set(asked(mock))) == ROWS


def test_a_note_is_said_once(llmx: Llmx, mock: Mock):
    """By the owner, whatever the workers find out."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(20))
    priced = ("-m", "openai/gpt-4o-mini", *mock.openai[2:], "--max-cost", "1")
    done = llmx(*RUN, *priced, *TWO, "-o", "out.jsonl")
    assert done.code == 0, done.err
    assert done.err.count("is taken to cost what") == 1


def test_a_named_budget_is_theirs_together(llmx: Llmx, mock: Mock):
    """To within one call, as for several runs at once."""
    (llmx.cwd / "llmx.toml").write_text("[budget.day]\ndaily-tokens = 20000\n")
    done = extract(llmx, mock, *TWO, "--budget", "day", "--max-output-tokens", "100")
    assert done.code == 5, done.err
    spent = sum(entry["usage"]["input"] + entry["usage"]["output"] for entry in answers(journal_of(llmx.cwd)))
    assert 20_000 - 2_000 < spent <= 20_000


def test_a_rate_is_kept(llmx: Llmx, provider: Provider):
    """By all together: a server that allows no more refuses nothing, but for calls that a busy machine holds up on their way."""
    mock = provider(MockSettings(rpm=3_000, limit_window=1.0, limit_headers=False))
    done = extract(llmx, mock, *TWO, "--rpm", "3000")
    assert done.code == 0
    assert ROWS <= mock.server.stats()["calls"] <= 1.03 * ROWS


def test_a_limit_that_headers_tell_is_divided(llmx: Llmx, provider: Provider):
    """Each takes its part of it from the first answer on; few are refused."""
    mock = provider(MockSettings(rpm=3_000, limit_window=1.0))
    done = extract(llmx, mock, *TWO)
    assert done.code == 0
    assert "of 3,000 rpm used" in done.err
    assert mock.server.stats()["calls"] <= 1.1 * ROWS


# What ends it


def test_a_signal_stops_all(llmx: Llmx, provider: Provider):
    """What is in flight is kept, and nothing of it asked again."""
    mock = provider(MockSettings(latency=Latency(0.05, 0.05), log=True, log_size=10_000))
    scene = Scene(llmx, mock, "--workers", "2", "--cache", "off", rows=ROWS, concurrency=8)
    for _ in range(3):
        assert scene.run_until(partial(_terminate, mock, mock.calls + 20)) == 128 + SIGTERM
    assert scene.run().code == 0
    assert [row["id"] for row in scene.results] == list(range(ROWS))
    assert mock.calls == ROWS
    assert scene.ledger.in_flight == [0] * 4


def _terminate(mock: Mock, calls: int, pid: int) -> None:
    """End a run when the server has been called so often."""
    wait_for(lambda: mock.calls > calls)
    os.kill(pid, SIGTERM)


def test_a_second_signal_ends_all_at_once(llmx: Llmx, provider: Provider):
    """Calls that hang are not waited for, and no process is left."""
    mock = provider(MockSettings(hang_rate=0.5, seed=3))
    write_rows(llmx.cwd / "rows.jsonl", some_rows(ROWS))
    running, _, err = llmx.piped(*RUN, *mock.openai, "-o", "out.jsonl", *TWO)
    wait_for(lambda: mock.calls > 8)
    found = children(running.pid)
    running.signal(SIGTERM)
    wait_for(lambda: "terminated" in err.read_text() or "calls in flight" in err.read_text())
    running.signal(SIGTERM)
    assert running.wait() == 128 + SIGTERM
    wait_for(lambda: all(map(has_ended, found)))


def test_a_worker_that_is_killed_ends_the_run(llmx: Llmx, provider: Provider):
    """What it was asking is all that is asked again."""
    mock = provider(MockSettings(latency=Latency(0.05, 0.05), log=True, log_size=10_000))
    scene = Scene(llmx, mock, "--workers", "2", "--cache", "off", rows=ROWS, concurrency=8)

    def kill_one(pid: int) -> None:
        wait_for(lambda: mock.calls > 40)
        os.kill(children(pid)[1], SIGKILL)

    assert scene.run_until(kill_one) == 1
    assert scene.ledger.in_flight[0] <= 4
    assert scene.run().code == 0
    assert [row["id"] for row in scene.results] == list(range(ROWS))
    assert mock.calls <= ROWS + 4


def test_what_is_said_of_a_worker_that_was_killed(llmx: Llmx, provider: Provider):
    """One line, and what to do."""
    mock = provider(MockSettings(latency=Latency(0.05, 0.05)))
    write_rows(llmx.cwd / "rows.jsonl", some_rows(ROWS))
    running, _, err = llmx.piped(*RUN, *mock.openai, "-o", "out.jsonl", *TWO)
    wait_for(lambda: mock.calls > 20)
    os.kill(children(running.pid)[0], SIGKILL)
    assert running.wait() == 1
    assert (
        "error: a worker process has ended unexpectedly\nhint: run the same command again" in err.read_text()
    )


def test_when_the_owner_is_killed_the_workers_end(llmx: Llmx, provider: Provider):
    """They would ask for nobody."""
    mock = provider(MockSettings(latency=Latency(0.05, 0.05)))
    write_rows(llmx.cwd / "rows.jsonl", some_rows(ROWS))
    running, _, _ = llmx.piped(*RUN, *mock.openai, "-o", "out.jsonl", *TWO)
    wait_for(lambda: mock.calls > 20)
    found = children(running.pid)
    running.signal(SIGKILL)
    assert running.wait() == -SIGKILL
    wait_for(lambda: all(map(has_ended, found)))
    calls = mock.calls
    time.sleep(0.2)
    assert mock.calls == calls < ROWS


def test_a_shared_run_survives_random_kills(llmx: Llmx, provider: Provider):
    """Each row is there once; what was paid twice was in flight when the owner died, or on its way to it."""
    kills, concurrency = 10, 4
    survived = survive(
        llmx,
        provider(KEPT),
        kills=kills,
        rows=12 * kills,
        concurrency=concurrency,
        seed=20_261_128,
        options=("--workers", "2"),
        codes=(-SIGKILL, 1),  # the latter where it was a worker that met the fault
    )
    assert survived.paid_twice <= sum(survived.lost) <= 2 * concurrency * kills


# What is no run for several


def test_standard_output_that_is_closed(llmx: Llmx, mock: Mock):
    """Rows go to a file; nobody looks for a stream that is not there."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(20))
    command = shlex.join([sys.executable, "-m", "llmx", *RUN, *mock.openai, "-o", "out.jsonl", *TWO])
    done = subprocess.run(
        ["sh", "-c", f"{command} >&- 2>&-"], cwd=llmx.cwd, env=llmx.env, timeout=60, check=False
    )
    assert done.returncode == 0
    assert len(read_rows(llmx.cwd / "out.jsonl")) == 20


def test_the_embedded_model_is_for_one(llmx: Llmx):
    """It uses all cores by itself."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(3))
    done = llmx(*RUN, "-m", "local", "-o", "out.jsonl", *TWO)
    assert done.code == 2
    assert "--workers is not for -m local" in done.err


def test_none_without_a_call_to_make(llmx: Llmx, mock: Mock):
    """There are never more than there may be calls in flight."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(5))
    assert llmx(*RUN, *mock.openai, "-o", "out.jsonl", "--workers", "8", "-c", "1").code == 0
    assert mock.calls == 5


@pytest.mark.parametrize("rows", [b"", b"\n\n", b"{}\n", b'no json\n{"text": "some"}\n'])
def test_inputs_with_hardly_a_row(llmx: Llmx, mock: Mock, rows: bytes):
    """As with one process."""
    codes = [
        llmx(
            *RUN[:1],
            "-",
            *RUN[2:],
            *mock.openai,
            "--no-store",
            "--workers",
            count,
            "--input-format",
            "jsonl",
            stdin=rows,
        )
        for count in ("1", "2")
    ]
    assert codes[0].code == codes[1].code
    assert codes[0].out == codes[1].out
