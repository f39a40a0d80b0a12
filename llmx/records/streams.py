"""An open binary stream into chunks of plain UTF-8: unpacked, without a byte order mark.

A chunk is handed on as soon as the kernel has it, so the rows of a slow producer are not held back.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from llmx.records.compression import decompressed
from llmx.records.lines import Damaged

__all__ = ["byte_chunks", "raw_chunks"]

_CHUNK = 2**18  # bytes a read; larger ones fall out of the processor's cache while they are split

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def byte_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's text as bytes. Raises `Damaged` where it cannot be read any further."""
    return _without_mark(decompressed(raw_chunks(stream)))


def raw_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The stream as it is, in chunks of at most 256 KiB."""
    read = getattr(stream, "read1", stream.read)  # an unbuffered file has no read1, and its read is one call
    while True:
        try:
            chunk = read(_CHUNK)
        except OSError as error:
            raise Damaged(f"cannot read on: {error.strerror or error}") from error
        if not chunk:
            return
        yield chunk


def _without_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        if not any(len(head) < len(mark) and mark.startswith(head) for mark in (_BOM, *_UTF16)):
            break
    if head.startswith(_UTF16):
        raise Damaged("UTF-16 text; only UTF-8 is read", hint="iconv -f UTF-16 -t UTF-8 FILE > NEW")
    yield from chain([head.removeprefix(_BOM)], chunks)
