"""The schema of an answer that comes with evidence: the user's own, and beside it the same shape filled with quotes.

The user's schema is not changed: it stands whole under `answer`. Under `evidence`, which is written first so that the
answer follows from it, each value has a text in its place: the words of the row that it rests on, or none. A model that
must write the same shape cannot misname a place, and a grammar can hold it to that. It adds no unions: providers
limit how many a schema may have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel, create_model

from llmx.schemas import Schema
from llmx.schemas.keywords import Node, definitions, property_schemas, ref_name, resolved, types_of

__all__ = ["ANSWER", "EVIDENCE", "EvidencedSchema", "evidenced"]

ANSWER = "answer"
EVIDENCE = "evidence"

TOLD = (
    "For each value of the answer, the words of the row that it rests on, copied exactly as they stand there and no longer "
    "than needed; an empty text where the answer is null or no words say it."
)

_QUOTE: Node = {"type": "string"}


@dataclass(frozen=True, slots=True)
class EvidencedSchema(Schema):
    """A schema whose parsed objects have the user's own as `answer`, and quotes in its shape as `evidence`."""

    inner: Schema = field(kw_only=True, repr=False)

    def parse(self, text: str) -> BaseModel:
        """See `Schema.parse`; the answer is held to the user's schema, quotes to nothing."""
        envelope = self._validate(text)
        self.inner.checked(cast("Any", envelope).answer)
        return envelope

    @property
    def own(self) -> Schema:
        """See `Schema.own`."""
        return self.inner

    def answer_in(self, said: Any) -> Any:
        """See `Schema.answer_in`."""
        return said[ANSWER]

    @property
    def takes_null_for_absent(self) -> bool:
        """See `Schema.takes_null_for_absent`."""
        return self.inner.takes_null_for_absent


def evidenced(schema: Schema) -> EvidencedSchema:
    """The schema of answers with evidence."""
    model = create_model(schema.name, answer=(schema.model, ...), evidence=(Any, None))
    return EvidencedSchema(
        name=schema.name,
        model=model,
        json_schema=_enveloped(schema.json_schema),
        source=schema.source,
        description=schema.description,
        code=schema.code,
        made_of=schema.made_of,
        inner=schema,
    )


def _enveloped(json_schema: Node) -> Node:
    defs = definitions(json_schema)
    root = {key: value for key, value in json_schema.items() if key != "$defs"}
    quotes = {**_quoted(root, defs, ()), "description": TOLD}
    whole: Node = {
        "type": "object",
        "properties": {EVIDENCE: quotes, ANSWER: root},
        "required": [EVIDENCE, ANSWER],
        "additionalProperties": False,
    }
    return {**whole, "$defs": defs} if defs else whole


def _quoted(node: Any, defs: Mapping[str, Any], above: tuple[str, ...]) -> Node:
    """The schema of quotes for what fits a node.

    Args:
        above: the definitions that the node is part of: what contains itself has one quote for all below it.
    """
    name = ref_name(node) if isinstance(node, dict) else None
    if name is not None:
        return _QUOTE if name in above else _quoted(resolved(node, defs), defs, (*above, name))
    if not isinstance(node, dict):
        return _QUOTE
    if (options := _options(node)) is not None:
        return _quoted(options[0], defs, above) if len(options) == 1 else _QUOTE
    types = [kind for kind in types_of(node) if kind != "null"]
    if (fields := property_schemas(node)) and types in ([], ["object"]):
        return _quoted_object(fields, defs, above)
    if types == ["array"] and "prefixItems" not in node:
        return {"type": "array", "items": _quoted(node.get("items", {}), defs, above)}
    return _QUOTE


def _options(node: Node) -> list[Any] | None:
    """What a union may be beside null; None when the node is none."""
    options = node.get("anyOf") or node.get("oneOf")
    return None if not options else [one for one in options if not _is_null(one)]


def _is_null(node: Any) -> bool:
    return isinstance(node, dict) and types_of(node) == ["null"]


def _quoted_object(fields: Mapping[str, Any], defs: Mapping[str, Any], above: tuple[str, ...]) -> Node:
    return {
        "type": "object",
        "properties": {name: _quoted(inner, defs, above) for name, inner in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }
