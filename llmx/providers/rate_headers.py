"""What a response's headers tell of the provider's limits, in one form for both families of names.

OpenAI's, which most others have taken over: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
Anthropic's: https://docs.claude.com/en/api/rate-limits#response-headers
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from llmx.providers.answers import server_time
from llmx.types import LimitKind, LimitState

__all__ = ["limit_states", "parse_duration", "parse_moment"]

_OPENAI: tuple[tuple[LimitKind, str], ...] = (("requests", "requests"), ("tokens", "tokens"))
_ANTHROPIC: tuple[tuple[LimitKind, str], ...] = (
    ("requests", "requests"),
    ("tokens", "tokens"),
    ("input_tokens", "input-tokens"),
    ("output_tokens", "output-tokens"),
)

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def limit_states(headers: Mapping[str, str]) -> Sequence[LimitState]:
    """The limits that a response tells, none of most servers.

    Args:
        headers: looked up by lower-case names.
    """
    if "x-ratelimit-limit-requests" in headers or "x-ratelimit-limit-tokens" in headers:
        return _states(_OPENAI, lambda part, name: headers.get(f"x-ratelimit-{part}-{name}"), parse_duration)
    if "anthropic-ratelimit-requests-limit" in headers or "anthropic-ratelimit-tokens-limit" in headers:
        now = server_time(headers.get("date"))
        return _states(
            _ANTHROPIC,
            lambda part, name: headers.get(f"anthropic-ratelimit-{name}-{part}"),
            lambda text: parse_moment(text, now),
        )
    return ()


def _states(
    kinds: Sequence[tuple[LimitKind, str]],
    header: Callable[[str, str], str | None],
    read_reset: Callable[[str | None], float | None],
) -> list[LimitState]:
    states = []
    for kind, name in kinds:
        limit, remaining = _count(header("limit", name)), _count(header("remaining", name))
        if limit and remaining is not None:
            states.append(LimitState(kind, limit, remaining, read_reset(header("reset", name))))
    return states


def _count(text: str | None) -> float | None:
    """A count of at least 0; some servers have fractions, some "-1" for no limit."""
    try:
        count = float(text or "")
    except ValueError:
        return None
    return count if 0 <= count < math.inf else None


def parse_duration(text: str | None) -> float | None:
    """Seconds for `1s`, `6m0s`, `2m59.56s`, `120ms`, `1d2h`, and a bare number; None for anything else."""
    found = _DURATION.fullmatch(text or "")
    if text and found:
        seconds = sum(float(part) * unit for part, unit in zip(found.groups(), _UNITS, strict=True) if part)
        return seconds if seconds < math.inf else None
    return _count(text)


def parse_moment(text: str | None, now: float) -> float | None:
    """Seconds from `now` (since 1970) to an RFC 3339 time, at least 0; None when it is none."""
    try:
        return max(0.0, datetime.fromisoformat(text or "").timestamp() - now)
    except (ValueError, OverflowError):
        return None
