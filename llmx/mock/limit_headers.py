"""Limits as header lines: the two families' own names and time formats.

OpenAI: https://platform.openai.com/docs/guides/rate-limits (resets are durations).
Anthropic: https://docs.anthropic.com/en/api/rate-limits (resets are RFC 3339 instants).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate

from llmx.mock.limits import LimitState
from llmx.mock.settings import RetryAfter

__all__ = ["anthropic_limit_headers", "duration", "openai_limit_headers", "retry_after_header"]


def openai_limit_headers(states: Mapping[str, LimitState]) -> str:
    """`x-ratelimit-*` lines; OpenAI does not tell input and output tokens apart."""
    return "".join(
        f"x-ratelimit-limit-{name}: {state.limit}\r\n"
        f"x-ratelimit-remaining-{name}: {state.remaining}\r\n"
        f"x-ratelimit-reset-{name}: {duration(state.reset_in)}\r\n"
        for name, state in states.items()
        if name in ("requests", "tokens")
    )


def anthropic_limit_headers(states: Mapping[str, LimitState]) -> str:
    """`anthropic-ratelimit-*` lines."""
    now = time.time()
    return "".join(
        f"anthropic-ratelimit-{name}-limit: {state.limit}\r\n"
        f"anthropic-ratelimit-{name}-remaining: {state.remaining}\r\n"
        f"anthropic-ratelimit-{name}-reset: {_instant(now + state.reset_in)}\r\n"
        for name, state in states.items()
    )


def retry_after_header(form: RetryAfter, seconds: float) -> str:
    """The line that names a wait, if one is to; never shorter than the wait itself."""
    if form == "none":
        return ""
    if form == "ms":
        return f"retry-after-ms: {math.ceil(seconds * 1000)}\r\n"
    if form == "date":
        return f"retry-after: {formatdate(math.ceil(time.time() + seconds), usegmt=True)}\r\n"
    return f"retry-after: {math.ceil(seconds)}\r\n"


def duration(seconds: float) -> str:
    """As in OpenAI's headers: `20ms`, `1.5s`, `6m0s`, `1h0m0s`; rounded up to a millisecond."""
    millis = math.ceil(seconds * 1000 - 1e-6)
    if 0 < millis < 1000:
        return f"{millis}ms"
    minutes, rest = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _instant(timestamp: float) -> str:
    """Rounded up to a second, as Anthropic writes it: `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(math.ceil(timestamp), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
