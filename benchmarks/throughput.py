"""Rows per second and CPU per row of the whole pipeline against `llmx mock` at latency 0.

    python benchmarks/throughput.py [--rows 10000] [--runs 3] [--concurrency 64 256 1024] [--wire openai anthropic]
        [--env FOLDER] [--plot FILE.svg]

Beside llmx (cache, journal and pacing on), in turn (A B C D A B C D …), over the same server and rows: llmx without its
cache, a raw aiohttp loop with validation (the ceiling), and instructor with asyncio.gather (what people write today, over
a fourth of the rows). Each run is a process of its own with empty folders, but for the request plan that a first run
has kept; CPU is the operating system's account of it, the start included. The server must have been asked once for each
row; where it was busy for more than 90 % of the time, it says so. With `--env` litellm takes part, from an environment of
its own in that folder, into which pip installs it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import (
    BUSY,
    WIRES,
    Cost,
    Server,
    contestants,
    extract,
    in_turn,
    median,
    prepared_home,
    run,
    served,
    write_rows,
)
from pacing import environment
from plot import draw

PACED = ("--rpm", "100000000", "--tpm", "100000000000")
"""Limits that hold nothing up, and are kept."""

SLOW = 4
"""How many times fewer rows a contestant is given that takes so much longer."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a series of runs has in common."""

    server: Server
    folder: Path
    plans: Path
    rows: int
    litellm: Path | None

    def job(self, command: list[str], rows: int) -> Callable[[], Cost]:
        """A run of a command in empty folders, which must make one call for each row."""

        def once() -> Cost:
            home = self.folder / "home"
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(self.plans, home)
            with self.server.spent(rows) as with_server:
                return with_server(run(command, self.folder / "work", home))

        return once

    def jobs(self, wire: str, concurrency: int) -> dict[str, tuple[Callable[[], Cost], int]]:
        """What is compared, by name, and over how many rows."""
        all_rows = self.folder / "rows.jsonl"
        few, url = max(1, self.rows // SLOW), self.server.url
        some_rows = write_rows(self.folder / "some.jsonl", few)
        others = contestants(url, all_rows, concurrency, self.folder, wire)
        slow = contestants(url, some_rows, concurrency, self.folder, wire, self.litellm)
        del slow["raw aiohttp"]
        own = extract(url, all_rows, concurrency, *PACED, wire=wire)
        return {
            "llmx extract": (self.job(own, self.rows), self.rows),
            "… --cache off": (self.job([*own, "--cache", "off"], self.rows), self.rows),
            "raw aiohttp": (self.job(others["raw aiohttp"], self.rows), self.rows),
            **{name: (self.job(command, few), few) for name, command in slow.items()},
        }


def main() -> None:
    """Measure and print a table for each wire and concurrency."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--wire", nargs="+", default=WIRES, choices=WIRES)
    parser.add_argument("--only", default="", help="contestants whose names contain this, and the ceiling")
    parser.add_argument("--env", type=lambda path: Path(path).absolute())
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    litellm = environment(options.env) if options.env else None
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory() as name, served() as server:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", options.rows)
        field = Field(server, folder, prepared_home(folder, server), options.rows, litellm)
        for wire in options.wire:
            for concurrency in options.concurrency:
                jobs = {
                    name: job
                    for name, job in field.jobs(wire, concurrency).items()
                    if options.only in name or name == "raw aiohttp"
                }
                costs = in_turn(options.runs, {name: job for name, (job, _) in jobs.items()})
                counts = {name: rows for name, (_, rows) in jobs.items()}
                report(f"{wire}, {concurrency:,} in flight", costs, counts)
                note(panels, wire, concurrency, costs, counts)
    if options.plot:
        draw(panels, options.plot)


def note(
    panels: dict[str, dict[str, list[tuple[float, float]]]],
    wire: str,
    concurrency: int,
    costs: dict[str, list[Cost]],
    rows: dict[str, int],
) -> None:
    """Put a series into the picture, which is of the first wire."""
    if wire != WIRES[0]:
        return
    for name, runs in costs.items():
        cost = median(runs)
        for title, seconds in (("seconds for 10,000 rows", cost.wall * 10), ("CPU ms a row", cost.cpu)):
            point = (concurrency, seconds / rows[name] * 1000)
            panels.setdefault(title, {}).setdefault(name, []).append(point)


def report(title: str, costs: dict[str, list[Cost]], rows: dict[str, int]) -> None:
    """Medians, and ratios to the ceiling."""
    print(f"{title:26}{'rows/s':>9}{'of the ceiling':>16}{'CPU ms/row':>12}{'ceiling = 1':>13}{'server':>9}")
    top = median(costs["raw aiohttp"])
    for name, runs in costs.items():
        cost, count = median(runs), rows[name]
        rate, cpu = count / cost.wall, cost.cpu / count
        share, times = rate * top.wall / rows["raw aiohttp"], cpu * rows["raw aiohttp"] / top.cpu
        limit = " (the limit)" if cost.busy > BUSY else ""
        print(f"{name:26}{rate:9,.0f}{share:16.2f}{cpu * 1000:12.3f}{times:13.2f}{cost.busy:9.0%}{limit}")
    print(flush=True)


if __name__ == "__main__":
    main()
