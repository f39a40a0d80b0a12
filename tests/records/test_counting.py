"""Counting rows without reading them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from llmx.records import counting
from llmx.records.counting import count_rows
from llmx.records.inputs import Input


def count(tmp_path: Path, content: bytes, format: str) -> int | None:
    path = tmp_path / "rows"
    path.write_bytes(content)
    return count_rows(Input("rows", path, format, size=len(content)))


@pytest.mark.parametrize(
    ("content", "format", "expected"),
    [
        (b"", "jsonl", 0),
        (b"{}\n{}\n", "jsonl", 2),
        (b"{}\r\n\r\n\n\n{}", "jsonl", 2),
        (b"\n\n{}\n", "json", 1),
        (b"", "csv", 0),
        (b"a,b\n", "csv", 0),
        (b'a,b\n"1\n2\n",x\n\n3,"4""\n"\n5,6', "csv", 3),
        (b"anything\n\n", "text", 1),
        (b"[{}]", "json", None),
        (gzip.compress(b"{}\n", mtime=0), "jsonl", None),
    ],
)
def test_counts_lines_that_are_rows(
    tmp_path: Path, content: bytes, format: str, expected: int | None
) -> None:
    """Blank lines, headers and quoted line ends are none."""
    assert count(tmp_path, content, format) == expected


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_counts_the_same_wherever_a_step_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Quotes and blank lines may lie across the boundary."""
    monkeypatch.setattr(counting, "_STEP", step)

    assert count(tmp_path, b'a,b\n"1\n2\n",x\n\n3,"4""\n"\n5,6', "csv") == 3
    assert count(tmp_path, b"{}\n\n\n{}\n", "jsonl") == 2
    assert count(tmp_path, b"\r\n{}\r\n\r\n\r\n{}\r\n\r\n{}", "jsonl") == 3


def test_takes_the_rest_of_a_huge_file_to_be_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it all would delay the first row."""
    monkeypatch.setattr(counting, "_EXACT", 30)
    monkeypatch.setattr(counting, "_STEP", 30)

    assert count(tmp_path, b"{}\n" * 1000, "jsonl") == 1000


def test_pipes_and_vanished_files_are_not_counted(tmp_path: Path) -> None:
    """Nobody knows."""
    assert count_rows(Input("-", None, "json", live=True)) is None
    assert count_rows(Input("x", tmp_path / "x", "jsonl", size=3)) is None
