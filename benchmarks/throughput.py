"""Rows per second and CPU per row of the whole pipeline against `llmx mock` at latency 0.

    python benchmarks/throughput.py [--rows 2000] [--runs 5] [--concurrency 32]

Beside llmx, in turn (A B C D A B C D …), over the same server and rows: llmx without its cache, a raw aiohttp loop
with validation (the ceiling), and instructor with asyncio.gather (what people write today). Each run is a process of
its own, with an empty cache; CPU is the operating system's account of it, the start included.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from harness import Cost, contestants, extract, run, served, write_rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served() as url:
        folder = Path(name)
        rows = write_rows(folder / "rows.jsonl", options.rows)
        commands = {
            "llmx extract": extract(url, rows, options.concurrency, folder),
            "… --cache off": extract(url, rows, options.concurrency, folder, "--cache", "off"),
            **contestants(url, rows, options.concurrency, folder),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for number in range(options.runs):
            for name, command in commands.items():
                costs[name].append(run(command, folder, {"LLMX_HOME": str(folder / f"home-{number}")}))
    report(costs, options.rows)


def report(costs: dict[str, list[Cost]], rows: int) -> None:
    """Medians, and ratios to the first."""
    print(f"{'':22}{'wall s':>9}{'rows/s':>9}{'CPU ms/row':>12}{'CPU, llmx = 1':>16}")
    own = statistics.median(cost.cpu for cost in costs["llmx extract"])
    for name, runs in costs.items():
        wall = statistics.median(cost.wall for cost in runs)
        cpu = statistics.median(cost.cpu for cost in runs)
        print(f"{name:22}{wall:9.2f}{rows / wall:9.0f}{cpu / rows * 1000:12.2f}{cpu / own:16.2f}")


if __name__ == "__main__":
    main()
