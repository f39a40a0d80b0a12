"""The SQLite file of budgets, of the named ones or of a service's ledger: made, opened, checked, and what the system refuses told as an error of ours."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from llmx.environment import private
from llmx.errors import OutputFailed
from llmx.system import OURS

__all__ = ["budget_file", "checked", "connected", "opened", "telling"]

LOCK_SECONDS = 10.0
"""How long another process may hold the file; a transaction takes a fraction of a millisecond."""

ROOM = 64 * 1024
"""Bytes that SQLite needs beside the file."""

TRIES, PAUSE = 100, 0.01
"""How often a new file that others are opening, too, is made ready, and the seconds in between."""

_SPENDING = (
    "spent (budget TEXT NOT NULL, minute INTEGER NOT NULL,"
    " cost INTEGER NOT NULL CHECK (typeof(cost) = 'integer' AND cost >= 0),"
    " tokens INTEGER NOT NULL CHECK (typeof(tokens) = 'integer' AND tokens >= 0),"
    " PRIMARY KEY (budget, minute)) WITHOUT ROWID"
)
_HOLDING = (
    "held (budget TEXT NOT NULL, pid INTEGER NOT NULL, owner TEXT NOT NULL, changed INTEGER NOT NULL,"
    " cost INTEGER NOT NULL CHECK (typeof(cost) = 'integer' AND cost >= 0),"
    " tokens INTEGER NOT NULL CHECK (typeof(tokens) = 'integer' AND tokens >= 0),"
    " PRIMARY KEY (budget, pid, owner)) WITHOUT ROWID"
)
_TABLES = (_SPENDING, _HOLDING)


def budget_file(home: Path) -> Path:
    """Where budgets live below llmx's own folder: in one of their own, as SQLite puts more files beside it."""
    return home / "budgets" / "budgets.db"


def opened(path: Path, tables: Sequence[str] = _TABLES) -> sqlite3.Connection:
    """A connection to a file that is made, 0600 in folders of 0700, where there is none.

    Args:
        tables: that it has, as SQL after CREATE TABLE; those of the named budgets.
    """
    with private():  # for the folders above, too, where we make them
        path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | OURS, 0o600))
    db = connected(path)
    try:
        checked(db, tables)
        _log_ahead(db)
        for table in tables:
            db.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    except BaseException:
        db.close()
        raise
    return db


def _log_ahead(db: sqlite3.Connection) -> None:
    """Write to a WAL that is synced at checkpoints only, not in each transaction.

    A process that is killed loses nothing by it. A machine that loses power may lose the last seconds, the
    file staying whole: a budget bounds a day's spending, so it can do without milliseconds for every call.
    Where there is no WAL, as without shared memory, each transaction is synced: slow, but right.
    """
    # SQLite itself does not wait here, lest two that both want to change the mode do so for ever.
    for _ in range(TRIES):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(PAUSE)
    db.execute("PRAGMA synchronous = NORMAL")


def connected(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there."""
    # Not opened for it: closing it would drop the locks that this process's other connections hold.
    if not stat.S_ISREG(path.lstat().st_mode):  # above all a link, which SQLite would follow
        raise sqlite3.DatabaseError("it is a link, or no file")
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, LOCK_SECONDS, uri=True, isolation_level=None, check_same_thread=False)


def checked(db: sqlite3.Connection, tables: Sequence[str] = _TABLES) -> bool:
    """Whether the tables are there yet; anything else in the file makes it somebody else's, to be left alone."""
    # Whoever wrote the file may have put triggers and views into it, which SQLite would run.
    db.execute("PRAGMA trusted_schema = OFF")
    found = db.execute("SELECT name, sql FROM sqlite_master").fetchall()
    for name, sql in found:
        if sql not in {f"CREATE TABLE {table}" for table in tables}:
            raise sqlite3.DatabaseError(f"{name!r} in it is not of llmx's making")
    return len(found) == len(tables)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """What SQLite or the disk refuses, as an error of ours."""
    try:
        yield
    except (sqlite3.Error, OSError, OverflowError) as error:
        full = _is_full(error, path)
        reason = os.strerror(errno.ENOSPC) if full else getattr(error, "strerror", None) or error
        problem = f"cannot use the budgets in {path}: {reason}"
        # SQLite's other classes tell of what surrounds the file: locks, room, rights.
        if type(error) in (sqlite3.DatabaseError, sqlite3.IntegrityError):
            hint = f"rm {shlex.quote(str(path))}* forgets what was spent, and all budgets begin anew"
        elif full:
            hint = "make room, then run the same command again"
        else:
            hint = "another folder by LLMX_HOME, where all budgets begin anew"
        raise OutputFailed(problem, hint=hint) from error


def _is_full(error: Exception, path: Path) -> bool:
    """Whether there is no room on the disk: where SQLite cannot enlarge what it shares, it tells of I/O alone."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == errno.ENOSPC:
        return True
    with suppress(OSError):
        return code & 0xFF == sqlite3.SQLITE_IOERR and shutil.disk_usage(path.parent).free < ROOM
    return False
