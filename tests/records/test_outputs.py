"""Checks of an output's name."""

from __future__ import annotations

import os
import sys

import pytest

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records import check_output, is_stream


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


@pytest.mark.parametrize("name", ["out.jsonl.partial", "./out.jsonl.partial", "soft", "hard"])
def test_an_input_is_not_where_the_rows_wait(env: Environment, name: str) -> None:
    """`extract out.jsonl.partial -o out.jsonl` would empty its own input."""
    (env.cwd / "out.jsonl.partial").write_text("{}\n")
    (env.cwd / "soft").symlink_to("out.jsonl.partial")
    (env.cwd / "hard").hardlink_to(env.cwd / "out.jsonl.partial")

    with pytest.raises(
        UsageError, match=f"the input '{name}' is where rows wait while the output 'out.jsonl'"
    ):
        check_output("out.jsonl", [name], env=env)
    check_output("other.jsonl", [name], env=env)


@pytest.mark.parametrize("name", ["out.parquet.partial", "out.parquet.building"])
def test_an_input_is_not_what_parquet_is_built_of(env: Environment, name: str) -> None:
    """It goes through two files."""
    (env.cwd / name).touch()

    with pytest.raises(UsageError, match="is where rows wait"):
        check_output("out.parquet", [name], env=env)


def test_an_input_beside_the_file_that_a_link_names_is_safe_too(env: Environment) -> None:
    """There the rows wait."""
    (env.cwd / "data").mkdir()
    (env.cwd / "data/real.csv.partial").touch()
    (env.cwd / "out.csv").symlink_to("data/real.csv")

    with pytest.raises(UsageError, match="is where rows wait"):
        check_output("out.csv", ["data/real.csv.partial"], env=env)


def test_no_output_has_the_name_of_one_that_is_not_complete(env: Environment) -> None:
    """A run of another output may be writing it."""
    with pytest.raises(UsageError, match="not complete") as caught:
        check_output("out.jsonl.partial", [], env=env)

    assert caught.value.hint == "-o out.jsonl"


def test_partial_files_of_a_folder_are_no_inputs(env: Environment) -> None:
    """A run over texts that was stopped can be run again."""
    (env.cwd / "texts").mkdir()
    (env.cwd / "texts/1.txt").touch()
    (env.cwd / "texts/out.jsonl.partial").touch()

    check_output("texts/out.jsonl", ["texts"], env=env)


def test_streams_are_pipes_devices_and_what_is_open_already(env: Environment) -> None:
    """They are written to as they are."""
    os.mkfifo(env.cwd / "pipe")
    (env.cwd / "link").symlink_to("/dev/null")
    (env.cwd / "file").touch()
    with (env.cwd / "file").open() as file:
        streams = ["pipe", "link", "/dev/null", "/dev/full", f"/dev/fd/{file.fileno()}", "/dev/stdout"]
        assert [name for name in streams if is_stream(env.cwd / name)] == streams
    assert not any(is_stream(env.cwd / name) for name in ("file", "missing", "."))
