"""Answers that come bit by bit: as slowly as their reader reads, and no longer than it listens.

Nothing is kept for a reader but the piece that it is being sent: who makes the pieces waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmx.records import to_json

__all__ = ["EVENTS", "Emit", "Streamed", "event", "events", "while_connected"]

EVENTS = "text/event-stream"

PING = 15.0
"""Seconds without an event after which a comment is sent, so that nothing between takes the connection for dead."""

PIECE = 65_536
"""Bytes that are handed to a connection together: as much as it holds before it makes us wait."""

T = TypeVar("T")

Emit = Callable[[bytes], Awaitable[None]]
"""Takes an event; returns once there is room for the next."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The work's result, unless the client goes away first: then the work is cancelled.

    Args:
        receive: of a request whose body has been read.

    Raises:
        ClientDisconnect: it has gone.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    if task.cancelled():
        raise ClientDisconnect
    return task.result()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Streamed(Response):
    """An answer whose body is made while it is sent.

    Args:
        chunks: its pieces; closed when the client goes away.
    """

    def __init__(
        self, chunks: AsyncGenerator[bytes], media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.body = b""
        self._chunks = chunks
        self.init_headers(headers)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        with suppress(ClientDisconnect):
            await while_connected(receive, self._sent(send))

    async def _sent(self, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for chunk in chunks:
                for start in range(0, len(chunk), PIECE):
                    body = chunk[start : start + PIECE]
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def event(name: str, data: Any, id: str | None = None) -> bytes:
    """One event as it is sent; its data are JSON."""
    return format_sse_event(event=name, data_str=to_json(data).decode(), id=id)


async def events(produce: Callable[[Emit], Coroutine[Any, Any, None]]) -> AsyncGenerator[bytes]:
    """The events that `produce` emits, and a comment now and then while it has none.

    It runs in one task from beginning to end, and is cancelled when nobody listens any more.
    """
    ready: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
    task = asyncio.create_task(_produced(produce, ready))
    try:
        yield KEEPALIVE_COMMENT  # the headers leave at once
        async for one in _taken(ready):
            yield one
        await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


async def _produced(
    produce: Callable[[Emit], Coroutine[Any, Any, None]], ready: asyncio.Queue[bytes | None]
) -> None:
    try:
        await produce(ready.put)
    except Exception:
        await ready.put(None)
        raise
    await ready.put(None)


async def _taken(ready: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    while True:
        try:
            one = await asyncio.wait_for(ready.get(), PING)
        except TimeoutError:
            one = KEEPALIVE_COMMENT
        if one is None:
            return
        yield one
