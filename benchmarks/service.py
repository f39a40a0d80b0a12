"""How many streams one `llmx serve` holds, what each takes, and how long its answers take: beside a thread per request.

    python benchmarks/service.py [--streams 100 300 1000] [--latency 2] [--runs 3] [--plot benchmarks/streams.svg]

So many clients ask at the same moment, each for one row as a stream of events, of a service whose model, `llmx mock`, takes
`--latency` to answer. The other contestant is what a team writes by hand: `ThreadingHTTPServer` with the openai SDK's
synchronous client, a thread per request: pieces of the answer are handed on as they come, the whole is checked by pydantic;
it keeps no journal, no limits and no cache, and re-asks nothing. Both have one processor, the model and the clients have the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import CLIENT, KEYS, SCHEMA, pinned, served
from plot import draw

THREADS = """
import json, os, sys, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
import openai
from pydantic import BaseModel
class Row(BaseModel):
    name: str
    email: str
    age: int
    tone: Literal["good", "bad", "neutral"]
SCHEMA = Row.model_json_schema() | {"additionalProperties": False}
FORM = {"type": "json_schema", "json_schema": {"name": "Row", "strict": True, "schema": SCHEMA}}
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="mock")
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def do_POST(self):
        row = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"][0]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b": ping\\n\\n")
        chunks = client.chat.completions.create(
            model="mock", messages=[{"role": "user", "content": json.dumps(row)}], response_format=FORM, stream=True)
        text = ""
        for chunk in chunks:
            if chunk.choices and (piece := chunk.choices[0].delta.content):
                text += piece
                self.wfile.write(b"event: text\\ndata: " + json.dumps(piece).encode() + b"\\n\\n")
        value = Row.model_validate_json(text).model_dump()
        self.wfile.write(b"event: object\\ndata: " + json.dumps({"row": 0, "value": value}).encode() + b"\\n\\n")
        self.close_connection = True
    def log_message(self, *args):
        pass
class Server(ThreadingHTTPServer):
    request_queue_size = 4096  # with the default of 5, a thousand clients at once are turned away
    daemon_threads = True
server = Server(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
server.serve_forever()
"""
"""What people write today."""

CONTESTANTS = ("llmx serve", "a thread per request")


@dataclass(frozen=True, slots=True)
class Stream:
    """When what came of one stream, in seconds of one clock; `first` is that of its first field or piece of text."""

    asked: float
    opened: float
    first: float
    ended: float


@dataclass(frozen=True, slots=True)
class Round:
    """What so many streams at once took.

    Args:
        held: streams that were open at the same moment, at most.
        memory: bytes resident at most, beyond those before, for each stream.
        cpu: seconds for each stream.
        first, whole: the middle and the 95th percentile, in seconds beyond the model's own latency.
    """

    held: int
    memory: float
    cpu: float
    first: tuple[float, float]
    whole: tuple[float, float]
    total: float


@dataclass(frozen=True, slots=True)
class Service:
    """One contestant's process."""

    url: str
    pid: int

    def memory(self) -> int:
        """Bytes that are resident now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """Seconds that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def started(name: str, model: str, folder: Path, most: int) -> Iterator[Service]:
    """A contestant's process for as long as the context lasts, warm: it has answered once."""
    data, home = folder / "data", folder / "home"
    options = ["-m", "openai/mock", "--base-url", f"{model}/v1", "--cache", "off", "-c", str(most)]
    commands = {
        "llmx serve": ["-m", "llmx", "serve", "--port", "0", "--data", str(data), "--shards", "0", *options],
        "a thread per request": ["-c", THREADS, model],
    }
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [*pinned(CLIENT), sys.executable, *commands[name]],
        env={**os.environ, **KEYS, "LLMX_HOME": str(home), "LLMX_SERVE_EXTRACT_TIMEOUT": "600s"},
        stderr=log,
        cwd=folder,
    )
    try:
        url = _address(folder / "log", process)
        yield Service(url, process.pid)
    finally:
        process.terminate()
        process.wait()
        log.close()


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        if match := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return match[0]
        time.sleep(0.05)
    raise SystemExit(log.read_text())


async def _stream(session: Any, url: str, number: int) -> Stream:
    row = {"text": f"Row {number}: Ada Lovelace <ada{number}@example.org>, was pleased."}
    body = json.dumps({"schema": SCHEMA, "rows": [row]})
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    asked = time.monotonic()
    first = whole = False
    opened = came = 0.0
    async with session.post(f"{url}/v1/extract", data=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        opened = time.monotonic()
        async for line in response.content:
            if not first and line.startswith((b"event: field", b"event: text", b"event: object")):
                first, came = True, time.monotonic()
            whole = whole or line.startswith(b"event: object")
            assert not line.startswith(b"event: error"), await response.text()
    assert whole, "a stream ended without its object"
    return Stream(asked, opened, came, time.monotonic())


async def _streams(service: Service, count: int, begin: int) -> tuple[list[Stream], int]:
    """So many streams at the same moment, and the memory resident at most meanwhile."""
    import aiohttp

    peak = service.memory()

    async def watched() -> None:
        nonlocal peak
        while True:
            peak = max(peak, service.memory())
            await asyncio.sleep(0.05)

    watch = asyncio.create_task(watched())
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        found = await asyncio.gather(*(_stream(session, service.url, begin + n) for n in range(count)))
    watch.cancel()
    return found, peak


def measured(service: Service, count: int, latency: float, begin: int) -> Round:
    """What so many streams at once take."""
    before, cpu = service.memory(), service.cpu()
    streams, peak = asyncio.run(_streams(service, count, begin))
    first = [one.first - one.asked - latency for one in streams]
    whole = [one.ended - one.asked - latency for one in streams]
    total = max(one.ended for one in streams) - min(one.asked for one in streams)
    spent = (service.cpu() - cpu) / count
    return Round(
        _most_at_once(streams), (peak - before) / count, spent, _middle(first), _middle(whole), total
    )


def _most_at_once(streams: Sequence[Stream]) -> int:
    """How many were open at the same moment, at most."""
    changes = sorted([(one.opened, 1) for one in streams] + [(one.ended, -1) for one in streams])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _middle(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def median(rounds: Sequence[Round]) -> Round:
    """Of each figure by itself."""

    def of(figure: Callable[[Round], Any]) -> float:
        return statistics.median(figure(one) for one in rounds)

    return Round(
        min(one.held for one in rounds),
        of(lambda one: one.memory),
        of(lambda one: one.cpu),
        (of(lambda one: one.first[0]), of(lambda one: one.first[1])),
        (of(lambda one: one.whole[0]), of(lambda one: one.whole[1])),
        of(lambda one: one.total),
    )


def compared(counts: Sequence[int], latency: float, runs: int) -> dict[tuple[str, int], Round]:
    """The medians by contestant and count; every round is a fresh process, the contestants take turns."""
    rounds: dict[tuple[str, int], list[Round]] = {}
    with served("--latency", str(latency)) as model:
        for run in range(runs):
            for count in counts:
                for name in CONTESTANTS:
                    with ExitStack() as stack:
                        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                        service = stack.enter_context(started(name, model.url, folder, max(counts)))
                        measured(service, 3, latency, begin=-4)  # the first calls import what they need
                        rounds.setdefault((name, count), []).append(
                            measured(service, count, latency, begin=run * 10**6)
                        )
    return {key: median(found) for key, found in rounds.items()}


def table(found: Mapping[tuple[str, int], Round], latency: float) -> Iterator[str]:
    """The figures as Markdown; latencies without the model's own."""
    yield f"seconds beyond the model's {latency:g}; p50 and p95\n"
    yield "| streams | | held | first field | whole | KB a stream | CPU ms a stream |"
    yield "|---|---|---|---|---|---|---|"
    for (name, count), one in found.items():
        first, whole = (f"{p50:.2f} · {p95:.2f}" for p50, p95 in (one.first, one.whole))
        figures = f"{one.held:,} | {first} | {whole} | {one.memory / 1000:,.0f} | {one.cpu * 1000:.1f}"
        yield f"| {count:,} | {name} | {figures} |"


def panels(found: Mapping[tuple[str, int], Round]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """What is drawn: by the streams at once, how late the whole is, and the memory of all of them together."""

    def lines(figure: Callable[[Round, int], float]) -> dict[str, list[tuple[float, float]]]:
        return {
            name: [(count, figure(one, count)) for (who, count), one in found.items() if who == name]
            for name in CONTESTANTS
        }

    return {
        "Seconds beyond the model's, p95": lines(lambda one, _: max(one.whole[1], 0.001)),
        "Megabytes for all streams": lines(lambda one, count: max(one.memory * count / 1e6, 0.1)),
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--latency", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # of its children, too: two sockets a stream
    found = compared(options.streams, options.latency, options.runs)
    print("\n".join(table(found, options.latency)))
    if options.plot:
        draw(panels(found), options.plot, across="streams at once")


if __name__ == "__main__":
    main()
