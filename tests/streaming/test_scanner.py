"""Fields are found in any object's text, however it is cut."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmx.streaming.scanner import FieldScanner

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(), values, max_size=6)
cuts = st.lists(st.integers(min_value=0), max_size=30)
layouts = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"separators": (" ,\n", "\t: ")}])


def pieces(text: str, places: list[int]) -> list[str]:
    """The text cut at the places, and a last empty piece."""
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[begin:end] for begin, end in pairwise(ends)] + [""]


def found(scanner: FieldScanner, parts: list[str]) -> list[tuple[str, Any]]:
    return [(name, json.loads(value)) for part in parts for name, value in scanner.feed(part)]


@given(objects, cuts, layouts, st.booleans())
@example({"a": "\\", "b": '"', "\\": ["}", "]"]}, list(range(100)), {}, True)
def test_fields_are_those_of_the_object(
    value: dict[str, Any], places: list[int], layout: Any, ascii_only: bool
) -> None:
    """As json.loads has them, in their order, each once."""
    text = json.dumps(value, ensure_ascii=ascii_only, **layout)
    assert found(FieldScanner(), pieces(text, places)) == list(value.items())


@given(objects, objects, cuts)
def test_fields_of_an_inner_object(outer: dict[str, Any], inner: dict[str, Any], places: list[int]) -> None:
    """Those of the object under one name only."""
    whole = {name: value for name, value in outer.items() if name != "answer"} | {"answer": inner, "z": 1}
    text = json.dumps(whole)
    assert found(FieldScanner("answer"), pieces(text, places)) == list(inner.items())


@given(objects)
def test_a_field_is_told_as_soon_as_it_is_complete(value: dict[str, Any]) -> None:
    """With its last letter, or, of a number or a word, with the one behind it."""
    text, scanner = json.dumps(value), FieldScanner()
    expected, at = [], 1
    for _ in value:
        _, colon = json.JSONDecoder().raw_decode(text, at)
        _, end = json.JSONDecoder().raw_decode(text, colon + 2)
        expected.append(end - 1 if text[end - 1] in '"}]' else end)
        at = end + 2
    assert [place for place, letter in enumerate(text) for _ in scanner.feed(letter)] == expected


@given(st.text(), cuts)
def test_no_text_raises(text: str, places: list[int]) -> None:
    """Whatever a model writes."""
    scanner = FieldScanner()
    for piece in pieces("{" + text, places):
        scanner.feed(piece)


@pytest.mark.parametrize(
    "text",
    [
        'Here it is:\n```json\n{"a": 1, "b": [2]}\n```',
        '\ufeff {"a": 1, "b": [2]} and more {"c": 3}',
        'with {braces} in words {"a": 1, "b": [2]}',
        '{"a": 1, "b": [2]',
    ],
)
def test_what_stands_around_an_object(text: str) -> None:
    """Words before it are passed over, and all that comes behind."""
    assert found(FieldScanner(), [text]) == [("a", 1), ("b", [2])]


@pytest.mark.parametrize(
    ("text", "names"),
    [('{"a": 1 "b": 2, "c": 3}', ["a"]), ('{"a" 1, "b": 2}', []), ('{"a": "1"; "b": 2}', ["a"]), ('{"a": 1, b}', ["a"])],
)  # fmt: skip
def test_where_it_is_no_object_after_all(text: str, names: list[str]) -> None:
    """Nothing more is found: the whole will not fit."""
    assert [name for name, _ in FieldScanner().feed(text)] == names


def test_the_time_is_that_of_the_length() -> None:
    """A field of a megabyte in single letters takes ten times as long as one of a tenth."""

    def seconds(size: int) -> float:
        text = json.dumps({"a": 'x\\"' * size, "b": [{"c": "y"}] * size})
        best = float("inf")
        for _ in range(3):
            scanner, began = FieldScanner(), time.perf_counter()
            for letter in text:
                scanner.feed(letter)
            best = min(best, time.perf_counter() - began)
        return best

    assert seconds(20_000) / seconds(2_000) < 30
