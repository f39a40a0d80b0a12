"""`llmx budget`."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
import typer

from llmx.budget_file import budget_file
from llmx.budgets import Daily, NamedBudget
from llmx.cli.budget import budget, show_budgets
from llmx.environment import Environment
from llmx.errors import OutputFailed, UsageError

NOON = 20_000 * 86_400 + 12 * 3600.0
BUDGETS = {"dev": Daily(Decimal(5), 1_000_000), "night": Daily(cost=Decimal("0.5")), "free": Daily(tokens=10)}


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """At an hour east of Greenwich, with a home that is not there yet."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX-1")
        time.tzset()
        home = {"LLMX_HOME": str(tmp_path / "home")}
        yield Environment(stdout=io.BytesIO(), stderr=io.StringIO(), variables=home, cwd=tmp_path)
    time.tzset()


def spend(env: Environment, name: str, cost: str, tokens: int, at: float) -> None:
    path = budget_file(env.home)
    with contextlib.closing(NamedBudget(path, name, Daily(Decimal(99)), now=lambda: at)) as opened:
        assert opened.reserve(Decimal(cost), tokens)


def shown(
    env: Environment,
    name: str | None = None,
    *,
    as_json: bool = False,
    budgets: Mapping[str, Daily] = BUDGETS,
) -> str:
    assert show_budgets(budgets, env, name, as_json, now=lambda: NOON) == 0
    return env.stdout.getvalue().decode()  # type: ignore[attr-defined]


def test_a_table(env: Environment):
    """Spent of each limit, what is left, and when more frees up, in local time."""
    spend(env, "dev", "1.25", 1500, NOON - 20 * 3600 - 47 * 60)
    spend(env, "night", "0.7", 3, NOON - 24 * 3600)
    assert shown(env).splitlines() == [
        "budget  cost                tokens              in flight  left                   more frees up",
        "dev     $1.25 of $5.00      1,500 of 1,000,000             $3.75, 998,500 tokens  16:14, in 3h 14m",
        "night   $0.7000 of $0.5000  3                              $0                     13:01, in 1m",
        "free    $0                  0 of 10                        10 tokens",
    ]


def test_calls_in_flight(env: Environment):
    """What they may come to counts, and is told apart, while the process that made them is alive."""
    limits = Daily(Decimal(5), 1_000_000)
    with contextlib.closing(NamedBudget(budget_file(env.home), "dev", limits, now=lambda: NOON)) as opened:
        assert opened.reserve(Decimal("1.25"), 1500)
        assert "1,500 of 1,000,000  $1.25, 1,500 tokens  $3.75" in shown(env).splitlines()[-3]
    assert "1,500 of 1,000,000             $3.75" in shown(env).splitlines()[-3]


def test_nothing_spent(env: Environment):
    """All is left, nothing frees up, and looking makes no file."""
    assert shown(env, "free").splitlines()[1].split() == ["free", "$0", "0", "of", "10", "10", "tokens"]
    assert not env.home.exists()


def test_one(env: Environment):
    """By its name."""
    assert [line.split()[0] for line in shown(env, "night").splitlines()] == ["budget", "night"]


def test_json(env: Environment):
    """A list, dollars without loss, the time in UTC."""
    spend(env, "dev", "1.25", 1500, NOON - 20 * 3600)
    rows = json.loads(shown(env, as_json=True))
    assert rows[0] == {
        "budget": "dev",
        "cost": "1.25",
        "tokens": 1500,
        "cost_in_flight": "0",
        "tokens_in_flight": 0,
        "daily_cost": "5",
        "daily_tokens": 1_000_000,
        "cost_left": "3.75",
        "tokens_left": 998_500,
        "frees_at": "2024-10-04T16:01:00+00:00",
    }
    assert [(row["daily_cost"], row["daily_tokens"]) for row in rows[1:]] == [("0.5", None), (None, 10)]


def test_an_unknown_name(env: Environment):
    """It is an error with the nearest one."""
    with pytest.raises(UsageError, match="nigth") as caught:
        shown(env, "nigth")
    assert caught.value.hint == "llmx budget night"


def test_a_name_like_none(env: Environment):
    """All can be listed."""
    with pytest.raises(UsageError) as caught:
        shown(env, "zzzzzzzz")
    assert caught.value.hint == "`llmx budget` lists all"


def test_no_budgets(env: Environment):
    """How to write one is told beside the output, which stays empty."""
    assert shown(env, budgets={}) == ""
    assert "daily-cost" in env.stderr.getvalue()  # type: ignore[attr-defined]
    with pytest.raises(UsageError) as caught:
        shown(env, "dev", budgets={})
    assert "daily-cost" in caught.value.hint


def test_no_budgets_as_json(env: Environment):
    """An empty list."""
    assert json.loads(shown(env, as_json=True, budgets={})) == []


def test_a_name_that_would_drive_a_terminal(env: Environment):
    """It is shown without what a terminal would obey."""
    assert "\x1b" not in shown(env, budgets={"a\x1b[2Jb": Daily(tokens=1)})


def test_a_closed_output(env: Environment):
    """It is said, and not passed over."""
    env.stdout.close()
    with pytest.raises(OutputFailed, match="stdout"):
        show_budgets(BUDGETS, env, None, False)


def test_the_command(env: Environment, monkeypatch: pytest.MonkeyPatch):
    """It shows the config file's budgets."""
    monkeypatch.setattr("llmx.config.load_budgets", lambda env: BUDGETS, raising=False)
    context = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)), obj=env)
    assert budget(context, "free") == 0
    assert b"of 10" in env.stdout.getvalue()  # type: ignore[attr-defined]
