"""What a cache's database may hold before diskcache is given it.

diskcache believes what it finds: names in its table of settings become attributes and PRAGMAs, and SQLite runs the
triggers and views of whoever wrote the file. So the file must be one that diskcache itself has made, with
the settings it has; rows are the business of `TextDisk`. Whatever else is there is damage.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from diskcache.core import DEFAULT_SETTINGS, METADATA

__all__ = ["LOCK_SECONDS", "check_connection", "check_database"]

LOCK_SECONDS = 10.0
"""How long another process may hold a cache's database."""

OWN_SETTINGS = frozenset({"sqlite_trusted_schema"})
"""What we set beside diskcache's own."""

OBJECTS = frozenset(
    {
        "CREATE TABLE Settings ( key TEXT NOT NULL UNIQUE, value)",
        "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL,"
        " expire_time REAL, access_time REAL, access_count INTEGER DEFAULT 0, tag BLOB,"
        " size INTEGER DEFAULT 0, mode INTEGER DEFAULT 0, filename TEXT, value BLOB)",
        "CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",
        "CREATE INDEX Cache_expire_time ON Cache (expire_time)",
        "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value + 1 WHERE key = "count"; END',
        "CREATE TRIGGER Settings_count_delete AFTER DELETE ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value - 1 WHERE key = "count"; END',
        "CREATE TRIGGER Settings_size_insert AFTER INSERT ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value + NEW.size WHERE key = "size"; END',
        "CREATE TRIGGER Settings_size_update AFTER UPDATE ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value + NEW.size - OLD.size WHERE key = "size"; END',
        "CREATE TRIGGER Settings_size_delete AFTER DELETE ON Cache FOR EACH ROW BEGIN"
        ' UPDATE Settings SET value = value - OLD.size WHERE key = "size"; END',
    }
)
"""What diskcache 5.6.3 makes (core.py, `Cache.__init__`), as SQLite keeps it. Some may be missing: another
process is making them, and diskcache makes what it misses."""


def check_database(file: Path) -> None:
    """Refuse a database that is not as diskcache and we make it.

    Args:
        file: an existing file, or none yet.

    Raises:
        ValueError: it has a table, view, trigger or setting of somebody else's.
        sqlite3.Error: it is no database, or cannot be read.
    """
    if not file.exists():
        return
    with closing(sqlite3.connect(file, timeout=LOCK_SECONDS)) as connection:
        check_connection(connection)


def check_connection(connection: sqlite3.Connection) -> None:
    """The same of a database that is open. Raises ValueError and sqlite3.Error."""
    connection.execute("PRAGMA trusted_schema = OFF")
    # What SQLite makes by itself (the index of a UNIQUE column) has no text.
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    for name, sql in found.fetchall():
        if sql not in OBJECTS:
            raise ValueError(f"{name!r} is none of its tables")
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'Settings'").fetchone():
        _check_settings(connection)


def _check_settings(connection: sqlite3.Connection) -> None:
    for key, value in connection.execute("SELECT key, value FROM Settings").fetchall():
        if key not in OWN_SETTINGS and key not in DEFAULT_SETTINGS and key not in METADATA:
            raise ValueError(f"{key!r} is none of its settings")
        if key in METADATA and not isinstance(value, int):
            raise ValueError(f"the setting {key!r} is no number")
