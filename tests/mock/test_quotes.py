"""Which words of a row are quoted for a value."""

from __future__ import annotations

from typing import Any

import pytest

from llmx.mock.quotes import quote

TEXT = "Ms. ADA  Lovelace-King paid 1,250.50 EUR on 3 May; refund 0,5 %"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ada lovelace", "ADA  Lovelace"),
        ("love", "Lovelace"),
        (1250.5, "1,250.50"),
        (0.5, "0,5"),
        (3, "3"),
        (50, None),
        ("Berlin", None),
        ("", None),
        (None, None),
        (True, None),
        ("(", None),
    ],
)
def test_quotes(value: Any, words: str | None) -> None:
    """Whole words as the row has them, numbers by what they mean, nothing where it is not there."""
    assert words == quote([TEXT], value)


def test_the_first_column_that_says_it() -> None:
    """Columns are looked through in order."""
    assert quote(["none", "one two", "Two"], "two") == "two"
