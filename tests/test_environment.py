"""The process's surroundings as one value."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from llmx.environment import Environment, is_file


def with_variables(variables: dict[str, str]) -> Environment:
    return Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), variables, Path("/"))


def test_home_is_what_the_variable_says(tmp_path: Path):
    """`$LLMX_HOME` decides, and nothing is created by asking."""
    home = with_variables({"LLMX_HOME": str(tmp_path / "h")}).home
    assert home == tmp_path / "h"
    assert not home.exists()


def test_a_tilde_is_the_users_folder():
    """`LLMX_HOME=~/x` works where no shell has expanded it."""
    assert with_variables({"LLMX_HOME": "~/x"}).home == Path.home() / "x"


def test_home_is_else_the_platforms_cache_folder():
    """Unset or empty, it is the cache folder for llmx."""
    assert with_variables({}).home.name == "llmx"
    assert with_variables({"LLMX_HOME": ""}).home == with_variables({}).home


def test_the_default_is_the_process():
    """Without arguments it is what the process has."""
    env = Environment()
    assert env.variables is os.environ
    assert env.stderr is sys.stderr
    assert env.cwd == Path.cwd()


def test_a_text_that_can_be_no_name_is_no_file(tmp_path: Path):
    """Long descriptions of fields, and texts with a NUL, are asked about too."""
    (tmp_path / "a").touch()
    assert is_file(tmp_path / "a")
    assert not any(is_file(tmp_path / name) for name in ("b", "x" * 5000, "a\0b", "."))
