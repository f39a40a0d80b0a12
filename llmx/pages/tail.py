"""The lines that are added to a file while somebody writes it, and whether it is still the same file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Tail"]

AT_ONCE = 2**20
"""Bytes that are read at a time."""

LONGEST = 64 * 2**20
"""Bytes of a line that is waited for: a longer one is none of ours."""


class Tail:
    """Reads on where it stopped. A file that takes another name goes on; another file, or a shorter one, does not.

    Attributes:
        too_long: lines that were given up.
    """

    def __init__(self) -> None:
        self.too_long = 0
        self._file: tuple[int, int] | None = None
        self._at = 0
        self._begun = b""
        self._skipping = False

    def goes_on(self, path: Path | None) -> bool:
        """Whether what lies at a path now is the file that was read, or the first one there is."""
        if self._file is None:
            return True
        try:
            status = None if path is None else path.stat()
        except OSError:
            status = None
        return (
            status is not None and (status.st_dev, status.st_ino) == self._file and status.st_size >= self._at
        )

    def lines(self, path: Path | None, enough: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
        """The whole lines that have come since. A file that is not there has none.

        Args:
            enough: asked now and then whether the rest is for the next time.
        """
        if path is None:
            return
        try:
            file = path.open("rb", buffering=0)
        except OSError:  # it has just got its final name
            return
        with file:
            status = os.fstat(file.fileno())
            self._file = status.st_dev, status.st_ino
            file.seek(self._at)
            while not enough() and (data := file.read(AT_ONCE)):
                self._at += len(data)
                yield from self._split(data)

    def _split(self, data: bytes) -> Iterator[bytes]:
        first, *rest = data.split(b"\n")
        if not rest:
            self._wait_for(first)
            return
        if not self._skipping:
            yield self._begun + first
        self._begun, self._skipping = b"", False
        yield from rest[:-1]
        self._wait_for(rest[-1])

    def _wait_for(self, piece: bytes) -> None:
        if not self._skipping:
            self._begun += piece
        if len(self._begun) > LONGEST:
            self._begun, self._skipping = b"", True
            self.too_long += 1
