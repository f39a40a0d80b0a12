"""What a connection brings, as HTTP/1.1 responses. The parser is llhttp's, by httptools; bytes come from `http`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct

from llmx.providers.sse import is_stream

__all__ = ["HttpResponse", "NoHttp", "ResponseReader", "Take"]

Take = Callable[[bytes], bool]
"""Is given the pieces of a stream as they come; returns whether that was enough. It must not raise."""

LONGEST = 256 * 2**20
"""Bytes of a response, as they come, that are taken in: more is no completion, and must not fill the memory."""

LONGEST_HEAD = 2**20
"""Bytes of all that comes before the body: servers and proxies themselves take 8 to 64 KiB."""


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


class ResponseReader:
    """The responses of one connection, and the parser's callbacks.

    Attributes:
        take: who is given the body of the next response in pieces, where it is a stream: it is then not kept. None for nobody.
        is_enough: whether that one has had enough of it.
        is_at_rest: whether another request may follow: the last response was whole, nothing came behind it, and it
            did not say that the connection ends.
    """

    def __init__(self) -> None:
        self.take: Take | None = None
        self.is_enough = False
        self.is_at_rest = True
        self._parser = HttpResponseParser(self)
        # What other clients take as well, of which there is no doubt how it is meant (RFC 9112, sections 2.2 and 7.1.1).
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._whole: HttpResponse | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._headers: Mapping[str, str] = {}
        self._body = bytearray()  # of a body in small chunks, a list would take many times its size
        self._size = 0
        self._begun = False
        self._streams = False

    def feed(self, data: bytes) -> HttpResponse | None:
        """The response that is whole with these bytes, None while none is. Raises NoHttp."""
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.is_at_rest = False
            if self._whole is None:
                raise NoHttp("what came back is no HTTP") from None
        if self._whole is None:
            self._check_size()
        return self._taken()

    def so_far(self) -> HttpResponse:
        """The response of which there has been enough; all that was kept of it."""
        return HttpResponse(self._parser.get_status_code(), self._headers, bytes(self._body))

    def end(self) -> HttpResponse | None:
        """The response that is whole since the connection has ended, None when none is. Raises NoHttp."""
        if self._begun and self._ends_with_the_connection():
            self._finish()
        return self._taken()

    def _check_size(self) -> None:
        most, what = (LONGEST, "response") if self._begun else (LONGEST_HEAD, "head")
        if self._size > most:
            raise NoHttp(f"a {what} of more than {most // 2**20} MiB")

    def _ends_with_the_connection(self) -> bool:
        """Whether a response says nothing of its length (RFC 9112, section 6.3)."""
        coding = self._headers.get("transfer-encoding", "").rpartition(",")[2]
        return "content-length" not in self._headers and coding.strip().lower() != "chunked"

    def _taken(self) -> HttpResponse | None:
        """The whole response as its sender meant it."""
        whole, self._whole = self._whole, None
        if whole is None or not (encoding := whole.headers.get("content-encoding")):
            return whole
        try:
            content = _unpacked(whole.content, encoding)
        except NoHttp:
            if whole.status_code < 300:
                raise
            content = b""  # the status says enough
        return HttpResponse(whole.status_code, whole.headers, content)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self.is_at_rest = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._begun:  # else a trailer, by which nobody asked to be told anything
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._begun = self._parser.get_status_code() >= 200
        self._headers = _joined(self._fields)
        self._fields = []
        self.is_enough = False
        self._streams = self.take is not None and self._is_stream()

    def _is_stream(self) -> bool:
        """One that is compressed, though it was asked not to be, is unpacked as a whole."""
        good = 200 <= self._parser.get_status_code() < 300
        return good and is_stream(self._headers) and "content-encoding" not in self._headers

    def on_body(self, data: bytes) -> None:
        if self._streams and self.take is not None:
            self.is_enough = self.take(data) or self.is_enough
        elif not self.is_enough:
            self._body += data

    def on_message_complete(self) -> None:
        if self._begun and self._whole is None:  # one that follows at once is nobody's
            self.is_at_rest = self._parser.should_keep_alive()
            self._finish()
            self._size = 0  # an interim response, such as 100, is a part of the head that it precedes
        self._headers, self._body = {}, bytearray()
        self._begun = False

    def _finish(self) -> None:
        self._whole = self.so_far()


def _joined(fields: list[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Headers by lower-case name, those that are there several times joined by commas."""
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(_decoded(name).lower(), []).append(_decoded(value))
    return {name: ", ".join(each) for name, each in values.items()}


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
