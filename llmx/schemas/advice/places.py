"""Every field of a schema as the rules see it: its name, type and description, and what stands around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from llmx.schemas.dialects import place
from llmx.schemas.keywords import definitions, property_schemas, ref_name, resolved, types_of
from llmx.schemas.schema import Schema

__all__ = ["Place", "places_of"]


class Place(Struct, frozen=True):
    """One field.

    Args:
        path: such as `items[].price`.
        node: its JSON Schema, without references and without null.
        types: JSON types that it may have, null left out.
        choices: its texts, where only certain ones are allowed.
        described: whether somebody wrote a description.
        description: that, or of an object its class's docstring; "" where there is none.
        required: it must have a value.
        listed: it is in an element of a list.
        depth: 1 for the answer's own fields.
        siblings: names of all fields beside it, itself included, in order.
    """

    path: str
    name: str
    node: Mapping[str, Any]
    types: frozenset[str]
    choices: tuple[str, ...]
    described: bool
    description: str
    required: bool
    listed: bool
    depth: int
    siblings: tuple[str, ...]

    @property
    def is_text(self) -> bool:
        """Free text: neither a choice nor of a format or pattern."""
        free = not self.choices and not any(
            word in self.node for word in ("format", "pattern", "const", "enum")
        )
        return self.types == {"string"} and free


def places_of(schema: Schema) -> tuple[Place, ...]:
    """All fields, each definition where it first stands, in the order of the answer."""
    defs = definitions(schema.json_schema)
    return tuple(_fields(schema.json_schema, "", 1, False, defs, set()))


def _fields(
    node: Mapping[str, Any], path: str, depth: int, listed: bool, defs: Mapping[str, Any], seen: set[str]
) -> Iterator[Place]:
    fields = property_schemas(node)
    required = node.get("required", ())
    for name, field in fields.items():
        branches = list(_branches(field, defs))
        here = place(path, name)
        yield _place(here, name, field, branches, name in required, listed, depth, tuple(fields))
        for one, target in branches:
            yield from _inside(one, target, here, depth, listed, defs, seen)


def _inside(
    node: Mapping[str, Any],
    name: str | None,
    path: str,
    depth: int,
    listed: bool,
    defs: Mapping[str, Any],
    seen: set[str],
) -> Iterator[Place]:
    """The fields of an object, or of the elements of a list; a definition is looked at once."""
    if name is not None:
        if name in seen:
            return
        seen.add(name)
    if node.get("properties"):
        yield from _fields(node, path, depth + 1, listed, defs, seen)
    items = node.get("items")
    if isinstance(items, dict):
        for one, target in _branches(items, defs):
            yield from _inside(one, target, place(path, "[]"), depth, True, defs, seen)


def _branches(
    node: Mapping[str, Any], defs: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """What a value may be, each with the definition it refers to; null is left out."""
    waiting: list[tuple[Any, frozenset[str]]] = [(node, frozenset())]
    while waiting:
        one, within = waiting.pop(0)
        if not isinstance(one, dict):
            continue
        name = ref_name(one)
        if name is not None and name in within:
            continue
        whole = resolved(one, defs)
        parts = [
            part
            for word in ("anyOf", "oneOf", "allOf")
            for part in whole.get(word, ())
            if isinstance(whole, dict)
        ]
        if parts:
            waiting += [(part, within | ({name} if name else frozenset())) for part in parts]
        elif types_of(whole) != ["null"]:
            yield whole, name


def _place(
    path: str,
    name: str,
    field: Mapping[str, Any],
    branches: list[tuple[dict[str, Any], str | None]],
    required: bool,
    listed: bool,
    depth: int,
    siblings: tuple[str, ...],
) -> Place:
    own = str(field.get("description") or "").strip()
    inherited = next((str(one["description"]) for one, _ in branches if one.get("description")), "")
    kinds = {kind for one, _ in branches for kind in types_of(one)}
    nullable = "null" in kinds or any(part == {"type": "null"} for part in field.get("anyOf", ()))
    node = branches[0][0] if len(branches) == 1 else {}
    return Place(
        path=path,
        name=name,
        node=node,
        types=frozenset(kinds - {"null"}),
        choices=_choices(node),
        described=bool(own or inherited),
        description=own or inherited,
        required=required and not nullable,
        listed=listed,
        depth=depth,
        siblings=siblings,
    )


def _choices(node: Mapping[str, Any]) -> tuple[str, ...]:
    """Texts of an enum, of a list's elements, too."""
    items = node.get("items")
    found = node.get("enum") or (items.get("enum") if isinstance(items, dict) else None) or ()
    return tuple(one for one in found if isinstance(one, str))
