"""What a run tells: facts for progress, summary and report, never in the data path.

An observer that raises is our bug; one that is slow slows the run, so observers only count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from llmx.errors import LlmxError
from llmx.types import Outcome, Usage

__all__ = [
    "AttemptFailed",
    "AttemptStarted",
    "AttemptSucceeded",
    "Event",
    "Observer",
    "Paused",
    "Reasked",
    "RetryScheduled",
    "RetryStarted",
    "RowSettled",
    "RunEnded",
    "RunStarted",
    "Throttled",
    "fan_out",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Rows are about to flow.

    Args:
        total: None when it is not known without reading everything.
        done: how many of them an earlier session has answered.
    """

    total: int | None
    model: str
    concurrency: int
    done: int = 0


@dataclass(frozen=True, slots=True)
class RunEnded:
    """No more rows will settle; `complete` says whether all have."""

    complete: bool


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A call leaves for the provider."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """A call came back with an answer, valid or not."""

    endpoint: str
    usage: Usage
    seconds: float


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A call came back with an error, or not at all."""

    endpoint: str
    error: LlmxError
    seconds: float


@dataclass(frozen=True, slots=True)
class RetryScheduled:
    """The same request will be sent again after `delay` seconds."""

    error: LlmxError
    delay: float


@dataclass(frozen=True, slots=True)
class RetryStarted:
    """The delay of a scheduled retry is over, or the run's stop has ended it."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Requests wait for a limit of the user's; `limit` is None when they do so no more."""

    endpoint: str
    limit: Literal["rpm", "tpm"] | None


@dataclass(frozen=True, slots=True)
class Paused:
    """The whole endpoint waits for `seconds`, as its server asked."""

    endpoint: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Reasked:
    """An answer did not fit; the model is shown its error."""

    problem: str


@dataclass(frozen=True, slots=True)
class RowSettled:
    """A row ended, in the results or in the errors."""

    outcome: Outcome


Event = (
    RunStarted
    | RunEnded
    | AttemptStarted
    | AttemptSucceeded
    | AttemptFailed
    | RetryScheduled
    | RetryStarted
    | Throttled
    | Paused
    | Reasked
    | RowSettled
)


class Observer(Protocol):
    """Called with every event, in order, on the event loop's thread."""

    def __call__(self, event: Event) -> None:
        """Take note; must not block."""
        ...


def fan_out(*observers: Observer) -> Observer:
    """One observer that tells all of `observers`, in order."""

    def tell_all(event: Event) -> None:
        for observer in observers:
            observer(event)

    return tell_all
