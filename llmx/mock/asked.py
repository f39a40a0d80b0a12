"""What a request asks for, as its schema says it: the user's answer, or one with evidence around it.

The extractor's `--evidence` asks for `{"answer": <the user's schema>, "evidence": [{"field", "quote"}]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmx.mock.checking import checker
from llmx.mock.merging import Schema, SchemaError, Unsatisfiable, flatten

__all__ = ["Asked", "asked"]

_DEFINITIONS = ("$defs", "definitions")
_ANSWER, _EVIDENCE = "answer", "evidence"
_QUOTED = frozenset({"field", "quote"})


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A schema, looked into once.

    Args:
        schema: of the user's answer, with the definitions it refers to.
        fields: its top-level names.
        evidence: the schema of one piece of evidence, where there is a list of them beside the answer.
        fits: whether an answer is valid, None where every answer made of valid values is.
    """

    schema: Schema
    fields: frozenset[str]
    evidence: Schema | None
    fits: Callable[[Any], bool] | None

    def within(self, schema: Any) -> Schema:
        """A part of the schema as one of its own."""
        return {"allOf": [schema], **_definitions(self.schema)}


def asked(schema: Schema) -> Asked:
    """Look into a schema.

    Raises:
        SchemaError: it is none.
    """
    try:
        evidence = _evidence(schema)
        if evidence is not None:
            answer = flatten(schema, schema)["properties"][_ANSWER]
            schema = {**flatten(schema, answer), **_definitions(schema)}
        return Asked(schema, frozenset(_names(schema, schema)), evidence, checker(schema))
    except Unsatisfiable as error:
        raise SchemaError("nothing satisfies the schema") from error


def _definitions(schema: Schema) -> dict[str, Any]:
    return {word: schema[word] for word in _DEFINITIONS if word in schema}


def _evidence(schema: Schema) -> Schema | None:
    """Of one piece, self-contained; None where the schema asks for no evidence."""
    properties = flatten(schema, schema).get("properties", {})
    if properties.keys() != {_ANSWER, _EVIDENCE}:
        return None
    pieces = flatten(schema, properties[_EVIDENCE])
    piece = flatten(schema, pieces.get("items", {}))
    if pieces.get("type") != "array" or not piece.get("properties", {}).keys() >= _QUOTED:
        return None
    return {**piece, **_definitions(schema)}


def _names(root: Schema, schema: Any) -> set[str]:
    """The names at the top of an object, in all of its forms."""
    flat = flatten(root, schema)
    names = set(flat.get("properties", {}))
    for option in (*flat.get("anyOf", ()), *flat.get("oneOf", ())):
        if isinstance(option, Mapping):
            names |= _names(root, option)
    return names
