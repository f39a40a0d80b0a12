"""How near a run comes to what latency and concurrency allow: rows x latency / calls in flight.

    python benchmarks/latency.py [--rows 20000] [--latency 0.3] [--concurrency 1024] [--runs 3]

From the first answer to the last, by the server's clock, beside the raw aiohttp loop of throughput.py in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from harness import contestants, extract, prepared_home, run, served, write_rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--concurrency", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    walls: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, served("--latency", str(options.latency)) as server:
        folder = Path(name)
        rows, one = (write_rows(folder / f"rows-{n}.jsonl", n) for n in (options.rows, 1))
        plans = prepared_home(folder, server)
        for _ in range(options.runs):
            for count, file in ((options.rows, rows), (1, one)):
                commands = {
                    "llmx extract": extract(server.url, file, options.concurrency, "--cache", "off"),
                    "raw aiohttp": contestants(server.url, file, options.concurrency, folder)["raw aiohttp"],
                }
                for name, command in commands.items():
                    cost = run(command, folder / "work", plans)
                    walls.setdefault(f"{name} {count > 1}", []).append(cost.wall)
    ideal = (options.rows - 1) * options.latency / options.concurrency
    print(
        f"{options.rows:,} rows, {options.latency:g} s, {options.concurrency:,} in flight: {ideal:.2f} s ideal"
    )
    for name in ("llmx extract", "raw aiohttp"):
        # A run of one row is its start and its first answer.
        took = statistics.median(walls[f"{name} True"]) - statistics.median(walls[f"{name} False"])
        print(f"{name:16}{took:8.2f} s after the first answer{took / ideal:8.2f} of the ideal")


if __name__ == "__main__":
    main()
