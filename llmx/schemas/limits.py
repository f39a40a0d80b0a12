"""How large a schema may be: the limits that providers put on what `rewrite` has written.

OpenAI: https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas
Anthropic: https://platform.claude.com/docs/en/build-with-claude/structured-outputs#schema-complexity-limits
and, for the names of a tool's properties, its own error message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from llmx.schemas.dialects import Finding, place
from llmx.schemas.keywords import Node, children, definitions, ref_name

__all__ = ["anthropic_limits", "anthropic_names", "nodes_of", "openai_limits", "spread_options"]

_PROPERTIES, _DEPTH, _CHARACTERS = 5000, 10, 120_000
_CHOICES, _MANY_CHOICES, _CHOICES_CHARACTERS = 1000, 250, 15_000
_OPTIONAL, _UNIONS = 24, 16
_ANTHROPIC_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def openai_limits(schema: Node) -> Iterator[Finding]:
    """What of a strict schema is over OpenAI's limits."""
    nodes = list(nodes_of(schema))
    choices = [node["enum"] for _, node in nodes if "enum" in node]
    names = [name for _, node in nodes for name in node.get("properties", ())]
    yield from _over(len(names), _PROPERTIES, "properties")
    yield from _over(_depth(schema, definitions(schema), {}), _DEPTH, "levels of nested objects")
    yield from _over(sum(map(len, choices)), _CHOICES, "choices in all enums")
    text = [*names, *definitions(schema), *(str(value) for values in choices for value in values)]
    text += [str(node["const"]) for _, node in nodes if "const" in node]
    yield from _over(sum(map(len, text)), _CHARACTERS, "characters of names and choices")
    for path, node in nodes:
        values = node.get("enum", ())
        if len(values) > _MANY_CHOICES:
            yield from _over(
                sum(len(str(one)) for one in values), _CHOICES_CHARACTERS, "characters of choices", path
            )


def anthropic_limits(schema: Node) -> Iterator[Finding]:
    """What of a native schema is over Anthropic's limits."""
    nodes = [node for _, node in nodes_of(schema)]
    optional = sum(len(node.get("properties", {})) - len(node.get("required", ())) for node in nodes)
    yield from _over(optional, _OPTIONAL, "optional properties")
    yield from _over(sum("anyOf" in node for node in nodes), _UNIONS, "unions")


def anthropic_names(schema: Node) -> Iterator[Finding]:
    """The property names that Anthropic's tools refuse."""
    for path, node in nodes_of(schema):
        for name in node.get("properties", {}):
            if not _ANTHROPIC_NAME.fullmatch(name):
                problem = f"the name {name!r} is refused: 1 to 64 of A-Z a-z 0-9 _ . - are allowed"
                yield Finding("refused", place(path, name), problem, "rename the field")


def spread_options(schema: Node) -> tuple[Node, list[Finding]]:
    """Make fields that are optional and nullable one or the other, if the limits are exceeded.

    Such a field counts as an optional property and as a union; absent and null mean the same in it,
    so that it needs to be but one of them.

    Returns:
        The schema and what was done to it; untouched where it is within the limits, or where this
        cannot help.
    """
    if not list(anthropic_limits(schema)):
        return schema, []
    both = [(path, node, name) for path, node in nodes_of(schema) for name in _optional_and_nullable(node)]
    nodes = [node for _, node in nodes_of(schema)]
    optional = sum(len(node.get("properties", {})) - len(node.get("required", ())) for node in nodes) - len(
        both
    )
    findings = []
    for number, (path, node, name) in enumerate(both):
        if optional + number < _OPTIONAL:
            node["properties"][name] = _without_null(node["properties"][name])
            done = "absent, never null"
        else:
            node["required"] = [*node.get("required", ()), name]
            done = "null, never absent"
        findings.append(Finding("rewritten", place(path, name), f"where it has no value it is {done}"))
    return schema, findings


def _optional_and_nullable(node: Node) -> list[str]:
    required = node.get("required", ())
    return [
        name
        for name, child in node.get("properties", {}).items()
        if name not in required and {"type": "null"} in child.get("anyOf", ())
    ]


def _without_null(node: Node) -> Node:
    branches = [branch for branch in node["anyOf"] if branch != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    # Nothing may stand beside a reference, so one with a description stays a union of one.
    if len(branches) == 1 and not ("$ref" in branches[0] and rest):
        return {**branches[0], **rest}
    return {"anyOf": branches, **rest}


def _over(count: int, limit: int, what: str, path: str = "") -> Iterator[Finding]:
    if count > limit:
        yield Finding(
            "refused", path, f"{count} {what}: at most {limit} are allowed", "split the schema in two runs"
        )


def nodes_of(schema: Node) -> Iterator[tuple[str, Node]]:
    """Every node once, definitions under their name."""
    waiting: list[tuple[str, Any]] = [("", schema), *definitions(schema).items()]
    while waiting:
        path, node = waiting.pop(0)
        if isinstance(node, dict):
            yield path, node
            waiting.extend((place(path, step), child) for step, child in children(node))


def _depth(node: Any, defs: Node, known: dict[str, int]) -> int:
    """Objects within objects; a definition inside itself counts once.

    Args:
        known: gets each definition's depth, so that it is walked once however many ways lead to it.
    """
    if not isinstance(node, dict):
        return 0
    inside = [_depth(child, defs, known) for _, child in children(node)]
    if (name := ref_name(node)) is not None:
        if name not in known:
            known[name] = 0  # holds while the definition refers to itself
            known[name] = _depth(defs.get(name), defs, known)
        inside.append(known[name])
    return max(inside, default=0) + (node.get("type") == "object")
