"""The exact cache: text and nothing else, private, and never in the way of a run."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peak import peak_kib

from llmx.caches import CachedAnswer
from llmx.caches.exact import ExactCache, TextDisk, cache_folder
from llmx.errors import OutputFailed

ANSWER = CachedAnswer('{"name": "Ada"}', "m-2026")
RAW, BINARY, TEXT, PICKLE = 1, 2, 3, 4
"""diskcache's storage modes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache"


@pytest.fixture
def told() -> list[str]:
    """What the cache warned of."""
    return []


class AtOnce(ExactCache):
    """A cache whose answers are on the disk when `put` returns, for whoever looks there."""

    def put(self, fingerprint: str, answer: CachedAnswer) -> None:
        super().put(fingerprint, answer)
        self.flush()


@pytest.fixture
def cache(folder: Path, told: list[str]) -> Iterator[ExactCache]:
    opened = AtOnce(folder, ttl=None, warn=told.append)
    yield opened
    opened.close()


def database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "cache.db", isolation_level=None)


def poison(folder: Path, sql: str, *values: Any) -> None:
    """What somebody with write access to the folder could do."""
    connection = database(folder)
    connection.execute(sql, values)
    connection.close()


# Keeping answers


def test_an_answer_is_kept(cache: ExactCache):
    """What was put is what is got, across instances."""
    cache.put("f", ANSWER)
    assert cache.get("f") == ANSWER
    assert cache.get("g") is None


def test_an_answer_survives_the_process(cache: ExactCache, folder: Path):
    """Another cache on the same folder has it."""
    cache.put("f", ANSWER)
    other = ExactCache(folder, ttl=None, warn=pytest.fail)
    assert other.get("f") == ANSWER
    other.close()


def test_a_later_answer_replaces_an_earlier(cache: ExactCache):
    """One entry per fingerprint."""
    cache.put("f", CachedAnswer("old", "m"))
    cache.put("f", ANSWER)
    assert cache.get("f") == ANSWER
    assert cache.stats().entries == 1


@pytest.mark.parametrize(
    "text",
    ["", "\x00", "Ω🙂\u2028", '"\\ud800"', "x" * 5_000_000],
    ids=["empty", "nul", "wide", "escape", "large"],
)
def test_any_text_comes_back_as_it_was(cache: ExactCache, text: str):
    """Nothing, NULs, separators, escapes and megabytes."""
    cache.put("f", CachedAnswer(text, "m"))
    assert cache.get("f") == CachedAnswer(text, "m")


def test_a_large_answer_makes_no_file(cache: ExactCache, folder: Path):
    """Values live in the database, whatever their size."""
    cache.put("f", CachedAnswer("x" * 5_000_000, "m"))
    assert all(path.name.startswith("cache.db") for path in folder.rglob("*"))


def test_text_that_cannot_be_stored_is_let_go(cache: ExactCache, told: list[str]):
    """A lone surrogate has no bytes: the answer is used, not kept, and the cache goes on."""
    cache.put("f", CachedAnswer("\ud800", "m"))
    cache.put("g", ANSWER)
    assert (cache.get("f"), cache.get("g"), told) == (None, ANSWER, [])


def test_nothing_is_evicted_by_size(folder: Path):
    """Every entry was paid for: diskcache's limit of a gigabyte is not ours."""
    cache = AtOnce(folder, ttl=None, warn=pytest.fail)
    cache._cache.reset("size_limit", 1000)
    for n in range(100):
        cache.put(str(n), CachedAnswer("x" * 1000, "m"))
    assert cache.stats().entries == 100
    cache.close()


def test_an_answer_ends_with_its_ttl(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """After `--cache-ttl` seconds an answer is gone, not before."""
    now = 1_000_000.0
    monkeypatch.setattr("diskcache.core.time.time", lambda: now)
    cache = AtOnce(folder, ttl=60.0, warn=pytest.fail)
    cache.put("f", ANSWER)
    now += 59
    assert cache.get("f") == ANSWER
    now += 2
    assert cache.get("f") is None
    cache.close()


def test_stats_and_clear(cache: ExactCache):
    """Entries and bytes are counted, and cleared."""
    for n in range(250):
        cache.put(str(n), CachedAnswer("x" * 1000, "m"))
    assert cache.stats().entries == 250
    assert cache.stats().size > 250_000
    assert cache.clear() == 250
    assert cache.stats().entries == 0
    assert cache.stats().size < 250_000


def test_the_cache_is_below_home(tmp_path: Path):
    """`$LLMX_HOME/cache`."""
    assert cache_folder(tmp_path) == tmp_path / "cache"


# Private


def test_folders_and_files_are_private(cache: ExactCache, folder: Path):
    """Folders that we make are 0700, files 0600, whatever the umask."""
    cache.put("f", ANSWER)
    folders = [folder.parent, folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_the_umask_is_left_as_it_was(folder: Path):
    """Opening a cache changes nothing for the output files."""
    before = os.umask(0o024)
    ExactCache(folder, ttl=None, warn=pytest.fail).close()
    assert os.umask(before) == 0o024


# Poison


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "boom"))


@pytest.fixture
def crater(tmp_path: Path) -> Path:
    return tmp_path / "crater"


def test_the_bomb_works(crater: Path):
    """The tests below would notice code that runs."""
    pickle.loads(pickle.dumps(Bomb(crater)))
    assert crater.exists()


def test_a_pickled_value_runs_nothing(cache: ExactCache, folder: Path, crater: Path, told: list[str]):
    """A value made into a pickle is a miss, and the next answer takes its place."""
    cache.put("f", ANSWER)
    poison(folder, "UPDATE Cache SET mode = ?, value = ?", PICKLE, pickle.dumps(Bomb(crater)))
    assert cache.get("f") is None
    cache.put("f", ANSWER)
    assert cache.get("f") == ANSWER
    assert (crater.exists(), told) == (False, [])


def test_a_pickle_file_runs_nothing(cache: ExactCache, folder: Path, crater: Path):
    """A value in a pickle file beside the database is not opened."""
    cache.put("f", ANSWER)
    (folder / "x.val").write_bytes(pickle.dumps(Bomb(crater)))
    poison(folder, "UPDATE Cache SET mode = ?, filename = 'x.val', value = NULL", PICKLE)
    assert cache.get("f") is None
    assert not crater.exists()


def test_a_pickled_key_runs_nothing(cache: ExactCache, folder: Path, crater: Path):
    """A key made into a pickle is never decoded: not when read, counted or cleared."""
    cache.put("f", ANSWER)
    poison(folder, "UPDATE Cache SET raw = 0, key = ?", pickle.dumps(Bomb(crater)))
    assert cache.get("f") is None
    assert cache.stats().entries == 1
    with pytest.raises(ValueError, match="key that is not text"):
        list(cache._cache)
    assert cache.clear() == 1
    assert not crater.exists()


@pytest.mark.parametrize("mode", [RAW, BINARY, TEXT, PICKLE])
@pytest.mark.parametrize("elsewhere", ["absolute", "relative"])
def test_a_file_name_is_not_followed(
    cache: ExactCache, folder: Path, tmp_path: Path, mode: int, elsewhere: str
):
    """A row that names a file, ours or not, is a miss: the file is not read."""
    secret = tmp_path / "secret"
    secret.write_text('{"text": "secret", "model": "m"}')
    name = str(secret) if elsewhere == "absolute" else "../../secret"
    cache.put("f", ANSWER)
    poison(folder, "UPDATE Cache SET mode = ?, filename = ?, value = NULL", mode, name)
    assert cache.get("f") is None


@pytest.mark.parametrize("action", ["put", "clear", "expire"])
def test_a_file_name_is_not_deleted(cache: ExactCache, folder: Path, tmp_path: Path, action: str):
    """A row that names somebody's file does not make us delete it when the row goes."""
    precious = tmp_path / "precious"
    precious.write_text("thesis")
    cache.put("f", ANSWER)
    poison(
        folder,
        "UPDATE Cache SET filename = ?, expire_time = ?",
        str(precious),
        1.0 if action == "expire" else None,
    )
    if action == "clear":
        cache.clear()
    else:
        cache.put("f" if action == "put" else "g", ANSWER)
    assert precious.read_text() == "thesis"


@pytest.mark.parametrize(
    "value",
    [
        b"\x80\x04.",
        b'{"text": "x", "model": "m"}',
        7,
        1.5,
        None,
        "not json",
        "[" * 100_000,
        "[]",
        "{}",
        '{"text": 5, "model": "m"}',
        '{"text": "{}", "model": null}',
    ],
    ids=lambda value: repr(value)[:20].replace("\\", ""),
)
def test_what_we_did_not_write_is_a_miss(cache: ExactCache, folder: Path, told: list[str], value: Any):
    """A blob, a number, NULL, broken JSON or JSON of another shape is as good as absent."""
    cache.put("f", ANSWER)
    poison(folder, "UPDATE Cache SET value = ?", value)
    assert cache.get("f") is None
    cache.put("f", ANSWER)
    assert (cache.get("f"), told) == (ANSWER, [])


@pytest.mark.parametrize("value", [b"bytes", 7, ("tuple",), None])
def test_only_text_is_stored(tmp_path: Path, value: Any):
    """The disk refuses to write what it would refuse to read."""
    disk = TextDisk(str(tmp_path))
    with pytest.raises(TypeError, match=f"cache keys are text, got {type(value).__name__}"):
        disk.put(value)
    with pytest.raises(TypeError, match=f"cache values are text, got {type(value).__name__}"):
        disk.store(value, False)


# Damage


def test_a_cache_that_fails_is_told_once_and_left_alone(cache: ExactCache, folder: Path, told: list[str]):
    """The run goes on without it: every look is a miss, every answer is let go."""
    cache.put("f", ANSWER)
    poison(folder, "DROP TABLE Cache")
    assert cache.get("f") is None
    cache.put("g", ANSWER)
    assert cache.get("g") is None
    assert told == [f"the cache in {folder} failed and is not used from here on: no such table: Cache"]


def test_a_write_that_fails_is_told_once(cache: ExactCache, folder: Path, told: list[str]):
    """A full disk or a lock that nobody gives up ends the caching, not the run."""
    poison(folder, "CREATE TRIGGER full BEFORE INSERT ON Cache BEGIN SELECT RAISE(FAIL, 'disk full'); END")
    cache.put("f", ANSWER)
    cache.put("g", ANSWER)
    assert told == [f"the cache in {folder} failed and is not used from here on: disk full"]


def test_a_lock_says_what_it_is(cache: ExactCache, folder: Path, told: list[str]):
    """Another process that holds it for longer than anybody waits ends the caching."""
    cache._db.execute("PRAGMA busy_timeout = 0")
    holder = database(folder)
    holder.execute("BEGIN IMMEDIATE")
    cache.put("f", ANSWER)
    holder.close()
    assert told == [f"the cache in {folder} failed and is not used from here on: database is locked"]


@pytest.mark.filterwarnings(
    "ignore:unclosed database:ResourceWarning"
)  # diskcache leaves what it could not open
@pytest.mark.parametrize("damage", ["garbage", "settings"])
def test_a_damaged_cache_is_set_aside(folder: Path, told: list[str], damage: str):
    """A file that is no database, or one with settings of somebody's making, is replaced with one warning."""
    first = ExactCache(folder, ttl=None, warn=told.append)
    first.put("f", ANSWER)
    first.close()
    if damage == "garbage":
        (folder / "cache.db").write_bytes(b"garbage " * 1000)
    else:
        poison(folder, "INSERT INTO Settings VALUES ('disk_remove', 'os.remove')")
    second = ExactCache(folder, ttl=None, warn=told.append)
    second.put("g", ANSWER)
    assert (second.get("f"), second.get("g")) == (None, ANSWER)
    second.close()
    assert len(told) == 1
    assert told[0].startswith(
        f"the cache in {folder} is damaged; it is kept as cache.db.damaged and a new one begun: "
    )
    assert (folder / "cache.db.damaged").exists()


def test_pages_damaged_later_are_a_failure_like_others(folder: Path, told: list[str]):
    """Damage found only when a row is read does not end the run."""
    first = ExactCache(folder, ttl=None, warn=told.append)
    for n in range(200):
        first.put(str(n), CachedAnswer("x" * 2000, "m"))
    first._cache._sql("PRAGMA wal_checkpoint(TRUNCATE)")
    first.close()
    pages = bytearray((folder / "cache.db").read_bytes())
    pages[40_000:] = b"\xff" * len(pages[40_000:])
    (folder / "cache.db").write_bytes(pages)
    second = ExactCache(folder, ttl=None, warn=told.append)
    assert [second.get(str(n)) for n in range(200) if second._broken] == []  # nothing raised
    second.put("new", ANSWER)
    second.close()
    assert len(told) == 1


def test_a_cache_that_cannot_be_opened_is_an_error_before_the_first_call(tmp_path: Path):
    """A file where the folder should be: one line and what to do about it."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(OutputFailed, match=r"^cannot use the cache in .*/cache: [^:/]*$") as caught:
        ExactCache(tmp_path / "cache", ttl=None, warn=pytest.fail)
    assert caught.value.hint == "`--cache off`, or another folder by LLMX_HOME"


def test_stats_of_a_broken_cache_are_an_error_of_ours(cache: ExactCache, folder: Path):
    """`llmx cache stats` and `clear` end with a line, not a traceback."""
    poison(folder, "DROP TABLE Settings")
    poison(folder, "DROP TABLE Cache")
    with pytest.raises(OutputFailed, match="no such table: Settings"):
        cache.stats()
    with pytest.raises(OutputFailed, match="no such table: Cache"):
        cache.clear()


# Two at once

WRITER = """
import sys
from pathlib import Path
from llmx.caches import CachedAnswer
from llmx.caches.exact import ExactCache
cache = ExactCache(Path(sys.argv[1]), ttl=None, warn=sys.exit)
for n in range(200):
    cache.put(f"{sys.argv[2]}-{n}", CachedAnswer(str(n), sys.argv[2]))
    cache.put("both", CachedAnswer("x" * 1000, "m"))
cache.close()
"""


def test_two_processes_share_a_cache(folder: Path):
    """Both write at once, from the opening on; nothing is lost and nobody fails."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, folder, name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    cache = ExactCache(folder, ttl=None, warn=pytest.fail)
    assert all(cache.get(f"{name}-{n}") == CachedAnswer(str(n), name) for name in "ab" for n in range(200))
    assert cache.stats().entries == 401
    cache.close()


HOARDER = """
import sys
from pathlib import Path
from llmx.caches import CachedAnswer
from llmx.caches.exact import ExactCache
cache = ExactCache(Path(sys.argv[1]), ttl=None, warn=sys.exit)
for n in range(int(sys.argv[2])):
    cache.get(str(n))
    cache.put(str(n), CachedAnswer(f"{n:4000}", "m"))
cache.close()
"""


def test_memory_does_not_grow_with_the_cache(tmp_path: Path):
    """Sixty megabytes of answers cost at most 20 MB more than one: SQLite neither maps nor holds the file."""
    few, many = (peak_kib(HOARDER, tmp_path / str(count), str(count)) for count in (1, 15_000))
    assert many - few < 20_000
