"""Inputs by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.records.inputs import find_inputs, shown


def touch(env: Environment, *names: str) -> None:
    for name in names:
        (env.cwd / name).parent.mkdir(parents=True, exist_ok=True)
        (env.cwd / name).write_text("")


def origins(env: Environment, *names: str, format: str | None = None) -> list[str]:
    return [found.origin for found in find_inputs(names, format, env)]


def test_keeps_the_order_and_the_users_names(env: Environment) -> None:
    """Files and stdin, as they were given."""
    touch(env, "b.csv", "sub/a.jsonl")

    assert origins(env, "sub/a.jsonl", "-", "./b.csv") == ["sub/a.jsonl", "-", "./b.csv"]


def test_a_folder_is_its_text_files_sorted(env: Environment) -> None:
    """Sub-folders too; hidden and unknown files are left out."""
    touch(env, "d/b.txt", "d/a/x.md", "d/.hidden.txt", "d/.git/y.txt", "d/pic.png", "d/README")

    assert origins(env, "d") == ["d/b.txt", "d/a/x.md"]


def test_a_folder_without_text_is_its_files_of_rows(env: Environment) -> None:
    """Of any format we know, compressed ones too."""
    touch(env, "d/2.csv", "d/1.jsonl.gz", "d/out.jsonl.partial")

    assert [(found.origin, found.format) for found in find_inputs(["d"], None, env)] == [
        ("d/1.jsonl.gz", "jsonl"),
        ("d/2.csv", "csv"),
    ]


def test_a_folder_with_text_and_rows_is_a_question(env: Environment) -> None:
    """A README among data would otherwise become a row, or the data be overlooked."""
    touch(env, "d/rows.csv", "d/README.md")

    with pytest.raises(UsageError, match="both text files and files of rows") as caught:
        origins(env, "d")
    assert "--input-format text" in caught.value.hint
    assert origins(env, "d", format="csv") == ["d/rows.csv"]
    assert origins(env, "d", format="text") == ["d/README.md"]


def test_a_format_takes_the_unnamed_files_of_a_folder_that_has_none_of_its_suffix(env: Environment) -> None:
    """`--input-format text logs/` reads .log files."""
    touch(env, "logs/a.log", "logs/b.csv")

    assert origins(env, "logs", format="text") == ["logs/a.log"]


def test_a_folder_without_anything_to_read_is_refused(env: Environment) -> None:
    """An empty folder is a mistake, not an empty input."""
    touch(env, "d/pic.png")

    with pytest.raises(UsageError, match="no text file and no file of rows in the folder 'd'"):
        origins(env, "d")


def test_a_missing_file_names_the_nearest_neighbour(env: Environment) -> None:
    """In the folder that the user named."""
    touch(env, "data/reviews.jsonl")

    with pytest.raises(UsageError, match=r"no such file: 'data/review\.jsonl'") as caught:
        origins(env, "data/review.jsonl")
    assert caught.value.hint == "did you mean 'data/reviews.jsonl'?"


@pytest.mark.parametrize("name", ["nowhere/rows.jsonl", "file/rows.jsonl"])
def test_a_file_in_no_folder_is_missing_too(env: Environment, name: str) -> None:
    """Without a folder there are no neighbours."""
    touch(env, "file")

    with pytest.raises(UsageError, match="no such file") as caught:
        origins(env, name)
    assert caught.value.hint == ""


def test_a_file_that_may_not_be_read_is_refused(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind root, so the refusal is played."""
    touch(env, "rows.jsonl")

    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match=r"cannot read 'rows\.jsonl': Permission denied"):
        origins(env, "rows.jsonl")


def test_every_input_is_checked_before_any_is_read(env: Environment) -> None:
    """The last of them may be the wrong one."""
    touch(env, "a.jsonl")

    with pytest.raises(UsageError, match="no such file"):
        origins(env, "a.jsonl", "b.jsonl")


def test_stdin_cannot_be_given_twice(env: Environment) -> None:
    """It can be read once."""
    with pytest.raises(UsageError, match="only once"):
        origins(env, "-", "-")


def test_no_input_at_all_is_refused(env: Environment) -> None:
    """The CLI turns no INPUT into "-"; a library user gets the message."""
    with pytest.raises(UsageError, match="no input"):
        origins(env)


def test_a_zst_file_without_the_package_is_refused_at_once(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the first thousand rows."""
    touch(env, "a.txt.zst")
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(UsageError, match="zstandard"):
        origins(env, "a.txt.zst")


def test_names_that_are_not_utf_8_are_shown_as_text() -> None:
    """They must fit into JSON and onto a terminal."""
    assert shown(os.fsdecode(b"caf\xe9.txt")) == "caf\ufffd.txt"


def test_a_partial_file_is_read_when_it_is_named(env: Environment) -> None:
    """As the format that it was to have; in a folder it is left out."""
    touch(env, "d/a.csv.partial", "d/b.jsonl.gz.partial", "d/c.parquet.partial", "d/d.jsonl")

    names = [f"d/{name}.partial" for name in ("a.csv", "b.jsonl.gz", "c.parquet")]
    assert [found.format for found in find_inputs(names, None, env)] == ["csv", "jsonl", "jsonl"]
    assert origins(env, "d", format="jsonl") == ["d/d.jsonl"]
