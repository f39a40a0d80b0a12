"""Where bytes go."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmx.errors import OutputFailed, UsageError
from llmx.records import targets as module
from llmx.records.compression import compressor
from llmx.records.targets import FileTarget, PackedTarget, StreamTarget, Target


def test_a_file_appears_when_it_is_closed(tmp_path: Path) -> None:
    """Until then the bytes are in its partial file, all of them."""
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    target = FileTarget(path, "out.jsonl")
    target.write(b"new")

    assert path.read_text() == "old"
    assert target.partial.read_text() == "new"
    target.close()
    assert path.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_abandoned_file_stays_partial(tmp_path: Path) -> None:
    """What was there before is untouched."""
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    target = FileTarget(path, "out.jsonl")
    target.write(b"new")
    target.abandon()

    assert path.read_text() == "old"
    assert target.partial.read_text() == "new"


def test_the_mode_of_the_old_file_is_kept(tmp_path: Path) -> None:
    """A private output stays private."""
    path = tmp_path / "out.jsonl"
    path.touch(0o600)
    FileTarget(path, "out.jsonl").close()

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_goes_on_being_one(tmp_path: Path) -> None:
    """The file it names is replaced."""
    (tmp_path / "data").mkdir()
    link = tmp_path / "out.jsonl"
    link.symlink_to("data/real.jsonl")
    target = FileTarget(link, "out.jsonl")
    target.write(b"new")
    target.close()

    assert link.is_symlink()
    assert (tmp_path / "data/real.jsonl").read_text() == "new"


def test_a_partial_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take less than it was given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, bytes(data[:2])))
    target = FileTarget(tmp_path / "out", "out")
    target.write(b"abcde\n")
    target.close()

    assert (tmp_path / "out").read_bytes() == b"abcde\n"


def test_half_a_row_is_taken_back_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partial file holds whole lines only."""
    target = FileTarget(tmp_path / "out", "out")
    target.write(b"first\n")
    write = os.write

    def fill(file: int, data: Any) -> int:
        if len(data) == 7:
            return write(file, bytes(data[:3]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(OutputFailed, match="cannot write 'out': No space left on device"):
        target.write(b"second\n")
    target.abandon()

    assert target.partial.read_bytes() == b"first\n"


def test_the_rename_is_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows reach the disk before they get their name, and the folder that holds it after."""
    synced: list[tuple[str, bool]] = []
    path = tmp_path / "out.jsonl"

    def sync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, path.exists()))

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "fsync", sync)
    target = FileTarget(path, "out.jsonl")
    target.write(b"row\n")
    target.close()
    assert synced == [("file", False), ("folder", True)]


def test_a_failing_fsync_or_rename_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is not there then."""

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    target = FileTarget(tmp_path / "out", "out")
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OutputFailed, match="Input/output error"):
        target.close()

    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """In the system's words: here the partial file's name is a folder's."""
    (tmp_path / "out.partial").mkdir()

    with pytest.raises(OutputFailed, match="cannot write 'out': Is a directory"):
        FileTarget(tmp_path / "out", "out")


def test_a_stream_gets_every_write_at_once() -> None:
    """There is nothing to flush."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as stream:
        target = StreamTarget(stream, "stdout")
        target.write(b"row\n")
        assert os.read(reader.fileno(), 100) == b"row\n"
        target.close()
        assert not stream.closed


def test_what_was_in_the_streams_buffer_comes_first() -> None:
    """Somebody may have written there before us."""
    raw = io.FileIO(os.memfd_create("out"), "r+")
    with io.BufferedWriter(raw) as stream:
        stream.write(b"first\n")
        StreamTarget(stream, "stdout").write(b"second\n")
        raw.seek(0)
        assert raw.read() == b"first\nsecond\n"


def test_a_reader_that_has_gone_is_a_broken_pipe() -> None:
    """No error of the disk: the run ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stream, pytest.raises(BrokenPipeError):
        StreamTarget(stream, "stdout").write(b"row\n")


def test_another_error_of_a_stream_is_told() -> None:
    """A full disk behind `> file`."""
    with Path("/dev/full").open("wb") as stream, pytest.raises(OutputFailed, match="No space left"):
        StreamTarget(stream, "stdout").write(b"row\n")


async def test_a_reader_that_takes_nothing_holds_up_nobody() -> None:
    """What it has no room for waits; the loop goes on, and whoever wants to know waits for `drained`."""
    reading, writing = os.pipe()
    data = b"x" * 200_000
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as stream:
        target = StreamTarget(stream, "stdout")
        target.write(data)
        waiting = asyncio.ensure_future(target.drained())
        await asyncio.sleep(0)
        assert not waiting.done()
        received = await asyncio.to_thread(reader.read, len(data))
        await waiting
        assert received == data


async def test_waiting_for_a_reader_that_goes_away() -> None:
    """It is told as any closed pipe is."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as stream:
        target = StreamTarget(stream, "stdout")
        target.write(b"x" * 200_000)
        waiting = asyncio.ensure_future(target.drained())
        await asyncio.sleep(0)
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            await waiting


def test_giving_up_does_not_wait_for_a_reader() -> None:
    """A second Ctrl-C must end a run whose rows nobody takes."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as stream:
        target = StreamTarget(stream, "stdout")
        target.write(b"x" * 200_000)
        target.abandon()


def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    """Another process may have set it so."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data = b"x" * 200_000
    received: list[bytes] = []

    def drain() -> None:
        with os.fdopen(reading, "rb") as stream:
            received.append(stream.read())

    reader = threading.Thread(target=drain)
    with os.fdopen(writing, "wb") as stream:
        reader.start()
        target = StreamTarget(stream, "stdout")
        target.write(data)
        target.close()
    reader.join()

    assert received == [data]


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_an_archive_can_be_read_however_it_ends(tmp_path: Path, end: str) -> None:
    """An abandoned one is a whole archive too."""
    file = FileTarget(tmp_path / "out.gz", "out.gz")
    target = PackedTarget(file, compressor("gzip"))
    target.write(b"row\n")
    getattr(target, end)()

    assert gzip.decompress((file.path if end == "close" else file.partial).read_bytes()) == b"row\n"


def test_a_killed_runs_archive_is_good_up_to_64_kib_ago(tmp_path: Path) -> None:
    """More often would cost compression."""
    file = FileTarget(tmp_path / "out.gz", "out.gz")
    target = PackedTarget(file, compressor("gzip"))
    target.write(b"r" * 2**16)
    target.write(b"s")

    with gzip.open(file.partial) as archive:
        assert archive.read(2**16) == b"r" * 2**16
    file.abandon()


def test_an_archive_can_be_read_up_to_a_second_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly rows come."""
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0)
    file = FileTarget(tmp_path / "out.gz", "out.gz")
    PackedTarget(file, compressor("gzip")).write(b"row\n")
    with gzip.open(file.partial) as archive:
        assert archive.read(4) == b"row\n"
    file.abandon()


def packed(path: Path) -> Target:
    return PackedTarget(FileTarget(path, path.name), compressor("gzip"))


def plain(path: Path) -> Target:
    return FileTarget(path, path.name)


@pytest.mark.parametrize("make", [plain, packed])
def test_a_run_without_a_row_leaves_what_an_earlier_one_left(
    make: Callable[[Path], Target], tmp_path: Path
) -> None:
    """Rows that were paid for."""
    (tmp_path / "out.partial").write_text("paid for\n")
    target = make(tmp_path / "out")
    target.abandon()

    assert target.rows_left is None
    assert (tmp_path / "out.partial").read_text() == "paid for\n"


@pytest.mark.parametrize("make", [plain, packed])
def test_a_run_without_a_row_leaves_nothing_of_its_own(
    make: Callable[[Path], Target], tmp_path: Path
) -> None:
    """No empty file."""
    make(tmp_path / "out").abandon()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [plain, packed])
def test_the_first_row_takes_an_earlier_runs_place(make: Callable[[Path], Target], tmp_path: Path) -> None:
    """However long that was."""
    (tmp_path / "out.partial").write_text("paid for\n" * 99)
    target = make(tmp_path / "out")
    target.write(b"new\n")
    target.abandon()

    content = (tmp_path / "out.partial").read_bytes()
    assert (gzip.decompress(content) if make is packed else content) == b"new\n"


@pytest.mark.parametrize("make", [plain, packed])
def test_a_complete_run_without_a_row_is_empty(make: Callable[[Path], Target], tmp_path: Path) -> None:
    """An earlier run's rows are none of it."""
    (tmp_path / "out.partial").write_text("paid for\n")
    target = make(tmp_path / "out")
    target.close()

    content = (tmp_path / "out").read_bytes()
    assert (gzip.decompress(content) if make is packed else content) == b""
    assert target.rows_left == tmp_path / "out"


def test_a_file_target_knows_where_its_rows_are(tmp_path: Path) -> None:
    """Nowhere, in the partial file, in the final one."""
    target = FileTarget(tmp_path / "out", "out")
    assert target.rows_left is None
    target.write(b"row\n")
    assert target.rows_left == tmp_path / "out.partial"
    target.close()
    assert target.rows_left == tmp_path / "out"


def test_an_output_that_was_not_renamed_is_still_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what is told then; the lock is gone."""

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    target = FileTarget(tmp_path / "out", "out")
    target.write(b"row\n")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(OutputFailed):
            target.close()

    assert target.rows_left == tmp_path / "out.partial"
    FileTarget(tmp_path / "out", "out").abandon()


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    """The second does no harm to the first."""
    target = FileTarget(tmp_path / "out", "out")
    target.write(b"first\n")
    with pytest.raises(UsageError, match=r"another run \(pid \d+\) is writing 'out'"):
        FileTarget(tmp_path / "out", "out")
    target.close()

    assert (tmp_path / "out").read_bytes() == b"first\n"
    FileTarget(tmp_path / "out", "out").abandon()
