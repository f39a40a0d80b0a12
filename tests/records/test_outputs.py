"""Checks of an output's name."""

from __future__ import annotations

import sys

import pytest

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records import check_output


@pytest.mark.parametrize("path", ["-", "out.jsonl", "sub/out.csv.gz", "/dev/null"])
def test_a_good_output_passes(env: Environment, path: str) -> None:
    """Whether it exists or not."""
    (env.cwd / "sub").mkdir()
    (env.cwd / "in.jsonl").touch()
    (env.cwd / "out.jsonl").touch()

    check_output(path, ["in.jsonl", "-"], env=env)


def test_a_missing_folder_comes_with_the_command_that_makes_it(env: Environment) -> None:
    """Before anything is spent."""
    with pytest.raises(UsageError, match="the folder 'a/b' of the output does not exist") as caught:
        check_output("a/b/out.jsonl", [], env=env)

    assert caught.value.hint == "mkdir -p a/b"


def test_a_folder_is_no_output(env: Environment) -> None:
    """The hint names a file in it."""
    (env.cwd / "out").mkdir()

    with pytest.raises(UsageError, match="the output 'out' is a folder") as caught:
        check_output("out", [], env=env)
    assert caught.value.hint == "-o out/out.jsonl"


@pytest.mark.parametrize("path", ["rows.jsonl", "./rows.jsonl", "link.jsonl"])
def test_an_input_is_no_output(env: Environment, path: str) -> None:
    """Under whatever name."""
    (env.cwd / "rows.jsonl").touch()
    (env.cwd / "link.jsonl").symlink_to("rows.jsonl")

    with pytest.raises(UsageError, match="is also an input"):
        check_output(path, ["rows.jsonl"], env=env)


def test_an_output_among_the_inputs_of_a_folder_is_refused(env: Environment) -> None:
    """A second run would read it; beside text files it does no harm."""
    (env.cwd / "rows").mkdir()
    (env.cwd / "rows/1.jsonl").touch()
    (env.cwd / "texts").mkdir()
    (env.cwd / "texts/1.txt").touch()

    check_output("texts/out.jsonl", ["texts"], env=env)
    with pytest.raises(UsageError, match="lies in the input folder 'rows'"):
        check_output("rows/out.jsonl", ["rows"], env=env)


def test_parquet_is_not_compressed_twice(env: Environment) -> None:
    """No tool would read it."""
    with pytest.raises(UsageError, match="compresses its columns itself"):
        check_output("out.parquet.gz", [], env=env)


def test_zstd_is_looked_for_before_the_run(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(UsageError, match="zstandard"):
        check_output("out.jsonl.zst", [], env=env)
