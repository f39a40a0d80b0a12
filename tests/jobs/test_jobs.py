"""Jobs from an upload to their results, run by workers over real sockets, which are killed, paused and told to end."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Mock, mocked

from llmx.clock import SystemClock
from llmx.errors import UsageError
from llmx.jobs.desk import forget, resume
from llmx.jobs.document import document
from llmx.jobs.fence import Fenced
from llmx.jobs.folder import job_folder
from llmx.jobs.results import errors, results
from llmx.jobs.shard import run_shard
from llmx.jobs.store import Conflict
from llmx.jobs.types import Finished, Progress, ShardRef
from llmx.jobs.worker import Worker
from llmx.mock import MockSettings
from llmx.mock.settings import Latency
from llmx.report.summary import Figures
from llmx.settings import MaxFailures
from tests.jobs.scene import WorkerProcess, desk_in, ended, gathered, handed_in, ids, rows_in, until


@pytest.fixture
def mock() -> Iterator[Mock]:
    with mocked() as running:
        yield running


async def test_a_job_is_run_to_its_end(tmp_path: Path, mock: Mock) -> None:
    """Rows come out in their order, whatever the shards' order is, each once."""
    async with desk_in(tmp_path, mock.url, shard_rows=7) as desk:
        job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 50), name="fifty")
        assert ("queued", 50, 8) == (job.state, job.rows, job.shards)
        worker = Worker(desk)
        working = asyncio.create_task(worker.run(3))
        job = await ended(desk, job.id)
        rows = await gathered(results(desk, job.id))
        worker.drain()
        await working
    assert "succeeded" == job.state
    assert list(range(50)) == ids(rows)
    assert all(row["tone"] in ("good", "bad") for row in rows)
    assert (50, 0, 8) == (job.progress.settled, job.progress.failed, job.done)
    told = document(job)
    assert {"total": 50, "settled": 50, "ok": 50, "failed": 0, "cached": 0, "unreadable": 0} == told["rows"]
    assert mock.calls == told["calls"] == 50
    assert told["tokens"]["input"] > 0


async def test_rows_that_cannot_be_read_are_failed_rows(tmp_path: Path, mock: Mock) -> None:
    """They cost nothing, are told with the others, and count against what may fail."""
    upload = tmp_path / "in.jsonl"
    upload.write_text('{"id": 0, "text": "a"}\nnot json\n{"id": 2, "text": "c"}\n')
    async with desk_in(tmp_path, mock.url) as desk:
        strict = await handed_in(desk, upload)
        lenient = await handed_in(desk, upload, max_failures=MaxFailures(34, percent=True))
        worker = Worker(desk)
        working = asyncio.create_task(worker.run(2))
        strict, lenient = await ended(desk, strict.id), await ended(desk, lenient.id)
        rows = await gathered(results(desk, strict.id))
        failed = await gathered(errors(desk, strict.id))
        worker.drain()
        await working
    assert ("failed", "succeeded") == (strict.state, lenient.state)
    assert "1 of 3 rows failed" in strict.reason
    assert [0, 2] == ids(rows)
    assert [("unreadable_row", 2, "not json")] == [
        (row["_error"]["type"], row["_error"]["line"], row["_error"]["raw"]) for row in failed
    ]
    assert {"unreadable_row": 1} == document(strict)["errors"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"schema": "person.py:Person"}, "not on offer"),
        ({"schema": "os:environ"}, "not on offer"),
        ({"schema": "/etc/passwd.json"}, "not on offer"),
        ({"schema": "nosuch"}, "not on offer"),
        ({"schema": 5}, "neither a JSON Schema"),
        ({"schema": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/x"}}}}, r"\$ref"),
        ({"system": "@/etc/passwd"}, "names a file"),
        ({"prompt": "{{ text }}"}, "not for jobs"),
        ({"base_url": "http://127.0.0.1:1"}, "not for jobs"),
        ({"output": "elsewhere.jsonl"}, "not for jobs"),
        ({"model": "openai/other"}, "not on offer"),
        ({"model": []}, "no model"),
        ({"input": ["nosuch"]}, "nosuch"),
        ({"votes": 0}, "votes"),
    ],
)
async def test_what_a_job_may_not_ask_is_refused(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    """One line says what is wrong, before anything is kept."""
    async with desk_in(tmp_path) as desk:
        with pytest.raises(UsageError, match=problem):
            await handed_in(desk, rows_in(tmp_path / "in.jsonl", 1), options=options)
        assert [] == list(await desk.store.list())
    assert not (tmp_path / "jobs").exists()
    assert [] == list((tmp_path / "incoming").iterdir())


@pytest.mark.parametrize("content", ["", "\n\n", "not json\n"])
async def test_an_upload_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    """There is nothing that a job could do."""
    upload = tmp_path / "in.jsonl"
    upload.write_text(content)
    async with desk_in(tmp_path) as desk:
        with pytest.raises(UsageError):
            await handed_in(desk, upload)
    assert [] == list((tmp_path / "incoming").iterdir())


async def test_too_many_rows_are_refused(tmp_path: Path) -> None:
    """The limit is the operator's."""
    async with desk_in(tmp_path, max_rows=10) as desk:
        assert 10 == (await handed_in(desk, rows_in(tmp_path / "in.jsonl", 10))).rows
        with pytest.raises(UsageError, match="more than 10 rows"):
            await handed_in(desk, rows_in(tmp_path / "in.jsonl", 11))


async def test_every_format_is_taken(tmp_path: Path, mock: Mock) -> None:
    """CSV and compressed files are uploads, too."""
    (tmp_path / "in.csv").write_text('id,text\n1,"two\nlines"\n2,b\n')
    (tmp_path / "in.jsonl.gz").write_bytes(
        gzip.compress(b'{"id": 1, "text": "a", "big": 123456789012345678901234}\n')
    )
    async with desk_in(tmp_path, mock.url) as desk:
        made = [
            await handed_in(desk, tmp_path / "in.csv", "csv"),
            await handed_in(desk, tmp_path / "in.jsonl.gz", "jsonl"),
        ]
        worker = Worker(desk)
        working = asyncio.create_task(worker.run(2))
        for job in made:
            assert "succeeded" == (await ended(desk, job.id)).state
        table, packed = [await gathered(results(desk, job.id)) for job in made]
        worker.drain()
        await working
    assert ["two\nlines", "b"] == [row["text"] for row in table]
    assert [123456789012345678901234] == [row["big"] for row in packed]


async def test_the_same_request_is_one_job(tmp_path: Path) -> None:
    """The second leaves no file behind."""
    async with desk_in(tmp_path) as desk:
        upload = rows_in(tmp_path / "in.jsonl", 3)
        made = await asyncio.gather(
            *(handed_in(desk, upload, idempotency=("key", "digest")) for _ in range(5))
        )
        assert 1 == len({job.id for job in made})
        assert [made[0].id] == [path.name for path in (tmp_path / "jobs").iterdir()]
        with pytest.raises(Conflict):
            await handed_in(desk, upload, idempotency=("key", "other"))
        assert [made[0].id] == [path.name for path in (tmp_path / "jobs").iterdir()]


async def test_results_can_be_followed_and_gone_on_with(tmp_path: Path, mock: Mock) -> None:
    """A reader that follows gets every row once; one that comes back says how many it has."""
    async with desk_in(tmp_path, mock.url, shard_rows=10) as desk:
        job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 40))
        following = asyncio.create_task(gathered(results(desk, job.id, follow=True)))
        worker = Worker(desk)
        working = asyncio.create_task(worker.run(2))
        assert list(range(40)) == ids(await following)
        await ended(desk, job.id)
        for after in (0, 1, 9, 10, 25, 39, 40, 99):
            assert list(range(after, 40)) == ids(await gathered(results(desk, job.id, after=after)))
        worker.drain()
        await working


async def test_a_job_that_is_forgotten_leaves_nothing(tmp_path: Path) -> None:
    """Neither in the store nor on the disk."""
    async with desk_in(tmp_path) as desk:
        job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 3))
        assert not await forget(desk, job.id)
        await desk.store.cancel(job.id)
        assert await forget(desk, job.id)
        assert not job_folder(desk.root, job.id).path.exists()
        assert [] == await gathered(results(desk, job.id))


async def test_a_worker_that_is_told_to_end_hands_its_shard_over(tmp_path: Path) -> None:
    """What was paid for is not paid for again, and the job goes on at once with another worker."""
    with mocked(MockSettings(latency=Latency(0.02, 0.02))) as mock:
        async with desk_in(tmp_path, mock.url) as desk:
            job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 400))
            first = WorkerProcess(tmp_path, mock.url, "first", lease=30.0)
            await until(lambda: mock.calls > 50)
            assert 0 == first.end()
            (shard,) = await desk.store.shards(job.id)
            assert ("waiting", 0) == (shard.state, shard.lives)
            done = shard.progress.settled
            assert 0 < done < 400
            second = WorkerProcess(tmp_path, mock.url, "second", lease=30.0)
            job = await ended(desk, job.id)
            assert 0 == second.end()
            rows = await gathered(results(desk, job.id))
        assert "succeeded" == job.state
        assert list(range(400)) == ids(rows)
        assert 400 == mock.calls == job.progress.calls
        assert job.progress.input_tokens == mock.server.stats()["input_tokens"]


async def test_a_killed_worker_costs_what_was_in_flight(tmp_path: Path) -> None:
    """Its shard is taken over where it stood; no row is lost, none comes twice."""
    with mocked(MockSettings(latency=Latency(0.02, 0.02))) as mock:
        async with desk_in(tmp_path, mock.url) as desk:
            job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 600), options={"system": "Read it."})
            for number in range(3):
                before = mock.calls
                worker = WorkerProcess(tmp_path, mock.url, f"w{number}", base={"concurrency": 16})
                await until(lambda before=before: mock.calls > before + 60)  # type: ignore[misc]  # a default argument
                worker.kill()
            last = WorkerProcess(tmp_path, mock.url, "last")
            job = await ended(desk, job.id)
            assert 0 == last.end()
            rows = await gathered(results(desk, job.id))
            shards = await desk.store.shards(job.id)
        assert "succeeded" == job.state
        assert list(range(600)) == ids(rows)
        epoch = (
            shards[0].epoch
        )  # one more for each worker that was killed, and on a busy machine for one that was thought to be
        assert epoch >= 4
        assert 600 <= mock.calls <= 600 + 16 * (epoch - 1)
        assert [f"e{epoch}"] == [path.name for path in job_folder(tmp_path, job.id).shard(0).path.glob("e*")]


async def test_a_paused_worker_that_wakes_up_late_is_fenced(tmp_path: Path) -> None:
    """It sends nothing more, and what it had in flight changes nothing of what another worker has made."""
    with mocked(MockSettings(latency=Latency(0.02, 0.02))) as mock:
        async with desk_in(tmp_path, mock.url) as desk:
            job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 300))
            old = WorkerProcess(tmp_path, mock.url, "old", base={"concurrency": 8})
            await until(lambda: mock.calls > 60)
            old.send(signal.SIGSTOP)
            new = WorkerProcess(tmp_path, mock.url, "new", base={"concurrency": 8})
            job = await ended(desk, job.id)
            served = mock.calls
            old.send(signal.SIGCONT)
            await until(lambda: "lost to another worker" in old.log.read_text())
            assert served == mock.calls
            assert (0, 0) == (old.end(), new.end())
            rows = await gathered(results(desk, job.id))
            (shard,) = await desk.store.shards(job.id)
        assert list(range(300)) == ids(rows)
        assert 300 <= served <= 300 + 8 * (shard.epoch - 1)
        assert "done" == shard.state
        assert shard.epoch >= 2


async def test_a_paused_worker_whose_calls_wait_for_a_limit_is_fenced(tmp_path: Path) -> None:
    """Calls that were waiting for their turn when it fell asleep are not sent when it wakes up."""
    with mocked() as mock:
        async with desk_in(tmp_path, mock.url) as desk:
            job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 200))
            old = WorkerProcess(tmp_path, mock.url, "old", base={"concurrency": 8, "rpm": 1_200})
            await until(lambda: mock.calls > 30)
            old.send(signal.SIGSTOP)
            new = WorkerProcess(tmp_path, mock.url, "new", base={"concurrency": 8})
            job = await ended(desk, job.id)
            served = mock.calls
            old.send(signal.SIGCONT)
            await until(lambda: "lost to another worker" in old.log.read_text())
            assert served == mock.calls
            assert (0, 0) == (old.end(), new.end())
            assert list(range(200)) == ids(await gathered(results(desk, job.id)))


async def test_a_cancelled_job_stops_its_workers(tmp_path: Path) -> None:
    """Soon nothing is sent any more, and what was done can be read."""
    with mocked(MockSettings(latency=Latency(0.05, 0.05))) as mock:
        async with desk_in(tmp_path, mock.url, base={"concurrency": 4}) as desk:
            job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 2_000))
            worker = Worker(desk, lease=0.6)
            working = asyncio.create_task(worker.run(2))
            await until(lambda: mock.calls > 20)
            await desk.store.cancel(job.id)
            await until(lambda: worker.running == 0)
            served = mock.calls
            rows = await gathered(results(desk, job.id))
            assert list(range(len(rows))) == ids(rows)
            assert 0 < len(rows) <= served < 2_000
            now = await ended(desk, job.id)
            assert ("cancelled", served) == (now.state, now.progress.calls)
            worker.drain()
            await working
            assert served == mock.calls


async def test_a_budget_stops_a_job_which_can_be_resumed(tmp_path: Path, mock: Mock) -> None:
    """The reason is told; the rest is not asked."""
    async with desk_in(tmp_path, mock.url, shard_rows=50) as desk:
        options = {"max_tokens": 8_000, "max_output_tokens": 100}
        job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 100), options=options)
        worker = Worker(desk)
        working = asyncio.create_task(worker.run(1))
        job = await ended(desk, job.id)
        assert "stopped" == job.state
        assert "--max-tokens" in job.reason
        stats = mock.server.stats()
        assert stats["input_tokens"] + stats["output_tokens"] <= 8_000
        again = await resume(desk, job.id)
        assert again is not None
        assert "queued" == again.state
        assert "stopped" == (await ended(desk, job.id)).state
        worker.drain()
        await working


async def test_a_shard_that_cannot_be_run_does_not_take_the_worker(tmp_path: Path, mock: Mock) -> None:
    """Its files are gone: it is tried a few times, then its job is stopped; other jobs are run."""
    async with desk_in(tmp_path, mock.url) as desk:
        lost = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 3))
        good = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 3))
        job_folder(desk.root, lost.id).shard(0).rows.unlink()
        worker = Worker(desk)
        working = asyncio.create_task(worker.run(1))
        assert "succeeded" == (await ended(desk, good.id)).state
        assert "stopped" == (await ended(desk, lost.id)).state
        worker.drain()
        await working


async def test_a_stale_worker_cannot_end_a_shard(tmp_path: Path) -> None:
    """Its word comes with an old epoch."""
    async with desk_in(tmp_path) as desk:
        job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 3))
        old = await desk.store.claim(ShardRef(job.id, 0), "old", 0.0)
        new = await desk.store.claim(ShardRef(job.id, 0), "new")
        assert old is not None
        assert new is not None
        assert not await desk.store.finish(old, Finished(True, Progress(3)))
        assert await desk.store.finish(new, Finished(True, Progress(3)))
        now = await desk.store.get(job.id)
        assert now is not None
        assert "succeeded" == now.state
        json.dumps(document(now))


async def test_a_run_whose_end_was_not_told_is_not_asked_again(tmp_path: Path) -> None:
    """The next worker finds all rows as they had ended, the failed ones too: nothing is paid for twice."""
    with mocked(MockSettings(malformed_rate=0.4)) as mock:
        async with desk_in(tmp_path, mock.url) as desk:
            job = await handed_in(
                desk,
                rows_in(tmp_path / "in.jsonl", 30),
                options={"reasks": 0},
                max_failures=MaxFailures(100, True),
            )
            runs = []
            for epoch in (1, 2):
                lease = await desk.store.claim(ShardRef(job.id, 0), "w", 0.0)
                assert lease is not None
                assert lease.epoch == epoch
                clock = SystemClock()
                figures = Figures(clock)
                stop = Fenced(clock, clock.now() + 60)
                await run_shard(desk, lease, figures, stop, clock, lambda text: None)
                runs.append(
                    (mock.calls, await gathered(results(desk, job.id)), await gathered(errors(desk, job.id)))
                )
    assert 0 < len(runs[0][1]) < 30
    assert runs[0] == runs[1]
