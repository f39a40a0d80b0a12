"""From a JSON Schema to the grammar that holds the embedded model to it.

xllamacpp is built with llguidance, which reads a JSON Schema inside a Lark grammar. It is addressed
directly (`grammar`), not through `response_format`: on that way llama.cpp's own converter drops what it
does not know with a line on stderr. A grammar that llguidance rejects is dropped without any sign, and
the model then says what it likes; hence `gaps()`, which tells before a call what is not held, and
`probe()`, a grammar by which the provider sees whether the engine takes the schema at all.

Supported keywords: https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["PROBE_SIGN", "check_schema", "gaps", "json_rule", "prepared", "probe", "schema_grammar"]

Schema = Mapping[str, Any]

HEADER = "%llguidance {}\n"

PROBE_SIGN = "@"
"""What an answer under `probe()` begins with, and never without it."""

# One space after commas and colons, as in the model's training data: 75 of 120 contact fields were
# verbatim so, 54 in compact JSON, 66 with free whitespace (which also invites loops of blanks).
LAYOUT = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    # Without it one unknown keyword loses the whole grammar; with it, that keyword alone.
    "lenient": True,
}

FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
NOT_HELD = frozenset(
    {
        "not",
        "if",
        "then",
        "else",
        "contains",
        "minContains",
        "maxContains",
        "uniqueItems",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
# Look-around and back-references: the engine matches by derivatives and rejects the grammar for them.
BEYOND_REGULAR = re.compile(r"\(\?(?:[=!>]|<[=!]|P=)|\\[1-9]|\\k<")

MAPS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
SCHEMAS = ("items", "additionalProperties", "additionalItems")


def schema_grammar(schema: Schema) -> str:
    """The grammar of `schema`, in which only whitespace differs from what the schema allows."""
    return f"{HEADER}start: {json_rule(schema)}"


def probe(schema: Schema) -> str:
    """A grammar whose answers begin with `PROBE_SIGN` if, and only if, the engine accepts `schema`."""
    return f'{HEADER}start: "{PROBE_SIGN}" {json_rule(schema)}'


def json_rule(schema: Schema) -> str:
    """A Lark expression that accepts what `schema` accepts."""
    return f"%json {json.dumps({**schema, 'x-guidance': LAYOUT}, ensure_ascii=False)}"


def prepared(schema: Any) -> Any:
    """`schema` without the patterns that would lose the whole grammar; `gaps()` names them."""
    if isinstance(schema, list):
        return [prepared(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: _prepared_child(key, value)
        for key, value in schema.items()
        if not (key == "pattern" and isinstance(value, str) and BEYOND_REGULAR.search(value))
    }


def _prepared_child(key: str, value: Any) -> Any:
    if key in MAPS_OF_SCHEMAS and isinstance(value, Mapping):
        return {name: prepared(child) for name, child in value.items()}
    return prepared(value) if key in LISTS_OF_SCHEMAS or key in SCHEMAS else value


def check_schema(schema: Schema) -> list[str]:
    """What the embedded model is not held to while it writes; its answers are validated all the same.

    Args:
        schema: a JSON Schema with local references only.

    Returns:
        one line each, "PLACE: what", in the schema's order; empty when nothing is weakened.
    """
    return list(dict.fromkeys(gaps(schema)))


def gaps(schema: Any, place: str = "#") -> Iterator[str]:
    """The lines of `check_schema`, as they are met."""
    if not isinstance(schema, Mapping):
        return
    yield from _own_gaps(schema, place)
    for key in MAPS_OF_SCHEMAS:
        children = schema.get(key)
        if isinstance(children, Mapping):
            for name, child in children.items():
                yield from gaps(child, f"{place}/{key}/{name}")
    for key in LISTS_OF_SCHEMAS:
        for position, child in enumerate(schema.get(key) or ()):
            yield from gaps(child, f"{place}/{key}/{position}")
    for key in SCHEMAS:
        yield from gaps(schema.get(key), f"{place}/{key}")


def _own_gaps(schema: Schema, place: str) -> Iterator[str]:
    for key in schema:
        if key in NOT_HELD:
            yield f"{place}: {key!r} is not enforced while the model writes"
    pattern, named = schema.get("pattern"), schema.get("format")
    if isinstance(pattern, str) and BEYOND_REGULAR.search(pattern):
        yield f"{place}: the pattern {pattern!r} uses look-around or a back-reference and is not enforced"
    if isinstance(named, str) and schema.get("type") == "string" and named not in FORMATS:
        yield f"{place}: the format {named!r} is not enforced while the model writes"
