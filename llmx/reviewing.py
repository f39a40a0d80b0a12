"""`--review`: the rows of a finished run that a person should look at, gathered from its output and its failed rows.

It reads what the run has left, so that a resumed run, which has not seen all of its rows, gathers them all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from llmx.environment import Environment
from llmx.errors import OutputFailed, UsageError
from llmx.outputs import flows
from llmx.records import Sink, open_sink, open_source
from llmx.records.integers import loads_object
from llmx.records.lines import split_lines
from llmx.records.shape import CONFIDENCE, EVIDENCE
from llmx.records.streams import byte_chunks
from llmx.settings import Settings
from llmx.types import Record

__all__ = ["REVIEW", "check_review", "doubts", "review"]

REVIEW = "_review"
"""The column that says why a row should be looked at."""

TOLD = 5
"""Values that a reason names."""


def check_review(settings: Settings, env: Environment) -> None:
    """Raises UsageError where the rows of a run cannot be looked at again, or nothing would ever be doubted."""
    if settings.review is None:
        return
    if flows(settings.output, env):
        raise UsageError("--review looks at the rows in a file, and these go to a stream", hint="-o FILE")


def review(settings: Settings, env: Environment, *, errors: Path | None, enough: float | None) -> int:
    """Write the file of rows that should be looked at; without any, one that was there before goes.

    Args:
        errors: the file of failed rows, None when there is none.
        enough: the confidence from which on a value is not doubted; None for 1.

    Returns:
        How many rows it has.

    Raises:
        OutputFailed: a file cannot be read or written.
    """
    assert settings.review is not None
    path = env.cwd / settings.review
    rows = _doubted(settings, env, errors, 1.0 if enough is None else enough)
    try:
        first = next(rows, None)
        if first is None:
            path.unlink(missing_ok=True)
            return 0
        return _written(open_sink(settings.review, env=env, format="jsonl"), chain([first], rows))
    except OSError as error:
        raise OutputFailed(
            f"cannot write {settings.review!r}: {error.strerror or error}", hint="--review FILE, elsewhere"
        ) from error


def _written(sink: Sink, rows: Iterable[dict[str, Any]]) -> int:
    """Bring rows to a file that is there whole or not at all; how many there were."""
    count = 0
    try:
        for row in rows:
            sink.write(row)
            count += 1
    except BaseException:
        sink.abandon()
        raise
    sink.close()
    return count


def _doubted(
    settings: Settings, env: Environment, errors: Path | None, enough: float
) -> Iterator[dict[str, Any]]:
    """The rows with why, those of the output first."""
    sure = settings.votes > 1 or settings.logprobs
    added = [name for name, asked in {EVIDENCE: settings.evidence, CONFIDENCE: sure}.items() if asked]
    for row in _rows(settings, env):
        # What was kept of the input by the same names is none of this run's.
        if reasons := doubts({name: row.get(name) for name in added}, enough):
            yield {**row, REVIEW: "; ".join(reasons)}
    if errors is None:
        return
    for row in _failed_rows(errors):
        error = row.pop("_error", None) or {}
        yield {**row, REVIEW: f"failed: {error.get('message')}"}


def _rows(settings: Settings, env: Environment) -> Iterator[Mapping[str, Any]]:
    source = open_source([settings.output], env=env, format=settings.output_format)
    try:
        yield from (row.data for row in source if isinstance(row, Record))
    finally:
        source.close()


def _failed_rows(errors: Path) -> Iterator[dict[str, Any]]:
    """Of a file of ours, with the `_error` that a reader of rows leaves out."""
    with errors.open("rb") as file:
        for line in split_lines(byte_chunks(file)):
            row = loads_object(line) if isinstance(line, bytes) else None
            if row is not None:
                yield row


def doubts(row: Mapping[str, Any], enough: float) -> list[str]:
    """Why an output row should be looked at, nothing where it need not.

    Args:
        row: with `_evidence` and `_confidence`, as far as they were asked for; as objects, or as JSON in a cell.
        enough: a value that is less sure is doubted.
    """
    reasons = []
    lacking = [name for name, quote in _object(row.get(EVIDENCE)).items() if quote is None]
    if lacking:
        reasons.append(f"not in the row: {_named(lacking)}")
    unsure = {name: share for name, share in _object(row.get(CONFIDENCE)).items() if share < enough}
    if unsure:
        names = sorted(unsure, key=unsure.__getitem__)
        reasons.append(f"not sure: {_named([f'{name} {unsure[name]:.2f}' for name in names])}")
    return reasons


def _named(names: list[str]) -> str:
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(names[:TOLD]) + more


def _object(cell: Any) -> dict[str, Any]:
    """A column's object; a flat file has it as JSON."""
    found = json.loads(cell) if isinstance(cell, str) and cell else cell
    return found if isinstance(found, dict) else {}
