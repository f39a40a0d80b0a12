"""Rows per second of a run whose answers are all in the cache, beside a plain loop over the same rows.

    python benchmarks/cached.py [--rows 100000] [--runs 3]

The loop is what one would write: orjson in, diskcache's `get` by a hash of the row, validation, orjson out; it keeps no
journal. The starts of both, taken from runs over one row, are subtracted. No call may be made.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from harness import CLIENT, SCHEMA, Cost, extract, in_turn, median, pinned, run, served, write_rows

PLAIN = """
import hashlib, sys
from pathlib import Path
import diskcache, orjson
from llmx.schemas import load_schema
schema = load_schema({schema!r}, cwd=Path("."))
cache = diskcache.Cache(sys.argv[1])
def key(row):
    return hashlib.sha256(orjson.dumps(row)).hexdigest()
if sys.argv[2] == "fill":
    with cache.transact():
        for line in open(sys.argv[3], "rb"):
            done = orjson.loads(line)
            cache.set(key({{"text": done.pop("text")}}), orjson.dumps(done).decode())
else:
    with open("out.jsonl", "wb") as out:
        for line in open(sys.argv[3], "rb"):
            row = orjson.loads(line)
            value = schema.model.model_validate_json(cache.get(key(row)))
            out.write(orjson.dumps({{**row, **value.model_dump(mode="json")}}) + b"\\n")
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served() as server:
        folder = Path(name)
        rows, one = (write_rows(folder / f"rows-{n}.jsonl", n) for n in (options.rows, 1))
        home, work = folder / "home", folder / "work"
        run(extract(server.url, rows, 64), folder / "first", home)
        script = folder / "plain.py"
        script.write_text(PLAIN.format(schema=SCHEMA))
        plain = [*pinned(CLIENT), sys.executable, str(script), str(folder / "plain")]
        run([*plain, "fill", str(folder / "first" / "out.jsonl")], work, home)
        shutil.rmtree(folder / "first")
        with server.spent(0):
            costs = in_turn(
                options.runs,
                {
                    "llmx extract": lambda: run(extract(server.url, rows, 64), work, home),
                    "plain loop": lambda: run([*plain, "go", str(rows)], work, home),
                },
            )
            starts = in_turn(
                options.runs,
                {
                    "llmx extract": lambda: run(extract(server.url, one, 64), work, home),
                    "plain loop": lambda: run([*plain, "go", str(one)], work, home),
                },
            )
    report(costs, starts, options.rows)


def report(costs: dict[str, list[Cost]], starts: dict[str, list[Cost]], rows: int) -> None:
    """Medians, and ratios to the loop."""
    took = {name: median(runs).wall - median(starts[name]).wall for name, runs in costs.items()}
    print(f"{'':16}{'rows/s':>9}{'of the loop':>13}{'us/row':>9}{'start s':>9}{'peak':>10}")
    for name, seconds in took.items():
        cost, start = median(costs[name]), median(starts[name]).wall
        share = took["plain loop"] / seconds
        each = f"{seconds / rows * 1e6:9.1f}{start:9.2f}{cost.memory / 1e6:7.0f} MB"
        print(f"{name:16}{rows / seconds:9,.0f}{share:13.2f}{each}")


if __name__ == "__main__":
    main()
