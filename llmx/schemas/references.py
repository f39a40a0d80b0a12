"""Which definitions are used, which contain themselves, and where in an answer each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmx.schemas.dialects import place
from llmx.schemas.keywords import Node, children, definitions, ref_name

__all__ = ["places_of_definitions", "recursive_definitions", "used_definitions"]


def recursive_definitions(defs: Mapping[str, Any]) -> set[str]:
    """The definitions that contain themselves, at whatever depth."""
    direct = {name: set(_references(node)) for name, node in defs.items()}
    return {name for name in defs if name in _reachable(direct[name], direct)}


def used_definitions(root: Node, defs: Mapping[str, Any]) -> dict[str, Any]:
    """The definitions that the root refers to, directly or through others."""
    used = _reachable(set(_references(root)), {name: set(_references(node)) for name, node in defs.items()})
    return {name: node for name, node in defs.items() if name in used}


def _references(node: Any) -> list[str]:
    if not isinstance(node, dict):
        return []
    own = [name] if (name := ref_name(node)) is not None else []
    return own + [found for _, child in children(node) for found in _references(child)]


def _reachable(start: set[str], direct: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = set(start)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= direct.get(name, set()) - reached
    return reached


def places_of_definitions(schema: Node) -> dict[str, str]:
    """Where in an answer each definition first stands, nearest the root."""
    defs, places = definitions(schema), dict[str, str]()
    waiting: list[tuple[str, Any]] = [("", schema)]
    for path, node in waiting:  # grows while it is read: breadth first
        if not isinstance(node, dict):
            continue
        if (name := ref_name(node)) is not None and name not in places:
            places[name] = path
            waiting.append((path, defs.get(name)))
        waiting.extend((place(path, step), child) for step, child in children(node))
    return places
