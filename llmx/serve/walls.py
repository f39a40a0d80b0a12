"""What stands before every route: request ids, the walls against browsers' tricks, headers, the access log, the last catch.

An ASGI application around another one. It knows neither routes nor keys; bodies are read, and limited, where they are used.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmx.clock import Clock
from llmx.serve.problems import Problem
from llmx.telemetry.logs import bound

__all__ = ["HEADERS", "Walls", "is_loopback", "request_id_of"]

log = logging.getLogger("llmx.serve")

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer that does not say otherwise."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK = re.compile(r"(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)

LINGER_SECONDS = 2.0
LINGER_BYTES = 2**24
"""How long and how much is still read of a body that was refused: a connection that is closed before is reset, and the
client never sees why (RFC 9112, section 9.6)."""


def is_loopback(host: str) -> bool:
    """Whether a `Host` is this machine by a name that nobody else can give it."""
    return _LOOPBACK.fullmatch(host) is not None


def _host_of(origin: str) -> str:
    """Host and port of an `Origin`; "" of what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def request_id_of(scope: Scope) -> str:
    """The id of a request."""
    return str(scope["llmx.request_id"])


class Walls:
    """The application behind its walls.

    Args:
        app: the application.
        open_to_all: whether requests need no key now: then only this machine's own pages and programs may ask.
        clock: for the log.
        count: told each answer's method, status and seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        open_to_all: Callable[[], bool],
        clock: Clock,
        count: Callable[[str, int, float], None],
    ) -> None:
        self._app = app
        self._count = count
        self._open_to_all = open_to_all
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._exchange(scope, receive, send)
        else:  # nobody speaks WebSocket here
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = self._clock.now()
        exchange = _Exchange(scope, receive, send)
        with bound(request_id=exchange.id):
            await exchange.run(self._app, self._check)
            seconds = self._clock.now() - began
            exchange.note(seconds)
        self._count(scope["method"], exchange.status, seconds)

    def _check(self, headers: Headers) -> None:
        """Raises Problem for a request that a page of another site could have made."""
        if not self._open_to_all():
            return  # a browser sends no bearer key by itself
        host = headers.get("host", "")
        if not is_loopback(host):
            raise Problem(
                403,
                "host_refused",
                f"a service without keys is asked as 127.0.0.1 or localhost, not as {host!r}",
                hint="llmx keys create NAME",
            )
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        foreign = site == "cross-site" and headers.get("sec-fetch-mode") != "navigate"
        if foreign or (origin is not None and _host_of(origin) != host.lower()):
            raise Problem(403, "origin_refused", "pages of other sites may not ask a service without keys")


class _Exchange:
    """One request and its answer.

    Attributes:
        id: the request's.
        status: of the answer, 0 before there is one.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._headers = headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope["llmx.request_id"] = self.id
        self.status = 0
        self._body_read = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers

    async def run(self, app: ASGIApp, check: Callable[[Headers], None]) -> None:
        """Have it answered, whatever happens."""
        try:
            check(self._headers)
            await app(self._scope, self.receive, self.send)
        except Problem as problem:
            await self._answer(problem)
        except asyncio.CancelledError:  # the server does not wait any longer
            await self._answer(Problem(503, "shutting_down", "the service is shutting down"))
        except Exception:
            log.exception("a request has failed")
            await self._answer(Problem(500, "internal_error", "the service has failed"))

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self.id
            for name, value in self._scope.get("llmx.headers", {}).items():  # where the key stands
                headers[name] = value
            if not self._body_read:
                headers["Connection"] = "close"
        elif (
            message["type"] == "http.response.body"
            and not message.get("more_body", False)
            and not self._body_read
        ):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _linger(self) -> None:
        """Read on for a while, so that the client sees the answer before the connection closes."""
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._body_read and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            return

    async def _answer(self, problem: Problem) -> None:
        if self.status:  # half of an answer is out: it is left so, and the connection closed
            return
        await problem.response(self.id)(self._scope, self.receive, self.send)

    def note(self, seconds: float) -> None:
        """Write the answer's line into the log: what was asked, and never with what."""
        path = self._scope.get("raw_path", b"").decode("ascii", "backslashreplace")[:200]
        method, key = self._scope["method"], self._scope.get("llmx.key", "")
        fields = {
            "method": method,
            "path": path,
            "status": self.status,
            "seconds": round(seconds, 4),
            "owner": key,
        }
        log.info("%s %s %d", method, path, self.status, extra=fields)
