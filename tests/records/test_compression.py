"""gzip and zstd, both ways."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
import zstandard

from llmx.errors import UsageError
from llmx.records.compression import compressor, decompressed
from llmx.records.lines import Damaged

TEXT = b'{"n": 1}\n' * 5_000


def unpacked_until_damaged(packed: bytes, words: str) -> bytes:
    unpacked = b""
    try:
        for chunk in decompressed(iter([packed])):
            unpacked += chunk
    except Damaged as error:
        if words in str(error):
            return unpacked
    raise AssertionError(f"not told that {words}")


def bytewise(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


@pytest.mark.parametrize("packed", [gzip.compress(TEXT), zstandard.compress(TEXT)], ids=["gzip", "zstd"])
def test_unpacks_what_begins_like_an_archive(packed: bytes) -> None:
    """The first bytes decide, wherever chunks end."""
    assert b"".join(decompressed(iter([packed]))) == TEXT
    assert b"".join(decompressed(bytewise(packed))) == TEXT


@pytest.mark.parametrize("plain", [b"", b"\x1f", b"(", b"(\xb5/", TEXT])
def test_passes_on_what_is_no_archive(plain: bytes) -> None:
    """Even if its first byte could begin one."""
    assert b"".join(decompressed(bytewise(plain))) == plain


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_archives_in_a_row_are_one_stream(pack: type[bytes]) -> None:
    """`cat a.gz b.gz` is an archive too."""
    assert b"".join(decompressed(iter([pack(b"a\n") + pack(b"b\n")]))) == b"a\nb\n"


def test_zeros_after_a_gzip_archive_are_padding() -> None:
    """As the gzip tool sees it."""
    assert b"".join(decompressed(iter([gzip.compress(b"a") + bytes(100)]))) == b"a"


@pytest.mark.parametrize("packed", [gzip.compress(TEXT), zstandard.compress(TEXT)], ids=["gzip", "zstd"])
def test_a_cut_archive_is_damaged(packed: bytes) -> None:
    """What could be unpacked comes first."""
    assert TEXT.startswith(unpacked_until_damaged(packed[:-6], "the file is cut"))


def test_a_flipped_byte_is_damaged() -> None:
    """gzip's checksum is checked."""
    packed = bytearray(gzip.compress(TEXT))
    packed[-5] ^= 1

    with pytest.raises(Damaged, match="damaged gzip data"):
        list(decompressed(iter([bytes(packed)])))


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_is_unpacked_step_by_step(kind: str) -> None:
    """128 MiB of zeros take no more than a few steps' memory."""
    codec = compressor(kind)
    packed = b"".join(codec.compress(bytes(2**20)) for _ in range(128)) + codec.finish()

    tracemalloc.start()
    size = sum(map(len, decompressed(iter([packed]), 10**6)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size == 2**27
    assert peak < 2**26


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_what_was_flushed_can_be_read_before_the_end(kind: str) -> None:
    """A killed run's archive is good up to its last flush."""
    codec = compressor(kind)
    packed = codec.compress(b"first\n") + codec.flush() + codec.compress(b"second\n")

    assert unpacked_until_damaged(packed, "the file is cut") == b"first\n"


def test_without_a_zstd_package_the_hint_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """zstd is an extra."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)

    with pytest.raises(UsageError) as caught:
        compressor("zstd")

    assert caught.value.hint == "pip install zstandard"


def test_the_standard_librarys_zstd_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.14's module has the interface of this fake, which stands on zlib."""

    class Codec:
        FLUSH_BLOCK, FLUSH_FRAME = zlib.Z_SYNC_FLUSH, zlib.Z_FINISH

        def __init__(self) -> None:
            self._codec = zlib.compressobj(wbits=31)
            self.compress, self.flush = self._codec.compress, self._codec.flush

    class Module:
        ZstdFile = object
        ZstdCompressor = Codec

    monkeypatch.setitem(sys.modules, "compression.zstd", Module)  # type: ignore[arg-type]
    codec = compressor("zstd")

    assert gzip.decompress(codec.compress(b"a") + codec.flush() + codec.finish()) == b"a"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_an_archive_may_not_unpack_to_any_size(kind: str) -> None:
    """Beyond the first 64 MiB, to so many times its own size; what it is allowed comes first."""
    codec = compressor(kind)
    packed = b"".join(codec.compress(bytes(2**20)) for _ in range(100)) + codec.finish()

    assert 2**25 < len(unpacked_until_damaged(packed, "unpack to more than 200 times their size")) <= 2**26
    assert sum(map(len, decompressed(iter([packed]), 10**6))) == 100 * 2**20


@pytest.mark.parametrize("inner", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("outer", [gzip.compress, zstandard.compress])
def test_what_is_packed_twice_is_told(inner: type[bytes], outer: type[bytes]) -> None:
    """Its rows would be unreadable, every one."""
    with pytest.raises(Damaged, match="data within"):
        list(decompressed(iter([outer(inner(TEXT))])))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_what_follows_an_archive_is_told(pack: type[bytes]) -> None:
    """It is not dropped in silence."""
    assert unpacked_until_damaged(pack(b"a\n") + b"rubbish", "data after 1 whole archive: ") == b"a\n"


def test_a_skippable_frame_may_come_first() -> None:
    """As pzstd writes them (RFC 8878, 3.1.2)."""
    frame = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"

    assert b"".join(decompressed(bytewise(frame + zstandard.compress(TEXT)))) == TEXT
