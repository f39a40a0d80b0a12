"""Rewrites a schema into the words of a grammar: losslessly where that can be, else with a finding.

Widening is allowed, since the user's own model validates every answer: a constraint that the grammar
does not know goes into the description, where the model may follow it. Narrowing is not: where a valid
answer could no longer be given, the finding says "refused".
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

from llmx.schemas.dialects import Finding, Grammar, place
from llmx.schemas.keywords import Node, definitions, ref_name, resolved, types_of
from llmx.schemas.merge import merge_all_of
from llmx.schemas.references import places_of_definitions, recursive_definitions
from llmx.schemas.said import SAID, UNSAID, described, named, shown
from llmx.schemas.unions import disjoint

__all__ = ["Rewriter", "without_echoed_title"]

_OF_TYPE = {
    "string": {"pattern", "format", "minLength", "maxLength", "contentEncoding", "contentMediaType"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"},
    "object": {"properties", "required", "additionalProperties", "patternProperties", "propertyNames"},
}
_LOOKS_AROUND = re.compile(r"\(\?<?[=!]|\\[bBAzZ]|\\[1-9]")
"""What regular languages cannot say: grammars reject it. `\\b` looks at both sides of its place."""
_NULL = {"type": "null"}
_DEEPEST = 20  # unions in unions that are looked into


class Rewriter:
    """One rewriting of one schema.

    Args:
        schema: the user's JSON Schema, definitions under `$defs`.
        grammar: the words to use.
        null_is_absent: whether the user's model takes null for an absent property.
    """

    def __init__(self, schema: Node, grammar: Grammar, *, null_is_absent: bool) -> None:
        self.findings: list[Finding] = []
        self._schema, self._grammar, self._null_is_absent = schema, grammar, null_is_absent
        self._defs = definitions(schema)
        self._recursive = recursive_definitions(self._defs)
        self._places = places_of_definitions(schema)
        self._used: dict[str, Any] = {}

    def rewritten(self) -> Node:
        """The whole schema, with the definitions it still needs."""
        root = {key: value for key, value in self._schema.items() if key not in ("$defs", "title")}
        result = self._node(resolved(root, self._defs), "")
        result.pop("title", None)
        return {**result, "$defs": self._used} if self._used else result

    def _found(self, level: Any, path: str, message: str, hint: str = "") -> None:
        finding = Finding(level, path, message, hint)
        if finding not in self.findings:
            self.findings.append(finding)

    def _node(self, node: Any, path: str) -> Node:
        if not isinstance(node, dict):
            return self._anything({}, path)
        if ref_name(node) is not None:
            return self._reference(node, path)
        whole = self._merged(node, path)
        told: list[str] = []
        if "enum" in whole or "const" in whole:
            result = self._literal(whole, path)
        elif "anyOf" in whole or "oneOf" in whole:
            result = self._union(whole, path)
        elif len(types := types_of(whole) or _implied(whole)) > 1:
            result = {"anyOf": [self._node(_only_of(whole, one), path) for one in types]}
        elif types:
            result = self._typed(types[0], whole, path, told)
        else:
            result = self._anything(whole, path)
        return described(result, whole, told)

    def _merged(self, node: Node, path: str) -> Node:
        if "allOf" not in node:
            return node
        lost: set[str] = set()
        whole = merge_all_of(node, self._defs, lost)
        for keyword in sorted(lost):
            self._found("weakened", path, f"a further {keyword} is not enforced")
        if whole is None:
            self._found(
                "refused", path, "the parts of allOf do not go together in one schema", "write them as one"
            )
            return {key: value for key, value in node.items() if key != "allOf"}
        self._found("rewritten", path, "allOf is written as one schema")
        return whole

    def _anything(self, node: Node, path: str) -> Node:
        if self._grammar.anything:
            return {}
        self._found("refused", path, "has no type: any value could stand there", "give the field a type")
        return {}

    # References

    def _reference(self, node: Node, path: str) -> Node:
        name = ref_name(node)
        assert name is not None
        beside = {key: value for key, value in node.items() if key not in ("$ref", "title")}
        if beside.get("default", ...) is None:
            del beside["default"]
        if beside and not self._grammar.beside_ref and name not in self._recursive:
            inlined = self._node(resolved({"$ref": node["$ref"], **beside}, self._defs), path)
            return without_echoed_title(inlined, name)
        self._define(name)
        reference = {"$ref": node["$ref"]}
        if not beside:
            return reference
        about = described({}, beside, [])
        if self._grammar.beside_ref:
            return reference | about
        return {"anyOf": [reference], **about} if about else reference

    def _define(self, name: str) -> None:
        if name in self._used:
            return
        self._used[name] = {}  # holds the name while the definition refers to itself
        path = self._places.get(name, name)
        if name in self._recursive and not self._grammar.recursion:
            self._found(
                "refused",
                path,
                f"{name} contains itself",
                "give it a fixed depth, or use a provider that allows it",
            )
        self._used[name] = without_echoed_title(self._node(self._defs.get(name, {}), path), name)

    # Unions and literals

    def _union(self, node: Node, path: str) -> Node:
        keyword = "anyOf" if "anyOf" in node else "oneOf"
        if "properties" in node:
            return self._object_with_branches(node, keyword, path)
        if keyword == "oneOf":
            exclusive = all(disjoint(*pair, self._defs) for pair in combinations(node[keyword], 2))
            level, more = ("rewritten", "") if exclusive else ("weakened", ": an answer may fit two of them")
            self._found(level, path, f"oneOf is written as anyOf{more}")
        branches: list[Node] = []
        for branch in node[keyword]:
            rewritten = self._node(branch, path)
            nested = rewritten["anyOf"] if rewritten.keys() == {"anyOf"} else [rewritten]
            branches += [one for one in nested if one not in branches]
        if "null" in types_of(node) and _NULL not in branches:
            branches.append(_NULL)  # branches that speak of objects alone allow it, too
        return {"anyOf": branches}

    def _object_with_branches(self, node: Node, keyword: str, path: str) -> Node:
        """Properties beside a union: grammars know one or the other."""
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "oneOf")}
        if any(self._brings_properties(branch) for branch in node[keyword]):
            self._found(
                "refused", path, f"properties stand beside {keyword} with further ones", "repeat them in each"
            )
        else:
            self._found("weakened", path, f"{keyword} beside properties is not enforced")
        return self._node(rest, path)

    def _brings_properties(self, branch: Any, depth: int = 0) -> bool:
        node = resolved(branch, self._defs)
        if not isinstance(node, dict) or depth > _DEEPEST:
            return False
        parts = [part for keyword in ("anyOf", "oneOf", "allOf") for part in node.get(keyword, ())]
        return "properties" in node or any(self._brings_properties(part, depth + 1) for part in parts)

    def _literal(self, node: Node, path: str) -> Node:
        values = node["enum"] if "enum" in node else [node["const"]]
        if any(isinstance(value, (dict, list)) for value in values) and not self._grammar.anything:
            self._found(
                "refused", path, "the choices hold objects or lists", "use text, numbers, true, false or null"
            )
        result: Node = {"enum": list(values)} if "enum" in node else {"const": node["const"]}
        if self._grammar.enum_types:
            types = list(dict.fromkeys(_type_of_value(value) for value in values))
            result["type"] = types[0] if len(types) == 1 else types
        return result

    # Types

    def _typed(self, json_type: str, node: Node, path: str, told: list[str]) -> Node:
        result: Node = {"type": json_type}
        if json_type == "object":
            self._object(node, path, result)
        elif json_type == "array":
            node = self._array(node, path, result)
        for keyword in [*SAID, *UNSAID]:
            if keyword in node and node[keyword] is not False:
                self._constraint(keyword, node, path, result, told)
        return result

    def _constraint(self, keyword: str, node: Node, path: str, result: Node, told: list[str]) -> None:
        value = node[keyword]
        if self._enforced(keyword, value):
            result.setdefault(keyword, value)
            return
        if keyword in SAID:
            words = shown(value) if keyword == "pattern" else value
            told.append(SAID[keyword].format(words))
            self._found("weakened", path, f"{named(keyword, words)} is told to the model, not enforced")
        elif not (keyword == "patternProperties" and not self._grammar.free_keys):
            self._found("weakened", path, f"{keyword} is not enforced")

    def _enforced(self, keyword: str, value: Any) -> bool:
        if keyword == "format":
            return value in self._grammar.formats
        if keyword == "minItems" and self._grammar.few_items:
            return value in (0, 1)
        if keyword == "pattern" and _LOOKS_AROUND.search(value):
            return False
        return keyword in self._grammar.keywords

    def _object(self, node: Node, path: str, result: Node) -> None:
        declared = {**node.get("properties", {})}
        declared |= {name: True for name in node.get("required", ()) if name not in declared}
        required: list[str] = []
        if not self._closed(node, path):
            if "additionalProperties" in node:
                more = node["additionalProperties"]
                result["additionalProperties"] = (
                    self._node(more, place(path, "*")) if isinstance(more, dict) else more
                )
        else:
            result["additionalProperties"] = False
        if "patternProperties" in node and self._grammar.free_keys:
            patterns = node["patternProperties"].items()
            result["patternProperties"] = {
                key: self._node(value, place(path, "*")) for key, value in patterns
            }
        properties = {
            name: self._property(name, child, node, path, required) for name, child in declared.items()
        }
        if declared or result.get("additionalProperties") is False:
            result["properties"] = properties
        if required:
            result["required"] = required

    def _closed(self, node: Node, path: str) -> bool:
        """Whether the object has only the properties it names; refuses one that has more where it may not."""
        more = node.get("additionalProperties", "properties" not in node)
        told = "additionalProperties" in node or not _names_more(node)
        if more is False and "patternProperties" not in node and told:
            return True
        if not self._grammar.free_keys:
            named = "its properties" if node.get("properties") else "a dictionary"
            self._found(
                "refused",
                path,
                f"{named} may have any keys"
                if named == "a dictionary"
                else "may have keys beside its properties",
                "use a list of objects with a name and a value"
                if named == "a dictionary"
                else 'name every property: no extra="allow", no additionalProperties',
            )
        return False

    def _property(self, name: str, child: Any, node: Node, path: str, required: list[str]) -> Node:
        """One property; its name joins `required` where an answer must have it."""
        path = place(path, name)
        result = without_echoed_title(self._node(child, path), name)
        if name not in node.get("required", ()):
            asked = self._grammar.all_required or self._grammar.ask_for_null
            absent = child if isinstance(child, dict) else {}
            if asked and absent.get("default") is None and self._nullable(child):
                self._found("rewritten", path, "optional: null where it is absent")
            elif asked and self._null_is_absent and absent.get("default") is None:
                self._found("rewritten", path, "optional: null where it is absent")
                result = _or_null(result)
            elif self._grammar.all_required:
                self._always_given(absent, path)
            else:
                return result
        required.append(name)
        return result

    def _always_given(self, child: Node, path: str) -> None:
        """An optional property that cannot be null, where every property is required."""
        if "default" in child and child["default"] is None:
            problem = "is None where it is absent, but must always be given and may not be null"
            self._found("refused", path, problem, "declare it nullable, such as int | None")
        elif "default" in child or types_of(resolved(child, self._defs)) == ["array"]:
            self._found("rewritten", path, "optional, with a default: the model always gives it")
        else:
            self._found(
                "weakened", path, "optional, but the model always gives it: its default cannot be told"
            )

    def _nullable(self, node: Any, depth: int = 0) -> bool:
        node = resolved(node, self._defs)
        if not isinstance(node, dict) or depth > 20:
            return True
        branches = [*node.get("anyOf", ()), *node.get("oneOf", ())]
        literals = node.get("enum", [node["const"]] if "const" in node else [])
        named = types_of(node)
        if not (named or literals or branches or "allOf" in node):
            return True
        return "null" in named or None in literals or any(self._nullable(one, depth + 1) for one in branches)

    def _array(self, node: Node, path: str, result: Node) -> Node:
        """Adds what stands in the list; returns the node without what is thereby said."""
        prefix, rest = node.get("prefixItems"), node.get("items", True)
        inside = place(path, "[]")
        if prefix is None:
            result["items"] = self._node(rest, inside)
            return node
        positions = [self._node(one, inside) for one in prefix]
        if self._grammar.tuples:
            result["prefixItems"] = positions
            result["items"] = self._node(rest, inside) if isinstance(rest, dict) else rest
            return node
        self._found("weakened", path, "which type stands at which position is not enforced")
        if rest is True and node.get("maxItems", len(prefix) + 1) > len(prefix):
            problem = "after its first elements the list may hold anything"
            self._found("refused", path, problem, "say what items hold, or that there are no more")
        if isinstance(rest, dict):
            positions.append(self._node(rest, inside))
        kinds = [one for at, one in enumerate(positions) if one not in positions[:at]]
        result["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        return node if rest is not False else {"maxItems": len(prefix), **node}


def _names_more(node: Node) -> bool:
    """Whether an object's further keywords let it have properties that are not among its own."""
    conditional = [node.get("then"), node.get("else"), *(node.get("dependentSchemas") or {}).values()]
    named = any(
        isinstance(one, dict) and one.get("properties", {}).keys() - node.get("properties", {})
        for one in conditional
    )
    return named or node.get("unevaluatedProperties", False) is not False


def _implied(node: Node) -> list[str]:
    """The type that a node without one can only mean."""
    if {"properties", "patternProperties", "additionalProperties"} & node.keys():
        return ["object"]
    return ["array"] if {"items", "prefixItems"} & node.keys() else []


def _only_of(node: Node, json_type: str) -> Node:
    """One type of several, with the constraints that concern it."""
    kind = "number" if json_type == "integer" else json_type
    mine = _OF_TYPE.get(kind, set())
    return {"type": json_type, **{key: value for key, value in node.items() if key in mine}}


def _type_of_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _or_null(node: Node) -> Node:
    """The node or null, its annotations on the outside."""
    outside: Node = {key: node[key] for key in ("description", "title") if key in node}
    inside = {key: value for key, value in node.items() if key not in outside}
    branches = inside["anyOf"] if inside.keys() == {"anyOf"} else [inside]
    return {"anyOf": [*branches, _NULL], **outside}


def without_echoed_title(node: Node, name: str) -> Node:
    """The node without a title that says no more than its name: pydantic gives every field one."""

    def letters(text: object) -> str:
        return re.sub(r"[\W_]+", "", str(text)).casefold()

    if "title" in node and letters(node["title"]) == letters(name):
        return {key: value for key, value in node.items() if key != "title"}
    return node
