"""Processes that are forked before a run begins: nothing is imported, read or checked a second time."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

__all__ = ["Process", "ended", "forked", "killed"]

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a terminal sends to all processes of a command: it is for the owner to stop the run."""


PR_SET_PDEATHSIG = 1
"""prctl(2), <linux/prctl.h>."""


class Process(Struct, frozen=True):
    """One process, and our end of the sockets between us."""

    pid: int
    socket: socket.socket


def forked(work: Callable[[int, socket.socket], None], count: int) -> list[Process]:
    """Processes which do `work(number, their end)` and end. To be called before there are threads, or a loop."""
    made: list[Process] = []
    for number in range(count):
        ours, theirs = socket.socketpair()
        _flush()
        if pid := os.fork():
            theirs.close()
            made.append(Process(pid, ours))
            continue
        for process in made:  # else nobody would see that the owner is gone
            process.socket.close()
        ours.close()
        _be(work, number, theirs)
    return made


def _be(work: Callable[[int, socket.socket], None], number: int, sock: socket.socket) -> None:
    """Do the work and end, whatever happens, without what the owner does at its exit."""
    code = 1
    try:
        for ignored in IGNORED:
            signal.signal(ignored, signal.SIG_IGN)
        _end_with_the_owner()
        work(number, sock)
        code = 0
    except BaseException:  # noqa: BLE001  a bug of ours: nothing else will tell it
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _end_with_the_owner() -> None:
    """An owner that is killed takes its workers with it, at once: they would go on asking until they notice.

    Elsewhere than on Linux they notice.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _flush() -> None:
    """Nothing that was said may be said again by a fork."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(
            Exception
        ):  # there may be none, or nobody who reads it: a fork must get to its end all the same
            stream.flush()


def ended(process: Process) -> bool:
    """Whether a process has ended; one that has may be asked about once."""
    return os.waitpid(process.pid, os.WNOHANG)[0] != 0


def killed(process: Process) -> None:
    """End a process that does not end by itself."""
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
