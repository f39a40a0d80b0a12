"""The semantic cache's tables: rows with their answers, by scope and key; hits, and the commands that they were of.

SQLite, text and numbers alone. A file that is not as it is made here is damage: it is set aside, and a new one begun.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from llmx.caches.inspection import LOCK_SECONDS
from llmx.environment import private
from llmx.errors import OutputFailed
from llmx.types import Likeness

__all__ = [
    "Entry",
    "Hit",
    "KeptHit",
    "Place",
    "Table",
    "kept_hits",
    "open_table",
    "semantic_folder",
    "telling",
]

NAME = "answers.sqlite"

MOST = 32
"""Rows under one key that are compared, the newest first."""

HITS = 100_000
"""Hits that are kept for audits, the newest."""

_MADE = (
    "CREATE TABLE answers (scope TEXT NOT NULL, key BLOB NOT NULL, fingerprint TEXT NOT NULL,"
    " row TEXT NOT NULL, answer TEXT NOT NULL, until REAL, PRIMARY KEY (scope, fingerprint))",
    "CREATE INDEX answers_by_key ON answers (scope, key)",
    "CREATE INDEX answers_by_end ON answers (until)",
    "CREATE TABLE commands (digest TEXT PRIMARY KEY, command TEXT NOT NULL)",
    "CREATE TABLE hits (id INTEGER PRIMARY KEY, time REAL NOT NULL, command TEXT NOT NULL, fingerprint TEXT NOT NULL,"
    " origin TEXT NOT NULL, similarity REAL NOT NULL, endpoint TEXT NOT NULL, row TEXT NOT NULL, answer TEXT NOT NULL, UNIQUE (command, fingerprint))",
)


def semantic_folder(home: Path) -> Path:
    """Where the semantic cache lives below llmx's own folder."""
    return home / "semantic"


class Place(Struct, frozen=True):
    """Where an answer belongs.

    Args:
        scope: all of the question but its row.
        fingerprint: of the whole question.
        data: the row.
    """

    scope: str
    fingerprint: str
    data: Mapping[str, Any]


class Entry(Struct, frozen=True):
    """A row with its answer, as JSON."""

    fingerprint: str
    row: str
    answer: str


class Hit(Struct, frozen=True):
    """An answer that was taken for a row that it was not given for.

    Args:
        fingerprint: of what would have been asked.
        endpoint: who would have been asked.
        row: the row, as JSON.
        answer: its JSON text.
    """

    fingerprint: str
    likeness: Likeness
    endpoint: str
    row: str
    answer: str


class KeptHit(Struct, frozen=True):
    """A hit of an earlier run.

    Args:
        number: the later, the higher.
        time: seconds since 1970.
        command: the run's options and its folder, as JSON.
    """

    number: int
    time: float
    command: Mapping[str, Any]
    hit: Hit


class Table:
    """An open database; any one thread at a time may use it. Its methods raise sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def under(self, scope: str, key: bytes) -> list[Entry]:
        """The newest rows of a scope with this key whose time has not come."""
        found = self._db.execute(
            "SELECT fingerprint, row, answer FROM answers WHERE scope = ? AND key = ?"
            " AND (until IS NULL OR until > ?) ORDER BY rowid DESC LIMIT ?",
            (scope, key, time.time(), MOST),
        )
        return [Entry(*some) for some in found if all(isinstance(part, str) for part in some)]

    def write(
        self,
        entries: Mapping[tuple[str, bytes], Sequence[Entry]],
        hits: Sequence[Hit],
        command: Mapping[str, Any] | None,
        *,
        ttl: float | None,
    ) -> None:
        """Keep rows and hits, and let go of those that have had their time, in one transaction.

        Args:
            command: the run's, of which the hits are.
            ttl: seconds, None for ever.
        """
        if not entries and not hits:
            return
        now = time.time()
        until = None if ttl is None else now + ttl
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(
                "INSERT OR REPLACE INTO answers (scope, key, fingerprint, row, answer, until) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (scope, key, entry.fingerprint, entry.row, entry.answer, until)
                    for (scope, key), some in entries.items()
                    for entry in some
                ],
            )
            self._db.execute("DELETE FROM answers WHERE until < ?", (now,))
            self._write_hits(hits, command, now)
        except BaseException:
            if self._db.in_transaction:  # some errors have ended it
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _write_hits(self, hits: Sequence[Hit], command: Mapping[str, Any] | None, now: float) -> None:
        if not hits or command is None:
            return
        text = orjson.dumps(command, option=orjson.OPT_SORT_KEYS).decode()
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._db.execute("INSERT OR IGNORE INTO commands VALUES (?, ?)", (digest, text))
        self._db.executemany(
            "INSERT OR REPLACE INTO hits (time, command, fingerprint, origin, similarity, endpoint, row, answer)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (now, digest, hit.fingerprint, *_likeness(hit), hit.endpoint, hit.row, hit.answer)
                for hit in hits
            ],
        )
        self._db.execute("DELETE FROM hits WHERE id <= (SELECT MAX(id) FROM hits) - ?", (HITS,))

    def hits(self) -> list[KeptHit]:
        """All hits that are kept, the oldest first; those that are not as they were written are left out."""
        found = self._db.execute(
            "SELECT id, time, c.command, fingerprint, similarity, origin, endpoint, row, answer"
            " FROM hits JOIN commands c ON c.digest = hits.command ORDER BY id"
        )
        return [hit for some in found if (hit := _kept(some)) is not None]

    def stats(self) -> tuple[int, int]:
        """How many answers are kept, and how many hits."""
        answers = self._db.execute(
            "SELECT COUNT(*) FROM answers WHERE until IS NULL OR until > ?", (time.time(),)
        ).fetchone()
        return int(answers[0]), int(self._db.execute("SELECT COUNT(*) FROM hits").fetchone()[0])

    def clear(self) -> int:
        """Forget all of it; returns how many answers that were."""
        count = self._db.execute("SELECT COUNT(*) FROM answers").fetchone()[0]
        for table in ("answers", "hits", "commands"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608  names of ours
        self._db.execute("VACUUM")
        return int(count)

    def close(self) -> None:
        """Release the file."""
        self._db.close()


def _likeness(hit: Hit) -> tuple[str, float]:
    return hit.likeness.fingerprint, hit.likeness.similarity


def _kept(some: Sequence[Any]) -> KeptHit | None:
    number, when, command, fingerprint, similarity, origin, endpoint, row, answer = some
    try:
        read = orjson.loads(command)
        hit = Hit(fingerprint, Likeness(float(similarity), origin), endpoint, row, answer)
    except (ValueError, TypeError):
        return None
    return KeptHit(number, when, read, hit) if isinstance(read, dict) else None


def open_table(folder: Path, warn: Callable[[str], None], *, writes: bool) -> Table | None:
    """The cache's tables; None where there are none and none are to be made, or they cannot be trusted.

    Raises:
        OutputFailed: the system does not let them be used.
    """
    file = folder / NAME
    try:
        return _made(file) if writes else _looked_into(file)
    except sqlite3.OperationalError as error:
        raise _unusable(folder, error) from error
    except (sqlite3.Error, ValueError) as error:
        if not writes:
            warn(f"the semantic cache in {folder} is damaged and not used: {error}")
            return None
        damage = error
    except OSError as error:
        raise _unusable(folder, error.strerror or error) from error
    aside = f"{NAME}.damaged"
    warn(f"the semantic cache in {folder} is damaged; it is kept as {aside} and a new one begun: {damage}")
    try:
        file.replace(folder / aside)
        for suffix in ("-wal", "-shm"):  # they belong to the damaged file: a new one must not replay them
            (folder / (NAME + suffix)).unlink(missing_ok=True)
        return _made(file)
    except (OSError, sqlite3.Error, ValueError) as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, reason: object) -> OutputFailed:
    hint = "`--cache exact`, or another folder by LLMX_HOME"
    return OutputFailed(f"cannot use the semantic cache in {folder}: {reason}", hint=hint)


def _made(file: Path) -> Table:
    with private():  # for the folders above, too, where we make them
        file.parent.mkdir(parents=True, exist_ok=True)
        db = _connected(file, "mode=rwc")
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(
                "BEGIN IMMEDIATE"
            )  # of two processes that come at once, the second finds what the first made
            if not _is_ours(db):
                for statement in _MADE:
                    db.execute(statement)
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return Table(db)


def _looked_into(file: Path) -> Table | None:
    """The tables of a file that may lie on a disk that cannot be written to."""
    if not file.exists():
        return None
    for how in ("mode=ro", "mode=ro&immutable=1"):  # beside one in WAL mode SQLite makes files, where it may
        db = _connected(file, how)
        try:
            if _is_ours(db):
                return Table(db)
            db.close()
            return None
        except sqlite3.OperationalError:
            db.close()
            if "immutable" in how:
                raise
        except BaseException:
            db.close()
            raise
    return None


def _connected(file: Path, how: str) -> sqlite3.Connection:
    uri = f"{file.absolute().as_uri()}?{how}"
    db = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("trusted_schema = OFF", "cache_size = 1024", "mmap_size = 0", "synchronous = NORMAL"):
            db.execute(f"PRAGMA {pragma}")
    except BaseException:
        db.close()
        raise
    return db


def _is_ours(db: sqlite3.Connection) -> bool:
    """Whether the tables are there. Raises ValueError: something else is."""
    found = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if found and found != set(_MADE):  # ours are made in one transaction
        raise ValueError("it has tables of somebody else's, or lacks some")
    return bool(found)


def kept_hits(folder: Path) -> list[KeptHit]:
    """The hits of earlier runs, the oldest first.

    Raises:
        OutputFailed: they cannot be read.
    """
    refused: list[str] = []
    table = open_table(folder, refused.append, writes=False)
    if refused:
        raise OutputFailed(refused[0], hint="`llmx cache clear` begins a new one")
    if table is None:
        return []
    with telling(folder), closing(table):
        return table.hits()


@contextmanager
def telling(folder: Path) -> Iterator[None]:
    """What SQLite refuses, as an error of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _unusable(folder, error) from error
