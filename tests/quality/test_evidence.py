"""Which words of a row values rest on."""

from __future__ import annotations

from typing import Any

import pytest

from llmx.quality.evidence import check, rests_on
from llmx.types import Quote

ROW = {"text": "Ann met Bob. Bob paid 3 times 1,250.50, on 3 May 2024.", "note": "from Ann", "n": 7}


def found(answer: Any, quotes: Any, row: dict[str, Any] = ROW) -> dict[str, tuple[str, int, int, str] | None]:
    """By dotted path: column, start, end, match."""
    return {
        ".".join(map(str, path)): quote and (quote.column, quote.start, quote.end, quote.match)
        for path, quote in rests_on(answer, quotes, row).items()
    }


def test_each_value_has_its_own_words() -> None:
    """In objects and lists, as deep as they are."""
    answer = {"who": "Ann", "paid": [{"amount": 1250.5}]}
    quotes = {"who": "Ann met", "paid": [{"amount": "1,250.50"}]}
    assert found(answer, quotes) == {
        "who": ("text", 0, 7, "exact"),
        "paid.0.amount": ("text", 30, 38, "exact"),
    }


def test_the_same_words_twice_are_two_places() -> None:
    """Two values with the same quote do not claim the same occurrence as long as there is another."""
    answer, quotes = {"people": ["Bob", "Bob", "Bob"]}, {"people": ["Bob", "Bob", "Bob"]}
    assert [quote and quote[1] for quote in found(answer, quotes).values()] == [8, 13, 8]


def test_a_quote_for_an_object_stands_for_what_is_in_it() -> None:
    """As a model may give that is held to no grammar; so does one for a list."""
    answer = {"payment": {"who": "B.", "times": 3}, "names": ["A", "B"]}
    assert set(found(answer, {"payment": "Bob paid 3 times", "names": "Ann met Bob"}).values()) == {
        ("text", 13, 29, "exact"),
        ("text", 0, 11, "exact"),
    }


def test_values_without_a_quote_are_looked_for_themselves() -> None:
    """Numbers and dates in their usual spellings; what nothing is quoted for and the row does not say is None."""
    answer = {"amount": 1250.5, "day": "2024-05-03", "who": "Carl", "sure": True}
    values = found(answer, {})
    assert values["amount"] == ("text", 30, 38, "normalized")
    assert values["day"] is not None
    assert (values["who"], values["sure"]) == (None, None)


@pytest.mark.parametrize("nothing", [None, "", [], {}])
def test_what_is_empty_rests_on_nothing(nothing: Any) -> None:
    """And is not flagged."""
    assert found({"a": nothing}, {"a": "Ann"}) == {}


def test_the_column_that_has_the_words_most_exactly() -> None:
    """Before the first one that has them some other way; columns that are no text are searched as JSON."""
    row = {"a": "it was ANN", "b": "it was Ann", "n": 7}
    assert found({"who": "x", "n": 7}, {"who": "was Ann", "n": "7"}, row) == {
        "who": ("b", 3, 10, "exact"),
        "n": ("n", 0, 1, "exact"),
    }


@pytest.mark.parametrize(
    "quotes", [None, 3, [], "", {"a": None}, {"a": ["x"]}, {"a": {"b": 1}}, {"b": "Ann"}]
)
def test_quotes_in_no_shape_are_none(quotes: Any) -> None:
    """They come from a model: nothing that it writes is an error."""
    assert found({"a": "Zed"}, quotes) == {"a": None}


def test_what_is_missing_is_named_to_the_model() -> None:
    """Three of them with their words, and how many there are besides."""
    here = Quote("x", "text", 0, 1, "exact")
    lacking = {("a",): None, ("b",): here, ("c", 0): None, ("d",): None, ("e",): None}
    with pytest.raises(
        ValueError,
        match=r"a: the words 'no' are not in the row; c\.0: no words of the row are quoted; d: .* \(and 1 more\)",
    ):
        check({"a": "no"}, lacking)
    check({}, {("b",): here})
