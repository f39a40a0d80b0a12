"""The attempts at one request after its first failure: when the next one is made, and when none is any more.

tenacity keeps their time; what it is told is here. Part of `retry`, which imports this when a call has failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from llmx.clock import Clock
from llmx.errors import (
    CallTimeout,
    ConnectionFailed,
    LlmxError,
    ProviderDown,
    QuotaSpent,
    RateLimited,
    RetriesExhausted,
    TransientError,
)
from llmx.events import Observer, RetryScheduled
from llmx.layers.health import Health
from llmx.text import plural
from llmx.types import Completion, Question, Tally

if TYPE_CHECKING:
    from llmx.layers.retry import RetryPolicy

__all__ = ["Series"]

OUTAGE = 60.0
"""Seconds: no row fails because its provider was down for as long as this."""


class Series:
    """The attempts at one request from its first failure on."""

    def __init__(
        self,
        policy: RetryPolicy,
        health: Health,
        clock: Clock,
        observer: Observer,
        tally: Tally,
        question: Question,
        *,
        first: TransientError,
    ) -> None:
        self._policy = policy
        self._health = health
        self._clock = clock
        self._observer = observer
        self._tally = tally
        self._question = question
        self._started = clock.now()
        self._pending: TransientError | None = first
        self._timeouts = 0

    async def run(
        self, send: Callable[[], Awaitable[Completion]], sleep: Callable[[float], Awaitable[None]]
    ) -> Completion:
        async def attempt() -> Completion:
            try:
                if (first := self._pending) is not None:  # counts as tenacity's first attempt
                    self._pending = None
                    raise first
                return await send()
            except (
                TransientError
            ) as error:  # here, for tenacity asks how long to wait before it asks whether to
                self._tally.failures += not isinstance(error, RateLimited)
                self._timeouts += isinstance(error, CallTimeout)
                raise

        retrying = AsyncRetrying(
            sleep=sleep,
            retry=retry_if_exception_type(TransientError),
            stop=self._is_over,
            wait=_Wait(self._policy, self._until_last),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except TransientError as error:
            raise self._verdict(error) from error

    def _is_over(self, state: RetryCallState) -> bool:
        error = _failure(state)
        _check_wait(error, self._policy.max_wait)
        if isinstance(error, RateLimited):
            return self._is_out_of_patience()
        return self._left() <= 0 or self._timeouts > 1

    def _left(self) -> int:
        """Attempts that may yet be made here: other endpoints that have not been tried keep one each."""
        return self._policy.retries + 1 - self._tally.failures - len(self._tally.others)

    def _until_last(self, error: TransientError) -> float:
        """Seconds that the last attempt is put off, where nobody has been answered since the first failure.

        An outage of a minute is shorter than it: it may have ended by then. After a timeout every attempt is the last.
        """
        is_last = self._left() <= 1 or self._timeouts > 0
        if isinstance(error, RateLimited) or self._tally.others or not is_last:
            return 0.0
        if not self._health.reached or self._health.last_answer > self._started:
            return 0.0
        return OUTAGE - (self._clock.now() - self._started)

    def _is_out_of_patience(self) -> bool:
        """Whether this request alone has been refused for too long, while others were answered.

        Raises:
            QuotaSpent: nobody was answered for as long.
        """
        now, patience = self._clock.now(), self._policy.patience
        if self._health.is_alone(self._tally):
            return now - self._started > patience
        since = self._health.refused_since  # the endpoint's, not this request's: turns go round
        quiet = now - (max(self._started, self._health.last_answer) if since is None else since)
        if quiet <= patience:
            return False
        if self._health.answered and since is not None and not self._health.several:
            return True  # nobody else is left to be answered in between
        raise QuotaSpent(
            f"refused with 429 for {quiet:,.0f} s, more than --patience",
            hint="a longer --patience, a lower --rpm or --tpm, or run the same command again later",
        )

    def _tell(self, state: RetryCallState) -> None:
        self._observer(RetryScheduled(_failure(state), state.upcoming_sleep, self._question))

    def _verdict(self, error: TransientError) -> LlmxError:
        if isinstance(error, ConnectionFailed) and not self._health.answered:
            return ProviderDown(
                str(error), hint=error.hint or "check the address (--base-url) and the network"
            )
        if isinstance(error, RateLimited):
            waited = self._clock.now() - self._started
            return RetriesExhausted(f"{error} (refused for {waited:,.0f} s)", hint="a longer --patience")
        return RetriesExhausted(f"{error} ({plural(self._tally.failures, 'attempt')})", hint=error.hint)


def _failure(state: RetryCallState) -> TransientError:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, TransientError)
    return error


def _check_wait(error: TransientError, max_wait: float) -> None:
    if error.retry_after is not None and error.retry_after > max_wait:
        raise QuotaSpent(
            f"the provider asks to wait {error.retry_after:,.0f} s, more than --max-wait",
            hint=f"--max-wait {error.retry_after:.0f}s, or run the same command again later",
        )


class _Wait(wait_random_exponential):
    """Full jitter, on top of what the server asked for: nobody comes back before, nor all at once.

    Args:
        least: seconds that an attempt after this error is put off at least.
    """

    def __init__(self, policy: RetryPolicy, least: Callable[[TransientError], float]) -> None:
        super().__init__(multiplier=policy.base, max=policy.cap)
        self._least = least

    def __call__(self, retry_state: RetryCallState) -> float:
        error = _failure(retry_state)
        jitter = super().__call__(retry_state)
        if isinstance(error, RateLimited) or error.retry_after is not None:
            # The gate holds everybody for as long as a limit asks; here it is only seen to that not all come at once.
            jitter = (error.retry_after or 0.0) + min(jitter, 1.0)
        return max(jitter, self._least(error))
