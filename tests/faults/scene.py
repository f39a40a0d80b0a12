"""One command that is run again and again over one input, against one server, until it has come to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from commands import Faults, Finished, Llmx, Mock
from faults.evidence import Ledger, entries, journal_of
from faults.systems import Fault
from rehearsal import read_rows, some_rows, write_rows

__all__ = ["CONCURRENCY", "Scene"]

CONCURRENCY = 2


class Scene:
    """A command `llmx extract rows.jsonl -o out.jsonl`, its server and what has been paid for so far.

    Args:
        mock: started with `log`.
        rows: how many there are in the input.
        options: beside the usual ones.
        often: note how far the output has come with every row that is written.
    """

    def __init__(
        self,
        llmx: Llmx,
        mock: Mock,
        *options: str,
        rows: int = 10,
        concurrency: int = CONCURRENCY,
        often: bool = False,
    ) -> None:
        self.llmx = llmx
        self.mock = mock
        self.rows = rows
        self._always = [{"checkpoints_every": 0.0}] if often else []
        self.journal = journal_of(llmx.cwd)
        self.ledger = Ledger(mock, self.journal)
        write_rows(llmx.cwd / "rows.jsonl", some_rows(rows))
        usual = ("rows.jsonl", "-s", "name, age int", "-o", "out.jsonl", "-c", str(concurrency))
        self.command = ("extract", *usual, *mock.openai, *options)

    @property
    def output(self) -> Path:
        return self.llmx.cwd / "out.jsonl"

    @property
    def results(self) -> list[dict[str, Any]]:
        return read_rows(self.output)

    @property
    def failed_ids(self) -> list[Any]:
        return [row["id"] for row in read_rows(self.llmx.cwd / "out.errors.jsonl")]

    @property
    def rows_noted(self) -> list[int]:
        """The places in the input of the rows that the journal says are settled, as often as it does."""
        return sorted(entry["index"] for entry in entries(self.journal) if entry["t"] == "row")

    @property
    def skipped(self) -> list[int]:
        """How many rows each session has skipped."""
        return [entry.get("skipped", 0) for entry in entries(self.journal) if entry["t"] == "start"]

    def run(self, *faults: Fault, fault: Faults = ()) -> Finished:
        """The command once more; fails when it asks for what it had been answered before."""
        done = self.llmx(*self.command, fault=[*self._always, *(fault.wanted() for fault in faults), *fault])
        self.ledger.session_ended()
        return done

    def run_until(self, watched: Callable[[int], None]) -> int:
        """The command once more, with its pid given to who will end it; its exit code."""
        running, _, _ = self.llmx.piped(*self.command, fault=self._always)
        watched(running.pid)
        code = running.wait()
        self.ledger.session_ended()
        return code

    def left_over(self, kept: Sequence[str] = ()) -> list[str]:
        """What lies in the folder beside input, output, state and what is `kept`."""
        usual = {"rows.jsonl", "out.jsonl", ".llmx", *kept}
        return sorted(path.name for path in self.llmx.cwd.iterdir() if path.name not in usual)
