"""A disk that refuses: no new calls, one clear error, nothing lost in silence, and a run that goes on later."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.evidence import answers, entries, journal_of
from faults.systems import Failing, Flushless
from rehearsal import in_simulated_time, options_for, read_rows, run_to_files, some_rows, write_rows

from llmx.errors import LlmxError, OutputFailed
from llmx.job import Report
from llmx.mock import MockSettings
from llmx.mock.server import Server, serve
from llmx.system import installed

ROWS = 6
HEALTHY = MockSettings()
USELESS = MockSettings(malformed_rate=1.0)
CONCURRENCY = 2
OLD = {"old": True}
MOST = 100
"""Calls of one method that a run over six rows never makes."""

MODES: dict[str, dict[str, bool]] = {
    "once": {},
    "lasting": {"lasting": True},
    "torn": {"lasting": True, "half": True},
    "torn and stuck": {"half": True, "stuck": True},
}
WRITES = [
    ("once", errno.EIO),
    ("lasting", errno.ENOSPC),
    ("lasting", errno.EDQUOT),
    ("torn", errno.ENOSPC),
    ("torn", errno.EFBIG),
    ("torn and stuck", errno.EIO),
]


@dataclass
class Refused:
    """How a run ended that met a failure, and the next one that did not.

    Args:
        error: what the user reads; None when nothing failed.
        kept: answers in the journal after the first run.
        lost: answers that the first run says it has lost.
        between: the rows of the output after it.
        partial: what is there of the new output then.
        ended: whether the journal says that the first run came to its end.
        calls: what the next run asked.
    """

    system: Failing
    error: LlmxError | None
    code: int
    kept: int
    lost: int
    between: list[dict[str, Any]]
    partial: bytes
    ended: bool
    next_code: int
    calls: int
    rows: list[dict[str, Any]]


async def attempt(folder: Path, server: Server) -> tuple[LlmxError | None, int, int]:
    """One run: its first error, its exit code, the answers it says are lost."""
    options = {**options_for("openai", server.url), "inputs": ["in.jsonl"], "concurrency": CONCURRENCY}
    options |= {"reasks": 0}
    try:
        report, _ = await run_to_files(folder, {**options, "cache": "off"})
    except LlmxError as error:
        return error, error.exit_code, 0
    return first_error(report), report.exit_code, report.lost


def first_error(report: Report) -> LlmxError | None:
    return report.reasons[0] if report.reasons else None


def rows_so_far(folder: Path) -> bytes:
    path = folder / "out.jsonl.partial"
    return path.read_bytes() if path.exists() else b""


def has_ended(folder: Path) -> bool:
    return any(entry["t"] == "end" and entry["complete"] for entry in entries(journal_of(folder)))


def refused(folder: Path, system: Failing, mock: MockSettings = HEALTHY) -> Refused:
    """A run over six rows with a failure, then one without."""
    folder.mkdir()
    write_rows(folder / "in.jsonl", some_rows(ROWS))
    write_rows(folder / "out.jsonl", [OLD])

    async def main() -> Refused:
        async with await serve(mock) as server:
            with installed(system):
                error, code, lost = await attempt(folder, server)
            kept = len({answer["fp"] for answer in answers(journal_of(folder))})
            between, partial = read_rows(folder / "out.jsonl"), rows_so_far(folder)
            before, ended = server.stats()["calls"], has_ended(folder)
            with installed(Flushless()):
                _, next_code, _ = await attempt(folder, server)
            calls = server.stats()["calls"] - before
            rows = read_rows(folder / ("out.jsonl" if mock is HEALTHY else "out.errors.jsonl"))
            return Refused(system, error, code, kept, lost, between, partial, ended, next_code, calls, rows)

    return in_simulated_time(main)


def every_failure(
    folder: Path, method: str, number: int, *, mock: MockSettings = HEALTHY, **mode: bool
) -> list[Refused]:
    """A failure of the first call of a method, of the second, … until a run makes no further call."""
    found = []
    for at in range(1, MOST):
        run = refused(folder / str(at), Failing(method, at, number, **mode), mock)
        if run.system.sent_before is None:
            assert (run.code, run.error) == (run.next_code, None)
            return found
        found.append(run)
    raise AssertionError("it never ends")


def check(run: Refused, number: int, *, unnoticed: int = 0) -> None:
    """What holds of every failure.

    Args:
        unnoticed: calls that may be begun until somebody looks whether a flush has failed.
    """
    check_failure(run, number, unnoticed=unnoticed)
    assert run.between == [OLD] or len(run.between) == ROWS
    assert run.next_code == 0
    assert run.calls == ROWS - run.kept


def check_failure(run: Refused, number: int, *, unnoticed: int = 0) -> None:
    """What holds of every failure, whatever became of the rows."""
    assert run.code == 1
    assert isinstance(run.error, OutputFailed)
    assert str(run.error).endswith(f": {os.strerror(number)}")
    assert run.system.sent <= (run.system.sent_before or 0) + unnoticed
    assert run.system.received <= run.kept + run.lost
    assert run.partial[-1:] in (b"", b"\n")
    assert [row["id"] for row in run.rows] == list(range(ROWS))


@pytest.mark.parametrize(
    ("mode", "number"), WRITES, ids=[f"{mode} {errno.errorcode[n]}" for mode, n in WRITES]
)
def test_a_write_that_fails(mode: str, number: int, tmp_path: Path) -> None:
    """At any of a run's writes: exit code 1, the system's own words, and the next run pays for what is missing."""
    runs = every_failure(tmp_path, "write", number, **MODES[mode])
    assert len(runs) > 2 * ROWS
    for run in runs:
        check(run, number)


@pytest.mark.parametrize("method", ["truncate", "replace", "sync_folder"])
def test_another_call_that_fails(method: str, tmp_path: Path) -> None:
    """Cutting what an earlier run left, renaming, flushing a folder: the same."""
    runs = every_failure(tmp_path, method, errno.EIO)
    assert runs
    for run in runs:
        check(run, errno.EIO)


@pytest.mark.parametrize("lasting", [False, True])
def test_a_flush_that_fails(lasting: bool, tmp_path: Path) -> None:
    """It happens beside the run, which hears of it with the next line at the latest."""
    runs = every_failure(tmp_path, "sync", errno.EIO, lasting=lasting)
    assert len(runs) >= 3
    for run in runs:
        check(run, errno.EIO, unnoticed=CONCURRENCY)


def test_a_write_of_failed_rows_that_fails(tmp_path: Path) -> None:
    """Rows that failed are not bought again either, but by a run that follows one which had come to its end."""
    runs = every_failure(tmp_path, "write", errno.ENOSPC, mock=USELESS, lasting=True)
    assert len(runs) > 2 * ROWS
    for run in runs:
        check_failure(run, errno.ENOSPC)
        assert run.between in ([OLD], [])
        assert run.next_code == 3
        assert run.calls == (ROWS if run.ended else ROWS - run.kept)
