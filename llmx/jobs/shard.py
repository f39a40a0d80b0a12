"""One shard as an ordinary run of the engine: its file in, its results beside it, a journal that the next worker goes on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from llmx.clock import Clock
from llmx.commons import Commons
from llmx.connecting import Quiet
from llmx.detached import in_thread
from llmx.errors import LlmxError
from llmx.job import Report, execute
from llmx.jobs.asking import settings_of
from llmx.jobs.desk import Desk
from llmx.jobs.fence import Cancelled, Fenced, HandedOver, LeaseLost
from llmx.jobs.folder import ShardFolder, job_folder
from llmx.jobs.types import Finished, Job, Lease, Progress, Shard
from llmx.planning import plan
from llmx.report.summary import Figures

__all__ = ["progress_of", "run_shard"]

DONE = (0, 3)
"""Exit codes of runs that came to their end."""

TRIED_ANEW = (1,)
"""Exit codes that are the worker's or its disk's fault: another one may do better."""


async def run_shard(
    desk: Desk,
    lease: Lease,
    figures: Figures,
    stop: Fenced,
    clock: Clock,
    say: Callable[[str], None],
    commons: Commons | None = None,
) -> Finished | None:
    """Run a shard to its end.

    Args:
        figures: told of the run's events.
        say: takes what a run tells a person.
        commons: what it shares with other runs.

    Returns:
        How it ended; None when the lease was lost, so that nobody wants to know.
    """
    folder = job_folder(desk.root, lease.ref.job).shard(lease.ref.number)
    try:
        await asyncio.wrap_future(in_thread(lambda: folder.begin(lease.epoch)))
        report = await _run(desk, lease, folder, figures, stop, clock, say, commons)
    except OSError as error:
        return _failed(lease, figures, 1, f"cannot use {str(folder.path)!r}: {error.strerror or error}")
    except LlmxError as error:
        return None if _lost(stop.reasons) else _failed(lease, figures, error.exit_code, str(error))
    if _lost(report.reasons):
        return None
    if report.exit_code in DONE:
        await asyncio.wrap_future(in_thread(lambda: folder.tidy(lease.epoch)))
        return Finished(True, _final(lease, figures, report))
    return _ended(lease, figures, report)


async def _run(
    desk: Desk,
    lease: Lease,
    folder: ShardFolder,
    figures: Figures,
    stop: Fenced,
    clock: Clock,
    say: Callable[[str], None],
    commons: Commons | None,
) -> Report:
    env = replace(desk.env, cwd=folder.path)
    settings = settings_of(
        lease.job.options, desk.base, desk.offered, **_places(lease, folder), **_caps(lease.job, lease.shard)
    )
    planned = await asyncio.wrap_future(in_thread(lambda: plan(settings, env)))
    return await execute(planned, stop=stop, figures=figures, talk=Quiet(say), clock=clock, commons=commons)


def _places(lease: Lease, folder: ShardFolder) -> dict[str, Any]:
    return {
        "inputs": [folder.rows.name],
        "input_format": "jsonl",
        "output": folder.output_of(lease.epoch),
        "max_failures": "100%",
    }


def _caps(job: Job, shard: Shard) -> dict[str, Any]:
    """The shard's part of what the job may cost, by its rows: all parts together are never more."""
    part: dict[str, Any] = {}
    readable = max(1, job.rows - job.unreadable)
    if (cost := job.options.get("max_cost")) is not None:
        part["max_cost"] = Decimal(str(cost)) * shard.rows / readable
    if (tokens := job.options.get("max_tokens")) is not None:
        part["max_tokens"] = max(1, int(tokens) * shard.rows // readable)
    return part


def _lost(reasons: Sequence[LlmxError]) -> bool:
    return any(isinstance(reason, LeaseLost) for reason in reasons)


def _ended(lease: Lease, figures: Figures, report: Report) -> Finished:
    """A run that was stopped."""
    progress = _final(lease, figures, report)
    if any(isinstance(reason, HandedOver | Cancelled) for reason in report.reasons):
        return Finished(False, progress, again=True)
    why = str(report.reasons[0]) if report.reasons else f"the run ended with exit code {report.exit_code}"
    return Finished(False, progress, why, again=report.exit_code in TRIED_ANEW)


def _failed(lease: Lease, figures: Figures, code: int, why: str) -> Finished:
    """A run that never came to report."""
    return Finished(False, progress_of(lease.shard.progress, figures), why, again=code in TRIED_ANEW)


def progress_of(before: Progress, figures: Figures) -> Progress:
    """How far a shard has come while it runs, to what earlier workers had told.

    Rows are those of this run, which settles all of them anew, mostly for nothing; until it is as far as the ones before it, theirs.
    Calls, tokens and money are added to theirs.
    """
    ahead = figures.settled >= before.settled
    cost = None if figures.cost is None or before.cost is None else f"{Decimal(before.cost) + figures.cost:f}"
    return Progress(
        max(figures.settled, before.settled),
        figures.failed if ahead else before.failed,
        figures.cached + figures.coalesced if ahead else before.cached,
        before.calls + figures.calls,
        before.input_tokens + figures.usage.input_tokens,
        before.output_tokens + figures.usage.output_tokens,
        cost,
        {kind: group.count for kind, group in figures.errors.items()} if ahead else before.errors,
    )


def _final(lease: Lease, figures: Figures, report: Report) -> Progress:
    """The same at the end, with what the journal knows of all sessions' tokens and money."""
    progress, manifest = progress_of(lease.shard.progress, figures), report.manifest
    if manifest is None:
        return progress
    usage = manifest.usage
    return replace(
        progress,
        input_tokens=usage.get("input", progress.input_tokens),
        output_tokens=usage.get("output", progress.output_tokens),
        cost=manifest.cost,
    )
