"""A queue in Redis, a simulated provider, and workers that are processes, killed and paused at random."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import Mock, mocked
from redis_server import RedisServer, running_redis

from llmx.cluster.desk import open_redis_desk
from llmx.environment import Environment
from llmx.jobs.desk import Desk, resume
from llmx.jobs.results import errors, results
from llmx.jobs.types import ENDED, Job
from llmx.mock import MockSettings
from llmx.mock.settings import Latency
from tests.jobs.scene import gathered, handed_in, ids, rows_in, until, variables

__all__ = ["KEPT", "WorkerProcess", "desk_at", "finished", "survive", "taken_over"]

KEPT = MockSettings(latency=Latency(0.02, 0.02))
"""A provider that takes long enough to be killed in between."""

LEASE = 1.5
"""Seconds of leases where workers are killed; those of `llmx worker` are ten times as long."""

PATIENCE = 90.0


@asynccontextmanager
async def desk_at(server: RedisServer, data: Path, mock: Mock, **options: Any) -> AsyncIterator[Desk]:
    """A desk as `llmx serve` has it."""
    base = {"model": ["openai/mock"], "base_url": f"{mock.url}/v1"}
    env = Environment(variables=variables(data / "home"))
    async with open_redis_desk(server.url, data, base=base, env=env, **options) as desk:
        yield desk


_SHORT = """
import sys
import llmx.cluster.working as working, llmx.jobs.worker as worker
from llmx.__main__ import entry
from functools import partial
working.Worker = partial(worker.Worker, lease=float(sys.argv.pop(1)))
entry()
"""


class WorkerProcess:
    """`llmx worker` in a process of its own.

    Args:
        lease: seconds, where other than the command's.
    """

    def __init__(
        self,
        server: RedisServer,
        data: Path,
        mock: Mock,
        *more: str,
        lease: float | None = None,
        within: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [
            *within,
            sys.executable,
            *(("-m", "llmx") if lease is None else ("-c", _SHORT, str(lease))),
            "worker",
            *(("--queue", server.url) if "LLMX_QUEUE_FILE" not in (environment or {}) else ()),
            *("--data", str(data), *mock.openai, *more),
        ]
        self.log = data.parent / f"worker-{random.randrange(10**9)}.log"
        self._environment = {**variables(data.parent / "home"), **(environment or {})}
        self.start()

    def start(self) -> None:
        """Start it, or another one in its place."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, cwd=Path(__file__).parents[2]
            )

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text()

    @property
    def listed(self) -> str:
        """What everybody who lists processes sees of it."""
        return Path(f"/proc/{self._process.pid}/cmdline").read_text()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it as a power switch would."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self._process.terminate()
        return self._process.wait(PATIENCE)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(PATIENCE)


async def finished(desk: Desk, id: str) -> Job:
    """A job once it has come to its end."""
    version = 0
    async with asyncio.timeout(PATIENCE):
        while True:
            job = await desk.store.changed(id, version, 5.0)
            assert job is not None
            if job.state in ENDED:
                return job
            version = job.version


@dataclass
class Survived:
    """What came of a job whose workers and whose Redis were killed and paused.

    Args:
        in_flight: calls that may have been under way when shards were taken over: each had so many at most.
        stopped: times that the job was taken for one that kills its workers, and resumed.
    """

    rows: int
    workers_killed: int = 0
    workers_paused: int = 0
    redis_killed: int = 0
    taken_over: int = 0
    in_flight: int = 0
    stopped: int = 0
    calls: int = 0
    state: str = ""
    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    jobs_lost: int = 0
    events: int = 0

    @property
    def paid_twice(self) -> int:
        """Rows that were asked about more than once."""
        return self.calls - self.rows


async def survive(
    folder: Path, *, kills: int, rows: int, shards: int = 4, concurrency: int = 8, seed: int = 0
) -> Survived:
    """Run a job by two workers of two shards each, which are killed, or paused, or lose Redis, so many times.

    Args:
        shards: into how many the rows are cut.
        concurrency: calls in flight of each shard.
    """
    chance = random.Random(seed)
    data = folder / "data"
    (folder / "redis").mkdir()
    with running_redis(folder / "redis") as server, mocked(KEPT) as mock:
        async with desk_at(server, data, mock, shard_rows=-(-rows // shards)) as desk:
            upload = rows_in(folder / "in.jsonl", rows)
            job = await handed_in(desk, upload, webhook="https://example.org/")
            options = ("-c", str(concurrency), "--shards", "2")
            workers = [WorkerProcess(server, data, mock, *options, lease=LEASE) for _ in range(2)]
            survived = Survived(rows)
            try:
                for _ in range(kills):
                    if not await _progress(desk, job, mock, chance, survived):
                        break
                    await _strike(chance, server, workers, survived)
                await _goes_on(desk, job, survived)
            finally:
                for worker in workers:
                    worker.kill()
            return await _counted(desk, job, mock, survived, concurrency)


async def _progress(desk: Desk, job: Job, mock: Mock, chance: random.Random, survived: Survived) -> bool:
    """Wait for some calls; whether the job still goes on."""
    wanted = mock.calls + chance.randint(20, 80)
    async with asyncio.timeout(PATIENCE):
        while mock.calls < wanted:
            now = await desk.store.changed(job.id, 10**9, 0.05)
            assert now is not None
            if now.state == "stopped":
                survived.stopped += 1
                await resume(desk, job.id)
            elif now.state in ENDED:
                return False
    return True


async def _strike(
    chance: random.Random, server: RedisServer, workers: list[WorkerProcess], survived: Survived
) -> None:
    worker = chance.choice(workers)
    what = chance.choices(["kill", "pause", "redis"], [5, 2, 3])[0]
    if what == "redis":
        survived.redis_killed += 1
        server.kill()
        await asyncio.sleep(chance.random())
        await asyncio.to_thread(server.start)
        return
    if what == "kill":
        survived.workers_killed += 1
        worker.kill()
        worker.start()
        return
    survived.workers_paused += 1
    worker.signal(signal.SIGSTOP)
    await asyncio.sleep(LEASE * chance.uniform(1.2, 2))
    worker.signal(signal.SIGCONT)


async def _goes_on(desk: Desk, job: Job, survived: Survived) -> None:
    while (await finished(desk, job.id)).state == "stopped":
        survived.stopped += 1
        await resume(desk, job.id)


async def _counted(desk: Desk, job: Job, mock: Mock, survived: Survived, concurrency: int) -> Survived:
    now = await desk.store.get(job.id)
    survived.jobs_lost = int(now is None)
    survived.state = "lost" if now is None else now.state
    found = ids(await gathered(results(desk, job.id)))
    failed = await gathered(errors(desk, job.id))
    survived.lost = sorted(set(range(survived.rows)) - {*found, *(row["id"] for row in failed)})
    survived.doubled = [number for number in range(survived.rows) if found.count(number) > 1]
    survived.calls = mock.calls
    survived.taken_over = await taken_over(desk, job)
    survived.in_flight = concurrency * survived.taken_over
    events = [event for event in await desk.store.due(60) if event.state != "stopped"]
    survived.events = len(events)
    return survived


async def taken_over(desk: Desk, job: Job) -> int:
    """How often a shard of a job went from one worker to another."""
    return sum(shard.epoch - 1 for shard in await desk.store.shards(job.id))


async def said(worker: WorkerProcess, text: str) -> None:
    """Return when a worker has logged a text."""
    await until(lambda: text in worker.said)


def as_text(survived: Survived) -> str:
    """All figures, for a test that fails."""
    return json.dumps(survived.__dict__)
