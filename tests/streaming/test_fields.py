"""Each field by itself is what it is in the whole object, or nothing is said of it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from llmx.mock.schemagen import Generator
from llmx.quality.envelope import evidenced
from llmx.schemas import ready_made, schema_of
from llmx.streaming.fields import Fields


class Inner(BaseModel):
    """An object in the object."""

    day: date
    price: Annotated[Decimal, Field(ge=0)]


class Tree(BaseModel):
    """One that holds itself."""

    label: str
    below: list[Tree] = []


class Whole(BaseModel):
    """Most of what pydantic knows of a field."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: str = Field(min_length=2)
    kind: Literal["a", "b"] = "a"
    inner: Inner | None = None
    trees: list[Tree] = []
    renamed: int = Field(alias="re named")
    read_so: int = Field(validation_alias="readSo", serialization_alias="writtenSo")
    either: str = Field(default="", validation_alias=AliasChoices("one", "other"))
    deep: int = Field(default=0, validation_alias=AliasPath("nested", "deep"))
    hidden: int = Field(default=0, exclude=True)
    upper: str = ""
    checked: int = 0
    later: int = 0

    @field_serializer("upper")
    def _shout(self, value: str) -> str:
        return value.upper()

    @field_validator("checked")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value

    @field_validator("later")
    @classmethod
    def _above(cls, value: int, info: ValidationInfo) -> int:
        return value + int(info.data["checked"])

    @model_validator(mode="after")
    def _never_alone(self) -> Whole:
        assert self.name
        return self

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know it over a property
    @property
    def length(self) -> int:
        return len(self.name)


WHOLE = Fields(schema_of(Whole))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", " Ada ", {"name": "Ada"}),
        ("name", "A", {}),
        ("kind", "c", {}),
        (
            "inner",
            {"day": "2026-01-02", "price": "1.50"},
            {"inner": {"day": "2026-01-02", "price": "1.50"}},
        ),
        ("inner", {"day": "2026-13-02", "price": 1}, {}),
        ("inner", None, {"inner": None}),
        ("trees", [{"label": "x", "below": [{"label": "y"}]}], None),
        ("re named", 3, {"re named": 3}),
        ("renamed", 3, {}),
        ("readSo", "4", {"writtenSo": 4}),
        ("other", "x", {"either": "x"}),
        ("nested", {"deep": 5}, {"deep": 5}),
        ("nested", {"shallow": 5}, {}),
        ("hidden", 1, {}),
        ("upper", "loud", {"upper": "LOUD"}),
        ("checked", 3, {}),
        ("checked", 4, {"checked": 4}),
        ("later", 1, {}),
        ("length", 1, {}),
        ("nobody", 1, {}),
    ],
)
def test_a_pydantic_field(key: str, value: Any, expected: Any) -> None:
    """By its own type, constraints, validators and serializers, and under the name by which it is written."""
    if expected is None:
        expected = {key: [{"label": "x", "below": [{"label": "y", "below": []}]}]}
    assert WHOLE.completed(key, json.dumps(value)) == expected


def test_by_its_name_too() -> None:
    """Where the model takes both."""

    class Both(BaseModel):
        model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
        name: str = Field(alias="the-name")

    fields = Fields(schema_of(Both))
    assert fields.completed("name", '"x"') == fields.completed("the-name", '"x"') == {"the-name": "x"}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", '"inf"', "nul", "", '"', "[1", '"\\ud83d"'])
def test_what_cannot_be_written(text: str) -> None:
    """Numbers that are not finite, what is no JSON, and halves of letters."""

    class Row(BaseModel):
        x: float | str | list[int]

    assert Fields(schema_of(Row)).completed("x", text) in ({}, {"x": "inf"})


def test_strict_models_read_json() -> None:
    """As JSON has no dates, a text is one even there."""

    class Row(BaseModel):
        model_config = ConfigDict(strict=True)
        day: date
        count: int

    fields = Fields(schema_of(Row))
    assert fields.completed("day", '"2026-01-02"') == {"day": "2026-01-02"}
    assert fields.completed("count", '"3"') == {}


def test_models_that_write_as_they_please() -> None:
    """Of what a serializer of the whole makes, nothing is known before the whole; a fault in it is nobody's."""

    class Own(BaseModel):
        a: int
        b: int

        @model_serializer
        def _sum(self) -> dict[str, Any]:
            return {"a": self.a + self.b, "b": 0}

    class Dumps(BaseModel):
        a: int

        def model_dump(self, **_: Any) -> dict[str, Any]:
            return {"a": 7}

    assert Fields(schema_of(Own)).completed("a", "1") == {}
    assert Fields(schema_of(Dumps)).completed("a", "1") == {}


JSON_SCHEMA = {
    "type": "object",
    "$defs": {"code": {"type": "string", "pattern": "^[A-Z]{2}$"}},
    "properties": {
        "code": {"$ref": "#/$defs/code"},
        "first-name": {"type": "string", "minLength": 2},
        "due": {"type": "string", "format": "date"},
        "size": {"type": "integer", "default": 5},
        "note": {"type": "string"},
        "list": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
        "any": True,
        "inner": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "integer"}}},
    },
    "required": ["code"],
}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("code", "DE", {"code": "DE"}),
        ("code", "de", {}),
        ("code", None, {}),
        ("first-name", "Ada", {"first-name": "Ada"}),
        ("first_name", "Ada", {}),
        ("due", "2026-02-30", {}),
        ("size", 7.0, {"size": 7}),
        ("size", None, {"size": 5}),
        ("note", None, {"note": None}),
        ("list", [1, 1], {}),
        ("any", {"b": [1, {}]}, {"any": {"b": [1, {}]}}),
        ("inner", {"x": None, "y": 1}, {"inner": {"y": 1}}),
        ("nobody", 1, {}),
    ],
)
def test_a_property_of_a_json_schema(key: str, value: Any, expected: dict[str, Any]) -> None:
    """By all keywords; a null stands for what is absent, as far as it may be, and what is written is as of the whole."""
    schema = schema_of(JSON_SCHEMA)
    assert Fields(schema).completed(key, json.dumps(value)) == expected
    if expected:
        whole = schema.dump(schema.parse(json.dumps({"code": "DE", key: value})))
        assert {key: whole[key]} == expected


def test_an_answer_with_evidence() -> None:
    """The user's fields are those of the answer in it."""
    fields = Fields(evidenced(schema_of("name, age int")))
    assert (fields.within, fields.completed("age", "3")) == ("answer", {"age": 3})


@pytest.mark.parametrize("name", ready_made())
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_together_they_are_the_object(name: str, seed: int) -> None:
    """Of any answer to a ready-made schema, each field alone is what it is in the whole."""
    schema = schema_of(name)
    answer = Generator(schema.json_schema).draw(seed, "some words, 3 of them")
    whole = schema.dump(schema.parse(json.dumps(answer)))
    fields = Fields(schema)
    told: dict[str, Any] = {}
    for key, value in answer.items():
        told |= fields.completed(key, json.dumps(value))
    assert told == {key: whole[key] for key in answer}
