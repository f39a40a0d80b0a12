"""What `llmx extract` does once its options are known: signals, and who talks to whom."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from llmx.cli.conclusion import conclude
from llmx.clock import SystemClock
from llmx.environment import Environment
from llmx.errors import Interrupted, UsageError
from llmx.job import execute
from llmx.layers.stop import Stop
from llmx.planning import Plan, no_model, plan
from llmx.report.progress import Terminal
from llmx.report.summary import Figures
from llmx.settings import EndpointTable, Settings, parse_names
from llmx.state import Retried
from llmx.telemetry.asked import asked
from llmx.text import nearest
from llmx.workers.hiring import hired
from llmx.workers.processes import Process

if TYPE_CHECKING:
    from llmx.telemetry.telling import ToldRun

__all__ = ["on_signals", "operated", "run_command", "run_settings", "settings_of", "terminal_of"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_command(given: Mapping[str, Any], context: typer.Context) -> int:
    """Run the job that the options describe; returns its exit code."""
    return run_settings(settings_of(given, context), context.obj, sys.argv[1:])


def settings_of(
    given: Mapping[str, Any], context: typer.Context, kind: type[Settings] = Settings
) -> Settings:
    """What the options, with what the config files say of them, come to.

    Args:
        kind: the settings that the command takes.

    Raises:
        UsageError: an option is wrong, or there is no input.
    """
    env: Environment = context.obj
    _warn_of_unknown_variables(env, context)
    inputs = given.get("inputs") or ["-"]
    if "-" in inputs and env.stdin.closed:
        raise UsageError("standard input is closed", hint=f"llmx {context.info_name} FILE")
    if not given.get("inputs") and env.stdin.isatty():
        print(context.get_usage(), file=env.stderr)
        raise UsageError(
            "no INPUT, and standard input is a terminal", hint=f"llmx {context.info_name} --help"
        )
    return kind.of({**_named(given, env, context), "inputs": inputs}, said=_said(context))


def operated(given: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    """The options of an operator, checked, with what the config files name that they refer to.

    Returns:
        Options as `Settings.of` takes them; `model` is a list of those on offer.

    Raises:
        UsageError: an option is wrong, there is no model, or a package is missing.
        AuthenticationFailed: a model has no key.
    """
    from llmx.connecting import check_askable

    env: Environment = context.obj
    options = _named(given, env, context)
    models = _models(options)
    if not models:
        raise no_model(env)
    check_askable(Settings.of({**options, "schema": "checked later"}, said=_said(context)), env)
    return {**options, "model": models}


def _named(given: Mapping[str, Any], env: Environment, context: typer.Context) -> dict[str, Any]:
    """The options, with what the config files name that they refer to."""
    from llmx.config import load_tables

    said = context.get_parameter_source("model")
    if said is not None and said.name == "ENVIRONMENT":  # typer would take it apart at blanks
        given = {**given, "model": os.environ.get("LLMX_MODEL", "")}
    given = _asked(given, context)
    tables = load_tables(env)
    used = _models(given)
    _check_names(used, tables.endpoints)
    endpoints = {name: table for name, table in tables.endpoints.items() if name in used}
    _check_address(used, endpoints, context)
    budgets = {name: table for name, table in tables.budgets.items() if name == given.get("budget")}
    return {
        **given,
        **({"endpoints": endpoints} if endpoints else {}),
        **({"budgets": budgets} if budgets else {}),
    }


_FARTHER = ("COMMANDLINE", "ENVIRONMENT", "DEFAULT_MAP")
"""Where options come from, the one that wins first."""


def _asked(given: Mapping[str, Any], context: typer.Context) -> dict[str, Any]:
    """Without `-m` or `--cascade`, where the other one is said nearer by. Raises UsageError: both in one place."""
    both = {name: context.get_parameter_source(name) for name in ("model", "cascade") if given.get(name)}
    ranks = {name: _FARTHER.index(said.name) for name, said in both.items() if said and said.name in _FARTHER}
    if len(ranks) < 2:
        return dict(given)
    if ranks["model"] == ranks["cascade"]:
        raise UsageError(
            "-m and --cascade exclude each other", hint="--cascade CHEAP,STRONG names all models"
        )
    farther = max(ranks, key=ranks.__getitem__)
    return {name: value for name, value in given.items() if name != farther}


def _models(given: Mapping[str, Any]) -> list[str]:
    """What `-m` or `--cascade` names; nothing where its text is none, which the settings tell."""
    models = given.get("cascade") or given.get("model") or []
    try:
        return models if isinstance(models, list) else parse_names(models)
    except ValueError:
        return []


def _check_names(models: Sequence[str], endpoints: Mapping[str, Any]) -> None:
    """Refuse a bare word that is no endpoint of the config file, but nearly one. Raises UsageError."""
    for name in models:
        close = nearest(name, endpoints) if "/" not in name and name != "local" else None
        if close is not None and name not in endpoints:
            raise UsageError(f"no endpoint {name!r} in the config file", hint=f"did you mean {close!r}?")


def _check_address(
    models: Sequence[str], endpoints: Mapping[str, EndpointTable], context: typer.Context
) -> None:
    """Refuse a --base-url that nobody would be asked at. Raises UsageError."""
    source = context.get_parameter_source("base_url")
    own = [name for name in models if name in endpoints and endpoints[name].base_url is not None]
    if source is not None and source.name == "COMMANDLINE" and own and len(own) == len(models):
        problem = f"--base-url has no effect: [endpoint.{own[0]}] has a base-url of its own"
        raise UsageError(problem, hint=f"-m {endpoints[own[0]].model} --base-url URL")


def run_settings(
    settings: Settings, env: Environment, argv: Sequence[str], retried: Retried | None = None
) -> int:
    """Run a job; returns its exit code.

    Args:
        argv: what to run to go on with it, without the program's name.
        retried: the run whose failed rows these are.
    """
    if env.stdout.closed and (settings.output == "-" or settings.dry_run):
        raise UsageError("standard output is closed", hint="-o FILE")
    planned = plan(settings, env)
    terminal = terminal_of(settings, env)
    if settings.dry_run:
        from llmx.cli.planning import dry_run

        return asyncio.run(dry_run(planned, terminal))
    with hired(planned) as workers, _told(env, terminal, "retry" if retried else "extract") as told:
        return asyncio.run(_run(planned, terminal, argv, retried, workers, told))


def _told(env: Environment, terminal: Terminal, name: str) -> AbstractContextManager[ToldRun | None]:
    """Who hears of the run by OpenTelemetry: nobody, mostly, and nothing of it is imported then."""
    if asked(env.variables) is None:
        return nullcontext()
    from llmx.telemetry.telling import told

    return told(env.variables, terminal.say, f"llmx {name}", env.stderr)


def _said(context: typer.Context) -> dict[str, str]:
    """Where each option came from that was no flag, by its name."""
    found = {}
    for param in context.command.params:
        name = str(param.name)
        source = context.get_parameter_source(name)
        if source is not None and source.name == "ENVIRONMENT":
            found[name] = str(param.envvar)
        elif source is not None and source.name == "DEFAULT_MAP":
            found[name] = "the config file"
    return found


def terminal_of(settings: Settings, env: Environment) -> Terminal:
    """Standard error, and what else may write to the same terminal."""
    to_stdout = settings.output == "-"
    piped = to_stdout and _is_pipe(env)
    return Terminal(
        env.stderr,
        rows_on_terminal=to_stdout and env.stdout.isatty(),
        rows_in_pipe=piped,
        keyboard=env.stdin if "-" not in settings.inputs and _is_terminal(env.stdin) else None,
    )


def _is_terminal(stream: BinaryIO) -> bool:
    return not stream.closed and stream.isatty()


def _is_pipe(env: Environment) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(env.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # a stream of a test, or a closed one
        return False


_OF_THE_SERVICE = ("LLMX_SERVE_", "LLMX_QUEUE", "LLMX_WEBHOOK_SECRET")


def _warn_of_unknown_variables(env: Environment, context: typer.Context) -> None:
    others = getattr(context.parent and context.parent.command, "commands", {})
    commands = [context.command, *(others[name] for name in ("extract",) if name in others)]
    params = [param for command in commands for param in command.params]
    known = {str(param.envvar) for param in params if getattr(param, "envvar", None)}
    for name in sorted(env.variables):
        if (
            name.startswith("LLMX_")
            and not name.startswith(_OF_THE_SERVICE)
            and name not in known | {"LLMX_HOME"}
        ):
            close = nearest(name, known)
            meant = f"; did you mean {close}?" if close else ""
            print(f"warning: {name} is set but no option reads it{meant}", file=env.stderr)


async def _run(
    planned: Plan,
    terminal: Terminal,
    argv: Sequence[str],
    retried: Retried | None,
    workers: Sequence[Process],
    told: ToldRun | None,
) -> int:
    clock = SystemClock()
    figures = Figures(clock)
    stop = Stop(figures.stopped)
    job = execute(
        planned,
        stop=stop,
        figures=figures,
        talk=terminal,
        clock=clock,
        retried=retried,
        workers=workers,
        observer=told,
    )
    task = asyncio.create_task(job)
    on_signals(task, stop, lambda: terminal.draining(figures))
    report = await task
    if told is not None:
        await told.ended(report.exit_code, next(iter(report.reasons), None))
    conclude(planned, report, terminal, argv)
    return report.exit_code


def on_signals(task: asyncio.Task[Any], stop: Stop, say: Callable[[], None]) -> None:
    """The first signal stops the run, which is said; the next one ends it at once."""

    def receive(number: int) -> None:
        first = stop.reason is None
        stop.set(Interrupted(number))
        if first:
            say()
        else:
            task.cancel()

    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:  # as under nohup, or in a shell's background
            continue
        asyncio.get_running_loop().add_signal_handler(number, receive, number)
