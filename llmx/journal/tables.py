"""The index's SQLite file: its tables, and what is asked of them. It does not know what a line of the journal says.

The connection is shared by two threads, the run's and the one that writes behind it: SQLite lets one at a time in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

__all__ = ["AnswerRow", "RowRow", "Settled", "Tables", "settled_last"]

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE answers (
    fingerprint INTEGER PRIMARY KEY, at INTEGER NOT NULL, size INTEGER NOT NULL, generation INTEGER NOT NULL,
    claimed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, config INTEGER, done INTEGER NOT NULL, failed INTEGER NOT NULL,
    session INTEGER NOT NULL DEFAULT 0, seen INTEGER NOT NULL DEFAULT 0
);
"""

_FOLD_ANSWER = "INSERT OR REPLACE INTO answers (fingerprint, at, size, generation) VALUES (?, ?, ?, ?)"

_FOLD_ROW = """
INSERT INTO rows (id, config, done, failed, session) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    session = excluded.session,
    failed = excluded.failed,
    config = excluded.config,
    done = CASE WHEN excluded.done > 0 THEN excluded.done WHEN config = excluded.config THEN done ELSE 0 END
"""

_SETTLED = """
SELECT MAX(session), TOTAL(seen * (failed = 0)), TOTAL(seen * (failed <> 0)) FROM rows
WHERE config IS NOT NULL AND session = (SELECT MAX(session) FROM rows)
"""

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",  # a power cut costs the last transactions, which are folded again, never the file
    "cache_size=-8192",  # 8 MiB, however long the journal is
    "mmap_size=0",
    "trusted_schema=OFF",  # a file that somebody else has put there runs no function of ours
)


class AnswerRow(Struct, frozen=True, gc=False):
    """Where an answer's line stands, in bytes, in which generation it was given, and which session has used it last."""

    at: int
    size: int
    generation: int
    claimed: int = 0


class RowRow(Struct, frozen=True, gc=False):
    """What is known of a row of the input.

    Args:
        config: the number of that under which it was settled last, None where it was only met.
        done: how many like it ended well under that.
        failed: whether the last one did not, 0 or 1.
        session: the last that met it; `seen` rows like it.
    """

    config: int | None
    done: int
    failed: int
    session: int
    seen: int


_Row = TypeVar("_Row", AnswerRow, RowRow)

_ANSWERS = "SELECT fingerprint, at, size, generation, claimed FROM answers WHERE fingerprint"
_ROWS = "SELECT id, config, done, failed, session, seen FROM rows WHERE id"


class Tables:
    """See the module.

    Raises:
        ValueError: something stands in the file that is not ours, or a page of it is damaged.
        sqlite3.Error: it is no database, or the system refuses.
    """

    def __init__(self, path: Path, *, check: bool = True) -> None:
        self.db = _open(path)
        try:
            if check:
                _check(self.db)
        except BaseException:
            self.db.close()
            raise

    @classmethod
    def looked_into(cls, path: Path) -> Tables:
        """The tables of a file that is left as it is, though somebody may be writing it. Raises as the class does."""
        tables = cls.__new__(cls)
        tables.db = _open_to_read(path)
        return tables

    def state(self) -> str | None:
        """The text that was written last, None in a new file. Raises KeyError: it is missing in one that is not."""
        found = dict(self.db.execute("SELECT name, value FROM meta"))
        return str(found["state"]) if found else None

    def answers(self, keys: Iterable[int]) -> dict[int, AnswerRow | None]:
        """The rows of some answers, None for those that are not there."""
        return _found(self.db, _ANSWERS, keys, AnswerRow, (int, int, int, int))

    def rows(self, keys: Iterable[int]) -> dict[int, RowRow | None]:
        """The same for rows of the input."""
        return _found(self.db, _ROWS, keys, RowRow, ((int, type(None)), int, int, int, int))

    def write(self, answers: Mapping[int, AnswerRow], rows: Mapping[int, RowRow], state: str) -> None:
        """Put whole rows into the tables, in one transaction."""
        self.db.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
            [(key, *astuple(answers[key])) for key in sorted(answers)],
        )
        self.db.executemany(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)",
            [(key, *astuple(rows[key])) for key in sorted(rows)],
        )
        self._finish(state)

    def fold(
        self,
        answers: Sequence[tuple[int, int, int, int]],
        rows: Sequence[tuple[int, int, int, bool, int]],
        state: str,
    ) -> None:
        """Put many lines into the tables without a look at what is there; of two about the same, the later one holds."""
        self.db.executemany(_FOLD_ANSWER, sorted(answers, key=_first))
        self.db.executemany(_FOLD_ROW, sorted(rows, key=_first))
        self._finish(state)

    def _finish(self, state: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES ('state', ?)", (state,))
        self.db.commit()

    def done(self, config: int) -> int:
        """How many rows are done under a config."""
        query = "SELECT TOTAL(done) FROM rows WHERE config = ?"
        return int(self.db.execute(query, (config,)).fetchone()[0])

    def settled(self, since: int = 0) -> int:
        """How many different rows have been settled, in one session or later ones."""
        query = "SELECT COUNT(*) FROM rows WHERE config IS NOT NULL AND session >= ?"
        return int(self.db.execute(query, (since,)).fetchone()[0])

    def close(self) -> None:
        """Release the file; what was not finished is not kept."""
        self.db.close()


_first = itemgetter(0)  # a sort by it is stable: lines about the same stay in their order


MOST = 500
"""Keys of one query."""


def _found(
    db: sqlite3.Connection, query: str, keys: Iterable[int], kind: type[_Row], types: tuple[Any, ...]
) -> dict[int, _Row | None]:
    wanted = list(keys)
    found: dict[int, _Row | None] = dict.fromkeys(wanted)
    for start in range(0, len(wanted), MOST):
        some = wanted[start : start + MOST]
        for key, *values in db.execute(f"{query} IN ({','.join('?' * len(some))})", some):
            # SQLite keeps whatever it is given: a cell that was changed on the disk may hold text.
            if all(map(isinstance, values, types)):
                found[key] = kind(*values)
    return found


class Settled(NamedTuple):
    """Rows of the last session that has met any: how many of them ended well, and failed; and the text that was written last."""

    session: int
    ok: int
    failed: int
    state: str


def settled_last(path: Path) -> Settled | None:
    """What an index says that somebody may be writing; None when nobody knows."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("PRAGMA trusted_schema=OFF")
            if _definitions(db) != _own_definitions():
                return None
            session, ok, failed = db.execute(_SETTLED).fetchone()
            (state,) = db.execute("SELECT value FROM meta WHERE name = 'state'").fetchone()
            return Settled(int(session or 0), int(ok), int(failed), str(state))
    except (sqlite3.Error, ValueError, TypeError, OverflowError):
        return None


def _definitions(db: sqlite3.Connection) -> set[str]:
    """What stands in a database: tables of ours, or views and triggers that somebody has put there."""
    return {str(text) for (text,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}


def _own_definitions() -> set[str]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_TABLES)
        return _definitions(db)


def _check(db: sqlite3.Connection) -> None:
    """Raise ValueError when a page is damaged: a query that came to it later would raise, or find too little."""
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise ValueError("a damaged index")


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Connect, and make no file. Raises ValueError where what stands there is not ours, and sqlite3.Error."""
    # Beside a database in WAL mode SQLite makes files, unless it is told that nobody writes: where there is a WAL, its
    # files are there; where there is none, nobody has written what is not in the database.
    still = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{still}", uri=True, timeout=10)
    try:
        db.execute("PRAGMA trusted_schema=OFF")
        if _definitions(db) != _own_definitions():
            raise ValueError("it holds what is not ours")
    except BaseException:
        db.close()
        raise
    return db


def _open(path: Path) -> sqlite3.Connection:
    """Connect. Raises ValueError where something stands in the database that is not ours, and sqlite3.Error."""
    db = sqlite3.connect(path, timeout=10, check_same_thread=False)
    try:
        found = _definitions(db)
        if found and found != _own_definitions():
            raise ValueError("it holds what is not ours")
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        if not found:
            db.executescript(_TABLES)
    except BaseException:
        db.close()
        raise
    return db
