"""Unions: branches that exclude each other, and that begin differently."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from llmx.schemas import Schema, schema_of, supports, wire_schema
from llmx.schemas.unions import disjoint


def kinds(one: Any, other: Any) -> dict[str, Any]:
    """Two objects that say what they are."""
    return {"type": "object", "properties": {"k": one, "x": other}, "required": ["k"]}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"type": "string"}, {"type": "integer"}, True),
        ({"type": "number"}, {"type": "integer"}, False),
        ({"type": ["string", "null"]}, {"type": ["integer", "null"]}, False),
        ({"const": "a"}, {"enum": ["b", "c"]}, True),
        ({"const": 1}, {"enum": [True]}, True),
        ({"const": "a"}, {"enum": ["a"]}, False),
        ({}, {"type": "string"}, False),
        (True, {"type": "string"}, False),
        (kinds({"const": 1}, {}), kinds({"const": 2}, {}), True),
        (kinds({"const": 1}, {"const": 1}), kinds({}, {"const": 2}), False),  # x may be absent
        ({"$ref": "#/$defs/A"}, {"type": "integer"}, True),
    ],
)
def test_what_excludes_each_other(one: Any, other: Any, expected: bool) -> None:
    """As far as it is plain to see."""
    assert disjoint(one, other, {"A": {"type": "string"}}) is expected


class Mail(BaseModel):
    """One way."""

    to: str
    kind: Literal["mail"]


class Call(BaseModel):
    """Another."""

    to: str
    kind: Literal["call"]


class Letter(BaseModel):
    """A third, which says what it is first."""

    kind: Literal["letter"]
    to: str


class Plain(BaseModel):
    """Says nothing."""

    to: str
    words: str


def one_of(*branches: type[BaseModel]) -> Schema:
    """A row with one of the branches."""

    class Row(BaseModel):
        way: branches[0] | branches[1]  # type: ignore[valid-type]

    return schema_of(Row)


def first_fields(schema: Schema) -> list[str]:
    sent: dict[str, Any] = wire_schema(schema, "openai-strict").schema
    return [next(iter(node["properties"])) for node in sent["$defs"].values()]


def test_what_tells_objects_apart_comes_first() -> None:
    """OpenAI refuses unions whose objects begin alike."""
    schema = one_of(Mail, Call)
    sent: dict[str, Any] = wire_schema(schema, "openai-strict").schema
    for node in sent["$defs"].values():
        assert list(node["properties"]) == node["required"] == ["kind", "to"]
    assert supports(schema, "openai-strict")


def test_objects_that_begin_differently_stay_as_they_are() -> None:
    """By their choices, or by their names."""
    assert first_fields(one_of(Letter, Plain)) == ["kind", "to"]
    assert sorted(first_fields(one_of(Letter, Mail))) == ["kind", "to"]


def test_objects_that_nothing_tells_apart_are_refused() -> None:
    """With a way out; other dialects take them."""
    schema = one_of(Mail, Plain)
    (finding,) = (one for one in wire_schema(schema, "openai-strict").findings if one.level == "refused")
    assert (finding.path, finding.message) == ("way", "two objects of a union begin with the same field")
    assert supports(schema, "openai-tools")
    assert supports(schema, "anthropic-native")


def test_tagged_unions_are_told_apart_by_their_tag() -> None:
    """Lists of them too."""

    class Row(BaseModel):
        ways: list[Annotated[Mail | Call, Field(discriminator="kind")]]

    assert first_fields(schema_of(Row)) == ["kind", "kind"]


def test_unions_of_unions_take_no_time() -> None:
    """There are more ways through them than can be counted."""
    names = [f"n{number}" for number in range(20)]
    union = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    defs = {
        name: {
            "type": "object",
            "properties": {"kind": {"const": name}, "x": union},
            "required": ["kind", "x"],
            "additionalProperties": False,
        }
        for name in names
    }
    schema = schema_of({"type": "object", "$defs": defs, "properties": {"a": union}, "required": ["a"]})
    assert supports(schema, "openai-tools")
    assert not supports(schema, "anthropic-native")
    wire_schema(schema, "openai-strict")
