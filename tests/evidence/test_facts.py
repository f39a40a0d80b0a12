"""Near texts that state something else are told from those that do not."""

from __future__ import annotations

import pytest

from llmx.evidence.facts import same_facts
from llmx.evidence.normal import normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("in 2019", "in 2018"),
        ("12 of 3", "3 of 12"),
        ("5%", "5"),
        ("1.5 kg", "15 kg"),
        ("two men", "four men"),
        ("he is able", "he is unable"),
        ("he is", "he isn't"),
        ("il est", "il n'est pas"),
        ("es ist gut", "es ist nicht gut"),
        ("он был", "он не был"),
        ("هذا صحيح", "هذا غير صحيح"),
        ("هو قال", "ولم قال"),
        ("he did", "he didnt"),
        ("他是", "他不是"),
        ("三人", "四人"),
        ("가다", "안 가다"),
        ("वह गया", "वह नहीं गया"),
        ("行った", "行かなかった"),
    ],
)
def test_different(one: str, other: str):
    """Numbers, units, number words and negations differ, in many languages; in both directions."""
    assert not same_facts(normal(one), normal(other))
    assert not same_facts(normal(other), normal(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the house in 2019", "a house of 2019"),
        ("not nice", "not so nice"),
        ("he didnt, and won't", "he didn't, and wont"),
        ("el año pasado no", "el ano pasado no"),
        ("2019-2020", "2019–2020"),
    ],
)
def test_same(one: str, other: str):
    """Other words, accents and dashes are no other facts."""
    assert same_facts(normal(one), normal(other))
