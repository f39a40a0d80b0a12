"""`POST /v1/extract`: a few rows, answered now. The same engine as everywhere, without files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from llmx.ahead import Done
from llmx.engine import Engine
from llmx.errors import LlmxError, ProviderDown, RowError, Stopped
from llmx.planning import selection
from llmx.records.shape import CONFIDENCE, EVIDENCE
from llmx.schemas import Schema
from llmx.serve.asking import ExtractRequest
from llmx.serve.engines import Question, Running
from llmx.serve.house import House
from llmx.serve.keys import Key
from llmx.serve.problems import Problem, problem_of
from llmx.serve.together import together
from llmx.settling import Prepared
from llmx.types import NOTHING, Outcome, Record, Usage

__all__ = [
    "Extraction",
    "answered",
    "checked_extraction",
    "described",
    "dollars_of",
    "late",
    "loader",
    "opened",
    "records_of",
    "settled",
    "usage_of",
]


class Extraction(Struct, frozen=True):
    """A request that has passed every check that needs no provider.

    Args:
        id: the request's.
        key: whose it is.
        model: that is asked.
    """

    id: str
    key: Key
    ask: ExtractRequest
    model: str

    @property
    def question(self) -> Question:
        """Which engine answers it."""
        return Question(self.key.name, self.ask.schema_, {**self.ask.options(), "model": [self.model]})


def checked_extraction(house: House, id: str, key: Key, ask: ExtractRequest) -> Extraction:
    """Raises Problem for too many rows, or a model that is not on offer."""
    most = house.settings.extract_rows
    if len(ask.rows) > most:
        raise Problem(
            413,
            "too_many_rows",
            f"{len(ask.rows)} rows: at most {most} are extracted at once",
            hint="POST /v1/jobs",
        )
    return Extraction(id, key, ask, house.offers.model(ask.model, key))


async def answered(house: House, extraction: Extraction) -> dict[str, Any]:
    """The whole answer.

    Raises:
        Problem: there is none: a deadline, a provider, a schema that it refuses.
    """
    try:
        async with asyncio.timeout(house.settings.extract_timeout):
            outcomes = await _outcomes(house, extraction)
    except TimeoutError:
        raise late(house) from None
    except LlmxError as error:
        raise problem_of(error) from error
    return {
        "id": extraction.id,
        "model": extraction.model,
        "results": [described(outcome) for outcome in outcomes],
        "usage": usage_of(sum((outcome.usage for outcome in outcomes), start=NOTHING)),
    }


async def opened(house: House, extraction: Extraction) -> None:
    """Make the engine of an extraction, and check the rows, before a stream begins: what is wrong then has a status.

    Raises:
        Problem: as `answered`.
    """
    try:
        async with house.engines.using(
            extraction.question, loader(house, extraction), house.limits.commons(extraction.key)
        ) as running:
            records_of(running, extraction.ask.rows)
    except LlmxError as error:
        raise problem_of(error) from error


def late(house: House) -> Problem:
    """The answer to an extraction that takes too long."""
    seconds = house.settings.extract_timeout
    return Problem(504, "deadline", f"not done within {seconds:g} s", hint="fewer rows, or POST /v1/jobs")


async def _outcomes(house: House, extraction: Extraction) -> list[Outcome]:
    async with house.engines.using(
        extraction.question, loader(house, extraction), house.limits.commons(extraction.key)
    ) as running:
        return await settled(running, records_of(running, extraction.ask.rows))


def loader(house: House, extraction: Extraction) -> Any:
    """What makes the schema of a request, where no engine has it."""

    def load() -> Schema:
        return house.offers.schema(extraction.ask.schema_)

    return load


def records_of(running: Running, rows: Sequence[Mapping[str, Any]]) -> list[Record]:
    """The rows, numbered. Raises UsageError: a column that is to be shown is in none of them."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    selection(running.settings).check(columns)
    return [Record(number, row, origin="rows") for number, row in enumerate(rows)]


async def settled(running: Running, records: Sequence[Record]) -> list[Outcome]:
    """How the rows ended, in their order.

    Raises:
        LlmxError: none could any more.
    """
    parts = running.parts
    ready = await parts.ready(list(records))
    at_once = [outcome for one in ready if isinstance(one, Done) for outcome in one.results]
    parts.taken(at_once)
    try:
        asked = await together(_ended(parts, one) for one in ready if not isinstance(one, Done))
    except Stopped:
        raise running.stop.reason or ProviderDown("the engine has ended") from None
    return sorted([*at_once, *asked], key=lambda outcome: outcome.record.index)


async def _ended(parts: Engine, prepared: Prepared) -> Outcome:
    return await parts.settle(prepared)


def described(outcome: Outcome) -> dict[str, Any]:
    """One result, as JSON."""
    value: dict[str, Any] | None = None
    beside: dict[str, Any] = {}
    if outcome.error is None:
        value = dict(outcome.rows[0])
        for name, column in (("confidence", CONFIDENCE), ("evidence", EVIDENCE)):
            if column in value:
                beside[name] = value.pop(column)
    return {
        "value": value,
        "error": None if outcome.error is None else _error(outcome, outcome.error),
        **beside,
        "source": outcome.source,
        "model": outcome.model,
        "attempts": outcome.attempts,
        "seconds": round(outcome.seconds, 6),
        "usage": usage_of(outcome.usage),
    }


def _error(outcome: Outcome, error: LlmxError) -> dict[str, Any]:
    raw = error.raw if isinstance(error, RowError) else None
    return {"type": error.type, "message": str(error), "raw": outcome.raw if raw is None else raw}


def usage_of(usage: Usage) -> dict[str, Any]:
    """Tokens and dollars, the latter as text that loses no digit."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "cost": None if usage.cost is None else dollars_of(usage.cost),
    }


def dollars_of(cost: Decimal) -> str:
    """Without an exponent or idle zeros."""
    return f"{cost.normalize():f}" if cost else "0"
