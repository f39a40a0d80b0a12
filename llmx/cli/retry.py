"""`llmx retry`: ask again about the rows that failed in a run, and about no others."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmx.environment import Environment
from llmx.errors import UsageError

if TYPE_CHECKING:
    from llmx.runs import Run

__all__ = ["retry"]


def retry(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="OUT", help="The run's output, or its name in `llmx runs list`.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH|-",
            help="Only what comes of the failed rows, into a file of its own.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="DIR",
            envvar="LLMX_STATE_DIR",
            show_envvar=False,
            help="Where the run is kept, if it is not in .llmx.",
        ),
    ] = None,
) -> int:
    """Ask again about the failed rows of a run that came to its end, and put its output together anew.

    Where the run's input or output was a pipe, what comes of the failed rows goes to standard output, or to -o.
    """
    from llmx.cli.running import run_settings
    from llmx.runs import as_argv, find_run

    env: Environment = context.obj
    run = find_run(name, env, None if state_dir is None else env.cwd / state_dir)
    _check(run, env)
    if run.manifest is not None and run.manifest.rows.get("failed") == 0:
        typer.echo(f"the run of {run.name} has no failed rows: nothing to do", err=True)
        return 0
    if output is None and _is_repeatable(run, env):
        given = _in_place(run)
        argv = as_argv(given if run.cwd == env.cwd else _everywhere(given, run))
        return run_settings(_settings(given), replace(env, cwd=run.cwd), argv)
    return run_settings(_settings(_apart(run, env, output)), env, sys.argv[1:], past=run.folder)


def _check(run: Run, env: Environment) -> None:
    """Refuse what is no finished run with failed rows."""
    if run.manifest is None:
        hint = f"llmx runs errors {run.name} | llmx extract - …"
        raise UsageError(f"nobody knows what was asked in the run {run.name!r}", hint=hint)
    if run.state == "running":
        who = f" (pid {run.owner})" if run.owner else ""
        raise UsageError(f"the run of {run.name!r} is going on{who}", hint="wait for it to end")
    if run.state != "complete":
        hint = run.command_from(env.cwd) or ""
        raise UsageError(f"the run of {run.name!r} has not come to its end", hint=hint)
    if run.manifest.command.get("offline"):
        hint = run.command_from(env.cwd, without="offline") or ""
        raise UsageError(f"the run of {run.name!r} was --offline: nobody may be asked", hint=hint)


def _is_repeatable(run: Run, env: Environment) -> bool:
    """Whether the whole command can be given again: its input is still there, and its output a file."""
    from llmx.outputs import flows

    assert run.manifest is not None
    inputs = [Path(source.path) for source in run.manifest.inputs]
    place = replace(env, cwd=run.cwd)
    return not flows(run.manifest.output, place) and all(path.is_file() for path in inputs)


def _in_place(run: Run) -> dict[str, Any]:
    """The same command: all that is done is replayed, what failed is asked about again."""
    assert run.manifest is not None
    return {name: value for name, value in run.manifest.command.items() if name != "fresh"}


def _apart(run: Run, env: Environment, output: str | None) -> dict[str, Any]:
    """The same questions about the failed rows alone, of which another output is made."""
    from llmx.outputs import flows
    from llmx.records import same_file

    assert run.manifest is not None
    if (
        output is not None
        and not flows(output, env)
        and same_file(env.cwd / output, run.cwd / run.manifest.output)
    ):
        raise UsageError(f"-o: {output!r} is the run's own output", hint=f"llmx retry {run.name}, without -o")
    errors = run.errors(env)
    if errors is None:
        raise UsageError(f"the failed rows of the run {run.name!r} are not there any more")
    dropped = {"inputs", "input_format", "limit", "sample", "seed", "output", "errors", "summary", "fresh"}
    kept = {
        name: _anchored(name, value, run)
        for name, value in run.manifest.command.items()
        if name not in dropped
    }
    return {**kept, "inputs": [str(errors)], "input_format": "jsonl", "output": output or "-"}


def _everywhere(given: dict[str, Any], run: Run) -> dict[str, Any]:
    """The same options for a command that may be given in any folder."""
    inputs = [str(run.cwd / path) for path in given.get("inputs", [])]
    return {**{name: _anchored(name, value, run) for name, value in given.items()}, "inputs": inputs}


def _anchored(name: str, value: Any, run: Run) -> Any:
    """A value whose relative path, if it is one, leads to where it led when the run was made."""
    from llmx.config import anchored

    return anchored(name.replace("_", "-"), value, run.cwd)


def _settings(given: dict[str, Any]) -> Any:
    from llmx.settings import Settings

    return Settings.of(given)
