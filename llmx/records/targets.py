"""Where an output's bytes go: a file that appears whole or not at all, or a stream.

Every write to a file reaches the kernel before it returns; there is no buffer of ours to lose. A stream's
reader may be slower than we are: see `StreamTarget`.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from llmx.errors import OutputFailed
from llmx.records.compression import Compressor
from llmx.records.partials import final_of, open_partial, partial_of
from llmx.system import system

__all__ = ["FileTarget", "PackedTarget", "StreamTarget", "Target", "failed"]

_MOST = 2**20  # bytes that may wait for a reader

_FLUSH_EVERY = 2**16  # bytes put into an archive between two points up to which it can be read


class Target(Protocol):
    """Takes bytes until it is told how it ended."""

    @property
    def rows_left(self) -> Path | None:
        """The file where what was written is now: the final one, or its partial one; None when there is none."""
        ...

    def write(self, data: bytes) -> None:
        """Hand `data` on. Raises OutputFailed, or BrokenPipeError when a reader has gone away."""
        ...

    async def drained(self) -> None:
        """Return when whoever reads has taken what was written. Raises like `write`."""
        ...

    def close(self) -> None:
        """All is there: make it final."""
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

    async def drained(self) -> None:
        """See `Target.drained`: it is the kernel's."""

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

    A reader may be slow, or stop for a while as `less` does. What it has no room for waits here, a row as a rule
    (`drained`), and never for longer than `_MOST` bytes: the event loop must go on meanwhile.
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

    def write(self, data: bytes) -> None:
        """See `Target.write`."""
        self._pending += data
        self._push(wait=len(self._pending) > _MOST)

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

    def close(self) -> None:
        """See `Target.close`."""
        self._push(wait=True)
        if self._owned:
            self._stream.close()

    def abandon(self) -> None:
        """See `Target.abandon`; a reader that takes nothing is not waited for."""
        self._push(wait=False)
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


class PackedTarget:
    """Compresses on the way to another target, with a point every 64 KiB up to which it can be read."""

    def __init__(self, target: Target, codec: Compressor) -> None:
        self._target = target
        self._codec = codec
        self._unflushed = 0
        self._begun = False

    @property
    def rows_left(self) -> Path | None:
        """See `Target.rows_left`."""
        return self._target.rows_left

    def write(self, data: bytes) -> None:
        """See `Target.write`."""
        self._begun = True
        out = self._codec.compress(data)
        self._unflushed += len(data)
        if self._unflushed >= _FLUSH_EVERY:
            self._unflushed = 0
            out += self._codec.flush()
        if out:
            self._target.write(out)

    async def drained(self) -> None:
        """See `Target.drained`."""
        await self._target.drained()

    def close(self) -> None:
        """See `Target.close`."""
        self._target.write(self._codec.finish())
        self._target.close()

    def abandon(self) -> None:
        """See `Target.abandon`: the archive gets its end, so that any tool reads it; if there is one."""
        try:
            if self._begun:
                self._target.write(self._codec.finish())
        finally:
            self._target.abandon()


def failed(shown: str, error: OSError) -> OutputFailed:
    """`error` in the system's own words."""
    return OutputFailed(f"cannot write {shown!r}: {error.strerror or error}")
