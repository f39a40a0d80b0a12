"""What is written of an answer: the names of its fields, and those of the columns that flat files have for them.

It is read from the JSON Schema of what is written, which differs from that of what is read: in aliases and
computed fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmx.schemas.keywords import Node, definitions, property_schemas, ref_name, resolved, types_of
from llmx.schemas.schema import Schema

__all__ = ["list_fields", "written_fields"]

_MADE_OF = ("anyOf", "oneOf", "allOf", "$ref")
_OF_OBJECTS = ("properties", "required", "dependentRequired")
_MORE_NAMES = ("patternProperties", "unevaluatedProperties", "if", "then", "else", "dependentSchemas")


def written_fields(schema: Schema) -> dict[str, list[str]]:
    """The fields of an output row in order, each with the columns that a flat file has for it.

    An object has those of all its fields, with dots; of a union of objects, those of every branch. The field
    itself is the one column where it may be anything else, may have names that no schema tells, or holds
    itself.
    """
    root = _written_form(schema)
    fields, defs = property_schemas(root), definitions(root)
    endless = _endless(defs)
    return {name: _leaves(name, [fields.get(name)], defs, endless) for name in schema.fields}


def list_fields(schema: Schema) -> dict[str, dict[str, list[str]]]:
    """The top-level lists of an output row, each with the fields of its elements where those are objects.

    Their columns are those of `written_fields`. Where an element may be something else, too, the list's own
    name is among them: that is where it stands.
    """
    root = _written_form(schema)
    defs = definitions(root)
    found = {name: _branches([field], defs) for name, field in property_schemas(root).items()}
    return {
        name: _element_fields(name, [array.get("items") for array in arrays], defs)
        for name, branches in found.items()
        if (arrays := [branch for branch in branches if "array" in types_of(branch)])
    }


def _written_form(schema: Schema) -> Node:
    """The JSON Schema of what is written, properties at its root."""
    try:
        form = schema.model.model_json_schema(mode="serialization")
    except Exception:  # noqa: BLE001  a type that can be read, and written only by its serializer
        return schema.json_schema
    defs = definitions(form)
    return {**resolved(form, defs), "$defs": defs}


def _branches(nodes: Sequence[Any], defs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Schemas and all that they refer to or are made of, without repetition."""
    waiting, found, seen = list(nodes), list[Mapping[str, Any]](), set[str]()
    for each in waiting:  # grows while it is read
        if not isinstance(each, Mapping):
            continue
        found.append(each)
        for keyword in ("anyOf", "oneOf", "allOf"):
            waiting.extend(each.get(keyword, ()))
        if (name := ref_name(each)) is not None and name not in seen:
            seen.add(name)
            waiting.append(defs.get(name))
    return found


def _leaves(name: str, nodes: Sequence[Any], defs: Mapping[str, Any], endless: frozenset[str]) -> list[str]:
    """A field's columns. `endless` are the definitions to whose names there is no end."""
    branches = _branches(nodes, defs)
    parts = _parts(branches)
    if not parts or _refs(branches) & endless or not all(_is_object(branch) for branch in branches):
        return [name]
    below = [_leaves(part, schemas, defs, endless) for part, schemas in parts.items()]
    return [f"{name}.{leaf}" for leaves in below for leaf in leaves]


def _refs(branches: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(name for branch in branches if (name := ref_name(branch)) is not None)


def _endless(defs: Mapping[str, Any]) -> frozenset[str]:
    """The definitions that hold themselves, and not in a list, which is one cell."""
    inside = {
        name: _refs(
            _branches([part for parts in _parts(_branches([node], defs)).values() for part in parts], defs)
        )
        for name, node in defs.items()
    }

    def reached(name: str) -> set[str]:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            new = inside.get(waiting.pop(), frozenset()) - seen
            seen |= new
            waiting += new
        return seen

    return frozenset(name for name in defs if name in reached(name))


def _parts(branches: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The fields of all branches, each with its schemas."""
    parts: dict[str, list[Any]] = {}
    for branch in branches:
        for name, schema in branch.get("properties", {}).items():
            parts.setdefault(name, []).append(schema)
    return parts


def _is_object(branch: Mapping[str, Any]) -> bool:
    """Whether it allows only None and objects whose names are known, or says nothing by itself."""
    types = set(types_of(branch))
    if branch.get("additionalProperties", False) is not False or any(name in branch for name in _MORE_NAMES):
        return False
    if any(keyword in branch for keyword in (*_OF_OBJECTS, *_MADE_OF)):
        return types <= {"object", "null"}
    return types == {"null"}


def _element_fields(own: str, items: Sequence[Any], defs: Mapping[str, Any]) -> dict[str, list[str]]:
    """The fields that an element may have: those of every branch of a union, whatever it refers to."""
    branches = _branches(items, defs)
    endless = _endless(defs)
    found = {name: _leaves(name, schemas, defs, endless) for name, schemas in _parts(branches).items()}
    others = any(set(types_of(branch)) - {"object", "null"} for branch in branches)
    return found | {own: [own]} if found and others and own not in found else found
