"""What ends a run before its end, and how little it costs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from rehearsal import (
    Rehearsal,
    Talk,
    in_simulated_time,
    options_for,
    partial,
    rehearse,
    run_to_files,
    some_rows,
    with_server,
    write_rows,
)
from scripted import Received, Reply, Scripted

from llmx.errors import AllInvalid, AuthenticationFailed, QuotaSpent, UnknownModel
from llmx.job import Report
from llmx.mock import Latency, MockSettings
from llmx.mock.server import Server

WIRES = ["openai", "anthropic"]
SLOW = Latency(1.0, 1.0)


@pytest.mark.parametrize("wire", WIRES)
def test_a_dead_key_costs_three_calls(wire: str, tmp_path: Path) -> None:
    """401 ends the run with exit code 4, one reason, and no row."""
    run = rehearse(tmp_path, 100, MockSettings(keys=("right",), latency=SLOW), wire=wire)
    assert run.stats["calls"] <= 3
    assert run.report.exit_code == 4
    assert isinstance(run.report.reasons[0], AuthenticationFailed)
    assert (run.rows, run.errors) == ([], [])


@pytest.mark.parametrize("wire", WIRES)
def test_an_unknown_model_costs_three_calls(wire: str, tmp_path: Path) -> None:
    """404 ends the run with exit code 2, naming the model."""
    run = rehearse(tmp_path, 100, MockSettings(models=("other",), latency=SLOW), wire=wire)
    assert run.stats["calls"] <= 3
    assert run.report.exit_code == 2
    assert isinstance(run.report.reasons[0], UnknownModel)


@pytest.mark.parametrize("wire", WIRES)
def test_spent_quota_costs_three_calls(wire: str, tmp_path: Path) -> None:
    """Credit that is gone from the start is not waited for: exit code 7."""
    run = rehearse(tmp_path, 100, MockSettings(quota_after=0, latency=SLOW), wire=wire)
    assert run.stats["calls"] <= 3
    assert run.report.exit_code == 7
    assert isinstance(run.report.reasons[0], QuotaSpent)


def test_an_input_that_is_cut_ends_the_run_after_its_rows(tmp_path: Path) -> None:
    """No share of failures forgives rows that nobody has seen; those before it are kept."""
    lines = write_rows(tmp_path / "in.jsonl", some_rows(500)).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines)[:-9])

    async def against(server: Server) -> tuple[Report, Talk]:
        options = {**options_for("openai", server.url), "inputs": ["cut.jsonl.gz"], "max_failures": "100%"}
        return await run_to_files(tmp_path, options)

    run = with_server(tmp_path, MockSettings(), against)
    assert run.report.exit_code == 1
    assert [str(reason) for reason in run.report.reasons] == [
        "cut.jsonl.gz: the gzip data end too early: the file is cut"
    ]
    kept = partial(tmp_path)
    assert len(kept) > 100
    assert run.stats["calls"] == len(kept)


@pytest.mark.parametrize("wire", WIRES)
def test_quota_spent_on_the_way_keeps_the_rows_so_far(wire: str, tmp_path: Path) -> None:
    """The rows that were answered are in the partial file, and running again pays only for the others."""
    run = rehearse(tmp_path, 50, MockSettings(quota_after=20), wire=wire, concurrency=4)
    assert run.report.exit_code == 7
    assert [row["id"] for row in partial(tmp_path)] == list(range(20))
    again = rehearse(tmp_path, 50, wire=wire, port=run.port)
    assert again.ids == list(range(50))
    assert again.stats["calls"] == 30


def test_a_reason_is_told_once(tmp_path: Path) -> None:
    """Three calls that fail alike are one message."""
    run = rehearse(tmp_path, 100, MockSettings(keys=("right",), latency=SLOW))
    assert len({str(reason) for reason in run.report.reasons}) == 1


def test_twenty_invalid_rows_stop_the_run(tmp_path: Path) -> None:
    """If the first rows all fail it is the schema or the prompt: exit code 7, naming the last error."""
    run = rehearse(tmp_path, 200, MockSettings(malformed_rate=1.0), concurrency=4, reasks=0)
    assert run.report.exit_code == 7
    assert isinstance(run.report.reasons[0], AllInvalid)
    assert run.stats["calls"] <= 20 + 4


def test_nineteen_invalid_rows_stop_nothing(tmp_path: Path) -> None:
    """A small input may fail as a whole; it ends, with exit code 3."""
    run = rehearse(tmp_path, 19, MockSettings(malformed_rate=1.0), reasks=0)
    assert run.report.exit_code == 3
    assert len(run.errors) == 19


def test_a_server_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    """Nothing ever answers: exit code 7 and a hint about the address."""
    run = rehearse(tmp_path, 30, base_url="http://127.0.0.1:9/v1", retries=1)
    assert run.report.exit_code == 7
    assert "--base-url" in run.report.reasons[0].hint


async def _redirected(folder: Path, aim: Scripted, elsewhere: str, wire: str) -> Rehearsal | Report:
    path = "/v1/chat/completions" if wire == "openai" else "/v1/messages"
    aim.reply = Reply({}, status=307, headers={"location": elsewhere + path})
    given = {"inputs": [str(write_rows(folder / "in.jsonl", some_rows(5)))]}
    report, _ = await run_to_files(folder, {**options_for(wire, aim.url), **given})
    return report


@pytest.mark.parametrize("wire", WIRES)
def test_a_redirect_never_takes_the_row_elsewhere(wire: str, tmp_path: Path) -> None:
    """A 307 to another server is refused: that server sees nothing."""
    seen: list[Received] = []

    async def main() -> Report:
        async with Scripted.listening() as first, Scripted.listening() as second:
            report = await _redirected(tmp_path, first, second.url, wire)
            seen.extend(second.received)
            assert isinstance(report, Report)
            return report

    report = in_simulated_time(main)
    assert seen == []
    assert report.exit_code != 0


def test_a_stop_lets_the_calls_in_flight_end(tmp_path: Path) -> None:
    """What was sent is waited for, written and cached, and nothing new is sent."""

    async def against(server: Server) -> tuple[Report, Talk]:
        given = {"inputs": [str(write_rows(tmp_path / "in.jsonl", some_rows(40)))], "concurrency": 5}
        return await run_to_files(tmp_path, {**options_for("openai", server.url), **given})

    run = with_server(tmp_path, MockSettings(quota_after=11, latency=SLOW), against)
    assert run.report.figures.in_flight == 0
    assert len(partial(tmp_path)) == 11
