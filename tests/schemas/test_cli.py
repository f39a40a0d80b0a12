"""`llmx schema list|show|check`: exact output, and exit codes by way of UsageError."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llmx.cli.schema import schema
from llmx.errors import UsageError

MODEL = """
from typing import Any
from pydantic import BaseModel, Field

class Row(BaseModel):
    n: int = Field(ge=0)
    anything: dict[str, Any]
"""


def run(*arguments: str) -> Any:
    """One command; what it raises comes through."""
    result = CliRunner().invoke(schema, arguments)
    if isinstance(result.exception, UsageError):
        raise result.exception
    return result


def test_list_is_tab_separated_in_a_pipe() -> None:
    """One line for each: name, tab, what it is."""
    lines = [line.split("\t") for line in run("list").stdout.splitlines()]
    assert lines[5] == ["sentiment", "Whether a text is positive, negative or neutral."]
    assert all(len(line) == 2 for line in lines)


def test_show_prints_json_on_stdout_and_headings_on_stderr() -> None:
    """So that it can be piped into jq."""
    result = run("show", "ok bool", "--provider", "openai")
    assert result.stderr == "openai: openai-strict\n"
    assert json.loads(result.stdout) == {
        "type": "object",
        "additionalProperties": False,
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
    }


def test_show_names_every_provider() -> None:
    """In the better dialect that takes the schema."""
    assert (
        run("show", "ok bool").stderr == "openai: openai-strict\nanthropic: anthropic-native\nlocal: local\n"
    )


def test_check_says_what_becomes_of_each_place(tmp_path: Path) -> None:
    """What is refused and weakened is named, what is rewritten is counted."""
    (tmp_path / "schema.py").write_text(MODEL)
    free = "a dictionary may have any keys (use a list of objects with a name and a value)"
    expected = f"""\
Row: n, anything
  warning R12  the whole: no description: n, anything (say what each means, in a sentence as for a new colleague)
  warning R02  n: the name says nothing (name what it holds: invoice_total rather than value)
  warning R13  anything: a dictionary with free keys: which ones the model chooses differs from row to row \
(name the keys, or use a list of objects with a name and a value)
openai-strict: refused
  refused  anything: {free}
openai-tools: ok, told, not enforced
anthropic-native: refused
  weakened  n: minimum 0 is told to the model, not enforced
  refused  anything: {free}
anthropic-tools: ok, told, not enforced
local: ok
"""
    assert expected == run("check", str(tmp_path / "schema.py")).stdout


def test_check_counts_what_is_rewritten() -> None:
    """An optional field is no reason for a line."""
    assert (
        run("check", "a?, b?", "--provider", "openai", "--ignore", "R02").stdout.splitlines()[2]
        == "openai-strict: ok, 2 rewritten"
    )


def test_check_fails_when_a_provider_takes_it_in_no_way(tmp_path: Path) -> None:
    """Exit 2 by UsageError."""
    (tmp_path / "schema.py").write_text(MODEL.replace("anything:", "größe:"))
    with pytest.raises(UsageError, match="the schema is refused by anthropic"):
        run("check", str(tmp_path / "schema.py"), "--provider", "anthropic")
    with pytest.raises(UsageError, match="the schema is refused by anthropic"):
        run("show", str(tmp_path / "schema.py"), "--provider", "anthropic")
    assert run("check", str(tmp_path / "schema.py")).exit_code == 0


GOOD = """
from pydantic import BaseModel, Field

class Part(BaseModel):
    colour: str = Field(description="the colour of the part")

class Thing(BaseModel):
    parts: list[Part] = Field(description="all parts, in order")

class Tone(BaseModel):
    data: str = Field(description="tone")  # a vague name
"""


def test_a_file_without_a_model_is_checked_whole(tmp_path: Path) -> None:
    """Every model that is no part of another, each under its own name; and several files at once."""
    (tmp_path / "a.py").write_text(GOOD)
    (tmp_path / "empty.py").write_text("X = 1\n")
    result = run("check", str(tmp_path / "a.py"), str(tmp_path / "empty.py"), "--provider", "openai")
    heads = [line for line in result.stdout.splitlines() if line.startswith("/")]
    assert heads == [f"{tmp_path}/a.py:Thing: parts", f"{tmp_path}/a.py:Tone: data"]
    assert result.stderr == f"{tmp_path}/empty.py: no Pydantic model with fields\n"


def test_strict_fails_for_warnings_that_are_not_ignored(tmp_path: Path) -> None:
    """By code, by name, or by a comment on the line."""
    (tmp_path / "a.py").write_text(GOOD)
    with pytest.raises(UsageError, match="1 warning, and --strict is on"):
        run("check", str(tmp_path / "a.py"), "--strict")
    assert run("check", str(tmp_path / "a.py"), "--strict", "--ignore", "R02").exit_code == 0
    assert run("check", str(tmp_path / "a.py"), "--strict", "--ignore", "vague-name").exit_code == 0
    (tmp_path / "a.py").write_text(GOOD.replace("# a vague name", "# llmx: ignore[R02]"))
    assert run("check", str(tmp_path / "a.py"), "--strict").exit_code == 0
    with pytest.raises(UsageError, match="there is no rule 'R99'"):
        run("check", str(tmp_path / "a.py"), "--ignore", "R99")


def test_one_broken_file_does_not_hide_the_others(tmp_path: Path) -> None:
    """They are checked, it is named, and the exit code is 2."""
    (tmp_path / "a.py").write_text(GOOD)
    (tmp_path / "b.py").write_text("import nothing_of_that_name")
    result = CliRunner().invoke(schema, ["check", str(tmp_path / "b.py"), str(tmp_path / "a.py")])
    assert str(result.exception) == "1 schema could not be read"
    assert "a.py:Thing: parts" in result.stdout
    assert "nothing_of_that_name" in result.stderr


def test_check_as_json(tmp_path: Path) -> None:
    """What is printed, as data."""
    (tmp_path / "a.py").write_text(GOOD)
    found = json.loads(run("check", str(tmp_path / "a.py"), "--json").stdout)["schemas"]
    assert [one["name"] for one in found] == ["Thing", "Tone"]
    (advice,) = found[1]["advice"]
    assert (advice["code"], advice["rule"], advice["severity"]) == ("R02", "vague-name", "warning")
    assert advice["path"] == "data"
    assert found[0]["dialects"]["openai-strict"] == {"verdict": "ok", "findings": []}


def test_rules_are_listed_with_their_evidence() -> None:
    """For people and as data."""
    text, data = run("rules").stdout, json.loads(run("rules", "--json").stdout)
    assert text.startswith("R01 reasoning-after-answer (warning): ")
    assert [rule["code"] for rule in data] == [f"R{n:02}" for n in range(1, len(data) + 1)]
    assert all(one["url"] in text for rule in data for one in rule["evidence"])


def test_the_face_is_cheap_to_import() -> None:
    """`llmx --help` pays for typer only."""
    heavy = "{'pydantic', 'jsonschema', 'rich', 'openai', 'anthropic', 'instructor'}"
    code = f"import sys, llmx.cli.schema; sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_jsonschema_is_loaded_for_json_schemas_only() -> None:
    """A Pydantic schema pays for pydantic alone."""
    code = (
        "import sys, pathlib, llmx.schemas as s; w = s.load_schema('invoice', cwd=pathlib.Path()); "
        "[s.wire_schema(w, d) for d in s.DIALECTS]; "
        "sys.exit(bool({'jsonschema', 'openai', 'anthropic', 'instructor'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_check_of_several_says_which_are_unusable(tmp_path: Path) -> None:
    """All are looked at, the usable ones are shown, and the command fails for the others."""
    (tmp_path / "good.json").write_text('{"type": "object", "properties": {"a": {"type": "string"}}}')
    (tmp_path / "bad.json").write_text('{"type": "objec"}')
    good, bad = str(tmp_path / "good.json"), str(tmp_path / "bad.json")
    result = CliRunner().invoke(schema, ["check", bad, good, "none.json"])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "2 schemas could not be read"
    assert [name in result.stderr for name in (bad, "none.json", good)] == [True, True, False]
    assert ": a" in result.stdout
    assert run("check", good, good).exit_code == 0
