"""CPU of one call, by what makes it: our own HTTP client, aiohttp, and the SDK's client over its aiohttp transport.

    python benchmarks/calls.py [--calls 5000] [--runs 3] [--concurrency 64]

The same body goes to `llmx mock` each time, in turn, from one process; nothing is made of the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from harness import SCHEMA, Server, served

from llmx.environment import Environment
from llmx.providers import CATALOG, connect
from llmx.providers.openai import PATH, transport_for
from llmx.schemas import load_schema

Post = Callable[[Mapping[str, Any]], Awaitable[object]]


async def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    with served() as server:
        body = await a_body(server)
        ways = (
            transport_for(CATALOG["openai"], f"{server.url}/v1", "mock", {}, sdk=sdk) for sdk in (False, True)
        )
        own, sdk = ways
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            posts: dict[str, Post] = {
                "our own client": own.post,
                "aiohttp": lambda body: by_aiohttp(session, f"{server.url}/v1{PATH}", body),
                "the openai SDK's post": sdk.post,
            }
            took: dict[str, list[float]] = {name: [] for name in posts}
            for _ in range(options.runs):
                for name, post in posts.items():
                    took[name].append(await cpu(post, body, options.calls, options.concurrency))
        await own.aclose()
        await sdk.aclose()
    base = statistics.median(took["our own client"])
    for name, runs in took.items():
        each = statistics.median(runs)
        print(f"{name:24}{each * 1000:8.3f} ms CPU a call{each / base:8.1f}")


async def a_body(server: Server) -> Mapping[str, Any]:
    """As a row of `llmx extract` has it."""
    schema = load_schema(SCHEMA, cwd=Path())
    environment = Environment(variables={"OPENAI_API_KEY": "mock"})
    endpoint = await connect("openai/mock", schema, env=environment, base_url=f"{server.url}/v1")
    await endpoint.provider.aclose()
    return endpoint.codec.prepare([{"role": "user", "content": "Ada Lovelace <ada@example.org>, 36"}])


async def by_aiohttp(session: aiohttp.ClientSession, url: str, body: Mapping[str, Any]) -> bytes:
    """One call over aiohttp alone."""
    headers = {"content-type": "application/json", "authorization": "Bearer mock"}
    async with session.post(url, data=body.encoded, headers=headers) as response:  # type: ignore[attr-defined]
        return await response.read()


async def cpu(post: Post, body: Mapping[str, Any], calls: int, concurrency: int) -> float:
    """Seconds of CPU that one of so many calls takes."""
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await post(body)

    before = time.process_time()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return (time.process_time() - before) / calls


if __name__ == "__main__":
    asyncio.run(main())
