"""The schema as a value: names, fields, fingerprint, parse and dump."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pydantic
import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)

from llmx.errors import InvalidAnswer, UsageError
from llmx.schemas import Schema, schema_of

T = TypeVar("T")


class Color(Enum):
    """A closed set of values."""

    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    """One branch of a union."""

    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    """The other branch."""

    kind: Literal["dog"]
    tricks: list[str] = []


class Owner(BaseModel):
    """Who has a pet."""

    name: str = Field(alias="fullName", min_length=2)
    color: Color
    since: datetime.date | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]

    @field_validator("name")
    @classmethod
    def _has_no_digits(cls, value: str) -> str:
        if any(letter.isdigit() for letter in value):
            raise ValueError("a name has no digits")
        return value

    @model_validator(mode="after")
    def _red_owners_have_cats(self) -> Owner:
        if self.color is Color.RED and isinstance(self.pet, Dog):
            raise ValueError("red owners have cats")
        return self

    @computed_field
    def initial(self) -> str:
        return self.name[0]


GOOD = {"fullName": "Ada", "color": "red", "pet": {"kind": "cat"}}


def test_fields_are_the_names_in_the_output() -> None:
    """Aliases and computed fields are named as the dump names them."""
    assert schema_of(Owner).fields == ["fullName", "color", "since", "pet", "initial"]


def test_dump_is_json_ready_and_has_every_field() -> None:
    """Enums, dates and unions come out as JSON, in the order of the fields."""
    schema = schema_of(Owner)
    dumped = schema.dump(schema.parse(json.dumps(GOOD | {"since": "2024-02-29"})))
    expected = {
        "fullName": "Ada",
        "color": "red",
        "since": "2024-02-29",
        "pet": {"kind": "cat", "lives": 9},
        "initial": "A",
    }
    assert expected == json.loads(json.dumps(dumped))
    assert schema.fields == list(dumped)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"fullName": "A1"}, "a name has no digits"),
        ({"pet": {"kind": "dog"}}, "red owners have cats"),
        ({"fullName": "A"}, "at least 2 characters"),
        ({"pet": {"kind": "cow"}}, "does not match any of the expected tags"),
        ({"color": "green"}, "Input should be 'red' or 'blue'"),
    ],
)
def test_custom_validators_and_constraints_hold(change: dict[str, Any], problem: str) -> None:
    """Whatever the user's model refuses is refused."""
    with pytest.raises(pydantic.ValidationError, match=problem):
        schema_of(Owner).parse(json.dumps(GOOD | change))


def test_text_that_is_not_json_is_a_validation_error() -> None:
    """An answer cut in the middle is invalid, not a crash."""
    with pytest.raises(pydantic.ValidationError, match="Invalid JSON"):
        schema_of(Owner).parse('{"fullName": "A')


class Measured(BaseModel):
    """Numbers wherever they may stand."""

    value: float = 1.0
    many: list[float] = []
    by_name: dict[str, float] = {}

    @computed_field(alias="shareOfNothing")  # type: ignore[prop-decorator]
    @property
    def share(self) -> float:
        """What nobody has read."""
        return math.nan


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"value": NaN}', "value"),
        ('{"value": 1e999}', "value"),
        ('{"value": "-inf"}', "value"),
        ('{"many": [1, Infinity]}', "many.1"),
        ('{"by_name": {"a": NaN}}', "by_name.a"),
    ],
)
def test_numbers_that_are_not_finite_are_invalid(text: str, place: str) -> None:
    """They would be null in the output, which nobody has said."""
    with pytest.raises(ValueError, match=f"^{place}: not a finite number$"):
        schema_of(Measured).parse(text)


def test_a_computed_number_may_be_anything() -> None:
    """No model could mend it by another answer."""
    schema = schema_of(Measured)
    assert math.isnan(schema.dump(schema.parse("{}"))["shareOfNothing"])


def test_description_is_the_models_own_docstring() -> None:
    """A class without a docstring has no description, whatever its base says."""

    class Plain(Owner):
        pass

    assert schema_of(Owner).description == "Who has a pet."
    assert schema_of(Plain).description is None


@pytest.mark.parametrize(
    "extra", [{"required": True}, {"pattern": None}, {"format": ["x"]}, {"properties": None}, {"type": None}]
)
def test_a_json_schema_that_is_none_is_refused(extra: dict[str, Any]) -> None:
    """`json_schema_extra` takes anything."""
    model = pydantic.create_model("Row", a=(Inner, Field(json_schema_extra=extra)))
    with pytest.raises(UsageError, match="its JSON Schema is not valid: '"):
        schema_of(model)


class Inner(BaseModel):
    """A field's type."""

    b: str


def test_fingerprint_follows_the_json_schema() -> None:
    """The same schema has the same fingerprint, another constraint another one."""

    def made(most: int) -> Schema:
        return schema_of(pydantic.create_model("Row", a=(int, Field(le=most))))

    assert made(3).fingerprint == made(3).fingerprint
    assert made(3).fingerprint != made(4).fingerprint
    assert len(made(3).fingerprint) == 64


def test_fingerprint_follows_the_order_of_fields() -> None:
    """It decides what a model writes first, and so what it answers."""
    first, second = (
        schema_of(create_model("Review", **dict.fromkeys(names, (str | None, None))))
        for names in (("reasoning", "verdict"), ("verdict", "reasoning"))
    )
    assert first.fingerprint != second.fingerprint


def test_generic_models_get_a_name_that_tools_may_have() -> None:
    """Brackets of a parametrized class are not allowed in a tool's name."""

    class Box(BaseModel, Generic[T]):
        content: T

    assert schema_of(Box[int]).name == "Box_int"
    assert schema_of(Box[int]).dump(schema_of(Box[int]).parse('{"content": 3}')) == {"content": 3}


def test_recursive_models_work() -> None:
    """A model may contain itself."""

    class Tree(BaseModel):
        children: list[Tree] = []

    schema = schema_of(Tree)
    assert schema.dump(schema.parse('{"children": [{}]}')) == {"children": [{"children": []}]}
    assert list(schema.json_schema["properties"]) == ["children"]


def _marked(value: Callable[..., Any]) -> Callable[..., Any]:
    value.__async_validator__ = (("a",), value, False)  # type: ignore[attr-defined]  # as instructor marks it
    return value


class _Root(pydantic.RootModel[list[int]]):
    pass


class _Empty(BaseModel):
    pass


class _Unwritable(BaseModel):
    call: Callable[[], int]


class _Undefined(BaseModel):
    child: Missing  # type: ignore[name-defined]  # noqa: F821 - the point of the test


class _Async(BaseModel):
    a: int

    @_marked
    def later(self) -> None: ...


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_Root, "_Root: _Root is a RootModel: a row must be an object with named fields"),
        (_Empty, "_Empty: _Empty has no fields"),
        (
            _Unwritable,
            "_Unwritable: _Unwritable cannot be written as JSON Schema: "
            "Cannot generate a JsonSchema for core_schema.CallableSchema",
        ),
        (_Undefined, "_Undefined: _Undefined is not complete: name 'Missing' is not defined"),
        (_Async, "_Async: _Async.later is an async validator, which is never awaited here"),
    ],
)
def test_models_that_cannot_be_used_are_refused(model: type[BaseModel], message: str) -> None:
    """The message names the model and why."""
    with pytest.raises(UsageError) as caught:
        schema_of(model)
    assert message == str(caught.value)


def test_a_serializer_must_return_an_object() -> None:
    """A row cannot be a bare value."""

    class Odd(BaseModel):
        a: int

        @pydantic.model_serializer
        def _bare(self) -> int:
            return self.a

    schema = schema_of(Odd)
    with pytest.raises(InvalidAnswer, match="returns 1, which is not an object"):
        schema.parse('{"a": 1}')


def test_a_value_that_cannot_be_written_is_no_answer() -> None:
    """A serializer or computed field that raises fails its row, before anything is written."""

    class Odd(BaseModel):
        a: int

        @pydantic.computed_field
        def inverse(self) -> float:
            return 1 / self.a

    schema = schema_of(Odd)
    assert schema.dump(schema.parse('{"a": 2}')) == {"a": 2, "inverse": 0.5}
    with pytest.raises(InvalidAnswer, match=r"^the model's serializer failed: .*division by zero"):
        schema.parse('{"a": 0}')


def test_excluded_fields_are_no_columns() -> None:
    """A field that is never dumped is not announced."""

    class Row(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int
        hidden: int = Field(default=1, exclude=True)

    assert schema_of(Row).fields == ["a"]


@pytest.mark.parametrize("spec", ["name: d\udcff", {"properties": {"a": {"description": "x\ud800"}}}])
def test_a_schema_that_cannot_be_sent(spec: Any):
    """Half a surrogate pair is no text: every call would fail."""
    with pytest.raises(UsageError, match="not UTF-8"):
        schema_of(spec)
