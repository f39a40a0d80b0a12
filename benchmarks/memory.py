"""What more rows cost: the resident peak and the CPU of runs over few and over many rows, against `llmx mock`.

    python benchmarks/memory.py [--few 10000] [--many 100000] [--concurrency 64]

Beside llmx the same raw aiohttp loop as in throughput.py, which makes a task per row. The cache is empty at the start
of a run and on during it. `--many 1000000` takes some minutes, and the loop takes gigabytes (`--only llmx` leaves it out).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness import Cost, contestants, extract, prepared_home, run, served, write_rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--only", default="", help="those whose names contain this")
    options = parser.parse_args()
    counts = (options.few, options.many)
    costs: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name, served() as server:
        folder = Path(name)
        prepared_home(folder, server)
        for count in counts:
            rows = write_rows(folder / f"rows-{count}.jsonl", count)
            for name, command in commands(server.url, rows, options.concurrency, folder).items():
                if options.only in name:
                    cost = run(command, folder / "work", folder / f"home-{count}")
                    costs.setdefault(name, []).append(cost)
    report(costs, counts)


def commands(url: str, rows: Path, concurrency: int, folder: Path) -> dict[str, list[str]]:
    """What is compared, by name."""
    raw = contestants(url, rows, concurrency, folder)["raw aiohttp"]
    return {"llmx extract": extract(url, rows, concurrency), "a task per row": raw}


def report(costs: dict[str, list[Cost]], counts: tuple[int, int]) -> None:
    """Megabytes, CPU per row, and how much more the many rows took."""
    few, many = (f"{count:,} rows" for count in counts)
    print(f"{'':22}{few:>26}{many:>26}{'memory':>9}{'CPU/row':>9}")
    for name, (less, more) in costs.items():
        each = [cost.cpu / count * 1000 for cost, count in zip((less, more), counts, strict=True)]
        shown = [f"{c.memory / 1e6:10.1f} MB {ms:6.3f} ms" for c, ms in zip((less, more), each, strict=True)]
        ratios = f"{more.memory / less.memory:9.2f}{each[1] / each[0]:9.2f}"
        print(f"{name:22}{shown[0]:>26}{shown[1]:>26}{ratios}")


if __name__ == "__main__":
    main()
