"""Config files: which are read, which wins, what is wrong with them."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from llmx.budgets import Daily
from llmx.config import anchored, load_budgets, load_config, load_tables, project_file, user_file
from llmx.environment import Environment
from llmx.errors import UsageError

OPTIONS = ["model", "rpm", "max-failures", "timeout"]

WRITE_A_BUDGET = "write [budget.NAME], and give --budget NAME"


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """A project folder below a home with a config folder; neither has a file yet."""
    (tmp_path / "project" / "deep").mkdir(parents=True)
    (tmp_path / "config" / "llmx").mkdir(parents=True)
    return Environment(
        stdin=io.BytesIO(),
        stdout=io.BytesIO(),
        stderr=io.StringIO(),
        variables={"XDG_CONFIG_HOME": str(tmp_path / "config")},
        cwd=tmp_path / "project",
    )


def user(env: Environment, text: str) -> Path:
    path = user_file(env)
    path.write_text(text, encoding="utf-8")
    return path


def project(env: Environment, text: str, name: str = "llmx.toml") -> Path:
    path = env.cwd / name
    path.write_text(text, encoding="utf-8")
    return path


def test_no_files_no_values(env: Environment):
    """Without config files nothing is set."""
    assert load_config(env, OPTIONS) == {}


def test_keys_are_options_with_dashes(env: Environment):
    """A key is the long option without its dashes; the values come with underscores, as Settings wants them."""
    project(env, 'model = "openai/x"\nmax-failures = "5%"\nrpm = 60\n')
    assert load_config(env, OPTIONS) == {"model": "openai/x", "max_failures": "5%", "rpm": 60}


def test_the_project_wins_over_the_user(env: Environment):
    """Key by key: what the project does not say is the user's."""
    user(env, 'model = "user"\nrpm = 1\nmax-failures = 1\n')
    project(env, 'model = "project"\nmax-failures = 2\n')
    assert load_config(env, OPTIONS) == {"model": "project", "rpm": 1, "max_failures": 2}


def test_a_projects_cascade_stands_in_the_place_of_the_users_model(env: Environment):
    """And its model in the place of the user's cascade."""
    user(env, 'model = "user"\nrpm = 1\n')
    project(env, 'cascade = "cheap,strong"\n')
    names = [*OPTIONS, "cascade"]
    assert load_config(env, names) == {"cascade": "cheap,strong", "rpm": 1}
    user(env, 'cascade = "cheap,strong"\n')
    project(env, 'model = "project"\n')
    assert load_config(env, names) == {"model": "project"}


def test_pyproject_has_a_table(env: Environment):
    """`[tool.llmx]` in pyproject.toml is a project file; the rest of it is not ours."""
    project(env, '[project]\nname = "x"\n[tool.llmx]\nrpm = 5\n[tool.other]\nrpm = 6\n', "pyproject.toml")
    assert load_config(env, OPTIONS) == {"rpm": 5}


@pytest.mark.parametrize(
    "text", ["[project]\n", "[tool.other]\nx = 1\n", "tool = 3\n", "[tool]\nllmx = 3\n", ""]
)
def test_a_pyproject_without_our_table_is_passed_over(env: Environment, text: str):
    """The search goes on above it."""
    above = env.cwd.parent / "llmx.toml"
    above.write_text("rpm = 7\n")
    project(env, text, "pyproject.toml")
    assert load_config(env, OPTIONS) == {"rpm": 7}
    assert project_file(env.cwd) == above


def test_llmx_toml_goes_before_pyproject(env: Environment):
    """In one folder the file of our own name counts."""
    own = project(env, "rpm = 1\n")
    project(env, "[tool.llmx]\nrpm = 2\n", "pyproject.toml")
    assert project_file(env.cwd) == own
    assert load_config(env, OPTIONS) == {"rpm": 1}


def test_the_nearest_folder_counts(env: Environment):
    """From a folder below, the project's file is found; files of two folders are not merged."""
    own = project(env, "rpm = 1\n")
    (env.cwd.parent / "llmx.toml").write_text('model = "above"\n')
    assert project_file(env.cwd / "deep") == own
    assert load_config(env, OPTIONS) == {"rpm": 1}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('schema = "s.py:Row"', "schema", "{above}/s.py:Row"),
        ('schema = "s.json"', "schema", "{above}/s.json"),
        ('schema = "absent.json"', "schema", "absent.json"),
        ('schema = "sentiment"', "schema", "sentiment"),
        ('schema = "name str, age int"', "schema", "name str, age int"),
        (f'schema = "{"a, " * 200}b"', "schema", "a, " * 200 + "b"),
        ('prompt = "@p.txt"', "prompt", "@{above}/p.txt"),
        ('prompt = "Read {{ text }}"', "prompt", "Read {{ text }}"),
        ('model = "local/m.gguf"', "model", "local/{above}/m.gguf"),
        ('model = "local//m.gguf"', "model", "local//m.gguf"),
        ('model = "local/~/m.gguf"', "model", "local/~/m.gguf"),
        ('model = "openai/x"', "model", "openai/x"),
        ('model = ["local/m.gguf", "fast"]', "model", ["local/{above}/m.gguf", "fast"]),
        ('cascade = "local/m.gguf, fast"', "cascade", "local/{above}/m.gguf,fast"),
        ('cascade = ["local/m.gguf", "fast"]', "cascade", ["local/{above}/m.gguf", "fast"]),
        ('review = "look.jsonl"', "review", "{above}/look.jsonl"),
        ('calibration = "c.json"', "calibration", "{above}/c.json"),
        ('examples = "e.jsonl"', "examples", "{above}/e.jsonl"),
        ('output = "-"', "output", "-"),
        ('output = "/tmp/out.jsonl"', "output", "/tmp/out.jsonl"),
        ("rpm = 5", "rpm", 5),
    ],
)
def test_paths_are_relative_to_the_file_they_stand_in(env: Environment, text: str, name: str, value: Any):
    """A project's file works from the folders below it too."""
    above = env.cwd
    for there in ("s.py", "s.json", "sentiment"):
        (above / there).touch()
    project(env, text)
    names = [
        "schema",
        "prompt",
        "model",
        "cascade",
        "review",
        "calibration",
        "examples",
        "output",
        "rpm",
    ]
    expected = json.loads(json.dumps(value).replace("{above}", str(above)))
    assert load_config(replace(env, cwd=above / "deep"), names) == {name: expected}


def test_paths_beside_the_command_stay_as_they_are(env: Environment):
    """Messages are easier to read that way."""
    (env.cwd / "s.json").touch()
    project(env, 'schema = "s.json"')
    assert load_config(env, ["schema"]) == {"schema": "s.json"}


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("max-failure = 3", "unknown key 'max-failure'", "did you mean 'max-failures'?"),
        ("zzzz = 3", "unknown key 'zzzz'", "llmx extract --help lists the options"),
        ("endpoints = 3", "unknown key 'endpoints'", "did you mean 'endpoint'?"),
        (
            "[rpm]\nvalue = 3",
            "'rpm' is a table",
            "options stand at the top level, as in: rpm = 500; tables are [endpoint.NAME], [budget.NAME] and [serve]",
        ),
    ],
    ids=["misspelt", "like nothing", "no table", "table"],
)
def test_what_is_no_option(text: str, problem: str, hint: str, env: Environment):
    """The file, the key, and what was probably meant."""
    path = project(env, f"{text}\n")
    with pytest.raises(UsageError) as caught:
        load_config(env, OPTIONS)
    assert str(caught.value) == f"{path}: {problem}"
    assert caught.value.hint == hint


def test_an_underscore_is_not_a_dash(env: Environment):
    """One spelling per option, and the hint names it."""
    user(env, "max_failures = 3\n")
    with pytest.raises(UsageError, match="unknown key 'max_failures'") as caught:
        load_config(env, OPTIONS)
    assert caught.value.hint == "did you mean 'max-failures'?"


def test_broken_toml(env: Environment):
    """The file, the line and the column."""
    path = project(env, 'rpm = 1\nmodel = "x\n')
    with pytest.raises(UsageError) as caught:
        load_config(env, OPTIONS)
    assert str(caught.value) == f"{path}: not valid TOML: Illegal character '\\n' (at line 2, column 11)"


def test_a_file_that_is_not_utf_8(env: Environment):
    """TOML is UTF-8 by definition."""
    path = project(env, "")
    path.write_bytes(b'model = "\xe4"\n')
    with pytest.raises(UsageError, match="not valid TOML: 'utf-8' codec can't decode"):
        load_config(env, OPTIONS)


def test_an_unreadable_file(env: Environment, monkeypatch: pytest.MonkeyPatch):
    """A file that may not be read is said to be so."""
    path = project(env, "rpm = 1\n")

    def refuse(self: Path, **_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UsageError) as caught:
        load_config(env, OPTIONS)
    assert str(caught.value) == f"cannot read {path}: Permission denied"


def test_the_user_file_follows_xdg(env: Environment, tmp_path: Path):
    """`$XDG_CONFIG_HOME/llmx/config.toml` where that is set."""
    assert user_file(env) == tmp_path / "config" / "llmx" / "config.toml"


def test_the_user_file_without_xdg(tmp_path: Path):
    """Else the platform's folder."""
    env = Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), {}, tmp_path)
    assert user_file(env).parts[-2:] == ("llmx", "config.toml")


# What the tables give names to

ENDPOINT = """
[endpoint.fast]
model = "openai/m"
base-url = "https://fast.example/v1"
key-name = "FAST_KEY"
mode = "tools"
rpm = 600
tpm = 90_000
concurrency = 8
input-price = 0.1
output-price = "0.40"
"""


def refused(env: Environment) -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        load_tables(env)
    return str(caught.value), caught.value.hint


def test_tables_are_no_options(env: Environment):
    """They stand beside them, and neither reads the other's."""
    project(env, f"rpm = 5\n{ENDPOINT}[budget.team]\ndaily-cost = 5\n")
    assert load_config(env, OPTIONS) == {"rpm": 5}
    tables = load_tables(env)
    assert (list(tables.endpoints), list(tables.budgets)) == (["fast"], ["team"])


def test_no_tables(env: Environment):
    """Nothing has a name."""
    project(env, "rpm = 5\n")
    tables = load_tables(env)
    assert (tables.endpoints, tables.budgets) == ({}, {})


def test_a_named_endpoint(env: Environment):
    """Keys have dashes; prices are exact however they are written."""
    project(env, ENDPOINT)
    fast = load_tables(env).endpoints["fast"]
    assert (fast.model, fast.base_url, fast.key_name) == ("openai/m", "https://fast.example/v1", "FAST_KEY")
    assert (fast.mode, fast.rpm, fast.tpm, fast.concurrency) == ("tools", 600, 90_000, 8)
    assert (fast.input_price, fast.output_price) == (Decimal("0.1"), Decimal("0.40"))


def test_an_endpoint_is_a_model_at_least(env: Environment):
    """All else is the run's."""
    project(env, '[endpoint."a, b"]\nmodel = "local"\n')
    table = load_tables(env).endpoints["a, b"]
    assert table.model_dump(exclude_none=True) == {"model": "local"}


def test_tables_in_pyproject(env: Environment):
    """Below ours; what others have of the same name is not read."""
    mine = '[tool.llmx.endpoint.fast]\nmodel = "openai/m"\n'
    project(env, f'{mine}[endpoint.slow]\nmodel = "x"\n[tool.other.endpoint.x]\n', "pyproject.toml")
    assert list(load_tables(env).endpoints) == ["fast"]


def test_the_projects_tables_win(env: Environment):
    """Table by table, not key by key: the key of one server never goes to the address of another."""
    user(env, '[endpoint.a]\nmodel = "user/a"\nkey-name = "THEIRS"\n[endpoint.b]\nmodel = "user/b"\n')
    project(env, '[endpoint.a]\nmodel = "project/a"\n[budget.team]\ndaily-tokens = 5\n')
    tables = load_tables(env)
    assert {name: table.model for name, table in tables.endpoints.items()} == {
        "a": "project/a",
        "b": "user/b",
    }
    assert tables.endpoints["a"].key_name is None
    assert tables.budgets["team"].daily_tokens == 5


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("local/m.gguf", "local/{above}/m.gguf"),
        ("local//m.gguf", "local//m.gguf"),
        ("local/~/m.gguf", "local/~/m.gguf"),
        ("openai/m", "openai/m"),
    ],
)
def test_a_local_model_is_beside_the_file_that_names_it(env: Environment, model: str, expected: str):
    """A relative path leads on from there, not from the folder of the command; all else stays as it is."""
    above = env.cwd
    project(env, f'[endpoint.own]\nmodel = "{model}"\nrpm = 6\n')
    assert load_tables(env).endpoints["own"].model == model
    below = load_tables(replace(env, cwd=above / "deep")).endpoints["own"]
    assert (below.model, below.rpm) == (expected.replace("{above}", str(above)), 6)


def test_a_local_model_in_the_options_of_a_run():
    """A retry elsewhere finds it where the run did; nothing else of a table is a path."""
    tables = {"own": {"model": "local/m.gguf", "key-name": "K"}, "other": {"model": "openai/m"}, "odd": 3}
    assert anchored("endpoints", tables, Path("/run")) == {
        "own": {"model": "local//run/m.gguf", "key-name": "K"},
        "other": {"model": "openai/m"},
        "odd": 3,
    }


def test_a_local_model_of_the_user(env: Environment):
    """The user's file is nobody's current folder."""
    path = user(env, '[endpoint.own]\nmodel = "local/m.gguf"\n')
    assert load_tables(env).endpoints["own"].model == f"local/{path.parent}/m.gguf"


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        (
            '[endpoint.a]\nmodel = "x"\nbase-ur = "y"',
            "[endpoint.a]: unknown key 'base-ur'",
            "did you mean 'base-url'?",
        ),
        ('[endpoint.a]\nmodl = "x"', "[endpoint.a]: unknown key 'modl'", "did you mean 'model'?"),
        ('[endpoint.a]\nmodel = "x"\nzzz = 1', "[endpoint.a]: unknown key 'zzz'", ""),
        ("[budget.b]\ndaily = 5", "[budget.b]: unknown key 'daily'", "did you mean 'daily-cost'?"),
        ("[endpoint.a]\nrpm = 5", "[endpoint.a]: 'model' is missing", 'model = "openai/…"'),
        (
            '[endpoint.a]\nmodel = ""',
            "[endpoint.a]: model is '': string should have at least 1 character",
            "",
        ),
        (
            '[endpoint.a]\nmodel = "x"\nrpm = 0',
            "[endpoint.a]: rpm is 0: input should be greater than or equal to 1",
            "",
        ),
        (
            '[endpoint.a]\nmodel = "x"\ninput-price = -1',
            "[endpoint.a]: input-price is -1: input should be greater than or equal to 0",
            "",
        ),
        (
            '[endpoint.a]\nmodel = "x"\noutput-price = inf',
            "[endpoint.a]: output-price is inf: input should be a finite number",
            "",
        ),
        (
            '[endpoint.a]\nmodel = "x"\nmode = "tool"',
            "[endpoint.a]: mode is 'tool': input should be 'auto', 'json_schema', 'tools' or 'json'",
            "",
        ),
        (
            '[endpoint.a]\nmodel = "x"\ninput-price = 3',
            "[endpoint.a]: output-price is missing: both are needed, or neither",
            "",
        ),
        (
            '[endpoint.a]\nmodel = "x"\ninput-price = 1e-120\noutput-price = 1',
            "[endpoint.a]: input-price is 1e-120: decimal input should have no more than 12 decimal places",
            "",
        ),
        (
            '[endpoint.a]\nmodel = "x"\ninput-price = 1e15\noutput-price = 1',
            "[endpoint.a]: input-price is 1000000000000000.0: input should be less than or equal to 1000000",
            "",
        ),
        (
            '[endpoint.a]\nmodel = "x"\nkey-name = "sk-secret-1"',
            "[endpoint.a]: key-name is the name of the variable that holds the key: letters, digits and _",
            "",
        ),
        (
            "[budget.b]\ndaily-tokens = true",
            "[budget.b]: daily-tokens is neither true nor false",
            "",
        ),
        (
            "[budget.b]\ndaily-cost = 0",
            "[budget.b]: daily-cost is 0: input should be greater than 0",
            "",
        ),
        ("endpoint = 3", "'endpoint' holds named tables", "write [endpoint.NAME]"),
        ('[endpoint]\nmodel = "x"', "'endpoint' holds named tables", "write [endpoint.NAME]"),
        ("[budget]\ndaily-cost = 5", "'budget' holds named tables", WRITE_A_BUDGET),
        ("budget = [{daily-cost = 5}]", "'budget' holds named tables", WRITE_A_BUDGET),
    ],
)
def test_what_is_wrong_with_a_table(text: str, problem: str, hint: str, env: Environment):
    """The file, the table, the key, and what was probably meant."""
    path = project(env, f"{text}\n")
    assert refused(env) == (f"{path}: {problem}", hint)


def test_named_budgets(env: Environment):
    """In the form of their store, both or either limit."""
    project(env, "[budget.a]\ndaily-cost = 2.5\n[budget.b]\ndaily-cost = 1\ndaily-tokens = 2_000_000\n")
    assert load_budgets(env) == {"a": Daily(Decimal("2.5"), None), "b": Daily(Decimal(1), 2_000_000)}


def test_a_budget_that_limits_nothing(env: Environment):
    """It looks like protection and is none."""
    project(env, "[budget.empty]\n")
    with pytest.raises(UsageError, match=r"^\[budget\.empty\] limits nothing$") as caught:
        load_budgets(env)
    assert caught.value.hint == "daily-cost = 5, daily-tokens = 2_000_000"
