"""The semantic cache on disk: what is found, what is not, and what happens to a file that is not as it was left."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llmx.caches import CachedAnswer
from llmx.caches.rows import Place, kept_hits
from llmx.caches.semantic import Match, SemanticCache
from llmx.errors import OutputFailed

ROW = {"text": "The parcel 4711 from Hamburg arrived late."}
ALIKE = {"text": "Hello, the parcel 4711 from Hamburg arrived late!"}
OTHER = {"text": "The parcel 4712 from Hamburg arrived late."}
ANSWER = CachedAnswer('{"name": "Ada"}', "m-2026")


def opened(folder: Path, told: list[str] | None = None, **options: Any) -> SemanticCache:
    given: dict[str, Any] = {"least": 0.97, "ttl": None, "shown": lambda row: row, "command": {"cwd": "/x"}}
    warn = pytest.fail if told is None else told.append
    return SemanticCache(folder, warn=warn, **{**given, **options})


def kept(
    folder: Path,
    row: Mapping[str, Any] = ROW,
    answer: CachedAnswer = ANSWER,
    scope: str = "s",
    **options: Any,
) -> None:
    cache = opened(folder, **options)
    cache.put(Place(scope, f"of {row}", row), answer)
    cache.close()


def find(cache: SemanticCache, row: Mapping[str, Any], scope: str = "s") -> Match | None:
    found: dict[str, Match | None] = {}
    looking = cache.look([Place(scope, "asked", row)], found)
    if looking is None:
        return None
    looking.result(timeout=60)
    return found.get("asked")


def look(
    folder: Path,
    row: Mapping[str, Any] = ALIKE,
    told: list[str] | None = None,
    scope: str = "s",
    **options: Any,
) -> CachedAnswer | None:
    cache = opened(folder, told, **options)
    try:
        match = find(cache, row, scope)
        return None if match is None else match.answer
    finally:
        cache.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a cache has one answer."""
    kept(tmp_path / "semantic")
    return tmp_path / "semantic"


def poison(folder: Path, sql: str, *values: Any) -> None:
    db = sqlite3.connect(folder / "answers.sqlite", isolation_level=None)
    db.execute(sql, values)
    db.close()


def test_a_row_that_says_the_same_is_found(folder: Path) -> None:
    """In another run; one that does not is not."""
    assert (look(folder), look(folder, OTHER)) == (ANSWER, None)


def test_a_hit_says_whose_answer_it_is(folder: Path) -> None:
    """And how alike the rows are."""
    cache = opened(folder)
    match = find(cache, ALIKE)
    cache.close()
    assert match is not None
    assert (match.likeness.similarity, match.likeness.fingerprint) == (1.0, f"of {ROW}")


def test_another_question_has_other_answers(folder: Path) -> None:
    """Schema, prompt, model and sample are the scope."""
    assert look(folder, scope="t") is None


def test_an_answer_is_found_before_it_is_written(tmp_path: Path) -> None:
    """By the process that has it."""
    cache = opened(tmp_path / "semantic")
    cache.put(Place("s", "f", ROW), ANSWER)
    match = find(cache, ALIKE)
    cache.close()
    assert match is not None


def test_a_misspelt_row_has_to_be_similar(folder: Path) -> None:
    """The threshold is the user's."""
    kept(folder, {"text": "Did you receive the parcel from Hamburg?"})
    misspelt = {"text": "Did you recieve the parcel from Hamburg?"}
    assert (look(folder, misspelt, least=0.5), look(folder, misspelt, least=0.999)) == (ANSWER, None)


@pytest.mark.parametrize("row", [{"text": "short"}, {"text": "It arrived late today in Hamburg"}, {"n": 1}])
def test_some_rows_are_not_kept(tmp_path: Path, row: Mapping[str, Any]) -> None:
    """Those that can be compared with none."""
    kept(tmp_path / "semantic", row)
    db = sqlite3.connect(tmp_path / "semantic" / "answers.sqlite")
    assert db.execute("SELECT COUNT(*) FROM answers").fetchone() == (0,)
    db.close()


def test_a_value_of_the_other_row_has_to_be_in_this_one(tmp_path: Path) -> None:
    """An answer that quotes the other row is none to a row that has not its words."""
    kept(tmp_path / "a", answer=CachedAnswer('{"name": "Hamburg"}', "m"))
    shouted = {"text": ROW["text"].upper()}
    assert (look(tmp_path / "a") is None, look(tmp_path / "a", shouted)) == (False, None)


def test_an_answer_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After which it is not found, and then not there."""
    folder = tmp_path / "semantic"
    kept(folder, ttl=100.0)
    assert look(folder) == ANSWER
    later = time.time() + 101
    monkeypatch.setattr("llmx.caches.rows.time.time", lambda: later)
    assert look(folder) is None
    kept(folder, OTHER)
    db = sqlite3.connect(folder / "answers.sqlite")
    assert db.execute("SELECT COUNT(*) FROM answers").fetchone() == (1,)
    db.close()


def test_nobody_else_can_read_it(folder: Path) -> None:
    """The folder and what is in it."""
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    assert modes <= {0o700, 0o600}


def test_it_may_only_be_looked_into(folder: Path, tmp_path: Path) -> None:
    """Then nothing is written, and no folder made."""
    before = (folder / "answers.sqlite").read_bytes()
    cache = opened(folder, writes=False)
    assert find(cache, ALIKE) is not None
    cache.put(Place("s", "g", OTHER), ANSWER)
    cache.close()
    assert (folder / "answers.sqlite").read_bytes() == before
    assert (look(tmp_path / "none", writes=False), (tmp_path / "none").exists()) == (None, False)


@pytest.mark.parametrize(
    "damage", [b"no database at all, but some bytes" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_set_aside(folder: Path, damage: bytes) -> None:
    """With a warning; it is a miss, and a new one is begun."""
    (folder / "answers.sqlite").write_bytes(damage)
    told: list[str] = []
    assert look(folder, told=told) is None
    assert len(told) == 1
    assert "is damaged; it is kept as answers.sqlite.damaged" in told[0]
    kept(folder)
    assert look(folder) == ANSWER


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
        "CREATE TABLE other (x)",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE hits",
    ],
)
def test_somebody_elses_database_is_not_used(folder: Path, sql: str) -> None:
    """Neither its triggers nor its views are run."""
    poison(folder, sql)
    told: list[str] = []
    look(folder, told=told)
    assert "somebody else's" in told[0]


@pytest.mark.parametrize(
    ("column", "value"),
    [("row", "{"), ("row", "[1]"), ("answer", "{}"), ("answer", '{"text": 1, "model": "m"}'), ("row", b"x")],
)
def test_a_damaged_row_is_a_miss(folder: Path, column: str, value: Any) -> None:
    """And no reason to give up the others."""
    poison(folder, f"UPDATE answers SET {column} = ?", value)
    assert look(folder) is None
    kept(folder, {"text": "Another parcel 12 from Bremen arrived late."})
    assert look(folder, {"text": "another parcel 12 from Bremen arrived late"}) == ANSWER


def test_a_failing_disk_is_told_once(folder: Path) -> None:
    """And the run goes on without."""
    told: list[str] = []
    cache = opened(folder, told)
    poison(folder, "DROP TABLE answers")
    assert find(cache, ALIKE) is None
    assert find(cache, ALIKE) is None
    cache.put(Place("s", "g", OTHER), ANSWER)
    cache.close()
    assert len(told) == 1
    assert "failed and is not used from here on" in told[0]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """Before anything is asked."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="cannot use the semantic cache"):
        opened(tmp_path / "file" / "semantic")


def test_hits_are_kept_once(folder: Path) -> None:
    """With what an audit needs; the same run again adds none."""
    for _ in range(2):
        cache = opened(folder)
        match = find(cache, ALIKE)
        assert match is not None
        cache.note(Place("s", "asked", ALIKE), "openai/m", match)
        cache.close()
    (hit,) = kept_hits(folder)
    assert (hit.command, hit.hit.endpoint, hit.hit.answer) == ({"cwd": "/x"}, "openai/m", ANSWER.text)
    assert (hit.hit.fingerprint, hit.hit.likeness.similarity) == ("asked", 1.0)


TOGETHER = """
import sys
from pathlib import Path
from llmx.caches import CachedAnswer
from llmx.caches.rows import Place
from llmx.caches.semantic import SemanticCache
cache = SemanticCache(Path(sys.argv[1]), least=0.97, ttl=None, warn=sys.exit, shown=lambda row: row, command={})
for number in range(200):
    row = {"text": f"The parcel {sys.argv[2]}{number} from Hamburg arrived late."}
    cache.put(Place("s", f"{sys.argv[2]}{number}", row), CachedAnswer("{}", "m"))
    if number % 20 == 0:
        cache.flush()
cache.close()
"""


def test_processes_share_it(tmp_path: Path) -> None:
    """Three that begin it and write at once: nothing is lost, and each finds what the others wrote."""
    folder = tmp_path / "semantic"
    running = [
        subprocess.Popen([sys.executable, "-c", TOGETHER, str(folder), name], env={**os.environ})
        for name in "123"
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    db = sqlite3.connect(folder / "answers.sqlite")
    assert db.execute("SELECT COUNT(*) FROM answers").fetchone() == (600,)
    db.close()
    assert look(folder, {"text": "the parcel 2199 from Hamburg arrived late"}) == CachedAnswer("{}", "m")
