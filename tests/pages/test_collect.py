"""One pass over rows: what is packed of each, and what is counted."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from llmx.pages.chunks import (
    BYTES,
    CHANGED,
    CITED,
    DISAGREES,
    FAILED,
    LONGEST,
    NO_CONFIDENCE,
    ROWS,
    UNCITED,
    Chunk,
    Packer,
    shortened,
)
from llmx.pages.collect import Beside, Collector
from llmx.pages.lookup import Lookup, key_text


def lines(chunk: Chunk | None) -> list[Any]:
    assert chunk is not None
    return [json.loads(line) for line in gzip.decompress(chunk.data).split(b"\n")]


def collected(row: dict[str, Any], beside: Beside | None = None) -> tuple[dict[str, Any], int, int]:
    """A row as it is packed, its flags, and its confidence."""
    collector = Collector(beside)
    assert (collector.add_failed(row) if "_error" in row else collector.add(row)) is None
    (packed,) = lines(collector.packer.cut())
    return packed, collector.packer.flags[0], collector.packer.confidence[0]


def looked_up(*pairs: tuple[str, dict[str, Any]]) -> Lookup:
    lookup = Lookup()
    lookup.put_all(pairs)
    return lookup


@settings(deadline=None)
@given(some.lists(some.integers(0, BYTES // 3), max_size=600))
def test_chunks_have_all_rows_in_order(sizes: list[int]) -> None:
    """However large they are; no chunk has more than its share but for one row."""
    packer, chunks = Packer(), []
    for number, size in enumerate(sizes):
        chunks.append(packer.add({"n": number, "x": "x" * (size if number % 50 == 0 else 1)}, 0, None))
    chunks.append(packer.cut())
    found = [chunk for chunk in chunks if chunk is not None]
    assert [row["n"] for chunk in found for row in lines(chunk)] == list(range(len(sizes)))
    assert [chunk.first for chunk in found] == [
        sum(each.rows for each in found[:at]) for at in range(len(found))
    ]
    assert all(chunk.rows <= ROWS for chunk in found)


def test_what_is_said_about_a_row_is_apart_from_it() -> None:
    """Evidence, confidences and the like are no fields."""
    said = {
        "_evidence": {
            "a": {"quote": "x", "column": "text", "start": 0, "end": 1, "match": "exact"},
            "b": None,
        },
        "_confidence": {"a": 0.7, "b": 0.95, "c": "no number", "d": True},
        "_llmx": {"model": "m"},
    }
    packed, flags, confidence = collected({"text": "x y", "a": "x", "b": "z", **said})
    assert packed["r"] == {"text": "x y", "a": "x", "b": "z"}
    assert (packed["v"], packed["c"], packed["m"]) == (
        said["_evidence"],
        {"a": 0.7, "b": 0.95},
        {"model": "m"},
    )
    assert (flags, confidence) == (CITED | UNCITED, 140)


def test_what_is_said_may_be_anything() -> None:
    """Columns of these names that hold something else are left out."""
    packed, flags, confidence = collected({"a": 1, "_evidence": "x", "_confidence": [1], "_llmx": 3})
    assert (packed, flags, confidence) == ({"r": {"a": 1}}, 0, NO_CONFIDENCE)


def test_a_failed_row() -> None:
    """Its error is apart from the row, which is counted by its kind."""
    collector = Collector()
    for number in range(9):
        collector.add_failed(
            {"id": number, "_error": {"type": "refusal", "message": f"no {number}", "line": number}}
        )
    collector.add_failed({"_error": "odd"})
    refusals, unknown = collector.errors.as_json()
    assert (refusals["type"], refusals["count"], len(refusals["examples"])) == ("refusal", 9, 5)
    assert (refusals["examples"][1]["message"], refusals["examples"][1]["row"]) == ("no 1", 1)
    assert unknown["type"] == "unknown"
    assert set(collector.packer.flags) == {FAILED}


def test_differences_from_gold() -> None:
    """Of fields that differ, what gold has."""
    beside = Beside(key="id", wrong=looked_up(("7", {"label": "good"})))
    packed, flags, _ = collected({"id": 7, "label": "bad"}, beside)
    assert (packed["k"], packed["g"], flags) == ("7", {"label": "good"}, DISAGREES)
    assert collected({"id": 8, "label": "bad"}, beside)[1] == 0


ERROR = {"type": "refusal", "message": "no"}


@pytest.mark.parametrize(
    ("here", "there", "packed", "changed"),
    [
        ({"id": 1, "a": 1}, {"id": 1, "a": 1.0}, {"o": {}}, False),
        ({"id": 1, "a": 1}, {"id": 1, "a": True}, {"o": {"a": True}}, True),
        ({"id": 1, "a": [1, 2]}, {"id": 1, "a": [2, 1], "_llmx": {}}, {"o": {"a": [2, 1]}}, True),
        ({"id": 1, "a": 1}, {"id": 1, "b": 2}, {"o": {"a": None, "b": 2}}, True),
        ({"id": 1, "a": 1}, {"id": 1, "_error": ERROR}, {"o": {}, "oe": ERROR}, True),
        ({"id": 1, "_error": ERROR}, {"id": 1, "a": 5}, {"o": {"id": 1, "a": 5}}, True),
        ({"id": 1, "_error": ERROR}, {"id": 1, "_error": ERROR}, {"o": {}, "oe": ERROR}, False),
        ({"id": 1, "a": 1}, {"id": 2, "a": 1}, {"o": None}, False),
    ],
)
def test_beside_another_run(
    here: dict[str, Any], there: dict[str, Any], packed: dict[str, Any], changed: bool
) -> None:
    """What the other run has where it has something else; numbers are equal as numbers, true is none."""
    beside = Beside(key="id", other=looked_up((str(there["id"]), there)))
    found, flags, _ = collected(here, beside)
    assert {name: found[name] for name in ("o", "oe") if name in found} == packed
    assert bool(flags & CHANGED) == changed


def test_rows_beyond_those_that_are_shown_are_counted() -> None:
    """Of results and of failed rows so many each."""
    collector = Collector(most=2)
    for number in range(5):
        collector.add({"a": number})
        collector.add_failed({"a": number, "_error": ERROR})
    assert (collector.rows, collector.failed, collector.packer.rows, collector.fields.rows) == (5, 5, 4, 5)
    assert [example["row"] for example in collector.errors.as_json()[0]["examples"]] == [
        1,
        3,
        None,
        None,
        None,
    ]


def test_long_values_are_cut_where_no_page_can_show_them() -> None:
    """Texts, lists and depth; how much is missing is said."""
    deep: Any = "end"
    for _ in range(50):
        deep = [deep]
    found = shortened(
        {"a": "x" * (LONGEST + 5), "b": list(range(1_001)), "c": deep, "short": "x", "n" * 300: 1}
    )
    assert found["a"].endswith("x… (5 more characters)")
    assert found["b"][-1] == "… (1 more)"
    assert json.dumps(found["c"]).count("[") == 19
    assert found["short"] == "x"


@pytest.mark.parametrize(("value", "text"), [("7", "7"), (7, "7"), ([1], "[1]"), ("", None), (None, None)])
def test_keys_are_text(value: Any, text: str | None) -> None:
    """So that a number in JSON is found in CSV."""
    assert text == key_text(value)


def test_a_lookup_keeps_the_first_of_two_and_counts() -> None:
    """Which were never looked up, and how many keys came twice; a key may be any text."""
    with looked_up(("a", {"n": 1}), ("a", {"n": 2}), ("b", {"n": 3}), ("\ud800", {"n": 4})) as lookup:
        assert lookup.get("a") == {"n": 1}
        assert lookup.get("\ud800") == {"n": 4}
        assert lookup.get("c") is None
        assert (lookup.doubles, lookup.unmet()) == (1, 1)
        lookup.merge("b", {"m": 5})
        assert lookup.get("b") == {"n": 3, "m": 5}
