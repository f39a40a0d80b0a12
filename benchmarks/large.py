"""Large rows, rows of mixed sizes, and a slow disk: whether throughput falls more than the bytes and the disk explain.

    python benchmarks/large.py [--rows 300] [--many 10000] [--runs 3] [--concurrency 64] [--in-flight 64 1024]
        [--delay 20] [--only large mixed disk]

Rows of 1 MB, and many rows whose sizes are drawn from a log-normal distribution (seeded; half of them below 200 B, one in
eighteen from 10 kB on, 1 MB at most), go through llmx (cache and journal on), a raw aiohttp loop with validation, which
writes nothing, and "the bytes alone": a loop without concurrency that does what must be done for each byte, which is to
read and parse it, to hash it once, to encode and send it, and to write it. The texts are prose with quotes, line breaks
and some characters beyond ASCII. What the bytes explain is the CPU that llmx takes for as many rows of 200 B, and what
the bytes alone take more for these rows than for those; the start of the process is in each figure, and so in both sides.

The slow disk is simulated, without root: a library that cc makes is loaded before libc's (LD_PRELOAD, so on Linux alone)
and has every fsync and fdatasync of the process, SQLite's included, sleep first. It counts them, those apart for which the
main thread waits: these explain how much longer a run takes. The normal disk is the same library without the sleep.

Runs take turns (A B C A B C …), each in a process of its own with empty folders but for the kept request plan; figures
are medians. The server, `llmx mock`, must have been asked once for each row.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson
from harness import (
    BUSY,
    CLIENT,
    SCHEMA,
    Cost,
    Server,
    contestants,
    extract,
    in_turn,
    median,
    pinned,
    prepared_home,
    run,
    served,
)

from llmx.schemas import load_schema

SMALL, LARGE = 200, 1_000_000
"""Bytes of a row's text."""

SPREAD = 2.5
"""Of the logarithm of a size."""

PROSE = (
    """Ada Lovelace was pleased with the engine's notes,\n and wrote "yes" to Babbage — at 36, in a café."""
)

OWN, RAW, BARE = "`llmx extract`", "raw aiohttp", "the bytes alone"
SMALL_TOO = f", rows of {SMALL} B"
"""What is compared; the same over as many small rows has the last one added to its name."""

BYTES = """
import hashlib, socket, sys
import orjson
host, port, rows = sys.argv[1], int(sys.argv[2]), sys.argv[3]
HEAD = b"POST /v1/chat/completions HTTP/1.1\\r\\nhost: mock\\r\\nauthorization: Bearer mock\\r\\n"
HEAD += b"content-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"
FORM = {{"type": "json_schema", "json_schema": {{"name": "Row", "strict": True, "schema": {schema!r}}}}}
def answer(file):
    while (line := file.readline().lower()) != b"\\r\\n":
        if line.startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    return orjson.loads(orjson.loads(file.read(size))["choices"][0]["message"]["content"])
with socket.create_connection((host, port)) as connection, connection.makefile("rb") as answers:
    with open(rows, "rb") as lines, open("out.jsonl", "wb") as out:
        for line in lines:
            row, digest = orjson.loads(line), hashlib.sha256(line).hexdigest()
            messages = [{{"role": "user", "content": row["text"]}}]
            body = orjson.dumps({{"model": "mock", "messages": messages, "response_format": FORM}})
            connection.sendall(HEAD % len(body) + body)
            out.write(orjson.dumps({{**row, **answer(answers)}}) + b"\\n")
"""

SLOW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int late(const char *name, int file) {
    int log = open(getenv("SYNC_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log >= 0) {
        if (write(log, syscall(SYS_gettid) == getpid() ? "m" : "t", 1) < 0) _exit(99);
        close(log);
    }
    usleep(1000 * atoi(getenv("SYNC_DELAY")));
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}
int fsync(int file) { return late("fsync", file); }
int fdatasync(int file) { return late("fdatasync", file); }
"""
"""A byte of the log for each call: m of the main thread's, t of another's."""


@dataclass(frozen=True, slots=True)
class Field:
    """What all runs have in common.

    Args:
        plans: the home of llmx with which each begins.
    """

    server: Server
    folder: Path
    plans: Path

    def job(
        self, command: list[str], rows: int, variables: Mapping[str, str] | None = None
    ) -> Callable[[], Cost]:
        """A run of a command in empty folders, which must make one call for each row."""

        def once() -> Cost:
            home = self.folder / "home"
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(self.plans, home)
            with self.server.spent(rows) as with_server:
                return with_server(run(command, self.folder / "work", home, variables))

        return once

    def bare(self, rows: Path) -> list[str]:
        """The command of the bytes alone."""
        script = self.folder / "bytes.py"
        script.write_text(BYTES.format(schema=load_schema(SCHEMA, cwd=Path()).json_schema))
        url = urlsplit(self.server.url)
        return [*pinned(CLIENT), sys.executable, str(script), str(url.hostname), str(url.port), str(rows)]

    def rows(self, name: str, sizes: Iterable[int]) -> Path:
        """A file of rows with texts of these sizes."""
        path = self.folder / f"{name}.jsonl"
        with path.open("wb") as file:
            for number, size in enumerate(sizes):
                file.write(orjson.dumps({"text": text(number, size)}) + b"\n")
        return path


def text(number: int, size: int) -> str:
    """Prose of so many bytes, or a few less, another for every number."""
    draw = random.Random(number)
    page = " ".join(draw.choices(PROSE.split(" "), k=min(size // 4, 2_000) + 1)) + " "
    pages = f"Row {number}: " + page * (size // len(page) + 1)
    return pages.encode()[:size].decode(errors="ignore")


def mixed(count: int) -> list[int]:
    """Sizes of which half are below `SMALL` and few are `LARGE`, the same every time."""
    draw = random.Random(1)
    return [min(LARGE, max(20, int(SMALL * draw.lognormvariate(0, SPREAD)))) for _ in range(count)]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 1024])
    parser.add_argument(
        "--delay", type=int, default=20, help="ms that an fsync of the slow disk takes longer"
    )
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served() as server:
        folder = Path(name)
        field = Field(server, folder, prepared_home(folder, server))
        for part in options.only:
            PARTS[part](field, options)


def large(field: Field, options: argparse.Namespace) -> None:
    """Rows of 1 MB."""
    sized(f"{options.rows:,} rows of 1 MB", field, [LARGE] * options.rows, options)


def mixed_sizes(field: Field, options: argparse.Namespace) -> None:
    """Rows of all sizes."""
    sizes = mixed(options.many)
    above = ", ".join(f"{sum(size >= n for size in sizes):,} from {n:,} B" for n in (10_000, 100_000, LARGE))
    sized(f"{options.many:,} rows of mixed sizes ({above})", field, sizes, options)


def sized(title: str, field: Field, sizes: Sequence[int], options: argparse.Namespace) -> None:
    """Measure rows of these sizes beside as many small ones, and print a table and what the bytes explain."""
    files = {"": field.rows("rows", sizes), SMALL_TOO: field.rows("small", [SMALL] * len(sizes))}
    jobs: dict[str, Callable[[], Cost]] = {}
    for suffix, path in files.items():
        raw = contestants(field.server.url, path, options.concurrency, field.folder)["raw aiohttp"]
        own = extract(field.server.url, path, options.concurrency)
        commands = {OWN: own, RAW: raw, BARE: field.bare(path)}
        jobs |= {name + suffix: field.job(command, len(sizes)) for name, command in commands.items()}
    costs = {name: median(runs) for name, runs in in_turn(options.runs, jobs).items()}
    report(title, costs, len(sizes), {suffix: path.stat().st_size / 1e6 for suffix, path in files.items()})


def report(title: str, costs: Mapping[str, Cost], rows: int, sizes: Mapping[str, float]) -> None:
    """Medians, ratios to the raw loop over the same rows, and what the bytes explain.

    Args:
        sizes: of the files in MB, by what their names have added.
    """
    print(f"\n{title}, {sizes['']:,.0f} MB\n")
    print(
        "| | rows/s | MB/s | of the raw loop | CPU ms/row | CPU ms/MB | raw loop = 1 | resident peak | server |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, cost in costs.items():
        suffix = SMALL_TOO if name.endswith(SMALL_TOO) else ""
        print(
            f"| {name} | {figures(cost, costs[RAW + suffix], rows, sizes[suffix], name.startswith(BARE))} |"
        )
    own, little = costs[OWN].cpu, costs[OWN + SMALL_TOO].cpu
    explained = little + costs[BARE].cpu - costs[BARE + SMALL_TOO].cpu
    print(
        f"\nCPU s: {own:.2f}; small rows and the bytes explain {explained:.2f}: {own / explained:.2f}",
        flush=True,
    )


def figures(cost: Cost, raw: Cost, rows: int, size: float, one_by_one: bool) -> str:
    """The cells of one line; of a loop without concurrency, speed says nothing."""
    rate, share = rows / cost.wall, raw.wall / cost.wall
    speed = " | | " if one_by_one else f"{rate:,.0f} | {size / cost.wall:,.1f} | {share:.2f}"
    cpu = f"{cost.cpu / rows * 1e3:.3f} | {cost.cpu / size * 1e3:,.2f} | {cost.cpu / raw.cpu:.2f}"
    limit = " (the limit)" if cost.busy > BUSY else ""
    return f"{speed} | {cpu} | {cost.memory / 1e6:,.0f} MB | {cost.busy:.0%}{limit}"


def disk(field: Field, options: argparse.Namespace) -> None:
    """Measure both disks at each concurrency, and print a table."""
    library, log = slow_disk(field.folder), field.folder / "syncs"
    rows = field.rows("small", [SMALL] * options.many)
    print(f"\n{options.many:,} rows of {SMALL} B, fsync of {options.delay} ms\n")
    print(
        "| in flight | disk | rows/s | of normal | CPU ms/row | fsyncs | the main thread's | s longer | explained |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for concurrency in options.in_flight:
        command = extract(field.server.url, rows, concurrency)
        syncs: dict[str, list[str]] = {"normal": [], "slow": []}
        jobs: dict[str, Callable[[], Cost]] = {}
        for name, delay in (("normal", 0), ("slow", options.delay)):
            variables = {"LD_PRELOAD": str(library), "SYNC_LOG": str(log), "SYNC_DELAY": str(delay)}
            jobs[name] = counting(field.job(command, options.many, variables), log, syncs[name])
        report_disk(concurrency, in_turn(options.runs, jobs), syncs, options)


def slow_disk(folder: Path) -> Path:
    """The library that makes fsync slow."""
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(SLOW)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def counting(job: Callable[[], Cost], log: Path, syncs: list[str]) -> Callable[[], Cost]:
    """The same job, which notes what the library has logged of it."""

    def once() -> Cost:
        log.unlink(missing_ok=True)
        cost = job()
        syncs.append(log.read_text())
        return cost

    return once


def report_disk(
    concurrency: int,
    costs: Mapping[str, Sequence[Cost]],
    syncs: Mapping[str, Sequence[str]],
    options: argparse.Namespace,
) -> None:
    """Medians, ratios to the normal disk, and how long the main thread has waited for the slow one."""
    normal = median(costs["normal"])
    for name, runs in costs.items():
        cost = median(runs)
        every = statistics.median(map(len, syncs[name]))
        main = statistics.median(log.count("m") for log in syncs[name])
        speed = f"{options.many / cost.wall:,.0f} | {normal.wall / cost.wall:.2f}"
        each = f"{cost.cpu / options.many * 1e3:.3f} | {every:,.0f} | {main:,.0f}"
        longer = (
            f"{cost.wall - normal.wall:.2f} | {main * options.delay / 1e3:.2f}" if name == "slow" else " | "
        )
        print(f"| {concurrency:,} | {name} | {speed} | {each} | {longer} |", flush=True)


PARTS = {"large": large, "mixed": mixed_sizes, "disk": disk}
"""By the names that `--only` takes."""


if __name__ == "__main__":
    main()
