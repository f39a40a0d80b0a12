"""JSON Schema -> values that are valid for it: `generate`, and `compiled` for many values of one schema.

Drafts 7 and 2020-12 as far as Pydantic and its like write them. A schema is compiled once into nodes;
an answer is then drawn from a seed and the user's text, and is the same whenever those are.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from random import Random
from typing import Any

import orjson

from llmx.mock.checking import checker
from llmx.mock.merging import Schema, SchemaError, Unsatisfiable, flatten, merge
from llmx.mock.nodes import Array, Choice, Draft, Leaf, Link, Map, Node, Object, measure
from llmx.mock.numbers import integer_draw, number_draw
from llmx.mock.strings import string_draw

__all__ = ["Generator", "SchemaError", "compiled", "generate"]

_TYPE_HINTS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_TRIALS = 100
"""Values that are drawn before a schema counts as one that nothing satisfies."""

_CACHE_SIZE = 256
_cache: OrderedDict[bytes, Generator] = OrderedDict()


class Generator:
    """A compiled schema.

    Args:
        schema: a JSON Schema as parsed JSON.

    Attributes:
        size: bytes of the schema as JSON.

    Raises:
        SchemaError: no schema, a `$ref` that leads nowhere, or nothing finite satisfies it.
    """

    def __init__(self, schema: Schema) -> None:
        try:
            self._root = _Compiler(schema).compile()
        except (RecursionError, TypeError, AttributeError, ArithmeticError) as error:
            # Whatever else is no schema ({"type": 3}, {"properties": []}) fails where it is used.
            raise SchemaError(f"not a schema: {error}") from error
        except ValueError as error:
            raise SchemaError(str(error)) from error
        if self._root.height == inf:
            raise SchemaError("no finite value satisfies the schema")
        self._fits = checker(schema)
        text = _text(schema)
        self.size = len(text)
        self._checksum = zlib.crc32(text)

    def draw(self, seed: int, text: str) -> Any:
        """A valid value; the same for the same schema, seed and text.

        Raises:
            SchemaError: none was found.
        """
        rng = Random(seed ^ self._checksum)  # noqa: S311 - plausible values, no secrets
        for _ in range(_TRIALS):
            value = self._root.draw(Draft(rng, text))
            if self._fits is None or self._fits(value):
                return value
        raise SchemaError("no value was found that satisfies the schema")


def compiled(schema: Schema) -> Generator:
    """The generator of a schema, remembered for the latest 256 of them.

    Raises:
        SchemaError: see `Generator`.
    """
    key = _text(schema)
    generator = _cache.get(key)
    if generator is None:
        generator = _cache[key] = Generator(schema)
        if len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    return generator


def generate(schema: Schema, seed: int, text: str = "") -> Any:
    """One value valid for `schema`.

    Args:
        schema: a JSON Schema as parsed JSON.
        seed: decides every choice.
        text: what strings without a format or pattern are copied from; filler words if empty.

    Raises:
        SchemaError: see `Generator`.
    """
    return compiled(schema).draw(seed, text)


def _text(schema: Schema) -> bytes:
    try:
        return orjson.dumps(schema)
    except TypeError as error:  # an integer beyond 64 bits, or hundreds of levels
        raise SchemaError(f"not a schema: {error}") from error


class _Compiler:
    """Turns one schema into nodes; equal parts become one node, which is how recursion is found."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[bytes, Node] = {}
        self._nodes: list[Node] = []

    def compile(self) -> Node:
        root = self._node(self._root)
        measure(self._nodes)
        return root

    def _node(self, schema: Any) -> Node:
        key = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
        if (known := self._known.get(key)) is not None:
            return known
        link = Link()
        self._known[key] = link
        try:
            node = self._build(flatten(self._root, schema))
        except Unsatisfiable:
            node = Leaf(None)
        link.target = node
        self._known[key] = node
        self._nodes += (node, link)
        return node

    def _build(self, flat: dict[str, Any]) -> Node:
        for word in ("anyOf", "oneOf"):
            if word in flat:
                return self._options(flat.pop(word), flat)
        if "const" in flat or "enum" in flat:
            return _constant([flat["const"]] if "const" in flat else flat["enum"], flat)
        types = flat.get("type")
        if isinstance(types, list):
            return self._choice([flat | {"type": name} for name in types])
        return self._typed(types or _implied_type(flat), flat)

    def _options(self, options: list[Any], rest: Schema) -> Node:
        if not rest:
            return self._choice(options)
        merged = []
        for option in options:
            try:
                merged.append(merge(rest, flatten(self._root, option)))
            except Unsatisfiable:
                continue
        return self._choice(merged)

    def _choice(self, options: list[Any]) -> Node:
        options = _without_decimal_text(options)
        is_null = [isinstance(option, Mapping) and option.get("type") == "null" for option in options]
        ordered = [option for option, null in zip(options, is_null, strict=True) if not null]
        nulls = [option for option, null in zip(options, is_null, strict=True) if null]
        return Choice([self._node(option) for option in ordered + nulls], rare_null=bool(nulls))

    def _typed(self, name: str, flat: Schema) -> Node:
        if name in ("integer", "number"):
            number = integer_draw(flat) if name == "integer" else number_draw(flat)
            return Leaf(None if number is None else lambda rng, _: number(rng))
        builders: dict[str, Callable[[Schema], Node]] = {
            "object": self._object,
            "array": self._array,
            "string": _string,
            "boolean": lambda _: Leaf(lambda rng, _: rng.random() < 0.5),
            "null": lambda _: Leaf(lambda _, __: None),
        }
        if name not in builders:
            raise SchemaError(f"not a type: {name!r}")
        return builders[name](flat)

    def _object(self, flat: Schema) -> Node:
        required, properties = flat.get("required", ()), flat.get("properties", {})
        if not all(isinstance(name, str) for name in required):
            raise SchemaError(f"'required' holds what is no name: {required!r}")
        others = flat.get("additionalProperties", True)
        unnamed = {name: others for name in required if name not in properties}
        fields = [(n, self._node(s), n in required) for n, s in {**properties, **unnamed}.items()]
        least, most = _bounds(flat, "Properties")
        if most is not None and most < max(least, len(required)):
            raise Unsatisfiable
        return Object(_at_most(fields, most), self._map(flat, least, most), least)

    def _map(self, flat: Schema, least: int, most: int | None) -> Map | None:
        fits: Callable[[str], bool] = (lambda _: False) if flat.get("propertyNames") else (lambda _: True)
        names: Any = {"allOf": [{"type": "string"}, flat.get("propertyNames", True)]}
        values = flat.get("additionalProperties", "properties" not in flat)
        if patterns := flat.get("patternProperties"):
            pattern, values = next(iter(patterns.items()))
            names = {"type": "string", "pattern": pattern}
            fits = partial(_matches, pattern)
        if values is False or (values is True and least == 0):
            return None  # `true` permits more properties, and no more are needed
        return Map(self._node(names), self._node(values), least, most, fits)

    def _array(self, flat: Schema) -> Node:
        items = flat.get("items", True)
        heads = flat.get("prefixItems", items if isinstance(items, list) else [])
        rest = flat.get("additionalItems", True) if isinstance(items, list) else items  # draft 7
        least, most = _bounds(flat, "Items")
        if most is not None and most < least:
            raise Unsatisfiable
        if heads and "items" not in flat and least <= len(heads):
            rest = False  # more would be valid, but nobody who writes a tuple wants more
        return Array(
            [self._node(head) for head in heads],
            None if rest is False else self._node(rest),
            least,
            most,
            unique=bool(flat.get("uniqueItems", False)),
        )


def _bounds(flat: Schema, what: str) -> tuple[int, int | None]:
    """`minWhat` and `maxWhat`, which JSON may write as 3.0."""
    least, most = flat.get(f"min{what}", 0), flat.get(f"max{what}")
    return int(least), None if most is None else int(most)


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # written for another dialect than Python's
        return False


def _at_most(fields: list[tuple[str, Node, bool]], most: int | None) -> list[tuple[str, Node, bool]]:
    """Leave out optional fields for which there is no room."""
    if most is None or len(fields) <= most:
        return fields
    room = most - sum(required for _, _, required in fields)
    spared = {name for name, _, required in fields if not required}
    kept = set([name for name, _, _ in fields if name in spared][:room])
    return [field for field in fields if field[2] or field[0] in kept]


def _without_decimal_text(options: list[Any]) -> list[Any]:
    """Pydantic writes a Decimal as "a number or any text"; only the number is sure to be one."""
    if any(isinstance(option, Mapping) and option.get("type") == "number" for option in options):
        return [option for option in options if option != {"type": "string"}]
    return options


def _string(flat: Schema) -> Node:
    if flat.get("maxLength") is not None and flat["maxLength"] < flat.get("minLength", 0):
        return Leaf(None)
    draw = string_draw(flat)
    return Leaf(draw)


def _constant(values: list[Any], flat: Schema) -> Node:
    types = flat.get("type")
    allowed = [types] if isinstance(types, str) else types
    fitting = [value for value in values if allowed is None or _has_type(value, allowed)]
    if "const" in flat and "enum" in flat:
        fitting = [value for value in fitting if value in flat["enum"]]
    return Leaf((lambda rng, _: fitting[int(rng.random() * len(fitting))]) if fitting else None)


def _has_type(value: Any, allowed: list[str]) -> bool:
    if value is None or isinstance(value, bool):
        return ("null" if value is None else "boolean") in allowed
    kinds = {str: ("string",), int: ("integer", "number"), float: ("number",), list: ("array",)}
    return any(kind in allowed for kind in kinds.get(type(value), ("object",)))


def _implied_type(flat: Schema) -> str:
    """What a schema without a type is about; text where it says nothing."""
    for name, words in _TYPE_HINTS.items():
        if any(word in flat for word in words):
            return name
    return "string"
