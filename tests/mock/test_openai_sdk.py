"""OpenAI's own client gets what it expects, in every mode and for every fault."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import openai
import pytest
from openai.types.chat import ChatCompletion

from llmx.mock import Server

USER = {"role": "user", "content": "Ada Lovelace, 36, is delighted with her engine"}


def strictly(completion: ChatCompletion) -> ChatCompletion:
    """Validate against the SDK's types, which it does not do by itself."""
    return ChatCompletion.model_validate(completion.to_dict(), strict=True)


async def test_json_schema(start: Any, openai_client: Any, chat: dict[str, Any], schema: Any) -> None:
    """Structured output is valid, and its response has the SDK's shape."""
    client = await openai_client(await start())
    completion = strictly(await client.chat.completions.create(**chat))
    choice = completion.choices[0]
    jsonschema.validate(json.loads(choice.message.content or ""), schema)
    assert choice.finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens > 10


async def test_over_aiohttp(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """The transport that stays fast with many calls in flight understands it too."""
    client = await openai_client(await start(), http_client=openai.DefaultAioHttpClient())
    completion = await client.chat.completions.create(**chat)
    assert completion.choices[0].message.content


@pytest.mark.parametrize(
    ("choice", "finish"),
    [
        ({"type": "function", "function": {"name": "save"}}, "stop"),
        ("required", "tool_calls"),
        ("auto", "tool_calls"),
    ],
)
async def test_tools(start: Any, openai_client: Any, schema: Any, choice: Any, finish: str) -> None:
    """The tool is called with valid arguments; the finish reason is the real one's."""
    client = await openai_client(await start())
    tools = [{"type": "function", "function": {"name": "save", "parameters": schema}}]
    completion = await client.chat.completions.create(
        model="mock", messages=[USER], tools=tools, tool_choice=choice
    )
    answer = strictly(completion).choices[0]
    assert answer.message.tool_calls is not None
    function = answer.message.tool_calls[0].to_dict()["function"]
    assert isinstance(function, dict)
    jsonschema.validate(json.loads(str(function["arguments"])), schema)
    assert (finish, "save", None) == (answer.finish_reason, function["name"], answer.message.content)


async def test_no_tool_if_none_is_wanted(start: Any, openai_client: Any, schema: Any) -> None:
    """`tool_choice` none is respected."""
    client = await openai_client(await start())
    tools = [{"type": "function", "function": {"name": "save", "parameters": schema}}]
    completion = await client.chat.completions.create(
        model="mock", messages=[USER], tools=tools, tool_choice="none"
    )
    assert completion.choices[0].message.tool_calls is None
    assert completion.choices[0].message.content


async def test_json_object_with_its_schema_in_the_text(start: Any, openai_client: Any, schema: Any) -> None:
    """JSON mode: the schema is found in the system text."""
    client = await openai_client(await start())
    system = (
        f"Answer in json that matches the following json_schema:\n\n{json.dumps(schema, indent=2)}\n\nThanks"
    )
    completion = await client.chat.completions.create(
        model="mock",
        messages=[{"role": "system", "content": system}, USER],
        response_format={"type": "json_object"},
    )
    jsonschema.validate(json.loads(completion.choices[0].message.content), schema)


async def test_json_object_without_a_schema(start: Any, openai_client: Any) -> None:
    """Some object."""
    client = await openai_client(await start())
    completion = await client.chat.completions.create(
        model="mock",
        messages=[{"role": "user", "content": "Answer in JSON, please {even if} this is odd"}],
        response_format={"type": "json_object"},
    )
    assert isinstance(json.loads(completion.choices[0].message.content), dict)


async def test_markdown_json(start: Any, openai_client: Any, schema: Any) -> None:
    """A prompt that asks for a code block gets one."""
    client = await openai_client(await start())
    system = f"Give objects that match the following json_schema: {json.dumps(schema)}"
    ask = {"role": "user", "content": "Return the correct JSON response within a ```json codeblock."}
    completion = await client.chat.completions.create(
        model="mock", messages=[{"role": "system", "content": system}, ask]
    )
    content = completion.choices[0].message.content
    assert content.startswith("```json\n")
    jsonschema.validate(json.loads(content.removeprefix("```json\n").removesuffix("\n```")), schema)


async def test_plain_text(start: Any, openai_client: Any) -> None:
    """Without anything asked of its form, the answer is prose."""
    client = await openai_client(await start())
    completion = await client.chat.completions.create(model="mock", messages=[USER])
    with pytest.raises(json.JSONDecodeError):
        json.loads(completion.choices[0].message.content)


async def test_the_token_limit_cuts(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """An answer longer than allowed stops short and says so."""
    client = await openai_client(await start())
    completion = await client.chat.completions.create(**chat, max_completion_tokens=3)
    assert (len(completion.choices[0].message.content), completion.choices[0].finish_reason) == (12, "length")
    assert completion.usage.completion_tokens == 3


async def test_models(start: Any, openai_client: Any) -> None:
    """They are listed."""
    client = await openai_client(await start(models=("a", "b")))
    assert [model.id async for model in client.models.list()] == ["a", "b"]


async def test_refusals(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """The model declines in the field that is there for it."""
    server: Server = await start(refusal_rate=1.0)
    client = await openai_client(server)
    message = strictly(await client.chat.completions.create(**chat)).choices[0].message
    assert message.refusal
    assert message.content is None
    assert server.stats()["refusals"] == 1


@pytest.mark.parametrize(
    ("settings", "error", "code"),
    [
        ({"keys": ("other",)}, openai.AuthenticationError, "invalid_api_key"),
        ({"models": ("other",)}, openai.NotFoundError, "model_not_found"),
        ({"quota_after": 0}, openai.RateLimitError, "insufficient_quota"),
        ({"tpm": 1}, openai.RateLimitError, "rate_limit_exceeded"),
        ({"fail_first": 1}, openai.InternalServerError, None),
        ({"error_rate": 1.0, "error_statuses": (503,)}, openai.InternalServerError, None),
        ({"error_rate": 1.0, "error_statuses": (529,)}, openai.InternalServerError, None),
    ],
)
async def test_errors(
    start: Any,
    openai_client: Any,
    chat: dict[str, Any],
    settings: dict[str, Any],
    error: Any,
    code: str | None,
) -> None:
    """Each becomes the SDK's own exception, with the real code."""
    client = await openai_client(await start(**settings))
    with pytest.raises(error) as caught:
        await client.chat.completions.create(**chat)
    assert code == caught.value.code
    assert caught.value.request_id


async def test_bodies_beyond_the_bound(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """A client that sends megabytes too many learns why it is refused, instead of a reset."""
    client = await openai_client(await start(max_body=1000))
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(**chat, user="x" * 5_000_000)
    assert caught.value.status_code == 413


async def test_dropped_connections(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """Half an answer is no answer."""
    server: Server = await start(drop_rate=1.0)
    client = await openai_client(server)
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(**chat)
    assert server.stats()["statuses"] == {"drop": 1}


async def test_hanging(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """No answer ever comes."""
    server: Server = await start(hang_rate=1.0)
    client = await openai_client(server, timeout=0.1)
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(**chat)
    assert server.stats()["statuses"] == {"hang": 1}
    assert server.stats()["output_tokens"] == 0
