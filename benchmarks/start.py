"""How soon llmx answers, in multiples of the time that Python takes to import typer.

    python benchmarks/start.py [--runs 15]

`llmx --version`, what a shell completes, `llmx --help`, `llmx extract --help`, and how soon a first request arrives: of a
run of one row from standard input, whose request plan an earlier run has kept, at a socket that answers nothing. In turn
with `python -c "import typer"`; medians.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import CLIENT, KEYS, SCHEMA, pinned

COMPLETING = {"_LLMX_COMPLETE": "complete_bash", "COMP_WORDS": "llmx extract --mo", "COMP_CWORD": "2"}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    llmx = [*pinned(CLIENT), sys.executable, "-m", "llmx"]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        jobs: dict[str, tuple[Callable[[], float], float | None]] = {
            "python -c 'import typer'": (lambda: seconds([*llmx[:-2], "-c", "import typer"]), None),
            "llmx --version": (lambda: seconds([*llmx, "--version"]), 1.5),
            "completion": (lambda: seconds(llmx, COMPLETING), 1.5),
            "llmx --help": (lambda: seconds([*llmx, "--help"]), 2.5),
            "llmx extract --help": (lambda: seconds([*llmx, "extract", "--help"]), None),
            "the first request": (lambda: first_request(llmx, Path(place), home), 4.0),
        }
        first_request(llmx, Path(place), home)  # which makes the plan
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(options.runs):
            for name, (job, _) in jobs.items():
                times[name].append(job())
    report(times, {name: most for name, (_, most) in jobs.items()})


def seconds(command: Sequence[str], variables: dict[str, str] | None = None) -> float:
    """How long a command takes that succeeds."""
    started = time.perf_counter()
    subprocess.run(command, env={**os.environ, **(variables or {})}, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def first_request(llmx: Sequence[str], folder: Path, home: Path) -> float:
    """How long it takes until a request arrives; the run is killed then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        command = [*llmx, "extract", "-", "-s", SCHEMA, "-m", "openai/mock", "--base-url", url]
        environment = {**os.environ, **KEYS, "LLMX_HOME": str(home)}
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdin is not None
        process.stdin.write(b'{"text": "at %d"}\n' % time.time_ns())  # which no cache has
        process.stdin.close()
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            took = time.perf_counter() - started
            process.kill()
            process.wait()
    return took


def report(times: dict[str, list[float]], most: dict[str, float | None]) -> None:
    """Medians, and ratios to the first."""
    base = statistics.median(next(iter(times.values())))
    print(f"{'':28}{'ms':>7}{'import typer = 1':>18}{'at most':>9}")
    for name, runs in times.items():
        took = statistics.median(runs)
        print(f"{name:28}{took * 1000:7.0f}{took / base:18.2f}{most[name] or '':>9}")


if __name__ == "__main__":
    main()
