"""Third parties' words as they may be shown or judged: in one line, without keys and the row's own words."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

__all__ = ["KEYS", "cleaned", "without_key", "without_row", "without_secrets"]

KEYS = re.compile(r"\b(?:sk|pk|gsk|xai|csk|pplx|tgp|fw|hf|AIza|Bearer)[-_ ][\w*.~+/-]{6,}|\bAIza[\w-]{10,}")
"""What providers' keys look like."""
_LINE = 300
_JUDGED = 4_000
"""Characters of a message that are looked at."""
_REAL_KEY = 16
"""Characters from which a key is one that somebody has been given."""
_QUOTE = 24
"""Characters in common from which a message counts as quoting the row."""


def cleaned(message: str, *, row: str = "", secret: str = "") -> str:
    """At most 300 characters without keys and the row's own words.

    Args:
        row: the row's text: whatever of it the message quotes is left out.
        secret: the key that was sent.
    """
    line = " ".join(message.split())
    line = _without_secret(line, secret)
    line = _without_quotes(KEYS.sub("…", line)[: 4 * _LINE], row)
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


def _without_secret(line: str, secret: str) -> str:
    """The line without the key, in upper or lower case, or as an address has it."""
    for written in {secret, quote(secret, safe="")} - {""}:
        line = re.sub(re.escape(written), "…", line, flags=re.IGNORECASE)
    return line


def without_key(answer: bytes, secret: str) -> bytes:
    """An answer without the key that was sent: servers that are set up to help with faults repeat requests.

    Answers are stored. A short key is a stand-in of somebody's own server ("mock", "EMPTY"), and may be a word.
    """
    key = secret.encode()
    return answer.replace(key, b"*" * len(key)) if len(key) >= _REAL_KEY and key in answer else answer


def without_row(message: str, row: str) -> str:
    """A server's message without what it quotes of the row: whole columns, and longer parts of any."""
    message = " ".join(message.split())
    columns = sorted((" ".join(column.split()) for column in row.split("\x1e")), key=len, reverse=True)
    for column in columns:
        if len(column) > 2:
            message = message.replace(column, "…")
    return _without_quotes(message[:_JUDGED], row)


def _without_quotes(line: str, row: str) -> str:
    row = " ".join(row.split())
    kept: list[str] = []
    at = 0
    while at < len(line):
        if len(line) - at >= _QUOTE and line[at : at + _QUOTE] in row:
            end = at + _QUOTE
            while end < len(line) and line[at : end + 1] in row:
                end += 1
            kept.append("…")
            at = end
        else:
            kept.append(line[at])
            at += 1
    return "".join(kept)


def without_secrets(url: str) -> str:
    """An address as it may be shown: without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:  # it is a server's word, and no address
        return "elsewhere"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) or "elsewhere"
