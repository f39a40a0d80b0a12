"""`llmx calibrate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Llmx
from evaluations import jsonl

from llmx.evals.calibration import load_calibration

COMMAND = ("calibrate", "out.jsonl", "--gold", "gold.jsonl")


@pytest.fixture
def files(llmx: Llmx) -> None:
    """A hundred sure rows that are right, and twenty that are neither."""
    rows = [(1.0, "x")] * 100 + [(0.4, "n")] * 20
    jsonl(llmx.cwd / "gold.jsonl", [{"id": n, "gold": {"a": "x"}} for n in range(120)])
    ours = [{"id": n, "a": value, "_confidence": {"a": sure}} for n, (sure, value) in enumerate(rows)]
    jsonl(llmx.cwd / "out.jsonl", ours)


@pytest.mark.usefixtures("files")
def test_tables_and_a_file(llmx: Llmx):
    """The promise in a sentence, all thresholds below it, and a file for other commands."""
    done = llmx(*COMMAND, "-o", "calibration.json")
    assert done.code == 0
    assert done.out.splitlines()[:2] == [
        "120 rows with a confidence, 83.3 % of them right in every field that was compared",
        "rows whose least confidence is 1 or more (83.3 % of them): at least 95.0 % are right, at a confidence "
        "level of 95.0 %",
    ]
    assert "By confidence: a" in done.out
    assert load_calibration(llmx.cwd / "calibration.json").row_threshold == 1.0
    assert [path.name for path in llmx.cwd.iterdir() if "new" in path.name] == []


def test_a_threshold_that_is_shown_holds_the_rows_at_it(llmx: Llmx):
    """Of two votes in three, which is 0.666667, not 0.6667 is shown: no row would be at or above that."""
    jsonl(llmx.cwd / "gold.jsonl", [{"id": n, "gold": {"a": "x"}} for n in range(60)])
    ours = [{"id": n, "a": "x", "_confidence": {"a": 0.666667}} for n in range(60)]
    jsonl(llmx.cwd / "out.jsonl", ours)
    assert "rows whose least confidence is 0.6666 or more (100 % of them)" in llmx(*COMMAND).out


@pytest.mark.usefixtures("files")
def test_json(llmx: Llmx):
    """The same on standard output."""
    assert json.loads(llmx(*COMMAND, "--json").out)["rows"]["threshold"] == 1.0


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "95"), "--target: 95 is not between 0 and 1"),
        (("--target", "1"), "--target: 1 is not between 0 and 1"),
        (("--confidence-level", "0"), "--confidence-level: 0 is not between 0 and 1"),
        (("--target", "0.999"), "even if all are right it takes 2,995"),
        (("--fields", "b"), "gold has no field 'b'"),
    ],
)
def test_a_wrong_command(llmx: Llmx, arguments: tuple[str, ...], words: str):
    """Exit code 2, and nothing is written."""
    done = llmx(*COMMAND, *arguments, "-o", "calibration.json")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert not (llmx.cwd / "calibration.json").exists()


def test_predictions_from_a_pipe(llmx: Llmx, files: None):
    """They are read twice, so they have to be a file."""
    done = llmx("calibrate", "-", "--gold", "gold.jsonl", stdin=b"{}\n")
    assert done.code == 2
    assert "standard input cannot be" in done.err


@pytest.mark.usefixtures("files")
def test_an_input_is_not_overwritten(llmx: Llmx):
    """Not even by a variable that was meant for extract."""
    before = (llmx.cwd / "out.jsonl").read_bytes()
    llmx.env["LLMX_OUTPUT"] = "out.jsonl"
    done = llmx(*COMMAND)
    assert done.code == 2
    assert "--output: 'out.jsonl' is also an input" in done.err
    assert (llmx.cwd / "out.jsonl").read_bytes() == before


def test_a_file_that_cannot_be_written(llmx: Llmx, files: None, tmp_path: Path):
    """A folder that is not there is said before anything is read; else it is the disk's fault."""
    done = llmx(*COMMAND, "-o", "none/calibration.json")
    assert (done.code, done.out) == (2, "")
    assert "error: --output: the folder 'none' of the output does not exist\nhint: mkdir -p none" in done.err
    done = llmx(*COMMAND, "-o", "/proc/calibration.json")
    assert done.code == 1
    assert "error: cannot write the calibration '/proc/calibration.json'" in done.err
