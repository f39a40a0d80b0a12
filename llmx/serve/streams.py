"""`POST /v1/extract` as a stream: each field as soon as it is there, then the whole, then what it has cost.

Fields come as `llmx.streaming` finds them in what the model writes; who has gone is not heard for any longer.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from llmx.errors import LlmxError
from llmx.serve.engines import Running
from llmx.serve.extracting import Extraction, described, late, loader, records_of, usage_of
from llmx.serve.house import House
from llmx.serve.problems import Problem, problem_of
from llmx.serve.streamed import Emit, event
from llmx.serve.together import together
from llmx.streaming import FieldDone, ObjectDone, Part, Restarted, heard
from llmx.types import NOTHING, Record, Usage

__all__ = ["stream_extraction"]


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
    async with aclosing(heard(running.parts, running.fields, running.stop, record)) as parts:
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
