"""What is stored of the answers to a run's requests, in the exact cache and in the run's journal: looked up, and left alone.

Nothing is written, not even where it is found damaged: what cannot be read is as good as not there, and the run will say so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from llmx.estimates.tokens import Answered
from llmx.journal import JournalView, identity
from llmx.types import Record

__all__ = ["Asked", "Fate", "Stored"]


class Fate(IntEnum):
    """What a run does about a row: the first three in the order of what they cost."""

    ASK = 0
    CACHED = 1
    DONE = 2
    FAILS = 3


class Asked(Struct, frozen=True):
    """A row, and the request that a run would make of it.

    Args:
        size: bytes of the prompt's text.
    """

    record: Record
    fingerprint: str
    size: int


class Stored:
    """See the module.

    Args:
        cache: the folder of the exact cache, None where none is used.
        journal: of the run, None where there is none.

    Attributes:
        answered: what the journal tells of the first answers.
        cached: bytes of prompt and answer of the first ones in the cache, by fingerprint.
    """

    MOST = 500
    """Answers that are looked at to learn how long they are."""

    def __init__(self, cache: Path | None, journal: JournalView | None) -> None:
        self._db = None if cache is None else _opened(cache)
        self._journal = journal
        self.answered: list[Answered] = []
        self.cached: dict[str, tuple[int, int]] = {}

    def fates(self, asked: Sequence[Asked]) -> list[Fate]:
        """Of each request, whether anybody has to be asked."""
        fates = [Fate.ASK] * len(asked)
        if self._journal is not None:
            self._look_into_journal(self._journal, asked, fates)
        if self._db is not None:
            self._look_into_cache(self._db, asked, fates)
        return fates

    def _look_into_journal(self, journal: JournalView, asked: Sequence[Asked], fates: list[Fate]) -> None:
        with suppress(sqlite3.Error):
            places = journal.places([each.fingerprint for each in asked])
            found = [number for number, place in enumerate(places) if place is not None]
            again = self._failed(journal, [asked[number].record for number in found])
            for number, failed in zip(found, again, strict=True):
                place = places[number]
                if place is not None and len(self.answered) < self.MOST:
                    self._learn(asked[number], journal.entry(place) or {})
                fates[number] = Fate.ASK if failed else Fate.DONE

    def _failed(self, journal: JournalView, rows: Sequence[Record]) -> list[bool]:
        """Whether rows will be asked about again though there is an answer: those that failed in a finished run."""
        if not journal.totals.complete:
            return [False] * len(rows)
        return journal.failed([identity(row) for row in rows])

    def _learn(self, asked: Asked, entry: Mapping[str, Any]) -> None:
        usage, text = entry.get("usage"), entry.get("text")
        if isinstance(usage, dict) and isinstance(text, str) and entry.get("finish") == "stop":
            tokens = [usage.get(name) for name in ("input", "output")]
            read, written = (value if isinstance(value, int) and value > 0 else None for value in tokens)
            self.answered.append(Answered(asked.size, read, written, len(text.encode("utf-8", "replace"))))

    def _look_into_cache(self, db: sqlite3.Connection, asked: Sequence[Asked], fates: list[Fate]) -> None:
        from llmx.caches.table import read

        missing = [number for number, fate in enumerate(fates) if fate is Fate.ASK]
        try:
            texts = read(db, [asked[number].fingerprint for number in missing])
        except sqlite3.Error:
            return
        for number in missing:
            text = texts.get(asked[number].fingerprint)
            if text is not None:
                fates[number] = Fate.CACHED
                self._learn_text(asked[number], text)

    def _learn_text(self, asked: Asked, text: str) -> None:
        if len(self.cached) < self.MOST:
            with suppress(ValueError, LookupError, TypeError, AttributeError):
                self.cached[asked.fingerprint] = (asked.size, len(orjson.loads(text)["text"].encode()))

    def close(self) -> None:
        """Release the cache; the journal is its owner's."""
        if self._db is not None:
            self._db.close()


def _opened(folder: Path) -> sqlite3.Connection | None:
    """The cache's database, None where there is none that can be trusted."""
    from diskcache.core import DBNAME

    from llmx.caches.inspection import check_connection
    from llmx.caches.table import connect

    file = folder / DBNAME
    if not file.exists():
        return None
    # See `llmx.journal.tables`: without a WAL nobody is writing, and SQLite is told so, lest it make files.
    still = "" if file.with_name(DBNAME + "-wal").exists() else "&immutable=1"
    try:
        db = connect(file, f"mode=ro{still}")
    except sqlite3.Error:
        return None
    try:
        check_connection(db)
        db.execute("SELECT 1 FROM Cache LIMIT 1").fetchone()
    except (sqlite3.Error, ValueError):
        db.close()
        return None
    return db
