"""Rows on a terminal: what would drive it, hide or reorder text is shown as an escape.

Only for people's eyes. Files and pipes get every byte as it is.
"""

from __future__ import annotations

import unicodedata

from llmx.records.targets import Through

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


class TerminalTarget(Through):
    """Rows to a terminal, by way of another target, which must be given whole characters."""

    def write(self, data: bytes) -> None:
        """See `Target.write`."""
        self._target.write(visible(data.decode("utf-8", "backslashreplace")).encode())
