"""Locks of open files: the kernel's, one holder at a time, and the holder can be named."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmx import locks
from llmx.locks import holder, is_at, lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f"


@pytest.fixture
def files(path: Path) -> Iterator[tuple[int, int]]:
    """The same file, opened twice."""
    opened = (os.open(path, os.O_RDWR | os.O_CREAT), os.open(path, os.O_RDWR))
    yield opened
    for file in opened:
        os.close(file)


def test_one_holds_it(files: tuple[int, int]):
    """The other does not get it, and does not wait for it."""
    assert lock(files[0]) is True
    assert lock(files[1]) is False


def test_it_is_free_again_when_the_file_is_closed(path: Path):
    """Nobody has to unlock anything."""
    first = os.open(path, os.O_RDWR | os.O_CREAT)
    assert lock(first)
    os.close(first)
    second = os.open(path, os.O_RDWR)
    assert lock(second)
    os.close(second)


def test_a_holder_may_take_it_again(files: tuple[int, int]):
    """It is its own already."""
    assert (lock(files[0]), lock(files[0])) == (True, True)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EIO])
def test_a_file_system_without_locks(files: tuple[int, int], monkeypatch: pytest.MonkeyPatch, number: int):
    """It must not be a reason not to write."""

    def without(file: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", without)
    assert lock(files[0]) is True


def test_is_at(files: tuple[int, int], path: Path):
    """A name leads to an open file until it is another's, or nobody's."""
    assert is_at(files[0], path) is True
    path.rename(path.with_name("g"))
    assert is_at(files[0], path) is False
    path.write_text("another")
    assert is_at(files[0], path) is False
    assert is_at(files[0], path.with_name("g")) is True


def test_nobody_holds_what_is_not_locked(files: tuple[int, int]):
    """There is no pid to be named."""
    assert holder(files[0]) is None


def table(file: int, path: Path, kind: str = "FLOCK", pid: int = 4711) -> Path:
    """A table of locks in which there are others, too."""
    status = os.fstat(file)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    listed = path.with_name("locks")
    listed.write_text(
        "1: POSIX  ADVISORY  WRITE 11 00:19:5 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE 12 {device}:{status.st_ino}1 0 EOF\n"
        f"3: {kind}  ADVISORY  WRITE {pid} {device}:{status.st_ino} 0 EOF\n"
        f"3: -> FLOCK  ADVISORY  WRITE 13 {device}:{status.st_ino} 0 EOF\n"
    )
    return listed


def test_the_holder_is_the_one_of_this_very_file(
    files: tuple[int, int], path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not that of another, and nobody who waits for it."""
    monkeypatch.setattr(locks, "_TABLE", table(files[0], path))
    assert holder(files[1]) == 4711


@pytest.mark.parametrize(("kind", "pid"), [("POSIX", 4711), ("FLOCK", 0), ("FLOCK", -1)])
def test_a_holder_that_cannot_be_told(
    files: tuple[int, int], path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, pid: int
):
    """Another kind of lock is none of ours; a process of another container has no pid here."""
    monkeypatch.setattr(locks, "_TABLE", table(files[0], path, kind, pid))
    assert holder(files[0]) is None


def test_a_system_without_a_table(files: tuple[int, int], path: Path, monkeypatch: pytest.MonkeyPatch):
    """It does not tell."""
    monkeypatch.setattr(locks, "_TABLE", path.with_name("none"))
    assert lock(files[0])
    assert holder(files[0]) is None


def test_a_system_without_flock(files: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    """Where there is no flock everybody has it."""
    monkeypatch.setattr(os, "name", "nt")
    assert (lock(files[0]), lock(files[1])) == (True, True)
