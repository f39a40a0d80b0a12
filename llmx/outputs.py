"""Where outcomes go: results to one sink, failed rows to another that exists only if there are any.

Writing never raises into the pipeline: a closed pipe or a failing disk throws the stop switch, so the
calls in flight still end and their answers are still cached.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmx.environment import Environment
from llmx.errors import LlmxError, OutputFailed, PipeClosed
from llmx.layers.stop import Stop
from llmx.records import Shape, Sink, error_row, open_sink
from llmx.schemas import Schema
from llmx.types import Outcome, Record

__all__ = ["Outputs", "errors_path"]


def errors_path(output: str, errors: str | None, env: Environment) -> Path:
    """Where failed rows go.

    Args:
        output: the results' path, "-" for stdout.
        errors: the path the user gave, None for the default: beside the results, or in a folder of this
            run's own under llmx's home when the results go to stdout.
    """
    if errors is not None:
        return env.cwd / errors
    if output == "-":
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return env.home / "runs" / f"{stamp}-{os.getpid()}" / "errors.jsonl"
    path = env.cwd / output
    return path.with_name(path.name.split(".")[0] + ".errors.jsonl")


class Outputs:
    """The results' and the errors' sinks of one run.

    Args:
        results: already open: what is wrong with its path is said before the first call.
        errors: opened at the first failed row.
    """

    def __init__(
        self, results: Sink, errors: Path, *, shape: Shape, schema: Schema, env: Environment, stop: Stop
    ) -> None:
        self._results = results
        self._errors_path = errors
        self._errors: Sink | None = None
        self._shape = shape
        self._schema = schema
        self._env = env
        self._stop = stop
        self._broken = False

    @property
    def errors_path(self) -> Path | None:
        """The file of failed rows, None when there are none."""
        return self._errors_path if self._errors is not None else None

    def write(self, outcome: Outcome) -> None:
        """Write one outcome where it belongs."""
        if not self._broken:
            self._guard(lambda: self._write(outcome))

    def _write(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._write_error(outcome, outcome.error)
            return
        assert isinstance(outcome.record, Record)
        extracted = self._schema.dump(outcome.value)
        for row in self._shape.rows(outcome.record.data, extracted, _provenance(outcome)):
            self._results.write(row)

    def _write_error(self, outcome: Outcome, error: LlmxError) -> None:
        if self._errors is None:
            self._errors_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._errors = open_sink(str(self._errors_path), env=self._env, format="jsonl", columns=None)
        cost = outcome.usage.cost
        self._errors.write(
            error_row(outcome.record, error, raw=outcome.raw, attempts=outcome.attempts, cost=cost)
        )

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BrokenPipeError:
            self._fail(PipeClosed("the reader of standard output went away"))
        except OutputFailed as error:
            self._fail(error)
        except OSError as error:
            self._fail(OutputFailed(f"cannot write: {error.strerror or error}"))

    def _fail(self, error: LlmxError) -> None:
        self._broken = True
        self._stop.set(error)

    def finish(self, *, complete: bool) -> None:
        """Bring the files to their end: in place when the run is complete, else as `.partial`."""
        sinks = [sink for sink in (self._results, self._errors) if sink is not None]
        for sink in sinks:
            self._guard(sink.close if complete and not self._broken else sink.abandon)
        if complete and not self._broken and self._errors is None:
            self._guard(lambda: self._errors_path.unlink(missing_ok=True))


def _provenance(outcome: Outcome) -> Mapping[str, Any]:
    cost = outcome.usage.cost
    return {
        "model": outcome.model,
        "source": outcome.source,
        "attempts": outcome.attempts,
        "cost": None if cost is None else float(cost),
    }
