"""An open binary stream into chunks of plain UTF-8: unpacked, without a byte order mark.

A chunk is handed on as soon as the kernel has it, so the rows of a slow producer are not held back.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

from llmx.records.compression import MAX_EXPANSION, begun, decompressed
from llmx.records.lines import Damaged

__all__ = ["byte_chunks", "raw_chunks"]

_CHUNK = 2**18  # bytes a read; larger ones fall out of the processor's cache while they are split

_BOM = b"\xef\xbb\xbf"

_REFUSED = {  # the longer of two that begin alike comes first
    b"\xff\xfe\0\0": ("UTF-32 text; only UTF-8 is read", "iconv -f UTF-32 -t UTF-8 FILE > NEW"),
    b"\0\0\xfe\xff": ("UTF-32 text; only UTF-8 is read", "iconv -f UTF-32 -t UTF-8 FILE > NEW"),
    b"\xff\xfe": ("UTF-16 text; only UTF-8 is read", "iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    b"\xfe\xff": ("UTF-16 text; only UTF-8 is read", "iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    b"PAR1\x15": ("that is Parquet", "--input-format parquet"),
    b"PK\x03\x04": ("that is a zip archive, as .xlsx files are too", "unzip it, or save the sheet as CSV"),
    b"\xfd7zXZ\0": ("xz data; only gzip and zstd are read", "xz -dc FILE > NEW"),
    **{
        b"BZh%d1AY&SY" % level: ("bzip2 data; only gzip and zstd are read", "bzip2 -dc FILE > NEW")
        for level in range(1, 10)
    },
}
"""What a text never begins with -> what it is, and the way out."""


def byte_chunks(stream: BinaryIO, expansion: float = MAX_EXPANSION) -> Iterator[bytes]:
    """The stream's text as bytes.

    Args:
        stream: text as it is, or in gzip or zstd.
        expansion: see `decompressed`.

    Raises:
        Damaged: it cannot be read any further.
    """
    return _text_chunks(decompressed(raw_chunks(stream), expansion))


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


def _text_chunks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Text without its mark. Raises `Damaged` for what is none."""
    head, whole = begun(chunks, (_BOM, *_REFUSED))
    for mark, (what, hint) in _REFUSED.items():
        if head.startswith(mark):
            raise Damaged(what, hint=hint)
    yield from chain([head.removeprefix(_BOM)], islice(whole, 1, None))
