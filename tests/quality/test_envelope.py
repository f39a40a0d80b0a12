"""The schema of an answer that comes with evidence."""

from __future__ import annotations

import json
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field, RootModel, field_validator

from llmx.mock.schemagen import compiled
from llmx.quality.envelope import evidenced
from llmx.quality.evidence import with_quotes
from llmx.quality.leaves import belongs, leaves, written_paths
from llmx.schemas import DIALECTS, load_schema, ready_made, schema_of, wire_schema


class Colour(Enum):
    """One of few."""

    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    """A part, made of parts."""

    name: str
    parts: list[Part] = []


class Everything(BaseModel):
    """All that a schema can hold."""

    text: str
    number: float | None
    choice: Literal["a", "b"]
    colour: Colour
    day: date | None = None
    many: list[str]
    pairs: list[tuple[int, str]]
    extra: dict[str, int]
    either: int | str
    part: Part
    maybe: Part | None = None
    renamed: int = Field(alias="Re-named", serialization_alias="other")


RECURSIVE: dict[str, Any] = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "v": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["v"],
        }
    },
}
SPECS: list[Any] = [Everything, RECURSIVE, "name, age int, tags list[str], due date?", *ready_made()]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_quotes_have_the_shape_of_the_answer(spec: Any, tmp_path: Path) -> None:
    """Whatever fits the user's schema, its quotes fit theirs: nothing but objects, lists and texts."""
    schema = load_schema(spec, cwd=tmp_path) if isinstance(spec, str) else schema_of(spec)
    asked = evidenced(schema)
    check = jsonschema.Draft202012Validator(asked.json_schema)
    for seed in range(20):
        answer = compiled(schema.json_schema).draw(seed, "some words of a row")
        whole = with_quotes(answer, {"text": "some words of a row"}, asked.json_schema)
        check.validate(json.loads(json.dumps(whole)))
        assert all(isinstance(quote, str) for _, quote in leaves(whole["evidence"]) if quote not in ([], {}))


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_evidence_is_refused_nowhere_where_the_schema_is_taken(
    spec: Any, dialect: Any, tmp_path: Path
) -> None:
    """It adds nothing that a provider does not take."""
    schema = load_schema(spec, cwd=tmp_path) if isinstance(spec, str) else schema_of(spec)
    refused = {f.message for f in wire_schema(schema, dialect).findings if f.level == "refused"}
    more = {f.message for f in wire_schema(evidenced(schema), dialect).findings if f.level == "refused"}
    assert not more or refused


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_an_answer_with_evidence_is_held_to_the_users_schema(spec: Any, tmp_path: Path) -> None:
    """Its value is the very one that the schema makes of the answer alone."""
    schema = load_schema(spec, cwd=tmp_path) if isinstance(spec, str) else schema_of(spec)
    answer = compiled(schema.json_schema).draw(7, "words")
    value = evidenced(schema).parse(json.dumps({"evidence": "nonsense", "answer": answer}))
    alone = schema.parse(json.dumps(answer))
    assert schema.dump(value.answer) == schema.dump(alone)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="answer"):
        evidenced(schema).parse('{"evidence": {}}')


def test_validators_see_the_answer_as_ever() -> None:
    """And what they say names the place under `answer`, which is where the model wrote it."""

    class Loud(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def _is_loud(cls, word: str) -> str:
            if not word.isupper():
                raise ValueError("not loud")
            return word

    with pytest.raises(ValueError, match=r"answer\.word\n.*not loud"):
        evidenced(schema_of(Loud)).parse('{"evidence": {"word": "x"}, "answer": {"word": "x"}}')


def test_an_infinity_is_refused_as_ever() -> None:
    """JSON has no way to write it."""

    class Number(BaseModel):
        n: float

    with pytest.raises(ValueError, match="not a finite number"):
        evidenced(schema_of(Number)).parse('{"evidence": {"n": ""}, "answer": {"n": 1e999}}')


def test_paths_are_written_by_the_names_of_the_output() -> None:
    """A field may be read by one name and written by another."""

    class Inner(BaseModel):
        n: int = Field(validation_alias="N", serialization_alias="count")

    class Outer(BaseModel):
        inner: list[Inner] = Field(alias="in", serialization_alias="out")
        free: dict[str, Any] = {}

    value = Outer.model_validate({"in": [{"N": 1}], "free": {"x": [1]}})
    assert written_paths(value, ("in", 0, "N")) == ("out", 0, "count")
    assert written_paths(value, ("free", "x", 0)) == ("free", "x", 0)
    assert written_paths(value, ("gone", 3)) == ("gone", 3)


def test_what_belongs_to_what_was_read() -> None:
    """Fields by every name that they are read by, what a mapping or a root holds, and extras where they are allowed."""

    class Row(BaseModel):
        number: int = Field(validation_alias="N", serialization_alias="count")

    class Rows(RootModel[list[Row]]):
        pass

    class Open(BaseModel, extra="allow"):
        rows: Rows
        free: dict[str, Any] = {}

    value = Open.model_validate({"rows": [{"N": 1, "junk": 2}], "free": {"x": 1}, "more": {"y": 1}})
    paths = [("rows", 0, "N"), ("free", "x"), ("more", "y"), ("rows", 0, "junk")]
    assert [belongs(value, path) for path in paths] == [True, True, True, False]
    assert not belongs(Row.model_validate({"N": 1}), ("more",))
    assert written_paths(value, ("rows", 0, "N")) == ("rows", 0, "count")
