"""What connections may do that never become a request, or never take their answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from llmx.serve import server
from llmx.serve.server import _config, _Server, bound
from llmx.serve.streamed import Streamed

LARGE = 16 * 2**20
"""Bytes that no buffers of a connection hold."""


class Application:
    """Answers with much, whole or bit by bit; keeps the paths it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        self.begun.set()
        await self.answers[scope["path"]]()(scope, receive, send)

    @property
    def answers(self) -> dict[str, Any]:
        return {
            "/": lambda: PlainTextResponse("here"),
            "/whole": lambda: PlainTextResponse("x" * LARGE),
            "/stream": lambda: Streamed(_pieces(), "text/plain"),
        }


async def _pieces() -> Any:
    for _ in range(LARGE // 2**16):
        yield b"x" * 2**16


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Application, Any]]:
    """An application behind the service's own connections, and what opens one to it that reads nothing by itself."""
    app = Application()
    with bound("127.0.0.1", 0) as listener:
        serving = _Server(_config(app), lambda number: None)  # type: ignore[arg-type]  # any ASGI application
        running = asyncio.create_task(serving.serve([listener]))
        clients: list[socket.socket] = []

        def connect() -> socket.socket:
            client = socket.create_connection(listener.getsockname())
            client.setblocking(False)
            clients.append(client)
            return client

        try:
            yield app, connect
        finally:
            for client in clients:
                client.close()
            serving.should_exit = True
            await running


async def closed(client: socket.socket) -> bytes:
    """What comes until the connection is closed."""
    loop, pieces = asyncio.get_running_loop(), []
    try:
        async with asyncio.timeout(30):
            while piece := await loop.sock_recv(client, 2**20):
                pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


@pytest.mark.parametrize("path", ["/whole", "/stream"])
async def test_who_takes_nothing_of_an_answer_is_given_up(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the answer a stream or there at once: the connection, and what waits for it, are let go."""
    monkeypatch.setattr(server, "STALLED", 0.2)
    async with listening() as (app, connect):
        client = connect()
        await asyncio.get_running_loop().sock_sendall(
            client, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()
        )
        await app.begun.wait()
        await asyncio.sleep(1.0)
        assert len(await closed(client)) < LARGE


@pytest.mark.parametrize("path", ["/whole", "/stream"])
async def test_who_reads_slowly_gets_all(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the reader stops, as long as it goes on."""
    monkeypatch.setattr(server, "STALLED", 1.0)
    async with listening() as (_, connect):
        client, loop = connect(), asyncio.get_running_loop()
        request = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode()
        await loop.sock_sendall(client, request)
        size = 0
        for _ in range(12):
            size += len(await loop.sock_recv(client, 2**20))
            await asyncio.sleep(0.2)
        assert size + len(await closed(client)) > LARGE


async def test_who_says_nothing_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, amid a head, and after an answer with what is no request yet."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with listening() as (_, connect):
        loop = asyncio.get_running_loop()
        for first, then in ((b"", b""), (b"GET / HT", b""), (whole, b"\r\n")):
            client = connect()
            await loop.sock_sendall(client, first)
            if first == whole:
                assert (await loop.sock_recv(client, 2**16)).startswith(b"HTTP/1.1 200")
            await loop.sock_sendall(client, then)
            await closed(client)


async def test_what_is_refused_for_its_head_is_not_done() -> None:
    """431, and the application has not been asked."""
    async with listening() as (app, connect):
        client = connect()
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * (server.HEAD_BYTES + 1) + b"\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(client, head)
        assert (await closed(client)).startswith(b"HTTP/1.1 431")
        assert app.asked == []
