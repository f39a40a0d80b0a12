"""The composition root: from settings to a run, and the exit code it ends with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from rehearsal import Talk, rehearse, some_rows, write_rows

from llmx.environment import Environment
from llmx.errors import (
    AllInvalid,
    AuthenticationFailed,
    Interrupted,
    LlmxError,
    OutputFailed,
    PipeClosed,
    QuotaSpent,
    UnknownModel,
)
from llmx.job import _exit_code, first_request
from llmx.planning import Plan, plan
from llmx.report.summary import Figures
from llmx.settings import Settings


def planned(folder: Path, rows: Any = 3, **options: Any) -> Plan:
    given = some_rows(rows) if isinstance(rows, int) else rows
    write_rows(folder / "in.jsonl", given)
    env = Environment(stdin=io.BytesIO(), stdout=io.BytesIO(), variables={}, cwd=folder)
    base = {"inputs": ["in.jsonl"], "schema": "name, age int", "model": "openai/m"}
    return plan(Settings.of({**base, "base_url": "http://127.0.0.1:9/v1", **options}), env)


def figures(ok: int = 0, failed: int = 0) -> Figures:
    return Figures(FakeClock(), ok=ok, failed=failed)


@pytest.mark.parametrize(
    ("reasons", "code"),
    [
        ([], 0),
        ([Interrupted(2)], 130),
        ([Interrupted(15)], 143),
        ([Interrupted(1)], 129),
        ([AuthenticationFailed("x")], 4),
        ([UnknownModel("x")], 2),
        ([QuotaSpent("x")], 7),
        ([AllInvalid("x")], 7),
        ([PipeClosed("x")], 141),
        ([OutputFailed("x")], 1),
        ([PipeClosed("x"), OutputFailed("x")], 1),
        ([QuotaSpent("x"), Interrupted(2)], 130),
        ([QuotaSpent("x"), AuthenticationFailed("x")], 4),
        ([Interrupted(2), OutputFailed("x")], 1),
    ],
    ids=lambda value: "+".join(type(e).__name__ for e in value) if isinstance(value, list) else "",
)
def test_the_exit_code_of_reasons(reasons: list[LlmxError], code: int) -> None:
    """Where several hold, the first of 1, signals, 2, 4, 7, 141 counts."""
    assert _exit_code(reasons, figures(ok=3), Settings.of({"schema": "x"})) == code


@pytest.mark.parametrize(
    ("allowed", "failed", "code"),
    [("0", 0, 0), ("0", 1, 3), ("2", 2, 0), ("2", 3, 3), ("10%", 10, 0), ("10%", 11, 3)],
)
def test_the_exit_code_of_failed_rows(allowed: str, failed: int, code: int) -> None:
    """3 above `--max-failures`, of a hundred rows."""
    settings = Settings.of({"schema": "x", "max_failures": allowed})
    assert _exit_code([], figures(ok=100 - failed, failed=failed), settings) == code


def test_a_reason_wins_over_failed_rows() -> None:
    """A run that was stopped says why, not how many rows had failed by then."""
    assert _exit_code([Interrupted(2)], figures(failed=5), Settings.of({"schema": "x"})) == 130


def test_the_announcement(tmp_path: Path) -> None:
    """How many rows, what the model sees of them, and what not."""
    assert planned(tmp_path, [{"a": 1, "gold": 2}]).announcement == "1 row; the model sees: a (not: gold)"


def test_the_announcement_of_a_template(tmp_path: Path) -> None:
    """The columns that it uses, and the others."""
    shown = planned(tmp_path, prompt="{{ text }}").announcement
    assert shown == "3 rows; --prompt shows the model: text (not: id)"


async def test_the_first_request_calls_nobody(tmp_path: Path) -> None:
    """There is no server at this address, and none is missed."""
    body = await first_request(planned(tmp_path), Talk())
    assert body is not None
    assert body["messages"][-1]["content"].count("Row 0") == 1


async def test_the_first_request_of_no_rows(tmp_path: Path) -> None:
    """There is none."""
    assert await first_request(planned(tmp_path, 0), Talk()) is None


async def test_the_first_request_skips_unreadable_lines(tmp_path: Path) -> None:
    """The first row that would be sent is shown."""
    planned(tmp_path)
    (tmp_path / "in.jsonl").write_bytes(b'not json\n{"id": 5}\n')
    env = Environment(stdin=io.BytesIO(), stdout=io.BytesIO(), variables={}, cwd=tmp_path)
    options = {"inputs": ["in.jsonl"], "schema": "name, age int", "model": "openai/m"}
    second = plan(Settings.of({**options, "base_url": "http://127.0.0.1:9/v1"}), env)
    body = await first_request(second, Talk())
    assert body is not None
    assert '{"id":5}' in body["messages"][-1]["content"]


async def test_few_shot_rows_come_before_the_row(tmp_path: Path) -> None:
    """An example is a user's turn and the answer that was right."""
    write_rows(tmp_path / "shots.jsonl", [{"text": "Bo, 7", "gold": {"name": "Bo", "age": 7}}])
    body = await first_request(planned(tmp_path, examples="shots.jsonl"), Talk())
    assert body is not None
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert body["messages"][2]["content"] == '{"name":"Bo","age":7}'


def test_a_run_says_what_it_is_about_to_do(tmp_path: Path) -> None:
    """The announcement comes before the first call."""
    assert rehearse(tmp_path, 2).said == ["2 rows; the model sees: id, text"]


def test_a_sinks_warnings_are_told(tmp_path: Path) -> None:
    """A CSV whose later rows have more columns than its header says so at the end."""
    rows = [*some_rows(150), {"id": 150, "text": "x", "late": 1}]
    said = rehearse(tmp_path, rows, output="out.csv").said
    assert any(line.startswith("warning: ") and "late" in line for line in said)


def test_a_schema_with_a_bound_beyond_64_bits(tmp_path: Path) -> None:
    """Large integers are JSON like others: they are fingerprinted, counted and sent."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 2**70}}, "required": ["n"]}
    assert rehearse(tmp_path, 3, schema=schema, tpm=10**9).figures.ok == 3
