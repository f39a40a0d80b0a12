"""What is written of an answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
import pytest

from llmx.schemas import list_fields, schema_of, written_fields


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
    assert list(list_fields(schema_of(Log))[name]) == expected


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


class Street(pydantic.BaseModel):
    """An object in an object."""

    name: str
    number: int | None = None


class Address(pydantic.BaseModel):
    """An object with one, with a computed field, and with a field under another name."""

    street: Street | None
    town: str = pydantic.Field(serialization_alias="city")

    @pydantic.computed_field
    def label(self) -> str:
        """What is only written."""
        return self.town


class Person(Tree):
    """Fields of every sort."""

    address: Address | None
    reached: Call | Mail
    either: Street | str
    extra: dict[str, int]
    several: Street | dict[str, int]
    parent: Person | None
    tags: list[str]
    born: int | None


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("address", ["address.street.name", "address.street.number", "address.city", "address.label"]),
        ("reached", ["reached.kind", "reached.number", "reached.address"]),
        ("either", ["either"]),
        ("extra", ["extra"]),
        ("several", ["several"]),
        ("tags", ["tags"]),
        ("born", ["born"]),
        ("label", ["label"]),
    ],
)
def test_the_columns_of_a_field(name: str, columns: list[str]) -> None:
    """Every name that the schema tells; the field alone where it does not tell them all."""
    assert written_fields(schema_of(Person))[name] == columns


def test_an_object_that_holds_itself_ends() -> None:
    """There is no end to its names, unless it holds itself in lists."""

    class Row(pydantic.BaseModel):
        """One of each."""

        person: Person
        tree: Tree

    assert written_fields(schema_of(Person))["parent"] == ["parent"]
    assert written_fields(schema_of(Row)) == {"person": ["person"], "tree": ["tree.label", "tree.children"]}


def test_definitions_that_all_hold_each_other_take_no_time() -> None:
    """There are more ways through them than can be counted."""
    names = [f"n{number}" for number in range(25)]
    all_of_them = {"type": "object", "properties": {name: {"$ref": f"#/$defs/{name}"} for name in names}}
    schema = schema_of({"type": "object", "$defs": dict.fromkeys(names, all_of_them), **all_of_them})
    assert written_fields(schema) == {name: [name] for name in names}


def test_the_columns_of_a_lists_elements() -> None:
    """Elements have them too, also in a schema whose root is referred to."""

    class Log(pydantic.BaseModel):
        """Elements with objects."""

        people: list[Person]
        more: list[Log]

    found = list_fields(schema_of(Log))
    assert found["people"]["address"][0] == "address.street.name"
    assert list(found["more"]) == ["people", "more"]


def test_a_list_of_anything() -> None:
    """`true` is a schema, too."""
    properties: dict[str, Any] = {"any": True, "list": {"type": "array", "items": True}}
    schema = schema_of({"type": "object", "properties": properties})
    assert list_fields(schema) == {"list": {}}
    assert written_fields(schema) == {"any": ["any"], "list": ["list"]}


def test_the_columns_of_json_schema() -> None:
    """Objects by allOf and by reference have theirs too."""
    schema = schema_of(
        {
            "type": "object",
            "$defs": {"a": {"type": "object", "properties": {"x": {"type": "string"}}}},
            "properties": {
                "whole": {"type": "object"},
                "open": {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
                "one": {"$ref": "#/$defs/a"},
                "perhaps": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]},
            },
        }
    )
    columns = written_fields(schema)
    assert columns.pop("open") == ["open"]
    assert columns == {"whole": ["whole"], "one": ["one.x"], "perhaps": ["perhaps.x"]}
