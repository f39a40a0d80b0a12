"""The exact cache, only looked into: `--no-store` and `--offline` write nothing, so that it may be read-only.

diskcache writes when it is opened. Its table is read here as it has made it, by the same rules: text, nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

from diskcache.core import DBNAME

from llmx.behind import Behind, Overlay, Unknown
from llmx.caches import CachedAnswer
from llmx.caches.exact import answer_of
from llmx.caches.inspection import check_connection
from llmx.caches.table import connect, read
from llmx.errors import OutputFailed

__all__ = ["StoredCache"]


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
        self._answers: Overlay[str, str] = Overlay()
        self._behind: Behind | None = None
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
            found = self._answers.spend(fingerprint)
            text = read(self._db, [fingerprint])[fingerprint] if isinstance(found, Unknown) else found
            return None if text is None else answer_of(text)
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            return None  # damaged, or not written by us: as good as absent

    def expect(self, fingerprints: Sequence[str]) -> Future[None] | None:
        """See `Cache.expect`."""
        missing = self._answers.missing(fingerprints)
        if self._db is None or not missing:
            return None
        self._behind = self._behind or Behind("llmx-cache")
        return self._behind.do(partial(self._foresee, self._db, missing))

    def _foresee(self, db: sqlite3.Connection, fingerprints: list[str]) -> None:
        with suppress(sqlite3.Error):  # each is read by itself then
            self._answers.foresee(read(db, fingerprints))

    def put(self, fingerprint: str, answer: CachedAnswer) -> None:
        """See `Cache.put`: it is not kept."""

    def close(self) -> None:
        """See `Cache.close`."""
        if self._behind is not None:
            self._behind.close()
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
    db = connect(file, how)
    try:
        check_connection(db)
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'Cache'").fetchone():
            return db
    except BaseException:
        db.close()
        raise
    db.close()  # somebody has only begun to make it
    return None
