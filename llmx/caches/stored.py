"""The exact cache, only looked into: `--no-store` and `--offline` write nothing, so that it may be read-only.

diskcache writes when it is opened. Its table is read here as it has made it, by the same rules: text, nothing else.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from diskcache.core import DBNAME, MODE_RAW

from llmx.caches import CachedAnswer
from llmx.caches.exact import answer_of
from llmx.caches.inspection import LOCK_SECONDS, check_connection
from llmx.errors import OutputFailed

__all__ = ["StoredCache"]

_QUERY = (
    "SELECT value FROM Cache WHERE key = ? AND raw = 1 AND mode = ? AND filename IS NULL"
    " AND typeof(value) = 'text' AND (expire_time IS NULL OR expire_time > ?)"
)


class StoredCache:
    """See the module.

    Args:
        folder: that of an `ExactCache`; it need not be there.
        warn: told when the cache is damaged and the run goes on without it.

    Raises:
        OutputFailed: the system does not let it be read.
    """

    def __init__(self, folder: Path, *, warn: Callable[[str], None]) -> None:
        self._db: sqlite3.Connection | None = None
        try:
            self._db = _open(folder / DBNAME)
        except sqlite3.OperationalError as error:
            problem = f"cannot read the cache in {folder}: {error}"
            raise OutputFailed(problem, hint="`--cache off`, or another folder by LLMX_HOME") from error
        except (sqlite3.Error, ValueError) as error:
            warn(f"the cache in {folder} is damaged and not used: {error}")

    def get(self, fingerprint: str) -> CachedAnswer | None:
        """See `Cache.get`."""
        if self._db is None:
            return None
        try:
            found = self._db.execute(_QUERY, (fingerprint, MODE_RAW, time.time())).fetchone()
            return None if found is None else answer_of(found[0])
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            return None  # damaged, or not written by us: as good as absent

    def put(self, fingerprint: str, answer: CachedAnswer) -> None:
        """See `Cache.put`: it is not kept."""

    def close(self) -> None:
        """See `Cache.close`."""
        if self._db is not None:
            self._db.close()


def _open(file: Path) -> sqlite3.Connection | None:
    """A connection that cannot write; None when there is no cache."""
    if not file.exists():
        return None
    try:
        return _connect(file, "mode=ro")
    except sqlite3.OperationalError:  # beside a database in WAL mode SQLite makes files, where it may
        return _connect(file, "mode=ro&immutable=1")


def _connect(file: Path, how: str) -> sqlite3.Connection | None:
    db = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True, timeout=LOCK_SECONDS)
    try:
        check_connection(db)
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'Cache'").fetchone():
            return db
    except BaseException:
        db.close()
        raise
    db.close()  # somebody has only begun to make it
    return None
