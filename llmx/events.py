"""What a run tells: facts for progress, summary and report, never in the data path.

An observer that raises is our bug; one that is slow slows the run, so observers only count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from llmx.errors import LlmxError
from llmx.types import Outcome, Usage

__all__ = [
    "AttemptFailed",
    "AttemptStarted",
    "AttemptSucceeded",
    "BudgetChanged",
    "CircuitClosed",
    "CircuitOpened",
    "CircuitProbing",
    "ConcurrencySet",
    "EndpointEnded",
    "Event",
    "FellBack",
    "HedgeEnded",
    "HedgeSent",
    "HeldBy",
    "LimitLearned",
    "Observer",
    "PauseReason",
    "Paused",
    "Reasked",
    "RetryScheduled",
    "RetrySent",
    "RetryStarted",
    "RowSettled",
    "RowsSkipped",
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
        endpoints: their names, in the order of the chain.
    """

    total: int | None
    model: str
    concurrency: int
    done: int = 0
    endpoints: Sequence[str] = ()


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
class RetrySent:
    """A request goes out that had failed, or was refused, before."""

    endpoint: str


Limit = Literal["rpm", "tpm", "input tpm", "output tpm"]
HeldBy = Limit | Literal["found"]
"""What requests wait for: a limit, or a rate that refusals have shown."""


@dataclass(frozen=True, slots=True)
class LimitLearned:
    """An endpoint is paced by a limit from here on.

    Args:
        source: the user told it, the server's headers do, or it was found from refusals.
    """

    endpoint: str
    limit: Limit
    per_minute: float
    source: Literal["told", "headers", "refusals"]


@dataclass(frozen=True, slots=True)
class Throttled:
    """Requests wait for a limit; it is None when they do so no more.

    Args:
        per_minute: what it allows.
    """

    endpoint: str
    limit: HeldBy | None
    per_minute: float = 0.0


@dataclass(frozen=True, slots=True)
class ConcurrencySet:
    """So many calls may be in flight from here on."""

    endpoint: str
    limit: int


PauseReason = Literal["refused", "unnamed", "drained", "failed"]


@dataclass(frozen=True, slots=True)
class Paused:
    """The whole endpoint waits for `seconds`, as its server asked.

    Args:
        reason: "refused", by a 429; "unnamed", by one that names no time, so that the time is ours; "drained", by a header that says that nothing is left; "failed", by another error
            that names a time.
    """

    endpoint: str
    seconds: float
    reason: PauseReason = "refused"


@dataclass(frozen=True, slots=True)
class CircuitOpened:
    """Attempts at an endpoint kept failing: nothing is sent there for `seconds`.

    Args:
        problem: the last failure.
        down: seconds for which it has been open already, 0 when it was closed before.
    """

    endpoint: str
    seconds: float
    problem: str
    down: float = 0.0


@dataclass(frozen=True, slots=True)
class CircuitProbing:
    """One request is sent to see whether the endpoint is back."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class CircuitClosed:
    """The endpoint is back."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class FellBack:
    """A row is asked of another endpoint than the one before it in the chain."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class EndpointEnded:
    """Nothing more is sent to an endpoint, others go on."""

    endpoint: str
    error: LlmxError


@dataclass(frozen=True, slots=True)
class BudgetChanged:
    """What is left of a budget.

    Args:
        name: the option that sets it.
        cost, tokens: left, in US dollars and tokens, calls in flight not counted yet; None without a limit.
        held: calls wait for others to be settled, because all of them together might be too much.
    """

    name: str
    cost: Decimal | None
    tokens: int | None
    held: bool = False


@dataclass(frozen=True, slots=True)
class HedgeSent:
    """A slow call was sent once more."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class HedgeEnded:
    """A call that was sent twice has come to its end.

    Args:
        won: the second one was the first to be answered.
        saved: seconds that the first one took longer, as far as that was seen.
    """

    endpoint: str
    won: bool
    saved: float


@dataclass(frozen=True, slots=True)
class Reasked:
    """An answer did not fit; the model is shown its error."""

    problem: str


@dataclass(frozen=True, slots=True)
class RowSettled:
    """A row ended, in the results or in the errors."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RowsSkipped:
    """The first rows ended well in an earlier session, and the output has them: they are settled."""

    count: int


Event = (
    RunStarted
    | RunEnded
    | AttemptStarted
    | AttemptSucceeded
    | AttemptFailed
    | RetryScheduled
    | RetryStarted
    | RetrySent
    | LimitLearned
    | Throttled
    | ConcurrencySet
    | Paused
    | CircuitOpened
    | CircuitProbing
    | CircuitClosed
    | FellBack
    | EndpointEnded
    | BudgetChanged
    | HedgeSent
    | HedgeEnded
    | Reasked
    | RowSettled
    | RowsSkipped
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
