"""Bytes of a connection -> HTTP/1.1 requests, however the bytes were split; no I/O.

Content-Length and chunked bodies (RFC 9112, sections 6 and 7). A message with both, or with two
lengths, is refused: guessing which one holds is how requests are smuggled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

__all__ = ["HttpError", "HttpRequest", "RequestParser"]

_MAX_HEAD = 65_536
_MAX_CHUNK_LINE = 1_024
_REQUEST_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/1\.([01])")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?", re.DOTALL)


class HttpError(Exception):
    """The bytes are no request that can be answered: a status, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One whole request.

    Args:
        path: the target's path, without query.
        headers: names in lower case; repeated ones joined by ", ".
        keep_alive: whether the client wants to send more on this connection.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


class _BodyReader(Protocol):
    def read(self, buffer: bytearray) -> bytes | None:
        """Consume from the buffer; the whole body, or None while some of it is missing."""
        ...


class _Sized:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self._length = length

    def read(self, buffer: bytearray) -> bytes | None:
        if len(buffer) < self._length:
            return None
        body = bytes(buffer[: self._length])
        del buffer[: self._length]
        return body


class _Chunked:
    """A body in chunks; trailers are read and dropped."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._body = bytearray()
        self._missing: int | None = None
        self._in_trailers = False

    def read(self, buffer: bytearray) -> bytes | None:
        while not self._in_trailers:
            if self._missing is None and not self._read_size(buffer):
                return None
            if not self._in_trailers and not self._read_chunk(buffer):
                return None
        return self._finish(buffer)

    def _read_size(self, buffer: bytearray) -> bool:
        line = _take_line(buffer)
        if line is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise HttpError(400, f"not a chunk size: {line[:40]!r}")
        self._missing = int(match[1], 16)
        self._in_trailers = self._missing == 0
        if len(self._body) + self._missing > self._max_body:
            raise HttpError(413, f"the request body is longer than {self._max_body} bytes")
        return True

    def _read_chunk(self, buffer: bytearray) -> bool:
        missing = self._missing or 0
        if len(buffer) < missing + 2:
            return False
        if buffer[missing : missing + 2] != b"\r\n":
            raise HttpError(400, "a chunk does not end where its size says")
        self._body += buffer[:missing]
        del buffer[: missing + 2]
        self._missing = None
        return True

    def _finish(self, buffer: bytearray) -> bytes | None:
        while (line := _take_line(buffer)) is not None:
            if not line:
                return bytes(self._body)
        return None


def _take_line(buffer: bytearray) -> bytes | None:
    end = buffer.find(b"\r\n", 0, _MAX_CHUNK_LINE)
    if end < 0:
        if len(buffer) >= _MAX_CHUNK_LINE:
            raise HttpError(400, f"a chunk's line is longer than {_MAX_CHUNK_LINE} bytes")
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 2]
    return line


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    headers: dict[str, str]
    keep_alive: bool


class RequestParser:
    """Fed with bytes in any portions, gives requests one by one.

    Args:
        max_body: bytes; a longer body is an `HttpError` 413, told before it is read where its length is known.
    """

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._searched = 0
        self._head: _Head | None = None
        self._reader: _BodyReader = _Sized(0)
        self._expectation = False

    @property
    def pending(self) -> int:
        """Bytes that were fed and belong to no request yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what the client sent."""
        self._buffer += data

    def next(self) -> HttpRequest | None:
        """The next whole request, None while there is none.

        Raises:
            HttpError: the bytes are no request; the parser is of no use afterwards.
        """
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
        body = self._reader.read(self._buffer)
        if body is None:
            return None
        head, self._head, self._expectation = self._head, None, False
        return HttpRequest(head.method, head.path, head.headers, body, head.keep_alive)

    def take_expectation(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends its body; true once."""
        expected, self._expectation = self._expectation, False
        return expected

    def _read_head(self) -> _Head | None:
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):  # RFC 9112, 2.2: tolerate empty lines before a request
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0:
            self._searched = len(buffer)
            _check_start(buffer)
            return None
        text = buffer[:end].decode("latin-1")
        del buffer[: end + 4]
        self._searched = 0
        if end > _MAX_HEAD:
            raise HttpError(431, f"the request's head is longer than {_MAX_HEAD} bytes")
        head = _parse_head(text)
        self._reader = self._reader_for(head)
        self._expectation = head.headers.get("expect", "").lower() == "100-continue"
        return head

    def _reader_for(self, head: _Head) -> _BodyReader:
        coding, length = head.headers.get("transfer-encoding"), head.headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise HttpError(
                    400, "only `transfer-encoding: chunked` without a content-length is understood"
                )
            return _Chunked(self._max_body)
        if length is None:
            return _Sized(0)
        if not (length.isascii() and length.isdigit()):
            raise HttpError(400, f"not a content-length: {length[:40]!r}")
        # A number of more digits than the bound has is over it; int() of a giant one would be slow.
        if len(length) > 18 or int(length) > self._max_body:
            raise HttpError(413, f"the request body is longer than {self._max_body} bytes")
        return _Sized(int(length))


def _check_start(buffer: bytearray) -> None:
    """Tell early what can never become a request: a TLS greeting, a line of garbage, an endless head."""
    if len(buffer) > _MAX_HEAD:
        raise HttpError(431, f"the request's head is longer than {_MAX_HEAD} bytes")
    if buffer and not 65 <= buffer[0] <= 90 and buffer != b"\r":
        raise HttpError(400, "not an HTTP request (is the URL https:// instead of http://?)")
    end = buffer.find(b"\n")
    if end >= 0 and (buffer[end - 1] != 13 or not _is_request_line(buffer[: end - 1])):
        raise HttpError(400, "not an HTTP/1.1 request line")


def _is_request_line(line: bytearray) -> bool:
    return _REQUEST_LINE.fullmatch(line.decode("latin-1")) is not None


def _parse_head(text: str) -> _Head:
    lines = text.split("\r\n")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise HttpError(400, "not an HTTP/1.1 request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name):
            raise HttpError(400, f"not a header: {line[:40]!r}")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    wish = headers.get("connection", "").lower()
    keep_alive = "close" not in wish if match[3] == "1" else "keep-alive" in wish
    return _Head(match[1], _path(match[2]), headers, keep_alive)


def _path(target: str) -> str:
    if target.startswith("http://"):  # the absolute form, which clients use towards a proxy
        target = "/" + target[7:].partition("/")[2]
    return target.partition("?")[0]
