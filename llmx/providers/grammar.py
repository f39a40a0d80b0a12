"""From a JSON Schema to the grammar that holds the embedded model to it.

xllamacpp is built with llguidance, which reads a JSON Schema inside a Lark grammar. It is addressed
directly (`grammar`), not through `response_format`: on that way llama.cpp's own converter drops what it
does not know with a line on stderr. A grammar that llguidance rejects is dropped without any sign, and
the model then says what it likes; hence `probe()`, by which the provider sees whether it was taken.
What the engine leaves unheld of a schema is said before, by `llmx.schemas` (its dialect "local").

Syntax: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["HEADER", "ITEM_SEPARATOR", "KEY_SEPARATOR", "PROBE_SIGN", "json_rule", "probe", "schema_grammar"]

HEADER = "%llguidance {}\n"

PROBE_SIGN = "@"
"""What an answer under `probe()` begins with; without that grammar no answer does."""

# One space after commas and colons, as in the model's training data: 75 of 120 contact fields were
# verbatim so, 54 in compact JSON, 66 with free whitespace (which also invites loops of blanks).
ITEM_SEPARATOR = ", "
KEY_SEPARATOR = ": "

LAYOUT = {
    "whitespace_flexible": False,
    "item_separator": ITEM_SEPARATOR,
    "key_separator": KEY_SEPARATOR,
    # Without it one unknown keyword loses the whole grammar; with it, that keyword alone.
    "lenient": True,
}


def schema_grammar(schema: Mapping[str, Any]) -> str:
    """The grammar of `schema`, in one fixed layout."""
    return f"{HEADER}start: {json_rule(schema)}"


def probe(grammar: str) -> str:
    """`grammar` with `PROBE_SIGN` before its answers: they begin with it only if the engine takes it."""
    return grammar.replace("start: ", f'start: "{PROBE_SIGN}" ', 1)


def json_rule(schema: Mapping[str, Any]) -> str:
    """A Lark expression that accepts what `schema` accepts."""
    return f"%json {json.dumps({**schema, 'x-guidance': LAYOUT}, ensure_ascii=False)}"
