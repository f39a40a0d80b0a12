"""What of a schema is told to the model in words: constraints that a grammar does not know, defaults, examples."""

from __future__ import annotations

import json
from typing import Any

from llmx.schemas.keywords import Node

__all__ = ["SAID", "UNSAID", "described", "named", "shown"]

SAID = {
    "pattern": "matches the regular expression {}",
    "format": "in the format {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} elements",
    "maxItems": "at most {} elements",
    "uniqueItems": "no element twice",
    "minProperties": "at least {} properties",
    "maxProperties": "at most {} properties",
    "contentEncoding": "encoded as {}",
    "contentMediaType": "of the media type {}",
}
"""Constraints that can be told in words."""
UNSAID = (
    *("contains", "minContains", "maxContains", "unevaluatedItems", "propertyNames", "dependentRequired"),
    *("dependentSchemas", "not", "if", "then", "else", "patternProperties"),
)
"""Constraints that cannot."""


def described(result: Node, node: Node, told: list[str]) -> Node:
    """The node with a description that tells what its keywords cannot."""
    parts = [str(node["description"])] if node.get("description") else []
    if told:
        parts.append(f"({', '.join(told)})")
    if node.get("default") is not None:
        parts.append(f"Default: {shown(node['default'])}.")
    if isinstance(examples := node.get("examples"), list) and examples:
        parts.append(f"Examples: {', '.join(shown(one) for one in examples)}.")
    if parts:
        result["description"] = " ".join(parts)
    if node.get("title"):
        result["title"] = node["title"]
    return result


def shown(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False)


def named(keyword: str, value: Any) -> str:
    """A constraint as a finding shows it."""
    return keyword if value is True else f"{keyword} {value}"
