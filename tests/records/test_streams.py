"""Chunks of text out of streams."""

from __future__ import annotations

import gzip
import io
import os

import pytest

from llmx.records.lines import Damaged
from llmx.records.streams import byte_chunks


@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_is_no_text(packed: bool) -> None:
    """Windows programs begin UTF-8 files with one, and people compress those."""
    content = b"\xef\xbb\xbfa\xef\xbb\xbf"
    stream = io.BytesIO(gzip.compress(content) if packed else content)

    assert b"".join(byte_chunks(stream)) == b"a\xef\xbb\xbf"


@pytest.mark.parametrize("content", ["a".encode("utf-16"), b"\xfe\xff\x00a"])
def test_utf_16_is_refused_with_a_way_out(content: bytes) -> None:
    """What PowerShell's `>` writes."""
    with pytest.raises(Damaged, match="UTF-16") as caught:
        list(byte_chunks(io.BytesIO(content)))

    assert caught.value.hint.startswith("iconv")


def test_an_error_of_the_system_is_damage() -> None:
    """In the system's words."""

    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, os.strerror(5))

    with pytest.raises(Damaged, match="Input/output error"):
        list(byte_chunks(Broken()))  # type: ignore[arg-type]


def test_a_chunk_is_there_as_soon_as_the_pipe_has_it() -> None:
    """Nothing waits for a full buffer."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as pipe:
        chunks = byte_chunks(stream)
        pipe.write(b"one\n")
        assert next(chunks) == b"one\n"
        pipe.write(b"two\n")
        assert next(chunks) == b"two\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a".encode("utf-32"), "UTF-32"),
        (b"\0\0\xfe\xff\0\0\0a", "UTF-32"),
        (b"PK\x03\x04\x14", "zip"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"PAR1\x15", "Parquet"),
    ],
)
def test_what_is_no_text_is_refused(content: bytes, what: str) -> None:
    """By its first bytes, wherever chunks end, with a way out."""
    for stream in (io.BytesIO(content), io.BytesIO(gzip.compress(content))):
        with pytest.raises(Damaged, match=what) as caught:
            list(byte_chunks(stream))

        assert caught.value.hint


@pytest.mark.parametrize("content", [b"PAR1,a\n", b"PK\n", b"BZh9\n", b"\0\0"])
def test_a_text_may_begin_a_little_like_something_else(content: bytes) -> None:
    """Only what no text begins with is refused."""
    assert b"".join(byte_chunks(io.BytesIO(content))) == content
