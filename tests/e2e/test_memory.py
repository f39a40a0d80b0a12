"""Memory does not grow with the input."""

from __future__ import annotations

import textwrap
from pathlib import Path

from peak import peak_kib

PROGRAM = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from llmx.environment import Environment
    from llmx.layers.stop import Stop
    from llmx.feed import Feed
    from llmx.pipeline import settled, written
    from llmx.settling import Prepared
    from llmx.records import open_sink, open_source
    from llmx.types import Outcome, weight

    async def prepare(rows):
        return [Prepared(row, None) for row in rows]

    async def settle(prepared):
        return Outcome(prepared.record, value=prepared.record.data)

    async def main(path):
        env = Environment(cwd=Path(path).parent)
        sink = open_sink("out.jsonl", env=env)
        write = lambda outcomes: sink.write(*(outcome.value for outcome in outcomes))
        rows = Feed(open_source([path], env=env), weigh=weight)
        outcomes = settled(rows, prepare=prepare, settle=settle, taken=None, concurrency=100, ordered=True, stop=Stop())
        await written(outcomes, write=write, drained=sink.drained)
        sink.close()

    asyncio.run(main(sys.argv[1]))
""")


def peak_of(folder: Path, rows: int) -> int:
    """The peak memory of a process that pulls so many rows from a file, through 100 workers, to a file."""
    path = folder / f"in-{rows}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f'{{"id":{n},"text":"some text that fills a row a little"}}\n' for n in range(rows))
    peak = peak_kib(PROGRAM, path)
    assert (folder / "out.jsonl").read_bytes().count(b"\n") == rows
    return peak


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """A hundred times the rows cost at most 10 MB more."""
    few, many = peak_of(tmp_path, 2_000), peak_of(tmp_path, 200_000)
    assert many - few < 10_000
