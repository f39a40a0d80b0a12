"""`POST /v1/extract` as a stream: each field as soon as it is there, then the whole, then what it has cost.

Where fields come from, piece by piece or all at the end, is decided in `_parts` alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from msgspec import Struct

from llmx.errors import LlmxError
from llmx.serve.engines import Running
from llmx.serve.extracting import Extraction, described, late, loader, records_of, settled, usage_of
from llmx.serve.house import House
from llmx.serve.problems import Problem, problem_of
from llmx.serve.streamed import Emit, event
from llmx.serve.together import together
from llmx.types import NOTHING, Outcome, Record, Usage

__all__ = ["stream_extraction"]


class FieldDone(Struct, frozen=True):
    """A field that is complete and valid so far."""

    path: str
    value: Any


class Restarted(Struct, frozen=True):
    """What was told of the row does not hold any more."""

    reason: str
    message: str


class ObjectDone(Struct, frozen=True):
    """The row's end: always the last part."""

    outcome: Outcome


Part = FieldDone | Restarted | ObjectDone


async def stream_extraction(house: House, extraction: Extraction, emit: Emit) -> None:
    """Emit the events of an extraction; what goes wrong is the last one."""
    try:
        async with asyncio.timeout(house.settings.extract_timeout):
            await _streamed(house, extraction, emit)
    except TimeoutError:
        await _end(late(house), extraction, emit)
    except LlmxError as error:
        await _end(problem_of(error), extraction, emit)
    except Problem as problem:
        await _end(problem, extraction, emit)


async def _end(problem: Problem, extraction: Extraction, emit: Emit) -> None:
    await emit(event("error", problem.document(extraction.id)))


async def _streamed(house: House, extraction: Extraction, emit: Emit) -> None:
    async with house.engines.using(
        extraction.question, loader(house, extraction), house.limits.commons(extraction.key)
    ) as running:
        records = records_of(running, extraction.ask.rows)
        spent = await together(_row(running, record, emit) for record in records)
    await emit(event("usage", usage_of(sum(spent, start=NOTHING))))
    await emit(event("done", {}))


async def _row(running: Running, record: Record, emit: Emit) -> Usage:
    """Emit one row's events; what it has cost."""
    usage = NOTHING
    async with aclosing(_parts(running, record)) as parts:
        async for part in parts:
            name, data = _told(part)
            await emit(event(name, {"row": record.index, **data}))
            if isinstance(part, ObjectDone):
                usage = part.outcome.usage
    return usage


def _told(part: Part) -> tuple[str, dict[str, Any]]:
    match part:
        case FieldDone():
            return "field", {"path": part.path, "value": part.value}
        case Restarted():
            return "restart", {"reason": part.reason, "message": part.message}
        case ObjectDone():
            return "object", described(part.outcome)


async def _parts(running: Running, record: Record) -> AsyncGenerator[Part]:
    """All fields at the end of the row."""
    [outcome] = await settled(running, [record])
    for name, value in (described(outcome)["value"] or {}).items():
        yield FieldDone(name, value)
    yield ObjectDone(outcome)
