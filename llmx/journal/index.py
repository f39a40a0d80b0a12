"""What is looked up in a journal, on disk: where each answer stands, which rows are done, what it all cost.

Nothing here is the truth. The index is folded from the journal's lines, by the same code while a run goes on
and when an earlier one's is caught up with, so it can be thrown away at any time; and every line that it points
to is checked again when it is read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any

from llmx.journal.entries import count, dollars
from llmx.journal.lines import Line, decode, encode

__all__ = ["Index", "Known", "Place", "RowState", "Totals", "number", "settled_so_far"]

COMMIT_EVERY, COMMIT_SECONDS = 1_000, 1.0
"""Lines folded, and time, between two commits: as many are folded again after a crash."""

BATCH = 50_000
"""Lines put into the tables together where many are caught up with: sorted, they touch each page once."""

VERSION = 2

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE answers (
    fingerprint INTEGER PRIMARY KEY, at INTEGER NOT NULL, size INTEGER NOT NULL, generation INTEGER NOT NULL,
    claimed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE rows (
    id INTEGER PRIMARY KEY, config TEXT, done INTEGER NOT NULL, failed INTEGER NOT NULL,
    session INTEGER NOT NULL DEFAULT 0, seen INTEGER NOT NULL DEFAULT 0
);
"""

_PUT_ANSWER = "INSERT OR REPLACE INTO answers (fingerprint, at, size, generation) VALUES (?, ?, ?, ?)"

_PUT_ROW = """
INSERT INTO rows (id, config, done, failed, session) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    session = excluded.session,
    failed = excluded.failed,
    config = excluded.config,
    done = CASE WHEN excluded.done > 0 THEN excluded.done WHEN config = excluded.config THEN done ELSE 0 END
"""

_SETTLED = """
SELECT TOTAL(seen * (failed = 0)), TOTAL(seen * (failed <> 0)) FROM rows
WHERE config IS NOT NULL AND session = (SELECT MAX(session) FROM rows)
"""

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",  # a power cut costs the last transactions, which are folded again, never the file
    "cache_size=-8192",  # 8 MiB, however long the journal is
    "mmap_size=0",
    "trusted_schema=OFF",  # a file that somebody else has put there runs no function of ours
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer's line stands, in bytes, and in which generation it was given."""

    at: int
    size: int
    generation: int


@dataclass(frozen=True, slots=True)
class RowState:
    """What is known of one row: how many like it have come in this session, and how many were done before."""

    seen: int
    done: int
    failed: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a row that has been settled: whether it failed then, and whether the last session had it."""

    failed: bool
    last: bool


@dataclass(slots=True)
class Totals:
    """What the whole journal holds.

    Args:
        generation: how many runs came to their end before what follows now.
        session: how often a run was begun or resumed.
        config: the digest of what the last session asked.
        answers: paid ones; `cost` in US dollars, None when that of any is unknown.
        questions: those of them that were no answers to a re-ask.
        damaged: lines that cannot be trusted.
        complete: the last session came to its end.
    """

    generation: int = 0
    session: int = 0
    config: str = ""
    answers: int = 0
    questions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = Decimal(0)
    damaged: int = 0
    complete: bool = False


_first = itemgetter(0)  # a sort by it is stable: lines about the same stay in their order


def number(digest: str) -> int:
    """The first 63 bits of a hex digest. Two digests that share them are told apart by the line itself."""
    return int(digest[:16], 16) >> 1


@dataclass(slots=True)
class Index:
    """See the module. For one thread.

    Args:
        path: of the database; one of another journal, or that is damaged, is begun anew.
        journal: the identity of the journal it belongs to.
    """

    path: Path
    journal: str
    totals: Totals = field(default_factory=Totals)
    covered: int = 0
    _uncommitted: int = 0
    _committed_at: float = field(default_factory=time.monotonic)
    _answers: list[tuple[int, int, int, int]] = field(default_factory=list, repr=False)
    _rows: list[tuple[int, str, int, bool, int]] = field(default_factory=list, repr=False)
    _db: sqlite3.Connection = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            self._db = _open(self.path)
            _check(self._db)
            self._load()
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError):
            self.begin_anew()

    def _load(self) -> None:
        found = dict(self._db.execute("SELECT name, value FROM meta"))
        if not found:
            return
        state = decode(str(found["state"]).encode())
        if state is None or state["journal"] != self.journal or state["version"] != VERSION:
            raise ValueError("the index of another journal")
        cost = state["totals"].pop("cost")
        self.totals = Totals(**state["totals"], cost=None if cost is None else Decimal(cost))
        self.covered = int(state["covered"])

    def begin_anew(self) -> None:
        """Forget everything."""
        if hasattr(self, "_db"):
            self._db.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._db = _open(self.path)
        self.totals, self.covered, self._uncommitted = Totals(), 0, 0
        self._answers, self._rows = [], []

    def fold(self, entry: Mapping[str, Any] | None, at: int, size: int) -> None:
        """Take in the journal's next line; `entry` is None when it is damaged."""
        self._take_any(entry, at, size)
        self._put()
        if self._uncommitted >= COMMIT_EVERY or time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self.commit()

    def fold_all(self, lines: Iterable[Line]) -> Iterator[None]:
        """Take in many lines, of a journal that somebody else has written, a batch at each step."""
        for line in lines:
            self._take_any(line.entry, line.at, line.size)
            if self._uncommitted >= BATCH:
                self.commit()
                yield
        self.commit()

    def _take_any(self, entry: Mapping[str, Any] | None, at: int, size: int) -> None:
        try:
            self._take(entry, at, size)
        except (
            KeyError,
            TypeError,
            ValueError,
            ArithmeticError,
        ):  # a checksum that fits, but no line of ours
            self._take(None, at, size)

    def _take(self, entry: Mapping[str, Any] | None, at: int, size: int) -> None:
        match entry.get("t") if entry else None:
            case "answer":
                self._fold_answer(entry or {}, at, size)
            case "row":
                self._fold_row(entry or {})
            case "start":
                self._fold_start(entry or {})
            case "end":
                self._fold_end(entry or {})
            case "journal":
                pass  # the first line: who it is
            case _:
                self.totals.damaged += 1
        self.covered = at + size
        self._uncommitted += 1

    def _fold_start(self, entry: Mapping[str, Any]) -> None:
        config = entry["config"]
        if not isinstance(config, str):
            raise TypeError("a config that is no text")
        self.totals.session += 1
        self.totals.config = config
        self.totals.complete = False

    def _fold_end(self, entry: Mapping[str, Any]) -> None:
        complete = entry["complete"] is True
        self.totals.complete = complete
        self.totals.generation += complete

    def _fold_answer(self, entry: Mapping[str, Any], at: int, size: int) -> None:
        totals, usage = self.totals, entry["usage"]
        read, written, cost = count(usage["input"]), count(usage["output"]), dollars(usage["cost"])
        self._answers.append((number(entry["fp"]), at, size, totals.generation))
        totals.answers += 1
        totals.questions += not entry.get("reask")
        totals.input_tokens += read
        totals.output_tokens += written
        totals.cost = None if totals.cost is None or cost is None else totals.cost + cost

    def _fold_row(self, entry: Mapping[str, Any]) -> None:
        ok = entry["ok"] is True
        done = count(entry["n"]) if ok else 0
        totals = self.totals
        self._rows.append((number(entry["id"]), totals.config, done, not ok, totals.session))

    def _put(self) -> None:
        """Put what was taken into the tables; of two lines about the same, the later one holds."""
        if self._answers:
            self._answers.sort(key=_first)
            self._db.executemany(_PUT_ANSWER, self._answers)
            self._answers.clear()
        if self._rows:
            self._rows.sort(key=_first)
            self._db.executemany(_PUT_ROW, self._rows)
            self._rows.clear()

    def place(self, fingerprint: str) -> Place | None:
        """Where the last answer to a request stands, None when there is none."""
        query = "SELECT at, size, generation FROM answers WHERE fingerprint = ?"
        found = self._db.execute(query, (number(fingerprint),)).fetchone()
        # SQLite keeps whatever it is given: a cell that was changed on the disk may hold text.
        if found is None or not all(isinstance(value, int) for value in found):
            return None
        return Place(*found)

    def claim(self, fingerprint: str) -> bool:
        """Whether a row is the first in this session to use an answer: what that cost is told of one row."""
        query = (
            "UPDATE answers SET claimed = :session WHERE fingerprint = :fingerprint AND claimed <> :session"
        )
        given = {"session": self.totals.session, "fingerprint": number(fingerprint)}
        return self._db.execute(query, given).rowcount > 0

    def meet(self, identity: str) -> RowState:
        """Note that a row has come, in this session; what is known of it."""
        totals = self.totals
        seen, config, done, failed = self._db.execute(
            "INSERT INTO rows (id, config, done, failed, session, seen) VALUES (:id, NULL, 0, 0, :session, 1) "
            "ON CONFLICT (id) DO UPDATE SET session = :session, "
            "seen = CASE WHEN session = :session THEN seen + 1 ELSE 1 END RETURNING seen, config, done, failed",
            {"id": number(identity), "session": totals.session},
        ).fetchone()
        same = config == totals.config
        return RowState(seen, done if same else 0, bool(failed and same))

    def done(self, config: str) -> int:
        """How many rows are done under a config."""
        query = "SELECT TOTAL(done) FROM rows WHERE config = ?"
        return int(self._db.execute(query, (config,)).fetchone()[0])

    def known(self, identity: str) -> Known | None:
        """What is known of a row before a session begins; None when it never was settled."""
        query = "SELECT failed, session FROM rows WHERE id = ? AND config IS NOT NULL"
        found = self._db.execute(query, (number(identity),)).fetchone()
        return None if found is None else Known(bool(found[0]), found[1] == self.totals.session)

    def last_rows(self) -> int:
        """How many different rows the last session has settled."""
        query = "SELECT COUNT(*) FROM rows WHERE session = ? AND config IS NOT NULL"
        return int(self._db.execute(query, (self.totals.session,)).fetchone()[0])

    def rows(self) -> int:
        """How many different rows have been settled, under whatever config."""
        return int(self._db.execute("SELECT COUNT(*) FROM rows WHERE config IS NOT NULL").fetchone()[0])

    def commit(self) -> None:
        """Keep what was folded."""
        self._put()
        state = {
            "journal": self.journal,
            "version": VERSION,
            "covered": self.covered,
            "totals": asdict(self.totals),
        }
        text = encode(state).decode()  # with a checksum: from a total that a bit has changed, money is told
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('state', ?)", (text,))
        self._db.commit()
        self._uncommitted = 0
        self._committed_at = time.monotonic()

    def close(self) -> None:
        """Keep what was folded, and release the file."""
        try:
            self.commit()
        except sqlite3.Error:  # it is caught up with the next time
            self._uncommitted = 0
        self._db.close()


def settled_so_far(path: Path) -> tuple[int, int] | None:
    """Rows of the last session that ended well and that failed, from an index that somebody may be writing.

    At least so many: what was folded since the last commit is not there yet. None when nobody knows.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("PRAGMA trusted_schema=OFF")
            if _definitions(db) != _OWN:
                return None
            ok, failed = db.execute(_SETTLED).fetchone()
            return (int(ok), int(failed)) if ok or failed else None
    except (sqlite3.Error, ValueError, TypeError, OverflowError):
        return None


def _definitions(db: sqlite3.Connection) -> set[str]:
    """What stands in a database: tables of ours, or views and triggers that somebody has put there."""
    return {str(text) for (text,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}


def _own_definitions() -> set[str]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_TABLES)
        return _definitions(db)


_OWN = _own_definitions()


def _check(db: sqlite3.Connection) -> None:
    """Raise ValueError when a page is damaged: a query that came to it later would raise, or find too little."""
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise ValueError("a damaged index")


def _open(path: Path) -> sqlite3.Connection:
    """Connect. Raises ValueError where something stands in the database that is not ours, and sqlite3.Error."""
    db = sqlite3.connect(path, timeout=10)
    try:
        found = _definitions(db)
        if found and found != _OWN:
            raise ValueError("it holds what is not ours")
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        if not found:
            db.executescript(_TABLES)
    except BaseException:
        db.close()
        raise
    return db
