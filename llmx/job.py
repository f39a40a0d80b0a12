"""Files to files: from a plan to a run and its report. The only module that knows all the parts.

`first_request` shows what would be sent, `execute` runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from llmx.checkpoints import Checkpoints, skipped
from llmx.clock import Clock
from llmx.commons import Commons
from llmx.connecting import Talk, connected, keyless
from llmx.detached import in_thread
from llmx.engine import Engine, engine, preparer
from llmx.environment import Environment
from llmx.errors import InputFailed, LlmxError, OutputFailed, RowError, Stopped, UsageError
from llmx.events import (
    Observer,
    RowsSkipped,
    RunEnded,
    RunStarted,
    fan_out,
)
from llmx.feed import Feed
from llmx.journal import Manifest, Prefix
from llmx.layers.stop import Stop
from llmx.outputs import Outputs, errors_path
from llmx.pipeline import settled, written
from llmx.planning import Plan, open_rows
from llmx.records import Sink, is_stream, open_sink
from llmx.remarks import notes, tell, warnings
from llmx.report.summary import Figures
from llmx.reviewing import review
from llmx.settings import Settings
from llmx.state import NoState, Retried, State, open_state
from llmx.survey import Survey, survey
from llmx.text import plural
from llmx.types import Record, Unreadable, weight

if TYPE_CHECKING:
    from llmx.workers.owner import Owner
    from llmx.workers.processes import Process

__all__ = ["PRECEDENCE", "Report", "execute", "first_request"]


async def first_request(plan: Plan, talk: Talk) -> dict[str, Any] | None:
    """The body of the first row's request, None when there is no readable row. Calls nobody."""
    env = keyless(plan.settings, plan.env)
    async with connected(plan.settings, plan.asked, env, talk, Stop()) as endpoints:
        prepare = preparer(endpoints[0], plan.prompt, plan.asked, plan.presenter)
        for row in plan.source:
            if isinstance(row, Record):
                with suppress(RowError):  # a run has it among the errors and goes on
                    return dict(prepare(row).body)
    return None


class Report(Struct, frozen=True):
    """How a run ended.

    Args:
        figures: what it did and cost.
        reasons: why it was stopped, the first first; empty for a run that came to its end.
        rows_left: the file where the results are, None when there are none or they went to no file.
        written: good rows that went to the results; fewer than there are when the output failed.
        errors_path: the file of failed rows, None when there are none.
        exit_code: see docs/errors.md.
        lost: answers that arrived and could not be kept.
        manifest: what is noted of the run, earlier sessions included; None when nothing is kept.
        run: the name it goes by in `llmx runs` and `llmx retry`, as seen from its folder.
        reviewed: rows that a person should look at, None where nobody wants to know.
    """

    figures: Figures
    reasons: list[LlmxError]
    rows_left: Path | None
    written: int
    errors_path: Path | None
    exit_code: int
    lost: int = 0
    manifest: Manifest | None = None
    run: str = ""
    reviewed: int | None = None


async def execute(
    plan: Plan,
    *,
    stop: Stop,
    figures: Figures,
    talk: Talk,
    clock: Clock,
    retried: Retried | None = None,
    workers: Sequence[Process] = (),
    commons: Commons | None = None,
    observer: Observer | None = None,
) -> Report:
    """Run rows to files. The caller shows `figures` and throws `stop` on signals.

    Cancelled after a stop, it ends at once, with its files in order.

    Args:
        retried: the run whose failed rows these are.
        workers: processes which share the run with this one, and do the asking; none for a run in one process.
        commons: what it shares with other runs; of a run in one process.
        observer: to be told of every event, too.

    Raises:
        LlmxError: what was found before the first call, or what no row could survive.
    """
    told = figures if observer is None else fan_out(figures, observer)
    state = open_state(plan, stop, retried)
    outputs: Outputs | None = None
    complete = False
    try:
        await state.catch_up(stop, talk.say)
        async with engine(
            plan.settings,
            plan.asked,
            plan.prompt,
            plan.env,
            clock=clock,
            stop=stop,
            observer=fan_out(told, partial(tell, talk)),
            talk=talk,
            presenter=plan.presenter,
            journal=state.journal,
            past=state.past,
            spent=state.spent,
            note=state.outstanding,
            enough=plan.enough,
            commons=commons,
        ) as parts:
            done = await _introduce(plan, parts, state, talk, stop, retried)
            told(_started(plan, parts, done))
            plan, outputs = await _begun(plan, state, stop)
            if outputs.written:
                parts.observer(RowsSkipped(outputs.written))
            owner = _owner(workers, plan, parts, state, stop, talk) if workers else None
            async with talk.showing(figures):
                complete = await _run(plan, parts, outputs, told, stop, owner)
    except (Stopped, asyncio.CancelledError):
        if stop.reason is None:
            raise
    finally:
        _end(plan, state, figures, outputs, stop, complete=complete)
    for warning in warnings(plan, state, outputs):
        talk.say(f"warning: {warning}")
    report = _report(plan, state, stop, figures, outputs)
    return await _reviewed(plan, report) if complete and stop.reason is None else report


async def _reviewed(plan: Plan, report: Report) -> Report:
    """The report of a run whose rows have been looked through for those that a person should see."""
    if plan.settings.review is None:
        return report
    looking = partial(review, plan.settings, plan.env, errors=report.errors_path, enough=plan.enough)
    try:
        return replace(report, reviewed=await asyncio.wrap_future(in_thread(looking)))
    except OutputFailed as error:  # the rows themselves are where they belong
        return replace(report, reasons=[*report.reasons, error], exit_code=error.exit_code)


def _started(plan: Plan, parts: Engine, done: int) -> RunStarted:
    about = (plan.source.total(), parts.label, parts.concurrency, done, parts.names)
    return RunStarted(
        *about, cascade=bool(plan.settings.cascade), served=parts.served, schema=plan.schema.name
    )


def _end(
    plan: Plan,
    state: State | NoState,
    figures: Figures,
    outputs: Outputs | None,
    stop: Stop,
    *,
    complete: bool,
) -> None:
    """Note how the run ended, once its outputs are where they belong."""
    try:
        if outputs is not None:
            ended = complete or stop.reason is not None
            code = _exit_code(stop.reasons, figures, plan.settings) if ended else 1
            complete = complete and stop.reason is None
            state.end(figures, stop, written=outputs.written, complete=complete, exit_code=code)
    finally:
        state.close()


async def _introduce(
    plan: Plan, parts: Engine, state: State | NoState, talk: Talk, stop: Stop, retried: Retried | None
) -> int:
    """What a person should know, and may have to agree to, before the first call; how many rows are done."""
    for note in notes(plan, parts.endpoints):
        talk.say(note)
    if plan.source.columns:
        talk.say(plan.announcement)
    if isinstance(state, NoState):
        return 0
    state.identify(parts.endpoints, parts.label)
    found = await survey(plan, state, lambda row: parts.questions(parts.prepare(row)), parts.cache, stop)
    if retried is not None:
        state.check_same(retried, found.changed if found else [])
    for line in found.lines if found else ():
        talk.say(line)
    if damaged := state.journal.damaged:
        talk.say(f"warning: {plural(damaged, 'line')} of the journal cannot be trusted and will not be used")
    if found and _is_worth_asking(found, plan.settings.confirm_above):
        await _confirm(talk, stop)
    return found.done if found else 0


def _is_worth_asking(found: Survey, limit: Decimal) -> bool:
    """Whether a changed run may cost more than a person has agreed to; of an unknown cost, any is more than 0."""
    if not found.changed or found.asked == 0:
        return False
    return limit == 0 if found.cost is None else found.cost > limit


async def _confirm(talk: Talk, stop: Stop) -> None:
    """Raises UsageError when a person would rather not spend the money."""
    try:
        with stop.interruptible():
            agreed = await asyncio.wrap_future(in_thread(lambda: talk.confirmed("go on? [y/N] ")))
    except Stopped:
        talk.say("")  # the question's line has no end yet
        raise
    if not agreed:
        hint = "--confirm-above USD, the cost up to which nobody is asked"
        raise UsageError("not confirmed: nothing was sent", hint=hint)


def _owner(
    workers: Sequence[Process], plan: Plan, parts: Engine, state: State | NoState, stop: Stop, talk: Talk
) -> Owner:
    """Who gives the rows to several processes."""
    from llmx.workers.owner import Owner

    capped = plan.settings.max_cost is not None or plan.settings.max_tokens is not None
    return Owner(
        workers,
        parts,
        plan.prompt,
        state.journal,
        past=state.past,
        capped=capped,
        stop=stop,
        say=talk.say,
    )


async def _run(
    plan: Plan, parts: Engine, outputs: Outputs, told: Observer, stop: Stop, owner: Owner | None
) -> bool:
    """All rows, from the source to the outputs, which are brought to their end whatever happens; whether all came."""
    complete = False
    cut: list[InputFailed] = []
    try:
        rows, ordered = _up_to_the_cut(plan.source, cut), plan.settings.order == "input"
        outcomes = (
            owner.batches(rows, ordered=ordered)
            if owner is not None
            else settled(
                Feed(rows, weigh=weight),
                prepare=parts.ready,
                settle=parts.settle,
                taken=parts.taken,
                concurrency=parts.concurrency,
                ordered=ordered,
                stop=stop,
                all_taken=parts.all_taken,
            )
        )
        await written(outcomes, write=outputs.write, drained=outputs.drained)
        for error in cut:
            stop.set(error)
        complete = stop.reason is None
    finally:
        plan.source.close()
        told(RunEnded(complete))
        await outputs.finish(complete=complete)
    return complete


def _up_to_the_cut(
    rows: Iterable[Record | Unreadable], cut: list[InputFailed]
) -> Iterator[Record | Unreadable]:
    """The rows before an input's damage, which are as good as any; what it was is put into `cut`."""
    try:
        yield from rows
    except InputFailed as error:
        cut.append(error)


def _report(
    plan: Plan, state: State | NoState, stop: Stop, figures: Figures, outputs: Outputs | None
) -> Report:
    code = _exit_code(stop.reasons, figures, plan.settings)
    left, errors = (outputs.rows_left, outputs.errors_path) if outputs else (None, None)
    written = outputs.written if outputs else 0
    lost = state.journal.lost
    kept = (state.manifest, state.name) if isinstance(state, State) else (None, "")
    return Report(figures, stop.reasons, left, written, errors, code, lost, *kept)


async def _begun(plan: Plan, state: State | NoState, stop: Stop) -> tuple[Plan, Outputs]:
    """The outputs, once the system has let us open them all and note that the run has begun; and what is left of the plan.

    Rows that the output of an earlier session has are not left; a stop while they are read leaves all as it was.
    """
    outputs = await _open_outputs(plan, state, stop)
    try:
        plan, prefix = await _without_done(plan, state, outputs, stop)
        if prefix is not None:
            outputs.go_on(prefix)
        state.begin(prefix)
    except BaseException:
        plan.source.close()
        await outputs.finish(complete=False)
        raise
    return plan, outputs


async def _without_done(
    plan: Plan, state: State | NoState, outputs: Outputs, stop: Stop
) -> tuple[Plan, Prefix | None]:
    """The plan without the rows that the output has already, and these; where there are none, the whole plan."""
    if outputs.checkpoints is None or state.checkpoint is None:
        return plan, None
    prefix = await skipped(iter(plan.source), state.checkpoint, outputs.checkpoints, stop)
    if prefix is not None:
        return plan, prefix
    plan.source.close()
    return replace(plan, source=open_rows(plan.settings, plan.env)), None


async def _open_outputs(plan: Plan, state: State | NoState, stop: Stop) -> Outputs:
    settings, env = plan.settings, plan.env
    errors = errors_path(settings.output, settings.errors, env)
    results = await _opened(
        settings.output,
        stop,
        env=env,
        format=settings.output_format,
        columns=plan.columns,
        csv_safe=settings.csv_safe,
    )
    try:
        streams = errors is not None and is_stream(errors)
        return Outputs(
            results,
            errors or state.errors,
            env=env,
            stop=stop,
            ours=errors is None,
            stale=settings.errors is None or state.had_errors_at(errors),
            errors_stream=await _opened(str(errors), stop, env=env, format="jsonl") if streams else None,
            checkpoints=_checkpoints(state, results),
        )
    except BaseException:
        results.abandon()
        raise


def _checkpoints(state: State | NoState, results: Sink) -> Checkpoints | None:
    """Notes how far the results have come; None where no session could go on with them."""
    if isinstance(state, NoState) or not state.resumable or results.growing is None:
        return None
    return Checkpoints(state.journal.written, results.growing, state.made_by)


async def _opened(path: str, stop: Stop, *, env: Environment, **options: Any) -> Sink:
    """The sink of a path; that of a named pipe once somebody reads it. Raises Stopped when a signal comes first."""
    if path == "-" or not is_stream(env.cwd / path):
        return open_sink(path, env=env, **options)
    with stop.interruptible():
        return await asyncio.wrap_future(in_thread(lambda: open_sink(path, env=env, **options)))


PRECEDENCE = (1, 130, 129, 143, 2, 4, 5, 7, 141)
"""Which exit code wins where several hold; 3 comes after all of them."""


def _exit_code(reasons: Sequence[LlmxError], figures: Figures, settings: Settings) -> int:
    """The process's exit code."""
    codes = {reason.exit_code for reason in reasons}
    for code in PRECEDENCE:
        if code in codes:
            return code
    return 3 if settings.max_failures.exceeded(figures.failed, figures.settled) else 0
