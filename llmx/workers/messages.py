"""What owner and workers say to each other, beside events, which are sent as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from llmx.errors import BudgetReached, LlmxError
from llmx.journal import AnswerLine, Found
from llmx.layers.budget import Amount
from llmx.types import Likeness, Outcome, Quality, Record, Source, Unreadable, Usage

__all__ = [
    "AllGiven",
    "Begin",
    "Ended",
    "Granted",
    "Hold",
    "Kept",
    "LookUp",
    "LookedUp",
    "Recall",
    "Returned",
    "Rows",
    "Said",
    "Settled",
    "Stopping",
    "Used",
    "Want",
]


# The owner's


class Begin(Struct, frozen=True):
    """The run begins."""


class Rows(Struct, frozen=True):
    """To be settled, in any order."""

    rows: list[Record]


class AllGiven(Struct, frozen=True):
    """There are no further rows."""


class LookedUp(Struct, frozen=True):
    """What the journal has of what was asked in the question of that number.

    Args:
        found: by fingerprint; of each whether this is the first use of it.
    """

    number: int
    found: Mapping[str, tuple[Found, bool]]


class Granted(Struct, frozen=True):
    """So much may be set aside; or the reason why no more may, ever."""

    amount: Amount | None
    refusal: BudgetReached | None = None


class Recall(Struct, frozen=True):
    """Others have need of what was granted: give back what is not set aside for a call."""


class Hold(Struct, frozen=True):
    """An endpoint's server has asked another process to send nothing for so many seconds."""

    endpoint: str
    seconds: float


# A worker's


class Settled(Struct, frozen=True):
    """How a row ended: an `Outcome` whose record the other side has, and without its value."""

    index: int
    rows: Sequence[Mapping[str, Any]]
    error: LlmxError | None
    usage: Usage
    replayed: Sequence[Decimal | None]
    source: Source
    model: str
    endpoint: str
    raw: str | None
    attempts: int
    seconds: float
    quality: Quality | None
    likenesses: Sequence[Likeness]

    @classmethod
    def of(cls, o: Outcome) -> Settled:
        """Of an outcome."""
        ended = (o.rows, o.error, o.usage, o.replayed, o.source)
        return cls(
            o.record.index,
            *ended,
            o.model,
            o.endpoint,
            o.raw,
            o.attempts,
            o.seconds,
            o.quality,
            o.likenesses,
        )

    def outcome(self, record: Record | Unreadable) -> Outcome:
        """The outcome."""
        ended = (self.rows, self.error, self.usage, self.replayed, self.source)
        about = (self.model, self.endpoint, self.raw, self.attempts, self.seconds)
        return Outcome(record, None, *ended, *about, self.quality, self.likenesses)


class Kept(Struct, frozen=True):
    """A paid answer, to be put into the journal."""

    answer: AnswerLine


class LookUp(Struct, frozen=True):
    """What is known of these requests, and of the rows of these indices, will be asked for soon."""

    number: int
    fingerprints: list[str]
    rows: list[int]


class Want(Struct, frozen=True):
    """More is needed of the caps: for one call so much."""

    amount: Amount


class Returned(Struct, frozen=True):
    """So much of what was granted is not needed."""

    amount: Amount


class Used(Struct, frozen=True):
    """So much of what was granted was used; see `Allowance.settle`."""

    amount: Amount
    counted: bool


class Said(Struct, frozen=True):
    """A line for a person."""

    text: str


class Ended(Struct, frozen=True):
    """Nothing more will come.

    Args:
        bug: the traceback of what should never have happened, "" where it has not.
    """

    bug: str = ""


# Of both


class Stopping(Struct, frozen=True):
    """The run stops for this reason."""

    reason: LlmxError
