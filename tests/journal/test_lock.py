"""One run at a time: who holds a run is named, and a dead owner holds nothing."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmx.errors import UsageError
from llmx.journal import lock as module
from llmx.journal.lock import Lock, owner


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


HOLDING = """
import fcntl, os, signal, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.write(file, b"%d\\n" % os.getpid())
print(flush=True)
signal.pause()
"""


@contextmanager
def another_process(path: Path) -> Iterator[int]:
    """A process that has the lock until it is killed; its pid."""
    argv = [sys.executable, "-IS", "-c", HOLDING, str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def refused(path: Path) -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        Lock(path, "out.jsonl")
    return str(caught.value), caught.value.hint


HINT = "wait for it to end, or give -o another name"


def test_a_second_run_is_refused(path: Path):
    """With the pid of the first."""
    with another_process(path) as pid:
        assert refused(path) == (f"another run (pid {pid}) is writing 'out.jsonl'", HINT)


def test_a_second_run_of_the_same_process_is_refused(path: Path):
    """As of a program that uses the library in two threads."""
    first = Lock(path, "x")
    assert refused(path) == (f"another run (pid {os.getpid()}) is writing 'out.jsonl'", HINT)
    first.close()


def test_a_dead_owner_holds_nothing(path: Path):
    """Its file, and its pid in it, are still there."""
    with another_process(path) as pid:
        pass
    assert path.read_text() == f"{pid}\n"
    Lock(path, "x").close()


def test_a_lock_is_let_go_of(path: Path):
    """Whoever comes next has it."""
    Lock(path, "x").close()
    Lock(path, "x").close()


def test_the_file_names_its_owner(path: Path):
    """And nobody that had it before, however long that one's pid was."""
    path.write_text("123456789012\n")
    held = Lock(path, "x")
    assert path.read_text() == f"{os.getpid()}\n"
    held.close()


def test_the_file_is_private(path: Path):
    """Like all files of ours."""
    Lock(path, "x").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_run_that_was_removed_in_between(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A lock on a file that nobody else finds protects nothing: it is taken again."""
    calls = []

    def lock_and_lose(file: int) -> bool:
        calls.append(file)
        if len(calls) == 1:
            path.unlink()
        return True

    monkeypatch.setattr(module, "lock", lock_and_lose)
    held = Lock(path, "x")
    assert len(calls) == 2
    assert path.read_text() == f"{os.getpid()}\n"
    held.close()


def test_a_full_disk_does_not_forbid_it(path: Path, monkeypatch: pytest.MonkeyPatch):
    """The lock is the kernel's; only its owner is not named in the file."""

    def full(file: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    held = Lock(path, "x")
    assert path.read_text() == ""
    assert owner(path) in (os.getpid(), 0)
    held.close()


def test_a_link_is_not_followed(path: Path, tmp_path: Path):
    """What somebody has put in its place is not written to."""
    (tmp_path / "theirs").write_text("theirs")
    path.symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        Lock(path, "x")
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_refused_lock_leaves_nothing_open(path: Path):
    """Not even a descriptor."""
    first = Lock(path, "x")
    before = descriptors()
    refused(path)
    assert descriptors() == before
    first.close()


# Whose it is


def test_the_owner_of_what_is_not_there(path: Path):
    """Nobody; and asking makes no file."""
    assert owner(path) is None
    assert not path.exists()


def test_the_owner_of_what_nobody_holds(path: Path):
    """Nobody, whoever had it; and asking does not take it."""
    Lock(path, "x").close()
    assert owner(path) is None
    Lock(path, "x").close()


def test_the_owner_of_a_lock(path: Path):
    """Its pid."""
    with another_process(path) as pid:
        assert owner(path) == pid


@pytest.mark.parametrize("content", ["", "somebody\n", "-5"])
def test_an_owner_that_is_not_named(path: Path, monkeypatch: pytest.MonkeyPatch, content: str):
    """0 where the kernel does not tell either, and the message leaves the pid out."""
    monkeypatch.setattr(module, "holder", lambda file: None)
    held = Lock(path, "x")
    path.write_text(content)
    assert owner(path) == 0
    assert refused(path) == ("another run is writing 'out.jsonl'", HINT)
    held.close()
