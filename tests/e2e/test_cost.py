"""What a row costs, in function calls: they do not flicker as seconds do, so that a fifth more is seen.

Counted by the profiler in whole commands over few and over many rows; the difference is what rows cost, without the start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Mock, mocked

FEW, MANY = 1_000, 3_000

COUNTING = """
import cProfile, pstats, sys
from llmx.cli.app import main
profile = cProfile.Profile()
profile.enable()
code = main(sys.argv[1:])
profile.disable()
assert code == 0
print(pstats.Stats(profile).total_calls)
"""

RAW = """
import asyncio, cProfile, json, pstats, sys
import aiohttp, orjson
from pydantic import BaseModel
class Row(BaseModel):
    name: str
    age: int
schema = {"name": "Row", "strict": True, "schema": Row.model_json_schema()}
async def main(url, path):
    limit = asyncio.Semaphore(16)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def one(text):
            form = {"type": "json_schema", "json_schema": schema}
            body = {"model": "m", "messages": [{"role": "user", "content": text}], "response_format": form}
            headers = {"content-type": "application/json"}
            async with limit, session.post(url, data=orjson.dumps(body), headers=headers) as response:
                answer = orjson.loads(await response.read())
                return Row.model_validate_json(answer["choices"][0]["message"]["content"])
        await asyncio.gather(*(one(json.loads(line)["text"]) for line in open(path)))
profile = cProfile.Profile()
profile.enable()
asyncio.run(main(sys.argv[1], sys.argv[2]))
profile.disable()
print(pstats.Stats(profile).total_calls)
"""
"""The least that a row can cost with an HTTP library, see benchmarks/harness.py."""

MARGIN = 1.15
"""Above what was measured when the figures were put down."""


def calls(script: str, folder: Path, *arguments: str) -> int:
    """Function calls of a program's main thread."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"OPENAI_API_KEY": "mock", "ANTHROPIC_API_KEY": "mock", "LLMX_HOME": str(folder.parent / "home")}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **keys}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def rows_of(folder: Path, first: int, count: int) -> str:
    path = folder / f"rows-{first}-{count}.jsonl"
    lines = (json.dumps({"text": f"Ada {n}, {n % 90} years"}) for n in range(first, first + count))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def mock() -> Iterator[Mock]:
    """A simulated provider that answers at once."""
    with mocked() as started:
        yield started


@pytest.fixture
def raw(mock: Mock, tmp_path: Path) -> float:
    """Calls a row of the raw loop."""
    url = f"{mock.url}/v1/chat/completions"
    few, many = (calls(RAW, tmp_path / "raw", url, rows_of(tmp_path, 0, n)) for n in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def each(mock: Mock, tmp_path: Path, wire: str) -> tuple[float, float]:
    """Calls a row of a run, and of one more whose answers are all in the cache."""
    where = ("-m", f"{wire}/mock", "--base-url", f"{mock.url}/v1", "-c", "16", "-o", "out.jsonl")
    options = ("-s", "name, age int", *where, "--rpm", "10000000")
    calls(COUNTING, tmp_path / "plan", "extract", rows_of(tmp_path, 900_000, 1), *options)
    costs = []
    for run in ("new", "cached"):
        few, many = (
            calls(COUNTING, tmp_path / f"{run}-{n}", "extract", rows_of(tmp_path, 10_000 * n, n), *options)
            for n in (FEW, MANY)
        )
        costs.append((many - few) / (MANY - FEW))
    return costs[0], costs[1]


@pytest.mark.parametrize(
    ("wire", "most", "most_cached"), [("openai", 1.72, 0.355), ("anthropic", 1.72, 0.355)]
)
def test_what_a_row_costs(
    wire: str, most: float, most_cached: float, mock: Mock, raw: float, tmp_path: Path
) -> None:
    """Cache, journal and pacing on: no more, in calls of the raw loop, than was measured, and a margin."""
    new, cached = each(mock, tmp_path, wire)
    assert mock.calls == 2 * (FEW + MANY) + 1
    assert new / raw < most * MARGIN
    assert cached / raw < most_cached * MARGIN
