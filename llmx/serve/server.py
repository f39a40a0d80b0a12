"""The server: uvicorn with a shutdown that drains.

The first signal: no new work, `/readyz` says 503, what is in flight ends, shards are given back. The second one ends it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

import orjson
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmx.errors import UsageError
from llmx.serve.app import application
from llmx.serve.drain import Drain
from llmx.serve.house import House
from llmx.serve.opening import at_work
from llmx.serve.problems import MEDIA_TYPE, Problem
from llmx.serve.walls import HEADERS

__all__ = ["bound", "served"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

HEAD_SECONDS = 20.0
"""In which a connection must have said what it wants; uvicorn itself would wait for ever."""

HEAD_BYTES = 65_536
"""Of all headers of a request together."""

BACKLOG = 2_048

STALLED = 120.0
"""Seconds after which a reader that takes nothing of an answer is given up."""


class _Patient(HttpToolsProtocol):
    """A connection that is closed when it says nothing, or too much, before its request is there, or takes no answer.

    uvicorn itself closes one only once its answer has been taken, be that never.
    """

    _waiting: asyncio.TimerHandle | None = None
    _size = 0
    _watching: asyncio.TimerHandle | None = None
    _untaken: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """See `asyncio.BaseProtocol.connection_made`."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol.connection_lost`."""
        self._heard()
        if self._watching is not None:
            self._watching.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol.data_received`."""
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._waiting is None and not self.transport.is_closing():
            self._wait()  # it was no request yet, such as an empty line, and uvicorn's own wait is over

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol.pause_writing`."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol.resume_writing`."""
        super().resume_writing()
        self._untaken = None

    def on_response_complete(self) -> None:
        """An answer is written, though perhaps not taken."""
        super().on_response_complete()
        self._watch()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._size = 0
        self._wait()

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """All of them."""
        self._heard()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._heard()
        self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _heard(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _watch(self) -> None:
        if self._watching is None and (size := self.transport.get_write_buffer_size()):
            self._untaken = size
            self._watching = self.loop.call_later(STALLED, self._look)

    def _look(self) -> None:
        """Give up a reader that has taken nothing since."""
        self._watching = None
        if self._untaken is not None and self.transport.get_write_buffer_size() >= self._untaken:
            self.transport.abort()
        else:
            self._watch()

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > HEAD_BYTES:
            self._refuse(Problem(431, "head_too_large", "the address and the headers are too long"))
            raise ValueError("the head is too large")  # ends the parser, so that nobody does what was refused

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(Problem(400, "invalid_http", "the request is none of HTTP"))

    def _refuse(self, problem: Problem) -> None:
        """Answer what never becomes a request, and close."""
        if self.transport.is_closing():
            return
        body = orjson.dumps(problem.document(f"req_{secrets.token_hex(12)}"))
        phrase = HTTPStatus(problem.status).phrase
        fields = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **HEADERS,
        }
        lines = [f"HTTP/1.1 {problem.status} {phrase}", *(f"{name}: {text}" for name, text in fields.items())]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn's, with our signals.

    Args:
        on_signal: told each one's number.
    """

    def __init__(self, config: uvicorn.Config, on_signal: Callable[[int], None]) -> None:
        super().__init__(config)
        self._on_signal = on_signal

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours for as long as it serves."""
        loop = asyncio.get_running_loop()
        taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        for number in taken:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError: the address cannot be had."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise UsageError(
            f"cannot listen on {host}:{port}: {reason}", hint="another --port, or 0 for any free one"
        ) from error
    return listener


async def served(house: House, listener: socket.socket, say: Callable[[str], None]) -> None:
    """Serve until a signal has been obeyed.

    Args:
        say: takes lines for people.
    """
    ending = _Ending(house.drain, house.settings.grace, say)
    server = _Server(_config(application(house)), ending.receive)
    ending.server = server
    async with at_work(house) as release:
        ending.release = release
        say(f"serving on http://{_shown(listener)} (Ctrl-C drains and ends it)")
        await server.serve([listener])


class _Ending:
    """What signals do."""

    def __init__(self, drain: Drain, grace: float, say: Callable[[str], None]) -> None:
        self._drain = drain
        self._grace = grace
        self._say = say
        self._task: asyncio.Task[None] | None = None
        self.server: uvicorn.Server | None = None
        self.release: Callable[[], None] = lambda: None

    def receive(self, number: int) -> None:
        """A signal."""
        assert self.server is not None
        if self._task is None:
            self._say("no new work; what is in flight ends (a second signal ends it at once)")
            self._drain.begin()
            self.release()
            self._task = asyncio.create_task(self._drained(self.server))
        else:
            self._say("ended at once: jobs go on with the next start, or with another worker")
            os._exit(128 + number)  # whatever waits for answers; nothing is lost that a kill would not lose

    async def _drained(self, server: uvicorn.Server) -> None:
        if not await self._drain.ended(self._grace):
            self._say(f"not done within {self._grace:g} s: what is left is cut")
        server.should_exit = True


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Patient,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
