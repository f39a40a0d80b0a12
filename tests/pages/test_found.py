"""An output, and what belongs to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from paged import page_env, write_lines

from llmx.journal import Manifest, run_folder, write_manifest
from llmx.pages.found import Output, find_output


def find(folder: Path, name: str = "out.jsonl", state_dir: Path | None = None) -> Output:
    return find_output(name, page_env(folder), state_dir)


def aged(path: Path, seconds: int) -> Path:
    """A file that was written so long ago."""
    write_lines(path, [{"a": 1}])
    os.utime(path, (10**9 - seconds, 10**9 - seconds))
    return path


@pytest.mark.parametrize(("whole", "partial", "is_whole"), [(10, 5, False), (5, 10, True)])
def test_the_newer_of_two_is_taken(whole: int, partial: int, is_whole: bool, tmp_path: Path) -> None:
    """A run that goes on beside an earlier output, or has left a .partial before it."""
    aged(tmp_path / "out.jsonl", whole)
    aged(tmp_path / "out.jsonl.partial", partial)
    for name in ("out.jsonl", "out.jsonl.partial"):
        found = find(tmp_path, name)
        assert (found.name, found.is_whole) == ("out.jsonl", is_whole)


@pytest.mark.parametrize(
    ("name", "errors"), [("out.jsonl", "out.errors.jsonl"), ("out.csv", "out.csv.errors.jsonl")]
)
def test_failed_rows_are_found_by_their_name(name: str, errors: str, tmp_path: Path) -> None:
    """Beside a file of which no run is kept; those of a run that goes on first."""
    (tmp_path / name).touch()
    assert find(tmp_path, name).errors is None
    (tmp_path / errors).touch()
    assert find(tmp_path, name).errors == tmp_path / errors
    (tmp_path / f"{errors}.partial").touch()
    assert find(tmp_path, name).errors == tmp_path / f"{errors}.partial"


def test_the_failed_rows_of_a_run_are_where_it_put_them(tmp_path: Path) -> None:
    """By `--errors`."""
    write_lines(tmp_path / "out.jsonl", [{"a": 1}])
    write_lines(tmp_path / "bad.jsonl", [{"a": 2}])
    folder = run_folder(tmp_path / "out.jsonl", None)
    folder.acquire("out.jsonl").close()
    write_manifest(
        folder.manifest,
        Manifest(llmx="x", output="out.jsonl", errors="bad.jsonl", cwd=str(tmp_path), state="complete"),
    )
    found = find(tmp_path)
    assert found.errors == tmp_path / "bad.jsonl"
    assert found.run is not None
    assert found.run.state == "complete"


def test_a_run_of_another_output_is_not_taken(tmp_path: Path) -> None:
    """In a state folder runs lie by the names of their outputs, wherever those are."""
    write_lines(tmp_path / "out.jsonl", [{"a": 1}])
    folder = run_folder(tmp_path / "elsewhere" / "out.jsonl", tmp_path / "state")
    folder.acquire("out.jsonl").close()
    manifest = Manifest(llmx="x", output="out.jsonl", cwd=str(tmp_path / "elsewhere"))
    write_manifest(folder.manifest, manifest)
    assert find(tmp_path, state_dir=tmp_path / "state").run is None


@pytest.mark.parametrize(
    ("name", "errors", "grows"),
    [
        ("out.jsonl", "", True),
        ("out.jsonl.gz", "", False),
        ("out.csv", "", False),
        ("out", "", True),
        ("out.jsonl", "e.jsonl.gz", False),
    ],
)
def test_what_can_be_followed_line_by_line(name: str, errors: str, grows: bool, tmp_path: Path) -> None:
    """Lines of JSON as they are, failed rows too."""
    output = Output(name, tmp_path / name, tmp_path / errors if errors else None, None)
    assert output.grows == grows


def test_the_rows_of_parquet_so_far_are_lines(tmp_path: Path) -> None:
    """They wait as such, so that they can be followed; the file that is made of them cannot."""
    assert Output("out.parquet", tmp_path / "out.parquet.partial", None, None).grows
    assert not Output("out.parquet", tmp_path / "out.parquet", None, None).grows
