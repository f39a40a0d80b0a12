"""How long an answer will be, by the schema alone: the last resort, where nobody has seen one.

It reads a JSON Schema as `Schema.json_schema` has it, and counts the bytes of a short and of a usual answer. It knows no
tokens and no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from llmx.schemas.keywords import definitions, property_schemas, ref_name

__all__ = ["AnswerSize", "answer_size"]

WORDS, SENTENCE = 24, 120
"""Bytes of a text field: a name, a place, a few words; or a sentence or two, where the field's name says so."""

_SENTENCES = re.compile(
    r"summar|reason|explan|rationale|descri|comment|note|text|quote|message", re.IGNORECASE
)

ELEMENTS = 2
"""Of a list whose length the schema leaves open."""

_FORMATS = {"date": 10, "date-time": 20, "time": 8, "email": 22, "uri": 30, "url": 30, "uuid": 36}
_PLAIN = {"integer": (1, 3), "number": (1, 5), "boolean": (4, 5), "null": (4, 4)}


class AnswerSize(Struct, frozen=True):
    """Bytes of an answer's JSON.

    Args:
        short: of one that says as little as the schema lets it: absent, null, empty.
        usual: of one with every field filled.
    """

    short: float
    usual: float


def answer_size(schema: Mapping[str, Any]) -> AnswerSize:
    """The size of an answer to a schema. Never raises: what it does not know is a few words.

    Args:
        schema: its references lead to its own `$defs`; one that leads into itself counts once.
    """
    return _Sizes(dict(schema)).of(dict(schema), "")


class _Sizes:
    """Sizes under one root; each definition is looked at once."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._definitions = definitions(root)
        self._known: dict[str, AnswerSize] = {}

    def of(self, node: Any, name: str) -> AnswerSize:
        if not isinstance(node, dict):  # `true`: anything
            return AnswerSize(2, 2 + WORDS)
        if "$ref" in node:
            return self._referenced(node, name)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(node.get(keyword), list) and node[keyword]:
                return _one_of([self.of(part, name) for part in node[keyword]])
        if "const" in node or isinstance(node.get("enum"), list):
            return _choices([node["const"]] if "const" in node else node["enum"])
        return self._typed(node, name)

    def _referenced(self, node: dict[str, Any], name: str) -> AnswerSize:
        target = ref_name(node)
        if target is None:
            return AnswerSize(2, 2 + WORDS)
        if target not in self._known:
            self._known[target] = AnswerSize(0, 0)  # what is within itself adds nothing
            self._known[target] = self.of(self._definitions.get(target), name)
        return self._known[target]

    def _typed(self, node: dict[str, Any], name: str) -> AnswerSize:
        kind = node.get("type")
        if isinstance(kind, list) and kind:
            return _one_of([self._typed({**node, "type": one}, name) for one in kind])
        if kind == "object" or "properties" in node:
            return self._object(node)
        if kind == "array":
            return self._array(node, name)
        if isinstance(kind, str) and kind in _PLAIN:
            return AnswerSize(*_PLAIN[kind])
        return _text(node, name)

    def _object(self, node: dict[str, Any]) -> AnswerSize:
        fields, required = property_schemas(node), node.get("required", [])
        short = usual = 2.0
        for name, field in fields.items():
            size, around = self.of(field, name), len(json.dumps(name, ensure_ascii=False).encode()) + 2
            usual += around + size.usual
            short += around + size.short if name in required else 0
        if not fields and isinstance(more := node.get("additionalProperties"), dict):
            usual += ELEMENTS * (WORDS / 2 + self.of(more, "").usual)
        return AnswerSize(short, usual)

    def _array(self, node: dict[str, Any], name: str) -> AnswerSize:
        least, most = _count(node, "minItems", 0), _count(node, "maxItems", ELEMENTS)
        each = self.of(node.get("items", True), name)
        return AnswerSize(
            2 + least * (each.short + 1), 2 + max(least, min(most, ELEMENTS)) * (each.usual + 1)
        )


def _text(node: dict[str, Any], name: str) -> AnswerSize:
    usual = SENTENCE if _SENTENCES.search(name) else WORDS
    usual = _FORMATS.get(str(node.get("format", "")), usual)
    least, most = _count(node, "minLength", 0), _count(node, "maxLength", usual)
    return AnswerSize(2 + least, 2 + max(least, min(most, usual)))


def _count(node: dict[str, Any], keyword: str, default: int) -> int:
    value = node.get(keyword)
    return value if isinstance(value, int) and value >= 0 else default


def _one_of(sizes: list[AnswerSize]) -> AnswerSize:
    return AnswerSize(min(size.short for size in sizes), sum(size.usual for size in sizes) / len(sizes))


def _choices(values: list[Any]) -> AnswerSize:
    sizes = [len(json.dumps(value, ensure_ascii=False).encode()) for value in values] or [4]
    return AnswerSize(min(sizes), sum(sizes) / len(sizes))
