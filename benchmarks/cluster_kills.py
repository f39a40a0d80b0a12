"""What kills cost a job of two workers and a Redis: `llmx worker` killed and paused, Redis killed, at random, against `llmx mock`.

    python benchmarks/cluster_kills.py [--jobs 5] [--kills 20] [--rows 200 per kill] [--shards 8] [--concurrency 8] [--seed 0]

Of ten strikes five are kill -9 of a worker, two a pause of one that outlasts its lease (SIGSTOP, SIGCONT), three kill -9 of
Redis. Needs redis-server.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the workers of the tests

from tests.cluster.scene import Survived, survive


def main() -> None:
    """Kill, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started, all_of_them = time.perf_counter(), []
    for number in range(options.jobs):
        with tempfile.TemporaryDirectory() as name:
            survived = asyncio.run(
                survive(
                    Path(name),
                    kills=options.kills,
                    rows=options.rows or 200 * options.kills,
                    shards=options.shards,
                    concurrency=options.concurrency,
                    seed=options.seed + number,
                )
            )
        all_of_them.append(survived)
        print(
            f"job {number}: {survived.state}, {survived.paid_twice} of {survived.rows} rows paid twice",
            flush=True,
        )
    report(all_of_them, time.perf_counter() - started)


def report(jobs: list[Survived], seconds: float) -> None:
    """What was lost, and what may be."""
    rows = {
        "jobs": len(jobs),
        "  jobs lost": sum(job.jobs_lost for job in jobs),
        "  ended well": sum(job.state == "succeeded" for job in jobs),
        "  ends told": sum(job.events for job in jobs),
        "rows": sum(job.rows for job in jobs),
        "  rows lost": sum(len(job.lost) for job in jobs),
        "  there twice": sum(len(job.doubled) for job in jobs),
        "  paid twice": sum(job.paid_twice for job in jobs),
        "    at most in flight": sum(job.in_flight for job in jobs),
        "workers killed": sum(job.workers_killed for job in jobs),
        "workers paused": sum(job.workers_paused for job in jobs),
        "redis killed": sum(job.redis_killed for job in jobs),
        "shards taken over": sum(job.taken_over for job in jobs),
        "stopped for deaths": sum(job.stopped for job in jobs),
    }
    for name, count in rows.items():
        print(f"{name:<24}{count:>8,}")
    print(f"{'time':<24}{seconds:>8,.1f} s")


if __name__ == "__main__":
    main()
