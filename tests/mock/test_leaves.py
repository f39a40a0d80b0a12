"""How a gold answer is read by a schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.mock.leaves import ABSENT, dotted, shaped
from llmx.mock.schemagen import generate
from llmx.schemas import Dialect, load_schema, wire_schema
from llmx.schemas.ready import ready_made
from llmx.schemas.wire import DIALECTS

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "paid": {"type": "boolean"},
        "tone": {"enum": ["good", "bad"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "other": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "required": ["name", "age", "paid", "tone", "lines", "other"],
    "additionalProperties": False,
    "$defs": {
        "Line": {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]},
    },
}

ANSWERS = st.fixed_dictionaries(
    {
        "name": st.text(),
        "age": st.none() | st.integers(0, 10**6),
        "paid": st.booleans(),
        "tone": st.sampled_from(["good", "bad"]),
        "lines": st.lists(st.fixed_dictionaries({"sum": st.floats(-1e6, 1e6)}), max_size=3),
        "other": st.dictionaries(st.text(), st.integers(-1000, 1000), max_size=3),
    }
)


@given(ANSWERS)
def test_a_valid_answer_is_left_as_it_is(answer: dict[str, Any]) -> None:
    """Every value that is no container is a leaf, nothing is missing."""
    found = shaped(SCHEMA, SCHEMA, answer)
    assert (answer, [], []) == (found.value, found.missing, found.unfit)
    assert len(found.leaves) == 4 + len(answer["lines"]) + len(answer["other"])


@given(ANSWERS)
def test_a_row_of_csv_means_the_same(answer: dict[str, Any]) -> None:
    """All cells are text there: numbers, booleans, JSON; an empty one is read as null."""
    cells = {
        name: value if value is None else value or None if isinstance(value, str) else json.dumps(value)
        for name, value in answer.items()
    }
    assert answer == shaped(SCHEMA, SCHEMA, cells).value


def test_what_the_file_is_silent_about() -> None:
    """Null or an empty list where the schema allows it, which is no value of the gold file; else it is missing."""
    found = shaped(SCHEMA, SCHEMA, {"name": "Ada", "unknown": 1})
    assert found.value == {"name": "Ada", "age": None, "lines": []}
    assert ["name"] == [dotted(leaf.steps) for leaf in found.leaves]
    assert ["paid", "tone", "other"] == [dotted(steps) for steps, _ in found.missing]


def test_a_key_that_the_schema_spells_otherwise() -> None:
    """A model is asked for `Brand_Name` where the gold file has `Brand Name`, as `llmx schema infer` proposes it."""
    names = ("Brand_Name", "class_", "size")
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": [*names],
    }
    found = shaped(schema, schema, {"Brand Name": "Bimmor", "class": "A", "size": "L"})
    assert found.value == {"Brand_Name": "Bimmor", "class_": "A", "size": "L"}
    assert [dotted(leaf.steps) for leaf in found.leaves] == ["Brand_Name", "class_", "size"]
    assert found.missing == found.unfit == []


def test_a_key_that_the_schema_has_is_not_spelled_otherwise() -> None:
    """`Brand_Name` is its own value where the gold file has both."""
    schema = {"type": "object", "properties": {"Brand_Name": {"type": "string"}, "size": {"type": "string"}}}
    assert shaped(schema, schema, {"Brand Name": "x", "Brand_Name": "y"}).value["Brand_Name"] == "y"


def test_what_the_schema_does_not_allow() -> None:
    """It is told apart from what is missing."""
    found = shaped(
        SCHEMA, SCHEMA, {"name": "Ada", "age": -1, "paid": "maybe", "tone": "ugly", "lines": [], "other": {}}
    )
    assert [(("age",), -1), (("paid",), "maybe"), (("tone",), "ugly")] == found.unfit
    assert [("age",), ("paid",), ("tone",)] == [steps for steps, _ in found.missing]


def test_a_list_of_which_some_is_not_allowed() -> None:
    """It is missing as a whole, and none of its values is a leaf."""
    schema = {
        "type": "object",
        "properties": {"ages": {"type": "array", "items": {"type": "integer"}}},
        "required": ["ages"],
    }
    found = shaped(schema, schema, {"ages": [1, "two"]})
    assert ({}, []) == (found.value, found.leaves)
    assert [(("ages",), [1, "two"])] == found.unfit


@pytest.mark.parametrize("gold", ["text", 3, None, []])
def test_no_object(gold: Any) -> None:
    """Then there is no answer."""
    assert shaped(SCHEMA, SCHEMA, gold).value is ABSENT


def test_the_option_of_a_union_that_fits() -> None:
    """Objects are told apart by their constants; text that is a number stays text where text is allowed."""
    cat = {
        "type": "object",
        "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
        "required": ["kind", "lives"],
    }
    dog = {
        "type": "object",
        "properties": {"kind": {"const": "dog"}, "tag": {"type": "string"}},
        "required": ["kind", "tag"],
    }
    schema = {
        "type": "object",
        "properties": {"pet": {"oneOf": [cat, dog]}, "code": {"type": ["integer", "string"]}},
        "required": ["pet", "code"],
    }
    answer = {"pet": {"kind": "dog", "tag": "x"}, "code": "007"}
    assert answer == shaped(schema, schema, answer).value


@pytest.mark.parametrize("name", sorted(ready_made()))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_answer_to_a_ready_made_schema_is_read_as_it_is(name: str, dialect: Dialect) -> None:
    """Whatever a provider is sent of it: nothing is missing, unfit or changed."""
    schema = wire_schema(load_schema(name, cwd=Path.cwd()), dialect).schema
    for seed in range(20):
        answer = generate(schema, seed, "some words to copy from")
        found = shaped(schema, schema, answer)
        assert (answer, [], []) == (found.value, found.missing, found.unfit)
