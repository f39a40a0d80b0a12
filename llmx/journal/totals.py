"""What a whole journal comes to: kept beside its index, so that nobody has to read all of it to know."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from llmx.journal.prefix import Checkpoint, checkpoint_entry, checkpoint_of

__all__ = ["Totals", "totals_entry", "totals_of"]


class Totals(Struct):
    """What the whole journal holds.

    Args:
        generation: how many runs came to their end before what follows now.
        session: how often a run was begun or resumed.
        since: the session that was the last to begin with the first row.
        skipped: rows that the last one did not look at, as the output had them.
        written: how far the output has come, None where nobody knows, or where it is complete.
        config: the digest of what the last session asked.
        answers: paid ones; `cost` in US dollars, None when that of any is unknown.
        questions: those of them that were no answers to a re-ask.
        damaged: lines that cannot be trusted.
        complete: the last session came to its end.
    """

    generation: int = 0
    session: int = 0
    since: int = 0
    skipped: int = 0
    written: Checkpoint | None = None
    config: str = ""
    answers: int = 0
    questions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = Decimal(0)
    damaged: int = 0
    complete: bool = False


def totals_entry(totals: Totals) -> dict[str, Any]:
    """Totals as JSON, but for the cost, which is any number."""
    written = totals.written
    return {**asdict(totals), "written": None if written is None else checkpoint_entry(written)}


def totals_of(said: Mapping[str, Any]) -> Totals:
    """Totals as they were before they were JSON. Raises KeyError, TypeError or ValueError: they are none of ours."""
    cost, written = said["cost"], said["written"]
    parts = {
        "cost": None if cost is None else Decimal(cost),
        "written": None if written is None else checkpoint_of(written),
    }
    return Totals(**{**said, **parts})
