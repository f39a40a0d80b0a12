"""Commands as a user runs them: processes in a pipe or in a terminal, and a simulated provider beside them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import zygote
from pexpect.fdpexpect import fdspawn

from llmx.mock import MockSettings
from llmx.mock.server import Server, serve

PATIENCE = 60.0
"""Seconds after which a command hangs, on a machine that does much else."""

Faults = Sequence[Mapping[str, Any]]
"""What befalls a command, as `faults/systems.py` has it."""


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when something in another process is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Running:
    """A command that has been started; its exit code is negative for a signal that killed it."""

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers = answers
        self.pid = int(answers.readline())

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code."""
        with self._answers:
            return int(self._answers.readline())


class Screen:
    """A pseudo-terminal, and the command that has it."""

    def __init__(self, running: Running, master: int) -> None:
        self._running = running
        self._spawned = fdspawn(master, timeout=PATIENCE, encoding="utf-8", codec_errors="replace")
        self.text = ""

    def expect(self, text: str) -> None:
        """Read on until `text` has been shown."""
        self._spawned.expect_exact(text)
        self.text += str(self._spawned.before) + str(self._spawned.after)

    def type(self, text: str) -> None:
        """Type on the keyboard; "\\x03" is Ctrl-C."""
        self._spawned.send(text)

    def wait(self) -> int:
        """Read to the end; its exit code."""
        with suppress(OSError):  # Linux says EIO when the other side is gone
            self.text += str(self._spawned.read())
        self._spawned.close()
        return self._running.wait()


@dataclass
class Llmx:
    """Runs commands in one folder.

    Args:
        zygote: the socket of `zygote.py`.
        cwd: the commands' folder.
        env: all of their variables.
    """

    zygote: str
    cwd: Path
    env: dict[str, str]

    def __call__(
        self,
        *argv: str,
        stdin: bytes | None = None,
        cwd: Path | None = None,
        fault: Faults = (),
        **variables: str,
    ) -> Finished:
        """Run a command to its end, its streams in pipes; `stdin=None` is an empty one."""
        out, err = self.cwd.parent / "stdout", self.cwd.parent / "stderr"
        given = self.cwd.parent / "stdin"
        given.write_bytes(stdin or b"")
        with given.open("rb") as source, out.open("wb") as rows, err.open("wb") as talk:
            fds = (source.fileno(), rows.fileno(), talk.fileno())
            code = self.start(argv, fds, cwd=cwd, variables=variables, fault=fault).wait()
        return Finished(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    def start(
        self,
        argv: tuple[str, ...],
        fds: tuple[int, int, int],
        *,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
        terminal: bool = False,
        fault: Faults = (),
    ) -> Running:
        """Start a command with these descriptors as its standard streams; `fault` is what befalls it."""
        wanted = {
            "argv": argv,
            "cwd": str(cwd or self.cwd),
            "env": {**self.env, **(variables or {})},
            "terminal": terminal,
            "fault": list(fault),
        }
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.zygote)
            socket.send_fds(connection, [json.dumps(wanted).encode()], list(fds))
            return Running(connection.makefile("rb"))

    def piped(self, *argv: str, fault: Faults = (), **variables: str) -> tuple[Running, Path, Path]:
        """Start a command whose output goes to files; the files."""
        out, err = self.cwd.parent / "stdout", self.cwd.parent / "stderr"
        with Path(os.devnull).open("rb") as source, out.open("wb") as rows, err.open("wb") as talk:
            fds = (source.fileno(), rows.fileno(), talk.fileno())
            return self.start(argv, fds, variables=variables, fault=fault), out, err

    def on_screen(self, *argv: str, stdout: int | None = None, **variables: str) -> Screen:
        """Start a command in a terminal of 100 columns; `stdout` may be redirected."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        fds = (slave, slave if stdout is None else stdout, slave)
        running = self.start(argv, fds, variables={"TERM": "xterm", **variables}, terminal=True)
        os.close(slave)
        return Screen(running, master)


@contextmanager
def forking() -> Iterator[str]:
    """The socket of a process that forks commands. In a short path: sockets' names may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="llmx") as folder:
        path = str(Path(folder, "s"))
        program = subprocess.Popen([sys.executable, zygote.__file__, path], env=surroundings(Path(folder)))
        try:
            deadline = time.monotonic() + PATIENCE
            while not Path(path).exists():
                assert program.poll() is None, "the zygote ended"
                assert time.monotonic() < deadline, "the zygote does not start"
                time.sleep(0.02)
            yield path
        finally:
            program.kill()
            program.wait()


def surroundings(folder: Path) -> dict[str, str]:
    """All variables of a command that is nobody's own."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(folder / "user"),
        "LANG": "C.UTF-8",
        "LLMX_HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }


@dataclass
class Mock:
    """A simulated provider in a thread of this process.

    Args:
        url: without the /v1 of OpenAI's.
    """

    url: str
    server: Server
    options: tuple[str, ...] = field(default=())

    @property
    def calls(self) -> int:
        """How many there were."""
        return int(self.server.stats()["calls"])

    @property
    def openai(self) -> tuple[str, ...]:
        """The options that name it."""
        return ("-m", "openai/mock", "--base-url", f"{self.url}/v1")


@contextmanager
def mocked(settings: MockSettings | None = None, *, port: int = 0) -> Iterator[Mock]:
    """A simulated provider for as long as the context lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="mock")
    thread.start()

    def do(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)

    try:
        server = do(serve(settings, port=port))
        try:
            yield Mock(server.url, server)
        finally:
            do(server.aclose())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
