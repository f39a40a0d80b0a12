"""A blocking row reader as an async one: one thread reads ahead, a bounded number of rows.

Standard input may be a pipe whose writer is slow; reading it on the event loop would stop every call
in flight. Rows are handed over as soon as they are there, in the order in which they were read.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["Feed"]

Row = TypeVar("Row")

HEAVY = 4 * 2**20
"""Bytes of rows that are read, or taken, together: few large rows are as many as many small ones."""


class Feed(Generic[Row]):
    """Rows of `rows`, pulled by any number of tasks.

    Args:
        rows: iterated once, in a thread of its own.
        ahead: rows read before they are asked for, at least 1, and as long as they weigh no more than `HEAVY` together:
            what the feed costs in memory.
        weigh: about how many bytes a row takes.
    """

    def __init__(
        self, rows: Iterable[Row], *, ahead: int = 256, weigh: Callable[[Row], int] = lambda row: 0
    ) -> None:
        self._rows = rows
        self._weigh = weigh
        self._read_so_far = self._taken_so_far = 0  # of weight; each is one thread's to count
        self._ready: deque[tuple[Row, int]] = deque()  # with its weight
        self._ahead = ahead
        self._room = threading.Event()
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._waiting = False
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        # A daemon: a thread that is blocked in a read cannot be ended, and must not hold up the exit.
        threading.Thread(target=self._read, name="llmx-reader", daemon=True).start()

    async def next(self) -> Row | None:
        """The next row, None after the last. Raises what the reader raised, once."""
        while True:
            ended = self._ended  # looked at first: the last row is there before the end is
            if self._ready:
                row, weight = self._ready.popleft()
                self._taken_so_far += weight
                self._make_room()
                return row
            if ended:
                self._raise_once()
                return None
            self._arrived.clear()
            self._waiting = True
            if not self._ready and not self._ended:  # neither came between the look and the flag
                await self._arrived.wait()

    async def take(self, most: int) -> list[Row]:
        """The next rows, as many as are there already, at least one and at most `most`; none after the last.

        Fewer where they are heavy. Raises what the reader raised, once.
        """
        before = self._taken_so_far
        first = await self.next()
        if first is None:
            return []
        rows, ready = [first], self._ready
        while ready and len(rows) < most and self._taken_so_far - before < HEAVY:
            row, weight = ready.popleft()
            self._taken_so_far += weight
            rows.append(row)
        self._make_room()
        return rows

    def _make_room(self) -> None:
        """Rows have gone: the reader goes on, if it waits."""
        if not self._room.is_set():
            self._room.set()

    async def peek(self, count: int) -> list[Row]:
        """The next rows, which stay where they are: `count` of them, fewer only where there are no more.

        Args:
            count: at most `ahead`.
        """
        while len(self._ready) < count and not self._ended:
            self._arrived.clear()
            self._waiting = True
            if len(self._ready) < count and not self._ended:
                await self._arrived.wait()
        return [row for row, _ in islice(self._ready, count)]

    def _raise_once(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Read no further."""
        self._closed = True
        self._room.set()

    def _read(self) -> None:
        try:
            for row in self._rows:
                if self._is_full():
                    self._wait_for_room()
                if self._closed:
                    return
                weight = self._weigh(row)
                self._read_so_far += weight
                self._ready.append((row, weight))
                if self._waiting:
                    self._wake()
        except BaseException as error:  # noqa: BLE001  # carried to the consumer's thread
            self._error = error
        finally:
            self._ended = True
            self._wake()

    def _wait_for_room(self) -> None:
        while self._is_full() and not self._closed:
            self._room.clear()
            if self._is_full() and not self._closed:  # nothing has gone before the flag
                self._room.wait()

    def _is_full(self) -> bool:
        return len(self._ready) >= self._ahead or self._read_so_far - self._taken_so_far >= HEAVY

    def _wake(self) -> None:
        self._waiting = False
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            self._closed = True  # the loop is closed: nobody reads on
