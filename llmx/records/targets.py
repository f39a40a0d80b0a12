"""Where an output's bytes go: a file that appears whole or not at all, or a stream.

Every write to a file reaches the kernel before it returns; there is no buffer of ours to lose. A stream's
reader may be slower than we are: see `StreamTarget`.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from llmx.errors import OutputFailed
from llmx.records.compression import Compressor
from llmx.records.growing import Growing, Mark, begins_as
from llmx.records.partials import final_of, open_partial, partial_of
from llmx.system import system

__all__ = [
    "FileTarget",
    "PackedTarget",
    "StreamTarget",
    "Target",
    "Through",
    "failed",
]

FLUSH_BYTES, FLUSH_SECONDS = 2**16, 1.0
"""What is put into an archive, and what passes, between two points up to which it can be read."""


class Target(Protocol):
    """Takes bytes until it is told how it ended."""

    @property
    def growing(self) -> Growing | None:
        """Itself, where a later run can go on with what is there; None where it cannot."""
        ...

    @property
    def rows_left(self) -> Path | None:
        """The file where what was written is now: the final one, or its partial one; None when there is none."""
        ...

    def write(self, data: bytes) -> None:
        """Hand `data` on. Raises OutputFailed, or BrokenPipeError when a reader has gone away."""
        ...

    @property
    def taken(self) -> bool:
        """Whether whoever reads has taken all that was written."""
        ...

    async def drained(self) -> None:
        """Return when whoever reads has taken what was written. Raises like `write`."""
        ...

    def ending(self) -> Iterator[None]:
        """Write what comes behind the last write; at each step `drained` may be awaited. `close` does it, too."""
        ...

    def close(self) -> None:
        """All is there: make it final. Blocks as long as whoever reads has not taken all."""
        ...

    def abandon(self) -> None:
        """The run stopped: leave what is there readable."""
        ...


class FileTarget:
    """`PATH.partial`, which becomes PATH only when all is there and on the disk.

    It is locked from the beginning, and emptied of an earlier run's rows only when there is one of this run's.

    Args:
        path: the final path; a link is followed, so that it goes on being one.
        shown: its name for messages.

    Raises:
        UsageError: another run is writing it.
        OutputFailed: the system refuses to open it.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self.path = final_of(path)
        self.partial = partial_of(path)
        self._shown = shown
        self._begun = False
        self._final = False
        self._size = self._crc = 0
        try:
            self._file = open_partial(self.partial, shown)
        except OSError as error:
            raise failed(shown, error) from error

    @property
    def rows_left(self) -> Path | None:
        """See `Target.rows_left`."""
        if self._final:
            return self.path
        return self.partial if self._begun else None

    @property
    def growing(self) -> Growing | None:
        """See `Target.growing`."""
        return self

    @property
    def mark(self) -> Mark:
        """See `Growing.mark`."""
        return Mark(self._size, self._crc)

    def holds(self, mark: Mark) -> bool:
        """See `Growing.holds`."""
        return begins_as(self.partial, mark)

    def go_on(self, mark: Mark) -> None:
        """See `Growing.go_on`."""
        try:
            system().truncate(self._file, mark.size)
            os.lseek(self._file, mark.size, os.SEEK_SET)
        except OSError as error:
            raise failed(self._shown, error) from error
        self._begun = True
        self._size, self._crc = mark.size, mark.crc

    def begin(self) -> None:
        """Make the partial file this run's: what an earlier one left in it goes."""
        if not self._begun:
            system().truncate(self._file, 0)
            self._begun = True

    def write(self, data: bytes) -> None:
        """See `Target.write`; what was written of a row that fails half-way is taken back."""
        rest = memoryview(data)
        try:
            self.begin()
            while rest:
                rest = rest[system().write(self._file, rest) :]
        except OSError as error:
            self._take_back(len(data) - len(rest))
            raise failed(self._shown, error) from error
        self._size += len(data)
        self._crc = zlib.crc32(data, self._crc)

    @property
    def taken(self) -> bool:
        """See `Target.taken`: it is the kernel's."""
        return True

    async def drained(self) -> None:
        """See `Target.drained`."""

    def ending(self) -> Iterator[None]:
        """See `Target.ending`."""
        yield from ()

    def close(self) -> None:
        """See `Target.close`."""
        try:
            self.begin()
            system().sync(self._file)
            self._replace(self.partial)
        except OSError as error:
            raise failed(self._shown, error) from error
        finally:
            os.close(self._file)

    def close_as(self, built: Path) -> None:
        """Like `close`, with the file that was made of the rows in their stead."""
        try:
            self._replace(built)
            self.partial.unlink()
        except OSError as error:
            built.unlink(missing_ok=True)
            raise failed(self._shown, error) from error
        finally:
            os.close(self._file)

    def _replace(self, complete: Path) -> None:
        """Make a complete file be PATH, with the mode of the file it replaces, for good."""
        with suppress(FileNotFoundError):
            complete.chmod(stat.S_IMODE(self.path.stat().st_mode))
        system().replace(complete, self.path)
        self._final = True
        system().sync_folder(self.path.parent)

    def abandon(self) -> None:
        """See `Target.abandon`: PATH is not touched, nor is what an earlier run left where this one has no row."""
        try:
            if not os.fstat(self._file).st_size:  # ours, made by opening it
                self.partial.unlink(missing_ok=True)
                self._begun = False
        except OSError as error:
            raise failed(self._shown, error) from error
        finally:
            os.close(self._file)

    def _take_back(self, written: int) -> None:
        if not written:
            return
        try:
            end = os.lseek(self._file, 0, os.SEEK_END) - written
            os.ftruncate(self._file, end)
            os.lseek(self._file, end, os.SEEK_SET)
        except OSError:
            return  # the write has failed already, and that is what is told


class StreamTarget:
    """stdout, or a pipe or device that a path names; it is never renamed and, if it is stdout, never closed.

    A reader may be slow, or stop for a while as `less` does. What it has no room for waits here until `drained`
    has been awaited, which is to follow every write: the event loop must go on meanwhile.
    """

    def __init__(self, stream: BinaryIO, shown: str, *, owned: bool = False) -> None:
        self._stream: Any = getattr(stream, "raw", stream)
        self._shown = shown
        self._owned = owned
        self._pending = bytearray()
        self._file = _descriptor(self._stream)
        stream.flush()

    @property
    def rows_left(self) -> Path | None:
        """See `Target.rows_left`: they have gone."""
        return None

    @property
    def growing(self) -> Growing | None:
        """See `Target.growing`: what has gone nobody can go on with."""
        return None

    def write(self, data: bytes) -> None:
        """See `Target.write`."""
        self._pending += data
        self._push(wait=False)

    @property
    def taken(self) -> bool:
        """See `Target.taken`."""
        return not self._pending

    async def drained(self) -> None:
        """See `Target.drained`."""
        while self._pending and self._file is not None:
            await _has_room(self._file)
            self._push(wait=False)

    def _push(self, *, wait: bool) -> None:
        """Hand on what there is room for; with `wait`, all of it."""
        try:
            while self._pending and self._is_writable(None if wait else 0):
                size = len(self._pending) if self._file is None else select.PIPE_BUF
                with memoryview(self._pending) as view:
                    written = self._stream.write(view[:size])
                del self._pending[: written or 0]  # None: a full pipe that another process made non-blocking
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise failed(self._shown, error) from error

    def _is_writable(self, timeout: int | None) -> bool:
        """Whether there is room for `PIPE_BUF` bytes (select(3p): then a write of so many does not block)."""
        if self._file is None:
            return True
        poll = select.poll()
        poll.register(self._file, select.POLLOUT)
        return bool(poll.poll(timeout))

    def ending(self) -> Iterator[None]:
        """See `Target.ending`."""
        if self._pending:
            yield

    def close(self) -> None:
        """See `Target.close`."""
        self._let_go(wait=True)

    def abandon(self) -> None:
        """See `Target.abandon`; a reader that takes nothing is not waited for."""
        self._let_go(wait=False)

    def _let_go(self, *, wait: bool) -> None:
        try:
            self._push(wait=wait)
        finally:
            if self._owned:
                self._stream.close()


def _descriptor(stream: Any) -> int | None:
    """What a write may have to wait for; None for a file, where it never does, and for what is no file at all."""
    if os.name != "posix":
        return None
    try:
        file = stream.fileno()
        return None if stat.S_ISREG(os.fstat(file).st_mode) else int(file)
    except (OSError, ValueError):
        return None


async def _has_room(file: int) -> None:
    """Return when a descriptor can be written to, or has no reader any more."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(file, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(file)


class Through:
    """Hands on to another target what it does not do itself."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._ended = False

    @property
    def rows_left(self) -> Path | None:
        """See `Target.rows_left`."""
        return self._target.rows_left

    @property
    def growing(self) -> Growing | None:
        """See `Target.growing`."""
        return self._target.growing

    @property
    def taken(self) -> bool:
        """See `Target.taken`."""
        return self._target.taken

    async def drained(self) -> None:
        """See `Target.drained`."""
        await self._target.drained()

    def ending(self) -> Iterator[None]:
        """See `Target.ending`."""
        if not self._ended:
            self._ended = True
            self._end()
        yield from self._target.ending()

    def _end(self) -> None:
        """Write what comes behind the last write."""

    def close(self) -> None:
        """See `Target.close`."""
        for _ in self.ending():
            pass
        self._target.close()

    def abandon(self) -> None:
        """See `Target.abandon`."""
        self._target.abandon()


class PackedTarget(Through):
    """Compresses on the way to another target, with points up to which it can be read."""

    def __init__(self, target: Target, codec: Compressor) -> None:
        super().__init__(target)
        self._codec = codec
        self._unflushed = 0
        self._flushed_at = time.monotonic()
        self._begun = False

    @property
    def growing(self) -> Growing | None:
        """See `Target.growing`: the archive's own state is not in the file."""
        return None

    def write(self, data: bytes) -> None:
        """See `Target.write`."""
        self._begun = True
        out = self._codec.compress(data)
        self._unflushed += len(data)
        if self._unflushed >= FLUSH_BYTES or time.monotonic() - self._flushed_at >= FLUSH_SECONDS:
            self._unflushed, self._flushed_at = 0, time.monotonic()
            out += self._codec.flush()
        if out:
            self._target.write(out)

    def _end(self) -> None:
        self._target.write(self._codec.finish())

    def abandon(self) -> None:
        """See `Target.abandon`: the archive gets its end, so that any tool reads it; if there is one."""
        try:
            if self._begun and not self._ended:
                self._end()
        finally:
            self._target.abandon()


def failed(shown: str, error: OSError) -> OutputFailed:
    """`error` in the system's own words."""
    return OutputFailed(f"cannot write {shown!r}: {error.strerror or error}")
