"""`llmx mock`: options become settings; nothing heavy is imported to show its help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import llmx.mock
from llmx.cli.mock import mock
from llmx.errors import UsageError
from llmx.mock import BrownOut, GoldSettings, Latency, LimitsChange, MockSettings, Outage


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(mock)
    return app


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments that `run` was called with."""
    calls: list[Any] = []
    monkeypatch.setattr(llmx.mock, "run", lambda *arguments: calls.extend(arguments[:3]))
    return calls


def test_defaults(command: typer.Typer, started: list[Any]) -> None:
    """Without options it behaves, on its usual port."""
    assert CliRunner().invoke(command, []).exit_code == 0
    assert [MockSettings(), "127.0.0.1", 8787] == started


def test_every_option(command: typer.Typer, started: list[Any]) -> None:
    """Each finds its setting."""
    line = (
        "--host ::1 --port 0 --latency 0.1:1 --rpm 60 --tpm 1000 --error-rate .1 --malformed-rate .2"
        " --hang-rate .01 --drop-rate .02 --refusal-rate .03 --key a --key b --model m --quota-after 5"
        " --fail-first 2 --malformed-until 1 --seed 9 --log --no-limit-headers --retry-after ms"
        " --itpm 800 --otpm 200 --limit-window 1 --limits-at 30:15 --limits-at 60:-:300 --outage 10:5"
        " --outage 20:2.5 --outage-retry-after --brown-out 40:10:0.5 --slow-start 3"
        " --gold g.jsonl --gold-key k --gold-rows r.csv --gold-errors .1 --model-errors openai/a=0.2"
        " --model-errors b=.3 --gold-confidence .9:.5"
    )
    result = CliRunner().invoke(command, line.split(), catch_exceptions=False)
    assert result.exit_code == 0
    expected = MockSettings(
        latency=Latency(0.1, 1.0),
        rpm=60,
        tpm=1000,
        error_rate=0.1,
        malformed_rate=0.2,
        hang_rate=0.01,
        drop_rate=0.02,
        refusal_rate=0.03,
        keys=("a", "b"),
        models=("m",),
        quota_after=5,
        fail_first=2,
        malformed_until=1,
        seed=9,
        log=True,
        limit_headers=False,
        retry_after="ms",
        itpm=800,
        otpm=200,
        limit_window=1.0,
        limits_at=(LimitsChange(30.0, 15), LimitsChange(60.0, None, 300)),
        outages=(Outage(10.0, 5.0), Outage(20.0, 2.5)),
        outage_retry_after=True,
        brown_outs=(BrownOut(40.0, 10.0, 0.5),),
        slow_start=3.0,
        gold=GoldSettings(
            Path("g.jsonl"),
            "k",
            Path("r.csv"),
            0.1,
            model_errors=(("a", 0.2), ("b", 0.3)),
            confidence=(0.9, 0.5),
        ),
    )
    assert [expected, "::1", 0] == started


@pytest.mark.parametrize(
    "line", ["--no-retry-after", "--retry-after none", "--no-retry-after --retry-after ms"]
)
def test_no_retry_after(command: typer.Typer, started: list[Any], line: str) -> None:
    """Both ways of saying so."""
    assert CliRunner().invoke(command, line.split()).exit_code == 0
    assert started[0].retry_after == "none"


@pytest.mark.parametrize(
    "line",
    [
        "--host 0.0.0.0",
        "--latency fast",
        "--error-rate .6 --hang-rate .6",
        "--limits-at 30",
        "--outage soon",
        "--brown-out 1:2:3",
        "--limit-window 0",
        "--slow-start nan",
    ],
)
def test_what_it_refuses(command: typer.Typer, line: str) -> None:
    """As a usage error, before it listens."""
    assert isinstance(CliRunner().invoke(command, line.split()).exception, UsageError)


@pytest.mark.parametrize(
    "line", ["--error-rate 2", "--port 70000", "--retry-after soon", "--rpm 0", "--itpm 0"]
)
def test_what_typer_refuses(command: typer.Typer, line: str) -> None:
    """With its own message and exit code 2."""
    assert CliRunner().invoke(command, line.split()).exit_code == 2


def test_the_command_imports_nothing_heavy() -> None:
    """The server and its JSON library are imported when it runs."""
    code = "import sys, llmx.cli.mock; print([m for m in sys.modules if m in ('asyncio', 'orjson', 'llmx.mock')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
