"""The system calls that must not fail in silence, and the seam that lets a test make them fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmx.system import OURS, System, installed, system


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """A descriptor of an empty file `f`."""
    opened = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def test_it_is_the_systems_own():
    """Unless somebody installs another."""
    assert type(system()) is System


def test_another_is_installed_for_a_while():
    """And the one before it is back afterwards, whatever happens."""
    before, outer, inner = system(), System(), System()
    seen = []

    def fail() -> None:
        with installed(inner):
            seen.append(system())
            raise KeyError

    with installed(outer):
        with pytest.raises(KeyError):
            fail()
        seen.append(system())
    assert (seen, system()) == ([inner, outer], before)


def test_write_truncate_and_sync(file: int, tmp_path: Path):
    """What they say on the tin; a write tells how much was taken."""
    assert system().write(file, b"abcdef") == 6
    assert system().write(file, memoryview(b"gh")) == 2
    system().truncate(file, 3)
    system().sync(file)
    assert (tmp_path / "f").read_bytes() == b"abc"


def test_replace_is_one_step(tmp_path: Path):
    """The target is the source now, and the source is gone."""
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    system().replace(tmp_path / "a", tmp_path / "b")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("b", "new")]


def test_sync_folder(tmp_path: Path):
    """It opens nothing that it does not close."""
    before = descriptors()
    system().sync_folder(tmp_path)
    assert descriptors() == before


def test_errors_are_not_swallowed(tmp_path: Path):
    """Each is the caller's to tell."""
    with pytest.raises(FileNotFoundError):
        system().sync_folder(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        system().replace(tmp_path / "none", tmp_path / "b")
    readable = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        system().write(readable, b"x")
    os.close(readable)


def test_a_point_that_is_reached_does_nothing():
    """It is there for those who install something else."""
    assert system().reached("before send") is None  # type: ignore[func-returns-value]  # that is the point


def test_our_files_are_not_reached_through_links(tmp_path: Path):
    """Nor handed on to programs that are started."""
    (tmp_path / "link").symlink_to(tmp_path / "f")
    with pytest.raises(OSError, match="symbolic links"):
        os.open(tmp_path / "link", os.O_RDWR | os.O_CREAT | OURS)
    assert OURS & os.O_CLOEXEC
