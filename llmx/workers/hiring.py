"""How many workers a run has, and from when to when."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from llmx.errors import UsageError
from llmx.planning import Plan
from llmx.providers import load_adapter
from llmx.settings import Settings
from llmx.share import Share
from llmx.workers.processes import Process, ended, forked, killed

__all__ = ["hired", "worth_hiring"]

PATIENCE = 10.0
"""Seconds that workers have, when nobody is there any more who hears of them, to put their files in order."""


@contextmanager
def hired(plan: Plan) -> Iterator[Sequence[Process]]:
    """The workers of a run, none for a run in one process. To be entered before there are threads, or a loop.

    Raises:
        UsageError: there can be no more than one.
    """
    count = worth_hiring(plan.settings)
    if count == 1:
        yield ()
        return

    serve = _imported(plan.settings)
    processes = forked(lambda number, sock: serve(plan, Share(number, count), sock), count)
    try:
        yield processes
    finally:
        _dismiss(processes)


def _imported(settings: Settings) -> Callable[[Plan, Share, socket.socket], None]:
    """What a worker does; all that each of them will need is imported once."""
    from llmx.caches import exact  # noqa: F401
    from llmx.workers.worker import serve

    for spec in settings.model:
        load_adapter(settings.table(spec).model)
    return serve


def worth_hiring(settings: Settings) -> int:
    """How many workers there should be: each needs a call in flight, and a request a minute. Raises UsageError."""
    if settings.workers == 1:
        return 1
    tables = [settings.table(spec) for spec in settings.model]
    if any(table.model.partition("/")[0] == "local" for table in tables):
        raise UsageError("--workers is not for -m local, which uses all cores by itself", hint="--workers 1")
    places = [table.concurrency or settings.concurrency for table in tables]
    rates = [table.rpm or settings.rpm for table in tables]
    return int(min(settings.workers, *(limit or math.inf for limit in [*places, *rates])))


def _dismiss(processes: Sequence[Process]) -> None:
    """Let them end, and see that they do."""
    for process in processes:
        process.socket.close()
    last = time.monotonic() + PATIENCE
    left = [process for process in processes if not ended(process)]
    while left and time.monotonic() < last:
        time.sleep(0.005)
        left = [process for process in left if not ended(process)]
    for process in left:
        killed(process)
