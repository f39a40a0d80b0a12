"""What is found out before a run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
import pytest

from llmx.environment import Environment
from llmx.planning import list_fields, make_prompt
from llmx.schemas import schema_of
from llmx.settings import Settings


class Call(pydantic.BaseModel):
    """One kind of element."""

    kind: Literal["call"]
    number: str


class Mail(pydantic.BaseModel):
    """Another kind."""

    kind: Literal["mail"]
    address: str


class Tree(pydantic.BaseModel):
    """An element that holds elements."""

    label: str
    children: list[Tree] = []


class Log(pydantic.BaseModel):
    """Lists of every sort."""

    either: list[Call | Mail]
    tagged: list[Annotated[Call | Mail, pydantic.Field(discriminator="kind")]]
    perhaps: list[Call | None] | None
    trees: list[Tree]
    words: list[str]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("either", ["kind", "number", "address"]),
        ("tagged", ["kind", "number", "address"]),
        ("perhaps", ["kind", "number"]),
        ("trees", ["label", "children"]),
        ("words", []),
    ],
)
def test_the_fields_of_a_lists_elements(name: str, expected: list[str]) -> None:
    """Those of all branches of a union; a type that holds itself ends."""
    assert list_fields(schema_of(Log))[name] == expected


def test_the_fields_of_elements_in_json_schema() -> None:
    """By allOf, by references that lead to references, and round in a circle."""
    objects: dict[str, Any] = {
        "$defs": {
            "a": {"allOf": [{"$ref": "#/$defs/b"}, {"properties": {"y": {"type": "string"}}}]},
            "b": {
                "type": "object",
                "properties": {"x": {"type": "string"}},
                "oneOf": [{"$ref": "#/$defs/a"}, {"properties": {"z": {"type": "string"}}}],
            },
        },
    }
    schema = {
        **objects,
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}
        },
    }

    class Given:
        """A schema that nothing has rewritten."""

        json_schema = schema

    assert sorted(list_fields(Given())["list"]) == ["x", "y", "z"]  # type: ignore[arg-type]  # all that is read


def test_fields_that_may_be_anything():
    """`true` is a schema, too: it has no description, and is no list."""
    schema = schema_of(
        {"type": "object", "properties": {"any": True, "list": {"type": "array", "items": True}}}
    )
    assert list_fields(schema) == {"list": []}
    settings = Settings.of({"schema": schema, "model": "openai/m"})
    assert "- any" in str(make_prompt(settings, schema, [], Environment()).prefix)
