"""Which generated values must be looked at again: those of schemas whose every rule the generator cannot follow.

Most schemas say nothing that a drawn value could break, and cost no check. For the others a validator decides,
and the generator draws again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

import orjson

from llmx.mock.merging import ANNOTATIONS, Schema
from llmx.records import to_json

__all__ = ["checker", "is_valid"]

_UNSURE = frozenset(
    {
        "allOf",
        "oneOf",
        "not",
        "if",
        "contains",
        "uniqueItems",
        "pattern",
        "propertyNames",
        "patternProperties",
    }
    | {"dependencies", "dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties"}
)
"""Keywords that are passed over, drawn by trial, or hold only in general."""

_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose members are names, not keywords."""


def checker(schema: Schema) -> Callable[[Any], bool] | None:
    """What says whether a value is valid for `schema`; None where every drawn value is."""
    if not any(map(_is_unsure, _parts(schema))):
        return None
    return partial(_accepts, _validator(schema))


def is_valid(schema: Schema, value: Any) -> bool:
    """Whether a value is valid for a schema that refers to nothing outside itself; true where nobody can tell."""
    return _accepts(_known_validator(to_json(schema)), value)


@lru_cache(maxsize=1024)
def _known_validator(schema: bytes) -> Any:
    return _validator(orjson.loads(schema))


def _validator(schema: Schema) -> Any:
    from jsonschema import validators

    return validators.validator_for(schema)(schema)


def _accepts(validator: Any, value: Any) -> bool:
    try:
        return bool(validator.is_valid(value))
    except Exception:  # noqa: BLE001  a pattern of another dialect than Python's, say: then nobody can tell
        return True


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """All schemas within a schema, itself among them."""
    if isinstance(schema, list):
        for part in schema:
            yield from _parts(part)
    elif isinstance(schema, Mapping):
        yield schema
        for word, value in schema.items():
            if word in _NAMED and isinstance(value, Mapping):
                yield from _parts(list(value.values()))
            elif word not in ("enum", "const", "default", "examples"):
                yield from _parts(value)


def _is_unsure(schema: Mapping[str, Any]) -> bool:
    said = schema.keys() - ANNOTATIONS
    if not said.isdisjoint(_UNSURE):
        return True
    # Values are taken as they stand, and what a reference leads to is merged with what stands beside it.
    alone = next((word for word in ("enum", "const", "$ref") if word in said), None)
    return alone is not None and not said <= {alone, "type"}
