"""What durability costs: a journal line per answer and per row, its fsync, and opening a journal of a million rows.

    python benchmarks/journal.py [--rows 1000000] [--lines 20000] [--runs 5]

Writing is compared with the bare writes of the same bytes: without fsync, and with one per line. A journal is opened
with its index (as after a run that ended), and without it (as after the index was lost), in processes of their own;
the baseline reads the same file line by line and does nothing with it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from llmx.journal import Journal
from llmx.system import System, installed
from llmx.types import Completion, Outcome, Record, Request, Usage

BODY: dict[str, Any] = {
    "id": "chatcmpl-0123456789",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "gpt-5-mini",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "x" * 300}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360},
}
"""About as much as a small answer is."""


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write: its disk is what is measured")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open or options.read:
        measure(opening if options.open else reading, options.open or options.read)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        report_writing(Path(name), options.lines, options.runs)
        report_opening(Path(name), options.rows, options.runs)


class Unsynced(System):
    """Leaves the disk alone."""

    def sync(self, file: int) -> None:
        """See `System.sync`."""


def a_journal(path: Path) -> Journal:
    """An open journal whose failures are ours."""

    def fail(error: Exception) -> None:
        raise error

    return Journal(path, on_failure=fail)


def an_answer(number: int) -> tuple[Request, Completion]:
    """What is written for one row."""
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    request = Request("openai https://api.openai.com/v1", "gpt-5-mini", {}, digest)
    return request, Completion(text='{"x": 1}' * 20, usage=Usage(300, 60), model="gpt-5-mini", body=BODY)


def journalled(folder: Path, rows: int) -> float:
    """Seconds for an answer and an outcome of every row."""
    folder.mkdir(parents=True)
    journal = a_journal(folder / "journal.jsonl")
    journal.begin("benchmark")
    started = time.perf_counter()
    for number in range(rows):
        journal.keep(*an_answer(number))
        journal.settle(Outcome(Record(number, {"id": number}), value=1, model="gpt-5-mini", attempts=1))
    seconds = time.perf_counter() - started
    journal.end(complete=True)
    journal.close()
    return seconds


def bare(folder: Path, rows: int, *, every: int) -> float:
    """Seconds for writing the journal's lines again, with an fsync `every` so many, 0 for none."""
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)[2 : 2 + 2 * rows]
    file = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    started = time.perf_counter()
    for number, line in enumerate(lines, 1):
        os.write(file, line)
        if every and number % every == 0:
            os.fdatasync(file)
    seconds = time.perf_counter() - started
    os.close(file)
    return seconds


def report_writing(folder: Path, rows: int, runs: int) -> None:
    """Microseconds per row, which is two lines."""
    costs: dict[str, list[float]] = {}
    few = max(rows // 20, 1)
    for run in range(runs):
        place = folder / f"writing-{run}"
        costs.setdefault("journal, index, grouped fsync", []).append(journalled(place, rows) / rows)
        with installed(Unsynced()):
            costs.setdefault("journal, index, no fsync", []).append(journalled(place / "un", rows) / rows)
        costs.setdefault("bare writes", []).append(bare(place, rows, every=0) / rows)
        costs.setdefault("bare writes, fsync per 64 rows", []).append(bare(place, rows, every=128) / rows)
        costs.setdefault("bare writes, fsync per row", []).append(bare(place, few, every=2) / few)
    base = median(costs["bare writes"])
    for name, seconds in costs.items():
        print(f"{name:36}{median(seconds) * 1e6:9.1f} us/row{median(seconds) / base:9.2f}")


def report_opening(folder: Path, rows: int, runs: int) -> None:
    """Seconds and megabytes for opening a long journal."""
    place = folder / "opening"
    journalled(place, rows)
    size = (place / "journal.jsonl").stat().st_size
    print(f"\n{rows:,} rows, {size / 1e6:,.0f} MB of journal")
    for name, option, prepare in (
        ("read line by line, nothing done", "--read", None),
        ("opened with its index", "--open", None),
        ("opened without its index", "--open", without_index),
    ):
        tell(name, [child(option, place, prepare) for _ in range(runs)])


def without_index(folder: Path) -> None:
    """As after a crash that took it, or by hand."""
    for path in folder.glob("index.sqlite*"):
        path.unlink()


def child(option: str, folder: Path, prepare: Callable[[Path], None] | None) -> tuple[float, float]:
    """Seconds and megabytes, of a process of its own."""
    if prepare is not None:
        prepare(folder)
    command = [sys.executable, __file__, option, str(folder / "journal.jsonl")]
    seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory)


def tell(name: str, found: list[tuple[float, float]]) -> None:
    """One line of the second table."""
    seconds, memory = (median(column) for column in zip(*found, strict=True))
    print(f"{name:36}{seconds:9.2f} s{memory:12.1f} MB")


def opening(path: Path) -> None:
    """Open the journal, look one answer up, close it."""
    journal = a_journal(path)
    assert journal.answer(an_answer(7)[0]) is not None
    journal.close()


def reading(path: Path) -> None:
    """The baseline."""
    with path.open("rb") as lines:
        for _ in lines:
            pass


def measure(work: Callable[[Path], None], path: Path) -> None:
    """Print the seconds that the work took, and the process's resident peak in megabytes."""
    started = time.perf_counter()
    work(path)
    seconds = time.perf_counter() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
