"""The semantic cache: answers on disk by what their rows say, for rows that say the same in other words.

Beside the exact cache and behind it. Rows lie under a key that all have in common which could pass the guards for each
other (`llmx.semantic.guards.key_of`), so that a lookup is one step in SQLite's index however many there are, and only the
few that lie there are compared. What a hit rested on is kept, too, so that it can be audited. Text and numbers in one
SQLite file, nothing that could run; a thread of its own waits for the disk.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from llmx.behind import Behind
from llmx.caches import CachedAnswer
from llmx.caches.exact import answer_of, text_of
from llmx.caches.rows import Entry, Hit, Place, open_table
from llmx.records.integers import loads
from llmx.records.values import to_json
from llmx.semantic.embedding import Embedding
from llmx.semantic.guards import Reading, key_of, reading_of
from llmx.semantic.likeness import grounded, likeness
from llmx.types import Completion, Likeness, Request

__all__ = ["Match", "SemanticCache", "Shelf"]

DELAY = 0.05
"""Seconds in which answers gather that are written together."""

READ = 4_096
"""Rows whose readings are remembered: those that are looked for, and then stored."""

SLACK = 1e-6
"""What rounding may take from a similarity."""


class Match(Struct, frozen=True):
    """An answer to a row that says the same as the one asked about.

    Args:
        likeness: how alike they are, and whose answer it is.
    """

    answer: CachedAnswer
    likeness: Likeness


class _Said(Struct, frozen=True):
    """A row as the model sees it, and what it says."""

    row: Mapping[str, Any]
    reading: Reading
    key: bytes


class SemanticCache:
    """See the module.

    Args:
        folder: created with mode 0700.
        least: the similarity from which on rows say the same, 0 to 1.
        ttl: seconds an answer is kept, None for ever.
        warn: told once, when the cache fails and the run goes on without it.
        shown: the columns of a row of which the model sees something.
        command: what was asked for, as JSON, with which hits can be audited; None where they cannot.
        writes: what comes is kept; else it is only looked into.

    Raises:
        UsageError: the embeddings are not installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        least: float,
        ttl: float | None,
        warn: Callable[[str], None],
        shown: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        command: Mapping[str, Any] | None = None,
        writes: bool = True,
    ) -> None:
        self._embedding = Embedding()
        self._least = least - SLACK
        self._ttl = ttl
        self._warn = warn
        self._shown = shown
        self._command = command
        self._writes = writes
        self._folder = folder
        self._error: Exception | None = None
        self._broken = False
        self._table = open_table(folder, warn, writes=writes)
        self._behind = Behind("llmx-semantic")
        self._fresh: dict[tuple[str, bytes], list[Entry]] = {}
        self._hits: list[Hit] = []
        self._scheduled = False
        self._readings: OrderedDict[str, _Said | None] = OrderedDict()

    def shelf(self, scope: str, endpoint: str) -> Shelf:
        """Answers to one endpoint's questions.

        Args:
            scope: the same for questions that differ in their row alone.
            endpoint: its name, for an audit.
        """
        return Shelf(self, scope, endpoint)

    def look(self, places: Sequence[Place], found: dict[str, Match | None]) -> Future[None] | None:
        """Look for the answers to requests, off this thread; what there is is put into `found`."""
        self._check()
        return None if self._broken else self._behind.do(partial(self._look, places, found))

    def _look(self, places: Sequence[Place], found: dict[str, Match | None]) -> None:
        try:
            for place in places:
                found[place.fingerprint] = self._best(place)
        except sqlite3.Error as error:
            self._error = error

    def _best(self, place: Place) -> Match | None:
        """The answer to the row that is the most alike."""
        said = self._read(place)
        if said is None:
            return None
        best: Match | None = None
        for entry in self._candidates(place.scope, said.key):
            match = self._match(place, said, entry)
            if match is not None and (best is None or match.likeness.similarity > best.likeness.similarity):
                best = match
        return best

    def _candidates(self, scope: str, key: bytes) -> list[Entry]:
        fresh = self._fresh.get((scope, key), [])[::-1]
        return [*fresh, *(self._table.under(scope, key) if self._table else [])]

    def _match(self, place: Place, said: _Said, entry: Entry) -> Match | None:
        """An entry as the answer to a row, None where it is none."""
        try:
            row, answer = loads(entry.row.encode()), answer_of(entry.answer)
            reading = reading_of(row)
            if reading is None or entry.fingerprint == place.fingerprint:
                return None
            alike = likeness(said.row, said.reading, row, reading, self._embedding)
            if alike is None or alike < self._least:
                return None
            if not grounded(loads(answer.text.encode()), said.row, row):
                return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None  # not written by us: as good as absent
        return Match(answer, Likeness(round(min(alike, 1.0), 6), entry.fingerprint))

    def _read(self, place: Place) -> _Said | None:
        """What a row says; None where it can be compared with no other."""
        if place.fingerprint in self._readings:
            return self._readings[place.fingerprint]
        said = self._said(place.data)
        self._readings[place.fingerprint] = said
        if len(self._readings) > READ:
            self._readings.popitem(last=False)
        return said

    def _said(self, data: Mapping[str, Any]) -> _Said | None:
        try:
            row = loads(to_json(dict(self._shown(data))))  # as one that was stored is read
        except (TypeError, ValueError, RecursionError):
            return None
        reading = reading_of(row)
        return None if reading is None else _Said(row, reading, key_of(row, reading))

    def key(self, fingerprint: str) -> bytes | None:
        """What a row that was looked for has in common with those that may say the same; None where there are none."""
        said = self._readings.get(fingerprint)
        return None if said is None else said.key

    def put(self, place: Place, answer: CachedAnswer) -> None:
        """Keep a valid answer. It is on the disk within moments, for other processes, too."""
        self._check()
        if self._writes and not self._broken:
            self._behind.do(partial(self._put, place, answer))

    def _put(self, place: Place, answer: CachedAnswer) -> None:
        said = self._read(place)
        self._readings.pop(place.fingerprint, None)
        if said is None:
            return
        try:
            entry = Entry(place.fingerprint, to_json(said.row).decode(), text_of(answer))
        except TypeError:
            return  # a lone surrogate, which no file of ours can hold
        self._fresh.setdefault((place.scope, said.key), []).append(entry)
        self._schedule()

    def note(self, place: Place, endpoint: str, match: Match) -> None:
        """Keep what an answer rests on that was taken, so that it can be audited."""
        if not self._writes or self._broken or self._command is None:
            return
        try:
            row = to_json(dict(place.data)).decode()
        except (TypeError, ValueError, RecursionError):
            return
        self._behind.do(
            partial(self._noted, Hit(place.fingerprint, match.likeness, endpoint, row, match.answer.text))
        )

    def _noted(self, hit: Hit) -> None:
        self._hits.append(hit)
        self._schedule()

    def _schedule(self) -> None:
        """On the thread behind: what has gathered is written soon."""
        if not self._scheduled:
            self._scheduled = True
            self._behind.later(self._write, DELAY)

    def _write(self) -> None:
        self._scheduled = False
        if self._table is None or self._error is not None:
            return
        entries, self._fresh = self._fresh, {}
        hits, self._hits = self._hits, []
        try:
            self._table.write(entries, hits, self._command, ttl=self._ttl)
        except sqlite3.Error as error:
            self._error = error

    def flush(self) -> None:
        """Return when all of it is on the disk."""
        self._behind.do(self._write).result()

    def _check(self) -> None:
        if self._error is not None and not self._broken:
            self._broken = True
            self._warn(
                f"the semantic cache in {self._folder} failed and is not used from here on: {self._error}"
            )

    def close(self) -> None:
        """Release files, once all of it is on the disk."""
        self.flush()
        self._check()
        self._behind.close()
        if self._table is not None:
            self._table.close()


class Shelf:
    """A `SemanticCache` for one endpoint's questions."""

    def __init__(self, cache: SemanticCache, scope: str, endpoint: str) -> None:
        self._cache = cache
        self._scope = scope
        self._endpoint = endpoint
        self._found: dict[str, Match | None] = {}

    def expect(self, requests: Sequence[Request]) -> Future[None] | None:
        """Look for answers to these: done when `get` can tell. None where there is nothing to wait for."""
        return self._cache.look([self._place(request) for request in requests], self._found)

    def get(self, request: Request) -> Match | None:
        """What was found, once."""
        return self._found.pop(request.fingerprint, None)

    def key(self, request: Request) -> bytes | None:
        """The same for all rows that may say the same; known once it was looked for."""
        return self._cache.key(request.fingerprint)

    def taken(self, request: Request, match: Match) -> None:
        """It was used."""
        self._cache.note(self._place(request), self._endpoint, match)

    def put(self, request: Request, completion: Completion) -> None:
        """Keep a valid answer."""
        sure = None if completion.quality is None else completion.quality.confidence
        self._cache.put(self._place(request), CachedAnswer(completion.text, completion.model, sure))

    def _place(self, request: Request) -> Place:
        return Place(f"{self._scope} {request.sample}", request.fingerprint, request.data)
