"""Walking JSON Schema: which keywords hold further schemas, and what a reference leads to.

Schemas here are normalised: definitions at the root under `$defs`, references only to those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmx.errors import UsageError

__all__ = [
    "KINDS",
    "Node",
    "children",
    "definitions",
    "property_schemas",
    "ref_name",
    "resolved",
    "rewrite_children",
    "types_of",
]

Node = dict[str, Any]

_OF_NAMES = ("properties", "patternProperties", "dependentSchemas")
_OF_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_OF_ONE = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
)
_REF = "#/$defs/"

KINDS: dict[str, Any] = {
    **dict.fromkeys(
        ("properties", "patternProperties", "dependentSchemas", "dependentRequired", "$defs"), dict
    ),
    **dict.fromkeys(("required", "enum", "anyOf", "oneOf", "allOf", "prefixItems"), list),
    **dict.fromkeys(("pattern", "format", "$ref", "title", "description"), str),
    **dict.fromkeys(("items", "additionalProperties", "not", "contains", "propertyNames"), (dict, bool)),
    "type": (str, list),
}
"""Keyword -> what its value must be, as far as the code relies on it."""


def definitions(schema: Node) -> dict[str, Any]:
    """The root's definitions, {} where it has none."""
    found = schema.get("$defs", {})
    return found if isinstance(found, dict) else {}


def property_schemas(node: Mapping[str, Any]) -> dict[str, Node]:
    """The schemas of an object's fields; `true`, which says nothing, as an empty one."""
    properties = node.get("properties", {})
    return {name: field if isinstance(field, dict) else {} for name, field in properties.items()}


def ref_name(node: Mapping[str, Any]) -> str | None:
    """The definition a node refers to, None where it is no reference."""
    ref = node.get("$ref")
    if not isinstance(ref, str) or not ref.startswith(_REF):
        return None
    return ref[len(_REF) :].replace("~1", "/").replace("~0", "~")


def resolved(node: Any, defs: Mapping[str, Any]) -> Any:
    """The node without its reference: what it refers to, overlaid by what stands beside the reference.

    Raises:
        UsageError: the reference leads only to itself.
    """
    seen: set[str] = set()
    while isinstance(node, dict) and (name := ref_name(node)) is not None:
        if name in seen:
            raise UsageError(f"the JSON Schema's definition {name!r} refers to itself and says nothing else")
        seen.add(name)
        beside = {key: value for key, value in node.items() if key != "$ref"}
        target = defs.get(name, {})
        node = {**target, **beside} if isinstance(target, dict) else target
    return node


def children(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every schema right inside a node, with its place relative to it: `price`, `[]`, or nothing."""
    for keyword in _OF_NAMES:
        for name, child in (node.get(keyword) or {}).items():
            yield name, child
    for keyword in _OF_LISTS:
        for child in node.get(keyword) or ():
            yield "[]" if keyword == "prefixItems" else "", child
    for keyword in _OF_ONE:
        if keyword in node:
            yield (
                {"items": "[]", "contains": "[]", "additionalProperties": "*"}.get(keyword, ""),
                node[keyword],
            )


def rewrite_children(node: Mapping[str, Any], rewrite: Callable[[Any], Any]) -> Node:
    """A copy of a node in which every schema right inside it is replaced by `rewrite` of it."""
    copy = dict(node)
    for keyword in _OF_NAMES:
        if isinstance(copy.get(keyword), dict):
            copy[keyword] = {name: rewrite(child) for name, child in copy[keyword].items()}
    for keyword in _OF_LISTS:
        if isinstance(copy.get(keyword), list):
            copy[keyword] = [rewrite(child) for child in copy[keyword]]
    for keyword in _OF_ONE:
        if isinstance(copy.get(keyword), dict):
            copy[keyword] = rewrite(copy[keyword])
    return copy


def types_of(node: Mapping[str, Any]) -> list[str]:
    """The JSON types a node names, [] where it names none."""
    declared = node.get("type", [])
    return [declared] if isinstance(declared, str) else list(declared)
