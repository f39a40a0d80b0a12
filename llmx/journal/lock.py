"""Who may write a run: one process at a time. The lock is the kernel's, so a dead owner never holds it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from llmx.errors import UsageError
from llmx.locks import holder, is_at, lock
from llmx.system import OURS

__all__ = ["Lock", "owner"]


TRIES, PAUSE = 5, 0.01
"""How often a lock that is held is tried, and the seconds in between."""


class Lock:
    """The lock of one run, held until it is closed or the process ends.

    Args:
        path: of the lock file, which names its owner's pid; it stays when the lock is gone.
        shown: what is locked, for messages.

    Raises:
        UsageError: another process holds it.
        OSError: the system refuses to open it.
    """

    def __init__(self, path: Path, shown: str) -> None:
        while True:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | OURS, 0o600)
            try:
                if not _taken(self._file):
                    raise _refused(shown, _pid(self._file))
                if is_at(self._file, path):
                    break
            except BaseException:
                os.close(self._file)
                raise
            os.close(self._file)  # the run was removed in between
        with suppress(OSError):  # a full disk: the lock holds, only its owner is not named
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def _taken(file: int) -> bool:
    """Take the lock; somebody who only looks whether it is held, as `owner` does, holds it for an instant."""
    for _ in range(TRIES - 1):
        if lock(file):
            return True
        time.sleep(PAUSE)
    return lock(file)


def owner(path: Path) -> int | None:
    """The pid of the process that holds a lock: 0 when it is not known, None when nobody does."""
    try:
        file = os.open(path, os.O_RDWR | OURS)
    except OSError:
        return None
    try:
        return None if lock(file) else _pid(file)
    finally:
        os.close(file)


def _pid(file: int) -> int:
    """What the lock's owner has written, or else what the kernel says; 0 when neither tells."""
    text = os.pread(file, 20, 0).strip()
    return int(text) if text.isdigit() else holder(file) or 0


def _refused(shown: str, pid: int) -> UsageError:
    who = f" (pid {pid})" if pid else ""
    hint = "wait for it to end, or give -o another name"
    return UsageError(f"another run{who} is writing {shown!r}", hint=hint)
