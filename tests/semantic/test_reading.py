"""What a text says: its tokens in one form, without what may be left out."""

from __future__ import annotations

import pytest

from llmx.semantic.reading import is_relative, read


def said(text: str) -> list[str]:
    return [token.text for token in read(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,\nthe app crashes. Thanks a lot!", ["app", "crashes"]),
        ("I can't pay €1,234.50", ["i", "can", "not", "pay", "1234.50", "eur"]),
        ("due on 5 May 2024 at 5 pm", ["due", "on", "2024-05-05", "at", "17:00"]),
        ("twenty-five boxes, 5kg each", ["25", "boxes", "5", "kg", "each"]),
        ("Please call, or I organise it", ["call", "or", "i", "organize", "it"]),
        ("10 percent of INV-2024-001 (5.00)", ["10", "%", "of", "INV-2024-001", "()", "5.00"]),
        (
            "mail a.b@example.org or see https://example.org/x?y=1.",
            ["mail", "a.b@example.org", "or", "see", "https://example.org/x?y=1"],
        ),
        ("a few, the third, vitamin A", ["a", "few", "the", "third", "vitamin", "a"]),
        ("- 5 and .5", ["-", "5", "and", ".", "5"]),
        ("no, refunds", ["no", ",", "refunds"]),
        ("", []),
    ],
)
def test_a_text_is_read(text: str, expected: list[str]) -> None:
    """Courtesy goes, and what is written in several ways is written in one."""
    assert said(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it open?", "It is open."),
        ("no refunds", "No, refunds"),
        ("1,234", "1.234"),
        ("version 3.10", "version 3.1"),
        ("5 mg", ".5 mg"),
        ("balance: - 5", "balance: 5"),
        ("he paid a third", "he paid the third"),
        ("$5", "€5"),
        ("Dr. Grey called", "Dr. Gray called"),
    ],
)
def test_what_differs_is_read_otherwise(one: str, other: str) -> None:
    """What one sign or one article changes is kept."""
    assert said(one) != said(other)


@pytest.mark.parametrize(
    "text", ["It is closed today", "the current manager", "we met last week", "Das Paket kam gestern an"]
)
def test_a_text_may_speak_of_now(text: str) -> None:
    """Its meaning depends on when it is read."""
    assert is_relative(read(text))


@pytest.mark.parametrize("text", ["It is closed on Mondays", "the last of the managers", "week after week"])
def test_most_texts_do_not(text: str) -> None:
    """Words alone that are only part of a relative time are none."""
    assert not is_relative(read(text))
