"""Which gold row a request is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmx.environment import Environment
from llmx.mock import GoldSettings
from llmx.mock.gold_file import read_gold
from llmx.mock.matching import Matcher
from llmx.mock.wire import Call
from llmx.prompts import delimited

ROWS = """id,product,text,tone
r1,lamp,Bright and cheap,good
r2,lamp,It broke at once,bad
r3,desk,It broke at once,bad
r4,chair,OK,good
r5,,Bright and cheap,good
r6,,...,bad
"""


@pytest.fixture
def matcher(tmp_path: Path) -> Matcher:
    path = tmp_path / "gold.csv"
    path.write_text(ROWS, encoding="utf-8")
    return Matcher(read_gold(GoldSettings(path), Environment()))


def call(*turns: tuple[str, str]) -> Call:
    messages = tuple({"role": role, "content": text} for role, text in turns)
    return Call("mock", tuple(text for _, text in turns), "", messages)


def keys(matcher: Matcher, *turns: tuple[str, str]) -> list[str]:
    return [row.key for row in matcher.find(call(*turns), ["tone"]).rows]


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ({"product": "lamp", "text": "It broke at once"}, ["r2"]),
        ({"text": "It broke at once"}, ["r2", "r3"]),
        ({"text": "It broke at once", "colour": "red"}, ["r2", "r3"]),
        ({"text": "Bright and cheap", "product": None}, ["r5"]),
        ({"text": "Bright and cheap", "product": "lamp", "tone": "dubious"}, ["r1"]),
        ({"text": "Bright"}, []),
        ({"product": "sofa", "text": "OK"}, []),
        ({"colour": "red"}, []),
        ({"tone": "good"}, []),
    ],
)
def test_a_row_in_tags(matcher: Matcher, shown: dict[str, Any], found: list[str]) -> None:
    """All columns that both have must be equal, but for those that are answers."""
    assert found == keys(matcher, ("system", "s"), ("user", delimited(shown)))


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("Review of a lamp:\nit  BROKE at once.", ["r2"]),
        ("Review of a desk: It broke at once", ["r3"]),
        ("Review: It broke at once", ["r2", "r3"]),
        ("Say: ...", ["r6"]),
        ("A lamp, a desk and a chair", []),
    ],
)
def test_a_row_in_a_template(matcher: Matcher, message: str, found: list[str]) -> None:
    """The row's longest column stands in the message, and as many others as there are."""
    assert found == keys(matcher, ("user", message))


def test_solved_rows_before_it_are_not_it(matcher: Matcher) -> None:
    """The last turn is the row, known or not."""
    solved = [("user", delimited({"text": "OK"})), ("assistant", "{}")]
    assert keys(matcher, *solved, ("user", delimited({"text": "It broke at once", "product": "desk"}))) == [
        "r3"
    ]
    assert keys(matcher, *solved, ("user", delimited({"text": "never seen"}))) == []


@pytest.mark.parametrize("first", [delimited({"text": "OK"}), "Review: OK"])
def test_a_re_ask_is_about_the_row_it_follows(matcher: Matcher, first: str) -> None:
    """Its last turn names an error, and no row."""
    asked = [("system", "s"), ("user", first)]
    assert keys(matcher, *asked) == ["r4"]
    assert keys(matcher, *asked, ("assistant", "{"), ("user", "that was no JSON")) == ["r4"]


def test_no_turn_of_the_users(matcher: Matcher) -> None:
    """Then there is no row."""
    assert keys(matcher, ("system", "OK")) == []
