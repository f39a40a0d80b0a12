"""Laws of the guards: a row says what it says, both ways round, and every number counts."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmx.semantic.guards import difference, key_of, reading_of
from llmx.semantic.reading import read

WORDS = st.sampled_from(
    [
        "the",
        "parcel",
        "from",
        "Berlin",
        "was",
        "not",
        "delivered",
        "to",
        "Anna",
        "before",
        "noon",
        "because",
        "12",
        "boxes",
        "of",
        "5kg",
        "cost",
        "$30",
        "each",
        "and",
        "Acme-77",
        "may",
        "refuse",
        "recieve",
        "receive",
        "left",
        "right",
        "(5)",
        "no.",
        "please",
        "A",
        "few",
        "third",
    ]
)
TEXTS = st.lists(WORDS, min_size=4, max_size=20).map(" ".join)
CELLS = st.one_of(
    TEXTS, st.text(max_size=60), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)
)
ROWS = st.dictionaries(st.sampled_from(["text", "note", "id"]), CELLS, min_size=1)


def known(word: str) -> bool:
    return word != "recieve"


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """Whatever it holds, and always alike."""
    assert read(text) == read(text)


@given(ROWS)
def test_a_row_says_what_it_says(row: dict[str, Any]) -> None:
    """There is no difference between a row and itself."""
    said = reading_of(row)
    if said is not None:
        assert difference(row, said, row, said, known) == ""


@given(ROWS, ROWS)
def test_a_difference_is_one_both_ways(one: dict[str, Any], other: dict[str, Any]) -> None:
    """And rows without one lie under the same key."""
    mine, theirs = reading_of(one), reading_of(other)
    if mine is None or theirs is None:
        return
    there = difference(one, mine, other, theirs, known)
    assert bool(there) == bool(difference(other, theirs, one, mine, known))
    if not there:
        assert key_of(one, mine) == key_of(other, theirs)


@given(TEXTS, st.data())
def test_words_that_change_places_are_a_difference(text: str, data: st.DataObject) -> None:
    """Two tokens that are not the same, swapped, make another row."""
    tokens = [token.text for token in read(text)]
    words = text.split()
    place = data.draw(st.integers(0, len(words) - 2))
    swapped = [*words[:place], words[place + 1], words[place], *words[place + 2 :]]
    if [token.text for token in read(" ".join(swapped))] == tokens:
        return
    one, other = {"text": text}, {"text": " ".join(swapped)}
    mine, theirs = reading_of(one), reading_of(other)
    if mine is not None and theirs is not None:
        assert difference(one, mine, other, theirs, known)


@given(TEXTS, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 20))
def test_another_number_is_a_difference(text: str, number: int, other: int, place: int) -> None:
    """Wherever it stands."""
    words = text.split()
    rows = [{"text": " ".join([*words[:place], str(n), *words[place:]])} for n in (number, other)]
    said = [reading_of(row) for row in rows]
    if said[0] is not None and said[1] is not None:
        assert (difference(rows[0], said[0], rows[1], said[1], known) == "") == (number == other)


@given(TEXTS)
def test_courtesy_is_no_difference(text: str) -> None:
    """A greeting before, and thanks behind."""
    one, other = {"text": text}, {"text": f"Hello,\n{text}.\nThank you very much!"}
    mine, theirs = reading_of(one), reading_of(other)
    if mine is not None and theirs is not None:
        assert difference(one, mine, other, theirs, known) == ""
