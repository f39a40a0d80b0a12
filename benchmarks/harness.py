"""What the benchmarks share: a server, rows, the commands that are compared over both, and what a run of one took.

The server, `llmx mock`, has a processor of its own where there are two, and so has the client. Whoever measures calls
checks with `Server.spent` that the server was asked as often as it should have been, and that it was not the limit.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BUSY",
    "CLIENT",
    "KEYS",
    "SCHEMA",
    "SERVER",
    "WIRES",
    "Cost",
    "Server",
    "contestants",
    "extract",
    "in_turn",
    "median",
    "pinned",
    "prepared_home",
    "run",
    "served",
    "write_rows",
]

os.environ.pop(
    "PYTHONDONTWRITEBYTECODE", None
)  # what is installed has its bytecode, and so has a checkout here

SCHEMA = "name, email, age int, tone good|bad|neutral"

SERVER, CLIENT = 0, 1
"""Processors."""

WIRES = ("openai", "anthropic")

BUSY = 0.9
"""The share of a processor that a server may be busy for and not be called the limit."""

RAW = """
import asyncio, json, sys
import aiohttp, orjson
from llmx.schemas import load_schema
from pathlib import Path
wire, url, rows, concurrency = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
schema = load_schema({schema!r}, cwd=Path("."))
HEADERS = {{"content-type": "application/json", "authorization": "Bearer mock"}}
HEADERS |= {{"anthropic-version": "2023-06-01"}} if wire == "anthropic" else {{}}
def openai(text):
    form = {{"type": "json_schema", "json_schema": {{"name": "Row", "strict": True, "schema": schema.json_schema}}}}
    return {{"model": "mock", "messages": [{{"role": "user", "content": text}}], "response_format": form}}
def anthropic(text):
    form = {{"format": {{"type": "json_schema", "schema": schema.json_schema}}}}
    messages = [{{"role": "user", "content": text}}]
    return {{"model": "mock", "max_tokens": 4096, "messages": messages, "output_config": form}}
body = {{"openai": openai, "anthropic": anthropic}}[wire]
path = {{"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}}[wire]
def text_of(answer):
    return answer["choices"][0]["message"]["content"] if wire == "openai" else answer["content"][0]["text"]
async def main():
    limit = asyncio.Semaphore(concurrency)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def one(text):
            async with limit, session.post(url + path, data=orjson.dumps(body(text)), headers=HEADERS) as response:
                return schema.model.model_validate_json(text_of(orjson.loads(await response.read())))
        await asyncio.gather(*(one(json.loads(line)["text"]) for line in open(rows)))
asyncio.run(main())
"""
"""The ceiling of speed, and a task per row: the whole of what is needed, and nothing that keeps it safe."""

INSTRUCTOR = """
import asyncio, json, sys
import instructor
from llmx.schemas import load_schema
from pathlib import Path
wire, url, rows, concurrency = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
schema = load_schema({schema!r}, cwd=Path("."))
def client():
    if wire == "openai":
        import openai
        return instructor.from_openai(openai.AsyncOpenAI(base_url=url + "/v1", api_key="mock"))
    import anthropic
    return instructor.from_anthropic(anthropic.AsyncAnthropic(base_url=url, api_key="mock"))
async def main():
    limit, made = asyncio.Semaphore(concurrency), client()
    async def one(text):
        async with limit:
            return await made.chat.completions.create(
                model="mock", max_tokens=4096, response_model=schema.model,
                messages=[{{"role": "user", "content": text}}])
    await asyncio.gather(*(one(json.loads(line)["text"]) for line in open(rows)))
asyncio.run(main())
"""
"""What people write today."""


LITELLM = """
import asyncio, json, sys
from typing import Literal
import litellm
from pydantic import BaseModel
wire, url, rows, concurrency = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
class Row(BaseModel):
    name: str
    email: str
    age: int
    tone: Literal["good", "bad", "neutral"]
base = url + "/v1" if wire == "openai" else url
async def main():
    limit = asyncio.Semaphore(concurrency)
    async def one(text):
        async with limit:
            answer = await litellm.acompletion(
                model=wire + "/mock", api_base=base, api_key="mock", max_tokens=4096, response_format=Row,
                messages=[{{"role": "user", "content": text}}])
            return Row.model_validate_json(answer.choices[0].message.content)
    await asyncio.gather(*(one(json.loads(line)["text"]) for line in open(rows)))
asyncio.run(main())
"""
"""The same with litellm, which has an environment of its own."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took, its start included.

    Args:
        wall, cpu: seconds.
        memory: bytes that were resident at most.
        busy: the server's share of a processor meanwhile, 0 where none was looked at.
    """

    wall: float
    cpu: float
    memory: int
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class Server:
    """`llmx mock` in a process of its own.

    Args:
        url: without a path.
    """

    url: str
    pid: int

    def calls(self) -> int:
        """How many it has been sent."""
        with urllib.request.urlopen(f"{self.url}/stats") as response:
            return int(json.load(response)["calls"])

    def cpu(self) -> float:
        """Seconds of CPU that it has used; 0 where the system does not say."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def spent(self, calls: int) -> Iterator[Callable[[Cost], Cost]]:
        """Makes sure that so many calls come within the context; yields what adds the server's share to a cost."""
        before, cpu = self.calls(), self.cpu()
        yield lambda cost: Cost(cost.wall, cost.cpu, cost.memory, (self.cpu() - cpu) / cost.wall)
        made = self.calls() - before
        assert made == calls, f"{made} calls were made, not {calls}"


@contextmanager
def served(*options: str) -> Iterator[Server]:
    """`llmx mock` for as long as the context lasts."""
    command = [*pinned(SERVER), sys.executable, "-m", "llmx", "mock", "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        match = re.search(r"(http://\S+)/v1", process.stderr.readline())
        assert match is not None, "llmx mock did not start"
        yield Server(match[1], process.pid)
    finally:
        process.terminate()
        process.wait()


def pinned(processor: int) -> list[str]:
    """A prefix that keeps a command on one processor, where that is possible."""
    return ["taskset", "-c", str(processor)] if (os.cpu_count() or 1) > 1 and sys.platform == "linux" else []


def write_rows(path: Path, count: int) -> Path:
    """So many different rows of about 100 bytes."""
    with path.open("w") as file:
        for n in range(count):
            text = f"Row {n}: Ada Lovelace <ada{n}@example.org>, {n % 90} years old, was pleased."
            file.write(json.dumps({"text": text}) + "\n")
    return path


def extract(url: str, rows: Path, concurrency: int, *options: str, wire: str = "openai") -> list[str]:
    """The command of `llmx extract`, which writes out.jsonl where it runs."""
    command = [sys.executable, "-m", "llmx", "extract", str(rows), "-s", SCHEMA, "-m", f"{wire}/mock"]
    command += ["--base-url", f"{url}/v1", "-c", str(concurrency), "-o", "out.jsonl", *options]
    return [*pinned(CLIENT), *command]


def contestants(
    url: str,
    rows: Path,
    concurrency: int,
    folder: Path,
    wire: str = "openai",
    litellm: Path | None = None,
) -> dict[str, list[str]]:
    """The commands that do the same job without llmx, by name.

    Args:
        litellm: the Python of an environment that has it, None to leave it out.
    """
    own = Path(sys.executable)
    scripts = {"raw aiohttp": (RAW, own), "instructor + gather": (INSTRUCTOR, own)}
    if litellm is not None:
        scripts["litellm + gather"] = (LITELLM, litellm)
    commands = {}
    for name, (script, python) in scripts.items():
        path = folder / f"baseline_{name.split()[0]}.py"
        path.write_text(script.format(schema=SCHEMA))
        arguments = [wire, url, str(rows), str(concurrency)]
        commands[name] = [*pinned(CLIENT), str(python), str(path), *arguments]
    return commands


KEYS = {"OPENAI_API_KEY": "mock", "ANTHROPIC_API_KEY": "mock"}


def prepared_home(folder: Path, server: Server) -> Path:
    """A home of llmx in which every wire's request plan is kept, as after a first run, and nothing else."""
    home = folder / "home-of-plans"
    rows = write_rows(folder / "first.jsonl", 1)
    for wire in WIRES:
        run(extract(server.url, rows, 1, "--cache", "off", wire=wire), folder / f"first-{wire}", home)
    for path in home.iterdir():
        if path.name != "plans":
            shutil.rmtree(path)
    return home


def run(command: Sequence[str], folder: Path, home: Path, variables: Mapping[str, str] | None = None) -> Cost:
    """Run a command in a fresh `folder`, with `variables` beside the environment's; it must succeed.

    Args:
        home: of llmx.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    given = {**os.environ, **KEYS, "LLMX_HOME": str(home), **(variables or {})}
    log = folder / "stderr.log"
    with log.open("wb") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=given, stdout=stderr, stderr=stderr)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # wait4 took it from subprocess
    assert process.returncode == 0, log.read_text()
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(wall, used.ru_utime + used.ru_stime, memory)


def in_turn(runs: int, jobs: Mapping[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
    """What each of the jobs took, so many times, in turn: A B C A B C …"""
    costs: dict[str, list[Cost]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            costs[name].append(job())
    return costs


def median(costs: Sequence[Cost]) -> Cost:
    """Of each figure by itself."""
    parts = ("wall", "cpu", "memory", "busy")
    return Cost(*(statistics.median(getattr(cost, part) for cost in costs) for part in parts))
