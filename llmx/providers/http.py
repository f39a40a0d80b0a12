"""HTTP/1.1 for one address: what a call over a general client spends most of its time on is left out.

A connection carries one call at a time and is kept for the next. Nothing is retried, redirected, compressed or
authenticated here, and no proxy is asked: a caller that needs one takes the SDK's transport. Responses are read by
`responses`; the addresses of a name are tried as RFC 8305 says, by aiohappyeyeballs.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

from llmx.providers.authorities import tls_context
from llmx.providers.hosts import Addresses, Host
from llmx.providers.responses import HttpResponse, NoHttp, ResponseReader, Take

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

HAPPY_EYEBALLS = 0.25
"""Seconds until the next address is tried beside one that is slow (RFC 8305, section 5)."""


DRAINED = 1.0
"""Seconds that a stream of which there has been enough may take to end, so that its connection can carry the next call."""


class NotConnected(ConnectionError):
    """There is no connection: nothing was sent."""


class Disconnected(ConnectionError):
    """The connection broke before the response was whole."""


class HttpClient:
    """POSTs to one URL.

    Args:
        url: http or https, without a user; its query is sent too.
        headers: of every request, beside those of HTTP itself, whose framing is not theirs to change.

    Raises:
        ValueError: the address or a header is none that a request can carry.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = urlsplit(url)
        self._host = Host(self._url)
        self._head = _head(self._url, self._host, headers)
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._addresses = Addresses(self._host)
        self._tls: ssl.SSLContext | None = None

    async def post(self, body: bytes, take: Take | None = None) -> HttpResponse:
        """The response to a request with `body`, whatever its status.

        A task that is cancelled meanwhile takes the connection with it.

        Args:
            take: is given the body in pieces where it is a stream of events, of which nothing is then kept; None to have
                the whole in any case.

        Raises:
            NotConnected, Disconnected, NoHttp: see there.
        """
        connection = self._reused() or await self._connected()
        try:
            exchange = connection.exchange(b"%s%d\r\n\r\n%s" % (self._head, len(body), body), take)
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
            if connection.is_reusable and connection.is_silent():
                return connection
            connection.abort()
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
        # From here on the socket is its transport's, who alone may close it: its number may be another's by then.
        _, connection = await loop.create_connection(
            lambda: _Connection(self._open, sock, self._idle.append), sock=sock
        )
        if tls is not None:
            await connection.secure(tls, self._host.certified)
        return connection

    def _context(self) -> ssl.SSLContext | None:
        if self._url.scheme == "https" and self._tls is None:
            self._tls = tls_context()
        return self._tls


_PATH = "/%:@!$&'()*+,;=~-._"
_QUERY = _PATH + "?"
"""Characters that stand for themselves (RFC 3986, sections 3.3 and 3.4), and the sign of those that do not."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, section 5.6.2)."""

_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


def _head(url: SplitResult, host: Host, headers: Mapping[str, str]) -> bytes:
    """A request up to the value of its last header, which is the length of the body. Raises ValueError."""
    target = quote(url.path or "/", safe=_PATH) + (f"?{quote(url.query, safe=_QUERY)}" if url.query else "")
    own = {"host": ("Host", host.shown), "accept-encoding": ("Accept-Encoding", "identity")}
    given = {name.lower(): (name, value) for name, value in headers.items() if name.lower() not in _FRAMING}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in {**own, **given}.values())]
    if not all(line.replace("\t", " ").isprintable() and line.isascii() for line in lines):
        raise ValueError("the address or a header has a character that no request can carry")
    if wrong := [name for name in headers if not _TOKEN.fullmatch(name)]:
        raise ValueError(f"{wrong[0]!r} is no name of a header")
    return "\r\n".join([*lines, "Content-Length: "]).encode()


_PEEK = int(socket.MSG_PEEK)
"""A plain number, for which `recv` takes two thirds of the time."""


class _Connection(asyncio.Protocol):
    """One connection.

    Args:
        among: the open connections, to which it belongs as long as it is one.
        sock: what it is made on, to be looked at alone.
        drained: told that it can carry another call after all, where what was left of a stream has come behind its end.
    """

    def __init__(
        self, among: set[_Connection], sock: socket.socket, drained: Callable[[_Connection], None]
    ) -> None:
        self.idle_since = 0.0
        self._among = among
        self._sock = sock
        self._drained = drained
        self._draining: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._wire: asyncio.Transport | None = None
        self._reader = ResponseReader()
        self._waiter: asyncio.Future[HttpResponse] | None = None

    @property
    def is_reusable(self) -> bool:
        """Whether it can carry another call."""
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and self._draining is None

    def is_silent(self) -> bool:
        """Whether the server has not ended it, nor said anything, that the loop has had no time to hear of yet.

        It takes one microsecond.
        """
        try:
            self._sock.recv(1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    async def secure(self, tls: ssl.SSLContext, name: str | None) -> None:
        """Speak TLS from here on. Raises OSError; the connection is closed then, and when the task is cancelled."""
        assert self._transport is not None
        try:
            loop = asyncio.get_running_loop()
            self._transport = await loop.start_tls(self._transport, self, tls, server_hostname=name)
        except BaseException:
            self.abort()
            raise

    async def exchange(self, request: bytes, take: Take | None) -> HttpResponse:
        """Send a request, and return the response when it is whole, or `take` has had enough of it."""
        if self._transport is None:  # it was gone as soon as it was there
            raise Disconnected("the server closed the connection")
        self._waiter = asyncio.get_running_loop().create_future()
        self._reader.take = take
        self._transport.write(request)
        del request
        return await self._waiter

    def abort(self) -> None:
        """Close it at once; who waits for a response hears that none will come."""
        self._among.discard(self)
        self._stop_draining()
        self._fail(Disconnected("the connection was closed"))

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        with suppress(OSError):  # it has been reset meanwhile
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # an answer may take minutes
        self._transport = self._wire = transport
        self._among.add(self)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None and self._draining is None:  # nobody has asked
            self.abort()
            return
        try:
            response = self._reader.feed(data)
        except NoHttp as error:
            self._fail(error)
            return
        if response is not None:
            self._answer(response)
        elif self._reader.is_enough and self._waiter is not None:
            self._answer_early(self._reader.so_far())

    def eof_received(self) -> None:
        return None  # the transport closes itself, and `connection_lost` follows

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = self._wire = None
        self._among.discard(self)
        self._stop_draining()
        try:
            response = self._reader.end() if error is None else None
        except NoHttp as problem:
            self._fail(problem)
            return
        if response is not None:
            self._answer(response)
        else:
            self._fail(Disconnected("the server closed the connection"), error)

    def _answer(self, response: HttpResponse) -> None:
        was_draining = self._draining is not None
        self._stop_draining()
        self._hand_over(response)
        self.idle_since = time.monotonic()
        if self._transport is not None and not (self._reader.is_at_rest and self._is_sent()):
            self._transport.abort()
        elif was_draining and self.is_reusable:
            self._drained(self)

    def _answer_early(self, response: HttpResponse) -> None:
        """There is enough of a stream: its end, which most servers send by itself, is not waited for."""
        self._hand_over(response)
        self._draining = asyncio.get_running_loop().call_later(DRAINED, self.abort)

    def _hand_over(self, response: HttpResponse) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(response)
        self._waiter = self._reader.take = None

    def _stop_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
        self._draining = None

    def _is_sent(self) -> bool:
        """Whether all of the request is on its way: a server may answer its head, and take no more of it."""
        layers = (self._transport, self._wire)  # TLS, where there is any, and what is below it
        return not any(layer.get_write_buffer_size() for layer in layers if layer is not None)

    def _fail(self, error: Exception, cause: Exception | None = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            error.__cause__ = cause
            self._waiter.set_exception(error)
        self._waiter = None
        if self._transport is not None:
            self._transport.abort()
