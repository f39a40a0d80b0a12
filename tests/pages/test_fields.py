"""What is told of fields."""

from __future__ import annotations

from typing import Any

import pytest

from llmx.pages.fields import MOST_FIELDS, MOST_VALUES, Fields, general


def told(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is told of each field, by its path."""
    fields = Fields()
    for row in rows:
        fields.add(row)
    return {field["path"]: field for field in fields.as_json()}


def kind_of(values: list[Any]) -> str:
    return str(told([{"a": value} for value in values])["a"]["kind"])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["good", "bad"] * 3, "choice"),
        ([True, False], "choice"),
        ([1, 2, 3] * 4, "choice"),
        ([number / 7 for number in range(50)], "number"),
        (["1.5", "2", "-3e2"], "number"),
        (["007", "008", "009"], "text"),
        (["one text", "another", "a third"], "text"),
        (["x" * 500] * 9, "text"),
        ([[1], [], [1, 2]], "list"),
        ([{"b": 1}], "object"),
        ([None, None], "empty"),
        ([1, "one", [1]], "mixed"),
    ],
)
def test_kinds(values: list[Any], kind: str) -> None:
    """A field is what its values are; digits with a zero in front are a name."""
    assert kind == kind_of(values)


def test_nulls_and_empty_values() -> None:
    """Null, missing and empty are three things."""
    field = told([{"a": None}, {"a": ""}, {"b": 1}, {"a": "x"}])["a"]
    assert (field["rows"], field["present"], field["null"], field["empty"]) == (4, 2, 1, 1)


def test_values_of_a_choice_are_counted() -> None:
    """The commonest first; numbers in their order; true is not 1."""
    rows = [{"a": "x", "n": 3}] * 4 + [{"a": "y", "n": 1}] * 8 + [{"a": True, "n": 1}, {"a": 1, "n": 1}]
    fields = told(rows)
    assert fields["n"]["values"] == [[1, 10], [3, 4]]
    assert fields["a"]["values"][:2] == [["y", 8], ["x", 4]]
    assert told([{"b": True}] * 3 + [{"b": 1}] * 3)["b"]["distinct"] == 2


def test_objects_and_lists_are_told_by_what_is_in_them() -> None:
    """Paths have names and `[]`; how many there could be is how many elements there are."""
    rows = [{"items": [{"name": "a", "price": 1}, {"name": "b"}]}, {"items": []}, {"to": {"city": "Rome"}}]
    fields = told(rows)
    assert list(fields) == ["items", "items[]", "items[].name", "items[].price", "to", "to.city"]
    assert [fields[path]["rows"] for path in ("items", "items[].name", "to.city")] == [3, 2, 3]
    assert fields["items[].price"]["present"] == 1
    assert {fields[path]["column"] for path in fields} == {"items", "to"}


def test_too_many_fields_and_values_are_counted_and_left_out() -> None:
    """Names that are data do not fill the memory, nor do values that never come twice."""
    fields = Fields()
    fields.add({"a": {f"n{number}": 1 for number in range(1_000)}})
    assert len(fields.as_json()) == MOST_FIELDS
    assert fields.left_out == 1_001 - MOST_FIELDS
    field = told([{"a": f"text {number}"} for number in range(MOST_VALUES + 5)])["a"]
    assert (field["distinct"], field["values"]) == (None, [])
    assert field["lengths"]["count"] == MOST_VALUES + 5


@pytest.mark.parametrize(
    ("path", "field"),
    [("a", "a"), ("items.0.name", "items[].name"), ("a.10.3", "a[][]"), ("v1.2x", "v1.2x")],
)
def test_the_field_of_a_path(path: str, field: str) -> None:
    """Whole numbers between dots are places in a list."""
    assert general(path) == field


def test_evidence_and_confidence_belong_to_the_elements_field() -> None:
    """What is said of `tags.1` counts for `tags[]`; of a field nobody has met, for none."""
    fields = Fields()
    fields.add({"tags": ["a", "b"]})
    about = fields.about("tags.1")
    assert about is not None
    about.cite("exact")
    about.trust(0.95)
    about.trust(1.0)
    said = next(field for field in fields.as_json() if field["path"] == "tags[]")
    assert said["evidence"] == {"exact": 1}
    assert said["confidence"]["bins"][9] == 2
    assert fields.about("nobody") is None
