"""What is looked up by a row's key while rows stream by: kept in a file of SQLite's that is gone when it is closed.

As many keys as there are rows of another file: in memory they would be gigabytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from llmx.pages.rows import Row
from llmx.records import to_json
from llmx.records.integers import loads_object

__all__ = ["Lookup", "key_text"]


def key_text(value: Any) -> str | None:
    """A key as text, so that 7 in JSON is the "7" of a CSV: a string as it is, other values as JSON; None of none."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else to_json(value, sort_keys=True).decode()


class Lookup:
    """Objects by key; of two with one key the first is found.

    Attributes:
        count: objects that were put in.
        doubles: those of them whose key was there already.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("")  # a file without a name, which spills from memory as it grows
        self._db.execute("CREATE TABLE found (key TEXT PRIMARY KEY, value BLOB, met INTEGER) WITHOUT ROWID")
        self.count = self.doubles = 0

    def put_all(self, pairs: Iterable[tuple[str, Row]]) -> None:
        """Put objects in."""
        for key, value in pairs:
            new = self._db.execute(
                "INSERT OR IGNORE INTO found VALUES (?, ?, 0)", (_stored(key), to_json(value))
            )
            self.count += 1
            self.doubles += new.rowcount == 0

    def merge(self, key: str, parts: Row) -> None:
        """Put parts into the object of a key, which need not be there yet."""
        found = self._db.execute("SELECT value FROM found WHERE key = ?", (_stored(key),)).fetchone()
        whole = {**((loads_object(found[0]) if found else None) or {}), **parts}
        self._db.execute("INSERT OR REPLACE INTO found VALUES (?, ?, 0)", (_stored(key), to_json(whole)))

    def get(self, key: str) -> Row | None:
        """The object of a key, which counts as met from now on."""
        found = self._db.execute("SELECT value, met FROM found WHERE key = ?", (_stored(key),)).fetchone()
        if found is None:
            return None
        if not found[1]:
            self._db.execute("UPDATE found SET met = 1 WHERE key = ?", (_stored(key),))
        return loads_object(found[0])

    def unmet(self) -> int:
        """How many keys were never looked up."""
        return int(self._db.execute("SELECT COUNT(*) FROM found WHERE NOT met").fetchone()[0])

    def close(self) -> None:
        """Free the file."""
        self._db.close()

    def __enter__(self) -> Lookup:
        """The lookup itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _stored(key: str) -> str:
    """Lone surrogates, which SQLite's UTF-8 does not take, are escaped."""
    return key.encode("utf-8", "backslashreplace").decode()
