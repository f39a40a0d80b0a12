"""What a run tells: facts for progress, summary and report, never in the data path.

An observer that raises is our bug; one that is slow slows the run, so observers only count.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, Protocol

from msgspec import Struct

from llmx.errors import LlmxError
from llmx.types import Finish, Outcome, Question, Served, Usage

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
    "Escalated",
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
    "RowsSettled",
    "RowsSkipped",
    "RunEnded",
    "RunStarted",
    "Sufficed",
    "Throttled",
    "fan_out",
    "one_by_one",
]


class RunStarted(Struct, frozen=True):
    """Rows are about to flow.

    Args:
        total: None when it is not known without reading everything.
        done: how many of them an earlier session has answered.
        endpoints: their names, in the order of the chain.
        cascade: the chain is one, so that each of them is dearer than the one before.
        served: what stands behind each of the endpoints.
        schema: its name.
    """

    total: int | None
    model: str
    concurrency: int
    done: int = 0
    endpoints: Sequence[str] = ()
    cascade: bool = False
    served: Sequence[Served] = ()
    schema: str = ""


class RunEnded(Struct, frozen=True):
    """No more rows will settle; `complete` says whether all have."""

    complete: bool


class AttemptStarted(Struct, frozen=True):
    """A call leaves for the provider."""

    endpoint: str


class AttemptSucceeded(Struct, frozen=True):
    """A call came back with an answer, valid or not.

    Args:
        model: that answered, as it named itself.
        finish: why it stopped.
    """

    endpoint: str
    usage: Usage
    seconds: float
    question: Question | None = None
    model: str = ""
    finish: Finish = "stop"


class AttemptFailed(Struct, frozen=True):
    """A call came back with an error, or not at all."""

    endpoint: str
    error: LlmxError
    seconds: float
    question: Question | None = None


class RetryScheduled(Struct, frozen=True):
    """The same request will be sent again after `delay` seconds."""

    error: LlmxError
    delay: float
    question: Question | None = None


class RetryStarted(Struct, frozen=True):
    """The delay of a scheduled retry is over, or the run's stop has ended it."""


class RetrySent(Struct, frozen=True):
    """A request goes out that had failed, or was refused, before."""

    endpoint: str


Limit = Literal["rpm", "tpm", "input tpm", "output tpm"]
HeldBy = Limit | Literal["found"]
"""What requests wait for: a limit, or a rate that refusals have shown."""


class LimitLearned(Struct, frozen=True):
    """An endpoint is paced by a limit from here on.

    Args:
        source: the user told it, the server's headers do, or it was found from refusals.
    """

    endpoint: str
    limit: Limit
    per_minute: float
    source: Literal["told", "headers", "refusals"]


class Throttled(Struct, frozen=True):
    """Requests wait for a limit; it is None when they do so no more.

    Args:
        per_minute: what it allows.
    """

    endpoint: str
    limit: HeldBy | None
    per_minute: float = 0.0


class ConcurrencySet(Struct, frozen=True):
    """So many calls may be in flight from here on."""

    endpoint: str
    limit: int


PauseReason = Literal["refused", "unnamed", "drained", "failed"]


class Paused(Struct, frozen=True):
    """The whole endpoint waits for `seconds`, as its server asked.

    Args:
        reason: "refused", by a 429; "unnamed", by one that names no time, so that the time is ours; "drained", by a header that says that nothing is left; "failed", by another error
            that names a time.
    """

    endpoint: str
    seconds: float
    reason: PauseReason = "refused"


class CircuitOpened(Struct, frozen=True):
    """Attempts at an endpoint kept failing: nothing is sent there for `seconds`.

    Args:
        problem: the last failure.
        down: seconds for which it has been open already, 0 when it was closed before.
    """

    endpoint: str
    seconds: float
    problem: str
    down: float = 0.0


class CircuitProbing(Struct, frozen=True):
    """One request is sent to see whether the endpoint is back."""

    endpoint: str


class CircuitClosed(Struct, frozen=True):
    """The endpoint is back."""

    endpoint: str


class FellBack(Struct, frozen=True):
    """A row is asked of another endpoint than the one before it in the chain."""

    endpoint: str


class EndpointEnded(Struct, frozen=True):
    """Nothing more is sent to an endpoint, others go on."""

    endpoint: str
    error: LlmxError


class BudgetChanged(Struct, frozen=True):
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


class HedgeSent(Struct, frozen=True):
    """A slow call was sent once more."""

    endpoint: str


class HedgeEnded(Struct, frozen=True):
    """A call that was sent twice has come to its end.

    Args:
        won: the second one was the first to be answered.
        saved: seconds that the first one took longer, as far as that was seen.
    """

    endpoint: str
    won: bool
    saved: float


class Reasked(Struct, frozen=True):
    """An answer did not fit; the model was shown its error.

    Args:
        problem: in words, which may be the answer's.
        kind: the type of the error that the row would have ended with.
        question: the re-ask's.
    """

    problem: str
    kind: str = ""
    question: Question | None = None


class Sufficed(Struct, frozen=True):
    """A cheaper model's answer will do.

    Args:
        cost: US dollars that it has cost now, None when unknown.
        saved: US dollars that the dearest model would have cost beyond that, None when unknown.
    """

    endpoint: str
    cost: Decimal | None
    saved: Decimal | None


class Escalated(Struct, frozen=True):
    """A cheaper model's answer will not do: a dearer one is asked.

    Args:
        endpoint, to: who has answered, and who is asked.
        reason: "votes", "confidence", "evidence", or the type of the error that the row would have ended with.
        cost: US dollars that the first has cost now, None when unknown.
    """

    endpoint: str
    to: str
    reason: str
    cost: Decimal | None


class RowSettled(Struct, frozen=True):
    """A row ended, in the results or in the errors."""

    outcome: Outcome


class RowsSettled(Struct, frozen=True):
    """Rows ended about which nobody was asked: they were in the cache, or there was nothing to ask."""

    outcomes: Sequence[Outcome]


class RowsSkipped(Struct, frozen=True):
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
    | Sufficed
    | Escalated
    | RowSettled
    | RowsSettled
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


def one_by_one(observer: Observer) -> Observer:
    """An observer that tells `observer` of every row by itself."""

    def tell(event: Event) -> None:
        if not isinstance(event, RowsSettled):
            observer(event)
            return
        for outcome in event.outcomes:
            observer(RowSettled(outcome))

    return tell
