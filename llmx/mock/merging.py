"""Schemas made flat: `$ref` resolved, `allOf` merged, annotations dropped, one level at a time.

A flat schema says at its top everything that holds there, so that the generator looks at one mapping.
Keywords that only forbid further (`not`, `if`, `dependentRequired`, …) are passed over; see `checking`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

__all__ = ["ANNOTATIONS", "Schema", "SchemaError", "Unsatisfiable", "flatten", "merge", "resolve"]

Schema = Mapping[str, Any]

ANNOTATIONS = frozenset(
    (
        "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly",
        "$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "discriminator", "strict",
    )
)  # fmt: skip
_MAX_NESTING = 100


class SchemaError(ValueError):
    """The schema cannot be answered: it is none, points nowhere, or no finite value satisfies it."""


class Unsatisfiable(Exception):
    """Nothing satisfies this part of the schema; the whole may still have other ways."""


def resolve(root: Any, pointer: str) -> Any:
    """The part of `root` that a local `$ref` names: a JSON Pointer in a fragment (RFC 6901), or an `$anchor`.

    Raises:
        SchemaError: it is remote, or there is no such part.
    """
    if not pointer.startswith("#"):
        raise SchemaError(f"$ref {pointer!r} is not within the schema")
    if pointer[1:2] not in ("", "/"):
        return _anchored(root, pointer)
    part = root
    for step in unquote(pointer[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        try:
            part = part[int(name)] if isinstance(part, list) else part[name]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise SchemaError(f"$ref {pointer!r} names nothing in the schema") from error
    return part


def _anchored(root: Any, pointer: str) -> Any:
    parts = [root]
    for part in parts:  # grows while it is read
        if isinstance(part, Mapping) and part.get("$anchor") == pointer[1:]:
            return part
        parts.extend(part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ())
    raise SchemaError(f"$ref {pointer!r} names nothing in the schema")


def flatten(root: Any, schema: Any, nesting: int = 0) -> dict[str, Any]:
    """`schema` without `$ref` and `allOf` at its top, and without annotations.

    Raises:
        Unsatisfiable: its parts contradict each other.
        SchemaError: it is no schema, or refers to nothing but itself.
    """
    if schema is True:
        return {}
    if schema is False:
        raise Unsatisfiable
    if not isinstance(schema, Mapping):
        raise SchemaError(f"not a schema: {str(schema)[:60]!r}")
    if nesting > _MAX_NESTING:
        raise SchemaError("a $ref leads back to itself")
    flat = {k: v for k, v in schema.items() if k not in ANNOTATIONS and k not in ("$ref", "allOf")}
    parts = [resolve(root, schema["$ref"])] if "$ref" in schema else []
    for part in (*parts, *schema.get("allOf", ())):
        flat = merge(flat, flatten(root, part, nesting + 1))
    return flat


def merge(one: Schema, other: Schema) -> dict[str, Any]:
    """A flat schema that both hold for.

    Raises:
        Unsatisfiable: nothing can satisfy both.
    """
    merged = dict(one)
    for word, value in other.items():
        if word in merged and merged[word] != value:
            rule = _RULES.get(word)
            merged[word] = merged[word] if rule is None else rule(merged[word], value)
        else:
            merged[word] = value
    return merged


def _both(one: Any, other: Any) -> Any:
    return {"allOf": [one, other]}


def _products(one: list[Any], other: list[Any]) -> list[Any]:
    return [_both(left, right) for left in one for right in other]


def _types(one: Any, other: Any) -> list[str]:
    left, right = ([t] if isinstance(t, str) else list(t) for t in (one, other))
    common = [t for t in left if t in right]
    if "integer" in left + right and "integer" not in common and {"integer", "number"} <= {*left, *right}:
        common.append("integer")
    if not common:
        raise Unsatisfiable
    return common


def _values(one: list[Any], other: list[Any]) -> list[Any]:
    common = [value for value in one if value in other]
    if not common:
        raise Unsatisfiable
    return common


def _same(one: Any, other: Any) -> Any:
    raise Unsatisfiable  # called for different values only


def _properties(one: Schema, other: Schema) -> dict[str, Any]:
    shared = {name: _both(one[name], other[name]) for name in one if name in other}
    return {**one, **other, **shared}


def _items(one: Any, other: Any) -> Any:
    return False if one is False or other is False else _both(one, other)


def _common_multiple(one: float, other: float) -> float:
    left, right = Fraction(str(one)), Fraction(str(other))
    multiple = Fraction(
        math.lcm(left.numerator, right.numerator), math.gcd(left.denominator, right.denominator)
    )
    return int(multiple) if multiple.denominator == 1 else float(multiple)


_RULES: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "enum": _values,
    "const": _same,
    "anyOf": _products,
    "oneOf": _products,
    "properties": _properties,
    "patternProperties": _properties,
    "additionalProperties": _items,
    "items": _items,
    "propertyNames": _both,
    "required": lambda one, other: [*one, *(name for name in other if name not in one)],
    "uniqueItems": lambda one, other: one or other,
    "multipleOf": _common_multiple,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}
