"""What counts as the same value, by every kind of comparison."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.errors import UsageError
from llmx.evals.matching import parse_comparison, reader, same
from llmx.evals.values import as_number, as_text, is_blank, normalized


def is_same(how: str, expected: Any, predicted: Any) -> bool:
    """Whether both are read and found the same."""
    comparison = parse_comparison(how)
    read = reader(comparison)
    return same(comparison)(read(expected), read(predicted))


@pytest.mark.parametrize(
    ("how", "expected", "predicted"),
    [
        ("exact", "a b", "a b"),
        ("exact", 3, "3"),
        ("exact", {"a": 1, "b": None}, {"a": 1.0}),
        ("normalized", "Café  Noir", " cafe\u0301 NOIR\n"),
        ("normalized", "STRASSE", "straße"),
        ("normalized", "ﬁne", "FINE"),
        ("number", 3, "3.0"),
        ("number", "1e3", 1000),
        ("number", 0.3, 0.1 + 0.2),
        ("number", 2**60 + 1, 2**60 + 1),
        ("number:0.1", 1.0, 1.1),
        ("number:5%", 200, 190),
        ("number:5%", -200, -210),
        ("boolean", True, "TRUE"),
        ("boolean", False, "no"),
        ("boolean", True, 1),
        ("date", "2024-03-05", "5 March 2024"),
        ("date", "2024-03-05", "Tuesday, Mar. 5th, 2024"),
        ("date", "2024-03-05", "05.03.2024"),
        ("date", "2024-03-05", "2024/3/5"),
        ("date", "2024-03-05", "20240305"),
        ("date", "2024-03-25", "03/25/2024"),
        ("date", "2024-03-05", "2024-03-05T00:00:00"),
        ("date", "2024-03-05T10:00:00Z", "2024-03-05T11:00:00+01:00"),
        ("date:dmy", "2024-03-05", "05/03/2024"),
        ("date:mdy", "2024-03-05", "03/05/2024"),
        ("set", ["a", "b"], ["b", "a", "a"]),
        ("set", [1, 2], "[2, 1.0]"),
        ("set", ["a", None], ["a"]),
        ("set", [{"a": 1, "b": 2}], [{"b": 2, "a": 1, "c": None}]),
        ("set:normalized", ["A"], ["a "]),
        ("list", ["a", "b"], ["a", "b"]),
        ("fuzzy:0.8", "Bluebird Analytics", "bluebird analytic"),
    ],
)
def test_the_same(how: str, expected: Any, predicted: Any):
    """One value, written in two ways."""
    assert is_same(how, expected, predicted)


@pytest.mark.parametrize(
    ("how", "expected", "predicted"),
    [
        ("exact", "a", "A"),
        ("exact", "a", "a "),
        ("normalized", "a b", "ab"),
        ("number", 1_000_000_001, 1_000_000_000),
        ("number", 1, "1 apple"),
        ("number", 1234, "1,234"),
        ("number:0.1", 1.0, 1.11),
        ("number:5%", 200, 189),
        ("number", 1, True),
        ("number", 10**400, 1e300),
        ("boolean", True, "perhaps"),
        ("date", "2024-03-05", "03/05/2024"),
        ("date", "2024-03-05", "2024-03-05T10:00:00"),
        ("date", "2024-02-29", "29 February 2023"),
        ("date", "2024-03-05", "5 Marble 2024"),
        ("list", ["a", "b"], ["b", "a"]),
        ("list", ["a"], ["a", "a"]),
        ("set", ["a"], ["A"]),
        ("fuzzy:0.95", "Bluebird Analytics", "bluebird"),
    ],
)
def test_not_the_same(how: str, expected: Any, predicted: Any):
    """Two values."""
    assert not is_same(how, expected, predicted)


@pytest.mark.parametrize("value", [None, "", " \n", [], {}, float("nan")])
def test_nothing(value: Any):
    """All ways of a file to say nothing are one."""
    assert is_blank(value)


@pytest.mark.parametrize("value", [0, False, "0", [None], "–"])
def test_something(value: Any):
    """Zero and false are values."""
    assert not is_blank(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exakt", "no comparison 'exakt'"),
        ("number:much", "wrong option 'much'"),
        ("number:-1", "wrong option '-1'"),
        ("fuzzy:90", "wrong option '90'"),
        ("exact:1", "wrong option '1'"),
        ("date:ymd", "wrong option 'ymd'"),
    ],
)
def test_a_comparison_that_is_none(text: str, words: str):
    """It is named, and what there is."""
    with pytest.raises(UsageError, match=words) as raised:
        parse_comparison(text)
    assert raised.value.hint


@settings(deadline=None)
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_and_its_text_are_one(number: float):
    """Whatever JSON writes of a number is read as it."""
    assert as_number(as_text(number)) == number


@settings(deadline=None)
@given(st.text())
def test_normalizing_is_done_once(text: str):
    """What is normalized stays as it is."""
    assert normalized(normalized(text)) == normalized(text)


@settings(deadline=None)
@given(
    st.text(), st.sampled_from(["exact", "normalized", "number", "boolean", "date", "set", "list", "fuzzy"])
)
def test_a_value_is_the_same_as_itself(text: str, how: str):
    """By every comparison, whatever the text."""
    read = reader(parse_comparison(how))
    assert is_blank(text) or read(text) is None or is_same(how, text, text)
