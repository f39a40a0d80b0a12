"""Advisory locks on open files: whole-file, exclusive, and the kernel's, so that a dead owner never holds one."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["holder", "is_at", "lock"]

_TABLE = Path("/proc/locks")


def lock(file: int) -> bool:
    """Take the lock of an open file; False when another process holds it.

    Where the file system has no locks it counts as taken: that must not be a reason not to write.
    """
    if os.name != "posix":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_at(file: int, path: Path) -> bool:
    """Whether `path` still names an open file: it may have been renamed, or removed, while we waited."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def holder(file: int) -> int | None:
    """The pid of the process that holds the lock of an open file; None where the system does not tell.

    Source: proc_locks(5): number, kind, "ADVISORY", access, pid, device and inode.
    """
    status = os.fstat(file)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = [line.split() for line in _TABLE.read_text().splitlines()]
    except OSError:
        return None
    found = [int(line[4]) for line in lines if line[1] == "FLOCK" and line[5] == place]
    return next((pid for pid in found if pid > 0), None)
