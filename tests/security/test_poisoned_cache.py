"""Whoever can write to the cache can forge answers, and nothing else: no code of theirs runs, no run stops."""

from __future__ import annotations

import json
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import diskcache
import pytest
from commands import Llmx, Mock

from llmx.caches import CachedAnswer
from llmx.caches.exact import SETTINGS, ExactCache
from llmx.caches.inspection import OBJECTS, OWN_SETTINGS, check_database

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "boom"))


Poison = Callable[[sqlite3.Connection, bytes, Path], object]


def _row(sql: str) -> Poison:
    """Change every row; a "?" is a pickle that would leave a crater."""
    return lambda db, bomb, folder: db.execute(f"UPDATE Cache SET {sql}", (bomb,) * sql.count("?"))


def _setting(key: str, value: Any = None) -> Poison:
    return lambda db, bomb, folder: db.execute(
        "INSERT OR REPLACE INTO Settings VALUES (?, ?)", (key, bomb if value is None else value)
    )


def _file(mode: int) -> Poison:
    def poison(db: sqlite3.Connection, bomb: bytes, folder: Path) -> None:
        (folder / "x.val").write_bytes(bomb)
        db.execute("UPDATE Cache SET mode = ?, filename = 'x.val', value = NULL", (mode,))

    return poison


def _schema(sql: str) -> Poison:
    return lambda db, bomb, folder: db.executescript(sql)


IN_ROWS: dict[str, Poison] = {
    "key": _row("raw = 0, key = ?"),
    "value": _row("mode = 4, value = ?"),
    "value, raw": _row("mode = 1, value = ?"),
    "tag": _row("tag = ?"),
    "everything": _row("raw = 0, key = ?, tag = ?, mode = 4, value = ?, size = 'x', expire_time = 'x'"),
    "file, binary": _file(2),
    "file, text": _file(3),
    "file, pickle": _file(4),
    "mode": _row("mode = 'x'"),
}
"""Poison that TextDisk takes for a miss."""

IN_SETTINGS: dict[str, Poison] = {
    "setting that is a method": _setting("get", "x"),
    "setting that is a property": _setting("_sql", 5),
    "setting of the disk": _setting("disk_fetch", "os.system"),
    "setting of the disk, new": _setting("disk_compress_level"),
    "pragma": _setting("sqlite_writable_schema", 1),
    "pragma with more": _setting("sqlite_cache_size = 1; ATTACH 'x' AS y; --", 1),
    "count": _setting("count"),
    "size": _setting("size", "many"),
}
"""Poison that diskcache would take for its own."""

IN_SCHEMA: dict[str, Poison] = {
    "endless trigger": _schema(
        f"CREATE TRIGGER t AFTER INSERT ON Cache BEGIN INSERT INTO Settings {ENDLESS} SELECT x, x FROM n; END"
    ),
    "endless view": _schema(
        f"ALTER TABLE Settings RENAME TO Other; CREATE VIEW Settings AS {ENDLESS} SELECT x AS key, x AS value FROM n"
    ),
    "endless rows": _schema(
        "ALTER TABLE Cache RENAME TO Other; CREATE VIEW Cache AS "
        f"{ENDLESS} SELECT x AS rowid, x AS key, 1 AS raw, 1 AS store_time, NULL AS expire_time, 1 AS access_time, "
        "1 AS access_count, NULL AS tag, 0 AS size, 1 AS mode, NULL AS filename, x AS value FROM n"
    ),
    "function of ours": _schema(
        "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN SELECT load_extension('/tmp/x'); END"
    ),
    "index": _schema("CREATE INDEX i ON Cache (zeroblob(1000000))"),
    "another's trigger": _schema(
        "DROP TRIGGER Settings_count_insert; CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache "
        "BEGIN DELETE FROM Cache; END"
    ),
    "table": _schema("CREATE TABLE more (x)"),
}
"""Poison that SQLite would run."""

POISONS = {**IN_ROWS, **IN_SETTINGS, **IN_SCHEMA}


@pytest.fixture
def crater(tmp_path: Path) -> Path:
    """The file that there must not be."""
    return tmp_path / "crater"


def poison(folder: Path, crater: Path, how: str) -> None:
    """What somebody with write access to the cache could do."""
    with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as db:
        POISONS[how](db, pickle.dumps(Bomb(crater)), folder)


def run(llmx: Llmx, mock: Mock, *argv: str) -> str:
    """One run over one row; what it said."""
    done = llmx("extract", "rows.jsonl", "-s", "name str", *argv, *mock.openai, OPENAI_API_KEY="k")
    assert "Traceback" not in done.err
    assert (done.code, len(done.rows)) == (0, 1)
    return done.err


@pytest.mark.parametrize("how", POISONS)
def test_a_run_on_a_poisoned_cache(llmx: Llmx, mock: Mock, crater: Path, how: str) -> None:
    """Nothing runs, the model is asked, and the run comes to its end; what is not a miss is set aside with a warning."""
    (llmx.cwd / "rows.jsonl").write_text(json.dumps({"text": "Ann"}) + "\n")
    first = ("extract", "rows.jsonl", "-s", "name str", *mock.openai, "-o", "first.jsonl", "--state-dir", "s")
    assert llmx(*first, OPENAI_API_KEY="k").code == 0
    folder = Path(llmx.env["LLMX_HOME"]) / "cache"
    poison(folder, crater, how)
    only_read, said = run(llmx, mock, "--no-store"), run(llmx, mock)
    assert not crater.exists()
    kept = how == "tag"  # it is never looked at: the answer is as it was
    assert mock.calls == (1 if kept else 3)
    set_aside = how not in IN_ROWS
    assert ("is damaged and not used" in only_read) is set_aside
    assert ("is damaged; it is kept as cache.db.damaged" in said) is set_aside
    assert (folder / "cache.db.damaged").exists() is set_aside


@pytest.mark.parametrize("command", ["stats", "clear"])
@pytest.mark.parametrize("how", ["everything", "count", "endless view", "endless rows"])
def test_the_commands_for_the_cache(llmx: Llmx, mock: Mock, crater: Path, how: str, command: str) -> None:
    """They end, too, and run nothing."""
    folder = Path(llmx.env["LLMX_HOME"]) / "cache"
    folder.mkdir(parents=True)
    filled(folder).close()
    poison(folder, crater, how)
    assert llmx("cache", command).code == 0
    assert not crater.exists()


def filled(folder: Path) -> ExactCache:
    """A cache with an answer."""
    cache = ExactCache(folder, ttl=None, warn=pytest.fail)
    cache.put("f", CachedAnswer('{"name": "Ann"}', "m"))
    return cache


def test_the_poison_works(tmp_path: Path, crater: Path) -> None:
    """Read as diskcache reads it, the poisoned value runs: the tests above would notice."""
    filled(tmp_path).close()
    poison(tmp_path, crater, "value")
    with diskcache.Cache(str(tmp_path)) as plain:
        plain.get("f")
    assert crater.exists()


@pytest.fixture
def made(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The database of a cache of ours."""
    filled(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "cache.db")) as db:
        yield db


def test_what_is_looked_for_is_what_diskcache_makes(made: sqlite3.Connection) -> None:
    """Another version of diskcache with other tables, or other settings, would set every cache aside."""
    made_by_it = {sql for (sql,) in made.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    assert made_by_it == OBJECTS
    assert set(SETTINGS) - set(diskcache.DEFAULT_SETTINGS) == OWN_SETTINGS


def test_a_cache_that_another_process_is_making(made: sqlite3.Connection, tmp_path: Path) -> None:
    """What is missing is no damage."""
    made.executescript("DROP TABLE Cache; DELETE FROM Settings")
    check_database(tmp_path / "cache.db")


def test_there_is_no_cache_yet(tmp_path: Path) -> None:
    """Nothing is wrong with it, and nothing is made."""
    check_database(tmp_path / "cache.db")
    assert list(tmp_path.iterdir()) == []
