"""HTTP/1.1 for one address: what a call over a general client spends most of its time on is left out.

A connection carries one call at a time and is kept for the next. Nothing is retried, redirected, compressed or
authenticated here, and no proxy is asked: a caller that needs one takes the SDK's transport. The parser is llhttp's,
by httptools; the addresses of a name are tried as RFC 8305 says, by aiohappyeyeballs.
"""

from __future__ import annotations

import asyncio
import socket
import time
import zlib
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct

from llmx.detached import in_thread

if TYPE_CHECKING:
    import ssl

__all__ = [
    "CONNECT_TIMEOUT",
    "KEEPALIVE",
    "Disconnected",
    "HttpClient",
    "HttpResponse",
    "NoHttp",
    "NotConnected",
]

CONNECT_TIMEOUT = 15.0
"""Seconds to a TCP and TLS connection."""

KEEPALIVE = 30.0
"""Seconds an idle connection is kept: longer than the pauses of a paced run, shorter than servers' own."""

RESOLVED = 10.0
"""Seconds that the addresses of a name are taken for the same."""

HAPPY_EYEBALLS = 0.25
"""Seconds until the next address is tried beside one that is slow (RFC 8305, section 5)."""

LONGEST = 256 * 2**20
"""Bytes of a response that are taken in: more is no completion, and must not fill the memory."""


class NotConnected(ConnectionError):
    """There is no connection: nothing was sent."""


class Disconnected(ConnectionError):
    """The connection broke before the response was whole."""


class NoHttp(ConnectionError):
    """What came back is no HTTP, or more of it than anybody wants."""


class HttpResponse(Struct, frozen=True):
    """A whole response.

    Args:
        headers: by lower-case name; what is there several times is joined by commas.
    """

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class HttpClient:
    """POSTs to one URL.

    Args:
        url: http or https, without a user; its query is sent too.
        headers: of every request, beside those of HTTP itself, whose framing is not theirs to change.

    Raises:
        ValueError: the address or a header has a character that no request can carry.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = urlsplit(url)
        self._head = _head(self._url, headers)
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._addresses = _Addresses(self._url)
        self._tls: ssl.SSLContext | None = None

    async def post(self, body: bytes) -> HttpResponse:
        """The response to a request with `body`, whatever its status.

        A task that is cancelled meanwhile takes the connection with it.

        Raises:
            NotConnected, Disconnected, NoHttp: see there.
        """
        connection = self._reused() or await self._connected()
        try:
            exchange = connection.exchange(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
            del body  # what is sent need not be kept while the answer is waited for
            response = await exchange
        except BaseException:
            connection.abort()
            raise
        if connection.is_reusable:
            self._idle.append(connection)
        self._let_go()
        return response

    def _let_go(self) -> None:
        """Close what has been idle for too long: those that were used last come last."""
        while self._idle and time.monotonic() - self._idle[0].idle_since >= KEEPALIVE:
            self._idle.popleft().abort()

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # transports call their protocols back before the loop may end

    def _reused(self) -> _Connection | None:
        """The connection that was used last, so that those which are not needed grow old."""
        self._let_go()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable:
                return connection
        return None

    async def _connected(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self._connect()
        except TimeoutError:
            raise NotConnected(f"no connection within {CONNECT_TIMEOUT:g} s") from None
        except (OSError, UnicodeError) as error:  # the latter of a name that can be no host's
            raise NotConnected(getattr(error, "strerror", None) or str(error)) from error

    async def _connect(self) -> _Connection:
        from aiohappyeyeballs import start_connection

        loop, tls = asyncio.get_running_loop(), self._context()
        infos = await self._addresses.infos()
        sock = await start_connection(infos, happy_eyeballs_delay=HAPPY_EYEBALLS, loop=loop)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # an answer may take minutes
            name = self._url.hostname if tls else None
            _, connection = await loop.create_connection(
                lambda: _Connection(self._open), sock=sock, ssl=tls, server_hostname=name
            )
        except BaseException:
            sock.close()
            raise
        return connection

    def _context(self) -> ssl.SSLContext | None:
        """Certificates are checked by the same authorities as the SDKs'."""
        if self._url.scheme == "https" and self._tls is None:
            from httpx2 import create_ssl_context

            self._tls = create_ssl_context()
        return self._tls


_PATH = "/%:@!$&'()*+,;=~-._"
_QUERY = _PATH + "?"
"""Characters that stand for themselves (RFC 3986, sections 3.3 and 3.4), and the sign of those that do not."""

_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


def _head(url: SplitResult, headers: Mapping[str, str]) -> bytes:
    """A request up to the value of its last header, which is the length of the body. Raises ValueError."""
    target = quote(url.path or "/", safe=_PATH) + (f"?{quote(url.query, safe=_QUERY)}" if url.query else "")
    own = {"host": ("Host", url.netloc), "accept-encoding": ("Accept-Encoding", "identity")}
    given = {name.lower(): (name, value) for name, value in headers.items() if name.lower() not in _FRAMING}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in {**own, **given}.values())]
    if not all(line.replace("\t", " ").isprintable() and line.isascii() for line in lines):
        raise ValueError("a character that no request can carry")
    return "\r\n".join([*lines, "Content-Length: "]).encode()


AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


class _Addresses:
    """The addresses of a URL's host, each in turn the first."""

    def __init__(self, url: SplitResult) -> None:
        self._host = url.hostname or ""
        self._port = (443 if url.scheme == "https" else 80) if url.port is None else url.port
        self._infos: list[AddressInfo] = []
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def infos(self) -> list[AddressInfo]:
        """As `socket.getaddrinfo` gives them. Raises OSError."""
        async with self._turn:
            if time.monotonic() >= self._until:
                self._infos = await asyncio.wrap_future(in_thread(self._resolve))
                self._until = time.monotonic() + RESOLVED
        self._infos = [*self._infos[1:], self._infos[0]]
        return self._infos

    def _resolve(self) -> list[AddressInfo]:
        found: list[AddressInfo] = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)  # type: ignore[assignment]  # of TCP, all have a host and a port
        return found


class _Connection(asyncio.Protocol):
    """One connection, and the parser's callbacks.

    Args:
        among: the open connections, to which it belongs as long as it is one.
    """

    def __init__(self, among: set[_Connection]) -> None:
        self.idle_since = 0.0
        self._among = among
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        # What other clients take as well, of which there is no doubt how it is meant (RFC 9112, sections 2.2 and 7.1.1).
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._waiter: asyncio.Future[HttpResponse] | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._begun = self._unasked = False

    @property
    def is_reusable(self) -> bool:
        """Whether it can carry another call."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> HttpResponse:
        """Send a request, and return the response when it is whole."""
        if self._transport is None:  # it was gone as soon as it was there
            raise Disconnected("the server closed the connection")
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        del request
        return await self._waiter

    def abort(self) -> None:
        """Close it at once; who waits for a response hears that none will come."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Disconnected("the connection was closed"))
        self._waiter = None
        if self._transport is not None:
            self._transport.abort()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._among.add(self)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:  # nobody has asked
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail(NoHttp("what came back is no HTTP"))
        if self._size > LONGEST:
            self._fail(NoHttp(f"a response of more than {LONGEST // 2**20} MiB"))
        if self._unasked:
            self.abort()

    def eof_received(self) -> None:
        return None  # the transport closes itself, and `connection_lost` follows

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._among.discard(self)
        if error is None and self._begun and self._ends_with_the_connection():
            self._finish()
        else:
            self._fail(Disconnected("the server closed the connection"), error)

    def _ends_with_the_connection(self) -> bool:
        """Whether a response says nothing of its length (RFC 9112, section 6.3)."""
        coding = self._headers.get("transfer-encoding", "").rpartition(",")[2]
        return "content-length" not in self._headers and coding.strip().lower() != "chunked"

    # The parser's callbacks

    def on_message_begin(self) -> None:
        # One that nobody waits for would be taken for the next call's.
        self._unasked = self._waiter is None

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value)
        if self._begun:  # a trailer, by which nobody asked to be told anything
            return
        key, text = _decoded(name).lower(), _decoded(value)
        before = self._headers.get(key)
        self._headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        self._begun = self._parser.get_status_code() >= 200

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._begun:
            self._finish()
        else:  # an interim response, such as 100
            self._reset()

    def _finish(self) -> None:
        parser, waiter = self._parser, self._waiter
        if waiter is not None and not waiter.done():
            try:
                content = _unpacked(b"".join(self._body), self._headers.get("content-encoding", ""))
            except NoHttp as error:
                if parser.get_status_code() < 300:
                    waiter.set_exception(error)
                content = b""  # the status says enough
            if not waiter.done():
                waiter.set_result(HttpResponse(parser.get_status_code(), self._headers, content))
        self._waiter = None
        self._reset()
        self.idle_since = time.monotonic()
        if self._transport is not None and not parser.should_keep_alive():
            self._transport.close()

    def _reset(self) -> None:
        self._headers, self._body = {}, []
        self._size, self._begun = 0, False

    def _fail(self, error: Exception, cause: Exception | None = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            error.__cause__ = cause
            self._waiter.set_exception(error)
        self.abort()


def _decoded(text: bytes) -> str:
    """A header's name or value: UTF-8, as some servers have it in the address of a redirect, or else one byte a letter."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body of a server that compresses though it was asked not to; one in another encoding stays as it is.

    Raises NoHttp: it cannot be read.
    """
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate") or not body:
        return body
    for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib as its header says, or without one
        unpacker = zlib.decompressobj(bits)
        try:
            content = unpacker.decompress(body, LONGEST)
        except zlib.error:
            continue
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise NoHttp(
                f"a response of {encoding} that is cut, or unpacks to more than {LONGEST // 2**20} MiB"
            )
        return content
    raise NoHttp(f"a response that is no {encoding}")
