"""What nobody comes back for: half an upload, the files of a job that was never made, jobs that ended long ago.

Any number of processes may do this at the same time.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from llmx.clock import Clock
from llmx.detached import in_thread
from llmx.errors import LlmxError
from llmx.jobs.desk import Desk, forget
from llmx.jobs.ids import is_incoming, is_job
from llmx.jobs.types import ENDED, Job

__all__ = ["sweep", "sweeping"]

log = logging.getLogger("llmx.jobs")

LEFT = 86_400.0
"""Seconds after which files that belong to no job are left-overs: no upload takes as long."""

EVERY = 3_600.0
"""Seconds between two rounds."""

PAGE = 1_000


async def sweeping(desk: Desk, keep: float, clock: Clock) -> None:
    """Sweep now and then, until cancelled.

    Args:
        keep: seconds for which jobs are kept after their end.
    """
    while True:
        try:
            await sweep(desk, keep)
        except (LlmxError, OSError) as error:
            log.warning("cannot sweep old jobs: %s", error)
        await clock.sleep(EVERY)


async def sweep(desk: Desk, keep: float, now: Callable[[], float] = time.time) -> None:
    """One round.

    Args:
        now: seconds since 1970.

    Raises:
        OutputFailed: the store refuses.
    """
    async for job in _jobs(desk):
        over = job.state in ENDED and job.ended is not None and job.ended < now() - keep
        if over and await forget(desk, job.id):
            log.info("%s is forgotten: it ended more than %.0f days ago", job.id, keep / 86_400)
    ages = {"incoming": now() - LEFT, "jobs": now() - max(keep, LEFT)}
    for path in await asyncio.wrap_future(in_thread(lambda: list(_left_over(desk.root, ages)))):
        if path.parent.name == "incoming" or await desk.store.get(path.name) is None:
            log.info("%s belongs to no job and is removed", path.name)
            await asyncio.wrap_future(in_thread(lambda path=path: _remove(path)))  # type: ignore[misc]  # a default argument


async def _jobs(desk: Desk) -> AsyncIterator[Job]:
    """All of them, the newest first."""
    before: str | None = None
    while page := await desk.store.list(before=before, limit=PAGE):
        for job in page:
            yield job
        before = page[-1].id


def _left_over(root: Path, ages: Mapping[str, float]) -> Iterator[Path]:
    """What may belong to nobody, and was last written to before a moment, by its folder.

    Results whose job the store does not know are kept as long as others: it may be the store that was lost.
    """
    for folder, ours in (("incoming", is_incoming), ("jobs", is_job)):
        for path in (root / folder).glob("*"):
            with suppress(FileNotFoundError):  # somebody else sweeps, too
                if ours(path.name) and path.lstat().st_mtime < ages[folder]:
                    yield path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
