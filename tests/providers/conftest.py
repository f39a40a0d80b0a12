"""A scripted HTTP server on loopback: it records what it is sent and answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest


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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:]) if k}
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


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    scripted = Scripted("")
    listener = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield scripted
    listener.close()
    listener.close_clients()
    await listener.wait_closed()
