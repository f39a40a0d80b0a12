"""Rows per second and CPU per row of the whole pipeline against `llmx mock` at latency 0.

    python benchmarks/throughput.py [--rows 2000] [--runs 5] [--concurrency 32]

Beside llmx, in turn (A B C A B C …), two baselines over the same server and rows: a raw aiohttp loop with
validation (the ceiling), and instructor with asyncio.gather (what people write today). Each run is a
process of its own; CPU is the operating system's account of it, the start included. The server has a
processor of its own where there are two.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = "name, email, age int, tone good|bad|neutral"

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
                schema.parse(answer["choices"][0]["message"]["content"])
        await asyncio.gather(*(one(json.loads(line)["text"]) for line in open(rows)))
asyncio.run(main())
"""

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
            await client.chat.completions.create(
                model="mock", response_model=schema.model, messages=[{{"role": "user", "content": text}}])
    await asyncio.gather(*(one(json.loads(line)["text"]) for line in open(rows)))
asyncio.run(main())
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served() as url:
        rows = write_rows(Path(folder) / "rows.jsonl", options.rows)
        commands = contestants(url, rows, options.concurrency, Path(folder))
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(options.runs):
            for name, command in commands.items():
                figures[name].append(timed(command, Path(folder)))
    report(figures, options.rows)


@contextmanager
def served() -> Iterator[str]:
    """`llmx mock` in a process of its own; yields its base URL."""
    command = [*pinned(0), sys.executable, "-m", "llmx", "mock", "--port", "0"]
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
    texts = (
        f"Row {n}: Ada Lovelace <ada{n}@example.org>, {n % 90} years old, was pleased." for n in range(count)
    )
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def contestants(url: str, rows: Path, concurrency: int, folder: Path) -> dict[str, list[str]]:
    """The commands by name."""
    scripts = {"raw aiohttp": RAW, "instructor + gather": INSTRUCTOR}
    extract = [sys.executable, "-m", "llmx", "extract", str(rows), "-s", SCHEMA, "-m", "openai/mock"]
    extract += ["--base-url", url, "--cache", "off", "-c", str(concurrency), "-o", str(folder / "out.jsonl")]
    commands = {"llmx extract": extract}
    for name, script in scripts.items():
        path = folder / f"baseline_{name.split()[0]}.py"
        path.write_text(script.format(schema=SCHEMA))
        commands[name] = [sys.executable, str(path), url, str(rows), str(concurrency)]
    return {name: [*pinned(1), *command] for name, command in commands.items()}


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    wall = time.perf_counter() - started
    assert result.returncode == 0, result.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(figures: dict[str, list[tuple[float, float]]], rows: int) -> None:
    """Medians, and ratios to the first."""
    print(f"{'':22}{'wall s':>9}{'rows/s':>9}{'CPU ms/row':>12}{'CPU, llmx = 1':>16}")
    own = statistics.median(cpu for _, cpu in figures["llmx extract"])
    for name, runs in figures.items():
        wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name:22}{wall:9.2f}{rows / wall:9.0f}{cpu / rows * 1000:12.2f}{cpu / own:16.2f}")


if __name__ == "__main__":
    main()
