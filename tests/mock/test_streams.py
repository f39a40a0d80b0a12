"""Streamed answers: both SDKs put them together to what they get as a whole, and faults come in the midst of them."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import httpx2
import openai
import orjson
import pytest
from fakes import FakeClock, settle_down, until

from llmx.mock import Latency

TOOL_CHOICE = {"type": "function", "function": {"name": "save"}}


def openai_tool(schema: Any) -> dict[str, Any]:
    return {
        "tools": [{"type": "function", "function": {"name": "save", "parameters": schema}}],
        "tool_choice": TOOL_CHOICE,
    }


def anthropic_tool(schema: Any) -> dict[str, Any]:
    return {
        "tools": [{"name": "save", "input_schema": schema}],
        "tool_choice": {"type": "tool", "name": "save"},
    }


async def collect(stream: Any, into: list[Any]) -> None:
    async for event in stream:
        into.append(event)


def told(completion: Any, *but: str) -> dict[str, Any]:
    """What a response says, but for what differs from one call to the next."""
    said = completion.to_dict()
    return {name: value for name, value in said.items() if name not in ("id", "created", *but)}


@pytest.mark.parametrize("form", ["json_schema", "tools", "refusal", "cut", "logprobs"])
async def test_openai(start: Any, openai_client: Any, chat: dict[str, Any], schema: Any, form: str) -> None:
    """The SDK's own accumulation of the chunks is the completion."""
    client = await openai_client(await start(refusal_rate=float(form == "refusal")))
    if form == "tools":
        chat = {name: value for name, value in chat.items() if name != "response_format"} | openai_tool(
            schema
        )
    chat |= {"cut": {"max_completion_tokens": 3}, "logprobs": {"logprobs": True}}.get(form, {})
    whole = await client.chat.completions.create(**chat)
    state = openai.lib.streaming.chat.ChatCompletionStreamState()
    stream = await client.chat.completions.create(**chat, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    for chunk in chunks:
        state.handle_chunk(chunk)
    streamed = told(state.current_completion_snapshot)
    expected = told(whole)
    (choice,), (snapshot,) = expected["choices"], streamed["choices"]
    del choice["message"]["annotations"]  # of which streams say nothing
    for each in (choice, snapshot):
        each["message"] = {name: value for name, value in each["message"].items() if value is not None}
        for call in each["message"].get("tool_calls", ()):
            call.pop("index", None)
            call["id"] = ""
            call["function"].pop("parsed_arguments", None)
        each["message"].pop("parsed", None)
    assert (choice, expected["usage"]) == (snapshot, streamed["usage"])
    assert chunks[-1].choices == []


async def test_openai_without_usage(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """It is told only where it is asked for."""
    client = await openai_client(await start())
    chunks = [chunk async for chunk in await client.chat.completions.create(**chat, stream=True)]
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("form", ["json_schema", "tools", "refusal", "cut"])
async def test_anthropic(
    start: Any, anthropic_client: Any, message: dict[str, Any], schema: Any, form: str
) -> None:
    """The SDK's own accumulation of the events is the message."""
    client = await anthropic_client(await start(refusal_rate=float(form == "refusal")))
    if form == "tools":
        message = {name: value for name, value in message.items() if name != "output_config"}
        message |= anthropic_tool(schema)
    message |= {"max_tokens": 3} if form == "cut" else {}
    whole = await client.messages.create(**message)
    async with client.messages.stream(**message) as stream:
        streamed = await stream.get_final_message()
    expected, said = told(whole), told(streamed)
    for block in (*expected["content"], *said["content"]):
        block.pop("id", None)
        block.pop("parsed_output", None)
    assert expected == said


async def test_the_pace(start: Any) -> None:
    """After the latency tokens come one by one, and a whole answer takes as long."""
    clock = FakeClock()
    server = await start(clock=clock, latency=Latency(1.0, 1.0), pace=10.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = orjson.dumps({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    counts = []
    for seconds in (0.99, 0.02, 0.1, 0.1):
        for _ in range(20):
            await settle_down()
        await clock.advance(seconds)
        for _ in range(20):
            await settle_down()
        counts.append(reader._buffer.count(b"data: "))  # type: ignore[attr-defined]  # what has come so far
    assert counts == [0, 1, 2, 3]
    writer.close()
    await writer.wait_closed()


async def test_without_a_pace_a_stream_takes_as_long_as_the_whole(start: Any) -> None:
    """Its last piece comes when the latency is over, its first in a fifth of it."""
    clock = FakeClock()
    server = await start(clock=clock, latency=Latency(10.0, 10.0))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = orjson.dumps({"model": "mock", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    for _ in range(20):
        await settle_down()
    await clock.advance(2.01)
    assert b"data: " in await reader.readuntil(b"\n\n")
    ends = []
    for seconds in (7.0, 0.99):
        await clock.advance(seconds)
        for _ in range(20):
            await settle_down()
        ends.append(b"[DONE]" in reader._buffer)  # type: ignore[attr-defined]  # what has come so far
    assert ends == [False, True]
    writer.close()
    await writer.wait_closed()


async def test_a_break_in_mid_stream(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """The connection closes within a piece."""
    client = await openai_client(await start(drop_rate=1.0))
    stream = await client.chat.completions.create(**chat, stream=True)
    with pytest.raises(Exception, match=r"(?i)incomplete|closed|payload"):
        _ = [chunk async for chunk in stream]


async def test_an_openai_error_in_mid_stream(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """The SDK raises what the server says, after some pieces."""
    client = await openai_client(await start(late_error_rate=1.0))
    chunks: list[Any] = []
    stream = await client.chat.completions.create(**chat, stream=True)
    with pytest.raises(openai.APIError, match="server had an error"):
        await collect(stream, chunks)
    assert len(chunks) > 2
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**chat)


async def test_an_anthropic_error_in_mid_stream(
    start: Any, anthropic_client: Any, message: dict[str, Any]
) -> None:
    """The SDK raises what the server says."""
    client = await anthropic_client(await start(late_error_rate=1.0))
    with pytest.raises(anthropic.APIStatusError, match="Internal server error"):
        _ = [event async for event in await client.messages.create(**message, stream=True)]


async def test_a_stall(start: Any, openai_client: Any, chat: dict[str, Any]) -> None:
    """Some pieces come, and then nothing, until the client leaves: which is counted."""
    server = await start(stall_rate=1.0)
    client = await openai_client(server, timeout=0.2)
    stream = await client.chat.completions.create(**chat, stream=True)
    chunks: list[Any] = []
    with pytest.raises(httpx2.ReadTimeout):
        await collect(stream, chunks)
    await client.close()
    await until(lambda: server.stats()["in_flight"] == 0)
    assert chunks
    assert (server.stats()["abandoned"], server.stats()["statuses"]) == (1, {"stall": 1})


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_about_tokens(
    start: Any, openai_client: Any, anthropic_client: Any, chat: Any, message: Any, stream: bool
) -> None:
    """A server that does not count says nothing of usage, asked or not."""
    server = await start(uncounted_rate=1.0)
    client, other = await openai_client(server), await anthropic_client(server)
    if not stream:
        assert (await client.chat.completions.create(**chat)).usage is None
        assert (await other.messages.create(**message)).usage is None
        return
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = [chunk async for chunk in await client.chat.completions.create(**chat, **options)]
    assert all(chunk.usage is None for chunk in chunks)
    events = [event async for event in await other.messages.create(**message, stream=True)]
    assert all("usage" not in event.to_dict() for event in events)
