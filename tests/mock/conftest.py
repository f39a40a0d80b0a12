"""Simulated providers on real sockets, raw connections to them, and the real SDKs as clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import anthropic
import openai
import orjson
import pytest
from fakes import FakeClock

from llmx.mock import MockSettings, Server, serve

Start: TypeAlias = Callable[..., Awaitable[Server]]
Exchange: TypeAlias = Callable[..., Awaitable[bytes]]
Fetch: TypeAlias = Callable[..., Awaitable[tuple[int, dict[str, str], Any]]]

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tone": {"enum": ["good", "bad"], "type": "string"},
    },
    "required": ["name", "age", "tone"],
    "additionalProperties": False,
}


@pytest.fixture
def schema() -> dict[str, Any]:
    return SCHEMA


@pytest.fixture
def chat() -> dict[str, Any]:
    """An OpenAI request for structured output."""
    return {
        "model": "mock",
        "messages": [{"role": "user", "content": "Ada Lovelace, 36, is delighted with her engine"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "Row", "schema": SCHEMA}},
    }


@pytest.fixture
def message() -> dict[str, Any]:
    """An Anthropic request for structured output."""
    return {
        "model": "mock",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "Ada Lovelace, 36, is delighted with her engine"}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start(stack: AsyncExitStack) -> Start:
    """Start a simulated provider with these settings; it is closed when the test is over."""

    async def start(*, clock: FakeClock | None = None, **settings: Any) -> Server:
        return await stack.enter_async_context(await serve(MockSettings(**settings), clock=clock))

    return start


@pytest.fixture
def exchange() -> Exchange:
    """Send pieces over one raw connection, give back so many answers, or all until the server closes it."""

    async def exchange(server: Server, *pieces: bytes, answers: int | None = 1) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            return await asyncio.wait_for(_read(reader, answers), 5)
        finally:
            writer.close()
            await writer.wait_closed()

    return exchange


async def _read(reader: asyncio.StreamReader, answers: int | None) -> bytes:
    if answers is None:
        return await reader.read()
    raw = b""
    for _ in range(answers):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        raw += head + await reader.readexactly(length)
    return raw


@pytest.fixture
def fetch(exchange: Exchange) -> Fetch:
    """One request over a connection of its own: status, headers, and the body's JSON."""

    async def fetch(
        server: Server, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        data = b"" if body is None else orjson.dumps(body)
        lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"content-length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        raw = await exchange(server, "\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        head, _, payload = raw.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in fields)
        return int(status.split()[1]), dict(pairs), orjson.loads(payload)

    return fetch


@pytest.fixture
def openai_client(stack: AsyncExitStack) -> Callable[..., Awaitable[openai.AsyncOpenAI]]:
    async def client(server: Server, **options: Any) -> openai.AsyncOpenAI:
        options = {"api_key": "mock", "max_retries": 0, "timeout": 5.0} | options
        return await stack.enter_async_context(openai.AsyncOpenAI(base_url=f"{server.url}/v1", **options))

    return client


@pytest.fixture
def anthropic_client(stack: AsyncExitStack) -> Callable[..., Awaitable[anthropic.AsyncAnthropic]]:
    async def client(server: Server, **options: Any) -> anthropic.AsyncAnthropic:
        options = {"api_key": "mock", "max_retries": 0, "timeout": 5.0} | options
        return await stack.enter_async_context(anthropic.AsyncAnthropic(base_url=server.url, **options))

    return client
