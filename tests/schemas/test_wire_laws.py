"""Laws of what is sent, against the SDKs' own helpers and over generated schemas."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib._pydantic import _ensure_strict_json_schema, to_strict_json_schema
from pydantic import BaseModel, Field

from llmx.schemas import load_schema, ready_made, schema_of, supports, wire_schema

SCALARS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 1, "pattern": "^a"},
        {"type": "string", "format": "date", "description": "when"},
        {"type": ["string", "null"], "maxLength": 3},
        {"type": "integer", "minimum": 0},
        {"type": "number", "multipleOf": 0.5, "default": 1.5},
        {"type": "boolean"},
        {"enum": ["a", 1, None]},
        {"const": "x"},
        {"$ref": "#/$defs/Leaf"},
        {"$ref": "#/$defs/Leaf", "description": "beside"},
        {"$ref": "#/$defs/Loop"},
        {},
    ]
)


def _objects(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(
        st.sampled_from(["a", "b", "class", "first-name"]), inside, min_size=1, max_size=3
    )
    return st.builds(
        lambda found, required, more: {
            "type": "object",
            "properties": found,
            "required": [name for name in found if name in required],
            **({} if more is None else {"additionalProperties": more}),
        },
        properties,
        st.sets(st.sampled_from(["a", "b", "class", "first-name"])),
        st.sampled_from([None, None, False, True]),
    )


NODES = st.recursive(
    SCALARS,
    lambda inside: st.one_of(
        _objects(inside),
        inside.map(lambda one: {"type": "array", "items": one, "minItems": 2}),
        st.lists(inside, min_size=1, max_size=3).map(lambda some: {"type": "array", "prefixItems": some}),
        st.lists(inside, min_size=1, max_size=3).map(lambda some: {"anyOf": some}),
        st.lists(inside, min_size=1, max_size=3).map(lambda some: {"oneOf": some, "title": "One"}),
        st.lists(inside, min_size=1, max_size=2).map(lambda some: {"allOf": some}),
    ),
    max_leaves=8,
)
DEFINITIONS = {
    "Leaf": {"type": "object", "properties": {"v": {"type": "integer", "exclusiveMinimum": 0}}},
    "Loop": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Loop"}, "v": {"type": "null"}}},
}
DOCUMENTS = _objects(NODES).map(lambda one: {"title": "Row", **one, "$defs": DEFINITIONS})


@settings(deadline=None)
@given(DOCUMENTS)
def test_anthropics_helper_changes_nothing(document: dict[str, Any]) -> None:
    """Nothing is left that it would drop or move."""
    schema = schema_of(document)
    if supports(schema, "anthropic-native"):
        sent = wire_schema(schema, "anthropic-native").schema
        assert anthropic.transform_schema(copy.deepcopy(sent)) == sent


@settings(deadline=None)
@given(DOCUMENTS)
def test_openais_helper_changes_nothing(document: dict[str, Any]) -> None:
    """Every object is closed, every property required, nothing stands beside a reference."""
    schema = schema_of(document)
    if supports(schema, "openai-strict"):
        sent: Any = wire_schema(schema, "openai-strict").schema
        assert _ensure_strict_json_schema(copy.deepcopy(sent), path=(), root=sent) == sent


@settings(deadline=None)
@given(DOCUMENTS)
def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    """No definition is missing, and none is sent for nothing."""
    for dialect in ("openai-strict", "anthropic-native", "local"):
        sent = wire_schema(schema_of(document), dialect).schema
        defined: Any = sent.get("$defs", {})
        assert _referred(sent) == set(defined)


def _referred(node: Any) -> set[str]:
    if isinstance(node, list):
        return {name for child in node for name in _referred(child)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"].removeprefix("#/$defs/")} if isinstance(node.get("$ref"), str) else set()
    return own | {name for child in node.values() for name in _referred(child)}


class Part(BaseModel):
    """Inside."""

    name: str
    size: int | None = None


class Whole(BaseModel):
    """Outside."""

    parts: list[Part]
    main: Part = Field(description="the largest")
    note: str = "none"


def _shape(node: Any) -> Any:
    """What strict mode is about: which properties there are, which are required, what is closed."""
    if not isinstance(node, dict):
        return node
    kept = {key: node[key] for key in ("required", "additionalProperties") if key in node}
    return kept | {name: _shape(child) for name, child in node.get("properties", {}).items()}


@pytest.mark.parametrize("source", [Whole, *ready_made()])
def test_the_shape_is_that_of_openais_helper(source: Any) -> None:
    """Where its helper works, ours says the same."""
    schema = schema_of(source) if isinstance(source, type) else load_schema(source, cwd=Path())
    assert _shape(to_strict_json_schema(schema.model)) == _shape(wire_schema(schema, "openai-strict").schema)
