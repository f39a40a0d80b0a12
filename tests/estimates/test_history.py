"""What earlier runs tell of answers."""

from __future__ import annotations

from typing import Any

import pytest

from llmx.estimates.history import History, take


def line(**fields: Any) -> dict[str, Any]:
    """A journal's line of an answer."""
    usage = {"input": 100, "output": 7}
    return {"t": "answer", "fp": "f", "endpoint": "openai here", "model": "gpt-5", "usage": usage, **fields}


def told(*entries: dict[str, Any], model: str = "gpt-5") -> History:
    found = History()
    for entry in entries:
        take(found, entry, "openai here", model)
    return found


@pytest.mark.parametrize(
    ("named", "counts"),
    [
        ("gpt-5", True),
        ("gpt-5-2025-08-07", True),
        ("gpt-5-mini", False),
        ("gpt-5.1", False),
        ("gpt-4o", False),
    ],
)
def test_a_model_names_itself_by_its_version(named: str, counts: bool) -> None:
    """Its answers count; those of another model, whose name begins alike, do not."""
    assert told(line(model=named)).output == ([7] if counts else [])


def test_another_endpoint_tells_nothing() -> None:
    """A server of somebody's own may answer otherwise under the same name."""
    assert told(line(endpoint="openai there")) == History()


def test_re_asks_are_counted_apart() -> None:
    """Their answers are not what a first request gets."""
    found = told(line(), line(fp="g"), line(reask=1))
    assert (found.questions, found.reasks, found.output) == (2, 1, [7, 7])
    assert found.used == {"f": (100, 7), "g": (100, 7)}


def test_how_long_rows_took() -> None:
    """Those that took one call and were answered by it."""
    row = {"t": "row", "model": "gpt-5", "source": "model", "attempts": 1, "seconds": 1.5}
    others = ({"source": "cache"}, {"attempts": 2}, {"seconds": 0}, {"seconds": "1"}, {"model": "gpt-5-mini"})
    assert told(row, *({**row, **other} for other in others)).seconds == [1.5]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        line(usage=None),
        line(usage={"input": "1", "output": 2}),
        line(usage={"input": 0, "output": 0}),
        line(model=None),
    ],
    ids=str,
)
def test_lines_that_are_not_ours(entry: dict[str, Any]) -> None:
    """They tell nothing of tokens."""
    assert told(entry).output == []
