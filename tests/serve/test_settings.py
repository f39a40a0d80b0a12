"""The service's settings: table, variables, options, in this order of rank; and secrets in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.serve.settings import ServeSettings, serve_settings


def env_in(folder: Path, table: str = "", **variables: str) -> Environment:
    (folder / "llmx.toml").write_text(table)
    return Environment(variables={"XDG_CONFIG_HOME": str(folder / "config"), **variables}, cwd=folder)


def test_what_is_said_nearer_by_wins(tmp_path: Path) -> None:
    """Option, variable, file."""
    env = env_in(
        tmp_path, "[serve]\nport = 1\nhost = 'a'\nshards = 7\n", LLMX_SERVE_PORT="2", LLMX_SERVE_HOST="b"
    )
    found = serve_settings({"port": "3", "host": None}, env)
    assert (found.port, found.host, found.shards) == (3, "b", 7)


def test_sizes_times_and_lists_have_units(tmp_path: Path) -> None:
    """As people write them, in the file and in variables."""
    table = "[serve]\nmax-body = '2MB'\nkeep = '7d'\nwebhook-hosts = ['a.example', '*.b.example']\n"
    found = serve_settings({}, env_in(tmp_path, table, LLMX_SERVE_EXTRACT_TIMEOUT="5s"))
    assert (found.max_body, found.keep, found.extract_timeout) == (2_000_000, 604_800.0, 5.0)
    assert found.webhook_hosts == ["a.example", "*.b.example"]
    assert serve_settings({}, env_in(tmp_path, LLMX_SERVE_WEBHOOK_HOSTS="a, b")).webhook_hosts == ["a", "b"]
    assert serve_settings({}, env_in(tmp_path, LLMX_SERVE_WEBHOOK_PRIVATE="true")).webhook_private


def test_paths_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """Wherever the service is started below it."""
    env = env_in(tmp_path, "[serve]\ndata = 'd'\n[serve.schemas]\np = 's.json'\nq = 'name, age int'\n")
    (tmp_path / "s.json").write_text("{}")
    below = tmp_path / "below"
    below.mkdir()
    found = serve_settings({}, Environment(variables=env.variables, cwd=below))
    assert (found.data, found.key_file) == (tmp_path / "d", tmp_path / "d" / "keys.json")
    assert found.schemas == {"p": str(tmp_path / "s.json"), "q": "name, age int"}


WRONG = {
    "prot = 1": "did you mean 'port'",
    "port = 70000": "port",
    "shard-rows = 60000": "shard-rows",
    "max-body = 'big'": "no size",
    "queue = 'amqp://user:secret@host'": "redis://",
    "schemas = 1": "schemas",
    "[serve.schemas]\n'../x' = 'contact'": "no name",
}


@pytest.mark.parametrize("table", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, table: str) -> None:
    """In one line, with no secret in it."""
    text = table if table.startswith("[") else f"[serve]\n{table}\n"
    with pytest.raises(UsageError) as caught:
        serve_settings({}, env_in(tmp_path, text))
    said = f"{caught.value} {caught.value.hint}"
    assert WRONG[table] in said
    assert "\n" not in said
    assert "secret" not in said


def test_a_variable_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    """A lost limit must not go unnoticed."""
    with pytest.raises(UsageError, match="LLMX_SERVE_MAX_BODI") as caught:
        serve_settings({}, env_in(tmp_path, LLMX_SERVE_MAX_BODI="1"))
    assert "LLMX_SERVE_MAX_BODY" in caught.value.hint


def test_a_queue_is_not_shown(tmp_path: Path) -> None:
    """Its address may hold a password."""
    found = serve_settings({}, env_in(tmp_path, LLMX_QUEUE="redis://:hunter2@host/0"))
    assert found.queue == "redis://:hunter2@host/0"
    assert "hunter2" not in repr(found)


def test_the_table_is_no_concern_of_a_run(tmp_path: Path) -> None:
    """`llmx extract` reads the same file."""
    from llmx.config import load_config

    assert load_config(env_in(tmp_path, "rpm = 5\n[serve]\nport = 1\n"), {"rpm"}) == {"rpm": 5}


def test_the_queue_may_lie_in_a_file(tmp_path: Path) -> None:
    """Its address may hold a password; the variable itself wins."""
    (tmp_path / "queue").write_text("redis://:hunter2@127.0.0.1/0\n")
    named = {"LLMX_QUEUE_FILE": str(tmp_path / "queue")}
    assert serve_settings({}, env_in(tmp_path, "", **named)).queue == "redis://:hunter2@127.0.0.1/0"
    both = {**named, "LLMX_QUEUE": "redis://127.0.0.1/1"}
    assert serve_settings({}, env_in(tmp_path, "", **both)).queue == "redis://127.0.0.1/1"
    with pytest.raises(UsageError, match="LLMX_QUEUE_FILE"):
        serve_settings({}, env_in(tmp_path, "", LLMX_QUEUE_FILE=str(tmp_path / "none")))


def test_defaults_are_those_that_are_documented() -> None:
    """docs/serve.md has every key with its default."""
    text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    names = [name.replace("_", "-") for name in ServeSettings.model_fields]
    assert [name for name in names if f"`{name}`" not in text] == []
