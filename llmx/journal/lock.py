"""Who may write a run: one process at a time. The lock is the kernel's, so a dead owner never holds it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from llmx.errors import UsageError

__all__ = ["Lock", "owner"]


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
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                if not _locked(self._file):
                    raise _refused(shown, _pid(self._file))
                if _is_at(self._file, path):
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


def owner(path: Path) -> int | None:
    """The pid of the process that holds a lock: 0 when it is not known, None when nobody does."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _locked(file) else _pid(file)
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    """Take the lock; whether it could be had."""
    if os.name != "posix":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # some network file systems have no locks; they must not be a reason not to write
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _pid(file: int) -> int:
    text = os.pread(file, 20, 0).strip()
    return int(text) if text.isdigit() else 0


def _refused(shown: str, pid: int) -> UsageError:
    who = f" (pid {pid})" if pid else ""
    hint = "wait for it to end, or give -o another name"
    return UsageError(f"another run{who} is writing {shown!r}", hint=hint)
