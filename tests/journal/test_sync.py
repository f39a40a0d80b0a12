"""Group commit: lines get to the disk soon, many at a time, from a thread of its own."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator

import pytest

from llmx.journal import sync as module
from llmx.journal.sync import GROUP, GroupSync
from llmx.system import System, installed

PATIENCE = 60.0
NEVER = 3_600.0
"""A delay that no test waits for."""

FILE = 4_711
"""A descriptor that is only handed on."""


class Disk(System):
    """Notes which files are flushed, and where; fails when it is told to."""

    def __init__(self) -> None:
        self.synced: list[int] = []
        self.threads: set[str] = set()
        self.errors: list[OSError] = []
        self.flushed = threading.Event()

    def sync(self, file: int) -> None:
        self.synced.append(file)
        self.threads.add(threading.current_thread().name)
        self.flushed.set()
        if self.errors:
            raise self.errors.pop(0)

    def comes(self) -> bool:
        """Whether something is flushed, now or soon."""
        came = self.flushed.wait(PATIENCE)
        self.flushed.clear()
        return came


@pytest.fixture
def disk() -> Iterator[Disk]:
    fake = Disk()
    with installed(fake):
        yield fake


def test_a_line_is_flushed_soon(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    """One alone has its delay to wait, and then nobody waits for others."""
    monkeypatch.setattr(module, "DELAY", 0.001)
    group = GroupSync(FILE)
    group.written()
    assert disk.comes()
    group.close()


def test_a_group_is_flushed_at_once(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    """Without its delay, once for all of it."""
    monkeypatch.setattr(module, "DELAY", NEVER)
    group = GroupSync(FILE)
    for _ in range(GROUP):
        group.written()
    assert disk.comes()
    assert disk.synced == [FILE]
    group.close()


def test_less_than_a_group_waits(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    """As long as the delay; what is left is flushed at the end, at once."""
    monkeypatch.setattr(module, "DELAY", NEVER)
    group = GroupSync(FILE)
    for _ in range(GROUP - 1):
        group.written()
    assert disk.synced == []
    group.close()
    assert disk.synced == [FILE]


def test_a_second_group_is_flushed_too(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    """Counting begins anew behind every flush."""
    monkeypatch.setattr(module, "DELAY", NEVER)
    group = GroupSync(FILE)
    for _ in range(2):
        for _ in range(GROUP):
            group.written()
        assert disk.comes()
    group.close()


def test_the_disk_is_asked_by_a_thread_of_its_own(disk: Disk):
    """The event loop never waits for it."""
    group = GroupSync(FILE)
    group.written()
    group.close()
    assert disk.threads == {"llmx-sync"}


def test_the_thread_ends_with_it(disk: Disk):
    """Nothing is left behind."""
    GroupSync(FILE).close()
    assert "llmx-sync" not in {thread.name for thread in threading.enumerate()}


def test_an_error_is_kept(disk: Disk):
    """The first, whatever comes after it; the thread goes on."""
    first, second = OSError(errno.EIO, "first"), OSError(errno.ENOSPC, "second")
    disk.errors = [first, second]
    group = GroupSync(FILE)
    assert group.error is None
    for _ in range(2):
        group.written()
        assert disk.comes()
    group.close()
    assert group.error is first
