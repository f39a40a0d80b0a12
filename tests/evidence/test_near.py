"""Near matches are cut between words, and looked for only where pieces of the quote stand."""

from __future__ import annotations

import pytest

from llmx.evidence.near import near

TEXT = "once upon a time there was a very small house in the middle of a very large forest"


@pytest.mark.parametrize(
    ("quote", "span"),
    [
        ("a very smal house in the midle", "a very small house in the middle"),
        ("there was one very small house", "there was a very small house"),
        ("a very small house in middle of a very large forest", TEXT[TEXT.index("a very") :]),
        ("once upn a time", "once upon a time"),
        ("very large forests", "very large forest"),
    ],
)
def test_words_are_whole(quote: str, span: str):
    """A word left out, added or misspelt, also at an end of the text, leaves a span of whole words."""
    positions = near(quote, TEXT)
    assert positions is not None
    assert span == TEXT[slice(*positions)]


@pytest.mark.parametrize("quote", ["", "a time", "the forest of small houses upon", "z" * 40, "t" * 5_000])
def test_nothing_near(quote: str):
    """Too short, in another order, or nothing alike."""
    assert near(quote, TEXT) is None


def test_long_enough():
    """A near quote of twelve letters is compared, one of eleven is not; of six and of five, in Chinese."""
    text = "abcde fghijk and 公司在北京召开大会"
    assert (0, 12) == near("abcde fgxijk", text)
    assert near("abcde fgxij", text) is None
    assert (17, 26) == near("公司在北京召开会", text)
    assert near("北京开大会", text) is None
