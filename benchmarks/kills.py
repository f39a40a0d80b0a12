"""What `kill -9` costs: one run that is killed so often, at random, resumed each time, against `llmx mock`.

    python benchmarks/kills.py [--kills 200] [--concurrency 8] [--rows 8 per kill] [--seed 0]

Half of the kills come from the server in the midst of a call, the others from within, at one of the points that
tests/faults/systems.py names, half-written lines among them. What holds after each of them is asserted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the commands and the faults of the tests

from commands import Llmx, forking, mocked, surroundings
from faults.kills import KEPT, Survived, survive


def main() -> None:
    """Kill, resume and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, forking() as zygote, mocked(KEPT) as mock:
        work = Path(name, "work")
        work.mkdir()
        survived = survive(
            Llmx(zygote, work, surroundings(Path(name))),
            mock,
            kills=options.kills,
            rows=options.rows or 8 * options.kills,
            concurrency=options.concurrency,
            seed=options.seed,
        )
    report(survived, options.concurrency, time.perf_counter() - started)


def report(survived: Survived, concurrency: int, seconds: float) -> None:
    """What was lost, and what may be."""
    print(f"kills survived        {survived.kills:>8,}")
    print(f"rows, each there once {survived.rows:>8,}")
    print(f"rows paid twice       {survived.paid_twice:>8,}")
    print(f"  per kill, at most   {max(survived.lost):>8,}   of {concurrency} in flight")
    print(f"  bound               {survived.kills * concurrency:>8,}   kills x calls in flight")
    print(f"time                  {seconds:>8,.1f} s  {seconds / (survived.kills + 1):.2f} s a session")


if __name__ == "__main__":
    main()
