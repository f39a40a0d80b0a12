"""A process that has imported what `llmx` imports, and forks a child for every command it is asked to run.

Starting Python and three SDKs costs seconds, forking costs milliseconds; apart from that the child is a process
like any other: its own descriptors, signals, exit code. Run as a program: `zygote.py SOCKET`.
"""

from __future__ import annotations

import array
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import termios
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "llmx.cli.app",
    "llmx.cli.running",
    "openai",
    "anthropic",
    "instructor",
    "rich.live",
    "rich.progress",
    "genai_prices.data",
    "instructor.v2.providers.anthropic.handlers",
    "instructor.v2.providers.openai.handlers",
    "llmx.config",
    "llmx.providers.anthropic",
    "llmx.providers.openai",
)


def serve(path: str) -> None:
    for name in PRELOADED:
        __import__(name)
    # Another checkout's package, installed where this runs, would be tested in silence.
    assert Path(sys.modules["llmx"].__file__ or "").parents[1] == Path(__file__).parents[1], (
        "another llmx is installed"
    )
    gc.freeze()  # a child that collected what it shares with us would copy all of it
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _attend(connection)
        connection.close()


def _attend(connection: socket.socket) -> NoReturn:
    """Fork the command, say its pid, wait for it, say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, fds, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    wanted = json.loads(text)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(wanted, fds)
    for fd in fds:
        os.close(fd)
    connection.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(wanted: dict[str, Any], fds: array.array[int]) -> NoReturn:
    """Be `llmx` with these arguments, streams, variables and folder."""
    os.setsid()
    if wanted["terminal"]:
        fcntl.ioctl(fds[0], termios.TIOCSCTTY, 0)
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
    for fd in fds:
        if fd > 2:
            os.close(fd)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = ["llmx", *wanted["argv"]]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # this process's streams, until it ends
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    from llmx.__main__ import entry

    with _fault(wanted["fault"]):
        entry()
    raise SystemExit


def _fault(wanted: list[dict[str, Any]]) -> AbstractContextManager[None]:
    """The faults of `faults/systems.py` that the command is to meet."""
    if not wanted:
        return nullcontext()
    from faults.systems import faulty

    from llmx.system import installed

    return installed(faulty(wanted))


if __name__ == "__main__":
    serve(sys.argv[1])
