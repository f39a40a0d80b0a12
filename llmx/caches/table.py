"""diskcache's table, read and written many rows at a time: its own methods take a transaction for each.

What is read is text that stands in the table, and nothing else: no pickle, no file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from diskcache.core import MODE_RAW

from llmx.caches.inspection import LOCK_SECONDS

__all__ = ["PAGES", "connect", "read", "write"]

PAGES = 1024
"""Pages of 4 KiB that SQLite holds. diskcache's own 8,192 and its 64 MiB of mapped file made a run over a million
rows grow by 100 MB; keys are hashes, so what was read last is seldom read again, and the system caches files itself."""

MOST = 500
"""Keys of one query."""

_READ = (
    "SELECT key, value FROM Cache WHERE raw = 1 AND mode = ? AND filename IS NULL"
    " AND typeof(value) = 'text' AND (expire_time IS NULL OR expire_time > ?) AND key"
)

_WRITE = """
INSERT INTO Cache (key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value)
VALUES (:key, 1, :now, :until, :now, 0, NULL, 0, :mode, NULL, :value)
ON CONFLICT (key, raw) DO UPDATE SET
    store_time = :now, expire_time = :until, access_time = :now, access_count = 0, tag = NULL, size = 0,
    mode = :mode, filename = NULL, value = :value
"""

_CULL = """
DELETE FROM Cache WHERE rowid IN (
    SELECT rowid FROM Cache WHERE expire_time IS NOT NULL AND expire_time < ? ORDER BY expire_time LIMIT ?
)
"""


def connect(file: Path, how: str = "") -> sqlite3.Connection:
    """A connection that any one thread at a time may use. Raises sqlite3.Error.

    Args:
        how: the parameters of a URI, such as "mode=ro".
    """
    uri = f"{file.absolute().as_uri()}?{how}"
    db = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    for pragma in (f"cache_size = {PAGES}", "mmap_size = 0", "synchronous = NORMAL", "trusted_schema = OFF"):
        db.execute(f"PRAGMA {pragma}")
    return db


def read(db: sqlite3.Connection, keys: Iterable[str]) -> dict[str, str | None]:
    """The values of keys, None for those that have none (any more). Raises sqlite3.Error."""
    wanted = list(keys)
    found: dict[str, str | None] = dict.fromkeys(wanted)
    for start in range(0, len(wanted), MOST):
        some = wanted[start : start + MOST]
        query = f"{_READ} IN ({','.join('?' * len(some))})"
        found.update(db.execute(query, (MODE_RAW, time.time(), *some)))
    return found


def write(db: sqlite3.Connection, values: Mapping[str, str], *, ttl: float | None) -> None:
    """Keep values, and let go of some that have had their time, in one transaction. Raises sqlite3.Error.

    Args:
        ttl: seconds, None for ever.
    """
    now = time.time()
    same = {"now": now, "until": None if ttl is None else now + ttl, "mode": MODE_RAW}
    db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany(_WRITE, [{"key": key, "value": value, **same} for key, value in values.items()])
        db.execute(_CULL, (now, 10 * len(values)))
    except BaseException:
        if db.in_transaction:  # some errors have ended it
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
