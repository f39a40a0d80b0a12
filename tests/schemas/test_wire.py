"""What each provider is sent, and what is said about it."""

from __future__ import annotations

import datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from llmx.schemas import DIALECTS, Dialect, Finding, schema_of, supports, wire_schema

CONSTRAINED: list[Dialect] = ["openai-strict", "anthropic-native", "local"]


def field(annotation: Any, dialect: Dialect) -> tuple[Any, list[tuple[str, str, str]]]:
    """How one field is sent, and the findings about it."""
    wire = wire_schema(schema_of(create_model("Row", a=annotation)), dialect)
    properties: Any = wire.schema["properties"]
    return properties["a"], [(one.level, one.path, one.message) for one in wire.findings]


def from_json(node: Any, dialect: Dialect, **rest: Any) -> tuple[Any, list[tuple[str, str, str]]]:
    """The same for a field of a JSON Schema."""
    document = {"type": "object", "properties": {"a": node}, "required": ["a"], **rest}
    wire = wire_schema(schema_of(document), dialect)
    properties: Any = wire.schema["properties"]
    return properties["a"], [(one.level, one.path, one.message) for one in wire.findings]


class Color(Enum):
    """A closed set."""

    RED = "red"


class Point(BaseModel):
    """A place."""

    x: int = Field(ge=0)
    label: str | None = None


class Tree(BaseModel):
    """Contains itself."""

    children: list[Tree] = []


class Open(BaseModel):
    """Has more than it names."""

    model_config = ConfigDict(extra="allow")
    a: int


def test_strict_objects_are_closed_and_require_everything() -> None:
    """An optional field is required and may be null."""
    sent, findings = field((Point, ...), "openai-strict")
    assert sent == {"$ref": "#/$defs/Point"}
    wire = wire_schema(schema_of(Point), "openai-strict")
    assert wire.schema == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "x": {"type": "integer", "minimum": 0},
            "label": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["x", "label"],
        "description": "A place.",
    }
    assert findings == [("rewritten", "a.label", "optional: null where it is absent")]


def test_native_objects_keep_optional_properties() -> None:
    """Anthropic allows them; what it does not enforce is told."""
    wire = wire_schema(schema_of(Point), "anthropic-native")
    assert wire.schema == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "x": {"type": "integer", "description": "(at least 0)"},
            "label": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["x"],
        "description": "A place.",
    }
    assert wire.findings == (Finding("weakened", "x", "minimum 0 is told to the model, not enforced"),)


def test_the_local_model_is_asked_for_every_nullable_field() -> None:
    """A small model would leave them all out."""
    assert wire_schema(schema_of(Point), "local").schema["required"] == ["x", "label"]


@pytest.mark.parametrize("dialect", ["openai-strict", "anthropic-native"])
@pytest.mark.parametrize(
    ("annotation", "finding"),
    [
        (dict[str, int], ("refused", "a", "a dictionary may have any keys")),
        (dict[str, Any], ("refused", "a", "a dictionary may have any keys")),
        (list[dict[str, int]], ("refused", "a[]", "a dictionary may have any keys")),
        (Any, ("refused", "a", "has no type: any value could stand there")),
        (list, ("refused", "a[]", "has no type: any value could stand there")),
        (Open, ("refused", "a", "may have keys beside its properties")),
    ],
)
def test_what_a_closed_grammar_cannot_say_is_refused(
    dialect: Dialect, annotation: Any, finding: tuple[str, str, str]
) -> None:
    """Rather than silently made empty."""
    assert finding in field((annotation, ...), dialect)[1]
    assert not supports(schema_of(create_model("Row", a=(annotation, ...))), dialect)


@pytest.mark.parametrize("dialect", ["openai-tools", "anthropic-tools", "local"])
@pytest.mark.parametrize("annotation", [dict[str, int], Any, list, Open, Tree])
def test_open_dialects_take_anything(dialect: Dialect, annotation: Any) -> None:
    """Tools that are not strict, and the local grammar, know free keys and values."""
    assert supports(schema_of(create_model("Row", a=(annotation, ...))), dialect)


def test_recursion() -> None:
    """OpenAI and the local model know it, Anthropic does not."""
    assert [one for one in DIALECTS if not supports(schema_of(Tree), one)] == ["anthropic-native"]
    finding = wire_schema(schema_of(Tree), "anthropic-native").findings[0]
    assert (finding.level, finding.message) == ("refused", "Tree contains itself")


@pytest.mark.parametrize(
    ("annotation", "openai", "anthropic", "local"),
    [
        (
            (int, Field(ge=1, lt=9)),
            {"minimum": 1, "exclusiveMaximum": 9},
            "(at least 1, less than 9)",
            "same",
        ),
        ((float, Field(multiple_of=0.5)), {"multipleOf": 0.5}, "(a multiple of 0.5)", "same"),
        (
            (str, Field(pattern="^a+$")),
            {"pattern": "^a+$"},
            '(matches the regular expression "^a+$")',
            "same",
        ),
        ((str, Field(min_length=2)), "(at least 2 characters)", "(at least 2 characters)", {"minLength": 2}),
        ((str, Field(pattern=r"\ba")), *[r'(matches the regular expression "\\ba")'] * 3),
        ((datetime.date, ...), {"format": "date"}, {"format": "date"}, "same"),
        ((pydantic.AnyUrl, ...), "(in the format uri, at least 1 characters)", None, None),
        ((pydantic.SecretStr, ...), *["(in the format password)"] * 3),
    ],
)
def test_constraints_are_enforced_or_told(annotation: Any, openai: Any, anthropic: Any, local: Any) -> None:
    """A dict: sent as it is; a text: in the description, with a finding."""
    for dialect, expected in zip(
        CONSTRAINED, (openai, anthropic, openai if local == "same" else local), strict=True
    ):
        sent, findings = field(annotation, dialect)
        if isinstance(expected, dict):
            assert (expected, []) == ({key: sent[key] for key in expected}, findings)
        elif expected is not None:
            assert expected == sent["description"]
            assert {"weakened"} == {level for level, _, _ in findings}


@pytest.mark.parametrize(("least", "enforced"), [(0, True), (1, True), (2, False)])
def test_native_lists_enforce_at_most_one_element(least: int, enforced: bool) -> None:
    """Anthropic knows minItems 0 and 1."""
    sent, findings = field((list[int], Field(min_length=least)), "anthropic-native")
    assert enforced == ("minItems" in sent) == (not findings)


def test_tuples_and_sets_are_weakened() -> None:
    """Positions and uniqueness are checked afterwards."""
    sent, findings = field((tuple[int, str], ...), "openai-strict")
    items = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert sent == {"type": "array", "items": items, "minItems": 2, "maxItems": 2}
    assert findings == [("weakened", "a", "which type stands at which position is not enforced")]
    message = "uniqueItems is told to the model, not enforced"
    assert field((set[int], ...), "openai-strict")[1] == [("weakened", "a", message)]


def test_discriminated_unions_are_plain_unions() -> None:
    """oneOf becomes anyOf; the discriminator goes, its constants stay."""

    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    sent, findings = field((Annotated[Cat | Dog, Field(discriminator="kind")], ...), "openai-strict")
    assert sent == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
    assert findings == [("rewritten", "a", "oneOf is written as anyOf")]


def test_nothing_stands_beside_a_reference() -> None:
    """A field's own description is kept by writing the definition out."""
    sent, _ = field((Color, Field(description="which")), "openai-strict")
    assert sent == {"enum": ["red"], "type": "string", "description": "which"}
    recursive, _ = field((Tree, Field(description="which")), "openai-strict")
    assert recursive == {"anyOf": [{"$ref": "#/$defs/Tree"}], "description": "which"}


def test_defaults_and_examples_are_told() -> None:
    """Strict mode knows neither; the model can use both."""
    sent, findings = field((str, Field(default="x", examples=["y"])), "openai-strict")
    assert sent == {"type": "string", "description": 'Default: "x". Examples: "y".'}
    assert findings == [("rewritten", "a", "optional, with a default: the model always gives it")]


def test_a_default_of_none_must_be_nullable() -> None:
    """Else a strict model would have to invent a value."""
    _, findings = field((int, None), "openai-strict")
    message = "is None where it is absent, but must always be given and may not be null"
    assert findings == [("refused", "a", message)]
    assert field((int, None), "local")[1] == []


def test_a_default_that_is_made_cannot_be_told() -> None:
    """A list can be empty, but a number must be something."""
    assert field((list[int], Field(default_factory=list)), "openai-strict")[1][0][0] == "rewritten"
    assert field((int, Field(default_factory=int)), "openai-strict")[1][0][0] == "weakened"


def test_optional_properties_of_a_json_schema_become_nullable() -> None:
    """Its model takes null for absent."""
    document = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for dialect in ("openai-strict", "local"):
        wire = wire_schema(schema_of(document), dialect)
        properties: Any = wire.schema["properties"]
        assert properties["a"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
        assert wire.schema["required"] == ["a"]


def test_echoed_titles_are_left_out() -> None:
    """They cost tokens in every call; a title of the user's own stays."""
    assert field((int, ...), "openai-tools")[0] == {"type": "integer"}
    assert field((int, Field(title="Age of Ada")), "openai-tools")[0] == {
        "type": "integer",
        "title": "Age of Ada",
    }
    assert field((int, Field(title="Age of Ada")), "openai-strict")[0] == {
        "type": "integer",
        "title": "Age of Ada",
    }


@pytest.mark.parametrize(
    ("node", "sent", "findings"),
    [
        ({"type": ["integer", "null"], "minimum": 0},
         {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]}, []),
        ({"enum": ["a", 1, None]}, {"enum": ["a", 1, None], "type": ["string", "integer", "null"]}, []),
        ({"const": True}, {"const": True, "type": "boolean"}, []),
        ({"enum": [{"x": 1}]}, None, [("refused", "a", "the choices hold objects or lists")]),
        ({"properties": {"x": {"type": "integer"}}, "required": ["x"]},
         {"type": "object", "additionalProperties": False, "properties": {"x": {"type": "integer"}},
          "required": ["x"]}, []),
        ({"type": "object", "properties": {}, "additionalProperties": False},
         {"type": "object", "properties": {}, "additionalProperties": False}, []),
        ({"type": "object", "required": ["x"], "properties": {"y": {"type": "integer", "default": 1}}}, None,
         [("rewritten", "a.y", "optional, with a default: the model always gives it"),
          ("refused", "a.x", "has no type: any value could stand there")]),
        ({"allOf": [{"type": "integer"}, {"minimum": 1}]}, {"type": "integer", "minimum": 1},
         [("rewritten", "a", "allOf is written as one schema")]),
        ({"allOf": [{"pattern": "a"}, {"pattern": "b"}], "type": "string"}, {"type": "string", "pattern": "a"},
         [("weakened", "a", "a further pattern is not enforced"),
          ("rewritten", "a", "allOf is written as one schema")]),
        ({"allOf": [{"const": "a"}, {"const": "b"}], "type": "string"}, {"type": "string"},
         [("refused", "a", "the parts of allOf do not go together in one schema")]),
        ({"type": ["string", "null"], "anyOf": [{"const": "a"}, {"type": "integer"}]},
         {"anyOf": [{"const": "a", "type": "string"}, {"type": "integer"}, {"type": "null"}]}, []),
        ({"type": "array", "prefixItems": [{"const": 1}]}, None,
         [("weakened", "a", "which type stands at which position is not enforced"),
          ("refused", "a", "after its first elements the list may hold anything")]),
        ({"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"],
          "unevaluatedProperties": {"type": "string"}}, None,
         [("refused", "a", "may have keys beside its properties")]),
        ({"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"],
          "anyOf": [{"allOf": [{"properties": {"y": {}}}]}, {"type": "null"}]},
         None, [("refused", "a", "properties stand beside anyOf with further ones")]),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]},
         {"anyOf": [{"type": "integer"}, {"type": "number"}]},
         [("weakened", "a", "oneOf is written as anyOf: an answer may fit two of them")]),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]},
         {"anyOf": [{"type": "integer"}, {"type": "string"}]},
         [("rewritten", "a", "oneOf is written as anyOf")]),
        ({"type": "string", "not": {"const": "x"}}, {"type": "string"}, [("weakened", "a", "not is not enforced")]),
        ({"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"], "anyOf": [{"required": ["x"]}]},
         None, [("weakened", "a", "anyOf beside properties is not enforced")]),
        ({"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"],
          "oneOf": [{"properties": {"y": {}}}]},
         None, [("refused", "a", "properties stand beside oneOf with further ones")]),
        ({"type": "object", "patternProperties": {"^x": {"type": "integer"}}}, None,
         [("refused", "a", "a dictionary may have any keys")]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}}, None,
         [("weakened", "a", "which type stands at which position is not enforced")]),
        ({"anyOf": [{"type": "integer"}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}]},
         {"anyOf": [{"type": "integer"}, {"type": "string"}]}, []),
    ],
)  # fmt: skip
def test_the_rest_of_json_schema_in_strict_mode(
    node: Any, sent: Any, findings: list[tuple[str, str, str]]
) -> None:
    """Rewritten where that loses nothing, else weakened or refused."""
    actual, found = from_json(node, "openai-strict")
    assert findings == found
    assert sent in (None, actual)


def test_findings_inside_definitions_name_the_place_in_the_answer() -> None:
    """The path is the first place where the definition stands."""
    _, findings = field((list[Point], ...), "anthropic-native")
    assert findings == [("weakened", "a[].x", "minimum 0 is told to the model, not enforced")]


def test_tools_are_sent_the_schema_as_it_is() -> None:
    """With the root written out, and lists that say what they hold."""
    wire = wire_schema(schema_of(Tree), "openai-tools")
    tree = {
        "type": "object",
        "description": "Contains itself.",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}, "default": []}},
    }
    assert wire.schema == {**tree, "$defs": {"Tree": tree}}
    assert wire.findings == ()
    assert from_json({"type": "array"}, "openai-tools")[0] == {"type": "array", "items": {}}


@pytest.mark.parametrize("dialect", ["anthropic-tools", "openai-tools"])
def test_tools_have_a_plain_root(dialect: Dialect) -> None:
    """No allOf, anyOf, oneOf, enum or not there."""
    base = {"properties": {"b": {"type": "integer"}}}
    wire = wire_schema(
        schema_of(
            {"type": "object", "properties": {"a": {}}, "allOf": [base], "anyOf": [{"required": ["a"]}]}
        ),
        dialect,
    )
    assert wire.schema == {"type": "object", "properties": {"a": {}, "b": {"type": "integer"}}}
    assert wire.findings == (Finding("weakened", "", "anyOf at the root is not told to the model"),)


def test_conditions_at_the_root_are_weakened() -> None:
    """No provider enforces them; the user's own schema does."""
    conditions = [
        {"if": {"properties": {"a": {"const": kind}}}, "then": {"required": ["b"]}} for kind in ("x", "y")
    ]
    properties = {"a": {"enum": ["x", "y", "z"]}, "b": {"type": "string"}}
    schema = schema_of({"type": "object", "properties": properties, "required": ["a"], "allOf": conditions})
    for dialect in DIALECTS:
        found = wire_schema(schema, dialect).findings
        assert [one.level for one in found if "a further if" in one.message] == ["weakened"]
        assert supports(schema, dialect)
    with pytest.raises(ValueError, match="'b' is a required property"):
        schema.parse('{"a": "y"}')


def test_anthropic_tools_refuse_odd_names() -> None:
    """Its API allows ASCII letters, digits and _ . - only."""
    wire = wire_schema(schema_of("größe float, ok"), "anthropic-tools")
    assert [(one.level, one.path) for one in wire.findings] == [("refused", "größe")]
    assert supports(schema_of("größe float, ok"), "anthropic-native")


def test_the_users_schema_is_left_alone() -> None:
    """What is sent is a copy."""
    schema = schema_of(Point)
    before = repr(schema.json_schema)
    for dialect in DIALECTS:
        wire_schema(schema, dialect).schema.clear()
    assert before == repr(schema.json_schema)
