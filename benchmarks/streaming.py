"""Objects field by field: when the first field comes, what a streamed call takes, and how many are held at a time.

    python benchmarks/streaming.py [--calls 2000] [--streams 1000] [--pace 50]

Against `llmx mock`, which has a processor of its own. The answers have eight fields in about 40 tokens. CPU is that of
this process alone. A contestant is the openai SDK with `stream=True`, whose chunks are joined and validated at the end, over
its transport of aiohttp.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from harness import CLIENT, Server, served

SCHEMA = "name, email, company, city, age int, tone good|bad|neutral, tags list[str], summary: in a sentence or two"
COLUMNS = ["text"]
LATENCY = 0.3
KEPT = 64
"""Calls in flight where CPU is measured."""


def row(number: int) -> dict[str, Any]:
    """About 200 bytes, different each."""
    words = f"Row {number}: Ada Lovelace <ada{number}@example.org> of London, {number % 90}, was pleased with her engine. "
    return {"text": words * 2}


def main() -> None:
    """Measure and print three tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--pace", type=float, default=50.0, help="tokens a second of one stream")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {CLIENT})
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with home(), served("--latency", str(LATENCY), "--pace", str(options.pace)) as server:
        asyncio.run(first_fields(server))
        asyncio.run(held(server, options.streams))
    with home(), served() as server:
        asyncio.run(cpu(server, options.calls))


@contextmanager
def home() -> Iterator[None]:
    """A home of llmx that has nothing in it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LLMX_HOME": folder, "OPENAI_API_KEY": "mock"}
        yield


def at(server: Server, **more: Any) -> dict[str, Any]:
    """The options that name the server."""
    return {"model": "openai/mock", "base_url": f"{server.url}/v1", "cache": "off", **more}


# When the first field comes


async def first_fields(server: Server, rows: int = 10) -> None:
    """Seconds from asking to the first field and to the whole, of rows one by one."""
    from llmx.streaming import open_streams

    firsts, wholes = [], []
    async with open_streams(SCHEMA, columns=COLUMNS, **at(server)) as streams:
        for number in range(rows):
            began, first = time.perf_counter(), 0.0
            async for _ in streams.stream(row(number)):
                first = first or time.perf_counter() - began
            firsts.append(first)
            wholes.append(time.perf_counter() - began)
    first, whole = statistics.median(firsts), statistics.median(wholes)
    print(f"first field after {first:.2f} s, the whole after {whole:.2f} s: {first / whole:.2f} of it\n")


# What a call takes


async def cpu(server: Server, calls: int) -> None:
    """Milliseconds of CPU a call, the runs in turn."""
    ways: dict[str, Callable[[Server, int], Awaitable[None]]] = {
        "plain calls, one engine": plain,
        "streams, one engine": streamed,
        "openai SDK, stream=True": sdk,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        await way(server, 50)
    for _ in range(3):
        for name, way in ways.items():
            gc.collect()
            before = time.process_time()
            await way(server, calls)
            found[name].append((time.process_time() - before) / calls * 1e3)
    base = statistics.median(found["plain calls, one engine"])
    for name, times in found.items():
        print(
            f"{name:32}{statistics.median(times):8.2f} ms CPU a call {statistics.median(times) / base:8.1f}"
        )
    await alone(server, base)


async def plain(server: Server, calls: int) -> None:
    """The library's calls for the whole."""
    import llmx

    outcomes = await llmx.aextract([row(n) for n in range(calls)], SCHEMA, **at(server, concurrency=KEPT))
    assert all(outcome.ok for outcome in outcomes)


async def streamed(server: Server, calls: int) -> None:
    """The same rows field by field."""
    from llmx.streaming import open_streams

    async with open_streams(SCHEMA, columns=COLUMNS, **at(server, concurrency=KEPT)) as streams:
        numbers = iter(range(calls))

        async def work() -> None:
            for number in numbers:
                parts = [part async for part in streams.stream(row(number))]
                assert len(parts) == 9

        await asyncio.gather(*(work() for _ in range(KEPT)))


async def sdk(server: Server, calls: int) -> None:
    """The SDK's stream of each row, joined and validated."""
    import openai

    from llmx.schemas import schema_of

    schema = schema_of(SCHEMA)
    form = {"type": "json_schema", "json_schema": {"name": "Row", "schema": schema.json_schema}}
    numbers = iter(range(calls))
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", max_retries=0, http_client=openai.DefaultAioHttpClient()
    ) as client:

        async def work() -> None:
            for number in numbers:
                messages = [{"role": "user", "content": row(number)["text"]}]
                create: Any = client.chat.completions.create
                options = {"include_usage": True}
                stream = await create(
                    model="mock",
                    messages=messages,
                    response_format=form,
                    stream=True,
                    stream_options=options,
                )
                texts = [c.choices[0].delta.content or "" async for c in stream if c.choices]
                schema.parse("".join(texts))

        await asyncio.gather(*(work() for _ in range(KEPT)))


async def alone(server: Server, base: float, calls: int = 50) -> None:
    """`llmx.astream` opens an engine for each row."""
    import llmx

    before = time.process_time()
    for number in range(calls):
        async for _ in llmx.astream(row(number), SCHEMA, **at(server)):
            pass
    each = (time.process_time() - before) / calls * 1e3
    print(f"{'llmx.astream, an engine a row':32}{each:8.2f} ms CPU a call {each / base:8.1f}")


# How many are held


async def held(server: Server, streams: int) -> None:
    """So many at a time: memory of each while all are in flight, and when their parts come."""
    from llmx.streaming import open_streams

    async with open_streams(SCHEMA, columns=COLUMNS, **at(server, concurrency=streams)) as opened:

        async def one(number: int) -> tuple[float, float, bool]:
            began, first, good = time.perf_counter(), 0.0, False
            async with aclosing(opened.stream(row(number))) as parts:
                async for part in parts:
                    first = first or time.perf_counter() - began
                    good = getattr(part, "outcome", None) is not None and part.outcome.ok
            return first, time.perf_counter() - began, good

        await one(-1)
        gc.collect()
        before, cpu = resident(), time.process_time()
        running = [asyncio.ensure_future(one(number)) for number in range(streams)]
        peak = 0
        while not all(task.done() for task in running):
            peak = max(peak, resident())
            await asyncio.sleep(0.05)
        ends = [task.result() for task in running]
        cpu = time.process_time() - cpu
    assert all(good for _, _, good in ends)
    firsts, wholes = sorted(first for first, _, _ in ends), sorted(whole for _, whole, _ in ends)
    late = int(0.99 * streams)
    print(
        f"{streams:,} streams at a time: {(peak - before) / streams / 1024:.0f} KiB each, {cpu:.2f} s of CPU"
    )
    print(f"first field: median {firsts[streams // 2]:.2f} s, 99 % {firsts[late]:.2f} s", end="; ")
    print(f"whole: median {wholes[streams // 2]:.2f} s, 99 % {wholes[late]:.2f} s\n")


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
