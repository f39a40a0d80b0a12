"""What it costs to share limits by a ledger, and what is used of an account's limit by 1, 4 and 10 workers.

    python benchmarks/quotas.py [--rpm 3000] [--seconds 20] [--workers 1 4 10]

Each worker is a process with an engine of its own; all share a Redis (Debian's, on a free port) and a mock that holds the
limit. Of each: the share of the limit that was used between a quarter and the end of the time, calls that were refused
for it, and the scripts that Redis ran per call, signs of life and budgets included. First, what a call costs in one
process: to set its worst case aside, to settle it and to take its slot, of what was leased.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import served

WORKER = """
import asyncio, itertools, sys
import llmx
from llmx.quotas import KeyLimits, Quotas, open_ledger
ledger, url, rpm, seconds, name = sys.argv[1:]
async def main():
    quotas = Quotas(open_ledger(ledger))
    commons = quotas.commons(KeyLimits("team", daily_tokens=10**12))
    rows = ({"text": f"{name}, row {n}"} for n in itertools.count())
    run = llmx.aextract(rows, "name, age int", model="openai/mock", base_url=f"{url}/v1", rpm=int(rpm),
                        cache="off", commons=commons)
    async def ask():
        async for outcome in run:
            assert outcome.ok, outcome.error
    try:
        await asyncio.wait_for(ask(), float(seconds))
    except TimeoutError:
        pass
    await quotas.aclose()
    await quotas.ledger.aclose()
asyncio.run(main())
"""


@contextmanager
def redis() -> Iterator[int]:
    """A Redis, by its port."""
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes"]
        server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            yield port
        finally:
            server.kill()
            server.wait()


def scripts_run(port: int) -> int:
    """How many scripts Redis has run."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"INFO commandstats\r\n")
        lines = connection.recv(65536).decode().splitlines()
    found = [line for line in lines if line.startswith("cmdstat_evalsha:")]
    return int(found[0].split("calls=")[1].split(",")[0]) if found else 0


def utilisation(workers: int, rpm: int, seconds: float) -> str:
    """One line."""
    with redis() as port, served("--rpm", str(rpm)) as server, tempfile.TemporaryDirectory() as folder:
        ledger = f"redis://127.0.0.1:{port}/0"
        given = [ledger, server.url, str(rpm), str(seconds)]
        commands = [[sys.executable, "-c", WORKER, *given, f"w{n}"] for n in range(workers)]
        processes = [subprocess.Popen(command, cwd=folder) for command in commands]
        codes = [process.wait() for process in processes]
        with urllib.request.urlopen(f"{server.url}/stats") as answer:
            stats = json.load(answer)
        asked = scripts_run(port)
    seen = stats["admitted"]
    first, last = seen[0][0] + 1, seen[-1][0] - 1
    begin = first + (last - first) // 4
    used = sum(calls for second, calls, _ in seen if begin <= second < last) / (rpm / 60 * (last - begin))
    calls = stats["calls"]
    return (
        f"{workers:>7} {used:>9.1%} {stats['refused_by_limit']:>8} {calls:>7,} {asked / calls:>17.3f}"
        f" {'' if not any(codes) else codes}"
    )


async def overhead(ledger: str, calls: int = 20_000) -> float:
    """Microseconds a call: set aside, slot, settled."""
    from llmx.layers.budget import Amount
    from llmx.quotas import KeyLimits, Quotas, open_ledger

    quotas = Quotas(open_ledger(ledger))
    budget = quotas.budget(KeyLimits("bench", daily_tokens=10**12))
    assert budget is not None
    amount, used = Amount(None, 1000), Amount(None, 400)
    spent, done = 0.0, 0
    while done < calls:
        began = time.perf_counter()
        reserved = budget.reserve(amount)
        if reserved is None:
            await asyncio.sleep(0.001)
            continue
        budget.settle(reserved, used, counted=True)
        spent += time.perf_counter() - began
        done += 1
        if done % 100 == 0:
            await asyncio.sleep(0)
    await quotas.aclose()
    await quotas.ledger.aclose()
    return spent / calls * 1e6


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rpm", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4, 10])
    options = parser.parse_args()
    with redis() as port:
        print(f"a call's budget, Redis: {asyncio.run(overhead(f'redis://127.0.0.1:{port}/0')):.1f} us")
    with tempfile.TemporaryDirectory() as folder:
        print(f"a call's budget, SQLite: {asyncio.run(overhead(str(Path(folder) / 'l.db'))):.1f} us")
    print("workers  used      refused   calls  scripts per call")
    for workers in options.workers:
        print(utilisation(workers, options.rpm, options.seconds), flush=True)


if __name__ == "__main__":
    main()
