"""Two workers in two network namespaces, as on two machines: Redis and the provider are in a third, and a cable is pulled.

Needs root and Linux' network namespaces; where they cannot be made the test is skipped, and says why.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import Mock, mocked
from redis_server import RedisServer, needs_redis, running_redis

from llmx.jobs.results import results
from tests.cluster.scene import KEPT, WorkerProcess, desk_at, finished, said, taken_over
from tests.jobs.scene import gathered, handed_in, ids, rows_in, until

pytestmark = needs_redis

CONCURRENCY = 8


@dataclass(frozen=True)
class Machine:
    """A network namespace with one cable to this one.

    Args:
        here, there: addresses of the cable's ends.
        servers: the address of Redis and the provider, for all machines the same.
    """

    name: str
    cable: str
    here: str
    there: str
    servers: str

    @property
    def within(self) -> tuple[str, ...]:
        """What a command begins with that is run there."""
        return ("ip", "netns", "exec", self.name)

    def plug(self, *, into: bool) -> None:
        """Plug the cable in, or pull it."""
        _ip("link", "set", self.cable, "up" if into else "down")


@contextmanager
def machine(number: int) -> Iterator[Machine]:
    """A namespace for as long as the context lasts. Raises CalledProcessError: it may not be made."""
    name = f"llmx{os.getpid() % 100_000}{'ab'[number]}"
    nets = [f"10.213.{os.getpid() % 80 * 3 + part}" for part in range(3)]
    made = Machine(name, f"{name}v", f"{nets[number]}.1", f"{nets[number]}.2", f"{nets[2]}.1")
    _ip("netns", "add", name)
    try:
        _ip("link", "add", made.cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{made.here}/30", "dev", made.cable)
        _ip("-n", name, "addr", "add", f"{made.there}/30", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        made.plug(into=True)
        _ip("-n", name, "route", "add", made.servers, "via", made.here)
        yield made
    finally:
        _ip("netns", "del", name)


@contextmanager
def _address(address: str) -> Iterator[None]:
    """An address of this machine that is on no cable."""
    _ip("addr", "add", f"{address}/32", "dev", "lo")
    try:
        yield
    finally:
        _ip("addr", "del", f"{address}/32", "dev", "lo")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def machines() -> Iterator[list[Machine]]:
    try:
        with machine(0) as one, machine(1) as other, _address(one.servers):
            yield [one, other]
    except FileNotFoundError:
        pytest.skip("ip (iproute2) is not installed")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")


@asynccontextmanager
async def relayed(address: str, port: int) -> AsyncIterator[None]:
    """Let other namespaces reach a port of this one's loopback, on which the mock listens alone."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    server = await asyncio.start_server(relay, address, port)
    try:
        yield
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@dataclass(frozen=True)
class Seen:
    """A server as it is seen from a machine."""

    url: str


def worker_on(
    machine: Machine, server: RedisServer, data: Path, mock: Mock, *, lease: float | None = None
) -> WorkerProcess:
    """A worker that knows both servers by an address of this machine."""
    far = Mock(mock.url.replace("127.0.0.1", machine.servers), mock.server)
    queue = Seen(server.url.replace("127.0.0.1", machine.servers))
    options = ("-c", str(CONCURRENCY), "--shards", "1")
    return WorkerProcess(queue, data, far, *options, lease=lease, within=machine.within)


async def test_two_machines_and_a_cable_that_is_pulled(tmp_path: Path, machines: list[Machine]) -> None:
    """What the one had is taken over where it stood; plugged in again, it hears that the shard is another's, and helps."""
    data = tmp_path / "data"
    (tmp_path / "redis").mkdir()
    bound = ("--bind", "127.0.0.1", machines[0].servers, "--protected-mode", "no")
    with running_redis(tmp_path / "redis", *bound) as server, mocked(KEPT) as mock:
        port = int(mock.url.rpartition(":")[2])
        async with desk_at(server, data, mock, shard_rows=400) as desk, relayed(machines[0].servers, port):
            job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 1_600))
            workers = [worker_on(machine, server, data, mock, lease=4.0) for machine in machines]
            for worker in workers:
                await said(worker, "begins")
            calls = mock.calls
            await until(lambda: mock.calls > calls + 40)
            machines[0].plug(into=False)
            await said(workers[1], "epoch 2")
            machines[0].plug(into=True)
            await said(workers[0], "lost to another worker")
            job = await finished(desk, job.id)
            rows = await gathered(results(desk, job.id))
            over = await taken_over(desk, job)
            codes = [await asyncio.to_thread(worker.end) for worker in workers]
    assert "succeeded" == job.state
    assert list(range(1_600)) == ids(rows)
    assert [0, 0] == codes
    assert 1_600 <= mock.calls <= 1_600 + CONCURRENCY * over
