"""Budgets from the command line: caps that hold after a kill, named budgets that runs share, several endpoints."""

from __future__ import annotations

import json
import signal
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commands import Llmx, Mock, wait_for
from rehearsal import partial, some_rows, write_rows

from llmx.mock import Latency, MockSettings

SLOW = MockSettings(latency=Latency(0.2, 0.2))
RUN = ("extract", "rows.jsonl", "-s", "name, age int", "-o", "out.jsonl", "--max-output-tokens", "100")

CONFIG = """
[endpoint.priced]
model = "openai/some-model"
base-url = "{url}/v1"
input-price = 2.5
output-price = 10

[budget.labelling]
daily-tokens = 9_000
daily-cost = 1
"""


def configured(llmx: Llmx, mock: Mock, rows: int = 200) -> None:
    """Rows, and a config file that names the provider."""
    write_rows(llmx.cwd / "rows.jsonl", some_rows(rows))
    (llmx.cwd / "llmx.toml").write_text(CONFIG.format(url=mock.url))


def tokens(mock: Mock) -> int:
    """What the provider has counted."""
    stats = mock.server.stats()
    return int(stats["input_tokens"] + stats["output_tokens"])


def cost(mock: Mock) -> Decimal:
    """In US dollars, by the provider's own count."""
    stats = mock.server.stats()
    return (stats["input_tokens"] * Decimal("2.5") + stats["output_tokens"] * 10) / 1_000_000


@pytest.mark.parametrize("calls", [3, 9, 30])
def test_a_cap_holds_over_a_kill(calls: int, llmx: Llmx, provider: Callable[..., Mock]) -> None:
    """What was in flight when the process was killed counts as its worst case, though nobody knows what it cost."""
    mock = provider(SLOW)
    configured(llmx, mock)
    capped = (*RUN, "-m", "priced", "--max-cost", "0.03", "-c", "4", "--cache", "off")
    running, _, _ = llmx.piped(*capped)
    wait_for(lambda: mock.calls >= calls)
    running.signal(signal.SIGKILL)
    running.wait()
    wait_for(lambda: mock.server.stats()["in_flight"] == 0)
    ended = llmx(*capped)
    assert ended.code == 5
    assert cost(mock) <= Decimal("0.03")
    assert partial(llmx.cwd)  # the rest of the cap was of use
    assert ended.err.splitlines()[-1].startswith("resume: llmx extract rows.jsonl")


def test_a_cap_holds_over_a_kill_without_one(llmx: Llmx, provider: Callable[..., Mock]) -> None:
    """A session without a cap notes what is in flight, too: a cap that is given later counts it."""
    mock = provider(MockSettings(latency=Latency(1, 1)))
    configured(llmx, mock)
    command = (*RUN, "-m", "priced", "-c", "60", "--cache", "off", "--rpm", "60000")
    running, _, _ = llmx.piped(*command)
    wait_for(lambda: mock.calls >= 40)
    running.signal(signal.SIGKILL)
    running.wait()
    wait_for(lambda: mock.server.stats()["in_flight"] == 0)
    billed = tokens(mock)
    ended = llmx(*command, "--max-tokens", str(billed + 3_000))
    assert ended.code == 5
    assert tokens(mock) <= billed + 3_000
    assert "for calls that were not answered, and the next call may take" in ended.err


def test_a_named_budget_is_shared_by_runs_at_once(llmx: Llmx, provider: Callable[..., Mock]) -> None:
    """Two processes together spend no more than one might; `llmx budget` says what is left."""
    mock = provider(SLOW)
    configured(llmx, mock)
    shared = ("-m", "priced", "--budget", "labelling", "--cache", "off")
    first, _, _ = llmx.piped(*RUN, *shared)
    second = llmx(*RUN[:5], "other.jsonl", *RUN[6:], *shared)
    assert {first.wait(), second.code} == {5}
    assert 7_000 < tokens(mock) <= 9_000
    (state,) = json.loads(llmx("budget", "--json").out)
    assert "labelling" in state.values()
    shown = llmx("budget").out
    assert "labelling" in shown
    assert f"{tokens(mock):,} of 9,000" in shown


def test_a_budget_that_is_not_in_the_config_file_is_an_error(llmx: Llmx, mock: Mock) -> None:
    """Exit code 2 before any call, and how to write one."""
    configured(llmx, mock)
    ended = llmx(*RUN, "-m", "priced", "--budget", "labeling")
    assert ended.code == 2
    assert "no budget 'labeling'" in ended.err
    assert "hint:" in ended.err
    assert mock.calls == 0


def test_how_to_write_a_budget_is_toml(llmx: Llmx, mock: Mock) -> None:
    """Whatever the name."""
    configured(llmx, mock)
    for name, key in {"my-own": "my-own", "über": "über", "a.b": "a.b", "😀": "😀", 'a"\nb': 'a"\nb'}.items():
        (hint,) = llmx(*RUN, "-m", "priced", "--budget", name).err.splitlines()[1:]
        table = tomllib.loads(hint[hint.index("[") : hint.index("]") + 1])
        assert list(table["budget"]) == [key]


def test_a_cap_of_a_run_that_keeps_nothing(llmx: Llmx, mock: Mock) -> None:
    """It cannot count what earlier ones have spent, and says so."""
    configured(llmx, mock, rows=2)
    ended = llmx(*RUN, "-m", "priced", "--max-tokens", "90000", "--no-store")
    assert ended.code == 0
    assert "note: nothing is kept (--no-store): the cap is for this run alone" in ended.err


def test_models_are_asked_in_their_order(llmx: Llmx, provider: Callable[..., Mock]) -> None:
    """Two -m: the second one answers when the first is of no use, and the first is named in a warning."""
    good, bad = provider(MockSettings()), provider(MockSettings(keys=("sk-another",)))
    write_rows(llmx.cwd / "rows.jsonl", some_rows(10))
    keys = {"OPENAI_API_KEY": "sk-mine", "ANTHROPIC_API_KEY": "sk-mine"}
    addresses = {"OPENAI_BASE_URL": f"{bad.url}/v1", "ANTHROPIC_BASE_URL": good.url}
    ended = llmx(*RUN, "-m", "openai/gpt-5-mini", "-m", "anthropic/claude-haiku-4-5", **keys, **addresses)
    assert (ended.code, good.calls) == (0, 10)
    assert bad.calls <= 3
    assert "warning: openai/gpt-5-mini is asked no more, the others go on" in ended.err
    shown = llmx("runs", "show", "out.jsonl").out
    assert "openai/gpt-5-mini → anthropic/claude-haiku-4-5" in shown


def test_models_come_from_variable_and_config(llmx: Llmx, mock: Mock) -> None:
    """`LLMX_MODEL` takes several apart by commas, the config file a list; a flag wins over both."""
    configured(llmx, mock, rows=2)
    named = llmx(*RUN, "--cache", "off", LLMX_MODEL="priced, openai/other", OPENAI_API_KEY="sk-x")
    assert named.code == 0
    config = llmx.cwd / "llmx.toml"
    config.write_text('model = ["priced", "local"]\n' + config.read_text())
    assert llmx(*RUN, "--fresh").code == 0
    assert llmx(*RUN, "--fresh", "-m", "nobody/nothing").code == 2


def summary_of(llmx: Llmx) -> dict[str, Any]:
    """What `--summary` wrote."""
    return json.loads(Path(llmx.cwd, "summary.json").read_text())  # type: ignore[no-any-return]


def test_the_summary_says_what_was_used(llmx: Llmx, provider: Callable[..., Mock]) -> None:
    """Per endpoint: calls, limits and whose they are; and what happened on the way."""
    mock = provider(MockSettings(rpm=6000, fail_first=1))
    configured(llmx, mock, rows=20)
    llmx(*RUN, "-m", "priced", "--tpm", "1000000", "--summary", "summary.json")
    endpoint = summary_of(llmx)["endpoints"]["priced"]
    assert endpoint["calls"] == 21
    assert endpoint["limits"]["rpm"]["source"] == "headers"
    assert endpoint["limits"]["tpm"]["source"] == "told"
    assert {"fallbacks", "circuit_openings", "hedges", "pauses"} <= summary_of(llmx).keys()


def test_a_misspelt_endpoint_is_named(llmx: Llmx, mock: Mock) -> None:
    """A bare word that is nearly an endpoint of the config file is an error with that name."""
    configured(llmx, mock)
    ended = llmx(*RUN, "-m", "pricd")
    assert ended.code == 2
    assert "did you mean 'priced'?" in ended.err


def test_one_address_is_not_for_two_providers(llmx: Llmx, mock: Mock) -> None:
    """No provider's key is sent to an address that was given for another one."""
    configured(llmx, mock)
    keys = {"OPENAI_API_KEY": "sk-o", "ANTHROPIC_API_KEY": "sk-a"}
    ended = llmx(*RUN, "-m", "openai/x", "-m", "anthropic/y", "--base-url", f"{mock.url}/v1", **keys)
    assert (ended.code, mock.calls) == (2, 0)
    assert "--base-url is for one provider, and -m names openai and anthropic" in ended.err


def test_one_address_is_not_for_a_table_of_another_provider(
    llmx: Llmx, provider: Callable[..., Mock]
) -> None:
    """A table without an address would be given that of the run, and its key with it."""
    mock = provider(MockSettings())
    configured(llmx, mock, rows=3)
    with (llmx.cwd / "llmx.toml").open("a") as config:
        config.write('\n[endpoint.claude]\nmodel = "anthropic/claude-haiku-4-5"\n')
    keys = {"OPENAI_API_KEY": "sk-o", "ANTHROPIC_API_KEY": "sk-a"}
    ended = llmx(*RUN, "-m", "openai/x", "-m", "claude", "--base-url", f"{mock.url}/v1", **keys)
    assert (ended.code, mock.calls) == (2, 0)
    assert "--base-url is for one provider, and -m names openai and anthropic" in ended.err
    one_has_its_own = llmx(*RUN, "-m", "anthropic/x", "-m", "priced", "--base-url", mock.url, **keys)
    assert one_has_its_own.code == 0
