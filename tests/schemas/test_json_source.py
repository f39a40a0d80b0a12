"""JSON Schema files: what is read, what is refused, and that nothing in them is ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from llmx.errors import UsageError
from llmx.schemas import DIALECTS, load_schema, schema_of, supports, wire_schema, written_fields

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object, all of whose properties are optional."""
    return {"title": "Row", "type": "object", "properties": properties}


def round_trip(document: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """What becomes of an answer."""
    schema = schema_of(document)
    return schema.dump(schema.parse(json.dumps(answer)))


def places(document: dict[str, Any], answer: Any) -> list[tuple[int | str, ...]]:
    """Where an answer does not fit."""
    with pytest.raises(pydantic.ValidationError) as caught:
        schema_of(document).parse(json.dumps(answer))
    return [error["loc"] for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": }', "s.json:2:8: not JSON: expecting value"),
        ("", "s.json:1:1: not JSON: expecting value"),
        ("[]", "s.json is not a JSON Schema: its root is not an object"),
        (
            '{"type": "object", "properties": {"a": {"type": "strin"}}}',
            "s.json: not a valid JSON Schema at properties/a/type: "
            "'strin' is not valid under any of the given schemas",
        ),
        ('{"name": "Ada"}', "s.json: the root of the JSON Schema has no 'properties'"),
        ('{"type": "array"}', "s.json: the root of the JSON Schema is of type 'array', not 'object'"),
        (
            '{"$schema": "http://json-schema.org/draft-04/schema#"}',
            "s.json: the $schema 'http://json-schema.org/draft-04/schema#' is not supported",
        ),
        ('{"$schema": 5}', "s.json: the $schema 5 is not supported"),
        ('{"properties": {"a": {"items": {"enum": []}}}}', "s.json: an enum has no choice"),
        ('{"items": ' * 100 + "{}" + "}" * 100, "s.json: nested deeper than 100 levels of JSON"),
        ('{"$schema": "urn:mine"}', "s.json: the $schema 'urn:mine' is not supported"),
        (
            '{"properties": {"a": {"$ref": "https://example.org/a.json"}}}',
            "s.json: the $ref 'https://example.org/a.json' points outside the file, which is never fetched",
        ),
        (
            '{"properties": {"a": {"$ref": "other.json#/$defs/A"}}}',
            "s.json: the $ref 'other.json#/$defs/A' points outside the file, which is never fetched",
        ),
        (
            '{"properties": {"a": {"$ref": "#/$defs/Adress"}}, "$defs": {"Address": {}}}',
            "s.json: the $ref '#/$defs/Adress' points at nothing",
        ),
        (
            '{"properties": {"a": {"type": "string", "pattern": "(?=x)"}}}',
            "s.json: the pattern '(?=x)' cannot be run: "
            "error: look-around, including look-ahead and look-behind, is not supported",
        ),
        ('{"properties": {"a": {"$dynamicRef": "#a"}}}', "s.json: '$dynamicRef' is not supported"),
        (
            '{"properties": {"a": {"patternProperties": {}, "unevaluatedProperties": false}}}',
            "s.json: 'unevaluatedProperties' beside 'patternProperties' is not supported",
        ),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Each with its place and reason, before anything is spent."""
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_schema("s.json", cwd=tmp_path)
    assert message == str(caught.value)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """Windows editors write one."""
    (tmp_path / "s.json").write_text(json.dumps(object_of(a={"type": "integer"})), "utf-8-sig")
    assert load_schema("s.json", cwd=tmp_path).fields == ["a"]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A binary file by mistake is a usage error."""
    (tmp_path / "s.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"s\.json cannot be read: 'utf-8' codec"):
        load_schema("s.json", cwd=tmp_path)


CONSTRAINTS: list[tuple[dict[str, Any], Any, Any]] = [
    ({"type": "string", "minLength": 2}, "ab", "a"),
    ({"type": "string", "maxLength": 2}, "ab", "abc"),
    ({"type": "string", "pattern": "^[ab]+$"}, "ab", "abc"),
    ({"type": "string", "format": "date"}, "2024-02-29", "2023-02-29"),
    ({"type": "string", "format": "date-time"}, "2024-02-29T12:00:00Z", "2024-02-29T25:00:00Z"),
    ({"type": "string", "format": "time"}, "12:00:00+01:00", "12:00"),
    ({"type": "string", "format": "duration"}, "P1DT2H", "1 day"),
    ({"type": "string", "format": "email"}, "a@example.org", "a at example.org"),
    ({"type": "string", "format": "uri"}, "https://example.org/a", "example.org"),
    ({"type": "string", "format": "hostname"}, "example.org", "-example.org"),
    ({"type": "string", "format": "uuid"}, "3e4666bf-d5e5-4aa7-b8ce-cefe41c7568a", "3e4666bf"),
    ({"type": "string", "format": "ipv4"}, "127.0.0.1", "127.0.0.256"),
    ({"type": "integer"}, 3, "3"),
    ({"type": "integer", "minimum": 3}, 3, 2),
    ({"type": "integer", "exclusiveMaximum": 3}, 2, 3),
    ({"type": "number", "multipleOf": 0.5}, 1.5, 1.2),
    ({"type": "boolean"}, True, "yes"),
    ({"type": ["string", "null"]}, None, 1),
    ({"enum": ["a", 1, None]}, None, 2),
    ({"const": {"a": 1}}, {"a": 1}, {"a": 2}),
    ({"type": "array", "items": {"type": "integer"}}, [1], ["1"]),
    ({"type": "array", "minItems": 2}, [1, 2], [1]),
    ({"type": "array", "uniqueItems": True}, [1, 2], [1, 1]),
    ({"type": "array", "contains": {"const": 1}}, [2, 1], [2]),
    ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, ["a"], ["a", 1]),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {"x": 1}, {"x": "1"}),
    ({"type": "object", "additionalProperties": False, "properties": {"x": {}}}, {"x": 1}, {"y": 1}),
    ({"type": "object", "patternProperties": {"^x": {"type": "integer"}}}, {"xy": 1, "y": "1"}, {"xy": "1"}),
    ({"type": "object", "propertyNames": {"maxLength": 1}}, {"x": 1}, {"xy": 1}),
    ({"type": "object", "minProperties": 1}, {"x": 1}, {}),
    ({"type": "object", "dependentRequired": {"x": ["y"]}}, {"x": 1, "y": 1}, {"x": 1}),
    ({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 3}]}, 2, 3),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "a", 1.5),
    ({"allOf": [{"type": "integer"}, {"minimum": 2}]}, 2, 1),
    ({"not": {"const": "a"}}, "b", "a"),
    ({"if": {"const": 1}, "then": False}, 2, 1),
]


@pytest.mark.parametrize(("node", "good", "bad"), CONSTRAINTS, ids=lambda value: str(value)[:60])
def test_every_constraint_is_checked(node: dict[str, Any], good: Any, bad: Any) -> None:
    """A good value comes through as it was, a bad one is found at its place."""
    document = {**object_of(a=node), "required": ["a"]}
    assert round_trip(document, {"a": good}) == {"a": good}
    assert places(document, {"a": bad})[0][0] == "a"


def test_properties_with_odd_names() -> None:
    """They validate and come out under their own names."""
    names = ["first-name", "class", "model_config", "_a", "schema", "€"]
    document = object_of(**{name: {"type": "string"} for name in names})
    assert round_trip(document, dict.fromkeys(names, "v")) == dict.fromkeys(names, "v")
    assert schema_of(document).fields == names


def test_recursive_schemas_validate_to_any_depth() -> None:
    """A reference may lead back to where it stands."""
    document = {**object_of(v={"type": "integer"}, next={"$ref": "#"})}
    assert round_trip(document, {"v": 1, "next": {"v": 2, "next": {"v": 3}}}) == {
        "v": 1,
        "next": {"v": 2, "next": {"v": 3}},
    }
    assert places(document, {"next": {"next": {"v": "x"}}}) == [("next", "next", "v")]


def test_properties_may_be_called_like_the_definitions_they_refer_to() -> None:
    """Lower-case names are usual for both."""
    defs = {
        name: {
            "type": "object",
            "properties": {other: {"$ref": f"#/$defs/{other}"}, "n": {"type": "integer"}},
        }
        for name, other in (("owner", "pet"), ("pet", "owner"))
    }
    schema = schema_of({"type": "object", "$defs": defs, "properties": {"owner": {"$ref": "#/$defs/owner"}}})
    answer = {"owner": {"pet": {"owner": {"n": 2}}, "n": 1}}
    assert schema.dump(schema.parse(json.dumps(answer))) == answer


def test_what_stands_beside_a_reference_holds_too() -> None:
    """Both schemas do, as of draft 2019-09."""
    base = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
    beside = {"$ref": "#/$defs/Base", "properties": {"extra": {"type": "string"}}, "required": ["extra"]}
    schema = schema_of(
        {"type": "object", "$defs": {"Base": base}, "properties": {"p": beside}, "required": ["p"]}
    )
    answer = {"p": {"id": 1, "extra": "x"}}
    assert schema.dump(schema.parse(json.dumps(answer))) == answer
    for dialect in DIALECTS[:1]:
        sent: Any = wire_schema(schema, dialect).schema
        assert list(sent["properties"]["p"]["properties"]) == ["id", "extra"]
    assert sorted(written_fields(schema)["p"]) == ["p.extra", "p.id"]


def test_nested_objects_become_models() -> None:
    """A library user gets attributes, not dictionaries."""
    document = object_of(home={"type": "object", "properties": {"street-name": {"type": "string"}}})
    value: Any = schema_of(document).parse('{"home": {"street-name": "x"}}')
    assert value.home.street_name == "x"


def test_references_of_draft_7_stand_alone() -> None:
    """What stands beside `$ref` means nothing there, and does in 2020-12."""
    properties = {"a": {"$ref": "#/definitions/A", "maxLength": 1}}
    document = {**object_of(**properties), "definitions": {"A": {"type": "string"}}}
    assert round_trip({"$schema": DRAFT_7, **document}, {"a": "xy"}) == {"a": "xy"}
    assert places(document, {"a": "xy"}) == [("a",)]


def test_null_is_taken_for_absent() -> None:
    """Where a property is optional and may not be null, and only there."""
    document = {**object_of(a={"type": "string"}, b={"type": ["string", "null"]}), "required": ["b"]}
    assert round_trip(document, {"a": None, "b": None}) == {"a": None, "b": None}
    with pytest.raises(pydantic.ValidationError, match="'a' is a required property and cannot be null"):
        schema_of({**document, "required": ["a"]}).parse('{"a": null, "b": "x"}')


def test_null_is_taken_for_absent_inside_a_union() -> None:
    """The branch that would fit without it is found."""
    one = {"type": "object", "properties": {"k": {"const": 1}, "x": {"type": "string"}}, "required": ["k"]}
    two = {"type": "object", "properties": {"k": {"const": 2}, "y": {"type": "string"}}, "required": ["k"]}
    assert round_trip(object_of(a={"oneOf": [one, two]}), {"a": {"k": 2, "y": None}}) == {"a": {"k": 2}}


def test_absent_properties_are_null_columns_but_stay_absent_inside() -> None:
    """A row has all its columns; a nested object is as it was answered."""
    document = object_of(a={"type": "string"}, o={"type": "object", "properties": {"x": {}, "y": {}}})
    assert round_trip(document, {"o": {"x": 1}}) == {"a": None, "o": {"x": 1}}


def test_defaults_are_filled_in() -> None:
    """As a Pydantic model would."""
    document = object_of(
        n={"type": "integer", "default": 3}, o={"type": "object", "properties": {"m": {"default": 4}}}
    )
    assert round_trip(document, {"o": {}}) == {"n": 3, "o": {"m": 4}}


def test_all_of_is_one_model() -> None:
    """Inheritance as JSON Schema writes it."""
    document = {
        "allOf": [{"$ref": "#/$defs/Base"}, {"properties": {"b": {"type": "integer"}}}],
        "$defs": {"Base": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}},
    }
    assert round_trip(document, {"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert places(document, {"b": 2}) == [()]
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}
    expected = {"title": "schema", "type": "object", "properties": properties, "required": ["a"]}
    assert expected == schema_of(document).json_schema


def test_branches_of_a_union_keep_their_own_properties() -> None:
    """Nothing that the check let through is lost in the model."""
    document = object_of(
        a={
            "type": "object",
            "properties": {"k": {"type": "integer"}},
            "anyOf": [{"properties": {"extra": {"type": "string"}}, "required": ["extra"]}],
        }
    )
    assert round_trip(document, {"a": {"k": 1, "extra": "x"}}) == {"a": {"k": 1, "extra": "x"}}


def test_undeclared_properties_are_dropped_unless_allowed() -> None:
    """By default they are allowed but not asked for; only a schema that says so keeps them."""
    document = object_of(a={"type": "integer"})
    assert round_trip(document, {"a": 1, "x": 2}) == {"a": 1}
    assert round_trip({**document, "additionalProperties": True}, {"a": 1, "x": 2}) == {"a": 1, "x": 2}


def test_a_required_property_that_is_declared_nowhere_is_a_field() -> None:
    """The model is asked for it, so it is kept."""
    schema = schema_of({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["b"]})
    assert schema.fields == ["a", "b"]
    assert schema.dump(schema.parse('{"a": 1, "b": [2]}')) == {"a": 1, "b": [2]}


def test_schemas_of_the_greatest_depth_work() -> None:
    """In every dialect, whether it takes them or not."""
    node: dict[str, Any] = {"type": "string"}
    answer: Any = "x"
    for _ in range(49):
        node, answer = {"type": "object", "properties": {"a": node}, "required": ["a"]}, {"a": answer}
    schema = schema_of(node)
    assert schema.dump(schema.parse(json.dumps(answer))) == answer
    assert written_fields(schema) == {"a": ["a" + ".a" * 48]}
    assert [supports(schema, dialect) for dialect in DIALECTS] == [False, True, True, True, True]


def test_problems_are_told_apart() -> None:
    """Each problem has its own place, for the model to mend."""
    document = object_of(a={"type": "integer"}, b={"type": "array", "items": {"type": "string"}})
    assert places(document, {"a": "x", "b": ["ok", 1]}) == [("a",), ("b", 1)]


def test_long_values_are_not_repeated_in_full() -> None:
    """An error message goes back to the model and into the error row."""
    with pytest.raises(pydantic.ValidationError) as caught:
        schema_of(object_of(a={"type": "integer"})).parse(json.dumps({"a": "x" * 5000}))
    assert len(caught.value.errors()[0]["msg"]) < 500


def test_patterns_cannot_be_made_to_backtrack() -> None:
    """The classic that hangs Python's engine is answered at once."""
    document = object_of(
        a={"type": "string", "pattern": "^(a+)+$"}, o={"patternProperties": {"^(a+)+$": False}}
    )
    evil = "a" * 5000 + "!"
    assert places(document, {"a": evil}) == [("a",)]
    assert round_trip(document, {"o": {evil: 1}}) == {"a": None, "o": {evil: 1}}


def test_the_json_schema_is_the_authors_own() -> None:
    """Only in normal form: definitions under `$defs`, those in use."""
    document = {
        "$schema": DRAFT_7,
        "$id": "https://example.org/row.json",
        **object_of(
            a={"$ref": "#/definitions/A"}, t={"items": [{"type": "string"}], "additionalItems": False}
        ),
        "definitions": {"A": {"type": "string", "maxLength": 3}, "Unused": {}},
    }
    assert schema_of(document).json_schema == {
        "title": "Row",
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/A"},
            "t": {"prefixItems": [{"type": "string"}], "items": False},
        },
        "$defs": {"A": {"type": "string", "maxLength": 3}},
    }


@pytest.mark.parametrize(
    ("ref", "rest"),
    [
        ("#/$defs/a~1b", {"$defs": {"a/b": {"type": "integer"}}}),
        ("#named", {"$defs": {"x": {"$anchor": "named", "type": "integer"}}}),
        ("#/properties/b", {}),
        ("https://example.org/s#/properties/b", {"$id": "https://example.org/s"}),
    ],
)
def test_references_inside_the_file(ref: str, rest: dict[str, Any]) -> None:
    """Pointers, escaped ones, anchors, and the file's own address."""
    document = {**object_of(a={"$ref": ref}, b={"type": "integer"}), **rest}
    assert places(document, {"a": "x"}) == [("a",)]
    assert round_trip(document, {"a": 1, "b": 2}) == {"a": 1, "b": 2}


def test_a_reference_to_itself_alone_is_refused() -> None:
    """It would be followed for ever."""
    document = {**object_of(a={"$ref": "#/$defs/A"}), "$defs": {"A": {"$ref": "#/$defs/A"}}}
    with pytest.raises(UsageError, match="definition 'A' refers to itself"):
        schema_of(document)


def doubled(levels: int, keyword: str) -> dict[str, Any]:
    """A schema of definitions each of which names the next one twice."""
    defs: dict[str, Any] = {
        f"d{number}": {keyword: [{"$ref": f"#/$defs/d{number + 1}"}] * 2} for number in range(levels)
    }
    defs[f"d{levels}"] = {"type": "string", "maxLength": 3}
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": defs}


def test_allof_that_doubles_at_each_level_is_refused() -> None:
    """Two to the power of the levels would have to be looked at."""
    with pytest.raises(UsageError, match="allOf come to more than"):
        schema_of(doubled(40, "allOf"))
    assert schema_of(doubled(5, "allOf")).parse('{"x": "abc"}').model_dump() == {"x": "abc"}


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_alternatives_that_double_at_each_level_end(keyword: str) -> None:
    """The answer is refused in time: 16 levels took 24 s, and each one more twice as long."""
    with pytest.raises(pydantic.ValidationError, match="more alternatives than can be tried"):
        schema_of(doubled(40, keyword)).parse('{"x": "abcd"}')


def test_a_long_answer_may_follow_many_references() -> None:
    """As many as it needs for its length."""
    item = {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}
    defs = {
        "a": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        "b": {"type": "string"},
    }
    schema = schema_of(
        {"type": "object", "properties": {"all": {"type": "array", "items": item}}, "$defs": defs}
    )
    assert len(schema.parse('{"all": [' + ", ".join(['"b"'] * 5_000) + "]}").model_dump()["all"]) == 5_000
