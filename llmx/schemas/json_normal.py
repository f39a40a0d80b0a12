"""JSON Schema files in one shape: definitions at the root under `$defs`, nothing that only files need.

Drafts differ in where definitions stand and in how tuples are written; references may point anywhere
in the file. What comes out says the same in the words of draft 2020-12, with references to `$defs` only.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from llmx.errors import UsageError
from llmx.schemas.keywords import Node, definitions, resolved, rewrite_children
from llmx.schemas.merge import MOST_PARTS, merge_all_of, parts_of_all_of
from llmx.schemas.references import used_definitions
from llmx.text import nearest

__all__ = ["normalised"]

_FILE_ONLY = {"$schema", "$id", "id", "$anchor", "$comment", "$vocabulary", "definitions", "$defs"}
_BESIDE_REF = {"$ref", "title", "description", "default", "examples", "deprecated"}


def normalised(schema: Node, *, source: str, title: str, old_refs: bool) -> Node:
    """The schema of an object in normal form.

    Args:
        schema: a valid JSON Schema.
        source: begins error messages.
        title: given to a schema that has none.
        old_refs: whether what stands beside `$ref` means nothing, as up to draft 7.

    Raises:
        UsageError: it refers to another file or to nothing, or it is not the schema of an object
            with named properties.
    """
    normal = _Normal(schema, source, old_refs)
    root = normal.rewritten(schema)
    if parts_of_all_of(root, normal.defs) > MOST_PARTS:
        raise UsageError(
            f"{source}: its allOf come to more than {MOST_PARTS:,} parts", hint="write them as one"
        )
    while "$ref" in root:
        root = dict(resolved(root, normal.defs))
    lost: set[str] = set()
    whole = merge_all_of(root, normal.defs, lost) or root
    _check_object(whole, source)
    root = {**whole, "allOf": root["allOf"]} if lost else whole  # what is lost, each dialect shall say
    used = used_definitions(root, normal.defs)
    return {"title": title, **root, "type": "object", **({"$defs": used} if used else {})}


def _check_object(whole: Node, source: str) -> None:
    if whole.get("type", "object") != "object":
        raise UsageError(
            f"{source}: the root of the JSON Schema is of type {whole['type']!r}, not 'object'",
            hint="a row is an object with named fields: put the rest under a property",
        )
    if not isinstance(whole.get("properties"), dict) or not whole["properties"]:
        raise UsageError(
            f"{source}: the root of the JSON Schema has no 'properties'",
            hint="a row is an object with named fields: put unions and lists under a property",
        )


class _Normal:
    """Rewrites nodes, collecting the definitions that they refer to."""

    def __init__(self, root: Node, source: str, old_refs: bool) -> None:
        self.defs: dict[str, Any] = {}
        self._root, self._source, self._old_refs = root, source, old_refs
        self._names: dict[str, str] = {}
        self._anchors = dict(_anchors(root))

    def rewritten(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        if found := {"$dynamicRef", "$recursiveRef"} & node.keys():
            raise UsageError(f"{self._source}: {found.pop()!r} is not supported", hint="use $ref")
        if "$ref" in node:
            keep = _BESIDE_REF if self._old_refs else node.keys()
            node = {key: value for key, value in node.items() if key in keep}
            if "allOf" in (split := _both_hold(node)):
                return self.rewritten(split)
            node["$ref"] = self._definition(node["$ref"])
        node = {key: value for key, value in node.items() if key not in _FILE_ONLY}
        return rewrite_children(_modern(node), self.rewritten)

    def _definition(self, ref: str) -> str:
        """The reference in normal form; what it points at becomes a definition."""
        if ref not in self._names:
            target = self._target(ref)
            self._names[ref] = name = self._free_name(ref)
            self.defs[name] = {}  # holds the name while the definition refers to itself
            self.defs[name] = self.rewritten(target)
        name = self._names[ref]
        return "#/$defs/" + name.replace("~", "~0").replace("/", "~1")

    def _free_name(self, ref: str) -> str:
        last = unquote(ref).rsplit("/", 1)[-1].lstrip("#")
        wanted = last.replace("~1", "/").replace("~0", "~") or str(self._root.get("title") or "Root")
        name, number = wanted, 2
        while name in self._names.values():
            name, number = f"{wanted}_{number}", number + 1
        return name

    def _target(self, ref: str) -> Any:
        local = ref.removeprefix(str(self._root.get("$id", ""))) if self._root.get("$id") != "#" else ref
        if not local.startswith("#"):
            raise UsageError(
                f"{self._source}: the $ref {ref!r} points outside the file, which is never fetched",
                hint="copy the definition into the file's $defs",
            )
        if local[1:] in self._anchors:
            return self._anchors[local[1:]]
        target: Any = self._root
        for token in unquote(local[1:]).split("/")[1:]:
            target = self._step(target, token.replace("~1", "/").replace("~0", "~"), ref)
        if local not in ("#", "#/") and "/" not in local:
            raise self._nowhere(ref)
        return target

    def _step(self, target: Any, token: str, ref: str) -> Any:
        if isinstance(target, dict) and token in target:
            return target[token]
        if isinstance(target, list) and token.isdecimal() and int(token) < len(target):
            return target[int(token)]
        raise self._nowhere(ref)

    def _nowhere(self, ref: str) -> UsageError:
        there = [*definitions(self._root), *self._root.get("definitions", {})]
        close = nearest(ref.rsplit("/", 1)[-1], there)
        hint = f"did you mean {close!r}?" if close else f"its definitions: {', '.join(there) or 'none'}"
        return UsageError(f"{self._source}: the $ref {ref!r} points at nothing", hint=hint)


def _both_hold(node: Node) -> Node:
    """A reference and what stands beside it, annotations aside, as the two schemas that they are."""
    beside = {key: value for key, value in node.items() if key not in _BESIDE_REF | _FILE_ONLY}
    if not beside:
        return node
    about = {key: value for key, value in node.items() if key not in beside and key != "$ref"}
    return {**about, "allOf": [{"$ref": node["$ref"]}, beside]}


def _anchors(node: Any) -> list[tuple[str, Any]]:
    """Every `$anchor` in the file; before draft 2019-09 they were written `"$id": "#name"`."""
    if isinstance(node, list):
        return [pair for child in node for pair in _anchors(child)]
    if not isinstance(node, dict):
        return []
    inside = [pair for child in node.values() for pair in _anchors(child)]
    own = node.get("$anchor") or str(node.get("$id", "")).partition("#")[2]
    return [(own, node), *inside] if isinstance(own, str) and own else inside


def _modern(node: Node) -> Node:
    """Tuples and dependencies in the words of draft 2020-12."""
    if isinstance(node.get("items"), list):
        node = {**node, "prefixItems": node["items"], "items": node.get("additionalItems", True)}
        node.pop("additionalItems", None)
    if isinstance(dependencies := node.get("dependencies"), dict):
        node = {key: value for key, value in node.items() if key != "dependencies"}
        node["dependentRequired"] = {k: v for k, v in dependencies.items() if isinstance(v, list)}
        node["dependentSchemas"] = {k: v for k, v in dependencies.items() if not isinstance(v, list)}
    return node
