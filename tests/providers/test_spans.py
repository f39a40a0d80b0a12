"""Spans of the row: what a string field may be copied from, and that the engine keeps to it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from llmx.providers.local import _load
from llmx.providers.spans import pieces, span_grammar, unrestricted

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
WORDS = st.text("ab1é漢\"\\/{}.,;:@-'\n\t  <>|()", min_size=1, max_size=40)

Schema = dict[str, Any]


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


STRING: Schema = {"type": "string"}


class Engine:
    """The embedded model, asked for strings of a grammar."""

    def __init__(self, path: Path) -> None:
        self._server = _load(path)

    def write(self, grammar: str, *, seed: int | None = None, tokens: int = 120) -> tuple[str, bool]:
        """What it writes, and whether it came to an end; at random with a seed."""
        heat = {"temperature": 0} if seed is None else {"temperature": 1.5, "seed": seed}
        messages = [{"role": "user", "content": "Answer."}]
        body = {"messages": messages, "max_tokens": tokens, "grammar": grammar, **heat}
        choice = self._server.handle_chat_completions(body)["choices"][0]
        return choice["message"]["content"], choice["finish_reason"] == "stop"

    def accepts(self, schema: Schema, row: str, value: str) -> bool:
        """Whether a string field may have this value.

        The field's terminal is intersected with the value: if nothing is left, llguidance rejects the
        grammar, and the model answers without one.
        """
        text = json.dumps(value, ensure_ascii=False)
        grammar = span_grammar(schema, row)
        start = re.search(r"^start: (\w+)$", grammar, re.M)
        assert start
        narrowed = grammar.replace(
            start[0], f"start: ONLY\nONLY: {start[1]} & {json.dumps(text, ensure_ascii=False)}"
        )
        return self.write(narrowed) == (text, True)


@pytest.fixture(scope="session")
def engine(weights: Path) -> Iterator[Engine]:
    made = Engine(weights)
    yield made
    del made._server


@given(TEXT)
def test_pieces_are_the_row(row: str) -> None:
    """Nothing is lost, doubled or moved."""
    assert "".join(pieces(row)) == row


@given(TEXT)
def test_words_begin_and_end_at_pieces(row: str) -> None:
    """Every span of whole words is a run of pieces."""
    edges = {0}
    for piece in pieces(row):
        edges.add(max(edges) + len(piece))
    words = re.finditer(r"\S+", row)
    assert {edge for word in words for edge in word.span()} <= edges


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("mail ana@cafe.example.", ["mail", " ", "ana@cafe.example", "."]),
        ("(020) 7946", ["(", "020", ")", " ", "7946"]),
        ("O'Neil: $5.50/h", ["O'Neil", ":", " ", "$", "5.50/h"]),
        ('"Vini" Srl,Roma', ['"', "Vini", '"', " ", "Srl", ",", "Roma"]),
        ("x\r\n\ny", ["x", "\r", "\n", "\n", "y"]),
        ("", []),
    ],
)
def test_pieces(row: str, expected: list[str]) -> None:
    """A word keeps what is inside it and loses the punctuation around it."""
    assert pieces(row) == expected


@pytest.mark.local_model
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=WORDS, data=st.data())
def test_every_span_of_words_is_accepted(engine: Engine, row: str, data: st.DataObject) -> None:
    """Quotes, backslashes, newlines, brackets, other scripts and repeated words included."""
    words = [*re.finditer(r"\S+", row)]
    assume(words)
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(words) - 1)] * 2)))
    span = row[words[first].start() : words[last].end()]
    assume("\x1e" not in span)
    assert engine.accepts(STRING, row, span)


@pytest.mark.local_model
def test_no_span_reaches_over_columns(engine: Engine) -> None:
    """Each column's text is copied from, the end of one and the beginning of the next together are not."""
    row = "\x1e".join(["Ana Sousa", "Lisboa"])
    assert engine.accepts(STRING, row, "Ana Sousa")
    assert engine.accepts(STRING, row, "Lisboa")
    assert not engine.accepts(STRING, row, "Sousa\x1eLisboa")
    assert not engine.accepts(STRING, row, "Sousa Lisboa")


@pytest.mark.local_model
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=WORDS, seed=st.integers(0, 1000))
def test_every_accepted_string_is_in_the_row(engine: Engine, row: str, seed: int) -> None:
    """Whatever is written at random is verbatim in the row, without blanks at its ends."""
    text, done = engine.write(span_grammar(STRING, row), seed=seed)
    assert done
    value = json.loads(text)
    assert value in row
    assert value == value.strip()


@pytest.mark.local_model
@pytest.mark.parametrize(
    "value", ["Ana Sosa", "Ana  Sousa", "na Sousa", "Sousa Ana", "Ana Sousa Lisboa", " Ana", "Ana "]
)
def test_what_is_not_a_span_is_not_accepted(engine: Engine, value: str) -> None:
    """Misspelt, cut inside a word, in another order, or with a hole."""
    assert not engine.accepts(STRING, "Ana Sousa, Café Lisboa", value)


@pytest.mark.local_model
def test_nothing_is_a_span_too(engine: Engine) -> None:
    """A required field of a row that has nothing for it is "", unless the schema forbids that."""
    assert engine.accepts(STRING, "Ana", "")
    assert engine.accepts(STRING, "", "")
    assert not engine.accepts({**STRING, "minLength": 1}, "Ana", "")


@pytest.mark.local_model
def test_lengths_are_kept(engine: Engine) -> None:
    """An escaped character counts as one."""
    bounded = {**STRING, "minLength": 3, "maxLength": 5}
    row = 'a "b" cdefgh'
    assert engine.accepts(bounded, row, '"b"')
    assert engine.accepts(bounded, row, 'a "b"')
    assert not engine.accepts(bounded, row, "a")
    assert not engine.accepts(bounded, row, "cdefgh")


@pytest.mark.local_model
def test_a_long_row(engine: Engine) -> None:
    """3,000 words cost no more than milliseconds."""
    row = " ".join(f"w{n}" for n in random.Random(1).choices(range(500), k=3000))
    assert engine.accepts(STRING, row, " ".join(row.split()[1500:1510]))


ADDRESS: Schema = {
    "type": "object",
    "properties": {"street": STRING, "number": {"type": "integer", "minimum": 1, "maximum": 99}},
    "required": ["number"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, Schema] = {
    "optional members": {
        "type": "object",
        "properties": dict.fromkeys(("a", "b", "c", "d"), STRING),
        "required": ["b"],
        "additionalProperties": False,
    },
    "all optional": {"type": "object", "properties": {"a": STRING, "b": {"type": "boolean"}}, "additionalProperties": False},
    "nullable": {"type": "object", "properties": {"a": nullable(STRING), 'q"\\ü': {"type": ["string", "null"]}}, "required": ["a", 'q"\\ü']},
    "enums, formats and patterns": {
        "type": "object",
        "properties": {
            "tone": {"enum": ["good", "bad"]},
            "kind": {"const": "x"},
            "day": {"type": "string", "format": "date"},
            "code": {"type": "string", "pattern": "^[A-Z]{2}$"},
        },
        "required": ["tone", "kind", "day", "code"],
    },
    "lists": {
        "type": "object",
        "properties": {
            "some": {"type": "array", "items": STRING, "maxItems": 2},
            "any": {"type": "array", "items": {"$ref": "#/$defs/Word"}},
            "two": {"type": "array", "items": STRING, "minItems": 2, "maxItems": 2},
            "none": {"type": "array", "items": STRING, "maxItems": 0},
            "one": {"type": "array", "items": {"type": "integer", "maximum": 9, "minimum": 0}, "minItems": 1, "maxItems": 1},
        },
        "required": ["some", "two", "none", "one"],
        "$defs": {"Word": STRING},
    },
    "references": {
        "type": "object",
        "properties": {"home": {"$ref": "#/$defs/Address"}, "work": nullable({"$ref": "#/$defs/Address"})},
        "required": ["home", "work"],
        "$defs": {"Address": ADDRESS},
    },
    "a tree": {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"name": STRING, "next": nullable({"$ref": "#/$defs/Node"})},
                "required": ["name", "next"],
            }
        },
    },
    "a reference below what the engine takes": {
        "type": "object",
        "properties": {"map": {"type": "object", "additionalProperties": {"$ref": "#/$defs/N"}, "maxProperties": 1}},
        "required": ["map"],
        "$defs": {"N": {"type": "integer", "minimum": 0, "maximum": 9}},
    },
}  # fmt: skip


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from strings_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from strings_in(child)


@pytest.mark.local_model
@pytest.mark.parametrize("name", SCHEMAS)
def test_answers_fit_the_schema(engine: Engine, name: str) -> None:
    """Written at random, they are valid, and their free strings are in the row."""
    schema, row = SCHEMAS[name], 'Ana "Vini" Sousa\tlives in Rua\nAugusta 12.'
    grammar, whole = span_grammar(schema, row), 0
    for seed in range(8):
        text, done = engine.write(grammar, seed=seed)
        assert text.startswith("{")
        if not done:
            continue  # a tree may grow beyond the limit
        whole += 1
        value = json.loads(text)
        jsonschema.validate(value, schema)
        if name != "enums, formats and patterns":
            assert [s for s in strings_in(value) if s not in row] == []
    assert whole or name == "a tree"


def test_no_terminal_without_strings() -> None:
    """A schema without free strings needs none of the row."""
    assert "PIECES" not in span_grammar(
        {"type": "object", "properties": {"n": {"type": "integer"}}}, "secret"
    )


@pytest.mark.parametrize("name", sorted(SCHEMAS.keys() - {"a reference below what the engine takes"}))
def test_everything_is_restricted(name: str) -> None:
    """In these schemas, all free strings are spans."""
    assert unrestricted(SCHEMAS[name]) == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", "additionalProperties": STRING}, ["#"]),
        ({"type": "object", "properties": {"t": {"type": "array", "prefixItems": [STRING]}}}, ["#/properties/t"]),
        ({"type": "object", "properties": {"t": {}}}, ["#/properties/t"]),
        ({"type": "array"}, ["#/items"]),
        ({"allOf": [STRING, {"maxLength": 3}]}, ["#"]),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}, ["#/$defs/A"]),
        ({"type": "integer", "multipleOf": 5}, []),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, []),
    ],
)  # fmt: skip
def test_what_is_not_restricted_is_named(schema: Schema, expected: list[str]) -> None:
    """Maps, tuples, anything, intersections: as places in the schema."""
    assert unrestricted(schema) == expected
