"""Where a run is kept: by its output's name, or, of standard output, where the same command has left off."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmx.errors import UsageError
from llmx.journal import (
    RunFolder,
    folders_in,
    fresh_folder,
    identity,
    read_manifest,
    run_folder,
    runs_home,
)
from llmx.outputs import flows
from llmx.planning import Plan
from llmx.settings import as_options

__all__ = ["PACING", "check_place", "first_row", "place_of"]

PACING = frozenset(
    {"concurrency", "rpm", "tpm", "retries", "timeout", "patience", "max_wait", "fresh", "offline"}
    | {"reasks", "max_output_tokens", "order", "meta", "keep", "prefix", "into", "explode", "csv_safe"}
    | {"output_format", "summary", "errors", "max_failures", "confirm_above", "dry_run"}
    | {"cache", "cache_ttl", "similarity", "key_file"}
    | {"spread", "hedge", "transport", "max_cost", "max_tokens", "budget", "budgets", "endpoints"}
)
"""Options that make a command no other run of standard output."""


def place_of(plan: Plan) -> RunFolder:
    """Where the run is kept: by its output's name, or, of standard output, where the same command has left off."""
    settings, env = plan.settings, plan.env
    if not flows(settings.output, env):
        state_dir = None if settings.state_dir is None else env.cwd / settings.state_dir
        return run_folder(env.cwd / settings.output, state_dir)
    left = None if settings.fresh else _left_off(plan)
    if left is not None:
        return left
    if settings.state_dir is not None:
        return RunFolder(env.cwd / settings.state_dir / fresh_folder(env.home).path.name)
    return fresh_folder(env.home)


def _left_off(plan: Plan) -> RunFolder | None:
    """The newest run of the same command that nobody is writing and in which something is left to do.

    Of an input that can be read only once, its first row tells whether it is the same.
    """
    settings, env, first = plan.settings, plan.env, first_row(plan)
    wanted = _asked(as_options(settings))
    parent = runs_home(env.home) if settings.state_dir is None else env.cwd / settings.state_dir
    for folder in reversed(list(folders_in(parent))):
        manifest = read_manifest(folder.manifest)
        if manifest is None or manifest.cwd != str(env.cwd) or _asked(manifest.command) != wanted:
            continue
        if manifest.selection.get("first") != first:
            continue
        left = manifest.exit_code != 0 or manifest.rows.get("failed")  # some may fail within --max-failures
        return folder if left and folder.owner() is None else None
    return None


def _asked(command: Mapping[str, Any]) -> dict[str, Any]:
    """A command without what makes it no other job."""
    asked = {name: value for name, value in command.items() if name not in PACING}
    if isinstance(asked.get("model"), str):  # as versions before several models noted it
        asked["model"] = [asked["model"]]
    return asked


def check_place(plan: Plan, folder: RunFolder) -> None:
    """Raises UsageError where a state folder has the run of another output of the same name.

    The whole tree may have moved since, with its outputs; another output is one that was named otherwise, or is
    still there.
    """
    earlier, settings, env = read_manifest(folder.manifest), plan.settings, plan.env
    if earlier is None or settings.state_dir is None or flows(settings.output, env):
        return
    theirs = Path(os.path.normpath(Path(earlier.cwd, earlier.output)))
    if theirs == Path(os.path.normpath(env.cwd / settings.output)):
        return
    if os.path.normpath(earlier.output) != os.path.normpath(settings.output) or theirs.exists():
        problem = f"--state-dir: {settings.state_dir!r} has the run of {str(theirs)!r}, of the same name"
        raise UsageError(problem, hint="--state-dir DIR, one for each folder of outputs")


def first_row(plan: Plan) -> str | None:
    """Digest of the first row of an input that can be read only once."""
    return None if plan.source.first is None else identity(plan.source.first)
