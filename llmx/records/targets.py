"""Where an output's bytes go: a file that appears whole or not at all, or a stream.

Every write reaches the kernel before it returns; there is no buffer of ours to lose.
"""

from __future__ import annotations

import os
import select
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from llmx.errors import OutputFailed
from llmx.records.compression import Compressor

__all__ = ["FileTarget", "PackedTarget", "StreamTarget", "Target", "failed", "replace"]

_FLUSH_EVERY = 2**16  # bytes put into an archive between two points up to which it can be read


class Target(Protocol):
    """Takes bytes until it is told how it ended."""

    def write(self, data: bytes) -> None:
        """Hand all of `data` on. Raises OutputFailed, or BrokenPipeError when a reader has gone away."""
        ...

    def close(self) -> None:
        """All is there: make it final."""
        ...

    def abandon(self) -> None:
        """The run stopped: leave what is there readable."""
        ...


class FileTarget:
    """`PATH.partial`, which becomes PATH only when all is there and on the disk.

    Args:
        path: the final path; a link is followed, so that it goes on being one.
        shown: its name for messages.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self.path = path.resolve() if path.is_symlink() else path
        self._shown = shown
        self.partial = self.path.with_name(self.path.name + ".partial")
        flags = (
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        )
        try:
            self._file = os.open(self.partial, flags, 0o666)
        except OSError as error:
            raise failed(shown, error) from error

    def write(self, data: bytes) -> None:
        """See `Target.write`; what was written of a row that fails half-way is taken back."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            self._take_back(len(data) - len(rest))
            raise failed(self._shown, error) from error

    def close(self) -> None:
        """See `Target.close`."""
        try:
            try:
                os.fsync(self._file)
            finally:
                os.close(self._file)
            replace(self.partial, self.path)
        except OSError as error:
            raise failed(self._shown, error) from error

    def abandon(self) -> None:
        """See `Target.abandon`: PATH is not touched."""
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
    """stdout, or a pipe or device that a path names; it is never renamed and, if it is stdout, never closed."""

    def __init__(self, stream: BinaryIO, shown: str, *, owned: bool = False) -> None:
        self._stream: Any = getattr(stream, "raw", stream)
        self._shown = shown
        self._owned = owned
        stream.flush()

    def write(self, data: bytes) -> None:
        """See `Target.write`."""
        rest = memoryview(data)
        try:
            while rest:
                written = self._stream.write(rest)
                if written is None:  # a full pipe that another process has made non-blocking
                    select.select([], [self._stream], [])
                else:
                    rest = rest[written:]
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise failed(self._shown, error) from error

    def close(self) -> None:
        """See `Target.close`."""
        if self._owned:
            self._stream.close()

    def abandon(self) -> None:
        """See `Target.abandon`."""
        self.close()


class PackedTarget:
    """Compresses on the way to another target, with a point every 64 KiB up to which it can be read."""

    def __init__(self, target: Target, codec: Compressor) -> None:
        self._target = target
        self._codec = codec
        self._unflushed = 0

    def write(self, data: bytes) -> None:
        """See `Target.write`."""
        out = self._codec.compress(data)
        self._unflushed += len(data)
        if self._unflushed >= _FLUSH_EVERY:
            self._unflushed = 0
            out += self._codec.flush()
        if out:
            self._target.write(out)

    def close(self) -> None:
        """See `Target.close`."""
        self._target.write(self._codec.finish())
        self._target.close()

    def abandon(self) -> None:
        """See `Target.abandon`: the archive gets its end, so that any tool reads it."""
        try:
            self._target.write(self._codec.finish())
        finally:
            self._target.abandon()


def failed(shown: str, error: OSError) -> OutputFailed:
    """`error` in the system's own words."""
    return OutputFailed(f"cannot write {shown!r}: {error.strerror or error}")


def replace(partial: Path, path: Path) -> None:
    """Make the finished file `partial` be `path`, with the mode of the file it replaces, for good."""
    with suppress(FileNotFoundError):
        partial.chmod(stat.S_IMODE(path.stat().st_mode))
    partial.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
