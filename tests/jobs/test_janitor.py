"""What is swept away, and what is not."""

from __future__ import annotations

import os
import time
from pathlib import Path

from llmx.jobs.ids import ulid, upload_name
from llmx.jobs.janitor import sweep
from tests.jobs.scene import desk_in, handed_in, rows_in

DAY = 86_400.0


def aged(path: Path, days: float) -> Path:
    """The same path, last written to so long ago."""
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path


async def test_left_overs_are_removed(tmp_path: Path) -> None:
    """Uploads that broke off after a day, results of no job after as long as those of jobs are kept; never what is not ours."""
    async with desk_in(tmp_path) as desk:
        job = await handed_in(desk, rows_in(tmp_path / "in.jsonl", 3))
        aged(tmp_path / "jobs" / job.id, 90)
        orphan, young = tmp_path / "jobs" / ulid("job_"), tmp_path / "jobs" / ulid("job_")
        other = tmp_path / "jobs" / "somebody-elses"
        names = (upload_name(), f"{ulid('job_')}.new", upload_name(), "thesis.docx")
        upload, folder, fresh, thesis = (tmp_path / "incoming" / name for name in names)
        for path in (orphan, young, other, folder):
            path.mkdir()
        for path in (upload, fresh, thesis):
            path.write_text("{}\n")
        for path in (young, upload, folder, thesis):
            aged(path, 2)
        for path in (orphan, other):
            aged(path, 31)
        await sweep(desk, 30 * DAY)
    assert {job.id, young.name, other.name} == {path.name for path in (tmp_path / "jobs").iterdir()}
    assert {fresh.name, "thesis.docx"} == {path.name for path in (tmp_path / "incoming").iterdir()}


async def test_jobs_are_forgotten_some_time_after_their_end(tmp_path: Path) -> None:
    """One that goes on is kept however old it is."""
    async with desk_in(tmp_path) as desk:
        over, going = [await handed_in(desk, rows_in(tmp_path / "in.jsonl", 3)) for _ in range(2)]
        await desk.store.cancel(over.id)
        await sweep(desk, 30 * DAY)
        assert 2 == len(await desk.store.list())
        await sweep(desk, 30 * DAY, lambda: time.time() + 31 * DAY)
        assert [going.id] == [job.id for job in await desk.store.list()]
    assert [going.id] == [path.name for path in (tmp_path / "jobs").iterdir()]
