"""gzip and zstd, both ways, as transformations of chunks.

What is compressed is seen from the first bytes, never from the name: a `.gz` that a browser has already
unpacked and a compressed stdin both just work.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Protocol

from llmx.errors import UsageError
from llmx.records.lines import Damaged

__all__ = ["COMPRESSIONS", "Compressor", "compressor", "decompressed", "require_zstd"]

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
"""File suffix -> compression."""

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}  # RFC 1952 2.3.1, RFC 8878 3.1.1

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


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack `chunks` if they are gzip or zstd, else pass them on. Raises `Damaged`, `UsageError` without zstd."""
    head = b""
    for chunk in chunks:
        head += chunk
        if not any(len(head) < len(magic) and magic.startswith(head) for magic in _MAGIC):
            break
    whole = chain([head], chunks)
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if kind is None:
        yield from whole
    else:
        yield from _unpacked(whole, kind)


def _unpacked(chunks: Iterator[bytes], kind: str) -> Iterator[bytes]:
    """Unpack every frame of an archive; several in a row are one stream (RFC 1952 2.2, RFC 8878 3.1)."""
    fresh, failure = _zstd_decoder() if kind == "zstd" else _gzip_decoder()
    decoder = fresh()
    for piece in _steps(chunks, _STEP[kind]):
        rest = piece
        while rest:
            if decoder.eof:
                rest = rest.lstrip(b"\0")  # tapes and some tools pad archives with zeros
                decoder = fresh() if rest else decoder
                continue
            try:
                out = decoder.decompress(rest)
            except failure as error:
                raise Damaged(f"damaged {kind} data: {error}") from error
            if out:
                yield out
            rest = decoder.unused_data if decoder.eof else b""
    if not decoder.eof:
        raise Damaged(f"the {kind} data end too early: the file is cut")


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
