"""A gold answer in the form that a schema asks for, and the single values in it that can be right or wrong.

A flat file has everything as text and a provider's wire schema has every property, so values are read as what the
schema says: numbers from their digits, objects and lists from JSON, empty text from null. What the gold file does
not say, or what the schema does not allow, is left out: `Shaped.missing` names it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmx.mock.checking import is_valid
from llmx.mock.merging import Schema, SchemaError, Unsatisfiable, flatten

__all__ = ["ABSENT", "Leaf", "Shaped", "Steps", "dotted", "shaped"]

Steps = tuple[str | int, ...]
"""The way to a value: names of properties, positions in lists."""

ABSENT: Any = object()
"""No value."""

_UNIONS = ("anyOf", "oneOf")


class _Unfit(Exception):
    """The value is none that this part of the schema allows."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value: neither an object nor a list.

    Args:
        steps: where it is.
        schema: what must hold for it, flat.
        value: the right one.
    """

    steps: Steps
    schema: Schema
    value: Any


@dataclass(slots=True)
class Shaped:
    """An answer as far as the gold file gives it.

    Args:
        value: ABSENT where nothing of the gold answer fits.
        leaves: its values that the gold file names; a property it is silent about and that is null is none of them.
        missing: required parts that are not in `value`, each with its schema.
        unfit: which of these the gold file has, but as what the schema does not allow.
    """

    value: Any = ABSENT
    leaves: list[Leaf] = field(default_factory=list)
    missing: list[tuple[Steps, Any]] = field(default_factory=list)
    unfit: list[tuple[Steps, Any]] = field(default_factory=list)


def shaped(root: Schema, schema: Schema, gold: Any) -> Shaped:
    """The gold answer as `schema`, a part of `root`, wants it."""
    shaping = _Shaping(root)
    try:
        shaping.found.value = shaping.part(schema, gold, ())
    except _Unfit:
        shaping.found.unfit.append(((), gold))
    return shaping.found


def dotted(steps: Steps) -> str:
    """A way as users write it: `items.0.name`."""
    return ".".join(map(str, steps))


class _Shaping:
    """One pass over a schema and an answer."""

    def __init__(self, root: Schema) -> None:
        self.found = Shaped()
        self._root = root

    def part(self, schema: Any, gold: Any, steps: Steps) -> Any:
        """What the schema makes of the gold value. Raises `_Unfit`."""
        try:
            flat = flatten(self._root, schema)
        except (SchemaError, Unsatisfiable) as error:
            raise _Unfit from error
        for options in _options(flat):
            return self._first(options, gold, steps)
        kind = flat.get("type")
        if kind == "object" or "properties" in flat:
            return self._object(flat, gold, steps)
        if kind == "array" or "items" in flat:
            return self._array(flat, gold, steps)
        return self._leaf(flat, gold, steps)

    def _first(self, options: list[Any], gold: Any, steps: Steps) -> Any:
        """By the first option that takes the value as it is, else by the first that can read it."""
        for exact in (True, False):
            for option in options:
                before = self._marks()
                try:
                    value = self.part(option, gold, steps)
                    if not exact or (type(value) is type(gold) and not self._lacks(before)):
                        self._widen(value, options)
                        return value
                except _Unfit:
                    pass
                self._undo(before)
        raise _Unfit

    def _widen(self, value: Any, options: list[Any]) -> None:
        """A null may be something else wrongly: whatever single values the other options allow."""
        if value is not None:
            return
        flats = [flatten(self._root, option) for option in options]
        others = [flat for flat in flats if flat.get("type") not in ("null", "object", "array")]
        if others:
            self.found.leaves[-1] = replace(self.found.leaves[-1], schema={"anyOf": others})

    def _marks(self) -> tuple[int, int, int]:
        return len(self.found.leaves), len(self.found.missing), len(self.found.unfit)

    def _lacks(self, before: tuple[int, int, int]) -> bool:
        return self._marks()[1:] != before[1:]

    def _undo(self, before: tuple[int, int, int]) -> None:
        leaves, missing, unfit = before
        del self.found.leaves[leaves:]
        del self.found.missing[missing:]
        del self.found.unfit[unfit:]

    def _object(self, flat: Schema, gold: Any, steps: Steps) -> dict[str, Any]:
        given = _parsed(gold)
        if not isinstance(given, Mapping):
            raise _Unfit
        given = _as_asked(given, flat.get("properties", {}))
        value = {}
        for name, schema in flat.get("properties", {}).items():
            inner = self._property(
                schema, given.get(name, ABSENT), (*steps, name), name in flat.get("required", ())
            )
            if inner is not ABSENT:
                value[name] = inner
        others = flat.get("additionalProperties", "properties" not in flat)
        if others is not False:
            for name in [
                name for name in given if name not in value and name not in flat.get("properties", {})
            ]:
                inner = self._property(others, given[name], (*steps, name), required=False)
                value |= {name: inner} if inner is not ABSENT else {}
        return value

    def _property(self, schema: Any, gold: Any, steps: Steps, required: bool) -> Any:
        """Its value, ABSENT where there is none; then it is missing if it is required."""
        if gold is ABSENT:
            return self._silent(schema, steps) if required else ABSENT
        before = self._marks()
        try:
            return self.part(schema, gold, steps)
        except _Unfit:
            self._undo(before)  # a list of which the first values are right is not there either
            if gold is None and not required:
                return ABSENT
            self.found.unfit.append((steps, gold))
            self.found.missing.append((steps, schema))
            return ABSENT

    def _silent(self, schema: Any, steps: Steps) -> Any:
        """For a required property of which the gold file says nothing: null or an empty list, if it may be that."""
        before = self._marks()
        nothings: tuple[Any, ...] = (None, [])
        for nothing in nothings:
            try:
                value = self.part(schema, nothing, steps)
            except _Unfit:
                continue
            self._undo(before)
            return value
        self.found.missing.append((steps, schema))
        return ABSENT

    def _array(self, flat: Schema, gold: Any, steps: Steps) -> list[Any]:
        given = _parsed(gold)
        if not isinstance(given, list):
            raise _Unfit
        heads = flat.get("prefixItems", [])
        rest = flat.get("items", {})
        schemas = [*heads, *(rest for _ in given[len(heads) :])]
        value = [
            self.part(schema, inner, (*steps, index))
            for index, (schema, inner) in enumerate(zip(schemas, given, strict=False))
        ]
        if not is_valid(
            {word: flat[word] for word in ("minItems", "maxItems", "uniqueItems") if word in flat}, value
        ):
            raise _Unfit
        return value

    def _leaf(self, flat: Schema, gold: Any, steps: Steps) -> Any:
        for value in _readings(flat, gold):
            if is_valid(flat, value):
                self.found.leaves.append(Leaf(steps, flat, value))
                return value
        raise _Unfit


def _as_asked(given: Mapping[str, Any], properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """The gold values by the names that the schema has for them.

    Where a key is none that every provider takes (`Brand Name`), the model is asked by an attribute's name
    (`Brand_Name`), and the gold file still has the key.
    """
    if not (properties.keys() - given.keys() and given.keys() - properties.keys()):
        return given
    from llmx.schemas.naming import attribute_names

    asked = attribute_names(given)
    renamed = {
        key for key in given.keys() - properties.keys() if asked[key] in properties.keys() - given.keys()
    }
    return {asked[key] if key in renamed else key: value for key, value in given.items()}


def _options(flat: Schema) -> Iterator[list[Any]]:
    """The ways to satisfy a schema, where it names several."""
    for word in _UNIONS:
        if word in flat:
            yield flat[word]
    if isinstance(flat.get("type"), list) and not {"enum", "const"} & flat.keys():
        yield [{**flat, "type": name} for name in flat["type"]]


def _readings(flat: Schema, gold: Any) -> Iterator[Any]:
    """What a value may mean, the value itself first."""
    if isinstance(gold, Mapping | list) and flat.get("type") is not None:
        return
    yield gold
    constants = flat.get("enum", [flat["const"]] if "const" in flat else [])
    yield from (constant for constant in constants if _text(constant) == _text(gold))
    if isinstance(gold, str):
        read = _READERS.get(str(flat.get("type")))
        value = ABSENT if read is None else read(gold.strip())
        if value is not ABSENT:
            yield value
    elif isinstance(gold, float) and gold.is_integer():
        yield int(gold)
    else:
        yield _text(gold)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(text: str) -> Any:
    try:
        number = float(text)
        return int(number) if number.is_integer() and "." not in text else number
    except (ValueError, OverflowError):
        return ABSENT


_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_READERS: Mapping[str, Callable[[str], Any]] = {
    "integer": _number,
    "number": _number,
    "boolean": lambda text: _TRUTHS.get(text.casefold(), ABSENT),
    "null": lambda text: None if text == "" else ABSENT,
}


def _parsed(gold: Any) -> Any:
    """A flat file has objects and lists as JSON."""
    if not isinstance(gold, str) or not gold.lstrip().startswith(("{", "[")):
        return gold
    try:
        return json.loads(gold)
    except (ValueError, RecursionError):
        return gold
