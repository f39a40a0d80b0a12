"""No answer is paid for twice: identical rows in flight, and the exact cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rehearsal import (
    Rehearsal,
    Talk,
    options_for,
    read_rows,
    rehearse,
    run_to_files,
    some_rows,
    with_server,
    write_rows,
)

from llmx.job import Report
from llmx.mock import Latency, MockSettings
from llmx.mock.server import Server

SAME: list[dict[str, Any]] = [{"text": "the same row"}] * 50
SLOW = MockSettings(latency=Latency(0.5, 0.5))


def twice(
    folder: Path, second: Mapping[str, Any], first: Mapping[str, Any] | None = None, *, wire: str = "openai"
) -> tuple[Rehearsal, int, list[dict[str, Any]]]:
    """Two runs over ten rows at one server: the second one, how many calls it made, the first one's rows."""
    calls: list[int] = []
    rows: list[dict[str, Any]] = []

    async def against(server: Server) -> tuple[Report, Talk]:
        given = {
            "inputs": [str(write_rows(folder / "in.jsonl", some_rows(10)))],
            **options_for(wire, server.url),
        }
        await run_to_files(folder, {**given, **(first or {})})
        rows.extend(read_rows(folder / "out.jsonl"))
        calls.append(server.stats()["calls"])
        return await run_to_files(folder, {**given, **second})

    run = with_server(folder, MockSettings(), against)
    return run, run.stats["calls"] - calls[0], rows


def test_fifty_identical_rows_are_one_call(tmp_path: Path) -> None:
    """They are fifty rows in the output, all alike."""
    run = rehearse(tmp_path, SAME, SLOW)
    assert len(run.rows) == 50
    assert run.stats["calls"] == 1
    assert len({row["name"] for row in run.rows}) == 1


def test_identical_rows_in_flight_share_a_call_without_a_cache(tmp_path: Path) -> None:
    """`--cache off` does not turn coalescing off: those that are under way together are one call."""
    run = rehearse(tmp_path, SAME[:8], SLOW, cache="off", concurrency=8)
    assert len(run.rows) == 8
    assert run.stats["calls"] == 1


@pytest.mark.parametrize("no_store", [False, True])
def test_identical_rows_that_come_later_share_a_call_without_a_cache(tmp_path: Path, no_store: bool) -> None:
    """The journal has the answer, or the memory; the row has cost nothing, and nobody had it before."""
    run = rehearse(tmp_path, SAME[:8], cache="off", concurrency=1, no_store=no_store, meta=True)
    assert (len(run.rows), run.stats["calls"]) == (8, 1)
    assert (run.figures.coalesced, run.figures.resumed) == (7, 0)
    assert [row["_llmx"]["attempts"] for row in run.rows] == [1, *[0] * 7]


@pytest.mark.parametrize("no_store", [False, True])
def test_a_reask_that_a_row_shares_is_counted_once(tmp_path: Path, no_store: bool) -> None:
    """Those that are replayed for rows that are alike were made for the first."""
    mock = MockSettings(malformed_until=1)
    run = rehearse(tmp_path, SAME[:4], mock, cache="off", concurrency=1, no_store=no_store)
    assert (run.stats["calls"], run.figures.reasks, len(run.rows)) == (2, 1, 4)


def test_rows_that_are_alike_cost_once_after_a_resume_too(tmp_path: Path) -> None:
    """The first of them has it."""
    options = {"cache": "off", "concurrency": 1, "meta": True}
    one = rehearse(tmp_path, SAME[:4], **options)
    two = rehearse(tmp_path, SAME[:4], port=one.port, **options)
    spent = [[row["_llmx"]["attempts"] for row in run.rows] for run in (one, two)]
    assert spent == [[1, 0, 0, 0]] * 2


def test_identical_rows_share_a_failure(tmp_path: Path) -> None:
    """A row that fails, fails for its twins too, and each has an error row of its own."""
    mock = MockSettings(malformed_rate=1.0, latency=Latency(0.5, 0.5))
    run = rehearse(tmp_path, SAME[:8], mock, reasks=0, concurrency=8)
    assert len(run.errors) == 8
    assert run.stats["calls"] == 1


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_second_run_calls_nobody(wire: str, tmp_path: Path) -> None:
    """All answers come out of the cache, and the rows are the same."""
    run, calls, before = twice(tmp_path, {}, wire=wire)
    assert calls == 0
    assert run.rows == before
    assert run.figures.cached == 10
    assert run.figures.usage.cost == 0


def test_without_the_cache_everything_is_asked_again(tmp_path: Path) -> None:
    """`--cache off` neither reads nor writes it; what is left is the journal, and `--fresh` begins a new one."""
    assert twice(tmp_path, {"cache": "off", "fresh": True})[1] == 10


def test_without_the_cache_the_journal_answers(tmp_path: Path) -> None:
    """`--cache off` does not turn the journal off."""
    run, calls, before = twice(tmp_path, {"cache": "off"})
    assert (calls, run.rows, run.figures.resumed) == (0, before, 10)


def test_a_run_without_the_cache_leaves_nothing_in_it(tmp_path: Path) -> None:
    """The run after it pays."""
    assert twice(tmp_path, {"fresh": True}, {"cache": "off"})[1] == 10


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": "name, age int, city"},
        {"system": "Be brief."},
        {"prompt": "{{ text }}"},
        {"input": "text"},
        {"temperature": 0.5},
        {"mode": "tools"},
        {"model": "openai/other"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_changes_the_answer_is_asked_again(changed: dict[str, Any], tmp_path: Path) -> None:
    """Another schema, prompt, model or parameter never gets an old answer."""
    assert twice(tmp_path, changed)[1] == 10


@pytest.mark.parametrize(
    "changed",
    [
        {"concurrency": 2},
        {"rpm": 6000},
        {"timeout": 7},
        {"retries": 0},
        {"keep": "id"},
        {"order": "done"},
        {"meta": True},
        {"max_output_tokens": 77},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_does_not_change_the_answer_is_free(changed: dict[str, Any], tmp_path: Path) -> None:
    """Pacing, caps and the shape of the output are no part of an answer's identity."""
    assert twice(tmp_path, changed)[1] == 0


def test_an_invalid_answer_is_never_cached(tmp_path: Path) -> None:
    """A failed row is asked again by the next run."""
    run = rehearse(tmp_path, 4, MockSettings(malformed_until=1), reasks=0)
    assert len(run.errors) == 4
    assert rehearse(tmp_path, 4, port=run.port).stats["calls"] == 4


def test_the_answer_to_a_reask_is_cached_for_the_row(tmp_path: Path) -> None:
    """The second run does not begin with the question that had failed."""
    calls: list[int] = []

    async def against(server: Server) -> tuple[Report, Talk]:
        options = {
            "inputs": [str(write_rows(tmp_path / "in.jsonl", some_rows(4)))],
            **options_for("openai", server.url),
        }
        await run_to_files(tmp_path, options)
        calls.append(server.stats()["calls"])
        return await run_to_files(tmp_path, options)

    run = with_server(tmp_path, MockSettings(malformed_until=1), against)
    assert calls == [8]
    assert run.stats["calls"] == 8


def test_an_expired_answer_is_asked_again(tmp_path: Path) -> None:
    """`--cache-ttl` is how long an answer is kept, from when it was given."""
    assert twice(tmp_path, {"fresh": True}, {"cache_ttl": "1ms"})[1] == 10
