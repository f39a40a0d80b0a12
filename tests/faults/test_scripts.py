"""Faults of the provider in any order: every row ends once, the counts add up, and nobody is asked too often."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes import LoopClock
from faults.evidence import entries, journal_of
from faults.systems import Flushless
from hypothesis import given, settings
from hypothesis import strategies as st
from rehearsal import in_simulated_time, options_for, read_rows, run_to_files, some_rows, write_rows

from llmx.job import Report
from llmx.mock import MockSettings
from llmx.mock.faults import Fate
from llmx.mock.server import Server, serve
from llmx.report.summary import figures_as_json
from llmx.system import installed

ROWS = 6
SESSIONS = 20
"""Runs that a script of faults, which is as long as it is, cannot outlast."""

FATES = {
    "answer": Fate("answer"),
    "slow": Fate("answer", latency=0.7),
    "500": Fate("error", 500),
    "503": Fate("error", 503, latency=0.3),
    "529": Fate("error", 529),
    "429": Fate("error", 429),
    "hang": Fate("hang"),
    "reset": Fate("drop"),
    "prose": Fate("malformed", variant=0),
    "half": Fate("malformed", variant=1),
    "wrong": Fate("malformed", variant=2),
    "refusal": Fate("refusal"),
}

script = st.lists(st.sampled_from(sorted(FATES)), max_size=30)
law = settings(deadline=None, derandomize=True, max_examples=60)


class Script:
    """Fates of the server's calls, one after the other; then all goes well."""

    def __init__(self, names: Sequence[str]) -> None:
        self._fates = iter([FATES[name] for name in names])

    def next(self) -> Fate:
        """See `llmx.mock.faults.Faults`."""
        return next(self._fates, FATES["answer"])


@dataclass
class Session:
    """One run: how it ended, what the server saw of it, and what the journal says since it began."""

    report: Report
    asked: list[str]
    noted: list[dict[str, Any]]


@dataclass
class Ended:
    """A run that has come to its end, in one session or several."""

    sessions: list[Session]
    rows: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    manifest: dict[str, Any]

    @property
    def last(self) -> Session:
        return self.sessions[-1]


async def session(folder: Path, server: Server, options: dict[str, Any]) -> Session:
    journal = journal_of(folder)
    calls, lines = server.stats()["calls"], len(entries(journal))
    report, _ = await run_to_files(folder, options)
    log: Any = server._provider._log
    bodies = [json.dumps(call["body"]) for call in log.snapshot()]
    return Session(report, bodies[calls:], entries(journal)[lines:])


def ended(folder: Path, names: Sequence[str], **options: Any) -> Ended:
    """Run six rows against a script until the run is not stopped."""
    write_rows(folder / "in.jsonl", some_rows(ROWS))

    async def main() -> list[Session]:
        async with await serve(MockSettings(log=True), clock=LoopClock()) as server:
            server._provider._faults = Script(names)
            usual = {**options_for("openai", server.url), "inputs": ["in.jsonl"], "cache": "off"}
            sessions: list[Session] = []
            while not sessions or sessions[-1].report.reasons:
                assert len(sessions) < SESSIONS
                sessions.append(await session(folder, server, {**usual, **options}))
            return sessions

    with installed(Flushless()):
        sessions = in_simulated_time(main)
    manifest = json.loads(journal_of(folder).with_name("manifest.json").read_bytes())
    return Ended(sessions, read_rows(folder / "out.jsonl"), read_rows(folder / "out.errors.jsonl"), manifest)


def check_rows(run: Ended) -> None:
    """Every row is in the results or in the errors, once, in the order of the input."""
    ids = [[row["id"] for row in file] for file in (run.rows, run.errors)]
    assert sorted(ids[0] + ids[1]) == list(range(ROWS))
    assert ids == [sorted(ids[0]), sorted(ids[1])]
    assert run.last.report.exit_code == (3 if run.errors else 0)


def check_counts(run: Ended) -> None:
    """Summary, manifest and journal say the same as the files and the server do."""
    counts = {"settled": ROWS, "ok": len(run.rows), "failed": len(run.errors)}
    summary = figures_as_json(run.last.report.figures)
    assert {name: summary["rows"][name] for name in counts} == counts
    assert {name: run.manifest["rows"][name] for name in counts} == counts
    assert run.last.report.written == run.manifest["rows"]["written"] == len(run.rows)
    assert summary["calls"] == run.manifest["calls"] == len(run.last.asked)
    assert sum(group["count"] for group in summary["errors"].values()) == len(run.errors)
    settled = {
        line["index"]: line["ok"] for each in run.sessions for line in each.noted if line["t"] == "row"
    }
    assert settled == {row["id"]: row in run.rows for row in [*run.rows, *run.errors]}
    assert run.manifest["answers"] == sum(
        line["t"] == "answer" for each in run.sessions for line in each.noted
    )


def check_attempts(run: Ended, pauses: int, retries: int, reasks: int) -> None:
    """By the server's own count, no row costs more calls than were configured, refusals by 429 aside."""
    for each in run.sessions:
        calls = [sum(f"ada{row}@" in body for body in each.asked) for row in range(ROWS)]
        assert max(calls) <= (1 + retries) * (1 + reasks) + pauses
        assert max(Counter(each.asked).values(), default=0) <= 1 + retries + pauses
        if not each.report.reasons:
            noted = {line["index"]: line["attempts"] for line in each.noted if line["t"] == "row"}
            assert [noted.get(row, 0) for row in range(ROWS)] == calls


@law
@given(
    names=script, retries=st.integers(0, 2), reasks=st.integers(0, 2), concurrency=st.sampled_from([1, 2, 6])
)
def test_faults_in_any_order(names: list[str], retries: int, reasks: int, concurrency: int) -> None:
    """Whatever the provider does to whichever call, what is promised of rows, counts and attempts holds."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"retries": retries, "reasks": reasks, "concurrency": concurrency, "timeout": 5}
        run = ended(Path(folder), names, **options)
        check_rows(run)
        check_counts(run)
        check_attempts(run, names.count("429"), retries, reasks)
