"""Rows on a terminal: what would drive it, hide or reorder text is shown as an escape.

Only for people's eyes. Files and pipes get every byte as it is.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from llmx.records.targets import Target

__all__ = ["TerminalTarget", "visible"]

# Controls (C0, DEL, C1), format controls (bidirectional ones, Trojan Source, CVE-2021-42574; zero widths,
# tags) and the separators that some terminals take for line ends.
_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
_LAYOUT = "\n\t"  # they end rows and part the cells of TSV


def visible(text: str) -> str:
    r"""The text with `\uXXXX` for what is not seen: within the strings of JSON it means the same."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(map(_seen, text))


def _seen(character: str) -> str:
    if character in _LAYOUT or unicodedata.category(character) not in _UNSEEN:
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


class TerminalTarget:
    """Rows to a terminal, by way of another target.

    Args:
        target: takes what can be shown; it must be given whole characters.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    @property
    def rows_left(self) -> Path | None:
        """See `Target.rows_left`."""
        return self._target.rows_left

    def write(self, data: bytes) -> None:
        """See `Target.write`."""
        self._target.write(visible(data.decode("utf-8", "backslashreplace")).encode())

    async def drained(self) -> None:
        """See `Target.drained`."""
        await self._target.drained()

    def close(self) -> None:
        """See `Target.close`."""
        self._target.close()

    def abandon(self) -> None:
        """See `Target.abandon`."""
        self._target.abandon()
