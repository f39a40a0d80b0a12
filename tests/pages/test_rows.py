"""Rows as they were before they became text, and failed rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from paged import page_env, write_lines

from llmx.errors import InputFailed
from llmx.pages.found import find_output
from llmx.pages.rows import failed_rows, restored, rows_of


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"a": "", "b": "x"}, {"a": None, "b": "x"}),
        (
            {"a": '["x",1]', "b": "[not json", "c": '{"d":1}'},
            {"a": ["x", 1], "b": "[not json", "c": {"d": 1}},
        ),
        ({"a": "007", "b": "1.0"}, {"a": "007", "b": "1.0"}),
        ({"_llmx.model": "m", "_llmx.cost": ""}, {"_llmx": {"model": "m", "cost": None}}),
        (
            {"_evidence.to.city.quote": "Rome", "_evidence.to.city.start": "3", "_confidence.to.city": "0.5"},
            {"_evidence": {"to.city": {"quote": "Rome", "start": "3"}}, "_confidence": {"to.city": "0.5"}},
        ),
        ({"_evidence": '{"a":null}', "_x.y": "1"}, {"_evidence": {"a": None}, "_x.y": "1"}),
    ],
)
def test_cells_are_restored(row: dict[str, Any], expected: dict[str, Any]) -> None:
    """Empty cells, cells of JSON, and the parts of what is said about a row; digits stay text."""
    assert expected == restored(row)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.csv.gz"])
def test_every_format_is_read(name: str, tmp_path: Path) -> None:
    """By suffix, compressed or not."""
    import gzip

    text = {"out.jsonl": '{"id":1,"a":"x"}\n'}.get(name, "id,a\n1,x\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    env = page_env(tmp_path)
    (row,) = rows_of(find_output(name, env), env)
    assert row is not None
    assert (str(row["id"]), row["a"]) == ("1", "x")


def test_parquet_is_read(tmp_path: Path) -> None:
    """Where pyarrow is there."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"id": [1, 2], "tags": [["a"], []]}), tmp_path / "out.parquet")
    env = page_env(tmp_path)
    assert [{"id": 1, "tags": ["a"]}, {"id": 2, "tags": []}] == list(
        rows_of(find_output("out.parquet", env), env)
    )


def test_a_line_that_is_no_row_is_none(tmp_path: Path) -> None:
    """It is counted by whoever reads."""
    write_lines(tmp_path / "out.jsonl", ['{"a":1}', "garbage", "", '{"a":2}'])
    env = page_env(tmp_path)
    assert [row and row["a"] for row in rows_of(find_output("out.jsonl", env), env)] == [1, None, 2]


def test_failed_rows_keep_their_error(tmp_path: Path) -> None:
    """Other readers drop it."""
    error = {"type": "refusal", "message": "no"}
    path = write_lines(tmp_path / "out.errors.jsonl", [{"a": 1, "_error": error}, "[1]", '{"_error":'])
    assert [{"a": 1, "_error": error}, None, None] == list(failed_rows(path))
    assert list(failed_rows(None)) == []


def test_failed_rows_in_an_archive_that_is_cut(tmp_path: Path) -> None:
    """An error that names the file, and no traceback."""
    import gzip

    path = tmp_path / "out.errors.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n' * 9)[:-9])
    with pytest.raises(InputFailed, match=r"out\.errors\.jsonl\.gz': the gzip data end too early"):
        list(failed_rows(path))


def test_lone_surrogates_are_read(tmp_path: Path) -> None:
    """Half a character, which strict readers refuse."""
    path = write_lines(tmp_path / "out.errors.jsonl", ['{"a":"\\ud83d"}'])
    assert [{"a": "\ud83d"}] == list(failed_rows(path))
