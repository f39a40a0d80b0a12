"""What `llmx estimate`, and `llmx extract --dry-run`, do once their options are known: the plan, made and shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer
from msgspec.structs import replace

from llmx.cli.planned import figures, footnotes, prompt_lines
from llmx.cli.running import on_signals, settings_of, terminal_of
from llmx.clock import SystemClock
from llmx.environment import Environment
from llmx.errors import OutputFailed, UsageError
from llmx.job import first_request
from llmx.layers.stop import Stop
from llmx.planning import Plan, open_rows, plan
from llmx.records.terminal import visible
from llmx.report.progress import Terminal
from llmx.settings import EstimateSettings
from llmx.text import plural

if TYPE_CHECKING:
    from llmx.estimates import Estimate

__all__ = ["dry_run", "run_estimate"]


def run_estimate(given: Mapping[str, Any], context: typer.Context) -> int:
    """Make and show the plan that the options describe; returns its exit code."""
    env: Environment = context.obj
    if env.stdout.closed:
        raise OutputFailed("cannot write 'stdout': it is closed")
    as_json = bool(given.get("as_json"))
    options = {name: value for name, value in given.items() if name != "as_json"}
    settings = settings_of(options, context, EstimateSettings)
    assert isinstance(settings, EstimateSettings)
    _check_probe(settings)
    planned = plan(settings, env)
    terminal = terminal_of(settings, env)
    made = asyncio.run(_estimate(planned, terminal, settings.probe or 0))
    _show(made, env, terminal, as_json=as_json)
    return 0


def _check_probe(settings: EstimateSettings) -> None:
    """Raises UsageError where a probe's answers would be paid for twice."""
    forgetful = "--cache off" if settings.cache == "off" else "--no-store" if settings.no_store else ""
    if settings.probe is not None and forgetful:
        problem = f"--probe with {forgetful}: the run would pay for the same answers again"
        raise UsageError(problem, hint=f"--probe without {forgetful}")


async def _estimate(planned: Plan, terminal: Terminal, rows: int) -> Estimate:
    from llmx.estimates import estimate

    stop, clock, task = Stop(), SystemClock(), asyncio.current_task()
    assert task is not None

    def asking() -> None:
        """From here on a signal is a run's: what is in flight is waited for."""
        models = plural(len(planned.settings.model), "model")
        terminal.say(f"asking {models} about {plural(rows, 'row')} at most")
        on_signals(task, stop, lambda: terminal.say("stopping: calls in flight are waited for"))

    return await estimate(planned, talk=terminal, clock=clock, stop=stop, probe_rows=rows, asking=asking)


def _show(made: Estimate, env: Environment, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        from llmx.estimates import document

        lines = [json.dumps(document(made), ensure_ascii=False)]
    else:
        lines = [*figures(made), *_prompt(made)]
    for note in ([f"warning: {made.plan.doubt}"] if made.plan.doubt else []) + [made.plan.announcement]:
        terminal.say(note)
    text = "\n".join(lines)
    text = visible(text) if env.stdout.isatty() else text
    env.stdout.write(text.encode("utf-8", "backslashreplace") + b"\n")
    env.stdout.flush()
    if not as_json:
        for note in footnotes(made):
            terminal.say(f"note: {note}")


async def dry_run(planned: Plan, terminal: Terminal) -> int:
    """Show the first request of a run on standard output, and its plan on standard error; nobody is called."""
    env, once = planned.env, any(path is None or not path.is_file() for path in planned.source.paths)
    body = await first_request(planned, terminal)
    if planned.doubt:
        terminal.say(f"warning: {planned.doubt}")
    terminal.say(planned.announcement)
    if body is None:
        terminal.say("no readable row in the input: nothing would be sent")
        return 0
    if once:
        terminal.say("the input can be read only once, by the run: for rows, tokens and costs give a file")
    else:
        await _say_plan(planned, terminal)
    terminal.say("the first request, as it would be sent:")
    text = json.dumps(body, indent=2, ensure_ascii=False)
    text = visible(text) if env.stdout.isatty() else text
    env.stdout.write(text.encode() + b"\n")
    env.stdout.flush()
    return 0


async def _say_plan(planned: Plan, terminal: Terminal) -> None:
    from llmx.estimates import estimate

    planned.source.close()
    anew = replace(planned, source=open_rows(planned.settings, planned.env))
    several = len(planned.settings.model) > 1
    made = await estimate(anew, talk=terminal, clock=SystemClock(), stop=Stop(), chain=several)
    for line in [*figures(made), *(f"note: {note}" for note in footnotes(made))]:
        terminal.say(line)


def _prompt(made: Estimate) -> list[str]:
    if not made.messages:
        return ["no readable row in the input: nothing would be sent"]
    return ["", *prompt_lines(made.messages)]
