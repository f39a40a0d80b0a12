"""What the simulated model's answers are made of."""

from __future__ import annotations

import json
from typing import Any

from llmx.prompts import delimited

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


async def answer(start: Any, fetch: Any, text: str) -> str:
    server = await start()
    body = {
        "model": "mock",
        "messages": [{"role": "user", "content": text}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "Row", "schema": SCHEMA}},
    }
    _, _, reply = await fetch(server, "/v1/chat/completions", body, authorization="Bearer mock")
    return str(json.loads(reply["choices"][0]["message"]["content"])["name"])


async def test_strings_come_from_the_row_and_not_from_its_tags(start: Any, fetch: Any) -> None:
    """Of llmx's default prompt only the columns' values are copied."""
    name = await answer(start, fetch, delimited({"column": "alpha beta gamma"}))
    assert name in "alpha beta gamma"


async def test_strings_come_from_a_plain_prompt(start: Any, fetch: Any) -> None:
    """A template's text is copied from as it is."""
    assert await answer(start, fetch, "delta epsilon") in "delta epsilon"


async def test_a_schema_in_the_prompt_is_counted_once(start: Any, fetch: Any) -> None:
    """With the words that it stands among: four characters are a token."""
    server, told = await start(), f"Answer as JSON, by this json_schema:\n\n{json.dumps(SCHEMA, indent=2)}\n"
    body = {"model": "mock", "messages": [{"role": "user", "content": told}]}
    _, _, reply = await fetch(server, "/v1/chat/completions", body, authorization="Bearer mock")
    assert "name" in json.loads(reply["choices"][0]["message"]["content"])
    assert reply["usage"]["prompt_tokens"] == len(told) // 4
