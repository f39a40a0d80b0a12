"""`llmx retry`: ask again about the rows that failed in a run, and about no others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from llmx.cli.runs import StateDir
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
    max_cost: Annotated[
        str | None, typer.Option("--max-cost", metavar="USD", help="In place of the run's own.")
    ] = None,
    max_tokens: Annotated[
        str | None, typer.Option("--max-tokens", metavar="N", help="In place of the run's own.")
    ] = None,
    state_dir: StateDir = None,
) -> int:
    """Ask again about the failed rows of a run that came to its end, and put its output together anew.

    Where the run's input or output was a pipe, what comes of the failed rows goes to standard output, or to -o.
    """
    from llmx.cli.running import run_settings
    from llmx.runs import find_run
    from llmx.state import Retried

    env: Environment = context.obj
    run = find_run(name, env, None if state_dir is None else env.cwd / state_dir)
    obstacle = _obstacle(run, env)
    _check(run, env, apart=output is not None or bool(obstacle))
    if run.state == "complete" and run.manifest is not None and run.manifest.rows.get("failed") == 0:
        typer.echo(f"the run of {run.name} has no failed rows: nothing to do", err=True)
        return 0
    assert run.manifest is not None
    caps = {"max_cost": max_cost, "max_tokens": max_tokens}
    given = {name: value for name, value in caps.items() if value is not None}
    retried = Retried(run.folder, run.manifest.hashes, run.command_from(env.cwd) or "")
    if output is None and not obstacle:
        place = replace(env, cwd=run.cwd)
        return run_settings(_settings(_in_place(run, env) | given), place, sys.argv[1:], retried)
    if output is None:
        typer.echo(f"{obstacle}: what comes of the failed rows goes to standard output", err=True)
    return run_settings(_settings(_apart(run, env, output) | given), env, sys.argv[1:], retried)


def _check(run: Run, env: Environment, *, apart: bool) -> None:
    """Refuse what is no finished run with failed rows."""
    if run.manifest is None:
        hint = f"llmx runs errors {run.name} | llmx extract - …"
        raise UsageError(f"nobody knows what was asked in the run {run.name!r}", hint=hint)
    run.check_idle()
    if run.state != "complete" and run.manifest.retry and apart:
        raise UsageError(f"a retry of {run.name!r} was stopped half-way", hint=f"llmx retry {run.name}")
    if run.state != "complete" and not run.manifest.retry:
        hint = run.command_from(env.cwd) or ""
        raise UsageError(f"the run of {run.name!r} has not come to its end", hint=hint)
    if run.manifest.command.get("offline"):
        hint = run.command_from(env.cwd, without="offline") or ""
        raise UsageError(f"the run of {run.name!r} was --offline: nobody may be asked", hint=hint)


def _obstacle(run: Run, env: Environment) -> str:
    """Why the whole command cannot be given again, "" where it can: input and output are still there."""
    from llmx.outputs import flows

    if run.manifest is None:
        return ""
    if flows(run.manifest.output, replace(env, cwd=run.cwd)):
        return "the run's output was no file"
    for name in run.command.get("inputs", []):
        path = run.cwd / name
        if name == "-":
            return "the run's input was standard input"
        if not (path.is_file() or path.is_dir()):
            return f"the run's input {str(path)!r} is not there any more"
    return ""


def _command(run: Run, env: Environment) -> dict[str, Any]:
    """The run's command, with endpoints and budgets as today's config files have them, where they still do.

    A limit that was raised since, or a key of another name, is meant for this retry, too.
    """
    from llmx.config import load_tables
    from llmx.settings import as_json

    tables, command = load_tables(replace(env, cwd=run.cwd)), dict(run.command)
    for option, today in (("endpoints", tables.endpoints), ("budgets", tables.budgets)):
        if then := command.get(option):
            command[option] = then | {name: as_json(today[name]) for name in then if name in today}
    return command


def _in_place(run: Run, env: Environment) -> dict[str, Any]:
    """The same command: all that is done is replayed, what failed is asked about again."""
    return {name: value for name, value in _command(run, env).items() if name != "fresh"}


def _apart(run: Run, env: Environment, output: str | None) -> dict[str, Any]:
    """The same questions about the failed rows alone, of which another output is made."""
    assert run.manifest is not None
    _check_output(run, env, output)
    errors = run.errors(env)
    if errors is None:
        raise UsageError(f"the failed rows of the run {run.name!r} are not there any more")
    selected = {"inputs", "input_format", "limit", "sample", "seed"}
    dropped = selected | {"output", "errors", "summary", "review", "fresh"}
    kept = {
        name: _anchored(name, value, run) for name, value in _command(run, env).items() if name not in dropped
    }
    return {**kept, "inputs": [str(errors)], "input_format": "jsonl", "output": output or "-"}


def _check_output(run: Run, env: Environment, output: str | None) -> None:
    """Refuse to write over what the run has read or written."""
    from llmx.outputs import flows
    from llmx.records import same_file

    if output is None or flows(output, env):
        return
    assert run.manifest is not None
    place = env.cwd / output
    if same_file(place, run.cwd / run.manifest.output):
        raise UsageError(f"-o: {output!r} is the run's own output", hint=f"llmx retry {run.name}, without -o")
    named = [run.cwd / name for name in run.command.get("inputs", [])]
    found = [Path(source.path) for source in run.manifest.inputs]  # those in folders, too
    if any(same_file(place, path) for path in [*named, *found]):
        hint = f"llmx retry {run.name} -o FILE, another one"
        raise UsageError(f"-o: {output!r} is the run's input", hint=hint)


def _anchored(name: str, value: Any, run: Run) -> Any:
    """A value whose relative path, if it is one, leads to where it led when the run was made."""
    from llmx.config import anchored

    return anchored(name.replace("_", "-"), value, run.cwd)


def _settings(given: dict[str, Any]) -> Any:
    from llmx.settings import Settings

    return Settings.of(given)
