"""Small text tools."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.text import harmless, nearest, plural


@pytest.mark.parametrize(
    ("name", "expected"),
    [("concurency", "concurrency"), ("conc", "concurrency"), ("rmp", "rpm"), ("zzzz", None), ("", None)],
)
def test_the_nearest_name(name: str, expected: str | None):
    """The candidate most like it, and none rather than a wild guess."""
    assert nearest(name, ["concurrency", "rpm", "retries"]) == expected


def test_any_iterable_has_a_nearest():
    """Candidates may come from a generator, and there may be none."""
    assert nearest("rpm", (name for name in ["rpm"])) == "rpm"
    assert nearest("rpm", []) is None


@given(st.text())
def test_harmless_text_is_one_line_without_controls(text: str):
    """Nothing in it drives a terminal, ends a line or reorders what is read."""
    safe = harmless(text)
    assert not any((ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160 for c in safe)
    assert not set(safe) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"])))
def test_plain_text_is_left_as_it_is(text: str):
    """Letters of any script, digits, punctuation and spaces."""
    assert harmless(text) == text


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "call", "1 call"),
        (0, "call", "0 calls"),
        (2, "retry", "2 retries"),
        (1000, "refusal by 429", "1,000 refusals by 429"),
        (1, "refusal by 429", "1 refusal by 429"),
        (2, "re-ask", "2 re-asks"),
    ],
)
def test_plural(count: int, noun: str, text: str) -> None:
    """The noun's own plural, thousands apart."""
    assert plural(count, noun) == text
