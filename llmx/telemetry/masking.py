"""What no log may hold: keys, and addresses' users and passwords, wherever in a text they stand."""

from __future__ import annotations

import re

from llmx.providers.wording import KEYS

__all__ = ["CONTENTS", "SECRETS", "masked"]

_LIMIT = 2_000
"""Characters of a text that are shown."""

_NAMES = (
    r"(?:api[-_]?key|access[-_]?token|auth[-_]?token|secret|passw(?:or)?d|authorization|signature|cookie)"
)

SECRETS = re.compile(_NAMES, re.IGNORECASE)
"""Names whose values are secrets."""

CONTENTS = frozenset(
    {"answer", "body", "content", "data", "messages", "prompt", "raw", "row", "rows", "text"}
)
"""Names of fields that would hold what nobody is told."""

_PATTERNS = (
    (re.compile(r"(?i)\b(bearer|basic|token)(\s+)[\w.~+/=:-]{6,}"), r"\1\2…"),
    (re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s@\"']+@", re.IGNORECASE), r"\1…@"),
    (re.compile(rf"([\w-]*{_NAMES}[\w-]*[\"']?\s*[=:]\s*[\"']?)[^\s&\"',;}}]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"([?&](?:key|token|sig|code)=)[^\s&\"']+"), r"\1…"),
    (KEYS, "…"),
    (re.compile(r"\bllmx_(?:(?=[\w-]*\d)[\w-]{16,}|[\w-]{40,})"), "…"),  # the service's own
)


def masked(text: str) -> str:
    """At most so much of a text as is read, without what looks like a secret."""
    text = text[:_LIMIT] + "…" if len(text) > _LIMIT else text
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
