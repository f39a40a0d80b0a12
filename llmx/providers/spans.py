"""String fields that can only be copied from the row (`--spans`).

A free-form string (type string; no enum, const, format or pattern) becomes a contiguous piece of the row's
text, cut at the edges of words. So the value is verbatim in the row, whatever the model would like to add;
it may still be the wrong piece. A nullable field may be null, and "" stays possible unless the schema
forbids it by `minLength`: it is how a required field says that the row has nothing for it.

The pieces are one terminal of the grammar, a substring automaton that llguidance builds in time linear in
the row (5,000 words: under 20 ms), so there is no limit but the model's context. Around it the schema's
objects, lists, unions and references are written out as Lark rules; every other part of the schema is left
to llguidance. What is not written out (`unrestricted()` names it) is valid JSON for the schema, not a span.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llmx.providers.grammar import HEADER, json_rule

__all__ = ["pieces", "span_grammar", "unrestricted"]

Schema = Mapping[str, Any]

# A word keeps what stands inside it (an e-mail address, a price, O'Neil) and loses what stands around it
# (a full stop, a bracket, a quote), so that a span may end before the punctuation.
PIECE = re.compile(r"\s+|\w[^\s,;:|<>()\[\]{}\"“”«»]*(?<=\w)|\w|.", re.DOTALL)

ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"}
    | {"$schema", "$id", "discriminator", "$defs", "definitions"}
)
WRITTEN_OUT = {
    "object": frozenset({"type", "properties", "required", "additionalProperties"}),
    "array": frozenset({"type", "items", "minItems", "maxItems"}),
    "string": frozenset({"type", "minLength", "maxLength"}),
}
# A string without blanks at its ends; one character of it may be an escape sequence.
TRIMMED = r"/([^ ]((?s:.*)[^ ])?)?/"
CHARACTER = r"(\\(u[0-9a-f]{4}|.)|[^\\])"


def pieces(row: str) -> list[str]:
    """The words, blanks and punctuation marks of `row`, in order; joined they are `row` again."""
    return PIECE.findall(row)


def span_grammar(schema: Schema, row: str) -> str:
    """The grammar of `schema` with its free-form strings restricted to spans of `row`.

    Args:
        schema: a JSON Schema with local references only.
        row: the text that strings are copied from.
    """
    rules = _Rules(schema)
    start = rules.of(schema)
    chunks = [json.dumps(piece, ensure_ascii=False)[1:-1] for piece in pieces(row)]
    lines = [f"start: {start}", *rules.lines]
    if rules.spans:
        lines.append(f"PIECES: %regex {json.dumps({'substring_chunks': chunks}, ensure_ascii=False)}")
    return HEADER + "\n".join(lines)


def unrestricted(schema: Schema) -> list[str]:
    """The places in `schema` that may hold free text and are not restricted to spans, as JSON pointers."""
    return list(_unrestricted(schema, "#"))
