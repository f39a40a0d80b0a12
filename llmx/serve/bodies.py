"""Bodies of requests, read with limits that hold whatever the client says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from llmx.clock import Clock, SystemClock
from llmx.records.integers import loads
from llmx.serve.problems import Problem

__all__ = ["Reading", "decoded", "media_type", "read_json"]

SLOWEST = 10_000.0
"""Bytes per second that a client must send on average, beyond the first `Reading.seconds`."""


class Reading:
    """How a body may come.

    Args:
        limit: bytes, as they are sent.
        seconds: for which a client may send nothing.
        what: what is limited, for messages.
    """

    def __init__(self, limit: int, seconds: float, what: str, clock: Clock | None = None) -> None:
        self.limit = limit
        self.seconds = seconds
        self.what = what
        self.clock = clock or SystemClock()

    def too_large(self) -> Problem:
        """The answer to a body beyond the limit."""
        return Problem(413, "too_large", f"the {self.what} is larger than {self.limit:,} bytes")

    async def chunks(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            Problem: it is too large or too slow.
            ClientDisconnect: the client went away.
        """
        if _declared(request) > self.limit:
            raise self.too_large()
        _refuse_encoding(request)
        size, began = 0, self.clock.now()
        stream = request.stream()
        while True:
            chunk = await self._next(stream)
            if chunk is None:
                return
            size += len(chunk)
            if size > self.limit:
                raise self.too_large()
            if (self.clock.now() - began - self.seconds) * SLOWEST > size:
                raise self._slow()
            if chunk:
                yield chunk

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(self.seconds):
                return await anext(stream, None)
        except TimeoutError:
            raise self._slow() from None

    def _slow(self) -> Problem:
        return Problem(408, "too_slow", f"the {self.what} comes too slowly")


def media_type(request: Request) -> str:
    """The type of the body without parameters, in lower case; "" where none is given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, reading: Reading) -> Any:
    """The JSON value of a body.

    Raises:
        Problem: it is no JSON, not said to be, too large or too slow.
    """
    kind = media_type(request)
    if kind != "application/json":
        raise Problem(
            415,
            "unsupported_media_type",
            f"the body is {kind!r}" if kind else "the body has no Content-Type",
            hint="Content-Type: application/json",
        )
    try:
        body = b"".join([chunk async for chunk in reading.chunks(request)])
    except ClientDisconnect:
        raise Problem(400, "incomplete_body", "the client went away") from None
    return decoded(body)


def decoded(text: bytes) -> Any:
    """The value of a JSON text. Raises Problem: it is none, or nested beyond what can be written again."""
    try:
        return loads(text)
    except orjson.JSONDecodeError as error:
        where = f" at line {error.lineno}, column {error.colno}" if error.doc else ""
        raise Problem(400, "invalid_json", f"not JSON: {error.msg}{where}") from None


def _declared(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _refuse_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(
            415,
            "unsupported_encoding",
            f"Content-Encoding {encoding!r} is not taken",
            hint="a compressed file is sent as it is, with a name such as rows.jsonl.gz",
        )
