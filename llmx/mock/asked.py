"""What a request asks for, as its schema says it: the user's answer, or one with evidence around it.

The extractor's `--evidence` asks for `{"evidence": <the same shape, of texts>, "answer": <the user's schema>}`.
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


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A schema, looked into once.

    Args:
        schema: of the user's answer, with the definitions it refers to.
        fields: its top-level names.
        evidence: whether quotes are asked for beside the answer, in its shape.
        fits: whether an answer is valid, None where every answer made of valid values is.
    """

    schema: Schema
    fields: frozenset[str]
    evidence: bool
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
        if evidence := _has_evidence(schema):
            answer = flatten(schema, schema)["properties"][_ANSWER]
            schema = {**flatten(schema, answer), **_definitions(schema)}
        return Asked(schema, frozenset(_names(schema, schema)), evidence, checker(schema))
    except Unsatisfiable as error:
        raise SchemaError("nothing satisfies the schema") from error


def _definitions(schema: Schema) -> dict[str, Any]:
    return {word: schema[word] for word in _DEFINITIONS if word in schema}


def _has_evidence(schema: Schema) -> bool:
    properties = flatten(schema, schema).get("properties", {})
    return properties.keys() == {_ANSWER, _EVIDENCE} and all(
        flatten(schema, inner).get("type") == "object" for inner in properties.values()
    )


def _names(root: Schema, schema: Any) -> set[str]:
    """The names at the top of an object, in all of its forms."""
    flat = flatten(root, schema)
    names = set(flat.get("properties", {}))
    for option in (*flat.get("anyOf", ()), *flat.get("oneOf", ())):
        if isinstance(option, Mapping):
            names |= _names(root, option)
    return names
