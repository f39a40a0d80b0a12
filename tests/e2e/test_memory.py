"""Memory does not grow with the input."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

PROGRAM = textwrap.dedent("""
    import asyncio, resource, sys
    from pathlib import Path
    from llmx.environment import Environment
    from llmx.layers.stop import Stop
    from llmx.pipeline import run
    from llmx.records import open_sink, open_source
    from llmx.types import Outcome

    async def settle(row):
        return Outcome(row, value=row.data)

    async def main(path):
        env = Environment(cwd=Path(path).parent)
        sink = open_sink("out.jsonl", env=env)
        write = lambda outcome: sink.write(outcome.value)
        await run(open_source([path], env=env), settle=settle, write=write, concurrency=100, ordered=True, stop=Stop())
        sink.close()

    asyncio.run(main(sys.argv[1]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
""")


def peak_kib(folder: Path, rows: int) -> int:
    """The peak memory of a process that pulls so many rows from a file, through 100 workers, to a file."""
    path = folder / f"in-{rows}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f'{{"id":{n},"text":"some text that fills a row a little"}}\n' for n in range(rows))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True
    )
    assert (folder / "out.jsonl").read_bytes().count(b"\n") == rows
    return int(done.stdout)


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """A hundred times the rows cost at most 10 MB more."""
    few, many = peak_kib(tmp_path, 2_000), peak_kib(tmp_path, 200_000)
    assert many - few < 10_000
