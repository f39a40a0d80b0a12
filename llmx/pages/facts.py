"""What the page says beside the rows: the run in figures, what is not known and why, and all that was folded."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmx._version import __version__
from llmx.environment import Environment
from llmx.errors import InputFailed, UsageError
from llmx.pages.collect import Collector
from llmx.pages.found import Output
from llmx.pages.rows import columns_of
from llmx.pages.timeline import Timeline
from llmx.records import open_source
from llmx.report.summary import spent
from llmx.runs import as_argv
from llmx.text import plural

__all__ = ["input_columns", "input_rows", "notes", "summary"]

MOST_INPUTS = 20
"""Inputs whose columns are looked at."""


def summary(
    output: Output, collector: Collector, timeline: Timeline, inputs: Sequence[str] | None
) -> dict[str, Any]:
    """The data of the page, but for what rows are laid beside, and the chunks."""
    return {
        "name": Path(output.name).name,
        "llmx": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": _state(output),
        "rows": {
            "ok": collector.rows,
            "failed": collector.failed,
            "unreadable": collector.unreadable,
            "shown": collector.packer.rows,
        },
        "run": _run(output),
        "notes": notes(output, collector, timeline),
        "inputs": None if inputs is None else list(inputs),
        "fields": collector.fields.as_json(),
        "fieldsLeftOut": collector.fields.left_out,
        "errors": collector.errors.as_json(),
        "timeline": timeline.as_json(),
        "flags": base64.b64encode(bytes(collector.packer.flags)).decode(),
        "confidence": base64.b64encode(bytes(collector.packer.confidence)).decode(),
    }


def _state(output: Output) -> str:
    """That of the run; "complete" of a file that is one, and of which nothing else is known."""
    if output.run is not None and output.run.state != "unknown":
        return output.run.state
    return "complete" if output.is_whole else "stopped"


def _run(output: Output) -> dict[str, Any] | None:
    run, manifest = output.run, output.manifest
    if run is None or manifest is None:
        return None
    cost = spent(manifest)
    return {
        "model": manifest.model,
        "schema": str(manifest.command.get("schema") or manifest.schema_name),
        "command": shlex.join(["llmx", *as_argv(run.command)]),
        "started": manifest.started,
        "ended": manifest.ended,
        "sessions": manifest.sessions,
        "exitCode": manifest.exit_code,
        "reason": manifest.reason,
        "rows": manifest.rows,
        "answers": manifest.answers,
        "calls": manifest.calls,
        "usage": manifest.usage,
        "cost": None if cost is None else float(cost),
        "lost": manifest.lost,
        "maybeBilled": manifest.maybe_billed,
        "atRisk": {"tokens": manifest.at_risk.tokens, "cost": float(manifest.at_risk.cost)},
        "inputs": [[Path(source.path).name, source.size] for source in manifest.inputs],
    }


def notes(output: Output, collector: Collector, timeline: Timeline) -> list[str]:
    """What a reader should know before believing the figures, a sentence each."""
    said = [*_of_the_rows(output, collector)]
    if output.run is None:
        said.append(
            "Nothing is kept of the run that wrote this file, so model, cost, tokens and times are not known."
        )
        return said
    if output.manifest is None:
        said.append("The run's manifest is missing or cannot be read, so model and cost are not known.")
    if timeline.newer:
        said.append("The run's journal is by a newer llmx; nothing of it is shown.")
    elif timeline.as_json() is None:
        said.append("The run's journal tells no times, so there is no throughput and no latency.")
    if timeline.damaged:
        are = "is" if timeline.damaged == 1 else "are"
        said.append(f"{plural(timeline.damaged, 'line')} of the run's journal {are} damaged and left out.")
    return said


def _of_the_rows(output: Output, collector: Collector) -> list[str]:
    said = []
    if _state(output) == "running":
        said.append("The run is going on: these are the rows so far.")
    elif not output.is_whole:
        said.append("The run has stopped before its end: these are the rows so far.")
    if collector.unreadable:
        what = "line is no row" if collector.unreadable == 1 else "lines are no rows"
        said.append(f"{collector.unreadable:,} {what} and left out.")
    if collector.keyless:
        what = "row has" if collector.keyless == 1 else "rows have"
        said.append(f"{collector.keyless:,} {what} no value under the key, and nothing to be compared with.")
    left = collector.rows + collector.failed - collector.packer.rows
    if left:
        said.append(f"All rows are counted; {left:,} of them are not among those that can be looked at here.")
    return said


def input_rows(output: Output, env: Environment) -> int | None:
    """How many rows a run will come to, as far as its input tells; None where it does not."""
    manifest = output.manifest
    if manifest is None or not manifest.inputs or any(source.path == "-" for source in manifest.inputs):
        return None
    limit, sample, format = (manifest.command.get(name) for name in ("limit", "sample", "input_format"))
    paths = [source.path for source in manifest.inputs]
    try:
        source = open_source(paths, env=env, format=format, limit=limit, sample=sample)
    except (UsageError, InputFailed):
        return None
    try:
        return source.total()
    finally:
        source.close()


def input_columns(output: Output, env: Environment) -> list[str] | None:
    """The columns that a run has read, to tell them from its fields; None where nobody knows.

    With --keep none there are none of them in the output, whatever the input is called.
    """
    manifest = output.manifest
    if manifest is None or not manifest.inputs:
        return None
    if manifest.command.get("keep") == "none":
        return []
    paths = [source.path for source in manifest.inputs[:MOST_INPUTS]]
    format = manifest.command.get("input_format")
    try:
        return None if "-" in paths else columns_of(paths, env, format if isinstance(format, str) else None)
    except (UsageError, InputFailed):  # moved, changed, gone since
        return None
