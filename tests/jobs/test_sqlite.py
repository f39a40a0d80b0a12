"""The store of jobs in a file."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from llmx.errors import OutputFailed, UsageError
from llmx.jobs.sqlite import APPLICATION, SqliteStore
from llmx.jobs.store import Store
from llmx.jobs.types import Progress, ShardRef
from tests.jobs.contract import Later, StoreContract, created


class Wall:
    """Seconds since 1970 that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def store(tmp_path: Path, wall: Wall) -> AsyncIterator[Store]:
    opened = SqliteStore(tmp_path / "jobs" / "jobs.db", wall)
    yield opened
    await opened.aclose()


@pytest.fixture
def later(wall: Wall) -> Later:
    async def pass_by(seconds: float) -> None:
        wall.seconds += seconds

    return pass_by


class TestSqlite(StoreContract):
    """What every store must do."""


async def test_a_key_is_forgotten_after_a_day(store: Store, wall: Wall) -> None:
    """From then on it makes a new job."""
    from tests.jobs.contract import job, shards_of

    first, second = job(), job()
    await store.create(first, shards_of(first), ("key", "digest"))
    wall.seconds += 86_401
    assert second == await store.create(second, shards_of(second), ("key", "other"))


async def test_jobs_outlive_the_process(store: Store, wall: Wall, tmp_path: Path) -> None:
    """A new process finds what an old one left, leases included, and nobody else may read it."""
    new = await created(store)
    await store.claim(ShardRef(new.id, 0), "w")
    path = tmp_path / "jobs" / "jobs.db"
    other = SqliteStore(path, wall)
    assert await store.get(new.id) == await other.get(new.id)
    assert [ShardRef(new.id, 1)] == list(await other.waiting())
    await other.aclose()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


async def test_another_process_is_heard(store: Store, wall: Wall, tmp_path: Path) -> None:
    """Who waits for a change hears of one that was made through another connection."""
    new = await created(store)
    other = SqliteStore(tmp_path / "jobs" / "jobs.db", wall)
    waiting = asyncio.create_task(store.changed(new.id, new.version, 30))
    await asyncio.sleep(0.01)
    await other.claim(ShardRef(new.id, 0), "w")
    now = await asyncio.wait_for(waiting, 10)
    assert now is not None
    assert "running" == now.state
    await other.aclose()


WRITER = """
import asyncio, sys
from pathlib import Path
from llmx.jobs.sqlite import SqliteStore
from tests.jobs.contract import job, shards_of

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    while True:
        new = job()
        await store.create(new, shards_of(new))
        print(new.id, flush=True)

asyncio.run(main())
"""


async def test_an_acknowledged_job_outlives_a_kill(tmp_path: Path) -> None:
    """Whatever was said to be there is there after kill -9 in the midst of writing."""
    path = tmp_path / "jobs.db"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert writer.stdout is not None
    said = [(await writer.stdout.readline()).decode().strip() for _ in range(20)]
    writer.kill()
    said += (await writer.stdout.read()).decode().split()
    await writer.wait()
    store = SqliteStore(path)
    kept = {one.id for one in await store.list(limit=100_000)}
    await store.aclose()
    assert set(said) <= kept


async def test_a_file_of_somebody_else_is_told(tmp_path: Path) -> None:
    """What is no database ends in one line, and is left as it was."""
    path = tmp_path / "jobs.db"
    path.write_text("a shopping list, and a long one: " * 100)
    with pytest.raises(OutputFailed, match="cannot use the jobs"):
        SqliteStore(path)
    assert path.read_text().startswith("a shopping list")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("CREATE TABLE jobs (id INTEGER)", "not one of jobs"),
        (
            f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 7; CREATE TABLE jobs (id INTEGER)",
            "format 7",
        ),
    ],
)
def test_a_database_of_somebody_else_is_refused(tmp_path: Path, made: str, said: str) -> None:
    """One of another program or another version of ours is left as it was, to the byte."""
    path = tmp_path / "jobs.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(made)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=said):
        SqliteStore(path)
    assert path.read_bytes() == before
    assert [path] == list(tmp_path.iterdir())


async def test_a_locked_file_is_not_ready(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be written the store says so, and a step is an error of ours."""
    path = tmp_path / "jobs" / "jobs.db"
    store._db.execute("PRAGMA busy_timeout = 1")  # type: ignore[attr-defined]  # of SqliteStore
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not await store.ready()
        with pytest.raises(OutputFailed, match="locked"):
            await store.renew(_lease(), Progress())
        other.execute("ROLLBACK")
    other.close()
    assert await store.ready()


def _lease():  # type: ignore[no-untyped-def]  # a Lease
    from llmx.jobs.types import Lease
    from tests.jobs.contract import job, shards_of

    new = job()
    return Lease(ShardRef(new.id, 0), new, shards_of(new)[0], 1, "w", 10.0)


async def test_a_step_that_cannot_be_committed_is_undone(tmp_path: Path) -> None:
    """The next one finds no transaction open."""
    store = SqliteStore(tmp_path / "jobs.db")
    db = store._db
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("CREATE TABLE parents (id PRIMARY KEY)")
    db.execute("CREATE TABLE orphans (id REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(OutputFailed, match="FOREIGN KEY"):
        await store._step(lambda: db.execute("INSERT INTO orphans VALUES (1)"))
    assert await store.ready()
    await store.aclose()


async def test_a_step_that_the_disk_has_undone_tells_why(tmp_path: Path) -> None:
    """And not that there was nothing left to undo."""
    store = SqliteStore(tmp_path / "jobs.db")

    def work() -> None:
        store._db.execute("ROLLBACK")  # as SQLite does where the disk is full
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(OutputFailed, match="disk is full"):
        await store._step(work)
    assert await store.ready()
    await store.aclose()
