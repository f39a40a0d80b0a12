"""Whole runs over both wire formats in every mode: the counts add up, and the provider sees what it should."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rehearsal import Rehearsal, Talk, options_for, rehearse, run_to_files, some_rows, with_server, write_rows

from llmx.job import Report
from llmx.mock import Latency, MockSettings
from llmx.mock.server import Server

OPENAI_MODES = ("json_schema", "tools", "json")
ANTHROPIC_MODES = ("json_schema", "tools", "json")
WIRES = [("openai", mode) for mode in OPENAI_MODES] + [("anthropic", mode) for mode in ANTHROPIC_MODES]
SLOW = MockSettings(latency=Latency(0.5, 5.0))


def logged(folder: Path, rows: list[dict[str, Any]], **options: Any) -> tuple[Rehearsal, str]:
    """A run, and the text of everything the provider was sent, as `GET /log` tells it."""
    bodies: list[str] = []

    async def against(server: Server) -> tuple[Report, Talk]:
        given = {"inputs": [str(write_rows(folder / "in.jsonl", rows))], **options}
        ended = await run_to_files(folder, {**options_for("openai", server.url), **given})
        bodies.append(await fetched(server, "/log"))
        return ended

    return with_server(folder, MockSettings(log=True), against), bodies[0]


async def fetched(server: Server, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


@pytest.mark.parametrize(("wire", "mode"), WIRES)
def test_every_row_ends_once_in_every_mode(wire: str, mode: str, tmp_path: Path) -> None:
    """The SDK's own requests are understood, its answers validated, and no row is lost or doubled."""
    run = rehearse(tmp_path, 10, wire=wire, mode=mode)
    assert list(range(10)) == run.ids
    assert run.errors == []
    assert {type(row["age"]) for row in run.rows} == {int}
    assert run.report.exit_code == 0


@pytest.mark.parametrize(("wire", "mode"), WIRES)
def test_one_row_is_one_call_in_every_mode(wire: str, mode: str, tmp_path: Path) -> None:
    """Nothing is asked twice and nothing is asked on the side."""
    assert rehearse(tmp_path, 10, wire=wire, mode=mode).stats["calls"] == 10


@pytest.mark.parametrize(("wire", "mode"), WIRES)
def test_a_reask_succeeds_in_every_mode(wire: str, mode: str, tmp_path: Path) -> None:
    """An answer that does not fit is shown its error in the mode's own format, and the next one is taken."""
    run = rehearse(tmp_path, 4, MockSettings(malformed_until=2), wire=wire, mode=mode)
    assert run.ids == [0, 1, 2, 3]
    assert run.stats["calls"] == 12
    assert run.figures.reasks == 8


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_tokens_are_those_the_provider_charged(wire: str, tmp_path: Path) -> None:
    """Input and output tokens add up over re-asks, cached and reasoning ones are within them."""
    mock = MockSettings(malformed_until=1, cached_share=0.5, reasoning_tokens=7)
    run = rehearse(tmp_path, 6, mock, wire=wire)
    usage = run.figures.usage
    assert (run.stats["input_tokens"], run.stats["output_tokens"]) == (
        usage.input_tokens,
        usage.output_tokens,
    )
    assert 0 < usage.cached_tokens < usage.input_tokens


def test_reasoning_tokens_are_counted(tmp_path: Path) -> None:
    """OpenAI tells how many of the output tokens were thought and not said."""
    run = rehearse(tmp_path, 3, MockSettings(reasoning_tokens=7))
    assert run.figures.usage.reasoning_tokens == 21


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_results_are_in_the_order_of_the_input(wire: str, tmp_path: Path) -> None:
    """Answers come back in any order; rows are written in theirs."""
    run = rehearse(tmp_path, 60, SLOW, wire=wire, concurrency=16)
    assert run.ids == list(range(60))


def test_results_may_be_in_the_order_of_the_answers(tmp_path: Path) -> None:
    """`--order done` writes every row as soon as it is there: another order, the same rows."""
    run = rehearse(tmp_path, 60, SLOW, concurrency=16, order="done")
    assert sorted(run.ids) == list(range(60))
    assert run.ids != list(range(60))


def test_results_and_errors_together_are_the_input(tmp_path: Path) -> None:
    """Whatever goes wrong, every row ends exactly once, and both files are in order."""
    mock = MockSettings(
        seed=3,
        latency=Latency(0.2, 2.0),
        error_rate=0.2,
        malformed_rate=0.2,
        drop_rate=0.1,
        hang_rate=0.05,
        refusal_rate=0.1,
    )
    run = rehearse(tmp_path, 150, mock, reasks=0, retries=1, concurrency=16, timeout=10)
    assert sorted(run.ids + run.failed_ids) == list(range(150))
    assert run.failed_ids == sorted(run.failed_ids)
    assert {"refusal", "invalid_answer", "retries_exhausted"} <= run.kinds
    assert (len(run.rows), len(run.errors)) == (run.figures.ok, run.figures.failed)
    assert run.report.exit_code == 3


def test_attempts_are_as_many_as_the_provider_saw(tmp_path: Path) -> None:
    """Under every kind of fault, our count of calls is the provider's."""
    mock = MockSettings(seed=5, error_rate=0.3, malformed_rate=0.2, drop_rate=0.2)
    run = rehearse(tmp_path, 40, mock, retries=3)
    assert run.figures.calls == run.stats["calls"]


def test_a_gold_column_is_never_sent(tmp_path: Path) -> None:
    """A canary in `gold` reaches the output, and never the provider."""
    rows = [{"text": f"row {n}", "gold": "canary-gold", "_note": "canary-note"} for n in range(5)]
    run, sent = logged(tmp_path, rows)
    assert [row["gold"] for row in run.rows] == ["canary-gold"] * 5
    assert "row 4" in sent
    assert "canary" not in sent


def test_the_key_column_is_not_sent(tmp_path: Path) -> None:
    """The identity of a row says nothing to the model."""
    _, sent = logged(tmp_path, [{"ref": "canary-1", "text": "row"}], key="ref")
    assert "canary" not in sent


def test_only_the_columns_of_input_are_sent(tmp_path: Path) -> None:
    """`--input` says what the model sees, and nothing else is."""
    _, sent = logged(tmp_path, [{"a": "seen-a", "b": "canary-b", "c": "seen-c"}], input="c,a")
    assert "seen-a" in sent
    assert "seen-c" in sent
    assert "canary" not in sent


def test_a_template_sends_only_what_it_names(tmp_path: Path) -> None:
    """`--prompt` replaces the row's JSON."""
    _, sent = logged(tmp_path, [{"a": "seen-a", "b": "canary-b"}], prompt="Who? {{ a }}")
    assert "Who? seen-a" in sent
    assert "canary" not in sent


def test_provenance_says_who_answered(tmp_path: Path) -> None:
    """`--meta` adds the model, the source, the attempts and the cost to each row."""
    run = rehearse(tmp_path, 1, MockSettings(malformed_until=1), meta=True)
    assert run.rows[0]["_llmx"] == {"model": "mock", "source": "model", "attempts": 2, "cost": None}


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_the_price_of_somebody_elses_server_is_unknown(wire: str, tmp_path: Path) -> None:
    """A model's name says nothing about what another server takes for it: no price, and never 0."""
    assert rehearse(tmp_path, 2, wire=wire).figures.usage.cost is None


def test_the_careful_start_holds_until_the_first_answer(tmp_path: Path) -> None:
    """No more than three calls are in flight before anything has come back."""
    mock = MockSettings(latency=Latency(1.0, 1.0), quota_after=0)
    run = rehearse(tmp_path, 40, mock, concurrency=20)
    assert run.stats["max_in_flight"] <= 3


def test_concurrency_is_never_exceeded(tmp_path: Path) -> None:
    """`--concurrency` is the most calls in flight that the provider ever sees, and it is reached."""
    run = rehearse(tmp_path, 60, MockSettings(latency=Latency(1.0, 1.0)), concurrency=7)
    assert run.stats["max_in_flight"] == 7


def test_the_library_and_the_command_send_the_same(tmp_path: Path) -> None:
    """Rows of a file and the same rows of a list find each other's answers in the cache."""
    import llmx

    async def against(server: Server) -> tuple[Report, Talk]:
        options = options_for("openai", server.url)
        given = {"inputs": [str(write_rows(tmp_path / "in.jsonl", some_rows(5)))], **options}
        ended = await run_to_files(tmp_path, given)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LLMX_HOME", str(tmp_path / "home"))
            outcomes = await llmx.aextract(some_rows(5), "name, age int", **options)
        assert {outcome.source for outcome in outcomes} == {"cache"}
        return ended

    assert with_server(tmp_path, MockSettings(), against).stats["calls"] == 5
