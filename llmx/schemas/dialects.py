"""What each provider's structured output takes: the dialects of JSON Schema, as data.

Sources, read in 2026:
openai-strict: https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas
anthropic-native: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
    and `anthropic.transform_schema`, which moves what it does not know into the description
local: https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md, which xllamacpp is
    built with; an unknown keyword or format is an error there
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = [
    "ANTHROPIC_NATIVE",
    "LOCAL",
    "OPENAI_STRICT",
    "Dialect",
    "Finding",
    "Grammar",
    "WireSchema",
    "place",
]

Dialect = Literal["openai-strict", "openai-tools", "anthropic-native", "anthropic-tools", "local"]
"""The first, third and last constrain what the model can write; the tools ones only tell it."""


class Finding(Struct, frozen=True):
    """What a dialect does to one place of a schema.

    Args:
        level: "refused": some valid answer could not be given, or the provider rejects the schema;
            "weakened": the model may give an answer that is then found invalid; "rewritten": said
            in other words, nothing lost.
        path: the place in the answer, such as `items[].price`; "" is the whole answer.
        message: what happens there.
        hint: a change that avoids it; "" where there is none.
        code: of the rule in `llmx.schemas.advice` that it belongs to; "" for what a dialect does.
    """

    level: Literal["refused", "weakened", "rewritten"]
    path: str
    message: str
    hint: str = ""
    code: str = ""


class WireSchema(Struct, frozen=True):
    """What a provider is sent, and what became of the schema on the way."""

    schema: dict[str, object]
    findings: tuple[Finding, ...]


class Grammar(Struct, frozen=True):
    """A dialect that constrains the model.

    Args:
        keywords: constraints that are enforced; others go into the description.
        formats: string formats that are known.
        all_required: every property must be required.
        ask_for_null: properties that may be null are required, or a small model leaves them all out.
        free_keys: objects may have keys that the schema does not name.
        anything: a value may be left without a type.
        recursion: definitions may contain themselves.
        tuples: `prefixItems` is known.
        beside_ref: other keywords may stand beside `$ref`.
        enum_types: an enum says its type too, and holds no objects or lists.
        few_items: `minItems` may only be 0 or 1.
    """

    keywords: frozenset[str]
    formats: frozenset[str]
    all_required: bool = False
    ask_for_null: bool = False
    free_keys: bool = False
    anything: bool = False
    recursion: bool = True
    tuples: bool = False
    beside_ref: bool = False
    enum_types: bool = False
    few_items: bool = False


_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"},
)

OPENAI_STRICT = Grammar(
    keywords=_NUMBERS | {"pattern", "minItems", "maxItems"},
    formats=_FORMATS,
    all_required=True,
    enum_types=True,
)
ANTHROPIC_NATIVE = Grammar(
    keywords=frozenset({"minItems"}),
    formats=_FORMATS | {"uri"},
    recursion=False,
    few_items=True,
)
LOCAL = Grammar(
    keywords=_NUMBERS | {"pattern", "minLength", "maxLength", "minItems", "maxItems", "patternProperties"},
    formats=_FORMATS | {"uri"},
    ask_for_null=True,
    free_keys=True,
    anything=True,
    tuples=True,
    beside_ref=True,
)


def place(path: str, step: str) -> str:
    """The path one step further in: a property's name, `[]` for a list's elements, or "" for none."""
    if step in ("", "[]") or not path:
        return path + step
    return f"{path}.{step}"
