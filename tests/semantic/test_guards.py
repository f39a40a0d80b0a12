"""The guards: which rows may pass for each other, and which may not, whatever their similarity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmx.semantic.embedding import Embedding
from llmx.semantic.guards import difference, key_of, reading_of

KNOWN = Embedding().known


def between(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The kind of difference; where there is none, the rows lie under one key, too."""
    mine, theirs = reading_of(one), reading_of(other)
    assert mine is not None
    assert theirs is not None
    kind = difference(one, mine, other, theirs, KNOWN)
    assert kind == difference(other, theirs, one, mine, KNOWN)
    if not kind:
        assert key_of(one, mine) == key_of(other, theirs)
    return kind


def texts(one: str, other: str) -> str:
    return between({"text": one}, {"text": other})


BASE = "The parcel from Paris was not delivered before 5 May 2024."


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        ("The parcel from Paris was not delivered before 6 May 2024.", "number"),
        ("The parcel from Paris was delivered before 5 May 2024.", "negation"),
        ("The parcel from Lyon was not delivered before 5 May 2024.", "name"),
        ("The parcel from Paris was not delivered after 5 May 2024.", "order"),
        ("The parcel from Paris is not delivered before 5 May 2024.", "tense"),
        ("The letter from Paris was not delivered before 5 May 2024.", "word"),
        ("The parcel from Paris was not delivered before 5 May 2024?", "sign"),
        ("The parcel from Paris was not delivered before 5 May 2024. And so on.", "conjunction"),
    ],
)
def test_a_difference_has_a_kind(other: str, kind: str) -> None:
    """The first one is told by what it is about."""
    assert texts(BASE, other) == kind


@pytest.mark.parametrize(
    "other",
    [
        "the parcel from paris was not delivered before 5 may 2024",
        "THE PARCEL FROM PARIS WAS NOT DELIVERED BEFORE 5 MAY 2024!",
        "Hi there,\n\nThe parcel from Paris wasn't delivered before May 5, 2024.\n\nBest regards",
        "The parcel, from Paris, was not delivered - before 2024-05-05",
    ],
)
def test_spelling_and_courtesy_are_no_difference(other: str) -> None:
    """Capitals, punctuation, greetings, contractions and the form of a date change nothing."""
    assert texts(BASE, other) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "same"),
    [
        ("receive", "recieve", True),
        ("delivery", "delivvery", True),
        ("complaint", "compliant", False),
        ("dessert", "desert", False),
        ("planned", "planed", False),
        ("customers", "customer", False),
        ("delivered", "delivers", False),
        ("enable", "unable", False),
    ],
)
def test_a_misspelling_is_told_from_another_word(right: str, wrong: str, same: bool) -> None:
    """Two letters swapped or one doubled, in a word that is none otherwise."""
    text = "We think that the {} issue is in the scope of this report"
    assert (texts(text.format(right), text.format(wrong)) == "") is same


def test_no_misspelling_is_known_of_another_language() -> None:
    """A letter may be a tense there."""
    assert (
        texts("Sie hatten die Rechnung bezahlt in Wien", "Sie hätten die Rechnung bezahlt in Wien") == "word"
    )


def test_sentences_may_change_places() -> None:
    """Where each stands alone."""
    assert texts("Rooms were clean. Staff were slow.", "Staff were slow. Rooms were clean.") == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The left was fine. It was cold.", "It was cold. The left was fine."),
        ("Left eye:\nit is 20.\nRight eye:\nit is 40.", "Left eye:\nit is 40.\nRight eye:\nit is 20."),
        (
            "Approved. Twelve is in. Refused. Thirteen is in.",
            "Approved. Thirteen is in. Refused. Twelve is in.",
        ),
    ],
)
def test_sentences_that_lean_on_each_other_stay(one: str, other: str) -> None:
    """A pronoun, a heading or a line says what belongs together."""
    assert texts(one, other) != ""


ROW = {"id": "A1", "body": "The lamp in the hall does not work any more", "floor": 2, "tags": ["x", 1]}


@pytest.mark.parametrize(
    "change",
    [
        {"id": "A2"},
        {"id": "a1"},
        {"floor": 3},
        {"floor": 2.0},
        {"floor": "2"},
        {"floor": None},
        {"tags": ["x", True]},
    ],
)
def test_short_cells_have_to_be_equal(change: Mapping[str, Any]) -> None:
    """To the letter, and in type."""
    assert between(ROW, {**ROW, **change}) == "cell"


def test_columns_are_compared_by_name() -> None:
    """In whichever order they come, and all of them."""
    assert between(ROW, dict(reversed(ROW.items()))) == ""
    assert between(ROW, {name: value for name, value in ROW.items() if name != "id"}) == "columns"


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1, "name": "two words"},
        {"text": "the shop was closed yesterday when I came"},
        {"text": "荷物が遅れて届き、箱が壊れていました。"},
        {"text": "Посылка пришла поздно и коробка повреждена"},
        {"text": "word " * 20_000},
        {},
    ],
)
def test_some_rows_are_compared_with_none(row: Mapping[str, Any]) -> None:
    """Without a text, with one of now, in a script that the guards cannot read, or too long."""
    assert reading_of(row) is None
