"""What each provider is sent of a schema, and what it thereby refuses or weakens.

No SDK is asked: this runs before the first call and in `llmx schema check`, where their import
would cost seconds; tests compare with what they would do.
"""

from __future__ import annotations

import copy
from typing import Any, get_args

from llmx.schemas.dialects import (
    ANTHROPIC_NATIVE,
    LOCAL,
    OPENAI_STRICT,
    Dialect,
    Finding,
    Grammar,
    WireSchema,
)
from llmx.schemas.keywords import Node, definitions, resolved, rewrite_children
from llmx.schemas.limits import anthropic_limits, anthropic_names, nodes_of, openai_limits, spread_options
from llmx.schemas.merge import merge_all_of
from llmx.schemas.rewrite import Rewriter, without_echoed_title
from llmx.schemas.schema import Schema
from llmx.schemas.unions import tell_apart

__all__ = ["DIALECTS", "supports", "wire_schema"]

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

_NOT_AT_THE_ROOT = ("anyOf", "oneOf", "enum", "not")


def wire_schema(schema: Schema, dialect: Dialect) -> WireSchema:
    """The schema as a provider takes it.

    Args:
        schema: the user's.
        dialect: how the provider constrains or informs its model.

    Returns:
        The JSON Schema to send, and a finding for each place where it differs in meaning or form. With
        a refused finding the schema must not be sent.
    """
    if dialect == "openai-strict":
        node, findings = _constrained(schema, OPENAI_STRICT)
        told_apart = tell_apart(node, list(nodes_of(node)))
        return WireSchema(node, (*findings, *told_apart, *openai_limits(node)))
    if dialect == "anthropic-native":
        node, findings = _constrained(schema, ANTHROPIC_NATIVE)
        node, spread = spread_options(node)
        return WireSchema(node, (*findings, *spread, *anthropic_limits(node)))
    if dialect == "local":
        node, findings = _constrained(schema, LOCAL)
        return WireSchema(node, tuple(findings))
    return _told(schema, dialect)


def supports(schema: Schema, dialect: Dialect) -> bool:
    """Whether a schema can be sent in a dialect: nothing in it is refused."""
    return all(finding.level != "refused" for finding in wire_schema(schema, dialect).findings)


def _constrained(schema: Schema, grammar: Grammar) -> tuple[Node, list[Finding]]:
    rewriter = Rewriter(schema.json_schema, grammar, null_is_absent=schema.takes_null_for_absent)
    return copy.deepcopy(rewriter.rewritten()), rewriter.findings


def _told(schema: Schema, dialect: Dialect) -> WireSchema:
    """For tools that are not strict: the model reads the schema, and nothing is enforced."""
    whole = copy.deepcopy(schema.json_schema)
    defs = definitions(whole)
    root = dict(resolved({key: value for key, value in whole.items() if key != "$defs"}, defs))
    findings: list[Finding] = []
    root = _plain_root(root, defs, findings)
    node = _brief({"type": "object", **root})
    if defs:
        node["$defs"] = _untitled({name: _brief(definition) for name, definition in defs.items()})
    node.pop("title", None)
    if dialect == "anthropic-tools":
        findings += anthropic_names(node)
    return WireSchema(node, tuple(findings))


def _plain_root(root: Node, defs: Node, findings: list[Finding]) -> Node:
    """Neither provider takes unions and the like at the root of a tool's schema, as their error messages say."""
    lost: set[str] = set()
    whole = merge_all_of(root, defs, lost)
    if whole is None:
        findings.append(Finding("refused", "", "allOf at the root does not go together in one schema"))
        return root
    findings += [
        Finding("weakened", "", f"a further {keyword} is not told to the model") for keyword in sorted(lost)
    ]
    told = {key: value for key, value in whole.items() if key not in _NOT_AT_THE_ROOT}
    findings += [
        Finding("weakened", "", f"{keyword} at the root is not told to the model")
        for keyword in _NOT_AT_THE_ROOT
        if keyword in whole
    ]
    return told


def _untitled(named: Node) -> Node:
    return {
        name: without_echoed_title(node, name) if isinstance(node, dict) else node
        for name, node in named.items()
    }


def _brief(node: Any) -> Any:
    """Without titles that echo names, which cost tokens in every call; lists say what they hold."""
    if not isinstance(node, dict):
        return node
    node = rewrite_children(node, _brief)
    if "properties" in node:
        node["properties"] = _untitled(node["properties"])
    if node.get("type") == "array" and not {"items", "prefixItems"} & node.keys():
        node["items"] = {}  # OpenAI refuses a list that does not say what it holds
    return node
