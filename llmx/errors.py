"""Every error llmx raises on purpose.

    LlmxError
    ├── UsageError            exit 2   bad input, option, schema, config: nothing was spent
    ├── RowError              exit 3   this row failed, the others go on
    │   ├── UnreadableRow              the line is not a row
    │   ├── RowRefused                 the provider refuses this very row (400, 413, 422)
    │   ├── RowTooLong                 more tokens than the model's context has
    │   ├── InvalidAnswer              still invalid after the re-asks
    │   ├── TruncatedAnswer            cut by the token limit
    │   ├── Refusal                    the model declined
    │   ├── NotStored                  --offline, and no answer is at hand
    │   └── RetriesExhausted           transient errors outlasted the retries
    ├── TransientError        retryable
    │   ├── RateLimited                429: `retry_after` seconds when the server named a time
    │   ├── ServerError                5xx, 529, 408, 409
    │   ├── ConnectionFailed           no connection, reset, half an answer
    │   └── CallTimeout                no answer in time; may have been billed
    ├── FatalError                     ends the run
    │   ├── AuthenticationFailed  exit 4   401, 403
    │   ├── UnknownModel          exit 2   404
    │   ├── QuotaSpent            exit 7   no credit left, or a wait longer than allowed
    │   ├── BudgetReached         exit 5   the user's own limit of money or tokens
    │   ├── ProviderDown          exit 7   nothing ever came back from it, or nothing for too long
    │   ├── RequestRejected       exit 2   the provider refuses what every row sends: the schema, a parameter
    │   └── AllInvalid            exit 7   the first 20 rows were all invalid
    ├── Interrupted           exit 129, 130, 143  a signal: HUP, INT, TERM
    ├── PipeClosed            exit 141       the reader of stdout went away
    ├── Stopped                        internal: the run is stopping, this row was not settled
    ├── NotAdmitted                    internal: this endpoint takes no requests now, another one does
    ├── QueueAway             exit 7   the Redis of jobs and shards is not there, or takes nothing
    ├── BelowThreshold        exit 6   an evaluation is below a minimum, or worse than its baseline
    ├── WorkerLost            exit 1   one of the run's processes was killed
    ├── InputFailed           exit 1   the disk's fault, or that of who wrote it; the rows before are done
    └── OutputFailed          exit 1   the disk's fault, or ours

A transient error never leaves the `retried` layer: it ends as an answer, as RetriesExhausted (this row)
or as a FatalError (the run).
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AllInvalid",
    "AuthenticationFailed",
    "BelowThreshold",
    "BudgetReached",
    "CallTimeout",
    "ConnectionFailed",
    "FatalError",
    "InputFailed",
    "Interrupted",
    "InvalidAnswer",
    "LlmxError",
    "NotAdmitted",
    "NotStored",
    "OutputFailed",
    "PipeClosed",
    "ProviderDown",
    "QueueAway",
    "QuotaSpent",
    "RateLimited",
    "Refusal",
    "RequestRejected",
    "RetriesExhausted",
    "RowError",
    "RowRefused",
    "RowTooLong",
    "ServerError",
    "Stopped",
    "TransientError",
    "TruncatedAnswer",
    "UnknownModel",
    "UnreadableRow",
    "UsageError",
    "WorkerLost",
]


class LlmxError(Exception):
    """Base of all. The message is lower case, one line: what, and where (`file:line`).

    Args:
        message: what went wrong, the offending value in `!r`.
        hint: a command or change that mends it, without the word "hint:"; empty when there is none.
    """

    exit_code: int = 1
    retryable: ClassVar[bool] = False
    maybe_billed: bool = False
    """The request had been sent, so the provider may charge for an answer that nobody got."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def type(self) -> str:
        """The class's name in snake_case: the `type` of an error row and of the summary's groups."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class UsageError(LlmxError):
    """The command, its input, its schema or its config is wrong; nothing was spent."""

    exit_code = 2


class RowError(LlmxError):
    """One row failed; the others go on.

    Args:
        raw: the text that was at fault: the line, or the model's answer.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "", raw: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.raw = raw


class UnreadableRow(RowError):
    """A line that is not a row: malformed JSON, a ragged CSV row, invalid UTF-8."""


class RowRefused(RowError):
    """The provider refuses this request whatever is done: too long, malformed for it, filtered."""


class RowTooLong(RowError):
    """The request cannot fit the model's context; nobody was asked."""


class InvalidAnswer(RowError):
    """The answer does not fit the schema, re-asks included."""


class TruncatedAnswer(RowError):
    """The answer was cut by the output token limit."""


class Refusal(RowError):
    """The model declined to answer."""


class NotStored(RowError):
    """Nobody may be asked, and neither cache nor journal has an answer."""


class RetriesExhausted(RowError):
    """Transient errors outlasted the configured retries."""


class TransientError(LlmxError):
    """Worth another attempt.

    Args:
        retry_after: seconds the server asked to wait, None when it named none.
        maybe_billed: as above.
    """

    retryable = True

    def __init__(
        self, message: str, *, hint: str = "", retry_after: float | None = None, maybe_billed: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.maybe_billed = maybe_billed


class RateLimited(TransientError):
    """429: too many requests or tokens; it is pacing, not failure."""


class ServerError(TransientError):
    """5xx, 529 overloaded, 408, 409."""


class ConnectionFailed(TransientError):
    """The connection could not be made or broke before the whole answer was there."""


class CallTimeout(TransientError):
    """No answer within the timeout. The provider may have billed it."""

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after, maybe_billed=True)


class FatalError(LlmxError):
    """No row can succeed any more: the run ends."""

    exit_code = 7


class AuthenticationFailed(FatalError):
    """The key is missing, wrong, or not allowed to do this."""

    exit_code = 4


class UnknownModel(FatalError):
    """The provider has no such model, or the URL no such path."""

    exit_code = 2


class QuotaSpent(FatalError):
    """No credit is left, or the provider asks for a longer wait than allowed."""


class BudgetReached(FatalError):
    """The next call might exceed what the user has allowed to be spent."""

    exit_code = 5


class ProviderDown(FatalError):
    """Not one call was answered, or none for longer than patience: the address is wrong or the server is down."""


class RequestRejected(FatalError):
    """The provider refuses a part that every row shares: the schema, a tool, a parameter."""

    exit_code = 2


class AllInvalid(FatalError):
    """The first rows to be settled were all invalid: it is the schema or the prompt."""


SIGNAL_WORDS = {1: "hung up", 2: "interrupted", 15: "terminated"}
"""What POSIX's HUP, INT and TERM do to a run."""


class Interrupted(LlmxError):
    """A signal asked the run to stop.

    Args:
        signal: its number; the exit code is 128 plus it, by the shells' convention.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(SIGNAL_WORDS.get(signal, "terminated"))
        self.exit_code = 128 + signal

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:
        """For pickle, which makes exceptions of their messages."""
        return Interrupted, (self.exit_code - 128,)


class PipeClosed(LlmxError):
    """Whoever read our standard output went away, as `head` does; no fault of anybody."""

    exit_code = 141


class Stopped(LlmxError):
    """The run is stopping and this row was not settled; never shown, it only unwinds a worker."""


class NotAdmitted(LlmxError):
    """An endpoint takes no requests now and another one does; never shown, it only moves a row on."""


class QueueAway(LlmxError):
    """The server that keeps jobs and shards is not there, or takes nothing; nothing of them is lost with that."""

    exit_code = 7


class BelowThreshold(LlmxError):
    """An evaluation does not reach a minimum, or a field is significantly worse than in the baseline."""

    exit_code = 6


class WorkerLost(LlmxError):
    """One of several processes that share a run has ended, by a signal or for want of memory."""


class InputFailed(LlmxError):
    """An input ends where it should not: cut, damaged, or unreadable from there on."""


class OutputFailed(LlmxError):
    """A result, error or state file could not be written."""
