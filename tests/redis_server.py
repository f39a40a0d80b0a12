"""A Redis for tests: a process of its own on a free port of 127.0.0.1, which can be killed and started again on its files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

__all__ = ["RedisServer", "needs_redis", "redis_server", "running_redis"]

PROGRAM = "redis-server"
PATIENCE = 20.0

needs_redis = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed")


class RedisServer:
    """A redis-server that keeps a log.

    Args:
        folder: of its files.
        options: further ones of its command line; they win over those here.
        tls: it speaks TLS alone: cert.pem, key.pem and ca.pem are in its folder.
    """

    def __init__(self, folder: Path, *options: str, tls: bool = False) -> None:
        self.folder = folder
        self._tls = tls
        self.port = _free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and return when it answers."""
        usual = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
        mine = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "")
        command = [PROGRAM, *mine, *usual, *(self._secured() if self._tls else ()), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether it does, if only to say that it wants a password."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            if self._tls:
                return True
            connection.sendall(b"PING\r\n")
            return connection.recv(64)[:5] in (b"+PONG", b"-NOAU")
        return False

    def _secured(self) -> tuple[str, ...]:
        files = ("--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem")
        return ("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no", *files)

    def kill(self) -> None:
        """End it as a power switch ends a process: kill -9."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Have it answer nobody, with all connections open."""
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


@contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server for as long as the context lasts."""
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of the test's own, ended with it."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
