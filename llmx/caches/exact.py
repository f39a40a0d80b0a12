"""The exact cache: answers on disk by fingerprint, in diskcache, as text and nothing else.

diskcache unpickles what it finds (CVE-2025-69872), so whoever can write to the folder could run code in
ours. `TextDisk` stores and reads plain SQLite text only and refuses everything else, files included;
`inspection` looks at the rest of the database before diskcache does.
Nothing is evicted by size: every entry was paid for. Only `ttl` ends one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from diskcache import Cache as DiskCache
from diskcache import Disk, Timeout
from diskcache.core import DBNAME, DEFAULT_SETTINGS, MODE_RAW

from llmx.caches import CachedAnswer
from llmx.caches.inspection import LOCK_SECONDS, check_database
from llmx.environment import private
from llmx.errors import OutputFailed

__all__ = ["CacheStats", "ExactCache", "TextDisk", "answer_of", "cache_folder"]

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


MEMORY = {"sqlite_cache_size": 1024, "sqlite_mmap_size": 0}
"""Pages of 4 KiB that SQLite holds, and bytes that it maps. diskcache's own 8,192 and 64 MiB made a run over a million
rows grow by 100 MB; keys are hashes, so what was read last is seldom read again, and the system caches files itself."""

SETTINGS = {**DEFAULT_SETTINGS, **MEMORY, "eviction_policy": "none", "sqlite_trusted_schema": 0}
"""All of them: what is given wins over what the database says of itself. By the last one SQLite calls no function
with effects beyond the database on behalf of a schema (https://sqlite.org/pragma.html#pragma_trusted_schema)."""


@dataclass(frozen=True, slots=True)
class CacheStats:
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
        self._folder = folder
        self._cache = _open(folder, warn)

    def get(self, fingerprint: str) -> CachedAnswer | None:
        """See `Cache.get`."""
        try:
            text = None if self._broken else self._cache.get(fingerprint)
            if text is None:
                return None
            return answer_of(text)
        except (ValueError, KeyError, TypeError):
            return None  # not written by us: as good as absent, and overwritten by the next answer
        except (sqlite3.Error, Timeout, OSError) as error:
            self._give_up(error)
            return None

    def put(self, fingerprint: str, answer: CachedAnswer) -> None:
        """See `Cache.put`."""
        if self._broken:
            return
        try:
            text = orjson.dumps({"text": answer.text, "model": answer.model}).decode()
            self._cache.set(fingerprint, text, expire=self._ttl)
        except TypeError:
            return  # a lone surrogate, which no file of ours can hold
        except (sqlite3.Error, Timeout, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        reason = str(error) or "it is locked or read-only"  # diskcache's Timeout says nothing
        self._warn(f"the cache in {self._folder} failed and is not used from here on: {reason}")

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
        self._cache.close()


def answer_of(text: str) -> CachedAnswer:
    """What a value of ours holds. Raises ValueError, KeyError or TypeError: it is none."""
    fields = orjson.loads(text)
    answer = CachedAnswer(text=fields["text"], model=fields["model"])
    if not (isinstance(answer.text, str) and isinstance(answer.model, str)):
        raise TypeError("a cached answer that is not text")
    return answer


def _open(folder: Path, warn: Callable[[str], None]) -> Any:
    with _telling(folder):
        try:
            return _connect(folder)
        except sqlite3.OperationalError:
            raise  # locked, read-only, no room: the file itself may be well
        except (sqlite3.Error, ValueError, TypeError) as error:
            warn(f"the cache in {folder} is damaged; it is kept as {DAMAGED} and a new one begun: {error}")
        _set_aside(folder)
        return _connect(folder)


def _connect(folder: Path) -> Any:
    with private():  # for the folders above, too, where we make them
        folder.mkdir(parents=True, exist_ok=True)
        check_database(folder / DBNAME)
        return _Cache(str(folder), disk=TextDisk, timeout=LOCK_SECONDS, **SETTINGS)


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
