"""What a shell is offered, out of the table that is made from the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from llmx.cli.complete import TABLE, answered, candidates


def asked(shell: str, line: str, **more: str) -> dict[str, str]:
    """The variables by which a shell asks about a line that is being typed."""
    words = line.split(" ")
    by_word = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return {"_LLMX_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line, **by_word, **more}


def offered(line: str, shell: str = "bash") -> list[str]:
    return (answered(asked(shell, line)) or "").split("\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("llmx ex", ["extract"]),
        ("llmx runs ", ["list", "show", "errors", "clean"]),
        ("llmx cache st", ["stats"]),
        ("llmx extract --mod", ["--model", "--mode"]),
        ("llmx extract rows.jsonl --mode ", ["auto", "json_schema", "tools", "json"]),
        ("llmx extract --mode t", ["tools"]),
        ("llmx extract --mode=t", ["tools"]),
        ("llmx extract -m extract --transport s", ["sdk"]),
        ("llmx extract --schema ", [""]),
        ("llmx extract rows", [""]),
        ("llmx nonsense --ver", ["--version"]),
        ("llmx extract 'an open quote --mod", [""]),
        ("llmx", [""]),
    ],
)
def test_what_a_word_may_become(line: str, expected: list[str]) -> None:
    """Commands, options, an option's values; nothing where the shell's own files are wanted."""
    assert expected == offered(line)


def test_the_form_of_each_shell() -> None:
    """Bash takes words; zsh and fish show what they mean; zsh is told when there are files to offer."""
    path = json.loads(TABLE.read_text())["commands"]["cache"]["commands"]["path"]["help"]
    assert offered("llmx cache pa") == ["path"]
    assert offered("llmx cache pa", "fish") == [f"path\t{path}"]
    assert offered("llmx cache pa", "zsh") == [f'_arguments \'*: :(("path":"{path}"))\'']
    assert offered("llmx cache path rows", "zsh") == ["_files"]


@pytest.mark.parametrize(("line", "code"), [("llmx ex", 0), ("llmx extract rows", 1)])
def test_fish_asks_whether_there_is_more_than_files(line: str, code: int) -> None:
    """It is told by an exit code."""
    with pytest.raises(SystemExit) as ended:
        answered(asked("fish", line, _TYPER_COMPLETE_FISH_ACTION="is-args"))
    assert ended.value.code == code


def test_what_another_shell_asks_is_for_typer() -> None:
    """As is the script that a shell sources."""
    for instruction in ("complete_pwsh", "source_bash", ""):
        assert answered({"_LLMX_COMPLETE": instruction}) is None


LINES = ["llmx ", "llmx ca", "llmx runs ", "llmx extract --cache ", "llmx extract x --order d"]
CASES = [(shell, line) for shell in ("bash", "zsh", "fish") for line in LINES]


@pytest.mark.parametrize(
    ("shell", "line"), [*CASES, ("bash", "llmx extract --"), ("bash", "llmx runs show -")]
)
def test_it_is_what_typer_would_say(shell: str, line: str) -> None:
    """Word for word; but for `--help`, which everybody knows. (typer breaks the lines of longer meanings.)"""
    typer = (
        "import sys, typer; from llmx.cli.app import build_app; "
        "typer.main.get_command(build_app()).main(prog_name='llmx')"
    )
    variables = asked(shell, line, _TYPER_COMPLETE_FISH_ACTION="get-args")
    done = subprocess.run(
        [sys.executable, "-c", typer], env={**os.environ, **variables}, capture_output=True, text=True
    )
    ours = answered(asked(shell, line, _TYPER_COMPLETE_FISH_ACTION="get-args"))
    assert words(ours or "") == words(done.stdout)


def words(said: str) -> list[str]:
    """The words that a shell would offer, without their meanings."""
    found = [row.split('":"')[0].split("\t")[0].strip("\"'()") for row in said.strip().split("\n")]
    return sorted(row.rpartition('(("')[2] for row in found if row != "-h" and "--help" not in row)


def test_a_table_without_a_command() -> None:
    """Words of which nobody knows are passed over."""
    table: dict[str, Any] = {"help": "", "options": {"--a": "b"}, "values": {}, "commands": {}}
    assert candidates(table, ["x", "y"], "-") == [("--a", "b")]
