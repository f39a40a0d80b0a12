"""Systems that send a signal at a named point: what stands in for the product's own in a forked child.

A point is a place between two system calls, or in the midst of one: "journal half written". Which file a call is
about is told from its name, that of a descriptor from `/proc`, so these need Linux.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

from llmx import checkpoints
from llmx.system import System

__all__ = ["ANY", "Failing", "Fault", "Flushless", "Signalling", "faulty", "kind_of"]

ANY = "any point"
"""Counts all points together."""

_END = b'"t":"end"'
_WRITTEN = b'"t":"written"'


@dataclass(frozen=True, slots=True)
class Fault:
    """A signal to oneself.

    Args:
        point: "before send", "after receive"; or of a KIND, which is journal, checkpoint (a line of the journal that is
            one), output, errors or manifest: "KIND half
            written", "KIND written", "KIND truncated", "KIND synced", "KIND renaming", "KIND renamed"; or "journal
            end synced", "folder synced", ANY.
        at: the how-manieth time it is reached, from 1.
        signal: its number; SIGKILL is `kill -9`.
    """

    point: str
    at: int = 1
    signal: int = SIGKILL

    def wanted(self) -> dict[str, Any]:
        """As JSON types, for `faulty`."""
        return asdict(self)


def faulty(wanted: Sequence[Mapping[str, Any]]) -> System:
    """The system with these faults; a bound on the size of files, the loss of root's powers, and how often it is noted
    how far the output has come, are this process's."""
    for fault in wanted:
        if "file_size" in fault:
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault["file_size"], resource.RLIM_INFINITY))
        if "powerless" in fault:
            _drop_powers()
        if "checkpoints_every" in fault:
            checkpoints.EVERY = fault["checkpoints_every"]
    return Signalling([Fault(**fault) for fault in wanted if "point" in fault])


def _drop_powers() -> None:
    """Make modes count for root as for anybody: no capabilities, of version 3 of Linux's header (capset(2))."""
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
    if ctypes.CDLL(None, use_errno=True).capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def kind_of(path: str | Path) -> str:
    """Which of a run's files a path is: journal, output, errors, manifest or other."""
    name = Path(path).name
    if name.startswith("journal."):
        return "journal"
    if name.startswith("manifest."):
        return "manifest"
    if not name.endswith((".partial", ".building")):
        return "other"
    return "errors" if "errors." in name else "output"


def _kind(file: int) -> str:
    return kind_of(Path(f"/proc/self/fd/{file}").readlink())


class Signalling(System):
    """Sends this process a signal where one of `faults` is due, and counts how often each point was reached."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self._ended = False

    def reached(self, point: str) -> None:
        for signal in self._due(point):
            self.send(signal)

    def send(self, signal: int) -> None:
        """Send it; SIGKILL does not return."""
        os.kill(os.getpid(), signal)

    def _due(self, point: str) -> list[int]:
        """The signals of a point that is reached once more."""
        self.counts.update((point, ANY))
        return [
            fault.signal
            for fault in self.faults
            if self.counts[fault.point] == fault.at and fault.point in (point, ANY)
        ]

    def write(self, file: int, data: bytes | memoryview) -> int:
        kind = "checkpoint" if _WRITTEN in bytes(data) else _kind(file)
        if signals := self._due(f"{kind} half written"):
            written = super().write(file, data[: len(data) // 2])
            for signal in signals:
                self.send(signal)
            return written
        self._ended = self._ended or (kind == "journal" and _END in bytes(data))
        written = super().write(file, data)
        self.reached(f"{kind} written")
        return written

    def truncate(self, file: int, size: int) -> None:
        super().truncate(file, size)
        self.reached(f"{_kind(file)} truncated")

    def sync(self, file: int) -> None:
        kind, ended = _kind(file), self._ended
        super().sync(file)
        self.reached(f"{kind} synced")
        if ended and kind == "journal":
            self.reached("journal end synced")

    def replace(self, source: Path, target: Path) -> None:
        kind = kind_of(source)
        self.reached(f"{kind} renaming")
        super().replace(source, target)
        self.reached(f"{kind} renamed")

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self.reached("folder synced")


class Flushless(System):
    """Leaves the disk alone: for what would be flushed thousands of times, and whose power does not fail."""

    def sync(self, file: int) -> None:
        """At once."""

    def sync_folder(self, folder: Path) -> None:
        """At once."""


class Failing(Flushless):
    """Refuses a call with an error of the operating system; how often each was made is counted.

    Args:
        method: "write", "truncate", "sync", "replace" or "sync_folder".
        at: the how-manieth call of it fails, from 1.
        number: the error's, such as ENOSPC.
        lasting: whether all calls of it after that fail too.
        half: whether the call before it writes only half; so a line is torn.
        stuck: whether nothing can be cut from then on, so that a torn line stays.

    Attributes:
        sent, received: calls to the model that were begun, and answers that came.
        sent_before: of those, the ones before the failure; None when nothing has failed.
    """

    def __init__(
        self,
        method: str,
        at: int,
        number: int,
        *,
        lasting: bool = False,
        half: bool = False,
        stuck: bool = False,
    ) -> None:
        self._method = method
        self._at = at + half
        self._number = number
        self._lasting = lasting
        self._half = half
        self._stuck = stuck
        self._calls = 0
        self.sent = self.received = 0
        self.sent_before: int | None = None

    def _check(self, method: str) -> None:
        if method == "truncate" and self._stuck and self.sent_before is not None:
            raise OSError(self._number, os.strerror(self._number))
        if method != self._method:
            return
        self._calls += 1
        if self._calls == self._at or (self._lasting and self._calls > self._at):
            self.sent_before = self.sent if self.sent_before is None else self.sent_before
            raise OSError(self._number, os.strerror(self._number))

    def write(self, file: int, data: bytes | memoryview) -> int:
        self._check("write")
        halved = self._half and self._calls == self._at - 1
        return super().write(file, data[: len(data) // 2] if halved else data)

    def truncate(self, file: int, size: int) -> None:
        self._check("truncate")
        super().truncate(file, size)

    def sync(self, file: int) -> None:
        self._check("sync")
        super().sync(file)

    def replace(self, source: Path, target: Path) -> None:
        self._check("replace")
        super().replace(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._check("sync_folder")
        super().sync_folder(folder)

    def reached(self, point: str) -> None:
        self.sent += point == "before send"
        self.received += point == "after receive"
