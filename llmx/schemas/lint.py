"""What is questionable about a schema whatever the provider: places that nothing will check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pydantic
from msgspec.structs import replace

from llmx.schemas.dialects import Finding, place
from llmx.schemas.keywords import Node, children, definitions
from llmx.schemas.references import places_of_definitions, recursive_definitions
from llmx.schemas.schema import Schema

__all__ = ["lint"]

_FREE_KEYS, _UNCHECKED = "R13", "R14"
"""Of the rules in `llmx.schemas.advice.rules`."""

_CONSTRAINING = (
    "type",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
    "properties",
    "items",
    "not",
    "if",
)


def lint(schema: Schema) -> tuple[Finding, ...]:
    """Fields without a type, dictionaries with free keys, definitions within themselves, unknown formats.

    Of Pydantic models also the types that no answer fits, or whose values no output shows.
    """
    root = schema.json_schema
    places, defs = places_of_definitions(root), definitions(root)
    nodes = [*_nodes({key: value for key, value in root.items() if key != "$defs"}, "")]
    nodes += [found for name, node in defs.items() for found in _nodes(node, places.get(name, name))]
    findings = [finding for path, node in nodes for finding in _questions(node, path)]
    findings += [
        Finding("weakened", places.get(name, name), f"{name} contains itself: answers may go deep")
        for name in sorted(recursive_definitions(defs))
    ]
    found = dict.fromkeys([*findings, *_unchecked_formats(schema, nodes), *_odd_types(schema.model)])
    return tuple(one if one.code else replace(one, code=_UNCHECKED) for one in found)


def _nodes(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, node
    for step, child in children(node) if isinstance(node, dict) else ():
        # additionalProperties: true is a dictionary of anything, which is said where it stands
        if step != "*" or isinstance(child, dict):
            yield from _nodes(child, place(path, step))


def _questions(node: Any, path: str) -> Iterator[Finding]:
    untyped = isinstance(node, dict) and not any(keyword in node for keyword in _CONSTRAINING)
    if node is True or (path and untyped):
        yield Finding("weakened", path, "has no type: any value passes", "give the field a type")
    if isinstance(node, dict) and node.get("type") == "object" and _free_keys(node):
        problem = "a dictionary with free keys: which ones the model chooses differs from row to row"
        yield Finding(
            "weakened",
            path,
            problem,
            "name the keys, or use a list of objects with a name and a value",
            _FREE_KEYS,
        )


def _free_keys(node: Node) -> bool:
    more = node.get("additionalProperties", "properties" not in node)
    return not node.get("properties") and more is not False


def _unchecked_formats(schema: Schema, nodes: list[tuple[str, Any]]) -> Iterator[Finding]:
    """Formats of a JSON Schema that are annotations only; pydantic's types check their own."""
    if not hasattr(schema.model, "__llmx_check__"):
        return
    from llmx.schemas.json_check import FORMATS

    for path, node in nodes:
        found = node.get("format") if isinstance(node, dict) else None
        if isinstance(found, str) and found not in FORMATS:
            yield Finding("weakened", path, f"the format {found!r} is not checked", "use a pattern")


def _odd_types(root: type[pydantic.BaseModel]) -> Iterator[Finding]:
    """What a Pydantic model's JSON Schema does not give away."""
    waiting = [("", root)]
    for above, model in waiting:  # grows while it is read
        for name, info in model.model_fields.items():
            path = place(above, info.alias or name)
            types = set(_inside(info.annotation))
            yield from _odd_type(path, info, types)
            known = {one for _, one in waiting}
            waiting += [(path, one) for one in types - known if issubclass(one, pydantic.BaseModel)]


def _inside(annotation: Any) -> Iterator[type]:
    """The classes that an annotation is made of."""
    if isinstance(annotation, type):
        yield annotation
    for inner in get_args(annotation):
        yield from _inside(inner)


def _odd_type(path: str, info: pydantic.fields.FieldInfo, types: set[type]) -> Iterator[Finding]:
    if _only_by_path(info.validation_alias):
        problem = "is read from a path inside the answer, which no provider is told: no answer fits"
        yield Finding("weakened", path, problem, "give it an alias without AliasPath")
    if types & {pydantic.SecretStr, pydantic.SecretBytes}:
        yield Finding("weakened", path, "a secret is written as asterisks: what was found is lost", "use str")
    if pydantic.NaiveDatetime in types:
        problem = "has no offset, but date-time has one wherever a provider enforces it: few answers fit"
        yield Finding("weakened", path, problem, "use datetime")


def _only_by_path(alias: object) -> bool:
    paths = alias.choices if isinstance(alias, pydantic.AliasChoices) else [alias]
    return all(isinstance(one, pydantic.AliasPath) and len(one.path) > 1 for one in paths)
