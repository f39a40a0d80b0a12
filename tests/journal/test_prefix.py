"""The input's first rows: known again by what they say, and counted by what they are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from llmx.errors import UnreadableRow
from llmx.journal import Chain, Checkpoint, Prefix, identity
from llmx.journal import prefix as module
from llmx.types import Record, Unreadable


def rows(*data: dict[str, Any], key: str | None = None) -> list[Record | Unreadable]:
    return [Record(n, one, key=key) for n, one in enumerate(data)]


def digest(some: list[Record | Unreadable]) -> str:
    chain = Chain()
    chain.add(some)
    return chain.digest


def test_a_chain_goes_on():
    """In one go or in two, it is the same."""
    some = rows({"a": 1}, {"a": 2}, {"a": 3})
    chain = Chain()
    chain.add(some[:1])
    chain.add(some[1:])
    assert (chain.rows, chain.digest) == (3, digest(some))


@pytest.mark.parametrize(
    "other",
    [
        rows({"a": 1, "b": 2}),
        rows({"a": 1, "b": 2}, {"a": 3}, {}),
        rows({"a": 3}, {"a": 1, "b": 2}),
        rows({"b": 2, "a": 1}, {"a": 3}),
        rows({"a": 1, "b": 2}, {"a": "3"}),
        rows({"a": 1, "b": 2}, {"a": 3.0}),
        rows({"a": 1, "b": 2}, {"a": {3}}),
        rows({"a": 1, "b": 2}, {"a": object}),
        [*rows({"a": 1, "b": 2}), Unreadable(1, None, "", UnreadableRow("no"), '{"a":3}')],
    ],
    ids=["fewer", "more", "reversed", "columns", "text", "float", "set", "no JSON", "unreadable"],
)
def test_other_rows_have_another_digest(other: list[Record | Unreadable]):
    """The order of columns counts, for the output has it."""
    assert digest(other) != digest(rows({"a": 1, "b": 2}, {"a": 3}))


def test_a_key_hides_nothing():
    """A row whose key is the same is the same row, but its output is not."""
    assert digest(rows({"a": 1}, key="k")) != digest(rows({"a": 2}, key="k"))


@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
def test_rows_that_are_alike_are_counted(at_once: int, monkeypatch: pytest.MonkeyPatch):
    """However many are sorted together."""
    monkeypatch.setattr(module, "SORTED", at_once)
    some = rows(*({"a": n * n % 10} for n in range(50)))
    found = Prefix(Checkpoint(50, digest(some), 0, 0, ""))
    for start in range(0, 50, 4):
        assert not found.is_found
        found.add(some[start : start + 4])
    assert found.is_found
    wanted = Counter(map(identity, some))
    assert {name: found.count(name) for name in wanted} == wanted
    assert found.count(identity(Record(0, {"a": "none"}))) == 0
