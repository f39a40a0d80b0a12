"""gzip and zstd, both ways, as transformations of chunks.

What is compressed is seen from the first bytes, never from the name: a `.gz` that a browser has already
unpacked and a compressed stdin both just work.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Protocol

from llmx.errors import UsageError
from llmx.records.lines import Damaged

__all__ = [
    "COMPRESSIONS",
    "MAX_EXPANSION",
    "Compressor",
    "begun",
    "compressor",
    "decompressed",
    "require_zstd",
]

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
"""File suffix -> compression."""

MAX_EXPANSION = 200.0
"""To how many times its size an archive may unpack. Tables of much repetition reach 100, bombs 1,000 and more."""

_FREE = 2**26
"""Bytes that any archive may unpack to: what is small is no danger, however well it was packed."""

_MAGIC = {  # RFC 1952 2.3.1, RFC 8878 3.1.1, and 3.1.2 for the frames that pzstd puts first
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    **{bytes([0x50 + number]) + b"\x2a\x4d\x18": "zstd" for number in range(16)},
}

# zlib expands at most 1,032 times, a zstd block of 4 bytes gives 128 KiB: these keep the output of one step
# below 16 MiB however hostile the archive is.
_STEP = {"gzip": 8_192, "zstd": 512}


class Compressor(Protocol):
    """Bytes to compressed bytes."""

    def compress(self, data: bytes) -> bytes:
        """Take `data` in; returns what is ready."""
        ...

    def flush(self) -> bytes:
        """All that was taken in becomes readable; more may follow."""
        ...

    def finish(self) -> bytes:
        """The end of the archive."""
        ...


def decompressed(chunks: Iterator[bytes], expansion: float = MAX_EXPANSION) -> Iterator[bytes]:
    """Unpack `chunks` if they are gzip or zstd, else pass them on.

    Args:
        chunks: of any size.
        expansion: to how many times its size an archive may unpack, beyond the first 64 MiB.

    Raises:
        Damaged: it is cut, broken, packed twice, followed by something else, or unpacks to too much.
        UsageError: it is zstd, for which a package is missing.
    """
    head, whole = begun(chunks, _MAGIC)
    kind = _kind(head)
    if kind is None:
        yield from whole
        return
    meter = _Meter(kind, expansion)
    head, unpacked = begun(meter.unpacked(_unpacked(meter.packed(_steps(whole, _STEP[kind])), kind)), _MAGIC)
    if inner := _kind(head):
        raise Damaged(f"{inner} data within {kind} data", hint="unpack it once, and name what comes out")
    yield from unpacked


def begun(chunks: Iterator[bytes], marks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """As much of the beginning as it takes to tell whether it is one of `marks`, and all chunks all the same."""
    head = b""
    for chunk in chunks:
        head += chunk
        if not any(len(head) < len(mark) and mark.startswith(head) for mark in marks):
            break
    return head, chain([head], chunks)


def _kind(head: bytes) -> str | None:
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


class _Meter:
    """Measures an archive on both sides of its unpacking."""

    def __init__(self, kind: str, expansion: float) -> None:
        self._kind = kind
        self._expansion = expansion
        self._size = 0

    def packed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._size += len(piece)
            yield piece

    def unpacked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > max(_FREE, self._expansion * self._size):
                message = f"the {self._kind} data unpack to more than {self._expansion:g} times their size"
                raise Damaged(message, hint="if they are no bomb, allow more with --max-expansion")
            yield piece


def _unpacked(pieces: Iterator[bytes], kind: str) -> Iterator[bytes]:
    """Unpack every frame of an archive; several in a row are one stream (RFC 1952 2.2, RFC 8878 3.1)."""
    fresh, failure = _zstd_decoder() if kind == "zstd" else _gzip_decoder()
    decoder, frames = fresh(), 1
    for piece in pieces:
        rest = piece
        while rest:
            if decoder.eof:
                rest = rest.lstrip(b"\0")  # tapes and some tools pad archives with zeros
                if rest:
                    decoder, frames = fresh(), frames + 1
                continue
            try:
                out = decoder.decompress(rest)
            except failure as error:
                raise Damaged(_what_is_wrong(kind, error, frames)) from error
            if out:
                yield out
            rest = decoder.unused_data if decoder.eof else b""
    if not decoder.eof:
        raise Damaged(f"the {kind} data end too early: the file is cut")


def _what_is_wrong(kind: str, error: Exception, frames: int) -> str:
    """The library's words without its own name for what it was doing."""
    where = "" if frames == 1 else f" after {frames - 1} whole archive{'s' * (frames > 2)}"
    return f"damaged {kind} data{where}: {str(error).rpartition(': ')[2]}"


def _steps(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def _gzip_decoder() -> tuple[Callable[[], Any], type[Exception]]:
    return lambda: zlib.decompressobj(wbits=31), zlib.error


def _zstd_decoder() -> tuple[Callable[[], Any], type[Exception]]:
    module = require_zstd()
    if hasattr(module, "ZstdFile"):  # the standard library's, Python 3.14
        return module.ZstdDecompressor, module.ZstdError
    return lambda: module.ZstdDecompressor().decompressobj(), module.ZstdError


def require_zstd() -> Any:
    """The standard library's zstd module where there is one, else the `zstandard` package. Raises UsageError."""
    for name in ("compression.zstd", "zstandard"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise UsageError("zstd files need the package zstandard", hint="pip install zstandard")


def compressor(kind: str) -> Compressor:
    """A fresh compressor of `kind`, "gzip" or "zstd"."""
    return _Zstd() if kind == "zstd" else _Gzip()


class _Gzip:
    def __init__(self) -> None:
        self._codec = zlib.compressobj(wbits=31)

    def compress(self, data: bytes) -> bytes:
        return self._codec.compress(data)

    def flush(self) -> bytes:
        return self._codec.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._codec.flush(zlib.Z_FINISH)


class _Zstd:
    def __init__(self) -> None:
        module = require_zstd()
        if hasattr(module, "ZstdFile"):  # the standard library's, Python 3.14
            self._codec: Any = module.ZstdCompressor()
            self._block, self._end = self._codec.FLUSH_BLOCK, self._codec.FLUSH_FRAME
        else:
            self._codec = module.ZstdCompressor(write_checksum=True).compressobj()
            self._block, self._end = module.COMPRESSOBJ_FLUSH_BLOCK, module.COMPRESSOBJ_FLUSH_FINISH

    def compress(self, data: bytes) -> bytes:
        return bytes(self._codec.compress(data))

    def flush(self) -> bytes:
        return bytes(self._codec.flush(self._block))

    def finish(self) -> bytes:
        return bytes(self._codec.flush(self._end))
