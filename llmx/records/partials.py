"""`PATH.partial`, where an output's rows are until the output is complete: its name, and who may write it."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from llmx.errors import UsageError
from llmx.locks import holder, is_at, lock

__all__ = ["building_of", "final_of", "is_partial", "open_partial", "partial_of", "without_partial"]

_SUFFIX = ".partial"


def final_of(path: Path) -> Path:
    """The file that an output called `path` replaces: a link is followed, so that it goes on being one."""
    return path.resolve() if path.is_symlink() else path


def partial_of(path: Path) -> Path:
    """Where the rows of the output `path` are while a run writes them."""
    final = final_of(path)
    return final.with_name(final.name + _SUFFIX)


def building_of(path: Path) -> Path:
    """Where the output `path` is put together of its rows, if it is not its rows."""
    return partial_of(path).with_suffix(".building")


def is_partial(path: str | PurePath) -> bool:
    """Whether a name is that of an output that is not complete."""
    return PurePath(path).suffix.lower() == _SUFFIX


def without_partial(path: PurePath) -> PurePath:
    """The name that the output has, or would have got."""
    return path.with_suffix("") if is_partial(path) else path


def open_partial(path: Path, shown: str) -> int:
    """Open the file at `path` for writing, with its content as it is, and lock it for as long as it is open.

    Args:
        path: of the partial file.
        shown: the output's name for messages.

    Returns:
        The file descriptor. A process that dies lets go of its lock.

    Raises:
        UsageError: another run holds it.
        OSError: the system refuses to open it.
    """
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    while True:
        file = os.open(path, flags, 0o666)
        try:
            _lock(file, shown)
            if is_at(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # a run ended in between and renamed what we had opened: it is an output now


def _lock(file: int, shown: str) -> None:
    if lock(file):
        return
    pid = holder(file)
    who = "another run" if pid is None else f"another run (pid {pid})"
    raise UsageError(f"{who} is writing {shown!r}", hint="wait for it to end, or give -o another name")
