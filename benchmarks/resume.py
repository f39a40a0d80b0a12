"""Rows per second that a resumed run skips, beside a re-run of all rows out of the cache.

    python benchmarks/resume.py [--rows 100000] [--runs 3]

A run is stopped by Ctrl-C when most of its rows are in `out.jsonl.partial`. Then three commands are timed, in turn
(A B C A B C …), each a process of its own on the same processor: the resumed run, in a copy of the folder as the stop
has left it; a run over all rows in an empty folder, with the cache that has all of them; and the same over one row, which
is what it takes to start, and is subtracted from both. What is left of the resumed run beside the skipped rows comes out
of the cache, at the cache's rate. A loop in this process that only reads the rows (orjson) is printed beside them. The server is
`llmx mock`, and must not have been called in what is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from harness import KEYS, Cost, extract, in_turn, median, run, served, write_rows

MOST = 0.95
"""The share of the output's bytes after which the run is stopped."""

CONCURRENCY = 256


@dataclass(frozen=True, slots=True)
class Field:
    """What the runs have in common.

    Args:
        commands: over all rows, and over one.
        whole: the output of an undisturbed run.
    """

    folder: Path
    home: Path
    commands: tuple[list[str], list[str]]
    whole: bytes

    def stop(self) -> Path:
        """A folder in which the run has been stopped near its end."""
        left = self.folder / "left"
        left.mkdir()
        variables = {**os.environ, **KEYS, "LLMX_HOME": str(self.home)}
        process = subprocess.Popen(self.commands[0], cwd=left, env=variables, stderr=subprocess.DEVNULL)
        partial = left / "out.jsonl.partial"
        while not partial.exists() or partial.stat().st_size < MOST * len(self.whole):
            assert process.poll() is None, "the run has come to its end before it could be stopped"
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        return left

    def resumed(self, left: Path) -> Cost:
        """The command once more in a copy of that folder; its output must be whole."""
        cost = _run_in_copy(self.commands[0], left, self.folder / "resumed", self.home)
        assert (self.folder / "resumed" / "out.jsonl").read_bytes() == self.whole
        return cost

    def cached(self, command: list[str]) -> Cost:
        """A command in an empty folder."""
        return run(command, self.folder / "cached", self.home)


def _run_in_copy(command: Sequence[str], left: Path, copy: Path, home: Path) -> Cost:
    """Like `harness.run`, which begins with an empty folder."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(left, copy)
    script = 'cd "$0" && exec "$@"'
    return run(["sh", "-c", script, str(copy), *command], copy.with_name("unused"), home)


def skipped(folder: Path) -> int:
    """How many rows the last session of a run has skipped."""
    lines = (folder / ".llmx" / "out.jsonl" / "journal.jsonl").read_bytes().splitlines()
    starts = [json.loads(line) for line in lines if b'"t":"start"' in line]
    return int(starts[-1].get("skipped", 0))


def only_read(rows: Path) -> float:
    """Seconds of CPU that a loop takes to read the rows."""
    started = time.process_time()
    with rows.open("rb") as file:
        for line in file:
            orjson.loads(line)
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served() as server:
        folder = Path(name)
        home, rows = folder / "home", write_rows(folder / "rows.jsonl", options.rows)
        first = write_rows(folder / "first.jsonl", 1)
        commands = (extract(server.url, rows, CONCURRENCY), extract(server.url, first, CONCURRENCY))
        run(commands[0], folder / "whole", home)
        field = Field(folder, home, commands, (folder / "whole" / "out.jsonl").read_bytes())
        left = field.stop()
        with server.spent(0):
            jobs = {
                "resumed": lambda: field.resumed(left),
                "cached": lambda: field.cached(commands[0]),
                "start": lambda: field.cached(commands[1]),
            }
            costs = in_turn(options.runs, jobs)
        report(costs, options.rows, skipped(folder / "resumed"), min(only_read(rows) for _ in range(3)))


def report(costs: dict[str, list[Cost]], rows: int, prefix: int, reading: float) -> None:
    """Medians, by the wall's clock and by the CPU's."""
    print(
        f"{prefix:,} of {rows:,} rows are skipped; only reading takes {reading / rows * 1e6:.2f} µs of CPU a row"
    )
    print(
        f"{'':6}{'start':>9}{'resumed':>10}{'cached':>9}{'skipping':>18}{'out of the cache':>20}{'times':>8}"
    )
    for part in ("wall", "cpu"):
        start, resumed, cached = (
            getattr(median(costs[name]), part) for name in ("start", "resumed", "cached")
        )
        each = (cached - start) / rows
        skipping = (resumed - start - each * (rows - prefix)) / prefix
        rates = f"{1 / skipping:11,.0f} rows/s{1 / each:13,.0f} rows/s{each / skipping:8.1f}"
        print(f"{part:6}{start:7.2f} s{resumed:8.2f} s{cached:7.2f} s{rates}")


if __name__ == "__main__":
    main()
