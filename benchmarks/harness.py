"""What the benchmarks share: a server, rows, the commands that are compared over both, and what a run of one took.

The server, `llmx mock` without latency, has a processor of its own where there are two, and so has the client.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SCHEMA", "Cost", "contestants", "extract", "pinned", "run", "served", "write_rows"]

SCHEMA = "name, email, age int, tone good|bad|neutral"

SERVER, CLIENT = 0, 1
"""Processors."""

RAW = """
import asyncio, json, sys
import aiohttp, orjson
from llmx.schemas import load_schema
from pathlib import Path
url, rows, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3])
schema = load_schema({schema!r}, cwd=Path("."))
format_ = {{"type": "json_schema", "json_schema": {{"name": "Row", "strict": True, "schema": schema.json_schema}}}}
async def main():
    limit = asyncio.Semaphore(concurrency)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def one(text):
            body = {{"model": "mock", "messages": [{{"role": "user", "content": text}}], "response_format": format_}}
            async with limit, session.post(url + "/chat/completions", data=orjson.dumps(body),
                                           headers={{"content-type": "application/json"}}) as response:
                answer = orjson.loads(await response.read())
                return schema.parse(answer["choices"][0]["message"]["content"])
        await asyncio.gather(*(one(json.loads(line)["text"]) for line in open(rows)))
asyncio.run(main())
"""
"""The ceiling of speed, and a task per row: the whole of what is needed, and nothing that keeps it safe."""

INSTRUCTOR = """
import asyncio, json, sys
import instructor, openai
from llmx.schemas import load_schema
from pathlib import Path
url, rows, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3])
schema = load_schema({schema!r}, cwd=Path("."))
async def main():
    limit = asyncio.Semaphore(concurrency)
    client = instructor.from_openai(openai.AsyncOpenAI(base_url=url, api_key="mock"))
    async def one(text):
        async with limit:
            return await client.chat.completions.create(
                model="mock", response_model=schema.model, messages=[{{"role": "user", "content": text}}])
    await asyncio.gather(*(one(json.loads(line)["text"]) for line in open(rows)))
asyncio.run(main())
"""
"""What people write today."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took, its start included.

    Args:
        wall, cpu: seconds.
        memory: bytes that were resident at most.
    """

    wall: float
    cpu: float
    memory: int


@contextmanager
def served(*options: str) -> Iterator[str]:
    """`llmx mock` in a process of its own; yields its base URL for OpenAI's format."""
    command = [*pinned(SERVER), sys.executable, "-m", "llmx", "mock", "--port", "0", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        match = re.search(r"http://\S+/v1", server.stderr.readline())
        assert match is not None, "llmx mock did not start"
        yield match[0]
    finally:
        server.terminate()
        server.wait()


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


def extract(url: str, rows: Path, concurrency: int, folder: Path, *options: str) -> list[str]:
    """The command of `llmx extract`."""
    command = [sys.executable, "-m", "llmx", "extract", str(rows), "-s", SCHEMA, "-m", "openai/mock"]
    command += ["--base-url", url, "-c", str(concurrency), "-o", str(folder / "out.jsonl"), *options]
    return [*pinned(CLIENT), *command]


def contestants(url: str, rows: Path, concurrency: int, folder: Path) -> dict[str, list[str]]:
    """The commands that do the same job without llmx, by name."""
    commands = {}
    for name, script in {"raw aiohttp": RAW, "instructor + gather": INSTRUCTOR}.items():
        path = folder / f"baseline_{name.split()[0]}.py"
        path.write_text(script.format(schema=SCHEMA))
        commands[name] = [*pinned(CLIENT), sys.executable, str(path), url, str(rows), str(concurrency)]
    return commands


def run(command: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> Cost:
    """Run a command in `folder`, with `variables` beside the environment's; it must succeed."""
    log = folder / "stderr.log"
    with log.open("wb") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **(variables or {})}, stdout=stderr, stderr=stderr
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # wait4 took it from subprocess
    assert process.returncode == 0, log.read_text()
    return Cost(
        wall, used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    )
