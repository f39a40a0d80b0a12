"""What is read of a gold file, and which ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.mock import GoldSettings
from llmx.mock.gold_file import GoldRow, fields_of, read_gold
from llmx.mock.gold_settings import parse_confidence, parse_model_error


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **settings: Any) -> list[GoldRow]:
    return read_gold(GoldSettings(path, **settings), Environment())


def test_an_answer_in_a_column_of_its_own(tmp_path: Path) -> None:
    """The other columns are what a model may be shown, but for hidden ones."""
    (row,) = read(
        write(tmp_path / "g.jsonl", {"id": "a", "text": "hi", "n": 3, "_x": 1, "gold": {"tone": "good"}})
    )
    assert ("a", {"id": "a", "text": "hi", "n": "3"}) == (row.key, row.columns)
    assert row.is_whole
    assert row.answer == {"tone": "good"}


def test_an_answer_as_json_in_csv(tmp_path: Path) -> None:
    """It is parsed; white space in a header is none of a column's name."""
    path = tmp_path / "g.csv"
    path.write_text('id, gold\na,"{""tone"": ""good""}"\nb,plain\n', encoding="utf-8")
    assert [row.answer for row in read(path)] == [{"tone": "good"}, "plain"]


def test_columns_with_dots_are_nested() -> None:
    """As flat files have objects; a column that is both keeps its own value."""
    fields = fields_of({"a.b": 1, "a.c.d": 2, "e": 3, "e.f": 4})
    assert ({"b": 1, "c": {"d": 2}}, 3) == (fields["a"], fields["e"])


def test_rows_in_a_file_of_their_own(tmp_path: Path) -> None:
    """They are joined by the key, whatever its type; rows without gold are left aside."""
    gold = write(tmp_path / "g.jsonl", {"n": 1, "tone": "good"})
    rows = tmp_path / "rows.csv"
    rows.write_text("n,text\n1,hi\n2,ho\n", encoding="utf-8")
    (row,) = read(gold, key="n", rows=rows)
    assert {"n": "1", "text": "hi"} == row.columns
    assert {"n": 1, "tone": "good"} == row.cells


def test_without_a_key_rows_are_numbered(tmp_path: Path) -> None:
    """From 1."""
    assert [row.key for row in read(write(tmp_path / "g.jsonl", {"text": "a"}, {"text": "b"}))] == ["1", "2"]


def test_what_it_refuses(tmp_path: Path) -> None:
    """Each time it says where, and what can be done."""
    rows = [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (tmp_path / "none.jsonl", {}, "none.jsonl"),
        (write(tmp_path / "empty.jsonl"), {}, "empty.jsonl: no rows"),
        (write(tmp_path / "twice.jsonl", *rows), {}, "twice.jsonl:2: id 'a' is that of .*twice.jsonl:1"),
        (write(tmp_path / "key.jsonl", rows[0]), {"key": "ide"}, "no column 'ide' among id, text"),
        (write(tmp_path / "null.jsonl", {"id": None}), {}, "null.jsonl:1: no value in the key column 'id'"),
        (write(tmp_path / "no.jsonl", {"text": "x"}), {"rows": tmp_path / "key.jsonl"}, "no column 'id'"),
        (write(tmp_path / "z.jsonl", {"id": "z"}), {"rows": tmp_path / "key.jsonl"}, "no row has a 'id'"),
    ]
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": 1}\n{"id": \n', encoding="utf-8")
    for path, settings, message in [*cases, (broken, {}, "broken.jsonl:2")]:
        with pytest.raises(UsageError, match=message) as caught:
            read(path, **settings)
        assert caught.value.hint


def test_settings_are_read_from_text() -> None:
    """A model's name may hold any mark, and that of its provider before it."""
    assert parse_model_error("openai/qwen/q=4=0.25") == ("qwen/q=4", 0.25)
    assert parse_confidence("0.9:.5") == (0.9, 0.5)


@pytest.mark.parametrize("text", ["nano", "=0.5", "nano=often", ""])
def test_no_model_and_its_errors(text: str) -> None:
    """A usage error with an example."""
    with pytest.raises(UsageError, match="not a model and its share of errors"):
        parse_model_error(text)


@pytest.mark.parametrize("text", ["0.9", "0.9:0.5:0.1", "high:low"])
def test_no_confidence(text: str) -> None:
    """A usage error with an example."""
    with pytest.raises(UsageError, match="not two probabilities"):
        parse_confidence(text)


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"errors": 1.5}, "--gold-errors"),
        ({"model_errors": (("nano", -0.1),)}, "--model-errors nano"),
        ({"confidence": (float("nan"), 0.5)}, "--gold-confidence"),
    ],
)
def test_shares_out_of_range(settings: dict[str, Any], option: str) -> None:
    """The error names the option."""
    with pytest.raises(UsageError, match=option):
        GoldSettings(Path("g.jsonl"), **settings)
