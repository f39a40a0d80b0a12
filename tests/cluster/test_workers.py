"""`llmx worker` over real sockets: two of them and a Redis, which are told to end, killed and paused."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector import collecting
from commands import Mock, mocked
from redis_server import RedisServer, needs_redis, running_redis
from serving import serving

from llmx.jobs.results import results
from llmx.mock import MockSettings
from llmx.mock.settings import Latency
from tests.cluster.scene import KEPT, WorkerProcess, as_text, desk_at, finished, said, survive
from tests.jobs.scene import gathered, handed_in, ids, rows_in, until

pytestmark = needs_redis


@pytest.fixture
def mock() -> Iterator[Mock]:
    with mocked(KEPT) as running:
        yield running


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis") as running:
        yield running


async def test_two_workers_run_a_job(queue: RedisServer, mock: Mock, tmp_path: Path) -> None:
    """Each takes shards of it; told to end, they do so with 0, and their health files are gone."""
    data = tmp_path / "data"
    async with desk_at(queue, data, mock, shard_rows=25) as desk:
        files = [tmp_path / f"alive-{number}" for number in (1, 2)]
        workers = [WorkerProcess(queue, data, mock, "--health-file", str(file)) for file in files]
        for file in files:
            await until(file.exists)
            await until(lambda file=file: file.read_text() == "ready\n")  # type: ignore[misc]  # a default argument
        job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 400))
        job = await finished(desk, job.id)
        assert "succeeded" == job.state
        assert list(range(400)) == ids(await gathered(results(desk, job.id)))
        assert [0, 0] == [worker.end() for worker in workers]
    assert 400 == mock.calls == job.progress.calls
    assert all("shard" in worker.said and "complete" in worker.said for worker in workers)
    assert not any(file.exists() for file in files)


async def test_a_worker_that_is_told_to_end_gives_its_shard_back(
    queue: RedisServer, mock: Mock, tmp_path: Path
) -> None:
    """Another one goes on at once, long before the lease would have run out, and pays for nothing again."""
    data = tmp_path / "data"
    async with desk_at(queue, data, mock) as desk:
        job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 1_000))
        first, second = [WorkerProcess(queue, data, mock, "-c", "8", "--shards", "1") for _ in range(2)]
        await until(lambda: mock.calls > 60)
        holder = first if "begins" in first.said else second
        other = second if holder is first else first
        assert 0 == holder.end()
        (shard,) = await desk.store.shards(job.id)
        assert shard.lives == 0
        assert 0 < shard.progress.settled < 1_000
        await said(other, "epoch 2")
        job = await finished(desk, job.id)
        assert list(range(1_000)) == ids(await gathered(results(desk, job.id)))
        assert 0 == other.end()
    assert 1_000 == mock.calls == job.progress.calls


async def test_a_second_signal_ends_at_once(queue: RedisServer, tmp_path: Path) -> None:
    """Calls in flight are not waited for; the exit code says which signal it was."""
    data = tmp_path / "data"
    with mocked(MockSettings(latency=Latency(30.0, 30.0))) as slow:
        async with desk_at(queue, data, slow) as desk:
            await handed_in(desk, rows_in(tmp_path / "in.jsonl", 10))
            worker = WorkerProcess(queue, data, slow)
            await until(lambda: slow.server.stats()["in_flight"] > 0)
            worker.signal(signal.SIGTERM)
            await said(worker, "given back")
            worker.signal(signal.SIGTERM)
            assert 128 + signal.SIGTERM == worker.wait()


@pytest.mark.parametrize("seed", [1, 2])
async def test_kills_lose_nothing(tmp_path: Path, seed: int) -> None:
    """Of workers, by kill -9 and by a pause that outlasts the lease, and of Redis: what is paid twice was in flight."""
    survived = await survive(tmp_path, kills=6, rows=1_200, seed=seed)
    assert ("succeeded", 0, [], [], 1) == (
        survived.state,
        survived.jobs_lost,
        survived.lost,
        survived.doubled,
        survived.events,
    ), as_text(survived)
    assert 0 <= survived.paid_twice <= survived.in_flight, as_text(survived)


async def test_a_folder_that_is_not_shared_is_told(queue: RedisServer, mock: Mock, tmp_path: Path) -> None:
    """The worker ends with 2 before it has touched a shard."""
    async with desk_at(queue, tmp_path / "data", mock):
        worker = WorkerProcess(queue, tmp_path / "other", mock)
        assert 2 == worker.wait()
    assert "is not the folder of this queue's jobs" in worker.said
    assert "hint: the same shared folder" in worker.said


async def test_a_health_file_that_cannot_be_written_is_told(
    queue: RedisServer, mock: Mock, tmp_path: Path
) -> None:
    """By its name; the worker ends with 1."""
    worker = WorkerProcess(queue, tmp_path / "data", mock, "--health-file", str(tmp_path / "no" / "alive"))
    assert 1 == worker.wait()
    assert "no/alive': No such file or directory" in worker.said


async def test_no_secret_is_logged(tmp_path: Path, mock: Mock) -> None:
    """Neither the password of Redis nor the provider's key, whatever happens."""
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis", "--requirepass", "hunter2") as server:
        file = tmp_path / "queue"
        for password, code in (("hunter3", 4), ("hunter2", 0)):
            file.write_text(server.url.replace("//", f"//:{password}@"))
            worker = WorkerProcess(
                server, tmp_path / "data", mock, environment={"LLMX_QUEUE_FILE": str(file)}
            )
            if code:
                assert code == worker.wait()
            else:
                await said(worker, "takes 2 shards")
                server.kill()
                await said(worker, "is not there")
                server.start()
                await said(worker, "redis is back")
                assert "hunter" not in worker.listed
                assert code == worker.end()
            assert "hunter" not in worker.said
            assert "sk-of-a-test" not in worker.said


async def test_the_service_and_a_worker(queue: RedisServer, mock: Mock, tmp_path: Path) -> None:
    """What is handed in over HTTP is run by the worker; while Redis is away the service says so, and loses nothing."""
    options = ("--queue", queue.url, "--shards", "0")
    with serving(tmp_path / "service", mock.url, *options) as service:
        assert 200 == service.get("/readyz").status_code
        job = service.job(20)
        worker = WorkerProcess(queue, tmp_path / "service" / "data", mock)
        assert "succeeded" == service.ended(job["id"])["state"]
        rows = service.get(f"/v1/jobs/{job['id']}/results").text.splitlines()
        assert 20 == len(rows)
        queue.kill()
        away = service.get("/v1/jobs")
        assert (503, "queue_away") == (away.status_code, away.json()["code"])
        assert int(away.headers["Retry-After"]) > 0
        assert (503, 200) == (service.get("/readyz").status_code, service.get("/healthz").status_code)
        queue.start()
        assert [job["id"]] == [one["id"] for one in service.get("/v1/jobs").json()["jobs"]]
        assert 200 == service.get("/readyz").status_code
        assert "succeeded" == service.ended(service.job(5)["id"])["state"]
        service.signal()
        assert 0 == service.wait()
        assert 0 == worker.end()


async def test_a_worker_tells_of_its_shards(queue: RedisServer, mock: Mock, tmp_path: Path) -> None:
    """Its log names the job in every line of a shard, and OpenTelemetry hears of the run and of its calls."""
    data = tmp_path / "data"
    with collecting() as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "LLMX_SERVE_LOG_FORMAT": "json"}
        async with desk_at(queue, data, mock) as desk:
            worker = WorkerProcess(queue, data, mock, environment=told)
            job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 5))
            assert "succeeded" == (await finished(desk, job.id)).state
            assert 0 == worker.end()
    lines = [json.loads(line) for line in worker.said.splitlines() if line.startswith("{")]
    assert any((line.get("job_id"), line.get("shard")) == (job.id, 0) for line in lines)
    assert {"llmx shard"} == {span.name for span in collector.spans if not span.name.startswith("chat ")}
    assert 5 == len(collector.chats)
