"""The shape of an output row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from llmx.errors import Refusal, UnreadableRow, UsageError
from llmx.records import Shape, Unreadable, error_row
from llmx.types import Record

DATA = {"id": 7, "text": "hi"}
FOUND = {"tone": "good", "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape(), {"id": 7, "text": "hi", "tone": "good", "tags": ["a", "b"]}),
        (Shape(keep="none"), FOUND),
        (Shape(keep=["text"]), {"text": "hi", **FOUND}),
        (Shape(keep="none", prefix="llm_"), {"llm_tone": "good", "llm_tags": ["a", "b"]}),
        (Shape(keep=["id"], into="found"), {"id": 7, "found": FOUND}),
        (Shape(keep="none", meta=True), {**FOUND, "_llmx": {"model": "m"}}),
    ],
)
def test_a_row_has_what_was_asked_for(shape: Shape, expected: dict[str, Any]) -> None:
    """And nothing else."""
    assert shape.rows(DATA, FOUND, {"model": "m"}) == [expected]
    spread = {".".join((name, "tone")) if name == "found" else name for name in expected}
    columns = shape.columns(list(DATA), {"tone": ["tone"]}, {})
    assert set(columns) == spread - {"tags", "llm_tags"}


def test_a_kept_column_that_a_row_lacks_is_null() -> None:
    """All rows have the columns that were named."""
    assert Shape(keep=["more"]).rows(DATA, {}) == [{"more": None}]


def test_a_list_gives_a_row_per_element() -> None:
    """Under the field's name, with its position."""
    shape = Shape(keep=["id"], explode="tags")

    assert shape.rows(DATA, FOUND) == [
        {"id": 7, "tone": "good", "tags": "a", "_item": 0},
        {"id": 7, "tone": "good", "tags": "b", "_item": 1},
    ]
    fields = {"tone": ["tone"], "tags": ["tags"]}
    assert list(shape.columns(["id", "text"], fields, {"tags": {}})) == ["id", "tone", "tags", "_item"]


def test_elements_that_are_objects_give_their_fields() -> None:
    """As fields of the row."""
    shape = Shape(keep="none", prefix="x_", explode="lines")
    lines = {"lines": {"sku": ["sku"], "price": ["price.eur", "price.usd"]}}

    assert shape.rows({}, {"no": 1, "lines": [{"sku": "a", "price": 2}]}) == [
        {"x_no": 1, "x_sku": "a", "x_price": 2, "_item": 0}
    ]
    columns = shape.columns([], {"no": ["no"], "lines": ["lines"]}, lines)
    assert list(columns) == ["x_no", "x_sku", "x_price.eur", "x_price.usd", "_item"]


def test_only_the_schemas_columns_are_one_cell_each() -> None:
    """What the input's columns hold, its rows tell."""
    columns = Shape(meta=True).columns(["id"], {"where": ["where.city", "where.street"]}, {})
    assert columns == {"id": False, "where.city": True, "where.street": True, "_llmx": False}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape(), ["a.b", "a", "c.d"]),
        (Shape(prefix="x."), ["a.b", "x.a.b", "x.c.d"]),
        (Shape(into="found"), ["a.b", "found.a.b", "found.c.d"]),
        (Shape(keep="none"), ["a.b", "c.d"]),
    ],
)
def test_an_object_is_one_column_where_a_name_would_stand_twice(shape: Shape, expected: list[str]) -> None:
    """Of two values under one name, one would be lost."""
    assert list(shape.columns(["a.b"], {"a": ["a.b"], "c": ["c.d"]}, {})) == expected


@pytest.mark.parametrize("found", [{"tags": []}, {"tags": None}, {}])
def test_an_empty_list_gives_no_row(found: dict[str, Any]) -> None:
    """That is success."""
    assert Shape(explode="tags").rows(DATA, found) == []


@pytest.mark.parametrize(
    ("shape", "fields", "message"),
    [
        (Shape(), ["text"], "the input column 'text' is also a field of the schema"),
        (Shape(prefix="te"), ["xt"], "the input column 'text' is also a field of the schema"),
        (Shape(into="id"), ["tone"], "the input column 'id' is also a column of the output"),
        (Shape(keep=["ids"]), ["tone"], "--keep: no column 'ids'"),
        (Shape(explode="tag"), ["tags"], "--explode: no field 'tag'"),
        (Shape(explode="tone"), ["tone"], "--explode 'tone': that field is not a list"),
        (
            Shape(explode="lines"),
            ["sku", "lines"],
            "'sku' is a field both of the row and of the elements of 'lines'",
        ),
        (Shape(explode="lines"), ["lines"], "the input column 'id' is also a field of the schema"),
        (Shape(prefix="x", into="y"), ["tone"], "--prefix and --into exclude each other"),
    ],
)
def test_names_that_collide_are_refused(shape: Shape, fields: list[str], message: str) -> None:
    """Before the first call, with a hint."""
    with pytest.raises(UsageError, match=message) as caught:
        shape.check(["id", "text"], fields, {"tags": [], "lines": ["sku", "id"]})

    assert caught.value.hint


@pytest.mark.parametrize("value", [5, "abc", False])
def test_a_value_that_is_no_list_is_one_element(value: Any) -> None:
    """A union of a list and something else is exploded as far as there is something to explode."""
    assert Shape(keep="none", explode="tags").rows(DATA, {"tags": value}) == [{"tags": value, "_item": 0}]


def test_an_object_that_is_no_list_is_one_element() -> None:
    """A model that gives one line for a list of lines gives its fields."""
    rows = Shape(keep="none", explode="lines").rows(DATA, {"lines": {"sku": "A"}})
    assert rows == [{"sku": "A", "_item": 0}]


@pytest.mark.parametrize(("shape", "column"), [(Shape(meta=True), "_llmx"), (Shape(explode="tags"), "_item")])
def test_our_own_columns_are_not_overwritten_in_silence(shape: Shape, column: str) -> None:
    """An earlier output may be the input."""
    with pytest.raises(UsageError, match=f"the input column '{column}' is also a column of the output"):
        shape.check([column], ["tags"], {"tags": []})


@pytest.mark.parametrize(
    "shape", [Shape(keep="none"), Shape(keep=["id"]), Shape(prefix="x_"), Shape(into="y")]
)
def test_every_hint_is_a_way_out(shape: Shape) -> None:
    """What the collision's hint proposes passes."""
    shape.check(["id", "text"], ["text"], {})


def test_an_error_row_is_the_row_and_its_error() -> None:
    """Money is a number there."""
    record = Record(3, DATA, 4, "rows.jsonl")

    assert error_row(record, Refusal("no"), raw="sorry", attempts=2, cost=Decimal("0.25")) == {
        **DATA,
        "_error": {
            "type": "refusal",
            "message": "no",
            "line": 4,
            "raw": "sorry",
            "attempts": 2,
            "cost": 0.25,
        },
    }


def test_an_unreadable_row_is_its_text() -> None:
    """It has no columns."""
    error = UnreadableRow("rows.jsonl:4: not JSON", raw="{oops")

    assert error_row(Unreadable(3, 4, "rows.jsonl", error, "{oops"), error) == {
        "_error": {
            "type": "unreadable_row",
            "message": "rows.jsonl:4: not JSON",
            "line": 4,
            "raw": "{oops",
            "attempts": 0,
            "cost": None,
        }
    }


@pytest.mark.parametrize(
    ("shape", "late", "name"),
    [
        (Shape(), {"tone": "loud"}, "tone"),
        (Shape(prefix="x_"), {"x_tone": 1}, "x_tone"),
        (Shape(into="found"), {"found": 1}, "found"),
        (Shape(meta=True), {"_llmx": 1}, "_llmx"),
        (Shape(explode="tags"), {"_item": 1}, "_item"),
        (Shape(explode="tags"), {"tags": 1}, "tags"),
    ],
)
def test_a_column_that_comes_late_is_not_overwritten(shape: Shape, late: dict[str, Any], name: str) -> None:
    """Neither before the call, nor after it; the message says which, and the way out."""
    check = shape.row_check(list(FOUND), {"tags": []})
    check(DATA)
    assert shape.rows(DATA, FOUND, {"model": "m"})

    for fail in (lambda: check(DATA | late), lambda: shape.rows(DATA | late, FOUND, {"model": "m"})):
        with pytest.raises(
            UnreadableRow, match=f"the column '{name}' of this row is also a .*--keep COLS"
        ) as caught:
            fail()
        assert caught.value.hint


def test_what_was_extracted_is_kept_with_the_error() -> None:
    """It was paid for."""
    with pytest.raises(UnreadableRow) as caught:
        Shape().rows({"tone": "loud"}, FOUND)

    assert caught.value.raw == '{"tone":"good","tags":["a","b"]}'


@pytest.mark.parametrize("shape", [Shape(keep="none"), Shape(keep=["id"])])
def test_a_late_column_that_is_not_kept_does_no_harm(shape: Shape) -> None:
    """Nobody wants it."""
    late = DATA | {"tone": "loud"}
    shape.row_check(list(FOUND), {})(late)

    assert shape.rows(late, FOUND)[0]["tone"] == "good"


def test_an_elements_unforeseen_field_does_not_overwrite_the_rows() -> None:
    """Objects may have more fields than the schema names."""
    with pytest.raises(UnreadableRow, match="'no' is a field both of the row and of the elements of 'lines'"):
        Shape(explode="lines").rows({}, {"no": 1, "lines": [{"sku": "a"}, {"no": 2}]})
