"""No answer, and no schema, keeps the process busy: what would take hours by backtracking or by pairs ends at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from llmx.errors import UsageError
from llmx.providers.codec import answer_json
from llmx.schemas import schema_of

BACKTRACKING = "^(a+)+$"
HOSTILE = "a" * 50_000 + "!"


def schema(field: dict[str, Any], **root: Any) -> Any:
    return schema_of({"type": "object", "properties": {"x": field}, "required": ["x"], **root})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "string", "pattern": BACKTRACKING}, HOSTILE),
        ({"type": "object", "propertyNames": {"pattern": BACKTRACKING}}, {HOSTILE: 1}),
        (
            {"type": "object", "patternProperties": {BACKTRACKING: {}}, "additionalProperties": False},
            {HOSTILE: 1},
        ),
        ({"type": "string", "format": "regex"}, "(" * 50_000),
        ({"type": "string", "format": "hostname"}, "a-" * 50_000),
        ({"type": "string", "format": "email"}, "a@" + "a." * 50_000),
        ({"type": "string", "format": "duration"}, "P" + "1" * 50_000),
        ({"type": "array", "uniqueItems": True}, [{"n": n % 19_999} for n in range(20_000)]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_hostile_answer(field: dict[str, Any], value: Any) -> None:
    """It does not fit, and that is found at once."""
    with pytest.raises(ValidationError):
        schema(field).parse(json.dumps({"x": value}))


@pytest.mark.parametrize(
    ("value", "unique"),
    [
        ([1, True, 0, False, "1", None, [], {}], True),
        ([1, 1.0], False),
        ([{"a": 1, "b": [2]}, {"b": [2], "a": 1}], False),
        ([[1], [True]], True),
        ([["a", {"b": 1}], ["a", {"b": 1}]], False),
        ([{}, []], True),
    ],
)
def test_equal_elements(value: list[Any], unique: bool) -> None:
    """Equal is what JSON Schema calls so: 1 and 1.0, objects in any order, but not 1 and true."""
    made = schema({"type": "array", "uniqueItems": True})
    if unique:
        made.parse(json.dumps({"x": value}))
    else:
        with pytest.raises(ValueError, match="the list has an element twice"):
            made.parse(json.dumps({"x": value}))


PATTERNS = {"patternProperties": {BACKTRACKING: {}}}


@pytest.mark.parametrize(
    "field",
    [
        {"type": "object", **PATTERNS, "unevaluatedProperties": False},
        {"type": "object", "allOf": [PATTERNS], "unevaluatedProperties": False},
        {"type": "object", "anyOf": [PATTERNS, {"type": "object"}], "unevaluatedProperties": False},
        {"$ref": "#/$defs/p", "unevaluatedProperties": False},
    ],
    ids=["beside", "allOf", "anyOf", "$ref"],
)
def test_patterns_that_only_pythons_engine_would_run(field: dict[str, Any]) -> None:
    """They are refused wherever in the schema they stand, before there is an answer."""
    with pytest.raises(
        UsageError, match=r"'unevaluatedProperties' beside 'patternProperties' is not supported$"
    ):
        schema(field, **{"$defs": {"p": {"type": "object", **PATTERNS}}})


@pytest.mark.parametrize(
    "reference",
    ["http://127.0.0.1:9/x.json", "file:///etc/hosts", "other.json#/x", "//127.0.0.1/x", "data:,{}"],
)
def test_a_reference_to_elsewhere(reference: str) -> None:
    """It is refused, and nothing is fetched."""
    with pytest.raises(UsageError, match=r"points outside the file, which is never fetched$"):
        schema({"$ref": reference})


@pytest.mark.parametrize(
    "text",
    ["{" * 100_000, "```json" * 30_000, '{"' + "\\" * 100_000, '{"a":' * 50_000, "```json" + " " * 100_000],
)
def test_an_answer_without_an_end(text: str) -> None:
    """JSON is looked for in prose, and not found, at once."""
    assert answer_json(text) == text
