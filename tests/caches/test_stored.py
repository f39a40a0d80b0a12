"""The exact cache, only looked into: nothing is written, and nothing is believed that `ExactCache` would not believe."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from llmx.caches import CachedAnswer
from llmx.caches.exact import ExactCache
from llmx.caches.stored import StoredCache
from llmx.errors import OutputFailed

ANSWER = CachedAnswer('{"name": "Ada"}', "m-2026")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a cache has one answer, "f"."""
    return kept(tmp_path / "cache", ttl=None)


def kept(folder: Path, ttl: float | None) -> Path:
    cache = ExactCache(folder, ttl=ttl, warn=pytest.fail)
    cache.put("f", ANSWER)
    cache.close()
    return folder


def look(folder: Path, fingerprint: str = "f", told: list[str] | None = None) -> CachedAnswer | None:
    cache = StoredCache(folder, warn=pytest.fail if told is None else told.append)
    try:
        return cache.get(fingerprint)
    finally:
        cache.close()


def poison(folder: Path, sql: str, *values: Any) -> None:
    connection = sqlite3.connect(folder / "cache.db", isolation_level=None)
    connection.execute(sql, values)
    connection.close()


def test_an_answer_is_found(folder: Path):
    """As it was kept; another is not there."""
    assert (look(folder), look(folder, "g")) == (ANSWER, None)


def test_nothing_is_written(folder: Path, tmp_path: Path):
    """Neither an answer nor a cache where there is none."""
    before = (folder / "cache.db").read_bytes()
    cache = StoredCache(folder, warn=pytest.fail)
    cache.put("g", ANSWER)
    assert cache.get("g") is None
    cache.close()
    assert (folder / "cache.db").read_bytes() == before
    assert look(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_an_answer_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """That of `--cache-ttl` when it was kept."""
    folder = kept(tmp_path / "cache", ttl=60)
    assert look(folder) == ANSWER
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert look(folder) is None


def test_it_is_read_while_another_process_writes(folder: Path):
    """As it is when it is asked."""
    writing = ExactCache(folder, ttl=None, warn=pytest.fail)
    cache = StoredCache(folder, warn=pytest.fail)
    writing.put("g", ANSWER)
    writing.flush()
    assert cache.get("g") == ANSWER
    cache.close()
    writing.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE Cache SET value = X'80'",
        "UPDATE Cache SET value = 'no JSON'",
        'UPDATE Cache SET value = \'{"text": 1, "model": 2}\'',
        "UPDATE Cache SET mode = 4",
        "UPDATE Cache SET filename = '/etc/passwd'",
        "UPDATE Cache SET raw = 0",
    ],
)
def test_what_is_not_ours_is_absent(folder: Path, sql: str):
    """No file is opened, nothing is unpickled."""
    poison(folder, sql)
    assert look(folder) is None


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW Other AS SELECT 1",
        "CREATE TRIGGER t AFTER UPDATE ON Cache BEGIN SELECT 1; END",
        "INSERT INTO Settings VALUES ('disk', 'x')",
    ],
)
def test_a_database_that_somebody_else_has_changed_is_not_used(folder: Path, sql: str):
    """It is left as it is."""
    poison(folder, sql)
    told: list[str] = []
    assert look(folder, told=told) is None
    assert len(told) == 1
    assert "is damaged and not used" in told[0]
    assert (folder / "cache.db").exists()


def test_a_database_that_is_only_begun(folder: Path):
    """It has no answer."""
    (folder / "cache.db").write_bytes(b"")
    assert look(folder) is None


def test_no_database(folder: Path):
    """Neither is what is none."""
    (folder / "cache.db").write_bytes(b"no database, but long enough to be taken for one" * 100)
    told: list[str] = []
    assert look(folder, told=told) is None
    assert len(told) == 1


def test_a_folder_in_its_place(tmp_path: Path):
    """The system's error, and a way out."""
    (tmp_path / "cache.db").mkdir()
    with pytest.raises(OutputFailed, match="cannot read the cache in") as caught:
        look(tmp_path)
    assert "--cache off" in caught.value.hint
