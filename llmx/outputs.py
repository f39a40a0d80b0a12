"""Where outcomes go: results to one sink, failed rows to another that exists only if there are any.

Writing never raises into the pipeline: a closed pipe or a failing disk throws the stop switch, so the
calls in flight still end and their answers are still cached.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import groupby
from pathlib import Path

from llmx.checkpoints import Checkpoints
from llmx.environment import Environment, private
from llmx.errors import LlmxError, OutputFailed, PipeClosed, Stopped, UsageError
from llmx.journal import STATE, Prefix
from llmx.layers.stop import Stop
from llmx.records import (
    Sink,
    check_output,
    error_row,
    is_stream,
    open_sink,
    partial_of,
    same_file,
)
from llmx.settings import Settings
from llmx.types import Outcome

__all__ = ["Outputs", "check_outputs", "errors_path", "flows"]

GRACE_SECONDS = 1.0
"""What the reader of a run that was stopped has for the rows that wait for it: a line should not be cut."""

COMPRESSED = {".gz", ".zst"}
JSONL = {"", ".jsonl", ".ndjson", ".json"}


def check_outputs(settings: Settings, env: Environment) -> None:
    """Make sure, before the first call, that results, errors and summary can be written and cost no input.

    Raises:
        UsageError: a folder is missing, a name is an input or another output, or errors are no JSON Lines.
    """
    check_output(settings.output, settings.inputs, env=env, format=settings.output_format)
    _check_failed_rows(settings, env)
    _check_apart(settings, env)
    beside = {"--summary": settings.summary, "--review": settings.review}
    if (errors := errors_path(settings.output, settings.errors, env)) is not None:
        beside["--errors"] = os.path.relpath(errors, env.cwd)
    taken = {env.cwd / settings.output}
    for option, name in beside.items():
        if name is not None:
            _check_beside(option, name, settings.inputs, taken, env)
            taken.add(env.cwd / name)
    for option, name, rows in (
        ("--errors", settings.errors, "failed rows"),
        ("--review", settings.review, "rows to review"),
    ):
        if name is not None and _suffix(Path(name)) not in JSONL:
            stem = Path(name).with_suffix(".jsonl")
            raise UsageError(f"{option} {name!r}: {rows} are JSON Lines", hint=f"{option} {stem}")


def _check_apart(settings: Settings, env: Environment) -> None:
    """Refuse outputs in the folders where runs are kept: a journal could be overwritten."""
    named = {
        "-o": settings.output,
        "--errors": settings.errors,
        "--summary": settings.summary,
        "--review": settings.review,
    }
    for option, name in named.items():
        if name is not None and name != "-" and _is_kept_there(env.cwd / name, settings, env):
            problem = f"{option}: {name!r} is in a folder where runs are kept"
            raise UsageError(problem, hint=f"{option} PATH, elsewhere")


def _is_kept_there(path: Path, settings: Settings, env: Environment) -> bool:
    folder = path.parent.resolve()
    state_dir = None if settings.state_dir is None else (env.cwd / settings.state_dir).resolve()
    own = state_dir is not None and folder == state_dir / Path(settings.output).name
    return own or STATE in folder.parts or folder.is_relative_to(env.home.resolve() / "runs")


def _check_failed_rows(settings: Settings, env: Environment) -> None:
    """Refuse to put what comes of an output's failed rows in the place of all its rows."""
    failed = errors_path(settings.output, None, env)
    inputs = [env.cwd / name for name in settings.inputs if name != "-"]
    if failed is not None and any(same_file(failed, path) for path in inputs):
        problem = (
            f"{failed.name!r} has the failed rows of {settings.output!r}, which they alone would replace"
        )
        raise UsageError(problem, hint=f"llmx retry {shlex.quote(settings.output)}")


def _check_beside(option: str, name: str, inputs: Sequence[str], taken: set[Path], env: Environment) -> None:
    hint = f"{option} PATH, under another name"
    if name == "-":
        raise UsageError(f"{option}: '-' is standard output, which is for rows", hint=f"{option} PATH")
    if any(same_file(env.cwd / name, other) for other in taken):
        raise UsageError(f"{option}: {name!r} is an output already", hint=hint)
    try:
        check_output(name, inputs, env=env, format="jsonl")
    except UsageError as error:
        hint = error.hint if error.hint.startswith("mkdir") else hint
        raise UsageError(f"{option}: {error}", hint=hint) from error


def _suffix(path: Path) -> str:
    """The suffix that says the format: the one before that of a compression."""
    return _plain(path).suffix.lower()


def _plain(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


def flows(output: str, env: Environment) -> bool:
    """Whether results go to stdout, a pipe or a device, beside which there is no place for a file."""
    return output == "-" or is_stream(env.cwd / output)


def errors_path(output: str, errors: str | None, env: Environment) -> Path | None:
    """Where failed rows go.

    Args:
        output: the results' path, "-" for stdout.
        errors: the path the user gave, None for the default: beside the results, under a name that no other
            output's errors have but those of the same name's compressed.

    Returns:
        None where the results go to no file: the run's own folder is the place then.
    """
    if errors is not None:
        return env.cwd / errors
    if flows(output, env):
        return None
    path = env.cwd / output
    if _suffix(path) == ".jsonl":
        return _plain(path).with_suffix(".errors.jsonl")
    return path.with_name(path.name + ".errors.jsonl")


def _failed(outcome: Outcome) -> bool:
    return outcome.error is not None


class Outputs:
    """The results' and the errors' sinks of one run.

    Args:
        results: already open: what is wrong with its path is said before the first call.
        errors: a file is opened at the first failed row, and tried at once, so that what is wrong with it is said
            before anything is paid for. None to drop failed rows.
        checkpoints: told of what is written, in the order of the input; None where nothing could go on with it.
        errors_stream: where they go instead, open already: to open a pipe waits for its reader.
        ours: whether it is a file of the run's own folder, which is nobody else's business.
        stale: whether a file of that name is of an earlier run of this output, and goes when no row fails.

    Attributes:
        checkpoints: as given.
        written: good outcomes whose rows all went where they belong, those of earlier sessions included.

    Raises:
        UsageError: another run is writing the errors.
        OutputFailed: the system refuses to open them.
    """

    def __init__(
        self,
        results: Sink,
        errors: Path | None,
        *,
        env: Environment,
        stop: Stop,
        ours: bool = False,
        stale: bool = True,
        errors_stream: Sink | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._results = results
        self._errors_path = errors
        self._ours = ours
        self._stale = stale
        self._env = env
        self._stop = stop
        self.checkpoints = checkpoints
        self._errors = errors_stream
        if errors is not None and not is_stream(errors):
            self._open_errors(errors).abandon()
        self._broken = False
        self.written = self._waiting = 0

    @property
    def rows_left(self) -> Path | None:
        """The file where the results are now, None when they went to no file or there are none yet."""
        return self._results.rows_left

    @property
    def errors_path(self) -> Path | None:
        """The file of failed rows as the run has left it, None when there are none."""
        return None if self._errors is None else self._errors.rows_left

    @property
    def warnings(self) -> list[str]:
        """What the user should know of the results, complete after `finish`."""
        path = self._errors_path
        if self._stale or path is None or self._errors is not None or not path.is_file():
            return self._results.warnings
        return [
            *self._results.warnings,
            f"{str(path)!r} is of no earlier run of this output: it stays as it is",
        ]

    def go_on(self, prefix: Prefix) -> None:
        """Go on behind the rows that an earlier session has written. Raises OutputFailed."""
        assert self.checkpoints is not None
        self.checkpoints.go_on(prefix)
        self.written = prefix.checkpoint.rows

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Write outcomes where they belong: those between two failed rows together."""
        for failed, some in groupby(outcomes, key=_failed):
            if not self._broken:
                with self._guarded():
                    self._write_some(list(some), failed=failed)
        if self.checkpoints is not None and not self._broken:
            self.checkpoints.note_in_time()

    async def drained(self) -> None:
        """Return when whoever reads has taken what was written, or the run is stopped; other tasks go on meanwhile."""
        for sink in (self._results, self._errors):
            if sink is not None and not sink.taken and not self._broken:
                with suppress(Stopped), self._guarded(sink), self._stop.interruptible():
                    await sink.drained()
        self._count()

    def _count(self) -> None:
        """Rows are written when all that came before them has been taken."""
        if self._results.taken:
            self.written += self._waiting
            self._waiting = 0

    def _write_some(self, outcomes: Sequence[Outcome], *, failed: bool) -> None:
        if not failed:
            self._write_good(outcomes)
            return
        self._end_checkpoints()
        for outcome in outcomes:
            if outcome.error is not None:
                self._write_error(outcome, outcome.error)

    def _write_good(self, outcomes: Sequence[Outcome]) -> None:
        following = len(outcomes) if self.checkpoints is None else self.checkpoints.following(outcomes)
        if following:
            self._write_rows(outcomes[:following])
        if following < len(outcomes):
            self._end_checkpoints()
            self._write_rows(outcomes[following:])

    def _write_rows(self, outcomes: Sequence[Outcome]) -> None:
        self._results.write(*(row for outcome in outcomes for row in outcome.rows))
        self._waiting += len(outcomes)
        if self.checkpoints is not None:
            self.checkpoints.wrote(outcomes)

    def _end_checkpoints(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.end()

    def _write_error(self, outcome: Outcome, error: LlmxError) -> None:
        if self._errors_path is None:
            return
        if self._errors is None:
            self._errors = self._open_errors(self._errors_path)
        spent, cost = outcome.all_attempts, outcome.all_cost
        with self._guarded(self._errors):
            self._errors.write(error_row(outcome.record, error, raw=outcome.raw, attempts=spent, cost=cost))

    def _open_errors(self, path: Path) -> Sink:
        with private() if self._ours else nullcontext():  # elsewhere it is the user's umask that decides
            return open_sink(str(path), env=self._env, format="jsonl", columns=None)

    @contextmanager
    def _guarded(self, sink: Sink | None = None) -> Iterator[None]:
        """What cannot be written stops the run; only of the results it is usual that their reader goes away."""
        try:
            yield
        except BrokenPipeError:
            gone = OutputFailed("the reader of the failed rows went away", hint="--errors FILE")
            results = sink is None or sink is self._results
            self._fail(PipeClosed("the reader of standard output went away") if results else gone)
        except OutputFailed as error:
            self._fail(error)
        except UsageError as error:  # of the errors file, which is opened when rows have been paid for
            self._fail(OutputFailed(str(error), hint=error.hint))
        except OSError as error:
            self._fail(OutputFailed(f"cannot write: {error.strerror or error}"))

    def _fail(self, error: LlmxError) -> None:
        self._broken = True
        self._stop.set(error)

    async def finish(self, *, complete: bool) -> None:
        """Bring the files to their end: in place when the run is complete, else as `.partial`.

        A reader that takes nothing is waited for until the run is stopped, and then for `GRACE_SECONDS`; not at
        all by a task that is being cancelled.
        """
        if self.checkpoints is not None and not self._broken and not (complete and self._stop.reason is None):
            self.checkpoints.note()
        try:
            await self._finish(self._results, complete=complete and self._stop.reason is None)
        finally:
            if self._errors is not None:
                await self._finish(self._errors, complete=complete and self._stop.reason is None)
        self._count()
        if complete and self._stop.reason is None and self._errors is None and self._stale:
            with self._guarded():
                self._forget_errors()

    async def _finish(self, sink: Sink, *, complete: bool) -> None:
        ended = False
        try:
            with suppress(Stopped), self._guarded(sink):
                if complete:
                    for _ in sink.ending():
                        with self._stop.interruptible():
                            await sink.drained()
                    ended = True
                    sink.close()
        finally:
            if not ended:
                await self._give_up(sink)

    async def _give_up(self, sink: Sink) -> None:
        task = asyncio.current_task()
        try:
            if not self._broken and not (task and task.cancelling()):
                with self._guarded(sink), suppress(TimeoutError):
                    await asyncio.wait_for(sink.drained(), GRACE_SECONDS)
        finally:
            with self._guarded(sink):
                sink.abandon()

    def _forget_errors(self) -> None:
        """What an earlier run left is no longer true. A device is no file that somebody has left."""
        if self._errors_path is not None and not is_stream(self._errors_path):
            for stale in (self._errors_path, partial_of(self._errors_path)):
                stale.unlink(missing_ok=True)
