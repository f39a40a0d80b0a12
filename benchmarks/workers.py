"""How much faster a run is that several processes share.

    python benchmarks/workers.py [--rows 20000] [--runs 3] [--flight 256] [--workers 2]

One process and several take turns over the same rows, with cache, journal and fsync; the starts of both, taken from runs
over one row, are subtracted. Nothing is pinned: on a machine of two processors the server has its share of them, too. So
it is not `llmx mock`, which takes as much as half a worker, but one that gives every call the answer that `llmx mock`
has given to the first: what it takes is told beside the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness import (
    CLIENT,
    Cost,
    Server,
    extract,
    in_turn,
    median,
    pinned,
    prepared_home,
    run,
    served,
    write_rows,
)

_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")


class _Parrot(asyncio.Protocol):
    """Says the same whatever it is asked, which costs hardly more than to read and to write."""

    answer = b""
    calls = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._read += data
        head = self._read.find(b"\r\n\r\n")
        if head < 0:
            return
        if self._read.startswith(b"GET /stats"):
            self._say(b'{"calls":%d}' % _Parrot.calls)
        elif (length := _LENGTH.search(self._read, 0, head)) and len(self._read) >= head + 4 + int(length[1]):
            _Parrot.calls += 1
            self._say(_Parrot.answer)

    def _say(self, body: bytes) -> None:
        self._read = b""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


async def _repeat(answer: bytes) -> None:
    _Parrot.answer = answer
    server = await asyncio.get_running_loop().create_server(_Parrot, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def repeating(answer: bytes) -> Iterator[Server]:
    """A server that knows one answer, for as long as the context lasts."""
    command = [sys.executable, __file__, "--repeat"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(answer)
        process.stdin.close()
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid)
    finally:
        process.terminate()
        process.wait()


def recorded(mock: Server, folder: Path) -> bytes:
    """The response that `llmx mock` gives to a row."""
    rows, home = write_rows(folder / "row.jsonl", 1), folder / "home-of-one"
    shown = [*extract(mock.url, rows, 1), "--dry-run"]
    env = {**os.environ, "LLMX_HOME": str(home), "OPENAI_API_KEY": "mock"}
    body = subprocess.run(shown, env=env, cwd=folder, check=True, capture_output=True).stdout
    request = urllib.request.Request(
        f"{mock.url}/v1/chat/completions", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return bytes(response.read())


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--flight", type=int, default=256)
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--repeat", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.repeat:
        asyncio.run(_repeat(sys.stdin.buffer.read()))
        return
    with tempfile.TemporaryDirectory() as name, served() as mock:
        folder = Path(name)
        home = prepared_home(folder, mock)
        with repeating(recorded(mock, folder)) as server:
            costs = {n: measured(server, folder, home, n, options) for n in (options.rows, 1)}
    report(costs[options.rows], costs[1], options.rows)


def measured(
    server: Server, folder: Path, home: Path, rows: int, options: argparse.Namespace
) -> dict[int, list[Cost]]:
    """What runs of every number of workers took, by that number."""
    path = write_rows(folder / f"rows-{rows}.jsonl", rows)

    def one(workers: int) -> Cost:
        command = extract(server.url, path, options.flight, "--workers", str(workers))
        shutil.rmtree(folder / "home", ignore_errors=True)
        shutil.copytree(home, folder / "home")
        with server.spent(rows) as with_server:
            return with_server(run(command[len(pinned(CLIENT)) :], folder / "work", folder / "home"))

    counts = {str(count): count for count in [1, *options.workers]}
    found = in_turn(options.runs, {name: partial(one, count) for name, count in counts.items()})
    return {counts[name]: runs for name, runs in found.items()}


def report(costs: dict[int, list[Cost]], starts: dict[int, list[Cost]], rows: int) -> None:
    """Medians, and ratios to one process."""
    took = {count: median(runs).wall - median(starts[count]).wall for count, runs in costs.items()}
    print("| processes | rows/s | times one | CPU ms/row | server's CPU ms/row | start s | as commands |")
    print("|---|---|---|---|---|---|---|")
    whole = median(costs[1]).wall
    for count, seconds in took.items():
        cost, start = median(costs[count]), median(starts[count])
        cpu, server = (cost.cpu - start.cpu) / rows * 1e3, cost.busy * cost.wall / rows * 1e3
        rate = f"{rows / seconds:,.0f} | {took[1] / seconds:.2f}"
        print(f"| {count} | {rate} | {cpu:.3f} | {server:.3f} | {start.wall:.2f} | {whole / cost.wall:.2f} |")


if __name__ == "__main__":
    main()
