"""A JSON Schema found in the text of a prompt: where JSON modes put it, having no field for it."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from llmx.mock.merging import Schema

__all__ = ["schema_in"]

_MARKS = ("$ref", "properties", "anyOf", "oneOf", "allOf", "$defs", "items", "enum")
_ATTEMPTS = 50
_CACHE_SIZE = 64
_decoder = json.JSONDecoder()
_cache: OrderedDict[str, Schema | None] = OrderedDict()


def schema_in(texts: tuple[str, ...]) -> Schema | None:
    """The first object that looks like a schema in a text that speaks of one, system text first."""
    for text in texts:
        if "schema" not in text.lower():
            continue
        if text not in _cache:
            _cache[text] = _search(text)
            if len(_cache) > _CACHE_SIZE:
                _cache.popitem(last=False)
        if (found := _cache[text]) is not None:
            return found
    return None


def _search(text: str) -> Schema | None:
    start = -1
    for _ in range(_ATTEMPTS):
        start = text.find("{", start + 1)
        if start < 0:
            return None
        try:
            value, end = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if _looks_like_schema(value):
            return value  # type: ignore[no-any-return]  # checked to be one
        start = end - 1
    return None


def _looks_like_schema(value: Any) -> bool:
    return isinstance(value, dict) and any(mark in value for mark in _MARKS)
