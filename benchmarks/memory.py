"""What more rows cost in memory: the resident peak of runs over few and over many rows, against `llmx mock`.

    python benchmarks/memory.py [--few 1000] [--many 20000] [--concurrency 32]

Beside llmx the same raw aiohttp loop as in throughput.py, which makes a task per row. The cache is empty at the start
of a run and on during it. `--many 1000000` takes half an hour, a row being a call, and the loop takes gigabytes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness import contestants, extract, run, served, write_rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=32)
    options = parser.parse_args()
    counts = (options.few, options.many)
    peaks: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, served() as url:
        folder = Path(name)
        for count in counts:
            rows = write_rows(folder / f"rows-{count}.jsonl", count)
            for name, command in commands(url, rows, options.concurrency, folder).items():
                cost = run(command, folder, {"LLMX_HOME": str(folder / f"home-{count}")})
                peaks.setdefault(name, []).append(cost.memory / 1e6)
    report(peaks, counts)


def commands(url: str, rows: Path, concurrency: int, folder: Path) -> dict[str, list[str]]:
    """What is compared, by name."""
    raw = contestants(url, rows, concurrency, folder)["raw aiohttp"]
    return {"llmx extract": extract(url, rows, concurrency, folder), "a task per row": raw}


def report(peaks: dict[str, list[float]], counts: tuple[int, int]) -> None:
    """Megabytes, and how much more the many rows took."""
    few, many = (f"{count:,} rows" for count in counts)
    print(f"{'':22}{few:>16}{many:>16}{'more':>10}")
    for name, (less, more) in peaks.items():
        print(f"{name:22}{less:13.1f} MB{more:13.1f} MB{more - less:7.1f} MB")


if __name__ == "__main__":
    main()
