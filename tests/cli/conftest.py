"""What the tests of the command line share: a place to run commands in, and a simulated provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from commands import Llmx, Mock, forking, mocked, surroundings
from rehearsal import some_rows, write_rows

from llmx.mock import MockSettings


@pytest.fixture(scope="session")
def zygote_socket() -> Iterator[str]:
    """The socket of a process that forks commands."""
    with forking() as path:
        yield path


@pytest.fixture
def llmx(tmp_path: Path, zygote_socket: str) -> Llmx:
    """Runs `llmx` in an empty folder, with nothing in its environment but a home."""
    work = tmp_path / "work"
    work.mkdir()
    return Llmx(zygote_socket, work, surroundings(tmp_path))


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
