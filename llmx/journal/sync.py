"""Group commit: what has been written gets to the disk soon, in groups, and never on the event loop.

A line that was written is the kernel's, so a killed process loses none; only a machine that loses power can
lose lines, at most those of the last group.
"""

from __future__ import annotations

import threading

from llmx.system import system

__all__ = ["GROUP", "GroupSync"]

GROUP = 64
"""Lines after which the disk is asked at once."""

DELAY = 0.05
"""Seconds after which it is asked for fewer."""


class GroupSync:
    """Flushes one file from a thread of its own.

    Args:
        file: its descriptor, which stays the caller's.

    Attributes:
        error: what the system said when it could not flush; None as long as it can.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._unsynced = 0
        self._dirty = threading.Event()
        self._full = threading.Event()
        self._closed = False
        self.error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="llmx-sync", daemon=True)
        self._thread.start()

    def written(self, lines: int = 1) -> None:
        """Lines have been written."""
        self._unsynced += lines  # a count that the other thread resets in between only makes a group larger
        if not self._dirty.is_set():
            self._dirty.set()
        if self._unsynced >= GROUP and not self._full.is_set():
            self._full.set()

    def close(self) -> None:
        """Flush what is left; the thread ends."""
        self._closed = True
        self._full.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._dirty.wait()
            self._full.wait(DELAY)
            self._dirty.clear()
            self._full.clear()
            closed = self._closed  # looked at last: what `close` sets after it wakes the thread once more
            self._unsynced = 0
            self._flush()
            if closed:
                return

    def _flush(self) -> None:
        try:
            system().sync(self._file)
        except OSError as error:
            self.error = self.error or error
