"""Inline schemas: grammar, types, and what is said of mistakes."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pydantic
import pytest

from llmx.errors import UsageError
from llmx.schemas import parse_inline
from llmx.schemas.inline import InlineField, read_fields

GRAMMAR = "write fields like: name, age int: in years, tone good|bad|neutral, tags list[str], due date?"


def test_the_form_of_the_design() -> None:
    """Names, types, choices, descriptions and optional fields are read."""
    fields = read_fields("name, age int: in years, tone good|bad|neutral, tags list[str], due date?")
    expected = [
        InlineField("name"),
        InlineField("age", "int", description="in years"),
        InlineField("tone", ("choices", ("good", "bad", "neutral"))),
        InlineField("tags", ("list", "str")),
        InlineField("due", "date", optional=True),
    ]
    assert expected == fields


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("a\nb int\n\n, c,", [InlineField("a"), InlineField("b", "int"), InlineField("c")]),
        ("a?", [InlineField("a", optional=True)]),
        ("a ?: x y ", [InlineField("a", optional=True, description="x y")]),
        ("a: in: years", [InlineField("a", description="in: years")]),
        ('a: "x, y", b', [InlineField("a", description="x, y"), InlineField("b")]),
        ("a: 'tis so, b", [InlineField("a", description="'tis so"), InlineField("b")]),
        ("a:", [InlineField("a")]),
        ("a list[ list[int] ]?", [InlineField("a", ("list", ("list", "int")), optional=True)]),
        ("a list[x|y]", [InlineField("a", ("list", ("choices", ("x", "y"))))]),
        ("a 1-2 | 'b, c' | ü", [InlineField("a", ("choices", ("1-2", "b, c", "ü")))]),
        ('a "only"', [InlineField("a", ("choices", ("only",)))]),
        ("a date|time", [InlineField("a", ("choices", ("date", "time")))]),
        ("a 'int'|'str'", [InlineField("a", ("choices", ("int", "str")))]),
        ("first-name, größe float", [InlineField("first-name"), InlineField("größe", "float")]),
    ],
)
def test_corners_of_the_grammar(spec: str, expected: list[InlineField]) -> None:
    """Blanks, newlines, quotes and nesting are read as a reader would."""
    assert expected == read_fields(spec)


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        (" , ", "the inline schema is empty", GRAMMAR),
        (
            "a, b strr",
            "inline schema, character 6: unknown type 'strr'",
            "did you mean 'str'? types are str, int, float, bool, date, datetime, list[type] and choices a|b|c",
        ),
        (
            "a number",
            "inline schema, character 3: unknown type 'number'",
            "did you mean 'float'? types are str, int, float, bool, date, datetime, list[type] and choices a|b|c",
        ),
        (
            "a dict",
            "inline schema, character 3: unknown type 'dict'",
            "objects are not written inline: write a Pydantic model and give path.py:Model",
        ),
        ("a int b", "inline schema, character 7: expected ',' after the field 'a', found 'b'", GRAMMAR),
        (
            "a, b, a int",
            "inline schema, character 7: the field 'a' is there twice",
            "give every field its own name",
        ),
        ("a list[int", "inline schema, character 11: expected ']', found the end", GRAMMAR),
        ("a list[]", "inline schema, character 8: expected a type or a choice, found ']'", GRAMMAR),
        ("a x|", "inline schema, character 5: expected a type or a choice, found the end", GRAMMAR),
        ("a x|y|x", "inline schema, character 3: the choice 'x' is there twice", GRAMMAR),
        ("a x|''", "inline schema, character 5: a choice is empty", GRAMMAR),
        ("?", "inline schema, character 1: expected a field name, found '?'", GRAMMAR),
        (
            "a int|None",
            "inline schema, character 3: int|None would be choices, not types",
            "'?' makes a field optional; for unions write a Pydantic model and give path.py:Model",
        ),
    ],
)
def test_mistakes_are_pointed_at(spec: str, message: str, hint: str) -> None:
    """The message says at which character, the hint how it is written."""
    with pytest.raises(UsageError) as caught:
        read_fields(spec)
    assert (message, hint) == (str(caught.value), caught.value.hint)


def test_lists_are_not_nested_without_end() -> None:
    """A spec cannot exhaust the stack."""
    with pytest.raises(UsageError, match="lists nested deeper than 20"):
        read_fields("a " + "list[" * 2000)


def test_the_model_has_the_types() -> None:
    """Every type of the grammar validates as its Python type."""
    schema = parse_inline("a, b int, c float, d bool, e date, f datetime, g list[x|y], h z|w, i?")
    text = (
        '{"a": "t", "b": 1, "c": 1.5, "d": true, "e": "2024-02-29", '
        '"f": "2024-02-29T12:00:00Z", "g": ["x"], "h": "w"}'
    )
    value: Any = schema.parse(text)
    assert datetime.date(2024, 2, 29) == value.e
    assert datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC) == value.f
    assert json.loads(text) | {"i": None} == schema.dump(value)


@pytest.mark.parametrize("text", ["20240229", '"20240229"', '"1709164800"', "1709164800", '"soon"'])
@pytest.mark.parametrize("declared", ["date", "datetime"])
def test_a_number_is_no_date(declared: str, text: str) -> None:
    """pydantic alone would count seconds since 1970."""
    with pytest.raises(pydantic.ValidationError):
        parse_inline(f"when {declared}").parse(f'{{"when": {text}}}')


def test_names_that_python_would_not_take() -> None:
    """They are the names of the output and of the JSON Schema all the same."""
    names = ["class", "first-name", "model_x", "model_config", "json", "schema", "_a", "copy"]
    schema = parse_inline(", ".join(names))
    row = dict.fromkeys(names, "v")
    assert names == schema.fields == list(schema.json_schema["properties"])
    assert row == schema.dump(schema.parse(json.dumps(row)))


def test_descriptions_reach_the_json_schema() -> None:
    """They are what the model is told about a field."""
    properties = parse_inline("age int: in years").json_schema["properties"]
    assert properties == {"age": {"type": "integer", "title": "age", "description": "in years"}}


def test_name_and_source() -> None:
    """An inline schema is called Extraction and remembers its text."""
    schema = parse_inline("a, b")
    assert (schema.name, schema.source, schema.description) == ("Extraction", "a, b", None)
