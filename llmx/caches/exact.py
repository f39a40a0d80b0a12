"""The exact cache: answers on disk by fingerprint, in diskcache, as text and nothing else.

diskcache unpickles what it finds (CVE-2025-69872), so whoever can write to the folder could run code in
ours. `TextDisk` stores and reads plain SQLite text only and refuses everything else, files included;
`inspection` looks at the rest of the database before diskcache does. While a run goes on the disk is behind it: answers
are written together, by a thread of its own, and read there before they are asked for.
Nothing is evicted by size: every entry was paid for. Only `ttl` ends one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from diskcache import Cache as DiskCache
from diskcache import Disk, Timeout
from diskcache.core import DBNAME, DEFAULT_SETTINGS, MODE_RAW
from msgspec import Struct

from llmx.behind import Behind, Overlay, Unknown
from llmx.caches import CachedAnswer
from llmx.caches.inspection import LOCK_SECONDS, check_database
from llmx.caches.table import PAGES, connect, read, write
from llmx.environment import private
from llmx.errors import OutputFailed

__all__ = ["CacheStats", "ExactCache", "TextDisk", "answer_of", "cache_folder", "text_of"]

DAMAGED = f"{DBNAME}.damaged"


def cache_folder(home: Path) -> Path:
    """Where the exact cache lives below llmx's own folder."""
    return home / "cache"


class TextDisk(Disk):  # type: ignore[misc]  # diskcache is untyped
    """A diskcache Disk for text keys and text values; anything else is refused, never decoded."""

    def put(self, key: Any) -> tuple[str, bool]:
        """The key as SQLite text."""
        if not isinstance(key, str):
            raise TypeError(f"cache keys are text, got {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        """The key as it was put; a pickled one raises ValueError."""
        if not raw or not isinstance(key, str):
            raise ValueError("a cache key that is not text")
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, str]:
        """The value inside the database whatever its size: no file names to follow later."""
        if read or not isinstance(value, str):
            raise TypeError(f"cache values are text, got {type(value).__name__}")
        return 0, MODE_RAW, None, value

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> str:
        """The value as it was stored; a pickle, a file or a blob raises ValueError."""
        if mode != MODE_RAW or filename is not None or not isinstance(value, str):
            raise ValueError("a cache value that is not text")
        return value

    def remove(self, file_path: str) -> None:
        """Nothing: we own no value files, so a file name found in the database is somebody else's."""


SETTINGS = {
    **DEFAULT_SETTINGS,
    "sqlite_cache_size": PAGES,
    "sqlite_mmap_size": 0,
    "eviction_policy": "none",
    "sqlite_trusted_schema": 0,
}
"""All of them: what is given wins over what the database says of itself. By the last one SQLite calls no function
with effects beyond the database on behalf of a schema (https://sqlite.org/pragma.html#pragma_trusted_schema)."""

DELAY = 0.05
"""Seconds in which answers gather that are written together."""

MOST_BEHIND = 4 * 2**20
"""Characters of answers that may wait for the disk: then it is waited for."""


class CacheStats(Struct, frozen=True):
    """What `llmx cache stats` shows: entries, and bytes on disk."""

    entries: int
    size: int


class ExactCache:
    """See the module.

    Args:
        folder: created with mode 0700.
        ttl: seconds an answer is kept, None for ever.
        warn: told once, when the cache fails and the run goes on without it.
    """

    def __init__(self, folder: Path, *, ttl: float | None, warn: Callable[[str], None]) -> None:
        self._ttl = ttl
        self._warn = warn
        self._broken = False
        self._error: Exception | None = None
        self._folder = folder
        self._cache, self._db = _open(folder, warn)
        self._behind = Behind("llmx-cache")
        self._answers: Overlay[str, str] = Overlay()
        self._waiting = 0
        self._scheduled = False

    def get(self, fingerprint: str) -> CachedAnswer | None:
        """See `Cache.get`."""
        try:
            text = self._text(fingerprint)
            return None if text is None else answer_of(text)
        except (ValueError, KeyError, TypeError):
            return None  # not written by us: as good as absent, and overwritten by the next answer

    def _text(self, fingerprint: str) -> str | None:
        if self._error is not None:
            self._check()
        if self._broken:
            return None
        found = self._answers.spend(fingerprint)
        if not isinstance(found, Unknown):
            return found
        try:
            return read(self._db, [fingerprint])[fingerprint]
        except sqlite3.Error as error:
            self._give_up(error)
            return None

    def expect(self, fingerprints: Sequence[str]) -> Future[None] | None:
        """See `Cache.expect`."""
        missing = self._answers.missing(fingerprints)
        return self._behind.do(partial(self._foresee, missing)) if missing and not self._broken else None

    def _foresee(self, fingerprints: list[str]) -> None:
        try:
            self._answers.foresee(read(self._db, fingerprints))
        except sqlite3.Error as error:
            self._error = error

    def put(self, fingerprint: str, answer: CachedAnswer) -> None:
        """See `Cache.put`. It is on the disk within moments, for other processes, too."""
        self._check()
        if self._broken:
            return
        try:
            text = text_of(answer)
        except TypeError:
            return  # a lone surrogate, which no file of ours can hold
        self._answers.put(fingerprint, text)
        self._waiting += len(text)
        if self._waiting > MOST_BEHIND:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._behind.later(self._write, DELAY)

    def _write(self) -> None:
        self._scheduled, self._waiting = False, 0  # what is put from here on is for the next time
        answers = self._answers.take()
        if not answers or self._error is not None:
            return
        try:
            write(self._db, answers, ttl=self._ttl)
        except sqlite3.Error as error:
            self._error = error
        self._answers.written()

    def flush(self) -> None:
        """Return when all answers are on the disk."""
        self._behind.do(self._write).result()
        self._check()

    def _check(self) -> None:
        """Hear of what has failed behind."""
        if self._error is not None and not self._broken:
            self._give_up(self._error)

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        self._warn(f"the cache in {self._folder} failed and is not used from here on: {error}")

    def stats(self) -> CacheStats:
        """Entries and bytes. Raises OutputFailed."""
        with _telling(self._folder):
            entries = max(0, int(self._cache.reset("count")))  # a counter, which anybody may have set
            return CacheStats(entries=entries, size=self._cache.volume())

    def clear(self) -> int:
        """Forget everything; returns the number of entries removed. Raises OutputFailed."""
        with _telling(self._folder):
            return int(self._cache.clear())

    def close(self) -> None:
        """See `Cache.close`."""
        self.flush()
        self._behind.close()
        self._db.close()
        self._cache.close()


def text_of(answer: CachedAnswer) -> str:
    """An answer as it is stored. Raises TypeError: it holds a lone surrogate."""
    fields: dict[str, Any] = {"text": answer.text, "model": answer.model}
    if answer.confidence is not None:
        fields["confidence"] = list(answer.confidence.items())
    return orjson.dumps(fields).decode()


def answer_of(text: str) -> CachedAnswer:
    """What a value of ours holds. Raises ValueError, KeyError or TypeError: it is none."""
    fields = orjson.loads(text)
    answer = CachedAnswer(fields["text"], fields["model"])
    if not (isinstance(answer.text, str) and isinstance(answer.model, str)):
        raise TypeError("a cached answer that is not text")
    if (sure := fields.get("confidence")) is None:
        return answer
    return CachedAnswer(answer.text, answer.model, {tuple(path): float(share) for path, share in sure})


def _open(folder: Path, warn: Callable[[str], None]) -> tuple[Any, sqlite3.Connection]:
    with _telling(folder):
        try:
            return _connect(folder)
        except sqlite3.OperationalError:
            raise  # locked, read-only, no room: the file itself may be well
        except (sqlite3.Error, ValueError, TypeError) as error:
            warn(f"the cache in {folder} is damaged; it is kept as {DAMAGED} and a new one begun: {error}")
        _set_aside(folder)
        return _connect(folder)


def _connect(folder: Path) -> tuple[Any, sqlite3.Connection]:
    with private():  # for the folders above, too, where we make them
        folder.mkdir(parents=True, exist_ok=True)
        check_database(folder / DBNAME)
        cache = _Cache(str(folder), disk=TextDisk, timeout=LOCK_SECONDS, **SETTINGS)
        try:
            return cache, connect(folder / DBNAME)
        except BaseException:
            cache.close()
            raise


class _Cache(DiskCache):  # type: ignore[misc]  # diskcache is untyped
    """A diskcache Cache that leaves no connection behind when its file turns out to be damaged."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            super().__init__(*arguments, **options)
        except BaseException:
            self.close()
            raise


def _set_aside(folder: Path) -> None:
    (folder / DBNAME).replace(folder / DAMAGED)
    for suffix in ("-wal", "-shm"):  # they belong to the damaged file: a new one must not replay them
        (folder / (DBNAME + suffix)).unlink(missing_ok=True)


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """What SQLite or the disk refuses, as an error of ours."""
    try:
        yield
    except (sqlite3.Error, Timeout, OSError) as error:
        hint = "`--cache off`, or another folder by LLMX_HOME"
        reason = getattr(error, "strerror", None) or error
        raise OutputFailed(f"cannot use the cache in {folder}: {reason}", hint=hint) from error
