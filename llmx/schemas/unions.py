"""Branches of a union: whether one value can fit two of them, and whether they begin differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from llmx.schemas.dialects import Finding
from llmx.schemas.keywords import Node, definitions, ref_name, resolved, types_of

__all__ = ["disjoint", "tell_apart"]

_DEEPEST = 3  # properties in properties that are looked at to tell two objects apart


def disjoint(one: Any, other: Any, defs: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether it is plain to see that no value fits both: by type, by choices, or by a property that must be there."""
    one, other = resolved(one, defs), resolved(other, defs)
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    kinds, others = _kinds(one), _kinds(other)
    if kinds and others and not kinds & others:
        return True
    choices, more = _choices(one), _choices(other)
    if choices is not None and more is not None:
        return not any(_same(a, b) for a in choices for b in more)
    shared = set(one.get("required", ())) & set(other.get("required", ()))
    mine, theirs = one.get("properties", {}), other.get("properties", {})
    return depth < _DEEPEST and any(
        disjoint(mine.get(name), theirs.get(name), defs, depth + 1) for name in shared
    )


def tell_apart(schema: Node, nodes: Sequence[tuple[str, Node]]) -> Iterator[Finding]:
    """Let the objects of each union begin differently, as OpenAI asks: by another name, or by other choices.

    The property that tells them apart is put first, in place. See
    https://github.com/openai/openai-python/issues/2193 for the rule.

    Args:
        schema: strict, so that every property is required.
        nodes: all of its nodes, with their paths.
    """
    defs = definitions(schema)
    unions = [(path, _objects(node, defs)) for path, node in nodes if "anyOf" in node]
    for path, objects in unions:
        if not _begin_differently(objects, defs) and (name := _teller(objects, defs)) is not None:
            _put_first(name, objects)
            yield Finding("rewritten", path, f"{name} comes first, since it tells the objects apart")
    for path, objects in unions:
        if not _begin_differently(objects, defs):
            problem = "two objects of a union begin with the same field"
            hint = "begin each with a field of its own, or with one like kind: Literal[...] that tells them apart"
            yield Finding("refused", path, problem, hint)


def _put_first(name: str, objects: Sequence[Node]) -> None:
    for found in objects:
        found["properties"] = {name: found["properties"][name], **found["properties"]}
        found["required"] = list(found["properties"])


def _objects(union: Node, defs: Mapping[str, Any]) -> list[Node]:
    found = [_object(branch, defs) for branch in union["anyOf"]]
    return [node for node in found if "properties" in node]


def _object(branch: Any, defs: Mapping[str, Any]) -> Node:
    """The node itself that a branch is or refers to, so that it can be changed."""
    name = ref_name(branch) if isinstance(branch, dict) else None
    target = branch if name is None else defs.get(name)
    return target if isinstance(target, dict) else {}


def _begin_differently(objects: Sequence[Node], defs: Mapping[str, Any]) -> bool:
    firsts: list[tuple[str, Any]] = [next(iter(found["properties"].items()), ("", {})) for found in objects]
    return all(
        name != other or disjoint(schema, more, defs)
        for (name, schema), (other, more) in combinations(firsts, 2)
    )


def _teller(objects: Sequence[Node], defs: Mapping[str, Any]) -> str | None:
    """The first property that all objects have and no two share a value of."""
    for name in objects[0]["properties"]:
        schemas = [found["properties"].get(name) for found in objects]
        if all(disjoint(one, other, defs) for one, other in combinations(schemas, 2)):
            return str(name)
    return None


def _kinds(node: Node) -> set[str]:
    """The types that a node names; an integer is a number, too."""
    types = set(types_of(node))
    return types | {"integer"} if "number" in types else types


def _choices(node: Node) -> list[Any] | None:
    if "enum" in node:
        return list(node["enum"])
    return [node["const"]] if "const" in node else None


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: `true` is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
