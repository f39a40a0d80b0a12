"""HTTP/1.1 for the simulated provider: one asyncio protocol per connection, no framework.

It measures others, so it must cost little itself. It knows bytes, keep-alive and pipelining (answers
leave in the order in which requests came); what an answer says is the application's business.
Framing follows RFC 9112, and is strict where leniency would desynchronise a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, Protocol

import orjson

from llmx.clock import Clock, Signal
from llmx.mock.parsing import HttpError, HttpRequest, RequestParser

__all__ = ["Application", "Connection", "Reply"]

_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
_PIPELINE_BYTES = 1 << 20  # unread input beyond which a pipelining client is made to wait


@dataclass(frozen=True, slots=True)
class Reply:
    """What the application decided about one request.

    Args:
        headers: further header lines, each ended by CRLF.
        delay: seconds before anything is sent.
        fate: "hang" sends nothing, ever; "drop" closes the connection half-way through the body, "stall" says no more from there
            on, of events.
        events: what is sent in place of the body, one by one.
        gap: seconds between them.
        tracked: for the application: whether `Application.ended` has something to settle.
    """

    status: int
    body: bytes
    headers: str = ""
    delay: float = 0.0
    fate: Literal["send", "hang", "drop", "stall"] = "send"
    tracked: bool = False
    events: Sequence[bytes] = ()
    gap: float = 0.0


class Application(Protocol):
    """What answers requests; called on the event loop's thread, must not block."""

    def answer(self, request: HttpRequest) -> Reply:
        """Decide at once; waiting is said in the reply."""
        ...

    def ended(self, reply: Reply, *, abandoned: bool) -> None:
        """The reply was handed to the kernel, or, `abandoned`, its client is gone; called once per reply."""
        ...


class Connection(asyncio.Protocol):
    """One client. Requests are answered one at a time, the others wait in the parser's buffer.

    A client that closes its side has left: HTTP clients do so when they time out, and none half-closes.
    """

    def __init__(self, application: Application, clock: Clock, max_body: int, peers: set[Connection]) -> None:
        self._application = application
        self._clock = clock
        self._parser = RequestParser(max_body)
        self._peers = peers
        self._transport: asyncio.Transport | None = None
        self._open: tuple[HttpRequest, Reply] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._writable = True
        self._resumed = Signal()
        self._deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol.connection_made`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol.connection_lost`."""
        self._transport = None
        self._peers.discard(self)
        if self._waiting is not None:
            self._waiting.cancel()
        if self._open is not None:
            self._settle(abandoned=True)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol.data_received`."""
        if not self._deaf:
            self._parser.feed(data)
            self._advance()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol.pause_writing`: no new answers for a client that does not read."""
        self._writable = False

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol.resume_writing`."""
        self._writable = True
        self._resumed.happen()
        self._advance()

    def abort(self) -> None:
        """Cut the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def _advance(self) -> None:
        transport = self._transport
        while transport is not None and self._ready and not transport.is_closing():
            try:
                request = self._parser.next()
            except HttpError as error:
                self._refuse(error)
                return
            if request is None:
                if self._parser.take_expectation():
                    transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                break
            self._begin(request)
        self._throttle()

    @property
    def _ready(self) -> bool:
        return self._open is None and self._writable and not self._deaf

    def _throttle(self) -> None:
        if self._transport is None:
            return
        if self._open is not None and self._parser.pending > _PIPELINE_BYTES:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _begin(self, request: HttpRequest) -> None:
        reply = self._application.answer(request)
        self._open = (request, reply)
        if reply.fate == "hang":
            return
        if reply.events:
            self._waiting = asyncio.get_running_loop().create_task(self._stream(request, reply))
        elif reply.delay > 0:
            self._waiting = asyncio.get_running_loop().create_task(self._deliver_later(reply.delay))
        else:
            self._deliver()

    async def _deliver_later(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._waiting = None
        self._deliver()
        self._advance()

    async def _stream(self, request: HttpRequest, reply: Reply) -> None:
        """Send events at their times, as many together as are due; the head goes with the first."""
        started, sent = self._clock.now() + reply.delay, 0
        most = len(reply.events) if reply.fate == "send" else len(reply.events) // 2
        head = _stream_head(reply, close=not request.keep_alive)
        while sent < most:
            await self._clock.sleep(started + sent * reply.gap - self._clock.now())
            if not self._writable:
                await self._resumed.next()
            due = most if not reply.gap else 1 + int((self._clock.now() - started) / reply.gap)
            events = reply.events[sent : max(sent + 1, min(due, most))]
            self._write(head + b"".join(map(_chunk, events)))
            head, sent = b"", sent + len(events)
        self._waiting = None
        if reply.fate != "stall":
            self._end_stream(reply, close=not request.keep_alive)

    def _end_stream(self, reply: Reply, *, close: bool) -> None:
        if reply.fate == "drop":  # in the midst of a piece
            self._write(_chunk(reply.events[len(reply.events) // 2])[:-9])
        else:
            self._write(_chunk(b""))
        if self._transport is not None and (close or reply.fate == "drop"):
            self._transport.close()
        self._settle(abandoned=False)
        self._advance()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _deliver(self) -> None:
        if self._open is None or self._transport is None:
            return
        request, reply = self._open
        close = not request.keep_alive or reply.fate == "drop"
        data = _encode(reply, bodiless=request.method == "HEAD", close=close)
        if reply.fate == "drop":
            data = data[: len(data) - len(reply.body) // 2 - 1]
        self._transport.write(data)
        if close:
            self._transport.close()
        self._settle(abandoned=False)

    def _settle(self, *, abandoned: bool) -> None:
        assert self._open is not None
        reply = self._open[1]
        self._open = None
        self._application.ended(reply, abandoned=abandoned)

    def _refuse(self, error: HttpError) -> None:
        """Answer what is no HTTP request; where the next one would begin is unknown, so close.

        Only our side, and what still comes is read and dropped: closing both would reset the connection
        of a client that is still sending a body too large, and it would never see why (RFC 9112, 9.6).
        """
        assert self._transport is not None
        kind = "request_too_large" if error.status == 413 else "invalid_request_error"
        # Both families' clients find their fields in this one body.
        body = {
            "type": "error",
            "error": {"type": kind, "message": error.message, "param": None, "code": None},
        }
        self._transport.write(_encode(Reply(error.status, orjson.dumps(body)), bodiless=False, close=True))
        self._transport.write_eof()
        self._deaf = True


def _encode(reply: Reply, *, bodiless: bool, close: bool) -> bytes:
    head = (
        f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, 'Unknown')}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(reply.body)}\r\n"
        f"{reply.headers}{'connection: close' if close else 'connection: keep-alive'}\r\n\r\n"
    )
    return head.encode("latin-1") + (b"" if bodiless else reply.body)


def _stream_head(reply: Reply, *, close: bool) -> bytes:
    head = (
        f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, 'Unknown')}\r\n"
        "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n"
        f"{reply.headers}{'connection: close' if close else 'connection: keep-alive'}\r\n\r\n"
    )
    return head.encode("latin-1")


def _chunk(data: bytes) -> bytes:
    """RFC 9112, section 7.1; an empty one is the last."""
    return b"%x\r\n%s\r\n" % (len(data), data)
