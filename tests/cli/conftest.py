"""What the tests of the command line share: a place to run commands in, and a simulated provider."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import zygote
from commands import PATIENCE, Llmx, Mock, mocked
from rehearsal import some_rows, write_rows

from llmx.mock import MockSettings


@pytest.fixture(scope="session")
def zygote_socket() -> Iterator[str]:
    """The socket of a process that forks commands. In a short path: sockets' names may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="llmx") as folder:
        path = str(Path(folder, "s"))
        program = subprocess.Popen([sys.executable, zygote.__file__, path], env=_surroundings(Path(folder)))
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


@pytest.fixture
def llmx(tmp_path: Path, zygote_socket: str) -> Llmx:
    """Runs `llmx` in an empty folder, with nothing in its environment but a home."""
    work = tmp_path / "work"
    work.mkdir()
    return Llmx(zygote_socket, work, _surroundings(tmp_path))


@pytest.fixture
def provider() -> Iterator[Callable[[MockSettings], Mock]]:
    """Starts a simulated provider with the given behaviour."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(mocked(settings))


@pytest.fixture
def mock() -> Iterator[Mock]:
    """A simulated provider that answers at once and never fails."""
    with mocked() as running:
        yield running


@pytest.fixture
def rows(llmx: Llmx) -> Path:
    """`rows.jsonl` with ten rows, in the folder of the commands."""
    return write_rows(llmx.cwd / "rows.jsonl", some_rows(10))


def _surroundings(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(folder / "user"),
        "LANG": "C.UTF-8",
        "LLMX_HOME": str(folder / "home"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
