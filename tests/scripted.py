"""A scripted HTTP server on loopback, and answers in the wire formats of OpenAI and Anthropic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel, Field

from llmx.environment import Environment
from llmx.providers import Endpoint, connect
from llmx.schemas import Schema
from llmx.types import Completion, Request

ANSWER = '{"name":"Ann","age":41}'
KEYS = {
    "OPENAI_API_KEY": "sk-openai-secret",
    "ANTHROPIC_API_KEY": "sk-ant-secret",
    "GROQ_API_KEY": "gsk_secret_1",
    "DEEPSEEK_API_KEY": "sk-deepseek",
}
MESSAGES = [
    {"role": "system", "content": "the system text"},
    {"role": "user", "content": "an example"},
    {"role": "assistant", "content": "its answer"},
    {"role": "user", "content": "the row"},
]


class Person(BaseModel):
    """A person in the text."""

    name: str
    age: int = Field(ge=0, description="in years")


def env_with(**variables: str) -> Environment:
    return Environment(variables=variables)


@dataclass
class Caller:
    """Connects to the scripted server and makes calls; what it opened is closed at the end of the test."""

    server: Scripted
    schema: Schema
    opened: list[Endpoint] = field(default_factory=list)

    async def connect(self, spec: str, **options: Any) -> Endpoint:
        options.setdefault("base_url", self.server.url)
        options.setdefault("env", env_with(**KEYS))
        endpoint = await connect(spec, options.pop("schema", self.schema), **options)
        self.opened.append(endpoint)
        return endpoint

    async def ask(self, endpoint: Endpoint, body: Mapping[str, Any] | None = None) -> Completion:
        sent = endpoint.codec.prepare(MESSAGES) if body is None else body
        request = Request(endpoint.id, endpoint.model, sent, "fingerprint", row="the row")
        return await endpoint.provider.complete(request)


def chat(
    content: str | None = ANSWER, *, finish: str = "stop", tool: str | None = None, **more: Any
) -> dict[str, Any]:
    """A chat completion in OpenAI's format."""
    function = {"name": "Person", "arguments": tool}
    calls = (
        {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
        if tool is not None
        else {}
    )
    message = {"role": "assistant", "content": content, "refusal": None, **calls}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def message(*content: Mapping[str, Any], stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    """A message in Anthropic's format."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": list(content) or [{"type": "text", "text": ANSWER}],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
        **more,
    }


@dataclass
class Received:
    """One request as it came over the socket."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Reply:
    """One response: `body` is JSON unless it is bytes. `cut` sends that many bytes of it and hangs up."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass
class Scripted:
    """The server. `reply` is what every request gets, or a function of it."""

    url: str
    received: list[Received] = field(default_factory=list)
    reply: Reply | Callable[[Received], Reply] = field(default_factory=Reply)

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator[Scripted]:
        """A server on a free port of 127.0.0.1."""
        scripted = cls("")
        open_: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_.add(asyncio.create_task(scripted.serve(reader, writer)))

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        scripted.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield scripted
        finally:
            listener.close()
            for task in open_:
                task.cancel()
            await asyncio.gather(*open_, return_exceptions=True)
            await listener.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:]) if k
                }
                raw = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = lines[0].split(" ")
                request = Received(method, path, headers, orjson.loads(raw) if raw else None)
                self.received.append(request)
                reply = self.reply(request) if callable(self.reply) else self.reply
                writer.write(_encode(reply)[: reply.cut])
                await writer.drain()
                if reply.cut is not None:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _encode(reply: Reply) -> bytes:
    body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
    headers = {"content-type": "application/json", "content-length": str(len(body)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
