"""The composition root: from a plan to a run. The only module that knows all the parts.

`first_request` shows what would be sent, `execute` runs files to files, `engine` is what it shares with
the library.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from llmx.caches import Cache, NoCache, ReadOnly
from llmx.caches.fingerprint import fingerprint, rekeyed
from llmx.clock import Clock
from llmx.environment import Environment
from llmx.errors import InputFailed, LlmxError, RowError, Stopped, UsageError
from llmx.events import Observer, RunEnded, RunStarted, fan_out
from llmx.journal import Journal, NoJournal
from llmx.layers import compose
from llmx.layers.cache import cached
from llmx.layers.careful import careful
from llmx.layers.coalesce import coalesced
from llmx.layers.journal import Answers, asked_anew, journalled
from llmx.layers.limit import Health, Limiter, rate_limited
from llmx.layers.meter import metered
from llmx.layers.retry import RetryPolicy, retried
from llmx.layers.stop import Stop
from llmx.layers.timeout import timed
from llmx.layers.validate import validated
from llmx.outputs import Outputs, errors_path
from llmx.pipeline import FirstRows, run, settler
from llmx.planning import Plan
from llmx.presenting import FlatRows, Presenter
from llmx.prompts import Prompt
from llmx.providers import Endpoint, connect, with_keys
from llmx.providers.detached import detached
from llmx.records import open_sink, to_json
from llmx.report.summary import Figures
from llmx.schemas import Schema, list_fields, written_fields
from llmx.settings import Settings
from llmx.state import NoState, State, open_state
from llmx.survey import survey
from llmx.text import plural
from llmx.types import Handler, Outcome, Record, Request, Unreadable

__all__ = ["PRECEDENCE", "Engine", "Report", "Talk", "engine", "execute", "first_request"]

CONCURRENCY = 32
"""Calls in flight when nothing else is asked for: enough for 10 rows/s at 3 s a call."""

Settle = Callable[[Record | Unreadable], Awaitable[Outcome]]


class Talk(Protocol):
    """Where a run speaks to a person: a terminal, or nowhere."""

    def say(self, text: str) -> None:
        """One line."""
        ...

    def confirmed(self, question: str) -> bool:
        """Whether a person agrees; True where there is nobody to ask. Blocks."""
        ...

    def downloading(self, done: int, total: int | None) -> None:
        """Bytes of the embedded model's weights; `total` is None while unknown."""
        ...

    def showing(self, figures: Figures) -> AbstractAsyncContextManager[None]:
        """Show the figures for as long as the context lasts."""
        ...


@asynccontextmanager
async def _connected(
    settings: Settings, schema: Schema, env: Environment, talk: Talk, stop: Stop
) -> AsyncIterator[Endpoint]:
    """The run's endpoint; its connections are released at the end. A stop ends the wait for weights."""
    with stop.interruptible():
        endpoint = await _connect(settings, schema, env, talk)
    try:
        yield endpoint
    finally:
        await endpoint.provider.aclose()


async def _connect(settings: Settings, schema: Schema, env: Environment, talk: Talk) -> Endpoint:
    assert settings.model is not None
    return await connect(
        settings.model,
        schema,
        env=env,
        base_url=settings.base_url,
        mode=settings.mode,
        temperature=settings.temperature,
        max_output_tokens=settings.max_output_tokens,
        key_file=settings.key_file,
        timeout=settings.timeout,
        spans=settings.spans,
        progress=talk.downloading,
    )


def _preparer(
    endpoint: Endpoint, prompt: Prompt, schema: Schema, presenter: Presenter
) -> Callable[[Record], Request]:
    """A function from a row to its request."""

    def prepare(record: Record) -> Request:
        presenter.check(record)
        rendered = prompt.render(record.data)
        body = endpoint.codec.prepare(rendered.messages)
        digest = fingerprint(endpoint.id, schema.fingerprint, body)
        return Request(endpoint.id, endpoint.model, body, digest, row=rendered.row)

    return prepare


def _handler_for(
    endpoint: Endpoint,
    settings: Settings,
    schema: Schema,
    *,
    concurrency: int,
    cache: Cache,
    journal: Answers,
    clock: Clock,
    stop: Stop,
    observer: Observer,
) -> Handler:
    """The call's layers around one endpoint, outermost first."""
    health = Health()
    limiter = Limiter(
        rpm=settings.rpm,
        tpm=settings.tpm,
        health=health,
        clock=clock,
        stop=stop,
        observer=observer,
        size=lambda request: len(to_json(request.body)),
    )
    policy = RetryPolicy(retries=settings.retries, patience=settings.patience, max_wait=settings.max_wait)
    layers = [
        coalesced(),
        cached(cache, schema.parse),
        *([] if settings.offline else [asked_anew()]),
        validated(
            endpoint.codec,
            reasks=settings.reasks,
            rekey=rekeyed(schema.fingerprint),
            observer=observer,
            replayed=isinstance(journal, Journal),
        ),
        journalled(journal, offline=settings.offline),
        careful(concurrency=concurrency, stop=stop),
        retried(policy, health=health, clock=clock, stop=stop, observer=observer),
        rate_limited(limiter),
        metered(clock=clock, observer=observer),
        timed(settings.timeout),
    ]
    return compose(endpoint.provider.complete, layers)


def _open_cache(settings: Settings, env: Environment, warn: Callable[[str], None]) -> Cache:
    """The cache that was asked for."""
    if settings.cache == "off":
        return NoCache()
    from llmx.caches.exact import ExactCache, cache_folder

    cache = ExactCache(cache_folder(env.home), ttl=settings.cache_ttl, warn=warn)
    return ReadOnly(cache) if settings.no_store else cache


@dataclass(frozen=True, slots=True)
class Engine:
    """What turns rows into outcomes, and the most of them that should be under way.

    Args:
        prepare: what `settle` makes of a row first.
        cache: where it looks first.
    """

    settle: Settle
    endpoint: Endpoint
    concurrency: int
    prepare: Callable[[Record], Request]
    cache: Cache


@asynccontextmanager
async def engine(
    settings: Settings,
    schema: Schema,
    prompt: Prompt,
    env: Environment,
    *,
    clock: Clock,
    stop: Stop,
    observer: Observer,
    talk: Talk,
    presenter: Presenter,
    journal: Journal | NoJournal | None = None,
) -> AsyncIterator[Engine]:
    """Everything between a row and its outcome, connected; released at the end."""
    journal = journal or NoJournal()
    env = _keyless(settings, env) if settings.offline else env
    async with _connected(settings, schema, env, talk, stop) as endpoint:
        # An endpoint that serves so many at a time would let more wait in line while their timeouts run.
        most = endpoint.concurrency or settings.concurrency or CONCURRENCY
        concurrency = min(settings.concurrency or most, most)
        cache = _open_cache(settings, env, talk.say)
        try:
            handler = _handler_for(
                endpoint,
                settings,
                schema,
                concurrency=concurrency,
                cache=cache,
                journal=journal,
                clock=clock,
                stop=stop,
                observer=observer,
            )
            watched = fan_out(observer, FirstRows(stop))
            prepare = _preparer(endpoint, prompt, schema, presenter)
            settle = settler(
                prepare, handler, present=presenter.present, clock=clock, stop=stop, observer=watched
            )
            yield Engine(_recorded(settle, journal), endpoint, concurrency, prepare, cache)
        finally:
            cache.close()


def _recorded(settle: Settle, journal: Journal | NoJournal) -> Settle:
    """`settle`, with every row's end written down."""

    async def settled(row: Record | Unreadable) -> Outcome:
        outcome = await settle(row)
        journal.settle(outcome)
        return outcome

    return settled


def _keyless(settings: Settings, env: Environment) -> Environment:
    """The environment of a run that calls nobody, for which no key is needed."""
    return replace(env, variables=with_keys(settings.model or "", env.variables))


async def first_request(plan: Plan, talk: Talk) -> dict[str, Any] | None:
    """The body of the first row's request, None when there is no readable row. Calls nobody."""
    env = _keyless(plan.settings, plan.env)
    async with _connected(plan.settings, plan.schema, env, talk, Stop()) as endpoint:
        prepare = _preparer(endpoint, plan.prompt, plan.schema, _presenter(plan))
        for row in plan.source:
            if isinstance(row, Record):
                with suppress(RowError):  # a run has it among the errors and goes on
                    return dict(prepare(row).body)
    return None


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended.

    Args:
        figures: what it did and cost.
        reasons: why it was stopped, the first first; empty for a run that came to its end.
        rows_left: the file where the results are, None when there are none or they went to no file.
        written: good rows that went to the results; fewer than there are when the output failed.
        errors_path: the file of failed rows, None when there are none.
        exit_code: see docs/errors.md.
        lost: answers that arrived and could not be kept.
    """

    figures: Figures
    reasons: list[LlmxError]
    rows_left: Path | None
    written: int
    errors_path: Path | None
    exit_code: int
    lost: int = 0


async def execute(plan: Plan, *, stop: Stop, figures: Figures, talk: Talk, clock: Clock) -> Report:
    """Run rows to files. The caller shows `figures` and throws `stop` on signals.

    Cancelled after a stop, it ends at once, with its files in order.

    Raises:
        LlmxError: what was found before the first call, or what no row could survive.
    """
    state = open_state(plan, stop)
    outputs: Outputs | None = None
    complete = False
    try:
        async with engine(
            plan.settings,
            plan.schema,
            plan.prompt,
            plan.env,
            clock=clock,
            stop=stop,
            observer=figures,
            talk=talk,
            presenter=_presenter(plan),
            journal=state.journal,
        ) as parts:
            done = await _introduce(plan, parts, state, talk, stop)
            outputs = _open_outputs(plan, state, stop)
            figures(RunStarted(plan.source.total(), parts.endpoint.label, parts.concurrency, done))
            async with talk.showing(figures):
                complete = await _run(plan, parts, outputs, figures, stop)
    except (Stopped, asyncio.CancelledError):
        if stop.reason is None:
            raise
    finally:
        _end(plan, state, figures, outputs, stop, complete=complete)
    for warning in _warnings(plan, state, outputs):
        talk.say(f"warning: {warning}")
    return _report(plan, state, stop, figures, outputs)


def _warnings(plan: Plan, state: State | NoState, outputs: Outputs | None) -> Iterator[str]:
    """What a person should know of a run that has ended."""
    yield from outputs.warnings if outputs else ()
    yield from plan.source.warnings
    if found := state.journal.distrusted:
        yield f"{plural(found, 'answer')} in the journal could not be trusted, and the rows were asked about again"
    if doubles := state.journal.doubles:
        yield f"{plural(doubles, 'row')} with a {plan.settings.key!r} that an earlier row has, too"


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


def _presenter(plan: Plan) -> Presenter:
    """What makes output rows of a plan's outcomes."""
    taken = [name for name, whole in _columns(plan).items() if whole]
    return FlatRows(plan.shape, plan.schema, list_fields(plan.schema), taken)


def _columns(plan: Plan) -> dict[str, bool]:
    """The columns of a flat file, see `Shape.columns`."""
    return plan.shape.columns(plan.source.columns, written_fields(plan.schema), list_fields(plan.schema))


async def _introduce(plan: Plan, parts: Engine, state: State | NoState, talk: Talk, stop: Stop) -> int:
    """What a person should know, and may have to agree to, before the first call; how many rows are done."""
    if parts.endpoint.note:
        talk.say(f"note: {parts.endpoint.note}")
    if plan.doubt:
        talk.say(f"warning: {plan.doubt}")
    if plan.source.columns:
        talk.say(plan.announcement)
    if isinstance(state, NoState):
        return 0
    state.identify(parts.endpoint)
    found = await survey(plan, state, parts.prepare, parts.cache, stop)
    for line in found.lines if found else ():
        talk.say(line)
    if damaged := state.journal.damaged:
        talk.say(f"warning: {plural(damaged, 'line')} of the journal cannot be trusted and will not be used")
    if found and found.changed and found.cost is not None and found.cost > plan.settings.confirm_above:
        await _confirm(talk, stop)
    state.begin()
    return found.done if found else 0


async def _confirm(talk: Talk, stop: Stop) -> None:
    """Raises UsageError when a person would rather not spend the money."""
    with stop.interruptible():
        agreed = await detached(lambda progress: talk.confirmed("go on? [y/N] "), lambda done, total: None)
    if not agreed:
        hint = "--confirm-above USD, the cost up to which nobody is asked"
        raise UsageError("not confirmed: nobody was asked about anything", hint=hint)


async def _run(plan: Plan, parts: Engine, outputs: Outputs, figures: Figures, stop: Stop) -> bool:
    """All rows, from the source to the outputs, which are brought to their end whatever happens; whether all came."""
    complete = False
    cut: list[InputFailed] = []
    try:
        await run(
            _up_to_the_cut(plan.source, cut),
            settle=parts.settle,
            write=outputs.write,
            concurrency=parts.concurrency,
            ordered=plan.settings.order == "input",
            stop=stop,
        )
        for error in cut:
            stop.set(error)
        complete = stop.reason is None
    finally:
        plan.source.close()
        figures(RunEnded(complete))
        outputs.finish(complete=complete)
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
    return Report(figures, stop.reasons, left, written, errors, code, lost=state.journal.lost)


def _open_outputs(plan: Plan, state: State | NoState, stop: Stop) -> Outputs:
    settings, env = plan.settings, plan.env
    results = open_sink(
        settings.output,
        env=env,
        format=settings.output_format,
        columns=_columns(plan),
        csv_safe=settings.csv_safe,
    )
    errors = errors_path(settings.output, settings.errors, env)
    return Outputs(results, errors or state.errors, env=env, stop=stop, ours=errors is None)


PRECEDENCE = (1, 130, 129, 143, 2, 4, 5, 7, 141)
"""Which exit code wins where several hold; 3 comes after all of them."""


def _exit_code(reasons: Sequence[LlmxError], figures: Figures, settings: Settings) -> int:
    """The process's exit code."""
    codes = {reason.exit_code for reason in reasons}
    for code in PRECEDENCE:
        if code in codes:
            return code
    return 3 if settings.max_failures.exceeded(figures.failed, figures.settled) else 0
