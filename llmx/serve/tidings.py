"""What is told of jobs while they go on: rows and progress, for as long as somebody listens and the service stays."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, cast

from llmx.jobs.document import document
from llmx.jobs.results import errors, results
from llmx.jobs.types import ENDED, Job
from llmx.records import to_json
from llmx.records.integers import loads
from llmx.records.values import flatten
from llmx.serve.house import House
from llmx.serve.streamed import Emit, event

__all__ = ["csv_lines", "follow_events", "lines_of"]

SECONDS = 15.0
"""How long a look at a job waits for a change."""

BETWEEN = 0.2
"""Seconds between two snapshots, however fast a job changes."""


async def lines_of(house: House, id: str, what: str, after: int, *, follow: bool) -> AsyncGenerator[bytes]:
    """Rows as JSON Lines; one that follows ends when the service shuts down, between two rows.

    Args:
        what: "results" or "errors".
    """
    with house.drain.streaming():
        async with aclosing(_rows(house, id, what, after, follow=follow)) as rows:
            while (piece := await _next(house, rows)) is not None:
                yield piece


def _rows(house: House, id: str, what: str, after: int, *, follow: bool = False) -> AsyncGenerator[bytes]:
    read = results if what == "results" else errors
    return cast("AsyncGenerator[bytes]", read(house.desk, id, after=after, follow=follow))


async def _next(house: House, rows: AsyncIterator[bytes]) -> bytes | None:
    """The next piece; None at the end, or when the service shuts down before there is one."""
    piece = asyncio.ensure_future(anext(rows, None))
    ending = asyncio.ensure_future(house.drain.begun.wait())
    try:
        await asyncio.wait((piece, ending), return_when=asyncio.FIRST_COMPLETED)
        if not piece.done() and house.drain.begun.is_set():
            return None
        return await piece
    finally:
        ending.cancel()
        if not piece.done():
            piece.cancel()
            await asyncio.wait([piece])


async def csv_lines(house: House, id: str, what: str, after: int) -> AsyncGenerator[bytes]:
    """The rows that are there as CSV, read twice: which columns there are is known at the end of the first time.

    Nested objects are flattened with dots, lists are JSON, as in a CSV file by `llmx extract`.
    """
    with house.drain.streaming():
        columns: dict[str, None] = {}
        async with aclosing(_rows(house, id, what, after)) as pieces:
            async for lines in pieces:
                columns.update(dict.fromkeys(name for row in _parsed(lines) for name in row))
        yield _as_csv([list(columns)])
        async with aclosing(_rows(house, id, what, after)) as pieces:
            async for lines in pieces:
                yield _as_csv([_cells(row, columns) for row in _parsed(lines)])


def _parsed(lines: bytes) -> Iterator[dict[str, Any]]:
    """Flat rows."""
    return (dict(flatten(loads(line))) for line in lines.split(b"\n") if line)


def _cells(row: Mapping[str, Any], columns: Mapping[str, None]) -> list[str]:
    return [_cell(row.get(name)) for name in columns]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()


def _as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


async def follow_events(house: House, job: Job, version: int, emit: Emit) -> None:
    """Emit a job's snapshots, those beyond a version, until it has ended or the service shuts down."""
    with house.drain.streaming():
        known = version
        current: Job | None = job
        while current is not None and not house.drain.begun.is_set():
            ended = current.state in ENDED
            if current.version > known or ended:
                known = current.version
                await emit(event("end" if ended else "progress", document(current), str(known)))
                if ended:
                    return
                await house.clock.sleep(BETWEEN)
            current = await _changed(house, job.id, known)


async def _changed(house: House, id: str, version: int) -> Job | None:
    """The job once it has changed, or after a while; at once when the service shuts down."""
    looking = asyncio.ensure_future(house.desk.store.changed(id, version, SECONDS))
    ending = asyncio.ensure_future(house.drain.begun.wait())
    try:
        await asyncio.wait((looking, ending), return_when=asyncio.FIRST_COMPLETED)
        return looking.result() if looking.done() else None
    finally:
        ending.cancel()
        if not looking.done():
            looking.cancel()
            await asyncio.wait([looking])
