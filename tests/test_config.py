"""Config files: which are read, which wins, what is wrong with them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmx.config import load_config, project_file, user_file
from llmx.environment import Environment
from llmx.errors import UsageError

OPTIONS = ["model", "rpm", "max-failures", "timeout"]


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
    names = ["schema", "prompt", "model", "examples", "output", "rpm"]
    expected = value.replace("{above}", str(above)) if isinstance(value, str) else value
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
        ("[rpm]\nvalue = 3", "'rpm' is a table", "options stand at the top level, as in: rpm = 500"),
    ],
    ids=["misspelt", "like nothing", "table"],
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
