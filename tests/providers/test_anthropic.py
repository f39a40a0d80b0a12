"""Anthropic's wire format over a real socket, with the real SDK."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from scripted import ANSWER, KEYS, MESSAGES, Reply, env_with, message

from llmx.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    QuotaSpent,
    RequestRejected,
    RowRefused,
    ServerError,
)
from llmx.schemas import load_schema
from llmx.types import Usage

TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "Person", "input": orjson.loads(ANSWER)}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "s"}


async def test_a_call_with_native_structured_output(caller, server):
    """The schema goes where today's API wants it, the system text beside the messages."""
    server.reply = Reply(message())
    endpoint = await caller.connect("anthropic/claude-haiku-4-5")
    completion = await caller.ask(endpoint)
    received = server.received[0]
    assert (received.method, received.path, endpoint.mode) == ("POST", "/v1/messages", "json_schema")
    # since its version 2 the SDK sends the key as a bearer token, too
    assert received.headers["authorization"] == f"Bearer {KEYS['ANTHROPIC_API_KEY']}"
    assert "anthropic-version" in received.headers
    assert {"model", "max_tokens", "system", "messages", "output_config"} == set(received.body)
    format_ = received.body["output_config"]["format"]
    assert ("json_schema", endpoint.wire.schema) == (format_["type"], format_["schema"])
    assert [dict(m) for m in MESSAGES[1:]] == received.body["messages"]
    assert (completion.text, endpoint.codec.parse(completion).age) == (ANSWER, 41)


async def test_a_call_with_tools(caller, server):
    """The tool's input is the answer; the tool says its name and description once."""
    server.reply = Reply(message(THINKING, TOOL_USE, stop="tool_use"))
    endpoint = await caller.connect("anthropic/claude-haiku-4-5", mode="tools")
    completion = await caller.ask(endpoint)
    (tool,) = server.received[0].body["tools"]
    assert (tool["name"], tool["description"]) == ("Person", "A person in the text.")
    assert not {"title", "description"} & tool["input_schema"].keys()
    assert server.received[0].body["tool_choice"]["name"] == "Person"
    assert (completion.finish, endpoint.codec.parse(completion).age) == ("stop", 41)


async def test_a_tools_large_integers_keep_their_digits(caller, server):
    """JSON has no largest number, and an order's may have more than 64 bits."""
    schema = load_schema("order int", cwd=Path())
    tool = {**TOOL_USE, "input": {"order": 123456789012345678901}}
    server.reply = Reply(json.dumps(message(tool, stop="tool_use")).encode())
    endpoint = await caller.connect("anthropic/claude-haiku-4-5", mode="tools", schema=schema)
    completion = await caller.ask(endpoint)
    assert completion.text == '{"order":123456789012345678901}'
    assert endpoint.codec.parse(completion).order == 123456789012345678901


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_a_base_url_with_and_without_its_version(caller, server, path):
    """OpenAI's SDK wants it in the base URL, Anthropic's does not; people give both."""
    server.reply = Reply(message())
    await caller.ask(await caller.connect("anthropic/claude-haiku-4-5", base_url=server.url + path))
    assert server.received[0].path == "/v1/messages"


async def test_answers_by_instruction(caller, server):
    """The JSON is taken out of prose and fences."""
    server.reply = Reply(message({"type": "text", "text": f"Sure:\n```json\n{ANSWER}\n```"}))
    endpoint = await caller.connect("anthropic/claude-haiku-4-5", mode="json")
    assert endpoint.codec.parse(await caller.ask(endpoint)).name == "Ann"


@pytest.mark.parametrize(
    ("stop", "finish"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "refusal"), ("pause_turn", "other")],
)
async def test_why_it_stopped(caller, server, stop, finish):
    """Cut and declined answers are told apart."""
    server.reply = Reply(message(stop=stop))
    assert (await caller.ask(await caller.connect("anthropic/claude-haiku-4-5"))).finish == finish


async def test_usage_includes_what_was_cached(caller, server):
    """Anthropic counts cache reads and writes beside the input; here they are part of it."""
    counts = {
        "input_tokens": 10,
        "cache_read_input_tokens": 70,
        "cache_creation_input_tokens": 20,
        "output_tokens": 5,
    }
    server.reply = Reply(message(usage=counts))
    completion = await caller.ask(await caller.connect("anthropic/claude-haiku-4-5"))
    expected = Usage(100, 5, cached_tokens=70, cache_write_tokens=20, cost=None)
    assert expected == completion.usage


@pytest.mark.parametrize(
    ("status", "kind", "words", "expected"),
    [
        (401, "authentication_error", "invalid x-api-key", AuthenticationFailed),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Claude API.",
            QuotaSpent,
        ),
        (400, "invalid_request_error", "output_config.format.schema: too complex", RequestRejected),
        (400, "invalid_request_error", "prompt is too long: 300000 tokens > 200000 maximum", RowRefused),
        (529, "overloaded_error", "Overloaded", ServerError),
    ],
)
async def test_errors(caller, server, status, kind, words, expected):
    """An error answer is one call, and an error of ours."""
    server.reply = Reply({"type": "error", "error": {"type": kind, "message": words}}, status)
    with pytest.raises(expected):
        await caller.ask(await caller.connect("anthropic/claude-haiku-4-5"))
    assert len(server.received) == 1


async def test_a_dropped_connection(caller, server):
    """Half an answer is a failed connection."""
    server.reply = Reply(message(), cut=150)
    with pytest.raises(ConnectionFailed):
        await caller.ask(await caller.connect("anthropic/claude-haiku-4-5"))


async def test_something_else_than_a_message(caller, server):
    """It is the server's fault and worth another attempt."""
    server.reply = Reply({"type": "message"})
    with pytest.raises(ServerError, match="answered 200 without a completion"):
        await caller.ask(await caller.connect("anthropic/claude-haiku-4-5"))


async def test_redirects_are_not_followed(caller, server):
    """A 308 elsewhere must not send the row, and the key, on."""
    server.reply = Reply({}, 308, {"location": f"{server.url}/elsewhere"})
    with pytest.raises(RequestRejected, match="redirects"):
        await caller.ask(await caller.connect("anthropic/claude-haiku-4-5"))
    assert len(server.received) == 1


async def test_a_bearer_token(caller, server):
    """`ANTHROPIC_AUTH_TOKEN` is as good as a key."""
    server.reply = Reply(message())
    endpoint = await caller.connect("anthropic/claude-haiku-4-5", env=env_with(ANTHROPIC_AUTH_TOKEN="t-1"))
    await caller.ask(endpoint)
    assert server.received[0].headers["authorization"] == "Bearer t-1"
