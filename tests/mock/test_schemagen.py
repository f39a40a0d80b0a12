"""Generated values are valid for their schema, plausible, and the same every time."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import json
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import UUID1, UUID7, AnyUrl, Base64Str, BaseModel, Field

from llmx.mock.schemagen import Generator, SchemaError, compiled, generate

TEXT = "Please find attached the invoice no. 4711 of Acme Corp. for Ada Lovelace, due on 3 May."
PATTERNS = [
    "^[A-Z]{2}-\\d{3,5}$",
    "^(foo|bar)+$",
    "[^a-z]x?",
    "^\\w+@\\w+\\.(com|org)$",
    "^.{3}$",
    "(ab)\\1",
    "^$",
]
FORMATS = [
    "date",
    "date-time",
    "time",
    "email",
    "uuid",
    "uri",
    "ipv4",
    "ipv6",
    "hostname",
    "duration",
    "unheard-of",
]


def bounded(low: Any, high: Any, span: tuple[str, str]) -> Any:
    """Two optional keywords, the first never above the second."""
    return st.tuples(low, high).map(
        lambda pair: {
            name: value
            for name, value in zip(span, sorted(pair) if None not in pair else pair, strict=True)
            if value is not None
        }
    )


def sizes(name: str, most: int) -> Any:
    size = st.none() | st.integers(0, most)
    return bounded(size, size, (f"min{name}", f"max{name}"))


def numbers(kind: str) -> Any:
    bound = st.none() | st.integers(-10_000, 10_000)
    closed = bounded(bound, bound, ("minimum", "maximum"))
    opened = bound.map(
        lambda low: {} if low is None else {"exclusiveMinimum": low, "exclusiveMaximum": low + 7}
    )
    multiple = st.sampled_from([{}, {"multipleOf": 5}, {"multipleOf": 0.5}, {"multipleOf": 3}])
    return st.one_of(closed, opened, multiple).map(lambda keywords: {"type": kind, **keywords})


LEAVES = st.one_of(
    sizes("Length", 80).map(lambda keywords: {"type": "string", **keywords}),
    st.sampled_from(PATTERNS).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.sampled_from(FORMATS).map(lambda name: {"type": "string", "format": name}),
    numbers("integer"),
    numbers("number"),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, True, {"type": ["string", "null"]}]),
    st.lists(st.integers(-(2**63), 2**63) | st.text(max_size=5) | st.none(), min_size=1, max_size=4).map(
        lambda v: {"enum": v}
    ),
    st.sampled_from(["x", 3, None, [1], {"a": 1}]).map(lambda value: {"const": value}),
    st.just({"$ref": "#/$defs/Shared"}),
)


def objects(parts: Any) -> Any:
    fields = st.dictionaries(st.sampled_from("abcdefg"), parts, max_size=5)
    return st.builds(
        lambda properties, optional, closed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name not in optional],
            **({"additionalProperties": False} if closed else {}),
        },
        fields,
        st.sets(st.sampled_from("abcdefg")),
        st.booleans(),
    )


def containers(parts: Any) -> Any:
    return st.one_of(
        objects(parts),
        st.builds(lambda items, size: {"type": "array", "items": items, **size}, parts, sizes("Items", 6)),
        st.lists(parts, min_size=1, max_size=3).map(
            lambda heads: {"type": "array", "prefixItems": heads, "items": False, "minItems": len(heads)}
        ),
        st.builds(
            lambda values, size: {"type": "object", "additionalProperties": values, **size},
            parts,
            sizes("Properties", 4),
        ),
        st.lists(parts, min_size=1, max_size=3).map(lambda options: {"anyOf": options, "title": "Union"}),
        parts.map(lambda part: {"allOf": [part], "description": "wrapped"}),
    )


SHARED = objects(LEAVES.filter(lambda leaf: leaf != {"$ref": "#/$defs/Shared"}))
SCHEMAS = st.builds(
    lambda root, shared, recursive: {
        **root,
        "$defs": {
            "Shared": {
                **shared,
                "properties": shared["properties"]
                | ({"self": {"anyOf": [{"$ref": "#/$defs/Shared"}, {"type": "null"}]}} if recursive else {}),
            }
        },
    },
    objects(st.recursive(LEAVES, containers, max_leaves=12)),
    SHARED,
    st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=200)
@given(SCHEMAS, st.integers(0, 2**64 - 1))
def test_values_are_valid(schema: dict[str, Any], seed: int) -> None:
    """Whatever schema of the kinds that Pydantic writes, the value validates and survives JSON."""
    value = json.loads(json.dumps(generate(schema, seed, TEXT)))
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(value)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=30)
@given(SCHEMAS, st.integers(0, 2**64 - 1))
def test_values_are_repeatable(schema: dict[str, Any], seed: int) -> None:
    """A generator compiled anew gives the same value for the same seed and text."""
    assert generate(schema, seed, TEXT) == Generator(schema).draw(seed, TEXT)


class Colour(enum.Enum):
    """Values by name."""

    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    """One member of a tagged union."""

    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    """The other."""

    kind: Literal["dog"]
    name: str


class Node(BaseModel):
    """A model that contains itself."""

    label: str
    children: list[Node] = []
    parent: Node | None = None


class Everything(BaseModel):
    """A field of every kind that Pydantic has a word for in JSON Schema."""

    text: str
    short: str = Field(min_length=3, max_length=5)
    code: str = Field(pattern=r"^[A-Z]{3}-\d{4}$")
    share: float = Field(gt=0, lt=1)
    even: int = Field(multiple_of=2, ge=10)
    amount: Decimal
    price: Decimal = Field(max_digits=6, decimal_places=2, ge=0)
    day: dt.date
    moment: dt.datetime
    hour: dt.time
    length: dt.timedelta
    id: uuid.UUID
    old_id: UUID1
    new_id: UUID7
    network: ipaddress.IPv6Interface
    data: Base64Str
    address: ipaddress.IPv4Address
    link: AnyUrl
    colour: Colour
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    tags: set[Colour]
    pair: tuple[int, str]
    scores: dict[str, float]
    by_colour: dict[Colour, int]
    maybe: int | str | None
    tree: Node
    flag: bool = False


@pytest.mark.parametrize("seed", range(30))
def test_pydantic_accepts_them(seed: int) -> None:
    """The user's own model validates what was generated from its schema."""
    value = generate(Everything.model_json_schema(), seed, TEXT)
    assert Everything.model_validate_json(json.dumps(value))


@pytest.mark.parametrize("seed", range(20))
def test_recursion_ends(seed: int) -> None:
    """A model that contains itself gives a small tree."""
    value = generate(Node.model_json_schema(), seed, TEXT)
    assert len(json.dumps(Node.model_validate(value).model_dump())) < 100_000


def test_mutual_recursion_ends() -> None:
    """However many ways lead back, an answer stays small."""
    names = "abcdef"
    everyone = [{"$ref": f"#/$defs/{name}"} for name in names]
    many = {"type": "array", "items": {"anyOf": everyone}, "minItems": 0}
    defs = {
        name: {"type": "object", "properties": {"parts": many, "more": many}, "required": ["parts", "more"]}
        for name in names
    }
    value = generate({"$ref": "#/$defs/a", "$defs": defs}, 1, TEXT)
    assert len(json.dumps(value)) < 100_000


def test_wide_recursion_is_brought_to_an_end() -> None:
    """Twelve lists that may hold each other give some hundred containers, not some thousand."""
    everyone = [{"$ref": f"#/$defs/{number}"} for number in range(12)]
    defs = {}
    for number in range(12):  # each of its own kind, so that no two count as one container in the other
        many = {"type": "array", "items": {"anyOf": everyone}, "maxItems": number + 3}
        defs[str(number)] = {
            "type": "object",
            "properties": {"parts": many, "more": many},
            "required": ["parts", "more"],
        }
    value = generate({"$ref": "#/$defs/0", "$defs": defs}, 1, TEXT)
    assert 50 < json.dumps(value).count('"parts"') < 400


def test_strings_come_from_the_text() -> None:
    """A string without constraints is a span of the user's words."""
    values = [generate({"type": "string"}, seed, TEXT) for seed in range(50)]
    assert all(value in TEXT for value in values)
    assert len(set(values)) > 10


def test_a_text_without_words_is_no_obstacle() -> None:
    """Filler takes its place."""
    assert generate({"type": "string", "minLength": 3}, 1, "!?")


def test_draft_7_tuples() -> None:
    """`items` as a list, and what may follow it."""
    schema = {"type": "array", "items": [{"const": 1}, {"const": 2}], "additionalItems": False, "minItems": 2}
    assert generate(schema, 1) == [1, 2]


def test_all_of_is_merged() -> None:
    """Every part holds."""
    schema = {
        "allOf": [
            {"properties": {"a": {"type": "number", "minimum": 5}}, "required": ["a"]},
            {"properties": {"a": {"type": "integer", "maximum": 5}}, "required": ["a"]},
        ]
    }
    assert generate(schema, 1) == {"a": 5}


def test_siblings_of_a_union_hold_for_all_of_it() -> None:
    """An option that contradicts what stands beside the union is never taken."""
    schema = {
        "type": "integer",
        "minimum": 3,
        "maximum": 3,
        "anyOf": [{"type": "string"}, {"type": "number"}],
    }
    assert {3} == {generate(schema, seed) for seed in range(10)}


def test_unique_arrays_find_all_of_a_small_set() -> None:
    """Even when every member is needed."""
    schema = {
        "type": "array",
        "items": {"enum": [1, 2, 3, 4]},
        "uniqueItems": True,
        "minItems": 4,
        "maxItems": 4,
    }
    assert sorted(generate(schema, 7)) == [1, 2, 3, 4]


HARD = [
    {"enum": ["a", "bbb"], "minLength": 2},
    {"enum": [1, 5, 10], "minimum": 4, "type": "integer"},
    {"anyOf": [{"const": 5, "minimum": 9}, {"type": "boolean"}]},
    {"type": "string", "pattern": "^[A-Z]*$", "minLength": 3, "maxLength": 3},
    {"type": "array", "minItems": 3.0, "maxItems": 4.0, "items": {"type": "null"}},
    {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1.0},
    {"patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False, "minProperties": 2},
    {"type": "integer", "not": {"multipleOf": 2}},
    {"type": "array", "items": {"type": "boolean"}, "contains": {"const": True}, "minItems": 1},
    {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "integer", "multipleOf": 5}]},
    {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}},
        "dependentRequired": {"a": ["b"]},
    },
    {"if": {"type": "integer"}, "then": {"minimum": 50}, "type": "integer"},
    {"$ref": "#here", "$defs": {"Part": {"$anchor": "here", "const": "found"}}},
    {"$ref": "#/$defs/Part", "maxLength": 3, "$defs": {"Part": {"enum": ["long enough", "no"]}}},
]
"""Of each, a value that is drawn without looking may be invalid."""


@pytest.mark.parametrize("schema", HARD, ids=range(len(HARD)))
def test_rules_that_cannot_be_followed_are_checked(schema: dict[str, Any]) -> None:
    """What is drawn is looked at, and drawn again."""
    validator = jsonschema.Draft202012Validator(schema)
    assert all(validator.is_valid(generate(schema, seed, TEXT)) for seed in range(60))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True},
        {"type": "string", "not": {"type": "string"}},
    ],
)
def test_what_only_trial_can_tell_has_no_value(schema: dict[str, Any]) -> None:
    """It is an error when a value is drawn."""
    with pytest.raises(SchemaError, match="no value was found"):
        generate(schema, 1)


def test_bounds_are_decimal_numbers() -> None:
    """19.99 is a multiple of 0.01, though not in binary."""
    assert generate({"type": "number", "multipleOf": 0.01, "minimum": 19.99, "maximum": 19.99}, 1) == 19.99


def test_a_pattern_of_another_dialect_is_passed_over() -> None:
    """Python does not know it, so nobody can tell; a plausible text is more use than none."""
    assert generate({"type": "string", "pattern": "^\\p{Lu}+$"}, 1, TEXT)


def test_the_schema_is_part_of_the_seed() -> None:
    """Two schemas that allow the same get other values for the same prompt."""
    assert len({generate({"type": "number", "title": name}, 1) for name in "abcdef"}) > 3


def test_property_names_follow_their_pattern() -> None:
    """Keys of a map are drawn from `patternProperties` or `propertyNames`."""
    schema = {"type": "object", "patternProperties": {"^k\\d$": {"type": "integer"}}, "minProperties": 2}
    value = generate(schema, 3)
    assert len(value) >= 2
    assert all(len(name) == 2 and name[0] == "k" for name in value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "array", "minItems": 3, "maxItems": 2},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"allOf": [{"enum": [1]}, {"enum": [2]}]},
        {"enum": []},
        {"type": "strnig"},
        {"type": 3},
        {"required": [5]},
        {"type": "integer", "minimum": 1e20},
        {"type": "integer", "maximum": -1e19},
        {"$ref": "#anchor"},
        {"properties": []},
        {"properties": {"a": 5}},
    ],
)
def test_what_has_no_value(schema: dict[str, Any]) -> None:
    """It is an error when it is compiled, not when a value is drawn."""
    with pytest.raises(SchemaError):
        Generator(schema)


def test_deep_schemas_are_refused_politely() -> None:
    """Thousands of levels are a schema error, not a crash."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(2000):
        schema = {"type": "array", "items": schema, "minItems": 1}
    with pytest.raises(SchemaError):
        Generator(schema)


def test_generate_refuses_what_is_no_json() -> None:
    """An integer that JSON parsers disagree on is no part of a schema."""
    with pytest.raises(SchemaError, match="64-bit"):
        generate({"const": 2**70}, 1)


def test_generators_are_remembered() -> None:
    """The same schema is compiled once."""
    schema = {"type": "object", "properties": {"only_here": {"type": "string"}}}
    assert compiled(schema) is compiled(dict(schema))
