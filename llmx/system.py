"""The few system calls on which it depends that nothing is lost, in one place.

Whatever must survive a crash is written, flushed and renamed through `System`. That makes it a seam: a test
installs one that fails, writes half a line or kills the process at a named point.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["OURS", "System", "installed", "system"]

OURS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""Flags with which files of our own are opened: a link that somebody has put in their place is not followed."""


class System:
    """The system as it is. Every method raises OSError, and is named by what is done with it."""

    def write(self, file: int, data: bytes | memoryview) -> int:
        """Hand bytes to the kernel; returns how many it took."""
        return os.write(file, data)

    def truncate(self, file: int, size: int) -> None:
        """Cut a file to `size` bytes."""
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        """Return when the file's content is on the disk."""
        # What fdatasync leaves out, times, no reader of ours looks at.
        getattr(os, "fdatasync", os.fsync)(file)

    def replace(self, source: Path, target: Path) -> None:
        """Give a file another's name, in one step."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in a folder are on the disk."""
        if os.name != "posix":  # elsewhere a folder cannot be opened
            return
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def reached(self, point: str) -> None:
        """A point that has no call of its own, such as "before send", has been reached."""


_current = System()


def system() -> System:
    """The system that is installed."""
    return _current


@contextmanager
def installed(other: System) -> Iterator[None]:
    """Another system in its stead, for as long as the context lasts."""
    global _current  # one process has one system
    previous, _current = _current, other
    try:
        yield
    finally:
        _current = previous
