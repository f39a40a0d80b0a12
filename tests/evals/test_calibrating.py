"""Predictions with confidences to a calibration file, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluations import jsonl, table

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.evals import Options
from llmx.evals.calibrating import Calibrated, calibrate
from llmx.evals.calibration import load_calibration


def calibrated(folder: Path, rows: list[dict[str, Any]], **more: Any) -> Calibrated:
    """Of predictions for which the right answer is `x` in every field."""
    fields = {name for row in rows for name in row if name[0] != "_"}
    gold = [{"id": n, "gold": dict.fromkeys(sorted(fields), "x")} for n in range(len(rows))]
    ours = jsonl(folder / "out.jsonl", [{"id": n, **row} for n, row in enumerate(rows)])
    return calibrate(ours, jsonl(folder / "gold.jsonl", gold), Options(), Environment(), **more)


def some(n: int, confidence: float, value: str = "x") -> list[dict[str, Any]]:
    """Alike rows."""
    return [{"a": value, "_confidence": {"a": confidence}}] * n


def test_the_lowest_threshold_that_keeps_the_promise(tmp_path: Path):
    """Of three confidences, the two upper ones are right often enough."""
    rows = some(200, 1.0) + some(200, 0.8) + some(3, 0.8, "n") + some(100, 0.4) + some(100, 0.4, "n")
    found = calibrated(tmp_path, rows).calibration
    assert found.row_threshold == found.threshold("a") == 0.8
    assert found.fields["a"].share == pytest.approx(403 / 603)
    assert found.fields["a"].bound is not None
    assert 0.95 <= found.fields["a"].bound < 400 / 403
    assert [(one.threshold, one.n, one.promised) for one in found.rows.steps] == [
        (1.0, 200, True),
        (0.8, 403, True),
        (0.4, 603, False),
    ]
    assert found.fields["a"].isotonic == [(0.4, 0.5), (0.8, pytest.approx(200 / 203)), (1.0, 1.0)]


def test_a_row_has_the_least_confidence_of_its_fields(tmp_path: Path):
    """And is right when every field is."""
    row = {"a": "x", "b": "n", "_confidence": {"a": 1.0, "b": 0.5}}
    good = {"a": "x", "b": "x", "_confidence": {"a": 0.75, "b": 1.0}}
    found = calibrated(tmp_path, [row] * 20 + [good] * 80).calibration
    assert [(one.threshold, one.n, one.accuracy) for one in found.rows.steps] == [
        (0.75, 80, 1.0),
        (0.5, 100, 0.8),
    ]
    assert found.threshold("a") == 0.75
    assert found.threshold("b") == 1.0
    assert found.row_threshold == 0.75
    assert found.threshold("c") is None


def test_lists_and_objects_have_the_least_of_what_is_in_them(tmp_path: Path):
    """And what is in one that has a confidence as a whole has that."""
    gold = [{"id": n, "gold": {"tags": ["t"], "to": {"city": "c"}}} for n in range(60)]
    confidence = {"tags.0": 0.9, "tags.1": 0.6, "to": 0.8}
    ours = [{"id": n, "tags": ["t"], "to": {"city": "c"}, "_confidence": confidence} for n in range(60)]
    paths = jsonl(tmp_path / "o.jsonl", ours), jsonl(tmp_path / "g.jsonl", gold)
    found = calibrate(*paths, Options(), Environment()).calibration
    assert (found.threshold("tags"), found.threshold("to.city"), found.row_threshold) == (0.6, 0.8, 0.6)


@pytest.mark.parametrize(("options", "start"), [({"prefix": "p_"}, "p_"), ({"into": "res"}, "res.")])
def test_confidences_by_the_paths_of_the_output(tmp_path: Path, options: dict[str, str], start: str):
    """With `--prefix` and `--into` the confidences have them in their paths, and are the fields' all the same."""
    values = {"a": "x", "b": {"c": "x"}}
    shaped = {"res": values} if "into" in options else {f"p_{name}": value for name, value in values.items()}
    sure = {f"{start}a": 0.9, f"{start}b.c": 0.8}
    gold = jsonl(tmp_path / "gold.jsonl", [{"id": row, "gold": values} for row in range(60)])
    ours = jsonl(tmp_path / "out.jsonl", [{"id": row, **shaped, "_confidence": sure} for row in range(60)])
    found = calibrate(ours, gold, Options(**options), Environment())
    assert {path: one.threshold for path, one in found.calibration.fields.items()} == {"a": 0.9, "b.c": 0.8}
    assert found.remarks == []


def test_confidences_in_csv(tmp_path: Path):
    """As columns `_confidence.…`, or as JSON in one."""
    gold = jsonl(tmp_path / "g.jsonl", [{"id": n, "gold": {"a": "x"}} for n in range(60)])
    flat = table(tmp_path / "f.csv", ["id", "a", "_confidence.a"], *([n, "x", 0.5] for n in range(60)))
    cell = table(tmp_path / "c.csv", ["id", "a", "_confidence"], *([n, "x", '{"a": 0.5}'] for n in range(60)))
    for ours in (flat, cell):
        assert calibrate(ours, gold, Options(), Environment()).calibration.threshold("a") == 0.5


def test_rows_without_a_confidence_are_told(tmp_path: Path):
    """They are left out; so is a field of which there is none."""
    rows = [{"a": "x", "b": "x", "_confidence": {"a": 1.0}}] * 60 + [{"a": "x", "b": "x"}] * 2
    found = calibrated(tmp_path, rows)
    assert found.calibration.rows.n == 60
    assert list(found.calibration.fields) == ["a"]
    assert "2 rows without a confidence: left out, and never above a threshold" in found.remarks
    assert "no row has a confidence of 'b': not calibrated" in found.remarks


def test_no_threshold_keeps_the_promise(tmp_path: Path):
    """It is null, and said."""
    found = calibrated(tmp_path, some(60, 1.0) + some(60, 1.0, "n"))
    assert found.calibration.row_threshold is None
    assert any("no threshold keeps the promise of 0.95" in line for line in found.remarks)


def test_no_confidences(tmp_path: Path):
    """The hint says how to get them."""
    with pytest.raises(UsageError, match=r"no row of .* has a confidence") as raised:
        calibrated(tmp_path, [{"a": "x"}] * 60)
    assert "--votes 5" in raised.value.hint


def test_a_column_of_words_is_no_confidence(tmp_path: Path):
    """One word for a whole row is told as what it is not, rather than as a column that is not there."""
    with pytest.raises(UsageError, match="no column '_confidence' with a number per field"):
        calibrated(tmp_path, [{"a": "x", "_confidence": "high"}] * 60)


@pytest.mark.parametrize("value", [1.5, -0.1, "high", True, [0.5]])
def test_a_confidence_that_is_none(tmp_path: Path, value: Any):
    """Row and field are named."""
    with pytest.raises(UsageError, match=r"confidence of 'a' in the row '0' .* not a number from 0 to 1"):
        calibrated(tmp_path, [{"a": "x", "_confidence": {"a": value}}] * 60)


def test_too_few_rows(tmp_path: Path):
    """59 rows that are all right are the least for 95 % at 95 %, and one more is asked for at 58."""
    assert calibrated(tmp_path, some(59, 0.5)).calibration.row_threshold == 0.5
    with pytest.raises(UsageError, match=r"58 rows .* even if all are right it takes 59") as raised:
        calibrated(tmp_path, some(58, 0.5))
    assert raised.value.hint.startswith("label 1 row more")
    assert calibrated(tmp_path, some(58, 0.5), target=0.9).calibration.promised == 0.9


def test_there_and_back(tmp_path: Path):
    """What is written is what is read, under the names that others rely on."""
    found = calibrated(tmp_path, some(100, 1.0), target=0.9, level=0.99).calibration
    path = tmp_path / "calibration.json"
    path.write_bytes(found.encoded())
    assert load_calibration(path) == found
    document = json.loads(path.read_text())
    assert (document["version"], document["target"], document["level"]) == (1, 0.9, 0.99)
    assert document["rows"]["threshold"] == document["fields"]["a"]["threshold"] == 1.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read the calibration"),
        ("oops", "is no calibration"),
        ("{}", "is no calibration"),
        ("\udce4", "is no calibration"),
        ('{"version": 1, "target": 5, "level": 0.9}', "is no calibration"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str | None, words: str):
    """It is said, with the command that writes one."""
    path = tmp_path / "calibration.json"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=words) as raised:
        load_calibration(path)
    assert "llmx calibrate" in raised.value.hint


def test_a_file_of_a_later_version(tmp_path: Path):
    """Is not guessed at."""
    found = json.loads(calibrated(tmp_path, some(100, 1.0)).calibration.encoded())
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({**found, "version": 2}))
    with pytest.raises(UsageError, match="of version 2, and this llmx reads 1"):
        load_calibration(path)
