"""A desk on a disk of its own, a simulated provider, and workers that are processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from llmx.environment import Environment
from llmx.jobs.desk import Desk, Order, submit
from llmx.jobs.embedded import EmbeddedQueue
from llmx.jobs.sqlite import SqliteStore
from llmx.jobs.types import ENDED, Job

PATIENCE = 60.0
FIELDS = "name, tone good|bad"


def variables(home: Path) -> dict[str, str]:
    """An environment in which the mock can be asked."""
    return {**os.environ, "OPENAI_API_KEY": "sk-of-a-test", "LLMX_HOME": str(home)}


@asynccontextmanager
async def desk_in(root: Path, url: str = "", **options: Any) -> AsyncIterator[Desk]:
    """A desk with the store and the queue that need no server."""
    base = {"model": ["openai/mock"], **({"base_url": f"{url}/v1"} if url else {}), **options.pop("base", {})}
    store = SqliteStore(root / "jobs.db")
    env = Environment(variables=variables(root / "home"))
    yield Desk(store, EmbeddedQueue(store), root, base=base, env=env, **options)
    await store.aclose()


def rows_in(path: Path, count: int, **more: Any) -> Path:
    """A file of rows, of which no two are the same."""
    rows = [{"id": number, "text": f"Row {number} is fine.", **more} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


async def handed_in(desk: Desk, upload: Path, format: str = "jsonl", **order: Any) -> Job:
    """A job of a file."""
    options = {"schema": FIELDS, **order.pop("options", {})}
    return await submit(desk, Order("", options, **order), upload, format)


async def ended(desk: Desk, id: str) -> Job:
    """A job once it has come to its end."""
    deadline = time.monotonic() + PATIENCE
    version = 0
    while True:
        job = await desk.store.changed(id, version, 1.0)
        assert job is not None
        if job.state in ENDED:
            return job
        version = job.version
        assert time.monotonic() < deadline, job


async def gathered(lines: AsyncIterator[bytes]) -> list[dict[str, Any]]:
    """All rows of a stream."""
    return [json.loads(line) for piece in [piece async for piece in lines] for line in piece.splitlines()]


WORKER = """
import asyncio, logging, signal, sys
from pathlib import Path
from tests.jobs.scene import desk_in
from llmx.jobs.worker import Worker

async def main(root, url, name, shards, lease, base):
    async with desk_in(Path(root), url, base=base) as desk:
        worker = Worker(desk, name, lease=lease)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
        await worker.run(shards)

import json
given = json.loads(sys.argv[1])
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
asyncio.run(main(**given))
"""


STARTED: list[WorkerProcess] = []
"""Those of a test, which must not outlive it, however it ends."""


class WorkerProcess:
    """A worker in a process of its own."""

    def __init__(
        self,
        root: Path,
        url: str,
        name: str,
        *,
        shards: int = 2,
        lease: float = 3.0,
        base: Mapping[str, Any] | None = None,
    ) -> None:
        given = {
            "root": str(root),
            "url": url,
            "name": name,
            "shards": shards,
            "lease": lease,
            "base": base or {},
        }
        self.log = root / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", WORKER, json.dumps(given)],
                stderr=log,
                stdout=log,
                cwd=Path(__file__).parents[2],
                env=variables(root / f"home-{name}"),
            )

        STARTED.append(self)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a machine that loses power would."""
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self._process.terminate()
        return self._process.wait(PATIENCE)


async def until(condition: Callable[[], bool]) -> None:
    """Return when something in another process is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def ids(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]
