"""Tables on a slow disk behind a fast loop: what is written goes there in batches, what will be read comes ahead of it.

`Behind` is the thread that waits for the disk, `Overlay` what is known without it. Of the overlay's methods each says
which thread calls it; the two share dictionaries whose single operations are atomic.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

__all__ = ["UNKNOWN", "Behind", "Overlay", "Unknown"]

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

AHEAD = 6_000
"""Entries of a generation that were read ahead: of all rows that may be under way, and those before them."""


class Unknown:
    """The class of `UNKNOWN`."""


UNKNOWN = Unknown()
"""Only the disk knows."""


class Behind:
    """A thread that does blocking work in the order in which it is given. It is a daemon: a dead disk holds no exit."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._late: list[tuple[float, Callable[[], None]]] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T]) -> Future[T]:
        """What `work` comes to, or raises."""
        outcome: Future[T] = Future()
        outcome.set_running_or_notify_cancel()  # whoever gives up waiting does not keep it from being done

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001  it belongs to whoever waits
                outcome.set_exception(error)

        self._work.put(run)
        return outcome

    def later(self, work: Callable[[], None], seconds: float) -> None:
        """Do `work`, which must not raise, after `seconds`, or at the end if that comes first."""
        due = time.monotonic() + seconds
        self._work.put(lambda: self._late.append((due, work)))

    def close(self) -> None:
        """Return when all of it is done; the thread ends."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()
        for _, work in self._late:
            work()

    def _next(self) -> Callable[[], None] | None:
        """The next work, None at the end."""
        if not self._late:
            return self._work.get()
        due, late = self._late[0]
        try:
            if (wait := due - time.monotonic()) > 0:
                return self._work.get(timeout=wait)
        except Empty:
            pass
        del self._late[0]
        return late


class Overlay(Generic[Key, Value]):
    """Rows of a table by their keys: those not written yet, and those that were read ahead."""

    def __init__(self) -> None:
        self._fresh: dict[Key, Value] = {}
        self._writing: dict[Key, Value] = {}
        self._ahead: dict[Key, Value | None] = {}
        self._older: dict[Key, Value | None] = {}
        self._turn = threading.Lock()

    def __len__(self) -> int:
        """Rows not handed to the disk yet."""
        return len(self._fresh)

    # The loop's thread

    def get(self, key: Key) -> Value | Unknown | None:
        """The row, None where there is none, UNKNOWN where only the disk could say."""
        found = self._fresh.get(key)
        if found is None:
            found = self._writing.get(key)
        if found is not None:
            return found
        ahead = self._ahead.get(key, UNKNOWN)
        return self._older.get(key, UNKNOWN) if ahead is UNKNOWN else ahead

    def spend(self, key: Key) -> Value | Unknown | None:
        """The same, once: a row that was read ahead is let go."""
        found = self.get(key)
        if found is not None and found is not UNKNOWN:
            self._ahead.pop(key, None)
            self._older.pop(key, None)
        return found

    def put(self, key: Key, value: Value) -> None:
        """This is the row from now on."""
        with self._turn:
            self._fresh[key] = value

    def put_all(self, rows: Mapping[Key, Value]) -> None:
        """These are the rows from now on."""
        with self._turn:
            self._fresh.update(rows)

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those of which only the disk knows."""
        unknown = dict.fromkeys(keys)
        for rows in (self._fresh, self._writing, self._ahead, self._older):
            for key in rows.keys() & unknown.keys():
                del unknown[key]
        return list(unknown)

    # Either thread

    def take(self) -> dict[Key, Value]:
        """The rows to write now; `written` is to be called before the next ones are taken."""
        with self._turn:
            self._writing, self._fresh = self._fresh, {}
        return self._writing

    def give_back(self) -> None:
        """What was taken could not be written."""
        with self._turn:
            self._fresh, self._writing = {**self._writing, **self._fresh}, {}

    # The disk's thread

    def foresee(self, found: Mapping[Key, Value | None]) -> None:
        """What the disk says of rows that will be asked for soon."""
        if len(self._ahead) >= AHEAD:
            self._older, self._ahead = self._ahead, {}
        self._ahead.update(found)

    def written(self) -> None:
        """What was taken is on the disk; what had been read before it is no longer so."""
        for key in self._writing:
            self._ahead.pop(key, None)
            self._older.pop(key, None)
        self._writing = {}
