"""`allOf` as one schema: what holds when all of its parts hold, where one schema can say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmx.schemas.keywords import Node, children, ref_name, resolved, types_of

__all__ = ["MOST_PARTS", "merge_all_of", "parts_of_all_of"]

MOST_PARTS = 20_000
"""Of all `allOf` of a schema, each with those of the definitions that it refers to: a chain of definitions that name the
next one twice has 2 to the power of its length."""

_ANNOTATIONS = {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
_HIGHEST = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_CONDITION = ("if", "then", "else")
_ONE_IS_ENOUGH = {
    *("pattern", "format", "multipleOf", "not", "contains", "propertyNames", "contentEncoding"),
    *("contentMediaType", "dependentRequired", "dependentSchemas"),
}
_LOWEST = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}


def merge_all_of(
    node: Node,
    defs: Mapping[str, Any],
    lost: set[str] | None = None,
    _seen: frozenset[str] = frozenset(),
) -> Node | None:
    """The node with its `allOf` folded in, at every depth of `allOf`.

    Args:
        node: may be free of `allOf`, and is then returned as it is.
        defs: the root's definitions.
        lost: gets the keywords of which only the first of several could be kept: constraints, so that more
            is allowed than before.

    Returns:
        None where the parts say things that one schema cannot say together.
    """
    if "allOf" not in node:
        return node
    whole: Node | None = {key: value for key, value in node.items() if key != "allOf"}
    for part in node["allOf"]:
        name = ref_name(part) if isinstance(part, dict) else None
        if whole is None or name in _seen:
            return None
        part = resolved(part, defs)
        if part is True:
            continue
        flat = merge_all_of(part, defs, lost, _seen | {name or ""}) if isinstance(part, dict) else None
        whole = _both(whole, flat, set() if lost is None else lost) if flat is not None else None
    return whole


def parts_of_all_of(root: Any, defs: Mapping[str, Any]) -> int:
    """How many parts `merge_all_of` would have to look at for all nodes of a schema, beyond `MOST_PARTS` no further.

    Args:
        defs: the root's definitions.
    """
    known: dict[str, int] = {}

    def parts(node: Any) -> int:
        if not isinstance(node, dict):
            return 1
        name = ref_name(node)
        beside = 1 + sum(parts(part) for part in node.get("allOf", ()))
        if name is None:
            return beside
        if name not in known:
            known[name] = 1  # where it leads back to itself, merging ends
            known[name] = parts(defs.get(name))
        return min(beside + known[name], MOST_PARTS + 1)

    total, waiting = 0, [root, *defs.values()]
    while waiting and total <= MOST_PARTS:
        node = waiting.pop()
        if isinstance(node, dict):
            total += parts(node) if "allOf" in node else 0
            waiting += [child for _, child in children(node)]
    return total


def _both(one: Node, other: Node, lost: set[str]) -> Node | None:
    """A schema that holds where both do; annotations of the first win."""
    result = dict(one)
    other = _without_second_condition(one, other, lost)
    for keyword, value in other.items():
        if keyword not in result:
            result[keyword] = value
        elif result[keyword] != value and keyword not in _ANNOTATIONS:
            if keyword in _ONE_IS_ENOUGH:
                lost.add(keyword)
                continue
            combined = _combined(keyword, result[keyword], value, lost)
            if combined is None:
                return None
            result[keyword] = combined
    return result


def _without_second_condition(one: Node, other: Node, lost: set[str]) -> Node:
    """`if`, `then` and `else` belong together: those of two schemas do not mix."""
    if "if" not in one or "if" not in other or all(one.get(key) == other.get(key) for key in _CONDITION):
        return other
    lost.add("if")
    return {key: value for key, value in other.items() if key not in _CONDITION}


def _combined(keyword: str, one: Any, other: Any, lost: set[str]) -> Any:
    """What a keyword must say to mean both values, None where it cannot."""
    if keyword in _HIGHEST:
        return max(one, other)
    if keyword in _LOWEST:
        return min(one, other)
    if keyword == "required":
        return list(dict.fromkeys([*one, *other]))
    if keyword == "type":
        return _common_type(types_of({"type": one}), types_of({"type": other}))
    if keyword == "enum":
        return [value for value in one if value in other] or None
    if keyword == "properties":
        return _both_properties(one, other, lost)
    return False if keyword == "additionalProperties" and False in (one, other) else None


def _common_type(one: list[str], other: list[str]) -> list[str] | str | None:
    common = [name for name in one if name in other]
    if {"integer", "number"} <= {*one, *other} and "integer" not in common:
        common.append("integer")
    return common[0] if len(common) == 1 else common or None


def _both_properties(one: Node, other: Node, lost: set[str]) -> Node | None:
    result = dict(one)
    for name, schema in other.items():
        mine = result.get(name, True)
        if mine is True or mine == schema:
            result[name] = schema
        elif isinstance(mine, dict) and isinstance(schema, dict) and "$ref" not in {*mine, *schema}:
            combined = _both(mine, schema, lost)
            if combined is None:
                return None
            result[name] = combined
        else:
            return None
    return result
