"""What earlier runs tell of a schema's answers: how long they were, and how long they took.

The journals of runs are read that lie where the plan's own would: beside the output, and those of standard output. Only
runs of the same schema, and of them only answers of the same endpoint, and only so much of each. What cannot be read tells nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct, field

from llmx.journal import STATE, RunFolder, first_lines, folders_in, read_manifest, runs_home
from llmx.outputs import flows
from llmx.places import place_of
from llmx.planning import Plan
from llmx.providers import Endpoint

__all__ = ["History", "history", "take"]

RUNS, LINES = 20, 2_000
"""Runs that are looked at, the latest, and lines of each."""


class History(Struct):
    """What earlier runs tell.

    Args:
        output: tokens of answers to first requests.
        used: tokens in and out of each, by its request's fingerprint.
        seconds: of rows that took one call, waits for limits included.
        questions, reasks: first requests, and further ones.
    """

    output: list[int] = field(default_factory=list)
    used: dict[str, tuple[int, int]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    questions: int = 0
    reasks: int = 0


def history(plan: Plan, endpoint: Endpoint) -> History:
    """What the runs that are kept tell of answers of an endpoint to the plan's schema."""
    found = History()
    for folder in _folders(plan):
        with suppress(OSError):
            for entry in first_lines(folder.journal, LINES):
                take(found, entry, endpoint.id, endpoint.model)
    return found


def _folders(plan: Plan) -> list[RunFolder]:
    """The latest runs of the same schema."""
    parents = [runs_home(plan.env.home)]
    if plan.settings.state_dir is not None:
        parents.append(plan.env.cwd / plan.settings.state_dir)
    elif not flows(plan.settings.output, plan.env):
        parents.append(place_of(plan).path.parent)
    else:
        parents.append(plan.env.cwd / STATE)
    folders = [folder for parent in parents for folder in folders_in(parent)]
    latest = sorted(folders, key=RunFolder.modified, reverse=True)
    return list(_of_schema(latest, plan.asked.fingerprint))[:RUNS]


def _of_schema(folders: list[RunFolder], schema: str) -> Iterator[RunFolder]:
    for folder in folders[: 10 * RUNS]:
        manifest = read_manifest(folder.manifest)
        if manifest is not None and manifest.hashes.get("schema") == schema:
            yield folder


def take(found: History, entry: Mapping[str, Any], endpoint: str, model: str) -> None:
    """Note what one line of a journal tells; one that is not as ours are tells nothing.

    Args:
        endpoint: the identity of that which is planned for.
        model: as the provider knows it.
    """
    if not _is_of(str(entry.get("model", "")), model):
        return
    if entry.get("t") == "answer" and entry.get("endpoint") == endpoint:
        _take_answer(found, entry)
    elif entry.get("t") == "row" and entry.get("source") == "model" and entry.get("attempts") == 1:
        seconds = entry.get("seconds")
        if isinstance(seconds, int | float) and 0 < seconds < 86_400:
            found.seconds.append(float(seconds))


def _take_answer(found: History, entry: Mapping[str, Any]) -> None:
    if entry.get("reask"):
        found.reasks += 1
        return
    found.questions += 1
    usage = entry.get("usage")
    read, written = (usage.get(name) for name in ("input", "output")) if isinstance(usage, dict) else (0, 0)
    if isinstance(read, int) and isinstance(written, int) and read > 0 and written > 0:
        found.output.append(written)
        found.used[str(entry.get("fp"))] = (read, written)


def _is_of(named: str, model: str) -> bool:
    """Whether an answer is of a model, which names itself by its version, as gpt-5-mini-2025-08-07 does."""
    return named == model or re.fullmatch(r"[-@.:]?\d{4}[-\d]*", named.removeprefix(model)) is not None
