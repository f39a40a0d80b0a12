"""allOf as one schema."""

from __future__ import annotations

from typing import Any

import pytest

from llmx.schemas.merge import merge_all_of


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([{"minimum": 1}, {"minimum": 2}], {"minimum": 2}),
        ([{"maxLength": 3}, {"maxLength": 2}], {"maxLength": 2}),
        ([{"type": "number"}, {"type": "integer"}], {"type": "integer"}),
        ([{"type": ["string", "null"]}, {"type": "string"}], {"type": "string"}),
        ([{"type": "string"}, {"type": "integer"}], None),
        ([{"enum": [1, 2]}, {"enum": [2, 3]}], {"enum": [2]}),
        ([{"required": ["a"]}, {"required": ["b", "a"]}], {"required": ["a", "b"]}),
        ([{"description": "first"}, {"description": "second"}], {"description": "first"}),
        ([{"prefixItems": [{}]}, {"prefixItems": []}], None),
        ([True, {"type": "string"}], {"type": "string"}),
        ([False], None),
        (
            [{"properties": {"a": {"minimum": 1}}}, {"properties": {"a": {"maximum": 2}, "b": {}}}],
            {"properties": {"a": {"minimum": 1, "maximum": 2}, "b": {}}},
        ),
        ([{"properties": {"a": {"const": "a"}}}, {"properties": {"a": {"const": "b"}}}], None),
        ([{"$ref": "#/$defs/A"}, {"minimum": 0}], {"type": "integer", "minimum": 0}),
        ([{"allOf": [{"minimum": 1}]}, {"maximum": 2}], {"minimum": 1, "maximum": 2}),
        ([{"$ref": "#/$defs/Loop"}], None),
    ],
)
def test_parts_become_one(parts: list[Any], expected: dict[str, Any] | None) -> None:
    """What holds when all hold, or None where one schema cannot say it."""
    defs = {"A": {"type": "integer"}, "Loop": {"allOf": [{"$ref": "#/$defs/Loop"}]}}
    assert merge_all_of({"allOf": parts}, defs) == expected


def test_what_stands_beside_comes_first() -> None:
    """The node's own keywords hold too, and its annotations win."""
    node = {"description": "own", "minimum": 3, "allOf": [{"description": "other", "minimum": 1}]}
    assert merge_all_of(node, {}) == {"description": "own", "minimum": 3}


@pytest.mark.parametrize(
    ("parts", "expected", "lost"),
    [
        ([{"pattern": "a"}, {"pattern": "b"}], {"pattern": "a"}, {"pattern"}),
        ([{"properties": {"a": {"not": {}}}}, {"properties": {"a": {"not": True}}}],
         {"properties": {"a": {"not": {}}}}, {"not"}),
        ([{"if": {"a": 1}, "then": {"b": 1}}, {"if": {"a": 2}, "else": {"b": 2}, "minimum": 3}],
         {"if": {"a": 1}, "then": {"b": 1}, "minimum": 3}, {"if"}),
        ([{"if": {"a": 1}, "then": {"b": 1}}, {"then": {"b": 1}, "if": {"a": 1}}],
         {"if": {"a": 1}, "then": {"b": 1}}, set()),
    ],
)  # fmt: skip
def test_constraints_of_which_one_is_kept_are_told(
    parts: list[Any], expected: dict[str, Any], lost: set[str]
) -> None:
    """More is allowed then, which the user's own schema still refuses."""
    told: set[str] = set()
    assert merge_all_of({"allOf": parts}, {}, told) == expected
    assert told == lost
