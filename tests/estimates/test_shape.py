"""How long answers are by their schema alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.estimates.shape import answer_size
from llmx.mock.schemagen import compiled


def of(**fields: Any) -> dict[str, Any]:
    """An object of which all fields are required."""
    return {"type": "object", "properties": fields, "required": list(fields)}


@pytest.mark.parametrize(
    ("field", "short", "usual"),
    [
        ({"type": "boolean"}, 4, 5),
        ({"enum": ["a", "bbb"]}, 3, 4),
        ({"const": "abc"}, 5, 5),
        ({"type": "string", "format": "date"}, 2, 12),
        ({"type": "string", "minLength": 40}, 42, 42),
        ({"type": "string", "maxLength": 3}, 2, 5),
        ({"anyOf": [{"const": "123456"}, {"type": "null"}]}, 4, 6),
        ({"type": ["null", "boolean"]}, 4, 4.5),
        ({"type": "array", "items": {"const": 12345}}, 2, 14),
        ({"type": "array", "items": {"const": 12345}, "minItems": 3}, 20, 20),
    ],
    ids=str,
)
def test_a_field(field: dict[str, Any], short: float, usual: float) -> None:
    """The bytes of its value, beside `{"f":}` and a comma."""
    size = answer_size(of(f=field))
    assert (size.short - 7, size.usual - 7) == (short, usual)


def test_what_may_be_absent_is_not_in_a_short_answer() -> None:
    """It is in a usual one."""
    schema = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 1}}, "required": ["a"]}
    assert answer_size(schema).short < answer_size(schema).usual


def test_a_field_for_sentences_is_longer() -> None:
    """Its name says so."""
    assert (
        answer_size(of(summary={"type": "string"})).usual
        > answer_size(of(city={"type": "string"})).usual + 50
    )


def test_references() -> None:
    """They are followed, and one that leads into itself ends."""
    node = {"$ref": "#/$defs/Node"}
    definition = of(name={"type": "string"}, children={"type": "array", "items": node})
    size = answer_size({**of(root=node), "$defs": {"Node": definition}})
    assert 40 < size.usual < 200
    assert answer_size({**of(a={"$ref": "#/$defs/nowhere"})}).usual > 2


@given(st.recursive(st.booleans() | st.text() | st.none(), lambda inner: st.dictionaries(st.text(), inner)))
def test_no_schema_is_too_strange(schema: Any) -> None:
    """Whatever stands there, there is a size, and a short answer is not longer than a usual one."""
    size = answer_size(schema if isinstance(schema, dict) else {"properties": {"any": schema}})
    assert 0 <= size.short <= size.usual


def test_a_simulated_models_answers_are_near() -> None:
    """On average they are neither below a short answer nor thrice a usual one."""
    schema = of(name={"type": "string"}, age={"type": "integer"}, tone={"enum": ["good", "bad"]})
    drawn = [len(json.dumps(compiled(schema).draw(seed, f"Row {seed} is by Ada"))) for seed in range(200)]
    size = answer_size(schema)
    assert size.short <= sum(drawn) / len(drawn) <= 3 * size.usual
