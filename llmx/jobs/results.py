"""Reading what has come of a job's rows, also while they come: whole lines, in the order of the rows.

Nothing is held but a piece of one file: a slow reader costs no memory. Where a shard goes over to another worker its file
begins with the same rows, so that a reader goes on by their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from llmx.detached import in_thread
from llmx.jobs.desk import Desk
from llmx.jobs.folder import ERRORS, OUTPUT, JobFolder, job_folder
from llmx.jobs.types import ENDED, Shard
from llmx.records import partial_of

__all__ = ["errors", "results"]

T = TypeVar("T")

PIECE = 256 * 1024
"""Bytes that are read together; a longer row is read whole."""

LOOK = 5.0
"""Seconds after which somebody who follows a job looks for more rows, whether or not its figures have changed."""


async def results(desk: Desk, id: str, *, after: int = 0, follow: bool = False) -> AsyncIterator[bytes]:
    """The good rows so far: JSON Lines, several together.

    Args:
        after: rows that the reader has already.
        follow: wait for more until the job has ended.

    Those of a job that goes on end where the first shard that is not done has come to; of one that has ended, all that
    there are.
    """
    async for lines in _read(desk, id, OUTPUT, after, follow=follow):
        yield lines


async def errors(desk: Desk, id: str, *, after: int = 0, follow: bool = False) -> AsyncIterator[bytes]:
    """The failed rows so far, those that could not be read first; as `results`."""
    unreadable = job_folder(desk.root, id).unreadable
    tail = _Tail(after)
    while lines := await _off_the_loop(lambda: tail.read(unreadable)):
        yield lines
    tail.close()
    async for lines in _read(desk, id, ERRORS, tail.skipping, follow=follow):
        yield lines


async def _read(desk: Desk, id: str, name: str, after: int, *, follow: bool) -> AsyncIterator[bytes]:
    """The rows of all shards' files of a name."""
    folder, number, tail = job_folder(desk.root, id), 0, _Tail(after)
    try:
        while (job := await desk.store.get(id)) is not None:
            shards = await desk.store.shards(id)
            while number < len(shards):
                async for lines in _rows(folder, shards[number], name, tail):
                    yield lines
                if shards[number].state != "done" and job.state not in ENDED:
                    break
                number, tail = number + 1, tail.next()
            if number >= len(shards) or not follow:
                return
            await desk.store.changed(id, job.version, LOOK)
    finally:
        tail.close()


async def _rows(folder: JobFolder, shard: Shard, name: str, tail: _Tail) -> AsyncIterator[bytes]:
    """The rows of a shard that are there and not read yet."""
    while lines := await _off_the_loop(lambda: tail.read(_file(folder, shard, name))):
        yield lines


def _file(folder: JobFolder, shard: Shard, name: str) -> Path | None:
    """Where the newest worker of a shard writes, or has written; None where nobody has yet."""
    files = folder.shard(shard.ref.number)
    epoch = files.last_to(shard.epoch)
    if epoch is None:
        return None
    path = files.epoch(epoch) / name
    return path if path.exists() else partial_of(path)


class _Tail:
    """The end of a file that grows, and may go on in another one with the same beginning.

    Args:
        skipping: rows that are passed over.
    """

    def __init__(self, skipping: int) -> None:
        self.skipping = skipping
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._passed = 0

    def read(self, path: Path | None) -> bytes:
        """The next whole lines; none where there are none yet."""
        if path != self._path:
            self._open(path)
        while self._file is not None:
            lines = self._whole_lines(self._file)
            if not lines:
                return b""
            self._passed += lines.count(b"\n")
            if lines := self._skipped(lines):
                return lines
        return b""

    def _open(self, path: Path | None) -> None:
        self.close()
        self.skipping, self._passed = self.skipping + self._passed, 0
        try:
            self._file = None if path is None else path.open("rb")
        except FileNotFoundError:  # it was renamed, or its worker has not begun
            return
        self._path = path

    @staticmethod
    def _whole_lines(file: BinaryIO) -> bytes:
        start = file.tell()
        data = file.read(PIECE)
        while data and b"\n" not in data and (more := file.read(PIECE)):
            data += more
        end = data.rfind(b"\n") + 1
        file.seek(start + end)
        return data[:end]

    def _skipped(self, lines: bytes) -> bytes:
        """Without rows that are passed over."""
        start = 0
        while self.skipping and start < len(lines):
            start = lines.index(b"\n", start) + 1
            self.skipping -= 1
        return lines[start:]

    def next(self) -> _Tail:
        """The tail of the file after this one, which is at its end."""
        self.close()
        return _Tail(self.skipping)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._path = None, None


async def _off_the_loop(work: Callable[[], T]) -> T:
    return await asyncio.wrap_future(in_thread(work))
