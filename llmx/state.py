"""One run's state on disk, from its lock to its last manifest; what the composition root sees of `journal`.

It is opened before anything is spent, so that a second run on the same output is refused at once. Nothing
here knows layers or providers: an endpoint is only looked at for what identifies it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import asdict

from llmx._version import __version__
from llmx.environment import private
from llmx.errors import OutputFailed, UsageError
from llmx.inputs import Inputs
from llmx.journal import (
    AtRisk,
    Checkpoint,
    Journal,
    Manifest,
    NoJournal,
    Prefix,
    RunFolder,
    forget_old,
    read_manifest,
    write_manifest,
)
from llmx.layers.stop import Stop
from llmx.outputs import errors_path, flows
from llmx.places import check_place, first_row, place_of
from llmx.planning import Plan
from llmx.providers import Endpoint
from llmx.questions import dearest, digest_of, hashes, prices
from llmx.records import sink_format
from llmx.report.summary import Figures
from llmx.schemas import list_fields
from llmx.settings import as_options
from llmx.spending import Risk, Spent
from llmx.types import Usage

__all__ = ["CONFIG", "NAMES", "NoState", "Retried", "State", "open_state"]

CONFIG = ("schema", "prompt", "model", "server", "params")
"""The hashes that all requests of a run share; an input or a price that changes makes no other question."""

NAMES = {"params": "parameters", "input": "input rows"}
"""What is said for hashes that are not called by their names."""

DIGEST_SECONDS = 1.0
"""How long a run that has ended waits for its inputs' digests: they are for people, the next run can do without."""


class NoState(Struct):
    """A run of which nothing is kept: `--no-store`."""

    journal: NoJournal = field(default_factory=NoJournal)
    past: Journal | None = None
    errors: Path | None = None
    emptied: int = 0
    checkpoint: None = None
    resumable: bool = False
    made_by: str = ""

    def had_errors_at(self, path: Path | None) -> bool:
        """See `State.had_errors_at`: nobody knows."""
        return False

    async def catch_up(self, stop: Stop, say: Callable[[str], None]) -> None:
        """See `State.catch_up`."""

    def spent(self, endpoints: Sequence[Endpoint]) -> Spent:
        """See `State.spent`: nobody knows."""
        return Spent()

    def outstanding(self, risk: Risk) -> None:
        """See `State.outstanding`."""

    def begin(self, skipped: Prefix | None = None) -> None:
        """See `State.begin`."""

    def end(self, figures: Figures, stop: Stop, *, written: int, complete: bool, exit_code: int) -> None:
        """See `State.end`."""

    def close(self) -> None:
        """See `State.close`."""


class State(Struct):
    """The state of a run whose lock we hold.

    Args:
        folder: where it is.
        earlier: the manifest of the session before this one, None for a new run.
        inputs: the files that are read.
        manifest: of this session; complete only after `end`.
        new: there was no journal before.
        held: what is let go of at the end: the locks, and `past`.
        past: another run's journal, which is only looked into.
    """

    plan: Plan
    folder: RunFolder
    journal: Journal
    earlier: Manifest | None
    inputs: Inputs
    manifest: Manifest
    new: bool
    held: ExitStack
    past: Journal | None = None
    endpoints: Sequence[Endpoint] = ()
    begun: bool = False

    @property
    def errors(self) -> Path:
        """Where failed rows go that have no place beside their output."""
        return self.folder.errors

    def check_same(self, retried: Retried, changed: Sequence[str]) -> None:
        """Raises UsageError where rows that are retried would be asked something else, or all rows would be."""
        now = self.manifest.hashes
        self.manifest.retry = retried.folder == self.folder
        if self.manifest.retry and not self.journal.totals.session:
            problem = "the journal of that run is gone: all its rows would be asked about"
            raise UsageError(problem, hint=retried.again)
        names = [name for name in CONFIG if retried.hashes.get(name, now[name]) != now[name]]
        if self.manifest.retry and "input" in changed:
            names.append("input")
        if names:
            what = ", ".join(NAMES.get(name, name) for name in names)
            raise UsageError(f"a retry asks what was asked, but changed since: {what}", hint=retried.again)

    async def changed(self, stop: Stop) -> list[str]:
        """What is not as it was in the session before: names of hashes, "input", "llmx's version". Raises Stopped."""
        if (earlier := self.earlier) is None:
            return []
        now = self.manifest.hashes
        names = [name for name in CONFIG if name in earlier.hashes and earlier.hashes[name] != now[name]]
        other = earlier.selection.get("first") != self.manifest.selection["first"]
        if other or await self.inputs.changed(stop):
            names.append("input")
        return names if earlier.llmx == self.manifest.llmx else [*names, "llmx's version"]

    @property
    def name(self) -> str:
        """What `llmx runs` calls it."""
        output = self.plan.settings.output
        return self.folder.path.name if flows(output, self.plan.env) else output

    def had_errors_at(self, path: Path | None) -> bool:
        """Whether an earlier session has left failed rows there; to be asked before this one begins."""
        earlier = read_manifest(self.folder.manifest)  # of a run that starts over, too
        return earlier is not None and path is not None and earlier.failed_at == str(path)

    @property
    def config(self) -> str:
        """One digest of all that makes a question."""
        return digest_of([self.manifest.hashes.get(name) for name in CONFIG])[:16]

    async def catch_up(self, stop: Stop, say: Callable[[str], None]) -> None:
        """Read what the journal's index does not know yet. Raises OutputFailed, and Stopped, for it may take a while."""
        for step, _ in enumerate(self.journal.catching_up()):
            if step == 0:
                say("reading the journal of the run, whose index is not there or not complete")
            await asyncio.sleep(0)
            stop.check()

    def identify(self, endpoints: Sequence[Endpoint], label: str) -> None:
        """The endpoints are known: note what will be asked."""
        self.endpoints = endpoints
        self.manifest.hashes |= hashes(self.plan, endpoints)
        self.manifest.model = label
        given = {endpoint.given for endpoint in endpoints}
        self.manifest.server = given.pop() if len(given) == 1 else None

    def spent(self, endpoints: Sequence[Endpoint]) -> Spent:
        """What earlier sessions have spent: answers, and at their worst the calls that may have been billed."""
        totals, earlier = self.journal.totals, self.earlier or Manifest()
        tokens = totals.input_tokens + totals.output_tokens
        cost = totals.cost
        if cost is None:  # where prices were not known then, what they are now
            usage = Usage(totals.input_tokens, totals.output_tokens)
            known = [endpoint.price(endpoint.model, usage) for endpoint in endpoints]
            cost = None if None in known else max(price for price in known if price is not None)
        risk = earlier.at_risk
        most = Decimal(risk.cost) + dearest(endpoints, risk.unpriced)
        return Spent(None if cost is None else cost + most, tokens + risk.tokens, most, risk.tokens)

    def outstanding(self, risk: Risk) -> None:
        """Note the most that calls in flight may come to, before they do. Raises OutputFailed.

        Answers that could not be put into the journal were paid for, too, and no later session finds them there.
        """
        before, lost = (self.earlier or Manifest()).at_risk, self.journal.unkept
        self.manifest.at_risk = AtRisk(
            cost=f"{Decimal(before.cost) + risk.cost + (lost.cost or 0):f}",
            tokens=before.tokens + risk.tokens + lost.total_tokens,
            unpriced=before.unpriced + risk.unpriced + (lost.total_tokens if lost.cost is None else 0),
        )
        if self.begun:
            self._write()

    @property
    def resumable(self) -> bool:
        """Whether what is written can be gone on with: the same rows come again, and would become the same.

        They might not where functions of the user's take part: what these do now no digest can see.
        """
        again = all(path is not None and path.is_file() for path in self.plan.source.paths)
        return again and self.plan.settings.order == "input" and not self.plan.schema.code

    @property
    def made_by(self) -> str:
        """One digest of all that decides, beside the input's rows, what bytes come of them."""
        plan, settings = self.plan, self.plan.settings
        kind = sink_format(settings.output, settings.output_format)
        columns = list(plan.columns.items())
        shape = [asdict(plan.shape), settings.key, kind, columns, settings.csv_safe]
        schema = [plan.schema.fields, plan.schema.made_of]
        return digest_of([self.config, self.manifest.llmx, *schema, *shape])[:16]

    @property
    def checkpoint(self) -> Checkpoint | None:
        """How far the output had come that this session may go on with, None where it may not."""
        found = self.journal.totals.written
        return found if found is not None and found.made_by == self.made_by else None

    def begin(self, skipped: Prefix | None = None) -> None:
        """Rows are about to flow, but for those that are skipped. Raises OutputFailed."""
        try:
            self.folder.hold_room()
        except OSError as error:
            raise _failed(self.folder, error) from error
        self.journal.begin(self.config, skipped)
        self.begun = True
        self.manifest.sessions = self.journal.totals.session
        self._write()

    def end(self, figures: Figures, stop: Stop, *, written: int, complete: bool, exit_code: int) -> None:
        """The outputs are where they belong: note how the run ended. Throws `stop` when that cannot be written."""
        self.folder.give_room()
        self.journal.end(complete=complete)
        manifest, totals = self.manifest, self.journal.totals
        manifest.state = "complete" if complete else "stopped"
        manifest.exit_code, manifest.pid = exit_code, None
        manifest.reason = str(stop.reason) if stop.reason else None
        manifest.ended = _now()
        manifest.rows = {**figures.rows, "written": written}
        manifest.calls = figures.calls
        manifest.answers = totals.answers
        earlier = self.earlier or Manifest()
        manifest.failed_at = earlier.failed_at
        if figures.failed or complete:
            settings, env = self.plan.settings, self.plan.env
            path = errors_path(settings.output, settings.errors, env) if figures.failed else None
            manifest.failed_at = None if path is None else str(path)
        manifest.lost = earlier.lost + self.journal.lost
        manifest.maybe_billed = earlier.maybe_billed + figures.maybe_billed
        manifest.usage = {"input": totals.input_tokens, "output": totals.output_tokens}
        manifest.cost = None if totals.cost is None else str(totals.cost)
        if self.inputs.await_digests(DIGEST_SECONDS):
            manifest.hashes["input"] = digest_of(
                [[file.sha256 for file in manifest.inputs], first_row(self.plan)]
            )
        if self.endpoints:  # here and not before: reading price lists takes half a second
            manifest.hashes["prices"] = digest_of([prices(endpoint) for endpoint in self.endpoints])
        try:
            self._write()
        except OutputFailed as error:
            stop.set(error)

    @property
    def emptied(self) -> int:
        """Good rows of the session before, where this one has come to its end without any."""
        earlier = self.earlier
        if earlier is None or self.manifest.state != "complete" or self.manifest.rows.get("written"):
            return 0
        return (earlier.state == "complete" and earlier.rows.get("written")) or 0

    def _write(self) -> None:
        try:
            write_manifest(self.folder.manifest, self.manifest)
        except OSError as error:
            raise _failed(self.folder, error) from error

    def close(self) -> None:
        """Release the files; what was written is on the disk. Of a run that never began, nothing is left."""
        self.folder.give_room()
        self.journal.close()
        if self.new and not self.begun:
            self.folder.remove()
        self.held.close()


class Retried(Struct, frozen=True):
    """A finished run whose failed rows are to be asked about again: in its own folder, or in another run's.

    Args:
        hashes: of what it asked.
        again: the command that asks about all its rows.
    """

    folder: RunFolder
    hashes: Mapping[str, str]
    again: str


def open_state(plan: Plan, stop: Stop, retried: Retried | None = None) -> State | NoState:
    """Lock the run's folder and open its journal, and those of the run that is retried, if it is another.

    Raises:
        UsageError: another run is writing the same output, or the one that is retried is going on.
        OutputFailed: the system refuses.
    """
    settings, env = plan.settings, plan.env
    if settings.no_store:
        return NoState()
    folder = place_of(plan)
    with ExitStack() as held, private():
        other = None if retried is None or retried.folder == folder else retried.folder
        answers = None if other is None else _past(other, stop, held)
        held.callback(folder.acquire(settings.output).close)
        forget_old(env.home, now=time.time())  # not those that we hold
        return _opened(plan, folder, stop, answers, held)


def _past(folder: RunFolder, stop: Stop, held: ExitStack) -> Journal | None:
    """The journal of another run, None when there is none."""
    held.callback(folder.acquire(folder.path.name).close)
    if not folder.journal.exists():
        return None
    journal = Journal(folder.journal, on_failure=stop.set)
    held.callback(journal.close)
    return journal


def _opened(plan: Plan, folder: RunFolder, stop: Stop, past: Journal | None, held: ExitStack) -> State:
    try:
        earlier = None if plan.settings.fresh else read_manifest(folder.manifest)
        inputs = Inputs(plan.source.paths, earlier.inputs if earlier else [])
    except OSError as error:
        raise _failed(folder, error) from error
    manifest = _manifest(plan, inputs, earlier)
    check_place(plan, folder)
    new = not folder.journal.exists()
    journal = Journal(folder.journal, on_failure=stop.set, fresh=plan.settings.fresh, catch_up=False)
    return State(plan, folder, journal, earlier, inputs, manifest, new, held.pop_all(), past)


def _failed(folder: RunFolder, error: OSError) -> OutputFailed:
    return OutputFailed(f"cannot keep the run in {str(folder.path)!r}: {error.strerror or error}")


def _manifest(plan: Plan, inputs: Inputs, earlier: Manifest | None) -> Manifest:
    """What is known of a session before it has an endpoint."""
    settings = plan.settings
    chosen = {name: getattr(settings, name) for name in ("limit", "sample", "seed", "key")}
    selection = {**chosen, "first": first_row(plan)}
    return Manifest(
        llmx=__version__,
        pid=os.getpid(),
        cwd=str(plan.env.cwd),
        command=as_options(settings),
        output=settings.output,
        errors=settings.errors,
        schema_name=plan.schema.name,
        fields=plan.shape.extracted(plan.schema.fields, list_fields(plan.schema)),
        inputs=inputs.files,
        failed_at=None if earlier is None else earlier.failed_at,
        at_risk=AtRisk() if earlier is None else earlier.at_risk,
        selection=selection,
        started=_now(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
