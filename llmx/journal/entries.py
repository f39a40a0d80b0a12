"""What the journal's lines say: requests' answers and rows' ends as entries, and back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from llmx.providers.forms import caps_in
from llmx.records import to_json
from llmx.types import NOTHING, Completion, Outcome, Record, Request, Source, Unreadable, Usage

__all__ = [
    "RowEnd",
    "answer_entry",
    "caps_of",
    "completion_of",
    "count",
    "dollars",
    "identity",
    "now",
    "row_entries",
    "row_entry",
]


RowEnd = tuple[Outcome, str, int]
"""How a row ended, its identity, and how many rows of that have come by now."""

_COUNTS = ("input", "output", "cached", "cache_write", "reasoning")


def identity(row: Record | Unreadable) -> str:
    """A row's identity: a digest of its key, else of its content. Rows of the same content share it."""
    if isinstance(row, Unreadable):
        return _digest(b"raw\0" + row.raw.encode("utf-8", "surrogatepass"))
    if row.key is not None:
        return _digest(b"key\0" + row.key.encode("utf-8", "surrogatepass"))
    try:
        return _digest(b"row\0" + to_json(row.data, sort_keys=True))
    except (TypeError, ValueError, RecursionError):  # what no JSON can hold fails before it is asked about
        return _digest(b"row\0" + repr(row.data).encode("utf-8", "surrogatepass"))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def caps_of(request: Request) -> dict[str, Any]:
    """The output limits of a request: an answer that one has cut is none to a request with another."""
    return dict(sorted(caps_in(request.body).items()))


def answer_entry(request: Request, completion: Completion) -> dict[str, Any]:
    """An answer as a line; with the output limit where that has cut it."""
    return {
        "t": "answer",
        "fp": request.fingerprint,
        "endpoint": request.endpoint,
        "model": completion.model,
        "reask": request.reask,
        "sample": request.sample,
        "finish": completion.finish,
        "usage": _usage_entry(completion.usage),
        "text": completion.text,
        **({"caps": caps_of(request)} if completion.finish == "length" else {}),
        "time": now(),
        "body": completion.body,
    }


def _usage_entry(usage: Usage) -> dict[str, Any]:
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cached": usage.cached_tokens,
        "cache_write": usage.cache_write_tokens,
        "reasoning": usage.reasoning_tokens,
        "cost": None if usage.cost is None else str(usage.cost),
    }


def completion_of(entry: Mapping[str, Any], *, source: Source) -> Completion | None:
    """The answer that a line holds, with the usage that it had: nobody pays that a second time."""
    text, model, finish, body = (entry.get(name) for name in ("text", "model", "finish", "body"))
    if not (isinstance(text, str) and isinstance(model, str) and isinstance(body, dict)):
        return None
    if finish not in ("stop", "length", "refusal", "other"):
        return None
    return Completion(text=text, usage=_usage_of(entry), model=model, finish=finish, body=body, source=source)


def _usage_of(entry: Mapping[str, Any]) -> Usage:
    """What an answer had taken when it came; its cost is unknown where a line does not say so as ours do."""
    try:
        said = entry["usage"]
        read, written, cached, stored, reasoning = (count(said[name]) for name in _COUNTS)
        return Usage(read, written, cached, stored, reasoning, dollars(said["cost"]))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return Usage(cost=None)


def count(value: Any) -> int:
    """A count. Raises ValueError: it is none, or so large that it is no count of ours."""
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"no count: {value!r}")
    return value


def dollars(value: Any) -> Decimal | None:
    """US dollars. Raises ValueError or ArithmeticError: it is no number."""
    cost = None if value is None else Decimal(value)
    if cost is not None and not (cost.is_finite() and abs(cost) < 10**12):
        raise ValueError(f"no cost: {value!r}")
    return cost


def row_entries(ends: Sequence[RowEnd]) -> Iterator[dict[str, Any]]:
    """How rows ended, as lines: one for each, but one for all that follow each other and were answered by the cache.

    Of those there is little to say, and nothing that was paid for.
    """
    for common, some in groupby(ends, key=_in_common):
        if common is None:
            yield from (row_entry(*end) for end in some)
        else:
            yield _rows_entry(list(some))


def _in_common(end: RowEnd) -> tuple[Any, ...] | None:
    """What rows that the cache answered may have in common; None of others."""
    outcome = end[0]
    row, free = outcome.record, outcome.usage is NOTHING and not outcome.attempts
    if outcome.source == "cache" and outcome.error is None and free and isinstance(row, Record):
        return row.origin, outcome.model, outcome.endpoint, row.key is None
    return None


def _rows_entry(ends: Sequence[RowEnd]) -> dict[str, Any]:
    first = ends[0][0]
    rows = [end[0].record for end in ends]
    return {
        "t": "rows",
        "id": [end[1] for end in ends],
        **({"key": keys} if None not in (keys := [getattr(row, "key", None) for row in rows]) else {}),
        "n": [end[2] for end in ends],
        "index": [row.index for row in rows],
        "line": [row.line for row in rows],
        "origin": rows[0].origin,
        "source": first.source,
        "model": first.model,
        "endpoint": first.endpoint,
    }


def row_entry(outcome: Outcome, name: str, count: int) -> dict[str, Any]:
    """How a row ended; `count` is how many rows of its identity have come by now."""
    row, error = outcome.record, outcome.error
    return {
        "t": "row",
        "id": name,
        **({"key": row.key} if isinstance(row, Record) and row.key is not None else {}),
        "n": count,
        "index": row.index,
        "line": row.line,
        "origin": row.origin,
        "ok": outcome.ok,
        **({"error": {"type": error.type, "message": str(error)}} if error else {}),
        "source": outcome.source,
        **({"like": _likenesses(outcome)} if outcome.likenesses else {}),
        "model": outcome.model,
        "endpoint": outcome.endpoint,
        "attempts": outcome.attempts,
        "usage": _usage_entry(outcome.usage),
        "seconds": round(outcome.seconds, 3),
    }


def _likenesses(outcome: Outcome) -> list[dict[str, Any]]:
    """Of which other rows' answers a row's own is, and how alike they are."""
    return [{"fp": like.fingerprint, "similarity": like.similarity} for like in outcome.likenesses]


def now() -> float:
    """Seconds since 1970: for people, never compared with anything."""
    return round(time.time(), 3)
