"""`llmx runs`: what is kept of earlier runs, and how to be rid of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmx.cli.tables import aligned
from llmx.environment import Environment
from llmx.errors import InputFailed, UsageError
from llmx.text import harmless, plural

if TYPE_CHECKING:
    from llmx.journal import Manifest
    from llmx.records import Sink
    from llmx.runs import Run

__all__ = ["StateDir", "runs"]

runs = typer.Typer(name="runs", help="What is kept of earlier runs.", no_args_is_help=True)

HEAD = ["run", "state", "ok", "failed", "cost", "last written", "model"]

Name = Annotated[str, typer.Argument(metavar="RUN", help="An output, or a name in `llmx runs list`.")]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        envvar="LLMX_STATE_DIR",
        show_envvar=False,
        help="Where the runs are kept, if not in .llmx.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, one object a line.")]


@runs.command("list")
def list_(context: typer.Context, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """The runs of outputs in this folder, and those whose rows went to standard output; the newest last."""
    from llmx.runs import find_runs

    env: Environment = context.obj
    found = find_runs(env, _place(state_dir, env))
    if as_json:
        for run in found:
            typer.echo(_json(_described(run)))
    elif found:
        for line in aligned(HEAD, [_cells(run) for run in found], right=(2, 3, 4)):
            _show(env, line)
    else:
        _tell(env, "no runs")


@runs.command()
def show(context: typer.Context, name: Name, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """What a run was asked, what became of it, and how to go on with it."""
    env: Environment = context.obj
    run = _found(name, env, state_dir)
    if as_json:
        typer.echo(_json(_described(run)))
        return
    for title, text in _facts(run, env):
        _show(env, f"{title + ':':<10} {text}")


@runs.command()
def errors(context: typer.Context, name: Name, state_dir: StateDir = None) -> None:
    """The failed rows of a run as JSON Lines, each with its _error: input for `llmx extract`."""
    from llmx.records import open_sink

    env: Environment = context.obj
    run = _found(name, env, state_dir)
    path = run.errors(env)
    if path is None:
        _tell(env, f"no failed rows are kept of {run.name}")
        return
    asyncio.run(_copy(_rows_of(path), open_sink("-", env=env)))


@runs.command()
def clean(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="The runs to forget; default: those that are old."),
    ] = None,
    state_dir: StateDir = None,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="How long ago an old run was last written.")
    ] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Forget what is kept of runs: their answers are paid for again unless the cache has them. Outputs stay."""
    env: Environment = context.obj
    found = (
        [_found(name, env, state_dir, whole=True) for name in names]
        if names
        else _old(env, state_dir, older_than)
    )
    chosen = list({run.folder: run for run in found}.values())
    freed = sum(_forget(run, env, dry_run=dry_run) for run in chosen)
    what = "would be forgotten" if dry_run else "forgotten"
    _tell(env, f"{plural(len(chosen), 'run')} {what}, {freed / 1e6:,.1f} MB")


async def _copy(rows: Iterable[dict[str, Any]], sink: Sink) -> None:
    for row in rows:
        sink.write(row)
        await sink.drained()
    sink.close()


def _place(state_dir: Path | None, env: Environment) -> Path | None:
    return None if state_dir is None else env.cwd / state_dir


def _found(name: str, env: Environment, state_dir: Path | None, *, whole: bool = False) -> Run:
    from llmx.runs import find_run

    return find_run(name, env, _place(state_dir, env), whole=whole)


def _old(env: Environment, state_dir: Path | None, older_than: str) -> list[Run]:
    from llmx.runs import find_runs
    from llmx.settings import parse_duration

    try:
        age = float(str(parse_duration(older_than)))
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from error
    found = find_runs(env, _place(state_dir, env))
    return [run for run in found if run.owner is None and time.time() - run.folder.modified() >= age]


def _rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of failed rows, compressed or not."""
    from llmx.records.integers import loads_object
    from llmx.records.lines import split_lines
    from llmx.records.streams import byte_chunks

    with path.open("rb") as file:
        for number, line in enumerate(split_lines(byte_chunks(file)), start=1):
            row = loads_object(line) if isinstance(line, bytes) else None
            if row is None:
                raise InputFailed(f"{path}:{number}: not a failed row as it was written")
            yield row


def _forget(run: Run, env: Environment, *, dry_run: bool) -> int:
    """Remove one; returns its size in bytes. Raises UsageError when it is going on."""
    size = run.folder.size()
    run.check_idle()
    if not dry_run:
        run.folder.forget(run.name)
    _tell(env, f"{run.name} ({run.state}, {size / 1e6:,.1f} MB)")
    return size


def _show(env: Environment, text: str) -> None:
    text = harmless(text) if env.stdout.isatty() else text
    typer.echo(
        text.encode("utf-8", "backslashreplace").decode(), color=True
    )  # as it is; a name need not be UTF-8


def _tell(env: Environment, text: str) -> None:
    """A line on standard error."""
    print(harmless(text) if env.stderr.isatty() else text, file=env.stderr)


def _json(value: Any) -> str:
    from llmx.records import to_json

    return to_json(value).decode()


def _described(run: Run) -> dict[str, Any]:
    manifest = run.manifest.model_dump(mode="json") if run.manifest else {}
    return {"run": run.name, "folder": str(run.folder.path), **manifest, "state": run.state, "pid": run.owner}


def _cells(run: Run) -> list[str]:
    manifest = run.manifest
    rows: dict[str, Any] = manifest.rows if manifest else {}
    counts = [f"{rows[name]:,}" if rows.get(name) is not None else "" for name in ("ok", "failed")]
    if (so_far := run.so_far) is not None:
        counts = [f"{n:,}+" for n in so_far]
    written = datetime.fromtimestamp(run.folder.modified()).strftime("%Y-%m-%d %H:%M")
    return [run.name, run.state, *counts, _cost(run), written, manifest.model if manifest else ""]


def _cost(run: Run) -> str:
    from llmx.report.summary import money, spent

    return "" if run.manifest is None or run.manifest.ended is None else money(spent(run.manifest))


def _facts(run: Run, env: Environment) -> list[tuple[str, str]]:
    """What there is to say of a run, line by line."""
    from llmx.report.summary import spent_as_line

    manifest = run.manifest
    facts = [("run", run.name), ("folder", str(run.folder.path)), ("state", _state(run))]
    if manifest is None:
        return facts
    facts += [("model", manifest.model), ("schema", _schema(manifest)), ("rows", _rows(run))]
    if manifest.answers:
        facts.append(("paid for", spent_as_line(manifest)))
    facts += [("input", f"{source.path}{_size(source.size)}") for source in manifest.inputs]
    facts.append(("started", f"{manifest.started}{f', ended {manifest.ended}' if manifest.ended else ''}"))
    if (failed := run.errors(env)) is not None:
        facts.append(("errors", str(failed)))
    facts.append(("again", run.command_from(env.cwd) or ""))
    return facts


def _schema(manifest: Manifest) -> str:
    """As the user has named it."""
    return str(manifest.command.get("schema") or manifest.schema_name)


def _size(size: int | None) -> str:
    return "" if size is None else f" ({size:,} bytes)"


def _state(run: Run) -> str:
    manifest, parts = run.manifest, [run.state]
    if run.owner:
        parts.append(f"pid {run.owner}")
    if manifest is not None and run.state in ("complete", "stopped") and manifest.exit_code is not None:
        parts.append(f"exit code {manifest.exit_code}")
        parts += [manifest.reason] if manifest.reason else []
    if manifest is not None and manifest.sessions > 1:
        parts.append(plural(manifest.sessions, "session"))
    return ", ".join(parts)


def _rows(run: Run) -> str:
    rows = run.manifest.rows if run.manifest else {}
    if (so_far := run.so_far) is not None:
        return f"at least {sum(so_far):,}: {so_far[0]:,} ok, {so_far[1]:,} failed"
    if not rows:
        return "not counted"
    total = f" of {rows['total']:,}" if rows.get("total") is not None else ""
    return (
        f"{rows.get('settled') or 0:,}{total}: {rows.get('ok') or 0:,} ok, {rows.get('failed') or 0:,} failed"
    )
