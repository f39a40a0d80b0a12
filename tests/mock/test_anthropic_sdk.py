"""Anthropic's own client gets what it expects, in every mode and for every fault."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import jsonschema
import pytest
from anthropic.types import Message

from llmx.mock import Server

USER = {"role": "user", "content": "Ada Lovelace, 36, is delighted with her engine"}


def strictly(message: Message) -> Message:
    """Validate against the SDK's types, which it does not do by itself."""
    return Message.model_validate(message.to_dict(), strict=True)


@pytest.mark.parametrize("extra", [False, True])
async def test_structured_output(
    start: Any, anthropic_client: Any, message: dict[str, Any], schema: Any, extra: bool
) -> None:
    """By `output_config`, and by `output_format`, which it was called before."""
    client = await anthropic_client(await start())
    if extra:
        message = message | {"extra_body": {"output_format": message["output_config"]["format"]}}
        del message["output_config"]
    answer = strictly(await client.messages.create(**message))
    assert answer.content[0].type == "text"
    jsonschema.validate(json.loads(answer.content[0].text), schema)
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 10
    assert answer.usage.cache_read_input_tokens == 0


async def test_over_aiohttp(start: Any, anthropic_client: Any, message: dict[str, Any]) -> None:
    """The transport that stays fast with many calls in flight understands it too."""
    client = await anthropic_client(await start(), http_client=anthropic.DefaultAioHttpClient())
    assert (await client.messages.create(**message)).content


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "save"}, {"type": "any"}, {"type": "auto"}])
async def test_tools(start: Any, anthropic_client: Any, schema: Any, choice: Any) -> None:
    """The tool is called with a valid object."""
    client = await anthropic_client(await start())
    answer = await client.messages.create(
        model="mock",
        max_tokens=1000,
        messages=[USER],
        tools=[
            {"name": "other", "input_schema": {"type": "object"}},
            {"name": "save", "input_schema": schema},
        ][0 if choice["type"] == "tool" else 1 :],
        tool_choice=choice,
    )
    block = strictly(answer).content[0]
    assert block.type == "tool_use"
    jsonschema.validate(block.input, schema)
    assert (block.name, answer.stop_reason) == ("save", "tool_use")


async def test_schema_in_the_system_text(start: Any, anthropic_client: Any, schema: Any) -> None:
    """JSON mode: the schema is found in one of the system blocks."""
    client = await anthropic_client(await start())
    text = f"Objects in json that match the following json_schema:\n\n{json.dumps(schema, indent=2)}"
    system = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": text}]
    answer = await client.messages.create(model="mock", max_tokens=1000, messages=[USER], system=system)
    jsonschema.validate(json.loads(answer.content[0].text), schema)


async def test_plain_text(start: Any, anthropic_client: Any) -> None:
    """Without anything asked of its form, the answer is prose."""
    client = await anthropic_client(await start())
    answer = await client.messages.create(model="mock", max_tokens=1000, messages=[USER])
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content[0].text)


async def test_the_token_limit_cuts(start: Any, anthropic_client: Any, message: dict[str, Any]) -> None:
    """An answer longer than allowed stops short and says so."""
    client = await anthropic_client(await start())
    answer = await client.messages.create(**message | {"max_tokens": 3})
    assert (
        len(answer.content[0].text),
        answer.stop_reason,
        answer.usage.output_tokens,
    ) == (12, "max_tokens", 3)


async def test_the_token_limit_cuts_tools(start: Any, anthropic_client: Any, schema: Any) -> None:
    """A tool's input that was cut is an object, and an incomplete one."""
    client = await anthropic_client(await start())
    tools = [{"name": "save", "input_schema": schema}]
    answer = await client.messages.create(model="mock", max_tokens=3, messages=[USER], tools=tools)
    assert (answer.content[0].input, answer.stop_reason) == ({}, "max_tokens")


@pytest.mark.parametrize("seed", range(3))
async def test_malformed_tools(start: Any, anthropic_client: Any, schema: Any, seed: int) -> None:
    """The input is an object that breaks its schema."""
    client = await anthropic_client(await start(malformed_rate=1.0, seed=seed))
    tools = [{"name": "save", "input_schema": schema}]
    answer = await client.messages.create(model="mock", max_tokens=1000, messages=[USER], tools=tools)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer.content[0].input, schema)


async def test_models(start: Any, anthropic_client: Any) -> None:
    """They are listed in Anthropic's form."""
    client = await anthropic_client(await start(models=("a", "b")))
    assert [(m.id, m.type) async for m in client.models.list()] == [("a", "model"), ("b", "model")]


async def test_refusals(start: Any, anthropic_client: Any, message: dict[str, Any]) -> None:
    """The stop reason says so."""
    client = await anthropic_client(await start(refusal_rate=1.0))
    answer = strictly(await client.messages.create(**message))
    assert (answer.stop_reason, answer.content) == ("refusal", [])


@pytest.mark.parametrize(
    ("settings", "error", "kind"),
    [
        ({"keys": ("other",)}, anthropic.AuthenticationError, "authentication_error"),
        ({"models": ("other",)}, anthropic.NotFoundError, "not_found_error"),
        ({"quota_after": 0}, anthropic.BadRequestError, "invalid_request_error"),
        ({"tpm": 1}, anthropic.RateLimitError, "rate_limit_error"),
        ({"fail_first": 1}, anthropic.InternalServerError, "api_error"),
        ({"error_rate": 1.0, "error_statuses": (529,)}, anthropic.InternalServerError, "overloaded_error"),
    ],
)
async def test_errors(
    start: Any,
    anthropic_client: Any,
    message: dict[str, Any],
    settings: dict[str, Any],
    error: Any,
    kind: str,
) -> None:
    """Each becomes the SDK's own exception, with the real type."""
    client = await anthropic_client(await start(**settings))
    with pytest.raises(error) as caught:
        await client.messages.create(**message)
    assert kind == caught.value.body["error"]["type"]
    assert caught.value.request_id


async def test_dropped_connections(start: Any, anthropic_client: Any, message: dict[str, Any]) -> None:
    """Half an answer is no answer."""
    client = await anthropic_client(await start(drop_rate=1.0))
    with pytest.raises(anthropic.APIConnectionError):
        await client.messages.create(**message)


async def test_hanging(start: Any, anthropic_client: Any, message: dict[str, Any]) -> None:
    """No answer ever comes."""
    server: Server = await start(hang_rate=1.0)
    client = await anthropic_client(server, timeout=0.1)
    with pytest.raises(anthropic.APITimeoutError):
        await client.messages.create(**message)
