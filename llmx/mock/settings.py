"""How the simulated provider behaves, as one frozen value; nothing here acts."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from random import Random
from typing import Literal

from llmx.errors import UsageError
from llmx.mock.gold_settings import GoldSettings
from llmx.mock.schedules import BrownOut, LimitsChange, Outage

__all__ = ["Latency", "MockSettings", "RetryAfter"]

RetryAfter = Literal["seconds", "ms", "date", "none"]
"""How a 429 names its wait: `retry-after: 3`, `retry-after-ms: 2400`, `retry-after: <HTTP date>`, not at all."""

_Z99 = 2.3263478740408408  # the standard normal distribution's 99th percentile


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a whole request to its answer: constant, or lognormal through two percentiles.

    Args:
        p50: the median in seconds, 0 or more.
        p99: the 99th percentile in seconds, `p50` or more; equal to `p50` means constant.
    """

    p50: float = 0.0
    p99: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Latency:
        """From `"0.2"` (constant) or `"0.2:1.5"` (p50:p99).

        Raises:
            UsageError: not numbers, negative, p99 below p50, or a spread around a median of 0.
        """
        try:
            numbers = [float(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        latency = cls(numbers[0], numbers[-1]) if len(numbers) in (1, 2) else None
        if latency is None or not latency._sound:
            raise UsageError(
                f"not a latency: {text!r}",
                hint="seconds, constant or p50:p99, e.g. --latency 0.2 or --latency 0.2:1.5",
            )
        return latency

    @property
    def _sound(self) -> bool:
        spread_from_zero = self.p50 == 0 < self.p99
        return 0 <= self.p50 <= self.p99 < math.inf and not spread_from_zero

    def sample(self, rng: Random) -> float:
        """One latency in seconds."""
        if self.p50 == self.p99:
            return self.p50
        sigma = math.log(self.p99 / self.p50) / _Z99
        return self.p50 * math.exp(sigma * rng.gauss(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class MockSettings:
    """Everything that can be set; the defaults are a provider that answers at once and never fails.

    Args:
        latency: of answers and simulated server errors; other refusals come at once.
        pace: tokens of an answer a second, which come after the latency; None for answers that are there when it is over,
            whose streams begin in a fifth of it.
        rpm, tpm: requests and tokens (prompt plus answer) admitted per minute; None is no limit.
        itpm, otpm: prompt tokens (cached ones included) and answer tokens admitted per minute, in
            addition to `tpm`.
        limit_window: seconds of the sliding windows in which limits are enforced, above 0: each admits
            its share of the minute's limit, see `llmx.mock.limits.RateLimits`.
        limits_at: limits that change.
        limit_headers: whether responses carry the rate-limit headers of their family.
        retry_after: the form in which a 429 names its wait.
        outages: times in which every call gets a 503 at once.
        outage_retry_after: whether these name the seconds until the outage is over.
        brown_outs: times in which some calls get a 503 and the others take twice as long. Where two
            overlap, the larger share holds.
        slow_start: seconds after the first call in which latencies fall, linearly, from 10 times what
            they are to what they are; 0 or more.
        error_rate: share of calls answered with one of `error_statuses`.
        malformed_rate: share answered with 200 and an answer that breaks the schema or is no JSON.
        hang_rate: share never answered.
        drop_rate: share whose connection closes in the middle of the response.
        stall_rate: share that stops in the middle of the answer, if it is streamed; else it is never answered.
        late_error_rate: share that ends with an error in the middle of the answer, if it is streamed; else with a 500.
        uncounted_rate: share answered without a word about what it used.
        refusal_rate: share declined the way the provider's models decline.
        error_statuses: drawn from evenly.
        keys: API keys that are accepted; empty accepts any, even none. Each key has limits and credit
            of its own.
        models: models that exist; empty accepts any name.
        quota_after: calls answered with 200 before the account's credit is spent; None is endless credit.
        fail_first: calls at the start that get a 500.
        malformed_until: attempts of each conversation that are malformed, so that the re-ask after
            them succeeds.
        cached_share: share of prompt tokens reported as read from the provider's prompt cache.
        reasoning_tokens: reported per answer, included in its output tokens.
        seed: with the number of the call, decides every fault and latency.
        log: whether request bodies are kept for `GET /log`.
        log_size: how many of them, the latest.
        max_body: bytes; a longer request gets 413.
        gold: a file of right answers, which are given to its rows; None makes all answers up.
    """

    latency: Latency = Latency()
    pace: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    itpm: int | None = None
    otpm: int | None = None
    limit_window: float = 60.0
    limits_at: tuple[LimitsChange, ...] = ()
    limit_headers: bool = True
    retry_after: RetryAfter = "seconds"
    outages: tuple[Outage, ...] = ()
    outage_retry_after: bool = False
    brown_outs: tuple[BrownOut, ...] = ()
    slow_start: float = 0.0
    error_rate: float = 0.0
    malformed_rate: float = 0.0
    hang_rate: float = 0.0
    drop_rate: float = 0.0
    refusal_rate: float = 0.0
    stall_rate: float = 0.0
    late_error_rate: float = 0.0
    uncounted_rate: float = 0.0
    error_statuses: tuple[int, ...] = (500, 503, 529)
    keys: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    quota_after: int | None = None
    fail_first: int = 0
    malformed_until: int = 0
    cached_share: float = 0.0
    reasoning_tokens: int = 0
    seed: int = 0
    log: bool = False
    log_size: int = 1000
    max_body: int = 32 * 1024 * 1024
    gold: GoldSettings | None = None

    def __post_init__(self) -> None:
        shares = [f.name for f in fields(self) if f.name.endswith(("_rate", "_share"))]
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{_option(name)} is {getattr(self, name)!r}, which is not between 0 and 1")
        if self.fault_rate > 1 + 1e-9:  # 0.1 + 0.2 + 0.7 is a hair over 1 in binary
            rates = ", ".join(_option(name) for name in shares if name != "cached_share")
            raise UsageError(
                f"the fault rates add up to {self.fault_rate:g}, more than 1", hint=f"lower one of {rates}"
            )
        if not self.error_statuses:
            raise UsageError("error_statuses is empty")
        for name in ("rpm", "tpm", "itpm", "otpm"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UsageError(f"{_option(name)} is {getattr(self, name)!r}, which is less than 1")
        self._check_times()

    def _check_times(self) -> None:
        if not 0 < self.limit_window < math.inf:
            raise UsageError(
                f"--limit-window is {self.limit_window!r}, which is no number of seconds above 0",
                hint="60 as most documentation says, or 1 as many providers do: --limit-window 1",
            )
        if self.pace is not None and not 0 < self.pace < math.inf:
            raise UsageError(
                f"--pace is {self.pace!r}, which is no number of tokens above 0", hint="e.g. --pace 50"
            )
        if not 0 <= self.slow_start < math.inf:
            raise UsageError(
                f"--slow-start is {self.slow_start!r}, which is no number of seconds",
                hint="0 for a warm server, or e.g. --slow-start 30",
            )
        events: tuple[LimitsChange | Outage | BrownOut, ...]
        events = (*self.limits_at, *self.outages, *self.brown_outs)
        for event in events:
            if not event.sound:
                raise UsageError(
                    f"out of range: {event!r}",
                    hint="times from 0, durations above 0, limits from 1, shares from 0 to 1",
                )

    @property
    def fault_rate(self) -> float:
        """Share of calls that meet any of the random faults."""
        usual = self.error_rate + self.malformed_rate + self.hang_rate + self.drop_rate + self.refusal_rate
        return usual + self.stall_rate + self.late_error_rate + self.uncounted_rate


def _option(name: str) -> str:
    """A setting as the command line calls it."""
    return "--" + name.replace("_", "-")
