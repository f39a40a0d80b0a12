"""The page of an output over HTTP on this machine, for as long as the command runs.

It listens on loopback only, answers nobody who does not know the token in its address, and no page of another site: a
name that is made to point here (DNS rebinding) is not the `Host` that it expects.
"""

from __future__ import annotations

import gzip
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from llmx.errors import UsageError
from llmx.pages.document import document, policy
from llmx.pages.live import LivePage

__all__ = ["PageServer", "serve_page", "signalled"]

HOST = "127.0.0.1"

IDLE = 60.0
"""Seconds after which a connection without a request is closed."""

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class PageServer(ThreadingHTTPServer):
    """A server of one page; a context manager that answers in a thread of its own.

    Args:
        page: what is served.
        port: 0 takes a free one.

    Raises:
        UsageError: the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, page: LivePage, port: int) -> None:
        self.page = page
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            hint = "another --port, or none for any free one"
            raise UsageError(f"cannot listen on {HOST}:{port}: {reason}", hint=hint) from error
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def url(self) -> str:
        """The page's address, token included."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news, and nothing else is a user's."""

    def __enter__(self) -> PageServer:
        """Begin to answer."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="llmx-view", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.0"  # a connection for each request: none outlives the server
    server_version, sys_version = "llmx", ""
    timeout = IDLE

    def do_GET(self) -> None:
        """Answer a page's question."""
        if self.headers.get("Host") not in self.server.hosts:
            self._send(421, b"this server is asked as 127.0.0.1 or localhost only\n", "text/plain")
            return
        address = urlsplit(self.path)
        _, token, *rest = [*address.path.split("/"), "", ""]
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._send(
                404, b"not here; the address that llmx view has printed has more to it\n", "text/plain"
            )
            return
        self._answer("/".join(rest).rstrip("/"), parse_qs(address.query))

    do_HEAD = do_GET

    def _answer(self, what: str, query: dict[str, list[str]]) -> None:
        page = self.server.page
        if what == "":
            text = "".join(document(page.title, (), live=True))
            self._send(
                200,
                text.encode(),
                "text/html; charset=utf-8",
                **{"Content-Security-Policy": policy(live=True)},
            )
        elif what == "summary":
            self._send(200, page.summary(query.get("since", [""])[0]), "application/json")
        elif what.startswith("rows/") and (number := what.removeprefix("rows/")).isdecimal():
            data = page.chunk(int(number)) if len(number) < 10 else None
            self._send(404 if data is None else 200, data or b"", "application/gzip")
        else:
            self._send(404, b"not here\n", "text/plain")

    def _send(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        if (
            len(body) > 1_000
            and kind != "application/gzip"
            and "gzip" in self.headers.get("Accept-Encoding", "")
        ):
            body, headers = gzip.compress(body, 1), {**headers, "Content-Encoding": "gzip"}
        self.send_response(status)
        for name, value in {
            **HEADERS,
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nobody's business: the address has the token in it."""


def serve_page(
    page: LivePage, port: int, announce: Callable[[str], None], stopped: Callable[[], object] | None = None
) -> None:
    """Serve a page until the process is told to end.

    Args:
        port: 0 takes a free one.
        announce: called with the page's address once it can be opened.
        stopped: returns when it is time to end; by default on SIGINT or SIGTERM.

    Raises:
        UsageError: the port cannot be had.
    """
    waiting = signalled() if stopped is None else nullcontext(stopped)
    with PageServer(page, port) as server, waiting as ended:
        announce(server.url)
        ended()


@contextmanager
def signalled() -> Iterator[Callable[[], object]]:
    """Something that returns when the process is told to end by SIGINT or SIGTERM. For the main thread."""
    ended = threading.Event()

    def told(*_: object) -> None:
        ended.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended.wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
