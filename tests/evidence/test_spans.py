"""A text is cut where a reader would cut it."""

from __future__ import annotations

import pytest

from llmx.evidence.spans import is_boundary, snapped


def cuts(text: str) -> list[int]:
    return [offset for offset in range(len(text) + 1) if is_boundary(text, offset)]


@pytest.mark.parametrize(
    ("text", "boundaries"),
    [
        ("ab", [0, 1, 2]),
        ("e\u0301x", [0, 2, 3]),
        ("a\r\nb", [0, 1, 3, 4]),
        ("👩‍👩‍👧!", [0, 5, 6]),
        ("👍🏽", [0, 2]),
        ("❤️", [0, 2]),
        ("🇩🇪🇫🇷", [0, 2, 4]),
        ("각\u1100\u1161", [0, 1, 3]),
        ("가\u11a8", [0, 2]),
        ("\n\u0301", [0, 1, 2]),
        ("", [0]),
    ],
)
def test_boundaries(text: str, boundaries: list[int]):
    """Marks, CRLF, joined emoji, skin tones, flags and syllables stay whole."""
    assert boundaries == cuts(text)


def test_snapped():
    """A span that cuts graphemes is widened to whole ones."""
    assert (0, 5) == snapped("👩‍👩‍👧!", 2, 3)


def test_marks_without_end():
    """A cut walks 64 code points at most, also in a text of marks alone."""
    assert (436, 565) == snapped("\u0301" * 1_000, 500, 501)
